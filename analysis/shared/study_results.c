/* What a study's runs say. */
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/study.h"

static int read_run(struct study_results *r, const struct study *s, struct query *q, struct error *err)
{
    const struct configuration *c = study_configuration(s, query_word(q, "configuration"));
    struct study_run *grown;

    if (!c)
        return 0;
    grown = realloc(r->runs, ((size_t)r->n + 1) * sizeof *grown);
    if (!grown)
        return error_no_memory(err, "the study's runs");
    r->runs = grown;
    struct study_run *run = &grown[r->n++];
    *run = (struct study_run){.run_id = query_int(q, "run_id"),
                              .seed = query_int(q, "seed"),
                              .diverged = query_int(q, "diverged") != 0,
                              .configuration = (int)(c - s->configurations),
                              .probe_loss = query_real(q, "probe_loss"),
                              .probe_experts = query_real(q, "probe_experts"),
                              .valid_loss = query_real(q, "valid_loss"),
                              .valid_experts = query_real(q, "valid_experts"),
                              .tokens = query_real(q, "tokens"),
                              .flops = query_real(q, "flops"),
                              .seconds = query_real(q, "seconds")};
    snprintf(run->name, sizeof run->name, "%s", query_word(q, "run"));
    snprintf(run->corpus, sizeof run->corpus, "%s", query_word(q, "corpus"));
    snprintf(run->status, sizeof run->status, "%s", query_word(q, "status"));
    return 0;
}

static int by_configuration(const void *a, const void *b)
{
    const struct study_run *x = a, *y = b;

    if (x->configuration != y->configuration)
        return x->configuration < y->configuration ? -1 : 1;
    return x->seed < y->seed ? -1 : x->seed > y->seed;
}

int study_results_read(struct study_results *r, const struct study *s, struct logbook *lb, struct error *err)
{
    struct query *q = NULL;
    int more;

    *r = (struct study_results){0};
    if (query_open(&q, lb, "analysis/study_runs", err))
        return -1;
    while ((more = query_step(q, err)) == 1) {
        if (read_run(r, s, q, err)) {
            more = -1;
            break;
        }
    }
    query_close(q);
    if (more < 0)
        study_results_release(r);
    else if (r->n > 0)
        qsort(r->runs, (size_t)r->n, sizeof *r->runs, by_configuration);
    return more;
}

void study_results_release(struct study_results *r)
{
    free(r->runs);
    *r = (struct study_results){0};
}

const struct study_run *study_results_find(const struct study_results *r, int configuration, int64_t seed)
{
    for (int i = 0; i < r->n; i++) {
        if (r->runs[i].configuration == configuration && r->runs[i].seed == seed)
            return &r->runs[i];
    }
    return NULL;
}

void study_run_ids(const struct study_results *r, struct text *ids)
{
    for (int i = 0; i < r->n; i++)
        text_printf(ids, "%s%lld", i ? "," : "[", (long long)r->runs[i].run_id);
    text_add(ids, r->n > 0 ? "]" : "[]");
}

bool study_finished(const struct study_results *r, int configuration, int64_t seed)
{
    const struct study_run *run = study_results_find(r, configuration, seed);

    return run && strcmp(run->status, "finished") == 0;
}

bool study_diverged(const struct study_results *r, int configuration, int64_t seed)
{
    const struct study_run *run = study_results_find(r, configuration, seed);

    return run && run->diverged;
}

/* ---- is it the run that the study means? ---- */

/* Numbers and lists of numbers as numbers ("8, 16" is [8,16]), everything else as text. */
static bool same_value(const char *asked, const char *stored)
{
    for (const char *a = asked, *b = stored;;) {
        char *end_a, *end_b;
        double x = strtod(a, &end_a), y = strtod(b, &end_b);
        if (end_a == a || end_b == b || x != y || *end_a != *end_b || (*end_a && *end_a != ','))
            return strcmp(asked, stored) == 0;
        if (*end_a == '\0')
            return true;
        a = end_a + 1;
        b = end_b + 1;
    }
}

