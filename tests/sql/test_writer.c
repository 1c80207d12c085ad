/* The writer's queue: how much memory it may take, what shares a transaction and what does not, and that a
 * batch whose memory served before holds nothing of that time. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sql/batch.h"
#include "tests/support.h"
#include "tests/trial.h"

enum { TOKENS = 20000, K = 8, EXPERTS = 64 };
static const struct moescope_layer layers[] = {{.layer = 0, .router = "topk", .n_experts = EXPERTS, .k = K},
                                               {.layer = 1, .router = "topp", .n_experts = 2}};

/* A trial whose writer has a queue of its own size. */
static void open_writer(struct trial *s, int queue_batches, size_t queue_bytes)
{
    const struct moescope_writer_options options = {
        .queue_batches = queue_batches, .queue_bytes = queue_bytes, .gate_bits = 8};
    struct error err;
    trial_open(s);
    trial_run(s, "writer", layers, 2, 8);
    test_must(moescope_writer_close(s->writer, &err), &err);
    test_must(moescope_writer_open(&s->writer, s->lb, s->run_id, &options, &err), &err);
}

/* Nobody can write as long as this holds the file. */
static struct logbook *lock(struct trial *s)
{
    struct logbook *other;
    struct error err;
    test_must(moescope_open(&other, s->path, &err), &err);
    test_must(db_begin(other, &err), &err);
    return other;
}

static void unlock(struct logbook *other)
{
    db_rollback(other);
    moescope_close(other);
}

static struct moescope_batch *new_batch(struct trial *s)
{
    struct error err = {0};
    struct moescope_batch *b = moescope_batch_new(s->writer, &err);
    if (b == NULL) {
        fail_msg("%s", err.text);
    }
    return b;
}

/* A step with nothing but a metric. */
static void commit_metric(struct trial *s, int64_t step, const char *name)
{
    struct error err;
    struct moescope_batch *b = new_batch(s);
    moescope_batch_metric(b, step, "train", name, 1);
    moescope_batch_metric(b, step, "train", "loss", 2); /* twice the same name cannot be stored */
    test_must(moescope_batch_commit(b, &err), &err);
}

/* ---- memory ---- */

struct flood {
    struct trial trial;
    int n;
    size_t bytes; /* of the largest batch */
    atomic_int committed;
};

/* Batches of more than 300 KB, as fast as they are taken. */
static void *commit_all(void *argument)
{
    struct flood *f = argument;
    int32_t *ids = calloc(TOKENS + 1, sizeof *ids), *expert = calloc(TOKENS * K, sizeof *expert);
    float *gate = calloc(TOKENS * K, sizeof *gate);
    for (int i = 0; i < f->n; i++) {
        struct moescope_batch *b = new_batch(&f->trial);
        const struct moescope_sequence sequence = {
            .document_id = f->trial.document_ids[0], .n_tokens = TOKENS, .ids = ids};
        const struct moescope_block block = {
            .layer = 0, .n_experts = EXPERTS, .k = K, .expert = expert, .gate = gate};
        moescope_batch_routing(b, moescope_batch_sequence(b, i, "train", &sequence), &block);
        f->bytes = batch_memory(b) > f->bytes ? batch_memory(b) : f->bytes;
        test_must(moescope_batch_commit(b, NULL), &(struct error){0});
        atomic_fetch_add(&f->committed, 1);
    }
    free(ids);
    free(expert);
    free(gate);
    return NULL;
}

/* How many batches were taken while nothing could be stored; all are there in the end. */
static int flood_a_stalled_writer(struct flood *f, int queue_batches, size_t queue_bytes)
{
    struct trial *s = &f->trial;
    pthread_t thread;
    char expected[32];
    int stalled = 0;
    open_writer(s, queue_batches, queue_bytes);
    struct logbook *other = lock(s);
    assert_int_equal(pthread_create(&thread, NULL, commit_all, f), 0);
    for (int still = 0; still < 5; still++) { /* until it has stood still for a second */
        usleep(200000);
        if (atomic_load(&f->committed) != stalled) {
            stalled = atomic_load(&f->committed);
            still = 0;
        }
    }
    unlock(other);
    assert_int_equal(pthread_join(thread, NULL), 0);
    trial_end(s, "finished");
    snprintf(expected, sizeof expected, "%d|%d\n", f->n, f->n);
    trial_expect(
        s,
        "SELECT count(*), count(DISTINCT step) FROM sequence JOIN routing_block ON block_id / 1024 = "
        "sequence_id;",
        expected);
    trial_release(s);
    return stalled;
}

static void test_bytes_are_bounded(void **state)
{
    const size_t bound = 4 << 20;
    struct flood f = {.n = 40};
    (void)state;
    int stalled = flood_a_stalled_writer(&f, 1000, bound);
    print_message("%d batches of %zu bytes wait in a queue of %zu\n", stalled, f.bytes, bound);
    assert_true((size_t)stalled * f.bytes <= bound);
    assert_true((size_t)(stalled + 1) * f.bytes > bound);
}

static void test_batches_are_bounded(void **state)
{
    struct flood f = {.n = 12};
    (void)state;
    assert_int_equal(flood_a_stalled_writer(&f, 3, 0), 3);
}

