/* Opening, creating and closing a logbook; what only readers need is in sql/open.c. */
#include "sql/logbook.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/options.h"
#include "base/text.h"
#include "sql/db.h"
#include "sql/filesystem.h"
#include "sql/read.h"
#include "sql/refuse.h"

enum {
    BUSY_SECONDS = 60,
    MOST_BUSY_SECONDS = 1000000,
    CLOSE_BUSY_MILLISECONDS = 500,
    POLL_MILLISECONDS = 20
};
/* Of a value or a row: what is written can be read, and what is read takes no more memory than this. Above
 * the largest block (CODEC_MOST_DECISIONS). */
enum { MAX_VALUE_BYTES = 128 << 20 };

/* Whether the file's header says WAL: byte 18, the write version, is 2. */
static bool marked_wal(const char *path)
{
    unsigned char header[20] = {0};
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return false;
    }
    bool marked = fread(header, 1, sizeof header, f) == sizeof header && header[18] == 2;
    fclose(f);
    return marked;
}

/* In WAL mode and without a WAL. Asked before SQLite looks at the file, and makes an empty one. */
static bool lacks_wal(const char *path)
{
    struct text wal;
    text_init(&wal);
    text_printf(&wal, "%s-wal", path);
    bool lacks = !wal.failed && access(wal.data, F_OK) != 0 && marked_wal(path);
    text_release(&wal);
    return lacks;
}

static int read_failed(struct logbook *lb, struct error *err)
{
    int code = sqlite3_errcode(lb->db) & 0xff;
    if (sqlite3_extended_errcode(lb->db) == SQLITE_READONLY_ROLLBACK) {
        return error_set(
            err, STATUS_INPUT,
            "cannot open '%s': a program that was killed left half a transaction in it, which only "
            "who may write can take back; copy it together with '%s-journal' to a folder of yours",
            lb->path, lb->path);
    }
    if (code == SQLITE_NOTADB) {
        return error_set(err, STATUS_INPUT, "'%s' is not a logbook: not an SQLite file", lb->path);
    }
    if ((code == SQLITE_CANTOPEN || code == SQLITE_READONLY) && marked_wal(lb->path)) {
        return error_set(err, STATUS_INPUT,
                         "cannot open '%s': a run that is running or was killed left it in WAL mode, which "
                         "cannot be read from a folder that is not writable; copy it together with '%s-wal' "
                         "to one that is",
                         lb->path, lb->path);
    }
    return db_error(lb, "open", err);
}

/* Whatever ought to be a table of rows and is a view or a virtual table could cost its reader any time. */
static int require_tables(struct logbook *lb, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, "store/odd_relations", err);
    if (result == 0 && (result = statement_step(&s, err)) == 1) {
        error_set(err, STATUS_INPUT,
                  "'%s' is not a logbook that a moescope made: '%s' is not a table in it but a %s", lb->path,
                  (const char *)sqlite3_column_text(s.handle, 0),
                  (const char *)sqlite3_column_text(s.handle, 1));
        result = -1;
    }
    statement_close(&s);
    return result;
}

int db_identify(struct logbook *lb, bool *fresh, struct error *err)
{
    struct statement s;
    if (statement_open(&s, lb, "store/identify", NULL) != 0 || sqlite3_step(s.handle) != SQLITE_ROW) {
        statement_close(&s);
        return read_failed(lb, err);
    }
    int application = sqlite3_column_int(s.handle, 0);
    int version = lb->version = sqlite3_column_int(s.handle, 1);
    int relations = sqlite3_column_int(s.handle, 2);
    statement_close(&s);
    *fresh = application == 0 && relations == 0;
    if (application != LOGBOOK_APPLICATION_ID && !*fresh) {
        return error_set(err, STATUS_INPUT, "'%s' is not a logbook: an SQLite file of another program",
                         lb->path);
    }
    if (version > LOGBOOK_SCHEMA_VERSION) {
        return error_set(err, STATUS_INPUT,
                         "cannot open '%s': its schema is version %d, this program knows up to %d; use the "
                         "moescope that wrote it, or a newer one",
                         lb->path, version, LOGBOOK_SCHEMA_VERSION);
    }
    return *fresh ? 0 : require_tables(lb, err);
}

