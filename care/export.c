/* moescope export: rows of a logbook for other programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/text.h"
#include "sql/ask.h"
#include "sql/export.h"

struct choices {
    const char *run, *split, *format, *output;
    int64_t step, first_step, last_step, layer; /* unset: NONE, and the whole range */
    struct string_list parameters;
    bool list, print_sql, quiet;
    bool matrix; /* what is exported is one, of one run */
};
enum { NONE = -1 };
static const char folder[] = "export/";

/* ---- a relation: its .sql file, of whose conditions those stay that are asked for ---- */

/* A condition is a line that begins with AND; it names its parameters. */
static bool is_wanted(const struct choices *c, const char *line, size_t n)
{
    const struct {
        const char *parameter;
        bool set;
    } conditions[] = {{":run", c->run != NULL},
                      {":split", c->split != NULL},
                      {":first_step", c->first_step > 0 || c->last_step < INT64_MAX},
                      {":layer", c->layer != NONE}};
    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
        if (memmem(line, n, conditions[i].parameter, strlen(conditions[i].parameter)) != NULL) {
            return conditions[i].set;
        }
    }
    return true;
}

static void add_wanted_lines(struct text *wanted, const struct choices *c, const char *sql)
{
    while (*sql != '\0') {
        size_t n = strcspn(sql, "\n");
        if (strncmp(sql, "  AND ", 6) != 0 || is_wanted(c, sql, n)) {
            text_add_bytes(wanted, sql, n);
            text_add(wanted, "\n");
        }
        sql += n + (sql[n] == '\n');
    }
}

static int refuse_filter(const char *relation, const char *sql, const char *parameter, const char *option,
                         bool set, struct error *err)
{
    if (!set || strstr(sql, parameter) != NULL) {
        return 0;
    }
    return error_set(err, STATUS_USAGE, "%s is not for '%s', which has no such column", option, relation);
}

static int open_relation(struct query **q, struct logbook *lb, const char *relation, const char *sql,
                         const struct choices *c, struct error *err)
{
    struct text wanted;
    bool steps = c->first_step > 0 || c->last_step < INT64_MAX;
    if (refuse_filter(relation, sql, ":run", "--run", c->run != NULL, err) != 0 ||
        refuse_filter(relation, sql, ":split", "--split", c->split != NULL, err) != 0 ||
        refuse_filter(relation, sql, ":first_step", "a range of steps", steps, err) != 0 ||
        refuse_filter(relation, sql, ":layer", "--layer", c->layer != NONE, err) != 0) {
        return -1;
    }
    text_init(&wanted);
    add_wanted_lines(&wanted, c, sql);
    int result = wanted.failed ? error_no_memory(err, "a query") : query_open_text(q, lb, wanted.data, err);
    text_release(&wanted);
    return result;
}

/* ---- what is exported ---- */

/* A word is a relation's name, or a canned query's; anything longer is SQL. */
static int open_what(struct query **q, struct logbook *lb, const char *what, const struct choices *c,
                     struct error *err)
{
    struct text name;
    text_init(&name);
    text_printf(&name, "%s%s", folder, what);
    const char *sql = name.failed || !ask_is_word(what) ? NULL : sql_text(name.data);
    text_release(&name);
    if (sql != NULL) {
        return open_relation(q, lb, what, sql, c, err);
    }
    if (ask_open(q, lb, what, NULL) == 0) {
        return 0;
    }
    if (ask_is_word(what)) {
        return error_set(
            err, STATUS_USAGE,
            "no relation or query is named '%s'; `moescope export --list` and `moescope sql --list` name "
            "them",
            what);
    }
    return ask_open(q, lb, what, err);
}

