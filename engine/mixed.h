/* One mixture of experts over several sources, its experts of different architectures (after Gan et al. 2025,
 * arXiv 2501.16352): a small stem for each source brings its samples into one form, positions x width; a gate
 * reads its mean and chooses experts; their outputs, weighted, go to the source's head.
 *
 *   image   patches of a quarter of the side -> linear     text    bytes, embedded, four a position -> linear
 *   series  times / 16 a position -> linear                table   linear to all positions
 *
 * each followed by a norm. Experts, "ARCHITECTURE:HIDDEN" each:
 *
 *   convolution  two 3 x 3 convolutions over the positions as 4 x 4, a max pool, linear
 *   sequence     neighbours are joined, two by two, by a linear layer and a ReLU until one is left; linear
 *   mlp          all positions -> HIDDEN -> ReLU -> linear
 *   bag          the mean of the positions -> HIDDEN -> ReLU -> linear
 *
 * Letters: B samples a batch, S sources, N experts, D width of a position, E width of an expert's output. */
#ifndef ENGINE_MIXED_H
#define ENGINE_MIXED_H
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/random.h"
#include "engine/branches.h"
#include "engine/config.h"
#include "engine/corpus.h"
#include "engine/mixture.h"
#include "engine/network.h"
#include "engine/pass.h"
#include "engine/routing.h"

enum { MIXED_SIDE = 4, MIXED_POSITIONS = MIXED_SIDE * MIXED_SIDE, MIXED_EXPERTS = 64 };
enum mixed_routing { ROUTE_BY_GATE, ROUTE_BY_SOURCE, ROUTE_TO_ALL };
extern const char *const mixed_routing_names[]; /* gate, source, all; ended by NULL */

struct mixed {
    const struct mixture *mixture;
    struct pool *pool;
    struct network network; /* all branches; its parameters are the whole model's */
    struct branch stem[MIXTURE_MOST], head[MIXTURE_MOST], expert[MIXED_EXPERTS];
    int S, N, D, E, max_samples;
    enum mixed_routing how;
    struct router router; /* of ROUTE_BY_GATE */
    double cost[MIXED_EXPERTS];
    int64_t weights[MIXED_EXPERTS];   /* of each expert */
    struct loss_weights loss_weights; /* of the losses on the routing */
    struct routing routing;
    struct routed_layer layer;
    /* the batch, ordered by source */
    int n, first[MIXTURE_MOST + 1];
    const struct sample **sample; /* (B) */
    const struct sample **added;  /* (B) in the order of adding */
    int32_t *start, *input, *target;
    float *loss, *value;      /* (B) value: of real targets, what was predicted */
    struct outcome *outcome;  /* (B) target -1: a real one */
    float *form, *d_form;     /* (B, positions, D) what stems make */
    float *mean, *d_mean;     /* (B, D) what the gate reads */
    float *joined, *d_joined; /* (B, E) what heads take */
    int *row;                 /* (decisions) among those of its expert; -1: dropped */
    int *load;                /* (N) rows */
    float noise;              /* deviation of what is added to the pixels of images, from `random` */
    struct random *random;
    struct arena memory;
};

/* config: mixed.*, router.*, loss.*; weights from the seed. */
int mixed_init(struct mixed *m, const struct config *config, const struct corpus *corpus, struct pool *pool,
               uint64_t seed, struct error *err);
void mixed_release(struct mixed *m); /* safe on zeroed */

void mixed_clear(struct mixed *m);
/* false: the batch is full. */
bool mixed_add(struct mixed *m, const struct sample *s);

/* lm: the mean over the batch of cross entropy (nats) and squared error. With train, gradients of the losses,
 * weighted, are added to network.parameters. noise: the router's. */
struct losses mixed_forward(struct mixed *m, const struct corpus *corpus, bool train, struct random *noise);
/* After an update: the router's own state, by what the last pass asked for. */
void mixed_update(struct mixed *m);
struct pass mixed_pass(struct mixed *m);

double mixed_multiply_adds(const struct mixed *m, int b); /* of sample b of the last pass */

#endif
