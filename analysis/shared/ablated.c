#include "analysis/shared/ablated.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/allocation.h"

static const double level = 0.95; /* of every interval here */

void ablations_release(struct ablations *s)
{
    for (int i = 0; i < s->n; i++) {
        free(s->items[i].what);
        free(s->items[i].domain);
    }
    free(s->items);
    free(s->share);
    evaluation_release(&s->whole);
    domain_names_release(&s->domains);
    s->items = NULL;
    s->n = 0;
}

/* ---- which there are ---- */

static int int_or(struct query *q, const char *column, int otherwise)
{
    return query_is_null(q, column) ? otherwise : (int)query_int(q, column);
}

static int add_item(struct ablations *s, struct query *q, struct error *err)
{
    struct ablated *items = realloc(s->items, ((size_t)s->n + 1) * sizeof *items);

    if (!items)
        return error_no_memory(err, "the ablations");
    s->items = items;
    items[s->n] = (struct ablated){.run_id = query_int(q, "run_id"),
                                   .seed = int_or(q, "seed", 0),
                                   .what = strdup(query_word(q, "what")),
                                   .layer = int_or(q, "layer", -1),
                                   .expert = int_or(q, "expert", -1),
                                   .k = int_or(q, "k", -1)};
    return items[s->n++].what ? 0 : error_no_memory(err, "the ablations");
}

static int read_items(struct ablations *s, const struct analysis *a, struct error *err)
{
    struct query *q;
    int more;

    if (query_open(&q, a->logbook, "analysis/ablations", err))
        return -1;
    query_bind_int(q, ":run", a->run_id);
    while ((more = query_step(q, err)) == 1) {
        if (add_item(s, q, err)) {
            more = -1;
            break;
        }
    }
    query_close(q);
    return more;
}

/* ---- their losses ---- */

/* A JSON array of run ids; caller frees. */
static char *ids_of(const struct ablations *s)
{
    struct text t;

    text_init(&t);
    for (int i = 0; i < s->n; i++)
        text_printf(&t, "%s%" PRId64, i ? "," : "[", s->items[i].run_id);
    text_add(&t, s->n ? "]" : "[]");
    return text_detach(&t);
}

static int measure_domains(const struct ablations *s, struct ablated *x, const struct paired_documents *p,
                           struct error *err)
{
    x->domain = calloc((size_t)s->domains.n + 1, sizeof *x->domain);
    if (!x->domain)
        return error_no_memory(err, "the losses");
    for (int d = 0; d < s->domains.n; d++) {
        if (paired_interval(p, s->unit, d, 0, &x->domain[d].i, err))
            return -1;
    }
    return 0;
}

static int measure(const struct ablations *s, struct ablated *x, const struct evaluation *e,
                   struct error *err)
{
    struct paired_documents p;
    int result;

    if (paired_documents_init(&p, e, &s->whole, false, err))
        return -1;
    x->documents = p.left.n;
    result = paired_interval(&p, NATS_PER_TOKEN, -1, 0, &x->all.i, err);
    if (result == 0)
        result = measure_domains(s, x, &p, err);
    paired_documents_release(&p);
    return result;
}

/* Keeps those that have losses of the split, the evaluation as it was apart. */
static int measure_all(struct ablations *s, struct evaluation *evaluations, struct error *err)
{
    int kept = 0;

    for (int i = 0; i < s->n && s->nothing == 0; i++) {
        if (strcmp(s->items[i].what, "nothing") == 0 && evaluations[i].n > 0) {
            s->nothing = s->items[i].run_id;
            s->whole = evaluations[i];
            evaluations[i] = (struct evaluation){0};
        }
    }
    for (int i = 0; i < s->whole.n; i++)
        s->unit = s->whole.documents[i].n_bytes > 0 ? BITS_PER_BYTE : s->unit;
    for (int i = 0; i < s->n; i++) {
        struct ablated *x = &s->items[i];
        bool wanted = s->nothing > 0 && evaluations[i].n > 0 && strcmp(x->what, "nothing") != 0;
        if (wanted && measure(s, x, &evaluations[i], err))
            return -1;
        if (wanted) {
            struct ablated moved = *x;
            *x = s->items[kept];
            s->items[kept++] = moved;
        }
    }
    for (int i = kept; i < s->n; i++) {
        free(s->items[i].what);
        free(s->items[i].domain);
    }
    s->n = kept;
    return 0;
}

