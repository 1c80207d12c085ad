/* moescope specialization on a logbook whose router was written by hand. 60 documents of four domains, 32
 * tokens each; four experts, one choice a token; probed at steps 0 and 100.
 *
 *   layer 0  step 0: anything; step 100: expert d serves domain d and nothing else
 *   layer 1  anything, at both steps
 *   layer 2  step 0: anything; step 100: the expert is the token's id modulo 4
 *   layer 3  expert d serves domain d, at both steps
 *
 * "Anything" is a hash of document, position and layer: it does not depend on the domain. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

enum { N_DOMAINS = 4, PER_DOMAIN = 15, N_EXPERTS = 4 };

static struct fixture fixture;
static char *information; /* the table of that name, which takes longest */

static int anything(const struct fixture_token *at)
{
    uint64_t key = (uint64_t)(at->document * 64 + at->position) * 8 + (uint64_t)at->layer;
    return (int)(fixture_hash(key * 1000 + (uint64_t)at->step) % N_EXPERTS);
}

static void route(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    (void)context;
    int chosen = anything(at);
    if (at->layer == 3 || (at->layer == 0 && at->step > 0))
        chosen = at->domain;
    if (at->layer == 2 && at->step > 0)
        chosen = at->id % n_experts;
    for (int e = 0; e < n_experts; e++)
        probability[e] = e == chosen ? 0.85f : 0.05f;
}

/* Two choices: experts 0 and 1 for the even domains, 2 and 3 for the odd ones. */
static void route_pairs(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    (void)context;
    for (int e = 0; e < n_experts; e++)
        probability[e] = e / 2 == at->domain % 2 ? 0.4f : 0.1f;
}

/* Two layers of two choices: the first is of the domain in the one and of the domain after it in the other.
 */
static void route_through(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    (void)context;
    int chosen = (at->domain + at->layer) % n_experts;
    for (int e = 0; e < n_experts; e++)
        probability[e] = e == chosen ? 0.7f : e == (chosen + 2) % n_experts ? 0.2f : 0.05f;
}

static char *table_of(const char *run, const char *table)
{
    return fixture_table(&fixture, table, "--run %s", run);
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
    fixture.verb = "specialization";
    fixture_run(&fixture, &run);
    run = (struct fixture_run){.name = "pairs",
                               .n_layers = 1,
                               .n_experts = N_EXPERTS,
                               .k = 2,
                               .steps = steps,
                               .n_steps = 1,
                               .route = route_pairs};
    fixture_run(&fixture, &run);
    run.name = "still";
    run.n_steps = 2;
    fixture_run(&fixture, &run);
    run.name = "through";
    run.n_layers = 2;
    run.route = route_through;
    fixture_run(&fixture, &run);
    fixture_unrouted_runs(&fixture);
    fixture_finish(&fixture);
    information = table_of("known", "information");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    free(information);
    fixture_release(&fixture);
    return 0;
}

/* An expert a domain: 60 documents in 5 folds leave 12 of each domain to learn from, 384 tokens of 1536. The
 * domain's own expert has 384 + 4 x 1/4 of them smoothed, by chance it would have 384/4 + 4 x 1/4: every
 * decision is worth ln(385 / 97), a little below ln 4. */
static void test_information_of_domains(void **state)
{
    const char *csv = information;
    (void)state;
    assert_close(rows_real(csv, "0,domain,100,", "mutual_information"), log(385.0 / 97), 1e-12);
    assert_close(rows_real(csv, "0,domain,100,", "normalized"), log(385.0 / 97) / log(4), 1e-12);
    assert_close(rows_real(csv, "0,domain,100,", "low"), log(385.0 / 97), 1e-9);
    assert_close(rows_real(csv, "0,domain,100,", "documents"), 60, 0);
    assert_close(rows_real(csv, "0,domain,100,", "p"), 1.0 / 201, 1e-12); /* none of 200 permutations */
    assert_true(rows_real(csv, "0,domain,100,", "null_high") < 0.2);
    /* Not at step 0, where the third layer has it already. */
    assert_true(rows_real(csv, "0,domain,0,", "mutual_information") < 0.01);
    assert_close(rows_real(csv, "3,domain,0,", "mutual_information"), log(385.0 / 97), 1e-12);
}

