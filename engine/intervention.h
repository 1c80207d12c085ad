/* What an ablation changes in a block's decisions once its router has made them. The rest of the model is as
 * it was; gates and weights stay those of the token's slots, so that only the choice of experts changes. A
 * decision that is taken away is dropped, as if a capacity had refused it. Letters: T tokens, N experts. */
#ifndef ENGINE_INTERVENTION_H
#define ENGINE_INTERVENTION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"

enum intervention_kind {
    INTERVENE_NOTHING,
    INTERVENE_WITHOUT,   /* decisions for `expert` are dropped */
    INTERVENE_REROUTED,  /* they go to the token's likeliest expert that it does not have; none: dropped */
    INTERVENE_K,         /* slots from `k` on are dropped; weights that are made to sum to 1 still do */
    INTERVENE_RANDOM,    /* experts are dealt anew among the tokens of a pass, slot by slot: same loads */
    INTERVENE_SHUFFLED,  /* tokens of a pass that have as many experts exchange them, weights and all */
    INTERVENE_UNTRAINED, /* tokens get the experts that an untrained model would choose for them */
    N_INTERVENTIONS
};
extern const char *const intervention_names[N_INTERVENTIONS]; /* nothing, without, rerouted, ... */

/* All tokens of an evaluation in the order of its passes, each with its `width` first experts: those that a
 * router chose, then the likeliest others. */
struct ranked_choices {
    int n_experts, width;
    uint16_t *expert; /* (n_tokens, width) */
    size_t n_tokens, capacity;
};
struct routing;
void ranked_choices_release(struct ranked_choices *c); /* safe on zeroed */
/* Behind those that are there. width and n_experts are the caller's to set before the first. */
int ranked_choices_add(struct ranked_choices *c, const struct routing *r, struct error *err);

struct intervention {
    enum intervention_kind kind;
    int expert, k;
    struct random random;                   /* of RANDOM and SHUFFLED */
    int *order;                             /* (T) of SHUFFLED: scratch for the longest pass */
    const struct ranked_choices *untrained; /* of UNTRAINED */
    size_t next;                            /* its token that comes next */
};

/* renormalized: the router makes a token's weights sum to a constant. */
void intervention_apply(struct intervention *i, bool renormalized, struct routing *r);

#endif
