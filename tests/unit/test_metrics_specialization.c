/* metrics/specialization.h against slot lists counted by hand. */
#include "metrics/specialization.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/close.h"

static const double exact = 1e-12;

/* ---- domains ---- */

static void test_domains(void **state)
{
    (void)state;
    /* k = 1; expert 2 is dead, domain 2 is empty. Over all: 4 of 10 and 6 of 10 tokens. */
    const double assignments[] = {3, 1, 0, 1, 5, 0, 0, 0, 0}, tokens[] = {4, 6, 0};
    double share[9], lift[9];
    domain_specialization(assignments, tokens, 3, 3, share, lift);
    assert_close(share[0], 0.75, exact);
    assert_close(share[4], 5. / 6, exact);
    assert_close(share[2], 0, 0);
    assert_close(lift[0], 0.75 / 0.4, exact);
    assert_close(lift[4], 5. / 6 / 0.6, exact);
    assert_nan(lift[2]);
    assert_nan(share[6]);
    assert_nan(lift[6]);
    /* k = N = 2: every expert has every token */
    const double all[] = {5, 5, 2, 2}, all_tokens[] = {5, 2};
    domain_specialization(all, all_tokens, 2, 2, share, NULL);
    assert_close(share[1], 1, 0);
    domain_specialization(all, all_tokens, 2, 2, NULL, lift);
    assert_close(lift[3], 1, exact);
}

/* ---- token ids ---- */

static struct vocabulary_specialization vocabulary(const struct token_cell *cells, int64_t n, double k,
                                                   double min_count)
{
    struct vocabulary_specialization v;
    struct random r;
    random_seed(&r, 3, 0);
    /* two documents: a half each, whichever is first */
    assert_int_equal(vocabulary_specialization(cells, n, 2, 3, k, min_count, &r, &v, NULL, NULL), 0);
    return v;
}

static void test_vocabulary_by_chance(void **state)
{
    (void)state;
    /* Id 0: 3 + 1 in document 0, 1 + 3 in document 1; id 1 once. */
    const struct token_cell cells[] = {{0, 0, 0, 3}, {0, 0, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 3}, {1, 0, 1, 1}};
    struct vocabulary_specialization v = vocabulary(cells, 5, 1, 1);
    assert_close(v.official, 0.75, exact); /* 4/8 and 1/1 */
    assert_close(v.held_out, 0.25, exact); /* each half's favourite has 1 of 4 in the other */
    /* the layer's busiest is expert 0 in document 0 (3 of 5), expert 1 in document 1: 1 of 4 both ways */
    assert_close(v.chance, 0.25, exact);
    assert_close(v.n_ids, 2, 0);
    assert_close(v.n_held_out_ids, 1, 0);
    assert_close(v.n_held_out, 8, 0);
    v = vocabulary(cells, 5, 1, 5); /* no half has five */
    assert_nan(v.held_out);
    assert_nan(v.chance);
    assert_close(v.official, 0.75, exact);
}

static void test_vocabulary_that_decides(void **state)
{
    (void)state;
    const struct token_cell cells[] = {{4, 0, 0, 10}, {4, 1, 0, 10}, {9, 0, 1, 4}, {9, 1, 1, 4}};
    struct vocabulary_specialization v = vocabulary(cells, 4, 1, 4);
    assert_close(v.held_out, 1, exact);
    assert_close(v.chance, 20. / 28, exact); /* expert 0 for every id */
    v = vocabulary(cells, 4, 1, 5);          /* id 9 is too rare */
    assert_close(v.n_held_out, 20, 0);
    assert_close(v.n_held_out_ids, 1, 0);
    /* k = 2: four occurrences a document, all with expert 0, half with 1, half with 2 */
    const struct token_cell pairs[] = {{4, 0, 0, 4}, {4, 0, 1, 2}, {4, 0, 2, 2},
                                       {4, 1, 0, 4}, {4, 1, 1, 2}, {4, 1, 2, 2}};
    v = vocabulary(pairs, 6, 2, 4);
    assert_close(v.official, 1, exact);
    assert_close(v.held_out, 1, exact);
    assert_close(v.n_held_out, 8, 0);
}

/* The halves judge each other: of document 0's four tokens of id 0 one goes to the favourite of document 1,
 * and the other way round; id 1 is only in document 0, so that nobody judges it. */
static void test_vocabulary_by_document(void **state)
{
    (void)state;
    const struct token_cell cells[] = {{0, 0, 0, 3}, {0, 0, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 3}, {1, 0, 1, 1}};
    double favourite[2] = {9, 9}, occurrences[2] = {9, 9};
    struct vocabulary_documents sums = {favourite, occurrences};
    struct vocabulary_specialization v;
    struct random r;
    random_seed(&r, 3, 0);
    assert_int_equal(vocabulary_specialization(cells, 5, 2, 3, 1, 1, &r, &v, &sums, NULL), 0);
    for (int d = 0; d < 2; d++) {
        assert_close(favourite[d], 1, 0);
        assert_close(occurrences[d], 4, 0);
    }
    assert_close((favourite[0] + favourite[1]) / (occurrences[0] + occurrences[1]), v.held_out, exact);
}

