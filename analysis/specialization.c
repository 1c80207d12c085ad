/* moescope specialization: do experts serve different text? What the domain, the token and the position tell
 * about the expert chosen, which experts serve which domain and which tokens, which experts go together, and
 * when the routing settled. Everything is measured on the probe, at its last step and, since an untrained
 * router already tells domains apart, at its first. The unit is the document. */
#include <math.h>
#include <stdlib.h>

#include "analysis/shared/preferences.h"
#include "analysis/shared/specialization.h"

static const int lags[] = {1, 2, 4, 8};
enum { N_LAGS = sizeof lags / sizeof lags[0] };

static int prepare(struct analysis *a, struct error *err)
{
    struct specialization *s = a->state;
    if (s->permutations < 1 || s->permutations > INT32_MAX || s->tokens_shown < 1)
        return error_set(err, STATUS_USAGE, "--permutations and --tokens need a number from 1");
    return specialization_read(s, a, err);
}

static void bind(const struct analysis *a, struct query *q)
{
    const struct specialization *s = a->state;
    query_bind_int(q, ":step", s->step);
    query_bind_int(q, ":first_step", s->documents.steps[0]);
}

/* ---- information ---- */

static int information_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    if (specialization_associate(s, a, err) != 0)
        return -1;
    for (int i = 0; i < s->associations.n; i++) {
        const struct association *x = &s->associations.items[i];
        table_int(t, x->layer);
        table_text(t, x->label);
        table_int(t, x->step);
        table_figure(t, x->null.observed);
        table_figure(t, x->null.mean);
        table_figure(t, x->null.low);
        table_figure(t, x->null.high);
        table_figure(t, x->null.p);
        table_figure(t, x->null.observed / log(x->n_experts));
        table_int(t, x->n_documents);
        table_figure(t, x->interval.low);
        table_figure(t, x->interval.high);
        table_figure(t, x->q);
    }
    return 0;
}

/* ---- lift ---- */

static int lift_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    if (specialization_lift(s, a, err) != 0)
        return -1;
    for (int i = 0; i < a->n_layers; i++)
        for (int c = 0; c < specialization_domains(s) * a->layers[i].n_experts; c++) {
            const struct lift_cell *cell = &s->lifts[i][c];
            table_int(t, a->layers[i].layer);
            table_text(t, specialization_domain(s, c / a->layers[i].n_experts));
            table_int(t, c % a->layers[i].n_experts);
            table_figure(t, cell->share);
            table_figure(t, cell->lift);
            table_figure(t, cell->low);
            table_figure(t, cell->high);
            table_figure(t, s->q[i][c]);
        }
    return 0;
}

/* ---- tokens ---- */

static void print_preferences(struct table *t, const struct specialization *s, const struct routed *routed,
                              const struct vocabulary *v, const struct preference *p, int64_t n)
{
    char buffer[32];
    int rank = 0;
    for (int64_t i = 0; i < n; i++) {
        rank = i > 0 && p[i].expert == p[i - 1].expert ? rank + 1 : 1;
        if (rank > s->tokens_shown)
            continue;
        table_int(t, routed->layer);
        table_int(t, p[i].expert);
        table_int(t, rank);
        table_text(t, vocabulary_text(v, p[i].token, buffer));
        table_int(t, (int64_t)p[i].count);
        table_figure(t, p[i].lift);
        table_int(t, p[i].documents);
    }
}

static int layer_tokens(struct table *t, const struct specialization *s, const struct routed *routed,
                        const struct vocabulary *v, struct error *err)
{
    struct preference *preferences;
    int64_t n;
    if (preferences_find(routed, &s->documents, &preferences, &n, err) != 0)
        return -1;
    print_preferences(t, s, routed, v, preferences, n);
    free(preferences);
    return 0;
}

static int token_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    struct vocabulary v;
    int result = 0;
    if (vocabulary_read(&v, a->logbook, a->run_id, err) != 0)
        return -1;
    for (int i = 0; i < a->n_layers && result == 0; i++)
        result = layer_tokens(t, s, &s->routed[i], &v, err);
    vocabulary_release(&v);
    return result;
}

/* ---- vocabulary ---- */

/* OLMoE's tables leave out rarer ids. */
enum { FEWEST_OCCURRENCES = 10 };

