#include "analysis/shared/routed.h"

#include <stdlib.h>
#include <string.h>

void routed_release(struct routed *s)
{
    free(s->token);
    free(s->next);
    free(s->position);
    free(s->first);
    free(s->count);
    free(s->tokens);
    free(s->decisions);
    free(s->memory);
    *s = (struct routed){0};
}

static int allocate(struct routed *s, const struct documents *d, int64_t n_decisions, struct error *err)
{
    size_t n_tokens = (size_t)d->n_tokens + 1, n_documents = (size_t)d->n_documents + 1;
    s->token = malloc(n_tokens * sizeof *s->token);
    s->next = malloc(n_tokens * sizeof *s->next);
    s->position = malloc(n_tokens * sizeof *s->position);
    s->first = calloc(n_documents, sizeof *s->first);
    s->count = calloc(n_documents * (size_t)s->n_experts, sizeof *s->count);
    s->tokens = calloc(n_documents, sizeof *s->tokens);
    s->decisions = calloc(n_documents, sizeof *s->decisions);
    s->memory = malloc((n_tokens + (size_t)n_decisions) * sizeof *s->memory);
    if (s->token && s->next && s->position && s->first && s->count && s->tokens && s->decisions && s->memory)
        return 0;
    routed_release(s);
    return error_no_memory(err, "the probe's routing");
}

static void count_token(struct routed *s, int document, const int32_t *expert, int32_t n)
{
    s->tokens[document] += n > 0;
    s->decisions[document] += n;
    for (int32_t i = 0; i < n; i++)
        s->count[document * s->n_experts + expert[i]]++;
}

/* entry: what the pass did with the sample; NULL: nothing. */
static void add_sample(struct routed *s, const struct probe_sample *sample, const struct slots *entry,
                       int32_t *offset, int32_t *expert)
{
    for (int t = 0; t < sample->n_tokens; t++) {
        int32_t at = entry ? entry->offset[t] : 0, n = entry ? entry->offset[t + 1] - at : 0;
        if (s->first_choices && n > 1)
            n = 1;
        s->token[s->n_tokens] = sample->ids[t];
        s->next[s->n_tokens] = sample->ids[t + 1];
        s->position[s->n_tokens] = t;
        if (n > 0)
            memcpy(expert + offset[s->n_tokens], entry->expert + at, (size_t)n * sizeof *expert);
        count_token(s, sample->document, expert + offset[s->n_tokens], n);
        offset[s->n_tokens + 1] = offset[s->n_tokens] + n;
        s->n_tokens++;
    }
}

/* A sample's tokens never change, but a damaged logbook may say otherwise. */
static const struct slots *slots_of(const struct probe_pass *pass, int layer,
                                    const struct probe_sample *sample)
{
    const struct probe_entry *e = probe_pass_find(pass, layer, sample->sample_id);
    return e && e->slots.n_tokens == sample->n_tokens ? &e->slots : NULL;
}

int routed_init(struct routed *s, const struct documents *d, const struct probe_pass *pass, int layer,
                int n_experts, struct error *err)
{
    int64_t n_decisions = 0, n_tokens = 0;
    for (int i = 0; i < pass->n; i++)
        if (pass->entries[i].layer == layer) {
            n_decisions += pass->entries[i].slots.offset[pass->entries[i].slots.n_tokens];
            n_tokens += pass->entries[i].slots.n_tokens;
        }
    *s = (struct routed){.layer = layer,
                         .n_experts = n_experts,
                         .first_choices =
                             n_experts > 1 && n_tokens > 0 && n_decisions == n_tokens * n_experts};
    if (allocate(s, d, n_decisions, err) != 0)
        return -1;
    int32_t *offset = s->memory, *expert = s->memory + d->n_tokens + 1;
    offset[0] = 0;
    for (int i = 0; i < d->n_samples; i++) {
        add_sample(s, &d->samples[i], slots_of(pass, layer, &d->samples[i]), offset, expert);
        s->first[d->samples[i].document + 1] = s->n_tokens;
    }
    /* Documents without samples are empty. */
    for (int document = 0; document < d->n_documents; document++)
        if (s->first[document + 1] < s->first[document])
            s->first[document + 1] = s->first[document];
    s->slots = (struct slots){s->n_tokens, offset, expert};
    return 0;
}

struct slots routed_part(const struct routed *s, int first, int n)
{
    return (struct slots){n, s->slots.offset + first, s->slots.expert};
}

struct slots routed_document(const struct routed *s, int document)
{
    return routed_part(s, s->first[document], s->first[document + 1] - s->first[document]);
}

int routed_cells(const struct routed *s, const struct documents *d, const int32_t *token, bool first_choices,
                 struct token_cell **cells, int64_t *n, struct error *err)
{
    *n = 0;
    *cells = malloc(((size_t)s->slots.offset[s->n_tokens] + 1) * sizeof **cells);
    if (!*cells)
        return error_no_memory(err, "the tokens' routing");
    for (int document = 0; document < d->n_documents; document++)
        for (int32_t t = s->first[document]; t < s->first[document + 1]; t++)
            for (int32_t i = s->slots.offset[t]; i < s->slots.offset[t + 1]; i++) {
                (*cells)[(*n)++] = (struct token_cell){token[t], document, s->slots.expert[i], 1};
                if (first_choices)
                    break;
            }
    *n = token_cells_merge(*cells, *n);
    return 0;
}
