/* How many experts each layer should get when all together may use `budget` a token. */
#ifndef METRICS_ALLOCATION_H
#define METRICS_ALLOCATION_H
#include "base/error.h"

/* Chooses k of every layer, 1 <= k[l] <= most[l], so that the sum of cost[l][k[l] - 1] is least among all
 * choices whose k add up to no more than budget; of equal sums the one with more experts in earlier layers.
 * cost: (n_layers), each of (most[l]); what a layer's truncation to k costs alone, from ablations. budget: at
 * least n_layers. *total: the least sum.
 * Exact, by dynamic programming over layers and budget.
 * Trap: costs measured one layer at a time are added as if truncating one layer did not change what another
 * needs; and they are of a model that was trained with more. */
int allocate_experts(const double *const *cost, const int *most, int n_layers, int budget, int *k,
                     double *total, struct error *err);

#endif
