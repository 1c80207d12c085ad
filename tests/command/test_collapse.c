/* moescope collapse on loads written by hand: four experts, one choice a token, 400 tokens a step, 60 steps,
 * so that every step is a window (50 tokens an expert are asked for).
 *
 *   layer 0  100 tokens an expert, always; the probe's choices at step 100 are those of step 0
 *   layer 1  from step 30 on everything goes to expert 2
 *   layer 2  everything to expert 0 in steps 0 to 4, then even; the router has no opinion: entropy 0.99 ln 4
 *   layer 3  everything to expert 1 in steps 58 and 59
 *   layer 4  expert 0 gets nothing, the others 120, 120 and 160
 *   layer 5  50 of expert 0's 100 tokens are refused */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/fixture.h"
#include "tests/rows.h"
#include "tests/support.h"

enum { N_EXPERTS = 4, STEPS = 60 };

static struct fixture fixture;

static void known_load(int64_t step, int layer, int64_t load[N_EXPERTS], int64_t dropped[N_EXPERTS])
{
    int all_to = -1;
    if (layer == 1 && step >= 30)
        all_to = 2;
    if (layer == 2 && step < 5)
        all_to = 0;
    if (layer == 3 && step >= 58)
        all_to = 1;
    for (int e = 0; e < N_EXPERTS; e++) {
        load[e] = all_to < 0 ? 100 : e == all_to ? 400 : 0;
        dropped[e] = 0;
    }
    if (layer == 4)
        memcpy(load, (int64_t[]){0, 120, 120, 160}, 4 * sizeof *load);
    if (layer == 5)
        load[0] = dropped[0] = 50;
}

static void pairs_load(int64_t step, int layer, int64_t load[N_EXPERTS], int64_t dropped[N_EXPERTS])
{
    static const int64_t loads[2][N_EXPERTS] = {{200, 200, 0, 0}, {160, 80, 80, 80}};
    (void)step;
    memcpy(load, loads[layer], sizeof loads[layer]);
    memset(dropped, 0, N_EXPERTS * sizeof *dropped);
}

/* The router sends 340 of 400 tokens to expert 0, of which its capacity takes 25: what is accepted is almost
 * even. */
static void capped_load(int64_t step, int layer, int64_t load[N_EXPERTS], int64_t dropped[N_EXPERTS])
{
    static const int64_t loads[N_EXPERTS] = {25, 20, 20, 20}, refused[N_EXPERTS] = {315, 0, 0, 0};
    (void)step;
    (void)layer;
    memcpy(load, loads, sizeof loads);
    memcpy(dropped, refused, sizeof refused);
}

/* 50 tokens a step. */
static void small_load(int64_t step, int layer, int64_t load[N_EXPERTS], int64_t dropped[N_EXPERTS])
{
    static const int64_t loads[N_EXPERTS] = {20, 10, 10, 10};
    (void)step;
    (void)layer;
    memcpy(load, loads, sizeof loads);
    memset(dropped, 0, N_EXPERTS * sizeof *dropped);
}

/* One expert for every token and another for half of them, in steps of 80 and 120 tokens. */
static void varying_load(int64_t step, int layer, int64_t load[N_EXPERTS], int64_t dropped[N_EXPERTS])
{
    static const int64_t loads[2][N_EXPERTS] = {{80, 40, 0, 0}, {120, 60, 0, 0}};
    (void)layer;
    memcpy(load, loads[step % 2], sizeof loads[0]);
    memset(dropped, 0, N_EXPERTS * sizeof *dropped);
}

