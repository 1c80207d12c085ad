/* engine/pool.h: every task runs exactly once, by a worker that runs nothing else meanwhile, and is done when
 * pool_run returns. Counts are atomic where threads could collide, so that the test has no race of its own.
 */
#include "engine/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cores.h"

enum { MOST_TASKS = 1000, MOST_THREADS = 4 };

struct account {
    int n_threads;
    atomic_int runs[MOST_TASKS]; /* of each index */
    atomic_int busy[MOST_THREADS];
    atomic_int strangers; /* worker ids out of range, or two tasks of one worker at once */
};

static void count(void *context, int index, int worker)
{
    struct account *a = context;

    if (worker < 0 || worker >= a->n_threads) {
        atomic_fetch_add(&a->strangers, 1);
        return;
    }
    atomic_fetch_add(&a->strangers, atomic_exchange(&a->busy[worker], 1));
    atomic_fetch_add(&a->runs[index], 1);
    atomic_store(&a->busy[worker], 0);
}

static void clear(struct account *a, int n_threads)
{
    a->n_threads = n_threads;
    a->strangers = 0;
    for (int i = 0; i < MOST_TASKS; i++)
        a->runs[i] = 0;
    for (int i = 0; i < MOST_THREADS; i++)
        a->busy[i] = 0;
}

static void check_all_once(struct account *a, int n)
{
    assert_int_equal(a->strangers, 0);
    for (int i = 0; i < MOST_TASKS; i++)
        assert_int_equal(a->runs[i], i < n ? 1 : 0);
}

static void test_each_index_once(void **state)
{
    static const int sizes[] = {0, 1, 2, 3, 7, 64, 1000};
    static struct account a;

    (void)state;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct pool *pool;
        assert_int_equal(pool_open(&pool, threads, NULL), 0);
        assert_int_equal(pool_threads(pool), threads);
        size_t runs = threads == 2 ? 1500 : 50; /* often: two threads that take the same index do so rarely */
        for (size_t i = 0; i < runs; i++) {
            int n = sizes[i % (sizeof sizes / sizeof *sizes)];
            clear(&a, threads);
            pool_run(pool, count, &a, n);
            check_all_once(&a, n);
        }
        pool_close(pool);
    }
}

/* Kernels follow each other without a pause, and each relies on the one before. The counter is not atomic: it
 * is right only if a run's writes are all visible when it returns. */
struct chain {
    int links[8];
    int wrong, expected;
};

static void add_link(void *context, int index, int worker)
{
    struct chain *c = context;

    (void)worker;
    if (c->links[index] == c->expected)
        c->links[index]++;
}

static void test_many_tiny_runs(void **state)
{
    (void)state;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct pool *pool;
        struct chain c = {0};
        int runs = threads <= 2 ? 3000 : 300; /* more threads than cores wait for each other */
        assert_int_equal(pool_open(&pool, threads, NULL), 0);
        for (int i = 0; i < runs; i++) {
            int n = i % 9; /* none, one, ... eight tasks */
            c.expected = i;
            pool_run(pool, add_link, &c, n);
            for (int j = 0; j < 8; j++) {
                c.wrong += c.links[j] != (j < n ? i + 1 : i);
                c.links[j] = i + 1;
            }
        }
        assert_int_equal(c.wrong, 0);
        pool_close(pool);
    }
}

/* Tasks that sleep, one far longer than the others: they run side by side, each worker one at a time, and
 * pool_run waits for the last, whoever has it. */
static void count_slowly(void *context, int index, int worker)
{
    struct account *a = context;

    atomic_fetch_add(&a->strangers, atomic_exchange(&a->busy[worker], 1));
    usleep(index == 1 ? 5000 : 1000);
    atomic_store(&a->busy[worker], 0);
    atomic_fetch_add(&a->runs[index], 1);
}

static void test_returns_when_all_is_done(void **state)
{
    static struct account a;

    (void)state;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct pool *pool;
        assert_int_equal(pool_open(&pool, threads, NULL), 0);
        for (int i = 0; i < 5; i++) {
            clear(&a, threads);
            pool_run(pool, count_slowly, &a, 5);
            check_all_once(&a, 5);
        }
        pool_close(pool);
    }
}

/* Sleeping workers must wake: longer than they would spin for. */
static void test_after_a_pause(void **state)
{
    static struct account a;
    struct pool *pool;

    (void)state;
    assert_int_equal(pool_open(&pool, 3, NULL), 0);
    for (int i = 0; i < 5; i++) {
        usleep(20000);
        clear(&a, 3);
        pool_run(pool, count, &a, 50);
        check_all_once(&a, 50);
    }
    pool_close(pool);
}

/* ---- ranges ---- */

struct cover {
    int n, grain;
    atomic_int cells[MOST_TASKS];
    atomic_int odd; /* ranges that are empty, too long, out of bounds or not where the grain puts them */
};

static void cover_range(void *context, int first, int last, int worker)
{
    struct cover *c = context;

    (void)worker;
    if (first >= last || last > c->n || first % c->grain != 0 || (last != c->n && last - first != c->grain) ||
        last - first > c->grain) {
        atomic_fetch_add(&c->odd, 1);
        return;
    }
    for (int i = first; i < last; i++)
        atomic_fetch_add(&c->cells[i], 1);
}

static void test_ranges(void **state)
{
    static const int sizes[] = {0, 1, 63, 64, 65, 128, 999}, grains[] = {1, 7, 64, 2000};
    static struct cover c;
    struct pool *pool;

    (void)state;
    assert_int_equal(pool_open(&pool, 2, NULL), 0);
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < 4; j++) {
            c.n = sizes[i];
            c.grain = grains[j];
            c.odd = 0;
            for (int l = 0; l < MOST_TASKS; l++)
                c.cells[l] = 0;
            pool_ranges(pool, cover_range, &c, c.n, c.grain);
            assert_int_equal(c.odd, 0);
            for (int l = 0; l < MOST_TASKS; l++)
                assert_int_equal(c.cells[l], l < c.n ? 1 : 0);
        }
    }
    pool_close(pool);
}

/* 0 threads: one per core. Opened and closed without a task in between, and closed when there is none. */
static void test_life(void **state)
{
    struct pool *pool;

    (void)state;
    assert_int_equal(pool_open(&pool, 0, NULL), 0);
    assert_int_equal(pool_threads(pool), process_cores());
    pool_close(pool);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(pool_open(&pool, 1 + i % MOST_THREADS, NULL), 0);
        pool_close(pool);
    }
    pool_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_index_once),
        cmocka_unit_test(test_many_tiny_runs),
        cmocka_unit_test(test_returns_when_all_is_done),
        cmocka_unit_test(test_after_a_pause),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
