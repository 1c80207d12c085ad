/* The windows of the runs: which layers are watched, what each window showed, where the change is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/drift.h"

/* ---- layers ---- */

static int add_layer(struct drift *d, const struct moe_layer *layer, struct error *err)
{
    struct watched_layer *layers = realloc(d->layers, ((size_t)d->n_layers + 1) * sizeof *layers);
    if (!layers)
        return error_no_memory(err, "the layers");
    d->layers = layers;
    layers[d->n_layers] = (struct watched_layer){
        .layer = layer->layer, .n_experts = layer->n_experts, .first = d->n_loads, .part = -1};
    struct watched_layer *w = &layers[d->n_layers++];
    size_t n = (size_t)w->n_experts;
    d->n_loads += w->n_experts;
    w->share = calloc(n, sizeof *w->share);
    w->reference = calloc(n, sizeof *w->reference);
    w->cell = calloc(n, sizeof *w->cell);
    return w->share && w->reference && w->cell ? 0 : error_no_memory(err, "the layers");
}

/* All runs must have the reference's layers: only one model's experts can be told apart by number. */
static int check_layers(const struct drift *d, struct error *err)
{
    const struct compared_run *reference = &d->runs.runs[0];
    for (int i = 1; i < d->runs.n; i++)
        for (int l = 0; l < d->n_layers; l++) {
            const struct watched_layer *w = &d->layers[l];
            const struct moe_layer *other = runs_layer(&d->runs.runs[i], w->layer);
            if (!other || other->n_experts != w->n_experts)
                return error_set(err, STATUS_INPUT,
                                 "run '%s' has %d experts in layer %d and '%s' has %d: streams of one model "
                                 "are watched",
                                 reference->name, w->n_experts, w->layer, d->runs.runs[i].name,
                                 other ? other->n_experts : 0);
        }
    return 0;
}

static int choose_layers(struct drift *d, struct error *err)
{
    const struct compared_run *reference = &d->runs.runs[0];
    for (int i = 0; i < d->runs.n; i++)
        if (d->runs.runs[i].n_layers == 0)
            return error_set(
                err, STATUS_INPUT,
                "run '%s' has no MoE layers, so there is no expert usage to watch; name another run",
                d->runs.runs[i].name);
    for (int i = 0; i < reference->n_layers; i++)
        if ((d->layer < 0 || reference->layers[i].layer == d->layer) &&
            add_layer(d, &reference->layers[i], err) != 0)
            return -1;
    if (d->n_layers == 0)
        return error_set(err, STATUS_USAGE, "run '%s' has no experts in layer %lld", reference->name,
                         (long long)d->layer);
    return check_layers(d, err);
}

/* ---- windows ---- */

static int add_window(struct stream *s, size_t n_loads, struct query *q, struct error *err)
{
    size_t n = (size_t)s->n;
    /* Grows by doubling: at every power of two there is no room left. */
    if ((n & (n - 1)) == 0) {
        size_t room = n ? 2 * n : 1;
        int64_t *step = realloc(s->step, room * sizeof *step);
        s->step = step ? step : s->step;
        double *losses = realloc(s->loss, room * sizeof *losses);
        s->loss = losses ? losses : s->loss;
        double *load = realloc(s->load, room * n_loads * sizeof *load);
        s->load = load ? load : s->load;
        if (!step || !losses || !load)
            return error_no_memory(err, "the windows");
    }
    memset(s->load + n * n_loads, 0, n_loads * sizeof *s->load);
    s->step[n] = query_int(q, "step");
    s->loss[n] = query_real(q, "loss");
    s->n++;
    return 0;
}

static const struct watched_layer *layer_of(const struct drift *d, int64_t layer)
{
    for (int i = 0; i < d->n_layers; i++)
        if (d->layers[i].layer == layer)
            return &d->layers[i];
    return NULL;
}

/* A row of the query: an expert's load in a window. A run may have more layers than the reference. */
static int add_row(struct drift *d, int i, struct query *q, struct error *err)
{
    struct stream *s = &d->items[i];
    const struct watched_layer *layer = layer_of(d, query_int(q, "layer"));
    int64_t step = query_int(q, "step"), expert = query_int(q, "expert");
    double load = query_real(q, "load");
    if (!layer)
        return 0;
    if (expert < 0 || expert >= layer->n_experts || !(load >= 0 && isfinite(load)))
        return error_set(
            err, STATUS_INPUT,
            "run '%s' at step %lld, layer %d: expert %lld has a load of %g, as no logbook should; "
            "`moescope check` says more",
            d->runs.runs[i].name, (long long)step, layer->layer, (long long)expert, load);
    if ((s->n == 0 || s->step[s->n - 1] != step) && add_window(s, (size_t)d->n_loads, q, err) != 0)
        return -1;
    s->load[(size_t)(s->n - 1) * (size_t)d->n_loads + (size_t)(layer->first + (int)expert)] = load;
    return 0;
}

static int read_rows(struct drift *d, struct query *q, struct error *err)
{
    int more;
    while ((more = query_step(q, err)) == 1) {
        int64_t run = query_int(q, "position");
        if (run >= 0 && run < d->n && add_row(d, (int)run, q, err) != 0)
            return -1;
    }
    return more;
}

