/* The one gate to SQLite: a connection, statements that are known by name, transactions. Private to sql/. */
#ifndef SQL_DB_H
#define SQL_DB_H
#include "sql/sqlite.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sql/codec.h"
#include "sql/filesystem.h"
#include "sql/logbook.h"

struct logbook {
    sqlite3 *db;
    char *path;
    const char *schema; /* that "main." stands for in the .sql files; NULL: main */
    int version;        /* of its schema */
    char
        remote[FILESYSTEM_NAME]; /* the network file system that a writable one does without WAL for; or "" */
    bool writable, lacks_wal;
    bool whole;             /* between logbook_begin_whole and logbook_end_whole */
    struct error whole_err; /* what rolled that back, whatever is asked of it afterwards */
    pthread_mutex_t
        transaction; /* the writer's thread and its owner share the connection: one transaction at a time */
};

/* ---- opening, for those who do more than read or write (sql/logbook.c) ---- */

/* *lb is set also on failure, for db_abandon. */
int db_connect(struct logbook **lb, const char *path, bool writable, struct error *err);
/* Reads what the file says of itself. fresh: it is empty and may become a logbook. */
int db_identify(struct logbook *lb, bool *fresh, struct error *err);
/* Both, of a file that must be there and be a logbook. */
int db_connect_existing(struct logbook **lb, const char *path, bool writable, struct error *err);
/* An empty logbook to write that is gone when it is closed; path: what it is called in complaints. *lb is set
 * also on failure. */
int db_open_nameless(struct logbook **lb, const char *path, struct error *err);
/* Gives a connection what readers have, and lets it write no more. */
int db_turn_to_reading(struct logbook *lb, struct error *err);
/* Closes without touching anything: an SQLite file that is not ours must not even leave its journal mode. */
void db_abandon(struct logbook **lb);
int db_create_views(struct logbook *lb, struct error *err);

/* Turns the connection's last failure into an error: "cannot DOING 'PATH': REASON". Returns -1. */
int db_error(struct logbook *lb, const char *doing, struct error *err);
/* The same for a result code that did not come from this connection's last call. */
int db_error_code(struct logbook *lb, int code, const char *doing, struct error *err);
int db_exec(struct logbook *lb, const char *sql, const char *doing, struct error *err);

/* BEGIN IMMEDIATE: waits for other writers, so that what is read inside may be relied on. */
int db_begin(struct logbook *lb, struct error *err);
int db_commit(struct logbook *lb, struct error *err); /* rolls back when it fails */
void db_rollback(struct logbook *lb);
/* Ends a transaction as `result` says: 0 commits, anything else rolls back. Returns -1 when either failed. */
int db_end(struct logbook *lb, int result, struct error *err);

/* ---- statements ---- */

enum { STATEMENT_REMEMBERED = 16 };

struct statement {
    struct logbook *lb;
    sqlite3_stmt *handle;
    const char *name;
    int bind_result; /* the first bind that failed, told by the next step */
    /* The order in which parameters are bound: the next row's are bound in the same, so that SQLite need not
     * look every name up again. */
    int next;
    struct {
        const char *name; /* SQLite's own copy */
        int index;        /* 0: nothing is remembered here */
    } order[STATEMENT_REMEMBERED];
    /* What is bound to parameter number i + 1, if that is an integer: it stays bound over resets. */
    struct {
        bool known;
        int64_t value;
    } bound[STATEMENT_REMEMBERED];
};

/* `name` is that of an embedded .sql file. */
int statement_open(struct statement *s, struct logbook *lb, const char *name, struct error *err);
int statement_open_text(struct statement *s, struct logbook *lb, const char *name, const char *sql,
                        struct error *err);
/* Parameters are named with their colon. One that is not in the statement is ignored. Text and blobs are not
 * copied, but by statement_text_copy: they must live until the statement is reset. */
void statement_int(struct statement *s, const char *parameter, int64_t value);
void statement_real(struct statement *s, const char *parameter, double value);
void statement_text(struct statement *s, const char *parameter, const char *value);
void statement_text_copy(struct statement *s, const char *parameter, const char *value);
void statement_blob(struct statement *s, const char *parameter, struct piece value);
void statement_null(struct statement *s, const char *parameter);
/* 1: a row, 0: done (and reset, ready for the next binds), -1: error (and reset). */
int statement_step(struct statement *s, struct error *err);
/* Steps to the end, for statements without rows. */
int statement_run(struct statement *s, struct error *err);
/* Steps to the end of an INSERT of one row; *rowid (may be NULL) receives its rowid. Faster than RETURNING,
 * for which SQLite keeps a journal of every page the statement touches. */
int statement_insert(struct statement *s, int64_t *rowid, struct error *err);
/* First column of the first row; found may be NULL, then no row is an error. Resets. */
int statement_scalar(struct statement *s, int64_t *value, bool *found, struct error *err);
void statement_reset(struct statement *s);
void statement_close(struct statement *s); /* safe on a zeroed one */
struct piece statement_column_blob(struct statement *s, int column);

struct parameter {
    const char *name; /* with its colon */
    int64_t number;
    const char *text; /* NULL: the number */
};
/* Runs every statement of a file to its end; parameters are bound in each that has them. */
int db_script(struct logbook *lb, const char *name, const struct parameter *parameters, int n,
              struct error *err);

/* Opens, binds nothing, steps once, closes: scalars and commands of a line. */
int db_run(struct logbook *lb, const char *name, struct error *err);
int db_scalar(struct logbook *lb, const char *name, int64_t *value, struct error *err);

#endif
