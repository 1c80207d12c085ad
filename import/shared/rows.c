#include "import/shared/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/seen.h"
#include "sql/codec.h"
#include "sql/loads.h"
#include "sql/logbook.h"

enum { ENOUGH_ROWS = 1 << 18 };

struct entry {
    int64_t token;
    int32_t layer, slot, expert, id;
    float gate;
    int32_t order, place; /* of arrival; of the token in the stretch */
};

struct counts { /* of a layer, of the step at hand */
    int64_t *count;
    int n;
};

struct rows {
    struct intake *in;
    struct entry *entries;
    int n, capacity;
    int64_t step;
    int file;
    bool any, named, has_domain;
    char document[ROWS_NAME], domain[ROWS_NAME];
    struct seen offsets;                     /* tokens by document, of the step; some come back */
    int64_t stream;                          /* tokens without a document so far */
    int64_t last_token, first_token, let_go; /* let_go: the last one that was */
    int32_t first_layer;
    bool by_token, many_layers; /* no row went back to an earlier token; rows are of several layers */
    struct counts counts[LOGBOOK_MAX_LAYERS];
    bool counted;
    int32_t *expert, *ids;
    float *gate;
    int64_t matrix;
};

int rows_open(struct rows **r, struct intake *in, struct error *err)
{
    *r = calloc(1, sizeof **r);
    if (*r == NULL) {
        return error_no_memory(err, "rows");
    }
    (*r)->in = in;
    return 0;
}

void rows_close(struct rows *r)
{
    if (r == NULL) {
        return;
    }
    for (int l = 0; l < LOGBOOK_MAX_LAYERS; l++) {
        free(r->counts[l].count);
    }
    seen_release(&r->offsets);
    free(r->entries);
    free(r->expert);
    free(r->ids);
    free(r->gate);
    free(r);
}

/* ---- tokens of what is held ---- */

