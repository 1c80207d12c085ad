#include "analysis/shared/association.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/values.h"

/* Results do not change from call to call; nor do they hang on which other labels are asked for. */
static struct random random_for(int layer, const char *label)
{
    struct random r;
    uint64_t stream = 5381;
    for (const char *c = label; *c; c++)
        stream = stream * 33 + (unsigned char)*c;
    random_seed(&r, 1, stream * LOGBOOK_MAX_LAYERS + (uint64_t)layer);
    return r;
}

void associations_release(struct associations *a)
{
    for (int i = 0; i < a->n; i++) {
        free(a->items[i].by_document);
        free(a->items[i].decisions);
    }
    free(a->items);
    *a = (struct associations){0};
}

int associations_join(struct associations *a, struct associations *from, struct error *err)
{
    int n = a->n + from->n;
    struct association *items = realloc(a->items, ((size_t)n + 1) * sizeof *items);
    if (!items)
        return error_no_memory(err, "the information");
    if (from->n > 0)
        memcpy(items + a->n, from->items, (size_t)from->n * sizeof *items);
    a->items = items;
    a->n = a->capacity = n;
    from->n = 0;
    return 0;
}

static struct association *add(struct associations *a, const struct documents *d, const struct routed *s,
                               const char *label, int64_t step, struct error *err)
{
    if (a->n == a->capacity) {
        int capacity = a->capacity ? 2 * a->capacity : 32;
        struct association *items = realloc(a->items, (size_t)capacity * sizeof *items);
        if (!items) {
            error_no_memory(err, "the information");
            return NULL;
        }
        a->items = items;
        a->capacity = capacity;
    }
    struct association *x = &a->items[a->n];
    *x = (struct association){.layer = s->layer, .n_experts = s->n_experts, .step = step};
    snprintf(x->label, sizeof x->label, "%s", label);
    x->interval = (struct interval){.low = NAN, .high = NAN, .p = NAN};
    x->by_document = calloc((size_t)d->n_documents + 1, sizeof *x->by_document);
    x->decisions = calloc((size_t)d->n_documents + 1, sizeof *x->decisions);
    a->n++;
    if (x->by_document && x->decisions)
        return x;
    error_no_memory(err, "the information");
    return NULL;
}

/* Documents that take part, and how many decisions of theirs do. value NULL: all. */
static void take_part(struct association *x, const struct documents *d, const struct routed *s,
                      const int *value)
{
    for (int i = 0; i < d->n_documents; i++) {
        x->decisions[i] = value && value[i] < 0 ? 0 : s->decisions[i];
        x->n_documents += x->decisions[i] > 0;
    }
}

static int set_interval(struct association *x, const struct documents *d, struct error *err)
{
    struct bootstrap_options o = bootstrap_defaults();
    struct random r = random_for(x->layer, "interval");
    return bootstrap_ratio(x->by_document, x->decisions, d->labels[0].value, d->n_documents, &o, &r,
                           &x->interval, err);
}

/* A label of the documents. The null's own estimate deals the same folds, since it starts from the same
 * random numbers, so that both are one figure. */
static int measure_label(struct associations *a, const struct documents *d, const struct routed *s,
                         int64_t step, const struct labels_of *label, int n_permutations, struct error *err)
{
    struct labelling l = {d->n_documents, label->n_values, label->value, NULL};
    struct information_options o = information_defaults(s->n_experts);
    struct random r = random_for(s->layer, label->key), again = r;
    struct association *x = add(a, d, s, label->key, step, err);
    double nats;
    if (!x)
        return -1;
    x->n_labels = label->n_values;
    take_part(x, d, s, label->value);
    if (document_information(&l, s->count, s->n_experts, &o, &r, &nats, x->by_document, err) != 0 ||
        document_information_null(&l, s->count, s->n_experts, &o, n_permutations, &again, &x->null, err) != 0)
        return -1;
    return set_interval(x, d, err);
}

/* ---- one label with another held fixed ---- */

/* I(expert; label | given) = I(expert; both) - I(expert; given); the null exchanges labels among documents of
 * equal `given`, so that it holds what `given` tells by itself. */
struct pair {
    int n_both;
    int *both, *given; /* (n_documents) -1: the document lacks one of the two */
    double *of_given;  /* (n_documents) what `given` tells, by document */
};

