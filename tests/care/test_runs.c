/* moescope runs --rename and --delete: what goes, what stays to the byte, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/shell.h"
#include "tests/tended.h"

/* base.db has two trained runs, `a` (run 1) and `b` (run 2), on one corpus. Every test works on a copy: D.
 * rows N: all that run N is made of. gone N: how many rows still name it. */
static const char prelude[] =
    "rows() { sqlite3 -readonly $D \"SELECT 'SELECT ''' || m.name || ''', * FROM \\\"' || m.name || '\\\" "
    "WHERE "
    "run_id = $1;' FROM sqlite_schema AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table' AND "
    "c.name = 'run_id'; SELECT 'SELECT * FROM ' || value || ' WHERE block_id >> 10 IN (SELECT sequence_id "
    "FROM "
    "sequence WHERE run_id = $1);' FROM json_each('[\\\"routing_block\\\", \\\"probability_block\\\"]'); "
    "SELECT 'SELECT * FROM sample WHERE sample_id IN (SELECT sample_id FROM sequence WHERE run_id = $1);'\" "
    "> q;"
    "sqlite3 -readonly $D '.mode quote' '.read q'; };\n"
    "of_nobody() { sqlite3 -readonly $D 'SELECT (SELECT count(*) FROM sample WHERE sample_id NOT IN (SELECT "
    "sample_id FROM sequence)) + (SELECT count(*) FROM routing_block WHERE block_id >> 10 NOT IN (SELECT "
    "sequence_id FROM sequence)) + (SELECT count(*) FROM probability_block WHERE block_id >> 10 NOT IN "
    "(SELECT "
    "sequence_id FROM sequence))'; };\n"
    "same() { for f in base.db $D; do sqlite3 -readonly $f .dump > $f.sql; done; cmp base.db.sql $D.sql; };\n"
    "names() { $B/moescope-runs $D -f csv | tail -n +2 | cut -d, -f1,2; };\n";

static struct tiny tiny;

static int open_group(void **state)
{
    (void)state;
    tended_open(&tiny, "a", "b");
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

static void expect(const char *commands, int status, const char *out, const char *said)
{
    tended_expect(&tiny, prelude, commands, status, out, said);
}

static void test_delete(void **state)
{
    (void)state;
    expect("rows 1 | wc -l > lines; [ $(cat lines) -gt 1000 ] && [ $(of_nobody) = 0 ] && rows 2 > before;"
           "$B/moescope-runs $D --delete a; names; rows 1; rows 2 | cmp before - && of_nobody;"
           "$B/moescope-check $D > check || cat check; ls $D*",
           0, "b,finished\n0\ncopy.db\n", "deleted 'a', ");
    /* What is free inside the file is what the message says; a snapshot or --vacuum gives it back. */
    expect("$B/moescope-runs $D --delete a 2> said; cat said >&2; sqlite3 -readonly $D 'PRAGMA "
           "freelist_count' > free;"
           "[ $(cat free) -gt 1 ] && $B/moescope-snapshot $D -q small.db; stat -c %s small.db > size; rm "
           "small.db;"
           "[ $(stat -c %s $D) -gt $(cat size) ]; echo $?",
           0, "0\n", "are free inside the file now; --vacuum, or `moescope snapshot`, gives them back");
    expect("$B/moescope-runs $D --delete a --vacuum; [ $(stat -c %s $D) = $(cat size) ]; echo $?;"
           "sqlite3 -readonly $D 'PRAGMA freelist_count; PRAGMA page_size; PRAGMA journal_mode; PRAGMA "
           "application_id'",
           0, "0\n0\n32768\ndelete\n1299137907\n", "given back");
}

static void test_delete_all(void **state)
{
    (void)state;
    expect("$B/moescope-runs $D --delete a --delete b; names; rows 1; rows 2; sqlite3 -readonly $D 'SELECT "
           "count(*) FROM "
           "sample; SELECT count(*) FROM corpus'; $B/moescope-check $D > check || cat check",
           0, "0\n1\n", "deleted 'b'");
}

static void test_rename(void **state)
{
    (void)state;
    expect(
        "rows 1 | grep -v \"'run'\" > before; $B/moescope-runs $D --rename a=k=2; names; sqlite3 $D \"DELETE "
        "FROM event "
        "WHERE kind = 'renamed' AND message = 'was named ''a'''\"; rows 1 | grep -v \"'run'\" | cmp before -;"
        "$B/moescope-check $D > check || cat check",
        0, "k=2,finished\nb,finished\n", "renamed 'a' to 'k=2'");
    /* A name may have an equals sign; a freed name may be taken. */
    expect("$B/moescope-runs $D --rename a=k=2 && $B/moescope-runs $D --rename k=2=c && names", 0,
           "c,finished\nb,finished\n", "renamed 'k=2' to 'c'");
    expect("$B/moescope-runs $D --rename b=a --delete a; names", 0, "a,finished\n", "renamed 'b' to 'a'");
}

/* All of it or nothing. */
static void test_refused(void **state)
{
    static const struct {
        const char *arguments;
        int status;
        const char *said;
    } refused[] = {
        {"--rename a=b", 2, "has a run named 'b' already; choose another name"},
        {"--rename a=c --rename b=c", 2, "has a run named 'c' already"},
        {"--rename a=", 2, "needs a new name"},
        {"--rename a", 2, "--rename 'a' is not OLD=NEW"},
        {"--rename c=d", 3, "has no run named 'c'; it has 'a', 'b'"},
        {"--delete b --delete c", 3, "has no run named 'c'"},
        {"--delete a --delete a", 3, "has no run named 'a'"},
        {"--delete a --rename b=", 2, "needs a new name"},
        {"--force", 2, "go with --delete or --rename"},
        {"--delete a -o out", 2, "nothing is printed"},
    };
    char commands[256];
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        snprintf(commands, sizeof commands, "$B/moescope-runs $D %s; echo $?; same; names",
                 refused[i].arguments);
        char out[64];
        snprintf(out, sizeof out, "%d\na,finished\nb,finished\n", refused[i].status);
        expect(commands, 0, out, refused[i].said);
    }
}

