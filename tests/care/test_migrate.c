/* moescope migrate: an older logbook becomes what a fresh one is, once, whole or not at all, with a backup.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "sql/logbook.h"
#include "tests/sound.h"
#include "tests/support.h"

static char *bin;

/* What distinguishes a version but for its contents: the schema as text, and the marks. */
static const char schema[] = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name; "
                             "PRAGMA user_version; PRAGMA application_id; PRAGMA page_size;";

/* A logbook of version 1 with one run, "u1"; *backup: the default name of its backup. */
static void open_version_1(struct trial *t, char **backup)
{
    sound_logbook(t, "sound", "u1", 0, "finished");
    test_make_version_1(t->path);
    assert_true(asprintf(backup, "%s.backup", t->path) > 0);
}

static void migrates(const struct trial *t, const char *options, int status, const char *said)
{
    struct test_run r = test_run("%s/moescope-migrate '%s' %s", bin, t->path, options);
    if (r.status != status || strstr(r.err, said) == NULL || *r.out != '\0')
        fail_msg("migrate %s: status %d, and not '%s' but: %s", options, r.status, said, r.err);
    test_run_release(&r);
}

static void test_becomes_as_a_fresh_one(void **state)
{
    struct trial t, fresh;
    char *backup, *dump, *windows, *summed;
    (void)state;
    sound_logbook(&t, "sound", "u1", 0, "finished");
    assert_true(asprintf(&backup, "%s.backup", t.path) > 0);
    windows = test_ask(t.path, "SELECT * FROM load_window_block");
    assert_string_not_equal(windows, "");
    test_make_version_1(t.path);
    dump = test_ask(t.path, ".dump");
    sound_logbook(&fresh, "other", NULL, 0, "finished");
    migrates(&t, "", 0, "went from schema version 1 to 2");

    char *migrated = test_ask(t.path, schema), *made = test_ask(fresh.path, schema);
    assert_string_equal(migrated, made);
    sound_expect(t.path, "", "a migrated logbook");
    test_answer(t.path, "SELECT run_id, part, origin, last_step, held FROM run_part", "1|u1|||\n");
    test_answer(t.path, "PRAGMA journal_mode", "delete\n");

    test_answer(backup, "PRAGMA user_version", "1\n"); /* as it was, and as sound */
    char *kept = test_ask(backup, ".dump");
    assert_string_equal(kept, dump);
    sound_expect(backup, "", "a backup");
    summed = test_ask(t.path, "SELECT * FROM load_window_block");
    assert_string_equal(summed, windows);
    free(windows);
    free(summed);
    free(kept);
    free(migrated);
    free(made);
    free(dump);
    free(backup);
    trial_release(&t);
    trial_release(&fresh);
}

/* Again: nothing, and it says so. The run can be gone on with. */
static void test_again_changes_nothing(void **state)
{
    struct trial t;
    char *backup, before[SHA256_HEX], after[SHA256_HEX];
    struct error err;
    (void)state;
    open_version_1(&t, &backup);
    migrates(&t, "--no-backup", 0, "went from schema version 1 to 2");
    assert_int_equal(access(backup, F_OK), -1);
    test_must(sha256_file(t.path, before, &err), &err);
    migrates(&t, "", 0, "is of schema version 2 already");
    assert_int_equal(access(backup, F_OK), -1);
    test_must(sha256_file(t.path, after, &err), &err);
    assert_string_equal(before, after);
    trial_resume(&t, "sound", 6, 8);
    sound_steps(&t, 6, 6, 0);
    trial_end(&t, "finished");
    trial_stop(&t);
    sound_expect(t.path, "", "a migrated logbook, resumed");
    free(backup);
    trial_release(&t);
}

static void test_backup_is_not_overwritten(void **state)
{
    struct trial t;
    char *backup;
    (void)state;
    open_version_1(&t, &backup);
    test_write(t.folder, "log.db.backup", "precious", 8);
    migrates(&t, "", STATUS_USAGE, "is there already, perhaps of an earlier try; name another by --backup");
    migrates(&t, "--backup /nowhere/else.db", STATUS_MACHINE, "/nowhere/else.db");
    migrates(&t, "--no-backup --backup x", STATUS_USAGE, "exclude each other");
    test_answer(t.path, "PRAGMA user_version", "1\n");
    struct test_run r = test_run("cat '%s'", backup);
    assert_string_equal(r.out, "precious");
    test_run_release(&r);
    char *option = NULL;
    assert_true(asprintf(&option, "--backup '%s/second.db'", t.folder) > 0);
    migrates(&t, option, 0, "second.db'");
    test_answer(t.path, "PRAGMA user_version", "2\n");
    free(option);
    free(backup);
    trial_release(&t);
}

