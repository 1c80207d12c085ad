/* The file itself: what it says it is, what is refused, corpora and runs in it, runs that go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "tests/support.h"
#include "tests/trial.h"

/* ---- the file ---- */

static void test_identity(void **state)
{
    struct trial s;
    (void)state;
    trial_open(&s);
    trial_expect(&s, "PRAGMA journal_mode;", "wal\n");
    trial_stop(&s);
    /* 1299137907 is 0x4D6F4573, "MoEs". */
    trial_expect(&s, "PRAGMA application_id; PRAGMA user_version; PRAGMA page_size; PRAGMA journal_mode;",
                 "1299137907\n2\n32768\ndelete\n");
    trial_expect(&s, "SELECT count(*) FROM _byte WHERE length(bytes) = 256 AND substr(bytes, 256) = x'ff';",
                 "1\n");
    struct test_run r = test_run("cd '%s' && ls && file log.db", s.folder);
    assert_null(strstr(r.out, "-wal"));
    assert_null(strstr(r.out, "-shm"));
    assert_non_null(strstr(r.out, "application id 1299137907"));
    test_run_release(&r);
    trial_release(&s);
}

/* Both ways of opening refuse the file, for the reason given, and leave it as it was. */
static void assert_refused(const char *path, const char *reason)
{
    struct logbook *lb;
    struct error err = {0};
    char before[SHA256_HEX] = "", after[SHA256_HEX] = "";
    sha256_file(path, before, NULL);
    for (int writable = 0; writable < 2; writable++) {
        err.text[0] = '\0';
        assert_int_equal((writable ? moescope_open : logbook_open)(&lb, path, &err), -1);
        assert_null(lb);
        assert_int_equal(err.status, STATUS_INPUT);
        if (strstr(err.text, reason) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err.text, reason);
        }
    }
    sha256_file(path, after, NULL);
    assert_string_equal(before, after);
}

static void test_refused_files(void **state)
{
    struct text path;
    char *folder = test_folder();
    (void)state;
    text_init(&path);
    text_printf(&path, "%s/text.db", folder);
    test_write(folder, "text.db",
               "This is no database, and long enough to be seen as none. ......................", 80);
    assert_refused(path.data, "not an SQLite file");

    text_clear(&path);
    text_printf(&path, "%s/other.db", folder);
    struct test_run r = test_run("sqlite3 '%s' 'CREATE TABLE t (x)'", path.data);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    assert_refused(path.data, "SQLite file of another program");

    text_clear(&path);
    text_printf(&path, "%s/newer.db", folder);
    r = test_run(
        "sqlite3 '%s' 'PRAGMA application_id = 1299137907; PRAGMA user_version = 3; CREATE TABLE run (x)'",
        path.data);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    assert_refused(path.data, "its schema is version 3, this program knows up to 2");

    assert_refused(folder, "'");
    text_release(&path);
    test_folder_remove(folder);
}

static void run_sql(const char *path, const char *sql)
{
    struct test_run r = test_run("sqlite3 -batch -bail '%s' \"%s\"", path, sql);
    if (r.status != 0) {
        fail_msg("%s", r.err);
    }
    test_run_release(&r);
}

/* Made to attack its reader: a table that is a view without end, or a virtual table. */
static void test_odd_relations(void **state)
{
    struct trial t;
    (void)state;
    trial_open(&t);
    trial_stop(&t);
    run_sql(t.path,
            "DROP TABLE sample; CREATE VIEW Sample AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i "
            "FROM n) SELECT i AS sample_id FROM n");
    assert_refused(t.path, "'Sample' is not a table in it but a view");
    run_sql(t.path, "DROP VIEW sample; CREATE VIRTUAL TABLE sample USING fts5 (a)");
    assert_refused(t.path, "'sample' is not a table in it but a virtual");
    trial_release(&t);
}

