/* The verdict of moescope collapse in words: the run, each layer that is not plainly healthy, the routers. */
#include <math.h>
#include <string.h>

#include "analysis/shared/collapse.h"

/* ---- which layers are meant ---- */

static bool is_any(const struct collapse *c, int layer)
{
    (void)c;
    (void)layer;
    return true;
}

static bool is_collapsed(const struct collapse *c, int layer)
{
    return c->series[layer].verdict.state == COLLAPSE_COLLAPSED;
}

/* Balanced in the last window: by the bar that the other alarm uses, and nobody dead. */
static bool is_balanced(const struct collapse *c, int layer)
{
    const struct load_summary *now = collapse_last_window(c, layer);
    return now->dead_experts == 0 && !(now->entropy_k_aware < untrained_rule_default().load_entropy_above);
}

static bool is_unbalanced(const struct collapse *c, int layer)
{
    return !is_balanced(c, layer);
}

/* Healthy, balanced layers share one sentence; every other layer has its own. */
static bool is_plain(const struct collapse *c, int layer)
{
    return c->series[layer].verdict.state == COLLAPSE_NEVER && is_balanced(c, layer);
}

static int count(const struct collapse *c, bool (*is_meant)(const struct collapse *, int))
{
    int n = 0;
    for (int i = 0; i < c->n_series; i++)
        n += is_meant(c, i);
    return n;
}

/* "layer 2", "layers 0, 1 and 3" */
static void add_layers(struct text *t, const struct analysis *a, const struct collapse *c,
                       bool (*is_meant)(const struct collapse *, int))
{
    int n = count(c, is_meant), said = 0;
    text_add(t, n == 1 ? "layer" : "layers");
    for (int i = 0; i < c->n_series; i++)
        if (is_meant(c, i)) {
            text_printf(t, "%s %d", said == 0 ? "" : said == n - 1 ? " and" : ",", a->layers[i].layer);
            said++;
        }
}

/* "2.3 to 4.1 of 16 effective experts" */
static void add_range(struct text *t, const struct analysis *a, const struct collapse *c,
                      bool (*is_meant)(const struct collapse *, int))
{
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < c->n_series; i++)
        if (is_meant(c, i)) {
            low = fmin(low, collapse_last_window(c, i)->effective_experts);
            high = fmax(high, collapse_last_window(c, i)->effective_experts);
        }
    text_printf(t, high - low < 0.05 ? "%.1f" : "%.1f to %.1f", low, high);
    text_printf(t, " of %d effective experts", a->max_experts);
}

/* ---- the run ---- */

static void add_collapsed(struct text *t, const struct analysis *a, const struct collapse *c)
{
    const char *separator = "";
    text_printf(t, "%d of %d MoE layers collapsed (", count(c, is_collapsed), c->n_series);
    for (int i = 0; i < c->n_series; i++)
        if (is_collapsed(c, i)) {
            text_printf(t, "%slayer %d ", separator, a->layers[i].layer);
            collapse_add_onset(t, c, i);
            separator = ", ";
        }
    text_add(t, "), with ");
    add_range(t, a, c, is_collapsed);
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
    const struct load_series *s = &c->series[layer];
    text_printf(t, ", at the lowest %.1f (layer %d, step %lld)", s->window[s->lowest].effective_experts,
                a->layers[layer].layer, (long long)c->windows[s->lowest].first_step);
}

/* Some layer had enough tokens. */
static void add_no_collapse(struct text *t, const struct analysis *a, const struct collapse *c)
{
    int dead = 0, censored = collapse_count(c, COLLAPSE_CENSORED), unbalanced = count(c, is_unbalanced);
    for (int i = 0; i < c->n_series; i++)
        dead += collapse_last_window(c, i)->dead_experts;
    if (censored)
        text_printf(t, "%d of %d MoE layers are in breach at the end, too briefly to call it a collapse",
                    censored, c->n_series);
    else
        text_printf(t, "no collapse in %d MoE layers", c->n_series);
    if (!censored && unbalanced)
        text_printf(t, " by the rule, but %d %s unbalanced", unbalanced, unbalanced == 1 ? "is" : "are");
    text_add(t, "; ");
    add_range(t, a, c, is_any);
    add_lowest(t, a, c);
    if (dead)
        text_printf(t, "; %d dead in all", dead);
    else
        text_add(t, "; none dead");
}

