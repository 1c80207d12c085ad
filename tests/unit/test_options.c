/* base/options.h: every kind of option and every way to get it wrong; the help; the end of a program; the
 * nearest name. */
#include "base/options.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "tests/support.h"

/* One option of every kind, with its default. */
struct values {
    bool quiet;
    const char *run;
    int64_t seed;
    double rate;
    struct string_list set;
};

enum { N_OPTIONS = 5 };

struct fixture {
    struct values v;
    struct option_spec options[N_OPTIONS + 1];
    struct program program;
    struct error err;
    int first;
    bool done;
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.v = {.run = "newest", .seed = 1, .rate = 0.5}};
    struct option_spec options[N_OPTIONS + 1] = {
        {"quiet", 'q', OPTION_FLAG, &f->v.quiet, NULL, "say nothing"},
        {"run", 'r', OPTION_STRING, &f->v.run, "NAME", "the run (default: the newest)"},
        {"seed", 0, OPTION_INT, &f->v.seed, "N", "the seed (default: 1)"},
        {"rate", 0, OPTION_REAL, &f->v.rate, "X", "the rate (default: 0.5)"},
        {"set", 's', OPTION_LIST, &f->v.set, "KEY=VALUE", "changes a setting"},
        {0},
    };
    memcpy(f->options, options, sizeof options);
    f->program = (struct program){.verb = "collapse",
                                  .operands = "DB",
                                  .purpose = "tell whether the router collapses",
                                  .details = "A paragraph.",
                                  .examples = "moescope collapse log.db\nmoescope collapse log.db -q",
                                  .options = f->options,
                                  .min_operands = 1,
                                  .max_operands = 1};
}

/* Parses the words of `line`, which must live on as long as the fixture's values. */
static int parse(struct fixture *f, char *line, char *operands[8], int *n)
{
    char *argv[32] = {(char *)"collapse"};
    char *rest = NULL;
    int argc = 1;
    for (char *word = strtok_r(line, " ", &rest); word && argc < 31; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    int result = options_parse(&f->program, argc, argv, &f->first, &f->done, &f->err);
    *n = 0;
    for (int i = f->first; result == 0 && i < argc && *n < 8; i++)
        operands[(*n)++] = argv[i];
    return result;
}

static void test_defaults_stay(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char line[] = "log.db", *operands[8];
    int n;
    assert_int_equal(parse(&f, line, operands, &n), 0);
    assert_false(f.done);
    assert_false(f.v.quiet);
    assert_string_equal(f.v.run, "newest");
    assert_int_equal(f.v.seed, 1);
    assert_true(f.v.rate == 0.5);
    assert_int_equal(f.v.set.n, 0);
    assert_int_equal(n, 1);
    assert_string_equal(operands[0], "log.db");
}

static void test_every_kind(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char line[] = "--quiet --run top1 log.db --seed=-42 --rate 1e-3 --set a=1 -sb=2 -s c=3", *operands[8];
    int n;
    assert_int_equal(parse(&f, line, operands, &n), 0);
    assert_true(f.v.quiet);
    assert_string_equal(f.v.run, "top1");
    assert_int_equal(f.v.seed, -42);
    assert_true(f.v.rate == 0.001);
    assert_int_equal(f.v.set.n, 3);
    assert_string_equal(f.v.set.items[0], "a=1");
    assert_string_equal(f.v.set.items[1], "b=2");
    assert_string_equal(f.v.set.items[2], "c=3");
    assert_string_equal(operands[0], "log.db"); /* operands may stand between options */
    string_list_release(&f.v.set);
    assert_int_equal(f.v.set.n, 0);
}

static void test_letters_and_beginnings(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char line[] = "-qr top1 --ra 2 -- --log.db", *operands[8];
    int n;
    assert_int_equal(parse(&f, line, operands, &n), 0);
    assert_true(f.v.quiet);
    assert_string_equal(f.v.run, "top1");
    assert_true(f.v.rate == 2);
    assert_string_equal(operands[0], "--log.db"); /* after "--" nothing is an option */
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"log.db --rum top1", "unknown option '--rum', did you mean '--run'?"},
        {"log.db --rum=top1", "unknown option '--rum', did you mean '--run'?"},
        {"log.db --vresion", "unknown option '--vresion', did you mean '--version'?"},
        {"log.db --zzzzzz", "unknown option '--zzzzzz'"},
        {"log.db -z", "unknown option '-z'"},
        {"log.db -qz", "unknown option '-z'"},
        {"log.db --r x", "option '--r' is short for more than one"},
        {"log.db --run", "option '--run' needs NAME"},
        {"log.db -r", "option '--run' needs NAME"},
        {"log.db --set", "option '--set' needs KEY=VALUE"},
        {"log.db --quiet=3", "option '--quiet' takes no value"},
        {"log.db --help=3", "option '--help' takes no value"},
        {"log.db --seed 12x", "option '--seed' needs a whole number, not '12x'"},
        {"log.db --seed 1.5", "option '--seed' needs a whole number, not '1.5'"},
        {"log.db --seed=", "option '--seed' needs a whole number, not ''"},
        {"log.db --seed 9223372036854775808",
         "the number '9223372036854775808' of option '--seed' is too large"},
        {"log.db --rate fast", "option '--rate' needs a number, not 'fast'"},
        {"log.db --rate nan", "option '--rate' needs a number, not 'nan'"},
        {"log.db --rate 1e999", "option '--rate' needs a number, not '1e999'"},
        {"log.db --rate 1,5", "option '--rate' needs a number, not '1,5'"},
        {"", "missing operand, expected DB"},
        {"log.db other.db", "unexpected operand 'other.db'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        char line[128], expected[256], *operands[8];
        int n;
        snprintf(line, sizeof line, "%s", cases[i][0]);
        snprintf(expected, sizeof expected, "%s; see 'moescope collapse --help'", cases[i][1]);
        assert_int_equal(parse(&f, line, operands, &n), -1);
        assert_int_equal(f.err.status, STATUS_USAGE);
        assert_string_equal(f.err.text, expected);
        assert_false(f.done);
        string_list_release(&f.v.set);
    }
}

