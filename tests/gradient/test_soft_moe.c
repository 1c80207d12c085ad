/* Soft MoE: forward against its double twin, backward against finite differences of that twin; weights that
 * sum to 1; subsets of experts; and the theorem of Chung et al. 2024 by the matrices of its proof. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernels.h"
#include "engine/naive.h"
#include "tests/close.h"
#include "tests/operations.h"

struct shape {
    int B, m, D, N, p, F;
};
static const struct shape shapes[] = {{1, 1, 1, 1, 1, 1},  {3, 4, 5, 2, 1, 3}, {2, 2, 7, 1, 1, 4},
                                      {9, 5, 2, 10, 1, 2}, {4, 3, 6, 3, 2, 5}, {17, 4, 9, 4, 3, 1}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* One layer with inputs and everything that its kernels need. */
struct layer_of {
    struct shelf shelf;
    struct shape shape;
    size_t n_x, n_slots, n_in, n_weights; /* x (B, m, D); slots (S, D), in, out of the layer */
    float *x, *y, *weights, *gradients;
    struct soft_moe soft;
    struct soft_moe_pass pass;
};

static void layer_open(struct layer_of *l, const struct shape *shape, struct random *random)
{
    size_t S = (size_t)shape->N * (size_t)shape->p, D = (size_t)shape->D, F = (size_t)shape->F;

    *l = (struct layer_of){.shape = *shape};
    l->n_x = (size_t)shape->B * (size_t)shape->m * D;
    l->n_slots = S * D;
    l->n_in = (size_t)shape->N * F * D;
    l->n_weights = l->n_slots + 2 * l->n_in;
    l->x = shelf_normal(&l->shelf, l->n_x, 1.0, random);
    l->y = shelf_floats(&l->shelf, l->n_x);
    l->weights = shelf_normal(&l->shelf, l->n_weights, 0.7, random);
    l->gradients = shelf_zeros(&l->shelf, l->n_weights);
    l->soft = (struct soft_moe){.slots = l->weights,
                                .in = l->weights + l->n_slots,
                                .out = l->weights + l->n_slots + l->n_in,
                                .d_slots = l->gradients,
                                .d_in = l->gradients + l->n_slots,
                                .d_out = l->gradients + l->n_slots + l->n_in,
                                .n_experts = shape->N,
                                .slots_per_expert = shape->p,
                                .D = shape->D,
                                .F = shape->F};
    assert_int_equal(soft_moe_pass_init(&l->pass, &l->soft, shape->B, shape->m, NULL), 0);
}

static void layer_close(struct layer_of *l)
{
    soft_moe_pass_release(&l->pass);
    shelf_clear(&l->shelf);
}

/* values: x, then slots, in, out. y: (B, m, D) */
static void exact_outputs(const struct layer_of *l, const double *values, const uint8_t *keep, double *y)
{
    const double *slots = values + l->n_x;
    size_t sample = (size_t)l->shape.m * (size_t)l->shape.D;

    for (int b = 0; b < l->shape.B; b++)
        naive_soft_moe(&l->soft, values + (size_t)b * sample, slots, slots + l->n_slots,
                       slots + l->n_slots + l->n_in, keep ? keep + b * l->shape.N : NULL,
                       y + (size_t)b * sample, l->shape.m, NULL, NULL);
}

struct softened {
    const struct layer_of *layer;
    const float *d_y;
};

static double softened_value(const double *values, const void *context)
{
    const struct softened *c = context;
    double *y = malloc(c->layer->n_x * sizeof *y), value;

    exact_outputs(c->layer, values, NULL, y);
    value = weighted_sum(y, c->d_y, c->layer->n_x);
    free(y);
    return value;
}

static double *all_values(struct layer_of *l)
{
    double *values = shelf_doubles(&l->shelf, l->n_x + l->n_weights);

    for (size_t i = 0; i < l->n_x; i++)
        values[i] = l->x[i];
    for (size_t i = 0; i < l->n_weights; i++)
        values[l->n_x + i] = l->weights[i];
    return values;
}

