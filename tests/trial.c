#include "tests/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/support.h"

int trial_add_corpus(struct trial *s, struct error *err)
{
    static const struct moescope_token tokens[] = {
        {"<unk>", "special", 0}, {"a", "piece", 7}, {" b", "piece", 5}, {"<0xE3>", "byte", 1}};
    static const struct moescope_label labels[] = {{"language", "en"}, {"topic", "prose"}};
    const struct moescope_document documents[] = {
        {"english/a.txt", "english", "d1", "train", 10000000, 4000000, labels, 2},
        {"python/b.py", "python", "d2", "probe", 20000000, 5000000, NULL, 0},
    };
    const struct moescope_corpus corpus = {.name = "scratch",
                                           .sha256 = "c1",
                                           .vocabulary_name = "tiny",
                                           .vocabulary_sha256 = "v1",
                                           .tokens = tokens,
                                           .n_tokens = 4,
                                           .documents = documents,
                                           .n_documents = 2};
    return moescope_add_corpus(s->lb, &corpus, &s->corpus_id, &s->vocabulary_id, s->document_ids,
                               s->domain_ids, err);
}

void trial_open(struct trial *s)
{
    struct error err;
    struct text path;
    memset(s, 0, sizeof *s);
    s->folder = test_folder();
    text_init(&path);
    text_printf(&path, "%s/log.db", s->folder);
    s->path = text_detach(&path);
    test_must(moescope_open(&s->lb, s->path, &err), &err);
    test_must(trial_add_corpus(s, &err), &err);
}

void trial_run(struct trial *s, const char *name, const struct moescope_layer *layers, int n_layers,
               int gate_bits)
{
    static const struct moescope_setting config[] = {{"model.width", "64"}, {"router.name", "\"topk\""}};
    const struct moescope_run run = {.uuid = s->uuid,
                                     .name = name,
                                     .task = "language_model",
                                     .router = "topk",
                                     .program = "test",
                                     .machine_json = "{\"threads\": 1}",
                                     .seed = 7,
                                     .corpus_id = s->corpus_id,
                                     .vocabulary_id = s->vocabulary_id,
                                     .config = config,
                                     .n_config = 2,
                                     .layers = layers,
                                     .n_layers = n_layers};
    const struct moescope_writer_options options = {.gate_bits = gate_bits};
    struct error err;
    test_must(moescope_begin_run(s->lb, &run, &s->run_id, &err), &err);
    test_must(moescope_writer_open(&s->writer, s->lb, s->run_id, &options, &err), &err);
}

void trial_resume(struct trial *s, const char *name, int64_t step, int gate_bits)
{
    const struct moescope_writer_options options = {.gate_bits = gate_bits};
    struct error err;
    test_must(moescope_open(&s->lb, s->path, &err), &err);
    test_must(moescope_resume_run(s->lb, name, step, &s->run_id, &err), &err);
    test_must(moescope_writer_open(&s->writer, s->lb, s->run_id, &options, &err), &err);
}

const struct moescope_layer trial_layers[TRIAL_LAYERS] = {
    {.layer = 0,
     .router = "topk",
     .n_experts = 4,
     .k = 1,
     .expert_parameters = 12,
     .n_shared = 1,
     .shared_parameters = 6},
    {.layer = 2, .router = "soft", .n_experts = 3},
};

static void log_step(struct trial *s, int64_t step)
{
    struct error err;
    struct moescope_batch *b = moescope_batch_new(s->writer, &err);
    const int32_t piece = (int32_t)(step % 3 == 0 ? step : 0);
    const int32_t ids[] = {piece, 1, 2};
    const float loss[] = {(float)step, 1};
    const int32_t expert[] = {(int32_t)(step % 4), 3};
    const float gate[] = {0.5f, 0.25f}, probability[8] = {1, 0, 0, 0, 0, 0, 0, 1};
    const int64_t assignments[] = {1, 0, 0, 1};
    const double sums[] = {0.1 * (double)step, 0, 0, 1};
    const struct moescope_sequence q = {
        .document_id = s->document_ids[0], .offset = 2 * piece, .n_tokens = 2, .ids = ids, .loss = loss};
    const struct moescope_block block = {.n_experts = 4, .k = 1, .expert = expert, .gate = gate};
    const struct moescope_load load = {
        .n_experts = 4, .assignments = assignments, .gate_sum = sums, .probability_sum = sums};
    assert_non_null(b);
    moescope_batch_metric(b, step, "train", "loss", (double)step);
    moescope_batch_layer_metric(b, step, "train", 0, "router_entropy", (double)step);
    moescope_batch_document_loss(b, step, "train", s->document_ids[0], 2, 5, (double)step + 1);
    moescope_batch_load(b, step, "train", &load);
    int handle = moescope_batch_sequence(b, step, step % 2 == 0 ? "train" : "probe", &q);
    moescope_batch_routing(b, handle, &block);
    moescope_batch_probability(b, handle, 0, 4, probability);
    if (step % 4 == 0) {
        moescope_batch_checkpoint(b, step, "c.safetensors", "ff");
    }
    if (moescope_batch_commit(b, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

void trial_log_steps(struct trial *s, int64_t first, int64_t last)
{
    for (int64_t step = first; step <= last; step++) {
        log_step(s, step);
    }
}

void trial_end(struct trial *s, const char *status)
{
    struct error err;
    struct moescope_writer *w = s->writer;
    s->writer = NULL;
    test_must(moescope_writer_close(w, &err), &err);
    if (status != NULL) {
        test_must(moescope_end_run(s->lb, s->run_id, status, &err), &err);
    }
}

void trial_stop(struct trial *s)
{
    moescope_close(s->lb);
    s->lb = NULL;
}

void trial_read(struct trial *s)
{
    struct error err;
    test_must(logbook_open(&s->lb, s->path, &err), &err);
}

void trial_release(struct trial *s)
{
    moescope_writer_close(s->writer, NULL);
    moescope_close(s->lb);
    test_folder_remove(s->folder);
    free(s->path);
    memset(s, 0, sizeof *s);
}

char *trial_shell(struct trial *s, const char *sql)
{
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/query.sql", s->folder);
    test_write_text(s->folder, "query.sql", sql);
    struct test_run r = test_run("sqlite3 -batch -readonly '%s' < '%s'", s->path, path.data);
    if (r.status != 0 || r.err[0] != '\0') {
        fail_msg("sqlite3: %s\n%s", r.err, sql);
    }
    char *out = strdup(r.out);
    test_run_release(&r);
    text_release(&path);
    return out;
}

void trial_expect(struct trial *s, const char *sql, const char *expected)
{
    char *out = trial_shell(s, sql);
    assert_string_equal(out, expected);
    free(out);
}
