#include "metrics/hash_router.h"

#include <stdlib.h>

struct hash_member { /* a token and its id */
    int32_t id, token;
};

struct hash_id { /* with its tokens among the members */
    int first, end;
    int32_t id, decisions, most; /* most: of one token */
};

static int member_order(const void *left, const void *right)
{
    const struct hash_member *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

static int choosing_order(const void *left, const void *right)
{
    const struct hash_id *a = left, *b = right;
    if (a->decisions != b->decisions)
        return a->decisions > b->decisions ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static int32_t choices_of(const struct slots *s, int32_t token)
{
    return s->offset[token + 1] - s->offset[token];
}

static void group_tokens(struct hash_router *h, const int32_t *id)
{
    const struct slots *like = h->like;
    for (int32_t t = 0; t < like->n_tokens; t++)
        h->members[t] = (struct hash_member){id[t], t};
    qsort(h->members, (size_t)like->n_tokens, sizeof *h->members, member_order);
    for (int i = 0; i < like->n_tokens; i++) {
        int32_t k = choices_of(like, h->members[i].token);
        if (h->n_ids == 0 || h->ids[h->n_ids - 1].id != h->members[i].id)
            h->ids[h->n_ids++] = (struct hash_id){.first = i, .id = h->members[i].id};
        struct hash_id *own = &h->ids[h->n_ids - 1];
        own->end = i + 1;
        own->decisions += k;
        own->most = k > own->most ? k : own->most;
    }
    qsort(h->ids, (size_t)h->n_ids, sizeof *h->ids, choosing_order);
}

void hash_router_release(struct hash_router *h)
{
    free(h->members);
    free(h->ids);
    free(h->load);
    free(h->order);
    *h = (struct hash_router){0};
}

int hash_router_init(struct hash_router *h, const struct slots *like, const int32_t *id, int n_experts,
                     struct error *err)
{
    size_t n_tokens = (size_t)like->n_tokens + 1;
    *h = (struct hash_router){.like = like, .n_experts = n_experts};
    h->members = malloc(n_tokens * sizeof *h->members);
    h->ids = calloc(n_tokens, sizeof *h->ids);
    h->load = malloc((size_t)n_experts * sizeof *h->load);
    h->order = malloc((size_t)n_experts * sizeof *h->order);
    if (!h->members || !h->ids || !h->load || !h->order) {
        hash_router_release(h);
        return error_no_memory(err, "a hash router's choices");
    }
    group_tokens(h, id);
    return 0;
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

static void route_tokens(struct hash_router *h, const struct hash_id *id, int32_t *expert)
{
    for (int i = id->first; i < id->end; i++) {
        int32_t token = h->members[i].token, k = choices_of(h->like, token);
        for (int32_t slot = 0; slot < k; slot++) {
            expert[h->like->offset[token] + slot] = h->order[slot];
            h->load[h->order[slot]]++;
        }
    }
}

void hash_router_draw(struct hash_router *h, struct random *r, int32_t *expert)
{
    for (int e = 0; e < h->n_experts; e++) {
        h->order[e] = e;
        h->load[e] = 0;
    }
    for (int i = 0; i < h->n_ids; i++) {
        random_shuffle(r, h->order, h->n_experts);
        least_loaded(h->load, h->order, h->n_experts, h->ids[i].most);
        route_tokens(h, &h->ids[i], expert);
    }
}
