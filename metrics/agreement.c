/* Slot lists compared with one another: along a text, and between two routers on one text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/specialization.h"

/* One token's experts. */
struct choice {
    const int32_t *expert;
    int n;
};

static struct choice slots_choice(const struct slots *s, int t)
{
    return (struct choice){s->expert + s->offset[t], s->offset[t + 1] - s->offset[t]};
}

static int choices_shared(struct choice a, struct choice b)
{
    int shared = 0;
    for (int i = 0; i < a.n; i++)
        for (int j = 0; j < b.n; j++)
            shared += a.expert[i] == b.expert[j];
    return shared;
}

static void choice_count(struct choice c, double *first, double *members)
{
    first[c.expert[0]]++;
    for (int i = 0; i < c.n; i++)
        members[c.expert[i]]++;
}

static double product(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* ---- repetition ---- */

int repetition_init(struct repetition *p, int n_experts, int lag, struct error *err)
{
    *p = (struct repetition){.n_experts = n_experts, .lag = lag};
    if (lag < 1)
        return error_set(err, STATUS_USAGE, "a lag is at least 1, not %d", lag);
    size_t n = (size_t)n_experts;
    p->first = calloc(4 * n, sizeof *p->first);
    if (!p->first)
        return error_no_memory(err, "counts of repetition");
    p->members = p->first + n;
    p->scratch = p->members + n;
    return 0;
}

void repetition_release(struct repetition *p)
{
    free(p->first);
    *p = (struct repetition){0};
}

/* The sequence's own counts into scratch and the totals; returns its tokens with a choice. */
static double repetition_count(struct repetition *p, const struct slots *sequence)
{
    double *first = p->scratch, *members = p->scratch + p->n_experts, n_tokens = 0;
    memset(p->scratch, 0, 2 * (size_t)p->n_experts * sizeof *p->scratch);
    for (int t = 0; t < sequence->n_tokens; t++) {
        struct choice c = slots_choice(sequence, t);
        if (c.n > 0)
            choice_count(c, first, members);
        n_tokens += c.n > 0;
    }
    for (int e = 0; e < p->n_experts; e++) {
        p->first[e] += first[e];
        p->members[e] += members[e];
    }
    p->n_tokens += n_tokens;
    return n_tokens;
}

void repetition_add(struct repetition *p, const struct slots *sequence)
{
    double n_tokens = repetition_count(p, sequence), n_pairs = 0;
    for (int t = 0; t + p->lag < sequence->n_tokens; t++) {
        struct choice a = slots_choice(sequence, t), b = slots_choice(sequence, t + p->lag);
        if (a.n == 0 || b.n == 0)
            continue;
        n_pairs++;
        p->same_first += a.expert[0] == b.expert[0];
        p->shared += choices_shared(a, b);
        p->sizes += a.n + b.n;
    }
    p->n_pairs += n_pairs;
    if (n_pairs == 0)
        return;
    /* Two different tokens: c (c - 1) of n (n - 1) ordered pairs agree on an expert that c of them have. */
    const double *first = p->scratch, *members = p->scratch + p->n_experts;
    double ordered = n_tokens * (n_tokens - 1);
    for (int e = 0; e < p->n_experts; e++) {
        p->within_first += n_pairs * first[e] * (first[e] - 1) / ordered;
        p->within_shared += n_pairs * members[e] * (members[e] - 1) / ordered;
    }
}

void repetition_rates(const struct repetition *p, struct repetition_rates *rates)
{
    *rates = (struct repetition_rates){p->n_pairs, NAN, NAN, NAN, NAN, NAN, NAN};
    if (!(p->n_pairs > 0))
        return;
    double squared = p->n_tokens * p->n_tokens, mean_size = p->sizes / p->n_pairs; /* |A| + |B| */
    rates->first = p->same_first / p->n_pairs;
    rates->first_chance = product(p->first, p->first, p->n_experts) / squared;
    rates->first_within = p->within_first / p->n_pairs;
    rates->overlap = 2 * p->shared / p->sizes;
    rates->overlap_chance = 2 * product(p->members, p->members, p->n_experts) / squared / mean_size;
    rates->overlap_within = 2 * p->within_shared / p->sizes;
}

/* ---- agreement ---- */

int agreement_init(struct agreement *a, int n_experts, struct error *err)
{
    size_t n = (size_t)n_experts;
    *a = (struct agreement){.n_experts = n_experts};
    a->first[0] = calloc(4 * n, sizeof *a->first[0]);
    if (!a->first[0])
        return error_no_memory(err, "counts of agreement");
    a->first[1] = a->first[0] + n;
    a->members[0] = a->first[1] + n;
    a->members[1] = a->members[0] + n;
    return 0;
}

void agreement_release(struct agreement *a)
{
    free(a->first[0]);
    *a = (struct agreement){0};
}

int agreement_add(struct agreement *a, const struct slots *left, const struct slots *right, struct error *err)
{
    if (left->n_tokens != right->n_tokens)
        return error_set(err, STATUS_INPUT, "decisions of %d and of %d tokens cannot be compared",
                         left->n_tokens, right->n_tokens);
    for (int t = 0; t < left->n_tokens; t++) {
        struct choice both[2] = {slots_choice(left, t), slots_choice(right, t)};
        if (both[0].n == 0 || both[1].n == 0)
            continue;
        a->n_tokens++;
        a->same_first += both[0].expert[0] == both[1].expert[0];
        a->shared += choices_shared(both[0], both[1]);
        for (int i = 0; i < 2; i++) {
            a->sizes[i] += both[i].n;
            choice_count(both[i], a->first[i], a->members[i]);
        }
    }
    return 0;
}

static double above(double rate, double chance)
{
    return 1 - chance > 1e-12 ? (rate - chance) / (1 - chance) : NAN;
}

void agreement_rates(const struct agreement *a, struct agreement_rates *rates)
{
    *rates = (struct agreement_rates){a->n_tokens, NAN, NAN, NAN, NAN, NAN, NAN};
    if (!(a->n_tokens > 0))
        return;
    double sizes = a->sizes[0] + a->sizes[1], n = a->n_tokens;
    rates->overlap = 2 * a->shared / sizes;
    rates->overlap_chance = 2 * product(a->members[0], a->members[1], a->n_experts) / n / sizes;
    rates->overlap_above = above(rates->overlap, rates->overlap_chance);
    rates->first = a->same_first / n;
    rates->first_chance = product(a->first[0], a->first[1], a->n_experts) / n / n;
    rates->first_above = above(rates->first, rates->first_chance);
}

/* ---- fluctuation ---- */

void fluctuation_last(const int32_t *expert, int n_evaluations, int64_t n_tokens, int32_t *last)
{
    for (int64_t t = 0; t < n_tokens; t++)
        last[t] = -1;
    if (n_evaluations < 2)
        return;
    const int32_t *final = expert + (n_evaluations - 1) * n_tokens;
    for (int i = 0; i < n_evaluations - 1; i++) {
        const int32_t *now = expert + i * n_tokens;
        for (int64_t t = 0; t < n_tokens; t++)
            if (now[t] != final[t])
                last[t] = i;
    }
}

void fluctuation_after(const int32_t *last, int n_evaluations, int64_t n_tokens, double *after)
{
    for (int i = 0; i < n_evaluations; i++)
        after[i] = 0;
    for (int64_t t = 0; t < n_tokens; t++)
        if (last[t] >= 0)
            after[last[t]]++;
    for (int i = n_evaluations - 2; i >= 0; i--)
        after[i] += after[i + 1];
    for (int i = 0; i < n_evaluations; i++)
        after[i] = n_tokens > 0 ? after[i] / (double)n_tokens : NAN;
}

void fluctuation_chance(const double *first, int n_evaluations, int n_experts, double *chance)
{
    size_t n = (size_t)n_experts;
    const double *final = first + (size_t)(n_evaluations - 1) * n;
    double n_tokens = 0;
    for (int e = 0; e < n_experts; e++)
        n_tokens += final[e];
    for (int i = 0; i < n_evaluations; i++)
        chance[i] = n_tokens > 0 ? 1 : NAN;
    for (int e = 0; e < n_experts && n_tokens > 0; e++) {
        double settled = final[e] / n_tokens; /* tokens that end there and are there from evaluation i on */
        for (int i = n_evaluations - 1; i >= 0; i--) {
            if (i < n_evaluations - 1)
                settled *= first[(size_t)i * n + (size_t)e] / n_tokens;
            chance[i] -= settled;
        }
    }
    if (n_tokens > 0)
        chance[n_evaluations - 1] = 0; /* whatever the rounding */
}
