/* moescope runs: what is in a logbook, and what shall be there no longer or by another name. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/table.h"
#include "base/text.h"
#include "sql/care.h"
#include "sql/read.h"

struct choices {
    const char *format, *output;
    struct string_list rename, delete;
    bool print_sql, force, dry_run, vacuum, all;
};

/* The same columns in every format; the duration alone is put for people in a table. */
static const char *const columns[] = {
    "name",       "status",          "router",          "seed",       "steps",  "parameters",
    "train_loss", "best_valid_loss", "last_valid_loss", "started_at", "seconds"};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], DURATION = N_COLUMNS - 1 };

static void cell_int(struct table *t, struct query *q, const char *column)
{
    if (query_is_null(q, column)) {
        table_null(t);
    } else {
        table_int(t, query_int(q, column));
    }
}

static void cell_real(struct table *t, struct query *q, const char *column)
{
    if (query_is_null(q, column)) {
        table_null(t);
    } else {
        table_real(t, query_real(q, column));
    }
}

static void cell_duration(struct table *t, struct query *q, enum table_format format)
{
    char buffer[32];
    if (format != TABLE_TEXT || query_is_null(q, "seconds")) {
        cell_real(t, q, "seconds");
    } else {
        table_text(t, text_duration(buffer, query_real(q, "seconds")));
    }
}

static void add_row(struct table *t, struct query *q, enum table_format format)
{
    table_text(t, query_text(q, "name"));
    table_text(t, query_text(q, "status"));
    table_text(t, query_text(q, "router"));
    table_int(t, query_int(q, "seed"));
    cell_int(t, q, "steps");
    cell_int(t, q, "parameters");
    cell_real(t, q, "train_loss");
    cell_real(t, q, "best_valid_loss");
    cell_real(t, q, "last_valid_loss");
    table_text(t, query_text(q, "started_at"));
    cell_duration(t, q, format);
}

static int print_rows(struct query *q, FILE *out, enum table_format format, struct error *err)
{
    const char *names[N_COLUMNS];
    for (int i = 0; i < N_COLUMNS; i++) {
        names[i] = i == DURATION && format == TABLE_TEXT ? "duration" : columns[i];
    }
    struct table *t = table_open(out, format, NULL, names, N_COLUMNS);
    if (t == NULL) {
        return error_no_memory(err, "a table");
    }
    int result;
    while ((result = query_step(q, err)) == 1) {
        add_row(t, q, format);
    }
    return table_close(t, result == 0 ? err : NULL) != 0 ? -1 : result;
}

static int list_runs(const char *path, const struct choices *c, FILE *out, struct error *err)
{
    struct logbook *lb = NULL;
    struct query *q = NULL;
    enum table_format format;
    int result = table_format_parse(c->format, &format, err);
    if (result == 0) {
        result = logbook_open(&lb, path, err);
    }
    if (result == 0) {
        result = query_open(&q, lb, "queries/runs", err);
    }
    if (result == 0) {
        query_bind_int(q, ":ablations", c->all);
        result = c->print_sql ? query_print_sql(q, out, err) : print_rows(q, out, format, err);
    }
    query_close(q);
    moescope_close(lb);
    return result;
}

/* ---- changes ---- */

/* OLD=NEW, where OLD may hold an equals sign itself: the shortest that is a run's name. Caller frees. */
static char *split_rename(struct logbook *lb, const char *pair, const char **new_name, struct error *err)
{
    const char *equals = strchr(pair, '=');
    int64_t run_id;
    if (equals == NULL) {
        error_set(err, STATUS_USAGE, "--rename '%s' is not OLD=NEW", pair);
        return NULL;
    }
    for (; equals != NULL; equals = strchr(equals + 1, '=')) {
        char *old = strndup(pair, (size_t)(equals - pair));
        if (old == NULL) {
            error_no_memory(err, "a name");
            return NULL;
        }
        *new_name = equals + 1;
        if (logbook_find_run(lb, old, &run_id, err) == 0) {
            return old;
        }
        free(old);
    }
    return NULL;
}

static void tell_change(const struct run_change *change, bool dry_run)
{
    const char *would = dry_run ? "would have " : "";
    if (change->new_name != NULL) {
        fprintf(stderr, "%srenamed '%s' to '%s'\n", would, change->run, change->new_name);
    } else {
        fprintf(stderr, "%sdeleted '%s', %" PRId64 " passes over samples\n", would, change->run,
                change->sequences);
    }
}

static void tell_space(int64_t freed, const struct choices *c)
{
    char buffer[32];
    if (c->delete.n == 0) {
        return;
    }
    text_bytes(buffer, (double)freed);
    if (c->dry_run) {
        fprintf(stderr, "%s would become free inside the file\n", buffer);
    } else if (c->vacuum) {
        fprintf(stderr, "%s given back\n", buffer);
    } else {
        fprintf(stderr,
                "%s are free inside the file now; --vacuum, or `moescope snapshot`, gives them back\n",
                buffer);
    }
}

