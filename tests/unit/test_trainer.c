/* engine/trainer.h: the loop. That it learns; that a run broken off and resumed is the run that was not; what
 * it tells the sink, when, and in which order; and how it ends when it cannot go on. All in memory but for
 * the checkpoint. */
#include "engine/trainer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/blas.h"
#include "tests/close.h"
#include "tests/memory.h"
#include "tests/numeric.h"
#include "tests/training.h"

/* ---- learning ---- */

static double mean_loss(const struct memory_sink *s, int64_t first, int64_t last)
{
    double sum = 0.0;

    for (int64_t step = first; step < last; step++)
        sum += memory_metric(s, step, SPLIT_TRAIN, "lm_loss");
    return sum / (double)(last - first);
}

/* Untrained, every one of 24 ids is about as likely: ln 24 = 3.18. Counting upwards is learnt in 60 steps. */
static void test_loss_falls(void **state)
{
    static const char *const models[][3] = {{"train.steps=60", NULL},
                                            {"train.steps=60", "router.name=dense", NULL},
                                            {"train.steps=60", "router.k=1", NULL}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct training r;
        training_open(&r, models[i], 1, 1);
        assert_int_equal(training_run(&r), TRAIN_FINISHED);
        assert_close(memory_metric(&r.sink, 0, SPLIT_TRAIN, "lm_loss"), log(24), 0.1);
        assert_true(mean_loss(&r.sink, 50, 60) < 0.6 * mean_loss(&r.sink, 0, 5));
        /* held out: other starts of the same counting */
        assert_true(memory_metric(&r.sink, 60, SPLIT_PROBE, "loss") <
                    0.8 * memory_metric(&r.sink, 0, SPLIT_PROBE, "loss"));
        assert_close(r.trainer.valid_loss, memory_metric(&r.sink, 60, SPLIT_VALID, "loss"), 0.0);
        training_close(&r);
    }
}

/* ---- the same run ---- */

/* Noise, capacity, masks, shared experts, two passes a step, several epochs: whatever could forget where it
 * was. */
static const char *const restless[] = {"train.steps=12",
                                       "train.tokens_per_step=96",
                                       "train.accumulation=2",
                                       "router.noise=0.5",
                                       "router.capacity=1",
                                       "valid.every=5",
                                       "train.checkpoint_every=4",
                                       "router.name=mask",
                                       "mask.visible=3",
                                       "router.shared=2",
                                       "valid.seen_documents=1",
                                       "loss.entropy=0.01",
                                       NULL};

static void assert_same_training(const struct training *a, const struct training *b)
{
    const struct trainer *x = &a->trainer, *y = &b->trainer;
    size_t bytes = x->model.parameters.n_weights * sizeof(float);

    assert_memory_equal(x->model.parameters.values, y->model.parameters.values, bytes);
    assert_memory_equal(x->optimiser.first, y->optimiser.first, bytes);
    assert_memory_equal(x->optimiser.second, y->optimiser.second, bytes);
    assert_int_equal(x->tokens, y->tokens);
    assert_int_equal(x->stream.epoch, y->stream.epoch);
    assert_int_equal(x->stream.next, y->stream.next);
}

static void assert_same_files(const char *a, const char *b)
{
    char first[SHA256_HEX], second[SHA256_HEX];

    assert_int_equal(sha256_file(a, first, NULL), 0);
    assert_int_equal(sha256_file(b, second, NULL), 0);
    assert_string_equal(first, second);
}

static void test_threads_change_nothing(void **state)
{
    struct training one, more;

    (void)state;
    training_open(&one, restless, 1, 5);
    training_run(&one);
    for (int threads = 2; threads <= 3; threads++) {
        training_open(&more, restless, threads, 5);
        training_run(&more);
        assert_same_training(&one, &more);
        assert_same_files(one.path, more.path);
        training_close(&more);
    }
    training_close(&one);
}

