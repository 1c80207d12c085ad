/* Memory runs out at any allocation, ours or SQLite's, for once or for good: writing and reading end with a
 * clean error (STATUS_MACHINE), or without one where it did not matter; nothing leaks (under the sanitizers),
 * and the file is good. MOESCOPE_FAULTS=all sweeps every allocation instead of every few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/text.h"
#include "import/shared/arrays.h"
#include "tests/laid.h"
#include "tests/reading.h"
#include "tests/scarce.h"
#include "tests/steps.h"
#include "tests/support.h"

static struct trial trial; /* a whole run, for the readers */
static char *expected;

static int open_group(void **state)
{
    struct error err;
    int64_t safe;
    (void)state;
    scarce_start();
    trial_open(&trial);
    steps_leave(&trial);
    steps_remove(&trial);
    test_must(steps_run(&trial, &safe, &err), &err);
    steps_leave(&trial);
    expected = steps_contents(&trial);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    free(expected);
    trial_release(&trial);
    return 0;
}

/* SQLite 3.40's json_valid calls good JSON bad when it has no memory; the transaction is taken back all the
 * same. */
static bool is_json_valid(const struct error *err)
{
    return strstr(err->text, "CHECK constraint failed: json_valid(") != NULL;
}

static void expect_words(int result, const struct error *err, long n)
{
    if (result != 0 && !is_json_valid(err) &&
        (err->status != STATUS_MACHINE || !strstr(err->text, "memory"))) {
        fail_msg("allocation %ld: status %d, %s", n, (int)err->status, err->text);
    }
}

/* ---- writing ---- */

static bool fail_writing(struct trial *s, enum scarce whose, long n, bool stays)
{
    struct error err = {0};
    int64_t safe;
    steps_remove(s);
    scarce_memory(whose, n, stays);
    int result = steps_run(s, &safe, &err);
    steps_leave(s);
    bool failed = scarce_failed();
    scarce_memory(whose, 0, false);
    expect_words(result, &err, n);
    if (!failed) {
        return false;
    }
    steps_expect_safe(s->path, safe, n);
    steps_go_on(s, safe);
    char *contents = steps_contents(s);
    if (strcmp(contents, expected) != 0) {
        fail_msg("allocation %ld: the run that went on is another", n);
    }
    free(contents);
    return true;
}

static void sweep_writing(enum scarce whose, bool stays, long step, const char *words)
{
    struct trial s;
    long n = 1, tried = 0;
    trial_open(&s);
    trial_stop(&s);
    for (; fail_writing(&s, whose, n, stays); n += step) {
        tried++;
    }
    print_message("writing, %s: %ld of about %ld allocations failed\n", words, tried, n);
    assert_true(tried > 5 / STEPS_SPARSE);
    trial_release(&s);
}

static void test_writing(void **state)
{
    (void)state;
    sweep_writing(SCARCE_OURS, false, steps_stride(7), "one of ours");
    sweep_writing(SCARCE_OURS, true, steps_stride(7), "ours from one on");
    sweep_writing(SCARCE_SQLITE, false, steps_stride(701), "one of SQLite's");
    sweep_writing(SCARCE_SQLITE, true, steps_stride(701), "SQLite's from one on");
}

/* ---- reading ---- */

static int read_check(struct logbook *lb, struct error *err)
{
    struct check_finding findings[CHECK_MAX_FINDINGS];
    int n = CHECK_MAX_FINDINGS;
    int result = logbook_check(lb, findings, &n, err);
    for (int i = 0; result == 0 && i < n; i++) {
        if (findings[i].violations > 0) { /* a good file is not called bad because memory is short */
            fail_msg("%s: %s", findings[i].what, findings[i].detail);
        }
    }
    return result;
}

static void sweep_reading(reading *read, enum scarce whose, bool stays, long step, const char *words)
{
    long n = 1, tried = 0;
    bool failed = true;
    for (; failed; n += step, tried++) {
        struct logbook *lb;
        struct error err = {0};
        scarce_memory(whose, n, stays);
        int result = logbook_open(&lb, trial.path, &err);
        if (result == 0) {
            result = read(lb, &err);
        }
        moescope_close(lb);
        failed = scarce_failed();
        scarce_memory(whose, 0, false);
        expect_words(result, &err, n);
        assert_true(failed || result == 0);
    }
    print_message("%s: %ld of about %ld allocations failed\n", words, tried - 1, n - step);
    assert_true(tried > 1);
}

