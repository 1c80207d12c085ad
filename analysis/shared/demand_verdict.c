#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "analysis/shared/demand.h"
#include "metrics/collapse.h"

/* "most in man_ja (4.12; 3.95 to 4.30), least in bible (2.21; 2.12 to 2.35)" */
static int add_domains(struct text *t, const struct demand *s, const struct layer_spread *l,
                       struct error *err)
{
    const struct labels_of *domains = &s->documents.labels[0];
    struct interval most = {.estimate = -1}, least = {.estimate = -1};
    int busiest = 0, calmest = 0;
    for (int domain = 0; domain < domains->n_values; domain++) {
        struct interval i;
        if (demand_domain_interval(s, l, domain, &i, err) != 0)
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
    /* The bar of collapse's other alarm. */
    if (entropy >= untrained_rule_default().router_entropy_above * most) {
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
    if (demand_interval(s, l->document.needed, l->document.tokens, false, &interval, err) != 0)
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

/* Whether the layer that spreads most does so for certain more than the one that spreads least. These two
 * were picked for differing most, so that the level is that of all pairs together (Bonferroni), from draws
 * enough for so small a share of them. */
static struct interval_options options_of_pairs(int n_layers)
{
    struct interval_options o = interval_defaults();
    int pairs = n_layers * (n_layers - 1) / 2;
    o.level = 1 - (1 - o.level) / pairs;
    o.n_draws = pairs > 50 ? 40 * pairs : o.n_draws;
    return o;
}

static int judge_difference(struct demand *s, struct verdicts *v, struct error *err)
{
    const struct layer_spread *most = &s->spread.layers[0], *least = most;
    struct random r;
    struct interval i;
    random_seed(&r, 4, 1);
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
    struct interval_options o = options_of_pairs(s->spread.n_layers);
    if (difference_interval(most->document.needed, most->document.tokens, least->document.needed,
                            least->document.tokens, demand_strata(s), s->documents.n_documents, &o, &r, &i,
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
    for (int i = 0; i < groupings[BY_COUNT].n; i++) {
        int bucket = rarest ? i : groupings[BY_COUNT].n - 1 - i, documents = 0;
        for (int d = 0; d < n; d++)
            documents += l->group[BY_COUNT].tokens[bucket * n + d] > 0;
        if (documents >= interval_defaults().min_documents && s->spread.n_ids[bucket] >= FEWEST_IDS)
            return bucket;
    }
    return -1;
}

static int compare_buckets(const struct demand *s, const struct layer_spread *l, int rare, int frequent,
                           double *scratch, struct interval *i, struct error *err)
{
    struct interval_options o = interval_defaults();
    struct random r;
    int n = s->documents.n_documents;
    random_seed(&r, 4, 2);
    if (demand_departures(s, l, BY_COUNT, rare, scratch, err) != 0 ||
        demand_departures(s, l, BY_COUNT, frequent, scratch + n, err) != 0)
        return -1;
    return difference_interval(scratch, demand_group(l->group[BY_COUNT].tokens, rare, n), scratch + n,
                               demand_group(l->group[BY_COUNT].tokens, frequent, n), NULL, n, &o, &r, i, err);
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
            groupings[BY_COUNT].names[rare], groupings[BY_COUNT].names[frequent], t.data);
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
        "of gate mass, %.1f for 50 %%. That is the router's confidence, not what the layer needs",
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

/* What truncation says, where it was tried. */
static int judge_need(struct analysis *a, struct demand *s, struct verdicts *v, struct error *err)
{
    struct needed_k needed;
    struct text t;
    int n = 0;
    if (demand_ablations(s, a, err) != 0)
        return -1;
    text_init(&t);
    for (int i = 0; i < a->n_layers; i++)
        if (ablations_needed(&s->ablations, &a->layers[i], &needed)) {
            text_printf(&t, "%s %d in layer %d", n ? "," : "", needed.needed, a->layers[i].layer);
            n++;
        }
    if (n > 0)
        verdict_add(
            v, "run", "needed",
            "experts a token that each layer, truncated alone, needs to lose at most %g nats/token (%d "
            "documents of split '%s'):%s",
            s->ablations.margin, s->ablations.whole.n, s->ablations.split, t.data);
    v->failed = v->failed || t.failed;
    text_release(&t);
    return 0;
}

int demand_judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    struct demand *s = a->state;
    int spread = demand_spread(s, a, err);
    if (spread < 0 || (spread == 0 && demand_start(s, a, err) != 0))
        return -1;
    verdict_add(v, "probe", "basis",
                "probe at step %" PRId64 ": %d documents of %d domains, %" PRId64 " tokens", s->step,
                s->documents.n_documents, s->documents.labels[0].n_values, s->documents.n_tokens);
    if (spread == 1) {
        verdict_add(
            v, "import", "probabilities unknown",
            "the run was imported without its routers' probabilities, so that nothing is said about how far "
            "they spread");
        judge_sets(a, s, v);
        return judge_need(a, s, v, err);
    }
    if (judge_difference(s, v, err) != 0)
        return -1;
    for (int i = 0; i < a->n_layers; i++)
        if (judge_layer(s, i, v, err) != 0)
            return -1;
    if (judge_frequency(a, s, v, err) != 0)
        return -1;
    judge_sets(a, s, v);
    judge_threshold(a, s, v);
    return judge_need(a, s, v, err);
}
