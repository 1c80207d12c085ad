/* The sink that writes the logbook: the one place where engine and sql meet, shared by the programs train and
 * route. Decisions are handed over sequence by sequence; what is kept is the run's log.* configuration. */
#ifndef ENGINE_RECORD_H
#define ENGINE_RECORD_H
#include "base/error.h"
#include "engine/alarm.h"
#include "engine/config.h"
#include "engine/corpus.h"
#include "engine/sink.h"
#include "engine/summary.h"
#include "sql/logbook.h"

struct recorder {
    struct logbook *logbook;
    struct moescope_writer *writer;
    struct moescope_batch *batch; /* since the last commit; NULL when empty */
    const struct config *config;
    const struct moescope_setting *more; /* of runs that begin, besides the configuration's; may be NULL */
    int n_more;
    int64_t run_id, corpus_id, vocabulary_id;
    int64_t *document_ids, *domain_ids; /* (n_documents), (n_domains) of the corpus */
    struct sink sink;
};

/* Stores the corpus (unless it is there) and the ids that the logbook gives its documents. */
int recorder_open(struct recorder *r, struct logbook *lb, const struct config *config,
                  const struct corpus *corpus, struct error *err);
int recorder_begin(struct recorder *r, const char *name, int64_t seed, const struct summary *model,
                   int threads, struct error *err);
/* Goes on with a run of that name from a step. */
int recorder_resume(struct recorder *r, const char *name, int64_t step, struct error *err);
/* Hands an alarm what the run logged before it goes on: an unbroken run would have raised no other events.
 * What the probe chose at step 0 is known only where decisions were kept (log.decisions). */
int recorder_replay(struct recorder *r, struct alarm *a, struct error *err);
/* Everything on disk; then the run's status: finished, interrupted, failed. Safe after a failure. */
int recorder_end(struct recorder *r, const char *status, struct error *err);
void recorder_release(struct recorder *r);

/* Bytes that the run will add to the logbook. */
double recorder_size_estimate(const struct config *config, const struct summary *model,
                              int64_t tokens_in_corpus, int64_t probe_tokens);

#endif