static void test_seeds_differ(void **state)
{
    struct training one, other;

    (void)state;
    training_open(&one, restless, 1, 5);
    training_open(&other, restless, 1, 6);
    assert_memory_not_equal(one.trainer.model.parameters.values, other.trainer.model.parameters.values,
                            one.trainer.model.parameters.n_weights * sizeof(float));
    assert_memory_not_equal(one.trainer.stream.order, other.trainer.stream.order,
                            (size_t)one.trainer.train.n * sizeof(int));
    training_close(&one);
    training_close(&other);
}

/* A new process, as far as the engine can tell: everything made anew, then restored from the file. */
static void restore(struct training *r, const char *path, int threads)
{
    struct checkpoint c;
    struct error err = {0};

    training_open(r, restless, threads, 5);
    if (checkpoint_open(&c, path, &err) || trainer_restore(&r->trainer, &c, &err))
        fail_msg("%s", err.text);
    checkpoint_close(&c);
}

/* What the resumed run told after the interruption is what the unbroken run told there. */
static void assert_same_story(const struct training *unbroken, const struct training *resumed, int64_t from)
{
    static const char *const names[] = {"loss",      "lm_loss",       "balance_loss", "z_loss",
                                        "grad_norm", "learning_rate", "tokens",       "flops"};
    for (int64_t step = from; step < 12; step++) {
        for (int i = 0; i < 8; i++) {
            double a = memory_metric(&unbroken->sink, step, SPLIT_TRAIN, names[i]);
            double b = memory_metric(&resumed->sink, step, SPLIT_TRAIN, names[i]);
            assert_memory_equal(&a, &b, sizeof a);
        }
    }
    assert_close(memory_metric(&resumed->sink, 12, SPLIT_VALID, "loss"),
                 memory_metric(&unbroken->sink, 12, SPLIT_VALID, "loss"), 0.0);
    assert_close(memory_metric(&resumed->sink, 12, SPLIT_SEEN, "loss"),
                 memory_metric(&unbroken->sink, 12, SPLIT_SEEN, "loss"), 0.0);
}

static void check_interruption(const struct training *unbroken, int64_t at, int threads)
{
    struct training broken, resumed;
    struct checkpoint c;

    training_open(&broken, restless, threads, 5);
    broken.stop_after = at;
    broken.stop = at == 0;
    assert_int_equal(training_run(&broken), TRAIN_INTERRUPTED);
    assert_int_equal(broken.trainer.step, at);
    assert_int_equal(checkpoint_open(&c, broken.path, NULL), 0);
    assert_int_equal(c.state.step, at);
    checkpoint_close(&c);
    restore(&resumed, broken.path, threads);
    assert_same_training(&broken, &resumed);
    assert_int_equal(training_run(&resumed), TRAIN_FINISHED);
    assert_same_training(unbroken, &resumed);
    assert_same_files(unbroken->path, resumed.path);
    assert_same_story(unbroken, &resumed, at);
    training_close(&broken);
    training_close(&resumed);
}

/* Before the first step, after it, at a checkpoint that was due anyway, and before the last. */
static void test_interrupted_is_the_same_run(void **state)
{
    static const int64_t at[] = {0, 1, 8, 11};

    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        struct training unbroken;
        training_open(&unbroken, restless, threads, 5);
        assert_int_equal(training_run(&unbroken), TRAIN_FINISHED);
        assert_true(unbroken.trainer.stream.epoch >= 2);
        for (int i = 0; i < 4; i++)
            check_interruption(&unbroken, at[i], threads);
        training_close(&unbroken);
    }
}

/* Who looks more often sees the same run: evaluations leave nothing behind. */
static void test_watching_changes_nothing(void **state)
{
    static const char *const seldom[] = {"train.steps=12", NULL};
    static const char *const often[] = {"train.steps=12", "valid.every=1", "probe.every=1",
                                        "train.checkpoint_every=1", NULL};
    struct training one, other;

    (void)state;
    training_open(&one, seldom, 1, 5);
    training_run(&one);
    training_open(&other, often, 1, 5);
    training_run(&other);
    assert_same_training(&one, &other);
    training_close(&one);
    training_close(&other);
}

