/* The logbook in the hands of several processes: two writers at once, readers beside a writer, a writer that
 * is killed, one whose disk is full. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/support.h"
#include "tests/trial.h"

/* ---- two writers ---- */

static int write_in_child(const char *path, const char *name)
{
    struct trial s = {.path = (char *)path};
    struct error err;
    int64_t corpus_id, vocabulary_id;
    const struct moescope_document document = {"english/a.txt", "english", "d1", "train",
                                               10000000,        4000000,   NULL, 0};
    const struct moescope_corpus corpus = {.name = "scratch",
                                           .sha256 = "c1",
                                           .vocabulary_name = "tiny",
                                           .vocabulary_sha256 = "v1",
                                           .documents = &document,
                                           .n_documents = 1};
    if (moescope_open(&s.lb, path, &err) != 0 ||
        moescope_add_corpus(s.lb, &corpus, &corpus_id, &vocabulary_id, s.document_ids, s.domain_ids, &err) !=
            0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    trial_run(&s, name, trial_layers, TRIAL_LAYERS, 8);
    trial_log_steps(&s, 0, 59);
    trial_end(&s, "finished");
    moescope_close(s.lb);
    return 0;
}

/* Two programs create the same logbook and write at once: no ids clash, nothing is lost, and the file stands
 * alone when both are gone. */
static void test_two_writers(void **state)
{
    struct trial s = {.folder = test_folder()};
    struct text path;
    (void)state;
    text_init(&path);
    text_printf(&path, "%s/log.db", s.folder);
    s.path = text_detach(&path);
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            _exit(write_in_child(s.path, i == 0 ? "left" : "right"));
        }
    }
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    trial_expect(
        &s,
        "SELECT name, status, (SELECT count(*) FROM sequence AS s WHERE s.run_id = run.run_id) FROM run "
        "ORDER BY name; SELECT count(*), count(DISTINCT block_id) FROM routing_block;"
        "SELECT count(*) FROM sample; PRAGMA integrity_check;",
        "left|finished|60\nright|finished|60\n120|120\n20\nok\n"); /* steps 0, 3, ..., 57 */
    struct test_run r = test_run("ls '%s'", s.folder);
    assert_null(strstr(r.out, "log.db-wal"));
    test_run_release(&r);
    trial_release(&s);
}

/* ---- readers ---- */

/* A reader sees whole steps while a run writes, and does not disturb it; the writer's close leaves the file
 * readable even though it cannot leave WAL mode. */
static void test_reader_beside_writer(void **state)
{
    struct trial s;
    struct logbook *reader;
    struct query *q;
    struct error err;
    (void)state;
    trial_open(&s);
    trial_run(&s, "live", trial_layers, TRIAL_LAYERS, 8);
    trial_log_steps(&s, 0, 4);
    assert_int_equal(moescope_writer_drain(s.writer, &err), 0);
    assert_int_equal(logbook_open(&reader, s.path, &err), 0);
    assert_int_equal(query_open_text(&q, reader, "SELECT count(*) AS n FROM metric", &err), 0);
    assert_int_equal(query_step(q, &err), 1);
    assert_int_equal(query_int(q, "n"), 5);
    trial_log_steps(&s, 5, 9); /* the open cursor of the reader holds an old view */
    trial_end(&s, "finished");
    trial_stop(&s);
    assert_int_equal(query_step(q, &err), 0);
    query_close(q);
    trial_expect(&s, "SELECT count(*) FROM metric;", "10\n");
    moescope_close(reader);
    trial_release(&s);
}

/* A file that a killed run left in WAL mode needs its folder: said in words. Root is not bound by file modes,
 * so the folder is read as nobody. */
