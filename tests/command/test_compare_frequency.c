/* moescope compare --by input-frequency, --by target-frequency on losses written by hand. Six ids occur 50,
 * 30, 15, 4, 1 and 0 times in training, so that id 0 is the first half, 1 reaches 80 %, 2 reaches 95 %, 3 and
 * 4 are the rest, and 5 is unseen. Ten documents of domain c (language en) and ten of german (de), four
 * tokens each:
 *
 *   c       inputs 0 0 1 2, targets 0 1 2 3, losses of smoe 1 2 3 4; mask differs by 0, 1/8, +-1/2 by
 * document, -1/2 german  inputs 0 0 3 3, targets 0 3 3 5, losses of smoe 1 4 4 6; mask differs by 0, -1/4,
 * -1/4, -1
 *
 * By target the rest has 10 tokens at -1/2 and 20 at -1/4: -1/3 by token, -3/8 with both domains counting
 * alike. Of three seeds, the losses of mask on targets of the rest are off by -1/64, 0 and 1/64. */
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

enum { N_IDS = 6, PER_DOMAIN = 10, N_DOCUMENTS = 2 * PER_DOMAIN, N_TOKENS = 4 };

static struct fixture fixture;
static const double exact = 1e-12;

struct corpus {
    int64_t corpus_id, vocabulary_id, documents[N_DOCUMENTS];
};
static struct corpus counted, other, uncounted;

static const int32_t ids[2][N_TOKENS + 1] = {{0, 0, 1, 2, 3}, {0, 0, 3, 3, 5}};

/* ---- writing ---- */

static void add_corpus(struct corpus *c, const char *name, const int64_t *counts)
{
    static const struct moescope_label languages[2] = {{"language", "en"}, {"language", "de"}};
    struct moescope_token tokens[N_IDS];
    struct moescope_document documents[N_DOCUMENTS];
    char texts[N_IDS][8], names[N_DOCUMENTS][2][24], vocabulary[24];
    int64_t domains[N_DOCUMENTS];
    struct error err = {0};
    for (int v = 0; v < N_IDS; v++) {
        snprintf(texts[v], sizeof texts[v], "w%d", v);
        tokens[v] = (struct moescope_token){texts[v], "piece", counts[v]};
    }
    for (int d = 0; d < N_DOCUMENTS; d++) {
        snprintf(names[d][0], sizeof names[d][0], "%d", d);
        snprintf(names[d][1], sizeof names[d][1], "%s%d", name, d);
        documents[d] = (struct moescope_document){
            names[d][0], d % 2 ? "german" : "c", names[d][1], "valid", 40, N_TOKENS, &languages[d % 2], 1};
    }
    snprintf(vocabulary, sizeof vocabulary, "v-%s", name);
    const struct moescope_corpus corpus = {.name = name,
                                           .sha256 = name,
                                           .vocabulary_name = name,
                                           .vocabulary_sha256 = vocabulary,
                                           .tokens = tokens,
                                           .n_tokens = N_IDS,
                                           .documents = documents,
                                           .n_documents = N_DOCUMENTS};
    test_must(moescope_add_corpus(fixture.logbook, &corpus, &c->corpus_id, &c->vocabulary_id, c->documents,
                                  domains, &err),
              &err);
}

struct plan {
    const char *name;
    int64_t seed;
    bool mask, unlogged, broken, shorter; /* shorter: of domain c two tokens only */
    double rest;                          /* nats on targets of the rest, beside what mask does */
    const struct corpus *corpus;          /* NULL: counted */
};

static void losses_of(const struct plan *plan, int document, float *loss)
{
    static const float smoe[2][N_TOKENS] = {{1, 2, 3, 4}, {1, 4, 4, 6}};
    static const float mask[2][N_TOKENS] = {{0, 0.125F, 0, -0.5F}, {0, -0.25F, -0.25F, -1}};
    int domain = document % 2;
    for (int t = 0; t < N_TOKENS; t++) {
        loss[t] = smoe[domain][t];
        if (plan->mask)
            loss[t] += mask[domain][t];
        if (ids[domain][t + 1] == 3)
            loss[t] += (float)plan->rest;
    }
    if (plan->mask && domain == 0)
        loss[2] += document / 2 % 2 ? 0.5F : -0.5F;
    if (plan->broken && document == 0)
        loss[3] = NAN;
}

