/* SIGKILL at any moment. A real `moescope train` is killed after a random time, or at a random one of the
 * calls by which it changes files; what is left passes `moescope check` with whole, contiguous steps, and
 * --resume ends with the weights and the logbook of a run that nothing broke. Some are killed again while
 * they resume. MOESCOPE_KILLS=200 (or `make kills`) kills that often instead of a handful; MOESCOPE_SEED
 * chooses other moments. Then the same for a program that only logs, while a reader looks on. */
#include <fcntl.h>
#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/text.h"
#include "tests/steps.h"
#include "tests/tiny.h"
#include "tests/tracer.h"

enum { FEW_KILLS = 8 };

static int64_t setting(const char *name, int64_t otherwise)
{
    const char *told = getenv(name);
    return told != NULL && *told != '\0' ? strtoll(told, NULL, 10) : otherwise;
}

/* ---- a training run ---- */

enum phase { STARTUP, STEP, WAL_CHECKPOINT, SAVING, SAVED, ENDING, N_PHASES };
static const char *const phase_names[N_PHASES] = {
    [STARTUP] = "before the first step",
    [STEP] = "between or within steps",
    [WAL_CHECKPOINT] = "while the WAL goes into the file",
    [SAVING] = "while a checkpoint is written",
    [SAVED] = "between its rename and its row",
    [ENDING] = "after the run's end",
};

static const char *const run = "--set train.steps=120 --set train.checkpoint_every=10";

static struct {
    struct tiny tiny;
    char *contents;              /* of the unbroken run */
    char checkpoint[SHA256_HEX]; /* its weights */
    double seconds;              /* it takes */
    long calls;                  /* that change files in it */
    struct random random;
    int kills, phases[N_PHASES], timed;
    int checked, nothing_yet; /* checks passed; kills before there was a logbook to check */
    int resumed;              /* runs that ended like the unbroken one */
} the;

/* Without the leak check, which does not like to be traced. */
static char *train_command(const char *db, bool resume)
{
    struct text t;
    text_init(&t);
    text_printf(&t, "ASAN_OPTIONS=detect_leaks=0 exec %s/moescope-train --log %s --name r %s %s %s",
                the.tiny.bin, db, tiny_model, run, resume ? "--resume" : "");
    return text_detach(&t);
}

static int open_group(void **state)
{
    (void)state;
    tiny_open(&the.tiny);
    random_seed(&the.random, (uint64_t)setting("MOESCOPE_SEED", 1), 0);
    double start = clock_seconds();
    tiny_expect(tiny_train(&the.tiny, "whole.db", "r", run), 0, "");
    the.seconds = clock_seconds() - start;
    the.contents = tiny_contents(&the.tiny, "whole.db");
    char *command = train_command("counted.db", false);
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    struct traced t = traced_run(the.tiny.folder, argv, &(struct trace_point){0});
    assert_int_equal(t.status, 0);
    the.calls = t.calls;
    free(command);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&the.tiny);
    free(the.contents);
    return 0;
}

static void path_of(char path[512], const char *db, const char *tail)
{
    snprintf(path, 512, "%s/%s%s", the.tiny.folder, db, tail);
}

static void checkpoint_hash(const char *db, char hex[SHA256_HEX])
{
    char path[512];
    path_of(path, db, ".checkpoints/r.safetensors");
    hex[0] = '\0';
    sha256_file(path, hex, NULL);
}

/* False when the run was over before. */
static bool kill_after(const char *command, double seconds)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
            chdir(the.tiny.folder) != 0) {
            _exit(126);
        }
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    usleep((useconds_t)(seconds * 1e6));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status);
}

/* What the file system tells of the moment; a query fails while there is no logbook. */
static enum phase phase_left(const char *db)
{
    char hex[SHA256_HEX];
    struct test_run r = test_run(
        "cd %s && test -s %s && sqlite3 -readonly %s \"SELECT run.status, (SELECT count(*) FROM metric), "
        "(SELECT sha256 FROM checkpoint ORDER BY step DESC LIMIT 1) FROM run\" && ls %s.checkpoints",
        the.tiny.folder, db, db, db);
    checkpoint_hash(db, hex);
    enum phase phase = r.status != 0 || strncmp(r.out, "running|0|", 10) == 0 || r.out[0] == '\0' ? STARTUP
                       : strncmp(r.out, "running|", 8) != 0                                       ? ENDING
                       : strstr(r.out, ".part-") != NULL                                          ? SAVING
                       : hex[0] != '\0' && strstr(r.out, hex) == NULL                             ? SAVED
                                                                                                  : STEP;
    test_run_release(&r);
    return phase;
}

