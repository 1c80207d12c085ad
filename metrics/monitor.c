#include "metrics/monitor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int monitor_init(struct monitor *m, const struct monitor_setting *setting, const struct monitor_layer *layers,
                 int n_layers, struct error *err)
{
    *m = (struct monitor){.setting = *setting};
    m->series = calloc((size_t)n_layers + 1, sizeof *m->series);
    if (!m->series)
        return error_no_memory(err, "the loads");
    m->n_layers = n_layers;
    for (int i = 0; i < n_layers; i++) {
        m->series[i].of = layers[i];
        m->series[i].step = calloc((size_t)layers[i].n_experts + 1, sizeof *m->series[i].step);
        if (!m->series[i].step) {
            monitor_release(m);
            return error_no_memory(err, "the loads");
        }
    }
    return 0;
}

void monitor_release(struct monitor *m)
{
    for (int i = 0; i < m->n_layers; i++) {
        free(m->series[i].load);
        free(m->series[i].dropped);
        free(m->series[i].router_entropy);
        free(m->series[i].summary);
        free(m->series[i].breach);
        free(m->series[i].low);
        free(m->series[i].high);
        free(m->series[i].step);
    }
    free(m->series);
    free(m->windows);
    *m = (struct monitor){0};
}

/* ---- windows ---- */

/* *p becomes an array of n; false, and *p as it was, without memory. */
static bool grow_reals(double **p, size_t n)
{
    double *grown = realloc(*p, n * sizeof *grown);
    if (grown)
        *p = grown;
    return grown != NULL;
}

static bool grow_judgements(struct monitor_series *s, size_t n)
{
    struct load_summary *summary = realloc(s->summary, n * sizeof *summary);
    if (summary)
        s->summary = summary;
    int *breach = summary ? realloc(s->breach, n * sizeof *breach) : NULL;
    if (breach)
        s->breach = breach;
    return breach != NULL;
}

static bool grow_series(struct monitor_series *s, size_t n)
{
    return grow_reals(&s->load, n * (size_t)s->of.n_experts) && grow_reals(&s->dropped, n) &&
           grow_reals(&s->router_entropy, n) && grow_reals(&s->low, n) && grow_reals(&s->high, n) &&
           grow_judgements(s, n);
}

static bool grow_windows(struct monitor *m, size_t n)
{
    struct monitor_window *windows = realloc(m->windows, n * sizeof *windows);
    if (!windows)
        return false;
    memset(windows + m->capacity, 0, (n - (size_t)m->capacity) * sizeof *windows);
    m->windows = windows;
    return true;
}

static int reserve(struct monitor *m, struct error *err)
{
    if (m->n_windows < m->capacity)
        return 0;
    size_t n = m->capacity ? 2 * (size_t)m->capacity : MONITOR_WINDOWS + 1;
    bool grown = grow_windows(m, n);
    for (int i = 0; i < m->n_layers && grown; i++)
        grown = grow_series(&m->series[i], n);
    if (!grown)
        return error_no_memory(err, "the loads");
    m->capacity = (int)n;
    return 0;
}

static void clear_window(struct monitor_series *s, size_t at)
{
    size_t n = (size_t)s->of.n_experts;
    memset(s->load + at * n, 0, n * sizeof *s->load);
    s->dropped[at] = s->router_entropy[at] = 0;
    s->low[at] = s->high[at] = NAN;
    s->known_entropies = 0;
    s->summary[at] = (struct load_summary){0};
}

int monitor_begin_step(struct monitor *m, int64_t step, struct error *err)
{
    if (reserve(m, err) != 0)
        return -1;
    struct monitor_window *w = &m->windows[m->n_windows];
    if (w->steps == 0) {
        w->first_step = step;
        for (int i = 0; i < m->n_layers; i++)
            clear_window(&m->series[i], (size_t)m->n_windows);
    }
    w->last_step = step;
    w->steps++;
    return 0;
}

/* The window at hand gathers its tokens in the summary, which is made when it is complete. */
void monitor_add(struct monitor *m, int layer, const struct monitor_load *load)
{
    struct monitor_series *s = &m->series[layer];
    size_t at = (size_t)m->n_windows, n = (size_t)s->of.n_experts;
    double asked = 0, entropy;
    for (size_t e = 0; e < n; e++) {
        double dropped = load->dropped ? (double)load->dropped[e] : 0;
        double both = (double)load->assignments[e] + dropped;
        s->load[at * n + e] += s->step[e] = both;
        s->dropped[at] += dropped;
        asked += both;
    }
    double tokens = s->of.k > 0 ? asked / s->of.k : load->tokens;
    s->summary[at].n_tokens += tokens;
    entropy = load_entropy_k_aware(s->step, s->of.n_experts, tokens);
    s->low[at] = fmin(s->low[at], entropy); /* NaN counts for nothing */
    s->high[at] = fmax(s->high[at], entropy);
    if (!isnan(load->router_entropy)) {
        s->router_entropy[at] += load->router_entropy;
        s->known_entropies++;
    }
}

