#include "base/table.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* A cell of the aligned format waits until every width is known. */
struct cell {
    size_t start;    /* into table.cells_text */
    int width, tail; /* columns on the screen; of these, from the decimal point on */
    bool number;     /* or a null, which goes with either */
    bool null;
};

struct table {
    FILE *out;
    enum table_format format;
    int n_columns, next; /* next: the column of the next cell */
    int64_t n_rows;      /* begun */
    bool failed;         /* out of memory */
    char *title, **names;
    struct text text; /* csv and json: the row in progress; aligned: every cell, each with its NUL */
    struct cell *cells;
    size_t n_cells, cells_capacity;
};

int table_format_parse(const char *name, enum table_format *format, struct error *err)
{
    static const char *const names[] = {"table", "csv", "json"};
    static const enum table_format formats[] = {TABLE_TEXT, TABLE_CSV, TABLE_JSON};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *format = formats[i];
            return 0;
        }
    return error_set(err, STATUS_USAGE, "unknown format '%s'; use table, csv or json", name);
}

static void table_free(struct table *t)
{
    for (int i = 0; t->names && i < t->n_columns; i++)
        free(t->names[i]);
    free(t->names);
    free(t->title);
    free(t->cells);
    text_release(&t->text);
    free(t);
}

/* ---- csv ---- */

static void add_csv(struct text *t, const char *s)
{
    if (*s && !strpbrk(s, ",\"\r\n")) {
        text_add(t, s);
        return;
    }
    text_add(t, "\"");
    for (; *s; s++) {
        if (*s == '"')
            text_add(t, "\"");
        text_add_bytes(t, s, 1);
    }
    text_add(t, "\"");
}

static void write_csv_header(struct table *t)
{
    for (int i = 0; i < t->n_columns; i++) {
        text_add(&t->text, i ? "," : "");
        add_csv(&t->text, t->names[i]);
    }
    text_add(&t->text, "\n");
}

/* ---- aligned ---- */

/* Control characters would break the alignment, or the terminal: they are shown as C writes them. */
static int add_visible(struct text *t, const char *s)
{
    int width = 0;
    size_t start = t->length;
    text_add_visible(t, s, "");
    /* A UTF-8 character is taken as one column wide. */
    for (size_t i = start; i < t->length; i++)
        width += ((unsigned char)t->data[i] & 0xc0) != 0x80;
    return width;
}

static void add_cell(struct table *t, const char *shown, bool number, bool null)
{
    if (t->n_cells == t->cells_capacity) {
        size_t capacity = t->cells_capacity ? 2 * t->cells_capacity : 64;
        struct cell *cells = realloc(t->cells, capacity * sizeof *cells);
        if (!cells) {
            t->failed = true;
            return;
        }
        t->cells = cells;
        t->cells_capacity = capacity;
    }
    struct cell *c = &t->cells[t->n_cells++];
    *c = (struct cell){.start = t->text.length, .number = number, .null = null};
    c->width = add_visible(&t->text, shown);
    if (number)
        c->tail = (int)strlen(shown + strcspn(shown, ".e"));
    text_add_bytes(&t->text, "", 1);
}

static void format_real(char *buffer, size_t n, double value)
{
    double size = fabs(value);
    if (isnan(value))
        snprintf(buffer, n, "nan"); /* printf would show its sign */
    else if (size >= 1e5 && size < 1e9)
        snprintf(buffer, n, "%.0f", value); /* plain digits read better than 1.2346e+05 */
    else
        snprintf(buffer, n, "%.5g", value);
}

struct column_shape {
    int width;  /* all in all */
    int tail;   /* of these, room after the decimal point */
    bool right; /* holds numbers only */
};

static int name_width(const char *name)
{
    int n = 0;
    for (; *name; name++)
        n += ((unsigned char)*name & 0xc0) != 0x80;
    return n;
}

/* Numbers stand with their points in one line. */
static struct column_shape column_shape(const struct table *t, int column)
{
    struct column_shape shape = {0, 0, true};
    int head = 0;
    for (size_t i = (size_t)column; i < t->n_cells; i += (size_t)t->n_columns)
        shape.right = shape.right && (t->cells[i].number || t->cells[i].null);
    for (size_t i = (size_t)column; i < t->n_cells; i += (size_t)t->n_columns) {
        const struct cell *c = &t->cells[i];
        int tail = shape.right ? c->tail : 0;
        shape.tail = tail > shape.tail ? tail : shape.tail;
        head = c->width - tail > head ? c->width - tail : head;
    }
    int name = name_width(t->names[column]);
    shape.width = head + shape.tail > name ? head + shape.tail : name;
    return shape;
}

static void pad(struct text *line, int n)
{
    for (int i = 0; i < n; i++)
        text_add(line, " ");
}

static void add_aligned(struct text *line, const char *s, int width, int tail,
                        const struct column_shape *shape)
{
    int after = shape->right ? shape->tail - tail : shape->width - width;
    int before = shape->width - width - after;
    pad(line, before);
    text_add(line, s);
    pad(line, after);
}

static void end_line(struct table *t, struct text *line)
{
    while (line->length > 0 && line->data[line->length - 1] == ' ')
        line->data[--line->length] = '\0';
    text_add(line, "\n");
    fwrite(line->data, 1, line->length, t->out);
    t->failed = t->failed || line->failed;
    text_clear(line);
}

