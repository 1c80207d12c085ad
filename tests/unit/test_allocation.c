/* metrics/allocation.h against every allocation there is. */
#include "metrics/allocation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/close.h"

enum { LAYERS = 4, MOST = 4 };

/* Truncating the first layer is dear, the last one costs nothing: 4, 2, 1, 1 of a budget of 8. */
static void test_by_hand(void **state)
{
    static const double first[] = {1.0, 0.6, 0.3, 0.0}, second[] = {0.2, 0.05, 0.02, 0.0},
                        third[] = {0.01, 0.005, 0.0, 0.0}, last[] = {0.0, 0.0, 0.0, 0.0};
    const double *cost[] = {first, second, third, last};
    const int most[] = {4, 4, 4, 4};
    int k[4];
    double total;

    (void)state;
    assert_int_equal(allocate_experts(cost, most, 4, 8, k, &total, NULL), 0);
    assert_int_equal(k[0], 4);
    assert_int_equal(k[1], 2);
    assert_int_equal(k[2], 1);
    assert_int_equal(k[3], 1);
    assert_close(total, 0.06, 1e-12);
    assert_int_equal(allocate_experts(cost, most, 4, 4, k, &total, NULL), 0); /* one each */
    assert_close(total, 1.21, 1e-12);
    assert_int_equal(allocate_experts(cost, most, 4, 100, k, &total, NULL), 0); /* more than there are */
    assert_close(total, 0.0, 0.0);
    for (int l = 0; l < 4; l++)
        assert_int_equal(k[l], 4);
}

static double least_of_all(double cost[LAYERS][MOST], int budget)
{
    double least = INFINITY;

    for (int n = 0; n < MOST * MOST * MOST * MOST; n++) {
        int used = 0, rest = n;
        double sum = 0.0;
        for (int l = 0; l < LAYERS; l++, rest /= MOST) {
            used += rest % MOST + 1;
            sum += cost[l][rest % MOST];
        }
        if (used <= budget)
            least = fmin(least, sum);
    }
    return least;
}

static void test_all_allocations(void **state)
{
    struct random r;

    (void)state;
    random_seed(&r, 11, 0);
    for (int trial = 0; trial < 50; trial++) {
        double cost[LAYERS][MOST], total, sum = 0.0;
        const double *of[LAYERS];
        int most[LAYERS], k[LAYERS], used = 0;
        for (int l = 0; l < LAYERS; l++) {
            of[l] = cost[l];
            most[l] = MOST;
            for (int i = 0; i < MOST; i++)
                cost[l][i] = random_normal(&r); /* not even falling: noise is like that */
        }
        int budget = LAYERS + trial % 13;
        assert_int_equal(allocate_experts(of, most, LAYERS, budget, k, &total, NULL), 0);
        for (int l = 0; l < LAYERS; l++) {
            used += k[l];
            sum += cost[l][k[l] - 1];
        }
        assert_true(used <= budget);
        assert_close(sum, total, 1e-12);
        assert_close(total, least_of_all(cost, budget), 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand),
                                       cmocka_unit_test(test_all_allocations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
