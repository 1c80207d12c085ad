/* What looks after a logbook, killed at any call or on a full disk: merge, prune, delete, migrate and
 * snapshot have happened whole or not at all, `check` is content, and doing it again ends as if nothing had
 * been in the way. MOESCOPE_FAULTS=all visits every call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "sql/care.h"
#include "sql/merge.h"
#include "sql/migrate.h"
#include "tests/faulty.h"
#include "tests/steps.h"
#include "tests/support.h"
#include "tests/tracer.h"

/* ---- the deeds ---- */

typedef int act(struct error *err);

struct deed {
    const char *name, *command, *target; /* the command in the folder; what it changes, or makes */
    act *act;                            /* the same in this process */
};
enum { N_DEEDS = 5 };

static int merge(struct error *err)
{
    const struct merge_options options = {0};
    struct logbook *lb = NULL;
    int result = moescope_open(&lb, "a.db", err);
    if (result == 0) {
        result = logbook_merge(lb, "b.db", &options, err);
    }
    moescope_close(lb);
    return result;
}

static int prune(struct error *err)
{
    static const char *const splits[] = {"train", "probe"};
    const struct prune_request request = {.run = "r",
                                          .splits = splits,
                                          .n_splits = 2,
                                          .last_step = INT64_MAX,
                                          .decisions = true,
                                          .probabilities = true};
    struct pruned pruned;
    struct logbook *lb = NULL;
    int64_t given_back;
    int result = logbook_open_to_change(&lb, "a.db", err);
    if (result == 0) {
        result = logbook_prune(lb, &request, &pruned, NULL, err);
    }
    if (result == 0) {
        result = logbook_vacuum(lb, &given_back, err);
    }
    moescope_close(lb);
    return result;
}

static int delete_run(struct error *err)
{
    struct run_change change = {.run = "r"};
    struct logbook *lb = NULL;
    int64_t freed;
    int result = logbook_open_to_change(&lb, "a.db", err);
    if (result == 0) {
        result = logbook_change_runs(lb, &change, 1, false, false, &freed, err);
    }
    moescope_close(lb);
    return result;
}

static int migrate(struct error *err)
{
    struct logbook_migration done;
    return logbook_migrate("old.db", "old.db.backup", &done, err);
}

static int snapshot(struct error *err)
{
    struct logbook *lb = NULL;
    int result = logbook_open(&lb, "a.db", err);
    if (result == 0) {
        result = logbook_snapshot(lb, "copy.db", false, NULL, err);
    }
    moescope_close(lb);
    return result;
}

static const struct deed deeds[N_DEEDS] = {
    {"merge", "moescope-merge a.db b.db", "a.db", merge},
    {"prune", "moescope-prune a.db --run r --split train,probe --probabilities", "a.db", prune},
    {"delete", "moescope-runs a.db --delete r", "a.db", delete_run},
    {"migrate", "moescope-migrate old.db", "old.db", migrate},
    {"snapshot", "moescope-snapshot a.db copy.db", "copy.db", snapshot},
};

/* ---- the folder ---- */

static char *bin, *folder, *work; /* folder/kept: the logbooks; folder/work: a copy for each try */

static void shell(const char *command)
{
    struct test_run r = test_run("cd '%s' && %s", folder, command);
    if (r.status != 0) {
        fail_msg("%s: %s%s", command, r.out, r.err);
    }
    test_run_release(&r);
}

/* a.db has the run r, b.db the run other, old.db is of schema version 1. */
static int open_group(void **state)
{
    struct text t;
    (void)state;
    faulty_start();
    bin = test_bin();
    folder = test_folder();
    shell("mkdir kept");
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"a.db", "b.db", "old.db"};
        struct trial s;
        struct error err;
        int64_t safe;
        trial_open(&s);
        steps_leave(&s);
        steps_remove(&s);
        test_must(steps_run(&s, &safe, &err), &err);
        steps_leave(&s);
        struct test_run r = test_run("cp '%s' '%s/kept/%s'", s.path, folder, names[i]);
        assert_int_equal(r.status, 0);
        test_run_release(&r);
        trial_release(&s);
    }
    text_init(&t);
    text_printf(&t, "%s/moescope-runs kept/b.db --rename r=other", bin);
    shell(t.data);
    text_clear(&t);
    text_printf(&t, "%s/kept/old.db", folder);
    test_make_version_1(t.data);
    text_clear(&t);
    text_printf(&t, "%s/work", folder);
    work = text_detach(&t);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    free(work);
    free(bin);
    test_folder_remove(folder);
    return 0;
}

static void begin_anew(void)
{
    shell("rm -rf work && cp -r kept work");
}

