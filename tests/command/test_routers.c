/* What routers leave in a logbook: experts that differ in number, shared experts, splits that are kept, and a
 * model that is taken up again elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"
#include "tests/tiny.h"

static struct tiny tiny;

static int open_group(void **state)
{
    (void)state;
    tiny_open(&tiny);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

static void expect_sound(const char *db)
{
    tiny_expect(test_run("cd %s && %s/moescope-check %s", tiny.folder, tiny.bin, db), 0, "");
}

/* Shared experts are rows of `expert` and nothing else: neither decisions nor loads name them. */
static void test_shared_experts(void **state)
{
    (void)state;
    tiny_expect(tiny_train(&tiny, "shared.db", "r",
                           "--set train.steps=5 --set router.shared=2 --set router.shared_hidden=6"),
                0, "");
    tiny_expect_answer(
        &tiny, "shared.db",
        "SELECT layer, kind, count(*), min(expert), max(expert), min(parameters) FROM expert GROUP BY 1, 2",
        "0|routed|4|0|3|384\n0|shared|2|4|5|288\n1|routed|4|0|3|384\n1|shared|2|4|5|288\n");
    tiny_expect_answer(&tiny, "shared.db", "SELECT max(expert) FROM routing", "3\n");
    tiny_expect_answer(&tiny, "shared.db", "SELECT max(expert) FROM expert_load", "3\n");
    expect_sound("shared.db");
}

/* All that reads a logbook, of a run whose k the layers do not say. */
static void expect_analysed(const char *db)
{
    static const char *const verbs[] = {"collapse --run r",
                                        "collapse --run r --split valid",
                                        "demand --run r",
                                        "specialization --run r --permutations 20",
                                        "report -q --svg-only -o out.html",
                                        "export moe_layer -q -o out.npy",
                                        "export routing -q -o out.csv",
                                        "sql experts_by_domain"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        const char *verb = verbs[i];
        int word = (int)strcspn(verb, " ");
        struct test_run r =
            test_run("cd %s && %s/moescope-%.*s %s %s", tiny.folder, tiny.bin, word, verb, db, verb + word);
        if (r.status != 0 || strstr(r.out, "nan") || strstr(r.out, "inf "))
            fail_msg("%s: status %d: %s%s", verb, r.status, r.err, r.out);
        test_run_release(&r);
    }
}

/* k is NULL where tokens differ; the decisions are as many as the loads say. */
static void test_varying_k(void **state)
{
    static const char *const settings[] = {"--set router.name=topp --set router.p=0.3",
                                           "--set router.name=mask --set router.k=2 --set mask.visible=3"};
    char db[32], more[160];

    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(db, sizeof db, "k%d.db", i);
        snprintf(more, sizeof more, "--set train.steps=40 --set train.learning_rate=0.02 %s", settings[i]);
        tiny_expect(tiny_train(&tiny, db, "r", more), 0, "");
        tiny_expect_answer(&tiny, db, "SELECT count(*), count(k) FROM moe_layer", "2|0\n");
        tiny_expect_answer(
            &tiny, db,
            "SELECT min(n) >= 1, count(DISTINCT n) > 1 FROM (SELECT count(*) AS n FROM routing "
            "WHERE split = 'train' GROUP BY sequence_id, position, layer)",
            "1|1\n");
        tiny_expect_answer(
            &tiny, db,
            "SELECT (SELECT count(*) FROM routing WHERE split = 'train') = (SELECT sum(assignments) "
            "FROM expert_load WHERE split = 'train' AND domain_id IS NULL)",
            "1\n");
        expect_sound(db);
        expect_analysed(db);
    }
}

/* Every router that a language model can have leaves a sound logbook: gates may exceed 1 (relu),
 * probabilities are logged as shares, decisions are as many as the loads say. */
static void test_every_router(void **state)
{
    static const char *const settings[] = {
        "--set router.name=bias", "--set router.name=bias --set router.k=1 --set router.renormalize=false",
        "--set router.name=relu --set router.k=1", "--set router.name=noisy_topk",
        "--set router.name=noisy_topk --set router.capacity=0.8"};
    char db[32], more[256];

    (void)state;
    for (int i = 0; i < 5; i++) {
        snprintf(db, sizeof db, "every%d.db", i);
        snprintf(more, sizeof more, "--set train.steps=60 --set train.learning_rate=0.02 %s", settings[i]);
        tiny_expect(tiny_train(&tiny, db, "r", more), 0, "");
        tiny_expect_answer(
            &tiny, db,
            "SELECT (SELECT count(*) FROM routing WHERE split = 'train') = (SELECT sum(assignments + "
            "dropped) "
            "FROM expert_load WHERE split = 'train' AND domain_id IS NULL), max(gate) > 0 FROM routing",
            "1|1\n");
        expect_sound(db);
    }
}

