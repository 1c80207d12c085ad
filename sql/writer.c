/* The writer: a thread that stores batches behind a bounded queue. When batches come faster than they are
 * stored, those that wait share a transaction, since most of what a small transaction costs is the pages that
 * the next one touches again. A transaction never ends within a batch. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "sql/batch.h"
#include "sql/refuse.h"

enum {
    DEFAULT_QUEUE_BATCHES = 32,
    DEFAULT_QUEUE_BYTES = 64 << 20,
    GROUP_BYTES = 8 << 20, /* in one transaction: more would save nothing */
    SPARE_SHARE = 8        /* memory kept for the next batches is at most 1 / 8 of the queue's */
};

struct moescope_writer {
    struct logbook *lb;
    struct store *store;
    struct run_layer layers[LOGBOOK_MAX_LAYERS]; /* as the run was begun with them */
    int gate_bits, queue_batches;
    bool derive_loads;
    size_t queue_bytes;
    pthread_t thread;
    pthread_mutex_t lock;   /* guards all that follows */
    pthread_cond_t changed; /* a batch came or went, or the writer closes */
    struct moescope_batch *first, *last;
    int waiting; /* batches in the queue, those being stored included */
    size_t waiting_bytes;
    struct moescope_batch *spare; /* stored and emptied: their memory serves the next batches */
    size_t spare_bytes;
    bool closing, failed;
    struct error err; /* what failed; kept, since everything after is refused for it */
};

/* ---- the thread ---- */

/* Stores a batch and those behind it, in one transaction. */
static int store_together(struct moescope_writer *w, struct moescope_batch *b, struct error *err)
{
    if (db_begin(w->lb, err) != 0) {
        return -1;
    }
    int result = 0;
    for (; b != NULL && result == 0; b = b->next) {
        result = store_batch(w->store, b, err);
    }
    if (db_end(w->lb, result, err) != 0) {
        store_forget(w->store);
        return -1;
    }
    return 0;
}

/* A batch that cannot be stored must not take those before it along: then each has a transaction of its own.
 */
static int store_group(struct moescope_writer *w, struct moescope_batch *group, struct error *err)
{
    if (store_together(w, group, err) == 0) {
        return 0;
    }
    int result = group->next == NULL ? -1 : 0;
    while (group != NULL && result == 0) {
        struct moescope_batch *rest = group->next;
        group->next = NULL;
        result = store_together(w, group, err);
        group->next = rest;
        group = rest;
    }
    return result;
}

/* The batches to be stored next, or NULL when the writer closes: at most half of what the queue takes, so
 * that the other half can be filled meanwhile. Called with the lock held. */
static struct moescope_batch *next_group(struct moescope_writer *w)
{
    while (w->first == NULL && !w->closing) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    struct moescope_batch *group = w->first, *last = group;
    if (group == NULL) {
        return NULL;
    }
    size_t bytes = batch_memory(last);
    for (int n = 1; n < w->queue_batches / 2 && last->next != NULL; n++) {
        bytes += batch_memory(last->next);
        if (bytes > GROUP_BYTES) {
            break;
        }
        last = last->next;
    }
    w->first = last->next;
    last->next = NULL;
    if (w->first == NULL) {
        w->last = NULL;
    }
    return group;
}

/* Called with the lock held. */
static void keep_or_free(struct moescope_writer *w, struct moescope_batch *b)
{
    size_t bytes = batch_memory(b);
    if (w->spare_bytes + bytes > w->queue_bytes / SPARE_SHARE) {
        batch_free(b);
        return;
    }
    batch_clear(b);
    b->next = w->spare;
    w->spare = b;
    w->spare_bytes += bytes;
}

/* Called with the lock held. */
static void release_group(struct moescope_writer *w, struct moescope_batch *group)
{
    while (group != NULL) {
        struct moescope_batch *rest = group->next;
        w->waiting--;
        w->waiting_bytes -= batch_memory(group);
        keep_or_free(w, group);
        group = rest;
    }
    pthread_cond_broadcast(&w->changed);
}

/* After a failure the queue is emptied without storing: what failed may be the reason why later steps would
 * make no sense, and the caller is told by every call from then on. */
