#include "engine/kernels.h"

#include <math.h>
#include <string.h>

#include "engine/each_cpu.h"

enum { ROWS = 64 }; /* rows a task: small enough to share, large enough to be worth handing out */

/* exp within 2 units in the last place, in plain arithmetic that the compiler can vectorise (libm's cannot
 * be). Arguments below -87 give e^-87, about the smallest normal number, rather than 0. */
static inline __attribute__((always_inline)) float fast_exp(float x)
{
    const float round_to_integer = 12582912.0F; /* 1.5 * 2^23 */
    float c = x < -87.0F ? -87.0F : (x > 88.0F ? 88.0F : x);
    float shifted = c * 1.44269504F + round_to_integer, n = shifted - round_to_integer;
    float r = (c - n * 0.693359375F) + n * 2.12194440e-4F;
    float p = 1.9875691500e-4F;
    union {
        float f;
        uint32_t bits;
    } power = {.f = shifted};

    /* The integer stands in the low bits of `shifted`; converting n would be undefined for a NaN. */
    power.bits = (power.bits + 127U) << 23;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    return (p * r * r + r + 1.0F) * power.f;
}

EACH_CPU float dot(const float *a, const float *b, int n)
{
    float sum = 0.0F;

#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

EACH_CPU void add_scaled(float *y, const float *x, float scale, int n)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        y[i] += scale * x[i];
}

static EACH_CPU float row_maximum(const float *x, int n)
{
    float m = x[0];

#pragma omp simd reduction(max : m)
    for (int i = 0; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

/* y = exp(scale * (x - maximum)); returns the sum. y may be x. */
static EACH_CPU float exp_row(const float *x, float *y, int n, float maximum, float scale)
{
    float sum = 0.0F;

#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) {
        y[i] = fast_exp(scale * (x[i] - maximum));
        sum += y[i];
    }
    return sum;
}

static EACH_CPU void scale_row(float *x, int n, float scale)
{
#pragma omp simd
    for (int i = 0; i < n; i++)
        x[i] *= scale;
}

/* ---- rmsnorm ---- */

struct rmsnorm {
    const float *x, *gain, *d_y;
    float *y, *inverse_rms, *d_x, *partial;
    int D;
};

static EACH_CPU void rmsnorm_rows(const struct rmsnorm *c, int first, int last)
{
    int D = c->D;

    for (int t = first; t < last; t++) {
        const float *x = c->x + (size_t)t * D;
        float *y = c->y + (size_t)t * D;
        float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < D; i++)
            sum += x[i] * x[i];
        float inverse = 1.0F / sqrtf(sum / (float)D + 1e-5F);
        c->inverse_rms[t] = inverse;
#pragma omp simd
        for (int i = 0; i < D; i++)
            y[i] = x[i] * inverse * c->gain[i];
    }
}

static void rmsnorm_forward_range(void *context, int first, int last, int worker)
{
    (void)worker;
    rmsnorm_rows(context, first, last);
}

void rmsnorm_forward(struct pool *pool, const float *x, const float *gain, float *y, float *inverse_rms,
                     int T, int D)
{
    struct rmsnorm c = {.x = x, .gain = gain, .y = y, .inverse_rms = inverse_rms, .D = D};

    pool_ranges(pool, rmsnorm_forward_range, &c, T, ROWS);
}

/* With r = 1/rms and g = d_y * gain: d_x = r g - x r^3 mean(g x); d_gain = sum_t d_y x r. The sum over t is
 * kept per range and added in order at the end, so that it does not depend on the threads. */
static EACH_CPU void rmsnorm_rows_backward(const struct rmsnorm *c, int first, int last)
{
    int D = c->D;
    float *d_gain = c->partial + (size_t)(first / ROWS) * D;

    memset(d_gain, 0, sizeof *d_gain * (size_t)D);
    for (int t = first; t < last; t++) {
        const float *x = c->x + (size_t)t * D, *d_y = c->d_y + (size_t)t * D;
        float *d_x = c->d_x + (size_t)t * D;
        float r = c->inverse_rms[t], sum = 0.0F;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < D; i++)
            sum += d_y[i] * c->gain[i] * x[i];
        float back = r * r * r * sum / (float)D;
#pragma omp simd
        for (int i = 0; i < D; i++) {
            d_gain[i] += d_y[i] * x[i] * r;
            d_x[i] += d_y[i] * c->gain[i] * r - x[i] * back;
        }
    }
}

static void rmsnorm_backward_range(void *context, int first, int last, int worker)
{
    (void)worker;
    rmsnorm_rows_backward(context, first, last);
}

size_t rmsnorm_scratch(int T, int D)
{
    return (size_t)((T + ROWS - 1) / ROWS) * (size_t)D;
}

