/* The page: what was found, in words; the runs; figures with their captions and data; where it all comes
 * from. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/passage.h"
#include "analysis/shared/report_page.h"

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

/* What the data of a script's figures come from. */
static const char *query_of(const char *script)
{
    static const char *const queries[][2] = {
        {"loss", "sql/analysis/report_valid_loss.sql; bars: moescope compare --table losses"},
        {"curves", "moescope compare --table curves"},
        {"difference", "moescope compare --table difference"},
        {"bits-per-byte", "moescope compare --table domains"},
        {"study-lines", "moescope compare --by target-frequency --table perplexity"},
        {"cost", "moescope compare --table cost, --table losses"},
        {"train-loss", "sql/analysis/report_train_loss.sql"},
        {"effective-experts", "moescope collapse --table load"},
        {"load-entropy", "moescope collapse --table load"},
        {"load", "moescope collapse --table experts"},
        {"information", "moescope specialization --table information"},
        {"lift", "moescope specialization --table lift"},
        {"vocabulary", "moescope specialization --table vocabulary"},
        {"pairs", "moescope specialization --table coactivation, --table flow"},
        {"saturation", "moescope specialization --table saturation"},
        {"repetition", "moescope specialization --table repetition"},
        {"concentration", "moescope demand --table layers"},
        {"rank-mass", "moescope demand --table rank_mass"},
        {"demand-domains", "moescope demand --table domains"}};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        if (strcmp(queries[i][0], script) == 0)
            return queries[i][1];
    return NULL;
}

/* A page of many runs would grow without bound by what is drawn of each alone: from here on that is left to
 * the files. What is drawn of all runs together has its room above. */
enum { MOST_OF_SINGLE_RUNS = 1600000 };

static int add_figures(struct page *p, const char *script, struct error *err)
{
    const struct figures *all = &p->report->figures;
    for (int i = 0; i < all->n; i++) {
        const struct figure *f = all->items[i];
        if (strcmp(f->script, script) != 0)
            continue;
        const struct html_figure how = {.number = ++p->n_figures,
                                        .folder = p->report->folder,
                                        .link = p->link,
                                        .query = query_of(script),
                                        .files_only = f->map && p->html->length > MOST_OF_SINGLE_RUNS,
                                        .colours = &p->colours};
        if (html_add_figure(p->html, f, &how, err) != 0)
            return -1;
    }
    return 0;
}

