/* The programs runs, check and sql, as people start them: formats, exit statuses, what goes where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/support.h"
#include "tests/trial.h"

static struct trial trial;
static char *bin;

static void write_run(const char *name, const char *status)
{
    struct error err;
    trial_run(&trial, name, NULL, 0, 8);
    struct moescope_batch *b = moescope_batch_new(trial.writer, &err);
    assert_non_null(b);
    for (int64_t step = 0; step < 3; step++) {
        moescope_batch_metric(b, step, "train", "loss", 3 - 0.5 * (double)step);
        moescope_batch_metric(b, step, "train", "seconds", 30.5 * (double)step);
        moescope_batch_metric(b, step, "valid", "loss", step == 1 ? 1.5 : 2);
    }
    assert_int_equal(moescope_batch_commit(b, &err), 0);
    trial_end(&trial, status);
}

static int open_all(void **state)
{
    (void)state;
    bin = test_bin();
    trial_open(&trial);
    write_run("first", "finished");
    write_run("second", "interrupted");
    write_run("third", NULL);
    trial_stop(&trial);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    trial_release(&trial);
    free(bin);
    return 0;
}

/* Fails unless the command ends with that status; `out` and `err` must be in its outputs (NULL: nothing
 * there). */
static void expect(const char *command, int status, const char *out, const char *err)
{
    struct test_run r = test_run("B='%s'; D='%s'; F='%s'; %s", bin, trial.path, trial.folder, command);
    bool right = r.status == status && (out == NULL ? r.out[0] == '\0' : strstr(r.out, out) != NULL) &&
                 (err == NULL ? r.err[0] == '\0' : strstr(r.err, err) != NULL);
    if (!right) {
        fail_msg("%s\nexit %d, not %d\n%s%s", command, r.status, status, r.out, r.err);
    }
    test_run_release(&r);
}

static void test_runs(void **state)
{
    (void)state;
    /* Three steps; the last train loss is 2, valid losses were 2, 1.5, 2; the run counted 61 seconds. */
    expect("$B/moescope-runs $D --format csv", 0,
           "name,status,router,seed,steps,parameters,train_loss,best_valid_loss,last_valid_loss,started_at,"
           "seconds\n"
           "first,finished,topk,7,3,,2,1.5,2,",
           NULL);
    expect("$B/moescope-runs $D --format csv | cut -d, -f1,2,11", 0,
           "first,finished,61\nsecond,interrupted,61\nthird,running,61\n", NULL);
    expect("$B/moescope-runs $D -f json", 0, "\"best_valid_loss\": 1.5, \"last_valid_loss\": 2", NULL);
    expect("$B/moescope-runs $D", 0, "1 min 01 s", NULL);
    expect("$B/moescope-runs $D --print-sql | sqlite3 -readonly -csv $D | cut -d, -f1-5", 0,
           "first,finished,topk,7,3\n", NULL);
    expect("$B/moescope-runs $D -o $F/runs.csv -f csv && wc -l < $F/runs.csv", 0, "4\n", NULL);
}

static void test_check(void **state)
{
    (void)state;
    expect("$B/moescope-check $D --format csv", 0, "check,checked,violations,first_violation\nfile,", NULL);
    expect("$B/moescope-check $D", 0, "contiguous_steps", NULL);
    expect("cp $D $F/gap.db; sqlite3 $F/gap.db \"DELETE FROM metric WHERE run_id = 2 AND step = 1\";"
           "$B/moescope-check $F/gap.db -f csv -o $F/gap.csv; echo $?; grep contiguous $F/gap.csv",
           0, "3\ncontiguous_steps,8,1,run 'second': 1 of the training steps 0 to 2 missing\n",
           "violates what a logbook promises");
}