static const char *run_verdict(const struct collapse *c)
{
    if (count(c, is_collapsed))
        return "collapsed";
    if (collapse_count(c, COLLAPSE_CENSORED))
        return "censored";
    if (collapse_count(c, COLLAPSE_NO_DATA) == c->n_series)
        return "no_data";
    return count(c, is_unbalanced) ? "unbalanced" : "healthy";
}

static void judge_headline(const struct analysis *a, const struct collapse *c, struct verdicts *v,
                           struct text *t)
{
    text_clear(t);
    if (count(c, is_collapsed))
        add_collapsed(t, a, c);
    else if (collapse_count(c, COLLAPSE_NO_DATA) == c->n_series)
        text_printf(t, "too few tokens to judge: no window has %.0f an expert", c->rule.tokens_per_expert);
    else
        add_no_collapse(t, a, c);
    text_printf(t, "; %s up to step %lld", strcmp(c->split, "train") == 0 ? "training" : c->split,
                (long long)c->last_step);
    if (strcmp(c->status, "finished") != 0 && strcmp(c->status, "imported") != 0)
        text_printf(t, " (the run is %s)", c->status);
    verdict_add(v, "run", run_verdict(c), "%s: %s", a->run, t->data);
}

/* ---- layers ---- */

/* The state of a layer in words; a layer that escapes the rule without being balanced is not called healthy.
 */
static const char *layer_word(const struct collapse *c, int layer)
{
    enum collapse_state state = c->series[layer].verdict.state;
    if ((state == COLLAPSE_NEVER || state == COLLAPSE_TRANSIENT) && !is_balanced(c, layer))
        return "unbalanced";
    return collapse_state_word(state);
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
    collapse_add_onset(t, c, layer);
    text_add(t, ": ");
}

static void judge_one(const struct analysis *a, const struct collapse *c, int layer, struct verdicts *v,
                      struct text *t)
{
    char subject[32];
    snprintf(subject, sizeof subject, "layer %d", a->layers[layer].layer);
    text_clear(t);
    add_opening(t, c, layer);
    collapse_add_figures(t, c, layer);
    text_add(t, "; ");
    collapse_add_detail(t, c, layer);
    verdict_add(v, subject, layer_word(c, layer), "%s: %s", subject, t->data);
}

static void judge_plain(const struct analysis *a, const struct collapse *c, struct verdicts *v,
                        struct text *t)
{
    struct text subject;
    int n = count(c, is_plain);
    if (n == 0 || n == c->n_series) /* none, or all: then the first sentence has said it */
        return;
    text_init(&subject);
    text_clear(t);
    add_layers(&subject, a, c, is_plain);
    text_printf(t, "healthy: never in breach in %d windows, ", c->n_windows);
    add_range(t, a, c, is_plain);
    text_add(t, ", none dead");
    verdict_add(v, subject.data, "healthy", "%s: %s", subject.data, t->data);
    v->failed |= subject.failed;
    text_release(&subject);
}

/* ---- the other alarm ---- */

static void add_router_figures(struct text *t, const struct collapse *c, int layer)
{
    const struct load_series *s = &c->series[layer];
    if (isnan(s->router_entropy))
        text_add(t, "the router's entropy was not logged");
    else
        text_printf(t, "the router's mean entropy is %.2f of ln N", collapse_router_entropy(c, layer));
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
    const char *alarm = collapse_alarm_word(untrained);
    snprintf(subject, sizeof subject, "layer %d", a->layers[layer].layer);
    text_clear(t);
    add_router_figures(t, c, layer);
    if (untrained & UNTRAINED_UNCHANGED)
        text_add(t, "; expected of fixed routers such as hash, and early in training");
    verdict_add(v, subject, alarm, "%s: balanced but %s: %s", subject, alarm, t->data);
}

