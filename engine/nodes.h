/* What nodes of a network can be: one row each, defined in engine/nodes.c. For engine/network.c, and its twin
 * in engine/naive_network.c. */
#ifndef ENGINE_NODES_H
#define ENGINE_NODES_H
#include "engine/network.h"

/* Backward adds to the gradients of inputs that want one, and of the node's own weights. NULL: nothing to do.
 */
struct operation {
    const char *name;
    int (*describe)(struct network *n, struct node *node, struct extent in); /* extent and parameters */
    int (*claim)(struct network *n, struct node *node, struct error *err);   /* memory of its own */
    void (*forward)(struct network *n, struct node *node, int B);
    void (*backward)(struct network *n, struct node *node, int B);
    double (*multiply_adds)(const struct node *node, struct extent in); /* of a sample, in matrix products */
    void (*release)(struct node *node);
};

extern const struct operation node_linear, node_convolution, node_relu, node_sum, node_max_pool, node_mean,
    node_norm, node_patches, node_reshape, node_embed, node_soft_moe;

#endif
