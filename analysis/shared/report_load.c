/* Figures of how evenly experts are used. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/report.h"

/* The value in the layer's last row, or in the one before. */
static double last_value(const struct csv *table, const char *value, int layer, bool before_last)
{
    double last = NAN, before = NAN;
    for (int i = 0; i < table->n_rows; i++)
        if (csv_int(table, i, "layer") == layer) {
            before = last;
            last = csv_real(table, i, value);
        }
    return before_last && isfinite(before) ? before : last;
}

void report_set_layer_labels(const struct report *r, struct figure *f, const struct run_list *list,
                             const int *layers, int n_layers, const char *verb, const char *table,
                             const char *value, double bound, bool before_last, double pixels)
{
    double *places = calloc((size_t)(list->n * n_layers) + 1, sizeof *places);
    for (int i = 0; places && i < list->n; i++) {
        const struct csv *data = report_table(r, list->index[i], verb, table);
        double high = bound > 0 ? bound : list->experts[i];
        for (int l = 0; l < n_layers; l++)
            places[i * n_layers + l] = last_value(data, value, layers[l], before_last);
        spread_labels(places + (size_t)i * (size_t)n_layers, n_layers, high * 12.5 / pixels, 0, high);
    }
    if (places)
        figure_array_real(f, "label_y", places, list->n * n_layers);
    else
        f->header.failed = true;
    free(places);
}

/* How far the runs' loads reach; a course needs more than one step. */
static int last_step_of(const struct report *r, const struct run_list *list)
{
    int last = 0;
    for (int i = 0; i < list->n; i++) {
        const struct csv *loads = report_table(r, list->index[i], "collapse", "load");
        for (int row = 0; loads && row < loads->n_rows; row++) {
            int step = csv_int(loads, row, "last_step");
            last = step > last ? step : last;
        }
        int64_t of_run = r->runs[list->index[i]].last_step;
        last = of_run > last ? (int)of_run : last;
    }
    return last;
}

static int draw_effective_experts(struct report *r, struct error *err)
{
    struct run_list list;
    int layers[SHOWN_LAYERS], dead = 0;
    report_runs_with(r, "collapse", "load", &list);
    int last_step = last_step_of(r, &list);
    if (last_step < 1)
        return 0;
    struct figure *f = figures_add(&r->figures, "effective-experts", "effective-experts", err);
    if (!f)
        return -1;
    int n = report_shown_layers(r, &list, layers);
    for (int i = 0; i < list.n; i++) {
        const struct csv *load = report_table(r, list.index[i], "collapse", "load");
        figure_add_table(f, list.names[i], load);
        for (int row = 0; row < load->n_rows; row++) {
            dead = csv_int(load, row, "dead") > dead ? csv_int(load, row, "dead") : dead;
        }
    }
    figure_set_runs(f, &list);
    figure_array_int(f, "layer", layers, n);
    figure_set_panels(f, list.n, 3, 230, 44 + 48, 84);
    figure_set_int(f, "dead_high", dead > 0 ? dead : 1);
    figure_set_int(f, "last_step", last_step);
    figure_set_real(f, "step_tic", axis_step(last_step / 3.0));
    report_set_layer_labels(r, f, &list, layers, n, "collapse", "load", "effective_experts", 0, false, 151);
    text_add(&f->title, "Effective experts by layer over training");
    text_add(&f->caption,
             "exp(H) of a layer's load, the number of evenly used experts with the same entropy; all "
             "training tokens, pooled in windows of steps. At k choices it cannot fall below k. "
             "Below: experts that got no token in the window. Counts, not samples: no interval.");
    figure_say_n_of_runs(f, r, &list, "collapse", "load", "tokens", "tokens a window");
    f->table =
        (struct figure_table){.group = "run", .row = "step", .column = "layer", .value = "effective_experts"};
    return 0;
}

