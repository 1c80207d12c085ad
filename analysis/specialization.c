/* moescope specialization: do experts serve different text? What the domain, the token and the position tell
 * about the expert chosen, which experts serve which domain and which tokens, which experts go together, and
 * when the routing settled. Everything is measured on the probe, at its last step and, since an untrained
 * router already tells domains apart, at its first. The unit is the document. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/passage.h"
#include "analysis/shared/preferences.h"
#include "analysis/shared/specialization.h"

static int prepare(struct analysis *a, struct error *err)
{
    struct specialization *s = a->state;
    if (s->permutations < 1 || s->permutations > INT32_MAX || s->tokens_shown < 1)
        return error_set(err, STATUS_USAGE, "--permutations and --tokens need a number from 1");
    /* A text need not be the probe's. */
    bool text_alone = a->table && strcmp(a->table, "text") == 0;
    return text_alone ? 0 : specialization_read(s, a, err);
}

static void bind(const struct analysis *a, struct query *q)
{
    const struct specialization *s = a->state;
    if (s->step >= 0)
        query_bind_int(q, ":step", s->step);
    if (s->documents.n_steps > 0)
        query_bind_int(q, ":first_step", s->documents.steps[0]);
    if (s->document)
        query_bind_text(q, ":document", s->document);
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
        table_figure(t, x->hash.mean);
    }
    return 0;
}

static void print_references(struct table *t, const struct association *x, const struct association *before,
                             const struct interval *gain)
{
    table_int(t, x->layer);
    table_text(t, x->label);
    table_figure(t, x->null.observed);
    table_figure(t, x->interval.low);
    table_figure(t, x->interval.high);
    table_figure(t, before ? before->null.observed : NAN);
    table_figure(t, gain->estimate);
    table_figure(t, gain->low);
    table_figure(t, gain->high);
    table_figure(t, x->hash.mean);
    table_figure(t, x->hash.low);
    table_figure(t, x->hash.high);
    table_int(t, x->n_documents);
}

static int reference_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    if (specialization_associate(s, a, err) != 0)
        return -1;
    for (int i = 0; i < s->associations.n; i++) {
        const struct association *x = &s->associations.items[i], *before = specialization_before(s, x);
        struct interval gain = {.estimate = NAN, .low = NAN, .high = NAN};
        if (x->step != s->step)
            continue;
        if (before && association_growth(&s->documents, before, x, &gain, err) != 0)
            return -1;
        print_references(t, x, before, &gain);
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
    if (s->imported.ids_unknown)
        return 0;
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

/* The figure and, over documents, its interval. */
static int measure_vocabulary(const struct specialization *s, const struct routed *routed,
                              const int32_t *token, struct vocabulary_specialization *v, struct interval *i,
                              struct error *err)
{
    const struct documents *d = &s->documents;
    struct vocabulary_documents sums = {.favourite = calloc((size_t)d->n_documents * 2 + 1, sizeof(double))};
    struct interval_options o = interval_defaults();
    struct token_cell *cells;
    struct random r;
    int64_t n;
    random_seed(&r, 3, (uint64_t)routed->layer);
    if (!sums.favourite)
        return error_no_memory(err, "the tokens' favourites");
    sums.occurrences = sums.favourite + d->n_documents;
    int result = routed_cells(routed, d, token, true, &cells, &n, err);
    if (result == 0) {
        result = vocabulary_specialization(cells, n, d->n_documents, routed->n_experts, 1, FEWEST_OCCURRENCES,
                                           &r, v, &sums, err);
        free(cells);
    }
    if (result == 0)
        result = ratio_interval(sums.favourite, sums.occurrences, d->labels[0].value, d->n_documents, &o, &r,
                                i, err);
    free(sums.favourite);
    return result;
}

static int vocabulary_row(struct table *t, const struct specialization *s, const struct routed *routed,
                          const char *kind, const int32_t *token, struct error *err)
{
    struct vocabulary_specialization v;
    struct interval i;
    if (measure_vocabulary(s, routed, token, &v, &i, err) != 0)
        return -1;
    table_int(t, routed->layer);
    table_text(t, kind);
    table_figure(t, v.held_out);
    table_int(t, (int64_t)v.n_held_out_ids);
    table_figure(t, v.chance);
    table_figure(t, v.official);
    table_int(t, (int64_t)v.n_ids);
    table_figure(t, i.low);
    table_figure(t, i.high);
    table_figure(t, routed->n_tokens > 0 ? v.n_held_out / routed->n_tokens : NAN);
    return 0;
}

static int vocabulary_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    if (s->imported.ids_unknown || s->imported.slots_by_id)
        return 0;
    for (int i = 0; i < a->n_layers; i++)
        if (vocabulary_row(t, s, &s->routed[i], "input", s->routed[i].token, err) != 0 ||
            vocabulary_row(t, s, &s->routed[i], "next", s->routed[i].next, err) != 0)
            return -1;
    return 0;
}

