/* What each side holds of a run, and what is to be done about it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sql/merge_item.h"

/* ---- what each side holds ---- */

struct relation_of_parts {
    int64_t there, here, shared, same, grown;
};

/* What a run holds by now, in the schema "main" or "input". */
static int find_held(struct merge *m, const char *schema, int64_t run_id, int64_t *last_step, char **held,
                     struct error *err)
{
    struct statement s;
    *held = NULL;
    m->lb->schema = schema;
    int result = statement_open(&s, m->lb, "merge/held", err);
    m->lb->schema = NULL;
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        result = statement_step(&s, err);
    }
    if (result == 1) {
        *last_step = sqlite3_column_int64(s.handle, 0);
        *held = strdup((const char *)sqlite3_column_text(s.handle, 1));
        result = *held != NULL ? 0 : error_no_memory(err, "a merge");
    }
    statement_close(&s);
    return result;
}

static int find_parts(struct merge *m, const char *schema, const char *query, const struct merge_item *item,
                      struct error *err)
{
    int64_t last_step = -1;
    char *held;
    int64_t run_id = strcmp(schema, "input") == 0 ? item->old : item->new;
    int result = find_held(m, schema, run_id, &last_step, &held, err);
    if (result == 0) {
        const struct parameter parameters[] = {number(":old", item->old), number(":new", item->new),
                                               number(":last_step", last_step), words(":held", held)};
        result = db_script(m->lb, query, parameters, 4, err);
    }
    free(held);
    return result;
}

int merge_find_parts(struct merge *m, const struct merge_item *item, bool both, struct error *err)
{
    const char *query = m->version < 2 ? "merge/input_parts_1" : "merge/input_parts";
    if (find_parts(m, "input", query, item, err) != 0) {
        return -1;
    }
    return both ? find_parts(m, "main", "merge/output_parts", item, err) : 0;
}

static int compare_parts(struct merge *m, const struct merge_item *item, struct relation_of_parts *r,
                         struct error *err)
{
    struct statement s;
    if (merge_find_parts(m, item, true, err) != 0) {
        return -1;
    }
    int result = statement_open(&s, m->lb, "merge/compare_parts", err);
    if (result == 0) {
        result = statement_step(&s, err);
    }
    if (result == 1) {
        int64_t *const fields[] = {&r->there, &r->here, &r->shared, &r->same, &r->grown};
        for (int i = 0; i < 5; i++) {
            *fields[i] = sqlite3_column_int64(s.handle, i);
        }
    }
    statement_close(&s);
    return result < 0 ? -1 : 0;
}

static int refuse_overlap(struct merge *m, const struct merge_item *item, const struct relation_of_parts *r,
                          struct error *err)
{
    return error_set(err, STATUS_INPUT,
                     "cannot merge '%s' into '%s': the run '%s' is a sum of %" PRId64
                     " logs here, of which %" PRId64 " have changed or come with others there; what is "
                     "summed cannot be taken out again: merge the original "
                     "logbooks into a new file",
                     m->path, m->lb->path, item->name, r->here, r->shared);
}

/* Both are one log, the same one, and it has changed. */
static int decide_one_log(struct merge *m, struct merge_item *item, const struct relation_of_parts *r,
                          struct error *err)
{
    int64_t pruned = 0; /* what was pruned there may still be whole here */
    if (r->grown == 1 && merge_ask(m, item, "merge/pruned", &pruned, err) != 0) {
        return -1;
    }
    item->deed = r->grown == 1 && pruned == 0 ? MERGE_RENEWED : MERGE_KEPT;
    if (pruned) {
        text_add(&item->note,
                 "has grown there but been pruned as well: what is here stays; delete it here first "
                 "to take the pruned one");
    } else if (item->deed == MERGE_KEPT) {
        text_add(&item->note, "holds less there than here: what is here stays");
    }
    return 0;
}

int merge_decide(struct merge *m, struct merge_item *item, struct error *err)
{
    struct relation_of_parts r = {0};
    if (compare_parts(m, item, &r, err) != 0) {
        return -1;
    }
    if (r.shared == 0) {
        item->deed = MERGE_SUMMED;
    } else if (r.there == r.shared && r.same == r.shared) {
        item->deed = MERGE_UNCHANGED;
    } else if (r.there == 1 && r.here == 1) {
        return decide_one_log(m, item, &r, err);
    } else if (r.here == r.shared && r.same + r.grown == r.shared) {
        item->deed = MERGE_RENEWED; /* all of what is here, and more */
    } else {
        return refuse_overlap(m, item, &r, err);
    }
    return 0;
}
