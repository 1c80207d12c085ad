#include "engine/data.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"

/* Which documents, and how much of each. */
struct excerpt {
    enum corpus_split split;
    int context;
    int64_t tokens_per_document; /* 0: all */
    int documents_per_domain;    /* 0: all */
};

static int count_or_fill(struct samples *s, const struct corpus *c, const struct excerpt *e, int *taken)
{
    int n = 0;

    memset(taken, 0, (size_t)c->n_domains * sizeof *taken);
    for (int d = 0; d < c->n_documents; d++) {
        const struct document *document = &c->documents[d];
        int64_t left = document->n_ids - 1;
        if (document->split != e->split ||
            (e->documents_per_domain > 0 && taken[document->domain]++ >= e->documents_per_domain))
            continue;
        if (e->tokens_per_document > 0 && left > e->tokens_per_document)
            left = e->tokens_per_document;
        for (int64_t offset = 0; offset < left; offset += e->context, n++) {
            int tokens = (int)(left - offset < e->context ? left - offset : e->context);
            if (s->items) {
                s->items[n] = (struct sample){d, (int)offset, tokens};
                s->n_tokens += tokens;
            }
        }
    }
    return n;
}

static int fill(struct samples *s, const struct corpus *c, const struct excerpt *e, struct error *err)
{
    int *taken = malloc((size_t)c->n_domains * sizeof *taken), result = -1;

    *s = (struct samples){0};
    s->n = taken ? count_or_fill(s, c, e, taken) : 0;
    s->items = malloc(((size_t)s->n + 1) * sizeof *s->items);
    if (!taken || !s->items) {
        error_no_memory(err, "the list of samples");
    } else if (s->n == 0) {
        error_set(err, STATUS_INPUT, "corpus '%s' has no %s documents", c->name,
                  corpus_split_names[e->split]);
    } else {
        count_or_fill(s, c, e, taken);
        result = 0;
    }
    free(taken);
    if (result)
        samples_release(s);
    return result;
}

int samples_init(struct samples *s, const struct corpus *c, enum corpus_split split, int context,
                 int64_t tokens_per_document, struct error *err)
{
    return fill(s, c, &(struct excerpt){split, context, tokens_per_document, 0}, err);
}

int samples_init_seen(struct samples *s, const struct corpus *c, int context, int64_t tokens_per_document,
                      int documents_per_domain, struct error *err)
{
    return fill(s, c, &(struct excerpt){SPLIT_TRAIN, context, tokens_per_document, documents_per_domain},
                err);
}

void samples_release(struct samples *s)
{
    free(s->items);
    *s = (struct samples){0};
}

/* ---- the training stream ---- */

static void shuffle_epoch(struct stream *s)
{
    struct random r;

    random_seed(&r, s->seed, 0x6461746100000000U + (uint64_t)s->epoch);
    for (int i = 0; i < s->samples->n; i++)
        s->order[i] = i;
    random_shuffle(&r, s->order, s->samples->n);
}

int stream_init(struct stream *s, const struct samples *samples, uint64_t seed, struct error *err)
{
    *s = (struct stream){.samples = samples, .seed = seed};
    s->order = malloc((size_t)samples->n * sizeof *s->order);
    if (!s->order)
        return error_no_memory(err, "the order of samples");
    shuffle_epoch(s);
    return 0;
}

void stream_release(struct stream *s)
{
    free(s->order);
    *s = (struct stream){0};
}

void stream_seek(struct stream *s, int64_t epoch, int next)
{
    s->epoch = epoch;
    s->next = next;
    shuffle_epoch(s);
}

const struct sample *stream_peek(struct stream *s)
{
    if (s->next == s->samples->n)
        stream_seek(s, s->epoch + 1, 0);
    return &s->samples->items[s->order[s->next]];
}

void stream_advance(struct stream *s)
{
    s->next++;
}

/* ---- batches ---- */

int packed_init(struct packed *p, int max_tokens, struct error *err)
{
    size_t n = (size_t)max_tokens;

    *p = (struct packed){.max_tokens = max_tokens};
    p->batch.input = malloc(n * sizeof(int32_t));
    p->batch.target = malloc(n * sizeof(int32_t));
    p->batch.position = malloc(n * sizeof(int32_t));
    p->batch.start = malloc((n + 1) * sizeof(int32_t));
    p->sample = malloc(n * sizeof *p->sample);
    if (p->batch.input && p->batch.target && p->batch.position && p->batch.start && p->sample)
        return 0;
    packed_release(p);
    return error_no_memory(err, "a batch");
}

void packed_release(struct packed *p)
{
    free(p->batch.input);
    free(p->batch.target);
    free(p->batch.position);
    free(p->batch.start);
    free(p->sample);
    *p = (struct packed){0};
}

struct pass packed_pass(const struct packed *p, const struct model *m)
{
    return (struct pass){.n_sequences = p->batch.n_sequences,
                         .start = p->batch.start,
                         .sample = p->sample,
                         .input = p->batch.input,
                         .target = p->batch.target,
                         .loss = m->token_loss,
                         .layers = m->routed,
                         .n_layers = m->n_routed};
}

static void clear(struct packed *p)
{
    p->batch.n_tokens = 0;
    p->batch.n_sequences = 0;
    p->batch.start[0] = 0;
}

static int add_sample(struct packed *p, const struct corpus *c, const struct sample *s)
{
    struct batch *b = &p->batch;
    const int32_t *ids = c->ids + c->documents[s->document].first + s->offset;

    if (b->n_tokens + s->n_tokens > p->max_tokens)
        return 0;
    p->sample[b->n_sequences] = s;
    for (int i = 0; i < s->n_tokens; i++, b->n_tokens++) {
        b->input[b->n_tokens] = ids[i];
        b->target[b->n_tokens] = ids[i + 1];
        b->position[b->n_tokens] = i;
    }
    b->start[++b->n_sequences] = b->n_tokens;
    return 1;
}

void packed_from_stream(struct packed *p, const struct corpus *c, struct stream *s)
{
    clear(p);
    while (add_sample(p, c, stream_peek(s)))
        stream_advance(s);
}

int packed_in_order(struct packed *p, const struct corpus *c, const struct samples *s, int *next)
{
    clear(p);
    while (*next < s->n && add_sample(p, c, &s->items[*next]))
        (*next)++;
    return p->batch.n_sequences > 0;
}
