#include "sql/relation.h"

#include <math.h>
#include <string.h>

const struct relation relations[N_RELATIONS] = {
    {"routing",
     "moescope_routing",
     "extension/routing",
     {FIELD_RUN, FIELD_STEP, FIELD_SPLIT, FIELD_SEQUENCE, FIELD_SAMPLE, FIELD_DOCUMENT, FIELD_DOMAIN,
      FIELD_POSITION, FIELD_TOKEN, FIELD_TARGET, FIELD_LOSS, FIELD_LAYER, FIELD_SLOT, FIELD_EXPERT,
      FIELD_GATE, FIELD_DROPPED, FIELD_SCHEMA},
     17,
     SCAN_ROUTING,
     false},
    {"routing_count",
     "moescope_routing_count",
     "extension/routing_count",
     {FIELD_RUN, FIELD_STEP, FIELD_SPLIT, FIELD_SEQUENCE, FIELD_SAMPLE, FIELD_DOCUMENT, FIELD_DOMAIN,
      FIELD_POSITION, FIELD_TOKEN, FIELD_TARGET, FIELD_LAYER, FIELD_SLOT, FIELD_EXPERT, FIELD_DROPPED,
      FIELD_DECISIONS, FIELD_GATE_SUM, FIELD_SCHEMA},
     17,
     SCAN_ROUTING,
     true},
    {"token_loss",
     "moescope_token_loss",
     "extension/token_loss",
     {FIELD_RUN, FIELD_STEP, FIELD_SPLIT, FIELD_SEQUENCE, FIELD_SAMPLE, FIELD_DOCUMENT, FIELD_DOMAIN,
      FIELD_POSITION, FIELD_TOKEN, FIELD_TARGET, FIELD_LOSS, FIELD_SCHEMA},
     12,
     SCAN_SEQUENCES,
     false},
};

/* ---- the plan as text: three lists of letters, divided by '|' ----
 *
 *   flags       c counted, s sorted, d distinct, g gates, t contents
 *   keys        a letter a field, upper case when descending
 *   arguments   a letter a field, then the operator as a letter */

static char letter_of(enum field field)
{
    return (char)('a' + field);
}

static int write_plan(const struct plan *p, sqlite3_index_info *info)
{
    char text[16 + N_KEYS + 2 * 64], *at = text;
    const bool flags[] = {p->counted, p->sorted, p->distinct, p->gates, p->contents};
    for (int i = 0; i < 5; i++) {
        if (flags[i]) {
            *at++ = "csdgt"[i];
        }
    }
    *at++ = '|';
    for (int i = 0; i < p->n_keys; i++) {
        *at++ = (char)(letter_of(p->keys[i].field) - (p->keys[i].descending ? 'a' - 'A' : 0));
    }
    *at++ = '|';
    for (int i = 0; i < p->n_arguments; i++) {
        *at++ = letter_of(p->arguments[i].field);
        *at++ = (char)('a' + __builtin_ctz(p->arguments[i].op)); /* the operators are powers of two */
    }
    *at = '\0';
    info->idxStr = sqlite3_mprintf("%s", text);
    info->needToFreeIdxStr = 1;
    return info->idxStr != NULL ? SQLITE_OK : SQLITE_NOMEM;
}

void plan_read(struct plan *p, const char *text)
{
    memset(p, 0, sizeof *p);
    for (; *text != '|'; text++) {
        p->counted |= *text == 'c';
        p->sorted |= *text == 's';
        p->distinct |= *text == 'd';
        p->gates |= *text == 'g';
        p->contents |= *text == 't';
    }
    for (text++; *text != '|'; text++) {
        bool descending = *text < 'a';
        p->keys[p->n_keys++] = (struct plan_key){(enum field)(*text - (descending ? 'A' : 'a')), descending};
    }
    for (text++; *text != '\0'; text += 2) {
        p->arguments[p->n_arguments].field = (enum field)(text[0] - 'a');
        p->arguments[p->n_arguments++].op = (unsigned char)(1 << (text[1] - 'a'));
    }
}