static void write_aligned_header(struct table *t, const struct column_shape *shapes, struct text *line)
{
    for (int i = 0; i < t->n_columns; i++) {
        pad(line, i ? 2 : 0);
        add_aligned(line, t->names[i], name_width(t->names[i]), shapes[i].right ? shapes[i].tail : 0,
                    &shapes[i]);
    }
    end_line(t, line);
    for (int i = 0; i < t->n_columns; i++) {
        pad(line, i ? 2 : 0);
        for (int j = 0; j < shapes[i].width; j++)
            text_add(line, "-");
    }
    end_line(t, line);
}

static void write_aligned(struct table *t)
{
    struct text line;
    struct column_shape *shapes = calloc((size_t)t->n_columns, sizeof *shapes);
    if (!shapes) {
        t->failed = true;
        return;
    }
    for (int i = 0; i < t->n_columns; i++)
        shapes[i] = column_shape(t, i);
    text_init(&line);
    if (t->title)
        fprintf(t->out, "%s\n\n", t->title);
    write_aligned_header(t, shapes, &line);
    for (size_t i = 0; i < t->n_cells; i++) {
        int column = (int)(i % (size_t)t->n_columns);
        const struct cell *c = &t->cells[i];
        pad(&line, column ? 2 : 0);
        add_aligned(&line, t->text.data + c->start, c->width, c->tail, &shapes[column]);
        if (column == t->n_columns - 1)
            end_line(t, &line);
    }
    text_release(&line);
    free(shapes);
}

/* ---- rows of csv and json ---- */

static void flush_row(struct table *t)
{
    fwrite(t->text.data, 1, t->text.length, t->out);
    text_clear(&t->text);
}

static void begin_cell(struct table *t)
{
    if (t->format == TABLE_CSV)
        text_add(&t->text, t->next ? "," : "");
    else if (t->format == TABLE_JSON) {
        text_add(&t->text, t->next ? ", " : t->n_rows ? ",\n  {" : "\n  {");
        text_add_json(&t->text, t->names[t->next]);
        text_add(&t->text, ": ");
    }
}

static void end_cell(struct table *t)
{
    t->failed = t->failed || t->text.failed;
    if (++t->next < t->n_columns)
        return;
    t->next = 0;
    t->n_rows++;
    if (t->format == TABLE_TEXT)
        return;
    text_add(&t->text, t->format == TABLE_CSV ? "\n" : "}");
    t->failed = t->failed || t->text.failed;
    if (!t->failed)
        flush_row(t);
}

/* ---- the interface ---- */

static bool copy_names(struct table *t, const char *const *columns)
{
    t->names = calloc((size_t)t->n_columns, sizeof *t->names);
    for (int i = 0; t->names && i < t->n_columns; i++)
        if (!(t->names[i] = strdup(columns[i])))
            return false;
    return t->names != NULL;
}

struct table *table_open(FILE *out, enum table_format format, const char *title, const char *const *columns,
                         int n)
{
    struct table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    *t = (struct table){.out = out, .format = format, .n_columns = n};
    text_init(&t->text);
    bool ok = copy_names(t, columns) && (!title || (t->title = strdup(title)));
    if (!ok) {
        table_free(t);
        return NULL;
    }
    if (format == TABLE_CSV)
        write_csv_header(t);
    if (format == TABLE_JSON)
        text_add(&t->text, "[");
    return t;
}

void table_text(struct table *t, const char *value)
{
    if (!value) {
        table_null(t);
        return;
    }
    if (!t || t->failed)
        return;
    begin_cell(t);
    if (t->format == TABLE_TEXT)
        add_cell(t, value, false, false);
    else if (t->format == TABLE_CSV)
        add_csv(&t->text, value);
    else
        text_add_json(&t->text, value);
    end_cell(t);
}

void table_int(struct table *t, int64_t value)
{
    char buffer[32];
    if (!t || t->failed)
        return;
    snprintf(buffer, sizeof buffer, "%lld", (long long)value);
    begin_cell(t);
    if (t->format == TABLE_TEXT)
        add_cell(t, buffer, true, false);
    else
        text_add(&t->text, buffer);
    end_cell(t);
}

void table_real(struct table *t, double value)
{
    char buffer[64];
    if (!t || t->failed)
        return;
    if (t->format != TABLE_TEXT && !isfinite(value)) {
        table_null(t);
        return;
    }
    begin_cell(t);
    if (t->format == TABLE_TEXT) {
        format_real(buffer, sizeof buffer, value);
        add_cell(t, buffer, true, false);
    } else
        text_add_number(&t->text, value);
    end_cell(t);
}

void table_null(struct table *t)
{
    if (!t || t->failed)
        return;
    begin_cell(t);
    if (t->format == TABLE_TEXT)
        add_cell(t, "-", false, true);
    else if (t->format == TABLE_JSON)
        text_add(&t->text, "null");
    end_cell(t);
}

int table_close(struct table *t, struct error *err)
{
    if (!t)
        return error_no_memory(err, "a table");
    bool short_row = t->next != 0;
    if (!t->failed && !short_row) {
        if (t->format == TABLE_TEXT)
            write_aligned(t);
        else {
            if (t->format == TABLE_JSON)
                text_add(&t->text, t->n_rows ? "\n]\n" : "]\n");
            flush_row(t); /* also the heading of a table without rows */
        }
    }
    int result = 0;
    if (t->failed || t->text.failed)
        result = error_no_memory(err, "a table");
    else if (short_row)
        result = error_set(err, STATUS_MACHINE, "a table ended within a row: %d of %d columns", t->next,
                           t->n_columns);
    table_free(t);
    return result;
}