static int bind_all(struct query *q, struct logbook *lb, const struct choices *c, struct error *err)
{
    int64_t run_id;
    if (c->run != NULL || c->matrix) {
        if (logbook_find_run(lb, c->run, &run_id, err) != 0) {
            return -1;
        }
        query_bind_int(q, ":run", run_id);
    }
    query_bind_text(q, ":split", c->split);
    query_bind_int(q, ":first_step", c->first_step);
    query_bind_int(q, ":last_step", c->last_step);
    if (c->layer != NONE) {
        query_bind_int(q, ":layer", c->layer);
    }
    for (int i = 0; i < c->parameters.n; i++) {
        if (ask_bind(q, c->parameters.items[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- how ---- */

static int write_csv(struct query *q, FILE *out, int64_t *rows, struct error *err)
{
    return query_print_counted(q, out, TABLE_CSV, NULL, rows, err);
}

static int write_csv_matrix(struct query *q, FILE *out, int64_t *rows, struct error *err)
{
    return query_write_matrix(q, MATRIX_CSV, out, rows, err);
}

static int write_npy_matrix(struct query *q, FILE *out, int64_t *rows, struct error *err)
{
    return query_write_matrix(q, MATRIX_NPY, out, rows, err);
}

static const struct {
    const char *name;
    int (*write)(struct query *q, FILE *out, int64_t *rows, struct error *err);
    int (*write_matrix)(struct query *q, FILE *out, int64_t *rows, struct error *err);
} formats[] = {{"csv", write_csv, write_csv_matrix},
               {"jsonl", query_write_jsonl, query_write_jsonl},
               {"npy", query_write_npy, write_npy_matrix}};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

/* By --format, else by what the output's name ends in, else CSV. */
static int choose_format(const struct choices *c, int *format, struct error *err)
{
    const char *ending = c->output != NULL ? strrchr(c->output, '.') : NULL;
    const char *name = c->format != NULL ? c->format : ending != NULL ? ending + 1 : "";
    for (int i = 0; i < N_FORMATS; i++) {
        if (strcmp(name, formats[i].name) == 0) {
            *format = i;
            return 0;
        }
    }
    *format = 0;
    return c->format == NULL
               ? 0
               : error_set(err, STATUS_USAGE, "--format is csv, jsonl or npy, not '%s'", c->format);
}

static int check_range(struct choices *c, struct error *err)
{
    if (c->step != NONE) {
        if (c->first_step != 0 || c->last_step != INT64_MAX) {
            return error_set(err, STATUS_USAGE,
                             "--step is one step; --first-step and --last-step are a range of them");
        }
        c->first_step = c->last_step = c->step;
    }
    if (c->first_step > c->last_step) {
        return error_set(err, STATUS_USAGE, "--first-step %lld is after --last-step %lld",
                         (long long)c->first_step, (long long)c->last_step);
    }
    return 0;
}

static int write_all(struct logbook *lb, const char *what, const struct choices *c, FILE *out,
                     struct error *err)
{
    struct query *q = NULL;
    int64_t rows = 0;
    int format, result = choose_format(c, &format, err);
    char count[32];
    if (result == 0) {
        result = logbook_hold(lb, err);
    }
    if (result == 0) {
        result = open_what(&q, lb, what, c, err);
    }
    if (result == 0) {
        result = bind_all(q, lb, c, err);
    }
    if (result == 0) {
        result = c->print_sql
                     ? query_print_sql(q, out, err)
                     : (c->matrix ? formats[format].write_matrix : formats[format].write)(q, out, &rows, err);
    }
    query_close(q);
    if (result == 0 && !c->print_sql && !c->quiet) {
        fprintf(stderr, "moescope export: %s rows\n", text_count(count, (double)rows));
    }
    return result;
}

static int export_rows(void *context, char **operands, int n, FILE *out, struct error *err)
{
    struct choices *c = context;
    struct logbook *lb = NULL;
    if (c->list) {
        return ask_list(folder, "relation", "rows", out, TABLE_TEXT, err);
    }
    if (n < 2) {
        return error_set(err, STATUS_USAGE,
                         "what is to be exported, and from which logbook? See 'moescope export --help'");
    }
    int result = check_range(c, err);
    if (result == 0) {
        result = logbook_open(&lb, operands[0], err);
    }
    if (result == 0) {
        c->matrix = strcmp(operands[1], "eplb") == 0;
        result = strcmp(operands[1], "datasette") == 0 ? datasette_write(out, operands[0], err)
                                                       : write_all(lb, operands[1], c, out, err);
    }
    moescope_close(lb);
    return result;
}

int main(int argc, char **argv)
{
    struct choices c = {.step = NONE, .last_step = INT64_MAX, .layer = NONE};
    const struct option_spec options[] = {
        {"run", 'r', OPTION_STRING, &c.run, "NAME", "of this run (default: of all)"},
        {"split", 0, OPTION_STRING, &c.split, "NAME", "of this split: train, valid, probe, routed, seen"},
        {"step", 0, OPTION_INT, &c.step, "N", "of this step"},
        {"first-step", 0, OPTION_INT, &c.first_step, "N", "from this step on"},
        {"last-step", 0, OPTION_INT, &c.last_step, "N", "up to this step"},
        {"layer", 0, OPTION_INT, &c.layer, "N", "of this layer"},
        {"param", 'p', OPTION_LIST, &c.parameters, "NAME=VALUE", "a value for a query's :NAME"},
        {"list", 'l', OPTION_FLAG, &c.list, NULL, "list the relations"},
        {"print-sql", 0, OPTION_FLAG, &c.print_sql, NULL,
         "print the query, its parameters filled in, and do not run it"},
        {"format", 'f', OPTION_STRING, &c.format, "FORMAT",
         "csv, jsonl or npy (default: as FILE ends, else csv)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE",
         "write to FILE, whole or not at all (default: stdout)"},
        {"quiet", 'q', OPTION_FLAG, &c.quiet, NULL, "do not tell the number of rows"},
        {0}};
    const struct program program = {
        .verb = "export",
        .operands = "DB RELATION, QUERY-NAME, SQL or datasette",
        .purpose = "write rows of a logbook as CSV, JSON lines or a numpy array",
        .details =
            "A relation is one of --list; other words are canned queries of `moescope sql`; anything longer "
            "is SQL.\n"
            "Works while a run is writing: all rows are of one moment. Memory does not grow with the rows.\n"
            "\n"
            "  csv    RFC 4180 with a heading; NULL is empty, an empty text is \"\"\n"
            "  jsonl  an object a line, full precision; NULL is null\n"
            "  npy    one structured array, little-endian: whole numbers <i8, numbers with NULLs <f8 (NaN), "
            "text SN\n"
            "         (UTF-8); numpy.load reads it, and memory-maps it\n"
            "\n"
            "eplb is a matrix: a row for each MoE layer of the run, a column for each expert, decisions; npy "
            "(<i8) or csv\n"
            "(without a heading). Choose its traffic by --split and steps; otherwise it is all that is "
            "logged.\n"
            "datasette writes the metadata.json with which Datasette offers the canned queries of `moescope "
            "sql`.\n",
        .examples = "moescope export log.db routing --run top2 --split probe --step 1200 -o probe.npy\n"
                    "moescope export log.db expert_load --run top2 --layer 1 -o load.csv\n"
                    "moescope export log.db document_loss --format jsonl | head\n"
                    "moescope export log.db 'SELECT layer, expert, sum(decisions) AS n FROM routing_count "
                    "GROUP BY 1, 2' -o n.csv\n"
                    "moescope export log.db eplb --run top2 --split routed -o load.npy\n"
                    "moescope export log.db datasette -o metadata.json\n",
        .options = options,
        .min_operands = 0,
        .max_operands = 2};
    int status = program_main(&program, argc, argv, &c.output, export_rows, &c);
    string_list_release(&c.parameters);
    return status;
}
