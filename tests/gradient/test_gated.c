/* Networks with gates: outputs against the double twin and gradients against its finite differences, the
 * gates' own losses included, choices held fixed; what is refused; costs by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/gated.h"
#include "engine/naive.h"
#include "engine/summary.h"
#include "tests/operations.h"

enum { B = 7, MOST_EXPERTS = 4 };
static const struct extent image = {6, 4, 2};

struct fixture {
    struct shelf shelf;
    struct network n;
    struct gated g;
    size_t in, out; /* of a sample */
    float *d_y;     /* (B, out) */
    double *weights;
};

/* ---- what the networks are ---- */

static int describe_map(struct network *n, const void *context, int number, int entry)
{
    char name[32];

    (void)context;
    snprintf(name, sizeof name, "experts.%d.map", number);
    return network_max_pool(n, network_relu(n, network_convolution(n, entry, name, 3, 3, 1)), 2);
}

static int describe_head(struct network *n, const void *context, int number, int entry)
{
    struct extent e = network_extent(n, entry);
    char name[32];

    snprintf(name, sizeof name, "experts.%d.head", number);
    return network_linear(n, network_reshape(n, entry, (struct extent){1, 1, (int)extent_size(e)}), name,
                          *(const int *)context);
}

static struct router_config routing(int n_experts, int k, float capacity)
{
    return (struct router_config){.n_experts = n_experts, .k = k, .capacity = capacity};
}

static int add(struct fixture *f, int from, struct router_config config, describe_expert *describe)
{
    static const int classes = 5;

    return gated_add(&f->g, &f->n, from, router_find("topk"), &config, describe, &classes);
}

static int stem(struct fixture *f)
{
    return network_relu(&f->n, network_convolution(&f->n, network_input(&f->n, image), "stem", 4, 3, 1));
}

/* A gate to the end. */
static void describe_single(struct fixture *f)
{
    add(f, stem(f), routing(4, 1, 0.0F), describe_head);
}

/* A gate for each of two stages; the second takes what the first leaves. */
static void describe_multi(struct fixture *f)
{
    add(f, add(f, stem(f), routing(3, 1, 0.0F), describe_map), routing(4, 1, 0.0F), describe_head);
}

/* Two experts a sample, some refused; nodes between the blocks and behind them; the first takes the image. */
static void describe_mixed(struct fixture *f)
{
    int x = add(f, network_input(&f->n, image), routing(3, 2, 0.8F), describe_map);
    int y = add(f, network_relu(&f->n, network_linear(&f->n, x, "between", 4)), routing(4, 2, 0.0F),
                describe_head);

    network_linear(&f->n, y, "behind", 3);
}

static void describe_ungated(struct fixture *f)
{
    network_linear(&f->n, network_mean(&f->n, stem(f)), "head", 3);
}

static const struct {
    const char *name;
    void (*describe)(struct fixture *f);
} kinds[] = {{"one gate", describe_single},
             {"a gate each", describe_multi},
             {"two experts", describe_mixed},
             {"no gate", describe_ungated}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* ---- one of them ---- */

static void open_network(struct fixture *f, struct operations *s, void (*describe)(struct fixture *f))
{
    *f = (struct fixture){0};
    describe(f);
    if (f->g.n_blocks == 0)
        f->g.network = &f->n;
    assert_int_equal(network_build(&f->n, B, s->pool, NULL), 0);
    assert_int_equal(gated_build(&f->g, NULL), 0);
    f->g.weights = (struct loss_weights){.balance = 0.7F, .z = 0.3F, .entropy = 0.4F};
    parameters_seed(&f->n.parameters, 3);
    for (size_t i = 0; i < f->n.parameters.n_values; i++) /* gates that have made up their minds, biases */
        f->n.parameters.values[i] += 0.3F * (float)random_normal(&s->random);
    f->in = extent_size(image);
    f->out = extent_size(f->n.nodes[f->n.n - 1].extent);
    for (size_t i = 0; i < B * f->in; i++)
        f->n.nodes[0].value[i] = (float)random_normal(&s->random);
    f->d_y = shelf_normal(&f->shelf, B * f->out, 1.0, &s->random);
    f->weights = shelf_widened(&f->shelf, f->n.parameters.values, f->n.parameters.n_weights);
}

static void close_network(struct fixture *f)
{
    gated_release(&f->g);
    network_release(&f->n);
    shelf_clear(&f->shelf);
}

struct exact {
    double y[B * 8], logits[B][MOST_GATES * MOST_EXPERTS];
};

static void exact_outputs(const struct fixture *f, const double *weights, struct exact *e)
{
    for (int b = 0; b < B; b++) {
        double input[64];
        for (size_t i = 0; i < f->in; i++)
            input[i] = f->n.nodes[0].value[(size_t)b * f->in + i];
        naive_gated(&f->g, weights, input, b, e->y + (size_t)b * f->out, e->logits[b]);
    }
}

/* N sum f P, the mean squared log-sum-exp, the mean entropy. */
static double block_losses(const struct fixture *f, const struct gated_block *block, int first,
                           const struct exact *e)
{
    const struct routing *r = &block->routing;
    int N = r->n_experts;
    double balance = 0.0, z = 0.0, entropy = 0.0, p[MOST_EXPERTS];

    for (int b = 0; b < B; b++) {
        const double *logits = e->logits[b] + first;
        double sum = 0.0;
        naive_softmax(logits, p, N);
        for (int i = 0; i < N; i++) {
            balance += N * ((double)r->requested[i] / routing_decisions(r)) * p[i] / B;
            entropy -= p[i] * log(p[i]) / B;
            sum += exp(logits[i]);
        }
        z += log(sum) * log(sum) / B;
    }
    return (double)f->g.weights.balance * balance + (double)f->g.weights.z * z +
           (double)f->g.weights.entropy * entropy;
}

static double objective_value(const double *weights, const void *context)
{
    const struct fixture *f = context;
    struct exact e;
    int first = 0;

    exact_outputs(f, weights, &e);
    double value = weighted_sum(e.y, f->d_y, B * f->out);
    for (int i = 0; i < f->g.n_blocks; i++) {
        value += block_losses(f, &f->g.block[i], first, &e);
        first += f->g.block[i].routing.n_experts;
    }
    return value;
}

static double gradients_error(struct fixture *f)
{
    /* terms: of an expert that nobody chose all gradients are 0 */
    struct objective o = {.value = objective_value, .context = f, .x = f->weights, .terms = 0.01};
    const struct parameters *p = &f->n.parameters;
    double error = 0.0;

    memcpy(f->n.nodes[f->n.n - 1].gradient, f->d_y, B * f->out * sizeof *f->d_y);
    gated_backward(&f->g, B);
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
        struct exact e;
        open_network(&f, s, kinds[i].describe);
        gated_forward(&f.g, B, 1.0F);
        exact_outputs(&f, f.weights, &e);
        snprintf(names[2 * i], sizeof names[0], "gated, %s", kinds[i].name);
        snprintf(names[2 * i + 1], sizeof names[0], "gated, %s, gradients", kinds[i].name);
        operations_record(s, names[2 * i], largest_error(f.n.nodes[f.n.n - 1].value, e.y, B * f.out),
                          many_roundings);
        operations_record(s, names[2 * i + 1], gradients_error(&f), many_roundings);
        close_network(&f);
    }
}