static void add_document(struct moescope_batch *b, const struct plan *plan, int document)
{
    float loss[N_TOKENS];
    double sum = 0;
    int n = plan->shorter && document % 2 == 0 ? 2 : N_TOKENS;
    int64_t id = (plan->corpus ? plan->corpus : &counted)->documents[document];
    losses_of(plan, document, loss);
    for (int t = 0; t < n; t++)
        sum += loss[t];
    const struct moescope_sequence sequence = {
        .document_id = id, .n_tokens = n, .ids = ids[document % 2], .loss = loss};
    if (!plan->unlogged)
        moescope_batch_sequence(b, 10, "valid", &sequence);
    moescope_batch_document_loss(b, 10, "valid", id, n, 10 * n, sum);
}

static void add_run(struct plan plan)
{
    const struct corpus *corpus = plan.corpus ? plan.corpus : &counted;
    const struct moescope_setting settings[] = {{"router.name", plan.mask ? "\"mask\"" : "\"topk\""}};
    const struct moescope_run run = {.name = plan.name,
                                     .task = "language_model",
                                     .router = "topk",
                                     .program = "test",
                                     .machine_json = "{}",
                                     .seed = plan.seed,
                                     .corpus_id = corpus->corpus_id,
                                     .vocabulary_id = corpus->vocabulary_id,
                                     .config = settings,
                                     .n_config = 1};
    const struct moescope_writer_options options = {.gate_bits = 8};
    struct moescope_writer *w;
    struct error err = {0};
    int64_t run_id;
    test_must(moescope_begin_run(fixture.logbook, &run, &run_id, &err), &err);
    test_must(moescope_writer_open(&w, fixture.logbook, run_id, &options, &err), &err);
    struct moescope_batch *b = moescope_batch_new(w, &err);
    assert_non_null(b);
    for (int d = 0; d < N_DOCUMENTS; d++)
        add_document(b, &plan, d);
    test_must(moescope_batch_commit(b, &err), &err);
    test_must(moescope_writer_close(w, &err), &err);
    test_must(moescope_end_run(fixture.logbook, run_id, "finished", &err), &err);
}

static int open_all(void **state)
{
    static const int64_t counts[N_IDS] = {50, 30, 15, 4, 1, 0}, even[N_IDS] = {1, 1, 1, 1, 1, 1},
                         none[N_IDS] = {0};
    struct error err = {0};
    (void)state;
    fixture = (struct fixture){.verb = "compare", .folder = test_folder()};
    assert_true(asprintf(&fixture.path, "%s/frequency.db", fixture.folder) > 0);
    test_must(moescope_open(&fixture.logbook, fixture.path, &err), &err);
    add_corpus(&counted, "counted", counts);
    add_corpus(&other, "other", even);
    add_corpus(&uncounted, "uncounted", none);
    add_run((struct plan){.name = "smoe.seed1", .seed = 1});
    add_run((struct plan){.name = "smoe.seed2", .seed = 2});
    add_run((struct plan){.name = "smoe.seed3", .seed = 3});
    add_run((struct plan){.name = "mask.seed1", .seed = 1, .mask = true});
    add_run((struct plan){.name = "mask.seed2", .seed = 2, .mask = true, .rest = -1.0 / 64});
    add_run((struct plan){.name = "mask.seed3", .seed = 3, .mask = true, .rest = 1.0 / 64});
    add_run((struct plan){.name = "unlogged", .unlogged = true});
    add_run((struct plan){.name = "broken", .broken = true});
    add_run((struct plan){.name = "shorter", .mask = true, .shorter = true});
    add_run((struct plan){.name = "elsewhere", .corpus = &other});
    add_run((struct plan){.name = "nowhere", .corpus = &uncounted});
    add_run((struct plan){.name = "nowhere2", .corpus = &uncounted});
    fixture_finish(&fixture);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fixture_release(&fixture);
    return 0;
}

/* ---- tests ---- */

