/* metrics/demand.h against probabilities summed by hand. */
#include "metrics/demand.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/close.h"

static const double exact = 1e-12;

/* in no order; sorted 1/2, 1/4, 1/8, 1/8: 1.75 bits as in test_metrics_load.c */
static const float halving[] = {0.125f, 0.5f, 0.125f, 0.25f};

static void test_one_token(void **state)
{
    (void)state;
    double mass[4];
    assert_close(router_entropy(halving, 4), 1.75 * log(2), exact);
    assert_close(router_effective_experts(halving, 4), pow(2, 1.75), 1e-11);
    rank_mass(halving, 4, mass);
    assert_close(mass[0], 0.5, exact);
    assert_close(mass[1], 0.75, exact);
    assert_close(mass[2], 0.875, exact);
    assert_close(mass[3], 1, 0);
    const double bars[] = {0, 0.5, 0.51, 0.75, 0.8, 0.9, 1};
    const int k[] = {1, 1, 2, 2, 3, 4, 4};
    for (int i = 0; i < 7; i++)
        assert_int_equal(experts_for_mass(mass, 4, bars[i]), k[i]);
}

static void test_scale_does_not_matter(void **state)
{
    (void)state;
    const float doubled[] = {0.25f, 1, 0.25f, 0.5f};
    double mass[4];
    assert_close(router_entropy(doubled, 4), 1.75 * log(2), exact);
    rank_mass(doubled, 4, mass);
    assert_close(mass[1], 0.75, exact);
}

static void test_ends(void **state)
{
    (void)state;
    const float zeros[3] = {0}, single[] = {0.7f}, sure[] = {0, 1, 0};
    double mass[3];
    assert_nan(router_entropy(zeros, 3));
    rank_mass(zeros, 3, mass);
    assert_nan(mass[2]);
    assert_int_equal(experts_for_mass(mass, 3, 0.5), 0);
    assert_close(router_entropy(single, 1), 0, 0);
    rank_mass(single, 1, mass);
    assert_close(mass[0], 1, 0);
    assert_int_equal(experts_for_mass(mass, 1, 0.9), 1);
    assert_close(router_effective_experts(sure, 3), 1, 0);
    rank_mass(sure, 3, mass);
    assert_int_equal(experts_for_mass(mass, 3, 1), 1);
}

static void test_rounding_costs_no_expert(void **state)
{
    (void)state;
    /* N times 0.1f: k of them are k/N of all, whatever the last bits */
    float even[64];
    double mass[64];
    for (int e = 0; e < 64; e++)
        even[e] = 0.1f;
    for (int n = 1; n <= 64; n++) {
        rank_mass(even, n, mass);
        for (int k = 1; k <= n; k++)
            assert_int_equal(experts_for_mass(mass, n, (double)k / n), k);
        assert_close(router_entropy(even, n), log(n), exact);
    }
    const float odd[] = {0.3f, 0.7f}; /* 0.7f is 0.69999999 */
    rank_mass(odd, 2, mass);
    assert_int_equal(experts_for_mass(mass, 2, 0.7), 1);
    /* Of so different sizes that the order of summing shows. */
    float steep[64];
    for (int e = 0; e < 64; e++)
        steep[e] = (float)pow(1.7, e);
    for (int n = 1; n <= 64; n++) {
        rank_mass(steep, n, mass);
        assert_close(mass[n - 1], 1, 0);
    }
}

static void test_means_over_tokens(void **state)
{
    (void)state;
    /* the token above, one that is sure, and an empty one that does not count */
    const float p[] = {0.125f, 0.5f, 0.125f, 0.25f, 0, 0, 1, 0, 0, 0, 0, 0};
    struct concentration c;
    assert_int_equal(concentration_init(&c, 4, NULL), 0);
    assert_nan(concentration_mean_needed(&c, 0));
    concentration_add(&c, p, 3);
    assert_close(c.n_tokens, 2, 0);
    assert_close(c.entropy, 1.75 * log(2), exact);
    assert_close(c.effective_experts, pow(2, 1.75) + 1, 1e-11);
    assert_close(c.mass[0], 1.5, exact);
    assert_close(c.mass[1], 1.75, exact);
    assert_close(c.mass[3], 2, exact);
    assert_close(concentration_mean_needed(&c, 0), 1, exact);   /* 0.5: 1 and 1 */
    assert_close(concentration_mean_needed(&c, 1), 2, exact);   /* 0.8: 3 and 1 */
    assert_close(concentration_mean_needed(&c, 2), 2.5, exact); /* 0.9: 4 and 1 */
    assert_close(c.needed[2 * 4 + 3], 1, 0);
    concentration_release(&c);
    concentration_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_token),
        cmocka_unit_test(test_scale_does_not_matter),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_rounding_costs_no_expert),
        cmocka_unit_test(test_means_over_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
