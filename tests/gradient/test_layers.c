/* What a layer of the engine is made of, each alone as in test_kernels.c: attention, routed and dense
 * experts, the router with its losses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/attention.h"
#include "engine/moe.h"
#include "engine/naive.h"
#include "engine/routing.h"
#include "tests/operations.h"

/* ---- attention ---- */

struct attended {
    int T, D, n_heads, n_sequences;
    const int32_t *start;
    const float *d_y;
};

static double attention_value(const double *qkv, const void *context)
{
    const struct attended *c = context;
    size_t n = (size_t)c->T * (size_t)c->D;
    double *y = malloc(n * sizeof *y), value;

    naive_attention(qkv, c->start, c->n_sequences, c->D, c->n_heads, y);
    value = weighted_sum(y, c->d_y, n);
    free(y);
    return value;
}

static void attention_case(struct operations *s, const int32_t *start, int n_sequences, int D, int n_heads,
                           double scale, double error[2])
{
    struct shelf shelf = {0};
    int T = start[n_sequences], context = 0;
    size_t n = (size_t)T * (size_t)D, score_start[8];
    float *qkv = shelf_normal(&shelf, 3 * n, scale, &s->random),
          *d_y = shelf_normal(&shelf, n, 1.0, &s->random);
    double *values = shelf_widened(&shelf, qkv, 3 * n), *exact = shelf_doubles(&shelf, n);
    struct attended c = {T, D, n_heads, n_sequences, start, d_y};
    struct objective o = {.value = attention_value, .context = &c, .x = values};

    for (int i = 0; i < n_sequences; i++)
        context = start[i + 1] - start[i] > context ? start[i + 1] - start[i] : context;
    struct attention a = {
        .n_sequences = n_sequences,
        .D = D,
        .n_heads = n_heads,
        .context = context,
        .start = start,
        .score_start = score_start,
        .qkv = qkv,
        .scores = shelf_floats(&shelf, attention_layout(start, n_sequences, n_heads, score_start)),
        .output = shelf_floats(&shelf, n),
        .d_output = d_y,
        .d_qkv = shelf_floats(&shelf, 3 * n),
        .scratch = shelf_floats(&shelf, 2 * attention_scratch(context))};
    attention_forward(s->pool, &a);
    naive_attention(values, start, n_sequences, D, n_heads, exact);
    error[0] = worse(error[0], largest_error(a.output, exact, n));
    attention_backward(s->pool, &a);
    error[1] = worse(error[1], gradient_error(&o, 0, 3 * n, a.d_qkv));
    shelf_clear(&shelf);
}

static void test_attention(void **state)
{
    static const int32_t one[] = {0, 1}, block[] = {0, 64}, past[] = {0, 65};
    static const int32_t many[] = {0, 1, 66, 130, 132, 133}; /* lengths 1, 65, 64, 2, 1 */
    struct operations *s = operations_begin(state);
    double error[2] = {0.0}, sharp[2] = {0.0};

    attention_case(s, one, 1, 2, 1, 1.0, error);
    attention_case(s, one, 1, 12, 2, 1.0, error);
    attention_case(s, block, 1, 12, 2, 1.0, error);
    attention_case(s, past, 1, 6, 3, 1.0, error);
    attention_case(s, many, 5, 20, 2, 1.0, error);
    operations_record(s, "attention forward", error[0], few_roundings);
    operations_record(s, "attention backward", error[1], many_roundings);
    /* scores of +-80: queries and keys of deviation 8, 6 products, divided by sqrt(6) */
    attention_case(s, many, 5, 12, 2, 8.0, sharp);
    operations_record(s, "attention forward, scores of +-80", sharp[0], 2e-4);
    operations_record(s, "attention backward, scores of +-80", sharp[1], 2e-4);
}

/* ---- experts ---- */

enum routing_kind { RANDOM_TWO, ALL_TO_ONE, EMPTY_EXPERT, DROPPED, VARIABLE, N_ROUTING_KINDS };

