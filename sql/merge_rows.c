/* Doing with a run of the input what was settled: copying its rows, adding them up, or replacing what is
 * here. */
#include <stdlib.h>
#include <string.h>

#include "sql/loads.h"
#include "sql/merge_item.h"

enum { CHUNK = 4096 }; /* sequences copied by one statement: progress is told in between */

/* ---- the rows ---- */

static int copy_chunk(struct merge *m, const struct merge_item *item, int64_t delta, int64_t first,
                      int64_t last, struct error *err)
{
    const struct parameter parameters[] = {number(":old", item->old), number(":new", item->new),
                                           number(":delta", delta), number(":first", first),
                                           number(":last", last)};
    return db_script(m->lb, "merge/copy_sequences", parameters, 5, err);
}

/* The last of the next CHUNK sequences from `first` on, and how many they are. */
static int find_chunk(struct merge *m, const struct merge_item *item, struct statement *s, int64_t first,
                      int64_t *last, struct error *err)
{
    statement_int(s, ":old", item->old);
    statement_int(s, ":first", first);
    statement_int(s, ":chunk", CHUNK);
    int result = statement_step(s, err);
    if (result == 1) {
        *last = sqlite3_column_int64(s->handle, 0);
        m->done += sqlite3_column_int64(s->handle, 1);
        statement_reset(s);
    }
    return result < 0 ? -1 : 0;
}

static int copy_chunks(struct merge *m, const struct merge_item *item, int64_t delta, struct statement *s,
                       struct error *err)
{
    int64_t last = item->last;
    for (int64_t first = item->first; first <= item->last; first = last + 1) {
        if (find_chunk(m, item, s, first, &last, err) != 0 ||
            copy_chunk(m, item, delta, first, last, err) != 0) {
            return -1;
        }
        if (m->options->advance != NULL) {
            m->options->advance(m->options->context, m->done, m->total);
        }
    }
    return 0;
}

/* Sequences keep their order; the ids of all of them move by the same number. */
static int copy_sequences(struct merge *m, const struct merge_item *item, struct error *err)
{
    struct statement s;
    int64_t next;
    if (item->sequences == 0) {
        return 0;
    }
    if (db_scalar(m->lb, "merge/next_sequence", &next, err) != 0) {
        return -1;
    }
    if (next + (item->last - item->first) >= INT64_MAX / LOGBOOK_MAX_LAYERS) {
        return error_set(err, STATUS_INPUT, "cannot merge '%s': its sequence ids leave no room", m->path);
    }
    int result = statement_open(&s, m->lb, "merge/chunk_end", err);
    if (result == 0) {
        result = copy_chunks(m, item, next - item->first, &s, err);
    }
    statement_close(&s);
    return result;
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
    int64_t last = -1;
    if (merge_ask(m, item, "merge/windows_end", &last, err) != 0 ||
        merge_script(m, item, "merge/clear_windows", err) != 0) {
        return -1;
    }
    const struct parameter parameters[] = {number(":run", item->new), number(":first", 0),
                                           number(":last", last)};
    return db_script(m->lb, "store/close_windows", parameters, 3, err);
}

/* Samples, all rows but the sequences as `rows` has it, the sequences. */
static int copy_rows(struct merge *m, const struct merge_item *item, const char *rows, struct error *err)
{
    if (merge_script(m, item, "merge/want_samples", err) != 0 ||
        merge_refuse_conflict(m, item, "merge/sample_conflict", "", err) != 0 ||
        merge_script(m, item, rows, err) != 0) {
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
    return m->version < 2 ? sum_windows(m, item, err) : merge_script(m, item, "merge/copy_windows", err);
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
    const char *called = m->options->as != NULL ? m->options->as : item->name;
    text_add(&name, called);
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
        text_printf(&name, "%s-%d", called, i);
    }
    item->name_here = text_detach(&name);
    if (result == 0 && item->name_here == NULL) {
        return error_no_memory(err, "a run's name");
    }
    if (result == 0 && strcmp(called, item->name_here) != 0) {
        text_printf(&item->note, "another run has its name: it is '%s' here", item->name_here);
    }
    return result;
}

static int add_run(struct merge *m, struct merge_item *item, struct error *err)
{
    struct statement s;
    if (choose_name(m, item, err) != 0 || merge_find_parts(m, item, false, err) != 0) {
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
        merge_script(m, item, "merge/renew_run", err) != 0) {
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
    char *metrics = NULL, *settings = NULL;
    text_init(&message);
    int result = merge_ask_text(m, item, "merge/difference_list", &metrics, err);
    if (result == 0) {
        result = merge_ask_text(m, item, "merge/settings", &settings, err);
    }
    text_printf(&message, "a log of the same run added from '%s'", m->path);
    if (metrics != NULL) {
        text_printf(&message, "; metrics that differed: %s", metrics);
    }
    if (settings != NULL) {
        text_printf(&message, "; settings that differ and are those of the first: %s", settings);
    }
    if (metrics != NULL || settings != NULL) {
        text_add(&item->note, message.data);
    }
    const struct parameter parameters[] = {number(":new", item->new), words(":message", message.data)};
    if (result == 0) {
        result = message.failed ? error_no_memory(err, "a merge")
                                : db_script(m->lb, "merge/add_event", parameters, 2, err);
    }
    text_release(&message);
    free(metrics);
    free(settings);
    return result;
}

static int sum_run(struct merge *m, struct merge_item *item, struct error *err)
{
    if (merge_refuse_conflict(m, item, "merge/run_conflict", " as parts of one run", err) != 0 ||
        merge_script(m, item, "merge/keep_parts", err) != 0 || add_parts(m, item, true, err) != 0 ||
        merge_script(m, item, "merge/differences", err) != 0 || sum_loads(m, item, err) != 0 ||
        copy_rows(m, item, "merge/sum_run", err) != 0 || sum_windows(m, item, err) != 0) {
        return -1;
    }
    return tell_sum(m, item, err);
}

/* ---- any of them ---- */

int merge_do(struct merge *m, struct merge_item *item, struct error *err)
{
    switch (item->deed) {
    case MERGE_ADDED:
        return add_run(m, item, err);
    case MERGE_RENEWED:
        return merge_find_parts(m, item, false, err) != 0 ? -1 : renew_run(m, item, err);
    case MERGE_SUMMED:
        return merge_find_parts(m, item, true, err) != 0 ? -1 : sum_run(m, item, err);
    case MERGE_UNCHANGED:
    case MERGE_KEPT:
        break;
    }
    return 0;
}
