/* metrics/drift.h: averages worked by hand, streams whose delays are known, and calibration against streams
 * from the distribution itself. Seeds are fixed. */
#include "metrics/drift.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/support.h"

static const double exact = 1e-12;
static struct error err;

/* ---- cells and shares ---- */

static void test_rare_experts_share_a_cell(void **state)
{
    const double share[] = {0.5, 0.04, 0.3, 0.06, 0.1}, dead[] = {0.5, 0.5, 0}, sole[] = {0, 1};
    int cell[5];
    (void)state;
    /* Of 60 decisions 2.4, then 6 with the next rarest: enough. */
    assert_int_equal(drift_cells(share, 5, 60, 5, cell), 4);
    assert_memory_equal(cell, ((int[]){1, 0, 2, 0, 3}), sizeof cell);
    /* Of 1000 the rarest expects 40 by itself. */
    assert_int_equal(drift_cells(share, 5, 1000, 5, cell), 5);
    /* Of 8 it takes all but the busiest; of 6 all of them. */
    assert_int_equal(drift_cells(share, 5, 12, 5, cell), 2);
    assert_int_equal(cell[0], 1);
    assert_int_equal(drift_cells(share, 5, 4, 5, cell), 1);
    /* A dead expert has no cell of its own, which would divide by nothing. */
    assert_int_equal(drift_cells(dead, 3, 1000, 5, cell), 2);
    assert_int_equal(cell[2], 0);
    assert_int_equal(drift_cells(sole, 2, 1000, 5, cell), 1);
}

static void test_usage_is_a_chi_square(void **state)
{
    const double load[] = {30, 10, 0, 40}, reference[] = {0.5, 0.5};
    const int cell[] = {0, 0, 1, 1};
    double x[2], root = sqrt(0.5);
    (void)state;
    drift_usage(load, cell, 4, reference, 2, x); /* shares 0.5 and 0.5 */
    assert_close(x[0], root, exact);
    assert_close(x[1], root, exact);
    /* Shares 0.75 and 0.25: (0.25^2 + 0.25^2) / 0.5. */
    drift_usage((const double[]){30, 0, 10, 0}, cell, 4, reference, 2, x);
    assert_close((x[0] - root) * (x[0] - root) + (x[1] - root) * (x[1] - root), 0.25, exact);
}

/* ---- a monitor ---- */

static struct drift_monitor monitor_of(enum drift_statistic statistic, double lambda, int width,
                                       const double *windows, int n)
{
    struct drift_monitor m;
    test_must(drift_monitor_init(&m, statistic, lambda, &width, 1, &err), &err);
    test_must(drift_learn(&m, windows, n, &err), &err);
    return m;
}

static void test_average_by_hand(void **state)
{
    /* Mean 10, mean square deviation 4. */
    const double reference[] = {8, 12, 12, 8}, stream[] = {12, 14, 2, 10};
    struct drift_monitor m = monitor_of(DRIFT_TWO_SIDED, 0.5, 1, reference, 4);
    double average;
    (void)state;
    assert_close(m.mean[0], 10, exact);
    assert_close(m.parts[0].spread, 4, exact);
    drift_begin(&m, &average);
    /* 11, 12.5, 7.25, 8.625; (2 - 1/2) / (1/2 x 4) = 3/4. */
    assert_close(drift_step(&m, &average, &stream[0], NULL), sqrt(0.75), exact);
    assert_close(drift_step(&m, &average, &stream[1], NULL), 2.5 * sqrt(0.75), exact);
    assert_close(drift_step(&m, &average, &stream[2], NULL), 2.75 * sqrt(0.75), exact);
    assert_close(drift_step(&m, &average, &stream[3], NULL), 1.375 * sqrt(0.75), exact);
    m.statistic = DRIFT_UPPER;
    drift_begin(&m, &average);
    assert_close(drift_step(&m, &average, &stream[0], NULL), sqrt(0.75), exact);
    assert_close(drift_step(&m, &average, &stream[2], NULL), -3.5 * sqrt(0.75), exact); /* (11 + 2) / 2 */
    drift_monitor_release(&m);
}

