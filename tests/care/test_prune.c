/* moescope prune: what is dropped, what stays, and that the logbook says so; what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/shell.h"
#include "tests/tended.h"

/* base.db has a trained run `r` (run 1) of 20 steps of 64 tokens, 2 layers of top-2: 256 decisions a step;
 * its probe was routed at steps 0, 1, 2, 4, 8, 16 and 20. `other` is like it. Every test works on a copy, $D.
 *
 * loads SPLIT [WHERE]: how many decisions its loads have counted.
 * steps SPLIT: of which steps decisions are left. did PASSES DECISIONS: what prune must print. kept: all
 * there is but decisions, probabilities, losses of tokens, and what says that they were pruned. clean: of
 * `check`, nothing is violated. */
static const char prelude[] =
    "ask() { sqlite3 -readonly $D \"$1\"; };\n"
    "steps() { ask \"SELECT group_concat(step, ' ') FROM (SELECT DISTINCT step FROM sequence JOIN "
    "routing_block ON block_id >> 10 = sequence_id WHERE run_id = 1 AND split = '$1' ORDER BY step)\"; };\n"
    "did() { echo r,$1,$2,${3:-0},${4:-0} | cmp - done; };\n"
    "kept() { sqlite3 -readonly $1 .dump | grep -v -e 'INTO routing_block' -e 'INTO probability_block' -e "
    "'INTO "
    "sequence VALUES' -e 'INTO run VALUES' -e \"'pruned'\"; sqlite3 -readonly $1 'SELECT sequence_id, "
    "run_id, step, "
    "split, sample_id FROM sequence; SELECT run_id, name, uuid, status, heartbeat_at FROM run'; };\n"
    "loads() { ask \"SELECT sum(assignments + dropped) FROM expert_load WHERE run_id = 1 AND split = '$1' "
    "AND domain_id IS "
    "NULL AND ${2:-1}\"; };\n"
    "clean() { $B/moescope-check $D > check || cat check; };\n"
    "rest() { kept base.db > kept.1; kept $D > kept.2; cmp kept.1 kept.2; clean; };\n"
    "prune() { $B/moescope-prune $D --run r -f csv \"$@\" | tail -n 1 | cut -d, -f1-5 > done; };\n";

static struct tiny tiny;

