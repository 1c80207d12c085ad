/* What a value that changes from token to token - the token's id, the next one, its position - tells about
 * the expert that the token is sent to. The sibling of document_information (information.h), whose labels
 * belong to whole documents: the same estimate, cross-fitted over documents, and a null of its own. */
#ifndef METRICS_VALUES_H
#define METRICS_VALUES_H
#include "metrics/information.h"
#include "metrics/specialization.h"

struct value_stream {
    int n_documents, n_values, n_experts;
    const int32_t *first; /* (n_documents + 1): document d's tokens are first[d] .. first[d + 1] - 1 */
    const int32_t *value; /* (first[n_documents]) 0 .. n_values - 1 */
    struct slots slots;   /* of all those tokens */
};

/* I(expert; value) in nats: the mean over held-out decisions of
 *
 *   ln [ (n_ve + s q_e) / (n_v n_e / n + s q_e) ],    q_e = (n_e + s / N) / (n + s)
 *
 * with counts n of the other folds' documents, as in document_information; o->estimator must be cross-fitted.
 * A value that only the held-out fold has contributes 0. by_document: (n_documents) sums of these logarithms,
 * or NULL. NaN without decisions. Needs n_values x n_experts floats: number the values densely. */
int value_information(const struct value_stream *s, const struct information_options *o, struct random *r,
                      double *nats, double *by_document, struct error *err);

/* Documents keep their decisions and exchange their values: each gets the values of others, in their order
 * but begun anywhere. What is left of the information is chance (also where a value is its position). */
int value_information_null(const struct value_stream *s, const struct information_options *o,
                           int n_permutations, struct random *r, struct permutation_null *null,
                           struct error *err);

#endif
