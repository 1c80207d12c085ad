/* moescope compare on losses written by hand: 40 documents of two domains (c, english), 100 bytes and 32
 * tokens each. The run `base` has 2 nats a token and a bit more that depends on the document; the others are
 * said as differences from it, in nats a token:
 *
 *   better      -0.05 everywhere
 *   same        +0.002 or -0.002, by document
 *   noisy       +0.5 or -0.5, by document within its domain
 *   divided     -0.2 in domain c, +0.2 in english
 *   counted     +1; nothing but losses at step 0, as a count-based baseline
 *   unfinished  -0.05, still running
 *   broken      one document's loss is NaN
 *   uneven      0; half of the documents were read to their 16th token only, which ends after 40 bytes
 *   endless     0; the end of the document itself, a token without bytes, was not read
 *   foreign     half a nat a document better, in another corpus with the same texts and another vocabulary
 *   piecewise   as foreign, of the pieces that `uneven` read
 *   half        -0.1 in every second document of a domain
 *   overfitted  0; at step 50 it was 0.3 better
 *   late        0, of the last 15 documents alone
 *   classifier  0, of another task
 *   split       routed by domain; of 1000 tokens of training its experts got 500, 300, 200 and 0
 *   a-s1 ... a-s3, b-s1 ... b-s3   alike but for the seed; b - a: -0.19, -0.20, -0.21 */
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

enum { N_DOMAINS = 2, PER_DOMAIN = 20, N_DOCUMENTS = 40 };

static struct fixture fixture;
static int64_t foreign_documents[N_DOCUMENTS];
static int64_t foreign_corpus, foreign_vocabulary;

struct run_plan {
    const char *name, *status; /* status NULL: finished */
    int64_t seed;
    const char *rate; /* of the setting train.learning_rate */
    double shift;
    double (*extra)(int document); /* nats a token, beside the shift; may be NULL */
    int counted, foreign, broken, uneven, endless;
    int first, documents; /* with losses; documents 0: all */
    int overfitted, loads;
    const char *task; /* NULL: language_model */
};

/* ---- what differs by document ---- */

static double base_loss(int document)
{
    return 2 + (double)(fixture_hash((uint64_t)document) % 1000) / 1000;
}

static double tiny(int document)
{
    return document / N_DOMAINS % 2 ? 0.002 : -0.002;
}

static double large(int document)
{
    return document / N_DOMAINS % 2 ? 0.5 : -0.5;
}

static double in_half(int document)
{
    return document / N_DOMAINS % 2 ? -0.1 : 0;
}

static double by_domain(int document)
{
    return document % N_DOMAINS ? 0.2 : -0.2;
}

/* ---- writing ---- */

static void add_losses(struct moescope_batch *b, const struct run_plan *plan, int64_t step)
{
    int n = plan->documents ? plan->documents : N_DOCUMENTS;
    for (int d = plan->first; d < plan->first + n; d++) {
        double loss =
            base_loss(d) + (step == 50 ? -0.3 : 0) + plan->shift + (plan->extra ? plan->extra(d) : 0);
        int part = plan->uneven && d / N_DOMAINS % 2;
        int n_tokens = part ? FIXTURE_TOKENS / 2 : FIXTURE_TOKENS - plan->endless;
        int n_bytes = part ? 40 : 100;
        double sum = n_tokens * loss;
        if (step == 0 && !plan->counted)
            sum = FIXTURE_TOKENS * 8; /* untrained */
        if (plan->broken && d == 7)
            sum = NAN;
        if (plan->foreign) /* twice as many tokens for the same text */
            moescope_batch_document_loss(b, step, "valid", foreign_documents[d], 2 * n_tokens, n_bytes,
                                         sum - 0.5);
        else
            moescope_batch_document_loss(b, step, "valid", fixture.document_ids[d], n_tokens, n_bytes, sum);
    }
}

static void add_training(struct moescope_batch *b)
{
    static const double speeds[] = {10, 40, 20}, memory[] = {1e6, 3e6, 2e6};
    for (int64_t step = 0; step < 3; step++) {
        moescope_batch_metric(b, step, "train", "tokens", 1000.0 * (double)(step + 1));
        moescope_batch_metric(b, step, "train", "seconds", 5.0 * (double)(step + 1));
        moescope_batch_metric(b, step, "train", "tokens_per_second", speeds[step]);
        moescope_batch_metric(b, step, "train", "peak_memory", memory[step]);
    }
}

