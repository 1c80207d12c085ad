/* The tables of a study. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/losses.h"
#include "analysis/shared/program.h"
#include "analysis/shared/study.h"
#include "sql/ask.h"

/* The reference has no difference, and a configuration none without a seed that the reference has too. */
static const char *verdict_of(const struct judged *j, bool is_reference)
{
    return is_reference ? "reference" : j->i.n > 0 ? verdict_names[j->verdict] : NULL;
}

static void judged_cells(struct table *t, const struct judged *j, bool is_reference)
{
    bool none = is_reference || j->i.n == 0;

    table_figure(t, none ? (double)NAN : j->i.estimate);
    table_figure(t, j->i.low);
    table_figure(t, j->i.high);
    table_figure(t, none ? (double)NAN : j->adjusted);
    table_text(t, verdict_of(j, is_reference));
}

static int print_configurations(const struct study_view *s, FILE *out, enum table_format format,
                                struct error *err)
{
    static const char *const columns[] = {
        "configuration", "seeds",      "experts",         "loss",      "low",
        "high",          "difference", "diff_low",        "diff_high", "p",
        "verdict",       "detectable", "mflop_per_token", "pflop",     "paper"};
    int n = s->study->n_configurations, result;
    struct study_summary *all = malloc((size_t)n * sizeof *all);
    struct table *t;

