/* The probe's routing at one step: which experts each token was sent to, sample by sample, kept in memory so
 * that two passes (two steps of a run, or two runs) can be laid side by side. */
#ifndef ANALYSIS_SHARED_PROBE_H
#define ANALYSIS_SHARED_PROBE_H
#include "metrics/specialization.h"
#include "sql/read.h"

struct probe_entry { /* one sample in one layer */
    int64_t sample_id, document_id, domain_id;
    int layer, n_experts;
    struct slots slots; /* refused decisions (capacity) included: they are what the router chose */
    int32_t *memory;    /* what slots points into */
};

struct probe_pass {
    int64_t run_id, step;
    struct probe_entry *entries; /* in order of layer, then sample_id */
    int n;
};

/* The first and the last step at which the probe was routed; both -1 when it never was. */
int probe_span(struct logbook *lb, int64_t run_id, int64_t *first_step, int64_t *last_step,
               struct error *err);

int probe_pass_read(struct probe_pass *p, struct logbook *lb, int64_t run_id, int64_t step,
                    struct error *err);
void probe_pass_release(struct probe_pass *p); /* safe on zeroed and released */

/* NULL when that sample was not routed through that layer. */
const struct probe_entry *probe_pass_find(const struct probe_pass *p, int layer, int64_t sample_id);

#endif
