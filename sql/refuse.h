/* What cannot be stored or not be read back is refused with STATUS_USAGE and a reason: by the call itself
 * where that can fail, else by the batch's commit. Nothing else would tell the caller before `moescope check`
 * does. Private to sql/. */
#ifndef SQL_REFUSE_H
#define SQL_REFUSE_H
#include <stdbool.h>
#include <stdint.h>

#include "sql/logbook.h"

/* -1 when an argument that must be there is NULL; what: what it is called. */
int refuse_null(const void *argument, const char *what, struct error *err);
int refuse_split(const char *split, struct error *err);
/* A run as moescope_begin_run is given it, but its name, which may be taken. */
int refuse_run(struct logbook *lb, const struct moescope_run *run, struct error *err);

/* An MoE layer as its run was begun with it. */
struct run_layer {
    int n_experts; /* routed; 0: the run has no such layer */
    int k;         /* 0: varies */
    int n_all;     /* with the shared ones */
};

/* Of a run that is running, into layers[LOGBOOK_MAX_LAYERS]; any other is refused. */
int run_layers_read(struct logbook *lb, int64_t run_id, struct run_layer layers[], struct error *err);

/* ---- batches: false, and the batch has failed, when it does not take what it is given ---- */

struct moescope_batch;
struct batch_sequence;

/* Only the first failure is told. Returns false, so that `return batch_refuse(...)` reads well. */
bool batch_refuse(struct moescope_batch *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* what: "metric", say. */
bool batch_takes_step(struct moescope_batch *b, const char *what, int64_t step);
bool batch_takes(struct moescope_batch *b, const char *what, int64_t step, const char *split);
bool batch_has(struct moescope_batch *b, const void *value, const char *what, const char *argument);
bool batch_takes_layer(struct moescope_batch *b, const char *what, int layer);
/* The same, of so many experts. */
bool batch_takes_experts(struct moescope_batch *b, const char *what, int layer, int n_experts);
bool batch_takes_event(struct moescope_batch *b, int64_t step, const char *kind, int layer, int expert);
bool batch_takes_load(struct moescope_batch *b, int64_t step, const char *split,
                      const struct moescope_load *load);
bool batch_takes_sequence(struct moescope_batch *b, int64_t step, const char *split,
                          const struct moescope_sequence *sequence);
/* *n: its number of decisions. */
bool batch_takes_block(struct moescope_batch *b, const struct batch_sequence *s,
                       const struct moescope_block *block, int64_t *n);

#endif
