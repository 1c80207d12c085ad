/* Both monitors: what they are given, their calibration on the reference, and what they make of the other
 * runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/drift.h"

/* Of the reference, in each half. */
enum { FEWEST_WINDOWS = 20 };
/* Decisions that a cell of usage must be expected to have in the average. */
static const double cell_decisions = 5;

const char *const monitor_names[N_MONITORS] = {"usage", "loss"};

int64_t drift_alarm_step(const struct stream *s, int monitor)
{
    int alarm = s->found[monitor].alarm;
    return alarm >= 0 ? s->step[alarm] : -1;
}

int drift_layer_of(const struct drift *d, const struct stream *s, int monitor, int window)
{
    for (int l = 0; l < d->n_layers && monitor == MONITOR_USAGE; l++)
        if (d->layers[l].part == s->part[monitor][window])
            return d->layers[l].layer;
    return -1;
}

const char *drift_phase(const struct drift *d, const struct stream *s, int window)
{
    if (s->change < 0)
        return window < d->learnt ? "learnt" : "checked";
    return window < s->before ? "before" : "after";
}

/* ---- what is watched ---- */

static void learn_shares(const struct drift *d, struct watched_layer *w)
{
    for (int t = 0; t < d->learnt; t++) {
        const double *load = drift_loads(d, drift_reference(d), w, t);
        double total = drift_total(d, drift_reference(d), w, t);
        for (int e = 0; e < w->n_experts; e++)
            w->share[e] += load[e] / total / d->learnt;
        w->decisions += total / d->learnt;
    }
}

/* More than by rounding. */
static bool differ(double x, double y)
{
    return fabs(x - y) > 1e-9 * fabs(x);
}

static bool usage_varies(const struct drift *d, const struct watched_layer *w)
{
    const double *first = drift_loads(d, drift_reference(d), w, 0);
    double first_total = drift_total(d, drift_reference(d), w, 0);
    for (int t = 1; t < d->learnt; t++) {
        const double *load = drift_loads(d, drift_reference(d), w, t);
        double total = drift_total(d, drift_reference(d), w, t);
        for (int e = 0; e < w->n_experts; e++)
            if (differ(first[e] / first_total, load[e] / total))
                return true;
    }
    return false;
}

static bool loss_varies(const struct drift *d)
{
    const double *loss = drift_reference(d)->loss;
    for (int t = 1; t < d->learnt; t++)
        if (differ(loss[0], loss[t]))
            return true;
    return false;
}

/* A moving average of windows rests on (2 - lambda) / lambda of them. */
static void choose_cells(const struct drift *d, struct watched_layer *w)
{
    double rests_on = w->decisions * (2 - d->lambda) / d->lambda;
    w->n_cells = drift_cells(w->share, w->n_experts, rests_on, cell_decisions, w->cell);
    for (int e = 0; e < w->n_experts; e++)
        w->reference[w->cell[e]] += w->share[e];
    if (w->n_cells < 2 || !usage_varies(d, w))
        w->n_cells = 0;
}

static int choose_parts(struct drift *d, int *widths, struct error *err)
{
    int n = 0;
    for (int l = 0; l < d->n_layers; l++) {
        struct watched_layer *w = &d->layers[l];
        learn_shares(d, w);
        choose_cells(d, w);
        if (w->n_cells == 0)
            continue;
        w->part = n;
        widths[n++] = w->n_cells;
    }
    if (n > 0)
        return n;
    return error_set(err, STATUS_INPUT,
                     "the usage of experts does not vary in the first %d windows of run '%s' (layer %d: %d "
                     "expert%s): there is nothing to watch",
                     d->learnt, drift_reference(d)->run->name, d->layers[0].layer, d->layers[0].n_experts,
                     d->layers[0].n_experts == 1 ? "" : "s");
}

static int see_usage(const struct drift *d, struct stream *s, struct error *err)
{
    size_t width = (size_t)d->monitors[MONITOR_USAGE].width;
    double *x = s->seen[MONITOR_USAGE] = malloc((size_t)s->n * width * sizeof *x);
    if (!x)
        return error_no_memory(err, "the windows");
    for (int t = 0; t < s->n; t++)
        for (int l = 0; l < d->n_layers; l++) {
            const struct watched_layer *w = &d->layers[l];
            if (w->part < 0)
                continue;
            drift_usage(drift_loads(d, s, w, t), w->cell, w->n_experts, w->reference, w->n_cells, x);
            x += w->n_cells;
        }
    return 0;
}

