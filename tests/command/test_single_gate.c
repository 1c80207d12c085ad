/* moescope train with model.kind = single_gate: it stands on a base, begins as that base, and its logbook
 * adds up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/pictures.h"
#include "tests/support.h"
#include "tests/tiny.h"

static struct tiny tiny; /* its folder and programs; no text is made */

static struct test_run train(const char *db, const char *name, const char *more)
{
    return test_run(
        "cd %s && %s/moescope-train --log %s --name %s --set data.corpus=pictures --set train.batch=16 "
        "--set train.warmup=1 --set train.decay=0 --set valid.every=0 %s",
        tiny.folder, tiny.bin, db, name, more);
}

static const char *const gate =
    "--set model.kind=single_gate --set gate.base=log.db.checkpoints/base.safetensors --set gate.stage=1 "
    "--set "
    "router.experts=3 --set train.clip=0 --set train.learning_rate=0.01 --set gate.epochs=40 ";

static struct test_run train_gate(const char *name, const char *more)
{
    char settings[1024];

    snprintf(settings, sizeof settings, "%s%s", gate, more);
    return train("log.db", name, settings);
}

static int open_group(void **state)
{
    (void)state;
    pictures_open(&tiny);
    tiny_expect(train("log.db", "base",
                      "--set model.kind=convolution --set network.filters=3,4 --set network.hidden=6 --set "
                      "train.steps=60 --set train.learning_rate=0.01"),
                0, "");
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

/* Untrained experts are the base's own stages: base + expert says what the base does, exit or not. */
static void test_begins_as_the_base(void **state)
{
    (void)state;
    tiny_expect(train_gate("begin", "--set train.steps=0"), 0, "");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(DISTINCT value), count(*) FROM metric JOIN run USING (run_id) WHERE run.name = "
        "'begin' AND split = 'valid' AND (metric.name LIKE 'accuracy%' OR metric.name LIKE 'exit%accuracy')",
        "1|59\n");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT (SELECT value FROM metric JOIN run USING (run_id) WHERE run.name = 'base' AND split = "
        "'valid' AND metric.name = 'accuracy' AND step = 60) = (SELECT value FROM metric JOIN run "
        "USING (run_id) WHERE run.name = 'begin' AND split = 'valid' AND metric.name = "
        "'accuracy_base')",
        "1\n");
}

/* A threshold that every image's confidence reaches costs the base alone; one that none does, an expert each.
 */
