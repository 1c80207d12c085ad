/* The canned queries about studies, on a study small enough to answer by hand.
 *
 * One layer of four experts; two valid and two probe sequences of four tokens each, both of the same ids:
 *   document 1 (english)  1 2 1 2, then 1   losses of the dense run 1 2 3 4
 *   document 2 (python)   3 3 3 3, then 3   losses 5 6 7 8
 * "topp" gives an id as many experts as its number, 0 1 2 in this order, but for id 3, which begins with
 * expert 3 at odd positions and, at the first probe (step 2), at all. Ten training steps of 4 tokens have 8
 * decisions each. Two seeds, alike but that the second loses 0.25 more on all of document 2. Ids 1, 2, 3
 * occur 7, 5 and 1 times in training: the first half, to 80 %, to 95 %. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"
#include "tests/trial.h"

enum { TOKENS = 4, EXPERTS = 4, LAST = 9 };
static struct trial trial;
static const int32_t ids[2][TOKENS + 1] = {{1, 2, 1, 2, 1}, {3, 3, 3, 3, 3}};

static void add_decisions(struct moescope_batch *b, int64_t step, int handle, const int32_t *input)
{
    int32_t expert[3 * TOKENS], offsets[TOKENS + 1] = {0};
    float gate[3 * TOKENS];
    int n = 0;

    for (int t = 0; t < TOKENS; t++) {
        for (int slot = 0; slot < input[t]; slot++) {
            expert[n] = slot == 0 && input[t] == 3 && (step == 2 || t % 2) ? 3 : slot;
            gate[n++] = 0.25F;
        }
        offsets[t + 1] = n;
    }
    moescope_batch_routing(
        b, handle,
        &(struct moescope_block){.n_experts = EXPERTS, .offsets = offsets, .expert = expert, .gate = gate});
}

static void add_pass(struct moescope_batch *b, int64_t step, const char *split, const double shift[2],
                     bool routed)
{
    for (int d = 0; d < 2; d++) {
        float loss[TOKENS], sum = 0;
        for (int t = 0; t < TOKENS; t++)
            sum += loss[t] = (float)(1 + 4 * d + t + shift[d]);
        struct moescope_sequence q = {
            .document_id = trial.document_ids[d], .n_tokens = TOKENS, .ids = ids[d], .loss = loss};
        int handle = moescope_batch_sequence(b, step, split, &q);
        if (routed)
            add_decisions(b, step, handle, ids[d]);
        moescope_batch_document_loss(b, step, split, trial.document_ids[d], TOKENS, 10, (double)sum);
    }
}

static void add_load(struct moescope_batch *b, int64_t step, const char *split,
                     const int64_t assignments[EXPERTS])
{
    static const double sums[EXPERTS] = {1, 1, 1, 1};

    moescope_batch_load(
        b, step, split,
        &(struct moescope_load){
            .n_experts = EXPERTS, .assignments = assignments, .gate_sum = sums, .probability_sum = sums});
}

static void add_run(const char *name, bool routed)
{
    static const double seen[2] = {-0.5, -0.5};
    const double shift[2] = {0, strstr(name, ".seed1") ? 0.25 : 0};
    static const struct moescope_layer layer = {.router = "topp", .n_experts = EXPERTS};
    static const int64_t training[EXPERTS] = {4, 4, 0, 0}, valid[EXPERTS] = {6, 6, 4, 2};
    struct error err;

    trial_run(&trial, name, &layer, routed ? 1 : 0, 8);
    struct moescope_batch *b = moescope_batch_new(trial.writer, &err);
    assert_non_null(b);
    for (int64_t step = 0; step <= LAST; step++) {
        moescope_batch_metric(b, step, "train", "tokens", 4.0 * (double)(step + 1));
        if (routed)
            add_load(b, step, "train", training);
    }
    add_pass(b, 2, "probe", shift, routed);
    add_pass(b, LAST, "probe", shift, routed);
    add_pass(b, LAST, "valid", shift, routed);
    add_pass(b, LAST, "seen", seen, routed);
    if (routed) {
        moescope_batch_metric(b, LAST, "valid", "loss", 4.5);
        moescope_batch_metric(b, LAST, "valid", "accuracy", 0.75);
        moescope_batch_metric(b, LAST, "valid", "multiply_adds", 1000);
        for (int i = 1; i <= 2; i++) { /* the second threshold is better on the probe */
            char figure[64];
            snprintf(figure, sizeof figure, "exit_alpha_%d_accuracy", 50 * i - 45);
            moescope_batch_metric(b, LAST, "valid", figure, 0.5 / i);
            moescope_batch_metric(b, LAST, "probe", figure, 0.25 * i);
            snprintf(figure, sizeof figure, "exit_alpha_%d_multiply_adds", 50 * i - 45);
            moescope_batch_metric(b, LAST, "valid", figure, 300 * i);
        }
        moescope_batch_metric(b, LAST, "valid", "exit_confidence_5_accuracy", 0.75);
        moescope_batch_metric(b, LAST, "valid", "exit_confidence_5_multiply_adds", 900);
        moescope_batch_metric(b, LAST, "valid", "subset_1_likeliest", strstr(name, ".seed1") ? 0.5 : 0.25);
        moescope_batch_metric(b, LAST, "valid", "score", strstr(name, ".seed1") ? 0.5 : 0.25);
        moescope_batch_metric(b, LAST, "valid", "milliseconds_64_p99", 8);
        moescope_batch_metric(b, LAST, "valid", "subset_1_random", 0.125);
        moescope_batch_metric(b, LAST, "valid", "subset_1_random_deviation", 0.0625);
        moescope_batch_metric(b, LAST, "valid", "subset_2_likeliest", 0.625);
        moescope_batch_metric(b, LAST, "valid", "subset_2_random", 0.5);
        moescope_batch_metric(b, LAST, "valid", "subset_2_random_deviation", 0.125);
        moescope_batch_metric(b, LAST, "valid", "subset_2_best", 1);
        add_load(b, LAST, "valid", valid);
        moescope_batch_layer_metric(b, LAST, "valid", 0, "router_entropy", 0.5);
    }
    assert_int_equal(moescope_batch_commit(b, &err), 0);
    trial_end(&trial, "finished");
}

