/* metrics/monitor.h: which steps make a window, and what is known when one is complete. Four experts, so that
 * a window needs 200 tokens. */
#include "metrics/monitor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/support.h"

enum { N = 4 };

static struct monitor m;
static struct error err;

static void begin(int64_t planned_steps, int64_t window_steps, int k)
{
    struct monitor_setting setting = {collapse_rule_default(), planned_steps, window_steps};
    const struct monitor_layer layer = {3, N, k, false};
    test_must(monitor_init(&m, &setting, &layer, 1, &err), &err);
}

static bool add(int64_t step, const int64_t load[N], double tokens, double router_entropy)
{
    const struct monitor_load l = {load, NULL, tokens, router_entropy};
    test_must(monitor_begin_step(&m, step, &err), &err);
    monitor_add(&m, 0, &l);
    return monitor_end_step(&m);
}

static const int64_t even[N] = {25, 25, 25, 25}, one[N] = {0, 100, 0, 0}, many[N] = {100, 100, 100, 100};

static void test_windows_hold_enough_tokens(void **state)
{
    (void)state;
    begin(10, 0, 1);
    assert_false(add(0, even, NAN, NAN));
    assert_int_equal(m.n_windows, 0);
    assert_true(add(1, even, NAN, NAN));
    assert_false(add(2, one, NAN, NAN));
    assert_true(add(3, even, NAN, NAN));
    assert_false(add(4, even, NAN, NAN));
    monitor_finish(&m); /* step 4 alone makes no window */
    assert_int_equal(m.n_windows, 2);
    assert_int_equal(m.windows[1].first_step, 2);
    assert_int_equal(m.windows[1].last_step, 3);
    assert_int_equal(m.windows[1].steps, 2);
    assert_close(m.series[0].summary[1].n_tokens, 200, 0);
    assert_close(monitor_load(&m, 0, 1, 1), 125, 0);
    assert_close(m.series[0].summary[1].max_violation, 1.5, 1e-12); /* 125 of a mean of 50 */
    assert_close(m.series[0].low[1], 0, 1e-12);                     /* step 2 alone */
    assert_close(m.series[0].high[1], 1, 1e-12);                    /* step 3 */
    monitor_release(&m);
}

static void test_windows_are_a_hundredth_of_the_run(void **state)
{
    (void)state;
    begin(301, 0, 1); /* 3.01 steps are 4 */
    for (int64_t step = 0; step < 8; step++)
        assert_int_equal(add(step, many, NAN, NAN), step % 4 == 3);
    monitor_release(&m);
    begin(301, 0, 1); /* every second step was logged: 0 to 4, 6 to 10 */
    assert_false(add(0, many, NAN, NAN));
    assert_false(add(2, many, NAN, NAN));
    assert_true(add(4, many, NAN, NAN));
    assert_false(add(6, many, NAN, NAN));
    monitor_release(&m);
}

static void test_windows_as_told(void **state)
{
    (void)state;
    begin(1000, 1, 1);
    assert_true(add(0, even, NAN, NAN));
    assert_int_equal(m.series[0].breach[0], BREACH_UNKNOWN); /* 100 tokens */
    assert_true(add(50, many, NAN, NAN));
    assert_int_equal(m.series[0].breach[1], 0);
    monitor_release(&m);
    begin(1000, 0, 1); /* too short for any window: what there is */
    assert_false(add(0, even, NAN, NAN));
    assert_int_equal(m.n_windows, 0);
    monitor_finish(&m);
    assert_int_equal(m.n_windows, 1);
    assert_int_equal(monitor_judge(&m, 0).state, COLLAPSE_NO_DATA);
    monitor_release(&m);
    begin(1000, 0, 1);
    monitor_finish(&m); /* nothing at all */
    assert_int_equal(m.n_windows, 0);
    assert_int_equal(monitor_judge(&m, 0).state, COLLAPSE_NO_DATA);
    monitor_release(&m);
}

static void test_refused_decisions_count(void **state)
{
    (void)state;
    const int64_t accepted[N] = {25, 75, 75, 0}, dropped[N] = {225, 0, 0, 0};
    const struct monitor_load l = {accepted, dropped, NAN, NAN};
    begin(10, 0, 1);
    test_must(monitor_begin_step(&m, 0, &err), &err);
    monitor_add(&m, 0, &l);
    assert_true(monitor_end_step(&m));
    assert_close(monitor_load(&m, 0, 0, 0), 250, 0);
    assert_close(m.series[0].dropped[0], 225, 0);
    assert_close(monitor_last(&m, 0)->top_share_of_tokens, 0.625, 1e-12); /* of 400 */
    monitor_release(&m);
}

static void test_where_k_varies(void **state)
{
    (void)state;
    begin(10, 0, 0);
    assert_true(add(0, many, 250, NAN)); /* 1.6 experts a token */
    assert_close(monitor_last(&m, 0)->k, 1.6, 1e-12);
    assert_true(add(1, many, 200, NAN));
    assert_int_equal(m.series[0].breach[1], 0); /* 2 of 4 */
    const int64_t nearly[N] = {200, 200, 200, 120};
    assert_true(add(2, nearly, 200, NAN)); /* 3.6 of 4 */
    assert_int_equal(m.series[0].breach[2], BREACH_EVERYTHING);
    assert_true(add(3, many, NAN, NAN)); /* not known: not judged, but a window */
    assert_int_equal(m.series[0].breach[3], BREACH_UNKNOWN);
    monitor_release(&m);
    begin(10, 0, 4); /* the same is no breach where it was asked for */
    const int64_t all[N] = {200, 200, 200, 200};
    assert_true(add(0, all, NAN, NAN));
    assert_int_equal(m.series[0].breach[0], 0);
    assert_false(monitor_has_choice(&m, 0));
    assert_int_equal(monitor_judge(&m, 0).state, COLLAPSE_NO_CHOICE);
    monitor_release(&m);
}

