/* Loads read in bulk, and handed to a monitor: order, tokens where k varies, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/support.h"
#include "tests/trial.h"

enum { N = 2 };
static const struct moescope_layer layers[] = {{.layer = 1, .router = "topk", .n_experts = N, .k = 1},
                                               {.layer = 4, .router = "topp", .n_experts = N, .k = 0}};

static void add_loads(struct trial *t, struct moescope_batch *b, int64_t step, const char *split)
{
    static const int64_t dropped[N] = {0, 1};
    static const double gates[N] = {0.25, 0.5}, probabilities[N] = {6.75, 2.125};
    const int64_t assignments[N] = {step, 3};
    struct moescope_load load = {.layer = 4,
                                 .n_experts = N,
                                 .assignments = assignments,
                                 .dropped = dropped,
                                 .gate_sum = gates,
                                 .probability_sum = probabilities};
    moescope_batch_load(b, step, split, &load);
    load.layer = 1;
    moescope_batch_load(b, step, split, &load);
    load.domain_id = t->domain_ids[0];
    moescope_batch_load(b, step, split, &load); /* a part of it: not handed out */
    moescope_batch_layer_metric(b, step, split, 1, "router_entropy", 0.5 + (double)step);
}

/* Steps 0, 1, 2 and 5; the running total of tokens is not logged at step 1. */
static void write_run(struct trial *t)
{
    static const struct {
        int64_t step;
        double tokens;
    } steps[] = {{0, 10}, {1, NAN}, {2, 40}, {5, 100}};
    struct error err;
    trial_run(t, "run", layers, 2, 8);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct moescope_batch *b = moescope_batch_new(t->writer, &err);
        assert_non_null(b);
        add_loads(t, b, steps[i].step, "train");
        if (!isnan(steps[i].tokens))
            moescope_batch_metric(b, steps[i].step, "train", "tokens", steps[i].tokens);
        if (steps[i].step == 5) {
            add_loads(t, b, 5, "valid");
            moescope_batch_document_loss(b, 5, "valid", t->document_ids[0], 7, 20, 1);
            moescope_batch_document_loss(b, 5, "valid", t->document_ids[1], 4, 20, 1);
        }
        test_must(moescope_batch_commit(b, &err), &err);
    }
    trial_end(t, "finished");
}

static int open_all(void **state)
{
    static struct trial t;
    *state = &t;
    trial_open(&t);
    write_run(&t);
    trial_stop(&t);
    trial_read(&t);
    return 0;
}

static int close_all(void **state)
{
    trial_release(*state);
    return 0;
}

/* The next row is of that step and layer, with so many tokens and that entropy. */
static void expect_next(struct load_steps *ls, int64_t step, int layer, double tokens, double entropy)
{
    struct load_step s;
    struct error err;
    assert_int_equal(load_steps_next(ls, &s, &err), 1);
    assert_int_equal(s.step, step);
    assert_int_equal(s.layer, layer);
    assert_int_equal(s.n_experts, N);
    assert_int_equal(s.load.assignments[0], step);
    assert_int_equal(s.load.assignments[1], 3);
    assert_int_equal(s.load.dropped[1], 1);
    assert_close(s.load.tokens, tokens, 1e-12);
    if (isnan(entropy))
        assert_nan(s.load.router_entropy);
    else
        assert_close(s.load.router_entropy, entropy, 1e-12);
}

/* Probabilities add up to 8.875: of layer 1, whose k tells its tokens, and of step 1, of which the total is
 * not known. From step 2 to 5 60 tokens passed, 20 a step; before step 2, 30 in two. */
static void test_steps_in_order(void **state)
{
    struct trial *t = *state;
    struct load_steps *ls;
    struct load_step s;
    struct error err;
    test_must(load_steps_open(&ls, t->lb, t->run_id, "train", -1, &err), &err);
    expect_next(ls, 0, 1, 9, 0.5);
    expect_next(ls, 0, 4, 10, NAN);
    expect_next(ls, 1, 1, 9, 1.5);
    expect_next(ls, 1, 4, 9, NAN);
    expect_next(ls, 2, 1, 9, 2.5);
    expect_next(ls, 2, 4, 15, NAN);
    expect_next(ls, 5, 1, 9, 5.5);
    expect_next(ls, 5, 4, 20, NAN);
    assert_int_equal(load_steps_next(ls, &s, &err), 0);
    load_steps_close(ls);
    test_must(load_steps_open(&ls, t->lb, t->run_id, "valid", -1, &err), &err);
    expect_next(ls, 5, 1, 9, 5.5);
    expect_next(ls, 5, 4, 11, NAN); /* of its documents */
    load_steps_close(ls);
    test_must(load_steps_open(&ls, t->lb, t->run_id, "train", 2, &err), &err);
    expect_next(ls, 5, 1, 9, 5.5);
    load_steps_close(ls);
}

static void open_monitor(struct monitor *m, int n_experts)
{
    const struct monitor_setting setting = {collapse_rule_default(), 0, 1};
    const struct monitor_layer of[] = {{1, n_experts, 1, false}, {4, N, 0, false}};
    struct error err;
    test_must(monitor_init(m, &setting, of, 2, &err), &err);
}

/* Whether at once or a few steps at a time. */
static void test_monitor_read(void **state)
{
    struct trial *t = *state;
    for (int64_t most = 0; most <= 3; most++) {
        struct monitor m;
        struct error err;
        int64_t last = -1, before;
        open_monitor(&m, N);
        do {
            before = last;
            test_must(monitor_read(&m, t->lb, t->run_id, "train", before, most, &last, &err), &err);
        } while (last > before);
        assert_int_equal(last, 5);
        assert_int_equal(m.n_windows, 4);
        assert_int_equal(m.windows[3].first_step, 5);
        assert_close(monitor_load(&m, 1, 3, 0), 5, 0);
        assert_close(monitor_load(&m, 1, 3, 1), 4, 0);
        assert_close(m.series[0].summary[3].n_tokens, 9, 0);
        assert_close(m.series[1].summary[3].n_tokens, 20, 0);
        assert_close(m.series[0].dropped[2], 1, 0);
        monitor_release(&m);
    }
}

static void expect_refused(struct logbook *lb, int64_t run_id, int n_experts, const char *words)
{
    struct monitor m;
    struct error err;
    int64_t last;
    open_monitor(&m, n_experts);
    assert_int_equal(monitor_read(&m, lb, run_id, "train", -1, 0, &last, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    if (!strstr(err.text, words))
        fail_msg("'%s' is not in '%s'", words, err.text);
    monitor_release(&m);
}

static void test_what_does_not_fit_is_refused(void **state)
{
    struct trial *t = *state;
    struct error err;
    expect_refused(t->lb, t->run_id, N + 1, "a load of layer 1 with 2 experts");
    moescope_close(t->lb);
    test_sql(t->path, "UPDATE load_block SET experts = '[[1,0,1,1],[2,0,' WHERE step = 2 AND layer = 1;");
    test_must(logbook_open(&t->lb, t->path, &err), &err);
    expect_refused(t->lb, t->run_id, N, "step 2, layer 1: its load cannot be read");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_in_order),
        cmocka_unit_test(test_monitor_read),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
