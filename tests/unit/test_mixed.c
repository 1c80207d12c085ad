/* engine/mixture_corpus.h, engine/mixed.h, engine/draws.h: sources as documents, what is refused, gradients,
 * who goes where, what drifts, a run that is broken off. */
#include "engine/mixed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/mixture_corpus.h"
#include "tests/close.h"
#include "tests/mixtures.h"
#include "tests/numeric.h"
#include "tests/support.h"
#include "tests/training.h"

static char *folder;

static int open_folder(void **state)
{
    (void)state;
    folder = test_folder();
    mixtures_write(folder);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

/* ---- the corpus ---- */

static void test_documents(void **state)
{
    struct corpus c;
    struct error err;
    int splits[N_SPLITS] = {0}, each = MIXTURES_TRAIN + MIXTURES_TEST;

    (void)state;
    test_must(corpus_load(&c, folder, &err), &err);
    assert_int_equal(c.n_documents, MIXTURES_SOURCES * each);
    assert_int_equal(c.n_domains, MIXTURES_SOURCES);
    assert_int_equal(c.n_vocabulary, 1 + 2 + 3 + 1 + 2);
    for (int d = 0; d < c.n_documents; d++) {
        const struct document *document = &c.documents[d];
        int s = d / each, label = d % each < MIXTURES_TRAIN ? d % each : d % each - MIXTURES_TRAIN;
        static const int first[] = {1, 3, 6, 7}, classes[] = {2, 3, 1, 2};
        splits[document->split]++;
        assert_int_equal(document->domain, s);
        assert_int_equal(mixture_source_of(&c.mixture, d), s);
        assert_int_equal(c.ids[document->first + 1], first[s] + label % classes[s]);
        assert_int_equal(document->n_labels, s != 2);
    }
    assert_int_equal(splits[SPLIT_PROBE], 2 * MIXTURES_SOURCES);
    assert_int_equal(splits[SPLIT_VALID], MIXTURES_TEST * MIXTURES_SOURCES);
    assert_string_equal(c.documents[each].name, "words/train/000000");
    assert_string_equal(c.domains[2], "walks");
    corpus_release(&c);
}

static void refused(const char *file, const void *bytes, size_t n, const char *expected)
{
    char *other = test_folder();
    struct corpus c;
    struct error err;

    mixtures_write(other);
    test_write(other, file, bytes, n);
    assert_int_equal(corpus_load(&c, other, &err), -1);
    if (!strstr(err.text, expected))
        fail_msg("'%s' does not say '%s'", err.text, expected);
    test_folder_remove(other);
}

static void test_refused(void **state)
{
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 1, 0},
                         reals[] = {0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0};
#define REFUSED(file, text, expected) refused(file, text, strlen(text), expected)
    (void)state;
    REFUSED("sources.txt", "", "names no source");
    REFUSED("sources.txt", "pictures\tvideo\n", "line 1 is not a name, a tab and one of image");
    REFUSED("sources.txt", "pictures\n", "line 1 is not a name");
    REFUSED("sources.txt", "words\ttext\nwords\ttext\n", "the source 'words' twice");
    REFUSED("sources.txt", "none\ttext\n", "none/train-inputs.idx.gz'");
    REFUSED("sources.txt", "words\timage\n",
            "has 2 dimensions of bytes; samples of kind image have 3 of bytes");
    REFUSED("sources.txt", "rows\ttext\n", "2 of bytes");
    REFUSED("words/classes.txt", "early\n", "names 1 classes, but there are samples of class 2");
    refused("words/test-targets.idx.gz", labels, sizeof labels, "120 + 1 targets for 120 + 24 samples");
    refused("words/test-targets.idx.gz", reals, sizeof reals, "is of other samples");
#undef REFUSED
}

/* ---- runs ---- */

#define SMALL                                                                                                \
    "model.kind=mixed", "train.batch=64", "train.warmup=1", "train.decay=0", "valid.every=0",                \
        "mixed.width=8", "mixed.output=6", "mixed.experts=convolution:3,sequence:4,mlp:5,bag:4"

/* The run of tests/training.h, on the mixture. */
static void open_run(struct training *r, settings s, int threads)
{
    struct error err;

    training_prepare(r, s, threads);
    memory_corpus_release(&r->corpus);
    test_must(corpus_load(&r->corpus, folder, &err), &err);
    test_must(training_start(r, 7, &err), &err);
}

