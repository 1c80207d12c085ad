#include "metrics/demand.h"

#include <gsl/gsl_sort.h>
#include <math.h>
#include <stdlib.h>

const double concentration_levels[CONCENTRATION_LEVELS] = {0.5, 0.8, 0.9, 0.95};

/* Probabilities are floats: 0.7f is less than 0.7. */
static const double rounding = 1e-6;

static double probability_sum(const float *p, int n_experts)
{
    double sum = 0;
    for (int e = 0; e < n_experts; e++)
        sum += p[e];
    return sum;
}

double router_entropy(const float *p, int n_experts)
{
    double sum = probability_sum(p, n_experts), entropy = 0;
    if (!(sum > 0))
        return NAN;
    for (int e = 0; e < n_experts; e++)
        if (p[e] > 0)
            entropy -= p[e] / sum * log(p[e] / sum);
    return entropy;
}

double router_effective_experts(const float *p, int n_experts)
{
    return exp(router_entropy(p, n_experts));
}

void rank_mass(const float *p, int n_experts, double *mass)
{
    double sum = probability_sum(p, n_experts), so_far = 0;
    for (int e = 0; e < n_experts; e++)
        mass[e] = sum > 0 ? -p[e] : NAN; /* negative, so that ascending order is the largest first */
    if (!(sum > 0))
        return;
    gsl_sort(mass, 1, (size_t)n_experts);
    for (int r = 0; r < n_experts; r++) {
        so_far -= mass[r];
        mass[r] = so_far / sum;
    }
    mass[n_experts - 1] = 1;
}

int experts_for_mass(const double *mass, int n_experts, double m)
{
    if (isnan(mass[0]))
        return 0;
    int k = 1;
    while (k < n_experts && mass[k - 1] < m - rounding)
        k++;
    return k;
}

/* ---- means over tokens ---- */

int concentration_init(struct concentration *c, int n_experts, struct error *err)
{
    size_t n = (size_t)n_experts;
    *c = (struct concentration){.n_experts = n_experts};
    c->mass = calloc((2 + CONCENTRATION_LEVELS) * n, sizeof *c->mass);
    if (!c->mass)
        return error_no_memory(err, "sums of concentration");
    c->needed = c->mass + n;
    c->scratch = c->needed + CONCENTRATION_LEVELS * n;
    return 0;
}

void concentration_release(struct concentration *c)
{
    free(c->mass);
    *c = (struct concentration){0};
}

void concentration_add(struct concentration *c, const float *probability, int n_tokens)
{
    size_t n = (size_t)c->n_experts;
    for (int t = 0; t < n_tokens; t++) {
        const float *p = probability + (size_t)t * n;
        double entropy = router_entropy(p, c->n_experts);
        if (isnan(entropy))
            continue;
        c->n_tokens++;
        c->entropy += entropy;
        c->effective_experts += exp(entropy);
        rank_mass(p, c->n_experts, c->scratch);
        for (size_t r = 0; r < n; r++)
            c->mass[r] += c->scratch[r];
        for (int level = 0; level < CONCENTRATION_LEVELS; level++) {
            int k = experts_for_mass(c->scratch, c->n_experts, concentration_levels[level]);
            c->needed[(size_t)level * n + (size_t)k - 1]++;
        }
    }
}

double concentration_mean_needed(const struct concentration *c, int level)
{
    double sum = 0;
    for (int r = 0; r < c->n_experts; r++)
        sum += (r + 1) * c->needed[level * c->n_experts + r];
    return c->n_tokens > 0 ? sum / c->n_tokens : NAN;
}
