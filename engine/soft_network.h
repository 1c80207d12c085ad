/* A network that may have a Soft MoE layer, and what is asked of that layer: where its tokens went, and what
 * comes out with some of its experts alone. Letter: B samples of a batch. */
#ifndef ENGINE_SOFT_NETWORK_H
#define ENGINE_SOFT_NETWORK_H
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/random.h"
#include "engine/network.h"
#include "engine/pass.h"

struct soft_network {
    struct network network;
    int soft;   /* the node of the Soft MoE layer; -1: none */
    int tokens; /* of a sample: the layer's, or 1 */
    int max_samples;
    double multiply_adds; /* of a sample */
    struct routing routing;
    struct routed_layer layer;  /* of that routing */
    struct decision *decisions; /* (experts) of one token */
    uint8_t *keep;              /* (B, experts) */
    struct arena memory;
};

/* After describing s->network, s->soft and s->tokens: memory for max_samples, weights from the seed. */
int soft_network_build(struct soft_network *s, int max_samples, struct pool *pool, uint64_t seed,
                       struct error *err);
void soft_network_release(struct soft_network *s); /* safe on zeroed */

/* Fills s->routing from the last forward pass of B samples: every token has a share in every expert, its
 * combine weights summed over the expert's slots. ordered: the largest first, so that a token's first choice
 * is its likeliest; otherwise by number. */
void soft_network_route(struct soft_network *s, int B, bool ordered);
/* weight (experts) += those shares of all tokens of the batch. */
void soft_network_add_weights(const struct soft_network *s, int B, double *weight);

/* After a forward pass of B samples: the last node's values with only k experts of each sample run, the
 * likeliest (Chung et al. 2024, Algorithm 1) or k at random; with those that keep (experts) marks; with one
 * (-1: none). */
void soft_network_keep_likeliest(struct soft_network *s, int B, int k);
void soft_network_keep_random(struct soft_network *s, int B, int k, struct random *r);
void soft_network_keep_same(struct soft_network *s, int B, const uint8_t *keep);
void soft_network_keep_one(struct soft_network *s, int B, int expert);

static inline int soft_network_experts(const struct soft_network *s)
{
    return s->soft < 0 ? 0 : s->network.nodes[s->soft].soft.n_experts;
}

/* Of training on so many tokens: once forward, and back for the inputs and for the weights. */
double soft_network_flops(const struct soft_network *s, double tokens);
/* What the logbook is told of it. */
struct summary;
void soft_network_summarise(const struct soft_network *s, const char *task, const char *kind, int vocabulary,
                            struct summary *to);

#endif
