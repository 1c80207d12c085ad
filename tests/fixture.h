/* Small logbooks whose answers are known by construction, for the tests of the analyses: a corpus with named
 * domains, and runs whose router is a function of the test's choosing. Whatever cannot be done fails the test
 * it was called from. Open writable logbooks allow more to be added: f->logbook, f->document_ids. */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H
#include <stdint.h>

#include "sql/logbook.h"
#include "tests/support.h"

enum { FIXTURE_VOCABULARY = 64, FIXTURE_TOKENS = 32 /* a document */ };

struct fixture {
    const char *verb;    /* of the program that is asked about it; the test sets it */
    char *folder, *path; /* path: the logbook */
    struct logbook *logbook;
    int n_domains, n_documents; /* document d is of domain d % n_domains */
    int64_t corpus_id, vocabulary_id;
    int64_t *document_ids, *domain_ids; /* (n_documents) each */
};

/* Domains are called c, english, german, japanese, python, russian, ... in this order; their documents are in
 * split `probe`, 100 bytes each, with the labels "language" (odd or even: by domain) and "parity" (by
 * document within its domain). Token v has the text "wV" and the train_count v^3. */
void fixture_open(struct fixture *f, int n_domains, int documents_per_domain);
/* Closes the logbook, so that it can be read by a program; the file stays. */
void fixture_finish(struct fixture *f);
void fixture_release(struct fixture *f);

struct fixture_token {
    int64_t step;
    int layer, document, domain, position;
    int32_t id, next; /* 3 .. FIXTURE_VOCABULARY - 1, the same at every step */
};

struct fixture_run {
    const char *name;
    int n_layers, n_experts, k; /* blocks 0 .. n_layers - 1; n_layers 0: a dense run */
    const int64_t *steps;       /* of the probe */
    int n_steps;
    int without_probabilities;
    /* The router's probabilities; the k largest are the decision. */
    void (*route)(const struct fixture_token *at, float *probability, int n_experts, void *context);
    void *context;
};
/* Writes the run with its probe passes; returns its id. */
int64_t fixture_run(struct fixture *f, const struct fixture_run *run);
/* To write more of a run, also of one that has ended; its status stays. */
struct moescope_writer *fixture_writer(struct fixture *f, int64_t run_id);
/* Two runs that analyses of routing must refuse: `dense` has no MoE layers, `unprobed` no probe. */
void fixture_unrouted_runs(struct fixture *f);

/* ---- what programs say of it, once it is finished ---- */

/* moescope-VERB PATH ARGUMENTS */
struct test_run fixture_ask(const struct fixture *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* That program's --table as CSV, for tests/rows.h, the rest of the arguments behind it; caller frees. */
char *fixture_table(const struct fixture *f, const char *table, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What the stock shell answers, as CSV with headings, to the SQL that --print-sql shows; caller frees. */
char *fixture_sql(const struct fixture *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The exit status, with words that the complaint must hold ("": none are asked for); a program that could not
 * do its work prints nothing else. */
void fixture_status(const struct fixture *f, const char *arguments, int status, const char *complaint);

/* A number that looks random and depends on its argument alone. */
uint64_t fixture_hash(uint64_t x);

#endif
