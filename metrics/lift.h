/* Which expert serves which domain, cell by cell, with what is certain about it. The figures themselves are
 * those of domain_specialization (specialization.h); here they come with documents' intervals and tests. */
#ifndef METRICS_LIFT_H
#define METRICS_LIFT_H
#include "base/error.h"
#include "base/random.h"
#include "metrics/resample.h"

struct lift_cell {
    double share, lift; /* N_ed / N_d, and that over N_e / N */
    double low, high;   /* of lift, from random halves of the documents. NaN: the domain has fewer than
                           o->min_documents */
    double p;           /* two-sided, of "the expert is as likely in this domain as in any other": documents
                           exchange their domains, o->n_draws times; 2 (1 + #) / (1 + n), at most 1 */
};

/* count: (n_documents, n_experts) decisions, tokens: (n_documents), domain: (n_documents) 0 .. n_domains - 1;
 * cells: (n_domains, n_experts). NaN for a domain without tokens and for an expert without any decision.
 * p comes from exchange and not from the interval because halves cannot show an expert that no document has:
 * the interval of a lift of 0 has no width however few tokens there are. */
int domain_lift(const double *count, const double *tokens, const int *domain, int n_documents, int n_domains,
                int n_experts, const struct interval_options *o, struct random *r, struct lift_cell *cells,
                struct error *err);

#endif
