/* Writing a logbook: one SQLite file that holds every routing decision of many Mixture-of-Experts runs beside
 * their losses, loads and configuration. This header is all there is to include, and stands alone; it is
 * installed as <moescope.h> with libmoescope (docs/embedding.md). Reading is plain SQL: sql/schema.sql says
 * what each relation means.
 *
 *     moescope_open(&lb, "log.db", &err);
 *     moescope_add_corpus(lb, &corpus, &corpus_id, &vocabulary_id, document_ids, domain_ids, &err);
 *     moescope_begin_run(lb, &run, &run_id, &err);
 *     moescope_writer_open(&writer, lb, run_id, &options, &err);
 *     for each step:
 *         batch = moescope_batch_new(writer, &err);
 *         s = moescope_batch_sequence(batch, step, "train", &sequence);
 *         moescope_batch_routing(batch, s, &block);     for each MoE layer
 *         moescope_batch_metric(batch, step, "train", "loss", loss);
 *         moescope_batch_commit(batch, &err);
 *     moescope_writer_close(writer, &err);
 *     moescope_end_run(lb, run_id, "finished", &err);
 *     moescope_close(lb);
 *
 * Errors are values: what can fail returns 0, or -1 after filling in *err, which may be NULL. Nothing here
 * prints, exits, installs a signal handler or keeps state outside of what it returned.
 *
 * What cannot be stored, or not be read back, is MOESCOPE_USAGE with a reason, and nothing of it is stored:
 * NULL for what must be there, counts and steps below 0, numbers out of the ranges named below, a split that
 * is none of train, valid, probe, routed, seen. Batches tell it at their commit; they know the run's layers.
 *
 * Threads. Logbooks are independent of each other. Functions of one logbook or one writer may be called from
 * any thread, also at once; a batch belongs to one thread at a time. A logbook takes several writers, each of
 * a run of its own. Batches are stored in the order of their commits, which is to be that of their steps.
 * What closes (moescope_writer_close, moescope_close) is called once, when no other call on it is under way
 * or will follow, and writers before their logbook. A writer has a thread of its own, on which no signal is
 * handled. A child after fork() must leave the parent's logbooks alone and open its own. */
#ifndef SQL_MOESCOPE_H
#define SQL_MOESCOPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef moescope_error /* moescope's own sources have their own (sql/logbook.h) */
enum { MOESCOPE_USAGE = 2, MOESCOPE_INPUT = 3, MOESCOPE_MACHINE = 4 };

struct moescope_error {
    int status; /* the call is wrong; the file cannot be used; the machine failed: disk full, no memory */
    char text[1024]; /* UTF-8, one line, says what to do next where that is known */
};
#endif

/* "0.1.0", of the library that is running. */
const char *moescope_version(void);

/* ---- the file ---- */

struct moescope_logbook;

/* Opens for writing, creating the file and its schema where there is none. WAL while open, but on a network
 * file system, where readers and the writer wait for each other instead. Every call that meets another
 * program's transaction waits for it, a minute or the environment's MOESCOPE_WAIT in seconds, then fails with
 * MOESCOPE_MACHINE. MOESCOPE_INPUT when it is of an older schema: only `moescope migrate` changes that. */
int moescope_open(struct moescope_logbook **lb, const char *path, struct moescope_error *err);
/* Leaves WAL mode so that the file stands alone. False when it cannot, because somebody has it open still or
 * the disk is full: then the last steps are in PATH-wal, and the next writer's close puts them into the file.
 * Safe on NULL. */
bool moescope_close(struct moescope_logbook *lb);

/* ---- what runs are made of ---- */

struct moescope_label {
    const char *key, *value;
};

struct moescope_document {
    const char *name, *domain, *sha256, *split; /* the name is the corpus' only one; labels: a key once */
    int64_t n_bytes, n_tokens;                  /* n_tokens: predictions, one less than its ids */
    const struct moescope_label *labels;
    int n_labels;
};

struct moescope_token {
    const char *text; /* UTF-8, spaces as spaces; byte pieces that are no character as <0xE3> */
    const char *kind; /* piece, byte, special */
    int64_t train_count;
};

