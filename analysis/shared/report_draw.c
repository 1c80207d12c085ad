/* What the figures have in common. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/report.h"

void report_runs_with(const struct report *r, const char *verb, const char *table, struct run_list *list)
{
    list->n = 0;
    for (int i = 0; i < r->n_runs; i++) {
        if (!report_table(r, i, verb, table))
            continue;
        list->index[list->n] = i;
        list->types[list->n] = r->runs[i].type;
        list->experts[list->n] = r->runs[i].n_experts;
        list->names[list->n++] = r->runs[i].name;
    }
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int report_shown_layers(const struct report *r, const struct run_list *list, int layers[SHOWN_LAYERS])
{
    int all[LOGBOOK_MAX_LAYERS] = {0}, n = 0;
    for (int i = 0; i < list->n; i++) {
        const struct report_run *run = &r->runs[list->index[i]];
        for (int j = 0; j < run->n_layers; j++) {
            int k = 0;
            while (k < n && all[k] != run->layers[j].layer)
                k++;
            if (k == n && n < LOGBOOK_MAX_LAYERS)
                all[n++] = run->layers[j].layer;
        }
    }
    qsort(all, (size_t)n, sizeof all[0], compare_ints);
    if (n <= SHOWN_LAYERS) {
        memcpy(layers, all, (size_t)n * sizeof all[0]);
        return n;
    }
    for (int i = 0; i < SHOWN_LAYERS; i++)
        layers[i] = all[(i * (n - 1) + (SHOWN_LAYERS - 1) / 2) / (SHOWN_LAYERS - 1)];
    return SHOWN_LAYERS;
}

void figure_add_table(struct figure *f, const char *name, const struct csv *table)
{
    for (int row = f->data.length > 0 ? 0 : -1; row < table->n_rows; row++) {
        if (name) {
            figure_add_cell(f, row < 0 ? "run" : name);
            text_add(&f->data, ",");
        }
        for (int column = 0; column < table->n_columns; column++) {
            text_add(&f->data, column ? "," : "");
            figure_add_cell(f, csv_cell(table, row, column));
        }
        text_add(&f->data, "\n");
    }
}

/* Widens low to high so that they hold what is in the column; NaN is left out. */
static void widen(double *low, double *high, const struct csv *table, const char *column)
{
    for (int i = 0; table && i < table->n_rows; i++) {
        *low = fmin(*low, csv_real(table, i, column));
        *high = fmax(*high, csv_real(table, i, column));
    }
}

static void say_range(struct figure *f, double low, double high, const char *what)
{
    char least[32], most[32];
    if (!isfinite(low))
        return;
    text_printf(&f->caption, " N = %s", text_count(least, low));
    if (strcmp(least, text_count(most, high)) != 0)
        text_printf(&f->caption, " to %s", most);
    text_printf(&f->caption, " %s.", what);
}

void figure_say_n(struct figure *f, const struct csv *table, const char *column, const char *what)
{
    double low = INFINITY, high = -INFINITY;
    widen(&low, &high, table, column);
    say_range(f, low, high, what);
}

void figure_say_n_of_runs(struct figure *f, const struct report *r, const struct run_list *list,
                          const char *verb, const char *table, const char *column, const char *what)
{
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < list->n; i++)
        widen(&low, &high, report_table(r, list->index[i], verb, table), column);
    say_range(f, low, high, what);
}

void figure_say_pruned(struct figure *f, const struct report *r, const int *runs, int n)
{
    for (int i = 0; i < n; i++) {
        const struct report_run *run = &r->runs[runs[i]];
        if (run->pruned_probe)
            text_printf(&f->caption, " Run %s was pruned: it has no more %s.", run->name, run->pruned_probe);
    }
}

int report_domains(const struct csv *table, const char *but, const char *domains[MOST_DOMAINS])
{
    int n = 0;
    for (int i = 0; i < table->n_rows; i++) {
        const char *domain = csv_text(table, i, "domain");
        int j = 0;
        if (!domain || (but && strcmp(domain, but) == 0))
            continue;
        while (j < n && strcmp(domains[j], domain) != 0)
            j++;
        if (j == n && n < MOST_DOMAINS)
            domains[n++] = domain;
    }
    return n;
}

int report_domain_row(const char *const *domains, int n, const char *domain)
{
    for (int i = 0; domain && i < n; i++)
        if (strcmp(domains[i], domain) == 0)
            return i;
    return 0;
}

void figure_add_domain_rows(struct figure *f, const char *name, const struct csv *table,
                            const char *const *domains, int n)
{
    for (int row = f->data.length > 0 ? 0 : -1; row < table->n_rows; row++) {
        if (name) {
            figure_add_cell(f, row < 0 ? "run" : name);
            text_add(&f->data, ",");
        }
        for (int column = 0; column < table->n_columns; column++) {
            figure_add_cell(f, csv_cell(table, row, column));
            text_add(&f->data, ",");
        }
        if (row < 0)
            text_add(&f->data, "row\n");
        else
            text_printf(&f->data, "%d\n", report_domain_row(domains, n, csv_text(table, row, "domain")));
    }
}

struct figure *report_add_for_run(struct report *r, int run, const char *script, struct error *err)
{
    return report_add_named(r, run, script, script, err);
}

struct figure *report_add_named(struct report *r, int run, const char *as, const char *script,
                                struct error *err)
{
    struct text name;
    struct figure *f = NULL;
    text_init(&name);
    text_printf(&name, "%s-%s", as, r->runs[run].file);
    if (name.failed)
        error_no_memory(err, "a figure");
    else
        f = figures_add(&r->figures, name.data, script, err);
    text_release(&name);
    return f;
}

void figure_set_layers(struct figure *f, const struct report_run *run)
{
    int layers[LOGBOOK_MAX_LAYERS];
    for (int i = 0; i < run->n_layers; i++)
        layers[i] = run->layers[i].layer;
    figure_array_int(f, "layer", layers, run->n_layers);
    figure_set_int(f, "n_experts", run->n_experts);
}

void figure_set_runs(struct figure *f, const struct run_list *list)
{
    figure_array_text(f, "run", list->names, list->n);
    figure_array_int(f, "run_type", list->types, list->n);
    figure_array_int(f, "run_experts", list->experts, list->n);
}

void figure_set_panels(struct figure *f, int n, int columns, int panel_height, int around, int between)
{
    columns = n < columns ? n : columns;
    int rows = (n + columns - 1) / columns;
    f->height = around + rows * panel_height + (rows - 1) * between;
    figure_set_int(f, "columns", columns);
    figure_set_int(f, "rows", rows);
}

int report_draw(struct report *r, struct error *err)
{
    const char *slash = strrchr(r->db, '/');
    if (report_loss_figures(r, err) != 0 || report_load_figures(r, err) != 0 ||
        report_specialization_figures(r, err) != 0 || report_demand_figures(r, err) != 0)
        return -1;
    return figures_draw(&r->figures, r->folder, slash ? slash + 1 : r->db,
                        r->terminal   ? "txt"
                        : r->svg_only ? "svg"
                                      : "svg pdf png",
                        r->quiet, err);
}
