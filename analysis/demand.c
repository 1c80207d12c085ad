/* moescope demand: how many experts does each layer use? The router's whole probability vectors on the probe
 * say over how many experts it spreads its gate mass, by layer, domain, step, position and frequency of the
 * token; its decisions say how many experts the text as a whole needs resident. This is the router's
 * confidence. What a layer can do without, only truncating its k and measuring the loss can say. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/program.h"
#include "analysis/shared/routed.h"
#include "analysis/shared/spread.h"
#include "metrics/load.h"
#include "metrics/resample.h"

/* The router has no opinion: its mean entropy is this share of the most possible (as collapse has it). */
static const double indifferent = 0.98;

struct working_set {
    int layer, n_experts, unused;
    double k;            /* mean decisions a token */
    int for_90_percent;  /* experts that get 90 % of the decisions */
    double per_document; /* mean number of experts that a document meets */
    double tokens_per_document;
};

struct demand {
    /* options */
    int64_t step, positions;

    struct documents documents;
    struct working_set *sets;    /* (n_layers) */
    struct spread spread;        /* layers NULL: not measured yet */
    struct concentration *start; /* (n_steps, n_layers) of the first pass; the rest is empty */
    int n_start;
};

static void demand_release(struct demand *s)
{
    spread_release(&s->spread);
    spread_steps_release(s->start, s->n_start);
    documents_release(&s->documents);
    free(s->sets);
}

static const int *strata(const struct demand *s)
{
    return s->documents.labels[0].value;
}

/* ---- reading ---- */

static int measure_spread(struct analysis *a, struct demand *s, struct error *err)
{
    if (s->spread.layers)
        return 0;
    return spread_measure(&s->spread, a, &s->documents, s->step, (int)s->positions, err);
}

static int measure_start(struct analysis *a, struct demand *s, struct error *err)
{
    int64_t first = s->documents.steps[0];
    s->n_start = s->documents.n_steps * a->n_layers;
    return spread_steps(&s->start, a, &s->documents, first < s->step ? first : -1, err);
}

static void measure_set(struct working_set *w, const struct documents *d, const struct routed *r,
                        double *load, float *share, double *mass)
{
    double decisions = 0, tokens = 0, met = 0, documents = 0;
    int n = r->n_experts;
    for (int i = 0; i < d->n_documents; i++) {
        documents += r->tokens[i] > 0;
        tokens += r->tokens[i];
        for (int e = 0; e < n; e++) {
            load[e] += r->count[i * n + e];
            met += r->count[i * n + e] > 0;
        }
    }
    for (int e = 0; e < n; e++)
        decisions += load[e];
    for (int e = 0; e < n; e++)
        share[e] = (float)(load[e] / decisions);
    rank_mass(share, n, mass);
    *w = (struct working_set){.layer = r->layer,
                              .n_experts = n,
                              .unused = load_dead_experts(load, n),
                              .k = decisions / tokens,
                              .for_90_percent = experts_for_mass(mass, n, 0.9),
                              .per_document = met / documents,
                              .tokens_per_document = tokens / documents};
}

static int measure_sets(struct analysis *a, struct demand *s, const struct probe_pass *pass,
                        struct error *err)
{
    s->sets = calloc((size_t)a->n_layers, sizeof *s->sets);
    if (!s->sets)
        return error_no_memory(err, "the working sets");
    for (int i = 0; i < a->n_layers; i++) {
        size_t n = (size_t)a->layers[i].n_experts;
        struct routed routed;
        double *load = calloc(2 * n, sizeof *load);
        float *share = calloc(n, sizeof *share);
        int result = load && share ? 0 : error_no_memory(err, "the working sets");
        if (result == 0)
            result = routed_init(&routed, &s->documents, pass, a->layers[i].layer, (int)n, err);
        if (result == 0) {
            measure_set(&s->sets[i], &s->documents, &routed, load, share, load + n);
            routed_release(&routed);
        }
        free(load);
        free(share);
        if (result != 0)
            return -1;
    }
    return 0;
}

