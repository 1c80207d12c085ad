/* base/table.h: each format to the byte. */
#include "base/table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Everything a cell can be, in two columns of text and numbers. */
static void fill(struct table *t)
{
    table_text(t, "loss");
    table_int(t, 12);
    table_real(t, 4.25);
    table_text(t, "a,b \"c\"\n");
    table_int(t, -9223372036854775807 - 1);
    table_real(t, NAN);
    table_text(t, NULL);
    table_null(t);
    table_real(t, 0.1234567);
}

static void check(enum table_format format, const char *title, void (*give)(struct table *),
                  const char *const *columns, int n, const char *expected)
{
    char *out = NULL;
    size_t length = 0;
    struct error err;
    FILE *f = open_memstream(&out, &length);
    assert_non_null(f);
    struct table *t = table_open(f, format, title, columns, n);
    assert_non_null(t);
    if (give)
        give(t);
    assert_int_equal(table_close(t, &err), 0);
    fclose(f);
    assert_string_equal(out, expected);
    free(out);
}

static const char *const columns[] = {"name", "n", "value"};

static void test_csv(void **state)
{
    (void)state;
    check(TABLE_CSV, "never shown", fill, columns, 3,
          "name,n,value\n"
          "loss,12,4.25\n"
          "\"a,b \"\"c\"\"\n\",-9223372036854775808,\n"
          ",,0.1234567\n");
}

static void test_json(void **state)
{
    (void)state;
    check(TABLE_JSON, "never shown", fill, columns, 3,
          "[\n"
          "  {\"name\": \"loss\", \"n\": 12, \"value\": 4.25},\n"
          "  {\"name\": \"a,b \\\"c\\\"\\n\", \"n\": -9223372036854775808, \"value\": null},\n"
          "  {\"name\": null, \"n\": null, \"value\": 0.1234567}\n"
          "]\n");
}

/* The widths by hand: 9 characters of the second name, 20 of the least integer, "nan" before the point and
 * ".12346" after it. 5 significant digits, numbers right with their points in one line, text left, line ends
 * without spaces. */
static void test_aligned(void **state)
{
    (void)state;
    check(TABLE_TEXT, "Metrics", fill, columns, 3,
          "Metrics\n"
          "\n"
          "name                          n      value\n"
          "---------  --------------------  ---------\n"
          "loss                         12    4.25\n"
          "a,b \"c\"\\n  -9223372036854775808  nan\n"
          "-                             -    0.12346\n");
}

static void give_reals(struct table *t)
{
    static const double values[] = {0, 1, -2.5, 123456, 12345678.9, 1e12, 0.00001234567, INFINITY, -INFINITY};
    for (int i = 0; i < 9; i++)
        table_real(t, values[i]);
}

static void test_reals_for_people(void **state)
{
    (void)state;
    static const char *const one[] = {"x"};
    /* Widest head "12345679" (8), widest tail ".2346e-05" is of 1.2346e-05 (9). */
    check(TABLE_TEXT, NULL, give_reals, one, 1,
          "                x\n"
          "-----------------\n"
          "       0\n"
          "       1\n"
          "      -2.5\n"
          "  123456\n"
          "12345679\n"
          "       1e+12\n"
          "       1.2346e-05\n"
          "     inf\n"
          "    -inf\n");
}

static void give_text_beside_numbers(struct table *t)
{
    table_text(t, "\xc3\xa9t\xc3\xa9"); /* three characters, five bytes */
    table_int(t, 1);
    table_int(t, 12); /* a number among text stands left, as the text does */
    table_int(t, 22);
    table_text(t, "\x01\t");
    table_null(t);
}

static void test_widths_are_characters(void **state)
{
    (void)state;
    static const char *const two[] = {"w", "count"};
    check(TABLE_TEXT, NULL, give_text_beside_numbers, two, 2,
          "w       count\n"
          "------  -----\n"
          "\xc3\xa9t\xc3\xa9         1\n"
          "12         22\n"
          "\\x01\\t      -\n");
}

