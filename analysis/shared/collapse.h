/* What moescope collapse measures, and what it says of it in words: loads pooled over windows of steps, each
 * layer's series of windows judged by the rule in metrics/collapse.h, and the routers that look healthy
 * because they do nothing. The tables are in analysis/collapse.c. */
#ifndef ANALYSIS_SHARED_COLLAPSE_H
#define ANALYSIS_SHARED_COLLAPSE_H
#include "analysis/shared/program.h"
#include "metrics/collapse.h"
#include "metrics/specialization.h"

struct load_window {
    int64_t first_step, last_step, steps; /* steps: logged ones */
    double tokens;                        /* that were counted; NaN: not in all of the steps */
};

struct load_series {             /* of one layer */
    double *load;                /* (n_windows, n_experts), what the router asked for: a capacity's refusals
                                  * would hide a collapse */
    double *dropped;             /* (n_windows), decisions of those that capacity refused */
    struct load_summary *window; /* (n_windows) */
    int *breach;                 /* (n_windows) */
    struct collapse_verdict verdict;
    int lowest;                         /* window with the fewest effective experts */
    int64_t last_breach;                /* last step of the last window in breach; -1: none */
    double router_entropy;              /* nats, last window; NaN: not logged */
    struct agreement_rates since_start; /* probe, first pass against last; NaN: not known */
    int untrained;                      /* enum untrained, or BREACH_UNKNOWN */
};

struct collapse {
    /* options */
    int64_t window_steps; /* 0: as many as hold enough tokens */
    const char *split;
    struct collapse_rule rule;
    int64_t lasting; /* of the rule */

    int64_t first_step, last_step, n_steps;
    int64_t window_span;    /* in steps */
    int64_t n_span;         /* windows that fit into the run, at least one */
    double tokens_per_step; /* mean; NaN: unknown */
    struct load_window *windows;
    int n_windows;
    struct load_series *series; /* (n_layers) */
    int n_series;
    int64_t probe_first, probe_last; /* -1: none */
    char status[32];                 /* of the run */
};

/* Reads the loads of the run, pools them and judges every layer. */
int collapse_read(struct collapse *c, const struct analysis *a, struct error *err);
void collapse_release(struct collapse *c); /* safe on zeroed */

/* Fills in router_entropy, since_start and untrained of every series. */
int collapse_judge_routers(struct collapse *c, const struct analysis *a, struct error *err);

/* What the queries name beyond :run. */
void collapse_bind(const struct collapse *c, struct query *q);

const struct load_summary *collapse_last_window(const struct collapse *c, int layer);
double collapse_load(const struct collapse *c, int layer, int window, int expert);
/* Mean entropy of the router's probabilities over ln N, in the last window; NaN: not logged. */
double collapse_router_entropy(const struct collapse *c, int layer);
/* The window from which on an expert has had no token, to the end; n_windows: it still has some. */
int collapse_dead_since(const struct collapse *c, int layer, int expert);
/* Layers in that state. */
int collapse_count(const struct collapse *c, enum collapse_state state);

/* ---- words ---- */

const char *collapse_state_word(enum collapse_state state);
const char *collapse_alarm_word(int untrained);
/* "2.3 of 16 effective experts, 3 dead (0, 7, 12; the first since step 400), ...": the last window. */
void collapse_add_figures(struct text *t, const struct collapse *c, int layer);
/* "since step 30" */
void collapse_add_onset(struct text *t, const struct collapse *c, int layer);
/* Why the state is what it is. No comma: tables can be cut at them. */
void collapse_add_detail(struct text *t, const struct collapse *c, int layer);

/* The verdict of the program: `state` of *a is a struct collapse. */
int collapse_judge_run(struct analysis *a, struct verdicts *v, struct error *err);

#endif
