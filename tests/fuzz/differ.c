/* The virtual tables against the views that they shadow: a query that the input makes up is asked of both, on
 * a logbook in which the check finds nothing, and the answers must be the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sql/db.h"
#include "sql/read.h"
#include "tests/fuzz/hostile.h"

static const char *const keys[] = {"run_id",      "step",      "split",    "sequence_id", "sample_id",
                                   "document_id", "domain_id", "position", "token_id",    "target_id",
                                   "layer",       "slot",      "expert",   "dropped"};
enum { N_KEYS = sizeof keys / sizeof keys[0], N_TOKEN_KEYS = 10 /* of token_loss */ };

struct shape {
    const char *relation, *value; /* value: one that is no key */
    int n_keys;
};
static const struct shape shapes[] = {
    {"routing", "gate", N_KEYS}, {"routing_count", "gate_sum", N_KEYS}, {"token_loss", "loss", N_TOKEN_KEYS}};

/* ---- making up a query ---- */

static const char *any_key(struct fuzz_input *in, const struct shape *s)
{
    return keys[fuzz_below(in, s->n_keys)];
}

static void add_value(struct text *t, struct fuzz_input *in, const char *key)
{
    static const char *const others[] = {"NULL",  "1.5",   "'probe'", "'x'", "-1",
                                         "x'00'", "1e300", "''",      "2.0"};
    int kind = fuzz_below(in, 8);
    if (kind < 5 && strcmp(key, "split") == 0) {
        text_add(t, kind & 1 ? "'train'" : "'probe'");
    } else if (kind < 5) {
        text_printf(t, "%d", fuzz_below(in, 6));
    } else if (kind == 5) {
        text_printf(t, "%lld", (long long)(fuzz_extreme(in) | 1));
    } else {
        text_add(t, others[fuzz_below(in, 9)]);
    }
}

static void add_list(struct text *t, struct fuzz_input *in, const char *key)
{
    text_add(t, " IN (");
    for (int i = fuzz_below(in, 4); i >= 0; i--) {
        add_value(t, in, key);
        text_add(t, i > 0 ? ", " : ")");
    }
}

static void add_constraint(struct text *t, struct fuzz_input *in, const struct shape *s)
{
    static const char *const operators[] = {" = ",  " = ",  " = ",  " < ",      " <= ", " > ",
                                            " >= ", " <> ", " IS ", " IS NOT ", " == "};
    const char *key =
        fuzz_below(in, 16) == 0 && strcmp(s->relation, "routing_count") != 0 ? s->value : any_key(in, s);
    int kind = fuzz_below(in, 20);
    text_printf(t, "%s", key);
    if (kind < 11) {
        text_add(t, operators[kind]);
        add_value(t, in, key);
    } else if (kind == 11) {
        add_list(t, in, key);
    } else if (kind == 12) {
        text_add(t, " BETWEEN ");
        add_value(t, in, key);
        text_add(t, " AND ");
        add_value(t, in, key);
    } else if (kind == 13) {
        text_printf(t, " IN (SELECT %s FROM sequence WHERE step < 2)",
                    fuzz_below(in, 2) ? "sequence_id" : "sample_id");
    } else if (kind == 14) {
        text_printf(t, " + 1 = %d", fuzz_below(in, 6));
    } else if (kind == 15) {
        text_printf(t, " < %s", any_key(in, s));
    } else if (kind == 16) {
        text_printf(t, " = (SELECT max(step) FROM sequence WHERE run_id = %d)", fuzz_below(in, 3));
    } else if (kind == 17) {
        text_printf(t, " LIKE '%%%c%%'", 'a' + fuzz_below(in, 26));
    } else if (kind == 18) {
        text_add(t, " = 'TRAIN' COLLATE NOCASE");
    } else {
        text_printf(t, " IS NOT NULL AND EXISTS (SELECT 1 FROM moe_layer AS l WHERE l.layer = %s)", key);
    }
}

static void add_where(struct text *t, struct fuzz_input *in, const struct shape *s)
{
    int n = fuzz_below(in, 5);
    for (int i = 0; i < n; i++) {
        text_add(t, i == 0 ? " WHERE " : fuzz_below(in, 6) == 0 ? " OR " : " AND ");
        add_constraint(t, in, s);
    }
}

