/* Pieces of the report's page. */
#ifndef ANALYSIS_SHARED_HTML_H
#define ANALYSIS_SHARED_HTML_H
#include "analysis/shared/csv.h"
#include "analysis/shared/figure.h"
#include "analysis/shared/svg.h"
#include "base/text.h"

/* A cell's number to four digits, anything else as it is; a null as a dash. */
void html_add_cell(struct text *page, const char *cell);
/* The whole table but for the columns named in `hidden` ("row,column"); the first `most` rows and a word
 * about the rest, which is in `file`. */
void html_add_table(struct text *page, const struct csv *table, const char *hidden, int most,
                    const char *file);
/* A table as `spec` says: one for each group. */
int html_add_pivot(struct text *page, const struct csv *table, const struct figure_table *spec,
                   struct error *err);

struct html_figure {
    int number;
    const char *folder, *link; /* where its files are; how the page reaches it, NULL: it does not */
    const char *query;         /* what its data come from, for the caption; NULL: nothing is said */
    bool files_only;           /* the page has no room for the drawing */
    struct colours *colours;
};
/* The drawn figure, caption, data and names of files. */
int html_add_figure(struct text *page, const struct figure *f, const struct html_figure *how,
                    struct error *err);
/* :root with the colours of all figures, for light and dark. */
void html_add_colours(struct text *page, const struct colours *colours);

#endif
