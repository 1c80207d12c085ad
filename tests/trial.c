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
    static const struct logbook_token tokens[] = {
        {"<unk>", "special", 0}, {"a", "piece", 7}, {" b", "piece", 5}, {"<0xE3>", "byte", 1}};
    static const struct logbook_label labels[] = {{"language", "en"}, {"topic", "prose"}};
    const struct logbook_document documents[] = {
        {"english/a.txt", "english", "d1", "train", 10000000, 4000000, labels, 2},
        {"python/b.py", "python", "d2", "probe", 20000000, 5000000, NULL, 0},
    };
    const struct logbook_corpus corpus = {.name = "scratch",
                                          .sha256 = "c1",
                                          .vocabulary_name = "tiny",
                                          .vocabulary_sha256 = "v1",
                                          .tokens = tokens,
                                          .n_tokens = 4,
                                          .documents = documents,
                                          .n_documents = 2};
    return logbook_add_corpus(s->lb, &corpus, &s->corpus_id, &s->vocabulary_id, s->document_ids,
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
    test_must(logbook_open_writable(&s->lb, s->path, &err), &err);
    test_must(trial_add_corpus(s, &err), &err);
}

void trial_run(struct trial *s, const char *name, const struct logbook_layer *layers, int n_layers,
               int gate_bits)
{
    static const struct logbook_setting config[] = {{"model.width", "64"}, {"router.name", "\"topk\""}};
    const struct logbook_run run = {.uuid = s->uuid,
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
    const struct logbook_writer_options options = {.gate_bits = gate_bits};
    struct error err;
    test_must(logbook_begin_run(s->lb, &run, &s->run_id, &err), &err);
    test_must(logbook_writer_open(&s->writer, s->lb, s->run_id, &options, &err), &err);
}

void trial_resume(struct trial *s, const char *name, int64_t step, int gate_bits)
{
    const struct logbook_writer_options options = {.gate_bits = gate_bits};
    struct error err;
    test_must(logbook_open_writable(&s->lb, s->path, &err), &err);
    test_must(logbook_resume_run(s->lb, name, step, &s->run_id, &err), &err);
    test_must(logbook_writer_open(&s->writer, s->lb, s->run_id, &options, &err), &err);
}

void trial_end(struct trial *s, const char *status)
{
    struct error err;
    struct logbook_writer *w = s->writer;
    s->writer = NULL;
    test_must(logbook_writer_close(w, &err), &err);
    if (status != NULL) {
        test_must(logbook_end_run(s->lb, s->run_id, status, &err), &err);
    }
}

void trial_stop(struct trial *s)
{
    logbook_close(s->lb);
    s->lb = NULL;
}

void trial_read(struct trial *s)
{
    struct error err;
    test_must(logbook_open(&s->lb, s->path, &err), &err);
}

void trial_release(struct trial *s)
{
    logbook_writer_close(s->writer, NULL);
    logbook_close(s->lb);
    test_folder_remove(s->folder);
    free(s->path);
    memset(s, 0, sizeof *s);
}

char *trial_shell(struct trial *s, const char *sql)
{
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/query.sql", s->folder);
    test_write(s->folder, "query.sql", sql, strlen(sql));
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
