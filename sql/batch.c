#include "sql/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sql/refuse.h"

enum { ANY_LAYER = -1 };
static const struct span no_span = {SIZE_MAX, 0};

/* ---- memory ---- */

struct moescope_batch *batch_new(struct moescope_writer *w, const struct run_layer *layers, int gate_bits,
                                 bool derive_loads)
{
    struct moescope_batch *b = calloc(1, sizeof *b);
    if (b != NULL) {
        b->writer = w;
        b->layers = layers;
        b->gate_bytes = gate_bits == 16 ? 2 : 1;
        b->derive_loads = derive_loads;
    }
    return b;
}

enum { N_LISTS = 9 };

static void lists_of(struct moescope_batch *b, struct list *lists[N_LISTS])
{
    struct list *const all[N_LISTS] = {&b->metrics, &b->loads,         &b->document_losses,
                                       &b->events,  &b->checkpoints,   &b->sequences,
                                       &b->blocks,  &b->probabilities, &b->derived};
    memcpy(lists, all, sizeof all);
}

void batch_free(struct moescope_batch *b)
{
    struct list *lists[N_LISTS];
    if (b == NULL) {
        return;
    }
    derived_clear(b);
    lists_of(b, lists);
    for (int i = 0; i < N_LISTS; i++) {
        free(lists[i]->items);
    }
    free(b->bytes);
    free(b);
}

void batch_clear(struct moescope_batch *b)
{
    struct list *lists[N_LISTS];
    derived_clear(b);
    lists_of(b, lists);
    for (int i = 0; i < N_LISTS; i++) {
        lists[i]->n = 0;
    }
    b->next = NULL;
    b->length = 0;
    b->longest = 0;
    b->failed = false;
}

size_t batch_memory(const struct moescope_batch *b)
{
    return sizeof *b + b->capacity + b->list_bytes;
}

/* The first failure is the one that is told, at the commit. */
void batch_fail_memory(struct moescope_batch *b)
{
    if (!b->failed) {
        b->failed = true;
        error_no_memory(&b->err, "a logbook batch");
    }
}

void *batch_add(struct moescope_batch *b, struct list *list, size_t size)
{
    if (list->n == list->capacity) {
        int capacity = list->capacity > 0 ? 2 * list->capacity : 16;
        void *items = realloc(list->items, (size_t)capacity * size);
        if (items == NULL) {
            batch_fail_memory(b);
            return NULL;
        }
        b->list_bytes += (size_t)(capacity - list->capacity) * size;
        list->items = items;
        list->capacity = capacity;
    }
    void *item = (char *)list->items + (size_t)list->n++ * size;
    return memset(item, 0, size);
}

/* Room for n bytes in the buffer; *at is where. NULL when memory is short. */
static uint8_t *reserve(struct moescope_batch *b, size_t n, struct span *span)
{
    if (b->length + n > b->capacity) {
        size_t capacity = b->capacity > 0 ? b->capacity : 4096;
        while (capacity < b->length + n) {
            capacity *= 2;
        }
        uint8_t *bytes = realloc(b->bytes, capacity);
        if (bytes == NULL) {
            batch_fail_memory(b);
            *span = no_span;
            return NULL;
        }
        b->bytes = bytes;
        b->capacity = capacity;
    }
    *span = (struct span){b->length, n};
    b->length += n;
    return b->bytes + span->at;
}

static struct span add_string(struct moescope_batch *b, const char *s)
{
    struct span span = no_span;
    if (s != NULL) {
        size_t n = strlen(s) + 1;
        uint8_t *bytes = reserve(b, n, &span);
        if (bytes != NULL) {
            memcpy(bytes, s, n);
        }
    }
    return span;
}

const char *batch_string(const struct moescope_batch *b, struct span span)
{
    return span.at == SIZE_MAX ? NULL : (const char *)b->bytes + span.at;
}

struct piece batch_piece(const struct moescope_batch *b, struct span span)
{
    struct piece piece = {NULL, 0};
    if (span.at != SIZE_MAX) {
        piece.bytes = b->bytes + span.at;
        piece.n = span.n;
    }
    return piece;
}

static uint32_t span_checksum(const struct moescope_batch *b, struct span span)
{
    struct piece piece = batch_piece(b, span);
    return piece_checksum(&piece, 1);
}

void moescope_batch_discard(struct moescope_batch *b)
{
    batch_free(b);
}

