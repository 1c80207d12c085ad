#include "tests/steps.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

const struct moescope_layer steps_layers[STEPS_LAYERS] = {
    {.layer = 0, .router = "topk", .n_experts = STEPS_EXPERTS, .k = 2, .expert_parameters = 12},
    {.layer = 1, .router = "threshold", .n_experts = STEPS_EXPERTS, .expert_parameters = 12},
};

/* ---- one step ---- */

struct layer_sums {
    int64_t assignments[STEPS_EXPERTS], dropped[STEPS_EXPERTS];
    double gates[STEPS_EXPERTS], probabilities[STEPS_EXPERTS];
};

struct arrays {
    int32_t ids[STEPS_MOST_TOKENS + 1], offsets[STEPS_MOST_TOKENS + 1], expert[2 * STEPS_MOST_TOKENS];
    float loss[STEPS_MOST_TOKENS], gate[2 * STEPS_MOST_TOKENS];
    float probability[STEPS_EXPERTS * STEPS_MOST_TOKENS];
    uint8_t dropped[2 * STEPS_MOST_TOKENS];
    struct layer_sums sums[STEPS_LAYERS];
};

static void decide(struct arrays *a, int layer, int64_t step, int tokens)
{
    int n = 0;
    for (int t = 0; t < tokens; t++) {
        int k = layer == 0 ? 2 : t % 3;
        a->offsets[t] = n;
        for (int slot = 0; slot < k; slot++, n++) {
            int e = (int)((t + step + slot) % STEPS_EXPERTS);
            a->expert[n] = e;
            a->gate[n] = slot == 0 ? 0.5f : 0.25f;
            a->dropped[n] = layer == 0 && t % 5 == 4 && slot == 1;
            a->sums[layer].assignments[e] += !a->dropped[n];
            a->sums[layer].dropped[e] += a->dropped[n];
            a->sums[layer].gates[e] += a->dropped[n] ? 0 : (double)a->gate[n]; /* of the accepted alone */
        }
    }
    a->offsets[tokens] = n;
}

static void add_sequence(struct moescope_batch *b, struct arrays *a, int64_t document_id, int64_t step, int i,
                         const char *split, struct steps_size size)
{
    for (int t = 0; t <= size.tokens; t++) {
        a->ids[t] = (int32_t)((t + i) % 4);
    }
    for (int t = 0; t < size.tokens; t++) {
        a->loss[t] = (float)(1 + t % 2);
    }
    const struct moescope_sequence sequence = {.document_id = document_id,
                                               .offset = (step * size.sequences + i) * size.tokens,
                                               .n_tokens = size.tokens,
                                               .ids = a->ids,
                                               .loss = a->loss};
    int handle = moescope_batch_sequence(b, step, split, &sequence);
    for (int l = 0; l < STEPS_LAYERS; l++) {
        decide(a, l, step, size.tokens);
        const struct moescope_block block = {.layer = l,
                                             .n_experts = STEPS_EXPERTS,
                                             .k = l == 0 ? 2 : 0,
                                             .offsets = l == 0 ? NULL : a->offsets,
                                             .expert = a->expert,
                                             .gate = a->gate,
                                             .dropped = a->dropped};
        moescope_batch_routing(b, handle, &block);
        if (strcmp(split, "probe") == 0) {
            moescope_batch_probability(b, handle, l, STEPS_EXPERTS, a->probability);
        }
    }
}

static void add_split(struct moescope_batch *b, struct arrays *a, int64_t document_id, int64_t step,
                      const char *split, struct steps_size size)
{
    int64_t tokens = (int64_t)size.sequences * size.tokens;
    int odd = size.tokens / 2; /* tokens with the greater loss */
    double loss_sum = size.sequences * (double)(size.tokens + odd);
    memset(a->sums, 0, sizeof a->sums);
    for (int i = 0; i < size.sequences; i++) {
        add_sequence(b, a, document_id, step, i, split, size);
    }
    for (int l = 0; l < STEPS_LAYERS; l++) {
        for (int e = 0; e < STEPS_EXPERTS; e++) { /* the router has no opinion */
            a->sums[l].probabilities[e] = (double)tokens / STEPS_EXPERTS;
        }
        const struct moescope_load load = {.layer = l,
                                           .n_experts = STEPS_EXPERTS,
                                           .assignments = a->sums[l].assignments,
                                           .dropped = a->sums[l].dropped,
                                           .gate_sum = a->sums[l].gates,
                                           .probability_sum = a->sums[l].probabilities};
        moescope_batch_load(b, step, split, &load);
        moescope_batch_layer_metric(b, step, split, l, "router_entropy", log(STEPS_EXPERTS));
    }
    moescope_batch_metric(b, step, split, "loss", loss_sum / (double)tokens);
    moescope_batch_document_loss(b, step, split, document_id, tokens, 5 * tokens, loss_sum);
}

int steps_log(struct moescope_writer *w, int64_t document_id, int64_t step, struct steps_size size,
              struct error *err)
{
    static struct arrays arrays; /* too large for a stack */
    struct moescope_batch *b = moescope_batch_new(w, err);
    if (b == NULL) {
        return -1;
    }
    for (int i = 0; i < STEPS_EXPERTS * STEPS_MOST_TOKENS; i++) {
        arrays.probability[i] = 1.0f / STEPS_EXPERTS;
    }
    if (step % 2 == 0) {
        add_split(b, &arrays, document_id, step, "probe", size);
    }
    add_split(b, &arrays, document_id, step, "train", size);
    if (step > 0 && step % 4 == 0) {
        moescope_batch_checkpoint(b, step, "r.safetensors", "ff");
    }
    return moescope_batch_commit(b, err);
}

