/* engine/alarm.h between a trainer and a sink in memory: what is raised, when, and that a run that goes on
 * from any step raises the same. Four experts, one a token, 400 tokens a step, 40 steps planned: a step is a
 * window. */
#include "engine/alarm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/memory.h"
#include "tests/support.h"

enum { N = 4, STEPS = 40, TOKENS = 400, PROBE = 10 };

struct fake {
    struct memory_sink behind;
    struct alarm alarm;
    int n_told;
    char told[256];
};

static void on_tell(void *context, int64_t step, const char *words)
{
    struct fake *f = context;
    (void)step;
    f->n_told++;
    snprintf(f->told, sizeof f->told, "%s", words);
}

static void open_fake(struct fake *f, const char *router, int k)
{
    struct summary model = {.n_layers = 1,
                            .layers = {{.layer = 2, .router = router, .n_experts = N, .k = k}}};
    struct error err;
    memset(f, 0, sizeof *f);
    memory_sink_open(&f->behind);
    test_must(alarm_open(&f->alarm, &model, STEPS, &f->behind.sink, &err), &err);
    f->alarm.tell = on_tell;
    f->alarm.tell_context = f;
}

static void close_fake(struct fake *f)
{
    alarm_close(&f->alarm);
    alarm_close(&f->alarm); /* safe twice */
    memory_sink_release(&f->behind);
}

/* ---- what a trainer would say ---- */

/* From step 5 to 9 and from 20 on all tokens go to expert 1. */
static bool is_narrow(int64_t step)
{
    return (step >= 5 && step < 10) || step >= 20;
}

static void add_step(struct fake *f, int64_t step, bool narrow, double entropy)
{
    int64_t even[N] = {100, 100, 100, 100}, one[N] = {0, 300, 0, 0}, none[N] = {0}, some[N] = {0, 100, 0, 0};
    struct layer_tally l = {.layer = 2,
                            .n_experts = N,
                            .assignments = narrow ? one : even,
                            .dropped = narrow ? some : none,
                            .n_scored = TOKENS,
                            .entropy_sum = TOKENS * entropy * log(N)};
    struct tally t = {.n_layers = 1, .layers = &l, .n_tokens = TOKENS};
    const struct sink *s = &f->alarm.sink;
    struct error err;
    test_must(s->summary(s->context, step, SPLIT_TRAIN, &t, &err), &err);
    test_must(s->commit(s->context, &err), &err);
}

/* The probe in two passes, `same` of its tokens as at step 0. */
static void add_probe(struct fake *f, int64_t step, int same)
{
    int32_t offset[PROBE + 1], expert[PROBE];
    struct tally t = {0};
    const struct sink *s = &f->alarm.sink;
    struct error err;
    for (int i = 0; i < PROBE; i++) {
        offset[i] = i;
        expert[i] = (step == 0 || i < same ? i : i + 1) % N;
    }
    offset[PROBE] = PROBE;
    test_must(alarm_probe(&f->alarm, 2, step, offset, expert, 3, &err), &err);
    test_must(alarm_probe(&f->alarm, 2, step, offset + 3, expert, PROBE - 3, &err), &err);
    test_must(alarm_probe(&f->alarm, 7, step, offset, expert, PROBE, &err), &err); /* no such layer */
    test_must(s->summary(s->context, step, SPLIT_PROBE, &t, &err), &err);
}

/* ---- events ---- */

static const struct memory_call *nth_event(const struct fake *f, int n)
{
    for (int i = 0; i < f->behind.n; i++)
        if (f->behind.calls[i].kind == MEMORY_EVENT && n-- == 0)
            return &f->behind.calls[i];
    return NULL;
}

static void expect_event(const struct fake *f, int n, int64_t step, const char *kind, double value)
{
    const struct memory_call *c = nth_event(f, n);
    assert_non_null(c);
    assert_int_equal(c->step, step);
    assert_string_equal(c->name, kind);
    assert_int_equal(c->layer, 2);
    assert_close(c->value, value, 1e-12);
}

static void test_collapse_is_raised_and_ends(void **state)
{
    struct fake f;
    (void)state;
    open_fake(&f, "topk", 1);
    for (int64_t step = 0; step < 8; step++) {
        assert_int_equal(f.n_told, 0);
        add_step(&f, step, is_narrow(step), 0.5);
    }
    assert_string_equal(f.told, "layer 2: alarm: collapsed since step 5 (load entropy + effective experts + "
                                "top share + dead experts): 1.0 of 4 effective experts, 3 dead (0, 2, 3; the "
                                "first since step 5), the busiest takes 100 % of the tokens");
    for (int64_t step = 8; step < STEPS; step++)
        add_step(&f, step, is_narrow(step), 0.5);
    assert_int_equal(f.n_told, 3);
    expect_event(&f, 0, 7, "alarm", 1);       /* 5, 6, 7 are three windows */
    expect_event(&f, 1, 10, "alarm_over", 4); /* even again */
    expect_event(&f, 2, 22, "alarm", 1);
    assert_null(nth_event(&f, 3));
    assert_false(f.alarm.stop); /* nobody asked */
    close_fake(&f);
}

