/* Rows of a query for other programs: JSON lines, and numpy's array file. (Comma-separated values are tables,
 * see query_print.) Memory does not grow with the rows. */
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

#endif
