/* A full or broken disk at any write. First every single write, resize and flush of a small run fails in
 * turn, by an SQLite that is told to; then real programs meet a real small disk (a tmpfs, where it may be
 * mounted). What was committed is there, the words say what to do, and once there is room --resume ends with
 * the run that nothing broke. MOESCOPE_FAULTS=all sweeps every write instead of every few. */
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
#include "tests/faulty.h"
#include "tests/steps.h"
#include "tests/tiny.h"

/* ---- every write ---- */

static void expect_words(const struct error *err, enum faulty_write how, long n)
{
    const char *words = how == FAULTY_FULL ? "full; make room" : "disk I/O error; is the disk full or gone?";
    if (err->status != STATUS_MACHINE || !strstr(err->text, words) || !strstr(err->text, "log.db'")) {
        fail_msg("write %ld: status %d, %s", n, (int)err->status, err->text);
    }
}

/* A reader needs no room, but where half a transaction must first be taken back: then it says so. */
static void expect_readable(const char *path, enum faulty_write how, long n)
{
    struct logbook *lb;
    struct error err = {0};
    if (logbook_open(&lb, path, &err) != 0) {
        expect_words(&err, how, n);
    }
    moescope_close(lb);
}

/* False when the run has no such write. */
static bool fail_write(struct trial *s, enum faulty_write how, long n, bool stays, const char *expected)
{
    struct error err = {0};
    int64_t safe;
    steps_remove(s);
    faulty_writes(how, n, stays);
    int result = steps_run(s, &safe, &err);
    steps_leave(s);
    if (!faulty_failed()) {
        return false;
    }
    if (result != 0) {
        expect_words(&err, how, n);
        assert_true(safe < STEPS_OF_RUN || strstr(err.text, "cannot write") != NULL);
    }
    if (stays && safe > 0) {
        expect_readable(s->path, how, n);
    }
    faulty_writes(how, 0, false);
    steps_expect_safe(s->path, safe, n);
    steps_go_on(s, safe);
    char *contents = steps_contents(s);
    if (strcmp(contents, expected) != 0) {
        fail_msg("write %ld: the run that went on is another", n);
    }
    free(contents);
    if (n % 10 == 0) {
        steps_expect_clean(s->path);
    }
    return true;
}

static void sweep(enum faulty_write how, bool stays, long stride, const char *words)
{
    struct trial s;
    struct error err;
    int64_t safe;
    long n = 1, tried = 0;
    trial_open(&s);
    trial_stop(&s);
    steps_remove(&s);
    test_must(steps_run(&s, &safe, &err), &err);
    steps_leave(&s);
    char *expected = steps_contents(&s);
    for (; fail_write(&s, how, n, stays, expected); n += stride) {
        tried++;
    }
    print_message("%s: %ld of about %ld writes failed, each run went on to the same end\n", words, tried, n);
    assert_true(tried > 10 / STEPS_SPARSE);
    faulty_writes(how, 0, false);
    free(expected);
    trial_release(&s);
}

static void test_full_at_any_write(void **state)
{
    (void)state;
    sweep(FAULTY_FULL, true, steps_stride(11), "disk full and stays full");
}

static void test_full_for_a_moment(void **state)
{
    (void)state;
    sweep(FAULTY_FULL, false, steps_stride(13), "disk full for one write");
}

static void test_broken_at_any_write(void **state)
{
    (void)state;
    sweep(FAULTY_BROKEN, true, steps_stride(13), "disk broken");
}

static void test_broken_for_a_moment(void **state)
{
    (void)state;
    sweep(FAULTY_BROKEN, false, steps_stride(13), "one write broken");
}

/* ---- a small disk ---- */

static struct tiny tiny;
static bool mounted;

static int open_group(void **state)
{
    (void)state;
    faulty_start();
    tiny_open(&tiny);
    struct test_run r =
        test_run("cd %s && mkdir small && mount -t tmpfs -o size=1m moescope-test small", tiny.folder);
    mounted = r.status == 0;
    if (!mounted) {
        print_message("skipped: no small disk can be mounted here: %s", r.err);
    }
    test_run_release(&r);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    if (mounted) {
        tiny_expect(test_run("umount %s/small", tiny.folder), 0, "");
    }
    tiny_release(&tiny);
    return 0;
}

static void resize(const char *size)
{
    tiny_expect(test_run("cd %s && rm -rf small/* && mount -o remount,size=%s %s/small", tiny.folder, size,
                         tiny.folder),
                0, "");
}

static void make_room(void)
{
    tiny_expect(test_run("mount -o remount,size=64m %s/small", tiny.folder), 0, "");
}