static int see_loss(struct stream *s, struct error *err)
{
    s->seen[MONITOR_LOSS] = malloc((size_t)s->n * sizeof *s->loss);
    if (!s->seen[MONITOR_LOSS])
        return error_no_memory(err, "the windows");
    memcpy(s->seen[MONITOR_LOSS], s->loss, (size_t)s->n * sizeof *s->loss);
    return 0;
}

static int see_all(struct drift *d, struct error *err)
{
    for (int i = 0; i < d->n; i++)
        if (see_usage(d, &d->items[i], err) != 0 || see_loss(&d->items[i], err) != 0)
            return -1;
    return 0;
}

static int init_monitors(struct drift *d, struct error *err)
{
    static const int one = 1;
    bool upper = strcmp(d->loss_side, "upper") == 0;
    int *widths = calloc((size_t)d->n_layers, sizeof *widths);
    int n = widths ? choose_parts(d, widths, err) : error_no_memory(err, "the monitors");
    int result =
        n < 0 ? -1
              : drift_monitor_init(&d->monitors[MONITOR_USAGE], DRIFT_DISTANCE, d->lambda, widths, n, err);
    free(widths);
    if (result != 0)
        return -1;
    if (!loss_varies(d))
        return error_set(err, STATUS_INPUT, "the loss does not vary in the first %d windows of run '%s'",
                         d->learnt, drift_reference(d)->run->name);
    return drift_monitor_init(&d->monitors[MONITOR_LOSS], upper ? DRIFT_UPPER : DRIFT_TWO_SIDED, d->lambda,
                              &one, 1, err);
}

/* ---- calibration ---- */

/* The longest that any of what is watched asks for: both monitors are to see the same streams. */
static int choose_block(struct drift *d, struct error *err)
{
    d->simulation = (struct drift_simulation){
        .streams = (int)d->streams, .block = (int)d->block, .seed = (uint64_t)d->seed};
    for (int m = 0; m < N_MONITORS && d->block == 0; m++) {
        int block = drift_block(drift_reference(d)->seen[m], d->learnt, d->monitors[m].width, err);
        if (block < 0)
            return -1;
        if (block > d->simulation.block)
            d->simulation.block = block;
    }
    return 0;
}

/* As it happens, from window `first` on. */
static int watch(const struct drift_monitor *m, struct stream *s, int monitor, int first, struct error *err)
{
    size_t at = (size_t)first;
    return drift_watch(m, s->seen[monitor] + at * (size_t)m->width, s->n - first, s->before - first,
                       s->statistic[monitor] + at, s->part[monitor] + at, s->alarm[monitor] + at, err);
}

static int make_room(struct stream *s, int monitor, struct error *err)
{
    size_t n = (size_t)s->n;
    s->statistic[monitor] = calloc(n, sizeof *s->statistic[monitor]);
    s->part[monitor] = calloc(n, sizeof *s->part[monitor]);
    s->alarm[monitor] = calloc(n, sizeof *s->alarm[monitor]);
    return s->statistic[monitor] && s->part[monitor] && s->alarm[monitor]
               ? 0
               : error_no_memory(err, "the windows");
}

/* What was not learnt from tells whether the promise is kept. */
static int check(struct drift *d, int monitor, struct error *err)
{
    struct promise *p = &d->promises[monitor];
    struct stream *s = &d->items[0];
    const struct drift_monitor *m = &d->monitors[monitor];
    int checked = s->n - d->learnt;
    if (make_room(s, monitor, err) != 0 || watch(m, s, monitor, 0, err) != 0 ||
        watch(m, s, monitor, d->learnt, err) != 0)
        return -1;
    for (int t = d->learnt; t < s->n; t++)
        p->alarms += s->alarm[monitor][t];
    poisson_interval(p->alarms, checked, 0.95, &p->rate);
    return drift_alarm_rate(m, s->seen[monitor] + (size_t)d->learnt * (size_t)m->width, checked,
                            &d->simulation, &p->reordered, err);
}

