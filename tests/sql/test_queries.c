/* The canned queries on a logbook small enough to answer them by hand: each runs in the stock shell with
 * nothing set and gives rows, and those with figures give the right ones.
 *
 * Two MoE layers (0, 1) of four experts, top-2. The probe pass of step 8 sees two sequences of four tokens:
 *   document 1 (english, language en)  a  b  a  b   loss 1 2 1 2
 *   document 2 (python, no label)      ?  ?  ?  ?   loss 4 each     (? is the byte <0xE3>)
 * Layer 0 sends a to experts 0, 3, b to 1, 3 and ? to 2, 3; layer 1 sends everything to 1, 0. At step 4 the
 * probe was the same, but for a, which went to 1, 3. Ten training steps load layer 0 evenly, layer 1 as in
 * the probe; experts 2 and 3 of layer 1 are dead. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/support.h"
#include "tests/trial.h"

enum { TOKENS = 4, EXPERTS = 4 };
static struct trial trial;

static void add_layer(struct moescope_batch *b, int64_t step, int handle, int layer, const int32_t *ids)
{
    int32_t expert[2 * TOKENS];
    float gate[2 * TOKENS];
    for (int t = 0; t < TOKENS; t++) {
        expert[2 * t] = layer == 0 && !(step == 4 && ids[t] == 1) ? ids[t] - 1 : 1;
        expert[2 * t + 1] = layer == 0 ? 3 : 0;
        gate[2 * t] = 0.75f;
        gate[2 * t + 1] = layer == 0 ? 0.25f : 0.0625f;
    }
    const struct moescope_block block = {
        .layer = layer, .n_experts = EXPERTS, .k = 2, .expert = expert, .gate = gate};
    moescope_batch_routing(b, handle, &block);
}

static const int32_t ids[2][TOKENS + 1] = {{1, 2, 1, 2, 1}, {3, 3, 3, 3, 3}};

static void add_pass(struct moescope_batch *b, int64_t step)
{
    static const float loss[2][TOKENS] = {{1, 2, 1, 2}, {4, 4, 4, 4}};
    for (int d = 0; d < 2; d++) {
        const struct moescope_sequence q = {
            .document_id = trial.document_ids[d], .n_tokens = TOKENS, .ids = ids[d], .loss = loss[d]};
        int handle = moescope_batch_sequence(b, step, "probe", &q);
        add_layer(b, step, handle, 0, ids[d]);
        add_layer(b, step, handle, 1, ids[d]);
    }
    moescope_batch_layer_metric(b, step, "probe", 0, "rank_mass_1", step == 4 ? 0.5 : 0.75);
    moescope_batch_layer_metric(b, step, "probe", 0, "rank_mass_16", 1);
}

static void add_probe(struct moescope_batch *b)
{
    static const int64_t by_domain[2][EXPERTS] = {{2, 2, 0, 4}, {0, 0, 4, 4}}, all[EXPERTS] = {2, 2, 4, 8};
    static const double sums[EXPERTS] = {1, 1, 1, 1};
    struct moescope_load load = {.n_experts = EXPERTS, .gate_sum = sums, .probability_sum = sums};
    for (int d = 0; d < 2; d++) {
        load.domain_id = trial.domain_ids[d];
        load.assignments = by_domain[d];
        moescope_batch_load(b, 8, "probe", &load);
    }
    load.domain_id = 0;
    load.assignments = all;
    moescope_batch_load(b, 8, "probe", &load);
    moescope_batch_checkpoint(b, 5, "log.db.checkpoints/meant.safetensors", "c5");
    add_pass(b, 4);
    add_pass(b, 8);
}

static void add_training(struct moescope_batch *b, int64_t step)
{
    static const int64_t even[EXPERTS] = {4, 4, 4, 4}, uneven[EXPERTS] = {8, 8, 0, 0},
                         dropped[EXPERTS] = {0, 4, 0, 0};
    static const double sums[EXPERTS] = {1, 1, 1, 1};
    struct moescope_load load = {
        .n_experts = EXPERTS, .assignments = even, .gate_sum = sums, .probability_sum = sums};
    moescope_batch_metric(b, step, "train", "loss", 5 - 0.1 * (double)step);
    moescope_batch_metric(b, step, "train", "lm_loss", 4 - 0.1 * (double)step);
    moescope_batch_metric(b, step, "train", "seconds", 0.5 * (double)step);
    moescope_batch_metric(b, step, "train", "tokens_per_second", 1000);
    moescope_batch_load(b, step, "train", &load);
    load.layer = 1;
    load.assignments = uneven;
    load.dropped = dropped;
    moescope_batch_load(b, step, "train", &load);
    moescope_batch_layer_metric(b, step, "train", 0, "router_entropy",
                                log(4)); /* uniform over four experts */
}

