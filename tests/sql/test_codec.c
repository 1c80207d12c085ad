/* Packing without a database: what each codec makes of numbers worked out by hand, and that no blob, however
 * broken, is read beyond its end (run under AddressSanitizer by `make sanitize`). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "sql/codec.h"
#include "tests/close.h"

static void test_integers(void **state)
{
    static const int32_t values[] = {0, 255, 65535, 70000};
    static const uint8_t wide[] = {0, 0, 0, 0, 255, 0, 0, 0, 255, 255, 0, 0, 0x70, 0x11, 1, 0};
    uint8_t bytes[16];
    int32_t back[4];
    (void)state;
    pack_integers(bytes, 4, values, 4);
    assert_memory_equal(bytes, wide, 16);
    unpack_integers(back, 4, bytes, 4);
    assert_memory_equal(back, values, sizeof values);
    pack_integers(bytes, 2, values, 3);
    assert_memory_equal(bytes, "\0\0\377\0\377\377", 6);
    unpack_integers(back, 2, bytes, 3);
    assert_memory_equal(back, values, 3 * sizeof *values);
    pack_integers(bytes, 1, values, 2);
    unpack_integers(back, 1, bytes, 2);
    assert_memory_equal(back, values, 2 * sizeof *values);
}

/* Half a step up rounds up; what is outside [0, scale] by rounding stays inside. */
static void test_fractions(void **state)
{
    static const float values[] = {0, 1, 0.5f / 255, 1.49f / 255, 1.0000001f, -1e-9f};
    static const uint8_t expected[] = {0, 255, 1, 1, 255, 0};
    uint8_t bytes[12];
    float back[6];
    (void)state;
    pack_fraction(bytes, 1, 1, values, 6);
    assert_memory_equal(bytes, expected, 6);
    unpack_fraction(back, 1, 1, bytes, 6);
    assert_close(back[1], 1, 0);
    assert_close(back[2], 1 / 255.0, 1e-9);
    pack_fraction(bytes, 2, 3, (const float[]){3, 1, 2}, 3); /* 65535 / 3 = 21845 = 0x5555 */
    assert_memory_equal(bytes, "\377\377\x55\x55\xaa\xaa", 6);
    unpack_fraction(back, 2, 3, bytes, 3);
    assert_close(back[1], 1, 1e-7);
}

/* A whole number of 1/16384 from 64 of them on, rounded up. */
static void test_scale(void **state)
{
    (void)state;
    assert_close(gate_scale(1), 16384, 0);
    assert_close(gate_scale(0.8f), 13108, 0); /* 13107.2 */
    assert_close(gate_scale(64.0f / 16384), 64, 0);
    assert_close(gate_scale(63.5f / 16384), 63.5, 0);
    assert_close(gate_scale(5), 81920, 0);
    assert_close(gate_scale(0), 16384, 0);
}

/* 63.9985 nats are 65534.46 units and the last that is kept; half a unit more is not. */
static void test_losses(void **state)
{
    static const float loss[] = {0, 1, -0.5f, 63.9985f, 63.9996f, 100, NAN, INFINITY, -INFINITY};
    static const int expected[] = {0, 1024, 0, 65534, 65535, 65535, 65535, 65535, 65535};
    uint8_t bytes[18];
    float back[9];
    (void)state;
    pack_losses(bytes, loss, 9);
    unpack_losses(back, bytes, 9);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(bytes[2 * i] | bytes[2 * i + 1] << 8, expected[i]);
        assert_int_equal(isnan(back[i]), expected[i] == 65535);
    }
    assert_close(back[3], 65534.0 / 1024, 0);
}

static void test_bits(void **state)
{
    static const uint8_t flags[] = {1, 0, 0, 1, 0, 0, 0, 0, 1, 1};
    uint8_t bytes[2], back[10];
    (void)state;
    pack_bits(bytes, flags, 10);
    assert_int_equal(bytes[0], 0x09);
    assert_int_equal(bytes[1], 0x03);
    unpack_bits(back, bytes, 10);
    assert_memory_equal(back, flags, 10);
}

