/* Networks of a few operations over batches of samples: images, sets of tokens, vectors. A network is a list
 * of nodes, each one operation on nodes before it; the list's order is the order of the forward pass.
 *
 * A sample's values at a node are (height, width, channels), channels last: an image as it is, m tokens of
 * width d as (m, 1, d), a vector of n as (1, 1, n). Operations that know nothing of positions act on the
 * channels of each. Letter: B samples of a batch. What a node can be: engine/nodes.h. A network stays
 * where it was described: its parameters point into it. */
#ifndef ENGINE_NETWORK_H
#define ENGINE_NETWORK_H
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "engine/convolution.h"
#include "engine/parameters.h"
#include "engine/pool.h"
#include "engine/soft_moe.h"

struct extent {
    int height, width, channels;
};
size_t extent_size(struct extent e);

enum { MAX_NODES = 1024, MAX_INPUTS = 2 };

struct operation;
struct node {
    const struct operation *operation; /* NULL: an input */
    char name[32];                     /* of its parameters */
    int input[MAX_INPUTS];             /* the nodes it takes; -1: none */
    struct extent extent;              /* of its values */
    bool wants_gradient;               /* it, or one that it takes, has weights */
    int size;                          /* of a pooling window or a patch; items of a table */
    float share;                       /* of a position in a mean or a total */
    struct convolution convolution;
    struct soft_moe soft;
    struct soft_moe_pass pass;
    const float *weight, *bias; /* (out, in), (out); gain (channels) of a norm */
    float *d_weight, *d_bias;
    float *value, *gradient; /* (B, extent) */
    uint8_t *choice;         /* (B, extent) of a pool: which of a window is the largest */
    float *scratch;
};

struct network {
    struct pool *pool;
    int max_samples;
    struct node *nodes; /* (MAX_NODES), n of them described */
    int n;
    struct node spare; /* what could not be a node */
    struct parameters parameters;
    struct arena memory;
    struct error error; /* the first that describing met */
    bool failed;
};

/* Describing: each returns the new node's number, to be passed on. A mistake is kept and told by
 * network_build. name: of its weights, unique. */
int network_input(struct network *n, struct extent extent);
/* An input whose gradient is wanted: where a part of a model begins that others feed. */
int network_entry(struct network *n, struct extent extent);
/* Channels to `out` channels, with a bias; the same for each position. */
int network_linear(struct network *n, int from, const char *name, int out);
/* kernel x kernel, odd; zeros around, so that with stride 1 the extent stays. */
int network_convolution(struct network *n, int from, const char *name, int filters, int kernel, int stride);
/* The same with stride 1, then of each size x size (1: of every position) the largest, and 0 where that is
 * negative: as network_max_pool and network_relu behind it, in far less time. */
int network_convolution_stage(struct network *n, int from, const char *name, int filters, int kernel,
                              int size);
int network_relu(struct network *n, int from);
int network_sum(struct network *n, int from, int other); /* of equal extents */
/* Largest of size x size, in steps of size; what is left at the end is left out. */
int network_max_pool(struct network *n, int from, int size);
int network_mean(struct network *n, int from);  /* over all positions */
int network_total(struct network *n, int from); /* the sum over all positions */
/* x / rms(x) * gain, over the channels of each position. */
int network_norm(struct network *n, int from, const char *name);
/* Squares of size x size as tokens: (H, W, C) to (H / size * W / size, 1, size * size * C). */
int network_patches(struct network *n, int from, int size);
/* The same values under another extent of the same size: all as one vector, a vector as tokens. */
int network_reshape(struct network *n, int from, struct extent extent);
/* A row of a table for each position, whose one channel is the row's number, from 0 (beyond the table: the
 * nearest). */
int network_embed(struct network *n, int from, const char *name, int n_items, int width);
/* Tokens to tokens (m, 1, d), nothing added around it. */
int network_soft_moe(struct network *n, int from, const char *name, int n_experts, int slots_per_expert,
                     int hidden);

/* Of a node's values; of what could not be described {1, 1, 1}, so that describing may go on. */
struct extent network_extent(const struct network *n, int node);

bool network_is_pool(const struct network *n, int node); /* a max pool, or a convolution that ends in one */

/* Memory for batches of at most max_samples, and the weights, all 0. */
int network_build(struct network *n, int max_samples, struct pool *pool, struct error *err);
void network_release(struct network *n); /* of one that was described, built or not */
/* Weights of parameters whose name in `to` is prefix and the name in `from`; their shapes must be the same.
 * How many there were; -1: they were not. */
int network_copy(struct network *to, const char *prefix, const struct network *from, struct error *err);

/* Values of all nodes; those of the inputs are there. */
void network_forward(struct network *n, int B);
/* Of the nodes first to last alone. */
void network_forward_between(struct network *n, int first, int last, int B);
/* From the gradient of the last node, which the caller has set, that of every node and, added to, of the
 * parameters. */
void network_backward(struct network *n, int B);

/* The same from node `last` back to `first` alone: a part of a network that nothing else takes from. */
void network_backward_between(struct network *n, int first, int last, int B);

/* Losses of the last node. Its gradient becomes scale * that of their sum over the batch.
 * Cross entropy of its channels: loss (B) in nats. */
void network_cross_entropy(struct network *n, const int32_t *target, int B, float scale, float *loss);
/* The same of another node than the last. */
void network_cross_entropy_of(struct network *n, int node, const int32_t *target, int B, float scale,
                              float *loss);
/* The square of the difference from target (B, size), summed over a sample's values: loss (B). */
void network_squared_error(struct network *n, const float *target, int B, float scale, float *loss);
void network_squared_error_of(struct network *n, int node, const float *target, int B, float scale,
                              float *loss);

/* Multiply-adds of a sample in matrix products of the nodes after `first` (-1: from the beginning) up to
 * `last`. */
double network_multiply_adds(const struct network *n, int first, int last);

#endif
