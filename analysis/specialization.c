/* moescope specialization: do experts serve different text? What the domain, the token and the position tell
 * about the expert chosen, which experts serve which domain and which tokens, which experts go together, and
 * when the routing settled. Everything is measured on the probe, at its last step and, since an untrained
 * router already tells domains apart, at its first. The unit is the document. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/association.h"
#include "analysis/shared/course.h"
#include "analysis/shared/preferences.h"
#include "analysis/shared/program.h"
#include "metrics/lift.h"

static const int lags[] = {1, 2, 4, 8};
enum { N_LAGS = sizeof lags / sizeof lags[0] };

/* Conventions of the verdict, said in the help. */
static const double significant = 0.05; /* of tests and of false discovery */
static const double weak = 0.05;        /* of the most that the domain could tell */
static const double settled = 0.9;      /* of the agreement with the final choices, above chance */

struct specialization {
    /* options */
    int64_t permutations, tokens_shown, step;

    struct documents documents;
    struct probe_pass first, last; /* first.n 0: the probe was routed once only */
    struct routed *routed;         /* (n_layers) of the last pass */
    int n_routed;
    struct associations associations;
    struct lift_cell **lifts; /* (n_layers) of (n_domains, n_experts) */
    double **q;               /* (n_layers) of (n_domains, n_experts): p adjusted over the whole run */
    int n_lifts;
};

static void specialization_release(struct specialization *s)
{
    for (int i = 0; i < s->n_routed; i++)
        routed_release(&s->routed[i]);
    for (int i = 0; i < s->n_lifts; i++) {
        free(s->lifts[i]);
        free(s->q[i]);
    }
    free(s->routed);
    free(s->lifts);
    free(s->q);
    associations_release(&s->associations);
    documents_release(&s->documents);
    probe_pass_release(&s->first);
    probe_pass_release(&s->last);
}

static int n_domains(const struct specialization *s)
{
    return s->documents.labels[0].n_values;
}

static const char *domain_name(const struct specialization *s, int domain)
{
    return s->documents.labels[0].values[domain];
}

/* ---- the probe ---- */

static int prepare(struct analysis *a, struct error *err)
{
    struct specialization *s = a->state;
    if (s->permutations < 1 || s->permutations > INT32_MAX || s->tokens_shown < 1)
        return error_set(err, STATUS_USAGE, "--permutations and --tokens need a number from 1");
    if (documents_read(&s->documents, a->logbook, a->run_id, a->run, err) != 0 ||
        documents_choose_step(&s->documents, a->run, &s->step, err) != 0 ||
        probe_pass_read(&s->last, a->logbook, a->run_id, s->step, err) != 0)
        return -1;
    if (s->documents.steps[0] != s->step &&
        probe_pass_read(&s->first, a->logbook, a->run_id, s->documents.steps[0], err) != 0)
        return -1;
    s->routed = calloc((size_t)a->n_layers, sizeof *s->routed);
    if (!s->routed)
        return error_no_memory(err, "the probe's routing");
    for (; s->n_routed < a->n_layers; s->n_routed++) {
        const struct moe_layer *l = &a->layers[s->n_routed];
        if (routed_init(&s->routed[s->n_routed], &s->documents, &s->last, l->layer, l->n_experts, err) != 0)
            return -1;
    }
    return 0;
}

static void bind(const struct analysis *a, struct query *q)
{
    const struct specialization *s = a->state;
    query_bind_int(q, ":step", s->step);
    query_bind_int(q, ":first_step", s->documents.steps[0]);
}

/* ---- information ---- */

/* All layers at one step. Most of this program's time goes into the permutations, so that the two steps are
 * measured side by side. */
struct measuring {
    const struct analysis *analysis;
    const struct documents *documents;
    const struct probe_pass *pass;
    int n_permutations;
    struct associations associations;
    int result;
    struct error err;
};

