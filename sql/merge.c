/* Merging: which of an input's runs are here, and what to do about it; the copying itself is in sql/merge/.
 */
#include "sql/merge.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "sql/db.h"
#include "sql/loads.h"
#include "sql/read.h"

const char *const merge_deeds[] = {
    [MERGE_ADDED] = "added",   [MERGE_UNCHANGED] = "unchanged", [MERGE_RENEWED] = "renewed",
    [MERGE_SUMMED] = "summed", [MERGE_KEPT] = "kept",
};

/* Sequences copied by one statement: progress is told, and a signal answered, in between. */
enum { CHUNK = 4096 };

struct merge_item { /* a run of the input */
    int64_t old, new;
    int64_t first, last, sequences; /* where its sequences are; 0, -1, 0: nowhere */
    char *name, *name_here, *status;
    struct text note;
    enum merge_deed deed;
};

struct merge {
    struct logbook *lb;
    const char *path;
    const struct merge_options *options;
    int version; /* of the input's schema */
    struct merge_item *items;
    int n_items;
    int64_t done, total; /* sequences */
};

/* ---- statements ---- */

static struct parameter number(const char *name, int64_t value)
{
    return (struct parameter){name, value, NULL};
}

static struct parameter words(const char *name, const char *text)
{
    return (struct parameter){name, 0, text};
}

static int script(struct merge *m, const struct merge_item *item, const char *name, struct error *err)
{
    const struct parameter parameters[] = {number(":old", item->old), number(":new", item->new)};
    return db_script(m->lb, name, parameters, 2, err);
}

/* The first column of the first row as text, NULL when there is none; caller frees. */
static int ask_text(struct merge *m, const char *name, const struct merge_item *item, char **text,
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

/* The query's row says what the input has otherwise. */
static int refuse_conflict(struct merge *m, const char *query, const struct merge_item *item,
                           const char *what, struct error *err)
{
    char *detail;
    if (ask_text(m, query, item, &detail, err) != 0) {
        return -1;
    }
    int result = detail == NULL ? 0
                                : error_set(err, STATUS_INPUT, "cannot merge '%s' into '%s'%s: %s", m->path,
                                            m->lb->path, what, detail);
    free(detail);
    return result;
}

/* ---- what each side holds ---- */

struct relation_of_parts {
    int64_t there, here, shared, same, grown;
};

/* What a run holds by now, in the schema "main" or "input". */
static int find_held(struct merge *m, const char *schema, int64_t run_id, int64_t *last_step, char **held,
                     struct error *err)
{
    struct statement s;
    *held = NULL;
    m->lb->schema = schema;
    int result = statement_open(&s, m->lb, "merge/held", err);
    m->lb->schema = NULL;
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        result = statement_step(&s, err);
    }
    if (result == 1) {
        *last_step = sqlite3_column_int64(s.handle, 0);
        *held = strdup((const char *)sqlite3_column_text(s.handle, 1));
        result = *held != NULL ? 0 : error_no_memory(err, "a merge");
    }
    statement_close(&s);
    return result;
}

static int find_parts(struct merge *m, const char *schema, const char *query, const struct merge_item *item,
                      struct error *err)
{
    int64_t last_step = -1;
    char *held;
    int64_t run_id = strcmp(schema, "input") == 0 ? item->old : item->new;
    int result = find_held(m, schema, run_id, &last_step, &held, err);
    if (result == 0) {
        const struct parameter parameters[] = {number(":old", item->old), number(":new", item->new),
                                               number(":last_step", last_step), words(":held", held)};
        result = db_script(m->lb, query, parameters, 4, err);
    }
    free(held);
    return result;
}

static int find_input_parts(struct merge *m, const struct merge_item *item, struct error *err)
{
    return find_parts(m, "input", m->version < 2 ? "merge/input_parts_1" : "merge/input_parts", item, err);
}

static int compare_parts(struct merge *m, const struct merge_item *item, struct relation_of_parts *r,
                         struct error *err)
{
    struct statement s;
    if (find_input_parts(m, item, err) != 0 || find_parts(m, "main", "merge/output_parts", item, err) != 0) {
        return -1;
    }
    int result = statement_open(&s, m->lb, "merge/compare_parts", err);
    if (result == 0) {
        result = statement_step(&s, err);
    }
    if (result == 1) {
        int64_t *const fields[] = {&r->there, &r->here, &r->shared, &r->same, &r->grown};
        for (int i = 0; i < 5; i++) {
            *fields[i] = sqlite3_column_int64(s.handle, i);
        }
    }
    statement_close(&s);
    return result < 0 ? -1 : 0;
}

