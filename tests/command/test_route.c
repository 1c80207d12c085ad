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

static char *folder, *bin;

static int open_group(void **state)
{
    (void)state;
    folder = test_folder();
    bin = test_bin();
    tiny_corpus(folder);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bin);
    return 0;
}

static void assert_status(struct test_run r, int status, const char *words)
{
    if (r.status != status || !strstr(r.err, words))
        fail_msg("expected status %d and '%s', got %d and: %s", status, words, r.status, r.err);
    test_run_release(&r);
}

static void assert_answer(const char *db, const char *sql, const char *expected)
{
    struct test_run r = test_run("cd %s && sqlite3 -readonly %s \"%s\"", folder, db, sql);

    if (r.status != 0)
        fail_msg("%s: %s", sql, r.err);
    assert_string_equal(r.out, expected);
    test_run_release(&r);
}

static struct test_run train(const char *db, const char *name, const char *more)
{
    return test_run("cd %s && %s/moescope-train --log %s --name %s --set data.corpus=corpus "
                    "--set model.layers=2 --set model.width=16 --set model.heads=2 --set model.context=32 "
                    "--set router.experts=4 --set router.hidden=8 --set train.tokens_per_step=64 "
                    "--set probe.every=60 --set log.domain_loads=all --set train.threads=1 %s",
                    folder, bin, db, name, more);
}

static struct test_run route(const char *db, const char *more)
{
    return test_run("cd %s && %s/moescope-route %s --checkpoint %s.checkpoints/r.safetensors %s", folder, bin,
                    db, db, more);
}

static void open_logbook(const char *db, const char *more)
{
    static const char one[] = "the cold river runs\n", two[] = "a warm stone lies\n";

    test_write(folder, "one.txt", one, sizeof one - 1);
    test_write(folder, "two.txt", two, sizeof two - 1);
    assert_status(train(db, "r", more), 0, "");
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
        assert_status(route(db, "one.txt two.txt"), 0, "");
        assert_answer(db,
                      "SELECT count(*) = 2 * 2 * (SELECT sum(n_tokens) FROM document_loss WHERE split = "
                      "'routed'), count(DISTINCT document_id) FROM routing WHERE split = 'routed'",
                      "1|2\n");
        assert_answer(
            db,
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
    assert_status(route("taken.db", "one.txt"), 0, "");
    struct test_run r = route("taken.db", "two.txt"); /* by default under the same name */
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "'r-routed' already; pass another --name"));
    assert_null(strstr(r.err, "--resume"));
    test_run_release(&r);
    assert_answer("taken.db", "SELECT count(*) FROM run", "2\n");
    assert_answer("taken.db", "SELECT count(*) FROM document WHERE name = 'two.txt'", "0\n");
    assert_status(route("taken.db", "two.txt --name second"), 0, "");
    assert_answer("taken.db", "SELECT status FROM run WHERE name = 'second'", "finished\n");
}

static void test_file_given_twice(void **state)
{
    (void)state;
    open_logbook("twice.db", "--set train.steps=2");
    assert_status(route("twice.db", "one.txt two.txt one.txt"), 2, "twice: 'one.txt' and 'one.txt'");
    assert_status(route("twice.db", "two.txt ./two.txt"), 2, "two.txt'");
    assert_answer("twice.db", "SELECT count(*) FROM run", "1\n");
    assert_answer("twice.db", "SELECT count(*) FROM document WHERE name LIKE '%two.txt'", "0\n");
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
    r = test_run("cd %s && cat losses.csv", folder);
    assert_non_null(strstr(r.out, "document,domain,tokens,loss,bits_per_byte"));
    assert_non_null(strstr(r.out, "one.txt,text,"));
    test_run_release(&r);
    /* whole or not at all */
    assert_status(route("out.db", "one.txt -o refused.csv"), 2, "already");
    assert_status(test_run("cd %s && test ! -e refused.csv", folder), 0, "");
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
