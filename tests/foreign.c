#include "tests/foreign.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "import/shared/arrays.h"
#include "tests/support.h"

bool foreign_make(const char *kind, const char *folder)
{
    struct test_run r = test_run("/usr/bin/python3 tests/foreign.py %s %s", kind, folder);
    bool made = r.status == 0;

    if (r.status == 3 || r.status == 127)
        print_message("           skipped: the writer of these files is not installed: %s", r.err);
    else if (!made)
        fail_msg("foreign.py %s: %s", kind, r.err);
    test_run_release(&r);
    return made;
}

/* ---- comparing ---- */

static const char *const type_names[] = {[ARRAY_BOOL] = "bool", [ARRAY_I8] = "i8",
                                         [ARRAY_U8] = "u8",     [ARRAY_I16] = "i16",
                                         [ARRAY_U16] = "u16",   [ARRAY_I32] = "i32",
                                         [ARRAY_U32] = "u32",   [ARRAY_I64] = "i64",
                                         [ARRAY_U64] = "u64",   [ARRAY_F16] = "f16",
                                         [ARRAY_BF16] = "bf16", [ARRAY_F32] = "f32",
                                         [ARRAY_F64] = "f64",   [ARRAY_UNREADABLE] = "unreadable"};

struct expectation {
    const char *file;
    struct arrays *a;
    const struct array *x;
    char **words; /* the values */
};

static float real_of(const struct expectation *e, int64_t i)
{
    if (e->x->type >= ARRAY_F16)
        return (float)strtod(e->words[i], NULL);
    return e->words[i][0] == '-' ? (float)strtoll(e->words[i], NULL, 10)
                                 : (float)strtoull(e->words[i], NULL, 10);
}

static bool same_real(float a, float b)
{
    return isnan(b) ? isnan(a) : a == b && signbit(a) == signbit(b);
}

/* false: no integer of 64 bits. */
static bool integer_of(const struct expectation *e, int64_t i, int64_t *value)
{
    double real = strtod(e->words[i], NULL);
    bool fits = real == floor(real) && real >= (double)INT64_MIN && real < -(double)INT64_MIN;

    if (e->x->type < ARRAY_F16) {
        errno = 0;
        *value = strtoll(e->words[i], NULL, 10);
        return errno == 0;
    }
    *value = fits ? (int64_t)real : 0;
    return fits;
}

static void compare_piece(const struct expectation *e, int64_t first, int64_t n)
{
    int64_t *integers = malloc(((size_t)n + 1) * sizeof *integers), value, fit = 0;
    float *reals = malloc(((size_t)n + 1) * sizeof *reals);
    struct error err;

    assert_true(integers && reals);
    integers[n] = 4711; /* nothing is written behind it */
    reals[n] = 4711;
    test_must(arrays_reals(e->a, e->x, first, n, reals, &err), &err);
    for (int64_t i = 0; i < n; i++) {
        if (!same_real(reals[i], real_of(e, first + i)))
            fail_msg("%s: '%s', element %ld of %ld from %ld: %.9g, not %s", e->file, e->x->name,
                     (long)(first + i), (long)n, (long)first, reals[i], e->words[first + i]);
    }
    while (fit < n && integer_of(e, first + fit, &value))
        fit++;
    if (fit == n)
        test_must(arrays_integers(e->a, e->x, first, n, integers, &err), &err);
    else
        assert_int_equal(arrays_integers(e->a, e->x, first, n, integers, &err), -1);
    for (int64_t i = 0; fit == n && i < n; i++) {
        integer_of(e, first + i, &value);
        if (integers[i] != value)
            fail_msg("%s: '%s', element %ld of %ld from %ld: %ld, not %s", e->file, e->x->name,
                     (long)(first + i), (long)n, (long)first, (long)integers[i], e->words[first + i]);
    }
    assert_true(integers[n] == 4711 && reals[n] == 4711);
    free(integers);
    free(reals);
}

/* Whole, from the middle, and in pieces that fit none of the sides. */
static void compare_values(const struct expectation *e)
{
    int64_t n = e->x->count, piece = n < 1000 ? 3 : n / 7 - 1;

    compare_piece(e, 0, n);
    compare_piece(e, n / 2, n - n / 2);
    compare_piece(e, n, 0);
    for (int64_t i = 0; i < n; i += piece)
        compare_piece(e, i, piece < n - i ? piece : n - i);
    for (int64_t i = n < 100 ? n - 1 : 17; i >= 0 && i < n; i--) /* backwards */
        compare_piece(e, i, 1);
}

static char **split(char *text, int64_t *n)
{
    char *rest = NULL, **words = malloc((strlen(text) / 2 + 2) * sizeof *words);

    assert_non_null(words);
    *n = 0;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        words[(*n)++] = word;
    return words;
}

