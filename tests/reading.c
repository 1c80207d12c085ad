#include "tests/reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct block_filter all = {.run_id = 1, .last_step = INT64_MAX, .layer = -1};

int reading_blocks(struct logbook *lb, struct error *err)
{
    struct blocks *bs;
    struct block b;
    volatile int64_t sum = 0;
    int result;
    if (blocks_open(&bs, lb, &all, err) != 0) {
        return -1;
    }
    while ((result = blocks_next(bs, &b, err)) == 1) {
        sum += b.n_tokens > 0 ? b.ids[b.n_tokens] : 0; /* to its last element */
        sum += b.n_decisions > 0 ? b.expert[b.n_decisions - 1] + b.dropped[b.n_decisions - 1] : 0;
    }
    (void)sum;
    blocks_close(bs);
    return result;
}

int reading_probabilities(struct logbook *lb, struct error *err)
{
    struct probabilities *ps;
    struct probability_block b;
    volatile float touched = 0;
    int result;
    if (probabilities_open(&ps, lb, &all, err) != 0) {
        return -1;
    }
    while ((result = probabilities_next(ps, &b, err)) == 1) {
        size_t n = (size_t)b.n_tokens * (size_t)b.n_experts;
        touched = n > 0 ? b.probability[n - 1] : 0;
    }
    (void)touched;
    probabilities_close(ps);
    return result;
}

static int read_query(struct logbook *lb, const char *name, struct error *err)
{
    struct query *q;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    if (query_open(&q, lb, name, err) != 0) {
        fclose(out);
        return -1;
    }
    query_bind_text(q, ":name", "r");
    query_bind_int(q, ":run", 1);
    char *sql = query_expanded(q);
    int result = query_print(q, out, TABLE_JSON, NULL, err);
    if (result == 0 && sql == NULL) {
        result = error_no_memory(err, "the SQL");
    }
    free(sql);
    query_close(q);
    fclose(out);
    return result;
}

int reading_queries(struct logbook *lb, struct error *err)
{
    const char *name;
    int64_t id;
    int result = logbook_find_run(lb, "r", &id, err);
    for (int i = 0; result == 0 && (name = sql_name("queries/", i)) != NULL; i++) {
        result = read_query(lb, name, err);
    }
    return result;
}
