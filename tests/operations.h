/* What the tests of the engine's kernels share: a pool of two threads, random numbers, the limits that errors
 * are held to and, at the end, one line an operation: its largest relative error over all cases. */
#ifndef TESTS_OPERATIONS_H
#define TESTS_OPERATIONS_H
#include "engine/pool.h"
#include "tests/numeric.h"

enum { MOST_OPERATIONS = 48 };

struct operations {
    struct pool *pool;
    struct random random;
    struct {
        const char *name;
        double error;
    } rows[MOST_OPERATIONS];
    int n;
};

/* Set-up and tear-down of the group of tests; *state is a struct operations. */
int operations_open(void **state);
int operations_close(void **state);

/* What every test begins with: numbers of its own, whatever the tests before it have used up. */
struct operations *operations_begin(void **state);
/* Fails the test when the error is beyond the limit, or NaN. */
void operations_record(struct operations *s, const char *name, double error, double limit);

/* Limits, several times what other random numbers than these give: for a few float roundings on top of each
 * other, and for sums whose terms cancel in part. */
static const double few_roundings = 5e-6, many_roundings = 5e-5;

#endif
