/* From an older schema to the present one, when asked. */
#include "sql/migrate.h"

#include <stdio.h>
#include <unistd.h>

#include "sql/care.h"
#include "sql/db.h"
#include "sql/read.h"

/* One step: sql/migrations/N_to_M.sql. */
static int run_step(struct logbook *lb, int version, struct error *err)
{
    char step[32], name[64];
    snprintf(step, sizeof step, "%d_to_%d", version, version + 1);
    snprintf(name, sizeof name, "migrations/%s", step);
    const char *sql = sql_text(name);
    if (sql == NULL) {
        return error_set(err, STATUS_INPUT, "'%s' is of schema version %d, from which no step is known",
                         lb->path, version);
    }
    return db_exec(lb, sql, "migrate", err) == 0 ? 0 : error_prefix(err, "%s", name);
}

static int run_steps(struct logbook *lb, struct error *err)
{
    for (int version = lb->version; version < LOGBOOK_SCHEMA_VERSION; version++) {
        if (run_step(lb, version, err) != 0) {
            return -1;
        }
    }
    return db_create_views(lb, err);
}

/* By a reader of its own: a connection in a transaction cannot copy. */
static int back_up(const char *path, const char *backup, struct error *err)
{
    struct logbook *reader;
    if (logbook_open(&reader, path, err) != 0) {
        return -1;
    }
    int result = logbook_snapshot(reader, backup, false, NULL, err);
    moescope_close(reader);
    return result;
}

/* Inside the transaction, so that nobody else can write between the backup and the steps. */
static int migrate_older(struct logbook *lb, const char *backup, struct error *err)
{
    if (backup != NULL && back_up(lb->path, backup, err) != 0) {
        return -1;
    }
    if (run_steps(lb, err) != 0) {
        if (backup != NULL) {
            unlink(backup); /* there is no need of it, and the next try wants the name */
        }
        return -1;
    }
    return 0;
}

static int migrate(struct logbook *lb, const char *backup, struct logbook_migration *done, struct error *err)
{
    bool fresh;
    if (db_begin(lb, err) != 0) {
        return -1;
    }
    int result = db_identify(lb, &fresh, err);
    done->from = lb->version; /* perhaps another migration came first */
    if (result == 0 && lb->version < LOGBOOK_SCHEMA_VERSION) {
        result = migrate_older(lb, backup, err);
    }
    return db_end(lb, result, err);
}

static int refuse_backup(const char *backup, struct error *err)
{
    return backup == NULL || access(backup, F_OK) != 0
               ? 0
               : error_set(err, STATUS_USAGE,
                           "the backup '%s' is there already, perhaps of an earlier try; name another by "
                           "--backup, or remove it",
                           backup);
}

int logbook_migrate(const char *path, const char *backup, struct logbook_migration *done, struct error *err)
{
    struct logbook *lb;
    if (db_connect_existing(&lb, path, true, err) != 0) {
        db_abandon(&lb);
        return -1;
    }
    *done = (struct logbook_migration){lb->version, LOGBOOK_SCHEMA_VERSION};
    int result = 0;
    if (lb->version < LOGBOOK_SCHEMA_VERSION) {
        result = refuse_backup(backup, err) == 0 ? migrate(lb, backup, done, err) : -1;
    }
    lb->writable = result == 0; /* a killed run's WAL goes, and with it the mark */
    moescope_close(lb);
    return result;
}
