/* A sample of numbers by itself: spread and quantiles. */
#ifndef METRICS_SAMPLE_H
#define METRICS_SAMPLE_H

/* Standard deviation, deviations divided by n - 1. NaN for n < 2. */
double sample_deviation(const double *x, int n);

/* Quantile q, 0 to 1, of ascending values by linear interpolation (Hyndman and Fan 1996, type 7). NaN for
 * n = 0. */
double quantile_sorted(const double *sorted, int n, double q);

/* Into ascending order, for the functions that ask for it. */
void sample_sort(double *x, int n);

#endif
