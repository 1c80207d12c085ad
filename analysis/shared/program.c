#include "analysis/shared/program.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/terminal.h"
#include "metrics/collapse.h"

/* What the common options fill in. */
struct choices {
    const char *run, *table, *format, *output;
    int64_t rows;
    bool print_sql, exit_code;
};

/* The line length that words are wrapped to. */
enum { LINE_WIDTH = 100 };

/* ---- the verdict ---- */

void verdict_add(struct verdicts *v, const char *subject, const char *verdict, const char *format, ...)
{
    struct verdict_line line = {strdup(subject), strdup(verdict), NULL};
    va_list arguments;
    va_start(arguments, format);
    bool printed = vasprintf(&line.text, format, arguments) >= 0;
    va_end(arguments);
    struct verdict_line *lines = realloc(v->lines, ((size_t)v->n + 1) * sizeof *lines);
    if (lines)
        v->lines = lines;
    if (lines && line.subject && line.verdict && printed) {
        v->lines[v->n++] = line;
        return;
    }
    v->failed = true;
    free(line.subject);
    free(line.verdict);
    if (printed)
        free(line.text);
}

void verdicts_release(struct verdicts *v)
{
    for (int i = 0; i < v->n; i++) {
        free(v->lines[i].subject);
        free(v->lines[i].verdict);
        free(v->lines[i].text);
    }
    free(v->lines);
    *v = (struct verdicts){0};
}

static void print_wrapped(FILE *out, const char *words)
{
    struct text visible, lines;
    text_init(&visible);
    text_init(&lines);
    text_add_visible(&visible, words, "");
    text_add_wrapped(&lines, visible.failed ? words : visible.data, LINE_WIDTH);
    fputs(lines.failed ? words : lines.data, out);
    text_release(&lines);
    text_release(&visible);
}

static void print_words(const struct analysis *a, const struct verdicts *v, FILE *out)
{
    struct text run;
    text_init(&run);
    text_add_visible(&run, a->run ? a->run : "", "");
    if (a->run)
        fprintf(out, "%s of run '%s' in %s\n\n", a->program->command.verb, run.failed ? a->run : run.data,
                a->path);
    else
        fprintf(out, "%s in %s\n\n", a->program->command.verb, a->path);
    text_release(&run);
    for (int i = 0; i < v->n; i++)
        print_wrapped(out, v->lines[i].text);
}

static int print_verdict_table(const struct analysis *a, const struct verdicts *v, FILE *out,
                               struct error *err)
{
    static const char *const columns[] = {"subject", "verdict", "text"};
    struct table *t = table_open(out, a->format, NULL, columns, 3);
    for (int i = 0; i < v->n; i++) {
        table_text(t, v->lines[i].subject);
        table_text(t, v->lines[i].verdict);
        table_text(t, v->lines[i].text);
    }
    return table_close(t, err);
}

/* ---- tables ---- */

bool analysis_wants(const struct analysis *a, const char *table)
{
    if (a->table)
        return strcmp(a->table, table) == 0;
    return a->format == TABLE_TEXT || strcmp(table, "verdict") == 0;
}

void table_figure(struct table *t, double value)
{
    if (isnan(value))
        table_null(t);
    else
        table_real(t, value);
}

/* The list of columns, split in place. */
struct column_names {
    char *buffer;
    const char **names;
    int n;
};

static void column_names_release(struct column_names *c)
{
    free(c->buffer);
    free(c->names);
}

static int column_names_init(struct column_names *c, const struct analysis *a, const struct analysis_table *e,
                             struct error *err)
{
    size_t n = 1;
    int more = 0;
    for (const char *s = e->columns; *s; s++)
        n += *s == ',';
    while (e->more_columns && e->more_columns(a, more))
        more++;
    *c = (struct column_names){strdup(e->columns), calloc(n + (size_t)more, sizeof *c->names), 0};
    if (!c->buffer || !c->names) {
        column_names_release(c);
        return error_no_memory(err, "a table");
    }
    char *rest = c->buffer;
    for (char *name; (name = strsep(&rest, ",")) != NULL;)
        c->names[c->n++] = name;
    for (int i = 0; i < more; i++)
        c->names[c->n++] = e->more_columns(a, i);
    return 0;
}

