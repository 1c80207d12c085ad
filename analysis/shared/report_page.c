/* The page: what was found, in words; the runs; figures with their captions and data; where it all comes
 * from. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/html.h"
#include "analysis/shared/report.h"

struct page {
    struct text *html;
    const struct report *report;
    const char *link; /* from the page to the figures' folder; NULL when that is not known */
    struct colours colours;
    int n_figures;
};

static const char *behind_slash(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The folder's last name when it lies beside the page. */
static const char *link_to(const char *page, const char *folder)
{
    size_t of_page = (size_t)(behind_slash(page) - page), of_folder = (size_t)(behind_slash(folder) - folder);
    return of_page == of_folder && strncmp(page, folder, of_page) == 0 ? folder + of_folder : NULL;
}

static int add_figures(struct page *p, const char *script, struct error *err)
{
    const struct figures *all = &p->report->figures;
    for (int i = 0; i < all->n; i++)
        if (strcmp(all->items[i]->script, script) == 0 &&
            html_add_figure(p->html, all->items[i], ++p->n_figures, p->report->folder, p->link, &p->colours,
                            err) != 0)
            return -1;
    return 0;
}

static int add_figure_list(struct page *p, const char *const *scripts, struct error *err)
{
    for (; *scripts; scripts++)
        if (add_figures(p, *scripts, err) != 0)
            return -1;
    return 0;
}

/* ---- verdicts ---- */

/* Good news, bad news, or neither: the word says it, the colour helps. */
static const char *tone(const char *verdict)
{
    static const char *const good[] = {"healthy", "better", "specialised", "told apart", "settled"};
    static const char *const bad[] = {"collapsed",   "censored",  "worse",
                                      "indifferent", "unchanged", "indifferent and unchanged",
                                      "not compared"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (strcmp(verdict, good[i]) == 0)
            return "good";
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (strcmp(verdict, bad[i]) == 0)
            return "bad";
    return "plain";
}

/* One finding: who and what on the left, the sentence beside it without the name it may begin with. */
static void add_finding(struct page *p, const char *who, const char *verdict, const char *text)
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

static void add_verdict_row(struct page *p, const char *run, const struct csv *table, int row)
{
    const char *verdict = csv_text(table, row, "verdict"), *text = csv_text(table, row, "text");
    if (text)
        add_finding(p, run, verdict ? verdict : "", text);
}

/* Everything an analysis said, behind a click. */
static void add_all_verdicts(struct page *p, int run, const char *verb)
{
    const struct csv *table = report_table(p->report, run, verb, "verdict");
    if (!table)
        return;
    text_add(p->html, "<details><summary>All that <code>");
    text_printf(p->html, "%s</code> says", verb);
    if (run >= 0) {
        text_add(p->html, " of ");
        text_add_html(p->html, p->report->runs[run].name);
    }
    text_printf(p->html, " (%d)</summary><ul class=findings>\n", table->n_rows);
    for (int i = 0; i < table->n_rows; i++)
        add_verdict_row(p, csv_text(table, i, "subject"), table, i);
    text_add(p->html, "</ul></details>\n");
}

/* What could not be said, and why: once for each reason. */
static void add_problems(struct page *p, const char *verb)
{
    const struct report *r = p->report;
    for (int i = 0; i < r->n_sources; i++) {
        const struct report_source *s = &r->sources[i];
        bool said = false;
        for (int j = 0; j < i && s->problem && !said; j++)
            said = r->sources[j].problem && r->sources[j].run == s->run &&
                   strcmp(r->sources[j].verb, s->verb) == 0 && strcmp(r->sources[j].problem, s->problem) == 0;
        if (!s->problem || said || strcmp(s->verb, verb) != 0)
            continue;
        text_printf(p->html, "<p class=note>Not here: %s, table %s", s->verb, s->table);
        if (s->run >= 0) {
            text_add(p->html, " of ");
            text_add_html(p->html, r->runs[s->run].name);
        }
        text_add(p->html, ": ");
        text_add_html(p->html, s->problem);
        text_add(p->html, "</p>\n");
    }
}

/* Runs that an analysis of routing has nothing to say of. */
static void add_dense_note(struct page *p)
{
    const struct report *r = p->report;
    int n = 0;
    for (int i = 0; i < r->n_trained; i++)
        if (r->runs[i].n_layers == 0) {
            text_add(p->html, n++ ? ", " : "<p class=note>Without MoE layers, hence not in this section: ");
            text_add_html(p->html, r->runs[i].name);
        }
    text_add(p->html, n ? ".</p>\n" : "");
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
        double baseline = report_final_loss(r, i).value;
        if (!isfinite(baseline))
            continue;
        text_printf(t, "%s%.2f %s %s (%.2f)", separator, fabs(loss - baseline),
                    loss <= baseline ? "below" : "above", r->runs[i].name, baseline);
        separator = ", ";
    }
}

static double cost_of(const struct report *r, int run, const char *column)
{
    const struct csv *cost = report_table(r, -1, "compare", "cost");
    for (int i = 0; cost && i < cost->n_rows; i++)
        if (report_run_named(r, csv_text(cost, i, "run")) == run)
            return csv_real(cost, i, column);
    return NAN;
}

static void add_cost_words(struct text *t, const struct report *r, int run)
{
    char a[32], b[32];
    double active = cost_of(r, run, "active_parameters"), all = cost_of(r, run, "parameters");
    double tokens = cost_of(r, run, "tokens"), seconds = cost_of(r, run, "seconds");
    if (isfinite(active) && isfinite(all))
        text_printf(t, ", with %s of %s parameters active", text_count(a, active), text_count(b, all));
    if (isfinite(tokens) && isfinite(seconds))
        text_printf(t, ", after %s tokens in %s", text_count(a, tokens), text_duration(b, seconds));
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
        if (isfinite(report_final_loss(r, i).value)) {
            order[n][0] = report_final_loss(r, i).value;
            order[n++][1] = i;
        }
    qsort(order, (size_t)n, sizeof order[0], compare_loss);
    if (n > 0)
        text_add(p->html, "<h3>What the runs reach and cost</h3>\n<ul class=findings>\n");
    for (int i = 0; i < n; i++) {
        int run = (int)order[i][1];
        struct text t;
        text_init(&t);
        add_interval(&t, 2, report_final_loss(r, run));
        text_add(&t, " nats per token, ");
        add_interval(&t, 3, report_final_bits(r, run));
        text_add(&t, " bits per byte");
        add_beside_baselines(&t, r, order[i][0]);
        add_cost_words(&t, r, run);
        add_finding(p, r->runs[run].name, NULL, t.data);
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

/* The layer that tells domains apart best at the last step; -1 when that is not known. */
static int best_layer(const struct report *r, int run)
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

/* The line about the run as a whole; of specialization also who serves whom in its best layer. */
static int add_headlines(struct page *p, int run, const char *verb)
{
    const struct csv *table = report_table(p->report, run, verb, "verdict");
    char best[32];
    int n = 0; /* the name once, for the first */
    snprintf(best, sizeof best, "layer %d", best_layer(p->report, run));
    for (int i = 0; table && i < table->n_rows; i++) {
        const char *subject = csv_text(table, i, "subject"), *verdict = csv_text(table, i, "verdict");
        bool whole = subject && strcmp(subject, "run") == 0;
        bool experts = subject && verdict && strcmp(verdict, "experts") == 0 && strcmp(subject, best) == 0;
        if (whole || experts)
            add_verdict_row(p, n++ ? NULL : p->report->runs[run].name, table, i);
    }
    if (n == 0 && table)
        add_verdict_row(p, p->report->runs[run].name, table, 0);
    return table != NULL;
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

static void add_findings(struct page *p)
{
    text_add(p->html, "<section id=findings>\n<h2>Findings</h2>\n");
    add_reach(p);
    add_better(p);
    add_question(p, "Do the routers collapse", "collapse");
    add_question(p, "Which experts serve what", "specialization");
    add_question(p, "How many experts the layers spread over", "demand");
    text_add(p->html, "</section>\n");
}

/* ---- the table of runs ---- */

/* The run's line as the figures draw it. */
static void add_swatch(struct page *p, const struct report_run *run)
{
    static const struct {
        unsigned rgb;
        const char *dash, *mark;
    } types[] = {{0x0072b2, "none", "<circle cx=13 cy=6 r=2.6 "},
                 {0xd55e00, "9 3", "<path d=\"M10.4 3.4h5.2v5.2h-5.2z\" "},
                 {0x009e73, "3 2", "<path d=\"M13 2.4l3.4 6h-6.8z\" "},
                 {0xcc79a7, "9 3 2 3", "<path d=\"M13 2.2l3.6 3.8-3.6 3.8-3.6-3.8z\" "},
                 {0xe69f00, "14 3", "<path d=\"M13 9.6l3.4-6h-6.8z\" "},
                 {0x56b4e9, "6 2 2 2 2 2", "<circle cx=13 cy=6 r=2.6 "},
                 {0x000000, "1.5 2", "<path d=\"M10.4 3.4h5.2v5.2h-5.2z\" "}};
    int type = (run->type - 1) % 7;
    char colour[32] = "currentColor";
    if (types[type].rgb)
        snprintf(colour, sizeof colour, "var(--c%d)", colours_find(&p->colours, types[type].rgb));
    if (run->baseline)
        text_add(p->html, "<svg class=swatch viewBox=\"0 0 26 12\" aria-hidden=true><path d=\"M0 6h26\" "
                          "stroke=\"var(--muted)\" stroke-width=1.2 stroke-dasharray=\"4 3\"/></svg>");
    else
        text_printf(
            p->html,
            "<svg class=swatch viewBox=\"0 0 26 12\" aria-hidden=true fill=\"%s\"><path d=\"M0 6h26\" "
            "stroke=\"%s\" stroke-width=2 stroke-dasharray=\"%s\"/>%s/></svg>",
            colour, colour, types[type].dash, types[type].mark);
}

/* The worst state and how many layers are in it. */
static void add_state(struct text *t, const struct report *r, int run)
{
    static const char *const states[] = {"collapsed", "censored", "transient"};
    const struct csv *onset = report_table(r, run, "collapse", "onset");
    for (size_t s = 0; onset && s < sizeof states / sizeof states[0]; s++) {
        int n = 0;
        for (int i = 0; i < onset->n_rows; i++) {
            const char *state = csv_text(onset, i, "state");
            n += state && strcmp(state, states[s]) == 0;
        }
        if (n > 0) {
            text_printf(t, "%s<br><small>%d of %d layers</small>", states[s], n, onset->n_rows);
            return;
        }
    }
    text_add(t, onset ? "healthy" : "–");
}

/* Two lines: a figure and, smaller, what belongs to it; dashes where either is not known. */
static void add_parameters_cell(struct page *p, int run)
{
    char a[32], b[32];
    double active = cost_of(p->report, run, "active_parameters"), all = cost_of(p->report, run, "parameters");
    if (isfinite(active) && isfinite(all) && all > 0)
        text_printf(p->html, "<td>%s<br><small>of %s</small>", text_count(a, active), text_count(b, all));
    else
        text_add(p->html, "<td>–");
}

static void add_training_cell(struct page *p, int run)
{
    char a[32], b[32];
    double tokens = cost_of(p->report, run, "tokens"), seconds = cost_of(p->report, run, "seconds");
    double rate = cost_of(p->report, run, "tokens_per_second");
    if (p->report->runs[run].baseline || !isfinite(tokens)) {
        text_add(p->html, "<td>–");
        return;
    }
    text_printf(p->html, "<td>%s tokens", text_count(a, tokens));
    if (isfinite(seconds))
        text_printf(p->html, "<br><small>%s", text_duration(a, seconds));
    if (isfinite(seconds) && isfinite(rate))
        text_printf(p->html, ", %s/s", text_count(b, rate));
    text_add(p->html, isfinite(seconds) ? "</small>" : "");
}

static void add_interval_cell(struct page *p, struct estimate e)
{
    if (isfinite(e.value))
        text_printf(p->html, "<td>%.3f", e.value);
    else
        text_add(p->html, "<td>–");
    if (isfinite(e.low) && isfinite(e.high))
        text_printf(p->html, "<br><small>%.3f to %.3f</small>", e.low, e.high);
}

static void add_router_cell(struct page *p, const struct report_run *run)
{
    text_add(p->html, "<td class=l>");
    if (run->baseline)
        text_add(p->html, "counts words");
    else if (run->n_layers == 0)
        text_add(p->html, "dense");
    else {
        text_add_html(p->html, run->router);
        if (run->k > 0)
            text_printf(p->html, ", %d of %d", run->k, run->n_experts);
        else
            text_printf(p->html, ", of %d", run->n_experts);
    }
}

static void add_run_row(struct page *p, int run)
{
    const struct report *r = p->report;
    const struct report_run *of = &r->runs[run];
    text_add(p->html, "<tr><th class=l>");
    add_swatch(p, of);
    text_add_html(p->html, of->name);
    if (strcmp(of->status, "finished") != 0) {
        text_add(p->html, " <span class=\"tag bad\">");
        text_add_html(p->html, of->status);
        text_add(p->html, "</span>");
    }
    add_router_cell(p, of);
    add_parameters_cell(p, run);
    add_training_cell(p, run);
    add_interval_cell(p, report_final_loss(r, run));
    add_interval_cell(p, report_final_bits(r, run));
    text_add(p->html, "<td class=l>");
    add_state(p->html, r, run);
    text_add(p->html, "\n");
}

static void add_runs(struct page *p)
{
    const struct report *r = p->report;
    text_add(p->html,
             "<section id=runs>\n<h2>The runs</h2>\n<div class=scroll tabindex=0><table class=runs><thead>"
             "<tr><th class=l>Run<th class=l>Router<th>Parameters<br>active<th>Training"
             "<th>Validation loss,<br>nats per token<th>Bits per byte<th class=l>Load\n<tbody>\n");
    for (int i = 0; i < r->n_runs; i++)
        add_run_row(p, i);
    text_add(
        p->html,
        "</table></div>\n<p class=note>Below the losses: 95 % intervals from resampling held-out documents "
        "within domains. They are about these trained models on other documents; what another seed "
        "would give they do not say.</p>\n");
    const struct csv *reasons = report_table(r, -1, "compare", "incomparable");
    for (int i = 0; reasons && i < reasons->n_rows; i++) {
        text_add(p->html, "<p class=note>To keep in mind: ");
        text_add_html(p->html, csv_text(reasons, i, "reason"));
        text_add(p->html, "</p>\n");
    }
    const struct csv *config = report_table(r, -1, "compare", "config");
    if (config) {
        text_printf(p->html, "<details><summary>Settings in which the runs differ (%d)</summary>\n",
                    config->n_rows);
        html_add_table(p->html, config, "", 500, "the tables");
        text_add(p->html, "</details>\n");
    }
    add_all_verdicts(p, -1, "compare");
    add_problems(p, "compare");
    text_add(p->html, "</section>\n");
}

/* ---- whom experts serve ---- */

struct client { /* a domain that an expert serves */
    const char *domain;
    double lift, low, high;
};

static int compare_clients(const void *a, const void *b)
{
    const struct client *x = a, *y = b;
    return (x->lift < y->lift) - (x->lift > y->lift);
}

enum { MOST_CLIENTS = 256, SHOWN_CLIENTS = 4, SHOWN_TOKENS = 8 };

static void add_clients(struct page *p, const struct csv *lift, int layer, int expert)
{
    struct client clients[MOST_CLIENTS];
    int n = 0;
    for (int i = 0; i < lift->n_rows && n < MOST_CLIENTS; i++)
        if (csv_int(lift, i, "layer") == layer && csv_int(lift, i, "expert") == expert &&
            csv_real(lift, i, "lift") >= 1.2 && csv_real(lift, i, "q") < 0.05)
            clients[n++] = (struct client){csv_text(lift, i, "domain"), csv_real(lift, i, "lift"),
                                           csv_real(lift, i, "low"), csv_real(lift, i, "high")};
    qsort(clients, (size_t)n, sizeof clients[0], compare_clients);
    text_add(p->html, "<td class=l>");
    for (int i = 0; i < n && i < SHOWN_CLIENTS; i++) {
        text_add(p->html, i ? ", " : "");
        text_add_html(p->html, clients[i].domain ? clients[i].domain : "");
        text_printf(p->html, "&nbsp;×%.1f", clients[i].lift);
        if (isfinite(clients[i].low) && isfinite(clients[i].high))
            text_printf(p->html, "&nbsp;<small>(%.1f–%.1f)</small>", clients[i].low, clients[i].high);
    }
    text_add(p->html, n > SHOWN_CLIENTS ? ", …" : n == 0 ? "–" : "");
}

/* Blanks and line ends are made visible: they are what distinguishes many tokens. */
static void add_token(struct page *p, const char *token)
{
    text_add(p->html, "<code>");
    for (; *token; token++) {
        char one[2] = {*token, '\0'};
        text_add_html(p->html, *token == ' ' ? "␣" : *token == '\n' ? "↵" : *token == '\t' ? "⇥" : one);
    }
    text_add(p->html, "</code> ");
}

static void add_favourites(struct page *p, const struct csv *tokens, int layer, int expert)
{
    int shown = 0;
    text_add(p->html, "<td class=l>");
    for (int i = 0; tokens && i < tokens->n_rows && shown < SHOWN_TOKENS; i++) {
        const char *token = csv_text(tokens, i, "token");
        if (!token || csv_int(tokens, i, "layer") != layer || csv_int(tokens, i, "expert") != expert)
            continue;
        add_token(p, token);
        shown++;
    }
    text_add(p->html, shown ? "" : "–");
}

/* The expert's mean share over domains: all domains have as many documents in the probe. */
static double mean_share(const struct csv *lift, int layer, int expert)
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

static void add_experts_of_layer(struct page *p, int run, const struct moe_layer *layer)
{
    const struct csv *lift = report_table(p->report, run, "specialization", "lift");
    const struct csv *tokens = report_table(p->report, run, "specialization", "tokens");
    text_add(
        p->html,
        "<div class=scroll tabindex=0><table class=experts><thead><tr><th>Expert<th>Share of<br>tokens"
        "<th class=l>Serves (lift, 95 %)<th class=l>Tokens it gets more often than others do\n<tbody>\n");
    for (int e = 0; e < layer->n_experts; e++) {
        text_printf(p->html, "<tr><td>%d<td>%.1f&nbsp;%%", e, 100 * mean_share(lift, layer->layer, e));
        add_clients(p, lift, layer->layer, e);
        add_favourites(p, tokens, layer->layer, e);
        text_add(p->html, "\n");
    }
    text_add(p->html, "</table></div>\n");
}

/* The best layer in the open, the others behind a click. */
static void add_experts(struct page *p, int run)
{
    const struct report_run *of = &p->report->runs[run];
    int best = best_layer(p->report, run);
    if (!report_table(p->report, run, "specialization", "lift"))
        return;
    text_add(p->html, "<h3>Experts of ");
    text_add_html(p->html, of->name);
    text_add(p->html, "</h3>\n");
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < of->n_layers; i++) {
            if ((of->layers[i].layer == best) != (pass == 0))
                continue;
            if (pass == 0)
                text_printf(p->html, "<p class=group>Layer %d, which tells domains apart best</p>\n", best);
            else
                text_printf(p->html, "<details><summary>Layer %d</summary>\n", of->layers[i].layer);
            add_experts_of_layer(p, run, &of->layers[i]);
            text_add(p->html, pass ? "</details>\n" : "");
        }
}

/* ---- sections ---- */

/* A table that no figure shows, behind a click. */
static void add_extra(struct page *p, int run, const char *verb, const char *table, const char *title)
{
    const struct csv *data = report_table(p->report, run, verb, table);
    char file[96];
    if (!data)
        return;
    text_printf(p->html, "<details><summary>%s", title);
    if (run >= 0) {
        text_add(p->html, ": ");
        text_add_html(p->html, p->report->runs[run].name);
    }
    text_printf(p->html, " (%d rows)</summary>\n", data->n_rows);
    snprintf(file, sizeof file, "tables/…%s-%s.csv", verb, table);
    html_add_table(p->html, data, "", 240, file);
    text_add(p->html, "</details>\n");
}

static int add_reached(struct page *p, struct error *err)
{
    static const char *const figures[] = {"loss", "difference", "bits-per-byte", "cost", "train-loss", NULL};
    text_add(p->html, "<section id=loss>\n<h2>What the runs reach</h2>\n");
    if (p->report->n_runs < 2)
        text_add(p->html,
                 "<p class=note>One run alone: nothing to compare it with. Baselines that count words "
                 "(model.kind = unigram, bigram) and a dense run make its loss readable.</p>\n");
    if (add_figure_list(p, figures, err) != 0)
        return -1;
    text_add(p->html, "</section>\n");
    return 0;
}

static int add_load(struct page *p, struct error *err)
{
    static const char *const figures[] = {"effective-experts", "load", NULL};
    text_add(p->html, "<section id=load>\n<h2>Load and collapse</h2>\n");
    if (add_figure_list(p, figures, err) != 0)
        return -1;
    for (int i = 0; i < p->report->n_runs; i++) {
        add_all_verdicts(p, i, "collapse");
        add_extra(p, i, "collapse", "onset", "State of each layer");
    }
    add_dense_note(p);
    add_problems(p, "collapse");
    text_add(p->html, "</section>\n");
    return 0;
}

static int add_specialization(struct page *p, struct error *err)
{
    static const char *const before[] = {"information", "lift", NULL};
    static const char *const after[] = {"coactivation", "saturation", "repetition", NULL};
    text_add(p->html, "<section id=specialisation>\n<h2>Specialisation</h2>\n");
    if (add_figure_list(p, before, err) != 0)
        return -1;
    for (int i = 0; i < p->report->n_runs; i++)
        add_experts(p, i);
    if (add_figure_list(p, after, err) != 0)
        return -1;
    for (int i = 0; i < p->report->n_runs; i++) {
        add_all_verdicts(p, i, "specialization");
        add_extra(p, i, "specialization", "vocabulary", "How far token ids decide the expert");
    }
    add_extra(p, -1, "compare", "agreement", "Do two runs route alike");
    add_dense_note(p);
    add_problems(p, "specialization");
    text_add(p->html, "</section>\n");
    return 0;
}

static int add_demand(struct page *p, struct error *err)
{
    static const char *const figures[] = {"concentration", "rank-mass", "demand-domains", NULL};
    text_add(p->html, "<section id=demand>\n<h2>Demand</h2>\n");
    if (add_figure_list(p, figures, err) != 0)
        return -1;
    for (int i = 0; i < p->report->n_runs; i++) {
        add_all_verdicts(p, i, "demand");
        add_extra(p, i, "demand", "working_set", "Experts that take 90 % of the load");
        add_extra(p, i, "demand", "steps", "Concentration over training");
        add_extra(p, i, "demand", "frequency", "Concentration by token frequency");
        add_extra(p, i, "demand", "position", "Concentration by position");
    }
    add_dense_note(p);
    add_problems(p, "demand");
    text_add(p->html, "</section>\n");
    return 0;
}

/* ---- where it comes from ---- */

/* "key value, key value" of a query with those two columns. */
static int add_facts(struct page *p, const char *query, int64_t run_id, struct error *err)
{
    struct query *q;
    int more, n = 0;
    if (query_open(&q, p->report->logbook, query, err) != 0)
        return -1;
    query_bind_int(q, ":run", run_id);
    while ((more = query_step(q, err)) == 1) {
        const char *key = query_text(q, "key"), *value = query_text(q, "value");
        text_add(p->html, n++ ? ", " : "");
        text_add_html(p->html, key ? key : "");
        text_add(p->html, " ");
        text_add_html(p->html, value ? value : "–");
    }
    query_close(q);
    text_add(p->html, n ? "" : "–");
    return more;
}

static void add_fact(struct page *p, const char *name, const char *value, int cut)
{
    if (!value)
        return;
    text_printf(p->html, "<dt>%s<dd>", name);
    for (int i = 0; value[i] && (cut == 0 || i < cut); i++) {
        char one[2] = {value[i], '\0'};
        text_add_html(p->html, one);
    }
    text_add(p->html, cut && (int)strlen(value) > cut ? "…\n" : "\n");
}

static int add_provenance_of(struct page *p, const struct report_run *run, struct error *err)
{
    char seed[32];
    snprintf(seed, sizeof seed, "%lld", (long long)run->seed);
    text_add(p->html, "<details><summary>");
    text_add_html(p->html, run->name);
    text_add(p->html, "</summary><dl>\n");
    add_fact(p, "Run", run->uuid, 0);
    add_fact(p, "Seed", seed, 0);
    add_fact(p, "Status", run->status, 0);
    add_fact(p, "Started", run->started_at, 0);
    add_fact(p, "Finished", run->finished_at, 0);
    add_fact(p, "Program", run->program, 0);
    add_fact(p, "Corpus", run->corpus, 0);
    add_fact(p, "sha256", run->corpus_sha256, 0);
    add_fact(p, "Vocabulary", run->vocabulary, 0);
    add_fact(p, "sha256", run->vocabulary_sha256, 0);
    text_add(p->html, "<dt>Measured and kept<dd>");
    int result = add_facts(p, "analysis/report_settings", run->run_id, err);
    text_add(p->html, "\n<dt>Machine<dd>");
    if (result == 0)
        result = add_facts(p, "analysis/report_machine", run->run_id, err);
    text_add(p->html, "\n</dl></details>\n");
    return result;
}

static int add_provenance(struct page *p, struct error *err)
{
    const struct report *r = p->report;
    text_add(p->html,
             "<section id=method>\n<h2>How to read this, and where it comes from</h2>\n<p>The unit of every "
             "interval and test here is the document, never the token: tokens of one document are not "
             "independent. Statements are about these trained models; statements about methods need "
             "several seeds of each. Many tests at once are corrected (Benjamini-Hochberg). What is said to "
             "be above chance is above what the loads alone give, or above labels dealt at random.</p>\n");
    for (int i = 0; i < r->n_runs; i++) {
        const struct csv *verdict = report_table(r, i, "collapse", "verdict");
        for (int row = 0; verdict && row < verdict->n_rows; row++) {
            const char *subject = csv_text(verdict, row, "subject");
            if (subject && strcmp(subject, "rule") == 0) {
                text_add(p->html, "<p>Collapse is judged by ");
                text_add_html(p->html, csv_text(verdict, row, "text"));
                text_add(p->html, ".</p>\n");
                i = r->n_runs; /* one rule for all */
                break;
            }
        }
    }
    text_add(p->html, "<p>Logbook <b>");
    text_add_html(p->html, behind_slash(r->db));
    text_printf(p->html, "</b>, read by moescope %s. Each run, with what was logged of it:</p>\n",
                MOESCOPE_VERSION);
    for (int i = 0; i < r->n_runs; i++)
        if (add_provenance_of(p, &r->runs[i], err) != 0)
            return -1;
    text_add(p->html, "<p>The tables behind everything are in <b>");
    text_add_html(p->html, p->link ? p->link : behind_slash(r->folder));
    text_add(
        p->html,
        "/tables</b>; each figure there is a gnuplot script, its data and the drawing.</p>\n</section>\n");
    return 0;
}

/* ---- the whole ---- */

static void add_title(struct text *t, const struct report *r)
{
    const char *name = behind_slash(r->db), *dot = strrchr(name, '.');
    if (r->title) {
        text_add_html(t, r->title);
        return;
    }
    text_add(t, "Routing in ");
    for (const char *s = name; *s && s != dot; s++) {
        char one[2] = {*s, '\0'};
        text_add_html(t, one);
    }
}

static void add_about(struct page *p)
{
    const struct report *r = p->report;
    const struct csv *losses = report_table(r, -1, "compare", "losses");
    text_printf(p->html, "<p class=about>%d run%s", r->n_trained, r->n_trained == 1 ? "" : "s");
    if (r->n_runs > r->n_trained)
        text_printf(p->html, " and %d baseline%s", r->n_runs - r->n_trained,
                    r->n_runs - r->n_trained == 1 ? "" : "s");
    if (r->runs[0].corpus) {
        text_add(p->html, " on ");
        text_add_html(p->html, r->runs[0].corpus);
    }
    if (losses)
        text_printf(p->html, "; %d held-out documents", csv_int(losses, losses->n_rows - 1, "documents"));
    if (r->runs[0].finished_at)
        text_printf(p->html, "; trained %.10s",
                    r->runs[r->n_runs - 1].finished_at ? r->runs[r->n_runs - 1].finished_at
                                                       : r->runs[0].finished_at);
    text_add(p->html, "</p>\n<nav><a href=\"#findings\">Findings</a> <a href=\"#runs\">Runs</a> <a "
                      "href=\"#loss\">Losses</a> <a href=\"#load\">Load</a> <a "
                      "href=\"#specialisation\">Specialisation</a> <a href=\"#demand\">Demand</a> <a "
                      "href=\"#method\">Method</a></nav>\n");
}

static int add_body(struct page *p, struct error *err)
{
    text_add(p->html, "<header>\n<p class=kicker>moescope report</p>\n<h1>");
    add_title(p->html, p->report);
    text_add(p->html, "</h1>\n");
    add_about(p);
    text_add(p->html, "</header>\n<main>\n");
    add_findings(p);
    add_runs(p);
    if (add_reached(p, err) != 0 || add_load(p, err) != 0 || add_specialization(p, err) != 0 ||
        add_demand(p, err) != 0 || add_provenance(p, err) != 0)
        return -1;
    text_add(p->html, "</main>\n");
    return 0;
}

int report_page(struct report *r, struct text *page, struct error *err)
{
    struct text body;
    text_init(&body);
    struct page p = {.html = &body, .report = r, .link = link_to(r->output, r->folder)};
    int result = add_body(&p, err);
    text_add(page,
             "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport "
             "content=\"width=device-width, initial-scale=1\">\n<meta name=color-scheme content=\"light "
             "dark\">\n<title>");
    add_title(page, r);
    text_add(page, "</title>\n<style>\n");
    text_add(page, plot_file("report.css"));
    html_add_colours(page, &p.colours);
    text_add(page, "</style>\n</head>\n<body>\n");
    text_add_bytes(page, body.data, body.length);
    text_add(page, "</body>\n</html>\n");
    if (result == 0 && (body.failed || page->failed || p.colours.failed))
        result = error_no_memory(err, "the page");
    colours_release(&p.colours);
    text_release(&body);
    return result;
}
