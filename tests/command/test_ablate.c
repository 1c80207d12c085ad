/* moescope ablate as a program: what it makes, that it makes it once, and that its figures are those of the
 * logbook. */
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
    tiny_expect(tiny_train(&tiny, "base.db", "two", "--set train.steps=40"), 0, "");
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

/* On a copy of base.db under that name. */
static struct test_run ablate(const char *db, const char *more)
{
    return test_run("cd %s && { test -e %s || cp base.db %s; } && %s/moescope-ablate %s --quiet %s",
                    tiny.folder, db, db, tiny.bin, db, more);
}

/* 2 layers of top-2 of 4 experts: nothing, 2 x 4 experts left out and rerouted, k = 1 twice, and the three
 * ways of choosing otherwise in each layer and in both. */
static void test_everything(void **state)
{
    (void)state;
    tiny_expect(ablate("all.db", "--run two"), 0, "");
    tiny_expect_answer(&tiny, "all.db",
                       "SELECT count(*), count(DISTINCT status) FROM run WHERE name LIKE 'two/%'", "28|1\n");
    /* As it was: the same losses as at the end of training, document by document. */
    tiny_expect_answer(
        &tiny, "all.db",
        "SELECT count(*), max(abs(a.loss_sum - b.loss_sum)) < 1e-9 FROM document_loss AS a JOIN run AS r ON "
        "r.run_id = a.run_id AND r.name = 'two/nothing' JOIN document_loss AS b ON b.run_id = 1 AND b.split "
        "= "
        "'valid' AND b.step = 40 AND b.document_id = a.document_id",
        "8|1\n");
    /* Nobody goes to an expert that is left out; loads of random choices are as they were. */
    tiny_expect_answer(
        &tiny, "all.db",
        "SELECT sum(assignments), sum(dropped) > 0 FROM expert_load JOIN run USING (run_id) WHERE "
        "name = 'two/without.layer1.expert2' AND layer = 1 AND expert = 2 AND domain_id IS NULL",
        "0|1\n");
    tiny_expect_answer(
        &tiny, "all.db",
        "SELECT count(*), max(abs(a.assignments - b.assignments)) FROM expert_load AS a JOIN run AS r ON "
        "r.run_id = a.run_id AND r.name = 'two/random' JOIN run AS s ON s.name = 'two/nothing' JOIN "
        "expert_load "
        "AS b ON b.run_id = s.run_id AND b.layer = a.layer AND b.expert = a.expert AND b.domain_id IS NULL "
        "WHERE a.domain_id IS NULL AND a.layer = 0",
        "4|0\n");
    tiny_expect(test_run("cd %s && %s/moescope-check all.db", tiny.folder, tiny.bin), 0, "");
}

/* A second call makes nothing; one that was broken off is made anew; other seeds and splits are others. */
static void test_once(void **state)
{
    (void)state;
    tiny_expect(ablate("once.db", "--run two --what random --layer 1"), 0, "");
    tiny_expect_answer(&tiny, "once.db", "SELECT count(*) FROM run", "3\n");
    tiny_expect(test_run("cd %s && chmod a-w once.db && mv base.db.checkpoints elsewhere", tiny.folder), 0,
                "");
    tiny_expect(ablate("once.db", "--run two --what random --layer 1"), 0, ""); /* needs no model */
    tiny_expect(ablate("once.db", "--run two --what k"), 3, "pass --checkpoint FILE");
    tiny_expect(test_run("cd %s && chmod u+w once.db && mv elsewhere base.db.checkpoints", tiny.folder), 0,
                "");
    char path[4096];
    snprintf(path, sizeof path, "%s/once.db", tiny.folder);
    char *before = tiny_ask(&tiny, "once.db",
                            "SELECT group_concat(round(loss_sum, 6)) FROM document_loss WHERE run_id = 3");
    test_sql(path, "UPDATE run SET status = 'running', finished_at = NULL WHERE run_id = 3;"
                   "DELETE FROM document_loss WHERE run_id = 3;");
    tiny_expect(ablate("once.db", "--run two --what random --layer 1"), 0, "");
    tiny_expect_answer(&tiny, "once.db",
                       "SELECT group_concat(round(loss_sum, 6)) FROM document_loss WHERE run_id = 3", before);
    free(before);
    tiny_expect_answer(&tiny, "once.db", "SELECT count(*) FROM run WHERE status = 'finished'", "3\n");
    tiny_expect(ablate("once.db", "--run two --what random --layer 1 --seed 1"), 0, "");
    tiny_expect(ablate("once.db", "--run two --what random --layer 1 --split probe"), 0, "");
    tiny_expect_answer(&tiny, "once.db", "SELECT group_concat(name, ' ') FROM run WHERE run_id > 3",
                       "two/random.layer1#1 two/nothing@probe two/random.layer1@probe\n");
}

