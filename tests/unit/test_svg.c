/* gnuplot's SVG on its way into a page: what is dropped, what is renamed, what becomes a variable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/shared/svg.h"

/* As gnuplot 5.4 writes it, cut down. */
static const char drawing[] =
    "<?xml version=\"1.0\" encoding=\"utf-8\"  standalone=\"no\"?>\n"
    "<svg \n width=\"200\" height=\"100\"\n viewBox=\"0 0 200 100\"\n "
    "xmlns=\"http://www.w3.org/2000/svg\"\n>\n"
    "<title>Gnuplot</title>\n<desc>Produced by GNUPLOT 5.4 patchlevel 4 </desc>\n"
    "<g id=\"gnuplot_canvas\">\n<rect x=\"0\" y=\"0\" width=\"200\" height=\"100\" fill=\"none\"/>\n"
    "<defs>\n\t<circle id='gpDot' r='0.5'/>\n"
    "\t<path id='gpPt0' stroke-width='0.222' stroke='currentColor' d='M-1,0 h2 M0,-1 v2'/>\n"
    "\t<circle id='gpPt5' stroke-width='0.222' stroke='currentColor' cx='0' cy='0' r='1'/>\n"
    "\t<use xlink:href='#gpPt5' id='gpPt6' fill='currentColor' stroke='none'/>\n"
    "\t<filter id='textbox' x='0'>\n\t  <feFlood flood-color='white'/>\n\t</filter>\n</defs>\n"
    "<g fill=\"none\" color=\"white\" stroke=\"currentColor\" stroke-width=\"1.00\">\n</g>\n"
    "<g fill=\"none\" color=\"black\" stroke=\"currentColor\" stroke-width=\"2.00\" "
    "stroke-linecap=\"butt\">\n"
    "\t<path stroke='rgb(  0, 114, 178)'  d='M11.26,2.55 L130.04,4\n\t\tL5,6  '/>"
    "\t<path stroke='black'  d='M7,7  '/>\t<use xlink:href='#gpPt0' transform='translate(3,4) scale(0.09)' "
    "color='white'/>\n"
    "\t<use xlink:href='#gpPt6' transform='translate(3,4) scale(4.50)' color='rgb(  0, 114, 178)'/>\n"
    "\t<g transform=\"translate(9,9)\" stroke=\"none\" fill=\"black\" font-family=\"sans-serif\" "
    "font-size=\"12.00\"  text-anchor=\"end\">\n\t\t<text> a &amp; b</text>\n\t</g>\n</g>\n"
    "<g stroke='none' shape-rendering='crispEdges'>\n"
    "\t<polygon fill = 'rgb(247, 247, 245)' points = '10.00,20.00 14.01,20.00 14.01,10.00 10.00,10.00 '/>\n"
    "\t<polygon fill = 'rgb(247, 247, 245)' points = '14.00,20.00 18.01,20.00 18.01,10.00 14.00,10.00 '/>\n"
    "\t<polygon fill = 'rgb(247, 247, 245)' points = '50.00,20.00 54.01,20.00 54.01,10.00 50.00,10.00 '/>\n"
    "\t<polygon fill = 'rgb(213,  94,   0)' fill-opacity = '0.25' points = '1,1 2,2 3,1 '/>\n"
    "</g>\n</g>\n</svg>\n";

static struct text embedded(const char *svg, struct colours *colours)
{
    struct text page;
    struct error err = {0};
    text_init(&page);
    if (svg_embed(&page, svg, "f3-", "Loss < 4", "a \"b\"", colours, &err) != 0)
        fail_msg("%s", err.text);
    return page;
}

static void holds(const struct text *page, const char *part)
{
    if (!strstr(page->data, part))
        fail_msg("no '%s' in:\n%s", part, page->data);
}

static void holds_not(const struct text *page, const char *part)
{
    if (strstr(page->data, part))
        fail_msg("there is '%s' in:\n%s", part, page->data);
}

