#include "metrics/baseline.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

const char *const baseline_names[N_BASELINES] = {"unigram", "bigram", "kneser_ney"};

/* ---- the pairs: a hash table ---- */

static int64_t pair_place(const struct baseline *b, int32_t context, int32_t target)
{
    /* Multiplication by the golden ratio's bits spreads neighbours over the upper half of the product. */
    uint64_t key = (uint64_t)(uint32_t)context << 32 | (uint32_t)target;
    uint64_t mask = (uint64_t)b->capacity - 1, at = (key * 0x9e3779b97f4a7c15u) >> 32;
    at = (at ^ key) & mask;
    while (b->table[at].count > 0 && (b->table[at].context != context || b->table[at].target != target))
        at = (at + 1) & mask;
    return (int64_t)at;
}

static int64_t pair_count(const struct baseline *b, int32_t context, int32_t target)
{
    return b->table[pair_place(b, context, target)].count;
}

static int table_grow(struct baseline *b, struct error *err)
{
    struct baseline_pair *old = b->table;
    int64_t n_old = b->capacity;
    struct baseline_pair *table = calloc((size_t)n_old * 2, sizeof *table);
    if (!table)
        return error_no_memory(err, "the baseline's pairs");
    b->table = table;
    b->capacity = n_old * 2;
    for (int64_t i = 0; i < n_old; i++)
        if (old[i].count > 0)
            table[pair_place(b, old[i].context, old[i].target)] = old[i];
    free(old);
    return 0;
}

static int pair_add(struct baseline *b, int32_t context, int32_t target, struct error *err)
{
    if (b->n_pairs * 2 >= b->capacity && table_grow(b, err))
        return -1;
    struct baseline_pair *pair = &b->table[pair_place(b, context, target)];
    if (pair->count++ == 0) {
        pair->context = context;
        pair->target = target;
        b->n_pairs++;
        b->left[target]++;
        b->right[context]++;
    }
    b->count[target]++;
    b->context[context]++;
    b->n_tokens++;
    return 0;
}

/* ---- learning ---- */

int baseline_init(struct baseline *b, int n_vocabulary, struct error *err)
{
    enum { FIRST_CAPACITY = 1 << 12 };
    size_t n = (size_t)n_vocabulary;
    *b = (struct baseline){.n_vocabulary = n_vocabulary, .capacity = FIRST_CAPACITY};
    b->count = calloc(4 * n, sizeof *b->count);
    b->table = calloc(FIRST_CAPACITY, sizeof *b->table);
    if (!b->count || !b->table) {
        baseline_release(b);
        return error_no_memory(err, "the baseline's counts");
    }
    b->left = b->count + n;
    b->context = b->left + n;
    b->right = b->context + n;
    return 0;
}

void baseline_release(struct baseline *b)
{
    free(b->count);
    free(b->table);
    *b = (struct baseline){0};
}

int baseline_add(struct baseline *b, const int32_t *ids, int64_t n_ids, struct error *err)
{
    for (int64_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= b->n_vocabulary)
            return error_set(err, STATUS_INPUT, "token id %d is outside the vocabulary of %d", ids[i],
                             b->n_vocabulary);
    for (int64_t i = 1; i < n_ids; i++)
        if (pair_add(b, ids[i - 1], ids[i], err))
            return -1;
    return 0;
}

void baseline_finish(struct baseline *b)
{
    b->n_once = b->n_twice = 0;
    for (int64_t i = 0; i < b->capacity; i++) {
        b->n_once += b->table[i].count == 1;
        b->n_twice += b->table[i].count == 2;
    }
    double weight = (double)b->n_once + 2. * (double)b->n_twice;
    double discount = weight > 0 ? (double)b->n_once / weight : 0.5;
    b->discount = fmin(0.95, fmax(0.05, discount));
}

/* ---- judging ---- */

/* Each id's count and one more, of all of them. */
static double add_one(int64_t count, int64_t total, int n)
{
    return (double)(count + 1) / (double)(total + n);
}

double baseline_loss(const struct baseline *b, enum baseline_order order, int32_t context, int32_t target)
{
    assert(target >= 0 && target < b->n_vocabulary && context >= 0 && context < b->n_vocabulary);
    double lower = order == BASELINE_KNESER_NEY ? add_one(b->left[target], b->n_pairs, b->n_vocabulary)
                                                : add_one(b->count[target], b->n_tokens, b->n_vocabulary);
    double seen = (double)b->context[context];
    if (order == BASELINE_UNIGRAM || !(seen > 0))
        return -log(lower);
    double own = fmax(0, (double)pair_count(b, context, target) - b->discount);
    return -log((own + b->discount * (double)b->right[context] * lower) / seen);
}

double baseline_loss_sum(const struct baseline *b, enum baseline_order order, const int32_t *ids,
                         int64_t n_ids)
{
    double sum = 0;
    for (int64_t i = 1; i < n_ids; i++)
        sum += baseline_loss(b, order, ids[i - 1], ids[i]);
    return sum;
}
