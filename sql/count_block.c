/* Decisions of a block, counted by key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/count_block.h"

/* A chunk: what a cell can count. */
enum { MAX_CHUNK = 1 << 20, MAX_SPLITS = 1 << 12, LANES = 4 };
enum { COUNT_SHIFT = 40 }; /* of a cell: the number of decisions above the sum of their stored gates */

/* ---- keys ---- */

int64_t number_of_split(struct cursor *c, const char *split)
{
    for (int i = 0; i < c->n_splits; i++) {
        if (strcmp(c->splits[i], split) == 0) {
            return i;
        }
    }
    void *more =
        c->n_splits < MAX_SPLITS ? realloc(c->splits, (size_t)(c->n_splits + 1) * sizeof *c->splits) : NULL;
    if (more == NULL) {
        return -1;
    }
    c->splits = more;
    snprintf(c->splits[c->n_splits], sizeof *c->splits, "%s", split);
    return c->n_splits++;
}

int compare_keys(const int64_t *a, const int64_t *b, void *context)
{
    const struct cursor *c = context;
    for (int i = 0; i < c->plan.n_keys; i++) {
        int order = (a[i] > b[i]) - (a[i] < b[i]);
        if (c->plan.keys[i].field == FIELD_SPLIT && order != 0) {
            order = strcmp(c->splits[a[i]], c->splits[b[i]]);
        }
        if (order != 0) {
            return c->plan.keys[i].descending ? -order : order;
        }
    }
    return 0;
}

int count_enter_keys(struct cursor *c, struct error *err)
{
    for (int i = 0; i < c->plan.n_keys; i++) {
        enum field field = c->plan.keys[i].field;
        if (field == FIELD_SPLIT) {
            c->key[i] = number_of_split(c, c->scan.sequence.split);
            if (c->key[i] < 0) {
                return error_no_memory(err, "so many splits");
            }
        } else if (field < FIELD_POSITION) {
            c->key[i] = cursor_value(c, field);
        }
    }
    return 0;
}

void count_set_key(struct cursor *c, enum field field, int64_t value)
{
    if (c->key_of[field] >= 0) {
        c->key[c->key_of[field]] = value;
    }
}

void count_set_keys(struct cursor *c)
{
    for (int f = FIELD_POSITION; f < N_KEYS; f++) {
        if (c->key_of[f] >= 0) {
            c->key[c->key_of[f]] = cursor_value(c, (enum field)f);
        }
    }
}

int add_to_group(struct cursor *c, int64_t decisions, int64_t gates, double gate_sum, struct error *err)
{
    if ((c->after && compare_keys(c->key, c->low, c) <= 0) ||
        (c->up_to && compare_keys(c->key, c->high, c) > 0)) {
        return 0;
    }
    struct group *g = groups_find(&c->groups, c->key);
    if (g == NULL) {
        return error_no_memory(err, "counted decisions");
    }
    g->decisions += decisions;
    g->gates += gates;
    g->gate_sum += gate_sum;
    return 0;
}

/* ---- a block ---- */

