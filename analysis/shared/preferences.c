#include "analysis/shared/preferences.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int preference_order(const void *left, const void *right)
{
    const struct preference *a = left, *b = right;
    if (a->expert != b->expert)
        return a->expert < b->expert ? -1 : 1;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

/* Cells of one token id, sorted by document: how often each expert has it, in how many documents. */
struct token_tally {
    double *count, *share; /* (n_experts) of this id; of all */
    int *documents;        /* (n_experts) */
};

static int64_t prefer(const struct token_tally *y, int n_experts, int64_t token, struct preference *into)
{
    int64_t n = 0;
    double all = 0;
    for (int e = 0; e < n_experts; e++)
        all += y->count[e];
    for (int e = 0; e < n_experts; e++) {
        double lift = y->count[e] / all / y->share[e];
        if (y->documents[e] >= PREFERENCE_DOCUMENTS && lift > 1)
            into[n++] =
                (struct preference){e, y->documents[e], token, y->count[e], lift, y->count[e] * log(lift)};
    }
    return n;
}

/* One preference a cell at most; cells: merged. */
static int64_t collect(const struct token_cell *cells, int64_t n_cells, int n_experts,
                       const struct token_tally *y, struct preference *into)
{
    int64_t n = 0;
    double all = 0;
    for (int64_t i = 0; i < n_cells; i++) {
        y->share[cells[i].expert] += (double)cells[i].count;
        all += (double)cells[i].count;
    }
    for (int e = 0; e < n_experts; e++)
        y->share[e] /= all;
    for (int64_t i = 0; i < n_cells;) {
        int32_t token = cells[i].token;
        memset(y->count, 0, (size_t)n_experts * sizeof *y->count);
        memset(y->documents, 0, (size_t)n_experts * sizeof *y->documents);
        for (; i < n_cells && cells[i].token == token; i++) {
            y->count[cells[i].expert] += (double)cells[i].count;
            y->documents[cells[i].expert]++;
        }
        n += prefer(y, n_experts, token, into + n);
    }
    return n;
}

int preferences_find(const struct routed *s, const struct documents *d, struct preference **preferences,
                     int64_t *n, struct error *err)
{
    struct token_cell *cells;
    size_t n_experts = (size_t)s->n_experts;
    *preferences = NULL;
    if (routed_cells(s, d, s->token, false, &cells, n, err) != 0)
        return -1;
    struct token_tally tally = {calloc(n_experts, sizeof *tally.count),
                                calloc(n_experts, sizeof *tally.share),
                                calloc(n_experts, sizeof *tally.documents)};
    *preferences = malloc(((size_t)*n + 1) * sizeof **preferences);
    int result = 0;
    if (tally.count && tally.share && tally.documents && *preferences) {
        *n = collect(cells, *n, s->n_experts, &tally, *preferences);
        qsort(*preferences, (size_t)*n, sizeof **preferences, preference_order);
    } else
        result = error_no_memory(err, "the experts' tokens");
    if (result != 0) {
        free(*preferences);
        *preferences = NULL;
    }
    free(tally.count);
    free(tally.share);
    free(tally.documents);
    free(cells);
    return result;
}
