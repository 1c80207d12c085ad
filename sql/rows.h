/* SQLite as anybody would use it, to measure the logbook against: a table with a row a decision, and plain
 * connections without anything of ours. */
#ifndef SQL_ROWS_H
#define SQL_ROWS_H
#include <stdint.h>

#include "base/error.h"
#include "sql/logbook.h"

/* An SQLite file as it is, read-only: no marks asked for, no tables but its own. For query_open. */
int plain_open(struct logbook **lb, const char *path, struct error *err);

struct rows;
struct rows_sequence {
    int64_t run_id, step, sequence_id, domain_id;
};
struct rows_block { /* a sequence's decisions in one layer; (n_tokens + 1), (n_decisions), (n_decisions) */
    int layer, n_tokens;
    const int32_t *offsets; /* offsets[0] any base, which `expert` and `gate` start at */
    const int32_t *expert;
    const float *gate;
};

/* A new file with the tables of sql/rows/create.sql. One thread, one transaction a step, prepared inserts. */
int rows_open(struct rows **r, const char *path, struct error *err);
int rows_add_domain(struct rows *r, int64_t domain_id, const char *name, struct error *err);
int rows_begin(struct rows *r, struct error *err);
int rows_add_sequence(struct rows *r, const struct rows_sequence *sequence, struct error *err);
int rows_add_block(struct rows *r, const struct rows_sequence *sequence, const struct rows_block *block,
                   struct error *err);
int rows_commit(struct rows *r, struct error *err);
void rows_close(struct rows *r); /* the file stands alone; safe on NULL */

#endif
