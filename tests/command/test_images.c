/* moescope train on images and on norms of vectors: the logbook adds up, what cannot be is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/pictures.h"
#include "tests/support.h"
#include "tests/tiny.h"

static struct tiny tiny; /* its folder and programs; no text is made */

static int open_group(void **state)
{
    (void)state;
    pictures_open(&tiny);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

static struct test_run train(const char *name, const char *more)
{
    return test_run("cd %s && %s/moescope-train --log log.db --name %s --set data.corpus=pictures --set "
                    "network.patch=2 --set router.experts=4 --set router.hidden=6 --set train.warmup=1 --set "
                    "train.learning_rate=0.02 --set train.steps=8 %s",
                    tiny.folder, tiny.bin, name, more);
}

/* More images than there are make an update see some twice. */
static void test_soft_moe(void **state)
{
    (void)state;
    tiny_expect(train("soft", "--set model.kind=soft_moe --set train.batch=256 --set soft.subsets=2,1"), 0,
                "");
    tiny_expect(test_run("cd %s && %s/moescope-check log.db", tiny.folder, tiny.bin), 0, "");
    tiny_expect_answer(&tiny, "log.db", "SELECT task, router FROM run", "classification|soft_moe\n");
    /* every train image has one answer at a step, every test image one at the end */
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT split, count(*) FROM outcome WHERE step IN (7, 8) AND split <> 'probe' GROUP BY "
        "split ORDER BY split",
        "train|118\nvalid|12\n");
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT abs(avg(target = prediction) - (SELECT value FROM metric WHERE name = 'accuracy' AND split = "
        "'valid' AND step = 8)) < 1e-9 FROM outcome WHERE split = 'valid' AND step = 8",
        "1\n");
    /* the target is the class of the image */
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(*) FROM outcome JOIN sample USING (sample_id) JOIN document USING "
        "(document_id) JOIN domain USING (domain_id) JOIN token ON token_id = target + 1 WHERE "
        "token.text <> domain.name",
        "0\n");
    /* a token's first choice is its likeliest expert, in training as well */
    tiny_expect_answer(
        &tiny, "log.db",
        "SELECT count(*) > 100, sum(first.gate < other.gate) FROM routing AS first JOIN routing "
        "AS other USING (sequence_id, layer, position) WHERE first.slot = 0 AND first.split = "
        "'train' AND first.step = 7",
        "1|0\n");
    tiny_expect_answer(&tiny, "log.db", "SELECT count(*) FROM metric WHERE name LIKE 'subset%'", "14\n");
}

static void test_analyses(void **state)
{
    static const char *const verbs[] = {"specialization", "collapse", "demand"};

    (void)state;
    for (int i = 0; i < 3; i++)
        tiny_expect(
            test_run("cd %s && %s/moescope-%s log.db --run soft >&2", tiny.folder, tiny.bin, verbs[i]), 0,
            i ? "soft" : "layer 0: every token has every expert, so that first choices are counted");
}

/* A network without patches sees the same images: they are compared. */
static void test_compare(void **state)
{
    (void)state;
    tiny_expect(train("mlp", "--set model.kind=mlp --set train.batch=16"), 0, "");
    struct test_run r =
        test_run("cd %s && %s/moescope-compare log.db mlp soft --table difference --format csv", tiny.folder,
                 tiny.bin);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "soft,mlp,all,12,"));
    assert_non_null(strstr(r.out, "soft,mlp,top,4,"));
    assert_null(strstr(r.out, "bits/byte"));
    assert_null(strstr(r.err, "different pieces"));
    test_run_release(&r);
}

static void test_norm(void **state)
{
    (void)state;
    tiny_expect(
        test_run("cd %s && %s/moescope-train --log norm.db --name n --set model.kind=norm_soft_moe --set "
                 "norm.token=5 --set router.experts=2 --set router.hidden=10 --set train.batch=100 --set "
                 "train.steps=4 && %s/moescope-check norm.db",
                 tiny.folder, tiny.bin, tiny.bin),
        0, "");
    tiny_expect_answer(
        &tiny, "norm.db",
        "SELECT task, (SELECT count(*) FROM document_loss WHERE split = 'valid' AND step = 4), (SELECT "
        "n_experts FROM moe_layer) FROM run",
        "regression|2000|2\n");
    tiny_expect(
        test_run("cd %s && %s/moescope-train --log norm.db --name m --set model.kind=norm_soft_moe --set "
                 "norm.token=3",
                 tiny.folder, tiny.bin),
        2, "norm.token 3 does not divide norm.dimensions 10");
}

static void test_refused(void **state)
{
    static const struct {
        const char *settings, *said;
    } cases[] = {
        {"--set model.kind=soft_moe --set soft.subsets=2,2", "soft.subsets = 2,2: one is there twice"},
        {"--set model.kind=soft_moe --set soft.subsets=4",
         "each must be from 1 to one less than router.experts"},
        {"--set model.kind=mlp --set soft.subsets=2", "model.kind is not soft_moe"},
        {"--set model.kind=soft_moe --set network.patch=3", "patches of 3 x 3 do not cover 4 x 4"},
        {"--set model.kind=convolution --set network.filters=2,2,2,2",
         "a window of 2 x 2 does not fit into 1 x 1"},
        {"--set model.kind=unigram", "is images; there are no words to count"},
        {"", "is images; model.kind is one of mlp, convolution, soft_moe for them"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        tiny_expect(train("refused", cases[i].settings), 2, cases[i].said);
    tiny_expect_answer(&tiny, "log.db", "SELECT count(*) FROM run", "2\n");
    tiny_expect(test_run("cd %s && echo hello > text.txt && %s/moescope-route log.db --checkpoint "
                         "log.db.checkpoints/soft.safetensors text.txt",
                         tiny.folder, tiny.bin),
                2, "is of a model of kind soft_moe");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_soft_moe), cmocka_unit_test(test_analyses), cmocka_unit_test(test_compare),
        cmocka_unit_test(test_norm),     cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
