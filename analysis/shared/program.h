/* What the analysis programs have in common. A program is a table of tables: each entry says what one
 * `--table NAME` is called, what its columns are, where its rows come from, and which SQL answers it in a
 * plain sqlite3 shell. analysis_main does the rest: the common options, opening the logbook read-only,
 * finding the run and its MoE layers, choosing tables, formats, --print-sql, -o, --exit-code, exit statuses.
 *
 *     moescope VERB DB [--run NAME] [--table NAME] [--format table|csv|json] [--print-sql] [-o FILE]
 *
 * One table of a program may have other forms (struct analysis_view), a page among them: --format html.
 *
 * Without --table: the verdict in words, then every table under its title, long ones cut (--rows); in csv and
 * json, where one output is one table, the table `verdict` (subject, verdict, text), which every program has.
 */
#ifndef ANALYSIS_SHARED_PROGRAM_H
#define ANALYSIS_SHARED_PROGRAM_H
#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"
#include "base/table.h"
#include "base/text.h"
#include "sql/read.h"

/* ---- what a program is given ---- */

struct moe_layer {
    int layer; /* block index; dense blocks have none */
    int n_experts;
    int k;      /* 0: varies by token */
    bool fixed; /* untrained_by_design */
};

struct analysis {
    struct logbook *logbook;
    const char *path;
    bool collected;  /* the logbook was put together for this program: its ids mean nothing elsewhere */
    char **operands; /* behind DB: compare's runs */
    int n_operands;
    enum table_format format;
    bool page;    /* --format html */
    bool colours; /* the output is a terminal that has some */

    /* Of the one run that --run names; unset in programs that compare runs. */
    int64_t run_id;
    char *run;
    struct moe_layer *layers; /* in order of block */
    int n_layers, max_experts;

    void *state; /* the program's own */
    const struct analysis_program *program;
    const char *table; /* what --table named, or NULL */
};

/* Whether that table will be printed; "verdict" counts as wanted when everything is. */
bool analysis_wants(const struct analysis *a, const char *table);

/* Its index into a->layers; -1: the run has no experts in that block. */
int analysis_layer_index(const struct analysis *a, int64_t layer);

/* Fails with STATUS_INPUT when that run has no MoE layers. Called for --run; compare has its own ways. */
int analysis_load_layers(struct logbook *lb, int64_t run_id, const char *run, struct moe_layer **layers,
                         int *n, struct error *err);

/* ---- the verdict ---- */

struct verdicts {
    struct verdict_line *lines;
    int n;
    bool failed; /* out of memory; reported once, at the end */
};
struct verdict_line {
    char *subject; /* "layer 2", "run top1" */
    char *verdict; /* one or two words to group by: "specialised", "collapsed" */
    char *text;    /* a sentence that stands alone, with its figures and N, no full stop at the end:
                      "layer 2: experts tell domains apart (0.41 nat, null 0.02; 300 documents)" */
};
void verdict_add(struct verdicts *v, const char *subject, const char *verdict, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void verdicts_release(struct verdicts *v); /* safe on zeroed */

/* A cell that may be undefined (NaN): a null in every format, "-" in a table. */
void table_figure(struct table *t, double value);

/* ---- what a program consists of ---- */

struct analysis_table {
    const char *name;    /* of --table */
    const char *help;    /* one line: what a row is; the title above the aligned table as well */
    const char *columns; /* "layer,expert,share": what rows() fills in, left to right */
    const char *sql;     /* a named query ("analysis/specialization_lift") for --print-sql. With rows NULL its
                            rows are the table; otherwise it gives what rows() starts from, and says so */
    int (*rows)(struct analysis *a, struct table *t, struct error *err);
    /* Names of columns that depend on the logbook, behind `columns`: i counts from 0, NULL ends. May be NULL.
     */
    const char *(*more_columns)(const struct analysis *a, int i);
};

/* Other forms of a table that is more than figures. */
struct analysis_view {
    const char *table;
    /* Instead of an aligned table, some `rows` lines of it, 0: all. */
    int (*show)(struct analysis *a, int64_t rows, FILE *out, struct error *err);
    /* --format html. */
    int (*page)(struct analysis *a, FILE *out, struct error *err);
};

struct analysis_program {
    struct program command; /* as in base/options.h; its options are the program's own (or NULL) and
                               `details` comes before the list of tables, which is made from: */
    const struct analysis_table *tables; /* ended by a NULL name; without `verdict` */
    const struct analysis_view *view;    /* NULL: all tables are tables */
    const char *long_table;              /* one of them, shown only when --table names it; may be NULL */
    bool many_runs;                      /* runs are operands behind DB; no --run, no layers */
    /* Makes what the tables are to read, before the logbook is opened; run NULL: --run was not given. May be
     * NULL. */
    int (*before)(void *state, const char *logbook, const char *run, struct error *err);
    /* Reads what the tables need, before any of them; may be NULL. */
    int (*prepare)(struct analysis *a, struct error *err);
    /* Binds what the queries name beyond :run (:step, :first_step); unknown names are ignored. May be NULL.
     */
    void (*bind)(const struct analysis *a, struct query *q);
    int (*judge)(struct analysis *a, struct verdicts *v, struct error *err);
    /* The finding that --exit-code asks for, after judge; NULL: there is no such option. */
    bool (*finding)(const struct analysis *a);
    const char *finding_help; /* "exit with 1 if any layer collapsed" */
};

/* All of main: `state` is the program's own struct, which its options point into and it releases itself. */
int analysis_main(const struct analysis_program *p, void *state, int argc, char **argv);

#endif
