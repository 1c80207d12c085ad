/* The codec: a block's pieces of any length, against any shape. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sql/codec.h"
#include "tests/fuzz/fuzz.h"

/* What the header of an input says; the pieces follow it. */
static void read_block(struct fuzz_input *in, struct packed_block *block, int *n_tokens, int *n_experts)
{
    struct piece *pieces[] = {&block->experts, &block->gates, &block->offsets, &block->dropped};
    uint8_t absent;
    block->codec = &codecs[fuzz_below(in, N_CODECS)];
    *n_tokens = (int)(fuzz_byte(in) & 15 ? fuzz_number(in, 1) : fuzz_number(in, 4) & INT32_MAX);
    *n_experts = (int)(fuzz_byte(in) & 15 ? fuzz_number(in, 1) : fuzz_number(in, 4));
    block->k = (int)(fuzz_byte(in) & 15 ? fuzz_number(in, 1) : fuzz_number(in, 4));
    uint64_t scale = fuzz_number(in, 8);
    memcpy(&block->scale, &scale, sizeof scale);
    absent = fuzz_byte(in);
    for (int i = 0; i < 4; i++) {
        size_t n = fuzz_number(in, 2);
        *pieces[i] = (struct piece){NULL, 0};
        if (!(absent >> i & 1)) {
            pieces[i]->bytes = fuzz_piece(in, n, &pieces[i]->n);
        }
    }
}

static void require_decisions(const struct packed_block *block, const struct decisions *d, int n_tokens,
                              int n_experts)
{
    fuzz_require(d->offsets[0] == 0 && d->offsets[n_tokens] == d->n, "offsets go from 0 to n");
    for (int t = 0; t < n_tokens; t++) {
        fuzz_require(d->offsets[t] <= d->offsets[t + 1], "offsets do not fall");
        fuzz_require(block->k <= 0 || d->offsets[t + 1] - d->offsets[t] == block->k, "k decisions a token");
    }
    for (int i = 0; i < d->n; i++) {
        fuzz_require(d->expert[i] >= 0 && d->expert[i] < n_experts, "an expert of the layer");
        fuzz_require(d->dropped[i] <= 1, "dropped is a flag");
        fuzz_require(block->gates.bytes != NULL || isnan(d->gate[i]), "an unknown gate is NaN");
    }
}

static void run(const uint8_t *bytes, size_t n)
{
    static struct decisions d; /* kept from one input to the next, as readers do */
    struct fuzz_input in = {bytes, n};
    struct packed_block block;
    int n_tokens, n_experts;
    read_block(&in, &block, &n_tokens, &n_experts);
    packed_block_checksum(&block);
    if (packed_block_decode(&block, n_tokens, n_experts, &d) == NULL) {
        require_decisions(&block, &d, n_tokens, n_experts);
    }
    free((void *)block.experts.bytes);
    free((void *)block.gates.bytes);
    free((void *)block.offsets.bytes);
    free((void *)block.dropped.bytes);
    if (d.capacity > 1 << 16) {
        decisions_release(&d);
    }
}

/* codec, tokens, experts, k, scale 1.0, all there, then four pieces with their lengths. */
static void add(struct fuzz_seeds *s, int codec, int k, const char *pieces, size_t n)
{
    uint8_t bytes[256] = {(uint8_t)codec, 1, 3, 1, 4, 1, (uint8_t)k, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f};
    bytes[15] = k > 0 ? 4 : 0;
    memcpy(bytes + 16, pieces, n);
    fuzz_seeds_add(s, bytes, 16 + n);
}

static void seed(struct fuzz_seeds *s)
{
    static const char fixed[] = "\6\0\0\1\2\3\0\1\6\0\377\1\200\2\1\0\0\0\1\0\5";
    static const char wide[] = "\14\0\0\0\1\0\2\0\3\0\0\0\1\0\14\0\1\1\1\1\1\1\1\1\1\1\1\1\0\0\1\0\1";
    static const char varying[] = "\3\0\0\1\2\3\0\377\1\200\10\0\0\0\1\0\1\0\3\0\1\0\7";
    static const char all[] = "\0\0\14\0\1\2\3\4\5\6\7\10\11\12\13\14\0\0\2\0\0\1";
    add(s, 0, 2, fixed, sizeof fixed - 1);
    add(s, 3, 2, wide, sizeof wide - 1);
    add(s, 0, 0, varying, sizeof varying - 1);
    add(s, 4, 4, all, sizeof all - 1);
}

const struct fuzz_target fuzz_codec = {.name = "codec", .most = 4096, .seed = seed, .run = run};
