#include "analysis/shared/svg.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_add_html(struct text *t, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '<':
            text_add(t, "&lt;");
            break;
        case '>':
            text_add(t, "&gt;");
            break;
        case '&':
            text_add(t, "&amp;");
            break;
        case '"':
            text_add(t, "&quot;");
            break;
        default:
            text_add_bytes(t, s, 1);
        }
}

/* ---- colours ---- */

void colours_release(struct colours *c)
{
    free(c->rgb);
    *c = (struct colours){0};
}

int colours_find(struct colours *c, unsigned rgb)
{
    for (int i = 0; i < c->n; i++)
        if (c->rgb[i] == rgb)
            return i;
    if (c->n == c->capacity) {
        int capacity = c->capacity ? 2 * c->capacity : 64;
        unsigned *more = realloc(c->rgb, (size_t)capacity * sizeof *more);
        if (!more) {
            c->failed = true;
            return 0;
        }
        c->rgb = more;
        c->capacity = capacity;
    }
    c->rgb[c->n] = rgb;
    return c->n++;
}

/* The series' colours of plots/style.gp and their names' on paper of lightness 0.2: hues kept, lightness 0.65
 * to 0.85; and what is muted, which mirrored would be too dark to read. */
static const struct {
    unsigned light, dark;
} series[] = {
    {0x0072b2, 0x4aa8e8}, {0xd55e00, 0xf0803c}, {0x009e73, 0x2cc295}, {0xcc79a7, 0xe094c0},
    {0xe69f00, 0xf2b233}, {0x56b4e9, 0x8fd0f5}, {0x0d0887, 0x9aa4ff}, {0x41049d, 0xab98ff},
    {0x6a00a8, 0xc08cfb}, {0x8f0da4, 0xd384ee}, {0xb12a90, 0xe680d2}, {0xcc4778, 0xf27fae},
    {0xe16462, 0xfb8b88}, {0xf2844b, 0xffa876}, {0xc05100, 0xf0803c}, {0x00845e, 0x2cc295},
    {0xa35c84, 0xe094c0}, {0x9f6800, 0xf2b233}, {0x2d79a3, 0x8fd0f5}, {0xc64374, 0xf27fae},
    {0xbe4f4e, 0xfb8b88}, {0xb25a2a, 0xffa876}, {0x5f5f5f, 0x9aa3ad},
};

