/* engine/classifier.h and the task of images: what is told of a pass, subsets of experts against a search by
 * hand, a run that is broken off and goes on. */
#include "engine/classifier.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/subsets.h"
#include "tests/close.h"
#include "tests/pictures.h"
#include "tests/support.h"
#include "tests/training.h"

static const char *const soft[] = {"model.kind=soft_moe", "network.patch=2",  "router.experts=4",
                                   "router.hidden=6",     "soft.slots=2",     "train.batch=16",
                                   "train.steps=60",      "train.warmup=1",   "train.learning_rate=0.02",
                                   "valid.every=0",       "soft.subsets=2,1", NULL};

static const char *const joint[] = {"model.kind=joint_gate",
                                    "gate.stage=1",
                                    "gate.per_stage=true",
                                    "network.filters=3,4",
                                    "network.hidden=6",
                                    "router.experts=3",
                                    "router.k=1",
                                    "loss.balance=0.5",
                                    "train.batch=16",
                                    "train.steps=60",
                                    "train.warmup=1",
                                    "train.learning_rate=0.02",
                                    "valid.every=0",
                                    NULL};

static double metric(const struct training *r, int64_t step, const char *name)
{
    return memory_metric(&r->sink, step, SPLIT_VALID, name);
}

static void test_every_kind_learns(void **state)
{
    static const char *const kinds[] = {"model.kind=mlp", "model.kind=convolution", "model.kind=soft_moe",
                                        "model.kind=joint_gate"};

    (void)state;
    for (int k = 0; k < 4; k++) {
        for (int residual = 0; residual < 2; residual++) {
            const char *const s[] = {kinds[k],
                                     k == 3 ? "network.filters=4,6" : "network.filters=4",
                                     "network.hidden=8",
                                     "gate.stage=1",
                                     residual ? "gate.per_stage=true" : "gate.per_stage=false",
                                     "router.k=1",
                                     "network.patch=2",
                                     "router.experts=4",
                                     "router.hidden=6",
                                     residual ? "network.residual=true" : "network.residual=false",
                                     residual ? "soft.residual=true" : "soft.residual=false",
                                     "train.batch=16",
                                     "train.steps=60",
                                     "train.warmup=1",
                                     "train.learning_rate=0.02",
                                     "valid.every=0",
                                     NULL};
            struct training r;
            training_open_pictures(&r, s, 2, 7);
            assert_int_equal(training_run(&r), TRAIN_FINISHED);
            assert_close(metric(&r, 60, "accuracy"), 1.0, 0.0);
            assert_true(metric(&r, 60, "loss") < 0.2);
            training_close_pictures(&r);
        }
    }
}

/* Tokens of an image have its loss, the last one its class as target; shares of experts add up to 1. */
static void test_pass(void **state)
{
    struct training r;

    (void)state;
    training_open_pictures(&r, soft, 1, 7);
    struct classifier *c = &r.trainer.classifier;
    int next = 0;
    assert_true(classifier_in_order(c, &r.corpus, &r.trainer.valid, &next));
    double mean = classifier_forward(c, &r.corpus, false, 1.0F).lm, sum = 0.0;
    struct pass p = classifier_pass(c, true);
    assert_int_equal(p.n_sequences, PICTURES_TEST);
    assert_int_equal(p.start[p.n_sequences], 4 * PICTURES_TEST);
    for (int s = 0; s < p.n_sequences; s++) {
        int label = picture_label(s);
        assert_int_equal(p.target[p.start[s + 1] - 1], 1 + label);
        assert_int_equal(p.outcome[s].target, label);
        for (int t = p.start[s]; t < p.start[s + 1]; t++) {
            double shares = 0.0;
            assert_true(p.loss[t] == p.loss[p.start[s]]);
            sum += (double)p.loss[t] / 4;
            for (int i = 0; i < 4; i++) {
                shares += (double)p.layers[0].routing->gate[4 * t + i];
                assert_true(i == 0 ||
                            p.layers[0].routing->gate[4 * t + i] <= p.layers[0].routing->gate[4 * t + i - 1]);
            }
            assert_close(shares, 1.0, 1e-6);
        }
    }
    assert_close(sum / PICTURES_TEST, mean, 1e-6);
    training_close_pictures(&r);
}

