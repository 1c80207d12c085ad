/* metrics/collapse.h: what breaches the rule, and what a series of breaches means. */
#include "metrics/collapse.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"

static int breach(const double *load, int n_experts, double n_tokens)
{
    const struct collapse_rule rule = collapse_rule_default();
    struct load_summary s;
    load_summarise(&s, load, n_experts, n_tokens);
    return collapse_breach(&rule, &s, false);
}

static void test_breach(void **state)
{
    (void)state;
    const double even[] = {100, 100, 100, 100}, one[] = {397, 1, 1, 1}, two[] = {210, 190, 0, 0};
    assert_int_equal(breach(even, 4, 400), 0);
    assert_int_equal(breach(one, 4, 400), BREACH_ENTROPY | BREACH_TOP_SHARE | BREACH_EFFECTIVE);
    /* H is just below ln 2, half of ln 4; two of four are dead; the busiest has 0.525 */
    assert_int_equal(breach(two, 4, 400), BREACH_ENTROPY | BREACH_DEAD | BREACH_EFFECTIVE);
    const double none_at_all[] = {0, 0, 400, 0};
    assert_int_equal(breach(none_at_all, 4, 400),
                     BREACH_ENTROPY | BREACH_TOP_SHARE | BREACH_DEAD | BREACH_EFFECTIVE);
}

/* Shares 0.82 and six of 0.03 among eight: H = 0.82 ln(1/0.82) + 6 * 0.03 ln(1/0.03) = 0.163 + 0.631 = 0.794,
 * e^H = 2.21, less than 4 of 8; the normalised entropy 0.382 is below 0.5 as well. Shares 0.5, six of 0.08
 * and one of 0.02: H = 0.347 + 1.212 + 0.078 = 1.637, e^H = 5.14: nothing. Shares 0.58, six of 0.07:
 * H = 0.316 + 1.117 = 1.433, e^H = 4.19, normalised 0.689; 0.62 and six of 0.0633: H = 0.296 + 1.049 = 1.345,
 * e^H = 3.84: fewer than half effective, while the normalised entropy 0.647 and all else pass. */
static void test_breach_of_effective_experts(void **state)
{
    (void)state;
    const double narrow[] = {820, 30, 30, 30, 30, 30, 30, 0}, wide[] = {580, 70, 70, 70, 70, 70, 70, 0};
    const double half[] = {620, 63, 63, 63, 63, 64, 64, 0};
    assert_int_equal(breach(narrow, 8, 1000), BREACH_ENTROPY | BREACH_EFFECTIVE);
    assert_int_equal(breach(wide, 8, 1000), 0);
    assert_int_equal(breach(half, 8, 1000), BREACH_EFFECTIVE);
}

static void test_breach_with_several_choices(void **state)
{
    (void)state;
    /* k = 2: one expert in every token, the others share the second choice: (H - ln 2) / ln 2 is about 0.79.
     */
    const double always[] = {200, 66, 67, 67};
    assert_int_equal(breach(always, 4, 200), BREACH_TOP_SHARE);
    /* k = 3 of 4: a share of 1 is hardly more than balance's 0.75 */
    const double most[] = {200, 134, 133, 133}, all[] = {200, 200, 200, 200}, single[] = {500};
    assert_int_equal(breach(most, 4, 200), 0);
    assert_int_equal(breach(all, 4, 200), 0);
    assert_int_equal(breach(single, 1, 500), 0);
    /* collapsed onto k = 2 experts: plain normalised entropy would be 0.5 */
    const double pair[] = {200, 200, 0, 0};
    assert_int_equal(breach(pair, 4, 200), BREACH_ENTROPY | BREACH_TOP_SHARE | BREACH_DEAD);
}

static void test_breach_unknown(void **state)
{
    (void)state;
    const double one[] = {199, 0, 0, 0}, none[] = {0, 0, 0, 0};
    assert_int_equal(breach(one, 4, 199), BREACH_UNKNOWN); /* 50 tokens an expert are 200 */
    assert_int_equal(breach(one, 4, NAN), BREACH_UNKNOWN);
    assert_int_equal(breach(none, 4, 0), BREACH_UNKNOWN);
    assert_int_equal(breach(none, 4, 1000), BREACH_UNKNOWN);
}

enum { E = BREACH_ENTROPY, T = BREACH_TOP_SHARE, D = BREACH_DEAD, U = BREACH_UNKNOWN };
static const int64_t steps[] = {0, 10, 20, 30, 40, 50};

static struct collapse_verdict judge(const int *series, int n)
{
    struct collapse_verdict v;
    collapse_judge(series, steps, n, 3, &v);
    return v;
}

