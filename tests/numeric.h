/* What tests of arithmetic share: arrays that are freed together, how far a fast result is from an exact one,
 * and how far a gradient is from central finite differences of the exact function. */
#ifndef TESTS_NUMERIC_H
#define TESTS_NUMERIC_H
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"

/* Arrays of one test, each an allocation of its own, so that AddressSanitizer sees a step past its end. */
struct shelf {
    void **pieces;
    int n;
};
float *shelf_floats(struct shelf *s, size_t n); /* NaN everywhere: what is read unwritten shows */
float *shelf_zeros(struct shelf *s, size_t n);
float *shelf_normal(struct shelf *s, size_t n, double deviation, struct random *r);
void fill_normal(float *x, int n, uint64_t seed); /* an array of one's own */
double *shelf_doubles(struct shelf *s, size_t n);
double *shelf_widened(struct shelf *s, const float *x, size_t n);
float *shelf_copy(struct shelf *s, const float *x, size_t n);
void shelf_clear(struct shelf *s);

/* The larger of two errors; a NaN stays. */
double worse(double a, double b);

/* The largest |fast - exact|, relative to |exact| or to the root mean square of all n where that is larger:
 * entries that cancel to nearly nothing are not asked for digits that a float sum cannot have. */
double largest_error(const float *fast, const double *exact, size_t n);

/* A kernel that adds to its output was called twice on the same input: how far the sum is from double. */
double doubling_error(const float *once, const float *twice, size_t n);

/* A scalar function of many variables, in double. */
struct objective {
    double (*value)(const double *x, const void *context);
    const void *context;
    double *x;
    double step;  /* of the differences; 0: 1e-6 */
    double terms; /* size of the terms that a gradient is the sum of: errors are relative to no less */
};
/* gradient: (n) claimed derivatives by x[first] .. x[first + n - 1]. Up to a few hundred entries are checked
 * one by one; of more, every so many, and random directions across all of them. Error as in largest_error;
 * along a direction relative to the norm of the gradient. A saturated softmax has a gradient of terms that
 * cancel to nothing: there o->terms says what a float can be held to. */
double gradient_error(const struct objective *o, size_t first, size_t n, const float *gradient);

/* How fast an objective in float rises along a claimed gradient, as a share of its length: 1 where it is
 * right. x: (n) moved by `step` to either side, and put back. */
double rise_along_gradient(float *x, const float *gradient, size_t n, double step,
                           double (*value)(void *context), void *context);

/* sum of y * weight: what makes an objective of an array. */
double weighted_sum(const double *y, const float *weight, size_t n);

#endif
