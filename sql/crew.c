#include "sql/crew.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cores.h"

enum {
    MOST_THREADS = 16,
    ALONE = 2,       /* chunks that the caller works on before it calls for help */
    AHEAD = 2,       /* chunks of each worker, so that none waits while the caller is busy with a result */
    BUSY_WAIT = 1000 /* milliseconds to wait for a lock; then the caller goes on alone */
};

enum state { FREE, WAITING, TAKEN, DONE };

struct slot {
    enum state state;
    struct scan_sequence *sequences; /* (chunk) */
    int n;
    void *result;
};

struct thread {
    struct crew *crew;
    pthread_t thread;
    struct logbook lb;
    void *worker;
};

struct crew {
    const struct crew_trade *trade;
    void *context, *lead;
    struct slot *slots; /* a ring */
    int n_slots;
    int oldest, n_filled; /* slots from `oldest` on hold chunks, in order */
    bool handed_out;      /* the oldest is the caller's */
    bool ended;           /* no more sequences */
    int chunks;           /* since the scan began */
    bool tried;           /* to start threads, in this scan */
    struct thread threads[MOST_THREADS];
    int n_threads;
    pthread_mutex_t lock;          /* guards the states of slots and what follows */
    pthread_cond_t waiting, ready; /* a chunk waits for a thread; a chunk is done */
    bool closing;
};

/* ---- threads ---- */

static struct slot *slot_at(struct crew *crew, int i)
{
    return &crew->slots[(crew->oldest + i) % crew->n_slots];
}

/* Called with the lock held. */
static struct slot *take(struct crew *crew)
{
    for (int i = 0; i < crew->n_filled; i++) {
        struct slot *slot = slot_at(crew, i);
        if (slot->state == WAITING) {
            slot->state = TAKEN;
            return slot;
        }
    }
    return NULL;
}

/* Works on a chunk that waits, or else waits for `changed`. Called with the lock held. */
static void work_or_wait(struct crew *crew, void *worker, pthread_cond_t *changed)
{
    struct slot *slot = take(crew);
    if (slot == NULL) {
        pthread_cond_wait(changed, &crew->lock);
        return;
    }
    pthread_mutex_unlock(&crew->lock);
    crew->trade->work(worker, slot->result, slot->sequences, slot->n);
    pthread_mutex_lock(&crew->lock);
    slot->state = DONE;
    pthread_cond_signal(&crew->ready);
}

