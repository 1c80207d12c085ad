/* Many sequences, several threads: a scan's sequences are taken in chunks by workers that have a connection
 * each, and the chunks' results come back in the scan's own order, so that sums and rows do not depend on who
 * did what.
 *
 * The first chunks are worked on by the caller: most scans are short. Threads begin when a scan proves long,
 * where there are cores for them, and where their connections see the same rows as the caller's: in a logbook
 * that is not in WAL mode readers keep writers out, as long as they read. While a run is writing (WAL) the
 * caller works alone. Private to sql/. */
#ifndef SQL_CREW_H
#define SQL_CREW_H
#include "sql/scan.h"

/* What the workers do. A worker has a scan of its own, opened on the logbook that worker_new is given; a
 * result has room for whatever comes of a chunk, errors included. Results are kept and used again. */
struct crew_trade {
    int chunk; /* sequences */
    void *(*worker_new)(void *context, struct logbook *lb, struct error *err);
    void (*worker_free)(void *worker);
    void *(*result_new)(void);
    void (*result_free)(void *result);
    /* Goes to each of the sequences (scan_enter_sequence) in a scan that scan_start has given the filter. */
    void (*work)(void *worker, void *result, const struct scan_sequence *sequences, int n);
    struct scan *(*scan_of)(void *worker);
};

struct crew;
/* lead: the caller's own worker, whose scan also finds the sequences. */
int crew_open(struct crew **crew, const struct crew_trade *trade, void *context, void *lead,
              struct error *err);
void crew_close(struct crew *crew); /* safe on NULL */
/* Whatever is underway is dropped: the lead's scan has begun anew (scan_start). */
void crew_restart(struct crew *crew);
/* 1: *result is the next chunk's, until the next call; 0: no more; -1. */
int crew_next(struct crew *crew, void **result, struct error *err);

#endif
