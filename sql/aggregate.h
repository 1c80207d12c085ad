/* Aggregates that SQL lacks, each a metric of metrics/ over a column's numbers: stddev(x), percentile(x, p),
 * median(x), entropy(x), gini(x). NULLs do not count; without a number, or where the metric is not defined,
 * the result is NULL. Private to sql/. */
#ifndef SQL_AGGREGATE_H
#define SQL_AGGREGATE_H
#include "sql/sqlite.h"

/* A result code of SQLite's. */
int aggregates_register(sqlite3 *db);

#endif