static void test_several_numbers_by_hand(void **state)
{
    /* Variances 1/2 and 2, no covariance: spread 2.5, tr S^2 = 4.25. */
    double reference[32][2];
    int part = -1;
    double average[2];
    (void)state;
    for (int t = 0; t < 32; t++) {
        double sign = t % 2 ? 1 : -1;
        reference[t][0] = t % 4 < 2 ? sign : 0;
        reference[t][1] = t % 4 < 2 ? 0 : 2 * sign;
    }
    struct drift_monitor m = monitor_of(DRIFT_DISTANCE, 1, 2, &reference[0][0], 32);
    assert_close(m.parts[0].spread, 2.5, exact);
    assert_close(m.parts[0].freedom_seen, 6.25 / 4.25, exact);
    assert_close(m.parts[0].freedom, 1 / (4.25 / 6.25 - 1. / 32), exact);
    drift_begin(&m, average);
    /* Squared distance 3^2 + 4^2 of spread 2.5: R = 10. */
    double variance = 2 / (9 * m.parts[0].freedom);
    assert_close(drift_step(&m, average, (const double[]){3, 4}, &part),
                 (cbrt(10) - 1 + variance) / sqrt(variance), exact);
    assert_int_equal(part, 0);
    drift_monitor_release(&m);
}

/* The same numbers as two parts of one each: the second is the farther, 4 of 2 where the first is 1 of 1. */
static void test_the_largest_part_counts(void **state)
{
    const double reference[] = {-1, -2, 1, 2, -1, -2, 1, 2};
    const int widths[] = {1, 1};
    struct drift_monitor m;
    double average[2];
    int part = -1;
    (void)state;
    test_must(drift_monitor_init(&m, DRIFT_DISTANCE, 1, widths, 2, &err), &err);
    test_must(drift_learn(&m, reference, 4, &err), &err);
    drift_begin(&m, average);
    /* One number has one degree of freedom, however few windows: R = 4. */
    assert_close(drift_step(&m, average, (const double[]){1, 4}, &part), (cbrt(4) - 7. / 9) / sqrt(2. / 9),
                 exact);
    assert_int_equal(part, 1);
    drift_step(&m, average, (const double[]){3, 1}, &part);
    assert_int_equal(part, 0);
    drift_monitor_release(&m);
}

static void test_begins_anew_after_false_alarms(void **state)
{
    const double reference[] = {-1, 1}, stream[] = {0, 4, 0, 4, 4};
    struct drift_monitor m = monitor_of(DRIFT_TWO_SIDED, 0.5, 1, reference, 2);
    double statistic[5];
    bool alarm[5];
    int part[5];
    (void)state;
    m.threshold = 3;
    test_must(drift_watch(&m, stream, 5, 2, statistic, part, alarm, &err), &err);
    /* Averages 0, 2, then again 0, 2, and on to 3; their deviation is sqrt(1/3). */
    assert_close(statistic[1], 2 * sqrt(3), exact);
    assert_close(statistic[2], 0, exact);
    assert_close(statistic[3], 2 * sqrt(3), exact);
    assert_close(statistic[4], 3 * sqrt(3), exact);
    assert_memory_equal(alarm, ((bool[]){false, true, false, true, false}), sizeof alarm);
    test_must(drift_watch(&m, stream, 5, 5, statistic, part, alarm, &err), &err);
    assert_close(statistic[4], 2 * sqrt(3), exact);
    assert_memory_equal(alarm, ((bool[]){false, true, false, true, true}), sizeof alarm);
    drift_monitor_release(&m);
}

/* ---- streams ---- */

/* One window of 12 is far out: whatever the order, it alone raises an alarm, once a pass. */
static void test_orders_have_every_window_once(void **state)
{
    double windows[12] = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, 50, -50};
    struct drift_monitor m = monitor_of(DRIFT_TWO_SIDED, 1, 1, windows, 10);
    static const int blocks[] = {1, 5, 11, 12, 100};
    (void)state;
    windows[11] = 0;
    m.threshold = 10;
    for (int i = 0; i < 5; i++) {
        const struct drift_simulation s = {.streams = 50, .block = blocks[i], .seed = 3};
        double rate;
        test_must(drift_alarm_rate(&m, windows, 12, &s, &rate, &err), &err);
        assert_close(rate, 1. / 12, exact);
    }
    drift_monitor_release(&m);
}

