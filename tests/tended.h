/* A logbook of two small trained runs, and what is done to copies of it by commands: for the tests of the
 * programs that look after a logbook. */
#ifndef TESTS_TENDED_H
#define TESTS_TENDED_H
#include "tests/tiny.h"

/* base.db in the folder: two runs of these names, of 20 steps each, 2 layers of top-2 among 4 experts. The
 * probe is routed at steps 0, 1, 2, 4, 8, 16 and 20. */
void tended_open(struct tiny *t, const char *first, const char *second);

/* shell_expect in the folder on a fresh copy of base.db, $D; $B is where the programs are. `prelude`:
 * functions that the commands use. */
void tended_expect(const struct tiny *t, const char *prelude, const char *commands, int status,
                   const char *out, const char *said);

#endif
