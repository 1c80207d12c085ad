/* The picture: who runs and how far it is, its loss and its layers' effective experts over the planned steps
 * (one axis for all of them), each layer's load now, what happened. What does not fit in height is left out
 * from the bottom up, healthy layers before others. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/watch.h"

enum { LABEL = 10, FIGURE = 8, LEAST_COLUMNS = 8, LOSS_ROWS = 4, MOST_COLUMNS = 512, MOST_SHOWN = 1024 };

/* What there is room for. */
struct plan {
    int loss_rows, layers, courses, events;
    int order[MOST_SHOWN]; /* layers, the worst first */
    int n_layers;
};

/* ---- the axis of steps ---- */

static int axis_columns(const struct frame *f)
{
    int n = f->width - LABEL - FIGURE;
    return n < LEAST_COLUMNS ? LEAST_COLUMNS : n > MOST_COLUMNS ? MOST_COLUMNS : n;
}

static int64_t axis_steps(const struct watch *w)
{
    int64_t n = w->planned_steps > w->step ? w->planned_steps : w->step;
    return n > 0 ? n : 1;
}

/* The first step of a column; the last column ends with the last step. */
static int64_t step_at(const struct watch *w, int column, int columns)
{
    return (int64_t)((double)axis_steps(w) * column / columns);
}

/* ---- who and how far ---- */

static void draw_status(const struct watch *w, struct frame *f)
{
    char buffer[32];
    if (watch_is_stalled(w))
        frame_add(f, STYLE_ALARM, "○ silent for %s", text_duration(buffer, w->silent));
    else if (!watch_is_over(w))
        frame_add(f, STYLE_ACCENT, "● running");
    else if (strcmp(w->status, "finished") == 0 || strcmp(w->status, "imported") == 0)
        frame_add(f, STYLE_STRONG, "✓ %s", w->status);
    else
        frame_add(f, STYLE_ALARM, "■ %s", w->status);
}

static void draw_model(const struct watch *w, struct frame *f)
{
    const struct collapse *c = &w->collapse;
    frame_add(f, STYLE_QUIET, "%s", w->router);
    if (c->n_layers > 0) {
        const struct monitor_layer *l = &c->monitor.series[0].of;
        frame_add(f, STYLE_QUIET, ", %d MoE layer%s of %d experts", c->n_layers, c->n_layers == 1 ? "" : "s",
                  l->n_experts);
        if (l->k > 0)
            frame_add(f, STYLE_QUIET, ", %d a token", l->k);
    }
    frame_add(f, STYLE_QUIET, ", seed %lld", (long long)w->seed);
}

static void draw_title(const struct watch *w, struct frame *f)
{
    const char *slash = strrchr(w->path, '/'), *file = slash ? slash + 1 : w->path;
    frame_add(f, STYLE_STRONG, "%s", w->run);
    frame_add(f, STYLE_PLAIN, "  ");
    draw_status(w, f);
    if (f->column + 2 + text_columns(file) <= f->width) {
        frame_to(f, f->width - text_columns(file));
        frame_add(f, STYLE_QUIET, "%s", file);
    }
    frame_end_line(f);
    draw_model(w, f);
    frame_end_line(f);
    frame_end_line(f);
}

static void draw_bar(const struct watch *w, struct frame *f)
{
    int n = axis_columns(f), full = (int)((double)w->step / (double)axis_steps(w) * n + 0.5);
    struct text t[2];
    for (int i = 0; i < 2; i++)
        text_init(&t[i]);
    for (int i = 0; i < n; i++)
        text_add(&t[i >= full], i < full || f->colour ? "━" : "─");
    frame_add(f, STYLE_PLAIN, "steps");
    frame_to(f, LABEL);
    frame_add(f, STYLE_ACCENT, "%s", t[0].data);
    frame_add(f, STYLE_QUIET, "%s", t[1].data);
    frame_add(f, STYLE_PLAIN, " %3.0f %%", floor(100.0 * (double)w->step / (double)axis_steps(w)));
    frame_end_line(f);
    for (int i = 0; i < 2; i++)
        text_release(&t[i]);
}

