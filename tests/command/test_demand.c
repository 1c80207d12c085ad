/* moescope demand on a logbook whose router was written by hand. 48 documents of four domains (c, english,
 * german, japanese), 32 tokens each; four experts, one choice a token; at step 0 every probability is 1/4, at
 * step 100 the number of experts that hold 90 % of the mass is
 *
 *   layer 0  1 in the first and third domain, 2 in the others; the likeliest expert is the domain's number
 *   layer 1  4: every probability is 1/4 still
 *   layer 2  3 for tokens with ids up to 21, which training saw up to 9261 times (token v: v^3 times),
 *            1 for others
 *   layer 3  1 at the first sixteen positions, 2 at the others */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/fixture.h"
#include "tests/rows.h"
#include "tests/support.h"

enum { N_DOMAINS = 4, PER_DOMAIN = 12, N_EXPERTS = 4 };

/* By the number of experts for 90 %, far enough from 0.9 for 16 bits. */
static const float shapes[5][N_EXPERTS] = {{0},
                                           {0.95f, 0.03f, 0.01f, 0.01f},
                                           {0.6f, 0.35f, 0.03f, 0.02f},
                                           {0.4f, 0.3f, 0.25f, 0.05f},
                                           {0.25f, 0.25f, 0.25f, 0.25f}};

static struct fixture fixture;

static int needed(const struct fixture_token *at)
{
    if (at->step == 0 || at->layer == 1)
        return 4;
    if (at->layer == 0)
        return at->domain % 2 ? 2 : 1;
    if (at->layer == 2)
        return at->id <= 21 ? 3 : 1;
    return at->position < 16 ? 1 : 2;
}

static void route(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    (void)context;
    for (int e = 0; e < n_experts; e++)
        probability[(at->domain + e) % n_experts] = shapes[needed(at)][e];
}

static int open_all(void **state)
{
    static const int64_t steps[] = {0, 100};
    struct fixture_run run = {.name = "known",
                              .n_layers = 4,
                              .n_experts = N_EXPERTS,
                              .k = 1,
                              .steps = steps,
                              .n_steps = 2,
                              .route = route};
    (void)state;
    fixture_open(&fixture, N_DOMAINS, PER_DOMAIN);
    fixture.verb = "demand";
    fixture_run(&fixture, &run);
    run.name = "decisions";
    run.without_probabilities = 1;
    fixture_run(&fixture, &run);
    fixture_unrouted_runs(&fixture);
    fixture_finish(&fixture);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fixture_release(&fixture);
    return 0;
}

static char *table_of(const char *run, const char *table)
{
    return fixture_table(&fixture, table, "--run %s", run);
}

static void test_layers(void **state)
{
    char *csv = table_of("known", "layers");
    (void)state;
    assert_int_equal(rows_count(csv), 4);
    /* Half of the documents 1, half 2; within domains they are alike. */
    assert_close(rows_real(csv, "0,", "concentration_90"), 1.5, 1e-12);
    assert_close(rows_real(csv, "0,", "low"), 1.5, 1e-12);
    assert_close(rows_real(csv, "0,", "high"), 1.5, 1e-12);
    assert_close(rows_real(csv, "0,", "k"), 1, 0);
    assert_close(rows_real(csv, "0,", "documents"), 48, 0);
    assert_close(rows_real(csv, "0,", "tokens"), 48 * 32, 0);
    /* -(.95 ln .95 + .03 ln .03 + 2 x .01 ln .01) = .24603, -(.6 ln .6 + ... + .02 ln .02) = .85739 */
    assert_close(rows_real(csv, "0,", "router_entropy"), (0.24603 + 0.85739) / 2, 2e-4);
    assert_close(rows_real(csv, "0,", "effective_by_token"), (exp(0.24603) + exp(0.85739)) / 2, 5e-4);
    assert_close(rows_real(csv, "1,", "concentration_90"), 4, 0);
    assert_close(rows_real(csv, "1,", "concentration_50"), 2, 0);
    assert_close(rows_real(csv, "1,", "router_entropy"), log(4), 1e-9);
    assert_close(rows_real(csv, "1,", "effective_by_token"), 4, 1e-9);
    /* What tokens of layer 2 are, documents decide: the interval has a width, and holds the estimate. */
    assert_true(rows_real(csv, "2,", "low") < rows_real(csv, "2,", "concentration_90"));
    assert_true(rows_real(csv, "2,", "high") > rows_real(csv, "2,", "concentration_90"));
    free(csv);
}

