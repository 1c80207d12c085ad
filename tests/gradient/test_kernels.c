/* Every kernel of the engine alone: forward against its double twin in engine/naive.h, backward against
 * central finite differences of that twin. Shapes are the awkward ones: one row, widths that fill no vector,
 * one row more than a task takes; logits of +-80 and beyond. Arrays that a kernel promises to overwrite
 * arrive full of NaN. At the end, one line an operation: its largest relative error over all cases. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/attention.h"
#include "engine/blas.h"
#include "engine/kernels.h"
#include "engine/moe.h"
#include "engine/naive.h"
#include "engine/routing.h"
#include "tests/numeric.h"

enum { MOST_OPERATIONS = 48 };

struct results {
    struct pool *pool;
    struct random random;
    struct {
        const char *operation;
        double error;
    } rows[MOST_OPERATIONS];
    int n;
};

static int open_results(void **state)
{
    struct results *s = calloc(1, sizeof *s);

    blas_start();
    *state = s;
    return pool_open(&s->pool, 2, NULL);
}

static int close_results(void **state)
{
    struct results *s = *state;

    print_message("\n%-48s largest relative error\n", "operation");
    for (int i = 0; i < s->n; i++)
        print_message("%-48s %.1e\n", s->rows[i].operation, s->rows[i].error);
    pool_close(s->pool);
    free(s);
    return 0;
}

/* What every test begins with: numbers of its own, whatever the tests before it have used up. */
static struct results *begin(void **state)
{
    struct results *s = *state;

    random_seed(&s->random, 17, 0);
    return s;
}

static void record(struct results *s, const char *operation, double error, double limit)
{
    assert_true(s->n < MOST_OPERATIONS);
    s->rows[s->n].operation = operation;
    s->rows[s->n++].error = error;
    if (!(error <= limit))
        fail_msg("%s: largest relative error %.2e, more than %.0e", operation, error, limit);
}

/* Limits, several times what other random numbers than these give: for a few float roundings on top of each
 * other, and for sums whose terms cancel in part. */
static const double few_roundings = 5e-6, many_roundings = 5e-5;