static void soft_case(struct operations *s, const struct shape *shape, double error[5])
{
    struct layer_of l;

    layer_open(&l, shape, &s->random);
    double *values = all_values(&l), *exact = shelf_doubles(&l.shelf, l.n_x);
    float *d_y = shelf_normal(&l.shelf, l.n_x, 1.0, &s->random), *d_x = shelf_zeros(&l.shelf, l.n_x);
    struct softened c = {&l, d_y};
    struct objective o = {.value = softened_value, .context = &c, .x = values};

    soft_moe_weigh(s->pool, &l.soft, l.x, &l.pass, shape->B);
    soft_moe_apply(s->pool, &l.soft, l.x, NULL, l.y, &l.pass, shape->B);
    exact_outputs(&l, values, NULL, exact);
    error[0] = worse(error[0], largest_error(l.y, exact, l.n_x));
    soft_moe_backward(s->pool, &l.soft, l.x, d_y, d_x, &l.pass, shape->B);
    error[1] = worse(error[1], gradient_error(&o, 0, l.n_x, d_x));
    error[3] = worse(error[3], gradient_error(&o, l.n_x + l.n_slots, l.n_in, l.soft.d_in));
    error[4] = worse(error[4], gradient_error(&o, l.n_x + l.n_slots + l.n_in, l.n_in, l.soft.d_out));
    if (shape->m > 1) /* a lone token in a lone slot weighs 1 whatever the slot is: there is no gradient */
        error[2] = worse(error[2], gradient_error(&o, l.n_x, l.n_slots, l.soft.d_slots));
    layer_close(&l);
}

static void test_soft_moe(void **state)
{
    static const char *const names[] = {"soft MoE", "soft MoE, input gradient", "soft MoE, slot gradient",
                                        "soft MoE, in gradient", "soft MoE, out gradient"};
    struct operations *s = operations_begin(state);
    double error[5] = {0};

    for (int i = 0; i < N_SHAPES; i++)
        soft_case(s, &shapes[i], error);
    for (int i = 0; i < 5; i++)
        operations_record(s, names[i], error[i], many_roundings);
}

static void test_weights_sum_to_one(void **state)
{
    struct operations *s = operations_begin(state);

    for (int i = 0; i < N_SHAPES; i++) {
        const struct shape *shape = &shapes[i];
        struct layer_of l;
        layer_open(&l, shape, &s->random);
        soft_moe_weigh(s->pool, &l.soft, l.x, &l.pass, shape->B);
        int S = shape->N * shape->p;
        for (int row = 0; row < shape->B * shape->m; row++) {
            double sum = 0.0;
            for (int slot = 0; slot < S; slot++)
                sum += l.pass.combine[row * S + slot];
            assert_true(fabs(sum - 1.0) < 1e-6);
        }
        for (int row = 0; row < shape->B * S; row++) {
            double sum = 0.0;
            for (int token = 0; token < shape->m; token++)
                sum += l.pass.dispatch[row * shape->m + token];
            assert_true(fabs(sum - 1.0) < 1e-6);
        }
        layer_close(&l);
    }
}

/* ---- subsets of experts ---- */

static void test_subset(void **state)
{
    struct operations *s = operations_begin(state);
    const struct shape shape = {6, 3, 5, 4, 2, 3};
    struct layer_of l;
    uint8_t keep[6 * 4];
    double error = 0.0;

    layer_open(&l, &shape, &s->random);
    double *values = all_values(&l), *exact = shelf_doubles(&l.shelf, l.n_x);
    for (int i = 0; i < 24; i++)
        keep[i] = random_below(&s->random, 2) > 0;
    memset(keep, 0, 4); /* one sample without any */
    soft_moe_weigh(s->pool, &l.soft, l.x, &l.pass, shape.B);
    soft_moe_apply(s->pool, &l.soft, l.x, keep, l.y, &l.pass, shape.B);
    exact_outputs(&l, values, keep, exact);
    error = largest_error(l.y, exact, l.n_x);
    operations_record(s, "soft MoE, some experts", error, many_roundings);
    for (int i = 0; i < shape.m * shape.D; i++)
        assert_true(l.y[i] == 0.0F);
    /* rows are numbered by expert: none for what is left out */
    int kept = 0;
    for (int i = 0; i < 24; i++)
        kept += keep[i];
    assert_int_equal(l.pass.first[4], 2 * kept);
    layer_close(&l);
}

