/* Loads as they follow from the decisions in a batch, for callers who do not count themselves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/batch.h"

struct derived {
    int64_t step, domain_id; /* 0: all domains */
    struct span split;
    int layer, n_experts;
    int64_t *counts; /* (2, n_experts) accepted and dropped */
    double *sums;    /* (2, n_experts) of the gates of those accepted, of probabilities; NaN: unknown */
};

static struct derived *item(const struct moescope_batch *b, int i)
{
    return (struct derived *)b->derived.items + i;
}

static bool same_split(const struct moescope_batch *b, struct span x, struct span y)
{
    return strcmp(batch_string(b, x), batch_string(b, y)) == 0;
}

static struct derived *new_item(struct moescope_batch *b, const struct derived *like)
{
    struct derived *d = batch_add(b, &b->derived, sizeof *d);
    if (d == NULL) {
        return NULL;
    }
    *d = *like;
    d->counts = calloc(2 * (size_t)like->n_experts, sizeof *d->counts);
    d->sums = calloc(2 * (size_t)like->n_experts, sizeof *d->sums);
    if (d->counts == NULL || d->sums == NULL) {
        batch_fail_memory(b);
        return NULL;
    }
    return d;
}

/* That of a sequence's step, split and layer; the latest come first to hand. */
static struct derived *find_or_add(struct moescope_batch *b, const struct derived *like)
{
    for (int i = b->derived.n - 1; i >= 0; i--) {
        struct derived *d = item(b, i);
        if (d->step == like->step && d->domain_id == like->domain_id && d->layer == like->layer &&
            d->n_experts == like->n_experts && same_split(b, d->split, like->split)) {
            return d;
        }
    }
    return new_item(b, like);
}

static void add_decisions(struct derived *d, const struct moescope_block *block, int64_t n_decisions)
{
    int64_t *accepted = d->counts, *dropped = d->counts + d->n_experts;
    for (int64_t i = 0; i < n_decisions; i++) {
        int32_t e = block->expert[i];
        if (block->dropped != NULL && block->dropped[i] != 0) {
            dropped[e]++;
            continue;
        }
        accepted[e]++;
        d->sums[e] += block->gate != NULL ? (double)block->gate[i] : NAN;
    }
}

static void add_probabilities(struct derived *d, const float *probability, int n_tokens)
{
    double *sums = d->sums + d->n_experts;
    for (int t = 0; t < n_tokens; t++) {
        for (int e = 0; e < d->n_experts; e++) {
            sums[e] +=
                probability != NULL ? (double)probability[(size_t)t * (size_t)d->n_experts + (size_t)e] : NAN;
        }
    }
}

static void add_to(struct moescope_batch *b, const struct derived *like, const struct moescope_block *block,
                   int64_t n_decisions, int n_tokens)
{
    struct derived *d = find_or_add(b, like);
    if (d != NULL && !b->failed) {
        add_decisions(d, block, n_decisions);
        add_probabilities(d, block->probability, n_tokens);
    }
}

void derived_add(struct moescope_batch *b, const struct batch_sequence *s, const struct moescope_block *block,
                 int64_t n_decisions)
{
    struct derived like = {
        .step = s->step, .split = s->split, .layer = block->layer, .n_experts = block->n_experts};
    int64_t domain_id = s->domain_id;
    int n_tokens = s->n_tokens;
    if (block->n_experts <= 0 || b->failed) {
        return;
    }
    add_to(b, &like, block, n_decisions, n_tokens);
    if (domain_id != 0 && strcmp(batch_string(b, like.split), "train") != 0) {
        like.domain_id = domain_id;
        add_to(b, &like, block, n_decisions, n_tokens);
    }
}

static bool is_logged(const struct moescope_batch *b, const struct derived *d, int n_loads)
{
    const struct batch_load *l = b->loads.items;
    for (int i = 0; i < n_loads; i++, l++) {
        if (l->step == d->step && l->layer == d->layer && l->domain_id == d->domain_id &&
            same_split(b, l->split, d->split)) {
            return true;
        }
    }
    return false;
}

void derived_clear(struct moescope_batch *b)
{
    for (int i = 0; i < b->derived.n; i++) {
        free(item(b, i)->counts);
        free(item(b, i)->sums);
    }
    b->derived.n = 0;
}

void derived_log(struct moescope_batch *b)
{
    int n_loads = b->loads.n;
    char split[32];
    for (int i = 0; i < b->derived.n && !b->failed; i++) {
        const struct derived *d = item(b, i);
        if (is_logged(b, d, n_loads)) {
            continue;
        }
        const struct moescope_load load = {.domain_id = d->domain_id,
                                           .layer = d->layer,
                                           .n_experts = d->n_experts,
                                           .assignments = d->counts,
                                           .dropped = d->counts + d->n_experts,
                                           .gate_sum = d->sums,
                                           .probability_sum = d->sums + d->n_experts};
        /* The batch's own copy moves as it grows. */
        snprintf(split, sizeof split, "%s", batch_string(b, d->split));
        batch_load(b, d->step, split, &load);
    }
    derived_clear(b);
}