/* With seven labels one may well be outside of its 95 % by chance. Nothing may be found all the same. */
static void test_independent_router_stays_in_its_null(void **state)
{
    static const char *const labels[] = {"domain", "domain|token", "language", "parity",
                                         "token",  "next_token",   "position"};
    int outside = 0;
    (void)state;
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        char start[64];
        snprintf(start, sizeof start, "1,%s,100,", labels[i]);
        double x = rows_real(information, start, "mutual_information");
        outside +=
            x < rows_real(information, start, "null_low") || x > rows_real(information, start, "null_high");
        assert_true(x < 0.002);
        assert_true(rows_real(information, start, "q") > 0.05);
    }
    assert_true(outside <= 1);
    assert_true(rows_real(information, "1,domain,100,", "low") < 0);
}

/* Where the token decides, its id tells nearly ln 4, the domain next to nothing once it is known; where the
 * domain decides it tells as much between equal tokens. */
static void test_tokens_are_told_from_topics(void **state)
{
    const char *csv = information;
    (void)state;
    assert_true(rows_real(csv, "2,token,100,", "mutual_information") > 1.0);
    assert_close(rows_real(csv, "2,token,100,", "p"), 1.0 / 201, 1e-12);
    assert_true(fabs(rows_real(csv, "2,domain|token,100,", "mutual_information")) < 0.02);
    assert_true(rows_real(csv, "0,domain|token,100,", "mutual_information") > 0.7);
    assert_true(fabs(rows_real(csv, "0,token,100,", "mutual_information")) < 0.05);
}

/* What was known before, and what routers know that look at the token alone: with tokens that do not depend
 * on the domain, nothing of it, but of the token as much as the layer that goes by it. */
static void test_references(void **state)
{
    char *csv = fixture_table(&fixture, "references", "--run known --permutations 20");
    (void)state;
    assert_int_equal(rows_count(csv), 4 * 9); /* last step only; 9 labels: 3 of documents, their pairs, ... */
    assert_close(rows_real(csv, "0,domain,", "mutual_information"), log(385.0 / 97), 1e-12);
    assert_close(rows_real(csv, "0,domain,", "first"),
                 rows_real(information, "0,domain,0,", "mutual_information"), 1e-12);
    assert_close(rows_real(csv, "0,domain,", "gain"),
                 rows_real(csv, "0,domain,", "mutual_information") - rows_real(csv, "0,domain,", "first"),
                 1e-12);
    assert_true(rows_real(csv, "0,domain,", "gain_low") > 1.2);
    assert_close(rows_real(csv, "3,domain,", "gain"), 0, 1e-12);
    assert_true(rows_real(csv, "0,domain,", "hash_high") < 0.02);
    assert_close(rows_real(csv, "2,token,", "hash"), rows_real(csv, "2,token,", "mutual_information"), 0.05);
    assert_close(rows_real(csv, "0,domain|token,", "hash"), 0, 0);
    free(csv);
    csv = fixture_table(&fixture, "references",
                        "--run known --permutations 20 --step 0"); /* nothing before it */
    assert_nan(rows_real(csv, "0,domain,", "gain"));
    assert_nan(rows_real(csv, "0,domain,", "first"));
    assert_true(rows_real(csv, "0,domain,", "hash_low") < 0.01);
    free(csv);
}

/* language is odd or even by domain and parity crosses it: with one held fixed every document of the other
 * takes part. Among the even domains alone language has one value, and goes. */
static void test_some_documents(void **state)
{
    char *csv =
        fixture_table(&fixture, "information",
                      "--run known --permutations 20 --where-label domain=c --where-label domain=german "
                      "--where-label parity=1");
    (void)state;
    assert_close(rows_real(information, "0,language|parity,100,", "documents"), 60, 0);
    assert_close(rows_real(csv, "0,domain,100,", "documents"), 14, 0); /* 7 of 15 each */
    /* an expert for each of two domains: about ln 2, as near as uneven folds come to it */
    assert_close(rows_real(csv, "0,domain,100,", "mutual_information"), log(2), 0.08);
    assert_null(strstr(csv, "language"));
    assert_null(strstr(csv, "parity"));
    free(csv);
    csv = fixture_table(&fixture, "verdict", "--run known --permutations 20 --where-label domain=c");
    assert_non_null(strstr(csv, "15 documents of 1 domains, 480 tokens; only those with domain=c"));
    free(csv);
}

