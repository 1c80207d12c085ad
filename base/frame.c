#include "base/frame.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void frame_init(struct frame *f, int width, int height, bool colour)
{
    *f = (struct frame){.width = width > 1 ? width : 1, .height = height, .colour = colour};
    text_init(&f->text);
}

void frame_release(struct frame *f)
{
    text_release(&f->text);
}

/* Colours of the 256 that read on light and on dark. */
static const char *const codes[N_STYLES] = {[STYLE_PLAIN] = "",           [STYLE_STRONG] = "1",
                                            [STYLE_QUIET] = "2",          [STYLE_ACCENT] = "36",
                                            [STYLE_ALARM] = "1;38;5;208", [STYLE_FAR_BELOW] = "38;5;25",
                                            [STYLE_BELOW] = "38;5;74",    [STYLE_EVEN] = "38;5;245",
                                            [STYLE_ABOVE] = "38;5;215",   [STYLE_FAR_ABOVE] = "38;5;208"};

static void add_styled(struct frame *f, enum frame_style style, const char *s, size_t n, bool cut)
{
    bool styled = f->colour && *codes[style] && (n > 0 || cut);
    if (styled)
        text_printf(&f->text, "\033[%sm", codes[style]);
    text_add_bytes(&f->text, s, n);
    if (cut)
        text_add(&f->text, "…");
    if (styled)
        text_add(&f->text, "\033[0m");
}

static bool is_full(const struct frame *f)
{
    return f->height > 0 && f->rows >= f->height;
}

static void add(struct frame *f, enum frame_style style, const char *s)
{
    int room = f->width - f->column, columns = text_columns(s);
    if (room <= 0 || is_full(f))
        return;
    bool cut = columns > room;
    add_styled(f, style, s, text_bytes_of_columns(s, cut ? room - 1 : columns), cut);
    f->column += cut ? room : columns;
}

void frame_add(struct frame *f, enum frame_style style, const char *format, ...)
{
    char *s = NULL;
    struct text visible;
    va_list values;
    text_init(&visible);
    va_start(values, format);
    if (vasprintf(&s, format, values) < 0)
        s = NULL;
    va_end(values);
    text_add_visible(&visible, s ? s : "", "");
    f->text.failed |= !s || visible.failed;
    add(f, style, visible.data);
    text_release(&visible);
    free(s);
}

void frame_to(struct frame *f, int column)
{
    column = column < f->width ? column : f->width;
    for (; f->column < column && !is_full(f); f->column++)
        text_add(&f->text, " ");
}

void frame_end_line(struct frame *f)
{
    if (is_full(f))
        return;
    text_add(&f->text, "\n");
    f->column = 0;
    f->rows++;
}

const char *frame_bar(int eighths)
{
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    return bars[eighths < 0 ? 0 : eighths > 8 ? 8 : eighths];
}

void frame_chart(struct frame *f, enum frame_style style, const double *values, int n, double low,
                 double high, int row, int rows)
{
    struct text t;
    text_init(&t);
    for (int i = 0; i < n; i++) {
        /* The lowest value is an eighth, so that it is seen. */
        double height = high > low ? 1 + (values[i] - low) / (high - low) * (8 * rows - 1) : 1;
        text_add(&t, isnan(values[i]) ? " " : frame_bar((int)lround(height) - 8 * (rows - 1 - row)));
    }
    f->text.failed |= t.failed;
    add(f, style, t.data);
    text_release(&t);
}
