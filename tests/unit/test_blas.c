/* engine/blas.h: products over the pool against the three loops that are their oracle, and the oracle against
 * numbers worked out by hand. */
#include "engine/blas.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/numeric.h"

/* (1 2 3; 4 5 6) * (1 0; 2 1; 0 3) = (1 + 4, 2 + 9; 4 + 10, 5 + 18) = (5 11; 14 23), however stored. */
static void test_oracle_by_hand(void **state)
{
    static const float a[] = {1, 2, 3, 4, 5, 6}, a_stored_across[] = {1, 4, 2, 5, 3, 6};
    static const float b[] = {1, 0, 2, 1, 0, 3}, b_stored_across[] = {1, 2, 0, 0, 1, 3};
    static const float expected[] = {5, 11, 14, 23};

    (void)state;
    for (int i = 0; i < 4; i++) {
        bool across_a = i & 1, across_b = i & 2;
        float c[] = {NAN, NAN, NAN, NAN};
        struct gemm g = {.trans_a = across_a,
                         .trans_b = across_b,
                         .m = 2,
                         .n = 2,
                         .k = 3,
                         .a = across_a ? a_stored_across : a,
                         .lda = across_a ? 2 : 3,
                         .b = across_b ? b_stored_across : b,
                         .ldb = across_b ? 3 : 2,
                         .c = c,
                         .ldc = 2};
        gemm_naive(&g);
        assert_memory_equal(c, expected, sizeof c);
        g.beta = 1.0F;
        gemm_naive(&g);
        for (int j = 0; j < 4; j++)
            assert_true(c[j] == 2.0F * expected[j]);
    }
}

/* x (2, 2), w (3, 2). y = x w': rows (1*1 + 2*2, 3 + 8, 5 + 12) and (3 + 8, 9 + 16, 15 + 24).
 * With dy = (1 0 2; 0 1 0): dx = dy w = (1 + 10, 2 + 12; 3, 4) and dw = dy' x = (1 2; 3 4; 2 4), added. */
static void test_linear_layer_by_hand(void **state)
{
    static const float x[] = {1, 2, 3, 4}, w[] = {1, 2, 3, 4, 5, 6}, d_y[] = {1, 0, 2, 0, 1, 0};
    static const float expected_y[] = {5, 11, 17, 11, 25, 39}, expected_d_x[] = {11, 14, 3, 4};
    static const float expected_d_w[] = {101, 102, 103, 104, 102, 104};
    float y[6], d_x[4], d_w[] = {100, 100, 100, 100, 100, 100};
    struct gemm jobs[] = {gemm_forward(x, w, y, 2, 2, 3, 0.0F),
                          gemm_input_gradient(d_y, w, d_x, 2, 2, 3, 0.0F),
                          gemm_weight_gradient(d_y, x, d_w, 2, 2, 3)};

    (void)state;
    for (int i = 0; i < 3; i++)
        gemm_one(&jobs[i]);
    assert_memory_equal(y, expected_y, sizeof y);
    assert_memory_equal(d_x, expected_d_x, sizeof d_x);
    assert_memory_equal(d_w, expected_d_w, sizeof d_w);
    jobs[0].beta = 1.0F;
    gemm_one(&jobs[0]);
    assert_true(y[5] == 78.0F);
}

/* Sizes around nothing, one, a vector's width, and the ends of tiles (256 rows, 1024 columns). */
static const int rows[] = {0, 1, 3, 17, 256, 257}, columns[] = {0, 1, 16, 33, 1024, 1025},
                 depths[] = {0, 1, 7, 40};
enum { N_ROWS = 6, N_COLUMNS = 6, N_DEPTHS = 4, N_JOBS = N_ROWS * N_COLUMNS * N_DEPTHS };
enum { PADDING = 3 }; /* behind each row of each matrix, which nobody may touch */

struct product {
    struct gemm fast, exact;
    int stored; /* floats of C with its padding */
};

static float *matrix(struct shelf *shelf, int n_rows, int n_columns, struct random *r)
{
    float *x = shelf_floats(shelf, (size_t)n_rows * (size_t)(n_columns + PADDING));

    for (int i = 0; i < n_rows; i++) {
        for (int j = 0; j < n_columns; j++)
            x[i * (n_columns + PADDING) + j] = (float)random_normal(r);
    }
    return x;
}

/* With beta 0 both C arrive full of NaN, which must not shine through. */
static struct product make_product(struct shelf *shelf, struct gemm g, struct random *r)
{
    struct product p;

