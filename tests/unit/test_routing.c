/* engine/routing.h: who goes where, who is refused, and what it costs. The router's weights are the identity,
 * so that a token's vector is its logits, and logits are logarithms of the probabilities wanted. */
#include "engine/routing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/blas.h"
#include "tests/close.h"

enum { MOST_EXPERTS = 8, MOST_TOKENS = 70 };

struct fixture {
    struct pool *pool;
    struct router router;
    struct routing routing;
    float identity[MOST_EXPERTS * MOST_EXPERTS], logits[MOST_TOKENS * MOST_EXPERTS];
};

static struct router_config topk(int n_experts, int k)
{
    return (struct router_config){.n_experts = n_experts, .k = k};
}

static void fixture_open(struct fixture *f, struct router_config config)
{
    memset(f, 0, sizeof *f);
    blas_start();
    assert_int_equal(pool_open(&f->pool, 2, NULL), 0);
    f->router = (struct router){.ops = router_find("topk"), .config = config, .weight = f->identity};
    for (int i = 0; i < config.n_experts; i++)
        f->identity[i * config.n_experts + i] = 1.0F;
    assert_int_equal(routing_init(&f->routing, MOST_TOKENS, config.n_experts, config.k, NULL), 0);
}

static void fixture_close(struct fixture *f)
{
    routing_release(&f->routing);
    routing_release(&f->routing); /* safe twice */
    pool_close(f->pool);
}

/* Routes T tokens whose probabilities are proportional to the rows given. */
static const struct routing *route(struct fixture *f, int T, const float *odds)
{
    int N = f->router.config.n_experts;

    for (int i = 0; i < T * N; i++)
        f->logits[i] = logf(odds[i]);
    router_route(&f->router, f->pool, &(struct router_input){.x = f->logits, .T = T, .D = N, .noise = NULL},
                 &f->routing);
    return &f->routing;
}

static void check_experts(const struct routing *r, const int *expected)
{
    for (int d = 0; d < routing_decisions(r); d++)
        assert_int_equal(r->expert[d], expected[d]);
}

/* ---- the choice ---- */

static const float three_tokens[] = {
    0.1F, 0.2F, 0.3F, 0.4F, /* rising */
    0.4F, 0.1F, 0.4F, 0.1F, /* two ties */
    1.0F, 1.0F, 1.0F, 1.0F, /* one great tie */
};

static void test_two_of_four(void **state)
{
    static const int expected[] = {3, 2, 0, 2, 0, 1};
    static const double gates[] = {0.4, 0.3, 0.4, 0.4, 0.25, 0.25};
    struct fixture f;

    (void)state;
    fixture_open(&f, topk(4, 2));
    const struct routing *r = route(&f, 3, three_tokens);
    assert_int_equal(routing_decisions(r), 6);
    check_experts(r, expected);
    for (int d = 0; d < 6; d++) {
        assert_close((double)r->gate[d], gates[d], 1e-6);
        assert_true(r->weight[d] == r->gate[d]); /* not renormalised: the raw probability */
        assert_int_equal(r->dropped[d], 0);
    }
    fixture_close(&f);
}

/* .4 and .3 of a sum of .7; the gates that are logged stay raw. */
static void test_renormalised(void **state)
{
    static const double weights[] = {0.4 / 0.7, 0.3 / 0.7, 0.5, 0.5, 0.5, 0.5};
    static const double gates[] = {0.4, 0.3, 0.4, 0.4, 0.25, 0.25};
    struct router_config config = topk(4, 2);
    struct fixture f;

    (void)state;
    config.renormalize = true;
    fixture_open(&f, config);
    const struct routing *r = route(&f, 3, three_tokens);
    for (int d = 0; d < 6; d++) {
        assert_close((double)r->weight[d], weights[d], 1e-6);
        assert_close((double)r->gate[d], gates[d], 1e-6);
    }
    fixture_close(&f);
}

