/* moescope compare: which run is better, and is the difference real? Final losses are paired by document,
 * with intervals over documents within domains, which speaks about these trained models; with --group-by seed
 * the unit is the seed, which speaks about what was trained. What should not be compared is said before
 * anybody asks. */
#include <math.h>
#include <string.h>

#include "analysis/shared/compare.h"

/* "language=en" */
static int read_label(struct compare *c, struct error *err)
{
    const char *equals = c->where_label ? strchr(c->where_label, '=') : NULL;
    if (!c->where_label)
        return 0;
    if (!equals || equals == c->where_label)
        return error_set(err, STATUS_USAGE, "a label is KEY=VALUE, such as language=en, not '%s'",
                         c->where_label);
    c->key = strndup(c->where_label, (size_t)(equals - c->where_label));
    c->value = strdup(equals + 1);
    return c->key && c->value ? 0 : error_no_memory(err, "the label");
}

/* Which token's frequency; and a table that is about it wants to be told. */
static int read_by(struct compare *c, const struct analysis *a, struct error *err)
{
    static const char *const tables[] = {"frequency", "frequency_seeds", "perplexity", "buckets"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables && a->table && !c->by; i++)
        if (strcmp(a->table, tables[i]) == 0)
            return error_set(err, STATUS_USAGE,
                             "the table '%s' takes --by input-frequency or --by target-frequency", a->table);
    if (c->by && strcmp(c->by, "input-frequency") == 0)
        c->of = "input";
    else if (c->by && strcmp(c->by, "target-frequency") == 0)
        c->of = "target";
    else if (c->by)
        return error_set(err, STATUS_USAGE,
                         "losses are told apart by input-frequency or target-frequency, not by '%s'", c->by);
    return 0;
}

static int check_options(struct compare *c, const struct analysis *a, struct error *err)
{
    if (c->group_by && strcmp(c->group_by, "seed") != 0)
        return error_set(err, STATUS_USAGE, "runs can be grouped by seed, not by '%s'", c->group_by);
    if (c->margin < 0)
        return error_set(err, STATUS_USAGE, "the margin must not be negative");
    return read_label(c, err) != 0 || read_by(c, a, err) != 0 ? -1 : 0;
}

static int prepare(struct analysis *a, struct error *err)
{
    struct compare *c = a->state;
    bool verdict = analysis_wants(a, "verdict") || analysis_wants(a, "incomparable");
    bool routing = verdict || analysis_wants(a, "agreement");
    if (check_options(c, a, err) != 0 || compare_choose_runs(c, a, err) != 0 ||
        compare_losses(c, a, err) != 0)
        return -1;
    if (compare_is_grouped(c) && compare_groups(c, err) != 0)
        return -1;
    if (c->of && compare_by_frequency(c, a, err) != 0)
        return -1;
    if (routing && compare_routing(c, a, err) != 0)
        return -1;
    if ((verdict || analysis_wants(a, "routers")) && compare_routers(c, a, err) != 0)
        return -1;
    return compare_find_reasons(c, err);
}

static int judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    /* --exit-code with another table asks for the finding alone. */
    return analysis_wants(a, "verdict") ? compare_judge(a, v, err) : 0;
}

/* Worse than the baseline: what a gate before merging wants to know. */
static bool found(const struct analysis *a)
{
    const struct compare *c = a->state;
    for (int i = 0; i < c->n_group_differences; i++)
        if (c->group_differences[i].verdict == VERDICT_WORSE)
            return true;
    for (int i = 0; i < c->n_differences && !compare_is_grouped(c); i++)
        if (c->differences[i].domain < 0 && c->differences[i].verdict == VERDICT_WORSE)
            return true;
    return false;
}

static void bind(const struct analysis *a, struct query *q)
{
    const struct compare *c = a->state;
    const struct losses_asked asked = compare_asked(c);
    int other = c->baseline == 0 ? 1 : 0;
    losses_bind(&asked, q);
    query_bind_text(q, ":of", c->of);
    query_bind_int(q, ":run_a", c->runs.runs[c->baseline].run_id);
    if (other < c->runs.n) /* one run alone is asked for its losses and cost only */
        query_bind_int(q, ":run_b", c->runs.runs[other].run_id);
}

/* ---- tables ---- */

