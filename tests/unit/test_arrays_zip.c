/* import/shared/arrays.h on .npz: what numpy and zipfile write, value by value, and zip files that are
 * damaged or hostile. */
#include "import/shared/arrays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/foreign.h"
#include "tests/support.h"

static char *folder; /* of zipfile's; NULL: not there */

static int open_group(void **state)
{
    (void)state;
    folder = test_folder();
    if (!foreign_make("zip", folder)) {
        test_folder_remove(folder);
        folder = NULL;
    }
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    if (folder)
        test_folder_remove(folder);
    return 0;
}

static void test_numpy(void **state)
{
    char *numpys = test_folder();
    bool made = foreign_make("npz", numpys);

    (void)state;
    if (made)
        assert_int_equal(foreign_compare(numpys, "npz"), 5);
    test_folder_remove(numpys);
    if (!made)
        skip();
}

static void test_zipfile(void **state)
{
    (void)state;
    if (!folder)
        skip();
    assert_int_equal(foreign_compare(folder, "npz"), 9);
}

/* ---- damaged ---- */

static uint8_t *read_made(const char *name, size_t *n)
{
    char path[4096], *bytes;
    struct error err;

    if (!folder)
        skip();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    test_must(file_read(path, &bytes, n, &err), &err);
    return (uint8_t *)bytes;
}

/* The which-th (0: first) place of a record, by its signature. */
static uint8_t *find(uint8_t *bytes, size_t n, const char *signature, int which)
{
    for (uint8_t *p = bytes; p + 4 <= bytes + n; p++) {
        if (memcmp(p, signature, 4) == 0 && which-- == 0)
            return p;
    }
    fail_msg("no record");
    return NULL;
}

struct change {
    const char *file, *signature;
    int which, at, width; /* record and field */
    uint64_t value;
    const char *words;
};

static void change_and_refuse(const struct change *c)
{
    size_t n;
    uint8_t *bytes = read_made(c->file, &n), *p = find(bytes, n, c->signature, c->which) + c->at;

    for (int i = 0; i < c->width; i++)
        p[i] = (uint8_t)(c->value >> (8 * i));
    foreign_refused(bytes, n, c->words);
    free(bytes);
}

#define DIRECTORY "PK\1\2"
#define HEADER    "PK\3\4"
#define END       "PK\5\6"

