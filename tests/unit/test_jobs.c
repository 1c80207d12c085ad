#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/shared/jobs.h"
#include "tests/support.h"

static void add(struct job_list *list, const char *folder, const char *program, const char *argument)
{
    const char *const argv[] = {program, "-c", argument, NULL};
    struct error err = {0};
    if (job_add(list, folder, list, argv, &err) != 0)
        fail_msg("%s", err.text);
}

static void count(void *state, int n_done)
{
    *(int *)state = n_done;
}

static void test_ends(void **state)
{
    struct job_list list = {0};
    struct error err = {0};
    int done = 0;
    (void)state;
    add(&list, NULL, "sh", "exit 0");
    add(&list, NULL, "sh", "echo dropped; echo 'no such run' >&2; exit 3");
    add(&list, "/", "sh", "test \"$(pwd)\" = / || exit 9");
    add(&list, NULL, "sh", "kill -KILL $$");
    add(&list, NULL, "no-such-program-of-moescope", "");
    add(&list, NULL, "sh", "read line && exit 9; exit 0"); /* there is nothing to read */
    assert_int_equal(job_list_run(&list, count, &done, &err), 0);
    assert_int_equal(done, 6);
    assert_int_equal(list.jobs[0].status, 0);
    assert_string_equal(list.jobs[0].complaint, "");
    assert_int_equal(list.jobs[1].status, 3);
    assert_string_equal(list.jobs[1].complaint, "no such run");
    assert_int_equal(list.jobs[2].status, 0);
    assert_int_equal(list.jobs[3].status, 128 + 9);
    assert_int_equal(list.jobs[4].status, JOB_NOT_FOUND);
    assert_non_null(strstr(list.jobs[4].complaint, "no-such-program-of-moescope"));
    assert_int_equal(list.jobs[5].status, 0);
    assert_ptr_equal(list.jobs[0].of, &list);
    job_list_release(&list);
    job_list_release(&list);
}

/* More than may run at once, each with more to say than a pipe would hold. */
static void test_many(void **state)
{
    struct job_list list = {0};
    struct error err = {0};
    (void)state;
    for (int i = 0; i < 20; i++)
        add(&list, NULL, "sh",
            "i=0; while [ $i -lt 2000 ]; do echo 0123456789012345678901234567890123456789; "
            "i=$((i + 1)); done >&2");
    assert_int_equal(job_list_run(&list, NULL, NULL, &err), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(list.jobs[i].status, 0);
        assert_int_equal(strlen(list.jobs[i].complaint), 2000 * 41 - 1); /* but the last newline */
    }
    job_list_release(&list);
}

static void test_sibling(void **state)
{
    char *path = sibling_program("no-such-sibling");
    (void)state;
    assert_string_equal(path, "no-such-sibling"); /* for PATH to find */
    free(path);
    path = sibling_program("test_jobs"); /* this program stands beside itself */
    assert_int_equal(path[0], '/');
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_sibling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
