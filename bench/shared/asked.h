/* A simulated logbook asked by the functions that specialization, compare and demand ask by, whose unit is
 * the document; and beside each test the same question with the token for its unit. */
#ifndef BENCH_SHARED_ASKED_H
#define BENCH_SHARED_ASKED_H
#include <stdbool.h>

#include "analysis/shared/program.h"
#include "bench/shared/simulated.h"

enum asked {
    INFORMATION,
    INFORMATION_ANY,
    TELLS_APART,
    LIFT,
    LIFT_INTERVAL,
    DIFFERENCE,
    DIFFERENCE_DOMAIN,
    DIFFERENCE_ANY,
    LAYERS_DIFFER,
    N_ASKED
};
struct question_asked {
    const char *document, *token; /* what is found, and by which test of tokens */
};
extern const struct question_asked questions_asked[N_ASKED];

struct answers { /* whether it was found, at 5 % */
    bool by_document[N_ASKED], by_token[N_ASKED];
};

/* The logbook at path is that of *s. */
int asked_all(const struct simulated *s, const char *path, struct answers *x, struct error *err);

/* Its parts. *a is of the first run. */
int asked_specialization(struct analysis *a, struct answers *x, struct error *err);
int asked_compare(const struct simulated *s, const struct analysis *a, struct answers *x, struct error *err);
int asked_demand(const struct simulated *s, struct analysis *a, struct answers *x, struct error *err);

/* ---- tests of tokens ---- */

/* p of Pearson's test of independence. table: (n_rows, n_columns) */
double token_chi_square(const double *table, int n_rows, int n_columns);
/* p of Student's test that the mean is 0. */
double token_t(const double *x, int n);
/* Whether any of n tests finds something once adjusted (Benjamini and Hochberg); p is adjusted in place. */
int token_any(double *p, int n, bool *found, struct error *err);

#endif
