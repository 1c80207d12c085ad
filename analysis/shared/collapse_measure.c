/* Loads by window, and the rule applied to each layer's series of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/collapse.h"

/* As many windows as a plot can show and a reader can follow. */
enum { MOST_WINDOWS = 100 };

void collapse_release(struct collapse *c)
{
    for (int i = 0; i < c->n_series; i++) {
        free(c->series[i].load);
        free(c->series[i].dropped);
        free(c->series[i].window);
        free(c->series[i].breach);
    }
    free(c->series);
    free(c->windows);
}

const struct load_summary *collapse_last_window(const struct collapse *c, int layer)
{
    return &c->series[layer].window[c->n_windows - 1];
}

double collapse_load(const struct collapse *c, int layer, int window, int expert)
{
    const struct load_series *s = &c->series[layer];
    return s->load[(size_t)window * (size_t)s->window[0].n_experts + (size_t)expert];
}

int collapse_dead_since(const struct collapse *c, int layer, int expert)
{
    int since = c->n_windows;
    while (since > 0 && !(collapse_load(c, layer, since - 1, expert) > 0))
        since--;
    return since;
}

int collapse_count(const struct collapse *c, enum collapse_state state)
{
    int n = 0;
    for (int i = 0; i < c->n_series; i++)
        n += c->series[i].verdict.state == state;
    return n;
}

/* ---- windows ---- */

/* Tokens that one layer routed. Where k is fixed, from its decisions; otherwise as they were counted (NaN:
 * were not), or from the mean of all training steps, or else from the router's probabilities, which add up to
 * 1 a token if it is a softmax. */
static double tokens_of(const struct collapse *c, const struct moe_layer *layer, double decisions,
                        double probability, double steps, double counted)
{
    if (layer->k > 0)
        return decisions / layer->k;
    if (counted > 0)
        return counted;
    if (c->tokens_per_step > 0 && strcmp(c->split, "train") == 0)
        return c->tokens_per_step * steps;
    return probability > 0 ? round(probability) : NAN;
}

/* Steps pooled into a window unless told otherwise: the fewest that hold enough tokens for every layer, more
 * where a run would have too many windows. Evaluations of other splits lie apart: each is a window. */
static double default_steps(const struct collapse *c, const struct analysis *a, double tokens_per_step)
{
    double needed = ceil(c->rule.tokens_per_expert * a->max_experts / tokens_per_step);
    double shown = ceil((double)c->n_steps / MOST_WINDOWS);
    /* Steps that were not logged do not count: a window spans as many as it takes. */
    double stride = c->n_steps > 1 ? (double)(c->last_step - c->first_step) / (double)(c->n_steps - 1) : 1;
    return strcmp(c->split, "train") != 0 ? 1 : ceil(fmax(fmax(needed, shown), 1) * stride);
}

static void choose_window(struct collapse *c, const struct analysis *a, double decisions, double probability)
{
    double tokens = tokens_of(c, &a->layers[0], decisions, probability, (double)c->n_steps, NAN);
    double length = (double)(c->last_step - c->first_step + 1);
    double steps = fmin(length, default_steps(c, a, tokens / (double)c->n_steps));
    c->window_span = c->window_steps > 0 ? c->window_steps : (int64_t)steps;
    c->n_span = (int64_t)(length / (double)c->window_span);
    c->n_span = c->n_span < 1 ? 1 : c->n_span;
}

static int read_span(struct collapse *c, const struct analysis *a, struct query *q, struct error *err)
{
    int more = query_step(q, err);
    if (more < 0)
        return -1;
    c->n_steps = more ? query_int(q, "steps") : 0;
    if (c->n_steps == 0)
        return error_set(err, STATUS_INPUT,
                         "run '%s' has no loads of split '%s', so there is nothing to judge; name another "
                         "--split or --run",
                         a->run, c->split);
    c->first_step = query_int(q, "first_step");
    c->last_step = query_int(q, "last_step");
    choose_window(c, a, query_real(q, "decisions"), query_real(q, "probability"));
    return 0;
}

