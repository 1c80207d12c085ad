/* base/text.h: the growing string, JSON, numbers that read back, numbers for people. */
#include "base/text.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"

static void test_growth(void **state)
{
    (void)state;
    struct text t;
    text_init(&t);
    assert_string_equal(t.data, "");
    text_add(&t, "");
    text_add(&t, "ab");
    text_add_bytes(&t, "cd", 1);
    text_printf(&t, "%d-%s", 42, "x");
    assert_string_equal(t.data, "abc42-x");
    assert_int_equal(t.length, 7);
    /* Past every doubling, by single bytes and by one leap. */
    text_clear(&t);
    assert_string_equal(t.data, "");
    for (int i = 0; i < 1000; i++)
        text_add(&t, "z");
    text_printf(&t, "%5000d", 1);
    assert_int_equal(t.length, 6000);
    assert_int_equal(strlen(t.data), 6000);
    assert_int_equal(strspn(t.data, "z"), 1000);
    assert_false(t.failed);
    text_release(&t);
    assert_string_equal(t.data, "");
}

static void test_bytes_may_hold_nul(void **state)
{
    (void)state;
    struct text t;
    text_init(&t);
    text_add_bytes(&t, "a\0b", 3);
    assert_int_equal(t.length, 3);
    assert_memory_equal(t.data, "a\0b", 4);
    text_release(&t);
}

static void test_failure_keeps_the_text(void **state)
{
    (void)state;
    struct text t;
    text_init(&t);
    text_add(&t, "kept");
    text_add_bytes(&t, "x", SIZE_MAX / 2 + 2); /* no such size: refused before the bytes are touched */
    assert_true(t.failed);
    assert_string_equal(t.data, "kept");
    text_add(&t, "not added any more");
    assert_string_equal(t.data, "kept");
    text_clear(&t);
    assert_true(t.failed); /* checked once, at the end: a clear does not hide it */
    assert_null(text_detach(&t));
    assert_false(t.failed);
}

static void test_detach(void **state)
{
    (void)state;
    struct text t;
    text_init(&t);
    char *nothing = text_detach(&t);
    assert_string_equal(nothing, "");
    free(nothing);
    text_add(&t, "mine");
    char *mine = text_detach(&t);
    assert_string_equal(mine, "mine");
    assert_string_equal(t.data, "");
    free(mine);
}

static void check_json(const char *s, const char *expected)
{
    struct text t;
    text_init(&t);
    text_add_json(&t, s);
    assert_string_equal(t.data, expected);
    text_release(&t);
}

