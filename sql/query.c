/* Queries of readers: named or the user's own, cells by column name, rows into tables. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sql/db.h"
#include "sql/read.h"

struct query {
    struct statement statement;
    struct text name; /* the statement's, which must outlive the caller's string */
    bool guarded;     /* the connection does nothing but read until it is closed */
};

/* ---- open ---- */

static int open_query(struct query **out, struct logbook *lb, const char *name, const char *sql,
                      struct error *err)
{
    struct query *q = calloc(1, sizeof *q);
    *out = NULL;
    if (q == NULL) {
        return error_no_memory(err, "a query");
    }
    text_init(&q->name);
    text_add(&q->name, name);
    if (q->name.failed) {
        query_close(q);
        return error_no_memory(err, "a query");
    }
    if (statement_open_text(&q->statement, lb, q->name.data, sql, err) != 0) {
        query_close(q);
        return -1;
    }
    *out = q;
    return 0;
}

int query_open(struct query **q, struct logbook *lb, const char *name, struct error *err)
{
    const char *sql = sql_text(name);
    *q = NULL;
    if (sql == NULL) {
        return error_set(err, STATUS_USAGE, "no query is named '%s'", name);
    }
    return open_query(q, lb, name, sql, err);
}

/* PRAGMAs that tell something are let through, those that set or do something are not. */
static bool may_tell(const char *pragma, const char *argument)
{
    static const struct {
        const char *name;
        bool takes_argument; /* which does not set it */
    } telling[] = {{"table_info", true},       {"table_xinfo", true},       {"table_list", true},
                   {"index_list", true},       {"index_info", true},        {"index_xinfo", true},
                   {"foreign_key_list", true}, {"foreign_key_check", true}, {"integrity_check", true},
                   {"quick_check", true},      {"compile_options", false},  {"database_list", false},
                   {"function_list", false},   {"collation_list", false},   {"module_list", false},
                   {"pragma_list", false},     {"user_version", false},     {"application_id", false},
                   {"page_size", false},       {"page_count", false},       {"freelist_count", false}};
    for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++) {
        if (strcmp(pragma, telling[i].name) == 0) {
            return argument == NULL || telling[i].takes_argument;
        }
    }
    return false;
}

/* What the user's own SQL may do: read. */
static int allow_reading(void *context, int action, const char *first, const char *second, const char *schema,
                         const char *trigger)
{
    (void)context, (void)schema, (void)trigger;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_UPDATE: /* what declaring a table-valued function looks like; the real thing is refused anyway
                         */
        return strcmp(first, "sqlite_master") == 0 ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_FUNCTION:
        return second != NULL && strcmp(second, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_PRAGMA:
        return may_tell(first, second) ? SQLITE_OK : SQLITE_DENY;
    default:
        return SQLITE_DENY;
    }
}

/* Whether there is another statement behind the first. */
static bool more_statements(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *next = NULL;
    while (*sql != '\0') {
        const char *tail = sql;
        int code = sqlite3_prepare_v2(db, sql, -1, &next, &tail);
        bool more = code != SQLITE_OK || next != NULL;
        sqlite3_finalize(next);
        if (more || tail == sql) {
            return more;
        }
        sql = tail;
    }
    return false;
}

static int inspect(struct logbook *lb, const char *sql, struct error *err)
{
    sqlite3_stmt *first = NULL;
    const char *tail = sql;
    int code = sqlite3_prepare_v2(lb->db, sql, -1, &first, &tail);
    int result = 0;
    if (code == SQLITE_AUTH) {
        result =
            error_set(err, STATUS_USAGE, "only statements that read are run: %s", sqlite3_errmsg(lb->db));
    } else if (code != SQLITE_OK) {
        result = error_set(err, STATUS_USAGE, "cannot run the SQL: %s", sqlite3_errmsg(lb->db));
    } else if (first == NULL) {
        result = error_set(err, STATUS_USAGE, "there is no statement in the SQL");
    } else if (!sqlite3_stmt_readonly(first)) {
        result = error_set(err, STATUS_USAGE, "only statements that read are run");
    } else if (more_statements(lb->db, tail)) {
        result = error_set(err, STATUS_USAGE, "one statement at a time");
    }
    sqlite3_finalize(first);
    return result;
}

int query_open_text(struct query **q, struct logbook *lb, const char *sql, struct error *err)
{
    *q = NULL;
    sqlite3_set_authorizer(lb->db, allow_reading, NULL);
    int result = inspect(lb, sql, err);
    if (result == 0) {
        result = open_query(q, lb, "query", sql, err);
    }
    if (result != 0) {
        sqlite3_set_authorizer(lb->db, NULL, NULL);
        return -1;
    }
    (*q)->guarded = true; /* also what a table-valued PRAGMA does only as it runs */
    return 0;
}

