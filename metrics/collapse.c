#include "metrics/collapse.h"

#include <math.h>
#include <string.h>

const char *const collapse_state_names[6] = {"no_data",  "never",     "transient",
                                             "censored", "collapsed", "no_choice"};

/* ---- one evaluation ---- */

struct collapse_rule collapse_rule_default(void)
{
    return (struct collapse_rule){COLLAPSE_RULE_VERSION, 0.5, 0.5, 0.9, 0.5, 0.9, 3, 50};
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
        "is at most %g), or one expert with more than %g of the tokens (where k/N is at most %g), or at "
        "least %g of the experts without any, or, where tokens differ in how many they get, %g of the "
        "experts or more for a token; for %d evaluations and to the end; evaluations of fewer than %g tokens "
        "an expert skipped",
        rule->version, rule->entropy_below, rule->effective_share, effective_applies, rule->top_share_above,
        top_share_applies, rule->dead_share, rule->everything_share, rule->lasting, rule->tokens_per_expert);
}

int collapse_breach(const struct collapse_rule *rule, const struct load_summary *load, bool varies)
{
    int n = load->n_experts;
    if (!(load->n_tokens > 0) || load->n_tokens < rule->tokens_per_expert * n || !(load->total > 0))
        return BREACH_UNKNOWN;
    if (varies && n > 1 && load->k >= rule->everything_share * n)
        return BREACH_EVERYTHING;
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

const struct collapse_verdict collapse_unjudged = {
    .state = COLLAPSE_NO_DATA, .onset_step = -1, .first_breach_step = -1};

static enum collapse_state state_of(const struct collapse_verdict *v, int lasting)
{
    if (v->n_breached == 0)
        return COLLAPSE_NEVER;
    if (v->at_end == 0)
        return COLLAPSE_TRANSIENT;
    return v->at_end < lasting ? COLLAPSE_CENSORED : COLLAPSE_COLLAPSED;
}

static void follow_breach(struct collapse_verdict *v, int breach, int64_t step)
{
    if (v->at_end++ == 0) {
        v->onset_step = step;
        v->reasons = 0;
    }
    v->reasons |= breach;
    v->all_reasons |= breach;
    if (v->n_breached++ == 0)
        v->first_breach_step = step;
    v->longest = v->at_end > v->longest ? v->at_end : v->longest;
}

void collapse_follow(struct collapse_verdict *v, int breach, int64_t step, int lasting)
{
    if (breach == BREACH_UNKNOWN) {
        v->n_skipped++;
        return;
    }
    v->n_evaluations++;
    if (breach) {
        follow_breach(v, breach, step);
    } else {
        v->at_end = 0;
        v->onset_step = -1;
        v->reasons = v->all_reasons;
    }
    v->last_reasons = breach;
    v->from_start = v->at_end > 0 && v->at_end == v->n_evaluations;
    v->state = state_of(v, lasting);
}

void collapse_judge(const int *breach, const int64_t *step, int n, int lasting, struct collapse_verdict *v)
{
    *v = collapse_unjudged;
    for (int i = 0; i < n; i++)
        collapse_follow(v, breach[i], step[i], lasting);
}

/* ---- balanced but untrained ---- */

struct untrained_rule untrained_rule_default(void)
{
    return (struct untrained_rule){2, 0.9, 0.98, 0.9, 0.25};
}

bool untrained_by_design(const char *router)
{
    return strcmp(router, "hash") == 0 || strcmp(router, "single_gate") == 0;
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
        breach |= UNTRAINED_NO_OPINION;
    if (agreement_with_start > rule->agreement_above)
        breach |= UNTRAINED_UNCHANGED;
    return breach;
}