/* Five windows of it, so that it is no beginning. */
static void add_loads(struct moescope_batch *b)
{
    static const int64_t assigned[] = {500, 300, 200, 0};
    static const double gates[] = {250, 150, 100, 0};
    const struct moescope_load load = {0, 0, 4, assigned, NULL, gates, gates};
    for (int64_t step = 0; step < 5; step++)
        moescope_batch_load(b, step, "train", &load);
}

static void fill_run(int64_t run_id, const struct run_plan *plan)
{
    struct error err = {0};
    struct moescope_writer *w = fixture_writer(&fixture, run_id);
    struct moescope_batch *b = moescope_batch_new(w, &err);
    assert_non_null(b);
    add_losses(b, plan, 0);
    if (!plan->counted) {
        add_losses(b, plan, 100);
        add_training(b);
        if (plan->overfitted)
            add_losses(b, plan, 50);
        if (plan->loads)
            add_loads(b);
    }
    test_must(moescope_batch_commit(b, &err), &err);
    test_must(moescope_writer_close(w, &err), &err);
}

static void add_run(struct run_plan plan)
{
    const struct moescope_setting settings[] = {{"model.width", "64"},
                                                {"train.learning_rate", plan.rate ? plan.rate : "0.5"},
                                                {"model.parameters", "1000"},
                                                {"model.active_parameters", "400"},
                                                {"model.flops_per_token", "3e6"}};
    struct moescope_run run = {.name = plan.name,
                               .task = plan.task ? plan.task : "language_model",
                               .router = plan.counted ? "unigram" : "dense",
                               .program = "test",
                               .machine_json = "{}",
                               .seed = plan.seed,
                               .corpus_id = plan.foreign ? foreign_corpus : fixture.corpus_id,
                               .vocabulary_id = plan.foreign ? foreign_vocabulary : fixture.vocabulary_id,
                               .config = settings,
                               .n_config = plan.counted ? 1 : 5};
    struct error err = {0};
    int64_t run_id;
    test_must(moescope_begin_run(fixture.logbook, &run, &run_id, &err), &err);
    fill_run(run_id, &plan);
    if (!plan.status)
        test_must(moescope_end_run(fixture.logbook, run_id, "finished", &err), &err);
}

/* The same texts as the fixture's (their hashes say so), cut into other words. */
static void add_foreign_corpus(void)
{
    static struct moescope_document documents[N_DOCUMENTS];
    static char names[N_DOCUMENTS][2][40];
    static int64_t domains[N_DOCUMENTS];
    const struct moescope_token token = {"w", "piece", 1};
    struct error err = {0};
    for (int d = 0; d < N_DOCUMENTS; d++) {
        snprintf(names[d][0], sizeof names[d][0], "other/%d", d);
        snprintf(names[d][1], sizeof names[d][1], "%016d", d); /* as in the fixture */
        documents[d] = (struct moescope_document){.name = names[d][0],
                                                  .domain = d % 2 ? "english" : "c",
                                                  .sha256 = names[d][1],
                                                  .split = "valid",
                                                  .n_bytes = 100,
                                                  .n_tokens = 2 * FIXTURE_TOKENS};
    }
    const struct moescope_corpus corpus = {.name = "other",
                                           .sha256 = "c2",
                                           .vocabulary_name = "other",
                                           .vocabulary_sha256 = "v2",
                                           .tokens = &token,
                                           .n_tokens = 1,
                                           .documents = documents,
                                           .n_documents = N_DOCUMENTS};
    test_must(moescope_add_corpus(fixture.logbook, &corpus, &foreign_corpus, &foreign_vocabulary,
                                  foreign_documents, domains, &err),
              &err);
}

/* Experts by token id; by token id under other numbers; by something else. */
static void route(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    const char *how = context;
    uint64_t key = (uint64_t)at->document * 64 + (uint64_t)at->position;
    int chosen = strcmp(how, "domain") == 0    ? at->domain
                 : strcmp(how, "id") == 0      ? at->id % n_experts
                 : strcmp(how, "renamed") == 0 ? (at->id + 1) % n_experts
                                               : (int)(fixture_hash(key) % (uint64_t)n_experts);
    for (int e = 0; e < n_experts; e++)
        probability[e] = e == chosen ? 0.85f : 0.05f;
}

static void add_moe_run(const char *name, const char *how, int n_experts, const struct run_plan *plan)
{
    static const int64_t steps[] = {100};
    struct fixture_run run = {.name = name,
                              .n_layers = 1,
                              .n_experts = n_experts,
                              .k = 1,
                              .steps = steps,
                              .n_steps = 1,
                              .route = route,
                              .context = (void *)how};
    fill_run(fixture_run(&fixture, &run), plan);
}

