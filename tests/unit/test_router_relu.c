/* engine/router_relu.c: who is positive is chosen, nobody else, and a loss that adapts keeps them few. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/moe.h"
#include "tests/alone.h"
#include "tests/close.h"
#include "tests/training.h"

static struct router_config k_of(int k, int n)
{
    return (struct router_config){.n_experts = n, .k = k};
}

static void test_the_positive_are_chosen(void **state)
{
    static const float logits[] = {1.0F,  -1.0F, 2.0F, 0.0F, -1.0F, -2.0F,
                                   -0.5F, -9.0F, 4.0F, 3.0F, 5.0F,  3.0F};
    struct alone a;

    (void)state;
    alone_open(&a, "relu", k_of(1, 4), 3);
    alone_route(&a, 3, logits, NULL);
    alone_expect(&a, 0, (const int[]){2, 0}, 2); /* 0 is not positive */
    alone_expect(&a, 1, NULL, 0);
    alone_expect(&a, 2, (const int[]){2, 0, 1, 3}, 4);
    for (int d = 0; d < 6; d++)
        assert_true(a.routing.weight[d] == a.routing.gate[d]); /* raw, whatever they add up to */
    assert_true(a.routing.gate[0] == 2.0F && a.routing.gate[2] == 5.0F);
    /* 2/3 and 1/3; nothing; 4/15, 3/15, 5/15, 3/15 */
    assert_close(routing_entropy(&a.routing, 0), log(3) - 2.0 / 3 * log(2), 1e-6);
    assert_close(routing_entropy(&a.routing, 1), 0.0, 0.0);
    assert_close(routing_scale(&a.routing, 1), 0.0, 0.0);
    alone_close(&a);
}

/* Scores (1, 0) and (3, 2), both decided 2 and 1 times, k = 1: means 2 and 1, and lambda 2 (2 * 2/2 + 1 *
 * 1/2) = 5 lambda. By a score of expert i: lambda N c_i / (T k) / T: lambda, lambda / 2. */
static void test_loss_by_hand(void **state)
{
    static const float logits[] = {1.0F, -1.0F, 3.0F, 2.0F};
    struct router_input in = {.x = logits, .T = 2, .D = 2};
    float d_x[4] = {0};
    struct alone a;

    (void)state;
    alone_open(&a, "relu", k_of(1, 2), 2);
    assert_true(*a.state == 1e-8F);
    *a.state = 0.5F;
    alone_route(&a, 2, logits, NULL);
    assert_close(a.router.ops->own_loss(&a.router, a.pool, &a.routing, 3.0F), 2.5, 1e-6);
    assert_close((double)a.routing.d_probability[0], 3 * 0.5, 1e-6);
    assert_close((double)a.routing.d_probability[3], 3 * 0.25, 1e-6);
    for (int d = 0; d < 3; d++)
        a.routing.d_weight[d] = 0.0F;
    router_backward(&a.router, a.pool, &in, d_x, &a.routing);
    assert_close((double)d_x[0], 1.5, 1e-6);
    assert_close((double)d_x[1], 0.0, 0.0); /* nothing pulls at what is off */
    alone_close(&a);
}

/* No token wants anybody: no decision, no loss, no gradient, and what comes out is what came in. */
static void test_nobody_is_chosen(void **state)
{
    enum { T = 3, N = 2, F = 3 };
    static const float logits[T * N] = {-1.0F, -2.0F, -1.0F, -3.0F, -4.0F, -0.5F};
    struct router_input in = {.x = logits, .T = T, .D = N};
    float y[T * N] = {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}, before[T * N], d_x[T * N] = {0}, w[N * 2 * F * N];
    float d_in[N * 2 * F * N] = {0}, d_out[N * F * N] = {0}, scratch[3][T * 2 * F];
    struct experts e = {w, w, d_in, d_out, N, N, F};
    struct dispatch_scratch s = {scratch[0], scratch[1], scratch[2]};
    struct dispatch d;
    struct alone a;

    (void)state;
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = 1.0F;
    memcpy(before, y, sizeof y);
    alone_open(&a, "relu", k_of(1, N), T);
    *a.state = 1.0F;
    assert_int_equal(dispatch_init(&d, T * N, N, N, F, NULL), 0);
    alone_route(&a, T, logits, NULL);
    assert_int_equal(routing_decisions(&a.routing), 0);
    experts_forward(a.pool, &e, &a.routing, logits, y, &d);
    assert_memory_equal(y, before, sizeof y);
    assert_close(a.router.ops->own_loss(&a.router, a.pool, &a.routing, 1.0F), 0.0, 0.0);
    assert_close(balance_loss(a.router.ops, &a.routing, 1.0F), 0.0, 0.0);
    experts_backward(a.pool, &e, &a.routing, y, d_x, &d, &s);
    router_backward(&a.router, a.pool, &in, d_x, &a.routing);
    for (int i = 0; i < T * N; i++)
        assert_true(d_x[i] == 0.0F);
    for (int i = 0; i < N * N; i++)
        assert_true(a.router.d_weight[i] == 0.0F);
    dispatch_release(&d);
    alone_close(&a);
}

