/* Figures of what experts tell apart, whom they serve, with whom they work, and since when. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/report.h"

/* ---- information ---- */

/* Labels of documents, in this order where they are there; those of tokens have another scale and no place
 * among them. */
enum { MOST_LABELS = 6 };

static int list_labels(const struct report *r, const struct run_list *list, const char *labels[MOST_LABELS])
{
    int n = 0;
    for (int i = 0; i < list->n; i++) {
        const struct csv *table = report_table(r, list->index[i], "specialization", "information");
        for (int row = 0; row < table->n_rows; row++) {
            const char *label = csv_text(table, row, "label");
            int j = 0;
            if (!label || strstr(label, "token"))
                continue;
            while (j < n && strcmp(labels[j], label) != 0)
                j++;
            if (j == n && n < MOST_LABELS)
                labels[n++] = label;
        }
    }
    return n;
}

/* The largest figure or interval of a label over all runs. */
static double largest_information(const struct report *r, const struct run_list *list, const char *label)
{
    static const char *const columns[] = {"mutual_information", "high", "null_high"};
    double most = 0;
    for (int i = 0; i < list->n; i++) {
        const struct csv *table = report_table(r, list->index[i], "specialization", "information");
        for (int row = 0; row < table->n_rows; row++) {
            const char *of = csv_text(table, row, "label");
            for (int c = 0; of && strcmp(of, label) == 0 && c < 3; c++)
                most = fmax(most, csv_real(table, row, columns[c])); /* fmax passes NaN over */
        }
    }
    return most;
}

/* The null of a cross-fitted estimate lies a little below 0. */
static double lowest_null(const struct report *r, const struct run_list *list, const char *label)
{
    double least = 0;
    for (int i = 0; i < list->n; i++) {
        const struct csv *table = report_table(r, list->index[i], "specialization", "information");
        for (int row = 0; row < table->n_rows; row++) {
            const char *of = csv_text(table, row, "label");
            if (of && strcmp(of, label) == 0)
                least = fmin(least, csv_real(table, row, "null_low"));
        }
    }
    return least;
}

/* "language|topic" is language where topic is held fixed. */
static void label_title(const char *label, char *title, size_t size)
{
    const char *bar = strchr(label, '|');
    if (bar)
        snprintf(title, size, "%.*s given %s (nats)", (int)(bar - label), label, bar + 1);
    else
        snprintf(title, size, "%s (nats)", label);
}

static void span_of_layers(const int *layers, int n, struct figure *f)
{
    figure_set_int(f, "first_layer", layers[0]);
    figure_set_int(f, "n_layers", layers[n - 1] - layers[0] + 1);
}

/* Every layer of the listed runs, sorted; the first and the last are what matters. */
static int end_layers(const struct report *r, const struct run_list *list, int layers[2])
{
    layers[0] = LOGBOOK_MAX_LAYERS;
    layers[1] = 0;
    for (int i = 0; i < list->n; i++) {
        const struct report_run *run = &r->runs[list->index[i]];
        layers[0] = run->layers[0].layer < layers[0] ? run->layers[0].layer : layers[0];
        layers[1] = run->layers[run->n_layers - 1].layer > layers[1] ? run->layers[run->n_layers - 1].layer
                                                                     : layers[1];
    }
    return 2;
}