static int prepare(struct analysis *a, struct error *err)
{
    struct demand *s = a->state;
    struct probe_pass pass;
    if (s->positions < 1 || s->positions > INT32_MAX)
        return error_set(err, STATUS_USAGE, "--positions needs a number from 1");
    if (documents_read(&s->documents, a->logbook, a->run_id, a->run, err) != 0 ||
        documents_choose_step(&s->documents, a->run, &s->step, err) != 0 ||
        probe_pass_read(&pass, a->logbook, a->run_id, s->step, err) != 0)
        return -1;
    int result = measure_sets(a, s, &pass, err);
    probe_pass_release(&pass);
    return result;
}

static void bind(const struct analysis *a, struct query *q)
{
    const struct demand *s = a->state;
    query_bind_int(q, ":step", s->step);
    query_bind_int(q, ":positions", s->positions);
}

/* ---- intervals ---- */

static struct random random_for(int stream)
{
    struct random r;
    random_seed(&r, 4, (uint64_t)stream);
    return r;
}

/* Over documents, drawn within domains unless `pooled`. */
static int interval_of(const struct demand *s, const double *needed, const double *tokens, bool pooled,
                       struct interval *i, struct error *err)
{
    struct bootstrap_options o = bootstrap_defaults();
    struct random r = random_for(0);
    return bootstrap_ratio(needed, tokens, pooled ? NULL : strata(s), s->documents.n_documents, &o, &r, i,
                           err);
}

/* Of one domain's documents, at matched positions. */
static int domain_interval(const struct demand *s, const struct layer_spread *l, int domain,
                           struct interval *i, struct error *err)
{
    int n = s->documents.n_documents;
    double *tokens = malloc(((size_t)n + 1) * sizeof *tokens);
    if (!tokens)
        return error_no_memory(err, "the domains");
    for (int d = 0; d < n; d++)
        tokens[d] = strata(s)[d] == domain ? l->matched.tokens[d] : 0;
    int result = interval_of(s, l->matched.needed, tokens, true, i, err);
    free(tokens);
    return result;
}

/* ---- tables ---- */