void query_close(struct query *q)
{
    if (q != NULL) {
        if (q->guarded) {
            sqlite3_set_authorizer(q->statement.lb->db, NULL, NULL);
        }
        statement_close(&q->statement);
        text_release(&q->name);
        free(q);
    }
}

/* ---- bind ---- */

const char *query_parameter(struct query *q, int i)
{
    return sqlite3_bind_parameter_name(q->statement.handle, i + 1);
}

void query_bind_int(struct query *q, const char *parameter, int64_t value)
{
    statement_int(&q->statement, parameter, value);
}

void query_bind_real(struct query *q, const char *parameter, double value)
{
    statement_real(&q->statement, parameter, value);
}

void query_bind_text(struct query *q, const char *parameter, const char *value)
{
    statement_text_copy(&q->statement, parameter, value);
}

/* ---- rows ---- */

int query_step(struct query *q, struct error *err)
{
    return statement_step(&q->statement, err);
}

static int column_index(struct query *q, const char *column)
{
    int n = sqlite3_column_count(q->statement.handle), i = 0;
    /* A column without AS is called as in the table, where a file made otherwise may have it in capitals. */
    while (i < n && sqlite3_stricmp(sqlite3_column_name(q->statement.handle, i), column) != 0) {
        i++;
    }
    assert(i < n); /* the query has no such column */
    return i;
}

int64_t query_int(struct query *q, const char *column)
{
    return sqlite3_column_int64(q->statement.handle, column_index(q, column));
}

double query_real(struct query *q, const char *column)
{
    int i = column_index(q, column);
    return sqlite3_column_type(q->statement.handle, i) == SQLITE_NULL
               ? (double)NAN
               : sqlite3_column_double(q->statement.handle, i);
}

const char *query_text(struct query *q, const char *column)
{
    return (const char *)sqlite3_column_text(q->statement.handle, column_index(q, column));
}

const char *query_word(struct query *q, const char *column)
{
    const char *text = query_text(q, column);
    return text != NULL ? text : "";
}

bool query_is_null(struct query *q, const char *column)
{
    return sqlite3_column_type(q->statement.handle, column_index(q, column)) == SQLITE_NULL;
}

/* ---- cells by number ---- */

int logbook_hold(struct logbook *lb, struct error *err)
{
    return db_exec(lb, "BEGIN", "read", err);
}

int query_columns(struct query *q)
{
    return sqlite3_column_count(q->statement.handle);
}

const char *query_column(struct query *q, int i)
{
    return sqlite3_column_name(q->statement.handle, i);
}

void query_cell(struct query *q, int i, struct cell *cell)
{
    sqlite3_stmt *row = q->statement.handle;
    *cell = (struct cell){CELL_NULL, 0, NAN, NULL, 0};
    switch (sqlite3_column_type(row, i)) {
    case SQLITE_INTEGER:
        cell->kind = CELL_INT;
        cell->integer = sqlite3_column_int64(row, i);
        break;
    case SQLITE_FLOAT:
        cell->kind = CELL_REAL;
        cell->real = sqlite3_column_double(row, i);
        break;
    case SQLITE_TEXT:
        cell->kind = CELL_TEXT;
        cell->bytes = (const char *)sqlite3_column_text(row, i);
        cell->n = (size_t)sqlite3_column_bytes(row, i);
        break;
    case SQLITE_BLOB:
        cell->kind = CELL_BLOB;
        cell->bytes = sqlite3_column_blob(row, i);
        cell->n = (size_t)sqlite3_column_bytes(row, i);
        break;
    default:
        break;
    }
}

void query_rewind(struct query *q)
{
    statement_reset(&q->statement);
}

/* ---- print ---- */

static void print_blob(struct table *t, const struct cell *cell)
{
    struct text hex;
    text_init(&hex);
    text_add(&hex, "x'");
    text_add_hex(&hex, cell->bytes, cell->n);
    text_add(&hex, "'");
    table_text(t, hex.data);
    text_release(&hex);
}

static void print_cell(struct table *t, const struct cell *cell)
{
    switch (cell->kind) {
    case CELL_INT:
        table_int(t, cell->integer);
        break;
    case CELL_REAL:
        table_real(t, cell->real);
        break;
    case CELL_TEXT:
        table_text(t, cell->bytes);
        break;
    case CELL_BLOB:
        print_blob(t, cell);
        break;
    default:
        table_null(t);
    }
}