static int open_group(void **state)
{
    (void)state;
    tended_open(&tiny, "r", "other");
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

static void expect(const char *commands, int status, const char *out, const char *said)
{
    tended_expect(&tiny, prelude, commands, status, out, said);
}

/* 20 passes of 256 decisions; the probe's stay, and every other run's. */
static void test_training_decisions(void **state)
{
    (void)state;
    expect("steps probe > before; others() { ask 'SELECT block_id, codec, k, scale, quote(experts), "
           "quote(gates), "
           "checksum FROM routing_block WHERE block_id >> 10 IN (SELECT sequence_id FROM sequence WHERE "
           "run_id = 2)'; };"
           "others > others; [ $(wc -l < others) -gt 40 ] && [ $(loads train) -gt 4000 ] && prune && did 20 "
           "$(loads train); "
           "steps train; steps probe | cmp before -; others | cmp others -; rest",
           0, "\n", "decisions among them");
    expect(
        "prune -q 2> /dev/null; ask \"SELECT kind, step, value = $(loads train), message FROM event WHERE "
        "kind = 'pruned'\";"
        "ask \"SELECT key, value FROM run_config WHERE key = 'log.pruned'\"; ask \"SELECT count(*) FROM "
        "run_config AS c "
        "JOIN run USING (run_id) WHERE name = 'r' AND key <> 'log.pruned'\" > n; ask \"SELECT count(*) FROM "
        "run_config "
        "AS c JOIN run USING (run_id) WHERE name = 'other'\" | cmp n -",
        0,
        "pruned||1|decisions of train, steps 0 to 19: 20 passes\n"
        "log.pruned|[\"decisions of train, steps 0 to 19: 20 passes\"]\n",
        NULL);
}

static void test_which_passes(void **state)
{
    (void)state;
    expect("prune --keep-every 5 && did 16 $(loads train 'step % 5 <> 0'); steps train; rest; ask \"SELECT "
           "message FROM event "
           "WHERE kind = 'pruned'\"",
           0, "0 5 10 15\ndecisions of train, steps 1 to 19 without those that 5 divides: 16 passes\n",
           "dropped");
    expect("prune --first-step 3 --last-step 17 && did 15 $(loads train 'step BETWEEN 3 AND 17'); steps "
           "train; rest",
           0, "0 1 2 18 19\n", "dropped");
    expect(
        "prune --last-step 0 && did 1 $(loads train 'step = 0'); prune --first-step 19; prune --first-step 2 "
        "--last-step "
        "18 --keep-every 9 && did 15 $(loads train 'step BETWEEN 2 AND 17 AND step <> 9'); steps train; rest",
        0, "1 9 18\n", "dropped");
    /* A second time there is nothing left, and nothing is noted. */
    expect("prune 2> first; prune && did 0 0; ask \"SELECT count(*) FROM event WHERE kind = 'pruned'\"", 0,
           "1\n", "nothing to drop: 'r' has nothing of that kind");
    expect("prune --first-step 100 && did 0 0", 0, "", "nothing to drop");
}

/* The probe: every token has 2 decisions and 4 probabilities in each of 2 layers, and a loss. */
static void test_everything_of_the_probe(void **state)
{
    (void)state;
    expect("n=$(loads probe); prune --split probe --probabilities --losses && did 7 $n $((2 * n)) $((n / "
           "4)); rest; steps "
           "probe; steps train | cut -c 1-5; ask \"SELECT count(*) FROM probability_block WHERE block_id >> "
           "10 IN (SELECT "
           "sequence_id FROM sequence WHERE run_id = 1); SELECT count(losses) FROM sequence WHERE run_id = 1 "
           "AND split = "
           "'probe'; SELECT count(losses) > 0 FROM sequence WHERE run_id = 1 AND split = 'train'\"",
           0, "\n0 1 2\n0\n0\n1\n", "dropped");
    expect("prune --split probe,train --losses --keep-decisions && did 27 0 0 $((($(loads train) + $(loads "
           "probe)) / 4)); "
           "steps train | cut -c 1-5; rest; ask \"SELECT count(losses) FROM sequence WHERE run_id = 1 AND "
           "split <> 'valid'; "
           "SELECT message FROM event WHERE kind = 'pruned'\" | cut -d: -f1",
           0, "0 1 2\n0\ntoken losses of probe and train, steps 0 to 20\n", "dropped");
}

static void test_dry_run(void **state)
{
    (void)state;
    expect(
        "prune --dry-run --keep-every 4; mv done would; for f in base.db $D; do sqlite3 -readonly $f .dump > "
        "$f.sql; done;"
        "cmp base.db.sql $D.sql; prune -q --keep-every 4 2> /dev/null; cmp would done",
        0, "", "would drop ");
}

/* The file shrinks unless told otherwise, and its pages stay as large as they were. */
static void test_space(void **state)
{
    (void)state;
    expect("prune --no-vacuum --split train,probe --probabilities; [ $(ask 'PRAGMA freelist_count') -gt 2 ] "
           "&& [ $(stat -c %s "
           "$D) -ge $(stat -c %s base.db) ]; echo $?; clean",
           0, "0\n", "the file keeps its size, the space is for what is logged next");
    expect("$B/moescope-prune $D --run r --split train,probe --probabilities -f json -o out; grep -o "
           "'\"bytes\": [0-9]*' out | "
           "cut -d' ' -f2 > bytes; [ $(cat bytes) -gt 60000 ] && [ $(stat -c %s $D) -lt $(($(stat -c %s "
           "base.db) - 60000)) ]; "
           "echo $?; ask 'PRAGMA freelist_count; PRAGMA page_size; PRAGMA journal_mode; PRAGMA "
           "application_id'; clean; ls $D*",
           0, "0\n0\n32768\ndelete\n1299137907\ncopy.db\n", "given back");
    expect("sqlite3 $D 'PRAGMA journal_mode = WAL; BEGIN; SELECT count(*) FROM run;' '.shell touch ready; "
           "while [ ! -e "
           "gone ]; do sleep 0.05; done' > counted & while [ ! -e ready ]; do sleep 0.05; done;"
           "prune; echo $?; touch gone; wait; rm ready gone; steps train; rest",
           0, "0\n\n", "the file keeps its size: cannot shrink 'copy.db': another program has it open");
    if (!shell_can_mount()) {
        return;
    }
    expect("mkdir small; mount -t tmpfs -o size=256k tmpfs small; SQLITE_TMPDIR=small prune; echo $?; umount "
           "small; rmdir "
           "small; steps train; rest",
           0, "0\n\n", "the file keeps its size: cannot shrink 'copy.db': it takes ");
}

static void test_refused(void **state)
{
    static const struct {
        const char *arguments;
        int status;
        const char *said;
    } refused[] = {
        {"", 2, "say by --run"},
        {"--run none", 3, "has no run named 'none'; it has 'r', 'other'"},
        {"--run r --split tran", 2, "--split 'tran' is none of train, valid, probe and routed"},
        {"--run r --split train,", 2, "--split '' is none of"},
        {"--run r --first-step 9 --last-step 8", 2, "--first-step 9 is behind --last-step 8"},
        {"--run r --keep-every 1", 2, "--keep-every 1"},
        {"--run r --keep-every -3", 2, "--keep-every -3"},
        {"--run r --keep-decisions", 2, "leaves nothing to drop"},
        {"--run r --format xml", 2, "xml"},
        {"--run r more", 2, "see 'moescope prune --help'"},
    };
    char commands[256], out[16];
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        snprintf(commands, sizeof commands, "$B/moescope-prune $D %s; echo $?; steps train | wc -w; rest",
                 refused[i].arguments);
        snprintf(out, sizeof out, "%d\n20\n", refused[i].status);
        expect(commands, 0, out, refused[i].said);
    }
    expect("$B/moescope-prune none.db --run r; echo $?; ls none.db*", 2, "3\n",
           "cannot open 'none.db': no such file");
    expect("echo text > text.db; $B/moescope-prune text.db --run r", 3, "", "not a logbook");
}

