/* Matching experts of two runs. Expert 3 of one seed is not expert 3 of another: their numbers mean nothing,
 * so that two routers can only be compared after the experts of one were paired with those of the other. */
#ifndef METRICS_MATCHING_H
#define METRICS_MATCHING_H
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"

/* The one-to-one matching of rows to columns with the largest sum of gains (the assignment problem: Kuhn
 * 1955; here by shortest augmenting paths, O(n^3), as Jonker and Volgenant 1987). gain: (n, n), finite,
 * row-major; match: (n), match[row] = column. */
int best_matching(const double *gain, int n, int *match, struct error *err);

/* First choices of two routers for the same tokens, document by document. */
struct paired_choices {
    int n_documents, n_experts; /* both routers have n_experts */
    const int64_t *offset;      /* (n_documents + 1), offset[0] = 0 */
    const int32_t *a, *b;       /* (offset[n_documents]) 0 .. n_experts - 1 */
};

struct matched_agreement {
    double n_tokens;
    double agreement; /* share of tokens that both send to matched experts */
    double chance; /* the same for two routers with these loads that ignore each other: sum a_i b_match(i) */
    double above;  /* (agreement - chance) / (1 - chance); NaN when chance is 1 */
};

/* The experts are matched on one half of the documents and counted on the other, both ways: matched and
 * counted on the same tokens, even routers that ignore each other agree above chance. `r` deals the halves.
 * by_document: (n_documents) tokens of each document in agreement, for ratio_interval; may be NULL. NaN with
 * fewer than two documents. Fails on memory and, with STATUS_INPUT, on an expert out of range. */
int matched_agreement(const struct paired_choices *p, struct random *r, struct matched_agreement *m,
                      double *by_document, struct error *err);

#endif
