/* Networks: every kind of node, alone and together, forward against the double twin and backward against its
 * finite differences; what is refused; copies; costs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/naive.h"
#include "engine/network.h"
#include "tests/operations.h"

enum { B = 5 };

/* ---- what the networks are ---- */

static const struct extent image = {6, 8, 3}, tokens = {4, 1, 6};

static void describe_linear(struct network *n)
{
    network_linear(n, network_input(n, image), "a", 4);
}

static void describe_convolution(struct network *n)
{
    int x = network_convolution(n, network_input(n, image), "a", 4, 3, 1);

    network_convolution(n, network_relu(n, x), "b", 2, 5, 2);
}

static void describe_pools(struct network *n)
{
    int x = network_convolution(n, network_input(n, (struct extent){7, 9, 2}), "a", 3, 3, 1);

    network_mean(n, network_max_pool(n, x, 2));
}

/* Of 7 x 9 positions 3 x 4 windows are pooled, and the rest left out. */
static void describe_stages(struct network *n)
{
    int x = network_convolution_stage(n, network_input(n, (struct extent){7, 9, 2}), "a", 17, 3, 2);

    network_convolution_stage(n, x, "b", 3, 3, 1);
}

/* A residual block that narrows, as in He et al. 2016. */
static void describe_residual(struct network *n)
{
    int x = network_convolution(n, network_input(n, image), "stem", 4, 3, 1);
    int y = network_relu(n, network_norm(n, network_convolution(n, x, "in", 4, 3, 2), "norm"));
    int z =
        network_sum(n, network_convolution(n, y, "out", 4, 3, 1), network_convolution(n, x, "skip", 4, 1, 2));

    network_linear(n, network_mean(n, network_relu(n, z)), "head", 10);
}

/* One node serves twice: its gradient is the sum of both. */
static void describe_shared(struct network *n)
{
    int x = network_linear(n, network_input(n, tokens), "a", 6),
        y = network_linear(n, network_relu(n, x), "b", 6);

    network_sum(n, network_sum(n, x, y), network_input(n, tokens));
}

static void describe_patches(struct network *n)
{
    int x = network_patches(n, network_input(n, image), 2);
    int y = network_soft_moe(n, network_linear(n, x, "embed", 5), "moe", 3, 2, 4);

    network_linear(n, network_reshape(n, y, (struct extent){1, 1, 12 * 5}), "head", 3);
}

static void describe_soft_moe(struct network *n)
{
    int x = network_norm(n, network_input(n, tokens), "norm");

    int y = network_sum(n, network_soft_moe(n, x, "moe", 4, 1, 3), x);

    network_linear(n, network_total(n, y), "head", 3);
}

/* Normal numbers: of a table of three all rows are met, the last for what is beyond it. */
static void describe_embed(struct network *n)
{
    int x = network_embed(n, network_input(n, (struct extent){40, 1, 1}), "table", 3, 4);

    network_mean(n, network_relu(n, x));
}

