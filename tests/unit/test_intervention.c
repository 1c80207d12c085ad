/* engine/intervention.h on decisions written by hand, and on a real model: what is changed, what must stay.
 */
#include "engine/intervention.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/routing.h"
#include "tests/close.h"
#include "tests/support.h"
#include "tests/training.h"

enum { N = 4, K = 2, TOKENS = 60 };

/* Token t's choices are t % 4 and (t + 1) % 4, its probabilities 0.4, 0.3, 0.2, 0.1 from its first choice on,
 * its weights those of its choices. */
static void fill(struct routing *r)
{
    assert_int_equal(routing_init(r, TOKENS, N, K, NULL), 0);
    r->n_tokens = TOKENS;
    r->softmax = true;
    for (int t = 0; t < TOKENS; t++) {
        for (int s = 0; s < N; s++)
            r->probability[t * N + (t + s) % N] = 0.4F - 0.1F * (float)s;
        for (int s = 0; s < K; s++) {
            r->expert[t * K + s] = (t + s) % N;
            r->gate[t * K + s] = r->weight[t * K + s] = 0.4F - 0.1F * (float)s;
        }
        r->offset[t + 1] = (t + 1) * K;
    }
}

static void expect_no_twins(const struct routing *r)
{
    for (int t = 0; t < r->n_tokens; t++)
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++)
            for (int e = d + 1; e < r->offset[t + 1]; e++)
                assert_int_not_equal(r->expert[d], r->expert[e]);
}

static void test_without(void **state)
{
    struct intervention i = {.kind = INTERVENE_WITHOUT, .expert = 1};
    struct routing r;

    (void)state;
    fill(&r);
    intervention_apply(&i, false, &r);
    assert_int_equal(r.n_dropped, TOKENS / 2); /* tokens 0 and 1 of every four have it */
    for (int d = 0; d < TOKENS * K; d++) {
        assert_int_equal(r.dropped[d], r.expert[d] == 1);
        assert_close(r.weight[d], r.expert[d] == 1 ? 0.0 : d % K ? 0.3 : 0.4, 1e-6);
    }
    routing_release(&r);
}

/* Token 0 (0, 1) has 2 as its next likeliest, token 1 (1, 2) has 3. */
static void test_rerouted(void **state)
{
    static const int expected[4][K] = {{0, 2}, {3, 2}, {2, 3}, {3, 0}};
    struct intervention i = {.kind = INTERVENE_REROUTED, .expert = 1};
    struct routing r;

    (void)state;
    fill(&r);
    r.probability[4 * N + 2] = r.probability[4 * N + 3] = 0.0F; /* token 4 has nowhere else to go */
    intervention_apply(&i, false, &r);
    assert_int_equal(r.n_dropped, 1);
    assert_int_equal(r.dropped[4 * K + 1], 1);
    for (int t = 0; t < TOKENS; t++) {
        for (int s = 0; s < K && t != 4; s++) {
            assert_int_equal(r.expert[t * K + s], expected[t % 4][s]);
            assert_close(r.weight[t * K + s], s ? 0.3 : 0.4, 1e-6);
        }
    }
    routing_release(&r);
}

static void test_k(void **state)
{
    struct intervention i = {.kind = INTERVENE_K, .k = 1};
    struct routing r;

    (void)state;
    for (int renormalized = 0; renormalized < 2; renormalized++) {
        fill(&r);
        intervention_apply(&i, renormalized, &r);
        assert_int_equal(r.n_dropped, TOKENS);
        for (int t = 0; t < TOKENS; t++) {
            assert_close(r.weight[t * K], renormalized ? 0.7 : 0.4, 1e-6);
            assert_close(r.weight[t * K + 1], 0.0, 0.0);
            assert_int_equal(r.dropped[t * K + 1], 1);
        }
        routing_release(&r);
    }
}

static void count(const struct routing *r, int load[K][N])
{
    memset(load, 0, sizeof(int[K][N]));
    for (int d = 0; d < TOKENS * K; d++)
        load[d % K][r->expert[d]]++;
}

/* Loads are those of before, slot by slot; weights stay where they are; hardly any token has what it had. */
static void test_random(void **state)
{
    struct intervention i = {.kind = INTERVENE_RANDOM};
    int before[K][N], after[K][N], same = 0;
    struct routing r;

    (void)state;
    fill(&r);
    count(&r, before);
    random_seed(&i.random, 1, 2);
    intervention_apply(&i, false, &r);
    count(&r, after);
    assert_memory_equal(before, after, sizeof before);
    expect_no_twins(&r);
    for (int t = 0; t < TOKENS; t++) {
        assert_close(r.weight[t * K], 0.4, 1e-6);
        same += r.expert[t * K] == t % N && r.expert[t * K + 1] == (t + 1) % N;
    }
    /* One of 12 ordered pairs: 5 expected of 60. */
    assert_in_range(same, 0, 15);
    routing_release(&r);
}