static int vocabulary_row(struct table *t, const struct specialization *s, const struct routed *routed,
                          const char *kind, const int32_t *token, struct error *err)
{
    struct vocabulary_specialization v;
    struct token_cell *cells;
    struct random r;
    int64_t n;
    random_seed(&r, 3, (uint64_t)routed->layer);
    if (routed_cells(routed, &s->documents, token, true, &cells, &n, err) != 0)
        return -1;
    int result = vocabulary_specialization(cells, n, s->documents.n_documents, routed->n_experts, 1,
                                           FEWEST_OCCURRENCES, &r, &v, err);
    free(cells);
    if (result != 0)
        return -1;
    table_int(t, routed->layer);
    table_text(t, kind);
    table_figure(t, v.held_out);
    table_int(t, (int64_t)v.n_held_out_ids);
    table_figure(t, v.chance);
    table_figure(t, v.official);
    table_int(t, (int64_t)v.n_ids);
    return 0;
}

static int vocabulary_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    for (int i = 0; i < a->n_layers; i++)
        if (vocabulary_row(t, s, &s->routed[i], "input", s->routed[i].token, err) != 0 ||
            vocabulary_row(t, s, &s->routed[i], "next", s->routed[i].next, err) != 0)
            return -1;
    return 0;
}

/* ---- experts against each other ---- */

static void print_pairs(struct table *t, const struct routed *routed, const struct coactivation *c,
                        const double *given, const double *expected)
{
    int n = c->n_experts;
    for (int i = 0; i < n * n; i++) {
        if (i / n == i % n)
            continue;
        table_int(t, routed->layer);
        table_int(t, i / n);
        table_int(t, i % n);
        table_figure(t, given[i]);
        table_figure(t, c->pairs[i] / expected[i]);
        table_int(t, (int64_t)c->pairs[i]);
    }
}

static int layer_pairs(struct table *t, const struct routed *routed, struct error *err)
{
    struct coactivation c;
    size_t n = (size_t)routed->n_experts;
    double *given = malloc(2 * n * n * sizeof *given);
    if (!given)
        return error_no_memory(err, "the experts' pairs");
    int result = coactivation_init(&c, routed->n_experts, err);
    if (result == 0) {
        coactivation_add(&c, &routed->slots);
        coactivation_given(&c, given);
        result = coactivation_expected(&c, given + n * n, err);
        if (result == 0)
            print_pairs(t, routed, &c, given, given + n * n);
        coactivation_release(&c);
    }
    free(given);
    return result;
}

static int coactivation_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    for (int i = 0; i < a->n_layers; i++)
        if (a->layers[i].k != 1 && layer_pairs(t, &s->routed[i], err) != 0)
            return -1;
    return 0;
}

/* ---- repetition ---- */

/* Sample by sample: the token before a sample's first is not its neighbour. */
static void add_samples(struct repetition *p, const struct specialization *s, int layer)
{
    for (int i = 0; i < s->last.n; i++)
        if (s->last.entries[i].layer == layer)
            repetition_add(p, &s->last.entries[i].slots);
}

static int repetition_row(struct table *t, const struct specialization *s, const struct routed *routed,
                          int lag, struct error *err)
{
    struct repetition p;
    struct repetition_rates rates;
    if (repetition_init(&p, routed->n_experts, lag, err) != 0)
        return -1;
    add_samples(&p, s, routed->layer);
    repetition_rates(&p, &rates);
    repetition_release(&p);
    table_int(t, routed->layer);
    table_int(t, lag);
    table_figure(t, rates.first);
    table_figure(t, rates.first_chance);
    table_figure(t, rates.first_within);
    table_figure(t, rates.overlap);
    table_figure(t, rates.overlap_chance);
    table_figure(t, rates.overlap_within);
    table_int(t, (int64_t)rates.n_pairs);
    return 0;
}

static int repetition_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    for (int i = 0; i < a->n_layers; i++)
        for (int j = 0; j < N_LAGS; j++)
            if (repetition_row(t, s, &s->routed[i], lags[j], err) != 0)
                return -1;
    return 0;
}

/* ---- saturation ---- */

static int saturation_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    struct course c;
    if (specialization_follow(s, a, &c, err) != 0)
        return -1;
    for (int i = 0; i < c.n_layers * c.n; i++) {
        const struct passing *p = &c.passing[i];
        table_int(t, a->layers[i / c.n].layer);
        table_int(t, p->step);
        table_figure(t, p->final.overlap);
        table_figure(t, p->final.overlap_chance);
        table_figure(t, 1 - p->previous.first);
        table_figure(t, p->final.overlap_above);
        table_figure(t, p->unsettled);
        table_int(t, (int64_t)p->final.n_tokens);
    }
    course_release(&c);
    return 0;
}