static int open_query(const struct analysis *a, const struct analysis_table *e, struct query **q,
                      struct error *err)
{
    if (query_open(q, a->logbook, e->sql, err) != 0)
        return -1;
    if (!a->program->many_runs)
        query_bind_int(*q, ":run", a->run_id);
    if (a->program->bind)
        a->program->bind(a, *q);
    return 0;
}

static int print_table(struct analysis *a, const struct analysis_table *e, const char *title, FILE *out,
                       struct error *err)
{
    if (!e->rows) {
        struct query *q;
        if (open_query(a, e, &q, err) != 0)
            return -1;
        int result = query_print(q, out, a->format, title, err);
        query_close(q);
        return result;
    }
    struct column_names c;
    if (column_names_init(&c, a, e, err) != 0)
        return -1;
    struct table *t = table_open(out, a->format, title, c.names, c.n);
    int result = t ? e->rows(a, t, err) : error_no_memory(err, "a table");
    if (t && table_close(t, result == 0 ? err : NULL) != 0)
        result = -1;
    column_names_release(&c);
    return result;
}

static int rows_in(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines - 4;
}

/* The start of a table, `rows` rows of it (0: all), and how to see the rest. Four lines go before the rows:
 * title, empty line, names, rule; without any rows the title alone is said. */
static void print_start(const struct analysis_table *e, const char *text, int64_t rows, FILE *out)
{
    const char *end = text;
    int64_t left = rows + 4, more = 0;
    if (rows_in(text) == 0) {
        fprintf(out, "%.*s: none\n", (int)strcspn(text, "\n"), text);
        return;
    }
    for (; *end && (rows == 0 || left > 0); left--) {
        end += strcspn(end, "\n");
        end += *end == '\n';
    }
    for (const char *s = end; *s; s++)
        more += *s == '\n';
    fwrite(text, 1, (size_t)(end - text), out);
    if (more > 0)
        fprintf(out, "... and %lld more rows: --table %s\n", (long long)more, e->name);
}

/* Other forms of that table; NULL: it has none. */
static const struct analysis_view *view_of(const struct analysis *a, const struct analysis_table *e)
{
    const struct analysis_view *v = a->program->view;
    return v && strcmp(v->table, e->name) == 0 ? v : NULL;
}

/* By way of memory, so that a table that fails half way leaves no half behind. Caller frees. */
static int table_to_text(struct analysis *a, const struct analysis_table *e, const char *title, int64_t rows,
                         char **text, struct error *err)
{
    const struct analysis_view *v = view_of(a, e);
    size_t n;
    int result;
    *text = NULL;
    FILE *memory = open_memstream(text, &n);
    if (!memory)
        return error_no_memory(err, "a table");
    if (v && a->page)
        result = v->page(a, memory, err);
    else if (v && a->format == TABLE_TEXT)
        result = v->show(a, rows, memory, err);
    else
        result = print_table(a, e, title, memory, err);
    bool written = !ferror(memory);
    if ((fclose(memory) != 0 || !written) && result == 0)
        result = error_no_memory(err, "a table");
    return result;
}

static int print_alone(struct analysis *a, const struct analysis_table *e, FILE *out, struct error *err)
{
    char *text;
    int result = table_to_text(a, e, NULL, 0, &text, err);
    if (result == 0)
        fputs(text, out);
    free(text);
    return result;
}

static int print_excerpt(struct analysis *a, const struct analysis_table *e, int64_t rows, FILE *out,
                         struct error *err)
{
    char *text, title[256];
    snprintf(title, sizeof title, "%s: %s", e->name, e->help);
    int result = table_to_text(a, e, title, rows, &text, err);
    if (result == 0 && view_of(a, e)) {
        fprintf(out, "\n%s\n\n%s", title, text);
    } else if (result == 0) {
        fputc('\n', out);
        print_start(e, text, rows, out);
    }
    free(text);
    return result;
}

