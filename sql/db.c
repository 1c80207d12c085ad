#include "sql/db.h"

#include <math.h>
#include <string.h>

#include "sql/read.h"

/* ---- errors ---- */

/* What the machine cannot do; all else is the fault of what the file says. */
static enum status status_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT:
    case SQLITE_INTERNAL:
    case SQLITE_MISUSE:
    case SQLITE_NOLFS:
        return STATUS_MACHINE;
    case SQLITE_AUTH: /* the user's own SQL, where it does more than read */
        return STATUS_USAGE;
    default:
        return STATUS_INPUT;
    }
}

/* What to do next, where that is known. */
static const char *advice(const struct logbook *lb, int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return sqlite3_db_readonly(lb->db, "main") == 1
                   ? "; make room for temporary files, or set SQLITE_TMPDIR"
                   : "; make room";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "; another program holds it: wait for it to finish, or stop it";
    case SQLITE_CORRUPT:
        return lb->lacks_wal ? "; was it copied without its -wal while a run wrote? moescope snapshot copies "
                               "a whole one"
                             : "; `moescope check` says more";
    case SQLITE_IOERR:
        return "; is the disk full or gone?";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return "; you may not write it or its folder";
    default:
        return "";
    }
}

int db_error_code(struct logbook *lb, int code, const char *doing, struct error *err)
{
    return error_set(err, status_of(code), "cannot %s '%s': %s%s", doing, lb->path, sqlite3_errstr(code),
                     advice(lb, code));
}

int db_error(struct logbook *lb, const char *doing, struct error *err)
{
    int code = sqlite3_extended_errcode(lb->db);
    return error_set(err, status_of(code), "cannot %s '%s': %s%s", doing, lb->path, sqlite3_errmsg(lb->db),
                     advice(lb, code));
}

