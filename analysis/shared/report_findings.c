/* The words that the page opens with. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/report_page.h"

/* ---- verdicts ---- */

/* Good news, bad news, or neither: the word says it, the colour helps. */
static const char *tone(const char *verdict)
{
    static const char *const good[] = {"healthy", "better", "specialised", "told apart", "settled"};
    static const char *const bad[] = {"collapsed",    "everything on", "censored",
                                      "dead experts", "worse",         "balanced but indifferent",
                                      "indifferent",  "unchanged",     "not compared"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (strcmp(verdict, good[i]) == 0)
            return "good";
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (strcmp(verdict, bad[i]) == 0)
            return "bad";
    return "plain";
}

void page_add_finding(struct page *p, const char *who, const char *verdict, const char *text)
{
    size_t n = who ? strlen(who) : 0;
    if (n > 0 && strncmp(text, who, n) == 0 && text[n] == ':')
        text += n + 1 + (text[n + 1] == ' ');
    text_add(p->html, "<li><div>");
    if (who) {
        text_add(p->html, "<b>");
        text_add_html(p->html, who);
        text_add(p->html, "</b> ");
    }
    if (verdict && *verdict) {
        text_printf(p->html, "<span class=\"tag %s\">", tone(verdict));
        text_add_html(p->html, verdict);
        text_add(p->html, "</span>");
    }
    text_add(p->html, "</div><div>");
    text_add_html(p->html, text);
    text_add(p->html, ".</div>\n");
}

/* The logbook's path is where somebody keeps it; a page says its name. */
static void add_without_path(struct text *t, const char *text, const char *path)
{
    const char *slash = strrchr(path, '/'), *found;
    while (slash && (found = strstr(text, path)) != NULL) {
        text_add_bytes(t, text, (size_t)(found - text));
        text_add(t, slash + 1);
        text = found + strlen(path);
    }
    text_add(t, text);
}

static void add_verdict_row(struct page *p, const char *run, const struct csv *table, int row)
{
    const char *verdict = csv_text(table, row, "verdict"), *text = csv_text(table, row, "text");
    struct text t;
    text_init(&t);
    add_without_path(&t, text ? text : "", p->report->db);
    if (text)
        page_add_finding(p, run, verdict, t.data);
    p->html->failed = p->html->failed || t.failed;
    text_release(&t);
}

void page_add_all_verdicts(struct page *p, int run, const char *verb)
{
    const struct csv *table = report_table(p->report, run, verb, "verdict");
    if (!table)
        return;
    text_add(p->html, "<ul class=findings>\n");
    for (int i = 0; i < table->n_rows; i++)
        add_verdict_row(p, csv_text(table, i, "subject"), table, i);
    text_add(p->html, "</ul>\n");
}

/* ---- findings ---- */

static void add_interval(struct text *t, int decimals, struct estimate e)
{
    if (!isfinite(e.value))
        text_add(t, "–");
    else
        text_printf(t, "%.*f", decimals, e.value);
    if (isfinite(e.low) && isfinite(e.high))
        text_printf(t, " (%.*f to %.*f)", decimals, e.low, decimals, e.high);
}

/* ", 0.88 below bigram (4.84)" for each baseline that has a loss. */
static void add_beside_baselines(struct text *t, const struct report *r, double loss)
{
    const char *separator = "; ";
    for (int i = r->n_trained; i < r->n_runs; i++) {
        double baseline = report_final(r, i).value;
        if (!isfinite(baseline))
            continue;
        text_printf(t, "%s%.2f %s %s (%.2f)", separator, fabs(loss - baseline),
                    loss <= baseline ? "below" : "above", r->runs[i].name, baseline);
        separator = ", ";
    }
}

double report_cost(const struct report *r, int run, const char *column)
{
    const struct csv *cost = report_table(r, -1, "compare", "cost");
    for (int i = 0; cost && i < cost->n_rows; i++)
        if (report_run_named(r, csv_text(cost, i, "run")) == run)
            return csv_real(cost, i, column);
    return NAN;
}

/* text_duration whose parts stay on one line. */
static void add_duration(struct text *t, double seconds)
{
    char buffer[32];
    for (const char *c = text_duration(buffer, seconds); *c; c++)
        text_add_bytes(t, *c == ' ' ? "\u00a0" : c, *c == ' ' ? strlen("\u00a0") : 1);
}

static void add_cost_words(struct text *t, const struct report *r, int run)
{
    char a[32];
    double active = report_cost(r, run, "active_parameters"), all = report_cost(r, run, "parameters");
    double tokens = report_cost(r, run, "tokens"), seconds = report_cost(r, run, "seconds");
    bool sparse = active < 0.98 * all;
    if (isfinite(all))
        text_add(t, "; ");
    if (isfinite(all) && sparse)
        text_printf(t, "%s of ", text_count(a, active));
    if (isfinite(all))
        text_printf(t, "%s parameters%s", text_count(a, all), sparse ? " active" : "");
    if (isfinite(tokens) && isfinite(seconds)) {
        text_printf(t, ", %s tokens in ", text_count(a, tokens));
        add_duration(t, seconds);
    }
}

static int compare_loss(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (x[0] > y[0]) - (x[0] < y[0]);
}

/* What each run reaches and costs, the lowest loss first. */
static void add_reach(struct page *p)
{
    const struct report *r = p->report;
    double order[REPORT_RUNS][2];
    int n = 0;
    for (int i = 0; i < r->n_trained; i++)
        if (isfinite(report_final(r, i).value)) {
            order[n][0] = report_final(r, i).value;
            order[n++][1] = i;
        }
    qsort(order, (size_t)n, sizeof order[0], compare_loss);
    if (n > 0)
        text_add(p->html, "<h3>What the runs reach and cost</h3>\n<ul class=findings>\n");
    for (int i = 0; i < n; i++) {
        int run = (int)order[i][1];
        struct text t;
        text_init(&t);
        bool of_text = isfinite(report_final_bits(r, run).value); /* an image has no bytes of text */
        if (!r->in_bits) {
            add_interval(&t, 2, report_final_loss(r, run));
            text_add(&t, of_text ? " nats per token, " : " nats per token");
        }
        if (of_text) {
            add_interval(&t, 3, report_final_bits(r, run));
            text_add(&t, " bits per byte");
        }
        add_beside_baselines(&t, r, order[i][0]);
        add_cost_words(&t, r, run);
        page_add_finding(p, r->runs[run].name, NULL, t.data);
        p->html->failed = p->html->failed || t.failed;
        text_release(&t);
    }
    text_add(p->html, n ? "</ul>\n" : "");
}

/* Which of them is better, where compare could say. */
static void add_better(struct page *p)
{
    const struct report *r = p->report;
    const struct csv *table = report_table(r, -1, "compare", "verdict");
    int n = 0;
    for (int i = 0; table && i < table->n_rows; i++) {
        int run = report_run_named(r, csv_text(table, i, "subject"));
        if (run < 0 || r->runs[run].baseline)
            continue;
        if (n++ == 0)
            text_add(p->html, "<h3>Which is better</h3>\n<ul class=findings>\n");
        add_verdict_row(p, r->runs[run].name, table, i);
    }
    text_add(p->html, n ? "</ul>\n" : "");
}

/* The same over seeds, where there are some: about methods, not about these models. */
static void add_better_methods(struct page *p)
{
    const struct csv *table = report_table(p->report, -1, "compare", "seeds");
    int n = 0;
    for (int i = 0; table && i < table->n_rows; i++) {
        const char *group = csv_text(table, i, "group"), *baseline = csv_text(table, i, "baseline");
        const char *unit = csv_text(table, i, "unit");
        struct estimate e = {csv_real(table, i, "difference"), csv_real(table, i, "low"),
                             csv_real(table, i, "high")};
        struct text t;
        if (!group || !baseline || !isfinite(e.value) || csv_int(table, i, "seeds") < 2)
            continue;
        text_init(&t);
        add_interval(&t, 3, e);
        text_printf(&t, " %s against %s, paired over %d seeds; below 0 is better, 95 %% interval over seeds",
                    unit ? unit : "", baseline, csv_int(table, i, "seeds"));
        if (n++ == 0)
            text_add(p->html, "<h3>Which method is better, over seeds</h3>\n<ul class=findings>\n");
        page_add_finding(p, group, csv_text(table, i, "verdict"), t.data);
        p->html->failed = p->html->failed || t.failed;
        text_release(&t);
    }
    text_add(p->html, n ? "</ul>\n" : "");
}

int report_best_layer(const struct report *r, int run)
{
    const struct csv *table = report_table(r, run, "specialization", "information");
    double most = -INFINITY, step = -1;
    int layer = -1;
    for (int i = 0; table && i < table->n_rows; i++) {
        const char *label = csv_text(table, i, "label");
        double of = csv_real(table, i, "step"), value = csv_real(table, i, "mutual_information");
        if (!label || strcmp(label, "domain") != 0 || !(of >= step))
            continue;
        if (of > step || value > most) {
            most = value;
            layer = csv_int(table, i, "layer");
        }
        step = of;
    }
    return layer;
}

static int compare_clients(const void *a, const void *b)
{
    const struct client *x = a, *y = b;
    return (x->lift < y->lift) - (x->lift > y->lift);
}

int report_clients(const struct csv *lift, int layer, int expert, double least,
                   struct client clients[MOST_CLIENTS])
{
    int n = 0;
    for (int i = 0; i < lift->n_rows && n < MOST_CLIENTS; i++) {
        struct client c = {csv_int(lift, i, "expert"), csv_text(lift, i, "domain"), csv_real(lift, i, "lift"),
                           csv_real(lift, i, "low"), csv_real(lift, i, "high")};
        if (csv_int(lift, i, "layer") == layer && (expert < 0 || c.expert == expert) && c.lift >= least &&
            csv_real(lift, i, "q") < 0.05 && c.domain)
            clients[n++] = c;
    }
    qsort(clients, (size_t)n, sizeof clients[0], compare_clients);
    return n;
}

double report_mean_share(const struct csv *lift, int layer, int expert)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < lift->n_rows; i++)
        if (csv_int(lift, i, "layer") == layer && csv_int(lift, i, "expert") == expert &&
            isfinite(csv_real(lift, i, "share"))) {
            sum += csv_real(lift, i, "share");
            n++;
        }
    return n ? sum / n : NAN;
}