static int draw_load_entropy(struct report *r, struct error *err)
{
    struct run_list list;
    int layers[SHOWN_LAYERS];
    report_runs_with(r, "collapse", "load", &list);
    int last_step = last_step_of(r, &list);
    if (last_step < 1)
        return 0;
    struct figure *f = figures_add(&r->figures, "load-entropy", "load-entropy", err);
    if (!f)
        return -1;
    int n = report_shown_layers(r, &list, layers);
    for (int i = 0; i < list.n; i++) {
        figure_add_table(f, list.names[i], report_table(r, list.index[i], "collapse", "load"));
    }
    figure_set_runs(f, &list);
    figure_array_int(f, "layer", layers, n);
    figure_set_panels(f, list.n, 3, 270, 44 + 48, 84);
    figure_set_int(f, "last_step", last_step);
    figure_set_real(f, "step_tic", axis_step(last_step / 3.0));
    report_set_layer_labels(r, f, &list, layers, n, "collapse", "load", "normalized_entropy", 1, false, 140);
    text_add(&f->title, "Is the load even, and has the router an opinion?");
    text_add(
        &f->caption,
        "Above: k-aware entropy of a layer's load, 0 when k experts have all of it and 1 when it is even; "
        "lines are windows of steps pooled, bands reach over their single steps; below the dashed line "
        "a layer is in breach of the rule. Below: mean entropy of a token's probabilities over ln N; above "
        "its dashed line a balanced router has no opinion. Counts, not samples: no interval.");
    figure_say_n_of_runs(f, r, &list, "collapse", "load", "tokens", "tokens a window");
    f->table = (struct figure_table){
        .group = "run", .row = "step", .column = "layer", .value = "normalized_entropy"};
    return 0;
}

/* ---- the load of each expert ---- */

enum { MOST_COLUMNS = 48 }; /* of a heat map: more could not be told apart */

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* First steps of the windows as collapse pooled them, in order; `steps` has room for a row each. */
static int list_windows(const struct csv *experts, int *steps)
{
    int n = 0;
    for (int i = 0; i < experts->n_rows; i++)
        steps[i] = csv_int(experts, i, "step");
    qsort(steps, (size_t)experts->n_rows, sizeof *steps, compare_ints);
    for (int i = 0; i < experts->n_rows; i++)
        if (n == 0 || steps[n - 1] != steps[i])
            steps[n++] = steps[i];
    return n;
}

struct heat {
    int *steps, n_windows, together; /* windows of collapse in one of the figure's */
    int n_layers, n_experts;
    double *sum; /* (n_layers, figure's windows, n_experts) of shares */
    int *count;
};

static int heat_windows(const struct heat *h)
{
    return (h->n_windows + h->together - 1) / h->together;
}

static size_t window_start(const struct heat *h, int window)
{
    return (size_t)window * (size_t)h->together;
}

static int window_of(const struct heat *h, int step)
{
    int low = 0, high = h->n_windows - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (h->steps[middle] <= step)
            low = middle;
        else
            high = middle - 1;
    }
    return low / h->together;
}

static int layer_index(const struct report_run *run, int layer)
{
    for (int i = 0; i < run->n_layers; i++)
        if (run->layers[i].layer == layer)
            return i;
    return -1;
}

static int heat_init(struct heat *h, const struct report_run *run, const struct csv *experts,
                     struct error *err)
{
    *h = (struct heat){.n_layers = run->n_layers, .n_experts = run->n_experts, .together = 1};
    h->steps = calloc((size_t)experts->n_rows + 1, sizeof *h->steps);
    if (!h->steps)
        return error_no_memory(err, "the loads");
    h->n_windows = list_windows(experts, h->steps);
    h->together = 1 + (h->n_windows - 1) / MOST_COLUMNS;
    size_t n = 1 + (size_t)heat_windows(h) * (size_t)h->n_layers * (size_t)h->n_experts;
    h->sum = calloc(n, sizeof *h->sum);
    h->count = calloc(n, sizeof *h->count);
    if (!h->sum || !h->count)
        return error_no_memory(err, "the loads");
    for (int i = 0; i < experts->n_rows; i++) {
        int layer = layer_index(run, csv_int(experts, i, "layer")), expert = csv_int(experts, i, "expert");
        double share = csv_real(experts, i, "share");
        if (layer < 0 || expert < 0 || expert >= h->n_experts || !isfinite(share))
            continue;
        size_t at =
            ((size_t)layer * (size_t)heat_windows(h) + (size_t)window_of(h, csv_int(experts, i, "step"))) *
                (size_t)h->n_experts +
            (size_t)expert;
        h->sum[at] += share;
        h->count[at]++;
    }
    return 0;
}

