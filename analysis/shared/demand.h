/* What moescope demand measures, each figure once however many tables show it, and what it says of it in
 * words. The tables are in analysis/demand.c. */
#ifndef ANALYSIS_SHARED_DEMAND_H
#define ANALYSIS_SHARED_DEMAND_H
#include "analysis/shared/ablated.h"
#include "analysis/shared/imported.h"
#include "analysis/shared/spread.h"
#include "metrics/resample.h"

struct working_set {
    int layer, n_experts, unused;
    double k;            /* mean decisions a token */
    int for_90_percent;  /* experts that get 90 % of the decisions */
    double per_document; /* mean number of experts that a document meets */
    double tokens_per_document;
};

struct demand {
    /* options */
    int64_t step, positions, budget; /* budget 0: half of the experts a token that the run has */

    struct documents documents;
    struct imported imported;
    struct working_set *sets;  /* (n_layers) */
    const char *difficulty_by; /* the run whose losses say how hard a token is; NULL: none */
    struct difficulty difficulty;
    struct spread spread;        /* layers NULL: not measured yet */
    struct concentration *start; /* (n_steps, n_layers) of the first pass; the rest is empty */
    int n_start;
    struct ablations ablations; /* of moescope ablate; their options are the caller's */
    bool has_ablations;         /* read */
};

/* Reads the documents and, from the decisions at --step, the working sets. */
int demand_read(struct demand *s, const struct analysis *a, struct error *err);
void demand_release(struct demand *s); /* safe on zeroed */

/* At --step. 1: demand_cannot_spread. */
int demand_spread(struct demand *s, const struct analysis *a, struct error *err);
/* An import without probabilities, of which no table that needs them was asked for by name. */
bool demand_cannot_spread(const struct demand *s, const struct analysis *a);
int demand_ablations(struct demand *s, const struct analysis *a, struct error *err);
int demand_start(struct demand *s, const struct analysis *a, struct error *err); /* at the first step */

/* Mean number of experts, over documents, drawn within domains unless `pooled`. */
int demand_interval(const struct demand *s, const double *needed, const double *tokens, bool pooled,
                    struct interval *i, struct error *err);
/* Of one domain's documents, at matched positions. */
int demand_domain_interval(const struct demand *s, const struct layer_spread *l, int domain,
                           struct interval *i, struct error *err);
/* A group's sums by document as departures from the mean of the document's domain, since rare tokens are of
 * other domains than frequent ones. departure: (n_documents) */
int demand_departures(const struct demand *s, const struct layer_spread *l, enum grouping by, int group,
                      double *departure, struct error *err);

/* The verdict of the program: `state` of *a is a struct demand. */
int demand_judge(struct analysis *a, struct verdicts *v, struct error *err);

/* (n_documents) the documents' domains */
static inline const int *demand_strata(const struct demand *s)
{
    return s->documents.labels[0].value;
}

/* The documents of one group. */
static inline const double *demand_group(const double *sums, int group, int n_documents)
{
    return sums + (size_t)group * (size_t)n_documents;
}

#endif
