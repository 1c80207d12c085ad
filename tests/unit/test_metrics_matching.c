/* metrics/matching.h against matchings found by trying them all, and figures worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/matching.h"
#include "tests/close.h"

static void test_matching_by_hand(void **state)
{
    (void)state;
    /* Greedy takes 9 first and ends with 9 + 1 + 1 = 11; the best is 8 + 8 + 1 = 17. */
    const double gain[9] = {9, 8, 0, 8, 1, 0, 0, 0, 1};
    int match[3];
    assert_int_equal(best_matching(gain, 3, match, NULL), 0);
    assert_int_equal(match[0], 1);
    assert_int_equal(match[1], 0);
    assert_int_equal(match[2], 2);
}

static void test_matching_of_one(void **state)
{
    (void)state;
    const double gain[1] = {-4};
    int match[1] = {7};
    assert_int_equal(best_matching(gain, 1, match, NULL), 0);
    assert_int_equal(match[0], 0);
}

enum { SMALL = 5 };

/* The best sum over all 120 matchings, by going through them. */
static double best_by_trial(const double *gain, int row, unsigned used)
{
    double best = -INFINITY;
    if (row == SMALL)
        return 0;
    for (int c = 0; c < SMALL; c++)
        if (!(used >> c & 1))
            best = fmax(best, gain[row * SMALL + c] + best_by_trial(gain, row + 1, used | 1u << c));
    return best;
}

static void test_matching_against_trial(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 5, 0);
    for (int trial = 0; trial < 500; trial++) {
        double gain[SMALL * SMALL], sum = 0;
        int match[SMALL];
        unsigned used = 0;
        for (int i = 0; i < SMALL * SMALL; i++) /* small whole numbers: many ties, exact sums */
            gain[i] = (double)random_below(&r, 9) - 3;
        assert_int_equal(best_matching(gain, SMALL, match, NULL), 0);
        for (int row = 0; row < SMALL; row++) {
            used |= 1u << match[row];
            sum += gain[row * SMALL + match[row]];
        }
        assert_int_equal(used, 31); /* each column once */
        assert_close(sum, best_by_trial(gain, 0, 0), 0);
    }
}

enum { DOCUMENTS = 40, LENGTH = 200, EXPERTS = 4, TOKENS = DOCUMENTS * LENGTH };

struct choices {
    int64_t offset[DOCUMENTS + 1];
    int32_t a[TOKENS], b[TOKENS];
};

static struct paired_choices paired(struct choices *c)
{
    for (int d = 0; d <= DOCUMENTS; d++)
        c->offset[d] = (int64_t)d * LENGTH;
    return (struct paired_choices){DOCUMENTS, EXPERTS, c->offset, c->a, c->b};
}

static void test_renamed_experts_agree_wholly(void **state)
{
    (void)state;
    static struct choices c;
    static const int32_t other_name[EXPERTS] = {2, 0, 3, 1};
    struct matched_agreement m;
    struct random r;
    double by_document[DOCUMENTS];
    random_seed(&r, 1, 0);
    struct paired_choices p = paired(&c);
    for (int t = 0; t < TOKENS; t++) {
        c.a[t] = t % EXPERTS; /* every expert the same load in every document */
        c.b[t] = other_name[c.a[t]];
    }
    assert_int_equal(matched_agreement(&p, &r, &m, by_document, NULL), 0);
    assert_close(m.n_tokens, TOKENS, 0);
    assert_close(m.agreement, 1, 1e-12);
    assert_close(m.chance, 0.25, 1e-12); /* 4 x 1/4 x 1/4 */
    assert_close(m.above, 1, 1e-12);
    for (int d = 0; d < DOCUMENTS; d++)
        assert_close(by_document[d], LENGTH, 0);
}

static void test_routers_that_ignore_each_other(void **state)
{
    (void)state;
    static struct choices c;
    struct matched_agreement m;
    struct random r;
    random_seed(&r, 2, 0);
    struct paired_choices p = paired(&c);
    for (int t = 0; t < TOKENS; t++) {
        c.a[t] = (int32_t)random_below(&r, EXPERTS);
        c.b[t] = (int32_t)random_below(&r, EXPERTS);
    }
    assert_int_equal(matched_agreement(&p, &r, &m, NULL, NULL), 0);
    /* 8000 tokens: a share of 1/4 has a standard error of 0.0048. */
    assert_close(m.above, 0, 4 * 0.0048 / 0.75);
}

static void test_loads_alone_give_chance(void **state)
{
    (void)state;
    static struct choices c;
    struct matched_agreement m;
    struct random r;
    random_seed(&r, 3, 0);
    struct paired_choices p = paired(&c);
    /* Both send everything to one expert: they always agree, and could not help it. */
    for (int t = 0; t < TOKENS; t++) {
        c.a[t] = 3;
        c.b[t] = 0;
    }
    assert_int_equal(matched_agreement(&p, &r, &m, NULL, NULL), 0);
    assert_close(m.agreement, 1, 1e-12);
    assert_close(m.chance, 1, 1e-12);
    assert_nan(m.above);
}

static void test_one_document_cannot_be_halved(void **state)
{
    (void)state;
    const int64_t offset[2] = {0, 2};
    const int32_t choice[2] = {0, 1};
    struct paired_choices p = {1, 2, offset, choice, choice};
    struct matched_agreement m;
    struct random r;
    random_seed(&r, 4, 0);
    assert_int_equal(matched_agreement(&p, &r, &m, NULL, NULL), 0);
    assert_nan(m.agreement);
}

static void test_expert_out_of_range(void **state)
{
    (void)state;
    const int64_t offset[3] = {0, 1, 2};
    const int32_t a[2] = {0, 1}, b[2] = {0, 2};
    struct paired_choices p = {2, 2, offset, a, b};
    struct matched_agreement m;
    struct random r;
    struct error err;
    random_seed(&r, 4, 0);
    assert_int_equal(matched_agreement(&p, &r, &m, NULL, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching_by_hand),
        cmocka_unit_test(test_matching_of_one),
        cmocka_unit_test(test_matching_against_trial),
        cmocka_unit_test(test_renamed_experts_agree_wholly),
        cmocka_unit_test(test_routers_that_ignore_each_other),
        cmocka_unit_test(test_loads_alone_give_chance),
        cmocka_unit_test(test_one_document_cannot_be_halved),
        cmocka_unit_test(test_expert_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