static void test_what_buckets_are(void **state)
{
    char *csv = fixture_table(&fixture, "buckets", "smoe.seed1 mask.seed1 --by target-frequency");
    (void)state;
    assert_string_equal(csv,
                        "bucket,ids,train_tokens,share,least,most\n"
                        "first 50 %,1,50,0.5,50,50\n50 to 80 %,1,30,0.3,30,30\n80 to 95 %,1,15,0.15,15,15\n"
                        "rest,2,5,0.05,1,4\nunseen in training,1,0,0,0,0\n");
    free(csv);
}

struct expected {
    const char *bucket;
    int documents, tokens;
    double loss, baseline_loss, difference, by_domain;
    const char *verdict;
};

static void expect_rows(const char *csv, const struct expected *expected, int n)
{
    char start[64];
    assert_int_equal(rows_count(csv), n);
    for (int i = 0; i < n; i++) {
        const struct expected *e = &expected[i];
        snprintf(start, sizeof start, "mask.seed1,smoe.seed1,%s,", e->bucket);
        assert_close(rows_real(csv, start, "documents"), e->documents, 0);
        assert_close(rows_real(csv, start, "tokens"), e->tokens, 0);
        assert_close(rows_real(csv, start, "loss"), e->loss, exact);
        assert_close(rows_real(csv, start, "baseline_loss"), e->baseline_loss, exact);
        assert_close(rows_real(csv, start, "difference"), e->difference, exact);
        assert_close(rows_real(csv, start, "by_domain"), e->by_domain, exact);
        rows_expect(csv, start, "verdict", e->verdict);
        rows_expect(csv, start, "domain_verdict", e->verdict);
    }
}

static void test_by_target(void **state)
{
    static const struct expected expected[] = {
        {"first 50 %", 20, 20, 1, 1, 0, 0, "equivalent"},
        {"50 to 80 %", 10, 10, 2.125, 2, 0.125, 0.125, "worse"},
        {"80 to 95 %", 10, 10, 3, 3, 0, 0, "undetermined"},
        {"rest", 20, 30, 4 - 1. / 3, 4, -1. / 3, -0.375, "better"},
        {"unseen in training", 10, 10, 5, 6, -1, -1, "better"},
    };
    char *csv = fixture_table(&fixture, "frequency", "smoe.seed1 mask.seed1 --by target-frequency");
    (void)state;
    expect_rows(csv, expected, 5);
    /* The same in every document of a domain: certain. */
    assert_close(rows_real(csv, "mask.seed1,smoe.seed1,rest,", "low"), -1. / 3, exact);
    assert_close(rows_real(csv, "mask.seed1,smoe.seed1,rest,", "high"), -1. / 3, exact);
    assert_close(rows_real(csv, "mask.seed1,smoe.seed1,rest,", "domain_low"), -0.375, exact);
    /* Ten documents at +-0.5: whatever lies between would have five on either side, and so has as good as any
     * other draw. */
    assert_close(rows_real(csv, "mask.seed1,smoe.seed1,80 to 95 %,", "high"), 0.5, 0.001);
    /* Twenty documents that agree, third of five at most. */
    assert_true(rows_real(csv, "mask.seed1,smoe.seed1,rest,", "p") < 0.01);
    free(csv);
}

static void test_by_input(void **state)
{
    /* Inputs 0: 20 tokens each way, 10 of them +1/8 in c, 10 of them -1/4 in german. */
    static const struct expected expected[] = {
        {"first 50 %", 20, 40, 2 - 0.03125, 2, -0.03125, -0.03125, "better"},
        {"50 to 80 %", 10, 10, 3, 3, 0, 0, "undetermined"},
        {"80 to 95 %", 10, 10, 3.5, 4, -0.5, -0.5, "better"},
        {"rest", 10, 20, 5 - 0.625, 5, -0.625, -0.625, "better"},
    };
    char *csv = fixture_table(&fixture, "frequency", "smoe.seed1 mask.seed1 --by input-frequency");
    (void)state;
    expect_rows(csv, expected, 4);
    free(csv);
}

