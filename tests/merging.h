/* A place to merge into, for the tests of moescope merge, and what contents are the same but for their ids.
 * Whatever is not as asked for fails the test. */
#ifndef TESTS_MERGING_H
#define TESTS_MERGING_H
#include "tests/support.h"

struct place { /* out: the merged logbook's path */
    char *folder, *out, *bin;
};
void place_open(struct place *p);
void place_release(struct place *p);

/* Of the run `uuid` alone, or of all when that is NULL: every relation of the contract, with names and hashes
 * in the place of ids. */
void assert_same_contents(const char *a, const char *b, const char *uuid);
char *dump(const char *path); /* caller frees */

/* moescope-merge OUT and the rest of the command line as it is. */
struct test_run merge(const struct place *p, const char *inputs);
/* Merges one; what stdout must hold ("sound,added" in CSV), and stderr ("": nothing). */
void merges(const struct place *p, const char *input, const char *done, const char *said);
/* A refusal leaves everything as it was. */
void refuses(const struct place *p, const char *inputs, const char *said);
void merging_changes_nothing(const struct place *p, const char *input, const char *done);

#endif
