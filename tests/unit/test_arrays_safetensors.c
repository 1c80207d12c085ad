/* import/shared/arrays.h on safetensors: value by value, and what is damaged or hostile. */
#include "import/shared/arrays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/foreign.h"
#include "tests/laid.h"
#include "tests/support.h"

static void test_values(void **state)
{
    char *folder = test_folder();
    bool made = foreign_make("safetensors", folder);

    (void)state;
    if (made)
        assert_int_equal(foreign_compare(folder, "safetensors"), 6);
    test_folder_remove(folder);
    if (!made)
        skip();
}

/* This header and 8 bytes of data. */
static void lay(struct text *t, const char *header)
{
    text_clear(t);
    laid_safetensors(t, header, "????????", 8);
    assert_false(t->failed);
}

static const char good[] =
    "{\"__metadata__\":{\"a\":\"b\"},\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":"
    "[0,4]},\"y\":{\"dtype\":\"U16\",\"shape\":[2,1],\"data_offsets\":[4,8]}} ";

static const struct {
    const char *header, *words;
} bad[] = {
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "bytes 66 to 70 belong to nothing"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "belong to nothing"},
    {"{}", "belong to nothing"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", "is it cut off?"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}", "is it cut off?"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "has -8 bytes"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,7]}}",
     "has 7 bytes, and its shape and dtype need 8"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"y\":{\"dtype\":\"U8\",\"shape\":[1],"
     "\"data_offsets\":[7,8]}}",
     "'x' and 'y' in it overlap at offset"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"x\":{\"dtype\":\"F32\",\"shape\":[1],"
     "\"data_offsets\":[4,8]}}",
     "two arrays in it are called 'x'"},
    {"{\"x\":{\"dtype\":\"F8_E5M2\",\"shape\":[8],\"data_offsets\":[0,8]}}", "its dtype is none of"},
    {"{\"x\":{\"dtype\":\"F8_E5M2\",\"shape\":[8],\"data_offsets\":[9,8]}}", "has -1 bytes"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,4096],\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[9007199254740994],\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}}", "make no sense"},
    {"{\"x\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":{\"shape\":[2],\"data_offsets\":[0,8]}}", "make no sense"},
    {"{\"x\":[1]}", "no description of a tensor at offset 13"},
    {"{\"x\":{\"dtype\"", "no description of a tensor"},
    {"{\"x\"", "no key"},
    {"{x:1}", "no key at offset 9"},
    {"{\"__metadata__\":{\"a\":1}}", "no text of __metadata__"},
    {"{\"__metadata__\":[]}", "no object"},
    {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", "belong to nothing"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", "no end of the object"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}}", "no end of the header"},
    {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},}", "no key"},
};
enum { N_BAD = sizeof bad / sizeof bad[0] };

static void test_bad(void **state)
{
    struct text t;

    (void)state;
    text_init(&t);
    for (int i = 0; i < N_BAD; i++) {
        lay(&t, bad[i].header);
        foreign_refused(t.data, t.length, bad[i].words);
    }
    lay(&t, "{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}");
    foreign_refused(t.data, t.length - 8, "it says 'a' twice");
    text_release(&t);
}

/* Brackets a hundred thousand deep, and a description longer than any tensor's, cost nothing. */
static void test_deep(void **state)
{
    enum { N = 200000 };
    char *header = malloc(N + 1);
    struct text t;

    (void)state;
    assert_non_null(header);
    text_init(&t);
    memset(header, '[', N);
    memcpy(header, "{\"x\":{\"a\":", 10);
    header[N] = '\0';
    lay(&t, header);
    foreign_refused(t.data, t.length, "no description of a tensor");
    for (int i = 10; i < N; i += 2)
        memcpy(header + i, i == 10 ? "[1" : ",1", 2);
    lay(&t, header);
    foreign_refused(t.data, t.length, "no description of a tensor");
    text_release(&t);
    free(header);
}

static void test_length(void **state)
{
    struct text t;
    uint8_t bytes[512];
    size_t n;

    (void)state;
    text_init(&t);
    lay(&t, good);
    n = t.length;
    assert_true(n <= sizeof bytes);
    memcpy(bytes, t.data, n);
    text_release(&t);
    assert_true(foreign_survived(bytes, n));
    bytes[0]++; /* the header takes a byte of the data */
    foreign_refused(bytes, n, "no end of the header");
    bytes[0] = 0;
    foreign_refused(bytes, n, "no object");
    bytes[7] = 0x80;
    foreign_refused(bytes, n, "would have 9223372036854775808 bytes");
}

static void test_cut(void **state)
{
    struct text t;

    (void)state;
    text_init(&t);
    lay(&t, good);
    for (size_t i = 0; i < t.length; i++)
        assert_false(foreign_survived(t.data, i));
    text_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_bad), cmocka_unit_test(test_deep),
        cmocka_unit_test(test_length), cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
