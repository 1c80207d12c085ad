/* A passage in the terminal: the experts' tokens on backgrounds of their own, line by line. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/passage.h"

enum { LINE_WIDTH = 100 };

/* ---- colours ---- */

/* One channel of a colour of this hue, 0 to 1: CSS Color 4, section 7, hslToRgb. */
static double channel(double hue, double saturation, double lightness, double n)
{
    double k = fmod(n + hue / 30, 12), a = saturation * fmin(lightness, 1 - lightness);
    return lightness - a * fmax(-1, fmin(fmin(k - 3, 9 - k), 1));
}

/* The nearest of the 216 colours that terminals share. Two shades by turns: hues alone would fall together.
 */
static int terminal_colour(int expert)
{
    double hue = passage_hue(expert), lightness = passage_is_deep(expert) ? 0.62 : 0.8;
    int r = (int)lround(5 * channel(hue, 1, lightness, 0)),
        g = (int)lround(5 * channel(hue, 1, lightness, 8)),
        b = (int)lround(5 * channel(hue, 1, lightness, 4));
    return 16 + 36 * r + 6 * g + b;
}

/* ---- width ---- */

/* Columns that UTF-8 text takes: none for combining marks, two for what East Asian scripts and emoji do. */
static int columns_of(const char *s)
{
    int columns = 0;
    while (*s) {
        unsigned char c = (unsigned char)*s++;
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
        unsigned point = more == 3 ? c & 7u : more == 2 ? c & 15u : more == 1 ? c & 31u : c;
        for (; more > 0 && ((unsigned char)*s & 0xc0u) == 0x80u; more--)
            point = point << 6 | ((unsigned char)*s++ & 0x3fu);
        if (point >= 0x300 && point < 0x370)
            continue;
        bool wide = (point >= 0x1100 && point < 0x1160) || (point >= 0x2e80 && point < 0xa4d0) ||
                    (point >= 0xac00 && point < 0xd7a4) || (point >= 0xf900 && point < 0xfb00) ||
                    (point >= 0xfe30 && point < 0xfe70) || (point >= 0xff00 && point < 0xff61) ||
                    (point >= 0x1f300 && point < 0x1fb00) || (point >= 0x20000 && point < 0x40000);
        columns += wide ? 2 : 1;
    }
    return columns;
}

/* ---- lines ---- */

struct lines {
    FILE *out;
    bool colours;
    int64_t left; /* that may still begin; negative: any number */
    int column;
};

static void add_subscript(struct text *t, int number)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%d", number);
    for (const char *s = digits; *s; s++)
        text_printf(t, "\xe2\x82%c", 0x80 + (*s - '0')); /* U+2080 and on */
}

static void end_line(struct lines *l)
{
    if (l->column > 0)
        fputc('\n', l->out);
    l->column = 0;
    l->left--;
}

/* The token with, where its expert is not the last one's, the expert's number before it. */
static void show_token(struct lines *l, const struct passage *p, const struct passage_layer *layer, int token,
                       struct text *word, struct text *shown)
{
    int expert = passage_first(layer, token), before = token > 0 ? passage_first(layer, token - 1) : -1;
    bool breaks;
    text_clear(word);
    text_clear(shown);
    passage_add_token(word, p, token, &breaks);
    if (expert >= 0 && (token == 0 || expert != before || l->column == 0))
        add_subscript(shown, expert);
    text_add_visible(shown, word->data ? word->data : "", "");
    int columns = columns_of(shown->data ? shown->data : "");
    if (l->column > 0 && l->column + columns > LINE_WIDTH) {
        end_line(l);
        if (l->left == 0)
            return;
    }
    if (l->colours && expert >= 0)
        fprintf(l->out, "\033[38;5;16;48;5;%dm%s\033[0m", terminal_colour(expert), shown->data);
    else
        fputs(shown->data ? shown->data : "", l->out);
    l->column += columns;
    if (breaks)
        end_line(l);
}

static int show_layer(const struct passage *p, const struct passage_layer *layer, bool colours, int64_t lines,
                      FILE *out, struct error *err)
{
    struct lines l = {.out = out, .colours = colours, .left = lines > 0 ? lines : -1};
    struct text word, shown;
    text_init(&word);
    text_init(&shown);
    fprintf(out, "layer %d\n", layer->layer);
    int token = 0;
    for (; token < p->n_tokens && l.left != 0; token++)
        show_token(&l, p, layer, token, &word, &shown);
    if (l.column > 0)
        fputc('\n', out);
    bool failed = word.failed || shown.failed;
    text_release(&word);
    text_release(&shown);
    return failed ? error_no_memory(err, "the text") : 0;
}

int passage_show(const struct passage *p, bool colours, int64_t lines, FILE *out, struct error *err)
{
    struct text name;
    text_init(&name);
    text_add_visible(&name, p->document, "");
    fprintf(out, "%s, %s at step %" PRId64 ", %d tokens; each expert's number stands before its tokens\n",
            name.data ? name.data : "", p->split, p->step, p->n_tokens);
    text_release(&name);
    for (int i = 0; i < p->n_layers; i++) {
        fputc('\n', out);
        if (show_layer(p, &p->layers[i], colours, lines, out, err) != 0)
            return -1;
    }
    return 0;
}