    g.lda = (g.trans_a ? g.m : g.k) + PADDING;
    g.ldb = (g.trans_b ? g.k : g.n) + PADDING;
    g.ldc = g.n + PADDING;
    g.a = g.trans_a ? matrix(shelf, g.k, g.m, r) : matrix(shelf, g.m, g.k, r);
    g.b = g.trans_b ? matrix(shelf, g.n, g.k, r) : matrix(shelf, g.k, g.n, r);
    p.stored = g.m * g.ldc;
    p.fast = p.exact = g;
    p.fast.c = g.beta != 0.0F ? matrix(shelf, g.m, g.n, r) : shelf_floats(shelf, (size_t)p.stored);
    p.exact.c = shelf_floats(shelf, (size_t)p.stored);
    memcpy(p.exact.c, p.fast.c, (size_t)p.stored * sizeof(float));
    return p;
}

static void check_product(const struct product *p)
{
    const struct gemm *g = &p->exact;
    double limit = 2e-6 * sqrt(g->k + 1); /* of sums of k products of normal numbers */

    for (int i = 0; i < g->m; i++) {
        for (int j = 0; j < g->ldc; j++) {
            double fast = (double)p->fast.c[i * g->ldc + j], exact = (double)g->c[i * g->ldc + j];
            if (j >= g->n ? !isnan(fast) : !(fabs(fast - exact) <= limit * fmax(1.0, fabs(exact))))
                fail_msg("(%d, %d, %d) transposed %d %d beta %g: C[%d, %d] is %g, not %g", g->m, g->n, g->k,
                         g->trans_a, g->trans_b, (double)g->beta, i, j, fast, exact);
        }
    }
}

/* Every shape in one batch: empty products stand between, before and after real ones. */
static void check_grid(struct pool *pool, bool trans_a, bool trans_b, float beta)
{
    struct shelf shelf = {0};
    struct product *products = calloc(N_JOBS, sizeof *products);
    struct gemm *jobs = calloc(N_JOBS, sizeof *jobs);
    struct random r;
    int n = 0;

    random_seed(&r, 3, 0);
    for (int i = 0; i < N_ROWS; i++) {
        for (int j = 0; j < N_COLUMNS; j++) {
            for (int l = 0; l < N_DEPTHS; l++) {
                struct gemm shape = {.trans_a = trans_a,
                                     .trans_b = trans_b,
                                     .m = rows[i],
                                     .n = columns[j],
                                     .k = depths[l],
                                     .beta = beta};
                products[n] = make_product(&shelf, shape, &r);
                jobs[n] = products[n].fast;
                n++;
            }
        }
    }
    gemm_batch(pool, jobs, n);
    for (int i = 0; i < n; i++) {
        gemm_naive(&products[i].exact);
        check_product(&products[i]);
    }
    free(jobs);
    free(products);
    shelf_clear(&shelf);
}

static void test_batch_against_oracle(void **state)
{
    struct pool *pool;

    (void)state;
    assert_int_equal(pool_open(&pool, 2, NULL), 0);
    for (int i = 0; i < 8; i++)
        check_grid(pool, i & 1, i & 2, i & 4 ? 1.0F : 0.0F);
    pool_close(pool);
}

/* Outputs are cut into tiles whatever the threads: the bytes must agree. Nothing to do is nothing done. */
static void test_threads_change_nothing(void **state)
{
    enum { M = 600, N = 1100, K = 30 };
    struct shelf shelf = {0};
    struct random r;
    float *first = NULL;

    (void)state;
    random_seed(&r, 4, 0);
    float *a = shelf_normal(&shelf, M * K, 1.0, &r), *b = shelf_normal(&shelf, N * K, 1.0, &r);
    for (int threads = 1; threads <= 4; threads++) {
        struct pool *pool;
        float *c = shelf_floats(&shelf, M * N);
        struct gemm g = gemm_forward(a, b, c, M, K, N, 0.0F);
        assert_int_equal(pool_open(&pool, threads, NULL), 0);
        gemm_batch(pool, &g, 1);
        gemm_batch(pool, &g, 0);
        pool_close(pool);
        first = first ? first : c;
        assert_memory_equal(first, c, sizeof *c * M * N);
    }
    shelf_clear(&shelf);
}

static void test_what_the_machine_says(void **state)
{
    struct pool *pool;
    struct error err;

    (void)state;
    assert_true(strlen(blas_core_type()) > 0);
    unsetenv("OPENBLAS_CORETYPE"); /* nothing pinned, then */
    assert_false(blas_pinned_below_machine());
    assert_int_equal(pool_open(&pool, 2, NULL), 0);
    double limit = blas_measure_limit(pool, 64, 2, &err);
    assert_true(limit > 0.0 && isfinite(limit));
    pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle_by_hand),        cmocka_unit_test(test_linear_layer_by_hand),
        cmocka_unit_test(test_batch_against_oracle),  cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_what_the_machine_says),
    };
    blas_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
