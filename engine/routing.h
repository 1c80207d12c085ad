/* Which experts each token goes to: the one representation for every discrete router, and the routers.
 *
 * Decisions are lists in slot order, as CSR: token t's are offset[t] .. offset[t + 1] - 1, its first choice
 * first. They feed the dispatch (engine/moe.h), the sink (engine/sink.h) and the balance losses. Letters:
 * T tokens, D width, N experts. A new router is one file and one row in the table in routing.c. */
#ifndef ENGINE_ROUTING_H
#define ENGINE_ROUTING_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"
#include "engine/pool.h"

struct routing {
    int n_tokens, n_experts;
    int32_t *offset;  /* (T + 1) */
    int32_t *expert;  /* (n_decisions) */
    float *gate;      /* (n_decisions) the router's raw probability: what is logged */
    float *weight;    /* (n_decisions) what the expert's output is multiplied with; 0 when dropped */
    uint8_t *dropped; /* (n_decisions) refused by capacity */
    int n_dropped;
    float *logit, *probability; /* (T, N) */
    float *log_sum;             /* (T) log-sum-exp of the logits */
    int64_t *requested;         /* (N) decisions before capacity */
    /* gradients, filled by the backward pass */
    float *d_weight;                /* (n_decisions) */
    float *d_probability, *d_logit; /* (T, N) */
};

int routing_init(struct routing *r, int max_tokens, int n_experts, int max_k, struct error *err);
void routing_release(struct routing *r);
static inline int routing_decisions(const struct routing *r)
{
    return r->offset[r->n_tokens];
}

/* How one block routes. Blocks of a model may differ. */
struct router_config {
    int n_experts;
    int k;            /* experts a token */
    bool renormalize; /* weights of the chosen experts sum to 1 */
    float noise;      /* standard deviation added to the logits while training */
    float capacity;   /* an expert takes at most ceil(capacity * T k / N) tokens; 0: no limit */
};

struct router;
struct router_ops {
    const char *name, *help;
    bool routes;                                 /* false: the block is dense and has no router */
    int (*max_k)(const struct router_config *c); /* most decisions a token can get */
    /* Says what is wrong with a configuration. */
    int (*check)(const struct router_config *c, struct error *err);
    /* From logits to decisions: fills offset, expert, gate, weight. probability and log_sum are there. */
    void (*select)(const struct router *r, struct pool *pool, struct routing *out);
    /* From d_weight to d_probability (added to what is there). */
    void (*backward)(const struct router *r, struct pool *pool, struct routing *out);
};

struct router {
    const struct router_ops *ops;
    struct router_config config;
    const float *weight; /* (N, D) */
    float *d_weight;     /* (N, D) */
};

/* NULL when there is no router of that name; names end with a NULL. */
const struct router_ops *router_find(const char *name);
extern const char *const router_names[];

/* Routes x (T, D). noise NULL: no noise whatever the configuration says (evaluation). */
void router_route(const struct router *r, struct pool *pool, const float *x, int T, int D,
                  struct random *noise, struct routing *out);
/* From d_weight and what the losses put into d_probability and d_logit: d_x += ..., r->d_weight += ... */
void router_backward(const struct router *r, struct pool *pool, const float *x, float *d_x, int D,
                     struct routing *out);

/* Both return the loss and, when coefficient > 0, add coefficient * gradient to the routing.
 *
 * Balance (Fedus et al. 2022, "Switch Transformers", eq. 4; divided by k as in Megatron, so that a uniform
 * load gives 1 for any k): N sum_i f_i P_i, f_i the share of all requested decisions that went to expert i
 * (dropped ones included, no gradient), P_i the mean probability. */
double balance_loss(struct routing *r, float coefficient);
/* Zoph et al. 2022, "ST-MoE", eq. 5: mean over tokens of the squared log-sum-exp. */
double z_loss(struct routing *r, float coefficient);

#endif