static void test_any_number_of_operands(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.program.max_operands = -1;
    char line[] = "a -q b c d e", *operands[8];
    int n;
    assert_int_equal(parse(&f, line, operands, &n), 0);
    assert_int_equal(n, 5);
    assert_string_equal(operands[4], "e");
}

static void test_no_options_at_all(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.program.options = NULL;
    char line[] = "log.db", bad[] = "log.db --run x", *operands[8];
    int n;
    assert_int_equal(parse(&f, line, operands, &n), 0);
    assert_int_equal(parse(&f, bad, operands, &n), -1);
}

/* Runs options_parse on one word with stdout in a file; returns what was printed. */
static char *printed(struct fixture *f, const char *word)
{
    char *folder = test_folder(), *bytes = NULL, line[32], *operands[8];
    struct text path;
    size_t length;
    int n;
    text_init(&path);
    text_printf(&path, "%s/out", folder);
    snprintf(line, sizeof line, "%s", word);
    fflush(stdout);
    int kept = dup(1), file = open(path.data, O_WRONLY | O_CREAT, 0600);
    assert_true(kept >= 0 && file >= 0 && dup2(file, 1) == 1);
    int result = parse(f, line, operands, &n);
    fflush(stdout);
    assert_int_equal(dup2(kept, 1), 1);
    close(kept);
    close(file);
    assert_int_equal(result, 0);
    assert_true(f->done);
    assert_int_equal(file_read(path.data, &bytes, &length, &f->err), 0);
    text_release(&path);
    test_folder_remove(folder);
    return bytes;
}

/* No operand is asked for when help is. */
static void test_help(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char *help = printed(&f, "--help");
    assert_string_equal(help, "moescope collapse - tell whether the router collapses\n"
                              "\n"
                              "Usage: moescope collapse [OPTION]... DB\n"
                              "\n"
                              "Options:\n"
                              "  -q, --quiet          say nothing\n"
                              "  -r, --run NAME       the run (default: the newest)\n"
                              "      --seed N         the seed (default: 1)\n"
                              "      --rate X         the rate (default: 0.5)\n"
                              "  -s, --set KEY=VALUE  changes a setting (may be repeated)\n"
                              "  -h, --help           show this help\n"
                              "      --version        show the version\n"
                              "\n"
                              "A paragraph.\n"
                              "\n"
                              "Examples:\n"
                              "  moescope collapse log.db\n"
                              "  moescope collapse log.db -q\n");
    free(help);
    char *again = printed(&f, "-h");
    assert_memory_equal(again, "moescope collapse - ", 20);
    free(again);
}

