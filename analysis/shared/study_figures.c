/* A study's figures, from its tables. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/csv.h"
#include "analysis/shared/figure.h"
#include "analysis/shared/study.h"

enum { MOST_GROUPS = 18, MOST_TICS = 64 };

/* What a figure's data have in common. */
struct frame {
    const char *groups[MOST_GROUPS], *tics[MOST_TICS];
    int types[MOST_GROUPS]; /* linetypes of plots/style.gp: a configuration's is the same in all figures */
    int n_groups, n_tics;
    bool named; /* x is words, in order of appearance */
    double first, last, low, high;
    double ends[MOST_GROUPS]; /* y of each group's last point, where its label stands */
};

/* -1: there are more than a figure can tell apart. */
static int place_of(const char **items, int *n, int most, const char *item)
{
    for (int i = 0; i < *n; i++) {
        if (strcmp(items[i], item) == 0)
            return i;
    }
    if (*n == most)
        return -1;
    items[*n] = item;
    return (*n)++;
}

/* Tables name a configuration or carry its label. */
static const struct configuration *find(const struct study *s, const char *group)
{
    for (int i = 0; i < s->n_configurations; i++) {
        const struct configuration *c = &s->configurations[i];
        if (strcmp(c->name, group) == 0 || strcmp(c->label, group) == 0)
            return c;
    }
    return NULL;
}

static const char *label_of(const struct study *s, const char *group)
{
    const struct configuration *c = find(s, group);

    return c ? c->label : group;
}

/* Seven for runs, eight of the layers' for what comes behind. */
static int type_of(const struct study *s, const char *group, int otherwise)
{
    const struct configuration *c = find(s, group);
    int i = c ? (int)(c - s->configurations) : otherwise;

    return i % 15 < 7 ? i % 15 + 1 : i % 15 + 4;
}

static double x_of(const struct csv *t, int row, const struct study_figure *f, struct frame *frame)
{
    const char *text = csv_text(t, row, f->x);

    if (!frame->named)
        return csv_real(t, row, f->x);
    return text ? place_of(frame->tics, &frame->n_tics, MOST_TICS, text) : (double)NAN;
}

static void widen(double *low, double *high, double value)
{
    *low = fmin(*low, value);
    *high = fmax(*high, value);
}

/* -1: too many groups or words. */
static int measure(const struct study *s, const struct study_figure *f, const struct csv *t,
                   struct frame *frame)
{
    *frame = (struct frame){.first = INFINITY, .last = -INFINITY, .low = INFINITY, .high = -INFINITY};
    for (int row = 0; row < t->n_rows; row++)
        frame->named |= csv_text(t, row, f->x) && !isfinite(csv_real(t, row, f->x));
    for (int row = 0; row < t->n_rows; row++) {
        const char *group = csv_text(t, row, f->group);
        double x = x_of(t, row, f, frame), y = csv_real(t, row, f->y);
        if (!group || !isfinite(x) || !isfinite(y))
            continue;
        int g = place_of(frame->groups, &frame->n_groups, MOST_GROUPS, label_of(s, group));
        if (g < 0 || (frame->named && x < 0.0))
            return -1;
        frame->ends[g] = y;
        frame->types[g] = type_of(s, group, g);
        widen(&frame->first, &frame->last, x);
        widen(&frame->low, &frame->high, y);
        widen(&frame->low, &frame->high, f->low ? csv_real(t, row, f->low) : y);
        widen(&frame->low, &frame->high, f->high ? csv_real(t, row, f->high) : y);
    }
    return 0;
}

static int check_columns(const struct study *s, const struct study_figure *f, const struct csv *t,
                         struct error *err)
{
    const char *const names[] = {f->x, f->y, f->group, f->low, f->high};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i] && csv_column(t, names[i]) < 0)
            return error_set(err, STATUS_USAGE, "'%s': [figure %s]: table %s has no column '%s'", s->path,
                             f->name, f->table, names[i]);
    }
    return 0;
}

static int check_script(const struct study *s, const struct study_figure *f, struct error *err)
{
    struct text script;

    text_init(&script);
    text_printf(&script, "%s.gp", f->script);
    bool found = plot_file(script.data) != NULL;
    text_release(&script);
    return found ? 0
                 : error_set(err, STATUS_USAGE,
                             "'%s': [figure %s]: there is no script '%s'; study-lines or study-points",
                             s->path, f->name, f->script);
}

static void add_heading(struct figure *to, const struct csv *t)
{
    for (int column = 0; column < t->n_columns; column++) {
        figure_add_cell(to, csv_name(t, column));
        text_add(&to->data, ",");
    }
    text_add(&to->data, "x,y,y_low,y_high,group\n");
}

