/* Rows of a query for other programs: JSON lines, and numpy's array file. (Comma-separated values are tables,
 * see query_print.) Memory does not grow with the rows, but a matrix's. */
#ifndef SQL_EXPORT_H
#define SQL_EXPORT_H
#include <stdio.h>

#include "sql/read.h"

/* One JSON object a row and line, numbers at full precision, NULL as null, a blob as the text of its hex
 * digits. *rows: how many there were. */
int query_write_jsonl(struct query *q, FILE *out, int64_t *rows, struct error *err);

/* The .npy format, version 1.0: one structured array of shape (rows,), little-endian, packed. A column is
 *
 *   <i8    when it holds whole numbers alone
 *   <f8    numbers, or numbers and NULLs, which become NaN
 *   SN     text, or text and anything else: UTF-8, N bytes for the longest; NULL is the empty text
 *
 * The query runs twice, in one transaction: first for the columns' kinds and the number of rows. STATUS_USAGE
 * when two columns have one name. */
int query_write_npy(struct query *q, FILE *out, int64_t *rows, struct error *err);

/* Rows (row, column, whole number) in this order, columns from 0 on and every one there, as one array of two
 * dimensions: numpy's, <i8, or lines of commas without a heading. STATUS_INPUT when the rows differ in
 * length, or there is none. *rows: of the matrix. */
enum matrix_format { MATRIX_CSV, MATRIX_NPY };
int query_write_matrix(struct query *q, enum matrix_format format, FILE *out, int64_t *rows,
                       struct error *err);

/* What Datasette takes as metadata.json for a logbook at that path: the canned queries, and what relations
 * are. A parameter that is left empty is unset, one that looks like a number is one. */
int datasette_write(FILE *out, const char *path, struct error *err);

#endif
