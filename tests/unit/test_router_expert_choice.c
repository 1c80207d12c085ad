/* engine/router_expert_choice.c: every expert takes as many tokens as any other, the likeliest. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/alone.h"
#include "tests/close.h"
#include "tests/memory.h"

enum { MOST = 200 };

static struct router_config k_of(int k, int n)
{
    return (struct router_config){.n_experts = n, .k = k};
}

/* Three tokens, three experts, k = 1: a token each. Expert 0 takes token 0 (.6), expert 1 token 1 (.35),
 * expert 2 token 1 as well (.45), which so has two, the likelier first; token 2 has none. */
static void test_by_hand(void **state)
{
    static const float odds[] = {.6F, .3F, .1F, .2F, .35F, .45F, .3F, .3F, .4F};
    float logits[9];
    struct alone a;

    (void)state;
    for (int i = 0; i < 9; i++)
        logits[i] = logf(odds[i]);
    alone_open(&a, "expert_choice", k_of(1, 3), 3);
    alone_route(&a, 3, logits, NULL);
    alone_expect(&a, 0, (const int[]){0}, 1);
    alone_expect(&a, 1, (const int[]){2, 1}, 2);
    alone_expect(&a, 2, NULL, 0);
    assert_close((double)a.routing.weight[1], 0.45, 1e-6); /* the raw probability */
    alone_close(&a);
}

/* Expert e's tokens are no less likely than those it leaves, and of equals the earlier. */
static void check_expert(const struct routing *r, int e, int expected)
{
    bool chosen[MOST] = {false};
    int n = 0;

    for (int t = 0; t < r->n_tokens; t++) {
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++)
            chosen[t] = chosen[t] || r->expert[d] == e;
        n += chosen[t];
    }
    assert_int_equal(n, expected);
    for (int t = 0; t < r->n_tokens; t++) {
        for (int u = 0; u < r->n_tokens && chosen[t]; u++) {
            float p = r->probability[t * r->n_experts + e], q = r->probability[u * r->n_experts + e];
            assert_true(chosen[u] || p > q || (p == q && t < u));
        }
    }
}

static void check_order(const struct routing *r)
{
    for (int t = 0; t < r->n_tokens; t++) {
        for (int d = r->offset[t] + 1; d < r->offset[t + 1]; d++)
            assert_true(r->gate[d] <= r->gate[d - 1]);
    }
}

/* ceil(T k / N) each, over shapes that divide and that do not; coarse logits, so that there are ties. */
static void test_every_expert_takes_as_many(void **state)
{
    static const int tokens[] = {1, 2, 63, 64, 65, MOST};
    float logits[MOST * 7];
    struct random r;

    (void)state;
    random_seed(&r, 1, 0);
    for (int k = 1; k <= 7; k++) {
        struct alone a;
        alone_open(&a, "expert_choice", k_of(k, 7), MOST);
        for (int i = 0; i < 12; i++) {
            int T = tokens[i / 2];
            for (int j = 0; j < T * 7; j++)
                logits[j] = i % 2 ? (float)random_normal(&r) : (float)random_below(&r, 2);
            alone_route(&a, T, logits, NULL);
            for (int e = 0; e < 7; e++)
                check_expert(&a.routing, e, (T * k + 6) / 7);
            check_order(&a.routing);
        }
        alone_close(&a);
    }
}

static void test_all_of_all(void **state)
{
    static const float logits[] = {0.1F, 0.3F, 0.2F, 5.0F, 4.0F, 6.0F};
    struct alone a;

    (void)state;
    alone_open(&a, "expert_choice", k_of(3, 3), 2);
    alone_route(&a, 2, logits, NULL);
    alone_expect(&a, 0, (const int[]){1, 2, 0}, 3);
    alone_expect(&a, 1, (const int[]){2, 0, 1}, 3);
    alone_close(&a);
}

/* What comes later decides what came before: why no language model may have it. */
static void test_the_future_counts(void **state)
{
    float logits[] = {1.0F, 0.0F, 0.0F, 0.0F, 0.5F, 0.0F, 0.0F, 0.0F};
    struct alone a;

    (void)state;
    alone_open(&a, "expert_choice", k_of(1, 2), 4);
    alone_route(&a, 4, logits, NULL);
    alone_expect(&a, 2, (const int[]){0}, 1);
    logits[6] = 3.0F; /* token 3 */
    alone_route(&a, 4, logits, NULL);
    assert_int_equal(a.routing.expert[a.routing.offset[3]], 0);
    assert_true(a.routing.offset[3] == a.routing.offset[2] || a.routing.expert[a.routing.offset[2]] != 0);
    alone_close(&a);
}

static void test_refused(void **state)
{
    static const char *const settings[] = {"router.name=expert_choice", NULL};
    struct router_config config = k_of(2, 4);
    struct config c;
    struct model_config model;
    struct error err = {0};

    (void)state;
    memory_config(&c, settings);
    assert_int_equal(config_settle(&c, &err), 0);
    assert_int_equal(config_model(&c, 24, &model, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "router.name = expert_choice looks at the tokens that follow"));
    config_release(&c);
    config.renormalize = true;
    assert_int_equal(router_find("expert_choice")->check(&config, &err), -1);
    assert_non_null(strstr(err.text, "raw probabilities"));
}

static void test_not_a_number(void **state)
{
    static const float logits[] = {NAN, NAN, 1.0F, 0.0F, 0.0F, 1.0F, 2.0F, 0.0F, NAN, NAN, NAN, NAN};
    struct alone a;

    (void)state;
    alone_open(&a, "expert_choice", k_of(1, 2), 6);
    alone_route(&a, 6, logits, NULL); /* three each: those that are numbers come first */
    assert_int_equal(routing_decisions(&a.routing), 6);
    alone_expect(&a, 1, (const int[]){0, 1}, 2);
    alone_expect(&a, 2, (const int[]){1, 0}, 2);
    alone_expect(&a, 3, (const int[]){0, 1}, 2);
    alone_route(&a, 2, logits + 8, NULL);
    assert_true(isnan(a.routing.weight[0]));
    alone_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),    cmocka_unit_test(test_every_expert_takes_as_many),
        cmocka_unit_test(test_all_of_all), cmocka_unit_test(test_the_future_counts),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_not_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