static void test_queries(void **state)
{
    (void)state;
    expect("$B/moescope-sql --list -f csv", 0,
           "runs,\"Which runs are there, how did they end, and with what losses?\"\n", NULL);
    expect("for q in $($B/moescope-sql --list -f csv | tail -n +2 | cut -d, -f1); do "
           "$B/moescope-sql $D $q --run first > $F/out || exit 9; done; echo all",
           0, "all\n", NULL);
    expect("$B/moescope-sql $D events --run second -f csv | cut -d, -f1,4", 0,
           "run,kind\nsecond,started\nsecond,interrupted\n", NULL);
    expect("$B/moescope-sql $D config_diff -p first=first --param :second=third", 0, "key", NULL);
    expect("$B/moescope-sql $D nonsense", 2, NULL,
           "no query is named 'nonsense'; `moescope sql --list` names them");
}

static void test_own_sql(void **state)
{
    (void)state;
    expect("$B/moescope-sql $D 'SELECT count(*) AS n FROM metric WHERE run_id = :run AND step > :s' -r "
           "second -p s=0 "
           "-f csv",
           0, "n\n6\n", NULL);
    expect("$B/moescope-sql $D 'SELECT typeof(:a) AS a, typeof(:b) AS b, typeof(:c) AS c, :c AS d' -p a=1 -p "
           "b=1.5 -p "
           "c=x=y -f csv",
           0, "integer,real,text,x=y\n", NULL);
    expect("$B/moescope-sql $D 'SELECT name FROM run WHERE run_id = :run' -r first --print-sql", 0,
           "SELECT name FROM run WHERE run_id = 1;\n", NULL);
    expect("$B/moescope-sql $D 'DELETE FROM run'", 2, NULL, "only statements that read");
    expect("$B/moescope-sql $D 'SELECT 1' -p x", 2, NULL, "--param 'x' is not NAME=VALUE");
    expect("$B/moescope-sql $D 'SELECT 1' -r fourth", 3, NULL,
           "no run named 'fourth'; it has 'first', 'second', 'third'");
    expect("$B/moescope-sql $D 'SELECT 1' 2", 2, NULL, "see 'moescope sql --help'");
    expect("$B/moescope-sql", 2, NULL, "no logbook is named");
    expect("$B/moescope-sql $D 'SELECT 1 AS a' -o $F/one.json -f json && cat $F/one.json", 0, "{\"a\": 1}",
           NULL);
    expect("$B/moescope-sql $D 'SELECT 1' -f yaml", 2, NULL, "yaml");
}

static void test_shell(void **state)
{
    (void)state;
    expect("echo 'SELECT name FROM run;' | $B/moescope-sql $D", 0, "first\nsecond\nthird\n", NULL);
    expect("echo 'DELETE FROM run;' | $B/moescope-sql $D", 1, NULL, "readonly");
    expect("cd $F && cp log.db ./-d.db && echo 'SELECT count(*) FROM run;' | $B/moescope-sql -- -d.db", 0,
           "3\n", NULL);
    expect("PATH=/nonexistent $B/moescope-sql $D", 4, NULL, "install the package sqlite3");
    expect("$B/moescope-sql $D -o $F/x", 2, NULL, "--output is for a query");
}

/* Each reader says what is wrong with its input, and leaves it alone. */
static void test_inputs(void **state)
{
    (void)state;
    expect("for v in runs check sql; do $B/moescope-$v $F/none.db; echo $?; done; ls $F/none.db", 2,
           "3\n3\n3\n", "no such file");
    expect("echo 'not a database, surely' > $F/text; for v in runs check sql; do $B/moescope-$v $F/text; "
           "echo $?; done",
           0, "3\n3\n3\n", "is not a logbook: not an SQLite file");
    expect("for v in runs check sql; do $B/moescope-$v --nonsense $D; echo $?; done", 0, "2\n2\n2\n",
           "--help");
    expect("for v in runs check sql; do $B/moescope-$v --help | head -1; done", 0,
           "moescope runs - list the runs", NULL);
    expect("md5sum < $D > $F/before; chmod 444 $D; for v in runs check; do $B/moescope-$v $D > $F/out || "
           "exit 9; done; "
           "chmod 644 $D; md5sum < $D | cmp - $F/before && echo same",
           0, "same\n", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),    cmocka_unit_test(test_check), cmocka_unit_test(test_queries),
        cmocka_unit_test(test_own_sql), cmocka_unit_test(test_shell), cmocka_unit_test(test_inputs),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
