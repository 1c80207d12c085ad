/* SQLite, as a library or, in the loadable extension, as what the program offers that loads it. */
#ifndef SQL_SQLITE_H
#define SQL_SQLITE_H
#ifdef MOESCOPE_LOADABLE
#include <sqlite3ext.h>
extern const sqlite3_api_routines *sqlite3_api; /* set by the entry point in sql/extension.c */
#else
#include <sqlite3.h>
#endif
#endif
