/* AdamW (Loshchilov and Hutter 2019) with clipping by the norm of all gradients, over a table of parameters.
 */
#ifndef ENGINE_OPTIMISER_H
#define ENGINE_OPTIMISER_H
#include <stdint.h>

#include "base/error.h"
#include "engine/parameters.h"
#include "engine/pool.h"

struct optimiser {
    double beta1, beta2, decay; /* decay: of parameters that have it */
    double clip;                /* largest norm of the gradients; 0: any */
    float *first, *second;      /* (n_weights) moments */
};

/* Moments of 0; the other members are left as they are. */
int optimiser_init(struct optimiser *o, const struct parameters *p, struct error *err);
void optimiser_release(struct optimiser *o);
/* The norm of all gradients. */
double optimiser_norm(struct pool *pool, const struct parameters *p);
/* One update after `updates` earlier ones; gradients are 0 after it. norm: optimiser_norm's. */
void optimiser_update(struct optimiser *o, struct pool *pool, struct parameters *p, double learning_rate,
                      int64_t updates, double norm);

/* Learning rates: linear warm-up, then a cosine down to final_share of the highest. */
struct schedule {
    double highest, final_share;
    int64_t warmup, updates; /* of the warm-up, of all */
};
double schedule_rate(const struct schedule *s, int64_t updates /* before this one */);

#endif