/* Rows and width: one of each, odd ones, a whole task of 64 rows, one row more. */
static const int shapes[][2] = {{1, 1}, {1, 7}, {2, 16}, {5, 33}, {64, 10}, {65, 17}, {130, 3}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* A kernel that adds to its output was called twice on the same input: the sum must have doubled. */
static double doubling_error(const float *once, const float *twice, size_t n)
{
    struct shelf shelf = {0};
    double *expected = shelf_widened(&shelf, once, n);

    for (size_t i = 0; i < n; i++)
        expected[i] *= 2.0;
    double error = largest_error(twice, expected, n);
    shelf_clear(&shelf);
    return error;
}

/* Root mean square of a * b: the size of a gradient's terms. */
static double typical_product(const float *a, const float *b, size_t n)
{
    double squares = 0.0;

    for (size_t i = 0; i < n; i++)
        squares += (double)a[i] * (double)a[i] * (double)b[i] * (double)b[i];
    return sqrt(squares / (double)n);
}

static float *copy_of(struct shelf *shelf, const float *x, size_t n)
{
    float *copy = shelf_floats(shelf, n);

    memcpy(copy, x, n * sizeof *copy);
    return copy;
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
static void rmsnorm_case(struct results *s, int T, int D, double scale, double error[3])
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
    float *once_x = copy_of(&shelf, d_x, n), *once_gain = copy_of(&shelf, d_gain, width);
    rmsnorm_backward(s->pool, x, gain, inverse, d_y, d_x, d_gain, partial, T, D);
    assert_true(doubling_error(once_x, d_x, n) < few_roundings);
    assert_true(doubling_error(once_gain, d_gain, width) < few_roundings);
    shelf_clear(&shelf);
}

static void test_rmsnorm(void **state)
{
    struct results *s = begin(state);
    double error[3] = {0.0};

    for (int i = 0; i < N_SHAPES; i++) {
        rmsnorm_case(s, shapes[i][0], shapes[i][1], 1.0, error);
        rmsnorm_case(s, shapes[i][0], shapes[i][1], 3e-3, error);
        rmsnorm_case(s, shapes[i][0], shapes[i][1], 100.0, error);
    }
    record(s, "rmsnorm forward", error[0], few_roundings);
    record(s, "rmsnorm backward, by the input", error[1], many_roundings);
    record(s, "rmsnorm backward, by the gain", error[2], few_roundings);
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

static void rope_case(struct results *s, int T, int D, int n_heads, int context, double error[2])
{
    struct shelf shelf = {0};
    size_t n = (size_t)T * 3 * (size_t)D;
    float *qkv = shelf_normal(&shelf, n, 1.0, &s->random), *d_y = shelf_normal(&shelf, n, 1.0, &s->random);
    float *table = shelf_floats(&shelf, (size_t)context * (size_t)(D / n_heads));
    int32_t *position = malloc((size_t)T * sizeof *position);
    double *values = shelf_widened(&shelf, qkv, n), *exact = shelf_widened(&shelf, qkv, n);
    struct rotation rotation = {T, D, n_heads, position, d_y};
    struct objective o = {.value = rope_value, .context = &rotation, .x = values};
    float *d_qkv = copy_of(&shelf, d_y, n), *before = copy_of(&shelf, qkv, n);

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
    struct results *s = begin(state);
    double error[2] = {0.0};

    rope_case(s, 1, 2, 1, 1, error);
    rope_case(s, 65, 12, 2, 300, error);
    rope_case(s, 7, 30, 3, 70, error);
    record(s, "rotary positions forward", error[0], few_roundings);
    record(s, "rotary positions backward", error[1], few_roundings);
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
static void swiglu_case(struct results *s, int T, int F, double scale, double error[2])
{
    struct shelf shelf = {0};
    size_t n = (size_t)T * (size_t)F;
    float *h = shelf_normal(&shelf, 2 * n, scale, &s->random), *a = shelf_floats(&shelf, n);
    float *d_a = shelf_normal(&shelf, n, 1.0, &s->random), *gradient = copy_of(&shelf, h, 2 * n);
    double *values = shelf_widened(&shelf, h, 2 * n), *exact = shelf_doubles(&shelf, n);

    swiglu_forward(s->pool, h, a, T, F);
    swiglu_backward(s->pool, gradient, d_a, T, F);
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
    struct results *s = begin(state);
    double error[2] = {0.0};

    for (int i = 0; i < N_SHAPES; i++)
        swiglu_case(s, shapes[i][0], shapes[i][1], 1.0, error);
    swiglu_case(s, 65, 5, 40.0, error);
    record(s, "swiglu forward", error[0], few_roundings);
    record(s, "swiglu backward", error[1], many_roundings);
}

/* ---- the exponential, through what uses it ---- */

/* silu(x) * 1 = x / (1 + e^-x), and for x below -20 that is x e^x to 9 digits: every relative error of the
 * exponential shows undamped. Entries are compared each with itself, not with the row's size. */
static void test_exponential_in_swiglu(void **state)
{
    enum { F = 6601 };
    struct results *s = begin(state);
    struct shelf shelf = {0};
    float *h = shelf_floats(&shelf, 2 * F), *a = shelf_floats(&shelf, F);
    double error = 0.0;

    for (int i = 0; i < F; i++) {
        h[i] = -86.0F + (float)i * 0.026F; /* -86 .. 85.6 */
        h[F + i] = 1.0F;
    }
    swiglu_forward(s->pool, h, a, 1, F);
    for (int i = 0; i < F; i++) {
        double x = (double)h[i], exact = x / (1.0 + exp(-x));
        error = worse(error, fabs((double)a[i] - exact) / fmax(fabs(exact), 1e-30));
    }
    record(s, "exp in swiglu, -86 to 86", error, 5e-7);
    shelf_clear(&shelf);
}

/* The ratio of two probabilities is the exponential of the difference of their logits. 2 units in the last
 * place are 2.4e-7; the two divisions by the sum add one each. */
static void test_exponential_in_softmax(void **state)
{
    enum { T = 8601 };
    struct results *s = begin(state);
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
    record(s, "exp in softmax, -86 to 0", error, 5e-7);
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

static void softmax_case(struct results *s, int T, int N, double scale, double shift, double error[3])
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
    float *once = copy_of(&shelf, d_z, n);
    softmax_rows_backward(s->pool, p, d_p, d_z, T, N);
    assert_true(doubling_error(once, d_z, n) < few_roundings);
    shelf_clear(&shelf);
}

static void test_softmax(void **state)
{
    struct results *s = begin(state);
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
    record(s, "softmax forward", error[0], few_roundings);
    record(s, "log-sum-exp", error[1], few_roundings);
    record(s, "softmax backward", error[2], many_roundings);
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
static void cross_entropy_case(struct results *s, int V, int target, double scale, double step,
                               double error[2])
{
    struct shelf shelf = {0};
    float *z = shelf_normal(&shelf, (size_t)V, scale, &s->random), *row = copy_of(&shelf, z, (size_t)V);
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
    struct results *s = begin(state);
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
    record(s, "cross entropy", error[0], few_roundings);
    record(s, "cross entropy backward", error[1], few_roundings);
}

/* A model that has gone wrong must show it: wherever the NaN stands, everything of its row becomes one. */
static void test_nan_stays_nan(void **state)
{
    struct results *s = begin(state);

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

static void causal_case(struct results *s, int last, int n, double scale, double error[2])
{
    struct shelf shelf = {0};
    size_t size = (size_t)n;
    float *p = shelf_normal(&shelf, size, scale, &s->random),
          *d_p = shelf_normal(&shelf, size, 1.0, &s->random);
    double *values = shelf_widened(&shelf, p, size), *exact = shelf_doubles(&shelf, size);
    float *given = copy_of(&shelf, d_p, size);
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
    struct results *s = begin(state);
    double error[2] = {0.0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        causal_case(s, cases[i][0], cases[i][1], 2.0, error);
        causal_case(s, cases[i][0], cases[i][1], 40.0, error);
    }
    record(s, "causal softmax forward", error[0], few_roundings);
    record(s, "causal softmax backward", error[1], many_roundings);
}

/* ---- sums and products of vectors ---- */

static void test_vectors(void **state)
{
    static const int sizes[] = {0, 1, 15, 16, 17, 1000};
    struct results *s = begin(state);
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
    record(s, "dot", error[0], few_roundings);
    record(s, "add_scaled", error[1], few_roundings);
}

/* Across the ends of pieces (65,536) and of rounds of 64 pieces. */
static void test_sum_of_squares(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, (size_t)64 * 65536 + 3};
    struct results *s = begin(state);
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
    record(s, "sum of squares", error, 1e-11);
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
    struct results *s = begin(state);
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
    record(s, "adamw weights", largest_error(w, exact_w, N), few_roundings);
    record(s, "adamw first moment", largest_error(m, exact_m, N), few_roundings);
    record(s, "adamw second moment", largest_error(v, exact_v, N), few_roundings);
    shelf_clear(&shelf);
}

/* By hand: after one step from nothing both corrected moments are those of g alone, so that w moves by
 * rate * (sign(g) + decay * w), to the epsilon: 2 - 0.1 * (1 + 0.5 * 2) = 1.8 and 2 - 0.1 * (-1 + 1) = 2. */
static void test_adamw_first_step(void **state)
{
    struct results *s = begin(state);
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

/* ---- attention ---- */

struct attended {
    int T, D, n_heads, n_sequences;
    const int32_t *start;
    const float *d_y;
};

static double attention_value(const double *qkv, const void *context)
{
    const struct attended *c = context;
    size_t n = (size_t)c->T * (size_t)c->D;
    double *y = malloc(n * sizeof *y), value;

    naive_attention(qkv, c->start, c->n_sequences, c->D, c->n_heads, y);
    value = weighted_sum(y, c->d_y, n);
    free(y);
    return value;
}

static void attention_case(struct results *s, const int32_t *start, int n_sequences, int D, int n_heads,
                           double scale, double error[2])
{
    struct shelf shelf = {0};
    int T = start[n_sequences], context = 0;
    size_t n = (size_t)T * (size_t)D, score_start[8];
    float *qkv = shelf_normal(&shelf, 3 * n, scale, &s->random),
          *d_y = shelf_normal(&shelf, n, 1.0, &s->random);
    double *values = shelf_widened(&shelf, qkv, 3 * n), *exact = shelf_doubles(&shelf, n);
    struct attended c = {T, D, n_heads, n_sequences, start, d_y};
    struct objective o = {.value = attention_value, .context = &c, .x = values};

    for (int i = 0; i < n_sequences; i++)
        context = start[i + 1] - start[i] > context ? start[i + 1] - start[i] : context;
    struct attention a = {
        .n_sequences = n_sequences,
        .D = D,
        .n_heads = n_heads,
        .context = context,
        .start = start,
        .score_start = score_start,
        .qkv = qkv,
        .scores = shelf_floats(&shelf, attention_layout(start, n_sequences, n_heads, score_start)),
        .output = shelf_floats(&shelf, n),
        .d_output = d_y,
        .d_qkv = shelf_floats(&shelf, 3 * n),
        .scratch = shelf_floats(&shelf, 2 * attention_scratch(context))};
    attention_forward(s->pool, &a);
    naive_attention(values, start, n_sequences, D, n_heads, exact);
    error[0] = worse(error[0], largest_error(a.output, exact, n));
    attention_backward(s->pool, &a);
    error[1] = worse(error[1], gradient_error(&o, 0, 3 * n, a.d_qkv));
    shelf_clear(&shelf);
}

static void test_attention(void **state)
{
    static const int32_t one[] = {0, 1}, block[] = {0, 64}, past[] = {0, 65};
    static const int32_t many[] = {0, 1, 66, 130, 132, 133}; /* lengths 1, 65, 64, 2, 1 */
    struct results *s = begin(state);
    double error[2] = {0.0}, sharp[2] = {0.0};

    attention_case(s, one, 1, 2, 1, 1.0, error);
    attention_case(s, one, 1, 12, 2, 1.0, error);
    attention_case(s, block, 1, 12, 2, 1.0, error);
    attention_case(s, past, 1, 6, 3, 1.0, error);
    attention_case(s, many, 5, 20, 2, 1.0, error);
    record(s, "attention forward", error[0], few_roundings);
    record(s, "attention backward", error[1], many_roundings);
    /* scores of +-80: queries and keys of deviation 8, 6 products, divided by sqrt(6) */
    attention_case(s, many, 5, 12, 2, 8.0, sharp);
    record(s, "attention forward, scores of +-80", sharp[0], 2e-4);
    record(s, "attention backward, scores of +-80", sharp[1], 2e-4);
}

/* ---- experts ---- */

enum routing_kind { RANDOM_TWO, ALL_TO_ONE, EMPTY_EXPERT, DROPPED, VARIABLE, N_ROUTING_KINDS };

/* Decisions as a router would leave them: k different experts a token, weights in (0, 1). */
static void fill_routing(struct routing *r, enum routing_kind kind, int T, struct random *random)
{
    int d = 0, N = r->n_experts;

    r->n_tokens = T;
    r->n_dropped = 0;
    for (int t = 0; t < T; t++) {
        int k = kind == ALL_TO_ONE ? 1 : kind == VARIABLE ? t % 4 : 2; /* variable: none, one, two, three */
        int first = (int)random_below(random, (uint64_t)N);
        r->offset[t] = d;
        for (int slot = 0; slot < k; slot++, d++) {
            int e = (first + slot) % N;
            if (kind == EMPTY_EXPERT)
                e = (first + slot) % (N - 1); /* the last one gets nothing */
            r->expert[d] = kind == ALL_TO_ONE ? 1 : e;
            r->dropped[d] = kind == DROPPED && random_below(random, 3) == 0;
            r->gate[d] = (float)random_uniform(random);
            r->weight[d] = r->dropped[d] ? 0.0F : r->gate[d];
            r->n_dropped += r->dropped[d];
        }
    }
    r->offset[T] = d;
}

struct mixture {
    const struct routing *routing;
    int D, F;
    const float *d_y;
    size_t in, out, weight; /* where they begin; x begins at 0 */
};

static double mixture_value(const double *v, const void *context)
{
    const struct mixture *c = context;
    const struct routing *r = c->routing;
    size_t D = (size_t)c->D, F = (size_t)c->F;
    double *y = malloc(D * sizeof *y), value = 0.0;

    for (int t = 0; t < r->n_tokens; t++) {
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++) {
            size_t e = (size_t)r->expert[d];
            if (r->dropped[d])
                continue;
            naive_expert(v + (size_t)t * D, v + c->in + e * 2 * F * D, v + c->out + e * D * F, y, c->D, c->F);
            value += v[c->weight + (size_t)d] * weighted_sum(y, c->d_y + (size_t)t * D, D);
        }
    }
    free(y);
    return value;
}

/* y of the mixture, element by element, by the same function that the differences are taken of. */
static double *mixture_output(struct shelf *shelf, const struct mixture *c, const double *values)
{
    size_t n = (size_t)c->routing->n_tokens * (size_t)c->D;
    double *y = shelf_doubles(shelf, n);
    float *one = shelf_zeros(shelf, n);
    struct mixture probe = *c;

    probe.d_y = one;
    for (size_t i = 0; i < n; i++) {
        one[i] = 1.0F;
        y[i] = mixture_value(values, &probe);
        one[i] = 0.0F;
    }
    return y;
}

static double *joined(struct shelf *shelf, const float *const parts[], const size_t sizes[], int n)
{
    size_t total = 0, at = 0;

    for (int i = 0; i < n; i++)
        total += sizes[i];
    double *all = shelf_doubles(shelf, total);
    for (int i = 0; i < n; i++) {
        for (size_t j = 0; j < sizes[i]; j++)
            all[at++] = (double)parts[i][j];
    }
    return all;
}

struct expert_errors {
    double forward, d_x, d_in, d_out, d_weight;
};

static void experts_case(struct results *s, enum routing_kind kind, int T, int N, int D, int F,
                         struct expert_errors *error)
{
    enum { K = 3 };
    struct shelf shelf = {0};
    struct routing r;
    struct dispatch d;
    size_t n = (size_t)T * (size_t)D, rows = (size_t)T * K, matrices = (size_t)N * (size_t)D * (size_t)F;

    assert_int_equal(routing_init(&r, T, N, K, NULL), 0);
    assert_int_equal(dispatch_init(&d, T * K, N, D, F, NULL), 0);
    fill_routing(&r, kind, T, &s->random);
    size_t decisions = (size_t)routing_decisions(&r);
    float *x = shelf_normal(&shelf, n, 1.0, &s->random),
          *in = shelf_normal(&shelf, 2 * matrices, 0.5, &s->random);
    float *out = shelf_normal(&shelf, matrices, 0.5, &s->random), *y = shelf_zeros(&shelf, n);
    float *d_y = shelf_normal(&shelf, n, 1.0, &s->random), *d_x = shelf_zeros(&shelf, n);
    struct experts e = {in, out, shelf_zeros(&shelf, 2 * matrices), shelf_zeros(&shelf, matrices), N, D, F};
    struct dispatch_scratch scratch = {shelf_floats(&shelf, rows * (size_t)D),
                                       shelf_floats(&shelf, rows * (size_t)F),
                                       shelf_floats(&shelf, rows * (size_t)D)};
    const float *const parts[] = {x, in, out, r.weight};
    const size_t sizes[] = {n, 2 * matrices, matrices, decisions};
    double *values = joined(&shelf, parts, sizes, 4);
    struct mixture c = {&r, D, F, d_y, n, n + 2 * matrices, n + 3 * matrices};
    struct objective o = {.value = mixture_value, .context = &c, .x = values};

    experts_forward(s->pool, &e, &r, x, y, &d);
    error->forward = worse(error->forward, largest_error(y, mixture_output(&shelf, &c, values), n));
    experts_backward(s->pool, &e, &r, d_y, d_x, &d, &scratch);
    error->d_x = worse(error->d_x, gradient_error(&o, 0, n, d_x));
    error->d_in = worse(error->d_in, gradient_error(&o, c.in, 2 * matrices, e.d_in));
    error->d_out = worse(error->d_out, gradient_error(&o, c.out, matrices, e.d_out));
    error->d_weight = worse(error->d_weight, gradient_error(&o, c.weight, decisions, r.d_weight));
    float *once[] = {copy_of(&shelf, y, n), copy_of(&shelf, d_x, n), copy_of(&shelf, e.d_in, 2 * matrices),
                     copy_of(&shelf, e.d_out, matrices)};
    experts_forward(s->pool, &e, &r, x, y, &d);
    experts_backward(s->pool, &e, &r, d_y, d_x, &d, &scratch);
    assert_true(doubling_error(once[0], y, n) < few_roundings);
    assert_true(doubling_error(once[1], d_x, n) < few_roundings);
    assert_true(doubling_error(once[2], e.d_in, 2 * matrices) < few_roundings);
    assert_true(doubling_error(once[3], e.d_out, matrices) < few_roundings);
    dispatch_release(&d);
    routing_release(&r);
    shelf_clear(&shelf);
}

static void test_experts(void **state)
{
    struct results *s = begin(state);
    struct expert_errors error = {0};

    for (int kind = 0; kind < N_ROUTING_KINDS; kind++) {
        experts_case(s, kind, 65, 5, 9, 7, &error);
        if (kind != VARIABLE) /* whose first token has no decision */
            experts_case(s, kind == DROPPED ? RANDOM_TWO : kind, 1, 3, 4, 1, &error);
    }
    experts_case(s, RANDOM_TWO, 30, 3, 33, 17, &error);
    record(s, "experts forward", error.forward, few_roundings);
    record(s, "experts backward, by the input", error.d_x, many_roundings);
    record(s, "experts backward, by the gate and up weights", error.d_in, many_roundings);
    record(s, "experts backward, by the down weights", error.d_out, many_roundings);
    record(s, "experts backward, by the combine weights", error.d_weight, many_roundings);
}

/* Every decision refused: nothing comes out and nothing goes back, and no kernel stumbles over 0 rows. */
static void test_experts_all_dropped(void **state)
{
    enum { T = 3, N = 2, D = 4, F = 3 };
    struct results *s = begin(state);
    struct shelf shelf = {0};
    struct routing r;
    struct dispatch d;
    float *x = shelf_normal(&shelf, T * D, 1.0, &s->random), *y = shelf_zeros(&shelf, T * D);
    float *d_x = shelf_zeros(&shelf, T * D), *w = shelf_normal(&shelf, N * 2 * F * D, 1.0, &s->random);
    struct experts e = {w, w, shelf_zeros(&shelf, N * 2 * F * D), shelf_zeros(&shelf, N * D * F), N, D, F};
    struct dispatch_scratch scratch = {shelf_floats(&shelf, T * 2 * D), shelf_floats(&shelf, T * 2 * F),
                                       shelf_floats(&shelf, T * 2 * D)};

    assert_int_equal(routing_init(&r, T, N, 2, NULL), 0);
    assert_int_equal(dispatch_init(&d, T * 2, N, D, F, NULL), 0);
    fill_routing(&r, RANDOM_TWO, T, &s->random);
    for (int i = 0; i < routing_decisions(&r); i++) {
        r.dropped[i] = 1;
        r.weight[i] = 0.0F;
    }
    experts_forward(s->pool, &e, &r, x, y, &d);
    experts_backward(s->pool, &e, &r, x, d_x, &d, &scratch);
    for (int i = 0; i < T * D; i++)
        assert_true(y[i] == 0.0F && d_x[i] == 0.0F);
    for (int i = 0; i < N * D * F; i++)
        assert_true(e.d_out[i] == 0.0F && e.d_in[i] == 0.0F);
    for (int i = 0; i < routing_decisions(&r); i++)
        assert_true(r.d_weight[i] == 0.0F);
    dispatch_release(&d);
    routing_release(&r);
    shelf_clear(&shelf);
}

static void dense_case(struct results *s, int T, int D, int F, struct expert_errors *error)
{
    struct shelf shelf = {0};
    struct routing r;
    struct dispatch d;
    size_t n = (size_t)T * (size_t)D, matrix = (size_t)D * (size_t)F;

    /* For the twin: one expert, weight 1. */
    assert_int_equal(routing_init(&r, T, 1, 1, NULL), 0);
    assert_int_equal(dispatch_init(&d, T, 1, D, F, NULL), 0);
    r.n_tokens = T;
    for (int t = 0; t < T; t++) {
        r.offset[t + 1] = t + 1;
        r.expert[t] = 0;
        r.weight[t] = 1.0F;
    }
    float *x = shelf_normal(&shelf, n, 1.0, &s->random),
          *in = shelf_normal(&shelf, 2 * matrix, 0.5, &s->random);
    float *out = shelf_normal(&shelf, matrix, 0.5, &s->random), *y = shelf_zeros(&shelf, n);
    float *d_y = shelf_normal(&shelf, n, 1.0, &s->random), *d_x = shelf_zeros(&shelf, n);
    struct experts e = {in, out, shelf_zeros(&shelf, 2 * matrix), shelf_zeros(&shelf, matrix), 1, D, F};
    struct dispatch_scratch scratch = {.d_a = shelf_floats(&shelf, (size_t)T * (size_t)F)};
    const float *const parts[] = {x, in, out, r.weight};
    const size_t sizes[] = {n, 2 * matrix, matrix, (size_t)T};
    double *values = joined(&shelf, parts, sizes, 4);
    struct mixture c = {&r, D, F, d_y, n, n + 2 * matrix, n + 3 * matrix};
    struct objective o = {.value = mixture_value, .context = &c, .x = values};

    dense_forward(s->pool, &e, x, y, T, &d);
    error->forward = worse(error->forward, largest_error(y, mixture_output(&shelf, &c, values), n));
    dense_backward(s->pool, &e, x, d_y, d_x, T, &d, &scratch);
    error->d_x = worse(error->d_x, gradient_error(&o, 0, n, d_x));
    error->d_in = worse(error->d_in, gradient_error(&o, c.in, 2 * matrix, e.d_in));
    error->d_out = worse(error->d_out, gradient_error(&o, c.out, matrix, e.d_out));
    float *once[] = {copy_of(&shelf, y, n), copy_of(&shelf, d_x, n)};
    dense_forward(s->pool, &e, x, y, T, &d);
    dense_backward(s->pool, &e, x, d_y, d_x, T, &d, &scratch);
    assert_true(doubling_error(once[0], y, n) < few_roundings);
    assert_true(doubling_error(once[1], d_x, n) < few_roundings);
    dispatch_release(&d);
    routing_release(&r);
    shelf_clear(&shelf);
}

static void test_dense(void **state)
{
    struct results *s = begin(state);
    struct expert_errors error = {0};

    dense_case(s, 1, 2, 1, &error);
    dense_case(s, 65, 9, 7, &error);
    dense_case(s, 20, 33, 17, &error);
    record(s, "dense block forward", error.forward, few_roundings);
    record(s, "dense block backward, by the input", error.d_x, many_roundings);
    record(s, "dense block backward, by the gate and up weights", error.d_in, many_roundings);
    record(s, "dense block backward, by the down weights", error.d_out, many_roundings);
}

/* ---- the router ---- */

struct routed {
    const struct routing *routing; /* whose choices are held */
    int D;
    bool renormalize;
    double balance, z;
};

/* v: x (T, D), then the router's weights (N, D). sum of d_weight * weight + balance and z losses. */
static double routed_value(const double *v, const void *context)
{
    const struct routed *c = context;
    const struct routing *r = c->routing;
    int T = r->n_tokens, N = r->n_experts;
    double *logit = malloc((size_t)N * sizeof *logit), *p = malloc((size_t)N * sizeof *p), value = 0.0;
    double weight[8];
    int32_t expert[8];

    for (int t = 0; t < T; t++) {
        int first = r->offset[t], k = r->offset[t + 1] - first;
        naive_linear(v + (size_t)t * (size_t)c->D, v + (size_t)T * (size_t)c->D, logit, 1, c->D, N);
        naive_softmax(logit, p, N);
        naive_topk(p, N, k, c->renormalize, r->expert + first, expert, weight);
        for (int slot = 0; slot < k; slot++)
            value += (double)r->d_weight[first + slot] * weight[slot];
        for (int i = 0; i < N; i++)
            value += c->balance * N * p[i] / T * (double)r->requested[i] / routing_decisions(r);
        double log_sum = naive_cross_entropy(logit, 0, N) + logit[0];
        value += c->z * log_sum * log_sum / T;
    }
    free(logit);
    free(p);
    return value;
}

struct router_errors {
    double forward, backward, losses;
};

/* scale: of the logits. balance and z alone when they are asked for, the language loss's part otherwise. */
static void router_case(struct results *s, struct router_config config, int T, int D, double scale,
                        struct loss_weights weights, double *forward, double *backward)
{
    struct shelf shelf = {0};
    struct routing r;
    int N = config.n_experts;
    size_t n = (size_t)T * (size_t)D, matrix = (size_t)N * (size_t)D, cells = (size_t)T * (size_t)N;
    float *x = shelf_normal(&shelf, n, 1.0, &s->random), *d_x = shelf_zeros(&shelf, n);
    float *w = shelf_normal(&shelf, matrix, scale / sqrt(D), &s->random);
    struct router router = {router_find("topk"), config, w, shelf_zeros(&shelf, matrix)};
    const float *const parts[] = {x, w};
    const size_t sizes[] = {n, matrix};
    double *values = joined(&shelf, parts, sizes, 2), *p = shelf_doubles(&shelf, cells);

    assert_int_equal(routing_init(&r, T, N, config.k, NULL), 0);
    router_route(&router, s->pool, x, T, D, NULL, &r);
    naive_linear(values, values + n, p, T, D, N);
    for (int t = 0; t < T; t++)
        naive_softmax(p + (size_t)t * (size_t)N, p + (size_t)t * (size_t)N, N);
    *forward = worse(*forward, largest_error(r.probability, p, cells));
    bool losses = weights.balance > 0.0F || weights.z > 0.0F;
    for (int i = 0; i < routing_decisions(&r); i++)
        r.d_weight[i] = losses || r.dropped[i] ? 0.0F : (float)random_normal(&s->random);
    balance_loss(&r, weights.balance);
    z_loss(&r, weights.z);
    router_backward(&router, s->pool, x, d_x, D, &r);
    struct routed c = {&r, D, config.renormalize, (double)weights.balance, (double)weights.z};
    struct objective o = {.value = routed_value, .context = &c, .x = values};
    *backward = worse(*backward, gradient_error(&o, 0, n, d_x));
    *backward = worse(*backward, gradient_error(&o, n, matrix, router.d_weight));
    routing_release(&r);
    shelf_clear(&shelf);
}

static void test_router(void **state)
{
    static const struct router_config plain = {.n_experts = 5, .k = 2},
                                      renormalised = {.n_experts = 5, .k = 3, .renormalize = true},
                                      dropping = {
                                          .n_experts = 5, .k = 2, .renormalize = true, .capacity = 0.5F};
    static const struct loss_weights none = {0.0F, 0.0F}, balance = {0.7F, 0.0F}, z = {0.0F, 0.3F};
    struct results *s = begin(state);
    double forward = 0.0, backward = 0.0, renormalized = 0.0, balanced = 0.0, squared = 0.0;

    router_case(s, plain, 65, 9, 1.0, none, &forward, &backward);
    router_case(s, plain, 1, 3, 1.0, none, &forward, &backward);
    router_case(s, renormalised, 65, 9, 1.0, none, &forward, &renormalized);
    router_case(s, renormalised, 1, 3, 1.0, none, &forward, &renormalized);
    router_case(s, dropping, 65, 9, 1.0, none, &forward, &renormalized);
    router_case(s, plain, 65, 9, 1.0, balance, &forward, &balanced);
    router_case(s, dropping, 65, 9, 1.0, balance, &forward, &balanced);
    router_case(s, plain, 65, 9, 1.0, z, &forward, &squared);
    router_case(s, plain, 3, 9, 40.0, z, &forward, &squared);
    record(s, "router forward", forward, many_roundings);
    record(s, "router backward, raw gates", backward, many_roundings);
    record(s, "router backward, renormalised gates", renormalized, many_roundings);
    record(s, "balance loss backward", balanced, many_roundings);
    record(s, "z-loss backward", squared, many_roundings);
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
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_experts_all_dropped),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_router),
    };
    return cmocka_run_group_tests(tests, open_results, close_results);
}