static void test_json(void **state)
{
    (void)state;
    check_json("", "\"\"");
    check_json("a/b 'c'", "\"a/b 'c'\"");
    check_json("\"\\", "\"\\\"\\\\\"");
    check_json("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
    check_json("\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"");
    /* One, two, three and four bytes go through as they are. */
    check_json("A\xc3\xa9\xe2\x96\x81\xf0\x9f\x98\x80", "\"A\xc3\xa9\xe2\x96\x81\xf0\x9f\x98\x80\"");
}

/* Not UTF-8: each stray byte becomes U+FFFD (ef bf bd). */
/* What would move a terminal's cursor, or worse, is shown; letters beyond ASCII are not touched. */
static void test_visible(void **state)
{
    struct text t;
    (void)state;
    text_init(&t);
    text_add_visible(&t, "a\x1b[2J\n\t\x7f \xc3\xa9\xc2\x9b\xc2\xa0\xc2", "");
    assert_string_equal(t.data, "a\\x1b[2J\\n\\t\\x7f \xc3\xa9\\x9b\xc2\xa0\xc2");
    text_clear(&t);
    text_add_visible(&t, "a\nb\rc", "\n");
    assert_string_equal(t.data, "a\nb\\rc");
    text_release(&t);
}

static void test_json_of_broken_utf8(void **state)
{
    (void)state;
#define FFFD "\xef\xbf\xbd"
    check_json("\x80", "\"" FFFD "\"");
    check_json("\xff!", "\"" FFFD "!\"");
    check_json("\xc3", "\"" FFFD "\"");                            /* ends too early */
    check_json("\xe2\x96", "\"" FFFD FFFD "\"");                   /* likewise */
    check_json("\xc0\xaf", "\"" FFFD FFFD "\"");                   /* '/' in two bytes: overlong */
    check_json("\xe0\x80\xaf", "\"" FFFD FFFD FFFD "\"");          /* in three */
    check_json("\xed\xa0\x80", "\"" FFFD FFFD FFFD "\"");          /* half of a surrogate pair */
    check_json("\xf4\x90\x80\x80", "\"" FFFD FFFD FFFD FFFD "\""); /* U+110000 */
    check_json("\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"");        /* U+10FFFF is the last */
#undef FFFD
}

static void check_number(double value, const char *expected)
{
    struct text t;
    text_init(&t);
    text_add_number(&t, value);
    assert_string_equal(t.data, expected);
    text_release(&t);
}

static void test_number_is_short(void **state)
{
    (void)state;
    check_number(0, "0");
    check_number(-0.0, "-0");
    check_number(1, "1");
    check_number(0.1, "0.1");
    check_number(-2.5e-7, "-2.5e-07");
    check_number(100000, "100000");
    check_number(1e22, "1e+22");
    check_number(0.1 + 0.2, "0.30000000000000004"); /* the double after 0.3 */
    check_number(5e-324, "5e-324");                 /* the least subnormal */
    check_number(DBL_MAX, "1.7976931348623157e+308");
    check_number(9007199254740993.0, "9007199254740992"); /* 2^53 + 1 is no double */
    check_number(NAN, "null");
    check_number(INFINITY, "null");
    check_number(-INFINITY, "null");
}

static void test_number_reads_back(void **state)
{
    (void)state;
    struct random r;
    struct text t;
    text_init(&t);
    random_seed(&r, 1, 0);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = random_bits(&r);
        double x;
        memcpy(&x, &bits, sizeof x); /* every exponent, subnormals too */
        if (!isfinite(x))
            continue;
        text_clear(&t);
        text_add_number(&t, x);
        double back = strtod(t.data, NULL);
        assert_memory_equal(&back, &x, sizeof x);
    }
    text_release(&t);
}

static void test_count(void **state)
{
    (void)state;
    char b[32];
    assert_string_equal(text_count(b, 0), "0");
    assert_string_equal(text_count(b, 7), "7");
    assert_string_equal(text_count(b, 999), "999");
    assert_string_equal(text_count(b, 1000), "1.00 k");
    assert_string_equal(text_count(b, 18400), "18.4 k");
    assert_string_equal(text_count(b, 999600), "1.00 M"); /* never "1000 k" */
    assert_string_equal(text_count(b, 1234567), "1.23 M");
    assert_string_equal(text_count(b, -2.5e9), "-2.50 G");
    assert_string_equal(text_count(b, 0.5), "0.50");
    assert_string_equal(text_count(b, 1e300), "1e+282 E");
    assert_string_equal(text_count(b, INFINITY), "inf E");
}

static void test_bytes(void **state)
{
    (void)state;
    char b[32];
    assert_string_equal(text_bytes(b, 0), "0 B");
    assert_string_equal(text_bytes(b, 512), "512 B");
    assert_string_equal(text_bytes(b, 1234567), "1.2 MB");
    assert_string_equal(text_bytes(b, 32768), "32.8 kB");
    assert_string_equal(text_bytes(b, 123456789), "123 MB");
    assert_string_equal(text_bytes(b, 2e12), "2.0 TB");
}

static void test_duration(void **state)
{
    (void)state;
    char b[32];
    assert_string_equal(text_duration(b, 0.25), "0.2 s"); /* half to even, as printf rounds */
    assert_string_equal(text_duration(b, 9.9), "9.9 s");
    assert_string_equal(text_duration(b, 9.97), "10 s");
    assert_string_equal(text_duration(b, 59.6), "1 min 00 s"); /* never "60 s" */
    assert_string_equal(text_duration(b, 245), "4 min 05 s");
    assert_string_equal(text_duration(b, 3600 + 62), "1 h 01 min");
    assert_string_equal(text_duration(b, 86400 + 6 * 3600), "1 d 06 h");
    assert_string_equal(text_duration(b, NAN), "?");
    assert_string_equal(text_duration(b, -1), "?");
    assert_string_equal(text_duration(b, INFINITY), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_bytes_may_hold_nul),
        cmocka_unit_test(test_failure_keeps_the_text),
        cmocka_unit_test(test_detach),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_visible),
        cmocka_unit_test(test_json_of_broken_utf8),
        cmocka_unit_test(test_number_is_short),
        cmocka_unit_test(test_number_reads_back),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_duration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