static void draw_progress(const struct watch *w, struct frame *f)
{
    char buffer[32];
    draw_bar(w, f);
    frame_to(f, LABEL);
    frame_add(f, STYLE_PLAIN, "%lld", (long long)w->step);
    if (w->planned_steps > 0)
        frame_add(f, STYLE_QUIET, " of %lld", (long long)w->planned_steps);
    if (!isnan(w->tokens_per_second))
        frame_add(f, STYLE_PLAIN, "   %s tokens/s", text_count(buffer, w->tokens_per_second));
    if (!watch_is_over(w) && !isnan(w->seconds_left))
        frame_add(f, STYLE_PLAIN, "   %s left", text_duration(buffer, w->seconds_left));
    frame_end_line(f);
}

/* ---- the loss ---- */

/* Means of each column's steps. */
static void loss_columns(const struct watch *w, double *values, int n)
{
    for (int i = 0; i < n; i++) {
        int64_t first = step_at(w, i, n), end = step_at(w, i + 1, n);
        double sum = 0;
        int64_t known = 0;
        end = end > first ? end : first + 1;
        for (int64_t s = first; s < end && s < w->n_loss; s++)
            if (!isnan(w->loss[s])) {
                sum += w->loss[s];
                known++;
            }
        values[i] = known ? sum / (double)known : NAN;
    }
}

static void find_range(const double *values, int n, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < n; i++) {
        *low = values[i] < *low ? values[i] : *low;
        *high = values[i] > *high ? values[i] : *high;
    }
}

/* What stands to the right of a row of the chart. */
static void draw_loss_figure(const struct watch *w, int row, int rows, double low, double high,
                             struct frame *f)
{
    if (row == 0 && rows > 1)
        frame_add(f, STYLE_QUIET, " %.3f", high);
    else if (row == rows - 1 && rows > 1)
        frame_add(f, STYLE_QUIET, " %.3f", low);
    else if (row == 0)
        frame_add(f, STYLE_PLAIN, " %.3f", w->loss[w->n_loss - 1]);
}

static void draw_loss(const struct watch *w, int rows, struct frame *f)
{
    double values[MOST_COLUMNS], low, high;
    int n = axis_columns(f);
    loss_columns(w, values, n);
    find_range(values, n, &low, &high);
    if (!(low <= high))
        return;
    for (int row = 0; row < rows; row++) {
        if (row == 0)
            frame_add(f, STYLE_PLAIN, "loss");
        frame_to(f, LABEL);
        frame_chart(f, STYLE_BELOW, values, n, low, high, row, rows);
        draw_loss_figure(w, row, rows, low, high, f);
        frame_end_line(f);
    }
    frame_to(f, LABEL);
    frame_add(f, STYLE_PLAIN, "now %.3f", w->loss[w->n_loss - 1]);
    if (!isnan(w->valid_loss))
        frame_add(f, STYLE_PLAIN, "   valid %.3f at step %lld", w->valid_loss, (long long)w->valid_step);
    frame_end_line(f);
}

/* ---- loads ---- */

static enum frame_style style_of_load(double relative)
{
    return relative < 0.25  ? STYLE_FAR_BELOW
           : relative < 0.7 ? STYLE_BELOW
           : relative < 1.4 ? STYLE_EVEN
           : relative < 3   ? STYLE_ABOVE
                            : STYLE_FAR_ABOVE;
}

static enum frame_style style_of_finding(enum finding finding)
{
    switch (finding) {
    case FINDING_COLLAPSED:
    case FINDING_EVERYTHING:
    case FINDING_CENSORED:
    case FINDING_DEAD:
    case FINDING_INDIFFERENT:
        return STYLE_ALARM;
    case FINDING_UNBALANCED:
        return STYLE_PLAIN;
    default:
        return STYLE_QUIET;
    }
}

static void draw_finding(const struct collapse *c, int layer, struct frame *f)
{
    const struct collapse_layer *l = &c->layers[layer];
    enum frame_style style = style_of_finding(l->finding);
    const char *word = l->finding == FINDING_CENSORED    ? "in breach"
                       : l->finding == FINDING_TRANSIENT ? "recovered"
                                                         : finding_names[l->finding];
    if (l->finding == FINDING_DEAD)
        frame_add(f, style, "%d dead", monitor_last(&c->monitor, layer)->dead_experts);
    else
        frame_add(f, style, "%s", word);
    if (l->verdict.onset_step >= 0)
        frame_add(f, style, " since step %lld", (long long)l->verdict.onset_step);
}

