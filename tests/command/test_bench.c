/* The benches still work, in small: they run to their end, answer in JSON, and what they log is sound. Their
 * figures are for people, not for tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

static char *folder, *bench; /* where files go; where the benches are */

static void expect(struct test_run r, const char *said)
{
    if (r.status != 0 || strstr(r.out, said) == NULL) {
        fail_msg("status %d, and not '%s' but: %s%s", r.status, said, r.out, r.err);
    }
    test_run_release(&r);
}

/* Both tables hold as many decisions: the bench fails if a question has other answers. */
static void test_logbook(void **state)
{
    char *bin = test_bin();
    (void)state;
    expect(test_run("%s/logbook --quiet --decisions 40000 --folder '%s' --json '%s/logbook.json'", bench,
                    folder, folder),
           "GROUP BY layer, expert");
    expect(
        test_run(
            "sqlite3 :memory: \"SELECT group_concat(value ->> 'unit', '|'), count(value ->> 'times_better') "
            "FROM json_each(readfile('%s/logbook.json'))\"",
            folder),
        "M decisions/s|M decisions/processor s|M decisions/s|bytes/decision|M decisions/s|M "
        "decisions/s|M decisions/s|ms|ms|"
        "M decisions/s|8\n");
    expect(test_run(
               "%s/logbook -q --writer-only --decisions 40000 --varying --k 4 --gate-bits 16 --keep --folder "
               "'%s' && %s/moescope-check '%s/logbook.db'",
               bench, folder, bin, folder),
           "decoding");
    free(bin);
}

static void test_large(void **state)
{
    char *bin = test_bin();
    (void)state;
    expect(test_run("%s/large --quiet --decisions 200000 --folder '%s' --make-only && %s/moescope-check "
                    "'%s/large.db'",
                    bench, folder, bin, folder),
           "router_figures");
    free(bin);
}

static void test_import(void **state)
{
    char *bin = test_bin();
    (void)state;
    expect(test_run("%s/import --decisions 100000 --layers 4 --bin %s --keep --folder '%s' --format csv && "
                    "%s/moescope-check '%s/import.db'",
                    bench, bin, folder, bin, folder),
           "npy,import,");
    free(bin);
}

static void test_overhead(void **state)
{
    (void)state;
    expect(
        test_run("%s/overhead --quiet --pairs 2 --block 1 --folder '%s' --set model.width=16 --set "
                 "model.heads=2 --set model.layers=1 --set model.context=16 --set train.tokens_per_step=64 "
                 "--set router.experts=4 --set router.k=2 --set router.hidden=8 --format csv",
                 bench, folder),
        "decision-heavy: width 64, 8 layers, top-8 of 64\",2,");
}

/* Every router has its row, beside top-k with as many experts a token. */
static void test_routers(void **state)
{
    (void)state;
    expect(test_run(
               "%s/routers --quiet --steps 1 --json '%s/routers.json' --vocabulary 100 --set model.width=16 "
               "--set model.heads=2 --set model.layers=1 --set model.context=16 --set "
               "train.tokens_per_step=64 --set router.hidden=8",
               bench, folder),
           "Routers beside top-k");
    expect(test_run(
               "sqlite3 :memory: \"SELECT group_concat(value ->> 'router'), max(abs((value ->> 'k') - (value "
               "->> 'top_k'))) < 0.5, min(value ->> 'ratio') > 0 FROM "
               "json_each(readfile('%s/routers.json'))\"",
               folder),
           "topk,topp,mask,hash,bias,relu,expert_choice,noisy_topk|1|1\n");
}

/* By hand, of 4 images: 784 * 9 * 2 twice, then 196 * 18 * 3, 147 * 4 and 4 * 10 three times each. */
static void test_convolution(void **state)
{
    (void)state;
    expect(test_run("%s/convolution --quiet --blocks 2 --threads 2 --json '%s/convolution.json' --set "
                    "network.filters=2,3 --set network.hidden=4 --set train.batch=4",
                    bench, folder),
           "A convolutional step beside its products");
    expect(
        test_run("sqlite3 :memory: \"SELECT count(*), min(value ->> 'share') > 0, max(value ->> 'threads'), "
                 "max(abs(5e8 * (value ->> 'gflop') - 247440)) < 1 FROM "
                 "json_each(readfile('%s/convolution.json'))\"",
                 folder),
        "2|1|2|1\n");
}

