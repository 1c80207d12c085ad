/* metrics/hash_router.h: what is drawn follows from the ids alone, and is even. */
#include "metrics/hash_router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/close.h"

static void draw(const struct slots *like, const int32_t *id, int n_experts, struct random *r,
                 int32_t *expert)
{
    struct hash_router h;
    assert_int_equal(hash_router_init(&h, like, id, n_experts, NULL), 0);
    hash_router_draw(&h, r, expert);
    hash_router_release(&h);
    hash_router_release(&h);
}

/* Id 5 has three tokens, id 9 two, id 2 one; two experts. 5 chooses first, 9 then takes the other expert, and
 * 2 the one of 9, which has two tokens to 5's three: whatever is drawn, one expert has 5 and the other all
 * else. */
static void test_by_hand(void **state)
{
    const int32_t offset[] = {0, 1, 2, 3, 4, 5, 6}, id[] = {9, 5, 2, 5, 9, 5};
    const struct slots like = {6, offset, NULL};
    struct hash_router h;
    int first = 0;
    (void)state;
    assert_int_equal(hash_router_init(&h, &like, id, 2, NULL), 0);
    for (int i = 0; i < 40; i++) {
        int32_t e[6];
        struct random r;
        random_seed(&r, 1, (uint64_t)i);
        hash_router_draw(&h, &r, e);
        first += e[1];
        assert_int_equal(e[3], e[1]);
        assert_int_equal(e[5], e[1]);
        assert_int_equal(e[0], 1 - e[1]);
        assert_int_equal(e[4], 1 - e[1]);
        assert_int_equal(e[2], 1 - e[1]);
    }
    assert_in_range(first, 8, 32); /* of 40: either expert */
    hash_router_release(&h);
}

/* Tokens of one id have the same order of experts, and as many of them as they are to have. */
static void test_numbers_of_choices(void **state)
{
    const int32_t offset[] = {0, 2, 2, 5, 6, 7}, id[] = {4, 4, 4, 4, 8};
    const struct slots like = {5, offset, NULL};
    int32_t e[7];
    struct random r;
    (void)state;
    random_seed(&r, 2, 0);
    draw(&like, id, 4, &r, e);
    assert_int_equal(e[0], e[2]); /* tokens 0 (two choices), 2 (three) and 3 (one) */
    assert_int_equal(e[1], e[3]);
    assert_int_equal(e[5], e[2]);
    assert_true(e[2] != e[3] && e[3] != e[4] && e[2] != e[4]);
    assert_int_equal(e[6], 6 - e[2] - e[3] - e[4]); /* id 8 takes the expert that has nothing */
    const struct slots none = {0, offset, NULL};
    draw(&none, id, 4, &r, e);
}

/* A thousand ids of one to nine tokens on eight experts: loads within a token or so of each other. */
static void test_even(void **state)
{
    enum { IDS = 1000, EXPERTS = 8, MOST = 9 * IDS };
    int32_t *offset = malloc((MOST + 1) * sizeof *offset), *id = malloc(MOST * sizeof *id),
            *expert = malloc(MOST * sizeof *expert);
    int n = 0, load[EXPERTS] = {0};
    struct random r;
    (void)state;
    assert_true(offset && id && expert);
    random_seed(&r, 3, 0);
    for (int v = 0; v < IDS; v++)
        for (uint64_t i = random_below(&r, 9); i < 9; i++)
            id[n++] = v;
    for (int t = 0; t <= n; t++)
        offset[t] = t;
    const struct slots like = {n, offset, NULL};
    draw(&like, id, EXPERTS, &r, expert);
    for (int t = 0; t < n; t++)
        load[expert[t]]++;
    for (int e = 0; e < EXPERTS; e++)
        assert_close(load[e], n / 8., 1);
    free(offset);
    free(id);
    free(expert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_numbers_of_choices),
        cmocka_unit_test(test_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
