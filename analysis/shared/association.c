#include "analysis/shared/association.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* Documents that take part, and how many decisions of theirs do. */
static void take_part(struct association *x, const struct documents *d, const struct routed *s,
                      const struct question *q)
{
    for (int i = 0; i < d->n_documents; i++) {
        x->decisions[i] = question_concerns(q, i) ? s->decisions[i] : 0;
        x->n_documents += x->decisions[i] > 0;
    }
}

/* The null's own estimate deals the same folds, since it starts from the same random numbers, so that both
 * are one figure. */
static int measure(struct associations *a, const struct question *q, const struct documents *d,
                   const struct routed *s, int64_t step, int n_permutations, struct error *err)
{
    struct random r = random_for(s->layer, q->name), again = r, signs = random_for(s->layer, "interval");
    struct interval_options o = interval_defaults();
    struct association *x = add(a, d, s, q->name, step, err);
    double nats;
    if (!x)
        return -1;
    x->n_labels = q->n_labels;
    take_part(x, d, s, q);
    if (question_answer(q, d, s, &r, &nats, x->by_document, err) != 0 ||
        question_null(q, d, s, n_permutations, &again, &x->null, err) != 0)
        return -1;
    return ratio_interval(x->by_document, x->decisions, d->labels[0].value, d->n_documents, &o, &signs,
                          &x->interval, err);
}

int associations_measure(struct associations *a, const struct questions *q, const struct documents *d,
                         const struct routed *s, int64_t step, int n_permutations, struct hashed *h,
                         struct error *err)
{
    int first = a->n;
    for (int i = 0; i < q->n; i++)
        if (measure(a, &q->items[i], d, s, step, n_permutations, err) != 0)
            return -1;
    if (hashed_measure(h, q, d, s, err) != 0)
        return -1;
    for (int i = 0; i < q->n; i++)
        a->items[first + i].hash = h->answers[i];
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

bool association_beyond_hash(const struct association *x)
{
    return x->interval.low > x->hash.high;
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
    struct interval_options o = interval_defaults();
    struct random r = random_for(after->layer, "growth");
    return difference_interval(after->by_document, after->decisions, before->by_document, before->decisions,
                               d->labels[0].value, d->n_documents, &o, &r, growth, err);
}
