/* How decisions, gates, tokens and losses are packed into blobs, and back. Pure functions on memory, no
 * SQLite: the writer packs, the readers and the check unpack.
 *
 *   decision i of a block     experts                       gates                  dropped
 *   e8g8    first choice      byte i                        byte i                 bit i % 8 of byte i / 8
 *   e16g16  of each token     bytes 2i, 2i + 1              bytes 2i, 2i + 1       (absent: none dropped)
 *   a8, a16 all experts       absent: expert = i % k        like g8, g16
 *
 * Everything is little-endian. Decisions stand token by token, in slot order. With a fixed k token t has the
 * decisions t * k .. t * k + k - 1, otherwise offsets[t] .. offsets[t + 1] - 1 (16 bits each). */
#ifndef SQL_CODEC_H
#define SQL_CODEC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct codec {
    const char *name;
    int expert_bytes; /* 0: all experts in order, ids implied */
    int gate_bytes;
};
enum { N_CODECS = 6, CODEC_MAX_EXPERTS = 65536, CODEC_MAX_DECISIONS = 65535 /* of a block with offsets */ };
/* Of any block: a row of a few bytes (all experts, gates unknown) must not cost its reader gigabytes. */
enum { CODEC_MOST_DECISIONS = 1 << 24 };
extern const struct codec codecs[N_CODECS];

/* NULL when there is none of that name. */
const struct codec *codec_by_name(const char *name);
const struct codec *codec_by_width(int expert_bytes, int gate_bytes);

/* Unsigned integers of 1, 2 or 4 bytes; out holds n * width bytes. Values must fit. */
void pack_integers(uint8_t *out, int width, const int32_t *values, size_t n);
void unpack_integers(int32_t *out, int width, const uint8_t *bytes, size_t n);

/* The largest of n values read as unsigned, so that a negative one is larger than any other; 0 of none. */
uint32_t largest_integer(const int32_t *values, size_t n);

/* Whether one of n bytes is not 0. */
bool any_byte(const uint8_t *bytes, size_t n);

/* Fixed point: stored = round(value / scale * full), full = 255 or 65535; value = scale * stored / full.
 * Values lie in [0, scale]. */
void pack_fraction(uint8_t *out, int width, double scale, const float *values, size_t n);
void unpack_fraction(float *out, int width, double scale, const uint8_t *bytes, size_t n);

/* Whether all values are finite and their signs positive; then *largest is the largest of them, 0 of none. */
bool float_range(const float *values, size_t n, float *largest);

/* What a block's gates are measured against: a little above the largest of them, in 1/SCALE_UNIT. A whole
 * number wherever rounding up costs less than 2 % of the resolution, since SQLite keeps small whole numbers
 * in two bytes and all others in eight: with 256 tokens and top-2 that is one more block to a page. */
enum { SCALE_UNIT = 16384 };
double gate_scale(float largest);

/* Losses: 16 bits in 1/1024 nat; what is not finite or rounds beyond 65534 is 65535 and reads as NaN. A loss
 * below zero (rounding of a sure prediction) is stored as 0. */
enum { LOSS_UNIT = 1024, LOSS_NONE = 65535 };
void pack_losses(uint8_t *out, const float *loss, size_t n);
void unpack_losses(float *out, const uint8_t *bytes, size_t n);

/* One bit each, lowest first; out holds (n + 7) / 8 bytes. */
void pack_bits(uint8_t *out, const uint8_t *flags, size_t n);
void unpack_bits(uint8_t *out, const uint8_t *bytes, size_t n);

/* A blob as it lies in the database; bytes NULL: the column is NULL. */
struct piece {
    const uint8_t *bytes;
    size_t n;
};

struct packed_block {
    const struct codec *codec;
    int k;        /* 0: see offsets */
    double scale; /* in 1/SCALE_UNIT */
    struct piece experts, gates, offsets, dropped;
};

/* ---- single values of a block that has been validated ---- */

static inline uint32_t read_16(const uint8_t *bytes, size_t i)
{
    return (uint32_t)bytes[2 * i] | (uint32_t)bytes[2 * i + 1] << 8;
}

/* Number of token t's first decision; t may be n_tokens. */
static inline int packed_offset(const struct packed_block *b, int t)
{
    return b->k > 0 ? t * b->k : (int)read_16(b->offsets.bytes, (size_t)t);
}

static inline int packed_expert(const struct packed_block *b, int n_experts, size_t i)
{
    switch (b->codec->expert_bytes) {
    case 1:
        return b->experts.bytes[i];
    case 2:
        return (int)read_16(b->experts.bytes, i);
    default:
        return (int)(i % (size_t)n_experts);
    }
}

/* As stored; the gate is packed_gate_unit * stored / full. Only where gates.bytes is not NULL. */
static inline uint32_t packed_gate(const struct packed_block *b, size_t i)
{
    return b->codec->gate_bytes == 1 ? b->gates.bytes[i] : read_16(b->gates.bytes, i);
}

static inline int packed_dropped(const struct packed_block *b, size_t i)
{
    return b->dropped.bytes != NULL ? b->dropped.bytes[i / 8] >> (i % 8) & 1 : 0;
}

/* CRC-32 of the pieces, one after the other. */
uint32_t piece_checksum(const struct piece *pieces, int n);
uint32_t packed_block_checksum(const struct packed_block *block);

/* The decisions of a block, in memory that is kept from one block to the next. Zeroed before first use. */
struct decisions {
    int32_t *offsets; /* (n_tokens + 1) */
    int32_t *expert;  /* (n) */
    float *gate;      /* (n) NaN where the gate was not kept */
    uint8_t *dropped; /* (n) */
    int n;
    size_t token_capacity, capacity;
};
void decisions_release(struct decisions *d);

/* Whether the block can be decoded: its pieces have their lengths and its experts exist. *n: its number of
 * decisions. Returns NULL, or in a few words what is wrong. */
const char *packed_block_validate(const struct packed_block *block, int n_tokens, int n_experts, int *n);
extern const char packed_no_memory[];
/* Decodes a block that has been validated; NULL or packed_no_memory. */
const char *packed_block_unpack(const struct packed_block *block, int n_tokens, int n_experts, int n,
                                struct decisions *d);
/* Both. Returns NULL, or in a few words what is wrong with the block, or packed_no_memory. */
const char *packed_block_decode(const struct packed_block *block, int n_tokens, int n_experts,
                                struct decisions *d);

#endif