static void close_run(struct training *r)
{
    struct corpus corpus = r->corpus;

    memset(&r->corpus, 0, sizeof r->corpus);
    training_close(r);
    corpus_release(&corpus);
}

static double metric(const struct training *r, int64_t step, const char *name)
{
    return memory_metric(&r->sink, step, SPLIT_VALID, name);
}

static void draw(struct training *r)
{
    struct random random;

    random_seed(&random, 3, 5);
    draws_fill(&r->trainer.draws, &r->trainer.mixed, false, &random);
}

/* ---- gradients ---- */

static double objective(void *context)
{
    struct training *r = context;
    struct mixed *m = &r->trainer.mixed;
    struct losses l = mixed_forward(m, &r->corpus, false, NULL);

    return losses_total(&l, &m->loss_weights, 1);
}

/* A tensor at a time. */
static void check_gradient(struct training *r, const struct parameter *p)
{
    struct parameters *all = &r->trainer.mixed.network.parameters;
    double rise = rise_along_gradient(all->values + p->offset, all->gradients + p->offset, p->count, 1e-3,
                                      objective, r);

    if (!(fabs(rise - 1.0) < 0.03))
        fail_msg("%s: along its gradient the loss rises %g times as fast as it should", p->name, rise);
}

/* prefix: of the tensors that decide nothing discrete. */
static void check_gradients(settings s, const char *prefix)
{
    struct training r;

    open_run(&r, s, 1);
    struct parameters *p = &r.trainer.mixed.network.parameters;
    r.stop_after = 5; /* biases are no longer 0, where half of a ReLU's inputs would be on its edge */
    assert_int_equal(training_run(&r), TRAIN_INTERRUPTED);
    draw(&r);
    memset(p->gradients, 0, p->n_weights * sizeof *p->gradients);
    mixed_forward(&r.trainer.mixed, &r.corpus, true, NULL);
    for (int i = 0; i < p->n; i++)
        if (p->items[i].trained && strncmp(p->items[i].name, prefix, strlen(prefix)) == 0)
            check_gradient(&r, &p->items[i]);
    close_run(&r);
}

static void test_gradients(void **state)
{
    static const char *const smooth[] =
        {SMALL,        "router.name=topp", "router.p=1",           "loss.balance=0.5",
         "loss.z=0.1", "loss.entropy=0.1", "loss.cost_exponent=1", "train.steps=60",
         NULL},
                             *const all[] = {SMALL, "mixed.routing=all", "train.steps=60", NULL},
                             *const two[] = {SMALL, "router.k=2", "train.steps=60", NULL};

    (void)state;
    check_gradients(smooth, "");
    check_gradients(all, "stems.");
    check_gradients(two, "heads.");
}

/* ---- learning ---- */

static void test_learns(void **state)
{
    static const char *const ways[] = {"mixed.routing=gate", "mixed.routing=source", "mixed.routing=all"},
                             *const routers[] = {"router.name=topk", "router.name=noisy_topk",
                                                 "router.name=bias"};

    (void)state;
    for (int way = 0; way < 3; way++) {
        for (int i = 0; i < (way == 0 ? 3 : 1); i++) {
            const char *const s[] = {SMALL,        ways[way],         routers[i],
                                     "router.k=2", "train.steps=150", "train.learning_rate=0.01",
                                     NULL};
            struct training r;
            open_run(&r, s, 1);
            assert_int_equal(training_run(&r), TRAIN_FINISHED);
            assert_true(metric(&r, 150, "accuracy_pictures") > 0.9);
            assert_true(metric(&r, 150, "accuracy_words") > 0.8);
            assert_true(metric(&r, 150, "accuracy_rows") > 0.9);
            assert_true(metric(&r, 150, "skill_walks") > 0.5);
            close_run(&r);
        }
    }
}

/* ---- who goes where ---- */

