/* How a run's routing came to be what it is: every probe pass against the last one and against the one
 * before, layer by layer. */
#ifndef ANALYSIS_SHARED_COURSE_H
#define ANALYSIS_SHARED_COURSE_H
#include "analysis/shared/routed.h"
#include "metrics/resample.h"

struct passing { /* a probe pass of one layer */
    int64_t step;
    struct agreement_rates final, previous; /* previous: NaN in the first pass */
    struct interval overlap;                /* final.overlap, over documents */
    double unsettled;        /* share of tokens whose first choice differs from the final one here or later */
    double unsettled_chance; /* the same were every pass's choices dealt anew: loads alone */
};

struct course {
    struct passing *passing; /* (n_layers, n) */
    int n, n_layers;

    int32_t *choice;         /* (n_layers, n, n_tokens) first choices; -1: none */
    struct routed *previous; /* (n_layers) while following: the pass before the one at hand */
};

/* Follows the passes up to the step that `final` (n_layers) is of. */
int course_follow(struct course *c, struct logbook *lb, int64_t run_id, const struct documents *d,
                  const struct routed *final, int n_layers, int64_t final_step, struct error *err);
void course_release(struct course *c); /* safe on zeroed and released */

/* The pass of a layer from which it agrees with its final choices for good, above chance by `level` of what
 * is possible; c->n - 1: not before the last. */
int course_settled(const struct course *c, int layer, double level);

#endif