/* Decisions as a router would leave them: k different experts a token, weights in (0, 1). */
static void fill_routing(struct routing *r, enum routing_kind kind, int T, struct random *random)
{
    int d = 0, N = r->n_experts;

    r->n_tokens = T;
    r->n_dropped = 0;
    for (int t = 0; t < T; t++) {
        int k = kind == ALL_TO_ONE ? 1 : kind == VARIABLE ? t % 4 : 2; /* variable: none, one, two, three */
        int first = (int)random_below(random, (uint64_t)N);
        r->offset[t] = d;
        for (int slot = 0; slot < k; slot++, d++) {
            int e = (first + slot) % N;
            if (kind == EMPTY_EXPERT)
                e = (first + slot) % (N - 1); /* the last one gets nothing */
            r->expert[d] = kind == ALL_TO_ONE ? 1 : e;
            r->dropped[d] = kind == DROPPED && random_below(random, 3) == 0;
            r->gate[d] = (float)random_uniform(random);
            r->weight[d] = r->dropped[d] ? 0.0F : r->gate[d];
            r->n_dropped += r->dropped[d];
        }
    }
    r->offset[T] = d;
}

struct mixture {
    const struct routing *routing;
    int D, F;
    const float *d_y;
    size_t in, out, weight; /* where they begin; x begins at 0 */
};

static double mixture_value(const double *v, const void *context)
{
    const struct mixture *c = context;
    const struct routing *r = c->routing;
    size_t D = (size_t)c->D, F = (size_t)c->F;
    double *y = malloc(D * sizeof *y), value = 0.0;

    for (int t = 0; t < r->n_tokens; t++) {
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++) {
            size_t e = (size_t)r->expert[d];
            if (r->dropped[d])
                continue;
            naive_expert(v + (size_t)t * D, v + c->in + e * 2 * F * D, v + c->out + e * D * F, y, c->D, c->F);
            value += v[c->weight + (size_t)d] * weighted_sum(y, c->d_y + (size_t)t * D, D);
        }
    }
    free(y);
    return value;
}

/* y of the mixture, element by element, by the same function that the differences are taken of. */
static double *mixture_output(struct shelf *shelf, const struct mixture *c, const double *values)
{
    size_t n = (size_t)c->routing->n_tokens * (size_t)c->D;
    double *y = shelf_doubles(shelf, n);
    float *one = shelf_zeros(shelf, n);
    struct mixture probe = *c;

    probe.d_y = one;
    for (size_t i = 0; i < n; i++) {
        one[i] = 1.0F;
        y[i] = mixture_value(values, &probe);
        one[i] = 0.0F;
    }
    return y;
}

static double *joined(struct shelf *shelf, const float *const parts[], const size_t sizes[], int n)
{
    size_t total = 0, at = 0;

    for (int i = 0; i < n; i++)
        total += sizes[i];
    double *all = shelf_doubles(shelf, total);
    for (int i = 0; i < n; i++) {
        for (size_t j = 0; j < sizes[i]; j++)
            all[at++] = (double)parts[i][j];
    }
    return all;
}

struct expert_errors {
    double forward, d_x, d_in, d_out, d_weight;
};

static void experts_case(struct operations *s, enum routing_kind kind, int T, int N, int D, int F,
                         struct expert_errors *error)
{
    enum { K = 3 };
    struct shelf shelf = {0};
    struct routing r;
    struct dispatch d;
    size_t n = (size_t)T * (size_t)D, rows = (size_t)T * K, matrices = (size_t)N * (size_t)D * (size_t)F;

    assert_int_equal(routing_init(&r, T, N, K, NULL), 0);
    assert_int_equal(dispatch_init(&d, T * K, N, D, F, NULL), 0);
    fill_routing(&r, kind, T, &s->random);
    size_t decisions = (size_t)routing_decisions(&r);
    float *x = shelf_normal(&shelf, n, 1.0, &s->random),
          *in = shelf_normal(&shelf, 2 * matrices, 0.5, &s->random);
    float *out = shelf_normal(&shelf, matrices, 0.5, &s->random), *y = shelf_zeros(&shelf, n);
    float *d_y = shelf_normal(&shelf, n, 1.0, &s->random), *d_x = shelf_zeros(&shelf, n);
    struct experts e = {in, out, shelf_zeros(&shelf, 2 * matrices), shelf_zeros(&shelf, matrices), N, D, F};
    struct dispatch_scratch scratch = {shelf_floats(&shelf, rows * (size_t)D),
                                       shelf_floats(&shelf, rows * (size_t)F),
                                       shelf_floats(&shelf, rows * (size_t)D)};
    const float *const parts[] = {x, in, out, r.weight};
    const size_t sizes[] = {n, 2 * matrices, matrices, decisions};
    double *values = joined(&shelf, parts, sizes, 4);
    struct mixture c = {&r, D, F, d_y, n, n + 2 * matrices, n + 3 * matrices};
    struct objective o = {.value = mixture_value, .context = &c, .x = values};

