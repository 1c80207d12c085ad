/* moescope merge: a run's rows are the same wherever it is, merged once or twice or in any company; what
 * grows is brought up to date; what contradicts is refused, and then nothing has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "tests/merging.h"
#include "tests/sound.h"
#include "tests/support.h"

/* A run of another corpus, whose domains and vocabulary are others too: all ids behind it are taken. */
static void merge_decoy(const struct place *p)
{
    struct trial t;
    sound_logbook(&t, "decoy", NULL, 3, "finished");
    test_sql(t.path, "UPDATE corpus SET sha256 = 'decoy'; UPDATE vocabulary SET sha256 = 'decoy';"
                     "UPDATE domain SET name = 'decoy ' || name;");
    merges(p, t.path, "decoy,added", "");
    trial_release(&t);
}

/* What the engine does not log as yet, so that those relations are tested too. */
static const char more_relations[] =
    "INSERT INTO outcome SELECT run_id, step, split, sample_id, 1, 2, 3, 4 FROM sequence WHERE step < 2;"
    "INSERT INTO checkpoint SELECT run_id, 4, 'c.safetensors', 'abc' FROM run;"
    "UPDATE sequence SET losses = NULL, checksum = NULL WHERE sequence_id = 3;"
    "UPDATE routing_block SET gates = NULL WHERE block_id = 2048;"
    "INSERT INTO event (run_id, step, at, kind, layer, expert, value, message) SELECT run_id, 2, 'now', "
    "'alarm', 0, 1, "
    "0.5, 'it''s odd' FROM run;";

/* ---- one log ---- */

static void test_rows_are_the_same(void **state)
{
    struct trial t;
    struct place p;
    (void)state;
    place_open(&p);
    sound_logbook(&t, "sound", "u1", 0, "finished");
    test_sql(t.path, more_relations);
    merges(&p, t.path, "sound,added,finished,12\n", "");
    assert_same_contents(p.out, t.path, NULL);
    test_answer(p.out, "SELECT count(*), origin LIKE '%log.db', last_step, held FROM run_part", "1|1||\n");
    trial_release(&t);
    place_release(&p);
}

static void test_ids_are_given_anew(void **state)
{
    struct trial t;
    struct place p;
    (void)state;
    place_open(&p);
    merge_decoy(&p);
    sound_logbook(&t, "sound", "u1", 0, "finished");
    merges(&p, t.path, "sound,added", "");
    assert_same_contents(p.out, t.path, "u1");
    test_answer(p.out, "SELECT min(sequence_id), max(sequence_id) FROM sequence WHERE run_id = 2", "13|24\n");
    test_answer(p.out, "SELECT min(domain_id), max(domain_id) FROM load_block WHERE run_id = 2", "0|4\n");
    sound_expect(p.out, "", "two merged logbooks");
    trial_release(&t);
    place_release(&p);
}

static void test_twice_changes_nothing(void **state)
{
    struct trial t;
    struct place p;
    char before[SHA256_HEX], after[SHA256_HEX];
    struct error err;
    (void)state;
    place_open(&p);
    merge_decoy(&p);
    sound_logbook(&t, "sound", NULL, 0, "finished");
    test_must(sha256_file(t.path, before, &err), &err);
    merges(&p, t.path, "sound,added", "");
    merging_changes_nothing(&p, t.path, "sound,unchanged,finished,0");
    test_must(sha256_file(t.path, after, &err), &err);
    assert_string_equal(before, after); /* the input is only read */
    trial_release(&t);
    place_release(&p);
}

/* The same samples and corpus are stored once, whoever brings them. */
static void test_content_is_shared(void **state)
{
    struct trial a, b;
    struct place p;
    (void)state;
    place_open(&p);
    sound_logbook(&a, "a", NULL, 0, "finished");
    sound_logbook(&b, "b", NULL, 0, "finished");
    merges(&p, a.path, "a,added", "");
    merges(&p, b.path, "b,added", "");
    test_answer(p.out,
                "SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM corpus), (SELECT count(*) FROM "
                "document), (SELECT "
                "count(*) FROM sample), (SELECT count(*) FROM sequence)",
                "2|1|2|12|24\n");
    sound_expect(p.out, "", "two runs over the same samples");
    trial_release(&a);
    trial_release(&b);
    place_release(&p);
}

