/* What moescope specialization measures, each figure once however many tables show it, and what it says of it
 * in words. The tables are in analysis/specialization.c. */
#ifndef ANALYSIS_SHARED_SPECIALIZATION_H
#define ANALYSIS_SHARED_SPECIALIZATION_H
#include "analysis/shared/association.h"
#include "analysis/shared/course.h"
#include "analysis/shared/imported.h"
#include "analysis/shared/program.h"
#include "metrics/lift.h"

struct specialization {
    /* options */
    int64_t permutations, tokens_shown, step;
    const char *document;
    struct string_list where;

    struct documents documents;
    struct imported imported;
    struct probe_pass first, last; /* first.n 0: the probe was routed once only */
    struct routed *routed;         /* (n_layers) of the last pass */
    int n_routed;
    struct questions questions;
    struct associations associations; /* n 0: not measured yet */
    struct lift_cell **lifts;         /* (n_layers) of (n_domains, n_experts); NULL: not measured yet */
    double **q;                       /* the same shape: p adjusted over all of them */
    int n_lifts;
};

/* Reads the probe at --step and at its first. */
int specialization_read(struct specialization *s, const struct analysis *a, struct error *err);
void specialization_release(struct specialization *s); /* safe on zeroed */

int specialization_associate(struct specialization *s, const struct analysis *a, struct error *err);
/* The same answer at the first step; NULL where it is that one, or nothing was logged before. */
const struct association *specialization_before(const struct specialization *s, const struct association *x);
int specialization_lift(struct specialization *s, const struct analysis *a, struct error *err);
/* All passes up to --step; caller releases. */
int specialization_follow(const struct specialization *s, const struct analysis *a, struct course *c,
                          struct error *err);

/* Tables of experts against each other; `state` of *a is a struct specialization. */
int specialization_coactivation_rows(struct analysis *a, struct table *t, struct error *err);
int specialization_flow_rows(struct analysis *a, struct table *t, struct error *err);
int specialization_repetition_rows(struct analysis *a, struct table *t, struct error *err);

/* What there is to say of these. */
int specialization_judge_experts(struct analysis *a, struct verdicts *v, struct error *err);

/* The verdict of the program: `state` of *a is a struct specialization. */
int specialization_judge(struct analysis *a, struct verdicts *v, struct error *err);

static inline int specialization_domains(const struct specialization *s)
{
    return s->documents.labels[0].n_values;
}

static inline const char *specialization_domain(const struct specialization *s, int domain)
{
    return s->documents.labels[0].values[domain];
}

#endif