static const char *config_column(const struct analysis *a, int i)
{
    const struct compare *c = a->state;
    return i < c->runs.n ? c->runs.runs[i].name : NULL;
}

static int config_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->runs.n_settings; i++) {
        const struct setting *s = &c->runs.settings[i];
        if (!s->differs)
            continue;
        table_text(t, s->key);
        for (int j = 0; j < c->runs.n; j++)
            table_text(t, s->values[j]);
    }
    return 0;
}

static void best_cells(struct table *t, const struct best_loss *best)
{
    if (best->step >= 0)
        table_int(t, best->step);
    else
        table_null(t);
    table_figure(t, best->loss);
}

static int loss_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    for (int i = 0; i < c->runs.n; i++) {
        const struct evaluation *e = &c->evaluations[i];
        struct interval nats, bits;
        if (evaluation_interval(e, NATS_PER_TOKEN, -1, (uint64_t)c->seed, &nats, err) != 0 ||
            evaluation_interval(e, BITS_PER_BYTE, -1, (uint64_t)c->seed, &bits, err) != 0)
            return -1;
        table_text(t, compare_name(c, i));
        table_int(t, c->runs.runs[i].seed);
        if (e->step >= 0)
            table_int(t, e->step);
        else
            table_null(t);
        table_int(t, e->n);
        table_figure(t, nats.estimate);
        table_figure(t, nats.low);
        table_figure(t, nats.high);
        table_figure(t, bits.estimate);
        table_figure(t, bits.low);
        table_figure(t, bits.high);
        best_cells(t, &c->best[i]);
    }
    return 0;
}

static int difference_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->n_differences; i++) {
        const struct run_difference *d = &c->differences[i];
        table_text(t, compare_name(c, d->run));
        table_text(t, compare_name(c, d->baseline));
        table_text(t, d->domain < 0 ? "all" : c->domains.names[d->domain]);
        table_int(t, d->documents);
        table_figure(t, d->i.estimate);
        table_figure(t, d->i.low);
        table_figure(t, d->i.high);
        table_text(t, verdict_names[d->verdict]);
        table_text(t, loss_unit_names[d->unit]);
        table_figure(t, d->adjusted);
        table_figure(t, d->effect);
    }
    return 0;
}

static int domain_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    for (int i = 0; i < c->runs.n; i++)
        for (int d = 0; d < c->domains.n; d++) {
            struct interval bits;
            int n = evaluation_count(&c->evaluations[i], d);
            if (n == 0)
                continue;
            if (evaluation_interval(&c->evaluations[i], BITS_PER_BYTE, d, (uint64_t)c->seed, &bits, err) != 0)
                return -1;
            table_text(t, compare_name(c, i));
            table_text(t, c->domains.names[d]);
            table_int(t, n);
            table_figure(t, bits.estimate);
            table_figure(t, bits.low);
            table_figure(t, bits.high);
        }
    return 0;
}

static int router_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->n_routers; i++) {
        const struct router_side *r = &c->routers[i];
        table_text(t, compare_name(c, r->run));
        table_int(t, r->layer.layer);
        table_int(t, r->layer.n_experts);
        if (r->layer.k > 0)
            table_int(t, r->layer.k);
        else
            table_null(t);
        table_text(t, r->load.n_experts ? finding_names[r->finding] : NULL);
        table_figure(t, r->load.n_experts ? r->load.effective_experts : NAN);
        table_figure(t, r->load.n_experts ? (double)r->load.dead_experts : (double)NAN);
        table_figure(t, r->load.n_experts ? r->load.top_share_of_tokens : NAN);
        table_figure(t, r->information.estimate);
        table_figure(t, r->information.low);
        table_figure(t, r->information.high);
        table_figure(t, r->null_high);
        table_figure(t, r->at_start);
        table_figure(t, r->hash);
        table_int(t, r->documents);
    }
    return 0;
}

static int agreement_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->n_agreements; i++) {
        const struct routing_agreement *r = &c->agreements[i];
        table_text(t, compare_name(c, r->a));
        table_text(t, compare_name(c, r->b));
        table_int(t, r->layer);
        table_figure(t, r->m.agreement.agreement);
        table_figure(t, r->m.agreement.chance);
        table_figure(t, r->m.interval.low);
        table_figure(t, r->m.interval.high);
        table_figure(t, r->m.agreement.above);
        table_int(t, r->m.documents);
        table_figure(t, r->m.agreement.n_tokens);
    }
    return 0;
}