static int add_figure_list(struct page *p, const char *const *scripts, struct error *err)
{
    for (; *scripts; scripts++)
        if (add_figures(p, *scripts, err) != 0)
            return -1;
    return 0;
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

/* ---- sections ---- */

struct extra { /* a table that no figure shows */
    const char *table, *title;
};

/* All that an analysis said, and those of its tables that no figure shows, behind a click. */
static void add_more(struct page *p, int run, const char *verb, const struct extra *extra)
{
    char file[96];
    if (!report_table(p->report, run, verb, "verdict"))
        return;
    text_printf(p->html, "<details><summary>All that <code>%s</code> says", verb);
    if (run >= 0) {
        text_add(p->html, " of ");
        text_add_html(p->html, p->report->runs[run].name);
    }
    text_add(p->html, "</summary>\n");
    page_add_all_verdicts(p, run, verb);
    for (; extra && extra->table; extra++) {
        const struct csv *data = report_table(p->report, run, verb, extra->table);
        if (!data)
            continue;
        text_printf(p->html, "<p class=group>%s</p>\n", extra->title);
        snprintf(file, sizeof file, "tables/…%s-%s.csv", verb, extra->table);
        html_add_table(p->html, data, "", 240, file);
    }
    text_add(p->html, "</details>\n");
}

static void add_runs(struct page *p)
{
    const struct report *r = p->report;
    const struct csv *reasons = report_table(r, -1, "compare", "incomparable");
    text_add(p->html, "<section id=runs>\n<h2>The runs</h2>\n");
    page_add_runs_table(p);
    if (r->in_bits)
        text_add(p->html,
                 "<p class=note>The runs do not share a vocabulary: nats per token of one do not compare "
                 "with those of another, bits per byte do.</p>\n");
    text_add(p->html,
             "<p class=note>Below the losses: 95 % intervals over held-out documents, within "
             "domains. They are about these trained models on other documents; what another seed would "
             "give they do not say.</p>\n");
    if (reasons)
        text_printf(p->html,
                    "<details><summary>To keep in mind when comparing (%d)</summary><ul class=notes>\n",
                    reasons->n_rows);
    for (int i = 0; reasons && i < reasons->n_rows; i++) {
        text_add(p->html, "<li>");
        text_add_html(p->html, csv_text(reasons, i, "reason") ? csv_text(reasons, i, "reason") : "");
        text_add(p->html, "\n");
    }
    text_add(p->html, reasons ? "</ul></details>\n" : "");
    const struct csv *config = report_table(r, -1, "compare", "config");
    if (config) {
        text_printf(p->html, "<details><summary>Settings in which the runs differ (%d)</summary>\n",
                    config->n_rows);
        html_add_table(p->html, config, "", 500, "the tables");
        text_add(p->html, "</details>\n");
    }
    static const struct extra extra[] = {
        {"agreement", "Do two runs route alike"},
        {"routers", "Load and specialisation side by side"},
        {"frequency", "Differences by frequency of the token to be predicted"},
        {"seeds", "Methods, paired by seed"},
        {NULL, NULL}};
    add_more(p, -1, "compare", extra);
    add_problems(p, "compare");
    text_add(p->html, "</section>\n");
}

static int add_reached(struct page *p, struct error *err)
{
    static const char *const figures[] = {"loss",        "curves", "difference", "bits-per-byte",
                                          "study-lines", "cost",   "train-loss", NULL};
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
    static const char *const figures[] = {"effective-experts", "load-entropy", "load", NULL};
    text_add(p->html, "<section id=load>\n<h2>Load and collapse</h2>\n");
    if (add_figure_list(p, figures, err) != 0)
        return -1;
    static const struct extra extra[] = {{"onset", "State of each layer"}, {NULL, NULL}};
    for (int i = 0; i < p->report->n_runs; i++)
        add_more(p, i, "collapse", extra);
    add_dense_note(p);
    add_problems(p, "collapse");
    text_add(p->html, "</section>\n");
    return 0;
}

static int add_specialization(struct page *p, struct error *err)
{
    static const char *const before[] = {"information", "lift", NULL};
    static const char *const after[] = {"vocabulary", "pairs", "saturation", "repetition", NULL};
    text_add(p->html, "<section id=specialisation>\n<h2>Specialisation</h2>\n");
    if (add_figure_list(p, before, err) != 0)
        return -1;
    for (int i = 0; i < p->report->n_runs; i++)
        page_add_experts(p, i);
    if (page_add_passages(p, err) != 0 || add_figure_list(p, after, err) != 0)
        return -1;
    for (int i = 0; i < p->report->n_runs; i++)
        add_more(p, i, "specialization", NULL);
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
    static const struct extra extra[] = {{"working_set", "Experts that take 90 % of the load"},
                                         {"steps", "Concentration over training"},
                                         {"frequency", "Concentration by token frequency"},
                                         {"position", "Concentration by position"},
                                         {NULL, NULL}};
    for (int i = 0; i < p->report->n_runs; i++)
        add_more(p, i, "demand", extra);
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
        const char *key = query_word(q, "key"), *value = query_text(q, "value");
        text_add(p->html, n++ ? ", " : "");
        text_add_html(p->html, key);
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
    page_add_findings(p);
    add_runs(p);
    if (add_reached(p, err) != 0 || add_load(p, err) != 0 || add_specialization(p, err) != 0 ||
        add_demand(p, err) != 0 || add_provenance(p, err) != 0)
        return -1;
    text_add(p->html, "</main>\n");
    return 0;
}

static int most_experts(const struct report *r)
{
    int most = 0;
    for (int i = 0; i < r->n_runs; i++)
        most = r->runs[i].n_experts > most ? r->runs[i].n_experts : most;
    return most;
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
    passage_add_style(most_experts(r), page);
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