/* ---- constraints ---- */

static bool takes(enum field field, unsigned char op)
{
    switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ:
        return field < N_KEYS || field == FIELD_SCHEMA;
    case SQLITE_INDEX_CONSTRAINT_GT:
    case SQLITE_INDEX_CONSTRAINT_GE:
    case SQLITE_INDEX_CONSTRAINT_LT:
    case SQLITE_INDEX_CONSTRAINT_LE:
        return field < N_KEYS && field != FIELD_SPLIT;
    default:
        return false;
    }
}

static bool is_binary(sqlite3_index_info *info, int i)
{
    return strcmp(sqlite3_vtab_collation(info, i), "BINARY") == 0;
}

/* Takes what it can; fixed: the fields that have one value. SQLite need not look at these rows again: every
 * kind of value is compared as SQLite would (sql/vtab.c). */
static int take_constraints(const struct relation *r, sqlite3_index_info *info, struct plan *p, bool *fixed)
{
    for (int i = 0; i < info->nConstraint; i++) {
        int column = info->aConstraint[i].iColumn;
        unsigned char op = info->aConstraint[i].op;
        if (column < 0 || column >= r->n_columns || !takes(r->columns[column], op)) {
            continue;
        }
        enum field field = r->columns[column];
        if (!info->aConstraint[i].usable) {
            if (field == FIELD_SCHEMA) {
                return SQLITE_CONSTRAINT; /* the schema must be known before anything can be read */
            }
            continue;
        }
        if ((field == FIELD_SPLIT && !is_binary(info, i)) || p->n_arguments == 64) {
            continue;
        }
        p->arguments[p->n_arguments].field = field;
        p->arguments[p->n_arguments++].op = op;
        info->aConstraintUsage[i].argvIndex = p->n_arguments;
        info->aConstraintUsage[i].omit = 1;
        fixed[field] |= op == SQLITE_INDEX_CONSTRAINT_EQ;
    }
    return SQLITE_OK;
}

/* What it costs. Only run, split, step and sequence are found by an index; the other sequence's columns are
 * looked at one by one, so that it is better to go through the decisions once and look the rest up. Where
 * rows are counted they save nothing at all: or SQLite might scan once for each side of an OR, and count what
 * is left of a key in two parts twice. */
static void estimate(const struct plan *p, const struct relation *r, const bool *fixed,
                     sqlite3_index_info *info)
{
    static const double share[N_KEYS] = {
        [FIELD_RUN] = 0.1,       [FIELD_STEP] = 0.01,     [FIELD_SPLIT] = 0.25,  [FIELD_SEQUENCE] = 1e-5,
        [FIELD_SAMPLE] = 0.01,   [FIELD_DOCUMENT] = 0.01, [FIELD_DOMAIN] = 0.1,  [FIELD_LAYER] = 0.25,
        [FIELD_POSITION] = 0.01, [FIELD_TOKEN] = 0.01,    [FIELD_TARGET] = 0.01, [FIELD_SLOT] = 0.5,
        [FIELD_EXPERT] = 0.1,    [FIELD_DROPPED] = 0.5};
    double rows = r->kind == SCAN_ROUTING ? 1e8 : 1e7, cost = rows;
    for (int f = 0; f < N_KEYS; f++) {
        bool found = f <= FIELD_SEQUENCE || f == FIELD_LAYER;
        if (fixed[f]) {
            rows *= share[f];
            cost *= found ? share[f] : r->counted ? 1 : 0.9;
        }
    }
    for (int i = 0; i < p->n_arguments; i++) {
        if (p->arguments[i].op != SQLITE_INDEX_CONSTRAINT_EQ && !fixed[p->arguments[i].field]) {
            rows /= 2;
            cost *= p->arguments[i].field <= FIELD_SEQUENCE ? 0.5 : 0.95;
        }
    }
    if (r->counted) {
        rows /= 1000; /* as many decisions to a row */
        cost /= 10;
    }
    info->estimatedCost = cost + 100;
    info->estimatedRows = (sqlite3_int64)rows + 1;
}

