/* gnuplot's SVG made fit for a page: no prolog, identifiers that do not meet those of other figures, the
 * page's type, colours as variables so that light and dark both work, a title and a description for those
 * who cannot see it, rectangles of one colour in one path. What is left is a fraction of the bytes. */
#ifndef ANALYSIS_SHARED_SVG_H
#define ANALYSIS_SHARED_SVG_H
#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

/* The colours a page's figures use; each is the CSS variable --c and its number. */
struct colours {
    unsigned *rgb; /* 0xRRGGBB, in order of first use */
    int n, capacity;
    bool failed;
};
void colours_release(struct colours *c);
int colours_find(struct colours *c, unsigned rgb); /* its number; adds it */
/* The colour on dark paper: of a series a lighter one of the same hue; of anything else (palettes, greys) the
 * one whose lightness is mirrored, in Oklab (Ottosson 2020), so that what was near the paper stays near it.
 */
unsigned colour_in_the_dark(unsigned rgb);

/* Appends the figure to `page`. `prefix` goes before every id and must not occur on the page again; title
 * and description are plain text. STATUS_INPUT when it does not look like gnuplot's SVG. */
int svg_embed(struct text *page, const char *svg, const char *prefix, const char *title,
              const char *description, struct colours *colours, struct error *err);

/* Text with <, >, & and quotes as entities. */
void text_add_html(struct text *t, const char *s);

#endif
