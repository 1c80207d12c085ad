/* What logs of other engines are read with: JSON, rows, base64. Small values, and values that lie across the
 * window's end, where a parser that sees only part of a file at a time goes wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "import/shared/base64.h"
#include "import/shared/delimited.h"
#include "import/shared/json.h"
#include "tests/support.h"

/* ---- JSON ---- */

static struct input input;
static struct json json;

static void begin(const char *text)
{
    input_over(&input, "text", text, strlen(text));
    json_start(&json, &input);
}

/* What is left out must be read all the same: the status, and what is complained of. */
static void skipped(const char *text, int result, const char *words)
{
    struct error err = {.text = ""};
    begin(text);
    assert_int_equal(json_skip(&json, &err), result);
    if (strstr(err.text, words) == NULL) {
        fail_msg("%s: '%s', not '%s'", text, err.text, words);
    }
}

static void test_skip(void **state)
{
    char deep[512];
    (void)state;
    skipped("{\"a\": [1, -2.5e3, true, false, null, NaN, -Infinity], \"b\": {\"c\": \"\\u00e9\\n\"}}", 0, "");
    skipped("[]", 0, "");
    skipped("[1,]", -1, "']' where a value is expected");
    skipped("[1 2]", -1, "'2' where ',' or ']' is expected");
    skipped("{\"a\" 1}", -1, "'1' where ':' is expected");
    skipped("{a: 1}", -1, "'a' where a string is expected");
    skipped("\n\n[tru]", -1, "'text' line 3: 'tru' is not a number");
    skipped("[0x10]", -1, "'0x10' is not a number");
    skipped("[1e", -1, "'1e' is not a number");
    skipped("\"a\nb\"", -1, "a control character");
    skipped("\"\\x\"", -1, "an escape that JSON does not know");
    skipped("\"\\u12\"", -1, "four hexadecimal digits");
    skipped("\"a", -1, "the file ends within a string");
    skipped("", -1, "the file ends where a value is expected");
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    skipped(deep, -1, "more than 64 arrays and objects");
}

static void spells(const char *text, const char *value)
{
    struct text t;
    struct error err;
    text_init(&t);
    begin(text);
    test_must(json_string(&json, &t, 100, &err), &err);
    assert_string_equal(t.data, value);
    text_release(&t);
}

static void test_strings(void **state)
{
    (void)state;
    spells("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz");
    spells("\"\\u0041\\u00e9\\u2581\\ud83d\\ude00\"", "A\xC3\xA9\xE2\x96\x81\xF0\x9F\x98\x80");
    spells("\"\\ud83d!\"", "\xEF\xBF\xBD!");
    spells("\"\\ude00\\u0000\"", "\xEF\xBF\xBD\xEF\xBF\xBD");
}

static void test_numbers(void **state)
{
    struct error err;
    int64_t i;
    double x;
    (void)state;
    begin("-9007199254740993 3.0 1e3 2.5 nan");
    test_must(json_integer(&json, &i, &err), &err);
    assert_int_equal(i, -9007199254740993);
    test_must(json_integer(&json, &i, &err), &err);
    assert_int_equal(i, 3);
    test_must(json_integer(&json, &i, &err), &err);
    assert_int_equal(i, 1000);
    assert_int_equal(json_integer(&json, &i, &err), -1);
    assert_int_equal(json_real(&json, &x, &err), -1);
    begin("-2.5e-1 NaN null Infinity");
    test_must(json_real(&json, &x, &err), &err);
    assert_true(x == -0.25);
    test_must(json_real(&json, &x, &err), &err);
    assert_true(isnan(x));
    test_must(json_real(&json, &x, &err), &err);
    assert_true(isnan(x));
    test_must(json_real(&json, &x, &err), &err);
    assert_true(isinf(x));
}

/* Numbers of every width, and blanks of every length, so that some lie across the end of each window. */
static void test_integers_across_windows(void **state)
{
    char *folder = test_folder(), path[512];
    struct integers a = {0};
    struct error err;
    struct text t;
    int64_t rows;
    int width = 0;
    (void)state;
    text_init(&t);
    text_add(&t, "[");
    for (int i = 0; i < 60000; i++) {
        text_printf(&t, "%s[%d,%*s%d ,%d]", i > 0 ? ",\n" : "", i % 7, i % 40, "", i * 30001,
                    i % 3 == 0 ? -1 : i);
    }
    text_add(&t, "] ");
    assert_true(t.length > 4 * (size_t)INPUT_WINDOW);
    test_write(folder, "numbers", t.data, t.length);
    snprintf(path, sizeof path, "%s/numbers", folder);
    test_must(input_open(&input, path, &err), &err);
    json_start(&json, &input);
    test_must(json_integer_rows(&json, &a, &width, &rows, &err), &err);
    assert_int_equal(width, 3);
    assert_int_equal(rows, 60000);
    for (int i = 0; i < 60000; i++) {
        assert_int_equal(a.items[3 * i], i % 7);
        assert_int_equal(a.items[3 * i + 1], i * 30001);
        assert_int_equal(a.items[3 * i + 2], i % 3 == 0 ? -1 : i);
    }
    assert_int_equal(json_document(&json, &err), 0);
    assert_int_equal(input.line, 60000);
    input_close(&input);
    integers_release(&a);
    text_release(&t);
    test_folder_remove(folder);
}

