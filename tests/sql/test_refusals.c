/* What a logbook does not take: refused with a reason by the call, or by the batch's commit, and nothing of
 * it is stored. What is taken passes the check. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"
#include "tests/trial.h"

enum { TOKENS = 3, EXPERTS = 4, K = 2 };
static const struct moescope_layer layers[] = {
    {.layer = 0, .router = "topk", .n_experts = EXPERTS, .k = K, .n_shared = 1},
    {.layer = 2, .router = "soft", .n_experts = EXPERTS}};
static const int32_t ids[] = {1, 2, 3, 0}, expert[] = {0, 1, 2, 3, 0, 1};
static struct trial s;

static int begin(void **state)
{
    (void)state;
    trial_open(&s);
    trial_run(&s, "refusals", layers, 2, 8);
    return 0;
}

static int end(void **state)
{
    (void)state;
    trial_release(&s);
    return 0;
}

static struct moescope_batch *batch(void)
{
    struct error err = {0};
    struct moescope_batch *b = moescope_batch_new(s.writer, &err);
    if (b == NULL) {
        fail_msg("%s", err.text);
    }
    return b;
}

static void expect_usage(int result, const struct error *err, const char *reason)
{
    if (result != -1 || err->status != STATUS_USAGE || strstr(err->text, reason) == NULL) {
        fail_msg("%d, status %d: '%s' and not '%s'", result, err->status, err->text, reason);
    }
}

static void expect_refused(struct moescope_batch *b, const char *reason)
{
    struct error err = {0};
    int result = moescope_batch_commit(b, &err);
    expect_usage(result, &err, reason);
}

/* Nothing was stored of what was refused, and the writer goes on. */
static void expect_nothing_stored(void)
{
    struct moescope_batch *b = batch();
    struct error err;
    moescope_batch_metric(b, 0, "valid", "loss", 1);
    test_must(moescope_batch_commit(b, &err), &err);
    trial_end(&s, "finished");
    trial_expect(&s,
                 "SELECT (SELECT count(*) FROM metric), (SELECT count(*) FROM layer_metric),"
                 " (SELECT count(*) FROM load_block), (SELECT count(*) FROM document_loss),"
                 " (SELECT count(*) FROM sequence), (SELECT count(*) FROM routing_block),"
                 " (SELECT count(*) FROM probability_block), (SELECT count(*) FROM checkpoint),"
                 " (SELECT count(*) FROM event WHERE kind NOT IN ('started', 'finished'));",
                 "1|0|0|0|0|0|0|0|0\n");
}

static int add_sequence(struct moescope_batch *b)
{
    const struct moescope_sequence q = {.document_id = s.document_ids[0], .n_tokens = TOKENS, .ids = ids};
    return moescope_batch_sequence(b, 0, "probe", &q);
}

/* ---- batches ---- */