static void test_perplexity(void **state)
{
    char *csv = fixture_table(&fixture, "perplexity", "smoe.seed1 mask.seed1 --by input-frequency");
    char *alone = fixture_table(&fixture, "perplexity", "smoe.seed1 --by input-frequency");
    (void)state;
    assert_int_equal(rows_count(csv), 8); /* four buckets of either */
    assert_close(rows_real(csv, "smoe.seed1,first 50 %,", "tokens"), 40, 0);
    assert_close(rows_real(csv, "smoe.seed1,first 50 %,", "documents"), 20, 0);
    assert_close(rows_real(csv, "smoe.seed1,first 50 %,", "perplexity"), exp(2), 1e-9); /* 1 2 and 1 4 */
    assert_close(rows_real(csv, "mask.seed1,rest,", "loss"), 4.375, exact);
    /* The same in every document: however they are drawn. */
    assert_close(rows_real(csv, "smoe.seed1,rest,", "perplexity_low"), exp(5), 1e-9);
    assert_close(rows_real(alone, "smoe.seed1,rest,", "perplexity_high"), exp(5), 1e-9);
    free(csv);
    free(alone);
    fixture_status(&fixture, "smoe.seed1 --table perplexity", 2, "takes --by input-frequency");
}

static void test_one_language(void **state)
{
    static const struct expected expected[] = {
        {"first 50 %", 10, 10, 1, 1, 0, 0, "equivalent"},
        {"50 to 80 %", 10, 10, 2.125, 2, 0.125, 0.125, "worse"},
        {"80 to 95 %", 10, 10, 3, 3, 0, 0, "undetermined"},
        {"rest", 10, 10, 3.5, 4, -0.5, -0.5, "better"},
    };
    char *csv = fixture_table(&fixture, "frequency",
                              "smoe.seed1 mask.seed1 --by target-frequency --where-label language=en");
    (void)state;
    expect_rows(csv, expected, 4);
    free(csv);
    csv = fixture_table(&fixture, "verdict", "smoe.seed1 mask.seed1 --where-label language=en");
    assert_non_null(strstr(csv, "losses are of documents with the label language=en alone"));
    free(csv);
    csv = fixture_table(&fixture, "losses", "smoe.seed1 mask.seed1 --where-label language=de");
    assert_close(rows_real(csv, "smoe.seed1,", "documents"), 10, 0);
    assert_close(rows_real(csv, "smoe.seed1,", "loss"), 15. / 4, exact);
    free(csv);
}

/* -1/3 and that -+ 1/64: a standard deviation of 1/64; t(2, 0.975) = 4.302653. Two of the five buckets differ
 * by the same in all seeds, p = 0, two by nothing, p = 1: that of the rest is the third of five. On two
 * degrees of freedom p = 1 - t / sqrt(t^2 + 2). */
static void test_seeds(void **state)
{
    static const char runs[] = "smoe.seed1 smoe.seed2 smoe.seed3 mask.seed1 mask.seed2 mask.seed3 --group-by "
                               "seed --by target-frequency";
    char *csv = fixture_table(&fixture, "frequency_seeds", "%s", runs);
    double half = 4.302653 / 64 / sqrt(3), t = 64 * sqrt(3) / 3;
    (void)state;
    assert_int_equal(rows_count(csv), 5);
    assert_close(rows_real(csv, "mask,smoe,rest,", "seeds"), 3, 0);
    assert_close(rows_real(csv, "mask,smoe,rest,", "tokens"), 30, 0);
    assert_close(rows_real(csv, "mask,smoe,rest,", "loss"), 4 - 1. / 3, exact);
    assert_close(rows_real(csv, "mask,smoe,rest,", "baseline_loss"), 4, exact);
    assert_close(rows_real(csv, "mask,smoe,rest,", "difference"), -1. / 3, exact);
    assert_close(rows_real(csv, "mask,smoe,rest,", "low"), -1. / 3 - half, 1e-7);
    assert_close(rows_real(csv, "mask,smoe,rest,", "high"), -1. / 3 + half, 1e-7);
    assert_close(rows_real(csv, "mask,smoe,rest,", "p"), (1 - t / sqrt(t * t + 2)) * 5 / 3, 1e-9);
    rows_expect(csv, "mask,smoe,rest,", "verdict", "better");
    assert_close(rows_real(csv, "mask,smoe,rest,", "by_domain"), -0.375, exact);
    assert_close(rows_real(csv, "mask,smoe,rest,", "domain_high"), -0.375 + half, 1e-7);
    rows_expect(csv, "mask,smoe,first 50 %,", "verdict", "equivalent");
    rows_expect(csv, "mask,smoe,50 to 80 %,", "verdict", "worse");
    free(csv);
    csv = fixture_table(&fixture, "frequency", "%s", runs); /* each with the run of its seed */
    assert_int_equal(rows_count(csv), 15);
    assert_close(rows_real(csv, "mask.seed2,smoe.seed2,rest,", "difference"), -1. / 3 - 1. / 64, exact);
    free(csv);
    csv = fixture_table(&fixture, "verdict", "%s", runs);
    assert_non_null(
        strstr(csv, "mask against smoe by frequency of the target token, in nats per token: first 50 % "
                    "equivalent (+0.000, 95 % +0.000 to +0.000), 50 to 80 % worse (+0.125"));
    free(csv);
}