static void add_seeds(void)
{
    static const char *const names[2][3] = {{"a-s1", "a-s2", "a-s3"}, {"b-s1", "b-s2", "b-s3"}};
    static const double shifts[2][3] = {{0.3, 0.1, 0.2}, {0.11, -0.1, -0.01}};
    for (int method = 0; method < 2; method++)
        for (int seed = 0; seed < 3; seed++)
            add_run((struct run_plan){.name = names[method][seed],
                                      .seed = seed + 1,
                                      .rate = method ? "0.25" : "0.5",
                                      .shift = shifts[method][seed]});
}

static int open_all(void **state)
{
    const struct run_plan plain = {.name = ""};
    (void)state;
    fixture_open(&fixture, N_DOMAINS, PER_DOMAIN);
    fixture.verb = "compare";
    add_foreign_corpus();
    add_run((struct run_plan){.name = "base"});
    add_run((struct run_plan){.name = "better", .shift = -0.05, .rate = "0.25"});
    add_run((struct run_plan){.name = "same", .extra = tiny});
    add_run((struct run_plan){.name = "noisy", .extra = large});
    add_run((struct run_plan){.name = "divided", .extra = by_domain});
    add_run((struct run_plan){.name = "counted", .shift = 1, .counted = 1});
    add_run((struct run_plan){.name = "unfinished", .shift = -0.05, .status = "running"});
    add_run((struct run_plan){.name = "broken", .broken = 1});
    add_run((struct run_plan){.name = "uneven", .uneven = 1});
    add_run((struct run_plan){.name = "endless", .endless = 1});
    add_run((struct run_plan){.name = "foreign", .foreign = 1});
    add_run((struct run_plan){.name = "piecewise", .foreign = 1, .uneven = 1});
    add_run((struct run_plan){.name = "few", .shift = -0.05, .documents = 15});
    add_run((struct run_plan){.name = "half", .extra = in_half});
    add_run((struct run_plan){.name = "overfitted", .overfitted = 1});
    add_run((struct run_plan){.name = "late", .first = 25, .documents = 15});
    add_run((struct run_plan){.name = "classifier", .task = "classification"});
    add_seeds();
    add_moe_run("split", "domain", 4, &(struct run_plan){.name = "", .loads = 1});
    add_moe_run("one", "id", 4, &plain);
    add_moe_run("renamed", "renamed", 4, &plain);
    add_moe_run("unlike", "hash", 4, &plain);
    add_moe_run("wider", "id", 8, &plain);
    fixture_finish(&fixture);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fixture_release(&fixture);
    return 0;
}

/* ---- reading ---- */

static char *table_of(const char *table, const char *runs)
{
    return fixture_table(&fixture, table, "%s", runs);
}

static void expect_said(const char *table, const char *runs, const char *what)
{
    char *csv = table_of(table, runs);
    if (!strstr(csv, what))
        fail_msg("%s of %s does not say '%s':\n%s", table, runs, what, csv);
    free(csv);
}

static void expect_not_said(const char *table, const char *runs, const char *what)
{
    char *csv = table_of(table, runs);
    if (strstr(csv, what))
        fail_msg("%s of %s says '%s':\n%s", table, runs, what, csv);
    free(csv);
}

/* ---- tests ---- */

static void test_losses_are_weighted_by_tokens(void **state)
{
    char *csv = table_of("losses", "base counted");
    double sum = 0;
    (void)state;
    for (int d = 0; d < N_DOCUMENTS; d++)
        sum += base_loss(d);
    assert_close(rows_real(csv, "base,", "loss"), sum / N_DOCUMENTS, 1e-9);
    /* 32 tokens, 100 bytes: nats a token x 0.32 / ln 2. */
    assert_close(rows_real(csv, "base,", "bits_per_byte"), sum / N_DOCUMENTS * 0.32 / log(2), 1e-9);
    assert_close(rows_real(csv, "base,", "step"), 100, 0);
    assert_close(rows_real(csv, "base,", "documents"), 40, 0);
    assert_close(rows_real(csv, "counted,", "loss"), sum / N_DOCUMENTS + 1, 1e-9);
    assert_close(rows_real(csv, "counted,", "step"), 0, 0);
    assert_true(rows_real(csv, "base,", "low") < sum / N_DOCUMENTS);
    assert_true(rows_real(csv, "base,", "high") > sum / N_DOCUMENTS);
    free(csv);
}

