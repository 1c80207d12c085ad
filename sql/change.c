#include "sql/change.h"

#include "sql/care.h"
#include "sql/read.h"

/* ---- opening ---- */

int logbook_open_to_change(struct logbook **lb, const char *path, struct error *err)
{
    if (logbook_open(lb, path, err) != 0) {
        return -1;
    }
    moescope_close(*lb);
    return moescope_open(lb, path, err);
}

/* ---- is anybody writing it? ---- */

enum { STALLED_SECONDS = 60 }; /* as in queries/runs */

static int refuse_written(struct statement *s, const char *name, bool force, struct error *err)
{
    bool running = sqlite3_column_int(s->handle, 0) != 0;
    double silent = sqlite3_column_double(s->handle, 1);
    if (!running || (silent > STALLED_SECONDS && force)) {
        return 0;
    }
    if (silent > STALLED_SECONDS) {
        return error_set(err, STATUS_USAGE,
                         "run '%s' is marked as running, but silent since %s: if it was killed, and is not "
                         "busy with a long evaluation, say --force",
                         name, (const char *)sqlite3_column_text(s->handle, 2));
    }
    return error_set(
        err, STATUS_USAGE,
        "run '%s' is being written, last %.0f s ago: stop its training first, by Ctrl-C or kill; "
        "if it was killed just now, wait for a minute and say --force",
        name, silent > 0 ? silent : 0);
}

int change_find_run(struct logbook *lb, const char *name, bool force, int64_t *run_id, struct error *err)
{
    struct statement s;
    if (logbook_find_run(lb, name, run_id, err) != 0) {
        return -1;
    }
    int result = statement_open(&s, lb, "store/run_state", err);
    if (result == 0) {
        statement_int(&s, ":run", *run_id);
        result = statement_step(&s, err);
        result = result == 1 ? refuse_written(&s, name, force, err) : -1;
    }
    statement_close(&s);
    return result;
}

int change_free_bytes(struct logbook *lb, int64_t *bytes, struct error *err)
{
    return db_scalar(lb, "store/free_bytes", bytes, err);
}

/* ---- the transaction ---- */

int change_begin(struct logbook *lb, struct error *err)
{
    sqlite3_db_config(lb->db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
    int result = db_begin(lb, err);
    if (result != 0) {
        sqlite3_db_config(lb->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    }
    return result;
}

int change_end(struct logbook *lb, int result, bool dry_run, struct error *err)
{
    if (result == 0 && dry_run) {
        db_rollback(lb);
    } else {
        result = db_end(lb, result, err);
    }
    sqlite3_db_config(lb->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    return result;
}