static void add_loads(int64_t run_id, int n_layers, int64_t n_steps,
                      void (*load_of)(int64_t, int, int64_t *, int64_t *))
{
    static const double gates[N_EXPERTS] = {0};
    struct error err = {0};
    struct moescope_writer *w = fixture_writer(&fixture, run_id);
    for (int64_t step = 0; step < n_steps; step++) {
        struct moescope_batch *b = moescope_batch_new(w, &err);
        assert_non_null(b);
        for (int layer = 0; layer < n_layers; layer++) {
            int64_t assigned[N_EXPERTS], dropped[N_EXPERTS];
            load_of(step, layer, assigned, dropped);
            struct moescope_load load = {0, layer, N_EXPERTS, assigned, dropped, gates, gates};
            moescope_batch_load(b, step, "train", &load);
            double entropy = layer == 2 ? 0.99 : 0.5;
            moescope_batch_layer_metric(b, step, "train", layer, "router_entropy", entropy * log(N_EXPERTS));
        }
        moescope_batch_metric(b, step, "train", "tokens",
                              100.0 * (double)step + (step % 2 ? 100.0 : 80.0)); /* 80, 200, 280, ... */
        test_must(moescope_batch_commit(b, &err), &err);
    }
    test_must(moescope_writer_close(w, &err), &err);
}

/* Expert by token id at first; later by position, but in layer 0. */
static void route(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    (void)context;
    int chosen = at->step == 0 || at->layer == 0 ? at->id % n_experts : at->position % n_experts;
    for (int e = 0; e < n_experts; e++)
        probability[e] = e == chosen ? 0.85f : 0.05f;
}

static void add_run(const char *name, int n_layers, int k, int64_t n_steps,
                    void (*load_of)(int64_t, int, int64_t *, int64_t *))
{
    static const int64_t steps[] = {0, 100};
    struct fixture_run run = {.name = name,
                              .n_layers = n_layers,
                              .n_experts = N_EXPERTS,
                              .k = k,
                              .steps = steps,
                              .n_steps = strcmp(name, "known") == 0 ? 2 : 0,
                              .route = route};
    add_loads(fixture_run(&fixture, &run), n_layers, n_steps, load_of);
}

static void add_varying_run(void)
{
    struct moescope_layer layer = {
        .layer = 0, .router = "topp", .n_experts = N_EXPERTS, .expert_parameters = 1};
    struct moescope_run run = {.name = "varying",
                               .task = "language_model",
                               .router = "topp",
                               .program = "test",
                               .machine_json = "{}",
                               .layers = &layer,
                               .n_layers = 1};
    struct error err = {0};
    int64_t run_id;
    test_must(moescope_begin_run(fixture.logbook, &run, &run_id, &err), &err);
    add_loads(run_id, 1, 20, varying_load);
}

static int open_all(void **state)
{
    (void)state;
    fixture_open(&fixture, 2, 5);
    fixture.verb = "collapse";
    add_run("known", 6, 1, STEPS, known_load);
    add_run("pairs", 2, 2, 10, pairs_load);
    add_run("capped", 1, 1, 10, capped_load);
    add_run("small", 1, 1, 62, small_load);
    add_run("short", 1, 1, 3, small_load);
    add_varying_run();
    fixture_finish(&fixture);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fixture_release(&fixture);
    return 0;
}

/* ---- reading ---- */

static char *table_of(const char *run, const char *table, const char *options)
{
    return fixture_table(&fixture, table, "--run %s %s", run, options);
}

static void test_states_and_onsets(void **state)
{
    char *csv = table_of("known", "onset", "");
    (void)state;
    assert_int_equal(rows_count(csv), 6);
    rows_expect(csv, "0,", "state", "healthy");
    rows_expect(csv, "1,", "state", "collapsed");
    assert_close(rows_real(csv, "1,", "onset_step"), 30, 0);
    assert_close(rows_real(csv, "1,", "effective_experts"), 1, 1e-12);
    assert_close(rows_real(csv, "1,", "dead"), 3, 0);
    assert_close(rows_real(csv, "1,", "top_share"), 1, 1e-12);
    rows_expect(csv, "1,", "detail",
                "in breach in the last 30 of 60 windows (load entropy + effective experts + top share + dead "
                "experts)");
    rows_expect(csv, "2,", "state", "transient");
    assert_nan(rows_real(csv, "2,", "onset_step"));
    assert_close(rows_real(csv, "2,", "effective_experts"), 4, 1e-9);
    assert_close(rows_real(csv, "2,", "lowest_effective"), 1, 1e-12);
    assert_close(rows_real(csv, "2,", "lowest_step"), 0, 0);
    rows_expect(csv, "3,", "state", "censored");
    assert_close(rows_real(csv, "3,", "onset_step"), 58, 0);
    rows_expect(csv, "4,", "state", "healthy"); /* one dead of four is below the rule's half */
    assert_close(rows_real(csv, "4,", "dead"), 1, 0);
    rows_expect(csv, "5,", "state", "healthy");
    free(csv);
}