/* A reader does not ask the file's own views, nor stumble over a name in capitals. */
static void test_foreign_views(void **state)
{
    static const char sql[] =
        "DROP VIEW expert_load_window; DROP VIEW expert_load; CREATE VIEW expert_load AS WITH RECURSIVE n(i) "
        "AS (SELECT 1 UNION ALL SELECT "
        "i FROM "
        "n) SELECT i AS run_id, i AS step FROM n; ALTER TABLE run RENAME COLUMN name TO NAME";
    struct trial t;
    struct query *q;
    struct error err;
    (void)state;
    trial_open(&t);
    trial_run(&t, "one", NULL, 0, 8);
    trial_end(&t, "finished");
    trial_stop(&t);
    run_sql(t.path, sql);
    trial_read(&t);
    test_must(query_open_text(&q, t.lb, "SELECT count(*) AS n, max(gate_sum) FROM expert_load", &err), &err);
    assert_int_equal(query_step(q, &err), 1);
    assert_int_equal(query_int(q, "n"), 0);
    query_close(q);
    test_must(query_open_text(&q, t.lb, "SELECT name FROM run", &err), &err);
    assert_int_equal(query_step(q, &err), 1);
    assert_string_equal(query_text(q, "name"), "one");
    query_close(q);
    trial_release(&t);
}

static void test_missing_and_empty(void **state)
{
    struct text path;
    struct logbook *lb;
    struct error err;
    char *folder = test_folder();
    (void)state;
    text_init(&path);
    text_printf(&path, "%s/none.db", folder);
    assert_int_equal(logbook_open(&lb, path.data, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "no such file"));
    assert_int_equal(access(path.data, F_OK), -1); /* a reader makes no file */
    test_write(folder, "none.db", "", 0);
    assert_int_equal(logbook_open(&lb, path.data, &err), -1);
    assert_non_null(strstr(err.text, "it is empty"));
    assert_int_equal(moescope_open(&lb, path.data, &err), 0); /* mktemp's file becomes a logbook */
    moescope_close(lb);
    assert_int_equal(logbook_open(&lb, path.data, &err), 0);
    moescope_close(lb);
    text_clear(&path);
    text_printf(&path, "%s/no/folder.db", folder);
    assert_int_equal(moescope_open(&lb, path.data, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "no such file or directory"));
    moescope_close(NULL);
    text_release(&path);
    test_folder_remove(folder);
}

