/* The logbook: one SQLite file that holds every routing decision of many runs beside their losses, loads
 * and configuration. This header opens it and writes it; sql/read.h reads it. What each relation means is
 * said in sql/schema.sql. Only one connection writes; readers open read-only and never lock it. */
#ifndef SQL_LOGBOOK_H
#define SQL_LOGBOOK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { LOGBOOK_APPLICATION_ID = 0x4D6F4573, LOGBOOK_SCHEMA_VERSION = 2, LOGBOOK_PAGE_SIZE = 32768 };
enum { LOGBOOK_WINDOW_STEPS = 100 }; /* of training, in load_window_block and the .sql files about it */
enum { LOGBOOK_MAX_LAYERS = 1024 };  /* a block's rowid is sequence_id * 1024 + layer */

struct logbook;

/* Opens an existing logbook read-only, also one of an older schema. STATUS_INPUT when it is missing, not a
 * logbook, or of a newer schema. */
int logbook_open(struct logbook **lb, const char *path, struct error *err);
/* Whether a file in WAL mode came without its WAL. A copy that was made while a run wrote lacks the last
 * steps, or mixes old pages with new ones; a file that somebody tidied up after a kill is whole. */
bool logbook_lacks_wal(const struct logbook *lb);
/* Opens for writing, creating the file and its schema where there is none. WAL while open, but on a network
 * file system (sql/filesystem.h), where readers and the writer wait for each other instead. Every call that
 * meets another program's transaction waits for it, a minute or the environment's MOESCOPE_WAIT in seconds,
 * then fails with STATUS_MACHINE. STATUS_INPUT when it is of an older schema: only logbook_migrate changes
 * that. */
int logbook_open_writable(struct logbook **lb, const char *path, struct error *err);
/* The name of the network file system for whose sake the logbook has no WAL; NULL: it has. */
const char *logbook_remote(const struct logbook *lb);
/* A writable logbook leaves WAL mode so that the file stands alone. False when it cannot, because somebody
 * has it open still or the disk is full: then the last steps are in PATH-wal, and the next writer's close
 * puts them into the file. Safe on NULL. */
bool logbook_close(struct logbook *lb);

/* From here on all that is written, by whichever function, is one transaction: it is there after
 * logbook_end_whole with result 0, and else, or when the program is killed, the logbook is as it was. Memory
 * stays bounded. What fails in between takes all of it back, and everything after fails for the same reason.
 */
int logbook_begin_whole(struct logbook *lb, struct error *err);
/* Writers are closed before. Returns -1 when `result` is not 0, or when it cannot be committed. */
int logbook_end_whole(struct logbook *lb, int result, struct error *err);

/* ---- what runs are made of ---- */

struct logbook_label {
    const char *key, *value;
};

struct logbook_document {
    const char *name, *domain, *sha256, *split; /* split: train, valid, probe, routed */
    int64_t n_bytes, n_tokens;                  /* n_tokens: predictions, one less than its ids */
    const struct logbook_label *labels;
    int n_labels;
};

struct logbook_token {
    const char *text; /* UTF-8, spaces as spaces; byte pieces that are no character as <0xE3> */
    const char *kind; /* piece, byte, special */
    int64_t train_count;
};

struct logbook_corpus {
    const char *name, *sha256;
    const char *vocabulary_name, *vocabulary_sha256;
    const struct logbook_token *tokens;
    int n_tokens;
    const struct logbook_document *documents;
    int n_documents;
};

/* Stores corpus, vocabulary, domains and documents unless the same sha256 is there already, in one
 * transaction. document_ids[i] and domain_ids[i] (caller's, n_documents each) receive the ids of document i.
 */
int logbook_add_corpus(struct logbook *lb, const struct logbook_corpus *corpus, int64_t *corpus_id,
                       int64_t *vocabulary_id, int64_t *document_ids, int64_t *domain_ids, struct error *err);

/* More documents of a corpus that is there: those of `corpus`, of which nothing else is looked at. */
int logbook_add_documents(struct logbook *lb, int64_t corpus_id, const struct logbook_corpus *corpus,
                          int64_t *document_ids, int64_t *domain_ids, struct error *err);

struct logbook_layer {
    int layer; /* block index; dense blocks have no row */
    const char *router;
    int n_experts;
    int k;                     /* 0: varies by token, stored as NULL */
    int64_t expert_parameters; /* of each routed expert */
    const int64_t *each;       /* (n_experts) the same where they differ; NULL: they do not */
    int n_shared; /* shared experts, numbered n_experts and on; they have rows in `expert` alone */
    int64_t shared_parameters; /* of each of them */
};

struct logbook_setting { /* value_json is a JSON value: 3, 0.5, true, "topk", [1,2] */
    const char *key, *value_json;
};

struct logbook_run {
    const char
        *uuid; /* NULL: random. Ranks of one data-parallel run share it, each in a logbook of its own */
    const char *name, *task, *router, *program;
    const char *machine_json;
    int64_t seed, corpus_id, vocabulary_id; /* ids 0: none */
    const struct logbook_setting *config;
    int n_config;
    const struct logbook_layer *layers;
    int n_layers;
};

/* A new run with status running. The name being taken is STATUS_USAGE and says so. */
int logbook_begin_run(struct logbook *lb, const struct logbook_run *run, int64_t *run_id, struct error *err);
/* Goes on with the run of that name: deletes everything it logged for steps >= step in one transaction
 * (expensive only in what it deletes), status running, event "resumed". STATUS_INPUT when there is none. */
