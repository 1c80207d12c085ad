/* What is said of one layer's loads, in the tables and in the verdict. */
#include "analysis/shared/collapse.h"

const char *const finding_names[N_FINDINGS] = {
    [FINDING_COLLAPSED] = "collapsed",   [FINDING_EVERYTHING] = "everything on",
    [FINDING_CENSORED] = "censored",     [FINDING_DEAD] = "dead experts",
    [FINDING_UNBALANCED] = "unbalanced", [FINDING_INDIFFERENT] = "balanced but indifferent",
    [FINDING_TRANSIENT] = "transient",   [FINDING_HEALTHY] = "healthy",
    [FINDING_FIXED] = "fixed",           [FINDING_NO_CHOICE] = "no choice",
    [FINDING_NO_DATA] = "no data"};

const char *collapse_state_word(enum collapse_state state)
{
    return state == COLLAPSE_NEVER ? "healthy" : collapse_state_names[state];
}

void collapse_add_detail(struct text *t, const struct collapse *c, int layer)
{
    const struct collapse_layer *l = &c->layers[layer];
    const struct collapse_verdict *v = &l->verdict;
    switch (v->state) {
    case COLLAPSE_NO_DATA:
        text_printf(t, "no window has %.0f tokens an expert", c->rule.tokens_per_expert);
        break;
    case COLLAPSE_NO_CHOICE:
        text_add(t, "every token gets every expert by configuration");
        break;
    case COLLAPSE_NEVER:
        text_printf(t, "never in breach in %d windows", v->n_evaluations);
        break;
    case COLLAPSE_TRANSIENT:
        text_printf(t, "in breach in %d of %d windows from step %lld to %lld (", v->n_breached,
                    v->n_evaluations, (long long)v->first_breach_step, (long long)l->last_breach);
        breach_add_reasons(t, v->reasons);
        text_add(t, ") but not at the end");
        break;
    case COLLAPSE_CENSORED:
        text_printf(t, "in breach in the last %d windows (", v->at_end);
        breach_add_reasons(t, v->reasons);
        text_printf(t, "); %d make a collapse", c->rule.lasting);
        break;
    case COLLAPSE_COLLAPSED:
        text_printf(t, "in breach in the last %d of %d windows (", v->at_end, v->n_evaluations);
        breach_add_reasons(t, v->reasons);
        text_add(t, ")");
        break;
    }
}
