/* Merging: which of an input's runs are here, and what to do about it; the copying itself is in sql/merge/.
 */
#include "sql/merge.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sql/merge_item.h"
#include "sql/read.h"

const char *const merge_deeds[] = {
    [MERGE_ADDED] = "added",   [MERGE_UNCHANGED] = "unchanged", [MERGE_RENEWED] = "renewed",
    [MERGE_SUMMED] = "summed", [MERGE_KEPT] = "kept",
};

/* ---- statements ---- */

int merge_script(struct merge *m, const struct merge_item *item, const char *name, struct error *err)
{
    const struct parameter parameters[] = {number(":old", item->old), number(":new", item->new)};
    return db_script(m->lb, name, parameters, 2, err);
}

int merge_ask(struct merge *m, const struct merge_item *item, const char *name, int64_t *value,
              struct error *err)
{
    struct statement s;
    bool found;
    int result = statement_open(&s, m->lb, name, err);
    if (result == 0) {
        statement_int(&s, ":old", item->old);
        statement_int(&s, ":new", item->new);
        result = statement_scalar(&s, value, &found, err);
        *value = result == 0 && found ? *value : 0;
    }
    statement_close(&s);
    return result;
}

int merge_ask_text(struct merge *m, const struct merge_item *item, const char *name, char **text,
                   struct error *err)
{
    struct statement s;
    int result = statement_open(&s, m->lb, name, err);
    *text = NULL;
    if (result == 0) {
        statement_int(&s, ":old", item != NULL ? item->old : 0);
        statement_int(&s, ":new", item != NULL ? item->new : 0);
        result = statement_step(&s, err);
    }
    const char *value = result == 1 ? (const char *)sqlite3_column_text(s.handle, 0) : NULL;
    if (value != NULL && (*text = strdup(value)) == NULL) {
        result = error_no_memory(err, "a merge");
    }
    statement_close(&s);
    return result < 0 ? -1 : 0;
}

int merge_refuse_conflict(struct merge *m, const struct merge_item *item, const char *query, const char *what,
                          struct error *err)
{
    char *detail;
    if (merge_ask_text(m, item, query, &detail, err) != 0) {
        return -1;
    }
    int result = detail == NULL ? 0
                                : error_set(err, STATUS_INPUT, "cannot merge '%s' into '%s'%s: %s", m->path,
                                            m->lb->path, what, detail);
    free(detail);
    return result;
}

/* ---- an input ---- */

static char *copy_column(struct statement *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s->handle, column);
    return strdup(text != NULL ? text : "");
}

static int list_run(struct merge *m, struct statement *s, struct error *err)
{
    void *items = realloc(m->items, (size_t)(m->n_items + 1) * sizeof *m->items);
    if (items == NULL) {
        return error_no_memory(err, "the list of runs");
    }
    m->items = items;
    struct merge_item *item = &m->items[m->n_items++];
    bool sequences = sqlite3_column_int64(s->handle, 7) > 0;
    *item = (struct merge_item){.old = sqlite3_column_int64(s->handle, 0),
                                .new = sqlite3_column_int64(s->handle, 3),
                                .first = sqlite3_column_int64(s->handle, 5),
                                .last = sequences ? sqlite3_column_int64(s->handle, 6) : -1,
                                .sequences = sqlite3_column_int64(s->handle, 7)};
    text_init(&item->note);
    item->name = copy_column(s, 1);
    item->status = copy_column(s, 2);
    item->name_here = item->new != 0 ? copy_column(s, 4) : NULL;
    if (sequences && (item->first < 0 || item->last >= INT64_MAX / LOGBOOK_MAX_LAYERS)) {
        return error_set(
            err, STATUS_INPUT,
            "cannot merge '%s': run '%s' has sequence ids that none can have; `moescope check` says more",
            m->path, item->name);
    }
    if (item->name == NULL || item->status == NULL || (item->new != 0 && item->name_here == NULL)) {
        return error_no_memory(err, "the list of runs");
    }
    return 0;
}

static bool is_wanted(const struct merge *m, struct statement *s)
{
    const char *name = (const char *)sqlite3_column_text(s->handle, 1);
    return m->options->only == NULL || (name != NULL && strcmp(name, m->options->only) == 0);
}

static int list_runs(struct merge *m, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, m->lb, "merge/runs", err);
    if (result == 0) {
        while ((result = statement_step(&s, err)) == 1) {
            if (is_wanted(m, &s) && list_run(m, &s, err) != 0) {
                result = -1;
                break;
            }
        }
    }
    statement_close(&s);
    return result;
}

/* What is done with each run is settled first: a refusal comes before the work. */
static int decide_all(struct merge *m, struct error *err)
{
    for (int i = 0; i < m->n_items; i++) {
        struct merge_item *item = &m->items[i];
        item->deed = MERGE_ADDED;
        if (item->new != 0 && merge_decide(m, item, err) != 0) {
            return -1;
        }
        if (item->deed == MERGE_UNCHANGED || item->deed == MERGE_KEPT) {
            item->sequences = 0;
        } else {
            m->total += item->sequences;
        }
    }
    return 0;
}

