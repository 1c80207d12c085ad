#include "analysis/shared/hashed.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/hash_router.h"
#include "metrics/sample.h"

void hashed_release(struct hashed *h)
{
    free(h->answers);
    free(h->offset);
    *h = (struct hashed){0};
}

static bool has_shape_of(const struct hashed *h, const struct routed *s)
{
    return h->answers && h->n_experts == s->n_experts && h->n_tokens == s->n_tokens &&
           memcmp(h->offset, s->slots.offset, ((size_t)s->n_tokens + 1) * sizeof *h->offset) == 0;
}

static int take_shape(struct hashed *h, const struct routed *s, int n_questions, struct error *err)
{
    size_t size = ((size_t)s->n_tokens + 1) * sizeof *h->offset;
    hashed_release(h);
    h->answers = calloc((size_t)n_questions + 1, sizeof *h->answers);
    h->offset = malloc(size);
    if (!h->answers || !h->offset) {
        hashed_release(h);
        return error_no_memory(err, "hash routers");
    }
    memcpy(h->offset, s->slots.offset, size);
    h->n_experts = s->n_experts;
    h->n_tokens = s->n_tokens;
    return 0;
}

/* Decisions by document of other choices. */
static void count_choices(const struct documents *d, const struct routed *s, double *count)
{
    memset(count, 0, (size_t)d->n_documents * (size_t)s->n_experts * sizeof *count);
    for (int i = 0; i < d->n_documents; i++)
        for (int32_t j = s->slots.offset[s->first[i]]; j < s->slots.offset[s->first[i + 1]]; j++)
            count[i * s->n_experts + s->slots.expert[j]]++;
}

/* One router: nats[question * HASH_ROUTERS]. s has its choices. */
static int ask_one(const struct questions *q, const struct documents *d, const struct routed *s,
                   double *by_document, double *nats, struct random *r, struct error *err)
{
    for (int i = 0; i < q->n; i++)
        if (question_answer(&q->items[i], d, s, r, &nats[(size_t)i * HASH_ROUTERS], by_document, err) != 0)
            return -1;
    return 0;
}

/* expert, count: what each router's choices go into. */
static int ask_all(const struct questions *q, const struct documents *d, const struct routed *s,
                   int32_t *expert, double *count, double *by_document, double *nats, struct error *err)
{
    struct hash_router router;
    struct routed hashed = *s;
    int result = hash_router_init(&router, &s->slots, s->token, s->n_experts, err);
    hashed.slots.expert = expert;
    hashed.count = count;
    for (int i = 0; i < HASH_ROUTERS && result == 0; i++) {
        struct random r;
        random_seed(&r, 4, (uint64_t)i);
        hash_router_draw(&router, &r, expert);
        count_choices(d, &hashed, count);
        result = ask_one(q, d, &hashed, by_document, nats + i, &r, err);
    }
    hash_router_release(&router);
    return result;
}

static void summarise(double *nats, struct hash_answer *answer)
{
    answer->mean = 0;
    for (int i = 0; i < HASH_ROUTERS; i++)
        answer->mean += nats[i] / HASH_ROUTERS;
    sample_sort(nats, HASH_ROUTERS);
    answer->low = quantile_sorted(nats, HASH_ROUTERS, 0.025);
    answer->high = quantile_sorted(nats, HASH_ROUTERS, 0.975);
}

int hashed_measure(struct hashed *h, const struct questions *q, const struct documents *d,
                   const struct routed *s, struct error *err)
{
    size_t n_decisions = (size_t)s->slots.offset[s->n_tokens], n_documents = (size_t)d->n_documents;
    int32_t *expert = malloc((n_decisions + 1) * sizeof *expert);
    double *count = malloc((n_documents * (size_t)s->n_experts + 1) * sizeof *count);
    double *by_document = malloc((n_documents + 1) * sizeof *by_document);
    double *nats = malloc(((size_t)q->n + 1) * HASH_ROUTERS * sizeof *nats);
    int result = expert && count && by_document && nats ? 0 : error_no_memory(err, "hash routers");
    bool known = has_shape_of(h, s);
    if (result == 0 && !known)
        result = take_shape(h, s, q->n, err);
    if (result == 0 && !known)
        result = ask_all(q, d, s, expert, count, by_document, nats, err);
    for (int i = 0; i < q->n && result == 0 && !known; i++)
        summarise(nats + (size_t)i * HASH_ROUTERS, &h->answers[i]);
    free(expert);
    free(count);
    free(by_document);
    free(nats);
    return result;
}
