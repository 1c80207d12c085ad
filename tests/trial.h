/* A trial logbook for the tests of sql/: one corpus of two documents, and what a step adds to it, tiny and
 * by hand. Anything that fails fails the test. */
#ifndef TESTS_TRIAL_H
#define TESTS_TRIAL_H
#include <stdint.h>

#include "sql/logbook.h"
#include "sql/read.h"

struct trial {
    char *folder, *path;
    struct logbook *lb; /* writable; NULL after trial_stop */
    struct moescope_writer *writer;
    int64_t corpus_id, vocabulary_id, run_id;
    int64_t document_ids[2], domain_ids[2];
    const char *uuid; /* of the next trial_run; NULL: random */
};

/* A logbook with the corpus and no run. Documents: "english/a.txt" (language en) and "python/b.py". */
void trial_open(struct trial *s);
/* What trial_open puts into it; does not fail the test. */
int trial_add_corpus(struct trial *s, struct error *err);
/* A run with the layers given, its writer open. */
void trial_run(struct trial *s, const char *name, const struct moescope_layer *layers, int n_layers,
               int gate_bits);
/* Opens the logbook again and goes on with a run from a step; its writer open. */
void trial_resume(struct trial *s, const char *name, int64_t step, int gate_bits);
/* What such a run has in its layers, for tests that do not care; and steps first .. last of it. A step is as
 * training logs it and a function of its number alone; every third sees a new piece of the document, the
 * others old ones. */
enum { TRIAL_LAYERS = 2 };
extern const struct moescope_layer trial_layers[TRIAL_LAYERS];
void trial_log_steps(struct trial *s, int64_t first, int64_t last);
/* Closes the writer, ends the run as finished (or as `status` says) and, with status NULL, leaves it running.
 */
void trial_end(struct trial *s, const char *status);
/* Closes everything; the file stays, to be read by other means. */
void trial_stop(struct trial *s);
/* The logbook again, read-only. */
void trial_read(struct trial *s);
void trial_release(struct trial *s);

/* Runs SQL in the stock sqlite3 shell, without extension; its whole output, caller frees. */
char *trial_shell(struct trial *s, const char *sql);
/* The same, compared with what is expected. */
void trial_expect(struct trial *s, const char *sql, const char *expected);

#endif
