#include "sql/groups.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_INDEX_SIZE = 256 };

void groups_init(struct groups *g, int n_keys)
{
    *g = (struct groups){.n_keys = n_keys};
}

void groups_release(struct groups *g)
{
    free(g->sums);
    free(g->keys);
    free(g->index);
    groups_init(g, g->n_keys);
}

void groups_clear(struct groups *g)
{
    g->n = 0;
    if (g->index != NULL) {
        memset(g->index, 0, g->index_size * sizeof *g->index);
    }
}

const int64_t *groups_key(const struct groups *g, size_t i)
{
    return g->keys + i * (size_t)g->n_keys;
}

/* Multiply and mix, a round a key (the finaliser of Steele, Lea and Flood 2014). */
static uint64_t hash_of(const int64_t *key, int n)
{
    uint64_t h = 0x9e3779b97f4a7c15U;
    for (int i = 0; i < n; i++) {
        h = (h ^ (uint64_t)key[i]) * 0xbf58476d1ce4e5b9U;
        h ^= h >> 31;
    }
    return h;
}

static bool is_key(const struct groups *g, size_t i, const int64_t *key)
{
    const int64_t *other = groups_key(g, i);
    for (int k = g->n_keys - 1; k >= 0; k--) { /* the last differs most */
        if (other[k] != key[k]) {
            return false;
        }
    }
    return true;
}

/* Where the key stands in the index, or the empty place where it would. */
static size_t place_of(const struct groups *g, const int64_t *key)
{
    size_t mask = g->index_size - 1, i = (size_t)hash_of(key, g->n_keys) & mask;
    while (g->index[i] != 0 && !is_key(g, g->index[i] - 1, key)) {
        i = (i + 1) & mask;
    }
    return i;
}

static void fill_index(struct groups *g)
{
    memset(g->index, 0, g->index_size * sizeof *g->index);
    for (size_t i = 0; i < g->n; i++) {
        g->index[place_of(g, groups_key(g, i))] = (uint32_t)i + 1;
    }
}

/* Room for one more group, with the index at most half full. */
static bool grow(struct groups *g)
{
    size_t size = g->index_size > 0 ? 2 * g->index_size : FIRST_INDEX_SIZE;
    if (g->n < g->capacity) {
        return true;
    }
    struct group *sums = realloc(g->sums, size / 2 * sizeof *sums);
    if (sums == NULL) {
        return false;
    }
    g->sums = sums;
    int64_t *keys = realloc(g->keys, (size / 2 * (size_t)g->n_keys + 1) * sizeof *keys);
    if (keys == NULL) {
        return false;
    }
    g->keys = keys;
    uint32_t *index = malloc(size * sizeof *index);
    if (index == NULL) {
        return false;
    }
    free(g->index);
    g->index = index;
    g->index_size = size;
    g->capacity = size / 2;
    fill_index(g);
    return true;
}

struct group *groups_find(struct groups *g, const int64_t *key)
{
    if (g->next < g->n && is_key(g, g->next, key)) {
        return &g->sums[g->next++];
    }
    if (!grow(g)) {
        return NULL;
    }
    size_t place = place_of(g, key);
    if (g->index[place] == 0) {
        memcpy(g->keys + g->n * (size_t)g->n_keys, key, (size_t)g->n_keys * sizeof *key);
        g->sums[g->n] = (struct group){0};
        g->index[place] = (uint32_t)++g->n;
    }
    g->next = g->index[place];
    return &g->sums[g->index[place] - 1];
}

size_t groups_number(const struct groups *g, const int64_t *key)
{
    return g->n > 0 ? (size_t)g->index[place_of(g, key)] - 1 : SIZE_MAX;
}

/* ---- order ---- */

struct sorting {
    const struct groups *groups;
    group_order *order;
    void *context;
};

static int by_key(const void *a, const void *b, void *context)
{
    const struct sorting *s = context;
    return s->order(groups_key(s->groups, *(const uint32_t *)a), groups_key(s->groups, *(const uint32_t *)b),
                    s->context);
}

bool groups_cut(struct groups *g, size_t keep, group_order *order, void *context)
{
    struct sorting sorting = {g, order, context};
    size_t n_keys = (size_t)g->n_keys, n = g->n < keep ? g->n : keep;
    uint32_t *permutation = malloc((g->n + 1) * sizeof *permutation);
    struct group *sums = malloc((g->capacity + 1) * sizeof *sums);
    int64_t *keys = malloc((g->capacity * n_keys + 1) * sizeof *keys);
    bool done = permutation != NULL && sums != NULL && keys != NULL;
    if (done) {
        for (size_t i = 0; i < g->n; i++) {
            permutation[i] = (uint32_t)i;
        }
        qsort_r(permutation, g->n, sizeof *permutation, by_key, &sorting);
        for (size_t i = 0; i < n; i++) {
            sums[i] = g->sums[permutation[i]];
            memcpy(keys + i * n_keys, groups_key(g, permutation[i]), n_keys * sizeof *keys);
        }
        free(g->sums);
        free(g->keys);
        g->sums = sums;
        g->keys = keys;
        g->n = n;
        if (g->index != NULL) {
            fill_index(g);
        }
    } else {
        free(sums);
        free(keys);
    }
    free(permutation);
    return done;
}

bool groups_sort(struct groups *g, group_order *order, void *context)
{
    return groups_cut(g, g->n, order, context);
}
