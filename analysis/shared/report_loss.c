/* Figures of what the runs reach and cost. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/report.h"

/* ---- curves ---- */

struct curves {
    double last[REPORT_RUNS]; /* of each run; NaN: none */
    double low, high;         /* over all runs, what lies before the first tenth of the steps left out */
    int64_t last_step;
};

static void curves_init(struct curves *c)
{
    for (int i = 0; i < REPORT_RUNS; i++)
        c->last[i] = NAN;
    c->low = INFINITY;
    c->high = -INFINITY;
    c->last_step = 0;
}

static void curves_see(struct curves *c, const struct report_run *run, int64_t step, double loss)
{
    if (!isfinite(loss))
        return;
    c->low = fmin(c->low, loss);
    if (10 * step >= run->last_step)
        c->high = fmax(c->high, loss);
    c->last_step = run->last_step > c->last_step ? run->last_step : c->last_step;
}

/* Rows "run,step,documents,loss,bits_per_byte,low,high"; the interval only where compare gives one: at the
 * last step, of the unit in which the runs compare. Returns how many documents the last evaluation has. */
static int add_valid_loss(struct report *r, int run, struct figure *f, struct curves *c, int *documents,
                          struct error *err)
{
    struct query *q;
    struct estimate final = report_final(r, run);
    int more;
    if (query_open(&q, r->logbook, "analysis/report_valid_loss", err) != 0)
        return -1;
    query_bind_int(q, ":run", r->runs[run].run_id);
    while ((more = query_step(q, err)) == 1) {
        int64_t step = query_int(q, "step");
        double loss = query_real(q, "loss"), bits = query_real(q, "bits_per_byte");
        bool last = step == r->runs[run].last_step;
        *documents = (int)query_int(q, "documents");
        c->last[run] = r->in_bits ? bits : loss;
        curves_see(c, &r->runs[run], step, c->last[run]);
        if (last) {
            curves_see(c, &r->runs[run], step, final.low);
            curves_see(c, &r->runs[run], step, final.high);
        }
        figure_add_cell(f, r->runs[run].name);
        text_printf(&f->data, ",%lld,%d", (long long)step, *documents);
        const double cells[] = {loss, bits, last ? final.low : NAN, last ? final.high : NAN};
        for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
            text_add(&f->data, ",");
            csv_add_real(&f->data, cells[i]);
        }
        text_add(&f->data, "\n");
    }
    query_close(q);
    return more;
}

static int add_train_loss(struct report *r, int run, struct figure *f, struct curves *c, struct error *err)
{
    struct query *q;
    int more;
    if (query_open(&q, r->logbook, "analysis/report_train_loss", err) != 0)
        return -1;
    query_bind_int(q, ":run", r->runs[run].run_id);
    while ((more = query_step(q, err)) == 1) {
        c->last[run] = query_real(q, "loss");
        curves_see(c, &r->runs[run], query_int(q, "step"), c->last[run]);
        figure_add_cell(f, r->runs[run].name);
        text_printf(&f->data, ",%lld,%lld,", (long long)query_int(q, "step"),
                    (long long)query_int(q, "steps"));
        csv_add_real(&f->data, c->last[run]);
        text_add(&f->data, "\n");
    }
    query_close(q);
    return more;
}

struct curve_labels {
    const char *names[REPORT_RUNS];
    int types[REPORT_RUNS], n;
    double last[REPORT_RUNS], places[REPORT_RUNS];
};

static void add_labels(const struct report *r, const struct curves *c, bool baselines, struct curve_labels *l)
{
    for (int i = 0; i < r->n_runs; i++)
        if (r->runs[i].baseline == baselines && isfinite(c->last[i])) {
            l->names[l->n] = r->runs[i].name;
            l->types[l->n] = r->runs[i].type;
            l->places[l->n] = l->last[l->n] = c->last[i];
            l->n++;
        }
}

/* Parameters for the runs that have a curve, with places for their names at its end; names of baselines, if
 * they are drawn, keep off those as well. */