/* ---- order ---- */

static bool uses(const struct relation *r, const sqlite3_index_info *info, enum field field)
{
    for (int c = 0; c < r->n_columns; c++) {
        if (r->columns[c] == field) {
            return (info->colUsed >> c & 1) != 0;
        }
    }
    return false;
}

/* Rows come by sequence, layer, position and slot on their own. What has one value orders nothing. */
static bool is_natural_order(const struct relation *r, const sqlite3_index_info *info, const bool *fixed)
{
    static const enum field natural[] = {FIELD_SEQUENCE, FIELD_LAYER, FIELD_POSITION, FIELD_SLOT};
    int next = 0;
    for (int i = 0; i < info->nOrderBy; i++) {
        int column = info->aOrderBy[i].iColumn;
        if (column < 0 || info->aOrderBy[i].desc) {
            return false;
        }
        while (next < 4 && r->columns[column] != natural[next] &&
               (fixed[natural[next]] || (natural[next] == FIELD_LAYER && r->kind == SCAN_SEQUENCES))) {
            next++;
        }
        if (fixed[r->columns[column]]) {
            continue;
        }
        if (next == 4 || r->columns[column] != natural[next]) {
            return false;
        }
        next++;
    }
    return true;
}

/* Counting needs a place for every combination of keys: at most one of them may have many values. (More would
 * be right as well, but take more than one pass.) */
static bool is_countable(const struct relation *r, const sqlite3_index_info *info, const bool *fixed)
{
    static const enum field many[] = {FIELD_STEP,     FIELD_SAMPLE, FIELD_DOCUMENT,
                                      FIELD_POSITION, FIELD_TOKEN,  FIELD_TARGET};
    int n = 0;
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++) {
        n += uses(r, info, many[i]) && !fixed[many[i]];
    }
    return n <= 1 && !(uses(r, info, FIELD_SEQUENCE) && !fixed[FIELD_SEQUENCE]) && !uses(r, info, FIELD_LOSS);
}

/* Gates are gathered in several scans, which must be fast: by blocks, not by what differs from token to
 * token. */
static bool is_gatherable(const struct relation *r, const sqlite3_index_info *info, const bool *fixed)
{
    return (!uses(r, info, FIELD_POSITION) || fixed[FIELD_POSITION]) &&
           (!uses(r, info, FIELD_TOKEN) || fixed[FIELD_TOKEN]) &&
           (!uses(r, info, FIELD_TARGET) || fixed[FIELD_TARGET]);
}

/* SQLite before 3.38 cannot say what an order is for; then it is wanted as it stands. */
static int what_order_is_for(sqlite3_index_info *info)
{
    return sqlite3_libversion_number() >= 3038000 ? sqlite3_vtab_distinct(info) : 0;
}

static void add_key(struct plan *p, enum field field, bool descending)
{
    for (int i = 0; i < p->n_keys; i++) {
        if (p->keys[i].field == field) {
            return;
        }
    }
    p->keys[p->n_keys++] = (struct plan_key){field, descending};
}

/* The keys that are asked for an order first, then all others that are used. */
static void choose_keys(const struct relation *r, const sqlite3_index_info *info, struct plan *p)
{
    for (int i = 0; p->sorted && i < info->nOrderBy; i++) {
        add_key(p, r->columns[info->aOrderBy[i].iColumn], info->aOrderBy[i].desc != 0);
    }
    for (int f = 0; f < N_KEYS; f++) {
        if (uses(r, info, (enum field)f)) {
            add_key(p, (enum field)f, false);
        }
    }
}

