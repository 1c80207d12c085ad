/* The virtual tables themselves: SQLite's calls, turned into a scan and steps within it. Rows leave one by
 * one, sequence by sequence, layer by layer, token by token, slot by slot; what costs then is SQLite's own
 * work on a row, some 50 ns. Hence many are counted in C first (sql/count.c), ten times faster. */
#include "sql/vtab.h"

#include <stdlib.h>
#include <string.h>

#include "sql/cursor.h"
#include "sql/read.h"

/* What the modules of a connection share. A file can call a virtual table what ought to be a table that these
 * read; whoever comes to read it while reading would never end. */
struct connection {
    int users; /* modules that are registered */
    bool reading;
    struct module_context {
        const struct relation *relation;
        struct connection *connection;
    } modules[N_RELATIONS];
};

struct table {
    sqlite3_vtab base;
    sqlite3 *db;
    const struct module_context *module;
};

/* ---- errors ---- */

/* What failed inside becomes the message of the query that asked. */
static int fail(struct cursor *c, const struct error *err)
{
    int code = sqlite3_errcode(c->lb.db) & 0xff;
    sqlite3_free(c->base.pVtab->zErrMsg);
    c->base.pVtab->zErrMsg = sqlite3_mprintf("%s", err->text);
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) {
        code = err->status == STATUS_INPUT ? SQLITE_CORRUPT : SQLITE_NOMEM;
    }
    return code;
}

/* ---- the table ---- */

static int connect_table(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                         char **message)
{
    const struct module_context *m = aux;
    (void)argc, (void)argv, (void)message;
    int code = sqlite3_declare_vtab(db, sql_text(m->relation->declaration));
    if (code != SQLITE_OK) {
        return code;
    }
    struct table *t = sqlite3_malloc64(sizeof *t);
    if (t == NULL) {
        return SQLITE_NOMEM;
    }
    *t = (struct table){.db = db, .module = m};
    *out = &t->base;
    /* A file's own views must not call it: they could call themselves through it. */
    return sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
}

static int disconnect_table(sqlite3_vtab *vtab)
{
    sqlite3_free(vtab);
    return SQLITE_OK;
}

static int best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    return relation_plan(((struct table *)vtab)->module->relation, info);
}

static int open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct table *t = (struct table *)vtab;
    struct cursor *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return SQLITE_NOMEM;
    }
    c->relation = t->module->relation;
    c->lb.db = t->db;
    *out = &c->base;
    return SQLITE_OK;
}

static void close_logbook(struct cursor *c)
{
    if (c->opened) {
        scan_close(&c->scan);
    }
    free(c->lb.path);
    free(c->schema);
    c->opened = false;
    c->lb.path = c->schema = NULL;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    struct cursor *c = (struct cursor *)base;
    count_release(c);
    close_logbook(c);
    free(c->split);
    free(c);
    return SQLITE_OK;
}

/* ---- constraints ---- */

