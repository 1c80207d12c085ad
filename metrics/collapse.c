#include "metrics/collapse.h"

#include <math.h>

const char *const collapse_state_names[5] = {"no_data", "never", "transient", "censored", "collapsed"};

/* ---- one evaluation ---- */

struct collapse_rule collapse_rule_default(void)
{
    return (struct collapse_rule){COLLAPSE_RULE_VERSION, 0.5, 0.5, 0.9, 0.5, 3, 50};
}

/* With k/N above this, balance itself comes near the bar of the top share. */
static const double top_share_applies = 0.5;
/* With k/N above this, k experts used and no others are not far from the bar of the effective experts. */
static const double effective_applies = 0.25;

void collapse_rule_describe(const struct collapse_rule *rule, struct text *t)
{
    text_printf(
        t,
        "rule %d: k-aware load entropy below %g, or fewer than %g of the experts effective (e^H; where k/N "
        "is at "
        "most %g), or one expert with more than %g of the tokens (where "
        "k/N is at most %g), or at least %g of the experts without any, for %d evaluations and to the "
        "end; evaluations of fewer than %g tokens an expert skipped",
        rule->version, rule->entropy_below, rule->effective_share, effective_applies, rule->top_share_above,
        top_share_applies, rule->dead_share, rule->lasting, rule->tokens_per_expert);
}

int collapse_breach(const struct collapse_rule *rule, const struct load_summary *load)
{
    int n = load->n_experts;
    if (!(load->n_tokens > 0) || load->n_tokens < rule->tokens_per_expert * n || !(load->total > 0))
        return BREACH_UNKNOWN;
    int breach = 0;
    if (load->entropy_k_aware < rule->entropy_below)
        breach |= BREACH_ENTROPY;
    if (load->k <= effective_applies * n && load->effective_experts < rule->effective_share * n)
        breach |= BREACH_EFFECTIVE;
    if (load->k <= top_share_applies * n && load->top_share_of_tokens > rule->top_share_above)
        breach |= BREACH_TOP_SHARE;
    if (load->dead_experts > 0 && load->dead_experts >= rule->dead_share * n)
        breach |= BREACH_DEAD;
    return breach;
}

/* ---- a series ---- */

void collapse_judge(const int *breach, const int64_t *step, int n, int lasting, struct collapse_verdict *v)
{
    *v = (struct collapse_verdict){.onset_step = -1, .first_breach_step = -1};
    int run = 0, run_reasons = 0, all_reasons = 0; /* the breach that lasts up to here */
    int64_t run_step = -1;
    for (int i = 0; i < n; i++) {
        if (breach[i] == BREACH_UNKNOWN) {
            v->n_skipped++;
            continue;
        }
        v->n_evaluations++;
        if (breach[i] == 0) {
            run = run_reasons = 0;
            continue;
        }
        if (run++ == 0)
            run_step = step[i];
        run_reasons |= breach[i];
        all_reasons |= breach[i];
        if (v->n_breached++ == 0)
            v->first_breach_step = step[i];
        v->longest = run > v->longest ? run : v->longest;
    }
    if (v->n_evaluations == 0)
        v->state = COLLAPSE_NO_DATA;
    else if (v->n_breached == 0)
        v->state = COLLAPSE_NEVER;
    else if (run == 0)
        v->state = COLLAPSE_TRANSIENT;
    else
        v->state = run < lasting ? COLLAPSE_CENSORED : COLLAPSE_COLLAPSED;
    v->onset_step = run > 0 ? run_step : -1;
    v->from_start = run > 0 && run == v->n_evaluations;
    v->reasons = run > 0 ? run_reasons : all_reasons;
}

/* ---- balanced but untrained ---- */

struct untrained_rule untrained_rule_default(void)
{
    return (struct untrained_rule){1, 0.9, 0.98, 0.9};
}

int untrained_breach(const struct untrained_rule *rule, double load_entropy_k_aware,
                     double router_entropy_normalised, double agreement_with_start)
{
    if (isnan(load_entropy_k_aware) || (isnan(router_entropy_normalised) && isnan(agreement_with_start)))
        return BREACH_UNKNOWN;
    if (!(load_entropy_k_aware > rule->load_entropy_above))
        return 0;
    int breach = 0;
    if (router_entropy_normalised > rule->router_entropy_above)
        breach |= UNTRAINED_INDIFFERENT;
    if (agreement_with_start > rule->agreement_above)
        breach |= UNTRAINED_UNCHANGED;
    return breach;
}
