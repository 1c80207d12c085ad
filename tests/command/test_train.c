/* moescope train and route as programs: a run that is interrupted and resumed is the same run, a killed one
 * goes on, bad input is refused with the right words and status and leaves no run behind. */
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

static void train_well(const char *db, const char *name, const char *more)
{
    struct test_run r = tiny_train(&tiny, db, name, more);

    if (r.status != 0)
        fail_msg("%s", r.err);
    test_run_release(&r);
}

/* Starts training in the background and sends a signal once the logbook has that many steps. */
static void interrupt(const char *db, const char *name, const char *more, int step, const char *signal,
                      int status)
{
    struct test_run r =
        test_run("cd %s && %s/moescope-train --log %s --name %s %s %s & p=$!; "
                 "i=0; while [ $i -lt 600 ]; do "
                 "n=$(cd %s && sqlite3 -readonly %s \"SELECT max(step) FROM metric WHERE split = 'train'\" "
                 "2>/dev/null); "
                 "[ \"${n:-0}\" -ge %d ] && break; sleep 0.05; i=$((i + 1)); done; kill -%s $p; wait $p",
                 tiny.folder, tiny.bin, db, name, tiny_model, more, tiny.folder, db, step, signal);

    assert_int_equal(r.status, status);
    test_run_release(&r);
}

static const char *const long_run = "--set train.steps=1500";

static void test_interrupted_run_is_the_same_run(void **state)
{
    (void)state;
    train_well("unbroken.db", "r", long_run);
    interrupt("broken.db", "r", long_run, 100, "INT", 130);
    tiny_expect_answer(&tiny, "broken.db", "SELECT status FROM run", "interrupted\n");
    tiny_expect_answer(&tiny, "broken.db",
                       "SELECT count(*) FROM metric WHERE step >= (SELECT max(step) FROM checkpoint)", "0\n");
    train_well("broken.db", "r", "--resume --set train.steps=1500");
    tiny_expect_same(&tiny, "unbroken.db", "broken.db");
    tiny_expect_answer(&tiny, "broken.db", "SELECT count(*) > 0 FROM event WHERE kind = 'resumed'", "1\n");
    struct test_run r =
        test_run("cd %s && cmp unbroken.db.checkpoints/r.safetensors broken.db.checkpoints/r.safetensors",
                 tiny.folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

static void test_killed_run_goes_on(void **state)
{
    (void)state;
    train_well("whole.db", "r", long_run);
    interrupt("killed.db", "r", long_run, 120, "KILL", 137);
    tiny_expect_answer(&tiny, "killed.db", "SELECT status FROM run", "running\n");
    train_well("killed.db", "r", "--resume --set train.steps=1500");
    tiny_expect_same(&tiny, "whole.db", "killed.db");
}

static void test_resume_without_configuration_takes_the_checkpoints(void **state)
{
    struct test_run r;

    (void)state;
    interrupt("again.db", "r", long_run, 20, "INT", 130);
    r = test_run("cd %s && %s/moescope-train --log again.db --name r --resume", tiny.folder, tiny.bin);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    tiny_expect_answer(&tiny, "again.db", "SELECT status, (SELECT max(step) FROM metric) FROM run",
                       "finished|1500\n");
    r = test_run("cd %s && %s/moescope-train --log again.db --name r --resume", tiny.folder, tiny.bin);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "finished already"));
    test_run_release(&r);
}

/* Requested = logged + dropped, in every step and layer; document_loss is the sum of token_loss, its bytes
 * are those of the targets. */
