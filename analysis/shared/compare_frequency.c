/* Where a run is better or worse, by how frequent a token is: differences in buckets of the input's or the
 * target's count in training, paired by document and by seed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/compare.h"

static const struct evaluation *at(const struct compare *c, int run, int bucket)
{
    return &c->by_frequency[run * N_BUCKETS + bucket];
}

/* Ids are as frequent in one corpus as its own text has them: two corpora have no buckets in common. */
static int check_corpora(const struct compare *c, struct error *err)
{
    const struct compared_run *baseline = &c->runs.runs[c->baseline];
    for (int i = 0; i < c->runs.n; i++) {
        const struct compared_run *run = &c->runs.runs[i];
        if (run->corpus_id != baseline->corpus_id || run->vocabulary_id != baseline->vocabulary_id)
            return error_set(
                err, STATUS_INPUT,
                "'%s' and '%s' have different corpora or vocabularies (%s, %s): a token is not as "
                "frequent in the one as in the other, so --by has nothing to compare",
                run->name, baseline->name, run->corpus, baseline->corpus);
    }
    return 0;
}

/* ---- reading ---- */

static int read_buckets(struct compare *c, struct logbook *lb, struct error *err)
{
    const struct compared_run *baseline = &c->runs.runs[c->baseline];
    struct query *q;
    int more;
    int64_t tokens = 0;
    if (query_open(&q, lb, "analysis/compare_buckets", err) != 0)
        return -1;
    query_bind_int(q, ":run_a", baseline->run_id);
    while ((more = query_step(q, err)) == 1) {
        struct frequency_bucket *b = &c->buckets[query_int(q, "bucket")];
        *b = (struct frequency_bucket){query_int(q, "ids"), query_int(q, "train_tokens"),
                                       query_int(q, "least"), query_int(q, "most"), query_real(q, "share")};
        tokens += b->train_tokens;
    }
    query_close(q);
    if (more == 0 && tokens == 0)
        return error_set(err, STATUS_INPUT,
                         "the logbook has no counts of training tokens for the corpus of run '%s': nothing "
                         "says how frequent a token is",
                         baseline->name);
    return more;
}

static int read_losses(struct compare *c, const struct analysis *a, struct error *err)
{
    struct losses_asked asked = compare_asked(c);
    asked.of = c->of;
    c->by_frequency = calloc((size_t)c->runs.n * N_BUCKETS, sizeof *c->by_frequency);
    if (!c->by_frequency)
        return error_no_memory(err, "losses by token frequency");
    if (evaluations_read(c->by_frequency, c->runs.n, &c->domains, a->logbook, &asked, err) != 0)
        return -1;
    for (int i = 0; i < c->runs.n; i++)
        if (evaluation_check_kept(compare_name(c, i), &c->evaluations[i], at(c, i, 0), &asked, err) != 0)
            return -1;
    return 0;
}

/* ---- paired by document ---- */

static struct frequency_difference *add_row(struct frequency_differences *to, struct error *err)
{
    struct frequency_difference *items = realloc(to->items, ((size_t)to->n + 1) * sizeof *items);
    if (!items) {
        error_no_memory(err, "the differences by token frequency");
        return NULL;
    }
    to->items = items;
    items[to->n] = (struct frequency_difference){0};
    return &items[to->n++];
}

static int compare_bucket(struct compare *c, int run, int baseline, int bucket, struct error *err)
{
    const struct run_difference *whole = compare_difference(c, run, -1);
    struct paired_documents p;
    struct frequency_difference *row = NULL;
    int result = -1;
    if (paired_documents_init(&p, at(c, run, bucket), at(c, baseline, bucket), false, err) != 0)
        return -1;
    if (p.left.n == 0)
        result = 0;
    else if ((row = add_row(&c->frequency, err)) != NULL) {
        *row =
            (struct frequency_difference){.run = run, .baseline = baseline, .bucket = bucket, .n = p.left.n};
        row->unlike = whole ? whole->unlike : 0;
        row->tokens = evaluation_tokens(&p.left);
        row->loss = evaluation_mean(&p.left, NATS_PER_TOKEN, -1);
        row->baseline_loss = evaluation_mean(&p.right, NATS_PER_TOKEN, -1);
        result = paired_interval(&p, NATS_PER_TOKEN, -1, (uint64_t)c->seed, &row->by_token.i, err) != 0 ||
                         paired_interval_of_domains(&p, NATS_PER_TOKEN, (uint64_t)c->seed, &row->by_domain.i,
                                                    err) != 0
                     ? -1
                     : 0;
    }
    paired_documents_release(&p);
    return result;
}

