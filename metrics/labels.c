#include "metrics/labels.h"

#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void labels_release(struct labels *s)
{
    free(s->document); /* the one block that the other arrays lie in */
    *s = (struct labels){0};
}

/* Order by stratum, then by number, so that results do not depend on how qsort treats equals. */
struct place {
    int stratum, document;
};

static int place_compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int by_stratum = (x->stratum > y->stratum) - (x->stratum < y->stratum);
    return by_stratum ? by_stratum : (x->document > y->document) - (x->document < y->document);
}

static int places_take(struct place *places, const struct labelling *l, const double *weight)
{
    int n = 0;
    for (int d = 0; d < l->n_documents; d++)
        if (l->label[d] >= 0 && weight[d] > 0)
            places[n++] = (struct place){l->stratum ? l->stratum[d] : 0, d};
    qsort(places, (size_t)n, sizeof *places, place_compare);
    return n;
}

static int labels_allocate(struct labels *s, int n, int n_labels, struct error *err)
{
    int *block = malloc(((size_t)n * 6 + 1 + (size_t)n_labels) * sizeof *block);
    if (!block)
        return error_no_memory(err, "the documents' labels");
    *s = (struct labels){.n = n, .n_labels = n_labels, .document = block};
    s->label = s->document + n;
    s->given = s->label + n;
    s->fold = s->given + n;
    s->order = s->fold + n;
    s->stratum = s->order + n; /* no more strata than documents */
    s->dealt = s->stratum + n + 1;
    return 0;
}

int labels_init(struct labels *s, const struct labelling *l, const double *weight, struct error *err)
{
    *s = (struct labels){0};
    struct place *places = malloc(((size_t)l->n_documents + 1) * sizeof *places);
    if (!places)
        return error_no_memory(err, "the documents' strata");
    int n = places_take(places, l, weight);
    int result = labels_allocate(s, n, l->n_labels, err);
    for (int i = 0; result == 0 && i < n; i++) {
        if (i == 0 || places[i].stratum != places[i - 1].stratum)
            s->stratum[s->n_strata++] = i;
        s->document[i] = places[i].document;
        s->given[i] = s->label[i] = l->label[places[i].document];
    }
    if (result == 0)
        s->stratum[s->n_strata] = n;
    free(places);
    return result;
}

/* Documents in random order, label after label: dealing them round the folds spreads every label as evenly
 * as it goes, and the folds differ by one document at most. */
void labels_deal(struct labels *s, int n_folds, struct random *r)
{
    memset(s->dealt, 0, (size_t)s->n_labels * sizeof *s->dealt);
    for (int i = 0; i < s->n; i++) {
        s->order[i] = i;
        s->dealt[s->label[i]]++;
    }
    for (int label = 0, before = 0; label < s->n_labels; label++) {
        int here = s->dealt[label];
        s->dealt[label] = before;
        before += here;
    }
    random_shuffle(r, s->order, s->n);
    for (int i = 0; i < s->n; i++) {
        int d = s->order[i];
        s->fold[d] = s->dealt[s->label[d]]++ % n_folds;
    }
}

static void labels_permute(struct labels *s, struct random *r)
{
    for (int i = 0; i < s->n_strata; i++)
        random_shuffle(r, s->label + s->stratum[i], s->stratum[i + 1] - s->stratum[i]);
}

struct information_options information_defaults(int n_experts)
{
    return (struct information_options){INFORMATION_CROSS_FITTED, 5, n_experts};
}

int information_check(const struct labelling *l, int n_experts, const struct information_options *o,
                      const struct random *r, struct error *err)
{
    if (n_experts < 1)
        return error_set(err, STATUS_USAGE, "a layer needs at least one expert, not %d", n_experts);
    if (o->estimator == INFORMATION_CROSS_FITTED && (o->n_folds < 2 || !(o->smoothing > 0) || !r))
        return error_set(err, STATUS_USAGE,
                         "cross-fitting needs at least 2 folds (%d), smoothing above 0 (%g) and a generator",
                         o->n_folds, o->smoothing);
    for (int d = 0; d < l->n_documents; d++)
        if (l->label[d] >= l->n_labels)
            return error_set(err, STATUS_INPUT, "document %d has label %d of %d", d, l->label[d],
                             l->n_labels);
    return 0;
}

/* Fills draws[0 .. n - 1] and returns how many are at least the observed. Sums of the same numbers in another
 * order differ in their last bits; such ties count. */
static int null_draw(struct labels *s, estimate_of_labels *estimate, void *context, int n, struct random *r,
                     double observed, double *draws)
{
    int at_least = 0;
    for (int i = 0; i < n; i++) {
        labels_permute(s, r);
        int same = memcmp(s->label, s->given, (size_t)s->n * sizeof *s->label) == 0;
        draws[i] = same ? observed : estimate(context, s, r); /* whatever the folds: nothing moved */
        at_least += draws[i] >= observed - 1e-12 * (1 + fabs(observed));
    }
    return at_least;
}

int labels_null(struct labels *s, estimate_of_labels *estimate, void *context, int n_permutations,
                struct random *r, struct permutation_null *null, struct error *err)
{
    if (n_permutations < 1 || !r)
        return error_set(err, STATUS_USAGE, "a null needs at least one permutation, not %d", n_permutations);
    *null = (struct permutation_null){NAN, NAN, NAN, NAN, NAN, n_permutations};
    if (s->n == 0)
        return 0;
    size_t n = (size_t)n_permutations;
    double *draws = malloc(n * sizeof *draws);
    if (!draws)
        return error_no_memory(err, "the permutations");
    null->observed = estimate(context, s, r);
    int at_least = null_draw(s, estimate, context, n_permutations, r, null->observed, draws);
    gsl_sort(draws, 1, n);
    null->mean = gsl_stats_mean(draws, 1, n);
    null->low = gsl_stats_quantile_from_sorted_data(draws, 1, n, 0.025);
    null->high = gsl_stats_quantile_from_sorted_data(draws, 1, n, 0.975);
    null->p = (1. + at_least) / (1. + n_permutations);
    free(draws);
    return 0;
}
