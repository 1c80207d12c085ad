/* What the pages of docs/ show runs: every block of SQL and every command of docs/questions.md, and the
 * example of every relation in docs/schema.md, on tiny runs that are called what the demo's are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/tiny.h"

static struct tiny tiny;
static char *root; /* the repository's */

static int open_demo(void **state)
{
    static const char *const demo[][2] = {
        {"unigram", "--set model.kind=unigram"},
        {"top1-unbalanced", "--set router.k=1 --set loss.balance=0 --set loss.z=0"},
        {"top1-balanced", "--set router.k=1"},
        {"top2-balanced", "--set router.k=2"},
        {"top-p", "--set router.name=topp --set router.p=0.4"},
        {"dense", "--set router.name=dense"},
    };
    (void)state;
    root = getcwd(NULL, 0);
    tiny_open(&tiny);
    tiny_expect(test_run("cd %s && mkdir -p build/demo && ln -s %s bin", tiny.folder, tiny.bin), 0, "");
    for (size_t i = 0; i < sizeof demo / sizeof demo[0]; i++) {
        char more[256];
        snprintf(more, sizeof more, "--set train.steps=120 --set log.decisions=held_out --quiet %s",
                 demo[i][1]);
        tiny_expect(tiny_train(&tiny, "build/demo/demo.db", demo[i][0], more), 0, "");
    }
    return 0;
}

static int close_demo(void **state)
{
    (void)state;
    tiny_release(&tiny);
    free(root);
    return 0;
}

static void runs(const char *page)
{
    struct test_run r = test_run("cd %s && sh %s/scripts/run-docs.sh %s/%s", tiny.folder, root, root, page);
    if (r.status != 0)
        fail_msg("%s%s", r.out, r.err);
    test_run_release(&r);
}

static void test_questions(void **state)
{
    (void)state;
    runs("docs/questions.md");
}

static void test_relations(void **state)
{
    (void)state;
    runs("docs/schema.md");
}

/* Every relation of the page has an example, and the page every relation. */
static void test_every_relation_has_an_example(void **state)
{
    (void)state;
    struct test_run r = test_run("grep -c '^## ' docs/schema.md; grep -c '^```sql$' docs/schema.md");
    char *second = strchr(r.out, '\n');
    assert_non_null(second);
    assert_int_equal(strtol(r.out, NULL, 10), strtol(second, NULL, 10));
    assert_true(strtol(r.out, NULL, 10) >= 25);
    test_run_release(&r);
    /* Of those that people query; the page is made from the same files. */
    tiny_expect_answer(
        &tiny, "build/demo/demo.db",
        "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'",
        "32\n");
    r = test_run("grep -c '^## ' docs/schema.md");
    assert_string_equal(r.out, "32\n");
    test_run_release(&r);
}

/* What fails, or answers nothing, is told with its place. */
static void test_a_page_that_is_wrong(void **state)
{
    (void)state;
    test_write_text(tiny.folder, "wrong.md",
                    "# x\n\n```sql\nSELECT 1;\n```\n\n```sql\nSELECT absent FROM run;\n```\n\n"
                    "```sh\ntrue\n```\n\n```sh\necho 1; false\n```\n");
    struct test_run r = test_run("cd %s && sh %s/scripts/run-docs.sh wrong.md", tiny.folder, root);
    assert_int_equal(r.status, 1);
    assert_null(strstr(r.err, "line 3:"));
    assert_non_null(strstr(r.err, "wrong.md: the block at line 7: "));
    assert_non_null(strstr(r.err, "no such column"));
    assert_non_null(strstr(r.err, "wrong.md: the block at line 11: no answer"));
    assert_non_null(strstr(r.err, "wrong.md: the block at line 15: 1"));
    test_run_release(&r);
    test_write_text(tiny.folder, "empty.md", "no blocks\n");
    r = test_run("cd %s && sh %s/scripts/run-docs.sh empty.md", tiny.folder, root);
    assert_int_equal(r.status, 1);
    test_run_release(&r);
}

/* At least thirty of them, each with its question. */
static void test_canned_queries(void **state)
{
    (void)state;
    struct test_run r =
        test_run("%s/moescope-sql --list --format csv | grep -c '?\"*$'; ls sql/queries | wc -l", tiny.bin);
    char *all = strchr(r.out, '\n');
    assert_non_null(all);
    assert_int_equal(strtol(r.out, NULL, 10), strtol(all, NULL, 10));
    assert_true(strtol(r.out, NULL, 10) >= 30);
    test_run_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_relations),
        cmocka_unit_test(test_every_relation_has_an_example),
        cmocka_unit_test(test_a_page_that_is_wrong),
        cmocka_unit_test(test_canned_queries),
    };
    return cmocka_run_group_tests(tests, open_demo, close_demo);
}
