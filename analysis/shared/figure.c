#include "analysis/shared/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/csv.h"
#include "base/file.h"
#include "base/options.h"
#include "plots/embedded.h"

const char *plot_file(const char *name)
{
    for (int i = 0; i < n_plot_files; i++)
        if (strcmp(plot_files[i].name, name) == 0)
            return plot_files[i].text;
    return NULL;
}

/* ---- the list ---- */

static void figure_free(struct figure *f)
{
    if (!f)
        return;
    free(f->name);
    text_release(&f->title);
    text_release(&f->caption);
    text_release(&f->header);
    text_release(&f->data);
    free(f);
}

struct figure *figures_add(struct figures *f, const char *name, const char *script, struct error *err)
{
    struct figure *figure = calloc(1, sizeof *figure);
    struct figure **items = figure ? realloc(f->items, ((size_t)f->n + 1) * sizeof *items) : NULL;
    if (items)
        f->items = items;
    if (!items || !(figure->name = strdup(name))) {
        free(figure);
        error_no_memory(err, "a figure");
        return NULL;
    }
    figure->script = script;
    figure->width = 760;
    figure->height = 380;
    text_init(&figure->title);
    text_init(&figure->caption);
    text_init(&figure->header);
    text_init(&figure->data);
    f->items[f->n++] = figure;
    return figure;
}

struct figure *figures_find(const struct figures *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->items[i]->name, name) == 0)
            return f->items[i];
    return NULL;
}

void figures_drop_last(struct figures *f)
{
    figure_free(f->items[--f->n]);
}

void figures_release(struct figures *f)
{
    for (int i = 0; i < f->n; i++)
        figure_free(f->items[i]);
    free(f->items);
    *f = (struct figures){0};
}

/* ---- parameters ---- */

static char plain(char c)
{
    if (c == '"')
        return '\'';
    if (c == ',')
        return ';';
    if ((unsigned char)c < ' ')
        return ' ';
    return c;
}

/* In single quotes gnuplot takes everything as it is; a quote is two. A line cannot go on. */
static void add_quoted(struct text *t, const char *s)
{
    text_add(t, "'");
    for (; s && *s; s++) {
        char c = plain(*s);
        if (c == '\'')
            text_add(t, "'");
        text_add_bytes(t, &c, 1);
    }
    text_add(t, "'");
}

void figure_add_cell(struct figure *f, const char *cell)
{
    char *copy = cell ? strdup(cell) : NULL;
    for (char *c = copy; c && *c; c++)
        *c = plain(*c);
    csv_add(&f->data, copy);
    f->data.failed = f->data.failed || (cell && !copy);
    free(copy);
}

static void add_real(struct text *t, double value)
{
    if (isfinite(value))
        text_printf(t, "%.10g", value);
    else
        text_add(t, "NaN");
}

void figure_set_int(struct figure *f, const char *name, long value)
{
    text_printf(&f->header, "%s = %ld\n", name, value);
}

void figure_set_real(struct figure *f, const char *name, double value)
{
    text_printf(&f->header, "%s = ", name);
    add_real(&f->header, value);
    text_add(&f->header, "\n");
}

void figure_set_text(struct figure *f, const char *name, const char *value)
{
    text_printf(&f->header, "%s = ", name);
    add_quoted(&f->header, value);
    text_add(&f->header, "\n");
}

static void begin_array(struct figure *f, const char *name, int n, const char *nothing)
{
    text_printf(&f->header, "array %s[%d] = [%s", name, n > 0 ? n : 1, n > 0 ? "" : nothing);
}

void figure_array_int(struct figure *f, const char *name, const int *values, int n)
{
    begin_array(f, name, n, "0");
    for (int i = 0; i < n; i++)
        text_printf(&f->header, "%s%d", i ? ", " : "", values[i]);
    text_add(&f->header, "]\n");
}

void figure_array_real(struct figure *f, const char *name, const double *values, int n)
{
    begin_array(f, name, n, "0");
    for (int i = 0; i < n; i++) {
        text_add(&f->header, i ? ", " : "");
        add_real(&f->header, values[i]);
    }
    text_add(&f->header, "]\n");
}

void figure_array_text(struct figure *f, const char *name, const char *const *values, int n)
{
    begin_array(f, name, n, "''");
    for (int i = 0; i < n; i++) {
        text_add(&f->header, i ? ", " : "");
        add_quoted(&f->header, values[i]);
    }
    text_add(&f->header, "]\n");
}

/* ---- files ---- */

