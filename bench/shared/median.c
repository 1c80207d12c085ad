#include "bench/shared/median.h"

#include <math.h>

#include "metrics/sample.h"

/* How many values may be left out at either end: twice the chance of a sign test that goes further is at most
 * 5 %. */
static int left_out(int n)
{
    double chance = pow(0.5, n), sum = chance;
    int k = 0;

    while (2.0 * (sum + chance * (n - k) / (k + 1)) <= 0.05) {
        chance *= (double)(n - k) / (k + 1);
        sum += chance;
        k++;
    }
    return k;
}

struct median median_of(double *x, int n)
{
    int out = left_out(n);

    sample_sort(x, n);
    return (struct median){quantile_sorted(x, n, 0.5), x[out], x[n - 1 - out]};
}