static void test_lift(void **state)
{
    char *csv = table_of("known", "lift");
    (void)state;
    assert_int_equal(rows_count(csv), 4 * N_DOMAINS * N_EXPERTS);
    /* Domain 1 is called english: all of it goes to expert 1, which has a quarter of all text. */
    assert_close(rows_real(csv, "0,english,1,", "share"), 1, 0);
    assert_close(rows_real(csv, "0,english,1,", "lift"), 4, 1e-9);
    assert_close(rows_real(csv, "0,english,1,", "low"), 4, 1e-5);
    assert_close(rows_real(csv, "0,english,1,", "high"), 4, 1e-5);
    assert_true(rows_real(csv, "0,english,1,", "q") < 0.01);
    assert_close(rows_real(csv, "0,english,2,", "lift"), 0, 0);
    for (int domain = 0; domain < N_DOMAINS; domain++) { /* and none in the layer that ignores domains */
        static const char *const names[] = {"c", "english", "german", "japanese"};
        char start[32];
        snprintf(start, sizeof start, "1,%s,3,", names[domain]);
        assert_close(rows_real(csv, start, "lift"), 1, 0.2);
        assert_true(rows_real(csv, start, "low") < 1 && rows_real(csv, start, "high") > 1);
    }
    free(csv);
}

/* Expert 1 of layer 2 has the ids 5, 9, 13, ...: each token is wholly its own. */
static void test_tokens(void **state)
{
    char *csv = table_of("known", "tokens");
    (void)state;
    for (int rank = 1; rank <= 10; rank++) {
        char start[32];
        snprintf(start, sizeof start, "2,1,%d,", rank);
        char *token = rows_text(csv, start, "token");
        assert_int_equal(token[0], 'w');
        assert_int_equal(strtol(token + 1, NULL, 10) % 4, 1);
        free(token);
        assert_close(rows_real(csv, start, "lift"), rows_real(csv, "2,1,1,", "lift"), 1e-12);
        assert_true(rows_real(csv, start, "documents") >= 3);
    }
    free(csv);
}

static void test_vocabulary(void **state)
{
    char *csv = table_of("known", "vocabulary");
    (void)state;
    assert_close(rows_real(csv, "2,input,", "specialization"), 1, 0);
    assert_true(rows_real(csv, "2,next,", "specialization") < 0.4);
    assert_true(rows_real(csv, "1,input,", "specialization") < 0.4);
    assert_true(rows_real(csv, "2,input,", "ids") > 50); /* of 61 */
    assert_close(rows_real(csv, "2,input,", "low"), 1, 0);
    assert_true(rows_real(csv, "1,input,", "low") < rows_real(csv, "1,input,", "specialization"));
    assert_true(rows_real(csv, "1,input,", "high") > rows_real(csv, "1,input,", "specialization"));
    assert_in_range(100 * rows_real(csv, "2,input,", "covered"), 90, 100);
    free(csv);
}

/* 0 and 1 are always together, never with 2 and 3; experts that ignored each other would share a token's
 * other choice evenly, a third each. */
static void test_coactivation(void **state)
{
    char *csv = table_of("pairs", "coactivation");
    (void)state;
    assert_int_equal(rows_count(csv), 12);
    assert_close(rows_real(csv, "0,0,1,", "probability"), 1, 0);
    assert_close(rows_real(csv, "0,0,1,", "lift"), 3, 1e-6);
    assert_close(rows_real(csv, "0,2,1,", "probability"), 0, 0);
    assert_close(rows_real(csv, "0,2,1,", "lift"), 0, 0);
    free(csv);
    csv = table_of("known", "coactivation"); /* one choice a token: no pairs */
    assert_int_equal(rows_count(csv), 0);
    free(csv);
}

/* Experts d and d + 2 of the one layer lead to d + 1 and d + 3 of the next, and nowhere else. Domains d and
 * d + 2 share their experts, so that each has half of the tokens, and each pair a quarter by chance. */