static void refuse_integers(const char *text, const char *words)
{
    struct integers a = {0};
    struct error err = {.text = ""};
    begin(text);
    assert_int_equal(json_integers(&json, &a, &err), -1);
    if (strstr(err.text, words) == NULL) {
        fail_msg("%s: '%s', not '%s'", text, err.text, words);
    }
    integers_release(&a);
}

static void test_integers_refused(void **state)
{
    (void)state;
    refuse_integers("[1,2147483648]", "2147483648 does not fit into 32 bits");
    refuse_integers("[1,2.5]", "'2.5' is not a whole number");
    refuse_integers("[1,[2]]", "'[' where a whole number is expected");
    refuse_integers("[1;2]", "';' where ',' or ']' is expected");
    refuse_integers("[1,", "the file ends");
    refuse_integers("[11111111111111111111,                                  1]", "is not a whole number");
}

/* ---- rows ---- */

static void test_rows(void **state)
{
    struct delimited d;
    struct error err;
    int64_t value;
    const char *text = "# a comment\r\na,\"b \"\"c\"\", \nd\",\r\n\n1, 2 ,x\r\nlast";
    (void)state;
    input_over(&input, "text", text, strlen(text));
    delimited_start(&d, &input, ',');
    assert_int_equal(delimited_row(&d, &err), 1);
    assert_int_equal(d.n, 3);
    assert_string_equal(delimited_cell(&d, 1), "b \"c\", \nd");
    assert_string_equal(delimited_cell(&d, 2), "");
    assert_int_equal(delimited_row(&d, &err), 1);
    test_must(delimited_integer(&d, 1, "two", &value, &err), &err);
    assert_int_equal(value, 2);
    assert_int_equal(delimited_integer(&d, 2, "x", &value, &err), -1);
    assert_string_equal(err.text, "'text' line 5: x 'x' is not a whole number");
    assert_int_equal(delimited_row(&d, &err), 1);
    assert_string_equal(delimited_cell(&d, 0), "last");
    assert_int_equal(delimited_row(&d, &err), 0);
    delimited_release(&d);
    input_over(&input, "text", "a,\"b", 4);
    delimited_start(&d, &input, ',');
    assert_int_equal(delimited_row(&d, &err), -1);
    assert_non_null(strstr(err.text, "the file ends within quotes"));
    delimited_release(&d);
    input_over(&input, "text", "\"a\"b,c", 6);
    delimited_start(&d, &input, ',');
    assert_int_equal(delimited_row(&d, &err), -1);
    assert_non_null(strstr(err.text, "something behind a closing quote"));
    delimited_release(&d);
}

/* ---- base64 ---- */

/* The vectors of RFC 4648, in pieces of every length. */
static void test_base64(void **state)
{
    static const char *const vectors[][2] = {{"", ""},
                                             {"Zg==", "f"},
                                             {"Zm8=", "fo"},
                                             {"Zm9v", "foo"},
                                             {"Zm9vYg==", "foob"},
                                             {"Zm9vYmE=", "fooba"},
                                             {"Zm9vYmFy", "foobar"}};
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        for (size_t piece = 1; piece < 5; piece++) {
            struct base64 b = {0};
            const char *text = vectors[i][0];
            for (size_t n; (n = strnlen(text, piece)) > 0; text += n) {
                test_must(base64_add(&b, text, n, &err), &err);
            }
            test_must(base64_finish(&b, &err), &err);
            assert_int_equal(b.n, strlen(vectors[i][1]));
            assert_memory_equal(b.bytes != NULL ? (const char *)b.bytes : "", vectors[i][1], b.n);
            base64_release(&b);
        }
    }
    struct base64 b = {0};
    assert_int_equal(base64_add(&b, "Zm9*", 4, &err), -1);
    base64_clear(&b);
    test_must(base64_add(&b, "Zm9vY", 5, &err), &err);
    assert_int_equal(base64_finish(&b, &err), -1);
    base64_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_skip),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_integers_across_windows),
        cmocka_unit_test(test_integers_refused),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