static void test_killed_in_read_only_folder(void **state)
{
    struct trial s;
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    trial_open(&s);
    int status;
    /* What a kill leaves: the file says WAL, and the side files may be gone with a copy. */
    struct test_run r = test_run(
        "cd '%s' && mkdir copy && cp log.db copy/ && chmod 755 . copy && chmod 644 copy/log.db", s.folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct logbook *lb;
        struct error err;
        struct text path;
        text_init(&path);
        text_printf(&path, "%s/copy/log.db", s.folder);
        if (setgid(65534) != 0 || setuid(65534) != 0) {
            _exit(9);
        }
        int refused = logbook_open(&lb, path.data, &err) == -1 && err.status == STATUS_INPUT &&
                      strstr(err.text, "left it in WAL mode") != NULL;
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    trial_release(&s);
}

/* ---- a kill ---- */

/* Killed at any moment, a run leaves whole steps: as many sequences, blocks and loads as metrics. A reader
 * needs nothing special, and the next writer leaves a file that stands alone. */
static void test_kill(void **state)
{
    struct trial s;
    struct error err;
    int64_t id;
    int status, progress[2];
    char byte;
    (void)state;
    trial_open(&s);
    trial_stop(&s);
    for (int round = 0; round < 5; round++) {
        assert_int_equal(pipe(progress), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            char name[16];
            snprintf(name, sizeof name, "run%d", round);
            if (moescope_open(&s.lb, s.path, NULL) != 0) {
                _exit(1);
            }
            trial_run(&s, name, trial_layers, TRIAL_LAYERS, 8);
            for (int64_t step = 0;; step += 8) {
                trial_log_steps(&s, step, step + 7);
                if (step == 0 && moescope_writer_drain(s.writer, NULL) != 0) {
                    _exit(3);
                }
                if (write(progress[1], "x", 1) != 1) {
                    _exit(2);
                }
            }
        }
        close(progress[1]); /* a child that fails ends the read */
        /* Eight steps are stored; then somewhere in those that follow. */
        assert_int_equal(read(progress[0], &byte, 1), 1);
        usleep((useconds_t)(1700 * round));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        close(progress[0]);
    }
    trial_expect(&s, "PRAGMA integrity_check; SELECT count(*), sum(status = 'running') FROM run;",
                 "ok\n5|5\n");
    trial_expect(
        &s,
        "SELECT count(*) > 5, count(*) = (SELECT count(*) FROM sequence), count(*) = (SELECT count(*) FROM "
        "routing_block), count(*) = (SELECT count(*) FROM load_block) FROM metric;"
        "SELECT count(*) FROM (SELECT run_id, max(step) + 1 AS n, count(*) AS m FROM metric GROUP BY 1) "
        "WHERE "
        "n <> m;",
        "1|1|1|1\n0\n");
    assert_int_equal(moescope_open(&s.lb, s.path, &err), 0);
    assert_int_equal(moescope_resume_run(s.lb, "run2", 3, &id, &err), 0);
    trial_stop(&s);
    trial_expect(&s, "PRAGMA journal_mode; SELECT count(*) FROM metric WHERE run_id = 3;", "delete\n3\n");
    trial_release(&s);
}

/* ---- a full disk ---- */

/* The limit on file size stands in for a full disk. The thread's failure reaches the caller, what was
 * committed before is whole, and the writer goes on refusing. */
static int write_until_full(const char *path)
{
    struct trial s = {.path = (char *)path};
    struct error err = {0};
    struct stat file;
    static char filler[200000];
    memset(filler, 'x', sizeof filler - 1);
    signal(SIGXFSZ, SIG_IGN);
    if (moescope_open(&s.lb, path, &err) != 0) {
        return 1;
    }
    trial_run(&s, "full", trial_layers, TRIAL_LAYERS, 8);
    if (stat(path, &file) != 0) {
        return 2;
    }
    const struct rlimit limit = {(rlim_t)file.st_size + 3000000, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 3;
    }
    int result = 0;
    for (int64_t step = 0; result == 0 && step < 1000; step++) {
        struct moescope_batch *b = moescope_batch_new(s.writer, &err);
        result = b == NULL ? -1 : 0;
        if (b != NULL) {
            moescope_batch_metric(b, step, "train", "loss", 1);
            moescope_batch_event(b, step, "note", -1, -1, NAN, filler);
            result = moescope_batch_commit(b, &err);
        }
    }
    if (result == 0 || err.status != STATUS_MACHINE) {
        return 4;
    }
    if (moescope_batch_new(s.writer, &err) != NULL || moescope_writer_close(s.writer, &err) != -1) {
        return 5;
    }
    moescope_close(s.lb);
    return 0;
}

static void test_full_disk(void **state)
{
    struct trial s;
    int status;
    (void)state;
    trial_open(&s);
    trial_stop(&s);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(write_until_full(s.path));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    trial_expect(
        &s,
        "PRAGMA integrity_check; SELECT count(*) > 0, count(*) = max(step) + 1, count(*) = (SELECT count(*) "
        "FROM event WHERE kind = 'note') FROM metric;",
        "ok\n1|1|1\n");
    trial_release(&s);
}

/* Opens in a folder that takes no file of more bytes than that. */
static int open_where_full(const char *path, rlim_t most)
{
    const struct rlimit limit = {most, RLIM_INFINITY};
    struct logbook *lb;
    struct error err = {0};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 1;
    }
    if (moescope_open(&lb, path, &err) == 0) {
        return 2;
    }
    return lb == NULL && err.status == STATUS_MACHINE ? 0 : 3;
}

static void expect_full(const char *path, rlim_t most)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(open_where_full(path, most));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A logbook that could not be made leaves no file behind; one that was there stays, if only its name. */
static void test_full_disk_at_first(void **state)
{
    static const rlim_t most[] = {0, 4096, 100000, 600000};
    char *folder = test_folder(), path[256];
    (void)state;
    snprintf(path, sizeof path, "%s/new.db", folder);
    for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
        expect_full(path, most[i]);
        struct test_run r = test_run("ls -A '%s'", folder);
        assert_string_equal(r.out, "");
        test_run_release(&r);
    }
    test_write_text(folder, "new.db", "");
    expect_full(path, 100000);
    assert_int_equal(access(path, F_OK), 0);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_reader_beside_writer),
        cmocka_unit_test(test_killed_in_read_only_folder),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_full_disk_at_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
