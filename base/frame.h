/* Lines of text that fit a width: what does not fit is cut, with an ellipsis in the last column; lines that
 * do not fit a height are left out. Styles take no columns, and are nothing where there are no colours. */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H
#include <stdbool.h>

#include "base/text.h"

enum frame_style {
    STYLE_PLAIN,
    STYLE_STRONG,
    STYLE_QUIET,
    STYLE_ACCENT,
    STYLE_ALARM,
    /* below, at and above what is even: blue and orange, grey between */
    STYLE_FAR_BELOW,
    STYLE_BELOW,
    STYLE_EVEN,
    STYLE_ABOVE,
    STYLE_FAR_ABOVE,
    N_STYLES
};

struct frame {
    struct text text;
    int width, height; /* height 0: any */
    int column, rows;  /* rows: lines that are complete */
    bool colour;
};

void frame_init(struct frame *f, int width, int height, bool colour);
void frame_release(struct frame *f);
/* Control characters are shown as C writes them. */
void frame_add(struct frame *f, enum frame_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Spaces up to a column; none when the line is there already. */
void frame_to(struct frame *f, int column);
void frame_end_line(struct frame *f);

/* One character, eighths of it filled from below: 0 (a space) to 8. */
const char *frame_bar(int eighths);
/* One row of n columns, or several from the top: bars from low to high; NaN leaves its column empty. row: 0
 * is the top of `rows`. */
void frame_chart(struct frame *f, enum frame_style style, const double *values, int n, double low,
                 double high, int row, int rows);

#endif
