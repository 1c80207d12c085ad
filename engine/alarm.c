#include "engine/alarm.h"

#include <math.h>
#include <stdlib.h>

#include "base/text.h"

/* ---- the probe: what has changed since step 0 ---- */

static int reserve(struct alarm_layer *l, int64_t n, struct error *err)
{
    if (n <= l->capacity)
        return 0;
    int64_t capacity = n > 2 * l->capacity ? n : 2 * l->capacity;
    int32_t *grown = realloc(l->choice, (size_t)capacity * sizeof *grown);
    if (!grown)
        return error_no_memory(err, "the probe's choices");
    l->choice = grown;
    l->capacity = capacity;
    return 0;
}

static void compare(struct alarm_layer *l, int32_t choice)
{
    int32_t before = l->at < l->n ? l->choice[l->at] : -1;

    if (before >= 0 && choice >= 0) {
        l->n_compared++;
        l->n_same += before == choice;
    }
    l->at++;
}

static int layer_index(const struct alarm *a, int layer)
{
    for (int i = 0; i < a->monitor.n_layers; i++) {
        if (a->monitor.series[i].of.layer == layer)
            return i;
    }
    return -1;
}

int alarm_probe(struct alarm *a, int layer, int64_t step, const int32_t *offset, const int32_t *expert,
                int n_tokens, struct error *err)
{
    int index = layer_index(a, layer);
    struct alarm_layer *l = &a->layers[index < 0 ? 0 : index];

    if (index < 0)
        return 0;
    if (step == 0 && reserve(l, l->n + n_tokens, err))
        return -1;
    for (int t = 0; t < n_tokens; t++) {
        int32_t choice = offset[t] < offset[t + 1] ? expert[offset[t]] : -1;
        if (step == 0)
            l->choice[l->n++] = choice;
        else
            compare(l, choice);
    }
    return 0;
}

void alarm_end_probe(struct alarm *a)
{
    for (int i = 0; i < a->monitor.n_layers; i++) {
        struct alarm_layer *l = &a->layers[i];
        if (l->n_compared > 0)
            l->agreement = (double)l->n_same / (double)l->n_compared;
        l->at = l->n_same = l->n_compared = 0;
    }
}

/* ---- events ---- */

static int raise_event(struct alarm *a, int64_t step, int layer, bool over, double value, struct text *words,
                       struct error *err)
{
    const struct sink_event event = {.kind = over ? "alarm_over" : "alarm",
                                     .layer = a->monitor.series[layer].of.layer,
                                     .value = value,
                                     .message = words->data};
    struct text line;
    int result;

    text_init(&line);
    text_printf(&line, "layer %d: %s: %s", event.layer, over ? "alarm over" : "alarm", words->data);
    if (words->failed || line.failed)
        result = error_no_memory(err, "an alarm");
    else
        result = a->behind->event(a->behind->context, step, &event, err);
    if (result == 0 && a->tell)
        a->tell(a->tell_context, step, line.data);
    text_release(&line);
    return result;
}

static bool is_collapsed(const struct collapse_verdict *v)
{
    return v->state == COLLAPSE_COLLAPSED;
}

/* Begun or ended since the window before. */
static int tell_collapse(struct alarm *a, int64_t step, int layer, const struct collapse_verdict *v,
                         struct error *err)
{
    const struct load_summary *now = monitor_last(&a->monitor, layer);
    bool over = !is_collapsed(v), everything = v->last_reasons & BREACH_EVERYTHING;
    struct text words;
    int result;

    text_init(&words);
    if (over) {
        text_add(&words, "no longer in breach; ");
    } else {
        text_add(&words, everything ? "everything on " : "collapsed ");
        collapse_add_onset(&words, v);
        text_add(&words, " (");
        breach_add_reasons(&words, v->reasons);
        text_add(&words, "): ");
    }
    monitor_add_figures(&words, &a->monitor, layer);
    result = raise_event(a, step, layer, over, everything ? now->k : now->effective_experts, &words, err);
    text_release(&words);
    return result;
}

static int tell_indifference(struct alarm *a, int64_t step, int layer, int untrained, struct error *err)
{
    double agreement = a->layers[layer].agreement;
    double entropy = monitor_router_entropy(&a->monitor, layer, a->monitor.n_windows - 1);
    struct text words;
    int result;

    text_init(&words);
    if (untrained > 0) {
        text_add(&words, "balanced but indifferent (");
        untrained_add_reasons(&words, untrained);
        text_add(&words, ")");
    } else {
        text_add(&words, "no longer balanced by doing nothing");
    }
    if (!isnan(entropy))
        text_printf(&words, "; the router's mean entropy is %.2f of ln N", entropy);
    if (!isnan(agreement))
        text_printf(&words, "; %.0f %% of the probe's first choices are those of step 0", 100 * agreement);
    result =
        raise_event(a, step, layer, untrained <= 0,
                    untrained > 0 && !(untrained & UNTRAINED_NO_OPINION) ? agreement : entropy, &words, err);
    text_release(&words);
    return result;
}

/* ---- states ---- */

static int untrained_now(const struct alarm *a, int layer)
{
    const struct monitor_layer *of = &a->monitor.series[layer].of;

    if (of->fixed || !monitor_has_choice(&a->monitor, layer))
        return 0;
    return monitor_untrained(&a->monitor, layer, &a->untrained, a->layers[layer].agreement);
}

