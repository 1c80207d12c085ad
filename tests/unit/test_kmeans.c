/* engine/kmeans.h: clusters that a hand can see, the same for any number of threads, centres that lose their
 * rows. */
#include "engine/kmeans.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/close.h"
#include "tests/support.h"

/* Pairs around (0, 0), (10, 0) and (0, 10): whatever the seed, the clusters are the pairs, each point 0.5
 * from its centre. */
static void test_pairs(void **state)
{
    static const float rows[] = {-0.5F, 0, 0.5F, 0, 9.5F, 0, 10.5F, 0, 0, 9.5F, 0, 10.5F};
    struct pool *pool;
    struct error err;

    (void)state;
    test_must(pool_open(&pool, 2, &err), &err);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct kmeans k;
        test_must(kmeans_run(&k, pool, rows, 6, 2, 3, 100, seed, &err), &err);
        assert_close(k.distortion, 0.25, 1e-6);
        for (int i = 0; i < 6; i += 2) {
            assert_int_equal(k.cluster[i], k.cluster[i + 1]);
            assert_close((double)k.centre[2 * k.cluster[i]],
                         ((double)rows[2 * i] + (double)rows[2 * i + 2]) / 2, 1e-6);
        }
        kmeans_release(&k);
    }
    pool_close(pool);
}

/* One cluster: the mean, and the variance. */
static void test_one_cluster(void **state)
{
    static const float rows[] = {1, 2, 3, 6};
    struct pool *pool;
    struct kmeans k;
    struct error err;

    (void)state;
    test_must(pool_open(&pool, 1, &err), &err);
    test_must(kmeans_run(&k, pool, rows, 4, 1, 1, 100, 1, &err), &err);
    assert_close((double)k.centre[0], 3.0, 1e-6);
    assert_close(k.distortion, (4.0 + 1.0 + 0.0 + 9.0) / 4, 1e-6);
    kmeans_release(&k);
    pool_close(pool);
}

/* As many clusters as rows: each row its own. Equal rows leave centres without any, which is no end of it. */
static void test_many_clusters(void **state)
{
    static const float different[] = {1, 2, 4, 8}, equal[] = {5, 5, 5, 5};
    struct pool *pool;
    struct kmeans k;
    struct error err;

    (void)state;
    test_must(pool_open(&pool, 1, &err), &err);
    test_must(kmeans_run(&k, pool, different, 4, 1, 4, 100, 3, &err), &err);
    assert_close(k.distortion, 0.0, 0.0);
    kmeans_release(&k);
    test_must(kmeans_run(&k, pool, equal, 4, 1, 3, 100, 3, &err), &err);
    assert_close(k.distortion, 0.0, 0.0);
    kmeans_release(&k);
    pool_close(pool);
}

static void test_threads(void **state)
{
    enum { N = 5000, WIDTH = 7, K = 9 };
    static float rows[N * WIDTH];
    struct kmeans a, b;
    struct pool *one, *three;
    struct random r;
    struct error err;

    (void)state;
    random_seed(&r, 1, 1);
    for (int i = 0; i < N * WIDTH; i++)
        rows[i] = (float)random_normal(&r);
    test_must(pool_open(&one, 1, &err), &err);
    test_must(pool_open(&three, 3, &err), &err);
    test_must(kmeans_run(&a, one, rows, N, WIDTH, K, 50, 4, &err), &err);
    test_must(kmeans_run(&b, three, rows, N, WIDTH, K, 50, 4, &err), &err);
    assert_memory_equal(a.centre, b.centre, K * WIDTH * sizeof *a.centre);
    assert_memory_equal(a.cluster, b.cluster, N * sizeof *a.cluster);
    assert_true(a.distortion < WIDTH); /* less than one cluster's */
    kmeans_release(&a);
    kmeans_release(&b);
    pool_close(one);
    pool_close(three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_one_cluster),
        cmocka_unit_test(test_many_clusters),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
