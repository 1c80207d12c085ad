/* Questions as people put them on a command line: by the name of a canned query or in SQL, with parameters.
 */
#ifndef SQL_ASK_H
#define SQL_ASK_H
#include <stdbool.h>
#include <stdio.h>

#include "sql/read.h"

/* The .sql files of a folder ("queries/"), each with the first line of its comment, as a table of two
 * columns. */
int ask_list(const char *folder, const char *name_column, const char *line_column, FILE *out,
             enum table_format format, struct error *err);
/* A word is a name, anything longer is SQL. */
bool ask_is_word(const char *text);
/* A canned query, or SQL of which only statements that read are let through. */
int ask_open(struct query **q, struct logbook *lb, const char *text, struct error *err);
/* "NAME=VALUE" for the parameter :NAME, which the query must have; a value that looks like a number is one.
 */
int ask_bind(struct query *q, const char *assignment, struct error *err);

#endif
