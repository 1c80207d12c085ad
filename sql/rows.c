#include "sql/rows.h"

#include <stdlib.h>

#include "sql/db.h"
#include "sql/read.h"

struct rows {
    struct logbook *lb;
    struct statement add, add_sequence, add_domain;
};

int plain_open(struct logbook **lb, const char *path, struct error *err)
{
    if (db_connect(lb, path, false, err) != 0) {
        db_abandon(lb);
        return -1;
    }
    return 0;
}

int rows_open(struct rows **out, const char *path, struct error *err)
{
    struct rows *r = calloc(1, sizeof *r);
    *out = r;
    if (r == NULL) {
        return error_no_memory(err, "a table of rows");
    }
    int result = db_connect(&r->lb, path, true, err);
    if (r->lb != NULL) {
        /* Held all the while, so that no call need wait until the processors' caches agree on it. */
        sqlite3_mutex_enter(sqlite3_db_mutex(r->lb->db));
    }
    if (result != 0 || db_exec(r->lb, sql_text("rows/create"), "create", err) != 0 ||
        statement_open(&r->add, r->lb, "rows/add", err) != 0 ||
        statement_open(&r->add_sequence, r->lb, "rows/add_sequence", err) != 0 ||
        statement_open(&r->add_domain, r->lb, "rows/add_domain", err) != 0) {
        rows_close(r);
        *out = NULL;
        return -1;
    }
    return 0;
}

void rows_close(struct rows *r)
{
    if (r != NULL) {
        statement_close(&r->add);
        statement_close(&r->add_sequence);
        statement_close(&r->add_domain);
        if (r->lb != NULL) {
            sqlite3_mutex_leave(sqlite3_db_mutex(r->lb->db));
        }
        moescope_close(r->lb);
        free(r);
    }
}

int rows_add_domain(struct rows *r, int64_t domain_id, const char *name, struct error *err)
{
    statement_int(&r->add_domain, ":domain", domain_id);
    statement_text(&r->add_domain, ":name", name);
    return statement_run(&r->add_domain, err);
}

int rows_begin(struct rows *r, struct error *err)
{
    return db_begin(r->lb, err);
}

int rows_commit(struct rows *r, struct error *err)
{
    return db_commit(r->lb, err);
}

int rows_add_sequence(struct rows *r, const struct rows_sequence *sequence, struct error *err)
{
    statement_int(&r->add_sequence, ":sequence", sequence->sequence_id);
    statement_int(&r->add_sequence, ":domain", sequence->domain_id);
    return statement_run(&r->add_sequence, err);
}

/* Straight to SQLite: the yardstick must not be slow for our sake. */
static int add_row(struct rows *r, int64_t position, int64_t slot, int32_t expert, float gate,
                   struct error *err)
{
    sqlite3_stmt *s = r->add.handle;
    sqlite3_bind_int64(s, 4, position);
    sqlite3_bind_int64(s, 6, slot);
    sqlite3_bind_int64(s, 7, expert);
    sqlite3_bind_double(s, 8, (double)gate);
    int code = sqlite3_step(s);
    sqlite3_reset(s);
    return code == SQLITE_DONE ? 0 : db_error(r->lb, "write", err);
}

int rows_add_block(struct rows *r, const struct rows_sequence *sequence, const struct rows_block *block,
                   struct error *err)
{
    sqlite3_stmt *s = r->add.handle;
    sqlite3_bind_int64(s, 1, sequence->run_id);
    sqlite3_bind_int64(s, 2, sequence->step);
    sqlite3_bind_int64(s, 3, sequence->sequence_id);
    sqlite3_bind_int64(s, 5, block->layer);
    for (int t = 0; t < block->n_tokens; t++) {
        for (int i = block->offsets[t]; i < block->offsets[t + 1]; i++) {
            int at = i - block->offsets[0];
            if (add_row(r, t, i - block->offsets[t], block->expert[at], block->gate[at], err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}