/* "NAME TYPE DIMENSIONS | SHAPE | VALUES" */
static void compare_array(const char *file, struct arrays *a, int i, char *line)
{
    char *rest = line, *name = strtok_r(rest, " ", &rest), *type = strtok_r(rest, " ", &rest);
    int n_dimensions = (int)strtol(strtok_r(rest, "|", &rest), NULL, 10);
    char *shape = strtok_r(rest, "|", &rest);
    int64_t n_shape, n;
    char **sizes = split(shape, &n_shape), **words = split(rest, &n);
    const struct array *x = arrays_find(a, strcmp(name, "-") == 0 ? "" : name);
    struct expectation e = {file, a, x, words};

    if (!x)
        fail_msg("%s has no '%s'", file, name);
    assert_ptr_equal(x, arrays_at(a, i));
    assert_string_equal(type_names[x->type], type);
    assert_int_equal(x->n_dimensions, n_dimensions);
    assert_int_equal(n_shape, n_dimensions);
    for (int d = 0; d < n_dimensions; d++)
        assert_int_equal(x->shape[d], strtoll(sizes[d], NULL, 10));
    if (x->type != ARRAY_UNREADABLE) {
        assert_int_equal(x->count, n);
        compare_values(&e);
    }
    free(sizes);
    free(words);
}

static void compare_note(const char *file, const struct arrays *a, char *line)
{
    char *text = line, *key = strtok_r(line, " ", &text);
    const char *note = arrays_note(a, key);

    if (!note)
        fail_msg("%s says nothing of '%s'", file, key);
    assert_string_equal(note, text);
}

static void compare_file(const char *path, char *expected, const char *format)
{
    struct arrays *a;
    struct error err;
    char *rest = expected;
    int n = 0, n_notes = 0;

    test_must(arrays_open(&a, path, &err), &err);
    assert_string_equal(arrays_format(a), format);
    for (char *line = strtok_r(rest, "\n", &rest); line; line = strtok_r(rest, "\n", &rest)) {
        if (strncmp(line, "array ", 6) == 0)
            compare_array(path, a, n++, line + 6);
        else
            compare_note(path, a, line + 5), n_notes++;
    }
    assert_int_equal(arrays_n(a), n);
    assert_int_equal(arrays_n_notes(a), n_notes);
    for (int i = 0; i < n_notes; i++)
        assert_non_null(arrays_note(a, arrays_note_key(a, i)));
    assert_null(arrays_find(a, "what is not there"));
    assert_null(arrays_note(a, "what is not there"));
    arrays_close(a);
}

int foreign_compare(const char *folder, const char *format)
{
    DIR *entries = opendir(folder);
    int n = 0;

    assert_non_null(entries);
    for (struct dirent *d = readdir(entries); d; d = readdir(entries)) {
        const char *end = strstr(d->d_name, ".expected");
        char path[4096], *expected;
        size_t length;
        struct error err;
        if (!end)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, d->d_name);
        test_must(file_read(path, &expected, &length, &err), &err);
        path[strlen(path) - strlen(end)] = '\0';
        compare_file(path, expected, format);
        free(expected);
        n++;
    }
    closedir(entries);
    return n;
}

/* ---- what cannot be read ---- */

static int read_all(struct arrays *a, struct error *err)
{
    int64_t integers[7];
    float reals[7];

    for (int i = 0; i < arrays_n(a); i++) {
        const struct array *x = arrays_at(a, i);
        assert_ptr_equal(arrays_find(a, x->name), x);
        for (int64_t at = 0; at < x->count && at < 7000; at += 7) {
            int64_t n = x->count - at < 7 ? x->count - at : 7;
            if (arrays_reals(a, x, at, n, reals, err))
                return -1;
            (void)arrays_integers(a, x, at, n, integers, NULL);
        }
        if (x->type == ARRAY_UNREADABLE && arrays_reals(a, x, 0, 0, reals, err))
            return -1;
    }
    return 0;
}

/* From memory of just that size, so that a sanitizer sees every step beyond it. */
static int open_and_read(const void *bytes, size_t n, struct error *err)
{
    void *exact = malloc(n > 0 ? n : 1);
    struct arrays *a;
    int result;

    assert_non_null(exact);
    memcpy(exact, bytes, n);
    *err = (struct error){0};
    result = arrays_open_memory(&a, exact, n, "these bytes", err);
    if (result == 0)
        result = read_all(a, err);
    else
        assert_null(a);
    if (result && (err->status != STATUS_INPUT || !strstr(err->text, "'these bytes'")))
        fail_msg("status %d: %s", (int)err->status, err->text);
    arrays_close(a);
    free(exact);
    return result;
}

void foreign_refused(const void *bytes, size_t n, const char *words)
{
    struct error err;

    if (open_and_read(bytes, n, &err) == 0)
        fail_msg("read, and should have said '%s'", words);
    if (!strstr(err.text, words))
        fail_msg("'%s', not '%s'", err.text, words);
}

bool foreign_survived(const void *bytes, size_t n)
{
    struct error err;

    return open_and_read(bytes, n, &err) == 0;
}