/* Of one run alone: the same loss as beside another, and what it cost; nothing that takes two. */
static void test_one_run_alone(void **state)
{
    char *both = table_of("losses", "base counted"), *alone = table_of("losses", "base");
    char *cost = table_of("cost", "base"), *domains = table_of("domains", "base");
    (void)state;
    assert_int_equal(rows_count(alone), 1);
    assert_close(rows_real(alone, "base,", "loss"), rows_real(both, "base,", "loss"), 0);
    assert_close(rows_real(alone, "base,", "low"), rows_real(both, "base,", "low"), 0);
    assert_int_equal(rows_count(cost), 1);
    assert_int_not_equal(rows_count(domains), 0);
    fixture_status(&fixture, "base --table difference", 2, "at least two");
    free(both);
    free(alone);
    free(cost);
    free(domains);
}

static void test_documents_read_in_part(void **state)
{
    char *csv = table_of("losses", "uneven base");
    double sum = 0;
    (void)state;
    for (int d = 0; d < N_DOCUMENTS; d++)
        sum += base_loss(d) * (d / N_DOMAINS % 2 ? 16 : 32);
    /* 20 documents of 32 tokens and 100 bytes, 20 of 16 tokens and 40 bytes. */
    assert_close(rows_real(csv, "uneven,", "loss"), sum / (20 * 48), 1e-9);
    assert_close(rows_real(csv, "uneven,", "bits_per_byte"), sum / (20 * 140) / log(2), 1e-9);
    free(csv);
    csv = table_of("difference", "uneven base"); /* on other pieces of text: shown, not judged */
    rows_expect(csv, "base,uneven,all,", "verdict", "undetermined");
    rows_expect(csv, "base,uneven,c,", "verdict", "undetermined");
    free(csv);
    expect_said("incomparable", "uneven base", "read different pieces of 20 of 40 documents");
    expect_said("verdict", "uneven base", "not judged, since they read different pieces");
}

static void test_paired_differences(void **state)
{
    char *csv = table_of("difference", "base better same noisy divided");
    (void)state;
    /* The same in every document: -0.05, for certain. */
    assert_close(rows_real(csv, "better,base,all,", "difference"), -0.05, 1e-9);
    assert_close(rows_real(csv, "better,base,all,", "low"), -0.05, 1e-9);
    assert_close(rows_real(csv, "better,base,all,", "high"), -0.05, 1e-9);
    rows_expect(csv, "better,base,all,", "verdict", "better");
    rows_expect(csv, "better,base,all,", "unit", "nats/token");
    rows_expect(csv, "better,base,c,", "unit", "bits/byte");
    assert_close(rows_real(csv, "better,base,c,", "difference"), -0.05 * 0.32 / log(2), 1e-9);
    /* Ten documents each way in either domain: 0, and within the margin. */
    assert_close(rows_real(csv, "same,base,all,", "difference"), 0, 1e-9);
    rows_expect(csv, "same,base,all,", "verdict", "equivalent");
    assert_close(rows_real(csv, "noisy,base,all,", "difference"), 0, 1e-9);
    rows_expect(csv, "noisy,base,all,", "verdict", "undetermined");
    /* A mean of 40 values +-0.5 has a standard error of 0.5 / sqrt(40) = 0.079. */
    assert_close(rows_real(csv, "noisy,base,all,", "high"), 1.96 * 0.079, 0.03);
    /* Against each other, and within domains the same in every document: 0, for certain. */
    assert_close(rows_real(csv, "divided,base,all,", "low"), 0, 1e-9);
    rows_expect(csv, "divided,base,all,", "verdict", "equivalent");
    rows_expect(csv, "divided,base,c,", "verdict", "better");
    rows_expect(csv, "divided,base,english,", "verdict", "worse");
    assert_close(rows_real(csv, "divided,base,english,", "difference"), 0.2 * 0.32 / log(2), 1e-9);
    assert_close(rows_real(csv, "divided,base,english,", "documents"), 20, 0);
    assert_int_equal(rows_count(csv), 12); /* four runs x all and two domains */
    free(csv);
    expect_said("verdict", "base divided", "of 2 domains better in 1 (c), worse in 1 (english)");
    expect_said("verdict", "base better", "better: better than base by 0.050 nats per token");
}

