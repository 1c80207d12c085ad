/* Every gradient of the model against central finite differences of the oracle in double, and every forward
 * value against the oracle itself. Differences are taken in random directions within one parameter tensor at
 * a time, so that an error in any entry shows; the step is small because the oracle is double. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/blas.h"
#include "engine/model.h"
#include "engine/naive.h"
#include "tests/memory.h"

enum { T = 90, V = 50, WIDTH = 24, CONTEXT = 80 };

static struct layer_config moe(int n_experts, int k, bool renormalize, float capacity)
{
    return (struct layer_config){
        .router = router_find("topk"),
        .routing = {.n_experts = n_experts, .k = k, .renormalize = renormalize, .capacity = capacity},
        .hidden = 12};
}

static struct model_config config_of(struct layer_config first, struct layer_config second)
{
    return (struct model_config){.n_layers = 2,
                                 .width = WIDTH,
                                 .n_heads = 3,
                                 .context = CONTEXT,
                                 .vocabulary = V,
                                 .layers = {first, second}};
}

/* Three sequences of 70, 1 and 19 tokens: longer than a block of queries, the shortest possible, and shorter.
 */
static struct batch make_batch(void)
{
    static const int lengths[] = {70, 1, 19};
    struct batch b = {.n_tokens = T, .n_sequences = 3};
    struct random r;
    int t = 0;

    random_seed(&r, 5, 0);
    b.input = malloc(sizeof(int32_t) * T);
    b.target = malloc(sizeof(int32_t) * T);
    b.position = malloc(sizeof(int32_t) * T);
    b.start = calloc(4, sizeof(int32_t));
    for (int s = 0; s < 3; s++) {
        b.start[s + 1] = b.start[s] + lengths[s];
        for (int i = 0; i < lengths[s]; i++, t++) {
            b.input[t] = (int32_t)random_below(&r, V);
            b.target[t] = (int32_t)random_below(&r, V);
            b.position[t] = i;
        }
    }
    return b;
}

static void free_batch(struct batch *b)
{
    free(b->input);
    free(b->target);
    free(b->position);
    free(b->start);
}

struct fixture {
    struct pool *pool;
    struct model model;
    struct batch batch;
    double *values;
};

static void fixture_open(struct fixture *f, struct model_config config, uint64_t seed)
{
    struct error err = {0};
    struct random r;

    blas_start();
    assert_int_equal(pool_open(&f->pool, 2, &err), 0);
    if (model_init(&f->model, &config, T, f->pool, &err))
        fail_msg("%s", err.text);
    assert_int_equal(model_seed(&f->model, seed, NULL), 0);
    /* Larger weights than the initial ones, so that no path's gradient is hidden by smallness. */
    random_seed(&r, seed, 1);
    for (size_t i = 0; i < f->model.parameters.n_weights; i++)
        f->model.parameters.values[i] =
            f->model.parameters.values[i] * 3.0F + 0.05F * (float)random_normal(&r);
    /* States of routers as training leaves them: biases that are not 0, a lambda that counts. */
    for (int i = 0; i < f->model.parameters.n; i++) {
        const struct parameter *p = &f->model.parameters.items[i];
        bool bias = strstr(p->name, ".router.bias") != NULL, lambda = strstr(p->name, ".lambda") != NULL;
        for (size_t j = 0; j < p->count && !p->trained && (bias || lambda); j++)
            f->model.parameters.values[p->offset + j] = bias ? 0.3F * (float)random_normal(&r) : 0.8F;
    }
    f->batch = make_batch();
    f->values = malloc(f->model.parameters.n_weights * sizeof(double));
    for (size_t i = 0; i < f->model.parameters.n_weights; i++)
        f->values[i] = f->model.parameters.values[i];
}

static void fixture_close(struct fixture *f)
{
    free(f->values);
    free_batch(&f->batch);
    model_release(&f->model);
    pool_close(f->pool);
}

