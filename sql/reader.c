#include "sql/reader.h"

#include <math.h>
#include <stdlib.h>

int reader_open(struct scan *s, struct logbook *lb, enum scan_kind kind, const struct block_filter *filter,
                struct error *err)
{
    struct scan_filter f;
    if (scan_open(s, lb, kind, true, err) != 0) {
        return -1;
    }
    scan_filter_all(&f);
    f.run = (struct scan_range){filter->run_id, filter->run_id};
    f.step = (struct scan_range){filter->first_step, filter->last_step};
    f.split = filter->split;
    if (filter->layer >= 0) {
        f.layer = (struct scan_range){filter->layer, filter->layer};
    }
    scan_start(s, &f);
    return 0;
}

static bool reserve_tokens(struct contents *c, size_t n)
{
    if (c->ids != NULL && n <= c->capacity) {
        return true;
    }
    contents_release(c);
    c->ids = malloc((n + 1) * sizeof *c->ids);
    c->loss = malloc((n + 1) * sizeof *c->loss);
    if (c->ids == NULL || c->loss == NULL) {
        return false;
    }
    c->capacity = n;
    return true;
}

int contents_unpack(struct contents *c, const struct scan_sequence *q, struct error *err)
{
    size_t n = (size_t)q->n_tokens;
    if (!reserve_tokens(c, n)) {
        return error_no_memory(err, "a sequence's tokens");
    }
    unpack_integers(c->ids, q->token_width, q->tokens.bytes, n + 1);
    if (q->losses.bytes != NULL) {
        unpack_losses(c->loss, q->losses.bytes, n);
    }
    for (size_t i = 0; q->losses.bytes == NULL && i < n; i++) {
        c->loss[i] = NAN;
    }
    c->sequence_id = q->sequence_id;
    return 0;
}

void contents_release(struct contents *c)
{
    free(c->ids);
    free(c->loss);
    *c = (struct contents){0};
}
