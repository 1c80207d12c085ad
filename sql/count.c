/* Rows of a virtual table that are counted by key rather than handed out one by one. */
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "sql/count_block.h"

/* Groups in memory: some 40 MB at most. Sequences: those that a thread counts at once. */
enum { MAX_GROUPS = 1 << 18, SEQUENCES = 256 };

/* ---- a chunk of sequences, by whichever thread ---- */

struct counted {
    struct groups groups;
    char (
        *splits)[sizeof((struct scan_sequence *)0)->split]; /* (n_splits) what the keys' numbers stand for */
    int n_splits;
    bool failed;
    struct error err;
};

static void *counted_new(void)
{
    return calloc(1, sizeof(struct counted));
}

static void counted_free(void *result)
{
    struct counted *r = result;
    groups_release(&r->groups);
    free(r->splits);
    free(r);
}

static void counted_clear(struct counted *r, int n_keys)
{
    if (r->groups.n_keys != n_keys) {
        groups_release(&r->groups);
        groups_init(&r->groups, n_keys);
    }
    groups_clear(&r->groups);
    free(r->splits);
    r->splits = NULL;
    r->n_splits = 0;
    r->failed = false;
}

static int count_sequences(struct cursor *c, const struct scan_sequence *sequences, int n, struct error *err)
{
    for (int i = 0; i < n; i++) {
        int result = scan_enter_sequence(&c->scan, &sequences[i], i == 0, err);
        while (result == 1 && (result = scan_next_block(&c->scan, err)) == 1) {
            if (count_entered(c, err) != 0) {
                return -1;
            }
        }
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

/* Another thread goes on numbering splits while these are read. */
static int copy_splits(struct counted *r, const struct cursor *c, struct error *err)
{
    size_t bytes = (size_t)c->n_splits * sizeof *c->splits;
    if (bytes == 0) {
        return 0;
    }
    r->splits = malloc(bytes);
    if (r->splits == NULL) {
        return error_no_memory(err, "counted decisions");
    }
    memcpy(r->splits, c->splits, bytes);
    r->n_splits = c->n_splits;
    return 0;
}

/* Which keys belong to this pass is decided where chunks are added up. */
static void count_chunk(void *worker, void *result, const struct scan_sequence *sequences, int n)
{
    struct cursor *c = worker;
    struct counted *r = result;
    struct groups all = c->groups;
    bool after = c->after, up_to = c->up_to;
    counted_clear(r, c->plan.n_keys);
    c->groups = r->groups;
    c->after = c->up_to = false;
    r->failed = count_sequences(c, sequences, n, &r->err) != 0 || copy_splits(r, c, &r->err) != 0;
    r->groups = c->groups;
    c->groups = all;
    c->after = after;
    c->up_to = up_to;
}

static void counter_free(void *worker)
{
    struct cursor *c = worker;
    scan_close(&c->scan);
    free(c->cells);
    free(c->splits);
    free(c);
}

/* A cursor like the one that the query has, on another connection. */
static void *counter_new(void *context, struct logbook *lb, struct error *err)
{
    const struct cursor *like = context;
    struct cursor *c = calloc(1, sizeof *c);
    if (c == NULL) {
        (void)error_no_memory(err, "counted decisions");
        return NULL;
    }
    c->relation = like->relation;
    c->plan = like->plan;
    c->split = like->split;
    c->by_decision = like->by_decision;
    memcpy(c->range, like->range, sizeof c->range);
    memcpy(c->uses, like->uses, sizeof c->uses);
    memcpy(c->key_of, like->key_of, sizeof c->key_of);
    if (scan_open(&c->scan, lb, c->relation->kind, c->plan.contents, err) != 0) {
        free(c);
        return NULL;
    }
    cursor_start_scan(c);
    return c;
}

static struct scan *scan_of_counter(void *worker)
{
    return &((struct cursor *)worker)->scan;
}

static const struct crew_trade counting = {.chunk = SEQUENCES,
                                           .worker_new = counter_new,
                                           .worker_free = counter_free,
                                           .result_new = counted_new,
                                           .result_free = counted_free,
                                           .work = count_chunk,
                                           .scan_of = scan_of_counter};

/* ---- all of it ---- */

/* Adds a chunk's groups to those of the query. */
static int add_chunk(struct cursor *c, const struct counted *r, struct error *err)
{
    int split = c->key_of[FIELD_SPLIT];
    if (r->failed) {
        *err = r->err;
        return -1;
    }
    for (size_t i = 0; i < r->groups.n; i++) {
        const struct group *g = &r->groups.sums[i];
        memcpy(c->key, groups_key(&r->groups, i), (size_t)c->plan.n_keys * sizeof *c->key);
        if (split >= 0) {
            c->key[split] = number_of_split(c, r->splits[c->key[split]]);
            if (c->key[split] < 0) {
                return error_no_memory(err, "so many splits");
            }
        }
        if (add_to_group(c, g->decisions, g->gates, g->gate_sum, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Some more of the scan: 1, 0: there was none, -1. Keys that differ from token to token leave little to be
 * added up by chunks. */
static int count_more(struct cursor *c, struct error *err)
{
    void *chunk = NULL;
    if (c->by_decision) {
        int more = scan_next_block_of_any(&c->scan, err);
        return more == 1 && count_entered(c, err) != 0 ? -1 : more;
    }
    int more = crew_next(c->crew, &chunk, err);
    return more == 1 && chunk != NULL && add_chunk(c, chunk, err) != 0 ? -1 : more;
}

/* Too many groups to be sorted in one pass: the greater half waits for the next. */
static bool put_off(struct cursor *c)
{
    if (!groups_cut(&c->groups, MAX_GROUPS / 2, compare_keys, c)) {
        return false;
    }
    memcpy(c->high, groups_key(&c->groups, c->groups.n - 1), (size_t)c->plan.n_keys * sizeof *c->high);
    c->up_to = true;
    return true;
}

/* Counts until the scan or, unless sorted, the room ends. */
static int fill_groups(struct cursor *c, struct error *err)
{
    groups_clear(&c->groups);
    c->fills++;
    while (!c->scanned && (c->plan.sorted || c->groups.n < MAX_GROUPS)) {
        int result = count_more(c, err);
        if (result < 0) {
            return -1;
        }
        c->scanned = result == 0;
        if (c->plan.sorted && c->groups.n >= MAX_GROUPS && !put_off(c)) {
            return error_no_memory(err, "counted decisions");
        }
    }
    if (c->plan.sorted && !groups_sort(&c->groups, compare_keys, c)) {
        return error_no_memory(err, "counted decisions");
    }
    return 0;
}

/* What was put off, or did not fit; false: nothing. */
static bool more_passes(struct cursor *c)
{
    if (!c->scanned) {
        return true;
    }
    if (!c->up_to) {
        return false;
    }
    memcpy(c->low, c->high, sizeof c->low);
    c->after = true;
    c->up_to = false;
    cursor_start_scan(c);
    if (c->crew != NULL) {
        crew_restart(c->crew);
    }
    return true;
}

static void enter_group(struct cursor *c)
{
    const struct group *g = &c->groups.sums[c->group];
    c->left = c->relation->counted || c->plan.distinct ? 1 : g->decisions;
}

int count_next(struct cursor *c, struct error *err)
{
    if (--c->left > 0) {
        return c->plan.gates ? count_gates_next(c, err) : 0;
    }
    c->group++;
    while (c->group >= c->groups.n) {
        if (!more_passes(c)) {
            c->eof = true;
            return 0;
        }
        if (fill_groups(c, err) != 0) {
            return -1;
        }
        c->group = 0;
    }
    enter_group(c);
    return c->plan.gates ? count_gates_next(c, err) : 0;
}

int count_start(struct cursor *c, struct error *err)
{
    for (int f = 0; f < N_KEYS; f++) {
        c->key_of[f] = -1;
        c->uses[f] = !range_is_all(c->range[f]);
    }
    for (int i = 0; i < c->plan.n_keys; i++) {
        c->key_of[c->plan.keys[i].field] = i;
        c->uses[c->plan.keys[i].field] = true;
    }
    c->by_decision = c->uses[FIELD_POSITION] || c->uses[FIELD_TOKEN] || c->uses[FIELD_TARGET];
    groups_release(&c->groups);
    groups_init(&c->groups, c->plan.n_keys);
    c->after = c->up_to = false;
    c->fills = 0;
    c->group = 0;
    c->left = 1; /* the first step leaves it */
    c->window.n = c->window.at = 0;
    if (c->by_decision) {
        return 0;
    }
    if (c->crew == NULL) {
        return crew_open(&c->crew, &counting, c, c, err);
    }
    crew_restart(c->crew);
    return 0;
}

void count_release(struct cursor *c)
{
    crew_close(c->crew);
    groups_release(&c->groups);
    count_gates_release(c);
    free(c->cells);
    free(c->splits);
}

int64_t count_row_id(const struct cursor *c)
{
    const int64_t *key = groups_key(&c->groups, c->group);
    uint64_t id = (uint64_t)c->fills; /* what did not fit comes in parts */
    for (int i = 0; i < c->plan.n_keys; i++) {
        uint64_t value = (uint64_t)key[i];
        if (c->plan.keys[i].field == FIELD_SPLIT) { /* its number is that of this scan */
            const char *split = c->splits[key[i]];
            value = libdeflate_crc32(0, split, strlen(split));
        }
        id = (id ^ value) * 0xbf58476d1ce4e5b9U;
        id ^= id >> 31;
    }
    return (int64_t)id;
}

void count_column(const struct cursor *c, sqlite3_context *result, enum field field)
{
    const struct group *g = &c->groups.sums[c->group];
    if (field == FIELD_DECISIONS) {
        sqlite3_result_int64(result, g->decisions);
    } else if (field == FIELD_GATE_SUM) {
        if (g->gates > 0) {
            sqlite3_result_double(result, g->gate_sum);
        }
    } else if (field == FIELD_GATE) {
        sqlite3_result_double(result, c->window.gates[c->window.at]); /* NaN as NULL */
    } else if (field < N_KEYS && c->key_of[field] >= 0) {
        int64_t value = groups_key(&c->groups, c->group)[c->key_of[field]];
        if (field == FIELD_SPLIT) {
            sqlite3_result_text(result, c->splits[value], -1, SQLITE_TRANSIENT);
        } else {
            sqlite3_result_int64(result, value);
        }
    }
}
