/* moescope demand: how many experts does each layer use? The router's whole probability vectors on the probe
 * say over how many experts it spreads its gate mass, by layer, domain, step, position and frequency of the
 * token; its decisions say how many experts the text as a whole needs resident. This is the router's
 * confidence. What a layer can do without, only truncating its k and measuring the loss can say. */
#include <math.h>
#include <stdlib.h>

#include "analysis/shared/demand.h"

static int prepare(struct analysis *a, struct error *err)
{
    struct demand *s = a->state;
    if (s->positions < 1 || s->positions > INT32_MAX)
        return error_set(err, STATUS_USAGE, "--positions needs a number from 1");
    if (s->budget < 0 || s->budget > INT32_MAX || !(s->ablations.margin >= 0))
        return error_set(err, STATUS_USAGE, "--budget and --margin need a number from 0");
    return demand_read(s, a, err);
}

static void bind(const struct analysis *a, struct query *q)
{
    const struct demand *s = a->state;
    query_bind_int(q, ":step", s->step);
    query_bind_int(q, ":positions", s->positions);
    query_bind_text(q, ":split", s->ablations.split);
}

/* ---- tables ---- */

static int layer_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    int spread = demand_spread(s, a, err);
    if (spread != 0)
        return spread < 0 ? -1 : 0;
    for (int i = 0; i < a->n_layers; i++) {
        const struct layer_spread *l = &s->spread.layers[i];
        const struct concentration *c = &l->all;
        struct interval interval;
        if (demand_interval(s, l->document.needed, l->document.tokens, false, &interval, err) != 0)
            return -1;
        table_int(t, l->layer->layer);
        table_figure(t, s->sets[i].k);
        table_figure(t, c->entropy / c->n_tokens);
        table_figure(t, concentration_mean_needed(c, LEVEL_90));
        table_figure(t, interval.low);
        table_figure(t, interval.high);
        table_figure(t, c->effective_experts / c->n_tokens);
        table_int(t, c->n_experts);
        table_figure(t, concentration_mean_needed(c, LEVEL_50));
        table_figure(t, concentration_mean_needed(c, LEVEL_80));
        table_figure(t, concentration_mean_needed(c, LEVEL_95));
        table_int(t, interval.n);
        table_int(t, (int64_t)c->n_tokens);
    }
    return 0;
}

static int mass_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    int spread = demand_spread(s, a, err);
    if (spread != 0)
        return spread < 0 ? -1 : 0;
    for (int i = 0; i < a->n_layers; i++) {
        const struct concentration *c = &s->spread.layers[i].all;
        for (int rank = 0; rank < c->n_experts; rank++) {
            table_int(t, a->layers[i].layer);
            table_int(t, rank + 1);
            table_figure(t, c->mass[rank] / c->n_tokens);
        }
    }
    return 0;
}

static double total(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static int domain_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    const struct labels_of *domains = &s->documents.labels[0];
    int spread = demand_spread(s, a, err);
    if (spread != 0)
        return spread < 0 ? -1 : 0;
    for (int i = 0; i < a->n_layers; i++)
        for (int domain = 0; domain < domains->n_values; domain++) {
            struct interval interval;
            if (demand_domain_interval(s, &s->spread.layers[i], domain, &interval, err) != 0)
                return -1;
            table_int(t, a->layers[i].layer);
            table_text(t, domains->values[domain]);
            table_figure(t, interval.estimate);
            table_figure(t, interval.low);
            table_figure(t, interval.high);
            table_int(t, interval.n);
        }
    return 0;
}

static void step_row(struct table *t, int64_t step, int layer, const struct concentration *c)
{
    table_int(t, step);
    table_int(t, layer);
    table_figure(t, c->entropy / c->n_tokens);
    table_figure(t, concentration_mean_needed(c, LEVEL_90));
    table_figure(t, c->mass[0] / c->n_tokens);
    table_int(t, (int64_t)c->n_tokens);
}

static int step_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    struct concentration *steps;
    if (demand_cannot_spread(s, a))
        return 0;
    if (spread_steps(&steps, a, &s->documents, s->step, err) != 0)
        return -1;
    int n = s->documents.n_steps * a->n_layers, kept = 0;
    for (int i = 0; i < n; i++)
        if (steps[i].n_tokens > 0) {
            step_row(t, s->documents.steps[i / a->n_layers], a->layers[i % a->n_layers].layer, &steps[i]);
            kept++;
        }
    spread_steps_release(steps, n);
    return kept > 0 ? 0 : spread_missing(a, s->step, err);
}

static int group_row(struct table *t, const struct demand *s, const struct layer_spread *l, enum grouping by,
                     int group, double *departure, struct error *err)
{
    int n = s->documents.n_documents;
    const double *needed = demand_group(l->group[by].needed, group, n),
                 *tokens = demand_group(l->group[by].tokens, group, n);
    double all = total(tokens, n);
    struct interval interval;
    if (all == 0)
        return 0;
    if (demand_interval(s, needed, tokens, true, &interval, err) != 0 ||
        demand_departures(s, l, by, group, departure, err) != 0)
        return -1;
    table_int(t, l->layer->layer);
    table_text(t, groupings[by].names[group]);
    table_figure(t, interval.estimate);
    table_int(t, (int64_t)all);
    table_figure(t, interval.low);
    table_figure(t, interval.high);
    table_figure(t, concentration_mean_needed(&l->all, LEVEL_90) + total(departure, n) / all);
    table_int(t, interval.n);
    if (by == BY_COUNT)
        table_int(t, s->spread.n_ids[group]);
    return 0;
}

