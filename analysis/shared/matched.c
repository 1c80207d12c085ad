#include "analysis/shared/matched.h"

#include <math.h>
#include <stdlib.h>

/* One token's first choices in both runs. */
struct choices {
    const struct probe_entry **a, **b; /* (n_samples) of one layer, by document */
    int n_samples, n_documents;
    int64_t *offset;
    int32_t *first[2];
    int *stratum; /* (n_documents) domain */
};

static void choices_release(struct choices *c)
{
    free(c->a);
    free(c->b);
    free(c->offset);
    free(c->first[0]);
    free(c->first[1]);
    free(c->stratum);
}

static int by_document(const void *left, const void *right)
{
    const struct probe_entry *a = *(const struct probe_entry *const *)left;
    const struct probe_entry *b = *(const struct probe_entry *const *)right;
    if (a->document_id != b->document_id)
        return a->document_id < b->document_id ? -1 : 1;
    return (a->sample_id > b->sample_id) - (a->sample_id < b->sample_id);
}

/* The samples that both runs routed through the layer. */
static int64_t common_samples(struct choices *c, const struct probe_pass *a, const struct probe_pass *b,
                              int layer)
{
    int64_t tokens = 0;
    for (int i = 0; i < a->n; i++) {
        const struct probe_entry *e = &a->entries[i], *other = probe_pass_find(b, layer, e->sample_id);
        if (e->layer != layer || !other || other->slots.n_tokens != e->slots.n_tokens)
            continue;
        c->a[c->n_samples++] = e;
        tokens += e->slots.n_tokens;
    }
    qsort(c->a, (size_t)c->n_samples, sizeof *c->a, by_document);
    for (int i = 0; i < c->n_samples; i++)
        c->b[i] = probe_pass_find(b, layer, c->a[i]->sample_id);
    return tokens;
}

/* Tokens to which one of the routers gave no expert are left out. */
static void fill_choices(struct choices *c)
{
    int64_t n = 0;
    for (int i = 0; i < c->n_samples; i++) {
        const struct slots *a = &c->a[i]->slots, *b = &c->b[i]->slots;
        if (i == 0 || c->a[i]->document_id != c->a[i - 1]->document_id) {
            c->stratum[c->n_documents] = (int)c->a[i]->domain_id;
            c->offset[c->n_documents++] = n;
        }
        for (int t = 0; t < a->n_tokens; t++)
            if (a->offset[t] < a->offset[t + 1] && b->offset[t] < b->offset[t + 1]) {
                c->first[0][n] = a->expert[a->offset[t]];
                c->first[1][n++] = b->expert[b->offset[t]];
            }
    }
    c->offset[c->n_documents] = n;
}

static int choices_init(struct choices *c, const struct probe_pass *a, const struct probe_pass *b, int layer,
                        struct error *err)
{
    size_t n = (size_t)a->n + 1;
    *c = (struct choices){.a = malloc(n * sizeof *c->a), .b = malloc(n * sizeof *c->b)};
    int64_t tokens = c->a && c->b ? common_samples(c, a, b, layer) : 0;
    c->offset = malloc(n * sizeof *c->offset);
    c->stratum = malloc(n * sizeof *c->stratum);
    c->first[0] = malloc(((size_t)tokens + 1) * sizeof **c->first);
    c->first[1] = malloc(((size_t)tokens + 1) * sizeof **c->first);
    if (c->a && c->b && c->offset && c->stratum && c->first[0] && c->first[1]) {
        fill_choices(c);
        return 0;
    }
    choices_release(c);
    return error_no_memory(err, "the probe's routing");
}

static int measure(const struct choices *ch, int n_experts, uint64_t seed, struct matched_routing *m,
                   struct error *err)
{
    struct paired_choices p = {ch->n_documents, n_experts, ch->offset, ch->first[0], ch->first[1]};
    struct interval_options options = interval_defaults();
    struct random r;
    size_t n = (size_t)ch->n_documents + 1;
    double *same = calloc(n, sizeof *same), *tokens = calloc(n, sizeof *tokens);
    int result = same && tokens ? 0 : error_no_memory(err, "the probe's routing");
    random_seed(&r, seed, 1);
    if (result == 0)
        result = matched_agreement(&p, &r, &m->agreement, same, err);
    for (int d = 0; d < ch->n_documents && result == 0; d++)
        tokens[d] = (double)(ch->offset[d + 1] - ch->offset[d]);
    random_seed(&r, seed, 0);
    if (result == 0 && isfinite(m->agreement.agreement))
        result = ratio_interval(same, tokens, ch->stratum, ch->n_documents, &options, &r, &m->interval, err);
    free(same);
    free(tokens);
    return result;
}

int matched_routing(const struct probe_pass *a, const struct probe_pass *b, int layer, int n_experts,
                    uint64_t seed, struct matched_routing *m, struct error *err)
{
    struct choices choices;
    *m = (struct matched_routing){.interval = {NAN, NAN, NAN, NAN, 0, 0}};
    if (choices_init(&choices, a, b, layer, err) != 0)
        return -1;
    m->documents = choices.n_documents;
    int result = measure(&choices, n_experts, seed, m, err);
    choices_release(&choices);
    return result;
}
