#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/shared/csv.h"

static void test_cells(void **state)
{
    struct csv c;
    struct error err = {0};
    (void)state;
    assert_int_equal(csv_parse(&c, "run,step,text\na,1,\"x, \"\"y\"\"\nz\"\nb,,\"\"\n,2.5e1,0.5x", "t", &err),
                     0);
    assert_int_equal(c.n_columns, 3);
    assert_int_equal(c.n_rows, 3);
    assert_int_equal(csv_column(&c, "step"), 1);
    assert_int_equal(csv_column(&c, "steps"), -1);
    assert_string_equal(csv_text(&c, 0, "text"), "x, \"y\"\nz");
    assert_string_equal(csv_text(&c, 1, "text"), ""); /* quoted: an empty text, no null */
    assert_null(csv_text(&c, 1, "step"));
    assert_null(csv_text(&c, 0, "nothing"));
    assert_null(csv_text(&c, 2, "run"));
    assert_true(csv_real(&c, 0, "step") == 1);
    assert_true(csv_real(&c, 2, "step") == 25);
    assert_int_equal(csv_int(&c, 2, "step"), 25);
    assert_true(isnan(csv_real(&c, 1, "step")));
    assert_true(isnan(csv_real(&c, 2, "text"))); /* a number and more is no number */
    assert_int_equal(csv_int(&c, 1, "step"), 0);
    csv_release(&c);
    csv_release(&c);
}

static void test_what_is_no_table(void **state)
{
    static const struct {
        const char *text, *complaint;
    } wrong[] = {{"", "'t' is empty: not even a heading"},
                 {"a,b\n1\n", "'t' line 2 has 1 cells where the heading has 2"},
                 {"a\n\"1\"2\n", "'t' line 2 is not CSV: text after a quoted cell"}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct csv c;
        struct error err = {0};
        assert_int_equal(csv_parse(&c, wrong[i].text, "t", &err), -1);
        assert_int_equal(err.status, STATUS_INPUT);
        assert_string_equal(err.text, wrong[i].complaint);
    }
}

/* What csv_add writes, csv_parse reads back. */
static void test_round_trip(void **state)
{
    static const char *const cells[] = {"plain", "a,b", "\"q\"", "two\nlines", "", NULL, " blank "};
    enum { N = sizeof cells / sizeof cells[0] };
    struct text t;
    struct csv c;
    struct error err = {0};
    (void)state;
    text_init(&t);
    text_add(&t, "a,b,c,d,e,f,g,h\n");
    for (int i = 0; i < N; i++) {
        csv_add(&t, cells[i]);
        text_add(&t, ",");
    }
    csv_add_real(&t, NAN);
    text_add(&t, "\n");
    assert_int_equal(csv_parse(&c, t.data, "t", &err), 0);
    assert_int_equal(c.n_rows, 1);
    for (int i = 0; i < N; i++)
        if (cells[i])
            assert_string_equal(csv_cell(&c, 0, i), cells[i]);
        else
            assert_null(csv_cell(&c, 0, i));
    assert_null(csv_cell(&c, 0, N));
    csv_release(&c);
    text_release(&t);
}

/* Lines may end as on other systems; a carriage return elsewhere is text, or behind a quoted cell an error.
 */
static void test_line_ends(void **state)
{
    struct csv c;
    struct error err = {0};
    (void)state;
    assert_int_equal(csv_parse(&c, "a,b\r\n1,\"x\"\r\n\"2\",\r\ny\r,z", "t", &err), 0);
    assert_int_equal(c.n_columns, 2);
    assert_int_equal(c.n_rows, 3);
    assert_string_equal(csv_text(&c, 0, "b"), "x");
    assert_string_equal(csv_text(&c, 1, "a"), "2");
    assert_null(csv_text(&c, 1, "b"));
    assert_string_equal(csv_text(&c, 2, "a"), "y\r");
    csv_release(&c);
    assert_int_equal(csv_parse(&c, "a\n\"1\"\rb", "t", &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_what_is_no_table),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