static int count_decisions(struct cursor *c, struct error *err)
{
    const struct packed_block *p = &c->scan.block.packed;
    bool known = p->gates.bytes != NULL;
    cursor_enter_block(c);
    while (cursor_step(c)) {
        if (c->filtered && !cursor_passes(c)) {
            continue;
        }
        count_set_keys(c);
        double gate = known ? gate_from_stored(p, packed_gate(p, (size_t)c->decision)) : 0;
        if (add_to_group(c, 1, known, gate, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Counts decisions first, first + stride, ... below last in the cells of their experts. Lanes, since a
 * collapsed router would have every addition wait for the one before it. */
static void count_cells(const struct cursor *c, size_t first, size_t last, size_t stride)
{
    const struct scan_block *b = &c->scan.block;
    const struct packed_block *p = &b->packed;
    const uint64_t one = (uint64_t)1 << COUNT_SHIFT;
    uint64_t *lane[LANES];
    for (size_t l = 0; l < LANES; l++) {
        lane[l] = c->cells + l * c->n_cells;
    }
    size_t i = first;
    if (p->codec->expert_bytes == 1 && p->codec->gate_bytes == 1 && p->gates.bytes != NULL) {
        const uint8_t *expert = p->experts.bytes, *gate = p->gates.bytes;
        for (; i + (LANES - 1) * stride < last; i += LANES * stride) {
            lane[0][expert[i]] += one | gate[i];
            lane[1][expert[i + stride]] += one | gate[i + stride];
            lane[2][expert[i + 2 * stride]] += one | gate[i + 2 * stride];
            lane[3][expert[i + 3 * stride]] += one | gate[i + 3 * stride];
        }
    }
    for (; i < last; i += stride) {
        uint64_t gate = p->gates.bytes != NULL ? packed_gate(p, i) : 0;
        lane[0][packed_expert(p, b->n_experts, i)] += one | gate;
    }
}

/* Adds the cells to their groups. */
static int add_cells(struct cursor *c, struct error *err)
{
    const struct packed_block *p = &c->scan.block.packed;
    const uint64_t gates = ((uint64_t)1 << COUNT_SHIFT) - 1;
    for (int e = 0; e < c->scan.block.n_experts; e++) {
        uint64_t sum = 0;
        for (size_t l = 0; l < LANES; l++) {
            sum += c->cells[l * c->n_cells + (size_t)e];
        }
        int64_t n = (int64_t)(sum >> COUNT_SHIFT);
        if (n == 0 || !cursor_in_range(c, FIELD_EXPERT, e)) {
            continue;
        }
        count_set_key(c, FIELD_EXPERT, e);
        bool known = p->gates.bytes != NULL;
        if (add_to_group(c, n, known ? n : 0, known ? gate_from_stored(p, (double)(sum & gates)) : 0, err) !=
            0) {
            return -1;
        }
    }
    return 0;
}

static int count_some(struct cursor *c, size_t first, size_t last, size_t stride, struct error *err)
{
    size_t n = (size_t)c->scan.block.n_experts;
    for (size_t l = 0; l < LANES; l++) {
        memset(c->cells + l * c->n_cells, 0, n * sizeof *c->cells);
    }
    count_cells(c, first, last, stride);
    return add_cells(c, err);
}

static bool reserve_cells(struct cursor *c, size_t n)
{
    if (n > c->n_cells) {
        uint64_t *cells = realloc(c->cells, LANES * n * sizeof *cells);
        if (cells == NULL) {
            return false;
        }
        c->cells = cells;
        c->n_cells = n;
    }
    return true;
}

/* Counts by expert, and by slot where that is asked for, in pieces that a cell can hold. */
static int count_block(struct cursor *c, struct error *err)
{
    const struct scan_block *b = &c->scan.block;
    size_t n = (size_t)b->n_decisions, k = (size_t)b->packed.k;
    if (!cursor_in_range(c, FIELD_DROPPED, 0)) {
        return 0;
    }
    if (!reserve_cells(c, (size_t)b->n_experts)) {
        return error_no_memory(err, "counted decisions");
    }
    count_set_key(c, FIELD_DROPPED, 0);
    for (size_t first = 0; first < n; first += MAX_CHUNK) {
        size_t last = n - first > MAX_CHUNK ? first + MAX_CHUNK : n;
        if (!c->uses[FIELD_SLOT]) {
            if (count_some(c, first, last, 1, err) != 0) {
                return -1;
            }
            continue;
        }
        for (size_t slot = 0; slot < k; slot++) {
            count_set_key(c, FIELD_SLOT, (int64_t)slot);
            if (cursor_in_range(c, FIELD_SLOT, (int64_t)slot) &&
                count_some(c, first + slot, last, k, err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Whether cells serve: they know experts and, with a fixed k in one piece, slots; nothing of tokens. */
static bool cells_serve(const struct cursor *c)
{
    const struct scan_block *b = &c->scan.block;
    if (c->by_decision || (c->uses[FIELD_DROPPED] && b->packed.dropped.bytes != NULL)) {
        return false;
    }
    return !c->uses[FIELD_SLOT] || (b->packed.k > 0 && b->n_decisions <= MAX_CHUNK);
}

int count_entered(struct cursor *c, struct error *err)
{
    if (count_enter_keys(c, err) != 0) {
        return -1;
    }
    return cells_serve(c) ? count_block(c, err) : count_decisions(c, err);
}
