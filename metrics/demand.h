/* Concentration: how many experts hold how much of the router's probability, token by token.
 *
 * Trap: gate mass is the router's confidence, not the layer's need. That a token puts 0.9 on one expert does
 * not say that the others could go: call these figures concentration, and measure need by truncating k and
 * looking at the loss.
 *
 * Probabilities come as the logbook keeps them: float, one vector of N a token, perhaps rounded, so that they
 * need not add up to 1; they are scaled to do so. A vector of zeros gives NaN (0 experts). */
#ifndef METRICS_DEMAND_H
#define METRICS_DEMAND_H
#include "base/error.h"

/* p: (n_experts), each >= 0. */

/* -sum p ln p of one token, nats; 0 .. ln N. Low here and high in load_entropy: confident and balanced.
 * Huang et al. 2024 (arXiv 2403.07652), the dynamic loss. */
double router_entropy(const float *p, int n_experts);
/* e^H of one token: 1 .. N. */
double router_effective_experts(const float *p, int n_experts);
/* mass[r] = the sum of the r + 1 largest p; rises to exactly 1. mass: (n_experts). */
void rank_mass(const float *p, int n_experts, double *mass);
/* Smallest k whose mass is at least m (to within 1e-6, a float's rounding); 1 .. N, 0 when mass is NaN. mass:
 * from rank_mass. Huang et al. select the smallest k whose mass *exceeds* p: the same but for ties. */
int experts_for_mass(const double *mass, int n_experts, double m);

/* ---- means over tokens ---- */

enum { CONCENTRATION_LEVELS = 4 };
extern const double concentration_levels[CONCENTRATION_LEVELS]; /* 0.5, 0.8, 0.9, 0.95 */

struct concentration {
    int n_experts;
    double n_tokens;                   /* vectors of zeros left out */
    double entropy, effective_experts; /* sums over tokens */
    double *mass;                      /* (n_experts) sums of rank_mass */
    double *
        needed; /* (CONCENTRATION_LEVELS, n_experts) tokens whose mass reaches the level with r + 1 experts */
    double *scratch; /* (n_experts) */
};
int concentration_init(struct concentration *c, int n_experts, struct error *err);
void concentration_release(struct concentration *c);
/* probability: (n_tokens, n_experts) */
void concentration_add(struct concentration *c, const float *probability, int n_tokens);
/* Mean number of experts that reach concentration_levels[level]; NaN without tokens. Means of the others:
 * divide by n_tokens. */
double concentration_mean_needed(const struct concentration *c, int level);

#endif
