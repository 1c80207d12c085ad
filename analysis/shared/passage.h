/* A document's text as a run routed it, every token with its experts in every layer, and that text coloured
 * by expert: for the terminal and as HTML. Mixtral's figure 8 (Jiang et al. 2024), for all layers. */
#ifndef ANALYSIS_SHARED_PASSAGE_H
#define ANALYSIS_SHARED_PASSAGE_H
#include "analysis/shared/documents.h"
#include "analysis/shared/program.h"

struct passage_layer {
    int layer, n_experts;
    int32_t *offset; /* (n_tokens + 1) */
    int32_t *expert; /* (offset[n_tokens]) in slot order */
    float *gate;     /* likewise; NaN: not kept */
    int n_tokens, capacity;
};

struct passage {
    char *document, *split;
    int64_t step;
    int n_tokens, n_layers;
    int32_t *id;       /* (n_tokens) */
    int64_t *position; /* (n_tokens) in the document; a jump where part of it was not routed */
    struct passage_layer *layers;
    struct vocabulary vocabulary;
};

/* document: its name or its number, NULL: the first of the probe. step: negative for the last at which it was
 * routed. Looked for in the probe first, then in what `route` was given, then anywhere. STATUS_INPUT when the
 * run never logged its routing. */
int passage_read(struct passage *p, struct logbook *lb, int64_t run_id, const char *run,
                 const struct moe_layer *layers, int n_layers, const char *document, int64_t step,
                 struct error *err);
void passage_release(struct passage *p); /* safe on zeroed */

/* First choice of a token, -1: it has none. */
int passage_first(const struct passage_layer *l, int token);

/* Rows: layer, position, token, expert, gate, others. */
void passage_rows(const struct passage *p, struct table *t);
/* The text once for each layer. The number of the expert stands before the first of its tokens, so that
 * colours are not all there is to go by. lines: of a layer, 0: all. */
int passage_show(const struct passage *p, bool colours, int64_t lines, FILE *out, struct error *err);
/* The same as HTML, inside a page that has passage.css. */
void passage_add_html(const struct passage *p, struct text *page);
/* The style of such pages: passage.css, and rules that tell so many experts apart. */
void passage_add_style(int n_experts, struct text *page);
/* A page by itself. */
int passage_page(const struct passage *p, const char *run, FILE *out, struct error *err);

/* ---- shared by those ---- */

/* Hue of an expert's colour in degrees: neighbours in number are far apart in hue. */
double passage_hue(int expert);
/* Whether it has the deeper of two shades: eight experts on, hues come close to each other again. */
bool passage_is_deep(int expert);
/* A token as it is shown; a line's end as a sign, bytes that are no text by themselves as <E3>. *breaks: a
 * new line begins behind it. */
void passage_add_token(struct text *t, const struct passage *p, int token, bool *breaks);

#endif
