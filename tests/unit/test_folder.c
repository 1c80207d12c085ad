/* base/folder.h: what is in a folder, in which order; a folder in the making, and its end. */
#include "base/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/support.h"

static int enter_folder(void **state)
{
    *state = test_folder();
    return chdir(*state);
}

static int leave_folder(void **state)
{
    int result = chdir("/");
    test_folder_remove(*state);
    return result;
}

static void test_list(void **state)
{
    static const char *const names[] = {"b", "B", "a.txt", ".hidden", "\xC3\xA4"};
    static const char *const expected[] = {"B", "a.txt", "b", "\xC3\xA4"};
    struct folder_list l;
    struct error err;

    for (int i = 0; i < 5; i++)
        test_write(*state, names[i], "", 0);
    test_must(folder_list(&l, ".", &err), &err);
    assert_int_equal(l.n, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(l.names[i], expected[i]);
    folder_list_release(&l);
    assert_int_equal(folder_list(&l, "nowhere", &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "'nowhere'"));
    assert_null(l.names);
}

static void test_trimmed(void **state)
{
    static const char *const paths[][2] = {{"a/b//", "a/b"}, {"a", "a"}, {"/", "/"}, {"///", "/"}, {"", ""}};

    (void)state;
    for (int i = 0; i < 5; i++) {
        char *trimmed = folder_trimmed(paths[i][0]);
        assert_string_equal(trimmed, paths[i][1]);
        free(trimmed);
    }
}

/* What is ours goes; what is not stays, and its folder with it. */
static void test_partial(void **state)
{
    static const char *const ours[] = {"one", "two", "never-written", NULL};
    struct text partial;
    struct error err;

    text_init(&partial);
    test_must(folder_make_partial("new/below/out", &partial, &err), &err);
    assert_true(strncmp(partial.data, "new/below/out.partial-", 22) == 0 && file_exists(partial.data));
    assert_false(file_exists("new/below/out"));
    test_write(partial.data, "one", "1", 1);
    test_write(partial.data, "two", "2", 1);
    test_write(partial.data, "other", "3", 1);
    assert_int_not_equal(folder_remove(partial.data, ours), 0);
    struct folder_list l;
    test_must(folder_list(&l, partial.data, &err), &err);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.names[0], "other");
    folder_list_release(&l);
    assert_int_equal(folder_remove(partial.data, (const char *const[]){"other", NULL}), 0);
    assert_false(file_exists(partial.data));
    test_write(*state, "file", "", 0);
    assert_int_equal(folder_make_partial("file/out", &partial, &err), -1);
    assert_int_equal(partial.length, 0);
    text_release(&partial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(test_trimmed, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(test_partial, enter_folder, leave_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
