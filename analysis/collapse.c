/* moescope collapse: does the router still use its experts? Loads are read exactly, pooled over windows that
 * hold enough tokens, and judged by the written rule in metrics/collapse.h; a breach counts as a collapse
 * when it lasts and reaches the end. The other half of the question, routers that look healthy because they
 * do nothing, is asked of the router's entropy and of the probe. Neither says what it costs: that is
 * compare's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/probe.h"
#include "analysis/shared/program.h"
#include "metrics/collapse.h"

/* As many windows as a plot can show and a reader can follow. */
enum { MOST_WINDOWS = 100 };

struct window {
    int64_t first_step, last_step, steps; /* steps: logged ones */
};

struct series {                  /* of one layer */
    double *load;                /* (n_windows, n_experts) */
    struct load_summary *window; /* (n_windows) */
    int *breach;                 /* (n_windows) */
    struct collapse_verdict verdict;
    int lowest;                         /* window with the fewest effective experts */
    int64_t last_breach;                /* last step of the last window in breach; -1: none */
    double router_entropy;              /* nats, last window; NaN: not logged */
    struct agreement_rates since_start; /* probe, first pass against last; NaN: not known */
    int untrained;                      /* enum untrained, or BREACH_UNKNOWN */
};

struct collapse {
    /* options */
    int64_t window_steps, lasting;
    double entropy_below, effective_share, top_share_above, dead_share;
    const char *split;

    struct collapse_rule rule;
    bool rule_changed;
    int64_t first_step, last_step, n_steps;
    int64_t window_span;    /* in steps */
    int64_t n_span;         /* windows that fit into the run, at least one */
    double tokens_per_step; /* mean; NaN: unknown */
    struct window *windows;
    int n_windows;
    struct series *series; /* (n_layers) */
    int n_series;
    int64_t probe_first, probe_last;
    char status[32];
};

static void collapse_release(struct collapse *c)
{
    for (int i = 0; i < c->n_series; i++) {
        free(c->series[i].load);
        free(c->series[i].window);
        free(c->series[i].breach);
    }
    free(c->series);
    free(c->windows);
}

static const struct load_summary *last_window(const struct collapse *c, int layer)
{
    return &c->series[layer].window[c->n_windows - 1];
}

/* ---- windows ---- */

/* Tokens that one layer routed. Where k is fixed, from its decisions; otherwise from the mean of all training
 * steps, or else from the router's probabilities, which add up to 1 a token if it is a softmax. */
static double tokens_of(const struct collapse *c, const struct moe_layer *layer, double decisions,
                        double probability, double steps)
{
    if (layer->k > 0)
        return decisions / layer->k;
    if (c->tokens_per_step > 0 && strcmp(c->split, "train") == 0)
        return c->tokens_per_step * steps;
    return probability > 0 ? round(probability) : NAN;
}

/* Steps pooled into a window unless told otherwise: the fewest that hold enough tokens for every layer, more
 * where a run would have too many windows. Evaluations of other splits lie apart: each is a window. */
static double default_steps(struct analysis *a, const struct collapse *c, double tokens_per_step)
{
    double needed = ceil(c->rule.tokens_per_expert * a->max_experts / tokens_per_step);
    double shown = ceil((double)c->n_steps / MOST_WINDOWS);
    /* Steps that were not logged do not count: a window spans as many as it takes. */
    double stride = c->n_steps > 1 ? (double)(c->last_step - c->first_step) / (double)(c->n_steps - 1) : 1;
    return strcmp(c->split, "train") != 0 ? 1 : ceil(fmax(fmax(needed, shown), 1) * stride);
}

static void choose_window(struct analysis *a, struct collapse *c, double decisions, double probability)
{
    double tokens = tokens_of(c, &a->layers[0], decisions, probability, (double)c->n_steps);
    double length = (double)(c->last_step - c->first_step + 1);
    double steps = fmin(length, default_steps(a, c, tokens / (double)c->n_steps));
    c->window_span = c->window_steps > 0 ? c->window_steps : (int64_t)steps;
    c->n_span = (int64_t)(length / (double)c->window_span);
    c->n_span = c->n_span < 1 ? 1 : c->n_span;
}

static int read_span(struct analysis *a, struct collapse *c, struct query *q, struct error *err)
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
    choose_window(a, c, query_real(q, "decisions"), query_real(q, "probability"));
    return 0;
}