static void test_everything_adds_up(void **state)
{
    (void)state;
    train_well("sums.db", "plain", "--set train.steps=40");
    train_well("sums.db", "capped", "--set train.steps=40 --set router.capacity=1");
    train_well("sums.db", "dense", "--set train.steps=40 --set router.name=dense");
    tiny_expect_answer(
        &tiny, "sums.db",
        "WITH logged AS (SELECT run_id, step, split, layer, count(*) AS rows, sum(dropped) AS dropped "
        "FROM routing GROUP BY 1, 2, 3, 4), told AS (SELECT run_id, step, split, layer, sum(assignments) AS "
        "a, "
        "sum(dropped) AS d FROM expert_load WHERE domain_id IS NULL GROUP BY 1, 2, 3, 4), asked AS (SELECT "
        "run_id, step, split, sum(n_tokens) AS tokens FROM document_loss GROUP BY 1, 2, 3) "
        "SELECT count(*) > 100, sum(rows <> a + d OR logged.dropped <> d OR rows <> 2 * tokens) FROM told "
        "JOIN logged USING (run_id, step, split, layer) JOIN asked USING (run_id, step, split)",
        "1|0\n");
    tiny_expect_answer(&tiny, "sums.db",
                       "SELECT name, sum(dropped) > 0 FROM expert_load JOIN run USING (run_id) GROUP BY 1",
                       "capped|1\nplain|0\n");
    tiny_expect_answer(
        &tiny, "sums.db",
        "SELECT max(abs(loss_sum - total) / n_tokens) < 0.5 / 1024 + 1e-6 FROM document_loss JOIN "
        "(SELECT run_id, "
        "step, split, document_id, sum(loss) AS total FROM token_loss GROUP BY 1, 2, 3, 4) "
        "USING (run_id, step, split, document_id)",
        "1\n");
    tiny_expect_answer(
        &tiny, "sums.db",
        "SELECT count(*) > 100, sum(n_bytes <> bytes) FROM document_loss JOIN (SELECT run_id, step, split, "
        "document_id, sum(octets) AS bytes FROM token_loss JOIN (SELECT token_id AS target_id, CASE kind "
        "WHEN "
        "'special' THEN 0 WHEN 'byte' THEN 1 ELSE length(CAST(text AS BLOB)) END AS octets FROM token) USING "
        "(target_id) GROUP BY 1, 2, 3, 4) USING (run_id, step, split, document_id)",
        "1|0\n");
    struct test_run r = test_run("cd %s && %s/moescope-check sums.db", tiny.folder, tiny.bin);
    if (r.status != 0)
        fail_msg("%s%s", r.out, r.err);
    test_run_release(&r);
}

static void test_what_is_kept(void **state)
{
    (void)state;
    train_well("kept.db", "probe", "--set train.steps=20 --set log.decisions=probe");
    train_well("kept.db", "none", "--set train.steps=20 --set log.decisions=none --set log.gate_bits=16");
    tiny_expect_answer(&tiny, "kept.db", "SELECT DISTINCT name, split FROM sequence JOIN run USING (run_id)",
                       "probe|probe\n");
    tiny_expect_answer(
        &tiny, "kept.db",
        "SELECT name, count(DISTINCT split), min(n) FROM (SELECT name, split, count(DISTINCT step) AS n FROM "
        "expert_load JOIN run USING (run_id) GROUP BY 1, 2) GROUP BY 1",
        "none|3|2\nprobe|3|2\n");
}

static void test_baselines(void **state)
{
    (void)state;
    train_well("counts.db", "unigram", "--set model.kind=unigram");
    train_well("counts.db", "bigram", "--set model.kind=bigram");
    train_well("counts.db", "model", "--set train.steps=10");
    tiny_expect_answer(
        &tiny, "counts.db", /* over the same predictions */
        "SELECT count(DISTINCT tokens), count(*) FROM (SELECT run_id, sum(n_tokens) AS tokens FROM "
        "document_loss "
        "WHERE split = 'valid' AND step = 0 GROUP BY 1)",
        "1|3\n");
    tiny_expect_answer(
        &tiny, "counts.db",
        "SELECT max(value) FILTER (WHERE run.name = 'bigram') < max(value) FILTER (WHERE run.name = "
        "'unigram') "
        "FROM metric JOIN run USING (run_id) WHERE metric.name = 'loss' AND split = 'valid' AND step = 0",
        "1\n");
}

/* A document read whole counts for its bytes, a part of it for fewer; a run's bits per byte are over those.
 */