struct moescope_corpus {
    const char *name, *sha256;
    const char *vocabulary_name, *vocabulary_sha256;
    const struct moescope_token *tokens;
    int n_tokens;
    const struct moescope_document *documents;
    int n_documents;
};

/* Stores corpus, vocabulary, domains and documents unless the same sha256 is there already, in one
 * transaction. A vocabulary that is there must have the same tokens, or may be given without. document_ids[i]
 * and domain_ids[i] (caller's, n_documents each) receive the ids of document i.
 */
int moescope_add_corpus(struct moescope_logbook *lb, const struct moescope_corpus *corpus, int64_t *corpus_id,
                        int64_t *vocabulary_id, int64_t *document_ids, int64_t *domain_ids,
                        struct moescope_error *err);

struct moescope_layer {
    int layer; /* block index, 0 to 1023, each once; dense blocks have no row */
    const char *router;
    int n_experts;             /* 1 to 65536 */
    int k;                     /* at most n_experts; 0: varies by token, stored as NULL */
    int64_t expert_parameters; /* of each routed expert */
    const int64_t *each;       /* (n_experts) the same where they differ; NULL: they do not */
    int n_shared; /* shared experts, numbered n_experts and on; they have rows in `expert` alone */
    int64_t shared_parameters; /* of each of them */
};

struct moescope_setting { /* value_json is a JSON value: 3, 0.5, true, "topk", [1,2] */
    const char *key, *value_json;
};

struct moescope_run {
    const char
        *uuid; /* NULL: random. Ranks of one data-parallel run share it, each in a logbook of its own */
    const char *name, *task, *router, *program;
    const char *machine_json;
    int64_t seed, corpus_id, vocabulary_id; /* ids 0: none */
    const struct moescope_setting *config;
    int n_config;
    const struct moescope_layer *layers;
    int n_layers;
};

/* A new run with status running. Refused are a name or a uuid that is taken, an empty name, a corpus or a
 * vocabulary that is not there, a setting twice or whose value is no JSON. */
int moescope_begin_run(struct moescope_logbook *lb, const struct moescope_run *run, int64_t *run_id,
                       struct moescope_error *err);
/* Goes on with the run of that name: deletes everything it logged for steps >= step in one transaction
 * (expensive only in what it deletes), status running, event "resumed". MOESCOPE_INPUT when there is none. */
int moescope_resume_run(struct moescope_logbook *lb, const char *name, int64_t step, int64_t *run_id,
                        struct moescope_error *err);
/* status: finished, interrupted, failed, imported; any other is refused. */
int moescope_end_run(struct moescope_logbook *lb, int64_t run_id, const char *status,
                     struct moescope_error *err);

/* ---- the writer: a thread behind a bounded queue ---- */

struct moescope_writer;
struct moescope_batch; /* what one training step, or one evaluation, adds: stored whole or not at all */

/* Memory is bounded: the batch that is being filled, the queue, and for the batches to come at most an eighth
 * of the queue's bytes. Who commits to a full queue waits. */
struct moescope_writer_options {
    int queue_batches;  /* at most this many batches wait (default 32 when 0) */
    int gate_bits;      /* 8 or 16 */
    size_t queue_bytes; /* nor do they hold more bytes than this (default 64 MiB when 0); a batch that is
                           larger waits alone */
    /* Every batch gets the loads that follow from the decisions logged into it, of each layer, also by domain
     * outside of `train`; a load that the caller logs takes the place of the derived one. Right only for who
     * logs every token's decisions. */
    bool derive_loads;
};

/* Of a run that is running, that is, was begun or resumed and has not ended. */
int moescope_writer_open(struct moescope_writer **w, struct moescope_logbook *lb, int64_t run_id,
                         const struct moescope_writer_options *options, struct moescope_error *err);
/* Waits until all that was committed is on disk; reports what the thread met. */
int moescope_writer_drain(struct moescope_writer *w, struct moescope_error *err);
/* Drains, joins, frees; safe on NULL. The error of a failed write is reported once more. */
int moescope_writer_close(struct moescope_writer *w, struct moescope_error *err);

