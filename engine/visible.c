#include "engine/visible.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t visible_stream = 0x76697369626c6500U, blind_stream = 0x626c696e64000000U;

int visible_check(const struct router_config *c, struct error *err)
{
    const struct visibility_config *v = &c->visibility;

    if (v->visible > c->n_experts || v->rare_visible > c->n_experts)
        return error_set(
            err, STATUS_USAGE, "mask.%s is %d but there are %d experts; it must be 0 (all) to %d",
            v->visible > c->n_experts ? "visible" : "rare_visible",
            v->visible > c->n_experts ? v->visible : v->rare_visible, c->n_experts, c->n_experts);
    return 0;
}

struct item {
    int id;
    int64_t count;
};

/* Most frequent first, the lower id first among equals. */
static int by_frequency(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static struct item *ranked(int vocabulary, const int64_t *count)
{
    struct item *items = malloc((size_t)vocabulary * sizeof *items);

    for (int v = 0; items && v < vocabulary; v++)
        items[v] = (struct item){v, count ? count[v] : 1};
    if (items)
        qsort(items, (size_t)vocabulary, sizeof *items, by_frequency);
    return items;
}

/* The control that is blind to frequency: ids in random order are rare until they make up as many train
 * tokens as the rare ones of a split by coverage; one that would exceed it is passed over. */
static void split_blind(const struct item *items, uint64_t seed, int vocabulary, int64_t rare_tokens,
                        int *order, bool *frequent)
{
    struct random r;
    int64_t sum = 0;

    random_seed(&r, seed, blind_stream);
    for (int i = 0; i < vocabulary; i++)
        order[i] = i;
    random_shuffle(&r, order, vocabulary);
    for (int i = 0; i < vocabulary; i++)
        frequent[i] = true;
    for (int i = 0; i < vocabulary; i++) {
        const struct item *item = &items[order[i]];
        if (sum + item->count > rare_tokens)
            continue;
        sum += item->count;
        frequent[item->id] = false;
    }
}

int visible_split(const struct visibility_config *c, uint64_t seed, int vocabulary, const int64_t *count,
                  bool *frequent, struct error *err)
{
    struct item *items = ranked(vocabulary, count);
    int *order = malloc((size_t)vocabulary * sizeof *order), n = 0;
    int64_t total = 0, sum = 0;

    if (!items || !order) {
        free(items);
        free(order);
        return error_no_memory(err, "the vocabulary by frequency");
    }
    for (int i = 0; i < vocabulary; i++)
        total += items[i].count;
    if (c->split == VISIBLE_BY_RANK) {
        n = c->rank < vocabulary ? c->rank : vocabulary;
    } else if (c->coverage >= 1.0) {
        n = vocabulary;
    } else {
        while (n < vocabulary && (double)sum < c->coverage * (double)total)
            sum += items[n++].count;
    }
    for (int i = 0; i < vocabulary; i++)
        frequent[items[i].id] = i < n;
    if (c->split == VISIBLE_BLIND && n < vocabulary) /* all frequent: nobody is rare, whoever they are */
        split_blind(items, seed, vocabulary, total - sum, order, frequent);
    free(items);
    free(order);
    return 0;
}

/* The n experts with the least load first; order (N) is shuffled, so that ties fall by chance. */
static void least_loaded(const double *load, int *order, int N, int n)
{
    for (int i = 0; i < n; i++) {
        int least = i;
        for (int j = i + 1; j < N; j++) {
            if (load[order[j]] < load[order[least]])
                least = j;
        }
        int expert = order[least];
        order[least] = order[i];
        order[i] = expert;
    }
}

/* Balanced: ids by descending frequency, each to the experts that have the least so far (the table of
 * Roller et al. 2021). An id counts once more than it occurs, so that the unseen ones spread as well. */
static void draw(const struct router_config *c, struct random *r, const struct item *items,
                 const bool *frequent, int vocabulary, double *load, int *order, float *visible)
{
    const struct visibility_config *v = &c->visibility;
    int N = c->n_experts;

    for (int i = 0; i < vocabulary; i++) {
        int id = items[i].id, n = frequent[id] ? v->visible : v->rare_visible;
        n = n > 0 ? n : N;
        for (int e = 0; e < N; e++)
            order[e] = e;
        random_shuffle(r, order, N);
        if (v->balanced)
            least_loaded(load, order, N, n);
        for (int e = 0; e < n; e++) {
            visible[(size_t)id * (size_t)N + (size_t)order[e]] = frequent[id] ? 1.0F : 2.0F;
            load[order[e]] += ((double)items[i].count + 1.0) / n;
        }
    }
}

int visible_draw(const struct router_config *c, int layer, uint64_t seed, int vocabulary,
                 const int64_t *count, float *visible, struct error *err)
{
    size_t N = (size_t)c->n_experts;
    struct item *items = ranked(vocabulary, count);
    bool *frequent = malloc((size_t)vocabulary * sizeof *frequent);
    double *load = calloc(N, sizeof *load);
    int *order = malloc(N * sizeof *order), result = -1;
    struct random r;

    if (!items || !frequent || !load || !order) {
        error_no_memory(err, "the visible experts");
    } else if (visible_split(&c->visibility, seed, vocabulary, count, frequent, err) == 0) {
        random_seed(&r, seed, visible_stream + (c->visibility.shared ? 0 : (uint64_t)layer));
        memset(visible, 0, (size_t)vocabulary * N * sizeof *visible);
        draw(c, &r, items, frequent, vocabulary, load, order, visible);
        result = 0;
    }
    free(items);
    free(frequent);
    free(load);
    free(order);
    return result;
}

bool visible_fits(const struct router_config *c, int vocabulary, const float *visible)
{
    size_t N = (size_t)c->n_experts, cells = (size_t)vocabulary * N;
    bool fits = true;

    for (size_t i = 0; i < cells && fits; i++)
        fits = visible[i] == 0.0F || visible[i] == 1.0F || visible[i] == 2.0F;
    for (int v = 0; v < vocabulary && fits; v++)
        fits = visible_count(visible + (size_t)v * N, c->n_experts) > 0;
    return fits;
}