/* "bible ×7.3 (6.9–7.8)", kept on one line. */
static void add_client(struct text *t, const struct client *c)
{
    text_printf(t, "%s\u00a0×%.1f", c->domain, c->lift);
    if (isfinite(c->low) && isfinite(c->high))
        text_printf(t, "\u00a0(%.1f–\u2060%.1f)", c->low, c->high);
}

/* What an expert would have of a domain's tokens if all had alike: k / N, from the shares themselves, since k
 * may vary by token. NaN: no shares. */
static double even_share(const struct csv *lift, int layer)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < lift->n_rows; i++)
        if (csv_int(lift, i, "layer") == layer && isfinite(csv_real(lift, i, "share"))) {
            sum += csv_real(lift, i, "share");
            n++;
        }
    return n ? sum / n : NAN;
}

/* "layer 2: expert 13 serves sayings_es ×8.1 (7.7–8.4); expert 2 sayings_ru ×7.0 (...), man_ru ×4.8 (...)":
 * the strongest preferences, of experts with at least a quarter of an even load: a rare expert is rarely
 * anybody's. */
static void add_served(struct page *p, int run)
{
    enum { SHOWN_EXPERTS = 6, SHOWN_DOMAINS = 2 };
    const struct csv *lift = report_table(p->report, run, "specialization", "lift");
    struct client all[MOST_CLIENTS], own[MOST_CLIENTS];
    struct text t;
    int layer = report_best_layer(p->report, run), said[SHOWN_EXPERTS], n_said = 0;
    double even = lift && layer >= 0 ? even_share(lift, layer) : NAN;
    int n = lift && layer >= 0 ? report_clients(lift, layer, -1, 1.5, all) : 0;
    text_init(&t);
    for (int i = 0; i < n && n_said < SHOWN_EXPERTS; i++) {
        int expert = all[i].expert, j = 0;
        while (j < n_said && said[j] != expert)
            j++;
        if (j < n_said || !(report_mean_share(lift, layer, expert) >= even / 4))
            continue;
        if (n_said == 0)
            text_printf(&t, "layer %d, lift and 95 %% interval: ", layer);
        text_printf(&t, n_said ? "; expert\u00a0%d " : "expert\u00a0%d serves ", expert);
        int n_own = report_clients(lift, layer, expert, 1.5, own);
        for (int k = 0; k < n_own && k < SHOWN_DOMAINS; k++) {
            text_add(&t, k ? ", " : "");
            add_client(&t, &own[k]);
        }
        said[n_said++] = expert;
    }
    if (n_said > 0)
        page_add_finding(p, NULL, "serves", t.data);
    p->html->failed = p->html->failed || t.failed;
    text_release(&t);
}

