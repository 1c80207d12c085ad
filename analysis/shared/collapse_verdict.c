/* The verdict of moescope collapse in words: the run, each layer that is not plainly healthy, the routers. */
#include <math.h>
#include <string.h>

#include "analysis/shared/collapse.h"

/* ---- which layers are meant ---- */

/* Layers of which one finding is made share a sentence where there is nothing else to say of them. */
static bool is_plain(enum finding finding)
{
    return finding == FINDING_HEALTHY || finding == FINDING_FIXED || finding == FINDING_NO_CHOICE;
}

/* "layer 2", "layers 0, 1 and 3": those with that finding. */
static void add_layers(struct text *t, const struct analysis *a, const struct collapse *c,
                       enum finding finding)
{
    int n = collapse_count(c, finding), said = 0;
    text_add(t, n == 1 ? "layer" : "layers");
    for (int i = 0; i < c->n_layers; i++)
        if (c->layers[i].finding == finding) {
            text_printf(t, "%s %d", said == 0 ? "" : said == n - 1 ? " and" : ",", a->layers[i].layer);
            said++;
        }
}

/* "2.3 to 4.1 of 16 effective experts"; finding N_FINDINGS: in all layers. */
static void add_range(struct text *t, const struct analysis *a, const struct collapse *c,
                      enum finding finding)
{
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < c->n_layers; i++)
        if (finding == N_FINDINGS || c->layers[i].finding == finding) {
            low = fmin(low, monitor_last(&c->monitor, i)->effective_experts);
            high = fmax(high, monitor_last(&c->monitor, i)->effective_experts);
        }
    text_printf(t, high - low < 0.05 ? "%.1f" : "%.1f to %.1f", low, high);
    text_printf(t, " of %d effective experts", a->max_experts);
}

/* "layer 0 since step 16, layer 2 since step 688": those with that finding. */
static void add_onsets(struct text *t, const struct analysis *a, const struct collapse *c,
                       enum finding finding)
{
    const char *separator = "";
    for (int i = 0; i < c->n_layers; i++)
        if (c->layers[i].finding == finding) {
            text_printf(t, "%slayer %d ", separator, a->layers[i].layer);
            collapse_add_onset(t, &c->layers[i].verdict);
            separator = ", ";
        }
}

/* ---- the run ---- */

static enum finding finding_of_run(const struct collapse *c)
{
    enum finding worst = FINDING_NO_DATA;
    for (int i = 0; i < c->n_layers; i++)
        worst = c->layers[i].finding < worst ? c->layers[i].finding : worst;
    return worst == FINDING_TRANSIENT ? FINDING_HEALTHY : worst;
}

static void add_collapsed(struct text *t, const struct analysis *a, const struct collapse *c)
{
    int n = collapse_count(c, FINDING_COLLAPSED), everything = collapse_count(c, FINDING_EVERYTHING);
    if (n) {
        text_printf(t, "%d of %d MoE layers collapsed (", n, c->n_layers);
        add_onsets(t, a, c, FINDING_COLLAPSED);
        text_add(t, "), with ");
        add_range(t, a, c, FINDING_COLLAPSED);
        text_add(t, " left there");
    }
    if (everything) {
        text_printf(t, "%sin %d of %d MoE layers everything is on (", n ? "; " : "", everything, c->n_layers);
        add_onsets(t, a, c, FINDING_EVERYTHING);
        text_add(t, "): its tokens get all of the experts, or nearly");
    }
}

/* ", at the lowest 7.8 (layer 2, step 6)": how near it came. */
static void add_lowest(struct text *t, const struct analysis *a, const struct collapse *c)
{
    int layer = 0;
    double lowest = INFINITY;
    for (int i = 0; i < c->n_layers; i++) {
        double here = c->monitor.series[i].summary[c->layers[i].lowest].effective_experts;
        if (here < lowest) {
            lowest = here;
            layer = i;
        }
    }
    text_printf(t, ", at the lowest %.1f (layer %d, step %lld)", lowest, a->layers[layer].layer,
                (long long)c->monitor.windows[c->layers[layer].lowest].first_step);
}

