#include "tests/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sql/db.h"
#include "tests/support.h"

enum { MOST_EXPERTS = 64, MOST_DOMAINS = 12 };

uint64_t fixture_hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int32_t token_id(int document, int position)
{
    uint64_t bits = fixture_hash((uint64_t)document * 1000 + (uint64_t)position);
    return 3 + (int32_t)(bits % (FIXTURE_VOCABULARY - 3));
}

/* ---- the corpus ---- */

static void name_tokens(struct moescope_token *tokens, char (*texts)[16])
{
    for (int v = 0; v < FIXTURE_VOCABULARY; v++) {
        snprintf(texts[v], sizeof texts[v], "w%d", v);
        tokens[v] = (struct moescope_token){texts[v], v < 3 ? "special" : "piece", (int64_t)v * v * v};
    }
}

static void add_corpus(struct fixture *f)
{
    static const char *const domains[MOST_DOMAINS] = {"c",      "english", "german",  "japanese",
                                                      "python", "russian", "sayings", "spanish",
                                                      "french", "polish",  "sql",     "verse"};
    static const struct moescope_label even[2] = {{"language", "even"}, {"parity", "0"}};
    static const struct moescope_label odd[2] = {{"language", "odd"}, {"parity", "1"}};
    struct moescope_token tokens[FIXTURE_VOCABULARY];
    char texts[FIXTURE_VOCABULARY][16];
    struct error err = {0};
    size_t n = (size_t)f->n_documents;
    struct moescope_document *documents = calloc(n, sizeof *documents);
    struct moescope_label(*labels)[2] = calloc(n, sizeof *labels);
    char(*names)[2][32] = calloc(n, sizeof *names);
    assert_non_null(documents);
    assert_non_null(labels);
    assert_non_null(names);
    name_tokens(tokens, texts);
    for (int d = 0; d < f->n_documents; d++) {
        int domain = d % f->n_domains, within = d / f->n_domains;
        snprintf(names[d][0], sizeof names[d][0], "%s/%d", domains[domain], within);
        snprintf(names[d][1], sizeof names[d][1], "%016d", d);
        labels[d][0] = domain % 2 ? odd[0] : even[0];
        labels[d][1] = within % 2 ? odd[1] : even[1];
        documents[d] = (struct moescope_document){names[d][0], domains[domain], names[d][1], "probe",
                                                  100,         FIXTURE_TOKENS,  labels[d],   2};
    }
    struct moescope_corpus corpus = {"fixture",          "c0",      "fixture",     "v0", tokens,
                                     FIXTURE_VOCABULARY, documents, f->n_documents};
    test_must(moescope_add_corpus(f->logbook, &corpus, &f->corpus_id, &f->vocabulary_id, f->document_ids,
                                  f->domain_ids, &err),
              &err);
    free(documents);
    free(labels);
    free(names);
}

void fixture_open(struct fixture *f, int n_domains, int documents_per_domain)
{
    struct error err = {0};
    assert_true(n_domains <= MOST_DOMAINS);
    *f = (struct fixture){
        .folder = test_folder(), .n_domains = n_domains, .n_documents = n_domains * documents_per_domain};
    assert_true(asprintf(&f->path, "%s/fixture.db", f->folder) > 0);
    f->document_ids = calloc((size_t)f->n_documents, sizeof *f->document_ids);
    f->domain_ids = calloc((size_t)f->n_documents, sizeof *f->domain_ids);
    assert_non_null(f->document_ids);
    assert_non_null(f->domain_ids);
    test_must(moescope_open(&f->logbook, f->path, &err), &err);
    add_corpus(f);
}

void fixture_finish(struct fixture *f)
{
    if (f->logbook)
        moescope_close(f->logbook);
    f->logbook = NULL;
}

void fixture_release(struct fixture *f)
{
    fixture_finish(f);
    test_folder_remove(f->folder);
    free(f->path);
    free(f->document_ids);
    free(f->domain_ids);
}

/* ---- runs ---- */

/* The k largest, largest first, the lower expert first among equals. */
static void choose(const float *probability, int n_experts, int k, int32_t *expert, float *gate)
{
    char taken[MOST_EXPERTS] = {0};
    for (int slot = 0; slot < k; slot++) {
        int best = 0;
        while (taken[best])
            best++;
        for (int e = best; e < n_experts; e++)
            if (!taken[e] && probability[e] > probability[best])
                best = e;
        taken[best] = 1;
        expert[slot] = best;
        gate[slot] = probability[best];
    }
}

static void add_layer(struct moescope_batch *b, int sequence, const struct fixture_run *run,
                      struct fixture_token at)
{
    float probability[FIXTURE_TOKENS * MOST_EXPERTS] = {0}, gate[FIXTURE_TOKENS * MOST_EXPERTS];
    int32_t expert[FIXTURE_TOKENS * MOST_EXPERTS];
    for (int t = 0; t < FIXTURE_TOKENS; t++) {
        at.position = t;
        at.id = token_id(at.document, t);
        at.next = token_id(at.document, t + 1);
        run->route(&at, probability + t * run->n_experts, run->n_experts, run->context);
        choose(probability + t * run->n_experts, run->n_experts, run->k, expert + t * run->k,
               gate + t * run->k);
    }
    struct moescope_block block = {
        .layer = at.layer, .n_experts = run->n_experts, .k = run->k, .expert = expert, .gate = gate};
    moescope_batch_routing(b, sequence, &block);
    if (!run->without_probabilities)
        moescope_batch_probability(b, sequence, at.layer, run->n_experts, probability);
}