/* One of five changed windows is out, one of four before: in random order its place is uniform, and there is
 * always a false alarm before when all four are seen. */
static void test_delays_of_known_streams(void **state)
{
    enum { STREAMS = 4000 };
    static int delay[STREAMS], count[6];
    static bool early[STREAMS];
    const double reference[] = {-1, 1}, control[] = {0, 0, 9, 0}, changed[] = {0, 9, 0, 0, 0};
    struct drift_monitor m = monitor_of(DRIFT_TWO_SIDED, 1, 1, reference, 2);
    struct drift_change change = {control, changed, 4, 5, 4};
    const struct drift_simulation s = {.streams = STREAMS, .block = 1, .seed = 5};
    struct drift_delay d;
    int alarms = 0;
    (void)state;
    m.threshold = 5;
    test_must(drift_delays(&m, &change, &s, delay, early, &err), &err);
    for (int i = 0; i < STREAMS; i++) {
        assert_in_range(delay[i], 1, 5);
        assert_true(early[i]);
        count[delay[i]]++;
    }
    for (int i = 1; i <= 5; i++) /* 800 +- 25 */
        assert_in_range(count[i], 700, 900);
    drift_summarise(delay, STREAMS, 5, &d);
    assert_close(d.mean, 3, 0.1);
    assert_close(d.median, 3, 0);
    assert_close(d.missed, 0, 0);
    change.before = 1; /* the first of four in random order */
    test_must(drift_delays(&m, &change, &s, delay, early, &err), &err);
    for (int i = 0; i < STREAMS; i++)
        alarms += early[i];
    assert_in_range(alarms, 900, 1100); /* 1000 +- 27 */
    change.before = 0;
    test_must(drift_delays(&m, &change, &s, delay, early, &err), &err);
    for (int i = 0; i < STREAMS; i++)
        assert_false(early[i]);
    m.threshold = 50;
    test_must(drift_delays(&m, &change, &s, delay, early, &err), &err);
    drift_summarise(delay, STREAMS, 5, &d);
    assert_close(d.missed, 1, 0);
    assert_close(d.mean, 5, exact);
    drift_monitor_release(&m);
}

/* With the same seed two monitors see the same streams: the more sensitive one is never later. */
static void test_monitors_see_the_same_streams(void **state)
{
    enum { STREAMS = 200, N = 30 };
    static int delay[2][STREAMS];
    static bool early[STREAMS];
    const double reference[] = {-1, 1};
    double control[N], changed[N];
    struct drift_monitor m = monitor_of(DRIFT_TWO_SIDED, 0.3, 1, reference, 2);
    const struct drift_change change = {control, changed, N, N, 10};
    const struct drift_simulation s = {.streams = STREAMS, .block = 2, .seed = 6};
    struct random r;
    int missed = 0;
    (void)state;
    random_seed(&r, 13, 0);
    for (int t = 0; t < N; t++) {
        control[t] = 0;
        changed[t] = random_normal(&r);
    }
    for (int i = 0; i < 2; i++) {
        m.threshold = i ? 2 : 1.5;
        test_must(drift_delays(&m, &change, &s, delay[i], early, &err), &err);
    }
    for (int i = 0; i < STREAMS; i++) {
        assert_true(delay[1][i] == 0 || (delay[0][i] > 0 && delay[0][i] <= delay[1][i]));
        missed += delay[1][i] == 0;
    }
    assert_in_range(missed, 10, STREAMS - 10);
    drift_monitor_release(&m);
}

static void test_summary_of_delays(void **state)
{
    int delay[] = {3, 0, 1, 2};
    struct drift_delay d;
    (void)state;
    drift_summarise(delay, 4, 10, &d);
    assert_close(d.mean, 4, exact); /* (1 + 2 + 3 + 10) / 4 */
    assert_close(d.median, 2, 0);   /* half of the streams had their alarm by then */
    assert_nan(d.p90);
    assert_close(d.missed, 0.25, exact);
}

