/* Intervals and tests. The unit is the document for a statement about two trained models, the seed for one
 * about two methods; tokens are never a unit, since those of one document are not independent. */
#ifndef METRICS_RESAMPLE_H
#define METRICS_RESAMPLE_H
#include <stdbool.h>

#include "base/error.h"
#include "base/random.h"

struct interval {
    double estimate, low, high; /* low and high NaN: no interval can be given; say why by n and smallest */
    double p;     /* two-sided, of "the estimate's true value is 0"; NaN where no test is made */
    int n;        /* units: documents or seeds */
    int smallest; /* units in the smallest stratum (= n without strata) */
};

/* ---- documents ---- */

struct interval_options {
    int n_draws;       /* 2000 */
    double level;      /* 0.95 */
    int min_documents; /* 10: fewer in any stratum and no interval is given */
    bool equal_strata; /* false; true: the mean of the strata's own figures, each counting alike */
};
struct interval_options interval_defaults(void);

/* The token-weighted ratio sum(numerator) / sum(denominator), say of loss sums in nats to tokens, or to bytes
 * x ln 2 for bits per byte, with an interval by changes of sign (signs.h): all values from which documents
 * depart to either side as they would by chance. Of ten documents as unequal as texts are it holds the truth
 * as often as it says, while percentiles of resampled documents miss it twice as often (docs/results.md,
 * Calibration). Deviations are taken within strata (domains). numerator, denominator: (n), stratum: (n) any
 * numbers or NULL. Documents with denominator 0 are left out. NaN also where one document outweighs all
 * others. Trap: it says nothing about other domains than these; and documents that lie far off to one side
 * only (a skewed distribution) are taken for rarer than they are. */
int ratio_interval(const double *numerator, const double *denominator, const int *stratum, int n,
                   const struct interval_options *o, struct random *r, struct interval *i, struct error *err);
/* Ratio a minus ratio b over the same documents: the interval of the difference, which is far shorter than
 * two separate intervals suggest. p: how often changed signs give a mean as large, over its standard error,
 * (1 + #) / (1 + n_draws); the interval excludes 0 when it is at most 1 - level. Where both have the same
 * denominators and either run is as likely to be the better one on any document, p is exact. Of 10 documents
 * p is 2 / 1024 at least. Documents with denominator 0 in either are left out of both. */
int difference_interval(const double *numerator_a, const double *denominator_a, const double *numerator_b,
                        const double *denominator_b, const int *stratum, int n,
                        const struct interval_options *o, struct random *r, struct interval *i,
                        struct error *err);

/* ---- seeds ---- */

/* Mean of paired differences with Student's t interval on n - 1 degrees of freedom, and its two-sided p.
 * n < 2: no interval. Equal differences: an interval of width 0, p 0 (1 when they are all 0). */
void student_interval(const double *difference, int n, double level, struct interval *i);

/* The least true difference that a study of such scatter and size would have found with that power: (t of the
 * level + t of the power) standard errors, both of n - 1 degrees of freedom (after Cohen 1988, chapter 2). i:
 * from student_interval at that level; NaN without an interval. Trap: what was not found may still be so
 * large. */
double student_detectable(const struct interval *i, double level, double power);

/* How large a paired difference is beside its spread over the units: weighted mean / weighted standard
 * deviation, sqrt(sum w (d - mean)^2 / sum w x n / (n - 1)). With equal weights Cohen's d of paired
 * differences, d_z (Cohen 1988, section 2.3.5; Lakens 2013). weight: (n) >= 0, or NULL: all alike; units of
 * weight 0 are left out. NaN with fewer than two units, and where all differ by the same. Trap: unlike p it
 * does not grow with n; what counts as large depends on how much documents, or seeds, differ anyway. */
double paired_effect(const double *difference, const double *weight, int n);

/* What an interval says of a difference of losses (lower is better) when +-margin is as good as equal. */
enum verdict { VERDICT_UNDETERMINED, VERDICT_BETTER, VERDICT_WORSE, VERDICT_EQUIVALENT };
extern const char *const verdict_names[4]; /* undetermined, better, worse, equivalent */
/* Equivalent: the interval lies within [-margin, margin] (whether or not it holds 0), margin > 0. Better: all
 * below 0. Worse: all above. Otherwise, or without an interval: undetermined. */
enum verdict interval_verdict(const struct interval *i, double margin);

/* ---- many tests, proportions ---- */

/* Adjusted p-values that control the false discovery rate (Benjamini and Hochberg 1995): adjusted[i] <= level
 * is a discovery. p, adjusted: (n), may be the same array. NaN stays NaN and does not count. */
int benjamini_hochberg(const double *p, int n, double *adjusted, struct error *err);

/* A better or worse stands while its adjusted p-value is at most 1 - level; otherwise it is undetermined. */
enum verdict adjusted_verdict(enum verdict verdict, double adjusted, double level);

/* An interval among others that are read beside it. */
struct judged {
    struct interval i;
    double adjusted; /* i.p among those of its family (Benjamini and Hochberg); NaN: no test */
    enum verdict verdict;
};
/* Sets adjusted and verdict of a family, whose intervals are there: each by interval_verdict, and what does
 * not survive the adjustment undetermined. family: (n). */
int judge_family(struct judged *const *family, int n, double margin, double level, struct error *err);

/* Wilson's score interval of a proportion (Wilson 1927). Only for independent trials (documents, samples). */
void wilson_interval(double successes, double trials, double level, struct interval *i);

/* Exact interval of a rate of rare independent events (Garwood 1936). i->n: events. */
void poisson_interval(int events, double exposure, double level, struct interval *i);

#endif
