#include "sql/refuse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sql/batch.h"
#include "sql/db.h"
#include "sql/loads.h"

/* ---- calls ---- */

int refuse_null(const void *argument, const char *what, struct error *err)
{
    return argument != NULL ? 0 : error_set(err, STATUS_USAGE, "%s may not be NULL", what);
}

static bool split_is_known(const char *split)
{
    static const char *const splits[] = {"train", "valid", "probe", "routed", "seen"};
    for (size_t i = 0; split != NULL && i < sizeof splits / sizeof splits[0]; i++) {
        if (strcmp(split, splits[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char known_splits[] = "a split is train, valid, probe, routed or seen";

int refuse_split(const char *split, struct error *err)
{
    if (split_is_known(split)) {
        return 0;
    }
    return error_set(err, STATUS_USAGE, "%s, not '%s'", known_splits, split != NULL ? split : "NULL");
}

/* ---- the layers of a run ---- */

static int refuse_ended(struct logbook *lb, int64_t run_id, struct error *err)
{
    struct statement s;
    int result = statement_open(&s, lb, "store/run_status", err);
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        result = statement_step(&s, err);
    }
    if (result == 0) {
        result = error_set(err, STATUS_USAGE, "'%s' has no run %lld to write", lb->path, (long long)run_id);
    } else if (result == 1) {
        const char *name = (const char *)sqlite3_column_text(s.handle, 0),
                   *status = (const char *)sqlite3_column_text(s.handle, 1);
        result =
            status != NULL && strcmp(status, "running") == 0
                ? 0
                : error_set(err, STATUS_USAGE, "the run '%s' of '%s' is %s; resume it before more is written",
                            name, lb->path, status);
    }
    statement_close(&s);
    return result;
}

int run_layers_read(struct logbook *lb, int64_t run_id, struct run_layer layers[], struct error *err)
{
    struct statement s;
    if (refuse_ended(lb, run_id, err) != 0) {
        return -1;
    }
    int result = statement_open(&s, lb, "store/run_layers", err);
    if (result == 0) {
        statement_int(&s, ":run", run_id);
        while ((result = statement_step(&s, err)) == 1) {
            layers[sqlite3_column_int(s.handle, 0)] =
                (struct run_layer){.n_experts = sqlite3_column_int(s.handle, 1),
                                   .k = sqlite3_column_int(s.handle, 2),
                                   .n_all = sqlite3_column_int(s.handle, 3)};
        }
    }
    statement_close(&s);
    return result;
}

/* ---- batches ---- */

bool batch_refuse(struct moescope_batch *b, const char *format, ...)
{
    char why[512];
    va_list arguments;
    if (!b->failed) {
        va_start(arguments, format);
        vsnprintf(why, sizeof why, format, arguments);
        va_end(arguments);
        b->failed = true;
        (void)error_set(&b->err, STATUS_USAGE, "cannot log the %s", why);
    }
    return false;
}

bool batch_has(struct moescope_batch *b, const void *value, const char *what, const char *argument)
{
    return value != NULL || batch_refuse(b, "%s: %s may not be NULL", what, argument);
}

bool batch_takes_step(struct moescope_batch *b, const char *what, int64_t step)
{
    return step >= 0 || batch_refuse(b, "%s of step %lld: steps are counted from 0", what, (long long)step);
}

bool batch_takes(struct moescope_batch *b, const char *what, int64_t step, const char *split)
{
    if (b->failed || !batch_takes_step(b, what, step)) {
        return false;
    }
    return split_is_known(split) || batch_refuse(b, "%s of step %lld: %s, not '%s'", what, (long long)step,
                                                 known_splits, split != NULL ? split : "NULL");
}

bool batch_takes_layer(struct moescope_batch *b, const char *what, int layer)
{
    if (layer < 0 || layer >= LOGBOOK_MAX_LAYERS) {
        return batch_refuse(b, "%s of layer %d: a logbook holds layers 0 to %d", what, layer,
                            LOGBOOK_MAX_LAYERS - 1);
    }
    return b->layers[layer].n_experts > 0 ||
           batch_refuse(b, "%s of layer %d: the run was begun without this MoE layer", what, layer);
}

bool batch_takes_experts(struct moescope_batch *b, const char *what, int layer, int n_experts)
{
    if (!batch_takes_layer(b, what, layer)) {
        return false;
    }
    return n_experts == b->layers[layer].n_experts ||
           batch_refuse(b, "%s of layer %d: of %d experts, and the run was begun with %d there", what, layer,
                        n_experts, b->layers[layer].n_experts);
}

bool batch_takes_event(struct moescope_batch *b, int64_t step, const char *kind, int layer, int expert)
{
    static const char what[] = "event";
    if (b->failed || !batch_takes_step(b, what, step) || !batch_has(b, kind, what, "its kind")) {
        return false;
    }
    if (layer == -1 && expert == -1) {
        return true;
    }
    if (!batch_takes_layer(b, what, layer)) {
        return false;
    }
    return (expert >= -1 && expert < b->layers[layer].n_all) ||
           batch_refuse(b, "%s of layer %d: it has no expert %d but %d", what, layer, expert,
                        b->layers[layer].n_all);
}

/* ---- loads ---- */

static bool counts_fit(const int64_t *counts, int n)
{
    for (int e = 0; counts != NULL && e < n; e++) {
        if (counts[e] < 0 || counts[e] > load_most) {
            return false;
        }
    }
    return true;
}

bool batch_takes_load(struct moescope_batch *b, int64_t step, const char *split,
                      const struct moescope_load *load)
{
    static const char what[] = "load";
    if (!batch_takes(b, what, step, split) || !batch_has(b, load, what, "it") ||
        !batch_takes_experts(b, what, load->layer, load->n_experts) ||
        !batch_has(b, load->assignments, what, "its assignments")) {
        return false;
    }
    return (counts_fit(load->assignments, load->n_experts) && counts_fit(load->dropped, load->n_experts)) ||
           batch_refuse(b, "%s of layer %d: a count is below 0 or above 2^40", what, load->layer);
}

/* ---- sequences ---- */

bool batch_takes_sequence(struct moescope_batch *b, int64_t step, const char *split,
                          const struct moescope_sequence *sequence)
{
    static const char what[] = "sequence";
    if (!batch_takes(b, what, step, split) || !batch_has(b, sequence, what, "it") ||
        !batch_has(b, sequence->ids, what, "its ids")) {
        return false;
    }
    if (sequence->n_tokens < 1 || sequence->n_tokens > CODEC_MAX_DECISIONS) {
        return batch_refuse(b, "%s of step %lld: %d tokens; a sequence has 1 to %d", what, (long long)step,
                            sequence->n_tokens, CODEC_MAX_DECISIONS);
    }
    return (sequence->offset >= 0 && sequence->offset <= INT64_MAX - sequence->n_tokens) ||
           batch_refuse(b, "%s of step %lld: its offset is %lld", what, (long long)step,
                        (long long)sequence->offset);
}

/* ---- decisions ---- */

/* No token has fewer decisions than none, nor more than there are experts. */
static bool offsets_are_sound(const int32_t *offsets, int n_tokens, int n_experts)
{
    bool sound = true;
    for (int t = 0; t < n_tokens; t++) {
        int64_t n = (int64_t)offsets[t + 1] - offsets[t];
        sound &= n >= 0 && n <= n_experts;
    }
    return sound;
}

/* Neither k nor offsets: a sequence whose tokens no expert chose. */
static bool takes_count(struct moescope_batch *b, const char *what, int n_tokens,
                        const struct moescope_block *block, int64_t *n)
{
    int layer = block->layer;
    if (block->k < 0 || block->k > block->n_experts) {
        return batch_refuse(b, "%s of layer %d: %d decisions a token of %d experts", what, layer, block->k,
                            block->n_experts);
    }
    *n = (int64_t)n_tokens * block->k;
    if (block->k == 0 && block->offsets != NULL) {
        if (!offsets_are_sound(block->offsets, n_tokens, block->n_experts)) {
            return batch_refuse(b, "%s of layer %d: offsets fall, or a token has more than %d decisions",
                                what, layer, block->n_experts);
        }
        *n = (int64_t)block->offsets[n_tokens] - block->offsets[0];
    }
    if (block->k == 0 && *n > CODEC_MAX_DECISIONS) {
        return batch_refuse(b,
                            "%s of layer %d: more than %d decisions in a sequence with a varying number a "
                            "token; use a shorter context",
                            what, layer, CODEC_MAX_DECISIONS);
    }
    return *n <= CODEC_MOST_DECISIONS ||
           batch_refuse(b, "%s of layer %d: the sequence is too long", what, layer);
}

bool batch_takes_block(struct moescope_batch *b, const struct batch_sequence *s,
                       const struct moescope_block *block, int64_t *n)
{
    static const char what[] = "routing";
    if (!batch_takes_experts(b, what, block->layer, block->n_experts) ||
        !takes_count(b, what, s->n_tokens, block, n)) {
        return false;
    }
    int layer = block->layer, k = b->layers[layer].k;
    if (*n > 0 && !batch_has(b, block->expert, what, "its experts")) {
        return false;
    }
    /* Read as unsigned, a negative one is larger than any other. */
    if (*n > 0 && largest_integer(block->expert, (size_t)*n) >= (uint32_t)block->n_experts) {
        return batch_refuse(b, "%s of layer %d: an expert that the layer has not", what, layer);
    }
    return k == 0 || *n == (int64_t)s->n_tokens * k ||
           batch_refuse(b, "%s of layer %d: %lld decisions for %d tokens, and the run was begun with %d each",
                        what, layer, (long long)*n, s->n_tokens, k);
}