static void set_curves(const struct report *r, struct figure *f, const struct curves *c, bool baselines)
{
    struct curve_labels l = {.n = 0};
    double room = fmax((c->high - c->low) * 0.06, 0.02), low = c->low - room, high = c->high + room;
    add_labels(r, c, false, &l);
    int n = l.n;
    if (baselines)
        add_labels(r, c, true, &l);
    spread_labels(l.places, l.n, (high - low) * 17 / (f->height - 90), low, high);
    figure_array_text(f, "run", l.names, n);
    figure_array_int(f, "run_type", l.types, n);
    figure_array_real(f, "final", l.last, n);
    figure_array_real(f, "label_y", l.places, n);
    if (baselines) {
        figure_set_int(f, "n_baselines", l.n - n);
        figure_array_text(f, "baseline", l.names + n, l.n - n);
        figure_array_real(f, "baseline_loss", l.last + n, l.n - n);
        figure_array_real(f, "baseline_y", l.places + n, l.n - n);
    }
    figure_set_int(f, "last_step", c->last_step > 0 ? (long)c->last_step : 1);
    figure_set_real(f, "low", low);
    figure_set_real(f, "high", high);
}

/* Documents in the last evaluation of each run that has one; none: least > most. */
struct evaluated {
    int least, most;
    bool alike; /* of several runs: of one corpus, and as many */
};

/* documents: (n_runs), 0: not evaluated. */
static struct evaluated compare_evaluated(const struct report *r, const int *documents)
{
    struct evaluated e = {INT_MAX, 0, true};
    const char *corpus = NULL;
    int n = 0;
    for (int i = 0; i < r->n_runs; i++) {
        const char *own = r->runs[i].corpus_sha256;
        if (documents[i] == 0)
            continue;
        e.alike = e.alike && own && (!corpus || strcmp(own, corpus) == 0);
        corpus = own;
        n++;
        e.least = documents[i] < e.least ? documents[i] : e.least;
        e.most = documents[i] > e.most ? documents[i] : e.most;
    }
    e.alike = e.alike && n > 1 && e.least == e.most;
    return e;
}

static void describe_valid_loss(const struct report *r, struct figure *f, const int *documents)
{
    const struct evaluated e = compare_evaluated(r, documents);
    text_add(&f->title, "Validation loss by training step");
    text_printf(&f->caption, "Token-weighted mean over %d ", e.least);
    if (e.most > e.least)
        text_printf(&f->caption, "to %d ", e.most);
    text_add(&f->caption,
             r->in_bits ? "held-out documents, in bits per byte, because these runs do not share a vocabulary"
                        : "held-out documents, in nats per token");
    text_add(&f->caption, e.alike ? "; the same documents for every run." : ".");
    text_add(&f->caption, " Bars at the right: 95 % intervals of the last step, over documents. They "
                          "say how far the loss would move with other documents");
    text_add(&f->caption,
             r->n_trained > 1 ? ", not whether two runs differ: for that see the paired differences." : ".");
    if (r->n_trained < r->n_runs)
        text_add(&f->caption, " Dashed lines: baselines that count words.");
    f->table = (struct figure_table){.hidden = report_has_bits(r) ? "" : "bits_per_byte"};
}

static int draw_valid_loss(struct report *r, struct error *err)
{
    struct curves c;
    struct figure *f = figures_add(&r->figures, "loss", "loss", err);
    int documents[REPORT_RUNS] = {0};
    bool any = false;
    if (!f)
        return -1;
    curves_init(&c);
    text_add(&f->data, "run,step,documents,loss,bits_per_byte,low,high\n");
    for (int i = 0; i < r->n_runs; i++)
        if (add_valid_loss(r, i, f, &c, &documents[i], err) != 0)
            return -1;
    for (int i = 0; i < r->n_trained; i++)
        any = any || isfinite(c.last[i]);
    if (!any) {
        figures_drop_last(&r->figures); /* nothing was evaluated */
        return 0;
    }
    set_curves(r, f, &c, true);
    figure_set_text(f, "shown", r->in_bits ? "bits_per_byte" : "loss");
    figure_set_text(f, "unit",
                    r->in_bits ? "validation loss (bits per byte)" : "validation loss (nats per token)");
    describe_valid_loss(r, f, documents);
    return 0;
}