    experts_forward(s->pool, &e, &r, x, y, &d);
    error->forward = worse(error->forward, largest_error(y, mixture_output(&shelf, &c, values), n));
    experts_backward(s->pool, &e, &r, d_y, d_x, &d, &scratch);
    error->d_x = worse(error->d_x, gradient_error(&o, 0, n, d_x));
    error->d_in = worse(error->d_in, gradient_error(&o, c.in, 2 * matrices, e.d_in));
    error->d_out = worse(error->d_out, gradient_error(&o, c.out, matrices, e.d_out));
    error->d_weight = worse(error->d_weight, gradient_error(&o, c.weight, decisions, r.d_weight));
    float *once[] = {shelf_copy(&shelf, y, n), shelf_copy(&shelf, d_x, n),
                     shelf_copy(&shelf, e.d_in, 2 * matrices), shelf_copy(&shelf, e.d_out, matrices)};
    experts_forward(s->pool, &e, &r, x, y, &d);
    experts_backward(s->pool, &e, &r, d_y, d_x, &d, &scratch);
    assert_true(doubling_error(once[0], y, n) < few_roundings);
    assert_true(doubling_error(once[1], d_x, n) < few_roundings);
    assert_true(doubling_error(once[2], e.d_in, 2 * matrices) < few_roundings);
    assert_true(doubling_error(once[3], e.d_out, matrices) < few_roundings);
    dispatch_release(&d);
    routing_release(&r);
    shelf_clear(&shelf);
}

static void test_experts(void **state)
{
    struct operations *s = operations_begin(state);
    struct expert_errors error = {0};

    for (int kind = 0; kind < N_ROUTING_KINDS; kind++) {
        experts_case(s, kind, 65, 5, 9, 7, &error);
        if (kind != VARIABLE) /* whose first token has no decision */
            experts_case(s, kind == DROPPED ? RANDOM_TWO : kind, 1, 3, 4, 1, &error);
    }
    experts_case(s, RANDOM_TWO, 30, 3, 33, 17, &error);
    operations_record(s, "experts forward", error.forward, few_roundings);
    operations_record(s, "experts backward, by the input", error.d_x, many_roundings);
    operations_record(s, "experts backward, by the gate and up weights", error.d_in, many_roundings);
    operations_record(s, "experts backward, by the down weights", error.d_out, many_roundings);
    operations_record(s, "experts backward, by the combine weights", error.d_weight, many_roundings);
}

/* Every decision refused: nothing comes out and nothing goes back, and no kernel stumbles over 0 rows. */
static void test_experts_all_dropped(void **state)
{
    enum { T = 3, N = 2, D = 4, F = 3 };
    struct operations *s = operations_begin(state);
    struct shelf shelf = {0};
    struct routing r;
    struct dispatch d;
    float *x = shelf_normal(&shelf, T * D, 1.0, &s->random), *y = shelf_zeros(&shelf, T * D);
    float *d_x = shelf_zeros(&shelf, T * D), *w = shelf_normal(&shelf, N * 2 * F * D, 1.0, &s->random);
    struct experts e = {w, w, shelf_zeros(&shelf, N * 2 * F * D), shelf_zeros(&shelf, N * D * F), N, D, F};
    struct dispatch_scratch scratch = {shelf_floats(&shelf, T * 2 * D), shelf_floats(&shelf, T * 2 * F),
                                       shelf_floats(&shelf, T * 2 * D)};

    assert_int_equal(routing_init(&r, T, N, 2, NULL), 0);
    assert_int_equal(dispatch_init(&d, T * 2, N, D, F, NULL), 0);
    fill_routing(&r, RANDOM_TWO, T, &s->random);
    for (int i = 0; i < routing_decisions(&r); i++) {
        r.dropped[i] = 1;
        r.weight[i] = 0.0F;
    }
    experts_forward(s->pool, &e, &r, x, y, &d);
    experts_backward(s->pool, &e, &r, x, d_x, &d, &scratch);
    for (int i = 0; i < T * D; i++)
        assert_true(y[i] == 0.0F && d_x[i] == 0.0F);
    for (int i = 0; i < N * D * F; i++)
        assert_true(e.d_out[i] == 0.0F && e.d_in[i] == 0.0F);
    for (int i = 0; i < routing_decisions(&r); i++)
        assert_true(r.d_weight[i] == 0.0F);
    dispatch_release(&d);
    routing_release(&r);
    shelf_clear(&shelf);
}

