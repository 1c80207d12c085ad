/* What the parts of a merge share. Private to sql/: merge.c goes through an input's runs, merge_decide.c
 * settles what is done with each, merge_rows.c does it; the copying itself is in sql/merge/. */
#ifndef SQL_MERGE_ITEM_H
#define SQL_MERGE_ITEM_H
#include "base/text.h"
#include "sql/db.h"
#include "sql/merge.h"

struct merge_item {                 /* a run of the input */
    int64_t old, new;               /* its ids there and here; 0: it is not here */
    int64_t first, last, sequences; /* ids and number of its sequences there; 0, -1, 0: it has none */
    char *name, *name_here, *status;
    struct text note;
    enum merge_deed deed;
};

struct merge {
    struct logbook *lb;
    const char *path; /* of the input */
    const struct merge_options *options;
    int version; /* of the input's schema */
    struct merge_item *items;
    int n_items;
    int64_t done, total; /* sequences */
};

/* ---- statements ---- */

static inline struct parameter number(const char *name, int64_t value)
{
    return (struct parameter){name, value, NULL};
}

static inline struct parameter words(const char *name, const char *text)
{
    return (struct parameter){name, 0, text};
}

/* A file of sql/merge/ with :old and :new. */
int merge_script(struct merge *m, const struct merge_item *item, const char *name, struct error *err);
/* A query's first column in its first row, with :old and :new: as a number, 0 when there is no row; as text,
 * NULL when there is none, caller frees. */
int merge_ask(struct merge *m, const struct merge_item *item, const char *name, int64_t *value,
              struct error *err);
int merge_ask_text(struct merge *m, const struct merge_item *item, const char *name, char **text,
                   struct error *err);
/* The query's row says what the input has otherwise. */
int merge_refuse_conflict(struct merge *m, const struct merge_item *item, const char *query, const char *what,
                          struct error *err);

/* ---- what is done with a run ---- */

/* Fills temp.input_part with the logs of the run there; both: temp.output_part with those here as well. */
int merge_find_parts(struct merge *m, const struct merge_item *item, bool both, struct error *err);
/* Sets item->deed of a run that is here, and its note. */
int merge_decide(struct merge *m, struct merge_item *item, struct error *err);
int merge_do(struct merge *m, struct merge_item *item, struct error *err);

#endif
