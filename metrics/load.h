/* Load: how evenly a layer's experts are used. The argument is always one layer's loads c_1 .. c_N over a
 * window of T tokens: assignments from `expert_load`, with those that capacity refused where the router is
 * judged (zeros included: a dead expert left out makes every figure here too good), or sums of gates for soft
 * slots. Shares are q_i = c_i / sum(c).
 *
 * Entropies are in nats, logarithms natural, 0 ln 0 = 0. A figure that is not defined (no load at all, one
 * expert, k = N) is NaN, never a number that looks like an answer. No function allocates.
 *
 * Trap: with k choices a token, no expert can have more than T of the kT assignments, so that entropy cannot
 * fall below ln k however bad things are. Judge by the k-aware entropy and by c_i / T. */
#ifndef METRICS_LOAD_H
#define METRICS_LOAD_H

/* load: (n_experts), each >= 0. */

/* H = -sum q_i ln q_i; 0 (all in one expert) to ln N (uniform). Shannon 1948. */
double load_entropy(const double *load, int n_experts);
/* H / ln N; NaN for one expert. */
double load_entropy_normalised(const double *load, int n_experts);
/* (H - H_min) / (ln N - H_min), where H_min is the least entropy that c_i <= T allows: ln k for whole
 * k = sum(c) / T; for a broken k (experts vary by token, or some were dropped) the entropy of floor(k)
 * experts that have every token and one that has the rest. 0: collapsed onto k experts, 1: uniform. NaN when
 * k >= N (every expert has every token: there is nothing to balance) or n_tokens <= 0. Own definition;
 * design 5. */
double load_entropy_k_aware(const double *load, int n_experts, double n_tokens);
/* H_min above. NaN when k is not in (0, N]. */
double load_entropy_floor(double k, int n_experts);

/* e^H: the number of equally used experts that would have this entropy; 1 .. N (Hill 1973, order 1). */
double load_effective_experts(const double *load, int n_experts);
/* KL(q || uniform) = ln N - H, nats; 0 .. ln N. */
double load_kl_to_uniform(const double *load, int n_experts);

/* MaxVio = (max c_i - mean c) / mean c; 0 .. N - 1. Wang et al. 2024 (arXiv 2408.15664), section 4.1. Its
 * "global" or "batch" variant is a matter of the window the loads come from. */
double load_max_violation(const double *load, int n_experts);
/* Standard deviation over mean, deviations divided by N (not N - 1). Shazeer et al. 2017, section 4. */
double load_cv(const double *load, int n_experts);
/* Gini = sum_ij |c_i - c_j| / (2 N sum c); 0 .. (N - 1) / N. O(N^2): N is at most some hundreds. */
double load_gini(const double *load, int n_experts);
/* The same of ascending loads, however many: sum_r (2 r - N - 1) c_(r) / (N sum c), ranks r from 1. */
double load_gini_sorted(const double *load, int n_experts);

/* max c_i / T: the share of tokens that the busiest expert sees; k/N .. 1. NaN when n_tokens <= 0. */
double load_top_share_of_tokens(const double *load, int n_experts, double n_tokens);
/* max c_i / sum c: its share of assignments; 1/N .. 1/k. */
double load_top_share(const double *load, int n_experts);

/* Experts with c_i = 0. */
int load_dead_experts(const double *load, int n_experts);
/* Experts with c_i < fraction * mean c, those with zero among them (convention, no source: fraction 0.1).
 * Without any load all N count. */
int load_starved_experts(const double *load, int n_experts, double fraction);
#define LOAD_STARVED_FRACTION 0.1

/* All of it at once. */
struct load_summary {
    int n_experts;
    double n_tokens; /* T */
    double total;    /* sum c */
    double k;        /* total / T, NaN when T <= 0 */
    double entropy, entropy_normalised, entropy_k_aware;
    double effective_experts, kl_to_uniform;
    double max_violation, cv, gini;
    double top_share_of_tokens, top_share;
    int dead_experts, starved_experts;
};
void load_summarise(struct load_summary *s, const double *load, int n_experts, double n_tokens);

#endif