static void test_flow(void **state)
{
    char *csv = table_of("through", "flow");
    (void)state;
    assert_int_equal(rows_count(csv), N_EXPERTS * N_EXPERTS);
    for (int e = 0; e < N_EXPERTS; e++)
        for (int next = 0; next < N_EXPERTS; next++) {
            char start[32];
            bool leads = (next - e + N_EXPERTS) % 2 == 1;
            snprintf(start, sizeof start, "0,%d,1,%d,", e, next);
            assert_close(rows_real(csv, start, "probability"), leads, 1e-12);
            assert_close(rows_real(csv, start, "lift"), leads ? 2 : 0, 1e-12);
            assert_close(rows_real(csv, start, "tokens"), leads ? 960 : 0, 0); /* of 1920 */
        }
    free(csv);
    csv = fixture_table(&fixture, "verdict", "--run through --permutations 20");
    assert_non_null(strstr(csv, "to be independent: layer 0 50 %;"));
    assert_non_null(strstr(csv, "to ignore each other: layer 0 67 %, 1 67 %;"));
    free(csv);
    csv = table_of("pairs", "flow"); /* one layer */
    assert_int_equal(rows_count(csv), 0);
    free(csv);
}

static void test_saturation(void **state)
{
    char *csv = table_of("known", "saturation");
    (void)state;
    assert_close(rows_real(csv, "3,0,", "overlap"), 1, 0);
    assert_close(rows_real(csv, "3,100,", "flips"), 0, 0);
    assert_close(rows_real(csv, "3,0,", "unsettled"), 0, 0);
    /* Unrelated choices agree once in four, and so the loads say. */
    assert_close(rows_real(csv, "0,0,", "overlap"), 0.25, 0.03);
    assert_close(rows_real(csv, "0,0,", "chance"), 0.25, 0.01);
    assert_nan(rows_real(csv, "0,0,", "flips"));
    assert_close(rows_real(csv, "0,100,", "flips"), 1 - rows_real(csv, "0,0,", "overlap"), 1e-12);
    assert_close(rows_real(csv, "0,100,", "overlap"), 1, 0);
    assert_true(rows_real(csv, "0,0,", "low") < 0.25 && rows_real(csv, "0,0,", "high") > 0.25);
    assert_close(rows_real(csv, "3,0,", "low"), 1, 0);
    /* Chance alone would change three of four, and those that never did as well. */
    assert_close(rows_real(csv, "0,100,", "flips_chance"), 0.75, 0.01);
    assert_close(rows_real(csv, "3,0,", "unsettled_chance"), 0.75, 1e-12);
    assert_close(rows_real(csv, "3,100,", "unsettled_chance"), 0, 0);
    free(csv);
}

static void test_repetition(void **state)
{
    char *csv = table_of("known", "repetition");
    (void)state;
    assert_close(rows_real(csv, "0,1,", "repeated"), 1, 0);
    assert_close(rows_real(csv, "0,1,", "within"), 1, 0);
    assert_close(rows_real(csv, "0,1,", "chance"), 0.25, 0.001);
    assert_close(rows_real(csv, "1,8,", "repeated"), 0.25, 0.04);
    assert_close(rows_real(csv, "1,8,", "pairs"), 60 * (32 - 8), 0);
    assert_close(rows_real(csv, "0,1,", "beyond"), 0, 1e-12); /* all of a document has one expert */
    assert_close(rows_real(csv, "1,1,", "beyond"),
                 rows_real(csv, "1,1,", "repeated") - rows_real(csv, "1,1,", "within"), 1e-12);
    assert_true(rows_real(csv, "1,1,", "low") < 0 && rows_real(csv, "1,1,", "high") > 0);
    free(csv);
}

static void test_verdict(void **state)
{
    char *csv = table_of("known", "verdict");
    (void)state;
    rows_expect(csv, "layer 0,", "verdict", "specialised");
    rows_expect(csv, "layer 1,", "verdict", "none");
    rows_expect(csv, "layer 2,", "verdict", "none");
    rows_expect(csv, "layer 3,", "verdict", "untrained");
    assert_non_null(strstr(csv, "layer 0: experts tell domains apart (1.38 nat"));
    assert_non_null(
        strstr(csv, "layer 0, expert by domain (lift): c 0 (4.0), english 1 (4.0), german 2 (4.0), "));
    assert_non_null(strstr(csv, "layer 1: experts do not tell domains apart"));
    assert_null(strstr(csv, "layer 1, expert by domain"));
    assert_non_null(strstr(csv,
                           "experts tell domains apart in 2 of 4 layers, best in layer 0 (1.38 nat of at "
                           "most 1.39); in 1 of these no better than at step 0"));
    rows_expect(csv, "run,", "verdict", "specialised");
    assert_non_null(strstr(csv, "60 documents of 4 domains, 1920 tokens"));
    free(csv);
}

