/* import/shared/arrays.h on GGUF: value by value, and what is damaged, hostile or of the old kind. */
#include "import/shared/arrays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/foreign.h"
#include "tests/laid.h"
#include "tests/support.h"

static void test_values(void **state)
{
    char *folder = test_folder();
    bool made = foreign_make("gguf", folder);

    (void)state;
    if (made)
        assert_int_equal(foreign_compare(folder, "gguf"), 6);
    test_folder_remove(folder);
    if (!made)
        skip();
}

/* ---- laid by hand ---- */

static void begin(struct text *t, uint64_t n_tensors, uint64_t n_keys)
{
    text_clear(t);
    laid_gguf(t, n_tensors, n_keys);
}

static void refused(struct text *t, const char *words)
{
    foreign_refused(t->data, t->length, words);
}

static void test_bad_tensors(void **state)
{
    static const struct {
        uint64_t n;
        uint32_t type;
        uint64_t offset;
        const char *words;
    } bad[] = {
        {16, 0, 0, "'y' in it has bytes 64 to 128"},
        {8, 0, 32, "is it cut off?"},
        {8, 0, 4, "would be at byte 4 of the data"},
        {8, 0, UINT64_MAX - 31, "would be at byte 18446744073709551584"},
        {UINT64_MAX, 0, 0, "a shape that no file can hold"},
        {INT64_MAX / 8, 28, 0, "is it cut off?"},
        {1, 8, 0, "quantised in blocks"},
        {1, 7777, 0, "quantised in blocks"},
    };
    struct text t;

    (void)state;
    text_init(&t);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(&t, 1, 0);
        laid_gguf_tensor(&t, "y", bad[i].n, bad[i].type, bad[i].offset);
        laid_gguf_data(&t, 32);
        refused(&t, bad[i].words);
    }
    begin(&t, 2, 0);
    laid_gguf_tensor(&t, "y", 16, 0, 0);
    laid_gguf_tensor(&t, "z", 8, 0, 32);
    laid_gguf_data(&t, 64);
    refused(&t, "'y' and 'z' in it overlap");
    begin(&t, 2, 0);
    laid_gguf_tensor(&t, "y", 8, 0, 0);
    laid_gguf_tensor(&t, "y", 8, 0, 32);
    laid_gguf_data(&t, 64);
    refused(&t, "two arrays in it are called 'y'");
    begin(&t, 1, 0);
    laid_gguf_string(&t, "y");
    laid_number(&t, 9, 4);
    laid_gguf_data(&t, 1000);
    refused(&t, "has 9 dimensions");
    begin(&t, 1, 0);
    laid_number(&t, 1ULL << 62, 8);
    refused(&t, "a text of 4611686018427387904 bytes at offset 24");
    text_release(&t);
}

static void test_bad_keys(void **state)
{
    struct text t;

    (void)state;
    text_init(&t);
    begin(&t, 0, 1);
    laid_gguf_string(&t, "k");
    laid_number(&t, 13, 4);
    refused(&t, "key 'k' is of kind 13");
    begin(&t, 0, 1);
    laid_gguf_string(&t, "k");
    laid_number(&t, 9, 4);
    laid_number(&t, 9, 4);
    laid_number(&t, 1, 8);
    refused(&t, "key 'k' is an array of kind 9");
    for (uint64_t kind = 0; kind < 9; kind++) { /* items as many as no file has */
        begin(&t, 0, 1);
        laid_gguf_string(&t, "k");
        laid_number(&t, 9, 4);
        laid_number(&t, kind, 4);
        laid_number(&t, kind % 2 ? UINT64_MAX / 4 + 1 : INT64_MAX / 8, 8);
        assert_false(foreign_survived(t.data, t.length));
    }
    for (uint64_t alignment = 0; alignment < 100; alignment += 33) { /* 0, 33, 66, 99 */
        begin(&t, 0, 1);
        laid_gguf_string(&t, "general.alignment");
        laid_number(&t, 4, 4);
        laid_number(&t, alignment, 4);
        refused(&t, "general.alignment makes no sense");
    }
    begin(&t, 0, 2);
    for (int i = 0; i < 2; i++) {
        laid_gguf_string(&t, "k");
        laid_number(&t, 0, 4);
        laid_number(&t, 0, 1);
    }
    refused(&t, "it says 'k' twice");
    begin(&t, UINT64_MAX, UINT64_MAX);
    refused(&t, "beyond its end");
    text_release(&t);
}

static void test_versions(void **state)
{
    struct text t;
    static const uint32_t version[] = {0, 1, 4, 0x03000000};
    static const char *const words[] = {"version 0", "version 1", "version 4", "big-endian"};

    (void)state;
    text_init(&t);
    for (int i = 0; i < 4; i++) {
        text_clear(&t);
        text_add(&t, "GGUF");
        laid_number(&t, version[i], 4);
        laid_number(&t, 0, 8);
        laid_number(&t, 0, 8);
        refused(&t, words[i]);
    }
    text_release(&t);
}

/* As llama-imatrix wrote it before GGUF. */
static void test_legacy(void **state)
{
    struct text t;

    (void)state;
    text_init(&t);
    laid_number(&t, 1, 4);
    laid_number(&t, 26, 4);
    text_add(&t, "blk.0.ffn_down_exps.weight");
    laid_number(&t, 5, 4);
    laid_number(&t, 1, 4);
    laid_number(&t, 0x3f800000, 4);
    refused(&t, "run llama-imatrix again with --output-format gguf");
    text_release(&t);
}

static void test_cut(void **state)
{
    struct text t;

    (void)state;
    text_init(&t);
    begin(&t, 1, 2);
    laid_gguf_string(&t, "k");
    laid_number(&t, 8, 4);
    laid_gguf_string(&t, "text");
    laid_gguf_string(&t, "l");
    laid_number(&t, 9, 4);
    laid_number(&t, 8, 4);
    laid_number(&t, 1, 8);
    laid_gguf_string(&t, "item");
    laid_gguf_tensor(&t, "y", 8, 0, 0);
    laid_gguf_data(&t, 32);
    assert_true(foreign_survived(t.data, t.length));
    for (size_t i = 0; i < t.length; i++)
        assert_false(foreign_survived(t.data, i));
    text_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_bad_tensors), cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_versions), cmocka_unit_test(test_legacy),      cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
