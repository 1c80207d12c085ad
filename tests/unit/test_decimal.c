/* base/decimal.h against the plain way, which tries printf's precisions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/decimal.h"
#include "base/random.h"

static void plain(char out[DECIMAL_SIZE], double value)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, DECIMAL_SIZE, "%.*g", digits, value);
        if (strtod(out, NULL) == value) {
            return;
        }
    }
}

static void check(double value)
{
    char expected[DECIMAL_SIZE], out[DECIMAL_SIZE];
    plain(expected, value);
    size_t n = decimal_shortest(out, value);
    if (n != strlen(expected) || strcmp(out, expected) != 0) {
        fail_msg("%a: '%.*s', not '%s'", value, (int)n, out, expected);
    }
}

static void test_chosen(void **state)
{
    static const double values[] = {0.1,
                                    0.3,
                                    1.0 / 3,
                                    2.0 / 3,
                                    1e-4,
                                    9.9e-5,
                                    1e-10,
                                    1e14,
                                    100,
                                    1024.5,
                                    0.1f,
                                    0.99999999999999989,
                                    1.5e-7,
                                    1234.5,
                                    0.5,
                                    0.25,
                                    4096,
                                    999999999999999.9,
                                    1e15 - 1,
                                    9.9999999999999995e-5,
                                    0.30000000000000004};
    char out[DECIMAL_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        check(values[i]);
        check(-values[i]);
    }
    assert_int_equal(decimal_shortest(out, 0), 1);
    assert_string_equal(out, "0");
    assert_int_equal(decimal_shortest(out, -0.0), 2);
    assert_string_equal(out, "-0");
}

/* What it leaves to others. */
static void test_range(void **state)
{
    static const double values[] = {1e15, 9.9e-11, 5e-324, 1.7e308, NAN, INFINITY, -INFINITY, -1e15};
    char out[DECIMAL_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_int_equal(decimal_shortest(out, values[i]), 0);
    }
}

/* Every power of two in the range with its neighbours, and powers of ten: where rounding is at its edge. */
static void test_edges(void **state)
{
    (void)state;
    for (int e = -33; e < 50; e++) {
        double x = ldexp(1, e);
        check(x);
        check(nextafter(x, 0));
        check(nextafter(x, INFINITY));
    }
    for (double x = 1e-9; x < 1e15; x *= 10) {
        check(x);
        check(nextafter(x, 0));
        check(nextafter(x, INFINITY));
    }
}

/* All the range; sums of floats, which is what a logbook's loads are; short decimals. */
static void test_random(void **state)
{
    struct random r;
    double sum = 0;
    (void)state;
    random_seed(&r, 3, 0);
    for (int i = 0; i < 100000; i++) {
        double x = pow(10, -10 + 25 * random_uniform(&r));
        if (x < 1e15) {
            check(x);
        }
        sum += (float)random_uniform(&r);
        check(sum);
        check((double)random_below(&r, 100000) / pow(10, (double)random_below(&r, 8)));
        check((double)random_below(&r, 1000000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chosen),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