/* Some layer had enough tokens, and none has collapsed. */
static void add_no_collapse(struct text *t, const struct analysis *a, const struct collapse *c)
{
    int dead = 0, censored = collapse_count(c, FINDING_CENSORED);
    int uneven = collapse_count(c, FINDING_UNBALANCED) + collapse_count(c, FINDING_DEAD);
    int idle = collapse_count(c, FINDING_INDIFFERENT);
    for (int i = 0; i < c->n_layers; i++)
        dead += monitor_last(&c->monitor, i)->dead_experts;
    if (censored)
        text_printf(t, "%d of %d MoE layers are in breach at the end, too briefly to call it a collapse",
                    censored, c->n_layers);
    else
        text_printf(t, "no collapse in %d MoE layer%s", c->n_layers, c->n_layers == 1 ? "" : "s");
    if (!censored && uneven)
        text_printf(t, " by the rule, but %d %s unbalanced", uneven, uneven == 1 ? "is" : "are");
    if (idle)
        text_printf(t, "%s %d %s balanced by doing nothing", uneven || censored ? "," : ", but", idle,
                    idle == 1 ? "is" : "are");
    text_add(t, "; ");
    add_range(t, a, c, N_FINDINGS);
    add_lowest(t, a, c);
    if (dead)
        text_printf(t, "; %d dead in all", dead);
    else
        text_add(t, "; none dead");
}

static void judge_headline(const struct analysis *a, const struct collapse *c, struct verdicts *v,
                           struct text *t)
{
    enum finding finding = finding_of_run(c);
    const struct monitor *m = &c->monitor;
    text_clear(t);
    if (finding == FINDING_COLLAPSED || finding == FINDING_EVERYTHING)
        add_collapsed(t, a, c);
    else if (finding == FINDING_NO_DATA)
        text_printf(t, "too few tokens to judge: no window has %.0f an expert", c->rule.tokens_per_expert);
    else if (finding == FINDING_NO_CHOICE)
        text_add(t, "there is no load to judge: every token gets every expert by configuration");
    else
        add_no_collapse(t, a, c);
    text_printf(t, "; %s up to step %lld", strcmp(c->split, "train") == 0 ? "training" : c->split,
                (long long)m->windows[m->n_windows - 1].last_step);
    if (strcmp(c->status, "finished") != 0 && strcmp(c->status, "imported") != 0)
        text_printf(t, " (the run is %s)", c->status);
    verdict_add(v, "run", finding_names[finding], "%s: %s", a->run, t->data);
}

/* ---- layers ---- */

static void add_router_figures(struct text *t, const struct collapse *c, int layer)
{
    const struct agreement_rates *g = &c->layers[layer].since_start;
    double entropy = monitor_router_entropy(&c->monitor, layer, c->monitor.n_windows - 1);
    if (isnan(entropy))
        text_add(t, "the router's entropy was not logged");
    else
        text_printf(t, "the router's mean entropy is %.2f of ln N", entropy);
    if (isnan(g->first))
        text_add(t, "; the probe cannot be compared with step 0");
    else
        text_printf(t,
                    ", and %.0f %% of the probe's first choices at step %lld are those of step 0 "
                    "(by chance %.0f %%; %.0f tokens)",
                    100 * g->first, (long long)c->probe_last, 100 * g->first_chance, g->n_tokens);
}

static void add_indifferent(struct text *t, const struct collapse *c, int layer)
{
    int untrained = c->layers[layer].untrained;
    text_add(t, "balanced but indifferent (");
    if (untrained > 0)
        untrained_add_reasons(t, untrained);
    if (c->random.no_effect)
        text_printf(t, "%sloss unchanged under random routing", untrained > 0 ? " + " : "");
    text_add(t, "): ");
    add_router_figures(t, c, layer);
    text_add(t, "; ");
}