static void test_series_without_collapse(void **state)
{
    (void)state;
    const int healthy[] = {0, 0, 0}, dip[] = {E, D, 0, 0}, unknown[] = {U, U};
    struct collapse_verdict v = judge(healthy, 3);
    assert_int_equal(v.state, COLLAPSE_NEVER);
    assert_int_equal(v.onset_step, -1);
    assert_int_equal(v.first_breach_step, -1);
    assert_int_equal(v.reasons, 0);
    v = judge(dip, 4);
    assert_int_equal(v.state, COLLAPSE_TRANSIENT);
    assert_int_equal(v.onset_step, -1);
    assert_int_equal(v.first_breach_step, 0);
    assert_int_equal(v.longest, 2);
    assert_int_equal(v.n_breached, 2);
    assert_int_equal(v.reasons, E | D);
    assert_int_equal(v.from_start, 0);
    assert_int_equal(judge(unknown, 2).state, COLLAPSE_NO_DATA);
    assert_int_equal(judge(unknown, 2).n_skipped, 2);
    assert_int_equal(judge(unknown, 0).state, COLLAPSE_NO_DATA);
    assert_string_equal(collapse_state_names[COLLAPSE_TRANSIENT], "transient");
}

static void test_series_that_collapses(void **state)
{
    (void)state;
    const int late[] = {T, 0, E, E | D, E}, always[] = {D, D, D}, gaps[] = {0, E, U, E, U, E};
    struct collapse_verdict v = judge(late, 5);
    assert_int_equal(v.state, COLLAPSE_COLLAPSED);
    assert_int_equal(v.onset_step, 20);
    assert_int_equal(v.first_breach_step, 0);
    assert_int_equal(v.reasons, E | D); /* the first dip's reason is not the collapse's */
    assert_int_equal(v.from_start, 0);
    v = judge(always, 3);
    assert_int_equal(v.state, COLLAPSE_COLLAPSED);
    assert_int_equal(v.onset_step, 0);
    assert_int_equal(v.from_start, 1);
    v = judge(gaps, 6); /* what is skipped neither breaks a breach nor lengthens it */
    assert_int_equal(v.state, COLLAPSE_COLLAPSED);
    assert_int_equal(v.onset_step, 10);
    assert_int_equal(v.n_evaluations, 4);
    assert_int_equal(v.n_skipped, 2);
}

static void test_series_cut_short(void **state)
{
    (void)state;
    const int two[] = {0, E, E}, again[] = {E, E, E, 0, T};
    struct collapse_verdict v = judge(two, 3);
    assert_int_equal(v.state, COLLAPSE_CENSORED);
    assert_int_equal(v.onset_step, 10);
    v = judge(again, 5); /* three breaches, but not to the end; then one, too early to say */
    assert_int_equal(v.state, COLLAPSE_CENSORED);
    assert_int_equal(v.onset_step, 40);
    assert_int_equal(v.longest, 3);
    assert_int_equal(v.reasons, T);
}

static void test_description_states_the_figures(void **state)
{
    (void)state;
    struct collapse_rule rule = collapse_rule_default();
    struct text t;
    text_init(&t);
    rule.entropy_below = 0.375;
    collapse_rule_describe(&rule, &t);
    assert_false(t.failed);
    assert_non_null(strstr(t.data, "rule 3"));
    assert_non_null(strstr(t.data, "0.375"));
    assert_non_null(strstr(t.data, "for 3 evaluations"));
    text_release(&t);
}

static void test_untrained(void **state)
{
    (void)state;
    const struct untrained_rule rule = untrained_rule_default();
    assert_int_equal(untrained_breach(&rule, 0.97, 0.999, 0.2), UNTRAINED_NO_OPINION);
    assert_int_equal(untrained_breach(&rule, 0.97, 0.6, 0.95), UNTRAINED_UNCHANGED);
    assert_int_equal(untrained_breach(&rule, 0.97, 0.999, 0.95), UNTRAINED_NO_OPINION | UNTRAINED_UNCHANGED);
    assert_int_equal(untrained_breach(&rule, 0.97, 0.6, 0.2), 0);
    assert_int_equal(untrained_breach(&rule, 0.5, 0.999, 0.95), 0); /* unbalanced: the other alarm's case */
    assert_int_equal(untrained_breach(&rule, 0.97, NAN, 0.95), UNTRAINED_UNCHANGED);
    assert_int_equal(untrained_breach(&rule, 0.97, NAN, NAN), BREACH_UNKNOWN);
    assert_int_equal(untrained_breach(&rule, NAN, 0.999, 0.95), BREACH_UNKNOWN);
    assert_true(untrained_by_design("hash") && untrained_by_design("single_gate"));
    assert_false(untrained_by_design("topk"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breach),
        cmocka_unit_test(test_breach_of_effective_experts),
        cmocka_unit_test(test_breach_with_several_choices),
        cmocka_unit_test(test_breach_unknown),
        cmocka_unit_test(test_series_without_collapse),
        cmocka_unit_test(test_series_that_collapses),
        cmocka_unit_test(test_series_cut_short),
        cmocka_unit_test(test_description_states_the_figures),
        cmocka_unit_test(test_untrained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
