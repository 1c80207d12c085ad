/* Decisions, tokens, losses and probabilities in bulk: blobs straight into arrays. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sql/read.h"
#include "sql/scan.h"

/* The reader of a kind begins with it. */
struct reader {
    struct scan scan;
    int64_t sequence_id; /* that ids and loss are of; -1: none */
    int32_t *ids;        /* (n_tokens + 1) */
    float *loss;         /* (n_tokens) */
    size_t capacity;
};

/* ---- what both kinds share ---- */

static void reader_close(struct reader *r)
{
    scan_close(&r->scan);
    free(r->ids);
    free(r->loss);
}

/* A reader of so many bytes, zeroed but for its beginning; NULL on failure. */
static void *reader_new(size_t size, struct logbook *lb, enum scan_kind kind,
                        const struct block_filter *filter, struct error *err)
{
    struct scan_filter f;
    struct reader *r = calloc(1, size);
    if (r == NULL) {
        (void)error_no_memory(err, "a reader of blocks");
        return NULL;
    }
    if (scan_open(&r->scan, lb, kind, true, err) != 0) {
        free(r);
        return NULL;
    }
    scan_filter_all(&f);
    f.run = (struct scan_range){filter->run_id, filter->run_id};
    f.step = (struct scan_range){filter->first_step, filter->last_step};
    f.split = filter->split;
    if (filter->layer >= 0) {
        f.layer = (struct scan_range){filter->layer, filter->layer};
    }
    r->sequence_id = -1;
    scan_start(&r->scan, &f);
    return r;
}

static bool reserve_tokens(struct reader *r, size_t n)
{
    if (r->ids != NULL && n <= r->capacity) {
        return true;
    }
    free(r->ids);
    free(r->loss);
    r->capacity = 0;
    r->ids = malloc((n + 1) * sizeof *r->ids);
    r->loss = malloc((n + 1) * sizeof *r->loss);
    if (r->ids == NULL || r->loss == NULL) {
        return false;
    }
    r->capacity = n;
    return true;
}

/* The tokens and losses of the sequence that the scan has come to. */
static int unpack_sequence(struct reader *r, struct error *err)
{
    const struct scan_sequence *q = &r->scan.sequence;
    size_t n = (size_t)q->n_tokens;
    if (!reserve_tokens(r, n)) {
        return error_no_memory(err, "a sequence's tokens");
    }
    unpack_integers(r->ids, q->token_width, q->tokens.bytes, n + 1);
    if (q->losses.bytes != NULL) {
        unpack_losses(r->loss, q->losses.bytes, n);
    }
    for (size_t i = 0; q->losses.bytes == NULL && i < n; i++) {
        r->loss[i] = NAN;
    }
    r->sequence_id = q->sequence_id;
    return 0;
}

/* 1: r->scan.block is the next block, 0: no more, -1. */
static int next_block(struct reader *r, struct error *err)
{
    int result = scan_next_block_of_any(&r->scan, err);
    if (result == 1 && r->scan.sequence.sequence_id != r->sequence_id && unpack_sequence(r, err) != 0) {
        return -1;
    }
    return result;
}

/* ---- decisions ---- */

struct blocks {
    struct reader reader;
    struct decisions decisions;
};

int blocks_open(struct blocks **out, struct logbook *lb, const struct block_filter *filter, struct error *err)
{
    *out = reader_new(sizeof **out, lb, SCAN_ROUTING, filter, err);
    return *out != NULL ? 0 : -1;
}

int blocks_next(struct blocks *bs, struct block *block, struct error *err)
{
    const struct scan_sequence *q = &bs->reader.scan.sequence;
    const struct scan_block *b = &bs->reader.scan.block;
    int result = next_block(&bs->reader, err);
    if (result != 1) {
        return result;
    }
    if (packed_block_unpack(&b->packed, q->n_tokens, b->n_experts, b->n_decisions, &bs->decisions) != NULL) {
        return error_no_memory(err, "a block's decisions");
    }
    *block = (struct block){
        .step = q->step,
        .sequence_id = q->sequence_id,
        .sample_id = q->sample_id,
        .document_id = q->document_id,
        .domain_id = q->domain_id,
        .offset = q->offset,
        .split = q->split,
        .layer = b->layer,
        .n_experts = b->n_experts,
        .n_tokens = q->n_tokens,
        .n_decisions = bs->decisions.n,
        .offsets = bs->decisions.offsets,
        .expert = bs->decisions.expert,
        .gate = bs->decisions.gate,
        .dropped = bs->decisions.dropped,
        .ids = bs->reader.ids,
        .loss = bs->reader.loss,
    };
    return 1;
}

void blocks_close(struct blocks *bs)
{
    if (bs != NULL) {
        reader_close(&bs->reader);
        decisions_release(&bs->decisions);
        free(bs);
    }
}

/* ---- probabilities ---- */

struct probabilities {
    struct reader reader;
    float *probability; /* (n_tokens, n_experts) */
    size_t capacity;
};

int probabilities_open(struct probabilities **out, struct logbook *lb, const struct block_filter *filter,
                       struct error *err)
{
    *out = reader_new(sizeof **out, lb, SCAN_PROBABILITIES, filter, err);
    return *out != NULL ? 0 : -1;
}

static int unpack_probabilities(struct probabilities *ps, struct error *err)
{
    struct piece p = ps->reader.scan.block.probability;
    size_t n = p.n / 2;
    if (n > ps->capacity || ps->probability == NULL) {
        free(ps->probability);
        ps->capacity = 0;
        ps->probability = malloc((n + 1) * sizeof *ps->probability);
        if (ps->probability == NULL) {
            return error_no_memory(err, "router probabilities");
        }
        ps->capacity = n;
    }
    unpack_fraction(ps->probability, 2, 1, p.bytes, n);
    return 0;
}

int probabilities_next(struct probabilities *ps, struct probability_block *block, struct error *err)
{
    const struct scan_sequence *q = &ps->reader.scan.sequence;
    const struct scan_block *b = &ps->reader.scan.block;
    int result = next_block(&ps->reader, err);
    if (result != 1) {
        return result;
    }
    if (unpack_probabilities(ps, err) != 0) {
        return -1;
    }
    *block = (struct probability_block){
        .step = q->step,
        .sequence_id = q->sequence_id,
        .sample_id = q->sample_id,
        .document_id = q->document_id,
        .domain_id = q->domain_id,
        .layer = b->layer,
        .n_experts = b->n_experts,
        .n_tokens = q->n_tokens,
        .probability = ps->probability,
        .ids = ps->reader.ids,
    };
    return 1;
}

void probabilities_close(struct probabilities *ps)
{
    if (ps != NULL) {
        reader_close(&ps->reader);
        free(ps->probability);
        free(ps);
    }
}
