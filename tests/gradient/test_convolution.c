/* The convolution: forward against its double twin, backward against finite differences of that twin, at the
 * borders and strides where it could go wrong; and the same bytes from any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/naive.h"
#include "tests/operations.h"

static const struct {
    struct convolution c;
    int B;
} cases[] = {
    {{.height = 1, .width = 1, .channels = 1, .filters = 1, .kernel = 1, .stride = 1, .pool = 1}, 1},
    {{.height = 5,
      .width = 4,
      .channels = 3,
      .filters = 2,
      .kernel = 3,
      .stride = 1,
      .padding = 1,
      .pool = 1},
     3},
    {{.height = 7,
      .width = 6,
      .channels = 2,
      .filters = 5,
      .kernel = 3,
      .stride = 2,
      .padding = 1,
      .pool = 1},
     9},
    {{.height = 6,
      .width = 6,
      .channels = 1,
      .filters = 3,
      .kernel = 5,
      .stride = 1,
      .padding = 2,
      .pool = 2},
     2},
    {{.height = 2, .width = 3, .channels = 4, .filters = 3, .kernel = 2, .stride = 1, .pool = 1}, 17},
    {{.height = 1,
      .width = 9,
      .channels = 2,
      .filters = 2,
      .kernel = 3,
      .stride = 3,
      .padding = 2,
      .pool = 1},
     4},
    {{.height = 5,
      .width = 7,
      .channels = 9,
      .filters = 18,
      .kernel = 3,
      .stride = 1,
      .padding = 1,
      .pool = 2,
      .rectified = true},
     3},
    {{.height = 3,
      .width = 4,
      .channels = 2,
      .filters = 3,
      .kernel = 3,
      .stride = 1,
      .padding = 1,
      .pool = 1,
      .rectified = true},
     3},
};

struct sizes {
    size_t x, w, y;
};

static struct sizes sizes_of(const struct convolution *c, int B)
{
    int height = convolution_extent(c, c->height) / c->pool,
        width = convolution_extent(c, c->width) / c->pool;
    size_t positions = (size_t)height * (size_t)width;

    return (struct sizes){.x = (size_t)B * (size_t)c->height * (size_t)c->width * (size_t)c->channels,
                          .w = (size_t)c->filters * (size_t)(c->kernel * c->kernel * c->channels),
                          .y = (size_t)B * positions * (size_t)c->filters};
}

static uint8_t *shelf_choices(struct shelf *shelf, size_t n)
{
    return (uint8_t *)shelf_floats(shelf, (n + sizeof(float) - 1) / sizeof(float));
}

struct convolved {
    const struct convolution *c;
    int B;
    const float *d_y;
};

/* values: x, then w, then the bias */
static double convolved_value(const double *values, const void *context)
{
    const struct convolved *v = context;
    struct sizes n = sizes_of(v->c, v->B);
    double *y = malloc(n.y * sizeof *y), value;

    naive_convolution(v->c, values, values + n.x, values + n.x + n.w, y, v->B);
    value = weighted_sum(y, v->d_y, n.y);
    free(y);
    return value;
}

static void convolution_case(struct operations *s, const struct convolution *c, int B, double error[4])
{
    struct shelf shelf = {0};
    struct sizes n = sizes_of(c, B);
    size_t O = (size_t)c->filters;
    float *x = shelf_normal(&shelf, n.x, 1.0, &s->random), *w = shelf_normal(&shelf, n.w, 0.5, &s->random),
          *bias = shelf_normal(&shelf, O, 1.0, &s->random), *d_y = shelf_normal(&shelf, n.y, 1.0, &s->random);
    float *y = shelf_floats(&shelf, n.y), *d_x = shelf_zeros(&shelf, n.x), *d_w = shelf_zeros(&shelf, n.w),
          *d_bias = shelf_zeros(&shelf, O);
    float *scratch = shelf_floats(&shelf, convolution_scratch(c, pool_threads(s->pool)));
    uint8_t *choice = shelf_choices(&shelf, n.y);
    double *values = shelf_doubles(&shelf, n.x + n.w + O), *exact = shelf_doubles(&shelf, n.y);
    struct convolved v = {c, B, d_y};
    struct objective o = {.value = convolved_value, .context = &v, .x = values};

    for (size_t i = 0; i < n.x + n.w + O; i++)
        values[i] = i < n.x ? (double)x[i] : i < n.x + n.w ? (double)w[i - n.x] : (double)bias[i - n.x - n.w];
    convolution_forward(s->pool, c, x, w, bias, y, choice, scratch, B);
    naive_convolution(c, values, values + n.x, values + n.x + n.w, exact, B);
    error[0] = worse(error[0], largest_error(y, exact, n.y));
    convolution_backward(s->pool, c, x, w, choice, d_y, d_x, d_w, d_bias, scratch, B);
    error[1] = worse(error[1], gradient_error(&o, 0, n.x, d_x));
    error[2] = worse(error[2], gradient_error(&o, n.x, n.w, d_w));
    error[3] = worse(error[3], gradient_error(&o, n.x + n.w, O, d_bias));
    float *once = shelf_copy(&shelf, d_w, n.w), *once_x = shelf_copy(&shelf, d_x, n.x);
    convolution_backward(s->pool, c, x, w, choice, d_y, NULL, d_w, d_bias, scratch, B);
    assert_true(doubling_error(once, d_w, n.w) < few_roundings);
    assert_memory_equal(once_x, d_x, n.x * sizeof *d_x);
    shelf_clear(&shelf);
}

