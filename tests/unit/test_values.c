/* Information on token ids and positions: worked by hand, independent of the folds, and its null. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/values.h"
#include "tests/close.h"

enum { MOST_DOCUMENTS = 40, LENGTH = 20, MOST_TOKENS = MOST_DOCUMENTS * LENGTH };

static int32_t first[MOST_DOCUMENTS + 1], value[MOST_TOKENS], offset[MOST_TOKENS + 1], expert[MOST_TOKENS];

static struct value_stream stream_of(int n_documents, int length, int n_values, int n_experts)
{
    for (int d = 0; d <= n_documents; d++)
        first[d] = d * length;
    for (int t = 0; t <= n_documents * length; t++)
        offset[t] = t;
    return (struct value_stream){n_documents, n_values, n_experts,
                                 first,       value,    {n_documents * length, offset, expert}};
}

/* Four documents of two tokens, value 0 to expert 0 and value 1 to expert 1. Two folds leave two documents to
 * learn from: n_00 = n_0 = n_e = 2 of n = 4. Smoothing 2: q_e = (2 + 1) / (4 + 2) = 1/2, so that every
 * decision is worth ln[(2 + 1) / (2 x 2/4 + 1)] = ln 1.5, whichever documents are in which fold. */
static void test_by_hand(void **state)
{
    struct information_options o = {INFORMATION_CROSS_FITTED, 2, 2};
    struct random r;
    struct error err;
    double nats, by_document[4];
    (void)state;
    random_seed(&r, 1, 1);
    for (int t = 0; t < 8; t++)
        value[t] = expert[t] = t % 2;
    struct value_stream s = stream_of(4, 2, 2, 2);
    assert_int_equal(value_information(&s, &o, &r, &nats, by_document, &err), 0);
    assert_close(nats, log(1.5), 1e-12);
    for (int d = 0; d < 4; d++)
        assert_close(by_document[d], 2 * log(1.5), 1e-12);
}

/* A value that no other document has is worth nothing. */
static void test_unseen_values(void **state)
{
    struct information_options o = information_defaults(3);
    struct random r;
    struct error err;
    double nats;
    (void)state;
    random_seed(&r, 1, 1);
    for (int t = 0; t < 60; t++) {
        value[t] = t / 10;
        expert[t] = t / 10 % 3;
    }
    struct value_stream s = stream_of(6, 10, 6, 3);
    assert_int_equal(value_information(&s, &o, &r, &nats, NULL, &err), 0);
    assert_close(nats, 0, 1e-12);
}

/* By position, in 40 documents of 20 tokens: expert = position modulo 4 is found, a random one is not. Values
 * many times the tokens also go through the other way of forgetting counts. */
static void test_null(void **state)
{
    struct information_options o = information_defaults(4);
    struct random r;
    struct error err;
    struct permutation_null known, random;
    (void)state;
    random_seed(&r, 3, 1);
    for (int t = 0; t < MOST_TOKENS; t++) {
        value[t] = t % LENGTH;
        expert[t] = t % LENGTH % 4;
    }
    struct value_stream s = stream_of(MOST_DOCUMENTS, LENGTH, LENGTH, 4);
    assert_int_equal(value_information_null(&s, &o, 50, &r, &known, &err), 0);
    /* 8 documents a fold: 32 to learn from, each position 32 times, each expert 160 of 640:
     * ln[(32 + 4/4) / (32/4 + 4/4)] */
    assert_close(known.observed, log(33. / 9), 1e-12);
    assert_close(known.p, 1 / 51., 1e-12);
    assert_true(known.high < 0.5 * known.observed);
    assert_int_equal(known.n, 50);
    for (int t = 0; t < MOST_TOKENS; t++)
        expert[t] = (int32_t)random_below(&r, 4);
    assert_int_equal(value_information_null(&s, &o, 50, &r, &random, &err), 0);
    assert_true(random.observed < 0.01 && random.p > 0.05);
    s.n_values = MOST_TOKENS; /* most do not occur */
    struct permutation_null again;
    random_seed(&r, 5, 1);
    assert_int_equal(value_information_null(&s, &o, 20, &r, &again, &err), 0);
    s.n_values = LENGTH;
    random_seed(&r, 5, 1);
    assert_int_equal(value_information_null(&s, &o, 20, &r, &random, &err), 0);
    assert_close(again.mean, random.mean, 1e-12);
}

static void test_options(void **state)
{
    struct information_options o = {INFORMATION_PLUG_IN, 5, 1};
    struct random r;
    struct error err;
    double nats;
    (void)state;
    random_seed(&r, 1, 1);
    struct value_stream s = stream_of(4, 2, 2, 2);
    assert_int_equal(value_information(&s, &o, &r, &nats, NULL, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_unseen_values),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
