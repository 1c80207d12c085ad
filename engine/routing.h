/* Which experts each token goes to: the one representation for every discrete router, and the routers.
 *
 * Decisions are lists in slot order, as CSR: token t's are offset[t] .. offset[t + 1] - 1, its first choice
 * first. They feed the dispatch (engine/moe.h), the sink (engine/sink.h) and the balance losses. Letters:
 * T tokens, D width, N experts, V vocabulary. A new router is one file and one row in engine/routers.h. */
#ifndef ENGINE_ROUTING_H
#define ENGINE_ROUTING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"
#include "engine/pool.h"

enum { ROUTING_KEPT = 5 };

struct routing {
    int n_tokens, n_experts;
    int max_tokens;   /* room */
    bool softmax;     /* probability is the softmax of logit, and log_sum its log-sum-exp */
    bool noisy;       /* routed with noise: a pass of training */
    int32_t *offset;  /* (T + 1) */
    int32_t *expert;  /* (n_decisions) */
    float *gate;      /* (n_decisions) the router's raw probability or score: what is logged */
    float *weight;    /* (n_decisions) what the expert's output is multiplied with; 0 when dropped */
    uint8_t *dropped; /* (n_decisions) refused by capacity, or taken away by an intervention */
    int n_dropped;
    float *logit, *probability;        /* (T, N); scores, where a router has no softmax */
    float *log_sum;                    /* (T) log-sum-exp of the logits */
    int64_t *requested;                /* (N) decisions before capacity */
    struct intervention *intervention; /* changes the decisions (engine/intervention.h); NULL: nothing does */
    const double *cost;                /* (N) factors of the experts in the balance loss; NULL: 1 */
    /* What only some routers have (struct router_shape); NULL for others. */
    float *second;             /* (T, N) x times the second matrix */
    float *kept[ROUTING_KEPT]; /* (T, N) each: the router's own, from forward to backward */
    double *sums;              /* (4, N) scratch */
    /* gradients, filled by the backward pass */
    float *d_weight;                /* (n_decisions) */
    float *d_probability, *d_logit; /* (T, N) */
    float *d_second;                /* (T, N) */
};

struct router_shape;
int routing_init(struct routing *r, int max_tokens, int n_experts, int max_k, struct error *err);
/* After routing_init: what the router's shape asks for besides. */
int routing_extend(struct routing *r, int max_tokens, const struct router_shape *shape, struct error *err);
void routing_release(struct routing *r);
static inline int routing_decisions(const struct routing *r)
{
    return r->offset[r->n_tokens];
}

/* Which experts a vocabulary item may go to (engine/visible.h); of routers mask and hash. */
struct visibility_config {
    enum visibility_split { VISIBLE_BY_COVERAGE, VISIBLE_BY_RANK, VISIBLE_BLIND } split;
    double coverage;  /* frequent: the fewest ids that make up this share of the train tokens; 1: all ids */
    int rank;         /* frequent: this many ids */
    int visible;      /* experts that a frequent id sees; 0: all */
    int rare_visible; /* experts that a rare id sees; 0: all */
    bool balanced;    /* drawn so that experts get equal shares of the train tokens; else uniformly */
    bool shared;      /* all blocks draw the same; else each its own */
};

/* How one block routes. Blocks of a model may differ. */
struct router_config {
    int n_experts;
    int k;            /* experts a token */
    float p;          /* topp: experts are taken until their probabilities add up to more than this */
    bool renormalize; /* weights of the chosen experts sum to 1 (bias: to `scale`) */
    float noise;      /* standard deviation added to the logits while training */
    float capacity;   /* an expert takes at most ceil(capacity * T k / N) tokens; 0: no limit */
    float rare_gate;  /* mask: what the weights of a rare id's experts add up to; 0: their probabilities */
    float scale;      /* bias: factor of the weights */
    float bias_rate;  /* bias: step of an expert's bias at each update */
    float importance, load; /* noisy_topk: weights of its losses */
    struct visibility_config visibility;
};

/* Weights besides which a router learns nothing, and state that training changes without a gradient. */
struct router_shape {
    bool weight;                   /* has a matrix (N, D); logits are x times it */
    const char *second;            /* name of a second matrix (N, D), used in training; NULL: none */
    int n_kept;                    /* of routing.kept, at most ROUTING_KEPT */
    const char *state;             /* name of the state's tensor; NULL: none */
    int state_rows, state_columns; /* columns 0: a vector */
};

struct router_input {
    const float *x;       /* (T, D) */
    const int32_t *token; /* (T) ids of the vocabulary; for mask and hash */
    int T, D;
    struct random *noise; /* NULL: no noise whatever the configuration says (evaluation) */
};

/* What a whole step's passes asked for, when its update is done. */
struct router_usage {
    int64_t n_tokens;
    const int64_t *requested; /* (N) decisions, dropped ones included */
    /* Means over all MoE blocks: the share of experts that a token did without, and 1 - k / N. */
    double sparsity, target;
};

