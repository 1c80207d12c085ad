/* Others at the same logbook: a writer that holds it, a reader that does not let go, also when the run ends,
 * and a second trainer. The writer waits; where it must give up (MOESCOPE_WAIT, in seconds, instead of a
 * minute) it says who is in the way and how to go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/progress.h"
#include "base/text.h"
#include "tests/steps.h"
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

/* ---- another writer ---- */

/* A program in the background holds the logbook's write lock for so long; returns once it does. */
static void hold(const char *folder, const char *db, double seconds)
{
    struct test_run r =
        test_run("cd '%s'; rm -f held; ( exec >/dev/null 2>&1 </dev/null; { printf 'BEGIN "
                 "IMMEDIATE;\\n.shell touch held\\n'; sleep %g; echo 'COMMIT;'; } | sqlite3 %s ) &  i=0; "
                 "while ! test -e held && test $i -lt 500; do sleep 0.01; i=$((i + 1)); done; test -e held",
                 folder, seconds, db);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

static void log_one(struct trial *s, int64_t step)
{
    static const struct steps_size size = {.sequences = 2, .tokens = 20};
    struct error err;
    test_must(steps_log(s->writer, s->document_ids[0], step, size, &err), &err);
}

static void test_waits_for_another_writer(void **state)
{
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    test_must(steps_begin(&s, "r", &err), &err);
    log_one(&s, 0);
    test_must(moescope_writer_drain(s.writer, &err), &err);
    hold(s.folder, "log.db", 0.6);
    double start = clock_seconds();
    log_one(&s, 1);
    test_must(moescope_writer_drain(s.writer, &err), &err);
    assert_true(clock_seconds() - start > 0.2);
    trial_end(&s, "finished");
    trial_stop(&s);
    trial_expect(&s, "SELECT max(step) FROM metric;", "1\n");
    steps_expect_clean(s.path);
    trial_release(&s);
}

/* What was committed is there; what was not can be logged again. */
static void test_gives_up_waiting(void **state)
{
    struct trial s;
    struct error err;
    (void)state;
    assert_int_equal(setenv("MOESCOPE_WAIT", "0.2", 1), 0);
    trial_open(&s);
    test_must(steps_begin(&s, "r", &err), &err);
    log_one(&s, 0);
    test_must(moescope_writer_drain(s.writer, &err), &err);
    hold(s.folder, "log.db", 1);
    log_one(&s, 1);
    assert_int_equal(moescope_writer_drain(s.writer, &err), -1);
    assert_int_equal(err.status, STATUS_MACHINE);
    if (!strstr(err.text,
                "log.db': database is locked; another program holds it: wait for it to finish, or stop it")) {
        fail_msg("%s", err.text);
    }
    assert_null(moescope_batch_new(s.writer, &err)); /* a step is not left out */
    steps_leave(&s);
    steps_expect_clean(s.path);
    assert_int_equal(setenv("MOESCOPE_WAIT", "60", 1), 0);
    test_must(moescope_open(&s.lb, s.path, &err), &err);
    test_must(steps_resume(&s, "r", 1, &err), &err);
    log_one(&s, 1);
    trial_end(&s, "finished");
    trial_stop(&s);
    trial_expect(&s, "SELECT count(*) FROM metric WHERE split = 'train'; PRAGMA journal_mode;",
                 "2\ndelete\n");
    steps_expect_clean(s.path);
    assert_int_equal(unsetenv("MOESCOPE_WAIT"), 0);
    trial_release(&s);
}

static void test_training_waits(void **state)
{
    (void)state;
    tiny_expect(tiny_train(&tiny, "busy.db", "first", "--set train.steps=5"), 0, "");
    assert_int_equal(setenv("MOESCOPE_WAIT", "0.2", 1), 0);
    hold(tiny.folder, "busy.db", 1);
    tiny_expect(tiny_train(&tiny, "busy.db", "second", "--set train.steps=5"), 4,
                "'busy.db': database is locked; another program holds it: wait for it to finish, or stop it");
    assert_int_equal(unsetenv("MOESCOPE_WAIT"), 0);
    tiny_expect(tiny_train(&tiny, "busy.db", "second", "--set train.steps=5"), 0, "finished"); /* waits */
    tiny_expect_answer(&tiny, "busy.db", "SELECT name, status FROM run", "first|finished\nsecond|finished\n");
}

/* ---- a reader that does not let go ---- */

static int64_t size_of(const struct trial *s, const char *tail)
{
    char path[512];
    struct stat info;
    snprintf(path, sizeof path, "%s%s", s->path, tail);
    return stat(path, &info) == 0 ? (int64_t)info.st_size : -1;
}

static void start_reading(struct logbook **lb, struct query **q, const char *path)
{
    struct error err;
    test_must(logbook_open(lb, path, &err), &err);
    test_must(query_open_text(q, *lb, "SELECT step FROM metric WHERE split = 'train' ORDER BY step", &err),
              &err);
    assert_int_equal(query_step(*q, &err), 1);
}

/* The writer goes on, into a WAL that grows; the reader sees what it saw; at the end the WAL must stay, and
 * the next writer puts it into the file. */
static void test_long_reader(void **state)
{
    static const struct steps_size large = {.sequences = 8, .tokens = STEPS_MOST_TOKENS};
    struct trial s;
    struct logbook *reader;
    struct query *q;
    struct error err;
    (void)state;
    trial_open(&s);
    test_must(steps_begin(&s, "r", &err), &err);
    for (int step = 0; step < 3; step++) {
        log_one(&s, step);
    }
    test_must(moescope_writer_drain(s.writer, &err), &err);
    start_reading(&reader, &q, s.path);
    for (int step = 3; step < 60; step++) {
        test_must(steps_log(s.writer, s.document_ids[1], step, large, &err), &err);
        if (step % 10 == 0) {
            test_must(moescope_writer_drain(s.writer, &err), &err);
        }
    }
    trial_end(&s, "finished");
    int64_t file = size_of(&s, ""), wal = size_of(&s, "-wal");
    assert_true(wal > file);
    assert_false(moescope_close(s.lb)); /* says that the file does not stand alone */
    s.lb = NULL;
    print_message("with a reader in it: %lld bytes of file, %lld of WAL\n", (long long)file, (long long)wal);
    assert_int_equal(query_step(q, &err), 1); /* the old view, to its end */
    assert_int_equal(query_step(q, &err), 1);
    assert_int_equal(query_step(q, &err), 0);
    query_close(q);
    trial_expect(&s, "SELECT max(step) FROM metric; SELECT status FROM run;", "59\nfinished\n");
    moescope_close(reader);
    trial_expect(&s, "SELECT max(step) FROM metric; PRAGMA journal_mode;", "59\nwal\n");
    steps_expect_clean(s.path);
    test_must(moescope_open(&s.lb, s.path, &err), &err);
    assert_true(moescope_close(s.lb));
    s.lb = NULL;
    assert_int_equal(size_of(&s, "-wal"), -1);
    trial_expect(&s, "SELECT max(step) FROM metric; PRAGMA journal_mode;", "59\ndelete\n");
    steps_expect_clean(s.path);
    trial_release(&s);
}

/* A reader in a file that is no WAL yet: the run begins once it is gone. */
static void test_reader_at_the_start_of_training(void **state)
{
    static const char *const command =
        "cd %s; rm -f reading; ( exec >/dev/null 2>&1; { printf 'BEGIN; SELECT count(*) FROM run;\\n.shell "
        "touch reading\\n'; sleep 1.2; } | sqlite3 -readonly early.db ) & while ! test -e reading; do sleep "
        "0.01; done; MOESCOPE_WAIT=%s %s/moescope-train --log early.db --name second %s --set train.steps=5";
    (void)state;
    tiny_expect(tiny_train(&tiny, "early.db", "first", "--set train.steps=5"), 0, "");
    tiny_expect(test_run(command, tiny.folder, "0.1", tiny.bin, tiny_model), 4,
                "cannot open 'early.db': database is locked; another program holds it: wait for it to "
                "finish, or stop it");
    tiny_expect(test_run(command, tiny.folder, "20", tiny.bin, tiny_model), 0, "finished");
}

static void test_reader_at_the_end_of_training(void **state)
{
    (void)state;
    struct test_run r = test_run(
        "cd %s && { %s/moescope-train --log read.db --name first %s --set train.steps=400 2>said & p=$!; "
        "until sqlite3 -readonly read.db 'SELECT 1 / (count(*) > 50) FROM metric' 2>/dev/null | grep -q 1; "
        "do sleep 0.02; done; ( exec >/dev/null 2>&1; { printf 'BEGIN; SELECT count(*) FROM run;\\n'; while "
        "kill -0 $p 2>/dev/null; do sleep 0.1; done; } | sqlite3 -readonly read.db ) & wait $p; s=$?; cat "
        "said >&2; exit $s; }",
        tiny.folder, tiny.bin, tiny_model);
    tiny_expect(
        r, 0,
        "'read.db' is open in another program, or its disk is full: the last steps are in 'read.db-wal' "
        "until the next run in it ends; copy it with moescope snapshot, not one file without the other");
    tiny_expect(test_run("cd %s && %s/moescope-check read.db", tiny.folder, tiny.bin), 0, "");
    tiny_expect_answer(&tiny, "read.db", "SELECT name, status FROM run", "first|finished\n");
    tiny_expect(tiny_train(&tiny, "read.db", "second", "--set train.steps=5"), 0, "finished");
    tiny_expect(test_run("cd %s && ls read.db* >&2 && ! test -e read.db-wal", tiny.folder), 0, "read.db");
    tiny_expect_answer(&tiny, "read.db", "PRAGMA journal_mode", "delete\n");
}

/* ---- two trainers ---- */

/* Two runs write at once: each is what it would have been alone. */
static void test_two_runs_at_once(void **state)
{
    static const char *const steps = "--set train.steps=200 --set train.checkpoint_every=20 --quiet";
    (void)state;
    tiny_expect(
        test_run("cd %s && { %s/moescope-train --log both.db --name a %s %s & p=$!; %s/moescope-train --log "
                 "both.db --name b %s %s --set router.k=1; b=$?; wait $p && test $b = 0; }",
                 tiny.folder, tiny.bin, tiny_model, steps, tiny.bin, tiny_model, steps),
        0, "");
    tiny_expect(test_run("cd %s && %s/moescope-check both.db", tiny.folder, tiny.bin), 0, "");
    tiny_expect(tiny_train(&tiny, "a.db", "a", steps), 0, "");
    tiny_expect(tiny_train(&tiny, "b.db", "b",
                           "--set train.steps=200 --set train.checkpoint_every=20 --quiet --set router.k=1"),
                0, "");
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "a" : "b";
        char sql[1024], db[16];
        snprintf(
            sql, sizeof sql,
            "SELECT step, split, m.name, value FROM metric AS m JOIN run USING (run_id) WHERE run.name = "
            "'%s' AND m.name NOT IN ('seconds', 'tokens_per_second', 'peak_memory') ORDER BY 1, 2, 3; SELECT "
            "step, split, "
            "layer, hex(experts), hex(gates), hex(losses), hex(tokens) FROM routing_block JOIN sequence ON "
            "sequence_id = block_id / 1024 JOIN sample USING (sample_id) JOIN moe_layer AS l ON l.run_id = "
            "sequence.run_id AND l.layer = block_id %% 1024 JOIN run ON run.run_id = l.run_id WHERE run.name "
            "= '%s' ORDER BY sequence_id, layer; SELECT status FROM run WHERE name = '%s'",
            name, name, name);
        snprintf(db, sizeof db, "%s.db", name);
        char *alone = tiny_ask(&tiny, db, sql), *together = tiny_ask(&tiny, "both.db", sql);
        assert_true(strlen(alone) > 100000);
        assert_true(strcmp(alone, together) == 0);
        free(alone);
        free(together);
        tiny_expect(
            test_run("cd %s && cmp both.db.checkpoints/%s.safetensors %s.db.checkpoints/%s.safetensors",
                     tiny.folder, name, name, name),
            0, "");
    }
}

