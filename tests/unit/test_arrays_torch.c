/* import/shared/arrays.h on torch.save's .pt: what torch and a writer of our own write, value by value, and
 * pickles that want to run something, or to take all memory. */
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
#include "base/text.h"
#include "tests/foreign.h"
#include "tests/laid.h"
#include "tests/support.h"

static void test_by_hand(void **state)
{
    char *folder = test_folder();
    bool made = foreign_make("pt", folder);

    (void)state;
    if (made)
        assert_int_equal(foreign_compare(folder, "pt"), 13);
    test_folder_remove(folder);
    if (!made)
        skip();
}

static void refuse_file(const char *folder, const char *name, const char *words)
{
    char path[4096], *bytes;
    size_t n;
    struct error err;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    test_must(file_read(path, &bytes, &n, &err), &err);
    foreign_refused(bytes, n, words);
    free(bytes);
}

static void test_torch(void **state)
{
    char *folder = test_folder();
    bool made = foreign_make("torch", folder);

    (void)state;
    if (made) {
        assert_int_equal(foreign_compare(folder, "pt"), 4);
        refuse_file(folder, "legacy", "before torch 1.6");
        refuse_file(folder, "module", "it wants to call 'torch.nn.modules.container Sequential': refused");
    }
    test_folder_remove(folder);
    if (!made)
        skip();
}

/* ---- pickles ---- */

/* With a storage of 8 bytes. */
static void lay(struct text *t, const void *pickle, size_t n)
{
    text_clear(t);
    laid_pt(t, pickle, n, "\1\0\0\0\2\0\0\0", 8);
}

#define TENSOR "ctorch._utils\n_rebuild_tensor_v2\n("
#define STORAGE                                                                                              \
    "(X\7\0\0\0storagectorch\nIntStorage\nX\1\0\0\0"                                                         \
    "0X\3\0\0\0cpuK\2tQ"
#define HOOKS                                                                                                \
    "\x89"                                                                                                   \
    "ccollections\nOrderedDict\n)RtR"