/* Apart in every layer, but in each as before training: that is not what training did. */
static void test_verdict_on_what_no_training_did(void **state)
{
    char *csv = table_of("still", "verdict");
    (void)state;
    rows_expect(csv, "run,", "verdict", "untrained");
    free(csv);
}

/* english/3 is document 13 of domain 1: all of it goes to expert 1 in layer 0, by the token in layer 2. */
static void test_text(void **state)
{
    char *csv = fixture_table(&fixture, "text", "--run known --document english/3");
    (void)state;
    assert_int_equal(rows_count(csv), 4 * FIXTURE_TOKENS);
    for (int t = 0; t < FIXTURE_TOKENS; t++) {
        char start[16];
        snprintf(start, sizeof start, "0,%d,", t);
        assert_close(rows_real(csv, start, "expert"), 1, 0);
        assert_close(rows_real(csv, start, "gate"), 0.85, 0.01);
        snprintf(start, sizeof start, "2,%d,", t);
        char *token = rows_text(csv, start, "token");
        assert_close(rows_real(csv, start, "expert"), (double)(strtol(token + 1, NULL, 10) % 4), 0);
        free(token);
    }
    char *shell = fixture_sql(&fixture, "--run known --document english/3 --table text");
    assert_int_equal(rows_count(shell), 4 * FIXTURE_TOKENS);
    assert_close(rows_real(shell, "0,31,", "expert"), 1, 0);
    free(shell);
    free(csv);
    csv = fixture_table(&fixture, "text", "--run through --document 1"); /* c/0, by its number */
    rows_expect(csv, "1,5,", "others", "3");
    assert_close(rows_real(csv, "1,5,", "expert"), 1, 0);
    free(csv);
}

/* The number before the first of an expert's tokens, colours where they are asked for, and a page. */
static void test_text_in_colours(void **state)
{
    struct test_run r = fixture_ask(&fixture, "--run known --table text --document english/3");
    char *bin = test_bin();
    (void)state;
    assert_int_equal(r.status, 0);
    assert_int_equal(strncmp(r.out, "english/3, probe at step 100, 32 tokens;", 40), 0);
    assert_non_null(strstr(r.out, "\nlayer 0\n\xe2\x82\x81w")); /* subscript 1 */
    assert_null(strchr(r.out, '\033'));
    test_run_release(&r);
    r = test_run(
        "CLICOLOR_FORCE=1 %s/moescope-specialization %s --run known --table text --document english/3", bin,
        fixture.path);
    assert_non_null(strstr(r.out, "\033[38;5;16;48;5;"));
    test_run_release(&r);
    r = test_run("NO_COLOR=1 CLICOLOR_FORCE=1 %s/moescope-specialization %s --run known --table text", bin,
                 fixture.path);
    assert_int_equal(strncmp(r.out, "c/0, probe at step 100,", 23), 0); /* the first */
    assert_null(strchr(r.out, '\033'));
    test_run_release(&r);
    r = fixture_ask(&fixture, "--run known --table text --document english/3 --format html");
    assert_int_equal(r.status, 0);
    assert_int_equal(strncmp(r.out, "<!doctype html>", 15), 0);
    assert_non_null(strstr(r.out, "<h3>Layer 3</h3>"));
    assert_non_null(strstr(r.out, "<b class=x1 title=\"expert 1 (0.85)\"><sub>1</sub>w"));
    assert_null(strstr(r.out, "http"));
    test_run_release(&r);
    free(bin);
}

