/* The relations as the outside relies on them: names and order of columns, what a stock shell needs to read a
 * part of a logbook, and the page of documentation made from the same comments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "tests/support.h"
#include "tests/trial.h"

static const struct {
    const char *relation, *columns; /* in this order; more may follow */
} contract[] = {
    {"run", "run_id uuid name task router seed status started_at heartbeat_at finished_at vocabulary_id "
            "corpus_id config "
            "program machine"},
    {"run_config", "run_id key value"},
    {"moe_layer", "run_id layer router n_experts k"},
    {"expert", "run_id layer expert kind parameters"},
    {"metric", "run_id step split name value status"},
    {"layer_metric", "run_id step split layer name value"},
    {"expert_load_window",
     "run_id first_step last_step layer expert assignments dropped gate_sum probability_sum"},
    {"expert_load", "run_id step split domain_id layer expert assignments dropped gate_sum probability_sum"},
    {"corpus", "corpus_id name sha256"},
    {"vocabulary", "vocabulary_id name sha256"},
    {"token", "vocabulary_id token_id text"},
    {"token_count", "corpus_id vocabulary_id token_id train_count"},
    {"domain", "domain_id name"},
    {"document", "document_id corpus_id domain_id name sha256"},
    {"document_label", "document_id key value"},
    {"sample", "sample_id document_id offset n_tokens sha256 tokens"},
    {"sequence", "sequence_id run_id step split sample_id losses"},
    {"document_loss", "run_id step split document_id n_tokens n_bytes loss_sum"},
    {"outcome", "run_id step split sample_id target prediction exit multiply_adds"},
    {"routing",
     "run_id step split sequence_id sample_id document_id domain_id position token_id target_id loss layer "
     "slot expert gate dropped"},
    {"routing_count",
     "run_id step split sequence_id sample_id document_id domain_id position token_id target_id layer "
     "slot expert dropped decisions gate_sum"},
    {"token_loss",
     "run_id step split sequence_id sample_id document_id domain_id position token_id target_id loss"},
    {"probability", "run_id step sequence_id sample_id position layer expert probability"},
    {"event", "event_id run_id step at kind layer expert value message"},
    {"checkpoint", "run_id step path sha256"},
};

static void test_contract(void **state)
{
    struct trial t;
    (void)state;
    trial_open(&t);
    trial_stop(&t);
    for (size_t i = 0; i < sizeof contract / sizeof contract[0]; i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "SELECT group_concat(name, ' ') FROM pragma_table_xinfo('%s');",
                 contract[i].relation);
        char *columns = trial_shell(&t, sql);
        size_t n = strlen(contract[i].columns);
        if (strncmp(columns, contract[i].columns, n) != 0) {
            fail_msg("%s has the columns %s", contract[i].relation, columns);
        }
        free(columns);
    }
    trial_expect(
        &t, "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY 1;",
        "expert_load\nexpert_load_window\nprobability\nrouting\nrouting_count\nrun_config\ntoken_loss\n");
    trial_release(&t);
}