static void test_bits_per_byte(void **state)
{
    (void)state;
    train_well("bytes.db", "unigram", "--set model.kind=unigram --set valid.tokens_per_document=100");
    train_well("bytes.db", "model", "--set train.steps=10 --set valid.tokens_per_document=100000");
    train_well("bytes.db", "part", "--set train.steps=2 --set valid.tokens_per_document=100");
    tiny_expect_answer(
        &tiny, "bytes.db",
        "SELECT run.name, count(DISTINCT document_id), min(l.n_bytes < d.n_bytes), max(l.n_bytes < "
        "d.n_bytes) FROM document_loss AS l JOIN document AS d USING (document_id) JOIN run USING "
        "(run_id) WHERE l.split = 'valid' GROUP BY 1",
        "model|8|0|0\npart|8|1|1\nunigram|8|1|1\n");
    tiny_expect_answer(
        &tiny, "bytes.db",
        "SELECT name, count(*), max(abs(value - bits)) < 1e-12 FROM (SELECT run_id, step, split, value FROM "
        "metric WHERE metric.name = 'bits_per_byte') JOIN (SELECT run_id, step, split, sum(loss_sum) / ln(2) "
        "/ sum(n_bytes) AS bits FROM document_loss GROUP BY 1, 2, 3) USING (run_id, step, split) JOIN run "
        "USING (run_id) WHERE split = 'valid' GROUP BY 1",
        "model|2|1\npart|2|1\nunigram|1|1\n");
    tiny_expect_answer(
        &tiny, "bytes.db", /* a baseline's predictions stand for the same bytes as a model's */
        "SELECT count(*), count(DISTINCT document_id || ' ' || n_bytes) FROM document_loss JOIN run USING "
        "(run_id) WHERE split = 'valid' AND step = 0 AND name IN ('part', 'unigram')",
        "16|8\n");
}