/* In one standard deviation of the differences, and none where they are all alike. */
static void test_effect_sizes(void **state)
{
    char *csv = table_of("difference", "base half better noisy");
    (void)state;
    /* 20 times 0 and 20 times -0.1: mean -0.05, standard deviation 0.05 sqrt(40 / 39). */
    assert_close(rows_real(csv, "half,base,all,", "effect"), -sqrt(39. / 40), 1e-9);
    assert_close(rows_real(csv, "half,base,c,", "effect"), -sqrt(19. / 20), 1e-9);
    assert_close(rows_real(csv, "noisy,base,all,", "effect"), 0, 1e-9);
    assert_nan(rows_real(csv, "better,base,all,", "effect"));
    free(csv);
    csv = table_of("seeds", "a-s1 a-s2 a-s3 b-s1 b-s2 b-s3 --group-by seed");
    assert_close(rows_real(csv, "b,a,3,", "effect"), -20, 1e-6); /* -0.19, -0.20, -0.21 */
    free(csv);
    expect_said("verdict", "base half", "effect size 0.99");
}

static void test_best_losses(void **state)
{
    char *csv = table_of("losses", "base overfitted broken");
    (void)state;
    double last = rows_real(csv, "base,", "loss");
    assert_close(rows_real(csv, "base,", "best_loss"), last, 1e-9);
    assert_close(rows_real(csv, "base,", "best_step"), 100, 0);
    assert_close(rows_real(csv, "overfitted,", "loss"), last, 1e-9);
    assert_close(rows_real(csv, "overfitted,", "best_loss"), last - 0.3, 1e-9);
    assert_close(rows_real(csv, "overfitted,", "best_step"), 50, 0);
    assert_nan(rows_real(csv, "broken,", "best_loss")); /* a document has none in any evaluation */
    free(csv);
    csv = table_of("losses", "overfitted --step 49");
    assert_close(rows_real(csv, "overfitted,", "best_loss"), 8, 1e-9);
    free(csv);
    expect_said("verdict", "base overfitted", "it was lower before");
    expect_said("verdict", "base overfitted", "at step 50");
    expect_not_said("verdict", "base better", "lower before");
}

/* Two domains on two of four experts: a document's domain tells ln 2 nats, less what smoothing takes. */
static void test_routers_side_by_side(void **state)
{
    char *csv = table_of("routers", "split unlike base");
    (void)state;
    assert_int_equal(rows_count(csv), 2); /* the dense run has none */
    double h = -0.5 * log(0.5) - 0.3 * log(0.3) - 0.2 * log(0.2);
    assert_close(rows_real(csv, "split,0,", "effective_experts"), exp(h), 1e-9);
    assert_close(rows_real(csv, "split,0,", "dead_experts"), 1, 0);
    assert_close(rows_real(csv, "split,0,", "top_share"), 0.5, 1e-9);
    rows_expect(csv, "split,0,", "load", "dead experts");
    assert_close(rows_real(csv, "split,0,", "information"), log(2), 0.02);
    assert_true(rows_real(csv, "split,0,", "null_high") < 0.1);
    assert_close(rows_real(csv, "split,0,", "documents"), 40, 0);
    assert_nan(rows_real(csv, "split,0,", "at_start")); /* the probe was routed once */
    assert_true(rows_real(csv, "unlike,0,", "information") < 0.01);
    assert_nan(rows_real(csv, "unlike,0,", "effective_experts")); /* no loads of training were logged */
    free(csv);
    expect_said("verdict", "split unlike",
                "split: load over 2.8 effective experts of 4, by layer, 1 dead; a document's "
                "domain tells 0.69 nat");
    expect_said("incomparable", "split unlike", "routing,run 'unlike' logged no loads");
}

/* Runs in a file of their own are compared as if they were in this one. */
static void test_runs_of_other_logbooks(void **state)
{
    (void)state;
    char there[600], runs[1400];
    snprintf(there, sizeof there, "%s/other.db", fixture.folder);
    char *bin = test_bin();
    struct test_run r =
        test_run("%s/moescope-merge '%s' '%s' -q && %s/moescope-runs '%s' --delete base --delete half", bin,
                 there, fixture.path, bin, there);
    if (r.status != 0)
        fail_msg("%s", r.err);
    test_run_release(&r);
    free(bin);
    static const char *const same[] = {"difference", "cost", "agreement", "routers", "domains"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        snprintf(runs, sizeof runs, "one '%s:split' '%s:better'", there, there);
        char *apart = table_of(same[i], runs), *together = table_of(same[i], "one split better"), prefix[620];
        snprintf(prefix, sizeof prefix, "%s:", there);
        for (char *at; (at = strstr(apart, prefix)) != NULL;) /* names as they were given */
            memmove(at, at + strlen(prefix), strlen(at + strlen(prefix)) + 1);
        assert_string_equal(apart, together);
        free(apart);
        free(together);
    }
    snprintf(runs, sizeof runs, "base better '%s:better'", there);
    fixture_status(&fixture, runs, 2, "is the same run as 'better'");
    snprintf(runs, sizeof runs, "better '%s:base'", there);
    fixture_status(&fixture, runs, 3, "base");
    fixture_status(&fixture, "better nowhere.db:base", 3, "no file before a colon");
    snprintf(runs, sizeof runs, "base '%s:better' --print-sql", there);
    fixture_status(&fixture, runs, 2, "moescope merge");
}

