/* The other alarm: routers that look healthy because they do nothing. */
#include <math.h>

#include "analysis/shared/collapse.h"
#include "analysis/shared/probe.h"

static int read_router_entropy(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct query *q;
    int more;
    for (int i = 0; i < c->n_series; i++)
        c->series[i].router_entropy = NAN;
    if (query_open(&q, a->logbook, "analysis/collapse_router", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    collapse_bind(c, q);
    while ((more = query_step(q, err)) == 1) {
        int layer = analysis_layer_index(a, query_int(q, "layer"));
        if (layer >= 0)
            c->series[layer].router_entropy = query_real(q, "router_entropy");
    }
    query_close(q);
    return more;
}

double collapse_router_entropy(const struct collapse *c, int layer)
{
    return c->series[layer].router_entropy / log(collapse_last_window(c, layer)->n_experts);
}

/* How many first choices of the last pass are still those of the first, in one layer. */
static int compare_passes(struct load_series *s, const struct moe_layer *of, const struct probe_pass *start,
                          const struct probe_pass *end, struct error *err)
{
    struct agreement agreement;
    if (agreement_init(&agreement, of->n_experts, err) != 0)
        return -1;
    int result = 0;
    for (int i = 0; i < end->n && result == 0; i++) {
        const struct probe_entry *e = &end->entries[i];
        const struct probe_entry *before = probe_pass_find(start, e->layer, e->sample_id);
        if (e->layer == of->layer && before)
            result = agreement_add(&agreement, &before->slots, &e->slots, err);
    }
    if (result == 0)
        agreement_rates(&agreement, &s->since_start);
    agreement_release(&agreement);
    return result;
}

static int compare_with_start(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct probe_pass start = {0}, end = {0};
    for (int i = 0; i < c->n_series; i++)
        c->series[i].since_start = (struct agreement_rates){.first = NAN, .first_chance = NAN};
    if (probe_span(a->logbook, a->run_id, &c->probe_first, &c->probe_last, err) != 0)
        return -1;
    if (c->probe_first != 0 || c->probe_last <= 0)
        return 0; /* no untrained router to compare with, or nothing but it */
    int result = probe_pass_read(&start, a->logbook, a->run_id, 0, err);
    if (result == 0)
        result = probe_pass_read(&end, a->logbook, a->run_id, c->probe_last, err);
    for (int i = 0; i < c->n_series && result == 0; i++)
        result = compare_passes(&c->series[i], &a->layers[i], &start, &end, err);
    probe_pass_release(&start);
    probe_pass_release(&end);
    return result;
}

int collapse_judge_routers(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct untrained_rule rule = untrained_rule_default();
    if (read_router_entropy(c, a, err) != 0 || compare_with_start(c, a, err) != 0)
        return -1;
    for (int i = 0; i < c->n_series; i++) {
        struct load_series *s = &c->series[i];
        s->untrained = untrained_breach(&rule, collapse_last_window(c, i)->entropy_k_aware,
                                        collapse_router_entropy(c, i), s->since_start.first);
    }
    return 0;
}
