/* The virtual tables against the views they shadow: the same SQL in the stock shell, once as it is and once
 * with the extension loaded, must give the same text, over a logbook with every kind of block there is. Then
 * what the extension adds: function forms, aggregates, other hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"
#include "base/random.h"
#include "base/text.h"
#include "tests/support.h"
#include "tests/trial.h"

static struct trial trial;
static char *bin;

/* ---- a logbook with every kind of block ---- */

enum { MAX_TOKENS = 12, WIDE_ID = 70000 };

struct shape {
    int n_experts, k; /* k 0: varies, from none to three */
    bool gates, drops;
};

static void add_block(struct moescope_batch *b, int handle, int layer, int n_tokens,
                      const struct shape *shape, struct random *r)
{
    int32_t offsets[MAX_TOKENS + 1] = {0}, expert[MAX_TOKENS * 8];
    float gate[MAX_TOKENS * 8];
    uint8_t dropped[MAX_TOKENS * 8];
    for (int t = 0; t < n_tokens; t++) {
        int k = shape->k > 0 ? shape->k : (int)random_below(r, 4);
        int first = (int)random_below(r, (uint64_t)shape->n_experts);
        offsets[t + 1] = offsets[t] + k;
        for (int i = offsets[t]; i < offsets[t + 1]; i++) {
            int slot = i - offsets[t];
            expert[i] = k == shape->n_experts ? slot : (first + 3 * slot) % shape->n_experts;
            gate[i] = (float)random_uniform(r);
            dropped[i] = random_below(r, 5) == 0;
        }
    }
    const struct moescope_block block = {.layer = layer,
                                         .n_experts = shape->n_experts,
                                         .k = shape->k,
                                         .offsets = shape->k == 0 ? offsets : NULL,
                                         .expert = expert,
                                         .gate = shape->gates ? gate : NULL,
                                         .dropped = shape->drops ? dropped : NULL};
    moescope_batch_routing(b, handle, &block);
}