static void sweep_reader(reading *read, long ours_step, long sqlite_step, const char *name)
{
    char words[64];
    snprintf(words, sizeof words, "%s, one of ours", name);
    sweep_reading(read, SCARCE_OURS, false, steps_stride(ours_step), words);
    snprintf(words, sizeof words, "%s, ours from one on", name);
    sweep_reading(read, SCARCE_OURS, true, steps_stride(ours_step), words);
    snprintf(words, sizeof words, "%s, one of SQLite's", name);
    sweep_reading(read, SCARCE_SQLITE, false, steps_stride(sqlite_step), words);
    snprintf(words, sizeof words, "%s, SQLite's from one on", name);
    sweep_reading(read, SCARCE_SQLITE, true, steps_stride(sqlite_step), words);
}

static void test_reading(void **state)
{
    (void)state;
    sweep_reader(reading_blocks, 1, 97, "blocks");
    sweep_reader(reading_probabilities, 1, 97, "probabilities");
    sweep_reader(reading_queries, 7, 601, "queries");
    sweep_reader(read_check, 1, 301, "check");
    steps_expect_clean(trial.path);
}

/* ---- arrays of foreign files ---- */

static int read_arrays(const struct text *file, struct error *err)
{
    struct arrays *a;
    int64_t numbers[64];
    int result = arrays_open_memory(&a, file->data, file->length, "a file", err);
    for (int i = 0; result == 0 && i < arrays_n(a); i++) {
        const struct array *x = arrays_at(a, i);
        assert_true(x->count <= 64);
        result = arrays_integers(a, x, 0, x->count, numbers, err);
    }
    arrays_close(a);
    return result;
}

static void sweep_arrays(const struct text *file, bool stays, const char *words)
{
    long n = 1;
    for (bool failed = true; failed; n++) {
        struct error err = {0};
        scarce_memory(SCARCE_OURS, n, stays);
        int result = read_arrays(file, &err);
        failed = scarce_failed();
        scarce_memory(SCARCE_OURS, 0, false);
        expect_words(result, &err, n);
        assert_true(failed == (result != 0));
    }
    print_message("%s: %ld allocations failed\n", words, n - 2);
    assert_true(n > 3);
}

static void test_arrays(void **state)
{
    static const char *const words[] = {".npy", "safetensors", "GGUF", ".npz", ".pt"};
    static const char npy[] = "{'descr': '<u2', 'fortran_order': True, 'shape': (2, 2), }";
    static const char pickle[] = "\x80\2}(X\1\0\0\0aK\1q\1X\1\0\0\0b](K\1K\2eX\1\0\0\0cX\0\0\0\0u.";
    uint8_t packed[256];
    uLongf n_packed = sizeof packed;
    struct text files[5], member;
    (void)state;
    for (int i = 0; i < 5; i++) {
        text_init(&files[i]);
    }
    text_init(&member);
    laid_npy(&files[0], npy, "\1\0\2\0\3\0\4\0", 8);
    laid_safetensors(&files[1],
                     "{\"__metadata__\":{\"a\":\"b\"},\"x\":{\"dtype\":\"U8\",\"shape\":[8],"
                     "\"data_offsets\":[0,8]}}",
                     "abcdefgh", 8);
    laid_gguf(&files[2], 1, 0);
    laid_gguf_tensor(&files[2], "x", 8, 24, 0);
    laid_gguf_data(&files[2], 8);
    laid_npy(&member, npy, "\1\0\2\0\3\0\4\0", 8);
    laid_zip(&files[3], &(struct laid_entry){"x.npy", member.data, member.length, 0}, 1);
    assert_int_equal(compress(packed, &n_packed, (const Bytef *)pickle, sizeof pickle - 1), Z_OK);
    laid_zip(&files[4], /* without what zlib puts around it */
             &(struct laid_entry){"a/data.pkl", packed + 2, n_packed - 6, sizeof pickle - 1}, 1);
    for (int i = 0; i < 5; i++) {
        sweep_arrays(&files[i], false, words[i]);
        sweep_arrays(&files[i], true, words[i]);
        text_release(&files[i]);
    }
    text_release(&member);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_arrays),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