/* All that the target says but for times; "" when there is none. Caller frees. */
static char *contents(const struct deed *d)
{
    struct test_run r = test_run(
        "cd '%s' && if test -e %s; then sqlite3 -readonly %s .dump | sed -E \"s/'[0-9]{4}-[0-9]{2}-[0-9]{2}T"
        "[0-9:.]+Z'/TIME/g\"; sqlite3 -readonly %s 'PRAGMA user_version'; fi",
        work, d->target, d->target, d->target);
    if (r.status != 0 || *r.err != '\0') {
        fail_msg("%s: %s", d->target, r.err);
    }
    free(r.err);
    return r.out;
}

struct states {
    char *before, *after;
};

static struct test_run run_deed(const struct deed *d)
{
    return test_run("cd '%s' && %s/%s 2>&1", work, bin, d->command);
}

static void learn_states(const struct deed *d, struct states *s)
{
    begin_anew();
    s->before = contents(d);
    struct test_run r = run_deed(d);
    if (r.status != 0) {
        fail_msg("%s: %s", d->name, r.out);
    }
    test_run_release(&r);
    s->after = contents(d);
    assert_string_not_equal(s->before, s->after);
}

/* Whole or not at all, and sound; what was only read is as it was. Returns whether it has happened. A hot
 * journal is taken back by `check`, hence it comes first. */
static bool expect_whole(const struct deed *d, const struct states *s, long n)
{
    struct test_run r = test_run("cd '%s' && { ! test -e %s || %s/moescope-check %s; } && for f in a.db b.db "
                                 "old.db; do test %s = $f || cmp $f "
                                 "../kept/$f || exit 1; done",
                                 work, d->target, bin, d->target, d->target);
    if (r.status != 0) {
        fail_msg("%s, call %ld: %s%s", d->name, n, r.out, r.err);
    }
    test_run_release(&r);
    char *now = contents(d);
    bool done = strcmp(now, s->after) == 0;
    if (!done && strcmp(now, s->before) != 0) {
        fail_msg("%s, call %ld: half of it has happened", d->name, n);
    }
    free(now);
    return done;
}

/* What did not happen is done again; a backup of the first try is in the way, and must be. */
static void expect_can_be_done(const struct deed *d, const struct states *s, bool done, long n)
{
    if (!done) {
        shell("rm -f work/old.db.backup");
        struct test_run r = run_deed(d);
        if (r.status != 0) {
            fail_msg("%s again after call %ld: %s", d->name, n, r.out);
        }
        test_run_release(&r);
    }
    assert_true(expect_whole(d, s, n));
}

/* ---- kills ---- */

static void kill_deed(const struct deed *d)
{
    struct states s;
    struct text command;
    long n = 1, tried = 0, happened = 0;
    text_init(&command);
    text_printf(&command, "ASAN_OPTIONS=detect_leaks=0 exec %s/%s", bin, d->command);
    const char *const argv[] = {"/bin/sh", "-c", command.data, NULL};
    learn_states(d, &s);
    begin_anew();
    struct traced whole = traced_run(work, argv, &(struct trace_point){0});
    assert_int_equal(whole.status, 0);
    for (; n <= whole.calls; n += steps_stride(1 + whole.calls / 4), tried++) {
        begin_anew();
        struct traced t = traced_run(work, argv, &(struct trace_point){.n = n});
        bool done = expect_whole(d, &s, n);
        happened += done;
        assert_true(t.killed || done);
        expect_can_be_done(d, &s, done, n);
    }
    print_message("%s: killed at %ld of %ld calls; it had happened %ld times\n", d->name, tried, whole.calls,
                  happened);
    text_release(&command);
    free(s.before);
    free(s.after);
}

static void test_kills(void **state)
{
    (void)state;
    for (int i = 0; i < N_DEEDS; i++) {
        kill_deed(&deeds[i]);
    }
}

/* ---- a full disk ---- */

static bool fill_disk(const struct deed *d, const struct states *s, long n, bool stays)
{
    struct error err = {0};
    begin_anew();
    assert_int_equal(chdir(work), 0);
    faulty_writes(FAULTY_FULL, n, stays);
    int result = d->act(&err);
    bool failed = faulty_failed();
    faulty_writes(FAULTY_FULL, 0, false);
    if (result != 0 &&
        (err.status != STATUS_MACHINE || (!strstr(err.text, "full") && !strstr(err.text, "room")))) {
        fail_msg("%s, write %ld: status %d, %s", d->name, n, (int)err.status, err.text);
    }
    if (failed) {
        bool done = expect_whole(d, s, n);
        assert_true(done || result != 0); /* it says so when it has not happened */
        expect_can_be_done(d, s, done, n);
    }
    return failed;
}

static void test_full_disk(void **state)
{
    char here[4096];
    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    for (int i = 0; i < N_DEEDS; i++) {
        struct states s;
        long n = 1, tried = 0;
        learn_states(&deeds[i], &s);
        while (fill_disk(&deeds[i], &s, n, tried % 2 == 0)) {
            n += steps_stride(1 + n);
            tried++;
        }
        print_message("%s: the disk was full at %ld of about %ld writes\n", deeds[i].name, tried, n);
        free(s.before);
        free(s.after);
        assert_int_equal(chdir(here), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kills),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
