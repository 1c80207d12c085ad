/* engine/router_bias.c: biases decide, gates and gradients do not know of them; and loads come to balance. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/naive.h"
#include "tests/alone.h"
#include "tests/close.h"
#include "tests/training.h"

enum { T = 70, N = 6 };

static struct router_config two_of(int n)
{
    return (struct router_config){
        .n_experts = n, .k = 2, .renormalize = true, .scale = 1.0F, .bias_rate = 0.01F};
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* Scores are all .5; biases alone decide, and weights are equal shares of the scale. */
static void test_biases_decide(void **state)
{
    static const float logits[4] = {0}, biases[] = {0.0F, 0.2F, 0.1F, -0.3F};
    struct router_config config = two_of(4);
    struct alone a;

    (void)state;
    config.scale = 2.5F;
    alone_open(&a, "bias", config, 1);
    memcpy(a.state, biases, sizeof biases);
    alone_route(&a, 1, logits, NULL);
    alone_expect(&a, 0, (const int[]){1, 2}, 2);
    for (int d = 0; d < 2; d++) {
        assert_true(a.routing.gate[d] == 0.5F);
        assert_close((double)a.routing.weight[d], 1.25, 1e-7);
    }
    a.router.config.renormalize = false; /* raw scores times the scale */
    alone_route(&a, 1, logits, NULL);
    assert_close((double)a.routing.weight[0], 1.25, 1e-7);
    a.state[3] = -8.0F; /* however far below 0 */
    a.state[2] = a.state[1] = a.state[0] = -9.0F;
    alone_route(&a, 1, logits, NULL);
    alone_expect(&a, 0, (const int[]){3, 0}, 2);
    alone_close(&a);
}

/* sigmoid(ln 3) = .75, sigmoid(0) = .5, sigmoid(-ln 3) = .25: weights .6 and .4 of the first two. */
static void test_weights_by_hand(void **state)
{
    float logits[] = {0.0F, logf(3.0F), -logf(3.0F)};
    struct alone a;

    (void)state;
    alone_open(&a, "bias", two_of(3), 1);
    alone_route(&a, 1, logits, NULL);
    alone_expect(&a, 0, (const int[]){1, 0}, 2);
    assert_close((double)a.routing.gate[0], 0.75, 1e-6);
    assert_close((double)a.routing.weight[0], 0.6, 1e-6);
    assert_close((double)a.routing.weight[1], 0.4, 1e-6);
    /* for entropies and the balance loss scores are made to sum to 1: .5 / 1.5, .75 / 1.5, .25 / 1.5 */
    assert_close(routing_entropy(&a.routing, 0), log(3) / 3 + log(2) / 2 + log(6) / 6, 1e-6);
    assert_close(balance_loss(a.router.ops, &a.routing, 0.0F), 3 * (0.5 * 1 / 3 + 0.5 * 0.5), 1e-6);
    alone_close(&a);
}

/* A router that cannot tell biased from unbiased experts apart passes back the same, to the last bit. */
static void test_gradients_know_no_bias(void **state)
{
    float logits[T * N], d_x[2][T * N] = {{0}}, d_weight[2][2 * T], weight[2][2 * T];
    struct alone a;

    (void)state;
    fill_normal(logits, T * N, 1);
    for (int i = 0; i < 2; i++) {
        struct router_input in = {.x = logits, .T = T, .D = N};
        alone_open(&a, "bias", two_of(N), T);
        for (int e = 0; e < N; e++)
            a.state[e] = i ? 0.25F : 0.0F; /* the same for all: choices stay */
        alone_route(&a, T, logits, NULL);
        for (int d = 0; d < 2 * T; d++)
            a.routing.d_weight[d] = (float)(d % 7) - 3.0F;
        router_backward(&a.router, a.pool, &in, d_x[i], &a.routing);
        memcpy(weight[i], a.routing.weight, sizeof weight[i]);
        memcpy(d_weight[i], a.router.d_weight, sizeof(float) * N * N);
        alone_close(&a);
    }
    assert_memory_equal(weight[0], weight[1], sizeof weight[0]);
    assert_memory_equal(d_x[0], d_x[1], sizeof d_x[0]);
    assert_memory_equal(d_weight[0], d_weight[1], sizeof(float) * N * N);
}

/* Requests 5, 1, 3, 3 of a mean of 3. */
static void test_update_by_hand(void **state)
{
    static const int64_t requested[] = {5, 1, 3, 3};
    struct router_usage usage = {.n_tokens = 6, .requested = requested};
    struct router_config config = two_of(4);
    float biases[] = {0.0F, 0.5F, -0.5F, 0.0F};

    (void)state;
    router_find("bias")->update(&config, &usage, biases);
    assert_true(biases[0] == -0.01F && biases[1] == 0.5F + 0.01F);
    assert_true(biases[2] == -0.5F && biases[3] == 0.0F);
}

static double largest_share(const struct alone *a)
{
    double most = 0.0;

    for (int e = 0; e < N; e++)
        most = fmax(most, (double)a->routing.requested[e] * N / routing_decisions(&a->routing));
    return most;
}

/* The first expert's logits are larger by 2 than the others': nearly every token wants it. */
static void test_loads_come_to_balance(void **state)
{
    float logits[T * N];
    struct alone a;

    (void)state;
    fill_normal(logits, T * N, 2);
    for (int t = 0; t < T; t++)
        logits[t * N] += 2.0F;
    alone_open(&a, "bias", two_of(N), T);
    alone_route(&a, T, logits, NULL);
    assert_true(largest_share(&a) > 2.0);
    for (int i = 0; i < 200; i++) {
        struct router_usage usage = {.n_tokens = T, .requested = a.routing.requested};
        a.router.ops->update(&a.router.config, &usage, a.state);
        alone_route(&a, T, logits, NULL);
    }
    assert_true(a.state[0] < -0.1F);
    assert_true(largest_share(&a) < 1.25);
    alone_close(&a);
}

