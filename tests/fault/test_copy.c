/* A logbook copied by `cp`, without its WAL, while a run writes: who reads the copy sees an older state,
 * whole, or is told; `check` finds what a copy in the middle of things has mixed up, and says how to copy. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/reading.h"
#include "tests/steps.h"
#include "tests/support.h"

enum { FEW_COPIES = 24 / STEPS_SPARSE };

static void log_for_ever(const struct trial *parent)
{
    static const struct steps_size size = {.sequences = 4, .tokens = 256};
    struct trial s = *parent;
    struct error err;
    test_must(moescope_open(&s.lb, s.path, &err), &err);
    test_must(steps_begin(&s, "r", &err), &err);
    for (int64_t step = 0; step < 2000; step++) { /* so that a slow machine has not ever more to copy */
        test_must(steps_log(s.writer, s.document_ids[0], step, size, &err), &err);
        if (step % 3 == 2) {
            test_must(moescope_writer_drain(s.writer, &err), &err); /* and the WAL goes into the file */
        }
        usleep(1000);
    }
    pause();
}

static void expect_named(int result, const struct error *err)
{
    if (result != 0 && (err->status != STATUS_INPUT || !strstr(err->text, "copy.db"))) {
        fail_msg("status %d, %s", (int)err->status, err->text);
    }
}

struct tally {
    int whole, mixed, refused, with_steps;
};

/* Reads and checks the copy. */
static void look(const char *path, struct tally *t)
{
    struct check_finding findings[CHECK_MAX_FINDINGS];
    int n = CHECK_MAX_FINDINGS;
    int64_t violations = 0, steps = 0;
    struct logbook *lb;
    struct query *q = NULL;
    struct error err = {0};
    int result = logbook_open(&lb, path, &err);
    expect_named(result, &err);
    if (result != 0) {
        t->refused++;
        return;
    }
    assert_true(logbook_lacks_wal(lb));
    int read = reading_blocks(lb, &err);
    expect_named(read, &err);
    if (query_open_text(&q, lb, "SELECT count(*) AS n FROM metric WHERE split = 'train'", &err) == 0 &&
        query_step(q, &err) == 1) {
        steps = query_int(q, "n");
    }
    query_close(q);
    result = logbook_check(lb, findings, &n, &err);
    expect_named(result, &err);
    for (int i = 0; result == 0 && i < n; i++) {
        violations += findings[i].violations;
    }
    moescope_close(lb);
    if (read != 0) {
        assert_true(result != 0 || violations > 0); /* what a reader stumbles over, check finds */
    }
    t->mixed += result != 0 || violations > 0;
    t->whole += result == 0 && violations == 0;
    t->with_steps += result == 0 && violations == 0 && steps > 0;
}

/* From here on the file is live, however long its writer took to come to it. */
static void expect_file(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (int i = 0; i < 6000 && access(path, F_OK) != 0; i++) {
        usleep(10000);
    }
    assert_int_equal(access(path, F_OK), 0);
}

static void test_copies_of_a_live_file(void **state)
{
    struct trial s;
    struct tally t = {0};
    char copy[512];
    (void)state;
    trial_open(&s);
    trial_stop(&s);
    snprintf(copy, sizeof copy, "%s/copy.db", s.folder);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        log_for_ever(&s);
    }
    expect_file(s.folder, "log.db-wal");
    for (int i = 0; i < FEW_COPIES; i++) {
        struct test_run r = test_run("cd '%s' && rm -f copy.db* && cp log.db copy.db", s.folder);
        assert_int_equal(r.status, 0);
        test_run_release(&r);
        look(copy, &t);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    print_message(
        "%d copies of a live file: %d an older state, whole (%d with steps in it), %d mixed up and found by "
        "check, %d refused\n",
        FEW_COPIES, t.whole, t.with_steps, t.mixed, t.refused);
    steps_expect_clean(s.path); /* the file itself is not the worse for it */
    trial_release(&s);
}

static void test_what_check_says(void **state)
{
    struct trial s;
    struct error err;
    int64_t safe;
    char *bin = test_bin();
    (void)state;
    trial_open(&s);
    steps_leave(&s);
    steps_remove(&s);
    test_must(steps_run(&s, &safe, &err), &err);
    struct test_run r =
        test_run("cd '%s' && cp log.db copy.db && %s/moescope-check copy.db >/dev/null", s.folder, bin);
    assert_int_equal(r.status, 0);
    assert_string_equal(
        r.err, "moescope check: 'copy.db' is in WAL mode, but there is no 'copy.db-wal'; if it was copied "
               "while a run wrote, its last steps are missing: moescope snapshot copies a whole one\n");
    test_run_release(&r);
    steps_leave(&s);
    r = test_run("cd '%s' && cp log.db copy.db && %s/moescope-check copy.db >/dev/null", s.folder, bin);
    assert_int_equal(r.status, 0);
    assert_string_equal(r.err, ""); /* a file that stands alone may be copied */
    test_run_release(&r);
    trial_release(&s);
    free(bin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_of_a_live_file),
        cmocka_unit_test(test_what_check_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
