/* Figures of moescope drift: one a run, what both monitors saw. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/shared/csv.h"
#include "analysis/shared/drift.h"
#include "analysis/shared/figure.h"
#include "base/file.h"

static void add_windows(struct figure *f, const struct stream *s)
{
    text_add(&f->data, "step");
    for (int m = 0; m < N_MONITORS; m++)
        text_printf(&f->data, ",%s,%s_alarm", monitor_names[m], monitor_names[m]);
    text_add(&f->data, "\n");
    for (int t = 0; t < s->n; t++) {
        text_printf(&f->data, "%lld", (long long)s->step[t]);
        for (int m = 0; m < N_MONITORS; m++)
            text_printf(&f->data, ",%.6g,%d", s->statistic[m][t], s->alarm[m][t]);
        text_add(&f->data, "\n");
    }
}

/* From 0, or the lowest below it, to the highest or a little above the threshold. */
static void add_range(double *low, double *high, const struct drift *d, const struct stream *s, int monitor)
{
    double above = 1.2 * d->monitors[monitor].threshold, below = 0;
    for (int t = 0; t < s->n; t++) {
        above = fmax(above, s->statistic[monitor][t]);
        below = fmin(below, s->statistic[monitor][t]);
    }
    *high = round_up(above);
    *low = below < 0 ? -round_up(-below) : 0;
}

static void set_panels(struct figure *f, const struct drift *d, const struct stream *s)
{
    bool upper = d->monitors[MONITOR_LOSS].statistic == DRIFT_UPPER;
    const char *unit[N_MONITORS] = {"expert usage: how far off the reference (normal score)",
                                    upper ? "loss: how far above the reference (standard errors)"
                                          : "loss: how far off the reference (standard errors)"};
    double threshold[N_MONITORS], low[N_MONITORS], high[N_MONITORS];
    for (int m = 0; m < N_MONITORS; m++) {
        threshold[m] = d->monitors[m].threshold;
        add_range(&low[m], &high[m], d, s, m);
    }
    figure_array_text(f, "monitor", monitor_names, N_MONITORS);
    figure_array_text(f, "unit_of", unit, N_MONITORS);
    figure_array_real(f, "threshold", threshold, N_MONITORS);
    figure_array_real(f, "low", low, N_MONITORS);
    figure_array_real(f, "high", high, N_MONITORS);
    figure_set_real(f, "first_step", (double)s->step[0]);
    figure_set_real(f, "last_step", (double)s->step[s->n - 1]);
}

/* Where the reference's second half begins, or the change. */
static void set_mark(struct figure *f, const struct drift *d, const struct stream *s)
{
    figure_set_real(f, "mark", (double)(s->change < 0 ? s->step[d->learnt] : s->change));
    figure_set_text(f, "marked", s->change < 0 ? "learnt from up to here" : "change");
}

static int add_figure(struct figures *figures, const struct drift *d, const struct stream *s,
                      struct error *err)
{
    struct text name;
    text_init(&name);
    text_add(&name, "drift-");
    for (const char *c = s->run->name; *c; c++)
        text_add_bytes(&name, strchr("/ \t\n\"'\\", *c) ? "_" : c, 1);
    struct figure *f = name.failed ? NULL : figures_add(figures, name.data, "drift", err);
    int result = f ? 0 : name.failed ? error_no_memory(err, "a figure") : -1;
    text_release(&name);
    if (result != 0)
        return -1;
    f->height = 420;
    text_printf(&f->title, "%s", s->run->name);
    figure_set_text(f, "title", s->run->name);
    set_panels(f, d, s);
    set_mark(f, d, s);
    add_windows(f, s);
    return 0;
}

int drift_draw(const struct drift *d, const char *db, struct error *err)
{
    struct figures figures = {0};
    const char *slash = strrchr(db, '/');
    int result = file_make_folder(d->figures, err);
    for (int i = 0; i < d->n && result == 0; i++)
        result = add_figure(&figures, d, &d->items[i], err);
    if (result == 0)
        result = figures_draw(&figures, d->figures, slash ? slash + 1 : db, "svg", false, err);
    figures_release(&figures);
    return result;
}
