/* The table of routers: each row is router_NAME in a file of its own. What they share is declared below. */
#ifndef ENGINE_ROUTERS_H
#define ENGINE_ROUTERS_H
#include "engine/routing.h"

#define ROUTERS(row) row(dense) row(topk) row(topp) row(mask) row(hash)

#define DECLARE(name) extern const struct router_ops router_##name;
ROUTERS(DECLARE)
#undef DECLARE

enum { ROUTER_ROWS = 64 }; /* tokens a task of the pool takes */

/* What pool_ranges hands to a router's functions over tokens. */
struct selection {
    const struct router *router;
    const struct router_input *input;
    struct routing *routing;
};

int one_to_n_experts(const struct router_config *c, struct error *err); /* is router.k that? */
int fixed_k(const struct router_config *c);                             /* max_k of routers with a k */
int any_k(const struct router_config *c); /* of those that may take every expert */
bool always_varies(const struct router_config *c);

/* The k largest of p in order, the lower index first among equals; visible (N), where not NULL, leaves out
 * experts at 0. NaN is larger than nothing: of a diverged router's probabilities the first k experts stay,
 * their gates NaN. */
void choose_largest(const float *p, const float *visible, int N, int k, int32_t *expert, float *gate);

/* For routers whose tokens differ in their number of decisions: tokens put theirs at t * stride and how many
 * into offset[t + 1]; this moves them together. */
void close_gaps(struct routing *r, int stride);

/* Weights of one token's n decisions: the gates, or, with total > 0, the gates made to sum to it. */
void weigh(const float *gate, float *weight, int n, float total);
/* Its backward for token t: d_probability += ... */
void weigh_backward(struct routing *r, int t, float total);
/* The backward of routers that weigh all tokens alike, as router.renormalize says. */
void weights_backward(const struct router *r, struct pool *pool, const struct router_input *in,
                      struct routing *out);

#endif