/* ---- what they say ---- */

/* The whole, or every domain, of all ablations of one kind. */
static int judge_kind(struct ablations *s, int first, int last, bool domains, struct error *err)
{
    size_t most = (size_t)(last - first) * (size_t)(domains ? s->domains.n : 1) + 1;
    struct judged **family = malloc(most * sizeof *family);
    int n = 0, result;

    if (!family)
        return error_no_memory(err, "the verdicts");
    for (int i = first; i < last; i++) {
        for (int d = 0; d < (domains ? s->domains.n : 1); d++)
            family[n++] = domains ? &s->items[i].domain[d] : &s->items[i].all;
    }
    result = judge_family(family, n, domains && s->unit == BITS_PER_BYTE ? 0.0 : s->margin, level, err);
    free(family);
    return result;
}

static int by_kind(const void *left, const void *right)
{
    const struct ablated *a = left, *b = right;
    int order = strcmp(a->what, b->what);

    if (order == 0)
        order = (a->layer > b->layer) - (a->layer < b->layer);
    if (order == 0)
        order = (a->k > b->k) - (a->k < b->k);
    if (order == 0)
        order = (a->expert > b->expert) - (a->expert < b->expert);
    return order ? order : (a->seed > b->seed) - (a->seed < b->seed);
}

static int judge_all(struct ablations *s, struct error *err)
{
    if (s->n > 0)
        qsort(s->items, (size_t)s->n, sizeof *s->items, by_kind);
    for (int first = 0, last; first < s->n; first = last) {
        for (last = first + 1; last < s->n && strcmp(s->items[last].what, s->items[first].what) == 0;)
            last++;
        if (judge_kind(s, first, last, false, err) || judge_kind(s, first, last, true, err))
            return -1;
    }
    return 0;
}

/* ---- loads, as they were ---- */

static int read_shares(struct ablations *s, const struct analysis *a, struct error *err)
{
    size_t n = (size_t)a->n_layers * (size_t)a->max_experts;
    struct query *q;
    int more;

    s->share = malloc((n + 1) * sizeof *s->share);
    if (!s->share)
        return error_no_memory(err, "the loads");
    for (size_t i = 0; i < n; i++)
        s->share[i] = NAN;
    if (query_open(&q, a->logbook, "analysis/ablation_loads", err))
        return -1;
    query_bind_int(q, ":run", s->nothing);
    query_bind_text(q, ":split", s->split);
    while ((more = query_step(q, err)) == 1) {
        int layer = analysis_layer_index(a, query_int(q, "layer"));
        int64_t expert = query_int(q, "expert");
        if (layer >= 0 && expert >= 0 && expert < a->layers[layer].n_experts)
            s->share[(size_t)layer * (size_t)a->max_experts + (size_t)expert] = query_real(q, "share");
    }
    query_close(q);
    return more;
}

int ablations_read(struct ablations *s, const struct analysis *a, struct error *err)
{
    struct losses_asked asked = {.split = s->split, .step = -1};
    struct evaluation *evaluations;
    char *ids;
    int result = -1, n;

    s->whole = (struct evaluation){.step = -1};
    s->unit = NATS_PER_TOKEN;
    if (read_items(s, a, err))
        return -1;
    n = s->n;
    evaluations = calloc((size_t)n + 1, sizeof *evaluations);
    ids = ids_of(s);
    if (!evaluations || !ids)
        error_no_memory(err, "the ablations");
    else {
        asked.runs = ids;
        if (evaluations_read(evaluations, n, &s->domains, a->logbook, &asked, err) == 0 &&
            measure_all(s, evaluations, err) == 0 && judge_all(s, err) == 0)
            result = read_shares(s, a, err);
    }
    for (int i = 0; i < n && evaluations; i++)
        evaluation_release(&evaluations[i]);
    free(evaluations);
    free(ids);
    return result;
}

