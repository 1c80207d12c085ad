/* Virtual tables over packed blocks: constraints arrive as ranges, rows leave one by one, or counted by key.
 *
 * One by one: sequence by sequence, layer by layer, token by token, slot by slot. What costs is SQLite's own
 * work on a row, some 50 ns, so that counting in C is ten times faster:
 *
 *   routing_count  is always counted by the columns that the query uses; a row is a key with its sums.
 *   routing        is counted where the query asks for an order or a grouping of whole numbers: keys come in
 *                  that order, each as often as it was counted, and SQLite need not sort. */
#include "sql/vtab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sql/groups.h"
#include "sql/read.h"

/* Groups in memory: some 40 MB at most. A chunk: what a cell can count. */
enum { MAX_GROUPS = 1 << 18, MAX_CHUNK = 1 << 20, MAX_SPLITS = 1 << 12, LANES = 4 };
enum { COUNT_SHIFT = 40 }; /* of a cell: the number of decisions above the sum of their stored gates */

struct table {
    sqlite3_vtab base;
    sqlite3 *db;
    const struct relation *relation;
};

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
    int64_t rowid;

    /* ---- one by one ---- */
    int position, decision, first, end; /* the token; the decision, and those of the token */

    /* ---- counted ---- */
    bool by_decision;    /* keys or ranges on what differs from token to token */
    bool uses[N_KEYS];   /* as a key or by its range */
    int64_t key[N_KEYS]; /* of the block at hand, as far as it is the same for all of it */
    int key_of[N_KEYS];  /* which key a field is; -1: none */
    uint64_t *cells;     /* (LANES, n_cells) */
    size_t n_cells;
    struct groups groups;
    size_t group;      /* that the cursor stands on */
    int64_t left;      /* more rows of it */
    bool scanned;      /* to the end */
    bool after, up_to; /* this pass is about keys after `low`, up to `high` */
    int64_t low[N_KEYS], high[N_KEYS];
    char (*splits)[sizeof((struct scan_sequence *)0)->split];
    int n_splits;
};

/* ---- errors ---- */

/* What failed inside becomes the message of the query that asked. */
static int fail(struct cursor *c, const struct error *err)
{
    int code = sqlite3_errcode(c->lb.db) & 0xff;
    sqlite3_free(c->base.pVtab->zErrMsg);
    c->base.pVtab->zErrMsg = sqlite3_mprintf("%s", err->text);
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) {
        code = err->status == STATUS_INPUT ? SQLITE_CORRUPT : SQLITE_NOMEM;
    }
    return code;
}

/* ---- the table ---- */

static int connect_table(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                         char **message)
{
    const struct relation *r = aux;
    (void)argc, (void)argv, (void)message;
    int code = sqlite3_declare_vtab(db, sql_text(r->declaration));
    if (code != SQLITE_OK) {
        return code;
    }
    struct table *t = sqlite3_malloc64(sizeof *t);
    if (t == NULL) {
        return SQLITE_NOMEM;
    }
    *t = (struct table){.db = db, .relation = r};
    *out = &t->base;
    /* A file's own views must not call it: they could call themselves through it. */
    return sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
}

static int disconnect_table(sqlite3_vtab *vtab)
{
    sqlite3_free(vtab);
    return SQLITE_OK;
}

static int best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    return relation_plan(((struct table *)vtab)->relation, info);
}

static int open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct table *t = (struct table *)vtab;
    struct cursor *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return SQLITE_NOMEM;
    }
    c->relation = t->relation;
    c->lb.db = t->db;
    *out = &c->base;
    return SQLITE_OK;
}

static void close_logbook(struct cursor *c)
{
    if (c->opened) {
        scan_close(&c->scan);
    }
    free(c->lb.path);
    free(c->schema);
    c->opened = false;
    c->lb.path = c->schema = NULL;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    struct cursor *c = (struct cursor *)base;
    close_logbook(c);
    groups_release(&c->groups);
    free(c->split);
    free(c->cells);
    free(c->splits);
    free(c);
    return SQLITE_OK;
}