static void test_loads_are_exact(void **state)
{
    char *csv = table_of("known", "load", "");
    (void)state;
    assert_int_equal(rows_count(csv), STEPS * 6);
    /* Shares 0.3, 0.3, 0.4: H = 0.6 ln (1 / 0.3) + 0.4 ln (1 / 0.4). */
    double h = -0.6 * log(0.3) - 0.4 * log(0.4);
    assert_close(rows_real(csv, "7,4,", "entropy"), h, 1e-12);
    assert_close(rows_real(csv, "7,4,", "normalized_entropy"), h / log(4), 1e-12); /* k = 1 */
    assert_close(rows_real(csv, "7,4,", "effective_experts"), exp(h), 1e-12);
    assert_close(rows_real(csv, "7,4,", "max_violation"), 0.6, 1e-12); /* 160 / 100 - 1 */
    /* Deviations -100, 20, 20, 60: squares 10000 + 400 + 400 + 3600 = 14400, over 4: 3600. */
    assert_close(rows_real(csv, "7,4,", "cv"), 0.6, 1e-12);
    /* Sorted 0, 120, 120, 160 with weights 2r - N - 1 = -3, -1, 1, 3: 480 / (4 x 400). */
    assert_close(rows_real(csv, "7,4,", "gini"), 0.3, 1e-12);
    assert_close(rows_real(csv, "7,4,", "top_share"), 0.4, 1e-12);
    assert_close(rows_real(csv, "7,4,", "tokens"), 400, 0);
    /* Refused tokens are tokens: 400 of them, of which 100 chose the busiest expert. */
    assert_close(rows_real(csv, "7,5,", "tokens"), 400, 0);
    assert_close(rows_real(csv, "7,5,", "top_share"), 0.25, 1e-12);
    assert_close(rows_real(csv, "7,5,", "dropped"), 50, 0);
    assert_close(rows_real(csv, "7,4,", "dropped"), 0, 0);
    free(csv);
    csv = table_of("known", "experts", "");
    assert_int_equal(rows_count(csv), STEPS * 6 * N_EXPERTS);
    assert_close(rows_real(csv, "7,4,0,", "share"), 0, 0);
    assert_close(rows_real(csv, "7,4,3,", "share"), 0.4, 1e-12);
    assert_close(rows_real(csv, "7,5,0,", "share"), 0.25, 1e-12); /* asked for, half of it refused */
    free(csv);
}

static void test_two_choices_are_judged_knowing_k(void **state)
{
    char *csv = table_of("pairs", "load", "");
    (void)state;
    /* All tokens take experts 0 and 1: H = ln 2, which is 1/2 of ln 4, and nothing of what k = 2 allows. */
    assert_close(rows_real(csv, "0,0,", "entropy"), log(2), 1e-12);
    assert_close(rows_real(csv, "0,0,", "normalized_entropy"), 0, 1e-12);
    assert_close(rows_real(csv, "0,0,", "tokens"), 200, 0);
    assert_close(rows_real(csv, "0,0,", "top_share"), 1, 1e-12);
    /* Shares 0.4, 0.2, 0.2, 0.2 of 400 choices. */
    double h = -0.4 * log(0.4) - 0.6 * log(0.2);
    assert_close(rows_real(csv, "0,1,", "normalized_entropy"), (h - log(2)) / log(2), 1e-12);
    assert_close(rows_real(csv, "0,1,", "top_share"), 0.8, 1e-12); /* 160 of 200 tokens */
    free(csv);
    csv = table_of("pairs", "onset", "");
    rows_expect(csv, "0,", "state", "collapsed");
    assert_close(rows_real(csv, "0,", "onset_step"), 0, 0);
    rows_expect(csv, "1,", "state", "healthy");
    free(csv);
}