/* One to four keys, perhaps the same twice. */
static int choose_keys(struct fuzz_input *in, const struct shape *s, const char *chosen[4])
{
    int n = 1 + fuzz_below(in, 4);
    for (int i = 0; i < n; i++) {
        chosen[i] = any_key(in, s);
    }
    return n;
}

static void add_keys(struct text *t, const char *const *chosen, int n, const char *behind)
{
    for (int i = 0; i < n; i++) {
        text_printf(t, "%s%s%s", i > 0 ? ", " : "", chosen[i], behind);
    }
}

static void add_from(struct text *t, const struct shape *s, bool view)
{
    text_printf(t, " FROM %s%s", view ? "main." : "", s->relation);
}

static void add_sums(struct text *t, struct fuzz_input *in, const struct shape *s)
{
    if (strcmp(s->relation, "routing_count") == 0) {
        text_add(t, fuzz_below(in, 2) ? ", sum(decisions), sum(gate_sum)" : ", sum(decisions)");
    } else {
        text_printf(t, fuzz_below(in, 2) ? ", count(*), sum(%s), min(%s), max(%s)" : ", count(*)", s->value,
                    s->value, s->value);
    }
}

/* The same input gives the same query but for whom it asks. Rows come in an order that leaves no choice, but
 * by *ordered false. */
static void make_query(struct text *t, struct fuzz_input in, bool view, bool *ordered)
{
    const struct shape *s = &shapes[fuzz_below(&in, 3)];
    const char *chosen[4];
    int kind = fuzz_below(&in, 6), n = choose_keys(&in, s, chosen);
    const char *direction = fuzz_below(&in, 3) == 0 ? " DESC" : "";
    *ordered = true;
    if (kind <= 1 && s != &shapes[1]) {
        text_add(t, kind == 0 ? "SELECT *" : "SELECT ");
        if (kind == 1) {
            add_keys(t, chosen, n, "");
            text_printf(t, ", %s", s->value);
        }
        add_from(t, s, view);
        add_where(t, &in, s);
        *ordered = false;
    } else if (kind == 2 && s != &shapes[1]) {
        text_add(t, "SELECT ");
        add_keys(t, chosen, n, "");
        add_from(t, s, view);
        add_where(t, &in, s);
        text_add(t, " ORDER BY ");
        add_keys(t, chosen, n, direction);
        text_printf(t, " LIMIT %d OFFSET %d", 1 + fuzz_below(&in, 200), fuzz_below(&in, 9));
    } else if (kind == 3) {
        text_add(t, "SELECT DISTINCT ");
        add_keys(t, chosen, n, "");
        add_from(t, s, view);
        add_where(t, &in, s);
        text_add(t, " ORDER BY ");
        add_keys(t, chosen, n, direction);
    } else if (kind == 4 && fuzz_below(&in, 2)) {
        text_printf(t, "SELECT d.name, s.step");
        add_sums(t, &in, s);
        add_from(t, s, view);
        text_add(t, " AS r JOIN domain AS d USING (domain_id) LEFT JOIN sequence AS s USING (sequence_id) "
                    "WHERE r.layer > 0 OR r.position < 3 GROUP BY d.name, s.step ORDER BY 1, 2");
    } else {
        text_add(t, "SELECT ");
        add_keys(t, chosen, n, "");
        add_sums(t, &in, s);
        add_from(t, s, view);
        add_where(t, &in, s);
        text_add(t, " GROUP BY ");
        add_keys(t, chosen, n, "");
        if (fuzz_below(&in, 4) == 0) {
            text_printf(t, " HAVING count(*) > 0 AND %s IS NOT NULL", chosen[0]);
        }
        text_add(t, " ORDER BY ");
        text_printf(t, "%s ASC, ", chosen[n - 1]);
        add_keys(t, chosen, n, direction);
    }
}

/* ---- answers ---- */

enum { MOST_CELLS = 1 << 16 };
struct answer {
    double *cells; /* numbers as they are, texts by their hash, NULL as NaN */
    int n, columns;
    double unordered; /* a sum over the rows that does not depend on their order */
    int code;         /* of SQLite, at the end */
    char complaint[200];
};

static double cell_of(sqlite3_stmt *s, int column)
{
    double hash = 0;
    const uint8_t *text;
    switch (sqlite3_column_type(s, column)) {
    case SQLITE_NULL:
        return NAN;
    case SQLITE_INTEGER:
    case SQLITE_FLOAT:
        return sqlite3_column_double(s, column);
    default:
        text = sqlite3_column_text(s, column);
        for (int i = 0; i < sqlite3_column_bytes(s, column); i++) {
            hash = fmod(hash * 31 + text[i], 1e9);
        }
        return hash + 0.25;
    }
}