const double *drift_loads(const struct drift *d, const struct stream *s, const struct watched_layer *w,
                          int window)
{
    return s->load + (size_t)window * (size_t)d->n_loads + w->first;
}

double drift_total(const struct drift *d, const struct stream *s, const struct watched_layer *w, int window)
{
    const double *load = drift_loads(d, s, w, window);
    double total = 0;
    for (int e = 0; e < w->n_experts; e++)
        total += load[e];
    return total;
}

static int check_windows(const struct drift *d, int i, struct error *err)
{
    const struct stream *s = &d->items[i];
    const char *name = d->runs.runs[i].name;
    if (s->n == 0)
        return error_set(
            err, STATUS_INPUT,
            "run '%s' has no training step from %lld on with both a loss and loads of its experts", name,
            (long long)d->from);
    for (int t = 0; t < s->n; t++) {
        if (!isfinite(s->loss[t]))
            return error_set(err, STATUS_INPUT, "the loss of run '%s' is not finite at step %lld", name,
                             (long long)s->step[t]);
        for (int l = 0; l < d->n_layers; l++)
            if (!(drift_total(d, s, &d->layers[l], t) > 0))
                return error_set(err, STATUS_INPUT, "run '%s' chose no expert in layer %d at step %lld", name,
                                 d->layers[l].layer, (long long)s->step[t]);
    }
    return 0;
}

void drift_bind(const struct drift *d, struct query *q)
{
    query_bind_text(q, ":runs", d->runs.ids);
    query_bind_int(q, ":from", d->from);
    if (d->layer >= 0)
        query_bind_int(q, ":layer", d->layer);
}

static int read_windows(struct drift *d, struct logbook *lb, struct error *err)
{
    struct query *q;
    d->items = calloc((size_t)d->runs.n, sizeof *d->items);
    if (!d->items)
        return error_no_memory(err, "the windows");
    d->n = d->runs.n;
    for (int i = 0; i < d->n; i++)
        d->items[i].run = &d->runs.runs[i];
    if (query_open(&q, lb, "analysis/drift_windows", err) != 0)
        return -1;
    drift_bind(d, q);
    int result = read_rows(d, q, err);
    query_close(q);
    for (int i = 0; i < d->n && result == 0; i++)
        result = check_windows(d, i, err);
    return result;
}

/* ---- the change ---- */

/* --change, or what the run's own configuration says; a step below 1 there is none. */
static int find_change(const struct drift *d, int i, int64_t *change, struct error *err)
{
    const struct setting *setting = runs_setting(&d->runs, "drift.at");
    const char *value = setting ? setting->values[i] : NULL, *name = d->runs.runs[i].name;
    char *end = NULL;
    *change = d->change;
    if (*change >= 0)
        return 0;
    if (value)
        *change = strtoll(value, &end, 10);
    if (!value || (*end == '\0' && *change < 1))
        return error_set(err, STATUS_USAGE,
                         "where the stream of run '%s' changes is not known: its configuration has no "
                         "drift.at; give --change STEP",
                         name);
    if (*end != '\0')
        return error_set(err, STATUS_INPUT, "drift.at of run '%s' is '%s', not a step; give --change STEP",
                         name, value);
    return 0;
}

static int place_change(const struct drift *d, int i, struct error *err)
{
    struct stream *s = &d->items[i];
    if (find_change(d, i, &s->change, err) != 0)
        return -1;
    while (s->before < s->n && s->step[s->before] < s->change)
        s->before++;
    if (s->before == s->n)
        return error_set(err, STATUS_INPUT,
                         "the stream of run '%s' changes at step %lld, and its last window is step %lld",
                         s->run->name, (long long)s->change, (long long)s->step[s->n - 1]);
    return 0;
}

int drift_read(struct drift *d, const struct analysis *a, struct error *err)
{
    if (runs_read(&d->runs, a->logbook, a->operands, a->n_operands, err) != 0 || choose_layers(d, err) != 0 ||
        read_windows(d, a->logbook, err) != 0)
        return -1;
    d->items[0].change = -1;
    d->items[0].before = d->items[0].n;
    for (int i = 1; i < d->n; i++)
        if (place_change(d, i, err) != 0)
            return -1;
    return 0;
}

void drift_release(struct drift *d)
{
    for (int i = 0; i < d->n; i++) {
        struct stream *s = &d->items[i];
        for (int m = 0; m < N_MONITORS; m++) {
            free(s->seen[m]);
            free(s->statistic[m]);
            free(s->alarm[m]);
            free(s->part[m]);
        }
        free(s->step);
        free(s->loss);
        free(s->load);
    }
    for (int l = 0; l < d->n_layers; l++) {
        free(d->layers[l].share);
        free(d->layers[l].reference);
        free(d->layers[l].cell);
    }
    for (int m = 0; m < N_MONITORS; m++)
        drift_monitor_release(&d->monitors[m]);
    free(d->items);
    free(d->layers);
    runs_release(&d->runs);
}