/* Relative error of the directional derivative along a random +-1 direction within parameter p. */
static double directional_error(struct fixture *f, const struct parameter *p,
                                const struct loss_weights *weights, struct random *r)
{
    const double step = 1e-7;
    double analytic = 0.0, norm = 0.0, up, down;
    double *saved = malloc(p->count * sizeof *saved), *direction = malloc(p->count * sizeof *direction);

    memcpy(saved, f->values + p->offset, p->count * sizeof *saved);
    for (size_t i = 0; i < p->count; i++) {
        double g = f->model.parameters.gradients[p->offset + i];
        direction[i] = random_below(r, 2) ? 1.0 : -1.0;
        analytic += g * direction[i];
        norm += g * g;
    }
    for (size_t i = 0; i < p->count; i++)
        f->values[p->offset + i] = saved[i] + step * direction[i];
    up = naive_model_loss(&f->model, f->values, &f->batch, weights, NULL);
    for (size_t i = 0; i < p->count; i++)
        f->values[p->offset + i] = saved[i] - step * direction[i];
    down = naive_model_loss(&f->model, f->values, &f->batch, weights, NULL);
    memcpy(f->values + p->offset, saved, p->count * sizeof *saved);
    free(saved);
    free(direction);
    double measured = (up - down) / (2.0 * step);
    if (norm == 0.0) /* nothing passes back: the loss does not move but for its rounding */
        return fabs(measured);
    /* |direction . gradient| is about the norm; by chance it may be near 0, so errors are against the norm.
     */
    return fabs(analytic - measured) / (sqrt(norm) + 1e-12);
}

static void check_gradients(const char *what, struct model_config config, struct loss_weights weights)
{
    struct fixture f;
    struct random r, noise; /* noise: of routers that add some, and held by the oracle */
    double worst = 0.0;
    const char *worst_name = "";

    fixture_open(&f, config, 11);
    random_seed(&r, 3, 0);
    random_seed(&noise, 4, 0);
    model_forward(&f.model, &f.batch, true, 1.0F, &weights, &noise);
    for (int i = 0; i < f.model.parameters.n && f.model.parameters.items[i].trained; i++) {
        for (int repeat = 0; repeat < 3; repeat++) {
            double e = directional_error(&f, &f.model.parameters.items[i], &weights, &r);
            if (e > worst) {
                worst = e;
                worst_name = f.model.parameters.items[i].name;
            }
        }
    }
    print_message("           %-34s largest relative error %.1e (%s)\n", what, worst, worst_name);
    assert_true(worst < 2e-5);
    fixture_close(&f);
}

static const struct layer_config dense = {.hidden = 20};

static struct layer_config dense_block(void)
{
    struct layer_config b = dense;

    b.router = router_find("dense");
    return b;
}

static void test_dense(void **state)
{
    (void)state;
    check_gradients("dense", config_of(dense_block(), dense_block()), (struct loss_weights){0});
}

static void test_topk(void **state)
{
    (void)state;
    check_gradients("top-1", config_of(moe(6, 1, false, 0), moe(6, 1, false, 0)), (struct loss_weights){0});
    check_gradients("top-2", config_of(moe(6, 2, false, 0), dense_block()), (struct loss_weights){0});
    check_gradients("top-2 renormalised", config_of(moe(6, 2, true, 0), moe(5, 3, true, 0)),
                    (struct loss_weights){0});
    check_gradients("all experts renormalised", config_of(moe(4, 4, true, 0), moe(4, 4, true, 0)),
                    (struct loss_weights){0});
}

static void test_capacity(void **state)
{
    (void)state;
    check_gradients("top-2 with capacity 0.8", config_of(moe(6, 2, true, 0.8F), moe(6, 2, false, 0.8F)),
                    (struct loss_weights){0});
}

static void test_auxiliary_losses(void **state)
{
    (void)state;
    check_gradients("balance loss", config_of(moe(6, 2, true, 0), moe(6, 2, false, 0)),
                    (struct loss_weights){.balance = 0.7F});
    check_gradients("z-loss", config_of(moe(6, 2, true, 0), moe(6, 2, false, 0)),
                    (struct loss_weights){.z = 0.3F});
    check_gradients("both, with capacity", config_of(moe(6, 2, true, 1.0F), moe(6, 1, false, 1.0F)),
                    (struct loss_weights){.balance = 0.7F, .z = 0.3F});
}

