/* The tables of a study. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/losses.h"
#include "analysis/shared/program.h"
#include "analysis/shared/study.h"
#include "sql/ask.h"

static int print_configurations(const struct study_view *s, FILE *out, enum table_format format,
                                struct error *err)
{
    static const char *const columns[] = {
        "configuration", "seeds",   "experts",         "loss",  "low",  "high", "difference", "diff_low",
        "diff_high",     "verdict", "mflop_per_token", "pflop", "paper"};
    struct table *t = table_open(out, format, NULL, columns, 13);

    for (int c = 0; c < s->study->n_configurations && t; c++) {
        const struct configuration *one = &s->study->configurations[c];
        struct study_summary m;
        study_summarise(s->study, s->results, c, &m);
        if (!s->chosen[c] || m.seeds == 0)
            continue;
        bool reference = c == study_reference(s->study, one->ablation);
        table_text(t, one->label);
        table_int(t, m.seeds);
        table_figure(t, m.valid_experts);
        table_figure(t, m.valid_loss.estimate);
        table_figure(t, m.valid_loss.low);
        table_figure(t, m.valid_loss.high);
        table_figure(t, m.difference.n > 0 ? m.difference.estimate : (double)NAN);
        table_figure(t, m.difference.low);
        table_figure(t, m.difference.high);
        table_text(t, reference ? "reference" : m.difference.n > 0 ? verdict_names[m.verdict] : NULL);
        table_figure(t, m.flops_per_token / 1e6);
        table_figure(t, m.flops / 1e15);
        table_text(t, one->paper);
    }
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

static int print_choices(const struct study_view *s, FILE *out, enum table_format format, struct error *err)
{
    static const char *const columns[] = {"choice",  "configuration", "probe_experts", "probe_loss",
                                          "experts", "share",         "difference",    "low",
                                          "high",    "verdict"};
    struct table *t = table_open(out, format, NULL, columns, 10);
    struct study_summary m, r;

    for (int i = 0; i < s->study->n_choices && t; i++) {
        int c = study_choose(s->study, s->results, &s->study->choices[i]);
        int reference = study_reference(s->study, s->study->choices[i].ablation);
        table_text(t, s->study->choices[i].name);
        table_text(t, c < 0 ? "none qualifies" : s->study->configurations[c].label);
        if (c < 0) {
            for (int empty = 0; empty < 8; empty++)
                table_null(t);
            continue;
        }
        study_summarise(s->study, s->results, c, &m);
        study_summarise(s->study, s->results, reference, &r);
        table_figure(t, m.probe_experts);
        table_figure(t, m.probe_loss);
        table_figure(t, m.valid_experts);
        table_figure(t, m.valid_experts / r.valid_experts);
        table_figure(t, m.difference.estimate);
        table_figure(t, m.difference.low);
        table_figure(t, m.difference.high);
        table_text(t, c == reference ? "reference" : verdict_names[m.verdict]);
    }
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

static int pair_row(const struct study_view *s, const struct study_run *a, const struct study_run *b,
                    struct table *t, struct error *err)
{
    struct evaluation evaluations[2];
    struct domain_names domains = {0};
    struct paired_documents paired;
    struct interval i;
    char ids[64];
    int result = -1;

    snprintf(ids, sizeof ids, "[%lld,%lld]", (long long)a->run_id, (long long)b->run_id);
    const struct losses_asked asked = {.runs = ids, .split = "valid", .step = -1};
    if (evaluations_read(evaluations, 2, &domains, s->logbook, &asked, err))
        return -1;
    if (paired_documents_init(&paired, &evaluations[0], &evaluations[1], false, err) == 0) {
        result = paired_interval(&paired, NATS_PER_TOKEN, -1, 1, &i, err);
        if (result == 0) {
            table_text(t, a->name);
            table_text(t, b->name);
            table_int(t, paired.left.n);
            table_figure(t, i.estimate);
            table_figure(t, i.low);
            table_figure(t, i.high);
            table_text(t, verdict_names[interval_verdict(&i, s->study->margin)]);
        }
        paired_documents_release(&paired);
    }
    evaluation_release(&evaluations[0]);
    evaluation_release(&evaluations[1]);
    domain_names_release(&domains);
    return result;
}

static int print_pairs(const struct study_view *s, FILE *out, enum table_format format, struct error *err)
{
    static const char *const columns[] = {"run", "against", "documents", "difference",
                                          "low", "high",    "verdict"};
    struct table *t = table_open(out, format, NULL, columns, 7);
    int result = 0;

    for (int i = 0; i < s->study->n_pairs && t && result == 0; i++) {
        const struct configuration *a = study_configuration(s->study, s->study->pairs[i].left),
                                   *b = study_configuration(s->study, s->study->pairs[i].right);
        for (int k = 0; k < s->study->n_seeds && a && b && result == 0; k++) {
            int left = (int)(a - s->study->configurations), right = (int)(b - s->study->configurations);
            if (study_finished(s->results, left, s->study->seeds[k]) &&
                study_finished(s->results, right, s->study->seeds[k]))
                result = pair_row(s, study_results_find(s->results, left, s->study->seeds[k]),
                                  study_results_find(s->results, right, s->study->seeds[k]), t, err);
        }
    }
    if (t && table_close(t, result == 0 ? err : NULL))
        result = -1;
    return t ? result : error_no_memory(err, "a table");
}

static int print_query(const struct study_view *s, const struct study_table *table, FILE *out,
                       enum table_format format, struct error *err)
{
    struct query *q = NULL;
    struct text assignment;
    int result = ask_open(&q, s->logbook, table->query, err);

    for (int i = 0; i < table->parameters.n && result == 0; i++) {
        text_init(&assignment);
        text_printf(&assignment, "%s=%s", table->parameters.items[i].key, table->parameters.items[i].value);
        result = ask_bind(q, assignment.data, err);
        text_release(&assignment);
    }
    if (result == 0)
        result = query_print(q, out, format, NULL, err);
    query_close(q);
    return result ? error_prefix(err, "[table %s]", table->name) : 0;
}

static const char *parameter(const struct study_table *table, const char *key)
{
    for (int i = 0; i < table->parameters.n; i++) {
        if (strcmp(table->parameters.items[i].key, key) == 0)
            return table->parameters.items[i].value;
    }
    return NULL;
}

static void bucket_row(const struct study_view *s, int c, int bucket, const struct bucket_difference *d,
                       struct table *t)
{
    const struct configuration *one = &s->study->configurations[c];

    table_text(t, one->label);
    table_text(t, frequency_names[bucket]);
    table_figure(t, d->tokens);
    table_figure(t, d->loss);
    table_figure(t, d->by_token.n > 0 ? d->by_token.estimate : (double)NAN);
    table_figure(t, d->by_token.low);
    table_figure(t, d->by_token.high);
    table_figure(t, d->by_token.n > 0 ? d->adjusted : (double)NAN);
    table_text(t, c == study_reference(s->study, one->ablation) ? "reference" : verdict_names[d->verdict]);
    table_figure(t, d->by_domain.n > 0 ? d->by_domain.estimate : (double)NAN);
    table_figure(t, d->by_domain.low);
    table_figure(t, d->by_domain.high);
}

static int print_buckets(const struct study_view *s, const struct study_table *table, FILE *out,
                         enum table_format format, struct error *err)
{
    static const char *const columns[] = {"configuration", "bucket",    "tokens",     "loss",
                                          "difference",    "low",       "high",       "p",
                                          "verdict",       "by_domain", "domain_low", "domain_high"};
    int n = s->study->n_configurations * N_BUCKETS, result;
    struct bucket_difference *d = calloc((size_t)n, sizeof *d);
    const char *of = parameter(table, "of");
    struct table *t;

    if (!d)
        return error_no_memory(err, "losses by token frequency");
    result = study_buckets(s->study, s->results, s->logbook, of ? of : "target", parameter(table, "key"),
                           parameter(table, "value"), d, err);
    if (result == 0) {
        t = table_open(out, format, NULL, columns, 12);
        for (int bucket = 0; bucket < N_BUCKETS && t; bucket++) {
            for (int c = 0; c < s->study->n_configurations; c++) {
                if (s->chosen[c] && d[c * N_BUCKETS + bucket].tokens > 0.0)
                    bucket_row(s, c, bucket, &d[c * N_BUCKETS + bucket], t);
            }
        }
        result = t ? table_close(t, err) : error_no_memory(err, "a table");
    }
    free(d);
    return result;
}

/* A table of the file's own. */
static int print_own(const struct study_view *s, const struct study_table *table, FILE *out,
                     enum table_format format, struct error *err)
{
    return table->query ? print_query(s, table, out, format, err) : print_buckets(s, table, out, format, err);
}

