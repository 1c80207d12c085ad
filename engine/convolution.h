/* Two-dimensional convolution through the BLAS seam: patches of the input are laid out as rows, a chunk of
 * samples at a time so that they stay in a core's cache, and multiplied with the filters. What mostly comes
 * behind it, a max pool and a ReLU, is done while the chunk is there: what they leave out never gets to
 * memory. Channels last: letters B samples, H x W input, C channels in, O channels out, K kernel (K x K), P
 * patch = K * K * C, H' x W' output. */
#ifndef ENGINE_CONVOLUTION_H
#define ENGINE_CONVOLUTION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/pool.h"

struct convolution {
    int height, width, channels; /* of the input: H, W, C */
    int filters;                 /* O */
    int kernel, stride, padding; /* zeros around the input: padding on each side */
    int pool;                    /* the largest of each pool x pool is kept (engine/max_pool.h); 1: all */
    bool rectified;              /* and 0 where that is negative */
};

/* Positions along an input of `size`, before the pool; 0: the kernel does not fit. */
int convolution_extent(const struct convolution *c, int size);
/* Floats of scratch for `threads` workers. */
size_t convolution_scratch(const struct convolution *c, int threads);

/* y (B, H', W', O) of bias (O) + sum over the patch (K, K, C) of x (B, H, W, C) * w (O, K, K, C), pooled and
 * rectified. choice (B, H', W', O): where in the pool it is from, for the backward pass. */
void convolution_forward(struct pool *pool, const struct convolution *c, const float *x, const float *w,
                         const float *bias, float *y, uint8_t *choice, float *scratch, int B);
/* From d_y (B, H', W', O): d_w, d_bias += ..., d_x += ... (NULL: not wanted). The same bytes for any number
 * of threads. */
void convolution_backward(struct pool *pool, const struct convolution *c, const float *x, const float *w,
                          const uint8_t *choice, const float *d_y, float *d_x, float *d_w, float *d_bias,
                          float *scratch, int B);

#endif
