/* What a classifier with a Soft MoE layer still knows with k of its n experts: Chung et al. 2024, section 5.
 * An image is right with a subset of experts when the others' slots counted as 0, combine weights staying as
 * they are, the prediction is its label. */
#ifndef ENGINE_SUBSETS_H
#define ENGINE_SUBSETS_H
#include <stdint.h>

#include "base/error.h"
#include "engine/classifier.h"

enum { SUBSET_DRAWS = 10, MOST_SEARCHED = 16 };

struct subset_figures { /* shares of the images */
    int k;
    double likeliest;         /* the k of Algorithm 1 for each image */
    double random, deviation; /* k at random for each image: mean and deviation of SUBSET_DRAWS draws */
    double fixed; /* one subset for all: the k whose combine weights are largest over `choosing` */
    /* By search through all subsets of k; NaN for more than MOST_SEARCHED experts. */
    double best;   /* some subset is right */
    double wrong;  /* some subset predicts one wrong label, drawn at random: how much `best` owes to choice
                      alone */
    double unique; /* different subsets, the first right one of each image, that it takes */
};

/* seed: of the draws. choosing: samples that the fixed subset is chosen by. */
int subsets_measure(struct classifier *c, const struct corpus *corpus, const struct samples *samples,
                    const struct samples *choosing, int k, uint64_t seed, struct subset_figures *f,
                    struct error *err);

#endif
