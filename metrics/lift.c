#include "metrics/lift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/sample.h"
#include "metrics/specialization.h"

struct work {
    const double *count, *tokens;
    int n_documents, n_domains, n_experts, n_cells;
    int *domain;           /* (n_documents) as they are, or exchanged */
    int *size;             /* (n_domains) documents */
    double *domain_tokens; /* (n_domains) */
    double *sum;           /* (n_domains, n_experts) */
    double *sum_tokens;    /* (n_domains) */
    double *share, *lift;  /* (n_domains, n_experts) */
    float *drawn;          /* (n_cells, n_draws) */
    double *sorted;        /* (n_draws) */
};

static void work_release(struct work *w)
{
    free(w->domain);
    free(w->size);
    free(w->domain_tokens);
    free(w->sum);
    free(w->sum_tokens);
    free(w->share);
    free(w->lift);
    free(w->drawn);
    free(w->sorted);
}

static int work_allocate(struct work *w, int n_draws, struct error *err)
{
    size_t n_documents = (size_t)w->n_documents, n_domains = (size_t)w->n_domains,
           n_cells = (size_t)w->n_cells;
    w->domain = calloc(n_documents + 1, sizeof *w->domain);
    w->size = calloc(n_domains + 1, sizeof *w->size);
    w->domain_tokens = calloc(n_domains + 1, sizeof *w->domain_tokens);
    w->sum = calloc(n_cells + 1, sizeof *w->sum);
    w->sum_tokens = calloc(n_domains + 1, sizeof *w->sum_tokens);
    w->share = calloc(n_cells + 1, sizeof *w->share);
    w->lift = calloc(n_cells + 1, sizeof *w->lift);
    w->drawn = calloc(n_cells * (size_t)n_draws + 1, sizeof *w->drawn);
    w->sorted = calloc((size_t)n_draws + 1, sizeof *w->sorted);
    if (w->domain && w->size && w->domain_tokens && w->sum && w->sum_tokens && w->share && w->lift &&
        w->drawn && w->sorted)
        return 0;
    work_release(w);
    return error_no_memory(err, "the lifts");
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

/* A domain's weight among all is no chance: a half of it stands for as many tokens as it has. */
static void restore_weights(struct work *w)
{
    for (int domain = 0; domain < w->n_domains; domain++) {
        double *sum = w->sum + (size_t)domain * (size_t)w->n_experts;
        double scale = w->sum_tokens[domain] > 0 ? w->domain_tokens[domain] / w->sum_tokens[domain] : 0;
        for (int e = 0; e < w->n_experts; e++)
            sum[e] *= scale;
        w->sum_tokens[domain] *= scale;
    }
}

/* Random halves: every document is in with a probability of one half. Their figures lie about the true one as
 * a symmetric chance would have it (typical values: Hartigan 1969), however few and unequal the documents
 * are; those of documents drawn with replacement lie too close. */
static void draw_halves(struct work *w, int n_draws, struct random *r)
{
    for (int i = 0; i < n_draws; i++) {
        uint64_t bits = 0;
        clear_sums(w);
        for (int d = 0; d < w->n_documents; d++) {
            bits = d % 64 == 0 ? random_bits(r) : bits >> 1;
            if (bits & 1)
                add_document(w, d, w->domain[d]);
        }
        restore_weights(w);
        domain_specialization(w->sum, w->sum_tokens, w->n_domains, w->n_experts, NULL, w->lift);
        for (int c = 0; c < w->n_cells; c++)
            w->drawn[(size_t)c * (size_t)n_draws + (size_t)i] = (float)w->lift[c];
    }
}

/* A half may miss a domain, or an expert altogether; its lift is then unknown and left out. */
static void set_interval(struct work *w, int c, const struct interval_options *o, struct lift_cell *cell)
{
    int n = 0, domain = c / w->n_experts;
    cell->low = cell->high = NAN;
    if (w->size[domain] < o->min_documents)
        return;
    for (int i = 0; i < o->n_draws; i++) {
        double lift = (double)w->drawn[(size_t)c * (size_t)o->n_draws + (size_t)i];
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
                int n_experts, const struct interval_options *o, struct random *r, struct lift_cell *cells,
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
    int result = work_allocate(&w, o->n_draws, err);
    if (result == 0) {
        memcpy(w.domain, domain, (size_t)n_documents * sizeof *domain);
        for (int d = 0; d < n_documents; d++) {
            w.size[domain[d]]++;
            w.domain_tokens[domain[d]] += tokens[d];
        }
        measure(&w);
        for (int c = 0; c < w.n_cells; c++)
            cells[c] = (struct lift_cell){.share = w.share[c], .lift = w.lift[c]};
        draw_halves(&w, o->n_draws, r);
        for (int c = 0; c < w.n_cells; c++)
            set_interval(&w, c, o, &cells[c]);
        exchange(&w, o->n_draws, r, cells, tails, tails + w.n_cells);
        work_release(&w);
    }
    free(tails);
    return result;
}
