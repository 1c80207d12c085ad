#include "metrics/resample.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>

#include "metrics/sample.h"

const char *const verdict_names[4] = {"undetermined", "better", "worse", "equivalent"};

struct bootstrap_options bootstrap_defaults(void)
{
    return (struct bootstrap_options){.n_resamples = 2000, .level = 0.95, .min_documents = 10};
}

/* ---- documents ---- */

/* What one document adds to both ratios; b is (0, 1) all along where there is only one. */
struct unit {
    int stratum, document;
    double numerator[2], denominator[2];
};

static int unit_compare(const void *a, const void *b)
{
    const struct unit *x = a, *y = b;
    int by_stratum = (x->stratum > y->stratum) - (x->stratum < y->stratum);
    return by_stratum ? by_stratum : (x->document > y->document) - (x->document < y->document);
}

static double ratio_difference(const double *numerator, const double *denominator)
{
    return numerator[0] / denominator[0] - numerator[1] / denominator[1];
}

static void unit_add(const struct unit *u, double *numerator, double *denominator)
{
    for (int i = 0; i < 2; i++) {
        numerator[i] += u->numerator[i];
        denominator[i] += u->denominator[i];
    }
}

static int stratum_end(const struct unit *units, int n, int first)
{
    int end = first + 1;
    while (end < n && units[end].stratum == units[first].stratum)
        end++;
    return end;
}

/* Both ratios' difference over the units as they are or, with r, over one resample: as many documents from
 * each stratum as it has. */
static double units_figure(const struct unit *units, int n, bool equal_strata, struct random *r)
{
    double numerator[2] = {0}, denominator[2] = {0}, sum = 0;
    int strata = 0;
    for (int first = 0, end; first < n; first = end) {
        end = stratum_end(units, n, first);
        for (int i = first; i < end; i++) {
            int drawn = r ? first + (int)random_below(r, (uint64_t)(end - first)) : i;
            unit_add(&units[drawn], numerator, denominator);
        }
        if (!equal_strata)
            continue;
        sum += ratio_difference(numerator, denominator);
        numerator[0] = numerator[1] = denominator[0] = denominator[1] = 0;
        strata++;
    }
    return equal_strata ? sum / strata : ratio_difference(numerator, denominator);
}

static int smallest_stratum(const struct unit *units, int n)
{
    int smallest = n;
    for (int first = 0, end; first < n; first = end) {
        end = stratum_end(units, n, first);
        smallest = end - first < smallest ? end - first : smallest;
    }
    return smallest;
}

/* Twice the smaller tail, counting the observed as one of the resamples on either side. */
static double two_sided(const double *draws, int n)
{
    int below = 0, over = 0;
    for (int i = 0; i < n; i++) {
        below += draws[i] <= 0;
        over += draws[i] >= 0;
    }
    return fmin(1, 2. * (1 + (below < over ? below : over)) / (1. + n));
}

static int units_bootstrap(struct unit *units, int n, const struct bootstrap_options *o, struct random *r,
                           struct interval *i, struct error *err)
{
    if (o->n_resamples < 1 || !(o->level > 0 && o->level < 1))
        return error_set(err, STATUS_USAGE,
                         "a bootstrap needs resamples (%d) and a level between 0 and 1 (%g)", o->n_resamples,
                         o->level);
    qsort(units, (size_t)n, sizeof *units, unit_compare);
    *i = (struct interval){n ? units_figure(units, n, o->equal_strata, NULL) : NAN,
                           NAN,
                           NAN,
                           NAN,
                           n,
                           smallest_stratum(units, n)};
    if (n == 0 || i->smallest < o->min_documents)
        return 0;
    double *draws = malloc((size_t)o->n_resamples * sizeof *draws);
    if (!draws)
        return error_no_memory(err, "the bootstrap");
    for (int b = 0; b < o->n_resamples; b++)
        draws[b] = units_figure(units, n, o->equal_strata, r);
    gsl_sort(draws, 1, (size_t)o->n_resamples);
    i->low = quantile_sorted(draws, o->n_resamples, (1 - o->level) / 2);
    i->high = quantile_sorted(draws, o->n_resamples, (1 + o->level) / 2);
    i->p = two_sided(draws, o->n_resamples);
    free(draws);
    return 0;
}

int bootstrap_ratio(const double *numerator, const double *denominator, const int *stratum, int n,
                    const struct bootstrap_options *o, struct random *r, struct interval *i,
                    struct error *err)
{
    struct unit *units = malloc(((size_t)n + 1) * sizeof *units);
    if (!units)
        return error_no_memory(err, "the bootstrap's documents");
    int used = 0;
    for (int d = 0; d < n; d++)
        if (denominator[d] > 0)
            units[used++] =
                (struct unit){stratum ? stratum[d] : 0, d, {numerator[d], 0}, {denominator[d], 1}};
    int result = units_bootstrap(units, used, o, r, i, err);
    i->p = NAN; /* that a loss is not 0 is no finding */
    free(units);
    return result;
}

int bootstrap_difference(const double *numerator_a, const double *denominator_a, const double *numerator_b,
                         const double *denominator_b, const int *stratum, int n,
                         const struct bootstrap_options *o, struct random *r, struct interval *i,
                         struct error *err)
{
    struct unit *units = malloc(((size_t)n + 1) * sizeof *units);
    if (!units)
        return error_no_memory(err, "the bootstrap's documents");
    int used = 0;
    for (int d = 0; d < n; d++)
        if (denominator_a[d] > 0 && denominator_b[d] > 0)
            units[used++] = (struct unit){stratum ? stratum[d] : 0,
                                          d,
                                          {numerator_a[d], numerator_b[d]},
                                          {denominator_a[d], denominator_b[d]}};
    int result = units_bootstrap(units, used, o, r, i, err);
    free(units);
    return result;
}