static int set_split(struct cursor *c, sqlite3_value *value)
{
    const char *text = (const char *)sqlite3_value_text(value);
    if (text == NULL || (c->split != NULL && strcmp(text, c->split) != 0)) {
        c->nothing = true;
        return SQLITE_OK;
    }
    free(c->split);
    c->split = strdup(text);
    return c->split != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

/* Reads the arguments; *schema: that of the function form, or main. */
static int read_arguments(struct cursor *c, sqlite3_value **argv, const char **schema)
{
    int code = SQLITE_OK;
    for (int f = 0; f < N_KEYS; f++) {
        c->range[f] = (struct scan_range){INT64_MIN, INT64_MAX};
    }
    free(c->split);
    c->split = NULL;
    c->nothing = false;
    for (int i = 0; i < c->plan.n_arguments && code == SQLITE_OK; i++) {
        enum field field = c->plan.arguments[i].field;
        if (field == FIELD_SCHEMA) {
            *schema = (const char *)sqlite3_value_text(argv[i]);
            c->nothing = c->nothing || *schema == NULL;
        } else if (field == FIELD_SPLIT) {
            code = set_split(c, argv[i]);
        } else {
            range_narrow(&c->range[field], c->plan.arguments[i].op, argv[i]);
        }
    }
    for (int f = 0; f < N_KEYS; f++) {
        c->nothing = c->nothing || c->range[f].low > c->range[f].high;
    }
    return code;
}

/* The statements for a schema, kept from one scan to the next. */
static int open_logbook(struct cursor *c, const char *schema, struct error *err)
{
    if (c->opened && strcmp(schema, c->schema) == 0) {
        return 0;
    }
    close_logbook(c);
    const char *path = sqlite3_db_filename(c->lb.db, schema);
    c->schema = strdup(schema);
    c->lb.path = strdup(path != NULL && *path != '\0' ? path : schema);
    if (c->schema == NULL || c->lb.path == NULL) {
        return error_no_memory(err, "a virtual table");
    }
    c->lb.schema = c->schema;
    if (scan_open(&c->scan, &c->lb, c->relation->kind, c->plan.contents, err) != 0) {
        return -1;
    }
    c->opened = true;
    return 0;
}

/* ---- one by one ---- */

static int next_single(struct cursor *c, struct error *err)
{
    for (;;) {
        while (cursor_step(c)) {
            if (!c->filtered || cursor_passes(c)) {
                return 0;
            }
        }
        int result = c->relation->kind == SCAN_SEQUENCES ? scan_next_sequence(&c->scan, err)
                                                         : scan_next_block_of_any(&c->scan, err);
        if (result < 0) {
            return -1;
        }
        cursor_enter_block(c);
        if (result == 0) {
            c->eof = true;
            return 0;
        }
    }
}

/* ---- the cursor ---- */

static struct connection *connection_of(struct cursor *c)
{
    return ((struct table *)c->base.pVtab)->module->connection;
}

/* false: *err says that a row of this table would be made of rows of such a table. */
static bool begin_reading(struct cursor *c, struct error *err)
{
    struct connection *connection = connection_of(c);
    if (connection->reading) {
        error_set(err, STATUS_INPUT, "what ought to be a table of the logbook is '%s' itself",
                  c->relation->name);
        return false;
    }
    connection->reading = true;
    return true;
}

static void end_reading(struct cursor *c)
{
    connection_of(c)->reading = false;
}

static int next_row(sqlite3_vtab_cursor *base)
{
    struct cursor *c = (struct cursor *)base;
    struct error err;
    if (!begin_reading(c, &err)) {
        return fail(c, &err);
    }
    int result = c->plan.counted ? count_next(c, &err) : next_single(c, &err);
    end_reading(c);
    return result == 0 ? SQLITE_OK : fail(c, &err);
}

static int filter_rows(sqlite3_vtab_cursor *base, int number, const char *text, int argc,
                       sqlite3_value **argv)
{
    struct cursor *c = (struct cursor *)base;
    const char *schema = "main";
    struct error err;
    (void)number, (void)argc;
    plan_read(&c->plan, text);
    int code = read_arguments(c, argv, &schema);
    if (code != SQLITE_OK) {
        return code;
    }
    c->eof = c->nothing;
    if (c->nothing) {
        return SQLITE_OK;
    }
    if (open_logbook(c, schema, &err) != 0) {
        return fail(c, &err);
    }
    cursor_start_scan(c);
    if (c->plan.counted && count_start(c, &err) != 0) {
        return fail(c, &err);
    }
    return next_row(base);
}

static int at_end(sqlite3_vtab_cursor *base)
{
    return ((struct cursor *)base)->eof;
}

/* A row has the same number whatever scan comes to it: where constraints are joined by OR, SQLite scans once
 * for each and knows by the number which rows it has had. Sequences beyond 2^29 would share those of others.
 */
static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    const struct cursor *c = (const struct cursor *)base;
    uint64_t sequence = (uint64_t)c->scan.sequence.sequence_id;
    if (c->plan.counted) {
        *rowid = count_row_id(c);
    } else if (c->relation->kind == SCAN_SEQUENCES) {
        *rowid = (sqlite3_int64)(sequence << 16 | (uint64_t)c->position);
    } else {
        uint64_t block = sequence * LOGBOOK_MAX_LAYERS + (uint64_t)c->scan.block.layer;
        *rowid = (sqlite3_int64)(block << 24 | (uint64_t)c->decision); /* fewer than CODEC_MOST_DECISIONS */
    }
    return SQLITE_OK;
}

static void single_column(const struct cursor *c, sqlite3_context *result, enum field field)
{
    const struct scan_sequence *q = &c->scan.sequence;
    const struct packed_block *p = &c->scan.block.packed;
    uint32_t loss;
    switch (field) {
    case FIELD_SPLIT:
        sqlite3_result_text(result, q->split, -1, SQLITE_TRANSIENT);
        break;
    case FIELD_LOSS:
        loss = q->losses.bytes != NULL ? read_16(q->losses.bytes, (size_t)c->position) : LOSS_NONE;
        if (loss != LOSS_NONE) {
            sqlite3_result_double(result, loss / (double)LOSS_UNIT);
        }
        break;
    case FIELD_GATE:
        if (p->gates.bytes != NULL) {
            sqlite3_result_double(result, gate_from_stored(p, packed_gate(p, (size_t)c->decision)));
        }
        break;
    default:
        sqlite3_result_int64(result, cursor_value(c, field));
    }
}

/* A column without a result is NULL. */
static int column(sqlite3_vtab_cursor *base, sqlite3_context *result, int i)
{
    const struct cursor *c = (const struct cursor *)base;
    enum field field = c->relation->columns[i];
    if (field == FIELD_SCHEMA) {
        sqlite3_result_text(result, c->schema, -1, SQLITE_TRANSIENT);
    } else if (c->plan.counted) {
        count_column(c, result, field);
    } else {
        single_column(c, result, field);
    }
    return SQLITE_OK;
}

/* xCreate and xConnect are the same: the module's own name is a table, too (the function form). */
static const sqlite3_module module = {
    .iVersion = 0,
    .xCreate = connect_table,
    .xConnect = connect_table,
    .xBestIndex = best_index,
    .xDisconnect = disconnect_table,
    .xDestroy = disconnect_table,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter_rows,
    .xNext = next_row,
    .xEof = at_end,
    .xColumn = column,
    .xRowid = row_id,
};

static void forget_module(void *context)
{
    struct connection *connection = ((struct module_context *)context)->connection;
    if (--connection->users == 0) {
        free(connection);
    }
}

int vtab_register(sqlite3 *db)
{
    struct connection *connection = calloc(1, sizeof *connection);
    int code = connection != NULL ? SQLITE_OK : SQLITE_NOMEM, i;
    for (i = 0; i < N_RELATIONS && code == SQLITE_OK; i++) {
        connection->users += 1 + (i == 0); /* one more while we go on */
        connection->modules[i] = (struct module_context){&relations[i], connection};
        code = sqlite3_create_module_v2(db, relations[i].module, &module, &connection->modules[i],
                                        forget_module); /* called also on failure */
    }
    if (connection != NULL) {
        forget_module(&connection->modules[0]);
    }
    return code;
}
