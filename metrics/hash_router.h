/* What a router that knows the token's id and nothing else would choose: a hash layer (Roller et al. 2021),
 * balanced over the text at hand. It has learnt nothing, yet tells domains apart, since their words differ:
 * the reference that every figure of specialisation needs beside chance. */
#ifndef METRICS_HASH_ROUTER_H
#define METRICS_HASH_ROUTER_H
#include "base/random.h"
#include "metrics/specialization.h"

/* Every id has an order of the experts of its own, and each of its tokens the first of them: as many as
 * `like` gives that token. Ids choose one after the other, those with the most decisions first (the lower id
 * among equals): the experts with the least load so far, ties by `r`. id: (like->n_tokens); expert:
 * (like->offset[n_tokens]) out, to stand in like's offsets. */
int hash_router_choose(const struct slots *like, const int32_t *id, int n_experts, struct random *r,
                       int32_t *expert, struct error *err);

#endif