static void add_row(struct answer *a, sqlite3_stmt *s)
{
    double row = 1;
    for (int i = 0; i < a->columns && a->n < MOST_CELLS; i++) {
        double cell = cell_of(s, i);
        a->cells[a->n++] = cell;
        row = fmod(row * 1009 + (isfinite(cell * 16384) ? fmod(cell * 16384, 1e6)
                                 : isnan(cell)          ? 0.5
                                                        : 0.75),
                   1e9 + 7);
    }
    a->unordered += floor(row);
}

static void ask(struct answer *a, struct logbook *lb, const char *sql)
{
    struct statement s;
    struct error err;
    *a = (struct answer){.cells = malloc(MOST_CELLS * sizeof *a->cells), .code = SQLITE_DONE};
    fuzz_require(a->cells != NULL, "there is memory");
    if (statement_open_text(&s, lb, "differ", sql, &err) == 0) {
        a->columns = sqlite3_column_count(s.handle);
        while ((a->code = sqlite3_step(s.handle)) == SQLITE_ROW) {
            add_row(a, s.handle);
        }
    } else {
        a->code = sqlite3_errcode(lb->db);
    }
    snprintf(a->complaint, sizeof a->complaint, "%s", sqlite3_errmsg(lb->db));
    statement_close(&s);
}

static bool same_cell(double a, double b)
{
    return isnan(a) || isnan(b) ? isnan(a) && isnan(b) : fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b));
}

static bool same_answer(const struct answer *a, const struct answer *b, bool ordered)
{
    if (a->n != b->n || a->columns != b->columns) {
        return false;
    }
    for (int i = 0; ordered && i < a->n; i++) {
        if (!same_cell(a->cells[i], b->cells[i])) {
            return false;
        }
    }
    return ordered || a->unordered == b->unordered;
}

static bool ended(const struct answer *a)
{
    return (a->code & 0xff) != SQLITE_INTERRUPT && a->n < MOST_CELLS;
}

/* Whether the check finds nothing that the relations stand on. */
static bool sound(struct logbook *lb)
{
    static const char *const needed[] = {"file",   "foreign_keys", "checksums",
                                         "blocks", "dangling",     "decoding"};
    struct check_finding findings[CHECK_MAX_FINDINGS];
    int n = CHECK_MAX_FINDINGS;
    if (logbook_check(lb, findings, &n, NULL) != 0) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        for (size_t j = 0; j < sizeof needed / sizeof needed[0]; j++) {
            if (strcmp(findings[i].what, needed[j]) == 0 && findings[i].violations > 0) {
                return false;
            }
        }
    }
    return true;
}

static void compare(struct logbook *lb, struct fuzz_input in)
{
    struct answer answers[2];
    struct text sql[2];
    bool ordered = true;
    for (int i = 0; i < 2; i++) {
        text_init(&sql[i]);
        make_query(&sql[i], in, i == 1, &ordered);
        ask(&answers[i], lb, sql[i].data);
    }
    if (ended(&answers[0]) && ended(&answers[1]) &&
        (answers[0].code != answers[1].code || !same_answer(&answers[0], &answers[1], ordered))) {
        fprintf(stderr, "%s\n%d cells, code %d: %s\nview: %d cells, code %d: %s\n", sql[0].data, answers[0].n,
                answers[0].code, answers[0].complaint, answers[1].n, answers[1].code, answers[1].complaint);
        fuzz_require(false, "the virtual table answers as the view does");
    }
    for (int i = 0; i < 2; i++) {
        free(answers[i].cells);
        text_release(&sql[i]);
    }
}

void hostile_differ(const char *path, struct fuzz_input in, int n, bool valid)
{
    struct logbook *lb;
    if (logbook_open(&lb, path, NULL) != 0) {
        return;
    }
    if (valid || sound(lb)) {
        for (int i = 0; i < n && (i == 0 || in.n > 0); i++) {
            hostile_rest();
            compare(lb, in);
            size_t used = 16 < in.n ? 16 : in.n;
            in.bytes += used;
            in.n -= used;
        }
    }
    moescope_close(lb);
}