static void test_refused_files(void **state)
{
    struct trial t;
    char *backup;
    (void)state;
    open_version_1(&t, &backup);
    test_sql(t.path, "PRAGMA user_version = 3;");
    migrates(&t, "", STATUS_INPUT, "its schema is version 3, this program knows up to 2");
    test_sql(t.path, "PRAGMA user_version = 0;");
    migrates(&t, "", STATUS_INPUT, "is of schema version 0, from which no step is known");
    test_answer(t.path, "PRAGMA user_version", "0\n");
    assert_int_equal(access(backup, F_OK), -1); /* of what failed none is left */
    test_sql(t.path, "PRAGMA application_id = 7;");
    migrates(&t, "", STATUS_INPUT, "an SQLite file of another program");
    assert_int_equal(unlink(t.path), 0);
    migrates(&t, "", STATUS_INPUT, "no such file");
    assert_int_equal(access(t.path, F_OK), -1);
    test_write(t.folder, "log.db", "", 0);
    migrates(&t, "", STATUS_INPUT, "it is empty");
    free(backup);
    trial_release(&t);
}

/* What cannot be taken to version 2, here since its table is there already, stays of version 1. */
static void test_failed_step_changes_nothing(void **state)
{
    struct trial t;
    char *backup;
    (void)state;
    open_version_1(&t, &backup);
    test_sql(t.path, "CREATE TABLE run_part (x);");
    char *before = test_ask(t.path, ".dump");
    migrates(&t, "", STATUS_INPUT, "migrations/1_to_2: cannot migrate '");
    char *after = test_ask(t.path, ".dump");
    assert_string_equal(before, after);
    assert_int_equal(access(backup, F_OK), -1);
    free(before);
    free(after);
    free(backup);
    trial_release(&t);
}

/* Of version 1 or 2, and sound, whenever it was killed; a backup is whole or not there. */
static void test_killed(void **state)
{
    struct trial t;
    char *backup;
    (void)state;
    open_version_1(&t, &backup);
    for (int i = 0; i < 12; i++) {
        struct test_run r = test_run("timeout -s KILL 0.0%02d %s/moescope-migrate '%s'", 1 + i, bin, t.path);
        test_run_release(&r);
        char *version =
            test_ask(t.path, "SELECT user_version, (SELECT count(*) FROM sqlite_schema WHERE name = "
                             "'run_part') FROM pragma_user_version");
        if (strcmp(version, "1|0\n") != 0 && strcmp(version, "2|1\n") != 0)
            fail_msg("killed after %d ms: %s", 1 + i, version);
        free(version);
        sound_expect(t.path, "", "killed while it was migrated");
        if (access(backup, F_OK) == 0)
            sound_expect(backup, "", "the backup of what was killed");
        unlink(backup);
    }
    migrates(&t, "", 0, "schema version");
    test_answer(t.path, "PRAGMA user_version", "2\n");
    free(backup);
    trial_release(&t);
}

/* Started at once, one of them migrates and the other finds it done. */
static void test_two_at_once(void **state)
{
    struct trial t;
    char *backup;
    (void)state;
    open_version_1(&t, &backup);
    struct test_run r = test_run("cd '%s' && (%s/moescope-migrate log.db --no-backup & a=$!; "
                                 "%s/moescope-migrate log.db --no-backup; b=$?; wait $a; exit $(($? + b)))",
                                 t.folder, bin, bin);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "went from schema version 1 to 2"));
    assert_non_null(strstr(r.err, "is of schema version 2 already"));
    test_run_release(&r);
    sound_expect(t.path, "", "migrated twice at once");
    free(backup);
    trial_release(&t);
}

/* On a disk that has room for the logbook alone: neither backup nor migration, and nothing lost. */
static void test_full_disk(void **state)
{
    struct trial t;
    char *backup, *disk = test_folder(), *on_disk = NULL;
    (void)state;
    open_version_1(&t, &backup);
    if (mount("none", disk, "tmpfs", 0, "size=2m") != 0) {
        printf("skipped: no tmpfs can be mounted here\n");
    } else {
        struct test_run r = test_run(
            "cd '%s' && cp '%s' . && { dd if=/dev/zero of=filler bs=4096 2>&1; "
            "%s/moescope-migrate log.db; s=$?; %s/moescope-migrate log.db --no-backup; echo $s $?; ls; }",
            disk, t.path, bin, bin);
        if (strstr(r.out, "\n4 4\nfiller\nlog.db\n") == NULL)
            fail_msg("%s%s", r.out, r.err);
        test_run_release(&r);
        assert_true(asprintf(&on_disk, "%s/log.db", disk) > 0);
        test_answer(on_disk, "PRAGMA user_version", "1\n");
        sound_expect(on_disk, "", "what could not be migrated");
        umount(disk);
    }
    free(on_disk);
    test_folder_remove(disk);
    free(backup);
    trial_release(&t);
}

/* A reader that has the file open, and reads nothing just then, is not in the way. */
static void test_while_a_reader_reads(void **state)
{
    struct trial t;
    char *backup;
    struct logbook *reader;
    struct error err;
    (void)state;
    open_version_1(&t, &backup);
    test_must(logbook_open(&reader, t.path, &err), &err); /* of version 1, with its stand-in for run_part */
    migrates(&t, "--no-backup", 0, "went from schema version 1 to 2");
    moescope_close(reader);
    sound_expect(t.path, "", "migrated under a reader");
    free(backup);
    trial_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_becomes_as_a_fresh_one),
        cmocka_unit_test(test_again_changes_nothing),
        cmocka_unit_test(test_backup_is_not_overwritten),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_failed_step_changes_nothing),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_while_a_reader_reads),
    };
    bin = test_bin();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(bin);
    return failed;
}
