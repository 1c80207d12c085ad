/* What a decision costs on disk. Storage does not depend on the machine, so that this may be a test: 4
 * layers, top-2 of 16 experts, 16 sequences of 256 tokens a step, every token seen once, all that training
 * logs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/trial.h"

enum { STEPS = 300, LAYERS = 4, EXPERTS = 16, K = 2, SEQUENCES = 16, TOKENS = 256 };
enum { DECISIONS = STEPS * LAYERS * SEQUENCES * TOKENS * K };

struct step {
    int32_t ids[TOKENS + 1];
    float loss[TOKENS];
    int32_t expert[TOKENS * K];
    float gate[TOKENS * K];
    double gate_sum[EXPERTS], probability_sum[EXPERTS];
    int64_t assignments[EXPERTS];
};

static void draw_sequence(struct step *s, struct random *r)
{
    for (int t = 0; t <= TOKENS; t++) {
        s->ids[t] = (int32_t)random_below(r, 8192);
    }
    for (int t = 0; t < TOKENS; t++) {
        s->loss[t] = (float)(9 * random_uniform(r));
    }
}

static void draw_decisions(struct step *s, struct random *r)
{
    for (int i = 0; i < TOKENS * K; i++) {
        s->expert[i] = (int32_t)random_below(r, EXPERTS);
        s->gate[i] = (float)random_uniform(r);
    }
}

static void add_sequence(struct moescope_batch *b, int step, int64_t document, struct step *s,
                         struct random *r)
{
    draw_sequence(s, r);
    const struct moescope_sequence sequence = {
        .document_id = document, .offset = step * TOKENS, .n_tokens = TOKENS, .ids = s->ids, .loss = s->loss};
    int handle = moescope_batch_sequence(b, step, "train", &sequence);
    for (int l = 0; l < LAYERS; l++) {
        draw_decisions(s, r);
        const struct moescope_block block = {
            .layer = l, .n_experts = EXPERTS, .k = K, .expert = s->expert, .gate = s->gate};
        moescope_batch_routing(b, handle, &block);
    }
}

/* What a step of training logs besides: ten metrics, the loads and router entropy of each layer, the loss of
 * as many documents as there are sequences. */
static void add_summaries(struct moescope_batch *b, int64_t step, struct step *s, struct random *r)
{
    static const char *const names[] = {"loss",         "lm_loss",   "balance_loss",  "z_loss",
                                        "entropy_loss", "grad_norm", "learning_rate", "tokens_per_second",
                                        "seconds",      "flops"};
    for (int i = 0; i < 10; i++) {
        moescope_batch_metric(b, step, "train", names[i], random_uniform(r));
    }
    for (int l = 0; l < LAYERS; l++) {
        for (int e = 0; e < EXPERTS; e++) {
            s->assignments[e] = 480 + (int64_t)random_below(r, 64);
            s->gate_sum[e] = 200 * random_uniform(r);
            s->probability_sum[e] = 256 * random_uniform(r);
        }
        const struct moescope_load load = {.layer = l,
                                           .n_experts = EXPERTS,
                                           .assignments = s->assignments,
                                           .gate_sum = s->gate_sum,
                                           .probability_sum = s->probability_sum};
        moescope_batch_load(b, step, "train", &load);
        moescope_batch_layer_metric(b, step, "train", l, "router_entropy", random_uniform(r));
    }
}

/* A document for each sequence of a step. */
static void add_documents(struct trial *f, int64_t ids[SEQUENCES])
{
    struct moescope_document documents[SEQUENCES];
    char names[SEQUENCES][32];
    int64_t corpus_id, vocabulary_id, domain_ids[SEQUENCES];
    struct error err;
    for (int d = 0; d < SEQUENCES; d++) {
        snprintf(names[d], sizeof names[d], "prose/%d.txt", d);
        documents[d] = (struct moescope_document){
            .name = names[d], .domain = "prose", .sha256 = "x", .split = "train", .n_tokens = STEPS * TOKENS};
    }
    const struct moescope_corpus corpus = {.name = "large",
                                           .sha256 = "c2",
                                           .vocabulary_name = "tiny",
                                           .vocabulary_sha256 = "v1",
                                           .documents = documents,
                                           .n_documents = SEQUENCES};
    assert_int_equal(moescope_add_corpus(f->lb, &corpus, &corpus_id, &vocabulary_id, ids, domain_ids, &err),
                     0);
}

static void write_run(struct trial *f)
{
    struct moescope_layer layers[LAYERS];
    struct random r;
    struct error err;
    int64_t documents[SEQUENCES];
    struct step *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (int l = 0; l < LAYERS; l++) {
        layers[l] = (struct moescope_layer){.layer = l, .router = "topk", .n_experts = EXPERTS, .k = K};
    }
    random_seed(&r, 1, 0);
    add_documents(f, documents);
    trial_run(f, "storage", layers, LAYERS, 8);
    for (int step = 0; step < STEPS; step++) {
        struct moescope_batch *b = moescope_batch_new(f->writer, &err);
        assert_non_null(b);
        for (int i = 0; i < SEQUENCES; i++) {
            add_sequence(b, step, documents[i], s, &r);
        }
        add_summaries(b, step, s, &r);
        for (int d = 0; d < SEQUENCES; d++) {
            moescope_batch_document_loss(b, step, "train", documents[d], TOKENS, 3 * TOKENS,
                                         4096 * random_uniform(&r));
        }
        assert_int_equal(moescope_batch_commit(b, &err), 0);
    }
    trial_end(f, "finished");
    free(s);
}

/* The estimate printed before training is within 5 % of what training then wrote. */
static void assert_estimate(double written)
{
    const struct logbook_size_shape shape = {.steps = STEPS,
                                             .tokens_per_step = SEQUENCES * TOKENS,
                                             .context = TOKENS,
                                             .vocabulary = 8192,
                                             .distinct_tokens = (int64_t)STEPS * SEQUENCES * TOKENS,
                                             .moe_layers = LAYERS,
                                             .n_experts = EXPERTS,
                                             .gate_bits = 8,
                                             .k = K,
                                             .decisions = 2};
    double estimate = logbook_size_estimate(&shape);
    print_message("estimated %.0f bytes, written %.0f\n", estimate, written);
    assert_true(fabs(estimate / written - 1) < 0.05);
}

static double table_bytes(struct trial *f, const char *name)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT sum(pgsize) FROM dbstat WHERE name = '%s';", name);
    char *out = trial_shell(f, sql);
    double bytes = strtod(out, NULL);
    free(out);
    return bytes;
}

static void test_bytes_per_decision(void **state)
{
    struct trial f;
    struct stat file;
    (void)state;
    trial_open(&f);
    write_run(&f);
    trial_stop(&f);
    double blocks = table_bytes(&f, "routing_block") / DECISIONS;
    assert_int_equal(stat(f.path, &file), 0);
    double whole = (double)file.st_size / DECISIONS;
    print_message("routing_block %.3f, whole logbook %.3f bytes a decision\n", blocks, whole);
    assert_true(blocks > 2 && blocks <= 2.3);
    assert_true(whole <= 2.9);
    assert_estimate((double)file.st_size);
    trial_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_per_decision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
