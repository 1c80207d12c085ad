/* moescope collapse: does the router still use its experts? Loads are read exactly, pooled over windows that
 * hold enough tokens, refused decisions included, and judged by the written rule in metrics/collapse.h; a
 * breach counts as a collapse when it lasts and reaches the end. The other half of the question, routers that
 * look healthy because they do nothing, is asked of the router's entropy, of the probe and, where somebody
 * tried it, of random choices in its place. Neither says what it costs: that is compare's. */
#include <math.h>

#include "analysis/shared/collapse.h"

static int prepare(struct analysis *a, struct error *err)
{
    struct collapse *c = a->state;
    if (c->window_steps < 0 || c->lasting < 1 || c->lasting > 1000000)
        return error_set(err, STATUS_USAGE, "--window and --lasting need a number of at least 1");
    c->rule.lasting = (int)c->lasting;
    if (collapse_read(c, a, err) != 0)
        return -1;
    if ((analysis_wants(a, "verdict") || analysis_wants(a, "onset") || analysis_wants(a, "router")) &&
        collapse_judge_routers(c, a, err) != 0)
        return -1;
    collapse_find(c);
    return 0;
}

static void bind(const struct analysis *a, struct query *q)
{
    collapse_bind(a->state, q);
}

static int judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    /* --exit-code with another table asks for the finding alone. */
    return analysis_wants(a, "verdict") ? collapse_judge_run(a, v, err) : 0;
}

static bool found(const struct analysis *a)
{
    return collapse_count(a->state, FINDING_COLLAPSED) > 0 ||
           collapse_count(a->state, FINDING_EVERYTHING) > 0;
}

/* ---- tables ---- */

static int onset_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    struct text detail;
    text_init(&detail);
    for (int i = 0; i < c->n_layers; i++) {
        const struct collapse_layer *l = &c->layers[i];
        const struct load_summary *now = monitor_last(&c->monitor, i);
        text_clear(&detail);
        collapse_add_detail(&detail, c, i);
        table_int(t, a->layers[i].layer);
        table_text(t, collapse_state_word(l->verdict.state));
        if (l->verdict.onset_step >= 0)
            table_int(t, l->verdict.onset_step);
        else
            table_null(t);
        table_text(t, detail.data);
        table_figure(t, now->effective_experts);
        table_int(t, now->n_experts);
        table_int(t, now->dead_experts);
        table_int(t, now->starved_experts);
        table_figure(t, now->entropy_k_aware);
        table_figure(t, now->top_share_of_tokens);
        table_figure(t, c->monitor.series[i].summary[l->lowest].effective_experts);
        table_int(t, c->monitor.windows[l->lowest].first_step);
        table_figure(t, now->k);
        table_text(t, finding_names[l->finding]);
    }
    int result = detail.failed ? error_no_memory(err, "the table") : 0;
    text_release(&detail);
    return result;
}

static int dead_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct monitor *m = &((const struct collapse *)a->state)->monitor;
    (void)err;
    for (int i = 0; i < m->n_layers; i++)
        for (int e = 0; e < a->layers[i].n_experts; e++) {
            int since = monitor_dead_since(m, i, e);
            if (since == m->n_windows)
                continue;
            table_int(t, a->layers[i].layer);
            table_int(t, e);
            table_int(t, m->windows[since].first_step);
            table_int(t, m->n_windows - since);
        }
    return 0;
}

static int load_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct monitor *m = &((const struct collapse *)a->state)->monitor;
    (void)err;
    for (int w = 0; w < m->n_windows; w++)
        for (int i = 0; i < m->n_layers; i++) {
            const struct load_summary *s = &m->series[i].summary[w];
            table_int(t, m->windows[w].first_step);
            table_int(t, a->layers[i].layer);
            table_figure(t, s->entropy);
            table_figure(t, s->entropy_k_aware);
            table_figure(t, s->effective_experts);
            table_figure(t, s->max_violation);
            table_figure(t, s->cv);
            table_figure(t, s->gini);
            table_figure(t, s->top_share_of_tokens);
            table_int(t, s->dead_experts);
            table_int(t, s->starved_experts);
            table_int(t, m->windows[w].last_step);
            table_figure(t, s->n_tokens);
            if (m->series[i].breach[w] == BREACH_UNKNOWN)
                table_null(t);
            else
                table_int(t, m->series[i].breach[w] > 0);
            table_figure(t, m->series[i].dropped[w]);
            table_figure(t, s->k);
            table_figure(t, monitor_router_entropy(m, i, w));
            table_figure(t, m->series[i].low[w]);
            table_figure(t, m->series[i].high[w]);
        }
    return 0;
}

static int step_rows(struct analysis *a, struct table *t, struct error *err)
{
    return collapse_step_rows(a->state, a, t, err);
}

static int expert_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct monitor *m = &((const struct collapse *)a->state)->monitor;
    (void)err;
    for (int w = 0; w < m->n_windows; w++)
        for (int i = 0; i < m->n_layers; i++)
            for (int e = 0; e < a->layers[i].n_experts; e++) {
                table_int(t, m->windows[w].first_step);
                table_int(t, a->layers[i].layer);
                table_int(t, e);
                table_figure(t, monitor_load(m, i, w, e) / m->series[i].summary[w].n_tokens);
            }
    return 0;
}

