/* Where a configuration is better or worse than the reference: losses by how frequent a token is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/study.h"
#include "base/text.h"

struct bucketed {
    const struct study *study;
    struct study_results shown;   /* finished runs of the chosen configurations */
    struct evaluation *whole;     /* (shown.n) */
    struct evaluation *by_bucket; /* (shown.n, N_BUCKETS) */
    struct domain_names domains;
};

/* NULL: that run has not finished, or has no tokens there. */
static const struct evaluation *find(const struct bucketed *b, int configuration, int seed, int bucket)
{
    const struct study_run *run = study_results_find(&b->shown, configuration, b->study->seeds[seed]);

    if (!run)
        return NULL;
    const struct evaluation *e = &b->by_bucket[(run - b->shown.runs) * N_BUCKETS + bucket];
    return e->n > 0 ? e : NULL;
}

/* Mean over the domains that both have tokens of. */
static double domain_difference(const struct bucketed *b, const struct evaluation *mine,
                                const struct evaluation *theirs)
{
    double sum = 0.0;
    int n = 0;

    for (int d = 0; d < b->domains.n; d++) {
        if (evaluation_count(mine, d) == 0 || evaluation_count(theirs, d) == 0)
            continue;
        sum += evaluation_mean(mine, NATS_PER_TOKEN, d) - evaluation_mean(theirs, NATS_PER_TOKEN, d);
        n++;
    }
    return sum / n;
}

static void summarise(const struct bucketed *b, int c, int bucket, struct bucket_difference *out)
{
    int reference = study_reference(b->study, b->study->configurations[c].ablation), n = 0;
    double by_token[STUDY_MOST_SEEDS], by_domain[STUDY_MOST_SEEDS];

    *out = (struct bucket_difference){0};
    for (int k = 0; k < b->study->n_seeds; k++) {
        const struct evaluation *mine = find(b, c, k, bucket), *theirs = find(b, reference, k, bucket);
        if (!mine || !theirs)
            continue;
        double loss = evaluation_mean(mine, NATS_PER_TOKEN, -1);
        out->tokens += evaluation_tokens(mine);
        out->loss += loss;
        by_token[n] = loss - evaluation_mean(theirs, NATS_PER_TOKEN, -1);
        by_domain[n++] = domain_difference(b, mine, theirs);
    }
    out->seeds = n;
    out->tokens /= n;
    out->loss /= n;
    student_interval(by_token, c == reference ? 0 : n, STUDY_LEVEL, &out->by_token.i);
    student_interval(by_domain, c == reference ? 0 : n, STUDY_LEVEL, &out->by_domain);
}

static int judge_all(const struct study_view *v, struct bucket_difference *differences, struct error *err)
{
    int n = v->study->n_configurations * N_BUCKETS, members = 0;
    struct judged **family = malloc((size_t)n * sizeof(struct judged *));

    if (!family)
        return error_no_memory(err, "losses by token frequency");
    for (int i = 0; i < n; i++) {
        if (differences[i].seeds > 0)
            family[members++] = &differences[i].by_token;
    }
    int result = judge_family(family, members, v->study->margin, STUDY_LEVEL, err);
    free(family);
    return result;
}

static int find_shown(struct bucketed *b, const struct study_view *v, struct error *err)
{
    if (study_shown(v, &b->shown, err))
        return -1;
    b->whole = calloc((size_t)b->shown.n + 1, sizeof *b->whole);
    b->by_bucket = calloc((size_t)b->shown.n * N_BUCKETS + 1, sizeof *b->by_bucket);
    return b->whole && b->by_bucket ? 0 : error_no_memory(err, "losses by token frequency");
}

/* asked: without its runs, which are those shown. */
static int read_evaluations(struct bucketed *b, struct logbook *lb, struct losses_asked asked,
                            struct error *err)
{
    struct losses_asked of_all = asked;
    struct text ids;
    int result;

    text_init(&ids);
    study_run_ids(&b->shown, &ids);
    asked.runs = of_all.runs = ids.data;
    of_all.of = NULL;
    result = ids.failed ? error_no_memory(err, "losses by token frequency")
                        : evaluations_read(b->by_bucket, b->shown.n, &b->domains, lb, &asked, err);
    if (result == 0)
        result = evaluations_read(b->whole, b->shown.n, &b->domains, lb, &of_all, err);
    for (int i = 0; i < b->shown.n && result == 0; i++)
        result = evaluation_check_kept(b->shown.runs[i].name, &b->whole[i],
                                       &b->by_bucket[(size_t)i * N_BUCKETS], &asked, err);
    text_release(&ids);
    return result;
}

static void bucketed_release(struct bucketed *b)
{
    for (int i = 0; i < b->shown.n && b->whole; i++)
        evaluation_release(&b->whole[i]);
    for (int i = 0; i < b->shown.n * N_BUCKETS && b->by_bucket; i++)
        evaluation_release(&b->by_bucket[i]);
    free(b->whole);
    free(b->by_bucket);
    domain_names_release(&b->domains);
    study_results_release(&b->shown);
}

int study_buckets(const struct study_view *v, const char *of, const char *key, const char *value,
                  struct bucket_difference *differences, struct error *err)
{
    const struct losses_asked asked = {.split = "valid", .step = -1, .of = of, .key = key, .value = value};
    struct bucketed b = {.study = v->study};
    int result = find_shown(&b, v, err);

    if (result == 0)
        result = read_evaluations(&b, v->logbook, asked, err);
    for (int c = 0; c < v->study->n_configurations && result == 0; c++) {
        for (int bucket = 0; bucket < N_BUCKETS; bucket++)
            summarise(&b, c, bucket, &differences[c * N_BUCKETS + bucket]);
    }
    if (result == 0)
        result = judge_all(v, differences, err);
    bucketed_release(&b);
    return result;
}