/* ---- runs ---- */

static int open_writer(struct trial *s, struct error *err)
{
    const struct moescope_writer_options options = {.gate_bits = 8, .derive_loads = true};
    return moescope_writer_open(&s->writer, s->lb, s->run_id, &options, err);
}

int steps_begin(struct trial *s, const char *name, struct error *err)
{
    const struct moescope_run run = {.name = name,
                                     .task = "language_model",
                                     .router = "topk",
                                     .program = "test",
                                     .seed = 7,
                                     .corpus_id = s->corpus_id,
                                     .vocabulary_id = s->vocabulary_id,
                                     .layers = steps_layers,
                                     .n_layers = STEPS_LAYERS};
    return moescope_begin_run(s->lb, &run, &s->run_id, err) != 0 ? -1 : open_writer(s, err);
}

int steps_resume(struct trial *s, const char *name, int64_t step, struct error *err)
{
    return moescope_resume_run(s->lb, name, step, &s->run_id, err) != 0 ? -1 : open_writer(s, err);
}

/* ---- a small run ---- */

static const struct steps_size small = {.sequences = 2, .tokens = 20};

static int log_rest(struct trial *s, int64_t first, int64_t *safe, struct error *err)
{
    for (int64_t step = first; step < STEPS_OF_RUN; step++) {
        if (steps_log(s->writer, s->document_ids[0], step, small, err) != 0) {
            return -1;
        }
        if (step % 2 == 1) {
            if (moescope_writer_drain(s->writer, err) != 0) {
                return -1;
            }
            *safe = step + 1;
        }
    }
    struct moescope_writer *w = s->writer;
    s->writer = NULL;
    if (moescope_writer_close(w, err) != 0) {
        return -1;
    }
    *safe = STEPS_OF_RUN;
    return moescope_end_run(s->lb, s->run_id, "finished", err);
}

int steps_run(struct trial *s, int64_t *safe, struct error *err)
{
    *safe = 0;
    if (moescope_open(&s->lb, s->path, err) != 0 || trial_add_corpus(s, err) != 0 ||
        steps_begin(s, "r", err) != 0) {
        return -1;
    }
    return log_rest(s, 0, safe, err);
}

void steps_leave(struct trial *s)
{
    moescope_writer_close(s->writer, NULL);
    s->writer = NULL;
    moescope_close(s->lb);
    s->lb = NULL;
}

void steps_go_on(struct trial *s, int64_t safe)
{
    struct error err;
    int64_t id;
    test_must(moescope_open(&s->lb, s->path, &err), &err);
    test_must(trial_add_corpus(s, &err), &err);
    bool begun = logbook_find_run(s->lb, "r", &id, NULL) == 0;
    test_must(begun ? steps_resume(s, "r", safe, &err) : steps_begin(s, "r", &err), &err);
    test_must(log_rest(s, safe, &safe, &err), &err);
    steps_leave(s);
}

long steps_stride(long otherwise)
{
    const char *told = getenv("MOESCOPE_FAULTS");
    long stride = told == NULL ? 0 : strcmp(told, "all") == 0 ? 1 : strtol(told, NULL, 10);
    return stride > 0 && stride < otherwise ? stride : STEPS_SPARSE * otherwise;
}

void steps_remove(const struct trial *s)
{
    struct test_run r = test_run("cd '%s' && rm -f log.db*", s->folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

void steps_expect_safe(const char *path, int64_t safe, long n)
{
    static const char *const sql =
        "SELECT count(*) AS n, max(step) + 1 AS reach FROM metric WHERE split = 'train'";
    struct logbook *lb;
    struct query *q;
    struct error err;
    if (safe == 0) { /* perhaps there is not even a logbook */
        return;
    }
    test_must(logbook_open(&lb, path, &err), &err);
    test_must(query_open_text(&q, lb, sql, &err), &err);
    assert_int_equal(query_step(q, &err), 1);
    if (query_int(q, "n") < safe || query_int(q, "reach") != query_int(q, "n")) {
        fail_msg("failure %ld: %lld steps are left of %lld", n, (long long)query_int(q, "n"),
                 (long long)safe);
    }
    query_close(q);
    moescope_close(lb);
    steps_expect_clean(path);
}

/* ---- what is left ---- */

void steps_expect_clean(const char *path)
{
    struct check_finding findings[CHECK_MAX_FINDINGS];
    int n = CHECK_MAX_FINDINGS;
    struct logbook *lb;
    struct error err;
    test_must(logbook_open(&lb, path, &err), &err);
    test_must(logbook_check(lb, findings, &n, &err), &err);
    for (int i = 0; i < n; i++) {
        if (findings[i].violations > 0) {
            fail_msg("%s: %s: %s", path, findings[i].what, findings[i].detail);
        }
    }
    moescope_close(lb);
}

char *steps_contents(struct trial *s)
{
    return trial_shell(
        s, "SELECT name, status FROM run; SELECT * FROM moe_layer; SELECT * FROM expert;"
           "SELECT * FROM document; SELECT * FROM metric; SELECT * FROM layer_metric;"
           "SELECT * FROM load_block; SELECT * FROM document_loss; SELECT * FROM checkpoint;"
           "SELECT sample_id, document_id, \"offset\", hex(sha256), hex(tokens) FROM sample;"
           "SELECT sequence_id, run_id, step, split, sample_id, hex(losses), checksum FROM sequence;"
           "SELECT block_id, codec, k, scale, hex(experts), hex(gates), hex(offsets), hex(dropped), checksum "
           "FROM routing_block; SELECT block_id, n_experts, hex(p), checksum FROM probability_block;");
}