static int apply(struct logbook *lb, const struct choices *c, struct run_change *changes, struct error *err)
{
    int64_t freed = 0;
    int n = c->delete.n + c->rename.n;
    if (logbook_change_runs(lb, changes, n, c->force, c->dry_run, &freed, err) != 0) {
        return -1;
    }
    for (int i = 0; i < n; i++) {
        tell_change(&changes[i], c->dry_run);
    }
    if (c->vacuum && !c->dry_run && logbook_vacuum(lb, &freed, err) != 0) {
        return error_prefix(err, "the runs are changed, but");
    }
    tell_space(freed, c);
    return 0;
}

/* Deletions come first, so that their names are free. */
static int list_changes(struct logbook *lb, const struct choices *c, struct run_change *changes,
                        struct error *err)
{
    for (int i = 0; i < c->delete.n; i++) {
        changes[i].run = c->delete.items[i];
    }
    for (int i = 0; i < c->rename.n; i++) {
        struct run_change *change = &changes[c->delete.n + i];
        change->run = split_rename(lb, c->rename.items[i], &change->new_name, err);
        if (change->run == NULL) {
            return -1;
        }
    }
    return 0;
}

static int change_runs(const char *path, const struct choices *c, struct error *err)
{
    struct logbook *lb = NULL;
    size_t n = (size_t)c->delete.n + (size_t)c->rename.n;
    if (logbook_open_to_change(&lb, path, err) != 0) {
        return -1;
    }
    logbook_stop_on_signals(lb);
    struct run_change *changes = calloc(n, sizeof *changes);
    int result = changes == NULL                          ? error_no_memory(err, "the changes")
                 : list_changes(lb, c, changes, err) != 0 ? -1
                                                          : apply(lb, c, changes, err);
    for (size_t i = (size_t)c->delete.n; changes != NULL && i < n; i++) {
        free((char *)changes[i].run);
    }
    free(changes);
    logbook_stop_on_signals(NULL);
    moescope_close(lb);
    return result;
}

static int answer(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    (void)n_operands;
    if (c->delete.n + c->rename.n > 0 && c->output != NULL) {
        return error_set(err, STATUS_USAGE, "--output is for the list; nothing is printed of a change");
    }
    if (c->delete.n + c->rename.n > 0) {
        return change_runs(operands[0], c, err);
    }
    if (c->force || c->dry_run || c->vacuum) {
        return error_set(err, STATUS_USAGE, "--force, --dry-run and --vacuum go with --delete or --rename");
    }
    return list_runs(operands[0], c, out, err);
}

int main(int argc, char **argv)
{
    struct choices c = {.format = "table"};
    const struct option_spec options[] = {
        {"format", 'f', OPTION_STRING, &c.format, "FORMAT", "table, csv or json (default table)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE",
         "write to FILE, whole or not at all (default: stdout)"},
        {"rename", 0, OPTION_LIST, &c.rename, "OLD=NEW", "give a run another name"},
        {"delete", 0, OPTION_LIST, &c.delete, "NAME",
         "delete a run and all that is its own, its ablations too"},
        {"all", 'a', OPTION_FLAG, &c.all, NULL, "list ablations of runs as well"},
        {"force", 0, OPTION_FLAG, &c.force, NULL, "also a run that stalled"},
        {"dry-run", 0, OPTION_FLAG, &c.dry_run, NULL, "change nothing, say what would be"},
        {"vacuum", 0, OPTION_FLAG, &c.vacuum, NULL, "give the space back that became free"},
        {"print-sql", 0, OPTION_FLAG, &c.print_sql, NULL, "print the query instead of its answer"},
        {0}};
    const struct program program = {
        .verb = "runs",
        .operands = "DB",
        .purpose =
            "list the runs of a logbook with their status, router, seed and losses; rename or delete them",
        .details = "A run that is marked as running but has been silent for more than a minute is shown as "
                   "stalled:\nit was killed, and can be resumed; or a long evaluation keeps it silent.\n"
                   "\nSeveral --delete and --rename are one change: all of it or nothing, deletions first. "
                   "What other runs\n"
                   "refer to stays, and so do corpora and checkpoint files. A run that is being written is "
                   "refused.\n",
        .examples = "moescope runs log.db\n"
                    "moescope runs log.db --format json | jq '.[].name'\n"
                    "moescope runs log.db --rename test7=top2-balanced\n"
                    "moescope runs log.db --delete test5 --delete test6 --vacuum\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1};
    int status = program_main(&program, argc, argv, &c.output, answer, &c);
    string_list_release(&c.rename);
    string_list_release(&c.delete);
    return logbook_status(status);
}