static void test_divergence_is_logged_and_the_checkpoint_kept(void **state)
{
    struct test_run r;

    (void)state;
    r = tiny_train(&tiny, "nan.db", "r",
                   "--set train.steps=200 --set train.learning_rate=100 --set train.clip=0 "
                   "--set train.warmup=0 --set train.checkpoint_every=1 --set train.decay=100");
    assert_int_equal(r.status, 3);
    assert_non_null(strstr(r.err, "not finite"));
    test_run_release(&r);
    tiny_expect_answer(&tiny, "nan.db", "SELECT status FROM run", "failed\n");
    tiny_expect_answer(&tiny, "nan.db",
                       "SELECT count(*) > 0 FROM metric WHERE status <> 'ok' AND value IS NULL AND name IN "
                       "('loss', 'grad_norm')",
                       "1\n");
    tiny_expect_answer(&tiny, "nan.db", "SELECT count(*) FROM event WHERE kind = 'diverged'", "1\n");
    r = test_run("test -s %s/nan.db.checkpoints/r.safetensors", tiny.folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

static struct test_run resume(const char *db, const char *more)
{
    return test_run("cd %s && %s/moescope-train --log %s --name r --resume %s", tiny.folder, tiny.bin, db,
                    more);
}

static void assert_done(struct test_run r)
{
    if (r.status != 0)
        fail_msg("%s", r.err);
    test_run_release(&r);
}

/* Nothing may be forgotten because a checkpoint, a corpus or a logbook is not where it was. */
static void test_resume_refuses_what_would_lose_or_mix_runs(void **state)
{
    (void)state;
    interrupt("lost.db", "r", long_run, 60, "INT", 130);
    assert_done(test_run("cd %s && cp lost.db older.db && cp lost.db moved.db && "
                         "mv lost.db.checkpoints/r.safetensors kept.safetensors",
                         tiny.folder));
    tiny_expect(resume("lost.db", ""), 3, "pass --checkpoint");
    tiny_expect_answer(&tiny, "lost.db", "SELECT status, (SELECT max(step) FROM metric) >= 60 FROM run",
                       "interrupted|1\n");
    tiny_expect(resume("lost.db", "--checkpoint kept.safetensors --seed 5"), 2, "has seed 0");
    tiny_expect(resume("lost.db", "--checkpoint kept.safetensors --set train.steps=900"), 2,
                "train.steps was 1500, now it is 900");
    assert_done(test_run("cd %s && sqlite3 older.db 'DELETE FROM metric WHERE step > 20'", tiny.folder));
    tiny_expect(resume("older.db", "--checkpoint kept.safetensors"), 3, "older copy");
    train_well("other.db", "r", "--set train.steps=10 --seed 7");
    tiny_expect(resume("lost.db", "--checkpoint other.db.checkpoints/r.safetensors"), 3, "seed 7");
    assert_done(test_run("cd %s && cp -r corpus elsewhere", tiny.folder));
    assert_done(resume("moved.db", "--checkpoint kept.safetensors --set data.corpus=elsewhere "
                                   "--set train.learning_rate=2e-3"));
    tiny_expect_answer(&tiny, "moved.db", "SELECT status, (SELECT max(step) FROM metric) FROM run",
                       "finished|1500\n");
}

/* Killed before its first checkpoint, a run begins anew, but as what it was. */
static void test_resume_without_a_checkpoint_keeps_the_configuration(void **state)
{
    const char *first = "--set train.steps=300 --set train.checkpoint_every=0 --set router.k=1";

    (void)state;
    interrupt("early.db", "r", first, 5, "KILL", 137);
    tiny_expect(resume("early.db", "--set router.k=2"), 2, "router.k was 1, now it is 2");
    assert_done(resume("early.db", ""));
    tiny_expect_answer(
        &tiny, "early.db",
        "SELECT DISTINCT run.status, k, (SELECT max(step) FROM metric) FROM run JOIN moe_layer "
        "USING (run_id)",
        "finished|1|300\n");
    tiny_expect(resume("early.db", "--set router.k=2"), 2, "router.k was 1");
}

static void test_one_trainer_a_run(void **state)
{
    struct test_run r;

    (void)state;
    r = test_run("cd %s && mkdir -p held.db.checkpoints && flock -n held.db.checkpoints/r.safetensors.lock "
                 "%s/moescope-train --log held.db --name r %s --set train.steps=2",
                 tiny.folder, tiny.bin, tiny_model);
    tiny_expect(r, 2, "run 'r' is being trained");
    train_well("held.db", "r", "--set train.steps=2");
    assert_done(test_run("! test -e %s/held.db.checkpoints/r.safetensors.lock", tiny.folder));
}

static void test_dry_run_writes_nothing(void **state)
{
    (void)state;
    tiny_expect(tiny_train(&tiny, "dry.db", "r", "--dry-run"), 0, "the run will add about");
    assert_done(test_run("cd %s && ! ls -d dry.db* 2>/dev/null", tiny.folder));
}

static void test_bad_configuration(void **state)
{
    (void)state;
    tiny_expect(tiny_train(&tiny, "bad.db", "r", "--set model.widht=8"), 2, "did you mean 'model.width'");
    tiny_expect(tiny_train(&tiny, "bad.db", "r", "--set router.name=oracle"), 2,
                "must be one of: dense, topk");
    tiny_expect(tiny_train(&tiny, "bad.db", "r", "--set model.heads=3"), 2, "does not divide");
    tiny_expect(tiny_train(&tiny, "bad.db", "r", "--set router.k=5"), 2,
                "router.k is 5 but there are 4 experts");
    tiny_expect(tiny_train(&tiny, "bad.db", "r", "--set router.k=1 --set router.renormalize=true"), 2,
                "learns nothing");
    tiny_expect(tiny_train(&tiny, "bad.db", "r", "--set train.steps=many"), 2, "not a number");
    tiny_expect(tiny_train(&tiny, "bad.db", "r", "--set train.tokens_per_step=16"), 2,
                "less than model.context");
    test_write(tiny.folder, "bad.ini", "[model]\nwidth = 16\n[router]\nexpert = 4\n", 39);
    tiny_expect(tiny_train(&tiny, "bad.db", "r", "--config bad.ini"), 2, "'bad.ini' line 4");
    tiny_expect(tiny_train(&tiny, "bad.db", "r", "--config none.ini"), 3, "none.ini");
    tiny_expect(test_run("cd %s && test ! -e bad.db || sqlite3 bad.db 'SELECT 1 / (count(*) = 0) FROM "
                         "run' >&2 && echo ok >&2",
                         tiny.folder),
                0, "ok");
}

static void test_bad_files(void **state)
{
    (void)state;
    train_well("taken.db", "r", "--set train.steps=2");
    tiny_expect(tiny_train(&tiny, "taken.db", "r", "--set train.steps=2"), 2, "'r'");
    tiny_expect(tiny_train(&tiny, "taken.db", "s", "--set data.corpus=nowhere"), 3, "nowhere");
    const char text[] = "this is no logbook";
    test_write(tiny.folder, "text.db", text, sizeof text - 1);
    tiny_expect(tiny_train(&tiny, "text.db", "r", "--set train.steps=2"), 3, "text.db");
    struct test_run r =
        test_run("cd %s && cp taken.db newer.db && sqlite3 newer.db 'PRAGMA user_version = 99'", tiny.folder);
    test_run_release(&r);
    tiny_expect(tiny_train(&tiny, "newer.db", "s", "--set train.steps=2"), 3, "99");
    tiny_expect_answer(&tiny, "taken.db", "SELECT count(*), min(status) FROM run", "1|finished\n");
}

static void test_route(void **state)
{
    struct test_run r;

    (void)state;
    train_well("route.db", "r", "--set train.steps=30");
    const char text[] = "the cold river runs\n", broken[] = "caf\xe9\n";
    test_write(tiny.folder, "new.txt", text, sizeof text - 1);
    test_write(tiny.folder, "broken.txt", broken, sizeof broken - 1);
    r = test_run(
        "cd %s && %s/moescope-route route.db --checkpoint route.db.checkpoints/r.safetensors new.txt "
        "--domain letters --format csv",
        tiny.folder, tiny.bin);
    if (r.status != 0)
        fail_msg("%s", r.err);
    assert_non_null(strstr(r.out, "new.txt,letters,"));
    test_run_release(&r);
    tiny_expect_answer(&tiny, "route.db",
                       "SELECT run.name, run.status, split, step, count(*) / count(DISTINCT layer) = 2 * "
                       "count(DISTINCT position) "
                       "FROM routing JOIN run USING (run_id) WHERE split = 'routed' GROUP BY 1, 2, 3, 4",
                       "r-routed|finished|routed|30|1\n");
    tiny_expect(test_run("cd %s && %s/moescope-route route.db --name x --checkpoint "
                         "route.db.checkpoints/r.safetensors broken.txt",
                         tiny.folder, tiny.bin),
                3, "broken.txt");
    tiny_expect(test_run("cd %s && %s/moescope-route route.db --name x --checkpoint new.txt new.txt",
                         tiny.folder, tiny.bin),
                3, "checkpoint");
    tiny_expect_answer(&tiny, "route.db", "SELECT count(*) FROM run WHERE name = 'x'", "0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupted_run_is_the_same_run),
        cmocka_unit_test(test_killed_run_goes_on),
        cmocka_unit_test(test_resume_without_configuration_takes_the_checkpoints),
        cmocka_unit_test(test_everything_adds_up),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_baselines),
        cmocka_unit_test(test_bits_per_byte),
        cmocka_unit_test(test_divergence_is_logged_and_the_checkpoint_kept),
        cmocka_unit_test(test_resume_refuses_what_would_lose_or_mix_runs),
        cmocka_unit_test(test_resume_without_a_checkpoint_keeps_the_configuration),
        cmocka_unit_test(test_one_trainer_a_run),
        cmocka_unit_test(test_dry_run_writes_nothing),
        cmocka_unit_test(test_bad_configuration),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_route),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