static void choose_order(const struct relation *r, sqlite3_index_info *info, struct plan *p,
                         const bool *fixed)
{
    bool orderable = info->nOrderBy > 0 && r->kind == SCAN_ROUTING, gates = uses(r, info, FIELD_GATE);
    for (int i = 0; i < info->nOrderBy; i++) {
        int column = info->aOrderBy[i].iColumn;
        orderable = orderable && column >= 0 && r->columns[column] < N_KEYS;
    }
    if (r->counted) {
        p->counted = true;
    } else if (info->nOrderBy > 0 && is_natural_order(r, info, fixed)) {
        info->orderByConsumed = 1;
    } else if (orderable && is_countable(r, info, fixed) && (!gates || is_gatherable(r, info, fixed))) {
        p->counted = p->sorted = true;
        p->gates = gates;
        p->distinct = !gates && what_order_is_for(info) >= 2;
        info->orderByConsumed = 1;
    }
    if (p->counted) {
        choose_keys(r, info, p);
    }
}

int relation_plan(const struct relation *r, sqlite3_index_info *info)
{
    struct plan p = {0};
    bool fixed[N_FIELDS] = {false};
    int result = take_constraints(r, info, &p, fixed);
    if (result != SQLITE_OK) {
        return result;
    }
    p.contents = uses(r, info, FIELD_TOKEN) || uses(r, info, FIELD_TARGET) || uses(r, info, FIELD_LOSS);
    choose_order(r, info, &p, fixed);
    estimate(&p, r, fixed, info);
    return write_plan(&p, info);
}

/* ---- ranges ---- */

static const struct scan_range nothing = {1, 0};

static bool is_above(unsigned char op)
{
    return op == SQLITE_INDEX_CONSTRAINT_GT || op == SQLITE_INDEX_CONSTRAINT_GE;
}

static bool is_below(unsigned char op)
{
    return op == SQLITE_INDEX_CONSTRAINT_LT || op == SQLITE_INDEX_CONSTRAINT_LE;
}

static void narrow_by_whole(struct scan_range *r, unsigned char op, int64_t x)
{
    if ((op == SQLITE_INDEX_CONSTRAINT_GT && x == INT64_MAX) ||
        (op == SQLITE_INDEX_CONSTRAINT_LT && x == INT64_MIN)) {
        *r = nothing;
        return;
    }
    int64_t low = x + (op == SQLITE_INDEX_CONSTRAINT_GT), high = x - (op == SQLITE_INDEX_CONSTRAINT_LT);
    if (!is_below(op) && low > r->low) {
        r->low = low;
    }
    if (!is_above(op) && high < r->high) {
        r->high = high;
    }
}

/* Above 1.5 and from 1.5 on is from 2 on; below it and up to it is up to 1; nothing equals it. */
static void narrow_by_real(struct scan_range *r, unsigned char op, double x)
{
    bool too_low = x < -0x1p63, too_high = x >= 0x1p63, broken = floor(x) < x;
    if ((too_low && !is_above(op)) || (too_high && !is_below(op)) ||
        (broken && !is_above(op) && !is_below(op))) {
        *r = nothing;
    } else if (!too_low && !too_high) {
        unsigned char of_whole = is_above(op) ? SQLITE_INDEX_CONSTRAINT_GT : SQLITE_INDEX_CONSTRAINT_LE;
        narrow_by_whole(r, broken ? of_whole : op, (int64_t)floor(x));
    }
}

void range_narrow(struct scan_range *r, unsigned char op, sqlite3_value *value)
{
    switch (sqlite3_value_numeric_type(value)) {
    case SQLITE_INTEGER:
        narrow_by_whole(r, op, sqlite3_value_int64(value));
        break;
    case SQLITE_FLOAT:
        narrow_by_real(r, op, sqlite3_value_double(value));
        break;
    case SQLITE_NULL:
        *r = nothing;
        break;
    default: /* any text and any blob are greater than any number */
        if (!is_below(op)) {
            *r = nothing;
        }
    }
}