/* Two writers at once: their sequences alternate in the file. */
static void test_interleaved_runs(void **state)
{
    struct trial t;
    struct place p;
    struct moescope_writer *first;
    int64_t first_run;
    struct error err;
    (void)state;
    place_open(&p);
    trial_open(&t);
    t.uuid = "u1";
    sound_run(&t, "one", 2, 0);
    first = t.writer;
    first_run = t.run_id;
    t.uuid = "u2";
    sound_run(&t, "two", 2, 1);
    for (int step = 2; step < 6; step++) {
        struct moescope_writer *second = t.writer;
        t.writer = first;
        sound_steps(&t, step, step, 0);
        t.writer = second;
        sound_steps(&t, step, step, 1);
    }
    trial_end(&t, "finished");
    test_must(moescope_writer_close(first, &err), &err);
    test_must(moescope_end_run(t.lb, first_run, "finished", &err), &err);
    trial_stop(&t);
    merge_decoy(&p);
    merges(&p, t.path, "one,added,finished,12", "");
    assert_same_contents(p.out, t.path, "u1");
    assert_same_contents(p.out, t.path, "u2");
    merging_changes_nothing(&p, t.path, "two,unchanged");
    sound_expect(p.out, "", "interleaved runs");
    trial_release(&t);
    place_release(&p);
}

static void test_grown_run_is_renewed(void **state)
{
    struct trial t;
    struct place p;
    (void)state;
    place_open(&p);
    merge_decoy(&p);
    test_sql(p.out, "UPDATE run SET name = 'sound' WHERE name = 'decoy';"); /* so that it is renamed */
    trial_open(&t);
    t.uuid = "u1";
    sound_run(&t, "sound", 3, 0);
    merges(&p, t.path, "sound-2,added,running,6", "still running there"); /* while it is being written */
    sound_steps(&t, 3, 3, 0);
    merges(&p, t.path, "sound-2,renewed,running,8", "still running there");
    trial_end(&t, "interrupted");
    trial_stop(&t);
    merges(&p, t.path, "sound-2,renewed,interrupted,8", "");
    struct test_run r = test_run("cp '%s' '%s/older.db'", t.path, t.folder);
    test_run_release(&r);
    trial_resume(&t, "sound", 4, 8);
    sound_steps(&t, 4, 5, 0);
    trial_end(&t, "finished");
    trial_stop(&t);
    merges(&p, t.path, "sound-2,renewed,finished,12", "");
    merging_changes_nothing(&p, t.path, "sound-2,unchanged");
    char *older = NULL;
    assert_true(asprintf(&older, "%s/older.db", t.folder) > 0);
    merging_changes_nothing(&p, older, "sound-2,kept");
    test_sql(p.out,
             "UPDATE run SET name = 'sound', run_id = run_id WHERE uuid = 'u1' AND (SELECT max(0) FROM run);"
             "UPDATE run SET name = 'decoy' WHERE name = 'sound'; UPDATE run SET name = 'sound' WHERE uuid = "
             "'u1';");
    assert_same_contents(p.out, t.path, "u1");
    sound_expect(p.out, "", "a run that was renewed");
    free(older);
    trial_release(&t);
    place_release(&p);
}

/* What was pruned here stays pruned; what was pruned there does not take away what is here. */
static void test_pruning_is_respected(void **state)
{
    static const char prune[] =
        "DELETE FROM routing_block; INSERT INTO event (run_id, step, at, kind) SELECT run_id, 5, "
        "'now', 'pruned' FROM run;";
    struct trial t;
    struct place p;
    (void)state;
    place_open(&p);
    sound_logbook(&t, "sound", NULL, 0, "finished");
    merges(&p, t.path, "sound,added", "");
    char *copy = NULL;
    assert_true(asprintf(&copy, "%s/pruned.db", t.folder) > 0);
    struct test_run r = test_run("cp '%s' '%s'", t.path, copy);
    test_run_release(&r);
    test_sql(copy, prune);
    merging_changes_nothing(&p, copy, "sound,unchanged");
    test_sql(copy, "UPDATE metric SET step = 6 WHERE step = 5; UPDATE run SET heartbeat_at = '2999';");
    merging_changes_nothing(&p, copy, "sound,kept");
    test_sql(p.out, prune);
    merging_changes_nothing(&p, t.path, "sound,unchanged");
    free(copy);
    trial_release(&t);
    place_release(&p);
}

/* ---- what contradicts ---- */