/* CRC-32 of "123456789" is 0xCBF43926, in whatever pieces it comes. */
static void test_checksum(void **state)
{
    const struct piece pieces[] = {{(const uint8_t *)"1234", 4}, {NULL, 0}, {(const uint8_t *)"56789", 5}};
    (void)state;
    assert_int_equal(piece_checksum(pieces, 3), 0xCBF43926);
    assert_int_equal(piece_checksum(NULL, 0), 0);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < N_CODECS; i++) {
        assert_ptr_equal(codec_by_name(codecs[i].name), &codecs[i]);
        assert_ptr_equal(codec_by_width(codecs[i].expert_bytes, codecs[i].gate_bytes), &codecs[i]);
    }
    assert_null(codec_by_name("e8"));
    assert_null(codec_by_width(3, 1));
}

/* ---- the plain way ---- */

static uint32_t plain_fraction(float value, double scale, double full)
{
    volatile double product = (double)value * (full / scale); /* rounded before the half is added */
    double stored = product + 0.5;
    return stored < 0 ? 0 : stored > full ? (uint32_t)full : (uint32_t)stored;
}

static uint32_t plain_loss(float loss)
{
    if (!isfinite(loss)) {
        return LOSS_NONE;
    }
    double stored = floor((double)loss * LOSS_UNIT + 0.5);
    return stored < 0 ? 0 : stored > LOSS_NONE ? LOSS_NONE : (uint32_t)stored;
}

static void expect_bytes(const uint8_t *bytes, int width, size_t at, uint32_t expected)
{
    for (int b = 0; b < width; b++) {
        assert_int_equal(bytes[at * (size_t)width + (size_t)b], expected >> (8 * b) & 255);
    }
}

/* What is packed many at once is the same as one by one, for any number of them. */
static void test_packing_is_exact(void **state)
{
    enum { MOST = 300 };
    static const float odd[] = {0, -0.0f, 1e-30f, -1, 63.9995f, 64, 1e30f, NAN, -NAN, INFINITY, -INFINITY};
    float values[MOST], loss[MOST];
    int32_t integers[MOST];
    uint8_t bytes[4 * MOST];
    struct random r;
    (void)state;
    random_seed(&r, 9, 0);
    for (size_t n = 0; n <= MOST; n++) {
        double scale = gate_scale((float)random_uniform(&r)) / SCALE_UNIT;
        for (size_t i = 0; i < n; i++) {
            /* Half of them halfway between two steps, as near as a float gets. */
            double step = (double)random_below(&r, 256) + (double)random_below(&r, 2) / 2;
            values[i] = (float)(random_below(&r, 2) ? step / 255 * scale : random_uniform(&r) * scale);
            loss[i] = random_below(&r, 4) ? (float)(70 * random_uniform(&r)) : odd[random_below(&r, 11)];
            integers[i] = (int32_t)random_bits(&r);
        }
        for (int width = 1; width <= 4; width *= 2) {
            pack_integers(bytes, width, integers, n);
            for (size_t i = 0; i < n; i++) {
                expect_bytes(bytes, width, i, (uint32_t)integers[i]);
            }
        }
        for (int width = 1; width <= 2; width++) {
            pack_fraction(bytes, width, scale, values, n);
            for (size_t i = 0; i < n; i++) {
                expect_bytes(bytes, width, i, plain_fraction(values[i], scale, width == 1 ? 255 : 65535));
            }
        }
        pack_losses(bytes, loss, n);
        for (size_t i = 0; i < n; i++) {
            expect_bytes(bytes, 2, i, plain_loss(loss[i]));
        }
    }
}

static void test_ranges(void **state)
{
    static const int32_t integers[] = {3, 7, -1, 2};
    float values[] = {0.25f, 0.5f, 0, 0.125f}, largest;
    (void)state;
    assert_int_equal(largest_integer(integers, 2), 7);
    assert_true(largest_integer(integers, 4) > INT32_MAX);
    assert_int_equal(largest_integer(integers, 0), 0);
    assert_true(float_range(values, 4, &largest));
    assert_close(largest, 0.5, 0);
    assert_true(float_range(values, 0, &largest));
    assert_close(largest, 0, 0);
    static const float wrong[] = {NAN, -NAN, INFINITY, -INFINITY, -1e-30f};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        values[2] = wrong[i];
        assert_false(float_range(values, 4, &largest));
    }
}

