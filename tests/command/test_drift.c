/* moescope drift on streams made up window by window: 200 decisions in each of three layers, of 4 experts, of
 * 6 and of 1, and a loss of 2 +- 0.1. Run `steady` has 400 windows; the others 120 before their change and 80
 * after:
 *
 *   shifted    the share of expert 0 in layer 1 goes from 0.3 to 0.2, what it loses goes to expert 5
 *   corrupted  the loss goes to 2.1
 *   easier     the loss goes to 1.9
 *   same       there is none
 *
 * The rest are streams that must be refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/close.h"
#include "tests/fixture.h"
#include "tests/rows.h"
#include "tests/support.h"

enum {
    N_LAYERS = 3,
    MOST_EXPERTS = 6,
    DECISIONS = 200,
    STEADY = 400,
    LEARNT = STEADY / 2,
    BEFORE = 120,
    AFTER = 80
};
static const int n_experts[N_LAYERS] = {4, 6, 1};
static const double shares[N_LAYERS][MOST_EXPERTS] = {
    {0.4, 0.3, 0.2, 0.1}, {0.3, 0.25, 0.2, 0.15, 0.1, 0}, {1}};

static struct fixture fixture;

/* ---- streams ---- */

struct plan {
    const char *name, *change; /* drift.at as JSON; NULL: no such setting */
    int n, layers;             /* windows; layers 0: dense */
    double share, loss;        /* of expert 5 in layer 1; added; from the change on */
    double broken;             /* the loss of window 7; 0: as the others */
    int experts;               /* of layer 0; 0: as above */
    int idle;                  /* window in which layer 0 chooses nobody; 0: none */
    int flat;                  /* the loss is 2 */
};

struct window {
    int64_t load[N_LAYERS][MOST_EXPERTS];
    double loss;
};

static void draw_loads(struct random *r, const double *share, int experts, double moved, int64_t *load)
{
    memset(load, 0, MOST_EXPERTS * sizeof *load);
    for (int i = 0; i < DECISIONS; i++) {
        double u = random_uniform(r);
        int e = 0;
        if (u < moved) {
            load[MOST_EXPERTS - 1]++;
            continue;
        }
        for (; e < experts - 1 && u >= share[e]; e++)
            u -= share[e];
        load[e]++;
    }
}

/* A function of the run and the window alone. */
static void draw_window(const struct plan *p, int at, struct window *w)
{
    struct random r;
    bool changed = p->change && at >= BEFORE;
    random_seed(&r, fixture_hash((uint64_t)p->name[0] + 256 * (uint64_t)p->name[1]), (uint64_t)at);
    for (int l = 0; l < N_LAYERS; l++)
        draw_loads(&r, shares[l], n_experts[l], l == 1 && changed ? p->share : 0, w->load[l]);
    w->loss = 2 + 0.1 * random_normal(&r) + (changed ? p->loss : 0);
    if (p->flat)
        w->loss = 2;
    if (p->broken != 0 && at == 7)
        w->loss = p->broken;
    if (p->idle && at == p->idle)
        memset(w->load[0], 0, sizeof w->load[0]);
}

static void log_window(struct moescope_batch *b, const struct plan *p, int at)
{
    static const double gates[MOST_EXPERTS] = {0};
    struct window w;
    draw_window(p, at, &w);
    for (int l = 0; l < p->layers; l++) {
        int n = l == 0 && p->experts ? p->experts : n_experts[l];
        struct moescope_load load = {0, l, n, w.load[l], NULL, gates, gates};
        moescope_batch_load(b, at, "train", &load);
    }
    moescope_batch_metric(b, at, "train", "loss", w.loss);
}