static const struct shape shapes[] = {
    {4, 2, true, false}, {300, 3, true, true}, {8, 0, true, true}, {3, 3, true, false}, {5, 1, false, false},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void add_sequence(struct moescope_batch *b, int number, struct random *r)
{
    static const char *const splits[] = {"train", "probe", "valid"};
    int32_t ids[MAX_TOKENS + 1];
    float loss[MAX_TOKENS];
    int n_tokens = 1 + number % MAX_TOKENS;
    for (int t = 0; t <= n_tokens; t++) {
        ids[t] = number % 5 == 4 ? WIDE_ID + t : (int32_t)random_below(r, 4);
    }
    for (int t = 0; t < n_tokens; t++) {
        loss[t] = random_below(r, 6) == 0 ? 100 : 5 * (float)random_uniform(r);
    }
    const struct moescope_sequence q = {.document_id = trial.document_ids[number % 2],
                                        .offset = 100 * number, /* a sample of its own */
                                        .n_tokens = n_tokens,
                                        .ids = ids,
                                        .loss = number % 4 == 3 ? NULL : loss};
    int handle = moescope_batch_sequence(b, number / 6, splits[number % 3], &q);
    for (int layer = 0; layer < N_SHAPES; layer++) {
        if ((number + layer) % 7 != 0) { /* some layers keep nothing */
            add_block(b, handle, layer, n_tokens, &shapes[layer], r);
        }
    }
}

static void add_run(const char *name, int gate_bits, uint64_t seed)
{
    struct moescope_layer layers[N_SHAPES];
    struct random r;
    struct error err;
    random_seed(&r, seed, 0);
    for (int l = 0; l < N_SHAPES; l++) {
        layers[l] = (struct moescope_layer){
            .layer = l, .router = "topk", .n_experts = shapes[l].n_experts, .k = shapes[l].k};
    }
    trial_run(&trial, name, layers, N_SHAPES, gate_bits);
    for (int i = 0; i < 30; i++) {
        struct moescope_batch *b = moescope_batch_new(trial.writer, &err);
        assert_non_null(b);
        add_sequence(b, i + (int)seed * 40, &r);
        test_must(moescope_batch_commit(b, &err), &err);
    }
    trial_end(&trial, "finished");
}

static int open_logbook(void **state)
{
    (void)state;
    bin = test_bin();
    trial_open(&trial);
    add_run("eight", 8, 0);
    add_run("sixteen", 16, 1);
    trial_stop(&trial);
    return 0;
}

static int close_logbook(void **state)
{
    (void)state;
    trial_release(&trial);
    free(bin);
    return 0;
}

/* ---- asking ---- */

/* What the shell answers on `path`, the extension loaded or not, complaints with it. */
static char *ask(const char *path, bool loaded, const char *sql)
{
    test_write_text(trial.folder, "question.sql", sql);
    struct test_run r = test_run(
        "{ %s%s%s echo .mode quote; cat '%s/question.sql'; } | sqlite3 -batch -readonly '%s' 2>&1",
        loaded ? "echo .load '" : "", loaded ? bin : "", loaded ? "/moescope';" : "", trial.folder, path);
    char *out = strdup(r.out);
    test_run_release(&r);
    return out;
}

static void expect(const char *sql, const char *expected)
{
    char *out = ask(trial.path, true, sql);
    assert_string_equal(out, expected);
    free(out);
}

static void expect_same(const char *sql)
{
    char *stock = ask(trial.path, false, sql), *fast = ask(trial.path, true, sql);
    if (strcmp(stock, fast) != 0) {
        fail_msg("the virtual table differs:\n%s\n-- stock:\n%.2000s\n-- extension:\n%.2000s", sql, stock,
                 fast);
    }
    if (strstr(stock, "rror") != NULL || stock[0] == '\0') {
        fail_msg("no answer to compare:\n%s\n%s", sql, stock);
    }
    free(stock);
    free(fast);
}

/* ---- the same rows ---- */

static void test_rows_are_those_of_the_views(void **state)
{
    (void)state;
    expect_same("SELECT * FROM routing ORDER BY sequence_id, layer, position, slot;");
    expect_same("SELECT * FROM routing_count ORDER BY sequence_id, layer, position, slot;");
    expect_same("SELECT * FROM token_loss ORDER BY sequence_id, position;");
    expect_same("SELECT count(*), count(gate), count(loss), sum(dropped) FROM routing;");
    char *kinds =
        ask(trial.path, false, "SELECT count(DISTINCT codec), sum(k IS NULL) > 0 FROM routing_block;");
    assert_string_equal(kinds, "6,1\n"); /* every codec there is, and blocks whose k varies */
    free(kinds);
}

/* The views' decoded columns have no type, and compare a text of digits as text: the one difference. */
static bool compares_alike(const char *column, const char *test)
{
    static const char untyped[] = "token_id target_id expert dropped";
    return strstr(untyped, column) == NULL || strcmp(test, "<= '2'") != 0;
}

/* Columns and values of constraints that are pushed down; each is tried with every operator. */
static void test_constraints(void **state)
{
    static const char *const columns[] = {"run_id",    "step",     "sequence_id", "sample_id", "document_id",
                                          "domain_id", "position", "token_id",    "target_id"};
    static const char *const within[] = {"layer", "slot", "expert", "dropped"};
    static const char *const tests[] = {"= 1",
                                        "> 2",
                                        ">= 2.5",
                                        "< 3.5",
                                        "<= '2'",
                                        "= 1.5",
                                        "= 'x'",
                                        "< 'x'",
                                        "> 'x'",
                                        "= NULL",
                                        "IN (0, 2, 5)",
                                        "<> 1",
                                        "BETWEEN 1 AND 3",
                                        ">= 1e30",
                                        "< -1e30",
                                        "> -1e30",
                                        "= 2.0",
                                        "IS 1",
                                        "< x'00'",
                                        "= 9223372036854775807",
                                        "> 9223372036854775807",
                                        "IS NOT NULL"};
    struct text sql;
    (void)state;
    text_init(&sql);
    for (size_t t = 0; t < sizeof tests / sizeof tests[0]; t++) {
        for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) {
            if (!compares_alike(columns[c], tests[t])) {
                continue;
            }
            text_printf(&sql, "SELECT '%s', count(*), round(total(loss), 6) FROM token_loss WHERE %s %s;\n",
                        columns[c], columns[c], tests[t]);
            text_printf(&sql,
                        "SELECT '%s', count(*), total(expert + 7 * position) FROM routing WHERE %s %s;\n",
                        columns[c], columns[c], tests[t]);
        }
        for (size_t c = 0; c < sizeof within / sizeof within[0]; c++) {
            if (!compares_alike(within[c], tests[t])) {
                continue;
            }
            text_printf(&sql,
                        "SELECT '%s', count(*), total(expert + 7 * position) FROM routing WHERE %s %s;\n",
                        within[c], within[c], tests[t]);
            text_printf(
                &sql,
                "SELECT '%s', total(decisions), round(total(gate_sum), 9) FROM routing_count WHERE %s %s;\n",
                within[c], within[c], tests[t]);
        }
    }
    expect_same(sql.data);
    text_release(&sql);
}

