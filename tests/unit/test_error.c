/* base/error.h: messages, their prefixes, and errno as an exit status. */
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_set(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(error_set(&err, STATUS_INPUT, "no run '%s' among %d", "top1", 3), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_string_equal(err.text, "no run 'top1' among 3");
}

static void test_null_error_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, STATUS_INPUT, "x"), -1);
    assert_int_equal(error_prefix(NULL, "x"), -1);
    assert_int_equal(error_no_memory(NULL, "x"), -1);
    assert_int_equal(error_errno(NULL, "open", "x"), -1);
}

static void test_prefix_keeps_the_status(void **state)
{
    (void)state;
    struct error err = {0};
    error_set(&err, STATUS_MACHINE, "disk full");
    assert_int_equal(error_prefix(&err, "run %d", 7), -1);
    assert_string_equal(err.text, "run 7: disk full");
    assert_int_equal(err.status, STATUS_MACHINE);
}

static void test_long_texts_are_cut_at_the_end(void **state)
{
    (void)state;
    struct error err = {0};
    char longest[2000];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    error_set(&err, STATUS_INPUT, "%s", longest);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    error_prefix(&err, "config");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "config: aaa", 11);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct error err = {0};
    error_no_memory(&err, "the batch");
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_string_equal(err.text, "no memory for the batch");
}

/* What the user can cure by naming something else is input, the rest is the machine. */
static void test_errno(void **state)
{
    (void)state;
    struct error err = {0};
    errno = ENOENT;
    error_errno(&err, "open", "x.db");
    assert_string_equal(err.text, "cannot open 'x.db': no such file or directory");
    assert_int_equal(err.status, STATUS_INPUT);
    errno = ENOSPC;
    error_errno(&err, "write", "x.db");
    assert_string_equal(err.text, "cannot write 'x.db': no space left on device; make room");
    assert_int_equal(err.status, STATUS_MACHINE);
    errno = EACCES;
    error_errno(&err, "open", "x.db");
    assert_int_equal(err.status, STATUS_INPUT);
    errno = EACCES;
    error_output(&err, "write", "x.csv");
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_string_equal(err.text, "cannot write 'x.csv': permission denied");
    errno = EIO; /* "Input/output error": only the first letter changes */
    error_errno(&err, "read", "x.db");
    assert_string_equal(err.text, "cannot read 'x.db': input/output error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_null_error_is_allowed),
        cmocka_unit_test(test_prefix_keeps_the_status),
        cmocka_unit_test(test_long_texts_are_cut_at_the_end),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