static void test_costs(void **state)
{
    (void)state;
    tiny_expect(train_gate("trained", "--set train.steps=9"), 0, "");
    tiny_expect(test_run("cd %s && %s/moescope-check log.db", tiny.folder, tiny.bin), 0, "");
    tiny_expect_answer(
        &tiny, "log.db",
        "WITH m AS (SELECT metric.name, value FROM metric JOIN run USING (run_id) WHERE run.name = "
        "'trained' AND split = 'valid' AND step = 9) SELECT (SELECT value FROM m WHERE name = "
        "'exit_confidence_5_accuracy') = (SELECT value FROM m WHERE name = 'accuracy_base'), (SELECT "
        "value FROM m WHERE name = 'exit_confidence_5_multiply_adds') < (SELECT value FROM m WHERE "
        "name = 'multiply_adds'), (SELECT value FROM m WHERE name = 'exit_alpha_95_accuracy') = "
        "(SELECT value FROM m WHERE name = 'accuracy_base')",
        "1|1|1\n");
    /* one decision an image, audited by the whole vector of probabilities, which the gate is the largest of
     */
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT task, router, (SELECT n_experts || ' ' || k FROM moe_layer AS l WHERE l.run_id = "
        "run.run_id) FROM run WHERE name = 'trained'",
        "classification|single_gate|3 1\n");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(*), sum(abs(gate - (SELECT max(p.probability) FROM probability AS p WHERE "
        "p.sequence_id = r.sequence_id)) > 0.005) FROM routing AS r JOIN run USING (run_id) WHERE "
        "run.name = 'trained' AND split = 'probe' AND step = 9",
        "2|0\n");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(DISTINCT exit), count(*) FROM outcome JOIN run USING (run_id) WHERE run.name = "
        "'trained' AND split = 'valid' AND step = 9",
        "1|12\n");
}

/* What is told by expert adds up; training gives every expert as many images, the gate's own loads differ. */
static void test_adds_up(void **state)
{
    (void)state;
    tiny_expect_answer(
        &tiny, "log.db",
        "WITH e AS (SELECT substr(name, 8, 1) AS expert, max(CASE WHEN name LIKE '%images' THEN value END) "
        "AS "
        "n, max(CASE WHEN name LIKE '%accuracy' THEN value END) AS a, max(CASE WHEN name LIKE '%alone' THEN "
        "value END) AS l, max(CASE WHEN name LIKE '%base' THEN value END) AS b FROM (SELECT metric.name, "
        "value "
        "FROM metric JOIN run USING (run_id) WHERE run.name = 'trained' AND split = 'valid' AND step = 9 AND "
        "metric.name LIKE 'expert%') GROUP BY 1), m AS (SELECT metric.name, value FROM metric JOIN run USING "
        "(run_id) WHERE run.name = 'trained' AND split = 'valid' AND step = 9) SELECT sum(n), abs(sum(n * a) "
        "/ "
        "12 - (SELECT value FROM m WHERE name = 'accuracy_by_sample')) < 1e-9, abs(sum(n * l) / 12 - (SELECT "
        "value FROM m WHERE name = 'accuracy_by_sample_alone')) < 1e-9, abs(sum(n * b) / 12 - (SELECT value "
        "FROM m WHERE name = 'accuracy_base')) < 1e-9, (SELECT count(DISTINCT value) FROM m WHERE name IN "
        "('accuracy', 'accuracy_by_sample')) FROM e",
        "12.0|1|1|1|1\n");
    tiny_expect_answer(&tiny, "log.db",
                       "SELECT group_concat(n) FROM (SELECT sum(assignments) AS n FROM expert_load JOIN run "
                       "USING (run_id) WHERE run.name = 'trained' AND split = 'train' GROUP BY expert)",
                       "144,144,144\n");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(DISTINCT n) > 1 FROM (SELECT sum(assignments) AS n FROM expert_load JOIN "
        "run USING (run_id) WHERE run.name = 'trained' AND split = 'valid' AND domain_id IS "
        "NULL GROUP BY expert)",
        "1\n");
}

/* Without the ensembler an expert speaks, and learns, for itself. */
static void test_no_ensembler(void **state)
{
    (void)state;
    tiny_expect(train_gate("none", "--set train.steps=9 --set gate.ensembler=none"), 0, "");
    tiny_expect_answer(
        &tiny, "log.db",
        "WITH m AS (SELECT run.name AS run, metric.name, value FROM metric JOIN run USING (run_id) WHERE "
        "split = 'valid' AND step = 9) SELECT (SELECT count(DISTINCT value) FROM m WHERE run = 'none' AND "
        "name "
        "IN ('accuracy', 'accuracy_by_sample_alone')), (SELECT count(DISTINCT value) FROM m WHERE name = "
        "'loss' AND run IN ('none', 'trained'))",
        "1|2\n");
    tiny_expect_answer(&tiny, "log.db",
                       "SELECT count(DISTINCT value) FROM metric JOIN run USING (run_id) WHERE run.name IN "
                       "('none', 'trained') AND split = 'train' AND step = 8 AND metric.name = 'loss'",
                       "2\n");
}

/* The gate has a seed of its own: another one clusters anew, the same one does not. */
static void test_seed_of_the_gate(void **state)
{
    (void)state;
    tiny_expect(train_gate("seed-5", "--set train.steps=1 --set gate.seed=5"), 0, "");
    tiny_expect(train_gate("again-5", "--set train.steps=1 --set gate.seed=5 --seed 8"), 0, "");
    tiny_expect(train_gate("seed-6", "--set train.steps=1 --set gate.seed=6"), 0, "");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(DISTINCT p), "
        "count(DISTINCT CASE WHEN name <> 'seed-6' THEN p END) FROM (SELECT run.name AS name, "
        "group_concat(probability_sum) AS p FROM expert_load JOIN run USING (run_id) WHERE run.name IN "
        "('seed-5', 'again-5', 'seed-6') AND split = 'valid' AND step = 1 AND domain_id IS NULL GROUP BY "
        "run_id)",
        "2|1\n");
}

/* Times are told where they are asked for; how long is the machine's. */
static void test_timings(void **state)
{
    (void)state;
    tiny_expect(train_gate("timed", "--set train.steps=0 --set gate.timings=2 --set train.batch=64"), 0, "");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(*), min(value) > 0 FROM metric JOIN run USING (run_id) WHERE run.name = 'timed' AND "
        "metric.name LIKE 'milliseconds%'",
        "7|1\n");
    tiny_expect_answer(&tiny, "log.db",
                       "SELECT count(*) FROM metric JOIN run USING (run_id) WHERE run.name = 'trained' AND "
                       "metric.name LIKE 'milliseconds%'",
                       "0\n");
    tiny_expect(train_gate("bad", "--set gate.timings=2"), 2,
                "gate.timings needs a train.batch of at least 64");
}

