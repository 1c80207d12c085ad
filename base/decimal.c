/* A double is m 2^e with m below 2^53. Its first `digits` decimal digits are the integer nearest to
 *
 *     value 10^q = m 5^q / 2^s,    q = digits - 1 - exponent,    s = -(e + q)
 *
 * and m 5^q fits into 128 bits for the values taken here, so that nothing is rounded but the answer. It reads
 * back as the same double when it is less than half a unit of m away, which in units of 2^-s is 5^q / 2. */
#include "base/decimal.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

enum { MOST_SCALE = 27 }; /* 5^27 is the last below 2^64 */
static const uint64_t power_of_5[MOST_SCALE + 1] = {
    1u,
    5u,
    25u,
    125u,
    625u,
    3125u,
    15625u,
    78125u,
    390625u,
    1953125u,
    9765625u,
    48828125u,
    244140625u,
    1220703125u,
    6103515625u,
    30517578125u,
    152587890625u,
    762939453125u,
    3814697265625u,
    19073486328125u,
    95367431640625u,
    476837158203125u,
    2384185791015625u,
    11920928955078125u,
    59604644775390625u,
    298023223876953125u,
    1490116119384765625u,
    7450580596923828125u,
};
static const uint64_t ten_to_15 = 1000000000000000u; /* the least number of 16 digits */

struct decimal {
    uint64_t digits; /* n of them, the first not 0 */
    int n, exponent; /* of ten, of the first digit */
};

/* value * 10^q, rounded down; *rest: what was left over, in units of 2^-s, s >= 0. */
static uint64_t scale_down(uint64_t m, int e, int q, wide *rest)
{
    wide product = (wide)m * power_of_5[q];
    int s = -(e + q);
    if (s <= 0) {
        *rest = 0;
        return (uint64_t)(product << -s);
    }
    *rest = product & (((wide)1 << s) - 1);
    return (uint64_t)(product >> s);
}

/* The value with so many digits, rounded to nearest. False: that would not read back. */
static bool round_to(struct decimal *d, uint64_t m, int e, int n, int exponent)
{
    wide rest;
    int q = n - 1 - exponent, s = -(e + q);
    uint64_t digits = scale_down(m, e, q, &rest);
    bool up = false;
    if (s > 0) {
        wide half = (wide)1 << (s - 1);
        up = rest > half || (rest == half && digits % 2 == 1); /* half way: to the even one, as printf */
        rest = up ? 2 * half - rest : rest;
    }
    *d = (struct decimal){digits + up, n, exponent};
    /* Below a power of two the doubles lie twice as close. */
    int closer = m == (uint64_t)1 << 52 && !up ? 4 : 2;
    return n == 17 || rest * (wide)closer < power_of_5[q];
}

static void strip_zeros(struct decimal *d)
{
    while (d->digits % 10 == 0) {
        d->digits /= 10;
        d->n--;
    }
}

/* Rounding 9.99... up may have given one digit more. */
static void carry(struct decimal *d)
{
    uint64_t limit = d->n == 15 ? ten_to_15 : d->n == 16 ? 10 * ten_to_15 : 100 * ten_to_15;
    if (d->digits >= limit) {
        d->n++;
        d->exponent++;
    }
}

/* The digits from place `first` to before `last`, zeros where there are none. */
static char *write_digits(char *out, const struct decimal *d, int first, int last)
{
    char text[24] = {0};
    uint64_t digits = d->digits;
    for (int i = d->n - 1; i >= 0; i--) {
        text[i] = (char)('0' + digits % 10);
        digits /= 10;
    }
    for (int i = first; i < last; i++) {
        *out++ = '0';
        if (i >= 0 && i < d->n) {
            out[-1] = text[i];
        }
    }
    return out;
}

/* As "%g" writes it: with an exponent below 1e-4 (and from 10^digits on, which never gets here). */
static char *write(char *out, const struct decimal *d)
{
    bool scientific = d->exponent < -4;
    int whole = scientific ? 1 : d->exponent + 1; /* digits before the point */
    if (whole > 0) {
        out = write_digits(out, d, 0, whole);
    } else {
        *out++ = '0';
    }
    if (d->n > whole) {
        *out++ = '.';
        out = write_digits(out, d, whole, d->n);
    }
    if (scientific) {
        *out++ = 'e';
        *out++ = '-';
        *out++ = (char)('0' - d->exponent / 10);
        *out++ = (char)('0' - d->exponent % 10);
    }
    return out;
}

/* The exponent of ten of the first digit. */
static int first_digit(uint64_t m, int e)
{
    wide rest;
    int exponent = (int)floor((e + 52) * 0.30102999566398120); /* log10(2); at most one too small */
    return scale_down(m, e, 14 - exponent, &rest) >= ten_to_15 ? exponent + 1 : exponent;
}

size_t decimal_shortest(char out[DECIMAL_SIZE], double value)
{
    uint64_t bits;
    struct decimal d;
    char *end = out;
    double size = fabs(value);
    memcpy(&bits, &value, sizeof bits);
    if (bits >> 63) {
        *end++ = '-';
    }
    if (size == 0) {
        *end++ = '0';
    } else if (size >= 1e-10 && size < 1e15) {
        uint64_t m = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
        int e = (int)(bits >> 52 & 2047) - 1075, exponent = first_digit(m, e), n = 15; /* digits */
        while (!round_to(&d, m, e, n, exponent)) {
            n++;
        }
        carry(&d);
        strip_zeros(&d);
        end = write(end, &d);
    } else {
        return 0;
    }
    *end = '\0';
    return (size_t)(end - out);
}
