/* A scratch logbook for the tests of sql/: one corpus of two documents, and what a step adds to it, tiny and
 * by hand. Anything that fails fails the test. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H
#include <stdint.h>

#include "sql/logbook.h"
#include "sql/read.h"

struct scratch {
    char *folder, *path;
    struct logbook *lb; /* writable; NULL after scratch_stop */
    struct logbook_writer *writer;
    int64_t corpus_id, vocabulary_id, run_id;
    int64_t document_ids[2], domain_ids[2];
};

/* A logbook with the corpus and no run. Documents: "english/a.txt" (language en) and "python/b.py". */
void scratch_open(struct scratch *s);
/* A run with the layers given, its writer open. */
void scratch_run(struct scratch *s, const char *name, const struct logbook_layer *layers, int n_layers,
                 int gate_bits);
/* Closes the writer, ends the run as finished (or as `status` says) and, with status NULL, leaves it running.
 */
void scratch_end(struct scratch *s, const char *status);
/* Closes everything; the file stays, to be read by other means. */
void scratch_stop(struct scratch *s);
/* The logbook again, read-only. */
void scratch_read(struct scratch *s);
void scratch_release(struct scratch *s);

/* Runs SQL in the stock sqlite3 shell, without extension; its whole output, caller frees. */
char *scratch_shell(struct scratch *s, const char *sql);
/* The same, compared with what is expected. */
void scratch_expect(struct scratch *s, const char *sql, const char *expected);

#endif
