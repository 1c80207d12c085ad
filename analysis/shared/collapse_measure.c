/* The loads of a run, through the monitor, and what follows from them for each layer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/collapse.h"

void collapse_release(struct collapse *c)
{
    monitor_release(&c->monitor);
    free(c->layers);
    free(c->random.run);
}

int collapse_count(const struct collapse *c, enum finding finding)
{
    int n = 0;
    for (int i = 0; i < c->n_layers; i++)
        n += c->layers[i].finding == finding;
    return n;
}

bool collapse_is_balanced(const struct collapse *c, int layer)
{
    const struct load_summary *now = monitor_last(&c->monitor, layer);
    return now->dead_experts == 0 && !(now->entropy_k_aware < untrained_rule_default().load_entropy_above);
}

/* ---- reading ---- */

static const char *const splits[] = {"train", "valid", "probe", "routed", "seen"};

void collapse_bind(const struct collapse *c, struct query *q)
{
    query_bind_text(q, ":split", c->split);
}

/* Logs of other engines need not be of training. */
static int choose_split(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct query *q;
    if (c->split)
        return 0;
    c->split = "train";
    if (query_open(&q, a->logbook, "analysis/collapse_split", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    int more = query_step(q, err);
    for (size_t i = 0; more == 1 && i < sizeof splits / sizeof *splits; i++)
        if (strcmp(splits[i], query_word(q, "split")) == 0)
            c->split = splits[i];
    query_close(q);
    return more < 0 ? -1 : 0;
}

static int read_run(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct query *q;
    if (query_open(&q, a->logbook, "analysis/collapse_run", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    collapse_bind(c, q);
    int result = query_step(q, err);
    if (result == 1) {
        snprintf(c->status, sizeof c->status, "%s", query_word(q, "status"));
        c->last_step = query_is_null(q, "last_step") ? -1 : query_int(q, "last_step");
        int64_t planned = query_is_null(q, "planned_steps") ? 0 : query_int(q, "planned_steps");
        c->planned_steps = planned > c->last_step ? planned : c->last_step + 1;
    }
    query_close(q);
    return result < 0 ? -1 : 0;
}

static int open_monitor(struct collapse *c, const struct analysis *a, struct error *err)
{
    bool training = strcmp(c->split, "train") == 0;
    struct monitor_setting setting = {.rule = c->rule,
                                      .planned_steps = c->planned_steps,
                                      .window_steps = c->window_steps > 0 || training ? c->window_steps : 1};
    struct monitor_layer *layers = calloc((size_t)a->n_layers, sizeof *layers);
    if (!layers)
        return error_no_memory(err, "the loads");
    for (int i = 0; i < a->n_layers; i++)
        layers[i] = (struct monitor_layer){a->layers[i].layer, a->layers[i].n_experts, a->layers[i].k,
                                           a->layers[i].fixed};
    int result = monitor_init(&c->monitor, &setting, layers, a->n_layers, err);
    free(layers);
    return result;
}

int collapse_open(struct collapse *c, const struct analysis *a, struct error *err)
{
    c->read_step = -1;
    if (choose_split(c, a, err) != 0 || read_run(c, a, err) != 0 || open_monitor(c, a, err) != 0)
        return -1;
    c->layers = calloc((size_t)a->n_layers + 1, sizeof *c->layers);
    if (!c->layers)
        return error_no_memory(err, "the loads");
    c->n_layers = a->n_layers;
    for (int i = 0; i < c->n_layers; i++)
        c->layers[i] = (struct collapse_layer){.since_start = {.first = NAN, .first_chance = NAN},
                                               .untrained = BREACH_UNKNOWN,
                                               .finding = FINDING_NO_DATA};
    return 0;
}

int collapse_read_on(struct collapse *c, const struct analysis *a, int64_t most, bool *more,
                     struct error *err)
{
    int64_t last;
    if (monitor_read(&c->monitor, a->logbook, a->run_id, c->split, c->read_step, most, &last, err) != 0)
        return error_prefix(err, "run '%s'", a->run);
    *more = most > 0 && last > c->read_step;
    c->read_step = last;
    return 0;
}

/* ---- judging ---- */

static void judge_layer(struct collapse *c, int layer)
{
    const struct monitor_series *s = &c->monitor.series[layer];
    struct collapse_layer *l = &c->layers[layer];
    l->verdict = monitor_judge(&c->monitor, layer);
    l->last_breach = -1;
    l->lowest = 0;
    for (int w = 0; w < c->monitor.n_windows; w++) {
        if (s->breach[w] > 0)
            l->last_breach = c->monitor.windows[w].last_step;
        if (s->summary[w].effective_experts < s->summary[l->lowest].effective_experts)
            l->lowest = w;
    }
}

void collapse_judge_loads(struct collapse *c)
{
    for (int i = 0; i < c->n_layers; i++)
        judge_layer(c, i);
}

static enum finding finding_of(const struct collapse *c, int layer)
{
    const struct collapse_layer *l = &c->layers[layer];
    switch (l->verdict.state) {
    case COLLAPSE_NO_DATA:
        return FINDING_NO_DATA;
    case COLLAPSE_NO_CHOICE:
        return FINDING_NO_CHOICE;
    case COLLAPSE_COLLAPSED:
        return l->verdict.last_reasons & BREACH_EVERYTHING ? FINDING_EVERYTHING : FINDING_COLLAPSED;
    case COLLAPSE_CENSORED:
        return FINDING_CENSORED;
    case COLLAPSE_NEVER:
    case COLLAPSE_TRANSIENT:
        break;
    }
    if (monitor_last(&c->monitor, layer)->dead_experts > 0)
        return FINDING_DEAD;
    if (!collapse_is_balanced(c, layer))
        return FINDING_UNBALANCED;
    if (c->monitor.series[layer].of.fixed)
        return FINDING_FIXED;
    if (l->untrained > 0 || c->random.no_effect)
        return FINDING_INDIFFERENT;
    return l->verdict.state == COLLAPSE_TRANSIENT ? FINDING_TRANSIENT : FINDING_HEALTHY;
}

void collapse_find(struct collapse *c)
{
    for (int i = 0; i < c->n_layers; i++)
        c->layers[i].finding = finding_of(c, i);
}

int collapse_read(struct collapse *c, const struct analysis *a, struct error *err)
{
    bool more;
    if (collapse_open(c, a, err) != 0)
        return -1;
    if (c->last_step < 0)
        return error_set(err, STATUS_INPUT,
                         "run '%s' has no loads of split '%s', so there is nothing to judge; name another "
                         "--split or --run",
                         a->run, c->split);
    if (collapse_read_on(c, a, 0, &more, err) != 0)
        return -1;
    monitor_finish(&c->monitor);
    if (c->monitor.n_windows == 0)
        return error_set(err, STATUS_INPUT, "run '%s' has no loads of all experts together", a->run);
    collapse_judge_loads(c);
    return 0;
}