static struct table *open_table(struct query *q, FILE *out, enum table_format format, const char *title,
                                int n)
{
    const char **names = malloc((size_t)(n > 0 ? n : 1) * sizeof *names);
    if (names == NULL) {
        return NULL;
    }
    for (int i = 0; i < n; i++) {
        names[i] = sqlite3_column_name(q->statement.handle, i);
    }
    struct table *t = table_open(out, format, title, names, n);
    free(names);
    return t;
}

int query_print_counted(struct query *q, FILE *out, enum table_format format, const char *title,
                        int64_t *rows, struct error *err)
{
    int n = query_columns(q);
    struct table *t = open_table(q, out, format, title, n);
    int result;
    *rows = 0;
    if (t == NULL) {
        return error_no_memory(err, "a table");
    }
    while ((result = query_step(q, err)) == 1) {
        for (int i = 0; i < n; i++) {
            struct cell cell;
            query_cell(q, i, &cell);
            print_cell(t, &cell);
        }
        ++*rows;
    }
    return table_close(t, result == 0 ? err : NULL) != 0 || result != 0 ? -1 : 0;
}

int query_print(struct query *q, FILE *out, enum table_format format, const char *title, struct error *err)
{
    int64_t rows;
    return query_print_counted(q, out, format, title, &rows, err);
}

char *query_expanded(struct query *q)
{
    char *sql = sqlite3_expanded_sql(q->statement.handle);
    char *copy = sql != NULL ? strdup(sql) : NULL;
    sqlite3_free(sql);
    return copy;
}

int query_print_sql(struct query *q, FILE *out, struct error *err)
{
    char *sql = query_expanded(q);
    if (sql == NULL) {
        return error_no_memory(err, "the SQL");
    }
    size_t n = strlen(sql);
    fprintf(out, "%s%s\n", sql, n > 0 && sql[n - 1] == ';' ? "" : ";");
    free(sql);
    return 0;
}

/* ---- one-line scalars ---- */

int query_one_int(struct logbook *lb, const char *name, int64_t run_id, int64_t *value, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, name, err);
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        result = statement_scalar(&s, value, NULL, err);
    }
    statement_close(&s);
    return result;
}

/* ---- runs by name ---- */

/* "'a', 'b', 'c' and 4 more" */
static int list_runs(struct logbook *lb, struct text *names, int *n, int64_t *last_id, struct error *err)
{
    enum { SHOWN = 8 };
    struct statement s;
    int result = statement_open(&s, lb, "store/list_runs", err);
    *n = 0;
    while (result == 0 && (result = statement_step(&s, err)) == 1) {
        *last_id = sqlite3_column_int64(s.handle, 0);
        if (*n < SHOWN) {
            const char *name = (const char *)sqlite3_column_text(s.handle, 1);
            text_printf(names, "%s'%s'", *n > 0 ? ", " : "", name != NULL ? name : "");
        }
        ++*n;
        result = 0;
    }
    if (*n > SHOWN) {
        text_printf(names, " and %d more", *n - SHOWN);
    }
    statement_close(&s);
    return result;
}

static int no_such_run(struct logbook *lb, const char *name, struct error *err)
{
    struct text names;
    int64_t id;
    int n;
    text_init(&names);
    int result = list_runs(lb, &names, &n, &id, err);
    if (result == 0 && n == 0) {
        result = error_set(err, STATUS_INPUT, "'%s' has no runs yet", lb->path);
    } else if (result == 0) {
        result =
            error_set(err, STATUS_INPUT, "'%s' has no run named '%s'; it has %s", lb->path, name, names.data);
    }
    text_release(&names);
    return result;
}

static int only_run(struct logbook *lb, int64_t *run_id, struct error *err)
{
    struct text names;
    int n;
    text_init(&names);
    int result = list_runs(lb, &names, &n, run_id, err);
    if (result == 0 && n == 0) {
        result = error_set(err, STATUS_INPUT, "'%s' has no runs yet", lb->path);
    } else if (result == 0 && n > 1) {
        result = error_set(err, STATUS_USAGE, "'%s' has several runs; choose one by --run: %s", lb->path,
                           names.data);
    }
    text_release(&names);
    return result;
}

int logbook_find_run(struct logbook *lb, const char *name, int64_t *run_id, struct error *err)
{
    struct statement s;
    bool found = false;
    if (name == NULL) {
        return only_run(lb, run_id, err);
    }
    int result = statement_open(&s, lb, "store/find_run", err);
    if (result == 0) {
        statement_text(&s, ":name", name);
        result = statement_scalar(&s, run_id, &found, err);
    }
    statement_close(&s);
    return result != 0 || found ? result : no_such_run(lb, name, err);
}