static void test_help_letter_may_be_taken(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options[0].letter = 'h';
    char *help = printed(&f, "--help"), line[] = "log.db -h", *operands[8];
    int n;
    assert_non_null(strstr(help, "  -h, --quiet"));
    assert_non_null(strstr(help, "      --help "));
    free(help);
    assert_int_equal(parse(&f, line, operands, &n), 0);
    assert_true(f.v.quiet);
    assert_false(f.done);
}

static void test_version(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char *version = printed(&f, "--version");
    assert_string_equal(version, "moescope collapse " MOESCOPE_VERSION "\n");
    free(version);
}

/* The exit status of a child that prints "data" to `out` and ends with program_finish; its stderr in `said`.
 */
static int finish_in_child(int out, int result, const char *message, char said[256])
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct program p = {.verb = "collapse"};
        struct error err = {.status = STATUS_INPUT};
        snprintf(err.text, sizeof err.text, "%s", message);
        signal(SIGPIPE, SIG_IGN);
        dup2(out, 1);
        dup2(ends[1], 2);
        printf("data");
        _exit(program_finish(&p, result, &err));
    }
    close(ends[1]);
    ssize_t n = read(ends[0], said, 255);
    said[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_finish(void **state)
{
    (void)state;
    char said[256];
    int null = open("/dev/null", O_WRONLY);
    assert_int_equal(finish_in_child(null, 0, "", said), STATUS_OK);
    assert_string_equal(said, "");
    assert_int_equal(finish_in_child(null, STATUS_FINDING, "", said), STATUS_FINDING);
    assert_string_equal(said, "");
    assert_int_equal(finish_in_child(null, -1, "no such run 'x'", said), STATUS_INPUT);
    assert_string_equal(said, "moescope collapse: no such run 'x'\n");
    close(null);
}

static void test_finish_checks_stdout(void **state)
{
    (void)state;
    char said[256];
    int full = open("/dev/full", O_WRONLY), ends[2];
    assert_int_equal(finish_in_child(full, 0, "", said), STATUS_MACHINE);
    assert_string_equal(said,
                        "moescope collapse: cannot write to standard output: No space left on device\n");
    close(full);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]); /* the reader has gone */
    assert_int_equal(finish_in_child(ends[1], STATUS_FINDING, "", said), STATUS_FINDING);
    assert_string_equal(said, "");
    close(ends[1]);
}

static void test_nearest_name(void **state)
{
    (void)state;
    static const char *const names[] = {"train",  "runs", "specialization", "collapse", "demand", "compare",
                                        "report", "sql",  "check",          "route",    "corpus"};
    static const char *const cases[][2] = {
        {"colapse", "collapse"}, /* dropped */
        {"collapsee", "collapse"},
        {"cOLLAPSE", "collapse"},
        {"tarin", "train"}, /* swapped: one slip, not two */
        {"qsl", "sql"},
        {"run", "runs"},
        {"spec", "specialization"}, /* a beginning */
        {"specialisation", "specialization"},
        {"rport", "report"},
        {"sq", "sql"},
        {"zebra", NULL},
        {"x", NULL},
        {"", NULL},
        {"this is far too long to be the name of anything that anybody would ever have called a verb", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *near = nearest_name(cases[i][0], names, 11);
        if (cases[i][1])
            assert_string_equal(near ? near : "(none)", cases[i][1]);
        else
            assert_null(near);
    }
    assert_null(nearest_name("train", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_stay),
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_letters_and_beginnings),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_any_number_of_operands),
        cmocka_unit_test(test_no_options_at_all),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_help_letter_may_be_taken),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_finish_checks_stdout),
        cmocka_unit_test(test_nearest_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
