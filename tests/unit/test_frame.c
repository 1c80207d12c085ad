/* base/frame.h: what fits, what is cut, what colours add. */
#include "base/frame.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_lines_are_cut(void **state)
{
    struct frame f;
    (void)state;
    frame_init(&f, 10, 0, false);
    frame_add(&f, STYLE_STRONG, "%s", "0123456789");
    frame_end_line(&f);
    frame_add(&f, STYLE_PLAIN, "0123456789a");
    frame_add(&f, STYLE_PLAIN, "b");
    frame_end_line(&f);
    frame_add(&f, STYLE_PLAIN, "1234567");
    frame_add(&f, STYLE_PLAIN, "89abc");
    frame_end_line(&f);
    frame_add(&f, STYLE_PLAIN, "ÄÖÜ éèê ━━━━");
    frame_end_line(&f);
    frame_add(&f, STYLE_PLAIN, "a");
    frame_to(&f, 4);
    frame_add(&f, STYLE_PLAIN, "b");
    frame_to(&f, 3);
    frame_to(&f, 99);
    frame_end_line(&f);
    assert_string_equal(f.text.data, "0123456789\n012345678…\n123456789…\nÄÖÜ éèê ━…\na   b     \n");
    assert_int_equal(f.rows, 5);
    frame_release(&f);
}

static void test_heights_are_kept(void **state)
{
    struct frame f;
    (void)state;
    frame_init(&f, 10, 2, false);
    for (int i = 0; i < 4; i++) {
        frame_to(&f, 1);
        frame_add(&f, STYLE_PLAIN, "%d", i);
        frame_end_line(&f);
    }
    assert_string_equal(f.text.data, " 0\n 1\n");
    frame_release(&f);
}

static void test_orders_to_the_terminal_are_shown(void **state)
{
    struct frame f;
    (void)state;
    frame_init(&f, 20, 0, false);
    frame_add(&f, STYLE_PLAIN, "a\033[2Jb\nc");
    assert_string_equal(f.text.data, "a\\x1b[2Jb\\nc");
    frame_release(&f);
}

static void test_styles_take_no_columns(void **state)
{
    struct frame f;
    (void)state;
    frame_init(&f, 5, 0, true);
    frame_add(&f, STYLE_STRONG, "ab");
    frame_add(&f, STYLE_PLAIN, "c");
    frame_add(&f, STYLE_QUIET, "defg");
    frame_add(&f, STYLE_QUIET, "%s", "");
    assert_string_equal(f.text.data, "\033[1mab\033[0mc\033[2md…\033[0m");
    frame_release(&f);
}

/* From 0 to 8 in one row: an eighth for the lowest, so 1 + 7 v / 8; in two rows 1 + 15 v / 8. */
static void test_charts(void **state)
{
    const double values[] = {0, 4, NAN, 8};
    struct frame f;
    (void)state;
    frame_init(&f, 8, 0, false);
    frame_chart(&f, STYLE_PLAIN, values, 4, 0, 8, 0, 1);
    frame_end_line(&f);
    for (int row = 0; row < 2; row++) {
        frame_chart(&f, STYLE_PLAIN, values, 4, 0, 8, row, 2);
        frame_end_line(&f);
    }
    frame_chart(&f, STYLE_PLAIN, values, 4, 4, 4, 0, 1); /* nothing between low and high */
    frame_end_line(&f);
    assert_string_equal(f.text.data, "▁▅ █\n"
                                     " ▁ █\n▁█ █\n"
                                     "▁▁ ▁\n");
    assert_string_equal(frame_bar(-3), " ");
    assert_string_equal(frame_bar(9), "█");
    frame_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_cut),
        cmocka_unit_test(test_heights_are_kept),
        cmocka_unit_test(test_orders_to_the_terminal_are_shown),
        cmocka_unit_test(test_styles_take_no_columns),
        cmocka_unit_test(test_charts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