/* Grouping, order, joins: what decides between counting and going one by one. */
static void test_queries(void **state)
{
    static const char *const questions[] = {
        "SELECT layer, expert, count(*) FROM routing GROUP BY layer, expert;",
        "SELECT expert, layer, count(*) FROM routing GROUP BY expert, layer ORDER BY expert DESC, layer;",
        "SELECT layer, expert, count(*) FROM routing WHERE run_id = 2 AND step BETWEEN 1 AND 9 GROUP BY 1, "
        "2;",
        "SELECT split, slot, dropped, count(*) FROM routing GROUP BY split, slot, dropped;",
        "SELECT layer, token_id, count(*) FROM routing WHERE layer < 3 GROUP BY layer, token_id;",
        "SELECT layer, max(expert), min(position) FROM routing GROUP BY layer;",
        "SELECT layer, expert, count(*), round(avg(gate), 9), round(avg(loss), 9) FROM routing GROUP BY "
        "layer, expert;",
        "SELECT layer, expert, count(gate), round(avg(gate), 9), min(gate), max(gate) FROM routing GROUP BY "
        "layer, "
        "expert;",
        "SELECT run_id, split, layer, count(*), count(gate), round(sum(gate * gate), 9) FROM routing GROUP "
        "BY run_id, "
        "split, layer;",
        "SELECT expert, dropped, slot, round(avg(gate), 9) FROM routing WHERE layer BETWEEN 1 AND 3 AND "
        "expert < 200 "
        "GROUP BY expert, dropped, slot ORDER BY expert DESC, dropped, slot;",
        "SELECT document_id, step, count(*), max(gate) FROM routing WHERE gate > 0.25 AND position = 2 GROUP "
        "BY "
        "document_id, step;",
        "SELECT layer, expert, gate FROM routing WHERE run_id = 2 ORDER BY layer DESC, expert, gate;",
        "SELECT DISTINCT domain_id, layer FROM routing WHERE gate > 0.9 ORDER BY domain_id, layer;",
        "SELECT layer, round(avg(gate), 9) FROM routing WHERE token_id = 3 GROUP BY layer;",
        "SELECT r.run_id, (SELECT round(max(gate), 9) FROM routing AS g WHERE g.run_id = r.run_id GROUP BY "
        "layer LIMIT 1) "
        "FROM run AS r ORDER BY 1;",
        "SELECT DISTINCT layer, slot FROM routing ORDER BY layer DESC, slot;",
        "SELECT DISTINCT split FROM routing ORDER BY 1;",
        "SELECT DISTINCT sequence_id FROM routing ORDER BY sequence_id;",
        "SELECT count(DISTINCT expert) FROM routing;",
        "SELECT sequence_id, layer, count(*) FROM routing GROUP BY sequence_id, layer;",
        "SELECT sequence_id, layer, position, slot, expert FROM routing WHERE run_id = 1 AND split = 'train' "
        "ORDER BY sequence_id, layer, position, slot LIMIT 50 OFFSET 7;",
        "SELECT sequence_id, position, loss FROM token_loss ORDER BY sequence_id, position;",
        "SELECT position, count(*), round(avg(loss), 9) FROM token_loss GROUP BY position;",
        "SELECT d.name, c.layer, c.expert, sum(c.decisions), round(sum(c.gate_sum) / sum(c.decisions), 9) "
        "FROM routing_count AS c JOIN domain AS d USING (domain_id) GROUP BY d.name, c.layer, c.expert;",
        "SELECT run.name, sum(decisions) FROM run JOIN routing_count USING (run_id) WHERE split = 'probe' "
        "GROUP BY run.name;",
        "SELECT sum(decisions) FROM routing_count;",
        "SELECT layer, slot, dropped, sum(decisions), count(gate_sum) > 0 FROM routing_count GROUP BY layer, "
        "slot, dropped;",
        "SELECT position, token_id, sum(decisions), round(sum(gate_sum), 9) FROM routing_count WHERE layer = "
        "2 GROUP BY 1, 2;",
        "SELECT target_id, sum(decisions) FROM routing_count WHERE slot = 1 AND expert % 2 GROUP BY "
        "target_id;",
        "SELECT sum(decisions) FROM routing_count WHERE dropped = 0;",
        "SELECT sum(decisions) FROM routing_count WHERE dropped = 1 AND layer IN (1, 2);",
        "SELECT a.layer, count(*) FROM routing AS a JOIN routing AS b ON b.sequence_id = a.sequence_id AND "
        "b.layer = a.layer "
        "AND b.position = a.position AND a.slot = 0 AND b.slot = 1 WHERE a.run_id = 1 GROUP BY a.layer;",
        "SELECT s.sequence_id, (SELECT count(*) FROM routing AS r WHERE r.sequence_id = s.sequence_id AND "
        "r.layer = 0) "
        "FROM sequence AS s ORDER BY 1;",
        "WITH c AS (SELECT layer, expert, sum(decisions) AS n FROM routing_count GROUP BY layer, expert) "
        "SELECT layer, expert, n, sum(n) OVER (PARTITION BY layer) FROM c ORDER BY layer, expert;",
        "SELECT layer, expert FROM routing WHERE run_id = 1 AND layer < 2 UNION SELECT layer, slot FROM "
        "routing ORDER BY 1, 2;",
        "SELECT split, count(*) FROM routing WHERE split > 'probe' GROUP BY split;",
        "SELECT count(*) FROM routing WHERE split = 'PROBE' COLLATE NOCASE;",
        "SELECT layer, expert, count(*) FROM routing GROUP BY layer, expert HAVING count(*) > 20 ORDER BY "
        "count(*), 1, 2;",
        "SELECT count(*) FROM routing WHERE layer = 1 AND layer = 2;",
        "SELECT count(*), sum(position) FROM routing WHERE expert = 1 OR sequence_id = 1;",
        "SELECT count(*), sum(position) FROM token_loss WHERE sequence_id = 2 OR step = 1;",
        "SELECT split, sum(decisions) FROM routing_count WHERE expert = 1 OR sequence_id = 1 OR split = "
        "'probe' "
        "GROUP BY split;",
        "SELECT count(*) FROM routing WHERE split = 'probe' AND split = 'train';",
        "SELECT max(sequence_id) FROM token_loss WHERE loss IS NULL;",
    };
    (void)state;
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        expect_same(questions[i]);
    }
}