static int print_everything(struct analysis *a, const struct verdicts *v, int64_t rows, FILE *out,
                            struct error *err)
{
    print_words(a, v, out);
    for (const struct analysis_table *e = a->program->tables; e->name; e++)
        if (a->program->long_table && strcmp(e->name, a->program->long_table) == 0)
            fprintf(out, "\n%s: %s: --table %s\n", e->name, e->help, e->name);
        else if (print_excerpt(a, e, rows, out, err) != 0)
            return -1;
    return 0;
}

static const struct analysis_table *find_table(const struct analysis_program *p, const char *name)
{
    for (const struct analysis_table *e = p->tables; e->name; e++)
        if (strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

/* Which tables there are, for a mistyped one. */
static int check_table_name(const struct analysis_program *p, const char *name, struct error *err)
{
    const char *names[32] = {"verdict"};
    int n = 1;
    struct text list;
    if (!name || strcmp(name, "verdict") == 0 || find_table(p, name))
        return 0;
    for (const struct analysis_table *e = p->tables; e->name && n < 32; e++)
        names[n++] = e->name;
    const char *near = nearest_name(name, names, n);
    if (near)
        return error_set(err, STATUS_USAGE, "no table '%s', did you mean '%s'?", name, near);
    text_init(&list);
    for (int i = 0; i < n; i++)
        text_printf(&list, "%s%s", i ? ", " : "", names[i]);
    error_set(err, STATUS_USAGE, "no table '%s'; there are %s", name, list.data ? list.data : "");
    text_release(&list);
    return -1;
}

/* html is for the table that can be a page. */
static int choose_format(struct analysis *a, const char *format, struct error *err)
{
    const struct analysis_view *v = a->program->view;
    if (!v || strcmp(format, "html") != 0)
        return table_format_parse(format, &a->format, err);
    a->page = a->table && strcmp(a->table, v->table) == 0;
    return a->page ? 0 : error_set(err, STATUS_USAGE, "--format html needs --table %s", v->table);
}

/* ---- --print-sql ---- */

static int print_sql(struct analysis *a, FILE *out, struct error *err)
{
    bool all = !a->table || strcmp(a->table, "verdict") == 0;
    if (a->collected)
        return error_set(
            err, STATUS_USAGE,
            "--print-sql is of one logbook: bring the runs together first, 'moescope merge OUT.db %s ...'",
            a->path);
    for (const struct analysis_table *e = a->program->tables; e->name; e++) {
        if (!e->sql || !(all || strcmp(a->table, e->name) == 0))
            continue;
        struct query *q;
        if (open_query(a, e, &q, err) != 0)
            return -1;
        char *sql = query_expanded(q);
        query_close(q);
        if (!sql)
            return error_no_memory(err, "the SQL");
        size_t n = strlen(sql);
        while (n > 0 && strchr(" \n;", sql[n - 1]))
            n--;
        fprintf(out, "-- %s: %s\n%.*s;\n\n", e->name, e->help, (int)n, sql);
        free(sql);
    }
    return 0;
}

/* ---- the run ---- */

/* What the programs allocate and count by. Many experts must have their rows, lest a small file claim them.
 */
static int check_layer(struct query *q, struct error *err)
{
    enum { MOST_EXPERTS = 65536, FEW_EXPERTS = 256 };
    int64_t layer = query_int(q, "layer"), n = query_int(q, "n_experts"), k = query_int(q, "k");
    int64_t rows = query_int(q, "expert_rows");
    if (layer >= 0 && layer < LOGBOOK_MAX_LAYERS && n > 0 && n <= MOST_EXPERTS &&
        (n <= FEW_EXPERTS || n <= rows) && k >= 0 && k <= n)
        return 0;
    return error_set(err, STATUS_INPUT,
                     "layer %" PRId64 " has %" PRId64 " experts, %" PRId64 " a token, and %" PRId64
                     " rows in `expert`, as no logbook should; `moescope check` says more",
                     layer, n, k, rows);
}

static int read_layers(struct query *q, struct moe_layer **layers, int *n, struct error *err)
{
    int more;
    while ((more = query_step(q, err)) == 1) {
        if (check_layer(q, err) != 0)
            return -1;
        struct moe_layer *grown = realloc(*layers, ((size_t)*n + 1) * sizeof *grown);
        if (!grown)
            return error_no_memory(err, "the layers");
        *layers = grown;
        grown[(*n)++] = (struct moe_layer){.layer = (int)query_int(q, "layer"),
                                           .n_experts = (int)query_int(q, "n_experts"),
                                           .k = query_is_null(q, "k") ? 0 : (int)query_int(q, "k"),
                                           .fixed = untrained_by_design(query_word(q, "router"))};
    }
    return more;
}

int analysis_load_layers(struct logbook *lb, int64_t run_id, const char *run, struct moe_layer **layers,
                         int *n, struct error *err)
{
    struct query *q;
    *layers = NULL;
    *n = 0;
    if (query_open(&q, lb, "analysis/layers", err) != 0)
        return -1;
    query_bind_int(q, ":run", run_id);
    int result = read_layers(q, layers, n, err);
    query_close(q);
    if (result == 0 && *n == 0)
        result =
            error_set(err, STATUS_INPUT,
                      "run '%s' has no MoE layers, so there is no routing to look at; name another run", run);
    if (result != 0) {
        free(*layers);
        *layers = NULL;
        *n = 0;
    }
    return result;
}

int analysis_layer_index(const struct analysis *a, int64_t layer)
{
    for (int i = 0; i < a->n_layers; i++)
        if (a->layers[i].layer == layer)
            return i;
    return -1;
}

static int load_name(struct analysis *a, struct error *err)
{
    struct query *q;
    if (query_open(&q, a->logbook, "analysis/run", err) != 0)
        return -1;
    query_bind_int(q, ":run", a->run_id);
    int result = query_step(q, err) == 1 ? 0 : -1;
    if (result == 0 && !(a->run = strdup(query_word(q, "name"))))
        result = error_no_memory(err, "the run");
    query_close(q);
    return result;
}

static int load_run(struct analysis *a, const char *name, struct error *err)
{
    if (logbook_find_run(a->logbook, name, &a->run_id, err) != 0 || load_name(a, err) != 0 ||
        analysis_load_layers(a->logbook, a->run_id, a->run, &a->layers, &a->n_layers, err) != 0)
        return -1;
    for (int i = 0; i < a->n_layers; i++)
        if (a->layers[i].n_experts > a->max_experts)
            a->max_experts = a->layers[i].n_experts;
    return 0;
}

/* ---- main ---- */

/* Judges when the verdict is to be printed or the finding was asked for. */
static int answer(struct analysis *a, const struct choices *c, FILE *out, struct error *err)
{
    const struct analysis_program *p = a->program;
    struct verdicts v = {0};
    int result = 0;
    if (p->prepare && p->prepare(a, err) != 0)
        return -1;
    if (c->print_sql)
        return print_sql(a, out, err);
    if (analysis_wants(a, "verdict") || c->exit_code)
        result = p->judge(a, &v, err);
    if (result == 0 && v.failed)
        result = error_no_memory(err, "the verdict");
    const struct analysis_table *e = a->table ? find_table(p, a->table) : NULL;
    if (result == 0 && e)
        result = print_alone(a, e, out, err);
    else if (result == 0 && !a->table && a->format == TABLE_TEXT)
        result = print_everything(a, &v, c->rows, out, err);
    else if (result == 0)
        result = print_verdict_table(a, &v, out, err);
    verdicts_release(&v);
    return result == 0 && c->exit_code && p->finding(a) ? STATUS_FINDING : result;
}

static int run_program(struct analysis *a, const struct choices *c, struct error *err)
{
    struct output out = {0};
    if (check_table_name(a->program, c->table, err) != 0)
        return -1;
    a->table = c->table;
    if (choose_format(a, c->format, err) != 0)
        return -1;
    if (a->program->before && a->program->before(a->state, a->path, c->run, err) != 0)
        return -1;
    if (logbook_open(&a->logbook, a->path, err) != 0)
        return -1;
    int result = a->program->many_runs ? 0 : load_run(a, c->run, err);
    if (result == 0)
        result = output_open(&out, c->output, err);
    if (result == 0) {
        a->colours = terminal_has_colours(out.stream);
        result = answer(a, c, out.stream, err);
        if (result >= 0 && output_commit(&out, err) != 0)
            result = -1;
        output_discard(&out);
    }
    moescope_close(a->logbook);
    free(a->layers);
    free(a->run);
    return result;
}

/* The tables as the help lists them. */
static void describe_tables(const struct analysis_program *p, struct text *t)
{
    if (p->command.details)
        text_printf(t, "%s\n", p->command.details);
    text_add(t, "Tables (for --table, with their columns):\n"
                "  verdict: the findings in words\n      subject,verdict,text\n");
    for (const struct analysis_table *e = p->tables; e->name; e++)
        text_printf(t, "  %s: %s\n      %s%s\n", e->name, e->help, e->columns, e->more_columns ? ",..." : "");
}

enum { MOST_OPTIONS = 32 };

/* The common options around the program's own. */
static void list_options(const struct analysis_program *p, struct choices *c,
                         struct option_spec options[MOST_OPTIONS])
{
    int n = 0;
    if (!p->many_runs)
        options[n++] = (struct option_spec){
            "run", 'r', OPTION_STRING, &c->run, "NAME", "the run; needed where the logbook holds several"};
    for (const struct option_spec *o = p->command.options; o && o->name; o++) {
        assert(n < MOST_OPTIONS - 7);
        options[n++] = *o;
    }
    options[n++] = (struct option_spec){"table",   't',    OPTION_STRING,
                                        &c->table, "NAME", "print this table alone, all of it"};
    options[n++] = (struct option_spec){"format",
                                        'f',
                                        OPTION_STRING,
                                        &c->format,
                                        "FORMAT",
                                        p->view ? "table, csv or json (default table), or html"
                                                : "table, csv or json (default table)"};
    options[n++] = (struct option_spec){
        "rows",   0,   OPTION_INT,
        &c->rows, "N", "rows shown of each table when all are (default 16; 0: every row)"};
    options[n++] = (struct option_spec){
        "print-sql",   0,    OPTION_FLAG,
        &c->print_sql, NULL, "print the SQL behind the tables instead, for a sqlite3 shell"};
    options[n++] = (struct option_spec){
        "output",   'o',    OPTION_STRING,
        &c->output, "FILE", "write to FILE, whole or not at all (default: standard output)"};
    if (p->finding)
        options[n++] =
            (struct option_spec){"exit-code", 0, OPTION_FLAG, &c->exit_code, NULL, p->finding_help};
    options[n] = (struct option_spec){0};
}

int analysis_main(const struct analysis_program *p, void *state, int argc, char **argv)
{
    struct choices c = {.format = "table", .rows = 16};
    struct option_spec options[MOST_OPTIONS];
    struct program command = p->command;
    struct analysis a = {.state = state, .program = p};
    struct error err = {0};
    struct text details;
    int first;
    bool done = false;
    text_init(&details);
    describe_tables(p, &details);
    list_options(p, &c, options);
    command.options = options;
    command.details = details.data;
    int result = options_parse(&command, argc, argv, &first, &done, &err);
    if (result == 0 && !done) {
        a.path = argv[first];
        a.operands = argv + first + 1;
        a.n_operands = argc - first - 1;
        result = run_program(&a, &c, &err);
    }
    result = program_finish(&command, result, &err);
    text_release(&details);
    return result;
}