/* Tokens that no expert takes: positions without a row, and everybody reads past them. */
static void test_tokens_of_no_expert(void **state)
{
    static const char *const verbs[] = {"check", "demand --run r", "collapse --run r",
                                        "specialization --run r", "export routing --run r -o out.csv"};

    (void)state;
    tiny_expect(tiny_train(&tiny, "none.db", "r",
                           "--set router.name=relu --set router.k=1 --set train.steps=220 --set "
                           "train.learning_rate=0.02 --set probe.every=20"),
                0, "");
    tiny_expect_answer(
        &tiny, "none.db",
        "SELECT sum(n_tokens) > (SELECT count(DISTINCT sequence_id * 100 + position) FROM routing WHERE step "
        "= "
        "220 AND split = 'probe' AND layer = 1) FROM sequence JOIN sample USING (sample_id) WHERE step = 220 "
        "AND split = 'probe'",
        "1\n");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        const char *verb = verbs[i];
        int word = (int)strcspn(verb, " ");
        struct test_run r =
            test_run("cd %s && %s/moescope-%.*s none.db %s", tiny.folder, tiny.bin, word, verb, verb + word);
        if (r.status > 1)
            fail_msg("%s: status %d: %s", verb, r.status, r.err);
        test_run_release(&r);
    }
}

static void test_not_causal_is_refused(void **state)
{
    (void)state;
    tiny_expect(tiny_train(&tiny, "never.db", "r", "--set router.name=expert_choice"), 2,
                "block 0: router.name = expert_choice looks at the tokens that follow");
}

/* Train documents read again, at the end alone; of held-out splits decisions are kept, of training none. */
static void test_seen_and_held_out(void **state)
{
    (void)state;
    tiny_expect(tiny_train(&tiny, "seen.db", "r",
                           "--set train.steps=5 --set log.decisions=held_out --set valid.seen_documents=3"),
                0, "");
    tiny_expect_answer(
        &tiny, "seen.db",
        "SELECT step, count(*), count(DISTINCT domain_id) FROM document_loss JOIN document USING "
        "(document_id) WHERE document_loss.split = 'seen' GROUP BY step",
        "5|6|2\n");
    tiny_expect_answer(&tiny, "seen.db",
                       "SELECT count(*) FROM document_loss AS a JOIN document_loss AS b USING (document_id) "
                       "WHERE a.split = 'seen' AND b.split IN ('valid', 'probe')",
                       "0\n");
    tiny_expect_answer(
        &tiny, "seen.db",
        "SELECT min(split), max(split) FROM document WHERE document_id IN (SELECT document_id FROM "
        "document_loss WHERE split = 'seen')",
        "train|train\n");
    tiny_expect_answer(&tiny, "seen.db",
                       "SELECT group_concat(split) FROM (SELECT DISTINCT split FROM routing ORDER BY split)",
                       "probe,seen,valid\n");
    tiny_expect_answer(
        &tiny, "seen.db",
        "SELECT group_concat(split) FROM (SELECT DISTINCT split FROM token_loss ORDER BY split)",
        "probe,seen,valid\n");
    /* of training, loads alone */
    tiny_expect_answer(
        &tiny, "seen.db",
        "SELECT count(DISTINCT step), min(n) > 0 FROM (SELECT step, sum(assignments) AS n FROM "
        "expert_load WHERE split = 'train' GROUP BY step)",
        "5|1\n");
    expect_sound("seen.db");
}

/* Masks and tables are in the checkpoint: text routed from it goes where they say. */
static void test_routed_from_a_checkpoint(void **state)
{
    static const char text[] = "the cold river runs under the bridge\n";
    static const char *const routers[] = {"router.name=mask", "router.name=hash", "router.name=topp"};
    char db[32], more[128];

    (void)state;
    test_write(tiny.folder, "new.txt", text, sizeof text - 1);
    for (int i = 0; i < 3; i++) {
        snprintf(db, sizeof db, "route%d.db", i);
        snprintf(more, sizeof more, "--set train.steps=5 --set router.k=1 --set mask.visible=2 --set %s",
                 routers[i]);
        tiny_expect(tiny_train(&tiny, db, "r", more), 0, "");
        tiny_expect(
            test_run("cd %s && %s/moescope-route %s --checkpoint %s.checkpoints/r.safetensors new.txt",
                     tiny.folder, tiny.bin, db, db),
            0, "");
        if (i == 1) /* an id's expert is the same wherever it stands */
            tiny_expect_answer(
                &tiny, db,
                "SELECT max(n) FROM (SELECT count(DISTINCT expert) AS n FROM routing WHERE split IN "
                "('routed', 'valid') GROUP BY layer, token_id)",
                "1\n");
        expect_sound(db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_experts),
        cmocka_unit_test(test_varying_k),
        cmocka_unit_test(test_every_router),
        cmocka_unit_test(test_tokens_of_no_expert),
        cmocka_unit_test(test_not_causal_is_refused),
        cmocka_unit_test(test_seen_and_held_out),
        cmocka_unit_test(test_routed_from_a_checkpoint),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