const struct ablated *ablations_find(const struct ablations *s, const char *what, int layer, int expert,
                                     int k)
{
    for (int i = 0; i < s->n; i++) {
        const struct ablated *x = &s->items[i];
        if (strcmp(x->what, what) == 0 && x->layer == layer && x->expert == expert && x->k == k)
            return x;
    }
    return NULL;
}

int ablated_worst_domain(const struct ablations *s, const struct ablated *x)
{
    int worst = -1;

    for (int d = 0; d < s->domains.n; d++) {
        double change = x->domain[d].i.estimate;
        if (isfinite(change) && (worst < 0 || change > x->domain[worst].i.estimate))
            worst = d;
    }
    return worst;
}

/* ---- needed k ---- */

/* The layer's own k, at which nothing changes; where tokens differ in it, all its experts. */
static int most_k(const struct moe_layer *layer)
{
    return layer->k > 0 ? layer->k : layer->n_experts;
}

bool ablations_needed(const struct ablations *s, const struct moe_layer *layer, struct needed_k *needed)
{
    bool any = false;

    *needed = (struct needed_k){layer->k, layer->k, layer->k, NULL};
    for (int k = most_k(layer) - 1; k >= 1; k--) {
        const struct ablated *x = ablations_find(s, "k", layer->layer, -1, k);
        any = any || x;
        if (x && x->all.i.estimate <= s->margin) {
            needed->needed = k;
            needed->at = x;
        }
        if (x && x->all.i.high <= s->margin)
            needed->certain = k;
    }
    return any;
}

/* ---- allocation ---- */

static int fill_costs(const struct ablations *s, const struct moe_layer *layer, double *cost,
                      struct error *err)
{
    if (layer->k == 0)
        return error_set(
            err, STATUS_INPUT,
            "tokens differ in how many experts they get in layer %d: an allocation is of routers "
            "with a fixed k",
            layer->layer);
    for (int k = 1; k < layer->k; k++) {
        const struct ablated *x = ablations_find(s, "k", layer->layer, -1, k);
        if (!x || !isfinite(x->all.i.estimate))
            return error_set(err, STATUS_INPUT,
                             "layer %d has not been truncated to %d experts; `moescope ablate DB --run NAME "
                             "--what k` does it",
                             layer->layer, k);
        cost[k - 1] = x->all.i.estimate;
    }
    cost[layer->k - 1] = 0.0;
    return 0;
}

int ablations_allocate(const struct ablations *s, const struct analysis *a, int budget, int *k, double *cost,
                       struct error *err)
{
    size_t L = (size_t)a->n_layers, N = (size_t)a->max_experts;
    double *all = malloc((L * N + 1) * sizeof *all);
    const double **of = malloc((L + 1) * sizeof *of);
    int *most = malloc((L + 1) * sizeof *most), result = all && of && most ? 0 : -1;

    if (result)
        error_no_memory(err, "an allocation of experts");
    else if (budget < a->n_layers)
        result = error_set(err, STATUS_USAGE,
                           "a budget of %d experts a token is less than one for each of %d layers", budget,
                           a->n_layers);
    for (int l = 0; l < a->n_layers && result == 0; l++) {
        most[l] = a->layers[l].k;
        of[l] = all + (size_t)l * N;
        result = fill_costs(s, &a->layers[l], all + (size_t)l * N, err);
    }
    if (result == 0)
        result = allocate_experts(of, most, a->n_layers, budget, k, cost, err);
    free(all);
    free(of);
    free(most);
    return result;
}