static void test_vocabulary_of_nothing(void **state)
{
    (void)state;
    struct vocabulary_specialization v = vocabulary(NULL, 0, 1, 1);
    assert_nan(v.official);
    assert_nan(v.held_out);
    const struct token_cell stray[] = {{0, 2, 0, 1}};
    struct random r;
    struct error err = {0};
    random_seed(&r, 3, 0);
    assert_int_equal(vocabulary_specialization(stray, 1, 2, 3, 1, 1, &r, &v, NULL, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
}

/* ---- pairs of experts ---- */

static void test_coactivation_counts_all_pairs(void **state)
{
    (void)state;
    /* {0 1} {0 2} {1 0} {} {2} {2 1 0}: ranks do not matter, first and last of three are a pair */
    const int32_t offset[] = {0, 2, 4, 6, 6, 7, 10}, expert[] = {0, 1, 0, 2, 1, 0, 2, 2, 1, 0};
    const struct slots s = {6, offset, expert};
    struct coactivation c;
    double given[9];
    assert_int_equal(coactivation_init(&c, 3, NULL), 0);
    coactivation_add(&c, &s);
    assert_close(c.n_tokens, 5, 0);
    const double pairs[9] = {4, 3, 2, 3, 3, 1, 2, 1, 3};
    for (int i = 0; i < 9; i++)
        assert_close(c.pairs[i], pairs[i], 0);
    coactivation_given(&c, given);
    assert_close(given[0 * 3 + 1], 0.75, exact);
    assert_close(given[1 * 3 + 0], 1, exact);
    coactivation_release(&c);
    coactivation_release(&c);
}

static void test_coactivation_expected(void **state)
{
    (void)state;
    /* Factors 1, 1, 1, 2 expect 1 for pairs among 0, 1, 2 and 2 with expert 3: margins 4, 4, 4, 6. The pairs
     * below have those margins, and four of the six are off by one: 4 of 9 pairs differ, half of that moves.
     */
    double pairs[16] = {9, 2, 0, 2, 2, 9, 1, 1, 0, 1, 9, 3, 2, 1, 3, 9}, expected[16];
    struct coactivation c = {4, 20, pairs};
    assert_int_equal(coactivation_expected(&c, expected, NULL), 0);
    assert_close(expected[0 * 4 + 1], 1, 1e-9);
    assert_close(expected[1 * 4 + 2], 1, 1e-9);
    assert_close(expected[3 * 4 + 2], 2, 1e-9);
    assert_close(expected[0 * 4 + 3], 2, 1e-9);
    assert_close(expected[5], 9, 0);
    assert_close(coactivation_departure(&c, expected), 2. / 9, 1e-9);
}

static void test_coactivation_at_the_ends(void **state)
{
    (void)state;
    double expected[16];
    /* top-1: no pairs */
    double single[4] = {3, 0, 0, 4};
    struct coactivation c = {2, 7, single};
    assert_int_equal(coactivation_expected(&c, expected, NULL), 0);
    assert_close(expected[1], 0, 0);
    assert_nan(coactivation_departure(&c, expected));
    /* two of four experts used, always together: nothing else was possible */
    double pair[16] = {5, 5, 0, 0, 5, 5, 0, 0};
    c = (struct coactivation){4, 5, pair};
    assert_int_equal(coactivation_expected(&c, expected, NULL), 0);
    assert_close(expected[1], 5, 1e-9);
    assert_close(expected[2], 0, 0);
    assert_close(expected[11], 0, 0);
    /* expert 0 in every pair: the margins leave no choice, reached in the limit */
    double star[9] = {4, 3, 1, 3, 3, 0, 1, 0, 1};
    c = (struct coactivation){3, 4, star};
    assert_int_equal(coactivation_expected(&c, expected, NULL), 0);
    assert_close(expected[1], 3, 0.01);
    assert_close(expected[5], 0, 0.01);
    double given[9];
    single[0] = 0;
    c = (struct coactivation){2, 7, single};
    coactivation_given(&c, given);
    assert_nan(given[1]);
}

static void test_coactivation_of_a_random_router(void **state)
{
    (void)state;
    enum { N = 8, T = 20000 };
    int32_t *offset = malloc((T + 1) * sizeof *offset), *expert = malloc(2 * T * sizeof *expert);
    struct random r;
    random_seed(&r, 5, 0);
    for (int t = 0; t < T; t++) {
        offset[t] = 2 * t;
        expert[2 * t] = (int32_t)random_below(&r, N);
        expert[2 * t + 1] = (int32_t)((expert[2 * t] + 1 + (int)random_below(&r, N - 1)) % N);
    }
    offset[T] = 2 * T;
    const struct slots s = {T, offset, expert};
    struct coactivation c;
    double expected[N * N], naive = 0;
    assert_int_equal(coactivation_init(&c, N, NULL), 0);
    coactivation_add(&c, &s);
    assert_int_equal(coactivation_expected(&c, expected, NULL), 0);
    assert_true(coactivation_departure(&c, expected) < 0.02);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            naive += i == j ? 0 : c.pairs[i * N + i] * c.pairs[j * N + j] / T;
    /* the trap: pairs against the naive chance are (k - 1) N / (k (N - 1)) = 4/7 */
    assert_close(2. * T / naive, 4. / 7, 0.005);
    coactivation_release(&c);
    free(offset);
    free(expert);
}

/* ---- repetition ---- */

static void test_repetition_of_first_choices(void **state)
{
    (void)state;
    /* 0 0 1 1 0: of four neighbours two agree. Chance 9/25 + 4/25; within (3 x 2 + 2 x 1) / (5 x 4). */
    const int32_t offset[] = {0, 1, 2, 3, 4, 5}, expert[] = {0, 0, 1, 1, 0};
    const struct slots s = {5, offset, expert}, none = {0, offset, expert}, single = {1, offset, expert};
    struct repetition p;
    struct repetition_rates rates;
    assert_int_equal(repetition_init(&p, 2, 1, NULL), 0);
    repetition_rates(&p, &rates);
    assert_nan(rates.first);
    repetition_add(&p, &s);
    repetition_add(&p, &none);
    repetition_rates(&p, &rates);
    assert_close(rates.n_pairs, 4, 0);
    assert_close(rates.first, 0.5, exact);
    assert_close(rates.first_chance, 13. / 25, exact);
    assert_close(rates.first_within, 0.4, exact);
    assert_close(rates.overlap, 0.5, exact); /* k = 1: the same */
    assert_close(rates.overlap_chance, 13. / 25, exact);
    assert_close(rates.overlap_within, 0.4, exact);
    repetition_add(&p, &single); /* no pair, and none across sequences */
    assert_close(p.n_pairs, 4, 0);
    assert_close(p.n_tokens, 6, 0);
    repetition_release(&p);
    assert_int_equal(repetition_init(&p, 2, 2, NULL), 0);
    repetition_add(&p, &s); /* 0-1, 0-1, 1-0 */
    assert_close(p.n_pairs, 3, 0);
    assert_close(p.same_first, 0, 0);
    repetition_release(&p);
    assert_int_equal(repetition_init(&p, 2, 0, NULL), -1);
}

static void test_repetition_of_two(void **state)
{
    (void)state;
    /* {0 1} {1 2} {1 0}, then a token that none took: neighbours share 1 and 1 of 2. Experts are in 2, 3, 1
     * of 3 tokens: chance (4 + 9 + 1) / 9 / 2; the three different pairs share 1, 1, 2: 4/3 of 2. */
    const int32_t offset[] = {0, 2, 4, 6, 6}, expert[] = {0, 1, 1, 2, 1, 0};
    const struct slots s = {4, offset, expert};
    struct repetition p;
    struct repetition_rates rates;
    assert_int_equal(repetition_init(&p, 3, 1, NULL), 0);
    repetition_add(&p, &s);
    repetition_rates(&p, &rates);
    assert_close(rates.n_pairs, 2, 0);
    assert_close(rates.first, 0.5, exact);
    assert_close(rates.overlap, 0.5, exact);
    assert_close(rates.overlap_chance, 7. / 9, exact);
    assert_close(rates.overlap_within, 2. / 3, exact);
    repetition_release(&p);
}

/* ---- agreement ---- */

static void test_agreement(void **state)
{
    (void)state;
    /* A {0 1} {0 2} {1 2} {0} {}, B {1 0} {0 3} {3 0} {} {2}: the last two are left out. Shared 2 + 1 + 0 of
     * 6 and 6. */
    const int32_t offset_a[] = {0, 2, 4, 6, 7, 7}, a[] = {0, 1, 0, 2, 1, 2, 0};
    const int32_t offset_b[] = {0, 2, 4, 6, 6, 7}, b[] = {1, 0, 0, 3, 3, 0, 2};
    const struct slots left = {5, offset_a, a}, right = {5, offset_b, b}, shorter = {3, offset_b, b};
    struct agreement g;
    struct agreement_rates rates;
    struct error err = {0};
    assert_int_equal(agreement_init(&g, 4, NULL), 0);
    agreement_rates(&g, &rates);
    assert_nan(rates.overlap);
    assert_int_equal(agreement_add(&g, &left, &shorter, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_int_equal(agreement_add(&g, &left, &right, NULL), 0);
    agreement_rates(&g, &rates);
    assert_close(rates.n_tokens, 3, 0);
    assert_close(rates.overlap, 0.5, exact);
    /* experts 0, 1, 2 are in 2, 2, 2 of A; 0, 1, 3 in 3, 1, 2 of B: 2 (6 + 2) / 3 / 12 */
    assert_close(rates.overlap_chance, 4. / 9, exact);
    assert_close(rates.overlap_above, 0.1, exact); /* (1/2 - 4/9) / (5/9) */
    /* first choices 0 0 1 and 1 0 3: 1 of 3; chance (2 x 1 + 1 x 1) / 9 */
    assert_close(rates.first, 1. / 3, exact);
    assert_close(rates.first_chance, 1. / 3, exact);
    assert_close(rates.first_above, 0, exact);
    agreement_release(&g);
}

static void test_agreement_of_different_sizes_and_of_one_expert(void **state)
{
    (void)state;
    const int32_t two[] = {0, 2}, one[] = {0, 1}, expert[] = {0, 1};
    const struct slots pair = {1, two, expert}, single = {1, one, expert};
    struct agreement g;
    struct agreement_rates rates;
    assert_int_equal(agreement_init(&g, 2, NULL), 0);
    assert_int_equal(agreement_add(&g, &pair, &single, NULL), 0);
    agreement_rates(&g, &rates);
    assert_close(rates.overlap, 2. / 3, exact); /* 2 x 1 / (2 + 1) */
    agreement_release(&g);
    assert_int_equal(agreement_init(&g, 1, NULL), 0);
    assert_int_equal(agreement_add(&g, &single, &single, NULL), 0);
    agreement_rates(&g, &rates);
    assert_close(rates.overlap, 1, exact);
    assert_close(rates.overlap_chance, 1, exact);
    assert_nan(rates.overlap_above);
    assert_nan(rates.first_above);
    agreement_release(&g);
}

static void test_fluctuation(void **state)
{
    (void)state;
    /* Token 0 never moves, token 1 last differs from its final expert at evaluation 2, token 2 at 0. */
    const int32_t expert[] = {1, 0, 2, 1, 1, 1, 1, 0, 1, 1, 1, 1};
    int32_t last[3];
    double after[4];
    fluctuation_last(expert, 4, 3, last);
    assert_int_equal(last[0], -1);
    assert_int_equal(last[1], 2);
    assert_int_equal(last[2], 0);
    fluctuation_after(last, 4, 3, after);
    assert_close(after[0], 2. / 3, exact);
    assert_close(after[1], 1. / 3, exact);
    assert_close(after[2], 1. / 3, exact);
    assert_close(after[3], 0, 0);
    fluctuation_last(expert, 1, 3, last);
    assert_int_equal(last[1], -1);
    fluctuation_after(last, 2, 0, after);
    assert_nan(after[0]);
}

/* Four tokens end 3 to 1, of evaluation 1 they are 2 to 2, of evaluation 0 all with expert 0. Dealt anew, a
 * token is by chance where it ends: at 1 with 1/2, at 0 and 1 with 3/4 x 1 x 1/2 + 1/4 x 0 x 1/2. */
static void test_fluctuation_by_chance(void **state)
{
    (void)state;
    const double first[] = {4, 0, 2, 2, 3, 1}, nothing[] = {0, 0};
    double chance[3];
    fluctuation_chance(first, 3, 2, chance);
    assert_close(chance[0], 1 - 3. / 8, exact);
    assert_close(chance[1], 0.5, exact);
    assert_close(chance[2], 0, 0);
    fluctuation_chance(nothing, 1, 2, chance);
    assert_nan(chance[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_vocabulary_by_chance),
        cmocka_unit_test(test_vocabulary_that_decides),
        cmocka_unit_test(test_vocabulary_by_document),
        cmocka_unit_test(test_vocabulary_of_nothing),
        cmocka_unit_test(test_coactivation_counts_all_pairs),
        cmocka_unit_test(test_coactivation_expected),
        cmocka_unit_test(test_coactivation_at_the_ends),
        cmocka_unit_test(test_coactivation_of_a_random_router),
        cmocka_unit_test(test_repetition_of_first_choices),
        cmocka_unit_test(test_repetition_of_two),
        cmocka_unit_test(test_agreement),
        cmocka_unit_test(test_agreement_of_different_sizes_and_of_one_expert),
        cmocka_unit_test(test_fluctuation),
        cmocka_unit_test(test_fluctuation_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
