/* Decisions, tokens, losses and probabilities in bulk: blobs straight into arrays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/db.h"
#include "sql/read.h"

/* One cursor serves both kinds of block: the sequences outside, the blocks of each inside. The reader of a
 * kind begins with it. */
struct cursor {
    struct logbook *lb;
    struct statement passes, sequence, blocks;
    int layer; /* -1: all */
    bool in_sequence, done;
    int n_experts[LOGBOOK_MAX_LAYERS]; /* of the run's layers; 0: not an MoE layer */
    /* The sequence the cursor is in. */
    int64_t sequence_id, step, sample_id, document_id, domain_id, offset;
    char split[16];
    int n_tokens;
    int32_t *ids; /* (n_tokens + 1) */
    float *loss;  /* (n_tokens) */
    size_t token_capacity;
};

static int corrupt(struct cursor *c, const char *what, struct error *err)
{
    return error_set(err, STATUS_INPUT, "'%s' is damaged: sequence %lld: %s; `moescope check` says more",
                     c->lb->path, (long long)c->sequence_id, what);
}

/* ---- open and close ---- */

static void cursor_close(struct cursor *c)
{
    statement_close(&c->passes);
    statement_close(&c->sequence);
    statement_close(&c->blocks);
    free(c->ids);
    free(c->loss);
}

static int read_layers(struct cursor *c, int64_t run_id, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, c->lb, "store/layers", err);
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        while ((result = statement_step(&s, err)) == 1) {
            int64_t layer = sqlite3_column_int64(s.handle, 0);
            if (layer >= 0 && layer < LOGBOOK_MAX_LAYERS) {
                c->n_experts[layer] = sqlite3_column_int(s.handle, 1);
            }
        }
    }
    statement_close(&s);
    return result;
}

static int cursor_open(struct cursor *c, struct logbook *lb, const char *blocks,
                       const struct block_filter *filter, struct error *err)
{
    c->lb = lb;
    c->layer = filter->layer;
    if (statement_open(&c->passes, lb, "store/passes", err) != 0 ||
        statement_open(&c->sequence, lb, "store/sequence", err) != 0 ||
        statement_open(&c->blocks, lb, blocks, err) != 0 || read_layers(c, filter->run_id, err) != 0) {
        cursor_close(c);
        return -1;
    }
    statement_int(&c->passes, ":run", filter->run_id);
    statement_text_copy(&c->passes, ":split", filter->split);
    statement_int(&c->passes, ":first_step", filter->first_step);
    statement_int(&c->passes, ":last_step", filter->last_step);
    return 0;
}

/* A reader of so many bytes, zeroed but for its cursor, which comes first; NULL on failure. */
static void *reader_new(size_t size, struct logbook *lb, const char *blocks,
                        const struct block_filter *filter, struct error *err)
{
    struct cursor *c = calloc(1, size);
    if (c == NULL) {
        (void)error_no_memory(err, "a reader of blocks");
    } else if (cursor_open(c, lb, blocks, filter, err) != 0) {
        free(c);
        c = NULL;
    }
    return c;
}

/* ---- sequences ---- */

static bool reserve_tokens(struct cursor *c, size_t n)
{
    if (c->ids != NULL && n <= c->token_capacity) {
        return true;
    }
    free(c->ids);
    free(c->loss);
    c->token_capacity = 0;
    c->ids = malloc((n + 1) * sizeof *c->ids);
    c->loss = malloc((n + 1) * sizeof *c->loss);
    if (c->ids == NULL || c->loss == NULL) {
        return false;
    }
    c->token_capacity = n;
    return true;
}

static int decode_tokens(struct cursor *c, struct piece tokens, struct error *err)
{
    size_t n = (size_t)c->n_tokens + 1;
    if (tokens.n != 2 * n && tokens.n != 4 * n) {
        return corrupt(c, "length of tokens", err);
    }
    unpack_integers(c->ids, tokens.n == 2 * n ? 2 : 4, tokens.bytes, n);
    return 0;
}

