/* Networks with gates: parts of a network (engine/network.h) that only some samples pass. A block is a gate
 * and its experts. The gate is a router (engine/routing.h) that reads the mean over positions of what enters
 * the block; an expert is any part of the network that takes what enters; what leaves is the sum of the
 * chosen experts' outputs, each times its weight. All of it is trained together, the stages before it as
 * well: with one block the traditional single-gated MoE, with one for every stage the multi-gated one (as
 * Royer et al. 2023, section 2, tell them apart; Shazeer et al. 2017).
 *
 * Describing: nodes, a block, nodes, a block, ... Nothing else takes from nodes within a block. Letters:
 * B samples of a batch, N experts of a block. */
#ifndef ENGINE_GATED_H
#define ENGINE_GATED_H
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "engine/branches.h"
#include "engine/network.h"
#include "engine/pass.h"
#include "engine/routing.h"

enum { MOST_GATES = 16 };

struct gated_block {
    int from, out;      /* what enters is this node's, what leaves that port's */
    struct branch read; /* the mean that the gate reads */
    struct branch *expert;
    double gate_cost;
    double parameters; /* of an expert */
    struct router router;
    struct routing routing;
    int *row, *load; /* engine/branches.h */
};

struct gated {
    struct network *network;
    struct gated_block block[MOST_GATES];
    int n_blocks;
    struct routed_layer layers[MOST_GATES];
    struct loss_weights weights;
    double rest_cost; /* multiply-adds of a sample outside the blocks */
    struct arena memory;
};

/* Describes the part of a block's network that is expert `number`, from its entry on; returns the last node.
 */
typedef int describe_expert(struct network *n, const void *context, int number, int entry);
/* Adds a block behind `from`, the last node so far, of routing->n_experts experts with outputs of one extent;
 * returns the node of what leaves. Mistakes are kept and told by network_build. */
int gated_add(struct gated *g, struct network *n, int from, const struct router_ops *ops,
              const struct router_config *config, describe_expert *describe, const void *context);
/* After network_build. */
int gated_build(struct gated *g, struct error *err);
void gated_release(struct gated *g); /* safe on zeroed; the network is the caller's */

/* Values of all nodes that samples pass; those of the inputs are there. The routers' losses, means over
 * blocks; scale: of their gradients, 0 without a backward pass. */
struct losses gated_forward(struct gated *g, int B, float scale);
/* As network_backward. */
void gated_backward(struct gated *g, int B);

/* Multiply-adds of sample b of the last forward pass; of any sample, where all take router.k experts that
 * cost alike. */
double gated_multiply_adds(const struct gated *g, int b);
double gated_usual_multiply_adds(const struct gated *g);
/* What the logbook is told of the blocks, after what it is told of any network. */
struct summary;
void gated_summarise(const struct gated *g, struct summary *to);

#endif