/* Up to the figures of the last window. */
static void add_opening(struct text *t, const struct collapse *c, int layer)
{
    const struct collapse_layer *l = &c->layers[layer];
    switch (l->finding) {
    case FINDING_COLLAPSED:
        text_printf(t, "collapsed%s ",
                    monitor_last(&c->monitor, layer)->effective_experts < 1.5 ? " onto one expert" : "");
        break;
    case FINDING_EVERYTHING:
        text_add(t, "everything on ");
        break;
    case FINDING_CENSORED:
        text_add(t, "in breach ");
        break;
    case FINDING_DEAD:
        text_add(t, "not collapsed by the rule, but with dead experts: ");
        return;
    case FINDING_UNBALANCED:
        text_add(t, l->verdict.state == COLLAPSE_TRANSIENT ? "no longer in breach, but unbalanced: "
                                                           : "not collapsed by the rule, but unbalanced: ");
        return;
    case FINDING_INDIFFERENT:
        add_indifferent(t, c, layer);
        return;
    case FINDING_TRANSIENT:
        text_add(t, "dipped and recovered: ");
        return;
    default:
        text_add(t, "not judged: ");
        return;
    }
    collapse_add_onset(t, &l->verdict);
    text_add(t, ": ");
}

static void judge_one(const struct analysis *a, const struct collapse *c, int layer, struct verdicts *v,
                      struct text *t)
{
    char subject[32];
    snprintf(subject, sizeof subject, "layer %d", a->layers[layer].layer);
    text_clear(t);
    add_opening(t, c, layer);
    monitor_add_figures(t, &c->monitor, layer);
    text_add(t, "; ");
    collapse_add_detail(t, c, layer);
    verdict_add(v, subject, finding_names[c->layers[layer].finding], "%s: %s", subject, t->data);
}

static void judge_plain(const struct analysis *a, const struct collapse *c, enum finding finding,
                        struct verdicts *v, struct text *t)
{
    struct text subject;
    int n = collapse_count(c, finding);
    /* None, or healthy ones alone: then the first sentence has said it. */
    if (n == 0 || (n == c->n_layers && finding != FINDING_FIXED))
        return;
    text_init(&subject);
    text_clear(t);
    add_layers(&subject, a, c, finding);
    if (finding == FINDING_HEALTHY)
        text_printf(t, "healthy: never in breach in %d windows, ", c->monitor.n_windows);
    else if (finding == FINDING_FIXED)
        text_add(t, "fixed: who gets what was decided before the experts were trained, so that balance is by "
                    "design; ");
    else
        text_add(t, "no choice: every token gets every expert by configuration; ");
    add_range(t, a, c, finding);
    text_add(t, ", none dead");
    verdict_add(v, subject.data, finding_names[finding], "%s: %s", subject.data, t->data);
    v->failed |= subject.failed;
    text_release(&subject);
}

/* ---- the other alarm ---- */

/* One line for all the layers that raise no alarm: what was looked at, and how far from it they are. */
static void judge_no_alarm(const struct collapse *c, struct verdicts *v)
{
    struct untrained_rule rule = untrained_rule_default();
    double entropy = -INFINITY, agreement = -INFINITY;
    int n = 0, unknown = 0, judged = 0;
    for (int i = 0; i < c->n_layers; i++) {
        const struct collapse_layer *l = &c->layers[i];
        if (c->monitor.series[i].of.fixed || l->finding == FINDING_NO_CHOICE)
            continue;
        judged++;
        unknown += l->untrained == BREACH_UNKNOWN;
        n += l->untrained == 0;
        if (l->untrained == 0) {
            entropy = fmax(entropy, monitor_router_entropy(&c->monitor, i, c->monitor.n_windows - 1));
            agreement = fmax(agreement, l->since_start.first);
        }
    }
    if (n && isfinite(agreement) && isfinite(entropy))
        verdict_add(
            v, "routers", "none",
            "routers: %s is balanced by doing nothing: entropies of their probabilities are at most %.2f of "
            "ln N (alarm above %.2f), at most %.0f %% of the probe's first choices at step %lld are still "
            "those of step 0 (above %.0f %%)",
            n == judged ? "none" : "none of the others", entropy, rule.router_entropy_above, 100 * agreement,
            (long long)c->probe_last, 100 * rule.agreement_above);
    else if (n)
        verdict_add(v, "routers", "none",
                    "routers: no sign of balance by doing nothing, as far as was logged");
    if (unknown)
        verdict_add(v, "routers", "unknown",
                    "routers: in %d of %d layers it is not known whether the router learned anything: fewer "
                    "than %d windows or less than %.0f %% of the run, or neither its entropy nor a probe at "
                    "step 0 was logged",
                    unknown, judged, c->rule.lasting, 100 * rule.from_share);
}

