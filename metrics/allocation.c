#include "metrics/allocation.h"

#include <math.h>
#include <stdlib.h>

/* best[l * (budget + 1) + b]: the least cost of layers l and on with b experts; NaN-free: INFINITY where b
 * does not reach. */
static void fill_from_behind(const double *const *cost, const int *most, int n_layers, int budget,
                             double *best)
{
    size_t row = (size_t)budget + 1;

    for (int b = 0; b <= budget; b++)
        best[(size_t)n_layers * row + (size_t)b] = 0.0;
    for (int l = n_layers - 1; l >= 0; l--) {
        for (int b = 0; b <= budget; b++) {
            double least = INFINITY;
            for (int k = 1; k <= most[l] && k <= b; k++)
                least = fmin(least, cost[l][k - 1] + best[(size_t)(l + 1) * row + (size_t)(b - k)]);
            best[(size_t)l * row + (size_t)b] = least;
        }
    }
}

int allocate_experts(const double *const *cost, const int *most, int n_layers, int budget, int *k,
                     double *total, struct error *err)
{
    size_t row = (size_t)budget + 1;
    double *best = calloc(((size_t)n_layers + 1) * row, sizeof *best);
    int left = budget;

    if (!best)
        return error_no_memory(err, "an allocation of experts");
    fill_from_behind(cost, most, n_layers, budget, best);
    *total = best[budget];
    for (int l = 0; l < n_layers; l++) {
        double least = INFINITY;
        k[l] = 1;
        for (int n = most[l] < left ? most[l] : left; n >= 1; n--) {
            double sum = cost[l][n - 1] + best[(size_t)(l + 1) * row + (size_t)(left - n)];
            if (sum < least) {
                least = sum;
                k[l] = n;
            }
        }
        left -= k[l];
    }
    free(best);
    return 0;
}