static int layer_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    if (measure_spread(a, s, err) != 0)
        return -1;
    for (int i = 0; i < a->n_layers; i++) {
        const struct layer_spread *l = &s->spread.layers[i];
        const struct concentration *c = &l->all;
        struct interval interval;
        if (interval_of(s, l->document.needed, l->document.tokens, false, &interval, err) != 0)
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
    if (measure_spread(a, s, err) != 0)
        return -1;
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
    if (measure_spread(a, s, err) != 0)
        return -1;
    for (int i = 0; i < a->n_layers; i++)
        for (int domain = 0; domain < domains->n_values; domain++) {
            struct interval interval;
            if (domain_interval(s, &s->spread.layers[i], domain, &interval, err) != 0)
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

/* The domain's mean number of experts in that layer. */
static double domain_mean(const struct demand *s, const struct layer_spread *l, int domain)
{
    double needed = 0, tokens = 0;
    for (int d = 0; d < s->documents.n_documents; d++)
        if (strata(s)[d] == domain) {
            needed += l->document.needed[d];
            tokens += l->document.tokens[d];
        }
    return needed / tokens;
}

/* A bucket's sums by document, as departures from the mean of the document's domain: rare tokens are of other
 * domains than frequent ones. (n_documents) */
static int departures(const struct demand *s, const struct layer_spread *l, int bucket, double *departure,
                      struct error *err)
{
    const struct labels_of *domains = &s->documents.labels[0];
    int n = s->documents.n_documents;
    double *mean = malloc(((size_t)domains->n_values + 1) * sizeof *mean);
    if (!mean)
        return error_no_memory(err, "the tokens' frequencies");
    for (int domain = 0; domain < domains->n_values; domain++)
        mean[domain] = domain_mean(s, l, domain);
    for (int d = 0; d < n; d++) {
        double tokens = l->bucket.tokens[bucket * n + d];
        departure[d] = l->bucket.needed[bucket * n + d] - (tokens > 0 ? tokens * mean[strata(s)[d]] : 0);
    }
    free(mean);
    return 0;
}

static int frequency_row(struct table *t, const struct demand *s, const struct layer_spread *l, int bucket,
                         double *departure, struct error *err)
{
    int n = s->documents.n_documents;
    const double *needed = l->bucket.needed + bucket * n, *tokens = l->bucket.tokens + bucket * n;
    double all = total(tokens, n);
    struct interval interval;
    if (all == 0)
        return 0;
    if (interval_of(s, needed, tokens, true, &interval, err) != 0 ||
        departures(s, l, bucket, departure, err) != 0)
        return -1;
    table_int(t, l->layer->layer);
    table_text(t, bucket_names[bucket]);
    table_figure(t, interval.estimate);
    table_int(t, (int64_t)all);
    table_figure(t, interval.low);
    table_figure(t, interval.high);
    table_figure(t, concentration_mean_needed(&l->all, LEVEL_90) + total(departure, n) / all);
    table_int(t, interval.n);
    table_int(t, s->spread.n_ids[bucket]);
    return 0;
}

static int frequency_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    int result = 0;
    if (measure_spread(a, s, err) != 0)
        return -1;
    double *departure = malloc(((size_t)s->documents.n_documents + 1) * sizeof *departure);
    if (!departure)
        return error_no_memory(err, "the tokens' frequencies");
    for (int i = 0; i < a->n_layers * N_BUCKETS && result == 0; i++)
        result = frequency_row(t, s, &s->spread.layers[i / N_BUCKETS], i % N_BUCKETS, departure, err);
    free(departure);
    return result;
}

static int position_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct demand *s = a->state;
    if (measure_spread(a, s, err) != 0)
        return -1;
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

/* ---- the verdict ---- */

/* "most in man_ja (4.12; 3.95 to 4.30), least in bible (2.21; 2.12 to 2.35)" */
static int add_domains(struct text *t, const struct demand *s, const struct layer_spread *l,
                       struct error *err)
{
    const struct labels_of *domains = &s->documents.labels[0];
    struct interval most = {.estimate = -1}, least = {.estimate = -1};
    int busiest = 0, calmest = 0;
    for (int domain = 0; domain < domains->n_values; domain++) {
        struct interval i;
        if (domain_interval(s, l, domain, &i, err) != 0)
            return -1;
        if (isnan(i.low))
            continue;
        if (most.estimate < 0 || i.estimate > most.estimate) {
            most = i;
            busiest = domain;
        }
        if (least.estimate < 0 || i.estimate < least.estimate) {
            least = i;
            calmest = domain;
        }
    }
    if (most.low > least.high)
        text_printf(t, "; most in %s (%.2f; %.2f to %.2f), least in %s (%.2f; %.2f to %.2f)",
                    domains->values[busiest], most.estimate, most.low, most.high, domains->values[calmest],
                    least.estimate, least.low, least.high);
    return 0;
}

/* start: the same layer at the probe's first step, without tokens when that is this step. */
static const char *describe(struct text *t, const struct layer_spread *l, const struct interval *i, double k,
                            const struct concentration *start, int64_t first_step)
{
    const struct concentration *c = &l->all;
    double entropy = c->entropy / c->n_tokens, most = log(c->n_experts);
    const char *verdict = i->estimate <= k ? "confident" : "spread";
    text_printf(t, "90 %% of gate mass lies on %.2f of %d experts (", i->estimate, c->n_experts);
    if (!isnan(i->low))
        text_printf(t, "%.2f to %.2f; ", i->low, i->high);
    if (start->n_tokens > 0)
        text_printf(t, "%.2f at step %" PRId64 "; ", concentration_mean_needed(start, LEVEL_90), first_step);
    text_printf(t, "%d documents), k is %.3g", i->n, k);
    if (entropy >= indifferent * most) {
        verdict = "indifferent";
        text_printf(t, "; the router has no opinion, its entropy is %.2f of at most %.2f nat", entropy, most);
    }
    return verdict;
}

static int judge_layer(struct demand *s, int i, struct verdicts *v, struct error *err)
{
    const struct layer_spread *l = &s->spread.layers[i];
    struct interval interval;
    struct text t;
    char subject[32];
    if (interval_of(s, l->document.needed, l->document.tokens, false, &interval, err) != 0)
        return -1;
    text_init(&t);
    snprintf(subject, sizeof subject, "layer %d", l->layer->layer);
    const char *verdict = describe(&t, l, &interval, s->sets[i].k, &s->start[i], s->documents.steps[0]);
    int result = add_domains(&t, s, l, err);
    if (result == 0)
        verdict_add(v, subject, verdict, "%s: %s", subject, t.data);
    v->failed = v->failed || t.failed;
    text_release(&t);
    return result;
}

/* Whether the layer that spreads most does so for certain more than the one that spreads least. */
static int judge_difference(struct demand *s, struct verdicts *v, struct error *err)
{
    const struct layer_spread *most = &s->spread.layers[0], *least = most;
    struct bootstrap_options o = bootstrap_defaults();
    struct random r = random_for(1);
    struct interval i;
    for (int j = 1; j < s->spread.n_layers; j++) {
        const struct layer_spread *l = &s->spread.layers[j];
        double needed = concentration_mean_needed(&l->all, LEVEL_90);
        if (needed > concentration_mean_needed(&most->all, LEVEL_90))
            most = l;
        if (needed < concentration_mean_needed(&least->all, LEVEL_90))
            least = l;
    }
    if (most == least)
        return 0;
    if (bootstrap_difference(most->document.needed, most->document.tokens, least->document.needed,
                             least->document.tokens, strata(s), s->documents.n_documents, &o, &r, &i,
                             err) != 0)
        return -1;
    if (i.low > 0)
        verdict_add(
            v, "run", "layers differ",
            "layers differ: layer %d spreads most, over %.2f experts more than layer %d, which spreads least "
            "(%.2f to %.2f; %d documents)",
            most->layer->layer, i.estimate, least->layer->layer, i.low, i.high, i.n);
    else
        verdict_add(v, "run", "alike",
                    "layers do not differ for certain in how far they spread (%.2f experts; "
                    "%d documents)",
                    i.estimate, i.n);
    return 0;
}

/* A bucket of few tokens says more of these tokens than of their frequency. */
enum { FEWEST_IDS = 10 };

/* The rarest and the most frequent bucket of enough tokens, in enough documents; -1: none. */
static int end_bucket(const struct demand *s, const struct layer_spread *l, bool rarest)
{
    int n = s->documents.n_documents;
    for (int i = 0; i < N_BUCKETS; i++) {
        int bucket = rarest ? i : N_BUCKETS - 1 - i, documents = 0;
        for (int d = 0; d < n; d++)
            documents += l->bucket.tokens[bucket * n + d] > 0;
        if (documents >= bootstrap_defaults().min_documents && s->spread.n_ids[bucket] >= FEWEST_IDS)
            return bucket;
    }
    return -1;
}

static int compare_buckets(const struct demand *s, const struct layer_spread *l, int rare, int frequent,
                           double *scratch, struct interval *i, struct error *err)
{
    struct bootstrap_options o = bootstrap_defaults();
    struct random r = random_for(2);
    int n = s->documents.n_documents;
    if (departures(s, l, rare, scratch, err) != 0 || departures(s, l, frequent, scratch + n, err) != 0)
        return -1;
    return bootstrap_difference(scratch, l->bucket.tokens + rare * n, scratch + n,
                                l->bucket.tokens + frequent * n, NULL, n, &o, &r, i, err);
}

/* Rare tokens against frequent ones of the same domain, in one sentence for all layers. */
static int judge_frequency(struct analysis *a, struct demand *s, struct verdicts *v, struct error *err)
{
    int rare = end_bucket(s, &s->spread.layers[0], true),
        frequent = end_bucket(s, &s->spread.layers[0], false);
    double *scratch = malloc((2 * (size_t)s->documents.n_documents + 1) * sizeof *scratch);
    struct text t;
    int result = 0;
    if (!scratch)
        return error_no_memory(err, "the tokens' frequencies");
    text_init(&t);
    for (int i = 0; i < a->n_layers && rare < frequent && result == 0; i++) {
        struct interval difference;
        result = compare_buckets(s, &s->spread.layers[i], rare, frequent, scratch, &difference, err);
        if (result == 0)
            text_printf(&t, "%s layer %d %+.2f (%+.2f to %+.2f)", i ? "," : "", a->layers[i].layer,
                        difference.estimate, difference.low, difference.high);
    }
    if (result == 0 && t.length > 0)
        verdict_add(
            v, "frequency", "compared",
            "rare tokens (seen %s times in training) against frequent ones (%s times), within the same "
            "domain:%s experts",
            bucket_names[rare], bucket_names[frequent], t.data);
    v->failed = v->failed || t.failed;
    text_release(&t);
    free(scratch);
    return result;
}

/* What a router that takes experts until it has 90 % (top-p) would use, against what this one does. */
static void judge_threshold(struct analysis *a, const struct demand *s, struct verdicts *v)
{
    double at_90 = 0, at_50 = 0, k = 0;
    for (int i = 0; i < a->n_layers; i++) {
        at_90 += concentration_mean_needed(&s->spread.layers[i].all, LEVEL_90) / a->n_layers;
        at_50 += concentration_mean_needed(&s->spread.layers[i].all, LEVEL_50) / a->n_layers;
        k += s->sets[i].k / a->n_layers;
    }
    verdict_add(
        v, "run", "threshold",
        "experts a token and layer: %.2f now; a threshold on these probabilities would take %.1f for 90 %% "
        "of "
        "gate mass, %.1f for 50 %%. That is the router's confidence, not what the layer needs: need shows in "
        "the loss when k is cut",
        k, at_90, at_50);
}

static void judge_sets(struct analysis *a, const struct demand *s, struct verdicts *v)
{
    struct text t;
    text_init(&t);
    for (int i = 0; i < a->n_layers; i++) {
        const struct working_set *w = &s->sets[i];
        text_printf(&t, "%s %d of %d in layer %d", i ? "," : "", w->for_90_percent, w->n_experts, w->layer);
        if (w->unused > 0)
            text_printf(&t, " (%d unused)", w->unused);
    }
    verdict_add(v, "working set", "experts", "experts that take 90 %% of the probe's decisions:%s", t.data);
    v->failed = v->failed || t.failed;
    text_release(&t);
}

static int judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    struct demand *s = a->state;
    if (measure_spread(a, s, err) != 0 || measure_start(a, s, err) != 0)
        return -1;
    verdict_add(v, "probe", "basis",
                "probe at step %" PRId64 ": %d documents of %d domains, %" PRId64 " tokens", s->step,
                s->documents.n_documents, s->documents.labels[0].n_values, s->documents.n_tokens);
    if (judge_difference(s, v, err) != 0)
        return -1;
    for (int i = 0; i < a->n_layers; i++)
        if (judge_layer(s, i, v, err) != 0)
            return -1;
    if (judge_frequency(a, s, v, err) != 0)
        return -1;
    judge_sets(a, s, v);
    judge_threshold(a, s, v);
    return 0;
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
    {"position", "the same by position in the sample", "layer,position,concentration_90,tokens",
     "analysis/demand_position", position_rows, NULL},
    {"working_set", "experts that take 90 % of all decisions, and how many a document meets",
     "layer,experts_for_90_percent_of_load,experts,unused,experts_per_document,tokens_per_document",
     "analysis/demand_working_set", set_rows, NULL},
    {0}};

