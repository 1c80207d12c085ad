/* SGLang's recorder of expert distributions, torch.save's .pt: `stat` has counts by pass, `per_pass` counts
 * of experts as they are placed, `per_token` every choice. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/arrays.h"
#include "import/shared/format.h"
#include "import/shared/json.h"
#include "sql/codec.h"
#include "sql/loads.h"
#include "sql/logbook.h"

struct sglang {
    struct intake *in;
    const struct request *request;
    struct arrays *arrays;
    const char *path;
    int file;
    int k;        /* columns that are used */
    int64_t *map; /* (n_layers, n_physical) the model's expert of each that is placed; NULL: none */
    int64_t n_layers, n_physical;
    int n_logical;
    int64_t *values, *counts;
    int64_t capacity;
    struct integers block, ids;
};

static int reserve(struct sglang *s, int64_t n, struct error *err)
{
    if (n <= s->capacity) {
        return 0;
    }
    free(s->values);
    s->capacity = 0;
    s->values = malloc((size_t)n * sizeof *s->values);
    if (s->values == NULL) {
        return error_no_memory(err, "a tensor");
    }
    s->capacity = n;
    return 0;
}

static int wrong(const struct sglang *s, const struct array *x, const char *what, struct error *err)
{
    return error_set(err, STATUS_INPUT, "'%s': '%s' is not %s", s->path, x->name, what);
}

static int give_counts(struct sglang *s, int64_t step, int layer, int n, const int64_t *counts,
                       struct error *err)
{
    const struct load load = {.step = step, .file = s->file, .layer = layer, .n_experts = n, .count = counts};
    return intake_load(s->in, &load, err);
}

/* ---- stat ---- */

static bool all_zero(const int64_t *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (values[i] != 0) {
            return false;
        }
    }
    return true;
}

/* [passes, layers, experts]; a pass of a circular buffer that was never filled is all zeros. */
static int read_stat(struct sglang *s, const struct array *x, struct error *err)
{
    int64_t layers = x->n_dimensions == 3 ? x->shape[1] : 0, experts = x->n_dimensions == 3 ? x->shape[2] : 0;
    int64_t empty = 0, step = s->request->step;
    if (layers < 1 || layers > MTP_LAYER || experts < 1 || experts > CODEC_MAX_EXPERTS) {
        return wrong(s, x, "[passes, layers, experts]", err);
    }
    if (reserve(s, layers * experts, err) != 0) {
        return -1;
    }
    for (int64_t p = 0; p < x->shape[0]; p++) {
        if (arrays_integers(s->arrays, x, p * layers * experts, layers * experts, s->values, err) != 0) {
            return -1;
        }
        if (all_zero(s->values, layers * experts)) {
            empty++;
            continue;
        }
        for (int l = 0; l < layers; l++) {
            if (give_counts(s, step, l, (int)experts, s->values + l * experts, err) != 0) {
                return error_prefix(err, "'%s'", s->path);
            }
        }
        step++;
    }
    if (empty > 0) {
        intake_finding(s->in, TRAP_ZERO_ROWS, RULING_NOTED, "nothing: they are left out",
                       "%lld of %lld passes of the buffer are all zeros", (long long)empty,
                       (long long)x->shape[0]);
    }
    return 0;
}

/* ---- experts as they are placed ---- */

static int read_map(struct sglang *s, struct error *err)
{
    const struct array *x = arrays_find(s->arrays, "last_physical_to_logical_map");
    bool same = true;
    if (x == NULL) {
        return 0;
    }
    if (x->n_dimensions != 2 || x->shape[1] < 1 || x->shape[1] > CODEC_MAX_EXPERTS) {
        return wrong(s, x, "[layers, experts]", err);
    }
    s->n_layers = x->shape[0];
    s->n_physical = x->shape[1];
    s->map = malloc((size_t)x->count * sizeof *s->map + 1);
    if (s->map == NULL) {
        return error_no_memory(err, "where experts are placed");
    }
    if (arrays_integers(s->arrays, x, 0, x->count, s->map, err) != 0) {
        return -1;
    }
    for (int64_t i = 0; i < x->count; i++) {
        if (s->map[i] < 0 || s->map[i] >= CODEC_MAX_EXPERTS) {
            return wrong(s, x, "a map to experts", err);
        }
        s->n_logical = s->map[i] >= s->n_logical ? (int)s->map[i] + 1 : s->n_logical;
        same = same && s->map[i] == i % s->n_physical;
    }
    if (!same) {
        intake_finding(s->in, TRAP_PHYSICAL_IDS, RULING_NOTED,
                       "nothing: they are mapped back by the file's last map",
                       "%d experts of the model are placed as %lld", s->n_logical, (long long)s->n_physical);
    }
    return 0;
}

