/* python/moescope.py: with numpy alone, at MoE blocks of torch models, and the example that trains one.
 * Without torch (Debian's python3-torch) its parts are skipped, and say so. */
#include <setjmp.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

#define PYTHON "MOESCOPE_LIBRARY='%s/libmoescope.so.0' PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "

static char *bin, *folder;

static int open_all(void **state)
{
    (void)state;
    bin = test_bin();
    folder = test_folder();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bin);
    return 0;
}

static bool has(const char *module)
{
    struct test_run r = test_run(
        "/usr/bin/python3 -c \"import importlib.util as u, sys; sys.exit(u.find_spec('%s') is None)\"",
        module);
    bool found = r.status == 0;
    if (!found)
        print_message("           skipped: /usr/bin/python3 has no %s\n", module);
    test_run_release(&r);
    return found;
}

static void expect_whole(const char *name)
{
    struct test_run r =
        test_run("'%s/moescope-check' --format csv '%s/%s' | awk -F, '$3 > 0'", bin, folder, name);
    assert_string_equal(r.out, "check,checked,violations,first_violation\n");
    test_run_release(&r);
}

static void run_script(const char *name)
{
    struct test_run r = test_run(PYTHON "tests/library/%s '%s'", bin, name, folder);
    if (r.status != 0 || strcmp(r.out, "done\n") != 0)
        fail_msg("%s: status %d\n%s%s", name, r.status, r.out, r.err);
    test_run_release(&r);
}

static void test_numpy(void **state)
{
    (void)state;
    if (!has("numpy"))
        return;
    run_script("binding.py");
    expect_whole("binding.db");
    expect_whole("passes.db");
}

static void test_blocks_of_torch(void **state)
{
    (void)state;
    if (!has("torch"))
        return;
    run_script("blocks.py");
    expect_whole("blocks.db");
}

/* Two domains of many little documents. */
static void write_text(void)
{
    struct test_run r =
        test_run("mkdir '%s/text' && for d in letters numbers; do mkdir '%s/text/'$d && i=0; "
                 "while [ $i -lt 60 ]; do i=$((i + 1)); case $d in "
                 "letters) echo \"the $i cats sat on a mat of theirs, and $i dogs sat beside\" ;; "
                 "*) seq -s ' ' $i $((i + 20)) ;; esac >'%s/text/'$d/$i.txt; done; done",
                 folder, folder, folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

#define EXAMPLE                                                                                              \
    PYTHON                                                                                                   \
    "examples/train_moe.py '%s/text' --log '%s/train.db' --layers 2 --width 16 --heads 2 --hidden 16 "       \
    "--experts 8 --context 24 --batch 8 --threads 1 "

static void train(const char *options)
{
    struct test_run r = test_run(EXAMPLE "%s", bin, folder, folder, options);
    if (r.status != 0)
        fail_msg("train_moe.py %s: status %d\n%s", options, r.status, r.err);
    test_run_release(&r);
}

static void expect_verb(const char *arguments)
{
    struct test_run r = test_run("cd '%s' && '%s/moescope' %s", folder, bin, arguments);
    if (r.status != 0 || r.out[0] == '\0')
        fail_msg("moescope %s: status %d\n%s", arguments, r.status, r.err);
    test_run_release(&r);
}

static void test_example(void **state)
{
    (void)state;
    if (!has("torch"))
        return;
    write_text();
    train("--steps 6 --evaluate-every 3 --name a");
    train("--steps 6 --evaluate-every 3 --name b --seed 1");
    expect_whole("train.db");
    expect_verb("collapse train.db --run a");
    expect_verb("specialization train.db --run a");
    expect_verb("demand train.db --run a");
    expect_verb("compare train.db a b");
    expect_verb("sql train.db runs");
}

static void test_overhead(void **state)
{
    (void)state;
    if (!has("torch"))
        return;
    struct test_run r =
        test_run("mkdir -p '%s/text/x' && seq 2000 >'%s/text/x/x.txt'; " EXAMPLE "--bench 2 --name c", folder,
                 folder, bin, folder, folder);
    const char header[] = "threads,pairs,seconds_off,seconds_on,ratio,low,high\n1,2,0.";
    if (r.status != 0 || strncmp(r.out, header, strlen(header)) != 0)
        fail_msg("status %d\n%s%s", r.status, r.out, r.err);
    test_run_release(&r);
}

static void test_no_text(void **state)
{
    (void)state;
    if (!has("torch"))
        return;
    struct test_run r =
        test_run(PYTHON "examples/train_moe.py '%s/none' --log '%s/none.db'", bin, folder, folder);
    assert_int_equal(r.status, 1);
    assert_non_null(strstr(r.err, "No such file or directory"));
    test_run_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numpy),   cmocka_unit_test(test_blocks_of_torch),
        cmocka_unit_test(test_example), cmocka_unit_test(test_overhead),
        cmocka_unit_test(test_no_text),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
