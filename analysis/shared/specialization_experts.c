/* Experts against each other: within a token, from one layer to the next, along the text. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "analysis/shared/specialization.h"
#include "metrics/flow.h"

/* ---- in one token ---- */

/* A layer's pairs of experts and what is to be said of them. */
struct pairs {
    struct coactivation counted;
    double *given, *expected; /* (n_experts, n_experts) */
};

static void pairs_release(struct pairs *p)
{
    coactivation_release(&p->counted);
    free(p->given);
    free(p->expected);
}

static int pairs_count(struct pairs *p, const struct routed *routed, struct error *err)
{
    size_t cells = (size_t)routed->n_experts * (size_t)routed->n_experts;
    *p = (struct pairs){.given = malloc(cells * sizeof *p->given),
                        .expected = malloc(cells * sizeof *p->expected)};
    int result = p->given && p->expected ? 0 : error_no_memory(err, "the experts' pairs");
    if (result == 0)
        result = coactivation_init(&p->counted, routed->n_experts, err);
    if (result == 0) {
        coactivation_add(&p->counted, &routed->slots);
        coactivation_given(&p->counted, p->given);
        result = coactivation_expected(&p->counted, p->expected, err);
    }
    if (result != 0)
        pairs_release(p);
    return result;
}

static void print_pairs(struct table *t, int layer, const struct pairs *p)
{
    int n = p->counted.n_experts;
    for (int i = 0; i < n * n; i++) {
        if (i / n == i % n)
            continue;
        table_int(t, layer);
        table_int(t, i / n);
        table_int(t, i % n);
        table_figure(t, p->given[i]);
        table_figure(t, p->counted.pairs[i] / p->expected[i]);
        table_int(t, (int64_t)p->counted.pairs[i]);
    }
}

int specialization_coactivation_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    for (int i = 0; i < a->n_layers; i++) {
        struct pairs p;
        if (a->layers[i].k == 1)
            continue;
        if (pairs_count(&p, &s->routed[i], err) != 0)
            return -1;
        print_pairs(t, a->layers[i].layer, &p);
        pairs_release(&p);
    }
    return 0;
}

/* "layer 0 45 %, 1 38 %": the share of pairs, or of paths to the next layer, that chance would not make. */
static void add_share(struct text *t, int layer, double share)
{
    if (!isnan(share))
        text_printf(t, "%s%d %.0f %%", t->length ? ", " : "layer ", layer, 100 * share);
}

static int judge_pairs(struct analysis *a, struct verdicts *v, struct error *err)
{
    struct specialization *s = a->state;
    struct text t;
    int result = 0;
    text_init(&t);
    for (int i = 0; i < a->n_layers && result == 0; i++) {
        struct pairs p;
        if (a->layers[i].k == 1 || (result = pairs_count(&p, &s->routed[i], err)) != 0)
            continue;
        add_share(&t, a->layers[i].layer, coactivation_departure(&p.counted, p.expected));
        pairs_release(&p);
    }
    if (result == 0 && t.length > 0)
        verdict_add(
            v, "experts", "pairs",
            "share of a token's pairs of experts that would have to be others for experts to ignore each "
            "other: %s; %" PRId64 " tokens",
            t.data, s->documents.n_tokens);
    v->failed = v->failed || t.failed;
    text_release(&t);
    return result;
}

/* ---- from layer to layer ---- */

static void print_paths(struct table *t, const struct routed *from, const struct routed *to,
                        const struct flow *f)
{
    for (int i = 0; i < f->n_from; i++)
        for (int j = 0; j < f->n_to; j++) {
            double count = f->count[i * f->n_to + j], expected = flow_expected(f, i, j);
            table_int(t, from->layer);
            table_int(t, i);
            table_int(t, to->layer);
            table_int(t, j);
            table_figure(t, f->from[i] > 0 ? count / f->from[i] : NAN);
            table_figure(t, expected > 0 ? count / expected : NAN);
            table_int(t, (int64_t)count);
        }
}

/* From MoE layer i of the run to the next; caller releases. */
static int count_flow(struct flow *f, const struct specialization *s, int i, struct error *err)
{
    const struct routed *from = &s->routed[i], *to = &s->routed[i + 1];
    if (flow_init(f, from->n_experts, to->n_experts, err) != 0)
        return -1;
    int result = flow_add(f, &from->slots, &to->slots, err);
    if (result != 0)
        flow_release(f);
    return result;
}

int specialization_flow_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    for (int i = 0; i + 1 < a->n_layers; i++) {
        struct flow f;
        if (count_flow(&f, s, i, err) != 0)
            return -1;
        print_paths(t, &s->routed[i], &s->routed[i + 1], &f);
        flow_release(&f);
    }
    return 0;
}

static int judge_flow(struct analysis *a, struct verdicts *v, struct error *err)
{
    struct specialization *s = a->state;
    struct text t;
    int result = 0;
    text_init(&t);
    for (int i = 0; i + 1 < a->n_layers && result == 0; i++) {
        struct flow f;
        if ((result = count_flow(&f, s, i, err)) != 0)
            break;
        add_share(&t, a->layers[i].layer, flow_departure(&f));
        flow_release(&f);
    }
    if (result == 0 && t.length > 0)
        verdict_add(v, "experts", "flow",
                    "share of paths to the next MoE layer that would have to be others for the two to be "
                    "independent: %s; both see the same tokens, so that part of it is vocabulary; %" PRId64
                    " tokens",
                    t.data, s->documents.n_tokens);
    v->failed = v->failed || t.failed;
    text_release(&t);
    return result;
}