/* Samples differ in where they go, some are refused, and a second pass adds the same gradients again. */
static void test_passes(void **state)
{
    struct operations *s = operations_begin(state);
    struct fixture f;

    open_network(&f, s, describe_mixed);
    size_t n = f.n.parameters.n_weights;
    float *once = NULL;
    for (int pass = 0; pass < 2; pass++) {
        struct losses l = gated_forward(&f.g, B, 1.0F);
        assert_true(l.balance > 0.5 && l.z > 0.0 && l.entropy > 0.0 && l.entropy < log(4));
        memcpy(f.n.nodes[f.n.n - 1].gradient, f.d_y, B * f.out * sizeof *f.d_y);
        gated_backward(&f.g, B);
        once = pass ? once : shelf_copy(&f.shelf, f.n.parameters.gradients, n);
    }
    assert_true(doubling_error(once, f.n.parameters.gradients, n) < few_roundings);
    const struct routing *r = &f.g.block[0].routing;
    assert_int_equal(routing_decisions(r), 2 * B);
    assert_true(r->n_dropped > 0);
    assert_true(r->expert[0] != r->expert[2] || r->expert[0] != r->expert[4] || r->expert[0] != r->expert[6]);
    close_network(&f);
}

/* By hand: 24 positions, 3 x 3 x 2 to 4 in the stem; gates of 4; experts of 24 x 36 to 3, and of 18 to 5. */
static void test_costs(void **state)
{
    struct operations *s = operations_begin(state);
    struct fixture f;
    struct summary m = {.active_parameters = 1000};

    open_network(&f, s, describe_multi);
    gated_forward(&f.g, B, 0.0F);
    double cost = 24.0 * 18 * 4 + 3 * 4 + 24.0 * 36 * 3 + 4 * 3 + 18 * 5;
    assert_true(gated_usual_multiply_adds(&f.g) == cost && gated_multiply_adds(&f.g, B - 1) == cost);
    gated_summarise(&f.g, &m);
    assert_int_equal(m.n_layers, 2);
    assert_int_equal(m.layers[1].n_experts, 4);
    assert_int_equal(m.layers[0].expert_parameters, 36 * 3 + 3);
    assert_true(m.active_parameters == 1000 - 2 * 111 - 3 * (18 * 5 + 5));
    close_network(&f);
}

static int describe_nothing(struct network *n, const void *context, int number, int entry)
{
    (void)context;
    return network_max_pool(n, entry, number + 9);
}

static void refused(struct fixture *f, struct operations *s, const char *expected)
{
    struct error err;

    assert_int_equal(network_build(&f->n, B, s->pool, &err), -1);
    if (!strstr(err.text, expected))
        fail_msg("%s instead of %s", err.text, expected);
    gated_release(&f->g);
    network_release(&f->n);
}

static void test_refused(void **state)
{
    struct operations *s = operations_begin(state);
    struct fixture f = {0};

    add(&f, stem(&f), routing(3, 4, 0.0F), describe_head);
    refused(&f, s, "router.k is 4 but there are 3 experts");
    network_relu(&f.n, add(&f, stem(&f), routing(3, 1, 0.0F), describe_nothing));
    refused(&f, s, "a window of 9 x 9 does not fit into 6 x 4");
    for (int i = 0, at = stem(&f); i <= MOST_GATES; i++)
        at = add(&f, at, routing(1, 1, 0.0F), describe_head);
    refused(&f, s, "more than 16 gates");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, operations_open, operations_close);
}
