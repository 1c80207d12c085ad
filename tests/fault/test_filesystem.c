/* Network file systems: told by name from hand-written mountinfo, whatever the way to the file; a logbook on
 * one does without WAL, says so, and is read while it is written. MOESCOPE_FILESYSTEM stands in for a real
 * one; where sshfs or bindfs can be mounted, try it by hand: the name is then found, not told. */
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

#include "base/text.h"
#include "sql/filesystem.h"
#include "tests/tiny.h"
#include "tests/trial.h"

/* ---- names by mountinfo ---- */

static void expect_name(const char *mounts, const char *path, const char *expected)
{
    char name[FILESYSTEM_NAME];
    filesystem_by_mounts(mounts, path, name);
    if (strcmp(name, expected) != 0) {
        fail_msg("'%s' is on '%s', not on '%s'", path, expected, name);
    }
}

static const char *const plain = "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
                                 "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
                                 "30 27 0:40 / /data rw shared:7 master:2 - nfs4 server:/export rw,vers=4.2\n"
                                 "31 30 0:41 / /data/fast rw - xfs /dev/sdb rw\n"
                                 "32 27 0:42 / /s/ann/s rw,nosuid - fuse.sshfs ann@host: rw,user_id=0\n";

static void test_longest_mount_point(void **state)
{
    (void)state;
    expect_name(plain, "/log.db", "ext4");
    expect_name(plain, "/data/runs/log.db", "nfs4");
    expect_name(plain, "/data", "nfs4");
    expect_name(plain, "/database/log.db", "ext4"); /* no folder of /data */
    expect_name(plain, "/data/fast/log.db", "xfs");
    expect_name(plain, "/data/faster/log.db", "nfs4");
    expect_name(plain, "/s/ann/s/x/log.db", "fuse.sshfs");
    expect_name(plain, "/s/ann/log.db", "ext4");
}

/* A bind mount has the type of what it shows; its root is another folder of that file system. */
static void test_bind_mounts(void **state)
{
    static const char *const mounts = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
                                      "30 27 0:40 /export/a /data rw - nfs server:/ rw\n"
                                      "33 30 254:0 /scratch /data/scratch rw - ext4 /dev/vda rw\n"
                                      "34 27 0:40 /export/a/b /opt/b rw - nfs server:/ rw\n";
    (void)state;
    expect_name(mounts, "/data/scratch/log.db", "ext4");
    expect_name(mounts, "/data/log.db", "nfs");
    expect_name(mounts, "/opt/b/log.db", "nfs");
}

/* A mount hides what was mounted below it before; a second one at the same place hides the first. */
static void test_overmounts(void **state)
{
    static const char *const hidden = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
                                      "30 27 0:40 / /a/b rw - nfs server:/ rw\n"
                                      "31 27 0:41 / /a rw - tmpfs tmpfs rw\n";
    static const char *const stacked = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
                                       "30 27 0:40 / /a rw - tmpfs tmpfs rw\n"
                                       "31 30 0:41 / /a rw - cifs //server/share rw\n"
                                       "32 31 0:42 / /a/b rw - xfs /dev/sdb rw\n";
    static const char *const root = "1 0 0:2 / / rw - rootfs rootfs rw\n"
                                    "27 1 254:0 / / rw - overlay overlay rw,lowerdir=/l\n";
    (void)state;
    expect_name(hidden, "/a/b/log.db", "tmpfs");
    expect_name(stacked, "/a/log.db", "cifs");
    expect_name(stacked, "/a/b/log.db", "xfs");
    expect_name(root, "/log.db", "overlay");
}

static void test_escapes(void **state)
{
    static const char *const mounts = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
                                      "30 27 0:40 / /my\\040lab\\011x rw - nfs server:/ rw\n"
                                      "31 27 0:41 / /back\\134slash rw - cifs //s/x rw\n"
                                      "32 27 0:42 / /new\\012line rw - 9p share rw\n";
    (void)state;
    expect_name(mounts, "/my lab\tx/log.db", "nfs");
    expect_name(mounts, "/my/log.db", "ext4");
    expect_name(mounts, "/back\\slash/log.db", "cifs");
    expect_name(mounts, "/new\nline/log.db", "9p");
}