static int print_paper(const struct study_view *s, FILE *out, enum table_format format, struct error *err)
{
    static const char *const columns[] = {"figure", "paper"};
    struct table *t = table_open(out, format, NULL, columns, 2);

    for (int i = 0; i < s->study->paper.n && t; i++) {
        table_text(t, s->study->paper.items[i].key);
        table_text(t, s->study->paper.items[i].value);
    }
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

/* The tables that every study has; its own come behind them. */
static const struct {
    const char *name, *title;
    int (*print)(const struct study_view *s, FILE *out, enum table_format format, struct error *err);
} fixed_tables[] = {
    {"configurations",
     "Means over seeds, losses on valid documents in nats per token; intervals of 95 % over seeds, "
     "differences "
     "from the reference paired by seed",
     print_configurations},
    {"choices",
     "Operating points: chosen by the loss on probe documents, confirmed on valid ones (paired by seed)",
     print_choices},
    {"pairs", "Pairs of runs, by document: what can be said about these trained models", print_pairs},
    {"paper", "The paper's own figures", print_paper},
};
enum { N_FIXED = sizeof fixed_tables / sizeof *fixed_tables };

static bool is_empty(const struct study_view *s, const char *table)
{
    return (strcmp(table, "choices") == 0 && s->study->n_choices == 0) ||
           (strcmp(table, "pairs") == 0 && s->study->n_pairs == 0) ||
           (strcmp(table, "paper") == 0 && s->study->paper.n == 0);
}

int study_print(const struct study_view *s, const char *name, FILE *out, enum table_format format,
                struct error *err)
{
    for (int i = 0; i < N_FIXED; i++) {
        if (strcmp(fixed_tables[i].name, name) == 0)
            return fixed_tables[i].print(s, out, format, err);
    }
    for (int i = 0; i < s->study->n_tables; i++) {
        if (strcmp(s->study->tables[i].name, name) == 0)
            return print_own(s, &s->study->tables[i], out, format, err);
    }
    return error_set(
        err, STATUS_USAGE,
        "no table '%s'; there are configurations, choices, pairs, paper and the file's [table NAME]s", name);
}

/* Under the name of its table, so that --table can be told from the page. */
static int print_title(FILE *out, const char *name, const char *title)
{
    return fprintf(out, "\n%s: %s\n\n", name, title) < 0;
}

int study_print_all(const struct study_view *s, FILE *out, struct error *err)
{
    if (s->study->title)
        fprintf(out, "%s\n", s->study->title);
    if (s->study->question)
        fprintf(out, "%s\n", s->study->question);
    for (int i = 0; i < N_FIXED; i++) {
        if (is_empty(s, fixed_tables[i].name))
            continue;
        print_title(out, fixed_tables[i].name, fixed_tables[i].title);
        if (fixed_tables[i].print(s, out, TABLE_TEXT, err))
            return -1;
    }
    for (int i = 0; i < s->study->n_tables; i++) {
        const struct study_table *table = &s->study->tables[i];
        print_title(out, table->name, table->title ? table->title : table->name);
        if (print_own(s, table, out, TABLE_TEXT, err))
            return -1;
    }
    return 0;
}
