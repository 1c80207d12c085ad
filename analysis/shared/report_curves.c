/* Two figures of losses that compare has measured: over seeds, and by how frequent a token is. */
#include <math.h>
#include <string.h>

#include "analysis/shared/report.h"

/* ---- over seeds ---- */

struct seed_curves {
    const char *names[REPORT_RUNS];
    int types[REPORT_RUNS], seeds[REPORT_RUNS], n;
    double last[REPORT_RUNS], places[REPORT_RUNS];
    double low, high;
    int64_t last_step;
};

/* Its place in the list, at the end of which it is added. */
static int seed_curve(struct seed_curves *c, const char *name)
{
    int i = 0;
    while (i < c->n && strcmp(c->names[i], name) != 0)
        i++;
    if (i == c->n && c->n < REPORT_RUNS) {
        c->names[i] = name;
        c->types[i] = 1 + i % 7;
        c->seeds[i] = 0;
        c->last[i] = NAN;
        c->n++;
    }
    return i;
}

/* Student's interval over three seeds or more; two span what there is between them. */
static struct estimate seed_band(const struct csv *table, int row)
{
    bool interval = csv_int(table, row, "seeds") >= 3;
    return (struct estimate){csv_real(table, row, "loss"), csv_real(table, row, interval ? "low" : "lowest"),
                             csv_real(table, row, interval ? "high" : "highest")};
}

static void see_seed_band(struct seed_curves *c, const struct csv *table, int row, int64_t last_step)
{
    struct estimate e = seed_band(table, row);
    int i = seed_curve(c, csv_text(table, row, "group")), seeds = csv_int(table, row, "seeds");
    int64_t step = csv_int(table, row, "step");
    if (!isfinite(e.value) || i == c->n)
        return;
    c->last[i] = e.value;
    c->seeds[i] = seeds > c->seeds[i] ? seeds : c->seeds[i];
    c->low = fmin(c->low, isfinite(e.low) ? e.low : e.value);
    if (10 * step >= last_step)
        c->high = fmax(c->high, isfinite(e.high) ? e.high : e.value);
    c->last_step = step > c->last_step ? step : c->last_step;
}

static int64_t last_step_of(const struct csv *table)
{
    int64_t last = 1;
    for (int i = 0; i < table->n_rows; i++)
        last = csv_int(table, i, "step") > last ? csv_int(table, i, "step") : last;
    return last;
}

static void set_seed_curves(struct figure *f, struct seed_curves *c)
{
    double room = fmax((c->high - c->low) * 0.06, 0.02), low = c->low - room, high = c->high + room;
    memcpy(c->places, c->last, sizeof c->places);
    spread_labels(c->places, c->n, (high - low) * 17 / (f->height - 90), low, high);
    figure_array_text(f, "group", c->names, c->n);
    figure_array_int(f, "group_type", c->types, c->n);
    figure_array_int(f, "seeds", c->seeds, c->n);
    figure_array_real(f, "final", c->last, c->n);
    figure_array_real(f, "label_y", c->places, c->n);
    figure_set_int(f, "last_step", (long)c->last_step);
    figure_set_real(f, "low", low);
    figure_set_real(f, "high", high);
}

static bool is_trained_group(const struct report *r, const char *name)
{
    int run = name ? report_run_named(r, name) : -1;
    return name && !(run >= 0 && r->runs[run].baseline);
}

static void add_seed_row(struct figure *f, const struct csv *table, int row)
{
    static const char *const columns[] = {"group", "step", "seeds",  "loss",
                                          "low",   "high", "lowest", "highest"};
    struct estimate e = seed_band(table, row);
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) {
        figure_add_cell(f, csv_text(table, row, columns[c]));
        text_add(&f->data, ",");
    }
    csv_add_real(&f->data, isfinite(e.low) ? e.low : e.value);
    text_add(&f->data, ",");
    csv_add_real(&f->data, isfinite(e.high) ? e.high : e.value);
    text_add(&f->data, "\n");
}

int report_seed_curves(struct report *r, struct error *err)
{
    const struct csv *table = report_table(r, -1, "compare", "curves");
    struct seed_curves c = {.low = INFINITY, .high = -INFINITY, .last_step = 1};
    int most = 0;
    for (int i = 0; table && i < table->n_rows; i++)
        if (is_trained_group(r, csv_text(table, i, "group"))) {
            see_seed_band(&c, table, i, last_step_of(table));
            most = csv_int(table, i, "seeds") > most ? csv_int(table, i, "seeds") : most;
        }
    if (most < 2)
        return 0;
    struct figure *f = figures_add(&r->figures, "curves", "curves", err);
    if (!f)
        return -1;
    text_add(&f->data, "group,step,seeds,loss,low,high,lowest,highest,band_low,band_high\n");
    for (int i = 0; i < table->n_rows; i++)
        if (is_trained_group(r, csv_text(table, i, "group")))
            add_seed_row(f, table, i);
    set_seed_curves(f, &c);
    text_add(&f->title, "Validation loss over seeds");
    text_add(&f->caption,
             "Mean over runs alike but for the seed, in nats per token; N, the number of seeds, stands "
             "at each line. Bands: 95 % intervals of the mean over seeds (Student's t), of two seeds "
             "what lies between them, of one none. Bands that overlap do not say that two methods are "
             "equal: their differences are paired by seed.");
    f->table = (struct figure_table){.hidden = "band_low,band_high"};
    return 0;
}

