/* A small thread pool. Work is cut into tasks that do not depend on who runs them, so results are the same
 * bytes for any number of threads. */
#ifndef ENGINE_POOL_H
#define ENGINE_POOL_H
#include "base/error.h"

struct pool;

/* task(context, index, worker): index in 0..n_tasks-1, worker in 0..n_threads-1 (for scratch memory). */
typedef void pool_task(void *context, int index, int worker);

int pool_open(struct pool **pool, int n_threads, struct error *err); /* n_threads 0: one per core */
void pool_close(struct pool *pool);
int pool_threads(const struct pool *pool);

/* Runs all tasks, the caller's thread among the workers, and returns when all are done. Not reentrant. */
void pool_run(struct pool *pool, pool_task *task, void *context, int n_tasks);

/* Cuts 0..n-1 into ranges of at most `grain` and runs body(context, first, past_last, worker) on each. */
typedef void pool_body(void *context, int first, int last, int worker);
void pool_ranges(struct pool *pool, pool_body *body, void *context, int n, int grain);

#endif