/* ---- saturation ---- */

static int saturation_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    struct course c;
    bool ranked = !s->imported.slots_by_id; /* what is said of first choices is null otherwise */
    if (specialization_follow(s, a, &c, err) != 0)
        return -1;
    for (int i = 0; i < c.n_layers * c.n; i++) {
        const struct passing *p = &c.passing[i];
        table_int(t, a->layers[i / c.n].layer);
        table_int(t, p->step);
        table_figure(t, p->final.overlap);
        table_figure(t, p->final.overlap_chance);
        table_figure(t, ranked ? 1 - p->previous.first : NAN);
        table_figure(t, p->final.overlap_above);
        table_figure(t, ranked ? p->unsettled : NAN);
        table_int(t, (int64_t)p->final.n_tokens);
        table_figure(t, p->overlap.low);
        table_figure(t, p->overlap.high);
        table_figure(t, ranked ? 1 - p->previous.first_chance : NAN);
        table_figure(t, ranked ? p->unsettled_chance : NAN);
    }
    course_release(&c);
    return 0;
}

/* ---- a text ---- */

static int read_passage(const struct analysis *a, struct passage *p, struct error *err)
{
    const struct specialization *s = a->state;
    return passage_read(p, a->logbook, a->run_id, a->run, a->layers, a->n_layers, s->document, s->step, err);
}

static int text_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct passage p;
    if (read_passage(a, &p, err) != 0)
        return -1;
    passage_rows(&p, t);
    passage_release(&p);
    return 0;
}

static int show_text(struct analysis *a, int64_t rows, FILE *out, struct error *err)
{
    struct passage p;
    if (read_passage(a, &p, err) != 0)
        return -1;
    int result = passage_show(&p, a->colours, rows, out, err);
    passage_release(&p);
    return result;
}

static int text_page(struct analysis *a, FILE *out, struct error *err)
{
    struct passage p;
    if (read_passage(a, &p, err) != 0)
        return -1;
    int result = passage_page(&p, a->run, out, err);
    passage_release(&p);
    return result;
}

/* ---- the program ---- */

static const struct analysis_table tables[] = {
    {"information", "what each label tells about the expert, in nats, against its null; first and last step",
     "layer,label,step,mutual_information,null_mean,null_low,null_high,p,normalized,documents,low,high,q,"
     "hash",
     "analysis/specialization_information", information_rows, NULL},
    {"references", "the same at the last step, against the first step and against hash routers",
     "layer,label,mutual_information,low,high,first,gain,gain_low,gain_high,hash,hash_low,hash_high,"
     "documents",
     "analysis/specialization_information", reference_rows, NULL},
    {"lift", "share of a domain's tokens that an expert has, and that over its share of all tokens",
     "layer,domain,expert,share,lift,low,high,q", "analysis/specialization_lift", lift_rows, NULL},
    {"tokens", "the tokens that set each expert apart", "layer,expert,rank,token,count,lift,documents",
     "analysis/specialization_tokens", token_rows, NULL},
    {"vocabulary", "share of tokens that go to their id's favourite expert, found on other documents",
     "layer,kind,specialization,ids,chance,official,all_ids,low,high,covered",
     "analysis/specialization_vocabulary", vocabulary_rows, NULL},
    {"coactivation", "probability that a token of expert a is with expert b too, and the lift over chance",
     "layer,expert_a,expert_b,probability,lift,tokens", "analysis/specialization_coactivation",
     specialization_coactivation_rows, NULL},
    {"flow", "probability that a token of an expert is with an expert of the next MoE layer, and its lift",
     "layer,expert,next_layer,next_expert,probability,lift,tokens", "analysis/specialization_flow",
     specialization_flow_rows, NULL},
    {"saturation",
     "agreement of each probe pass with the last one (overlap), and changes since the one before",
     "layer,step,overlap,chance,flips,above_chance,unsettled,tokens,low,high,flips_chance,unsettled_chance",
     "analysis/specialization_saturation", saturation_rows, NULL},
    {"repetition", "share of tokens whose first choice is that of the token `lag` before",
     "layer,lag,repeated,chance,within,overlap,overlap_chance,overlap_within,pairs,beyond,low,high",
     "analysis/specialization_repetition", specialization_repetition_rows, NULL},
    {"text", "a document's tokens with the experts they went to; coloured by first choice",
     "layer,position,token,expert,gate,others", "analysis/specialization_text", text_rows, NULL},
    {0}};

