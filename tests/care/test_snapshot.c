/* moescope snapshot: what a copy is, that it is whole while a run writes, and when there is none. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/shell.h"
#include "tests/support.h"
#include "tests/trial.h"

static struct trial trial;
static char *bin;

enum { METRICS = 40 }; /* a step, all in one transaction */

static void log_step(int64_t step)
{
    struct error err;
    char name[16];
    struct moescope_batch *b = moescope_batch_new(trial.writer, &err);
    assert_non_null(b);
    for (int i = 0; i < METRICS; i++) {
        snprintf(name, sizeof name, "m%d", i);
        moescope_batch_metric(b, step, "train", name, (double)(step + i));
    }
    assert_int_equal(moescope_batch_commit(b, &err), 0);
}

static int open_trial(void **state)
{
    (void)state;
    bin = test_bin();
    trial_open(&trial);
    trial_run(&trial, "only", NULL, 0, 8);
    for (int64_t step = 0; step < 50; step++) {
        log_step(step);
    }
    trial_end(&trial, "finished");
    trial_stop(&trial);
    return 0;
}

static int close_trial(void **state)
{
    (void)state;
    trial_release(&trial);
    free(bin);
    return 0;
}

static void expect(const char *commands, int status, const char *out, const char *said)
{
    char *preparation = NULL;
    assert_true(asprintf(&preparation, "cd '%s'; B='%s';", trial.folder, bin) > 0);
    shell_expect(preparation, commands, status, out, said);
    free(preparation);
}

static void test_copy(void **state)
{
    (void)state;
    expect("$B/moescope-snapshot log.db a.db", 0, "", "snapshot: ");
    expect("for f in log.db a.db; do sqlite3 -readonly $f .dump > $f.sql; done; cmp log.db.sql a.db.sql", 0,
           "", NULL);
    expect(
        "sqlite3 -readonly a.db 'PRAGMA journal_mode; PRAGMA page_size; PRAGMA application_id;"
        "PRAGMA integrity_check; PRAGMA freelist_count'; sqlite3 -readonly log.db 'PRAGMA user_version' > v;"
        "sqlite3 -readonly a.db 'PRAGMA user_version' | cmp - v; ls a.db*",
        0, "delete\n32768\n1299137907\nok\n0\na.db\na.db.sql\n", NULL);
    expect("$B/moescope-snapshot log.db quiet.db --quiet", 0, "", NULL);
}

/* Deleted rows' pages stay behind, and what is logged so far does not move. */
static void test_compact(void **state)
{
    (void)state;
    expect("cp log.db wide.db; sqlite3 wide.db 'CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(4000000));"
           "DROP TABLE t'; $B/moescope-snapshot wide.db thin.db -q;"
           "[ $(stat -c %s wide.db) -gt 4000000 ] && [ $(stat -c %s thin.db) -lt 3000000 ]",
           0, "", NULL);
}

static void test_replaces_when_told(void **state)
{
    (void)state;
    expect("echo mine > there; $B/moescope-snapshot log.db there; echo $?; cat there", 0, "2\nmine\n",
           "'there' is there already; choose another name, or --force");
    expect("$B/moescope-snapshot log.db there --force -q; $B/moescope-runs there -f csv | cut -d, -f1", 0,
           "name\nonly\n", NULL);
    expect("ln -sf there link; $B/moescope-snapshot log.db link --force -q; readlink link", 0, "there\n",
           NULL);
    expect("$B/moescope-snapshot log.db log.db --force", 2, "", "is the logbook itself");
    expect("ln log.db twin.db; $B/moescope-snapshot log.db twin.db --force; s=$?; rm twin.db; exit $s", 2, "",
           "is the logbook itself");
    expect("mkdir sub; $B/moescope-snapshot log.db sub --force", 2, "", "it is not a file");
    expect("$B/moescope-snapshot log.db /dev/null --force", 2, "", "it is not a file");
    expect("$B/moescope-snapshot log.db missing/a.db", 4, "", "cannot write 'missing/a.db'");
}

/* SQLite would play such a file back into the copy. */
static void test_remains_of_another(void **state)
{
    (void)state;
    expect("echo x > b.db-wal; $B/moescope-snapshot log.db b.db; echo $?; ls b.db*", 0, "2\nb.db-wal\n",
           "there is 'b.db-wal'");
    expect("echo x > c.db-journal; $B/moescope-snapshot log.db c.db", 2, "", "there is 'c.db-journal'");
}

static void test_no_logbook(void **state)
{
    (void)state;
    expect("$B/moescope-snapshot missing.db out.db; echo $?; ls out.db*", 2, "3\n",
           "cannot open 'missing.db'");
    expect("echo text > text.db; $B/moescope-snapshot text.db out.db", 3, "", "not a logbook");
    expect("sqlite3 other.db 'CREATE TABLE t (x)'; $B/moescope-snapshot other.db out.db; echo $?; ls out.db*",
           2, "3\n", "an SQLite file of another program");
    expect("$B/moescope-snapshot log.db", 2, "", "see 'moescope snapshot --help'");
}