/* Everything at once, and in each format. */
static void test_formats(void **state)
{
    struct test_run r = fixture_ask(&fixture, "--run known");
    (void)state;
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "specialization of run 'known'"));
    assert_non_null(strstr(r.out, "lift: share of a domain's tokens"));
    assert_non_null(strstr(r.out, "... and 48 more rows: --table lift"));
    test_run_release(&r);
    r = fixture_ask(&fixture, "--run known --rows 0");
    assert_null(strstr(r.out, "more rows"));
    test_run_release(&r);
    r = fixture_ask(&fixture, "--run known --format json --table repetition");
    assert_int_equal(strncmp(r.out, "[\n  {\"layer\": 0, \"lag\": 1, \"repeated\": 1,", 40), 0);
    test_run_release(&r);
    char *file = NULL;
    assert_true(asprintf(&file, "%s/out.csv", fixture.folder) > 0);
    char *bin = test_bin();
    r = test_run("%s/moescope-specialization %s --run known --table lift -f csv -o %s && wc -l < %s", bin,
                 fixture.path, file, file);
    assert_int_equal(r.status, 0);
    assert_int_equal(strtol(r.out, NULL, 10), 1 + 4 * N_DOMAINS * N_EXPERTS);
    test_run_release(&r);
    free(bin);
    free(file);
    r = fixture_ask(&fixture, "--run known --step 0 --format csv --table information");
    assert_int_equal(r.status, 0);
    assert_null(strstr(r.out, ",100,"));
    test_run_release(&r);
}

/* Six documents a domain are too few for an interval: nothing is claimed beyond chance. One domain: nothing
 * at all. */
static void test_few_documents(void **state)
{
    static const int64_t steps[] = {0, 100};
    struct fixture few;
    char *bin = test_bin();
    (void)state;
    for (int domains = 1; domains <= 2; domains++) {
        struct fixture_run run = {.name = "few",
                                  .n_layers = 1,
                                  .n_experts = N_EXPERTS,
                                  .k = 1,
                                  .steps = steps,
                                  .n_steps = 2,
                                  .route = route};
        fixture_open(&few, domains, 6);
        fixture_run(&few, &run);
        fixture_finish(&few);
        struct test_run r =
            test_run("%s/moescope-specialization %s && %s/moescope-demand %s", bin, few.path, bin, few.path);
        assert_int_equal(r.status, 0);
        assert_non_null(strstr(r.out, domains == 1 ? "one domain only" : "too few documents to say whether"));
        test_run_release(&r);
        fixture_release(&few);
    }
    free(bin);
}

static void test_refusals(void **state)
{
    (void)state;
    fixture_status(&fixture, "--run dense", 3, "run 'dense' has no MoE layers");
    fixture_status(&fixture, "--run unprobed", 3, "run 'unprobed' logged no routing of a probe");
    fixture_status(&fixture, "--run known --table lifts", 2, "did you mean 'lift'?");
    fixture_status(&fixture, "--run known --step 50", 3, "no probe at step 50");
    fixture_status(&fixture, "--run known --permutations 0", 2, "--permutations");
    fixture_status(&fixture, "--run nobody", 3, "nobody");
    fixture_status(&fixture, "--run known --where-label c", 2, "KEY=VALUE");
    fixture_status(&fixture, "--run known --where-label language=fr", 3, "has the label language=fr");
    fixture_status(&fixture, "--run known --where-label domain=c --where-label language=odd", 3,
                   "has all the labels");
    fixture_status(&fixture, "--run known --table text --document nothing", 3,
                   "no routing of document 'nothing'");
    fixture_status(&fixture, "--run unprobed --table text", 3, "no routing of any document");
    fixture_status(&fixture, "--run known --format html", 2, "--table text");
    fixture_status(&fixture, "--run known --format html --table lift", 2, "--table text");
}

/* The SQL behind every table runs in the plain shell, and says the same where it says all. */
static void test_print_sql(void **state)
{
    char *csv = fixture_sql(&fixture, "--run known --table lift");
    (void)state;
    assert_int_equal(rows_count(csv), 4 * N_DOMAINS * N_EXPERTS);
    assert_close(rows_real(csv, "0,english,1,", "lift"), 4, 1e-9);
    assert_close(rows_real(csv, "0,english,2,", "lift"), 0, 0);
    free(csv);
    csv = fixture_sql(&fixture, "--run pairs");
    assert_true(rows_count(csv) > 20);
    free(csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_information_of_domains),
        cmocka_unit_test(test_independent_router_stays_in_its_null),
        cmocka_unit_test(test_tokens_are_told_from_topics),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_some_documents),
        cmocka_unit_test(test_lift),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_coactivation),
        cmocka_unit_test(test_flow),
        cmocka_unit_test(test_saturation),
        cmocka_unit_test(test_repetition),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_verdict_on_what_no_training_did),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_in_colours),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_few_documents),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_print_sql),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
