#include "metrics/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/resample.h"
#include "metrics/sample.h"

/* Counts of the documents that are in, and what the judging of a fold needs. */
struct work {
    const struct value_stream *s;
    double smoothing;
    int n_folds;
    const int32_t *value; /* as they are, or exchanged */
    float *cell;          /* (n_values, n_experts) n_ve */
    float *row;           /* (n_values) n_v */
    double *decisions;    /* (n_documents, n_experts); whatever the values are */
    double *expert;       /* (n_experts) n_e */
    double *share;        /* (n_experts) n_e / n */
    double *prior;        /* (n_experts) s q_e */
    int *order;           /* (n_documents) shuffled: the i-th is in fold i % n_folds */
    int32_t *exchanged;   /* (n_tokens) */
};

static void work_release(struct work *w)
{
    free(w->cell);
    free(w->row);
    free(w->decisions);
    free(w->expert);
    free(w->share);
    free(w->prior);
    free(w->order);
    free(w->exchanged);
}

static int work_allocate(struct work *w, struct error *err)
{
    size_t n_values = (size_t)w->s->n_values, n_experts = (size_t)w->s->n_experts;
    size_t n_documents = (size_t)w->s->n_documents, n_tokens = (size_t)w->s->first[n_documents];
    w->cell = calloc(n_values * n_experts + 1, sizeof *w->cell);
    w->row = calloc(n_values + 1, sizeof *w->row);
    w->decisions = calloc(n_documents * n_experts + 1, sizeof *w->decisions);
    w->expert = calloc(n_experts + 1, sizeof *w->expert);
    w->share = calloc(n_experts + 1, sizeof *w->share);
    w->prior = calloc(n_experts + 1, sizeof *w->prior);
    w->order = calloc(n_documents + 1, sizeof *w->order);
    w->exchanged = calloc(n_tokens + 1, sizeof *w->exchanged);
    if (w->cell && w->row && w->decisions && w->expert && w->share && w->prior && w->order && w->exchanged)
        return 0;
    work_release(w);
    return error_no_memory(err, "information on values");
}

static int work_init(struct work *w, const struct value_stream *s, const struct information_options *o,
                     struct error *err)
{
    if (o->estimator != INFORMATION_CROSS_FITTED || o->n_folds < 2 || !(o->smoothing > 0))
        return error_set(err, STATUS_USAGE,
                         "information on values is cross-fitted: 2 folds at least, smoothing > 0");
    *w = (struct work){.s = s, .smoothing = o->smoothing, .n_folds = o->n_folds, .value = s->value};
    if (work_allocate(w, err) != 0)
        return -1;
    for (int d = 0; d < s->n_documents; d++) {
        double *decisions = w->decisions + (size_t)d * (size_t)s->n_experts;
        for (int32_t i = s->slots.offset[s->first[d]]; i < s->slots.offset[s->first[d + 1]]; i++)
            decisions[s->slots.expert[i]]++;
        w->order[d] = d;
    }
    return 0;
}

/* Puts a document's decisions in (sign 1) or takes them out (-1). The hot loop of every null. */
static void count_document(struct work *w, int document, float sign)
{
    const struct value_stream *s = w->s;
    const int32_t *offset = s->slots.offset, *expert = s->slots.expert, *value = w->value;
    size_t n_experts = (size_t)s->n_experts;
    for (int32_t t = s->first[document]; t < s->first[document + 1]; t++) {
        float *cells = w->cell + (size_t)value[t] * n_experts;
        w->row[value[t]] += sign * (float)(offset[t + 1] - offset[t]);
        for (int32_t i = offset[t]; i < offset[t + 1]; i++)
            cells[expert[i]] += sign;
    }
    for (size_t e = 0; e < n_experts; e++)
        w->expert[e] += (double)sign * w->decisions[(size_t)document * n_experts + e];
}

static double total_of(const struct work *w)
{
    double total = 0;
    for (int e = 0; e < w->s->n_experts; e++)
        total += w->expert[e];
    return total;
}

static void fit(struct work *w)
{
    int n = w->s->n_experts;
    double total = total_of(w);
    for (int e = 0; e < n; e++) {
        double q = (w->expert[e] + w->smoothing / n) / (total + w->smoothing);
        w->share[e] = total > 0 ? w->expert[e] / total : 0;
        w->prior[e] = w->smoothing * q;
    }
}

