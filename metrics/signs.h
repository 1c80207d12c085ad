/* Changes of sign: the test and the interval of a mean over documents, however unlike they are in length and
 * however heavy the tails (Canay, Romano and Shaikh 2017, "Randomization tests under an approximate symmetry
 * assumption"; Fisher 1935). Of use to resample.c alone, whose header says what is estimated. */
#ifndef METRICS_SIGNS_H
#define METRICS_SIGNS_H
#include "base/error.h"
#include "base/random.h"

/* What a document adds to an estimate: off + share * estimate, where the shares add up to 1 and the offs to
 * 0; in order of stratum. */
struct part {
    int stratum;
    double off, share;
};

struct signs_answer {
    double low, high; /* NaN: hardly more than one document counts, and nothing is ever out of the question */
    double p;         /* two-sided, of "the estimate's true value is 0" */
};

/* Were the true value theta, every document's off + share * (estimate - theta) would as soon have the other
 * sign. p is how often signs drawn anew give as large a mean, over its standard error, as there is: (1 + #) /
 * (1 + n_draws). The interval has all theta that are not rejected at 1 - level; it holds 0 unless p <= 1 -
 * level. Standard errors are within strata, so that what differs between strata, and is no chance, does not
 * count. A stratum of one document counts as certain. */
int signs_test(const struct part *parts, int n, double estimate, int n_draws, double level, struct random *r,
               struct signs_answer *x, struct error *err);

#endif