static void add_stream(const struct plan *p)
{
    struct moescope_layer layers[N_LAYERS];
    struct moescope_setting setting = {"drift.at", p->change};
    struct moescope_writer_options options = {.gate_bits = 8};
    struct moescope_writer *w;
    struct error err = {0};
    int64_t run_id;
    for (int l = 0; l < N_LAYERS; l++)
        layers[l] = (struct moescope_layer){.layer = l,
                                            .router = "topk",
                                            .n_experts = l == 0 && p->experts ? p->experts : n_experts[l],
                                            .k = 1,
                                            .expert_parameters = 1};
    struct moescope_run run = {.name = p->name,
                               .task = "classification",
                               .router = "topk",
                               .program = "test",
                               .machine_json = "{}",
                               .config = &setting,
                               .n_config = p->change != NULL,
                               .layers = layers,
                               .n_layers = p->layers};
    test_must(moescope_begin_run(fixture.logbook, &run, &run_id, &err), &err);
    test_must(moescope_writer_open(&w, fixture.logbook, run_id, &options, &err), &err);
    for (int at = 0; at < p->n; at++) {
        struct moescope_batch *b = moescope_batch_new(w, &err);
        assert_non_null(b);
        log_window(b, p, at);
        test_must(moescope_batch_commit(b, &err), &err);
    }
    test_must(moescope_writer_close(w, &err), &err);
    test_must(moescope_end_run(fixture.logbook, run_id, "finished", &err), &err);
}

static const struct plan steady = {.name = "steady", .n = STEADY, .layers = 3},
                         shifted = {.name = "shifted", .change = "120", .n = 200, .layers = 3, .share = 0.1},
                         corrupted = {
                             .name = "corrupted", .change = "120", .n = 200, .layers = 3, .loss = 0.1};
static const struct plan others[] = {
    {.name = "easier", .change = "120", .n = 200, .layers = 3, .loss = -0.1},
    {.name = "same", .change = "120", .n = 200, .layers = 3},
    {.name = "unplaced", .n = 44, .layers = 3},
    {.name = "zero", .change = "0", .n = 44, .layers = 3},
    {.name = "never", .change = "\"soon\"", .n = 44, .layers = 3},
    {.name = "dense", .n = 44},
    {.name = "empty", .layers = 3},
    {.name = "other", .change = "120", .n = 200, .layers = 3, .experts = 5},
    {.name = "broken", .n = 44, .layers = 3, .broken = NAN},
    {.name = "idle", .n = 44, .layers = 3, .idle = 9},
    {.name = "flat", .n = 44, .layers = 3, .flat = 1},
};

static int open_all(void **state)
{
    (void)state;
    fixture_open(&fixture, 1, 1);
    fixture.verb = "drift";
    add_stream(&steady);
    add_stream(&shifted);
    add_stream(&corrupted);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        add_stream(&others[i]);
    fixture_finish(&fixture);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    if (!getenv("KEEP"))
        fixture_release(&fixture);
    else
        print_message("%s\n", fixture.path);
    return 0;
}

#define SHORT "--arl 100 --streams 200 "

/* ---- what is found ---- */

/* Late or missed: which of them is a matter of how many windows there are. */
static void assert_unseen(const char *csv, const char *start)
{
    char *found = rows_text(csv, start, "found");
    assert_true(strcmp(found, "late") == 0 || strcmp(found, "missed") == 0);
    assert_false(rows_real(csv, start, "median") <= 10);
    free(found);
}

