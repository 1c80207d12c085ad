#include "sql/codec.h"

#include <float.h>
#include <libdeflate.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Compiled for more than one processor, the best is taken where it runs. None with fused multiplication and
 * addition: what is stored must not depend on the machine. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define EACH_CPU __attribute__((target_clones("avx2", "default")))
#else
#define EACH_CPU
#endif

const struct codec codecs[N_CODECS] = {
    {"e8g8", 1, 1}, {"e8g16", 1, 2}, {"e16g8", 2, 1}, {"e16g16", 2, 2}, {"a8", 0, 1}, {"a16", 0, 2},
};

const struct codec *codec_by_name(const char *name)
{
    for (int i = 0; i < N_CODECS; i++) {
        if (strcmp(codecs[i].name, name) == 0) {
            return &codecs[i];
        }
    }
    return NULL;
}

const struct codec *codec_by_width(int expert_bytes, int gate_bytes)
{
    for (int i = 0; i < N_CODECS; i++) {
        if (codecs[i].expert_bytes == expert_bytes && codecs[i].gate_bytes == gate_bytes) {
            return &codecs[i];
        }
    }
    return NULL;
}

/* ---- integers ---- */

/* The width is a constant in each loop, so that the compiler can vectorise it. */
EACH_CPU void pack_integers(uint8_t *out, int width, const int32_t *values, size_t n)
{
    if (width == 1) {
        for (size_t i = 0; i < n; i++) {
            out[i] = (uint8_t)values[i];
        }
    } else if (width == 2) {
        for (size_t i = 0; i < n; i++) {
            out[2 * i] = (uint8_t)values[i];
            out[2 * i + 1] = (uint8_t)(values[i] >> 8);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            for (size_t b = 0; b < 4; b++) {
                out[4 * i + b] = (uint8_t)((uint32_t)values[i] >> (8 * b));
            }
        }
    }
}

EACH_CPU uint32_t largest_integer(const int32_t *values, size_t n)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t v = (uint32_t)values[i];
        largest = v > largest ? v : largest;
    }
    return largest;
}

EACH_CPU bool any_byte(const uint8_t *bytes, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= bytes[i];
    }
    return any != 0;
}

/* This is the bulk reader's innermost work. */
void unpack_integers(int32_t *out, int width, const uint8_t *bytes, size_t n)
{
    if (width == 1) {
        for (size_t i = 0; i < n; i++) {
            out[i] = bytes[i];
        }
    } else if (width == 2) {
        for (size_t i = 0; i < n; i++) {
            out[i] = bytes[2 * i] | bytes[2 * i + 1] << 8;
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            const uint8_t *p = bytes + 4 * i;
            out[i] =
                (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        }
    }
}

/* ---- fractions ---- */

/* Truncation of a value that is half a step up: nearest. NaN is none of these values. */
static inline int32_t nearest(float value, double factor, double full)
{
    double stored = (double)value * factor + 0.5;
    stored = stored < 0 ? 0 : stored;
    return (int32_t)(stored > full ? full : stored);
}

EACH_CPU void pack_fraction(uint8_t *out, int width, double scale, const float *values, size_t n)
{
    if (width == 1) {
        for (size_t i = 0; i < n; i++) {
            out[i] = (uint8_t)nearest(values[i], 255 / scale, 255);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t v = nearest(values[i], 65535 / scale, 65535);
        out[2 * i] = (uint8_t)v;
        out[2 * i + 1] = (uint8_t)(v >> 8);
    }
}

/* Floats whose sign is positive are in the order of their bits, what is not finite above all that is. */
EACH_CPU bool float_range(const float *values, size_t n, float *largest)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t v;
        memcpy(&v, &values[i], sizeof v);
        bits = v > bits ? v : bits;
    }
    memcpy(largest, &bits, sizeof bits);
    return bits < 0x7f800000u;
}

