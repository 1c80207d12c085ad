/* What one training step adds to the logbook, packed as it will be stored; private to sql/. The engine's
 * thread fills a batch (sql/batch.c), the writer's thread stores it (sql/writer.c, sql/store.c). */
#ifndef SQL_BATCH_H
#define SQL_BATCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sql/db.h"
#include "sql/logbook.h"
#include "sql/windows.h"

/* Bytes in the batch's buffer, which moves as it grows. at NONE: a NULL. */
struct span {
    size_t at, n;
};

struct batch_metric {
    int64_t step;
    struct span split, name;
    int layer; /* -1: of the whole model */
    double value;
};

struct batch_load {
    int64_t step, domain_id;
    struct span split, experts;
    struct span
        numbers; /* struct load_numbers of each expert, for the window's sums; at NONE: of no window */
    int layer, n_experts;
};

struct batch_document_loss {
    int64_t step, document_id, n_tokens, n_bytes;
    struct span split;
    double loss_sum;
};

struct batch_event {
    int64_t step;
    struct span kind, message;
    int layer, expert;
    double value;
};

struct batch_checkpoint {
    int64_t step;
    struct span path, sha256;
};

struct batch_sequence {
    int64_t step, document_id, domain_id, offset;
    int64_t sequence_id; /* known once it is stored */
    int n_tokens;
    struct span split, tokens, losses;
    uint32_t checksum; /* of losses */
    bool classified;
    struct moescope_outcome outcome;
};

struct batch_block {
    int sequence, layer, k;
    const struct codec *codec;
    double scale;
    struct span experts, gates, offsets, dropped;
    uint32_t checksum;
};

struct batch_probability {
    int sequence, layer, n_experts;
    struct span p;
    uint32_t checksum;
};

struct run_layer; /* sql/refuse.h */

/* A load that follows from the decisions: struct derived of sql/derived.c. */
struct derived;

/* A growing array of one kind of item. */
struct list {
    void *items;
    int n, capacity;
};

struct moescope_batch {
    struct moescope_writer *writer;
    const struct run_layer *layers; /* [LOGBOOK_MAX_LAYERS] the writer's */
    struct moescope_batch *next;    /* in the writer's queue */
    int gate_bytes;
    bool derive_loads;
    int longest; /* the largest count of anything in a block: what _integer must reach */
    uint8_t *bytes;
    size_t length, capacity;
    size_t list_bytes; /* that the lists hold */
    bool failed;       /* *err says why: no memory, or something that cannot be stored */
    struct error err;
    struct list metrics, loads, document_losses, events, checkpoints, sequences, blocks, probabilities,
        derived;
};

struct moescope_batch *batch_new(struct moescope_writer *w, const struct run_layer *layers, int gate_bits,
                                 bool derive_loads);
void batch_free(struct moescope_batch *b);           /* safe on NULL */
void batch_clear(struct moescope_batch *b);          /* as new, but its memory is kept */
size_t batch_memory(const struct moescope_batch *b); /* bytes it holds, used or not */
/* Puts blocks and probabilities into the order of their ids, so that pages fill up one after the other. */
void batch_sort(struct moescope_batch *b);
/* A zeroed item of `size` bytes at the end of a list; NULL, and the batch has failed, when memory is short.
 */
void *batch_add(struct moescope_batch *b, struct list *list, size_t size);
void batch_fail_memory(struct moescope_batch *b);
/* As moescope_batch_load; sums that are not finite are unknown here, which is nothing to tell. */
void batch_load(struct moescope_batch *b, int64_t step, const char *split, const struct moescope_load *load);
const char *batch_string(const struct moescope_batch *b, struct span span);
struct piece batch_piece(const struct moescope_batch *b, struct span span);

/* ---- loads that are derived (sql/derived.c) ---- */

/* Counts a block that has been found to be sound. */
void derived_add(struct moescope_batch *b, const struct batch_sequence *s, const struct moescope_block *block,
                 int64_t n_decisions);
/* Logs them, but for those that the caller has logged. */
void derived_log(struct moescope_batch *b);
void derived_clear(struct moescope_batch *b);

/* Stores a batch, inside a transaction of the caller's. */
struct store;
int store_open(struct store **s, struct logbook *lb, int64_t run_id, struct error *err);
int store_batch(struct store *s, struct moescope_batch *b, struct error *err);
/* The transaction was rolled back: what was learnt in it is forgotten. */
void store_forget(struct store *s);
void store_close(struct store *s); /* safe on NULL */

#endif
