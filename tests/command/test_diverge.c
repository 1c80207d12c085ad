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
    tiny_expect(tiny_train(&tiny, db, "r", settings), 3, "not finite");
    tiny_expect_answer(&tiny, db, "SELECT status FROM run", "failed\n");
    /* the last step that train logged is the one that diverged, under both kinds of event */
    tiny_expect_answer(
        &tiny, db,
        "SELECT count(*) FROM event WHERE kind = 'diverged' AND step = (SELECT max(step) FROM metric "
        "WHERE split = 'train') AND step > 0",
        "1\n");
    tiny_expect_answer(
        &tiny, db,
        "SELECT count(DISTINCT layer) > 0, count(*) = count(DISTINCT layer) FROM event WHERE kind = "
        "'not_finite' AND step = (SELECT step FROM event WHERE kind = 'diverged')",
        "1|1\n");
    tiny_expect_answer(
        &tiny, db,
        "SELECT status, value IS NULL FROM metric WHERE name = 'lm_loss' AND split = 'train' AND step "
        "= (SELECT step FROM event WHERE kind = 'diverged')",
        "nan|1\n");
    /* counts stay exact: 2 decisions of each token in each of the 2 layers */
    tiny_expect_answer(
        &tiny, db,
        "SELECT sum(assignments) = 4 * (SELECT sum(n_tokens) FROM document_loss WHERE split = 'train' "
        "AND step = l.step), max(gate_sum IS NULL), max(probability_sum IS NULL) FROM expert_load AS "
        "l WHERE split = 'train' AND domain_id IS NULL AND step = (SELECT step FROM event WHERE kind "
        "= 'diverged')",
        "1|1|1\n");
    tiny_expect(test_run("cd %s && %s/moescope-check %s", tiny.folder, tiny.bin, db), 0, "");
}

static void test_all_decisions(void **state)
{
    (void)state;
    assert_diverged("all.db", "");
    /* gates that nobody knows, of experts that the layer has */
    tiny_expect_answer(
        &tiny, "all.db",
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
