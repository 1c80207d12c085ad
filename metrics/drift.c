#include "metrics/drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- expert usage ---- */

int drift_cells(const double *share, int n_experts, double decisions, double least, int *cell)
{
    double pooled = 0;
    int n = 1, rarest;
    for (int e = 0; e < n_experts; e++)
        cell[e] = -1;
    do { /* the first cell takes the rarest that is left, until it has enough */
        rarest = -1;
        for (int e = 0; e < n_experts; e++)
            if (cell[e] < 0 && (rarest < 0 || share[e] < share[rarest]))
                rarest = e;
        if (rarest < 0)
            return n;
        cell[rarest] = 0;
        pooled += share[rarest];
    } while (pooled * decisions < least);
    for (int e = 0; e < n_experts; e++)
        if (cell[e] < 0)
            cell[e] = n++;
    return n;
}

void drift_usage(const double *load, const int *cell, int n_experts, const double *reference, int n_cells,
                 double *value)
{
    double total = 0;
    memset(value, 0, (size_t)n_cells * sizeof *value);
    for (int e = 0; e < n_experts; e++) {
        value[cell[e]] += load[e];
        total += load[e];
    }
    for (int c = 0; c < n_cells; c++)
        value[c] /= total * sqrt(reference[c]);
}

/* ---- a monitor ---- */

int drift_monitor_init(struct drift_monitor *m, enum drift_statistic statistic, double lambda,
                       const int *widths, int n_parts, struct error *err)
{
    *m = (struct drift_monitor){
        .statistic = statistic, .lambda = lambda, .threshold = INFINITY, .n_parts = n_parts};
    m->parts = calloc((size_t)n_parts + 1, sizeof *m->parts);
    for (int p = 0; m->parts && p < n_parts; p++) {
        m->parts[p].width = widths[p];
        m->width += widths[p];
    }
    m->mean = calloc((size_t)m->width + 1, sizeof *m->mean);
    if (m->parts && m->mean)
        return 0;
    drift_monitor_release(m);
    return error_no_memory(err, "a monitor");
}

void drift_monitor_release(struct drift_monitor *m)
{
    free(m->mean);
    free(m->parts);
    *m = (struct drift_monitor){0};
}