/* What was pruned there may still be whole here. */
static int pruned_there(struct merge *m, const struct merge_item *item, bool *pruned, struct error *err)
{
    struct statement s;
    int64_t more = 0;
    int result = statement_open(&s, m->lb, "merge/pruned", err);
    if (result == 0) {
        statement_int(&s, ":old", item->old);
        statement_int(&s, ":new", item->new);
        result = statement_scalar(&s, &more, NULL, err);
    }
    statement_close(&s);
    *pruned = more != 0;
    return result;
}

static int refuse_overlap(struct merge *m, const struct merge_item *item, const struct relation_of_parts *r,
                          struct error *err)
{
    return error_set(err, STATUS_INPUT,
                     "cannot merge '%s' into '%s': the run '%s' is a sum of %" PRId64
                     " logs here, of which %" PRId64 " have changed or come with others there; what is "
                     "summed cannot be taken out again: merge the original "
                     "logbooks into a new file",
                     m->path, m->lb->path, item->name, r->here, r->shared);
}

/* Both are one log, the same one, and it has changed. */
static int decide_one_log(struct merge *m, struct merge_item *item, const struct relation_of_parts *r,
                          struct error *err)
{
    bool pruned = false;
    if (r->grown == 1 && pruned_there(m, item, &pruned, err) != 0) {
        return -1;
    }
    item->deed = r->grown == 1 && !pruned ? MERGE_RENEWED : MERGE_KEPT;
    if (pruned) {
        text_add(&item->note,
                 "has grown there but been pruned as well: what is here stays; delete it here first "
                 "to take the pruned one");
    } else if (item->deed == MERGE_KEPT) {
        text_add(&item->note, "holds less there than here: what is here stays");
    }
    return 0;
}

static int decide(struct merge *m, struct merge_item *item, struct error *err)
{
    struct relation_of_parts r = {0};
    if (compare_parts(m, item, &r, err) != 0) {
        return -1;
    }
    if (r.shared == 0) {
        item->deed = MERGE_SUMMED;
    } else if (r.there == r.shared && r.same == r.shared) {
        item->deed = MERGE_UNCHANGED;
    } else if (r.there == 1 && r.here == 1) {
        return decide_one_log(m, item, &r, err);
    } else if (r.here == r.shared && r.same + r.grown == r.shared) {
        item->deed = MERGE_RENEWED; /* all of what is here, and more */
    } else {
        return refuse_overlap(m, item, &r, err);
    }
    return 0;
}

/* ---- the rows ---- */

static int copy_chunk(struct merge *m, const struct merge_item *item, int64_t delta, int64_t first,
                      int64_t last, struct error *err)
{
    const struct parameter parameters[] = {number(":old", item->old), number(":new", item->new),
                                           number(":delta", delta), number(":first", first),
                                           number(":last", last)};
    return db_script(m->lb, "merge/copy_sequences", parameters, 5, err);
}

/* Sequences keep their order; the ids of all of them move by the same number. */
static int copy_sequences(struct merge *m, const struct merge_item *item, struct error *err)
{
    int64_t next;
    if (db_scalar(m->lb, "merge/next_sequence", &next, err) != 0) {
        return -1;
    }
    if (next + (item->last - item->first) >= INT64_MAX / LOGBOOK_MAX_LAYERS) {
        return error_set(err, STATUS_INPUT, "cannot merge '%s': its sequence ids leave no room", m->path);
    }
    for (int64_t first = item->first; first <= item->last; first += CHUNK) {
        int64_t last = first + CHUNK - 1 < item->last ? first + CHUNK - 1 : item->last;
        if (copy_chunk(m, item, next - item->first, first, last, err) != 0) {
            return -1;
        }
        if (m->options->advance != NULL) {
            m->options->advance(m->options->context, m->done + (last - item->first + 1), m->total);
        }
    }
    m->done += item->last - item->first + 1;
    return 0;
}

static int add_parts(struct merge *m, const struct merge_item *item, bool several, struct error *err)
{
    const struct parameter parameters[] = {number(":new", item->new), number(":several", several),
                                           words(":origin", m->path)};
    return db_script(m->lb, "merge/add_parts", parameters, 3, err);
}

static int count_input_parts(struct merge *m, int64_t *parts, struct error *err)
{
    return db_scalar(m->lb, "merge/count_input_parts", parts, err);
}

/* Windows of loads are sums of what is here by now. */
static int sum_windows(struct merge *m, const struct merge_item *item, struct error *err)
{
    struct statement s;
    int64_t last = -1;
    int result = statement_open(&s, m->lb, "merge/windows_end", err);
    if (result == 0) {
        statement_int(&s, ":new", item->new);
        result = statement_scalar(&s, &last, NULL, err);
    }
    statement_close(&s);
    if (result != 0 || script(m, item, "merge/clear_windows", err) != 0) {
        return -1;
    }
    const struct parameter parameters[] = {number(":run", item->new), number(":first", 0),
                                           number(":last", last)};
    return db_script(m->lb, "store/close_windows", parameters, 3, err);
}