static void test_running(void **state)
{
    (void)state;
    expect("sqlite3 $D \"UPDATE run SET status = 'running', finished_at = NULL, heartbeat_at = "
           "strftime('%Y-%m-%dT%H:%M:%fZ', "
           "'now') WHERE name "
           "= 'r'\"; $B/moescope-prune $D --run r --force; echo $?; steps train | wc -w",
           0, "2\n20\n", "is being written, last 0 s ago: stop its training first");
    expect("sqlite3 $D \"UPDATE run SET status = 'running', finished_at = NULL, heartbeat_at = "
           "'2020-01-01T00:00:00.000Z' WHERE "
           "name = 'r'\";"
           "$B/moescope-prune $D --run r; echo $?; prune -q --force 2> /dev/null; steps train; clean",
           0, "2\n\n", "silent since 2020-01-01T00:00:00.000Z");
}

/* A run that was interrupted and then pruned goes on, and keeps what it says of itself. */
static void test_resume(void **state)
{
    char *commands = NULL;
    (void)state;
    assert_true(
        asprintf(
            &commands,
            "D=part.db; $B/moescope-train --log $D --name r %s --set train.steps=600 --set "
            "train.checkpoint_every=10 2> said & D=part.db; until [ \"$(ask 'SELECT max(step) > 30 FROM "
            "metric' 2> /dev/null)\" = 1 ]; do sleep 0.05; done; kill -INT $!; wait $!; echo $?; "
            "prune -q 2> /dev/null; $B/moescope-train --log $D --name r --resume > said 2>&1 || cat said; "
            "ask \"SELECT status FROM run; SELECT count(*) FROM event WHERE kind IN ('pruned', 'resumed'); "
            "SELECT value LIKE '[\\\"decisions of train, steps 0 to %%' FROM run_config WHERE key = "
            "'log.pruned'; SELECT max(step) FROM metric WHERE split = 'train'\"; clean",
            tiny_model) > 0);
    expect(commands, 0, "130\nfinished\n2\n1\n599\n", NULL);
    free(commands);
}

/* Analyses take the passes that are left, and say what is not. */
static void test_what_analyses_say(void **state)
{
    (void)state;
    expect("prune -q --split probe --first-step 17 2> /dev/null; $B/moescope-specialization $D --run r "
           "--table information "
           "-f csv > information || exit 9; grep -c information information;"
           "$B/moescope-specialization $D --run r --step 20; echo $?",
           0, "1\n3\n", "run 'r' has no probe at step 20; its probe goes from step 0 to 16 in 6 passes");
    expect("prune -q --split probe 2> /dev/null; $B/moescope-demand $D --run r; echo $?", 0, "3\n",
           "logged no routing of a probe, which this analysis rests on, or it was pruned");
    expect("prune -q --split probe --first-step 17 2> /dev/null; $B/moescope-report $D --run r --svg-only -o "
           "page.html "
           "-q || exit 9; grep '^<figcaption' page.html | grep -c 'Run r was pruned: it "
           "has no more decisions of probe, steps 20 to 20: 1 passes'; grep -c 'log.pruned decisions of "
           "probe' page.html",
           0, "11\n1\n", NULL);
    expect("prune -q --split probe --first-step 17 2> /dev/null; $B/moescope-compare $D r other "
           "--table incomparable "
           "-f csv | grep -o \"run 'r' was pruned: it has no more .*1 passes\"",
           0, "run 'r' was pruned: it has no more decisions of probe, steps 20 to 20: 1 passes\n", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_decisions),
        cmocka_unit_test(test_which_passes),
        cmocka_unit_test(test_everything_of_the_probe),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_space),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_running),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_what_analyses_say),
    };
    return cmocka_run_group_tests_name("care/prune", tests, open_group, close_group);
}
