#include "analysis/shared/html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* ---- tables ---- */

static bool is_number(const char *cell, double *value)
{
    char *end;
    if (!*cell || strspn(cell, "0123456789+-.eE") != strlen(cell))
        return false;
    *value = strtod(cell, &end);
    return *end == '\0';
}

void html_add_cell(struct text *page, const char *cell)
{
    double value;
    if (!cell)
        text_add(page, "–");
    else if (is_number(cell, &value) && value != floor(value))
        text_printf(page, "%.4g", value);
    else
        text_add_html(page, cell);
}

/* Whether `name` is one of the names in a list with commas. */
static bool is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *s = list; s && *s; s += strcspn(s, ","), s += *s == ',')
        if (strcspn(s, ",") == n && strncmp(s, name, n) == 0)
            return true;
    return false;
}

/* Columns that hold numbers only stand right. */
static bool is_numeric(const struct csv *table, int column)
{
    double value;
    bool any = false;
    for (int row = 0; row < table->n_rows; row++) {
        const char *cell = csv_cell(table, row, column);
        if (cell && !is_number(cell, &value))
            return false;
        any = any || cell;
    }
    return any;
}

/* A column's name as words. */
static void add_words(struct text *page, const char *name)
{
    char words[128];
    snprintf(words, sizeof words, "%s", name);
    for (char *s = words; *s; s++)
        if (*s == '_')
            *s = ' ';
    text_add_html(page, words);
}

static void add_heading(struct text *page, const char *name, bool left)
{
    text_add(page, left ? "<th class=l>" : "<th>");
    add_words(page, name);
}

void html_add_table(struct text *page, const struct csv *table, const char *hidden, int most,
                    const char *file)
{
    int shown = table->n_rows < most ? table->n_rows : most;
    bool *numeric = calloc((size_t)table->n_columns + 1, sizeof *numeric);
    if (!numeric) {
        page->failed = true;
        return;
    }
    text_add(page, "<div class=scroll tabindex=0 role=region aria-label=Table><table><thead><tr>");
    for (int c = 0; c < table->n_columns; c++) {
        numeric[c] = is_numeric(table, c);
        if (!is_listed(hidden, csv_name(table, c)))
            add_heading(page, csv_name(table, c), !numeric[c]);
    }
    text_add(page, "<tbody>\n");
    for (int row = 0; row < shown; row++) {
        text_add(page, "<tr>");
        for (int c = 0; c < table->n_columns; c++) {
            if (is_listed(hidden, csv_name(table, c)))
                continue;
            text_add(page, numeric[c] ? "<td>" : "<td class=l>");
            html_add_cell(page, csv_cell(table, row, c));
        }
        text_add(page, "\n");
    }
    text_add(page, "</table></div>\n");
    if (shown < table->n_rows)
        text_printf(page, "<p class=note>The first %d of %d rows; all are in %s.</p>\n", shown, table->n_rows,
                    file);
    free(numeric);
}

/* ---- pivots ---- */

struct values { /* different ones, in the order of their first row; they live in the table */
    const char **items;
    int n;
};

static int find_value(const struct values *v, const char *value)
{
    for (int i = 0; i < v->n; i++)
        if (strcmp(v->items[i], value) == 0)
            return i;
    return -1;
}

/* Different values of a column among the rows of one group (group NULL: all). */
static bool list_values(struct values *v, const struct csv *table, const char *column,
                        const char *group_column, const char *group)
{
    v->n = 0;
    v->items = calloc((size_t)table->n_rows + 1, sizeof *v->items);
    int at = csv_column(table, column), of = group ? csv_column(table, group_column) : -1;
    for (int row = 0; v->items && row < table->n_rows; row++) {
        const char *value = csv_cell(table, row, at), *in = csv_cell(table, row, of);
        if (value && (!group || (in && strcmp(in, group) == 0)) && find_value(v, value) < 0)
            v->items[v->n++] = value;
    }
    return v->items != NULL;
}

static int add_group(struct text *page, const struct csv *table, const struct figure_table *spec,
                     const char *group, struct error *err)
{
    struct values rows, columns;
    bool ok = list_values(&rows, table, spec->row, spec->group, group);
    ok = list_values(&columns, table, spec->column, spec->group, group) && ok;
    const char **cells = ok ? calloc((size_t)rows.n * (size_t)columns.n + 1, sizeof *cells) : NULL;
    int of = group ? csv_column(table, spec->group) : -1;
    for (int i = 0; cells && i < table->n_rows; i++) {
        const char *row = csv_text(table, i, spec->row), *column = csv_text(table, i, spec->column);
        const char *in = csv_cell(table, i, of);
        if (row && column && (!group || (in && strcmp(in, group) == 0)))
            cells[find_value(&rows, row) * columns.n + find_value(&columns, column)] =
                csv_text(table, i, spec->value);
    }
    text_add(page, "<div class=scroll tabindex=0 role=region aria-label=Table><table><thead><tr>");
    add_heading(page, spec->row, true);
    for (int c = 0; cells && c < columns.n; c++) {
        text_add(page, "<th>");
        if (strcmp(spec->column, "run") != 0 && c == 0)
            text_printf(page, "%s&nbsp;", spec->column);
        text_add_html(page, columns.items[c]);
    }
    text_add(page, "<tbody>\n");
    for (int r = 0; cells && r < rows.n; r++) {
        text_add(page, "<tr><th class=l>");
        text_add_html(page, rows.items[r]);
        for (int c = 0; c < columns.n; c++) {
            text_add(page, "<td>");
            html_add_cell(page, cells[r * columns.n + c]);
        }
        text_add(page, "\n");
    }
    text_add(page, "</table></div>\n");
    free(rows.items);
    free(columns.items);
    free(cells);
    return cells ? 0 : error_no_memory(err, "a table");
}

