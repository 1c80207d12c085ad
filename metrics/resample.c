#include "metrics/resample.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>

#include "metrics/signs.h"

const char *const verdict_names[4] = {"undetermined", "better", "worse", "equivalent"};

struct interval_options interval_defaults(void)
{
    return (struct interval_options){.n_draws = 2000, .level = 0.95, .min_documents = 10};
}

/* ---- documents ---- */

/* What one document adds to both ratios; a ratio by itself is the first. */
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

static int stratum_end(const struct unit *units, int n, int first)
{
    int end = first + 1;
    while (end < n && units[end].stratum == units[first].stratum)
        end++;
    return end;
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

/* The figure of n units, of which n_ratios are a difference or one by itself, and what each adds to it.
 * Ratios are curved: a document's off is that of the tangent (Taylor linearisation; Cochran 1977,
 * section 6.3). */
static double linearise(const struct unit *units, int n, int n_ratios, double weight, struct part *parts)
{
    double ratio[2] = {0}, denominator[2] = {0};
    for (int k = 0; k < n_ratios; k++) {
        for (int i = 0; i < n; i++) {
            ratio[k] += units[i].numerator[k];
            denominator[k] += units[i].denominator[k];
        }
        ratio[k] /= denominator[k];
    }
    for (int i = 0; i < n; i++) {
        parts[i] = (struct part){.stratum = units[i].stratum};
        for (int k = 0; k < n_ratios; k++) {
            double off = units[i].numerator[k] - ratio[k] * units[i].denominator[k];
            parts[i].off += (k ? -weight : weight) * off / denominator[k];
            parts[i].share += weight * units[i].denominator[k] / denominator[k] / n_ratios;
        }
    }
    return weight * (ratio[0] - ratio[1]);
}

static double count_strata(const struct unit *units, int n)
{
    int strata = 0;
    for (int first = 0; first < n; first = stratum_end(units, n, first))
        strata++;
    return strata;
}

static double linearise_all(const struct unit *units, int n, int n_ratios, bool equal_strata,
                            struct part *parts)
{
    double figure = 0, weight = 1 / count_strata(units, n);
    if (!equal_strata)
        return linearise(units, n, n_ratios, 1, parts);
    for (int first = 0, end; first < n; first = end) {
        end = stratum_end(units, n, first);
        figure += linearise(units + first, end - first, n_ratios, weight, parts + first);
    }
    return figure;
}

static int units_interval(struct unit *units, int n, int n_ratios, const struct interval_options *o,
                          struct random *r, struct interval *i, struct error *err)
{
    struct signs_answer x = {NAN, NAN, NAN};
    if (o->n_draws < 1 || !(o->level > 0 && o->level < 1))
        return error_set(err, STATUS_USAGE, "an interval needs draws (%d) and a level between 0 and 1 (%g)",
                         o->n_draws, o->level);
    struct part *parts = malloc(((size_t)n + 1) * sizeof *parts);
    if (!parts)
        return error_no_memory(err, "an interval");
    qsort(units, (size_t)n, sizeof *units, unit_compare);
    int smallest = smallest_stratum(units, n), result = 0;
    double estimate = n ? linearise_all(units, n, n_ratios, o->equal_strata, parts) : NAN;
    if (n > 0 && smallest >= o->min_documents)
        result = signs_test(parts, n, estimate, o->n_draws, o->level, r, &x, err);
    *i = (struct interval){estimate, x.low, x.high, x.p, n, smallest};
    free(parts);
    return result;
}

int ratio_interval(const double *numerator, const double *denominator, const int *stratum, int n,
                   const struct interval_options *o, struct random *r, struct interval *i, struct error *err)
{
    struct unit *units = malloc(((size_t)n + 1) * sizeof *units);
    if (!units)
        return error_no_memory(err, "an interval's documents");
    int used = 0;
    for (int d = 0; d < n; d++)
        if (denominator[d] > 0)
            units[used++] = (struct unit){stratum ? stratum[d] : 0, d, {numerator[d]}, {denominator[d]}};
    int result = units_interval(units, used, 1, o, r, i, err);
    i->p = NAN; /* that a loss is not 0 is no finding */
    free(units);
    return result;
}

int difference_interval(const double *numerator_a, const double *denominator_a, const double *numerator_b,
                        const double *denominator_b, const int *stratum, int n,
                        const struct interval_options *o, struct random *r, struct interval *i,
                        struct error *err)
{
    struct unit *units = malloc(((size_t)n + 1) * sizeof *units);
    if (!units)
        return error_no_memory(err, "an interval's documents");
    int used = 0;
    for (int d = 0; d < n; d++)
        if (denominator_a[d] > 0 && denominator_b[d] > 0)
            units[used++] = (struct unit){stratum ? stratum[d] : 0,
                                          d,
                                          {numerator_a[d], numerator_b[d]},
                                          {denominator_a[d], denominator_b[d]}};
    int result = units_interval(units, used, 2, o, r, i, err);
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

double student_detectable(const struct interval *i, double level, double power)
{
    if (i->n < 2 || isnan(i->low))
        return NAN;
    double t = gsl_cdf_tdist_Pinv((1 + level) / 2, i->n - 1);
    return (i->high - i->low) / 2 * (t + gsl_cdf_tdist_Pinv(power, i->n - 1)) / t;
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
