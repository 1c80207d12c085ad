/* Figures as files, the numbers behind them, and that the page's colours are the scripts' colours. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/shared/figure.h"
#include "analysis/shared/svg.h"
#include "base/file.h"
#include "tests/support.h"

static void test_labels_keep_apart(void **state)
{
    /* 1.0 and 1.1 want to be 1 apart: they move 0.45 each. 5 has room and stays. */
    double y[] = {5, 1.1, NAN, 1.0};
    (void)state;
    spread_labels(y, 4, 1, -10, 10);
    assert_true(y[0] == 5);
    assert_true(fabs(y[1] - 1.55) < 1e-12);
    assert_true(isnan(y[2]));
    assert_true(fabs(y[3] - 0.55) < 1e-12);
}

/* Three at the upper bound: the highest stands there, the others below it; their order stays. */
static void test_labels_stay_within(void **state)
{
    double y[] = {9.9, 10, 9.8};
    (void)state;
    spread_labels(y, 3, 1, 0, 10);
    assert_true(y[1] == 10);
    assert_true(y[0] == 9);
    assert_true(y[2] == 8);
}

static void test_round_numbers(void **state)
{
    (void)state;
    assert_true(fabs(round_up(0.23) - 0.25) < 1e-12);
    assert_true(fabs(round_up(5.1) - 6) < 1e-12);
    assert_true(fabs(round_up(1) - 1) < 1e-12);
    assert_true(fabs(round_up(8.5) - 10) < 1e-12);
    assert_true(round_up(0) == 1);
    assert_true(round_up(NAN) == 1);
    assert_true(fabs(axis_step(333) - 500) < 1e-9);
    assert_true(fabs(axis_step(0.011) - 0.02) < 1e-12);
}

static void test_files(void **state)
{
    static const char *const names[] = {"plain", "it's"};
    const double values[] = {1.5, NAN};
    struct figures figures = {0};
    struct error err = {0};
    char *folder = test_folder();
    (void)state;
    struct figure *f = figures_add(&figures, "cost", "cost", &err);
    assert_non_null(f);
    figure_array_text(f, "run", names, 2);
    figure_array_real(f, "x", values, 2);
    figure_array_int(f, "none", NULL, 0);
    figure_set_text(f, "line", "two\nlines");
    text_add(&f->title, "Cost");
    text_add(&f->data, "run,x\n");
    if (figure_write(f, folder, "log.db", &err) != 0)
        fail_msg("%s", err.text);
    struct test_run r = test_run("cat %s/cost.gp; cat %s/cost.csv", folder, folder);
    assert_non_null(strstr(r.out, "# Cost, drawn by moescope report "));
    assert_non_null(strstr(r.out, " from log.db.\n"));
    assert_non_null(strstr(r.out, "\nname = 'cost'\nwidth = 760\nheight = 380\n"
                                  "array run[2] = ['plain', 'it''s']\narray x[2] = [1.5, NaN]\n"
                                  "array none[1] = [0]\nline = 'two lines'\n"));
    assert_non_null(strstr(r.out, plot_file("cost.gp")));
    assert_non_null(strstr(r.out, "\nrun,x\n"));
    assert_ptr_equal(figures_find(&figures, "cost"), f);
    figures_drop_last(&figures);
    assert_null(figures_find(&figures, "cost"));
    test_run_release(&r);
    figures_release(&figures);
    test_folder_remove(folder);
}

/* Every line colour of style.gp has a counterpart for dark paper, chosen by hand: colour_in_the_dark would
 * mirror the lightness of one that it does not know. */
static void test_colours_of_the_scripts(void **state)
{
    const char *style = plot_file("style.gp");
    int n = 0;
    (void)state;
    assert_non_null(style);
    for (const char *s = style; (s = strstr(s, "\nset linetype ")) != NULL; s++) {
        const char *colour = strchr(s, '#');
        assert_non_null(colour);
        unsigned rgb = (unsigned)strtoul(colour + 1, NULL, 16), dark = colour_in_the_dark(rgb);
        if (rgb == 0)
            continue;
        n++;
        /* By hand: at least one part is as bright as a line on dark paper must be. */
        if ((dark >> 16 & 255) < 0xc0 && (dark >> 8 & 255) < 0xc0 && (dark & 255) < 0xc0)
            fail_msg("#%06x becomes #%06x, which is too dark", rgb, dark);
    }
    assert_int_equal(n, 14); /* seven runs but black, eight layers */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_keep_apart),      cmocka_unit_test(test_labels_stay_within),
        cmocka_unit_test(test_round_numbers),          cmocka_unit_test(test_files),
        cmocka_unit_test(test_colours_of_the_scripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