static int merge_all(struct merge *m, struct error *err)
{
    if (db_script(m->lb, "merge/clear", NULL, 0, err) != 0 ||
        db_script(m->lb, "merge/corpora", NULL, 0, err) != 0 ||
        merge_refuse_conflict(m, NULL, "merge/conflict", "", err) != 0 || list_runs(m, err) != 0 ||
        decide_all(m, err) != 0) {
        return -1;
    }
    for (int i = 0; i < m->n_items; i++) {
        struct merge_item *item = &m->items[i];
        if (merge_do(m, item, err) != 0) {
            return error_prefix(err, "run '%s' of '%s'", item->name, m->path);
        }
        if (item->deed != MERGE_UNCHANGED && strcmp(item->status, "running") == 0) {
            text_printf(&item->note, "%sis still running there, or was killed: merge again when it has ended",
                        item->note.length > 0 ? "; " : "");
        }
    }
    return 0;
}

static void tell_all(const struct merge *m)
{
    for (int i = 0; m->options->tell != NULL && i < m->n_items; i++) {
        const struct merge_item *item = &m->items[i];
        const struct merge_run run = {.name = item->name,
                                      .name_here = item->name_here,
                                      .status = item->status,
                                      .note = item->note.length > 0 ? item->note.data : NULL,
                                      .deed = item->deed,
                                      .sequences = item->sequences};
        m->options->tell(m->options->context, &run);
    }
}

/* ---- attaching ---- */

/* "file:/a/b%20c?mode=ro": only read, and never created. */
static int input_uri(const char *path, struct text *uri, struct error *err)
{
    char absolute[PATH_MAX];
    if (realpath(path, absolute) == NULL) {
        return error_errno(err, "open", path);
    }
    text_add(uri, "file:");
    for (const char *c = absolute; *c != '\0'; c++) {
        if (strchr("?#%", *c) != NULL) {
            text_printf(uri, "%%%02X", (unsigned)(unsigned char)*c);
        } else {
            text_add_bytes(uri, c, 1);
        }
    }
    text_add(uri, "?mode=ro");
    return uri->failed ? error_no_memory(err, "a path") : 0;
}

/* A merge is one transaction: a run that wants to log its step meanwhile would wait for it, and in the end
 * give up. */
static int refuse_written(struct merge *m, struct error *err)
{
    char *name;
    const struct merge_item none = {0};
    if (merge_ask_text(m, &none, "merge/being_written", &name, err) != 0) {
        return -1;
    }
    int result = name == NULL
                     ? 0
                     : error_set(err, STATUS_USAGE,
                                 "cannot merge into '%s': its run '%s' is being written; merge both into a "
                                 "new file, or wait until it has ended (if it was killed: a minute)",
                                 m->lb->path, name);
    free(name);
    return result;
}

/* Opened once as any reader does, for what is wrong with it to be said well. */
static int inspect_input(struct merge *m, struct error *err)
{
    struct logbook *input;
    struct stat here, there;
    if (stat(sqlite3_db_filename(m->lb->db, "main"), &here) == 0 && stat(m->path, &there) == 0 &&
        here.st_dev == there.st_dev && here.st_ino == there.st_ino) {
        return error_set(err, STATUS_USAGE, "'%s' cannot be merged into itself", m->path);
    }
    if (logbook_open(&input, m->path, err) != 0) {
        return -1;
    }
    m->version = input->version;
    moescope_close(input);
    return 0;
}

static int attach(struct merge *m, struct error *err)
{
    struct text uri;
    text_init(&uri);
    int result = input_uri(m->path, &uri, err);
    if (result == 0) {
        const struct parameter file = words(":file", uri.data);
        result = db_script(m->lb, "merge/attach", &file, 1, err);
    }
    text_release(&uri);
    return result;
}

static int merge_attached(struct merge *m, struct error *err)
{
    if (db_begin(m->lb, err) != 0) {
        return -1;
    }
    int result = db_end(m->lb, merge_all(m, err), err);
    if (result == 0) {
        tell_all(m);
    }
    return result;
}

static void release(struct merge *m)
{
    for (int i = 0; i < m->n_items; i++) {
        free(m->items[i].name);
        free(m->items[i].name_here);
        free(m->items[i].status);
        text_release(&m->items[i].note);
    }
    free(m->items);
}

/* Into a new file everything is appended: without the detour through a WAL half of it has to be written.
 * Nobody reads there yet; who does later may be waited for, or wait. */
static int write_straight(struct logbook *lb, struct error *err)
{
    int64_t runs;
    if (db_scalar(lb, "merge/count_runs", &runs, err) != 0) {
        return -1;
    }
    if (runs == 0) { /* best effort: with others there it stays as it is */
        sqlite3_exec(lb->db, sql_text("store/journal_delete"), NULL, NULL, NULL);
    }
    return 0;
}

int logbook_merge(struct logbook *lb, const char *path, const struct merge_options *options,
                  struct error *err)
{
    struct merge m = {.lb = lb, .path = path, .options = options};
    if (inspect_input(&m, err) != 0 || refuse_written(&m, err) != 0) {
        return -1;
    }
    /* The maps keep every id in the family; foreign keys would look each of millions up once more. */
    sqlite3_db_config(lb->db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
    int result = write_straight(lb, err);
    if (result == 0) {
        result = db_script(lb, "merge/maps", NULL, 0, err);
    }
    if (result == 0) {
        result = attach(&m, err);
    }
    if (result == 0) {
        result = merge_attached(&m, err);
        db_script(lb, "merge/detach", NULL, 0, NULL);
    }
    sqlite3_db_config(lb->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    release(&m);
    return result;
}