static int draw_train_loss(struct report *r, struct error *err)
{
    struct curves c;
    struct figure *f = figures_add(&r->figures, "train-loss", "train-loss", err);
    if (!f)
        return -1;
    f->height = 300;
    curves_init(&c);
    text_add(&f->data, "run,step,steps,loss\n");
    for (int i = 0; i < r->n_trained; i++)
        if (add_train_loss(r, i, f, &c, err) != 0)
            return -1;
    if (!isfinite(c.low)) {
        figures_drop_last(&r->figures);
        return 0;
    }
    set_curves(r, f, &c, false);
    text_add(&f->title, "Training loss, smoothed");
    text_add(&f->caption, "Nats per token: mean over stretches of up to 1/120 of the run, without the "
                          "balance losses; each step "
                          "sees other text, so that lines wander together. No interval: steps are not "
                          "independent.");
    f->table = (struct figure_table){.row = "step", .column = "run", .value = "loss"};
    return 0;
}

/* ---- by domain ---- */

static bool is_whole(const struct csv *table, int row)
{
    const char *domain = csv_text(table, row, "domain");
    return domain && strcmp(domain, "all") == 0;
}

enum rows { WHOLE_OF_TRAINED, DOMAINS_OF_TRAINED, EVERYTHING };

static bool is_drawn(const struct report *r, const struct csv *table, int row, enum rows rows)
{
    int run = report_run_named(r, csv_text(table, row, "run"));
    bool trained = run >= 0 && !r->runs[run].baseline;
    return rows == EVERYTHING ? run >= 0 : trained && is_whole(table, row) == (rows == WHOLE_OF_TRAINED);
}

/* Ends of an axis that holds all intervals of those rows. */
static void interval_range(const struct report *r, const struct csv *table, enum rows rows, double *low,
                           double *high)
{
    static const char *const columns[] = {"low", "high", "difference", "bits_per_byte"};
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < table->n_rows; i++)
        for (int c = 0; c < 4 && is_drawn(r, table, i, rows); c++) {
            double x = csv_real(table, i, columns[c]);
            if (isfinite(x)) {
                *low = fmin(*low, x);
                *high = fmax(*high, x);
            }
        }
    double room = isfinite(*low) ? fmax(0.05 * (*high - *low), 0.005) : 0;
    *low = isfinite(*low) ? *low - room : 0;
    *high = isfinite(*high) ? *high + room : 1;
}

/* What compare counts all text in. Where vocabularies differ, those runs that share the reference's are in
 * nats per token all the same: they are left out of the picture of all text. */
static const char *unit_of_whole(const struct report *r, const struct csv *table)
{
    const char *unit = "nats/token";
    for (int i = 0; i < table->n_rows; i++) {
        const char *of = csv_text(table, i, "unit");
        if (is_whole(table, i) && of && (!r->in_bits || strstr(of, "bit")))
            unit = of;
    }
    return unit;
}

/* What the domains are counted in: bits per byte of text. */
static const char *unit_of_domains(const struct csv *table)
{
    for (int i = 0; i < table->n_rows; i++) {
        const char *of = csv_text(table, i, "unit");
        if (!is_whole(table, i) && of)
            return strcmp(of, "bits/byte") == 0 ? "bits per byte" : of;
    }
    return "bits per byte";
}

/* Trained runs named in the table's column `run`. */
static void runs_in(const struct report *r, const struct csv *table, struct run_list *list)
{
    list->n = 0;
    for (int i = 0; i < r->n_trained; i++) {
        bool there = false;
        for (int row = 0; row < table->n_rows && !there; row++) {
            const char *name = csv_text(table, row, "run");
            there = name && strcmp(name, r->runs[i].name) == 0;
        }
        if (!there)
            continue;
        list->index[list->n] = i;
        list->types[list->n] = r->runs[i].type;
        list->experts[list->n] = r->runs[i].n_experts;
        list->names[list->n++] = r->runs[i].name;
    }
}