static int check_settings(const struct study *s, const struct study_run *run, struct logbook *lb,
                          struct error *err)
{
    const struct configuration *c = &s->configurations[run->configuration];
    struct query *q = NULL;
    int more, result = 0;

    if (query_open(&q, lb, "train/config", err))
        return -1;
    query_bind_int(q, ":run", run->run_id);
    while (result == 0 && (more = query_step(q, err)) != 0) {
        const char *key = more > 0 ? query_word(q, "key") : "",
                   *stored = more > 0 ? query_text(q, "value") : NULL;
        const char *asked = study_setting(s, c, key);
        if (more < 0)
            result = -1;
        else if (asked && stored && !study_setting_run(asked) && !same_value(asked, stored))
            result = error_set(err, STATUS_INPUT,
                               "run '%s' was trained with %s = %s, but '%s' asks for %s; take it away with "
                               "'moescope runs DB --delete %s' to train it anew",
                               run->name, key, stored, s->path, asked, run->name);
    }
    query_close(q);
    return result;
}

int study_check_corpus(const struct study_results *r, const char *corpus, struct error *err)
{
    for (int i = 0; i < r->n; i++) {
        if (strcmp(r->runs[i].corpus, corpus) != 0)
            return error_set(
                err, STATUS_INPUT,
                "run '%s' was trained on corpus %.12s, but the study's is %.12s, so that their "
                "losses are of different documents; train in another folder (--out), or take the "
                "run away with 'moescope runs DB --delete %s'",
                r->runs[i].name, r->runs[i].corpus, corpus, r->runs[i].name);
    }
    return 0;
}

int study_check_runs(const struct study *s, const struct study_results *r, struct logbook *lb,
                     struct error *err)
{
    for (int i = 0; i < r->n; i++) {
        if (check_settings(s, &r->runs[i], lb, err))
            return -1;
    }
    for (int i = 1; i < r->n; i++) {
        if (strcmp(r->runs[i].corpus, r->runs[0].corpus) != 0)
            return error_set(err, STATUS_INPUT,
                             "run '%s' was trained on corpus %.12s, run '%s' on %.12s: their losses are of "
                             "different documents; take those of the wrong one away with 'moescope runs DB "
                             "--delete NAME'",
                             r->runs[0].name, r->runs[0].corpus, r->runs[i].name, r->runs[i].corpus);
    }
    return 0;
}

/* ---- figures of a configuration ---- */

static bool counts(const struct study_run *run)
{
    return run && strcmp(run->status, "finished") == 0 && isfinite(run->valid_loss);
}

static void add_means(struct study_summary *m, const struct study_run *run, double share)
{
    m->probe_loss += run->probe_loss * share;
    m->probe_experts += run->probe_experts * share;
    m->valid_experts += run->valid_experts * share;
    m->flops += run->flops * share;
    m->flops_per_token += run->flops / run->tokens * share;
}

void study_summarise(const struct study *s, const struct study_results *r, int configuration,
                     const bool *seeds, struct study_summary *summary)
{
    int reference = study_reference(s, s->configurations[configuration].ablation), n = 0, pairs = 0;
    double losses[STUDY_MOST_SEEDS], differences[STUDY_MOST_SEEDS];

    *summary = (struct study_summary){0};
    for (int i = 0; i < s->n_seeds; i++) {
        const struct study_run *run = study_results_find(r, configuration, s->seeds[i]);
        const struct study_run *other = study_results_find(r, reference, s->seeds[i]);
        if (!counts(run) || (seeds && !seeds[i]))
            continue;
        losses[n++] = run->valid_loss;
        if (counts(other) && configuration != reference)
            differences[pairs++] = run->valid_loss - other->valid_loss;
    }
    summary->seeds = n;
    for (int i = 0; i < s->n_seeds; i++) {
        const struct study_run *run = study_results_find(r, configuration, s->seeds[i]);
        if (counts(run) && (!seeds || seeds[i]))
            add_means(summary, run, 1.0 / n);
    }
    student_interval(losses, n, STUDY_LEVEL, &summary->valid_loss);
    student_interval(differences, pairs, STUDY_LEVEL, &summary->difference.i);
}

