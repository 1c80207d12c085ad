/* moescope route as a program: what it keeps whatever the training run kept, and what it refuses before it
 * stores anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"
#include "tests/tiny.h"

static struct tiny tiny;

static int open_group(void **state)
{
    (void)state;
    tiny_open(&tiny);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

static struct test_run route(const char *db, const char *more)
{
    return test_run("cd %s && %s/moescope-route %s --checkpoint %s.checkpoints/r.safetensors %s", tiny.folder,
                    tiny.bin, db, db, more);
}

static void open_logbook(const char *db, const char *more)
{
    static const char one[] = "the cold river runs\n", two[] = "a warm stone lies\n";

    test_write(tiny.folder, "one.txt", one, sizeof one - 1);
    test_write(tiny.folder, "two.txt", two, sizeof two - 1);
    tiny_expect(tiny_train(&tiny, db, "r", more), 0, "");
}

/* Every decision (2 a token and layer) and every probability (4 experts), that sum to 1 but for rounding. */
static void test_everything_is_kept(void **state)
{
    static const char *const kept[] = {"all", "probe", "none"};
    char db[32], settings[96];

    (void)state;
    for (int i = 0; i < 3; i++) {
        snprintf(db, sizeof db, "%s.db", kept[i]);
        snprintf(settings, sizeof settings, "--set train.steps=5 --set log.decisions=%s", kept[i]);
        open_logbook(db, settings);
        tiny_expect(route(db, "one.txt two.txt"), 0, "");
        tiny_expect_answer(&tiny, db,
                           "SELECT count(*) = 2 * 2 * (SELECT sum(n_tokens) FROM document_loss WHERE split = "
                           "'routed'), count(DISTINCT document_id) FROM routing WHERE split = 'routed'",
                           "1|2\n");
        tiny_expect_answer(
            &tiny, db,
            "SELECT count(*) = 4 * 2 * tokens, abs(sum(probability) - 2 * tokens) < 0.01 FROM "
            "probability, (SELECT sum(n_tokens) AS tokens FROM document_loss WHERE split = 'routed') "
            "WHERE run_id = 2",
            "1|1\n");
    }
}

static void test_taken_name(void **state)
{
    (void)state;
    open_logbook("taken.db", "--set train.steps=2");
    tiny_expect(route("taken.db", "one.txt"), 0, "");
    struct test_run r = route("taken.db", "two.txt"); /* by default under the same name */
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "'r-routed' already; pass another --name"));
    assert_null(strstr(r.err, "--resume"));
    test_run_release(&r);
    tiny_expect_answer(&tiny, "taken.db", "SELECT count(*) FROM run", "2\n");
    tiny_expect_answer(&tiny, "taken.db", "SELECT count(*) FROM document WHERE name = 'two.txt'", "0\n");
    tiny_expect(route("taken.db", "two.txt --name second"), 0, "");
    tiny_expect_answer(&tiny, "taken.db", "SELECT status FROM run WHERE name = 'second'", "finished\n");
}

static void test_file_given_twice(void **state)
{
    (void)state;
    open_logbook("twice.db", "--set train.steps=2");
    tiny_expect(route("twice.db", "one.txt two.txt one.txt"), 2, "twice: 'one.txt' and 'one.txt'");
    tiny_expect(route("twice.db", "two.txt ./two.txt"), 2, "two.txt'");
    tiny_expect_answer(&tiny, "twice.db", "SELECT count(*) FROM run", "1\n");
    tiny_expect_answer(&tiny, "twice.db", "SELECT count(*) FROM document WHERE name LIKE '%two.txt'", "0\n");
}

static void test_output(void **state)
{
    struct test_run r;

    (void)state;
    open_logbook("out.db", "--set train.steps=2");
    r = route("out.db", "one.txt --format csv -o losses.csv");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "");
    test_run_release(&r);
    r = test_run("cd %s && cat losses.csv", tiny.folder);
    assert_non_null(strstr(r.out, "document,domain,tokens,loss,bits_per_byte"));
    assert_non_null(strstr(r.out, "one.txt,text,"));
    test_run_release(&r);
    /* whole or not at all */
    tiny_expect(route("out.db", "one.txt -o refused.csv"), 2, "already");
    tiny_expect(test_run("cd %s && test ! -e refused.csv", tiny.folder), 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_kept),
        cmocka_unit_test(test_taken_name),
        cmocka_unit_test(test_file_given_twice),
        cmocka_unit_test(test_output),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