int logbook_resume_run(struct logbook *lb, const char *name, int64_t step, int64_t *run_id,
                       struct error *err);
/* status: finished, interrupted, failed, imported. */
int logbook_end_run(struct logbook *lb, int64_t run_id, const char *status, struct error *err);

/* ---- the writer: a thread behind a bounded queue ---- */

struct logbook_writer;
struct logbook_batch; /* what one training step, or one evaluation, adds: stored whole or not at all */

/* Memory is bounded: the batch that is being filled, the queue, and for the batches to come at most an eighth
 * of the queue's bytes. Who commits to a full queue waits. */
struct logbook_writer_options {
    int queue_batches;  /* at most this many batches wait (default 32 when 0) */
    int gate_bits;      /* 8 or 16 */
    size_t queue_bytes; /* nor do they hold more bytes than this (default 64 MiB when 0); a batch that is
                           larger waits alone */
};

int logbook_writer_open(struct logbook_writer **w, struct logbook *lb, int64_t run_id,
                        const struct logbook_writer_options *options, struct error *err);
/* Waits until all that was committed is on disk; reports what the thread met. */
int logbook_writer_drain(struct logbook_writer *w, struct error *err);
/* Drains, joins, frees; safe on NULL. The error of a failed write is reported once more. */
int logbook_writer_close(struct logbook_writer *w, struct error *err);

/* A fresh batch, or NULL with *err when memory is short or the thread has failed. Waits on a full queue.
 * The add functions copy what they are given; they cannot fail visibly: a batch that ran out of memory is
 * refused by commit. `split`: train, valid, probe, routed, seen. */
struct logbook_batch *logbook_batch_new(struct logbook_writer *w, struct error *err);
int logbook_batch_commit(struct logbook_batch *b, struct error *err); /* takes the batch, also on failure */
void logbook_batch_discard(struct logbook_batch *b);

/* NaN and infinities become NULL with status nan, +inf, -inf. */
void logbook_batch_metric(struct logbook_batch *b, int64_t step, const char *split, const char *name,
                          double value);
void logbook_batch_layer_metric(struct logbook_batch *b, int64_t step, const char *split, int layer,
                                const char *name, double value);

struct logbook_load {
    int64_t domain_id; /* 0: all domains */
    int layer, n_experts;
    const int64_t *assignments, *dropped;     /* (n_experts); dropped NULL: none */
    const double *gate_sum, *probability_sum; /* (n_experts); NULL: unknown, as in some imports */
};
void logbook_batch_load(struct logbook_batch *b, int64_t step, const char *split,
                        const struct logbook_load *load);
void logbook_batch_document_loss(struct logbook_batch *b, int64_t step, const char *split,
                                 int64_t document_id, int64_t n_tokens, int64_t n_bytes, double loss_sum);
void logbook_batch_event(struct logbook_batch *b, int64_t step, const char *kind, int layer /* -1: none */,
                         int expert /* -1 */, double value /* NaN: none */, const char *message);
void logbook_batch_checkpoint(struct logbook_batch *b, int64_t step, const char *path, const char *sha256);

struct logbook_outcome {
    int target, prediction; /* classes */
    int exit;               /* where the model stopped; -1: it has one end */
    int64_t multiply_adds;  /* that it took; -1: not known */
};

struct logbook_sequence {
    int64_t document_id;
    int64_t offset; /* of its first input token within the document's ids */
    int n_tokens;
    const int32_t *ids;                    /* (n_tokens + 1): inputs, and the last target */
    const float *loss;                     /* (n_tokens) nats; NULL: not logged */
    const struct logbook_outcome *outcome; /* what a classifier said of it; NULL: nothing */
};
/* Returns a handle for the two functions below; sequence ids are given in this order. */
int logbook_batch_sequence(struct logbook_batch *b, int64_t step, const char *split,
                           const struct logbook_sequence *sequence);

struct logbook_block { /* the decisions of one sequence in one layer, token by token, each in slot order */
    int layer, n_experts;
    int k;                  /* decisions a token; 0: varies, given by offsets */
    const int32_t *offsets; /* (n_tokens + 1), offsets[0] any base; NULL when k > 0, or when there is none */
    const int32_t *expert;  /* (n_decisions) */
    const float *gate;      /* (n_decisions) raw probability or score */
    const uint8_t *dropped; /* (n_decisions) 0 or 1; NULL: none */
};
void logbook_batch_routing(struct logbook_batch *b, int sequence, const struct logbook_block *block);
/* probability: (n_tokens, n_experts), stride n_experts, each in [0, 1]; kept in 16 bits. */
void logbook_batch_probability(struct logbook_batch *b, int sequence, int layer, int n_experts,
                               const float *probability);

/* Bytes a run will add, by part, from the shape of a step; for the estimate printed before training. */
struct logbook_size_shape {
    int64_t steps, tokens_per_step, context, vocabulary, distinct_tokens;
    int moe_layers, n_experts, gate_bits;
    double k; /* mean decisions a token */
    double probe_passes, probe_tokens;
    int decisions; /* 0 none, 1 probe only, 2 all */
};
double logbook_size_estimate(const struct logbook_size_shape *shape);

#endif