/* Tokens with one decision exchange with their like alone; weights go with the experts. */
static void test_shuffled(void **state)
{
    struct intervention i = {.kind = INTERVENE_SHUFFLED};
    int order[TOKENS], load[N] = {0}, single[N] = {0}, moved = 0, d = 0;
    struct routing r;

    (void)state;
    fill(&r);
    for (int t = 0; t < TOKENS; t++) { /* every third token keeps its first choice alone */
        for (int s = 0; s < (t % 3 ? K : 1); s++, d++) {
            r.expert[d] = (t + s) % N;
            r.weight[d] = r.gate[d] = (float)((t + s) % N + 10 * s);
        }
        r.offset[t + 1] = d;
    }
    i.order = order;
    random_seed(&i.random, 3, 4);
    intervention_apply(&i, false, &r);
    for (int t = 0; t < TOKENS; t++) {
        d = r.offset[t];
        assert_int_equal(r.offset[t + 1] - d, t % 3 ? K : 1);
        assert_close(r.weight[d], r.expert[d], 0.0);
        assert_close(r.gate[d], r.expert[d], 0.0);
        load[r.expert[d]]++;
        single[r.expert[d]] += t % 3 == 0;
        moved += r.expert[d] != t % N;
        if (t % 3)
            assert_int_equal(r.expert[d + 1], (r.expert[d] + 1) % N); /* the pair stays together */
    }
    for (int e = 0; e < N; e++) {
        assert_int_equal(load[e], TOKENS / N);
        assert_int_equal(single[e], TOKENS / 3 / N);
    }
    assert_in_range(moved, 30, 60);
    routing_release(&r);
}

static void test_untrained(void **state)
{
    struct ranked_choices ranked = {.n_experts = N, .width = 3};
    struct intervention i = {.kind = INTERVENE_UNTRAINED, .untrained = &ranked};
    struct routing r;

    (void)state;
    fill(&r);
    r.probability[0] = 0.0F; /* of token 0's own first choice: its choices come first all the same */
    assert_int_equal(ranked_choices_add(&ranked, &r, NULL), 0);
    assert_int_equal(ranked_choices_add(&ranked, &r, NULL), 0);
    assert_int_equal(ranked.n_tokens, 2 * TOKENS);
    for (int s = 0; s < 3; s++) {
        assert_int_equal(ranked.expert[s], s);
        assert_int_equal(ranked.expert[(TOKENS + 3) * 3 + s], (3 + s) % N);
    }
    for (int d = 0; d < TOKENS * K; d++)
        r.expert[d] = 0;
    intervention_apply(&i, false, &r);
    for (int d = 0; d < TOKENS * K; d++)
        assert_int_equal(r.expert[d], (d / K + d % K) % N);
    assert_int_equal(i.next, TOKENS); /* the second pass goes on there */
    ranked_choices_release(&ranked);
    routing_release(&r);
}

/* ---- in a model ---- */

static double loss_with(struct training *r, struct intervention *i)
{
    struct trainer *t = &r->trainer;
    struct error err;

    memory_sink_release(&r->sink);
    memory_sink_open(&r->sink);
    t->sink = &r->sink.sink;
    for (int l = 0; l < t->tally.n_layers; l++)
        t->task->routing(t, l)->intervention = i;
    test_must(t->task->evaluate(t, &t->valid, SPLIT_VALID, &err), &err);
    return memory_metric(&r->sink, t->step, SPLIT_VALID, "loss");
}

/* Without any expert the blocks add nothing, and truncating to all k changes nothing. */
static void test_limits(void **state)
{
    static const char *const routers[] = {"topk", "topp", "relu", "bias"};

    (void)state;
    for (size_t n = 0; n < sizeof routers / sizeof *routers; n++) {
        char router[48];
        snprintf(router, sizeof router, "router.name=%s", routers[n]);
        const char *assignments[] = {"model.layers=1", router, NULL};
        struct training r;
        training_open(&r, assignments, 1, 5);
        double whole = loss_with(&r, NULL);
        struct intervention all = {.kind = INTERVENE_K, .k = 4}, none = {.kind = INTERVENE_K, .k = 0};
        assert_close(loss_with(&r, &all), whole, 0.0);
        double nothing = loss_with(&r, &none);
        assert_true(fabs(nothing - whole) > 1e-9);
        struct layer *l = &r.trainer.model.layers[0];
        size_t out = (size_t)l->experts.n_experts * (size_t)l->experts.D * (size_t)l->experts.F;
        memset((float *)l->experts.out, 0, out * sizeof(float)); /* the same by other means */
        assert_close(loss_with(&r, NULL), nothing, 1e-7);
        training_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without), cmocka_unit_test(test_rerouted), cmocka_unit_test(test_k),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_shuffled), cmocka_unit_test(test_untrained),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