static int draw_information(struct report *r, struct error *err)
{
    const char *labels[MOST_LABELS], *titles[MOST_LABELS];
    char title[MOST_LABELS][96];
    double high[MOST_LABELS], low[MOST_LABELS], tic[MOST_LABELS];
    struct run_list list;
    int ends[2];
    report_runs_with(r, "specialization", "information", &list);
    int n = list_labels(r, &list, labels);
    if (n == 0)
        return 0;
    struct figure *f = figures_add(&r->figures, "information", "information", err);
    if (!f)
        return -1;
    for (int i = 0; i < n; i++) {
        label_title(labels[i], title[i], sizeof title[i]);
        titles[i] = title[i];
        high[i] = round_up(1.02 * largest_information(r, &list, labels[i]));
        low[i] = fmin(0, 1.1 * lowest_null(r, &list, labels[i]));
        tic[i] = axis_step(high[i] / 4);
    }
    for (int i = 0; i < list.n; i++)
        figure_add_table(f, list.names[i], report_table(r, list.index[i], "specialization", "information"));
    figure_set_runs(f, &list);
    figure_array_text(f, "label_of_row", labels, n);
    figure_array_text(f, "row_title", titles, n);
    figure_array_real(f, "row_high", high, n);
    figure_array_real(f, "row_low", low, n);
    figure_array_real(f, "row_tic", tic, n);
    span_of_layers(ends, end_layers(r, &list, ends), f);
    figure_set_int(f, "columns", list.n);
    figure_set_int(f, "rows", n);
    f->height = 44 + 60 + n * 130 + (n - 1) * 50;
    if (list.n > 4)
        f->width = 760 + (list.n - 4) * 180;
    text_add(&f->title, "What a token's expert tells");
    text_add(&f->caption, "Mutual information of expert and label, cross-fitted over documents, on the "
                          "probe: at the last step (full "
                          "bars) and at step 0 (pale), because an untrained router already separates "
                          "domains. Grey bands: what labels "
                          "dealt to the documents at random give, 95 %; below 0, because cross-fitting "
                          "estimates from below. Dashes: what a router shows that hashes the token's id "
                          "and has learnt nothing. Thin bars: 95 % intervals over documents.");
    figure_say_n_of_runs(f, r, &list, "specialization", "information", "documents", "documents");
    figure_say_pruned(f, r, list.index, list.n);
    f->table = (struct figure_table){.hidden = ""};
    return 0;
}

/* ---- lift ---- */

enum { MOST_EXPERTS = 1024 };

struct favourite { /* of an expert: the domain it prefers, and how much */
    int expert, row;
    double lift;
};

static int compare_favourites(const void *a, const void *b)
{
    const struct favourite *x = a, *y = b;
    if (x->row != y->row)
        return x->row - y->row;
    if (x->lift != y->lift)
        return x->lift > y->lift ? -1 : 1;
    return x->expert - y->expert;
}

/* Experts of one layer in the order of the domain they serve most, the strongest first: place[expert]. Those
 * that serve none go last. */
static void order_experts(const struct csv *lift, int layer, const char *const *domains, int n_domains,
                          int n_experts, int *place)
{
    struct favourite favourites[MOST_EXPERTS];
    for (int e = 0; e < n_experts; e++)
        favourites[e] = (struct favourite){e, n_domains, -INFINITY};
    for (int i = 0; i < lift->n_rows; i++) {
        int expert = csv_int(lift, i, "expert");
        double value = csv_real(lift, i, "lift");
        if (csv_int(lift, i, "layer") != layer || expert < 0 || expert >= n_experts || !isfinite(value) ||
            value <= favourites[expert].lift)
            continue;
        favourites[expert].lift = value;
        favourites[expert].row = report_domain_row(domains, n_domains, csv_text(lift, i, "domain"));
    }
    qsort(favourites, (size_t)n_experts, sizeof favourites[0], compare_favourites);
    for (int i = 0; i < n_experts; i++)
        place[favourites[i].expert] = i;
}

static void add_lift_rows(const struct report_run *run, const struct csv *lift, struct figure *f,
                          const char *const *domains, int n_domains)
{
    int place[MOST_EXPERTS], layer = -1;
    for (int row = -1; row < lift->n_rows; row++) {
        for (int column = 0; column < lift->n_columns; column++) {
            figure_add_cell(f, csv_cell(lift, row, column));
            text_add(&f->data, ",");
        }
        if (row < 0) {
            text_add(&f->data, "row,column\n");
            continue;
        }
        if (csv_int(lift, row, "layer") != layer) {
            layer = csv_int(lift, row, "layer");
            order_experts(lift, layer, domains, n_domains, run->n_experts, place);
        }
        int expert = csv_int(lift, row, "expert");
        text_printf(&f->data, "%d,%d\n", report_domain_row(domains, n_domains, csv_text(lift, row, "domain")),
                    expert >= 0 && expert < run->n_experts ? place[expert] : 0);
    }
}

/* Panels side by side: as many as leave an expert's number room to stand, filling their rows. */
static int heat_columns(const struct report_run *run)
{
    if (run->n_experts > 32)
        return 1;
    return run->n_experts <= 16 && (run->n_layers == 3 || run->n_layers > 4) ? 3 : 2;
}

/* Documents of the whole probe; labels with another held fixed are of some. */
static void say_documents(struct figure *f, const struct csv *information)
{
    for (int i = 0; information && i < information->n_rows; i++) {
        const char *label = csv_text(information, i, "label");
        if (!label || strcmp(label, "domain") != 0)
            continue;
        text_printf(&f->caption, " N = %d documents.", csv_int(information, i, "documents"));
        return;
    }
}