static void add_pass(struct fixture *f, struct moescope_writer *w, const struct fixture_run *run,
                     int64_t step)
{
    struct error err = {0};
    struct moescope_batch *b = moescope_batch_new(w, &err);
    if (!b)
        fail_msg("%s", err.text);
    for (int d = 0; d < f->n_documents; d++) {
        int32_t ids[FIXTURE_TOKENS + 1];
        float loss[FIXTURE_TOKENS];
        for (int t = 0; t <= FIXTURE_TOKENS; t++)
            ids[t] = token_id(d, t);
        for (int t = 0; t < FIXTURE_TOKENS; t++)
            loss[t] = 2;
        struct moescope_sequence sequence = {
            .document_id = f->document_ids[d], .n_tokens = FIXTURE_TOKENS, .ids = ids, .loss = loss};
        int handle = moescope_batch_sequence(b, step, "probe", &sequence);
        for (int layer = 0; layer < run->n_layers; layer++)
            add_layer(b, handle, run,
                      (struct fixture_token){
                          .step = step, .layer = layer, .document = d, .domain = d % f->n_domains});
    }
    test_must(moescope_batch_commit(b, &err), &err);
}

static int set_status(struct fixture *f, int64_t run_id, const char *from, const char *to)
{
    char sql[128];
    struct error err;
    snprintf(sql, sizeof sql, "UPDATE run SET status = '%s' WHERE run_id = %lld AND status = '%s'", to,
             (long long)run_id, from);
    test_must(db_exec(f->logbook, sql, "write", &err), &err);
    return sqlite3_changes(f->logbook->db);
}

struct moescope_writer *fixture_writer(struct fixture *f, int64_t run_id)
{
    const struct moescope_writer_options options = {.gate_bits = 8};
    struct moescope_writer *w;
    struct error err;
    int ended = set_status(f, run_id, "finished", "running");
    test_must(moescope_writer_open(&w, f->logbook, run_id, &options, &err), &err);
    if (ended) {
        set_status(f, run_id, "running", "finished");
    }
    return w;
}

int64_t fixture_run(struct fixture *f, const struct fixture_run *run)
{
    struct error err = {0};
    struct moescope_writer *w;
    struct moescope_layer layers[16];
    int64_t run_id;
    assert_true(run->n_layers <= 16 && run->n_experts <= MOST_EXPERTS);
    for (int i = 0; i < run->n_layers; i++)
        layers[i] = (struct moescope_layer){.layer = i,
                                            .router = "topk",
                                            .n_experts = run->n_experts,
                                            .k = run->k,
                                            .expert_parameters = 1000};
    struct moescope_run row = {.name = run->name,
                               .task = "language_model",
                               .router = run->n_layers ? "topk" : "dense",
                               .program = "fixture",
                               .machine_json = "{}",
                               .seed = 1,
                               .corpus_id = f->corpus_id,
                               .vocabulary_id = f->vocabulary_id,
                               .layers = layers,
                               .n_layers = run->n_layers};
    struct moescope_writer_options options = {.gate_bits = 16};
    test_must(moescope_begin_run(f->logbook, &row, &run_id, &err), &err);
    test_must(moescope_writer_open(&w, f->logbook, run_id, &options, &err), &err);
    for (int i = 0; i < run->n_steps; i++)
        add_pass(f, w, run, run->steps[i]);
    test_must(moescope_writer_close(w, &err), &err);
    test_must(moescope_end_run(f->logbook, run_id, "finished", &err), &err);
    return run_id;
}

void fixture_unrouted_runs(struct fixture *f)
{
    fixture_run(f, &(struct fixture_run){.name = "dense"});
    fixture_run(f, &(struct fixture_run){.name = "unprobed", .n_layers = 1, .n_experts = 4, .k = 1});
}

/* ---- what programs say of it ---- */

/* moescope-VERB PATH ARGUMENTS, and what follows. */
__attribute__((format(printf, 3, 0))) static struct test_run ask(const struct fixture *f, const char *after,
                                                                 const char *format, va_list values)
{
    char *bin = test_bin(), *arguments = NULL;
    assert_non_null(f->verb);
    if (vasprintf(&arguments, format, values) < 0)
        fail_msg("no memory for a command");
    struct test_run r = test_run("%s/moescope-%s %s %s %s", bin, f->verb, f->path, arguments, after);
    free(arguments);
    free(bin);
    return r;
}

/* The standard output of a command that must succeed, without a complaint. */
static char *output_of(struct test_run r)
{
    if (r.status != 0 || *r.err)
        fail_msg("status %d: %s", r.status, r.err);
    free(r.err);
    return r.out;
}

struct test_run fixture_ask(const struct fixture *f, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    struct test_run r = ask(f, "", format, values);
    va_end(values);
    return r;
}

char *fixture_table(const struct fixture *f, const char *table, const char *format, ...)
{
    char after[64];
    va_list values;
    snprintf(after, sizeof after, "--format csv --table %s", table);
    va_start(values, format);
    struct test_run r = ask(f, after, format, values);
    va_end(values);
    return output_of(r);
}

char *fixture_sql(const struct fixture *f, const char *format, ...)
{
    char *after = NULL;
    va_list values;
    if (asprintf(&after, "--print-sql | sqlite3 -bail -readonly -csv -header %s", f->path) < 0)
        fail_msg("no memory for a command");
    va_start(values, format);
    struct test_run r = ask(f, after, format, values);
    va_end(values);
    free(after);
    return output_of(r);
}

void fixture_status(const struct fixture *f, const char *arguments, int status, const char *complaint)
{
    struct test_run r = fixture_ask(f, "%s", arguments);
    if (r.status != status || !strstr(r.err, complaint))
        fail_msg("%s: status %d, not %d, and not '%s' but: %s", arguments, r.status, status, complaint,
                 r.err);
    if (status > STATUS_FINDING)
        assert_string_equal(r.out, "");
    test_run_release(&r);
}