/* How wide an expert is drawn, and how many share a bar where there is no room for each. */
static void map_shape(const struct frame *f, int n_experts, int *cell, int *together)
{
    const int beside = 36; /* columns for figures and words */
    int room = f->width - LABEL - beside;
    room = room < LEAST_COLUMNS ? LEAST_COLUMNS : room;
    *cell = 2 * n_experts <= room ? 2 : 1;
    *together = n_experts <= room ? 1 : (n_experts + room - 1) / room;
}

static void draw_map(const struct monitor *m, int layer, struct frame *f)
{
    const struct load_summary *now = monitor_last(m, layer);
    double even = now->total / now->n_experts;
    int cell, together, n = now->n_experts;
    map_shape(f, n, &cell, &together);
    for (int e = 0; e < n; e += together) {
        double sum = 0;
        int group = n - e < together ? n - e : together;
        for (int i = 0; i < group; i++)
            sum += monitor_load(m, layer, m->n_windows - 1, e + i);
        double relative = even > 0 ? sum / group / even : NAN;
        int height = (int)lround(4 * relative);
        if (sum > 0)
            frame_add(f, style_of_load(relative), "%s", frame_bar(height < 1 ? 1 : height));
        else
            frame_add(f, STYLE_PLAIN, "×");
        if (cell == 2)
            frame_add(f, STYLE_PLAIN, " ");
    }
}

static void draw_layer(const struct collapse *c, int layer, struct frame *f)
{
    const struct load_summary *now = monitor_last(&c->monitor, layer);
    frame_add(f, STYLE_PLAIN, "layer %d", c->monitor.series[layer].of.layer);
    frame_to(f, LABEL);
    draw_map(&c->monitor, layer, f);
    frame_add(f, STYLE_PLAIN, "  %4.1f of %d  ", now->effective_experts, now->n_experts);
    draw_finding(c, layer, f);
    frame_end_line(f);
}

static void draw_load_heading(const struct monitor *m, struct frame *f)
{
    const struct monitor_window *now = &m->windows[m->n_windows - 1];
    int cell, together;
    map_shape(f, m->series[0].of.n_experts, &cell, &together);
    frame_end_line(f);
    frame_add(f, STYLE_STRONG, "load");
    frame_to(f, LABEL);
    frame_add(f, STYLE_QUIET, "steps %lld to %lld   ▄ even  █ twice or more  × none",
              (long long)now->first_step, (long long)now->last_step);
    if (together > 1)
        frame_add(f, STYLE_QUIET, "   a bar is %d experts", together);
    frame_end_line(f);
}

static void draw_loads(const struct watch *w, const struct plan *p, struct frame *f)
{
    const struct collapse *c = &w->collapse;
    if (p->layers == 0)
        return;
    draw_load_heading(&c->monitor, f);
    for (int i = 0; i < p->layers; i++)
        draw_layer(c, p->order[i], f);
    if (p->layers < p->n_layers) {
        frame_to(f, LABEL);
        frame_add(f, STYLE_QUIET, "and %d more", p->n_layers - p->layers);
        frame_end_line(f);
    }
}

/* ---- effective experts over time ---- */

/* A column shows the mean of the windows that begin in it, or else the one that it is in. */
static void course_columns(const struct watch *w, int layer, double *values, int n)
{
    const struct monitor *m = &w->collapse.monitor;
    int at = 0;
    for (int i = 0; i < n; i++) {
        int64_t end = step_at(w, i + 1, n);
        double sum = 0;
        int known = 0;
        for (; at < m->n_windows && m->windows[at].first_step < end; at++) {
            sum += m->series[layer].summary[at].effective_experts;
            known++;
        }
        bool within = at > 0 && m->windows[at - 1].last_step >= step_at(w, i, n);
        values[i] = known ? sum / known : within ? m->series[layer].summary[at - 1].effective_experts : NAN;
    }
}

/* Where fewer than half are effective the colour says so, too. Full is seven eighths, so that rows stay
 * apart. */
static void draw_course(const double *values, int n, int n_experts, struct frame *f)
{
    for (int i = 0, end; i < n; i = end) {
        bool low = values[i] < 0.5 * n_experts;
        for (end = i + 1; end < n && (values[end] < 0.5 * n_experts) == low; end++)
            ;
        frame_chart(f, low ? STYLE_FAR_ABOVE : STYLE_EVEN, values + i, end - i, 0, n_experts * 8.0 / 7, 0, 1);
    }
}

