/* What ablations of a run cost: the loss of each of its documents with something changed in the routing,
 * against the same document's as it was. The unit is the document; it is a statement about this trained
 * model. The runs are made by engine/ablation.h. */
#ifndef ANALYSIS_SHARED_ABLATED_H
#define ANALYSIS_SHARED_ABLATED_H
#include "analysis/shared/losses.h"
#include "analysis/shared/program.h"

struct ablated {
    int64_t run_id, seed;
    char *what;    /* nothing, without, rerouted, k, random, shuffled, untrained (engine/intervention.h) */
    int layer;     /* -1: all */
    int expert, k; /* -1: none */
    struct judged all;     /* nats per token; p adjusted among those of its kind */
    struct judged *domain; /* (n_domains) in `unit`; p adjusted among all domains of all of its kind */
    int documents;
};

struct ablations {
    /* options */
    const char *split;
    double margin; /* nats per token */

    struct ablated *items; /* without `nothing` */
    int n;
    int64_t nothing; /* its run; 0: none was made */
    struct domain_names domains;
    struct evaluation whole; /* of `nothing` */
    enum loss_unit unit;     /* of domains: bits per byte of text */
    double *share;           /* (n_layers of the run, max_experts) of the layer's decisions; NaN: not known */
};

/* Those of a->run_id; none is no error. */
int ablations_read(struct ablations *s, const struct analysis *a, struct error *err);
void ablations_release(struct ablations *s); /* safe on zeroed */

/* NULL: it was not made. layer -1: all; expert or k -1: none. */
const struct ablated *ablations_find(const struct ablations *s, const char *what, int layer, int expert,
                                     int k);
/* The domain that it hurts most; -1: none is known. */
int ablated_worst_domain(const struct ablations *s, const struct ablated *x);

/* Needed k: the least to which the layer was truncated at a cost of at most the margin, by the estimate or,
 * certainly, by the upper end of its interval; its own k (0: varies) when no truncation was so cheap. */
struct needed_k {
    int now, needed, certain;
    const struct ablated *at; /* the truncation to `needed`; NULL: it is `now` */
};
/* false: no truncation of that layer was made. */
bool ablations_needed(const struct ablations *s, const struct moe_layer *layer, struct needed_k *needed);

/* k of every layer of the run under a budget (metrics/allocation.h), and the sum of what they cost alone.
 * STATUS_INPUT where a layer lacks a truncation, STATUS_USAGE for a budget that cannot be. k: (n_layers) */
int ablations_allocate(const struct ablations *s, const struct analysis *a, int budget, int *k, double *cost,
                       struct error *err);

/* The verdict of moescope ablate. */
int ablations_judge(const struct ablations *s, const struct analysis *a, struct verdicts *v);

#endif