void alarm_settle(struct alarm *a)
{
    for (int i = 0; i < a->monitor.n_layers; i++) {
        struct collapse_verdict v = monitor_judge(&a->monitor, i);
        a->layers[i].collapsed = is_collapsed(&v);
        a->layers[i].indifferent = untrained_now(a, i) > 0;
    }
}

static int judge(struct alarm *a, int64_t step, struct error *err)
{
    for (int i = 0; i < a->monitor.n_layers; i++) {
        struct collapse_verdict v = monitor_judge(&a->monitor, i);
        int untrained = untrained_now(a, i);
        if (is_collapsed(&v) != a->layers[i].collapsed && tell_collapse(a, step, i, &v, err))
            return -1;
        if ((untrained > 0) != a->layers[i].indifferent && tell_indifference(a, step, i, untrained, err))
            return -1;
        if (is_collapsed(&v) && a->stop_windows > 0 && v.at_end >= a->stop_windows)
            a->stop = true;
    }
    alarm_settle(a);
    return 0;
}

/* ---- the sink ---- */

static int watch_loads(struct alarm *a, int64_t step, const struct tally *t, struct error *err)
{
    if (t->n_layers == 0)
        return 0;
    if (monitor_begin_step(&a->monitor, step, err))
        return -1;
    for (int i = 0; i < t->n_layers; i++) {
        const struct layer_tally *l = &t->layers[i];
        const struct monitor_load load = {.assignments = l->assignments,
                                          .dropped = l->dropped,
                                          .tokens = (double)t->n_tokens,
                                          .router_entropy =
                                              l->n_scored ? l->entropy_sum / (double)l->n_scored : NAN};
        monitor_add(&a->monitor, layer_index(a, l->layer), &load);
    }
    return monitor_end_step(&a->monitor) ? judge(a, step, err) : 0;
}

static int on_summary(void *context, int64_t step, enum corpus_split split, const struct tally *t,
                      struct error *err)
{
    struct alarm *a = context;

    if (split == SPLIT_PROBE)
        alarm_end_probe(a);
    if (a->behind->summary(a->behind->context, step, split, t, err))
        return -1;
    return split == SPLIT_TRAIN ? watch_loads(a, step, t, err) : 0;
}

static int on_pass(void *context, int64_t step, enum corpus_split split, const struct pass *p,
                   struct error *err)
{
    struct alarm *a = context;

    for (int i = 0; split == SPLIT_PROBE && i < p->n_layers; i++) {
        const struct routing *r = p->layers[i].routing;
        if (alarm_probe(a, p->layers[i].layer, step, r->offset, r->expert, r->n_tokens, err))
            return -1;
    }
    return a->behind->pass(a->behind->context, step, split, p, err);
}

static int on_metric(void *context, int64_t step, enum corpus_split split, const char *name, double value,
                     struct error *err)
{
    const struct sink *behind = ((struct alarm *)context)->behind;

    return behind->metric(behind->context, step, split, name, value, err);
}

static int on_event(void *context, int64_t step, const struct sink_event *event, struct error *err)
{
    const struct sink *behind = ((struct alarm *)context)->behind;

    return behind->event(behind->context, step, event, err);
}

static int on_checkpoint(void *context, int64_t step, const char *path, const char *sha256, struct error *err)
{
    const struct sink *behind = ((struct alarm *)context)->behind;

    return behind->checkpoint(behind->context, step, path, sha256, err);
}

static int on_commit(void *context, struct error *err)
{
    const struct sink *behind = ((struct alarm *)context)->behind;

    return behind->commit(behind->context, err);
}

static int on_drain(void *context, struct error *err)
{
    const struct sink *behind = ((struct alarm *)context)->behind;

    return behind->drain(behind->context, err);
}

/* ---- open, close ---- */

int alarm_open(struct alarm *a, const struct summary *model, int64_t planned_steps, const struct sink *behind,
               struct error *err)
{
    const struct monitor_setting setting = {.rule = collapse_rule_default(), .planned_steps = planned_steps};
    struct monitor_layer layers[MAX_LAYERS];

    *a = (struct alarm){.behind = behind, .untrained = untrained_rule_default()};
    a->sink = (struct sink){.context = a,
                            .pass = on_pass,
                            .summary = on_summary,
                            .metric = on_metric,
                            .event = on_event,
                            .checkpoint = on_checkpoint,
                            .commit = on_commit,
                            .drain = on_drain};
    for (int i = 0; i < model->n_layers; i++)
        layers[i] = (struct monitor_layer){.layer = model->layers[i].layer,
                                           .n_experts = model->layers[i].n_experts,
                                           .k = model->layers[i].k,
                                           .fixed = untrained_by_design(model->layers[i].router)};
    a->layers = calloc((size_t)model->n_layers + 1, sizeof *a->layers);
    if (!a->layers || monitor_init(&a->monitor, &setting, layers, model->n_layers, err)) {
        alarm_close(a);
        return error_no_memory(err, "the alarm");
    }
    for (int i = 0; i < model->n_layers; i++)
        a->layers[i].agreement = NAN;
    return 0;
}

void alarm_close(struct alarm *a)
{
    for (int i = 0; a->layers && i < a->monitor.n_layers; i++)
        free(a->layers[i].choice);
    free(a->layers);
    monitor_release(&a->monitor);
    a->layers = NULL;
}
