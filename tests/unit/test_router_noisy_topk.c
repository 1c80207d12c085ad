/* engine/router_noisy_topk.c: top-k where nothing is drawn; what noise does; its two losses from their
 * formulas. */
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

enum { T = 70, N = 6, K = 2 };

/* Without noise: softmax over the k kept, which is top-k renormalised, to the last bit. */
static void test_without_noise_it_is_topk(void **state)
{
    struct router_config config = {.n_experts = N, .k = K}, renormalised = config;
    float logits[T * N];
    struct alone a, b;

    (void)state;
    fill_normal(logits, T * N, 1);
    renormalised.renormalize = true;
    alone_open(&a, "noisy_topk", config, T);
    alone_open(&b, "topk", renormalised, T);
    alone_route(&a, T, logits, NULL);
    alone_route(&b, T, logits, NULL);
    assert_memory_equal(a.routing.expert, b.routing.expert, sizeof(int32_t) * T * K);
    assert_memory_equal(a.routing.gate, b.routing.gate, sizeof(float) * T * K);
    assert_memory_equal(a.routing.weight, b.routing.weight, sizeof(float) * T * K);
    for (int t = 0; t < T; t++) { /* and that is the paper's formula */
        double first = exp((double)logits[t * N + a.routing.expert[2 * t]]),
               second = exp((double)logits[t * N + a.routing.expert[2 * t + 1]]);
        assert_close((double)a.routing.weight[2 * t], first / (first + second), 1e-6);
    }
    alone_close(&a);
    alone_close(&b);
}

/* H = x w + N(0, 1) softplus(x w_noise), draws in the order of tokens and experts. */
static void test_noise(void **state)
{
    struct router_config config = {.n_experts = N, .k = K};
    float logits[T * N];
    struct random noise, again;
    struct alone a;
    int other = 0;

    (void)state;
    fill_normal(logits, T * N, 1);
    alone_open(&a, "noisy_topk", config, T);
    fill_normal(a.second, N * N, 2);
    random_seed(&noise, 5, 0);
    random_seed(&again, 5, 0);
    alone_route(&a, T, logits, &noise);
    for (int t = 0; t < T; t++) {
        for (int e = 0; e < N; e++) {
            double z = 0.0, clean = logits[t * N + e];
            for (int i = 0; i < N; i++)
                z += (double)logits[t * N + i] * (double)a.second[e * N + i];
            assert_close((double)a.routing.logit[t * N + e], clean + random_normal(&again) * log(1 + exp(z)),
                         1e-5);
        }
        other += a.routing.expert[2 * t] != a.routing.expert[0];
    }
    assert_true(other > 0);
    alone_close(&a);
}

/* ---- losses ---- */

static double squared_cv(const double *x, int n)
{
    double mean = 0.0, variance = 0.0;

    for (int i = 0; i < n; i++)
        mean += x[i] / n;
    for (int i = 0; i < n; i++)
        variance += (x[i] - mean) * (x[i] - mean) / n;
    return variance / mean / mean;
}

/* Weights of two tokens over three experts: (.75, .25, 0) and (0, .5, .5), sums .75, .75, .5: mean 2/3,
 * variance (2 (1/12)^2 + (1/6)^2) / 3 = 1/72, CV^2 = 1/32. */
