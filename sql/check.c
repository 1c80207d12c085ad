/* Whether a logbook can be trusted: the file itself, then what it says, each figure against those it can be
 * rebuilt from. Checks that SQL can state are in sql/check/; those that decode blobs and loads in check_*.c.
 * A damaged file does not end the check: what cannot be read is a violation, and the rest goes on. */
#include "sql/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- findings ---- */

struct check_finding *finding_add(struct check *c, const char *what)
{
    struct check_finding *finding = &c->findings[c->n < c->capacity ? c->n++ : c->capacity - 1];
    memset(finding, 0, sizeof *finding);
    snprintf(finding->what, sizeof finding->what, "%s", what);
    return finding;
}

void violated(struct check_finding *finding, const char *format, ...)
{
    va_list arguments;
    if (finding->violations++ == 0) {
        va_start(arguments, format);
        vsnprintf(finding->detail, sizeof finding->detail, format, arguments);
        va_end(arguments);
    }
}

int unreadable(struct check_finding *finding, const struct error *err)
{
    if (err->status != STATUS_INPUT) {
        return -1;
    }
    violated(finding, "%.200s", err->text);
    return 0;
}

void check_advance(struct check *c, const char *what)
{
    c->done++;
    if (c->progress != NULL) {
        progress_update(c->progress, c->done, what);
    }
}

/* ---- the file ---- */

static int read_integrity(struct logbook *lb, struct check_finding *finding, bool quick, struct error *err)
{
    struct statement s;
    int result = db_scalar(lb, "store/check_pages", &finding->checked, err);
    if (result != 0 ||
        statement_open(&s, lb, quick ? "store/check_file_quick" : "store/check_file", err) != 0) {
        return -1;
    }
    while ((result = statement_step(&s, err)) == 1) {
        const char *text = (const char *)sqlite3_column_text(s.handle, 0);
        if (text == NULL || strstr(text, "error code=7") != NULL) { /* SQLITE_NOMEM, in SQLite's words */
            result = error_no_memory(err, "the check of the file");
            break;
        }
        if (strcmp(text, "ok") != 0) {
            violated(finding, "%.200s", text);
        }
    }
    statement_close(&s);
    return result;
}

static int read_foreign_keys(struct logbook *lb, struct check_finding *finding, struct error *err)
{
    struct statement s;
    if (statement_open(&s, lb, "store/check_foreign_keys", err) != 0) {
        return -1;
    }
    int result;
    while ((result = statement_step(&s, err)) == 1) {
        violated(finding, "%s: row %" PRId64 " has no parent in %s",
                 (const char *)sqlite3_column_text(s.handle, 0), (int64_t)sqlite3_column_int64(s.handle, 1),
                 (const char *)sqlite3_column_text(s.handle, 2));
    }
    finding->checked = 1;
    statement_close(&s);
    return result;
}

static int check_file(struct check *c, bool quick, struct error *err)
{
    struct check_finding *file = finding_add(c, "file");
    if (read_integrity(c->lb, file, quick, err) != 0 && unreadable(file, err) != 0) {
        return -1;
    }
    struct check_finding *keys = finding_add(c, "foreign_keys");
    return read_foreign_keys(c->lb, keys, err) != 0 ? unreadable(keys, err) : 0;
}

/* ---- checks in SQL ---- */

static int read_stated(struct logbook *lb, const char *name, struct check_finding *finding, struct error *err)
{
    struct statement s;
    if (statement_open(&s, lb, name, err) != 0) {
        return -1;
    }
    int result = statement_step(&s, err);
    if (result == 1) {
        finding->checked = sqlite3_column_int64(s.handle, 0);
        finding->violations = sqlite3_column_int64(s.handle, 1);
        const char *detail = (const char *)sqlite3_column_text(s.handle, 2);
        if (finding->violations > 0) { /* a sentence about a NULL where none may be is NULL itself */
            snprintf(finding->detail, sizeof finding->detail, "%s",
                     detail != NULL ? detail : "a row without the values that it must have");
        }
        result = 0;
    }
    statement_close(&s);
    return result;
}

static int check_stated(struct check *c, struct error *err)
{
    const char *name;
    for (int i = 0; (name = sql_name("check/", i)) != NULL; i++) {
        struct check_finding *finding = finding_add(c, name + strlen("check/"));
        if (read_stated(c->lb, name, finding, err) != 0 && unreadable(finding, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- all of it ---- */

static int start_progress(struct check *c, bool quick, struct error *err)
{
    int64_t total = 0;
    if (c->progress == NULL) {
        return 0;
    }
    if (!quick && db_scalar(c->lb, "store/check_size", &total, err) != 0 && err->status != STATUS_INPUT) {
        return -1;
    }
    progress_start(c->progress, "check", total, 0, c->progress->quiet);
    progress_update(c->progress, 0, "pages");
    return 0;
}

static int check_all(struct check *c, bool quick, struct error *err)
{
    if (start_progress(c, quick, err) != 0 || check_file(c, quick, err) != 0 ||
        (!quick && (check_passes(c, err) != 0 || check_loads(c, err) != 0)) || check_stated(c, err) != 0) {
        return -1;
    }
    if (c->progress != NULL) {
        progress_finish(c->progress, NULL);
    }
    return 0;
}

int logbook_check_with(struct logbook *lb, const struct check_options *options,
                       struct check_finding *findings, int *n, struct error *err)
{
    struct check c = {.lb = lb, .findings = findings, .capacity = *n, .progress = options->progress};
    /* One view of the file for all checks, also while a run writes. */
    int result = db_exec(lb, "BEGIN", "read", err);
    if (result == 0) {
        result = check_all(&c, options->quick, err);
        sqlite3_exec(lb->db, "ROLLBACK", NULL, NULL, NULL);
    }
    *n = c.n;
    return result;
}

int logbook_check(struct logbook *lb, struct check_finding *findings, int *n, struct error *err)
{
    const struct check_options options = {0};
    return logbook_check_with(lb, &options, findings, n, err);
}