void rmsnorm_backward(struct pool *pool, const float *x, const float *gain, const float *inverse_rms,
                      const float *d_y, float *d_x, float *d_gain, float *partial, int T, int D)
{
    struct rmsnorm c = {.x = x,
                        .gain = gain,
                        .d_y = d_y,
                        .inverse_rms = (float *)inverse_rms,
                        .d_x = d_x,
                        .partial = partial,
                        .D = D};

    pool_ranges(pool, rmsnorm_backward_range, &c, T, ROWS);
    for (int r = 0; r * ROWS < T; r++)
        add_scaled(d_gain, partial + (size_t)r * D, 1.0F, D);
}

/* ---- rotary positions ---- */

void rope_table(float *table, int context, int head_width)
{
    int half = head_width / 2;

    for (int p = 0; p < context; p++) {
        for (int i = 0; i < half; i++) {
            double angle = p * pow(10000.0, -2.0 * i / head_width);
            table[(size_t)p * head_width + i] = (float)cos(angle);
            table[(size_t)p * head_width + half + i] = (float)sin(angle);
        }
    }
}

struct rope {
    float *qkv;
    const int32_t *position;
    const float *table;
    int D, n_heads;
    float sign;
};

static EACH_CPU void rope_rows(const struct rope *c, int first, int last)
{
    int width = c->D / c->n_heads, half = width / 2;

    for (int t = first; t < last; t++) {
        const float *cosine = c->table + (size_t)c->position[t] * width, *sine = cosine + half;
        float *row = c->qkv + (size_t)t * 3 * c->D;
        for (int h = 0; h < 2 * c->n_heads; h++) { /* queries, then keys */
            float *x = row + (size_t)h * width;
#pragma omp simd
            for (int i = 0; i < half; i++) {
                float a = x[i], b = x[half + i], s = c->sign * sine[i];
                x[i] = a * cosine[i] - b * s;
                x[half + i] = a * s + b * cosine[i];
            }
        }
    }
}

static void rope_range(void *context, int first, int last, int worker)
{
    (void)worker;
    rope_rows(context, first, last);
}

void rope_apply(struct pool *pool, float *qkv, const int32_t *position, const float *table, int T, int D,
                int n_heads, float sign)
{
    struct rope c = {qkv, position, table, D, n_heads, sign};

    pool_ranges(pool, rope_range, &c, T, ROWS);
}

/* ---- SwiGLU ---- */

EACH_CPU void swiglu_forward(const float *h, float *a, int T, int F)
{
    for (int t = 0; t < T; t++) {
        const float *gate = h + (size_t)t * 2 * F, *up = gate + F;
        float *to = a + (size_t)t * F;
#pragma omp simd
        for (int i = 0; i < F; i++)
            to[i] = gate[i] * up[i] / (1.0F + fast_exp(-gate[i]));
    }
}

/* With s = sigmoid(gate): d_gate = d_a up s (1 + gate (1 - s)); d_up = d_a gate s. */
EACH_CPU void swiglu_backward(float *h, const float *d_a, int T, int F)
{
    for (int t = 0; t < T; t++) {
        float *gate = h + (size_t)t * 2 * F, *up = gate + F;
        const float *d = d_a + (size_t)t * F;
#pragma omp simd
        for (int i = 0; i < F; i++) {
            float g = gate[i], u = up[i], s = 1.0F / (1.0F + fast_exp(-g));
            gate[i] = d[i] * u * s * (1.0F + g * (1.0F - s));
            up[i] = d[i] * g * s;
        }
    }
}

/* ---- softmax ---- */

struct softmax {
    const float *logits, *p, *d_p;
    float *probability, *log_sum, *d_logits;
    int N;
};

static void softmax_range(void *context, int first, int last, int worker)
{
    const struct softmax *c = context;

    (void)worker;
    for (int t = first; t < last; t++) {
        const float *z = c->logits + (size_t)t * c->N;
        float *p = c->probability + (size_t)t * c->N;
        float maximum = row_maximum(z, c->N), sum = exp_row(z, p, c->N, maximum, 1.0F);
        scale_row(p, c->N, 1.0F / sum);
        if (c->log_sum)
            c->log_sum[t] = maximum + logf(sum);
    }
}

void softmax_rows(struct pool *pool, const float *logits, float *probability, float *log_sum, int T, int N)
{
    struct softmax c = {.logits = logits, .probability = probability, .log_sum = log_sum, .N = N};

    pool_ranges(pool, softmax_range, &c, T, ROWS);
}

static EACH_CPU void softmax_rows_back(const struct softmax *c, int first, int last)
{
    for (int t = first; t < last; t++) {
        const float *p = c->p + (size_t)t * c->N, *d_p = c->d_p + (size_t)t * c->N;
        float *d_z = c->d_logits + (size_t)t * c->N, mean = 0.0F;
#pragma omp simd reduction(+ : mean)
        for (int i = 0; i < c->N; i++)
            mean += p[i] * d_p[i];
#pragma omp simd
        for (int i = 0; i < c->N; i++)
            d_z[i] += p[i] * (d_p[i] - mean);
    }
}