static void test_rules(void **state)
{
    static const char *const source[] = {SMALL, "mixed.routing=source", "train.steps=1", NULL},
                             *const all[] = {SMALL, "mixed.routing=all", "train.steps=1", NULL};
    struct training r;

    (void)state;
    open_run(&r, source, 1);
    draw(&r);
    struct mixed *m = &r.trainer.mixed;
    mixed_forward(m, &r.corpus, false, NULL);
    for (int b = 0; b < m->n; b++) {
        int s = mixture_source_of(m->mixture, m->sample[b]->document);
        assert_int_equal(routing_decisions(&m->routing), m->n);
        assert_int_equal(m->routing.expert[b], s);
        assert_close(mixed_multiply_adds(m, b),
                     m->stem[s].multiply_adds + m->expert[s].multiply_adds + m->head[s].multiply_adds, 0.0);
    }
    close_run(&r);
    open_run(&r, all, 1);
    draw(&r);
    m = &r.trainer.mixed;
    mixed_forward(m, &r.corpus, false, NULL);
    assert_int_equal(routing_decisions(&m->routing), 4 * m->n);
    for (int i = 0; i < 4 * m->n; i++)
        assert_close((double)m->routing.weight[i], 0.25, 0.0);
    close_run(&r);
}

/* By hand: two experts of cost 1 and 3; with loads of 3/4 and 1/4 both have the same work and the loss is 1;
 * with equal loads (1 + 1/3) (1/4 + 3/4) = 4/3. */
static void test_balance_of_work(void **state)
{
    double cost[] = {(1.0 + 1.0 / 3.0) * 1.0 / 2.0, (1.0 + 1.0 / 3.0) * 3.0 / 2.0};
    int64_t requested[2] = {3, 1};
    int32_t offset[] = {0, 1, 2, 3, 4};
    float probability[8] = {0.75F, 0.25F, 0.75F, 0.25F, 0.75F, 0.25F, 0.75F, 0.25F}, gradient[8];
    struct routing r = {.n_tokens = 4,
                        .n_experts = 2,
                        .softmax = true,
                        .offset = offset,
                        .probability = probability,
                        .d_probability = gradient,
                        .requested = requested,
                        .cost = cost};

    (void)state;
    assert_close(balance_loss(router_find("topk"), &r, 0.0F), 1.0, 1e-6);
    requested[0] = requested[1] = 2;
    for (int i = 0; i < 8; i++)
        probability[i] = 0.5F;
    assert_close(balance_loss(router_find("topk"), &r, 0.0F), 4.0 / 3.0, 1e-6);
}

/* ---- sources and drift ---- */

static void count_drawn(struct training *r, bool drifted, int *count)
{
    struct mixed *m = &r->trainer.mixed;
    struct random random;

    memset(count, 0, MIXTURES_SOURCES * sizeof *count);
    random_seed(&random, 1, 2);
    for (int i = 0; i < 50; i++) {
        draws_fill(&r->trainer.draws, m, drifted, &random);
        for (int b = 0; b < m->n; b++)
            count[mixture_source_of(m->mixture, m->added[b]->document)]++;
    }
}

static void test_mix(void **state)
{
    static const char *const s[] = {SMALL,           "drift.kind=mix",
                                    "drift.at=10",   "drift.shares=0,3,1,0",
                                    "train.steps=1", NULL},
                             *const some[] = {SMALL, "mixed.sources=rows,words", "train.steps=1", NULL};
    struct training r;
    int count[MIXTURES_SOURCES];

    (void)state;
    open_run(&r, s, 1);
    assert_false(draws_drifted(&r.trainer.draws, 9));
    assert_true(draws_drifted(&r.trainer.draws, 10));
    count_drawn(&r, false, count);
    for (int i = 0; i < MIXTURES_SOURCES; i++)
        assert_in_range(count[i], 700, 900); /* 800, deviation 24 */
    count_drawn(&r, true, count);
    assert_int_equal(count[0] + count[3], 0);
    assert_in_range(count[1], 2300, 2500);
    close_run(&r);
    open_run(&r, some, 1);
    assert_int_equal(r.trainer.valid.n, 2 * MIXTURES_TEST);
    count_drawn(&r, false, count);
    assert_int_equal(count[0] + count[2], 0);
    assert_in_range(count[1], 1500, 1700);
    close_run(&r);
}

/* Noise is on pictures alone, and what is told of the drifted set says so. */
static void test_noise(void **state)
{
    static const char *const s[] = {
        SMALL,           "router.k=2",      "drift.kind=noise",         "drift.at=1000",
        "drift.noise=8", "train.steps=100", "train.learning_rate=0.02", NULL};
    struct training r;

    (void)state;
    open_run(&r, s, 1);
    assert_int_equal(training_run(&r), TRAIN_FINISHED);
    assert_true(metric(&r, 100, "drifted_accuracy_pictures") < metric(&r, 100, "accuracy_pictures") - 0.1);
    assert_close(metric(&r, 100, "drifted_accuracy_words"), metric(&r, 100, "accuracy_words"), 0.0);
    assert_close(metric(&r, 100, "drifted_skill_walks"), metric(&r, 100, "skill_walks"), 0.0);
    assert_true(metric(&r, 100, "milliseconds_64_p99") >= metric(&r, 100, "milliseconds_64_p50"));
    close_run(&r);
}