static int write_file(const char *folder, const char *name, const char *ending, const struct text *content,
                      struct error *err)
{
    struct text path;
    struct output out;
    int result = -1;
    text_init(&path);
    text_printf(&path, "%s/%s%s", folder, name, ending);
    if (path.failed || content->failed)
        error_no_memory(err, "a figure");
    else if (output_open(&out, path.data, err) == 0) {
        fwrite(content->data, 1, content->length, out.stream);
        result = output_commit(&out, err);
        output_discard(&out);
    }
    text_release(&path);
    return result;
}

int figure_write(const struct figure *f, const char *folder, const char *source, struct error *err)
{
    struct text script, file;
    text_init(&script);
    text_init(&file);
    text_printf(&file, "%s.gp", f->script);
    const char *body = plot_file(file.data);
    if (!body)
        body = "";
    text_printf(&script, "# %s, drawn by moescope report %s from %s.\n", f->title.data, MOESCOPE_VERSION,
                source);
    text_printf(&script, "# Needs %s.csv and style.gp beside it; draw it again with: gnuplot %s.gp\n\n",
                f->name, f->name);
    text_printf(&script, "name = '%s'\nwidth = %d\nheight = %d\n%s\n", f->name, f->width, f->height,
                f->header.data);
    text_add(&script, body);
    bool failed = f->title.failed || f->header.failed || file.failed;
    int result = failed ? error_no_memory(err, "a figure") : 0;
    if (result == 0)
        result = write_file(folder, f->name, ".gp", &script, err);
    if (result == 0)
        result = write_file(folder, f->name, ".csv", &f->data, err);
    text_release(&script);
    text_release(&file);
    return result;
}

/* ---- numbers for drawing ---- */

static int compare_reals(const void *a, const void *b)
{
    const double *x = *(const double *const *)a, *y = *(const double *const *)b;
    return (*x > *y) - (*x < *y);
}

/* Least squares with a least distance between neighbours is pooling: groups that would overlap become one
 * that stands around the mean of what its members wanted. */
static void spread_sorted(double **y, int n, double gap, double low, double high)
{
    int *first = calloc((size_t)n + 1, sizeof *first);
    double *start = calloc((size_t)n + 1, sizeof *start); /* of the group's first member */
    int groups = 0;
    for (int i = 0; first && start && i < n; i++) {
        first[groups] = i;
        start[groups] = *y[i];
        groups++;
        while (groups > 1) {
            int size = first[groups - 1] - first[groups - 2];
            if (start[groups - 2] + size * gap <= start[groups - 1])
                break;
            int other = i + 1 - first[groups - 1];
            start[groups - 2] =
                (size * start[groups - 2] + other * (start[groups - 1] - size * gap)) / (size + other);
            groups--;
        }
    }
    for (int g = 0; first && start && g < groups; g++) {
        int end = g + 1 < groups ? first[g + 1] : n;
        for (int i = first[g]; i < end; i++)
            *y[i] = start[g] + (i - first[g]) * gap;
    }
    for (int i = n - 1; i >= 0; i--) {
        double bound = high - (n - 1 - i) * gap;
        *y[i] = fmin(*y[i], bound);
    }
    for (int i = 0; i < n; i++)
        *y[i] = fmax(*y[i], low + i * gap);
    free(first);
    free(start);
}

void spread_labels(double *y, int n, double gap, double low, double high)
{
    double **order = calloc((size_t)n + 1, sizeof *order);
    int known = 0;
    if (!order)
        return; /* labels meet: no harm beyond looks */
    for (int i = 0; i < n; i++)
        if (isfinite(y[i]))
            order[known++] = &y[i];
    qsort(order, (size_t)known, sizeof *order, compare_reals);
    spread_sorted(order, known, gap, low, high);
    free(order);
}

/* The first of mantissa[0 .. n - 1] times a power of ten that is at least x; 1 unless x is positive. */
static double round_to(double x, const double *mantissa, int n)
{
    if (!(x > 0) || !isfinite(x))
        return 1;
    double power = pow(10, floor(log10(x)));
    for (int i = 0; i < n; i++)
        if (mantissa[i] * power >= x * (1 - 1e-9))
            return mantissa[i] * power;
    return 10 * power;
}

double round_up(double x)
{
    static const double mantissa[] = {1, 1.5, 2, 2.5, 3, 4, 5, 6, 8};
    return round_to(x, mantissa, sizeof mantissa / sizeof mantissa[0]);
}

double axis_step(double x)
{
    static const double mantissa[] = {1, 2, 5};
    return round_to(x, mantissa, sizeof mantissa / sizeof mantissa[0]);
}