static struct layer_config routed(const char *router, struct router_config routing)
{
    return (struct layer_config){.router = router_find(router), .routing = routing, .hidden = 12};
}

static void test_topp(void **state)
{
    struct layer_config most = routed("topp", (struct router_config){.n_experts = 6, .p = 0.7F}),
                        few = routed("topp", (struct router_config){.n_experts = 5, .p = 0.2F}),
                        all = routed("topp", (struct router_config){.n_experts = 4, .p = 1.0F});

    (void)state;
    check_gradients("top-p 0.7 and 0.2", config_of(most, few), (struct loss_weights){0});
    check_gradients("top-p 1", config_of(all, all), (struct loss_weights){0});
    check_gradients("top-p, balance loss", config_of(most, few), (struct loss_weights){.balance = 0.7F});
    check_gradients("top-p, entropy loss", config_of(most, few), (struct loss_weights){.entropy = 0.4F});
    check_gradients("top-p, all losses", config_of(all, few),
                    (struct loss_weights){.balance = 0.7F, .z = 0.3F, .entropy = 0.4F});
}

/* Ids below V / 2 occur often, the others once. */
static void check_masked(const char *what, struct router_config first, struct router_config second,
                         const char *router, struct loss_weights weights)
{
    int64_t count[V];
    struct model_config config = config_of(routed(router, first), routed(router, second));

    for (int v = 0; v < V; v++)
        count[v] = v < V / 2 ? 100 - v : 1;
    config.token_count = count;
    check_gradients(what, config, weights);
}

static struct router_config masked(int k, int visible, int rare_visible)
{
    return (struct router_config){
        .n_experts = 6,
        .k = k,
        .visibility = {.coverage = 0.8, .visible = visible, .rare_visible = rare_visible}};
}

static void test_mask(void **state)
{
    struct router_config constant = masked(1, 0, 0), half = masked(2, 3, 2), renormalised = masked(2, 3, 1);
    struct loss_weights all = {.balance = 0.7F, .z = 0.3F, .entropy = 0.4F};

    (void)state;
    constant.rare_gate = 1.0F;
    half.rare_gate = 0.5F;
    renormalised.renormalize = true;
    check_masked("mask, one of 3 or the only one", masked(1, 3, 1), masked(1, 2, 1), "mask", all);
    check_masked("mask, two of 4 or the only one", masked(2, 4, 1), masked(2, 4, 1), "mask", all);
    check_masked("mask, renormalised; constant gates", renormalised, half, "mask", all);
    check_masked("mask, one for all; rare gates 1", masked(1, 1, 1), constant, "mask", all);
}

static void test_hash(void **state)
{
    struct router_config one = {.n_experts = 6, .k = 1};

    (void)state;
    check_masked("hash", one, one, "hash", (struct loss_weights){.balance = 0.7F});
}

/* Biases that are not 0: they decide, and no more. */
static void test_bias(void **state)
{
    struct router_config raw = {.n_experts = 6, .k = 2, .scale = 0.6F}, shares = raw;
    struct layer_config one = routed("bias", raw), two;

    (void)state;
    shares.renormalize = true;
    shares.scale = 2.5F;
    two = routed("bias", shares);
    check_gradients("bias, raw and shares", config_of(one, two), (struct loss_weights){0});
    check_gradients("bias, balance loss", config_of(one, two), (struct loss_weights){.balance = 0.7F});
    shares.k = 6;
    shares.capacity = 0.8F;
    two = routed("bias", shares);
    check_gradients("bias, all, capacity 0.8", config_of(one, two), (struct loss_weights){.balance = 0.7F});
}

static void test_relu(void **state)
{
    struct layer_config one = routed("relu", (struct router_config){.n_experts = 6, .k = 2}),
                        two = routed("relu", (struct router_config){.n_experts = 4, .k = 1});

    (void)state;
    check_gradients("relu", config_of(one, two), (struct loss_weights){0});
    check_gradients("relu, balance loss", config_of(two, one), (struct loss_weights){.balance = 0.7F});
}