/* A schema changes only when asked, so that programs of both versions do not write into each other's. */
static int refuse_older(struct logbook *lb, struct error *err)
{
    if (lb->version == LOGBOOK_SCHEMA_VERSION) {
        return 0;
    }
    return error_set(err, STATUS_INPUT,
                     "cannot write to '%s': its schema is version %d and this program writes version %d; run "
                     "`moescope migrate` on it, which keeps a backup",
                     lb->path, lb->version, LOGBOOK_SCHEMA_VERSION);
}

/* How long to wait for another program that holds the file: $MOESCOPE_WAIT seconds, or a minute. */
static int busy_milliseconds(void)
{
    const char *told = getenv("MOESCOPE_WAIT");
    char *end = NULL;
    double seconds = told != NULL ? strtod(told, &end) : BUSY_SECONDS;
    bool number = told == NULL || (end != told && *end == '\0');
    return (int)(1000 * (number && seconds >= 0 && seconds <= MOST_BUSY_SECONDS ? seconds : BUSY_SECONDS));
}

/* SQLite would open a pipe, and wait for what comes out of it. */
static int refuse_irregular(const char *path, struct error *err)
{
    struct stat info;
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) {
        return 0;
    }
    return error_set(err, STATUS_INPUT, "cannot open '%s': it is %s, not a file", path,
                     S_ISDIR(info.st_mode)    ? "a folder"
                     : S_ISFIFO(info.st_mode) ? "a pipe"
                                              : "a device");
}

/* SQLite says of a file that it may not make that there is none. */
static int why_not_made(const char *path)
{
    char *folder = strdup(path), *slash = folder != NULL ? strrchr(folder, '/') : NULL;
    if (slash != NULL) {
        slash[slash == folder] = '\0';
    }
    int cause = folder != NULL && access(slash != NULL ? folder : ".", W_OK) != 0 ? errno : ENOENT;
    free(folder);
    return cause;
}

/* The file of that name: SQLite would take "", ":memory:" and "file:...?mode=memory" for places where a whole
 * run is forgotten at its end. URIs are for what a merge attaches. */
static int open_file(const char *path, int flags, sqlite3 **db)
{
    struct text file;
    text_init(&file);
    text_printf(&file, "%s%s", path[0] == '/' ? "" : "./", path);
    int code = file.failed
                   ? SQLITE_NOMEM
                   : sqlite3_open_v2(file.data, db, flags | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_URI, NULL);
    text_release(&file);
    return code;
}

/* Without statistics of memory, which nobody asks for, SQLite's allocations take no lock. Too late, and of no
 * consequence, where the process used SQLite before. In other people's processes it is theirs to say. */
#ifndef MOESCOPE_LIBRARY
static void without_statistics(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}
#endif

static void configure_sqlite(void)
{
#ifndef MOESCOPE_LIBRARY
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, without_statistics);
#endif
}

static int new_logbook(struct logbook **out, const char *path, struct error *err)
{
    configure_sqlite();
    struct logbook *lb = calloc(1, sizeof *lb);
    *out = lb;
    if (lb == NULL) {
        return error_no_memory(err, "a logbook");
    }
    pthread_mutex_init(&lb->transaction, NULL);
    lb->path = strdup(path);
    return lb->path != NULL ? 0 : error_no_memory(err, "a logbook's path");
}