void unpack_fraction(float *out, int width, double scale, const uint8_t *bytes, size_t n)
{
    if (width == 1) {
        float value[256]; /* a look-up is faster than the division, and as exact */
        for (int v = 0; v < 256; v++) {
            value[v] = (float)(scale * v / 255);
        }
        for (size_t i = 0; i < n; i++) {
            out[i] = value[bytes[i]];
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)(scale * (bytes[2 * i] | bytes[2 * i + 1] << 8) / 65535);
    }
}

double gate_scale(float largest)
{
    double units = (double)largest * SCALE_UNIT;
    if (units <= 0) {
        return SCALE_UNIT; /* all gates are 0: any scale does */
    }
    return units < 64 ? units : ceil(units);
}

/* ---- losses ---- */

EACH_CPU void pack_losses(uint8_t *out, const float *loss, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double stored = (double)loss[i] * LOSS_UNIT + 0.5;
        stored = stored > 0 ? stored : 0; /* 0 for NaN */
        int32_t v = (int32_t)(stored < LOSS_NONE ? stored : LOSS_NONE);
        v = loss[i] >= -FLT_MAX ? v : LOSS_NONE; /* false for NaN */
        out[2 * i] = (uint8_t)v;
        out[2 * i + 1] = (uint8_t)(v >> 8);
    }
}

void unpack_losses(float *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int v = bytes[2 * i] | bytes[2 * i + 1] << 8;
        out[i] = v == LOSS_NONE ? NAN : (float)v / LOSS_UNIT;
    }
}

/* ---- bits ---- */

void pack_bits(uint8_t *out, const uint8_t *flags, size_t n)
{
    memset(out, 0, (n + 7) / 8);
    for (size_t i = 0; i < n; i++) {
        out[i / 8] |= (uint8_t)((flags[i] != 0) << (i % 8));
    }
}

void unpack_bits(uint8_t *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = bytes[i / 8] >> (i % 8) & 1;
    }
}

/* ---- blocks ---- */

uint32_t piece_checksum(const struct piece *pieces, int n)
{
    uint32_t crc = 0;
    for (int i = 0; i < n; i++) {
        if (pieces[i].n > 0) { /* a NULL pointer would start anew */
            crc = libdeflate_crc32(crc, pieces[i].bytes, pieces[i].n);
        }
    }
    return crc;
}

uint32_t packed_block_checksum(const struct packed_block *block)
{
    const struct piece pieces[] = {block->experts, block->gates, block->offsets, block->dropped};
    return piece_checksum(pieces, 4);
}

void decisions_release(struct decisions *d)
{
    free(d->offsets);
    free(d->expert);
    free(d->gate);
    free(d->dropped);
    memset(d, 0, sizeof *d);
}

static bool reserve_tokens(struct decisions *d, size_t n_tokens)
{
    if (d->offsets != NULL && n_tokens <= d->token_capacity) {
        return true;
    }
    free(d->offsets);
    d->token_capacity = 0;
    d->offsets = malloc((n_tokens + 1) * sizeof *d->offsets);
    if (d->offsets == NULL) {
        return false;
    }
    d->token_capacity = n_tokens;
    return true;
}

static bool reserve_decisions(struct decisions *d, size_t n)
{
    if (d->expert != NULL && n <= d->capacity) {
        return true;
    }
    free(d->expert);
    free(d->gate);
    free(d->dropped);
    d->capacity = 0;
    n += n == 0; /* malloc(0) may be NULL */
    d->expert = malloc(n * sizeof *d->expert);
    d->gate = malloc(n * sizeof *d->gate);
    d->dropped = malloc(n * sizeof *d->dropped);
    if (d->expert == NULL || d->gate == NULL || d->dropped == NULL) {
        return false;
    }
    d->capacity = n;
    return true;
}

static const char *validate_offsets(const struct packed_block *block, int n_tokens, int *n)
{
    if (n_tokens < 0) {
        return "number of tokens";
    }
    if (block->k > 0) {
        if (block->k > CODEC_MAX_EXPERTS || (int64_t)n_tokens * block->k > CODEC_MOST_DECISIONS) {
            return "k out of range";
        }
        *n = n_tokens * block->k;
        return NULL;
    }
    if (block->k < 0) {
        return "k out of range";
    }
    if (block->offsets.n != 2 * ((size_t)n_tokens + 1)) {
        return "length of offsets";
    }
    int last = packed_offset(block, 0);
    if (last != 0) {
        return "offsets do not start at 0";
    }
    for (int t = 1; t <= n_tokens; t++) {
        int next = packed_offset(block, t);
        if (next < last) {
            return "offsets fall";
        }
        last = next;
    }
    *n = last;
    return NULL;
}

