/* Information: how much a label of the document (its domain, language, genre) tells about the expert that its
 * tokens are sent to. Nats throughout.
 *
 * Three estimators, because the obvious one lies: the plug-in estimate is biased upward by about
 * (rows - 1)(columns - 1) / 2T, and by much more than that where tokens of one document are alike, as they
 * always are. Miller-Madow takes the first part away. Cross-fitting, by document, takes both: shares are
 * learned from some documents and judged on others. The permutation null says what is left by chance.
 *
 * Trap: an untrained router already separates domains, because embeddings do. Show the same figure at step 0
 * and for a hash router beside it. */
#ifndef METRICS_INFORMATION_H
#define METRICS_INFORMATION_H
#include <stdint.h>

#include "base/error.h"
#include "base/random.h"

/* ---- one contingency table ---- */

/* Plug-in mutual information of a table of counts, I = sum p_rc ln(p_rc / (p_r p_c)); 0 when it is empty.
 * table: (n_rows, n_columns), row-major, each >= 0. Cover and Thomas 2006, section 2.3. Allocates nothing. */
double mutual_information(const double *table, int n_rows, int n_columns);
/* I - (cells - rows - columns + 1) / 2T, where only cells, rows and columns that are not empty count: the
 * Miller-Madow correction of the three entropies (Miller 1955; Paninski 2003). May be negative;
 * leave it so, or averages are biased again. Assumes independent tokens. */
double mutual_information_miller_madow(const double *table, int n_rows, int n_columns);

/* ---- documents ---- */

/* What is known of the documents. Those without a label, and those without any count, take no part. */
struct labelling {
    int n_documents, n_labels;
    const int *label;   /* (n_documents) 0 .. n_labels - 1; negative: none */
    const int *stratum; /* (n_documents) any numbers: the null permutes labels only among documents of equal
                           stratum (another label that is to be held fixed). NULL: one stratum */
};

enum information_estimator { INFORMATION_PLUG_IN, INFORMATION_MILLER_MADOW, INFORMATION_CROSS_FITTED };

struct information_options {
    enum information_estimator estimator;
    int n_folds;      /* cross-fitting: 2 or more; a fold holds whole documents, each label is dealt evenly */
    double smoothing; /* cross-fitting: > 0, in tokens, see document_information */
};
/* Cross-fitted, 5 folds, smoothing of one token per expert. */
struct information_options information_defaults(int n_experts);

/* I(expert; label) in nats. count: (n_documents, n_experts), row-major.
 *
 * Cross-fitted: the mean over the decisions of held-out documents of
 *
 *   ln [ (n_le + s q_e) / (n_l n_e / n + s q_e) ],    q_e = (n_e + s / N) / (n + s)
 *
 * where n counts the decisions of the other folds' documents with this label and expert, s is the smoothing:
 * the log ratio of q(e | label) to q(e), both drawn to the pooled shares alike, so that a label that only the
 * held-out fold has contributes 0, as does everything when there is one label. It estimates from below and
 * may be negative: then the label predicts nothing.
 *
 * `by_document` (n_documents) may be NULL; otherwise it gets each document's sum of these logarithms, 0 where
 * it took no part (the other estimators judge the fitted table on itself, Miller-Madow's correction left
 * out). With the documents' numbers of decisions it goes to ratio_interval for an interval.
 * `r` deals the folds; it may be NULL for the other estimators. NaN when no document takes part. Fails on
 * memory, on a label out of range (STATUS_INPUT) and on bad options (STATUS_USAGE). */
int document_information(const struct labelling *l, const double *count, int n_experts,
                         const struct information_options *o, struct random *r, double *nats,
                         double *by_document, struct error *err);

struct permutation_null {
    double observed;        /* the same estimate for the labels as they are */
    double mean, low, high; /* of the permuted estimates: mean, quantiles 0.025 and 0.975 */
    double p;               /* (1 + #{permuted >= observed}) / (1 + n): Phipson and Smyth 2010 */
    int n;                  /* permutations; p cannot be below 1 / (1 + n) */
};
/* Documents keep their counts and exchange their labels, n_permutations times (200 say). Cross-fitting deals
 * its folds anew each time, as for the observed estimate. Strata of one document cannot vary: when all are,
 * p is 1. */
int document_information_null(const struct labelling *l, const double *count, int n_experts,
                              const struct information_options *o, int n_permutations, struct random *r,
                              struct permutation_null *null, struct error *err);

/* ---- the same, given the token id ---- */

/* Decisions by token id, document and expert: the sparse table behind everything about single ids. */
struct token_cell {
    int32_t token, document, expert;
    float count;
};
/* Sorts by (token, document, expert) and adds up equal ones in place; returns how many are left. Fill one
 * cell a decision, or merge in between to save memory. */
int64_t token_cells_merge(struct token_cell *cells, int64_t n);

/* I(expert; label | token id) = sum_v (T_v / T) I(expert; label | v): tells topic from vocabulary (a label
 * may seem to matter only because its words differ). cells: (n_cells), merged, counts > 0.
 *
 * Cross-fitted: as above within each id v, with n_vle, n_vl, n_ve, n_v of the other folds and q_e replaced by
 * q_ve = (n_ve + s q_e) / (n_v + s). An id that the other folds have in one label only, or not at all,
 * contributes 0. by_document as there, but only where it is cross-fitted (otherwise zeros).
 * Trap: the plug-in is hopeless for rare ids (an id seen once in each of two labels and sent to two experts
 * has I = ln 2), Miller-Madow little better. Fails like document_information. */
int token_information(const struct labelling *l, const struct token_cell *cells, int64_t n_cells,
                      int n_experts, const struct information_options *o, struct random *r, double *nats,
                      double *by_document, struct error *err);
int token_information_null(const struct labelling *l, const struct token_cell *cells, int64_t n_cells,
                           int n_experts, const struct information_options *o, int n_permutations,
                           struct random *r, struct permutation_null *null, struct error *err);

#endif