/* ---- seeds ---- */

void student_interval(const double *difference, int n, double level, struct interval *i)
{
    *i = (struct interval){NAN, NAN, NAN, NAN, n, n};
    if (n < 1)
        return;
    i->estimate = gsl_stats_mean(difference, 1, (size_t)n);
    if (n < 2 || !(level > 0 && level < 1))
        return;
    double error = gsl_stats_sd(difference, 1, (size_t)n) / sqrt(n);
    double reach = error * gsl_cdf_tdist_Pinv((1 + level) / 2, n - 1);
    i->low = i->estimate - reach;
    i->high = i->estimate + reach;
    if (error > 0)
        i->p = 2 * gsl_cdf_tdist_Q(fabs(i->estimate) / error, n - 1);
    else
        i->p = i->estimate == 0 ? 1 : 0;
}

double paired_effect(const double *difference, const double *weight, int n)
{
    double sum = 0, weights = 0, squares = 0;
    int units = 0;
    for (int i = 0; i < n; i++)
        if (!weight || weight[i] > 0) {
            double w = weight ? weight[i] : 1;
            sum += w * difference[i];
            weights += w;
            units++;
        }
    double mean = sum / weights;
    for (int i = 0; i < n; i++)
        if (!weight || weight[i] > 0)
            squares += (weight ? weight[i] : 1) * (difference[i] - mean) * (difference[i] - mean);
    if (units < 2)
        return NAN;
    double deviation = sqrt(squares / weights * units / (units - 1));
    /* What rounding leaves of differences that are all alike is no spread. */
    return deviation <= 1e-9 * fabs(mean) ? NAN : mean / deviation;
}

enum verdict interval_verdict(const struct interval *i, double margin)
{
    if (isnan(i->low) || isnan(i->high))
        return VERDICT_UNDETERMINED;
    if (margin > 0 && i->low >= -margin && i->high <= margin)
        return VERDICT_EQUIVALENT;
    if (i->high < 0)
        return VERDICT_BETTER;
    return i->low > 0 ? VERDICT_WORSE : VERDICT_UNDETERMINED;
}

/* ---- many tests, proportions ---- */

/* From the largest p down: adjusted = the least of m p / rank among itself and those above it. */
static void adjust(const double *p, const size_t *order, int m, double *adjusted)
{
    double least = 1;
    for (int rank = m; rank >= 1; rank--) {
        size_t i = order[rank - 1];
        least = fmin(least, p[i] * m / rank);
        adjusted[i] = least;
    }
}

int benjamini_hochberg(const double *p, int n, double *adjusted, struct error *err)
{
    if (n < 1)
        return 0;
    size_t *order = malloc((size_t)n * 2 * sizeof *order);
    double *known = calloc((size_t)n * 2, sizeof *known);
    int result = -1, m = 0;
    if (!order || !known) {
        error_no_memory(err, "the tests' order");
        goto out;
    }
    size_t *place = order + n;
    for (int i = 0; i < n; i++) {
        adjusted[i] = p[i];
        if (!isnan(p[i])) {
            place[m] = (size_t)i;
            known[m++] = p[i];
        }
    }
    gsl_sort_index(order, known, 1, (size_t)m);
    adjust(known, order, m, known + n);
    for (int i = 0; i < m; i++)
        adjusted[place[i]] = known[n + i];
    result = 0;
out:
    free(order);
    free(known);
    return result;
}

enum verdict adjusted_verdict(enum verdict verdict, double adjusted, double level)
{
    bool directed = verdict == VERDICT_BETTER || verdict == VERDICT_WORSE;
    return directed && adjusted > 1 - level ? VERDICT_UNDETERMINED : verdict;
}

int judge_family(struct judged *const *family, int n, double margin, double level, struct error *err)
{
    double *p = malloc(((size_t)n + 1) * sizeof *p);
    if (!p)
        return error_no_memory(err, "a family of tests");
    for (int k = 0; k < n; k++)
        p[k] = family[k]->i.p;
    int result = benjamini_hochberg(p, n, p, err);
    for (int k = 0; k < n && result == 0; k++) {
        family[k]->adjusted = p[k];
        family[k]->verdict = adjusted_verdict(interval_verdict(&family[k]->i, margin), p[k], level);
    }
    free(p);
    return result;
}

void wilson_interval(double successes, double trials, double level, struct interval *i)
{
    *i = (struct interval){NAN, NAN, NAN, NAN, (int)trials, (int)trials};
    if (!(trials > 0) || !(level > 0 && level < 1))
        return;
    double z = gsl_cdf_ugaussian_Pinv((1 + level) / 2), z2 = z * z / trials, share = successes / trials;
    double centre = (share + z2 / 2) / (1 + z2);
    double reach = z * sqrt(share * (1 - share) / trials + z2 / (4 * trials)) / (1 + z2);
    i->estimate = share;
    i->low = fmax(0, centre - reach);
    i->high = fmin(1, centre + reach);
}

void poisson_interval(int events, double exposure, double level, struct interval *i)
{
    *i = (struct interval){NAN, NAN, NAN, NAN, events, events};
    if (!(exposure > 0) || !(level > 0 && level < 1))
        return;
    double tail = (1 - level) / 2;
    i->estimate = events / exposure;
    i->low = events > 0 ? gsl_cdf_chisq_Pinv(tail, 2.0 * events) / 2 / exposure : 0;
    i->high = gsl_cdf_chisq_Qinv(tail, 2.0 * events + 2) / 2 / exposure;
}
