/* What a monitor knows, in words: the same in the tables, in the verdict and in a live alarm. */
#include <math.h>

#include "metrics/monitor.h"

struct named_bit {
    int bit;
    const char *name;
};

/* "load entropy + dead experts": no comma, so that the table can be cut at them. */
static void add_bits(struct text *t, int bits, const struct named_bit *names, size_t n)
{
    const char *separator = "";
    for (size_t i = 0; i < n; i++)
        if (bits & names[i].bit) {
            text_printf(t, "%s%s", separator, names[i].name);
            separator = " + ";
        }
}

void breach_add_reasons(struct text *t, int breach)
{
    static const struct named_bit reasons[] = {{BREACH_EVERYTHING, "experts a token"},
                                               {BREACH_ENTROPY, "load entropy"},
                                               {BREACH_EFFECTIVE, "effective experts"},
                                               {BREACH_TOP_SHARE, "top share"},
                                               {BREACH_DEAD, "dead experts"}};
    add_bits(t, breach, reasons, sizeof reasons / sizeof *reasons);
}

void untrained_add_reasons(struct text *t, int untrained)
{
    static const struct named_bit alarms[] = {{UNTRAINED_NO_OPINION, "no opinion"},
                                              {UNTRAINED_UNCHANGED, "unchanged"}};
    if (untrained <= 0)
        text_add(t, untrained == 0 ? "none" : "unknown");
    else
        add_bits(t, untrained, alarms, sizeof alarms / sizeof *alarms);
}

/* "3 dead (0, 7, 12; the first since step 400)"; eight numbers at most. */
static void add_dead(struct text *t, const struct monitor *m, int layer)
{
    const struct load_summary *now = monitor_last(m, layer);
    int said = 0, first = m->n_windows;
    if (now->dead_experts == 0) {
        text_add(t, "none dead");
        return;
    }
    text_printf(t, "%d dead (", now->dead_experts);
    for (int e = 0; e < now->n_experts; e++) {
        int since = monitor_dead_since(m, layer, e);
        if (since < m->n_windows && said++ < 8)
            text_printf(t, "%s%d", said > 1 ? ", " : "", e);
        first = since < first ? since : first;
    }
    text_printf(t, "%s; %s step %lld)", said > 8 ? ", ..." : "", said > 1 ? "the first since" : "since",
                (long long)m->windows[first].first_step);
}

void monitor_add_figures(struct text *t, const struct monitor *m, int layer)
{
    const struct load_summary *now = monitor_last(m, layer);
    if (isnan(now->effective_experts)) {
        text_add(t, "no load at all");
        return;
    }
    text_printf(t, "%.1f of %d effective experts, ", now->effective_experts, now->n_experts);
    if (m->series[layer].of.k == 0 && !isnan(now->k))
        text_printf(t, "%.1f for a token, ", now->k);
    add_dead(t, m, layer);
    if (!isnan(now->top_share_of_tokens))
        text_printf(t, ", the busiest takes %.0f %% of the tokens", 100 * now->top_share_of_tokens);
}

void collapse_add_onset(struct text *t, const struct collapse_verdict *v)
{
    if (v->from_start)
        text_printf(t, "from the start (step %lld)", (long long)v->onset_step);
    else
        text_printf(t, "since step %lld", (long long)v->onset_step);
}