static void test_who_sees_what(void **state)
{
    char *csv = fixture_table(&fixture, "delays", SHORT "steady shifted corrupted easier same");
    (void)state;
    assert_int_equal(rows_count(csv), 8);
    rows_expect(csv, "shifted,usage,", "found", "detected");
    assert_true(rows_real(csv, "shifted,usage,", "median") <= 4);
    assert_close(rows_real(csv, "shifted,usage,", "missed"), 0, 0);
    assert_close(rows_real(csv, "shifted,usage,", "change_step"), 120, 0);
    assert_close(rows_real(csv, "shifted,usage,", "alarm_step"),
                 119 + rows_real(csv, "shifted,usage,", "delay"), 0);
    assert_unseen(csv, "shifted,loss,");
    rows_expect(csv, "corrupted,loss,", "found", "detected");
    assert_unseen(csv, "corrupted,usage,");
    rows_expect(csv, "easier,loss,", "found", "detected");
    /* Nothing happens: an alarm is a false one, after about 100 windows, of which there are 80. */
    assert_unseen(csv, "same,usage,");
    assert_unseen(csv, "same,loss,");
    assert_close(rows_real(csv, "same,loss,", "windows_before"), BEFORE, 0);
    assert_close(rows_real(csv, "same,loss,", "windows_after"), AFTER, 0);
    assert_true(rows_real(csv, "same,loss,", "mean") > 30);
    free(csv);
    csv = fixture_table(&fixture, "sooner", SHORT "steady shifted corrupted");
    assert_true(rows_real(csv, "shifted,", "usage") > 0.95);
    assert_true(rows_real(csv, "corrupted,", "loss") > 0.9);
    assert_close(rows_real(csv, "shifted,", "usage") + rows_real(csv, "shifted,", "loss") +
                     rows_real(csv, "shifted,", "together") + rows_real(csv, "shifted,", "neither"),
                 1, 1e-9);
    free(csv);
}

static void test_a_rise_alone(void **state)
{
    char *csv = fixture_table(&fixture, "delays", SHORT "--loss-side upper steady corrupted easier");
    (void)state;
    rows_expect(csv, "corrupted,loss,", "found", "detected");
    rows_expect(csv, "easier,loss,", "found", "missed");
    assert_nan(rows_real(csv, "easier,loss,", "median"));
    assert_close(rows_real(csv, "easier,loss,", "mean"), AFTER, 0);
    free(csv);
}

static void test_words(void **state)
{
    char *csv = fixture_table(&fixture, "verdict", SHORT "steady shifted");
    (void)state;
    rows_expect(csv, "usage,", "verdict", "kept");
    rows_expect(csv, "loss,", "verdict", "kept");
    rows_expect(csv, "shifted,", "verdict", "detected");
    assert_non_null(strstr(csv, "shares of experts, the layer that is farthest off of 2: alarm above "));
    assert_non_null(strstr(csv, "once in 100 windows without change (simulated 100 +- "));
    assert_non_null(strstr(csv, "learnt from 200 windows); in the 200 others "));
    assert_non_null(strstr(csv, "after the change at step 120"));
    assert_non_null(strstr(csv, "shifted,usage sooner,\"shifted: of 200 streams usage is sooner in "));
    assert_non_null(strstr(csv, "note: 1 of 3 layers are not watched, since their usage does not vary"));
    free(csv);
    /* A stream that was another one all along. */
    csv = fixture_table(&fixture, "verdict", SHORT "--change 180 steady shifted");
    rows_expect(csv, "shifted,", "verdict", "unlike");
    free(csv);
}

/* ---- what is measured ---- */

/* The loss's monitor once more: mean and deviation of the first 200 windows of `steady`, the moving average,
 * which begins anew after each alarm of the table. */
static void test_statistic_of_the_loss(void **state)
{
    char *csv = fixture_table(&fixture, "windows", "--arl 20 --streams 200 steady corrupted"), start[64];
    double mean = 0, squares = 0, average;
    struct window w;
    int alarms = 0;
    (void)state;
    assert_int_equal(rows_count(csv), 2 * (STEADY + BEFORE + AFTER));
    for (int pass = 0; pass < 2; pass++)
        for (int t = 0; t < LEARNT; t++) {
            draw_window(&steady, t, &w);
            mean += pass ? 0 : w.loss / LEARNT;
            squares += pass ? (w.loss - mean) * (w.loss - mean) / LEARNT : 0;
        }
    average = mean;
    for (int t = 0; t < BEFORE + AFTER; t++) {
        draw_window(&corrupted, t, &w);
        average = 0.9 * average + 0.1 * w.loss;
        snprintf(start, sizeof start, "corrupted,loss,%d,", t);
        assert_close(rows_real(csv, start, "statistic"), fabs(average - mean) / sqrt(squares * 0.1 / 1.9),
                     1e-6);
        rows_expect(csv, start, "phase", t < BEFORE ? "before" : "after");
        if (rows_real(csv, start, "alarm") > 0) {
            average = t < BEFORE ? mean : average;
            alarms++;
        }
    }
    assert_true(alarms > 1); /* false ones, and the last one */
    rows_expect(csv, "steady,usage,199,", "phase", "learnt");
    rows_expect(csv, "steady,usage,200,", "phase", "checked");
    free(csv);
}