/* k = n, 3/4, 1/2, 1/4, for all images together and for each; weights that are closed are not touched. */
static void test_soft(void **state)
{
    (void)state;
    expect(
        test_run(
            "%s/soft --quiet --rounds 2 --experts 4 --layers 2 --width 32 --hidden 64 --tokens 4 --images 1 "
            "-b 3 --json '%s/soft.json'",
            bench, folder),
        "A forward pass with k experts loaded and run");
    expect(test_run("sqlite3 :memory: \"SELECT group_concat(value ->> 'k'), sum((value ->> 'loaded') = "
                    "(value ->> 'k')) "
                    ">= 8, min(value ->> 'ratio') > 0, min((value ->> 'low') <= (value ->> 'ratio')) FROM "
                    "json_each(readfile('%s/soft.json'))\"",
                    folder),
           "4,3,2,1,4,3,2,1,3,2,1|1|1|1\n");
    struct test_run r = test_run("%s/soft --experts 6", bench);
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "--experts must be a multiple of 4"));
    test_run_release(&r);
}

#define TINY                                                                                                 \
    "--set model.width=16 --set model.heads=2 --set model.layers=1 --set model.context=16 --set "            \
    "train.tokens_per_step=64 --set router.experts=4 --set router.k=2 --set router.hidden=8 --vocabulary "   \
    "100"

/* One and two threads train to the same bytes, twice each, and on another day. */
static void test_step(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        expect(test_run("%s/step --quiet --blocks 1 --threads %s --json '%s/step%d.json' " TINY, bench,
                        i ? "2" : "1,2", folder, i),
               "the same bytes in both runs");
    expect(
        test_run(
            "sqlite3 :memory: \"SELECT count(DISTINCT a.value ->> 'sha256'), count(a.value ->> 'sha256'), "
            "sum(b.value ->> 'sha256' = a.value ->> 'sha256'), sum(a.value ->> 'part' LIKE '%%OTHER%%') FROM "
            "json_each(readfile('%s/step0.json')) AS a LEFT JOIN json_each(readfile('%s/step1.json')) AS "
            "b ON b.value ->> 'sha256' = a.value ->> 'sha256'\"",
            folder, folder),
        "1|3|3|0\n");
    struct test_run r = test_run("%s/step --threads 1,x", bench);
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "--threads takes up to 8 numbers"));
    test_run_release(&r);
}

/* Activated experts, all of one size: 64 tokens, width 256, 6 * 3 * 256 * 512 operations each. */
static void test_grid(void **state)
{
    (void)state;
    expect(
        test_run("%s/grid --quiet --blocks 1 --group activated --megabytes 500 --set router.experts=8 --set "
                 "train.tokens_per_step=128 --vocabulary 100 --json '%s/grid.json'",
                 bench, folder),
        "Steps of one block");
    expect(test_run("sqlite3 :memory: \"SELECT group_concat(value ->> 'k'), min(value ->> 'share') > 0, "
                    "max(abs((value ->> 'experts_gflop') - 0.302 * (value ->> 'k'))) < 0.001 * 8 FROM "
                    "json_each(readfile('%s/grid.json'))\"",
                    folder),
           "1,2,3,4,6,8|1|1\n");
    struct test_run r = test_run("%s/grid --group none", bench);
    assert_int_equal(r.status, 2);
    test_run_release(&r);
}

/* Every decision, once: as many lines as the virtual table has rows, and the same gates. */
static void test_unpack(void **state)
{
    char *bin = test_bin();
    (void)state;
    expect(test_run(
               "%s/logbook --quiet --writer-only --decisions 20000 --varying --keep --folder '%s/unpack' && "
               "%s/unpack '%s/unpack/logbook.db' -o '%s/unpack/rows.csv' && sqlite3 -cmd '.load %s/moescope' "
               "'%s/unpack/logbook.db' '.mode csv' 'CREATE TEMP TABLE r(sequence_id INT, layer INT, position "
               "INT, slot INT, expert INT, gate REAL)' '.import --schema temp %s/unpack/rows.csv r' 'SELECT "
               "count(*) = (SELECT count(*) FROM routing), count(*) = (SELECT count(*) FROM r), "
               "max(abs(r.gate - x.gate)) "
               "< 1e-7 FROM r JOIN routing AS x USING (sequence_id, layer, position, slot, expert)'",
               bench, folder, bench, folder, folder, bin, folder, folder),
           "1,1,1\n");
    free(bin);
}

static int open_group(void **state)
{
    (void)state;
    folder = test_folder();
    bench = test_bench();
    return bench ? 0 : -1;
}

static int close_group(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bench);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logbook),  cmocka_unit_test(test_large),   cmocka_unit_test(test_import),
        cmocka_unit_test(test_overhead), cmocka_unit_test(test_routers), cmocka_unit_test(test_convolution),
        cmocka_unit_test(test_soft),     cmocka_unit_test(test_step),    cmocka_unit_test(test_grid),
        cmocka_unit_test(test_unpack),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
