/* How far two runs route the probe alike in one layer, once the experts of one are matched to the other's. */
#ifndef ANALYSIS_SHARED_MATCHED_H
#define ANALYSIS_SHARED_MATCHED_H
#include "analysis/shared/probe.h"
#include "metrics/matching.h"
#include "metrics/resample.h"

struct matched_routing {
    struct matched_agreement agreement;
    struct interval interval; /* of the agreement, over documents within domains, the matching held fixed */
    int documents;
};

/* First choices of the samples that both passes routed through the layer; tokens to which either router gave
 * no expert are left out. Both have n_experts there. `seed`: of the halves and the changes of sign. */
int matched_routing(const struct probe_pass *a, const struct probe_pass *b, int layer, int n_experts,
                    uint64_t seed, struct matched_routing *m, struct error *err);

#endif
