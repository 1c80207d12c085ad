/* What each question's label tells about the expert that tokens are sent to, layer by layer. In nats,
 * cross-fitted over documents, with a permutation null, an interval, and what a hash router would show. */
#ifndef ANALYSIS_SHARED_ASSOCIATION_H
#define ANALYSIS_SHARED_ASSOCIATION_H
#include "analysis/shared/hashed.h"
#include "metrics/resample.h"

/* Of tests and of false discovery, by convention. */
static const double significant = 0.05;

struct association {
    char label[64]; /* the question's name */
    int layer, n_experts;
    int64_t step;
    struct permutation_null null; /* null.observed: the information */
    double q;                     /* null.p adjusted over all layers and labels of the step */
    struct interval interval;     /* NaN: too few documents */
    struct hash_answer hash;      /* the same of hash routers */
    int n_labels;                 /* values that the label takes */
    int n_documents;              /* that take part */
    double *by_document;          /* (documents.n_documents) sums of nats */
    double *decisions;            /* (documents.n_documents) that they are sums over */
};

struct associations {
    struct association *items;
    int n, capacity;
};
void associations_release(struct associations *a); /* safe on zeroed */

/* Moves all of `from` behind what `a` has. */
int associations_join(struct associations *a, struct associations *from, struct error *err);

/* Adds the answers to all questions of one layer at one step; after the last layer of the step, adjust. h is
 * the caller's from layer to layer. */
int associations_measure(struct associations *a, const struct questions *q, const struct documents *d,
                         const struct routed *s, int64_t step, int n_permutations, struct hashed *h,
                         struct error *err);

int associations_adjust(struct associations *a, int64_t step, struct error *err); /* Benjamini-Hochberg */

/* Whether the label certainly tells something: positive, significant, and so is its interval where it has
 * one. */
bool association_holds(const struct association *x);

/* Whether that is certainly more than hash routers show: the interval lies above theirs. */
bool association_beyond_hash(const struct association *x);

/* The most that a label of so many values could tell about so many experts. */
double association_ceiling(const struct association *x);

/* NULL when it was not measured. */
const struct association *associations_find(const struct associations *a, int layer, const char *label,
                                            int64_t step);

/* How much more is known after than before, over the same documents, with its interval. */
int association_growth(const struct documents *d, const struct association *before,
                       const struct association *after, struct interval *growth, struct error *err);

#endif