/* A run that is being trained is nobody else's, whatever path leads to its logbook and wherever the other
 * would keep its checkpoint. */
static void test_one_run_twice(void **state)
{
    static const char *const others[] = {
        "--log one.db --resume", "--log one.db --resume --checkpoint elsewhere.safetensors",
        "--log link.db --resume", "--log link.db --resume --checkpoint elsewhere.safetensors",
        "--log ./one.db --resume"};
    char first[1024];
    (void)state;
    snprintf(first, sizeof first,
             "cd %s && ln -s one.db link.db && { %s/moescope-train --log one.db --name r %s --set "
             "train.steps=1000000 --quiet & echo $! > pid; } && i=0; until sqlite3 -readonly one.db 'SELECT "
             "1 / (count(*) > 100) FROM metric' 2>/dev/null | grep -q 1 || test $i -gt 500; do sleep 0.02; "
             "i=$((i + 1)); done",
             tiny.folder, tiny.bin, tiny_model);
    /* The shell must not wait for the trainer's ends of its pipes. */
    struct test_run r = test_run("{ %s; } >/dev/null 2>&1 </dev/null", first);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        r = test_run("cd %s && %s/moescope-train --name r %s", tiny.folder, tiny.bin, others[i]);
        if (r.status != 2 || !strstr(r.err, "run 'r' is being trained: '") ||
            !strstr(r.err, "locked by another process")) {
            fail_msg("%s: status %d, %s", others[i], r.status, r.err);
        }
        test_run_release(&r);
    }
    tiny_expect(tiny_train(&tiny, "one.db", "r", ""), 2,
                "the logbook has a run 'r' already; choose another --name, or go on with --resume");
    tiny_expect(
        test_run("cd %s && kill -INT $(cat pid) && while kill -0 $(cat pid) 2>/dev/null; do sleep 0.05; done",
                 tiny.folder),
        0, "");
    tiny_expect(test_run("cd %s && %s/moescope-check one.db", tiny.folder, tiny.bin), 0, "");
    tiny_expect_answer(&tiny, "one.db",
                       "SELECT status, count(*) FROM run, event USING (run_id) WHERE kind = 'resumed'",
                       "|0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_another_writer),
        cmocka_unit_test(test_gives_up_waiting),
        cmocka_unit_test(test_training_waits),
        cmocka_unit_test(test_long_reader),
        cmocka_unit_test(test_reader_at_the_start_of_training),
        cmocka_unit_test(test_reader_at_the_end_of_training),
        cmocka_unit_test(test_two_runs_at_once),
        cmocka_unit_test(test_one_run_twice),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