static int draw_lift(struct report *r, int run, struct error *err)
{
    const struct report_run *of = &r->runs[run];
    const struct csv *lift = report_table(r, run, "specialization", "lift");
    const char *domains[MOST_DOMAINS];
    if (!lift || of->n_experts > MOST_EXPERTS)
        return 0;
    struct figure *f = report_add_for_run(r, run, "lift", err);
    if (!f)
        return -1;
    int n = report_domains(lift, NULL, domains);
    add_lift_rows(of, lift, f, domains, n);
    figure_set_layers(f, of);
    figure_array_text(f, "domain", domains, n);
    figure_set_panels(f, of->n_layers, heat_columns(of), 15 * (n + 1), 74 + 30, 44);
    text_printf(&f->title, "Which experts serve which domains: %s", of->name);
    text_add(&f->caption,
             "An expert's share of the domain's tokens over its share of all tokens, at the last probe "
             "step. Experts stand in the order of the domain they serve most, so that a block on the "
             "diagonal is a speciality; their numbers are below. Dots: q < 0.05 (document-level test, "
             "Benjamini-Hochberg). Intervals are in the data.");
    say_documents(f, report_table(r, run, "specialization", "information"));
    figure_say_pruned(f, r, &run, 1);
    f->table = (struct figure_table){
        .group = "layer", .row = "domain", .column = "expert", .value = "lift", .hidden = "row,column"};
    f->map = true;
    return 0;
}

/* ---- pairs of experts ---- */

/* What a figure of pairs is of: the columns that name the two experts, and what stands at its axes. */
struct pairs {
    const char *as, *table, *one, *other, *one_axis, *other_axis, *legend;
    bool same; /* an expert may meet itself */
};

/* A panel for each of the first `n` layers. */
static struct figure *add_pairs(struct report *r, int run, const struct pairs *p, int n,
                                const char *const *titles, struct error *err)
{
    const struct report_run *of = &r->runs[run];
    struct figure *f = report_add_named(r, run, p->as, "pairs", err);
    if (!f)
        return NULL;
    figure_add_table(f, NULL, report_table(r, run, "specialization", p->table));
    figure_set_layers(f, of);
    figure_array_text(f, "panel_title", titles, n);
    figure_set_text(f, "one", p->one);
    figure_set_text(f, "other", p->other);
    figure_set_text(f, "one_axis", p->one_axis);
    figure_set_text(f, "other_axis", p->other_axis);
    figure_set_text(f, "legend", p->legend);
    figure_set_int(f, "same", p->same);
    int columns = n < 4 ? n : n % 3 == 0 ? 3 : 4;
    /* Square cells: the panel is as high as it is wide. */
    int panel = (760 - 56 - ((columns > 1 ? columns : 2) - 1) * 36) / (columns > 1 ? columns : 2);
    figure_set_panels(f, n, columns, panel, 74 + 48, 48);
    if (columns == 1)
        f->width = panel + 56;
    f->table = (struct figure_table){.group = "layer", .row = p->one, .column = p->other, .value = "lift"};
    f->map = true;
    return f;
}

/* "layer 3", or "layer 3 to 4" with the next one. */
struct titles {
    char text[LOGBOOK_MAX_LAYERS][32];
    const char *items[LOGBOOK_MAX_LAYERS];
};

static void title_layers(const struct report_run *run, bool with_next, int n, struct titles *t)
{
    for (int i = 0; i < n; i++) {
        if (with_next)
            snprintf(t->text[i], sizeof t->text[i], "layer %d to %d", run->layers[i].layer,
                     run->layers[i + 1].layer);
        else
            snprintf(t->text[i], sizeof t->text[i], "layer %d", run->layers[i].layer);
        t->items[i] = t->text[i];
    }
}

static int draw_pairs(struct report *r, int run, const struct pairs *p, bool with_next, const char *title,
                      const char *caption, struct error *err)
{
    const struct report_run *of = &r->runs[run];
    int n = of->n_layers - with_next;
    struct titles *titles = malloc(sizeof *titles);
    if (!titles)
        return error_no_memory(err, "a figure");
    title_layers(of, with_next, n, titles);
    struct figure *f = add_pairs(r, run, p, n, titles->items, err);
    free(titles);
    if (!f)
        return -1;
    text_printf(&f->title, "%s: %s", title, of->name);
    text_add(&f->caption, caption);
    figure_say_n(f, report_table(r, run, "specialization", "saturation"), "tokens", "tokens");
    figure_say_pruned(f, r, &run, 1);
    return 0;
}