static void test_all_experts(void **state)
{
    static const int expected[] = {3, 2, 1, 0, 0, 2, 1, 3, 0, 1, 2, 3};
    struct fixture f;

    (void)state;
    for (int renormalize = 0; renormalize < 2; renormalize++) {
        struct router_config config = topk(4, 4);
        config.renormalize = renormalize;
        fixture_open(&f, config);
        const struct routing *r = route(&f, 3, three_tokens);
        check_experts(r, expected);
        for (int t = 0; t < 3; t++) {
            double sum = 0.0;
            for (int d = 4 * t; d < 4 * t + 4; d++)
                sum += (double)r->weight[d];
            assert_close(sum, 1.0, 1e-6);
        }
        fixture_close(&f);
    }
}

/* A diverged router: the tokens whose logits are NaN have the first k experts, each once, and gates and
 * weights that say so; a finite one between them (.4 for expert 3, .3 for expert 2) is as ever. */
static void test_not_a_number(void **state)
{
    float odds[12];

    (void)state;
    for (int i = 0; i < 12; i++)
        odds[i] = i / 4 == 1 ? three_tokens[i - 4] : NAN;
    for (int renormalize = 0; renormalize < 2; renormalize++) {
        struct router_config config = topk(4, 2);
        struct fixture f;
        config.renormalize = renormalize;
        config.capacity = 0.5F; /* one each: who is refused is no NaN's matter */
        fixture_open(&f, config);
        const struct routing *r = route(&f, 3, odds);
        check_experts(r, (const int[]){0, 1, 3, 2, 0, 1});
        for (int d = 0; d < 6; d++) {
            bool diverged = d < 2 || d > 3;
            assert_true(diverged ? isnan(r->gate[d]) : r->gate[d] > 0.0F);
            assert_int_equal(r->dropped[d], d > 3);
            assert_true(r->dropped[d] ? r->weight[d] == 0.0F : isnan(r->weight[d]) == diverged);
        }
        fixture_close(&f);
    }
}

/* What every routing must satisfy, whatever was decided. */
static void check_invariants(const struct fixture *f, int T)
{
    const struct routing *r = &f->routing;
    int64_t counted[MOST_EXPERTS] = {0};
    int N = r->n_experts, dropped = 0;

    assert_int_equal(r->n_tokens, T);
    assert_int_equal(r->offset[0], 0);
    for (int t = 0; t < T; t++) {
        unsigned seen = 0;
        assert_int_equal(r->offset[t + 1] - r->offset[t], f->router.config.k);
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++) {
            assert_in_range(r->expert[d], 0, N - 1);
            assert_false(seen >> r->expert[d] & 1U); /* nobody twice */
            seen |= 1U << r->expert[d];
            assert_true(r->gate[d] == r->probability[t * N + r->expert[d]]);
            assert_true(d == r->offset[t] || r->gate[d] <= r->gate[d - 1]);
            assert_true(r->dropped[d] ? r->weight[d] == 0.0F : r->weight[d] > 0.0F);
            counted[r->expert[d]]++;
            dropped += r->dropped[d];
        }
        for (int e = 0; e < N; e++) /* those left out are no likelier than the last choice */
            assert_true((seen >> e & 1U) || r->probability[t * N + e] <= r->gate[r->offset[t + 1] - 1]);
    }
    for (int e = 0; e < N; e++)
        assert_int_equal(r->requested[e], counted[e]);
    assert_int_equal(r->n_dropped, dropped);
}

static void test_invariants(void **state)
{
    static const int sizes[] = {70, 1, 65, 64, 3}; /* falling too: nothing may be left from a longer batch */
    struct random random;

    (void)state;
    random_seed(&random, 1, 0);
    for (int k = 1; k <= 7; k++) {
        for (int dropping = 0; dropping < 2; dropping++) {
            struct fixture f;
            struct router_config config = topk(7, k);
            config.capacity = dropping ? 0.7F : 0.0F;
            config.renormalize = k > 1;
            fixture_open(&f, config);
            for (int i = 0; i < 5; i++) {
                for (int j = 0; j < sizes[i] * 7; j++)
                    f.logits[j] = (float)random_normal(&random);
                router_route(&f.router, f.pool,
                             &(struct router_input){.x = f.logits, .T = sizes[i], .D = 7, .noise = NULL},
                             &f.routing);
                check_invariants(&f, sizes[i]);
            }
            fixture_close(&f);
        }
    }
}

