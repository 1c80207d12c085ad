/* What moescope drift measures, and what it says of it in words: two monitors of the windows of a stream, one
 * of expert usage and one of the loss, calibrated on a reference without change (metrics/drift.h). The tables
 * are in analysis/drift.c. */
#ifndef ANALYSIS_SHARED_DRIFT_H
#define ANALYSIS_SHARED_DRIFT_H
#include "analysis/shared/program.h"
#include "analysis/shared/runs.h"
#include "metrics/drift.h"
#include "metrics/resample.h"

enum { MONITOR_USAGE, MONITOR_LOSS, N_MONITORS };
extern const char *const monitor_names[N_MONITORS]; /* usage, loss */

struct watched_layer {
    int layer, n_experts;
    int first;         /* of its experts among a window's loads */
    double decisions;  /* a window, mean over the windows learnt from; or sum of gates */
    double *share;     /* (n_experts) means over the same */
    int *cell;         /* (n_experts) */
    double *reference; /* (n_cells) shares of the cells */
    int n_cells;       /* 0: its usage does not vary, so that it is not watched */
    int part;          /* of the monitor; -1: not watched */
};

struct found_change {
    int false_alarms;         /* before the change, as it happened */
    int alarm;                /* window of the first alarm from the change on; -1: none */
    struct drift_delay delay; /* over streams made of the same windows in other orders */
    double early;             /* share of those with a false alarm before the change */
};

/* Shares of streams. */
struct sooner {
    double usage, loss, together, neither;
};

struct stream { /* the windows of a run */
    const struct compared_run *run;
    int n;
    int64_t *step;                 /* (n) */
    double *loss;                  /* (n) */
    double *load;                  /* (n, n_loads) */
    int64_t change;                /* the step from which on windows differ; -1: the reference */
    int before;                    /* windows before it */
    double *seen[N_MONITORS];      /* (n, width) what the monitor is given */
    double *statistic[N_MONITORS]; /* (n) */
    bool *alarm[N_MONITORS];       /* (n) */
    int *part[N_MONITORS];         /* (n) of which part the statistic is */
    struct found_change found[N_MONITORS];
    struct sooner sooner;
};

struct promise { /* how often a monitor raises false alarms */
    struct drift_calibration simulated;
    int alarms;           /* as it happened in the reference's windows that were not learnt from */
    struct interval rate; /* of those, a window */
    double reordered;     /* the same over other orders of these windows */
};

struct drift {
    /* options */
    double arl, lambda;
    int64_t layer, change, from, streams, block,
        seed;              /* layer, change -1: all, in the config; block 0: chosen */
    const char *loss_side; /* both, upper */
    const char *figures;   /* folder; NULL: none */

    struct runs runs;
    struct watched_layer *layers;
    int n_layers, n_loads;
    struct stream *items; /* the reference first */
    int n;
    int learnt; /* windows of the reference */
    struct drift_simulation simulation;
    struct drift_monitor monitors[N_MONITORS];
    struct promise promises[N_MONITORS];
};

/* In this order: reads the windows of the runs that the operands name; calibrates on the first half of the
 * first run's, and checks on the second; follows the other runs, each through its change. */
int drift_read(struct drift *d, const struct analysis *a, struct error *err);
int drift_set_up(struct drift *d, struct error *err);
int drift_follow(struct drift *d, struct error *err);
void drift_release(struct drift *d); /* safe on zeroed */
void drift_bind(const struct drift *d, struct query *q);

/* A window's loads in a layer, (n_experts), and their sum, which is above 0. */
const double *drift_loads(const struct drift *d, const struct stream *s, const struct watched_layer *w,
                          int window);
double drift_total(const struct drift *d, const struct stream *s, const struct watched_layer *w, int window);
/* The step where an alarm was raised; -1: none. */
int64_t drift_alarm_step(const struct stream *s, int monitor);
/* The layer that the statistic of a window is of; -1: that monitor has none. */
int drift_layer_of(const struct drift *d, const struct stream *s, int monitor, int window);
/* "learnt", "checked" of the reference; "before", "after" the change. */
const char *drift_phase(const struct drift *d, const struct stream *s, int window);

/* What became of a change. */
enum drift_finding { DRIFT_DETECTED, DRIFT_LATE, DRIFT_MISSED, DRIFT_UNLIKE };
extern const char *const drift_finding_names[4]; /* detected, late, missed, unlike */
enum drift_finding drift_finding(const struct drift *d, const struct stream *s, int monitor);
int drift_judge(struct analysis *a, struct verdicts *v, struct error *err);

/* Figures of all runs, into the folder of the options. */
int drift_draw(const struct drift *d, const char *db, struct error *err);

static inline const struct stream *drift_reference(const struct drift *d)
{
    return &d->items[0];
}

#endif