/* A fresh batch, or NULL with *err when memory is short or the thread has failed. Waits on a full queue.
 * The add functions copy what they are given; they cannot fail visibly: a batch that ran out of memory, or
 * was given what it does not take, is refused by commit, for the first reason. Layers are those that the run
 * was begun with, of as many experts. */
struct moescope_batch *moescope_batch_new(struct moescope_writer *w, struct moescope_error *err);
int moescope_batch_commit(struct moescope_batch *b,
                          struct moescope_error *err); /* takes the batch, also on failure */
void moescope_batch_discard(struct moescope_batch *b);

/* NaN and infinities become NULL with status nan, +inf, -inf. */
void moescope_batch_metric(struct moescope_batch *b, int64_t step, const char *split, const char *name,
                           double value);
void moescope_batch_layer_metric(struct moescope_batch *b, int64_t step, const char *split, int layer,
                                 const char *name, double value);

struct moescope_load {
    int64_t domain_id; /* 0: all domains */
    int layer, n_experts;
    const int64_t *assignments, *dropped;     /* (n_experts) of 0 to 2^40; dropped NULL: none */
    const double *gate_sum, *probability_sum; /* (n_experts); NULL: unknown, as in some imports */
};
void moescope_batch_load(struct moescope_batch *b, int64_t step, const char *split,
                         const struct moescope_load *load);
void moescope_batch_document_loss(struct moescope_batch *b, int64_t step, const char *split,
                                  int64_t document_id, int64_t n_tokens, int64_t n_bytes, double loss_sum);
void moescope_batch_event(struct moescope_batch *b, int64_t step, const char *kind, int layer /* -1: none */,
                          int expert /* -1 */, double value /* NaN: none */, const char *message);
void moescope_batch_checkpoint(struct moescope_batch *b, int64_t step, const char *path, const char *sha256);

struct moescope_outcome {
    int target, prediction; /* classes */
    int exit;               /* where the model stopped; -1: it has one end */
    int64_t multiply_adds;  /* that it took; -1: not known */
};

struct moescope_sequence {
    int64_t document_id;
    int64_t offset;                         /* of its first input token within the document's ids */
    int n_tokens;                           /* 1 to 65535 */
    const int32_t *ids;                     /* (n_tokens + 1) of 0 and more: inputs, and the last target */
    const float *loss;                      /* (n_tokens) nats; NULL: not logged */
    const struct moescope_outcome *outcome; /* what a classifier said of it; NULL: nothing */
    int64_t domain_id;                      /* its document's, for derive_loads; 0: in no load of a domain */
};
/* Returns a handle for the two functions below, -1 when it is refused; sequence ids are given in this order.
 */
int moescope_batch_sequence(struct moescope_batch *b, int64_t step, const char *split,
                            const struct moescope_sequence *sequence);

/* The decisions of one sequence in one layer, token by token, each in slot order. A token's experts are to
 * differ, which is not looked at. */
struct moescope_block {
    int layer, n_experts;
    int k; /* decisions a token, as many as the run's layer has unless those vary; 0: given by offsets */
    const int32_t *offsets; /* (n_tokens + 1) from any base, never falling, at most n_experts a token and
                               65535 in all; NULL when k > 0, or when there is no decision */
    const int32_t *expert;  /* (n_decisions), at most 2^24 */
    const float *gate;      /* (n_decisions) raw probability or score, 0 or more; NULL: unknown */
    const uint8_t *dropped; /* (n_decisions) 0: accepted, any other: dropped; NULL: none */
    /* (n_tokens, n_experts) the router's, summed by derive_loads and not stored; NULL: the sum is unknown */
    const float *probability;
};
void moescope_batch_routing(struct moescope_batch *b, int sequence, const struct moescope_block *block);
/* probability: (n_tokens, n_experts), stride n_experts, each in [0, 1] but for 1/128 above, which rounding to
 * bfloat16 may do; kept in 16 bits. */
void moescope_batch_probability(struct moescope_batch *b, int sequence, int layer, int n_experts,
                                const float *probability);

#ifdef __cplusplus
}
#endif
#endif
