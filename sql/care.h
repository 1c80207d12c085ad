/* Care of a logbook: copies, and changes to what is in it, by request and never by the way. The programs of
 * care/ are made of these. What changes a logbook does so in one transaction, and to nothing else. */
#ifndef SQL_CARE_H
#define SQL_CARE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/progress.h"
#include "sql/logbook.h"

/* ---- signals ---- */

/* From here on SIGINT, SIGTERM and SIGHUP make what SQLite does for this logbook fail, "interrupted", so that
 * it is taken back and nothing is left behind; a second one kills. NULL, before it is closed: no more. */
void logbook_stop_on_signals(struct logbook *lb);
/* What a program leaves with that fails with `status`: 128 + the signal if one came. */
int logbook_status(int status);
/* Whether one has come: one between two statements interrupts neither. */
bool logbook_stopped(void);

/* ---- snapshot ---- */

/* Copies the logbook to `path`: one file, compact, not in WAL mode, that appears whole or not at all. Works
 * on a reader while a run is writing; what it has not committed yet is not in the copy. `lb` must not be in a
 * transaction. A file that is there already is STATUS_USAGE unless `replace`; no room for the copy is
 * STATUS_MACHINE, told before it is begun where that can be known. progress (bytes; may be NULL): started by
 * the caller. */
int logbook_snapshot(struct logbook *lb, const char *path, bool replace, struct progress *progress,
                     struct error *err);

/* Bytes that the logbook's content takes; what deleted rows have left free in the file is not counted. */
int logbook_bytes(struct logbook *lb, int64_t *bytes, struct error *err);

/* ---- changes ---- */

/* moescope_open for a logbook that must be there: none is made. */
int logbook_open_to_change(struct logbook **lb, const char *path, struct error *err);

/* Gives free space in the file back, in place; *given_back: bytes. STATUS_MACHINE with the file as it was:
 * when there is no room for the work, or another program has the file open. */
int logbook_vacuum(struct logbook *lb, int64_t *given_back, struct error *err);

struct run_change {
    const char *run;
    const char *new_name; /* NULL: the run is deleted */
    int64_t sequences;    /* out: how many passes over samples it had; of a deleted run */
};

/* Renames and deletes runs, in the order given, all of it or nothing. A deleted run leaves no row behind, nor
 * samples that no other run refers to; corpora and vocabularies stay. A name that is taken is STATUS_USAGE;
 * so is a run that is being written, and unless `force` one that stalled: it is marked as running and silent
 * for more than a minute. dry_run: nothing is changed, but the rest is told. *freed: bytes that became free
 * in the file, which keeps its size. */
int logbook_change_runs(struct logbook *lb, struct run_change *changes, int n, bool force, bool dry_run,
                        int64_t *freed, struct error *err);

struct prune_request {
    const char *run;
    const char *const *splits; /* train, valid, probe, routed, seen */
    int n_splits;
    int64_t first_step, last_step; /* both inclusive */
    int64_t keep_every;            /* passes of steps that this divides stay; 0: none of them */
    bool decisions, probabilities, losses;
    bool force, dry_run; /* as in logbook_change_runs */
};
struct pruned {
    int64_t passes;                           /* of which something was dropped */
    int64_t decisions, probabilities, losses; /* that were dropped */
    int64_t bytes;                            /* that they took, packed */
};

/* Drops decisions, the router's probabilities or the losses of tokens, always of whole passes (all that a run
 * has of a step and split), so that what stays adds up. Loads, metrics and the losses of documents stay. The
 * run says so: an event `pruned`, and log.pruned in its configuration. progress (passes; may be NULL):
 * started here. */
int logbook_prune(struct logbook *lb, const struct prune_request *request, struct pruned *pruned,
                  struct progress *progress, struct error *err);

#endif
