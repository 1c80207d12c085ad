#include "metrics/load.h"

#include <math.h>

static double load_sum(const double *load, int n_experts)
{
    double sum = 0;
    for (int i = 0; i < n_experts; i++)
        sum += load[i];
    return sum;
}

static double load_max(const double *load, int n_experts)
{
    double max = 0;
    for (int i = 0; i < n_experts; i++)
        max = fmax(max, load[i]);
    return max;
}

/* (value - low) / (high - low), with the last bits of rounding kept out of "below 0" and "above 1". */
static double between(double value, double low, double high)
{
    const double rounding = 1e-12;
    if (!(high - low > rounding))
        return NAN;
    double x = (value - low) / (high - low);
    if (x < 0 && x > -rounding)
        return 0;
    return x > 1 && x < 1 + rounding ? 1 : x;
}

double load_entropy(const double *load, int n_experts)
{
    double sum = load_sum(load, n_experts), entropy = 0;
    if (!(sum > 0))
        return NAN;
    for (int i = 0; i < n_experts; i++) {
        double q = load[i] / sum;
        if (q > 0)
            entropy -= q * log(q);
    }
    return entropy;
}

double load_entropy_normalised(const double *load, int n_experts)
{
    return between(load_entropy(load, n_experts), 0, log(n_experts));
}

double load_entropy_floor(double k, int n_experts)
{
    if (!(k > 0 && k <= n_experts))
        return NAN;
    /* floor(k) experts have a share 1/k each, one more has the rest; k < 1 is one expert alone. */
    double whole = floor(k), rest = 1 - whole / k;
    double entropy = whole / k * log(k);
    return rest > 0 ? entropy - rest * log(rest) : entropy;
}

double load_entropy_k_aware(const double *load, int n_experts, double n_tokens)
{
    double k = n_tokens > 0 ? load_sum(load, n_experts) / n_tokens : NAN;
    return between(load_entropy(load, n_experts), load_entropy_floor(k, n_experts), log(n_experts));
}

double load_effective_experts(const double *load, int n_experts)
{
    return exp(load_entropy(load, n_experts));
}

double load_kl_to_uniform(const double *load, int n_experts)
{
    /* Never below 0 but by rounding. A NaN must stay one, hence not fmax. */
    double kl = log(n_experts) - load_entropy(load, n_experts);
    return kl < 0 ? 0 : kl;
}

double load_max_violation(const double *load, int n_experts)
{
    double mean = load_sum(load, n_experts) / n_experts;
    return mean > 0 ? load_max(load, n_experts) / mean - 1 : NAN;
}

double load_cv(const double *load, int n_experts)
{
    double mean = load_sum(load, n_experts) / n_experts, squares = 0;
    if (!(mean > 0))
        return NAN;
    for (int i = 0; i < n_experts; i++)
        squares += (load[i] - mean) * (load[i] - mean);
    return sqrt(squares / n_experts) / mean;
}

double load_gini(const double *load, int n_experts)
{
    double sum = load_sum(load, n_experts), differences = 0;
    if (!(sum > 0))
        return NAN;
    for (int i = 0; i < n_experts; i++)
        for (int j = 0; j < i; j++)
            differences += fabs(load[i] - load[j]); /* once a pair: the 2 of the formula */
    return differences / (n_experts * sum);
}

double load_gini_sorted(const double *load, int n_experts)
{
    double sum = load_sum(load, n_experts), weighted = 0;
    for (int i = 0; i < n_experts; i++)
        weighted += (2.0 * i + 1 - n_experts) * load[i];
    return sum > 0 ? weighted / (n_experts * sum) : NAN;
}

double load_top_share_of_tokens(const double *load, int n_experts, double n_tokens)
{
    return n_tokens > 0 ? load_max(load, n_experts) / n_tokens : NAN;
}

double load_top_share(const double *load, int n_experts)
{
    double sum = load_sum(load, n_experts);
    return sum > 0 ? load_max(load, n_experts) / sum : NAN;
}

int load_dead_experts(const double *load, int n_experts)
{
    int dead = 0;
    for (int i = 0; i < n_experts; i++)
        dead += load[i] <= 0;
    return dead;
}

int load_starved_experts(const double *load, int n_experts, double fraction)
{
    double bar = fraction * load_sum(load, n_experts) / n_experts;
    int starved = 0;
    for (int i = 0; i < n_experts; i++)
        starved += load[i] <= 0 || load[i] < bar;
    return starved;
}

void load_summarise(struct load_summary *s, const double *load, int n_experts, double n_tokens)
{
    double total = load_sum(load, n_experts);
    *s = (struct load_summary){
        .n_experts = n_experts,
        .n_tokens = n_tokens,
        .total = total,
        .k = n_tokens > 0 ? total / n_tokens : NAN,
        .entropy = load_entropy(load, n_experts),
        .entropy_normalised = load_entropy_normalised(load, n_experts),
        .entropy_k_aware = load_entropy_k_aware(load, n_experts, n_tokens),
        .effective_experts = load_effective_experts(load, n_experts),
        .kl_to_uniform = load_kl_to_uniform(load, n_experts),
        .max_violation = load_max_violation(load, n_experts),
        .cv = load_cv(load, n_experts),
        .gini = load_gini(load, n_experts),
        .top_share_of_tokens = load_top_share_of_tokens(load, n_experts, n_tokens),
        .top_share = load_top_share(load, n_experts),
        .dead_experts = load_dead_experts(load, n_experts),
        .starved_experts = load_starved_experts(load, n_experts, LOAD_STARVED_FRACTION),
    };
}