static void test_rows(void **state)
{
    static const struct {
        int64_t step;
        const char *split, *name, *reason;
    } cases[] = {
        {0, "trian", "loss", "metric of step 0: a split is train, valid, probe, routed or seen, not 'trian'"},
        {0, NULL, "loss", "not 'NULL'"},
        {0, "", "loss", "not ''"},
        {0, "train", NULL, "metric: its name may not be NULL"},
        {-3, "train", "loss", "metric of step -3: steps are counted from 0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moescope_batch *b = batch();
        moescope_batch_metric(b, cases[i].step, cases[i].split, cases[i].name, 1);
        expect_refused(b, cases[i].reason);
        b = batch();
        moescope_batch_layer_metric(b, cases[i].step, cases[i].split, 0, cases[i].name, 1);
        expect_refused(b, cases[i].reason);
    }
    expect_nothing_stored();
}

static void test_layer_metrics_and_events(void **state)
{
    static const struct {
        int layer, expert;
        const char *kind, *reason;
    } cases[] = {
        {-2, -1, "note", "of layer -2: a logbook holds layers 0 to 1023"},
        {1024, -1, "note", "of layer 1024"},
        {1, -1, "note", "of layer 1: the run was begun without this MoE layer"},
        {0, EXPERTS + 1, "note", "event of layer 0: it has no expert 5 but 5"},
        {0, -2, "note", "no expert -2"},
        {-1, 0, "note", "of layer -1"},
        {-1, -1, NULL, "event: its kind may not be NULL"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moescope_batch *b = batch();
        moescope_batch_event(b, 0, cases[i].kind, cases[i].layer, cases[i].expert, NAN, NULL);
        expect_refused(b, cases[i].reason);
        if (cases[i].layer != 0) {
            b = batch();
            moescope_batch_layer_metric(b, 0, "train", cases[i].layer, "router_entropy", 1);
            expect_refused(b, "metric of layer");
        }
    }
    expect_nothing_stored();
}

static void test_losses_and_checkpoints(void **state)
{
    struct moescope_batch *b = batch();
    (void)state;
    moescope_batch_document_loss(b, 0, "train", s.document_ids[0], -3, 9, 1);
    expect_refused(b, "loss of document 1: -3 tokens of 9 bytes");
    b = batch();
    moescope_batch_document_loss(b, 0, "train", s.document_ids[0], 3, -9, 1);
    expect_refused(b, "3 tokens of -9 bytes");
    b = batch();
    moescope_batch_document_loss(b, 0, "test", s.document_ids[0], 3, 9, 1);
    expect_refused(b, "a split is");
    b = batch();
    moescope_batch_checkpoint(b, 0, NULL, "hash");
    expect_refused(b, "checkpoint: its path may not be NULL");
    b = batch();
    moescope_batch_checkpoint(b, 0, "weights", NULL);
    expect_refused(b, "checkpoint: its sha256 may not be NULL");
    b = batch();
    moescope_batch_checkpoint(b, -1, "weights", "hash");
    expect_refused(b, "steps are counted from 0");
    expect_nothing_stored();
}

static void test_loads(void **state)
{
    static const int64_t counts[] = {3, 0, 1, 2}, negative[] = {3, 0, -1, 2};
    static const struct {
        struct moescope_load load;
        const char *reason;
    } cases[] = {
        {{.layer = 0, .n_experts = EXPERTS}, "load: its assignments may not be NULL"},
        {{.layer = 0, .n_experts = -4, .assignments = counts}, "of -4 experts, and the run was begun with 4"},
        {{.layer = 0, .n_experts = 9, .assignments = counts}, "load of layer 0: of 9 experts"},
        {{.layer = 7, .n_experts = EXPERTS, .assignments = counts},
         "load of layer 7: the run was begun without"},
        {{.layer = -7, .n_experts = EXPERTS, .assignments = counts}, "load of layer -7: a logbook holds"},
        {{.layer = 0, .n_experts = EXPERTS, .assignments = negative}, "a count is below 0"},
        {{.layer = 0, .n_experts = EXPERTS, .assignments = counts, .dropped = negative},
         "a count is below 0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moescope_batch *b = batch();
        moescope_batch_load(b, 0, "train", &cases[i].load);
        expect_refused(b, cases[i].reason);
    }
    struct moescope_batch *b = batch();
    moescope_batch_load(b, 0, "train", NULL);
    expect_refused(b, "load: it may not be NULL");
    expect_nothing_stored();
}

static void test_sequences(void **state)
{
    static const int32_t negative[] = {1, 2, -3, 0};
    static const float loss[TOKENS];
    static const struct {
        int64_t offset;
        int n_tokens;
        const int32_t *ids;
        const char *reason;
    } cases[] = {
        {0, 0, ids, "sequence of step 0: 0 tokens; a sequence has 1 to 65535"},
        {0, -1, ids, "-1 tokens"},
        {0, -5, ids, "-5 tokens"},
        {0, INT_MIN, ids, "tokens; a sequence has"},
        {0, 65536, ids, "65536 tokens"},
        {0, INT_MAX, ids, "2147483647 tokens"},
        {0, TOKENS, NULL, "sequence: its ids may not be NULL"},
        {0, TOKENS, negative, "a negative id"},
        {-4, TOKENS, ids, "its offset is -4"},
        {INT64_MAX, TOKENS, ids, "its offset is 9223372036854775807"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moescope_batch *b = batch();
        const struct moescope_sequence q = {.document_id = s.document_ids[0],
                                            .offset = cases[i].offset,
                                            .n_tokens = cases[i].n_tokens,
                                            .ids = cases[i].ids,
                                            .loss = loss};
        assert_int_equal(moescope_batch_sequence(b, 0, "train", &q), -1);
        expect_refused(b, cases[i].reason);
    }
    struct moescope_batch *b = batch();
    assert_int_equal(moescope_batch_sequence(b, 0, "train", NULL), -1);
    expect_refused(b, "sequence: it may not be NULL");
    expect_nothing_stored();
}

/* The first reason is the one that is told, whatever follows from it. */
static void test_routing(void **state)
{
    static const int32_t outside[] = {0, 1, 2, 3, 0, 4}, falls[] = {0, 2, 1, 3}, wild[] = {0, 1000000, -4, 3},
                         wraps[] = {INT_MIN, 0, 0, INT_MAX}, down[] = {3, 2, 1, 0}, fine[] = {0, 1, 1, 2};
    static const struct {
        struct moescope_block block;
        const char *reason;
    } cases[] = {
        {{.layer = -1, .n_experts = EXPERTS, .k = K, .expert = expert}, "routing of layer -1"},
        {{.layer = 5, .n_experts = EXPERTS, .k = K, .expert = expert}, "layer 5: the run was begun without"},
        {{.layer = 0, .n_experts = 8, .k = K, .expert = expert},
         "of 8 experts, and the run was begun with 4"},
        {{.layer = 0, .n_experts = 0, .k = K, .expert = expert}, "of 0 experts"},
        {{.layer = 0, .n_experts = EXPERTS, .k = -1, .expert = expert}, "-1 decisions a token of 4 experts"},
        {{.layer = 2, .n_experts = EXPERTS, .k = -1, .offsets = fine, .expert = expert},
         "-1 decisions a token"},
        {{.layer = 2, .n_experts = EXPERTS, .k = 5, .expert = expert}, "5 decisions a token of 4 experts"},
        {{.layer = 0, .n_experts = EXPERTS, .k = 1, .expert = expert},
         "3 decisions for 3 tokens, and the run was begun with 2 each"},
        {{.layer = 0, .n_experts = EXPERTS}, "0 decisions for 3 tokens"},
        {{.layer = 0, .n_experts = EXPERTS, .k = K}, "routing: its experts may not be NULL"},
        {{.layer = 0, .n_experts = EXPERTS, .k = K, .expert = outside}, "an expert that the layer has not"},
        {{.layer = 2, .n_experts = EXPERTS, .offsets = falls, .expert = expert}, "offsets fall"},
        {{.layer = 2, .n_experts = EXPERTS, .offsets = wild, .expert = expert}, "offsets fall"},
        {{.layer = 2, .n_experts = EXPERTS, .offsets = wraps, .expert = expert}, "offsets fall"},
        {{.layer = 2, .n_experts = EXPERTS, .offsets = down, .expert = expert}, "offsets fall"},
        {{.layer = 2, .n_experts = EXPERTS, .offsets = fine}, "its experts may not be NULL"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moescope_batch *b = batch();
        int handle = add_sequence(b);
        moescope_batch_routing(b, handle, &cases[i].block);
        moescope_batch_routing(b, -1, &cases[i].block);
        expect_refused(b, cases[i].reason);
    }
    struct moescope_batch *b = batch();
    moescope_batch_routing(b, add_sequence(b), NULL);
    expect_refused(b, "routing: it may not be NULL");
    b = batch();
    moescope_batch_routing(b, 9, &cases[0].block);
    expect_refused(b, "routing: no sequence 9 in the batch");
    expect_nothing_stored();
}

/* Layer 1024 of a sequence would be layer 0 of the next. */
static void test_probabilities(void **state)
{
    static const float fine[TOKENS * EXPERTS] = {[0] = 1, [7] = 1, [8] = 0.5f, [9] = 0.5f};
    static const float below[TOKENS * EXPERTS] = {[5] = -0.25f}, above[TOKENS * EXPERTS] = {[11] = 1.25f};
    static const float broken[TOKENS * EXPERTS] = {[3] = NAN, [5] = -0.25f};
    static const struct {
        int layer, n_experts;
        const float *probability;
        const char *reason;
    } cases[] = {
        {1024, EXPERTS, fine, "probabilities of layer 1024: a logbook holds layers 0 to 1023"},
        {-1, EXPERTS, fine, "probabilities of layer -1"},
        {1, EXPERTS, fine, "layer 1: the run was begun without"},
        {0, -1, fine, "of -1 experts"},
        {0, 0, fine, "of 0 experts"},
        {0, 2, fine, "of 2 experts, and the run was begun with 4"},
        {0, INT_MAX, fine, "of 2147483647 experts"},
        {0, EXPERTS, below, "-0.25 is none"},
        {0, EXPERTS, above, "1.25 is none"},
        {0, EXPERTS, broken, "-0.25 is none"},
        {0, EXPERTS, NULL, "may not be NULL"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moescope_batch *b = batch();
        int handle = add_sequence(b);
        moescope_batch_probability(b, handle, cases[i].layer, cases[i].n_experts, cases[i].probability);
        expect_refused(b, cases[i].reason);
    }
    expect_nothing_stored();
}

/* ---- what only the writer's thread can see ---- */

static void expect_not_stored(struct moescope_batch *b, const char *reason)
{
    struct moescope_writer *w = s.writer;
    struct error err;
    s.writer = NULL;
    test_must(moescope_batch_commit(b, &err), &err);
    expect_usage(moescope_writer_close(w, &err), &err, reason);
    test_must(moescope_writer_open(&s.writer, s.lb, s.run_id,
                                   &(struct moescope_writer_options){.gate_bits = 8}, &err),
              &err);
}

static void test_references(void **state)
{
    static const int64_t counts[EXPERTS] = {0};
    const struct moescope_load load = {.domain_id = 77, .n_experts = EXPERTS, .assignments = counts};
    struct moescope_sequence q = {.document_id = 99, .n_tokens = TOKENS, .ids = ids};
    struct moescope_batch *b = batch();
    (void)state;
    moescope_batch_load(b, 0, "valid", &load);
    expect_not_stored(b, "load of step 0, layer 0: ");
    b = batch();
    moescope_batch_load(b, 0, "valid", &load);
    expect_not_stored(b, "has no domain 77");
    b = batch();
    moescope_batch_sequence(b, 0, "train", &q);
    expect_not_stored(b, "has no document 99");
    b = batch();
    moescope_batch_document_loss(b, 0, "train", 99, 1, 1, 1);
    expect_not_stored(b, "has no document 99");
    b = batch();
    q.document_id = s.document_ids[0];
    q.offset = 4000000 - TOKENS + 1;
    moescope_batch_sequence(b, 0, "train", &q);
    expect_not_stored(b, "a piece that ends at token 4000001 of a document of 4000000");
    expect_nothing_stored();
}

/* ---- what is taken ---- */

static void expect_sound(void)
{
    struct check_finding findings[CHECK_MAX_FINDINGS];
    int n = CHECK_MAX_FINDINGS;
    struct error err;
    trial_stop(&s);
    trial_read(&s);
    test_must(logbook_check(s.lb, findings, &n, &err), &err);
    for (int i = 0; i < n; i++) {
        if (findings[i].violations > 0) {
            fail_msg("%s: %s", findings[i].what, findings[i].detail);
        }
    }
}

/* The edges of what is refused: any value but 0 is a drop, offsets have any base, a sum that was rounded a
 * little above 1 is 1, -0 is 0. */
static void test_taken(void **state)
{
    static const int32_t offsets[] = {100, 100, 104, 105}, some[] = {3, 2, 1, 0, 2};
    static const uint8_t dropped[] = {0, 2, 0, 255, 0, 0};
    static const float probability[TOKENS * EXPERTS] = {
        [0] = 1.0000004f, [1] = -0.0f, [7] = 1, [8] = 0.5f, [9] = 0.5f};
    const struct moescope_block fixed = {.n_experts = EXPERTS, .k = K, .expert = expert, .dropped = dropped};
    const struct moescope_block varies = {
        .layer = 2, .n_experts = EXPERTS, .offsets = offsets, .expert = some};
    struct error err;
    (void)state;
    struct moescope_batch *b = batch();
    int handle = add_sequence(b);
    moescope_batch_routing(b, handle, &fixed);
    moescope_batch_routing(b, handle, &varies);
    moescope_batch_probability(b, handle, 0, EXPERTS, probability);
    moescope_batch_event(b, 0, "note", 0, EXPERTS, NAN, "of the shared expert");
    test_must(moescope_batch_commit(b, &err), &err);
    trial_end(&s, "finished");
    trial_expect(&s,
                 "SELECT group_concat(dropped) FROM routing WHERE layer = 0;"
                 "SELECT group_concat(position), group_concat(expert) FROM routing WHERE layer = 2;"
                 "SELECT probability FROM probability WHERE position = 0 AND expert < 2;",
                 "0,1,0,1,0,0\n1,1,1,1,2|3,2,1,0,2\n1.0\n0.0\n");
    expect_sound();
}

/* What reads a layer counts its experts, also of a run that has logged nothing. */
static void test_many_experts(void **state)
{
    static const struct moescope_layer many = {.router = "topk", .n_experts = 2000, .k = 2};
    (void)state;
    trial_end(&s, "finished");
    trial_run(&s, "many", &many, 1, 8);
    trial_end(&s, "interrupted");
    expect_sound();
}

/* ---- runs ---- */

static void expect_no_run(const struct moescope_run *run, const char *reason)
{
    struct error err = {0};
    int64_t id;
    int result = moescope_begin_run(s.lb, run, &id, &err);
    expect_usage(result, &err, reason);
}

static void test_layers(void **state)
{
    static const int64_t each[] = {5, 5, -5, 5};
    static const struct {
        struct moescope_layer layer;
        const char *reason;
    } cases[] = {
        {{.layer = -1, .router = "topk", .n_experts = 4, .k = 2},
         "layer -1: a logbook holds layers 0 to 1023"},
        {{.layer = 1024, .router = "topk", .n_experts = 4, .k = 2}, "layer 1024"},
        {{.n_experts = 4, .k = 2}, "layer 0: the name of its router may not be NULL"},
        {{.router = "topk", .n_experts = 0}, "layer 0: 0 experts; a layer has 1 to 65536"},
        {{.router = "topk", .n_experts = -4}, "-4 experts"},
        {{.router = "topk", .n_experts = 65537}, "65537 experts"},
        {{.router = "topk", .n_experts = INT_MAX, .n_shared = INT_MAX}, "2147483647 experts"},
        {{.router = "topk", .n_experts = 4, .n_shared = -2}, "-2 shared experts"},
        {{.router = "topk", .n_experts = 4, .n_shared = INT_MAX}, "2147483647 shared experts"},
        {{.router = "topk", .n_experts = 4, .k = 5}, "layer 0: 5 experts a token, of 4"},
        {{.router = "topk", .n_experts = 4, .k = -9}, "-9 experts a token"},
        {{.router = "topk", .n_experts = 4, .expert_parameters = -9}, "an expert of -9 parameters"},
        {{.router = "topk", .n_experts = 4, .shared_parameters = -8}, "an expert of -8 parameters"},
        {{.router = "topk", .n_experts = 4, .each = each}, "an expert of -5 parameters"},
    };
    struct moescope_run run = {.name = "r", .task = "x", .router = "x", .n_layers = 1};
    (void)state;
    expect_no_run(&run, "run 'r': the run's layers may not be NULL");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run.layers = &cases[i].layer;
        expect_no_run(&run, cases[i].reason);
    }
    const struct moescope_layer twice[] = {layers[0], layers[0]};
    run.layers = twice;
    run.n_layers = 2;
    expect_no_run(&run, "layer 0 is there twice");
    run.n_layers = -1;
    expect_no_run(&run, "-1 layers");
}

static void test_settings(void **state)
{
    static const struct {
        struct moescope_setting settings[2];
        const char *reason;
    } cases[] = {
        {{{"a", "1"}, {"b", "topk"}}, "setting 'b': its value is no JSON value: topk"},
        {{{"a", "1}, {\"b\":2"}, {"c", "1"}}, "setting 'a'"},
        {{{"a", "1, \"b\":2"}, {"c", "1"}}, "setting 'a'"},
        {{{"a", ""}, {"c", "1"}}, "setting 'a'"},
        {{{"a", NULL}, {"c", "1"}}, "setting 'a': its value may not be NULL"},
        {{{NULL, "1"}, {"c", "1"}}, "the key of a setting may not be NULL"},
        {{{"a", "1"}, {"a", "2"}}, "setting 'a' is there twice"},
    };
    struct moescope_run run = {.name = "r", .task = "x", .router = "x", .n_config = 2};
    (void)state;
    expect_no_run(&run, "the run's config may not be NULL");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run.config = cases[i].settings;
        expect_no_run(&run, cases[i].reason);
    }
    run.n_config = -3;
    expect_no_run(&run, "-3 settings");
    run.n_config = 0;
    run.machine_json = "{bad";
    expect_no_run(&run, "the run's machine is no JSON value: {bad");
}

static void test_runs(void **state)
{
    struct moescope_run run = {.task = "x", .router = "x"};
    (void)state;
    expect_no_run(NULL, "the run may not be NULL");
    expect_no_run(&run, "the run's name may not be NULL");
    run.name = "";
    expect_no_run(&run, "a name that is not empty");
    run.name = "r";
    run.task = NULL;
    expect_no_run(&run, "the run's task may not be NULL");
    run.task = "x";
    run.router = NULL;
    expect_no_run(&run, "the run's router may not be NULL");
    run.router = "x";
    run.corpus_id = 99;
    expect_no_run(&run, "has no corpus 99");
    run.corpus_id = 0;
    run.vocabulary_id = -1;
    expect_no_run(&run, "has no vocabulary -1");
    run.vocabulary_id = 0;
    run.uuid = "same";
    int64_t id;
    struct error err;
    test_must(moescope_begin_run(s.lb, &run, &id, &err), &err);
    run.name = "another";
    expect_no_run(&run, "has a run of uuid 'same' already");
}

static void test_ends(void **state)
{
    static const char *const none[] = {"done", "running", "", NULL};
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        expect_usage(moescope_end_run(s.lb, s.run_id, none[i], &err), &err,
                     none[i] != NULL ? "a run ends finished, interrupted, failed or imported"
                                     : "the status that a run ends with may not be NULL");
    }
    expect_usage(moescope_end_run(s.lb, 99, "finished", &err), &err, "has no run 99");
    expect_usage(moescope_resume_run(s.lb, NULL, 0, &s.run_id, &err), &err, "the run's name may not be NULL");
}

static void test_writers(void **state)
{
    static const struct moescope_writer_options options = {.gate_bits = 8}, none = {0};
    struct moescope_writer *w;
    struct error err = {0};
    (void)state;
    expect_usage(moescope_writer_open(&w, s.lb, s.run_id, NULL, &err), &err, "options may not be NULL");
    expect_usage(moescope_writer_open(&w, s.lb, s.run_id, &none, &err), &err, "8 or 16 bits, not 0");
    expect_usage(moescope_writer_open(&w, s.lb, 77, &options, &err), &err, "has no run 77");
    trial_end(&s, "finished");
    expect_usage(moescope_writer_open(&w, s.lb, s.run_id, &options, &err), &err,
                 "is finished; resume it before more is written");
    assert_null(w);
    test_must(moescope_resume_run(s.lb, "refusals", 0, &s.run_id, &err), &err);
    test_must(moescope_writer_open(&s.writer, s.lb, s.run_id, &options, &err), &err);
}

/* ---- corpora ---- */

static void expect_no_corpus(const struct moescope_corpus *corpus, const char *reason)
{
    struct error err = {0};
    int64_t corpus_id, vocabulary_id, document_ids[2], domain_ids[2];
    int result =
        moescope_add_corpus(s.lb, corpus, &corpus_id, &vocabulary_id, document_ids, domain_ids, &err);
    expect_usage(result, &err, reason);
}

static void test_documents(void **state)
{
    static const struct moescope_label twice[] = {{"k", "1"}, {"k", "2"}},
                                       empty[] = {{"k", NULL}, {NULL, "2"}};
    static const struct moescope_document fine = {"b", "e", "2", "valid", 4, 9, NULL, 0};
    static const struct {
        struct moescope_document document;
        const char *reason;
    } cases[] = {
        {{NULL, "e", "1", "train", 4, 9, NULL, 0}, "a document's name may not be NULL"},
        {{"a", NULL, "1", "train", 4, 9, NULL, 0}, "document 'a': its domain may not be NULL"},
        {{"a", "e", NULL, "train", 4, 9, NULL, 0}, "document 'a': its sha256 may not be NULL"},
        {{"a", "e", "1", "test", 4, 9, NULL, 0}, "document 'a': a split is train"},
        {{"a", "e", "1", "train", -4, 9, NULL, 0}, "document 'a': 9 tokens of -4 bytes"},
        {{"a", "e", "1", "train", 4, -9, NULL, 0}, "document 'a': -9 tokens"},
        {{"a", "e", "1", "train", 4, 9, twice, 2}, "document 'a': the label 'k' is there twice"},
        {{"a", "e", "1", "train", 4, 9, empty, 2}, "the value of a label may not be NULL"},
        {{"a", "e", "1", "train", 4, 9, NULL, 2}, "the labels may not be NULL"},
        {{"b", "f", "1", "train", 4, 9, NULL, 0}, "two documents are named 'b'"},
    };
    struct moescope_corpus corpus = {
        .name = "n", .sha256 = "c9", .vocabulary_name = "v", .vocabulary_sha256 = "v9", .n_documents = 2};
    (void)state;
    expect_no_corpus(&corpus, "documents may not be NULL");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct moescope_document documents[] = {fine, cases[i].document};
        corpus.documents = documents;
        expect_no_corpus(&corpus, cases[i].reason);
    }
    trial_expect(&s, "SELECT count(*) FROM corpus; SELECT count(*) FROM document;", "1\n2\n");
}

static void test_corpora(void **state)
{
    static const struct moescope_token tokens[] = {{"<unk>", "special", 0},
                                                   {"a", "piece", 7},
                                                   {" b", "piece", 5},
                                                   {"<0xE3>", "byte", 1},
                                                   {"c", "piece", 1}};
    static const struct moescope_token others[] = {
        {"<unk>", "special", 0}, {"A", "piece", 7}, {" b", "piece", 5}, {"<0xE3>", "byte", 1}};
    static const struct moescope_token nameless[] = {
        {"<unk>", "special", 0}, {NULL, "piece", 7}, {" b", "piece", 5}, {"<0xE3>", "byte", 1}};
    struct moescope_corpus corpus = {
        .name = "n", .sha256 = "c9", .vocabulary_name = "v", .vocabulary_sha256 = "v1", .tokens = tokens};
    struct error err;
    int64_t corpus_id, vocabulary_id;
    (void)state;
    expect_no_corpus(NULL, "the corpus may not be NULL");
    expect_no_corpus(&(struct moescope_corpus){0}, "name may not be NULL");
    corpus.n_tokens = 3;
    expect_no_corpus(&corpus,
                     "has the vocabulary 'v' of the same sha256 with other tokens, from number 3 on");
    corpus.n_tokens = 5;
    expect_no_corpus(&corpus, "from number 4 on");
    corpus.n_tokens = 4;
    corpus.tokens = others;
    expect_no_corpus(&corpus, "from number 1 on");
    corpus.tokens = nameless;
    expect_no_corpus(&corpus, "token 1: its text may not be NULL");
    corpus.tokens = tokens;
    test_must(moescope_add_corpus(s.lb, &corpus, &corpus_id, &vocabulary_id, NULL, NULL, &err), &err);
    trial_end(&s, "finished");
    expect_sound();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, begin, end),
        cmocka_unit_test_setup_teardown(test_layer_metrics_and_events, begin, end),
        cmocka_unit_test_setup_teardown(test_losses_and_checkpoints, begin, end),
        cmocka_unit_test_setup_teardown(test_loads, begin, end),
        cmocka_unit_test_setup_teardown(test_sequences, begin, end),
        cmocka_unit_test_setup_teardown(test_routing, begin, end),
        cmocka_unit_test_setup_teardown(test_probabilities, begin, end),
        cmocka_unit_test_setup_teardown(test_references, begin, end),
        cmocka_unit_test_setup_teardown(test_taken, begin, end),
        cmocka_unit_test_setup_teardown(test_many_experts, begin, end),
        cmocka_unit_test_setup_teardown(test_layers, begin, end),
        cmocka_unit_test_setup_teardown(test_settings, begin, end),
        cmocka_unit_test_setup_teardown(test_runs, begin, end),
        cmocka_unit_test_setup_teardown(test_ends, begin, end),
        cmocka_unit_test_setup_teardown(test_writers, begin, end),
        cmocka_unit_test_setup_teardown(test_documents, begin, end),
        cmocka_unit_test_setup_teardown(test_corpora, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