/* SQLite must not sort what comes sorted. */
static void test_order_is_consumed(void **state)
{
    (void)state;
    static const char *const questions[] = {
        "SELECT layer, expert, count(*) FROM routing GROUP BY layer, expert;",
        "SELECT layer, expert, avg(gate) FROM routing GROUP BY layer, expert;",
        "SELECT expert FROM routing WHERE run_id = 1 ORDER BY sequence_id, layer, position;",
        "SELECT loss FROM token_loss ORDER BY sequence_id, position;",
    };
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        struct text sql;
        text_init(&sql);
        text_printf(&sql, "EXPLAIN QUERY PLAN %s", questions[i]);
        char *plan = ask(trial.path, true, sql.data);
        assert_non_null(strstr(plan, "VIRTUAL TABLE"));
        assert_null(strstr(plan, "B-TREE"));
        free(plan);
        text_release(&sql);
    }
}

/* ---- what the extension adds ---- */

static void test_attached_logbooks_have_the_function_form(void **state)
{
    struct text sql;
    (void)state;
    text_init(&sql);
    text_printf(&sql,
                "ATTACH '%s' AS \"it's other\";"
                "SELECT (SELECT count(*) FROM routing(\"it's other\")) = (SELECT count(*) FROM \"it's "
                "other\".routing);"
                "SELECT count(*) FROM moescope_token_loss('it''s other') WHERE split = 'train';"
                "SELECT sum(decisions) FROM routing_count AS c WHERE c.schema = 'it''s other' AND layer = 1;",
                trial.path);
    /* In a database of its own: a name that is quoted as an identifier falls back to a text there. */
    char *inside = ask(trial.path, true,
                       "SELECT 1; SELECT count(*) FROM token_loss WHERE split = 'train';"
                       "SELECT sum(decisions) FROM routing_count WHERE layer = 1;");
    char *attached = ask(":memory:", true, sql.data);
    assert_string_equal(attached, inside);
    free(inside);
    free(attached);
    text_release(&sql);
}

