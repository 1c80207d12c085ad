#include "sql/extension.h"

#include "base/options.h"
#include "sql/aggregate.h"
#include "sql/read.h"
#include "sql/vtab.h"

enum { NEEDED_VERSION = 3037000 }; /* STRICT tables */

#ifdef MOESCOPE_LOADABLE
const sqlite3_api_routines *sqlite3_api;
#define EXPORTED __attribute__((visibility("default")))
#else
#define EXPORTED
#endif

static void version(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc, (void)argv;
    sqlite3_result_text(context, MOESCOPE_VERSION, -1, SQLITE_STATIC);
}

static int register_all(sqlite3 *db)
{
    int code = sqlite3_create_function_v2(db, "moescope_version", 0,
                                          SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
                                          version, NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        code = aggregates_register(db);
    }
    return code == SQLITE_OK ? vtab_register(db) : code;
}

/* Another program's tables keep their names. */
static int may_shadow(sqlite3 *db, bool *may)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, sql_text("extension/shadows"), -1, &s, NULL);
    if (code == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
        *may = sqlite3_column_int(s, 0) != 0 || sqlite3_column_int(s, 1) == 0;
    }
    int finished = sqlite3_finalize(s);
    return code != SQLITE_OK ? code : finished;
}

EXPORTED int sqlite3_moescope_init(sqlite3 *db, char **message, const sqlite3_api_routines *api)
{
    bool may = false;
#ifdef MOESCOPE_LOADABLE
    sqlite3_api = api;
#else
    (void)api;
#endif
    if (sqlite3_libversion_number() < NEEDED_VERSION) {
        *message = sqlite3_mprintf("moescope needs SQLite 3.37 or newer, this is %s", sqlite3_libversion());
        return SQLITE_ERROR;
    }
    int code = register_all(db);
    if (code == SQLITE_OK) {
        code = may_shadow(db, &may);
    }
    if (code == SQLITE_OK && may) {
        code = sqlite3_exec(db, sql_text("extension/create"), NULL, NULL, NULL);
    }
    if (code != SQLITE_OK) {
        *message = sqlite3_mprintf("%s", sqlite3_errmsg(db));
    }
    return code;
}