static double linear(unsigned byte)
{
    double c = byte / 255.0;
    return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

static unsigned gamma_byte(double c)
{
    c = c <= 0.0031308 ? 12.92 * c : 1.055 * pow(c, 1 / 2.4) - 0.055;
    return (unsigned)(255 * (c < 0 ? 0 : c > 1 ? 1 : c) + 0.5);
}

struct oklab {
    double lightness, a, b;
};

static struct oklab oklab_from(unsigned rgb)
{
    double r = linear(rgb >> 16 & 255), g = linear(rgb >> 8 & 255), b = linear(rgb & 255);
    double l = cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    double m = cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    double s = cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
    return (struct oklab){0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
                          1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
                          0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
}

static unsigned oklab_to(struct oklab c)
{
    double l = pow(c.lightness + 0.3963377774 * c.a + 0.2158037573 * c.b, 3);
    double m = pow(c.lightness - 0.1055613458 * c.a - 0.0638541728 * c.b, 3);
    double s = pow(c.lightness - 0.0894841775 * c.a - 1.2914855480 * c.b, 3);
    unsigned r = gamma_byte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
    unsigned g = gamma_byte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
    unsigned b = gamma_byte(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
    return r << 16 | g << 8 | b;
}

unsigned colour_in_the_dark(unsigned rgb)
{
    for (size_t i = 0; i < sizeof series / sizeof series[0]; i++)
        if (series[i].light == rgb)
            return series[i].dark;
    struct oklab c = oklab_from(rgb);
    c.lightness = 0.95 - 0.72 * c.lightness; /* paper 0.23, ink 0.95 */
    return oklab_to(c);
}

/* "( 0, 114, 178)" */
static long parse_triple(const char *s)
{
    long rgb = 0;
    for (int i = 0; i < 3; i++) {
        char *end;
        s += strspn(s, "(, ");
        long part = strtol(s, &end, 10);
        if (end == s || part < 0 || part > 255)
            return -1;
        rgb = rgb << 8 | part;
        s = end;
    }
    return rgb;
}

/* Reads "rgb( 0, 114, 178)", "#0072b2", "black", "white"; -1 for none, currentColor and the rest. */
static long parse_colour(const char *s)
{
    if (strncmp(s, "rgb", 3) == 0)
        return parse_triple(s + 3);
    if (*s == '#' && strlen(s) == 7)
        return strtol(s + 1, NULL, 16);
    return strcmp(s, "black") == 0 ? 0 : strcmp(s, "white") == 0 ? 0xffffff : -1;
}

/* ---- the document, tag by tag ---- */

enum { TAG_ATTRIBUTES = 16, OPEN_GROUPS = 16, SHAPES = 32, RECTANGLE_COLOURS = 512 };

struct attribute {
    char name[24];
    const char *value; /* not ended by NUL */
    int length;
};

struct tag {
    char name[24];
    bool closing, empty; /* </a>, <a/> */
    struct attribute attributes[TAG_ATTRIBUTES];
    int n;
};

struct embedding {
    struct text *page;
    const char *prefix;
    struct colours *colours;
    const char *at;

    struct { /* <g>s that were met and not closed: their tags wait until something is in them */
        struct text tag;
        bool written;
    } open[OPEN_GROUPS];
    int depth;

    struct { /* point shapes of <defs> */
        char id[24];
        const char *start;
        int length;
        bool used;
    } shapes[SHAPES];
    int n_shapes;

    struct { /* rectangles that wait for their like */
        int colour;
        double box[4]; /* x, y, width, height of the last; not in the path yet */
        struct text path;
    } rectangles[RECTANGLE_COLOURS];
    int n_rectangles;
    bool failed;
};

/* From the '<' that `at` is on to behind its '>'; 0 when it is no tag. */
static int parse_tag(const char **at, struct tag *t)
{
    const char *s = *at + 1;
    *t = (struct tag){.closing = *s == '/'};
    s += t->closing;
    size_t n = strcspn(s, " \t\r\n/>");
    if (n == 0 || n >= sizeof t->name)
        return 0;
    memcpy(t->name, s, n);
    s += n;
    for (;;) {
        s += strspn(s, " \t\r\n");
        if (*s == '\0' || *s == '>' || *s == '/')
            break;
        struct attribute a = {.length = 0};
        n = strcspn(s, " \t\r\n=/>");
        if (n == 0 || n >= sizeof a.name || t->n == TAG_ATTRIBUTES)
            return 0;
        memcpy(a.name, s, n);
        s += n + strspn(s + n, " \t\r\n=");
        const char *end = *s == '\'' || *s == '"' ? strchr(s + 1, *s) : NULL;
        if (!end)
            return 0;
        a.value = s + 1;
        a.length = (int)(end - s - 1);
        t->attributes[t->n++] = a;
        s = end + 1;
    }
    t->empty = *s == '/';
    s += t->empty;
    if (*s != '>')
        return 0;
    *at = s + 1;
    return 1;
}

static const struct attribute *find_attribute(const struct tag *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->attributes[i].name, name) == 0)
            return &t->attributes[i];
    return NULL;
}

static bool has_value(const struct tag *t, const char *name, const char *value)
{
    const struct attribute *a = find_attribute(t, name);
    return a && (size_t)a->length == strlen(value) && strncmp(a->value, value, strlen(value)) == 0;
}

/* ---- attributes ---- */

static void add_colour(struct embedding *e, struct text *t, const struct attribute *a)
{
    char value[32];
    snprintf(value, sizeof value, "%.*s", a->length, a->value);
    long rgb = parse_colour(value);
    if (rgb == 0)
        text_printf(t, " %s=\"currentColor\"", a->name);
    else if (rgb == 0xffffff)
        text_printf(t, " %s=\"var(--paper)\"", a->name);
    else if (rgb > 0)
        text_printf(t, " %s=\"var(--c%d)\"", a->name, colours_find(e->colours, (unsigned)rgb));
    else
        text_printf(t, " %s=\"%s\"", a->name, value);
}

/* A number of ten pixels or more to a tenth of one, which nobody can see; smaller ones (a scale) as they are.
 */
static const char *add_number(struct text *t, const char *s, const char *end)
{
    char number[32];
    size_t n = strspn(s, "0123456789.");
    n = n < (size_t)(end - s) ? n : (size_t)(end - s);
    if (n >= 4 && n < sizeof number && memchr(s, '.', n) && s[1] != '.') {
        memcpy(number, s, n);
        number[n] = '\0';
        text_printf(t, "%.6g", floor(10 * strtod(number, NULL) + 0.5) / 10);
    } else
        text_add_bytes(t, s, n);
    return s + n;
}

/* White space as one blank, none at the ends; a line from point to point needs no letter between them. */
static void add_squeezed(struct text *t, const char *s, int n)
{
    const char *end = s + n;
    bool blank = false, any = false;
    while (s < end) {
        if (isspace((unsigned char)*s)) {
            blank = any;
            s++;
            continue;
        }
        if (blank)
            text_add(t, " ");
        if (blank && *s == 'L')
            s++;
        blank = false;
        any = true;
        if (s < end && isdigit((unsigned char)*s))
            s = add_number(t, s, end);
        else if (s < end)
            text_add_bytes(t, s++, 1);
    }
}

static void use_shape(struct embedding *e, const char *id, int n)
{
    for (int i = 0; i < e->n_shapes; i++)
        if ((int)strlen(e->shapes[i].id) == n && strncmp(e->shapes[i].id, id, (size_t)n) == 0)
            e->shapes[i].used = true;
}

static bool is_colour(const char *name)
{
    return strcmp(name, "fill") == 0 || strcmp(name, "stroke") == 0 || strcmp(name, "color") == 0;
}

/* What the figure's root says already, and what the page decides. */
static bool is_needless(const struct tag *t, const struct attribute *a)
{
    static const struct {
        const char *name, *value;
    } needless[] = {{"fill", "none"},
                    {"stroke", "currentColor"},
                    {"stroke-width", "1.00"},
                    {"stroke-linecap", "butt"},
                    {"stroke-linejoin", "miter"},
                    {"color", "black"},
                    {"stroke", "black"},
                    {"text-anchor", "start"},
                    {"font-weight", "normal"},
                    {"font-family", NULL},
                    {"font-style", "normal"},
                    {"id", NULL},
                    {"color", "currentColor"},
                    {"class", NULL},
                    {"shape-rendering", "default"}};
    /* A polygon's colour stands inside a group that has no stroke. */
    if (strcmp(t->name, "g") != 0 && strcmp(a->name, "fill") == 0)
        return false;
    for (size_t i = 0; i < sizeof needless / sizeof needless[0]; i++)
        if (strcmp(a->name, needless[i].name) == 0 &&
            (!needless[i].value || has_value(t, a->name, needless[i].value)))
            return true;
    return false;
}

static void add_attributes(struct embedding *e, struct text *t, const struct tag *tag)
{
    for (int i = 0; i < tag->n; i++) {
        const struct attribute *a = &tag->attributes[i];
        if (is_needless(tag, a))
            continue;
        if (is_colour(a->name))
            add_colour(e, t, a);
        else if (strcmp(a->name, "xlink:href") == 0 && *a->value == '#') {
            use_shape(e, a->value + 1, a->length - 1);
            text_printf(t, " href=\"#%s%.*s\"", e->prefix, a->length - 1, a->value + 1);
        } else {
            text_printf(t, " %s=\"", a->name);
            add_squeezed(t, a->value, a->length);
            text_add(t, "\"");
        }
    }
}

/* ---- what is drawn ---- */

static void write_rectangle(struct embedding *e, int i)
{
    const double *box = e->rectangles[i].box;
    text_printf(&e->rectangles[i].path, "M%.5g %.5gh%.4gv%.4gh%.4gz", box[0], box[1], box[2], box[3],
                -box[2]);
}

static void flush_rectangles(struct embedding *e)
{
    for (int i = 0; i < e->n_rectangles; i++) {
        write_rectangle(e, i);
        text_printf(e->page, "<path stroke=\"none\" shape-rendering=\"crispEdges\" fill=\"var(--c%d)\" d=\"",
                    e->rectangles[i].colour);
        text_add(e->page, e->rectangles[i].path.data);
        text_add(e->page, "\"/>\n");
        e->failed = e->failed || e->rectangles[i].path.failed;
        text_release(&e->rectangles[i].path);
    }
    e->n_rectangles = 0;
}

/* Something is about to be written: first what waited for it. */
static void begin_content(struct embedding *e)
{
    flush_rectangles(e);
    for (int i = 0; i < e->depth; i++)
        if (!e->open[i].written) {
            text_add(e->page, e->open[i].tag.data);
            e->open[i].written = true;
        }
}

static void open_group(struct embedding *e, const struct tag *t)
{
    if (t->empty)
        return;
    if (e->depth == OPEN_GROUPS) {
        e->failed = true;
        return;
    }
    struct text *tag = &e->open[e->depth].tag;
    text_init(tag);
    add_attributes(e, tag, t);
    if (tag->length > 0) {
        struct text whole;
        text_init(&whole);
        text_printf(&whole, "<g%s>", tag->data);
        text_release(tag);
        *tag = whole;
    }
    e->open[e->depth++].written = false;
}

static void close_group(struct embedding *e)
{
    if (e->depth == 0) {
        e->failed = true;
        return;
    }
    e->depth--;
    struct text *tag = &e->open[e->depth].tag;
    if (e->open[e->depth].written && tag->length > 0) {
        flush_rectangles(e);
        text_add(e->page, "</g>\n");
    }
    e->failed = e->failed || tag->failed;
    text_release(tag);
}

/* Edges, not widths, are rounded: neighbours still meet. */
static double tenths(double x)
{
    return floor(10 * x + 0.5) / 10;
}

/* "x,y x,y x,y x,y" with sides along the axes. */
static bool parse_rectangle(const struct tag *t, double box[4])
{
    const struct attribute *points = find_attribute(t, "points");
    double x[4], y[4];
    if (!points || find_attribute(t, "fill-opacity") || !find_attribute(t, "fill"))
        return false;
    const char *s = points->value, *end = s + points->length;
    for (int i = 0; i < 4; i++) {
        char *next;
        x[i] = strtod(s, &next);
        if (next == s || *next != ',')
            return false;
        s = next + 1;
        y[i] = strtod(s, &next);
        if (next == s)
            return false;
        s = next;
    }
    s += strspn(s, " \t\r\n");
    if (s < end)
        return false;
    bool across = x[0] == x[3] && x[1] == x[2] && y[0] == y[1] && y[2] == y[3];
    bool down = x[0] == x[1] && x[2] == x[3] && y[0] == y[3] && y[1] == y[2];
    if (!across && !down)
        return false;
    box[0] = tenths(fmin(x[0], x[2]));
    box[1] = tenths(fmin(y[0], y[2]));
    box[2] = tenths(fmax(x[0], x[2])) - box[0];
    box[3] = tenths(fmax(y[0], y[2])) - box[1];
    return true;
}

/* Makes two that share a side one. Neighbours overlap by a hair in gnuplot's drawing. */
static bool merge_rectangles(double last[4], const double box[4])
{
    for (int i = 0; i < 2; i++) { /* along x, along y */
        int o = 1 - i;
        bool aligned = last[o] == box[o] && last[o + 2] == box[o + 2];
        double end = last[i] + last[i + 2], other = box[i] + box[i + 2];
        if (aligned && fabs(end - box[i]) < 0.15 && other > end) {
            last[i + 2] = other - last[i];
            return true;
        }
        if (aligned && fabs(other - last[i]) < 0.15 && box[i] < last[i]) {
            last[i] = box[i];
            last[i + 2] = end - box[i];
            return true;
        }
    }
    return false;
}

static void add_rectangle(struct embedding *e, const struct tag *t, const double box[4])
{
    char value[32];
    const struct attribute *fill = find_attribute(t, "fill");
    snprintf(value, sizeof value, "%.*s", fill->length, fill->value);
    long rgb = parse_colour(value);
    int colour = colours_find(e->colours, rgb < 0 ? 0 : (unsigned)rgb), i = 0;
    while (i < e->n_rectangles && e->rectangles[i].colour != colour)
        i++;
    if (i == RECTANGLE_COLOURS) {
        e->failed = true;
        return;
    }
    if (i == e->n_rectangles) {
        e->rectangles[e->n_rectangles++].colour = colour;
        text_init(&e->rectangles[i].path);
    } else if (merge_rectangles(e->rectangles[i].box, box))
        return;
    else
        write_rectangle(e, i);
    memcpy(e->rectangles[i].box, box, 4 * sizeof box[0]);
}

/* A path that only moves; the speck of paper that gnuplot puts under every point. */
static bool draws_nothing(const struct tag *t)
{
    const struct attribute *d = find_attribute(t, "d");
    if (d && strcmp(t->name, "path") == 0)
        return !memchr(d->value, 'L', (size_t)d->length);
    return strcmp(t->name, "use") == 0 && has_value(t, "color", "white");
}

static void add_element(struct embedding *e, const struct tag *t)
{
    double box[4];
    if (strcmp(t->name, "polygon") == 0 && parse_rectangle(t, box)) {
        add_rectangle(e, t, box);
        return;
    }
    if (strcmp(t->name, "rect") == 0 || draws_nothing(t))
        return; /* a rect is the background */
    begin_content(e);
    text_printf(e->page, "<%s", t->name);
    add_attributes(e, e->page, t);
    text_add(e->page, "/>\n");
}

/* <text>...</text>: its own tags (tspan) as they are, but for the type that the page decides. */
static void add_label(struct embedding *e)
{
    const char *end = strstr(e->at, "</text>");
    const char *s = e->at;
    if (!end) {
        e->failed = true;
        return;
    }
    while (s < end && isspace((unsigned char)*s))
        s++;
    if (s < end) {
        begin_content(e);
        text_add(e->page, "<text>");
        text_add_bytes(e->page, s, (size_t)(end - s));
        text_add(e->page, "</text>");
    }
    e->at = end + strlen("</text>");
}

static void read_shapes(struct embedding *e)
{
    const char *end = strstr(e->at, "</defs>");
    struct tag t;
    while (end && e->at < end) {
        e->at += strcspn(e->at, "<");
        const char *start = e->at;
        if (e->at >= end || !parse_tag(&e->at, &t))
            break;
        const struct attribute *id = find_attribute(&t, "id");
        if (!t.empty || !id || id->length >= (int)sizeof e->shapes[0].id || e->n_shapes == SHAPES)
            continue;
        snprintf(e->shapes[e->n_shapes].id, sizeof e->shapes[0].id, "%.*s", id->length, id->value);
        e->shapes[e->n_shapes].start = start;
        e->shapes[e->n_shapes].length = (int)(e->at - start);
        e->n_shapes++;
    }
    e->at = end ? end + strlen("</defs>") : e->at + strlen(e->at);
}

/* The shapes in use, which may be made of one another: the later of the earlier. */
static void add_shapes(struct embedding *e)
{
    struct text defs;
    bool any = false;
    text_init(&defs);
    for (int i = e->n_shapes - 1; i >= 0; i--) {
        if (!e->shapes[i].used)
            continue;
        const char *at = e->shapes[i].start;
        struct tag t;
        struct text one;
        text_init(&one);
        parse_tag(&at, &t);
        text_printf(&one, "<%s id=\"%s%s\"", t.name, e->prefix, e->shapes[i].id);
        for (int j = 0; j < t.n; j++) { /* ids of their own, everything else as it is */
            struct attribute *a = &t.attributes[j];
            if (strcmp(a->name, "xlink:href") == 0 && *a->value == '#') {
                use_shape(e, a->value + 1, a->length - 1);
                text_printf(&one, " href=\"#%s%.*s\"", e->prefix, a->length - 1, a->value + 1);
            } else if (strcmp(a->name, "id") != 0)
                text_printf(&one, " %s=\"%.*s\"", a->name, a->length, a->value);
        }
        text_add(&one, "/>");
        text_add(&defs, one.data);
        e->failed = e->failed || one.failed;
        text_release(&one);
        any = true;
    }
    if (any)
        text_printf(e->page, "<defs>%s</defs>\n", defs.data);
    e->failed = e->failed || defs.failed;
    text_release(&defs);
}

static void skip_behind(struct embedding *e, const char *end)
{
    const char *found = strstr(e->at, end);
    e->at = found ? found + strlen(end) : e->at + strlen(e->at);
}

static void add_root(struct embedding *e, const struct tag *t, const char *title, const char *description)
{
    const struct attribute *box = find_attribute(t, "viewBox");
    text_printf(e->page,
                "<svg viewBox=\"%.*s\" role=\"img\" aria-labelledby=\"%stitle %sdesc\" fill=\"none\" "
                "stroke=\"currentColor\">\n<title id=\"%stitle\">",
                box ? box->length : 0, box ? box->value : "", e->prefix, e->prefix, e->prefix);
    text_add_html(e->page, title);
    text_printf(e->page, "</title><desc id=\"%sdesc\">", e->prefix);
    text_add_html(e->page, description);
    text_add(e->page, "</desc>\n");
}

/* One tag; what belongs to it may be skipped or read as well. */
static void embed_tag(struct embedding *e, const struct tag *t)
{
    if (t->closing) {
        if (strcmp(t->name, "g") == 0)
            close_group(e);
    } else if (strcmp(t->name, "title") == 0)
        skip_behind(e, "</title>");
    else if (strcmp(t->name, "desc") == 0)
        skip_behind(e, "</desc>");
    else if (strcmp(t->name, "defs") == 0)
        read_shapes(e);
    else if (strcmp(t->name, "g") == 0)
        open_group(e, t);
    else if (strcmp(t->name, "text") == 0)
        add_label(e);
    else if (t->empty)
        add_element(e, t);
}

int svg_embed(struct text *page, const char *svg, const char *prefix, const char *title,
              const char *description, struct colours *colours, struct error *err)
{
    struct embedding *e = calloc(1, sizeof *e);
    struct tag t;
    if (!e)
        return error_no_memory(err, "a figure");
    *e = (struct embedding){.page = page, .prefix = prefix, .colours = colours};
    e->at = strstr(svg, "<svg");
    bool understood = e->at && strstr(e->at, "</svg>") && parse_tag(&e->at, &t);
    if (understood) {
        add_root(e, &t, title, description);
        while (*(e->at += strcspn(e->at, "<")) && understood) {
            understood = parse_tag(&e->at, &t);
            if (understood)
                embed_tag(e, &t);
        }
        flush_rectangles(e);
        add_shapes(e);
        text_add(page, "</svg>\n");
    }
    bool failed = e->failed || page->failed || colours->failed || e->depth != 0;
    for (int i = 0; i < e->depth; i++)
        text_release(&e->open[i].tag);
    free(e);
    if (!understood)
        return error_set(err, STATUS_INPUT, "gnuplot drew what does not look like its SVG");
    return failed ? error_set(err, STATUS_MACHINE, "cannot embed a figure: no memory, or too much in it") : 0;
}