static void dense_case(struct operations *s, int T, int D, int F, struct expert_errors *error)
{
    struct shelf shelf = {0};
    struct routing r;
    struct dispatch d;
    size_t n = (size_t)T * (size_t)D, matrix = (size_t)D * (size_t)F;

    /* For the twin: one expert, weight 1. */
    assert_int_equal(routing_init(&r, T, 1, 1, NULL), 0);
    assert_int_equal(dispatch_init(&d, T, 1, D, F, NULL), 0);
    r.n_tokens = T;
    for (int t = 0; t < T; t++) {
        r.offset[t + 1] = t + 1;
        r.expert[t] = 0;
        r.weight[t] = 1.0F;
    }
    float *x = shelf_normal(&shelf, n, 1.0, &s->random),
          *in = shelf_normal(&shelf, 2 * matrix, 0.5, &s->random);
    float *out = shelf_normal(&shelf, matrix, 0.5, &s->random), *y = shelf_zeros(&shelf, n);
    float *d_y = shelf_normal(&shelf, n, 1.0, &s->random), *d_x = shelf_zeros(&shelf, n);
    struct experts e = {in, out, shelf_zeros(&shelf, 2 * matrix), shelf_zeros(&shelf, matrix), 1, D, F};
    struct dispatch_scratch scratch = {.d_a = shelf_floats(&shelf, (size_t)T * (size_t)F)};
    const float *const parts[] = {x, in, out, r.weight};
    const size_t sizes[] = {n, 2 * matrix, matrix, (size_t)T};
    double *values = joined(&shelf, parts, sizes, 4);
    struct mixture c = {&r, D, F, d_y, n, n + 2 * matrix, n + 3 * matrix};
    struct objective o = {.value = mixture_value, .context = &c, .x = values};

    dense_forward(s->pool, &e, x, y, T, &d);
    error->forward = worse(error->forward, largest_error(y, mixture_output(&shelf, &c, values), n));
    dense_backward(s->pool, &e, x, d_y, d_x, T, &d, &scratch);
    error->d_x = worse(error->d_x, gradient_error(&o, 0, n, d_x));
    error->d_in = worse(error->d_in, gradient_error(&o, c.in, 2 * matrix, e.d_in));
    error->d_out = worse(error->d_out, gradient_error(&o, c.out, matrix, e.d_out));
    float *once[] = {shelf_copy(&shelf, y, n), shelf_copy(&shelf, d_x, n)};
    dense_forward(s->pool, &e, x, y, T, &d);
    dense_backward(s->pool, &e, x, d_y, d_x, T, &d, &scratch);
    assert_true(doubling_error(once[0], y, n) < few_roundings);
    assert_true(doubling_error(once[1], d_x, n) < few_roundings);
    dispatch_release(&d);
    routing_release(&r);
    shelf_clear(&shelf);
}

static void test_dense(void **state)
{
    struct operations *s = operations_begin(state);
    struct expert_errors error = {0};

    dense_case(s, 1, 2, 1, &error);
    dense_case(s, 65, 9, 7, &error);
    dense_case(s, 20, 33, 17, &error);
    operations_record(s, "dense block forward", error.forward, few_roundings);
    operations_record(s, "dense block backward, by the input", error.d_x, many_roundings);
    operations_record(s, "dense block backward, by the gate and up weights", error.d_in, many_roundings);
    operations_record(s, "dense block backward, by the down weights", error.d_out, many_roundings);
}

/* ---- the router ---- */

struct routed {
    const struct routing *routing; /* whose choices are held */
    int D;
    bool renormalize;
    double balance, z;
};

/* v: x (T, D), then the router's weights (N, D). sum of d_weight * weight + balance and z losses. */
static double routed_value(const double *v, const void *context)
{
    const struct routed *c = context;
    const struct routing *r = c->routing;
    int T = r->n_tokens, N = r->n_experts;
    double *logit = malloc((size_t)N * sizeof *logit), *p = malloc((size_t)N * sizeof *p), value = 0.0;
    double weight[8];
    int32_t expert[8];

    for (int t = 0; t < T; t++) {
        int first = r->offset[t], k = r->offset[t + 1] - first;
        naive_linear(v + (size_t)t * (size_t)c->D, v + (size_t)T * (size_t)c->D, logit, 1, c->D, N);
        naive_softmax(logit, p, N);
        naive_topk(p, N, k, c->renormalize, r->expert + first, expert, weight);
        for (int slot = 0; slot < k; slot++)
            value += (double)r->d_weight[first + slot] * weight[slot];
        for (int i = 0; i < N; i++)
            value += c->balance * N * p[i] / T * (double)r->requested[i] / routing_decisions(r);
        double log_sum = naive_cross_entropy(logit, 0, N) + logit[0];
        value += c->z * log_sum * log_sum / T;
    }
    free(logit);
    free(p);
    return value;
}

