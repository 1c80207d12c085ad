/* Blocks: whether they are as they were written and can be decoded, and what they add to the counts of a
 * pass. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sql/check.h"

enum { PROBABILITY_FULL = 65535 };
static const double probability_half = 0.5 / PROBABILITY_FULL;

bool sums_to_one(const char *router)
{
    static const char *const names[] = {"topk", "topp",       "mask",         "hash",
                                        "bias", "noisy_topk", "expert_choice"};
    for (size_t i = 0; router != NULL && i < sizeof names / sizeof *names; i++) {
        if (strcmp(router, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the counts of a layer ---- */

int layer_count_init(struct layer_count *l, int n_experts, int k, bool sums_to_one, struct error *err)
{
    size_t n = (size_t)n_experts;
    *l = (struct layer_count){.n_experts = n_experts, .k = k, .sums_to_one = sums_to_one};
    l->accepted = calloc(2 * n, sizeof *l->accepted);
    l->gate_sum = calloc(4 * n, sizeof *l->gate_sum);
    if (l->accepted == NULL || l->gate_sum == NULL) {
        layer_count_release(l);
        return error_no_memory(err, "the counts of a layer");
    }
    l->dropped = l->accepted + n;
    l->gate_half = l->gate_sum + n;
    l->probability_sum = l->gate_half + n;
    l->rank_mass = l->probability_sum + n;
    return 0;
}

void layer_count_clear(struct layer_count *l)
{
    size_t n = (size_t)l->n_experts;
    if (!l->any && l->probability_tokens == 0) {
        return;
    }
    memset(l->accepted, 0, 2 * n * sizeof *l->accepted);
    memset(l->gate_sum, 0, 4 * n * sizeof *l->gate_sum);
    l->any = l->gates_unknown = false;
    l->entropy = 0;
    l->probability_tokens = 0;
}

void layer_count_release(struct layer_count *l)
{
    free(l->accepted);
    free(l->gate_sum);
    *l = (struct layer_count){0};
}

/* ---- decisions ---- */

static void count_decisions(struct layer_count *l, const struct packed_block *packed,
                            const struct decisions *d)
{
    double full = packed->codec->gate_bytes == 1 ? 255 : 65535;
    double half = packed->scale / SCALE_UNIT / full / 2;
    l->any = true;
    l->gates_unknown = l->gates_unknown || packed->gates.bytes == NULL;
    for (int i = 0; i < d->n; i++) {
        int32_t e = d->expert[i];
        if (d->dropped[i]) {
            l->dropped[e]++;
        } else {
            l->accepted[e]++;
            l->gate_sum[e] += (double)d->gate[i];
            l->gate_half[e] += half;
        }
    }
}

int check_routing_block(struct block_check *b, struct layer_count layers[], struct statement *row,
                        int64_t sequence_id, int64_t n_tokens, struct error *err)
{
    sqlite3_stmt *s = row->handle;
    int layer = (int)(sqlite3_column_int64(s, 0) % LOGBOOK_MAX_LAYERS);
    const char *codec = (const char *)sqlite3_column_text(s, 1);
    struct layer_count *l = &layers[layer];
    const struct packed_block packed = {.codec = codec_by_name(codec != NULL ? codec : ""),
                                        .k = sqlite3_column_int(s, 2),
                                        .scale = sqlite3_column_double(s, 3),
                                        .experts = statement_column_blob(row, 4),
                                        .gates = statement_column_blob(row, 5),
                                        .offsets = statement_column_blob(row, 6),
                                        .dropped = statement_column_blob(row, 7)};
    b->checksums->checked++;
    b->decoded->checked++;
    if (packed_block_checksum(&packed) != (uint32_t)sqlite3_column_int64(s, 8)) {
        violated(b->checksums, "routing of sequence %" PRId64 ", layer %d", sequence_id, layer);
    }
    const char *wrong = packed.codec == NULL
                            ? "unknown codec"
                            : packed_block_decode(&packed, (int)n_tokens, l->n_experts, &b->buffer);
    if (wrong == packed_no_memory) {
        return error_no_memory(err, "a block's decisions");
    }
    if (wrong != NULL) {
        violated(b->decoded, "routing of sequence %" PRId64 ", layer %d: %s", sequence_id, layer, wrong);
        return 0;
    }
    b->decisions->checked++;
    if (l->k > 0 && b->buffer.n != n_tokens * l->k) {
        violated(b->decisions,
                 "sequence %" PRId64 ", layer %d: %d decisions for %" PRId64 " tokens with %d each",
                 sequence_id, layer, b->buffer.n, n_tokens, l->k);
    }
    count_decisions(l, &packed, &b->buffer);
    return 0;
}

/* ---- probabilities ---- */

/* Every expert may be half a step off, and the engine's floats a little more. */
double mass_tolerance(int n_experts)
{
    return n_experts * probability_half + 1e-5;
}

/* -p ln p changes most where p is smallest: by less than a step's own -p ln p, which an expert of probability
 * 0 as stored may have, or a step's slope there. */
