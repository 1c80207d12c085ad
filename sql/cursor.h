/* Where a query on a virtual table has come to: a scan, and within it a decision, or a count of decisions.
 * Private to sql/. */
#ifndef SQL_CURSOR_H
#define SQL_CURSOR_H
#include "sql/crew.h"
#include "sql/groups.h"
#include "sql/relation.h"

struct cursor {
    sqlite3_vtab_cursor base;
    const struct relation *relation;
    struct logbook lb; /* the caller's connection, seen as a logbook; path and schema are ours */
    char *schema;
    bool opened;
    struct scan scan;
    struct plan plan;
    struct scan_range range[N_KEYS]; /* what the constraints leave */
    char *split;                     /* NULL: all */
    bool nothing;                    /* no row can satisfy the constraints */
    bool filtered;                   /* some range is on values within a block */
    bool eof;

    /* ---- one by one ---- */
    int position, decision, first, end; /* the token; the decision, and those of the token */

    /* ---- counted ---- */
    bool by_decision;    /* keys or ranges on what differs from token to token */
    bool uses[N_KEYS];   /* as a key or by its range */
    int64_t key[N_KEYS]; /* of the block at hand, as far as it is the same for all of it */
    int key_of[N_KEYS];  /* which key a field is; -1: none */
    uint64_t *cells;     /* (LANES, n_cells) */
    size_t n_cells;
    struct crew *crew; /* that counts, unless by_decision */
    struct groups groups;
    size_t group;      /* that the cursor stands on */
    int64_t left;      /* more rows of it */
    int fills;         /* of the groups, as often as they were full */
    bool scanned;      /* to the end */
    bool after, up_to; /* this pass is about keys after `low`, up to `high` */
    int64_t low[N_KEYS], high[N_KEYS];
    char (*splits)[sizeof((struct scan_sequence *)0)->split];
    int n_splits;

    /* ---- counted, but with the gate of each decision (sql/count_gates.c) ---- */
    struct gate_window {
        double *gates;             /* (n) in the order of the rows; NaN: not kept */
        int64_t n, at, capacity;   /* at: the row's */
        struct gate_group *groups; /* (n_groups) from c->groups' number first_group on */
        size_t first_group, n_groups;
        uint32_t *of_expert; /* (n_experts) the group of the block's decisions with that expert */
        int n_experts;
    } window;
};

bool range_is_all(struct scan_range r);
bool cursor_in_range(const struct cursor *c, enum field field, int64_t value);
/* From the beginning of what the ranges leave. */
void cursor_start_scan(struct cursor *c);

/* ---- decisions of the block, or tokens of the sequence, that the scan has come to ---- */

/* Before the first. */
void cursor_enter_block(struct cursor *c);
/* To the next; false: there is none. */
bool cursor_step(struct cursor *c);
/* Whether it is within the ranges. */
bool cursor_passes(const struct cursor *c);
/* A whole number of it; those before FIELD_POSITION are of the block. */
int64_t cursor_value(const struct cursor *c, enum field field);
/* A gate, or a sum of gates, from what is stored: in the order of the view's own arithmetic, so that the
 * result is the same to the last bit. */
double gate_from_stored(const struct packed_block *p, double stored);

/* ---- counted (sql/count.c) ---- */

/* After cursor_start_scan; then count_next goes to the first row. 0 or -1. */
int count_start(struct cursor *c, struct error *err);
void count_release(struct cursor *c);
/* To the next row; c->eof at the end. 0 or -1. */
int count_next(struct cursor *c, struct error *err);
/* The same where a row has a gate of its own: count_next has gone on within c->groups. 0 or -1. */
int count_gates_next(struct cursor *c, struct error *err);
void count_gates_release(struct cursor *c);
/* Of the row's key alone. */
int64_t count_row_id(const struct cursor *c);
/* The column's value as a result; none is NULL. */
void count_column(const struct cursor *c, sqlite3_context *result, enum field field);

#endif