int db_exec(struct logbook *lb, const char *sql, const char *doing, struct error *err)
{
    return sqlite3_exec(lb->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_error(lb, doing, err);
}

/* ---- transactions ---- */

/* What comes within one transaction shares it, and its end. */
static int begin_part(struct logbook *lb, struct error *err)
{
    if (!sqlite3_get_autocommit(lb->db)) {
        return 0;
    }
    if (err != NULL) {
        *err = lb->whole_err;
        err->status = err->status != STATUS_OK ? err->status : STATUS_MACHINE; /* SQLite's own doing */
    }
    pthread_mutex_unlock(&lb->transaction);
    return -1;
}

int db_begin(struct logbook *lb, struct error *err)
{
    pthread_mutex_lock(&lb->transaction);
    if (lb->whole) {
        return begin_part(lb, err);
    }
    if (db_exec(lb, "BEGIN IMMEDIATE", "write", err) != 0) {
        pthread_mutex_unlock(&lb->transaction);
        return -1;
    }
    return 0;
}

void db_rollback(struct logbook *lb)
{
    /* A full disk may have rolled back already; then this fails, harmlessly. */
    if (!sqlite3_get_autocommit(lb->db)) {
        sqlite3_exec(lb->db, "ROLLBACK", NULL, NULL, NULL);
    }
    pthread_mutex_unlock(&lb->transaction);
}

int db_commit(struct logbook *lb, struct error *err)
{
    if (lb->whole) {
        pthread_mutex_unlock(&lb->transaction);
        return 0;
    }
    if (db_exec(lb, "COMMIT", "write", err) != 0) {
        db_rollback(lb);
        return -1;
    }
    pthread_mutex_unlock(&lb->transaction);
    return 0;
}

int db_end(struct logbook *lb, int result, struct error *err)
{
    if (result == 0) {
        return db_commit(lb, err);
    }
    if (lb->whole && err != NULL && lb->whole_err.status == STATUS_OK) {
        lb->whole_err = *err;
    }
    db_rollback(lb);
    return -1;
}

int logbook_begin_whole(struct logbook *lb, struct error *err)
{
    if (db_begin(lb, err) != 0) {
        return -1;
    }
    lb->whole = true;
    lb->whole_err =
        (struct error){.status = STATUS_OK, .text = "the transaction that this belongs to was rolled back"};
    pthread_mutex_unlock(&lb->transaction);
    return 0;
}

int logbook_end_whole(struct logbook *lb, int result, struct error *err)
{
    pthread_mutex_lock(&lb->transaction);
    lb->whole = false;
    if (result == 0 && sqlite3_get_autocommit(lb->db)) { /* SQLite rolled back by itself */
        pthread_mutex_unlock(&lb->transaction);
        return error_set(err, STATUS_MACHINE, "cannot write '%s': the transaction was rolled back", lb->path);
    }
    return db_end(lb, result, err);
}

/* ---- statements ---- */

int statement_open_text(struct statement *s, struct logbook *lb, const char *name, const char *sql,
                        struct error *err)
{
    memset(s, 0, sizeof *s);
    s->lb = lb;
    s->name = name;
    if (sqlite3_prepare_v3(lb->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->handle, NULL) != SQLITE_OK) {
        db_error(lb, "query", err);
        return error_prefix(err, "%s", name);
    }
    return 0;
}

/* The text for an attached schema; sqlite3_free it. */
static char *for_schema(const char *sql, const char *schema)
{
    static const char stands_for[] = "main.";
    sqlite3_str *text = sqlite3_str_new(NULL);
    const char *at;
    for (; (at = strstr(sql, stands_for)) != NULL; sql = at + strlen(stands_for)) {
        sqlite3_str_append(text, sql, (int)(at - sql));
        sqlite3_str_appendf(text, "\"%w\".", schema);
    }
    sqlite3_str_appendall(text, sql);
    return sqlite3_str_finish(text);
}

int statement_open(struct statement *s, struct logbook *lb, const char *name, struct error *err)
{
    const char *sql = sql_text(name);
    memset(s, 0, sizeof *s);
    if (sql == NULL) {
        return error_set(err, STATUS_USAGE, "no query is named '%s'", name);
    }
    if (lb->schema == NULL || strcmp(lb->schema, "main") == 0) {
        return statement_open_text(s, lb, name, sql, err);
    }
    char *text = for_schema(sql, lb->schema);
    if (text == NULL) {
        return error_no_memory(err, "a query");
    }
    int result = statement_open_text(s, lb, name, text, err);
    sqlite3_free(text);
    return result;
}

static int parameter_index(struct statement *s, const char *parameter)
{
    int at = s->next;
    if (at < STATEMENT_REMEMBERED && s->order[at].index > 0 && strcmp(s->order[at].name, parameter) == 0) {
        s->next++;
        return s->order[at].index;
    }
    int index = sqlite3_bind_parameter_index(s->handle, parameter);
    if (at < STATEMENT_REMEMBERED && index > 0) {
        s->order[at].name = sqlite3_bind_parameter_name(s->handle, index);
        s->order[at].index = index;
        s->next++;
    }
    return index;
}

/* Something was bound, no integer that is known. */
static void note(struct statement *s, int index, int result)
{
    if (index <= STATEMENT_REMEMBERED) {
        s->bound[index - 1].known = false;
    }
    if (s->bind_result == SQLITE_OK) {
        s->bind_result = result;
    }
}

void statement_int(struct statement *s, const char *parameter, int64_t value)
{
    int i = parameter_index(s, parameter);
    if (i == 0 || (i <= STATEMENT_REMEMBERED && s->bound[i - 1].known && s->bound[i - 1].value == value)) {
        return;
    }
    int result = sqlite3_bind_int64(s->handle, i, value);
    note(s, i, result);
    if (i <= STATEMENT_REMEMBERED && result == SQLITE_OK) {
        s->bound[i - 1].known = true;
        s->bound[i - 1].value = value;
    }
}

void statement_real(struct statement *s, const char *parameter, double value)
{
    int i = parameter_index(s, parameter);
    if (i > 0) {
        note(s, i, sqlite3_bind_double(s->handle, i, value)); /* NaN becomes NULL */
    }
}

void statement_text(struct statement *s, const char *parameter, const char *value)
{
    int i = parameter_index(s, parameter);
    if (i > 0) {
        note(s, i,
             sqlite3_bind_text(s->handle, i, value, -1, SQLITE_STATIC)); /* a NULL pointer becomes NULL */
    }
}

void statement_text_copy(struct statement *s, const char *parameter, const char *value)
{
    int i = parameter_index(s, parameter);
    if (i > 0) {
        note(s, i, sqlite3_bind_text(s->handle, i, value, -1, SQLITE_TRANSIENT));
    }
}

void statement_blob(struct statement *s, const char *parameter, struct piece value)
{
    int i = parameter_index(s, parameter);
    if (i > 0) {
        note(s, i, sqlite3_bind_blob64(s->handle, i, value.bytes, value.n, SQLITE_STATIC));
    }
}

void statement_null(struct statement *s, const char *parameter)
{
    int i = parameter_index(s, parameter);
    if (i > 0) {
        note(s, i, sqlite3_bind_null(s->handle, i));
    }
}

int statement_step(struct statement *s, struct error *err)
{
    int result = s->bind_result;
    if (result == SQLITE_OK) {
        result = sqlite3_step(s->handle);
    }
    if (result == SQLITE_ROW) {
        return 1;
    }
    if (result != SQLITE_DONE) {
        db_error(s->lb, s->lb->writable ? "write" : "read", err);
        error_prefix(err, "%s", s->name);
    }
    statement_reset(s);
    return result == SQLITE_DONE ? 0 : -1;
}

int statement_run(struct statement *s, struct error *err)
{
    int result;
    while ((result = statement_step(s, err)) == 1) {
    }
    return result;
}

int statement_insert(struct statement *s, int64_t *rowid, struct error *err)
{
    if (statement_run(s, err) != 0) {
        return -1;
    }
    if (rowid != NULL) {
        *rowid = sqlite3_last_insert_rowid(s->lb->db);
    }
    return 0;
}

int statement_scalar(struct statement *s, int64_t *value, bool *found, struct error *err)
{
    int result = statement_step(s, err);
    if (result == 1) {
        *value = sqlite3_column_int64(s->handle, 0);
        statement_reset(s);
    } else if (result == 0 && found == NULL) {
        return error_set(err, STATUS_INPUT, "%s: no row in '%s'", s->name, s->lb->path);
    }
    if (found != NULL) {
        *found = result == 1;
    }
    return result < 0 ? -1 : 0;
}

void statement_reset(struct statement *s)
{
    sqlite3_reset(s->handle);
    s->bind_result = SQLITE_OK;
    s->next = 0;
}

void statement_close(struct statement *s)
{
    sqlite3_finalize(s->handle);
    s->handle = NULL;
}

struct piece statement_column_blob(struct statement *s, int column)
{
    struct piece piece = {sqlite3_column_blob(s->handle, column), 0};
    piece.n = (size_t)sqlite3_column_bytes(s->handle, column);
    if (piece.bytes == NULL && sqlite3_column_type(s->handle, column) != SQLITE_NULL) {
        piece.bytes = (const uint8_t *)""; /* a blob of no bytes is not a NULL */
    }
    return piece;
}

int db_run(struct logbook *lb, const char *name, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, name, err);
    if (result == 0) {
        result = statement_run(&s, err);
    }
    statement_close(&s);
    return result;
}

int db_scalar(struct logbook *lb, const char *name, int64_t *value, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, name, err);
    if (result == 0) {
        result = statement_scalar(&s, value, NULL, err);
    }
    statement_close(&s);
    return result;
}

static void bind_parameters(struct statement *s, const struct parameter *parameters, int n)
{
    for (int i = 0; i < n; i++) {
        if (parameters[i].text != NULL) {
            statement_text(s, parameters[i].name, parameters[i].text);
        } else {
            statement_int(s, parameters[i].name, parameters[i].number);
        }
    }
}

int db_script(struct logbook *lb, const char *name, const struct parameter *parameters, int n,
              struct error *err)
{
    const char *sql = sql_text(name);
    while (*sql != '\0') {
        struct statement s = {.lb = lb, .name = name};
        if (sqlite3_prepare_v2(lb->db, sql, -1, &s.handle, &sql) != SQLITE_OK) {
            db_error(lb, "write", err);
            return error_prefix(err, "%s", name);
        }
        if (s.handle == NULL) { /* only a comment or white space was left */
            continue;
        }
        bind_parameters(&s, parameters, n);
        int result = statement_run(&s, err);
        statement_close(&s);
        if (result != 0) {
            return -1;
        }
    }
    return 0;
}
