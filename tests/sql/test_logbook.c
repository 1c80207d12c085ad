/* The file itself: what it says it is, what is refused, runs that end, fail and go on, two writers at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "tests/support.h"
#include "tests/trial.h"

static const struct logbook_layer layers[] = {
    {.layer = 0,
     .router = "topk",
     .n_experts = 4,
     .k = 1,
     .expert_parameters = 12,
     .n_shared = 1,
     .shared_parameters = 6},
    {.layer = 2, .router = "soft", .n_experts = 3},
};

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
        assert_int_equal((writable ? logbook_open_writable : logbook_open)(&lb, path, &err), -1);
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
    assert_int_equal(logbook_open_writable(&lb, path.data, &err), 0); /* mktemp's file becomes a logbook */
    logbook_close(lb);
    assert_int_equal(logbook_open(&lb, path.data, &err), 0);
    logbook_close(lb);
    text_clear(&path);
    text_printf(&path, "%s/no/folder.db", folder);
    assert_int_equal(logbook_open_writable(&lb, path.data, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "no such file or directory"));
    logbook_close(NULL);
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
    const struct logbook_document documents[] = {
        {"python/b.py", "python", "d2", "probe", 20000000, 5000000, NULL, 0},
        {"english/a.txt", "english", "d1", "train", 10000000, 4000000, NULL, 0},
    };
    struct logbook_corpus corpus = {.name = "again",
                                    .sha256 = "c1",
                                    .vocabulary_name = "again",
                                    .vocabulary_sha256 = "v1",
                                    .documents = documents,
                                    .n_documents = 2};
    int64_t corpus_id, vocabulary_id, document_ids[2], domain_ids[2];
    assert_int_equal(
        logbook_add_corpus(s.lb, &corpus, &corpus_id, &vocabulary_id, document_ids, domain_ids, &err), 0);
    assert_int_equal(corpus_id, s.corpus_id);
    assert_int_equal(vocabulary_id, s.vocabulary_id);
    assert_int_equal(document_ids[0], s.document_ids[1]);
    assert_int_equal(domain_ids[1], s.domain_ids[0]);
    corpus.sha256 = "c2"; /* another corpus: its own documents, the same domains and vocabulary */
    assert_int_equal(
        logbook_add_corpus(s.lb, &corpus, &corpus_id, &vocabulary_id, document_ids, domain_ids, &err), 0);
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
    trial_run(&s, "first", layers, 2, 8);
    trial_expect(
        &s,
        "SELECT name, length(uuid), task, router, seed, status, finished_at IS NULL, heartbeat_at IS NOT "
        "NULL, config, machine ->> 'threads' FROM run;",
        "first|32|language_model|topk|7|running|1|1|{\"model.width\": 64, \"router.name\": \"topk\"}|1\n");
    trial_expect(&s, "SELECT layer, router, n_experts, k FROM moe_layer;", "0|topk|4|1\n2|soft|3|\n");
    trial_expect(&s, "SELECT layer, kind, count(*), min(expert), sum(parameters) FROM expert GROUP BY 1, 2;",
                 "0|routed|4|0|48\n0|shared|1|4|6\n2|routed|3|0|0\n");
    const struct logbook_run again = {.name = "first", .task = "x", .router = "x"};
    int64_t id;
    assert_int_equal(logbook_begin_run(s.lb, &again, &id, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "a run named 'first' already"));
    const struct logbook_run least = {.name = "second", .task = "x", .router = "x"};
    assert_int_equal(logbook_begin_run(s.lb, &least, &id, &err), 0);
    trial_expect(&s, "SELECT config, machine IS NULL, corpus_id IS NULL FROM run WHERE name = 'second';",
                 "{}|1|1\n");
    trial_end(&s, "finished");
    trial_expect(&s, "SELECT status, finished_at >= started_at FROM run WHERE name = 'first';",
                 "finished|1\n");
    trial_expect(&s, "SELECT kind FROM event WHERE run_id = 1 ORDER BY event_id;", "started\nfinished\n");
    assert_int_equal(logbook_end_run(s.lb, 99, "finished", &err), -1);
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
    trial_run(&s, "one", layers, 2, 8);
    trial_end(&s, "finished");
    assert_int_equal(logbook_find_run(s.lb, NULL, &id, &err), 0);
    assert_int_equal(id, s.run_id);
    trial_run(&s, "two", layers, 2, 8);
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