int html_add_pivot(struct text *page, const struct csv *table, const struct figure_table *spec,
                   struct error *err)
{
    struct values groups;
    int result = 0;
    if (!spec->group)
        return add_group(page, table, spec, NULL, err);
    if (!list_values(&groups, table, spec->group, NULL, NULL))
        return error_no_memory(err, "a table");
    for (int i = 0; result == 0 && i < groups.n; i++) {
        text_add(page, "<p class=group>");
        if (strcmp(spec->group, "run") != 0)
            text_printf(page, "%s ", spec->group);
        text_add_html(page, groups.items[i]);
        text_add(page, "</p>\n");
        result = add_group(page, table, spec, groups.items[i], err);
    }
    free(groups.items);
    return result;
}

/* ---- figures ---- */

enum { MOST_ROWS = 240 };

static int add_data(struct text *page, const struct figure *f, struct error *err)
{
    struct csv table;
    struct text file;
    if (csv_parse(&table, f->data.data, f->name, err) != 0)
        return -1;
    text_init(&file);
    text_printf(&file, "%s.csv", f->name);
    int result = 0;
    if (f->table.row) {
        text_add(page, "<p class=note>Cells: ");
        add_words(page, f->table.value);
        text_add(page, ".</p>\n");
        result = html_add_pivot(page, &table, &f->table, err);
    } else
        html_add_table(page, &table, f->table.hidden, MOST_ROWS, file.data);
    text_release(&file);
    csv_release(&table);
    return result;
}

static void add_file(struct text *page, const struct figure *f, const char *ending, const char *link)
{
    if (link) {
        text_add(page, "<a href=\"");
        text_add_html(page, link);
        text_printf(page, "/%s.%s\">%s.%s</a>", f->name, ending, f->name, ending);
    } else
        text_printf(page, "%s.%s", f->name, ending);
    text_add(page, strcmp(ending, "csv") == 0 ? "" : ", ");
}

/* PDF and PNG may have been left out. */
static bool is_drawn(const struct figure *f, const char *folder, const char *ending)
{
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/%s.%s", folder, f->name, ending);
    bool drawn = path.failed || file_exists(path.data);
    text_release(&path);
    return drawn;
}

static void add_files(struct text *page, const struct figure *f, const char *folder, const char *link)
{
    const char *slash = strrchr(folder, '/');
    text_add(page, "<p class=files>Files in ");
    text_add_html(page, link ? link : slash && slash[1] ? slash + 1 : folder);
    text_add(page, ": ");
    static const char *const endings[] = {"svg", "pdf", "png", "gp", "csv"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (is_drawn(f, folder, endings[i]))
            add_file(page, f, endings[i], link);
    text_printf(page, ". Draw again: <code>gnuplot %s.gp</code>.</p>\n", f->name);
}

static int add_drawing(struct text *page, const struct figure *f, int number, const char *folder,
                       struct colours *colours, struct error *err)
{
    struct text path;
    char *svg = NULL, prefix[16];
    size_t n;
    text_init(&path);
    text_printf(&path, "%s/%s.svg", folder, f->name);
    snprintf(prefix, sizeof prefix, "f%d-", number);
    int result = path.failed ? error_no_memory(err, "a figure") : file_read(path.data, &svg, &n, err);
    if (result == 0) {
        text_add(page, "<div class=plot tabindex=0 role=region aria-label=Drawing>");
        result = svg_embed(page, svg, prefix, f->title.data, f->caption.data, colours, err);
        text_add(page, "</div>\n");
    }
    free(svg);
    text_release(&path);
    return result;
}

static void add_caption(struct text *page, const struct figure *f, int number, const char *query)
{
    text_printf(page, "<figcaption><b>Figure %d. ", number);
    text_add_html(page, f->title.data);
    text_add(page, ".</b> ");
    text_add_html(page, f->caption.data);
    if (query) {
        text_add(page, " Query: <code>");
        text_add_html(page, query);
        text_add(page, "</code>.");
    }
    text_add(page, "</figcaption>\n");
}

int html_add_figure(struct text *page, const struct figure *f, const struct html_figure *how,
                    struct error *err)
{
    text_printf(page, "<figure id=\"%s\">\n", f->name);
    int result = how->files_only ? 0 : add_drawing(page, f, how->number, how->folder, how->colours, err);
    add_caption(page, f, how->number, how->query);
    if (how->files_only)
        text_add(
            page,
            "<p class=note>Left out here, lest the page become too long to send: the drawing and its data "
            "are among the files.</p>\n");
    else
        text_add(page, "<details><summary>Data and files</summary>\n");
    if (result == 0 && !how->files_only)
        result = add_data(page, f, err);
    if (result == 0) {
        add_files(page, f, how->folder, how->link);
        text_add(page, how->files_only ? "</figure>\n" : "</details>\n</figure>\n");
    }
    return result;
}

void html_add_colours(struct text *page, const struct colours *colours)
{
    text_add(page, ":root{");
    for (int i = 0; i < colours->n; i++)
        text_printf(page, "--c%d:#%06x;", i, colours->rgb[i]);
    text_add(page, "}\n@media (prefers-color-scheme:dark){@media screen{:root{");
    for (int i = 0; i < colours->n; i++)
        text_printf(page, "--c%d:#%06x;", i, colour_in_the_dark(colours->rgb[i]));
    text_add(page, "}}}\n");
}