static void test_rank_mass(void **state)
{
    char *csv = table_of("known", "rank_mass");
    (void)state;
    assert_int_equal(rows_count(csv), 16);
    assert_close(rows_real(csv, "0,1,", "mass"), (0.95 + 0.6) / 2, 1e-4);
    assert_close(rows_real(csv, "0,2,", "mass"), (0.98 + 0.95) / 2, 1e-4);
    assert_close(rows_real(csv, "0,4,", "mass"), 1, 1e-9);
    assert_close(rows_real(csv, "1,3,", "mass"), 0.75, 1e-9);
    free(csv);
}

static void test_domains(void **state)
{
    char *csv = table_of("known", "domains");
    (void)state;
    assert_int_equal(rows_count(csv), 16);
    assert_close(rows_real(csv, "0,c,", "concentration_90"), 1, 0);
    assert_close(rows_real(csv, "0,english,", "concentration_90"), 2, 0);
    assert_close(rows_real(csv, "0,english,", "low"), 2, 0);
    assert_close(rows_real(csv, "0,english,", "documents"), 12, 0);
    assert_close(rows_real(csv, "3,german,", "concentration_90"), 1.5, 0); /* all 32 positions */
    free(csv);
    struct test_run r = fixture_ask(&fixture, "--run known --table domains --format csv --positions 16");
    assert_close(rows_real(r.out, "3,german,", "concentration_90"), 1, 0);
    test_run_release(&r);
    r = fixture_ask(&fixture,
                    "--run known --table domains --format csv --positions 20"); /* 16 of 1, 4 of 2 */
    assert_close(rows_real(r.out, "3,german,", "concentration_90"), 1.2, 1e-12);
    test_run_release(&r);
}

static void test_steps(void **state)
{
    char *csv = table_of("known", "steps");
    (void)state;
    assert_int_equal(rows_count(csv), 8);
    assert_close(rows_real(csv, "0,0,", "concentration_90"), 4, 0);
    assert_close(rows_real(csv, "0,0,", "router_entropy"), log(4), 1e-9);
    assert_close(rows_real(csv, "100,0,", "concentration_90"), 1.5, 1e-12);
    assert_close(rows_real(csv, "100,3,", "concentration_90"), 1.5, 1e-12);
    free(csv);
    struct test_run r = fixture_ask(&fixture, "--run known --table steps --format csv --step 0");
    assert_int_equal(rows_count(r.out), 4);
    test_run_release(&r);
}

/* Ids 3 and 4: 27 and 64 times; 5 to 9: up to 729; 10 to 21: up to 9261; 22 to 46: up to 97336; then more. */
static void test_frequency(void **state)
{
    char *csv = table_of("known", "frequency");
    (void)state;
    assert_int_equal(rows_count(csv), 4 * 5);
    assert_close(rows_real(csv, "2,10-99,", "concentration_90"), 3, 0);
    assert_close(rows_real(csv, "2,10-99,", "ids"), 2, 0);
    assert_close(rows_real(csv, "2,100-999,", "ids"), 5, 0);
    assert_close(rows_real(csv, "2,1000-9999,", "concentration_90"), 3, 0);
    assert_close(rows_real(csv, "2,1000-9999,", "ids"), 12, 0);
    assert_close(rows_real(csv, "2,10000-99999,", "concentration_90"), 1, 0);
    assert_close(rows_real(csv, "2,100000+,", "concentration_90"), 1, 0);
    /* In layer 0 the domain decides: within domains all buckets are as the mean of all, 1.5. */
    assert_close(rows_real(csv, "0,10-99,", "within_domain"), 1.5, 1e-9);
    assert_close(rows_real(csv, "0,100000+,", "within_domain"), 1.5, 1e-9);
    free(csv);
}

static void test_position(void **state)
{
    char *csv = table_of("known", "position");
    (void)state;
    assert_int_equal(rows_count(csv), 4 * 32);
    assert_close(rows_real(csv, "3,15,", "concentration_90"), 1, 0);
    assert_close(rows_real(csv, "3,16,", "concentration_90"), 2, 0);
    assert_close(rows_real(csv, "3,16,", "tokens"), 48, 0);
    free(csv);
}

