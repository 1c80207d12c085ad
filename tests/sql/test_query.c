/* Queries through the library: parameters, cells, the user's own SQL, tables, literals filled in. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/support.h"
#include "tests/trial.h"

static struct trial trial;

static int open_trial(void **state)
{
    (void)state;
    trial_open(&trial);
    trial_run(&trial, "only", NULL, 0, 8);
    trial_end(&trial, "finished");
    trial_stop(&trial);
    trial_read(&trial);
    return 0;
}

static int close_trial(void **state)
{
    (void)state;
    trial_release(&trial);
    return 0;
}

static struct query *ask(const char *sql)
{
    struct query *q;
    struct error err;
    if (query_open_text(&q, trial.lb, sql, &err) != 0) {
        fail_msg("%s: %s", sql, err.text);
    }
    return q;
}

static void test_cells(void **state)
{
    struct query *q = ask("SELECT :i AS i, :r AS r, :t AS t, :unset AS none, x'0aff' AS b;");
    struct error err;
    char name[] = "it's";
    (void)state;
    query_bind_int(q, ":i", -5);
    query_bind_real(q, ":r", 0.1);
    query_bind_text(q, ":t", name);
    query_bind_int(q, ":not_in_the_query", 1);
    memset(name, 'x', 4); /* texts are copied */
    assert_int_equal(query_step(q, &err), 1);
    assert_int_equal(query_int(q, "i"), -5);
    assert_close(query_real(q, "r"), 0.1, 0);
    assert_close(query_real(q, "i"), -5, 0);
    assert_string_equal(query_text(q, "t"), "it's");
    assert_null(query_text(q, "none"));
    assert_nan(query_real(q, "none"));
    assert_true(query_is_null(q, "none"));
    assert_false(query_is_null(q, "i"));
    assert_int_equal(query_step(q, &err), 0);
    char *sql = query_expanded(q);
    assert_string_equal(sql, "SELECT -5 AS i, 0.1 AS r, 'it''s' AS t, NULL AS none, x'0aff' AS b;");
    free(sql);
    query_close(q);
    query_close(NULL);
}

static void test_named(void **state)
{
    struct query *q;
    struct error err;
    int64_t n;
    (void)state;
    assert_int_equal(query_open(&q, trial.lb, "queries/none", &err), -1);
    assert_null(q);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "no query is named 'queries/none'"));
    assert_int_equal(query_open(&q, trial.lb, "queries/runs", &err), 0);
    assert_int_equal(query_step(q, &err), 1);
    assert_string_equal(query_text(q, "name"), "only");
    query_close(q);
    assert_int_equal(query_one_int(trial.lb, "store/integers", 1, &n, &err), 0);
    assert_int_equal(n, 1024);
}