static void test_margin_and_baseline(void **state)
{
    (void)state;
    char *csv = table_of("difference", "base better --margin 0.1");
    rows_expect(csv, "better,base,all,", "verdict", "equivalent");
    free(csv);
    csv = table_of("difference", "base better --baseline better");
    rows_expect(csv, "base,better,all,", "verdict", "worse");
    free(csv);
    csv = table_of("difference", "base --baseline better"); /* not among the operands */
    assert_close(rows_real(csv, "base,better,all,", "difference"), 0.05, 1e-9);
    free(csv);
}

static void test_same_seed_same_output(void **state)
{
    char *first = table_of("difference", "base noisy"), *again = table_of("difference", "base noisy");
    char *other = table_of("difference", "base noisy --seed 2");
    (void)state;
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    free(first);
    free(again);
    free(other);
}

static void test_losses_of_an_earlier_step(void **state)
{
    char *csv = table_of("losses", "base better --step 99");
    (void)state;
    assert_close(rows_real(csv, "base,", "step"), 0, 0);
    assert_close(rows_real(csv, "base,", "loss"), 8, 1e-9);
    free(csv);
}

static void test_what_is_not_comparable(void **state)
{
    (void)state;
    expect_not_said("incomparable", "base better", "'");
    expect_said("incomparable", "base unfinished", "run 'unfinished' is running");
    expect_said("incomparable", "base counted", "'counted' logged no training");
    expect_said("incomparable", "base broken", "the loss of 1 of 40 documents is not finite");
    expect_said("incomparable", "base foreign", "different corpora (other, fixture)");
    expect_said("incomparable", "base foreign", "different vocabularies: only bits per byte");
    expect_said("incomparable", "base few", "losses of 15 documents, 'base' of 40: the 15 that both have");
    expect_said("incomparable", "base few", "a domain has only 7 documents in common (10 are needed)");
    expect_said("incomparable", "base foreign", "different tokenisers (other, fixture)");
    expect_said("incomparable", "base foreign", "vocabulary,");
    expect_said("incomparable", "few late", "no held-out document in common (of 15 and 15)");
    expect_said("incomparable", "base classifier", "the task classification and 'base' on language_model");
    expect_said("verdict", "base classifier", "classifier,not compared");
    expect_said("incomparable", "base one", "no MoE layers: no routing to compare with");
    expect_said("incomparable", "one wider", "8 experts in 'wider' and 4 in 'one'");
}

static void test_nothing_is_said_beyond_the_data(void **state)
{
    (void)state;
    char *csv = table_of("difference", "base few");
    assert_close(rows_real(csv, "few,base,all,", "difference"), -0.05, 1e-9);
    assert_nan(rows_real(csv, "few,base,all,", "low")); /* 7 and 8 documents: no interval, no verdict */
    rows_expect(csv, "few,base,all,", "verdict", "undetermined");
    free(csv);
    csv = table_of("difference", "base broken");
    assert_nan(rows_real(csv, "broken,base,all,", "difference"));
    rows_expect(csv, "broken,base,all,", "verdict", "undetermined");
    free(csv);
}

static void test_other_words_are_compared_in_bits_per_byte(void **state)
{
    char *csv = table_of("difference", "base foreign");
    (void)state;
    rows_expect(csv, "foreign,base,all,", "unit", "bits/byte");
    /* Half a nat a document of 100 bytes. */
    assert_close(rows_real(csv, "foreign,base,all,", "difference"), -0.005 / log(2), 1e-9);
    assert_close(rows_real(csv, "foreign,base,all,", "documents"), 40, 0);
    free(csv);
}