/* The table's changes are differences of token-weighted means. */
static void test_figures(void **state)
{
    (void)state;
    tiny_expect(ablate("figures.db", "--run two --what k --table k --format csv -o k.csv"), 0, "");
    char *lost = tiny_ask(
        &tiny, "figures.db",
        "SELECT printf('%.6f', sum(a.loss_sum - b.loss_sum) / sum(a.n_tokens)) FROM document_loss AS a JOIN "
        "run AS "
        "r ON r.run_id = a.run_id AND r.name = 'two/k.layer0.1' JOIN run AS s ON s.name = 'two/nothing' JOIN "
        "document_loss AS b ON b.run_id = s.run_id AND b.document_id = a.document_id");
    struct test_run r = test_run("cd %s && awk -F, '$1 == 0 { printf \"%%.6f\\n\", $4 }' k.csv", tiny.folder);
    assert_string_equal(r.out, lost);
    test_run_release(&r);
    free(lost);
    r = ablate("figures.db", "--run two --no-new --table domains --format csv");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "k,0,,1,code,4,bits/byte,"));
    test_run_release(&r);
    r = ablate("figures.db", "--run two --no-new");
    assert_non_null(strstr(r.out, "layer 0:"));
    test_run_release(&r);
}

/* Ablations are no runs to choose among, and go with theirs. */
static void test_among_runs(void **state)
{
    (void)state;
    tiny_expect(ablate("among.db", "--what random"), 0, "");
    struct test_run r = test_run("cd %s && %s/moescope-runs among.db --format csv", tiny.folder, tiny.bin);
    assert_null(strstr(r.out, "two/random"));
    test_run_release(&r);
    r = test_run("cd %s && %s/moescope-runs among.db --all --format csv", tiny.folder, tiny.bin);
    assert_non_null(strstr(r.out, "two/random.layer1"));
    test_run_release(&r);
    r = test_run("cd %s && %s/moescope-collapse among.db", tiny.folder, tiny.bin); /* the only run */
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "two/random"));
    test_run_release(&r);
    tiny_expect(ablate("among.db", "--run two/nothing"), 2, "'two/nothing' is an ablation itself");
    tiny_expect(test_run("cd %s && %s/moescope-runs among.db --rename two=deux", tiny.folder, tiny.bin), 0,
                "");
    tiny_expect(ablate("among.db", "--run deux --what random"), 0, "");
    tiny_expect_answer(&tiny, "among.db", "SELECT count(*) FROM run", "5\n");
    tiny_expect(test_run("cd %s && %s/moescope-runs among.db --delete deux", tiny.folder, tiny.bin), 0, "");
    tiny_expect_answer(&tiny, "among.db", "SELECT count(*) FROM run", "0\n");
    tiny_expect(test_run("cd %s && %s/moescope-check among.db", tiny.folder, tiny.bin), 0, "");
}

static void test_refused(void **state)
{
    (void)state;
    tiny_expect(ablate("no.db", "--what knockout"), 2, "--what 'knockout' is none of");
    tiny_expect(ablate("no.db", "--layer 7"), 2, "no experts in layer 7");
    tiny_expect(ablate("no.db", "--split train"), 2, "--split is valid or probe");
    tiny_expect(ablate("no.db", "--run three"), 3, "no run named 'three'");
    tiny_expect(ablate("no.db", "--checkpoint base.db"), 3, "base.db");
    tiny_expect(ablate("no.db", "--corpus nowhere"), 3, "nowhere");
    tiny_expect_answer(&tiny, "no.db", "SELECT count(*) FROM run", "1\n");
    tiny_expect(tiny_train(&tiny, "dense.db", "dense", "--set train.steps=2 --set router.name=dense"), 0, "");
    tiny_expect(ablate("dense.db", ""), 3, "no MoE layers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything), cmocka_unit_test(test_once),    cmocka_unit_test(test_figures),
        cmocka_unit_test(test_among_runs), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