static void test_dry_run(void **state)
{
    (void)state;
    expect("$B/moescope-runs $D --delete a --rename b=c --dry-run 2> said; cat said >&2; names; same;"
           "$B/moescope-runs $D --delete a --rename b=c 2>&1 | sed -n 's/ are free inside.*//p' > freed;"
           "grep -q \"^$(cat freed) would become free\" said; echo $?",
           0, "a,finished\nb,finished\n0\n", "would have deleted 'a', ");
    expect("$B/moescope-runs $D --delete a --rename b=c --dry-run", 0, "", "would have renamed 'b' to 'c'");
}

/* By its heartbeat: recent, a minute old. */
static void test_running(void **state)
{
    (void)state;
    expect(
        "sqlite3 $D \"UPDATE run SET status = 'running', finished_at = NULL, heartbeat_at = "
        "strftime('%Y-%m-%dT%H:%M:%fZ', "
        "'now') "
        "WHERE name = 'a'\"; $B/moescope-runs $D --delete a; echo $?; $B/moescope-runs $D --delete a --force "
        "2> /dev/null; echo $?; $B/moescope-runs $D --rename a=c 2> /dev/null; echo $?; names",
        0, "2\n2\n2\na,running\nb,finished\n", "is being written, last 0 s ago: stop its training first");
    expect("sqlite3 $D \"UPDATE run SET status = 'running', finished_at = NULL, heartbeat_at = "
           "'2020-01-01T00:00:00.000Z' WHERE "
           "name = 'a'\";"
           "$B/moescope-runs $D --delete a; echo $?; names; $B/moescope-runs $D --delete a --force 2> "
           "/dev/null; names",
           0, "2\na,stalled\nb,finished\nb,finished\n", "silent since 2020-01-01T00:00:00.000Z");
    expect("sqlite3 $D \"UPDATE run SET status = 'running' WHERE name = 'a'\"; $B/moescope-runs $D --delete "
           "b; names",
           0, "a,running\n", "deleted 'b'");
}

static void test_no_logbook(void **state)
{
    (void)state;
    expect("$B/moescope-runs none.db --delete a; echo $?; ls none.db*", 2, "3\n",
           "cannot open 'none.db': no such file");
    expect("echo text > text.db; $B/moescope-runs text.db --delete a; echo $?; cat text.db", 0, "3\ntext\n",
           "not a logbook");
    if (!shell_can_be_another()) {
        return;
    }
    expect("rm -rf fixed; mkdir fixed; cp $D $B/moescope-runs fixed; chmod 755 . fixed;"
           "setpriv --reuid=65534 --clear-groups fixed/moescope-runs fixed/$D --delete a; echo $?; cmp "
           "base.db fixed/$D;"
           "ls fixed",
           0, "3\ncopy.db\nmoescope-runs\n",
           "cannot open 'fixed/copy.db': attempt to write a readonly database");
}

/* Whoever has it open keeps it from shrinking; the deletion stands. */
static void test_vacuum_beside_a_reader(void **state)
{
    (void)state;
    expect("sqlite3 $D 'PRAGMA journal_mode = WAL; BEGIN; SELECT count(*) FROM run;' '.shell touch ready; "
           "while [ ! -e done "
           "]; do sleep "
           "0.05; done' > counted & while [ ! -e ready ]; do sleep 0.05; done;"
           "$B/moescope-runs $D --delete a --vacuum; echo $?; touch done; wait; rm ready done; names",
           0, "4\nb,finished\n", "another program has it open");
    if (!shell_can_mount()) {
        return;
    }
    expect(
        "mkdir small; mount -t tmpfs -o size=256k tmpfs small;"
        "SQLITE_TMPDIR=small $B/moescope-runs $D --delete a --vacuum; echo $?; umount small; names; ls $D*",
        0, "4\nb,finished\ncopy.db\n", "of temporary space at 'small', and");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delete),     cmocka_unit_test(test_delete_all),
        cmocka_unit_test(test_rename),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_dry_run),    cmocka_unit_test(test_running),
        cmocka_unit_test(test_no_logbook), cmocka_unit_test(test_vacuum_beside_a_reader),
    };
    return cmocka_run_group_tests_name("care/runs", tests, open_group, close_group);
}