static const struct {
    const char *pickle;
    size_t n;
    const char *words;
} hostile[] = {
#define PICKLE(bytes) bytes, sizeof(bytes) - 1
    {PICKLE("\x80\2cos\nsystem\nX\4\0\0\0true\x85R."),
     "it wants to call 'os system': refused; nothing in it was run"},
    {PICKLE("\x80\2}X\1\0\0\0xcposix\nsystem\nX\4\0\0\0true\x85Rs."), "'posix system'"},
    {PICKLE("\x80\2c__builtin__\neval\nX\3\0\0\0"
            "1+1\x85R."),
     "'__builtin__ eval'"},
    {PICKLE("\x80\4\x8c\10builtins\x8c\4exec\x93\x8c\3"
            "1+1\x85R."),
     "'builtins exec'"},
    {PICKLE("\x80\2cbuiltins\ngetattr\n(ctorch\nSize\nX\7\0\0\0__new__tR."), "'builtins getattr'"},
    {PICKLE("\x80\2ctorch.hub\nload\n)R."), "'torch.hub load'"},
    {PICKLE("\x80\2ctorch._utils\n_rebuild_tensor_v2.__globals__\n)R."),
     "'torch._utils _rebuild_tensor_v2.__globals__'"},
    {PICKLE("\x80\2cnumpy.core.multiarray\n_reconstruct\n)R."), "'numpy.core.multiarray _reconstruct'"},
    {PICKLE("(S'true'\nios\nsystem\n."), "opcode 0x53"},
    {PICKLE("\x80\2(ios\nsystem\n."), "opcode 0x69"},
    {PICKLE("\x80\2ctorch\nSize\n)\x81."), "opcode 0x81"},
    {PICKLE("\x80\2ctorch\nSize\n)}\x92."), "opcode 0x92"},
    {PICKLE("\x80\2\x82\1."), "opcode 0x82"},
    {PICKLE("\x80\2Pid\n."), "opcode 0x50"},
    {PICKLE("\x80\2(o."), "opcode 0x6f"},
    {PICKLE("\x80\0N."), "a protocol other than 2 to 5"},
    {PICKLE("\x80\6N."), "a protocol other than 2 to 5"},
    {PICKLE("\x80\2ctorch\nFloatStorage\n)R."), "a call of what cannot be called"},
    {PICKLE("\x80\2K\1)R."), "a call of what cannot be called"},
    {PICKLE("\x80\2ctorch\nSize\nK\1R."), "a call of what cannot be called"},
    {PICKLE("\x80\2ctorch\nSize\n)R."), "a size without a tuple"},
    {PICKLE("\x80\2ctorch._utils\n_rebuild_parameter\n)R."), "a parameter without a tensor"},
    {PICKLE("\x80\2ccollections\nOrderedDict\nK\1\x85R."), "an OrderedDict of arguments"},
    {PICKLE("\x80\2ctorch._utils\n_rebuild_tensor_v2\n)R."), "a tensor that makes no sense"},
    {PICKLE("\x80\2]}b."), "attributes of what is no dict"},
    {PICKLE("\x80\4K\1K\2\x93."), "a name that is no text"},
    {PICKLE("\x80\2cos"), "a name without an end"},
    {PICKLE("\x80\2K\1Q."), "a storage that makes no sense"},
    {PICKLE("\x80\2(X\7\0\0\0storageK\1X\1\0\0\0"
            "0X\3\0\0\0cpuK\2tQ."),
     "a storage that makes no sense"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\0K\3\x85K\1\x85" HOOKS "."), "a tensor that goes beyond its storage"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\2K\1\x85K\1\x85" HOOKS "."), "a tensor that goes beyond its storage"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\1K\2\x85K\1\x85" HOOKS "."), "a tensor that goes beyond its storage"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\0K\2\x85K\2\x85" HOOKS "."), "a tensor that goes beyond its storage"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\0K\2\x85\x8a\10\377\377\377\377\377\377\377\177\x85" HOOKS "."),
     "beyond its storage"},
    {PICKLE("\x80\2" TENSOR STORAGE "\x8a\10\377\377\377\377\377\377\377\177K\1\x85K\1\x85" HOOKS "."),
     "beyond its storage"},
    {PICKLE("\x80\2" TENSOR STORAGE "J\377\377\377\377K\1\x85K\1\x85" HOOKS "."),
     "a tensor that makes no sense"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\0J\377\377\377\377\x85K\1\x85" HOOKS "."),
     "a tensor that makes no sense"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\0K\1\x85J\377\377\377\377\x85" HOOKS "."),
     "a tensor that makes no sense"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\0K\1K\1\x86K\1\x85" HOOKS "."), "a tensor that makes no sense"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\0\x8a\10\377\377\377\377\377\377\377\177\x85K\0\x85" HOOKS "."),
     "a shape that no file can hold"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\0\x8a\5\0\0\0\0\1\x85K\0\x85" HOOKS "."),
     "over and over; save its contiguous() copy"},
    {PICKLE("\x80\2" TENSOR STORAGE "K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1t(K\1K\1K\1K\1K\1K\1K\1K\1K\1t" HOOKS
            "."),
     "more than 8 dimensions"},
    {PICKLE("\x80\2" TENSOR "(X\7\0\0\0storagectorch\nLongStorage\nX\1\0\0\0"
            "0X\3\0\0\0cpuK\2tQK\0K\2\x85K\1\x85" HOOKS "."),
     "whose storage is too short"},
    {PICKLE("\x80\2" TENSOR "(X\7\0\0\0storagectorch\nIntStorage\nX\1\0\0\0"
            "1X\3\0\0\0cpuK\2tQK\0K\2\x85K\1\x85" HOOKS "."),
     "whose storage is not in the file"},
    {PICKLE("\x80\2" TENSOR "(X\7\0\0\0storagectorch\nComplexFloatStorage\nX\1\0\0\0"
            "0X\3\0\0\0cpuK\1tQK\0K\1\x85K\1\x85" HOOKS "."),
     "it is complex"},
    {PICKLE("\x80\2]q\0h\0a."), "contains itself"},
    {PICKLE("\x80\2}q\0X\1\0\0\0xh\0s."), "'x' in its pickle contains itself"},
    {PICKLE("\x80\2](a."), "a value is missing"},
    {PICKLE("\x80\2K\1K\1a."), "items without a list or dict"},
    {PICKLE("\x80\2a."), "items without a list or dict"},
    {PICKLE("\x80\2}(K\1u."), "items without a list or dict"},
    {PICKLE("\x80\2](K\1u."), "items without a list or dict"},
    {PICKLE("\x80\2}K\1s."), "items without a list or dict"},
    {PICKLE("\x80\2}K\1e."), "a mark is missing"},
    {PICKLE("\x80\2(K\1e."), "items without a list or dict"},
    {PICKLE("\x80\2t."), "a mark is missing"},
    {PICKLE("\x80\2K\1\x86."), "a value is missing"},
    {PICKLE("\x80\2(K\1\x86."), "a value is missing"},
    {PICKLE("\x80\2(q\0."), "a value is missing"},
    {PICKLE("\x80\2("), "it ends early"},
    {PICKLE("\x80\2(."), "a value is missing"},
    {PICKLE("\x80\2."), "a value is missing"},
    {PICKLE("\x80\2q\0."), "a value is missing"},
    {PICKLE("\x80\2h\0."), "a memo that was not given"},
    {PICKLE("\x80\2j\377\377\377\377."), "a memo that was not given"},
    {PICKLE("\x80\2Nr\377\377\377\377."), "a memo of a number that nobody gives"},
    {PICKLE("\x80\2Nr\0\0\1\0."), "a memo of a number that nobody gives"},
    {PICKLE("\x80\2X\377\377\377\377a."), "it ends early"},
    {PICKLE("\x80\4\x8d\377\377\377\377\377\377\377\377a."), "it ends early"},
    {PICKLE("\x80\2\x8b\377\377\377\177."), "it ends early"},
    {PICKLE("\x80\2}]K\1s."), "has keys that are neither text nor numbers"},
    {PICKLE("\x80\2}X\1\0\0\0\0K\1s."), "a name with a NUL"},
    {PICKLE("\x80\2}(X\1\0\0\0aK\1X\1\0\0\0aK\2u."), "two arrays in it are called 'a'"},
    {PICKLE("\x80\2}(X\1\0\0\0aNX\1\0\0\0aX\0\0\0\0X\1\0\0\0aX\0\0\0\0u."), "it says 'a' twice"},
};
enum { N_HOSTILE = sizeof hostile / sizeof hostile[0] };

