/* Lifts worked by hand, and the error rates of their intervals and tests. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/lift.h"
#include "tests/close.h"

enum { N_DOMAINS = 2, PER_DOMAIN = 10, N_DOCUMENTS = N_DOMAINS * PER_DOMAIN, N_EXPERTS = 3 };

static double count[N_DOCUMENTS * N_EXPERTS], tokens[N_DOCUMENTS];
static int domain[N_DOCUMENTS];

static void measure(int n_documents, struct lift_cell *cells)
{
    struct interval_options o = interval_defaults();
    struct random r;
    struct error err;
    random_seed(&r, 1, 1);
    assert_int_equal(
        domain_lift(count, tokens, domain, n_documents, N_DOMAINS, N_EXPERTS, &o, &r, cells, &err), 0);
}

/* Documents of ten tokens: in domain 0 eight go to expert 0 and two to expert 1, in domain 1 the other way
 * round. Expert 0 has half of all tokens: lifts 0.8 / 0.5 and 0.2 / 0.5. Any half of equal documents
 * says the same. Of the ways to deal 20 documents 2 in C(20, 10) = 184756 are as one-sided: 2000 exchanges
 * miss them, p = 2 (1 + 0) / 2001. */
static void test_by_hand(void **state)
{
    struct lift_cell cells[N_DOMAINS * N_EXPERTS];
    (void)state;
    for (int d = 0; d < N_DOCUMENTS; d++) {
        domain[d] = d % 2;
        tokens[d] = 10;
        count[d * N_EXPERTS + 0] = domain[d] ? 2 : 8;
        count[d * N_EXPERTS + 1] = domain[d] ? 8 : 2;
        count[d * N_EXPERTS + 2] = 0;
    }
    measure(N_DOCUMENTS, cells);
    assert_close(cells[0].share, 0.8, 1e-12);
    assert_close(cells[0].lift, 1.6, 1e-12);
    assert_close(cells[0].low, 1.6, 1e-6); /* kept as float */
    assert_close(cells[0].high, 1.6, 1e-6);
    assert_close(cells[0].p, 2.0 / 2001, 1e-12);
    assert_close(cells[N_EXPERTS].lift, 0.4, 1e-12);
    assert_close(cells[N_EXPERTS].p, 2.0 / 2001, 1e-12);
    /* An expert that nobody uses: a share of nothing, of which nothing can be said. */
    assert_close(cells[2].share, 0, 0);
    assert_nan(cells[2].lift);
    assert_nan(cells[2].low);
    assert_nan(cells[2].p);
    /* Nine documents of a domain: no interval, but a test. */
    measure(N_DOCUMENTS - 1, cells);
    assert_true(!isnan(cells[0].low));
    assert_nan(cells[N_EXPERTS].low);
    assert_true(cells[N_EXPERTS].p < 0.01);
}

/* One token of one document is all that expert 2 ever got. Its lift is 2 in one domain and 0 in the other,
 * and that means nothing: half of all exchanges give the same. */
static void test_a_rare_expert_is_not_significant(void **state)
{
    struct lift_cell cells[N_DOMAINS * N_EXPERTS];
    (void)state;
    for (int d = 0; d < N_DOCUMENTS; d++) {
        domain[d] = d % 2;
        tokens[d] = 10;
        count[d * N_EXPERTS + 0] = 10 - (d == 0);
        count[d * N_EXPERTS + 1] = 0;
        count[d * N_EXPERTS + 2] = d == 0;
    }
    measure(N_DOCUMENTS, cells);
    assert_close(cells[2].lift, 2, 1e-12);
    assert_close(cells[N_EXPERTS + 2].lift, 0, 0);
    assert_true(cells[2].p > 0.9 && cells[N_EXPERTS + 2].p > 0.9);
}

/* 60 logbooks of a router that ignores domains: tests and intervals should be wrong once in twenty
 * (3 x sqrt(0.05 x 0.95 / 120) = 0.06, the independent cells being 2 each). */
static void test_error_rates(void **state)
{
    struct lift_cell cells[N_DOMAINS * N_EXPERTS];
    struct random r;
    int significant = 0, missed = 0;
    (void)state;
    random_seed(&r, 7, 7);
    for (int i = 0; i < 60; i++) {
        for (int c = 0; c < N_DOCUMENTS * N_EXPERTS; c++)
            count[c] = 0;
        for (int d = 0; d < N_DOCUMENTS; d++)
            for (tokens[d] = 0; tokens[d] < 30; tokens[d]++)
                count[d * N_EXPERTS + (int)random_below(&r, N_EXPERTS)]++;
        measure(N_DOCUMENTS, cells);
        for (int c = 0; c < N_DOMAINS * N_EXPERTS; c++) {
            significant += cells[c].p <= 0.05;
            missed += cells[c].low > 1 || cells[c].high < 1;
        }
    }
    assert_close(significant / 360.0, 0.05, 0.06);
    assert_close(missed / 360.0, 0.05, 0.06);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_a_rare_expert_is_not_significant),
        cmocka_unit_test(test_error_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