/* ---- in training ---- */

static const struct layer *layer_of(const struct training *r, int l)
{
    return &r->trainer.model.layers[l];
}

/* Gates of the last pass are sigmoids of its logits alone; choices are the k largest of them and the biases
 * (as those of the update before). */
static void check_gates(const struct layer *b, const float *biases)
{
    const struct routing *r = &b->routing;

    for (int t = 0; t < r->n_tokens; t++) {
        int32_t expert[2];
        double biased[4], weight[2], score[2];
        for (int e = 0; e < 4; e++)
            biased[e] = sigmoid((double)r->logit[t * 4 + e]) + (double)biases[e];
        naive_topk(biased, 4, 2, false, NULL, expert, weight);
        for (int s = 0; s < 2; s++) {
            assert_int_equal(r->expert[2 * t + s], expert[s]);
            score[s] = sigmoid((double)r->logit[t * 4 + expert[s]]);
            assert_close((double)r->gate[2 * t + s], score[s], 1e-6);
        }
        for (int s = 0; s < 2; s++)
            assert_close((double)r->weight[2 * t + s], score[s] / (score[0] + score[1]), 1e-6);
    }
}

static const struct parameter *parameter_of(const struct model *m, const char *name)
{
    for (int i = 0; i < m->parameters.n; i++) {
        if (strcmp(m->parameters.items[i].name, name) == 0)
            return &m->parameters.items[i];
    }
    fail_msg("there is no '%s'", name);
    return NULL;
}

static void train_and_check(const char *rate, bool moves)
{
    const char *const s[] = {"router.name=bias",
                             "router.renormalize=true",
                             "loss.balance=0",
                             "loss.z=0",
                             "train.steps=30",
                             "valid.every=0",
                             rate,
                             NULL};
    struct training r;
    float before[4];
    struct batch *b;

    training_open(&r, s, 1, 3);
    assert_int_equal(training_run(&r), TRAIN_FINISHED);
    const struct parameter *p = parameter_of(&r.trainer.model, "layers.1.router.bias");
    assert_false(p->trained);
    assert_null(p->gradient);
    assert_int_equal(p->count, 4);
    memcpy(before, layer_of(&r, 1)->router.state, sizeof before);
    assert_int_equal(before[0] != 0.0F || before[1] != 0.0F || before[2] != 0.0F, moves);
    b = &r.trainer.packed.batch;
    model_forward(&r.trainer.model, b, false, 1.0F, &(struct loss_weights){0}, NULL);
    check_gates(layer_of(&r, 1), before);
    training_close(&r);
}

static void test_gates_after_training(void **state)
{
    (void)state;
    train_and_check("router.bias_rate=0.03", true);
}

/* Without a step biases stay 0: the k largest sigmoids. */
static void test_no_rate_is_plain_topk(void **state)
{
    (void)state;
    train_and_check("router.bias_rate=0", false);
}

static void test_refused(void **state)
{
    struct router_config one = {.n_experts = 4, .k = 1, .renormalize = true, .scale = 1.0F}, many = two_of(1);
    struct error err = {0};

    (void)state;
    assert_int_equal(router_find("bias")->check(&one, &err), -1);
    assert_non_null(strstr(err.text, "learns nothing from the language loss"));
    one.renormalize = false;
    assert_int_equal(router_find("bias")->check(&one, &err), 0);
    assert_int_equal(router_find("bias")->check(&many, &err), -1);
    assert_non_null(strstr(err.text, "router.k is 2 but there are 1 experts"));
}

/* Who says nothing gets the paper's weighing, no balance loss, and no loss that wants a softmax. */
static void test_defaults(void **state)
{
    static const char *const plain[] = {"router.name=bias", NULL};
    static const char *const raw[] = {"router.name=bias", "router.renormalize=false", NULL};
    struct config config;

    (void)state;
    memory_config(&config, plain);
    assert_int_equal(config_settle(&config, NULL), 0);
    assert_true(config_bool(&config, "router.renormalize"));
    assert_close(config_real(&config, "loss.balance") + config_real(&config, "loss.z"), 0.0, 0.0);
    config_release(&config);
    memory_config(&config, raw);
    assert_int_equal(config_settle(&config, NULL), 0);
    assert_false(config_bool(&config, "router.renormalize"));
    config_release(&config);
}

/* A diverged router: the first k, each once, and gates that say so. */
static void test_not_a_number(void **state)
{
    static const float logits[] = {0.5F, NAN, 1.0F, 0.1F, 3.0F, 1.0F, 2.0F, 0.0F};
    struct alone a;

    (void)state;
    alone_open(&a, "bias", two_of(4), 2);
    alone_route(&a, 2, logits, NULL);
    alone_expect(&a, 0, (const int[]){0, 1}, 2);
    alone_expect(&a, 1, (const int[]){0, 2}, 2);
    assert_true(isnan(a.routing.gate[0]) && isnan(a.routing.weight[1]));
    assert_close((double)a.routing.gate[2], sigmoid(3), 1e-6);
    alone_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_biases_decide),
        cmocka_unit_test(test_weights_by_hand),
        cmocka_unit_test(test_gradients_know_no_bias),
        cmocka_unit_test(test_update_by_hand),
        cmocka_unit_test(test_loads_come_to_balance),
        cmocka_unit_test(test_gates_after_training),
        cmocka_unit_test(test_no_rate_is_plain_topk),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_not_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
