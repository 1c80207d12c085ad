/* Drift: has the stream that a model reads changed? A monitor keeps an exponentially weighted moving average
 * of what it sees in each window of the stream (Roberts 1959; of several numbers at once: Lowry et al. 1992)
 * and raises an alarm when the average is too far from what it was in a reference without change.
 *
 *   z_0 = mean,  z_t = (1 - lambda) z_{t-1} + lambda x_t,  R_t = |z_t - mean|^2 (2 - lambda) / (lambda
 * spread)
 *
 * where spread is the mean of |x - mean|^2, so that R has mean 1 once the start is forgotten, if windows are
 * independent. How far is too far is said by the mean number of windows to a false alarm, the average run
 * length (Page 1954): the threshold that has it is found by simulation. After an alarm a monitor begins anew.
 *
 * A window is a row of `width` numbers; windows are (n, width), in the order of the stream. */
#ifndef METRICS_DRIFT_H
#define METRICS_DRIFT_H
#include <stdbool.h>

#include "base/error.h"
#include "base/random.h"

/* ---- expert usage as numbers to watch ---- */

/* Experts that are chosen too rarely to count by themselves share one cell, as in any chi-square: the rarest
 * are put together until an average over `decisions` decisions expects `least` of them there (Cochran 1954:
 * 5). share: (n_experts), adds up to 1. cell: (n_experts) receives 0 .. n - 1. Returns n. */
int drift_cells(const double *share, int n_experts, double decisions, double least, int *cell);
/* value[c] = q_c / sqrt(p_c): squared distances of these are chi-square distances sum_c (q_c - p_c)^2 / p_c
 * of the shares. load: (n_experts), some of it above 0; reference: (n_cells) p, above 0; value: (n_cells). */
void drift_usage(const double *load, const int *cell, int n_experts, const double *reference, int n_cells,
                 double *value);

/* ---- a monitor ---- */

enum drift_statistic {
    DRIFT_DISTANCE,  /* R of several numbers as a standard normal score; of several parts the largest */
    DRIFT_TWO_SIDED, /* sqrt(R) of one number: how many standard errors it is away */
    DRIFT_UPPER      /* the same, negative below the mean: a fall raises no alarm */
};

struct drift_part { /* numbers that are judged together: the cells of a layer */
    int width;
    double spread;       /* mean of |x - mean|^2; not 0 */
    double freedom;      /* R is about a chi-square of so many degrees over their number: (tr S)^2 / tr S^2, S
                          * the covariance (Box 1954) */
    double freedom_seen; /* the same of the windows learnt from, whose covariances are less even by chance */
};

struct drift_monitor {
    enum drift_statistic statistic;
    double lambda, threshold;
    int width, n_parts;
    double *mean;             /* (width) */
    struct drift_part *parts; /* (n_parts) */
};
/* widths: (n_parts). One part of width 1 unless it is about DRIFT_DISTANCE. The threshold is infinite. */
int drift_monitor_init(struct drift_monitor *m, enum drift_statistic statistic, double lambda,
                       const int *widths, int n_parts, struct error *err);
void drift_monitor_release(struct drift_monitor *m); /* safe on zeroed */
/* Means, spreads and freedoms of these windows, n >= 2. A spread of 0 is left to the caller to refuse. */
int drift_learn(struct drift_monitor *m, const double *windows, int n, struct error *err);
/* Means and spreads of the windows drawn[0 .. n - 1]. Freedoms stay, which only weigh the parts, and so does
 * a spread where all of them are the same. */
void drift_learn_drawn(struct drift_monitor *m, const double *windows, const int *drawn, int n);

/* average: (width). */
void drift_begin(const struct drift_monitor *m, double *average);
/* Takes a window in and returns the statistic. *part: of which part it is, where NULL is not given. */
double drift_step(const struct drift_monitor *m, double *average, const double *window, int *part);
/* A whole stream as it is; statistic, part and alarm are (n). Alarms of the first `before` windows are false
 * ones, after which it begins anew; from then on only the first counts, and the average goes on. */
int drift_watch(const struct drift_monitor *m, const double *windows, int n, int before, double *statistic,
                int *part, bool *alarm, struct error *err);

/* ---- streams made of windows that were seen ---- */

struct drift_simulation {
    int streams;   /* how many */
    int block;     /* windows that stay together, since neighbours depend on each other; 1: they do not */
    uint64_t seed; /* monitors that are given the same seed see the same streams */
};

/* How long blocks should be for a circular block bootstrap (Politis and White 2004, corrected by Patton,
 * Politis and White 2009): 1 for windows without autocorrelation. Of several numbers the autocovariances are
 * added up. */
int drift_block(const double *windows, int n, int width, struct error *err);

struct drift_calibration {
    double run_length; /* mean, as simulated with the threshold that was found */
    double error;      /* its standard error by the number of streams */
    int n_alarms;      /* streams that had one within 10 times the run length, where they end */
};
/* Finds the threshold whose average run length is `run_length` windows. Each stream is drawn from the windows
 * in blocks with replacement; and so are, each time, as many windows as there are to learn from, since a
 * reference that is not known exactly makes alarms more frequent (Jensen et al. 2006). */
int drift_calibrate(struct drift_monitor *m, const double *windows, int n, double run_length,
                    const struct drift_simulation *s, struct drift_calibration *c, struct error *err);

/* Alarms a window that the monitor raises on these windows in other orders, blocks staying together. */
int drift_alarm_rate(const struct drift_monitor *m, const double *windows, int n,
                     const struct drift_simulation *s, double *rate, struct error *err);

struct drift_change {
    const double *control, *changed; /* (n_control, width), (n_changed, width), reordered for each stream */
    int n_control, n_changed;
    int before; /* windows of a stream before the change; drawn again where there are fewer */
};
/* delay: (streams) windows from the change to the first alarm, 1: at once, 0: none. early: (streams) whether
 * there was a false alarm before the change. */
int drift_delays(const struct drift_monitor *m, const struct drift_change *change,
                 const struct drift_simulation *s, int *delay, bool *early, struct error *err);

struct drift_delay {
    double mean;        /* one that is missed counts as all n_changed windows: a lower bound */
    double median, p90; /* NaN: missed more often than that */
    double missed;      /* share of streams */
};
/* delay: (n) as above; sorted in place. */
void drift_summarise(int *delay, int n, int n_changed, struct drift_delay *d);

#endif