/* What is asked for is looked up: no plan reads a whole table of sequences, samples or blocks. */
static void test_constraints_are_used(void **state)
{
    static const char *const queries[] = {
        "SELECT * FROM routing WHERE sequence_id = 5",
        "SELECT * FROM routing WHERE sequence_id = 5 AND layer = 2 AND position = 7 AND slot = 0",
        "SELECT * FROM routing WHERE run_id = 1 AND split = 'probe' AND step = 100 AND layer = 2",
        "SELECT layer, expert, sum(decisions) FROM routing_count WHERE run_id = 1 AND split = 'train' AND "
        "step < 9 GROUP BY "
        "1, 2",
        "SELECT d.name, r.expert, count(*) FROM routing AS r JOIN domain AS d USING (domain_id) WHERE "
        "r.run_id = 1 AND "
        "r.split = 'probe' AND r.step = 3 GROUP BY 1, 2",
        "SELECT t.text, count(*) FROM token AS t JOIN routing AS r ON r.token_id = t.token_id WHERE "
        "t.vocabulary_id = 1 "
        "AND r.run_id = 1 AND r.split = 'probe' AND r.step = 3 GROUP BY 1",
        "SELECT avg(loss) FROM token_loss WHERE run_id = 1 AND split = 'valid' AND step = 7",
        "SELECT * FROM probability WHERE run_id = 1 AND step = 9 AND layer = 1",
        "SELECT * FROM probability WHERE sequence_id = 9",
        "SELECT sum(assignments) FROM expert_load WHERE run_id = 1 AND step = 3 AND split = 'train'",
    };
    struct trial t;
    (void)state;
    trial_open(&t);
    trial_stop(&t);
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        struct text sql;
        text_init(&sql);
        text_printf(&sql, "EXPLAIN QUERY PLAN %s;", queries[i]);
        char *plan = trial_shell(&t, sql.data);
        /* SCAN b is the one row of _byte, SCAN e the array of one load, SCAN d the domains. */
        for (const char *at = plan; (at = strstr(at, "SCAN ")) != NULL; at++) {
            if (strncmp(at, "SCAN b\n", 7) != 0 && strncmp(at, "SCAN e ", 7) != 0 &&
                strncmp(at, "SCAN d ", 7) != 0) {
                fail_msg("%s\n%s", queries[i], plan);
            }
        }
        assert_null(strstr(plan, "AUTOMATIC"));
        free(plan);
        text_release(&sql);
    }
    trial_release(&t);
}

/* schema.sql, the views and create.sql, piped into a shell, make the logbook that the library makes. */
static void test_shell_makes_the_same(void **state)
{
    static const char *const files[] = {
        "schema",        "views/expert_load",   "views/expert_load_window", "views/probability",
        "views/routing", "views/routing_count", "views/run_config",         "views/token_loss",
        "store/create"};
    static const char list[] = "SELECT type, name, tbl_name, sql FROM sqlite_schema; SELECT * FROM _integer;"
                               "SELECT hex(bytes) FROM _byte; PRAGMA application_id; PRAGMA user_version;";
    struct trial t;
    struct text sql, path;
    (void)state;
    trial_open(&t);
    trial_stop(&t);
    text_init(&sql);
    text_init(&path);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        text_add(&sql, sql_text(files[i]));
    }
    text_add(&sql, list);
    test_write(t.folder, "all.sql", sql.data, sql.length);
    text_printf(&path, "%s/all.sql", t.folder);
    struct test_run r = test_run("sqlite3 ':memory:' < '%s'", path.data);
    assert_int_equal(r.status, 0);
    assert_string_equal(r.err, "");
    trial_expect(&t, list, r.out);
    test_run_release(&r);
    text_release(&sql);
    text_release(&path);
    trial_release(&t);
}

static void test_documentation_is_current(void **state)
{
    struct error err;
    char *page;
    size_t n;
    (void)state;
    if (!file_exists("docs/schema.sh")) {
        skip(); /* not started from the repository's root */
    }
    struct test_run r = test_run("sh docs/schema.sh");
    assert_int_equal(r.status, 0);
    assert_int_equal(file_read("docs/schema.md", &page, &n, &err), 0);
    if (strcmp(page, r.out) != 0) {
        fail_msg("docs/schema.md is not what docs/schema.sh prints: sh docs/schema.sh > docs/schema.md");
    }
    free(page);
    test_run_release(&r);
}

static void test_embedded_files(void **state)
{
    const char *name, *previous = "";
    int n = 0;
    (void)state;
    assert_null(sql_text("queries/none"));
    assert_null(sql_text(""));
    assert_non_null(sql_text("queries/runs"));
    assert_null(sql_name("none/", 0));
    while ((name = sql_name("queries/", n)) != NULL) {
        assert_true(strcmp(previous, name) < 0);
        assert_memory_equal(name, "queries/", 8);
        assert_memory_equal(sql_text(name), "-- ", 3); /* the question comes first */
        previous = name;
        n++;
    }
    assert_true(n >= 12);
    /* Backslashes, quotes and question marks survive the embedding. */
    assert_non_null(strstr(sql_text("queries/runs"), "what losses?\n"));
    assert_non_null(strstr(sql_text("store/check_foreign_keys"), "\"table\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contract),
        cmocka_unit_test(test_constraints_are_used),
        cmocka_unit_test(test_shell_makes_the_same),
        cmocka_unit_test(test_documentation_is_current),
        cmocka_unit_test(test_embedded_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
