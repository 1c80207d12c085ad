/* engine/optimiser.h and engine/parameters.h: one table of parameters, initial values, updates by hand. */
#include "engine/optimiser.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"

struct fixture {
    struct parameters parameters;
    struct pool *pool;
    const float *matrix, *bias, *state;
    float *d_matrix, *d_bias;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    *state = f;
    assert_int_equal(pool_open(&f->pool, 1, NULL), 0);
    struct parameter *p =
        parameters_add(&f->parameters, "matrix", &f->matrix, &f->d_matrix, 2, (const int[]){3, 5});
    p->deviation = 2.0F;
    p->decay = true;
    parameters_add(&f->parameters, "bias", &f->bias, &f->d_bias, 1, (const int[]){17})->mean = 1.5F;
    parameters_add(&f->parameters, "state", &f->state, NULL, 1, (const int[]){4});
    return parameters_allocate(&f->parameters, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    parameters_release(&f->parameters);
    pool_close(f->pool);
    free(f);
    return 0;
}

/* Each tensor on a line of 16 floats of its own; states behind. */
static void test_layout(void **state)
{
    struct fixture *f = *state;
    const struct parameters *p = &f->parameters;

    assert_int_equal(p->n, 3);
    assert_true(p->items[0].count == 15 && p->items[0].offset == 0);
    assert_true(p->items[1].count == 17 && p->items[1].offset == 16);
    assert_true(p->items[2].count == 4 && p->items[2].offset == 48 && !p->items[2].trained);
    assert_true(p->n_weights == 48 && p->n_values == 64);
    assert_true(f->bias == p->values + 16 && f->d_bias == p->gradients + 16 && f->state == p->values + 48);
    assert_true(parameters_count(p) == 32.0);
}

/* By name and seed alone: another table gives the same name the same values. */
static void test_seeds(void **state)
{
    struct fixture *f = *state;
    struct parameters other = {0};
    const float *value;
    float *gradient;

    parameters_seed(&f->parameters, 7);
    for (int i = 0; i < 17; i++)
        assert_true(f->bias[i] == 1.5F);
    assert_true(f->state[0] == 0.0F && f->matrix[0] != f->matrix[1]);
    parameters_add(&other, "else", &value, &gradient, 1, (const int[]){2});
    parameters_add(&other, "matrix", &value, &gradient, 2, (const int[]){3, 5})->deviation = 2.0F;
    assert_int_equal(parameters_allocate(&other, NULL), 0);
    parameters_seed(&other, 7);
    assert_memory_equal(value, f->matrix, 15 * sizeof *value);
    parameters_seed(&other, 8);
    assert_memory_not_equal(value, f->matrix, 15 * sizeof *value);
    parameters_release(&other);
}

/* The first update moves every weight by the learning rate against its gradient's sign, whatever its size;
 * decay takes its share of what has it. */
static void test_first_update(void **state)
{
    struct fixture *f = *state;
    struct optimiser o = {.beta1 = 0.9, .beta2 = 0.95, .decay = 0.5};

    parameters_seed(&f->parameters, 1);
    const float before = f->matrix[3];
    assert_int_equal(optimiser_init(&o, &f->parameters, NULL), 0);
    f->d_matrix[3] = 100.0F;
    f->d_bias[0] = -0.001F;
    assert_close(optimiser_norm(f->pool, &f->parameters), sqrt(1e4 + 1e-6), 1e-4);
    optimiser_update(&o, f->pool, &f->parameters, 0.1, 0, 100.0);
    assert_close(f->matrix[3], (double)before * (1 - 0.1 * 0.5) - 0.1, 1e-6);
    assert_close(f->bias[0], 1.6, 1e-5);
    assert_true(f->bias[1] == 1.5F); /* no gradient, no decay */
    assert_true(f->d_matrix[3] == 0.0F && f->d_bias[0] == 0.0F);
    optimiser_release(&o);
}

/* Moments take the clipped gradient: with norm 100 and clip 1, a hundredth. */
static void test_clipping(void **state)
{
    struct fixture *f = *state;
    struct optimiser o = {.beta1 = 0.9, .beta2 = 0.95, .clip = 1.0};

    assert_int_equal(optimiser_init(&o, &f->parameters, NULL), 0);
    f->d_matrix[3] = 100.0F;
    optimiser_update(&o, f->pool, &f->parameters, 0.1, 0, 100.0);
    assert_close(o.first[3], 0.1, 1e-6);
    assert_close(o.second[3], 0.05, 1e-6);
    f->d_matrix[3] = 0.5F; /* below the clip it stays */
    optimiser_update(&o, f->pool, &f->parameters, 0.1, 1, 0.5);
    assert_close(o.first[3], 0.9 * 0.1 + 0.1 * 0.5, 1e-6);
    optimiser_release(&o);
}

/* Ten updates of warm-up to 2, then half a wave over twenty down to a tenth of it. */
static void test_schedule(void **state)
{
    const struct schedule s = {.highest = 2.0, .final_share = 0.1, .warmup = 10, .updates = 30};
    const struct schedule none = {.highest = 2.0, .final_share = 0.1, .warmup = 0, .updates = 1};

    (void)state;
    assert_close(schedule_rate(&s, 0), 0.2, 1e-12);
    assert_close(schedule_rate(&s, 9), 2.0, 1e-12);
    assert_close(schedule_rate(&s, 10), 2.0, 1e-12);
    assert_close(schedule_rate(&s, 20), 2.0 * (0.1 + 0.9 / 2), 1e-12);
    assert_close(schedule_rate(&s, 30), 0.2, 1e-12);
    assert_close(schedule_rate(&s, 99), 0.2, 1e-12);
    assert_close(schedule_rate(&none, 0), 2.0, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_layout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_seeds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_first_update, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clipping, set_up, tear_down),
        cmocka_unit_test(test_schedule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