static int read_tokens_per_step(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct query *q;
    if (query_open(&q, a->logbook, "analysis/collapse_tokens", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    int more = query_step(q, err);
    c->tokens_per_step = more == 1 ? query_real(q, "tokens") : NAN;
    query_close(q);
    return more < 0 ? -1 : 0;
}

static int find_windows(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct query *q;
    if (read_tokens_per_step(c, a, err) != 0 ||
        query_open(&q, a->logbook, "analysis/collapse_span", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    query_bind_text(q, ":split", c->split);
    int result = read_span(c, a, q, err);
    query_close(q);
    return result;
}

/* ---- loads ---- */

/* Room for one more window, with loads of 0. */
static int grow_series(struct load_series *s, size_t n_windows, size_t n_experts, struct error *err)
{
    double *load = realloc(s->load, (n_windows + 1) * n_experts * sizeof *load);
    if (!load)
        return error_no_memory(err, "the loads");
    memset(load + n_windows * n_experts, 0, n_experts * sizeof *load);
    s->load = load;
    struct load_summary *window = realloc(s->window, (n_windows + 1) * sizeof *window);
    if (!window)
        return error_no_memory(err, "the loads");
    window[n_windows] = (struct load_summary){0};
    s->window = window;
    double *dropped = realloc(s->dropped, (n_windows + 1) * sizeof *dropped);
    if (!dropped)
        return error_no_memory(err, "the loads");
    dropped[n_windows] = 0;
    s->dropped = dropped;
    return 0;
}

static int add_window(struct collapse *c, const struct analysis *a, struct query *q, struct error *err)
{
    size_t n = (size_t)c->n_windows;
    struct load_window *windows = realloc(c->windows, (n + 1) * sizeof *windows);
    if (!windows)
        return error_no_memory(err, "the loads");
    c->windows = windows;
    for (int i = 0; i < c->n_series; i++)
        if (grow_series(&c->series[i], n, (size_t)a->layers[i].n_experts, err) != 0)
            return -1;
    windows[n] = (struct load_window){query_int(q, "first_step"), query_int(q, "last_step"),
                                      query_int(q, "steps"), NAN};
    c->n_windows++;
    return 0;
}

/* One row of the query: an expert's load in a window, refused decisions included. The summary's tokens gather
 * decisions, and its total probability, until the window is complete. */
static int add_load(struct collapse *c, const struct analysis *a, struct query *q, struct error *err)
{
    int64_t expert = query_int(q, "expert");
    int layer = analysis_layer_index(a, query_int(q, "layer"));
    if (layer < 0 || !c->series[layer].load || expert < 0 || expert >= a->layers[layer].n_experts)
        return error_set(err, STATUS_INPUT, "loads of layer %lld, expert %lld, which run '%s' does not have",
                         (long long)query_int(q, "layer"), (long long)expert, a->run);
    struct load_series *s = &c->series[layer];
    size_t at = (size_t)(c->n_windows - 1);
    double probability = query_real(q, "probability"), dropped = query_real(q, "dropped");
    double asked = query_real(q, "assignments") + dropped;
    s->load[at * (size_t)a->layers[layer].n_experts + (size_t)expert] = asked;
    s->dropped[at] += dropped;
    s->window[at].n_tokens += asked;
    s->window[at].total += isnan(probability) ? 0 : probability;
    return 0;
}

static int read_loads(struct collapse *c, const struct analysis *a, struct query *q, struct error *err)
{
    int64_t current = -1;
    int more;
    while ((more = query_step(q, err)) == 1) {
        if (query_int(q, "window_id") != current && add_window(c, a, q, err) != 0)
            return -1;
        current = query_int(q, "window_id");
        if (add_load(c, a, q, err) != 0)
            return -1;
    }
    return more;
}

void collapse_bind(const struct collapse *c, struct query *q)
{
    query_bind_int(q, ":window", c->window_span);
    query_bind_int(q, ":windows", c->n_span);
    query_bind_int(q, ":first_step", c->first_step);
    query_bind_int(q, ":from_step", c->n_windows ? c->windows[c->n_windows - 1].first_step : 0);
    query_bind_text(q, ":split", c->split);
}

static int load_windows(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct query *q;
    c->series = calloc((size_t)a->n_layers, sizeof *c->series);
    if (!c->series)
        return error_no_memory(err, "the loads");
    c->n_series = a->n_layers;
    if (query_open(&q, a->logbook, "analysis/collapse_load", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    collapse_bind(c, q);
    int result = read_loads(c, a, q, err);
    query_close(q);
    return result;
}

/* A count is a window's when it is of the same steps: loads may not be logged at each. */
static int count_tokens(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct query *q;
    int more, w = 0;
    if (query_open(&q, a->logbook, "analysis/collapse_window_tokens", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    collapse_bind(c, q);
    while ((more = query_step(q, err)) == 1) {
        int64_t first = query_int(q, "first_step");
        while (w < c->n_windows && c->windows[w].first_step < first)
            w++;
        if (w < c->n_windows && c->windows[w].first_step == first &&
            c->windows[w].last_step == query_int(q, "last_step") &&
            c->windows[w].steps == query_int(q, "steps"))
            c->windows[w].tokens = query_real(q, "tokens");
    }
    query_close(q);
    return more;
}

/* ---- judging ---- */

static int judge_layer(struct collapse *c, const struct analysis *a, int layer, int64_t *steps,
                       struct error *err)
{
    struct load_series *s = &c->series[layer];
    const struct moe_layer *of = &a->layers[layer];
    s->breach = malloc((size_t)c->n_windows * sizeof *s->breach);
    if (!s->breach || !s->window || !s->load)
        return error_no_memory(err, "the loads");
    s->lowest = 0;
    s->last_breach = -1;
    for (int w = 0; w < c->n_windows; w++) {
        double tokens = tokens_of(c, of, s->window[w].n_tokens, s->window[w].total,
                                  (double)c->windows[w].steps, c->windows[w].tokens);
        load_summarise(&s->window[w], s->load + (size_t)w * (size_t)of->n_experts, of->n_experts, tokens);
        s->breach[w] = collapse_breach(&c->rule, &s->window[w]);
        if (s->breach[w] > 0)
            s->last_breach = c->windows[w].last_step;
        if (s->window[w].effective_experts < s->window[s->lowest].effective_experts)
            s->lowest = w;
        steps[w] = c->windows[w].first_step;
    }
    collapse_judge(s->breach, steps, c->n_windows, c->rule.lasting, &s->verdict);
    return 0;
}

static int judge_layers(struct collapse *c, const struct analysis *a, struct error *err)
{
    int64_t *steps = calloc((size_t)c->n_windows, sizeof *steps);
    int result = steps ? 0 : error_no_memory(err, "the loads");
    for (int i = 0; i < c->n_series && result == 0; i++)
        result = judge_layer(c, a, i, steps, err);
    free(steps);
    return result;
}

static int read_status(struct collapse *c, const struct analysis *a, struct error *err)
{
    struct query *q;
    if (query_open(&q, a->logbook, "analysis/run", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    int more = query_step(q, err);
    if (more == 1)
        snprintf(c->status, sizeof c->status, "%s", query_word(q, "status"));
    query_close(q);
    return more < 0 ? -1 : 0;
}

int collapse_read(struct collapse *c, const struct analysis *a, struct error *err)
{
    if (read_status(c, a, err) != 0 || find_windows(c, a, err) != 0 || load_windows(c, a, err) != 0 ||
        count_tokens(c, a, err) != 0)
        return -1;
    return judge_layers(c, a, err);
}
