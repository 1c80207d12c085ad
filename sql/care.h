/* Care of a logbook: copies, and changes to what is in it, by request and never by the way. The programs of
 * care/ are made of these. What changes a logbook does so in one transaction. */
#ifndef SQL_CARE_H
#define SQL_CARE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/progress.h"
#include "sql/logbook.h"

/* Copies the logbook to `path`: one file, compact, not in WAL mode, that appears whole or not at all. Works
 * on a reader while a run is writing; what it has not committed yet is not in the copy. `lb` must not be in a
 * transaction. A file that is there already is STATUS_USAGE unless `replace`; no room for the copy is
 * STATUS_MACHINE, told before it is begun where that can be known. progress (bytes; may be NULL): started by
 * the caller. */
int logbook_snapshot(struct logbook *lb, const char *path, bool replace, struct progress *progress,
                     struct error *err);

/* Bytes that the logbook's content takes; what deleted rows have left free in the file is not counted. */
int logbook_bytes(struct logbook *lb, int64_t *bytes, struct error *err);

#endif