static void draw_courses(const struct watch *w, const struct plan *p, struct frame *f)
{
    const struct monitor *m = &w->collapse.monitor;
    double values[MOST_COLUMNS];
    int n = axis_columns(f);
    if (p->courses == 0)
        return;
    frame_end_line(f);
    frame_add(f, STYLE_STRONG, "effective experts");
    frame_add(f, STYLE_QUIET, "  over the run, of %d", m->series[0].of.n_experts);
    frame_end_line(f);
    for (int i = 0; i < p->courses; i++) {
        int layer = p->order[i];
        course_columns(w, layer, values, n);
        frame_add(f, STYLE_PLAIN, "layer %d", m->series[layer].of.layer);
        frame_to(f, LABEL);
        draw_course(values, n, m->series[layer].of.n_experts, f);
        frame_add(f, STYLE_PLAIN, " %4.1f", monitor_last(m, layer)->effective_experts);
        frame_end_line(f);
    }
}

/* ---- events ---- */

static void draw_events(const struct watch *w, const struct plan *p, struct frame *f)
{
    if (p->events == 0)
        return;
    frame_end_line(f);
    for (int i = 0; i < p->events; i++) {
        const struct watch_event *e = &w->events[i];
        bool alarm = strcmp(e->kind, "alarm") == 0;
        if (e->step >= 0)
            frame_add(f, STYLE_QUIET, "step %-5lld", (long long)e->step);
        frame_to(f, LABEL);
        frame_add(f, alarm ? STYLE_ALARM : STYLE_PLAIN, "%s",
                  strcmp(e->kind, "alarm_over") == 0 ? "alarm over" : e->kind);
        if (e->layer >= 0)
            frame_add(f, STYLE_PLAIN, "  layer %d", e->layer);
        if (*e->message)
            frame_add(f, STYLE_QUIET, "  %s", e->message);
        frame_end_line(f);
    }
}

/* ---- what fits ---- */

/* Stable: layers of one finding stay in order. */
static void order_layers(const struct collapse *c, struct plan *p)
{
    p->n_layers = c->monitor.n_windows > 0 ? c->n_layers : 0;
    p->n_layers = p->n_layers < MOST_SHOWN ? p->n_layers : MOST_SHOWN;
    for (int i = 0; i < p->n_layers; i++) {
        int at = i;
        for (; at > 0 && c->layers[p->order[at - 1]].finding > c->layers[i].finding; at--)
            p->order[at] = p->order[at - 1];
        p->order[at] = i;
    }
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static void plan_all(const struct watch *w, struct plan *p)
{
    p->loss_rows = LOSS_ROWS;
    p->layers = p->courses = p->n_layers;
    p->events = w->n_events;
}

/* Title 3, progress 2, loss 2, each part behind it an empty line and a heading. */
static void plan_rows(const struct watch *w, int rows, struct plan *p)
{
    int left = rows - 3 - 2 - 2 - 1;
    p->loss_rows = 1;
    p->events = left >= 6 ? least(w->n_events, 2) : 0;
    left -= p->events ? p->events + 1 : 0;
    p->layers = left >= 3 ? least(p->n_layers, left - 2) : 0;
    if (p->layers > 1 && p->layers < p->n_layers)
        p->layers--; /* for "and 7 more" */
    left -= p->layers ? p->layers + 2 + (p->layers < p->n_layers) : 0;
    int more = left > 0 ? least(LOSS_ROWS - 1, left) : 0;
    p->loss_rows += more;
    left -= more;
    if (p->layers == p->n_layers && left >= p->n_layers + 2) {
        p->courses = p->n_layers;
        left -= p->n_layers + 2;
    }
    if (p->events > 0 && left > 0)
        p->events = least(w->n_events, p->events + left);
}

void watch_draw(const struct watch *w, struct frame *f)
{
    struct plan p = {0};
    order_layers(&w->collapse, &p);
    if (f->height > 0)
        plan_rows(w, f->height, &p);
    else
        plan_all(w, &p);
    if (p.layers == p.n_layers) /* all of them: no reason to leave their order */
        qsort(p.order, (size_t)p.n_layers, sizeof *p.order, compare_ints);
    draw_title(w, f);
    draw_progress(w, f);
    draw_loss(w, p.loss_rows, f);
    draw_loads(w, &p, f);
    draw_courses(w, &p, f);
    draw_events(w, &p, f);
}
