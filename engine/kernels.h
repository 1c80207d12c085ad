/* Everything between the matrix products. Letters: T tokens (rows), D width, F hidden width of an expert,
 * V vocabulary. All row-major float; gradients carry d_ in front. Kernels over rows run on the pool; each has
 * a plain double twin in engine/naive.h. */
#ifndef ENGINE_KERNELS_H
#define ENGINE_KERNELS_H
#include <stddef.h>
#include <stdint.h>

#include "engine/pool.h"

/* y = x / rms(x) * gain, rms = sqrt(mean(x^2) + 1e-5) (Zhang and Sennrich 2019). inverse_rms: (T). */
void rmsnorm_forward(struct pool *pool, const float *x /* (T, D) */, const float *gain /* (D) */,
                     float *y /* (T, D) */, float *inverse_rms /* (T) */, int T, int D);
/* d_x += gradient; d_gain += gradient. partial: scratch of rmsnorm_scratch(T, D) floats. */
void rmsnorm_backward(struct pool *pool, const float *x, const float *gain, const float *inverse_rms,
                      const float *d_y, float *d_x, float *d_gain, float *partial, int T, int D);
size_t rmsnorm_scratch(int T, int D);

/* Rotary positions (Su et al. 2021) on the query and key parts of qkv, in place; sign -1 is the inverse,
 * which is also the backward pass. position: (T) within the sequence. table: rope_table's. */
void rope_apply(struct pool *pool, float *qkv /* (T, 3 D) */, const int32_t *position, const float *table,
                int T, int D, int n_heads, float sign);
void rope_table(float *table /* (context, D / n_heads) */, int context, int head_width);

/* a = silu(h[:, :F]) * h[:, F:] (Shazeer 2020, "GLU variants"). In the calling thread: for use inside tasks.
 */
void swiglu_forward(const float *h /* (T, 2 F) */, float *a /* (T, F) */, int T, int F);
/* h is replaced by its gradient: the forward values are not needed after. */
void swiglu_backward(float *h /* (T, 2 F) in: values, out: gradient */, const float *d_a, int T, int F);

/* The place of the largest of n, the first of equals. */
int largest_of(const float *x, int n);

/* Row-wise softmax and log-sum-exp (T; NULL: not wanted). */
void softmax_rows(struct pool *pool, const float *logits, float *probability, float *log_sum, int T, int N);
/* d_logits += p * (d_p - sum(p * d_p)). */
void softmax_rows_backward(struct pool *pool, const float *probability, const float *d_probability,
                           float *d_logits, int T, int N);

/* One row of logits (V): returns -log softmax[target] and turns the row into scale * (softmax - onehot). */
float cross_entropy_row(float *logits, int target, int V, float scale);
/* The loss alone; the row is left as it is. */
float cross_entropy_row_loss(const float *logits, int target, int V);

/* For attention: row i of scores becomes softmax(scale * row) over keys 0..last, and 0 up to n. */
void causal_softmax_row(float *row, int last, int n, float scale);
/* d_scores = scale * p * (d_p - dot(p, d_p)), in place of d_p; 0 where p is. */
void causal_softmax_row_backward(const float *p, float *d_p, int n, float scale);

float dot(const float *a, const float *b, int n);
void add_scaled(float *y, const float *x, float scale, int n); /* y += scale * x */
double sum_of_squares(struct pool *pool, const float *x, size_t n);

struct adamw { /* Loshchilov and Hutter 2019; bias-corrected */
    float learning_rate, beta1, beta2, epsilon, decay;
    float correction1, correction2; /* 1 - beta^t */
    float gradient_scale;           /* clipping */
};
/* Updates w, m, v from g and sets g to 0. */
void adamw_update(struct pool *pool, const struct adamw *s, float *w, float *g, float *m, float *v, size_t n);

#endif
