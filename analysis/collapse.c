/* moescope collapse: does the router still use its experts? Loads are read exactly, pooled over windows that
 * hold enough tokens, refused decisions included, and judged by the written rule in metrics/collapse.h; a
 * breach counts as a collapse when it lasts and reaches the end. The other half of the question, routers that
 * look healthy because they do nothing, is asked of the router's entropy and of the probe. Neither says what
 * it costs: that is compare's. */
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
    if (analysis_wants(a, "verdict") || analysis_wants(a, "router"))
        return collapse_judge_routers(c, a, err);
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
    return collapse_count(a->state, COLLAPSE_COLLAPSED) > 0;
}

/* ---- tables ---- */

static int onset_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    struct text detail;
    text_init(&detail);
    for (int i = 0; i < c->n_series; i++) {
        const struct collapse_verdict *v = &c->series[i].verdict;
        const struct load_summary *now = collapse_last_window(c, i);
        int lowest = c->series[i].lowest;
        text_clear(&detail);
        collapse_add_detail(&detail, c, i);
        table_int(t, a->layers[i].layer);
        table_text(t, collapse_state_word(v->state));
        if (v->onset_step >= 0)
            table_int(t, v->onset_step);
        else
            table_null(t);
        table_text(t, detail.data);
        table_figure(t, now->effective_experts);
        table_int(t, now->n_experts);
        table_int(t, now->dead_experts);
        table_int(t, now->starved_experts);
        table_figure(t, now->entropy_k_aware);
        table_figure(t, now->top_share_of_tokens);
        table_figure(t, c->series[i].window[lowest].effective_experts);
        table_int(t, c->windows[lowest].first_step);
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
            int since = collapse_dead_since(c, i, e);
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
            table_figure(t, s->entropy);
            table_figure(t, s->entropy_k_aware);
            table_figure(t, s->effective_experts);
            table_figure(t, s->max_violation);
            table_figure(t, s->cv);
            table_figure(t, s->gini);
            table_figure(t, s->top_share_of_tokens);
            table_int(t, s->dead_experts);
            table_int(t, s->starved_experts);
            table_int(t, c->windows[w].last_step);
            table_figure(t, s->n_tokens);
            table_int(t, c->series[i].breach[w] > 0);
            table_figure(t, c->series[i].dropped[w]);
        }
    return 0;
}

static int expert_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    (void)err;
    for (int w = 0; w < c->n_windows; w++)
        for (int i = 0; i < c->n_series; i++)
            for (int e = 0; e < a->layers[i].n_experts; e++) {
                table_int(t, c->windows[w].first_step);
                table_int(t, a->layers[i].layer);
                table_int(t, e);
                table_figure(t, collapse_load(c, i, w, e) / c->series[i].window[w].n_tokens);
            }
    return 0;
}

static int router_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct collapse *c = a->state;
    (void)err;
    for (int i = 0; i < c->n_series; i++) {
        const struct load_series *s = &c->series[i];
        table_int(t, a->layers[i].layer);
        table_text(t, collapse_alarm_word(s->untrained));
        table_figure(t, collapse_last_window(c, i)->entropy_k_aware);
        table_figure(t, collapse_router_entropy(c, i));
        table_figure(t, s->since_start.first);
        table_figure(t, s->since_start.first_chance);
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
         "a window and layer; normalized_entropy is 0 at k experts and 1 at uniform, top_share is of tokens, "
         "dropped are decisions refused by capacity",
     .columns =
         "step,layer,entropy,normalized_entropy,effective_experts,max_violation,cv,gini,top_share,dead,"
         "starved,last_step,tokens,breach,dropped",
     .sql = "analysis/collapse_load",
     .rows = load_rows},
    {.name = "experts",
     .help = "a window, layer and expert; share of the tokens that chose it",
     .columns = "step,layer,expert,share",
     .sql = "analysis/collapse_load",
     .rows = expert_rows},
    {0}};

int main(int argc, char **argv)
{
    struct collapse c = {
        .rule = collapse_rule_default(), .split = "train", .probe_first = -1, .probe_last = -1};
    c.lasting = c.rule.lasting;
    const struct option_spec options[] = {
        {"window", 'w', OPTION_INT, &c.window_steps, "STEPS",
         "steps pooled into one window (default: 50 tokens an expert, at most 100 windows)"},
        {"split", 0, OPTION_STRING, &c.split, "SPLIT", "train, valid, probe, routed or seen (default train)"},
        {"entropy-below", 0, OPTION_REAL, &c.rule.entropy_below, "X",
         "breach: k-aware load entropy below X (default 0.5)"},
        {"effective-share", 0, OPTION_REAL, &c.rule.effective_share, "X",
         "breach: fewer than X of the experts are effective (default 0.5)"},
        {"top-share-above", 0, OPTION_REAL, &c.rule.top_share_above, "X",
         "breach: the busiest expert takes more than X of the tokens (default 0.9)"},
        {"dead-share", 0, OPTION_REAL, &c.rule.dead_share, "X",
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
                 "Loads are what the routers asked for, refused by capacity or not.\n"
                 "States: healthy, transient (a breach that ended), censored (a breach at the end, too "
                 "short to call), collapsed\n(a breach that lasts to the end), no_data.\n",
             .examples = "moescope collapse log.db --run top1\n"
                         "moescope collapse log.db --run top1 --table load --format csv -o load.csv\n"
                         "moescope collapse log.db --run top1 --exit-code > /dev/null || echo collapsed\n",
             .options = options,
             .min_operands = 1,
             .max_operands = 1},
        .tables = tables,
        .prepare = prepare,
        .bind = bind,
        .judge = judge,
        .finding = found,
        .finding_help = "exit with 1 if any layer has collapsed",
    };
    int status = analysis_main(&program, &c, argc, argv);
    collapse_release(&c);
    return status;
}
