/* A sample by itself, worked by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "metrics/sample.h"
#include "tests/close.h"

static const double exact = 1e-12;

/* Mean 5; squared deviations 9 1 1 1 0 0 4 16, together 32, over 7. */
static void test_deviation(void **state)
{
    static const double x[] = {2, 4, 4, 4, 5, 5, 7, 9};
    (void)state;
    assert_close(sample_deviation(x, 8) * sample_deviation(x, 8), 32.0 / 7, exact);
    assert_nan(sample_deviation(x, 1));
    assert_nan(sample_deviation(x, 0));
}

/* Far from zero nothing is lost: deviations -1, 0, 1. */
static void test_deviation_far_from_zero(void **state)
{
    static const double x[] = {1e9 - 1, 1e9, 1e9 + 1};
    (void)state;
    assert_close(sample_deviation(x, 3), 1, exact);
}

static void test_quantile(void **state)
{
    (void)state;
    const double sorted[] = {1, 2, 4};
    assert_close(quantile_sorted(sorted, 3, 0.5), 2, exact);
    assert_close(quantile_sorted(sorted, 3, 0.25), 1.5, exact); /* place 0.25 x 2 = 0.5 */
    assert_close(quantile_sorted(sorted, 3, 0.75), 3, exact);
    assert_close(quantile_sorted(sorted, 3, 1), 4, exact);
    assert_close(quantile_sorted(sorted, 1, 0.3), 1, exact);
    assert_nan(quantile_sorted(sorted, 0, 0.5));
}

static void test_sort(void **state)
{
    double x[] = {3, -1, 2};
    (void)state;
    sample_sort(x, 3);
    assert_close(x[0], -1, exact);
    assert_close(x[1], 2, exact);
    assert_close(x[2], 3, exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deviation),
        cmocka_unit_test(test_deviation_far_from_zero),
        cmocka_unit_test(test_quantile),
        cmocka_unit_test(test_sort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
