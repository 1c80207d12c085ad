/* Rows out, in the three formats every command offers. Cells are given left to right; a row ends when all
 * columns have one. Aligned text for people (numbers right, 5 significant digits), CSV by RFC 4180 (but a
 * line ends with LF alone, as other tools here expect) and JSON as one array of objects, both at full
 * precision. NULL: "-" in a table, empty in CSV (an empty text is ""), null in JSON. */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum table_format { TABLE_TEXT, TABLE_CSV, TABLE_JSON };
int table_format_parse(const char *name, enum table_format *format, struct error *err); /* table, csv, json */

struct table;
/* NULL when out of memory; the calls below take that, and table_close reports it. Text is written at the
 * close, CSV and JSON row by row. Whether `out` took it all is for its owner to check (output_commit,
 * program_finish).
 * Column names are copied. `title` is printed above an aligned table, ignored elsewhere; may be NULL. */
struct table *table_open(FILE *out, enum table_format format, const char *title, const char *const *columns,
                         int n);
void table_text(struct table *t, const char *value); /* NULL: a null */
void table_int(struct table *t, int64_t value);
void table_real(struct table *t, double value); /* not finite: a null in CSV and JSON, nan/inf in text */
void table_null(struct table *t);
int table_close(struct table *t,
                struct error *err); /* writes what is pending; fails on memory or a short row */

#endif