/* ---- capacity ---- */

/* Four tokens choose two of three experts; capacity 0.75 gives each expert ceil(0.75 * 4 * 2 / 3) = 2.
 *
 *          first   second
 *   token 0   0       1        First choices go first: expert 0 takes tokens 0 and 1 and refuses 2; expert 1
 *   token 1   0       2        takes 3. Then second choices: expert 1 takes token 0 and is full, so that
 *   token 2   0       1        token 2 is refused again; expert 2 takes token 1; expert 0 refuses token 3.
 *   token 3   1       0
 *
 * Token by token it would be otherwise: expert 1 would take tokens 0 and 2 and refuse 3. */
static const float crowded[] = {5, 3, 1, 5, 1, 3, 5, 3, 1, 3, 5, 1};
static const int crowded_experts[] = {0, 1, 0, 2, 0, 1, 1, 0};
static const int crowded_dropped[] = {0, 0, 0, 0, 1, 1, 0, 1};

static void test_capacity(void **state)
{
    struct router_config config = topk(3, 2);
    struct fixture f;

    (void)state;
    config.capacity = 0.75F;
    config.renormalize = true;
    fixture_open(&f, config);
    const struct routing *r = route(&f, 4, crowded);
    check_experts(r, crowded_experts);
    for (int d = 0; d < 8; d++) {
        assert_int_equal(r->dropped[d], crowded_dropped[d]);
        /* 5 or 3 of the 8 chosen, whatever is refused afterwards; 0 when refused. Gates are of all 9. */
        assert_close((double)r->weight[d], crowded_dropped[d] ? 0.0 : d % 2 ? 3.0 / 8 : 5.0 / 8, 1e-6);
        assert_close((double)r->gate[d], d % 2 ? 3.0 / 9 : 5.0 / 9, 1e-6);
    }
    assert_int_equal(r->n_dropped, 3);
    /* what was wanted, refused or not */
    assert_int_equal(r->requested[0], 4);
    assert_int_equal(r->requested[1], 3);
    assert_int_equal(r->requested[2], 1);
    fixture_close(&f);
}

static int dropped_of(int T, float capacity)
{
    float odds[MOST_TOKENS * 4];
    struct router_config config = topk(4, 1);
    struct fixture f;

    for (int i = 0; i < 4 * T; i++)
        odds[i] = i % 4 == 0 ? 2.0F : 1.0F; /* all want expert 0 */
    config.capacity = capacity;
    fixture_open(&f, config);
    int n = route(&f, T, odds)->n_dropped;
    fixture_close(&f);
    return n;
}

/* Of ten tokens that all want one of four experts: capacity c lets in ceil(c * 10 / 4). 1.2 as a float is a
 * little more than 1.2, and still lets in 3 and not 4. */
static void test_capacity_is_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(dropped_of(10, 0.0F), 0);  /* no limit */
    assert_int_equal(dropped_of(10, 1.0F), 7);  /* ceil(2.5) = 3 */
    assert_int_equal(dropped_of(10, 1.2F), 7);  /* 3 */
    assert_int_equal(dropped_of(10, 1.25F), 6); /* ceil(3.125) = 4 */
    assert_int_equal(dropped_of(10, 4.0F), 0);
    assert_int_equal(dropped_of(70, 1e18F), 0);
    assert_int_equal(dropped_of(1, 0.1F), 0); /* ceil(0.025) = 1 */
}

