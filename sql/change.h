/* What changes to a logbook's runs share. Private to sql/. */
#ifndef SQL_CHANGE_H
#define SQL_CHANGE_H
#include <stdbool.h>
#include <stdint.h>

#include "sql/db.h"

/* The run of that name, unless somebody is writing it: STATUS_USAGE then, or when it stalled and not `force`.
 * Inside a transaction the answer stays true. */
int change_find_run(struct logbook *lb, const char *name, bool force, int64_t *run_id, struct error *err);
/* Bytes that are free inside the file. */
int change_free_bytes(struct logbook *lb, int64_t *bytes, struct error *err);

/* A transaction in which foreign keys are not looked after: every deleted sample would be looked for among
 * all sequences. */
int change_begin(struct logbook *lb, struct error *err);
/* Ends it as `result` says; also when nothing is to stay. */
int change_end(struct logbook *lb, int result, bool dry_run, struct error *err);

#endif
