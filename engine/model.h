/* The decoder-only language model: pre-norm blocks of causal attention and experts (or one dense network),
 * rotary positions, tied embeddings. Letters: T tokens, D width, V vocabulary, L blocks.
 *
 * All parameters live in one allocation described by one table (struct parameter): sizes, pointers, the
 * optimiser, checkpoints and gradient tests iterate it. */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"
#include "engine/attention.h"
#include "engine/moe.h"
#include "engine/pool.h"
#include "engine/routing.h"

enum { MAX_LAYERS = 128 };

struct layer_config {
    const struct router_ops *router; /* dense: one network of width `hidden` */
    struct router_config routing;
    int hidden; /* F: of each expert, or of the dense network */
};

struct model_config {
    int n_layers, width, n_heads, context, vocabulary;
    struct layer_config layers[MAX_LAYERS];
};

/* Heads must divide the width, k must not exceed the experts, and so on. */
int model_config_check(const struct model_config *c, struct error *err);

enum { MAX_DIMENSIONS = 3 };
struct parameter {
    char name[48]; /* "layers.0.experts.in" */
    int n_dimensions, shape[MAX_DIMENSIONS];
    size_t offset, count; /* in floats */
    float deviation;      /* initial values: normal with this deviation; 0: all ones */
    bool decay;           /* weight decay applies */
    const float **value;  /* the pointers that model_init sets */
    float **gradient;
};

struct layer {
    const struct layer_config *config;
    const float *norm1, *qkv, *projection, *norm2; /* (D), (3 D, D), (D, D), (D) */
    float *d_norm1, *d_qkv, *d_projection, *d_norm2;
    struct router router;
    struct experts experts;
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
    struct dispatch dispatch;
};

/* A batch: sequences one after the other, nothing padded. */
struct batch {
    int n_tokens, n_sequences;
    int32_t *input, *target; /* (T) */
    int32_t *position;       /* (T) within the sequence */
    int32_t *start;          /* (n_sequences + 1) */
};

struct losses {
    double lm;         /* mean over the batch's tokens, nats */
    double balance, z; /* mean over MoE blocks */
};

struct loss_weights {
    float balance, z; /* coefficients of the sums over MoE blocks */
};

enum part {
    PART_EMBEDDING,
    PART_ATTENTION,
    PART_ROUTER,
    PART_EXPERTS,
    PART_OUTPUT,
    PART_OPTIMISER,
    PART_DATA,
    PART_LOGGING,
    N_PARTS
};
extern const char *const part_names[N_PARTS];

struct model {
    struct model_config config;
    struct pool *pool;
    struct parameter *parameters;
    int n_parameters;
    size_t n_weights;
    float *weights, *gradients; /* (n_weights) */
    const float *embedding;     /* (V, D) also the output projection */
    float *d_embedding;
    const float *norm; /* (D) */
    float *d_norm;
    struct layer *layers;
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
    struct arena *activations;
    double seconds[N_PARTS]; /* where time went, since model_init */
};

/* Memory for batches of at most max_tokens tokens; weights are not yet set. */
int model_init(struct model *m, const struct model_config *config, int max_tokens, struct pool *pool,
               struct error *err);
void model_release(struct model *m);
/* Normal, deviation 0.02 (residual outputs divided by sqrt(2 L)), from the seed alone: the same parameter
 * names get the same values whatever else the model has. */
void model_seed(struct model *m, uint64_t seed);

/* Loss of the batch, token_loss and every block's routing. With train, gradients of
 * (lm + weights.balance * sum balance + weights.z * sum z) * gradient_scale are added to m->gradients.
 * noise: for routers that add some while training; NULL otherwise. */
struct losses model_forward(struct model *m, const struct batch *b, bool train, float gradient_scale,
                            const struct loss_weights *weights, struct random *noise);

/* All weights, padding left out: of a model, and of one that a configuration describes. */
double model_parameters(const struct model *m);
double model_config_weights(const struct model_config *c);
/* Weights that one token passes through in matrix products, and in all. */
double model_active_weights(const struct model_config *c, double mean_k);
/* FLOPs of training on one token: 6 * active weights + 12 * layers * context * width / 2. */
double model_flops_per_token(const struct model_config *c, double mean_k, double mean_context);

#endif