/* ---- rows ---- */

static void add_metric(struct moescope_batch *b, int64_t step, const char *split, int layer, const char *name,
                       double value)
{
    if (!batch_takes(b, "metric", step, split) || !batch_has(b, name, "metric", "its name")) {
        return;
    }
    struct batch_metric *m = batch_add(b, &b->metrics, sizeof *m);
    if (m != NULL) {
        *m = (struct batch_metric){.step = step, .layer = layer, .value = value};
        m->split = add_string(b, split);
        m->name = add_string(b, name);
    }
}

void moescope_batch_metric(struct moescope_batch *b, int64_t step, const char *split, const char *name,
                           double value)
{
    add_metric(b, step, split, ANY_LAYER, name, value);
}

void moescope_batch_layer_metric(struct moescope_batch *b, int64_t step, const char *split, int layer,
                                 const char *name, double value)
{
    if (!b->failed && batch_takes_layer(b, "metric", layer)) {
        add_metric(b, step, split, layer, name, value);
    }
}

void moescope_batch_document_loss(struct moescope_batch *b, int64_t step, const char *split,
                                  int64_t document_id, int64_t n_tokens, int64_t n_bytes, double loss_sum)
{
    if (!batch_takes(b, "loss of a document", step, split)) {
        return;
    }
    if (n_tokens < 0 || n_bytes < 0) {
        batch_refuse(b, "loss of document %lld: %lld tokens of %lld bytes", (long long)document_id,
                     (long long)n_tokens, (long long)n_bytes);
        return;
    }
    struct batch_document_loss *d = batch_add(b, &b->document_losses, sizeof *d);
    if (d != NULL) {
        d->step = step;
        d->document_id = document_id;
        d->n_tokens = n_tokens;
        d->n_bytes = n_bytes;
        d->loss_sum = loss_sum;
        d->split = add_string(b, split);
    }
}

void moescope_batch_event(struct moescope_batch *b, int64_t step, const char *kind, int layer, int expert,
                          double value, const char *message)
{
    if (!batch_takes_event(b, step, kind, layer, expert)) {
        return;
    }
    struct batch_event *e = batch_add(b, &b->events, sizeof *e);
    if (e != NULL) {
        *e = (struct batch_event){.step = step, .layer = layer, .expert = expert, .value = value};
        e->kind = add_string(b, kind);
        e->message = add_string(b, message);
    }
}

void moescope_batch_checkpoint(struct moescope_batch *b, int64_t step, const char *path, const char *sha256)
{
    if (b->failed || !batch_takes_step(b, "checkpoint", step) ||
        !batch_has(b, path, "checkpoint", "its path") || !batch_has(b, sha256, "checkpoint", "its sha256")) {
        return;
    }
    struct batch_checkpoint *c = batch_add(b, &b->checkpoints, sizeof *c);
    if (c != NULL) {
        c->step = step;
        c->path = add_string(b, path);
        c->sha256 = add_string(b, sha256);
    }
}

/* Diverged routers are worth an event, one a step and layer: their gates and sums are not kept. */
static void tell_not_finite(struct moescope_batch *b, int64_t step, int layer, const char *message)
{
    if (b->failed) {
        return;
    }
    for (int i = 0; i < b->events.n; i++) {
        const struct batch_event *e = (const struct batch_event *)b->events.items + i;
        if (e->step == step && e->layer == layer && strcmp(batch_string(b, e->kind), "not_finite") == 0) {
            return;
        }
    }
    moescope_batch_event(b, step, "not_finite", layer, -1, NAN, message);
}

static double sum_at(const double *sums, int e)
{
    return sums != NULL ? sums[e] : NAN;
}

static bool sum_is_finite(const double *sums, int e)
{
    return sums == NULL || isfinite(sums[e]);
}

/* Only those of training, all domains together, are summed over windows. */
static struct span add_numbers(struct moescope_batch *b, const char *split, const struct moescope_load *load)
{
    struct span span = no_span;
    if (load->domain_id != 0 || strcmp(split, "train") != 0) {
        return span;
    }
    uint8_t *bytes = reserve(b, (size_t)load->n_experts * sizeof(struct load_numbers), &span);
    for (int e = 0; bytes != NULL && e < load->n_experts; e++) {
        const struct load_numbers numbers = {load->assignments[e],
                                             load->dropped != NULL ? load->dropped[e] : 0,
                                             sum_at(load->gate_sum, e), sum_at(load->probability_sum, e)};
        memcpy(bytes + (size_t)e * sizeof numbers, &numbers, sizeof numbers);
    }
    return span;
}

