/* The relations that the virtual tables offer, and how a query on one of them is to be answered: which
 * constraints narrow the scan, whether rows are counted by key in C instead of handed out one by one, and in
 * which order they come. Private to sql/. */
#ifndef SQL_RELATION_H
#define SQL_RELATION_H
#include <stdbool.h>
#include <stdint.h>

#include "sql/scan.h"

/* What a column holds. The first N_KEYS are whole numbers (SPLIT: text) that rows can be counted by; those
 * before POSITION are the same for all tokens of a block. */
enum field {
    FIELD_RUN,
    FIELD_STEP,
    FIELD_SPLIT,
    FIELD_SEQUENCE,
    FIELD_SAMPLE,
    FIELD_DOCUMENT,
    FIELD_DOMAIN,
    FIELD_LAYER,
    FIELD_POSITION,
    FIELD_TOKEN,
    FIELD_TARGET,
    FIELD_SLOT,
    FIELD_EXPERT,
    FIELD_DROPPED,
    N_KEYS,
    FIELD_LOSS = N_KEYS,
    FIELD_GATE,
    FIELD_DECISIONS,
    FIELD_GATE_SUM,
    FIELD_SCHEMA, /* hidden: the argument of the function form */
    N_FIELDS
};

enum { MAX_COLUMNS = 20 };

struct relation {
    const char *name;        /* of the view, and of the temporary table that shadows it */
    const char *module;      /* also the name of a function form that is always there */
    const char *declaration; /* .sql file */
    enum field columns[MAX_COLUMNS];
    int n_columns;
    enum scan_kind kind;
    bool counted; /* rows stand for many decisions */
};
enum { N_RELATIONS = 3 };
extern const struct relation relations[N_RELATIONS];

struct plan_key { /* of rows that are counted, most significant first */
    enum field field;
    bool descending;
};

/*   routing_count  is always counted, by the columns that the query uses; a row is a key with its sums.
 *   routing        is counted where the query asks for an order or a grouping of whole numbers: keys come in
 *                  that order, each as often as it was counted, and SQLite need not sort; where gates are
 *                  asked for, too, they are gathered in that order. */
struct plan {
    bool counted;  /* rows are counted by keys; otherwise they come one by one in their natural order */
    bool sorted;   /* ... and handed out in the keys' order */
    bool distinct; /* ... and each but once */
    bool gates;    /* ... and each with its own gate */
    struct plan_key keys[N_KEYS];
    int n_keys;
    bool contents; /* tokens or losses are needed */
    struct {       /* what argument i of xFilter constrains */
        enum field field;
        unsigned char op; /* SQLITE_INDEX_CONSTRAINT_... */
    } arguments[64];
    int n_arguments;
};

/* xBestIndex: chooses a plan and writes it into info->idxStr. A result code of SQLite's. */
int relation_plan(const struct relation *r, sqlite3_index_info *info);
/* Reads it back. */
void plan_read(struct plan *p, const char *text);

/* Leaves of a range the whole numbers x for which `x op value` holds, as SQLite compares. */
void range_narrow(struct scan_range *r, unsigned char op, sqlite3_value *value);

#endif