/* One sample, met at every step by weights that do not move: only noise can make a difference, and it must be
 * new noise each time. */
static void train_standing_still(struct training *r, const char *noise)
{
    static const struct memory_document documents[] = {
        {0, SPLIT_TRAIN, 9}, {0, SPLIT_VALID, 9}, {1, SPLIT_PROBE, 9}};
    const char *const s[] = {"train.learning_rate=0", "train.tokens_per_step=8", noise, NULL};

    training_prepare(r, s, 1);
    memory_corpus_release(&r->corpus);
    memory_corpus(&r->corpus, documents, 3, 24);
    assert_int_equal(training_start(r, 1, NULL), 0);
    training_run(r);
}

static void test_noise_is_new_each_step(void **state)
{
    struct training quiet, noisy;
    int changes = 0;

    (void)state;
    train_standing_still(&quiet, "router.noise=0");
    train_standing_still(&noisy, "router.noise=1");
    for (int64_t step = 1; step < 20; step++) {
        assert_close(memory_metric(&quiet.sink, step, SPLIT_TRAIN, "loss"),
                     memory_metric(&quiet.sink, 0, SPLIT_TRAIN, "loss"), 0.0);
        changes += memory_metric(&noisy.sink, step, SPLIT_TRAIN, "loss") !=
                   memory_metric(&noisy.sink, step - 1, SPLIT_TRAIN, "loss");
    }
    assert_int_equal(changes, 19);
    /* and none in evaluations */
    assert_close(memory_metric(&noisy.sink, 20, SPLIT_PROBE, "loss"),
                 memory_metric(&quiet.sink, 20, SPLIT_PROBE, "loss"), 0.0);
    training_close(&quiet);
    training_close(&noisy);
}

/* The stop that comes with the last update finds a finished run. */
static void test_stopped_at_the_end(void **state)
{
    struct training r;

    (void)state;
    training_open(&r, restless, 1, 5);
    r.stop_after = 12;
    assert_int_equal(training_run(&r), TRAIN_FINISHED);
    training_close(&r);
}

/* ---- what is refused ---- */

