#include "metrics/specialization.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- domains ---- */

void domain_specialization(const double *assignments, const double *tokens, int n_domains, int n_experts,
                           double *share, double *lift)
{
    size_t n = (size_t)n_experts;
    double all_tokens = 0;
    for (int d = 0; d < n_domains; d++)
        all_tokens += tokens[d];
    for (size_t e = 0; e < n; e++) {
        double all = 0;
        for (size_t d = 0; d < (size_t)n_domains; d++)
            all += assignments[d * n + e];
        for (size_t d = 0; d < (size_t)n_domains; d++) {
            double own = tokens[d] > 0 ? assignments[d * n + e] / tokens[d] : NAN;
            if (share)
                share[d * n + e] = own;
            if (lift)
                lift[d * n + e] = all > 0 ? own / (all / all_tokens) : NAN;
        }
    }
}

/* ---- token ids ---- */

/* The two halves of the documents, and the expert counts of one id (then of the layer) in each. */
struct halves {
    size_t n_experts;
    int *order, *half; /* (n_documents) */
    double *id;        /* (2, n_experts) of the id at hand */
    double *layer;     /* (2, n_experts) of all ids */
};

static void halves_release(struct halves *h)
{
    free(h->order);
    free(h->id);
}

static int halves_init(struct halves *h, int n_documents, int n_experts, struct random *r, struct error *err)
{
    size_t documents = (size_t)n_documents;
    *h = (struct halves){.n_experts = (size_t)n_experts};
    h->order = malloc((2 * documents + 1) * sizeof *h->order);
    h->id = calloc(4 * h->n_experts, sizeof *h->id);
    if (!h->order || !h->id)
        return error_no_memory(err, "the documents' halves");
    h->half = h->order + documents;
    h->layer = h->id + 2 * h->n_experts;
    for (int i = 0; i < n_documents; i++)
        h->order[i] = i;
    random_shuffle(r, h->order, n_documents);
    for (int i = 0; i < n_documents; i++)
        h->half[h->order[i]] = i % 2;
    return 0;
}

static size_t largest(const double *count, size_t n)
{
    size_t best = 0;
    for (size_t e = 1; e < n; e++)
        if (count[e] > count[best])
            best = e;
    return best;
}

static double sum_of(const double *count, size_t n)
{
    double sum = 0;
    for (size_t e = 0; e < n; e++)
        sum += count[e];
    return sum;
}

/* Of one id's cells, those in the half that judges: what its favourite has of each document. */
static void judge_documents(const struct halves *h, const struct token_cell *cells, int64_t n, int half,
                            size_t favourite, double k_choices, struct vocabulary_documents *by_document)
{
    for (int64_t i = 0; i < n; i++) {
        int d = cells[i].document;
        if (h->half[d] != half)
            continue;
        by_document->occurrences[d] += cells[i].count / k_choices;
        if ((size_t)cells[i].expert == favourite)
            by_document->favourite[d] += cells[i].count;
    }
}

/* Adds one id's part, which `cells` are, to the sums that v holds until the end. */
static void vocabulary_add(const struct halves *h, const struct token_cell *cells, int64_t n_cells,
                           double k_choices, double min_count, struct vocabulary_specialization *v,
                           struct vocabulary_documents *by_document)
{
    size_t n = h->n_experts;
    double most = 0, seen[2];
    for (size_t e = 0; e < n; e++)
        most = fmax(most, h->id[e] + h->id[n + e]);
    for (size_t i = 0; i < 2; i++)
        seen[i] = sum_of(h->id + i * n, n) / k_choices;
    v->official += most / (seen[0] + seen[1]);
    v->n_ids++;
    int took_part = 0;
    for (size_t chosen = 0; chosen < 2; chosen++) {
        const double *judged = h->id + (1 - chosen) * n;
        if (seen[chosen] < min_count || !(seen[chosen] > 0) || !(seen[1 - chosen] > 0))
            continue;
        size_t favourite = largest(h->id + chosen * n, n);
        if (by_document)
            judge_documents(h, cells, n_cells, 1 - (int)chosen, favourite, k_choices, by_document);
        v->held_out += judged[favourite];
        v->chance += judged[largest(h->layer + chosen * n, n)];
        v->n_held_out += seen[1 - chosen];
        took_part = 1;
    }
    v->n_held_out_ids += took_part;
}

static int cells_check(const struct token_cell *cells, int64_t n_cells, int n_documents, int n_experts,
                       struct error *err)
{
    for (int64_t i = 0; i < n_cells; i++)
        if (cells[i].document < 0 || cells[i].document >= n_documents || cells[i].expert < 0 ||
            cells[i].expert >= n_experts || (i > 0 && cells[i].token < cells[i - 1].token))
            return error_set(err, STATUS_INPUT,
                             "cell %lld is out of range (document %d of %d, expert %d of %d) or unsorted",
                             (long long)i, cells[i].document, n_documents, cells[i].expert, n_experts);
    return 0;
}