static int group_rows(struct analysis *a, struct table *t, enum grouping by, struct error *err)
{
    struct demand *s = a->state;
    int result = 0, n = groupings[by].n;
    int spread = demand_spread(s, a, err);
    if (spread != 0)
        return spread < 0 ? -1 : 0;
    double *departure = malloc(((size_t)s->documents.n_documents + 1) * sizeof *departure);
    if (!departure)
        return error_no_memory(err, "the groups of tokens");
    for (int i = 0; i < a->n_layers * n && result == 0; i++)
        result = group_row(t, s, &s->spread.layers[i / n], by, i % n, departure, err);
    free(departure);
    return result;
}

static int frequency_rows(struct analysis *a, struct table *t, struct error *err)
{
    return group_rows(a, t, BY_COUNT, err);
}

static int word_rows(struct analysis *a, struct table *t, struct error *err)
{
    return group_rows(a, t, BY_WORD, err);
}

static int difficulty_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct demand *s = a->state;
    if (a->table && !s->difficulty_by)
        return error_set(err, STATUS_USAGE,
                         "table difficulty needs --difficulty-by RUN, whose losses say how hard a "
                         "token is");
    return group_rows(a, t, BY_DIFFICULTY, err);
}

static int position_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    int spread = demand_spread(s, a, err);
    if (spread != 0)
        return spread < 0 ? -1 : 0;
    for (int i = 0; i < a->n_layers; i++) {
        const struct sums *p = &s->spread.layers[i].position;
        for (int position = 0; position < s->spread.n_positions; position++) {
            table_int(t, a->layers[i].layer);
            table_int(t, position);
            table_figure(t, p->needed[position] / p->tokens[position]);
            table_int(t, (int64_t)p->tokens[position]);
        }
    }
    return 0;
}

static int set_rows(struct analysis *a, struct table *t, struct error *err)
{
    const struct demand *s = a->state;
    (void)err;
    for (int i = 0; i < a->n_layers; i++) {
        const struct working_set *w = &s->sets[i];
        table_int(t, w->layer);
        table_int(t, w->for_90_percent);
        table_int(t, w->n_experts);
        table_int(t, w->unused);
        table_figure(t, w->per_document);
        table_figure(t, w->tokens_per_document);
    }
    return 0;
}

/* ---- what is needed, by ablations ---- */

static int needed_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    struct needed_k needed;
    if (demand_ablations(s, a, err) != 0)
        return -1;
    for (int i = 0; i < a->n_layers; i++) {
        if (!ablations_needed(&s->ablations, &a->layers[i], &needed))
            continue;
        const struct interval *cost = needed.at ? &needed.at->all.i : NULL;
        table_int(t, a->layers[i].layer);
        table_figure(t, s->sets[i].k);
        table_int(t, needed.needed);
        table_int(t, needed.certain);
        table_figure(t, cost ? cost->estimate : 0);
        table_figure(t, cost ? cost->low : NAN);
        table_figure(t, cost ? cost->high : NAN);
        table_int(t, s->ablations.whole.n);
    }
    return 0;
}

static int total_k(const struct analysis *a)
{
    int sum = 0;
    for (int i = 0; i < a->n_layers; i++)
        sum += a->layers[i].k;
    return sum;
}

static void allocation_row(const struct demand *s, struct table *t, const struct moe_layer *layer, int k,
                           int budget)
{
    const struct ablated *x = ablations_find(&s->ablations, "k", layer->layer, -1, k);
    table_int(t, layer->layer);
    table_int(t, layer->k);
    table_int(t, k);
    table_figure(t, x ? x->all.i.estimate : 0);
    table_int(t, budget);
}

/* Without a budget half of what there is: to allocate all of it changes nothing. Nothing is complained of
 * where the table was not asked for by name. */
static int allocation_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    int half = total_k(a) / 2, budget = half < a->n_layers ? a->n_layers : half;
    if (s->budget > 0)
        budget = (int)s->budget;
    if (demand_ablations(s, a, err) != 0)
        return -1;
    int *k = malloc(((size_t)a->n_layers + 1) * sizeof *k);
    if (!k)
        return error_no_memory(err, "an allocation of experts");
    double cost;
    int result = ablations_allocate(&s->ablations, a, budget, k, &cost, a->table ? err : NULL);
    for (int i = 0; i < a->n_layers && result == 0; i++)
        allocation_row(s, t, &a->layers[i], k[i], budget);
    free(k);
    return a->table ? result : 0;
}

/* ---- the program ---- */

