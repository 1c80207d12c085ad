#include "engine/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cores.h"

/* A worker looks for new work this many times before it sleeps: kernels follow each other within
 * microseconds, and a sleeping thread takes tens of them to wake. */
enum { SPINS = 4000 };

struct worker {
    struct pool *pool;
    pthread_t thread;
    int index;
};

struct pool {
    int n_threads, n_started;
    struct worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t work_is_there;
    pool_task *task;
    void *context;
    int n_tasks;
    atomic_uint generation; /* counts calls of pool_run; a change means work */
    atomic_int next;        /* the next task to take */
    atomic_int running;     /* workers still in the current generation */
    atomic_bool closing;
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_tasks(struct pool *pool, int worker)
{
    int i;

    while ((i = atomic_fetch_add(&pool->next, 1)) < pool->n_tasks)
        pool->task(pool->context, i, worker);
}

static unsigned wait_for_work(struct pool *pool, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&pool->generation) != seen)
            return atomic_load(&pool->generation);
        pause_briefly();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->generation) == seen)
        pthread_cond_wait(&pool->work_is_there, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    return atomic_load(&pool->generation);
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    unsigned seen = 0;

    for (;;) {
        seen = wait_for_work(w->pool, seen);
        if (atomic_load(&w->pool->closing))
            return NULL;
        take_tasks(w->pool, w->index);
        atomic_fetch_sub(&w->pool->running, 1);
    }
}

static void announce(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->generation, 1);
    pthread_cond_broadcast(&pool->work_is_there);
    pthread_mutex_unlock(&pool->lock);
}

void pool_run(struct pool *pool, pool_task *task, void *context, int n_tasks)
{
    if (n_tasks <= 0)
        return;
    pool->task = task;
    pool->context = context;
    pool->n_tasks = n_tasks;
    atomic_store(&pool->next, 0);
    if (n_tasks == 1 || pool->n_threads == 1) {
        take_tasks(pool, 0);
        return;
    }
    atomic_store(&pool->running, pool->n_threads - 1);
    announce(pool);
    take_tasks(pool, 0);
    for (int i = 0; atomic_load(&pool->running) > 0; i++) {
        if (i < SPINS)
            pause_briefly();
        else
            sched_yield(); /* somebody else has the core that the last worker waits for */
    }
}

struct ranges {
    pool_body *body;
    void *context;
    int n, grain;
};

static void run_range(void *context, int index, int worker)
{
    const struct ranges *r = context;
    int first = index * r->grain;
    int last = first + r->grain < r->n ? first + r->grain : r->n;

    r->body(r->context, first, last, worker);
}

void pool_ranges(struct pool *pool, pool_body *body, void *context, int n, int grain)
{
    struct ranges r = {body, context, n, grain};

    pool_run(pool, run_range, &r, (n + grain - 1) / grain);
}

int pool_threads(const struct pool *pool)
{
    return pool->n_threads;
}

void pool_close(struct pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->closing, true);
    announce(pool);
    for (int i = 1; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->work_is_there);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool);
}

int pool_open(struct pool **result, int n_threads, struct error *err)
{
    struct pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return error_no_memory(err, "the thread pool");
    pool->n_threads = n_threads > 0 ? n_threads : process_cores();
    pool->workers = calloc((size_t)pool->n_threads, sizeof *pool->workers);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work_is_there, NULL);
    pool->n_started = 1;
    if (!pool->workers)
        goto failed;
    for (int i = 1; i < pool->n_threads; i++) {
        pool->workers[i] = (struct worker){.pool = pool, .index = i};
        if (pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]) != 0)
            goto failed;
        pool->n_started++;
    }
    *result = pool;
    return 0;
failed:
    pool_close(pool);
    return error_set(err, STATUS_MACHINE, "cannot start %d threads; set train.threads lower", n_threads);
}