/* The event belongs to the step: it comes before the step's commit. */
static void test_event_is_of_its_step(void **state)
{
    struct fake f;
    (void)state;
    open_fake(&f, "topk", 1);
    for (int64_t step = 0; step < 8; step++)
        add_step(&f, step, is_narrow(step), 0.5);
    assert_int_equal(f.behind.calls[f.behind.n - 1].kind, MEMORY_COMMIT);
    assert_int_equal(f.behind.calls[f.behind.n - 2].kind, MEMORY_EVENT);
    assert_int_equal(f.behind.calls[f.behind.n - 3].kind, MEMORY_SUMMARY);
    close_fake(&f);
}

static void test_stop(void **state)
{
    struct fake f;
    (void)state;
    open_fake(&f, "topk", 1);
    f.alarm.stop_windows = 6;
    for (int64_t step = 0; step < 25; step++) {
        add_step(&f, step, is_narrow(step), 0.5);
        assert_false(f.alarm.stop); /* the first breach lasts five windows */
    }
    add_step(&f, 25, true, 0.5);
    assert_true(f.alarm.stop);
    close_fake(&f);
}

static void test_indifference_is_raised_and_ends(void **state)
{
    struct fake f;
    (void)state;
    open_fake(&f, "topk", 1);
    add_probe(&f, 0, PROBE);
    for (int64_t step = 0; step < STEPS; step++) {
        if (step == 4)
            add_probe(&f, 4, PROBE);
        if (step == 20)
            add_probe(&f, 20, 6);
        add_step(&f, step, false, step < 15 ? 0.99 : 0.5);
    }
    /* A quarter of 40 steps is complete with step 9. At step 20 60 % are as before; entropy fell at 15. */
    expect_event(&f, 0, 9, "alarm", 0.99);
    expect_event(&f, 1, 20, "alarm_over", 0.5);
    assert_null(nth_event(&f, 2));
    assert_close(f.alarm.layers[0].agreement, 0.6, 1e-12);
    close_fake(&f);
    open_fake(&f, "hash", 1); /* fixed by design */
    add_probe(&f, 0, PROBE);
    for (int64_t step = 0; step < STEPS; step++) {
        if (step == 4)
            add_probe(&f, 4, PROBE);
        add_step(&f, step, false, 0);
    }
    assert_null(nth_event(&f, 0));
    close_fake(&f);
}

static void test_no_choice_no_alarm(void **state)
{
    struct fake f;
    (void)state;
    open_fake(&f, "soft_moe", N);
    for (int64_t step = 0; step < STEPS; step++)
        add_step(&f, step, step > 10, 1);
    assert_null(nth_event(&f, 0));
    close_fake(&f);
}

/* Gone on with from every step: what was logged before goes in without a word, and the rest says the same. */
static void replay(struct fake *f, int64_t steps)
{
    struct error err;
    const int64_t even[N] = {100, 100, 100, 100}, one[N] = {0, 400, 0, 0};
    add_probe(f, 0, PROBE);
    for (int64_t step = 0; step < steps; step++) {
        const struct monitor_load l = {is_narrow(step) ? one : even, NULL, TOKENS, 0.99 * log(N)};
        test_must(monitor_begin_step(&f->alarm.monitor, step, &err), &err);
        monitor_add(&f->alarm.monitor, 0, &l);
        monitor_end_step(&f->alarm.monitor);
    }
    alarm_settle(&f->alarm);
    assert_int_equal(f->n_told, 0);
}

static void test_goes_on_from_anywhere(void **state)
{
    struct fake whole, resumed;
    (void)state;
    open_fake(&whole, "topk", 1);
    add_probe(&whole, 0, PROBE);
    for (int64_t step = 0; step < STEPS; step++)
        add_step(&whole, step, is_narrow(step), 0.99);
    assert_non_null(nth_event(&whole, 4)); /* collapsed, over, indifferent, over, collapsed */
    for (int64_t from = 0; from < STEPS; from++) {
        int n = 0;
        open_fake(&resumed, "topk", 1);
        replay(&resumed, from);
        for (int64_t step = from; step < STEPS; step++)
            add_step(&resumed, step, is_narrow(step), 0.99);
        const struct memory_call *expected, *c;
        for (int i = 0; (expected = nth_event(&whole, i)) != NULL; i++) {
            if (expected->step < from)
                continue;
            assert_non_null(c = nth_event(&resumed, n++));
            assert_int_equal(c->step, expected->step);
            assert_string_equal(c->name, expected->name);
            assert_close(c->value, expected->value, 1e-12);
        }
        assert_null(nth_event(&resumed, n));
        close_fake(&resumed);
    }
    close_fake(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collapse_is_raised_and_ends),
        cmocka_unit_test(test_event_is_of_its_step),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_indifference_is_raised_and_ends),
        cmocka_unit_test(test_no_choice_no_alarm),
        cmocka_unit_test(test_goes_on_from_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
