#include "analysis/shared/difficulty.h"

#include <stdlib.h>
#include <string.h>

enum { TENTHS = 10 };

void difficulty_release(struct difficulty *d)
{
    free(d->sample);
    free(d->first);
    free(d->tenth);
    *d = (struct difficulty){0};
}

static int by_id(const void *a, const void *b)
{
    const struct probe_sample *const *x = a, *const *y = b;
    return ((*x)->sample_id > (*y)->sample_id) - ((*x)->sample_id < (*y)->sample_id);
}

static int difficulty_init(struct difficulty *d, const struct documents *documents, struct error *err)
{
    size_t n = (size_t)documents->n_samples;
    const struct probe_sample **sorted = malloc((n + 1) * sizeof *sorted);
    *d = (struct difficulty){malloc((n + 1) * sizeof *d->sample), malloc((n + 1) * sizeof *d->first),
                             malloc((size_t)documents->n_tokens + 1), documents->n_samples};
    if (!sorted || !d->sample || !d->first || !d->tenth) {
        free(sorted);
        difficulty_release(d);
        return error_no_memory(err, "the tokens' difficulty");
    }
    for (size_t i = 0; i < n; i++)
        sorted[i] = &documents->samples[i];
    qsort(sorted, n, sizeof *sorted, by_id);
    d->first[0] = 0;
    for (size_t i = 0; i < n; i++) {
        d->sample[i] = sorted[i]->sample_id;
        d->first[i + 1] = d->first[i] + sorted[i]->n_tokens;
    }
    memset(d->tenth, -1, (size_t)documents->n_tokens + 1);
    free(sorted);
    return 0;
}

/* Where the token is in d->tenth; -1: it is none of the probe's. */
static int place_of(const struct difficulty *d, int64_t sample_id, int64_t position)
{
    int low = 0, high = d->n_samples;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (d->sample[middle] < sample_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == d->n_samples || d->sample[low] != sample_id || position < 0 ||
        position >= d->first[low + 1] - d->first[low])
        return -1;
    return d->first[low] + (int)position;
}

int difficulty_of(const struct difficulty *d, int64_t sample_id, int position)
{
    int place = place_of(d, sample_id, position);
    return place < 0 ? -1 : d->tenth[place];
}

struct scored_token {
    double loss;
    int place;
};

static int by_loss(const void *a, const void *b)
{
    const struct scored_token *x = a, *y = b;
    if (x->loss != y->loss)
        return x->loss < y->loss ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

static int read_losses(const struct difficulty *d, struct query *q, struct scored_token *tokens, int *n,
                       struct error *err)
{
    int more;
    *n = 0;
    while ((more = query_step(q, err)) == 1) {
        int place = place_of(d, query_int(q, "sample_id"), query_int(q, "position"));
        if (place >= 0 && *n < d->first[d->n_samples])
            tokens[(*n)++] = (struct scored_token){query_real(q, "loss"), place};
    }
    return more;
}

int difficulty_read(struct difficulty *d, struct logbook *lb, const char *run,
                    const struct documents *documents, struct error *err)
{
    int64_t run_id;
    struct query *q;
    int n = 0;
    *d = (struct difficulty){0};
    if (logbook_find_run(lb, run, &run_id, err) != 0 || difficulty_init(d, documents, err) != 0)
        return -1;
    struct scored_token *tokens = malloc(((size_t)documents->n_tokens + 1) * sizeof *tokens);
    if (!tokens)
        return error_no_memory(err, "the tokens' difficulty");
    int result = query_open(&q, lb, "analysis/demand_difficulty", err);
    if (result == 0) {
        query_bind_int(q, ":by", run_id);
        result = read_losses(d, q, tokens, &n, err);
        query_close(q);
    }
    if (result == 0 && n == 0)
        result = error_set(
            err, STATUS_INPUT,
            "run '%s' kept no losses of this probe's tokens: it takes a run of the same corpus with "
            "log.decisions = probe, held_out or all",
            run);
    if (n > 0)
        qsort(tokens, (size_t)n, sizeof *tokens, by_loss);
    for (int i = 0; i < n && result == 0; i++)
        d->tenth[tokens[i].place] = (signed char)((int64_t)i * TENTHS / n);
    free(tokens);
    return result;
}