static void write_run(const char *name, int n_steps)
{
    static const struct moescope_layer layers[] = {
        {.layer = 0, .router = "topk", .n_experts = EXPERTS, .k = 2},
        {.layer = 1, .router = "topk", .n_experts = EXPERTS, .k = 2}};
    struct error err;
    trial_run(&trial, name, layers, 2, 8);
    struct moescope_batch *b = moescope_batch_new(trial.writer, &err);
    assert_non_null(b);
    for (int64_t step = 0; step < n_steps; step++) {
        add_training(b, step);
    }
    add_probe(b);
    moescope_batch_document_loss(b, 8, "valid", trial.document_ids[0], 4, 10, 6);
    moescope_batch_document_loss(b, 8, "valid", trial.document_ids[1], 4, 16, 16);
    moescope_batch_metric(b, 8, "valid", "loss", 2.75);
    assert_int_equal(moescope_batch_commit(b, &err), 0);
}

/* The newest run is still running, the one before it has finished: that is the one that is meant. */
static int write_all(void **state)
{
    (void)state;
    trial_open(&trial);
    write_run("meant", 10);
    trial_end(&trial, "finished");
    write_run("unfinished", 2);
    trial_end(&trial, NULL);
    struct test_run r =
        test_run("sqlite3 '%s' \"UPDATE run SET config = json_set(config, '$.\\\"model.width\\\"', 128), "
                 "heartbeat_at = '2020-01-01T00:00:00.000Z' WHERE name = 'unfinished'\"",
                 trial.path);
    if (r.status != 0) {
        fail_msg("%s", r.err);
    }
    test_run_release(&r);
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

/* The rows of a query in the stock shell, nothing set. */
static char *answer(const char *name)
{
    struct text path;
    text_init(&path);
    text_printf(&path, "queries/%s", name);
    char *out = trial_shell(&trial, sql_text(path.data));
    text_release(&path);
    return out;
}

static void assert_answer(const char *name, const char *expected)
{
    char *out = answer(name);
    assert_string_equal(out, expected);
    free(out);
}

static int count_rows(const char *name, int64_t run_id)
{
    struct query *q;
    struct error err;
    int n = 0, result;
    if (query_open(&q, trial.lb, name, &err) != 0) {
        fail_msg("%s", err.text);
    }
    if (run_id > 0) {
        query_bind_int(q, ":run", run_id);
    }
    while ((result = query_step(q, &err)) == 1) {
        n++;
    }
    assert_int_equal(result, 0);
    query_close(q);
    return n;
}

static void test_all_run_everywhere(void **state)
{
    const char *name;
    (void)state;
    for (int i = 0; (name = sql_name("queries/", i)) != NULL; i++) {
        if (strncmp(name, "queries/study_", 14) == 0) { /* about studies: test_study_queries.c */
            continue;
        }
        char *out = trial_shell(&trial, sql_text(name));
        if (out[0] == '\0' || count_rows(name, 0) == 0 || count_rows(name, trial.run_id) == 0) {
            fail_msg("%s gives no rows", name);
        }
        free(out);
    }
}

/* An empty logbook has no answers, and no errors either. */
static void test_all_run_on_nothing(void **state)
{
    struct trial empty;
    const char *name;
    (void)state;
    trial_open(&empty);
    trial_stop(&empty);
    for (int i = 0; (name = sql_name("queries/", i)) != NULL; i++) {
        free(trial_shell(&empty, sql_text(name)));
    }
    trial_release(&empty);
}

static void test_runs(void **state)
{
    (void)state;
    char *out = answer("runs");
    /* Of ten steps the last loss of the language model is 4 - 0.9; 4.5 seconds were counted. */
    assert_non_null(strstr(out, "meant|finished|topk|7|10||3.1|2.75|2.75|20"));
    assert_non_null(strstr(out, "|4.5\n"));
    assert_non_null(strstr(out, "unfinished|stalled|topk|7|2|"));
    free(out);
    assert_answer("config_diff", "model.width|meant|64\nmodel.width|unfinished|128\n");
}

static void test_domains(void **state)
{
    (void)state;
    assert_answer("experts_by_domain",
                  "0|0|english|2|0.25\n0|0|python|0|0.0\n0|1|english|2|0.25\n0|1|python|0|0.0\n"
                  "0|2|english|0|0.0\n0|2|python|4|0.5\n0|3|english|4|0.5\n0|3|python|4|0.5\n");
    /* english: 6 nats over 4 tokens; 6 / ln 2 bits over 10 bytes = 0.8656. python: 16 / ln 2 / 16 = 1.4427.
     */
    char *out = answer("loss_by_domain");
    assert_non_null(strstr(out, "english|8|1|4|1.5|0.865617"));
    assert_non_null(strstr(out, "python|8|1|4|4.0|1.442695"));
    free(out);
    /* Only document 1 has a language: of its 8 decisions in layer 0, 2 went to expert 0. */
    assert_answer("expert_labels", "0|0|en|2|0.25|1.0\n0|1|en|2|0.25|1.0\n0|3|en|4|0.5|1.0\n"
                                   "1|0|en|4|0.5|1.0\n1|1|en|4|0.5|1.0\n");
}

/* A document without a finite loss has tokens all the same: its domain then has no loss, rather than that of
 * the other document over the tokens of both (6 / 8). */
static void test_lost_losses(void **state)
{
    char path[512];
    struct trial lost = trial;
    (void)state;
    snprintf(path, sizeof path, "%s/lost.db", trial.folder);
    lost.path = path;
    struct test_run r =
        test_run("cp '%s' '%s' && sqlite3 '%s' \"UPDATE document SET domain_id = (SELECT domain_id "
                 "FROM domain WHERE name = 'english'); UPDATE document_loss SET loss_sum = NULL "
                 "WHERE loss_sum = 16\"",
                 trial.path, path, path);
    if (r.status != 0) {
        fail_msg("%s", r.err);
    }
    test_run_release(&r);
    char *out = trial_shell(&lost, sql_text("queries/loss_by_domain"));
    assert_string_equal(out, "english|8|2|8||\n");
    free(out);
    out = trial_shell(&lost, sql_text("analysis/report_valid_loss"));
    assert_string_equal(out, "8|2||\n");
    free(out);
}

static void test_tokens(void **state)
{
    (void)state;
    assert_answer("expert_tokens", "0|0|1|a|2|0.5\n0|1|1| b|2|0.5\n0|2|1|<0xE3>|4|0.5\n"
                                   "0|3|1|<0xE3>|4|0.5\n0|3|2|a|2|0.5\n0|3|3| b|2|0.5\n");
    assert_answer("hardest_tokens", "<0xE3>|4|4.0|1\n"); /* the others are targets twice */
    assert_answer("next_tokens", "1|1|1|<0xE3>|4|4.0\n1|1|2|a|2|2.0\n1|1|3| b|2|1.0\n");
    assert_answer("expert_loss", "0|2|4|4.0|0.75\n0|1|2|2.0|0.75\n0|0|2|1.0|0.75\n1|1|8|2.75|0.75\n");
}

static void test_choices(void **state)
{
    (void)state;
    /* With expert 3 second for everyone, pairs are as frequent as independence has them. */
    assert_answer("coactivation", "0|0|3|2|1.0\n0|1|3|2|1.0\n0|2|3|4|1.0\n");
    assert_answer("layer_paths", "0|0|1|1|2|1.0\n0|1|1|1|2|1.0\n0|2|1|1|4|1.0\n");
    assert_answer("gate_by_slot",
                  "0|0|8|0.75|0.75|0.75|0.0\n0|1|8|0.25|0.25|0.25|0.0\n1|0|8|0.75|0.75|0.75|0.0\n"
                  "1|1|8|0.0617647058823529|0.0617647058823529|0.0617647058823529|1.0\n");
    /* Two sequences, position 0 and three others; expert 0 of layer 0 has position 0 of one of them and
     * position 2. */
    char *out = answer("positions");
    assert_memory_equal(out, "0|0|0|1|0.25\n0|0|1-7|1|0.0833333333333333\n", 40);
    free(out);
}

/* Step 4 in layer 0: 14 of 16 decisions are those of step 8. Loads 0, 4, 4, 8 against 2, 2, 4, 8 over 8
 * tokens make (0 + 8 + 16 + 64) / 8 of them by chance, 11 of 16. */
static void test_over_time(void **state)
{
    (void)state;
    assert_answer("saturation", "0|4|16|0.875|0.6875\n0|8|16|1.0|0.6875\n1|4|16|1.0|1.0\n1|8|16|1.0|1.0\n");
    assert_answer("fluctuation", "0|4|8|8|0.25\n1|4|8|8|0.0\n");
    assert_answer("rank_mass", "0|1|0.5|0.75\n0|16|1.0|1.0\n");
    char *out = answer("loss_curve"); /* ten steps in windows of one; total losses 5, 4.9, ... */
    assert_non_null(strstr(out, "train|0|1|5.0||0\ntrain|1|1|4.9||0\n"));
    free(out);
    out = answer("checkpoints");
    assert_non_null(strstr(out, "meant|5|log.db.checkpoints/meant.safetensors|c5|"));
    free(out);
}

static void test_confidence(void **state)
{
    (void)state;
    char *out = answer("gate_by_domain");
    assert_non_null(strstr(out, "english|0|0|2|0.75\nenglish|0|1|2|0.75\nenglish|0|3|4|0.25\n"));
    free(out);
    assert_answer("margin", "0|8|0.5|0.0\n1|8|0.688235294117647|0.0\n"); /* 0.0625 is kept as 0.0618 */
    /* Layer 1 sends every token to the same two experts in equal parts. */
    assert_answer("token_spread", "1|<0xE3>|8|2|2.0|0|0.5\n1|a|4|2|2.0|0|0.5\n1| b|4|2|2.0|0|0.5\n");
    /* Train counts of a, b and ? are 7, 5 and 1: all from 1 on. (2 x 1 + 2 x 2 + 4 x 4) / 8 nats. */
    assert_answer("frequency", "0|1|3|8|2.75|0.75\n");
}

static void test_contents(void **state)
{
    (void)state;
    assert_answer("passage", "0|a|0: 0 3, 1: 1 0|1.0\n1| b|0: 1 3, 1: 1 0|2.0\n2|a|0: 0 3, 1: 1 0|1.0\n"
                             "3| b|0: 1 3, 1: 1 0|2.0\n");
    /* Two passes of two sequences, two layers of 8 decisions of 2 bytes each; 4 losses of 2 bytes. */
    char *out = answer("storage");
    assert_non_null(strstr(out, "meant|probe|4|2|128||32\n"));
    free(out);
}

static void test_loads(void **state)
{
    (void)state;
    assert_answer("dead_experts", "1|2|0|0|10.0\n1|3|0|0|10.0\n");
    /* One window; layer 0 is uniform, layer 1 uses half its experts: entropy ln 2, half of ln 4. */
    char *out = answer("load_entropy");
    assert_non_null(strstr(out, "0|0|1.38629436111989|1.0|4.0|0.25\n"));
    assert_non_null(strstr(out, "1|0|0.693147180559945|0.5|2.0|0.5\n"));
    free(out);
    /* Of 20 decisions of layer 1 in each of ten steps, 4 were refused. */
    out = answer("dropped");
    assert_non_null(strstr(out, "0|0|160|0|0.0\n"));
    assert_non_null(strstr(out, "1|0|160|40|0.2\n"));
    free(out);
    out = answer("router_entropy");
    assert_non_null(strstr(out, "train|0|0|1.38629436111989|1.0\n"));
    free(out);
    assert_answer(
        "speed",
        "meant|finished|10|1000.0|1000.0|1000.0|4||1\nunfinished|running|2|1000.0|1000.0|1000.0|4||1\n");
    assert_answer("corpora", "scratch|english|train|1|10000000|4000000|2.5\n"
                             "scratch|python|probe|1|20000000|5000000|4.0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_run_everywhere),
        cmocka_unit_test(test_all_run_on_nothing),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_lost_losses),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_over_time),
        cmocka_unit_test(test_confidence),
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_loads),
    };
    return cmocka_run_group_tests(tests, write_all, forget_all);
}
