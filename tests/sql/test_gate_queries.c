/* The canned queries about studies of single gates, on runs small enough to answer by hand.
 *
 * Two seeds of "four" over the bases base.seed0 and base.seed1, and "again", seed 0's gate with another seed
 * of its own; the probe is six images, two experts of three ("more", of four experts, is compared with none):
 *   four.seed0   0 0 0 1 1 1      again.seed0  0 0 1 1 2 2      four.seed1   1 1 1 0 0 0
 * Together in both of the first two are 2 pairs of images, in one 6, in the other 3, of 15: by chance
 * 6 * 3 / 15 = 1.2, at most (6 + 3) / 2, so that the adjusted Rand index is 0.8 / 3.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/support.h"
#include "tests/trial.h"

enum { IMAGES = 6, LAST = 7 };
static struct trial trial;

static void add_probe(struct moescope_batch *b, const int32_t expert[IMAGES], int n_experts)
{
    static const int32_t ids[2] = {0, 1};
    static const float gate = 0.5F;

    for (int i = 0; i < IMAGES; i++) {
        const struct moescope_sequence q = {
            .document_id = trial.document_ids[0], .offset = i, .n_tokens = 1, .ids = ids};
        int handle = moescope_batch_sequence(b, LAST, "probe", &q);
        moescope_batch_routing(
            b, handle,
            &(struct moescope_block){.n_experts = n_experts, .k = 1, .expert = &expert[i], .gate = &gate});
    }
}

static void add_metric(struct moescope_batch *b, const char *split, const char *name, double value)
{
    moescope_batch_metric(b, LAST, split, name, value);
}

/* Without exits 8 of 10 on the probe and 0.75 on valid, for 100 + 60. Thresholds: at .05 as good, for 40 more
 * than the base; at .50 a point worse, for 24; at .95 like the base, for nothing. */
static void add_exits(struct moescope_batch *b)
{
    static const struct {
        const char *at;
        double probe, valid, cost;
    } points[] = {{"5", 0.80, 0.75, 140}, {"50", 0.79, 0.74, 124}, {"95", 0.5, 0.5, 100}};
    char name[64];

    add_metric(b, "probe", "accuracy", 0.8);
    add_metric(b, "valid", "accuracy", 0.75);
    add_metric(b, "valid", "multiply_adds", 160);
    add_metric(b, "valid", "multiply_adds_base", 100);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "exit_alpha_%s_accuracy", points[i].at);
        add_metric(b, "probe", name, points[i].probe);
        add_metric(b, "valid", name, points[i].valid);
        snprintf(name, sizeof name, "exit_alpha_%s_multiply_adds", points[i].at);
        add_metric(b, "probe", name, points[i].cost);
        add_metric(b, "valid", name, points[i].cost + 1);
    }
}

/* Expert 1 sees few test images. */
static void add_experts(struct moescope_batch *b, double shift)
{
    static const char *const figures[] = {"accuracy", "alone", "base"};
    static const double seen[] = {1.0, 0.875, 0.75}, valid[] = {0.75, 0.5, 0.75};
    char name[64];

    add_metric(b, "seen", "expert_0_images", 200);
    add_metric(b, "valid", "expert_0_images", 100);
    add_metric(b, "seen", "expert_1_images", 200);
    add_metric(b, "valid", "expert_1_images", 40);
    for (int e = 0; e < 2; e++) {
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "expert_%d_%s", e, figures[i]);
            add_metric(b, "seen", name, seen[i] + (i < 2 ? shift : 0.0));
            add_metric(b, "valid", name, valid[i]);
        }
    }
}

static void add_others(struct moescope_batch *b, double shift)
{
    static const char *const ways[] = {"sample", "class", "true_class"};
    char name[64];

    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "accuracy_by_%s", ways[i]);
        add_metric(b, "valid", name, 0.75 - 0.125 * i + shift);
        snprintf(name, sizeof name, "accuracy_by_%s_alone", ways[i]);
        add_metric(b, "valid", name, 0.5);
    }
    add_metric(b, "probe", "milliseconds_1_base", 2);
    add_metric(b, "probe", "milliseconds_1_expert", shift > 0 ? 4 : 3);
    add_metric(b, "probe", "milliseconds_1_exits", 2.5);
    add_metric(b, "probe", "milliseconds_64_base", 1);
    add_metric(b, "probe", "milliseconds_64_expert", 1.5);
    add_metric(b, "probe", "milliseconds_64_exits", 1.25);
    add_metric(b, "probe", "milliseconds_threshold", 0.9);
}

