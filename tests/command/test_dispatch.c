/* bin/moescope: which program a verb runs, what it says when there is none; and the manners every built
 * program shares: --help, --version, a refused option. */
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

#include "base/options.h"
#include "base/text.h"
#include "tests/support.h"

static const char *const verbs[] = {"train",  "runs",  "specialization", "collapse", "demand", "compare",
                                    "report", "sql",   "check",          "route",    "corpus", "snapshot",
                                    "merge",  "prune", "export",         "migrate",  "study",  "watch",
                                    "drift",  "glyphs"};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static const char fake_train[] = "#!/bin/sh\n"
                                 "if [ \"$1\" = --help ]; then\n"
                                 "  echo 'moescope train - train one run'; echo; echo Usage; exit 0\n"
                                 "fi\n"
                                 "for word; do echo \"<$word>\"; done\n"
                                 "cat\n"
                                 "exit 7\n";

static void make_executable(const char *folder, const char *name)
{
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/%s", folder, name);
    assert_int_equal(chmod(path.data, 0755), 0);
    text_release(&path);
}

/* The dispatcher alone in a folder with a space in its name, beside a train that is a script. */
static int lone_dispatcher(void **state)
{
    char *folder = test_folder(), *bin = test_bin();
    struct test_run r = test_run("mkdir '%s/b n' && cp '%s/moescope' '%s/b n/'", folder, bin, folder);
    assert_string_equal(r.err, "");
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    test_write(folder, "b n/moescope-train", fake_train, sizeof fake_train - 1);
    make_executable(folder, "b n/moescope-train");
    free(bin);
    *state = folder;
    return 0;
}

static int remove_folder(void **state)
{
    test_folder_remove(*state);
    return 0;
}

static void check(struct test_run r, int status, const char *out, const char *err)
{
    assert_string_equal(r.err, err);
    assert_string_equal(r.out, out);
    assert_int_equal(r.status, status);
    test_run_release(&r);
}

/* Words arrive as they were given, standard input is handed on, the status comes back. */
static void test_runs_the_program_beside_it(void **state)
{
    check(test_run("cd / && echo input | '%s/b n/moescope' train --log 'a b' ''", (char *)*state), 7,
          "<--log>\n<a b>\n<>\ninput\n", "");
}

static void test_runs_through_a_link(void **state)
{
    char *folder = *state;
    check(test_run("ln -s '%s/b n/moescope' '%s/m' && '%s/m' train x", folder, folder, folder), 7, "<x>\n",
          "");
}

static void test_falls_back_to_path(void **state)
{
    char *folder = *state;
    static const char other[] = "#!/bin/sh\necho from path\n";
    test_write(folder, "moescope-extra", other, sizeof other - 1);
    make_executable(folder, "moescope-extra");
    check(test_run("PATH='%s':$PATH '%s/b n/moescope' extra", folder, folder), 0, "from path\n", "");
}

static void test_unknown_verb(void **state)
{
    char *folder = *state;
    check(test_run("'%s/b n/moescope' colapse log.db", folder), STATUS_USAGE, "",
          "moescope: unknown verb 'colapse', did you mean 'collapse'?\n");
    check(test_run("'%s/b n/moescope' zebra", folder), STATUS_USAGE, "",
          "moescope: unknown verb 'zebra'; 'moescope --help' lists them\n");
    check(test_run("'%s/b n/moescope' ''", folder), STATUS_USAGE, "",
          "moescope: unknown verb ''; 'moescope --help' lists them\n");
    check(test_run("'%s/b n/moescope' ../train", folder), STATUS_USAGE, "",
          "moescope: unknown verb '../train', did you mean 'train'?\n");
    check(test_run("'%s/b n/moescope' --quiet train", folder), STATUS_USAGE, "",
          "moescope: unknown option '--quiet'; the verb comes first, see 'moescope --help'\n");
}

static void test_verb_that_is_not_installed(void **state)
{
    check(test_run("'%s/b n/moescope' collapse log.db", (char *)*state), STATUS_MACHINE, "",
          "moescope: cannot run 'moescope-collapse': not installed beside moescope nor in PATH\n");
}

static const char expected_help[] =
    "moescope - a laboratory for Mixture-of-Experts routing\n"
    "\n"
    "Usage: moescope VERB [ARGUMENT]...\n"
    "\n"
    "Verbs:\n"
    "  train           train one run\n"
    "\n"
    "'moescope VERB --help' shows a verb's options; 'moescope --version' shows the version.\n";

