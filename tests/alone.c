#include "tests/alone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/blas.h"

enum { THREADS = 2 };

void alone_open(struct alone *a, const char *router, struct router_config config, int max_tokens)
{
    const struct router_ops *ops = router_find(router);
    size_t N = (size_t)config.n_experts;
    struct router_shape shape;
    struct error err = {0};

    memset(a, 0, sizeof *a);
    blas_start();
    router_shape(ops, &config, 1, &shape);
    if (ops->check(&config, &err) || pool_open(&a->pool, THREADS, &err) ||
        routing_init(&a->routing, max_tokens, config.n_experts, ops->max_k(&config), &err) ||
        routing_extend(&a->routing, max_tokens, &shape, &err))
        fail_msg("%s", err.text);
    float *identity = shelf_zeros(&a->shelf, N * N);
    for (size_t i = 0; i < N; i++)
        identity[i * N + i] = 1.0F;
    a->router = (struct router){
        .ops = ops, .config = config, .weight = identity, .d_weight = shelf_zeros(&a->shelf, N * N)};
    if (shape.second) {
        a->router.second = a->second = shelf_zeros(&a->shelf, N * N);
        a->router.d_second = shelf_zeros(&a->shelf, N * N);
    }
    if (shape.state) {
        a->router.state = a->state = shelf_zeros(&a->shelf, (size_t)shape.state_rows);
        assert_int_equal(ops->init_state(&config, 0, 1, 1, NULL, a->state, NULL), 0);
    }
}

void alone_close(struct alone *a)
{
    routing_release(&a->routing);
    shelf_clear(&a->shelf);
    pool_close(a->pool);
}

void alone_route(struct alone *a, int T, const float *logits, struct random *noise)
{
    struct router_input in = {.x = logits, .T = T, .D = a->router.config.n_experts, .noise = noise};

    router_route(&a->router, a->pool, &in, &a->routing);
    alone_check(a);
}

void alone_expect(const struct alone *a, int t, const int *experts, int n)
{
    const struct routing *r = &a->routing;

    assert_int_equal(r->offset[t + 1] - r->offset[t], n);
    for (int i = 0; i < n; i++)
        assert_int_equal(r->expert[r->offset[t] + i], experts[i]);
}

void alone_check(const struct alone *a)
{
    const struct routing *r = &a->routing;
    int64_t counted = 0;

    assert_int_equal(r->offset[0], 0);
    for (int e = 0; e < r->n_experts; e++) {
        int64_t n = 0;
        for (int t = 0; t < r->n_tokens; t++) {
            int times = 0;
            for (int d = r->offset[t]; d < r->offset[t + 1]; d++)
                times += r->expert[d] == e;
            assert_in_range(times, 0, 1);
            n += times;
        }
        assert_int_equal(r->requested[e], n);
        counted += n;
    }
    assert_int_equal(counted, routing_decisions(r)); /* no expert that there is not */
    for (int t = 0; t < r->n_tokens; t++) {
        const float *p = r->probability + (size_t)t * (size_t)r->n_experts;
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++)
            assert_memory_equal(&r->gate[d], &p[r->expert[d]], sizeof(float));
    }
}
