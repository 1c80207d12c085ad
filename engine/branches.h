/* Parts of a network (engine/network.h) that run by themselves, on samples of their own: the experts of a
 * block, whatever each of them is made of. A sample's decisions (engine/routing.h) say which of them it
 * passes. Letters: B samples of a batch, N experts. */
#ifndef ENGINE_BRANCHES_H
#define ENGINE_BRANCHES_H
#include <stdint.h>

#include "engine/network.h"
#include "engine/routing.h"

struct branch { /* nodes from an entry on, which others fill */
    int entry, last;
    double multiply_adds; /* of a sample */
};

/* y (B, outputs) = the sum over a sample's decisions of weight * expert (x), x (B, inputs). experts: (N), of
 * equal inputs and outputs. row: (decisions) filled in, of the sample among those of its expert, -1: dropped;
 * load: (N) filled in, how many each has. */
void branches_forward(struct network *n, const struct branch *experts, const struct routing *r,
                      const float *x, float *y, int *row, int *load);
/* From d_y: d_x += ..., gradients of the experts' weights += ..., r->d_weight. row, load: of the forward
 * pass. */
void branches_backward(struct network *n, const struct branch *experts, struct routing *r, const float *d_y,
                       float *d_x, const int *row, const int *load);

#endif