static int draw_difference(struct report *r, struct error *err)
{
    const char *domains[MOST_DOMAINS];
    const struct csv *table = report_table(r, -1, "compare", "difference");
    struct run_list list;
    double low, high;
    if (!table)
        return 0;
    runs_in(r, table, &list);
    if (list.n == 0)
        return 0;
    struct figure *f = figures_add(&r->figures, "difference", "difference", err);
    if (!f)
        return -1;
    int n = report_domains(table, "all", domains), row = 10 + 11 * list.n;
    figure_add_domain_rows(f, NULL, table, domains, n);
    figure_set_runs(f, &list);
    figure_array_text(f, "domain", domains, n);
    figure_set_int(f, "n_domains", n);
    figure_set_text(f, "baseline", r->runs[r->reference].name);
    figure_set_text(f, "all_unit", unit_of_whole(r, table));
    figure_set_text(f, "domain_unit", unit_of_domains(table));
    interval_range(r, table, WHOLE_OF_TRAINED, &low, &high);
    figure_set_real(f, "all_low", fmin(low, 0));
    figure_set_real(f, "all_high", fmax(high, 0));
    interval_range(r, table, DOMAINS_OF_TRAINED, &low, &high);
    figure_set_real(f, "domain_low", fmin(low, 0));
    figure_set_real(f, "domain_high", fmax(high, 0));
    int whole = row < 17 * list.n ? 17 * list.n : row;
    figure_set_int(f, "row_height", whole);
    f->height = 40 + whole + 64 + n * row + 44;
    text_printf(&f->title, "Difference in loss from %s, paired by document", r->runs[r->reference].name);
    text_add(&f->caption,
             "Left of zero is better. Bars: 95 % intervals of the paired difference, over documents "
             "within domains; a filled mark's interval leaves zero out. The statement is "
             "about these trained models, not about the methods: that needs seeds.");
    if (strcmp(unit_of_domains(table), "bits per byte") == 0)
        text_add(&f->caption,
                 " Over all text in nats per token; domains in bits per byte, because bytes per token "
                 "differ between them.");
    figure_say_n(f, report_table(r, -1, "compare", "losses"), "documents", "documents");
    if (r->in_bits)
        text_add(&f->caption,
                 " Runs that share the reference's vocabulary are judged in nats per token and are "
                 "missing in the upper panel, which is in bits per byte.");
    f->table = (struct figure_table){.hidden = "row"};
    return 0;
}

/* Images have domains, their classes, and no bytes. */
static bool any_bits(const struct csv *table)
{
    for (int i = 0; i < table->n_rows; i++)
        if (isfinite(csv_real(table, i, "bits_per_byte")))
            return true;
    return false;
}

static int draw_bits(struct report *r, struct error *err)
{
    const char *domains[MOST_DOMAINS], *baselines[REPORT_RUNS];
    const struct csv *table = report_table(r, -1, "compare", "domains");
    struct run_list list;
    double low, high;
    int n_baselines = 0;
    if (!table || !any_bits(table))
        return 0;
    runs_in(r, table, &list);
    if (list.n == 0)
        return 0;
    struct figure *f = figures_add(&r->figures, "bits-per-byte", "bits-per-byte", err);
    if (!f)
        return -1;
    int n = report_domains(table, "all", domains);
    figure_add_domain_rows(f, NULL, table, domains, n);
    figure_set_runs(f, &list);
    for (int i = r->n_trained; i < r->n_runs; i++)
        baselines[n_baselines++] = r->runs[i].name;
    figure_set_int(f, "n_baselines", n_baselines);
    figure_array_text(f, "baseline", baselines, n_baselines);
    figure_array_text(f, "domain", domains, n);
    interval_range(r, table, EVERYTHING, &low, &high);
    figure_set_real(f, "low", fmax(0, low));
    figure_set_real(f, "high", high);
    f->height = 60 + n * (10 + 9 * list.n);
    text_add(&f->title, "Bits per byte by domain");
    text_add(&f->caption,
             "Loss over bytes of UTF-8 text, so that domains and vocabularies compare. Bars: 95 % "
             "intervals over the domain's documents; none below ten documents.");
    figure_say_n(f, table, "documents", "documents a domain");
    f->table = (struct figure_table){.hidden = "row"};
    return 0;
}

/* ---- cost ---- */

struct cost_points {
    const char *names[REPORT_RUNS];
    int types[REPORT_RUNS], n;
    double x[REPORT_RUNS], y[REPORT_RUNS]; /* gigaflop, loss */
    double low, high, least, most;
};