int study_shown(const struct study_view *v, struct study_results *shown, struct error *err)
{
    const struct study_results *all = v->results;

    *shown = (struct study_results){.runs = malloc(((size_t)all->n + 1) * sizeof *shown->runs)};
    if (!shown->runs)
        return error_no_memory(err, "the study's runs");
    for (int i = 0; i < all->n; i++) {
        const struct study_run *run = &all->runs[i];
        if (v->chosen[run->configuration] && study_finished(all, run->configuration, run->seed))
            shown->runs[shown->n++] = *run;
    }
    return 0;
}

int study_compare(const struct study_view *v, struct study_summary *summaries, struct error *err)
{
    int n = v->study->n_configurations, members = 0;
    struct judged **family = malloc((size_t)n * sizeof(struct judged *));

    if (!family)
        return error_no_memory(err, "the study's comparisons");
    for (int c = 0; c < n; c++) {
        summaries[c] = (struct study_summary){0};
        if (!v->chosen[c])
            continue;
        study_summarise(v->study, v->results, c, NULL, &summaries[c]);
        family[members++] = &summaries[c].difference;
    }
    int result = judge_family(family, members, v->study->margin, STUDY_LEVEL, err);
    free(family);
    return result;
}

/* ---- operating points ---- */

bool study_shows_choice(const struct study_view *v, const struct study_choice *choice)
{
    for (int c = 0; c < v->study->n_configurations; c++) {
        if (v->chosen[c] && v->study->configurations[c].ablation == choice->ablation &&
            fnmatch(choice->among, v->study->configurations[c].name, 0) == 0)
            return true;
    }
    return false;
}

static bool is_candidate(const struct study *s, const struct study_results *r,
                         const struct study_choice *choice, int configuration)
{
    const struct configuration *c = &s->configurations[configuration];
    struct study_summary m;

    if (c->ablation != choice->ablation || fnmatch(choice->among, c->name, 0) != 0)
        return false;
    study_summarise(s, r, configuration, NULL, &m);
    return m.seeds > 0;
}

/* Those that the reference and every candidate have finished: a candidate with luckier seeds is no better. */
static void common_seeds(const struct study *s, const struct study_results *r,
                         const struct study_choice *choice, bool *seeds)
{
    int reference = study_reference(s, choice->ablation);

    for (int k = 0; k < s->n_seeds; k++) {
        seeds[k] = true;
        for (int c = 0; c < s->n_configurations; c++) {
            if (c == reference || is_candidate(s, r, choice, c))
                seeds[k] &= counts(study_results_find(r, c, s->seeds[k]));
        }
    }
}

void study_choose(const struct study *s, const struct study_results *r, const struct study_choice *choice,
                  struct study_chosen *out)
{
    bool seeds[STUDY_MOST_SEEDS];
    struct study_summary m;

    *out = (struct study_chosen){.configuration = -1};
    common_seeds(s, r, choice, seeds);
    study_summarise(s, r, study_reference(s, choice->ablation), seeds, &out->reference);
    for (int c = 0; c < s->n_configurations; c++) {
        if (!is_candidate(s, r, choice, c))
            continue;
        study_summarise(s, r, c, seeds, &m);
        if (m.seeds == 0 || !(m.probe_experts <= choice->share * out->reference.probe_experts))
            continue;
        if (out->configuration < 0 || m.probe_loss < out->best.probe_loss) {
            out->configuration = c;
            out->best = m;
        }
    }
    if (out->configuration >= 0)
        out->best.difference.verdict = interval_verdict(&out->best.difference.i, s->margin);
}
