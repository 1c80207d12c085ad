/* A logbook as another user finds it, in a folder that is not theirs. Root is not bound by file modes, so
 * what is tested runs as nobody; without root there is nothing to test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/reading.h"
#include "tests/steps.h"
#include "tests/support.h"

enum { NOBODY = 65534 };

/* ---- as nobody ---- */

struct answer {
    int result, status;
    char text[1024];
};

typedef int attempt(const char *path, struct error *err);

static int read_all(const char *path, struct error *err)
{
    struct logbook *lb;
    if (logbook_open(&lb, path, err) != 0) {
        return -1;
    }
    int result = reading_blocks(lb, err) != 0 || reading_queries(lb, err) != 0 ? -1 : 0;
    moescope_close(lb);
    return result;
}

static int write_run(const char *path, struct error *err)
{
    struct trial s = {.path = (char *)path};
    int64_t safe;
    int result = steps_run(&s, &safe, err);
    steps_leave(&s);
    return result;
}

static struct answer as_nobody(attempt *try, const char *path)
{
    struct answer answer = {.result = -2};
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error err = {0};
        if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0) {
            _exit(9);
        }
        answer.result = try(path, &err);
        answer.status = (int)err.status;
        memcpy(answer.text, err.text, sizeof answer.text);
        _exit(write(ends[1], &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : 8);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &answer, sizeof answer), sizeof answer);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return answer;
}

static void expect_works(attempt *try, const char *path)
{
    struct answer a = as_nobody(try, path);
    if (a.result != 0) {
        fail_msg("status %d, %s", a.status, a.text);
    }
}

static void expect_refused(attempt *try, const char *path, const char *words)
{
    struct answer a = as_nobody(try, path);
    if (a.result != -1 || a.status != STATUS_INPUT || !strstr(a.text, path) || !strstr(a.text, words)) {
        fail_msg("result %d, status %d, %s", a.result, a.status, a.text);
    }
}

/* ---- logbooks ---- */

static struct trial trial; /* FOLDER/log.db, a whole run; FOLDER/killed: a copy of a run that was killed */
static char killed[512];

static void shell(const char *command)
{
    struct test_run r = test_run("cd '%s' && %s", trial.folder, command);
    if (r.status != 0) {
        fail_msg("%s: %s", command, r.err);
    }
    test_run_release(&r);
}

static int open_group(void **state)
{
    struct error err;
    int64_t safe;
    (void)state;
    trial_open(&trial);
    steps_leave(&trial);
    steps_remove(&trial);
    test_must(steps_run(&trial, &safe, &err), &err);
    shell("mkdir killed && cp log.db log.db-wal log.db-shm killed/ && chmod 755 . killed && chmod 644 "
          "killed/*");
    steps_leave(&trial);
    snprintf(killed, sizeof killed, "%s/killed/log.db", trial.folder);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    trial_release(&trial);
    return 0;
}

static bool skipped(void)
{
    if (geteuid() != 0) {
        print_message("skipped: only root can become another user\n");
    }
    return geteuid() != 0;
}

static void test_closed_logbook(void **state)
{
    (void)state;
    if (skipped()) {
        skip();
    }
    shell("chmod 644 log.db && chmod 555 .");
    expect_works(read_all, trial.path);
    shell("chmod 600 log.db");
    expect_refused(read_all, trial.path, "permission denied");
    shell("chmod 644 log.db && chmod 755 .");
}

/* With its side files it can be read where nothing may be written; without them it says what is missing. */
static void test_killed_logbook(void **state)
{
    (void)state;
    if (skipped()) {
        skip();
    }
    expect_works(read_all, killed);
    shell("mkdir part && cp killed/log.db killed/log.db-wal part/ && chmod 755 part && chmod 644 part/*");
    char part[512];
    snprintf(part, sizeof part, "%s/part/log.db", trial.folder);
    struct answer a = as_nobody(read_all, part);
    print_message("without -shm: %d %s\n", a.status, a.text);
    shell("rm part/log.db-wal");
    expect_refused(
        read_all, part,
        "a run that is running or was killed left it in WAL mode, which cannot be read from a folder "
        "that is not writable; copy it together with '");
    shell("chmod 777 part");
    expect_works(read_all, part);
}

/* Writing says which right is missing, and leaves everything as it was. */
static void test_writing(void **state)
{
    char path[512];
    (void)state;
    if (skipped()) {
        skip();
    }
    expect_refused(write_run, trial.path, "you may not write it or its folder");
    shell("chmod 666 log.db"); /* the folder is not ours: no journal can be made */
    expect_refused(write_run, trial.path, "you may not write it or its folder");
    shell("chmod 644 log.db && chmod 755 .");
    snprintf(path, sizeof path, "%s/new.db", trial.folder);
    expect_refused(write_run, path, "permission denied");
    assert_int_equal(access(path, F_OK), -1);
    steps_expect_clean(trial.path);
    shell("mkdir ours && cp log.db ours/ && chmod 777 ours && chmod 444 ours/log.db");
    snprintf(path, sizeof path, "%s/ours/log.db", trial.folder);
    expect_refused(write_run, path, "you may not write it or its folder");
}

/* A kill outside of WAL mode: only who may write can take back the half transaction. */
static void test_journal(void **state)
{
    char path[512];
    (void)state;
    if (skipped()) {
        skip();
    }
    shell("mkdir half && cp log.db half/ && cd half && { printf 'PRAGMA cache_size = 2;\\nBEGIN;\\nDELETE "
          "FROM metric;\\n"
          "DELETE FROM routing_block;\\nDELETE FROM sample;\\nDELETE FROM load_block; UPDATE run SET name = "
          "1;\\n.shell cp log.db "
          "taken.db; cp log.db-journal taken.db-journal\\n'; } | sqlite3 log.db && rm -f log.db && chmod 755 "
          ". && chmod 644 *");
    snprintf(path, sizeof path, "%s/half/taken.db", trial.folder);
    expect_refused(read_all, path, "a program that was killed left half a transaction in it");
    expect_refused(write_run, path, "half a transaction");
    steps_expect_clean(path); /* who may write, takes it back */
    expect_works(read_all, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_logbook),
        cmocka_unit_test(test_killed_logbook),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_journal),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
