/* metrics/resample.h: small cases whose distribution is known, and closed forms. Seeds are fixed. */
#include "metrics/resample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/close.h"

static const double exact = 1e-12;

static struct random seeded(uint64_t seed)
{
    struct random r;
    random_seed(&r, seed, 0);
    return r;
}

/* ---- documents ---- */

static void test_ratio_is_weighted_by_tokens(void **state)
{
    (void)state;
    /* (2 + 3 + 10) / (1 + 2 + 4), not the mean of 2, 1.5 and 2.5; the empty document is no document. */
    const double loss[] = {2, 3, 5, 10}, tokens[] = {1, 2, 0, 4};
    struct interval_options o = interval_defaults();
    struct random r = seeded(1);
    struct interval i;
    assert_int_equal(ratio_interval(loss, tokens, NULL, 4, &o, &r, &i, NULL), 0);
    assert_close(i.estimate, 15. / 7, exact);
    assert_int_equal(i.n, 3);
    assert_int_equal(i.smallest, 3);
    assert_nan(i.low); /* three documents: no interval */
    assert_nan(i.high);
    assert_nan(i.p);
    /* Were the truth below 2 / 1 or above 10 / 4, or 3 / 2, all three would lie to one side of it: two of the
     * eight ways to draw signs, rejected at 0.3. From 1.5 to 2.5 others do as well. */
    o = (struct interval_options){.n_draws = 4000, .level = 0.7, .min_documents = 3};
    assert_int_equal(ratio_interval(loss, tokens, NULL, 4, &o, &r, &i, NULL), 0);
    assert_close(i.low, 1.5, 1e-3);
    assert_close(i.high, 2.5, 1e-3);
    assert_nan(i.p);
    assert_int_equal(ratio_interval(loss, tokens, NULL, 0, &o, &r, &i, NULL), 0);
    assert_nan(i.estimate);
    assert_int_equal(i.n, 0);
}

static void test_two_documents(void **state)
{
    (void)state;
    /* Whatever the truth is, every other draw has both signs alike: nothing is rejected at 0.05. */
    const double loss[] = {0, 1}, tokens[] = {1, 1};
    struct interval_options o = {.n_draws = 4000, .level = 0.95, .min_documents = 2};
    struct random r = seeded(2);
    struct interval i;
    assert_int_equal(ratio_interval(loss, tokens, NULL, 2, &o, &r, &i, NULL), 0);
    assert_close(i.estimate, 0.5, exact);
    assert_nan(i.low);
    assert_nan(i.high);
    o.level = 0.4; /* at 0.6, all that lies outside 0 and 1 */
    assert_int_equal(ratio_interval(loss, tokens, NULL, 2, &o, &r, &i, NULL), 0);
    assert_close(i.low, 0, 1e-3);
    assert_close(i.high, 1, 1e-3);
    /* A stratum each: they are what they are. */
    const int stratum[] = {8, -3};
    o = (struct interval_options){.n_draws = 100, .level = 0.95, .min_documents = 1};
    assert_int_equal(ratio_interval(loss, tokens, stratum, 2, &o, &r, &i, NULL), 0);
    assert_close(i.low, 0.5, 0);
    assert_close(i.high, 0.5, 0);
    assert_int_equal(i.smallest, 1);
}

static void test_interval_has_the_width_of_the_standard_error(void **state)
{
    (void)state;
    enum { N = 400 };
    double loss[N], tokens[N], squares = 0, mean = 0;
    struct random r = seeded(3);
    for (int d = 0; d < N; d++) {
        loss[d] = random_normal(&r);
        tokens[d] = 1;
        mean += loss[d] / N;
    }
    for (int d = 0; d < N; d++)
        squares += (loss[d] - mean) * (loss[d] - mean);
    struct interval_options o = interval_defaults();
    struct interval i;
    assert_int_equal(ratio_interval(loss, tokens, NULL, N, &o, &r, &i, NULL), 0);
    double width = 2 * 1.959964 * sqrt(squares / N / N);
    assert_close(i.high - i.low, width, 0.08 * width); /* quantiles of 2000 draws: about 2 % each */
    assert_close(i.estimate, mean, exact);
}

