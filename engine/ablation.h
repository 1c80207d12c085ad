/* Ablations of a trained run: its evaluation again, with one thing changed in how it routes. Each is a run of
 * its own in the same logbook, of the same configuration, with settings that say what it is:
 *
 *   ablate.run     uuid of the run that it is of         ablate.split   valid or probe
 *   ablate.what    nothing, without, rerouted, k,        ablate.layer   the block; left out: all of them
 *                  random, shuffled, untrained           ablate.expert  of without and rerouted
 *                  (engine/intervention.h)               ablate.k       of k: experts a token keeps
 *   ablate.seed    of random and shuffled
 *
 * It keeps the losses of documents and the loads, and no decisions. `nothing` is the evaluation as it was, on
 * this machine: what the others are compared with. */
#ifndef ENGINE_ABLATION_H
#define ENGINE_ABLATION_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/intervention.h"

struct ablation_request {
    const char *logbook, *run;       /* run NULL: the only one */
    const char *checkpoint, *corpus; /* NULL: where the logbook says */
    bool what[N_INTERVENTIONS];
    int64_t layer; /* -1: all */
    const char *split;
    int64_t seed, threads; /* threads 0: one a core */
    bool quiet;
};

/* Makes the ablations that are not there yet; those that were broken off are made anew. Nothing is opened for
 * writing when none is missing. */
int ablation_make(const struct ablation_request *request, struct error *err);

#endif
