/* A run's loads as they come, step by step: pooled into windows, each window judged, each layer's state known
 * at any time. `collapse` reads a run that is over through it, `train --alarm` one that goes on, `watch`
 * both: they say the same because they are the same.
 *
 * A window is the fewest steps in a row that are a hundredth of the planned run and hold enough tokens for
 * every layer (rule.tokens_per_expert * N). It ends as soon as it does: what comes later changes no window.
 * Steps at the end that make no whole window are not judged. Evaluations of other splits lie apart; each is a
 * window, whatever it holds. */
#ifndef METRICS_MONITOR_H
#define METRICS_MONITOR_H
#include <stdint.h>

#include "base/error.h"
#include "metrics/collapse.h"

enum { MONITOR_WINDOWS = 100 }; /* of a planned run: what a plot can show and a reader can follow */

struct monitor_layer {
    int layer, n_experts;
    int k;      /* 0: varies by token */
    bool fixed; /* untrained_by_design */
};

struct monitor_setting {
    struct collapse_rule rule;
    int64_t planned_steps; /* of the run; 0: not known */
    int64_t window_steps;  /* 0: as above; else windows of so many steps, whatever they hold */
};

struct monitor_window {
    int64_t first_step, last_step, steps; /* steps: logged ones */
};

struct monitor_series { /* of one layer; all arrays have a place for each window */
    struct monitor_layer of;
    double *load;                 /* (windows, n_experts), what the router asked for: a capacity's refusals
                                   * would hide a collapse */
    double *dropped;              /* decisions of those that capacity refused */
    double *router_entropy;       /* nats, mean of its steps; NaN: not known */
    struct load_summary *summary; /* its n_tokens are NaN where they were not known in every step */
    int *breach;                  /* enum breach */
    double *low, *high;           /* least and greatest k-aware entropy of its steps, each alone */
    double *step;                 /* (n_experts), of the step at hand */
    int known_entropies;          /* steps in the window at hand whose router_entropy is known */
};

struct monitor {
    struct monitor_setting setting;
    struct monitor_window *windows; /* (n_windows), and the one at hand behind them */
    int n_windows, capacity;
    struct monitor_series *series; /* (n_layers) */
    int n_layers;
};

int monitor_init(struct monitor *m, const struct monitor_setting *setting, const struct monitor_layer *layers,
                 int n_layers, struct error *err);
void monitor_release(struct monitor *m); /* safe on zeroed */

/* A step begins; each is later than the one before. */
int monitor_begin_step(struct monitor *m, int64_t step, struct error *err);
struct monitor_load {
    const int64_t *assignments, *dropped; /* (n_experts) accepted and refused; dropped NULL: none was */
    double tokens;                        /* that passed the layer; needed where k varies; NaN: not known */
    double router_entropy;                /* nats, mean over tokens; NaN: not known */
};
/* What one layer (its index) did in the step at hand. */
void monitor_add(struct monitor *m, int layer, const struct monitor_load *load);
/* The step is complete; true: a window is, too, the last of n_windows. */
bool monitor_end_step(struct monitor *m);
/* The run is over. What is left makes no window, unless there is no other. */
void monitor_finish(struct monitor *m);

/* ---- what is known; all but the first two need a window ---- */

/* A layer's state after all windows so far. */
struct collapse_verdict monitor_judge(const struct monitor *m, int layer);
/* Whether a layer has a choice at all: it has not where every token gets every expert by configuration. */
bool monitor_has_choice(const struct monitor *m, int layer);
const struct load_summary *monitor_last(const struct monitor *m, int layer);
double monitor_load(const struct monitor *m, int layer, int window, int expert);
/* Mean entropy of the router's probabilities over ln N; NaN: not known. */
double monitor_router_entropy(const struct monitor *m, int layer, int window);
/* The window from which on an expert has had no token, to the end; n_windows: it still has some. */
int monitor_dead_since(const struct monitor *m, int layer, int expert);
/* Balanced by doing nothing: enum untrained bits that hold in each of the last rule.lasting windows, given
 * the probe's agreement with step 0 (NaN: not known); BREACH_UNKNOWN: too few windows, too early in the
 * planned run, or the figures are not known. */
int monitor_untrained(const struct monitor *m, int layer, const struct untrained_rule *rule,
                      double agreement_with_start);

/* ---- in words ---- */

/* "load entropy + dead experts": of enum breach bits. */
void breach_add_reasons(struct text *t, int breach);
/* "no opinion + unchanged", "none", "unknown": of what monitor_untrained returned. */
void untrained_add_reasons(struct text *t, int untrained);
/* "since step 30", "from the start (step 0)" */
void collapse_add_onset(struct text *t, const struct collapse_verdict *v);
/* "2.3 of 16 effective experts, 3 dead (0, 7, 12; the first since step 400), the busiest takes 57 % of the
 * tokens": the last window. */
void monitor_add_figures(struct text *t, const struct monitor *m, int layer);

#endif
