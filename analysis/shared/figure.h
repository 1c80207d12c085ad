/* A figure is a script of plots/ with its parameters before it and its data beside it: NAME.gp and NAME.csv,
 * from which plain gnuplot makes NAME.svg. What is said about it goes along: title, caption, table. */
#ifndef ANALYSIS_SHARED_FIGURE_H
#define ANALYSIS_SHARED_FIGURE_H
#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"

/* How the data are shown as a table in the page: one table a group, a row for each value of `row`, a column
 * for each value of `column`, `value` in the cells. With `row` NULL: the data as they are, but for what is
 * only there for drawing (`hidden`, "row,column"). All names of columns. */
struct figure_table {
    const char *group, *row, *column, *value;
    const char *hidden;
};

struct figure {
    char *name;
    const char *script; /* of plots/, without ".gp" */
    struct text title, caption, header, data;
    struct figure_table table;
    bool map; /* a map of cells, each over what is even (1): characters are drawn from its table instead */
    int width, height;
};

struct figures {
    struct figure **items; /* in the order of the page */
    int n;
};

/* A figure at the end of the list; NULL with *err without memory. Name: letters, digits, - _ . */
struct figure *figures_add(struct figures *f, const char *name, const char *script, struct error *err);
struct figure *figures_find(const struct figures *f, const char *name); /* NULL when it is not there */
void figures_drop_last(struct figures *f);                              /* there was nothing to draw */
void figures_release(struct figures *f);

/* Adds a cell of the data as CSV. gnuplot 5.4 reads neither a comma nor a quote within quotes, so that they
 * become ; and ', here and in the parameters. NULL adds nothing. */
void figure_add_cell(struct figure *f, const char *cell);

/* Parameters, as gnuplot reads them. Arrays may not be empty there: `n` 0 makes an array of one that the
 * script must know not to use. */
void figure_set_int(struct figure *f, const char *name, long value);
void figure_set_real(struct figure *f, const char *name, double value);
void figure_set_text(struct figure *f, const char *name, const char *value);
void figure_array_int(struct figure *f, const char *name, const int *values, int n);
void figure_array_real(struct figure *f, const char *name, const double *values, int n);
void figure_array_text(struct figure *f, const char *name, const char *const *values, int n);

/* Writes FOLDER/NAME.gp and FOLDER/NAME.csv. `source` is what the data come from, for a comment. */
int figure_write(const struct figure *f, const char *folder, const char *source, struct error *err);

/* Writes all of them, with the style they share, into FOLDER, which must be there, and has gnuplot draw each
 * in the formats, "svg pdf png" say, as FOLDER/NAME.FORMAT; txt is for a terminal, and has no maps.
 * STATUS_MACHINE without gnuplot: scripts and data are written all the same. */
int figures_draw(const struct figures *f, const char *folder, const char *source, const char *formats,
                 bool quiet, struct error *err);

/* A file of plots/ by its name ("loss.gp"), embedded at build time; NULL when there is none. */
const char *plot_file(const char *name);

/* ---- numbers for drawing ---- */

/* Moves values (labels' places) apart until neighbours are `gap` from each other, as little as possible, and
 * keeps them within [low, high] where there is room. */
void spread_labels(double *y, int n, double gap, double low, double high);
/* A bound for an axis: the next 1, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a power of ten that is at least x. */
double round_up(double x);
/* A distance between tics: 1, 2 or 5 times a power of ten, at least x. */
double axis_step(double x);

#endif