/* Samples, all rows but the sequences as `rows` has it, the sequences. */
static int copy_rows(struct merge *m, const struct merge_item *item, const char *rows, struct error *err)
{
    if (script(m, item, "merge/want_samples", err) != 0 ||
        refuse_conflict(m, "merge/sample_conflict", item, "", err) != 0 || script(m, item, rows, err) != 0) {
        return -1;
    }
    return copy_sequences(m, item, err);
}

static int copy_whole(struct merge *m, const struct merge_item *item, struct error *err)
{
    int64_t parts;
    if (count_input_parts(m, &parts, err) != 0 || add_parts(m, item, parts > 1, err) != 0) {
        return -1;
    }
    if (copy_rows(m, item, "merge/copy_run", err) != 0) {
        return -1;
    }
    return m->version < 2 ? sum_windows(m, item, err) : script(m, item, "merge/copy_windows", err);
}

/* ---- a new run ---- */

static int name_taken(struct merge *m, const struct merge_item *item, const char *name, bool *taken,
                      struct error *err)
{
    struct statement s;
    int64_t n = 0;
    int result = statement_open(&s, m->lb, "merge/name_taken", err);
    if (result == 0) {
        statement_text(&s, ":name", name);
        statement_int(&s, ":new", item->new);
        result = statement_scalar(&s, &n, NULL, err);
    }
    statement_close(&s);
    *taken = n > 0;
    return result;
}

/* "name", or the first of "name-2", "name-3", ... that is free. */
static int choose_name(struct merge *m, struct merge_item *item, struct error *err)
{
    struct text name;
    bool taken;
    int result;
    text_init(&name);
    text_add(&name, item->name);
    for (int i = 2; (result = name_taken(m, item, name.data, &taken, err)) == 0 && taken && !name.failed;
         i++) {
        if (m->options->refuse_taken) {
            result = error_set(err, STATUS_INPUT,
                               "cannot merge '%s' into '%s': another run is named '%s' here; rename one of "
                               "them with `moescope runs --rename`",
                               m->path, m->lb->path, item->name);
            break;
        }
        text_clear(&name);
        text_printf(&name, "%s-%d", item->name, i);
    }
    item->name_here = text_detach(&name);
    if (result == 0 && item->name_here == NULL) {
        return error_no_memory(err, "a run's name");
    }
    if (result == 0 && strcmp(item->name, item->name_here) != 0) {
        text_printf(&item->note, "another run has its name: it is '%s' here", item->name_here);
    }
    return result;
}

static int add_run(struct merge *m, struct merge_item *item, struct error *err)
{
    struct statement s;
    if (choose_name(m, item, err) != 0 || find_input_parts(m, item, err) != 0) {
        return -1;
    }
    int result = statement_open(&s, m->lb, "merge/add_run", err);
    if (result == 0) {
        statement_int(&s, ":old", item->old);
        statement_text(&s, ":name", item->name_here);
        result = statement_scalar(&s, &item->new, NULL, err);
    }
    statement_close(&s);
    return result == 0 ? copy_whole(m, item, err) : -1;
}

/* ---- a run that has grown ---- */

static int renew_run(struct merge *m, const struct merge_item *item, struct error *err)
{
    const struct parameter everything[] = {number(":run", item->new), number(":step", INT64_MIN)};
    if (db_script(m->lb, "store/resume_run", everything, 2, err) != 0 ||
        script(m, item, "merge/renew_run", err) != 0) {
        return -1;
    }
    return copy_whole(m, item, err);
}

/* ---- another part of a run ---- */

static int put_load(struct merge *m, struct statement *put, struct statement *load, struct error *err)
{
    struct text sum;
    const char *there = (const char *)sqlite3_column_text(load->handle, 4);
    const char *here = (const char *)sqlite3_column_text(load->handle, 5);
    text_init(&sum);
    int result = 0;
    if (here != NULL && loads_add(&sum, here, there) != 0) {
        result = error_set(err, STATUS_INPUT,
                           "cannot merge '%s': the loads of step %lld, layer %d are not of the same experts",
                           m->path, (long long)sqlite3_column_int64(load->handle, 0),
                           sqlite3_column_int(load->handle, 2));
    }
    if (sum.failed) {
        result = error_no_memory(err, "a load");
    }
    if (result == 0) {
        statement_int(put, ":step", sqlite3_column_int64(load->handle, 0));
        statement_text(put, ":split", (const char *)sqlite3_column_text(load->handle, 1));
        statement_int(put, ":layer", sqlite3_column_int64(load->handle, 2));
        statement_int(put, ":domain", sqlite3_column_int64(load->handle, 3));
        statement_text(put, ":experts", here != NULL ? sum.data : there);
        result = statement_run(put, err);
    }
    text_release(&sum);
    return result;
}

