#include "sql/scan.h"

#include <stdio.h>
#include <string.h>

static int corrupt(struct scan *s, const char *what, struct error *err)
{
    return error_set(err, STATUS_INPUT, "'%s' is damaged: sequence %lld: %s; `moescope check` says more",
                     s->lb->path, (long long)s->sequence.sequence_id, what);
}

/* ---- open and close ---- */

void scan_filter_all(struct scan_filter *f)
{
    const struct scan_range all = {INT64_MIN, INT64_MAX};
    *f = (struct scan_filter){all, all, all, all, all, all, all, NULL};
}

int scan_open(struct scan *s, struct logbook *lb, enum scan_kind kind, bool contents, struct error *err)
{
    memset(s, 0, sizeof *s);
    s->lb = lb;
    s->kind = kind;
    s->contents = contents;
    s->layers_of = -1;
    s->done = true;
    const char *blocks = kind == SCAN_ROUTING ? "scan/routing_blocks" : "scan/probability_blocks";
    if (statement_open(&s->by_id, lb, "scan/sequences", err) != 0 ||
        statement_open(&s->by_run, lb, "scan/sequences_of_run", err) != 0 ||
        statement_open(&s->by_split, lb, "scan/sequences_of_split", err) != 0 ||
        statement_open(&s->sample, lb, "scan/sample", err) != 0 ||
        (contents && statement_open(&s->text, lb, "scan/contents", err) != 0) ||
        (kind != SCAN_SEQUENCES && statement_open(&s->blocks, lb, blocks, err) != 0)) {
        scan_close(s);
        return -1;
    }
    return 0;
}

void scan_close(struct scan *s)
{
    statement_close(&s->by_id);
    statement_close(&s->by_run);
    statement_close(&s->by_split);
    statement_close(&s->sample);
    statement_close(&s->text);
    statement_close(&s->blocks);
}

static bool is_one(struct scan_range r)
{
    return r.low == r.high;
}

static bool in_range(int64_t value, struct scan_range r)
{
    return r.low <= value && value <= r.high;
}

/* A single sequence is found by its id, a run's by the index; without a run all are gone through. */
static struct statement *choose_passes(struct scan *s)
{
    const struct scan_filter *f = &s->filter;
    if (is_one(f->sequence) || !is_one(f->run)) {
        return &s->by_id;
    }
    return f->split != NULL ? &s->by_split : &s->by_run;
}

static void reset_all(struct scan *s)
{
    struct statement *all[] = {&s->by_id, &s->by_run, &s->by_split, &s->sample, &s->text, &s->blocks};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        statement_reset(all[i]);
    }
}

void scan_rest(struct scan *s)
{
    reset_all(s);
    s->done = true;
    s->on_block = s->walking = s->in_sequence = false;
}

void scan_start(struct scan *s, const struct scan_filter *filter)
{
    reset_all(s);
    s->filter = *filter;
    s->layers_of = -1;
    s->in_sequence = s->done = s->walking = s->on_block = s->handed_out = false;
    s->passes = choose_passes(s);
    statement_int(s->passes, ":run", filter->run.low);
    statement_text(s->passes, ":split", filter->split);
    statement_int(s->passes, ":first_step", filter->step.low);
    statement_int(s->passes, ":last_step", filter->step.high);
    statement_int(s->passes, ":first_sequence", filter->sequence.low);
    statement_int(s->passes, ":last_sequence", filter->sequence.high);
}

/* ---- sequences ---- */

static int read_layers(struct scan *s, int64_t run_id, struct error *err)
{
    struct statement layers;
    memset(s->n_experts, 0, sizeof s->n_experts);
    int result = statement_open(&layers, s->lb, "scan/layers", err);
    if (result == 0) {
        statement_int(&layers, ":run", run_id);
        while ((result = statement_step(&layers, err)) == 1) {
            int64_t layer = sqlite3_column_int64(layers.handle, 0);
            int64_t n_experts = sqlite3_column_int64(layers.handle, 1);
            if (layer >= 0 && layer < LOGBOOK_MAX_LAYERS && n_experts > 0 && n_experts <= CODEC_MAX_EXPERTS) {
                s->n_experts[layer] = (int32_t)n_experts;
            }
        }
    }
    statement_close(&layers);
    s->layers_of = result == 0 ? run_id : -1;
    return result;
}