static int measure_layer(struct measuring *m, const struct moe_layer *layer)
{
    struct routed routed;
    if (routed_init(&routed, m->documents, m->pass, layer->layer, layer->n_experts, &m->err) != 0)
        return -1;
    int result = associations_measure(&m->associations, m->documents, &routed, m->pass->step,
                                      m->n_permutations, &m->err);
    routed_release(&routed);
    return result;
}

static void *measure_pass(void *context)
{
    struct measuring *m = context;
    for (int i = 0; i < m->analysis->n_layers && m->result == 0; i++)
        m->result = measure_layer(m, &m->analysis->layers[i]);
    if (m->result == 0)
        m->result = associations_adjust(&m->associations, m->pass->step, &m->err);
    return NULL;
}

static int measure_both(struct measuring passes[2], struct error *err)
{
    pthread_t thread;
    bool beside = passes[1].pass->n > 0 && pthread_create(&thread, NULL, measure_pass, &passes[1]) == 0;
    measure_pass(&passes[0]);
    if (beside)
        pthread_join(thread, NULL);
    else if (passes[1].pass->n > 0)
        measure_pass(&passes[1]);
    for (int i = 0; i < 2; i++)
        if (passes[i].result != 0) {
            *err = passes[i].err;
            return -1;
        }
    return 0;
}

static int measure_associations(struct analysis *a, struct specialization *s, struct error *err)
{
    struct measuring passes[2] = {
        {.analysis = a, .documents = &s->documents, .pass = &s->last, .n_permutations = (int)s->permutations},
        {.analysis = a,
         .documents = &s->documents,
         .pass = &s->first,
         .n_permutations = (int)s->permutations}};
    if (s->associations.n > 0)
        return 0;
    int result = measure_both(passes, err);
    if (result == 0)
        result = associations_join(&s->associations, &passes[0].associations, err);
    if (result == 0)
        result = associations_join(&s->associations, &passes[1].associations, err);
    associations_release(&passes[0].associations);
    associations_release(&passes[1].associations);
    return result;
}

static int information_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    if (measure_associations(a, s, err) != 0)
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

/* Adjusts the p-values of all layers, domains and experts together. */
static int adjust(struct analysis *a, struct specialization *s, struct error *err)
{
    int n = 0, at = 0;
    for (int i = 0; i < a->n_layers; i++)
        n += n_domains(s) * a->layers[i].n_experts;
    double *p = malloc(((size_t)n + 1) * sizeof *p);
    if (!p)
        return error_no_memory(err, "the lifts");
    for (int i = 0; i < a->n_layers; i++)
        for (int c = 0; c < n_domains(s) * a->layers[i].n_experts; c++)
            p[at++] = s->lifts[i][c].p;
    int result = benjamini_hochberg(p, n, p, err);
    at = 0;
    for (int i = 0; i < a->n_layers; i++)
        for (int c = 0; c < n_domains(s) * a->layers[i].n_experts; c++)
            s->q[i][c] = p[at++];
    free(p);
    return result;
}

static int measure_layer_lift(struct specialization *s, const struct routed *routed, struct lift_cell *cells,
                              struct error *err)
{
    struct bootstrap_options o = bootstrap_defaults();
    struct random r;
    random_seed(&r, 2, (uint64_t)routed->layer);
    return domain_lift(routed->count, routed->tokens, s->documents.labels[0].value, s->documents.n_documents,
                       n_domains(s), routed->n_experts, &o, &r, cells, err);
}

static int measure_lifts(struct analysis *a, struct specialization *s, struct error *err)
{
    if (s->lifts)
        return 0;
    s->lifts = calloc((size_t)a->n_layers, sizeof(struct lift_cell *));
    s->q = calloc((size_t)a->n_layers, sizeof(double *));
    if (!s->lifts || !s->q)
        return error_no_memory(err, "the lifts");
    s->n_lifts = a->n_layers;
    for (int i = 0; i < a->n_layers; i++) {
        size_t n = (size_t)(n_domains(s) * a->layers[i].n_experts);
        s->lifts[i] = calloc(n, sizeof **s->lifts);
        s->q[i] = calloc(n, sizeof **s->q);
        if (!s->lifts[i] || !s->q[i])
            return error_no_memory(err, "the lifts");
        if (measure_layer_lift(s, &s->routed[i], s->lifts[i], err) != 0)
            return -1;
    }
    return adjust(a, s, err);
}

