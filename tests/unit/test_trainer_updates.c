/* engine/trainer.h: what an update does to the weights of a run: its rate, clipping, decay. */
#include "engine/trainer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernels.h"
#include "tests/close.h"
#include "tests/memory.h"
#include "tests/numeric.h"
#include "tests/training.h"

static void check_rates(settings s, const double *share, int n)
{
    struct training r;

    training_open(&r, s, 1, 1);
    training_run(&r);
    for (int step = 0; step < n; step++)
        assert_close(memory_metric(&r.sink, step, SPLIT_TRAIN, "learning_rate"), 0.02 * share[step], 1e-8);
    training_close(&r);
}

/* Four steps up, then the cosine over the other eight: (1 - 0.1) / 2 (1 + cos(pi i / 8)) + 0.1, with
 * cos(pi / 8) = 0.923880, cos(pi / 4) = 0.707107, cos(3 pi / 8) = 0.382683. */
static void test_learning_rate(void **state)
{
    static const double warm[] = {0.25,      0.5,       0.75, 1.0,       1.0,       0.965746,
                                  0.8681981, 0.7222075, 0.55, 0.3777925, 0.2318019, 0.134254};
    static const double cold[] = {1.0, 0.5, 0.0}, slow[] = {0.1, 0.2, 0.3};

    (void)state;
    check_rates((const char *const[]){"train.warmup=4", "train.steps=12", "train.final_rate=0.1", NULL}, warm,
                12);
    check_rates((const char *const[]){"train.warmup=0", "train.steps=2", "train.final_rate=0", NULL}, cold,
                2);
    check_rates((const char *const[]){"train.warmup=10", "train.steps=3", NULL}, slow, 3);
}

/* One step of AdamW from nothing moves every weight by the rate, whatever the gradient's size and sign, plus
 * decay where there is any: clipping cannot show in weights then, but in the first moment it does. */
static void test_clipping(void **state)
{
    struct training r;
    double norms[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        training_open(
            &r, (const char *const[]){"train.steps=1", i ? "train.clip=0.01" : "train.clip=0", NULL}, 1, 1);
        training_run(&r);
        norms[i] = 10.0 * sqrt(sum_of_squares(r.pool, r.trainer.optimiser.first,
                                              r.trainer.model.parameters.n_weights));
        double norm = memory_metric(&r.sink, 0, SPLIT_TRAIN, "grad_norm"); /* before clipping */
        assert_true(norm > 0.02);
        assert_close(norms[i], i ? 0.01 : norm, 1e-5 * norm);
        training_close(&r);
    }
}

/* The first step of AdamW moves a weight by the rate, whatever its gradient (but for one of nearly 0), from
 * where decay has put it: w0 (1 - rate decay) for matrices but the embedding, w0 for the rest. */
static void test_decay(void **state)
{
    static const char *const s[] = {"train.steps=1", "train.warmup=0", "train.decay=5", NULL};
    struct training r;

    (void)state;
    training_open(&r, s, 1, 1);
    struct shelf shelf = {0};
    struct model *m = &r.trainer.model;
    double *before = shelf_widened(&shelf, m->parameters.values, m->parameters.n_weights);
    training_run(&r);
    for (int i = 0; i < m->parameters.n; i++) {
        const struct parameter *p = &m->parameters.items[i];
        double keep = p->decay ? 1.0 - 0.02 * 5.0 : 1.0, furthest = 0.0;
        assert_int_equal(p->decay, p->n_dimensions > 1 && strcmp(p->name, "embedding") != 0);
        for (size_t j = 0; j < p->count; j++) {
            double moved = fabs((double)m->parameters.values[p->offset + j] - keep * before[p->offset + j]);
            assert_true(moved <= 0.02 * 1.001);
            furthest = fmax(furthest, moved);
        }
        assert_true(furthest >= 0.02 * 0.999);
    }
    shelf_clear(&shelf);
    training_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learning_rate),
        cmocka_unit_test(test_clipping),
        cmocka_unit_test(test_decay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
