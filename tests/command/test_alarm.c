/* moescope train --alarm on real trainings: it says what collapse says of the same run, at the window that
 * shows it; it stops when told to; a run that is stopped and goes on is the same run, alarms included. Four
 * experts and 64 tokens a step, so that a window is four steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/close.h"
#include "tests/rows.h"
#include "tests/support.h"
#include "tests/tiny.h"

static struct tiny tiny;

/* One expert a token and nothing that keeps them even: routers collapse soon. */
static const char *const greedy = "--set train.steps=40 --set router.k=1 --set loss.balance=0 --set "
                                  "loss.z=0 --set train.learning_rate=0.05";

static int open_group(void **state)
{
    char more[512];
    (void)state;
    tiny_open(&tiny);
    snprintf(more, sizeof more, "%s --alarm --quiet", greedy);
    tiny_expect(tiny_train(&tiny, "whole.db", "r", more), 0, "r: step ");
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

static char *ask_collapse(const char *db, const char *table)
{
    struct test_run r = test_run("cd %s && %s/moescope-collapse %s --run r --format csv --table %s",
                                 tiny.folder, tiny.bin, db, table);
    if (r.status != 0)
        fail_msg("%s", r.err);
    free(r.err);
    return r.out;
}

/* A number that SQL answers with. */
static double number(const char *db, const char *sql)
{
    char *answer = tiny_ask(&tiny, db, sql);
    double value = strtod(answer, NULL);
    free(answer);
    return value;
}

/* The last event of a layer's loads. */
static const char last_event[] = "FROM event WHERE layer = %d AND kind LIKE 'alarm%%' AND message NOT LIKE "
                                 "'%%doing nothing%%' AND message NOT LIKE '%%indifferent%%' ORDER BY "
                                 "event_id DESC LIMIT 1";

/* The step in which the third window from that one was complete. */
static double third_window_ends(const char *load, int layer, double first_step)
{
    char start[32];
    double step = first_step;
    for (int i = 0; i < 2; i++) {
        snprintf(start, sizeof start, "%.0f,%d,", step, layer);
        step = rows_real(load, start, "last_step") + 1;
    }
    snprintf(start, sizeof start, "%.0f,%d,", step, layer);
    return rows_real(load, start, "last_step");
}

static void check_layer(const char *onset, const char *load, int layer)
{
    char start[8], sql[512], expected[64];
    snprintf(start, sizeof start, "%d,", layer);
    char *state = rows_text(onset, start, "state");
    int n = snprintf(sql, sizeof sql, "SELECT kind, step, substr(message, 1, 24) ");
    snprintf(sql + n, sizeof sql - (size_t)n, last_event, layer);
    char *last = tiny_ask(&tiny, "whole.db", sql);
    if (strcmp(state, "collapsed") == 0) {
        double first = rows_real(onset, start, "onset_step");
        n = snprintf(expected, sizeof expected, "alarm|%.0f|", third_window_ends(load, layer, first));
        snprintf(expected + n, sizeof expected - (size_t)n, "collapsed since step %.0f", first);
        assert_memory_equal(last, expected, strlen(expected));
    } else if (*last) {
        assert_memory_equal(last, "alarm_over|", 11);
    }
    free(last);
    free(state);
}

static void test_alarm_says_what_collapse_says(void **state)
{
    char *onset = ask_collapse("whole.db", "onset"), *load = ask_collapse("whole.db", "load");
    (void)state;
    check_layer(onset, load, 0);
    check_layer(onset, load, 1);
    assert_true(number("whole.db", "SELECT count(*) FROM event WHERE kind = 'alarm'") > 0);
    free(onset);
    free(load);
}

static void test_without_it_nothing_is_said(void **state)
{
    char more[512];
    (void)state;
    snprintf(more, sizeof more, "%s --quiet", greedy);
    struct test_run r = tiny_train(&tiny, "silent.db", "r", more);
    assert_int_equal(r.status, 0);
    assert_string_equal(r.err, "");
    test_run_release(&r);
    tiny_expect_answer(&tiny, "silent.db", "SELECT count(*) FROM event WHERE kind LIKE 'alarm%'", "0\n");
}

/* It stops in good order in the step that raises the alarm, and goes on to the same end. */
static void test_stops_and_goes_on(void **state)
{
    static const char alarms[] = "SELECT step, kind, layer, value, message FROM event WHERE kind LIKE "
                                 "'alarm%' ORDER BY event_id";
    char more[512];
    (void)state;
    snprintf(more, sizeof more, "%s --alarm-stop 3", greedy);
    tiny_expect(tiny_train(&tiny, "stopped.db", "r", more), 1, "stopped by the alarm after step");
    tiny_expect_answer(&tiny, "stopped.db", "SELECT status FROM run", "interrupted\n");
    assert_close(number("stopped.db", "SELECT max(step) FROM load_block WHERE split = 'train'"),
                 number("whole.db", "SELECT min(step) FROM event WHERE kind = 'alarm'"), 0);
    snprintf(more, sizeof more, "%s --alarm --resume", greedy);
    tiny_expect(tiny_train(&tiny, "stopped.db", "r", more), 0, "");
    tiny_expect_same(&tiny, "whole.db", "stopped.db");
    char *expected = tiny_ask(&tiny, "whole.db", alarms);
    tiny_expect_answer(&tiny, "stopped.db", alarms, expected);
    free(expected);
}

/* Noise makes the loads even, whatever the routers do; they hardly move, and neither do the probe's choices.
 */
static void test_indifference(void **state)
{
    (void)state;
    tiny_expect(tiny_train(&tiny, "idle.db", "r",
                           "--set train.steps=80 --set router.k=1 --set router.noise=5 --set "
                           "train.learning_rate=1e-7 --alarm --quiet"),
                0, "balanced but indifferent (unchanged)");
    /* not in the first quarter, when every router is like that */
    assert_true(number("idle.db", "SELECT min(step) FROM event WHERE kind = 'alarm'") >= 19);
    char *verdict = ask_collapse("idle.db", "verdict");
    rows_expect(verdict, "run,", "verdict", "balanced but indifferent");
    free(verdict);
}

static void test_usage(void **state)
{
    (void)state;
    tiny_expect(tiny_train(&tiny, "none.db", "r", "--alarm-stop -1"), 2, "--alarm-stop");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alarm_says_what_collapse_says),
        cmocka_unit_test(test_without_it_nothing_is_said),
        cmocka_unit_test(test_stops_and_goes_on),
        cmocka_unit_test(test_indifference),
        cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