static void add_run(const char *name, int seed, int base, int gate_seed, const int32_t expert[IMAGES],
                    int n_experts)
{
    const struct moescope_layer layer = {.router = "single_gate", .n_experts = n_experts, .k = 1};
    double shift = seed ? 0.125 : 0.0;
    struct error err;

    trial_run(&trial, name, &layer, 1, 8);
    struct moescope_batch *b = moescope_batch_new(trial.writer, &err);
    assert_non_null(b);
    add_probe(b, expert, n_experts);
    if (strncmp(name, "four", 4) == 0) {
        add_exits(b);
        add_experts(b, -shift);
        add_others(b, shift);
    }
    test_must(moescope_batch_commit(b, &err), &err);
    trial_end(&trial, "finished");
    struct test_run r = test_run(
        "sqlite3 '%s' \"UPDATE run SET seed = %d, config = json_set(config, '\\$.\\\"gate.base\\\"', "
        "'log/base.seed%d.safetensors', '\\$.\\\"gate.seed\\\"', %d) WHERE name = '%s'\"",
        trial.path, seed, base, gate_seed, name);
    if (r.status != 0)
        fail_msg("%s", r.err);
    test_run_release(&r);
}

static int write_all(void **state)
{
    static const int32_t halves[] = {0, 0, 0, 1, 1, 1}, thirds[] = {0, 0, 1, 1, 2, 2},
                         turned[] = {1, 1, 1, 0, 0, 0};

    (void)state;
    trial_open(&trial);
    add_run("four.seed0", 0, 0, -1, halves, 3);
    add_run("again.seed0", 0, 0, 5, thirds, 3);
    add_run("four.seed1", 1, 1, -1, turned, 3);
    add_run("same.seed0", 0, 0, 0, halves, 3); /* four.seed0's gate */
    add_run("more.seed0", 0, 0, -1, thirds, 4);
    trial_stop(&trial);
    trial_read(&trial);
    return 0;
}

static int forget_all(void **state)
{
    (void)state;
    trial_release(&trial);
    return 0;
}

static void expect(const char *query, const char *expected)
{
    char *out = trial_shell(&trial, sql_text(query));

    if (strcmp(out, expected) != 0)
        fail_msg("%s:\n%sinstead of\n%s", query, out, expected);
    free(out);
}

/* four.seed0 and four.seed1 are the same but for names; again.seed0 is as alike to either. */
static void test_stability(void **state)
{
    double mean, lowest, highest;
    char *out = trial_shell(&trial, sql_text("queries/study_gate_stability"));

    (void)state;
    assert_int_equal(sscanf(out, "base|3|one base|1|6.0|%lf|%lf|%lf", &mean, &lowest, &highest), 3);
    assert_close(mean, 0.8 / 3.3, 1e-9);
    const char *second = strchr(out, '\n') + 1;
    assert_int_equal(sscanf(second, "base|3|two bases|2|6.0|%lf|%lf|%lf", &mean, &lowest, &highest), 3);
    assert_close(mean, (1 + 0.8 / 3.3) / 2, 1e-9);
    assert_close(lowest, 0.8 / 3.3, 1e-9);
    assert_close(highest, 1.0, 0.0);
    assert_string_equal(strchr(second, '\n'), "\n"); /* no other line */
    free(out);
}

/* Seed 1 is an eighth better with its base; gaps of expert 0 alone count, that of seed 1 an eighth less. */
static void test_figures(void **state)
{
    (void)state;
    expect("queries/study_gate_granularity", "four|sample|2|0.8125|0.75|0.875|0.5|0.5|0.5\n"
                                             "four|class|2|0.6875|0.625|0.75|0.5|0.5|0.5\n"
                                             "four|true_class|2|0.5625|0.5|0.625|0.5|0.5|0.5\n");
    expect("queries/study_gate_gaps", "four|2|1.0|0.1875|0.125|0.25|0.3125|0.25|0.375|0.0\n");
    expect("queries/study_gate_experts", "four|0|0|200.0|100.0|1.0|0.75|0.25|0.875|0.5|0.375|0.0\n"
                                         "four|0|1|200.0|40.0|1.0|0.75|0.25|0.875|0.5|0.375|0.0\n"
                                         "four|1|0|200.0|100.0|0.875|0.75|0.125|0.75|0.5|0.25|0.0\n"
                                         "four|1|1|200.0|40.0|0.875|0.75|0.125|0.75|0.5|0.25|0.0\n");
    expect("queries/study_gate_latency", "four|1|2|2.0|1.75|1.5|2.0|1.25|1.25|1.25|0.9\n"
                                         "four|64|2|1.0|1.5|1.5|1.5|1.25|1.25|1.25|0.9\n");
}

/* Half of an expert: 30 more than the base; a quarter: 15. */
static void test_exits(void **state)
{
    (void)state;
    expect("queries/study_gate_exits",
           "four|alpha|within 0.001|2|0.05|0.75|0.75|0.75|0.0|0.0|0.0|141.0\n"
           "four|alpha|0.5 experts|2|0.5|0.74|0.74|0.74|-0.01|-0.01|-0.01|125.0\n"
           "four|alpha|0.25 experts|2|0.95|0.5|0.5|0.5|-0.25|-0.25|-0.25|101.0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stability),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_exits),
    };
    return cmocka_run_group_tests(tests, write_all, forget_all);
}
