/* By hand rather than by GSL: the SQLite extension is loaded into other programs, and brings no libraries
 * that it can do without. */
#include "metrics/sample.h"

#include <math.h>
#include <stdlib.h>

double sample_deviation(const double *x, int n)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < n; i++)
        mean += (x[i] - mean) / (i + 1);
    for (int i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    return n > 1 ? sqrt(squares / (n - 1)) : NAN;
}

double quantile_sorted(const double *sorted, int n, double q)
{
    if (n <= 0)
        return NAN;
    double place = q * (n - 1);
    int below = (int)place;
    if (below >= n - 1)
        return sorted[n - 1];
    double share = place - below;
    return (1 - share) * sorted[below] + share * sorted[below + 1];
}

static int order_of_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sample_sort(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, order_of_doubles);
}
