#include <stdlib.h>
#include <string.h>

#include "analysis/shared/demand.h"
#include "bench/shared/asked.h"

/* Experts that hold 90 %, of each token of a layer. mass: (n_experts) scratch. */
static void count_needed(const struct simulated *s, int layer, double *mass, double *needed)
{
    int n = s->shape.experts;
    for (int t = 0; t < s->n_tokens; t++) {
        size_t at = (size_t)layer * (size_t)s->n_tokens + (size_t)t;
        rank_mass(s->probability + at * (size_t)n, n, mass);
        needed[t] = experts_for_mass(mass, n, concentration_levels[LEVEL_90]);
    }
}

/* Every pair of layers, paired by token. */
static int ask_tokens_layers(const struct simulated *s, struct answers *x, struct error *err)
{
    size_t tokens = (size_t)s->n_tokens, layers = (size_t)s->shape.layers;
    double *needed = calloc(3 * tokens + layers * layers + (size_t)s->shape.experts, sizeof *needed);
    if (!needed)
        return error_no_memory(err, "the tokens' tests");
    double *other = needed + tokens, *difference = other + tokens, *p = difference + tokens;
    double *mass = p + layers * layers;
    int n = 0;
    for (int a = 0; a < s->shape.layers; a++) {
        count_needed(s, a, mass, needed);
        for (int b = a + 1; b < s->shape.layers; b++) {
            count_needed(s, b, mass, other);
            for (size_t t = 0; t < tokens; t++)
                difference[t] = needed[t] - other[t];
            p[n++] = token_t(difference, s->n_tokens);
        }
    }
    int result = token_any(p, n, &x->by_token[LAYERS_DIFFER], err);
    free(needed);
    return result;
}

int asked_demand(const struct simulated *s, struct analysis *a, struct answers *x, struct error *err)
{
    struct demand d = {.step = -1, .positions = 32};
    struct verdicts v = {0};
    a->state = &d;
    int result = demand_read(&d, a, err);
    if (result == 0)
        result = demand_judge(a, &v, err);
    for (int i = 0; i < v.n; i++)
        x->by_document[LAYERS_DIFFER] =
            x->by_document[LAYERS_DIFFER] || strcmp(v.lines[i].verdict, "layers differ") == 0;
    if (result == 0)
        result = ask_tokens_layers(s, x, err);
    verdicts_release(&v);
    demand_release(&d);
    return result;
}