static const struct {
    const char *name;
    void (*describe)(struct network *n);
} kinds[] = {
    {"linear", describe_linear},   {"convolutions", describe_convolution}, {"pools", describe_pools},
    {"stages", describe_stages},   {"residual", describe_residual},        {"shared node", describe_shared},
    {"patches", describe_patches}, {"soft MoE", describe_soft_moe},        {"embed", describe_embed},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* ---- a network with inputs ---- */

struct fixture {
    struct shelf shelf;
    struct network n;
    int inputs[2], n_inputs;
    size_t out; /* of a sample */
    float *d_y; /* (B, out) */
    double *weights;
};

static void open_network(struct fixture *f, struct operations *s, void (*describe)(struct network *n))
{
    *f = (struct fixture){0};
    describe(&f->n);
    assert_int_equal(network_build(&f->n, B, s->pool, NULL), 0);
    parameters_seed(&f->n.parameters, 3);
    for (int i = 0; i < f->n.parameters.n; i++) { /* biases and gains that are not all alike */
        const struct parameter *p = &f->n.parameters.items[i];
        for (size_t j = 0; j < p->count && p->n_dimensions == 1; j++)
            f->n.parameters.values[p->offset + j] += 0.3F * (float)random_normal(&s->random);
    }
    for (int i = 0; i < f->n.n; i++) {
        struct node *node = &f->n.nodes[i];
        for (size_t j = 0; j < B * extent_size(node->extent) && !node->operation; j++)
            node->value[j] = (float)random_normal(&s->random);
        if (!node->operation)
            f->inputs[f->n_inputs++] = i;
    }
    f->out = extent_size(f->n.nodes[f->n.n - 1].extent);
    f->d_y = shelf_normal(&f->shelf, B * f->out, 1.0, &s->random);
    f->weights = shelf_widened(&f->shelf, f->n.parameters.values, f->n.parameters.n_weights);
}

static void close_network(struct fixture *f)
{
    network_release(&f->n);
    shelf_clear(&f->shelf);
}

static void exact_outputs(const struct fixture *f, const double *weights, double *y)
{
    for (int b = 0; b < B; b++) {
        double *inputs[2] = {0};
        for (int i = 0; i < f->n_inputs; i++) {
            const struct node *node = &f->n.nodes[f->inputs[i]];
            size_t size = extent_size(node->extent);
            inputs[i] = malloc(size * sizeof *inputs[i]);
            for (size_t j = 0; j < size; j++)
                inputs[i][j] = node->value[(size_t)b * size + j];
        }
        naive_network(&f->n, weights, (const double *const *)inputs, y + (size_t)b * f->out);
        free(inputs[0]);
        free(inputs[1]);
    }
}

static double objective_value(const double *weights, const void *context)
{
    const struct fixture *f = context;
    double *y = malloc(B * f->out * sizeof *y), value;

    exact_outputs(f, weights, y);
    value = weighted_sum(y, f->d_y, B * f->out);
    free(y);
    return value;
}

static double forward_error(struct fixture *f)
{
    double *exact = shelf_doubles(&f->shelf, B * f->out);

    network_forward(&f->n, B);
    exact_outputs(f, f->weights, exact);
    return largest_error(f->n.nodes[f->n.n - 1].value, exact, B * f->out);
}

static double weight_gradient_error(struct fixture *f)
{
    struct objective o = {.value = objective_value, .context = f, .x = f->weights};
    const struct parameters *p = &f->n.parameters;
    double error = 0.0;

    memcpy(f->n.nodes[f->n.n - 1].gradient, f->d_y, B * f->out * sizeof *f->d_y);
    network_backward(&f->n, B);
    for (int i = 0; i < p->n; i++)
        error = worse(error, gradient_error(&o, p->items[i].offset, p->items[i].count,
                                            p->gradients + p->items[i].offset));
    return error;
}

static void test_gradients(void **state)
{
    struct operations *s = operations_begin(state);
    static char names[2 * N_KINDS][48];

    for (int i = 0; i < N_KINDS; i++) {
        struct fixture f;
        open_network(&f, s, kinds[i].describe);
        snprintf(names[2 * i], sizeof names[0], "network, %s", kinds[i].name);
        snprintf(names[2 * i + 1], sizeof names[0], "network, %s, gradients", kinds[i].name);
        operations_record(s, names[2 * i], forward_error(&f), many_roundings);
        operations_record(s, names[2 * i + 1], weight_gradient_error(&f), many_roundings);
        close_network(&f);
    }
}

/* Gradients add up over passes, and a batch that is smaller than the last one leaves nothing of it behind. */
static void test_passes_add_up(void **state)
{
    struct operations *s = operations_begin(state);
    struct fixture f;

    open_network(&f, s, describe_residual);
    size_t n = f.n.parameters.n_weights;
    for (int pass = 0; pass < 2; pass++) {
        int samples = pass ? 2 : B; /* the second pass: the first two samples again */
        network_forward(&f.n, samples);
        memcpy(f.n.nodes[f.n.n - 1].gradient, f.d_y, (size_t)samples * f.out * sizeof *f.d_y);
        network_backward(&f.n, samples);
    }
    float *twice = shelf_copy(&f.shelf, f.n.parameters.gradients, n), *sum = shelf_zeros(&f.shelf, n);
    for (int pass = 0; pass < 2; pass++) {
        memset(f.n.parameters.gradients, 0, n * sizeof(float));
        network_forward(&f.n, pass ? 2 : B);
        memcpy(f.n.nodes[f.n.n - 1].gradient, f.d_y, (size_t)(pass ? 2 : B) * f.out * sizeof *f.d_y);
        network_backward(&f.n, pass ? 2 : B);
        for (size_t i = 0; i < n; i++)
            sum[i] += f.n.parameters.gradients[i];
    }
    double *exact = shelf_widened(&f.shelf, sum, n);
    assert_true(largest_error(twice, exact, n) < few_roundings);
    close_network(&f);
}

/* ---- losses ---- */

static void test_losses(void **state)
{
    struct operations *s = operations_begin(state);
    const int32_t target[B] = {0, 3, 1, 2, 3};
    struct fixture f;
    float loss[B];

    open_network(&f, s, describe_residual);
    struct node *last = &f.n.nodes[f.n.n - 1];
    network_forward(&f.n, B);
    network_cross_entropy(&f.n, target, B, 0.5F, loss);
    for (int b = 0; b < B; b++) {
        double row[10], sum = 0.0;
        for (int c = 0; c < 10; c++) {
            row[c] = last->value[b * 10 + c];
            sum += last->gradient[b * 10 + c];
        }
        assert_true(fabs(naive_cross_entropy(row, target[b], 10) - (double)loss[b]) < 1e-5);
        assert_true(fabs(sum) < 1e-6);
        assert_true(last->gradient[b * 10 + target[b]] < 0.0F);
    }
    float *wanted = shelf_zeros(&f.shelf, B * 10);
    for (int i = 0; i < B * 10; i++)
        wanted[i] = last->value[i];
    wanted[7] += 3.0F;
    wanted[8] -= 1.0F;
    network_squared_error(&f.n, wanted, B, 0.25F, loss);
    assert_true(fabs((double)loss[0] - 10.0) < 1e-5 && loss[1] == 0.0F);
    assert_true(fabs((double)last->gradient[7] + 1.5) < 1e-5 && fabs((double)last->gradient[8] - 0.5) < 1e-5);
    close_network(&f);
}

/* ---- what is told and refused ---- */

static void refused(struct network *n, struct operations *s, const char *expected)
{
    struct error err;

    assert_int_equal(network_build(n, B, s->pool, &err), -1);
    assert_non_null(strstr(err.text, expected));
    network_release(n);
}

static void test_refused(void **state)
{
    struct operations *s = operations_begin(state);
    struct network n = {0};
    int x = network_input(&n, image);

    network_relu(&n, network_sum(&n, x, network_linear(&n, x, "a", 5)));
    refused(&n, s, "node 2, sum: a sum of (6, 8, 3) and (6, 8, 5)");
    network_convolution(&n, network_input(&n, image), "a", 3, 4, 1);
    refused(&n, s, "a kernel of 4, stride 1");
    network_patches(&n, network_input(&n, image), 4);
    refused(&n, s, "patches of 4 x 4 do not cover 6 x 8");
    network_reshape(&n, network_input(&n, image), (struct extent){1, 1, 143});
    refused(&n, s, "(1, 1, 143) does not hold the values of (6, 8, 3)");
    network_max_pool(&n, network_input(&n, image), 7);
    refused(&n, s, "a window of 7 x 7 does not fit into 6 x 8");
    network_max_pool(&n, network_input(&n, image), 0);
    refused(&n, s, "a window of 0 x 0");
    network_patches(&n, network_input(&n, image), 0);
    refused(&n, s, "patches of 0 x 0");
    network_soft_moe(&n, network_input(&n, tokens), "moe", 0, 1, 3);
    refused(&n, s, "0 experts of 1 slots and 3 hidden");
    for (int i = 0, at = network_input(&n, tokens); i < MAX_NODES; i++)
        at = network_relu(&n, at);
    refused(&n, s, "more than 1024 nodes");
}

/* By hand: 48 positions of 3 to 4 channels; 3 x 3 x 3 to 4; 12 tokens of 12 to 5; a soft MoE of 6 slots. */
static void test_costs(void **state)
{
    struct network n = {0};

    (void)state;
    describe_residual(&n);
    assert_true(network_multiply_adds(&n, -1, 1) == 48.0 * 27 * 4);
    assert_true(network_multiply_adds(&n, 1, n.n) == 12.0 * 36 * 4 + 12.0 * 36 * 4 + 12.0 * 4 * 4 + 4.0 * 10);
    network_release(&n);
    describe_patches(&n);
    assert_true(network_multiply_adds(&n, -1, n.n) ==
                12.0 * 12 * 5 + 3.0 * 12 * 5 * 6 + 6.0 * 2 * 5 * 4 + 60.0 * 3);
    network_release(&n);
}

static void test_copy(void **state)
{
    struct operations *s = operations_begin(state);
    struct fixture from, to;
    struct network other = {0};
    struct error err;

    open_network(&from, s, describe_residual);
    open_network(&to, s, describe_residual);
    memset(to.n.parameters.values, 0, to.n.parameters.n_weights * sizeof(float));
    assert_int_equal(network_copy(&to.n, "", &from.n, NULL), to.n.parameters.n);
    assert_memory_equal(to.n.parameters.values, from.n.parameters.values,
                        to.n.parameters.n_weights * sizeof(float));
    network_linear(&other, network_input(&other, tokens), "head", 3);
    assert_int_equal(network_build(&other, 1, s->pool, NULL), 0);
    assert_int_equal(network_copy(&other, "", &from.n, &err), -1);
    assert_non_null(strstr(err.text, "'head.weight' has different shapes"));
    network_release(&other);
    close_network(&from);
    close_network(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients), cmocka_unit_test(test_passes_add_up), cmocka_unit_test(test_losses),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_costs),         cmocka_unit_test(test_copy),
    };

    return cmocka_run_group_tests(tests, operations_open, operations_close);
}