static void softmax_backward_range(void *context, int first, int last, int worker)
{
    (void)worker;
    softmax_rows_back(context, first, last);
}

void softmax_rows_backward(struct pool *pool, const float *probability, const float *d_probability,
                           float *d_logits, int T, int N)
{
    struct softmax c = {.p = probability, .d_p = d_probability, .d_logits = d_logits, .N = N};

    pool_ranges(pool, softmax_backward_range, &c, T, ROWS);
}

float cross_entropy_row(float *logits, int target, int V, float scale)
{
    float maximum = row_maximum(logits, V), target_logit = logits[target];
    float sum = exp_row(logits, logits, V, maximum, 1.0F);

    scale_row(logits, V, scale / sum);
    logits[target] -= scale;
    return logf(sum) + (maximum - target_logit); /* in this order: two large logits first, exactly */
}

static EACH_CPU float exp_sum(const float *x, int n, float maximum)
{
    float sum = 0.0F;

#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += fast_exp(x[i] - maximum);
    return sum;
}

float cross_entropy_row_loss(const float *logits, int target, int V)
{
    float maximum = row_maximum(logits, V);

    return logf(exp_sum(logits, V, maximum)) + (maximum - logits[target]);
}

void causal_softmax_row(float *row, int last, int n, float scale)
{
    int keys = last + 1;
    float sum = exp_row(row, row, keys, row_maximum(row, keys), scale);

    scale_row(row, keys, 1.0F / sum);
    memset(row + keys, 0, sizeof *row * (size_t)(n - keys));
}

EACH_CPU void causal_softmax_row_backward(const float *p, float *d_p, int n, float scale)
{
    float mean = 0.0F;

#pragma omp simd reduction(+ : mean)
    for (int i = 0; i < n; i++)
        mean += p[i] * d_p[i];
#pragma omp simd
    for (int i = 0; i < n; i++)
        d_p[i] = scale * p[i] * (d_p[i] - mean);
}

/* ---- over all parameters ---- */

enum { PIECE = 1 << 16 };

struct squares {
    const float *x;
    size_t n;
    double *sum; /* one a piece */
};

static EACH_CPU double piece_of_squares(const float *x, size_t n)
{
    double sum = 0.0;

#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static void squares_task(void *context, int index, int worker)
{
    struct squares *c = context;
    size_t first = (size_t)index * PIECE, n = c->n - first < PIECE ? c->n - first : PIECE;

    (void)worker;
    c->sum[index % 64] = piece_of_squares(c->x + first, n);
}

double sum_of_squares(struct pool *pool, const float *x, size_t n)
{
    double total = 0.0, sum[64] = {0};

    for (size_t done = 0; done < n; done += (size_t)64 * PIECE) { /* 64 pieces a round: no allocation */
        size_t left = n - done < (size_t)64 * PIECE ? n - done : (size_t)64 * PIECE;
        int pieces = (int)((left + PIECE - 1) / PIECE);
        struct squares c = {x + done, left, sum};
        pool_run(pool, squares_task, &c, pieces);
        for (int i = 0; i < pieces; i++)
            total += sum[i];
    }
    return total;
}

struct adamw_arrays {
    const struct adamw *s;
    float *w, *g, *m, *v;
    size_t n;
};

static EACH_CPU void adamw_piece(const struct adamw *s, float *restrict w, float *restrict g,
                                 float *restrict m, float *restrict v, size_t n)
{
    float step = s->learning_rate / s->correction1, root = 1.0F / sqrtf(s->correction2);
    float keep = 1.0F - s->learning_rate * s->decay;

#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float gradient = g[i] * s->gradient_scale;
        m[i] = s->beta1 * m[i] + (1.0F - s->beta1) * gradient;
        v[i] = s->beta2 * v[i] + (1.0F - s->beta2) * gradient * gradient;
        w[i] = keep * w[i] - step * m[i] / (sqrtf(v[i]) * root + s->epsilon);
        g[i] = 0.0F;
    }
}

static void adamw_task(void *context, int index, int worker)
{
    struct adamw_arrays *c = context;
    size_t first = (size_t)index * PIECE, n = c->n - first < PIECE ? c->n - first : PIECE;

    (void)worker;
    adamw_piece(c->s, c->w + first, c->g + first, c->m + first, c->v + first, n);
}

void adamw_update(struct pool *pool, const struct adamw *s, float *w, float *g, float *m, float *v, size_t n)
{
    struct adamw_arrays c = {s, w, g, m, v, n};

    pool_run(pool, adamw_task, &c, (int)((n + PIECE - 1) / PIECE));
}

int largest_of(const float *x, int n)
{
    int best = 0;

    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}