/* Random calls would nearly all be of steps: each kind of moment gets its share. n: about how many there are.
 */
static struct trace_point random_call(void)
{
    const struct trace_point points[] = {{NULL, NULL, the.calls}, {"pwrite64", "*.db", 200},
                                         {NULL, "*.part-*", 280}, {"rename", NULL, 12},
                                         {NULL, "*-journal", 20}, {"ftruncate", NULL, 14}};
    struct trace_point at = points[random_below(&the.random, sizeof points / sizeof points[0])];
    at.n = 1 + (long)random_below(&the.random, (uint64_t)at.n);
    return at;
}

static bool kill_once(const char *db, bool resume)
{
    char *command = train_command(db, resume);
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    bool timed = random_below(&the.random, 2) == 0, killed;
    struct traced t = {0};
    if (timed) {
        killed = kill_after(command, 1.05 * the.seconds * random_uniform(&the.random));
    } else {
        const struct trace_point at = random_call();
        t = traced_run(the.tiny.folder, argv, &at);
        killed = t.killed;
    }
    free(command);
    if (killed) {
        enum phase phase = phase_left(db);
        if (phase == STEP && (strcmp(t.call, "pwrite64") == 0 || strcmp(t.call, "ftruncate") == 0) &&
            fnmatch("*.db", t.file, 0) == 0) {
            phase = WAL_CHECKPOINT;
        }
        the.phases[phase]++;
        the.kills++;
        the.timed += timed;
    }
    return killed;
}

/* Before its schema is there a logbook is no file, or an empty one. */
static void check_after_kill(const char *db)
{
    struct test_run r = test_run("cd %s && %s/moescope-check %s", the.tiny.folder, the.tiny.bin, db);
    if (r.status == 3 && (strstr(r.err, "no such file") || strstr(r.err, "it is empty"))) {
        the.nothing_yet++;
    } else if (r.status == 0) {
        the.checked++;
    } else {
        fail_msg("after kill %d, check: %s%s", the.kills, r.out, r.err);
    }
    test_run_release(&r);
}

/* Nor is anything left behind that the unbroken run does not leave. */
static void expect_same_end(const char *db)
{
    char hex[SHA256_HEX], whole[SHA256_HEX];
    tiny_expect(
        tiny_train(&the.tiny, db, "r", "--set train.steps=120 --set train.checkpoint_every=10 --resume"), 0,
        "");
    tiny_expect_contents(&the.tiny, db, the.contents);
    checkpoint_hash("whole.db", whole);
    checkpoint_hash(db, hex);
    assert_string_equal(hex, whole);
    struct test_run r =
        test_run("cd %s && ls -d %s* && ls -A %s.checkpoints && rm -r %s*", the.tiny.folder, db, db, db);
    char expected[128];
    snprintf(expected, sizeof expected, "%s\n%s.checkpoints\nr.safetensors\n", db, db);
    assert_string_equal(r.out, expected);
    test_run_release(&r);
    the.resumed++;
}

static void test_kill_training(void **state)
{
    int wanted = (int)setting("MOESCOPE_KILLS", FEW_KILLS), runs = 0;
    (void)state;
    while (the.kills < wanted) {
        char db[32];
        bool killed = true;
        snprintf(db, sizeof db, "k%d.db", runs++);
        for (int again = 0; killed && again < 3 && the.kills < wanted; again++) {
            killed = kill_once(db, again > 0);
            if (killed) {
                check_after_kill(db);
            }
            if (random_below(&the.random, 3) > 0) {
                break;
            }
        }
        expect_same_end(db);
    }
    print_message("%d kills of %d runs, %d by time, %d at a call\n", the.kills, runs, the.timed,
                  the.kills - the.timed);
    for (int p = 0; p < N_PHASES; p++) {
        print_message("  %4d %s\n", the.phases[p], phase_names[p]);
    }
    print_message("  %d checks passed, %d kills left no logbook yet, %d of %d runs resumed to the same end\n",
                  the.checked, the.nothing_yet, the.resumed, runs);
}