/* No language model may have it; its mathematics are as any other's. */
static void test_expert_choice(void **state)
{
    struct router_ops open = *router_find("expert_choice");
    struct layer_config one = routed("expert_choice", (struct router_config){.n_experts = 6, .k = 2}),
                        two = routed("expert_choice", (struct router_config){.n_experts = 5, .k = 1});
    struct loss_weights all = {.balance = 0.7F, .z = 0.3F, .entropy = 0.4F};

    (void)state;
    open.not_causal = false;
    one.router = two.router = &open;
    check_gradients("expert choice", config_of(one, two), (struct loss_weights){0});
    check_gradients("expert choice, all losses", config_of(two, one), all);
}

static void test_noisy_topk(void **state)
{
    struct router_config c = {.n_experts = 6, .k = 2}, important = c, loaded = c, both = c;
    struct loss_weights none = {0}, all = {.balance = 0.7F, .z = 0.3F, .entropy = 0.4F};

    (void)state;
    important.importance = 0.9F;
    loaded.load = 1.3F;
    both.importance = 0.7F;
    both.load = 0.5F;
    both.k = 3;
    both.capacity = 0.8F;
    check_gradients("noisy top-2", config_of(routed("noisy_topk", c), routed("noisy_topk", c)), none);
    check_gradients("noisy top-2, importance",
                    config_of(routed("noisy_topk", important), routed("noisy_topk", c)), none);
    check_gradients("noisy top-2, load",
                    config_of(routed("noisy_topk", loaded), routed("noisy_topk", loaded)), none);
    check_gradients("noisy, all losses, capacity",
                    config_of(routed("noisy_topk", both), routed("noisy_topk", loaded)), all);
    both.k = 6; /* all: the load is a count */
    check_gradients("noisy, all experts", config_of(routed("noisy_topk", both), routed("noisy_topk", c)),
                    none);
}

static void test_shared_experts(void **state)
{
    struct layer_config one = moe(6, 2, true, 0), two = moe(6, 1, false, 0);

    (void)state;
    one.n_shared = 1;
    one.shared_hidden = 9;
    two.n_shared = 2;
    two.shared_hidden = 7;
    check_gradients("one and two shared experts", config_of(one, two),
                    (struct loss_weights){.balance = 0.7F});
}

static void test_blocks_differ(void **state)
{
    struct loss_weights all = {.balance = 0.7F, .z = 0.3F, .entropy = 0.4F};

    (void)state;
    check_gradients("top-3 of 8, top-1 of 4", config_of(moe(8, 3, false, 0), moe(4, 1, false, 0)), all);
}

static void test_forward_against_oracle(void **state)
{
    struct fixture f;
    struct loss_weights weights = {.balance = 0.5F, .z = 0.25F};
    double token_loss[T], worst = 0.0;

    (void)state;
    fixture_open(&f, config_of(moe(6, 2, true, 1.1F), moe(6, 1, false, 0)), 7);
    struct losses fast = model_forward(&f.model, &f.batch, false, 1.0F, &weights, NULL);
    double slow = naive_model_loss(&f.model, f.values, &f.batch, &weights, token_loss);
    /* naive_model_loss sums over blocks what struct losses averages: two blocks here */
    assert_true(fabs(fast.lm + 0.5 * 2 * fast.balance + 0.25 * 2 * fast.z - slow) < 1e-4 * slow);
    for (int t = 0; t < T; t++)
        worst = fmax(worst, fabs(f.model.token_loss[t] - token_loss[t]));
    print_message("           largest error of a token's loss %.1e nat\n", worst);
    assert_true(worst < 1e-3);
    fixture_close(&f);
}

/* All losses of the newer routers, with noise and without: naive_model_loss adds up what struct losses
 * averages over two blocks. */
