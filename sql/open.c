/* Opening a logbook to read: the views as this program knows them, and the fast relations in their place. */
#include <string.h>

#include "base/text.h"
#include "sql/db.h"
#include "sql/extension.h"
#include "sql/read.h"

/* The other views as this program knows them: in a file from elsewhere they may say anything, and go on for
 * ever. */
static int shadow_views(struct logbook *lb, struct error *err)
{
    static const char create[] = "CREATE VIEW "; /* lint: allow sql, it is looked for in a .sql file */
    static const char shadow[] =
        "CREATE TEMP VIEW IF NOT EXISTS "; /* lint: allow sql, takes the place of those words */
    const char *view;
    int result = 0;
    for (int i = 0; result == 0 && (view = sql_name("views/", i)) != NULL; i++) {
        const char *sql = sql_text(view), *at = strstr(sql, create);
        struct text text;
        text_init(&text);
        text_add(&text, shadow);
        text_add(&text, at + strlen(create));
        result = text.failed ? error_no_memory(err, "a view") : db_exec(lb, text.data, "open", err);
        text_release(&text);
    }
    return result;
}

/* Readers get the virtual tables in the place of the views. */
static int add_fast_relations(struct logbook *lb, struct error *err)
{
    char *message = NULL;
    int code = sqlite3_moescope_init(lb->db, &message, NULL);
    if (code == SQLITE_OK) {
        return 0;
    }
    db_error_code(lb, code, "open", err);
    if (message != NULL && (code & 0xff) == SQLITE_ERROR) {
        error_set(err, STATUS_INPUT, "cannot open '%s': %s", lb->path, message);
    }
    sqlite3_free(message);
    return -1;
}

int db_turn_to_reading(struct logbook *lb, struct error *err)
{
    if (add_fast_relations(lb, err) != 0 || shadow_views(lb, err) != 0) {
        return -1;
    }
    return db_exec(lb, sql_text("store/open_read"), "open", err);
}

int logbook_open(struct logbook **out, const char *path, struct error *err)
{
    int result = db_connect_existing(out, path, false, err);
    if (result == 0 && (*out)->version < 2) {
        result = db_exec(*out, sql_text("store/open_read_1"), "open", err);
    }
    if (result == 0) {
        result = db_turn_to_reading(*out, err);
    }
    if (result != 0) {
        db_abandon(out);
    }
    return result;
}
