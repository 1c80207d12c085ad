/* Decisions, tokens and losses in bulk: blobs straight into arrays, a chunk of sequences at a time, by
 * whichever thread. */
#include <stdlib.h>
#include <string.h>

#include "sql/crew.h"
#include "sql/reader.h"

enum { SEQUENCES = 32 }; /* of a chunk: some milliseconds of decoding, some megabytes */

/* ---- a chunk ---- */

struct decoded {
    struct contents contents[SEQUENCES];
    char split[SEQUENCES][sizeof((struct scan_sequence *)0)->split];
    struct block *blocks;        /* (n) as the caller is given them */
    struct decisions *decisions; /* (capacity) what they point to */
    int n, capacity;
    bool failed; /* behind those n */
    struct error err;
};

static void *decoded_new(void)
{
    return calloc(1, sizeof(struct decoded));
}

static void decoded_free(void *result)
{
    struct decoded *r = result;
    for (int i = 0; i < SEQUENCES; i++) {
        contents_release(&r->contents[i]);
    }
    for (int i = 0; i < r->capacity; i++) {
        decisions_release(&r->decisions[i]);
    }
    free(r->blocks);
    free(r->decisions);
    free(r);
}

/* Room for one more block. */
static int decoded_grow(struct decoded *r, struct error *err)
{
    int capacity = r->capacity > 0 ? 2 * r->capacity : SEQUENCES;
    if (r->n < r->capacity) {
        return 0;
    }
    struct block *blocks = realloc(r->blocks, (size_t)capacity * sizeof *blocks);
    if (blocks == NULL) {
        return error_no_memory(err, "decoded blocks");
    }
    r->blocks = blocks;
    struct decisions *decisions = realloc(r->decisions, (size_t)capacity * sizeof *decisions);
    if (decisions == NULL) {
        return error_no_memory(err, "decoded blocks");
    }
    r->decisions = decisions;
    memset(decisions + r->capacity, 0, (size_t)(capacity - r->capacity) * sizeof *decisions);
    r->capacity = capacity;
    return 0;
}

/* The block that the scan has come to, of sequence i of the chunk. */
static int add_block(struct decoded *r, const struct scan *s, int i, struct error *err)
{
    const struct scan_sequence *q = &s->sequence;
    const struct scan_block *b = &s->block;
    if (decoded_grow(r, err) != 0) {
        return -1;
    }
    struct decisions *d = &r->decisions[r->n];
    if (packed_block_unpack(&b->packed, q->n_tokens, b->n_experts, b->n_decisions, d) != NULL) {
        return error_no_memory(err, "a block's decisions");
    }
    r->blocks[r->n++] = (struct block){
        .step = q->step,
        .sequence_id = q->sequence_id,
        .sample_id = q->sample_id,
        .document_id = q->document_id,
        .domain_id = q->domain_id,
        .offset = q->offset,
        .split = r->split[i],
        .layer = b->layer,
        .n_experts = b->n_experts,
        .n_tokens = q->n_tokens,
        .n_decisions = d->n,
        .offsets = d->offsets,
        .expert = d->expert,
        .gate = d->gate,
        .dropped = d->dropped,
        .ids = r->contents[i].ids,
        .loss = r->contents[i].loss,
    };
    return 0;
}

static int add_sequence(struct decoded *r, struct scan *s, int i, struct error *err)
{
    int result, n = r->n;
    memcpy(r->split[i], s->sequence.split, sizeof r->split[i]);
    while ((result = scan_next_block(s, err)) == 1) {
        if ((r->n == n && contents_unpack(&r->contents[i], &s->sequence, err) != 0) ||
            add_block(r, s, i, err) != 0) {
            return -1;
        }
    }
    return result;
}

static void decode_chunk(void *worker, void *result, const struct scan_sequence *sequences, int n)
{
    struct scan *s = worker;
    struct decoded *r = result;
    r->n = 0;
    r->failed = false;
    for (int i = 0; i < n && !r->failed; i++) {
        int wanted = scan_enter_sequence(s, &sequences[i], i == 0, &r->err);
        r->failed = wanted < 0 || (wanted == 1 && add_sequence(r, s, i, &r->err) != 0);
    }
}

/* ---- the reader ---- */

struct blocks {
    struct scan scan; /* the caller's own: the crew's lead */
    struct block_filter filter;
    struct crew *crew;
    struct decoded *chunk; /* that the caller is in; NULL: before the first, or at the end */
    int next;              /* block of it */
    bool ended;
};

static void *decoder_new(void *context, struct logbook *lb, struct error *err)
{
    const struct blocks *bs = context;
    struct scan *s = malloc(sizeof *s);
    if (s == NULL) {
        (void)error_no_memory(err, "a reader of blocks");
    } else if (reader_open(s, lb, SCAN_ROUTING, &bs->filter, err) != 0) {
        free(s);
        s = NULL;
    }
    return s;
}

static void decoder_free(void *worker)
{
    scan_close(worker);
    free(worker);
}

static struct scan *scan_of_decoder(void *worker)
{
    return worker;
}

static const struct crew_trade decoding = {.chunk = SEQUENCES,
                                           .worker_new = decoder_new,
                                           .worker_free = decoder_free,
                                           .result_new = decoded_new,
                                           .result_free = decoded_free,
                                           .work = decode_chunk,
                                           .scan_of = scan_of_decoder};

int blocks_open(struct blocks **out, struct logbook *lb, const struct block_filter *filter, struct error *err)
{
    struct blocks *bs = calloc(1, sizeof *bs);
    *out = NULL;
    if (bs == NULL) {
        return error_no_memory(err, "a reader of blocks");
    }
    bs->filter = *filter;
    if (reader_open(&bs->scan, lb, SCAN_ROUTING, filter, err) != 0 ||
        crew_open(&bs->crew, &decoding, bs, &bs->scan, err) != 0) {
        blocks_close(bs);
        return -1;
    }
    *out = bs;
    return 0;
}

int blocks_next(struct blocks *bs, struct block *block, struct error *err)
{
    while (!bs->ended && (bs->chunk == NULL || bs->next == bs->chunk->n)) {
        void *chunk = NULL;
        if (bs->chunk != NULL && bs->chunk->failed) {
            *err = bs->chunk->err;
            return -1;
        }
        int result = crew_next(bs->crew, &chunk, err);
        if (result < 0) {
            return -1;
        }
        bs->ended = result == 0;
        bs->chunk = chunk;
        bs->next = 0;
    }
    if (bs->ended) {
        return 0;
    }
    *block = bs->chunk->blocks[bs->next++];
    return 1;
}

void blocks_close(struct blocks *bs)
{
    if (bs != NULL) {
        crew_close(bs->crew);
        scan_close(&bs->scan);
        free(bs);
    }
}