/* With all experts predictions and scores are the whole model's. */
static void test_all_experts_are_the_model(void **state)
{
    static const uint8_t all[4] = {1, 1, 1, 1};
    struct training r;
    float *scores;
    int next = 0;

    (void)state;
    training_open_pictures(&r, soft, 1, 7);
    assert_int_equal(training_run(&r), TRAIN_FINISHED);
    struct classifier *c = &r.trainer.classifier;
    const struct node *last = &c->net.network.nodes[c->net.network.n - 1];
    size_t bytes = PICTURES_TEST * PICTURES_CLASSES * sizeof *scores;
    classifier_in_order(c, &r.corpus, &r.trainer.valid, &next);
    classifier_forward(c, &r.corpus, false, 1.0F);
    scores = malloc(bytes);
    assert_non_null(scores);
    memcpy(scores, last->value, bytes);
    soft_network_keep_likeliest(&c->net, c->n_images, 4);
    assert_memory_equal(scores, last->value, bytes);
    soft_network_keep_same(&c->net, c->n_images, all);
    assert_memory_equal(scores, last->value, bytes);
    free(scores);
    training_close_pictures(&r);
}

/* The search adds up experts' shares of the scores; here every subset is run. With the residual scores
 * without any expert differ by image. */
static void check_search(bool residual)
{
    const char *const s[] = {"model.kind=soft_moe",
                             "network.patch=2",
                             "router.experts=4",
                             "router.hidden=6",
                             "train.batch=16",
                             "train.steps=60",
                             "train.warmup=1",
                             "train.learning_rate=0.02",
                             "valid.every=0",
                             residual ? "soft.residual=true" : "soft.residual=false",
                             NULL};
    struct training r;
    struct subset_figures f;
    struct error err;
    int right[PICTURES_TEST] = {0}, next = 0, found = 0;

    training_open_pictures(&r, s, 1, 7);
    r.stop_after = 3; /* not yet good */
    assert_int_equal(training_run(&r), TRAIN_INTERRUPTED);
    struct classifier *c = &r.trainer.classifier;
    test_must(subsets_measure(c, &r.corpus, &r.trainer.valid, &r.trainer.probe, 2, 1, &f, &err), &err);
    classifier_in_order(c, &r.corpus, &r.trainer.valid, &next);
    classifier_forward(c, &r.corpus, false, 1.0F);
    for (unsigned subset = 0; subset < 16; subset++) {
        uint8_t keep[4];
        for (unsigned e = 0; e < 4; e++)
            keep[e] = subset >> e & 1;
        if (keep[0] + keep[1] + keep[2] + keep[3] != 2)
            continue;
        soft_network_keep_same(&c->net, c->n_images, keep);
        classifier_predict(c);
        for (int b = 0; b < PICTURES_TEST; b++)
            right[b] |= c->prediction[b] == c->label[b];
    }
    for (int b = 0; b < PICTURES_TEST; b++)
        found += right[b];
    assert_close(f.best, (double)found / PICTURES_TEST, 1e-12);
    assert_true(f.likeliest <= f.best && f.fixed <= f.best && f.random <= f.best + 1e-12);
    assert_true(f.wrong >= 0.0 && f.wrong <= 1.0 && f.unique >= 1.0 && f.unique <= 6.0);
    training_close_pictures(&r);
}

static void test_search(void **state)
{
    (void)state;
    check_search(false);
    check_search(true);
}

