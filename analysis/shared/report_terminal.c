/* The report where there are only characters: gnuplot draws in them, but for maps, which are shades. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/report.h"
#include "base/file.h"

enum { WIDE = 100, MOST_LINES = 512 };

/* ---- words ---- */

static void add_sentence(struct text *t, const char *who, const char *sentence)
{
    struct text line;
    text_init(&line);
    if (who && strncmp(sentence, who, strlen(who)) != 0)
        text_printf(&line, "%s: ", who);
    text_add(&line, sentence);
    text_add_wrapped(t, line.failed ? sentence : line.data, WIDE);
    text_release(&line);
}

static void add_comparison(struct text *t, const struct report *r)
{
    const struct csv *table = report_table(r, -1, "compare", "verdict");
    for (int i = 0; table && i < table->n_rows; i++)
        if (csv_text(table, i, "text"))
            add_sentence(t, NULL, csv_text(table, i, "text"));
}

/* What an analysis says of each run as a whole. */
static void add_answers(struct text *t, const struct report *r, const char *question, const char *verb)
{
    bool any = false;
    for (int run = 0; run < r->n_runs; run++) {
        const struct csv *table = report_table(r, run, verb, "verdict");
        for (int i = 0; table && i < table->n_rows; i++) {
            const char *subject = csv_text(table, i, "subject"), *text = csv_text(table, i, "text");
            if (!subject || strcmp(subject, "run") != 0 || !text)
                continue;
            if (!any)
                text_printf(t, "\n%s\n\n", question);
            any = true;
            add_sentence(t, r->runs[run].name, text);
        }
    }
}

/* ---- maps ---- */

static const char *shade(double over_even)
{
    if (isnan(over_even))
        return " ";
    return over_even <= 0     ? "×"
           : over_even < 0.5  ? "·"
           : over_even < 0.8  ? "░"
           : over_even < 1.25 ? "▒"
           : over_even < 2    ? "▓"
                              : "█";
}

struct lines { /* values of a column, in order of appearance; they live in the table */
    const char *items[MOST_LINES];
    int n;
};

static int line_of(struct lines *l, const char *value)
{
    int i = 0;
    while (i < l->n && strcmp(l->items[i], value) != 0)
        i++;
    if (i == l->n && l->n < MOST_LINES)
        l->items[l->n++] = value;
    return i;
}

/* One group's cells: a line a row of the map, two characters a cell where there is room. */
static int add_group(struct text *t, const struct csv *table, const struct figure_table *spec,
                     const char *group, struct error *err)
{
    struct lines rows = {.n = 0}, columns = {.n = 0};
    double *cells = malloc((size_t)MOST_LINES * MOST_LINES * sizeof *cells);
    if (!cells)
        return error_no_memory(err, "a map");
    for (int i = 0; i < MOST_LINES * MOST_LINES; i++)
        cells[i] = NAN;
    for (int i = 0; i < table->n_rows; i++) {
        const char *in = csv_text(table, i, spec->group), *row = csv_text(table, i, spec->row);
        const char *column = csv_text(table, i, spec->column);
        if (!in || strcmp(in, group) != 0 || !row || !column)
            continue;
        int y = line_of(&rows, row), x = line_of(&columns, column);
        if (y < MOST_LINES && x < MOST_LINES)
            cells[y * MOST_LINES + x] = csv_real(table, i, spec->value);
    }
    text_printf(t, "  %s %s: %s down, %s across, from %s to %s\n", spec->group, group, spec->row,
                spec->column, columns.n ? columns.items[0] : "-",
                columns.n ? columns.items[columns.n - 1] : "-");
    for (int y = 0; y < rows.n; y++) {
        text_printf(t, "  %14.14s ", rows.items[y]);
        for (int x = 0; x < columns.n; x++)
            for (int twice = 0; twice < (2 * columns.n + 17 <= WIDE ? 2 : 1); twice++)
                text_add(t, shade(cells[y * MOST_LINES + x]));
        text_add(t, "\n");
    }
    free(cells);
    return 0;
}

static int add_map(struct text *t, const struct figure *f, struct error *err)
{
    struct csv table;
    struct lines groups = {.n = 0};
    int result = 0;
    if (csv_parse(&table, f->data.data, f->name, err) != 0)
        return -1;
    text_add(t, "  times what is even: × none  · below 0.5  ░ below 0.8  ▒ even  ▓ from 1.25  █ from 2\n\n");
    for (int i = 0; i < table.n_rows; i++)
        if (csv_text(&table, i, f->table.group))
            line_of(&groups, csv_text(&table, i, f->table.group));
    for (int g = 0; result == 0 && g < groups.n; g++)
        result = add_group(t, &table, &f->table, groups.items[g], err);
    csv_release(&table);
    return result;
}

/* ---- drawings ---- */

static bool is_blank(const char *line, size_t n)
{
    return strspn(line, " ") >= n;
}

/* Blanks at the ends of lines say nothing, nor do many empty lines. */
static void add_lines(struct text *t, const char *drawing)
{
    bool empty = true;
    while (*drawing) {
        size_t n = strcspn(drawing, "\n\f"), kept = n;
        bool blank = is_blank(drawing, n);
        while (kept > 0 && drawing[kept - 1] == ' ')
            kept--;
        if (!(blank && empty)) {
            text_add_bytes(t, drawing, kept);
            text_add(t, "\n");
        }
        empty = blank;
        drawing += n + (drawing[n] != '\0');
    }
}

static int add_drawing(struct text *t, const struct report *r, const struct figure *f, struct error *err)
{
    struct text path;
    char *drawing = NULL;
    size_t n;
    text_init(&path);
    text_printf(&path, "%s/%s.txt", r->folder, f->name);
    int result = path.failed ? error_no_memory(err, "a figure") : file_read(path.data, &drawing, &n, err);
    if (result == 0)
        add_lines(t, drawing);
    free(drawing);
    text_release(&path);
    return result;
}

int report_terminal(const struct report *r, struct text *out, struct error *err)
{
    const char *slash = strrchr(r->db, '/');
    int result = 0;
    text_printf(out, "%s\n\n", r->title ? r->title : slash ? slash + 1 : r->db);
    add_comparison(out, r);
    add_answers(out, r, "Do the routers collapse?", "collapse");
    add_answers(out, r, "Do experts specialise?", "specialization");
    add_answers(out, r, "How many experts do the layers spread over?", "demand");
    for (int i = 0; result == 0 && i < r->figures.n; i++) {
        const struct figure *f = r->figures.items[i];
        text_printf(out, "\nFigure %d. %s\n\n", i + 1, f->title.data);
        result = f->map ? add_map(out, f, err) : add_drawing(out, r, f, err);
        text_add(out, "\n");
        text_add_wrapped(out, f->caption.data, WIDE);
    }
    return result == 0 && out->failed ? error_no_memory(err, "the report") : result;
}
