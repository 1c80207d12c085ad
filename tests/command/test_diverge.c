/* moescope train on a run that diverges: weights overflow within a few updates, the routers' probabilities
 * are NaN, and the logbook says all of it: the step, its losses, who failed. */
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

/* Every update multiplies the matrices by about 1 - 100 * 100, so that they leave a float's range within ten;
 * the norm of overflowing activations is 0, and 0 times infinity is the NaN that the routers meet. Auxiliary
 * losses would end the run before that, by their gradients. */
static const char *const hopeless =
    "--set train.steps=50 --set train.learning_rate=100 --set train.decay=100 --set train.warmup=0 "
    "--set train.clip=0 --set loss.z=0 --set loss.balance=0";

static void assert_diverged(const char *db, const char *more)
{
    char settings[512];

    snprintf(settings, sizeof settings, "%s %s", hopeless, more);
    assert_status(train(db, "r", settings), 3, "not finite");
    assert_answer(db, "SELECT status FROM run", "failed\n");
    /* the last step that train logged is the one that diverged, under both kinds of event */
    assert_answer(
        db,
        "SELECT count(*) FROM event WHERE kind = 'diverged' AND step = (SELECT max(step) FROM metric "
        "WHERE split = 'train') AND step > 0",
        "1\n");
    assert_answer(
        db,
        "SELECT count(DISTINCT layer) > 0, count(*) = count(DISTINCT layer) FROM event WHERE kind = "
        "'not_finite' AND step = (SELECT step FROM event WHERE kind = 'diverged')",
        "1|1\n");
    assert_answer(
        db,
        "SELECT status, value IS NULL FROM metric WHERE name = 'lm_loss' AND split = 'train' AND step "
        "= (SELECT step FROM event WHERE kind = 'diverged')",
        "nan|1\n");
    /* counts stay exact: 2 decisions of each token in each of the 2 layers */
    assert_answer(
        db,
        "SELECT sum(assignments) = 4 * (SELECT sum(n_tokens) FROM document_loss WHERE split = 'train' "
        "AND step = l.step), max(gate_sum IS NULL), max(probability_sum IS NULL) FROM expert_load AS "
        "l WHERE split = 'train' AND domain_id IS NULL AND step = (SELECT step FROM event WHERE kind "
        "= 'diverged')",
        "1|1|1\n");
    assert_status(test_run("cd %s && %s/moescope-check %s", folder, bin, db), 0, "");
}

static void test_all_decisions(void **state)
{
    (void)state;
    assert_diverged("all.db", "");
    /* gates that nobody knows, of experts that the layer has */
    assert_answer("all.db",
                  "SELECT min(expert) >= 0, max(expert) <= 3, max(gate IS NULL) FROM routing WHERE split = "
                  "'train' AND step = (SELECT step FROM event WHERE kind = 'diverged')",
                  "1|1|1\n");
}

static void test_no_decisions(void **state)
{
    (void)state;
    assert_diverged("none.db", "--set log.decisions=none");
}

static void test_renormalised_with_capacity(void **state)
{
    (void)state;
    assert_diverged("share.db", "--set router.renormalize=true --set router.capacity=8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_decisions),
        cmocka_unit_test(test_no_decisions),
        cmocka_unit_test(test_renormalised_with_capacity),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