static int draw_coactivation(struct report *r, int run, struct error *err)
{
    static const struct pairs pairs = {"coactivation",
                                       "coactivation",
                                       "expert_a",
                                       "expert_b",
                                       "expert",
                                       "expert",
                                       "pairs chosen together against chance",
                                       false};
    if (!report_table(r, run, "specialization", "coactivation") || r->runs[run].k == 1)
        return 0;
    return draw_pairs(
        r, run, &pairs, false, "Which experts are chosen together",
        "Pairs of experts that one token has, over what experts of these loads would form if they "
        "ignored each other (quasi-independence; all pairs of the k choices). The diagonal is "
        "empty.",
        err);
}

static int draw_flow(struct report *r, int run, struct error *err)
{
    static const struct pairs pairs = {"flow",
                                       "flow",
                                       "expert",
                                       "next_expert",
                                       "expert",
                                       "expert of the next layer",
                                       "paths taken against chance",
                                       true};
    if (!report_table(r, run, "specialization", "flow") || r->runs[run].n_layers < 2)
        return 0;
    return draw_pairs(
        r, run, &pairs, true, "Where the tokens of an expert go next",
        "Tokens that an expert of the one MoE layer (rows) and one of the next (columns) both have, "
        "over what the two loads give if the layers are independent (all pairs of choices). Both "
        "layers see the same tokens: part of it is vocabulary.",
        err);
}

/* ---- lines ---- */

static int largest_int(const struct report *r, const struct run_list *list, const char *table,
                       const char *column)
{
    int most = 0;
    for (int i = 0; i < list->n; i++) {
        const struct csv *data = report_table(r, list->index[i], "specialization", table);
        for (int row = 0; row < data->n_rows; row++)
            most = csv_int(data, row, column) > most ? csv_int(data, row, column) : most;
    }
    return most;
}

/* Panels by run, lines by layer: what saturation and repetition share. */
static struct figure *add_lines(struct report *r, const char *as, const char *table, struct run_list *list,
                                int layers[SHOWN_LAYERS], int *n_layers, struct error *err)
{
    struct figure *f = figures_add(&r->figures, as, table, err);
    if (!f)
        return NULL;
    *n_layers = report_shown_layers(r, list, layers);
    for (int i = 0; i < list->n; i++)
        figure_add_table(f, list->names[i], report_table(r, list->index[i], "specialization", table));
    figure_set_runs(f, list);
    figure_array_int(f, "layer", layers, *n_layers);
    figure_set_panels(f, list->n, 3, 170, 44 + 48, 80);
    return f;
}

/* One of the shares that the table `saturation` has, step by step. */
struct settling {
    const char *as, *share, *chance, *unit, *title, *caption;
    bool to_the_end; /* the last step says something */
};

static int draw_settling(struct report *r, const struct settling *what, struct error *err)
{
    struct run_list list;
    int layers[SHOWN_LAYERS], n;
    report_runs_with(r, "specialization", "saturation", &list);
    if (list.n == 0 || largest_int(r, &list, "saturation", "step") < 1) /* a course needs a second step */
        return 0;
    struct figure *f = add_lines(r, what->as, "saturation", &list, layers, &n, err);
    if (!f)
        return -1;
    figure_set_int(f, "last_step", largest_int(r, &list, "saturation", "step"));
    figure_set_text(f, "share", what->share);
    figure_set_text(f, "chance", what->chance);
    figure_set_text(f, "unit_of_share", what->unit);
    figure_set_int(f, "to_the_end", what->to_the_end);
    report_set_layer_labels(r, f, &list, layers, n, "specialization", "saturation", what->share, 1, true,
                            170);
    text_add(&f->title, what->title);
    text_add(&f->caption, what->caption);
    figure_say_n_of_runs(f, r, &list, "specialization", "saturation", "tokens", "tokens a pass");
    figure_say_pruned(f, r, list.index, list.n);
    f->table = (struct figure_table){.group = "run", .row = "step", .column = "layer", .value = what->share};
    return 0;
}