/* One line for all the layers that raise no alarm: what was looked at, and how far from it they are. */
static void judge_no_alarm(const struct collapse *c, struct verdicts *v)
{
    struct untrained_rule rule = untrained_rule_default();
    double entropy = -INFINITY, agreement = -INFINITY;
    int n = 0, unknown = 0;
    for (int i = 0; i < c->n_series; i++) {
        const struct load_series *s = &c->series[i];
        unknown += s->untrained == BREACH_UNKNOWN;
        n += s->untrained == 0;
        if (s->untrained == 0) {
            entropy = fmax(entropy, collapse_router_entropy(c, i));
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

/* ---- capacity ---- */

/* Loads are what was asked for; how much of it was refused is said beside them. */
static void judge_capacity(const struct analysis *a, const struct collapse *c, struct verdicts *v)
{
    double dropped = 0, asked = 0, worst = 0;
    int layer = 0;
    for (int i = 0; i < c->n_series; i++) {
        double here = 0, of = 0;
        for (int w = 0; w < c->n_windows; w++) {
            here += c->series[i].dropped[w];
            of += c->series[i].window[w].total;
        }
        if (of > 0 && here / of > worst) {
            worst = here / of;
            layer = i;
        }
        dropped += here;
        asked += of;
    }
    if (dropped > 0)
        verdict_add(
            v, "capacity", "dropped",
            "capacity: refused %.3g %% of the decisions (%.0f of %.0f; at most %.3g %%, in layer %d); "
            "judged is what the routers asked for",
            100 * dropped / asked, dropped, asked, 100 * worst, a->layers[layer].layer);
}

/* ---- all of it ---- */

static bool is_default(const struct collapse_rule *rule)
{
    struct collapse_rule usual = collapse_rule_default();
    return rule->entropy_below == usual.entropy_below && rule->effective_share == usual.effective_share &&
           rule->top_share_above == usual.top_share_above && rule->dead_share == usual.dead_share &&
           rule->lasting == usual.lasting;
}

static void judge_rule(const struct collapse *c, struct verdicts *v, struct text *t)
{
    double tokens = c->series[0].window[0].n_tokens;
    text_clear(t);
    collapse_rule_describe(&c->rule, t);
    if (!is_default(&c->rule))
        text_add(t, " (thresholds changed by options)");
    text_printf(t, "; %d window%s of %lld step%s", c->n_windows, c->n_windows == 1 ? "" : "s",
                (long long)c->window_span, c->window_span == 1 ? "" : "s");
    if (!isnan(tokens))
        text_printf(t, " (%.0f tokens)", tokens);
    verdict_add(v, "rule", "rule", "%s", t->data);
}

int collapse_judge_run(struct analysis *a, struct verdicts *v, struct error *err)
{
    const struct collapse *c = a->state;
    struct text t;
    text_init(&t);
    judge_headline(a, c, v, &t);
    for (int i = 0; i < c->n_series; i++)
        if (!is_plain(c, i))
            judge_one(a, c, i, v, &t);
    judge_plain(a, c, v, &t);
    for (int i = 0; i < c->n_series; i++)
        if (c->series[i].untrained > 0)
            judge_alarm(a, c, i, v, &t);
    judge_no_alarm(c, v);
    judge_capacity(a, c, v);
    judge_rule(c, v, &t);
    verdict_add(
        v, "quality", "not judged",
        "how experts are used is not how good the model is: 'moescope compare %s BASELINE %s' tests the "
        "losses on the same documents",
        a->path, a->run);
    int result = t.failed ? error_no_memory(err, "the verdict") : 0;
    text_release(&t);
    return result;
}