static void test_paired_difference(void **state)
{
    (void)state;
    /* Documents differ by up to 6 nats, the runs by 0.1 on every one: paired, that is certain. */
    double a[12], b[12], tokens[12];
    int stratum[12];
    for (int d = 0; d < 12; d++) {
        tokens[d] = 10 + d;
        b[d] = tokens[d] * (1 + d / 2.);
        a[d] = b[d] + 0.1 * tokens[d];
        stratum[d] = d % 2;
    }
    struct interval_options o = {.n_draws = 999, .level = 0.95, .min_documents = 6};
    struct random r = seeded(4);
    struct interval i;
    assert_int_equal(difference_interval(a, tokens, b, tokens, stratum, 12, &o, &r, &i, NULL), 0);
    assert_close(i.estimate, 0.1, exact);
    assert_close(i.low, 0.1, exact);
    assert_close(i.high, 0.1, exact);
    assert_close(i.p, 2. / 1000, exact);
    assert_int_equal(i.smallest, 6);
    assert_int_equal(difference_interval(a, tokens, a, tokens, stratum, 12, &o, &r, &i, NULL), 0);
    assert_close(i.estimate, 0, 0);
    assert_close(i.p, 1, 0);
    /* A document that one run has not seen belongs to neither ratio. */
    double fewer[12];
    for (int d = 0; d < 12; d++)
        fewer[d] = d == 11 ? 0 : tokens[d];
    assert_int_equal(difference_interval(a, tokens, b, fewer, stratum, 12, &o, &r, &i, NULL), 0);
    assert_close(i.estimate, 0.1, exact);
    assert_int_equal(i.n, 11);
    assert_nan(i.low); /* five left in stratum 1 */
    assert_int_equal(difference_interval(a, fewer, b, tokens, stratum, 12, &o, &r, &i, NULL), 0);
    assert_close(i.estimate, 0.1, exact);
    assert_int_equal(i.n, 11);
}

/* Ten documents of one difference each, 1 to 10: with any sign changed the mean is smaller, so that 2 of the
 * 1024 ways to draw signs give as much. */
static void test_exact_p(void **state)
{
    (void)state;
    double a[10], b[10] = {0}, tokens[10];
    for (int d = 0; d < 10; d++) {
        a[d] = d + 1;
        tokens[d] = 1;
    }
    struct interval_options o = {.n_draws = 200000, .level = 0.95, .min_documents = 10};
    struct random r = seeded(6);
    struct interval i;
    assert_int_equal(difference_interval(a, tokens, b, tokens, NULL, 10, &o, &r, &i, NULL), 0);
    assert_close(i.p, 2. / 1024, 4e-4); /* 4 standard errors */
    assert_true(i.low > 0);
}

static double heavy(struct random *r)
{
    double squares = 0;
    for (int k = 0; k < 3; k++) {
        double x = random_normal(r);
        squares += x * x;
    }
    return random_normal(r) / sqrt(squares / 3);
}

/* Two domains of ten documents each, whose lengths go from 1 to 100 and whose own effects are Student's t of
 * 3 degrees of freedom. 1000 pairs of runs that are alike: how many intervals leave 0 out is binomial, 50 +-
 * 23 in 99.9 of 100 such tests. */
static void test_intervals_miss_as_often_as_they_say(void **state)
{
    (void)state;
    enum { N = 20, PAIRS = 1000 };
    struct interval_options o = {.n_draws = 999, .level = 0.95, .min_documents = 10};
    struct random r = seeded(7);
    int missed = 0, significant = 0;
    for (int pair = 0; pair < PAIRS; pair++) {
        double a[N], b[N], tokens[N];
        int stratum[N];
        for (int d = 0; d < N; d++) {
            stratum[d] = d % 2;
            tokens[d] = exp(log(100) * random_uniform(&r));
            b[d] = tokens[d] * (3 + stratum[d]);
            a[d] = b[d] + tokens[d] * heavy(&r);
        }
        struct interval i;
        assert_int_equal(difference_interval(a, tokens, b, tokens, stratum, N, &o, &r, &i, NULL), 0);
        missed += i.low > 0 || i.high < 0;
        significant += i.p <= 0.05;
    }
    assert_true(significant >= 27 && significant <= 73);
    assert_true(missed >= 27 && missed <= 73);
}