/* Each of the four experts is kept half of the time, and two of them always. */
static void test_random_subsets(void **state)
{
    struct training r;
    struct random random;
    int kept[4] = {0}, next = 0, n = 0;

    (void)state;
    training_open_pictures(&r, soft, 1, 7);
    struct classifier *c = &r.trainer.classifier;
    random_seed(&random, 1, 2);
    classifier_in_order(c, &r.corpus, &r.trainer.valid, &next);
    classifier_forward(c, &r.corpus, false, 1.0F);
    for (int draw = 0; draw < 100; draw++) {
        soft_network_keep_random(&c->net, c->n_images, 2, &random);
        for (int b = 0; b < c->n_images; b++, n++) {
            const uint8_t *keep = c->net.keep + 4 * b;
            assert_int_equal(keep[0] + keep[1] + keep[2] + keep[3], 2);
            for (int e = 0; e < 4; e++)
                kept[e] += keep[e];
        }
    }
    for (int e = 0; e < 4; e++)
        assert_close((double)kept[e] / n, 0.5, 0.05); /* n = 1200: 3.5 standard errors */
    training_close_pictures(&r);
}

/* An image has one decision and its own cost; what is minimised includes the balance loss. */
static void test_joint_gate(void **state)
{
    struct training r;
    int next = 0;

    (void)state;
    training_open_pictures(&r, joint, 2, 7);
    assert_int_equal(training_run(&r), TRAIN_FINISHED);
    struct classifier *c = &r.trainer.classifier;
    assert_true(classifier_in_order(c, &r.corpus, &r.trainer.valid, &next));
    classifier_forward(c, &r.corpus, false, 1.0F);
    struct pass p = classifier_pass(c, true);
    assert_int_equal(p.n_layers, 1);
    assert_int_equal(routing_decisions(p.layers[0].routing), PICTURES_TEST);
    assert_int_equal(p.outcome[0].multiply_adds, c->net.multiply_adds);
    double balance = memory_metric(&r.sink, 59, SPLIT_TRAIN, "balance_loss");
    assert_true(balance > 0.9 && memory_metric(&r.sink, 59, SPLIT_TRAIN, "loss") > 0.5 * balance);
    training_close_pictures(&r);
}

/* Broken off and gone on with, a run ends at the same weights, whatever the threads. */
static void check_resume(settings s, const char *figure)
{
    struct training whole, first, second;
    struct checkpoint c;
    struct error err;

    training_open_pictures(&whole, s, 1, 7);
    assert_int_equal(training_run(&whole), TRAIN_FINISHED);
    training_open_pictures(&first, s, 2, 7);
    first.stop_after = 23;
    assert_int_equal(training_run(&first), TRAIN_INTERRUPTED);
    test_must(checkpoint_open(&c, first.path, &err), &err);
    training_open_pictures(&second, s, 2, 7);
    test_must(trainer_restore(&second.trainer, &c, &err), &err);
    assert_int_equal(second.trainer.step, 23);
    assert_int_equal(training_run(&second), TRAIN_FINISHED);
    assert_memory_equal(whole.trainer.parameters->values, second.trainer.parameters->values,
                        whole.trainer.parameters->n_values * sizeof(float));
    assert_true(metric(&whole, 60, figure) == metric(&second, 60, figure));
    checkpoint_close(&c);
    training_close_pictures(&whole);
    training_close_pictures(&first);
    training_close_pictures(&second);
}

static void test_resume(void **state)
{
    (void)state;
    check_resume(soft, "subset_2_likeliest");
    check_resume(joint, "loss");
}

static void test_text_is_refused(void **state)
{
    struct training r;
    struct error err = {0};

    (void)state;
    training_prepare(&r, soft, 1);
    assert_int_equal(training_start(&r, 1, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "is text; model.kind = soft_moe learns images"));
    training_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_learns),
        cmocka_unit_test(test_pass),
        cmocka_unit_test(test_all_experts_are_the_model),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_random_subsets),
        cmocka_unit_test(test_joint_gate),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