static void test_capacity_does_not_hide_a_collapse(void **state)
{
    char *csv = table_of("capped", "load", "");
    (void)state;
    /* Shares asked for: 0.85 and three of 0.05, 1.8 effective experts; accepted: 3.98. */
    double h = -0.85 * log(0.85) - 0.15 * log(0.05);
    assert_close(rows_real(csv, "0,0,", "effective_experts"), exp(h), 1e-12);
    assert_close(rows_real(csv, "0,0,", "top_share"), 0.85, 1e-12);
    assert_close(rows_real(csv, "0,0,", "dropped"), 315, 0);
    free(csv);
    csv = table_of("capped", "verdict", "");
    rows_expect(csv, "run,", "verdict", "collapsed");
    rows_expect(csv, "capacity,", "verdict", "dropped");
    /* 315 / 400 = 0.7875 */
    assert_non_null(
        strstr(csv, "refused 78.8 % of the decisions (3150 of 4000; at most 78.8 %, in layer 0)"));
    free(csv);
    csv = table_of("small", "verdict", "");
    assert_null(strstr(csv, "capacity"));
    free(csv);
}

static void test_windows_hold_enough_tokens(void **state)
{
    /* 50 tokens a step, 200 needed: 4 steps. 62 steps make 15 windows, and 2 are left over. */
    char *csv = table_of("small", "load", "");
    (void)state;
    assert_int_equal(rows_count(csv), 15);
    assert_close(rows_real(csv, "4,0,", "tokens"), 200, 0);
    assert_close(rows_real(csv, "4,0,", "last_step"), 7, 0);
    assert_close(rows_real(csv, "56,0,", "tokens"), 200, 0);
    assert_close(rows_real(csv, "56,0,", "last_step"), 59, 0);
    free(csv);
    /* Windows that are asked for are given, and those that are too short are not judged. */
    csv = table_of("small", "onset", "--window 1");
    rows_expect(csv, "0,", "state", "no_data");
    free(csv);
    csv = table_of("small", "load", "--window 31");
    assert_int_equal(rows_count(csv), 2);
    assert_close(rows_real(csv, "31,0,", "tokens"), 1550, 0);
    free(csv);
}

static void test_too_short_a_run_is_not_judged(void **state)
{
    char *csv = table_of("short", "verdict", ""); /* 150 tokens in all */
    (void)state;
    rows_expect(csv, "run,", "verdict", "no data");
    assert_non_null(strstr(csv, "too few tokens to judge"));
    free(csv);
}

static void test_tokens_where_k_varies(void **state)
{
    char *csv = table_of("varying", "load", "");
    (void)state;
    /* 80 and 120 tokens in two steps by the metric `tokens`; 1.5 choices a token, and no other router
     * with 1.5 could be less even. */
    assert_int_equal(rows_count(csv), 10);
    assert_close(rows_real(csv, "2,0,", "tokens"), 200, 0);
    assert_close(rows_real(csv, "2,0,", "top_share"), 1, 1e-12);
    assert_close(rows_real(csv, "2,0,", "normalized_entropy"), 0, 1e-9);
    free(csv);
    /* One step a window: shares are of the step's own tokens, not of the mean's. */
    csv = table_of("varying", "load", "--window 1");
    assert_int_equal(rows_count(csv), 20);
    assert_close(rows_real(csv, "2,0,", "tokens"), 80, 0);
    assert_close(rows_real(csv, "2,0,", "top_share"), 1, 1e-12);
    assert_close(rows_real(csv, "3,0,", "tokens"), 120, 0);
    assert_close(rows_real(csv, "3,0,", "top_share"), 1, 1e-12);
    free(csv);
    csv = table_of("varying", "experts", "--window 1");
    assert_close(rows_real(csv, "3,0,1,", "share"), 0.5, 1e-12);
    free(csv);
}