/* The lines about the run as a whole, its name before the first; of specialization also who serves whom. */
static void add_headlines(struct page *p, int run, const char *verb)
{
    const struct csv *table = report_table(p->report, run, verb, "verdict");
    const char *name = p->report->runs[run].name;
    int n = 0;
    for (int i = 0; table && i < table->n_rows; i++) {
        const char *subject = csv_text(table, i, "subject");
        if (subject && strcmp(subject, "run") == 0)
            add_verdict_row(p, n++ ? NULL : name, table, i);
    }
    if (n == 0 && table)
        add_verdict_row(p, name, table, 0);
    if (table && strcmp(verb, "specialization") == 0)
        add_served(p, run);
}

const char *report_load_word(const struct report *r, int run)
{
    const struct csv *table = report_table(r, run, "collapse", "verdict");
    for (int i = 0; table && i < table->n_rows; i++) {
        const char *subject = csv_text(table, i, "subject");
        if (subject && strcmp(subject, "run") == 0)
            return csv_text(table, i, "verdict");
    }
    return NULL;
}

static void add_question(struct page *p, const char *question, const char *verb)
{
    const struct report *r = p->report;
    bool any = false;
    for (int i = 0; i < r->n_runs; i++)
        any = any || report_table(r, i, verb, "verdict");
    if (!any)
        return;
    text_printf(p->html, "<h3>%s</h3>\n<ul class=findings>\n", question);
    for (int i = 0; i < r->n_runs; i++)
        add_headlines(p, i, verb);
    text_add(p->html, "</ul>\n");
}

void page_add_findings(struct page *p)
{
    text_add(p->html, "<section id=findings>\n<h2>Findings</h2>\n");
    add_reach(p);
    add_better(p);
    add_better_methods(p);
    add_question(p, "Do the routers collapse", "collapse");
    add_question(p, "Which experts serve what", "specialization");
    add_question(p, "How many experts the layers spread over", "demand");
    text_add(p->html, "</section>\n");
}