/* Four domains of four experts: three have 75 %, so that it takes all. A tie goes to the domain's own expert
 * in `route`, but to the lowest when all are equal: expert 0 alone. */
static void test_working_set(void **state)
{
    char *csv = table_of("known", "working_set");
    (void)state;
    assert_close(rows_real(csv, "0,", "experts_for_90_percent_of_load"), 4, 0);
    assert_close(rows_real(csv, "0,", "experts_per_document"), 1, 0);
    assert_close(rows_real(csv, "0,", "tokens_per_document"), 32, 0);
    assert_close(rows_real(csv, "1,", "experts_for_90_percent_of_load"), 1, 0);
    assert_close(rows_real(csv, "1,", "unused"), 3, 0);
    free(csv);
    csv = table_of("decisions", "working_set"); /* needs no probabilities */
    assert_close(rows_real(csv, "1,", "unused"), 3, 0);
    free(csv);
}

static void test_verdict(void **state)
{
    char *csv = table_of("known", "verdict");
    (void)state;
    assert_non_null(
        strstr(csv, "layer 0: 90 % of gate mass lies on 1.50 of 4 experts (1.50 to 1.50; 4.00 at step 0; "
                    "48 documents), k is 1; most in english (2.00; 2.00 to 2.00), least in c (1.00"));
    rows_expect(csv, "layer 0,", "verdict", "spread");
    rows_expect(csv, "layer 1,", "verdict", "indifferent");
    assert_non_null(
        strstr(csv, "run,layers differ,\"layers differ: layer 1 spreads most, over 2.50 experts more than "
                    "layer "));
    assert_non_null(
        strstr(csv, "rare tokens (seen 1000-9999 times in training) against frequent ones (100000+ times)"));
    assert_non_null(strstr(csv, "layer 2 +2.00 (+2.00 to +2.00)"));
    assert_non_null(strstr(csv, "1 of 4 in layer 1 (3 unused)"));
    free(csv);
}

static void test_formats(void **state)
{
    struct test_run r = fixture_ask(&fixture, "--run known");
    (void)state;
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "demand of run 'known'"));
    assert_non_null(strstr(r.out, "working_set: experts that take 90 %"));
    test_run_release(&r);
    r = fixture_ask(&fixture, "--run known --table rank_mass --format json");
    assert_int_equal(strncmp(r.out, "[\n  {\"layer\": 0, \"rank\": 1, \"mass\": 0.77", 40), 0);
    test_run_release(&r);
}

static void test_refusals(void **state)
{
    (void)state;
    fixture_status(&fixture, "--run decisions", 3, "run 'decisions' kept no router probabilities");
    fixture_status(&fixture, "--run decisions --table steps", 3,
                   "run 'decisions' kept no router probabilities");
    fixture_status(&fixture, "--run dense", 3, "run 'dense' has no MoE layers");
    fixture_status(&fixture, "--run unprobed", 3, "run 'unprobed' logged no routing of a probe");
    fixture_status(&fixture, "--run known --step 7", 3, "no probe at step 7");
    fixture_status(&fixture, "--run known --positions 0", 2, "--positions");
}

/* The plain shell answers the same. */
static void test_print_sql(void **state)
{
    static const char *const tables[] = {"layers",   "rank_mass",   "domains", "frequency",
                                         "position", "working_set", "words"};
    static const char *const rows[] = {"2,",    "0,2,", "0,english,",     "2,10-99,",
                                       "3,16,", "1,",   "2,continuation,"};
    static const char *const columns[] = {"concentration_90", "mass",
                                          "concentration_90", "concentration_90",
                                          "concentration_90", "experts_for_90_percent_of_load",
                                          "concentration_90"};
    (void)state;
    for (int i = 0; i < 7; i++) {
        char *csv = table_of("known", tables[i]);
        char *shell = fixture_sql(&fixture, "--run known --table %s", tables[i]);
        assert_int_equal(rows_count(shell), rows_count(csv));
        assert_close(rows_real(shell, rows[i], columns[i]), rows_real(csv, rows[i], columns[i]), 1e-9);
        free(shell);
        free(csv);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),      cmocka_unit_test(test_rank_mass), cmocka_unit_test(test_domains),
        cmocka_unit_test(test_steps),       cmocka_unit_test(test_frequency), cmocka_unit_test(test_position),
        cmocka_unit_test(test_working_set), cmocka_unit_test(test_verdict),   cmocka_unit_test(test_formats),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_print_sql),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