/* What zeroing the rows of left out slots makes of the whole layer's outputs. */
static void zeroed_outputs(const struct layer_of *l, const uint8_t *keep, double *y)
{
    int p = l->shape.p, S = l->shape.N * p, m = l->shape.m, D = l->shape.D;

    memset(y, 0, l->n_x * sizeof *y);
    for (int t = 0; t < l->shape.B * m; t++) {
        int b = t / m;
        for (int s = 0; s < S; s++) {
            int expert = s / p;
            for (int i = 0; i < D && keep[b * l->shape.N + expert]; i++)
                y[t * D + i] +=
                    (double)l->pass.combine[t * S + s] * (double)l->pass.slot_output[(b * S + s) * D + i];
        }
    }
}

/* One subset for all samples: it gives what zeroed slots give, and without a look at the other experts. */
static void subset_case(struct operations *s, const struct shape *shape, double *error)
{
    struct layer_of l;
    uint8_t keep[17 * 10];
    size_t expert = (size_t)shape->F * (size_t)shape->D;

    layer_open(&l, shape, &s->random);
    double *zeroed = shelf_doubles(&l.shelf, l.n_x);
    float *unread = shelf_floats(&l.shelf, l.n_x);
    for (int i = 0; i < shape->B * shape->N; i++)
        keep[i] = i % shape->N % 2 == 0;
    soft_moe_weigh(s->pool, &l.soft, l.x, &l.pass, shape->B);
    soft_moe_apply(s->pool, &l.soft, l.x, NULL, l.y, &l.pass, shape->B);
    zeroed_outputs(&l, keep, zeroed);
    soft_moe_apply(s->pool, &l.soft, l.x, keep, l.y, &l.pass, shape->B);
    *error = worse(*error, largest_error(l.y, zeroed, l.n_x));
    for (int e = 1; e < shape->N; e += 2) {
        for (size_t i = 0; i < expert; i++) {
            l.weights[l.n_slots + (size_t)e * expert + i] = NAN;
            l.weights[l.n_slots + l.n_in + (size_t)e * expert + i] = NAN;
        }
    }
    soft_moe_apply(s->pool, &l.soft, l.x, keep, unread, &l.pass, shape->B);
    assert_memory_equal(unread, l.y, l.n_x * sizeof *unread);
    layer_close(&l);
}

static void test_subset_is_zeroed_slots(void **state)
{
    struct operations *s = operations_begin(state);
    double error = 0.0;

    for (int i = 0; i < N_SHAPES; i++)
        subset_case(s, &shapes[i], &error);
    operations_record(s, "soft MoE, zeroed slots", error, few_roundings);
}

/* Two tokens, three experts of two slots: sums .7, .8, .5 (by hand). */
static void test_likeliest(void **state)
{
    const float combine[] = {0.1F, 0.2F, 0.2F, 0.3F, 0.15F, 0.05F, /* second token */
                             0.3F, 0.1F, 0.1F, 0.2F, 0.15F, 0.15F};
    uint8_t keep[3];

    (void)state;
    soft_moe_likeliest(combine, 2, 3, 2, 1, keep);
    assert_memory_equal(keep, ((uint8_t[]){0, 1, 0}), 3);
    soft_moe_likeliest(combine, 2, 3, 2, 2, keep);
    assert_memory_equal(keep, ((uint8_t[]){1, 1, 0}), 3);
    soft_moe_likeliest(combine, 2, 3, 2, 3, keep);
    assert_memory_equal(keep, ((uint8_t[]){1, 1, 1}), 3);
    soft_moe_likeliest(combine, 2, 3, 2, 0, keep);
    assert_memory_equal(keep, ((uint8_t[]){0, 0, 0}), 3);
}

/* ---- the theorem ---- */

enum { THEOREM_TOKENS = 5, THEOREM_WIDTH = 2 };

/* Outputs (m, D) of one expert for a matrix whose first column begins with first, second and is 0 otherwise;
 * Phi = (phi, 0). Returns what goes into the slot: D(X)' X, first entry.
 * norm: of the matrix (Frobenius). */
