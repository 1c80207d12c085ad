/* Many logbooks into one. Runs are the same when their uuids are, whatever they are called; corpora,
 * vocabularies, documents and samples when their hashes are. Ids are given anew. A run's log that is there
 * already changes nothing; one that has grown since replaces what is there; another log of the same run, as
 * another rank of a data-parallel run writes it, is added up. */
#ifndef SQL_MERGE_H
#define SQL_MERGE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sql/logbook.h"

enum merge_deed {
    MERGE_ADDED,     /* the run is new */
    MERGE_UNCHANGED, /* all of it was there */
    MERGE_RENEWED,   /* it has grown, and replaced what was there */
    MERGE_SUMMED,    /* another part of a run that was there */
    MERGE_KEPT       /* what was there holds more, and stays */
};
extern const char *const merge_deeds[]; /* as words, by enum merge_deed */

struct merge_run { /* what became of one run of the input; texts live as long as the call it is told in */
    const char *name, *name_here, *status;
    const char *note; /* what a person should know; NULL: nothing */
    enum merge_deed deed;
    int64_t sequences; /* copied */
};

struct merge_options {
    const char *only;  /* the name of the one run to merge; NULL: all */
    const char *as;    /* what it is called here; NULL: what it is called there */
    bool refuse_taken; /* a name that another run has here is an error; else the newcomer is renamed */
    void (*tell)(void *context, const struct merge_run *run); /* once the input is committed; may be NULL */
    void (*advance)(void *context, int64_t done, int64_t total); /* sequences of this input; may be NULL */
    void *context;
};

/* Merges the logbook at `path` into lb, all or nothing, in one transaction; memory does not grow with either.
 * The input is only read, as it is at one moment, also while a run writes into it. STATUS_INPUT when it
 * cannot be read, or says something else of what has the same hash. */
int logbook_merge(struct logbook *lb, const char *path, const struct merge_options *options,
                  struct error *err);

struct gathered_run {
    const char *path, *name; /* where it is, and what it is called there */
    const char *as;          /* what it is called in the collection; no two alike */
};
/* A logbook for reading that holds these runs of several files: they are merged into a file without a name,
 * which is gone when it is closed, or this process ends; its path, in complaints, is that of the first run's
 * file. STATUS_INPUT where there is no such run; STATUS_USAGE where two of them are one and the same. */
int logbook_gather(struct logbook **out, const struct gathered_run *runs, int n, struct error *err);

#endif
