/* The kernels of the engine that take numbers row by row, each alone: forward against its double twin in
 * engine/naive.h, backward against central finite differences of that twin. Shapes are the awkward ones: one
 * row, widths that fill no vector, one row more than a task takes; logits of +-80 and beyond. Arrays that a
 * kernel promises to overwrite arrive full of NaN. Attention, experts and the router: test_layers.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernels.h"
#include "engine/naive.h"
#include "tests/operations.h"

/* Rows and width: one of each, odd ones, a whole task of 64 rows, one row more. */
static const int shapes[][2] = {{1, 1}, {1, 7}, {2, 16}, {5, 33}, {64, 10}, {65, 17}, {130, 3}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* Root mean square of a * b: the size of a gradient's terms. */
static double typical_product(const float *a, const float *b, size_t n)
{
    double squares = 0.0;

    for (size_t i = 0; i < n; i++)
        squares += (double)a[i] * (double)a[i] * (double)b[i] * (double)b[i];
    return sqrt(squares / (double)n);
}

/* ---- rmsnorm ---- */

struct rows { /* what the objectives of row-wise kernels need to know */
    int T, D;
    const float *d_y;
};

/* x: (T, D), then the gain (D) */
static double rmsnorm_value(const double *x, const void *context)
{
    const struct rows *c = context;
    size_t n = (size_t)c->T * (size_t)c->D;
    double *y = malloc(n * sizeof *y), value;

    naive_rmsnorm(x, x + n, y, c->T, c->D);
    value = weighted_sum(y, c->d_y, n);
    free(y);
    return value;
}

/* scale: of x. Small ones meet the 1e-5 under the root. */
static void rmsnorm_case(struct operations *s, int T, int D, double scale, double error[3])
{
    struct shelf shelf = {0};
    size_t n = (size_t)T * (size_t)D, width = (size_t)D;
    float *x = shelf_normal(&shelf, n, scale, &s->random),
          *gain = shelf_normal(&shelf, width, 1.0, &s->random);
    float *y = shelf_floats(&shelf, n), *inverse = shelf_floats(&shelf, (size_t)T);
    float *d_y = shelf_normal(&shelf, n, 1.0, &s->random), *d_x = shelf_zeros(&shelf, n);
    float *d_gain = shelf_zeros(&shelf, width), *partial = shelf_floats(&shelf, rmsnorm_scratch(T, D));
    double *values = shelf_doubles(&shelf, n + width), *exact = shelf_doubles(&shelf, n);
    struct rows rows = {T, D, d_y};
    struct objective o = {.value = rmsnorm_value, .context = &rows, .x = values};

    for (size_t i = 0; i < n + width; i++)
        values[i] = i < n ? (double)x[i] : (double)gain[i - n];
    rmsnorm_forward(s->pool, x, gain, y, inverse, T, D);
    naive_rmsnorm(values, values + n, exact, T, D);
    error[0] = worse(error[0], largest_error(y, exact, n));
    /* a row of one number has hardly any gradient: x / |x| does not move; its two terms cancel */
    o.terms = D == 1 ? typical_product(d_y, inverse, (size_t)T) * fabs((double)gain[0]) : 0.0;
    rmsnorm_backward(s->pool, x, gain, inverse, d_y, d_x, d_gain, partial, T, D);
    error[1] = worse(error[1], gradient_error(&o, 0, n, d_x));
    error[2] = worse(error[2], gradient_error(&o, n, width, d_gain));
    float *once_x = shelf_copy(&shelf, d_x, n), *once_gain = shelf_copy(&shelf, d_gain, width);
    rmsnorm_backward(s->pool, x, gain, inverse, d_y, d_x, d_gain, partial, T, D);
    assert_true(doubling_error(once_x, d_x, n) < few_roundings);
    assert_true(doubling_error(once_gain, d_gain, width) < few_roundings);
    shelf_clear(&shelf);
}

static void test_rmsnorm(void **state)
{
    struct operations *s = operations_begin(state);
    double error[3] = {0.0};

    for (int i = 0; i < N_SHAPES; i++) {
        rmsnorm_case(s, shapes[i][0], shapes[i][1], 1.0, error);
        rmsnorm_case(s, shapes[i][0], shapes[i][1], 3e-3, error);
        rmsnorm_case(s, shapes[i][0], shapes[i][1], 100.0, error);
    }
    operations_record(s, "rmsnorm forward", error[0], few_roundings);
    operations_record(s, "rmsnorm backward, by the input", error[1], many_roundings);
    operations_record(s, "rmsnorm backward, by the gain", error[2], few_roundings);
}

/* ---- rotary positions ---- */

struct rotation {
    int T, D, n_heads;
    const int32_t *position;
    const float *d_y;
};

static double rope_value(const double *x, const void *context)
{
    const struct rotation *c = context;
    size_t n = (size_t)c->T * 3 * (size_t)c->D;
    double *y = malloc(n * sizeof *y), value;

    memcpy(y, x, n * sizeof *y);
    naive_rope(y, c->position, c->T, c->D, c->n_heads);
    value = weighted_sum(y, c->d_y, n);
    free(y);
    return value;
}

static void rope_case(struct operations *s, int T, int D, int n_heads, int context, double error[2])
{
    struct shelf shelf = {0};
    size_t n = (size_t)T * 3 * (size_t)D;
    float *qkv = shelf_normal(&shelf, n, 1.0, &s->random), *d_y = shelf_normal(&shelf, n, 1.0, &s->random);
    float *table = shelf_floats(&shelf, (size_t)context * (size_t)(D / n_heads));
    int32_t *position = malloc((size_t)T * sizeof *position);
    double *values = shelf_widened(&shelf, qkv, n), *exact = shelf_widened(&shelf, qkv, n);
    struct rotation rotation = {T, D, n_heads, position, d_y};
    struct objective o = {.value = rope_value, .context = &rotation, .x = values};
    float *d_qkv = shelf_copy(&shelf, d_y, n), *before = shelf_copy(&shelf, qkv, n);

    for (int t = 0; t < T; t++)
        position[t] = (int32_t)random_below(&s->random, (uint64_t)context);
    position[T - 1] = context - 1;
    rope_table(table, context, D / n_heads);
    rope_apply(s->pool, qkv, position, table, T, D, n_heads, 1.0F);
    naive_rope(exact, position, T, D, n_heads);
    error[0] = worse(error[0], largest_error(qkv, exact, n));
    rope_apply(s->pool, d_qkv, position, table, T, D, n_heads, -1.0F);
    error[1] = worse(error[1], gradient_error(&o, 0, n, d_qkv));
    rope_apply(s->pool, qkv, position, table, T, D, n_heads, -1.0F); /* the inverse, too */
    assert_true(largest_error(qkv, values, n) < few_roundings);
    for (int t = 0; t < T; t++) /* values are not turned */
        assert_memory_equal(qkv + ((size_t)t * 3 + 2) * (size_t)D, before + ((size_t)t * 3 + 2) * (size_t)D,
                            sizeof *qkv * (size_t)D);
    free(position);
    shelf_clear(&shelf);
}

static void test_rope(void **state)
{
    struct operations *s = operations_begin(state);
    double error[2] = {0.0};

    rope_case(s, 1, 2, 1, 1, error);
    rope_case(s, 65, 12, 2, 300, error);
    rope_case(s, 7, 30, 3, 70, error);
    operations_record(s, "rotary positions forward", error[0], few_roundings);
    operations_record(s, "rotary positions backward", error[1], few_roundings);
}

/* ---- SwiGLU ---- */

/* One row by naive_expert whose matrices do nothing: in = identity (2 F, 2 F), out = (identity, 0). */
static double swiglu_value(const double *h, const void *context)
{
    const struct rows *c = context;
    int F = c->D, wide = 2 * F;
    double *in = calloc((size_t)wide * (size_t)wide, sizeof *in), *y = malloc(sizeof *y * (size_t)wide),
           value;
    double *out = calloc((size_t)wide * (size_t)F, sizeof *out);

    for (int i = 0; i < wide; i++)
        in[i * wide + i] = 1.0;
    for (int i = 0; i < F; i++)
        out[i * F + i] = 1.0;
    naive_expert(h, in, out, y, wide, F);
    value = weighted_sum(y, c->d_y, (size_t)F);
    free(in);
    free(y);
    free(out);
    return value;
}

/* scale: of the gates; 40 makes some of them reach +-100. */
static void swiglu_case(struct operations *s, int T, int F, double scale, double error[2])
{
    struct shelf shelf = {0};
    size_t n = (size_t)T * (size_t)F;
    float *h = shelf_normal(&shelf, 2 * n, scale, &s->random), *a = shelf_floats(&shelf, n);
    float *d_a = shelf_normal(&shelf, n, 1.0, &s->random), *gradient = shelf_copy(&shelf, h, 2 * n);
    double *values = shelf_widened(&shelf, h, 2 * n), *exact = shelf_doubles(&shelf, n);

    swiglu_forward(h, a, T, F);
    swiglu_backward(gradient, d_a, T, F);
    for (size_t t = 0; t < (size_t)T; t++) {
        struct rows row = {1, F, d_a + t * (size_t)F};
        struct objective o = {.value = swiglu_value, .context = &row, .x = values + t * 2 * (size_t)F};
        for (int i = 0; i < F; i++) {
            float *one = shelf_zeros(&shelf, (size_t)F);
            one[i] = 1.0F;
            exact[t * (size_t)F + (size_t)i] = swiglu_value(o.x, &(struct rows){1, F, one});
        }
        error[1] = worse(error[1], gradient_error(&o, 0, 2 * (size_t)F, gradient + t * 2 * (size_t)F));
    }
    error[0] = worse(error[0], largest_error(a, exact, n));
    shelf_clear(&shelf);
}

static void test_swiglu(void **state)
{
    struct operations *s = operations_begin(state);
    double error[2] = {0.0};

    for (int i = 0; i < N_SHAPES; i++)
        swiglu_case(s, shapes[i][0], shapes[i][1], 1.0, error);
    swiglu_case(s, 65, 5, 40.0, error);
    operations_record(s, "swiglu forward", error[0], few_roundings);
    operations_record(s, "swiglu backward", error[1], many_roundings);
}

/* ---- the exponential, through what uses it ---- */

/* silu(x) * 1 = x / (1 + e^-x), and for x below -20 that is x e^x to 9 digits: every relative error of the
 * exponential shows undamped. Entries are compared each with itself, not with the row's size. */
static void test_exponential_in_swiglu(void **state)
{
    enum { F = 6601 };
    struct operations *s = operations_begin(state);
    struct shelf shelf = {0};
    float *h = shelf_floats(&shelf, 2 * F), *a = shelf_floats(&shelf, F);
    double error = 0.0;

    for (int i = 0; i < F; i++) {
        h[i] = -86.0F + (float)i * 0.026F; /* -86 .. 85.6 */
        h[F + i] = 1.0F;
    }
    swiglu_forward(h, a, 1, F);
    for (int i = 0; i < F; i++) {
        double x = (double)h[i], exact = x / (1.0 + exp(-x));
        error = worse(error, fabs((double)a[i] - exact) / fmax(fabs(exact), 1e-30));
    }
    operations_record(s, "exp in swiglu, -86 to 86", error, 5e-7);
    shelf_clear(&shelf);
}

/* The ratio of two probabilities is the exponential of the difference of their logits. 2 units in the last
 * place are 2.4e-7; the two divisions by the sum add one each. */
static void test_exponential_in_softmax(void **state)
{
    enum { T = 8601 };
    struct operations *s = operations_begin(state);
    struct shelf shelf = {0};
    float *z = shelf_floats(&shelf, 2 * T), *p = shelf_floats(&shelf, 2 * T), *sum = shelf_floats(&shelf, T);
    double error = 0.0;

    for (int t = 0; t < T; t++) {
        z[2 * t] = 0.0F;
        z[2 * t + 1] = -(float)t * 0.01F; /* 0 .. -86 */
    }
    softmax_rows(s->pool, z, p, sum, T, 2);
    for (int t = 0; t < T; t++) {
        double exact = exp((double)z[2 * t + 1]);
        error = worse(error, fabs((double)p[2 * t + 1] / (double)p[2 * t] - exact) / exact);
    }
    operations_record(s, "exp in softmax, -86 to 0", error, 5e-7);
    shelf_clear(&shelf);
}

/* ---- softmax ---- */

static double softmax_value(const double *z, const void *context)
{
    const struct rows *c = context;
    double *p = malloc(sizeof *p * (size_t)c->D), value = 0.0;

    for (int t = 0; t < c->T; t++) {
        naive_softmax(z + (size_t)t * (size_t)c->D, p, c->D);
        value += weighted_sum(p, c->d_y + (size_t)t * (size_t)c->D, (size_t)c->D);
    }
    free(p);
    return value;
}

static void softmax_case(struct operations *s, int T, int N, double scale, double shift, double error[3])
{
    struct shelf shelf = {0};
    size_t n = (size_t)T * (size_t)N;
    float *z = shelf_normal(&shelf, n, scale, &s->random), *p = shelf_floats(&shelf, n);
    float *log_sum = shelf_floats(&shelf, (size_t)T), *d_p = shelf_normal(&shelf, n, 1.0, &s->random);
    float *d_z = shelf_zeros(&shelf, n);
    double *exact = shelf_doubles(&shelf, n), *exact_sum = shelf_doubles(&shelf, (size_t)T);

    for (size_t i = 0; i < n; i++)
        z[i] += (float)shift;
    double *values = shelf_widened(&shelf, z, n);
    struct rows rows = {T, N, d_p};
    struct objective o = {.value = softmax_value, .context = &rows, .x = values};
    for (int t = 0; t < T; t++) {
        naive_softmax(values + (size_t)t * (size_t)N, exact + (size_t)t * (size_t)N, N);
        /* log-sum-exp = cross entropy + the target's logit */
        exact_sum[t] =
            naive_cross_entropy(values + (size_t)t * (size_t)N, 0, N) + values[(size_t)t * (size_t)N];
    }
    softmax_rows(s->pool, z, p, log_sum, T, N);
    error[0] = worse(error[0], largest_error(p, exact, n));
    error[1] = worse(error[1], largest_error(log_sum, exact_sum, (size_t)T));
    o.terms = typical_product(p, d_p, n);
    softmax_rows_backward(s->pool, p, d_p, d_z, T, N);
    error[2] = worse(error[2], gradient_error(&o, 0, n, d_z));
    float *once = shelf_copy(&shelf, d_z, n);
    softmax_rows_backward(s->pool, p, d_p, d_z, T, N);
    assert_true(doubling_error(once, d_z, n) < few_roundings);
    shelf_clear(&shelf);
}

static void test_softmax(void **state)
{
    struct operations *s = operations_begin(state);
    double error[3] = {0.0}, unused[3] = {0.0};

    for (int i = 0; i < N_SHAPES; i++) {
        softmax_case(s, shapes[i][0], shapes[i][1], 2.0, 0.0, error);
        softmax_case(s, shapes[i][0], shapes[i][1], 2.0, 80.0, error);
        softmax_case(s, shapes[i][0], shapes[i][1], 2.0, -80.0, error);
        /* one expert takes nearly all: gradients are differences of nearly equal numbers */
        softmax_case(s, shapes[i][0], shapes[i][1], 30.0, 0.0, error);
    }
    softmax_case(s, 3, 257, 80.0, 0.0, unused);
    error[0] = worse(error[0], unused[0]);
    operations_record(s, "softmax forward", error[0], few_roundings);
    operations_record(s, "log-sum-exp", error[1], few_roundings);
    operations_record(s, "softmax backward", error[2], many_roundings);
}

/* ---- cross entropy ---- */

struct classification {
    int target, V;
    double scale;
};

static double cross_entropy_value(const double *z, const void *context)
{
    const struct classification *c = context;

    return c->scale * naive_cross_entropy(z, c->target, c->V);
}

/* Losses are wanted to a part of 1 nat where they are smaller than that, else to a part of themselves. */
static void cross_entropy_case(struct operations *s, int V, int target, double scale, double step,
                               double error[2])
{
    struct shelf shelf = {0};
    float *z = shelf_normal(&shelf, (size_t)V, scale, &s->random), *row = shelf_copy(&shelf, z, (size_t)V);
    double *values = shelf_widened(&shelf, z, (size_t)V);
    struct classification c = {target, V, 0.37};
    struct objective o = {
        .value = cross_entropy_value, .context = &c, .x = values, .step = step, .terms = 0.37 / sqrt(V)};
    double exact = naive_cross_entropy(values, target, V);
    float loss = cross_entropy_row_loss(row, target, V);

    assert_memory_equal(row, z, (size_t)V * sizeof *z);
    error[0] = worse(error[0], fabs((double)loss - exact) / fmax(exact, 1.0));
    loss = cross_entropy_row(row, target, V, 0.37F);
    error[0] = worse(error[0], fabs((double)loss - exact) / fmax(exact, 1.0));
    if (V > 1)
        error[1] = worse(error[1], gradient_error(&o, 0, (size_t)V, row));
    else
        assert_true(row[0] == 0.0F && loss == 0.0F);
    shelf_clear(&shelf);
}

/* Two logits of this size that differ by 1, the target ahead: nearly ln(1 + e^-1), whatever the size, and to
 * as many digits. */
static double close_call_error(float size)
{
    float z[] = {-size, size, size - 1.0F, 0.0F};
    double exact = naive_cross_entropy((double[]){-size, size, size - 1.0, 0.0}, 1, 4);
    double error = fabs((double)cross_entropy_row_loss(z, 1, 4) - exact);

    return worse(error, fabs((double)cross_entropy_row(z, 1, 4, 1.0F) - exact));
}

static void test_cross_entropy(void **state)
{
    static const int sizes[] = {1, 2, 17, 1000};
    struct operations *s = operations_begin(state);
    double error[2] = {0.0};

    for (int i = 0; i < 4; i++) {
        for (int target = 0; target<sizes[i]; target += sizes[i]> 2 ? sizes[i] / 2 : 1) {
            cross_entropy_case(s, sizes[i], target, 1.0, 0.0, error);
            cross_entropy_case(s, sizes[i], target, 80.0, 1e-5, error);
            cross_entropy_case(s, sizes[i], target, 1e4, 1e-3, error);
        }
    }
    for (float size = 1.0F; size < 1e5F; size *= 10.0F)
        error[0] = worse(error[0], close_call_error(size));
    operations_record(s, "cross entropy", error[0], few_roundings);
    operations_record(s, "cross entropy backward", error[1], few_roundings);
}

/* A model that has gone wrong must show it: wherever the NaN stands, everything of its row becomes one. */
static void test_nan_stays_nan(void **state)
{
    struct operations *s = operations_begin(state);

    for (int at = 0; at < 3; at++) {
        float z[] = {1.0F, 2.0F, 3.0F}, p[3], log_sum;
        z[at] = NAN;
        softmax_rows(s->pool, z, p, &log_sum, 1, 3);
        assert_true(isnan(p[0]) && isnan(p[1]) && isnan(p[2]) && isnan(log_sum));
        assert_true(isnan(cross_entropy_row_loss(z, 1, 3)));
        assert_true(isnan(cross_entropy_row(z, 1, 3, 1.0F)) && isnan(z[0]) && isnan(z[1]));
    }
}

/* ---- causal softmax ---- */

static double causal_value(const double *z, const void *context)
{
    const struct rows *c = context; /* T: keys, D: all */
    double *p = calloc((size_t)c->D, sizeof *p), value;

    for (int i = 0; i < c->T; i++)
        p[i] = 0.3 * z[i];
    naive_softmax(p, p, c->T);
    value = weighted_sum(p, c->d_y, (size_t)c->T);
    free(p);
    return value;
}

static void causal_case(struct operations *s, int last, int n, double scale, double error[2])
{
    struct shelf shelf = {0};
    size_t size = (size_t)n;
    float *p = shelf_normal(&shelf, size, scale, &s->random),
          *d_p = shelf_normal(&shelf, size, 1.0, &s->random);
    double *values = shelf_widened(&shelf, p, size), *exact = shelf_doubles(&shelf, size);
    float *given = shelf_copy(&shelf, d_p, size);
    struct rows rows = {last + 1, n, given};
    struct objective o = {.value = causal_value, .context = &rows, .x = values};

    for (int i = 0; i < n; i++)
        exact[i] = 0.3 * values[i];
    naive_softmax(exact, exact, last + 1);
    for (int i = last + 1; i < n; i++)
        exact[i] = 0.0;
    causal_softmax_row(p, last, n, 0.3F);
    error[0] = worse(error[0], largest_error(p, exact, size));
    o.terms = 0.3 * typical_product(p, d_p, size);
    causal_softmax_row_backward(p, d_p, n, 0.3F);
    for (int i = last + 1; i < n; i++)
        assert_true(p[i] == 0.0F && d_p[i] == 0.0F);
    error[1] = worse(error[1], gradient_error(&o, 0, size, d_p));
    assert_true(last > 0 || (p[0] == 1.0F && d_p[0] == 0.0F));
    shelf_clear(&shelf);
}

static void test_causal_softmax(void **state)
{
    static const int cases[][2] = {{0, 1}, {0, 64}, {1, 2}, {12, 33}, {63, 64}, {64, 65}, {40, 65}};
    struct operations *s = operations_begin(state);
    double error[2] = {0.0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        causal_case(s, cases[i][0], cases[i][1], 2.0, error);
        causal_case(s, cases[i][0], cases[i][1], 40.0, error);
    }
    operations_record(s, "causal softmax forward", error[0], few_roundings);
    operations_record(s, "causal softmax backward", error[1], many_roundings);
}

/* ---- sums and products of vectors ---- */

static void test_vectors(void **state)
{
    static const int sizes[] = {0, 1, 15, 16, 17, 1000};
    struct operations *s = operations_begin(state);
    double error[2] = {0.0};

    for (int i = 0; i < 6; i++) {
        struct shelf shelf = {0};
        size_t n = (size_t)sizes[i];
        float *a = shelf_normal(&shelf, n, 1.0, &s->random), *b = shelf_normal(&shelf, n, 1.0, &s->random);
        double *exact = shelf_widened(&shelf, a, n), product = 0.0, sizes_sum = 1e-30;
        for (size_t j = 0; j < n; j++) {
            product += exact[j] * (double)b[j];
            sizes_sum += fabs(exact[j] * (double)b[j]);
            exact[j] -= 0.7 * (double)b[j];
        }
        /* of a sum that may cancel: relative to the sum of the sizes */
        error[0] = worse(error[0], fabs((double)dot(a, b, (int)n) - product) / sizes_sum);
        add_scaled(a, b, -0.7F, (int)n);
        error[1] = worse(error[1], largest_error(a, exact, n));
        shelf_clear(&shelf);
    }
    operations_record(s, "dot", error[0], few_roundings);
    operations_record(s, "add_scaled", error[1], few_roundings);
}

/* Across the ends of pieces (65,536) and of rounds of 64 pieces. */
static void test_sum_of_squares(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, (size_t)64 * 65536 + 3};
    struct operations *s = operations_begin(state);
    double error = 0.0;

    for (int i = 0; i < 6; i++) {
        struct shelf shelf = {0};
        float *x = shelf_floats(&shelf, sizes[i]);
        double exact = 0.0;
        for (size_t j = 0; j < sizes[i]; j++) {
            x[j] = (float)(random_uniform(&s->random) - 0.3);
            exact += (double)x[j] * (double)x[j];
        }
        error = worse(error, fabs(sum_of_squares(s->pool, x, sizes[i]) - exact) / fmax(exact, 1e-30));
        shelf_clear(&shelf);
    }
    operations_record(s, "sum of squares", error, 1e-11);
}

