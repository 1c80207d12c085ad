/* The engine against scripts/recompute.py, which shares no code with it: numpy, double precision, routers
 * written from their papers. Small models of every router that a language model can have, trained for real.
 * And what is said of their specialization against scripts/remeasure.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fixture.h"
#include "tests/support.h"
#include "tests/tiny.h"

static struct tiny tiny;
static bool has_numpy;

static int open_group(void **state)
{
    struct test_run r = test_run("/usr/bin/python3 -c 'import numpy'");

    (void)state;
    has_numpy = r.status == 0;
    test_run_release(&r);
    if (has_numpy)
        tiny_open(&tiny);
    else
        print_message("           skipped: /usr/bin/python3 has no numpy (Debian's python3-numpy)\n");
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    if (has_numpy)
        tiny_release(&tiny);
    return 0;
}

static struct test_run recompute(const char *db, const char *checkpoint)
{
    return test_run("cd %s && here=$OLDPWD; /usr/bin/python3 $here/scripts/recompute.py %s r "
                    "%s.checkpoints/r.safetensors",
                    tiny.folder, db, checkpoint);
}

/* Large learning rates, so that routers are far from where they began. */
static const char common[] =
    " --set train.steps=60 --set train.learning_rate=0.02 --set log.decisions=held_out";

static void check(const char *name, const char *settings)
{
    char db[32], more[512];
    struct test_run r;

    if (!has_numpy)
        skip();
    snprintf(db, sizeof db, "%s.db", name);
    snprintf(more, sizeof more, "%s%s", settings, common);
    tiny_expect(tiny_train(&tiny, db, "r", more), 0, "");
    r = recompute(db, db);
    print_message("%s", r.out);
    if (r.status != 0)
        fail_msg("%s: status %d: %s%s", name, r.status, r.out, r.err);
    assert_non_null(strstr(r.out, " 0 others differ"));
    assert_null(strstr(r.out, "routing: 0 tokens"));
    test_run_release(&r);
}

static void test_topk(void **state)
{
    (void)state;
    check("topk", "--set router.k=2");
    check("shared", "--set router.k=2,3 --set router.renormalize=true --set router.shared=2 --set "
                    "router.shared_hidden=5");
}

static void test_topp(void **state)
{
    (void)state;
    check("topp", "--set router.name=topp --set router.p=0.6");
    check("all", "--set router.name=topp --set router.p=1");
}

static void test_mask(void **state)
{
    (void)state;
    check("mask", "--set router.name=mask --set router.k=2 --set mask.visible=3 --set mask.coverage=0.5");
    check("gated",
          "--set router.name=mask --set router.k=1 --set mask.visible=2 --set mask.rare_gate=0.7 --set "
          "mask.draw=balanced");
}

static void test_hash(void **state)
{
    (void)state;
    check("hash", "--set router.name=hash --set router.k=1");
}

static void test_bias(void **state)
{
    (void)state;
    check("bias", "--set router.name=bias --set router.bias_rate=0.02 --set router.scale=1.5");
    check("scores", "--set router.name=bias --set router.k=1 --set router.renormalize=false");
}

static void test_relu(void **state)
{
    (void)state;
    check("relu", "--set router.name=relu --set router.k=1");
}

static void test_noisy_topk(void **state)
{
    (void)state;
    check("noisy", "--set router.name=noisy_topk --set router.k=3");
}

/* It can tell: with the weights of another seed neither routing nor losses are those that were logged. */
static void test_another_model_is_told(void **state)
{
    struct test_run r;

    (void)state;
    if (!has_numpy)
        skip();
    tiny_expect(tiny_train(&tiny, "one.db", "r", "--set train.steps=5"), 0, "");
    tiny_expect(tiny_train(&tiny, "two.db", "r", "--set train.steps=5 --seed 2"), 0, "");
    r = recompute("one.db", "two.db");
    assert_int_equal(r.status, 1);
    assert_null(strstr(r.out, " 0 others differ"));
    test_run_release(&r);
}

/* Nor is what cannot be computed taken for what is right. */
static void test_not_a_number_is_told(void **state)
{
    struct test_run r;

    (void)state;
    if (!has_numpy)
        skip();
    tiny_expect(
        test_run("cd %s && mkdir -p nan.db.checkpoints && /usr/bin/python3 -c \"b = "
                 "open('one.db.checkpoints/r.safetensors', 'rb').read(); n = 8 + int.from_bytes(b[:8], "
                 "'little'); open('nan.db.checkpoints/r.safetensors', 'wb').write(b[:n] + b'\\xff' * "
                 "(len(b) - n))\"",
                 tiny.folder),
        0, "");
    r = recompute("one.db", "nan.db");
    assert_int_equal(r.status, 1);
    assert_null(strstr(r.out, " 0 tokens beyond"));
    assert_null(strstr(r.out, " 0 beyond 1e-5"));
    test_run_release(&r);
}

