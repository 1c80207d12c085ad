/* Fast relations for any SQLite connection: routing, routing_count and token_loss as virtual tables that
 * shadow the logbook's views, and the aggregates stddev, percentile, median, entropy and gini.
 *
 *   sqlite3 log.db -cmd '.load bin/moescope'            a shell; Python:
 * connection.load_extension("moescope") sqlite3_auto_extension((void (*)(void))sqlite3_moescope_init) linked
 * statically (libmoescope-sqlite.a)
 *
 * An ATTACHed logbook is read by the function form: SELECT ... FROM routing('other'). Where main is no
 * logbook and has relations of these names, they are left alone; moescope_routing('other') and its siblings
 * are always there. */
#ifndef SQL_EXTENSION_H
#define SQL_EXTENSION_H

struct sqlite3;
struct sqlite3_api_routines;

/* SQLite's entry point of an extension; needs SQLite 3.37. message: sqlite3_malloc'ed, on failure. */
int sqlite3_moescope_init(struct sqlite3 *db, char **message, const struct sqlite3_api_routines *api);

#endif