/* A block with the piece lengths given, in memory that ends where the pieces end. */
static const char *decode_exactly(const uint8_t *bytes, const size_t lengths[4], const struct codec *codec,
                                  int k, int n_tokens, int n_experts, struct decisions *d)
{
    struct piece pieces[4];
    for (int i = 0; i < 4; i++) {
        uint8_t *copy = malloc(lengths[i] + (lengths[i] == 0));
        assert_non_null(copy);
        memcpy(copy, bytes, lengths[i]);
        bytes += lengths[i];
        pieces[i] = (struct piece){lengths[i] > 0 ? copy : NULL, lengths[i]};
        if (lengths[i] == 0) {
            free(copy);
        }
    }
    const struct packed_block block = {codec, k, SCALE_UNIT, pieces[0], pieces[1], pieces[2], pieces[3]};
    const char *wrong = packed_block_decode(&block, n_tokens, n_experts, d);
    for (int i = 0; i < 4; i++) {
        free((void *)pieces[i].bytes);
    }
    return wrong;
}

/* Random blocks: whatever is let through is consistent. Lengths are often right, so that much is let through.
 */
static void test_broken_blocks(void **state)
{
    struct decisions d = {0};
    struct random r;
    int accepted = 0;
    (void)state;
    random_seed(&r, 5, 0);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[512];
        const struct codec *codec = &codecs[random_below(&r, N_CODECS)];
        int n_tokens = (int)random_below(&r, 9), n_experts = 1 + (int)random_below(&r, 5);
        int k = (int)random_below(&r, 4), n = n_tokens * k;
        for (size_t b = 0; b < sizeof bytes; b++) {
            bytes[b] = (uint8_t)random_below(&r, 3);
        }
        size_t lengths[4] = {(size_t)(n * codec->expert_bytes), (size_t)(n * codec->gate_bytes),
                             k == 0 ? 2 * (size_t)(n_tokens + 1) : 0,
                             random_below(&r, 2) == 0 ? 0 : ((size_t)n + 7) / 8};
        if (random_below(&r, 3) == 0) {
            lengths[random_below(&r, 4)] = (size_t)random_below(&r, 40);
        }
        if (decode_exactly(bytes, lengths, codec, k, n_tokens, n_experts, &d) != NULL) {
            continue;
        }
        accepted++;
        assert_int_equal(d.offsets[0], 0);
        assert_int_equal(d.offsets[n_tokens], d.n);
        for (int j = 0; j < d.n; j++) {
            assert_in_range(d.expert[j], 0, n_experts - 1);
            assert_in_range(d.dropped[j], 0, 1);
        }
    }
    assert_true(accepted > 1000);
    decisions_release(&d);
}

/* A gate is a number that is not below 0. */
static void test_scales(void **state)
{
    static const double good[] = {0, 1e-320, 1, 1e40}, bad[] = {-1, INFINITY, -INFINITY, NAN, 1e44};
    const uint8_t byte = 1;
    struct decisions d = {0};
    struct packed_block block = {
        .codec = codec_by_name("e8g8"), .k = 1, .experts = {&byte, 1}, .gates = {&byte, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        block.scale = good[i];
        assert_null(packed_block_decode(&block, 1, 2, &d));
        assert_true(isfinite(d.gate[0]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        block.scale = bad[i];
        assert_string_equal(packed_block_decode(&block, 1, 2, &d), "scale of gates");
    }
    decisions_release(&d);
}

/* What a few bytes claim costs no memory: each of these would be gigabytes, or 64 MiB. */
static void test_costly_blocks(void **state)
{
    static const struct {
        const char *codec, *wrong;
        int k, n_tokens;
    } claims[] = {{"a8", "k out of range", 65536, 257}, /* all of 65536 experts, gates unknown: 16842752 */
                  {"e8g8", "k out of range", 1, 1 << 30},
                  {"e8g8", "length of experts", 1, 1 << 24},
                  {"e8g8", "length of offsets", 0, 1 << 30},
                  {"e8g8", "number of tokens", 1, -1}};
    struct decisions d = {0};
    (void)state;
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        const struct packed_block block = {
            .codec = codec_by_name(claims[i].codec), .k = claims[i].k, .scale = SCALE_UNIT};
        const char *wrong = packed_block_decode(&block, claims[i].n_tokens, 65536, &d);
        assert_non_null(wrong);
        assert_string_equal(wrong, claims[i].wrong);
        assert_null(d.offsets);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),      cmocka_unit_test(test_fractions),
        cmocka_unit_test(test_scale),         cmocka_unit_test(test_losses),
        cmocka_unit_test(test_bits),          cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_names),         cmocka_unit_test(test_broken_blocks),
        cmocka_unit_test(test_costly_blocks), cmocka_unit_test(test_scales),
        cmocka_unit_test(test_ranges),        cmocka_unit_test(test_packing_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