/* The last calls of all, on the way out of WAL mode: random moments seldom meet them. */
static void test_kill_at_the_end(void **state)
{
    (void)state;
    static const long calls_before_last[] = {0, 1, 2, 7};
    for (int i = 0; i < 4; i++) {
        char *command = train_command("end.db", false);
        const char *const argv[] = {"/bin/sh", "-c", command, NULL};
        const struct trace_point at = {.n = the.calls - calls_before_last[i]};
        struct traced t = traced_run(the.tiny.folder, argv, &at);
        free(command);
        check_after_kill("end.db");
        if (t.killed) {
            print_message("  killed before %s of %s\n", t.call, t.file);
        }
        expect_same_end("end.db");
    }
}

/* ---- a program that only logs ---- */

static const struct steps_size large = {.sequences = 8, .tokens = STEPS_MOST_TOKENS}; /* some 200 kB a step */

/* Drains now and then, as training does before its checkpoints. */
static void log_for_ever(const char *path, int round, const struct trial *parent)
{
    struct trial s = *parent;
    struct error err;
    char name[16];
    snprintf(name, sizeof name, "run%d", round);
    test_must(moescope_open(&s.lb, path, &err), &err);
    test_must(steps_begin(&s, name, &err), &err);
    for (int64_t step = 0;; step++) {
        test_must(steps_log(s.writer, s.document_ids[0], step, large, &err), &err);
        if (step % 7 == 6) {
            test_must(moescope_writer_drain(s.writer, &err), &err);
        }
    }
}

/* One look of a reader: whole passes, whenever it comes. Returns how many. */
static int64_t look(const char *path)
{
    static const char *const sql =
        "SELECT (SELECT count(*) FROM metric) AS passes, (SELECT count(*) FROM sequence) AS sequences, "
        "(SELECT count(*) FROM routing_block) AS blocks, (SELECT count(*) FROM load_block) AS loads";
    struct logbook *lb;
    struct query *q;
    struct error err;
    test_must(logbook_open(&lb, path, &err), &err);
    test_must(query_open_text(&q, lb, sql, &err), &err);
    assert_int_equal(query_step(q, &err), 1);
    int64_t passes = query_int(q, "passes");
    assert_int_equal(query_int(q, "sequences"), passes * large.sequences);
    assert_int_equal(query_int(q, "blocks"), passes * large.sequences * STEPS_LAYERS);
    assert_int_equal(query_int(q, "loads"), passes * STEPS_LAYERS);
    query_close(q);
    moescope_close(lb);
    return passes;
}

static void test_kill_a_writer_beside_a_reader(void **state)
{
    int rounds = (int)setting("MOESCOPE_KILLS", FEW_KILLS) / 2, looks = 0;
    struct trial s;
    int64_t kept = 0;
    (void)state;
    trial_open(&s);
    trial_stop(&s);
    for (int round = 0; round < rounds; round++) {
        int status;
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            log_for_ever(s.path, round, &s);
        }
        const int64_t before = kept;
        double until = INFINITY; /* some time after its first pass, however long that takes */
        while (clock_seconds() < until) {
            int64_t passes = look(s.path);
            assert_true(passes >= kept); /* what was seen stays */
            kept = passes;
            looks++;
            if (kept > before && isinf(until)) {
                until = clock_seconds() + 0.1 * random_uniform(&the.random);
            }
            assert_int_equal(waitpid(child, &status, WNOHANG), 0);
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        int64_t passes = look(s.path);
        assert_true(passes >= kept);
        kept = passes;
        if (round % 10 == 0 || round == rounds - 1) {
            steps_expect_clean(s.path);
        }
    }
    print_message("%d kills, %d looks of a reader meanwhile, %lld whole passes at the end\n", rounds, looks,
                  (long long)kept);
    assert_true(kept >= rounds);
    trial_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_training),
        cmocka_unit_test(test_kill_at_the_end),
        cmocka_unit_test(test_kill_a_writer_beside_a_reader),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