static int calibrate(struct drift *d, int monitor, struct error *err)
{
    struct drift_monitor *m = &d->monitors[monitor];
    const double *windows = drift_reference(d)->seen[monitor];
    if (drift_learn(m, windows, d->learnt, err) != 0 ||
        drift_calibrate(m, windows, d->learnt, d->arl, &d->simulation, &d->promises[monitor].simulated,
                        err) != 0)
        return -1;
    return check(d, monitor, err);
}

int drift_set_up(struct drift *d, struct error *err)
{
    const struct stream *reference = drift_reference(d);
    d->learnt = reference->n / 2;
    if (d->learnt < FEWEST_WINDOWS)
        return error_set(
            err, STATUS_INPUT,
            "run '%s' has %d windows from step %lld on; a reference takes at least %d, half of them "
            "to learn from and half to check with",
            reference->run->name, reference->n, (long long)d->from, 2 * FEWEST_WINDOWS);
    if (init_monitors(d, err) != 0 || see_all(d, err) != 0 || choose_block(d, err) != 0)
        return -1;
    for (int m = 0; m < N_MONITORS; m++)
        if (calibrate(d, m, err) != 0)
            return -1;
    return 0;
}

/* ---- detection ---- */

static void find_alarm(struct stream *s, int monitor)
{
    struct found_change *f = &s->found[monitor];
    f->alarm = -1;
    for (int t = 0; t < s->n && f->alarm < 0; t++) {
        if (t < s->before)
            f->false_alarms += s->alarm[monitor][t];
        else if (s->alarm[monitor][t])
            f->alarm = t;
    }
}

/* Without change the stream is the reference's windows that were not learnt from. */
static int find_delays(const struct drift *d, struct stream *s, int monitor, int *delay, struct error *err)
{
    const struct drift_monitor *m = &d->monitors[monitor];
    struct found_change *f = &s->found[monitor];
    const struct stream *reference = drift_reference(d);
    size_t width = (size_t)m->width;
    const struct drift_change change = {.control = reference->seen[monitor] + (size_t)d->learnt * width,
                                        .n_control = reference->n - d->learnt,
                                        .changed = s->seen[monitor] + (size_t)s->before * width,
                                        .n_changed = s->n - s->before,
                                        .before = s->before};
    bool *early = calloc((size_t)d->simulation.streams, sizeof *early);
    int n = 0;
    if (!early)
        return error_no_memory(err, "the streams");
    int result = drift_delays(m, &change, &d->simulation, delay, early, err);
    for (int i = 0; i < d->simulation.streams; i++)
        n += early[i];
    f->early = (double)n / d->simulation.streams;
    free(early);
    return result;
}

/* usage, loss: (n) delays in the same streams. */
static void compare_delays(const int *usage, const int *loss, int n, struct sooner *sooner)
{
    *sooner = (struct sooner){0};
    for (int i = 0; i < n; i++) {
        double *share = usage[i] == 0 && loss[i] == 0                      ? &sooner->neither
                        : usage[i] == loss[i]                              ? &sooner->together
                        : loss[i] == 0 || (usage[i] && usage[i] < loss[i]) ? &sooner->usage
                                                                           : &sooner->loss;
        *share += 1.0 / n;
    }
}

static int follow(struct drift *d, struct stream *s, struct error *err)
{
    int n = d->simulation.streams, result = 0;
    int *delay = calloc((size_t)n * N_MONITORS, sizeof *delay);
    if (!delay)
        return error_no_memory(err, "the streams");
    for (int m = 0; m < N_MONITORS && result == 0; m++) {
        result = make_room(s, m, err);
        if (result == 0)
            result = watch(&d->monitors[m], s, m, 0, err);
        if (result != 0)
            break;
        find_alarm(s, m);
        result = find_delays(d, s, m, delay + (size_t)m * (size_t)n, err);
    }
    compare_delays(delay, delay + n, n, &s->sooner);
    for (int m = 0; m < N_MONITORS && result == 0; m++)
        drift_summarise(delay + (size_t)m * (size_t)n, n, s->n - s->before, &s->found[m].delay);
    free(delay);
    return result;
}

int drift_follow(struct drift *d, struct error *err)
{
    for (int i = 1; i < d->n; i++)
        if (follow(d, &d->items[i], err) != 0)
            return -1;
    return 0;
}
