/* base/random.h: the generator against published values, its streams, and what is drawn from it. All seeds
 * are fixed, so every bound either always holds or never. */
#include "base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* From the state 1, 2, 3, 4. The first two by hand: rotl(1 + 4, 23) + 1 = 5 * 2^23 + 1; then the state is
 * 7, 0, 262146, 6 * 2^45 and rotl(7 + 6 * 2^45, 23) + 7 = 7 * 2^23 + 96 + 7. */
static void test_xoshiro(void **state)
{
    (void)state;
    struct random r = {{1, 2, 3, 4}};
    assert_true(random_bits(&r) == 41943041);
    assert_true(random_bits(&r) == 58720359);
    assert_true(r.s[0] != 0);
}

/* Seed 0 is mixed to e220a8397b1dcdaf, the first value of splitmix64 from 0; that very stream cancels it, so
 * that the state becomes splitmix64's first four values from 0, as its authors' code gives them. */
static void test_splitmix(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 0, 0xe220a8397b1dcdafu);
    assert_true(r.s[0] == 0xe220a8397b1dcdafu);
    assert_true(r.s[1] == 0x6e789e6aa1b965f4u);
    assert_true(r.s[2] == 0x06c45d188009454fu);
    assert_true(r.s[3] == 0xf88bb8a8724c81ecu);
}

static void test_reproducible(void **state)
{
    (void)state;
    struct random a, b;
    random_seed(&a, 42, 7);
    random_seed(&b, 42, 7);
    for (int i = 0; i < 100; i++)
        assert_true(random_bits(&a) == random_bits(&b));
    struct random kept = a; /* as a checkpoint keeps it */
    double next = random_normal(&a);
    assert_true(random_normal(&kept) == next);
}

static void test_streams_differ(void **state)
{
    (void)state;
    static const uint64_t pairs[][2] = {{1, 2}, {2, 1}, {1, 1}, {2, 2}, {0, 0}, {0, 1}, {1, 0}, {3, 0}};
    enum { N = sizeof pairs / sizeof pairs[0] };
    uint64_t first[N];
    for (int i = 0; i < N; i++) {
        struct random r;
        random_seed(&r, pairs[i][0], pairs[i][1]);
        first[i] = random_bits(&r);
        for (int j = 0; j < i; j++)
            assert_true(first[i] != first[j]);
    }
    /* Two streams of one seed do not move together: of 64,000 pairs of bits half agree, sd 126. */
    struct random a, b;
    random_seed(&a, 5, 0);
    random_seed(&b, 5, 1);
    int agree = 0;
    for (int i = 0; i < 1000; i++)
        agree += 64 - __builtin_popcountll(random_bits(&a) ^ random_bits(&b));
    assert_in_range(agree, 32000 - 5 * 126, 32000 + 5 * 126);
}

static void test_uniform(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct random r;
    double sum = 0, squares = 0, least = 1, most = 0;
    random_seed(&r, 11, 0);
    for (int i = 0; i < N; i++) {
        double u = random_uniform(&r);
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
        least = fmin(least, u);
        most = fmax(most, u);
    }
    assert_true(fabs(sum / N - 1.0 / 2) < 0.005); /* sd of the mean 0.0009 */
    assert_true(fabs(squares / N - 1.0 / 3) < 0.005);
    assert_true(least < 0.001 && most > 0.999);
    /* The greatest draw stays below 1: all bits set. s0 + s3 = 0 and s0 = 2^64 - 1 gives it. */
    struct random extreme = {{UINT64_MAX, 1, 1, 1}};
    assert_true(random_uniform(&extreme) == 1 - 0x1p-53);
}

static void test_below_reaches_all_evenly(void **state)
{
    (void)state;
    enum { SIDES = 7, N = 70000 };
    struct random r;
    int counts[SIDES] = {0};
    random_seed(&r, 3, 0);
    for (int i = 0; i < N; i++) {
        uint64_t k = random_below(&r, SIDES);
        assert_true(k < SIDES);
        counts[k]++;
    }
    double chi2 = 0;
    for (int i = 0; i < SIDES; i++)
        chi2 += (counts[i] - 10000.0) * (counts[i] - 10000.0) / 10000;
    assert_true(chi2 < 22.46); /* chi-square, 6 degrees of freedom, upper 0.001 */
    assert_true(random_below(&r, 1) == 0);
}

/* With n = 3 * 2^62 a bare `bits % n` would fall below 2^62 every second time instead of every third. */
static void test_below_is_unbiased(void **state)
{
    (void)state;
    enum { N = 30000 };
    struct random r;
    int low = 0;
    random_seed(&r, 4, 0);
    for (int i = 0; i < N; i++)
        low += random_below(&r, UINT64_C(3) << 62) < UINT64_C(1) << 62;
    assert_in_range(low, 10000 - 5 * 82, 10000 + 5 * 82); /* sd sqrt(30000 * 2 / 9) = 82 */
}

/* Moments of the standard normal: 0, 1, 0, 3. Their standard errors at n = 200,000: 0.0022, 0.0032, 0.0055
 * and 0.022 (variances 1, 2, 6 and 96 over n, taken generously). */
static void test_normal(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct random r;
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    int beyond = 0;
    random_seed(&r, 2024, 1);
    for (int i = 0; i < N; i++) {
        double x = random_normal(&r);
        assert_true(isfinite(x));
        m1 += x / N;
        m2 += x * x / N;
        m3 += x * x * x / N;
        m4 += x * x * x * x / N;
        beyond += fabs(x) > 1.959963985;
    }
    assert_true(fabs(m1) < 0.01);
    assert_true(fabs(m2 - 1) < 0.015);
    assert_true(fabs(m3) < 0.03);
    assert_true(fabs(m4 - 3) < 0.1);
    assert_in_range(beyond, 10000 - 5 * 98, 10000 + 5 * 98); /* 5 %; sd sqrt(200000 * 0.05 * 0.95) = 98 */
}

static void test_shuffle(void **state)
{
    (void)state;
    /* All 6 orders of 3 items about equally often. */
    enum { N = 60000 };
    int counts[6] = {0};
    struct random r;
    random_seed(&r, 8, 0);
    for (int i = 0; i < N; i++) {
        int items[3] = {0, 1, 2};
        random_shuffle(&r, items, 3);
        assert_int_equal((1 << items[0]) | (1 << items[1]) | (1 << items[2]), 7);
        counts[items[0] * 2 + (items[1] > items[2])]++;
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(counts[i], 10000 - 5 * 92, 10000 + 5 * 92); /* sd sqrt(60000 * 5 / 36) = 91.3 */
    random_shuffle(&r, NULL, 0);
    int one = 9;
    random_shuffle(&r, &one, 1);
    assert_int_equal(one, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xoshiro),           cmocka_unit_test(test_splitmix),
        cmocka_unit_test(test_reproducible),      cmocka_unit_test(test_streams_differ),
        cmocka_unit_test(test_uniform),           cmocka_unit_test(test_below_reaches_all_evenly),
        cmocka_unit_test(test_below_is_unbiased), cmocka_unit_test(test_normal),
        cmocka_unit_test(test_shuffle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
