/* moescope sql: questions to a logbook, by name, in SQL, or in the sqlite3 shell. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "base/process.h"
#include "base/table.h"
#include "base/text.h"
#include "sql/ask.h"
#include "sql/read.h"

struct choices {
    const char *format, *output, *run;
    struct string_list parameters;
    bool list, print_sql;
};

static int bind_all(struct query *q, struct logbook *lb, const struct choices *c, struct error *err)
{
    int64_t run_id;
    if (c->run != NULL) {
        if (logbook_find_run(lb, c->run, &run_id, err) != 0) {
            return -1;
        }
        query_bind_int(q, ":run", run_id);
    }
    for (int i = 0; i < c->parameters.n; i++) {
        if (ask_bind(q, c->parameters.items[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- one query ---- */

static int answer(struct logbook *lb, const char *text, const struct choices *c, FILE *out,
                  enum table_format format, struct error *err)
{
    struct query *q = NULL;
    int result = ask_open(&q, lb, text, err);
    if (result == 0) {
        result = bind_all(q, lb, c, err);
    }
    if (result == 0) {
        result = c->print_sql ? query_print_sql(q, out, err) : query_print(q, out, format, NULL, err);
    }
    query_close(q);
    return result;
}

/* ---- the shell ---- */

/* The command that loads the extension; empty where it is neither beside this program nor where it is
 * installed, or not to be named in a quoted word of the shell's. */
static void load_command(struct text *command)
{
    static const char *const places[] = {"moescope.so", "../lib/moescope/moescope.so"};
    char path[PATH_MAX];
    for (size_t i = 0; command->length == 0 && i < sizeof places / sizeof places[0]; i++) {
        if (process_beside(places[i], path, sizeof path) == 0 && file_exists(path) &&
            strpbrk(path, "\"\\\n") == NULL) {
            text_printf(command, ".load \"%s\"", path);
        }
    }
    if (command->length == 0) {
        fputs(
            "moescope sql: the extension moescope.so is not beside this program; routing, routing_count and "
            "token_loss are slow without it\n",
            stderr);
    }
}

/* Replaces this program; returns only when that failed. */
static int run_shell(const char *path, struct error *err)
{
    /* The shell would take a path with a leading dash for an option. */
    const char *prefix = *path == '-' ? "./" : "";
    struct text file, load;
    text_init(&file);
    text_init(&load);
    text_printf(&file, "%s%s", prefix, path);
    load_command(&load);
    if (file.failed || load.failed) {
        text_release(&file);
        text_release(&load);
        return error_no_memory(err, "a path");
    }
    bool people = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    const char *const argv[] = {"sqlite3", "-readonly", people ? "-box" : "-list", "-cmd", load.data,
                                file.data, NULL};
    execvp(argv[0], (char *const *)argv);
    int cause = errno;
    text_release(&file);
    text_release(&load);
    return error_set(err, STATUS_MACHINE, "cannot run the sqlite3 shell: %s; install the package sqlite3%s",
                     strerror(cause), cause == ENOENT ? "" : ", or see to its rights");
}

static int ask(void *context, char **operands, int n, FILE *out, struct error *err)
{
    const struct choices *c = context;
    struct logbook *lb = NULL;
    enum table_format format;
    if (table_format_parse(c->format, &format, err) != 0) {
        return -1;
    }
    if (c->list) {
        return ask_list("queries/", "query", "question", out, format, err);
    }
    if (n == 0) {
        return error_set(err, STATUS_USAGE, "no logbook is named; see 'moescope sql --help'");
    }
    if (n == 1 && c->output != NULL) {
        return error_set(err, STATUS_USAGE, "--output is for a query; the shell has .output");
    }
    int result = logbook_open(&lb, operands[0], err);
    if (result == 0 && n > 1) {
        result = answer(lb, operands[1], c, out, format, err);
    }
    moescope_close(lb); /* before the shell: a connection must not live through exec */
    return result == 0 && n == 1 ? run_shell(operands[0], err) : result;
}

int main(int argc, char **argv)
{
    struct choices c = {.format = "table"};
    const struct option_spec options[] = {
        {"run", 'r', OPTION_STRING, &c.run, "NAME",
         "the run that :run stands for (default: the query's choice)"},
        {"param", 'p', OPTION_LIST, &c.parameters, "NAME=VALUE", "a value for the query's :NAME"},
        {"list", 'l', OPTION_FLAG, &c.list, NULL, "list the canned queries"},
        {"print-sql", 0, OPTION_FLAG, &c.print_sql, NULL,
         "print the query, its parameters filled in, and do not run it"},
        {"format", 'f', OPTION_STRING, &c.format, "FORMAT", "table, csv or json (default table)"},
        {"output", 'o', OPTION_STRING, &c.output, "FILE",
         "write to FILE, whole or not at all (default: stdout)"},
        {0}};
    const struct program program = {
        .verb = "sql",
        .operands = "DB [QUERY-NAME or SQL]",
        .purpose = "answer a canned query or one of your own, or open the sqlite3 shell",
        .details =
            "Only statements that read are run, one at a time. The relations are described in "
            "docs/schema.md.\n"
            "Without a query, the sqlite3 shell is opened on the logbook, read-only. Shell and queries have "
            "the\n"
            "extension moescope.so: routing, routing_count and token_loss are fast, and there are the "
            "aggregates\n"
            "stddev, percentile, median, entropy and gini. routing('other') reads an ATTACHed logbook.\n",
        .examples = "moescope sql --list\n"
                    "moescope sql log.db experts_by_domain --run top1\n"
                    "moescope sql log.db expert_tokens --param layer=2 --format csv\n"
                    "moescope sql log.db 'SELECT name, status FROM run'\n"
                    "moescope sql log.db\n",
        .options = options,
        .min_operands = 0,
        .max_operands = 2};
    int status = program_main(&program, argc, argv, &c.output, ask, &c);
    string_list_release(&c.parameters);
    return status;
}
