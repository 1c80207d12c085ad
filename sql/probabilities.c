/* The router's probabilities in bulk: blobs straight into arrays. */
#include <stdlib.h>

#include "sql/reader.h"

struct probabilities {
    struct scan scan;
    struct contents contents;
    float *probability; /* (n_tokens, n_experts) */
    size_t capacity;
};

int probabilities_open(struct probabilities **out, struct logbook *lb, const struct block_filter *filter,
                       struct error *err)
{
    struct probabilities *ps = calloc(1, sizeof *ps);
    *out = NULL;
    if (ps == NULL) {
        return error_no_memory(err, "a reader of probabilities");
    }
    if (reader_open(&ps->scan, lb, SCAN_PROBABILITIES, filter, err) != 0) {
        free(ps);
        return -1;
    }
    *out = ps;
    return 0;
}

static int unpack_probabilities(struct probabilities *ps, struct error *err)
{
    struct piece p = ps->scan.block.probability;
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
    const struct scan_sequence *q = &ps->scan.sequence;
    const struct scan_block *b = &ps->scan.block;
    int result = scan_next_block_of_any(&ps->scan, err);
    if (result != 1) {
        return result;
    }
    if ((q->sequence_id != ps->contents.sequence_id && contents_unpack(&ps->contents, q, err) != 0) ||
        unpack_probabilities(ps, err) != 0) {
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
        .ids = ps->contents.ids,
    };
    return 1;
}

void probabilities_close(struct probabilities *ps)
{
    if (ps != NULL) {
        scan_close(&ps->scan);
        contents_release(&ps->contents);
        free(ps->probability);
        free(ps);
    }
}
