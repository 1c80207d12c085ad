/* TensorRT-LLM's counts: rank{r}.safetensors with an array "ITERATION_LAYER" of counts each, and beside them
 * meta_info.json, which says how many experts there are and how many a token gets. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "import/shared/arrays.h"
#include "import/shared/format.h"
#include "import/shared/json.h"
#include "sql/logbook.h"

struct entry { /* an array of one of the files */
    int64_t step;
    int layer, file;
    const struct array *x;
};

struct tensorrt {
    struct intake *in;
    const struct request *request;
    struct arrays **arrays; /* (n_files) */
    int n_files;
    struct entry *entries;
    int n, capacity;
    int64_t experts, topk; /* that meta_info.json says; 0 */
};

static bool parse_name(const char *name, int64_t *step, int64_t *layer)
{
    char *end;
    if (!isdigit((unsigned char)*name)) {
        return false;
    }
    *step = strtoll(name, &end, 10);
    if (end - name > 18 || *end != '_' || !isdigit((unsigned char)end[1])) {
        return false;
    }
    *layer = strtoll(end + 1, &end, 10);
    return *end == '\0';
}

static int by_step(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->step != y->step) {
        return x->step < y->step ? -1 : 1;
    }
    return x->layer != y->layer ? (x->layer > y->layer) - (x->layer < y->layer)
                                : (x->file > y->file) - (x->file < y->file);
}

static int add_entry(struct tensorrt *t, int file, const struct array *x, struct error *err)
{
    int64_t step, layer;
    if (!parse_name(x->name, &step, &layer)) {
        return 0;
    }
    if (layer >= MTP_LAYER) {
        return error_set(err, STATUS_INPUT, "'%s': '%s' is of a layer beyond %d", t->request->files[file],
                         x->name, MTP_LAYER - 1);
    }
    if (x->n_dimensions != 1 || x->count < 1 || x->count > 65536) {
        return error_set(err, STATUS_INPUT, "'%s': '%s' is not a count an expert", t->request->files[file],
                         x->name);
    }
    if (t->experts > 0 && x->count != t->experts) {
        return error_set(err, STATUS_INPUT, "'%s': '%s' has %lld experts, and meta_info.json says %lld",
                         t->request->files[file], x->name, (long long)x->count, (long long)t->experts);
    }
    if (t->n == t->capacity) {
        int capacity = t->capacity > 0 ? 2 * t->capacity : 256;
        struct entry *entries = realloc(t->entries, (size_t)capacity * sizeof *entries);
        if (entries == NULL) {
            return error_no_memory(err, "the names of arrays");
        }
        t->entries = entries;
        t->capacity = capacity;
    }
    t->entries[t->n++] = (struct entry){step, (int)layer, file, x};
    return 0;
}

static int read_meta(struct tensorrt *t, const char *path, struct error *err)
{
    struct input in;
    struct json j;
    char key[JSON_KEY];
    if (input_open(&in, path, err) != 0) {
        return -1;
    }
    json_start(&j, &in);
    int more = json_enter(&j, JSON_OBJECT, "meta_info {...}", err) != 0 ? -1 : json_key(&j, key, err);
    for (; more == 1; more = json_key(&j, key, err)) {
        int64_t *number = strcmp(key, "num_experts") == 0             ? &t->experts
                          : strcmp(key, "num_experts_per_token") == 0 ? &t->topk
                                                                      : NULL;
        if (number != NULL ? json_integer(&j, number, err) != 0 : json_skip(&j, err) != 0) {
            more = -1;
            break;
        }
    }
    input_close(&in);
    return more;
}

static int find_meta(struct tensorrt *t, struct error *err)
{
    char path[4096];
    const char *file = t->request->files[0], *slash = strrchr(file, '/');
    snprintf(path, sizeof path, "%.*smeta_info.json", slash != NULL ? (int)(slash - file + 1) : 0, file);
    if (file_exists(path) && read_meta(t, path, err) != 0) {
        return -1;
    }
    if (t->topk > 0) {
        intake_topk(t->in, (int)(t->topk < 65536 ? t->topk : 0));
    }
    return 0;
}

static int give(struct tensorrt *t, const struct entry *e, struct error *err)
{
    int64_t *count = malloc((size_t)e->x->count * sizeof *count);
    if (count == NULL) {
        return error_no_memory(err, "counts of experts");
    }
    int result = arrays_integers(t->arrays[e->file], e->x, 0, e->x->count, count, err);
    if (result == 0) {
        const struct load load = {.step = e->step,
                                  .file = e->file,
                                  .layer = e->layer,
                                  .n_experts = (int)e->x->count,
                                  .count = count};
        result =
            intake_load(t->in, &load, err) == 0 ? 0 : error_prefix(err, "'%s'", t->request->files[e->file]);
    }
    free(count);
    return result;
}

static int read_ranks(struct tensorrt *t, struct error *err)
{
    if (find_meta(t, err) != 0) {
        return -1;
    }
    for (int f = 0; f < t->n_files; f++) {
        if (arrays_open(&t->arrays[f], t->request->files[f], err) != 0) {
            return -1;
        }
        for (int i = 0; i < arrays_n(t->arrays[f]); i++) {
            if (add_entry(t, f, arrays_at(t->arrays[f], i), err) != 0) {
                return -1;
            }
        }
    }
    if (t->n == 0) {
        return error_set(err, STATUS_INPUT, "'%s' has no array called ITERATION_LAYER", t->request->files[0]);
    }
    qsort(t->entries, (size_t)t->n, sizeof *t->entries, by_step);
    for (int i = 0; i < t->n; i++) {
        if (give(t, &t->entries[i], err) != 0) {
            return -1;
        }
    }
    if (t->n_files > 1 && t->request->ranks == RANKS_AUTO) {
        intake_finding(t->in, TRAP_RANK_FILES, RULING_REFUSED,
                       "pass --ranks sum if ranks saw other tokens (attention data parallel), --ranks "
                       "replicas if the same",
                       "%d files of counts, of which nothing says whether they add up", t->n_files);
    }
    return 0;
}

static int read_all(struct intake *in, const struct request *r, struct error *err)
{
    struct tensorrt t = {.in = in, .request = r, .n_files = r->n_files};
    t.arrays = calloc((size_t)t.n_files, sizeof *t.arrays);
    int result = t.arrays != NULL ? read_ranks(&t, err) : error_no_memory(err, "the files of ranks");
    for (int f = 0; t.arrays != NULL && f < t.n_files; f++) {
        arrays_close(t.arrays[f]);
    }
    free(t.arrays);
    free(t.entries);
    return result;
}

static bool is_tensorrt(const struct head *h)
{
    struct arrays *a;
    int64_t step, layer;
    bool is = false;
    if (h->n < 9 || h->bytes[8] != '{' || arrays_open(&a, h->path, NULL) != 0) {
        return false;
    }
    for (int i = 0; i < arrays_n(a) && !is; i++) {
        is = parse_name(arrays_at(a, i)->name, &step, &layer) && arrays_at(a, i)->n_dimensions == 1;
    }
    arrays_close(a);
    return is;
}

const struct import_format format_tensorrt = {
    "tensorrt-llm", "TensorRT-LLM's rank{r}.safetensors: counts", "probe", is_tensorrt, read_all, false};
