/* The decoder-only language model: pre-norm blocks of causal attention and experts (or one dense network),
 * rotary positions, tied embeddings. Letters: T tokens, D width, V vocabulary, L blocks. */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/random.h"
#include "engine/attention.h"
#include "engine/moe.h"
#include "engine/parameters.h"
#include "engine/pass.h"
#include "engine/pool.h"
#include "engine/routing.h"

enum { MAX_LAYERS = 128 };

struct layer_config {
    const struct router_ops *router; /* dense: one network of width `hidden` */
    struct router_config routing;
    int hidden;                  /* F: of each expert, or of the dense network */
    int n_shared, shared_hidden; /* experts beside the routed ones that every token takes (DeepSeekMoE, Dai et
                                    al. 2024), and the width of each */
};

struct model_config {
    int n_layers, width, n_heads, context, vocabulary;
    struct layer_config layers[MAX_LAYERS];
    const int64_t
        *token_count; /* (V) train tokens of each id, for routers that go by them; NULL: not known */
};

/* Heads must divide the width, k must not exceed the experts, and so on. */
int model_config_check(const struct model_config *c, struct error *err);

struct layer {
    const struct layer_config *config;
    const float *norm1, *qkv, *projection, *norm2; /* (D), (3 D, D), (D, D), (D) */
    float *d_norm1, *d_qkv, *d_projection, *d_norm2;
    struct router router;
    struct experts experts;
    struct experts
        shared; /* n_experts 0: none; else all shared experts as one network of their summed width */
    /* activations, kept from forward to backward */
    float *input;        /* (T, D) the residual stream as it enters */
    float *normed1;      /* (T, D) */
    float *attended_qkv; /* (T, 3 D) */
    float *scores;
    float *attended;                    /* (T, D) */
    float *middle;                      /* (T, D) the residual stream between attention and experts */
    float *normed2;                     /* (T, D) */
    float *inverse_rms1, *inverse_rms2; /* (T) */
    struct routing routing;
    struct dispatch dispatch, shared_dispatch;
};

/* A batch: sequences one after the other, nothing padded. */
struct batch {
    int n_tokens, n_sequences;
    int32_t *input, *target; /* (T) */
    int32_t *position;       /* (T) within the sequence */
    int32_t *start;          /* (n_sequences + 1) */
};

enum part {
    PART_EMBEDDING,
    PART_ATTENTION,
    PART_ROUTER,
    PART_EXPERTS,
    PART_OUTPUT,
    PART_NETWORK, /* of tasks whose networks are one part */
    PART_OPTIMISER,
    PART_DATA,
    PART_LOGGING,
    N_PARTS
};
extern const char *const part_names[N_PARTS];

struct model {
    struct model_config config;
    struct pool *pool;
    struct parameters parameters;
    const float *embedding; /* (V, D) also the output projection */
    float *d_embedding;
    const float *norm; /* (D) */
    float *d_norm;
    struct layer *layers;
    struct routed_layer *routed; /* (n_routed) the MoE blocks among them */
    int n_routed;
    int max_tokens;
    float *output;              /* (T, D) the residual stream after the last block */
    float *normed;              /* (T, D) */
    float *inverse_rms;         /* (T) */
    float *token_loss;          /* (T) nats, of the last forward pass */
    float *logits;              /* (LOGIT_ROWS, V) a chunk at a time */
    float *d_stream, *d_normed; /* (T, D) */
    float *d_wide;              /* (T, 3 D) */
    float *rope, *norm_scratch, *attention_scratch;
    size_t *score_start; /* (sequences, at most max_tokens) */
    size_t score_capacity;
    struct dispatch_scratch scratch;
    struct arena activations;
    double seconds[N_PARTS]; /* where time went, since model_init */
};

/* Memory for batches of at most max_tokens tokens; weights are not yet set. */
int model_init(struct model *m, const struct model_config *config, int max_tokens, struct pool *pool,
               struct error *err);
void model_release(struct model *m);
/* Normal, deviation 0.02 (residual outputs divided by sqrt(2 L)), from the seed alone: the same parameter
 * names get the same values whatever else the model has. Routers' states are drawn. */
int model_seed(struct model *m, uint64_t seed, struct error *err);
/* After an optimiser update: changes the state of block l's router. */
void model_update_router(struct model *m, int l, const struct router_usage *usage);

/* Loss of the batch, token_loss and every block's routing. With train, gradients of
 * (lm + weights.balance * sum balance + weights.z * sum z + weights.entropy * sum entropy + own) *
 * gradient_scale are added to m->gradients.
 * noise: for routers that add some while training; NULL otherwise. */
struct losses model_forward(struct model *m, const struct batch *b, bool train, float gradient_scale,
                            const struct loss_weights *weights, struct random *noise);

/* All weights of the model that a configuration describes, padding left out. */
double model_config_weights(const struct model_config *c);
double model_config_states(const struct model_config *c); /* values of routers' states */
/* Weights that one token passes through in matrix products. k: (L) decisions a token in each block; NULL:
 * router.k of each block, and NaN where that does not say how many experts a token gets. */
double model_active_weights(const struct model_config *c, const double *k);
/* FLOPs of training on one token: 6 * active weights + 12 * layers * context * width / 2. */
double model_flops_per_token(const struct model_config *c, const double *k, double mean_context);

#endif