static double squared_distance(const double *a, const double *b, int n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

void drift_learn_drawn(struct drift_monitor *m, const double *windows, const int *drawn, int n)
{
    size_t width = (size_t)m->width;
    memset(m->mean, 0, width * sizeof *m->mean);
    for (int t = 0; t < n; t++) {
        const double *x = windows + (size_t)drawn[t] * width;
        for (size_t i = 0; i < width; i++)
            m->mean[i] += x[i] / n;
    }
    for (int p = 0, first = 0; p < m->n_parts; first += m->parts[p++].width) {
        double spread = 0;
        for (int t = 0; t < n; t++)
            spread += squared_distance(windows + (size_t)drawn[t] * width + first, m->mean + first,
                                       m->parts[p].width);
        if (spread > 0)
            m->parts[p].spread = spread / n;
    }
}

/* n windows scatter tr S^2 upwards by (tr S)^2 / n. x: the part's numbers in the first window; row: (width)
 * scratch, of the covariance. */
static void learn_freedom(struct drift_part *part, const double *x, const double *mean, size_t stride, int n,
                          double *row)
{
    double trace = 0, squares = 0;
    for (int i = 0; i < part->width; i++) {
        memset(row, 0, (size_t)part->width * sizeof *row);
        for (int t = 0; t < n; t++) {
            const double *at = x + (size_t)t * stride;
            double deviation = (at[i] - mean[i]) / n;
            for (int j = 0; j < part->width; j++)
                row[j] += deviation * (at[j] - mean[j]);
        }
        trace += row[i];
        for (int j = 0; j < part->width; j++)
            squares += row[j] * row[j];
    }
    double share = squares / (trace * trace);
    part->freedom_seen = 1 / share;
    part->freedom = 1 / fmax(share - 1.0 / n, 1.0 / part->width);
}

int drift_learn(struct drift_monitor *m, const double *windows, int n, struct error *err)
{
    double *row = malloc(((size_t)m->width + 1) * sizeof *row);
    int *all = malloc((size_t)n * sizeof *all);
    for (int t = 0; all && t < n; t++)
        all[t] = t;
    if (row && all) {
        drift_learn_drawn(m, windows, all, n);
        for (int p = 0, first = 0; p < m->n_parts; first += m->parts[p++].width)
            learn_freedom(&m->parts[p], windows + first, m->mean + first, (size_t)m->width, n, row);
    }
    int result = row && all ? 0 : error_no_memory(err, "a monitor");
    free(row);
    free(all);
    return result;
}

void drift_begin(const struct drift_monitor *m, double *average)
{
    memcpy(average, m->mean, (size_t)m->width * sizeof *average);
}

/* A chi-square over its degrees of freedom as a standard normal score (Wilson and Hilferty 1931). */
static double normal_score(double r, double freedom)
{
    double variance = 2 / (9 * freedom);
    return (cbrt(r) - 1 + variance) / sqrt(variance);
}

static double statistic_of(const struct drift_monitor *m, const struct drift_part *part, double distance,
                           bool above)
{
    double r = distance * (2 - m->lambda) / (m->lambda * part->spread);
    if (m->statistic == DRIFT_DISTANCE)
        return normal_score(r, part->freedom);
    return m->statistic == DRIFT_TWO_SIDED || above ? sqrt(r) : -sqrt(r);
}

double drift_step(const struct drift_monitor *m, double *average, const double *window, int *part)
{
    double largest = -INFINITY;
    int first = 0;
    for (int i = 0; i < m->width; i++)
        average[i] += m->lambda * (window[i] - average[i]);
    for (int p = 0; p < m->n_parts; p++) {
        double distance = squared_distance(average + first, m->mean + first, m->parts[p].width);
        double statistic = statistic_of(m, &m->parts[p], distance, average[first] > m->mean[first]);
        if (statistic > largest) {
            largest = statistic;
            if (part)
                *part = p;
        }
        first += m->parts[p].width;
    }
    return largest;
}

int drift_watch(const struct drift_monitor *m, const double *windows, int n, int before, double *statistic,
                int *part, bool *alarm, struct error *err)
{
    double *average = malloc(((size_t)m->width + 1) * sizeof *average);
    bool found = false;
    if (!average)
        return error_no_memory(err, "a monitor");
    drift_begin(m, average);
    for (int t = 0; t < n; t++) {
        part[t] = 0;
        statistic[t] = drift_step(m, average, windows + (size_t)t * (size_t)m->width, &part[t]);
        alarm[t] = statistic[t] > m->threshold && !found;
        if (alarm[t] && t < before)
            drift_begin(m, average);
        found = found || (alarm[t] && t >= before);
    }
    free(average);
    return 0;
}

/* ---- delays ---- */

static int compare_delays(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* The least delay within which a share q of the streams had an alarm. */
static double delay_quantile(const int *delay, int n, int missed, double q)
{
    int rank = (int)ceil(q * n - 1e-9);
    return rank > 0 && rank <= n - missed ? delay[missed + rank - 1] : (double)NAN;
}

void drift_summarise(int *delay, int n, int n_changed, struct drift_delay *d)
{
    double sum = 0;
    int missed = 0;
    qsort(delay, (size_t)n, sizeof *delay, compare_delays);
    for (int i = 0; i < n; i++) {
        missed += delay[i] == 0;
        sum += delay[i] > 0 ? delay[i] : n_changed;
    }
    *d = (struct drift_delay){sum / n, delay_quantile(delay, n, missed, 0.5),
                              delay_quantile(delay, n, missed, 0.9), (double)missed / n};
}
