/* What is no logbook, no checkpoint and no corpus, and names that look like something else: refused in words,
 * without a hang, or taken for the file that they name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/support.h"
#include "tests/tiny.h"

static struct tiny tiny;

static const char *const verbs[] = {"runs",    "check",  "collapse", "specialization", "demand",
                                    "compare", "report", "sql",      "watch",          "train"};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static int open_group(void **state)
{
    (void)state;
    tiny_open(&tiny);
    tiny_expect(tiny_train(&tiny, "good.db", "r", "--set train.steps=5"), 0, "");
    tiny_expect(
        test_run("cd %s && mkdir folder && mkfifo pipe && : >empty.db && echo 'no database, and long enough' "
                 ">text.db && "
                 "sqlite3 other.db 'CREATE TABLE t (x)' && cp good.db newer.db && sqlite3 newer.db 'PRAGMA "
                 "user_version = "
                 "99' && ln -s good.db link.db && ln -s nowhere.db dangling.db && ln -s loop.db loop.db",
                 tiny.folder),
        0, "");
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

/* The verb's command line about a logbook; `db` needs no quotes but these. */
static struct test_run ask(const char *verb, const char *db)
{
    const char *more = strcmp(verb, "compare") == 0  ? "r r"
                       : strcmp(verb, "report") == 0 ? "-o out.html"
                       : strcmp(verb, "sql") == 0    ? "events"
                                                     : "";
    if (strcmp(verb, "train") == 0) {
        return test_run("cd %s && timeout 20 %s/moescope-train --log '%s' --name new %s --set train.steps=2",
                        tiny.folder, tiny.bin, db, tiny_model);
    }
    return test_run("cd %s && timeout 20 %s/moescope-%s '%s' %s", tiny.folder, tiny.bin, verb, db, more);
}

/* Every reader says so; and training too, where it may not make something of it. */
static void expect_refused(const char *db, const char *words, bool train_too)
{
    for (int v = 0; v < (train_too ? N_VERBS : N_VERBS - 1); v++) {
        struct test_run r = ask(verbs[v], db);
        if (r.status != 3 || !strstr(r.err, words) || !strstr(r.err, db)) {
            fail_msg("%s %s: status %d, %s", verbs[v], db, r.status, r.err);
        }
        test_run_release(&r);
    }
}

static void test_no_logbooks(void **state)
{
    (void)state;
    expect_refused("folder", "it is a folder, not a file", true);
    expect_refused("pipe", "it is a pipe, not a file", true);
    expect_refused("/dev/null", "it is a device, not a file", true);
    expect_refused("text.db", "not an SQLite file", true);
    expect_refused("other.db", "an SQLite file of another program", true);
    expect_refused("newer.db", "its schema is version 99", true);
    expect_refused("empty.db", "it is empty", false);
    expect_refused("none.db", "no such file", false);
    expect_refused("dangling.db", "no such file", false);
    expect_refused("loop.db", "too many levels of symbolic links", true);
    expect_refused("good.db/x.db", "not a directory", false);
    tiny_expect(test_run("cd %s && sqlite3 other.db .schema >&2", tiny.folder), 0, "CREATE TABLE t (x);");
    tiny_expect(test_run("cd %s && cat text.db >&2 && ! test -e none.db", tiny.folder), 0, "long enough");
}

/* A file is a file, however it is called. SQLite would keep some of these in memory, and forget the run. */
static void test_names(void **state)
{
    static const char *const names[] = {
        "a b.db",      "new\nline.db", "q?mode=memory#%20.db", "file:x.db?mode=memory", ":memory:",
        "dangling.db", "-dash.db",     "\xc3\xa4\xff.db",      "\"$HOME`\\.db"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct text name;
        text_init(&name);
        text_printf(&name, "%s%s", names[i][0] == '-' ? "./" : "", names[i]);
        struct test_run r = ask("train", name.data);
        if (r.status != 0) {
            fail_msg("train %s: status %d, %s", name.data, r.status, r.err);
        }
        test_run_release(&r);
        r = test_run("cd %s && test -f '%s'", tiny.folder, name.data);
        if (r.status != 0) {
            fail_msg("'%s' is not there", name.data);
        }
        test_run_release(&r);
        for (int v = 0; v < 3; v++) { /* runs, check, collapse */
            r = ask(verbs[v], name.data);
            if (r.status != 0) {
                fail_msg("%s %s: status %d, %s", verbs[v], name.data, r.status, r.err);
            }
            test_run_release(&r);
        }
        text_release(&name);
    }
    struct test_run r = ask("train", "");
    if (r.status == 0 || !strstr(r.err, "moescope train: ")) {
        fail_msg("no name: status %d, %s", r.status, r.err);
    }
    test_run_release(&r);
    tiny_expect(test_run("cd %s && %s/moescope-runs link.db", tiny.folder, tiny.bin), 0, "");
}

/* Of a checkpoint and of a corpus. */
static void test_other_files(void **state)
{
    static const char *const checkpoints[] = {"folder", "empty.db", "text.db", "good.db", "none"};
    static const char *const corpora[] = {"good.db", "none", "folder", "text"};
    (void)state;
    for (size_t i = 0; i < sizeof checkpoints / sizeof checkpoints[0]; i++) {
        char words[64];
        snprintf(words, sizeof words, "'%s'", checkpoints[i]);
        tiny_expect(test_run("cd %s && timeout 20 %s/moescope-route good.db --checkpoint %s text.db",
                             tiny.folder, tiny.bin, checkpoints[i]),
                    3, words);
    }
    for (size_t i = 0; i < sizeof corpora / sizeof corpora[0]; i++) {
        char more[64];
        snprintf(more, sizeof more, "--set data.corpus=%s", corpora[i]);
        tiny_expect(tiny_train(&tiny, "good.db", "x", more), 3, corpora[i]);
    }
    tiny_expect_answer(&tiny, "good.db", "SELECT count(*) FROM run", "1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_logbooks),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_other_files),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