/* A step as training logs it; what it contains is a function of the step alone. Every third step sees a new
 * piece of the document, the others old ones. */
static void log_step(struct trial *s, int64_t step)
{
    struct error err;
    struct logbook_batch *b = logbook_batch_new(s->writer, &err);
    const int32_t piece = (int32_t)(step % 3 == 0 ? step : 0);
    const int32_t ids[] = {piece, 1, 2};
    const float loss[] = {(float)step, 1};
    const int32_t expert[] = {(int32_t)(step % 4), 3};
    const float gate[] = {0.5f, 0.25f}, probability[8] = {1, 0, 0, 0, 0, 0, 0, 1};
    const int64_t assignments[] = {1, 0, 0, 1};
    const double sums[] = {0.1 * (double)step, 0, 0, 1};
    const struct logbook_sequence q = {
        .document_id = s->document_ids[0], .offset = 2 * piece, .n_tokens = 2, .ids = ids, .loss = loss};
    const struct logbook_block block = {.n_experts = 4, .k = 1, .expert = expert, .gate = gate};
    const struct logbook_load load = {
        .n_experts = 4, .assignments = assignments, .gate_sum = sums, .probability_sum = sums};
    assert_non_null(b);
    logbook_batch_metric(b, step, "train", "loss", (double)step);
    logbook_batch_layer_metric(b, step, "train", 0, "router_entropy", (double)step);
    logbook_batch_document_loss(b, step, "train", s->document_ids[0], 2, 5, (double)step + 1);
    logbook_batch_load(b, step, "train", &load);
    int handle = logbook_batch_sequence(b, step, step % 2 == 0 ? "train" : "probe", &q);
    logbook_batch_routing(b, handle, &block);
    logbook_batch_probability(b, handle, 0, 4, probability);
    if (step % 4 == 0) {
        logbook_batch_checkpoint(b, step, "c.safetensors", "ff");
    }
    if (logbook_batch_commit(b, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void log_steps(struct trial *s, int64_t first, int64_t last)
{
    for (int64_t step = first; step <= last; step++) {
        log_step(s, step);
    }
}

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
    trial_run(&whole, "r", layers, 2, 8);
    log_steps(&whole, 0, 14);
    trial_end(&whole, "finished");
    trial_stop(&whole);

    trial_open(&broken);
    trial_run(&broken, "r", layers, 2, 8);
    log_steps(&broken, 0, 13);
    trial_end(&broken, NULL);
    trial_stop(&broken);
    assert_int_equal(logbook_open_writable(&broken.lb, broken.path, &err), 0);
    assert_int_equal(logbook_resume_run(broken.lb, "other", 8, &id, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_int_equal(logbook_resume_run(broken.lb, "r", 8, &id, &err), 0);
    assert_int_equal(id, broken.run_id);
    trial_expect(&broken,
                 "SELECT max(step), count(*) FROM metric; SELECT max(step) FROM sequence;"
                 "SELECT max(step) FROM checkpoint; SELECT count(*) FROM sample;",
                 "7|8\n7\n4\n3\n"); /* samples of steps 0, 3 and 6 */
    const struct logbook_writer_options options = {.gate_bits = 8};
    assert_int_equal(logbook_writer_open(&broken.writer, broken.lb, id, &options, &err), 0);
    log_steps(&broken, 8, 14);
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
    trial_run(&s, "a", layers, 2, 8);
    log_steps(&s, 0, 6);
    trial_end(&s, "finished");
    trial_run(&s, "b", layers, 2, 8);
    log_steps(&s, 0, 6);
    trial_end(&s, NULL);
    assert_int_equal(logbook_resume_run(s.lb, "b", 0, &id, &err), 0);
    trial_expect(&s,
                 "SELECT run_id, count(*) FROM sequence GROUP BY 1; SELECT count(*) FROM sample;"
                 "SELECT count(*) FROM routing_block; SELECT run_id, count(*) FROM metric GROUP BY 1;",
                 "1|7\n3\n7\n1|7\n");
    trial_release(&s);
}

/* ---- two writers ---- */

static int write_in_child(const char *path, const char *name)
{
    struct trial s = {.path = (char *)path};
    struct error err;
    int64_t corpus_id, vocabulary_id;
    const struct logbook_document document = {"english/a.txt", "english", "d1", "train",
                                              10000000,        4000000,   NULL, 0};
    const struct logbook_corpus corpus = {.name = "scratch",
                                          .sha256 = "c1",
                                          .vocabulary_name = "tiny",
                                          .vocabulary_sha256 = "v1",
                                          .documents = &document,
                                          .n_documents = 1};
    if (logbook_open_writable(&s.lb, path, &err) != 0 ||
        logbook_add_corpus(s.lb, &corpus, &corpus_id, &vocabulary_id, s.document_ids, s.domain_ids, &err) !=
            0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    trial_run(&s, name, layers, 2, 8);
    log_steps(&s, 0, 59);
    trial_end(&s, "finished");
    logbook_close(s.lb);
    return 0;
}

/* Two programs create the same logbook and write at once: no ids clash, nothing is lost, and the file stands
 * alone when both are gone. */
static void test_two_writers(void **state)
{
    struct trial s = {.folder = test_folder()};
    struct text path;
    (void)state;
    text_init(&path);
    text_printf(&path, "%s/log.db", s.folder);
    s.path = text_detach(&path);
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            _exit(write_in_child(s.path, i == 0 ? "left" : "right"));
        }
    }
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    trial_expect(
        &s,
        "SELECT name, status, (SELECT count(*) FROM sequence AS s WHERE s.run_id = run.run_id) FROM run "
        "ORDER BY name; SELECT count(*), count(DISTINCT block_id) FROM routing_block;"
        "SELECT count(*) FROM sample; PRAGMA integrity_check;",
        "left|finished|60\nright|finished|60\n120|120\n20\nok\n"); /* steps 0, 3, ..., 57 */
    struct test_run r = test_run("ls '%s'", s.folder);
    assert_null(strstr(r.out, "log.db-wal"));
    test_run_release(&r);
    trial_release(&s);
}

/* ---- readers ---- */

/* A reader sees whole steps while a run writes, and does not disturb it; the writer's close leaves the file
 * readable even though it cannot leave WAL mode. */
static void test_reader_beside_writer(void **state)
{
    struct trial s;
    struct logbook *reader;
    struct query *q;
    struct error err;
    (void)state;
    trial_open(&s);
    trial_run(&s, "live", layers, 2, 8);
    log_steps(&s, 0, 4);
    assert_int_equal(logbook_writer_drain(s.writer, &err), 0);
    assert_int_equal(logbook_open(&reader, s.path, &err), 0);
    assert_int_equal(query_open_text(&q, reader, "SELECT count(*) AS n FROM metric", &err), 0);
    assert_int_equal(query_step(q, &err), 1);
    assert_int_equal(query_int(q, "n"), 5);
    log_steps(&s, 5, 9); /* the open cursor of the reader holds an old view */
    trial_end(&s, "finished");
    trial_stop(&s);
    assert_int_equal(query_step(q, &err), 0);
    query_close(q);
    trial_expect(&s, "SELECT count(*) FROM metric;", "10\n");
    logbook_close(reader);
    trial_release(&s);
}

/* A file that a killed run left in WAL mode needs its folder: said in words. Root is not bound by file modes,
 * so the folder is read as nobody. */
static void test_killed_in_read_only_folder(void **state)
{
    struct trial s;
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    trial_open(&s);
    int status;
    /* What a kill leaves: the file says WAL, and the side files may be gone with a copy. */
    struct test_run r = test_run(
        "cd '%s' && mkdir copy && cp log.db copy/ && chmod 755 . copy && chmod 644 copy/log.db", s.folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct logbook *lb;
        struct error err;
        struct text path;
        text_init(&path);
        text_printf(&path, "%s/copy/log.db", s.folder);
        if (setgid(65534) != 0 || setuid(65534) != 0) {
            _exit(9);
        }
        int refused = logbook_open(&lb, path.data, &err) == -1 && err.status == STATUS_INPUT &&
                      strstr(err.text, "left it in WAL mode") != NULL;
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    trial_release(&s);
}

/* ---- a kill ---- */

/* Killed at any moment, a run leaves whole steps: as many sequences, blocks and loads as metrics. A reader
 * needs nothing special, and the next writer leaves a file that stands alone. */
static void test_kill(void **state)
{
    struct trial s;
    struct error err;
    int64_t id;
    int status, progress[2];
    char byte;
    (void)state;
    trial_open(&s);
    trial_stop(&s);
    for (int round = 0; round < 5; round++) {
        assert_int_equal(pipe(progress), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            char name[16];
            snprintf(name, sizeof name, "run%d", round);
            if (logbook_open_writable(&s.lb, s.path, NULL) != 0) {
                _exit(1);
            }
            trial_run(&s, name, layers, 2, 8);
            for (int64_t step = 0;; step += 8) {
                log_steps(&s, step, step + 7);
                if (step == 0 && logbook_writer_drain(s.writer, NULL) != 0) {
                    _exit(3);
                }
                if (write(progress[1], "x", 1) != 1) {
                    _exit(2);
                }
            }
        }
        close(progress[1]); /* a child that fails ends the read */
        /* Eight steps are stored; then somewhere in those that follow. */
        assert_int_equal(read(progress[0], &byte, 1), 1);
        usleep((useconds_t)(1700 * round));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        close(progress[0]);
    }
    trial_expect(&s, "PRAGMA integrity_check; SELECT count(*), sum(status = 'running') FROM run;",
                 "ok\n5|5\n");
    trial_expect(
        &s,
        "SELECT count(*) > 5, count(*) = (SELECT count(*) FROM sequence), count(*) = (SELECT count(*) FROM "
        "routing_block), count(*) = (SELECT count(*) FROM load_block) FROM metric;"
        "SELECT count(*) FROM (SELECT run_id, max(step) + 1 AS n, count(*) AS m FROM metric GROUP BY 1) "
        "WHERE "
        "n <> m;",
        "1|1|1|1\n0\n");
    assert_int_equal(logbook_open_writable(&s.lb, s.path, &err), 0);
    assert_int_equal(logbook_resume_run(s.lb, "run2", 3, &id, &err), 0);
    trial_stop(&s);
    trial_expect(&s, "PRAGMA journal_mode; SELECT count(*) FROM metric WHERE run_id = 3;", "delete\n3\n");
    trial_release(&s);
}

/* ---- a full disk ---- */

/* The limit on file size stands in for a full disk. The thread's failure reaches the caller, what was
 * committed before is whole, and the writer goes on refusing. */
static int write_until_full(const char *path)
{
    struct trial s = {.path = (char *)path};
    struct error err = {0};
    struct stat file;
    static char filler[200000];
    memset(filler, 'x', sizeof filler - 1);
    signal(SIGXFSZ, SIG_IGN);
    if (logbook_open_writable(&s.lb, path, &err) != 0) {
        return 1;
    }
    trial_run(&s, "full", layers, 2, 8);
    if (stat(path, &file) != 0) {
        return 2;
    }
    const struct rlimit limit = {(rlim_t)file.st_size + 3000000, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 3;
    }
    int result = 0;
    for (int64_t step = 0; result == 0 && step < 1000; step++) {
        struct logbook_batch *b = logbook_batch_new(s.writer, &err);
        result = b == NULL ? -1 : 0;
        if (b != NULL) {
            logbook_batch_metric(b, step, "train", "loss", 1);
            logbook_batch_event(b, step, "note", -1, -1, NAN, filler);
            result = logbook_batch_commit(b, &err);
        }
    }
    if (result == 0 || err.status != STATUS_MACHINE) {
        return 4;
    }
    if (logbook_batch_new(s.writer, &err) != NULL || logbook_writer_close(s.writer, &err) != -1) {
        return 5;
    }
    logbook_close(s.lb);
    return 0;
}

static void test_full_disk(void **state)
{
    struct trial s;
    int status;
    (void)state;
    trial_open(&s);
    trial_stop(&s);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(write_until_full(s.path));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    trial_expect(
        &s,
        "PRAGMA integrity_check; SELECT count(*) > 0, count(*) = max(step) + 1, count(*) = (SELECT count(*) "
        "FROM event WHERE kind = 'note') FROM metric;",
        "ok\n1|1|1\n");
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
        cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_reader_beside_writer),
        cmocka_unit_test(test_killed_in_read_only_folder),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