static void test_taken_names(void **state)
{
    struct trial a, b, c;
    struct place p;
    (void)state;
    sound_logbook(&a, "sound", NULL, 0, "finished");
    sound_logbook(&b, "sound", NULL, 0, "finished");
    sound_logbook(&c, "sound", NULL, 0, "finished");
    place_open(&p);
    merges(&p, a.path, "sound,added", "");
    char *refusing = NULL;
    assert_true(asprintf(&refusing, "'%s' --no-rename", b.path) > 0);
    refuses(&p, refusing, "another run is named 'sound' here");
    merges(&p, b.path, "sound-2,added", "another run has its name: it is 'sound-2' here");
    merges(&p, c.path, "sound-3,added", "it is 'sound-3' here");
    merging_changes_nothing(&p, b.path, "sound-2,unchanged");
    free(refusing);
    trial_release(&a);
    trial_release(&b);
    trial_release(&c);
    place_release(&p);
}

static void test_contradicting_contents(void **state)
{
    static const struct {
        const char *damage, *said;
    } other[] = {
        {"UPDATE document SET n_bytes = 7 WHERE name = 'python/b.py'",
         "the document 'python/b.py' of the corpus 'scratch' is another one there"},
        {"UPDATE document SET sha256 = 'x' WHERE name = 'english/a.txt'", "the document 'english/a.txt'"},
        {"UPDATE document SET domain_id = 1", "the document 'python/b.py'"},
        {"UPDATE document_label SET value = 'de' WHERE key = 'language'",
         "the document 'english/a.txt' has another label 'language' there"},
        {"UPDATE token SET text = 'z' WHERE token_id = 2",
         "token 2 of the vocabulary 'tiny' is another one there"},
        {"UPDATE token_count SET train_count = 9 WHERE token_id = 1",
         "has token 1 another number of times there"},
        {"UPDATE sample SET sha256 = zeroblob(32) WHERE sample_id = 3",
         "the document 'english/a.txt' has other tokens from 1 on there"},
        {"UPDATE run SET corpus_id = 9", "of a corpus or a vocabulary that is not there"},
        {"DELETE FROM sample WHERE sample_id = 2", "NOT NULL constraint failed: sequence.sample_id"},
        {"DELETE FROM domain WHERE domain_id = 2", "document 2 is of a corpus or a domain that is not there"},
    };
    struct place p;
    struct trial t;
    (void)state;
    place_open(&p);
    sound_logbook(&t, "first", NULL, 0, "finished");
    merges(&p, t.path, "first,added", "");
    trial_release(&t);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        sound_logbook(&t, "second", NULL, 0, "finished");
        test_sql(t.path, other[i].damage);
        refuses(&p, t.path, other[i].said);
        trial_release(&t);
    }
    place_release(&p);
}

/* ---- files ---- */

static void test_version_1_is_merged(void **state)
{
    struct trial t;
    struct place p;
    (void)state;
    place_open(&p);
    sound_logbook(&t, "sound", "u1", 0, "finished");
    char *newer = NULL;
    assert_true(asprintf(&newer, "%s/newer.db", t.folder) > 0);
    struct test_run r = test_run("cp '%s' '%s'", t.path, newer);
    test_run_release(&r);
    test_make_version_1(t.path);
    merges(&p, t.path, "sound,added", "");
    assert_same_contents(p.out, newer, NULL); /* windows of loads are summed anew, to the same */
    free(newer);
    merging_changes_nothing(&p, t.path, "sound,unchanged");
    test_answer(p.out, "SELECT part FROM run_part", "u1\n");
    trial_release(&t);
    place_release(&p);
}

static void test_refused_files(void **state)
{
    struct trial t;
    struct place p;
    (void)state;
    place_open(&p);
    sound_logbook(&t, "sound", NULL, 0, "finished");
    /* Nothing is made when any input is missing. */
    struct test_run r = test_run("%s/moescope-merge '%s' '%s' '%s/none.db'", p.bin, p.out, t.path, p.folder);
    assert_int_equal(r.status, STATUS_INPUT);
    assert_non_null(strstr(r.err, "none.db': no such file"));
    assert_int_equal(access(p.out, F_OK), -1);
    test_run_release(&r);
    test_write(p.folder, "text.db", "not a logbook, not even close to one", 36);
    r = test_run("cd '%s' && %s/moescope-merge out.db text.db; ls", p.folder, p.bin);
    assert_non_null(strstr(r.err, "'text.db' is not a logbook: not an SQLite file"));
    assert_string_equal(r.out, "text.db\n");
    test_run_release(&r);
    r = test_run("%s/moescope-merge '%s' '%s'", p.bin, t.path, t.path);
    assert_int_equal(r.status, STATUS_USAGE);
    assert_non_null(strstr(r.err, "cannot be merged into itself"));
    test_run_release(&r);
    /* An input whose middle is garbage: what had been made for it goes again. */
    r = test_run("dd if=/dev/zero of='%s' bs=32768 seek=3 count=30 conv=notrunc 2>&1 && cd '%s' && "
                 "%s/moescope-merge out.db '%s' >table; s=$?; cat table; ls; exit $s",
                 t.path, p.folder, p.bin, t.path);
    assert_int_equal(r.status, STATUS_INPUT);
    assert_non_null(strstr(r.out, "table\ntext.db\n"));
    assert_null(strstr(r.out, "out.db"));
    test_run_release(&r);
    trial_release(&t);
    place_release(&p);
}