/* In C and not in SQL, whose JSON keeps 15 digits of a number: these sums are exact. */
static int sum_loads(struct merge *m, const struct merge_item *item, struct error *err)
{
    struct statement loads, put = {0};
    int result = statement_open(&loads, m->lb, "merge/loads", err);
    if (result == 0) {
        result = statement_open(&put, m->lb, "merge/put_load", err);
    }
    if (result == 0) {
        statement_int(&loads, ":old", item->old);
        statement_int(&loads, ":new", item->new);
        statement_int(&put, ":new", item->new);
        while ((result = statement_step(&loads, err)) == 1) {
            if (put_load(m, &put, &loads, err) != 0) {
                result = -1;
                break;
            }
        }
    }
    statement_close(&put);
    statement_close(&loads);
    return result;
}

/* Says in the run itself what it is a sum of, and which figures are no plain sums. */
static int tell_sum(struct merge *m, struct merge_item *item, struct error *err)
{
    struct text message;
    char *differing;
    text_init(&message);
    if (ask_text(m, "merge/difference_list", item, &differing, err) != 0) {
        return -1;
    }
    text_printf(&message, "a log of the same run added from '%s'", m->path);
    if (differing != NULL) {
        text_printf(&message, "; metrics that differed: %s", differing);
        text_printf(&item->note, "a log of the same run was added; metrics that differed: %s", differing);
    }
    const struct parameter parameters[] = {number(":new", item->new), words(":message", message.data)};
    int result = message.failed ? error_no_memory(err, "a merge")
                                : db_script(m->lb, "merge/add_event", parameters, 2, err);
    text_release(&message);
    free(differing);
    return result;
}

static int sum_run(struct merge *m, struct merge_item *item, struct error *err)
{
    if (refuse_conflict(m, "merge/run_conflict", item, " as parts of one run", err) != 0 ||
        script(m, item, "merge/keep_parts", err) != 0 || add_parts(m, item, true, err) != 0 ||
        script(m, item, "merge/differences", err) != 0 || sum_loads(m, item, err) != 0 ||
        copy_rows(m, item, "merge/sum_run", err) != 0 || sum_windows(m, item, err) != 0) {
        return -1;
    }
    return tell_sum(m, item, err);
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
    if (item->name == NULL || item->status == NULL || (item->new != 0 && item->name_here == NULL)) {
        return error_no_memory(err, "the list of runs");
    }
    return 0;
}

static int list_runs(struct merge *m, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, m->lb, "merge/runs", err);
    if (result == 0) {
        while ((result = statement_step(&s, err)) == 1) {
            if (list_run(m, &s, err) != 0) {
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
        if (item->new != 0 && decide(m, item, err) != 0) {
            return -1;
        }
        if (item->deed == MERGE_UNCHANGED || item->deed == MERGE_KEPT) {
            item->sequences = 0;
        } else {
            m->total += item->last - item->first + 1;
        }
    }
    return 0;
}

static int merge_item(struct merge *m, struct merge_item *item, struct error *err)
{
    switch (item->deed) {
    case MERGE_ADDED:
        return add_run(m, item, err);
    case MERGE_RENEWED:
        return find_input_parts(m, item, err) != 0 ? -1 : renew_run(m, item, err);
    case MERGE_SUMMED:
        return compare_parts(m, item, &(struct relation_of_parts){0}, err) != 0 ? -1 : sum_run(m, item, err);
    case MERGE_UNCHANGED:
    case MERGE_KEPT:
        break;
    }
    return 0;
}

static int merge_all(struct merge *m, struct error *err)
{
    if (db_script(m->lb, "merge/clear", NULL, 0, err) != 0 ||
        db_script(m->lb, "merge/corpora", NULL, 0, err) != 0 ||
        refuse_conflict(m, "merge/conflict", NULL, "", err) != 0 || list_runs(m, err) != 0 ||
        decide_all(m, err) != 0) {
        return -1;
    }
    for (int i = 0; i < m->n_items; i++) {
        struct merge_item *item = &m->items[i];
        if (merge_item(m, item, err) != 0) {
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

/* Opened once as any reader does, for what is wrong with it to be said well. */
static int inspect_input(struct merge *m, struct error *err)
{
    struct logbook *input;
    struct stat here, there;
    if (stat(m->lb->path, &here) == 0 && stat(m->path, &there) == 0 && here.st_dev == there.st_dev &&
        here.st_ino == there.st_ino) {
        return error_set(err, STATUS_USAGE, "'%s' cannot be merged into itself", m->path);
    }
    if (logbook_open(&input, m->path, err) != 0) {
        return -1;
    }
    m->version = input->version;
    logbook_close(input);
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
    if (inspect_input(&m, err) != 0) {
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