/* ---- dependence ---- */

/* x_t = a x_{t-1} + e_t */
static void autoregress(double *x, int n, double a, uint64_t seed)
{
    struct random r;
    random_seed(&r, seed, 0);
    x[0] = random_normal(&r) / sqrt(1 - a * a);
    for (int t = 1; t < n; t++)
        x[t] = a * x[t - 1] + random_normal(&r);
}

static void test_blocks_are_as_long_as_the_dependence(void **state)
{
    enum { N = 2000 };
    static double x[N];
    (void)state;
    autoregress(x, N, 0, 1);
    assert_int_equal(drift_block(x, N, 1, &err), 1);
    /* In theory (2 G^2 / D)^(1/3) n^(1/3) with G = 2 s a / (1 - a)^2 / (1 - a^2) and D = 4/3 (s / (1 -
     * a)^2)^2: (1.5 (2 a / (1 - a^2))^2 n)^(1/3), which is 14.7 for a = 1/2. */
    autoregress(x, N, 0.5, 2);
    assert_in_range(drift_block(x, N, 1, &err), 10, 20);
    autoregress(x, N, 0.9, 3); /* 64.6 */
    assert_in_range(drift_block(x, N, 1, &err), 40, 90);
}

/* ---- calibration ---- */

enum { CELLS = 5, DECISIONS = 200, SEEN = 4000 };
static const double shares[CELLS] = {0.4, 0.25, 0.15, 0.12, 0.08};

/* A window of decisions, each by itself. `moved`: the share that goes from the first cell to the last. */
static void draw_window(struct random *r, double moved, double *x)
{
    static const int cell[CELLS] = {0, 1, 2, 3, 4};
    double load[CELLS] = {0};
    for (int i = 0; i < DECISIONS; i++) {
        double u = random_uniform(r);
        int e = 0;
        while (e < CELLS - 1 && u >= shares[e]) {
            u -= shares[e];
            e++;
        }
        load[e == 0 && u < moved ? CELLS - 1 : e]++;
    }
    drift_usage(load, cell, CELLS, shares, CELLS, x);
}

static double *draw_windows(struct random *r, int n, double moved)
{
    double *x = malloc((size_t)n * CELLS * sizeof *x);
    assert_non_null(x);
    for (int t = 0; t < n; t++)
        draw_window(r, moved, x + (size_t)t * CELLS);
    return x;
}

/* Windows over alarms in n fresh windows: the average run length. *alarms: of which so many. */
static double fresh_run_length(const struct drift_monitor *m, const double *x, int n, int *alarms)
{
    double average[CELLS];
    *alarms = 0;
    drift_begin(m, average);
    for (int t = 0; t < n; t++)
        if (drift_step(m, average, x + (size_t)t * (size_t)m->width, NULL) > m->threshold) {
            ++*alarms;
            drift_begin(m, average);
        }
    return (double)n / *alarms;
}

/* Found on 4000 windows, the threshold keeps its promise on others, within three standard errors of both
 * simulations. (How far a reference is from the truth is not in them; 4000 windows are nearly all of it.) */
static void test_run_length_is_as_stated(void **state)
{
    enum { FRESH = 20000 };
    static const double stated = 40;
    const struct drift_simulation s = {.streams = 500, .block = 1, .seed = 1};
    struct drift_calibration c;
    struct random r;
    int alarms;
    (void)state;
    random_seed(&r, 11, 0);
    double *seen = draw_windows(&r, SEEN, 0), *fresh = draw_windows(&r, FRESH, 0);
    struct drift_monitor m = monitor_of(DRIFT_DISTANCE, 0.2, CELLS, seen, SEEN);
    assert_close(m.parts[0].spread * DECISIONS, CELLS - 1, 0.1); /* as of a multinomial */
    assert_close(m.parts[0].freedom, CELLS - 1, 0.1);
    test_must(drift_calibrate(&m, seen, SEEN, stated, &s, &c, &err), &err);
    assert_close(c.run_length, stated, 0.5);
    assert_close(c.error, stated / sqrt(500), 0.3 * stated / sqrt(500)); /* run lengths are near geometric */
    double achieved = fresh_run_length(&m, fresh, FRESH, &alarms);
    assert_close(achieved, stated, 3 * hypot(c.error, achieved / sqrt(alarms)));
    drift_monitor_release(&m);
    free(seen);
    free(fresh);
}