/* ---- by token frequency ---- */

struct buckets {
    const char *runs[REPORT_RUNS], *names[8];
    int types[REPORT_RUNS], n_runs, n_names;
    double places[REPORT_RUNS], low, high;
};

static int place_in(const char **names, int *n, int most, const char *name)
{
    int i = 0;
    while (i < *n && strcmp(names[i], name) != 0)
        i++;
    if (i == *n && *n < most)
        names[(*n)++] = name;
    return i;
}

static bool add_bucket_row(const struct report *r, struct figure *f, const struct csv *table, int row,
                           struct buckets *b)
{
    const char *name = csv_text(table, row, "run"), *bucket = csv_text(table, row, "bucket");
    struct estimate e = {csv_real(table, row, "perplexity"), csv_real(table, row, "perplexity_low"),
                         csv_real(table, row, "perplexity_high")};
    int of = name ? report_run_named(r, name) : -1;
    if (of < 0 || !bucket || !isfinite(e.value))
        return false;
    int run = place_in(b->runs, &b->n_runs, REPORT_RUNS, name),
        x = place_in(b->names, &b->n_names, 8, bucket);
    b->types[run] = r->runs[of].type;
    b->places[run] = e.value; /* the last one's, where the label stands */
    b->low = fmin(b->low, isfinite(e.low) ? e.low : e.value);
    b->high = fmax(b->high, isfinite(e.high) ? e.high : e.value);
    for (int c = 0; c < table->n_columns; c++) {
        figure_add_cell(f, csv_cell(table, row, c));
        text_add(&f->data, ",");
    }
    const double cells[] = {x, e.value, e.low, e.high, run + 1};
    for (size_t c = 0; c < sizeof cells / sizeof cells[0]; c++) {
        csv_add_real(&f->data, cells[c]);
        text_add(&f->data, c + 1 < sizeof cells / sizeof cells[0] ? "," : "\n");
    }
    return true;
}

/* Places of labels on a logarithmic axis. */
static void spread_logarithms(double *y, int n, double pixels, double low, double high)
{
    for (int i = 0; i < n; i++)
        y[i] = log(y[i]);
    spread_labels(y, n, (log(high) - log(low)) * 17 / pixels, log(low), log(high));
    for (int i = 0; i < n; i++)
        y[i] = exp(y[i]);
}

int report_perplexity(struct report *r, struct error *err)
{
    const struct csv *table = report_table(r, -1, "compare", "perplexity");
    struct buckets b = {.low = INFINITY, .high = 0};
    bool any = false;
    if (!table)
        return 0;
    struct figure *f = figures_add(&r->figures, "perplexity", "study-lines", err);
    if (!f)
        return -1;
    for (int c = 0; c < table->n_columns; c++)
        text_printf(&f->data, "%s,", csv_name(table, c));
    text_add(&f->data, "x,y,y_low,y_high,group\n");
    for (int i = 0; i < table->n_rows; i++)
        any = add_bucket_row(r, f, table, i, &b) || any;
    if (!any) {
        figures_drop_last(&r->figures);
        return 0;
    }
    double low = b.low / 1.12, high = b.high * 1.12;
    spread_logarithms(b.places, b.n_runs, f->height - 90, low, high);
    figure_array_text(f, "label", b.runs, b.n_runs);
    figure_array_int(f, "type", b.types, b.n_runs);
    figure_array_real(f, "place", b.places, b.n_runs);
    figure_array_text(f, "tic", b.names, b.n_names);
    figure_set_int(f, "named", 1);
    figure_set_real(f, "first", 0);
    figure_set_real(f, "last", b.n_names > 1 ? b.n_names - 1 : 1);
    figure_set_real(f, "low", low);
    figure_set_real(f, "high", high);
    figure_set_int(f, "log_y", 1);
    figure_set_int(f, "zero", 0);
    figure_set_real(f, "margin", 0);
    figure_set_text(f, "x_label", "the token to be predicted: its place by frequency in the train split");
    figure_set_text(f, "unit", "perplexity (logarithmic axis)");
    text_add(&f->title, "Perplexity of frequent and of rare tokens");
    text_add(
        &f->caption,
        "Exponential of the mean loss over the held-out tokens of a bucket: the most frequent ids that make "
        "up "
        "half of the train tokens, those from there to 80 %, to 95 %, and the rest. Bars: 95 % intervals "
        "from "
        "resampling documents within domains, missing where a domain has fewer than ten documents with such "
        "tokens. Whether two runs differ is judged on the same tokens: compare --by target-frequency.");
    figure_say_n(f, table, "documents", "documents");
    figure_say_n(f, table, "tokens", "tokens a bucket");
    f->table = (struct figure_table){.hidden = "x,y,y_low,y_high,group"};
    return 0;
}