static bool sums_finite(const struct moescope_load *load)
{
    for (int e = 0; e < load->n_experts; e++) {
        if (!sum_is_finite(load->gate_sum, e) || !sum_is_finite(load->probability_sum, e)) {
            return false;
        }
    }
    return true;
}

static void load_json(struct text *json, const struct moescope_load *load)
{
    for (int e = 0; e < load->n_experts; e++) {
        text_add(json, e > 0 ? ",[" : "[[");
        text_add_int(json, load->assignments[e]);
        text_add(json, ",");
        text_add_int(json, load->dropped != NULL ? load->dropped[e] : 0);
        text_add(json, ",");
        text_add_number(json, sum_at(load->gate_sum, e));
        text_add(json, ",");
        text_add_number(json, sum_at(load->probability_sum, e));
        text_add(json, "]");
    }
    text_add(json, load->n_experts > 0 ? "]" : "[]");
}

static void longest_at_least(struct moescope_batch *b, int n)
{
    b->longest = n > b->longest ? n : b->longest;
}

void batch_load(struct moescope_batch *b, int64_t step, const char *split, const struct moescope_load *load)
{
    struct text json;
    text_init(&json);
    load_json(&json, load);
    struct batch_load *l = batch_add(b, &b->loads, sizeof *l);
    if (json.failed) {
        batch_fail_memory(b);
    } else if (l != NULL) {
        *l = (struct batch_load){
            .step = step, .domain_id = load->domain_id, .layer = load->layer, .n_experts = load->n_experts};
        l->split = add_string(b, split);
        l->experts = add_string(b, json.data);
        l->numbers = add_numbers(b, split, load);
        longest_at_least(b, load->n_experts);
    }
    text_release(&json);
}

void moescope_batch_load(struct moescope_batch *b, int64_t step, const char *split,
                         const struct moescope_load *load)
{
    if (!batch_takes_load(b, step, split, load)) {
        return;
    }
    batch_load(b, step, split, load);
    if (!sums_finite(load)) {
        tell_not_finite(b, step, load->layer, "sums over the router that are not finite; null in the load");
    }
}

/* ---- sequences ---- */

/* Two bytes an id when all of them fit: the reader tells by the length. 0: one is negative. */
static int token_width(const int32_t *ids, int n)
{
    uint32_t bits = 0;
    for (int i = 0; i < n; i++) {
        bits |= (uint32_t)ids[i];
    }
    return bits < 65536 ? 2 : bits <= INT32_MAX ? 4 : 0;
}

int moescope_batch_sequence(struct moescope_batch *b, int64_t step, const char *split,
                            const struct moescope_sequence *sequence)
{
    if (!batch_takes_sequence(b, step, split, sequence)) {
        return -1;
    }
    int n = sequence->n_tokens, width = token_width(sequence->ids, n + 1);
    if (width == 0) {
        batch_refuse(b, "sequence of step %lld: a negative id", (long long)step);
        return -1;
    }
    struct batch_sequence *s = batch_add(b, &b->sequences, sizeof *s);
    if (s == NULL) {
        return -1;
    }
    s->step = step;
    s->document_id = sequence->document_id;
    s->domain_id = sequence->domain_id;
    s->offset = sequence->offset;
    s->n_tokens = n;
    s->split = add_string(b, split);
    uint8_t *tokens = reserve(b, (size_t)(n + 1) * (size_t)width, &s->tokens);
    if (tokens != NULL) {
        pack_integers(tokens, width, sequence->ids, (size_t)n + 1);
    }
    s->classified = sequence->outcome != NULL;
    if (s->classified) {
        s->outcome = *sequence->outcome;
    }
    s->losses = no_span;
    if (sequence->loss != NULL) {
        uint8_t *losses = reserve(b, 2 * (size_t)n, &s->losses);
        if (losses != NULL) {
            pack_losses(losses, sequence->loss, (size_t)n);
            s->checksum = span_checksum(b, s->losses);
        }
    }
    longest_at_least(b, n + 1);
    return b->sequences.n - 1;
}

/* ---- decisions ---- */

