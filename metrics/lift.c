#include "metrics/lift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/sample.h"
#include "metrics/specialization.h"

struct work {
    const double *count, *tokens;
    int n_documents, n_domains, n_experts, n_cells;
    int *domain;          /* (n_documents) as they are, or exchanged */
    int *member;          /* documents by domain, domain after domain */
    int *first;           /* (n_domains + 1) where each begins in member */
    double *sum;          /* (n_domains, n_experts) */
    double *sum_tokens;   /* (n_domains) */
    double *share, *lift; /* (n_domains, n_experts) */
    float *resampled;     /* (n_cells, n_resamples) */
    double *sorted;       /* (n_resamples) */
};

static void work_release(struct work *w)
{
    free(w->domain);
    free(w->member);
    free(w->first);
    free(w->sum);
    free(w->sum_tokens);
    free(w->share);
    free(w->lift);
    free(w->resampled);
    free(w->sorted);
}

static int work_allocate(struct work *w, int n_resamples, struct error *err)
{
    size_t n_documents = (size_t)w->n_documents, n_domains = (size_t)w->n_domains,
           n_cells = (size_t)w->n_cells;
    w->domain = calloc(n_documents + 1, sizeof *w->domain);
    w->member = calloc(n_documents + 1, sizeof *w->member);
    w->first = calloc(n_domains + 1, sizeof *w->first);
    w->sum = calloc(n_cells + 1, sizeof *w->sum);
    w->sum_tokens = calloc(n_domains + 1, sizeof *w->sum_tokens);
    w->share = calloc(n_cells + 1, sizeof *w->share);
    w->lift = calloc(n_cells + 1, sizeof *w->lift);
    w->resampled = calloc(n_cells * (size_t)n_resamples + 1, sizeof *w->resampled);
    w->sorted = calloc((size_t)n_resamples + 1, sizeof *w->sorted);
    if (w->domain && w->member && w->first && w->sum && w->sum_tokens && w->share && w->lift &&
        w->resampled && w->sorted)
        return 0;
    work_release(w);
    return error_no_memory(err, "the lifts");
}

/* Counting sort of the documents by domain. */
static void group(struct work *w)
{
    int n = 0;
    for (int domain = 0; domain < w->n_domains; domain++) {
        w->first[domain] = n;
        for (int d = 0; d < w->n_documents; d++)
            if (w->domain[d] == domain)
                w->member[n++] = d;
    }
    w->first[w->n_domains] = n;
}

static void clear_sums(struct work *w)
{
    memset(w->sum, 0, (size_t)w->n_cells * sizeof *w->sum);
    memset(w->sum_tokens, 0, (size_t)w->n_domains * sizeof *w->sum_tokens);
}

static void add_document(struct work *w, int document, int domain)
{
    const double *count = w->count + (size_t)document * (size_t)w->n_experts;
    double *sum = w->sum + (size_t)domain * (size_t)w->n_experts;
    for (int e = 0; e < w->n_experts; e++)
        sum[e] += count[e];
    w->sum_tokens[domain] += w->tokens[document];
}

/* Shares and lifts of the documents in the domains they are now given. */
static void measure(struct work *w)
{
    clear_sums(w);
    for (int d = 0; d < w->n_documents; d++)
        add_document(w, d, w->domain[d]);
    domain_specialization(w->sum, w->sum_tokens, w->n_domains, w->n_experts, w->share, w->lift);
}

static void resample(struct work *w, int n_resamples, struct random *r)
{
    for (int i = 0; i < n_resamples; i++) {
        clear_sums(w);
        for (int domain = 0; domain < w->n_domains; domain++) {
            int first = w->first[domain], n = w->first[domain + 1] - first;
            for (int drawn = 0; drawn < n; drawn++)
                add_document(w, w->member[first + (int)random_below(r, (uint64_t)n)], domain);
        }
        domain_specialization(w->sum, w->sum_tokens, w->n_domains, w->n_experts, NULL, w->lift);
        for (int c = 0; c < w->n_cells; c++)
            w->resampled[(size_t)c * (size_t)n_resamples + (size_t)i] = (float)w->lift[c];
    }
}

/* A resample may miss an expert altogether; its lift is then unknown and left out. */
static void set_interval(struct work *w, int c, const struct bootstrap_options *o, struct lift_cell *cell)
{
    int n = 0, domain = c / w->n_experts;
    cell->low = cell->high = NAN;
    if (w->first[domain + 1] - w->first[domain] < o->min_documents)
        return;
    for (int i = 0; i < o->n_resamples; i++) {
        double lift = (double)w->resampled[(size_t)c * (size_t)o->n_resamples + (size_t)i];
        if (!isnan(lift))
            w->sorted[n++] = lift;
    }
    sample_sort(w->sorted, n);
    cell->low = quantile_sorted(w->sorted, n, (1 - o->level) / 2);
    cell->high = quantile_sorted(w->sorted, n, (1 + o->level) / 2);
}

/* How often exchanged domains give each cell a lift as small, and as large, as its own. */
static void exchange(struct work *w, int n_permutations, struct random *r, struct lift_cell *cells,
                     int *small, int *large)
{
    for (int i = 0; i < n_permutations; i++) {
        random_shuffle(r, w->domain, w->n_documents);
        measure(w);
        for (int c = 0; c < w->n_cells; c++) {
            double margin = 1e-9 * cells[c].lift;
            small[c] += w->lift[c] <= cells[c].lift + margin;
            large[c] += w->lift[c] >= cells[c].lift - margin;
        }
    }
    for (int c = 0; c < w->n_cells; c++) {
        int fewer = small[c] < large[c] ? small[c] : large[c];
        double p = 2 * (1.0 + fewer) / (1.0 + n_permutations);
        cells[c].p = isnan(cells[c].lift) ? NAN : p < 1 ? p : 1;
    }
}

int domain_lift(const double *count, const double *tokens, const int *domain, int n_documents, int n_domains,
                int n_experts, const struct bootstrap_options *o, struct random *r, struct lift_cell *cells,
                struct error *err)
{
    struct work w = {.count = count,
                     .tokens = tokens,
                     .n_documents = n_documents,
                     .n_domains = n_domains,
                     .n_experts = n_experts,
                     .n_cells = n_domains * n_experts};
    int *tails = calloc((size_t)w.n_cells * 2 + 1, sizeof *tails);
    if (!tails)
        return error_no_memory(err, "the lifts");
    int result = work_allocate(&w, o->n_resamples, err);
    if (result == 0) {
        memcpy(w.domain, domain, (size_t)n_documents * sizeof *domain);
        group(&w);
        measure(&w);
        for (int c = 0; c < w.n_cells; c++)
            cells[c] = (struct lift_cell){.share = w.share[c], .lift = w.lift[c]};
        resample(&w, o->n_resamples, r);
        for (int c = 0; c < w.n_cells; c++)
            set_interval(&w, c, o, &cells[c]);
        exchange(&w, o->n_resamples, r, cells, tails, tails + w.n_cells);
        work_release(&w);
    }
    free(tails);
    return result;
}
