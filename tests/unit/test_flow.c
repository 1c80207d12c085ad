/* metrics/flow.h against paths counted by hand. */
#include "metrics/flow.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/close.h"

static const double exact = 1e-12;

static void test_by_hand(void **state)
{
    (void)state;
    /* {0} {0 1} {1} {} in the one layer, {2 0} {1 2} {2} {0} in the next: the last token has no path. Ranks
     * do not matter: the second token makes all four of its pairs. */
    const int32_t offset_a[] = {0, 1, 3, 4, 4}, a[] = {0, 0, 1, 1};
    const int32_t offset_b[] = {0, 2, 4, 5, 6}, b[] = {2, 0, 1, 2, 2, 0};
    const struct slots from = {4, offset_a, a}, to = {4, offset_b, b};
    const double count[] = {1, 1, 2, 0, 1, 2};
    struct flow f;
    assert_int_equal(flow_init(&f, 2, 3, NULL), 0);
    assert_nan(flow_departure(&f));
    assert_int_equal(flow_add(&f, &from, &to, NULL), 0);
    assert_close(f.n_tokens, 3, 0);
    for (int i = 0; i < 6; i++)
        assert_close(f.count[i], count[i], 0);
    assert_close(f.from[0], 2, 0);
    assert_close(f.to[2], 3, 0);
    assert_close(flow_expected(&f, 0, 2), 2, exact);      /* 2 x 3 / 3 */
    assert_close(flow_expected(&f, 1, 0), 2. / 3, exact); /* 2 x 1 / 3 */
    /* |1 - 2/3| + |1 - 2/3| + 0 + |0 - 2/3| + |1 - 2/3| + 0 = 5/3 of 7 paths, and half of that moves */
    assert_close(flow_departure(&f), 5. / 42, exact);
    flow_release(&f);
    flow_release(&f);
}

static void test_at_the_ends(void **state)
{
    (void)state;
    /* expert e leads to expert e: half of the paths of two even experts would have to change */
    const int32_t offset[] = {0, 1, 2, 3, 4}, expert[] = {0, 1, 0, 1}, other[] = {0, 0, 1, 1};
    const struct slots same = {4, offset, expert}, across = {4, offset, other}, shorter = {3, offset, other};
    struct flow f;
    struct error err = {0};
    assert_int_equal(flow_init(&f, 2, 2, NULL), 0);
    assert_int_equal(flow_add(&f, &same, &same, NULL), 0);
    assert_close(flow_departure(&f), 0.5, exact);
    assert_int_equal(flow_add(&f, &same, &shorter, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    flow_release(&f);
    assert_int_equal(flow_init(&f, 2, 2, NULL), 0); /* every pair once: independent */
    assert_int_equal(flow_add(&f, &same, &across, NULL), 0);
    assert_close(flow_departure(&f), 0, exact);
    flow_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_at_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