static const struct change changes[] = {
    {"small.npz", DIRECTORY, 0, 8, 2, 1, "'ids.npy' in it is encrypted"},
    {"small.npz", DIRECTORY, 0, 8, 2, 0x40, "'ids.npy' in it is encrypted"},
    {"small.npz", DIRECTORY, 0, 10, 2, 14, "compressed by method 14"},
    {"small.npz", DIRECTORY, 0, 16, 4, 0, "'ids.npy' in it is damaged: its checksum is another"},
    {"small.npz", DIRECTORY, 0, 20, 4, 130, "is stored and has two sizes"},
    {"small.npz", DIRECTORY, 0, 20, 4, UINT32_MAX,
     "the sizes of 'ids.npy' in its zip directory make no sense"},
    {"small.npz", DIRECTORY, 0, 28, 2, 8, "not a whole zip file"},
    {"small.npz", DIRECTORY, 0, 34, 2, 1, "it is in several parts"},
    {"small.npz", DIRECTORY, 1, 42, 4, 0, "'zeros.npy' in it is not where"},
    {"small.npz", DIRECTORY, 1, 42, 4, 7, "'zeros.npy' in it is not where"},
    {"small.npz", DIRECTORY, 1, 42, 4, 0x7fffffff, "are beyond its end"},
    {"small.npz", DIRECTORY, 1, 0, 4, 0, "an entry of its directory is missing"},
    {"small.npz", DIRECTORY, 0, 20, 8, 0x0000010000000100, "'ids.npy' and 'zeros.npy' in it overlap"},
    {"small.npz", DIRECTORY, 0, 20, 8, 0x7ffffff07ffffff0, "goes beyond the entries' end"},
    {"small.npz", DIRECTORY, 0, 20, 8, 0, "'ids.npy' in it is damaged: it is too short"},
    {"small.npz", HEADER, 0, 0, 4, 0, "none of the formats"},
    {"small.npz", HEADER, 1, 0, 4, 0, "'zeros.npy' in it is not where"},
    {"small.npz", HEADER, 1, 26, 2, 7, "'zeros.npy' in it is not where"},
    {"small.npz", HEADER, 1, 28, 2, 60000, "goes beyond the entries' end"},
    {"small.npz", HEADER, 1, 30, 1, 'Z', "'zeros.npy' in it is not where"},
    {"small.npz", END, 0, 4, 2, 1, "it is in several parts"},
    {"small.npz", END, 0, 10, 2, 3, "its directory has no room"},
    {"small.npz", END, 0, 10, 2, UINT16_MAX, "its zip64 locator is missing"},
    {"small.npz", END, 0, 12, 4, 0x7fffffff, "its directory is beyond its end"},
    {"small.npz", END, 0, 16, 4, 0x7fffffff, "its directory is beyond its end"},
    {"small.npz", END, 0, 16, 4, 0, "an entry of its directory is missing"},
    {"small.npz", END, 0, 20, 2, 1, "its end is missing"},
    {"small64.npz", "PK\6\7", 0, 8, 8, INT64_MAX, "its zip64 end record is missing"},
    {"small64.npz", "PK\6\7", 0, 8, 8, 0, "its zip64 end record is missing"},
    {"small64.npz", "PK\6\6", 0, 16, 4, 1, "it is in several parts"},
    {"small64.npz", "PK\6\6", 0, 32, 8, UINT64_MAX, "its directory has no room"},
    {"small64.npz", "PK\6\6", 0, 40, 8, UINT64_MAX, "its directory is beyond its end"},
    {"small64.npz", "PK\6\6", 0, 48, 8, UINT64_MAX - 46, "its directory is beyond its end"},
    {"small64.npz", DIRECTORY, 0, 46 + 7 + 4, 8, UINT64_MAX, "make no sense"},
    {"small64.npz", DIRECTORY, 0, 46 + 7 + 2, 2, 8, "make no sense"},
    {"small64.npz", DIRECTORY, 0, 46 + 7, 2, 2, "make no sense"},
    {"small-deflated.npz", DIRECTORY, 0, 16, 4, 0, "its checksum is another"},
    {"small-deflated.npz", DIRECTORY, 1, 16, 4, 0, "its checksum is another"},
    {"small-deflated.npz", DIRECTORY, 1, 20, 4, 20, "'zeros.npy' in it is damaged: it ends early"},
    {"small-deflated.npz", DIRECTORY, 1, 24, 4, 928 + 80, "80 bytes follow behind"},
    {"small-deflated.npz", DIRECTORY, 0, 10, 2, 0, "is stored and has two sizes"},
    {"small-deflated.npz", HEADER, 1, 39, 4, UINT32_MAX, "'zeros.npy' in it is damaged: invalid block type"},
};
enum { N_CHANGES = sizeof changes / sizeof changes[0] };

static void test_damaged(void **state)
{
    (void)state;
    for (int i = 0; i < N_CHANGES; i++)
        change_and_refuse(&changes[i]);
}

/* The directory and the .npy's own header agree on a length that the deflated bytes have not. */
static void test_other_length(void **state)
{
    static const struct change lies[] = {
        {"uneven99", DIRECTORY, 0, 24, 4, 128 + 99 * 8, "it is longer than its zip directory says"},
        {"uneven101", DIRECTORY, 0, 24, 4, 128 + 101 * 8, "it is shorter than its zip directory says"}};

    (void)state;
    change_and_refuse(&lies[0]);
    change_and_refuse(&lies[1]);
}

static void test_cut(void **state)
{
    static const char *const names[] = {"small.npz", "small-deflated.npz", "small64.npz"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        size_t n;
        uint8_t *bytes = read_made(names[i], &n);
        assert_true(foreign_survived(bytes, n));
        for (size_t cut = 0; cut < n; cut++)
            assert_false(foreign_survived(bytes, cut));
        free(bytes);
    }
}

/* Every byte that is another is noticed, but for those that say nothing to a reader: times, versions,
 * permissions. */
static void test_flipped(void **state)
{
    size_t n, unnoticed = 0;
    uint8_t *bytes = read_made("small-deflated.npz", &n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 0x10;
        unnoticed += foreign_survived(bytes, n);
        bytes[i] ^= 0x10;
    }
    print_message("%zu of %zu bytes say nothing\n", unnoticed, n);
    assert_true(unnoticed < n / 2);
    free(bytes);
}

static void test_others(void **state)
{
    static const uint8_t empty[22] = "PK\5\6";

    (void)state;
    foreign_refused(empty, 22, "neither .npy's nor torch's data.pkl");
    foreign_refused(empty, 21, "its end is missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numpy),        cmocka_unit_test(test_zipfile), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_other_length), cmocka_unit_test(test_cut),     cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