/* ---- AdamW ---- */

/* Loshchilov and Hutter 2019, algorithm 2, in double. */
static void exact_adamw(const struct adamw *c, int t, double *w, double g, double *m, double *v)
{
    double beta1 = (double)c->beta1, beta2 = (double)c->beta2, rate = (double)c->learning_rate;

    g *= (double)c->gradient_scale;
    *m = beta1 * *m + (1.0 - beta1) * g;
    *v = beta2 * *v + (1.0 - beta2) * g * g;
    double first = *m / (1.0 - pow(beta1, t)), second = *v / (1.0 - pow(beta2, t));
    *w -= rate * (first / (sqrt(second) + (double)c->epsilon) + (double)c->decay * *w);
}

static void test_adamw(void **state)
{
    enum { N = 65536 + 37, STEPS = 7 };
    struct operations *s = operations_begin(state);
    struct shelf shelf = {0};
    struct adamw c = {.learning_rate = 0.01F, .beta1 = 0.9F, .beta2 = 0.95F, .epsilon = 1e-8F, .decay = 0.1F};
    float *w = shelf_normal(&shelf, N, 1.0, &s->random), *g = shelf_floats(&shelf, N);
    float *m = shelf_zeros(&shelf, N), *v = shelf_zeros(&shelf, N);
    double *exact_w = shelf_widened(&shelf, w, N), *exact_m = shelf_widened(&shelf, m, N);
    double *exact_v = shelf_widened(&shelf, v, N);

    for (int t = 1; t <= STEPS; t++) {
        c.correction1 = (float)(1.0 - pow((double)c.beta1, t));
        c.correction2 = (float)(1.0 - pow((double)c.beta2, t));
        c.gradient_scale = t % 2 ? 1.0F : 0.25F;
        for (int i = 0; i < N; i++) {
            g[i] = i % 5 ? (float)random_normal(&s->random) : 0.0F;
            exact_adamw(&c, t, &exact_w[i], (double)g[i], &exact_m[i], &exact_v[i]);
        }
        adamw_update(s->pool, &c, w, g, m, v, N);
        for (int i = 0; i < N; i++)
            assert_true(g[i] == 0.0F);
    }
    operations_record(s, "adamw weights", largest_error(w, exact_w, N), few_roundings);
    operations_record(s, "adamw first moment", largest_error(m, exact_m, N), few_roundings);
    operations_record(s, "adamw second moment", largest_error(v, exact_v, N), few_roundings);
    shelf_clear(&shelf);
}

