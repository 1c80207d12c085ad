#include "tests/operations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/blas.h"

int operations_open(void **state)
{
    struct operations *s = calloc(1, sizeof *s);

    blas_start();
    *state = s;
    return pool_open(&s->pool, 2, NULL);
}

int operations_close(void **state)
{
    struct operations *s = *state;

    print_message("\n%-48s largest relative error\n", "operation");
    for (int i = 0; i < s->n; i++)
        print_message("%-48s %.1e\n", s->rows[i].name, s->rows[i].error);
    pool_close(s->pool);
    free(s);
    return 0;
}

struct operations *operations_begin(void **state)
{
    struct operations *s = *state;

    random_seed(&s->random, 17, 0);
    return s;
}

void operations_record(struct operations *s, const char *name, double error, double limit)
{
    assert_true(s->n < MOST_OPERATIONS);
    s->rows[s->n].name = name;
    s->rows[s->n++].error = error;
    if (!(error <= limit))
        fail_msg("%s: largest relative error %.2e, more than %.0e", name, error, limit);
}