static void test_damaged(void **state)
{
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    trial_stop(&s);
    assert_int_equal(truncate(s.path, 32768 + 100), 0);
    assert_int_equal(logbook_open(&s.lb, s.path, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    trial_release(&s);
}

/* ---- corpora and runs ---- */

static void test_corpus_is_stored_once(void **state)
{
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    const struct moescope_document documents[] = {
        {"python/b.py", "python", "d2", "probe", 20000000, 5000000, NULL, 0},
        {"english/a.txt", "english", "d1", "train", 10000000, 4000000, NULL, 0},
    };
    struct moescope_corpus corpus = {.name = "again",
                                     .sha256 = "c1",
                                     .vocabulary_name = "again",
                                     .vocabulary_sha256 = "v1",
                                     .documents = documents,
                                     .n_documents = 2};
    int64_t corpus_id, vocabulary_id, document_ids[2], domain_ids[2];
    assert_int_equal(
        moescope_add_corpus(s.lb, &corpus, &corpus_id, &vocabulary_id, document_ids, domain_ids, &err), 0);
    assert_int_equal(corpus_id, s.corpus_id);
    assert_int_equal(vocabulary_id, s.vocabulary_id);
    assert_int_equal(document_ids[0], s.document_ids[1]);
    assert_int_equal(domain_ids[1], s.domain_ids[0]);
    corpus.sha256 = "c2"; /* another corpus: its own documents, the same domains and vocabulary */
    assert_int_equal(
        moescope_add_corpus(s.lb, &corpus, &corpus_id, &vocabulary_id, document_ids, domain_ids, &err), 0);
    assert_int_not_equal(corpus_id, s.corpus_id);
    assert_int_not_equal(document_ids[0], s.document_ids[1]);
    assert_int_equal(domain_ids[1], s.domain_ids[0]);
    trial_stop(&s);
    trial_expect(
        &s,
        "SELECT (SELECT count(*) FROM corpus), (SELECT count(*) FROM vocabulary),"
        " (SELECT count(*) FROM domain), (SELECT count(*) FROM document), (SELECT count(*) FROM token);",
        "2|1|2|4|4\n");
    trial_expect(&s, "SELECT key, value FROM document_label WHERE document_id = 1;",
                 "language|en\ntopic|prose\n");
    trial_expect(
        &s, "SELECT text, kind, train_count FROM token JOIN token_count USING (vocabulary_id, token_id);",
        "<unk>|special|0\na|piece|7\n b|piece|5\n<0xE3>|byte|1\n");
    trial_release(&s);
}

static void test_begin_run(void **state)
{
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    trial_run(&s, "first", trial_layers, TRIAL_LAYERS, 8);
    trial_expect(
        &s,
        "SELECT name, length(uuid), task, router, seed, status, finished_at IS NULL, heartbeat_at IS NOT "
        "NULL, config, machine ->> 'threads' FROM run;",
        "first|32|language_model|topk|7|running|1|1|{\"model.width\": 64, \"router.name\": \"topk\"}|1\n");
    trial_expect(&s, "SELECT layer, router, n_experts, k FROM moe_layer;", "0|topk|4|1\n2|soft|3|\n");
    trial_expect(&s, "SELECT layer, kind, count(*), min(expert), sum(parameters) FROM expert GROUP BY 1, 2;",
                 "0|routed|4|0|48\n0|shared|1|4|6\n2|routed|3|0|0\n");
    const struct moescope_run again = {.name = "first", .task = "x", .router = "x"};
    int64_t id;
    assert_int_equal(moescope_begin_run(s.lb, &again, &id, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "a run named 'first' already"));
    const struct moescope_run least = {.name = "second", .task = "x", .router = "x"};
    assert_int_equal(moescope_begin_run(s.lb, &least, &id, &err), 0);
    trial_expect(&s, "SELECT config, machine IS NULL, corpus_id IS NULL FROM run WHERE name = 'second';",
                 "{}|1|1\n");
    trial_end(&s, "finished");
    trial_expect(&s, "SELECT status, finished_at >= started_at FROM run WHERE name = 'first';",
                 "finished|1\n");
    trial_expect(&s, "SELECT kind FROM event WHERE run_id = 1 ORDER BY event_id;", "started\nfinished\n");
    assert_int_equal(moescope_end_run(s.lb, 99, "finished", &err), -1);
    trial_release(&s);
}

static void test_find_run(void **state)
{
    struct trial s;
    struct error err;
    int64_t id;
    (void)state;
    trial_open(&s);
    assert_int_equal(logbook_find_run(s.lb, NULL, &id, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "has no runs yet"));
    trial_run(&s, "one", trial_layers, TRIAL_LAYERS, 8);
    trial_end(&s, "finished");
    assert_int_equal(logbook_find_run(s.lb, NULL, &id, &err), 0);
    assert_int_equal(id, s.run_id);
    trial_run(&s, "two", trial_layers, TRIAL_LAYERS, 8);
    trial_end(&s, "failed");
    assert_int_equal(logbook_find_run(s.lb, "two", &id, &err), 0);
    assert_int_equal(id, s.run_id);
    assert_int_equal(logbook_find_run(s.lb, NULL, &id, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "'one', 'two'"));
    assert_int_equal(logbook_find_run(s.lb, "three", &id, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "no run named 'three'; it has 'one', 'two'"));
    trial_release(&s);
}

/* ---- steps ---- */

/* All that a run leaves but its times and its identity. */
static char *contents(struct trial *s)
{
    return trial_shell(
        s, "SELECT * FROM metric; SELECT * FROM layer_metric; SELECT * FROM load_block;"
           "SELECT * FROM document_loss; SELECT * FROM checkpoint;"
           "SELECT sample_id, document_id, \"offset\", hex(sha256), hex(tokens) FROM sample;"
           "SELECT sequence_id, run_id, step, split, sample_id, hex(losses), checksum FROM sequence;"
           "SELECT block_id, codec, k, scale, hex(experts), hex(gates), checksum FROM routing_block;"
           "SELECT block_id, hex(p) FROM probability_block; SELECT name, status FROM run;");
}

/* A run that was killed and resumed from a checkpoint reads like one that was not. The checkpoints
 * of steps 8 and 12 are written again. */
static void test_resume(void **state)
{
    struct trial whole, broken;
    struct error err;
    int64_t id;
    (void)state;
    trial_open(&whole);
    trial_run(&whole, "r", trial_layers, TRIAL_LAYERS, 8);
    trial_log_steps(&whole, 0, 14);
    trial_end(&whole, "finished");
    trial_stop(&whole);

    trial_open(&broken);
    trial_run(&broken, "r", trial_layers, TRIAL_LAYERS, 8);
    trial_log_steps(&broken, 0, 13);
    trial_end(&broken, NULL);
    trial_stop(&broken);
    assert_int_equal(moescope_open(&broken.lb, broken.path, &err), 0);
    assert_int_equal(moescope_resume_run(broken.lb, "other", 8, &id, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_int_equal(moescope_resume_run(broken.lb, "r", 8, &id, &err), 0);
    assert_int_equal(id, broken.run_id);
    trial_expect(&broken,
                 "SELECT max(step), count(*) FROM metric; SELECT max(step) FROM sequence;"
                 "SELECT max(step) FROM checkpoint; SELECT count(*) FROM sample;",
                 "7|8\n7\n4\n3\n"); /* samples of steps 0, 3 and 6 */
    const struct moescope_writer_options options = {.gate_bits = 8};
    assert_int_equal(moescope_writer_open(&broken.writer, broken.lb, id, &options, &err), 0);
    trial_log_steps(&broken, 8, 14);
    trial_end(&broken, "finished");
    trial_stop(&broken);

    char *expected = contents(&whole), *actual = contents(&broken);
    assert_string_equal(actual, expected);
    free(expected);
    free(actual);
    trial_expect(&broken, "SELECT kind, step FROM event ORDER BY event_id;",
                 "started|0\nresumed|8\nfinished|14\n");
    trial_release(&whole);
    trial_release(&broken);
}

/* Another run's samples and steps are none of the resumed run's business. */
static void test_resume_leaves_others(void **state)
{
    struct trial s;
    struct error err;
    int64_t id;
    (void)state;
    trial_open(&s);
    trial_run(&s, "a", trial_layers, TRIAL_LAYERS, 8);
    trial_log_steps(&s, 0, 6);
    trial_end(&s, "finished");
    trial_run(&s, "b", trial_layers, TRIAL_LAYERS, 8);
    trial_log_steps(&s, 0, 6);
    trial_end(&s, NULL);
    assert_int_equal(moescope_resume_run(s.lb, "b", 0, &id, &err), 0);
    trial_expect(&s,
                 "SELECT run_id, count(*) FROM sequence GROUP BY 1; SELECT count(*) FROM sample;"
                 "SELECT count(*) FROM routing_block; SELECT run_id, count(*) FROM metric GROUP BY 1;",
                 "1|7\n3\n7\n1|7\n");
    trial_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_odd_relations),
        cmocka_unit_test(test_foreign_views),
        cmocka_unit_test(test_missing_and_empty),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_corpus_is_stored_once),
        cmocka_unit_test(test_begin_run),
        cmocka_unit_test(test_find_run),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_resume_leaves_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