static void test_tables_of_other_programs_are_left_alone(void **state)
{
    struct text path;
    (void)state;
    text_init(&path);
    text_printf(&path, "%s/other.db", trial.folder);
    struct test_run r =
        test_run("sqlite3 '%s' 'CREATE TABLE routing (x); INSERT INTO routing VALUES (7)'", path.data);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    char *out = ask(path.data, true, "SELECT * FROM routing;");
    assert_string_equal(out, "7\n");
    free(out);
    out = ask(path.data, true, "SELECT * FROM moescope_routing;");
    assert_non_null(strstr(out, "no such table: main.sequence"));
    free(out);
    text_release(&path);
}

static void test_a_files_own_views_may_not_call_it(void **state)
{
    struct text path;
    (void)state;
    text_init(&path);
    text_printf(&path, "%s/trap.db", trial.folder);
    struct test_run r =
        test_run("sqlite3 '%s' 'CREATE VIEW sequence AS SELECT * FROM moescope_routing'", path.data);
    test_run_release(&r);
    char *out = ask(path.data, true, "SELECT count(*) FROM routing;");
    assert_non_null(strstr(out, "unsafe use of virtual table"));
    free(out);
    text_release(&path);
}

/* Nor can a file have one in the place of a table that they read: it would read itself without end. */
static void test_a_table_may_not_be_one_of_them(void **state)
{
    char path[4096];
    (void)state;
    snprintf(path, sizeof path, "%s/itself.db", trial.folder);
    struct test_run r =
        test_run("cp '%s' '%s' && sqlite3 -batch '%s' \"DROP TABLE sequence\" \".load %s/moescope\" "
                 "\"CREATE VIRTUAL TABLE main.sequence USING moescope_routing\"",
                 trial.path, path, path, bin);
    assert_string_equal(r.err, "");
    test_run_release(&r);
    char *said = ask(path, true, "SELECT count(*) FROM routing;");
    assert_non_null(strstr(said, "what ought to be a table of the logbook is 'routing' itself"));
    free(said);
}

static void test_version(void **state)
{
    (void)state;
    expect("SELECT moescope_version();", "'" MOESCOPE_VERSION "'\n");
}

/* 2, 4, 4, 4, 5, 5, 7, 9: mean 5, squared deviations 32, so that the sample's deviation is sqrt(32 / 7).
 * Loads 1, 1, 2: entropy 1.5 ln 2; Gini (0 x 1 ... ) = ((2 - 4) 1 + (4 - 4) 1 + (6 - 4) 2) / (3 x 4) = 1 / 6.
 */
static void test_aggregates(void **state)
{
    static const char data[] = "WITH v(x) AS (VALUES (2), (4), (4), (4), (5), (5), (7), (9), (NULL)) ";
    struct text sql;
    (void)state;
    text_init(&sql);
    text_printf(
        &sql,
        "%s SELECT round(stddev(x) - sqrt(32.0 / 7), 12), median(x), percentile(x, 0), percentile(x, 100), "
        "percentile(x, 25), percentile(x, 90) FROM v;",
        data);
    expect(sql.data, "0.0,4.5,2.0,9.0,4.0,7.5999999999999996447\n"); /* places 1.75 and 6.3 of 0 .. 7 */
    text_release(&sql);
    expect("WITH v(x) AS (VALUES (1), (1), (2), (0)) SELECT round(entropy(x) - 1.5 * ln(2), 12) FROM v;",
           "0.0\n");
    expect("WITH v(x) AS (VALUES (2), (1), (1)) SELECT round(gini(x) - 1.0 / 6, 12) FROM v;", "0.0\n");
    expect("SELECT stddev(x), median(x), entropy(x), gini(x) FROM (SELECT 1 AS x WHERE 0);",
           "NULL,NULL,NULL,NULL\n");
    expect("SELECT stddev(3), gini(0), entropy(0);", "NULL,NULL,NULL\n");
    expect("SELECT layer, round(entropy(n), 6) > 0 FROM (SELECT layer, expert, sum(decisions) AS n FROM "
           "routing_count "
           "GROUP BY layer, expert) GROUP BY layer;",
           "0,1\n1,1\n2,1\n3,1\n4,1\n");
}

static void expect_complaint(const char *sql, const char *words)
{
    char *out = ask(trial.path, true, sql);
    if (strstr(out, words) == NULL) {
        fail_msg("'%s' says '%s', not '%s'", sql, out, words);
    }
    free(out);
}

