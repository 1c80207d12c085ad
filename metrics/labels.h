/* The documents of an analysis, their labels shuffled and their folds dealt: what the estimators of
 * information.h share. Of no use outside metrics/. */
#ifndef METRICS_LABELS_H
#define METRICS_LABELS_H
#include "metrics/information.h"

struct labels {
    int n;         /* documents that take part; arrays below are (n) unless they say otherwise */
    int *document; /* their numbers in the labelling; documents of a stratum stand together */
    int *label;    /* 0 .. n_labels - 1, as shuffled last */
    int *given;    /* as they really are */
    int *fold;     /* 0 .. n_folds - 1, as dealt last */
    int *order;    /* scratch of the dealing */
    int n_labels, n_strata;
    int *stratum; /* (n_strata + 1) where each begins */
    int *dealt;   /* (n_labels) scratch */
};

/* weight: (n_documents); those of weight 0 are left out. */
int labels_init(struct labels *s, const struct labelling *l, const double *weight, struct error *err);
void labels_release(struct labels *s); /* safe on zeroed and released */
void labels_deal(struct labels *s, int n_folds, struct random *r);

int information_check(const struct labelling *l, int n_experts, const struct information_options *o,
                      const struct random *r, struct error *err);

/* The null of any estimate that is a function of the labels as they now are. */
typedef double estimate_of_labels(void *context, struct labels *s, struct random *r);
int labels_null(struct labels *s, estimate_of_labels *estimate, void *context, int n_permutations,
                struct random *r, struct permutation_null *null, struct error *err);

#endif
