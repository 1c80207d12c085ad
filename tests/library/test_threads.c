/* What moescope.h promises about threads: logbooks side by side, several runs written into one logbook at
 * once, a writer fed by several threads. Also built with -fsanitize=thread (docs/embedding.md says how). */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sql/logbook.h"
#include "tests/support.h"

enum { THREADS = 4, STEPS = 60, TOKENS = 8, EXPERTS = 4, K = 2 };

struct job {
    int number;
    const char *folder;
    struct logbook *lb;             /* shared, or NULL: it opens its own */
    struct moescope_writer *writer; /* shared, or NULL: it opens its own */
    int64_t document_id;            /* of a shared one */
    pthread_mutex_t *order;         /* of a shared writer's steps */
    int64_t *next_step;
    char complaint[1200];
};

static bool complain(struct job *j, const char *what, const struct error *err)
{
    snprintf(j->complaint, sizeof j->complaint, "thread %d: %s: %s", j->number, what, err->text);
    return false;
}

static bool add_corpus(struct job *j, struct logbook *lb, int64_t *corpus_id, int64_t *vocabulary_id)
{
    const struct moescope_document document = {
        .name = "a", .domain = "d", .sha256 = "d1", .split = "train", .n_bytes = 1000, .n_tokens = 1000};
    const struct moescope_corpus corpus = {.name = "c",
                                           .sha256 = "c1",
                                           .vocabulary_name = "v",
                                           .vocabulary_sha256 = "v1",
                                           .documents = &document,
                                           .n_documents = 1};
    struct error err;
    int64_t domain_id;
    return moescope_add_corpus(lb, &corpus, corpus_id, vocabulary_id, &j->document_id, &domain_id, &err) ==
               0 ||
           complain(j, "corpus", &err);
}

static bool begin_run(struct job *j, struct logbook *lb, int64_t *run_id)
{
    const struct moescope_layer layer = {.router = "topk", .n_experts = EXPERTS, .k = K};
    char name[32];
    struct moescope_run run = {
        .name = name, .task = "language_model", .router = "topk", .layers = &layer, .n_layers = 1};
    struct error err;
    snprintf(name, sizeof name, "run%d", j->number);
    if (!add_corpus(j, lb, &run.corpus_id, &run.vocabulary_id)) {
        return false;
    }
    return moescope_begin_run(lb, &run, run_id, &err) == 0 || complain(j, "run", &err);
}

static void fill(struct moescope_batch *b, int64_t document_id, int64_t step)
{
    int32_t ids[TOKENS + 1], expert[TOKENS * K];
    float gate[TOKENS * K];
    for (int t = 0; t < TOKENS * K; t++) {
        expert[t] = (int32_t)((step + t) % EXPERTS);
        gate[t] = 0.25f;
    }
    for (int t = 0; t <= TOKENS; t++) {
        ids[t] = t;
    }
    const struct moescope_sequence sequence = {.document_id = document_id, .n_tokens = TOKENS, .ids = ids};
    const struct moescope_block block = {.n_experts = EXPERTS, .k = K, .expert = expert, .gate = gate};
    int s = moescope_batch_sequence(b, step, "train", &sequence);
    moescope_batch_routing(b, s, &block);
    moescope_batch_metric(b, step, "train", "loss", (double)step);
    moescope_batch_document_loss(b, step, "train", document_id, TOKENS, TOKENS, 1);
}

static bool log_step(struct job *j, struct moescope_writer *w, int64_t step)
{
    struct error err;
    struct moescope_batch *b = moescope_batch_new(w, &err);
    if (b == NULL) {
        return complain(j, "batch", &err);
    }
    fill(b, j->document_id, step);
    return moescope_batch_commit(b, &err) == 0 || complain(j, "commit", &err);
}

static bool write_run(struct job *j, struct logbook *lb)
{
    const struct moescope_writer_options options = {.gate_bits = 8, .derive_loads = true, .queue_batches = 3};
    struct moescope_writer *w;
    struct error err;
    int64_t run_id;
    if (!begin_run(j, lb, &run_id)) {
        return false;
    }
    if (moescope_writer_open(&w, lb, run_id, &options, &err) != 0) {
        return complain(j, "writer", &err);
    }
    bool done = true;
    for (int64_t step = 0; step < STEPS && done; step++) {
        done = log_step(j, w, step) &&
               (step % 20 != 19 || moescope_writer_drain(w, &err) == 0 || complain(j, "drain", &err));
    }
    if (moescope_writer_close(w, &err) != 0) {
        return complain(j, "close", &err);
    }
    return done && (moescope_end_run(lb, run_id, "finished", &err) == 0 || complain(j, "end", &err));
}

static void *write_own_logbook(void *argument)
{
    struct job *j = argument;
    struct logbook *lb;
    struct error err;
    char path[512];
    snprintf(path, sizeof path, "%s/%d.db", j->folder, j->number);
    if (moescope_open(&lb, path, &err) != 0) {
        complain(j, "open", &err);
        return NULL;
    }
    write_run(j, lb);
    moescope_close(lb);
    return NULL;
}