static void test_embedding(void **state)
{
    struct colours colours = {0};
    struct text page = embedded(drawing, &colours);
    (void)state;
    assert_ptr_equal(strstr(page.data, "<svg viewBox=\"0 0 200 100\" role=\"img\""), page.data);
    holds(&page, "aria-labelledby=\"f3-title f3-desc\"");
    holds(&page, "<title id=\"f3-title\">Loss &lt; 4</title><desc id=\"f3-desc\">a &quot;b&quot;</desc>");
    /* Colours are variables in the order of first use: the line's, the cells', the band's. */
    holds(&page, "<path stroke=\"var(--c0)\" d=\"M11.3,2.55 130,4 5,6\"/>");
    holds(&page, "<use href=\"#f3-gpPt6\" transform=\"translate(3,4) scale(4.50)\" color=\"var(--c0)\"/>");
    holds(&page, "fill-opacity=\"0.25\" points=\"1,1 2,2 3,1\"");
    assert_int_equal(colours.n, 3);
    assert_int_equal(colours.rgb[0], 0x0072b2);
    assert_int_equal(colours.rgb[1], 0xf7f7f5);
    /* Text takes the page's type and ink. */
    holds(&page, "fill=\"currentColor\" font-size=\"12\" text-anchor=\"end\"><text>a &amp; b</text></g>");
    /* The shapes in use, the one they are made of, and no other. */
    holds(&page, "<use id=\"f3-gpPt6\" href=\"#f3-gpPt5\"");
    holds(&page, "<circle id=\"f3-gpPt5\"");
    holds_not(&page, "gpPt0");
    static const char *const dropped[] = {"<?xml",      "xmlns",           "Gnuplot", "GNUPLOT",
                                          "sans-serif", "filter",          "gpDot",   "gnuplot_canvas",
                                          "<rect",      "color=\"white\"", "butt"};
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++)
        holds_not(&page, dropped[i]);
    text_release(&page);
    colours_release(&colours);
}

/* Two cells that touch are one rectangle from 10 to 18; the third, of the same colour, joins their path. */
static void test_rectangles_become_one_path(void **state)
{
    struct colours colours = {0};
    struct text page = embedded(drawing, &colours);
    (void)state;
    holds(&page, "fill=\"var(--c1)\" d=\"M10 10h8v10h-8zM50 10h4v10h-4z\"/>");
    text_release(&page);
    colours_release(&colours);
}

static void test_what_is_no_drawing(void **state)
{
    static const char *const wrong[] = {"", "<html></html>", "<svg viewBox=\"0 0 1 1\">",
                                        "<svg><path d='1</svg>"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct colours colours = {0};
        struct text page;
        struct error err = {0};
        text_init(&page);
        assert_int_equal(svg_embed(&page, wrong[i], "x", "t", "d", &colours, &err), -1);
        assert_int_equal(err.status, STATUS_INPUT);
        text_release(&page);
        colours_release(&colours);
    }
}

/* A group more or less than was closed must not pass for a drawing, nor write beyond the stack. */
static void test_unbalanced_groups(void **state)
{
    static const char *const wrong[] = {
        "<svg></g></svg>", "<svg><g></svg>",
        "<svg><g><g><g><g><g><g><g><g><g><g><g><g><g><g><g><g><g><g><g><g></svg>"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct colours colours = {0};
        struct text page;
        struct error err = {0};
        text_init(&page);
        assert_int_equal(svg_embed(&page, wrong[i], "x", "t", "d", &colours, &err), -1);
        text_release(&page);
        colours_release(&colours);
    }
}

static int brightness(unsigned rgb) /* crude: the sum of its parts */
{
    return (int)((rgb >> 16 & 255) + (rgb >> 8 & 255) + (rgb & 255));
}

/* What was near white paper must be near black paper, and the other way round; series stay bright. */
static void test_colours_in_the_dark(void **state)
{
    (void)state;
    assert_true(brightness(colour_in_the_dark(0xf7f7f5)) < 3 * 60);
    assert_true(brightness(colour_in_the_dark(0x000000)) > 3 * 220);
    assert_true(brightness(colour_in_the_dark(0x053a6e)) > brightness(0x053a6e) + 150);
    assert_int_equal(colour_in_the_dark(0x0072b2), 0x4aa8e8); /* of the table */
    /* A grey stays a grey: red, green and blue within a step of rounding. */
    unsigned grey = colour_in_the_dark(0x8c8c8c);
    assert_in_range((grey >> 16 & 255) + 2 - (grey & 255), 0, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embedding),           cmocka_unit_test(test_rectangles_become_one_path),
        cmocka_unit_test(test_what_is_no_drawing),  cmocka_unit_test(test_unbalanced_groups),
        cmocka_unit_test(test_colours_in_the_dark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