static const char details[] =
    "Gate mass is the router's probability before any is thrown away. concentration_90 is the mean over "
    "tokens of\n"
    "the number of experts, likeliest first, that hold 90 % of it; effective_by_token the mean of "
    "exp(entropy). It\n"
    "tells the router's confidence. What a layer needs is another question: cut its k and look at the loss.\n"
    "Intervals resample documents (95 %), within domains where the figure is over all of them; fewer than "
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
    struct demand s = {.step = -1, .positions = 32};
    const struct option_spec options[] = {
        {"step", 0, OPTION_INT, &s.step, "N", "the probe step to look at (default: the last)"},
        {"positions", 0, OPTION_INT, &s.positions, "N",
         "positions that domains are compared over (default 32)"},
        {0}};
    const struct analysis_program p = {
        .command = {.verb = "demand",
                    .operands = "DB",
                    .purpose =
                        "says over how many experts each layer's router spreads, by domain, token and step",
                    .details = details,
                    .examples = "moescope demand log.db --run top2\n"
                                "moescope demand log.db --run top2 --table domains --format csv",
                    .options = options,
                    .min_operands = 1,
                    .max_operands = 1},
        .tables = tables,
        .prepare = prepare,
        .bind = bind,
        .judge = judge};
    int status = analysis_main(&p, &s, argc, argv);
    demand_release(&s);
    return status;
}