static int draw_saturation(struct report *r, struct error *err)
{
    static const struct settling saturation = {
        "saturation",
        "overlap",
        "chance",
        "agreement with the last step",
        "When routing settles",
        "Share of the probe's decisions at a step that are those of the last step (which is left out: it "
        "agrees "
        "with itself). Dotted: the share that two routers of these loads would agree by chance.",
        false};
    return draw_settling(r, &saturation, err);
}

static int draw_fluctuation(struct report *r, struct error *err)
{
    static const struct settling fluctuation = {
        "fluctuation",
        "unsettled",
        "unsettled_chance",
        "tokens still to change",
        "How long tokens change their expert",
        "Share of the probe's tokens whose first choice is not the final one at that step or at a later one. "
        "Dotted: the same if every pass dealt its choices anew, by the loads alone.",
        true};
    return draw_settling(r, &fluctuation, err);
}

static int draw_vocabulary(struct report *r, struct error *err)
{
    struct run_list list;
    int ends[2];
    report_runs_with(r, "specialization", "vocabulary", &list);
    if (list.n == 0)
        return 0;
    struct figure *f = figures_add(&r->figures, "vocabulary", "vocabulary", err);
    if (!f)
        return -1;
    for (int i = 0; i < list.n; i++)
        figure_add_table(f, list.names[i], report_table(r, list.index[i], "specialization", "vocabulary"));
    figure_set_runs(f, &list);
    span_of_layers(ends, end_layers(r, &list, ends), f);
    figure_set_panels(f, list.n, 3, 170, 44 + 48, 80);
    text_add(&f->title, "How far the token decides the expert");
    text_add(
        &f->caption,
        "Share of first choices that are the favourite expert of the token's id (input: of the token itself, "
        "next: of the one that follows it), favourites found on half of the documents and counted on the "
        "other; ids that occur 10 times there. Thin bars: 95 % intervals over documents. Dotted: what the "
        "layer's busiest expert has.");
    figure_say_n_of_runs(f, r, &list, "specialization", "vocabulary", "ids", "ids");
    figure_say_pruned(f, r, list.index, list.n);
    f->table = (struct figure_table){.hidden = ""};
    return 0;
}

static int draw_repetition(struct report *r, struct error *err)
{
    struct run_list list;
    int layers[SHOWN_LAYERS], n;
    double high = 0;
    report_runs_with(r, "specialization", "repetition", &list);
    if (list.n == 0)
        return 0;
    struct figure *f = add_lines(r, "repetition", "repetition", &list, layers, &n, err);
    if (!f)
        return -1;
    for (int i = 0; i < list.n; i++) {
        const struct csv *table = report_table(r, list.index[i], "specialization", "repetition");
        for (int row = 0; row < table->n_rows; row++)
            high = fmax(high, fmax(csv_real(table, row, "repeated"), csv_real(table, row, "chance")));
    }
    high = fmin(1, round_up(1.05 * high));
    figure_set_real(f, "high", high);
    figure_set_int(f, "last_lag", largest_int(r, &list, "repetition", "lag"));
    report_set_layer_labels(r, f, &list, layers, n, "specialization", "repetition", "repeated", high, false,
                            170);
    text_add(&f->title, "Whether the expert comes back along the text");
    text_add(&f->caption,
             "Share of tokens whose first choice is that of the token so many places before. Dotted: "
             "the chance that loads alone give.");
    figure_say_n_of_runs(f, r, &list, "specialization", "repetition", "pairs", "pairs of tokens a lag");
    figure_say_pruned(f, r, list.index, list.n);
    f->table = (struct figure_table){.group = "run", .row = "lag", .column = "layer", .value = "repeated"};
    return 0;
}

int report_specialization_figures(struct report *r, struct error *err)
{
    int result = draw_information(r, err);
    for (int i = 0; result == 0 && i < r->n_runs; i++)
        result = draw_lift(r, i, err);
    if (result == 0)
        result = draw_vocabulary(r, err);
    for (int i = 0; result == 0 && i < r->n_runs; i++)
        result = draw_coactivation(r, i, err);
    for (int i = 0; result == 0 && i < r->n_runs; i++)
        result = draw_flow(r, i, err);
    if (result == 0)
        result = draw_saturation(r, err);
    if (result == 0)
        result = draw_fluctuation(r, err);
    return result == 0 ? draw_repetition(r, err) : result;
}