static const char *const run = "--set train.steps=400 --set train.checkpoint_every=20";

static void train_whole(void)
{
    struct test_run r = test_run("test -e %s/whole.db", tiny.folder);
    if (r.status != 0) {
        tiny_expect(tiny_train(&tiny, "whole.db", "r", run), 0, "");
    }
    test_run_release(&r);
}

static void go_on_to_the_same_end(const char *db, const char *checkpoint)
{
    char more[256];
    snprintf(more, sizeof more, "%s --resume --checkpoint %s", run, checkpoint);
    train_whole();
    tiny_expect(tiny_train(&tiny, db, "r", more), 0, "");
    tiny_expect_same(&tiny, "whole.db", db);
    tiny_expect(test_run("cd %s && cmp whole.db.checkpoints/r.safetensors %s && ! ls %s.part* 2>/dev/null",
                         tiny.folder, checkpoint, checkpoint),
                0, "");
}

/* The logbook's disk is full: from the first byte on, or in the middle of the run. */
static void test_small_disk(void **state)
{
    static const char *const sizes[] = {"16k", "1m", "3m", "4m", "5m"};
    (void)state;
    if (!mounted) {
        skip();
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        resize(sizes[i]);
        struct test_run r = tiny_train(&tiny, "small/x.db", "r", run);
        if (r.status != 4 || (!strstr(r.err, "make room") && !strstr(r.err, "is the disk full"))) {
            fail_msg("%s: status %d, %s", sizes[i], r.status, r.err);
        }
        print_message("%s: %s", sizes[i],
                      strstr(r.err, "moescope train:") ? strstr(r.err, "moescope train:") : "");
        test_run_release(&r);
        make_room();
        if (i > 1) {
            tiny_expect(test_run("cd %s && %s/moescope-check small/x.db", tiny.folder, tiny.bin), 0, "");
            tiny_expect_answer(&tiny, "small/x.db", "SELECT count(*) > 5 FROM metric", "1\n");
        }
        go_on_to_the_same_end("small/x.db", "small/x.db.checkpoints/r.safetensors");
    }
}

/* The checkpoint's alone. */
static void test_small_disk_of_checkpoints(void **state)
{
    (void)state;
    if (!mounted) {
        skip();
    }
    resize("100k");
    char more[256];
    snprintf(more, sizeof more, "%s --checkpoint small/c.safetensors", run);
    tiny_expect(
        tiny_train(&tiny, "apart.db", "r", more), 4,
        "cannot write 'small/c.safetensors': no space left on device; make room; then go on with: moescope "
        "train --log apart.db --name r --resume --checkpoint small/c.safetensors");
    tiny_expect(test_run("cd %s && ! ls small/* 2>/dev/null", tiny.folder), 0, ""); /* not even a part */
    tiny_expect_answer(&tiny, "apart.db", "SELECT status, (SELECT max(step) FROM metric) FROM run",
                       "failed|19\n");
    tiny_expect(test_run("cd %s && %s/moescope-check apart.db", tiny.folder, tiny.bin), 0, "");
    make_room();
    go_on_to_the_same_end("apart.db", "small/c.safetensors");
}

/* Readers: an answer is there whole or not at all, and says why. */
static void test_small_disk_of_answers(void **state)
{
    static const char *const asked[] = {"runs whole.db",           "check whole.db",  "collapse whole.db",
                                        "specialization whole.db", "demand whole.db", "report whole.db",
                                        "sql whole.db events"};
    (void)state;
    if (!mounted) {
        skip();
    }
    train_whole();
    resize("64k");
    tiny_expect(test_run("cd %s && cat /dev/zero > small/filler; test -s small/filler", tiny.folder), 0, "");
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        struct test_run r =
            test_run("cd %s && %s/moescope-%s -o small/answer", tiny.folder, tiny.bin, asked[i]);
        if (r.status != 4 || !strstr(r.err, "no space left on device; make room")) {
            fail_msg("%s: status %d, %s", asked[i], r.status, r.err);
        }
        test_run_release(&r);
        tiny_expect(test_run("cd %s && ls small/answer* >&2; ! test -f small/answer", tiny.folder), 0, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_at_any_write),
        cmocka_unit_test(test_full_for_a_moment),
        cmocka_unit_test(test_broken_at_any_write),
        cmocka_unit_test(test_broken_for_a_moment),
        cmocka_unit_test(test_small_disk),
        cmocka_unit_test(test_small_disk_of_checkpoints),
        cmocka_unit_test(test_small_disk_of_answers),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
