/* metrics/load.h against figures worked out by hand. */
#include "metrics/load.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/close.h"

static const double exact = 1e-12;

/* q = 4/8, 2/8, 1/8, 1/8: in bits -sum q log2 q = 1/2 + 2/4 + 3/8 + 3/8 = 1.75 */
static const double halving[4] = {4, 2, 1, 1};

static void test_entropy_of_halving_loads(void **state)
{
    (void)state;
    assert_close(load_entropy(halving, 4), 1.75 * log(2), exact);
    assert_close(load_entropy_normalised(halving, 4), 0.875, exact);       /* 1.75 bits of 2 */
    assert_close(load_effective_experts(halving, 4), pow(2, 1.75), 1e-11); /* 3.3636 */
    assert_close(load_kl_to_uniform(halving, 4), 0.25 * log(2), exact);    /* 2 - 1.75 bits */
}

static void test_entropy_that_knows_k(void **state)
{
    (void)state;
    /* T = 4, k = 2: the first expert is in every token. H = 1.75 bits lies between ln k = 1 bit and ln N =
     * 2 bits: (1.75 - 1) / (2 - 1). */
    assert_close(load_entropy_k_aware(halving, 4, 4), 0.75, exact);
    /* T = 8, k = 1: the ordinary normalised entropy. */
    assert_close(load_entropy_k_aware(halving, 4, 8), 0.875, exact);
    /* Collapsed onto two of four experts at k = 2: 0, where the ordinary one still says 1/2. */
    const double pair[4] = {5, 5, 0, 0};
    assert_close(load_entropy_k_aware(pair, 4, 5), 0, exact);
    assert_close(load_entropy_normalised(pair, 4), 0.5, exact);
    /* k = 1.5: one expert has every token (2/3 of the assignments), another the rest (1/3). */
    double floor = 2. / 3 * log(1.5) + 1. / 3 * log(3);
    assert_close(load_entropy_floor(1.5, 4), floor, exact);
    const double uneven[4] = {4, 2, 0, 0};
    assert_close(load_entropy_k_aware(uneven, 4, 4), 0, exact);
    /* Capacity refused some of top-1's tokens, k = 0.5: one expert alone can still have them all. */
    assert_close(load_entropy_floor(0.5, 4), 0, exact);
}

static void test_entropy_without_meaning_is_nan(void **state)
{
    (void)state;
    const double one[1] = {7}, none[3] = {0, 0, 0}, all[3] = {5, 5, 5};
    assert_close(load_entropy(one, 1), 0, 0);
    assert_nan(load_entropy_normalised(one, 1));
    assert_nan(load_entropy_k_aware(one, 1, 7));
    assert_nan(load_entropy(none, 3));
    assert_nan(load_effective_experts(none, 3));
    assert_nan(load_kl_to_uniform(none, 3));
    assert_nan(load_entropy_k_aware(all, 3, 5)); /* k = N: nothing to balance */
    assert_close(load_entropy_normalised(all, 3), 1, exact);
    assert_nan(load_entropy_k_aware(halving, 4, 0));
}

static void test_spread_of_halving_loads(void **state)
{
    (void)state;
    assert_close(load_max_violation(halving, 4), 1, exact); /* mean 2, max 4 */
    /* deviations 2, 0, -1, -1: variance 6/4, over the mean 2 */
    assert_close(load_cv(halving, 4), sqrt(1.5) / 2, exact);
    /* pairs: |4-2| + |4-1| + |4-1| + |2-1| + |2-1| + |1-1| = 10, twice 20, over 2 x 4 x 8 */
    assert_close(load_gini(halving, 4), 0.3125, exact);
    assert_close(load_top_share(halving, 4), 0.5, exact);            /* 4 of 8 assignments */
    assert_close(load_top_share_of_tokens(halving, 4, 4), 1, exact); /* 4 of 4 tokens */
}

static void test_spread_at_the_ends(void **state)
{
    (void)state;
    const double single[4] = {0, 0, 9, 0}, even[4] = {3, 3, 3, 3}, none[2] = {0, 0};
    assert_close(load_max_violation(single, 4), 3, exact); /* N - 1 */
    assert_close(load_cv(single, 4), sqrt(3), exact);      /* sqrt(N - 1) */
    assert_close(load_gini(single, 4), 0.75, exact);       /* (N - 1) / N */
    assert_close(load_entropy(single, 4), 0, 0);
    assert_close(load_max_violation(even, 4), 0, exact);
    assert_close(load_cv(even, 4), 0, exact);
    assert_close(load_gini(even, 4), 0, exact);
    assert_close(load_entropy_normalised(even, 4), 1, 0);
    assert_nan(load_max_violation(none, 2));
    assert_nan(load_cv(none, 2));
    assert_nan(load_gini(none, 2));
    assert_nan(load_top_share(none, 2));
}

/* Ascending, the sum over ranks is the sum over pairs. */
static void test_sorted_gini_is_gini(void **state)
{
    static const double ascending[] = {0, 1, 1, 2.5, 8}, none[] = {0, 0};
    (void)state;
    assert_close(load_gini_sorted(ascending, 5), load_gini(ascending, 5), exact);
    assert_close(load_gini_sorted(ascending + 4, 1), 0, exact);
    assert_nan(load_gini_sorted(none, 2));
}

static void test_dead_and_starved(void **state)
{
    (void)state;
    /* mean 20, a tenth of it 2: 0 and 1 are starved, 2 is not (below, not at) */
    const double load[5] = {0, 1, 2, 47, 50};
    assert_int_equal(load_dead_experts(load, 5), 1);
    assert_int_equal(load_starved_experts(load, 5, LOAD_STARVED_FRACTION), 2);
    const double none[3] = {0, 0, 0};
    assert_int_equal(load_dead_experts(none, 3), 3);
    assert_int_equal(load_starved_experts(none, 3, LOAD_STARVED_FRACTION), 3);
}

static void test_summary_is_the_single_functions(void **state)
{
    (void)state;
    struct load_summary s;
    load_summarise(&s, halving, 4, 4);
    assert_int_equal(s.n_experts, 4);
    assert_close(s.total, 8, 0);
    assert_close(s.k, 2, 0);
    assert_close(s.entropy, 1.75 * log(2), exact);
    assert_close(s.entropy_normalised, 0.875, exact);
    assert_close(s.entropy_k_aware, 0.75, exact);
    assert_close(s.effective_experts, pow(2, 1.75), 1e-11);
    assert_close(s.kl_to_uniform, 0.25 * log(2), exact);
    assert_close(s.max_violation, 1, exact);
    assert_close(s.cv, sqrt(1.5) / 2, exact);
    assert_close(s.gini, 0.3125, exact);
    assert_close(s.top_share_of_tokens, 1, exact);
    assert_close(s.top_share, 0.5, exact);
    assert_int_equal(s.dead_experts, 0);
    assert_int_equal(s.starved_experts, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entropy_of_halving_loads),
        cmocka_unit_test(test_entropy_that_knows_k),
        cmocka_unit_test(test_entropy_without_meaning_is_nan),
        cmocka_unit_test(test_spread_of_halving_loads),
        cmocka_unit_test(test_spread_at_the_ends),
        cmocka_unit_test(test_sorted_gini_is_gini),
        cmocka_unit_test(test_dead_and_starved),
        cmocka_unit_test(test_summary_is_the_single_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
