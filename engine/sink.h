/* Where the engine tells what it did. The logbook is one sink (engine/record.h), a test's memory another; the
 * engine knows neither SQLite nor files of its own. Calls between two commits belong together: a sink keeps
 * all of them or none. `step` is the number of optimiser updates completed before the pass. */
#ifndef ENGINE_SINK_H
#define ENGINE_SINK_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/corpus.h"
#include "engine/pass.h"
#include "engine/tally.h"

struct sink_event {
    const char *kind;
    int layer;    /* -1: none */
    double value; /* NaN: none */
    const char *message;
};

struct sink {
    void *context;
    /* Decisions and token losses of one forward pass. */
    int (*pass)(void *context, int64_t step, enum corpus_split split, const struct pass *pass,
                struct error *err);
    /* Loads, losses by document and router figures over all passes of a step or an evaluation. */
    int (*summary)(void *context, int64_t step, enum corpus_split split, const struct tally *tally,
                   struct error *err);
    int (*metric)(void *context, int64_t step, enum corpus_split split, const char *name, double value,
                  struct error *err);
    int (*event)(void *context, int64_t step, const struct sink_event *event, struct error *err);
    int (*checkpoint)(void *context, int64_t step, const char *path, const char *sha256, struct error *err);
    int (*commit)(void *context, struct error *err);
    /* Returns when everything committed is safe. */
    int (*drain)(void *context, struct error *err);
};

#endif