static void test_routers_that_do_nothing(void **state)
{
    char *csv = table_of("known", "router", "");
    (void)state;
    rows_expect(csv, "0,", "alarm", "unchanged");
    assert_close(rows_real(csv, "0,", "agreement_with_start"), 1, 1e-12);
    rows_expect(csv, "2,", "alarm", "no opinion");
    assert_close(rows_real(csv, "2,", "router_entropy"), 0.99, 1e-9);
    assert_true(rows_real(csv, "2,", "agreement_with_start") < 0.5);
    rows_expect(csv, "1,", "alarm", "none"); /* collapsed is not balanced */
    rows_expect(csv, "5,", "alarm", "none"); /* changed since step 0, entropy 0.5 */
    free(csv);
}

static void test_verdict_names_layers_and_steps(void **state)
{
    char *csv = table_of("known", "verdict", "");
    (void)state;
    rows_expect(csv, "run,", "verdict", "collapsed");
    assert_non_null(strstr(csv, "1 of 6 MoE layers collapsed (layer 1 since step 30)"));
    assert_non_null(strstr(csv, "1.0 of 4 effective experts"));
    assert_non_null(strstr(csv, "3 dead (0, 1, 3; the first since step 30)"));
    assert_non_null(strstr(csv, "layer 1: collapsed onto one expert since step 30"));
    assert_non_null(strstr(csv, "layer 3: in breach since step 58"));
    assert_non_null(strstr(csv, "layer 4: not collapsed by the rule, but with dead experts"));
    assert_non_null(strstr(csv, "layer 5: healthy"));
    assert_non_null(strstr(csv, "layer 0: balanced but indifferent (unchanged): "));
    assert_non_null(strstr(csv, "layer 2: balanced but indifferent (no opinion): "));
    assert_non_null(strstr(csv, "rule 3:"));
    assert_non_null(strstr(csv, "60 windows of 1 step (400 tokens)"));
    assert_non_null(strstr(csv, "moescope compare")); /* what it cost is not said here */
    assert_null(strstr(csv, "thresholds changed"));
    free(csv);
}

static void test_unbalanced_is_not_healthy(void **state)
{
    /* 20, 10, 10, 10: H = 0.4 ln 2.5 + 0.6 ln 5 = 0.961 ln 4. Of the pairs' layers one has collapsed. */
    char *csv = table_of("small", "verdict", "");
    (void)state;
    rows_expect(csv, "run,", "verdict", "healthy");
    free(csv);
    csv = table_of("known", "verdict", "");
    rows_expect(csv, "layer 4,", "verdict", "dead experts"); /* 0.786 ln 4, one dead */
    free(csv);
    csv = table_of("pairs", "verdict", ""); /* of what k = 2 allows 0.92; 0.94 is balanced enough */
    assert_null(strstr(csv, "layer 1,unbalanced"));
    free(csv);
}

static void test_dead_experts_since_when(void **state)
{
    char *csv = table_of("known", "dead", "");
    (void)state;
    assert_int_equal(rows_count(csv), 7); /* three in layer 1, three in layer 3, one in layer 4 */
    assert_close(rows_real(csv, "1,0,", "since_step"), 30, 0);
    assert_close(rows_real(csv, "1,0,", "windows"), 30, 0);
    assert_close(rows_real(csv, "3,3,", "since_step"), 58, 0);
    assert_close(rows_real(csv, "4,0,", "since_step"), 0, 0);
    free(csv);
}

static void test_thresholds_can_be_changed(void **state)
{
    (void)state;
    char *csv = table_of("known", "onset", "--dead-share 0.25");
    rows_expect(csv, "4,", "state", "collapsed"); /* one dead of four is now enough */
    free(csv);
    csv = table_of("known", "onset", "--lasting 2");
    rows_expect(csv, "3,", "state", "collapsed");
    free(csv);
    csv = table_of("known", "verdict", "--lasting 2");
    assert_non_null(strstr(csv, "thresholds changed by options"));
    free(csv);
}