/* Nothing of a routing that dropped is left in the next one that does not. */
static void test_capacity_is_forgotten(void **state)
{
    struct router_config config = topk(3, 2);
    struct fixture f;

    (void)state;
    config.capacity = 0.75F;
    fixture_open(&f, config);
    assert_int_equal(route(&f, 4, crowded)->n_dropped, 3);
    f.router.config.capacity = 0.0F;
    assert_int_equal(route(&f, 4, crowded)->n_dropped, 0);
    check_invariants(&f, 4);
    fixture_close(&f);
}

/* ---- losses ---- */

/* A uniform router pays 1 for any k: also here, where ties send every token to the same experts. */
static void test_balance_of_uniform(void **state)
{
    float equal[4 * 12], turning[4 * 12];

    (void)state;
    for (int i = 0; i < 48; i++) {
        equal[i] = 1.0F;
        turning[i] = (float)(1 + (i % 4 + i / 4) % 4); /* each expert is everybody's turn */
    }
    for (int k = 1; k <= 4; k++) {
        struct fixture f;
        fixture_open(&f, topk(4, k));
        route(&f, 12, equal);
        assert_close(balance_loss(f.router.ops, &f.routing, 0.0F), 1.0, 1e-6);
        route(&f, 12, turning);
        assert_close(balance_loss(f.router.ops, &f.routing, 0.0F), 1.0, 1e-6);
        fixture_close(&f);
    }
}

/* All in one with probability 1: N f_0 P_0 = N. With k = 2 half of the decisions are second choices that no
 * probability stands behind: N / 2. */
static void test_balance_of_collapsed(void **state)
{
    static const float odds[] = {1e30F, 1, 1, 1, 1e30F, 1, 1, 1};

    (void)state;
    for (int k = 1; k <= 2; k++) {
        struct fixture f;
        fixture_open(&f, topk(4, k));
        route(&f, 2, odds);
        assert_close(balance_loss(f.router.ops, &f.routing, 0.0F), 4.0 / k, 1e-6);
        fixture_close(&f);
    }
}

/* f = (2/3, 1/3), P = mean of (.75, .6, .3) = .55 and .45: 2 (2/3 .55 + 1/3 .45) = 31/30. Its gradient by
 * every probability of expert i is coefficient N f_i / T: 0.5 * 2 * 2/3 / 3 = 2/9 and 1/9. */
static void test_balance_by_hand(void **state)
{
    static const float odds[] = {0.75F, 0.25F, 0.6F, 0.4F, 0.3F, 0.7F};
    struct router_config config = topk(2, 1);
    struct fixture f;

    (void)state;
    config.capacity = 0.3F; /* one each: token 1 is dropped, and counts all the same */
    fixture_open(&f, config);
    const struct routing *r = route(&f, 3, odds);
    assert_int_equal(r->n_dropped, 1);
    assert_close(balance_loss(f.router.ops, &f.routing, 0.5F), 31.0 / 30, 1e-6);
    for (int t = 0; t < 3; t++) {
        assert_close((double)r->d_probability[2 * t], 2.0 / 9, 1e-6);
        assert_close((double)r->d_probability[2 * t + 1], 1.0 / 9, 1e-6);
    }
    balance_loss(f.router.ops, &f.routing, 0.5F); /* adds */
    assert_close((double)r->d_probability[0], 4.0 / 9, 1e-6);
    route(&f, 3, odds); /* a new routing starts from 0 */
    balance_loss(f.router.ops, &f.routing, 0.0F);
    assert_true(r->d_probability[0] == 0.0F);
    fixture_close(&f);
}

/* Odds are exponentials of logits: sums 8 and 3, so (ln^2 8 + ln^2 3) / 2 = (4.32408 + 1.20695) / 2. Its
 * gradient by a logit is coefficient * 2 ln(sum) p / T: for the first 0.5 * 2 * ln 8 * 5/8 / 2. */