static int decode_losses(struct cursor *c, struct piece losses, uint32_t checksum, struct error *err)
{
    size_t n = (size_t)c->n_tokens;
    if (losses.bytes == NULL) {
        for (size_t i = 0; i < n; i++) {
            static const uint8_t none[2] = {0xff, 0xff};
            unpack_losses(&c->loss[i], none, 1);
        }
        return 0;
    }
    if (losses.n != 2 * n) {
        return corrupt(c, "length of losses", err);
    }
    if (piece_checksum(&losses, 1) != checksum) {
        return corrupt(c, "checksum of losses", err);
    }
    unpack_losses(c->loss, losses.bytes, n);
    return 0;
}

/* The rest of the sequence that c->passes stands on. */
static int read_sequence(struct cursor *c, struct error *err)
{
    sqlite3_stmt *row = c->sequence.handle;
    statement_int(&c->sequence, ":sequence", c->sequence_id);
    int result = statement_step(&c->sequence, err);
    if (result != 1) {
        return result == 0 ? corrupt(c, "no sample", err) : -1;
    }
    c->sample_id = sqlite3_column_int64(row, 0);
    c->document_id = sqlite3_column_int64(row, 1);
    c->domain_id = sqlite3_column_int64(row, 2);
    c->offset = sqlite3_column_int64(row, 3);
    c->n_tokens = sqlite3_column_int(row, 4);
    if (c->n_tokens < 0) {
        result = corrupt(c, "number of tokens", err);
    } else if (!reserve_tokens(c, (size_t)c->n_tokens)) {
        result = error_no_memory(err, "a sequence's tokens");
    } else {
        uint32_t checksum = (uint32_t)sqlite3_column_int64(row, 7);
        result = decode_tokens(c, statement_column_blob(&c->sequence, 5), err);
        if (result == 0) {
            result = decode_losses(c, statement_column_blob(&c->sequence, 6), checksum, err);
        }
    }
    statement_reset(&c->sequence);
    return result;
}

/* 1: the next sequence has been read, 0: no more, -1. */
static int next_sequence(struct cursor *c, struct error *err)
{
    int result = statement_step(&c->passes, err);
    if (result != 1) {
        return result;
    }
    c->sequence_id = sqlite3_column_int64(c->passes.handle, 0);
    c->step = sqlite3_column_int64(c->passes.handle, 1);
    const char *split = (const char *)sqlite3_column_text(c->passes.handle, 2);
    snprintf(c->split, sizeof c->split, "%s", split != NULL ? split : "");
    if (read_sequence(c, err) != 0) {
        return -1;
    }
    int64_t first = c->sequence_id * LOGBOOK_MAX_LAYERS;
    statement_int(&c->blocks, ":first_block", c->layer < 0 ? first : first + c->layer);
    statement_int(&c->blocks, ":last_block",
                  c->layer < 0 ? first + LOGBOOK_MAX_LAYERS - 1 : first + c->layer);
    c->in_sequence = true;
    return 1;
}

/* 1: c->blocks stands on the next block, 0: no more, -1. */
static int cursor_next(struct cursor *c, struct error *err)
{
    for (;;) {
        if (c->in_sequence) {
            int result = statement_step(&c->blocks, err);
            if (result != 0) {
                return result;
            }
            c->in_sequence = false;
        }
        int result = c->done ? 0 : next_sequence(c, err);
        if (result != 1) {
            c->done = true; /* stepping on would begin anew */
            return result;
        }
    }
}

/* ---- decisions ---- */

struct blocks {
    struct cursor cursor;
    struct decisions decisions;
};

int blocks_open(struct blocks **out, struct logbook *lb, const struct block_filter *filter, struct error *err)
{
    *out = reader_new(sizeof **out, lb, "store/routing_blocks", filter, err);
    return *out != NULL ? 0 : -1;
}

static int decode_block(struct blocks *bs, int layer, struct error *err)
{
    struct cursor *c = &bs->cursor;
    struct statement *s = &c->blocks;
    const char *codec = (const char *)sqlite3_column_text(s->handle, 1);
    const struct packed_block packed = {
        .codec = codec_by_name(codec != NULL ? codec : ""),
        .k = sqlite3_column_int(s->handle, 2),
        .scale = sqlite3_column_double(s->handle, 3),
        .experts = statement_column_blob(s, 4),
        .gates = statement_column_blob(s, 5),
        .offsets = statement_column_blob(s, 6),
        .dropped = statement_column_blob(s, 7),
    };
    if (packed.codec == NULL) {
        return corrupt(c, "an unknown codec", err);
    }
    if (packed_block_checksum(&packed) != (uint32_t)sqlite3_column_int64(s->handle, 8)) {
        return corrupt(c, "checksum of a routing block", err);
    }
    const char *wrong = packed_block_decode(&packed, c->n_tokens, c->n_experts[layer], &bs->decisions);
    return wrong == NULL ? 0 : corrupt(c, wrong, err);
}