static int find_windows(struct analysis *a, struct collapse *c, struct error *err)
{
    struct query *q;
    if (query_open(&q, a->logbook, "analysis/collapse_tokens", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    int more = query_step(q, err);
    c->tokens_per_step = more == 1 ? query_real(q, "tokens") : NAN;
    query_close(q);
    if (more < 0 || query_open(&q, a->logbook, "analysis/collapse_span", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    query_bind_text(q, ":split", c->split);
    int result = read_span(a, c, q, err);
    query_close(q);
    return result;
}

/* ---- loads ---- */

static int add_window(struct analysis *a, struct collapse *c, struct query *q, struct error *err)
{
    size_t n = (size_t)c->n_windows + 1;
    struct window *windows = realloc(c->windows, n * sizeof *windows);
    if (!windows)
        return error_no_memory(err, "the loads");
    c->windows = windows;
    for (int i = 0; i < c->n_series; i++) {
        size_t experts = (size_t)a->layers[i].n_experts;
        double *load = realloc(c->series[i].load, n * experts * sizeof *load);
        if (!load)
            return error_no_memory(err, "the loads");
        memset(load + (n - 1) * experts, 0, experts * sizeof *load);
        c->series[i].load = load;
        struct load_summary *window = realloc(c->series[i].window, n * sizeof *window);
        if (!window)
            return error_no_memory(err, "the loads");
        window[n - 1] = (struct load_summary){0};
        c->series[i].window = window;
    }
    windows[n - 1] =
        (struct window){query_int(q, "first_step"), query_int(q, "last_step"), query_int(q, "steps")};
    c->n_windows++;
    return 0;
}

static int layer_index(const struct analysis *a, int64_t layer)
{
    for (int i = 0; i < a->n_layers; i++)
        if (a->layers[i].layer == layer)
            return i;
    return -1;
}

/* One row of the query: an expert's load in a window. The summary's tokens gather decisions, and its total
 * probability, until the window is complete. */
static int add_load(struct analysis *a, struct collapse *c, struct query *q, struct error *err)
{
    int64_t expert = query_int(q, "expert");
    int layer = layer_index(a, query_int(q, "layer"));
    if (layer < 0 || !c->series[layer].load || expert < 0 || expert >= a->layers[layer].n_experts)
        return error_set(err, STATUS_INPUT, "loads of layer %lld, expert %lld, which run '%s' does not have",
                         (long long)query_int(q, "layer"), (long long)expert, a->run);
    struct series *s = &c->series[layer];
    size_t at = (size_t)(c->n_windows - 1);
    double probability = query_real(q, "probability");
    s->load[at * (size_t)a->layers[layer].n_experts + (size_t)expert] = query_real(q, "assignments");
    s->window[at].n_tokens += query_real(q, "assignments") + query_real(q, "dropped");
    s->window[at].total += isnan(probability) ? 0 : probability;
    return 0;
}

static int read_loads(struct analysis *a, struct collapse *c, struct query *q, struct error *err)
{
    int64_t current = -1;
    int more;
    while ((more = query_step(q, err)) == 1) {
        if (query_int(q, "window_id") != current && add_window(a, c, q, err) != 0)
            return -1;
        current = query_int(q, "window_id");
        if (add_load(a, c, q, err) != 0)
            return -1;
    }
    return more;
}

static void collapse_bind(const struct analysis *a, struct query *q)
{
    const struct collapse *c = a->state;
    query_bind_int(q, ":window", c->window_span);
    query_bind_int(q, ":windows", c->n_span);
    query_bind_int(q, ":first_step", c->first_step);
    query_bind_int(q, ":from_step", c->n_windows ? c->windows[c->n_windows - 1].first_step : 0);
    query_bind_text(q, ":split", c->split);
}

static int load_windows(struct analysis *a, struct collapse *c, struct error *err)
{
    struct query *q;
    c->series = calloc((size_t)a->n_layers, sizeof *c->series);
    if (!c->series)
        return error_no_memory(err, "the loads");
    c->n_series = a->n_layers;
    if (query_open(&q, a->logbook, "analysis/collapse_load", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    collapse_bind(a, q);
    int result = read_loads(a, c, q, err);
    query_close(q);
    return result;
}

/* ---- judging ---- */

static int judge_layer(struct analysis *a, struct collapse *c, int layer, int64_t *steps, struct error *err)
{
    struct series *s = &c->series[layer];
    const struct moe_layer *of = &a->layers[layer];
    s->breach = malloc((size_t)c->n_windows * sizeof *s->breach);
    if (!s->breach || !s->window || !s->load)
        return error_no_memory(err, "the loads");
    s->lowest = 0;
    s->last_breach = -1;
    for (int w = 0; w < c->n_windows; w++) {
        double tokens =
            tokens_of(c, of, s->window[w].n_tokens, s->window[w].total, (double)c->windows[w].steps);
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

static int judge_layers(struct analysis *a, struct collapse *c, struct error *err)
{
    int64_t *steps = calloc((size_t)c->n_windows, sizeof *steps);
    int result = steps ? 0 : error_no_memory(err, "the loads");
    for (int i = 0; i < c->n_series && result == 0; i++)
        result = judge_layer(a, c, i, steps, err);
    free(steps);
    return result;
}

/* ---- balanced but untrained ---- */

static int read_router_entropy(struct analysis *a, struct collapse *c, struct error *err)
{
    struct query *q;
    int more;
    for (int i = 0; i < c->n_series; i++)
        c->series[i].router_entropy = NAN;
    if (query_open(&q, a->logbook, "analysis/collapse_router", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    collapse_bind(a, q);
    while ((more = query_step(q, err)) == 1) {
        int layer = layer_index(a, query_int(q, "layer"));
        if (layer >= 0)
            c->series[layer].router_entropy = query_real(q, "router_entropy");
    }
    query_close(q);
    return more;
}

/* How many first choices of the last pass are still those of the first, in one layer. */
static int compare_passes(struct series *s, const struct moe_layer *of, const struct probe_pass *start,
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

static int compare_with_start(struct analysis *a, struct collapse *c, struct error *err)
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

static int judge_routers(struct analysis *a, struct collapse *c, struct error *err)
{
    struct untrained_rule rule = untrained_rule_default();
    if (read_router_entropy(a, c, err) != 0 || compare_with_start(a, c, err) != 0)
        return -1;
    for (int i = 0; i < c->n_series; i++) {
        struct series *s = &c->series[i];
        s->untrained =
            untrained_breach(&rule, last_window(c, i)->entropy_k_aware,
                             s->router_entropy / log(a->layers[i].n_experts), s->since_start.first);
    }
    return 0;
}

static int read_status(struct analysis *a, struct collapse *c, struct error *err)
{
    struct query *q;
    if (query_open(&q, a->logbook, "analysis/run", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    int more = query_step(q, err);
    if (more == 1)
        snprintf(c->status, sizeof c->status, "%s", query_text(q, "status"));
    query_close(q);
    return more < 0 ? -1 : 0;
}

static int apply_options(struct collapse *c, struct error *err)
{
    struct collapse_rule given = collapse_rule_default();
    if (c->window_steps < 0 || c->lasting < 1 || c->lasting > 1000000)
        return error_set(err, STATUS_USAGE, "--window and --lasting need a number of at least 1");
    given.entropy_below = c->entropy_below;
    given.effective_share = c->effective_share;
    given.top_share_above = c->top_share_above;
    given.dead_share = c->dead_share;
    given.lasting = (int)c->lasting;
    c->rule_changed = given.entropy_below != c->rule.entropy_below ||
                      given.effective_share != c->rule.effective_share ||
                      given.top_share_above != c->rule.top_share_above ||
                      given.dead_share != c->rule.dead_share || given.lasting != c->rule.lasting;
    c->rule = given;
    return 0;
}

static int collapse_prepare(struct analysis *a, struct error *err)
{
    struct collapse *c = a->state;
    if (apply_options(c, err) != 0 || read_status(a, c, err) != 0 || find_windows(a, c, err) != 0 ||
        load_windows(a, c, err) != 0 || judge_layers(a, c, err) != 0)
        return -1;
    if (analysis_wants(a, "verdict") || analysis_wants(a, "router"))
        return judge_routers(a, c, err);
    return 0;
}

/* ---- words ---- */

static const char *state_word(enum collapse_state state)
{
    return state == COLLAPSE_NEVER ? "healthy" : collapse_state_names[state];
}

/* "layer 2", "layers 0, 1 and 3": those for which `chosen` is set. */
static void add_layers(struct text *t, const struct analysis *a, const bool *chosen)
{
    int n = 0, said = 0;
    for (int i = 0; i < a->n_layers; i++)
        n += chosen[i];
    text_add(t, n == 1 ? "layer" : "layers");
    for (int i = 0; i < a->n_layers; i++)
        if (chosen[i]) {
            text_printf(t, "%s %d", said == 0 ? "" : said == n - 1 ? " and" : ",", a->layers[i].layer);
            said++;
        }
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

/* The window from which on an expert has had no token, to the end; n_windows: it still has some. */
static int dead_since(const struct collapse *c, int layer, int expert)
{
    const struct series *s = &c->series[layer];
    int n_experts = s->window[0].n_experts, since = c->n_windows;
    while (since > 0 && !(s->load[(size_t)(since - 1) * (size_t)n_experts + (size_t)expert] > 0))
        since--;
    return since;
}

/* "3 dead (0, 7, 12; the first since step 400)"; eight numbers at most. */
static void add_dead(struct text *t, const struct collapse *c, int layer, const char *none)
{
    const struct load_summary *now = last_window(c, layer);
    int said = 0, first = c->n_windows;
    if (now->dead_experts == 0) {
        text_add(t, none);
        return;
    }
    text_printf(t, "%d dead (", now->dead_experts);
    for (int e = 0; e < now->n_experts; e++) {
        int since = dead_since(c, layer, e);
        if (since < c->n_windows && said++ < 8)
            text_printf(t, "%s%d", said > 1 ? ", " : "", e);
        first = since < first ? since : first;
    }
    text_printf(t, "%s; %s step %lld)", said > 8 ? ", ..." : "", said > 1 ? "the first since" : "since",
                (long long)c->windows[first].first_step);
}

/* "2.3 of 16 effective experts are left, 11 dead (...), the busiest takes 61 % of the tokens" */
static void add_figures(struct text *t, const struct collapse *c, int layer)
{
    const struct load_summary *now = last_window(c, layer);
    if (isnan(now->effective_experts)) {
        text_add(t, "no load at all");
        return;
    }
    text_printf(t, "%.1f of %d effective experts, ", now->effective_experts, now->n_experts);
    add_dead(t, c, layer, "none dead");
    if (!isnan(now->top_share_of_tokens))
        text_printf(t, ", the busiest takes %.0f %% of the tokens", 100 * now->top_share_of_tokens);
}

static void add_onset(struct text *t, const struct collapse *c, int layer)
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
    const struct series *s = &c->series[layer];
    int n = 0;
    for (int w = c->n_windows - 1; w >= 0 && s->breach[w] != 0; w--)
        n += s->breach[w] > 0;
    return n;
}

/* Why the state is what it is, for the table and for the sentence. */
static void add_detail(struct text *t, const struct collapse *c, int layer)
{
    const struct series *s = &c->series[layer];
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

/* ---- verdicts ---- */

static int count_state(const struct collapse *c, enum collapse_state state)
{
    int n = 0;
    for (int i = 0; i < c->n_series; i++)
        n += c->series[i].verdict.state == state;
    return n;
}

/* Least and greatest effective experts among layers in that state, or in any (-1). */
static void effective_range(const struct collapse *c, int state, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int i = 0; i < c->n_series; i++)
        if (state < 0 || (int)c->series[i].verdict.state == state) {
            *low = fmin(*low, last_window(c, i)->effective_experts);
            *high = fmax(*high, last_window(c, i)->effective_experts);
        }
}

/* "2.3 to 4.1 of 16 effective experts" */
static void add_range(struct text *t, const struct analysis *a, const struct collapse *c, int state)
{
    double low, high;
    effective_range(c, state, &low, &high);
    if (high - low < 0.05)
        text_printf(t, "%.1f", low);
    else
        text_printf(t, "%.1f to %.1f", low, high);
    text_printf(t, " of %d effective experts", a->max_experts);
}

static void headline_collapsed(struct text *t, const struct analysis *a, const struct collapse *c)
{
    const char *separator = "";
    text_printf(t, "%d of %d MoE layers collapsed (", count_state(c, COLLAPSE_COLLAPSED), c->n_series);
    for (int i = 0; i < c->n_series; i++)
        if (c->series[i].verdict.state == COLLAPSE_COLLAPSED) {
            text_printf(t, "%slayer %d ", separator, a->layers[i].layer);
            add_onset(t, c, i);
            separator = ", ";
        }
    text_add(t, "), with ");
    add_range(t, a, c, COLLAPSE_COLLAPSED);
    text_add(t, " left there");
}

/* ", at the lowest 7.8 (layer 2, step 6)": how near it came. */
static void add_lowest(struct text *t, const struct analysis *a, const struct collapse *c)
{
    int layer = 0;
    for (int i = 1; i < c->n_series; i++)
        if (c->series[i].window[c->series[i].lowest].effective_experts <
            c->series[layer].window[c->series[layer].lowest].effective_experts)
            layer = i;
    const struct series *s = &c->series[layer];
    text_printf(t, ", at the lowest %.1f (layer %d, step %lld)", s->window[s->lowest].effective_experts,
                a->layers[layer].layer, (long long)c->windows[s->lowest].first_step);
}

/* Balanced in the last window: by the bar that the other alarm uses, and nobody dead. */
static bool is_balanced(const struct collapse *c, int layer)
{
    const struct load_summary *now = last_window(c, layer);
    return now->dead_experts == 0 && !(now->entropy_k_aware < untrained_rule_default().load_entropy_above);
}

static int count_unbalanced(const struct collapse *c)
{
    int n = 0;
    for (int i = 0; i < c->n_series; i++)
        n += !is_balanced(c, i);
    return n;
}

static void headline_no_collapse(struct text *t, const struct analysis *a, const struct collapse *c)
{
    int dead = 0;
    for (int i = 0; i < c->n_series; i++)
        dead += last_window(c, i)->dead_experts;
    if (count_state(c, COLLAPSE_NO_DATA) == c->n_series) {
        text_printf(t, "too few tokens to judge: no window has %.0f an expert", c->rule.tokens_per_expert);
        return;
    }
    if (count_state(c, COLLAPSE_CENSORED))
        text_printf(t, "%d of %d MoE layers are in breach at the end, too briefly to call it a collapse",
                    count_state(c, COLLAPSE_CENSORED), c->n_series);
    else
        text_printf(t, "no collapse in %d MoE layers", c->n_series);
    if (!count_state(c, COLLAPSE_CENSORED) && count_unbalanced(c))
        text_printf(t, " by the rule, but %d %s unbalanced", count_unbalanced(c),
                    count_unbalanced(c) == 1 ? "is" : "are");
    text_add(t, "; ");
    add_range(t, a, c, -1);
    add_lowest(t, a, c);
    if (dead)
        text_printf(t, "; %d dead in all", dead);
    else
        text_add(t, "; none dead");
}

static const char *run_verdict(const struct collapse *c)
{
    if (count_state(c, COLLAPSE_COLLAPSED))
        return "collapsed";
    if (count_state(c, COLLAPSE_CENSORED))
        return "censored";
    if (count_state(c, COLLAPSE_NO_DATA) == c->n_series)
        return "no_data";
    return count_unbalanced(c) ? "unbalanced" : "healthy";
}

static void judge_run(const struct analysis *a, const struct collapse *c, struct verdicts *v, struct text *t)
{
    text_clear(t);
    if (count_state(c, COLLAPSE_COLLAPSED))
        headline_collapsed(t, a, c);
    else
        headline_no_collapse(t, a, c);
    text_printf(t, "; %s up to step %lld", strcmp(c->split, "train") == 0 ? "training" : c->split,
                (long long)c->last_step);
    if (strcmp(c->status, "finished") != 0 && strcmp(c->status, "imported") != 0)
        text_printf(t, " (the run is %s)", c->status);
    verdict_add(v, "run", run_verdict(c), "%s: %s", a->run, t->data);
}

/* Healthy, balanced layers share one sentence; every other layer has its own. */
static bool is_plain(const struct collapse *c, int layer)
{
    return c->series[layer].verdict.state == COLLAPSE_NEVER && is_balanced(c, layer);
}

/* The state of a layer in words; a layer that escapes the rule without being balanced is not called healthy.
 */
static const char *layer_word(const struct collapse *c, int layer)
{
    enum collapse_state state = c->series[layer].verdict.state;
    if ((state == COLLAPSE_NEVER || state == COLLAPSE_TRANSIENT) && !is_balanced(c, layer))
        return "unbalanced";
    return state_word(state);
}

static void add_opening(struct text *t, const struct collapse *c, int layer)
{
    switch (c->series[layer].verdict.state) {
    case COLLAPSE_NO_DATA:
        text_add(t, "not judged: ");
        return;
    case COLLAPSE_NEVER:
        text_add(t, "not collapsed by the rule, but unbalanced: ");
        return;
    case COLLAPSE_TRANSIENT:
        text_add(t,
                 is_balanced(c, layer) ? "dipped and recovered: " : "no longer in breach, but unbalanced: ");
        return;
    case COLLAPSE_CENSORED:
        text_add(t, "in breach ");
        break;
    case COLLAPSE_COLLAPSED:
        text_add(t, "collapsed ");
        break;
    }
    add_onset(t, c, layer);
    text_add(t, ": ");
}

static void judge_one(const struct analysis *a, const struct collapse *c, int layer, struct verdicts *v,
                      struct text *t)
{
    char subject[32];
    snprintf(subject, sizeof subject, "layer %d", a->layers[layer].layer);
    text_clear(t);
    add_opening(t, c, layer);
    add_figures(t, c, layer);
    text_add(t, "; ");
    add_detail(t, c, layer);
    verdict_add(v, subject, layer_word(c, layer), "%s: %s", subject, t->data);
}

static void judge_plain(const struct analysis *a, const struct collapse *c, struct verdicts *v,
                        struct text *t, bool *chosen)
{
    struct text subject;
    double low = INFINITY, high = -INFINITY;
    int n = 0;
    for (int i = 0; i < c->n_series; i++) {
        chosen[i] = is_plain(c, i);
        if (!chosen[i])
            continue;
        n++;
        low = fmin(low, last_window(c, i)->effective_experts);
        high = fmax(high, last_window(c, i)->effective_experts);
    }
    if (n == 0 || n == c->n_series) /* none, or all: then the first sentence has said it */
        return;
    text_init(&subject);
    text_clear(t);
    add_layers(&subject, a, chosen);
    text_printf(t, "healthy: never in breach in %d windows, ", c->n_windows);
    text_printf(t, high - low < 0.05 ? "%.1f" : "%.1f to %.1f", low, high);
    text_printf(t, " of %d effective experts, none dead", a->max_experts);
    verdict_add(v, subject.data, "healthy", "%s: %s", subject.data, t->data);
    text_release(&subject);
}

/* ---- the other alarm ---- */

static const char *alarm_word(int untrained)
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

static void add_router_figures(struct text *t, const struct analysis *a, const struct collapse *c, int layer)
{
    const struct series *s = &c->series[layer];
    if (isnan(s->router_entropy))
        text_add(t, "the router's entropy was not logged");
    else
        text_printf(t, "the router's mean entropy is %.2f of ln N",
                    s->router_entropy / log(a->layers[layer].n_experts));
    if (isnan(s->since_start.first))
        text_add(t, "; the probe cannot be compared with step 0");
    else
        text_printf(t,
                    ", and %.0f %% of the probe's first choices at step %lld are those of step 0 "
                    "(by chance %.0f %%; %.0f tokens)",
                    100 * s->since_start.first, (long long)c->probe_last, 100 * s->since_start.first_chance,
                    s->since_start.n_tokens);
}

static void judge_alarm(const struct analysis *a, const struct collapse *c, int layer, struct verdicts *v,
                        struct text *t)
{
    char subject[32];
    int untrained = c->series[layer].untrained;
    snprintf(subject, sizeof subject, "layer %d", a->layers[layer].layer);
    text_clear(t);
    add_router_figures(t, a, c, layer);
    if (untrained & UNTRAINED_UNCHANGED)
        text_add(t, "; expected of fixed routers such as hash, and early in training");
    verdict_add(v, subject, alarm_word(untrained), "%s: balanced but %s: %s", subject, alarm_word(untrained),
                t->data);
}

/* One line for all the layers that raise no alarm: what was looked at, and how far from it they are. */
static void judge_no_alarm(const struct analysis *a, const struct collapse *c, struct verdicts *v)
{
    struct untrained_rule rule = untrained_rule_default();
    double entropy = -INFINITY, agreement = -INFINITY;
    int n = 0, unknown = 0;
    for (int i = 0; i < c->n_series; i++) {
        const struct series *s = &c->series[i];
        unknown += s->untrained == BREACH_UNKNOWN;
        n += s->untrained == 0;
        if (s->untrained == 0) {
            entropy = fmax(entropy, s->router_entropy / log(a->layers[i].n_experts));
            agreement = fmax(agreement, s->since_start.first);
        }
    }
    if (n && isfinite(agreement) && isfinite(entropy))
        verdict_add(
            v, "routers", "none",
            "routers: %s is balanced by doing nothing: entropies of their probabilities are at most %.2f of "
            "ln N (alarm above %.2f), at most %.0f %% of the probe's first choices at step %lld are still "
            "those of step 0 (above %.0f %%)",
            n == c->n_series ? "none" : "none of the others", entropy, rule.router_entropy_above,
            100 * agreement, (long long)c->probe_last, 100 * rule.agreement_above);
    else if (n)
        verdict_add(v, "routers", "none",
                    "routers: no sign of balance by doing nothing, as far as was logged");
    if (unknown)
        verdict_add(
            v, "routers", "unknown",
            "routers: in %d of %d layers it is not known whether the router learned anything: neither its "
            "entropy nor a probe at step 0 was logged",
            unknown, c->n_series);
}

static void judge_rule(const struct collapse *c, struct verdicts *v, struct text *t)
{
    double tokens = c->series[0].window[0].n_tokens;
    text_clear(t);
    collapse_rule_describe(&c->rule, t);
    if (c->rule_changed)
        text_add(t, " (thresholds changed by options)");
    text_printf(t, "; %d window%s of %lld step%s", c->n_windows, c->n_windows == 1 ? "" : "s",
                (long long)c->window_span, c->window_span == 1 ? "" : "s");
    if (!isnan(tokens))
        text_printf(t, " (%.0f tokens)", tokens);
    verdict_add(v, "rule", "rule", "%s", t->data);
}

static int collapse_words(struct analysis *a, struct verdicts *v, struct error *err)
{
    struct collapse *c = a->state;
    struct text t;
    bool *chosen = calloc((size_t)c->n_series, sizeof *chosen);
    if (!chosen)
        return error_no_memory(err, "the verdict");
    text_init(&t);
    judge_run(a, c, v, &t);
    for (int i = 0; i < c->n_series; i++)
        if (!is_plain(c, i))
            judge_one(a, c, i, v, &t);
    judge_plain(a, c, v, &t, chosen);
    for (int i = 0; i < c->n_series; i++)
        if (c->series[i].untrained > 0)
            judge_alarm(a, c, i, v, &t);
    judge_no_alarm(a, c, v);
    judge_rule(c, v, &t);
    verdict_add(
        v, "quality", "not judged",
        "how experts are used is not how good the model is: 'moescope compare %s BASELINE %s' tests the "
        "losses on the same documents",
        a->path, a->run);
    int result = t.failed ? error_no_memory(err, "the verdict") : 0;
    text_release(&t);
    free(chosen);
    return result;
}

static int collapse_verdicts(struct analysis *a, struct verdicts *v, struct error *err)
{
    /* --exit-code with another table asks for the finding alone. */
    return analysis_wants(a, "verdict") ? collapse_words(a, v, err) : 0;
}

static bool collapse_found(const struct analysis *a)
{
    return count_state(a->state, COLLAPSE_COLLAPSED) > 0;
}

/* ---- tables ---- */

/* What is not known is left empty, in every format. */
static void put_real(struct table *t, double x)
{
    if (isnan(x))
        table_null(t);
    else
        table_real(t, x);
}

static int onset_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    struct text detail;
    text_init(&detail);
    for (int i = 0; i < c->n_series; i++) {
        const struct collapse_verdict *v = &c->series[i].verdict;
        const struct load_summary *now = last_window(c, i);
        text_clear(&detail);
        add_detail(&detail, c, i);
        table_int(t, a->layers[i].layer);
        table_text(t, state_word(v->state));
        if (v->onset_step >= 0)
            table_int(t, v->onset_step);
        else
            table_null(t);
        table_text(t, detail.data);
        put_real(t, now->effective_experts);
        table_int(t, now->n_experts);
        table_int(t, now->dead_experts);
        table_int(t, now->starved_experts);
        put_real(t, now->entropy_k_aware);
        put_real(t, now->top_share_of_tokens);
        put_real(t, c->series[i].window[c->series[i].lowest].effective_experts);
        table_int(t, c->windows[c->series[i].lowest].first_step);
    }
    int result = detail.failed ? error_no_memory(err, "the table") : 0;
    text_release(&detail);
    return result;
}

static int dead_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    (void)err;
    for (int i = 0; i < c->n_series; i++)
        for (int e = 0; e < a->layers[i].n_experts; e++) {
            int since = dead_since(c, i, e);
            if (since == c->n_windows)
                continue;
            table_int(t, a->layers[i].layer);
            table_int(t, e);
            table_int(t, c->windows[since].first_step);
            table_int(t, c->n_windows - since);
        }
    return 0;
}

static int load_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    (void)err;
    for (int w = 0; w < c->n_windows; w++)
        for (int i = 0; i < c->n_series; i++) {
            const struct load_summary *s = &c->series[i].window[w];
            table_int(t, c->windows[w].first_step);
            table_int(t, a->layers[i].layer);
            put_real(t, s->entropy);
            put_real(t, s->entropy_k_aware);
            put_real(t, s->effective_experts);
            put_real(t, s->max_violation);
            put_real(t, s->cv);
            put_real(t, s->gini);
            put_real(t, s->top_share_of_tokens);
            table_int(t, s->dead_experts);
            table_int(t, s->starved_experts);
            table_int(t, c->windows[w].last_step);
            put_real(t, s->n_tokens);
            table_int(t, c->series[i].breach[w] > 0);
        }
    return 0;
}

static int expert_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    (void)err;
    for (int w = 0; w < c->n_windows; w++)
        for (int i = 0; i < c->n_series; i++) {
            int n = a->layers[i].n_experts;
            for (int e = 0; e < n; e++) {
                table_int(t, c->windows[w].first_step);
                table_int(t, a->layers[i].layer);
                table_int(t, e);
                put_real(t, c->series[i].load[(size_t)w * (size_t)n + (size_t)e] /
                                c->series[i].window[w].n_tokens);
            }
        }
    return 0;
}

static int router_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    (void)err;
    for (int i = 0; i < c->n_series; i++) {
        const struct series *s = &c->series[i];
        table_int(t, a->layers[i].layer);
        table_text(t, alarm_word(s->untrained));
        put_real(t, last_window(c, i)->entropy_k_aware);
        put_real(t, s->router_entropy / log(a->layers[i].n_experts));
        put_real(t, s->since_start.first);
        put_real(t, s->since_start.first_chance);
        if (isnan(s->since_start.first))
            table_null(t);
        else
            table_int(t, c->probe_last);
    }
    return 0;
}

static const struct analysis_table tables[] = {
    {.name = "onset",
     .help = "a layer, its state and since when; figures of the last window",
     .columns = "layer,state,onset_step,detail,effective_experts,experts,dead,starved,normalized_entropy,top_"
                "share,lowest_effective,lowest_step",
     .sql = "analysis/collapse_load",
     .rows = onset_rows},
    {.name = "dead",
     .help = "an expert that gets no token at the end, and the window from which on",
     .columns = "layer,expert,since_step,windows",
     .sql = "analysis/collapse_load",
     .rows = dead_rows},
    {.name = "router",
     .help = "a layer and whether its router is balanced by doing nothing; entropies of 1 are uniform",
     .columns = "layer,alarm,normalized_entropy,router_entropy,agreement_with_start,chance,probe_step",
     .sql = "analysis/collapse_router",
     .rows = router_rows},
    {.name = "load",
     .help =
         "a window and layer; normalized_entropy is 0 at k experts and 1 at uniform, top_share is of tokens",
     .columns =
         "step,layer,entropy,normalized_entropy,effective_experts,max_violation,cv,gini,top_share,dead,"
         "starved,last_step,tokens,breach",
     .sql = "analysis/collapse_load",
     .rows = load_rows},
    {.name = "experts",
     .help = "a window, layer and expert; share of the tokens that it got",
     .columns = "step,layer,expert,share",
     .sql = "analysis/collapse_load",
     .rows = expert_rows},
    {0}};

int main(int argc, char **argv)
{
    struct collapse c = {
        .rule = collapse_rule_default(), .split = "train", .probe_first = -1, .probe_last = -1};
    c.entropy_below = c.rule.entropy_below;
    c.effective_share = c.rule.effective_share;
    c.top_share_above = c.rule.top_share_above;
    c.dead_share = c.rule.dead_share;
    c.lasting = c.rule.lasting;
    const struct option_spec options[] = {
        {"window", 'w', OPTION_INT, &c.window_steps, "STEPS",
         "steps pooled into one window (default: 50 tokens an expert, at most 100 windows)"},
        {"split", 0, OPTION_STRING, &c.split, "SPLIT", "train, valid, probe or routed (default train)"},
        {"entropy-below", 0, OPTION_REAL, &c.entropy_below, "X",
         "breach: k-aware load entropy below X (default 0.5)"},
        {"effective-share", 0, OPTION_REAL, &c.effective_share, "X",
         "breach: fewer than X of the experts are effective (default 0.5)"},
        {"top-share-above", 0, OPTION_REAL, &c.top_share_above, "X",
         "breach: the busiest expert takes more than X of the tokens (default 0.9)"},
        {"dead-share", 0, OPTION_REAL, &c.dead_share, "X",
         "breach: at least X of the experts get no token (default 0.5)"},
        {"lasting", 0, OPTION_INT, &c.lasting, "M",
         "windows that a breach must last, to the end (default 3)"},
        {0}};
    const struct analysis_program program = {
        .command =
            {.verb = "collapse",
             .operands = "DB",
             .purpose = "do the routers still use their experts, and since when not",
             .details =
                 "States: healthy, transient (a breach that ended), censored (a breach at the end, too "
                 "short to call), collapsed\n(a breach that lasts to the end), no_data.\n",
             .examples = "moescope collapse log.db --run top1\n"
                         "moescope collapse log.db --run top1 --table load --format csv -o load.csv\n"
                         "moescope collapse log.db --run top1 --exit-code > /dev/null || echo collapsed\n",
             .options = options,
             .min_operands = 1,
             .max_operands = 1},
        .tables = tables,
        .prepare = collapse_prepare,
        .bind = collapse_bind,
        .judge = collapse_verdicts,
        .finding = collapse_found,
        .finding_help = "exit with 1 if any layer has collapsed",
    };
    int status = analysis_main(&program, &c, argc, argv);
    collapse_release(&c);
    return status;
}
