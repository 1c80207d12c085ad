/* The table of routers: each row is router_NAME in a file of its own. What they share is declared below. */
#ifndef ENGINE_ROUTERS_H
#define ENGINE_ROUTERS_H
#include "engine/routing.h"

#define ROUTERS(row)                                                                                         \
    row(dense) row(topk) row(topp) row(mask) row(hash) row(bias) row(relu) row(expert_choice) row(noisy_topk)

#define DECLARE(name) extern const struct router_ops router_##name;
ROUTERS(DECLARE)
#undef DECLARE

enum { ROUTER_ROWS = 64 }; /* tokens a task of the pool takes */

/* How a token's weights follow from its gates: they are scale times the gates, or times their shares of
 * their sum. */
struct weighing {
    bool normalise;
    float scale;
};
struct weighing plain_weighing(const struct router_config *c); /* as router.renormalize says */

/* What pool_ranges hands to a router's functions over tokens. */
struct selection {
    const struct router *router;
    const struct router_input *input;
    struct routing *routing;
    struct weighing weighing;
};

int one_to_n_experts(const struct router_config *c, struct error *err); /* is router.k that? */
int fixed_k(const struct router_config *c);                             /* max_k of routers with a k */
int any_k(const struct router_config *c); /* of those that may take every expert */
bool always_varies(const struct router_config *c);
int no_renormalize(const struct router_config *c, const char *name, struct error *err); /* it has raw gates */
/* Refuses what would make every gate of a router a constant. */
int learns_with_one(const struct router_config *c, struct error *err);

/* The k largest of p in order, the lower index first among equals; visible (N), where not NULL, leaves out
 * experts at 0. NaN is larger than nothing: of a diverged router's probabilities the first k experts stay,
 * their gates NaN. */
void choose_largest(const float *p, const float *visible, int N, int k, int32_t *expert, float *gate);

/* For routers whose tokens differ in their number of decisions: tokens put theirs at t * stride and how many
 * into offset[t + 1]; this moves them together. */
void close_gaps(struct routing *r, int stride);

/* Weights of one token's n decisions. */
void weigh(const float *gate, float *weight, int n, struct weighing w);
/* Its backward for token t, from d_weight: d_probability += ... Dropped decisions have gates as well. */
void weigh_backward(struct routing *r, int t, struct weighing w);

/* For routers that weigh all tokens alike: each token's k likeliest experts; and the backward pass. */
void select_largest(const struct router *r, struct pool *pool, const struct router_input *in,
                    struct routing *out, struct weighing w);
void weights_backward_as(const struct router *r, struct pool *pool, struct routing *out, struct weighing w);
/* With plain_weighing. */
void weights_backward(const struct router *r, struct pool *pool, const struct router_input *in,
                      struct routing *out);

/* Where scores are no softmax: a token with a score that is not a number has none that is. */
void spread_nan(float *scores, int N);

#endif