static const struct analysis_view view = {"text", show_text, text_page};

static const char details[] =
    "Statistics are of the probe at its last step and at its first (step 0: untrained). The unit is the\n"
    "document; intervals (95 %) are over documents, within domains. q is a p-value adjusted over all rows of "
    "a\n"
    "step (in lift: over all rows) by Benjamini and Hochberg. Expert numbers mean nothing across runs;\n"
    "compare does that. Decisions that capacity refused count: the router chose them.\n\n"
    "information: learned on some documents and judged on the others (5 folds), so that it is estimated "
    "from\n"
    "below and may be negative; the null exchanges documents' labels (for tokens and positions: their\n"
    "tokens). normalized is information / ln(experts). domain|token is what the domain tells once the token\n"
    "is known; language|topic (say) what the language tells with the topic held fixed: of topics that are\n"
    "there in several languages, and its null exchanges languages among documents of one topic.\n"
    "references: first is the first step's, gain the difference from it; hash what routers show that look "
    "at\n"
    "the token's id alone (mean and 95 % of 40 draws).\n"
    "vocabulary: covered is the share of tokens whose ids occur 10 times where the favourite is found; low\n"
    "and high are of specialization. coactivation and flow: all pairs of choices, whatever their ranks.\n"
    "saturation: low and high are of overlap; the chances are those of the loads, were each pass's choices\n"
    "dealt anew. repetition: within is what two tokens anywhere in one sample give; beyond, with its\n"
    "interval, is repeated less that.\n"
    "text: colours on a terminal (not with NO_COLOR; with CLICOLOR_FORCE in a pager as well); a page with\n"
    "--format html. Text that `moescope route` was given can be shown too.\n\n"
    "Words: experts tell a label apart when its information is positive, q <= 0.05 and the interval above "
    "0;\n"
    "weakly, below 5 % of ln(domains or experts, the fewer); untrained, not more than at step 0 (interval "
    "of\n"
    "the gain); more than a hash router, when the interval lies above hash_high. The expert named for a\n"
    "domain adds most to its difference, share x ln(lift), of those with q <= 0.05 and an interval above 1.\n"
    "Routing has settled when 90 % of the agreement with the last pass, above what loads alone give, is\n"
    "reached for good.\n";

int main(int argc, char **argv)
{
    struct specialization s = {.permutations = 200, .tokens_shown = 10, .step = -1};
    const struct option_spec options[] = {
        {"step", 0, OPTION_INT, &s.step, "N", "the probe step to look at (default: the last)"},
        {"permutations", 0, OPTION_INT, &s.permutations, "N", "permutations for each null (default 200)"},
        {"tokens", 0, OPTION_INT, &s.tokens_shown, "N", "tokens listed for each expert (default 10)"},
        {"document", 0, OPTION_STRING, &s.document, "NAME",
         "the text that is shown, by name or number (default: the probe's first)"},
        {"where-label", 0, OPTION_LIST, &s.where, "KEY=VALUE",
         "documents with this label alone (topic=manual); given again: or with that one, and of each key"},
        {0}};
    const struct analysis_program p = {
        .command = {.verb = "specialization",
                    .operands = "DB",
                    .purpose = "says which experts serve which domains and tokens, and how surely",
                    .details = details,
                    .examples =
                        "moescope specialization log.db --run top2\n"
                        "moescope specialization log.db --run top2 --table lift --format csv -o lift.csv\n"
                        "moescope specialization log.db --run top2 --where-label topic=manual "
                        "--where-label topic=sayings\n"
                        "moescope specialization log.db --run top2 --table text --document man_de/ls.1.txt "
                        "--format html -o ls.html",
                    .options = options,
                    .min_operands = 1,
                    .max_operands = 1},
        .tables = tables,
        .view = &view,
        .prepare = prepare,
        .bind = bind,
        .judge = specialization_judge};
    int status = analysis_main(&p, &s, argc, argv);
    specialization_release(&s);
    return status;
}