struct router;
struct router_ops {
    const char *name, *help;
    bool routes;     /* false: the block is dense and has no router */
    bool softmax;    /* scores are a softmax over the experts: it has an entropy and a z-loss */
    bool not_causal; /* a token's experts depend on tokens after it */
    /* In the balance loss f is a share of tokens, not of decisions (it adds up to the experts a token). */
    bool balance_by_token;
    /* Weights of the losses, and router.renormalize, unless the configuration says otherwise. */
    double balance, entropy;
    bool renormalize;
    int (*max_k)(const struct router_config *c); /* most decisions a token can get */
    /* Do tokens differ in how many they get? NULL: all get router.k. */
    bool (*varies)(const struct router_config *c);
    /* Says what is wrong with a configuration. */
    int (*check)(const struct router_config *c, struct error *err);
    /* NULL: a matrix and no state. */
    void (*shape)(const struct router_config *c, int vocabulary, struct router_shape *shape);
    /* The state of an untrained router. count: (V) train tokens of each id; NULL: not known, all alike. */
    int (*init_state)(const struct router_config *c, int layer, uint64_t seed, int vocabulary,
                      const int64_t *count, float *state, struct error *err);
    /* Whether routing can go by a state that came out of a file. NULL: by any. */
    bool (*state_fits)(const struct router_config *c, int vocabulary, const float *state);
    /* From logits to probability and log_sum. NULL: softmax. */
    void (*score)(const struct router *r, struct pool *pool, const struct router_input *in,
                  struct routing *out);
    /* From scores to decisions: fills offset, expert, gate, weight. */
    void (*select)(const struct router *r, struct pool *pool, const struct router_input *in,
                   struct routing *out);
    /* From d_weight to d_probability (added to what is there). */
    void (*backward)(const struct router *r, struct pool *pool, const struct router_input *in,
                     struct routing *out);
    /* From d_probability to d_logit (added to what is there). NULL: softmax. */
    void (*score_backward)(const struct router *r, struct pool *pool, struct routing *out);
    /* A loss of the router's own, weighted: returns it and adds scale * gradient. NULL: none. */
    double (*own_loss)(const struct router *r, struct pool *pool, struct routing *out, float scale);
    /* Changes the state after an optimiser update. NULL: it stays. */
    void (*update)(const struct router_config *c, const struct router_usage *usage, float *state);
};

struct router {
    const struct router_ops *ops;
    struct router_config config;
    const float *weight; /* (N, D) */
    float *d_weight;     /* (N, D) */
    const float *state;
    const float *second; /* (N, D) or NULL */
    float *d_second;
};

/* Decisions that every token gets; 0: tokens differ. */
int router_fixed_k(const struct router_ops *ops, const struct router_config *c);
/* NULL when there is no router of that name; names end with a NULL. */
const struct router_ops *router_find(const char *name);
extern const char *const router_names[];

void router_shape(const struct router_ops *ops, const struct router_config *c, int vocabulary,
                  struct router_shape *shape);
void router_route(const struct router *r, struct pool *pool, const struct router_input *in,
                  struct routing *out);
/* From d_weight and what the losses put into d_probability and d_logit: d_x += ..., r->d_weight += ... */
void router_backward(const struct router *r, struct pool *pool, const struct router_input *in, float *d_x,
                     struct routing *out);

/* What makes token t's scores sum to 1; 1 where they are probabilities, 0 where all are 0. */
double routing_scale(const struct routing *r, int t);
/* The entropy of token t's probabilities, nats; of scores, after they are made to sum to 1. */
double routing_entropy(const struct routing *r, int t);

/* Each returns the loss and, when coefficient > 0, adds coefficient * gradient to the routing.
 *
 * Balance (Fedus et al. 2022, "Switch Transformers", eq. 4): N sum_i f_i P_i, P_i the mean probability (of
 * scores that are no softmax: after a token's are made to sum to 1, as in DeepSeek-V3), f_i
 * (no gradient) from the decisions asked for, dropped ones included: those of expert i among all of them
 * (divided by k as in Megatron, so that a uniform load gives 1 for any k), or, where the router says so, the
 * share of tokens whose set contains i (reported of Huang et al. 2024; uniform: the mean number of experts a
 * token). */
double balance_loss(const struct router_ops *ops, struct routing *r, float coefficient);
/* Zoph et al. 2022, "ST-MoE", eq. 5: mean over tokens of the squared log-sum-exp. 0 without a softmax. */
double z_loss(struct routing *r, float coefficient);
/* Huang et al. 2024, "dynamic loss": mean over tokens of the entropy of p. 0 without a softmax. */
double entropy_loss(struct routing *r, float coefficient);

struct losses {
    double lm;                  /* mean over the batch's tokens, or images, nats */
    double balance, z, entropy; /* mean over MoE blocks */
    double own;                 /* sum of the losses that routers bring with their weights */
};

struct loss_weights {
    float balance, z, entropy; /* coefficients of the sums over MoE blocks */
};

/* Adds the losses of a block's routing to *sum, and the gradients of weights times them, times scale, to the
 * routing: between router_route and router_backward. scale 0: no gradients. */
void router_add_losses(const struct router *r, struct pool *pool, struct routing *out,
                       const struct loss_weights *weights, float scale, struct losses *sum);
/* Sums over blocks become means. */
void losses_average(struct losses *l, int n_blocks);
void losses_add(struct losses *sum, const struct losses *l, double share); /* sum += share * l */
/* What is minimised. */
double losses_total(const struct losses *l, const struct loss_weights *weights, int n_blocks);

#endif