static void test_hostile(void **state)
{
    struct text t;

    (void)state;
    text_init(&t);
    for (int i = 0; i < N_HOSTILE; i++) {
        lay(&t, hostile[i].pickle, hostile[i].n);
        foreign_refused(t.data, t.length, hostile[i].words);
    }
    text_release(&t);
}

/* A file that would have been made shows that something was run. */
static void test_nothing_runs(void **state)
{
    char *folder = test_folder(), path[4096];
    struct text pickle, file;
    struct test_run r;

    (void)state;
    text_init(&pickle);
    text_init(&file);
    snprintf(path, sizeof path, "touch %s/ran", folder);
    text_add(&pickle, "\x80\2cos\nsystem\nX");
    laid_number(&pickle, strlen(path), 4);
    text_printf(&pickle, "%s\x85R.", path);
    lay(&file, pickle.data, pickle.length);
    foreign_refused(file.data, file.length, "os system");
    snprintf(path, sizeof path, "%s/ran", folder);
    assert_false(file_exists(path));
    test_write(folder, "pickle", pickle.data, pickle.length); /* and python would have */
    r = test_run("/usr/bin/python3 -c 'import pickle; pickle.load(open(\"%s/pickle\", \"rb\"))'", folder);
    assert_true(r.status == 127 || (r.status == 0 && file_exists(path)));
    test_run_release(&r);
    text_release(&pickle);
    text_release(&file);
    test_folder_remove(folder);
}

/* ---- much from little ---- */

static void refused(const struct text *pickle, const char *words)
{
    struct text file;

    text_init(&file);
    lay(&file, pickle->data, pickle->length);
    foreign_refused(file.data, file.length, words);
    text_release(&file);
}

/* Lists of ten times one list of ten times one list... */
static void add_tower(struct text *t, const char *ground, int floors)
{
    text_clear(t);
    text_add(t, "\x80\2");
    text_add(t, ground);
    for (int i = 0; i < floors; i++) {
        text_printf(t, "q%c](", i + 1); /* never a NUL */
        for (int j = 0; j < 10; j++)
            text_printf(t, "h%c", i + 1);
        text_add(t, "e");
    }
    text_add(t, ".");
}

