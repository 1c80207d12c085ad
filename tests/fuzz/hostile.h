/* Logbooks as targets: valid ones to begin with, what readers do with one, and rows written into one past its
 * own rules. */
#ifndef TESTS_FUZZ_HOSTILE_H
#define TESTS_FUZZ_HOSTILE_H
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/fuzz.h"

/* A file with two runs that between them have every codec, fixed and varying k, refused decisions, unknown
 * gates, probabilities, loads and metrics, in pages of 512 bytes so that it is small. Caller frees. */
uint8_t *hostile_logbook(size_t *n);
/* The same with tables that take values of any type and rows twice. */
uint8_t *hostile_loose_logbook(size_t *n);

/* From now on every connection to SQLite gives up after this much work on one input: what takes for ever ends
 * with an error. hostile_rest begins anew. */
void hostile_limit(void);
void hostile_rest(void);

/* Writes rows into the file: the bytes say which, by the language in hostile.c. */
void hostile_write(const char *path, struct fuzz_input *in);
/* How many pieces of schema it can write: number i by the bytes 8, i. */
extern const int hostile_schemas;
/* The same without pieces of schema: blocks whose lengths fit, and values where the tables take them. */
void hostile_write_soundly(const char *path, struct fuzz_input *in);
/* Checksums and hashes as what they are of wants them. */
void hostile_mend(const char *path);

/* Reads the file in one of the ways there are: blocks, probabilities, the check, a named query, a program. */
enum { HOSTILE_WAYS = 16 };
void hostile_read(const char *path, uint8_t way, uint8_t which);

/* Makes at most n queries, of 16 bytes each, of the input and requires that the virtual tables answer as the
 * views do; valid: the logbook need not be checked first. */
void hostile_differ(const char *path, struct fuzz_input in, int n, bool valid);

/* Runs a reader's SQL on a connection that could write, to the end or for some rows. */
void hostile_ask(const char *path, const char *sql);

#endif
