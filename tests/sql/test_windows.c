/* Loads summed over windows of a hundred training steps: what the view says is at every moment what the steps
 * say, whether windows are closed, open, cut short by an end, or taken back by a resume. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support.h"
#include "tests/trial.h"

static const struct moescope_layer layers[] = {{.layer = 1, .router = "topk", .n_experts = 2, .k = 1},
                                               {.layer = 4, .router = "topk", .n_experts = 2, .k = 1}};

/* Steps first .. last: expert 0 of layer 1 has as many assignments as the step's number, expert 1 one
 * dropped. */
static void train(struct trial *t, int64_t first, int64_t last)
{
    static const int64_t dropped[2] = {0, 1};
    static const double gates[2] = {0.25, 0.5}, probabilities[2] = {0.75, 0.125};
    struct error err;
    for (int64_t step = first; step <= last; step++) {
        struct moescope_batch *b = moescope_batch_new(t->writer, &err);
        const int64_t assignments[2] = {step, 3};
        struct moescope_load load = {.layer = 1,
                                     .n_experts = 2,
                                     .assignments = assignments,
                                     .dropped = dropped,
                                     .gate_sum = gates,
                                     .probability_sum = probabilities};
        assert_non_null(b);
        moescope_batch_metric(b, step, "train", "loss", 1);
        moescope_batch_load(b, step, "train", &load);
        load.domain_id = t->domain_ids[0];
        moescope_batch_load(b, step, "train", &load); /* by domain as well: of no window */
        load.domain_id = 0;
        load.layer = 4;
        moescope_batch_load(b, step, "train", &load);
        moescope_batch_load(b, step, "valid", &load);
        test_must(moescope_batch_commit(b, &err), &err);
    }
    test_must(moescope_writer_drain(t->writer, &err), &err);
}

/* Against the steps themselves, window by window. */
static void expect_windows(struct trial *t, const char *firsts, int n_closed)
{
    char closed[32];
    trial_expect(t,
                 "SELECT group_concat(first_step || '-' || last_step, ' ') FROM (SELECT DISTINCT first_step, "
                 "last_step "
                 "FROM expert_load_window ORDER BY 1);",
                 firsts);
    trial_expect(t,
                 "SELECT count(*) FROM (SELECT run_id, first_step, last_step, layer, expert, assignments, "
                 "dropped, gate_sum, "
                 "probability_sum FROM expert_load_window EXCEPT SELECT run_id, step / 100 * 100, max(step), "
                 "layer, expert, "
                 "sum(assignments), sum(dropped), sum(gate_sum), sum(probability_sum) FROM expert_load WHERE "
                 "split = 'train' "
                 "AND domain_id IS NULL GROUP BY run_id, step / 100, layer, expert);",
                 "0\n");
    snprintf(closed, sizeof closed, "%d\n", n_closed);
    trial_expect(t, "SELECT count(DISTINCT first_step) FROM load_window_block;", closed);
}

static void test_windows(void **state)
{
    struct trial t;
    struct error err;
    const struct moescope_writer_options options = {.gate_bits = 8};
    (void)state;
    trial_open(&t);
    trial_run(&t, "first", layers, 2, 8);
    train(&t, 0, 49);
    expect_windows(&t, "0-49\n", 0);
    /* Of step s expert 0 has s assignments: 0 + ... + 49. */
    trial_expect(
        &t, "SELECT assignments, dropped, gate_sum, probability_sum FROM expert_load_window WHERE layer = 1;",
        "1225|0|12.5|37.5\n150|50|25.0|6.25\n");
    train(&t, 50, 99);
    expect_windows(&t, "0-99\n", 1);
    train(&t, 100, 229);
    expect_windows(&t, "0-99 100-199 200-229\n", 2);
    trial_end(&t, "interrupted"); /* the end closes what is open */
    expect_windows(&t, "0-99 100-199 200-229\n", 3);

    test_must(moescope_resume_run(t.lb, "first", 150, &t.run_id, &err), &err);
    expect_windows(&t, "0-99 100-149\n", 1);
    test_must(moescope_writer_open(&t.writer, t.lb, t.run_id, &options, &err), &err);
    train(&t, 150, 249);
    expect_windows(&t, "0-99 100-199 200-249\n", 2);
    trial_end(&t, "interrupted");

    test_must(moescope_resume_run(t.lb, "first", 250, &t.run_id, &err),
              &err); /* the short window is taken back */
    expect_windows(&t, "0-99 100-199 200-249\n", 2);
    test_must(moescope_writer_open(&t.writer, t.lb, t.run_id, &options, &err), &err);
    train(&t, 250, 299);
    trial_end(&t, "finished");
    expect_windows(&t, "0-99 100-199 200-299\n", 3);
    trial_release(&t);
}