/* Only what is there is listed, in its own words. */
static void test_help_lists_what_is_there(void **state)
{
    char *folder = *state;
    static const char *const ways[] = {"", "--help", "-h", "help"};
    for (int i = 0; i < 4; i++)
        check(test_run("'%s/b n/moescope' %s", folder, ways[i]), 0, expected_help, "");
    check(test_run("'%s/b n/moescope' help train", folder), 0, "moescope train - train one run\n\nUsage\n",
          "");
}

static void test_version(void **state)
{
    check(test_run("'%s/b n/moescope' --version", (char *)*state), 0, "moescope " MOESCOPE_VERSION "\n", "");
}

static void test_full_disk(void **state)
{
    check(test_run("'%s/b n/moescope' --help > /dev/full", (char *)*state), STATUS_MACHINE, "",
          "moescope: cannot write to standard output\n");
}

/* ---- every program that was built ---- */

static int is_built(const char *bin, const char *verb)
{
    struct text path;
    text_init(&path);
    text_printf(&path, "%s/moescope-%s", bin, verb);
    int built = access(path.data, X_OK) == 0;
    text_release(&path);
    return built;
}

/* The first line of `help` without its end, "moescope VERB - PURPOSE"; fails the test on any other. */
static char *purpose_of(const char *verb, const char *help)
{
    char *line = NULL, start[64];
    assert_true(asprintf(&line, "%.*s", (int)strcspn(help, "\n"), help) > 0);
    snprintf(start, sizeof start, "moescope %s - ", verb);
    if (strncmp(line, start, strlen(start)) != 0)
        fail_msg("the help of '%s' starts with '%s'", verb, line);
    memmove(line, line + strlen(start), strlen(line) - strlen(start) + 1);
    assert_true(*line && line[strlen(line) - 1] != '.');
    return line;
}

static void test_every_program_has_help(void **state)
{
    (void)state;
    char *bin = test_bin();
    struct test_run list = test_run("'%s/moescope' --help", bin);
    for (int i = 0; i < N_VERBS; i++) {
        if (!is_built(bin, verbs[i]))
            continue;
        struct test_run r = test_run("'%s/moescope' %s --help", bin, verbs[i]);
        assert_string_equal(r.err, "");
        assert_int_equal(r.status, 0);
        assert_non_null(strstr(r.out, "\nUsage: moescope "));
        assert_non_null(strstr(r.out, "\nExamples:\n"));
        char *purpose = purpose_of(verbs[i], r.out);
        assert_non_null(strstr(list.out, purpose));
        free(purpose);
        test_run_release(&r);
    }
    test_run_release(&list);
    free(bin);
}

static void test_every_program_has_a_version(void **state)
{
    (void)state;
    char *bin = test_bin();
    for (int i = 0; i < N_VERBS; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "moescope %s " MOESCOPE_VERSION "\n", verbs[i]);
        if (is_built(bin, verbs[i]))
            check(test_run("'%s/moescope' %s --version", bin, verbs[i]), 0, expected, "");
    }
    free(bin);
}

static void test_every_program_refuses_unknown_options(void **state)
{
    (void)state;
    char *bin = test_bin();
    for (int i = 0; i < N_VERBS; i++) {
        char expected[160];
        snprintf(expected, sizeof expected,
                 "moescope %s: unknown option '--zzzzzzzz'; see 'moescope %s --help'\n", verbs[i], verbs[i]);
        if (is_built(bin, verbs[i]))
            check(test_run("'%s/moescope' %s --zzzzzzzz", bin, verbs[i]), STATUS_USAGE, "", expected);
    }
    free(bin);
}

int main(void)
{
#define WITH_DISPATCHER(test) cmocka_unit_test_setup_teardown(test, lone_dispatcher, remove_folder)
    const struct CMUnitTest tests[] = {
        WITH_DISPATCHER(test_runs_the_program_beside_it),
        WITH_DISPATCHER(test_runs_through_a_link),
        WITH_DISPATCHER(test_falls_back_to_path),
        WITH_DISPATCHER(test_unknown_verb),
        WITH_DISPATCHER(test_verb_that_is_not_installed),
        WITH_DISPATCHER(test_help_lists_what_is_there),
        WITH_DISPATCHER(test_version),
        WITH_DISPATCHER(test_full_disk),
        cmocka_unit_test(test_every_program_has_help),
        cmocka_unit_test(test_every_program_has_a_version),
        cmocka_unit_test(test_every_program_refuses_unknown_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
