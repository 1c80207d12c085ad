#include "import/shared/elements.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import/shared/blob.h"

size_t element_width(enum array_type type)
{
    switch (type) {
    case ARRAY_BOOL:
    case ARRAY_I8:
    case ARRAY_U8:
        return 1;
    case ARRAY_I16:
    case ARRAY_U16:
    case ARRAY_F16:
    case ARRAY_BF16:
        return 2;
    case ARRAY_I32:
    case ARRAY_U32:
    case ARRAY_F32:
        return 4;
    case ARRAY_I64:
    case ARRAY_U64:
    case ARRAY_F64:
        return 8;
    case ARRAY_UNREADABLE:
        return 0;
    }
    return 0;
}

int64_t elements_count(const int64_t *shape, int n_dimensions)
{
    const int64_t most = INT64_MAX / 8; /* their bytes can be counted too */
    int64_t count = 1, empty = 0;

    for (int i = 0; i < n_dimensions; i++) {
        if (shape[i] < 0 || shape[i] > most)
            return -1;
        empty |= shape[i] == 0;
        if (shape[i] > 0 && count > most / shape[i])
            return -1;
        count *= shape[i] > 0 ? shape[i] : 1;
    }
    return empty ? 0 : count;
}

void elements_swap(uint8_t *bytes, size_t n, size_t width)
{
    for (uint8_t *p = bytes; p < bytes + n * width; p += width) {
        for (size_t i = 0; i < width / 2; i++) {
            uint8_t other = p[i];
            p[i] = p[width - 1 - i];
            p[width - 1 - i] = other;
        }
    }
}

static inline float f32_of_bits(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double f64_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float read_f32(const uint8_t *p)
{
    return f32_of_bits(read_u32(p));
}

static inline double read_f64(const uint8_t *p)
{
    return f64_of_bits(read_u64(p));
}

static inline float read_bf16(const uint8_t *p)
{
    return f32_of_bits((uint32_t)read_u16(p) << 16);
}

/* 1 bit of sign, 5 of exponent (bias 15), 10 of fraction. */
static inline float read_f16(const uint8_t *p)
{
    uint32_t half = read_u16(p), sign = (half & 0x8000) << 16, rest = half & 0x7fff;
    float small = (float)rest * 0x1p-24f; /* without an exponent */
    uint32_t bits = (rest << 13) + ((127 - 15) << 23);

    if (rest < 0x400)
        memcpy(&bits, &small, sizeof bits);
    else if (rest >= 0x7c00) /* infinite, or no number */
        bits += (127 + 1 - 16) << 23;
    return f32_of_bits(sign | bits);
}

/* ---- whole numbers ---- */

#define EACH(expression)                                                                                     \
    for (size_t i = 0; i < n; i++)                                                                           \
        out[i] = (expression);                                                                               \
    return n

/* What can lie beyond int64, or between two whole numbers, is looked at one by one. */
#define EACH_WHOLE(type, read, width)                                                                        \
    for (size_t i = 0; i < n; i++) {                                                                         \
        type value = read(bytes + (width)*i);                                                                \
        if (!(value >= (type)-0x1p63 && value < (type)0x1p63))                                               \
            return i;                                                                                        \
        out[i] = (int64_t)value;                                                                             \
        if ((type)out[i] != value)                                                                           \
            return i;                                                                                        \
    }                                                                                                        \
    return n

static size_t unsigned_integers(const uint8_t *bytes, size_t n, int64_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = read_u64(bytes + 8 * i);
        if (value > INT64_MAX)
            return i;
        out[i] = (int64_t)value;
    }
    return n;
}

static size_t whole_reals(enum array_type type, const uint8_t *bytes, size_t n, int64_t *out)
{
    switch (type) {
    case ARRAY_F16:
        EACH_WHOLE(float, read_f16, 2);
    case ARRAY_BF16:
        EACH_WHOLE(float, read_bf16, 2);
    case ARRAY_F32:
        EACH_WHOLE(float, read_f32, 4);
    default:
        EACH_WHOLE(double, read_f64, 8);
    }
}

size_t elements_integers(enum array_type type, const uint8_t *bytes, size_t n, int64_t *out)
{
    switch (type) {
    case ARRAY_BOOL:
        EACH(bytes[i] != 0);
    case ARRAY_I8:
        EACH((bytes[i] ^ 0x80) - 0x80); /* the sign is the highest bit */
    case ARRAY_U8:
        EACH(bytes[i]);
    case ARRAY_I16:
        EACH((int16_t)read_u16(bytes + 2 * i));
    case ARRAY_U16:
        EACH(read_u16(bytes + 2 * i));
    case ARRAY_I32:
        EACH((int32_t)read_u32(bytes + 4 * i));
    case ARRAY_U32:
        EACH(read_u32(bytes + 4 * i));
    case ARRAY_I64:
        EACH((int64_t)read_u64(bytes + 8 * i));
    case ARRAY_U64:
        return unsigned_integers(bytes, n, out);
    case ARRAY_F16:
    case ARRAY_BF16:
    case ARRAY_F32:
    case ARRAY_F64:
        return whole_reals(type, bytes, n, out);
    case ARRAY_UNREADABLE:
        break;
    }
    return 0;
}

/* ---- reals ---- */

#define EACH_REAL(expression)                                                                                \
    for (size_t i = 0; i < n; i++)                                                                           \
        out[i] = (float)(expression);                                                                        \
    return

void elements_reals(enum array_type type, const uint8_t *bytes, size_t n, float *out)
{
    switch (type) {
    case ARRAY_BOOL:
        EACH_REAL(bytes[i] != 0);
    case ARRAY_I8:
        EACH_REAL((bytes[i] ^ 0x80) - 0x80);
    case ARRAY_U8:
        EACH_REAL(bytes[i]);
    case ARRAY_I16:
        EACH_REAL((int16_t)read_u16(bytes + 2 * i));
    case ARRAY_U16:
        EACH_REAL(read_u16(bytes + 2 * i));
    case ARRAY_I32:
        EACH_REAL((int32_t)read_u32(bytes + 4 * i));
    case ARRAY_U32:
        EACH_REAL(read_u32(bytes + 4 * i));
    case ARRAY_I64:
        EACH_REAL((int64_t)read_u64(bytes + 8 * i));
    case ARRAY_U64:
        EACH_REAL(read_u64(bytes + 8 * i));
    case ARRAY_F16:
        EACH_REAL(read_f16(bytes + 2 * i));
    case ARRAY_BF16:
        EACH_REAL(read_bf16(bytes + 2 * i));
    case ARRAY_F32:
        EACH_REAL(read_f32(bytes + 4 * i));
    case ARRAY_F64:
        EACH_REAL(read_f64(bytes + 8 * i));
    case ARRAY_UNREADABLE:
        break;
    }
}

void element_text(enum array_type type, const uint8_t *bytes, char text[32])
{
    float real = 0;
    int64_t whole = 0;

    if (type == ARRAY_U64) {
        snprintf(text, 32, "%" PRIu64, read_u64(bytes));
    } else if (type == ARRAY_F64) {
        snprintf(text, 32, "%.17g", read_f64(bytes));
    } else if (type >= ARRAY_F16) {
        elements_reals(type, bytes, 1, &real);
        snprintf(text, 32, "%.9g", real);
    } else {
        (void)elements_integers(type, bytes, 1, &whole);
        snprintf(text, 32, "%" PRId64, whole);
    }
    if (type == ARRAY_BOOL)
        snprintf(text, 32, "%s", whole ? "true" : "false");
}