/* NULL, and the batch has failed, when there is no such sequence in it. */
static const struct batch_sequence *sequence_of(struct moescope_batch *b, const char *what, int sequence)
{
    if (b->failed || sequence < 0 || sequence >= b->sequences.n) {
        batch_refuse(b, "%s: no sequence %d in the batch", what, sequence);
        return NULL;
    }
    return (const struct batch_sequence *)b->sequences.items + sequence;
}

struct gate_range {
    bool known; /* all of them are there and finite */
    float largest;
};

/* One look at the bits is enough as long as all is well. */
static bool takes_gates(struct moescope_batch *b, int layer, const float *gate, size_t n,
                        struct gate_range *range)
{
    *range = (struct gate_range){.known = gate != NULL};
    if (gate == NULL || float_range(gate, n, &range->largest)) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (gate[i] < 0) {
            return batch_refuse(b,
                                "routing of layer %d: a negative gate; a logbook keeps probabilities or "
                                "scores of 0 and more",
                                layer);
        }
        range->known = range->known && isfinite(gate[i]);
        range->largest = gate[i] > range->largest ? gate[i] : range->largest;
    }
    return true;
}

/* Whether every token has all experts in their order, so that ids need not be kept. */
static bool all_in_order(const struct moescope_block *block, int64_t n_decisions)
{
    if (block->k == 0 || block->k != block->n_experts) {
        return false;
    }
    for (int64_t i = 0; i < n_decisions; i++) {
        if (block->expert[i] != i % block->n_experts) {
            return false;
        }
    }
    return true;
}

static void pack_gates(struct moescope_batch *b, struct batch_block *out, const float *gate,
                       struct gate_range range, size_t n)
{
    out->scale = gate_scale(range.known ? range.largest : 0);
    if (!range.known) {
        return; /* unknown: NULL */
    }
    uint8_t *bytes = reserve(b, n * (size_t)out->codec->gate_bytes, &out->gates);
    if (bytes != NULL) {
        pack_fraction(bytes, out->codec->gate_bytes, out->scale / SCALE_UNIT, gate, n);
    }
}

static void pack_offsets(struct moescope_batch *b, struct batch_block *out, const int32_t *offsets,
                         int n_tokens)
{
    uint8_t *bytes = reserve(b, 2 * ((size_t)n_tokens + 1), &out->offsets);
    for (int t = 0; bytes != NULL && t <= n_tokens; t++) {
        uint32_t from_zero = offsets != NULL ? (uint32_t)(offsets[t] - offsets[0]) : 0;
        bytes[2 * (size_t)t] = (uint8_t)from_zero;
        bytes[2 * (size_t)t + 1] = (uint8_t)(from_zero >> 8);
    }
}

static void pack_dropped(struct moescope_batch *b, struct batch_block *out, const uint8_t *dropped, size_t n)
{
    if (dropped == NULL || !any_byte(dropped, n)) {
        return; /* NULL: none */
    }
    uint8_t *bytes = reserve(b, (n + 7) / 8, &out->dropped);
    if (bytes != NULL) {
        pack_bits(bytes, dropped, n);
    }
}

static void pack_experts(struct moescope_batch *b, struct batch_block *out, const int32_t *expert, size_t n)
{
    int width = out->codec->expert_bytes;
    if (width == 0) {
        return; /* implied */
    }
    uint8_t *bytes = reserve(b, n * (size_t)width, &out->experts);
    if (bytes != NULL) {
        pack_integers(bytes, width, expert, n);
    }
}

static uint32_t block_checksum(const struct moescope_batch *b, const struct batch_block *k)
{
    const struct piece pieces[] = {batch_piece(b, k->experts), batch_piece(b, k->gates),
                                   batch_piece(b, k->offsets), batch_piece(b, k->dropped)};
    return piece_checksum(pieces, 4);
}

