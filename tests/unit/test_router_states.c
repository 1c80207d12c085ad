/* Routers in training: what they keep beside their weights is taken up again with them, threads change
 * nothing, and evaluating leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/training.h"

enum { TOPK, TOPP, MASK, BIAS, RELU, NOISY_TOPK, HASH, N_NAMES };
static const char *const names[] = {"router.name=topk", "router.name=topp", "router.name=mask",
                                    "router.name=bias", "router.name=relu", "router.name=noisy_topk",
                                    "router.name=hash"};

static void open_router(struct training *r, int router, const char *more, int threads)
{
    const char *const s[] = {names[router],
                             "mask.visible=3",
                             "loss.z=0",
                             "train.steps=16",
                             "router.shared=1",
                             router == HASH ? "router.k=1" : "router.k=2",
                             more,
                             NULL};

    training_open(r, s, threads, 5);
}

/* Weights and states; moments have weights alone. */
static void assert_same(const struct training *a, const struct training *b)
{
    const struct trainer *x = &a->trainer, *y = &b->trainer;

    assert_memory_equal(x->model.parameters.values, y->model.parameters.values,
                        x->model.parameters.n_values * sizeof(float));
    assert_memory_equal(x->optimiser.first, y->optimiser.first,
                        x->model.parameters.n_weights * sizeof(float));
    assert_memory_equal(x->optimiser.second, y->optimiser.second,
                        x->model.parameters.n_weights * sizeof(float));
}

static void test_resumed_is_the_same_run(void **state)
{
    (void)state;
    for (int i = 0; i < N_NAMES; i++) {
        struct training unbroken, broken, resumed;
        struct checkpoint c;
        struct error err = {0};
        open_router(&unbroken, i, "valid.every=0", 2);
        assert_int_equal(training_run(&unbroken), TRAIN_FINISHED);
        open_router(&broken, i, "valid.every=0", 2);
        broken.stop_after = 7;
        assert_int_equal(training_run(&broken), TRAIN_INTERRUPTED);
        open_router(&resumed, i, "valid.every=0", 2);
        if (checkpoint_open(&c, broken.path, &err) || trainer_restore(&resumed.trainer, &c, &err))
            fail_msg("%s: %s", names[i], err.text);
        checkpoint_close(&c);
        assert_same(&broken, &resumed);
        assert_int_equal(training_run(&resumed), TRAIN_FINISHED);
        assert_same(&unbroken, &resumed);
        training_close(&unbroken);
        training_close(&broken);
        training_close(&resumed);
    }
}

static void test_threads_and_looks_change_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < N_NAMES; i++) {
        struct training one, more;
        open_router(&one, i, "valid.every=0", 1);
        open_router(&more, i, "valid.every=1", 3);
        assert_int_equal(training_run(&one), TRAIN_FINISHED);
        assert_int_equal(training_run(&more), TRAIN_FINISHED);
        assert_same(&one, &more);
        training_close(&one);
        training_close(&more);
    }
}

/* States have moved, so that the above could tell. */
static void test_states_move(void **state)
{
    (void)state;
    for (int i = BIAS; i <= RELU; i++) {
        struct training r;
        open_router(&r, i, "valid.every=0", 1);
        float before = r.trainer.model.layers[0].router.state[0];
        training_run(&r);
        assert_true(r.trainer.model.layers[0].router.state[0] != before);
        training_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resumed_is_the_same_run),
        cmocka_unit_test(test_threads_and_looks_change_nothing),
        cmocka_unit_test(test_states_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