static const char *validate_experts(const struct packed_block *block, int n_experts, size_t n)
{
    int width = block->codec->expert_bytes;
    uint32_t largest = 0;
    if (width == 0) {
        return block->k == n_experts ? NULL : "k is not the number of experts";
    }
    if (block->experts.n != n * (size_t)width) {
        return "length of experts";
    }
    if (width == 1 && n_experts < 256) {
        uint8_t most = 0; /* of the bytes' own width, so that many are compared at once */
        for (size_t i = 0; i < n; i++) {
            most = block->experts.bytes[i] > most ? block->experts.bytes[i] : most;
        }
        largest = most;
    } else if (width == 2) {
        for (size_t i = 0; i < n; i++) {
            uint32_t e = read_16(block->experts.bytes, i);
            largest = e > largest ? e : largest;
        }
    }
    return n == 0 || (int64_t)largest < n_experts ? NULL : "an expert that the layer has not";
}

const char *packed_block_validate(const struct packed_block *block, int n_tokens, int n_experts, int *n)
{
    const char *wrong = validate_offsets(block, n_tokens, n);
    if (wrong == NULL) {
        wrong = validate_experts(block, n_experts, (size_t)*n);
    }
    if (wrong != NULL) {
        return wrong;
    }
    if (block->gates.bytes != NULL && block->gates.n != (size_t)*n * (size_t)block->codec->gate_bytes) {
        return "length of gates";
    }
    if (block->gates.bytes != NULL && !(block->scale >= 0 && block->scale <= (double)FLT_MAX * SCALE_UNIT)) {
        return "scale of gates";
    }
    if (block->dropped.bytes != NULL && block->dropped.n != ((size_t)*n + 7) / 8) {
        return "length of dropped";
    }
    return NULL;
}

static void unpack_experts(const struct packed_block *block, int n_experts, struct decisions *d)
{
    if (block->codec->expert_bytes > 0) {
        unpack_integers(d->expert, block->codec->expert_bytes, block->experts.bytes, (size_t)d->n);
        return;
    }
    for (int i = 0; i < d->n; i++) {
        d->expert[i] = i % n_experts;
    }
}

static void unpack_gates(const struct packed_block *block, struct decisions *d)
{
    if (block->gates.bytes != NULL) {
        unpack_fraction(d->gate, block->codec->gate_bytes, block->scale / SCALE_UNIT, block->gates.bytes,
                        (size_t)d->n);
        return;
    }
    for (int i = 0; i < d->n; i++) {
        d->gate[i] = NAN;
    }
}

const char packed_no_memory[] = "no memory";

const char *packed_block_unpack(const struct packed_block *block, int n_tokens, int n_experts, int n,
                                struct decisions *d)
{
    if (!reserve_tokens(d, (size_t)n_tokens) || !reserve_decisions(d, (size_t)n)) {
        return packed_no_memory;
    }
    d->n = n;
    for (int t = 0; t <= n_tokens; t++) {
        d->offsets[t] = packed_offset(block, t);
    }
    unpack_experts(block, n_experts, d);
    unpack_gates(block, d);
    if (block->dropped.bytes != NULL) {
        unpack_bits(d->dropped, block->dropped.bytes, (size_t)n);
    } else {
        memset(d->dropped, 0, (size_t)n);
    }
    return NULL;
}

const char *packed_block_decode(const struct packed_block *block, int n_tokens, int n_experts,
                                struct decisions *d)
{
    int n;
    const char *wrong = packed_block_validate(block, n_tokens, n_experts, &n);
    return wrong == NULL ? packed_block_unpack(block, n_tokens, n_experts, n, d) : wrong;
}