/* ---- beginning where another run ended, and going on ---- */

static void test_start(void **state)
{
    static const char *const s[] = {SMALL, "router.k=2", "train.steps=20", NULL};
    char start[4200];
    struct training r, again;

    (void)state;
    open_run(&r, s, 1);
    assert_int_equal(training_run(&r), TRAIN_FINISHED);
    snprintf(start, sizeof start, "mixed.start=%s", r.path);
    const char *const watch[] = {
        SMALL, "router.k=2", "train.steps=3", start, "train.learning_rate=0", "mixed.stream=valid", NULL};
    open_run(&again, watch, 1);
    assert_int_equal(training_run(&again), TRAIN_FINISHED);
    assert_close(metric(&again, 3, "loss"), metric(&r, 20, "loss"), 0.0);
    close_run(&again);
    const char *const other[] = {SMALL, "mixed.width=4", "train.steps=3", start, NULL};
    struct error err;
    training_prepare(&again, other, 1);
    memory_corpus_release(&again.corpus);
    test_must(corpus_load(&again.corpus, folder, &err), &err);
    assert_int_equal(training_start(&again, 7, &err), -1);
    assert_non_null(strstr(err.text, "mixed.start"));
    close_run(&again);
    close_run(&r);
}

static void test_broken_off(void **state)
{
    static const char *const s[] = {
        SMALL, "router.name=bias", "router.k=2", "router.noise=0.1", "train.steps=12", NULL};
    struct training whole, part;
    struct checkpoint c;
    struct error err;

    (void)state;
    open_run(&whole, s, 1);
    assert_int_equal(training_run(&whole), TRAIN_FINISHED);
    open_run(&part, s, 2);
    part.stop_after = 5;
    assert_int_equal(training_run(&part), TRAIN_INTERRUPTED);
    test_must(checkpoint_open(&c, part.path, &err), &err);
    test_must(trainer_restore(&part.trainer, &c, &err), &err);
    checkpoint_close(&c);
    part.stop_after = 0;
    part.stop = 0;
    assert_int_equal(training_run(&part), TRAIN_FINISHED);
    const struct parameters *p = &whole.trainer.mixed.network.parameters;
    assert_memory_equal(p->values, part.trainer.mixed.network.parameters.values,
                        p->n_values * sizeof *p->values);
    close_run(&part);
    close_run(&whole);
}

/* ---- bad settings ---- */

static void bad(const char *setting, const char *expected)
{
    const char *const s[] = {SMALL, "router.k=1", setting, NULL};
    struct training r;
    struct error err;

    training_prepare(&r, s, 1);
    memory_corpus_release(&r.corpus);
    test_must(corpus_load(&r.corpus, folder, &err), &err);
    assert_int_equal(training_start(&r, 7, &err), -1);
    if (!strstr(err.text, expected))
        fail_msg("'%s' does not say '%s'", err.text, expected);
    close_run(&r);
}

static void test_bad_settings(void **state)
{
    (void)state;
    bad("mixed.experts=mlp", "mixed.experts is 'mlp'");
    bad("mixed.experts=mlp:4,", "mixed.experts is 'mlp:4,'");
    bad("mixed.experts=mlp:0", "mixed.experts is 'mlp:0'");
    bad("mixed.experts=transformer:4", "convolution, sequence, mlp and bag");
    bad("mixed.sources=words,none", "mixed.sources names 'none'");
    bad("router.name=hash", "goes by vocabulary items");
    bad("router.name=dense", "has no gate");
    bad("router.k=9", "router.k");
    bad("mixed.start=nowhere", "nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_gradients),    cmocka_unit_test(test_learns),
        cmocka_unit_test(test_rules),        cmocka_unit_test(test_balance_of_work),
        cmocka_unit_test(test_mix),          cmocka_unit_test(test_noise),
        cmocka_unit_test(test_start),        cmocka_unit_test(test_broken_off),
        cmocka_unit_test(test_bad_settings),
    };

    return cmocka_run_group_tests_name("mixed", tests, open_folder, close_folder);
}
