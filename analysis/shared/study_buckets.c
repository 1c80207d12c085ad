/* Where a configuration is better or worse than the reference: losses by how frequent a token is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/study.h"

enum { MOST_SEEDS = 64 };

struct bucket_sum { /* of a configuration, seed, bucket and domain */
    double n_tokens, loss_sum;
};
struct sums {
    struct bucket_sum *cells; /* (n_configurations, n_seeds, N_BUCKETS, n_domains) */
    int64_t *domains;
    int n_domains, room; /* room: domains that cells are laid out for */
};

static struct bucket_sum *cell_at(const struct sums *sums, const struct study *s, int c, int k, int bucket,
                                  int domain)
{
    size_t row = ((size_t)c * (size_t)s->n_seeds + (size_t)k) * N_BUCKETS + (size_t)bucket;

    return &sums->cells[row * (size_t)sums->room + (size_t)domain];
}

static int index_of(int64_t *items, int *n, int64_t item)
{
    for (int i = 0; i < *n; i++) {
        if (items[i] == item)
            return i;
    }
    items[(*n)++] = item;
    return *n - 1;
}

static int seed_index(const struct study *s, int64_t seed)
{
    for (int k = 0; k < s->n_seeds; k++) {
        if (s->seeds[k] == seed)
            return k;
    }
    return -1;
}

static int read_sums(struct sums *sums, const struct study *s, struct query *q, struct error *err)
{
    int more;

    while ((more = query_step(q, err)) == 1) {
        const struct configuration *c = study_configuration(s, query_word(q, "configuration"));
        int k = seed_index(s, query_int(q, "seed")), bucket = (int)query_int(q, "bucket");
        int domain = index_of(sums->domains, &sums->n_domains, query_int(q, "domain_id"));
        if (sums->n_domains > sums->room)
            return error_set(err, STATUS_INPUT, "more than %d domains", sums->room - 1);
        if (!c || k < 0 || bucket < 0 || bucket >= N_BUCKETS)
            continue;
        struct bucket_sum *cell = cell_at(sums, s, (int)(c - s->configurations), k, bucket, domain);
        cell->n_tokens += query_real(q, "n_tokens");
        cell->loss_sum += query_real(q, "loss_sum");
    }
    return more;
}

static struct bucket_sum over_domains(const struct sums *sums, const struct study *s, int c, int k,
                                      int bucket)
{
    struct bucket_sum all = {0};

    for (int d = 0; d < sums->n_domains; d++) {
        const struct bucket_sum *one = cell_at(sums, s, c, k, bucket, d);
        all.n_tokens += one->n_tokens;
        all.loss_sum += one->loss_sum;
    }
    return all;
}

/* Mean over the domains that both have tokens of. */
static double domain_difference(const struct sums *sums, const struct study *s, int c, int reference, int k,
                                int bucket)
{
    double sum = 0.0;
    int n = 0;

    for (int d = 0; d < sums->n_domains; d++) {
        const struct bucket_sum *a = cell_at(sums, s, c, k, bucket, d),
                                *b = cell_at(sums, s, reference, k, bucket, d);
        if (a->n_tokens == 0.0 || b->n_tokens == 0.0)
            continue;
        sum += a->loss_sum / a->n_tokens - b->loss_sum / b->n_tokens;
        n++;
    }
    return sum / n;
}

static void summarise(const struct sums *sums, const struct study *s, int c, int reference, int bucket,
                      struct bucket_difference *out)
{
    double by_token[MOST_SEEDS], by_domain[MOST_SEEDS];
    int n = 0, pairs = 0;

    *out = (struct bucket_difference){0};
    for (int k = 0; k < s->n_seeds && k < MOST_SEEDS; k++) {
        struct bucket_sum mine = over_domains(sums, s, c, k, bucket),
                          theirs = over_domains(sums, s, reference, k, bucket);
        if (mine.n_tokens == 0.0)
            continue;
        n++;
        out->tokens += mine.n_tokens;
        out->loss += mine.loss_sum / mine.n_tokens;
        if (theirs.n_tokens == 0.0 || c == reference)
            continue;
        by_token[pairs] = mine.loss_sum / mine.n_tokens - theirs.loss_sum / theirs.n_tokens;
        by_domain[pairs++] = domain_difference(sums, s, c, reference, k, bucket);
    }
    out->tokens /= n;
    out->loss /= n;
    student_interval(by_token, pairs, 0.95, &out->by_token);
    student_interval(by_domain, pairs, 0.95, &out->by_domain);
    out->verdict = interval_verdict(&out->by_token, s->margin);
}

int study_buckets(const struct study *s, struct logbook *lb, const char *of, const char *key,
                  const char *value, struct bucket_difference *differences, struct error *err)
{
    enum { ROOM = 256 };
    size_t rows = (size_t)s->n_configurations * (size_t)s->n_seeds * N_BUCKETS;
    struct sums sums = {.room = ROOM,
                        .cells = calloc(rows * ROOM, sizeof *sums.cells),
                        .domains = calloc(ROOM + 1, sizeof *sums.domains)};
    int result = -1;
    struct query *q = NULL;

    if (!sums.cells || !sums.domains) {
        error_no_memory(err, "losses by token frequency");
    } else if (query_open(&q, lb, "analysis/study_buckets", err) == 0) {
        query_bind_text(q, ":of", of);
        if (key) {
            query_bind_text(q, ":key", key);
            query_bind_text(q, ":value", value);
        }
        result = read_sums(&sums, s, q, err);
        for (int c = 0; c < s->n_configurations && result == 0; c++) {
            for (int bucket = 0; bucket < N_BUCKETS; bucket++)
                summarise(&sums, s, c, study_reference(s, s->configurations[c].ablation), bucket,
                          &differences[c * N_BUCKETS + bucket]);
        }
    }
    query_close(q);
    free(sums.cells);
    free(sums.domains);
    return result;
}
