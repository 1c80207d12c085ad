#include "tests/numeric.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_ENTRIES = 240, DIRECTIONS = 4 };

/* ---- arrays ---- */

static void *shelf_add(struct shelf *s, size_t n, size_t size)
{
    void **pieces = realloc(s->pieces, ((size_t)s->n + 1) * sizeof *pieces);
    void *piece = malloc(n * size + !n);

    if (!pieces || !piece)
        fail_msg("no memory for a test's arrays");
    s->pieces = pieces;
    s->pieces[s->n++] = piece;
    return piece;
}

static float *shelf_filled(struct shelf *s, size_t n, float value)
{
    float *x = shelf_add(s, n, sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = value;
    return x;
}

float *shelf_floats(struct shelf *s, size_t n)
{
    return shelf_filled(s, n, NAN);
}

float *shelf_zeros(struct shelf *s, size_t n)
{
    return shelf_filled(s, n, 0.0F);
}

float *shelf_normal(struct shelf *s, size_t n, double deviation, struct random *r)
{
    float *x = shelf_floats(s, n);

    for (size_t i = 0; i < n; i++)
        x[i] = (float)(deviation * random_normal(r));
    return x;
}

void fill_normal(float *x, int n, uint64_t seed)
{
    struct random r;

    random_seed(&r, seed, 0);
    for (int i = 0; i < n; i++)
        x[i] = (float)random_normal(&r);
}

double *shelf_doubles(struct shelf *s, size_t n)
{
    double *x = shelf_add(s, n, sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = NAN;
    return x;
}

double *shelf_widened(struct shelf *s, const float *x, size_t n)
{
    double *wide = shelf_doubles(s, n);

    for (size_t i = 0; i < n; i++)
        wide[i] = (double)x[i];
    return wide;
}

float *shelf_copy(struct shelf *s, const float *x, size_t n)
{
    float *copy = shelf_floats(s, n);

    memcpy(copy, x, n * sizeof *copy);
    return copy;
}

void shelf_clear(struct shelf *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->pieces[i]);
    free(s->pieces);
    *s = (struct shelf){0};
}

/* ---- errors ---- */

double worse(double a, double b)
{
    return isnan(a) || a > b ? a : b;
}

double weighted_sum(const double *y, const float *weight, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += y[i] * (double)weight[i];
    return sum;
}

double largest_error(const float *fast, const double *exact, size_t n)
{
    double squares = 0.0, error = 0.0;

    for (size_t i = 0; i < n; i++)
        squares += exact[i] * exact[i];
    double typical = sqrt(squares / (double)(n + !n));
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)fast[i] - exact[i]);
        if (!(difference <= 0.0)) /* 0 of 0 is no error; a NaN is one */
            error = worse(error, difference / fmax(fabs(exact[i]), typical));
    }
    return error;
}

double doubling_error(const float *once, const float *twice, size_t n)
{
    struct shelf shelf = {0};
    double *expected = shelf_widened(&shelf, once, n);

    for (size_t i = 0; i < n; i++)
        expected[i] *= 2.0;
    double error = largest_error(twice, expected, n);
    shelf_clear(&shelf);
    return error;
}

/* ---- finite differences ---- */

static double step_of(const struct objective *o)
{
    return o->step > 0.0 ? o->step : 1e-6;
}

static double derivative(const struct objective *o, size_t i)
{
    double at = o->x[i], up, down, above = at + step_of(o), below = at - step_of(o);

    o->x[i] = above;
    up = o->value(o->x, o->context);
    o->x[i] = below;
    down = o->value(o->x, o->context);
    o->x[i] = at;
    return (up - down) / (above - below); /* as the steps were rounded */
}

/* Moves x[first ..] by `distance` along +-1 directions that `signs` gives. */
static double value_along(const struct objective *o, size_t first, size_t n, struct random signs,
                          double distance)
{
    double *saved = malloc(n * sizeof *saved), value;

    if (!saved)
        fail_msg("no memory for a direction");
    for (size_t i = 0; i < n; i++) {
        saved[i] = o->x[first + i];
        o->x[first + i] += random_below(&signs, 2) ? distance : -distance;
    }
    value = o->value(o->x, o->context);
    for (size_t i = 0; i < n; i++)
        o->x[first + i] = saved[i];
    free(saved);
    return value;
}

static double direction_error(const struct objective *o, size_t first, size_t n, const float *gradient,
                              struct random signs)
{
    double up = value_along(o, first, n, signs, step_of(o));
    double down = value_along(o, first, n, signs, -step_of(o));
    double claimed = 0.0, squares = 0.0;

    for (size_t i = 0; i < n; i++) {
        claimed += random_below(&signs, 2) ? (double)gradient[i] : -(double)gradient[i];
        squares += (double)gradient[i] * (double)gradient[i];
    }
    return fabs(claimed - (up - down) / (2.0 * step_of(o))) / fmax(sqrt(squares), o->terms * sqrt((double)n));
}

double gradient_error(const struct objective *o, size_t first, size_t n, const float *gradient)
{
    size_t stride = n > MOST_ENTRIES ? n / MOST_ENTRIES | 1 : 1; /* odd: meets all columns of even widths */
    double squares = 0.0, error = 0.0;
    struct random r;

    for (size_t i = 0; i < n; i++)
        squares += (double)gradient[i] * (double)gradient[i];
    double typical = fmax(sqrt(squares / (double)(n + !n)), o->terms);
    for (size_t i = 0; i < n; i += stride) {
        double exact = derivative(o, first + i), difference = fabs((double)gradient[i] - exact);
        if (!(difference <= 0.0))
            error = worse(error, difference / fmax(fabs(exact), typical));
    }
    for (int d = 0; d < DIRECTIONS && stride > 1; d++) {
        random_seed(&r, (uint64_t)d, n);
        error = worse(error, direction_error(o, first, n, gradient, r));
    }
    return error;
}

double rise_along_gradient(float *x, const float *gradient, size_t n, double step,
                           double (*value)(void *context), void *context)
{
    struct shelf shelf = {0};
    float *before = shelf_copy(&shelf, x, n);
    double length = 0.0, change = 0.0;

    for (size_t i = 0; i < n; i++)
        length += (double)gradient[i] * (double)gradient[i];
    length = sqrt(length);
    for (int side = -1; side <= 1; side += 2) {
        for (size_t i = 0; i < n; i++)
            x[i] = before[i] + (float)(side * step * (double)gradient[i] / length);
        change += side * value(context) / (2.0 * step);
    }
    memcpy(x, before, n * sizeof *x);
    shelf_clear(&shelf);
    return change / length;
}
