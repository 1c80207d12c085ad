#include "metrics/hash_router.h"

#include <stdlib.h>
#include <string.h>

struct member { /* a token of an id */
    int32_t id, token;
};

struct group { /* an id with its tokens */
    int first, end;
    int32_t id, decisions, most; /* most: of one token */
};

static int member_order(const void *left, const void *right)
{
    const struct member *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

static int group_order(const void *left, const void *right)
{
    const struct group *a = left, *b = right;
    if (a->decisions != b->decisions)
        return a->decisions > b->decisions ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static int32_t choices_of(const struct slots *s, int32_t token)
{
    return s->offset[token + 1] - s->offset[token];
}

/* Tokens by id, and the ids in the order in which they choose; returns how many ids. */
static int group_tokens(const struct slots *like, const int32_t *id, struct member *members,
                        struct group *groups)
{
    int n = 0;
    for (int32_t t = 0; t < like->n_tokens; t++)
        members[t] = (struct member){id[t], t};
    qsort(members, (size_t)like->n_tokens, sizeof *members, member_order);
    for (int i = 0; i < like->n_tokens; i++) {
        int32_t k = choices_of(like, members[i].token);
        if (n == 0 || groups[n - 1].id != members[i].id)
            groups[n++] = (struct group){.first = i, .id = members[i].id};
        struct group *g = &groups[n - 1];
        g->end = i + 1;
        g->decisions += k;
        g->most = k > g->most ? k : g->most;
    }
    qsort(groups, (size_t)n, sizeof *groups, group_order);
    return n;
}

/* The n least loaded first; order (n_experts) is shuffled before, so that ties fall by chance. */
static void least_loaded(const double *load, int *order, int n_experts, int n)
{
    for (int i = 0; i < n; i++) {
        int least = i;
        for (int j = i + 1; j < n_experts; j++)
            if (load[order[j]] < load[order[least]])
                least = j;
        int expert = order[least];
        order[least] = order[i];
        order[i] = expert;
    }
}

static void route_group(const struct slots *like, const struct member *members, const struct group *g,
                        const int *order, double *load, int32_t *expert)
{
    for (int i = g->first; i < g->end; i++) {
        int32_t at = like->offset[members[i].token], k = choices_of(like, members[i].token);
        for (int32_t slot = 0; slot < k; slot++) {
            expert[at + slot] = order[slot];
            load[order[slot]]++;
        }
    }
}

int hash_router_choose(const struct slots *like, const int32_t *id, int n_experts, struct random *r,
                       int32_t *expert, struct error *err)
{
    size_t n_tokens = (size_t)like->n_tokens + 1;
    struct member *members = malloc(n_tokens * sizeof *members);
    struct group *groups = malloc(n_tokens * sizeof *groups);
    double *load = calloc((size_t)n_experts, sizeof *load);
    int *order = malloc((size_t)n_experts * sizeof *order);
    int result = members && groups && load && order ? 0 : error_no_memory(err, "a hash router's choices");
    int n = result == 0 ? group_tokens(like, id, members, groups) : 0;
    for (int e = 0; e < n_experts && n > 0; e++)
        order[e] = e;
    for (int i = 0; i < n; i++) {
        random_shuffle(r, order, n_experts);
        least_loaded(load, order, n_experts, groups[i].most);
        route_group(like, members, &groups[i], order, load, expert);
    }
    free(members);
    free(groups);
    free(load);
    free(order);
    return result;
}
