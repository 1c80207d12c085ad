/* k-means: rows to the nearest of K centres, centres to the means of their rows, until nothing moves (Lloyd
 * 1982), from centres drawn by squared distance (k-means++, Arthur and Vassilvitskii 2007). */
#ifndef ENGINE_KMEANS_H
#define ENGINE_KMEANS_H
#include <stdint.h>

#include "base/error.h"
#include "engine/pool.h"

struct kmeans {
    int n, width, K;
    float *centre;     /* (K, width) */
    int32_t *cluster;  /* (n) */
    double distortion; /* mean squared distance of a row from its centre */
    int iterations;
};

/* rows: (n, width), n >= K >= 1. A centre that loses all its rows moves to the row that is farthest from its
 * own. The same for any number of threads. */
int kmeans_run(struct kmeans *k, struct pool *pool, const float *rows, int n, int width, int K,
               int most_iterations, uint64_t seed, struct error *err);
void kmeans_release(struct kmeans *k); /* safe on zeroed */

#endif