static void test_no_rows(void **state)
{
    (void)state;
    check(TABLE_CSV, NULL, NULL, columns, 3, "name,n,value\n");
    check(TABLE_JSON, NULL, NULL, columns, 3, "[]\n");
    check(TABLE_TEXT, NULL, NULL, columns, 3, "name  n  value\n----  -  -----\n");
}

static void give_csv_corners(struct table *t)
{
    table_text(t, "");
    table_null(t);
    table_text(t, "a\rb");
    table_text(t, "x y");
}

/* RFC 4180, section 2, rules 5 to 7; an empty text is told from a null. A heading is a field like another. */
static void test_csv_quoting(void **state)
{
    (void)state;
    static const char *const two[] = {"a,b", "c\"d"};
    check(TABLE_CSV, NULL, give_csv_corners, two, 2, "\"a,b\",\"c\"\"d\"\n\"\",\n\"a\rb\",x y\n");
}

static void give_full_precision(struct table *t)
{
    table_real(t, 0.1 + 0.2);
    table_real(t, INFINITY);
}

static void test_full_precision(void **state)
{
    (void)state;
    static const char *const two[] = {"a", "b"};
    check(TABLE_CSV, NULL, give_full_precision, two, 2, "a,b\n0.30000000000000004,\n");
    check(TABLE_JSON, NULL, give_full_precision, two, 2,
          "[\n  {\"a\": 0.30000000000000004, \"b\": null}\n]\n");
}

static void test_short_row(void **state)
{
    (void)state;
    static const enum table_format formats[] = {TABLE_TEXT, TABLE_CSV, TABLE_JSON};
    for (int i = 0; i < 3; i++) {
        char *out = NULL;
        size_t length = 0;
        struct error err;
        FILE *f = open_memstream(&out, &length);
        struct table *t = table_open(f, formats[i], NULL, columns, 3);
        table_int(t, 1);
        assert_int_equal(table_close(t, &err), -1);
        assert_string_equal(err.text, "a table ended within a row: 1 of 3 columns");
        fclose(f);
        free(out);
    }
}

/* What an open without memory hands out may be used like any other table. */
static void test_no_table(void **state)
{
    (void)state;
    struct error err = {0};
    table_text(NULL, "x");
    table_text(NULL, NULL);
    table_int(NULL, 1);
    table_real(NULL, 1);
    table_null(NULL);
    assert_int_equal(table_close(NULL, &err), -1);
    assert_int_equal(err.status, STATUS_MACHINE);
}

static void give_many(struct table *t)
{
    for (int i = 0; i < 1000; i++)
        table_int(t, i);
}

static void test_many_rows(void **state)
{
    (void)state;
    static const char *const one[] = {"i"};
    char expected[8192] = "  i\n---\n";
    for (int i = 0; i < 1000; i++)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%3d\n", i);
    check(TABLE_TEXT, NULL, give_many, one, 1, expected);
}

static void test_format_names(void **state)
{
    (void)state;
    enum table_format format = TABLE_TEXT;
    struct error err;
    assert_int_equal(table_format_parse("csv", &format, &err), 0);
    assert_int_equal(format, TABLE_CSV);
    assert_int_equal(table_format_parse("json", &format, &err), 0);
    assert_int_equal(format, TABLE_JSON);
    assert_int_equal(table_format_parse("table", &format, &err), 0);
    assert_int_equal(format, TABLE_TEXT);
    assert_int_equal(table_format_parse("CSV ", &format, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_string_equal(err.text, "unknown format 'CSV '; use table, csv or json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_reals_for_people),
        cmocka_unit_test(test_widths_are_characters),
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_csv_quoting),
        cmocka_unit_test(test_full_precision),
        cmocka_unit_test(test_short_row),
        cmocka_unit_test(test_no_table),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_format_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
