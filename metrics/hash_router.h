/* What a router that knows the token's id and nothing else would choose: a hash layer (Roller et al. 2021),
 * balanced over the text at hand. It has learnt nothing, yet tells domains apart, since their words differ:
 * the reference that every figure of specialisation needs beside chance. */
#ifndef METRICS_HASH_ROUTER_H
#define METRICS_HASH_ROUTER_H
#include "base/random.h"
#include "metrics/specialization.h"

struct hash_router {
    const struct slots *like; /* the caller's, as long as draws are made */
    int n_experts, n_ids;
    struct hash_member *members; /* (like->n_tokens) tokens by id */
    struct hash_id *ids;         /* (n_ids) in the order in which they choose */
    double *load;                /* (n_experts) */
    int *order;                  /* (n_experts) */
};
/* id: (like->n_tokens). */
int hash_router_init(struct hash_router *h, const struct slots *like, const int32_t *id, int n_experts,
                     struct error *err);
void hash_router_release(struct hash_router *h); /* safe on zeroed and released */

/* Draws one. Every id has an order of the experts of its own, and each of its tokens the first of them: as
 * many as `like` gives that token. Ids choose one after the other, those with the most decisions first (the
 * lower id among equals): the experts with the least load so far, ties by `r`.
 * expert: (like->offset[n_tokens]) out, to stand in like's offsets. */
void hash_router_draw(struct hash_router *h, struct random *r, int32_t *expert);

#endif