/* By hand: after one step from nothing both corrected moments are those of g alone, so that w moves by
 * rate * (sign(g) + decay * w), to the epsilon: 2 - 0.1 * (1 + 0.5 * 2) = 1.8 and 2 - 0.1 * (-1 + 1) = 2. */
static void test_adamw_first_step(void **state)
{
    struct operations *s = operations_begin(state);
    struct adamw c = {.learning_rate = 0.1F,
                      .beta1 = 0.9F,
                      .beta2 = 0.95F,
                      .epsilon = 1e-8F,
                      .decay = 0.5F,
                      .correction1 = 1.0F - 0.9F,
                      .correction2 = 1.0F - 0.95F,
                      .gradient_scale = 0.5F};
    float w[] = {2.0F, 2.0F}, g[] = {7.0F, -0.003F}, m[2] = {0.0F}, v[2] = {0.0F};

    adamw_update(s->pool, &c, w, g, m, v, 2);
    assert_true(fabsf(w[0] - 1.8F) < 1e-6F && fabsf(w[1] - 2.0F) < 1e-6F);
    assert_true(fabsf(m[0] - 0.35F) < 1e-6F); /* 0.1 * 0.5 * 7 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_exponential_in_swiglu),
        cmocka_unit_test(test_exponential_in_softmax),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_nan_stays_nan),
        cmocka_unit_test(test_causal_softmax),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_sum_of_squares),
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_adamw_first_step),
    };
    return cmocka_run_group_tests(tests, operations_open, operations_close);
}