/* ---- constraints ---- */

/* x < y as SQLite has it, for whole x: any text and any blob are greater than any number. */
static void narrow(struct scan_range *r, unsigned char op, sqlite3_value *value)
{
    static const struct scan_range none = {1, 0};
    const bool above = op == SQLITE_INDEX_CONSTRAINT_GT || op == SQLITE_INDEX_CONSTRAINT_GE;
    const bool below = op == SQLITE_INDEX_CONSTRAINT_LT || op == SQLITE_INDEX_CONSTRAINT_LE;
    int64_t low = INT64_MIN, high = INT64_MAX;
    int type = sqlite3_value_numeric_type(value);
    if (type == SQLITE_NULL || ((type == SQLITE_TEXT || type == SQLITE_BLOB) && !below)) {
        *r = none;
        return;
    }
    if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
        return;
    }
    if (type == SQLITE_FLOAT) {
        double x = sqlite3_value_double(value), whole = floor(x);
        bool too_low = x < -0x1p63, too_high = x >= 0x1p63, broken = whole < x;
        if ((too_low && !above) || (too_high && !below) || (broken && !above && !below)) {
            *r = none;
        }
        if (too_low || too_high || r->low > r->high) {
            return;
        }
        low = high = (int64_t)whole;
        if (broken) { /* x > 1.5 and x >= 1.5: from 2 on; x < 1.5 and x <= 1.5: up to 1 */
            op = above ? SQLITE_INDEX_CONSTRAINT_GT : SQLITE_INDEX_CONSTRAINT_LE;
        }
    } else {
        low = high = sqlite3_value_int64(value);
    }
    if ((op == SQLITE_INDEX_CONSTRAINT_GT && low == INT64_MAX) ||
        (op == SQLITE_INDEX_CONSTRAINT_LT && high == INT64_MIN)) {
        *r = none;
        return;
    }
    low += op == SQLITE_INDEX_CONSTRAINT_GT;
    high -= op == SQLITE_INDEX_CONSTRAINT_LT;
    if (!below && low > r->low) {
        r->low = low;
    }
    if (!above && high < r->high) {
        r->high = high;
    }
}