static int write_all(void **state)
{
    (void)state;
    trial_open(&trial);
    add_run("topp.seed0", true);
    add_run("topp.seed1", true);
    add_run("dense.seed0", false);
    add_run("dense.seed1", false);
    add_run("other", true); /* of no study */
    trial_stop(&trial);
    trial_read(&trial);
    struct test_run r = test_run(
        "sqlite3 '%s' \"UPDATE run SET seed = substr(name, -1) WHERE name LIKE '%%.seed%%'\"", trial.path);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
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

/* The answer with that parameter set, as .parameter does; a line of it. */
static char *answer_set(const char *query, const char *parameter, const char *value)
{
    char *out, *sql = NULL;

    assert_true(asprintf(&sql, ".parameter set %s %s\n%s", parameter, value, sql_text(query)) > 0);
    out = trial_shell(&trial, sql);
    free(sql);
    return out;
}

static void expect_set(const char *query, const char *parameter, const char *value, const char *line)
{
    char *out = answer_set(query, parameter, value);

    if (!strstr(out, line))
        fail_msg("%s with %s %s:\n%snot\n%s", query, parameter, value, out, line);
    free(out);
}

/* 18 decisions of 8 tokens. */
static void test_layers(void **state)
{
    (void)state;
    expect("queries/study_layers", "topp|0|2|2.25|2.25|2.25|0.5\n");
}

static void test_training(void **state)
{
    (void)state;
    expect("queries/study_training", "topp|0|9|2|2.0|2.0|2.0\n");
}

static void test_domains(void **state)
{
    (void)state;
    expect("queries/study_domains", "topp|english|2|8|1.5|1.5|1.5\ntopp|python|2|8|3.0|3.0|3.0\n");
}

/* Eight tokens of 1 to 8 nats (5.25 to 8.25 in the second seed): the first eight tenths have one each, of ids
 * 1 2 1 2 3 3 3 3. */
static void test_difficulty(void **state)
{
    (void)state;
    expect("queries/study_difficulty",
           "topp|1|2|1|1.0|1.0|1.0|1.0\ntopp|2|2|1|2.0|2.0|2.0|2.0\ntopp|3|2|1|3.0|1.0|1.0|1.0\n"
           "topp|4|2|1|4.0|2.0|2.0|2.0\ntopp|5|2|1|5.125|3.0|3.0|3.0\ntopp|6|2|1|6.125|3.0|3.0|3.0\n"
           "topp|7|2|1|7.125|3.0|3.0|3.0\ntopp|8|2|1|8.125|3.0|3.0|3.0\n");
}

/* Of the probe's first choices, at step 2, only id 3's were others, and these at every other position. */
static void test_fluctuation(void **state)
{
    (void)state;
    expect("queries/study_fluctuation",
           "topp|1 first 50 %|2|2|2|0.0\ntopp|2 50 to 80 %|2|2|2|0.0\ntopp|3 80 to 95 %|2|2|4|0.5\n");
}

/* Targets 2 1 2 1, losses 1 2 3 4: id 2 has 2, id 1 has 3; id 3 has 6.5, in the second seed 6.75. Inputs the
 * other way round. */
static void test_frequency(void **state)
{
    (void)state;
    expect("queries/study_frequency",
           "dense|1 first 50 %|2|2.0|3.0|3.0|3.0\ndense|2 50 to 80 %|2|2.0|2.0|2.0|2.0\n"
           "dense|3 80 to 95 %|2|4.0|6.625|6.5|6.75\n"
           "topp|1 first 50 %|2|2.0|3.0|3.0|3.0\ntopp|2 50 to 80 %|2|2.0|2.0|2.0|2.0\n"
           "topp|3 80 to 95 %|2|4.0|6.625|6.5|6.75\n");
    expect_set("queries/study_frequency", ":of", "input", "topp|1 first 50 %|2|2.0|2.0|2.0|2.0\n");
    expect_set("queries/study_frequency", ":of", "input", "topp|2 50 to 80 %|2|2.0|3.0|3.0|3.0\n");
}

/* What was seen is known half a nat better, whatever the token; in the second seed id 3 by 0.75. */
static void test_gap(void **state)
{
    (void)state;
    expect("queries/study_gap", "dense|1 first 50 %|2|2.0|2.0|3.0|2.5|0.5|0.5|0.5\n"
                                "dense|2 50 to 80 %|2|2.0|2.0|2.0|1.5|0.5|0.5|0.5\n"
                                "dense|3 80 to 95 %|2|4.0|4.0|6.625|6.0|0.625|0.5|0.75\n"
                                "topp|1 first 50 %|2|2.0|2.0|3.0|2.5|0.5|0.5|0.5\n"
                                "topp|2 50 to 80 %|2|2.0|2.0|2.0|1.5|0.5|0.5|0.5\n"
                                "topp|3 80 to 95 %|2|4.0|4.0|6.625|6.0|0.625|0.5|0.75\n");
}

/* Probe and valid passes: 4 occurrences of ids 1 and 2, always expert 0, and 8 of id 3, half of them
 * expert 3. Of all 16 first choices 3/4 are expert 0: of 4 draws 2 - 1/4^4 - 3/4^4 would be different ones,
 * of 8 draws 2 - 1/4^8 - 3/4^8. */
static void test_distinct(void **state)
{
    (void)state;
    static const char expected[] = "topp|1 first 50 %|2|1|4.0|1.0|1.6796875\n"
                                   "topp|2 50 to 80 %|2|1|4.0|1.0|1.6796875\n"
                                   "topp|3 80 to 95 %|2|1|8.0|2.0|1.899871826";
    char *out = trial_shell(&trial, sql_text("queries/study_distinct"));
    if (strncmp(out, expected, sizeof expected - 1) != 0)
        fail_msg("%s", out);
    free(out);
}

/* "a" goes on with a word, " b" begins one, the third is a byte. */
static void test_token_classes(void **state)
{
    (void)state;
    expect("queries/study_token_classes",
           "topp|byte|3 80 to 95 %|2|4|3.0|3.0|3.0\ntopp|continuation|1 first 50 %|2|2|1.0|1.0|1.0\n"
           "topp|word start|2 50 to 80 %|2|2|2.0|2.0|2.0\n");
}

/* Of 4 experts; 0.125 and 0.375 above chance are 2 and 6 deviations. */
static void test_subsets(void **state)
{
    (void)state;
    expect("queries/study_subsets", "topp|4|2|2|0.75|0.625|0.625|0.625|0.5|1.0||1.0||\n"
                                    "topp|4|1|2|0.75|0.375|0.25|0.5|0.125|4.0||||\n");
    expect_set("queries/study_subsets", ":share", "0.25", "topp|4|1|2|0.75|");
}

/* Ten steps of 4 tokens, 13 in the train split: each epoch has loads of 1/2, 1/2, 0, 0, which is 1/2 of ln 4.
 * On valid documents 6 6 4 2 of 18, at the end. */
static void test_loads(void **state)
{
    char expected[256];
    double entropy = -(2 * log(6.0 / 18) / 3 + 4 * log(4.0 / 18) / 18 + 2 * log(2.0 / 18) / 18) / log(4);

    (void)state;
    expect("queries/study_loads", "topp|0|1|2|0.5|0.5|0.5|2.0|2|2|0.5\ntopp|0|2|2|0.5|0.5|0.5|2.0|2|2|0.5\n"
                                  "topp|0|3|2|0.5|0.5|0.5|2.0|2|2|0.5\n");
    snprintf(expected, sizeof expected, "topp|0|3|2|%.5f", entropy);
    expect_set("queries/study_loads", ":split", "valid", expected);
}

static void test_exits(void **state)
{
    (void)state;
    expect("queries/study_exits", "topp|alpha|0.05|2|0.5|0.5|0.5|300.0|0\n"
                                  "topp|alpha|0.55|2|0.25|0.25|0.25|600.0|2\n"
                                  "topp|confidence|0.05|2|0.75|0.75|0.75|900.0|2\n");
    expect("queries/study_mixed", "topp|2|0.375|0.25|0.5|1000.0||||8.0\n");
    char *out = answer_set("queries/study_exits", ":rule", "confidence");
    assert_string_equal(out, "topp|confidence|0.05|2|0.75|0.75|0.75|900.0|2\n");
    free(out);
    expect("queries/study_accuracy", "topp|2|0.75|0.75|0.75|||1000.0\n");
}

/* A study's runs alone: of the first seed, whose id is 1. */
static void test_runs(void **state)
{
    (void)state;
    expect_set("queries/study_layers", ":runs", "\"'[1]'\"", "topp|0|1|2.25|2.25|2.25|0.5\n");
    expect_set("queries/study_domains", ":runs", "\"'[1]'\"", "topp|english|1|4|1.5|1.5|1.5\n");
    expect_set("queries/study_difficulty", ":runs", "\"'[1]'\"", "topp|1|1|1|1.0|1.0|1.0|1.0\n");
}

static void test_all_give_rows(void **state)
{
    const char *name;

    (void)state;
    for (int i = 0; (name = sql_name("queries/", i)) != NULL; i++) {
        if (strncmp(name, "queries/study_", 14) != 0 || strncmp(name, "queries/study_gate_", 19) == 0)
            continue; /* about single gates: test_gate_queries.c */
        char *out = trial_shell(&trial, sql_text(name));
        if (out[0] == '\0')
            fail_msg("%s gives no rows", name);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),        cmocka_unit_test(test_training),
        cmocka_unit_test(test_domains),       cmocka_unit_test(test_difficulty),
        cmocka_unit_test(test_frequency),     cmocka_unit_test(test_fluctuation),
        cmocka_unit_test(test_gap),           cmocka_unit_test(test_distinct),
        cmocka_unit_test(test_token_classes), cmocka_unit_test(test_subsets),
        cmocka_unit_test(test_loads),         cmocka_unit_test(test_runs),
        cmocka_unit_test(test_exits),         cmocka_unit_test(test_all_give_rows),
    };
    return cmocka_run_group_tests(tests, write_all, forget_all);
}