int blocks_next(struct blocks *bs, struct block *block, struct error *err)
{
    struct cursor *c = &bs->cursor;
    int result = cursor_next(c, err);
    if (result != 1) {
        return result;
    }
    int layer = sqlite3_column_int(c->blocks.handle, 0);
    if (decode_block(bs, layer, err) != 0) {
        return -1;
    }
    *block = (struct block){
        .step = c->step,
        .sequence_id = c->sequence_id,
        .sample_id = c->sample_id,
        .document_id = c->document_id,
        .domain_id = c->domain_id,
        .offset = c->offset,
        .split = c->split,
        .layer = layer,
        .n_experts = c->n_experts[layer],
        .n_tokens = c->n_tokens,
        .n_decisions = bs->decisions.n,
        .offsets = bs->decisions.offsets,
        .expert = bs->decisions.expert,
        .gate = bs->decisions.gate,
        .dropped = bs->decisions.dropped,
        .ids = c->ids,
        .loss = c->loss,
    };
    return 1;
}

void blocks_close(struct blocks *bs)
{
    if (bs != NULL) {
        cursor_close(&bs->cursor);
        decisions_release(&bs->decisions);
        free(bs);
    }
}

/* ---- probabilities ---- */

struct probabilities {
    struct cursor cursor;
    float *probability; /* (n_tokens, n_experts) */
    size_t capacity;
};

int probabilities_open(struct probabilities **out, struct logbook *lb, const struct block_filter *filter,
                       struct error *err)
{
    *out = reader_new(sizeof **out, lb, "store/probability_blocks", filter, err);
    return *out != NULL ? 0 : -1;
}

static int decode_probabilities(struct probabilities *ps, int n_experts, struct error *err)
{
    struct cursor *c = &ps->cursor;
    struct piece p = statement_column_blob(&c->blocks, 2);
    size_t n = (size_t)c->n_tokens * (size_t)(n_experts > 0 ? n_experts : 0);
    if (p.n != 2 * n) {
        return corrupt(c, "length of probabilities", err);
    }
    if (piece_checksum(&p, 1) != (uint32_t)sqlite3_column_int64(c->blocks.handle, 3)) {
        return corrupt(c, "checksum of probabilities", err);
    }
    if (n > ps->capacity || ps->probability == NULL) {
        free(ps->probability);
        ps->capacity = 0;
        ps->probability = malloc((n + 1) * sizeof *ps->probability);
        if (ps->probability == NULL) {
            return error_no_memory(err, "router probabilities");
        }
        ps->capacity = n;
    }
    unpack_fraction(ps->probability, 2, 1, p.bytes, n);
    return 0;
}

int probabilities_next(struct probabilities *ps, struct probability_block *block, struct error *err)
{
    struct cursor *c = &ps->cursor;
    int result = cursor_next(c, err);
    if (result != 1) {
        return result;
    }
    int n_experts = sqlite3_column_int(c->blocks.handle, 1);
    if (decode_probabilities(ps, n_experts, err) != 0) {
        return -1;
    }
    *block = (struct probability_block){
        .step = c->step,
        .sequence_id = c->sequence_id,
        .sample_id = c->sample_id,
        .document_id = c->document_id,
        .domain_id = c->domain_id,
        .layer = sqlite3_column_int(c->blocks.handle, 0),
        .n_experts = n_experts,
        .n_tokens = c->n_tokens,
        .probability = ps->probability,
        .ids = c->ids,
    };
    return 1;
}

void probabilities_close(struct probabilities *ps)
{
    if (ps != NULL) {
        cursor_close(&ps->cursor);
        free(ps->probability);
        free(ps);
    }
}