static void test_experts_and_layers(void **state)
{
    char *csv = fixture_table(&fixture, "experts", SHORT "steady shifted");
    double before = 0, after = 0, reference = 0;
    struct window w;
    (void)state;
    assert_int_equal(rows_count(csv), 11);
    for (int t = 0; t < BEFORE + AFTER; t++) {
        draw_window(&shifted, t, &w);
        *(t < BEFORE ? &before : &after) += (double)w.load[1][5] / DECISIONS / (t < BEFORE ? BEFORE : AFTER);
    }
    for (int t = 0; t < LEARNT; t++) {
        draw_window(&steady, t, &w);
        reference += (double)w.load[1][0] / DECISIONS / LEARNT;
    }
    assert_close(before, 0, 0);
    assert_close(rows_real(csv, "shifted,1,5,", "before"), 0, 0);
    assert_close(rows_real(csv, "shifted,1,5,", "after"), after, 1e-9);
    assert_close(rows_real(csv, "shifted,1,0,", "reference"), reference, 1e-9);
    free(csv);
    csv = fixture_table(&fixture, "layers", SHORT "steady");
    assert_close(rows_real(csv, "0,", "cells"), 4, 0);
    assert_close(rows_real(csv, "1,", "cells"), 5, 0); /* the dead expert has none of its own */
    assert_close(rows_real(csv, "0,", "decisions"), DECISIONS, 1e-9);
    assert_close(rows_real(csv, "0,", "dispersion"), 1, 0.15);
    assert_close(rows_real(csv, "0,", "freedom"), 3, 0.3);
    assert_close(rows_real(csv, "2,", "cells"), 0, 0);
    assert_nan(rows_real(csv, "2,", "dispersion"));
    free(csv);
    csv = fixture_table(&fixture, "windows", SHORT "steady shifted");
    rows_expect(csv, "shifted,usage,122,", "layer", "1"); /* that is where it is */
    free(csv);
}

/* Three layers of the second window: what the query says is what was logged. */
static void test_print_sql(void **state)
{
    char *csv = fixture_sql(&fixture, SHORT "--table monitors steady shifted");
    struct window w;
    char start[64];
    (void)state;
    assert_int_equal(rows_count(csv), (STEADY + BEFORE + AFTER) * 11);
    draw_window(&shifted, 1, &w);
    for (int e = 0; e < 6; e++) {
        snprintf(start, sizeof start, "1,1,%.15g,1,%d,", w.loss, e);
        assert_close(rows_real(csv, start, "load"), (double)w.load[1][e], 0);
    }
    free(csv);
}