/* Odd sums, one of them not finite, in two windows of which the writer sees the first from within; the second
 * is summed as it comes. */
static void train_oddly(struct trial *t, int64_t first, int64_t last)
{
    static const int64_t assignments[2] = {7, 9};
    struct error err;
    for (int64_t step = first; step <= last; step++) {
        struct moescope_batch *b = moescope_batch_new(t->writer, &err);
        const double gates[2] = {1.0 / (3.0 + (double)step), 1e6 / (7.0 + (double)step)};
        const double probabilities[2] = {step % 100 == 50 ? NAN : 0.1 * (double)step, 0.7};
        const struct moescope_load load = {.layer = 1,
                                           .n_experts = 2,
                                           .assignments = assignments,
                                           .gate_sum = gates,
                                           .probability_sum = probabilities};
        assert_non_null(b);
        moescope_batch_metric(b, step, "train", "loss", 1);
        moescope_batch_load(b, step, "train", &load);
        test_must(moescope_batch_commit(b, &err), &err);
    }
    test_must(moescope_writer_drain(t->writer, &err), &err);
}

static void test_sums_at_hand(void **state)
{
    const struct moescope_writer_options options = {.gate_bits = 8};
    struct trial t;
    struct error err;
    (void)state;
    trial_open(&t);
    trial_run(&t, "first", layers, 2, 8);
    train_oddly(&t, 0, 39);
    test_must(moescope_writer_close(t.writer, &err), &err);
    test_must(moescope_writer_open(&t.writer, t.lb, t.run_id, &options, &err), &err);
    train_oddly(&t, 40, 199);
    trial_expect(&t,
                 "SELECT first_step, last_step, layer, json_array_length(experts) FROM load_window_block;"
                 "SELECT count(*), sum(w.assignments = s.a), sum(abs(w.gate_sum / s.g - 1) < 1e-14), "
                 "sum(w.probability_sum IS NULL), sum(abs(w.probability_sum / s.p - 1) < 1e-14) "
                 "FROM expert_load_window AS w JOIN (SELECT step / 100 * 100 AS first_step, expert, "
                 "sum(assignments) AS a, sum(gate_sum) AS g, sum(probability_sum) AS p FROM expert_load "
                 "GROUP BY 1, 2) AS s USING (first_step, expert);",
                 "0|99|1|2\n100|199|1|2\n4|4|4|2|2\n");
    trial_end(&t, "finished");
    trial_release(&t);
}

/* A sum that is not finite in one step is unknown in its window. */
static void test_unknown_sums(void **state)
{
    struct trial t;
    (void)state;
    trial_open(&t);
    trial_run(&t, "first", layers, 2, 8);
    train(&t, 0, 99);
    trial_end(&t, "finished");
    trial_stop(&t);
    struct test_run r = test_run(
        "sqlite3 '%s' \"UPDATE load_block SET experts = json_replace(experts, '$[0][2]', NULL) WHERE "
        "step = 7 AND layer = 1; DELETE FROM load_window_block\"",
        t.path);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    trial_expect(&t, "SELECT expert, gate_sum FROM expert_load_window WHERE layer = 1;", "0|\n1|50.0\n");
    trial_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_windows), cmocka_unit_test(test_sums_at_hand),
                                       cmocka_unit_test(test_unknown_sums)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