void moescope_batch_routing(struct moescope_batch *b, int sequence, const struct moescope_block *block)
{
    const struct batch_sequence *s = sequence_of(b, "routing", sequence);
    struct gate_range gates;
    int64_t n;
    if (s == NULL || !batch_has(b, block, "routing", "it") || !batch_takes_block(b, s, block, &n) ||
        !takes_gates(b, block->layer, block->gate, (size_t)n, &gates)) {
        return;
    }
    int n_tokens = s->n_tokens;
    int64_t step = s->step;
    struct batch_block *out = batch_add(b, &b->blocks, sizeof *out);
    if (out == NULL) {
        return;
    }
    int expert_bytes = all_in_order(block, n) ? 0 : block->n_experts <= 256 ? 1 : 2;
    *out = (struct batch_block){.sequence = sequence, .layer = block->layer, .k = block->k};
    out->codec = codec_by_width(expert_bytes, b->gate_bytes);
    out->experts = out->gates = out->offsets = out->dropped = no_span;
    pack_experts(b, out, block->expert, (size_t)n);
    pack_gates(b, out, block->gate, gates, (size_t)n);
    if (block->k == 0) {
        pack_offsets(b, out, block->offsets, n_tokens);
    }
    pack_dropped(b, out, block->dropped, (size_t)n);
    out->checksum = block_checksum(b, out);
    longest_at_least(b, block->n_experts > n_tokens ? block->n_experts : n_tokens);
    if (b->derive_loads) {
        derived_add(b, s, block, n);
    }
    if (block->gate != NULL && out->gates.at == SIZE_MAX) {
        tell_not_finite(b, step, block->layer, "gates that are not finite; unknown in routing");
    }
}

/* Sums that were rounded to bfloat16 on their way may be as far above 1; they are kept as 1. */
static const float most_probability = 1 + 1.0f / 128;

/* Whether all are finite. The usual case is seen many at once; a value that is -0 has all of them looked at.
 */
static bool takes_probabilities(struct moescope_batch *b, int layer, const float *values, size_t n,
                                bool *finite)
{
    float largest;
    *finite = true;
    if (float_range(values, n, &largest) && largest <= most_probability) {
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        *finite = *finite && isfinite(values[i]);
        if (isfinite(values[i]) && (values[i] < 0 || values[i] > most_probability)) {
            return batch_refuse(b, "probabilities of layer %d: %g is none", layer, (double)values[i]);
        }
    }
    return true;
}

void moescope_batch_probability(struct moescope_batch *b, int sequence, int layer, int n_experts,
                                const float *probability)
{
    static const char what[] = "probabilities";
    const struct batch_sequence *s = sequence_of(b, what, sequence);
    if (s == NULL || !batch_takes_experts(b, what, layer, n_experts) ||
        !batch_has(b, probability, what, "what was given")) {
        return;
    }
    size_t n = (size_t)s->n_tokens * (size_t)n_experts;
    bool finite;
    if (!takes_probabilities(b, layer, probability, n, &finite)) {
        return;
    }
    if (!finite) {
        tell_not_finite(b, s->step, layer, "router probabilities that are not finite; not kept");
        return;
    }
    struct batch_probability *out = batch_add(b, &b->probabilities, sizeof *out);
    if (out == NULL) {
        return;
    }
    *out = (struct batch_probability){.sequence = sequence, .layer = layer, .n_experts = n_experts};
    uint8_t *bytes = reserve(b, 2 * n, &out->p);
    if (bytes != NULL) {
        pack_fraction(bytes, 2, 1, probability, n);
        out->checksum = span_checksum(b, out->p);
    }
    longest_at_least(b, n_experts);
}

/* ---- order ---- */

static int by_id(int sequence_a, int layer_a, int sequence_b, int layer_b)
{
    if (sequence_a != sequence_b) {
        return sequence_a < sequence_b ? -1 : 1;
    }
    return (layer_a > layer_b) - (layer_a < layer_b);
}

static int by_block(const void *a, const void *b)
{
    const struct batch_block *x = a, *y = b;
    return by_id(x->sequence, x->layer, y->sequence, y->layer);
}

static int by_probability(const void *a, const void *b)
{
    const struct batch_probability *x = a, *y = b;
    return by_id(x->sequence, x->layer, y->sequence, y->layer);
}

/* Most often they come in order. */
static void sort(struct list *list, size_t size, int (*compare)(const void *, const void *))
{
    const char *items = list->items;
    for (int i = 1; i < list->n; i++) {
        if (compare(items + (size_t)(i - 1) * size, items + (size_t)i * size) > 0) {
            qsort(list->items, (size_t)list->n, size, compare);
            return;
        }
    }
}

void batch_sort(struct moescope_batch *b)
{
    sort(&b->blocks, sizeof(struct batch_block), by_block);
    sort(&b->probabilities, sizeof(struct batch_probability), by_probability);
}
