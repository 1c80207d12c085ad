/* The logbook in C. What writes is the library's public header, sql/moescope.h, which knows `struct logbook`
 * and `struct error` by other names; sql/read.h reads. Only one connection writes; readers open read-only and
 * never lock it. */
#ifndef SQL_LOGBOOK_H
#define SQL_LOGBOOK_H
#include "base/error.h"

/* Types of ours are spelt without a prefix where no other program's are near. */
#define moescope_error   error
#define moescope_logbook logbook
#include "sql/moescope.h"

enum { LOGBOOK_APPLICATION_ID = 0x4D6F4573, LOGBOOK_SCHEMA_VERSION = 2, LOGBOOK_PAGE_SIZE = 32768 };
enum { LOGBOOK_WINDOW_STEPS = 100 }; /* of training, in load_window_block and the .sql files about it */
enum { LOGBOOK_MAX_LAYERS = 1024 };  /* a block's rowid is sequence_id * 1024 + layer */

/* Opens an existing logbook read-only, also one of an older schema; moescope_close closes it. STATUS_INPUT
 * when it is missing, not a logbook, or of a newer schema. */
int logbook_open(struct logbook **lb, const char *path, struct error *err);
/* Whether a file in WAL mode came without its WAL. A copy that was made while a run wrote lacks the last
 * steps, or mixes old pages with new ones; a file that somebody tidied up after a kill is whole. */
bool logbook_lacks_wal(const struct logbook *lb);
/* The name of the network file system for whose sake the logbook has no WAL; NULL: it has. */
const char *logbook_remote(const struct logbook *lb);

/* From here on all that is written, by whichever function, is one transaction: it is there after
 * logbook_end_whole with result 0, and else, or when the program is killed, the logbook is as it was. Memory
 * stays bounded. What fails in between takes all of it back, and everything after fails for the same reason.
 */
int logbook_begin_whole(struct logbook *lb, struct error *err);
/* Writers are closed before. Returns -1 when `result` is not 0, or when it cannot be committed. */
int logbook_end_whole(struct logbook *lb, int result, struct error *err);
/* More documents of a corpus that is there: those of `corpus`, of which nothing else is looked at. */
int logbook_add_documents(struct logbook *lb, int64_t corpus_id, const struct moescope_corpus *corpus,
                          int64_t *document_ids, int64_t *domain_ids, struct error *err);

/* Bytes a run will add, by part, from the shape of a step; for the estimate printed before training. */
struct logbook_size_shape {
    int64_t steps, tokens_per_step, context, vocabulary, distinct_tokens;
    int moe_layers, n_experts, gate_bits;
    double k; /* mean decisions a token */
    double probe_passes, probe_tokens;
    int decisions; /* 0 none, 1 probe only, 2 all */
};
double logbook_size_estimate(const struct logbook_size_shape *shape);

#endif