static void test_state_is_known_at_any_time(void **state)
{
    (void)state;
    static const int64_t onto[N] = {0, 400, 0, 0};
    static const enum collapse_state states[] = {COLLAPSE_NEVER,     COLLAPSE_CENSORED,  COLLAPSE_CENSORED,
                                                 COLLAPSE_COLLAPSED, COLLAPSE_COLLAPSED, COLLAPSE_TRANSIENT};
    begin(10, 0, 1);
    for (int64_t step = 0; step < 6; step++) {
        assert_true(add(step, step >= 1 && step < 5 ? onto : many, NAN, NAN));
        struct collapse_verdict v = monitor_judge(&m, 0);
        assert_int_equal(v.state, states[step]);
        assert_int_equal(v.onset_step, step >= 1 && step < 5 ? 1 : -1);
        assert_int_equal(v.at_end, step >= 1 && step < 5 ? step : 0);
        assert_int_equal(monitor_dead_since(&m, 0, 0), step >= 1 && step < 5 ? 1 : m.n_windows);
        assert_int_equal(monitor_dead_since(&m, 0, 1), m.n_windows);
    }
    monitor_release(&m);
}

static void test_router_entropy_is_the_mean_of_steps(void **state)
{
    (void)state;
    begin(300, 0, 1);
    add(0, many, NAN, 0.5);
    add(1, many, NAN, NAN);
    add(2, many, NAN, 1.0);
    assert_close(monitor_router_entropy(&m, 0, 0), 0.75 / log(4), 1e-12);
    for (int64_t step = 3; step < 6; step++)
        add(step, many, NAN, NAN);
    assert_nan(monitor_router_entropy(&m, 0, 1));
    monitor_release(&m);
}

/* Planned: 16 steps, of which a quarter is 4. */
static void test_untrained(void **state)
{
    (void)state;
    const struct untrained_rule rule = untrained_rule_default();
    const double flat = 0.99 * log(4), decided = 0.5 * log(4);
    begin(16, 0, 1);
    for (int64_t step = 0; step < 3; step++) {
        add(step, many, NAN, flat);
        assert_int_equal(monitor_untrained(&m, 0, &rule, 0.95), BREACH_UNKNOWN); /* as all are at first */
    }
    add(3, many, NAN, flat);
    assert_int_equal(monitor_untrained(&m, 0, &rule, 0.5), UNTRAINED_NO_OPINION);
    assert_int_equal(monitor_untrained(&m, 0, &rule, 0.95), UNTRAINED_NO_OPINION | UNTRAINED_UNCHANGED);
    add(4, many, NAN, decided);
    assert_int_equal(monitor_untrained(&m, 0, &rule, 0.5), 0); /* not in each of the last three */
    assert_int_equal(monitor_untrained(&m, 0, &rule, 0.95), UNTRAINED_UNCHANGED);
    add(5, many, NAN, NAN);
    assert_int_equal(monitor_untrained(&m, 0, &rule, NAN), BREACH_UNKNOWN);
    assert_int_equal(monitor_untrained(&m, 0, &rule, 0.95), UNTRAINED_UNCHANGED);
    add(6, (const int64_t[N]){0, 400, 0, 0}, NAN, flat); /* not balanced: the other alarm's case */
    assert_int_equal(monitor_untrained(&m, 0, &rule, 0.95), 0);
    monitor_release(&m);
}

static void expect_words(void (*add_words)(struct text *, int), int bits, const char *words)
{
    struct text t;
    text_init(&t);
    add_words(&t, bits);
    assert_string_equal(t.data, words);
    text_release(&t);
}

static void test_words(void **state)
{
    (void)state;
    struct text t;
    text_init(&t);
    begin(10, 0, 1);
    add(0, many, NAN, NAN);
    add(1, (const int64_t[N]){0, 150, 50, 0}, NAN, NAN);
    monitor_add_figures(&t, &m, 0);
    /* H = 0.75 ln(4/3) + 0.25 ln 4 = 0.5623, e^H = 1.7548 */
    assert_string_equal(t.data, "1.8 of 4 effective experts, 2 dead (0, 3; the first since step 1), the "
                                "busiest takes 75 % of the tokens");
    text_release(&t);
    monitor_release(&m);
    expect_words(breach_add_reasons, BREACH_ENTROPY | BREACH_DEAD, "load entropy + dead experts");
    expect_words(breach_add_reasons, BREACH_EVERYTHING, "experts a token");
    expect_words(untrained_add_reasons, UNTRAINED_NO_OPINION | UNTRAINED_UNCHANGED, "no opinion + unchanged");
    expect_words(untrained_add_reasons, BREACH_UNKNOWN, "unknown");
    expect_words(untrained_add_reasons, 0, "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_hold_enough_tokens),
        cmocka_unit_test(test_windows_are_a_hundredth_of_the_run),
        cmocka_unit_test(test_windows_as_told),
        cmocka_unit_test(test_refused_decisions_count),
        cmocka_unit_test(test_where_k_varies),
        cmocka_unit_test(test_state_is_known_at_any_time),
        cmocka_unit_test(test_router_entropy_is_the_mean_of_steps),
        cmocka_unit_test(test_untrained),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
