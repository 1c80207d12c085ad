#include "analysis/shared/question.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/values.h"

void questions_release(struct questions *q)
{
    for (int i = 0; i < q->n; i++) {
        free(q->items[i].label);
        free(q->items[i].both);
        free(q->items[i].given);
        free(q->items[i].value);
    }
    free(q->items);
    *q = (struct questions){0};
}

static struct question *add(struct questions *q, enum question_kind kind, const char *name, struct error *err)
{
    if (q->n == q->capacity) {
        int capacity = q->capacity ? 2 * q->capacity : 32;
        struct question *items = realloc(q->items, (size_t)capacity * sizeof *items);
        if (!items) {
            error_no_memory(err, "the information");
            return NULL;
        }
        q->items = items;
        q->capacity = capacity;
    }
    struct question *x = &q->items[q->n++];
    *x = (struct question){.kind = kind};
    snprintf(x->name, sizeof x->name, "%s", name);
    return x;
}

static int *new_labels(int n_documents)
{
    return malloc(((size_t)n_documents + 1) * sizeof(int));
}

/* ---- labels of documents ---- */

static int add_label(struct questions *q, const struct documents *d, enum question_kind kind,
                     const char *name, const struct labels_of *label, struct error *err)
{
    struct question *x = add(q, kind, name, err);
    if (!x)
        return -1;
    x->n_labels = label->n_values;
    if (!(x->label = new_labels(d->n_documents)))
        return error_no_memory(err, "the information");
    memcpy(x->label, label->value, (size_t)d->n_documents * sizeof *x->label);
    return 0;
}

/* ---- one label with another held fixed ---- */

/* Where the documents of a value of `given` all have one label: it becomes the label's number, -1 where there
 * is none yet and -2 where they differ. only: (given->n_values). */
static void find_uniform(const struct labels_of *label, const struct labels_of *given, int n_documents,
                         int *only)
{
    for (int i = 0; i < given->n_values; i++)
        only[i] = -1;
    for (int d = 0; d < n_documents; d++) {
        int *of = &only[given->value[d] < 0 ? 0 : given->value[d]];
        if (given->value[d] < 0 || label->value[d] < 0)
            continue;
        *of = *of == -1 || *of == label->value[d] ? label->value[d] : -2;
    }
}

static void pair_labels(struct question *x, const struct labels_of *label, const struct labels_of *given,
                        int n_documents, const int *only)
{
    for (int d = 0; d < n_documents; d++) {
        int l = label->value[d], g = given->value[d];
        bool concerned = l >= 0 && g >= 0 && only[g] == -2;
        x->label[d] = concerned ? l : -1;
        x->given[d] = concerned ? g : -1;
        x->both[d] = concerned ? l * given->n_values + g : -1;
    }
}

static int add_given(struct questions *q, const struct documents *d, const struct labels_of *label,
                     const struct labels_of *given, struct error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%.30s|%.30s", label->key, given->key);
    int *only = malloc(((size_t)given->n_values + 1) * sizeof *only);
    struct question *x = only ? add(q, ASKS_LABEL_GIVEN, name, err) : NULL;
    if (!x) {
        free(only);
        return only ? -1 : error_no_memory(err, "the information");
    }
    x->n_labels = label->n_values;
    x->n_both = label->n_values * given->n_values;
    x->n_given = given->n_values;
    x->label = new_labels(d->n_documents);
    x->both = new_labels(d->n_documents);
    x->given = new_labels(d->n_documents);
    int result = x->label && x->both && x->given ? 0 : error_no_memory(err, "the information");
    if (result == 0) {
        find_uniform(label, given, d->n_documents, only);
        pair_labels(x, label, given, d->n_documents, only);
    }
    free(only);
    return result;
}

/* The domain is usually made of the other labels and takes no part. */
enum { MOST_LABELS_PAIRED = 4 };

static int add_pairs(struct questions *q, const struct documents *d, struct error *err)
{
    for (int i = 1; i < d->n_labels && d->n_labels - 1 <= MOST_LABELS_PAIRED; i++)
        for (int j = 1; j < d->n_labels; j++)
            if (i != j && add_given(q, d, &d->labels[i], &d->labels[j], err) != 0)
                return -1;
    return 0;
}