static void test_importance_by_hand(void **state)
{
    struct router_config config = {.n_experts = 3, .k = 2, .importance = 2.0F};
    float logits[] = {logf(3.0F), 0.0F, -9.0F, -9.0F, 1.0F, 1.0F};
    struct alone a;

    (void)state;
    alone_open(&a, "noisy_topk", config, 2);
    alone_route(&a, 2, logits, NULL);
    assert_close(a.router.ops->own_loss(&a.router, a.pool, &a.routing, 0.0F), 2.0 / 32, 1e-6);
    alone_close(&a);
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* kth_excluding of the paper's appendix A, by sorting. */
static double kth_of_others(const float *H, int i)
{
    double others[N];
    int n = 0;

    for (int j = 0; j < N; j++) {
        if (j != i)
            others[n++] = (double)H[j];
    }
    qsort(others, (size_t)n, sizeof *others, falling);
    return others[K - 1];
}

static void test_load_from_its_formula(void **state)
{
    struct router_config config = {.n_experts = N, .k = K, .load = 0.7F, .importance = 0.0F};
    float logits[T * N];
    double load[N] = {0}, sum = 0.0;
    struct random noise;
    struct alone a;

    (void)state;
    fill_normal(logits, T * N, 1);
    alone_open(&a, "noisy_topk", config, T);
    fill_normal(a.second, N * N, 2);
    random_seed(&noise, 5, 0);
    alone_route(&a, T, logits, &noise);
    for (int t = 0; t < T; t++) {
        for (int e = 0; e < N; e++) {
            double z = 0.0;
            for (int i = 0; i < N; i++)
                z += (double)logits[t * N + i] * (double)a.second[e * N + i];
            double margin =
                ((double)logits[t * N + e] - kth_of_others(a.routing.logit + t * N, e)) / log(1 + exp(z));
            load[e] += 0.5 * (1 + erf(margin / sqrt(2)));
        }
    }
    assert_close(a.router.ops->own_loss(&a.router, a.pool, &a.routing, 0.0F), 0.7 * squared_cv(load, N),
                 1e-6);
    for (int e = 0; e < N; e++)
        sum += load[e];
    assert_in_range((int)sum, T * K / 2, T * K * 2); /* an estimate of the decisions */
    alone_close(&a);
}

/* Without noise a load is a count: three tokens to experts 0 and 1, one to 2 and 0; (4, 3, 1), CV^2 = 14/9 /
 * (8/3)^2. With k = N nothing can change and every load is T. */
static void test_load_without_noise(void **state)
{
    static const float logits[] = {2, 1, 0, 2, 1, 0, 2, 1, 0, 1, 0, 2};
    struct router_config config = {.n_experts = 3, .k = 2, .load = 1.0F};
    struct random noise;
    struct alone a;

    (void)state;
    alone_open(&a, "noisy_topk", config, 4);
    alone_route(&a, 4, logits, NULL);
    assert_close(a.router.ops->own_loss(&a.router, a.pool, &a.routing, 1.0F), 14.0 / 9 / (64.0 / 9), 1e-6);
    for (int i = 0; i < 12; i++)
        assert_true(a.routing.d_logit[i] == 0.0F && a.routing.d_probability[i] == 0.0F);
    alone_close(&a);
    config.k = 3;
    random_seed(&noise, 1, 0);
    alone_open(&a, "noisy_topk", config, 4);
    alone_route(&a, 4, logits, &noise);
    assert_close(a.router.ops->own_loss(&a.router, a.pool, &a.routing, 1.0F), 0.0, 0.0);
    alone_close(&a);
}

/* Deviations of nearly 0: chances of 0 and 1, and gradients that are numbers. */
static void test_no_deviation_to_speak_of(void **state)
{
    static const float logits[] = {3, 2, 1, 0, 1, 2};
    struct router_config config = {.n_experts = 3, .k = 2, .load = 1.0F, .importance = 1.0F};
    struct router_input in = {.x = logits, .T = 2, .D = 3};
    float d_x[6] = {0};
    struct random noise;
    struct alone a;

    (void)state;
    random_seed(&noise, 1, 0);
    alone_open(&a, "noisy_topk", config, 2);
    for (int i = 0; i < 9; i++)
        a.second[i] = -400.0F;
    in.noise = &noise;
    alone_route(&a, 2, logits, &noise);
    /* loads (1, 2, 1) */
    assert_true(isfinite(a.router.ops->own_loss(&a.router, a.pool, &a.routing, 1.0F)));
    for (int d = 0; d < 4; d++)
        a.routing.d_weight[d] = 1.0F;
    router_backward(&a.router, a.pool, &in, d_x, &a.routing);
    for (int i = 0; i < 6; i++)
        assert_true(isfinite(d_x[i]));
    alone_close(&a);
}

static void test_refused(void **state)
{
    struct router_config config = {.n_experts = 4, .k = 1};
    struct error err = {0};

    (void)state;
    assert_int_equal(router_find("noisy_topk")->check(&config, &err), -1);
    assert_non_null(strstr(err.text, "learns nothing from the language loss"));
    config.k = 2;
    config.noise = 0.1F;
    assert_int_equal(router_find("noisy_topk")->check(&config, &err), -1);
    assert_non_null(strstr(err.text, "router.noise is for other routers"));
    config.noise = 0.0F;
    assert_int_equal(router_find("noisy_topk")->check(&config, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_noise_it_is_topk),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_importance_by_hand),
        cmocka_unit_test(test_load_from_its_formula),
        cmocka_unit_test(test_load_without_noise),
        cmocka_unit_test(test_no_deviation_to_speak_of),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