static void test_routers_against_oracle(void **state)
{
    static const char *const names[] = {"bias", "relu", "noisy_topk"};
    struct router_config c = {
        .n_experts = 6, .k = 2, .scale = 1.5F, .importance = 0.7F, .load = 0.4F, .capacity = 1.1F};
    struct loss_weights weights = {.balance = 0.5F, .z = 0.25F, .entropy = 0.3F};

    (void)state;
    for (int i = 0; i < 6; i++) {
        struct layer_config block = routed(names[i / 2], c);
        struct fixture f;
        struct random noise;
        random_seed(&noise, 4, 0);
        fixture_open(&f, config_of(block, block), 7);
        struct losses l = model_forward(&f.model, &f.batch, false, 1.0F, &weights, i % 2 ? &noise : NULL);
        double slow = naive_model_loss(&f.model, f.values, &f.batch, &weights, NULL);
        double fast = l.lm + 2 * (0.5 * l.balance + 0.25 * l.z + 0.3 * l.entropy) + l.own;
        if (strcmp(names[i / 2], "bias") != 0)
            assert_true(l.own > 0.1);
        if (!(fabs(fast - slow) < 2e-5 * slow))
            fail_msg("%s: %.9g, not %.9g", names[i / 2], fast, slow);
        fixture_close(&f);
    }
}

/* Training and evaluation take different paths through the output layer; they must agree, and evaluating must
 * leave no gradient behind. */
static void test_evaluation_leaves_no_gradient(void **state)
{
    struct fixture f;
    struct loss_weights weights = {.balance = 0.5F};
    float eval[T];

    (void)state;
    fixture_open(&f, config_of(moe(6, 2, true, 0), dense_block()), 7);
    model_forward(&f.model, &f.batch, false, 1.0F, &weights, NULL);
    for (size_t i = 0; i < f.model.parameters.n_weights; i++)
        assert_true(f.model.parameters.gradients[i] == 0.0F);
    memcpy(eval, f.model.token_loss, sizeof eval);
    model_forward(&f.model, &f.batch, true, 1.0F, &weights, NULL);
    for (int t = 0; t < T; t++)
        assert_true(fabsf(eval[t] - f.model.token_loss[t]) < 1e-5F);
    fixture_close(&f);
}

/* Tiles do not depend on the threads: one, two or three give the same bytes. */
static void test_threads_change_nothing(void **state)
{
    float *first = NULL;

    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        struct fixture f;
        struct loss_weights weights = {.balance = 0.5F, .z = 0.1F};
        fixture_open(&f, config_of(moe(6, 2, true, 0), dense_block()), 7);
        pool_close(f.pool);
        struct error err;
        struct model_config config = f.model.config;
        size_t n = f.model.parameters.n_weights;
        float *weights_copy = malloc(n * sizeof(float));
        memcpy(weights_copy, f.model.parameters.values, n * sizeof(float));
        model_release(&f.model);
        assert_int_equal(pool_open(&f.pool, threads, &err), 0);
        assert_int_equal(model_init(&f.model, &config, T, f.pool, &err), 0);
        memcpy(f.model.parameters.values, weights_copy, n * sizeof(float));
        free(weights_copy);
        model_forward(&f.model, &f.batch, true, 1.0F, &weights, NULL);
        if (!first) {
            first = malloc(n * sizeof(float));
            memcpy(first, f.model.parameters.gradients, n * sizeof(float));
        }
        assert_memory_equal(first, f.model.parameters.gradients, n * sizeof(float));
        fixture_close(&f);
    }
    free(first);
}

/* 65535 tokens of 65535 experts each would be more rows than an int counts. */
static void test_too_large_a_pass(void **state)
{
    static const char *const settings[] = {"model.layers=1",
                                           "model.width=2",
                                           "model.heads=1",
                                           "router.k=65535",
                                           "router.experts=65535",
                                           "router.hidden=1",
                                           NULL};
    struct config config;
    struct model_config shape;
    struct model model;
    struct pool *pool;
    struct error err = {0};

    (void)state;
    memory_config(&config, settings);
    assert_int_equal(pool_open(&pool, 1, &err), 0);
    assert_int_equal(config_model(&config, 4, &shape, &err), 0);
    assert_int_equal(model_init(&model, &shape, 65535, pool, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "more than one pass can hold"));
    pool_close(pool);
    config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_topk),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_auxiliary_losses),
        cmocka_unit_test(test_topp),
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_bias),
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_expert_choice),
        cmocka_unit_test(test_noisy_topk),
        cmocka_unit_test(test_shared_experts),
        cmocka_unit_test(test_blocks_differ),
        cmocka_unit_test(test_forward_against_oracle),
        cmocka_unit_test(test_routers_against_oracle),
        cmocka_unit_test(test_evaluation_leaves_no_gradient),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_too_large_a_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
