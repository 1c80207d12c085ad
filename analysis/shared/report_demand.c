/* Figures of how many experts the router spreads its mass over. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/report.h"

static const char concentration_is_not_need[] = "Gate mass is the router's confidence, not the layer's need: "
                                                "what a layer loses without those experts is asked "
                                                "by truncating k.";

static double largest(const struct report *r, const struct run_list *list, const char *table)
{
    double most = 1;
    for (int i = 0; i < list->n; i++) {
        const struct csv *data = report_table(r, list->index[i], "demand", table);
        for (int row = 0; row < data->n_rows; row++)
            most = fmax(most, fmax(csv_real(data, row, "concentration_90"), csv_real(data, row, "high")));
    }
    return most;
}

static double smallest(const struct report *r, const struct run_list *list, const char *table)
{
    double least = INFINITY;
    for (int i = 0; i < list->n; i++) {
        const struct csv *data = report_table(r, list->index[i], "demand", table);
        for (int row = 0; row < data->n_rows; row++)
            least = fmin(least, fmin(csv_real(data, row, "concentration_90"), csv_real(data, row, "low")));
    }
    return isfinite(least) ? least : 0;
}

static void add_all(const struct report *r, struct figure *f, const struct run_list *list, const char *table)
{
    for (int i = 0; i < list->n; i++)
        figure_add_table(f, list->names[i], report_table(r, list->index[i], "demand", table));
}

static int draw_concentration(struct report *r, struct error *err)
{
    struct run_list list;
    double places[REPORT_RUNS];
    int first = LOGBOOK_MAX_LAYERS, last = 0;
    report_runs_with(r, "demand", "layers", &list);
    if (list.n == 0)
        return 0;
    struct figure *f = figures_add(&r->figures, "concentration", "concentration", err);
    if (!f)
        return -1;
    f->height = 300;
    add_all(r, f, &list, "layers");
    for (int i = 0; i < list.n; i++) {
        const struct csv *data = report_table(r, list.index[i], "demand", "layers");
        for (int row = 0; row < data->n_rows; row++) {
            int layer = csv_int(data, row, "layer");
            first = layer < first ? layer : first;
            last = layer > last ? layer : last;
        }
        places[i] = csv_real(data, data->n_rows - 1, "concentration_90");
    }
    double high = 1.08 * largest(r, &list, "layers");
    spread_labels(places, list.n, high * 16 / (f->height - 84), 0, high);
    figure_set_runs(f, &list);
    figure_array_real(f, "label_y", places, list.n);
    figure_set_int(f, "first_layer", first);
    figure_set_int(f, "n_layers", last - first + 1);
    figure_set_real(f, "high", high);
    text_add(&f->title, "How many experts hold 90 % of gate mass, by layer");
    text_printf(&f->caption,
                "Mean over the probe's tokens at the last step; bars: 95 %% intervals over documents. %s",
                concentration_is_not_need);
    figure_say_n_of_runs(f, r, &list, "demand", "layers", "documents", "documents");
    figure_say_pruned(f, r, list.index, list.n);
    f->table = (struct figure_table){.hidden = ""};
    return 0;
}

static int draw_rank_mass(struct report *r, struct error *err)
{
    struct run_list list;
    int layers[SHOWN_LAYERS];
    report_runs_with(r, "demand", "rank_mass", &list);
    if (list.n == 0)
        return 0;
    struct figure *f = figures_add(&r->figures, "rank-mass", "rank-mass", err);
    if (!f)
        return -1;
    add_all(r, f, &list, "rank_mass");
    figure_set_runs(f, &list);
    figure_array_int(f, "layer", layers, report_shown_layers(r, &list, layers));
    figure_set_panels(f, list.n, 3, 180, 44 + 48, 80);
    text_add(&f->title, "Gate mass of the likeliest experts");
    text_add(&f->caption,
             "Mean over the probe's tokens of the probability that a token's r likeliest experts hold. "
             "An even router would be a straight line.");
    figure_say_n_of_runs(f, r, &list, "demand", "layers", "tokens", "tokens");
    figure_say_pruned(f, r, list.index, list.n);
    f->table = (struct figure_table){.group = "run", .row = "rank", .column = "layer", .value = "mass"};
    return 0;
}

static int draw_domains(struct report *r, struct error *err)
{
    struct run_list list;
    int layers[SHOWN_LAYERS];
    const char *domains[MOST_DOMAINS];
    report_runs_with(r, "demand", "domains", &list);
    if (list.n == 0)
        return 0;
    struct figure *f = figures_add(&r->figures, "demand-domains", "demand-domains", err);
    if (!f)
        return -1;
    int n = report_domains(report_table(r, list.index[0], "demand", "domains"), NULL, domains);
    for (int i = 0; i < list.n; i++)
        figure_add_domain_rows(f, list.names[i], report_table(r, list.index[i], "demand", "domains"), domains,
                               n);
    int n_layers = report_shown_layers(r, &list, layers);
    figure_set_runs(f, &list);
    figure_array_text(f, "domain", domains, n);
    figure_array_int(f, "layer", layers, n_layers);
    double high = largest(r, &list, "domains"), low = smallest(r, &list, "domains");
    figure_set_real(f, "high", high + 0.05 * (high - low) + 0.01);
    figure_set_real(f, "low", fmax(0, low - 0.05 * (high - low) - 0.01));
    figure_set_panels(f, list.n, 3, n * (8 + 6 * n_layers), 66 + 48, 84);
    text_add(&f->title, "Concentration by domain and layer");
    text_printf(
        &f->caption,
        "Experts that hold 90 %% of gate mass, mean over tokens at matched positions; bars: 95 %% intervals "
        "over the domain's documents. %s",
        concentration_is_not_need);
    figure_say_n_of_runs(f, r, &list, "demand", "domains", "documents", "documents a domain");
    figure_say_pruned(f, r, list.index, list.n);
    f->table = (struct figure_table){
        .group = "run", .row = "domain", .column = "layer", .value = "concentration_90", .hidden = "row"};
    return 0;
}

int report_demand_figures(struct report *r, struct error *err)
{
    return draw_concentration(r, err) != 0 || draw_rank_mass(r, err) != 0 || draw_domains(r, err) != 0 ? -1
                                                                                                       : 0;
}