/* A batch that is larger than the queue waits alone. */
static void test_large_batch(void **state)
{
    struct flood f = {.n = 5};
    (void)state;
    assert_int_equal(flood_a_stalled_writer(&f, 1000, 1), 1);
}

/* ---- transactions ---- */

/* Batches that wait share a transaction; one that cannot be stored does not take those before it along, and
 * nothing is stored after it. */
static void test_failure_in_a_group(void **state)
{
    struct trial s;
    struct error err;
    (void)state;
    open_writer(&s, 16, 0);
    struct logbook *other = lock(&s);
    for (int step = 0; step < 8; step++) {
        commit_metric(&s, step, step == 5 ? "loss" : "grad_norm");
    }
    unlock(other);
    struct moescope_writer *w = s.writer;
    s.writer = NULL;
    assert_int_equal(moescope_writer_close(w, &err), -1);
    assert_non_null(strstr(err.text, "metric 'loss' of step 5"));
    trial_expect(&s, "SELECT count(*), max(step) FROM metric;", "10|4\n");
    trial_release(&s);
}

/* Whatever a batch held, the next step that its memory serves holds only its own. */
static void test_memory_is_used_again(void **state)
{
    static const int32_t ids[] = {1, 2, 3}, expert[] = {0, 1}, offsets[] = {0, 2, 2};
    static const float loss[] = {1, 2}, gate[] = {0.5f, 0.25f}, probability[] = {0.5f, 0.5f, 0.25f, 0.75f};
    static const uint8_t dropped[] = {0, 1};
    struct trial s;
    struct error err;
    (void)state;
    open_writer(&s, 4, 0);
    for (int step = 0; step < 20; step++) {
        struct moescope_batch *b = new_batch(&s);
        const struct moescope_sequence sequence = {.document_id = s.document_ids[0],
                                                   .offset = 2 * step,
                                                   .n_tokens = 2,
                                                   .ids = ids,
                                                   .loss = step % 10 == 0 ? loss : NULL};
        const struct moescope_block block = {.layer = 1,
                                             .n_experts = 2,
                                             .k = step % 10 == 0 ? 0 : 1,
                                             .offsets = step % 10 == 0 ? offsets : NULL,
                                             .expert = expert,
                                             .gate = step % 10 == 0 ? gate : NULL,
                                             .dropped = step % 10 == 0 ? dropped : NULL};
        int handle = moescope_batch_sequence(b, step, "train", &sequence);
        moescope_batch_routing(b, handle, &block);
        if (step % 10 == 0) {
            moescope_batch_probability(b, handle, 1, 2, probability);
            moescope_batch_event(b, step, "alarm", -1, -1, NAN, NULL);
            moescope_batch_checkpoint(b, step, "weights", "hash");
        }
        test_must(moescope_batch_commit(b, &err), &err);
    }
    trial_end(&s, "finished");
    trial_expect(&s,
                 "SELECT count(*), count(losses), count(checksum) FROM sequence;"
                 "SELECT count(*), count(k), count(gates), count(offsets), count(dropped) FROM routing_block;"
                 "SELECT count(*) FROM probability_block; SELECT count(*) FROM event WHERE kind = 'alarm';"
                 "SELECT group_concat(step) FROM checkpoint;",
                 "20|2|2\n20|18|2|2|2\n2\n2\n0,10\n");
    trial_release(&s);
}

/* ---- statements ---- */

static void expect_row(struct statement *s, int64_t a, int64_t b)
{
    assert_int_equal(statement_step(s, NULL), 1);
    assert_int_equal(sqlite3_column_int64(s->handle, 0), a);
    assert_int_equal(sqlite3_column_int64(s->handle, 1), b);
    statement_reset(s);
}

/* Parameters may be bound in any order, once or twice or not at all: a statement that remembers the order of
 * the last row and the numbers that are bound is never wrong about them. */
static void test_bound_in_any_order(void **state)
{
    struct trial t;
    struct statement s;
    struct error err;
    (void)state;
    trial_open(&t);
    test_must(statement_open_text(&s, t.lb, "pair", "SELECT :a, :b", &err), &err);
    statement_int(&s, ":a", 1);
    statement_int(&s, ":b", 2);
    expect_row(&s, 1, 2);
    statement_int(&s, ":b", 3);
    expect_row(&s, 1, 3);
    statement_int(&s, ":none", 9);
    statement_int(&s, ":b", 2);
    statement_int(&s, ":a", 2);
    expect_row(&s, 2, 2);
    statement_int(&s, ":a", 5);
    statement_int(&s, ":a", 2);
    statement_int(&s, ":b", 3);
    expect_row(&s, 2, 3);
    statement_text(&s, ":a", "7");
    statement_int(&s, ":b", 3);
    expect_row(&s, 7, 3);
    statement_int(&s, ":a", 2);
    statement_null(&s, ":b");
    expect_row(&s, 2, 0);
    statement_int(&s, ":a", 2);
    statement_int(&s, ":b", 3);
    expect_row(&s, 2, 3);
    statement_close(&s);
    trial_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_bounded),    cmocka_unit_test(test_batches_are_bounded),
        cmocka_unit_test(test_large_batch),          cmocka_unit_test(test_failure_in_a_group),
        cmocka_unit_test(test_memory_is_used_again), cmocka_unit_test(test_bound_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