static void set_up_connection(struct logbook *lb)
{
    sqlite3_extended_result_codes(lb->db, 1);
    sqlite3_limit(lb->db, SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES);
    sqlite3_db_config(lb->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_busy_timeout(lb->db, busy_milliseconds());
}

int db_connect(struct logbook **out, const char *path, bool writable, struct error *err)
{
    if (new_logbook(out, path, err) != 0) {
        return -1;
    }
    struct logbook *lb = *out;
    if (path[0] == '\0') {
        return error_set(err, STATUS_INPUT, "a logbook needs the name of a file, not ''");
    }
    if (refuse_irregular(path, err) != 0) {
        return -1;
    }
    lb->lacks_wal = !writable && lacks_wal(path);
    int flags = writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    int code = open_file(path, flags, &lb->db);
    if (code != SQLITE_OK) {
        int cause = lb->db == NULL ? 0 : sqlite3_system_errno(lb->db);
        if (cause != 0) {
            errno = writable && cause == ENOENT ? why_not_made(path) : cause;
            return error_errno(err, "open", path);
        }
        return db_error_code(lb, code, "open", err);
    }
    set_up_connection(lb);
    return 0;
}

void db_abandon(struct logbook **lb)
{
    if (*lb != NULL) {
        (*lb)->writable = false;
        moescope_close(*lb);
        *lb = NULL;
    }
}

/* A kill outside of WAL mode leaves half a transaction in the file, and what it replaced in a journal:
 * whoever opens the file next takes it back, but a reader that only reads cannot. */
static int take_back(const char *path)
{
    sqlite3 *db = NULL;
    int code = open_file(path, SQLITE_OPEN_READWRITE, &db);
    if (code == SQLITE_OK) {
        code = sqlite3_exec(db, sql_text("store/identify"), NULL, NULL, NULL);
    }
    sqlite3_close_v2(db);
    return code;
}

static int connect_and_identify(struct logbook **out, const char *path, bool writable, bool *fresh,
                                struct error *err)
{
    if (db_connect(out, path, writable, err) != 0) {
        return -1;
    }
    int result = db_identify(*out, fresh, err);
    if (result == 0 || sqlite3_extended_errcode((*out)->db) != SQLITE_READONLY_ROLLBACK) {
        return result;
    }
    int code = take_back(path);
    if (code == SQLITE_OK) {
        db_abandon(out);
        return db_connect(out, path, writable, err) != 0 ? -1 : db_identify(*out, fresh, err);
    }
    /* A full disk is worth more words than what it kept us from. */
    return (code & 0xff) == SQLITE_READONLY || (code & 0xff) == SQLITE_CANTOPEN
               ? -1
               : db_error_code(*out, code, "open", err);
}

int db_connect_existing(struct logbook **out, const char *path, bool writable, struct error *err)
{
    bool fresh = false;
    *out = NULL;
    if (access(path, F_OK) != 0) {
        return errno == ENOENT
                   ? error_set(err, STATUS_INPUT,
                               "cannot open '%s': no such file; `moescope train --log` makes a logbook", path)
                   : error_errno(err, "open", path);
    }
    if (connect_and_identify(out, path, writable, &fresh, err) != 0) {
        return -1;
    }
    return fresh ? error_set(err, STATUS_INPUT, "'%s' is not a logbook: it is empty", path) : 0;
}

int db_create_views(struct logbook *lb, struct error *err)
{
    const char *view;
    for (int i = 0; (view = sql_name("views/", i)) != NULL; i++) {
        if (db_exec(lb, sql_text(view), "create", err) != 0) {
            return error_prefix(err, "%s", view);
        }
    }
    return 0;
}

static int create_relations(struct logbook *lb, struct error *err)
{
    if (db_exec(lb, sql_text("schema"), "create", err) != 0 || db_create_views(lb, err) != 0) {
        return -1;
    }
    return db_exec(lb, sql_text("store/create"), "create", err);
}

/* Two programs may open a new file at once: who comes second finds the schema there. */
static int create_schema(struct logbook *lb, struct error *err)
{
    bool fresh;
    if (db_begin(lb, err) != 0) {
        return -1;
    }
    int result = db_identify(lb, &fresh, err);
    if (result == 0 && fresh) {
        result = create_relations(lb, err);
        lb->version = LOGBOOK_SCHEMA_VERSION;
    }
    return db_end(lb, result, err);
}

/* A reader in the file is in the way. SQLite waits for others, but not to change the journal. */
static int change_journal(struct logbook *lb, const char *name, int milliseconds)
{
    int code = sqlite3_exec(lb->db, sql_text(name), NULL, NULL, NULL);
    while ((code & 0xff) == SQLITE_BUSY && milliseconds > 0) {
        milliseconds -= sqlite3_sleep(POLL_MILLISECONDS);
        code = sqlite3_exec(lb->db, sql_text(name), NULL, NULL, NULL);
    }
    return code;
}

/* On a file system that other machines may see there is no WAL. One that a killed run left behind is read
 * alone, without the shared memory, and put into the file. */
static int choose_journal(struct logbook *lb, struct error *err)
{
    const char *name = lb->remote[0] != '\0' ? "store/journal_remote" : "store/journal_wal";
    return change_journal(lb, name, busy_milliseconds()) == SQLITE_OK ? 0 : db_error(lb, "open", err);
}

static int open_writable(struct logbook *lb, struct error *err)
{
    bool fresh = false;
    char filesystem[FILESYSTEM_NAME];
    filesystem_of(lb->path, filesystem);
    if (filesystem_is_remote(filesystem)) {
        memcpy(lb->remote, filesystem, sizeof lb->remote);
        if (marked_wal(lb->path) && db_exec(lb, sql_text("store/lock_alone"), "open", err) != 0) {
            return -1;
        }
    }
    if (db_identify(lb, &fresh, err) != 0 || (!fresh && refuse_older(lb, err) != 0) ||
        db_exec(lb, sql_text("store/open_write"), "open", err) != 0 ||
        (fresh && create_schema(lb, err) != 0) || choose_journal(lb, err) != 0) {
        return -1;
    }
    lb->writable = true;
    return 0;
}

/* What was made for a logbook and did not become one, for want of room: nobody's file, and in the way of the
 * next try's. One that was there is left, and one that has something in it. */
static void remove_empty(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == 0) {
        unlink(path);
    }
}