double entropy_tolerance(int n_experts)
{
    double step = 2 * probability_half;
    return n_experts * step * (1 - log(step)) + 1e-5;
}

/* Largest first. Shell's method: vectors are short, and often nearly in order. */
static void sort_down(uint16_t *values, int n)
{
    static const int gaps[] = {57, 23, 10, 4, 1};
    for (size_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++) {
        for (int i = gaps[g]; i < n; i++) {
            uint16_t value = values[i];
            int j = i;
            for (; j >= gaps[g] && values[j - gaps[g]] < value; j -= gaps[g]) {
                values[j] = values[j - gaps[g]];
            }
            values[j] = value;
        }
    }
}

/* Adds a token; returns the sum of its stored probabilities. */
static int64_t add_token(const struct block_check *b, struct layer_count *l, const uint8_t *bytes,
                         uint16_t *scratch)
{
    int64_t sum = 0;
    for (int e = 0; e < l->n_experts; e++) {
        uint32_t stored = read_16(bytes, (size_t)e);
        scratch[e] = (uint16_t)stored;
        sum += stored;
        l->probability_sum[e] += (double)stored / PROBABILITY_FULL;
        l->entropy += b->entropy_of[stored];
    }
    if (l->sums_to_one) {
        int64_t mass = 0;
        sort_down(scratch, l->n_experts);
        for (int r = 0; r < l->n_experts; r++) {
            mass += scratch[r];
            l->rank_mass[r] += (double)mass / PROBABILITY_FULL;
        }
    }
    return sum;
}

/* The first token whose probabilities do not add up to 1 is named; the block is one violation. */
static int add_probabilities(struct block_check *b, struct layer_count *l, struct piece p,
                             int64_t sequence_id, int layer, int64_t n_tokens, struct error *err)
{
    uint16_t *scratch = calloc((size_t)l->n_experts, sizeof *scratch);
    bool wrong = false;
    if (scratch == NULL) {
        return error_no_memory(err, "a token's probabilities");
    }
    for (int64_t t = 0; t < n_tokens; t++) {
        int64_t sum = add_token(b, l, p.bytes + 2 * t * l->n_experts, scratch);
        double off = (double)sum / PROBABILITY_FULL - 1;
        if (l->sums_to_one && !wrong && fabs(off) > mass_tolerance(l->n_experts)) {
            wrong = true;
            violated(b->probabilities,
                     "sequence %" PRId64 ", layer %d: the probabilities of position %" PRId64
                     " add up to %.6f",
                     sequence_id, layer, t, 1 + off);
        }
    }
    l->probability_tokens += n_tokens;
    free(scratch);
    return 0;
}

int check_probability_block(struct block_check *b, struct layer_count layers[], struct statement *row,
                            int64_t sequence_id, int64_t n_tokens, struct error *err)
{
    sqlite3_stmt *s = row->handle;
    int layer = (int)(sqlite3_column_int64(s, 0) % LOGBOOK_MAX_LAYERS);
    int64_t n_experts = sqlite3_column_int64(s, 1);
    struct piece bytes = statement_column_blob(row, 2);
    struct layer_count *l = &layers[layer];
    b->checksums->checked++;
    b->decoded->checked++;
    if (piece_checksum(&bytes, 1) != (uint32_t)sqlite3_column_int64(s, 3)) {
        violated(b->checksums, "probabilities of sequence %" PRId64 ", layer %d", sequence_id, layer);
    }
    if (n_experts < 0 || n_experts > CODEC_MAX_EXPERTS || (int64_t)bytes.n != 2 * n_tokens * n_experts) {
        violated(b->decoded, "probabilities of sequence %" PRId64 ", layer %d: %zu bytes", sequence_id, layer,
                 bytes.n);
        return 0;
    }
    if (n_experts == 0 || n_experts != l->n_experts) {
        return 0; /* `dangling` tells */
    }
    b->probabilities->checked++;
    return add_probabilities(b, l, bytes, sequence_id, layer, n_tokens, err);
}

/* ---- what all blocks need ---- */

int block_check_init(struct block_check *b, struct check *c, struct error *err)
{
    *b = (struct block_check){.checksums = finding_add(c, "checksums"),
                              .decoded = finding_add(c, "blocks"),
                              .decisions = finding_add(c, "decisions"),
                              .probabilities = finding_add(c, "probabilities")};
    b->entropy_of = malloc((PROBABILITY_FULL + 1) * sizeof *b->entropy_of);
    if (b->entropy_of == NULL) {
        return error_no_memory(err, "the check of probabilities");
    }
    for (int v = 0; v <= PROBABILITY_FULL; v++) {
        double p = (double)v / PROBABILITY_FULL;
        b->entropy_of[v] = v > 0 ? -p * log(p) : 0;
    }
    return 0;
}

void block_check_release(struct block_check *b)
{
    decisions_release(&b->buffer);
    free(b->entropy_of);
    b->entropy_of = NULL;
}