static void *write_batches(void *argument)
{
    struct moescope_writer *w = argument;
    struct moescope_batch *group;
    pthread_mutex_lock(&w->lock);
    while ((group = next_group(w)) != NULL) {
        bool skip = w->failed;
        struct error err;
        pthread_mutex_unlock(&w->lock);
        bool failed = !skip && store_group(w, group, &err) != 0;
        pthread_mutex_lock(&w->lock);
        if (failed) {
            w->failed = true;
            w->err = err;
        }
        release_group(w, group);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- the caller's side ---- */

static void writer_free(struct moescope_writer *w)
{
    while (w->spare != NULL) {
        struct moescope_batch *rest = w->spare->next;
        batch_free(w->spare);
        w->spare = rest;
    }
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    store_close(w->store);
    free(w);
}

/* The thread takes no signal: whoever has this library in his process handles them on threads of his own. */
static int start_thread(struct moescope_writer *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&w->thread, NULL, write_batches, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* Another writer of the logbook may be in the middle of a transaction on the connection they share. */
static int open_store(struct moescope_writer *w, int64_t run_id, struct error *err)
{
    pthread_mutex_lock(&w->lb->transaction);
    int result = run_layers_read(w->lb, run_id, w->layers, err);
    if (result == 0) {
        result = store_open(&w->store, w->lb, run_id, err);
    }
    pthread_mutex_unlock(&w->lb->transaction);
    return result;
}

int moescope_writer_open(struct moescope_writer **out, struct logbook *lb, int64_t run_id,
                         const struct moescope_writer_options *options, struct error *err)
{
    *out = NULL;
    if (refuse_null(lb, "the writer's logbook", err) != 0 ||
        refuse_null(options, "the writer's options", err) != 0) {
        return -1;
    }
    if (options->gate_bits != 8 && options->gate_bits != 16) {
        return error_set(err, STATUS_USAGE, "gates are kept in 8 or 16 bits, not %d", options->gate_bits);
    }
    struct moescope_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return error_no_memory(err, "a logbook writer");
    }
    w->lb = lb;
    w->gate_bits = options->gate_bits;
    w->derive_loads = options->derive_loads;
    w->queue_batches = options->queue_batches > 0 ? options->queue_batches : DEFAULT_QUEUE_BATCHES;
    w->queue_bytes = options->queue_bytes > 0 ? options->queue_bytes : DEFAULT_QUEUE_BYTES;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    if (open_store(w, run_id, err) != 0) {
        writer_free(w);
        return -1;
    }
    if (start_thread(w) != 0) {
        writer_free(w);
        return error_set(err, STATUS_MACHINE, "cannot start the logbook's writer thread");
    }
    *out = w;
    return 0;
}

/* Whether one more batch of so many bytes may wait. A batch that is larger than the queue waits alone. */
static bool has_room(const struct moescope_writer *w, size_t bytes)
{
    return w->waiting == 0 || (w->waiting < w->queue_batches && w->waiting_bytes + bytes <= w->queue_bytes);
}

/* Tells a failure of the thread's. Called with the lock held. */
static int told(const struct moescope_writer *w, struct error *err)
{
    if (!w->failed) {
        return 0;
    }
    if (err != NULL) {
        *err = w->err;
    }
    return -1;
}

/* Called with the lock held. */
static int wait_for_room(struct moescope_writer *w, size_t bytes, struct error *err)
{
    while (!has_room(w, bytes) && !w->failed) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    return told(w, err);
}

static struct moescope_batch *take_spare(struct moescope_writer *w)
{
    struct moescope_batch *b = w->spare;
    if (b != NULL) {
        w->spare = b->next;
        w->spare_bytes -= batch_memory(b);
        b->next = NULL;
    }
    return b;
}

struct moescope_batch *moescope_batch_new(struct moescope_writer *w, struct error *err)
{
    pthread_mutex_lock(&w->lock);
    int result = wait_for_room(w, 0, err);
    struct moescope_batch *b = result == 0 ? take_spare(w) : NULL;
    pthread_mutex_unlock(&w->lock);
    if (result == 0 && b == NULL) {
        b = batch_new(w, w->layers, w->gate_bits, w->derive_loads);
        if (b == NULL) {
            error_no_memory(err, "a logbook batch");
        }
    }
    return b;
}

int moescope_batch_commit(struct moescope_batch *b, struct error *err)
{
    struct moescope_writer *w = b->writer;
    derived_log(b);
    if (b->failed) {
        if (err != NULL) {
            *err = b->err;
        }
        batch_free(b);
        return -1;
    }
    pthread_mutex_lock(&w->lock);
    int result = wait_for_room(w, batch_memory(b), err);
    if (result == 0) {
        if (w->last != NULL) {
            w->last->next = b;
        } else {
            w->first = b;
        }
        w->last = b;
        w->waiting++;
        w->waiting_bytes += batch_memory(b);
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    if (result != 0) {
        batch_free(b);
    }
    return result;
}

/* In WAL mode a commit reaches the disk with the next checkpoint: asked for here, so that no checkpoint of
 * the weights can outlive the steps it stands for. A reader in the way is no failure: the log itself has been
 * flushed by then. */
static int flush(struct logbook *lb, struct error *err)
{
    pthread_mutex_lock(&lb->transaction);
    int code = sqlite3_wal_checkpoint_v2(lb->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    pthread_mutex_unlock(&lb->transaction);
    bool busy = (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED;
    return code == SQLITE_OK || busy ? 0 : db_error_code(lb, code, "write", err);
}

int moescope_writer_drain(struct moescope_writer *w, struct error *err)
{
    pthread_mutex_lock(&w->lock);
    while (w->waiting > 0 && !w->failed) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    int result = told(w, err);
    pthread_mutex_unlock(&w->lock);
    return result == 0 ? flush(w->lb, err) : -1;
}

int moescope_writer_close(struct moescope_writer *w, struct error *err)
{
    if (w == NULL) {
        return 0;
    }
    int result = moescope_writer_drain(w, err);
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    writer_free(w);
    return result;
}
