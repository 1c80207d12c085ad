/* The analyses find what is not there as often as they say, and tests whose unit is the token far more often:
 * `bench/calibration` in small, on 200 simulated logbooks without an effect. */
#include <gsl/gsl_cdf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"

enum { PARTS = 4, EACH = 50, LOGBOOKS = PARTS * EACH };

static char *folder, *bench;

/* A few at a time, since nothing may take two minutes. */
static void ask(int part)
{
    struct test_run r = test_run("%s/calibration --quiet --planted 0 --logbooks %d --seed %d --folder "
                                 "'%s' --json '%s/%d.json'",
                                 bench, EACH, part, folder, folder, part);
    if (r.status != 0)
        fail_msg("status %d: %s%s", r.status, r.out, r.err);
    test_run_release(&r);
}

static const struct {
    const char *test;
    bool single; /* of one hypothesis, so that it has the level that it says; of many, it may be wrong less
                    often */
} asked[] = {
    {"specialization: information on the domain in one layer, p <= 0.05", true},
    {"specialization: information on the domain in any layer, q <= 0.05", false},
    {"specialization: experts tell domains apart in any layer", false},
    {"specialization: lift of any expert in any domain, q <= 0.05", false},
    {"specialization: lift of one expert in one domain, interval without 1", true},
    {"compare: difference over all documents, interval without 0", true},
    {"compare: difference in one domain, interval without 0", true},
    {"compare: better or worse in any domain", false},
    {"demand: layers differ", false},
};

/* Of all parts, how often the test found something; -1: no part tells of it. */
static int count(const char *test, const char *column)
{
    double sum = 0;
    for (int part = 0; part < PARTS; part++) {
        struct test_run r =
            test_run("sqlite3 :memory: \"SELECT value ->> '%s' FROM json_each(readfile('%s/%d.json')) "
                     "WHERE value ->> 'test' = '%s'\"",
                     column, folder, part, test);
        sum += *r.out ? EACH * strtod(r.out, NULL) : -1e6;
        test_run_release(&r);
    }
    return sum < 0 ? -1 : (int)(sum + 0.5);
}

/* Whether so few, or so many, are seen once in 2000 times at 5 %. */
static bool too_few(int found)
{
    return gsl_cdf_binomial_P((unsigned)found, 0.05, LOGBOOKS) < 0.0005;
}

static bool too_many(int found)
{
    return found > 0 && gsl_cdf_binomial_Q((unsigned)found - 1, 0.05, LOGBOOKS) < 0.0005;
}

static void test_nothing_is_found_where_nothing_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        int found = count(asked[i].test, "found"), by_token = count(asked[i].test, "token_found");
        print_message("%3d and %3d of %d: %s\n", found, by_token, LOGBOOKS, asked[i].test);
        assert_true(found >= 0 && !too_many(found));
        assert_false(asked[i].single && too_few(found));
        assert_true(too_many(by_token));
    }
}

static int open_group(void **state)
{
    (void)state;
    folder = test_folder();
    bench = test_bench();
    for (int part = 0; bench && part < PARTS; part++)
        ask(part);
    return bench ? 0 : -1;
}

static int close_group(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bench);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_found_where_nothing_is),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