/* Two domains, of 100 and of 10 tokens a document, differing by -0.1 and by +0.3 nats a token: by token
 * (-0.1 x 100 + 0.3 x 10) / 110 = -0.0636..., the domains counting alike (-0.1 + 0.3) / 2 = 0.1. */
static void test_strata_counting_alike(void **state)
{
    (void)state;
    double a[20], b[20], tokens[20];
    int stratum[20];
    for (int d = 0; d < 20; d++) {
        stratum[d] = d % 2;
        tokens[d] = d % 2 ? 10 : 100;
        b[d] = tokens[d] * (1 + d / 4.);
        a[d] = b[d] + tokens[d] * (d % 2 ? 0.3 : -0.1);
    }
    struct interval_options o = interval_defaults();
    struct random r = seeded(5);
    struct interval i;
    assert_int_equal(difference_interval(a, tokens, b, tokens, stratum, 20, &o, &r, &i, NULL), 0);
    assert_close(i.estimate, -7. / 110, exact);
    o.equal_strata = true;
    assert_int_equal(difference_interval(a, tokens, b, tokens, stratum, 20, &o, &r, &i, NULL), 0);
    assert_close(i.estimate, 0.1, exact);
    assert_close(i.low, 0.1, exact); /* the same in every document of a domain */
    assert_close(i.high, 0.1, exact);
    /* One document 2 nats a token off: its domain by 0.2, the mean of both by 0.1. */
    a[0] += 2 * tokens[0];
    assert_int_equal(difference_interval(a, tokens, b, tokens, stratum, 20, &o, &r, &i, NULL), 0);
    assert_close(i.estimate, 0.2, exact);
    assert_true(i.low > 0 && i.low < 0.1 && i.high > 0.3);
}