/* ---- paired by seed ---- */

struct seed_sums { /* of the runs of a group in one bucket; (n) */
    double *by_token, *by_domain;
    int n;
};

static void add_seed(struct seed_sums *s, const struct frequency_difference *d,
                     struct frequency_difference *row)
{
    s->by_token[s->n] = d->by_token.i.estimate;
    s->by_domain[s->n++] = d->by_domain.i.estimate;
    row->tokens += d->tokens;
    row->loss += d->loss;
    row->baseline_loss += d->baseline_loss;
}

static int compare_group_bucket(struct compare *c, int group, int bucket, struct seed_sums *s,
                                struct error *err)
{
    struct frequency_difference row = {
        .run = group, .baseline = c->runs.runs[c->baseline].group, .bucket = bucket};
    struct frequency_difference *added;
    s->n = 0;
    for (int i = 0; i < c->frequency.n; i++) {
        const struct frequency_difference *d = &c->frequency.items[i];
        if (d->bucket == bucket && c->runs.runs[d->run].group == group && !d->unlike &&
            isfinite(d->by_token.i.estimate) && !compare_is_repeated(c, d->run))
            add_seed(s, d, &row);
    }
    if (s->n == 0)
        return 0;
    row.n = s->n;
    row.tokens /= s->n;
    row.loss /= s->n;
    row.baseline_loss /= s->n;
    student_interval(s->by_token, s->n, compare_level, &row.by_token.i);
    student_interval(s->by_domain, s->n, compare_level, &row.by_domain.i);
    if (!(added = add_row(&c->frequency_seeds, err)))
        return -1;
    *added = row;
    return 0;
}

static int compare_seeds(struct compare *c, struct error *err)
{
    size_t n = (size_t)c->runs.n;
    struct seed_sums s = {malloc(n * sizeof(double)), malloc(n * sizeof(double)), 0};
    int result = s.by_token && s.by_domain ? 0 : error_no_memory(err, "the seeds");
    for (int g = 0; g < c->runs.n_groups && compare_is_grouped(c); g++)
        for (int b = 0; b < N_BUCKETS && g != c->runs.runs[c->baseline].group && result == 0; b++)
            result = compare_group_bucket(c, g, b, &s, err);
    free(s.by_token);
    free(s.by_domain);
    return result;
}

/* ---- what stands ---- */

/* All buckets and runs (or groups) are one family. Who read different pieces is not judged. */
static int judge_all(const struct compare *c, struct frequency_differences *all, bool by_domain,
                     struct error *err)
{
    struct judged **family = malloc(((size_t)all->n + 1) * sizeof(struct judged *));
    if (!family)
        return error_no_memory(err, "the differences by token frequency");
    for (int i = 0; i < all->n; i++)
        family[i] = by_domain ? &all->items[i].by_domain : &all->items[i].by_token;
    int result = judge_family(family, all->n, c->margin, compare_level, err);
    for (int i = 0; i < all->n; i++)
        if (all->items[i].unlike)
            family[i]->verdict = VERDICT_UNDETERMINED;
    free(family);
    return result;
}

int compare_by_frequency(struct compare *c, const struct analysis *a, struct error *err)
{
    if (check_corpora(c, err) != 0 || read_buckets(c, a->logbook, err) != 0 || read_losses(c, a, err) != 0)
        return -1;
    for (int i = 0; i < c->runs.n; i++) {
        int partner = compare_partner(c, i);
        for (int b = 0; b < N_BUCKETS && partner >= 0; b++)
            if (compare_bucket(c, i, partner, b, err) != 0)
                return -1;
    }
    if (compare_seeds(c, err) != 0)
        return -1;
    for (int by_domain = 0; by_domain < 2; by_domain++)
        if (judge_all(c, &c->frequency, by_domain, err) != 0 ||
            judge_all(c, &c->frequency_seeds, by_domain, err) != 0)
            return -1;
    return 0;
}
