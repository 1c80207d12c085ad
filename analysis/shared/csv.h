/* A CSV table as the analysis programs write it (RFC 4180 with a heading), read whole into memory and asked
 * by the columns' names. An empty cell is a null; "" is an empty text. */
#ifndef ANALYSIS_SHARED_CSV_H
#define ANALYSIS_SHARED_CSV_H
#include "base/error.h"
#include "base/text.h"

struct csv {
    char *bytes; /* what the cells point into */
    char **cells;
    int n_columns,
        n_rows; /* rows without the heading: cell (row, column) is cells[(row + 1) * n_columns + column] */
};

/* Rows of other lengths than the heading's are STATUS_INPUT, with their line. */
int csv_read(struct csv *c, const char *path, struct error *err);
/* The same from a text; `name` is for messages. */
int csv_parse(struct csv *c, const char *text, const char *name, struct error *err);
void csv_release(struct csv *c); /* safe on zeroed and released */

/* -1 when there is no such column. */
int csv_column(const struct csv *c, const char *name);
const char *csv_name(const struct csv *c, int column);
/* NULL for a null and for a column that is not there. */
const char *csv_text(const struct csv *c, int row, const char *column);
const char *csv_cell(const struct csv *c, int row, int column);
/* NaN for a null, for a column that is not there and for what is no number. */
double csv_real(const struct csv *c, int row, const char *column);
int csv_int(const struct csv *c, int row, const char *column); /* 0 for those */

/* Adds a cell, quoted where it must be; NULL adds nothing. */
void csv_add(struct text *t, const char *cell);
void csv_add_real(struct text *t, double value); /* nothing when not finite */

#endif
