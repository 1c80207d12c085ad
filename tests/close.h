/* Doubles compared, since this cmocka knows only floats. Include after cmocka.h. A NaN is close to nothing:
 * assert_nan is for figures that are not defined. */
#ifndef TESTS_CLOSE_H
#define TESTS_CLOSE_H
#include <math.h>

#define assert_close(actual, expected, tolerance)                                                            \
    close_check((actual), (expected), (tolerance), #actual, __FILE__, __LINE__)
#define assert_nan(actual) nan_check((actual), #actual, __FILE__, __LINE__)

static inline void close_check(double actual, double expected, double tolerance, const char *what,
                               const char *file, int line)
{
    if (fabs(actual - expected) <= tolerance)
        return;
    print_error("%s is %.17g, not %.17g to within %g\n", what, actual, expected, tolerance);
    _fail(file, line);
}

static inline void nan_check(double actual, const char *what, const char *file, int line)
{
    if (isnan(actual))
        return;
    print_error("%s is %.17g, not NaN\n", what, actual);
    _fail(file, line);
}

#endif
