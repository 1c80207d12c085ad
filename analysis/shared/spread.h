/* How the router spreads its probability, token by token, at one step of the probe: the number of experts
 * that hold 90 % of it, summed up by document, position and groups of tokens. */
#ifndef ANALYSIS_SHARED_SPREAD_H
#define ANALYSIS_SHARED_SPREAD_H
#include "analysis/shared/difficulty.h"
#include "analysis/shared/documents.h"
#include "analysis/shared/program.h"
#include "metrics/demand.h"

/* What tokens are told apart by: how often they occur in the text trained on (0, 1-9, 10-99, ...); whether
 * they begin a word; how hard another run finds them, in tenths. */
enum grouping { BY_COUNT, BY_WORD, BY_DIFFICULTY, N_GROUPINGS };
enum { MOST_GROUPS = 10 };
struct groups {
    int n;
    const char *names[MOST_GROUPS];
};
extern const struct groups groupings[N_GROUPINGS];

struct sums { /* of experts needed for 90 %, and how many tokens they are sums over */
    double *needed, *tokens;
};

struct layer_spread {
    const struct moe_layer *layer;
    struct concentration all;
    struct sums document;           /* (n_documents) */
    struct sums matched;            /* (n_documents) the first positions only */
    struct sums position;           /* (n_positions) */
    struct sums group[N_GROUPINGS]; /* (n groups, n_documents) each */
    double *memory;                 /* what the sums point into */
};

struct spread {
    struct layer_spread *layers;
    int n_layers, n_positions;
    int n_ids[MOST_GROUPS]; /* different tokens of the probe in each group of BY_COUNT */
};

/* matched: how many positions of each sample are "first"; difficulty NULL: tokens are not told apart by it.
 * STATUS_INPUT when the run (of that name) kept no probabilities at that step. */
int spread_measure(struct spread *s, const struct analysis *a, const struct documents *d, int64_t step,
                   int matched, const struct difficulty *difficulty, struct error *err);
void spread_release(struct spread *s); /* safe on zeroed */

/* Means only, of every step up to `last_step`: (d->n_steps, a->n_layers) concentrations; those of a step
 * without probabilities have no tokens. Caller hands them to spread_steps_release. */
int spread_steps(struct concentration **steps, const struct analysis *a, const struct documents *d,
                 int64_t last_step, struct error *err);
void spread_steps_release(struct concentration *steps, int n);

/* The complaint that the run kept no probabilities; returns -1. */
int spread_missing(const struct analysis *a, int64_t step, struct error *err);

/* concentration_levels[LEVEL_90] is 0.9 */
enum { LEVEL_50, LEVEL_80, LEVEL_90, LEVEL_95 };

#endif