static int seed_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    char name[128], baseline[128];
    (void)err;
    for (int i = 0; i < c->n_group_differences; i++) {
        const struct group_difference *r = &c->group_differences[i];
        table_text(t, runs_group_name(&c->runs, r->group, name));
        table_text(t, runs_group_name(&c->runs, c->runs.runs[c->baseline].group, baseline));
        table_int(t, r->i.n);
        table_figure(t, r->i.estimate);
        table_figure(t, r->i.low);
        table_figure(t, r->i.high);
        table_text(t, r->i.n ? verdict_names[r->verdict] : NULL);
        table_text(t, loss_unit_names[r->unit]);
        table_figure(t, r->i.p);
        table_figure(t, r->effect);
    }
    return 0;
}

static int group_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    char name[128];
    for (int g = 0; g < c->runs.n_groups && compare_is_grouped(c); g++) {
        struct interval i;
        if (compare_group_losses(c, g, &i, err) != 0)
            return -1;
        table_text(t, runs_group_name(&c->runs, g, name));
        table_int(t, i.n);
        table_figure(t, i.estimate);
        table_figure(t, i.low);
        table_figure(t, i.high);
    }
    return 0;
}

/* Steps of a group: those of its runs, each once. */
static int curve_rows_of(const struct compare *c, int group, struct table *t, struct error *err)
{
    char name[128];
    int64_t last = -1;
    for (;;) {
        int64_t step = INT64_MAX;
        for (int i = 0; i < c->n_curve; i++)
            if (c->runs.runs[c->curve[i].run].group == group && c->curve[i].step > last &&
                c->curve[i].step < step)
                step = c->curve[i].step;
        if (step == INT64_MAX)
            return 0;
        struct interval i;
        double lowest, highest;
        if (compare_group_at(c, group, step, &i, &lowest, &highest, err) != 0)
            return -1;
        table_text(t, runs_group_name(&c->runs, group, name));
        table_int(t, step);
        table_int(t, i.n);
        table_figure(t, i.estimate);
        table_figure(t, i.low);
        table_figure(t, i.high);
        table_figure(t, lowest);
        table_figure(t, highest);
        last = step;
    }
}

static int curve_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    for (int g = 0; g < c->runs.n_groups; g++)
        if (curve_rows_of(c, g, t, err) != 0)
            return -1;
    return 0;
}

static void judged_cells(struct table *t, const struct judged *j)
{
    table_figure(t, j->i.estimate);
    table_figure(t, j->i.low);
    table_figure(t, j->i.high);
    table_text(t, verdict_names[j->verdict]);
    table_figure(t, j->adjusted);
}

static void frequency_row(struct table *t, const struct frequency_difference *d, const char *name,
                          const char *baseline)
{
    table_text(t, name);
    table_text(t, baseline);
    table_text(t, frequency_names[d->bucket]);
    table_int(t, d->n);
    table_figure(t, d->tokens);
    table_figure(t, d->loss);
    table_figure(t, d->baseline_loss);
    judged_cells(t, &d->by_token);
    judged_cells(t, &d->by_domain);
}

static int frequency_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->frequency.n; i++) {
        const struct frequency_difference *d = &c->frequency.items[i];
        frequency_row(t, d, compare_name(c, d->run), compare_name(c, d->baseline));
    }
    return 0;
}

static int frequency_seed_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    char name[128], baseline[128];
    (void)err;
    for (int i = 0; i < c->frequency_seeds.n; i++) {
        const struct frequency_difference *d = &c->frequency_seeds.items[i];
        frequency_row(t, d, runs_group_name(&c->runs, d->run, name),
                      runs_group_name(&c->runs, d->baseline, baseline));
    }
    return 0;
}

static void perplexity_cells(struct table *t, const struct interval *i)
{
    table_figure(t, i->estimate);
    table_figure(t, i->low);
    table_figure(t, i->high);
    table_figure(t, exp(i->estimate));
    table_figure(t, exp(i->low));
    table_figure(t, exp(i->high));
}

