#include <stdlib.h>
#include <string.h>

#include "analysis/shared/specialization.h"
#include "bench/shared/asked.h"

/* Decisions by domain and expert. table: (n_domains, n_experts) */
static void count_decisions(const struct specialization *s, const struct routed *routed, double *table)
{
    int n = routed->n_experts;
    memset(table, 0, (size_t)(specialization_domains(s) * n) * sizeof *table);
    for (int d = 0; d < s->documents.n_documents; d++)
        for (int e = 0; e < n; e++)
            table[s->documents.labels[0].value[d] * n + e] += routed->count[d * n + e];
}

/* Of one cell: this expert or another, in this domain or another. */
static double cell_chi_square(const double *table, int n_domains, int n_experts, int domain, int expert)
{
    double four[4] = {0};
    for (int d = 0; d < n_domains; d++)
        for (int e = 0; e < n_experts; e++)
            four[2 * (d != domain) + (e != expert)] += table[d * n_experts + e];
    return token_chi_square(four, 2, 2);
}

/* p: (n_layers) of whole layers, cells: (n_layers, n_domains, n_experts), table: (n_domains, n_experts) */
static void chi_squares(const struct specialization *s, double *p, double *cells, double *table)
{
    int n_domains = specialization_domains(s);
    for (int l = 0; l < s->n_routed; l++) {
        int n_experts = s->routed[l].n_experts;
        count_decisions(s, &s->routed[l], table);
        p[l] = token_chi_square(table, n_domains, n_experts);
        for (int c = 0; c < n_domains * n_experts; c++)
            cells[l * n_domains * n_experts + c] =
                cell_chi_square(table, n_domains, n_experts, c / n_experts, c % n_experts);
    }
}

static int ask_tokens_routing(const struct specialization *s, struct answers *x, struct error *err)
{
    size_t n = (size_t)specialization_domains(s) * (size_t)s->routed[0].n_experts;
    size_t n_layers = (size_t)s->n_routed;
    double *p = calloc(n_layers + n_layers * n + n, sizeof *p);
    if (!p)
        return error_no_memory(err, "the tokens' tests");
    double *cells = p + n_layers;
    chi_squares(s, p, cells, cells + n_layers * n);
    x->by_token[INFORMATION] = p[0] <= significant;
    x->by_token[LIFT_INTERVAL] = cells[0] <= significant;
    int result = token_any(p, (int)n_layers, &x->by_token[INFORMATION_ANY], err);
    if (result == 0)
        result = token_any(cells, (int)(n_layers * n), &x->by_token[LIFT], err);
    x->by_token[TELLS_APART] = x->by_token[INFORMATION_ANY];
    free(p);
    return result;
}

static void note_specialization(const struct specialization *s, const struct analysis *a, struct answers *x)
{
    for (int l = 0; l < a->n_layers; l++) {
        const struct association *of =
            associations_find(&s->associations, a->layers[l].layer, QUESTION_DOMAIN, s->step);
        x->by_document[INFORMATION] = x->by_document[INFORMATION] || (l == 0 && of->null.p <= significant);
        x->by_document[INFORMATION_ANY] = x->by_document[INFORMATION_ANY] || of->q <= significant;
        x->by_document[TELLS_APART] = x->by_document[TELLS_APART] || association_holds(of);
        for (int c = 0; c < specialization_domains(s) * a->layers[l].n_experts; c++)
            x->by_document[LIFT] = x->by_document[LIFT] || s->q[l][c] <= significant;
    }
    const struct lift_cell *cell = &s->lifts[0][0];
    x->by_document[LIFT_INTERVAL] = cell->low > 1 || cell->high < 1;
}

int asked_specialization(struct analysis *a, struct answers *x, struct error *err)
{
    struct specialization s = {.permutations = 200, .tokens_shown = 10, .step = -1};
    int result = specialization_read(&s, a, err);
    if (result == 0)
        result = specialization_associate(&s, a, err);
    if (result == 0)
        result = specialization_lift(&s, a, err);
    if (result == 0) {
        note_specialization(&s, a, x);
        result = ask_tokens_routing(&s, x, err);
    }
    specialization_release(&s);
    return result;
}
