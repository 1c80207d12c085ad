#include "analysis/shared/csv.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct reader {
    struct csv *csv;
    char *at;
    int n_cells, capacity, line;
};

static int add_cell(struct reader *r, char *cell, struct error *err)
{
    if (r->n_cells == r->capacity) {
        int capacity = r->capacity ? 2 * r->capacity : 256;
        char **cells = realloc(r->csv->cells, (size_t)capacity * sizeof *cells);
        if (!cells)
            return error_no_memory(err, "a table");
        r->csv->cells = cells;
        r->capacity = capacity;
    }
    r->csv->cells[r->n_cells++] = cell;
    return 0;
}

/* Takes the quotes off in place; leaves `at` behind the closing one. */
static char *quoted_cell(struct reader *r)
{
    char *cell = r->at, *out = r->at;
    for (r->at++; *r->at; r->at++) {
        if (*r->at == '"' && r->at[1] == '"')
            r->at++;
        else if (*r->at == '"')
            break;
        r->line += *r->at == '\n';
        *out++ = *r->at;
    }
    if (*r->at == '"')
        r->at++;
    *out = '\0'; /* at the latest where the closing quote stood */
    return cell;
}

/* Takes the cell's end, leaves `at` behind it: ',', '\n' (also for "\r\n"), '\0' at the end of the text, or
 * whatever else stands behind a quoted cell. */
static char end_cell(struct reader *r)
{
    char end = *r->at;
    if (end == '\r' && r->at[1] == '\n') {
        *r->at++ = '\0';
        end = '\n';
    }
    *r->at = '\0';
    r->at += end != '\0';
    return end;
}

static char *plain_cell(struct reader *r)
{
    char *cell = r->at;
    r->at += strcspn(r->at, ",\n");
    if (*r->at == '\n' && r->at > cell && r->at[-1] == '\r')
        r->at--;
    return cell;
}

/* One row; false at the end of the text. */
static int read_row(struct reader *r, const char *name, struct error *err)
{
    int before = r->n_cells, line = ++r->line;
    for (;;) {
        bool quoted = *r->at == '"';
        char *cell = quoted ? quoted_cell(r) : plain_cell(r), end = end_cell(r);
        if (end != '\0' && end != ',' && end != '\n')
            return error_set(err, STATUS_INPUT, "'%s' line %d is not CSV: text after a quoted cell", name,
                             line);
        if (add_cell(r, !quoted && *cell == '\0' ? NULL : cell, err) != 0)
            return -1;
        if (end != ',')
            break;
    }
    int n = r->n_cells - before;
    if (before == 0)
        r->csv->n_columns = n;
    else if (n != r->csv->n_columns)
        return error_set(err, STATUS_INPUT, "'%s' line %d has %d cells where the heading has %d", name, line,
                         n, r->csv->n_columns);
    return 0;
}

/* Takes over csv->bytes. */
static int read_rows(struct csv *c, const char *name, struct error *err)
{
    struct reader r = {.csv = c, .at = c->bytes};
    while (*r.at)
        if (read_row(&r, name, err) != 0) {
            csv_release(c);
            return -1;
        }
    if (c->n_columns == 0) {
        csv_release(c);
        return error_set(err, STATUS_INPUT, "'%s' is empty: not even a heading", name);
    }
    c->n_rows = r.n_cells / c->n_columns - 1;
    return 0;
}

int csv_read(struct csv *c, const char *path, struct error *err)
{
    size_t n;
    *c = (struct csv){0};
    if (file_read(path, &c->bytes, &n, err) != 0)
        return -1;
    return read_rows(c, path, err);
}

int csv_parse(struct csv *c, const char *text, const char *name, struct error *err)
{
    *c = (struct csv){.bytes = strdup(text)};
    return c->bytes ? read_rows(c, name, err) : error_no_memory(err, "a table");
}

void csv_release(struct csv *c)
{
    free(c->bytes);
    free(c->cells);
    *c = (struct csv){0};
}

int csv_column(const struct csv *c, const char *name)
{
    for (int i = 0; i < c->n_columns; i++)
        if (c->cells[i] && strcmp(c->cells[i], name) == 0)
            return i;
    return -1;
}

const char *csv_name(const struct csv *c, int column)
{
    return c->cells[column] ? c->cells[column] : "";
}

const char *csv_cell(const struct csv *c, int row, int column)
{
    return column < 0 ? NULL : c->cells[(row + 1) * c->n_columns + column];
}

const char *csv_text(const struct csv *c, int row, const char *column)
{
    return csv_cell(c, row, csv_column(c, column));
}

double csv_real(const struct csv *c, int row, const char *column)
{
    const char *cell = csv_text(c, row, column);
    if (!cell)
        return NAN;
    char *end;
    double value = strtod(cell, &end);
    return end == cell || *end ? NAN : value;
}

int csv_int(const struct csv *c, int row, const char *column)
{
    double value = csv_real(c, row, column);
    return fabs(value) < 2e9 ? (int)value : 0;
}

void csv_add(struct text *t, const char *cell)
{
    if (!cell)
        return;
    if (*cell && !strpbrk(cell, ",\"\r\n")) {
        text_add(t, cell);
        return;
    }
    text_add(t, "\"");
    for (; *cell; cell++) {
        if (*cell == '"')
            text_add(t, "\"");
        text_add_bytes(t, cell, 1);
    }
    text_add(t, "\"");
}

void csv_add_real(struct text *t, double value)
{
    if (isfinite(value))
        text_add_number(t, value);
}
