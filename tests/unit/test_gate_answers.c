/* engine/single_gate.h and what is counted of it, against a count by hand from the scores of all experts. */
#include "engine/gate_answers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernels.h"
#include "tests/close.h"
#include "tests/numeric.h"
#include "tests/pictures.h"
#include "tests/training.h"

enum { K = 3, C = PICTURES_CLASSES, BATCH = 16 };

/* A base that has not learned enough, and experts on it that have learned a little. */
struct fixture {
    struct training base, run;
    struct single_gate *g;
    float
        scores[BATCH * K * C]; /* of the first batch of train images, with its copies of what the gate says */
    int next;
};

static void open_fixture(struct fixture *f, const char *ensembler)
{
    static const char *const base[] = {
        "model.kind=convolution", "network.filters=3,4", "network.hidden=6", "train.batch=16",
        "train.steps=12",         "train.warmup=1",      "valid.every=0",    NULL};
    char path[4200], how[64];

    training_open_pictures(&f->base, base, 1, 3);
    assert_int_equal(training_run(&f->base), TRAIN_FINISHED);
    snprintf(path, sizeof path, "gate.base=%s", f->base.path);
    snprintf(how, sizeof how, "gate.ensembler=%s", ensembler);
    const char *const gate[] = {"model.kind=single_gate",
                                "gate.stage=1",
                                "router.experts=3",
                                "gate.epochs=60",
                                "train.batch=16",
                                "train.steps=8",
                                "train.warmup=1",
                                "valid.every=0",
                                "train.learning_rate=0.02",
                                path,
                                how,
                                NULL};
    training_open_pictures(&f->run, gate, 1, 4);
    assert_int_equal(training_run(&f->run), TRAIN_FINISHED);
    f->g = &f->run.trainer.gate;
}

static void close_fixture(struct fixture *f)
{
    training_close_pictures(&f->run);
    training_close_pictures(&f->base);
}

/* The next batch of train images, looked at. */
static bool look(struct fixture *f, int *next)
{
    if (!classifier_in_order(&f->g->base, &f->run.corpus, &f->run.trainer.train, next))
        return false;
    single_gate_look(f->g, &f->run.corpus);
    return true;
}

static bool names_label(const double *score, int label)
{
    int best = 0;

    for (int c = 1; c < C; c++)
        best = score[c] > score[best] ? c : best;
    return best == label;
}

/* Whether the sum over experts of weight[k] * (base_share * base + expert k) names the label of image b. */
static bool right(const struct fixture *f, int b, const double *weight, double base_share)
{
    double sum[C] = {0};

    for (int k = 0; k < K; k++) {
        for (int c = 0; c < C; c++)
            sum[c] += weight[k] *
                      (base_share * (double)f->g->score[b * C + c] + (double)f->scores[(b * K + k) * C + c]);
    }
    return names_label(sum, f->g->base.label[b]);
}

struct count { /* by hand */
    int64_t base, with, alone, class_alone, true_class, two, alpha, alpha_runs, confident, confident_runs;
};
enum { AT = 8 };

static void count_image(const struct fixture *f, int b, const int counted[C], double base_share,
                        struct count *n)
{
    const struct single_gate *g = f->g;
    double base[C], p[K], one[C][K] = {{0}}, two[K], open[K], sum = 0.0, most = 0.0;
    int label = g->base.label[b], named = 0, least = 0, first = 0, runs = 0;

    for (int c = 0; c < C; c++) {
        base[c] = (double)g->score[b * C + c];
        named = base[c] > base[named] ? c : named;
    }
    for (int c = 0; c < C; c++)
        sum += exp(base[c] - base[named]);
    most = 1.0 / sum;
    for (int k = 0; k < K; k++) {
        p[k] = (double)g->probability[b * K + k];
        one[k][k] = 1.0;
        first = p[k] > p[first] ? k : first;
        least = p[k] < p[least] ? k : least;
    }
    for (int k = 0; k < K; k++) {
        two[k] = k == least ? 0.0 : p[k];
        open[k] = p[k] * (1.0 - most) >= 0.01 * exit_hundredths[AT] ? p[k] : 0.0;
        runs += open[k] > 0.0;
    }
    bool base_right = names_label(base, label), said = right(f, b, one[first], base_share);
    n->base += base_right;
    n->with += right(f, b, one[first], 1.0);
    n->alone += right(f, b, one[first], 0.0);
    n->class_alone += right(f, b, one[counted[named]], 0.0);
    n->true_class += right(f, b, one[counted[label]], 1.0);
    n->two += right(f, b, two, base_share);
    n->alpha += runs ? right(f, b, open, base_share) : base_right;
    n->alpha_runs += runs;
    bool leaves = most >= 0.01 * exit_hundredths[N_THRESHOLDS - 8];
    n->confident += leaves ? base_right : said;
    n->confident_runs += !leaves;
}

/* Where most train images of each class go. */
static void count_classes(struct fixture *f, int of_class[C])
{
    int n[C][K] = {{0}};

    for (int next = 0; look(f, &next);) {
        for (int b = 0; b < f->g->base.n_images; b++)
            n[f->g->base.label[b]][f->g->chosen[b]]++;
    }
    for (int c = 0; c < C; c++) {
        of_class[c] = 0;
        for (int k = 1; k < K; k++)
            of_class[c] = n[c][k] > n[c][of_class[c]] ? k : of_class[c];
    }
}

