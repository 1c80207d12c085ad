/* What the readers of decisions and of probabilities share: a scan, and the tokens and losses of the sequence
 * that it has come to. Private to sql/. */
#ifndef SQL_READER_H
#define SQL_READER_H
#include "sql/read.h"
#include "sql/scan.h"

struct contents { /* of a sequence, in memory that is kept from one to the next; zeroed before first use */
    int64_t sequence_id; /* 0: of none yet */
    int32_t *ids;        /* (n_tokens + 1) */
    float *loss;         /* (n_tokens) NaN: not kept */
    size_t capacity;
};

int contents_unpack(struct contents *c, const struct scan_sequence *q, struct error *err);
void contents_release(struct contents *c);

/* Opens a scan and starts it. */
int reader_open(struct scan *s, struct logbook *lb, enum scan_kind kind, const struct block_filter *filter,
                struct error *err);

#endif