static void judge_random(const struct collapse *c, struct verdicts *v)
{
    const struct interval *i = &c->random.cost;
    const char *effect = "unknown", *words = "not shown to be within";
    if (!c->random.run)
        return;
    if (c->random.no_effect) {
        effect = "no effect";
        words = "no effect, within";
    } else if (c->random.has_effect) {
        effect = "effect";
        words = "who gets what matters, by more than";
    }
    verdict_add(v, "random routing", effect,
                "random routing: with choices drawn at random in all layers (run '%s') the loss changes by "
                "%+.4f nats a token (95 %% interval %+.4f to %+.4f, %d documents, paired): %s +-%g",
                c->random.run, i->estimate, i->low, i->high, i->n, words, random_margin);
}

/* ---- capacity ---- */

/* Loads are what was asked for; how much of it was refused is said beside them. */
static void judge_capacity(const struct analysis *a, const struct collapse *c, struct verdicts *v)
{
    double dropped = 0, asked = 0, worst = 0;
    int layer = 0;
    for (int i = 0; i < c->n_layers; i++) {
        const struct monitor_series *s = &c->monitor.series[i];
        double here = 0, of = 0;
        for (int w = 0; w < c->monitor.n_windows; w++) {
            here += s->dropped[w];
            of += s->summary[w].total;
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
           rule->everything_share == usual.everything_share && rule->lasting == usual.lasting;
}

/* "97 windows of 8 steps (8002 tokens), 3 steps left over" */
static void add_windows(struct text *t, const struct collapse *c)
{
    const struct monitor *m = &c->monitor;
    int64_t least = m->windows[0].steps, most = least, left = c->last_step;
    double tokens = m->series[0].summary[0].n_tokens;
    for (int w = 0; w < m->n_windows; w++) {
        least = m->windows[w].steps < least ? m->windows[w].steps : least;
        most = m->windows[w].steps > most ? m->windows[w].steps : most;
    }
    text_printf(t, "%d window%s of %lld", m->n_windows, m->n_windows == 1 ? "" : "s", (long long)least);
    if (most > least)
        text_printf(t, " to %lld", (long long)most);
    text_printf(t, " step%s", most == 1 ? "" : "s");
    if (!isnan(tokens))
        text_printf(t, " (%.0f tokens)", tokens);
    left -= m->windows[m->n_windows - 1].last_step;
    if (left > 0)
        text_printf(t, "; %lld step%s at the end make%s no window", (long long)left, left == 1 ? "" : "s",
                    left == 1 ? "s" : "");
}

static void judge_rule(const struct collapse *c, struct verdicts *v, struct text *t)
{
    text_clear(t);
    collapse_rule_describe(&c->rule, t);
    if (!is_default(&c->rule))
        text_add(t, " (thresholds changed by options)");
    text_add(t, "; ");
    add_windows(t, c);
    verdict_add(v, "rule", "rule", "%s", t->data);
}

int collapse_judge_run(struct analysis *a, struct verdicts *v, struct error *err)
{
    const struct collapse *c = a->state;
    struct text t;
    text_init(&t);
    judge_headline(a, c, v, &t);
    for (int i = 0; i < c->n_layers; i++)
        if (!is_plain(c->layers[i].finding))
            judge_one(a, c, i, v, &t);
    judge_plain(a, c, FINDING_HEALTHY, v, &t);
    judge_plain(a, c, FINDING_FIXED, v, &t);
    judge_plain(a, c, FINDING_NO_CHOICE, v, &t);
    judge_no_alarm(c, v);
    judge_random(c, v);
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