    if (!all)
        return error_no_memory(err, "a table");
    result = study_compare(s, all, err);
    t = result == 0 ? table_open(out, format, NULL, columns, 15) : NULL;
    for (int c = 0; c < n && t; c++) {
        const struct configuration *one = &s->study->configurations[c];
        const struct study_summary *m = &all[c];
        if (m->seeds == 0)
            continue;
        table_text(t, one->label);
        table_int(t, m->seeds);
        table_figure(t, m->valid_experts);
        table_figure(t, m->valid_loss.estimate);
        table_figure(t, m->valid_loss.low);
        table_figure(t, m->valid_loss.high);
        judged_cells(t, &m->difference, c == study_reference(s->study, one->ablation));
        table_figure(t, student_detectable(&m->difference.i, STUDY_LEVEL, STUDY_POWER));
        table_figure(t, m->flops_per_token / 1e6);
        table_figure(t, m->flops / 1e15);
        table_text(t, one->paper);
    }
    free(all);
    if (result)
        return -1;
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

/* An operating point is one question, so that its verdict stands by itself. */
static int print_choices(const struct study_view *s, FILE *out, enum table_format format, struct error *err)
{
    static const char *const columns[] = {"choice",     "configuration", "seeds",  "probe_experts",
                                          "probe_loss", "experts",       "share",  "difference",
                                          "low",        "high",          "verdict"};
    struct table *t = table_open(out, format, NULL, columns, 11);
    struct study_chosen chosen;

    for (int i = 0; i < s->study->n_choices && t; i++) {
        const struct study_choice *choice = &s->study->choices[i];
        int reference = study_reference(s->study, choice->ablation);
        if (!study_shows_choice(s, choice))
            continue;
        study_choose(s->study, s->results, choice, &chosen);
        const struct study_summary *m = &chosen.best;
        table_text(t, choice->name);
        if (chosen.configuration < 0) {
            table_text(t, chosen.reference.seeds > 0 ? "none qualifies" : "no seed in common");
            for (int empty = 0; empty < 9; empty++)
                table_null(t);
            continue;
        }
        table_text(t, s->study->configurations[chosen.configuration].label);
        table_int(t, m->seeds);
        table_figure(t, m->probe_experts);
        table_figure(t, m->probe_loss);
        table_figure(t, m->valid_experts);
        table_figure(t, m->valid_experts / chosen.reference.valid_experts);
        table_figure(t, m->difference.i.estimate);
        table_figure(t, m->difference.i.low);
        table_figure(t, m->difference.i.high);
        table_text(t, verdict_of(&m->difference, chosen.configuration == reference));
    }
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

struct compared_pair {
    const char *left, *right; /* runs */
    int documents;
    struct judged difference;
};

static int compare_pair(const struct study_view *s, const struct study_run *a, const struct study_run *b,
                        struct compared_pair *to, struct error *err)
{
    struct evaluation evaluations[2];
    struct domain_names domains = {0};
    struct paired_documents paired;
    char ids[64];
    int result = -1;

    snprintf(ids, sizeof ids, "[%lld,%lld]", (long long)a->run_id, (long long)b->run_id);
    const struct losses_asked asked = {.runs = ids, .split = "valid", .step = -1};
    if (evaluations_read(evaluations, 2, &domains, s->logbook, &asked, err))
        return -1;
    if (paired_documents_init(&paired, &evaluations[0], &evaluations[1], false, err) == 0) {
        *to = (struct compared_pair){.left = a->name, .right = b->name, .documents = paired.left.n};
        result = paired_interval(&paired, NATS_PER_TOKEN, -1, 1, &to->difference.i, err);
        paired_documents_release(&paired);
    }
    evaluation_release(&evaluations[0]);
    evaluation_release(&evaluations[1]);
    domain_names_release(&domains);
    return result;
}

/* pairs: (n_pairs * n_seeds). *n: how many are there of those that are shown. */
static int compare_pairs(const struct study_view *s, struct compared_pair *pairs, int *n, struct error *err)
{
    const struct study *study = s->study;

    *n = 0;
    for (int i = 0; i < study->n_pairs; i++) {
        const struct configuration *a = study_configuration(study, study->pairs[i].left),
                                   *b = study_configuration(study, study->pairs[i].right);
        if (!a || !b)
            continue; /* a quick study has fewer */
        int left = (int)(a - study->configurations), right = (int)(b - study->configurations);
        for (int k = 0; k < study->n_seeds && s->chosen[left] && s->chosen[right]; k++) {
            int64_t seed = study->seeds[k];
            if (!study_finished(s->results, left, seed) || !study_finished(s->results, right, seed))
                continue;
            if (compare_pair(s, study_results_find(s->results, left, seed),
                             study_results_find(s->results, right, seed), &pairs[*n], err))
                return -1;
            ++*n;
        }
    }
    return 0;
}

static int judge_pairs(const struct study_view *s, struct compared_pair *pairs, int n, struct error *err)
{
    struct judged **family = calloc((size_t)n + 1, sizeof(struct judged *));

    if (!family)
        return error_no_memory(err, "the pairs");
    for (int i = 0; i < n; i++)
        family[i] = &pairs[i].difference;
    int result = judge_family(family, n, s->study->margin, STUDY_LEVEL, err);
    free(family);
    return result;
}

static int print_pairs(const struct study_view *s, FILE *out, enum table_format format, struct error *err)
{
    static const char *const columns[] = {"run", "against", "documents", "difference",
                                          "low", "high",    "p",         "verdict"};
    struct compared_pair *pairs =
        calloc((size_t)s->study->n_pairs * (size_t)s->study->n_seeds + 1, sizeof *pairs);
    struct table *t = NULL;
    int n, result;

    if (!pairs)
        return error_no_memory(err, "the pairs");
    result = compare_pairs(s, pairs, &n, err) || judge_pairs(s, pairs, n, err) ? -1 : 0;
    if (result == 0)
        t = table_open(out, format, NULL, columns, 8);
    for (int i = 0; i < n && t; i++) {
        table_text(t, pairs[i].left);
        table_text(t, pairs[i].right);
        table_int(t, pairs[i].documents);
        judged_cells(t, &pairs[i].difference, false);
    }
    free(pairs);
    if (result)
        return -1;
    return t ? table_close(t, err) : error_no_memory(err, "a table");
}

/* :runs, where the query asks: those that are shown. */
static int bind_runs(const struct study_view *s, struct query *q, struct error *err)
{
    struct study_results shown;
    struct text ids;

    if (study_shown(s, &shown, err))
        return -1;
    text_init(&ids);
    study_run_ids(&shown, &ids);
    query_bind_text(q, ":runs", ids.data);
    bool failed = ids.failed;
    text_release(&ids);
    study_results_release(&shown);
    return failed ? error_no_memory(err, "a query") : 0;
}

static int bind_parameters(const struct study_table *table, struct query *q, struct error *err)
{
    struct text assignment;
    int result = 0;

    for (int i = 0; i < table->parameters.n && result == 0; i++) {
        text_init(&assignment);
        text_printf(&assignment, "%s=%s", table->parameters.items[i].key, table->parameters.items[i].value);
        result = assignment.failed ? error_no_memory(err, "a query") : ask_bind(q, assignment.data, err);
        text_release(&assignment);
    }
    return result;
}

static int print_query(const struct study_view *s, const struct study_table *table, FILE *out,
                       enum table_format format, struct error *err)
{
    struct query *q = NULL;
    int result = ask_open(&q, s->logbook, table->query, err);

    if (result == 0)
        result = bind_runs(s, q, err);
    if (result == 0)
        result = bind_parameters(table, q, err);
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
    table_int(t, d->seeds);
    table_figure(t, d->tokens);
    table_figure(t, d->loss);
    judged_cells(t, &d->by_token, c == study_reference(s->study, one->ablation));
    table_figure(t, d->by_domain.estimate);
    table_figure(t, d->by_domain.low);
    table_figure(t, d->by_domain.high);
}

static int print_buckets(const struct study_view *s, const struct study_table *table, FILE *out,
                         enum table_format format, struct error *err)
{
    static const char *const columns[] = {"configuration", "bucket",     "seeds",      "tokens", "loss",
                                          "difference",    "low",        "high",       "p",      "verdict",
                                          "by_domain",     "domain_low", "domain_high"};
    int n = s->study->n_configurations, result;
    struct bucket_difference *d = calloc((size_t)n * N_BUCKETS, sizeof *d);
    const char *of = parameter(table, "of");
    struct table *t;

    if (!d)
        return error_no_memory(err, "losses by token frequency");
    result = study_buckets(s, of ? of : "target", parameter(table, "key"), parameter(table, "value"), d, err);
    if (result == 0) {
        t = table_open(out, format, NULL, columns, 13);
        for (int bucket = 0; bucket < N_BUCKETS && t; bucket++) {
            for (int c = 0; c < n; c++) {
                if (d[c * N_BUCKETS + bucket].seeds > 0)
                    bucket_row(s, c, bucket, &d[c * N_BUCKETS + bucket], t);
            }
        }
        result = t ? table_close(t, err) : error_no_memory(err, "a table");
    }
    free(d);
    return result;
}

/* The metrics that `of` names, in a copy of it that they point into. */
static int metrics_asked(const struct study_table *table, struct study_metrics *asked, char **copy,
                         struct error *err)
{
    const char *of = parameter(table, "of"), *split = parameter(table, "split"),
               *better = parameter(table, "better"), *margin = parameter(table, "margin");

    *asked = (struct study_metrics){.split = split ? split : "valid",
                                    .higher_is_better = !better || strcmp(better, "higher") == 0,
                                    .margin = margin ? strtod(margin, NULL) : 0.0};
    if (!of)
        return error_set(err, STATUS_USAGE, "[metrics %s] has no line 'of = METRIC, METRIC, ...'",
                         table->name);
    *copy = strdup(of);
    asked->names = malloc((strlen(of) + 1) * sizeof *asked->names);
    if (!*copy || !asked->names)
        return error_no_memory(err, "a study's metrics");
    for (char *rest = *copy, *name; (name = strsep(&rest, ", ")) != NULL;)
        if (*name)
            asked->names[asked->n++] = name;
    return 0;
}

static void metric_row(const struct study_view *s, int c, const char *metric,
                       const struct metric_difference *d, struct table *t)
{
    const struct configuration *one = &s->study->configurations[c];

    table_text(t, one->label);
    table_text(t, metric);
    table_int(t, d->seeds);
    table_figure(t, d->value.estimate);
    table_figure(t, d->value.low);
    table_figure(t, d->value.high);
    judged_cells(t, &d->difference, c == study_reference(s->study, one->ablation));
}

static int print_metrics(const struct study_view *s, const struct study_table *table, FILE *out,
                         enum table_format format, struct error *err)
{
    static const char *const columns[] = {"configuration", "metric",   "seeds",     "value", "low",    "high",
                                          "difference",    "diff_low", "diff_high", "p",     "verdict"};
    int n = s->study->n_configurations;
    struct study_metrics asked = {0};
    struct metric_difference *d = NULL;
    char *copy = NULL;
    struct table *t = NULL;
    int result = metrics_asked(table, &asked, &copy, err);

    if (result == 0 && (d = calloc((size_t)asked.n * (size_t)n + 1, sizeof *d)) == NULL)
        result = error_no_memory(err, "a study's metrics");
    if (result == 0)
        result = study_metrics(s, &asked, d, err);
    if (result == 0) {
        t = table_open(out, format, NULL, columns, 11);
        for (int i = 0; i < asked.n * n && t; i++)
            if (d[i].seeds > 0)
                metric_row(s, i % n, asked.names[i / n], &d[i], t);
        result = t ? table_close(t, err) : error_no_memory(err, "a table");
    }
    free(d);
    free(asked.names);
    free(copy);
    return result;
}

/* A table of the file's own. */
static int print_own(const struct study_view *s, const struct study_table *table, FILE *out,
                     enum table_format format, struct error *err)
{
    switch (table->kind) {
    case TABLE_BUCKETS:
        return print_buckets(s, table, out, format, err);
    case TABLE_METRICS:
        return print_metrics(s, table, out, format, err);
    default:
        return print_query(s, table, out, format, err);
    }
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
     "differences from the reference paired by seed; p adjusted over the rows",
     print_configurations},
    {"choices",
     "Operating points: chosen by the loss on probe documents, confirmed on valid ones, over the seeds that "
     "all "
     "candidates have (paired by seed)",
     print_choices},
    {"pairs",
     "Pairs of runs, by document: what can be said about these trained models; p adjusted over the rows",
     print_pairs},
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
