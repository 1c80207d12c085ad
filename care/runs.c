/* moescope runs: what is in a logbook. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/options.h"
#include "base/table.h"
#include "base/text.h"
#include "sql/read.h"

struct choices {
    const char *format, *output;
    bool print_sql;
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

static int print_sql(struct query *q, FILE *out, struct error *err)
{
    char *sql = query_expanded(q);
    if (sql == NULL) {
        return error_no_memory(err, "the SQL");
    }
    fprintf(out, "%s\n", sql);
    free(sql);
    return 0;
}

static int list_runs(void *context, char **operands, int n_operands, FILE *out, struct error *err)
{
    const struct choices *c = context;
    struct logbook *lb = NULL;
    struct query *q = NULL;
    enum table_format format;
    int result = table_format_parse(c->format, &format, err);
    (void)n_operands;
    if (result == 0) {
        result = logbook_open(&lb, operands[0], err);
    }
    if (result == 0) {
        result = query_open(&q, lb, "queries/runs", err);
    }
    if (result == 0) {
        result = c->print_sql ? print_sql(q, out, err) : print_rows(q, out, format, err);
    }
    query_close(q);
    logbook_close(lb);
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {.format = "table"};
    const struct option_spec options[] = {
        {"format", 'f', OPTION_STRING, &c.format, "FORMAT", "table, csv or json (default table)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE",
         "write to FILE, whole or not at all (default: stdout)"},
        {"print-sql", 0, OPTION_FLAG, &c.print_sql, NULL, "print the query instead of its answer"},
        {0}};
    const struct program program = {
        .verb = "runs",
        .operands = "DB",
        .purpose = "list the runs of a logbook with their status, router, seed and losses",
        .details = "A run that is marked as running but has been silent for more than a minute is shown as "
                   "stalled:\nit was killed, and can be resumed; or a long evaluation keeps it silent.\n",
        .examples = "moescope runs log.db\n"
                    "moescope runs log.db --format json | jq '.[].name'\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1};
    return program_main(&program, argc, argv, &c.output, list_runs, &c);
}