static void pair_release(struct pair *p)
{
    free(p->both);
    free(p->given);
    free(p->of_given);
}

static int pair_init(struct pair *p, const struct labels_of *label, const struct labels_of *given,
                     int n_documents, struct error *err)
{
    size_t n = (size_t)n_documents + 1;
    *p = (struct pair){label->n_values * given->n_values, malloc(n * sizeof *p->both),
                       malloc(n * sizeof *p->given), malloc(n * sizeof *p->of_given)};
    if (!p->both || !p->given || !p->of_given) {
        pair_release(p);
        return error_no_memory(err, "the information");
    }
    for (int d = 0; d < n_documents; d++) {
        bool known = label->value[d] >= 0 && given->value[d] >= 0;
        p->both[d] = known ? label->value[d] * given->n_values + given->value[d] : -1;
        p->given[d] = known ? given->value[d] : -1;
    }
    return 0;
}

static int measure_pair(struct association *x, const struct documents *d, const struct routed *s,
                        struct pair *p, int n_given, int n_permutations, struct error *err)
{
    struct labelling both = {d->n_documents, p->n_both, p->both, p->given};
    struct labelling given = {d->n_documents, n_given, p->given, NULL};
    struct information_options o = information_defaults(s->n_experts);
    struct random r = random_for(s->layer, x->label), again = r;
    double nats, of_given;
    if (document_information(&both, s->count, s->n_experts, &o, &r, &nats, x->by_document, err) != 0 ||
        document_information_null(&both, s->count, s->n_experts, &o, n_permutations, &again, &x->null, err) !=
            0 ||
        document_information(&given, s->count, s->n_experts, &o, &r, &of_given, p->of_given, err) != 0)
        return -1;
    for (int i = 0; i < d->n_documents; i++)
        x->by_document[i] -= p->of_given[i];
    x->null.observed -= of_given;
    x->null.mean -= of_given;
    x->null.low -= of_given;
    x->null.high -= of_given;
    return set_interval(x, d, err);
}

static int measure_given(struct associations *a, const struct documents *d, const struct routed *s,
                         int64_t step, const struct labels_of *label, const struct labels_of *given,
                         int n_permutations, struct error *err)
{
    struct pair p;
    char name[64];
    snprintf(name, sizeof name, "%.30s|%.30s", label->key, given->key);
    struct association *x = add(a, d, s, name, step, err);
    if (!x || pair_init(&p, label, given, d->n_documents, err) != 0)
        return -1;
    x->n_labels = label->n_values;
    take_part(x, d, s, p.both);
    int result = measure_pair(x, d, s, &p, given->n_values, n_permutations, err);
    pair_release(&p);
    return result;
}

/* Every label with every other held fixed, as long as they are few. The domain is usually made of the others
 * and takes no part. */
enum { MOST_LABELS_PAIRED = 4 };

static int measure_pairs(struct associations *a, const struct documents *d, const struct routed *s,
                         int64_t step, int n_permutations, struct error *err)
{
    for (int i = 1; i < d->n_labels && d->n_labels - 1 <= MOST_LABELS_PAIRED; i++)
        for (int j = 1; j < d->n_labels; j++)
            if (i != j &&
                measure_given(a, d, s, step, &d->labels[i], &d->labels[j], n_permutations, err) != 0)
                return -1;
    return 0;
}

static int measure_given_token(struct associations *a, const struct documents *d, const struct routed *s,
                               int64_t step, int n_permutations, struct error *err)
{
    const struct labels_of *domain = &d->labels[0];
    struct labelling l = {d->n_documents, domain->n_values, domain->value, NULL};
    struct information_options o = information_defaults(s->n_experts);
    struct random r = random_for(s->layer, LABEL_DOMAIN_GIVEN_TOKEN);
    struct association *x = add(a, d, s, LABEL_DOMAIN_GIVEN_TOKEN, step, err);
    struct token_cell *cells;
    int64_t n;
    if (!x)
        return -1;
    x->n_labels = domain->n_values;
    take_part(x, d, s, domain->value);
    free(x->by_document);
    x->by_document = NULL;
    if (routed_cells(s, d, s->token, false, &cells, &n, err) != 0)
        return -1;
    int result = token_information_null(&l, cells, n, s->n_experts, &o, n_permutations, &r, &x->null, err);
    free(cells);
    return result;
}