/* Whoever may not read the logbook may not read its copy either; a read-only copy is read as it is. */
static void test_rights(void **state)
{
    (void)state;
    expect("cp log.db private.db; chmod 600 private.db; umask 022; $B/moescope-snapshot private.db p.db -q;"
           "$B/moescope-snapshot log.db q.db -q; stat -c %a p.db q.db",
           0, "600\n644\n", NULL);
    if (!shell_can_be_another()) {
        return;
    }
    expect("mkdir open; chmod 755 . open; $B/moescope-snapshot log.db open/a.db -q; mkdir -m 777 bin;"
           "cp $B/moescope-runs $B/moescope-snapshot bin; nobody() { setpriv --reuid=65534 --clear-groups "
           "\"$@\"; };"
           "nobody bin/moescope-runs open/a.db -f csv | cut -d, -f1; nobody bin/moescope-snapshot open/a.db "
           "bin/b.db "
           "-q; ls bin/b.db;"
           "nobody bin/moescope-snapshot open/a.db open/b.db; echo $?; ls open",
           0, "name\nonly\nbin/b.db\n4\na.db\n", "cannot write 'open/b.db': ");
}

/* A file that may not grow, for a disk that is full: nothing stays behind. */
static void test_no_room(void **state)
{
    (void)state;
    expect("trap '' XFSZ; ulimit -f 200; $B/moescope-snapshot log.db full.db; echo $?; ls | grep full", 1,
           "4\n", "cannot write 'full.db': ");
    if (!shell_can_mount()) {
        return;
    }
    expect("mkdir small; mount -t tmpfs -o size=256k tmpfs small; echo old > small/a.db;"
           "$B/moescope-snapshot log.db small/a.db --force 2> said; echo $?; cat small/a.db; ls small; "
           "umount small;"
           "grep -o 'cannot write .small/a.db.: it takes .*; make room' said | sed 's/takes .*;/takes;/' >&2;"
           "exit 7",
           7, "4\nold\na.db\n", "it takes; make room");
}

/* Interrupted somewhere in the midst, or too late: nothing, or all of it. */
static void test_interrupted(void **state)
{
    (void)state;
    expect("cp log.db wide.db; sqlite3 wide.db 'CREATE TABLE t (x); INSERT INTO t SELECT zeroblob(4000) FROM "
           "(WITH RECURSIVE "
           "n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i FROM n)';"
           "$B/moescope-snapshot wide.db half.db -q 2> said & until ls half.db* > list 2> why; do :; done; "
           "kill -TERM $! 2> why; "
           "wait $!; s=$?; rm wide.db; [ $s = 143 ] && grep -q interrupted said && [ \"$(echo half.db*)\" = "
           "'half.db*' ] || "
           "{ [ $s = 0 ] && [ \"$(echo half.db*)\" = half.db ]; } || { echo $s; cat said; ls; }",
           0, "", NULL);
}

/* ---- beside a run ---- */

static void write_without_end(int progress)
{
    if (moescope_open(&trial.lb, trial.path, NULL) != 0) {
        _exit(1);
    }
    trial_run(&trial, "live", NULL, 0, 8);
    for (int64_t step = 0;; step++) {
        log_step(step);
        if (write(progress, "x", 1) != 1) {
            _exit(2);
        }
    }
}

/* A transaction is a step: none may be there in part, and later copies have more of them. */
static void test_while_a_run_writes(void **state)
{
    int status, progress[2];
    char byte;
    (void)state;
    assert_int_equal(pipe(progress), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_without_end(progress[1]);
    }
    close(progress[1]);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(read(progress[0], &byte, 1), 1);
    }
    expect("for i in 1 2 3 4 5; do $B/moescope-snapshot log.db live$i.db -q || exit 9; done", 0, "", NULL);
    assert_int_equal(waitpid(child, &status, WNOHANG), 0); /* undisturbed */
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    close(progress[0]);
    expect("for i in 1 2 3 4 5; do $B/moescope-check live$i.db > check.$i || exit 8;"
           "sqlite3 -readonly live$i.db \"SELECT max(step) + 1 FROM metric WHERE run_id = 2\";"
           "sqlite3 -readonly live$i.db \"SELECT 'part of a step' FROM metric GROUP BY run_id, step HAVING "
           "count(*) <> 40;"
           "PRAGMA journal_mode\" >> modes; done > steps; sort -n -c steps && sort -u modes && [ $(head -n 1 "
           "steps) -gt 0 ]",
           0, "delete\n", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_compact),
        cmocka_unit_test(test_replaces_when_told),
        cmocka_unit_test(test_remains_of_another),
        cmocka_unit_test(test_no_logbook),
        cmocka_unit_test(test_rights),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_while_a_run_writes),
    };
    return cmocka_run_group_tests_name("care/snapshot", tests, open_trial, close_trial);
}