static void test_costs_and_config(void **state)
{
    char *csv = table_of("cost", "base counted");
    (void)state;
    assert_close(rows_real(csv, "base,", "parameters"), 1000, 0);
    assert_close(rows_real(csv, "base,", "active_parameters"), 400, 0);
    assert_close(rows_real(csv, "base,", "tokens"), 3000, 0);
    assert_close(rows_real(csv, "base,", "seconds"), 15, 0);
    assert_close(rows_real(csv, "base,", "tokens_per_second"), 20, 0); /* the median of 10, 40, 20 */
    assert_close(rows_real(csv, "base,", "gigaflop"), 9, 1e-12);       /* 3e6 x 3000 */
    assert_close(rows_real(csv, "base,", "flops_per_token"), 3e6, 1e-6);
    assert_close(rows_real(csv, "base,", "peak_memory"), 3e6, 0); /* the most of 1, 3 and 2 */
    assert_nan(rows_real(csv, "counted,", "tokens"));
    free(csv);
    csv = table_of("config", "base better");
    assert_string_equal(csv, "key,base,better\ntrain.learning_rate,0.5,0.25\n");
    free(csv);
    expect_said("verdict", "base better", "config: 1 setting differs (train.learning_rate), 4 are equal");
}

static void test_agreement_of_routers(void **state)
{
    char *csv = table_of("agreement", "one renamed unlike");
    (void)state;
    assert_int_equal(rows_count(csv), 3); /* three pairs, one layer */
    assert_close(rows_real(csv, "one,renamed,0,", "agreement"), 1, 1e-12);
    assert_close(rows_real(csv, "one,renamed,0,", "above_chance"), 1, 1e-12);
    assert_close(rows_real(csv, "one,renamed,0,", "tokens"), N_DOCUMENTS * FIXTURE_TOKENS, 0);
    assert_close(rows_real(csv, "one,renamed,0,", "low"), 1, 1e-12);
    /* 1280 tokens: a share of 1/4 has a standard error of 0.012. */
    assert_close(rows_real(csv, "one,unlike,0,", "agreement"), 0.25, 0.04);
    assert_close(rows_real(csv, "one,unlike,0,", "chance"), 0.25, 0.01);
    free(csv);
    csv = table_of("agreement", "one wider"); /* different numbers of experts */
    assert_int_equal(rows_count(csv), 0);
    free(csv);
    expect_said("verdict", "one renamed", "with experts matched, 100 %");
}

static void test_seeds_as_the_unit(void **state)
{
    static const char runs[] = "a-s1 a-s2 a-s3 b-s1 b-s2 b-s3 --group-by seed";
    char *csv = table_of("seeds", runs);
    (void)state;
    assert_int_equal(rows_count(csv), 1);
    /* -0.19, -0.20, -0.21: standard deviation 0.01; t(2, 0.975) = 4.302653. */
    double half = 4.302653 * 0.01 / sqrt(3);
    assert_close(rows_real(csv, "b,a,3,", "difference"), -0.2, 1e-9);
    assert_close(rows_real(csv, "b,a,3,", "low"), -0.2 - half, 1e-6);
    assert_close(rows_real(csv, "b,a,3,", "high"), -0.2 + half, 1e-6);
    rows_expect(csv, "b,a,3,", "verdict", "better");
    free(csv);
    csv = table_of("groups", runs);
    double mean = 0;
    for (int d = 0; d < N_DOCUMENTS; d++)
        mean += base_loss(d) / N_DOCUMENTS;
    assert_close(rows_real(csv, "a,3,", "loss"), mean + 0.2, 1e-9); /* shifts 0.3, 0.1, 0.2 */
    assert_close(rows_real(csv, "a,3,", "low"), mean + 0.2 - 4.302653 * 0.1 / sqrt(3), 1e-6);
    free(csv);
    csv = table_of("difference", runs); /* each with the run of its seed */
    assert_close(rows_real(csv, "b-s1,a-s1,all,", "difference"), -0.19, 1e-9);
    assert_close(rows_real(csv, "b-s3,a-s3,all,", "difference"), -0.21, 1e-9);
    free(csv);
    expect_said("verdict", runs, "paired over 3 seeds; five are usual for a headline");
    expect_said("verdict", runs, "statements about methods");
}

static void test_curves_of_groups(void **state)
{
    char *csv = table_of("curves", "a-s1 a-s2 a-s3 better");
    (void)state;
    double mean = 0;
    for (int d = 0; d < N_DOCUMENTS; d++)
        mean += base_loss(d) / N_DOCUMENTS;
    assert_int_equal(rows_count(csv), 4); /* two groups, steps 0 and 100 */
    assert_close(rows_real(csv, "a,100,3,", "loss"), mean + 0.2, 1e-9);
    assert_close(rows_real(csv, "a,100,3,", "high"), mean + 0.2 + 4.302653 * 0.1 / sqrt(3), 1e-6);
    assert_close(rows_real(csv, "a,100,3,", "lowest"), mean + 0.1, 1e-9);
    assert_close(rows_real(csv, "a,100,3,", "highest"), mean + 0.3, 1e-9);
    assert_close(rows_real(csv, "a,0,3,", "loss"), 8, 1e-9);
    assert_close(rows_real(csv, "better,100,1,", "loss"), mean - 0.05, 1e-9);
    assert_nan(rows_real(csv, "better,100,1,", "low"));
    free(csv);
}

