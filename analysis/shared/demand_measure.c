#include <stdlib.h>
#include <string.h>

#include "analysis/shared/demand.h"
#include "analysis/shared/routed.h"
#include "metrics/load.h"

void demand_release(struct demand *s)
{
    spread_release(&s->spread);
    difficulty_release(&s->difficulty);
    spread_steps_release(s->start, s->n_start);
    documents_release(&s->documents);
    ablations_release(&s->ablations);
    free(s->sets);
}

bool demand_cannot_spread(const struct demand *s, const struct analysis *a)
{
    return s->imported.without_probabilities && (!a->table || strcmp(a->table, "verdict") == 0);
}

int demand_spread(struct demand *s, const struct analysis *a, struct error *err)
{
    if (s->spread.layers)
        return 0;
    if (demand_cannot_spread(s, a))
        return 1;
    if (s->difficulty_by &&
        difficulty_read(&s->difficulty, a->logbook, s->difficulty_by, &s->documents, err) != 0)
        return -1;
    return spread_measure(&s->spread, a, &s->documents, s->step, (int)s->positions,
                          s->difficulty_by ? &s->difficulty : NULL, err);
}

int demand_ablations(struct demand *s, const struct analysis *a, struct error *err)
{
    if (s->has_ablations)
        return 0;
    s->has_ablations = true;
    return ablations_read(&s->ablations, a, err);
}

int demand_start(struct demand *s, const struct analysis *a, struct error *err)
{
    int64_t first = s->documents.steps[0];
    s->n_start = s->documents.n_steps * a->n_layers;
    return spread_steps(&s->start, a, &s->documents, first < s->step ? first : -1, err);
}

/* load, mass: (n_experts) scratch, load zeroed; share likewise. */
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

static int measure_layer_set(struct working_set *w, const struct documents *d, const struct probe_pass *pass,
                             const struct moe_layer *layer, struct error *err)
{
    size_t n = (size_t)layer->n_experts;
    struct routed routed;
    double *load = calloc(2 * n, sizeof *load);
    float *share = calloc(n, sizeof *share);
    int result = load && share ? 0 : error_no_memory(err, "the working sets");
    if (result == 0)
        result = routed_init(&routed, d, pass, layer->layer, layer->n_experts, err);
    if (result == 0) {
        measure_set(w, d, &routed, load, share, load + n);
        routed_release(&routed);
    }
    free(load);
    free(share);
    return result;
}

static int measure_sets(struct demand *s, const struct analysis *a, const struct probe_pass *pass,
                        struct error *err)
{
    s->sets = calloc((size_t)a->n_layers, sizeof *s->sets);
    if (!s->sets)
        return error_no_memory(err, "the working sets");
    for (int i = 0; i < a->n_layers; i++)
        if (measure_layer_set(&s->sets[i], &s->documents, pass, &a->layers[i], err) != 0)
            return -1;
    return 0;
}

int demand_read(struct demand *s, const struct analysis *a, struct error *err)
{
    struct probe_pass pass;
    if (imported_read(&s->imported, a->logbook, a->run_id, err) != 0 ||
        documents_read(&s->documents, a->logbook, a->run_id, a->run, NULL, err) != 0 ||
        documents_choose_step(&s->documents, a->run, &s->step, err) != 0 ||
        probe_pass_read(&pass, a->logbook, a->run_id, s->step, err) != 0)
        return -1;
    int result = measure_sets(s, a, &pass, err);
    probe_pass_release(&pass);
    return result;
}

/* ---- intervals ---- */

int demand_interval(const struct demand *s, const double *needed, const double *tokens, bool pooled,
                    struct interval *i, struct error *err)
{
    struct interval_options o = interval_defaults();
    struct random r;
    random_seed(&r, 4, 0);
    return ratio_interval(needed, tokens, pooled ? NULL : demand_strata(s), s->documents.n_documents, &o, &r,
                          i, err);
}

int demand_domain_interval(const struct demand *s, const struct layer_spread *l, int domain,
                           struct interval *i, struct error *err)
{
    int n = s->documents.n_documents;
    double *tokens = malloc(((size_t)n + 1) * sizeof *tokens);
    if (!tokens)
        return error_no_memory(err, "the domains");
    for (int d = 0; d < n; d++)
        tokens[d] = demand_strata(s)[d] == domain ? l->matched.tokens[d] : 0;
    int result = demand_interval(s, l->matched.needed, tokens, true, i, err);
    free(tokens);
    return result;
}

/* ---- within domains ---- */

/* The domain's mean number of experts in that layer. */
static double domain_mean(const struct demand *s, const struct layer_spread *l, int domain)
{
    double needed = 0, tokens = 0;
    for (int d = 0; d < s->documents.n_documents; d++)
        if (demand_strata(s)[d] == domain) {
            needed += l->document.needed[d];
            tokens += l->document.tokens[d];
        }
    return needed / tokens;
}

int demand_departures(const struct demand *s, const struct layer_spread *l, enum grouping by, int group,
                      double *departure, struct error *err)
{
    const struct labels_of *domains = &s->documents.labels[0];
    int n = s->documents.n_documents;
    double *mean = malloc(((size_t)domains->n_values + 1) * sizeof *mean);
    if (!mean)
        return error_no_memory(err, "the tokens' frequencies");
    for (int domain = 0; domain < domains->n_values; domain++)
        mean[domain] = domain_mean(s, l, domain);
    for (int d = 0; d < n; d++) {
        double tokens = demand_group(l->group[by].tokens, group, n)[d];
        double needed = demand_group(l->group[by].needed, group, n)[d];
        departure[d] = needed - (tokens > 0 ? tokens * mean[demand_strata(s)[d]] : 0);
    }
    free(mean);
    return 0;
}