/* What is not known does not keep a window open. */
static bool has_tokens(const struct monitor *m)
{
    double each = m->setting.rule.tokens_per_expert;
    for (int i = 0; i < m->n_layers; i++) {
        const struct monitor_series *s = &m->series[i];
        if (s->summary[m->n_windows].n_tokens < each * s->of.n_experts)
            return false;
    }
    return true;
}

static bool is_whole(const struct monitor *m)
{
    const struct monitor_window *w = &m->windows[m->n_windows];
    int64_t span = w->last_step - w->first_step + 1;
    if (m->setting.window_steps > 0)
        return span >= m->setting.window_steps;
    return span * MONITOR_WINDOWS >= m->setting.planned_steps && has_tokens(m);
}

static void close_window(struct monitor *m)
{
    size_t at = (size_t)m->n_windows;
    for (int i = 0; i < m->n_layers; i++) {
        struct monitor_series *s = &m->series[i];
        int n = s->of.n_experts;
        load_summarise(&s->summary[at], s->load + at * (size_t)n, n, s->summary[at].n_tokens);
        s->breach[at] = collapse_breach(&m->setting.rule, &s->summary[at], s->of.k == 0);
        s->router_entropy[at] = s->known_entropies ? s->router_entropy[at] / s->known_entropies : NAN;
    }
    m->n_windows++;
}

bool monitor_end_step(struct monitor *m)
{
    if (!is_whole(m))
        return false;
    close_window(m);
    return true;
}

void monitor_finish(struct monitor *m)
{
    if (m->n_windows == 0 && m->capacity > 0 && m->windows[0].steps > 0)
        close_window(m);
}

/* ---- what is known ---- */

bool monitor_has_choice(const struct monitor *m, int layer)
{
    return m->series[layer].of.k < m->series[layer].of.n_experts;
}

struct collapse_verdict monitor_judge(const struct monitor *m, int layer)
{
    struct collapse_verdict v = collapse_unjudged;
    for (int w = 0; w < m->n_windows; w++)
        collapse_follow(&v, m->series[layer].breach[w], m->windows[w].first_step, m->setting.rule.lasting);
    if (!monitor_has_choice(m, layer))
        v.state = COLLAPSE_NO_CHOICE;
    return v;
}

const struct load_summary *monitor_last(const struct monitor *m, int layer)
{
    return &m->series[layer].summary[m->n_windows - 1];
}

double monitor_load(const struct monitor *m, int layer, int window, int expert)
{
    const struct monitor_series *s = &m->series[layer];
    return s->load[(size_t)window * (size_t)s->of.n_experts + (size_t)expert];
}

double monitor_router_entropy(const struct monitor *m, int layer, int window)
{
    const struct monitor_series *s = &m->series[layer];
    return s->of.n_experts > 1 ? s->router_entropy[window] / log(s->of.n_experts) : NAN;
}

int monitor_dead_since(const struct monitor *m, int layer, int expert)
{
    int since = m->n_windows;
    while (since > 0 && !(monitor_load(m, layer, since - 1, expert) > 0))
        since--;
    return since;
}

int monitor_untrained(const struct monitor *m, int layer, const struct untrained_rule *rule,
                      double agreement_with_start)
{
    const struct monitor_series *s = &m->series[layer];
    int n = m->n_windows, lasting = m->setting.rule.lasting;
    int all = UNTRAINED_NO_OPINION | UNTRAINED_UNCHANGED;
    if (n < lasting ||
        (double)(m->windows[n - 1].last_step + 1) < rule->from_share * (double)m->setting.planned_steps)
        return BREACH_UNKNOWN;
    for (int w = n - lasting; w < n; w++) {
        int breach = s->breach[w] == BREACH_UNKNOWN
                         ? BREACH_UNKNOWN
                         : untrained_breach(rule, s->summary[w].entropy_k_aware,
                                            monitor_router_entropy(m, layer, w), agreement_with_start);
        if (breach == BREACH_UNKNOWN)
            return BREACH_UNKNOWN;
        all &= breach;
    }
    return all;
}