static const struct analysis_table tables[] = {
    {"layers", "experts that hold 90 % of a token's gate mass, mean over tokens, by layer",
     "layer,k,router_entropy,concentration_90,low,high,effective_by_token,experts,concentration_50,"
     "concentration_80,"
     "concentration_95,documents,tokens",
     "analysis/demand_layers", layer_rows, NULL},
    {"rank_mass", "gate mass of a token's `rank` likeliest experts, mean over tokens", "layer,rank,mass",
     "analysis/demand_rank_mass", mass_rows, NULL},
    {"domains", "the same by domain, over the first positions only (--positions)",
     "layer,domain,concentration_90,low,high,documents", "analysis/demand_domains", domain_rows, NULL},
    {"steps", "the same at every pass of the probe",
     "step,layer,router_entropy,concentration_90,rank_mass_1,tokens", "analysis/demand_steps", step_rows,
     NULL},
    {"frequency", "the same by how often the token occurs in the text trained on",
     "layer,bucket,concentration_90,tokens,low,high,within_domain,documents,ids", "analysis/demand_frequency",
     frequency_rows, NULL},
    {"words", "the same where words begin and where they go on",
     "layer,class,concentration_90,tokens,low,high,within_domain,documents", "analysis/demand_words",
     word_rows, NULL},
    {"difficulty",
     "the same by how hard another run (--difficulty-by) finds the token, in tenths: 1 is the easiest",
     "layer,tenth,concentration_90,tokens,low,high,within_domain,documents", "analysis/demand_difficulty",
     difficulty_rows, NULL},
    {"position", "the same by position in the sample", "layer,position,concentration_90,tokens",
     "analysis/demand_position", position_rows, NULL},
    {"working_set", "experts that take 90 % of all decisions, and how many a document meets",
     "layer,experts_for_90_percent_of_load,experts,unused,experts_per_document,tokens_per_document",
     "analysis/demand_working_set", set_rows, NULL},
    {"needed",
     "the least experts a token that a layer can be truncated to within the margin (moescope ablate --what "
     "k)",
     "layer,k,needed,certain,loss_change,low,high,documents", "analysis/ablations", needed_rows, NULL},
    {"allocation", "experts for each layer under a budget, at the least sum of what truncating each costs",
     "layer,k,recommended,loss_change,budget", "analysis/ablations", allocation_rows, NULL},
    {0}};

static const char details[] =
    "Gate mass is the router's probability before any is thrown away. concentration_90 is the mean over "
    "tokens of\n"
    "the number of experts, likeliest first, that hold 90 % of it; effective_by_token the mean of "
    "exp(entropy). It\n"
    "tells the router's confidence. What a layer needs is another question: `moescope ablate --what k` "
    "truncates\n"
    "it and looks at the loss; `needed` and `allocation` read that.\n"
    "Intervals are over documents (95 %), within domains where the figure is over all of them; fewer than "
    "10\n"
    "documents give none. Domains are compared over the first positions of each sample, since the beginning "
    "of a\n"
    "text is unlike the rest. within_domain in `frequency` is what the bucket would need if its tokens were "
    "spread\n"
    "over domains like all tokens: the mean of all, plus the mean difference from the token's own domain.\n"
    "Words: confident, no more experts than k; spread, more; indifferent, router entropy above 98 % of "
    "ln(experts).\n"
    "Needs the probability vectors, which are logged on the probe; `working_set` does without.\n";

int main(int argc, char **argv)
{
    struct demand s = {.step = -1, .positions = 32, .ablations = {.split = "valid", .margin = 0.01}};
    const struct option_spec options[] = {
        {"step", 0, OPTION_INT, &s.step, "N", "the probe step to look at (default: the last)"},
        {"positions", 0, OPTION_INT, &s.positions, "N",
         "positions that domains are compared over (default 32)"},
        {"difficulty-by", 0, OPTION_STRING, &s.difficulty_by, "RUN",
         "a run of the same text whose losses on the probe say how hard a token is, for `difficulty`"},
        {"margin", 0, OPTION_REAL, &s.ablations.margin, "NATS",
         "loss a token that `needed` may cost (default 0.01)"},
        {"split", 0, OPTION_STRING, &s.ablations.split, "SPLIT", "of ablations: valid (default) or probe"},
        {"budget", 0, OPTION_INT, &s.budget, "N",
         "experts a token of all layers together, for `allocation` (default: half of those there are)"},
        {0}};
    const struct analysis_program p = {
        .command =
            {.verb = "demand",
             .operands = "DB",
             .purpose = "says over how many experts each layer's router spreads, by domain, token and step",
             .details = details,
             .examples =
                 "moescope demand log.db --run top2\n"
                 "moescope demand log.db --run top2 --table domains --format csv\n"
                 "moescope ablate log.db --run top4 --what k && moescope demand log.db --run top4 --table "
                 "allocation --budget 8",
             .options = options,
             .min_operands = 1,
             .max_operands = 1},
        .tables = tables,
        .prepare = prepare,
        .bind = bind,
        .judge = demand_judge};
    int status = analysis_main(&p, &s, argc, argv);
    demand_release(&s);
    return status;
}