int vocabulary_specialization(const struct token_cell *cells, int64_t n_cells, int n_documents, int n_experts,
                              double k_choices, double min_count, struct random *r,
                              struct vocabulary_specialization *v, struct vocabulary_documents *by_document,
                              struct error *err)
{
    struct halves h = {0};
    int64_t first = 0;
    int result = -1;
    *v = (struct vocabulary_specialization){0};
    for (int d = 0; by_document && d < n_documents; d++)
        by_document->favourite[d] = by_document->occurrences[d] = 0;
    if (cells_check(cells, n_cells, n_documents, n_experts, err) ||
        halves_init(&h, n_documents, n_experts, r, err))
        goto out;
    for (int64_t i = 0; i < n_cells; i++)
        h.layer[(size_t)h.half[cells[i].document] * h.n_experts + (size_t)cells[i].expert] += cells[i].count;
    for (int64_t i = 0; i < n_cells; i++) {
        h.id[(size_t)h.half[cells[i].document] * h.n_experts + (size_t)cells[i].expert] += cells[i].count;
        if (i + 1 == n_cells || cells[i + 1].token != cells[i].token) {
            vocabulary_add(&h, cells + first, i + 1 - first, k_choices, min_count, v, by_document);
            memset(h.id, 0, 2 * h.n_experts * sizeof *h.id);
            first = i + 1;
        }
    }
    v->official = v->n_ids > 0 ? v->official / v->n_ids : NAN;
    v->held_out = v->n_held_out > 0 ? v->held_out / v->n_held_out : NAN;
    v->chance = v->n_held_out > 0 ? v->chance / v->n_held_out : NAN;
    result = 0;
out:
    halves_release(&h);
    return result;
}

/* ---- pairs of experts ---- */

int coactivation_init(struct coactivation *c, int n_experts, struct error *err)
{
    size_t n = (size_t)n_experts;
    *c = (struct coactivation){.n_experts = n_experts, .pairs = calloc(n * n, sizeof *c->pairs)};
    return c->pairs ? 0 : error_no_memory(err, "pairs of experts");
}

void coactivation_release(struct coactivation *c)
{
    free(c->pairs);
    *c = (struct coactivation){0};
}

void coactivation_add(struct coactivation *c, const struct slots *s)
{
    size_t n = (size_t)c->n_experts;
    for (int t = 0; t < s->n_tokens; t++) {
        const int32_t *own = s->expert + s->offset[t];
        int k = s->offset[t + 1] - s->offset[t];
        for (int i = 0; i < k; i++)
            for (int j = 0; j < k; j++)
                c->pairs[(size_t)own[i] * n + (size_t)own[j]]++;
        c->n_tokens += k > 0;
    }
}

void coactivation_given(const struct coactivation *c, double *given)
{
    size_t n = (size_t)c->n_experts;
    for (size_t i = 0; i < n; i++) {
        double own = c->pairs[i * n + i];
        for (size_t j = 0; j < n; j++)
            given[i * n + j] = own > 0 ? c->pairs[i * n + j] / own : NAN;
    }
}

/* Row factors that give the margins with the column factors as they are; the largest relative change. */
static double scale_factors(const double *margin, const double *other, double *factor, size_t n)
{
    double sum = sum_of(other, n), change = 0;
    for (size_t i = 0; i < n; i++) {
        double reach = sum - other[i], next = reach > 0 ? margin[i] / reach : 0;
        if (next > 0)
            change = fmax(change, fabs(next - factor[i]) / next);
        factor[i] = next;
    }
    return change;
}

int coactivation_expected(const struct coactivation *c, double *expected, struct error *err)
{
    enum { MOST_ROUNDS = 2000 }; /* a few dozen do, but for an expert that is in almost every pair */
    size_t n = (size_t)c->n_experts;
    double *margin = calloc(3 * n, sizeof *margin);
    if (!margin)
        return error_no_memory(err, "expected pairs");
    double *row = margin + n, *column = row + n, change = 1;
    for (size_t i = 0; i < n; i++) {
        margin[i] = sum_of(c->pairs + i * n, n) - c->pairs[i * n + i];
        column[i] = margin[i];
    }
    for (int round = 0; round < MOST_ROUNDS && change > 1e-13; round++) {
        change = scale_factors(margin, column, row, n);
        change = fmax(change, scale_factors(margin, row, column, n));
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) /* equal but for rounding; their mean is symmetric */
            expected[i * n + j] =
                i == j ? c->pairs[i * n + i] : (row[i] * column[j] + row[j] * column[i]) / 2;
    free(margin);
    return 0;
}

double coactivation_departure(const struct coactivation *c, const double *expected)
{
    size_t n = (size_t)c->n_experts;
    double differences = 0, pairs = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            if (i != j) {
                differences += fabs(c->pairs[i * n + j] - expected[i * n + j]);
                pairs += c->pairs[i * n + j];
            }
    return pairs > 0 ? differences / (2 * pairs) : NAN;
}
