/* Of what was measured again and again on a machine with moods: the median, and how sure it is. */
#ifndef BENCH_SHARED_MEDIAN_H
#define BENCH_SHARED_MEDIAN_H

/* low, high: an interval of the median, at 95 % or more from six values on, by their ranks alone. */
struct median {
    double value, low, high;
};
struct median median_of(double *x, int n); /* n > 0; brought into ascending order */

#endif
