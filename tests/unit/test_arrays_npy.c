/* import/shared/arrays.h on .npy: all that numpy writes, value by value, and what is damaged or cannot be
 * read. */
#include "import/shared/arrays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/foreign.h"
#include "tests/laid.h"
#include "tests/support.h"

static void test_numpy(void **state)
{
    char *folder = test_folder();
    bool made = foreign_make("npy", folder);

    (void)state;
    if (made)
        assert_int_equal(foreign_compare(folder, "npy"), 19 * 7 + 5);
    test_folder_remove(folder);
    if (!made)
        skip();
}

/* An .npy of version 1 with this header and 8 bytes: 1 to 8. */
static size_t lay(uint8_t bytes[512], const char *header)
{
    struct text t;
    size_t n;

    text_init(&t);
    laid_npy(&t, header, "\1\2\3\4\5\6\7\x8", 8);
    n = t.length;
    assert_true(!t.failed && n <= 512);
    memcpy(bytes, t.data, n);
    text_release(&t);
    return n;
}

static const struct {
    const char *header, *words;
} bad[] = {
    {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "Python objects"},
    {"{'descr': [('a', '<i4'), ('b', '<f4')], 'fortran_order': False, 'shape': (1,), }", "named fields"},
    {"{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", "it holds text"},
    {"{'descr': '|S8', 'fortran_order': False, 'shape': (1,), }", "it holds text"},
    {"{'descr': '<V2', 'fortran_order': False, 'shape': (4,), }", "bfloat16"},
    {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "its elements are none of"},
    {"{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }", "its elements are none of"},
    {"{'descr': '|i4', 'fortran_order': False, 'shape': (2,), }", "its elements are none of"},
    {"{'descr': '', 'fortran_order': False, 'shape': (2,), }", "its elements are none of"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }", "needs 12 bytes and 8 are there"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", "4 bytes follow behind"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (0,), }", "8 bytes follow behind"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "no file can hold"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296), }", "no file can hold"},
    {"{'descr': '<i8', 'fortran_order': False, 'shape': (999999999999999999,), }", "needs 79"},
    {"{'descr': '<i8', 'fortran_order': False, 'shape': (1999999999999999999,), }",
     "no numpy's, from offset 79"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2), }", "more than 8 dimensions"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (-2,), }", "no numpy's"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2), }", "no numpy's"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,,), }", "no numpy's"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': 2, }", "no numpy's"},
    {"{'descr': '<i4', 'fortran_order': 0, 'shape': (2,), }", "no numpy's"},
    {"{'descr': '<i4', 'fortran_order': False, }", "no numpy's"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), 'more': 1}", "no numpy's"},
    {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), } x", "no numpy's"},
    {"{'descr': '<i4\\x00', 'fortran_order': False, 'shape': (2,), }", "no numpy's"},
    {"{'descr': [(((', 'fortran_order': False, 'shape': (2,), }", "no numpy's"},
    {"{'descr': '<i4' 'fortran_order': False, 'shape': (2,), }", "no numpy's"},
    {"{'descr", "no numpy's"},
    {"", "no numpy's"},
};
enum { N_BAD = sizeof bad / sizeof bad[0] };

static void test_bad(void **state)
{
    uint8_t bytes[512];

    (void)state;
    for (int i = 0; i < N_BAD; i++)
        foreign_refused(bytes, lay(bytes, bad[i].header), bad[i].words);
}

static void test_versions(void **state)
{
    uint8_t bytes[512];
    size_t n = lay(bytes, "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }");

    (void)state;
    bytes[6] = 4;
    foreign_refused(bytes, n, "version 4");
    bytes[6] = 2;
    foreign_refused(bytes, n, "which nobody writes"); /* a header of as many bytes as two characters say */
    bytes[6] = 1;
    bytes[9] = 0xff;
    foreign_refused(bytes, n, "are beyond its end");
}

/* Every beginning of a file is refused, and nothing is read beyond it. */
static void test_cut(void **state)
{
    uint8_t bytes[512];
    size_t n = lay(bytes, "{'descr': '>i4', 'fortran_order': True, 'shape': (1, 2), }");

    (void)state;
    assert_true(foreign_survived(bytes, n));
    for (size_t i = 0; i < n; i++)
        assert_false(foreign_survived(bytes, i));
}

/* A number that is no integer is named by its place. */
static void test_not_whole(void **state)
{
    uint8_t bytes[512];
    size_t n = lay(bytes, "{'descr': '<u4', 'fortran_order': False, 'shape': (2,), }");
    char *type = memchr(bytes, '<', n);
    int64_t out[4];
    struct arrays *a;
    struct error err;

    (void)state;
    memcpy(bytes + n - 8, "\0\0\x80\x3f\0\0\x20\xc0", 8); /* 1, -2.5 */
    type[1] = 'f';
    test_must(arrays_open_memory(&a, bytes, n, "logits", &err), &err);
    assert_int_equal(arrays_integers(a, arrays_at(a, 0), 0, 2, out, &err), -1);
    assert_string_equal(err.text, "'logits': array '': element 1 is -2.5, no whole number of 64 bits");
    assert_int_equal(err.status, STATUS_INPUT);
    test_must(arrays_integers(a, arrays_at(a, 0), 0, 1, out, &err), &err);
    assert_int_equal(out[0], 1);
    arrays_close(a);
    memcpy(bytes + n - 8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    memcpy(type, "<u8', 'fortran_order': False, 'shape': (1,)", 43);
    test_must(arrays_open_memory(&a, bytes, n, "ids", &err), &err);
    assert_int_equal(arrays_integers(a, arrays_at(a, 0), 0, 1, out, &err), -1);
    assert_non_null(strstr(err.text, "element 0 is 18446744073709551615"));
    arrays_close(a);
}

static void test_no_file(void **state)
{
    char *folder = test_folder(), path[4096];
    struct arrays *a;
    struct error err;

    (void)state;
    snprintf(path, sizeof path, "%s/none.npy", folder);
    assert_int_equal(arrays_open(&a, path, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "no such file"));
    assert_int_equal(arrays_open(&a, folder, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(arrays_open(&a, "/dev/null", &err), -1);
    test_write(folder, "none.npy", "layer,expert\n1,2\n", 17);
    assert_int_equal(arrays_open(&a, path, &err), -1);
    assert_non_null(strstr(err.text, "none of the formats that can be read"));
    test_write(folder, "none.npy", "", 0);
    assert_int_equal(arrays_open(&a, path, &err), -1);
    assert_null(a);
    arrays_close(a);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numpy), cmocka_unit_test(test_bad),       cmocka_unit_test(test_versions),
        cmocka_unit_test(test_cut),   cmocka_unit_test(test_not_whole), cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
