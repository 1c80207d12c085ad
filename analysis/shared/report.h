/* The parts of moescope report. It reads little from the logbook itself (the runs, their losses, a text):
 * what it says and draws are tables of the other analyses, which it runs as programs and keeps beside the
 * page.
 *
 *   report_open      the runs
 *   report_collect   runs the analyses; reads their tables
 *   report_draw      figures: parameters and data of plots/'s scripts; gnuplot
 *   report_page      the page, or
 *   report_terminal  characters */
#ifndef ANALYSIS_SHARED_REPORT_H
#define ANALYSIS_SHARED_REPORT_H
#include <stdbool.h>
#include <stdint.h>

#include "analysis/shared/csv.h"
#include "analysis/shared/figure.h"
#include "analysis/shared/program.h"
#include "base/options.h"

struct report_run {
    int64_t run_id, seed, last_step;
    char *name, *file; /* file: the name as part of a file's */
    char *uuid, *router, *status, *started_at, *finished_at, *program;
    char *corpus, *corpus_sha256, *vocabulary, *vocabulary_sha256;
    char *pruned_probe; /* what was dropped of its probe since, in words; NULL: nothing */
    bool baseline;      /* counted, not trained */
    struct moe_layer *layers;
    int n_layers, n_experts, k; /* MoE layers, 0: dense; the most experts; the largest k, 0: varies */
    int type;                   /* its linetype in every figure, from 1 */
};

/* A table of another analysis: of one run, or (run -1) of compare, which takes all. */
struct report_source {
    int run;
    const char *verb, *table;
    char *path;
    struct csv csv; /* no columns where the analysis could not say: */
    char *problem;  /* why, else NULL */
};

struct report {
    const char *db, *output, *folder; /* the logbook, the page, the figures' folder */
    const char *title;                /* NULL: made from the logbook's name */
    bool quiet, terminal;             /* terminal: for report_terminal, and not for a page */
    bool svg_only;                    /* no PDF and PNG of the figures */
    struct logbook *logbook;
    struct report_run *runs; /* as they are shown: trained ones first, then baselines */
    int n_runs, n_trained, n_moe;
    int reference; /* the run that others are compared with */
    bool in_bits;  /* vocabularies differ, so that only bits per byte compare */
    struct report_source *sources;
    int n_sources;
    struct figures figures;
};

int report_open(struct report *r, const struct string_list *names, struct error *err);
void report_close(struct report *r); /* safe on zeroed and closed */
int report_collect(struct report *r, struct error *err);
int report_draw(struct report *r, struct error *err);
int report_page(struct report *r, struct text *page, struct error *err);
/* The same in characters: what was found, then every figure with its caption. */
int report_terminal(const struct report *r, struct text *out, struct error *err);

/* The table, or NULL when there is none or it has no rows. */
const struct csv *report_table(const struct report *r, int run, const char *verb, const char *table);
/* Why a table is not there; NULL when it is, or was not asked for. */
const char *report_problem(const struct report *r, int run, const char *verb, const char *table);
/* Index of a run by its name, -1. */
int report_run_named(const struct report *r, const char *name);
/* The last validation loss as compare gives it, with its interval; NaN where it is not known. */
struct estimate {
    double value, low, high;
};
struct estimate report_final_loss(const struct report *r, int run); /* nats per token */
struct estimate report_final_bits(const struct report *r, int run); /* bits per byte */
/* Whether any run's documents are text, and so have bytes. */
bool report_has_bits(const struct report *r);
/* The one of them in which the runs compare. */
struct estimate report_final(const struct report *r, int run);

/* The figures, in the order of the page; called by report_draw. Each is left out where its data are. */
int report_loss_figures(struct report *r, struct error *err);
int report_load_figures(struct report *r, struct error *err);
int report_specialization_figures(struct report *r, struct error *err);
int report_demand_figures(struct report *r, struct error *err);

/* Two of report_loss_figures: the mean over seeds with its band, perplexity by token frequency. */
int report_seed_curves(struct report *r, struct error *err);
int report_perplexity(struct report *r, struct error *err);

/* ---- shared by those ---- */

/* Names, linetypes and numbers of experts of the MoE runs that have `table` of `verb`. */
struct run_list {
    int index[64], types[64], experts[64];
    const char *names[64];
    int n;
};
enum { REPORT_RUNS = 64 };
void report_runs_with(const struct report *r, const char *verb, const char *table, struct run_list *list);
/* The layers that lines are drawn for: all, or eight over the depth. Returns how many; `layers` holds eight.
 */
enum { SHOWN_LAYERS = 8 };
int report_shown_layers(const struct report *r, const struct run_list *list, int layers[SHOWN_LAYERS]);
/* Appends a run's table to the figure's data: with `run` as first column when name is not NULL, the heading
 * when the data are empty. */
void figure_add_table(struct figure *f, const char *name, const struct csv *table);
/* Appends " N = 300 documents." to the caption: the least and the most of a column; nothing where the table
 * or the column is missing. */
void figure_say_n(struct figure *f, const struct csv *table, const char *column, const char *what);
/* The same over that table of every run of the list. */
void figure_say_n_of_runs(struct figure *f, const struct report *r, const struct run_list *list,
                          const char *verb, const char *table, const char *column, const char *what);
/* Appends what was pruned of the probe of these runs, on which the figure rests. */
void figure_say_pruned(struct figure *f, const struct report *r, const int *runs, int n);
/* Domains in the order of their first row, `but` left out (NULL: none); the texts live in the table. */
enum { MOST_DOMAINS = 256 };
int report_domains(const struct csv *table, const char *but, const char *domains[MOST_DOMAINS]);
int report_domain_row(const char *const *domains, int n, const char *domain);
/* figure_add_table with a last column `row`: the domain's place. */
void figure_add_domain_rows(struct figure *f, const char *name, const struct csv *table,
                            const char *const *domains, int n);
/* Parameter label_y[] (run by run, a layer each): where the names of layers go behind lines that end at the
 * last `value` of a table; at the one before where the last is not drawn. `bound` is the top of the y axis
 * (0: the run's number of experts), `pixels` its height. */
void report_set_layer_labels(const struct report *r, struct figure *f, const struct run_list *list,
                             const int *layers, int n_layers, const char *verb, const char *table,
                             const char *value, double bound, bool before_last, double pixels);
/* A figure of one run: SCRIPT-RUN. Its parameters layer[] and n_experts. */
struct figure *report_add_for_run(struct report *r, int run, const char *script, struct error *err);
/* NAME-RUN, where a script draws more than one thing. */
struct figure *report_add_named(struct report *r, int run, const char *as, const char *script,
                                struct error *err);
void figure_set_layers(struct figure *f, const struct report_run *run);
/* Parameters run[], run_type[], run_experts[]; columns and rows of panels with room for them. */
void figure_set_runs(struct figure *f, const struct run_list *list);
void figure_set_panels(struct figure *f, int n, int columns, int panel_height, int around, int between);

#endif