static int set_split(struct cursor *c, sqlite3_value *value)
{
    const char *text = (const char *)sqlite3_value_text(value);
    if (text == NULL || (c->split != NULL && strcmp(text, c->split) != 0)) {
        c->nothing = true;
        return SQLITE_OK;
    }
    free(c->split);
    c->split = strdup(text);
    return c->split != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

/* Reads the arguments; *schema: that of the function form, or main. */
static int read_arguments(struct cursor *c, sqlite3_value **argv, const char **schema)
{
    int code = SQLITE_OK;
    for (int f = 0; f < N_KEYS; f++) {
        c->range[f] = (struct scan_range){INT64_MIN, INT64_MAX};
    }
    free(c->split);
    c->split = NULL;
    c->nothing = false;
    for (int i = 0; i < c->plan.n_arguments && code == SQLITE_OK; i++) {
        enum field field = c->plan.arguments[i].field;
        if (field == FIELD_SCHEMA) {
            *schema = (const char *)sqlite3_value_text(argv[i]);
            c->nothing = c->nothing || *schema == NULL;
        } else if (field == FIELD_SPLIT) {
            code = set_split(c, argv[i]);
        } else {
            narrow(&c->range[field], c->plan.arguments[i].op, argv[i]);
        }
    }
    for (int f = 0; f < N_KEYS; f++) {
        c->nothing = c->nothing || c->range[f].low > c->range[f].high;
    }
    return code;
}

static bool in_range(const struct cursor *c, enum field field, int64_t value)
{
    return c->range[field].low <= value && value <= c->range[field].high;
}

static bool is_all(struct scan_range r)
{
    return r.low == INT64_MIN && r.high == INT64_MAX;
}

/* The statements for a schema, kept from one scan to the next. */
static int open_logbook(struct cursor *c, const char *schema, struct error *err)
{
    if (c->opened && strcmp(schema, c->schema) == 0) {
        return 0;
    }
    close_logbook(c);
    const char *path = sqlite3_db_filename(c->lb.db, schema);
    c->schema = strdup(schema);
    c->lb.path = strdup(path != NULL && *path != '\0' ? path : schema);
    if (c->schema == NULL || c->lb.path == NULL) {
        return error_no_memory(err, "a virtual table");
    }
    c->lb.schema = c->schema;
    if (scan_open(&c->scan, &c->lb, c->relation->kind, c->plan.contents, err) != 0) {
        return -1;
    }
    c->opened = true;
    return 0;
}

static void start_scan(struct cursor *c)
{
    const struct scan_filter filter = {
        c->range[FIELD_RUN],      c->range[FIELD_STEP],   c->range[FIELD_SEQUENCE], c->range[FIELD_SAMPLE],
        c->range[FIELD_DOCUMENT], c->range[FIELD_DOMAIN], c->range[FIELD_LAYER],    c->split};
    scan_start(&c->scan, &filter);
    c->scanned = false;
}

/* ---- values within a block ---- */

static int64_t token_at(const struct cursor *c, int position)
{
    int32_t id;
    const struct scan_sequence *q = &c->scan.sequence;
    if (q->token_width == 2) {
        return (int64_t)read_16(q->tokens.bytes, (size_t)position);
    }
    unpack_integers(&id, 4, q->tokens.bytes + 4 * (size_t)position, 1);
    return (uint32_t)id;
}

static int64_t value_of_sequence(const struct cursor *c, enum field field)
{
    const struct scan_sequence *q = &c->scan.sequence;
    switch (field) {
    case FIELD_RUN:
        return q->run_id;
    case FIELD_STEP:
        return q->step;
    case FIELD_SEQUENCE:
        return q->sequence_id;
    case FIELD_SAMPLE:
        return q->sample_id;
    case FIELD_DOCUMENT:
        return q->document_id;
    case FIELD_DOMAIN:
        return q->domain_id;
    default:
        return c->scan.block.layer;
    }
}

/* A whole number of the decision, or of the token, that the cursor stands on. */
static int64_t value_of_decision(const struct cursor *c, enum field field)
{
    const struct scan_block *b = &c->scan.block;
    switch (field) {
    case FIELD_POSITION:
        return c->position;
    case FIELD_TOKEN:
        return token_at(c, c->position);
    case FIELD_TARGET:
        return token_at(c, c->position + 1);
    case FIELD_SLOT:
        return c->decision - c->first;
    case FIELD_EXPERT:
        return packed_expert(&b->packed, b->n_experts, (size_t)c->decision);
    case FIELD_DROPPED:
        return packed_dropped(&b->packed, (size_t)c->decision);
    default:
        return value_of_sequence(c, field);
    }
}

static bool passes(const struct cursor *c)
{
    for (int f = FIELD_POSITION; f < N_KEYS; f++) {
        if (!is_all(c->range[f]) && !in_range(c, (enum field)f, value_of_decision(c, (enum field)f))) {
            return false;
        }
    }
    return true;
}

/* In the order of the view's own arithmetic, so that the results are the same to the last bit. */
static double gate_of(const struct packed_block *p, double stored)
{
    return p->scale / SCALE_UNIT * stored / (p->codec->gate_bytes == 1 ? 255 : 65535);
}

/* ---- one by one ---- */

/* To the first token of the sequence or block that the scan has come to. */
static void enter_block(struct cursor *c)
{
    c->position = -1;
    c->decision = c->first = c->end = 0;
}

/* To the next decision of the block; false: there is none. */
static bool step_decision(struct cursor *c)
{
    const struct packed_block *p = &c->scan.block.packed;
    if (c->position >= 0) {
        c->decision++;
    }
    while (c->decision >= c->end) {
        if (++c->position >= c->scan.sequence.n_tokens) {
            return false;
        }
        c->first = c->decision = packed_offset(p, c->position);
        c->end = packed_offset(p, c->position + 1);
    }
    return true;
}

static bool step_within(struct cursor *c)
{
    if (c->relation->kind == SCAN_SEQUENCES) {
        return ++c->position < c->scan.sequence.n_tokens;
    }
    return step_decision(c);
}

static int next_single(struct cursor *c)
{
    struct error err;
    for (;;) {
        while (step_within(c)) {
            if (!c->filtered || passes(c)) {
                return SQLITE_OK;
            }
        }
        int result = c->relation->kind == SCAN_SEQUENCES ? scan_next_sequence(&c->scan, &err)
                                                         : scan_next_block_of_any(&c->scan, &err);
        if (result < 0) {
            return fail(c, &err);
        }
        enter_block(c);
        if (result == 0) {
            c->eof = true;
            return SQLITE_OK;
        }
    }
}

/* ---- counted: keys ---- */

/* Splits as numbers, in order of appearance; -1: too many, or no memory. */
static int64_t number_of_split(struct cursor *c)
{
    for (int i = 0; i < c->n_splits; i++) {
        if (strcmp(c->splits[i], c->scan.sequence.split) == 0) {
            return i;
        }
    }
    void *more =
        c->n_splits < MAX_SPLITS ? realloc(c->splits, (size_t)(c->n_splits + 1) * sizeof *c->splits) : NULL;
    if (more == NULL) {
        return -1;
    }
    c->splits = more;
    memcpy(c->splits[c->n_splits], c->scan.sequence.split, sizeof *c->splits);
    return c->n_splits++;
}

static int compare_keys(const int64_t *a, const int64_t *b, void *context)
{
    const struct cursor *c = context;
    for (int i = 0; i < c->plan.n_keys; i++) {
        int order = (a[i] > b[i]) - (a[i] < b[i]);
        if (c->plan.keys[i].field == FIELD_SPLIT && order != 0) {
            order = strcmp(c->splits[a[i]], c->splits[b[i]]);
        }
        if (order != 0) {
            return c->plan.keys[i].descending ? -order : order;
        }
    }
    return 0;
}

/* The keys that the whole block has in common. */
static int enter_keys(struct cursor *c, struct error *err)
{
    for (int i = 0; i < c->plan.n_keys; i++) {
        enum field field = c->plan.keys[i].field;
        if (field == FIELD_SPLIT) {
            c->key[i] = number_of_split(c);
            if (c->key[i] < 0) {
                return error_set(err, STATUS_MACHINE, "no room for so many splits");
            }
        } else if (field < FIELD_POSITION) {
            c->key[i] = value_of_sequence(c, field);
        }
    }
    return 0;
}

static void set_key(struct cursor *c, enum field field, int64_t value)
{
    if (c->key_of[field] >= 0) {
        c->key[c->key_of[field]] = value;
    }
}

/* Adds to the group of c->key, unless it belongs to another pass. */
static int add_to_group(struct cursor *c, int64_t decisions, int64_t gates, double gate_sum,
                        struct error *err)
{
    if ((c->after && compare_keys(c->key, c->low, c) <= 0) ||
        (c->up_to && compare_keys(c->key, c->high, c) > 0)) {
        return 0;
    }
    struct group *g = groups_find(&c->groups, c->key);
    if (g == NULL) {
        return error_no_memory(err, "counted decisions");
    }
    g->decisions += decisions;
    g->gates += gates;
    g->gate_sum += gate_sum;
    return 0;
}

/* ---- counted: a block ---- */

static int count_decisions(struct cursor *c, struct error *err)
{
    const struct packed_block *p = &c->scan.block.packed;
    bool known = p->gates.bytes != NULL;
    enter_block(c);
    while (step_decision(c)) {
        if (c->filtered && !passes(c)) {
            continue;
        }
        for (int f = FIELD_POSITION; f < N_KEYS; f++) {
            if (c->key_of[f] >= 0) {
                c->key[c->key_of[f]] = value_of_decision(c, (enum field)f);
            }
        }
        double gate = known ? gate_of(p, packed_gate(p, (size_t)c->decision)) : 0;
        if (add_to_group(c, 1, known, gate, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Decisions first, first + stride, ... below last, into the cells of their experts. Lanes, since a collapsed
 * router would have every addition wait for the one before it. */
static void count_cells(const struct cursor *c, size_t base, size_t first, size_t last, size_t stride)
{
    const struct scan_block *b = &c->scan.block;
    const struct packed_block *p = &b->packed;
    const uint64_t one = (uint64_t)1 << COUNT_SHIFT;
    uint64_t *lane[LANES];
    for (size_t l = 0; l < LANES; l++) {
        lane[l] = c->cells + l * c->n_cells + base;
    }
    size_t i = first;
    if (p->codec->expert_bytes == 1 && p->codec->gate_bytes == 1 && p->gates.bytes != NULL) {
        const uint8_t *expert = p->experts.bytes, *gate = p->gates.bytes;
        for (; i + (LANES - 1) * stride < last; i += LANES * stride) {
            lane[0][expert[i]] += one | gate[i];
            lane[1][expert[i + stride]] += one | gate[i + stride];
            lane[2][expert[i + 2 * stride]] += one | gate[i + 2 * stride];
            lane[3][expert[i + 3 * stride]] += one | gate[i + 3 * stride];
        }
    }
    for (; i < last; i += stride) {
        uint64_t gate = p->gates.bytes != NULL ? packed_gate(p, i) : 0;
        lane[0][packed_expert(p, b->n_experts, i)] += one | gate;
    }
}

/* Adds the cells of one slot (or of all) to their groups. */
static int add_cells(struct cursor *c, size_t base, struct error *err)
{
    const struct packed_block *p = &c->scan.block.packed;
    const uint64_t gates = ((uint64_t)1 << COUNT_SHIFT) - 1;
    for (int e = 0; e < c->scan.block.n_experts; e++) {
        uint64_t sum = 0;
        for (size_t l = 0; l < LANES; l++) {
            sum += c->cells[l * c->n_cells + base + (size_t)e];
        }
        int64_t n = (int64_t)(sum >> COUNT_SHIFT);
        if (n == 0 || !in_range(c, FIELD_EXPERT, e)) {
            continue;
        }
        set_key(c, FIELD_EXPERT, e);
        bool known = p->gates.bytes != NULL;
        if (add_to_group(c, n, known ? n : 0, known ? gate_of(p, (double)(sum & gates)) : 0, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int count_slot(struct cursor *c, size_t base, size_t first, size_t last, size_t stride,
                      struct error *err)
{
    size_t n = (size_t)c->scan.block.n_experts;
    for (size_t l = 0; l < LANES; l++) {
        memset(c->cells + l * c->n_cells + base, 0, n * sizeof *c->cells);
    }
    count_cells(c, base, first, last, stride);
    return add_cells(c, base, err);
}

static bool reserve_cells(struct cursor *c, size_t n)
{
    if (n > c->n_cells) {
        uint64_t *cells = realloc(c->cells, LANES * n * sizeof *cells);
        if (cells == NULL) {
            return false;
        }
        c->cells = cells;
        c->n_cells = n;
    }
    return true;
}

/* Counts by expert, and by slot where that is asked for, in pieces that a cell can hold. */
static int count_block(struct cursor *c, struct error *err)
{
    const struct scan_block *b = &c->scan.block;
    size_t n = (size_t)b->n_decisions, k = (size_t)b->packed.k;
    if (!in_range(c, FIELD_DROPPED, 0)) {
        return 0;
    }
    if (!reserve_cells(c, (size_t)b->n_experts)) {
        return error_no_memory(err, "counted decisions");
    }
    set_key(c, FIELD_DROPPED, 0);
    for (size_t first = 0; first < n; first += MAX_CHUNK) { /* a fixed k divides no piece of more than it */
        size_t last = n - first > MAX_CHUNK ? first + MAX_CHUNK : n;
        if (!c->uses[FIELD_SLOT]) {
            if (count_slot(c, 0, first, last, 1, err) != 0) {
                return -1;
            }
            continue;
        }
        for (size_t slot = 0; slot < k; slot++) {
            set_key(c, FIELD_SLOT, (int64_t)slot);
            if (in_range(c, FIELD_SLOT, (int64_t)slot) && count_slot(c, 0, first + slot, last, k, err) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Whether cells serve: they know experts and, with a fixed k in one piece, slots; nothing of tokens. */
static bool cells_serve(const struct cursor *c)
{
    const struct scan_block *b = &c->scan.block;
    if (c->by_decision || (c->uses[FIELD_DROPPED] && b->packed.dropped.bytes != NULL)) {
        return false;
    }
    return !c->uses[FIELD_SLOT] || (b->packed.k > 0 && b->n_decisions <= MAX_CHUNK);
}

/* ---- counted: all of it ---- */

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
    while (!c->scanned && (c->plan.sorted || c->groups.n < MAX_GROUPS)) {
        int result = scan_next_block_of_any(&c->scan, err);
        c->scanned = result <= 0;
        if (result == 0) {
            break;
        }
        if (result < 0 || enter_keys(c, err) != 0 ||
            (cells_serve(c) ? count_block(c, err) : count_decisions(c, err)) != 0) {
            return -1;
        }
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
    start_scan(c);
    return true;
}

static void enter_group(struct cursor *c)
{
    const struct group *g = &c->groups.sums[c->group];
    c->left = c->relation->counted || c->plan.distinct ? 1 : g->decisions;
}

static int next_counted(struct cursor *c)
{
    struct error err;
    if (--c->left > 0) {
        return SQLITE_OK;
    }
    c->group++;
    while (c->group >= c->groups.n) {
        if (!more_passes(c)) {
            c->eof = true;
            return SQLITE_OK;
        }
        if (fill_groups(c, &err) != 0) {
            return fail(c, &err);
        }
        c->group = 0;
    }
    enter_group(c);
    return SQLITE_OK;
}

static void start_counting(struct cursor *c)
{
    for (int f = 0; f < N_KEYS; f++) {
        c->key_of[f] = -1;
        c->uses[f] = !is_all(c->range[f]);
    }
    for (int i = 0; i < c->plan.n_keys; i++) {
        c->key_of[c->plan.keys[i].field] = i;
        c->uses[c->plan.keys[i].field] = true;
    }
    c->by_decision = c->uses[FIELD_POSITION] || c->uses[FIELD_TOKEN] || c->uses[FIELD_TARGET];
    groups_release(&c->groups);
    groups_init(&c->groups, c->plan.n_keys);
    c->after = c->up_to = false;
    c->group = 0;
    c->left = 1; /* the first step leaves it */
}

/* ---- the cursor ---- */

static int next_row(sqlite3_vtab_cursor *base)
{
    struct cursor *c = (struct cursor *)base;
    c->rowid++;
    return c->plan.counted ? next_counted(c) : next_single(c);
}

static int filter_rows(sqlite3_vtab_cursor *base, int number, const char *text, int argc,
                       sqlite3_value **argv)
{
    struct cursor *c = (struct cursor *)base;
    const char *schema = "main";
    struct error err;
    (void)number, (void)argc;
    plan_read(&c->plan, text);
    int code = read_arguments(c, argv, &schema);
    if (code != SQLITE_OK) {
        return code;
    }
    c->eof = c->nothing;
    c->rowid = 0;
    if (c->nothing) {
        return SQLITE_OK;
    }
    if (open_logbook(c, schema, &err) != 0) {
        return fail(c, &err);
    }
    c->filtered = false;
    for (int f = FIELD_POSITION; f < N_KEYS; f++) {
        c->filtered = c->filtered || !is_all(c->range[f]);
    }
    start_scan(c);
    if (c->plan.counted) {
        start_counting(c);
        c->groups.n = 0;
        return next_counted(c);
    }
    c->position = 0; /* past the end of no sequence: the first step reads one */
    c->scan.sequence.n_tokens = 0;
    c->decision = c->end = 0;
    return next_single(c);
}

static int at_end(sqlite3_vtab_cursor *base)
{
    return ((struct cursor *)base)->eof;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    *rowid = ((struct cursor *)base)->rowid;
    return SQLITE_OK;
}

static void counted_column(const struct cursor *c, sqlite3_context *result, enum field field)
{
    const struct group *g = &c->groups.sums[c->group];
    if (field == FIELD_DECISIONS) {
        sqlite3_result_int64(result, g->decisions);
    } else if (field == FIELD_GATE_SUM) {
        if (g->gates > 0) {
            sqlite3_result_double(result, g->gate_sum);
        }
    } else if (field < N_KEYS && c->key_of[field] >= 0) {
        int64_t value = groups_key(&c->groups, c->group)[c->key_of[field]];
        if (field == FIELD_SPLIT) {
            sqlite3_result_text(result, c->splits[value], -1, SQLITE_TRANSIENT);
        } else {
            sqlite3_result_int64(result, value);
        }
    }
}

static void single_column(const struct cursor *c, sqlite3_context *result, enum field field)
{
    const struct scan_sequence *q = &c->scan.sequence;
    const struct packed_block *p = &c->scan.block.packed;
    uint32_t loss;
    switch (field) {
    case FIELD_SPLIT:
        sqlite3_result_text(result, q->split, -1, SQLITE_TRANSIENT);
        break;
    case FIELD_LOSS:
        loss = q->losses.bytes != NULL ? read_16(q->losses.bytes, (size_t)c->position) : LOSS_NONE;
        if (loss != LOSS_NONE) {
            sqlite3_result_double(result, loss / (double)LOSS_UNIT);
        }
        break;
    case FIELD_GATE:
        if (p->gates.bytes != NULL) {
            sqlite3_result_double(result, gate_of(p, packed_gate(p, (size_t)c->decision)));
        }
        break;
    default:
        sqlite3_result_int64(result, value_of_decision(c, field));
    }
}

/* A column without a result is NULL. */
static int column(sqlite3_vtab_cursor *base, sqlite3_context *result, int i)
{
    const struct cursor *c = (const struct cursor *)base;
    enum field field = c->relation->columns[i];
    if (field == FIELD_SCHEMA) {
        sqlite3_result_text(result, c->schema, -1, SQLITE_TRANSIENT);
    } else if (c->plan.counted) {
        counted_column(c, result, field);
    } else {
        single_column(c, result, field);
    }
    return SQLITE_OK;
}

/* xCreate and xConnect are the same: the module's own name is a table, too (the function form). */
static const sqlite3_module module = {
    .iVersion = 0,
    .xCreate = connect_table,
    .xConnect = connect_table,
    .xBestIndex = best_index,
    .xDisconnect = disconnect_table,
    .xDestroy = disconnect_table,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter_rows,
    .xNext = next_row,
    .xEof = at_end,
    .xColumn = column,
    .xRowid = row_id,
};

int vtab_register(sqlite3 *db, const struct relation *r)
{
    return sqlite3_create_module_v2(db, r->module, &module, (void *)r, NULL);
}