/* Text that is none, or not all there, tells nothing and goes on for ever nowhere. */
static void test_bad_mountinfo(void **state)
{
    (void)state;
    expect_name("", "/log.db", "");
    expect_name("nonsense\n\n27 1\n - - - - - - - -\n", "/log.db", "");
    expect_name("27 1 254:0 / /", "/log.db", "");
    expect_name("27 1 254:0 / / rw -", "/log.db", "");
    expect_name("27 1 254:0 / / rw -\n28 1 254:0 / / rw - ext4", "/log.db", "ext4");
    expect_name("27 27 254:0 / / rw - ext4 x rw\n", "/log.db", "ext4"); /* its own parent */
    expect_name("1 2 0:1 / / rw - ext4 x rw\n2 1 0:2 / / rw - nfs x rw\n", "/log.db", ""); /* a circle */
}

static void test_remote_names(void **state)
{
    static const char *const remote[] = {
        "nfs",  "nfs4",   "cifs",   "smb3", "9p",    "lustre",     "ceph",           "afs",        "beegfs",
        "gpfs", "vboxsf", "wekafs", "fuse", "ocfs2", "fuse.sshfs", "fuse.glusterfs", "fuse.rclone"};
    static const char *const local[] = {"ext4",    "xfs",  "btrfs",   "tmpfs",   "zfs",
                                        "f2fs",    "vfat", "overlay", "fuseblk", "fuse.fuse-overlayfs",
                                        "fusectl", "",     "nfsd"};
    (void)state;
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++) {
        if (!filesystem_is_remote(remote[i])) {
            fail_msg("%s is taken for local", remote[i]);
        }
    }
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        if (filesystem_is_remote(local[i])) {
            fail_msg("%s is taken for remote", local[i]);
        }
    }
}

/* ---- names of this machine's ---- */

static void expect_same_file_system(const char *path, const char *expected)
{
    char name[FILESYSTEM_NAME];
    filesystem_of(path, name);
    assert_string_equal(name, expected);
}

/* /proc is the one file system whose place and name every Linux has. */
static void test_ways_to_a_file(void **state)
{
    char *folder = test_folder(), here[FILESYSTEM_NAME], old[4096];
    struct text path;
    (void)state;
    text_init(&path);
    filesystem_of(folder, here);
    assert_true(here[0] != '\0');
    assert_string_not_equal(here, "proc");
    expect_same_file_system("/proc/self/status", "proc");
    expect_same_file_system("/proc/there-is-no-such-file", "proc"); /* its folder's */
    text_printf(&path, "%s/link", folder);
    assert_int_equal(symlink("/proc/self/status", path.data), 0);
    expect_same_file_system(path.data, "proc");
    text_clear(&path);
    text_printf(&path, "%s/not/there.db", folder);
    expect_same_file_system(path.data, ""); /* nor can it be made */
    assert_non_null(getcwd(old, sizeof old));
    assert_int_equal(chdir(folder), 0);
    expect_same_file_system("new.db", here);
    expect_same_file_system("./new.db", here);
    expect_same_file_system("link", "proc");
    assert_int_equal(chdir(old), 0);
    assert_int_equal(setenv("MOESCOPE_FILESYSTEM", "nfs4", 1), 0);
    expect_same_file_system(folder, "nfs4");
    assert_int_equal(unsetenv("MOESCOPE_FILESYSTEM"), 0);
    text_release(&path);
    test_folder_remove(folder);
}

/* ---- a logbook there ---- */

static const struct moescope_layer layer = {.router = "topk", .n_experts = 4, .k = 1};

static void log_metric(struct trial *s, int64_t step)
{
    struct error err;
    struct moescope_batch *b = moescope_batch_new(s->writer, &err);
    assert_non_null(b);
    moescope_batch_metric(b, step, "train", "loss", 1);
    test_must(moescope_batch_commit(b, &err), &err);
    test_must(moescope_writer_drain(s->writer, &err), &err);
}

