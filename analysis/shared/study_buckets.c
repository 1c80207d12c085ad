/* Where a configuration is better or worse than the reference: losses by how frequent a token is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/study.h"
#include "base/text.h"

struct bucketed {
    const struct study *study;
    const struct study_results *results;
    struct evaluation *evaluations; /* (results->n, N_BUCKETS) */
    struct domain_names domains;
};

/* NULL: that run has not finished, or has no tokens there. */
static const struct evaluation *find(const struct bucketed *b, int configuration, int seed, int bucket)
{
    int64_t value = b->study->seeds[seed];
    const struct study_run *run = study_results_find(b->results, configuration, value);

    if (!study_finished(b->results, configuration, value))
        return NULL;
    const struct evaluation *e = &b->evaluations[(run - b->results->runs) * N_BUCKETS + bucket];
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

static double tokens_of(const struct evaluation *e)
{
    double tokens = 0.0;

    for (int i = 0; i < e->n; i++)
        tokens += e->documents[i].n_tokens;
    return tokens;
}

static void summarise(const struct bucketed *b, int c, int bucket, struct bucket_difference *out)
{
    int reference = study_reference(b->study, b->study->configurations[c].ablation), n = 0, pairs = 0;
    double by_token[STUDY_MOST_SEEDS], by_domain[STUDY_MOST_SEEDS];

    *out = (struct bucket_difference){0};
    for (int k = 0; k < b->study->n_seeds; k++) {
        const struct evaluation *mine = find(b, c, k, bucket), *theirs = find(b, reference, k, bucket);
        if (!mine)
            continue;
        n++;
        out->tokens += tokens_of(mine);
        out->loss += evaluation_mean(mine, NATS_PER_TOKEN, -1);
        if (!theirs || c == reference)
            continue;
        by_token[pairs] =
            evaluation_mean(mine, NATS_PER_TOKEN, -1) - evaluation_mean(theirs, NATS_PER_TOKEN, -1);
        by_domain[pairs++] = domain_difference(b, mine, theirs);
    }
    out->tokens /= n;
    out->loss /= n;
    student_interval(by_token, pairs, 0.95, &out->by_token);
    student_interval(by_domain, pairs, 0.95, &out->by_domain);
}

/* The p-values of all buckets and configurations are adjusted together. */
static int judge_all(const struct study *s, struct bucket_difference *differences, struct error *err)
{
    int n = s->n_configurations * N_BUCKETS, result;
    double *p = malloc((size_t)n * sizeof *p);

    if (!p)
        return error_no_memory(err, "losses by token frequency");
    for (int i = 0; i < n; i++)
        p[i] = differences[i].by_token.n > 0 ? differences[i].by_token.p : (double)NAN;
    result = benjamini_hochberg(p, n, p, err);
    for (int i = 0; i < n && result == 0; i++) {
        struct bucket_difference *d = &differences[i];
        d->adjusted = p[i];
        d->verdict = adjusted_verdict(interval_verdict(&d->by_token, s->margin), p[i], 0.95);
    }
    free(p);
    return result;
}

/* asked: without its runs, which are the results'. */
static int read_evaluations(struct bucketed *b, struct logbook *lb, struct losses_asked asked,
                            struct error *err)
{
    struct text ids;
    int result = -1;

    text_init(&ids);
    for (int i = 0; i < b->results->n; i++)
        text_printf(&ids, "%s%lld", i ? "," : "[", (long long)b->results->runs[i].run_id);
    text_add(&ids, b->results->n > 0 ? "]" : "[]");
    b->evaluations = calloc((size_t)b->results->n * N_BUCKETS + 1, sizeof *b->evaluations);
    asked.runs = ids.data;
    if (!b->evaluations || ids.failed)
        error_no_memory(err, "losses by token frequency");
    else
        result = evaluations_read(b->evaluations, b->results->n, &b->domains, lb, &asked, err);
    text_release(&ids);
    return result;
}

int study_buckets(const struct study *s, const struct study_results *r, struct logbook *lb, const char *of,
                  const char *key, const char *value, struct bucket_difference *differences,
                  struct error *err)
{
    const struct losses_asked asked = {.split = "valid", .step = -1, .of = of, .key = key, .value = value};
    struct bucketed b = {.study = s, .results = r};
    int result = read_evaluations(&b, lb, asked, err);

    for (int c = 0; c < s->n_configurations && result == 0; c++) {
        for (int bucket = 0; bucket < N_BUCKETS; bucket++)
            summarise(&b, c, bucket, &differences[c * N_BUCKETS + bucket]);
    }
    if (result == 0)
        result = judge_all(s, differences, err);
    for (int i = 0; i < r->n * N_BUCKETS && b.evaluations; i++)
        evaluation_release(&b.evaluations[i]);
    free(b.evaluations);
    domain_names_release(&b.domains);
    return result;
}