static void check_counts(const char *ensembler, double base_share)
{
    struct fixture f;
    struct gate_answers a;
    struct count n = {0};
    int of_class[C];

    open_fixture(&f, ensembler);
    count_classes(&f, of_class);
    for (int c = 0; c < C; c++)
        assert_int_equal(f.g->expert_of_class[c], of_class[c]);
    assert_int_equal(gate_answers_init(&a, f.g, NULL), 0);
    for (int next = 0; look(&f, &next);) {
        gate_answers_add(&a, f.g);
        memcpy(f.scores, a.scores, sizeof f.scores);
        for (int b = 0; b < f.g->base.n_images; b++)
            count_image(&f, b, of_class, base_share, &n);
    }
    assert_int_equal(a.n, PICTURES_TRAIN - PICTURES_PROBE);
    assert_int_equal(a.base, n.base);
    assert_int_equal(a.with[BY_SAMPLE], n.with);
    assert_int_equal(a.alone[BY_SAMPLE], n.alone);
    assert_int_equal(a.alone[BY_CLASS], n.class_alone);
    assert_int_equal(a.with[BY_TRUE_CLASS], n.true_class);
    assert_int_equal(a.said, base_share > 0.0 ? n.with : n.alone);
    assert_int_equal(a.two, n.two);
    assert_int_equal(a.right[EXIT_ALPHA][AT], n.alpha);
    assert_int_equal(a.runs[EXIT_ALPHA][AT], n.alpha_runs);
    assert_int_equal(a.right[EXIT_CONFIDENCE][N_THRESHOLDS - 8], n.confident);
    assert_int_equal(a.runs[EXIT_CONFIDENCE][N_THRESHOLDS - 8], n.confident_runs);
    /* a test of counts that are all alike would be none */
    assert_true(n.base < a.n && n.with != n.base && n.confident_runs > 0 && n.confident_runs < a.n);
    gate_answers_release(&a);
    close_fixture(&f);
}

static void test_counts(void **state)
{
    (void)state;
    check_counts("sum", 1.0);
    check_counts("none", 0.0);
}

/* An expert that sees its own images alone says of them what it says among all; who leaves says what the base
 * says and costs no expert. */
static void test_say(void **state)
{
    struct fixture f;
    float said[BATCH * C];
    int next = 0, left = 0;

    (void)state;
    open_fixture(&f, "sum");
    assert_true(look(&f, &next));
    single_gate_all(f.g, f.scores);
    memcpy(said, f.g->said, sizeof said);
    single_gate_say(f.g, 2.0F);
    for (int i = 0; i < f.g->base.n_images * C; i++)
        assert_close((double)f.g->said[i], (double)said[i], 1e-5);
    float confidence = single_gate_confidence(f.g->score, C);
    single_gate_say(f.g, confidence);
    struct pass p = single_gate_pass(f.g);
    for (int b = 0; b < f.g->base.n_images; b++) {
        bool leaves = single_gate_confidence(f.g->score + b * C, C) >= confidence;
        left += leaves;
        assert_int_equal(p.outcome[b].exit, !leaves);
        assert_int_equal(p.outcome[b].multiply_adds, f.g->base_cost + (leaves ? 0.0 : f.g->expert_cost));
        if (leaves)
            assert_memory_equal(f.g->said + b * C, f.g->score + b * C, C * sizeof(float));
    }
    assert_true(left > 0 && left < f.g->base.n_images);
    close_fixture(&f);
}

struct lesson { /* one batch of expert 1 */
    struct fixture *f;
    bool with_gradient;
};

static double lesson_loss(void *context)
{
    const struct lesson *l = context;
    struct random r;

    random_seed(&r, 5, 6);
    return single_gate_learn(l->f->g, &l->f->run.corpus, &l->f->run.trainer.train, 1, &r,
                             l->with_gradient ? 1.0F : 0.0F);
}

/* What an expert is trained by is the gradient of what is said, with the base's part in it and without; the
 * others learn nothing from its batch. */
static void check_learning(const char *ensembler)
{
    struct fixture f;
    struct lesson lesson = {&f, true};

    open_fixture(&f, ensembler);
    const struct parameters *all = f.run.trainer.parameters;
    memset(all->gradients, 0, all->n_weights * sizeof *all->gradients);
    lesson_loss(&lesson);
    lesson.with_gradient = false;
    for (int i = 0; i < all->n; i++) {
        const struct parameter *p = &all->items[i];
        const float *gradient = all->gradients + p->offset;
        if (strncmp(p->name, "experts.1.", 10) == 0)
            assert_close(
                rise_along_gradient(all->values + p->offset, gradient, p->count, 1e-3, lesson_loss, &lesson),
                1.0, 0.03);
        for (size_t j = 0; j < p->count && strncmp(p->name, "experts.1.", 10) != 0; j++)
            assert_true(gradient[j] == 0.0F);
    }
    close_fixture(&f);
}

static void test_learning(void **state)
{
    (void)state;
    check_learning("sum");
    check_learning("none");
}

/* Right of ten: 8 without exits, with thresholds 5, 7, 8, 9 at 1, 2, 3, 4 runs. */
static void test_cheapest(void **state)
{
    struct gate_answers a = {.n = 10, .said = 8};

    (void)state;
    for (int i = 0; i < N_THRESHOLDS; i++) {
        a.right[EXIT_ALPHA][i] = i < 4 ? (int64_t[]){9, 8, 7, 5}[i] : 0;
        a.runs[EXIT_ALPHA][i] = i < 4 ? 4 - i : 0;
        a.runs[EXIT_CONFIDENCE][i] = 1;
    }
    assert_int_equal(gate_answers_cheapest(&a, EXIT_ALPHA, 0.0), 1);
    assert_int_equal(gate_answers_cheapest(&a, EXIT_ALPHA, 0.1), 2);
    assert_int_equal(gate_answers_cheapest(&a, EXIT_ALPHA, 0.3), 3);
    assert_int_equal(gate_answers_cheapest(&a, EXIT_CONFIDENCE, 0.1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_say),
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_cheapest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