int moescope_open(struct logbook **out, const char *path, struct error *err)
{
    *out = NULL;
    if (refuse_null(path, "the logbook's path", err) != 0) {
        return -1;
    }
    bool made = access(path, F_OK) != 0;
    int result = db_connect(out, path, true, err);
    if (result == 0) {
        result = open_writable(*out, err);
    }
    if (result != 0) {
        db_abandon(out);
    }
    if (result != 0 && made) {
        remove_empty(path);
    }
    return result;
}

/* SQLite's "" is a file in the folder for temporary ones that has no name as soon as it is open. */
int db_open_nameless(struct logbook **out, const char *path, struct error *err)
{
    if (new_logbook(out, path, err) != 0) {
        return -1;
    }
    struct logbook *lb = *out;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_URI;
    int code = sqlite3_open_v2("", &lb->db, flags, NULL);
    if (code != SQLITE_OK) {
        return db_error_code(lb, code, "open", err);
    }
    set_up_connection(lb);
    return db_exec(lb, sql_text("store/open_write"), "open", err) != 0 ? -1 : create_schema(lb, err);
}

const char *logbook_remote(const struct logbook *lb)
{
    return lb->remote[0] != '\0' ? lb->remote : NULL;
}

bool logbook_lacks_wal(const struct logbook *lb)
{
    return lb->lacks_wal;
}

const char *moescope_version(void)
{
    return MOESCOPE_VERSION;
}

bool moescope_close(struct logbook *lb)
{
    bool alone = true;
    if (lb == NULL) {
        return alone;
    }
    if (lb->writable) {
        /* Fails while others have the file open: the next writer to close can do it. Who wrote nothing does
         * not wait for it. */
        int patience = sqlite3_total_changes(lb->db) > 0 ? CLOSE_BUSY_MILLISECONDS : 0;
        sqlite3_busy_timeout(lb->db, POLL_MILLISECONDS);
        alone = change_journal(lb, "store/journal_delete", patience) == SQLITE_OK;
    }
    sqlite3_close_v2(lb->db);
    pthread_mutex_destroy(&lb->transaction);
    free(lb->path);
    free(lb);
    return alone;
}