static void test_the_same_again(void **state)
{
    char *one = fixture_table(&fixture, "monitors", SHORT "steady");
    char *two = fixture_table(&fixture, "monitors", SHORT "steady shifted --change 150");
    char *three = fixture_table(&fixture, "monitors", SHORT "--seed 2 steady");
    (void)state;
    assert_string_equal(one, two);
    assert_string_not_equal(one, three);
    /* Windows were drawn one by one. */
    assert_close(rows_real(one, "usage,", "block"), 1, 0);
    assert_close(rows_real(one, "usage,", "run_length"), 100, 0);
    assert_close(rows_real(one, "usage,", "simulated"), 100, 1);
    assert_close(rows_real(one, "loss,", "stated"), 10, 1e-9);
    assert_close(rows_real(one, "loss,", "per_1000"), 5 * rows_real(one, "loss,", "alarms"), 1e-9);
    free(one);
    free(two);
    free(three);
    one = fixture_table(&fixture, "monitors", SHORT "--block 7 --from 100 steady");
    assert_close(rows_real(one, "usage,", "block"), 7, 0);
    assert_close(rows_real(one, "usage,", "learnt"), 150, 0);
    free(one);
}

static void test_exit_code(void **state)
{
    (void)state;
    fixture_status(&fixture, SHORT "--exit-code steady shifted", STATUS_FINDING, "");
    fixture_status(&fixture, SHORT "--exit-code steady", 0, "");
}

static void test_figures(void **state)
{
    struct test_run r = fixture_ask(&fixture, SHORT "steady shifted --figures %s/figures", fixture.folder);
    (void)state;
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    r = test_run(
        "cd %s/figures && grep -c '<path' drift-steady.svg drift-shifted.svg && grep -h -c , *.csv && "
        "grep -l 'learnt from up to here' *.svg && grep -l '>change<\\|change</' *.svg",
        fixture.folder);
    assert_string_equal(r.err, "");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\n201\n401\ndrift-steady.svg\ndrift-shifted.svg\n"));
    test_run_release(&r);
}

/* ---- what is refused ---- */

static void test_bad_streams(void **state)
{
    static const struct {
        const char *arguments;
        int status;
        const char *said;
    } cases[] = {
        {"steady unplaced", 2,
         "run 'unplaced' changes is not known: its configuration has no drift.at; give --change"},
        {"steady zero", 2, "run 'zero' changes is not known"},
        {"steady never", 3, "drift.at of run 'never' is 'soon', not a step"},
        {"steady unplaced --change 44", 3,
         "the stream of run 'unplaced' changes at step 44, and its last window is step 43"},
        {"steady dense --change 5", 3, "run 'dense' has no MoE layers, so there is no expert usage to watch"},
        {"empty", 3, "run 'empty' has no training step from 0 on with both a loss and loads of its experts"},
        {"steady --from 361", 3, "run 'steady' has 39 windows from step 361 on"},
        {"steady --layer 2", 3, "does not vary in the first 200 windows of run 'steady' (layer 2: 1 expert)"},
        {"steady --layer 7", 2, "run 'steady' has no experts in layer 7"},
        {"steady other", 3, "run 'steady' has 4 experts in layer 0 and 'other' has 5"},
        {"broken", 3, "the loss of run 'broken' is not finite at step 7"},
        {"idle", 3, "run 'idle' chose no expert in layer 0 at step 9"},
        {"flat", 3, "the loss does not vary in the first 22 windows of run 'flat'"},
        {"steady steady", 2, "run 'steady' is named twice"},
        {"steady --arl 1", 2, "--arl needs a number of windows from 2 to 100000"},
        {"steady --lambda 0", 2, "--lambda needs a number above 0 and up to 1"},
        {"steady --loss-side lower", 2, "a change of the loss is 'both' or 'upper', not 'lower'"},
        {"", 2, "see 'moescope drift --help'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fixture_status(&fixture, cases[i].arguments, cases[i].status, cases[i].said);
    fixture_status(&fixture, SHORT "steady --from 360 --layer 0", 0, ""); /* 40 windows are enough */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_sees_what),
        cmocka_unit_test(test_a_rise_alone),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_statistic_of_the_loss),
        cmocka_unit_test(test_experts_and_layers),
        cmocka_unit_test(test_print_sql),
        cmocka_unit_test(test_the_same_again),
        cmocka_unit_test(test_exit_code),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_bad_streams),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