static void test_interval_usage(void **state)
{
    (void)state;
    const double one[] = {1};
    struct interval_options o = {.n_draws = 0, .level = 0.95, .min_documents = 1};
    struct random r = seeded(1);
    struct interval i;
    struct error err = {0};
    assert_int_equal(ratio_interval(one, one, NULL, 1, &o, &r, &i, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    o = (struct interval_options){.n_draws = 10, .level = 1, .min_documents = 1};
    assert_int_equal(ratio_interval(one, one, NULL, 1, &o, &r, &i, &err), -1);
}

/* ---- seeds ---- */

static void test_effect_size(void **state)
{
    const double alike[] = {1, 2, 3}, uneven[] = {0, 4, 100}, weights[] = {3, 1, 0}, same[] = {0.1, 0.1, 0.1};
    (void)state;
    assert_close(paired_effect(alike, NULL, 3), 2, exact); /* mean 2, standard deviation 1 */
    /* Weights 3 and 1: mean 1; (3 x 1 + 1 x 9) / 4 = 3, x 2 / (2 - 1) = 6. */
    assert_close(paired_effect(uneven, weights, 3), 1 / sqrt(6), exact);
    assert_nan(paired_effect(alike, NULL, 1));
    assert_nan(paired_effect(uneven, (const double[]){0, 1, 0}, 3));
    assert_nan(paired_effect(same, NULL, 3));
    assert_nan(paired_effect((const double[]){NAN, 1}, NULL, 2));
    assert_close(paired_effect((const double[]){-1, 1}, NULL, 2), 0, 0);
}

static void test_student(void **state)
{
    (void)state;
    /* 1 2 3: mean 2, standard deviation 1, error 1/sqrt(3). On 2 degrees of freedom the quantile of a
     * two-sided level c is c sqrt(2 / (1 - c^2)), and p = 1 - t / sqrt(t^2 + 2) = 1 - sqrt(12/14). */
    const double difference[] = {1, 2, 3};
    double reach = 0.95 * sqrt(2 / (1 - 0.95 * 0.95)) / sqrt(3);
    struct interval i;
    student_interval(difference, 3, 0.95, &i);
    assert_close(i.estimate, 2, exact);
    assert_close(i.low, 2 - reach, 1e-9);
    assert_close(i.high, 2 + reach, 1e-9);
    assert_close(i.p, 1 - sqrt(12. / 14), 1e-9);
    assert_int_equal(i.n, 3);
    student_interval(difference, 1, 0.95, &i);
    assert_true(isnan(student_detectable(&i, 0.95, 0.8)));
    assert_close(i.estimate, 1, 0);
    assert_nan(i.low);
    assert_nan(i.p);
    student_interval(difference, 0, 0.95, &i);
    assert_nan(i.estimate);
    const double zeros[] = {0, 0}, equal[] = {0.5, 0.5};
    student_interval(zeros, 2, 0.95, &i);
    assert_close(i.p, 1, 0);
    student_interval(equal, 2, 0.95, &i);
    assert_close(i.p, 0, 0);
    assert_close(i.high, 0.5, 0);
}

static void test_verdict(void **state)
{
    (void)state;
    const struct {
        double low, high, margin;
        enum verdict verdict;
    } cases[] = {
        {-0.5, -0.1, 0.01, VERDICT_BETTER},
        {0.1, 0.5, 0.01, VERDICT_WORSE},
        {-0.1, 0.2, 0.01, VERDICT_UNDETERMINED},
        {-0.005, 0.008, 0.01, VERDICT_EQUIVALENT},
        {-0.008, -0.002, 0.01, VERDICT_EQUIVALENT}, /* certain, and too small to matter */
        {-0.008, -0.002, 0, VERDICT_BETTER},
        {-0.02, -0.002, 0.01, VERDICT_BETTER},
        {0, 0, 0, VERDICT_UNDETERMINED},
        {NAN, NAN, 1, VERDICT_UNDETERMINED},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct interval i = {0, cases[c].low, cases[c].high, NAN, 5, 5};
        assert_int_equal(interval_verdict(&i, cases[c].margin), cases[c].verdict);
    }
    assert_string_equal(verdict_names[VERDICT_EQUIVALENT], "equivalent");
}

/* ---- many tests, proportions ---- */

static void test_benjamini_hochberg(void **state)
{
    (void)state;
    /* Four tests, in order .005 .01 .03 .04: times 4 / rank .02 .02 .04 .04, and no larger than those after.
     */
    double p[] = {0.01, 0.04, NAN, 0.03, 0.005};
    assert_int_equal(benjamini_hochberg(p, 5, p, NULL), 0); /* in place */
    assert_close(p[0], 0.02, exact);
    assert_close(p[1], 0.04, exact);
    assert_nan(p[2]);
    assert_close(p[3], 0.04, exact);
    assert_close(p[4], 0.02, exact);
    /* .02 x 3 = .06 is lowered to .03 x 3 / 2 = .045, 1 stays 1 */
    double q[] = {0.02, 0.03, 1}, adjusted[3];
    assert_int_equal(benjamini_hochberg(q, 3, adjusted, NULL), 0);
    assert_close(adjusted[0], 0.045, exact);
    assert_close(adjusted[1], 0.045, exact);
    assert_close(adjusted[2], 1, exact);
    assert_int_equal(benjamini_hochberg(q, 0, adjusted, NULL), 0);
    double unknown[] = {NAN};
    assert_int_equal(benjamini_hochberg(unknown, 1, adjusted, NULL), 0);
    assert_nan(adjusted[0]);
}

/* p of 0.01, 0.04 and 0.5 become 0.03, 0.06 and 0.5: the second falls; equivalence needs no p. */
static void test_family(void **state)
{
    (void)state;
    struct judged a = {.i = {.low = -3, .high = -1, .p = 0.01, .n = 3}}, b = a, c = a,
                  none = {.i = {.p = NAN}};
    struct judged *const family[] = {&a, &b, &c, &none};
    struct error err;
    b.i.p = 0.04;
    c.i.p = 0.5;
    c.i.low = -0.001, c.i.high = 0.002;
    none.i.low = none.i.high = NAN;
    assert_int_equal(judge_family(family, 4, 0.01, 0.95, &err), 0);
    assert_close(a.adjusted, 0.03, exact);
    assert_close(b.adjusted, 0.06, exact);
    assert_close(c.adjusted, 0.5, exact);
    assert_true(isnan(none.adjusted));
    assert_int_equal(a.verdict, VERDICT_BETTER);
    assert_int_equal(b.verdict, VERDICT_UNDETERMINED);
    assert_int_equal(c.verdict, VERDICT_EQUIVALENT);
    assert_int_equal(none.verdict, VERDICT_UNDETERMINED);
    assert_int_equal(judge_family(family, 0, 0.01, 0.95, &err), 0);
}

static void test_wilson(void **state)
{
    (void)state;
    /* None of n: 0 to z^2 / (n + z^2). Half of n: 1/2 +- z / (2 sqrt(n + z^2)). */
    const double z = 1.9599639845400545;
    struct interval i;
    wilson_interval(0, 10, 0.95, &i);
    assert_close(i.low, 0, exact);
    assert_close(i.high, z * z / (10 + z * z), 1e-9);
    wilson_interval(5, 10, 0.95, &i);
    assert_close(i.estimate, 0.5, exact);
    assert_close(i.low, 0.5 - z / (2 * sqrt(10 + z * z)), 1e-9);
    assert_close(i.high, 0.5 + z / (2 * sqrt(10 + z * z)), 1e-9);
    wilson_interval(10, 10, 0.95, &i);
    assert_close(i.high, 1, exact);
    wilson_interval(0, 0, 0.95, &i);
    assert_nan(i.estimate);
    assert_nan(i.low);
}

/* No event: 0 to -ln 0.025. One: the rates at which 1 or more, and at most 1, have 2.5 %: 1 - e^-x = 0.025
 * and (1 + x) e^-x = 0.025. */
static void test_poisson(void **state)
{
    struct interval i;
    (void)state;
    poisson_interval(0, 10, 0.95, &i);
    assert_close(i.estimate, 0, exact);
    assert_close(i.low, 0, exact);
    assert_close(i.high, -log(0.025) / 10, 1e-9);
    poisson_interval(1, 1, 0.95, &i);
    assert_close(1 - exp(-i.low), 0.025, 1e-9);
    assert_close((1 + i.high) * exp(-i.high), 0.025, 1e-9);
    assert_int_equal(i.n, 1);
    poisson_interval(3, 0, 0.95, &i);
    assert_nan(i.estimate);
    assert_nan(i.high);
}

/* Better and worse need their adjusted p-value, equivalent and undetermined do not; NaN is no test that
 * failed. */
static void test_adjusted_verdict(void **state)
{
    (void)state;
    assert_int_equal(adjusted_verdict(VERDICT_BETTER, 0.05, 0.95), VERDICT_BETTER);
    assert_int_equal(adjusted_verdict(VERDICT_WORSE, 0.01, 0.95), VERDICT_WORSE);
    assert_int_equal(adjusted_verdict(VERDICT_WORSE, 0.06, 0.95), VERDICT_UNDETERMINED);
    assert_int_equal(adjusted_verdict(VERDICT_BETTER, 0.02, 0.99), VERDICT_UNDETERMINED);
    assert_int_equal(adjusted_verdict(VERDICT_EQUIVALENT, 0.9, 0.95), VERDICT_EQUIVALENT);
    assert_int_equal(adjusted_verdict(VERDICT_BETTER, NAN, 0.95), VERDICT_BETTER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ratio_is_weighted_by_tokens),
        cmocka_unit_test(test_two_documents),
        cmocka_unit_test(test_interval_has_the_width_of_the_standard_error),
        cmocka_unit_test(test_paired_difference),
        cmocka_unit_test(test_exact_p),
        cmocka_unit_test(test_intervals_miss_as_often_as_they_say),
        cmocka_unit_test(test_strata_counting_alike),
        cmocka_unit_test(test_interval_usage),
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_effect_size),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_benjamini_hochberg),
        cmocka_unit_test(test_adjusted_verdict),
        cmocka_unit_test(test_family),
        cmocka_unit_test(test_wilson),
        cmocka_unit_test(test_poisson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