/* ---- what analyses say ---- */

static struct test_run remeasure(const char *db, const char *run, const char *program)
{
    return test_run("here=$PWD; cd %s && /usr/bin/python3 $here/scripts/remeasure.py %s %s 5 %s", tiny.folder,
                    db, run, program);
}

static void check_measures(const char *db, const char *run)
{
    char program[512];
    struct test_run r;

    snprintf(program, sizeof program, "%s/moescope-specialization", tiny.bin);
    r = remeasure(db, run, program);
    print_message("%s", r.out);
    if (r.status != 0)
        fail_msg("%s: status %d: %s%s", db, r.status, r.out, r.err);
    assert_non_null(strstr(r.out, "\n0 differ\n"));
    test_run_release(&r);
}

/* A router that prefers experts by domain and by token, and where it does not, anything. */
static void route(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    (void)context;
    for (int e = 0; e < n_experts; e++) {
        uint64_t key = (uint64_t)(at->document * 64 + at->position) * 16 + (uint64_t)(at->layer * 8 + e);
        probability[e] = (float)(fixture_hash(key * 1000 + (uint64_t)at->step) % 1000) / 1000 +
                         (at->step > 0 && e == (at->domain + at->layer) % n_experts ? 0.4f : 0) +
                         (at->step > 1 && e == at->id % n_experts ? 0.4f : 0);
        probability[e] /= 2; /* none is above 1 */
    }
}

/* A trained model of few documents, k varying; a router by hand with documents enough for intervals. */
static void test_specialization(void **state)
{
    static const int64_t steps[] = {0, 1, 2};
    struct fixture_run run = {
        .name = "r", .n_layers = 2, .n_experts = 5, .k = 2, .steps = steps, .n_steps = 3, .route = route};
    struct fixture fixture;

    (void)state;
    if (!has_numpy)
        skip();
    check_measures("topp.db", "r");
    fixture_open(&fixture, 3, 12);
    fixture_run(&fixture, &run);
    fixture_finish(&fixture);
    check_measures(fixture.path, "r");
    fixture_release(&fixture);
}

/* It can tell: of the step before, hardly a figure is that of the last. */
static void test_other_measures_are_told(void **state)
{
    struct test_run r;

    (void)state;
    if (!has_numpy)
        skip();
    tiny_expect(
        test_run("cd %s && printf '#!/bin/sh\\nexec %s/moescope-specialization \"$@\" --step 32\\n' >other "
                 "&& chmod +x other",
                 tiny.folder, tiny.bin),
        0, "");
    r = remeasure("hash.db", "r", "./other");
    assert_int_equal(r.status, 1);
    assert_null(strstr(r.out, "\n0 differ\n"));
    test_run_release(&r);
}

/* What collapse says of a run against scripts/recompute_collapse.py: loads that vary, refused decisions, one
 * layer that collapses. */
static void check_collapse(const char *name, const char *settings)
{
    char db[32], more[512];

    if (!has_numpy)
        skip();
    snprintf(db, sizeof db, "%s.db", name);
    snprintf(more, sizeof more, "%s%s", settings, common);
    tiny_expect(tiny_train(&tiny, db, "r", more), 0, "");
    struct test_run r =
        test_run("cd %s && here=$OLDPWD; /usr/bin/python3 $here/scripts/recompute_collapse.py %s "
                 "r %s/moescope-collapse",
                 tiny.folder, db, tiny.bin);
    print_message("%s", r.out);
    if (r.status != 0)
        fail_msg("%s: status %d: %s%s", name, r.status, r.out, r.err);
    assert_non_null(strstr(r.out, " 0 differ"));
    test_run_release(&r);
}

static void test_collapse(void **state)
{
    (void)state;
    check_collapse("greedy",
                   "--set router.k=1 --set router.capacity=1.5 --set loss.balance=0 --set loss.z=0");
    check_collapse("varying", "--set router.name=topp --set router.p=0.6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topk),
        cmocka_unit_test(test_topp),
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_bias),
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_noisy_topk),
        cmocka_unit_test(test_another_model_is_told),
        cmocka_unit_test(test_not_a_number_is_told),
        cmocka_unit_test(test_specialization),
        cmocka_unit_test(test_other_measures_are_told),
        cmocka_unit_test(test_collapse),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