static int perplexity_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    for (int i = 0; i < c->runs.n * N_BUCKETS && c->of; i++) {
        const struct evaluation *e = &c->by_frequency[i];
        struct interval nats;
        if (e->n == 0)
            continue;
        if (evaluation_interval(e, NATS_PER_TOKEN, -1, (uint64_t)c->seed, &nats, err) != 0)
            return -1;
        table_text(t, compare_name(c, i / N_BUCKETS));
        table_text(t, frequency_names[i % N_BUCKETS]);
        table_int(t, e->n);
        table_figure(t, evaluation_tokens(e));
        perplexity_cells(t, &nats);
    }
    return 0;
}

static int bucket_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < N_BUCKETS && c->of; i++) {
        const struct frequency_bucket *b = &c->buckets[i];
        table_text(t, frequency_names[i]);
        table_int(t, b->ids);
        table_int(t, b->train_tokens);
        table_figure(t, b->share);
        table_int(t, b->least);
        table_int(t, b->most);
    }
    return 0;
}

static int reason_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct compare *c = a->state;
    (void)err;
    for (int i = 0; i < c->reasons.n; i++) {
        table_text(t, c->reasons.items[i].kind);
        table_text(t, c->reasons.items[i].text);
    }
    return 0;
}

static const struct analysis_table tables[] = {
    {.name = "difference",
     .help =
         "a run and domain against the baseline, paired by document; below 0 is better; p by "
         "Benjamini-Hochberg; effect: the difference in standard deviations of the documents' differences",
     .columns = "run,baseline,domain,documents,difference,low,high,verdict,unit,p,effect",
     .sql = "analysis/compare_losses",
     .rows = difference_rows},
    {.name = "losses",
     .help = "a run's final losses over all its documents, with intervals over documents; and its "
             "lowest "
             "so far, which is the better for being the lowest of many",
     .columns = "run,seed,step,documents,loss,low,high,bits_per_byte,bits_low,bits_high,best_step,"
                "best_loss",
     .sql = "analysis/compare_losses",
     .rows = loss_rows},
    {.name = "domains",
     .help = "a run and domain, in bits per byte",
     .columns = "run,domain,documents,bits_per_byte,low,high",
     .sql = "analysis/compare_losses",
     .rows = domain_rows},
    {.name = "cost",
     .help = "what a run cost to train; tokens_per_second is the median of its steps, peak_memory in bytes",
     .columns = "run,parameters,active_parameters,tokens,seconds,tokens_per_second,gigaflop,"
                "flops_per_token,peak_memory",
     .sql = "analysis/compare_cost"},
    {.name = "routers",
     .help =
         "a run and layer, load and specialisation side by side: what collapse says of the load, its last "
         "window; nats that a document's domain tells about the expert (null_high: 97.5 % of permuted "
         "labels), at the first probe, and of hash routers",
     .columns =
         "run,layer,experts,k,load,effective_experts,dead_experts,top_share,information,low,high,null_high,"
         "at_start,hash,documents",
     .rows = router_rows},
    {.name = "agreement",
     .help = "two runs and a layer: share of the probe's first choices that agree once experts are matched "
             "(on the "
             "other half of the documents)",
     .columns = "run_a,run_b,layer,agreement,chance,low,high,above_chance,documents,tokens",
     .sql = "analysis/compare_choices",
     .rows = agreement_rows},
    {.name = "config",
     .help = "a setting in which the runs differ",
     .columns = "key",
     .sql = "analysis/compare_config",
     .rows = config_rows,
     .more_columns = config_column},
    {.name = "seeds",
     .help = "a group of runs alike but for the seed against the baseline's group, paired by seed "
             "(--group-by seed)",
     .columns = "group,baseline,seeds,difference,low,high,verdict,unit,p,effect",
     .rows = seed_rows},
    {.name = "groups",
     .help = "a group's mean loss in nats per token with Student's interval over its seeds (--group-by seed)",
     .columns = "group,seeds,loss,low,high",
     .rows = group_rows},
    {.name = "curves",
     .help =
         "a group of runs alike but for the seed, or a run alone, at each evaluation: mean loss in nats per "
         "token with Student's interval over its seeds, and the lowest and highest of them",
     .columns = "group,step,seeds,loss,low,high,lowest,highest",
     .sql = "analysis/compare_curves",
     .rows = curve_rows},
    {.name = "frequency",
     .help =
         "a run and bucket of token frequency against the baseline (--by), paired by document, in nats per "
         "token: every token counting alike, then every domain; p by Benjamini-Hochberg",
     .columns = "run,baseline,bucket,documents,tokens,loss,baseline_loss,difference,low,high,verdict,p,"
                "by_domain,domain_low,domain_high,domain_verdict,domain_p",
     .sql = "analysis/compare_frequency",
     .rows = frequency_rows},
    {.name = "frequency_seeds",
     .help = "the same of a group of runs alike but for the seed, paired by seed (--by, --group-by seed); "
             "tokens and losses are means over seeds",
     .columns = "group,baseline,bucket,seeds,tokens,loss,baseline_loss,difference,low,high,verdict,p,"
                "by_domain,domain_low,domain_high,domain_verdict,domain_p",
     .rows = frequency_seed_rows},
    {.name = "perplexity",
     .help = "a run and bucket of token frequency (--by): loss in nats per token and its exponential, with "
             "bootstrap intervals over documents",
     .columns = "run,bucket,documents,tokens,loss,low,high,perplexity,perplexity_low,perplexity_high",
     .sql = "analysis/compare_frequency",
     .rows = perplexity_rows},
    {.name = "buckets",
     .help = "what a bucket of token frequency is (--by): its ids, what they make up of the train tokens, "
             "and how "
             "often the rarest and the most frequent of them occur",
     .columns = "bucket,ids,train_tokens,share,least,most",
     .sql = "analysis/compare_buckets",
     .rows = bucket_rows},
    {.name = "incomparable",
     .help = "what not to compare at all, or to keep in mind, by what it is about",
     .columns = "kind,reason",
     .rows = reason_rows},
    {0}};