static int by_token(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->token != y->token) {
        return x->token < y->token ? -1 : 1;
    }
    if (x->layer != y->layer) {
        return x->layer < y->layer ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

static int by_layer(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->layer != y->layer) {
        return x->layer < y->layer ? -1 : 1;
    }
    if (x->place != y->place) {
        return x->place < y->place ? -1 : 1;
    }
    if (x->slot != y->slot && x->slot >= 0 && y->slot >= 0) {
        return x->slot < y->slot ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

/* Most often they come in order. */
static void sort(struct rows *r, int (*compare)(const void *, const void *))
{
    for (int i = 1; i < r->n; i++) {
        if (compare(&r->entries[i - 1], &r->entries[i]) > 0) {
            qsort(r->entries, (size_t)r->n, sizeof *r->entries, compare);
            return;
        }
    }
}

/* Whether a slot is there already among those of the entry's token, which stand before it. */
static bool has_slot(const struct entry *e, int n)
{
    for (int i = 1; i <= n; i++) {
        if (e[-i].slot == e->slot) {
            return true;
        }
    }
    return false;
}

/* Where a slot comes again under one number there are several tokens of it, as in a prompt that passed at
 * once. A layer that has fewer of them has the last: engines leave out those that nobody asked about. Returns
 * how many tokens there are. */
static int place_tokens(struct rows *r)
{
    int placed = 0;
    sort(r, by_token);
    for (int first = 0, end; first < r->n; first = end) {
        int most = 0, here = 0, slots = 0;
        for (end = first; end < r->n && r->entries[end].token == r->entries[first].token; end++) {
            struct entry *e = &r->entries[end];
            bool same_layer = end > first && e[-1].layer == e->layer;
            bool again = same_layer && e->slot >= 0 && has_slot(e, slots);
            slots = same_layer && !again ? slots + 1 : 1;
            here = !same_layer ? 0 : here + again;
            e->place = here;
            most = here > most ? here : most;
        }
        for (int i = first, last; i < end; i = last) {
            for (last = i; last < end && r->entries[last].layer == r->entries[i].layer; last++) {
            }
            int shift = placed + most - r->entries[last - 1].place;
            for (int k = i; k < last; k++) {
                r->entries[k].place += shift;
            }
        }
        placed += most + 1;
    }
    sort(r, by_layer);
    return placed;
}

static int reserve_matrix(struct rows *r, int64_t n, struct error *err)
{
    if (n <= r->matrix) {
        return 0;
    }
    free(r->expert);
    free(r->gate);
    r->matrix = 0;
    r->expert = malloc((size_t)n * sizeof *r->expert);
    r->gate = malloc((size_t)n * sizeof *r->gate);
    if (r->expert == NULL || r->gate == NULL) {
        return error_no_memory(err, "rows");
    }
    r->matrix = n;
    return 0;
}

static int widest(const struct entry *e, int n)
{
    int most = 0;
    for (int i = 0, here = 0; i < n; i++) {
        here = i > 0 && e[i].place == e[i - 1].place ? here + 1 : 1;
        most = here > most ? here : most;
    }
    return most;
}

/* A layer's rows; where a gate is missing the layer's are unknown. */
static int give_layer(struct rows *r, const struct entry *e, int n, int n_tokens, int handle,
                      struct error *err)
{
    int k = widest(e, n), topk = (int)intake_request(r->in)->topk, unknown = 0;
    if (topk > 0 && k > topk) {
        return error_set(
            err, STATUS_INPUT,
            "a token of layer %d has %d choices, and --topk says %d; do token numbers begin anew? "
            "give them a column for step or document",
            e->layer, k, topk);
    }
    if (reserve_matrix(r, (int64_t)n_tokens * k, err) != 0) {
        return -1;
    }
    for (int64_t i = 0; i < (int64_t)n_tokens * k; i++) {
        r->expert[i] = -1;
        r->gate[i] = 0;
    }
    for (int i = 0, column = 0; i < n; i++) {
        column = i > 0 && e[i].place == e[i - 1].place ? column + 1 : 0;
        size_t at = (size_t)e[i].place * (size_t)k + (size_t)column;
        r->expert[at] = e[i].expert;
        r->gate[at] = e[i].gate;
        unknown += isnan(e[i].gate) != 0;
    }
    if (unknown > 0 && unknown < n) {
        intake_finding(r->in, TRAP_SELECTION_SCORE, RULING_UNKNOWN, "give every choice its gate",
                       "layer %d: %d of %d gates that passed together are missing: all of them are left out",
                       e->layer, unknown, n);
    }
    const struct routed routed = {
        .layer = e->layer, .k = k, .expert = r->expert, .gate = unknown == 0 ? r->gate : NULL};
    return intake_routing(r->in, handle, &routed, err);
}

static int collect_ids(struct rows *r, int n_tokens, bool *known, struct error *err)
{
    int32_t *ids = realloc(r->ids, ((size_t)n_tokens + 1) * sizeof *ids);
    if (ids == NULL) {
        return error_no_memory(err, "rows");
    }
    r->ids = ids;
    memset(ids, 0xff, (size_t)n_tokens * sizeof *ids);
    for (int i = 0; i < r->n; i++) {
        int32_t id = r->entries[i].id, *of = &ids[r->entries[i].place];
        if (id >= 0 && *of >= 0 && id != *of) {
            return error_set(err, STATUS_INPUT, "a token has the ids %d and %d", *of, id);
        }
        *of = id >= 0 ? id : *of;
    }
    *known = true;
    for (int t = 0; t < n_tokens; t++) {
        *known = *known && ids[t] >= 0;
    }
    return 0;
}

static void note_short_layers(struct rows *r, int n_tokens)
{
    int last = r->entries[r->n - 1].layer, first = r->n;
    while (first > 0 && r->entries[first - 1].layer == last) {
        first--;
    }
    if (first > 0 && r->entries[first].place > 0 && r->entries[0].place == 0) {
        intake_finding(r->in, TRAP_SHORT_LAYER, RULING_NOTED,
                       "compare loads by layer in shares; llama.cpp routes only tokens that somebody asked "
                       "about through "
                       "the last layer",
                       "of %d tokens that passed together the last layer, %d, has the last %d", n_tokens,
                       last, n_tokens - r->entries[first].place);
    }
}

static int offset_of(struct rows *r, int64_t **offset, struct error *err)
{
    if (!r->named) {
        *offset = &r->stream;
        return 0;
    }
    return seen_find_name(&r->offsets, r->document, offset, err);
}

/* next_id: of the token behind them; -1: there is none, or it is unknown. */
static int give_held(struct rows *r, int32_t next_id, struct error *err)
{
    bool ids;
    int64_t *offset;
    int handle, n_tokens = place_tokens(r);
    if (collect_ids(r, n_tokens, &ids, err) != 0 || offset_of(r, &offset, err) != 0) {
        return -1;
    }
    r->ids[n_tokens] = next_id;
    note_short_layers(r, n_tokens);
    const struct stretch s = {.step = r->step,
                              .file = r->file,
                              .n_tokens = n_tokens,
                              .document = r->named ? r->document : NULL,
                              .domain = r->has_domain ? r->domain : NULL,
                              .offset = *offset,
                              .ids = r->ids,
                              .n_ids = ids ? n_tokens + (next_id >= 0) : 0};
    if (intake_begin(r->in, &s, &handle, err) != 0) {
        return -1;
    }
    for (int first = 0, end; first < r->n; first = end) {
        for (end = first; end < r->n && r->entries[end].layer == r->entries[first].layer; end++) {
        }
        if (give_layer(r, r->entries + first, end - first, n_tokens, handle, err) != 0) {
            return -1;
        }
    }
    *offset += n_tokens;
    r->n = 0;
    return intake_held(r->in) > HELD_DECISIONS / 4 ? intake_flush(r->in, err) : 0;
}

/* ---- counts ---- */

static int give_counts(struct rows *r, struct error *err)
{
    for (int l = 0; r->counted && l < LOGBOOK_MAX_LAYERS; l++) {
        struct counts *c = &r->counts[l];
        const struct load load = {.step = r->step,
                                  .file = r->file,
                                  .layer = l,
                                  .n_experts = c->n,
                                  .count = c->count,
                                  .domain = r->has_domain ? r->domain : NULL};
        if (c->n > 0 && intake_load(r->in, &load, err) != 0) {
            return -1;
        }
        c->n = 0;
    }
    r->counted = false;
    return 0;
}

static int count_to(struct counts *c, int64_t expert, struct error *err)
{
    if (expert >= c->n) {
        int64_t *count = realloc(c->count, ((size_t)expert + 1) * sizeof *count);
        if (count == NULL) {
            return error_no_memory(err, "counts of experts");
        }
        memset(count + c->n, 0, ((size_t)expert + 1 - (size_t)c->n) * sizeof *count);
        c->count = count;
        c->n = (int)expert + 1;
    }
    return 0;
}

/* ---- groups ---- */

static int finish(struct rows *r, struct error *err)
{
    return r->n > 0 && give_held(r, -1, err) != 0 ? -1 : give_counts(r, err);
}

int rows_finish(struct rows *r, const struct input *from, struct error *err)
{
    r->any = false;
    return finish(r, err) == 0 ? 0 : input_place(from, err);
}

/* Of names that are kept cut to their buffers. */
static bool same(const char *a, bool has, const char *b)
{
    return b == NULL ? !has : has && strncmp(a, b, ROWS_NAME - 1) == 0;
}

/* Where nothing but domains tells documents apart, they do. */
static const char *document_of(const struct row *row)
{
    return row->document != NULL ? row->document : row->domain;
}

static int begin_group(struct rows *r, int file, const struct row *row, struct error *err)
{
    const char *document = document_of(row);
    bool same_document = same(r->document, r->named, document) && same(r->domain, r->has_domain, row->domain);
    if (r->any && row->step == r->step && file == r->file && same_document) {
        return 0;
    }
    if (finish(r, err) != 0) {
        return -1;
    }
    if (!r->any || row->step != r->step) {
        seen_release(&r->offsets); /* a step sees its documents from their beginning */
    }
    r->any = r->by_token = true;
    r->many_layers = false;
    r->let_go = INT64_MIN;
    r->first_layer = row->layer;
    r->step = row->step;
    r->file = file;
    r->named = document != NULL;
    r->has_domain = row->domain != NULL;
    snprintf(r->document, sizeof r->document, "%s", document != NULL ? document : "");
    snprintf(r->domain, sizeof r->domain, "%s", row->domain != NULL ? row->domain : "");
    r->last_token = r->first_token = row->token;
    return 0;
}

static int reserve(struct rows *r, const struct input *from, struct error *err)
{
    if (r->n < r->capacity) {
        return 0;
    }
    if (r->n == MOST_ROWS) {
        return input_refuse(
            from, err,
            "more than %d rows of one step and document that do not go token by token; sort them by "
            "token, or give them a column for document or step",
            MOST_ROWS);
    }
    int capacity = r->capacity > 0 ? 2 * r->capacity : 1024;
    struct entry *entries = realloc(r->entries, (size_t)capacity * sizeof *entries);
    if (entries == NULL) {
        return error_no_memory(err, "rows");
    }
    r->entries = entries;
    r->capacity = capacity;
    return 0;
}

int rows_add(struct rows *r, const struct input *from, int file, const struct row *row, struct error *err)
{
    if (row->layer < 0 || row->layer >= LOGBOOK_MAX_LAYERS || row->expert >= CODEC_MAX_EXPERTS ||
        row->step < 0) {
        return input_refuse(from, err, "step %lld, layer %d, expert %d", (long long)row->step, row->layer,
                            row->expert);
    }
    if (begin_group(r, file, row, err) != 0) {
        return input_place(from, err);
    }
    if (row->token <= r->let_go) {
        return input_refuse(from, err, "token %lld comes back after token %lld; sort the rows by token",
                            (long long)row->token, (long long)r->let_go);
    }
    r->by_token = r->by_token && row->token >= r->last_token;
    r->many_layers = r->many_layers || row->layer != r->first_layer;
    /* Rows of one layer alone may be the first of a table that goes layer by layer. */
    bool enough = r->many_layers ? row->token - r->first_token >= STRETCH_TOKENS || r->n >= ENOUGH_ROWS
                                 : r->n >= MOST_ROWS / 2;
    if (r->by_token && row->token > r->last_token && enough) {
        if (give_held(r, row->id, err) != 0) {
            return input_place(from, err);
        }
        r->let_go = r->last_token;
        r->first_token = row->token;
    }
    if (reserve(r, from, err) != 0) {
        return -1;
    }
    r->last_token = row->token;
    r->entries[r->n] = (struct entry){.token = row->token,
                                      .layer = row->layer,
                                      .slot = row->slot,
                                      .expert = row->expert,
                                      .id = row->id,
                                      .gate = row->gate,
                                      .order = r->n};
    r->n++;
    return 0;
}

int rows_count(struct rows *r, const struct input *from, int file, int64_t step, int64_t layer,
               int64_t expert, int64_t count, const char *domain, struct error *err)
{
    const struct row row = {.step = step, .domain = domain};
    if (layer < 0 || layer >= LOGBOOK_MAX_LAYERS || expert < 0 || expert >= CODEC_MAX_EXPERTS || count < 0 ||
        count > load_most || step < 0) {
        return input_refuse(from, err, "step %lld, layer %lld, expert %lld, count %lld", (long long)step,
                            (long long)layer, (long long)expert, (long long)count);
    }
    if (begin_group(r, file, &row, err) != 0) {
        return input_place(from, err);
    }
    struct counts *c = &r->counts[layer];
    if (count_to(c, expert, err) != 0) {
        return -1;
    }
    c->count[expert] += c->count[expert] <= load_most ? count : 0; /* more is refused as it is given */
    r->counted = true;
    return 0;
}