/* What is not reading is refused before it runs; so is what is not one statement. */
static void test_only_reading(void **state)
{
    static const struct {
        const char *sql, *reason;
    } refused[] = {
        {"DELETE FROM run", "only statements that read"},
        {"INSERT INTO domain (name) VALUES ('x')", "only statements that read"},
        {"UPDATE run SET name = 'x' RETURNING name", "only statements that read"},
        {"CREATE TABLE t (x)", "only statements that read"},
        {"CREATE TEMP TABLE t AS SELECT 1", "only statements that read"},
        {"DROP VIEW routing", "only statements that read"},
        {"PRAGMA user_version = 7", "only statements that read"},
        {"PRAGMA journal_mode = wal", "only statements that read"},
        {"ATTACH '/tmp/x.db' AS x", "only statements that read"},
        {"VACUUM INTO '/tmp/x.db'", "only statements that read"},
        {"BEGIN", "only statements that read"},
        {"SELECT load_extension('x')", "not authorized to use function"},
        {"UPDATE sqlite_master SET sql = ''", "table sqlite_master may not be modified"},
        {"SELECT 1; SELECT 2", "one statement at a time"},
        {"SELECT 1; DELETE FROM run", "one statement at a time"},
        {"SELECT nonsense FROM run", "no such column: nonsense"},
        {"SELEC 1", "syntax error"},
        {"-- nothing", "no statement"},
        {"", "no statement"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct query *q;
        struct error err;
        if (query_open_text(&q, trial.lb, refused[i].sql, &err) == 0) {
            fail_msg("let through: %s", refused[i].sql);
        }
        assert_null(q);
        assert_int_equal(err.status, STATUS_USAGE);
        if (strstr(err.text, refused[i].reason) == NULL) {
            fail_msg("%s: %s", refused[i].sql, err.text);
        }
    }
    trial_expect(&trial, "SELECT count(*) FROM run;", "1\n");
}

static void test_reading(void **state)
{
    static const char *const fine[] = {
        "SELECT 1 ; -- and a remark",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3) SELECT * FROM n",
        "EXPLAIN QUERY PLAN SELECT * FROM routing",
        "SELECT * FROM pragma_table_info('run')",
        "SELECT count(*) FROM expert_load",
        "SELECT * FROM json_each('[1]')",
        "SELECT name FROM dbstat",
        "PRAGMA user_version",
        "PRAGMA table_info(run)",
        "VALUES (1), (2)"};
    (void)state;
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        struct query *q = ask(fine[i]);
        struct error err;
        assert_int_equal(query_step(q, &err), 1);
        query_close(q);
    }
}

static void assert_prints(const char *sql, enum table_format format, const char *expected)
{
    struct query *q = ask(sql);
    struct error err;
    char *out;
    size_t n;
    FILE *stream = open_memstream(&out, &n);
    assert_non_null(stream);
    assert_int_equal(query_print(q, stream, format, NULL, &err), 0);
    fclose(stream);
    assert_string_equal(out, expected);
    free(out);
    query_close(q);
}

static void test_print(void **state)
{
    static const char sql[] = "SELECT 1 AS a, 'x,y' AS b, 0.1 AS c, NULL AS d, x'0aff' AS e";
    (void)state;
    assert_prints(sql, TABLE_CSV, "a,b,c,d,e\n1,\"x,y\",0.1,,x'0aff'\n");
    assert_prints(sql, TABLE_JSON,
                  "[\n  {\"a\": 1, \"b\": \"x,y\", \"c\": 0.1, \"d\": null, \"e\": \"x'0aff'\"}\n]\n");
    assert_prints("SELECT 1 AS a WHERE 0", TABLE_CSV, "a\n");
}

/* An error in the middle of the rows is an error of the whole. */
static void test_failing_row(void **state)
{
    struct query *q =
        ask("SELECT json_extract(CASE i WHEN 2 THEN '[' ELSE '[1]' END, '$[0]') AS x FROM _integer "
            "WHERE i < 4");
    struct error err;
    int rows = 0, result;
    (void)state;
    while ((result = query_step(q, &err)) == 1) {
        rows++;
    }
    assert_int_equal(rows, 2);
    assert_int_equal(result, -1);
    assert_non_null(strstr(err.text, "malformed JSON"));
    query_close(q);
}

/* What is seen only as it runs: a table-valued PRAGMA that does something. Afterwards others are as free as
 * ever. */
static void test_refused_as_it_runs(void **state)
{
    struct query *q = ask("SELECT * FROM pragma_optimize");
    struct error err;
    (void)state;
    assert_int_equal(query_step(q, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "not authorized"));
    query_close(q);
    q = ask("SELECT count(*) AS n FROM pragma_function_list");
    assert_int_equal(query_step(q, &err), 1);
    query_close(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),        cmocka_unit_test(test_named),
        cmocka_unit_test(test_only_reading), cmocka_unit_test(test_refused_as_it_runs),
        cmocka_unit_test(test_reading),      cmocka_unit_test(test_print),
        cmocka_unit_test(test_failing_row),
    };
    return cmocka_run_group_tests(tests, open_trial, close_trial);
}
