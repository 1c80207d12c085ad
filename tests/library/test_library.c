/* libmoescope as other programs meet it: what it exports and what it must not need, its header alone in C and
 * in C++, and the smallest client, linked either way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sql/logbook.h"
#include "tests/support.h"

static char *bin, *folder;

static int open_all(void **state)
{
    (void)state;
    bin = test_bin();
    folder = test_folder();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bin);
    return 0;
}

static void expect(const char *out, const char *command)
{
    struct test_run r = test_run("%s", command);
    assert_string_equal(r.err, "");
    assert_string_equal(r.out, out);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

static const char exported[] = "moescope_add_corpus\n"
                               "moescope_batch_checkpoint\n"
                               "moescope_batch_commit\n"
                               "moescope_batch_discard\n"
                               "moescope_batch_document_loss\n"
                               "moescope_batch_event\n"
                               "moescope_batch_layer_metric\n"
                               "moescope_batch_load\n"
                               "moescope_batch_metric\n"
                               "moescope_batch_new\n"
                               "moescope_batch_probability\n"
                               "moescope_batch_routing\n"
                               "moescope_batch_sequence\n"
                               "moescope_begin_run\n"
                               "moescope_close\n"
                               "moescope_end_run\n"
                               "moescope_open\n"
                               "moescope_resume_run\n"
                               "moescope_version\n"
                               "moescope_writer_close\n"
                               "moescope_writer_drain\n"
                               "moescope_writer_open\n";

static void test_exports(void **state)
{
    char command[1024];
    (void)state;
    snprintf(command, sizeof command,
             "nm -D --defined-only '%s/libmoescope.so' | awk '{print $3}' | LC_ALL=C sort", bin);
    expect(exported, command);
    snprintf(command, sizeof command,
             "nm -g --defined-only '%s/libmoescope.a' | awk '$2 == \"T\" {print $3}' | LC_ALL=C sort", bin);
    expect(exported, command);
}

/* What declares a function that is not exported, or the other way round. */
static void test_header_declares_what_is_exported(void **state)
{
    (void)state;
    expect(exported,
           "grep -o 'moescope_[a-z_]*(' sql/moescope.h | grep -v '^moescope_[a-z_]*_(' | tr -d '(' |"
           " LC_ALL=C sort -u");
}

static void test_never_prints_or_exits(void **state)
{
    char command[1024];
    (void)state;
    snprintf(
        command, sizeof command,
        "nm -D --undefined-only '%s/libmoescope.so' | grep -E '"
        " (exit|_exit|abort|raise|signal|sigaction|printf|puts|putchar|perror|stdout|stderr|atexit|setlocale"
        "|sqlite3_config|sqlite3_shutdown)(@|$)' || true",
        bin);
    expect("", command);
    snprintf(command, sizeof command,
             "readelf -d '%s/libmoescope.so' | sed -n 's/.*SONAME.*\\[\\(.*\\)\\]/\\1/p'", bin);
    expect("libmoescope.so.0\n", command);
    snprintf(command, sizeof command,
             "readelf -d '%s/libmoescope.so' | sed -n 's/.*NEEDED.*\\[\\(lib[a-z0-9]*\\).*/\\1/p' | grep -v "
             "'^libm$' |"
             " LC_ALL=C sort",
             bin);
    expect("libc\nlibdeflate\nlibnettle\nlibsqlite3\n", command);
}

/* Data of ours that can be written to would be shared by all its users in the process. */
static void test_keeps_no_state(void **state)
{
    char command[1024];
    (void)state;
    snprintf(
        command, sizeof command,
        "nm -f sysv '%s/libmoescope.so' | awk -F'|' '$7 ~ /^\\.t?(data|bss)/ && $7 !~ /rel.ro/ {print $1}' |"
        " grep -v -E '^(_|completed)' || true", /* the compiler's own */
        bin);
    expect("", command);
}

static void expect_client(const char *link)
{
    struct test_run r = test_run("set -e; rm -f '%s/log.db'; cp sql/moescope.h '%s'; cc -std=c11 -Wall "
                                 "-Wextra -Wpedantic -Werror -I'%s' "
                                 "examples/client.c %s -o '%s/client'; '%s/client' '%s/log.db'; "
                                 "'%s/moescope-check' --format csv '%s/log.db' "
                                 "| awk -F, '$3 > 0'",
                                 folder, folder, folder, link, folder, folder, folder, bin, folder);
    assert_string_equal(r.err, "");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.out, "check,checked,violations,first_violation\n");
    test_run_release(&r);
}

static void test_client(void **state)
{
    char link[2048];
    (void)state;
    snprintf(link, sizeof link, "-L'%s' -lmoescope -Wl,-rpath,'%s'", bin, bin);
    expect_client(link);
    snprintf(link, sizeof link, "'%s/libmoescope.a' -lsqlite3 -ldeflate -lnettle -lpthread -lm", bin);
    expect_client(link);
}

static void test_header_is_cplusplus(void **state)
{
    (void)state;
    test_write_text(folder, "x.cc",
                    "#include <moescope.h>\n"
                    "int main() { struct moescope_error err; moescope_logbook *lb = nullptr;\n"
                    "return moescope_open(&lb, \"\", &err) == 0 || err.status != MOESCOPE_INPUT; }\n");
    struct test_run r = test_run(
        "cp sql/moescope.h '%s'; cd '%s' && g++ -Wall -Wextra -Wpedantic -Werror -I. x.cc -L'%s' -lmoescope "
        "-Wl,-rpath,'%s' -o x && ./x",
        folder, folder, bin, bin);
    assert_string_equal(r.err, "");
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

/* The public error and ours are one thing by two names. */
struct public_error {
    int status;
    char text[1024];
};

static void test_one_error(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct error), sizeof(struct public_error));
    assert_int_equal(offsetof(struct error, text), offsetof(struct public_error, text));
    assert_int_equal(sizeof(enum status), sizeof(int));
    struct test_run r =
        test_run("printf '#include <stddef.h>\\n#include <moescope.h>\\n_Static_assert("
                 "sizeof(struct moescope_error) == %zu && offsetof(struct moescope_error, text) == %zu"
                 " && MOESCOPE_USAGE == %d && MOESCOPE_INPUT == %d && MOESCOPE_MACHINE == %d, \"\");' | "
                 "(cp sql/moescope.h '%s'; cc -I'%s' -fsyntax-only -x c -)",
                 sizeof(struct error), offsetof(struct error, text), STATUS_USAGE, STATUS_INPUT,
                 STATUS_MACHINE, folder, folder);
    assert_string_equal(r.err, "");
    assert_int_equal(r.status, 0);
    test_run_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exports),
        cmocka_unit_test(test_header_declares_what_is_exported),
        cmocka_unit_test(test_never_prints_or_exits),
        cmocka_unit_test(test_keeps_no_state),
        cmocka_unit_test(test_client),
        cmocka_unit_test(test_one_error),
        cmocka_unit_test(test_header_is_cplusplus),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
