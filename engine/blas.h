/* The one seam to BLAS. Everything is row-major float. OpenBLAS runs single-threaded inside; the pool keeps
 * the cores busy with tiles of many products at once, which holds at any load imbalance among experts and is
 * faster on our sizes than OpenBLAS's own threading. Tiles do not depend on the number of threads. */
#ifndef ENGINE_BLAS_H
#define ENGINE_BLAS_H
#include <stdbool.h>

#include "engine/pool.h"

/* C (m, n) = op(A) (m, k) * op(B) (k, n) + beta * C, beta 0 or 1. lda, ldb, ldc: row strides as stored. */
struct gemm {
    bool trans_a, trans_b;
    int m, n, k;
    const float *a;
    int lda;
    const float *b;
    int ldb;
    float *c;
    int ldc;
    float beta;
    int first_tile; /* set by gemm_batch */
};

/* One product in the calling thread: for use inside pool tasks. */
void gemm_one(const struct gemm *g);
/* All products, cut into tiles, over the pool. Outputs must not overlap. */
void gemm_batch(struct pool *pool, struct gemm *jobs, int n_jobs);
/* The oracle: three loops, sums in double. */
void gemm_naive(const struct gemm *g);

/* The three products of a linear layer y (rows, out) = x (rows, in) * w (out, in) transposed. */
struct gemm gemm_forward(const float *x, const float *w, float *y, int rows, int in, int out, float beta);
struct gemm gemm_input_gradient(const float *dy, const float *w, float *dx, int rows, int in, int out,
                                float beta);
struct gemm gemm_weight_gradient(const float *dy, const float *x, float *dw, int rows, int in, int out);

/* Must be called once before any product; makes OpenBLAS single-threaded. */
void blas_start(void);
/* OpenBLAS's kernels in use: "Haswell", "SkylakeX", ... */
const char *blas_core_type(void);
/* Whether OPENBLAS_CORETYPE holds them below what this machine could do (AVX-512 there, unused). */
bool blas_pinned_below_machine(void);
/* The machine's limit: GFLOP/s of n x n x n products with every core at it, best of `repeats`. */
double blas_measure_limit(struct pool *pool, int n, int repeats, struct error *err);

#endif
