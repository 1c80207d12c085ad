/* Every reader of foreign bytes against its seeds and thousands of mutations of them, the same every
 * time: what `make fuzz` does for hours, in seconds. MOESCOPE_FUZZ_ROUNDS=N makes N times as many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz.h"

enum { MOST_SEEDS = 300 /* that are run as they are */ };

static int rounds(void)
{
    const char *text = getenv("MOESCOPE_FUZZ_ROUNDS");
    int n = text != NULL ? (int)strtol(text, NULL, 10) : 1;
    return n > 0 ? n : 1;
}

/* A seed with one to eight changes. */
static void mutate_and_run(const struct fuzz_target *target, const struct fuzz_seeds *seeds, uint64_t number,
                           uint8_t *buffer)
{
    struct random r;
    random_seed(&r, number, 1);
    int seed = (int)random_below(&r, (uint64_t)seeds->count);
    size_t n = seeds->n[seed];
    memcpy(buffer, seeds->bytes[seed], n);
    for (uint64_t i = random_below(&r, 8) + 1; i > 0; i--) {
        n = (target->mutate != NULL ? target->mutate : fuzz_mutate)(buffer, n, target->most, &r);
    }
    uint8_t *exact = malloc(n > 0 ? n : 1); /* a read beyond its end is seen by the sanitizer */
    assert_non_null(exact);
    memcpy(exact, buffer, n);
    target->run(exact, n);
    free(exact);
}

static void replay(const char *name, int n)
{
    const struct fuzz_target *target = fuzz_find(name);
    struct fuzz_seeds seeds = {0};
    assert_non_null(target);
    if (target->open != NULL) {
        target->open();
    }
    target->seed(&seeds);
    assert_true(seeds.count > 0);
    uint8_t *buffer = malloc(target->most);
    assert_non_null(buffer);
    for (int i = 0; i < seeds.count; i++) {
        assert_true(seeds.n[i] <= target->most);
        if (i % (1 + seeds.count / MOST_SEEDS) == 0) {
            target->run(seeds.bytes[i], seeds.n[i]);
        }
    }
    for (int i = 0; i < n * rounds(); i++) {
        mutate_and_run(target, &seeds, (uint64_t)i, buffer);
    }
    free(buffer);
    fuzz_seeds_release(&seeds);
}

static void test_codec(void **state)
{
    (void)state;
    replay("codec", 20000);
}

static void test_checkpoint(void **state)
{
    (void)state;
    replay("checkpoint", 2500);
}

static void test_config(void **state)
{
    (void)state;
    replay("config", 2500);
}

static void test_corpus(void **state)
{
    (void)state;
    replay("corpus", 3000);
}

static void test_source(void **state)
{
    (void)state;
    replay("source", 2000);
}

static void test_table(void **state)
{
    (void)state;
    replay("table", 10000);
}

static void test_query(void **state)
{
    (void)state;
    replay("query", 800);
}

static void test_rows(void **state)
{
    (void)state;
    replay("rows", 60);
}

static void test_differ(void **state)
{
    (void)state;
    replay("differ", 30);
}

static void test_logbook(void **state)
{
    (void)state;
    replay("logbook", 120);
}

static void test_arrays(void **state)
{
    (void)state;
    replay("arrays", 20000);
}

static void test_logs(void **state)
{
    (void)state;
    replay("logs", 400);
}

static void test_dumps(void **state)
{
    (void)state;
    replay("dumps", 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dumps),   cmocka_unit_test(test_logs), /* before those that limit what SQLite
                                                                        may do */
        cmocka_unit_test(test_codec),   cmocka_unit_test(test_checkpoint), cmocka_unit_test(test_config),
        cmocka_unit_test(test_corpus),  cmocka_unit_test(test_source),     cmocka_unit_test(test_table),
        cmocka_unit_test(test_query),   cmocka_unit_test(test_rows),       cmocka_unit_test(test_differ),
        cmocka_unit_test(test_logbook), cmocka_unit_test(test_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
