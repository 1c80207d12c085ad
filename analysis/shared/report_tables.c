/* The page's tables of runs and of experts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/report_page.h"

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

/* What collapse says of the run, and over how many experts its layers spread at the end. */
static void add_load_cell(struct page *p, int run)
{
    const struct csv *onset = report_table(p->report, run, "collapse", "onset");
    const char *word = report_load_word(p->report, run);
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; onset && i < onset->n_rows; i++) {
        low = fmin(low, csv_real(onset, i, "effective_experts"));
        high = fmax(high, csv_real(onset, i, "effective_experts"));
    }
    text_add(p->html, "<td class=l>");
    text_add_html(p->html, word ? word : "–");
    if (isfinite(low) && isfinite(high))
        text_printf(p->html, "<br><small>%.1f–%.1f of %d</small>", low, high, p->report->runs[run].n_experts);
}

/* Two lines: a figure and, smaller, what belongs to it; dashes where either is not known. */
static void add_parameters_cell(struct page *p, int run)
{
    char buffer[32];
    double active = report_cost(p->report, run, "active_parameters");
    double all = report_cost(p->report, run, "parameters");
    bool known = isfinite(active) && isfinite(all) && !p->report->runs[run].baseline;
    text_printf(p->html, "<td>%s", known ? text_count(buffer, active) : "–");
    if (known)
        text_printf(p->html, "<br><small>of %s</small>", text_count(buffer, all));
}

static void add_training_cell(struct page *p, int run)
{
    char buffer[32];
    double tokens = report_cost(p->report, run, "tokens"), seconds = report_cost(p->report, run, "seconds");
    double rate = report_cost(p->report, run, "tokens_per_second");
    if (p->report->runs[run].baseline || !isfinite(tokens)) {
        text_add(p->html, "<td>–");
        return;
    }
    text_printf(p->html, "<td>%s tokens", text_count(buffer, tokens));
    if (isfinite(seconds))
        text_printf(p->html, "<br><small>%s", text_duration(buffer, seconds));
    if (isfinite(seconds) && isfinite(rate))
        text_printf(p->html, ", %s/s", text_count(buffer, rate));
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
            text_printf(p->html, ", %d experts", run->n_experts); /* tokens differ in how many they get */
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
    if (report_has_bits(r))
        add_interval_cell(p, report_final_bits(r, run));
    add_load_cell(p, run);
    text_add(p->html, "\n");
}

void page_add_runs_table(struct page *p)
{
    text_add(p->html,
             "<div class=scroll tabindex=0 role=region aria-label=Table><table class=runs><thead><tr><th "
             "class=l>Run<th class=l>Router"
             "<th>Parameters<br>active<th>Training<th>Validation loss,<br>nats per token");
    text_add(p->html, report_has_bits(p->report) ? "<th>Bits per byte" : "");
    text_add(p->html, "<th class=l>Effective<br>experts\n<tbody>\n");
    for (int i = 0; i < p->report->n_runs; i++)
        add_run_row(p, i);
    text_add(p->html, "</table></div>\n");
}

/* ---- whom experts serve ---- */

enum { SHOWN_CLIENTS = 4, SHOWN_TOKENS = 8 };

static void add_clients(struct page *p, const struct csv *lift, int layer, int expert)
{
    struct client clients[MOST_CLIENTS];
    int n = report_clients(lift, layer, expert, 1.2, clients);
    text_add(p->html, "<td class=l>");
    for (int i = 0; i < n && i < SHOWN_CLIENTS; i++) {
        text_add(p->html, i ? ", <span class=client>" : "<span class=client>");
        text_add_html(p->html, clients[i].domain);
        text_printf(p->html, " ×%.1f", clients[i].lift);
        if (isfinite(clients[i].low) && isfinite(clients[i].high))
            text_printf(p->html, " <small>(%.1f–%.1f)</small>", clients[i].low, clients[i].high);
        text_add(p->html, "</span>");
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

static void add_experts_of_layer(struct page *p, int run, const struct moe_layer *layer)
{
    const struct csv *lift = report_table(p->report, run, "specialization", "lift");
    const struct csv *tokens = report_table(p->report, run, "specialization", "tokens");
    text_add(
        p->html,
        "<div class=scroll tabindex=0 role=region aria-label=Table><table "
        "class=experts><thead><tr><th>Expert<th>Share of<br>tokens"
        "<th class=l>Serves (lift, 95 %)<th class=l>Tokens it gets more often than others do\n<tbody>\n");
    for (int e = 0; e < layer->n_experts; e++) {
        text_printf(p->html, "<tr><td>%d<td>%.1f&nbsp;%%", e, 100 * report_mean_share(lift, layer->layer, e));
        add_clients(p, lift, layer->layer, e);
        add_favourites(p, tokens, layer->layer, e);
        text_add(p->html, "\n");
    }
    text_add(p->html, "</table></div>\n");
}

void page_add_experts(struct page *p, int run)
{
    const struct report_run *of = &p->report->runs[run];
    int best = report_best_layer(p->report, run);
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