/* ---- what changes from token to token ---- */

static int order_of_ids(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

/* Values numbered from 0 without gaps; returns how many, -1 without memory. */
static int number_densely(const int32_t *value, int n, int32_t *dense)
{
    int n_values = 0;
    int32_t *sorted = malloc(((size_t)n + 1) * sizeof *sorted);
    if (!sorted)
        return -1;
    memcpy(sorted, value, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, order_of_ids);
    for (int i = 0; i < n; i++)
        if (n_values == 0 || sorted[n_values - 1] != sorted[i])
            sorted[n_values++] = sorted[i];
    for (int i = 0; i < n; i++) {
        const int32_t *place = bsearch(&value[i], sorted, (size_t)n_values, sizeof *sorted, order_of_ids);
        dense[i] = (int32_t)(place - sorted);
    }
    free(sorted);
    return n_values;
}

static int measure_value(struct associations *a, const struct documents *d, const struct routed *s,
                         int64_t step, const char *label, const int32_t *value, int n_permutations,
                         struct error *err)
{
    struct information_options o = information_defaults(s->n_experts);
    struct random r = random_for(s->layer, label), again = r;
    struct association *x = add(a, d, s, label, step, err);
    double nats;
    if (!x)
        return -1;
    take_part(x, d, s, NULL);
    int32_t *dense = malloc(((size_t)s->n_tokens + 1) * sizeof *dense);
    if (!dense || (x->n_labels = number_densely(value, s->n_tokens, dense)) < 0) {
        free(dense);
        return error_no_memory(err, "the information");
    }
    struct value_stream values = {d->n_documents, x->n_labels, s->n_experts, s->first, dense, s->slots};
    int result = value_information(&values, &o, &r, &nats, x->by_document, err);
    if (result == 0)
        result = value_information_null(&values, &o, n_permutations, &again, &x->null, err);
    free(dense);
    return result == 0 ? set_interval(x, d, err) : -1;
}

int associations_measure(struct associations *a, const struct documents *d, const struct routed *s,
                         int64_t step, int n_permutations, struct error *err)
{
    for (int i = 0; i < d->n_labels; i++)
        if (measure_label(a, d, s, step, &d->labels[i], n_permutations, err) != 0)
            return -1;
    if (measure_pairs(a, d, s, step, n_permutations, err) != 0 ||
        measure_given_token(a, d, s, step, n_permutations, err) != 0 ||
        measure_value(a, d, s, step, LABEL_TOKEN, s->token, n_permutations, err) != 0 ||
        measure_value(a, d, s, step, LABEL_NEXT_TOKEN, s->next, n_permutations, err) != 0 ||
        measure_value(a, d, s, step, LABEL_POSITION, s->position, n_permutations, err) != 0)
        return -1;
    return 0;
}

int associations_adjust(struct associations *a, int64_t step, struct error *err)
{
    int n = 0;
    double *p = malloc(((size_t)a->n + 1) * sizeof *p);
    if (!p)
        return error_no_memory(err, "the information");
    for (int i = 0; i < a->n; i++)
        if (a->items[i].step == step)
            p[n++] = a->items[i].null.p;
    int result = benjamini_hochberg(p, n, p, err);
    n = 0;
    for (int i = 0; i < a->n; i++)
        if (a->items[i].step == step)
            a->items[i].q = p[n++];
    free(p);
    return result;
}

bool association_holds(const struct association *x)
{
    return x->null.observed > 0 && x->q <= significant && !(x->interval.low <= 0);
}

double association_ceiling(const struct association *x)
{
    return log(x->n_labels < x->n_experts ? x->n_labels : x->n_experts);
}

const struct association *associations_find(const struct associations *a, int layer, const char *label,
                                            int64_t step)
{
    for (int i = 0; i < a->n; i++)
        if (a->items[i].layer == layer && a->items[i].step == step && strcmp(a->items[i].label, label) == 0)
            return &a->items[i];
    return NULL;
}

int association_growth(const struct documents *d, const struct association *before,
                       const struct association *after, struct interval *growth, struct error *err)
{
    struct bootstrap_options o = bootstrap_defaults();
    struct random r = random_for(after->layer, "growth");
    return bootstrap_difference(after->by_document, after->decisions, before->by_document, before->decisions,
                                d->labels[0].value, d->n_documents, &o, &r, growth, err);
}
