/* The writer: a thread that stores batches, one transaction each, behind a bounded queue. */
#include <pthread.h>
#include <stdlib.h>

#include "sql/batch.h"

enum { DEFAULT_QUEUE_BATCHES = 4 };

struct logbook_writer {
    struct logbook *lb;
    struct store *store;
    int gate_bits, queue_batches;
    pthread_t thread;
    pthread_mutex_t lock;   /* guards all that follows */
    pthread_cond_t changed; /* a batch came or went, or the writer closes */
    struct logbook_batch *first, *last;
    int waiting; /* batches in the queue, the one being stored included */
    bool closing, failed;
    struct error err; /* what failed; kept, since everything after is refused for it */
};

/* ---- the thread ---- */

static int store_in_transaction(struct logbook_writer *w, struct logbook_batch *b, struct error *err)
{
    if (db_begin(w->lb, err) != 0) {
        return -1;
    }
    return db_end(w->lb, store_batch(w->store, b, err), err);
}

/* The next batch, or NULL when the writer closes. Called with the lock held. */
static struct logbook_batch *next_batch(struct logbook_writer *w)
{
    while (w->first == NULL && !w->closing) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    struct logbook_batch *b = w->first;
    if (b != NULL) {
        w->first = b->next;
        if (w->first == NULL) {
            w->last = NULL;
        }
    }
    return b;
}

/* After a failure the queue is emptied without storing: what failed may be the reason why later steps would
 * make no sense, and the caller is told by every call from then on. */
static void *write_batches(void *argument)
{
    struct logbook_writer *w = argument;
    struct logbook_batch *b;
    pthread_mutex_lock(&w->lock);
    while ((b = next_batch(w)) != NULL) {
        bool skip = w->failed;
        struct error err;
        pthread_mutex_unlock(&w->lock);
        bool failed = !skip && store_in_transaction(w, b, &err) != 0;
        batch_free(b);
        pthread_mutex_lock(&w->lock);
        if (failed) {
            w->failed = true;
            w->err = err;
        }
        w->waiting--;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- the caller's side ---- */

int logbook_writer_open(struct logbook_writer **out, struct logbook *lb, int64_t run_id,
                        const struct logbook_writer_options *options, struct error *err)
{
    *out = NULL;
    if (options->gate_bits != 8 && options->gate_bits != 16) {
        return error_set(err, STATUS_USAGE, "gates are kept in 8 or 16 bits, not %d", options->gate_bits);
    }
    struct logbook_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return error_no_memory(err, "a logbook writer");
    }
    w->lb = lb;
    w->gate_bits = options->gate_bits;
    w->queue_batches = options->queue_batches > 0 ? options->queue_batches : DEFAULT_QUEUE_BATCHES;
    if (store_open(&w->store, lb, run_id, err) != 0) {
        free(w);
        return -1;
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    if (pthread_create(&w->thread, NULL, write_batches, w) != 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        store_close(w->store);
        free(w);
        return error_set(err, STATUS_MACHINE, "cannot start the logbook's writer thread");
    }
    *out = w;
    return 0;
}

/* Waits until at most `most` batches are in the queue; tells a failure. Called with the lock held. */
static int wait_for_queue(struct logbook_writer *w, int most, struct error *err)
{
    while (w->waiting > most && !w->failed) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    if (!w->failed) {
        return 0;
    }
    if (err != NULL) {
        *err = w->err;
    }
    return -1;
}

struct logbook_batch *logbook_batch_new(struct logbook_writer *w, struct error *err)
{
    pthread_mutex_lock(&w->lock);
    int result = wait_for_queue(w, w->queue_batches - 1, err);
    pthread_mutex_unlock(&w->lock);
    if (result != 0) {
        return NULL;
    }
    struct logbook_batch *b = batch_new(w, w->gate_bits);
    if (b == NULL) {
        error_no_memory(err, "a logbook batch");
    }
    return b;
}

int logbook_batch_commit(struct logbook_batch *b, struct error *err)
{
    struct logbook_writer *w = b->writer;
    if (b->failed) {
        if (err != NULL) {
            *err = b->err;
        }
        batch_free(b);
        return -1;
    }
    pthread_mutex_lock(&w->lock);
    int result = wait_for_queue(w, w->queue_batches - 1, err);
    if (result == 0) {
        if (w->last != NULL) {
            w->last->next = b;
        } else {
            w->first = b;
        }
        w->last = b;
        w->waiting++;
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

int logbook_writer_drain(struct logbook_writer *w, struct error *err)
{
    pthread_mutex_lock(&w->lock);
    int result = wait_for_queue(w, 0, err);
    pthread_mutex_unlock(&w->lock);
    return result == 0 ? flush(w->lb, err) : -1;
}

int logbook_writer_close(struct logbook_writer *w, struct error *err)
{
    if (w == NULL) {
        return 0;
    }
    int result = logbook_writer_drain(w, err);
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    store_close(w->store);
    free(w);
    return result;
}