/* Readers come and go between commits, also while one of them was there when the transaction began. */
static void test_no_wal(void **state)
{
    struct trial s;
    struct error err;
    struct logbook *reader;
    (void)state;
    assert_int_equal(setenv("MOESCOPE_FILESYSTEM", "nfs4", 1), 0);
    trial_open(&s);
    assert_string_equal(logbook_remote(s.lb), "nfs4");
    trial_run(&s, "r", &layer, 1, 8);
    for (int64_t step = 0; step < 5; step++) {
        int64_t id;
        log_metric(&s, step);
        test_must(logbook_open(&reader, s.path, &err), &err);
        test_must(logbook_find_run(reader, "r", &id, &err), &err);
        log_metric(&s, step + 100);
        assert_true(moescope_close(reader));
        trial_expect(&s, "PRAGMA journal_mode; SELECT max(step) >= 100 FROM metric;", "delete\n1\n");
    }
    struct test_run r = test_run("ls '%s'", s.folder);
    assert_null(strstr(r.out, "-wal"));
    assert_null(strstr(r.out, "-shm"));
    test_run_release(&r);
    trial_end(&s, "finished");
    trial_expect(&s, "SELECT message FROM event WHERE kind = 'network';",
                 "network file system (nfs4): no WAL\n");
    trial_release(&s);
    assert_int_equal(unsetenv("MOESCOPE_FILESYSTEM"), 0);
}

/* A logbook that a killed run left in WAL mode is moved to the server: nothing of the WAL is lost. */
static void test_wal_moved_there(void **state)
{
    struct trial s;
    struct error err;
    int64_t id;
    (void)state;
    trial_open(&s);
    trial_run(&s, "r", &layer, 1, 8);
    log_metric(&s, 0);
    struct test_run r = test_run("cd '%s' && mkdir server && cp log.db log.db-wal server/", s.folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    trial_end(&s, "finished");
    trial_stop(&s);
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/server/log.db", s.folder);
    free(s.path);
    s.path = text_detach(&path);
    assert_int_equal(setenv("MOESCOPE_FILESYSTEM", "cifs", 1), 0);
    test_must(moescope_open(&s.lb, s.path, &err), &err);
    test_must(moescope_resume_run(s.lb, "r", 1, &id, &err), &err);
    trial_expect(&s, "PRAGMA journal_mode; SELECT count(*) FROM metric;", "delete\n1\n");
    trial_stop(&s);
    assert_int_equal(unsetenv("MOESCOPE_FILESYSTEM"), 0);
    r = test_run("ls '%s/server'", s.folder);
    assert_string_equal(r.out, "log.db\n");
    test_run_release(&r);
    trial_release(&s);
}

static void test_train_there(void **state)
{
    struct tiny tiny;
    (void)state;
    tiny_open(&tiny);
    assert_int_equal(setenv("MOESCOPE_FILESYSTEM", "fuse.sshfs", 1), 0);
    tiny_expect(
        tiny_train(&tiny, "there.db", "r", "--set train.steps=20"), 0,
        "r: there.db is on a network file system (fuse.sshfs): without WAL there, readers and the run "
        "wait for each other; a local disk is faster");
    assert_int_equal(unsetenv("MOESCOPE_FILESYSTEM"), 0);
    tiny_expect_answer(&tiny, "there.db",
                       "SELECT status, (SELECT message FROM event WHERE kind = 'network') FROM run",
                       "finished|network file system (fuse.sshfs): no WAL\n");
    tiny_expect(test_run("cd %s && %s/moescope-check there.db", tiny.folder, tiny.bin), 0, "");
    tiny_release(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_mount_point), cmocka_unit_test(test_bind_mounts),
        cmocka_unit_test(test_overmounts),          cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_bad_mountinfo),       cmocka_unit_test(test_remote_names),
        cmocka_unit_test(test_ways_to_a_file),      cmocka_unit_test(test_no_wal),
        cmocka_unit_test(test_wal_moved_there),     cmocka_unit_test(test_train_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