static double one_expert(struct operations *s, double phi, double first, double second, float *y,
                         double *norm)
{
    const struct shape shape = {1, THEOREM_TOKENS, THEOREM_WIDTH, 1, 1, 3};
    struct layer_of l;
    double slot;

    random_seed(&s->random, 5, 0); /* the same expert in every call */
    layer_open(&l, &shape, &s->random);
    memset(l.x, 0, l.n_x * sizeof *l.x);
    l.x[0] = (float)first;
    l.x[THEOREM_WIDTH] = (float)second;
    l.weights[0] = (float)phi;
    l.weights[1] = 0.0F;
    *norm = sqrt(sum_of_squares(s->pool, l.x, l.n_x));
    soft_moe_weigh(s->pool, &l.soft, l.x, &l.pass, 1);
    soft_moe_apply(s->pool, &l.soft, l.x, NULL, y, &l.pass, 1);
    slot = l.pass.x[0];
    layer_close(&l);
    return slot;
}

static double outputs_apart(const float *a, const float *b)
{
    double most = 0.0;

    for (int i = 0; i < THEOREM_TOKENS * THEOREM_WIDTH; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* Theorem 1: with one expert, two inputs whose norms drift apart as (sqrt 2 - 1) a end in the same slot
 * input, and so in the same output, for any expert and any head. */
static void test_theorem(void **state)
{
    struct operations *s = operations_begin(state);
    float a_out[THEOREM_TOKENS * THEOREM_WIDTH], b_out[THEOREM_TOKENS * THEOREM_WIDTH];
    double before = INFINITY, norm_a, norm_b;

    print_message("     a   norms apart   slot inputs apart   outputs apart\n");
    for (double a = 2.0; a <= 16.0; a *= 2.0) {
        double slot_a = one_expert(s, 1.0, a, -a, a_out, &norm_a);
        double slot_b = one_expert(s, 1.0, a, 0.0, b_out, &norm_b);
        double gap = norm_a - norm_b, apart = fabs(slot_a - slot_b), out = outputs_apart(a_out, b_out);
        print_message("%6.0f %13.4f %19.2e %15.2e\n", a, gap, apart, out);
        assert_true(apart < before && apart < a * (THEOREM_TOKENS + 1) * exp(-a) + 1e-6);
        assert_close(gap, (sqrt(2.0) - 1.0) * a, 1e-5 * a); /* grows as a does */
        before = apart;
        if (a == 16.0)
            assert_true(out < 1e-5 && gap > 6.6);
    }
    /* Phi = 0: every token weighs the same, so a alone is a / 2 twice */
    for (double a = 1.0; a <= 1024.0; a *= 4.0) {
        double slot_a = one_expert(s, 0.0, a / 2.0, a / 2.0, a_out, &norm_a);
        double slot_b = one_expert(s, 0.0, a, 0.0, b_out, &norm_b);
        assert_close(norm_b - norm_a, (1.0 - sqrt(0.5)) * a, 1e-5 * a);
        assert_true(fabs(slot_a - slot_b) <= 1e-6 * a);
        assert_true(outputs_apart(a_out, b_out) <= 1e-5 * a);
    }
}

/* Two experts tell the two inputs apart: what makes the theorem one about a single expert. */
static void test_two_experts_tell_apart(void **state)
{
    struct operations *s = operations_begin(state);
    const struct shape shape = {1, 2, 1, 2, 1, 2};
    float y[2][2];

    for (int i = 0; i < 2; i++) {
        struct layer_of l;
        layer_open(&l, &shape, &s->random);
        const float weights[] = {1, -1, /* in: max(x, 0) and max(-x, 0) of each */ 1, -1, 1, -1, 1, 1, 1, 1};
        memcpy(l.weights, weights, sizeof weights);
        l.x[0] = 16.0F;
        l.x[1] = i ? 0.0F : -16.0F;
        soft_moe_weigh(s->pool, &l.soft, l.x, &l.pass, 1);
        soft_moe_apply(s->pool, &l.soft, l.x, NULL, y[i], &l.pass, 1);
        layer_close(&l);
    }
    /* with -16 there, the second expert sees it: |-16|; without, a mean near 0 */
    assert_true(fabs((double)y[0][1] - (double)y[1][1]) > 5.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_soft_moe),
        cmocka_unit_test(test_weights_sum_to_one),
        cmocka_unit_test(test_subset),
        cmocka_unit_test(test_likeliest),
        cmocka_unit_test(test_subset_is_zeroed_slots),
        cmocka_unit_test(test_theorem),
        cmocka_unit_test(test_two_experts_tell_apart),
    };

    return cmocka_run_group_tests(tests, operations_open, operations_close);
}