/* ---- what changes from token to token ---- */

static int32_t token_of(const struct probe_sample *s, int t)
{
    return s->ids[t];
}

static int32_t next_of(const struct probe_sample *s, int t)
{
    return s->ids[t + 1];
}

static int32_t position_of(const struct probe_sample *s, int t)
{
    (void)s;
    return t;
}

static int order_of_ids(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

/* Numbers values from 0 without gaps, in place; returns how many there are. sorted: (n) scratch. */
static int number_densely(int32_t *value, int64_t n, int32_t *sorted)
{
    int n_values = 0;
    if (n > 0)
        memcpy(sorted, value, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, order_of_ids);
    for (int64_t i = 0; i < n; i++)
        if (n_values == 0 || sorted[n_values - 1] != sorted[i])
            sorted[n_values++] = sorted[i];
    for (int64_t i = 0; i < n; i++) {
        const int32_t *place = bsearch(&value[i], sorted, (size_t)n_values, sizeof *sorted, order_of_ids);
        value[i] = (int32_t)(place - sorted);
    }
    return n_values;
}

/* In the order of struct routed: sample after sample. */
static int add_value(struct questions *q, const struct documents *d, const char *name,
                     int32_t (*value_of)(const struct probe_sample *, int), struct error *err)
{
    size_t n_tokens = (size_t)d->n_tokens + 1;
    struct question *x = add(q, ASKS_VALUE, name, err);
    int32_t *sorted = malloc(n_tokens * sizeof *sorted);
    int64_t n = 0;
    if (x)
        x->value = malloc(n_tokens * sizeof *x->value);
    if (!x || !x->value || !sorted) {
        free(sorted);
        return error_no_memory(err, "the information");
    }
    for (int i = 0; i < d->n_samples; i++)
        for (int t = 0; t < d->samples[i].n_tokens; t++)
            x->value[n++] = value_of(&d->samples[i], t);
    x->n_labels = number_densely(x->value, n, sorted);
    free(sorted);
    return 0;
}

int questions_of_domain(struct questions *q, const struct documents *d, struct error *err)
{
    *q = (struct questions){0};
    return add_label(q, d, ASKS_LABEL, d->labels[0].key, &d->labels[0], err);
}

int questions_prepare(struct questions *q, const struct documents *d, bool ids_known, struct error *err)
{
    *q = (struct questions){0};
    int result = 0;
    for (int i = 0; i < d->n_labels && result == 0; i++)
        result = add_label(q, d, ASKS_LABEL, d->labels[i].key, &d->labels[i], err);
    if (result == 0)
        result = add_pairs(q, d, err);
    if (result == 0 && ids_known)
        result = add_label(q, d, ASKS_LABEL_GIVEN_TOKEN, QUESTION_DOMAIN_GIVEN_TOKEN, &d->labels[0], err);
    if (result == 0 && ids_known)
        result = add_value(q, d, QUESTION_TOKEN, token_of, err);
    if (result == 0 && ids_known)
        result = add_value(q, d, QUESTION_NEXT_TOKEN, next_of, err);
    if (result == 0)
        result = add_value(q, d, QUESTION_POSITION, position_of, err);
    if (result != 0)
        questions_release(q);
    return result;
}

bool question_concerns(const struct question *q, int document)
{
    return !q->label || q->label[document] >= 0;
}

/* ---- answers ---- */

static struct labelling label_of(const struct question *q, const struct documents *d)
{
    return (struct labelling){d->n_documents, q->n_labels, q->label, NULL};
}

static struct value_stream values_of(const struct question *q, const struct documents *d,
                                     const struct routed *s)
{
    return (struct value_stream){d->n_documents, q->n_labels, s->n_experts, s->first, q->value, s->slots};
}

/* I(expert; label | given) = I(expert; both) - I(expert; given); the null exchanges labels among documents of
 * equal `given`, so that it holds what `given` tells by itself. */
static struct labelling both_of(const struct question *q, const struct documents *d)
{
    return (struct labelling){d->n_documents, q->n_both, q->both, q->given};
}

static int answer_given(const struct question *q, const struct documents *d, const struct routed *s,
                        struct random *r, double *nats, double *by_document, struct error *err)
{
    struct labelling both = both_of(q, d), given = {d->n_documents, q->n_given, q->given, NULL};
    struct information_options o = information_defaults(s->n_experts);
    double of_given, *given_by_document = malloc(((size_t)d->n_documents + 1) * sizeof *given_by_document);
    if (!given_by_document)
        return error_no_memory(err, "the information");
    int result = document_information(&both, s->count, s->n_experts, &o, r, nats, by_document, err);
    if (result == 0)
        result =
            document_information(&given, s->count, s->n_experts, &o, r, &of_given, given_by_document, err);
    if (result == 0) {
        *nats -= of_given;
        for (int i = 0; i < d->n_documents; i++)
            by_document[i] -= given_by_document[i];
    }
    free(given_by_document);
    return result;
}

int question_answer(const struct question *q, const struct documents *d, const struct routed *s,
                    struct random *r, double *nats, double *by_document, struct error *err)
{
    struct information_options o = information_defaults(s->n_experts);
    struct labelling l = label_of(q, d);
    struct value_stream v = values_of(q, d, s);
    struct token_cell *cells;
    int64_t n;
    switch (q->kind) {
    case ASKS_LABEL:
        return document_information(&l, s->count, s->n_experts, &o, r, nats, by_document, err);
    case ASKS_LABEL_GIVEN:
        return answer_given(q, d, s, r, nats, by_document, err);
    case ASKS_VALUE:
        return value_information(&v, &o, r, nats, by_document, err);
    case ASKS_LABEL_GIVEN_TOKEN:
        break;
    }
    if (routed_cells(s, d, s->token, false, &cells, &n, err) != 0)
        return -1;
    int result = token_information(&l, cells, n, s->n_experts, &o, r, nats, by_document, err);
    free(cells);
    return result;
}

/* The null of both labels together, less what the one held fixed tells: it does not vary. */
static int null_given(const struct question *q, const struct documents *d, const struct routed *s,
                      int n_permutations, struct random *r, struct permutation_null *null, struct error *err)
{
    struct labelling both = both_of(q, d), given = {d->n_documents, q->n_given, q->given, NULL};
    struct information_options o = information_defaults(s->n_experts);
    struct random dealt = *r;
    double nats, of_given;
    if (document_information(&both, s->count, s->n_experts, &o, &dealt, &nats, NULL, err) != 0 ||
        document_information(&given, s->count, s->n_experts, &o, &dealt, &of_given, NULL, err) != 0 ||
        document_information_null(&both, s->count, s->n_experts, &o, n_permutations, r, null, err) != 0)
        return -1;
    null->observed -= of_given;
    null->mean -= of_given;
    null->low -= of_given;
    null->high -= of_given;
    return 0;
}

int question_null(const struct question *q, const struct documents *d, const struct routed *s,
                  int n_permutations, struct random *r, struct permutation_null *null, struct error *err)
{
    struct information_options o = information_defaults(s->n_experts);
    struct labelling l = label_of(q, d);
    struct value_stream v = values_of(q, d, s);
    struct token_cell *cells;
    int64_t n;
    switch (q->kind) {
    case ASKS_LABEL:
        return document_information_null(&l, s->count, s->n_experts, &o, n_permutations, r, null, err);
    case ASKS_LABEL_GIVEN:
        return null_given(q, d, s, n_permutations, r, null, err);
    case ASKS_VALUE:
        return value_information_null(&v, &o, n_permutations, r, null, err);
    case ASKS_LABEL_GIVEN_TOKEN:
        break;
    }
    if (routed_cells(s, d, s->token, false, &cells, &n, err) != 0)
        return -1;
    int result = token_information_null(&l, cells, n, s->n_experts, &o, n_permutations, r, null, err);
    free(cells);
    return result;
}