static int router_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    const struct monitor *m = &c->monitor;
    struct text alarm;
    text_init(&alarm);
    for (int i = 0; i < c->n_layers; i++) {
        const struct agreement_rates *g = &c->layers[i].since_start;
        text_clear(&alarm);
        untrained_add_reasons(&alarm, c->layers[i].untrained);
        table_int(t, a->layers[i].layer);
        table_text(t, alarm.data);
        table_figure(t, monitor_last(m, i)->entropy_k_aware);
        table_figure(t, monitor_router_entropy(m, i, m->n_windows - 1));
        table_figure(t, g->first);
        table_figure(t, g->first_chance);
        if (isnan(g->first))
            table_null(t);
        else
            table_int(t, c->probe_last);
    }
    int result = alarm.failed ? error_no_memory(err, "the table") : 0;
    text_release(&alarm);
    return result;
}

static const struct analysis_table tables[] = {
    {.name = "onset",
     .help = "a layer, its state and since when; figures of the last window",
     .columns = "layer,state,onset_step,detail,effective_experts,experts,dead,starved,normalized_entropy,top_"
                "share,lowest_effective,lowest_step,experts_per_token,finding",
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
         "a window and layer; normalized_entropy is 0 at k experts and 1 at uniform, top_share is of tokens, "
         "dropped are decisions refused by capacity, router_entropy is of ln N, lowest_step and "
         "highest_step are normalized entropies of single steps",
     .columns =
         "step,layer,entropy,normalized_entropy,effective_experts,max_violation,cv,gini,top_share,dead,"
         "starved,last_step,tokens,breach,dropped,experts_per_token,router_entropy,lowest_step,highest_step",
     .sql = "analysis/collapse_load",
     .rows = load_rows},
    {.name = "steps",
     .help =
         "a step and layer; figures of the step alone, then smoothed: of the loads of as many steps up to "
         "it as the first window has; router_entropy in nats",
     .columns = "step,layer,tokens,experts_per_token,normalized_entropy,effective_experts,max_violation,cv,"
                "gini,top_share,dead,smooth_normalized_entropy,smooth_effective_experts,smooth_max_violation,"
                "smooth_cv,smooth_gini,smooth_top_share,smooth_dead,router_entropy",
     .sql = "analysis/collapse_load",
     .rows = step_rows},
    {.name = "experts",
     .help = "a window, layer and expert; share of the tokens that chose it",
     .columns = "step,layer,expert,share",
     .sql = "analysis/collapse_load",
     .rows = expert_rows},
    {0}};

int main(int argc, char **argv)
{
    struct collapse c = {.rule = collapse_rule_default(), .split = NULL, .probe_first = -1, .probe_last = -1};
    c.lasting = c.rule.lasting;
    const struct option_spec options[] = {
        {"window", 'w', OPTION_INT, &c.window_steps, "STEPS",
         "steps pooled into one window (default: a hundredth of the run, at least 50 tokens an expert)"},
        {"split", 0, OPTION_STRING, &c.split, "SPLIT",
         "train, valid, probe, routed or seen (default train, or what an imported run has)"},
        {"entropy-below", 0, OPTION_REAL, &c.rule.entropy_below, "X",
         "breach: k-aware load entropy below X (default 0.5)"},
        {"effective-share", 0, OPTION_REAL, &c.rule.effective_share, "X",
         "breach: fewer than X of the experts are effective (default 0.5)"},
        {"top-share-above", 0, OPTION_REAL, &c.rule.top_share_above, "X",
         "breach: the busiest expert takes more than X of the tokens (default 0.9)"},
        {"dead-share", 0, OPTION_REAL, &c.rule.dead_share, "X",
         "breach: at least X of the experts get no token (default 0.5)"},
        {"everything-share", 0, OPTION_REAL, &c.rule.everything_share, "X",
         "breach: tokens differ in how many experts they get and get X of them or more (default 0.9)"},
        {"lasting", 0, OPTION_INT, &c.lasting, "M",
         "windows that a breach must last, to the end (default 3)"},
        {0}};
    const struct analysis_program program = {
        .command =
            {.verb = "collapse",
             .operands = "DB",
             .purpose = "do the routers still use their experts, and since when not",
             .details =
                 "Loads are what the routers asked for, refused by capacity or not.\n"
                 "States: healthy, transient (a breach that ended), censored (a breach at the end, too "
                 "short to call), collapsed\n(a breach that lasts to the end), no_choice, no_data.\n"
                 "Findings tell collapsed from everything on, and healthy from dead experts, unbalanced, "
                 "balanced but\nindifferent (the router does nothing) and fixed (hash).\n",
             .examples = "moescope collapse log.db --run top1\n"
                         "moescope collapse log.db --run top1 --table load --format csv -o load.csv\n"
                         "moescope collapse log.db --run top1 --exit-code > /dev/null || echo collapsed\n",
             .options = options,
             .min_operands = 1,
             .max_operands = 1},
        .tables = tables,
        .long_table = "steps",
        .prepare = prepare,
        .bind = bind,
        .judge = judge,
        .finding = found,
        .finding_help = "exit with 1 if any layer has collapsed or has everything on",
    };
    int status = analysis_main(&program, &c, argc, argv);
    collapse_release(&c);
    return status;
}