static void heat_release(struct heat *h)
{
    free(h->steps);
    free(h->sum);
    free(h->count);
}

/* The share of an even spread is k / N, which varies by layer where k or N does; where k varies by token the
 * window's own mean is even. */
static double even_share(const struct heat *h, const struct moe_layer *layer, const double *sum,
                         const int *count)
{
    double total = 0;
    if (layer->k > 0)
        return (double)layer->k / layer->n_experts;
    for (int e = 0; e < layer->n_experts && e < h->n_experts; e++)
        total += count[e] ? sum[e] / count[e] : 0;
    return total / layer->n_experts;
}

static void heat_write(const struct heat *h, const struct report_run *run, struct figure *f, int last_step)
{
    int n = heat_windows(h);
    text_add(&f->data, "layer,expert,first_step,last_step,share,relative\n");
    for (int l = 0; l < h->n_layers; l++)
        for (int w = 0; w < n; w++) {
            size_t at = ((size_t)l * (size_t)n + (size_t)w) * (size_t)h->n_experts;
            double even = even_share(h, &run->layers[l], h->sum + at, h->count + at);
            int last = w + 1 < n ? h->steps[window_start(h, w + 1)] : last_step;
            for (int e = 0; e < run->layers[l].n_experts; e++) {
                if (!h->count[at + (size_t)e])
                    continue;
                double share = h->sum[at + (size_t)e] / h->count[at + (size_t)e];
                text_printf(&f->data, "%d,%d,%d,%d,%.6g,%.6g\n", run->layers[l].layer, e,
                            h->steps[window_start(h, w)], last, share, even > 0 ? share / even : 0);
            }
        }
}

static int draw_load(struct report *r, int run, struct error *err)
{
    const struct report_run *of = &r->runs[run];
    const struct csv *experts = report_table(r, run, "collapse", "experts");
    struct heat h = {0};
    if (!experts)
        return 0;
    struct figure *f = report_add_for_run(r, run, "load", err);
    int result = f ? heat_init(&h, of, experts, err) : -1;
    if (result == 0) {
        int last_step = h.steps[h.n_windows - 1] + 1;
        last_step = of->last_step > last_step ? (int)of->last_step : last_step;
        heat_write(&h, of, f, last_step);
        figure_set_layers(f, of);
        figure_set_int(f, "last_step", last_step);
        figure_set_real(f, "step_tic", axis_step(last_step / 3.0));
        figure_set_panels(f, of->n_layers, of->n_layers == 3 || of->n_layers > 4 ? 3 : 2,
                          of->n_experts * 8 < 100 ? 100 : of->n_experts * 8, 74 + 48, 52);
        text_printf(&f->title, "Load of each expert over training: %s", of->name);
        text_printf(&f->caption,
                    "Share of tokens that the expert got, over an even spread; %d windows of steps. "
                    "Experts are numbered as in the logbook.",
                    heat_windows(&h));
        figure_say_n(f, report_table(r, run, "collapse", "load"), "tokens",
                     "tokens a window of the analysis");
        f->table = (struct figure_table){
            .group = "layer", .row = "expert", .column = "first_step", .value = "relative"};
        f->map = true;
    }
    heat_release(&h);
    return result;
}

int report_load_figures(struct report *r, struct error *err)
{
    int result = draw_effective_experts(r, err);
    if (result == 0)
        result = draw_load_entropy(r, err);
    for (int i = 0; result == 0 && i < r->n_runs; i++)
        result = draw_load(r, i, err);
    return result;
}