int main(int argc, char **argv)
{
    struct compare c = {.split = "valid", .margin = 0.01, .seed = 1, .step = -1};
    const struct option_spec options[] = {
        {"baseline", 'b', OPTION_STRING, &c.baseline_name, "RUN",
         "what the others are measured against (default: the "
         "first)"},
        {"margin", 'm', OPTION_REAL, &c.margin, "X", "nats per token that count as equal (default 0.01)"},
        {"group-by", 'g', OPTION_STRING, &c.group_by, "seed",
         "group runs alike but for the seed and compare the groups"},
        {"by", 0, OPTION_STRING, &c.by, "WHAT",
         "also by token frequency: input-frequency or target-frequency"},
        {"where-label", 0, OPTION_STRING, &c.where_label, "KEY=VALUE",
         "losses of documents with this label alone (language=en)"},
        {"split", 0, OPTION_STRING, &c.split, "SPLIT",
         "whose losses: valid, probe, routed or seen (default valid)"},
        {"step", 0, OPTION_INT, &c.step, "N", "the last evaluation up to step N (default: each run's last)"},
        {"seed", 0, OPTION_INT, &c.seed, "N", "of the changes of sign (default 1)"},
        {0}};
    const struct analysis_program program = {
        .command =
            {.verb = "compare",
             .operands = "DB RUN RUN...",
             .purpose = "which run is better, by how much, and is it real",
             .details =
                 "Differences are paired by document and below 0 where a run is better than the baseline. "
                 "Verdicts: better, worse,\nequivalent (the interval lies within the margin), "
                 "undetermined. Intervals are of 95 %, over documents within\ndomains, from 2000 changes of "
                 "sign; "
                 "a domain with fewer than 10 documents has none.\n"
                 "By token frequency takes runs of one corpus with log.decisions = held_out or all.\n"
                 "FILE:RUN is a run of another logbook; documents are the same when their hashes are.\n",
             .examples =
                 "moescope compare log.db dense top1 top2\n"
                 "moescope compare log.db top1 top2 --table difference --format csv\n"
                 "moescope compare log.db dense-1 dense-2 dense-3 top2-1 top2-2 top2-3 --group-by seed\n"
                 "moescope compare log.db dense other.db:dense ../third.db:top2 --format json\n"
                 "moescope compare log.db smoe mask --by target-frequency --where-label language=en\n",
             .options = options,
             .min_operands = 2,
             .max_operands = -1},
        .tables = tables,
        .many_runs = true,
        .prepare = prepare,
        .bind = bind,
        .judge = judge,
        .finding = found,
        .finding_help = "exit with 1 if any run is worse than the baseline",
    };
    int status = analysis_main(&program, &c, argc, argv);
    compare_release(&c);
    return status;
}
