/* Which column, or key, of a table of choices is what: by the names that engines use, or by --columns. */
#ifndef IMPORT_SHARED_COLUMNS_H
#define IMPORT_SHARED_COLUMNS_H
#include "base/error.h"

enum column {
    COLUMN_STEP,
    COLUMN_LAYER,
    COLUMN_TOKEN,
    COLUMN_SLOT,
    COLUMN_EXPERT,
    COLUMN_GATE,
    COLUMN_COUNT,
    COLUMN_ID, /* of the token */
    COLUMN_DOCUMENT,
    COLUMN_DOMAIN,
    COLUMN_PHASE, /* numbers that distinguish tokens beside COLUMN_TOKEN */
    N_COLUMNS
};

enum { COLUMN_NAME = 64 };

struct columns {
    char names[N_COLUMNS][COLUMN_NAME]; /* "" : the usual ones */
};

/* "step=iter,layer=l"; NULL: the usual names. STATUS_USAGE for a word that is no column. */
int columns_parse(struct columns *c, const char *map, struct error *err);
/* The column that has that name; -1: none. */
int columns_find(const struct columns *c, const char *name);
const char *column_word(enum column column); /* as --columns calls it */

#endif
