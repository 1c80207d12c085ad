/* The virtual tables: relations decoded from packed blocks as they are read, see sql/relation.h. Private to
 * sql/; programs get them with every logbook they open, others by the extension (sql/extension.h). */
#ifndef SQL_VTAB_H
#define SQL_VTAB_H
#include "sql/relation.h"

/* Registers every relation's module. A result code of SQLite's. */
int vtab_register(sqlite3 *db);

#endif