/* ---- along the text ---- */

static const int lags[] = {1, 2, 4, 8};
enum { N_LAGS = sizeof lags / sizeof lags[0] };

/* Documents' sums beside the whole: repeated and not expected within the sample; pairs of tokens. */
struct along {
    struct repetition all;
    double *beyond, *pairs; /* (n_documents) */
};

/* Sample by sample: the token before a sample's first is not its neighbour. */
static void add_samples(struct along *l, const struct documents *d, const struct routed *routed)
{
    int first = 0;
    for (int i = 0; i < d->n_samples; i++) {
        const struct probe_sample *sample = &d->samples[i];
        struct slots part = routed_part(routed, first, sample->n_tokens);
        double beyond = l->all.same_first - l->all.within_first, pairs = l->all.n_pairs;
        repetition_add(&l->all, &part);
        l->beyond[sample->document] += l->all.same_first - l->all.within_first - beyond;
        l->pairs[sample->document] += l->all.n_pairs - pairs;
        first += sample->n_tokens;
    }
}

/* One layer's at one lag; caller releases l->all. */
static int measure_repetition(struct along *l, const struct documents *d, const struct routed *routed,
                              int lag, struct interval *beyond, struct error *err)
{
    size_t n = (size_t)d->n_documents + 1;
    struct interval_options o = interval_defaults();
    struct random r;
    *l = (struct along){.beyond = calloc(2 * n, sizeof *l->beyond)};
    if (!l->beyond)
        return error_no_memory(err, "repetition along the text");
    l->pairs = l->beyond + n;
    random_seed(&r, 6, (uint64_t)routed->layer * N_LAGS + (uint64_t)lag);
    int result = repetition_init(&l->all, routed->n_experts, lag, err);
    if (result == 0) {
        add_samples(l, d, routed);
        result = ratio_interval(l->beyond, l->pairs, d->labels[0].value, d->n_documents, &o, &r, beyond, err);
    }
    free(l->beyond);
    if (result != 0)
        repetition_release(&l->all);
    return result;
}

static void print_repetition(struct table *t, int layer, const struct along *l, const struct interval *beyond,
                             bool ranked)
{
    static const struct interval unknown = {.estimate = NAN, .low = NAN, .high = NAN};
    struct repetition_rates rates;
    repetition_rates(&l->all, &rates);
    if (!ranked) { /* slot 0 is no first choice */
        rates.first = rates.first_chance = rates.first_within = NAN;
        beyond = &unknown;
    }
    table_int(t, layer);
    table_int(t, l->all.lag);
    table_figure(t, rates.first);
    table_figure(t, rates.first_chance);
    table_figure(t, rates.first_within);
    table_figure(t, rates.overlap);
    table_figure(t, rates.overlap_chance);
    table_figure(t, rates.overlap_within);
    table_int(t, (int64_t)rates.n_pairs);
    table_figure(t, beyond->estimate);
    table_figure(t, beyond->low);
    table_figure(t, beyond->high);
}

int specialization_repetition_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    for (int i = 0; i < a->n_layers * N_LAGS; i++) {
        const struct routed *routed = &s->routed[i / N_LAGS];
        struct interval beyond;
        struct along l;
        if (measure_repetition(&l, &s->documents, routed, lags[i % N_LAGS], &beyond, err) != 0)
            return -1;
        print_repetition(t, routed->layer, &l, &beyond, !s->imported.slots_by_id);
        repetition_release(&l.all);
    }
    return 0;
}

/* "layer 0 (37 % against 25), 2 (35 % against 23)" of those where neighbourhood certainly adds. */
static int judge_repetition(struct analysis *a, struct verdicts *v, struct error *err)
{
    struct specialization *s = a->state;
    struct text t;
    int result = 0;
    if (s->imported.slots_by_id)
        return 0;
    text_init(&t);
    for (int i = 0; i < a->n_layers && result == 0; i++) {
        struct repetition_rates rates;
        struct interval beyond;
        struct along l;
        if ((result = measure_repetition(&l, &s->documents, &s->routed[i], 1, &beyond, err)) != 0)
            break;
        repetition_rates(&l.all, &rates);
        repetition_release(&l.all);
        if (beyond.low > 0)
            text_printf(&t, "%s%d (%.0f %% against %.0f)", t.length ? ", " : "layer ", a->layers[i].layer,
                        100 * rates.first, 100 * rates.first_within);
    }
    if (result == 0)
        verdict_add(
            v, "experts", t.length ? "repeated" : "not repeated",
            "the first expert of the token before comes back more often than anywhere in the sample in "
            "%s; %d documents",
            t.length ? t.data : "no layer for certain", s->documents.n_documents);
    v->failed = v->failed || t.failed;
    text_release(&t);
    return result;
}

int specialization_judge_experts(struct analysis *a, struct verdicts *v, struct error *err)
{
    return judge_pairs(a, v, err) != 0 || judge_flow(a, v, err) != 0 || judge_repetition(a, v, err) != 0 ? -1
                                                                                                         : 0;
}