static void *write_own_run(void *argument)
{
    struct job *j = argument;
    write_run(j, j->lb);
    return NULL;
}

/* The steps of one run, each by whichever thread comes next. */
static void *write_own_steps(void *argument)
{
    struct job *j = argument;
    bool done = true;
    while (done) {
        pthread_mutex_lock(j->order);
        int64_t step = (*j->next_step)++;
        done = step < STEPS && log_step(j, j->writer, step);
        pthread_mutex_unlock(j->order);
    }
    return NULL;
}

static void run_all(struct job jobs[THREADS], void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        jobs[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, body, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_string_equal(jobs[i].complaint, "");
    }
}

/* Whole, and every run with all its steps, decisions and derived loads. */
static void expect_whole(const char *path, int runs)
{
    char expected[64], *bin = test_bin();
    struct test_run r = test_run("'%s/moescope-check' --format csv '%s' | awk -F, '$3 > 0'", bin, path);
    assert_string_equal(r.out, "check,checked,violations,first_violation\n");
    test_run_release(&r);
    snprintf(expected, sizeof expected, "%d|%d|%d\n", runs * STEPS, runs * STEPS, runs * STEPS * TOKENS * K);
    test_answer(path,
                "SELECT (SELECT count(*) FROM metric), (SELECT count(*) FROM routing_block), "
                "(SELECT sum(assignments) FROM expert_load)",
                expected);
    free(bin);
}

static void test_logbooks_side_by_side(void **state)
{
    struct job jobs[THREADS] = {0};
    char *folder = test_folder(), path[512];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        jobs[i].folder = folder;
    }
    run_all(jobs, write_own_logbook);
    for (int i = 0; i < THREADS; i++) {
        snprintf(path, sizeof path, "%s/%d.db", folder, i);
        expect_whole(path, 1);
    }
    test_folder_remove(folder);
}

static void test_runs_in_one_logbook(void **state)
{
    struct job jobs[THREADS] = {0};
    struct logbook *lb;
    struct error err;
    char *folder = test_folder(), path[512];
    (void)state;
    snprintf(path, sizeof path, "%s/log.db", folder);
    test_must(moescope_open(&lb, path, &err), &err);
    for (int i = 0; i < THREADS; i++) {
        jobs[i].lb = lb;
    }
    run_all(jobs, write_own_run);
    assert_true(moescope_close(lb));
    expect_whole(path, THREADS);
    test_folder_remove(folder);
}

static void test_threads_of_one_run(void **state)
{
    const struct moescope_writer_options options = {.gate_bits = 16, .derive_loads = true};
    struct job jobs[THREADS] = {0};
    struct logbook *lb;
    struct moescope_writer *w;
    pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
    int64_t next_step = 0, run_id;
    struct error err;
    char *folder = test_folder(), path[512];
    (void)state;
    snprintf(path, sizeof path, "%s/log.db", folder);
    test_must(moescope_open(&lb, path, &err), &err);
    assert_true(begin_run(&jobs[0], lb, &run_id));
    test_must(moescope_writer_open(&w, lb, run_id, &options, &err), &err);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){
            .writer = w, .document_id = jobs[0].document_id, .order = &order, .next_step = &next_step};
    }
    run_all(jobs, write_own_steps);
    test_must(moescope_writer_close(w, &err), &err);
    test_must(moescope_end_run(lb, run_id, "finished", &err), &err);
    assert_true(moescope_close(lb));
    expect_whole(path, 1);
    test_folder_remove(folder);
}

static atomic_ulong handled_by;

static void note_thread(int number)
{
    (void)number;
    atomic_store(&handled_by, (unsigned long)pthread_self());
}

/* A signal of the process while its only other thread is the writer's. */
static void test_writer_takes_no_signal(void **state)
{
    const struct moescope_writer_options options = {.gate_bits = 8};
    struct sigaction action = {.sa_handler = note_thread}, before;
    struct job job = {0};
    struct logbook *lb;
    struct moescope_writer *w;
    sigset_t usr1, old;
    int64_t run_id;
    struct error err;
    char *folder = test_folder(), path[512];
    (void)state;
    snprintf(path, sizeof path, "%s/log.db", folder);
    sigaction(SIGUSR1, &action, &before);
    test_must(moescope_open(&lb, path, &err), &err);
    assert_true(begin_run(&job, lb, &run_id));
    test_must(moescope_writer_open(&w, lb, run_id, &options, &err), &err);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, &old);
    kill(getpid(), SIGUSR1);
    assert_true(log_step(&job, w, 0));
    test_must(moescope_writer_drain(w, &err), &err);
    assert_int_equal(atomic_load(&handled_by), 0); /* it waits for a thread that takes it */
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    assert_int_equal(atomic_load(&handled_by), (unsigned long)pthread_self());
    test_must(moescope_writer_close(w, &err), &err);
    assert_true(moescope_close(lb));
    sigaction(SIGUSR1, &before, NULL);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logbooks_side_by_side),
        cmocka_unit_test(test_runs_in_one_logbook),
        cmocka_unit_test(test_threads_of_one_run),
        cmocka_unit_test(test_writer_takes_no_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
