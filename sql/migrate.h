/* A logbook's schema changes only when asked, by `moescope migrate`: steps in sql/migrations/, each from one
 * version to the next. */
#ifndef SQL_MIGRATE_H
#define SQL_MIGRATE_H
#include "base/error.h"

struct logbook_migration {
    int from, to; /* schema versions; the same when there was nothing to do */
};

/* Takes the logbook to the present schema in one transaction: killed or out of room, it is as it was.
 * `backup`: a copy of it as it was before, made first; NULL: none. STATUS_INPUT when it is missing, not a
 * logbook or of a newer schema; STATUS_USAGE when the backup's file is there already. */
int logbook_migrate(const char *path, const char *backup, struct logbook_migration *done, struct error *err);

#endif
