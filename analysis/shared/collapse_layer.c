/* What is said of one layer's loads, in the tables and in the verdict. */
#include <math.h>

#include "analysis/shared/collapse.h"

const char *collapse_state_word(enum collapse_state state)
{
    return state == COLLAPSE_NEVER ? "healthy" : collapse_state_names[state];
}

/* "load entropy + dead experts": no comma, so that the table can be cut at them. */
static void add_reasons(struct text *t, int breach)
{
    static const struct {
        int bit;
        const char *name;
    } reasons[] = {{BREACH_ENTROPY, "load entropy"},
                   {BREACH_EFFECTIVE, "effective experts"},
                   {BREACH_TOP_SHARE, "top share"},
                   {BREACH_DEAD, "dead experts"}};
    const char *separator = "";
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (breach & reasons[i].bit) {
            text_printf(t, "%s%s", separator, reasons[i].name);
            separator = " + ";
        }
}

/* "3 dead (0, 7, 12; the first since step 400)"; eight numbers at most. */
static void add_dead(struct text *t, const struct collapse *c, int layer)
{
    const struct load_summary *now = collapse_last_window(c, layer);
    int said = 0, first = c->n_windows;
    if (now->dead_experts == 0) {
        text_add(t, "none dead");
        return;
    }
    text_printf(t, "%d dead (", now->dead_experts);
    for (int e = 0; e < now->n_experts; e++) {
        int since = collapse_dead_since(c, layer, e);
        if (since < c->n_windows && said++ < 8)
            text_printf(t, "%s%d", said > 1 ? ", " : "", e);
        first = since < first ? since : first;
    }
    text_printf(t, "%s; %s step %lld)", said > 8 ? ", ..." : "", said > 1 ? "the first since" : "since",
                (long long)c->windows[first].first_step);
}

void collapse_add_figures(struct text *t, const struct collapse *c, int layer)
{
    const struct load_summary *now = collapse_last_window(c, layer);
    if (isnan(now->effective_experts)) {
        text_add(t, "no load at all");
        return;
    }
    text_printf(t, "%.1f of %d effective experts, ", now->effective_experts, now->n_experts);
    add_dead(t, c, layer);
    if (!isnan(now->top_share_of_tokens))
        text_printf(t, ", the busiest takes %.0f %% of the tokens", 100 * now->top_share_of_tokens);
}

void collapse_add_onset(struct text *t, const struct collapse *c, int layer)
{
    const struct collapse_verdict *v = &c->series[layer].verdict;
    if (v->from_start)
        text_printf(t, "from the start (step %lld)", (long long)v->onset_step);
    else
        text_printf(t, "since step %lld", (long long)v->onset_step);
}

/* Windows in breach at the end, in a row. */
static int breached_at_end(const struct collapse *c, int layer)
{
    const struct load_series *s = &c->series[layer];
    int n = 0;
    for (int w = c->n_windows - 1; w >= 0 && s->breach[w] != 0; w--)
        n += s->breach[w] > 0;
    return n;
}

void collapse_add_detail(struct text *t, const struct collapse *c, int layer)
{
    const struct load_series *s = &c->series[layer];
    const struct collapse_verdict *v = &s->verdict;
    switch (v->state) {
    case COLLAPSE_NO_DATA:
        text_printf(t, "no window has %.0f tokens an expert", c->rule.tokens_per_expert);
        break;
    case COLLAPSE_NEVER:
        text_printf(t, "never in breach in %d windows", v->n_evaluations);
        break;
    case COLLAPSE_TRANSIENT:
        text_printf(t, "in breach in %d of %d windows from step %lld to %lld (", v->n_breached,
                    v->n_evaluations, (long long)v->first_breach_step, (long long)s->last_breach);
        add_reasons(t, v->reasons);
        text_add(t, ") but not at the end");
        break;
    case COLLAPSE_CENSORED:
        text_printf(t, "in breach in the last %d windows (", breached_at_end(c, layer));
        add_reasons(t, v->reasons);
        text_printf(t, "); %d make a collapse", c->rule.lasting);
        break;
    case COLLAPSE_COLLAPSED:
        text_printf(t, "in breach in the last %d of %d windows (", breached_at_end(c, layer),
                    v->n_evaluations);
        add_reasons(t, v->reasons);
        text_add(t, ")");
        break;
    }
}

const char *collapse_alarm_word(int untrained)
{
    switch (untrained) {
    case 0:
        return "none";
    case UNTRAINED_INDIFFERENT:
        return "indifferent";
    case UNTRAINED_UNCHANGED:
        return "unchanged";
    case UNTRAINED_INDIFFERENT | UNTRAINED_UNCHANGED:
        return "indifferent and unchanged";
    }
    return "unknown";
}