/* The document's sum of log ratios. Logarithms are slow: eight ratios share one. */
static double judge_document(const struct work *w, int document)
{
    const struct value_stream *s = w->s;
    double sum = 0, numerator = 1, denominator = 1;
    int n = 0;
    for (int32_t t = s->first[document]; t < s->first[document + 1]; t++) {
        int32_t v = w->value[t];
        const float *cells = w->cell + (size_t)v * (size_t)s->n_experts;
        double row = (double)w->row[v];
        for (int32_t i = s->slots.offset[t]; i < s->slots.offset[t + 1]; i++) {
            int32_t e = s->slots.expert[i];
            numerator *= (double)cells[e] + w->prior[e];
            denominator *= row * w->share[e] + w->prior[e];
            if (++n % 8 == 0) {
                sum += log(numerator / denominator);
                numerator = denominator = 1;
            }
        }
    }
    return sum + log(numerator / denominator);
}

static double judge_fold(struct work *w, int fold, double *by_document)
{
    int n = w->s->n_documents;
    double sum = 0;
    for (int i = fold; i < n; i += w->n_folds)
        count_document(w, w->order[i], -1);
    fit(w);
    for (int i = fold; i < n; i += w->n_folds) {
        double judged = judge_document(w, w->order[i]);
        sum += judged;
        if (by_document)
            by_document[w->order[i]] = judged;
    }
    for (int i = fold; i < n; i += w->n_folds)
        count_document(w, w->order[i], 1);
    return sum;
}

/* Empties the counts: by document, or at once where that is less work. */
static void forget(struct work *w)
{
    const struct value_stream *s = w->s;
    size_t cells = (size_t)s->n_values * (size_t)s->n_experts;
    if (cells > 16 * (size_t)s->first[s->n_documents]) {
        for (int d = 0; d < s->n_documents; d++)
            count_document(w, d, -1);
        return;
    }
    memset(w->cell, 0, cells * sizeof *w->cell);
    memset(w->row, 0, (size_t)s->n_values * sizeof *w->row);
    memset(w->expert, 0, (size_t)s->n_experts * sizeof *w->expert);
}

static double estimate(struct work *w, struct random *r, double *by_document)
{
    double sum = 0;
    int n = w->s->n_documents;
    for (int d = 0; d < n; d++)
        count_document(w, d, 1);
    random_shuffle(r, w->order, n);
    double total = total_of(w);
    for (int fold = 0; fold < w->n_folds; fold++)
        sum += judge_fold(w, fold, by_document);
    forget(w);
    return total > 0 ? sum / total : NAN;
}

int value_information(const struct value_stream *s, const struct information_options *o, struct random *r,
                      double *nats, double *by_document, struct error *err)
{
    struct work w;
    if (work_init(&w, s, o, err) != 0)
        return -1;
    *nats = estimate(&w, r, by_document);
    work_release(&w);
    return 0;
}

/* The documents' values one after the other in a new order, each document's begun at a place of its own. */
static void exchange(struct work *w, struct random *r)
{
    const struct value_stream *s = w->s;
    int32_t *to = w->exchanged;
    random_shuffle(r, w->order, s->n_documents);
    for (int i = 0; i < s->n_documents; i++) {
        int32_t first = s->first[w->order[i]], n = s->first[w->order[i] + 1] - first;
        if (n <= 0)
            continue;
        int32_t turn = (int32_t)random_below(r, (uint64_t)n);
        memcpy(to, s->value + first + turn, (size_t)(n - turn) * sizeof *to);
        memcpy(to + n - turn, s->value + first, (size_t)turn * sizeof *to);
        to += n;
    }
}

static void summarise(double *estimates, int n, struct permutation_null *null)
{
    int as_large = 0;
    null->mean = 0;
    for (int i = 0; i < n; i++) {
        null->mean += estimates[i] / n;
        as_large += estimates[i] >= null->observed;
    }
    sample_sort(estimates, n);
    null->low = quantile_sorted(estimates, n, 0.025);
    null->high = quantile_sorted(estimates, n, 0.975);
    null->p = (1.0 + as_large) / (1.0 + n);
    null->n = n;
}

int value_information_null(const struct value_stream *s, const struct information_options *o,
                           int n_permutations, struct random *r, struct permutation_null *null,
                           struct error *err)
{
    struct work w;
    double *estimates = calloc((size_t)n_permutations + 1, sizeof *estimates);
    if (!estimates)
        return error_no_memory(err, "permutations");
    int result = work_init(&w, s, o, err);
    if (result == 0) {
        null->observed = estimate(&w, r, NULL);
        w.value = w.exchanged;
        for (int i = 0; i < n_permutations; i++) {
            exchange(&w, r);
            estimates[i] = estimate(&w, r, NULL);
        }
        summarise(estimates, n_permutations, null);
        work_release(&w);
    }
    free(estimates);
    return result;
}