static void test_lambda_by_hand(void **state)
{
    const struct router_ops *ops = router_find("relu");
    struct router_config config = k_of(1, 4);
    float lambda = 1.0F;

    (void)state;
    ops->update(&config, &(struct router_usage){.sparsity = 0.5, .target = 0.75}, &lambda);
    assert_close((double)lambda, 1.2, 1e-6);
    ops->update(&config, &(struct router_usage){.sparsity = 0.75, .target = 0.75}, &lambda);
    assert_close((double)lambda, 1.0, 1e-6);
    for (int i = 0; i < 2000; i++)
        ops->update(&config, &(struct router_usage){.sparsity = 1.0, .target = 0.75}, &lambda);
    assert_true(lambda >= FLT_MIN); /* and so it can grow again */
}

/* ---- in training ---- */

struct sparsity {
    double sum;
    int64_t n, from;
};

static void add_sparsity(void *context, const struct trainer *t)
{
    struct sparsity *s = context;

    for (int i = 0; i < t->tally.n_layers && t->step >= s->from; i++, s->n++)
        s->sum += 1.0 - tally_decisions(&t->tally.layers[i], true) / (double)t->tally.n_tokens /
                            t->tally.layers[i].n_experts;
}

/* From about half of the experts at first to the target: means of both blocks and 300 updates, about
 * which lambda swings: how far is a matter of the last bits, and so of the BLAS kernels. */
static void test_sparsity_reaches_its_target(void **state)
{
    static const struct {
        const char *k, *experts;
        double target;
    } cases[] = {{"router.k=1", "router.experts=4", 0.75},
                 {"router.k=1", "router.experts=8", 0.875},
                 {"router.k=2,1", "router.experts=8,4", 0.75}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        const char *const s[] = {"router.name=relu", "loss.balance=0", "loss.z=0",       "train.steps=600",
                                 "train.warmup=100", cases[i].k,       cases[i].experts, NULL};
        struct sparsity sparsity = {.from = 300};
        struct training r;
        training_open(&r, s, 2, 3);
        r.trainer.report = add_sparsity;
        r.trainer.report_context = &sparsity;
        assert_int_equal(training_run(&r), TRAIN_FINISHED);
        assert_int_equal(sparsity.n, 600);
        print_message("           sparsity %.3f of %.3f, lambda %.2g\n", sparsity.sum / 600, cases[i].target,
                      (double)*r.trainer.model.layers[0].router.state);
        assert_close(sparsity.sum / 600, cases[i].target, 0.05);
        assert_close(memory_metric(&r.sink, 599, SPLIT_TRAIN, "loss"),
                     memory_metric(&r.sink, 599, SPLIT_TRAIN, "lm_loss") +
                         memory_metric(&r.sink, 599, SPLIT_TRAIN, "router_loss"),
                     1e-12);
        /* both blocks have one lambda */
        assert_true(*r.trainer.model.layers[0].router.state == *r.trainer.model.layers[1].router.state);
        training_close(&r);
    }
}

static void test_refused(void **state)
{
    struct router_config config = k_of(2, 4);
    struct error err = {0};

    (void)state;
    config.renormalize = true;
    assert_int_equal(router_find("relu")->check(&config, &err), -1);
    assert_non_null(strstr(err.text, "relu weighs its experts with their raw scores"));
    config = k_of(5, 4);
    assert_int_equal(router_find("relu")->check(&config, &err), -1);
}

/* A diverged router has a decision that says so, not none. */
static void test_not_a_number(void **state)
{
    static const float logits[] = {0.5F, NAN, 1.0F, -1.0F};
    struct alone a;

    (void)state;
    alone_open(&a, "relu", k_of(1, 4), 1);
    alone_route(&a, 1, logits, NULL);
    alone_expect(&a, 0, (const int[]){0}, 1);
    assert_true(isnan(a.routing.weight[0]));
    alone_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_positive_are_chosen),
        cmocka_unit_test(test_loss_by_hand),
        cmocka_unit_test(test_nobody_is_chosen),
        cmocka_unit_test(test_lambda_by_hand),
        cmocka_unit_test(test_sparsity_reaches_its_target),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_not_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