static int lift_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct specialization *s = a->state;
    if (measure_lifts(a, s, err) != 0)
        return -1;
    for (int i = 0; i < a->n_layers; i++)
        for (int c = 0; c < n_domains(s) * a->layers[i].n_experts; c++) {
            const struct lift_cell *cell = &s->lifts[i][c];
            table_int(t, a->layers[i].layer);
            table_text(t, domain_name(s, c / a->layers[i].n_experts));
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

static int follow(struct analysis *a, struct course *c, struct error *err)
{
    struct specialization *s = a->state;
    return course_follow(c, a->logbook, a->run_id, &s->documents, s->routed, a->n_layers, s->step, err);
}

static int saturation_rows(struct analysis *a, struct table *t, struct error *err)
{
    struct course c;
    if (follow(a, &c, err) != 0)
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

/* ---- the verdict ---- */

/* "0.41", and "0.00" rather than "-0.00". */
static double shown(double nats)
{
    return nats > 0 ? nats : 0;
}

/* "0.41 nat, chance at most 0.02, 0.11 at step 0; 300 documents" */
static void add_figures(struct text *t, const struct association *now, const struct association *before)
{
    text_printf(t, "%.2f nat, chance at most %.2f", shown(now->null.observed), shown(now->null.high));
    if (before)
        text_printf(t, ", %.2f at step %" PRId64, shown(before->null.observed), before->step);
    text_printf(t, "; %d documents", now->n_documents);
}

/* How much of it is vocabulary. What is left between equal tokens is estimated from below. */
static void add_tokens_part(struct text *t, const struct specialization *s, int layer)
{
    const struct association *given =
        associations_find(&s->associations, layer, LABEL_DOMAIN_GIVEN_TOKEN, s->step);
    const struct association *token = associations_find(&s->associations, layer, LABEL_TOKEN, s->step);
    bool beyond = given->q <= significant;
    if (beyond && given->null.observed >= 0.005)
        text_printf(t, "; given the token, still %.2f or more", given->null.observed);
    else if (beyond)
        text_add(t, "; given the token, still some");
    else
        text_add(t, "; given the token, nothing for certain");
    text_printf(t, "; the token alone tells %.2f", shown(token->null.observed));
}

/* What to say and, returned, the verdict in a word. */
static const char *describe_domains(struct text *t, const struct association *now,
                                    const struct association *before, const struct interval *growth)
{
    bool is_weak = now->null.observed < weak * association_ceiling(now);
    if (!association_holds(now)) {
        text_add(t, "experts do not tell domains apart");
        return "none";
    }
    if (before && isnan(growth->low)) {
        text_printf(t,
                    "experts tell domains apart, too few documents to say whether more than at step %" PRId64,
                    before->step);
        return "undetermined";
    }
    if (before && !(growth->low > 0)) {
        text_printf(t, "experts tell domains apart no better than at step %" PRId64, before->step);
        return before->step == 0 ? "untrained" : "unchanged";
    }
    text_printf(t, "experts tell domains apart%s", is_weak ? ", but weakly" : "");
    return is_weak ? "weak" : "specialised";
}

static int judge_domains(struct specialization *s, int layer, struct verdicts *v, struct error *err)
{
    const struct association *now = associations_find(&s->associations, layer, LABEL_DOMAIN, s->step);
    const struct association *before =
        s->first.n > 0 ? associations_find(&s->associations, layer, LABEL_DOMAIN, s->first.step) : NULL;
    struct interval growth = {0};
    struct text t;
    char subject[32];
    if (before && association_growth(&s->documents, before, now, &growth, err) != 0)
        return -1;
    text_init(&t);
    snprintf(subject, sizeof subject, "layer %d", layer);
    const char *verdict = describe_domains(&t, now, before, &growth);
    text_add(&t, " (");
    add_figures(&t, now, before);
    if (association_holds(now))
        add_tokens_part(&t, s, layer);
    text_add(&t, ")");
    verdict_add(v, subject, verdict, "%s: %s", subject, t.data);
    v->failed = v->failed || t.failed;
    text_release(&t);
    return 0;
}

/* The expert that does most to set the domain apart, of those that certainly prefer it; -1: none. */
static int server_of(const struct specialization *s, int i, int n_experts, int domain)
{
    int best = -1;
    double most = 0;
    for (int e = 0; e < n_experts; e++) {
        const struct lift_cell *cell = &s->lifts[i][domain * n_experts + e];
        double part = cell->share * log(cell->lift);
        if (s->q[i][domain * n_experts + e] <= significant && !(cell->low <= 1) && part > most) {
            most = part;
            best = e;
        }
    }
    return best;
}

/* "layer 2, expert by domain (lift): c 3 (6.2), japanese 7 (9.1); none for english" */
static void judge_servers(const struct specialization *s, int i, const struct moe_layer *layer,
                          struct verdicts *v)
{
    struct text served, not_served;
    char subject[32];
    text_init(&served);
    text_init(&not_served);
    for (int domain = 0; domain < n_domains(s); domain++) {
        int e = server_of(s, i, layer->n_experts, domain);
        struct text *t = e < 0 ? &not_served : &served;
        text_printf(t, "%s%s", t->length ? ", " : "", domain_name(s, domain));
        if (e >= 0)
            text_printf(t, " %d (%.1f)", e, s->lifts[i][domain * layer->n_experts + e].lift);
    }
    snprintf(subject, sizeof subject, "layer %d", layer->layer);
    if (served.length > 0)
        verdict_add(v, subject, "experts", "%s, expert by domain (lift): %s%s%s", subject, served.data,
                    not_served.length ? "; none for " : "", not_served.data);
    v->failed = v->failed || served.failed || not_served.failed;
    text_release(&served);
    text_release(&not_served);
}

static const struct association *best_layer(struct analysis *a, const struct specialization *s,
                                            const char *label)
{
    const struct association *best = NULL;
    for (int i = 0; i < a->n_layers; i++) {
        const struct association *x = associations_find(&s->associations, a->layers[i].layer, label, s->step);
        if (!best || x->null.observed > best->null.observed)
            best = x;
    }
    return best;
}

/* ", 0.15 with topic held fixed" */
static void add_held_fixed(struct text *t, const struct specialization *s, const struct association *x)
{
    for (int l = 1; l < s->documents.n_labels; l++) {
        char name[64];
        snprintf(name, sizeof name, "%.30s|%.30s", x->label, s->documents.labels[l].key);
        const struct association *given = associations_find(&s->associations, x->layer, name, s->step);
        if (given && association_holds(given))
            text_printf(t, "; %.2f with %s held fixed", given->null.observed, s->documents.labels[l].key);
        else if (given)
            text_printf(t, "; nothing for certain with %s held fixed", s->documents.labels[l].key);
    }
}

/* Labels other than the domain: one sentence each. */
static void judge_labels(struct analysis *a, const struct specialization *s, struct verdicts *v)
{
    struct text t;
    text_init(&t);
    for (int l = 1; l < s->documents.n_labels; l++) {
        const struct association *x = best_layer(a, s, s->documents.labels[l].key);
        text_clear(&t);
        add_held_fixed(&t, s, x);
        if (association_holds(x))
            verdict_add(v, x->label, "told apart",
                        "%s (%d values) is told apart best in layer %d (%.2f nat of at most %.2f, chance at "
                        "most %.2f%s; %d documents)",
                        x->label, x->n_labels, x->layer, x->null.observed, association_ceiling(x),
                        shown(x->null.high), t.length ? t.data : "", x->n_documents);
        else
            verdict_add(v, x->label, "none",
                        "%s (%d values) is not told apart in any layer (%.2f nat at most; %d documents)",
                        x->label, x->n_labels, shown(x->null.observed), x->n_documents);
    }
    v->failed = v->failed || t.failed;
    text_release(&t);
}

/* "routing has settled in layer 0 (by step 400), 2 (by step 800)", and where it still moves. */
static void judge_course(struct analysis *a, const struct course *c, struct verdicts *v)
{
    const struct passing *end = &c->passing[c->n - 1];
    struct text still, moving;
    text_init(&still);
    text_init(&moving);
    for (int i = 0; i < a->n_layers; i++) {
        const struct passing *p = &c->passing[i * c->n];
        int at = course_settled(c, i, settled);
        struct text *t = at < c->n - 1 ? &still : &moving;
        text_printf(t, "%s%d ", t->length ? ", " : "", a->layers[i].layer);
        if (t == &still)
            text_printf(t, "(by step %" PRId64 ")", p[at].step);
        else
            text_printf(t, "(%.0f %%)", 100 * (1 - p[at].previous.first));
    }
    if (still.length > 0)
        verdict_add(v, "routing", "settled",
                    "routing has settled in layer %s: 90 %% of the agreement with step %" PRId64
                    ", above chance, for good; %d probe passes",
                    still.data, end->step, c->n);
    if (moving.length > 0)
        verdict_add(
            v, "routing", "moving",
            "routing still moves in layer %s: share of first choices that changed between steps %" PRId64
            " and %" PRId64 "; %d probe passes",
            moving.data, end[-1].step, end->step, c->n);
    v->failed = v->failed || still.failed || moving.failed;
    text_release(&still);
    text_release(&moving);
}

static void say_basis(const struct specialization *s, struct verdicts *v)
{
    const struct documents *d = &s->documents;
    char against[96] = "which is its first, so that nothing says what the untrained router did";
    if (s->first.n > 0)
        snprintf(against, sizeof against, "against step %" PRId64, s->first.step);
    verdict_add(v, "probe", "basis",
                "probe at step %" PRId64 ", %s: %d documents of %d domains, %" PRId64 " tokens", s->step,
                against, d->n_documents, n_domains(s), d->n_tokens);
}

/* The finding in one line. */
static void say_headline(struct analysis *a, const struct specialization *s, struct verdicts *v)
{
    const struct association *best = best_layer(a, s, LABEL_DOMAIN);
    int n = 0;
    for (int i = 0; i < a->n_layers; i++)
        n +=
            association_holds(associations_find(&s->associations, a->layers[i].layer, LABEL_DOMAIN, s->step));
    if (n > 0)
        verdict_add(
            v, "run", "specialised",
            "experts tell domains apart in %d of %d layers, best in layer %d (%.2f nat of at most %.2f)", n,
            a->n_layers, best->layer, best->null.observed, association_ceiling(best));
    else
        verdict_add(v, "run", "none", "experts tell domains apart in none of %d layers", a->n_layers);
}

static int judge_layers(struct analysis *a, struct specialization *s, struct verdicts *v, struct error *err)
{
    say_headline(a, s, v);
    for (int i = 0; i < a->n_layers; i++) {
        int layer = a->layers[i].layer;
        if (judge_domains(s, layer, v, err) != 0)
            return -1;
        if (association_holds(associations_find(&s->associations, layer, LABEL_DOMAIN, s->step)))
            judge_servers(s, i, &a->layers[i], v);
    }
    return 0;
}

static int judge(struct analysis *a, struct verdicts *v, struct error *err)
{
    struct specialization *s = a->state;
    struct course c;
    if (measure_associations(a, s, err) != 0 || measure_lifts(a, s, err) != 0)
        return -1;
    say_basis(s, v);
    if (n_domains(s) < 2)
        verdict_add(v, "run", "undetermined",
                    "the probe has one domain only: there is nothing to tell apart");
    else if (judge_layers(a, s, v, err) != 0)
        return -1;
    judge_labels(a, s, v);
    if (follow(a, &c, err) != 0)
        return -1;
    if (c.n > 2)
        judge_course(a, &c, v);
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
        .judge = judge};
    int status = analysis_main(&p, &s, argc, argv);
    specialization_release(&s);
    return status;
}