static void check_refused(struct training *r, struct checkpoint *c, const char *words)
{
    struct error err = {0};

    assert_int_equal(trainer_restore(&r->trainer, c, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void test_restore_refuses(void **state)
{
    struct training r;
    struct checkpoint c;
    char *const texts[] = {c.state.corpus_sha256, c.state.vocabulary_sha256, c.state.core_type};
    static const char *const words[] = {"the corpus's hash", "the vocabulary's hash", "BLAS's core type"};

    (void)state;
    training_open(&r, restless, 1, 5);
    training_run(&r);
    assert_int_equal(checkpoint_open(&c, r.path, NULL), 0);
    for (int i = 0; i < 3; i++) {
        texts[i][0]++;
        check_refused(&r, &c, words[i]);
        texts[i][0]--;
    }
    c.state.next = r.trainer.train.n + 1; /* beyond the samples that there are */
    check_refused(&r, &c, "position");
    c.state.next = r.trainer.train.n; /* all of an epoch read: fine */
    assert_int_equal(trainer_restore(&r.trainer, &c, NULL), 0);
    checkpoint_close(&c);
    training_close(&r);
}

static void check_init_refused(settings s, enum status status, const char *words)
{
    struct training r;
    struct error err = {0};

    training_prepare(&r, s, 1);
    assert_int_equal(training_start(&r, 1, &err), -1);
    assert_int_equal(err.status, status);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    training_close(&r);
}

static void test_init_refuses(void **state)
{
    (void)state;
    check_init_refused((const char *const[]){"train.tokens_per_step=7", NULL}, STATUS_USAGE,
                       "less than model.context 8");
    check_init_refused((const char *const[]){"train.accumulation=5", NULL}, STATUS_USAGE, "is 6 tokens");
    check_init_refused((const char *const[]){"log.gate_bits=12", NULL}, STATUS_USAGE, "log.gate_bits");
    check_init_refused((const char *const[]){"router.k=5", NULL}, STATUS_USAGE, "router.k is 5");
}

static void test_corpus_without_probe(void **state)
{
    struct training r;
    struct error err = {0};

    (void)state;
    training_prepare(&r, NULL, 1);
    for (int d = 0; d < r.corpus.n_documents; d++) {
        if (r.corpus.documents[d].split == SPLIT_PROBE)
            r.corpus.documents[d].split = SPLIT_ROUTED;
    }
    assert_int_equal(training_start(&r, 1, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    training_close(&r);
}

/* ---- accumulation ---- */

/* Documents of 8 n + 1 ids make samples of exactly 8: 32 tokens are the same four whether they come in one
 * pass or in two. Without the router's losses, which are not sums over tokens, gradients must agree to
 * rounding. */
static void train_one_step(struct training *r, const char *accumulation)
{
    static const struct memory_document documents[] = {
        {0, SPLIT_TRAIN, 33}, {1, SPLIT_TRAIN, 41}, {0, SPLIT_VALID, 9}, {1, SPLIT_PROBE, 9}};
    const char *const s[] = {"train.steps=1", accumulation, "loss.balance=0", "loss.z=0", NULL};
    struct error err = {0};

    training_prepare(r, s, 1);
    memory_corpus_release(&r->corpus);
    memory_corpus(&r->corpus, documents, 4, 24);
    if (training_start(r, 1, &err))
        fail_msg("%s", err.text);
    training_run(r);
}

static void test_accumulation(void **state)
{
    struct training one, two;
    struct shelf shelf = {0};

    (void)state;
    train_one_step(&one, "train.accumulation=1");
    train_one_step(&two, "train.accumulation=2");
    size_t n = one.trainer.model.parameters.n_weights;
    double *expected = shelf_widened(&shelf, one.trainer.optimiser.first, n);
    assert_true(largest_error(two.trainer.optimiser.first, expected, n) < 1e-4);
    assert_close(memory_metric(&two.sink, 0, SPLIT_TRAIN, "lm_loss"),
                 memory_metric(&one.sink, 0, SPLIT_TRAIN, "lm_loss"), 1e-6);
    double norm = memory_metric(&one.sink, 0, SPLIT_TRAIN, "grad_norm");
    assert_close(memory_metric(&two.sink, 0, SPLIT_TRAIN, "grad_norm"), norm, 1e-5 * norm);
    assert_int_equal(one.trainer.tokens, 32);
    assert_int_equal(two.trainer.tokens, 32);
    shelf_clear(&shelf);
    training_close(&one);
    training_close(&two);
}

/* ---- what is told, and when ---- */

/* The steps at which a split was summed up, as "0 1 2 ". */
static void steps_of(const struct memory_sink *s, enum memory_kind kind, enum corpus_split split, char *text,
                     size_t size)
{
    size_t at = 0;

    text[0] = '\0';
    for (int i = 0; i < s->n; i++) {
        if (s->calls[i].kind == kind && s->calls[i].split == split)
            at += (size_t)snprintf(text + at, size - at, "%lld ", (long long)s->calls[i].step);
    }
}

/* What was read in training is read again once, when all of it has been. */
static void test_seen_at_the_end(void **state)
{
    static const char *const s[] = {"valid.every=5", "valid.seen_documents=1", NULL};
    struct training r;
    char text[64];

    (void)state;
    training_open(&r, s, 1, 1);
    training_run(&r);
    steps_of(&r.sink, MEMORY_SUMMARY, SPLIT_SEEN, text, sizeof text);
    assert_string_equal(text, "20 ");
    training_close(&r);
}

static void check_schedule(settings s, const char *probe, const char *valid, const char *checkpoints)
{
    struct training r;
    char text[256];

    training_open(&r, s, 1, 1);
    assert_int_equal(training_run(&r), TRAIN_FINISHED);
    steps_of(&r.sink, MEMORY_SUMMARY, SPLIT_PROBE, text, sizeof text);
    assert_string_equal(text, probe);
    steps_of(&r.sink, MEMORY_SUMMARY, SPLIT_VALID, text, sizeof text);
    assert_string_equal(text, valid);
    steps_of(&r.sink, MEMORY_CHECKPOINT, SPLIT_TRAIN, text, sizeof text);
    assert_string_equal(text, checkpoints);
    training_close(&r);
}

/* The probe at 0 and the doublings, every so many steps, and last; each once, though 0, 16 and 20 are due for
 * two reasons. */
static void test_schedule(void **state)
{
    (void)state;
    check_schedule(NULL, "0 1 2 4 8 16 20 ", "20 ", "20 ");
    check_schedule((const char *const[]){"probe.every=5", "valid.every=6", "train.checkpoint_every=7", NULL},
                   "0 1 2 4 5 8 10 15 16 20 ", "0 6 12 18 20 ", "7 14 20 ");
    check_schedule((const char *const[]){"train.steps=16", "probe.every=8", "valid.every=8",
                                         "train.checkpoint_every=16", NULL},
                   "0 1 2 4 8 16 ", "0 8 16 ", "16 ");
    check_schedule((const char *const[]){"train.steps=0", NULL}, "0 ", "0 ", "");
}

/* Between two commits there is one step only, the last call of all is a commit, and every checkpoint comes
 * after a drain: all earlier steps are committed by then, so the logbook holds all that the file was trained
 * on. */
static void test_calls_are_grouped(void **state)
{
    struct training r;
    int64_t step = -1;

    (void)state;
    training_open(&r, restless, 2, 1);
    training_run(&r);
    for (int i = 0; i < r.sink.n; i++) {
        const struct memory_call *c = &r.sink.calls[i];
        if (c->kind == MEMORY_COMMIT) {
            step = -1;
        } else if (c->kind != MEMORY_DRAIN) {
            assert_true(step < 0 || c->step == step);
            step = c->step;
        }
        if (c->kind == MEMORY_CHECKPOINT)
            assert_int_equal(r.sink.calls[i - 1].kind, MEMORY_DRAIN);
    }
    assert_int_equal(r.sink.calls[r.sink.n - 1].kind, MEMORY_COMMIT);
    training_close(&r);
}

/* A step is its passes, a checkpoint where one is due, the summary of the passes, metrics, a commit. */
static void check_step(const struct memory_sink *s, int64_t step, const char *const *names)
{
    int i = 0, passes = 0;
    double tokens = 0.0;

    while (i < s->n &&
           !(s->calls[i].kind == MEMORY_PASS && s->calls[i].step == step && s->calls[i].split == SPLIT_TRAIN))
        i++;
    for (; s->calls[i].kind == MEMORY_PASS; i++, passes++)
        tokens += s->calls[i].value;
    assert_int_equal(passes, 2);
    if (s->calls[i].kind == MEMORY_DRAIN) {
        assert_int_equal(s->calls[i + 1].kind, MEMORY_CHECKPOINT);
        assert_int_equal(s->calls[i + 1].step, step);
        i += 2;
    }
    assert_int_equal(s->calls[i].kind, MEMORY_SUMMARY);
    assert_close(s->calls[i++].value, tokens, 0.0);
    for (; *names; names++, i++) {
        assert_int_equal(s->calls[i].kind, MEMORY_METRIC);
        assert_string_equal(s->calls[i].name, *names);
        assert_int_equal(s->calls[i].step, step);
        assert_int_equal(s->calls[i].split, SPLIT_TRAIN);
    }
    assert_int_equal(s->calls[i].kind, MEMORY_COMMIT);
}

static void test_what_a_step_tells(void **state)
{
    static const char *const names[] = {
        "loss",   "balance_loss", "z_loss",  "entropy_loss",      "lm_loss",     "grad_norm", "learning_rate",
        "tokens", "flops",        "seconds", "tokens_per_second", "peak_memory", NULL};
    static const char *const dense_names[] = {"loss",        "lm_loss", "grad_norm", "learning_rate",
                                              "tokens",      "flops",   "seconds",   "tokens_per_second",
                                              "peak_memory", NULL};
    struct training r;

    (void)state;
    training_open(&r, restless, 1, 1);
    training_run(&r);
    for (int64_t step = 0; step < 12; step++)
        check_step(&r.sink, step, names);
    training_close(&r);
    training_open(&r, (const char *const[]){"router.name=dense", "train.accumulation=2", NULL}, 1, 1);
    training_run(&r);
    check_step(&r.sink, 3, dense_names);
    training_close(&r);
}

/* loss = lm + 2 blocks * (balance + z, weighted); tokens and seconds only grow; passes' tokens add up. */
static void test_metrics_add_up(void **state)
{
    static const char *const weights[] = {"loss.balance=0.5", "loss.z=0.25", NULL};
    struct training r;
    double tokens = 0.0, seconds = 0.0, peak = 0.0;

    (void)state;
    training_open(&r, weights, 1, 1);
    training_run(&r);
    for (int i = 0; i < r.sink.n; i++) {
        const struct memory_call *c = &r.sink.calls[i];
        if (c->kind != MEMORY_SUMMARY || c->split != SPLIT_TRAIN)
            continue;
        double lm = memory_metric(&r.sink, c->step, SPLIT_TRAIN, "lm_loss");
        double balance = memory_metric(&r.sink, c->step, SPLIT_TRAIN, "balance_loss");
        double z = memory_metric(&r.sink, c->step, SPLIT_TRAIN, "z_loss");
        tokens += c->value;
        assert_close(lm, c->loss / c->value, 1e-9);
        assert_true(balance > 0.9 && balance < 4.0);
        assert_close(memory_metric(&r.sink, c->step, SPLIT_TRAIN, "loss"),
                     lm + 2 * (0.5 * balance + 0.25 * z), 1e-9);
        assert_close(memory_metric(&r.sink, c->step, SPLIT_TRAIN, "tokens"), tokens, 0.0);
        assert_true(memory_metric(&r.sink, c->step, SPLIT_TRAIN, "seconds") >= seconds);
        seconds = memory_metric(&r.sink, c->step, SPLIT_TRAIN, "seconds");
        assert_true(memory_metric(&r.sink, c->step, SPLIT_TRAIN, "tokens_per_second") > 0.0);
        double memory = memory_metric(&r.sink, c->step, SPLIT_TRAIN, "peak_memory");
        assert_true(memory >= peak && memory > 1e6 && memory < 1e10);
        peak = memory;
    }
    assert_close(tokens, (double)r.trainer.tokens, 0.0);
    training_close(&r);
}

/* ---- bad ends ---- */

/* A weight decay that multiplies the matrices by -10^4 a step overflows soon. */
static const char *const explosive[] = {"train.learning_rate=100",  "train.decay=100",
                                        "train.warmup=0",           "train.clip=0",
                                        "train.checkpoint_every=1", NULL};

static void test_divergence(void **state)
{
    struct training r;
    struct checkpoint c;
    struct error err = {0};
    int events = 0;

    (void)state;
    training_open(&r, explosive, 2, 1);
    assert_int_equal(training_run(&r), TRAIN_DIVERGED);
    int64_t step = r.trainer.step;
    assert_in_range(step, 2, 19);
    assert_false(isfinite(memory_metric(&r.sink, step, SPLIT_TRAIN, "lm_loss")) &&
                 isfinite(memory_metric(&r.sink, step, SPLIT_TRAIN, "grad_norm")));
    for (int i = 0; i < r.sink.n; i++) {
        if (r.sink.calls[i].kind != MEMORY_EVENT)
            continue;
        assert_string_equal(r.sink.calls[i].name, "diverged");
        assert_int_equal(r.sink.calls[i].step, step);
        events++;
    }
    assert_int_equal(events, 1);
    assert_int_equal(r.sink.calls[r.sink.n - 1].kind, MEMORY_COMMIT);
    /* the checkpoint that stays is of the last step whose loss was finite, though one was due at this step
     * too */
    if (checkpoint_open(&c, r.path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(c.state.step, step - 1);
    assert_true(isfinite(memory_metric(&r.sink, step - 1, SPLIT_TRAIN, "lm_loss")));
    struct shelf shelf = {0};
    float *weights = shelf_floats(&shelf, r.trainer.model.parameters.n_weights);
    memcpy(weights, r.trainer.model.parameters.values,
           sizeof *weights * r.trainer.model.parameters.n_weights);
    for (size_t i = 0; i < r.trainer.model.parameters.n_weights; i++)
        assert_true(isfinite(weights[i])); /* what is not finite was not applied */
    assert_int_equal(checkpoint_load(&c, &r.trainer.model.parameters, NULL, NULL, &err), 0);
    assert_memory_not_equal(weights, r.trainer.model.parameters.values,
                            sizeof *weights * r.trainer.model.parameters.n_weights);
    checkpoint_close(&c);
    shelf_clear(&shelf);
    training_close(&r);
}

/* Whichever call the sink cannot take, the run ends there and says so. */
static void test_sink_fails(void **state)
{
    static const char *const s[] = {"train.steps=1", NULL};
    struct training r;

    (void)state;
    training_open(&r, s, 1, 1);
    training_run(&r);
    int n = r.sink.n;
    training_close(&r);
    assert_true(n > 30);
    for (int call = 0; call < n; call++) {
        enum train_outcome outcome;
        struct error err = {0};
        training_open(&r, s, 1, 1);
        r.sink.fail_at = call;
        assert_int_equal(trainer_run(&r.trainer, &outcome, &err), -1);
        assert_int_equal(err.status, STATUS_MACHINE);
        assert_string_equal(err.text, "the test's sink is full");
        assert_int_equal(r.sink.n, call);
        training_close(&r);
    }
}

static void test_checkpoint_cannot_be_written(void **state)
{
    struct training r;
    enum train_outcome outcome;
    struct error err = {0};

    (void)state;
    training_open(&r, NULL, 1, 1);
    snprintf(r.path, sizeof r.path, "%s/missing/run.safetensors", r.folder);
    assert_int_equal(trainer_run(&r.trainer, &outcome, &err), -1);
    assert_int_equal(err.status, STATUS_MACHINE);
    assert_non_null(strstr(err.text, "missing/run.safetensors"));
    training_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_falls),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_interrupted_is_the_same_run),
        cmocka_unit_test(test_stopped_at_the_end),
        cmocka_unit_test(test_watching_changes_nothing),
        cmocka_unit_test(test_noise_is_new_each_step),
        cmocka_unit_test(test_restore_refuses),
        cmocka_unit_test(test_init_refuses),
        cmocka_unit_test(test_corpus_without_probe),
        cmocka_unit_test(test_accumulation),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_seen_at_the_end),
        cmocka_unit_test(test_calls_are_grouped),
        cmocka_unit_test(test_what_a_step_tells),
        cmocka_unit_test(test_metrics_add_up),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_sink_fails),
        cmocka_unit_test(test_checkpoint_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