static void test_bombs(void **state)
{
    static const char *const grounds[] = {"N", "]", "](K\1K\2e", "X\1\0\0\0x", "]Na"};
    struct text t;

    (void)state;
    text_init(&t);
    for (size_t i = 0; i < sizeof grounds / sizeof grounds[0]; i++) {
        if (i == 3) { /* the text has NULs */
            text_clear(&t);
            text_add(&t, "\x80\4\x8c\1x");
            struct text rest;
            text_init(&rest);
            add_tower(&rest, "", 12);
            text_add_bytes(&t, rest.data + 2, rest.length - 2);
            text_release(&rest);
        } else {
            add_tower(&t, grounds[i], 12);
        }
        refused(&t, "one of too many: the same things are referred to over and over");
    }
    text_release(&t);
}

static void test_deep(void **state)
{
    struct text t;

    (void)state;
    text_init(&t);
    text_add(&t, "\x80\2");
    for (int i = 0; i < 100000; i++)
        text_add(&t, "]");
    for (int i = 1; i < 100000; i++)
        text_add(&t, "a");
    text_add(&t, ".");
    refused(&t, "is nested too deep");
    text_clear(&t);
    text_add(&t, "\x80\2N");
    for (int i = 0; i < 100000; i++)
        text_add(&t, "\x85");
    text_add(&t, ".");
    refused(&t, "is nested too deep");
    text_clear(&t);
    text_add(&t, "\x80\2");
    for (int i = 0; i < 5000000; i++)
        text_add(&t, "N");
    text_add(&t, ".");
    refused(&t, "more values than anybody writes");
    text_release(&t);
}

/* A key of a kilobyte, beneath which there is much, is not written out a million times. */
static void test_long_names(void **state)
{
    struct text t;

    (void)state;
    text_init(&t);
    text_add(&t, "\x80\2}X");
    laid_number(&t, 1000, 4);
    for (int i = 0; i < 1000; i++)
        text_add(&t, "k");
    text_add(&t, "](N");
    for (int i = 0; i < 200000; i++)
        text_add(&t, "]");
    text_add(&t, "es.");
    refused(&t, "one of too many");
    text_clear(&t);
    text_add(&t, "\x80\2}X");
    laid_number(&t, 1024, 4);
    for (int i = 0; i < 1024; i++)
        text_add(&t, "k");
    text_add(&t, "Ns.");
    refused(&t, "a name that is too long");
    text_clear(&t); /* nor is a long text */
    text_add(&t, "\x80\2](X");
    laid_number(&t, 100000, 4);
    for (int i = 0; i < 100000; i++)
        text_add(&t, "x");
    text_add(&t, "q\1");
    for (int i = 0; i < 1000; i++)
        text_add(&t, "h\1");
    text_add(&t, "e.");
    refused(&t, "one of too many");
    text_release(&t);
}

/* ---- cut, and others ---- */

static void test_cut(void **state)
{
    static const char pickle[] =
        "\x80\2}(X\1\0\0\0x" TENSOR STORAGE "K\0K\2\x85K\1\x85" HOOKS "X\1\0\0\0yK\7u.";
    struct text t;

    (void)state;
    text_init(&t);
    lay(&t, pickle, sizeof pickle - 1);
    assert_true(foreign_survived(t.data, t.length));
    for (size_t i = 0; i < t.length; i++)
        assert_false(foreign_survived(t.data, i));
    for (size_t i = 0; i < sizeof pickle - 1; i++) { /* the pickle alone */
        lay(&t, pickle, i);
        assert_false(foreign_survived(t.data, t.length));
    }
    text_release(&t);
}

static void test_others(void **state)
{
    static const uint8_t legacy[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                     0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.',  0x80};

    (void)state;
    foreign_refused(legacy, sizeof legacy, "before torch 1.6");
    foreign_refused("\x80\4\x95\0\0\0\0\0\0\0\0N.", 13, "a bare pickle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),      cmocka_unit_test(test_torch), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_nothing_runs), cmocka_unit_test(test_bombs), cmocka_unit_test(test_deep),
        cmocka_unit_test(test_long_names),   cmocka_unit_test(test_cut),   cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