static int64_t logical(const struct sglang *s, int64_t layer, int64_t expert)
{
    return s->map != NULL && expert >= 0 && expert < s->n_physical && layer < s->n_layers
               ? s->map[layer * s->n_physical + expert]
               : expert;
}

static int read_pass_counts(struct sglang *s, const struct array *x, int64_t step, struct error *err)
{
    int64_t layers = x->n_dimensions == 2 ? x->shape[0] : 0, experts = x->n_dimensions == 2 ? x->shape[1] : 0;
    if (layers < 1 || layers > MTP_LAYER || experts < 1 || experts > CODEC_MAX_EXPERTS) {
        return wrong(s, x, "[layers, experts]", err);
    }
    int n = s->map != NULL ? s->n_logical : (int)experts;
    n = n > experts ? n : (int)experts;
    free(s->counts);
    s->counts = calloc((size_t)n, sizeof *s->counts);
    if (s->counts == NULL || reserve(s, layers * experts, err) != 0) {
        return error_no_memory(err, "counts of experts");
    }
    if (arrays_integers(s->arrays, x, 0, layers * experts, s->values, err) != 0) {
        return -1;
    }
    for (int64_t l = 0; l < layers; l++) {
        memset(s->counts, 0, (size_t)n * sizeof *s->counts);
        for (int64_t e = 0; e < experts; e++) {
            int64_t value = s->values[l * experts + e];
            if (value < 0 || value > load_most) {
                return wrong(s, x, "counts of experts", err);
            }
            s->counts[logical(s, l, e)] += value;
        }
        if (give_counts(s, step, (int)l, s->map != NULL ? s->n_logical : n, s->counts, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- choices ---- */

static const struct array *member(const struct sglang *s, int64_t record, const char *name)
{
    char path[96];
    snprintf(path, sizeof path, "records.%lld.%s", (long long)record, name);
    return arrays_find(s->arrays, path);
}

static int read_numbers(struct sglang *s, const struct array *x, struct integers *out, struct error *err)
{
    out->n = 0;
    if (x == NULL || x->count == 0) {
        return 0;
    }
    if (reserve(s, x->count, err) != 0 || arrays_integers(s->arrays, x, 0, x->count, s->values, err) != 0 ||
        integers_reserve(out, x->count, err) != 0) {
        return -1;
    }
    for (int64_t i = 0; i < x->count; i++) {
        if (s->values[i] < 0 || s->values[i] > INT32_MAX) {
            return wrong(s, x, "numbers from 0 on", err);
        }
        out->items[out->n++] = (int32_t)s->values[i];
    }
    return 0;
}

/* Columns that are used: the others hold -1 in every row. */
static int count_columns(struct sglang *s, const struct array *x, struct error *err)
{
    int64_t k = x->shape[2], used = 0, rows = x->shape[0] * x->shape[1];
    for (int64_t at = 0; at < rows; at += STRETCH_TOKENS) {
        int64_t n = rows - at < STRETCH_TOKENS ? rows - at : STRETCH_TOKENS;
        if (reserve(s, n * k, err) != 0 ||
            arrays_integers(s->arrays, x, at * k, n * k, s->values, err) != 0) {
            return -1;
        }
        for (int64_t i = 0; i < n * k; i++) {
            used = s->values[i] >= 0 && i % k >= used ? i % k + 1 : used;
        }
    }
    s->k = used > 0 ? (int)used : 1;
    if (s->request->topk > 0 && s->request->topk < used) {
        return error_set(err, STATUS_USAGE, "'%s' uses %d columns, and --topk says %lld", s->path, s->k,
                         (long long)s->request->topk);
    }
    s->k = s->request->topk > k ? (int)k : s->request->topk > 0 ? (int)s->request->topk : s->k;
    return 0;
}

/* [layers, tokens, columns]: some tokens of one layer. */
static int give_layer(struct sglang *s, const struct array *x, int handle, int layer, int64_t first, int n,
                      struct error *err)
{
    int64_t k = x->shape[2], count = n * k;
    if (reserve(s, count, err) != 0 || integers_reserve(&s->block, count + 1, err) != 0 ||
        arrays_integers(s->arrays, x, (layer * x->shape[1] + first) * k, count, s->values, err) != 0) {
        return -1;
    }
    for (int64_t i = 0; i < (int64_t)n * s->k; i++) {
        int64_t e = logical(s, layer, s->values[i / s->k * k + i % s->k]);
        s->block.items[i] = e >= 0 && e < INT64_C(16) * CODEC_MAX_EXPERTS ? (int32_t)e : -1;
    }
    const struct routed r = {
        .layer = layer, .k = s->k, .expert = s->block.items, .n_experts = s->map != NULL ? s->n_logical : 0};
    return intake_routing(s->in, handle, &r, err);
}

/* Tokens of a prompt are its document's; those that were generated are nobody's, since the log does not say
 * whose. */
static int give_tokens(struct sglang *s, const struct array *x, int64_t step, const char *document,
                       int64_t first, int64_t end, int64_t offset, struct error *err)
{
    for (int64_t at = first; at < end; at += STRETCH_TOKENS) {
        int n = end - at < STRETCH_TOKENS ? (int)(end - at) : STRETCH_TOKENS, handle;
        bool ids = s->ids.n == x->shape[1];
        const struct stretch t = {.step = step,
                                  .file = s->file,
                                  .n_tokens = n,
                                  .document = document,
                                  .offset = offset + at - first,
                                  .ids = ids ? s->ids.items + at : NULL,
                                  .n_ids = !ids           ? 0
                                           : at + n < end ? n + 1
                                                          : n};
        if (intake_begin(s->in, &t, &handle, err) != 0) {
            return -1;
        }
        for (int l = 0; l < x->shape[0]; l++) {
            if (give_layer(s, x, handle, l, at, n, err) != 0) {
                return -1;
            }
        }
    }
    return intake_held(s->in) > HELD_DECISIONS / 4 ? intake_flush(s->in, err) : 0;
}

static int read_choices(struct sglang *s, const struct array *x, int64_t record, int64_t step,
                        int64_t *stream, struct error *err)
{
    struct integers lengths = {0};
    char name[320], base[256];
    int64_t first = 0;
    if (x->n_dimensions != 3 || x->shape[0] < 1 || x->shape[0] > MTP_LAYER || x->shape[2] < 1 ||
        x->shape[2] > INT16_MAX) {
        return wrong(s, x, "[layers, tokens, columns]", err);
    }
    if (s->map != NULL && x->shape[0] != s->n_layers) {
        return error_set(err, STATUS_INPUT, "%lld layers, and last_physical_to_logical_map has %lld",
                         (long long)x->shape[0], (long long)s->n_layers);
    }
    request_file_name(s->request, s->file, base, sizeof base);
    int result = count_columns(s, x, err);
    if (result == 0) {
        result = read_numbers(s, member(s, record, "extend_seq_lens"), &lengths, err);
    }
    if (result == 0) {
        result = read_numbers(s, member(s, record, "input_ids"), &s->ids, err);
    }
    if (result == 0 && s->ids.n > 0 && s->ids.n != x->shape[1]) {
        intake_finding(s->in, TRAP_ROWS_AND_TOKENS, RULING_REFUSED, "--accept rows-and-tokens leaves ids out",
                       "'%s': %lld rows and %lld input_ids", x->name, (long long)x->shape[1],
                       (long long)s->ids.n);
    }
    for (int64_t i = 0; i < lengths.n && result == 0; i++) {
        int64_t n = lengths.items[i];
        if (n > x->shape[1] - first) {
            result = error_set(err, STATUS_INPUT, "extend_seq_lens add up to more than its %lld tokens",
                               (long long)x->shape[1]);
            break;
        }
        snprintf(name, sizeof name, "%s:%lld#%lld", base, (long long)record, (long long)i);
        result = give_tokens(s, x, step, name, first, first + n, 0, err);
        first += n;
    }
    if (result == 0 && first < x->shape[1]) {
        result = give_tokens(s, x, step, NULL, first, x->shape[1], *stream, err);
        *stream += x->shape[1] - first;
    }
    integers_release(&lengths);
    return result;
}

/* 1: there was such a record. */
static int read_record(struct sglang *s, int64_t record, int64_t *stream, struct error *err)
{
    const struct array *counts = member(s, record, "global_physical_count");
    const struct array *choices = member(s, record, "topk_ids_of_layer");
    int64_t step = s->request->step + record;
    int result = 0;
    if (choices != NULL) {
        result = read_choices(s, choices, record, step, stream, err);
    } else if (counts != NULL) {
        result = read_pass_counts(s, counts, step, err);
    }
    return result != 0 ? -1 : choices != NULL || counts != NULL;
}

/* Ranks pass by pass, side by side. */
static int read_records(struct sglang *s, int n, struct error *err)
{
    int64_t stream = 0;
    bool more = true;
    for (int64_t record = 0; more; record++) {
        more = false;
        for (int f = 0; f < n; f++) {
            int result = read_record(&s[f], record, &stream, err);
            if (result < 0) {
                return error_prefix(err, "'%s' record %lld", s[f].path, (long long)record);
            }
            more = more || result == 1;
        }
        if (record == 0 && !more) {
            return error_set(err, STATUS_INPUT, "'%s' has neither logical_count nor records of passes",
                             s->path);
        }
    }
    return 0;
}

/* ---- files ---- */

static int read_files(struct sglang *s, int n, struct error *err)
{
    const struct array *stat = NULL;
    for (int f = 0; f < n; f++) {
        if (arrays_open(&s[f].arrays, s[f].path, err) != 0 || read_map(&s[f], err) != 0) {
            return -1;
        }
        stat = stat != NULL ? stat : arrays_find(s[f].arrays, "logical_count");
    }
    if (stat != NULL && n > 1) {
        return error_set(err, STATUS_INPUT,
                         "'%s' is of rank 0 and holds the sum of all: import one such file at a time",
                         s->path);
    }
    return stat != NULL ? read_stat(s, stat, err) : read_records(s, n, err);
}

static void release(struct sglang *s)
{
    arrays_close(s->arrays);
    free(s->map);
    free(s->values);
    free(s->counts);
    integers_release(&s->block);
    integers_release(&s->ids);
}

static int read_all(struct intake *in, const struct request *r, struct error *err)
{
    int n = r->n_files;
    struct sglang *s = calloc((size_t)n, sizeof *s);
    if (s == NULL) {
        return error_no_memory(err, "the files of ranks");
    }
    for (int f = 0; f < n; f++) {
        s[f] = (struct sglang){.in = in, .request = r, .path = r->files[f], .file = f};
    }
    int result = read_files(s, n, err);
    for (int f = 0; f < n; f++) {
        release(&s[f]);
    }
    free(s);
    return result;
}

static bool is_sglang(const struct head *h)
{
    struct arrays *a;
    if (h->n < 4 || memcmp(h->bytes, "PK", 2) != 0 || arrays_open(&a, h->path, NULL) != 0) {
        return false;
    }
    bool is =
        strcmp(arrays_format(a), "pt") == 0 && (arrays_find(a, "logical_count") != NULL ||
                                                arrays_find(a, "records.0.global_physical_count") != NULL ||
                                                arrays_find(a, "records.0.topk_ids_of_layer") != NULL);
    arrays_close(a);
    return is;
}

const struct import_format format_sglang = {
    "sglang", "SGLang's expert_distribution_recorder_*.pt", "probe", is_sglang, read_all, false};