/* SQLite attaches ten files at most: they are taken one after the other. */
static void test_many_inputs(void **state)
{
    enum { N = 12 };
    struct trial t[N];
    struct place p;
    struct text inputs;
    (void)state;
    place_open(&p);
    text_init(&inputs);
    for (int i = 0; i < N; i++) {
        sound_logbook(&t[i], "sound", NULL, 0, "finished");
        text_printf(&inputs, " '%s'", t[i].path);
    }
    struct test_run r = merge(&p, inputs.data);
    if (r.status != 0)
        fail_msg("%s", r.err);
    test_answer(p.out, "SELECT count(*), count(DISTINCT name), max(name) FROM run", "12|12|sound-9\n");
    test_run_release(&r);
    for (int i = 0; i < N; i++)
        trial_release(&t[i]);
    text_release(&inputs);
    place_release(&p);
}

/* A path is a path, whatever is in it. */
static void test_odd_paths(void **state)
{
    struct trial t;
    struct place p;
    (void)state;
    place_open(&p);
    sound_logbook(&t, "sound", "u1", 0, "finished");
    struct test_run r =
        test_run("cd '%s' && mkdir 'a b' && cp '%s' 'a b/file:x?mode=rw#%%41.db' && cd 'a b' && "
                 "%s/moescope-merge 'file:out?.db' 'file:x?mode=rw#%%41.db' -q --format csv; ls",
                 p.folder, t.path, p.bin);
    assert_string_equal(r.err, "");
    assert_non_null(strstr(r.out, "sound,added"));
    assert_non_null(strstr(r.out, "file:out?.db\nfile:x?mode=rw#%41.db\n"));
    test_run_release(&r);
    trial_release(&t);
    place_release(&p);
}

/* Killed at any moment, OUT is what it was or what it is to be; the next try does the rest. */
static void test_killed(void **state)
{
    struct trial t;
    struct place p;
    (void)state;
    place_open(&p);
    merge_decoy(&p);
    sound_logbook(&t, "sound", "u1", 0, "finished");
    for (int i = 0; i < 20; i++) {
        struct test_run r =
            test_run("timeout -s KILL 0.0%02d %s/moescope-merge '%s' '%s'", 2 * i + 1, p.bin, p.out, t.path);
        test_run_release(&r);
        char *runs = test_ask(p.out, "SELECT count(*) FROM run");
        assert_true(strcmp(runs, "1\n") == 0 || strcmp(runs, "2\n") == 0);
        free(runs);
        sound_expect(p.out, "", "after a kill");
    }
    struct test_run r = merge(&p, t.path);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    assert_same_contents(p.out, t.path, "u1");
    trial_release(&t);
    place_release(&p);
}

/* Ids with gaps of a million million are as good as others; those that no block can have are refused. */
static void test_odd_ids(void **state)
{
    struct trial t;
    struct place p;
    (void)state;
    place_open(&p);
    merge_decoy(&p);
    sound_logbook(&t, "sound", "u1", 0, "finished");
    test_sql(
        t.path,
        "UPDATE routing_block SET block_id = block_id + 1000000000000 * 1024 WHERE block_id >> 10 > 5;"
        "UPDATE probability_block SET block_id = block_id + 1000000000000 * 1024 WHERE block_id >> 10 > 5;"
        "UPDATE sequence SET sequence_id = sequence_id + 1000000000000 WHERE sequence_id > 5;");
    merges(&p, t.path, "sound,added,finished,12", "");
    assert_same_contents(p.out, t.path, "u1");
    sound_expect(p.out, "", "ids with gaps");
    trial_release(&t);
    static const char *const ids[] = {"-1", "9007199254740992", "9223372036854775807",
                                      "-9223372036854775808"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char *sql = NULL;
        sound_logbook(&t, "hostile", NULL, 0, "finished");
        assert_true(asprintf(&sql, "UPDATE sequence SET sequence_id = %s WHERE sequence_id = 1;", ids[i]) >
                    0);
        test_sql(t.path, sql);
        refuses(&p, t.path, "has sequence ids that none can have");
        char *violations = sound_violations(t.path);
        assert_non_null(strstr(violations, " dangling"));
        free(violations);
        free(sql);
        trial_release(&t);
    }
    place_release(&p);
}