static void *work_on(void *argument)
{
    struct thread *t = argument;
    struct crew *crew = t->crew;
    pthread_mutex_lock(&crew->lock);
    while (!crew->closing) {
        work_or_wait(crew, t->worker, &crew->waiting);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* A pragma's number; of a journal mode, whether it is another than WAL: then readers keep writers out. -1: no
 * answer. */
static int64_t ask(sqlite3 *db, const char *schema, const char *pragma)
{
    sqlite3_stmt *s = NULL;
    char *sql = sqlite3_mprintf(/* lint: allow sql, it takes a schema */ "PRAGMA \"%w\".%s", schema, pragma);
    int64_t answer = -1;
    if (sql != NULL && sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW) {
        answer = sqlite3_column_type(s, 0) == SQLITE_INTEGER
                     ? sqlite3_column_int64(s, 0)
                     : strcmp((const char *)sqlite3_column_text(s, 0), "wal") != 0;
    }
    sqlite3_finalize(s);
    sqlite3_free(sql);
    return answer;
}

/* The file of the lead's connection, or NULL where others could not see the same in it. */
static const char *shared_file(const struct logbook *lb, const char *schema)
{
    const char *path = sqlite3_db_filename(lb->db, schema);
    bool same = path != NULL && *path != '\0' && sqlite3_threadsafe() != 0 &&
                sqlite3_txn_state(lb->db, schema) == SQLITE_TXN_READ &&
                ask(lb->db, schema, "journal_mode") == 1;
    return same ? path : NULL;
}

/* A connection that reads, and that keeps reading the same until it is closed. */
static bool connect(struct logbook *lb, const struct logbook *lead, const char *schema, const char *path)
{
    static const char *const versions[] = {"schema_version", "page_count"};
    *lb = (struct logbook){.path = lead->path, .schema = "main", .version = lead->version};
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
    bool same = sqlite3_open_v2(path, &lb->db, flags, NULL) == SQLITE_OK &&
                sqlite3_busy_timeout(lb->db, BUSY_WAIT) == SQLITE_OK &&
                sqlite3_exec(lb->db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK;
    for (int i = 0; i < 2 && same; i++) { /* another file may have taken the name */
        same = ask(lb->db, "main", versions[i]) == ask(lead->db, schema, versions[i]);
    }
    return same;
}

static void dismiss(struct thread *t)
{
    if (t->worker != NULL) {
        t->crew->trade->worker_free(t->worker);
    }
    sqlite3_close(t->lb.db);
}

static bool start_thread(struct crew *crew, const char *schema, const char *path)
{
    struct thread *t = &crew->threads[crew->n_threads];
    struct error unused;
    const struct scan *lead = crew->trade->scan_of(crew->lead);
    *t = (struct thread){.crew = crew};
    if (connect(&t->lb, lead->lb, schema, path)) {
        t->worker = crew->trade->worker_new(crew->context, &t->lb, &unused);
    }
    if (t->worker != NULL && pthread_create(&t->thread, NULL, work_on, t) == 0) {
        crew->n_threads++;
        return true;
    }
    dismiss(t);
    return false;
}

static bool slots_grow(struct crew *crew, int n)
{
    struct slot *slots = realloc(crew->slots, (size_t)n * sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    crew->slots = slots;
    for (; crew->n_slots < n; crew->n_slots++) {
        struct slot *slot = &slots[crew->n_slots];
        *slot = (struct slot){.sequences = calloc((size_t)crew->trade->chunk, sizeof *slot->sequences),
                              .result = crew->trade->result_new()};
        if (slot->sequences == NULL || slot->result == NULL) {
            free(slot->sequences);
            if (slot->result != NULL) {
                crew->trade->result_free(slot->result);
            }
            return false;
        }
    }
    return true;
}

/* Whatever stands in the way of help is no failure: the caller goes on alone. */
static void call_for_help(struct crew *crew)
{
    const struct logbook *lb = crew->trade->scan_of(crew->lead)->lb;
    const char *schema = lb->schema != NULL ? lb->schema : "main";
    int cores = process_cores(), others = cores - 1;
    crew->tried = true;
    if (others > MOST_THREADS) {
        others = MOST_THREADS;
    }
    const char *path = cores > 1 ? shared_file(lb, schema) : NULL;
    if (path == NULL || !slots_grow(crew, (others + 1) * AHEAD + 1)) {
        return;
    }
    while (crew->n_threads < others && start_thread(crew, schema, path)) {
    }
}

/* Ends the threads, and with them their hold on the file that keeps writers waiting. */
static void send_away(struct crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->closing = true;
    pthread_cond_broadcast(&crew->waiting);
    pthread_mutex_unlock(&crew->lock);
    for (int i = 0; i < crew->n_threads; i++) {
        pthread_join(crew->threads[i].thread, NULL);
        dismiss(&crew->threads[i]);
    }
    crew->n_threads = 0;
    crew->closing = false;
}

/* ---- the caller ---- */

/* The next sequences of the scan into a slot: 1, 0: there is none, -1. */
static int fill(struct crew *crew, struct slot *slot, struct error *err)
{
    struct scan *scan = crew->trade->scan_of(crew->lead);
    int result = 1;
    slot->n = 0;
    while (slot->n < crew->trade->chunk && (result = scan_find_sequence(scan, err)) == 1) {
        slot->sequences[slot->n++] = scan->sequence;
    }
    crew->ended = result != 1;
    return result < 0 ? -1 : slot->n > 0;
}

static int work_alone(struct crew *crew, void **result, struct error *err)
{
    struct slot *slot = slot_at(crew, 0);
    int more = crew->ended ? 0 : fill(crew, slot, err);
    if (more != 1) {
        return more;
    }
    crew->chunks++;
    crew->trade->work(crew->lead, slot->result, slot->sequences, slot->n);
    *result = slot->result;
    return 1;
}

static void recycle(struct crew *crew)
{
    if (crew->handed_out) {
        slot_at(crew, 0)->state = FREE;
        crew->oldest = (crew->oldest + 1) % crew->n_slots;
        crew->n_filled--;
        crew->handed_out = false;
    }
}

static int fill_ring(struct crew *crew, struct error *err)
{
    while (!crew->ended && crew->n_filled < crew->n_slots) {
        struct slot *slot = slot_at(crew, crew->n_filled);
        int more = fill(crew, slot, err); /* nobody else looks at a free slot */
        if (more != 1) {
            return more;
        }
        pthread_mutex_lock(&crew->lock);
        slot->state = WAITING;
        crew->n_filled++;
        pthread_cond_signal(&crew->waiting);
        pthread_mutex_unlock(&crew->lock);
    }
    return 0;
}

/* The caller is a worker, too: waking a thread takes longer than many a chunk. */
static int wait_for_oldest(struct crew *crew, void **result)
{
    struct slot *slot = slot_at(crew, 0);
    pthread_mutex_lock(&crew->lock);
    while (slot->state != DONE) {
        work_or_wait(crew, crew->lead, &crew->ready);
    }
    pthread_mutex_unlock(&crew->lock);
    crew->handed_out = true;
    *result = slot->result;
    return 1;
}

static int work_together(struct crew *crew, void **result, struct error *err)
{
    pthread_mutex_lock(&crew->lock);
    recycle(crew);
    pthread_mutex_unlock(&crew->lock);
    int failed = fill_ring(crew, err);
    return failed == 0 && crew->n_filled > 0 ? wait_for_oldest(crew, result) : failed;
}

int crew_next(struct crew *crew, void **result, struct error *err)
{
    if (!crew->tried && crew->chunks >= ALONE && !crew->ended) {
        call_for_help(crew);
    }
    int more = crew->n_threads > 0 ? work_together(crew, result, err) : work_alone(crew, result, err);
    if (more != 1) {
        send_away(crew);
        scan_rest(crew->trade->scan_of(crew->lead));
    }
    return more;
}

void crew_restart(struct crew *crew)
{
    send_away(crew);
    for (int i = 0; i < crew->n_slots; i++) {
        crew->slots[i].state = FREE;
    }
    crew->oldest = crew->n_filled = crew->chunks = 0;
    crew->handed_out = crew->ended = crew->tried = false;
}

int crew_open(struct crew **out, const struct crew_trade *trade, void *context, void *lead, struct error *err)
{
    struct crew *crew = calloc(1, sizeof *crew);
    *out = crew;
    if (crew == NULL) {
        return error_no_memory(err, "a reader");
    }
    crew->trade = trade;
    crew->context = context;
    crew->lead = lead;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->waiting, NULL);
    pthread_cond_init(&crew->ready, NULL);
    if (!slots_grow(crew, 1)) {
        crew_close(crew);
        *out = NULL;
        return error_no_memory(err, "a reader");
    }
    return 0;
}

void crew_close(struct crew *crew)
{
    if (crew == NULL) {
        return;
    }
    send_away(crew);
    for (int i = 0; i < crew->n_slots; i++) {
        free(crew->slots[i].sequences);
        crew->trade->result_free(crew->slots[i].result);
    }
    free(crew->slots);
    pthread_cond_destroy(&crew->ready);
    pthread_cond_destroy(&crew->waiting);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}