static void add_row(struct figure *to, const struct study *s, const struct study_figure *f,
                    const struct csv *t, int row, struct frame *frame)
{
    const char *group = csv_text(t, row, f->group);
    double x = x_of(t, row, f, frame), y = csv_real(t, row, f->y);
    double low = f->low ? csv_real(t, row, f->low) : y, high = f->high ? csv_real(t, row, f->high) : y;

    if (!group || !isfinite(x) || !isfinite(y))
        return;
    for (int column = 0; column < t->n_columns; column++) {
        figure_add_cell(to, csv_cell(t, row, column));
        text_add(&to->data, ",");
    }
    text_printf(&to->data, "%.9g,%.9g,%.9g,%.9g,%d\n", x, y, isfinite(low) ? low : y,
                isfinite(high) ? high : y,
                place_of(frame->groups, &frame->n_groups, MOST_GROUPS, label_of(s, group)) + 1);
}

/* Room above and below, and the labels' places, line: a label's height as a share of the panel's. On a
 * logarithmic axis all of that is as even as on another. */
static void set_heights(struct frame *frame, bool log, double line)
{
    if (log) {
        frame->low = log10(frame->low);
        frame->high = log10(frame->high);
    }
    for (int g = 0; g < frame->n_groups && log; g++)
        frame->ends[g] = log10(frame->ends[g]);
    double room = frame->high > frame->low ? 0.06 * (frame->high - frame->low) : 1.0;
    frame->low -= room;
    frame->high += room;
    spread_labels(frame->ends, frame->n_groups, (frame->high - frame->low) * line, frame->low, frame->high);
    for (int g = 0; g < frame->n_groups && log; g++)
        frame->ends[g] = pow(10.0, frame->ends[g]);
    if (log) {
        frame->low = pow(10.0, frame->low);
        frame->high = pow(10.0, frame->high);
    }
}

static void set_frame(struct figure *to, const struct study *s, const struct study_figure *f,
                      struct frame *frame)
{
    set_heights(frame, f->log, 16.0 / (to->height - 82));
    figure_array_text(to, "label", frame->groups, frame->n_groups);
    figure_array_int(to, "type", frame->types, frame->n_groups);
    figure_array_real(to, "place", frame->ends, frame->n_groups);
    figure_array_text(to, "tic", frame->tics, frame->n_tics);
    figure_set_int(to, "named", frame->named);
    figure_set_real(to, "first", frame->first);
    figure_set_real(to, "last", frame->last > frame->first ? frame->last : frame->first + 1);
    figure_set_real(to, "low", frame->low);
    figure_set_real(to, "high", frame->high);
    figure_set_int(to, "zero", f->zero);
    figure_set_int(to, "log_y", f->log);
    figure_set_real(to, "margin", f->zero ? s->margin : 0.0);
    figure_set_text(to, "x_label", f->x_label ? f->x_label : f->x);
    figure_set_text(to, "unit", f->unit ? f->unit : f->y);
}

static int draw(const struct study *s, const struct study_figure *f, const struct csv *t,
                struct figures *figures, struct error *err)
{
    struct frame frame;
    struct figure *to;

    if (check_columns(s, f, t, err) || check_script(s, f, err))
        return -1;
    if (measure(s, f, t, &frame))
        return error_set(
            err, STATUS_USAGE,
            "'%s': [figure %s] has more than %d groups or %d words along its axis; draw fewer of "
            "them (--part)",
            s->path, f->name, MOST_GROUPS, MOST_TICS);
    if (frame.n_groups == 0)
        return 0;
    if (f->log && frame.low <= 0.0)
        return error_set(err, STATUS_USAGE, "'%s': [figure %s] has log = true, but %s is down to %g", s->path,
                         f->name, f->y, frame.low);
    to = figures_add(figures, f->name, f->script, err);
    if (!to)
        return -1;
    to->width = 860;
    add_heading(to, t);
    for (int row = 0; row < t->n_rows; row++)
        add_row(to, s, f, t, row, &frame);
    set_frame(to, s, f, &frame);
    text_add(&to->title, f->title ? f->title : f->name);
    return 0;
}

int study_add_figure(const struct study *s, const struct study_figure *f, const char *csv,
                     struct figures *figures, struct error *err)
{
    struct csv t = {0};
    int result;

    if (csv_parse(&t, csv, f->table, err))
        return -1;
    result = draw(s, f, &t, figures, err);
    csv_release(&t);
    return result;
}