static void test_aggregates_refuse(void **state)
{
    (void)state;
    expect_complaint("SELECT percentile(1, 101);",
                     "percentile(): the second argument must be a number from 0 to 100");
    expect_complaint("SELECT percentile(1, 'x');", "from 0 to 100");
    expect_complaint("WITH v(x) AS (VALUES (1), (2)) SELECT percentile(x, x) FROM v;",
                     "the same for all rows");
    expect_complaint("SELECT entropy(-1);", "entropy(): the argument must not be negative");
    expect_complaint("SELECT gini('much');", "gini(): the argument must be a number");
}

/* ---- damage ---- */

static void test_damage_is_told(void **state)
{
    struct text path;
    (void)state;
    text_init(&path);
    text_printf(&path, "%s/damaged.db", trial.folder);
    struct test_run r = test_run(
        "cp '%s' '%s' && sqlite3 '%s' \"UPDATE routing_block SET experts = zeroblob(length(experts)) "
        "WHERE block_id = (SELECT block_id FROM routing_block WHERE length(experts) > 4 LIMIT 1)\"",
        trial.path, path.data, path.data);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    char *out = ask(path.data, true, "SELECT count(*) FROM routing;");
    assert_non_null(strstr(out, "damaged.db' is damaged: sequence "));
    assert_non_null(strstr(out, "checksum of a routing block; `moescope check` says more"));
    free(out);
    text_release(&path);
}

/* ---- other hosts ---- */

static void test_python_loads_it(void **state)
{
    struct test_run probe =
        test_run("/usr/bin/python3 -c 'import sqlite3; sqlite3.Connection.enable_load_extension'");
    bool can = probe.status == 0;
    (void)state;
    test_run_release(&probe);
    if (!can) {
        print_message("skipped: no Python here whose sqlite3 loads extensions\n");
        skip();
    }
    struct test_run r = test_run("/usr/bin/python3 -c \"import sqlite3\n"
                                 "c = sqlite3.connect('file:%s?mode=ro', uri=True)\n"
                                 "c.enable_load_extension(True)\n"
                                 "c.load_extension('%s/moescope')\n"
                                 "print(c.execute('SELECT count(*) FROM routing').fetchone()[0] == "
                                 "c.execute('SELECT count(*) FROM main.routing').fetchone()[0])\"",
                                 trial.path, bin);
    assert_string_equal(r.err, "");
    assert_string_equal(r.out, "True\n");
    test_run_release(&r);
}

/* A program of its own, linked with the static library alone. */
static void test_static_library(void **state)
{
    static const char source[] =
        "#include <sqlite3.h>\n#include <stdio.h>\n"
        "int sqlite3_moescope_init(sqlite3 *, char **, const void *);\n"
        "static int print(void *x, int n, char **v, char **c) { (void)x, (void)n, (void)c; puts(v[0]); "
        "return 0; }\n"
        "int main(int n, char **a) { sqlite3 *db; (void)n;\n"
        "  sqlite3_auto_extension((void (*)(void))sqlite3_moescope_init);\n"
        "  return sqlite3_open(a[1], &db) || sqlite3_exec(db, a[2], print, 0, 0) || sqlite3_close(db); }\n";
    (void)state;
    if (getenv("MOESCOPE_BIN") != NULL && strstr(getenv("MOESCOPE_BIN"), "sanitize") != NULL) {
        skip(); /* its objects want the sanitizers' libraries */
    }
    test_write_text(trial.folder, "host.c", source);
    struct test_run r =
        test_run("cd '%s' && ${CC:-cc} host.c '%s/libmoescope-sqlite.a' -lsqlite3 -ldeflate -lm -o host && "
                 "./host '%s' \"SELECT count(*) = (SELECT count(*) FROM main.routing) FROM routing\"",
                 trial.folder, bin, trial.path);
    assert_string_equal(r.err, "");
    assert_string_equal(r.out, "1\n");
    test_run_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_those_of_the_views),
        cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_order_is_consumed),
        cmocka_unit_test(test_attached_logbooks_have_the_function_form),
        cmocka_unit_test(test_tables_of_other_programs_are_left_alone),
        cmocka_unit_test(test_a_files_own_views_may_not_call_it),
        cmocka_unit_test(test_a_table_may_not_be_one_of_them),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_aggregates),
        cmocka_unit_test(test_aggregates_refuse),
        cmocka_unit_test(test_damage_is_told),
        cmocka_unit_test(test_python_loads_it),
        cmocka_unit_test(test_static_library),
    };
    return cmocka_run_group_tests(tests, open_logbook, close_logbook);
}