static void test_convolution(void **state)
{
    struct operations *s = operations_begin(state);
    double error[4] = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        convolution_case(s, &cases[i].c, cases[i].B, error);
    operations_record(s, "convolution", error[0], many_roundings);
    operations_record(s, "convolution, input gradient", error[1], many_roundings);
    operations_record(s, "convolution, filter gradient", error[2], many_roundings);
    operations_record(s, "convolution, bias gradient", error[3], many_roundings);
}

/* Worked by hand: a 2 x 2 image with zeros around it, one 3 x 3 filter of 1 .. 9. */
static void test_by_hand(void **state)
{
    struct operations *s = operations_begin(state);
    const struct convolution c = {.height = 2,
                                  .width = 2,
                                  .channels = 1,
                                  .filters = 1,
                                  .kernel = 3,
                                  .stride = 1,
                                  .padding = 1,
                                  .pool = 1};
    const float x[] = {1, 2, 3, 4}, w[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, bias[] = {100};
    struct shelf shelf = {0};
    float y[4], *scratch = shelf_floats(&shelf, convolution_scratch(&c, pool_threads(s->pool)));

    uint8_t choice[4];

    convolution_forward(s->pool, &c, x, w, bias, y, choice, scratch, 1);
    assert_true(y[0] == 100 + 1 * 5 + 2 * 6 + 3 * 8 + 4 * 9);
    assert_true(y[1] == 100 + 1 * 4 + 2 * 5 + 3 * 7 + 4 * 8);
    assert_true(y[2] == 100 + 1 * 2 + 2 * 3 + 3 * 5 + 4 * 6);
    assert_true(y[3] == 100 + 1 * 1 + 2 * 2 + 3 * 4 + 4 * 5);
    shelf_clear(&shelf);
}

static void test_extents(void **state)
{
    struct convolution c = {.kernel = 3, .stride = 2, .padding = 1};

    (void)state;
    assert_int_equal(convolution_extent(&c, 28), 14);
    assert_int_equal(convolution_extent(&c, 7), 4);
    c.padding = 0;
    assert_int_equal(convolution_extent(&c, 3), 1);
    assert_int_equal(convolution_extent(&c, 2), 0);
}

/* ---- many samples: a task lays out more than one chunk of patches ---- */

static const struct convolution many = {.height = 28,
                                        .width = 28,
                                        .channels = 8,
                                        .filters = 4,
                                        .kernel = 3,
                                        .stride = 1,
                                        .padding = 1,
                                        .pool = 2,
                                        .rectified = true};
enum { MANY = 19 };

/* Gradients of the filters (n) by all samples at once, with so many threads. */
static float *all_at_once(struct shelf *shelf, int threads, const float *x, const float *w,
                          const uint8_t *choice, const float *d_y)
{
    struct pool *pool;
    struct sizes n = sizes_of(&many, MANY);
    float *d_w = shelf_zeros(shelf, n.w), *d_bias = shelf_zeros(shelf, (size_t)many.filters);
    float *scratch = shelf_floats(shelf, convolution_scratch(&many, threads));

    assert_int_equal(pool_open(&pool, threads, NULL), 0);
    convolution_backward(pool, &many, x, w, choice, d_y, NULL, d_w, d_bias, scratch, MANY);
    pool_close(pool);
    return d_w;
}

static void test_many_samples(void **state)
{
    struct operations *s = operations_begin(state);
    struct shelf shelf = {0};
    struct sizes n = sizes_of(&many, MANY), one = sizes_of(&many, 1);
    float *x = shelf_normal(&shelf, n.x, 1.0, &s->random), *w = shelf_normal(&shelf, n.w, 1.0, &s->random),
          *d_y = shelf_normal(&shelf, n.y, 1.0, &s->random), *sum = shelf_zeros(&shelf, n.w),
          *d_bias = shelf_zeros(&shelf, (size_t)many.filters), *y = shelf_floats(&shelf, n.y),
          *bias = shelf_zeros(&shelf, (size_t)many.filters), *alone = shelf_floats(&shelf, one.y);
    float *scratch = shelf_floats(&shelf, convolution_scratch(&many, pool_threads(s->pool)));
    uint8_t *choice = shelf_choices(&shelf, n.y), *choice_alone = shelf_choices(&shelf, one.y);

    convolution_forward(s->pool, &many, x, w, bias, y, choice, scratch, MANY);
    float *all = all_at_once(&shelf, 1, x, w, choice, d_y);
    assert_memory_equal(all, all_at_once(&shelf, 2, x, w, choice, d_y), n.w * sizeof *all);
    assert_memory_equal(all, all_at_once(&shelf, 3, x, w, choice, d_y), n.w * sizeof *all);
    for (size_t b = 0; b < MANY; b++) {
        convolution_forward(s->pool, &many, x + b * one.x, w, bias, alone, choice_alone, scratch, 1);
        assert_memory_equal(y + b * one.y, alone, one.y * sizeof *alone);
        assert_memory_equal(choice + b * one.y, choice_alone, one.y);
        convolution_backward(s->pool, &many, x + b * one.x, w, choice_alone, d_y + b * one.y, NULL, sum,
                             d_bias, scratch, 1);
    }
    assert_true(largest_error(all, shelf_widened(&shelf, sum, n.w), n.w) < few_roundings);
    shelf_clear(&shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_extents),
        cmocka_unit_test(test_many_samples),
    };

    return cmocka_run_group_tests(tests, operations_open, operations_close);
}