static int read_contents(struct scan *s, struct error *err)
{
    struct scan_sequence *q = &s->sequence;
    size_t n = (size_t)q->n_tokens;
    statement_reset(&s->text);
    statement_int(&s->text, ":sequence", q->sequence_id);
    int result = statement_step(&s->text, err);
    if (result != 1) {
        return result == 0 ? corrupt(s, "no sample", err) : -1;
    }
    q->tokens = statement_column_blob(&s->text, 0);
    q->losses = statement_column_blob(&s->text, 1);
    q->token_width = q->tokens.n == 2 * (n + 1) ? 2 : 4;
    if (q->tokens.n != (size_t)q->token_width * (n + 1)) {
        return corrupt(s, "length of tokens", err);
    }
    if (q->losses.bytes == NULL) {
        return 0;
    }
    if (q->losses.n != 2 * n) {
        return corrupt(s, "length of losses", err);
    }
    uint32_t checksum = (uint32_t)sqlite3_column_int64(s->text.handle, 2);
    return piece_checksum(&q->losses, 1) == checksum ? 0 : corrupt(s, "checksum of losses", err);
}

/* 1: the sequence is wanted and its sample has been read, 0: it is not wanted, -1. */
static int read_sample(struct scan *s, struct error *err)
{
    struct scan_sequence *q = &s->sequence;
    statement_int(&s->sample, ":sequence", q->sequence_id);
    int result = statement_step(&s->sample, err);
    if (result != 1) {
        return result == 0 ? corrupt(s, "no sample", err) : -1;
    }
    sqlite3_stmt *row = s->sample.handle;
    q->sample_id = sqlite3_column_int64(row, 0);
    q->document_id = sqlite3_column_int64(row, 1);
    q->domain_id = sqlite3_column_int64(row, 2);
    q->offset = sqlite3_column_int64(row, 3);
    int64_t n_tokens = sqlite3_column_int64(row, 4);
    statement_reset(&s->sample);
    if (n_tokens < 0 || n_tokens > CODEC_MAX_DECISIONS) {
        return corrupt(s, "number of tokens", err);
    }
    q->n_tokens = (int)n_tokens;
    if (!in_range(q->sample_id, s->filter.sample) || !in_range(q->document_id, s->filter.document) ||
        !in_range(q->domain_id, s->filter.domain)) {
        return 0;
    }
    return s->contents && read_contents(s, err) != 0 ? -1 : 1;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* ---- blocks: found by their ids, each made of its sequence's and its layer's ---- */

/* 1: s->blocks stands on a row, 0: there is no more, -1. */
static int step_block(struct scan *s, struct error *err)
{
    int result = statement_step(&s->blocks, err);
    s->on_block = result == 1;
    s->block_id = s->on_block ? sqlite3_column_int64(s->blocks.handle, 0) : INT64_MAX;
    return result;
}

static int seek_block(struct scan *s, int64_t first, int64_t last, struct error *err)
{
    statement_reset(&s->blocks);
    statement_int(&s->blocks, ":first_block", first);
    statement_int(&s->blocks, ":last_block", last);
    return step_block(s, err) < 0 ? -1 : 0;
}

/* To the first block of the sequence, or behind it. Where all layers are wanted, one walk over the table
 * serves sequence after sequence, since both come in order of their ids. */
static int start_blocks(struct scan *s, struct error *err)
{
    enum { NEAR = 64 * LOGBOOK_MAX_LAYERS };
    int64_t id = s->sequence.sequence_id;
    if (id < 0 || id > INT64_MAX / LOGBOOK_MAX_LAYERS - 1) {
        return corrupt(s, "an impossible id", err);
    }
    s->handed_out = false;
    int64_t first = id * LOGBOOK_MAX_LAYERS + clamp(s->filter.layer.low, 0, LOGBOOK_MAX_LAYERS);
    s->last_block = id * LOGBOOK_MAX_LAYERS + clamp(s->filter.layer.high, -1, LOGBOOK_MAX_LAYERS - 1);
    if (s->filter.layer.low > 0 || s->filter.layer.high < LOGBOOK_MAX_LAYERS - 1) {
        return seek_block(s, first, s->last_block, err);
    }
    if (!s->walking || (s->on_block && s->block_id < first - NEAR)) {
        s->walking = true;
        return seek_block(s, first, INT64_MAX, err);
    }
    while (s->on_block && s->block_id < first) {
        if (step_block(s, err) < 0) {
            return -1;
        }
    }
    return 0;
}

int scan_find_sequence(struct scan *s, struct error *err)
{
    struct scan_sequence *q = &s->sequence;
    int result;
    while (!s->done && (result = statement_step(s->passes, err)) != 0) {
        sqlite3_stmt *row = s->passes->handle;
        if (result < 0) {
            s->done = true;
            return -1;
        }
        const char *split = (const char *)sqlite3_column_text(row, 3);
        q->sequence_id = sqlite3_column_int64(row, 0);
        q->run_id = sqlite3_column_int64(row, 1);
        q->step = sqlite3_column_int64(row, 2);
        snprintf(q->split, sizeof q->split, "%s", split != NULL ? split : "");
        if (in_range(q->run_id, s->filter.run) && in_range(q->step, s->filter.step) &&
            in_range(q->sequence_id, s->filter.sequence) &&
            (s->filter.split == NULL || (split != NULL && strcmp(split, s->filter.split) == 0))) {
            return 1;
        }
    }
    s->done = true; /* stepping on would begin anew */
    return 0;
}

int scan_enter_sequence(struct scan *s, const struct scan_sequence *found, bool afresh, struct error *err)
{
    if (found != &s->sequence) {
        s->sequence = *found;
    }
    s->walking = s->walking && !afresh;
    int result = read_sample(s, err);
    if (result == 1 && s->kind != SCAN_SEQUENCES &&
        ((s->sequence.run_id != s->layers_of && read_layers(s, s->sequence.run_id, err) != 0) ||
         start_blocks(s, err) != 0)) {
        result = -1;
    }
    s->done = s->done || result < 0;
    return result;
}

int scan_next_sequence(struct scan *s, struct error *err)
{
    int result;
    while ((result = scan_find_sequence(s, err)) == 1) {
        result = scan_enter_sequence(s, &s->sequence, false, err);
        if (result != 0) {
            return result;
        }
    }
    return result;
}

static int read_routing(struct scan *s, struct error *err)
{
    struct statement *row = &s->blocks;
    struct scan_block *b = &s->block;
    const char *codec = (const char *)sqlite3_column_text(row->handle, 1);
    b->packed = (struct packed_block){
        .codec = codec_by_name(codec != NULL ? codec : ""),
        .k = sqlite3_column_int(row->handle, 2),
        .scale = sqlite3_column_double(row->handle, 3),
        .experts = statement_column_blob(row, 4),
        .gates = statement_column_blob(row, 5),
        .offsets = statement_column_blob(row, 6),
        .dropped = statement_column_blob(row, 7),
    };
    b->n_experts = s->n_experts[b->layer];
    if (b->packed.codec == NULL) {
        return corrupt(s, "an unknown codec", err);
    }
    if (packed_block_checksum(&b->packed) != (uint32_t)sqlite3_column_int64(row->handle, 8)) {
        return corrupt(s, "checksum of a routing block", err);
    }
    const char *wrong =
        packed_block_validate(&b->packed, s->sequence.n_tokens, b->n_experts, &b->n_decisions);
    return wrong == NULL ? 0 : corrupt(s, wrong, err);
}

static int read_probability(struct scan *s, struct error *err)
{
    struct scan_block *b = &s->block;
    int64_t n_experts = sqlite3_column_int64(s->blocks.handle, 1);
    b->probability = statement_column_blob(&s->blocks, 2);
    if (n_experts < 0 || n_experts > CODEC_MAX_EXPERTS ||
        b->probability.n != 2 * (size_t)s->sequence.n_tokens * (size_t)n_experts) {
        return corrupt(s, "length of probabilities", err);
    }
    b->n_experts = (int)n_experts;
    if (piece_checksum(&b->probability, 1) != (uint32_t)sqlite3_column_int64(s->blocks.handle, 3)) {
        return corrupt(s, "checksum of probabilities", err);
    }
    return 0;
}

int scan_next_block(struct scan *s, struct error *err)
{
    if (s->handed_out && step_block(s, err) < 0) {
        return -1;
    }
    s->handed_out = s->on_block && s->block_id <= s->last_block;
    if (!s->handed_out) {
        return 0;
    }
    s->block.layer = (int)(s->block_id % LOGBOOK_MAX_LAYERS);
    int result = s->kind == SCAN_ROUTING ? read_routing(s, err) : read_probability(s, err);
    return result == 0 ? 1 : -1;
}

int scan_next_block_of_any(struct scan *s, struct error *err)
{
    for (;;) {
        if (s->in_sequence) {
            int result = scan_next_block(s, err);
            if (result != 0) {
                return result;
            }
        }
        int result = scan_next_sequence(s, err);
        s->in_sequence = result == 1;
        if (result != 1) {
            return result;
        }
    }
}