static void test_exit_statuses(void **state)
{
    (void)state;
    fixture_status(&fixture, "--run known", 0, "");
    fixture_status(&fixture, "--run known --exit-code", 1, "");
    fixture_status(&fixture, "--run known --exit-code --table load", 1, "");
    fixture_status(&fixture, "--run small --exit-code", 0, "");
    fixture_status(&fixture, "--run small --exit-code --entropy-below 0.99", 1, "");
    fixture_status(&fixture, "--run known --split valid", 3, "no loads of split 'valid'");
    fixture_status(&fixture, "--run known --lasting 0", 2, "at least 1");
    fixture_status(&fixture, "--run known --table loads", 2, "did you mean 'load'");
    fixture_status(&fixture, "--run nobody", 3, "nobody");
}

/* What --print-sql shows runs in the stock shell and gives the same loads. */
static void test_sql_in_the_shell(void **state)
{
    char *csv = fixture_sql(&fixture, "--run known --table load");
    (void)state;
    /* step, layer, expert, asked for, refused */
    assert_non_null(strstr(csv, "\n7,4,3,160,0\n"));
    assert_non_null(strstr(csv, "\n7,5,0,100,50\n"));
    free(csv);
}

/* Loads 80, 40, 0, 0 and 120, 60, 0, 0 in turn; two steps make a window. */
static void test_steps_alone_and_smoothed(void **state)
{
    char *csv = table_of("varying", "steps", "");
    double h = -2.0 / 3 * log(2.0 / 3) - 1.0 / 3 * log(1.0 / 3);
    (void)state;
    assert_int_equal(rows_count(csv), 20);
    assert_close(rows_real(csv, "3,0,", "tokens"), 120, 0);
    assert_close(rows_real(csv, "3,0,", "experts_per_token"), 1.5, 1e-12);
    assert_close(rows_real(csv, "3,0,", "effective_experts"), exp(h), 1e-12);
    assert_close(rows_real(csv, "3,0,", "smooth_max_violation"), 200 / 75.0 - 1, 1e-12);
    assert_close(rows_real(csv, "3,0,", "smooth_dead"), 2, 0);
    free(csv);
    csv = table_of("known", "steps", "--window 10");
    /* Layer 1 has 100 an expert up to step 29, then 400 on one: in steps 26 to 35, 400 and 600 in all. */
    assert_close(rows_real(csv, "35,1,", "effective_experts"), 1, 1e-12);
    assert_close(rows_real(csv, "35,1,", "smooth_top_share"), (400 + 6 * 400) / 4000.0, 1e-12);
    assert_close(rows_real(csv, "35,1,", "smooth_dead"), 0, 0);
    assert_close(rows_real(csv, "39,1,", "smooth_dead"), 3, 0);
    /* Where a window ends, smoothed is what the window has. */
    char *load = table_of("known", "load", "--window 10");
    assert_close(rows_real(csv, "39,1,", "smooth_normalized_entropy"),
                 rows_real(load, "30,1,", "normalized_entropy"), 1e-12);
    assert_close(rows_real(csv, "29,4,", "smooth_gini"), rows_real(load, "20,4,", "gini"), 1e-12);
    free(load);
    free(csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_and_onsets),
        cmocka_unit_test(test_loads_are_exact),
        cmocka_unit_test(test_two_choices_are_judged_knowing_k),
        cmocka_unit_test(test_capacity_does_not_hide_a_collapse),
        cmocka_unit_test(test_windows_hold_enough_tokens),
        cmocka_unit_test(test_too_short_a_run_is_not_judged),
        cmocka_unit_test(test_tokens_where_k_varies),
        cmocka_unit_test(test_routers_that_do_nothing),
        cmocka_unit_test(test_verdict_names_layers_and_steps),
        cmocka_unit_test(test_unbalanced_is_not_healthy),
        cmocka_unit_test(test_dead_experts_since_when),
        cmocka_unit_test(test_thresholds_can_be_changed),
        cmocka_unit_test(test_exit_statuses),
        cmocka_unit_test(test_sql_in_the_shell),
        cmocka_unit_test(test_steps_alone_and_smoothed),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
