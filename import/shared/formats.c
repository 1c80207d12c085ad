#include "import/shared/formats.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "import/shared/format.h"
#include "import/shared/input.h"

const struct import_format *const import_formats[] = {&format_megatron, &format_tokens_per_expert,
                                                      &format_olmoe,    &format_answers,
                                                      &format_sglang,   &format_imatrix,
                                                      &format_tensorrt, &format_logits,
                                                      &format_routed,   &format_jsonl,
                                                      &format_csv,      NULL};

enum { MOST_FORMATS = 64 };

bool head_has(const struct head *h, const char *word)
{
    return memmem(h->bytes, h->n, word, strlen(word)) != NULL;
}

bool head_begins(const struct head *h, const char *word)
{
    size_t at = 0, n = strlen(word);
    while (at < h->n && isspace((unsigned char)h->bytes[at])) {
        at++;
    }
    return h->n - at >= n && memcmp(h->bytes + at, word, n) == 0;
}

bool head_ends(const struct head *h, const char *ending)
{
    size_t n = strlen(h->path), m = strlen(ending);
    return n >= m && strcasecmp(h->path + n - m, ending) == 0;
}

static int find_named(const struct import_format **f, const char *name, struct error *err)
{
    const char *names[MOST_FORMATS];
    struct text list;
    int n = 0;
    for (; import_formats[n] != NULL; n++) {
        names[n] = import_formats[n]->name;
        if (strcmp(names[n], name) == 0) {
            *f = import_formats[n];
            return 0;
        }
    }
    const char *near = nearest_name(name, names, n);
    if (near != NULL) {
        return error_set(err, STATUS_USAGE, "--from '%s' is no format, did you mean '%s'?", name, near);
    }
    text_init(&list);
    for (int i = 0; i < n; i++) {
        text_printf(&list, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    int result = error_set(err, STATUS_USAGE, "--from '%s' is none of %s", name, list.data);
    text_release(&list);
    return result;
}

/* Columns that are named are a table's, whatever they are called. */
static const struct import_format *guess_table(const struct head *h)
{
    return head_begins(h, "{") ? &format_jsonl : &format_csv;
}

static int guess(const struct import_format **f, const struct request *r, const char *path, struct error *err)
{
    struct input in;
    *f = NULL;
    if (input_open(&in, path, err) != 0) {
        return -1;
    }
    while (in.end < in.capacity - 1 && input_more(&in)) {
    }
    in.end = in.end < in.capacity ? in.end : in.capacity - 1;
    in.window[in.end] = '\0';
    size_t mark = in.end >= 3 && memcmp(in.window, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    const struct head head = {path, (const char *)in.window + mark, in.end - mark};
    for (int i = 0; import_formats[i] != NULL && *f == NULL; i++) {
        *f = import_formats[i]->looks_like(&head) ? import_formats[i] : NULL;
    }
    if (*f == NULL && r->columns != NULL && head.n > 0) {
        *f = guess_table(&head);
    }
    int result = input_check(&in, err);
    if (result == 0 && *f == NULL) {
        result = error_set(err, STATUS_INPUT,
                           in.end == 0 ? "'%s' is empty"
                                       : "'%s' does not look like any log of routing; --from names its "
                                         "format",
                           path);
    }
    input_close(&in);
    return result;
}

int format_find(const struct import_format **f, const struct request *r, struct error *err)
{
    if (strcmp(r->from, "auto") != 0) {
        return find_named(f, r->from, err);
    }
    for (int i = 0; i < r->n_files; i++) {
        const struct import_format *other;
        if (guess(i == 0 ? f : &other, r, r->files[i], err) != 0) {
            return -1;
        }
        if (i > 0 && other != *f) {
            return error_set(err, STATUS_INPUT,
                             "'%s' looks like %s, and '%s' like %s; import them one after the other",
                             r->files[0], (*f)->name, r->files[i], other->name);
        }
    }
    return 0;
}
