/* A clock that is put back or forth while runs are written: nothing but what is told of times depends on it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/faulty.h"
#include "tests/steps.h"
#include "tests/support.h"

static const double hour = 3600;

static int open_group(void **state)
{
    (void)state;
    faulty_start();
    return 0;
}

static void log_one(struct trial *s, int64_t step)
{
    static const struct steps_size size = {.sequences = 2, .tokens = 20};
    struct error err;
    test_must(steps_log(s->writer, s->document_ids[0], step, size, &err), &err);
    test_must(moescope_writer_drain(s->writer, &err), &err);
}

/* The status that `moescope runs` shows for run "r", and its seconds. */
static void expect_shown(const struct trial *s, const char *status, double least, double most)
{
    struct logbook *lb;
    struct query *q;
    struct error err;
    test_must(logbook_open(&lb, s->path, &err), &err);
    test_must(query_open(&q, lb, "queries/runs", &err), &err);
    assert_int_equal(query_step(q, &err), 1);
    assert_string_equal(query_text(q, "status"), status);
    assert_true(query_real(q, "seconds") >= least && query_real(q, "seconds") <= most);
    query_close(q);
    moescope_close(lb);
}

/* Contents do not depend on when: a run whose clock jumps is the run whose clock does not. */
static void test_contents(void **state)
{
    struct trial steady, jumping;
    struct error err;
    static const double at[] = {0, -hour, 24 * hour, -1000 * hour, 0.5, -0.5};
    (void)state;
    trial_open(&steady);
    test_must(steps_begin(&steady, "r", &err), &err);
    for (int step = 0; step < 12; step++) {
        log_one(&steady, step);
    }
    trial_end(&steady, "finished");
    trial_stop(&steady);

    trial_open(&jumping);
    test_must(steps_begin(&jumping, "r", &err), &err);
    for (int step = 0; step < 9; step++) {
        faulty_clock(at[step % 6]);
        log_one(&jumping, step);
    }
    trial_end(&jumping, NULL);
    trial_stop(&jumping);
    faulty_clock(-2000 * hour); /* resumed long before it began */
    test_must(moescope_open(&jumping.lb, jumping.path, &err), &err);
    test_must(steps_resume(&jumping, "r", 6, &err), &err);
    for (int step = 6; step < 12; step++) {
        log_one(&jumping, step);
    }
    trial_end(&jumping, "finished");
    trial_stop(&jumping);
    faulty_clock(0);

    char *expected = steps_contents(&steady), *actual = steps_contents(&jumping);
    assert_string_equal(actual, expected);
    steps_expect_clean(jumping.path);
    trial_expect(&jumping,
                 "SELECT finished_at < started_at FROM run; SELECT kind FROM event ORDER BY event_id;",
                 "1\nstarted\nresumed\nfinished\n");
    expect_shown(&jumping, "finished", 0, 0); /* no run takes less than no time */
    free(expected);
    free(actual);
    trial_release(&steady);
    trial_release(&jumping);
}

/* A run is heard of again within a second, whatever its clock says; one that is dead stays stalled, also when
 * its last word comes from the future. */
static void test_stalled(void **state)
{
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    test_must(steps_begin(&s, "r", &err), &err);
    log_one(&s, 0);
    expect_shown(&s, "running", 0, 60);
    faulty_clock(-hour); /* put back: until its next word the run seems to be from the future */
    expect_shown(&s, "stalled", 0, 60);
    sleep(2);
    log_one(&s, 1);
    expect_shown(&s, "running", 0, 60);
    faulty_clock(hour); /* put forth */
    expect_shown(&s, "stalled", 0, 60);
    sleep(2);
    log_one(&s, 2);
    expect_shown(&s, "running", 0, 2 * hour);
    trial_end(&s, "finished");
    expect_shown(&s, "finished", 0, 2 * hour);
    faulty_clock(0);
    trial_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_stalled),
    };
    return cmocka_run_group_tests(tests, open_group, NULL);
}
