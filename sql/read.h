/* Reading a logbook. Queries are named: "queries/runs" is sql/queries/runs.sql, embedded at build
 * time. Decisions in bulk are decoded in C (blocks_*), a thousand times faster than the stock-SQL view. */
#ifndef SQL_READ_H
#define SQL_READ_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/progress.h"
#include "base/table.h"
#include "metrics/monitor.h"
#include "sql/logbook.h"

/* From the first read on until moescope_close, all reads see the logbook as it is then. */
int logbook_hold(struct logbook *lb, struct error *err);

/* ---- named queries ---- */

/* The text of an embedded .sql file by its path under sql/ without ".sql"; NULL when there is none. */
const char *sql_text(const char *name);
/* Names under a folder ("queries/"), sorted; i counts from 0; NULL past the end. */
const char *sql_name(const char *folder, int i);

struct query;
/* Prepares a named query. Parameters are bound by name (":run"); those not in the query are ignored. */
int query_open(struct query **q, struct logbook *lb, const char *name, struct error *err);
/* The same from SQL text (the user's own). Only statements that read are let through. */
int query_open_text(struct query **q, struct logbook *lb, const char *sql, struct error *err);
void query_bind_int(struct query *q, const char *parameter, int64_t value);
void query_bind_real(struct query *q, const char *parameter, double value);
void query_bind_text(struct query *q, const char *parameter, const char *value); /* copied; NULL: a null */
/* Names of its parameters (":run"), i from 0; NULL past the end, and for one without a name. */
const char *query_parameter(struct query *q, int i);
/* 1: a row is there; 0: no more; -1: error. */
int query_step(struct query *q, struct error *err);
/* Cells by column name; an unknown name is a programming error (assert). */
int64_t query_int(struct query *q, const char *column);
double query_real(struct query *q, const char *column);      /* NULL reads as NaN */
const char *query_text(struct query *q, const char *column); /* until the next step; NULL stays NULL */
/* The same where the schema demands a text: the NULL of a logbook made otherwise reads as "". */
const char *query_word(struct query *q, const char *column);
bool query_is_null(struct query *q, const char *column);
void query_close(struct query *q); /* safe on NULL */
/* Cells by number, of whatever kind they are. */
int query_columns(struct query *q);
const char *query_column(struct query *q, int i);
enum cell_kind { CELL_NULL, CELL_INT, CELL_REAL, CELL_TEXT, CELL_BLOB };
struct cell {
    enum cell_kind kind;
    int64_t integer;
    double real;
    const char *bytes; /* text or blob, until the next step; a text has a NUL behind it */
    size_t n;
};
void query_cell(struct query *q, int i, struct cell *cell);
/* Back to before the first row. */
void query_rewind(struct query *q);
/* Runs the rest of the query into a table on `out`, columns as the query names them. */
int query_print(struct query *q, FILE *out, enum table_format format, const char *title, struct error *err);
/* *rows: how many there were. */
int query_print_counted(struct query *q, FILE *out, enum table_format format, const char *title,
                        int64_t *rows, struct error *err);
/* The SQL with the bound values put in as literals: what --print-sql shows, ready to paste into sqlite3. */
char *query_expanded(struct query *q); /* caller frees with free() */
/* The same on `out`, ended by a semicolon. */
int query_print_sql(struct query *q, FILE *out, struct error *err);

/* One-line scalars: the first column of the first row, with :run bound to run_id. */
int query_one_int(struct logbook *lb, const char *name, int64_t run_id, int64_t *value, struct error *err);

/* Run id by name; name NULL: the only run, or else STATUS_USAGE listing the names. */
int logbook_find_run(struct logbook *lb, const char *name, int64_t *run_id, struct error *err);

/* ---- decisions, tokens and losses in bulk ---- */

struct block_filter {
    int64_t run_id;
    const char *split;             /* train, valid, probe, routed, seen; NULL: all */
    int64_t first_step, last_step; /* both inclusive */
    int layer;                     /* -1: all layers */
};

struct block { /* one sequence in one layer, decoded; pointers live until the next blocks_next */
    int64_t step, sequence_id, sample_id, document_id, domain_id, offset;
    const char *split;
    int layer, n_experts, n_tokens, n_decisions;
    const int32_t *offsets; /* (n_tokens + 1), offsets[0] = 0 */
    const int32_t *expert;  /* (n_decisions) slot order within a token */
    const float *gate;      /* (n_decisions) */
    const uint8_t *dropped; /* (n_decisions) */
    const int32_t *ids;     /* (n_tokens + 1) */
    const float *loss;      /* (n_tokens); NaN where not kept or beyond 63.998 */
};

struct blocks;
/* In order of sequence_id, then layer. */
int blocks_open(struct blocks **bs, struct logbook *lb, const struct block_filter *filter, struct error *err);
int blocks_next(struct blocks *bs, struct block *block,
                struct error *err); /* 1 row, 0 end, -1 corrupt or I/O */
void blocks_close(struct blocks *bs);

struct probability_block {
    int64_t step, sequence_id, sample_id, document_id, domain_id;
    int layer, n_experts, n_tokens;
    const float *probability; /* (n_tokens, n_experts) */
    const int32_t *ids;       /* (n_tokens + 1) */
};
struct probabilities;
int probabilities_open(struct probabilities **ps, struct logbook *lb, const struct block_filter *filter,
                       struct error *err);
int probabilities_next(struct probabilities *ps, struct probability_block *block, struct error *err);
void probabilities_close(struct probabilities *ps);

/* ---- loads in bulk ---- */

struct load_steps;
struct load_step { /* one layer's, all domains together; pointers live until the next */
    int64_t step;
    int layer, n_experts;
    struct monitor_load load; /* (n_experts) */
};
/* Those of steps behind `after` (-1: all), in order of step, then layer. */
int load_steps_open(struct load_steps **ls, struct logbook *lb, int64_t run_id, const char *split,
                    int64_t after, struct error *err);
int load_steps_next(struct load_steps *ls, struct load_step *step,
                    struct error *err);       /* 1 row, 0 end, -1 corrupt or I/O */
void load_steps_close(struct load_steps *ls); /* safe on NULL */

/* Hands the same to a monitor of the run's layers, `most` steps at most (0: all). *last: the last of them, or
 * `after`. STATUS_INPUT for a load of other layers or experts than the monitor's. */
int monitor_read(struct monitor *m, struct logbook *lb, int64_t run_id, const char *split, int64_t after,
                 int64_t most, int64_t *last, struct error *err);

/* ---- check ---- */

struct check_finding {
    char what[64];   /* "checksums", "contiguous_steps", ... */
    int64_t checked; /* how many things were looked at */
    int64_t violations;
    char detail[256]; /* the first violation, in words */
};
enum { CHECK_MAX_FINDINGS = 32 }; /* no logbook has more */
struct check_options {
    bool quick; /* leaves out what decodes blocks and loads, and compares no index with its table */
    struct progress *progress; /* NULL: none; started here, quiet as it is */
};
int logbook_check_with(struct logbook *lb, const struct check_options *options,
                       struct check_finding *findings, int *n, struct error *err);
/* All the checks, in order; findings: caller's array, *n its size in, the number filled out. */
int logbook_check(struct logbook *lb, struct check_finding *findings, int *n, struct error *err);

#endif