/* The larger the change the sooner the alarm; none at all, and it takes as long as a false one. */
static void test_delay_falls_with_the_change(void **state)
{
    enum { CHANGED = 300, STREAMS = 300, SIZES = 4 };
    static const double moved[SIZES] = {0, 0.01, 0.02, 0.08};
    static int delay[STREAMS];
    static bool early[STREAMS];
    const struct drift_simulation s = {.streams = STREAMS, .block = 1, .seed = 2};
    struct drift_calibration c;
    struct drift_delay d[SIZES];
    struct random r;
    (void)state;
    random_seed(&r, 12, 0);
    double *seen = draw_windows(&r, 1000, 0), *control = draw_windows(&r, 500, 0);
    struct drift_monitor m = monitor_of(DRIFT_DISTANCE, 0.2, CELLS, seen, 1000);
    test_must(drift_calibrate(&m, seen, 1000, 50, &s, &c, &err), &err);
    for (int i = 0; i < SIZES; i++) {
        double *changed = draw_windows(&r, CHANGED, moved[i]);
        const struct drift_change change = {control, changed, 500, CHANGED, 20};
        test_must(drift_delays(&m, &change, &s, delay, early, &err), &err);
        drift_summarise(delay, STREAMS, CHANGED, &d[i]);
        free(changed);
    }
    assert_close(d[0].mean, 50, 25); /* these 300 windows have a mean of their own */
    for (int i = 1; i < SIZES; i++)
        assert_true(d[i].mean < 0.8 * d[i - 1].mean);
    assert_close(d[SIZES - 1].missed, 0, 0);
    assert_true(d[SIZES - 1].p90 <= 5);
    drift_monitor_release(&m);
    free(seen);
    free(control);
}

/* Neighbours that resemble each other make averages scatter more: drawn one by one they promise more than
 * twice the run length that they have. */
static void test_blocks_keep_the_promise(void **state)
{
    enum { N = 4000, FRESH = 40000 };
    static double seen[N], fresh[FRESH];
    struct drift_simulation s = {.streams = 400, .seed = 4};
    struct drift_calibration c;
    double achieved[2];
    int alarms;
    (void)state;
    autoregress(seen, N, 0.5, 21);
    autoregress(fresh, FRESH, 0.5, 22);
    struct drift_monitor m = monitor_of(DRIFT_TWO_SIDED, 0.2, 1, seen, N);
    for (int i = 0; i < 2; i++) {
        s.block = i ? drift_block(seen, N, 1, &err) : 1;
        test_must(drift_calibrate(&m, seen, N, 40, &s, &c, &err), &err);
        achieved[i] = fresh_run_length(&m, fresh, FRESH, &alarms);
    }
    assert_true(achieved[0] < 20);
    assert_close(achieved[1], 40, 12); /* over many references: 36.3 */
    drift_monitor_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rare_experts_share_a_cell),
        cmocka_unit_test(test_usage_is_a_chi_square),
        cmocka_unit_test(test_average_by_hand),
        cmocka_unit_test(test_several_numbers_by_hand),
        cmocka_unit_test(test_the_largest_part_counts),
        cmocka_unit_test(test_begins_anew_after_false_alarms),
        cmocka_unit_test(test_orders_have_every_window_once),
        cmocka_unit_test(test_delays_of_known_streams),
        cmocka_unit_test(test_monitors_see_the_same_streams),
        cmocka_unit_test(test_summary_of_delays),
        cmocka_unit_test(test_blocks_are_as_long_as_the_dependence),
        cmocka_unit_test(test_run_length_is_as_stated),
        cmocka_unit_test(test_delay_falls_with_the_change),
        cmocka_unit_test(test_blocks_keep_the_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