static void test_other_pieces_are_not_judged(void **state)
{
    char *csv = fixture_table(&fixture, "frequency", "smoe.seed1 shorter --by target-frequency");
    (void)state;
    assert_close(rows_real(csv, "shorter,smoe.seed1,unseen in training,", "difference"), -1, exact);
    rows_expect(csv, "shorter,smoe.seed1,unseen in training,", "verdict", "undetermined");
    rows_expect(csv, "shorter,smoe.seed1,50 to 80 %,", "domain_verdict", "undetermined");
    free(csv);
}

/* A loss that is not finite takes the figure of its bucket, and of no other. */
static void test_losses_that_are_not_finite(void **state)
{
    char *csv = fixture_table(&fixture, "frequency", "smoe.seed1 broken --by target-frequency");
    (void)state;
    assert_nan(rows_real(csv, "broken,smoe.seed1,rest,", "difference"));
    rows_expect(csv, "broken,smoe.seed1,rest,", "verdict", "undetermined");
    assert_close(rows_real(csv, "broken,smoe.seed1,unseen in training,", "difference"), 0, exact);
    rows_expect(csv, "broken,smoe.seed1,unseen in training,", "verdict", "equivalent");
    free(csv);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    fixture_status(&fixture, "smoe.seed1 mask.seed1 --by router", 2, "not by 'router'");
    fixture_status(&fixture, "smoe.seed1 mask.seed1 --table frequency", 2,
                   "'frequency' takes --by input-frequency");
    fixture_status(&fixture, "smoe.seed1 mask.seed1 --where-label en", 2, "KEY=VALUE");
    fixture_status(&fixture, "smoe.seed1 mask.seed1 --where-label language=fr", 3, "the label language=fr");
    fixture_status(&fixture, "smoe.seed1 unlogged --by target-frequency", 3,
                   "run 'unlogged' kept the losses of 0 of 80 tokens of split 'valid' at step 10");
    fixture_status(&fixture, "smoe.seed1 mask.seed1 --by target-frequency --split probe", 3,
                   "run 'smoe.seed1' has no losses of split 'probe'");
    fixture_status(&fixture, "smoe.seed1 elsewhere --by target-frequency", 3,
                   "'elsewhere' and 'smoe.seed1' have different corpora");
    fixture_status(&fixture, "nowhere nowhere2 --by target-frequency", 3,
                   "no counts of training tokens for the corpus of run 'nowhere'");
}

/* What --print-sql shows gives the same sums in the stock shell. */
static void test_sql_in_the_shell(void **state)
{
    char *csv = fixture_sql(&fixture, "smoe.seed1 mask.seed1 --by input-frequency --table frequency");
    (void)state;
    /* A document of c has three buckets, one of german two. */
    assert_int_equal(rows_count(csv), 2 * (PER_DOMAIN * 3 + PER_DOMAIN * 2));
    assert_non_null(strstr(csv, "\n1,4,10,0,2,counted1,german,4,2,,4.75\n"));
    free(csv);
    csv = fixture_sql(&fixture, "smoe.seed1 mask.seed1 --table difference --where-label language=en");
    assert_int_equal(rows_count(csv), 2 * PER_DOMAIN);
    free(csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_buckets_are),
        cmocka_unit_test(test_by_target),
        cmocka_unit_test(test_by_input),
        cmocka_unit_test(test_perplexity),
        cmocka_unit_test(test_one_language),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_other_pieces_are_not_judged),
        cmocka_unit_test(test_losses_that_are_not_finite),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_sql_in_the_shell),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