static void add_cost_row(const struct report *r, struct figure *f, int run, double gigaflop,
                         struct cost_points *p)
{
    struct estimate e = report_final(r, run);
    if (!isfinite(e.value) || !isfinite(gigaflop))
        return;
    figure_add_cell(f, r->runs[run].name);
    text_printf(&f->data, ",%.10g,%.10g,", gigaflop, e.value);
    csv_add_real(&f->data, e.low);
    text_add(&f->data, ",");
    csv_add_real(&f->data, e.high);
    text_add(&f->data, "\n");
    p->names[p->n] = r->runs[run].name;
    p->types[p->n] = r->runs[run].type;
    p->x[p->n] = gigaflop;
    p->y[p->n++] = e.value;
    p->low = fmin(p->low, isfinite(e.low) ? e.low : e.value);
    p->high = fmax(p->high, isfinite(e.high) ? e.high : e.value);
    p->least = fmin(p->least, gigaflop);
    p->most = fmax(p->most, gigaflop);
}

/* The largest unit of which the dearest run has at least one. */
static void set_cost_axis(struct figure *f, struct cost_points *p)
{
    static const char *const units[] = {"gigaflop", "teraflop", "petaflop", "exaflop", "zettaflop"};
    double scale = 1, room = fmax(0.15 * (p->most - p->least), 0.05 * p->most);
    int unit = 0;
    for (; unit < 4 && p->most >= 1000 * scale; unit++)
        scale *= 1000;
    for (int i = 0; i < p->n; i++)
        p->x[i] /= scale;
    figure_array_real(f, "label_x", p->x, p->n);
    figure_set_text(f, "cost_unit", units[unit]);
    figure_set_real(f, "cost_scale", scale);
    figure_set_real(f, "cost_low", fmax(0, p->least - room) / scale);
    figure_set_real(f, "cost_high", (p->most + 2 * room) / scale);
}

static int draw_cost(struct report *r, struct error *err)
{
    const struct csv *cost = report_table(r, -1, "compare", "cost");
    struct cost_points p = {.low = INFINITY, .high = -INFINITY, .least = INFINITY};
    if (!cost || r->n_trained < 2)
        return 0;
    struct figure *f = figures_add(&r->figures, "cost", "cost", err);
    if (!f)
        return -1;
    f->height = 300;
    text_add(&f->data, "run,gigaflop,loss,low,high\n");
    for (int i = 0; i < cost->n_rows; i++) {
        int run = report_run_named(r, csv_text(cost, i, "run"));
        if (run >= 0 && !r->runs[run].baseline)
            add_cost_row(r, f, run, csv_real(cost, i, "gigaflop"), &p);
    }
    /* Runs of equal cost make no picture; the table of runs has their figures. */
    if (p.n < 2 || p.most < 1.05 * p.least) {
        figures_drop_last(&r->figures);
        return 0;
    }
    figure_array_text(f, "run", p.names, p.n);
    figure_array_int(f, "run_type", p.types, p.n);
    set_cost_axis(f, &p);
    double room = fmax(0.1 * (p.high - p.low), 0.02);
    spread_labels(p.y, p.n, (p.high - p.low + 2 * room) * 16 / (f->height - 90), p.low, p.high);
    figure_array_real(f, "label_y", p.y, p.n);
    figure_set_real(f, "low", p.low - room);
    figure_set_real(f, "high", p.high + room);
    figure_set_text(f, "unit",
                    r->in_bits ? "final validation loss (bits per byte)"
                               : "final validation loss (nats per token)");
    text_add(&f->title, "What a run costs and what it reaches");
    text_add(&f->caption,
             "Final validation loss against the arithmetic of training (6 x active matrix weights x "
             "tokens, and attention). Bars: 95 % intervals over documents. Time is in the table of "
             "runs; it depends on the machine.");
    figure_say_n(f, report_table(r, -1, "compare", "losses"), "documents", "documents");
    f->table = (struct figure_table){.hidden = ""};
    return 0;
}

int report_loss_figures(struct report *r, struct error *err)
{
    return draw_valid_loss(r, err) != 0 || report_seed_curves(r, err) != 0 || draw_difference(r, err) != 0 ||
                   draw_bits(r, err) != 0 || report_perplexity(r, err) != 0 || draw_cost(r, err) != 0 ||
                   draw_train_loss(r, err) != 0
               ? -1
               : 0;
}