static void test_z_loss_by_hand(void **state)
{
    static const float odds[] = {5, 2, 1, 1, 1, 1};
    struct fixture f;

    (void)state;
    fixture_open(&f, topk(3, 1));
    const struct routing *r = route(&f, 2, odds);
    assert_close((double)r->log_sum[0], log(8), 1e-6);
    assert_close(z_loss(&f.routing, 0.5F), 2.7655133, 1e-6);
    assert_close((double)r->d_logit[0], 0.5 * log(8) * 5 / 8, 1e-6);
    assert_close((double)r->d_logit[2], 0.5 * log(8) / 8, 1e-6);
    assert_close((double)r->d_logit[3], 0.5 * log(3) / 3, 1e-6);
    for (int i = 0; i < 6; i++)
        assert_true(r->d_probability[i] == 0.0F);
    fixture_close(&f);
}

/* ---- noise ---- */

/* Nearly equal odds, so that noise of deviation 1 must change somebody's mind. */
static void choices(struct fixture *f, struct random *noise, int expert[MOST_TOKENS])
{
    for (int i = 0; i < MOST_TOKENS * 4; i++)
        f->logits[i] = 0.01F * (float)(i * 7 % 5);
    router_route(&f->router, f->pool,
                 &(struct router_input){.x = f->logits, .T = MOST_TOKENS, .D = 4, .noise = noise},
                 &f->routing);
    for (int t = 0; t < MOST_TOKENS; t++)
        expert[t] = f->routing.expert[t];
}

static void test_noise(void **state)
{
    int plain[MOST_TOKENS], evaluated[MOST_TOKENS], trained[MOST_TOKENS], again[MOST_TOKENS];
    struct router_config noisy = topk(4, 1);
    struct fixture f;
    struct random r;

    (void)state;
    random_seed(&r, 9, 0);
    fixture_open(&f, topk(4, 1));
    choices(&f, NULL, plain);
    choices(&f, &r, trained); /* no deviation configured: none added */
    assert_memory_equal(plain, trained, sizeof plain);
    fixture_close(&f);
    noisy.noise = 1.0F;
    fixture_open(&f, noisy);
    choices(&f, NULL, evaluated);
    assert_memory_equal(plain, evaluated, sizeof plain);
    random_seed(&r, 9, 0);
    choices(&f, &r, trained);
    check_invariants(&f, MOST_TOKENS);
    random_seed(&r, 9, 0);
    choices(&f, &r, again);
    assert_memory_equal(trained, again, sizeof trained);
    assert_memory_not_equal(plain, trained, sizeof plain);
    fixture_close(&f);
}

/* ---- the table of routers ---- */

static void test_table(void **state)
{
    (void)state;
    for (int i = 0; router_names[i]; i++) {
        assert_non_null(router_find(router_names[i]));
        assert_string_equal(router_find(router_names[i])->name, router_names[i]);
    }
    assert_true(router_find("topk")->routes);
    assert_false(router_find("dense")->routes);
    assert_null(router_find("top"));
    assert_null(router_find(""));
}

static void test_check(void **state)
{
    const struct router_ops *ops = router_find("topk");
    struct router_config config = topk(4, 1);
    struct error err = {0};

    (void)state;
    assert_int_equal(ops->check(&config, &err), 0);
    config.renormalize = true; /* every weight would be 1 */
    assert_int_equal(ops->check(&config, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "router.renormalize"));
    for (int k = 0; k <= 5; k++) {
        config = topk(4, k);
        assert_int_equal(ops->check(&config, &err), k == 0 || k == 5 ? -1 : 0);
        assert_int_equal(ops->max_k(&config), k);
    }
    assert_non_null(strstr(err.text, "router.k is 5 but there are 4 experts"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_of_four),
        cmocka_unit_test(test_renormalised),
        cmocka_unit_test(test_all_experts),
        cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_invariants),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_capacity_is_rounded_up),
        cmocka_unit_test(test_capacity_is_forgotten),
        cmocka_unit_test(test_balance_of_uniform),
        cmocka_unit_test(test_balance_of_collapsed),
        cmocka_unit_test(test_balance_by_hand),
        cmocka_unit_test(test_z_loss_by_hand),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