struct router_errors {
    double forward, backward, losses;
};

/* scale: of the logits. balance and z alone when they are asked for, the language loss's part otherwise. */
static void router_case(struct operations *s, struct router_config config, int T, int D, double scale,
                        struct loss_weights weights, double *forward, double *backward)
{
    struct shelf shelf = {0};
    struct routing r;
    int N = config.n_experts;
    size_t n = (size_t)T * (size_t)D, matrix = (size_t)N * (size_t)D, cells = (size_t)T * (size_t)N;
    float *x = shelf_normal(&shelf, n, 1.0, &s->random), *d_x = shelf_zeros(&shelf, n);
    float *w = shelf_normal(&shelf, matrix, scale / sqrt(D), &s->random);
    struct router router = {
        .ops = router_find("topk"), .config = config, .weight = w, .d_weight = shelf_zeros(&shelf, matrix)};
    const float *const parts[] = {x, w};
    const size_t sizes[] = {n, matrix};
    double *values = joined(&shelf, parts, sizes, 2), *p = shelf_doubles(&shelf, cells);

    assert_int_equal(routing_init(&r, T, N, config.k, NULL), 0);
    struct router_input in = {.x = x, .T = T, .D = D};
    router_route(&router, s->pool, &in, &r);
    naive_linear(values, values + n, p, T, D, N);
    for (int t = 0; t < T; t++)
        naive_softmax(p + (size_t)t * (size_t)N, p + (size_t)t * (size_t)N, N);
    *forward = worse(*forward, largest_error(r.probability, p, cells));
    bool losses = weights.balance > 0.0F || weights.z > 0.0F;
    for (int i = 0; i < routing_decisions(&r); i++)
        r.d_weight[i] = losses || r.dropped[i] ? 0.0F : (float)random_normal(&s->random);
    balance_loss(router.ops, &r, weights.balance);
    z_loss(&r, weights.z);
    router_backward(&router, s->pool, &in, d_x, &r);
    struct routed c = {&r, D, config.renormalize, (double)weights.balance, (double)weights.z};
    struct objective o = {.value = routed_value, .context = &c, .x = values};
    *backward = worse(*backward, gradient_error(&o, 0, n, d_x));
    *backward = worse(*backward, gradient_error(&o, n, matrix, router.d_weight));
    routing_release(&r);
    shelf_clear(&shelf);
}

static void test_router(void **state)
{
    static const struct router_config plain = {.n_experts = 5, .k = 2},
                                      renormalised = {.n_experts = 5, .k = 3, .renormalize = true},
                                      dropping = {
                                          .n_experts = 5, .k = 2, .renormalize = true, .capacity = 0.5F};
    static const struct loss_weights none = {0}, balance = {.balance = 0.7F}, z = {.z = 0.3F};
    struct operations *s = operations_begin(state);
    double forward = 0.0, backward = 0.0, renormalized = 0.0, balanced = 0.0, squared = 0.0;

    router_case(s, plain, 65, 9, 1.0, none, &forward, &backward);
    router_case(s, plain, 1, 3, 1.0, none, &forward, &backward);
    router_case(s, renormalised, 65, 9, 1.0, none, &forward, &renormalized);
    router_case(s, renormalised, 1, 3, 1.0, none, &forward, &renormalized);
    router_case(s, dropping, 65, 9, 1.0, none, &forward, &renormalized);
    router_case(s, plain, 65, 9, 1.0, balance, &forward, &balanced);
    router_case(s, dropping, 65, 9, 1.0, balance, &forward, &balanced);
    router_case(s, plain, 65, 9, 1.0, z, &forward, &squared);
    router_case(s, plain, 3, 9, 40.0, z, &forward, &squared);
    operations_record(s, "router forward", forward, many_roundings);
    operations_record(s, "router backward, raw gates", backward, many_roundings);
    operations_record(s, "router backward, renormalised gates", renormalized, many_roundings);
    operations_record(s, "balance loss backward", balanced, many_roundings);
    operations_record(s, "z-loss backward", squared, many_roundings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_experts_all_dropped),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_router),
    };
    return cmocka_run_group_tests(tests, operations_open, operations_close);
}