/* A run that is writing into OUT would have to wait for the whole merge, and give up in the end. */
static void test_out_is_being_written(void **state)
{
    struct trial out, in;
    char *bin = test_bin();
    (void)state;
    sound_logbook(&in, "in", NULL, 0, "finished");
    trial_open(&out);
    sound_run(&out, "out", 3, 0);
    struct test_run r = test_run("%s/moescope-merge '%s' '%s'", bin, out.path, in.path);
    assert_int_equal(r.status, STATUS_USAGE);
    assert_non_null(strstr(r.err, "its run 'out' is being written; merge both into a new file, or wait"));
    test_run_release(&r);
    trial_end(&out, NULL);
    trial_stop(&out);
    test_sql(out.path, "UPDATE run SET heartbeat_at = '2020-01-01T00:00:00.000Z';"); /* killed long ago */
    r = test_run("%s/moescope-merge '%s' '%s'", bin, out.path, in.path);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    trial_resume(&out, "in", 6, 8); /* a run that came by merging and is gone on with here */
    sound_steps(&out, 6, 6, 0);
    r = test_run("%s/moescope-merge '%s' '%s'", bin, out.path, in.path);
    assert_int_equal(r.status, STATUS_USAGE);
    assert_non_null(strstr(r.err, "its run 'in' is being written"));
    test_run_release(&r);
    trial_end(&out, "finished");
    trial_stop(&out);
    r = test_run("%s/moescope-merge '%s' '%s' -f csv", bin, out.path, in.path);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "in,kept,finished,0"));
    test_run_release(&r);
    free(bin);
    trial_release(&out);
    trial_release(&in);
}

/* No room: the logbook is as it was, and the next try, with room, does it all. */
static void test_full_disk(void **state)
{
    struct trial t;
    struct place p;
    char *disk = test_folder();
    (void)state;
    if (mount("none", disk, "tmpfs", 0, "size=4m") != 0) {
        printf("skipped: no tmpfs can be mounted here\n");
        test_folder_remove(disk);
        return;
    }
    place_open(&p);
    sound_logbook(&t, "sound", "u1", 0, "finished");
    free(p.out);
    assert_true(asprintf(&p.out, "%s/out.db", disk) > 0);
    merge_decoy(&p);
    struct test_run filled = test_run("dd if=/dev/zero of='%s/filler' bs=4096 2>&1", disk);
    test_run_release(&filled);
    char *before = dump(p.out);
    struct test_run r = merge(&p, t.path);
    if (r.status != STATUS_MACHINE || strstr(r.err, "full") == NULL)
        fail_msg("status %d: %s", r.status, r.err);
    test_run_release(&r);
    r = test_run("rm '%s/filler'", disk);
    test_run_release(&r);
    char *after = dump(p.out);
    assert_string_equal(before, after);
    merges(&p, t.path, "sound,added", "");
    assert_same_contents(p.out, t.path, "u1");
    free(before);
    free(after);
    umount(disk);
    test_folder_remove(disk);
    trial_release(&t);
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_the_same),
        cmocka_unit_test(test_ids_are_given_anew),
        cmocka_unit_test(test_twice_changes_nothing),
        cmocka_unit_test(test_content_is_shared),
        cmocka_unit_test(test_interleaved_runs),
        cmocka_unit_test(test_grown_run_is_renewed),
        cmocka_unit_test(test_pruning_is_respected),
        cmocka_unit_test(test_taken_names),
        cmocka_unit_test(test_contradicting_contents),
        cmocka_unit_test(test_version_1_is_merged),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_many_inputs),
        cmocka_unit_test(test_odd_paths),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_odd_ids),
        cmocka_unit_test(test_out_is_being_written),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