static void test_few_seeds_are_warned_of(void **state)
{
    (void)state;
    expect_said("verdict", "a-s1 a-s2 b-s1 b-s2 --group-by seed", "fewer than 3 seeds tell next to nothing");
    expect_said("verdict", "a-s1 b-s2 --group-by seed", "has no seed in common");
    expect_said("incomparable", "a-s1 b-s2 --group-by seed", "'b-s2' has seed 2");
    expect_said("verdict", "a-s1 a-s2", "some of these runs differ only in it");
    expect_said("verdict", "base better", "not about methods");
}

static void test_exit_statuses(void **state)
{
    (void)state;
    fixture_status(&fixture, "base better", 0, "");
    fixture_status(&fixture, "base better --exit-code", 0, "");
    fixture_status(&fixture, "better base --exit-code", 1, "");
    fixture_status(&fixture, "base", 2, "at least two");
    fixture_status(&fixture, "base base", 2, "twice");
    fixture_status(&fixture, "base bettre", 3, "bettre");
    fixture_status(&fixture, "base better --group-by router", 2, "by seed");
    fixture_status(&fixture, "base better --margin -1", 2, "margin");
}

/* Other words for the same bytes: only where the pieces that were read end alike. */
static void test_other_words_of_the_same_pieces(void **state)
{
    char *csv = table_of("difference", "uneven piecewise");
    (void)state;
    /* Half a nat a document, of 70 bytes in the mean. */
    assert_close(rows_real(csv, "piecewise,uneven,all,", "difference"), -0.5 / 70 / log(2), 1e-9);
    rows_expect(csv, "piecewise,uneven,all,", "verdict", "better");
    free(csv);
    expect_not_said("incomparable", "uneven piecewise", "different pieces");
    csv = table_of("difference", "base piecewise");
    rows_expect(csv, "piecewise,base,all,", "verdict", "undetermined");
    free(csv);
    expect_said("incomparable", "base piecewise", "read different pieces of 20 of 40 documents");
    /* The same bytes, but only one of them had to predict the end. */
    expect_said("incomparable", "endless foreign", "read different pieces of 40 of 40 documents");
    expect_not_said("incomparable", "base foreign", "different pieces");
}

/* What --print-sql shows runs in the stock shell. */
static void test_sql_in_the_shell(void **state)
{
    (void)state;
    free(fixture_sql(&fixture, "one renamed"));
    char *csv = fixture_sql(&fixture, "one renamed --table agreement");
    assert_int_equal(rows_count(csv), 4); /* pairs of experts, expert e with e + 1 */
    assert_non_null(strstr(csv, "\n0,0,1,"));
    assert_non_null(strstr(csv, "\n0,3,0,"));
    free(csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses_are_weighted_by_tokens),
        cmocka_unit_test(test_one_run_alone),
        cmocka_unit_test(test_documents_read_in_part),
        cmocka_unit_test(test_paired_differences),
        cmocka_unit_test(test_effect_sizes),
        cmocka_unit_test(test_best_losses),
        cmocka_unit_test(test_routers_side_by_side),
        cmocka_unit_test(test_runs_of_other_logbooks),
        cmocka_unit_test(test_margin_and_baseline),
        cmocka_unit_test(test_same_seed_same_output),
        cmocka_unit_test(test_losses_of_an_earlier_step),
        cmocka_unit_test(test_what_is_not_comparable),
        cmocka_unit_test(test_nothing_is_said_beyond_the_data),
        cmocka_unit_test(test_other_words_are_compared_in_bits_per_byte),
        cmocka_unit_test(test_other_words_of_the_same_pieces),
        cmocka_unit_test(test_costs_and_config),
        cmocka_unit_test(test_agreement_of_routers),
        cmocka_unit_test(test_seeds_as_the_unit),
        cmocka_unit_test(test_curves_of_groups),
        cmocka_unit_test(test_few_seeds_are_warned_of),
        cmocka_unit_test(test_exit_statuses),
        cmocka_unit_test(test_sql_in_the_shell),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
