/* metrics/baseline.h: probabilities of a five-word text by hand, and that they add up to 1. */
#include "metrics/baseline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/close.h"

static const double exact = 1e-12;

enum { BOS, A, B, UNSEEN, V };

/* BOS A B A B: pairs BOS-A once, A-B twice, B-A once: n1 = 2, n2 = 1, D = 2 / (2 + 2). Targets: A 2, B 2. */
static struct baseline small(void)
{
    const int32_t ids[] = {BOS, A, B, A, B};
    struct baseline b;
    assert_int_equal(baseline_init(&b, V, NULL), 0);
    assert_int_equal(baseline_add(&b, ids, 5, NULL), 0);
    baseline_finish(&b);
    return b;
}

static double probability(const struct baseline *b, enum baseline_order order, int32_t context,
                          int32_t target)
{
    return exp(-baseline_loss(b, order, context, target));
}

static void test_counts(void **state)
{
    (void)state;
    struct baseline b = small();
    assert_int_equal(b.n_tokens, 4);
    assert_int_equal(b.n_pairs, 3);
    assert_int_equal(b.n_once, 2);
    assert_int_equal(b.n_twice, 1);
    assert_close(b.discount, 0.5, exact);
    baseline_release(&b);
    baseline_release(&b);
}

static void test_unigram(void **state)
{
    (void)state;
    struct baseline b = small();
    assert_close(probability(&b, BASELINE_UNIGRAM, B, A), 3. / 8, exact); /* (2 + 1) / (4 + 4) */
    assert_close(probability(&b, BASELINE_UNIGRAM, A, UNSEEN), 1. / 8, exact);
    baseline_release(&b);
}

static void test_bigram(void **state)
{
    (void)state;
    struct baseline b = small();
    /* (2 - 0.5) / 2 + 0.5 x 1 / 2 x 3/8 */
    assert_close(probability(&b, BASELINE_BIGRAM, A, B), 0.75 + 0.25 * 3 / 8, exact);
    assert_close(probability(&b, BASELINE_BIGRAM, A, UNSEEN), 0.25 / 8, exact);
    /* (1 - 0.5) / 1 + 0.5 x 1 / 1 x 3/8 */
    assert_close(probability(&b, BASELINE_BIGRAM, BOS, A), 0.5 + 0.5 * 3 / 8, exact);
    assert_close(probability(&b, BASELINE_BIGRAM, UNSEEN, B), 3. / 8, exact); /* the unigram */
    const int32_t ids[] = {BOS, A, B};
    assert_close(baseline_loss_sum(&b, BASELINE_BIGRAM, ids, 3), -log(0.6875) - log(0.84375), exact);
    baseline_release(&b);
}

static void test_kneser_ney(void **state)
{
    (void)state;
    struct baseline b = small();
    /* A follows BOS and B, B follows A: left neighbours 2 and 1 of 3 pairs, so 3/7 and 2/7 */
    assert_close(probability(&b, BASELINE_KNESER_NEY, A, B), 0.75 + 0.25 * 2 / 7, exact);
    assert_close(probability(&b, BASELINE_KNESER_NEY, UNSEEN, A), 3. / 7, exact);
    assert_close(probability(&b, BASELINE_KNESER_NEY, UNSEEN, BOS), 1. / 7, exact);
    baseline_release(&b);
}

static void test_nothing_learned_and_nothing_to_judge(void **state)
{
    (void)state;
    const int32_t ids[] = {A, B};
    struct baseline b;
    assert_int_equal(baseline_init(&b, V, NULL), 0);
    assert_int_equal(baseline_add(&b, ids, 0, NULL), 0);
    assert_int_equal(baseline_add(&b, ids, 1, NULL), 0);
    baseline_finish(&b);
    assert_int_equal(b.n_tokens, 0);
    for (int order = 0; order < N_BASELINES; order++) {
        assert_close(baseline_loss_sum(&b, (enum baseline_order)order, ids, 2), log(4), exact);
        assert_close(baseline_loss_sum(&b, (enum baseline_order)order, ids, 1), 0, 0);
        assert_close(baseline_loss_sum(&b, (enum baseline_order)order, NULL, 0), 0, 0);
    }
    baseline_release(&b);
}

static void test_odd_corpora_stay_finite(void **state)
{
    (void)state;
    const int32_t once[] = {BOS, A, B}, thrice[] = {A, A, A, A};
    struct baseline b;
    assert_int_equal(baseline_init(&b, V, NULL), 0);
    assert_int_equal(baseline_add(&b, once, 3, NULL), 0);
    baseline_finish(&b);
    assert_close(b.discount, 0.95, 0); /* all pairs seen once: D would be 1 */
    baseline_release(&b);
    assert_int_equal(baseline_init(&b, V, NULL), 0);
    assert_int_equal(baseline_add(&b, thrice, 4, NULL), 0);
    baseline_finish(&b);
    assert_close(b.discount, 0.5, 0); /* none once, none twice: nothing to estimate from */
    assert_true(isfinite(baseline_loss(&b, BASELINE_KNESER_NEY, A, UNSEEN)));
    assert_int_equal(baseline_add(&b, once, 3, NULL), 0);
    assert_int_equal(baseline_add(&b, once, 3, NULL), 0);
    baseline_finish(&b);
    assert_close(b.discount, 0.05, 0); /* none once: D would be 0 and an unseen pair impossible */
    assert_true(isfinite(baseline_loss(&b, BASELINE_BIGRAM, A, UNSEEN)));
    baseline_release(&b);
}

static void test_ids_outside_the_vocabulary(void **state)
{
    (void)state;
    const int32_t above[] = {BOS, V}, below[] = {-1, A};
    struct baseline b;
    struct error err = {0};
    assert_int_equal(baseline_init(&b, V, NULL), 0);
    assert_int_equal(baseline_add(&b, above, 2, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_int_equal(baseline_add(&b, below, 2, &err), -1);
    assert_int_equal(b.n_tokens, 0);
    baseline_release(&b);
}

static void test_probabilities_add_up(void **state)
{
    (void)state;
    enum { WORDS = 120, LENGTH = 20000 }; /* some 9,000 pairs: the table grows */
    int32_t *ids = malloc(LENGTH * sizeof *ids);
    struct random r;
    struct baseline b;
    random_seed(&r, 9, 0);
    for (int i = 0; i < LENGTH; i++) {
        double u = random_uniform(&r);
        ids[i] = (int32_t)(u * u * (WORDS - 1)); /* the last word never comes */
    }
    assert_int_equal(baseline_init(&b, WORDS, NULL), 0);
    assert_int_equal(baseline_add(&b, ids, LENGTH, NULL), 0);
    baseline_finish(&b);
    assert_true(b.n_pairs > 4096 && b.n_pairs * 2 <= b.capacity);
    for (int order = 0; order < N_BASELINES; order++)
        for (int32_t context = 0; context < WORDS; context++) {
            double sum = 0;
            for (int32_t target = 0; target < WORDS; target++)
                sum += probability(&b, (enum baseline_order)order, context, target);
            assert_close(sum, 1, 1e-9);
        }
    baseline_release(&b);
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_unigram),
        cmocka_unit_test(test_bigram),
        cmocka_unit_test(test_kneser_ney),
        cmocka_unit_test(test_nothing_learned_and_nothing_to_judge),
        cmocka_unit_test(test_odd_corpora_stay_finite),
        cmocka_unit_test(test_ids_outside_the_vocabulary),
        cmocka_unit_test(test_probabilities_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