/* Clusters, gate and draws included. */
static void test_same_for_any_threads(void **state)
{
    (void)state;
    tiny_expect(train_gate("whole", "--set train.steps=40"), 0, "");
    tiny_expect(train_gate("again", "--set train.steps=40 --set train.threads=3"), 0, "");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(DISTINCT value) FROM metric JOIN run USING (run_id) WHERE run.name IN ('whole', "
        "'again') AND split = 'valid' AND step = 40 AND metric.name = 'loss'",
        "1\n");
}

/* Trained together: logged by the same relations, so that the same analyses read them. */
static void test_joint_gate(void **state)
{
    static const char *const joint =
        "--set model.kind=joint_gate --set network.filters=3,4 --set network.hidden=6 --set gate.stage=1 "
        "--set router.experts=3 --set router.k=1 --set train.learning_rate=0.01 --set train.steps=20 "
        "--set loss.balance=0.5 ";
    char settings[1024];

    (void)state;
    snprintf(settings, sizeof settings,
             "%s --set train.steps=0 --set gate.base=log.db.checkpoints/base.safetensors", joint);
    tiny_expect(train("log.db", "joint", joint), 0, "");
    tiny_expect(train("log.db", "joint-from-base", settings), 0, "");
    tiny_expect(test_run("cd %s && %s/moescope-check log.db", tiny.folder, tiny.bin), 0, "");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT l.router, n_experts, k, (SELECT sum(e.parameters) FROM expert AS e WHERE e.run_id = "
        "l.run_id), "
        "(SELECT sum(x.assignments) FROM expert_load AS x WHERE x.run_id = l.run_id AND split = 'train'), "
        "(SELECT sum(x.assignments) FROM expert_load AS x WHERE x.run_id = l.run_id AND split = 'valid' AND "
        "x.domain_id IS NULL) FROM moe_layer AS l JOIN run USING (run_id) WHERE run.name = 'joint'",
        "topk|3|1|489|320|12\n");
    struct test_run r = test_run("cd %s && %s/moescope-collapse log.db --run joint --table load --window 20 "
                                 "--format csv",
                                 tiny.folder, tiny.bin);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\n0,0,"));
    test_run_release(&r);
    /* its experts are the base's own stages: it says what the base says, if with less weight */
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(*), count(DISTINCT value), min(value) > 0.4 FROM metric JOIN run USING (run_id) WHERE "
        "run.name IN ('base', 'joint-from-base') AND split = 'valid' AND metric.name = 'accuracy'",
        "2|1|1\n");
    snprintf(settings, sizeof settings,
             "%s --set gate.base=log.db.checkpoints/base.safetensors --set network.filters=3,5", joint);
    tiny_expect(train("log.db", "bad", settings), 2, "has different shapes in the two networks");
    snprintf(settings, sizeof settings, "%s --set gate.stage=2", joint);
    tiny_expect(train("log.db", "bad", settings), 2, "gate.stage is 2, but network.filters has 2 stages");
    snprintf(settings, sizeof settings, "%s --set router.name=bias", joint);
    tiny_expect(train("log.db", "bad", settings), 2, "joint_gate takes router.name = topk");
}

static void test_refused(void **state)
{
    (void)state;
    tiny_expect(train("log.db", "bad", "--set model.kind=single_gate"), 2, "gate.base is not set");
    tiny_expect(train("log.db", "bad", "--set model.kind=single_gate --set gate.base=none.safetensors"), 3,
                "none.safetensors");
    tiny_expect(train_gate("bad", "--set gate.stage=5"), 2, "gate.stage is 5, but the base has 2 stages");
    tiny_expect(train_gate("bad", "--set router.experts=1000"), 2, "more than there are train images");
    tiny_expect(train("log.db", "mlp", "--set model.kind=mlp --set train.steps=1"), 0, "");
    tiny_expect(train("log.db", "bad",
                      "--set model.kind=single_gate --set gate.base=log.db.checkpoints/mlp.safetensors"),
                2, "is of a model of kind mlp; it must be a convolution");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins_as_the_base),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_adds_up),
        cmocka_unit_test(test_no_ensembler),
        cmocka_unit_test(test_seed_of_the_gate),
        cmocka_unit_test(test_timings),
        cmocka_unit_test(test_same_for_any_threads),
        cmocka_unit_test(test_joint_gate),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