/* ---- the program ---- */

static const struct analysis_table tables[] = {
    {"information", "what each label tells about the expert, in nats, against its null; first and last step",
     "layer,label,step,mutual_information,null_mean,null_low,null_high,p,normalized,documents,low,high,q",
     "analysis/specialization_information", information_rows, NULL},
    {"lift", "share of a domain's tokens that an expert has, and that over its share of all tokens",
     "layer,domain,expert,share,lift,low,high,q", "analysis/specialization_lift", lift_rows, NULL},
    {"tokens", "the tokens that set each expert apart", "layer,expert,rank,token,count,lift,documents",
     "analysis/specialization_tokens", token_rows, NULL},
    {"vocabulary", "share of tokens that go to their id's favourite expert, found on other documents",
     "layer,kind,specialization,ids,chance,official,all_ids", "analysis/specialization_vocabulary",
     vocabulary_rows, NULL},
    {"coactivation", "probability that a token of expert a is with expert b too, and the lift over chance",
     "layer,expert_a,expert_b,probability,lift,tokens", "analysis/specialization_coactivation",
     coactivation_rows, NULL},
    {"saturation",
     "agreement of each probe pass with the last one (overlap), and changes since the one before",
     "layer,step,overlap,chance,flips,above_chance,unsettled,tokens", "analysis/specialization_saturation",
     saturation_rows, NULL},
    {"repetition", "share of tokens whose first choice is that of the token `lag` before",
     "layer,lag,repeated,chance,within,overlap,overlap_chance,overlap_within,pairs",
     "analysis/specialization_repetition", repetition_rows, NULL},
    {0}};

static const char details[] =
    "Statistics are of the probe at its last step and at its first (step 0: untrained). The unit is the\n"
    "document: information is learned on some documents and judged on the others (5 folds, so it is "
    "estimated\n"
    "from below and may be negative), its null exchanges documents' labels (for tokens and positions: their\n"
    "tokens), and intervals resample documents within domains, 95 %. normalized is information / "
    "ln(experts),\n"
    "domain|token what the domain tells once the token is known, language|topic (say) what the language "
    "tells\n"
    "with the topic held fixed: its null exchanges languages among documents of one topic. q is a p-value "
    "adjusted over all rows of a "
    "step\n"
    "(in lift: over all rows) by Benjamini and Hochberg.\n\n"
    "Words: experts tell a label apart when its information is positive, q <= 0.05 and the interval above "
    "0;\n"
    "weakly, below 5 % of ln(domains or experts, the fewer); untrained, not more than at step 0 (interval of "
    "the\n"
    "difference). The expert named for a domain adds most to its difference, share x ln(lift), of those "
    "with\n"
    "q <= 0.05 and an interval above 1. Routing has settled when 90 % of the agreement with the last pass, "
    "above\n"
    "what loads alone give, is reached for good. Decisions that capacity refused count: the router chose "
    "them.\n"
    "Expert numbers mean nothing across runs; compare does that.\n";

int main(int argc, char **argv)
{
    struct specialization s = {.permutations = 200, .tokens_shown = 10, .step = -1};
    const struct option_spec options[] = {
        {"step", 0, OPTION_INT, &s.step, "N", "the probe step to look at (default: the last)"},
        {"permutations", 0, OPTION_INT, &s.permutations, "N", "permutations for each null (default 200)"},
        {"tokens", 0, OPTION_INT, &s.tokens_shown, "N", "tokens listed for each expert (default 10)"},
        {0}};
    const struct analysis_program p = {
        .command = {.verb = "specialization",
                    .operands = "DB",
                    .purpose = "says which experts serve which domains and tokens, and how surely",
                    .details = details,
                    .examples =
                        "moescope specialization log.db --run top2\n"
                        "moescope specialization log.db --run top2 --table lift --format csv -o lift.csv",
                    .options = options,
                    .min_operands = 1,
                    .max_operands = 1},
        .tables = tables,
        .prepare = prepare,
        .bind = bind,
        .judge = specialization_judge};
    int status = analysis_main(&p, &s, argc, argv);
    specialization_release(&s);
    return status;
}
