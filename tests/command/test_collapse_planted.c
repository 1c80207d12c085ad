/* moescope collapse on runs in which something is known to have happened, written through the real writer: is
 * it named rightly, and its onset within a window? 16 experts, 300 steps of 1000 tokens, hence windows of 3;
 * choices are drawn, so that loads are as noisy as real ones. Layer 1 of every run is sound, and must be
 * called so. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/close.h"
#include "tests/fixture.h"
#include "tests/rows.h"

enum { EXPERTS = 16, STEPS = 300, WINDOW = 3, TOKENS = 1000, LAYERS = 2, MOST = EXPERTS };

static struct fixture fixture;

/* ---- what a router does: who is likely, and how many a token gets ---- */

struct router {
    const char *name, *kind; /* the run's, the layer's */
    int k;                   /* 0: varies */
    double router_entropy;   /* of ln N */
    int changes;             /* the probe's choices do, after step 0 */
    /* Shares of the experts at a step, which need not add up to 1; returns how many a token gets. */
    double (*shares)(int64_t step, double share[EXPERTS]);
};

static void spread(double share[EXPERTS], int first, int n, double each)
{
    for (int e = 0; e < n; e++)
        share[first + e] = each;
}

static double even(int64_t step, double share[EXPERTS])
{
    (void)step;
    spread(share, 0, EXPERTS, 1);
    return 1;
}

static double one_from_90(int64_t step, double share[EXPERTS])
{
    spread(share, 0, EXPERTS, step < 90 ? 1 : 0.002);
    share[5] = 1;
    return 1;
}

/* A share leaks away from all but four, 2 % of it a step from 60 on: H of the expected loads falls below
 * ln 8 at GRADUAL. */
static double gradual_shares(double step, double share[EXPERTS])
{
    double rest = step < 60 ? 1 : pow(0.98, step - 60);
    spread(share, 0, EXPERTS, rest);
    spread(share, 0, 4, 1);
    return 1;
}

static double gradual(int64_t step, double share[EXPERTS])
{
    return gradual_shares((double)step, share);
}

static int64_t gradual_onset(void)
{
    double share[EXPERTS], sum, entropy;
    int64_t step = 0;
    do {
        gradual_shares((double)++step, share);
        sum = entropy = 0;
        for (int e = 0; e < EXPERTS; e++)
            sum += share[e];
        for (int e = 0; e < EXPERTS; e++)
            entropy -= share[e] / sum * log(share[e] / sum);
    } while (entropy > log(EXPERTS / 2.0));
    return step;
}

static double late(int64_t step, double share[EXPERTS])
{
    spread(share, 0, EXPERTS, step < 276 ? 1 : 0.01);
    spread(share, 3, 2, 1);
    return 1;
}

/* One window and a half before the end. */
static double too_late(int64_t step, double share[EXPERTS])
{
    spread(share, 0, EXPERTS, step < 295 ? 1 : 0.01);
    spread(share, 3, 2, 1);
    return 1;
}

static double dip(int64_t step, double share[EXPERTS])
{
    spread(share, 0, EXPERTS, step >= 9 && step < 60 ? 0.01 : 1);
    spread(share, 8, 4, 1);
    return 1;
}

static double dead(int64_t step, double share[EXPERTS])
{
    spread(share, 0, EXPERTS, 1);
    if (step >= 120)
        share[2] = share[7] = share[11] = 0;
    return 1;
}

static double uneven(int64_t step, double share[EXPERTS])
{
    (void)step;
    for (int e = 0; e < EXPERTS; e++)
        share[e] = pow(0.8, e);
    return 1;
}

/* Top-p: half of them at first, later all but a fifth of one. */
static double everything(int64_t step, double share[EXPERTS])
{
    spread(share, 0, EXPERTS, 1);
    return step < 150 ? 8 : 15.8;
}

static double all_to_one(int64_t step, double share[EXPERTS])
{
    if (step < 150)
        return everything(step, share);
    return one_from_90(step, share);
}

static double top_p(int64_t step, double share[EXPERTS])
{
    everything(0, share);
    return step < 20 ? 15 : 6;
}

static const struct router planted[] = {
    {"healthy", "topk", 1, 0.7, 1, even},
    {"collapsed", "topk", 1, 0.7, 1, one_from_90},
    {"gradual", "topk", 1, 0.7, 1, gradual},
    {"late", "topk", 1, 0.7, 1, late},
    {"too-late", "topk", 1, 0.7, 1, too_late},
    {"dip", "topk", 1, 0.7, 1, dip},
    {"dead", "topk", 1, 0.7, 1, dead},
    {"uneven", "topk", 1, 0.7, 1, uneven},
    {"no-opinion", "topk", 1, 0.995, 1, even},
    {"unchanged", "topk", 1, 0.7, 0, even},
    {"hash", "hash", 1, 0, 0, even},
    {"everything", "topp", 0, 0.7, 1, everything},
    {"all-to-one", "topp", 0, 0.7, 1, all_to_one},
    {"top-p", "topp", 0, 0.7, 1, top_p},
};
enum { N_PLANTED = sizeof planted / sizeof planted[0] };
static const struct router sound = {"sound", "topk", 2, 0.7, 1, even};

/* ---- drawing and writing ---- */

/* How many of n independent tries succeed: normal, rounded, within what is possible. */
static int64_t draw_count(double n, double p, struct random *r)
{
    double at = round(n * p + sqrt(n * p * (1 - p)) * random_normal(r));
    return (int64_t)(at < 0 ? 0 : at > n ? n : at);
}

/* Every token takes one expert: a multinomial draw, expert by expert. */
static void draw_choices(const double share[EXPERTS], double left, struct random *r, int64_t load[EXPERTS])
{
    double rest = 0;
    for (int e = 0; e < EXPERTS; e++)
        rest += share[e];
    for (int e = 0; e < EXPERTS; e++) {
        int64_t n = rest > share[e] ? draw_count(left, share[e] / rest, r) : (int64_t)left;
        load[e] += n;
        left -= (double)n;
        rest -= share[e];
    }
}

static void draw_loads(const struct router *of, int64_t step, struct random *r, int64_t load[EXPERTS])
{
    double share[EXPERTS] = {0}, each = of->shares(step, share), sum = 0;
    memset(load, 0, EXPERTS * sizeof *load);
    for (int i = 0; i < of->k; i++)
        draw_choices(share, TOKENS, r, load);
    for (int e = 0; e < EXPERTS; e++)
        sum += share[e];
    for (int e = 0; of->k == 0 && e < EXPERTS; e++)
        load[e] = draw_count(TOKENS, fmin(each * share[e] / sum, 1), r);
}

static void add_step(struct moescope_batch *b, const struct router *const of[LAYERS], int64_t step,
                     struct random *r)
{
    static const double gates[EXPERTS] = {0};
    int64_t load[EXPERTS];
    for (int layer = 0; layer < LAYERS; layer++) {
        draw_loads(of[layer], step, r, load);
        struct moescope_load l = {0, layer, EXPERTS, load, NULL, gates, gates};
        moescope_batch_load(b, step, "train", &l);
        moescope_batch_layer_metric(b, step, "train", layer, "router_entropy",
                                    of[layer]->router_entropy * log(EXPERTS));
    }
    moescope_batch_metric(b, step, "train", "tokens", (double)TOKENS * (double)(step + 1));
}

static void add_probe(struct moescope_batch *b, const struct router *const of[LAYERS], int64_t step)
{
    int32_t ids[FIXTURE_TOKENS + 1] = {0}, expert[FIXTURE_TOKENS * MOST];
    float gate[FIXTURE_TOKENS * MOST];
    for (int i = 0; i < FIXTURE_TOKENS * MOST; i++)
        gate[i] = 0.5f;
    for (int d = 0; d < fixture.n_documents; d++) {
        struct moescope_sequence q = {
            .document_id = fixture.document_ids[d], .n_tokens = FIXTURE_TOKENS, .ids = ids};
        int handle = moescope_batch_sequence(b, step, "probe", &q);
        for (int layer = 0; layer < LAYERS; layer++) {
            int k = of[layer]->k > 0 ? of[layer]->k : 1;
            for (int i = 0; i < FIXTURE_TOKENS * k; i++)
                expert[i] = (i / k + d + (of[layer]->changes ? (int)step : 0) + i % k) % EXPERTS;
            moescope_batch_routing(
                b, handle,
                &(struct moescope_block){
                    .layer = layer, .n_experts = EXPERTS, .k = k, .expert = expert, .gate = gate});
        }
    }
}

/* Losses of documents: 3 nats a token and a little of the document's own, `more` of it in all. */
static void add_losses(struct moescope_batch *b, int64_t step, double more)
{
    for (int d = 0; d < fixture.n_documents; d++)
        moescope_batch_document_loss(b, step, "valid", fixture.document_ids[d], 100, 400,
                                     100 * (3 + more + 0.001 * (d % 7)));
}

static int64_t begin_run(const char *name, const struct router *const of[LAYERS],
                         const struct moescope_setting *settings, int n_settings)
{
    struct moescope_layer layers[LAYERS];
    struct error err = {0};
    int64_t run_id;
    for (int i = 0; i < LAYERS; i++)
        layers[i] = (struct moescope_layer){
            .layer = i, .router = of[i]->kind, .n_experts = EXPERTS, .k = of[i]->k, .expert_parameters = 1};
    struct moescope_run run = {.uuid = name,
                               .name = name,
                               .task = "language_model",
                               .router = of[0]->kind,
                               .program = "test",
                               .machine_json = "{}",
                               .corpus_id = fixture.corpus_id,
                               .vocabulary_id = fixture.vocabulary_id,
                               .config = settings,
                               .n_config = n_settings,
                               .layers = layers,
                               .n_layers = LAYERS};
    test_must(moescope_begin_run(fixture.logbook, &run, &run_id, &err), &err);
    return run_id;
}

static void add_run(const struct router *of, uint64_t seed)
{
    static const struct moescope_setting planned = {"train.steps", "300"};
    const struct router *const layers[LAYERS] = {of, &sound};
    struct moescope_writer_options options = {.gate_bits = 8};
    struct moescope_writer *w;
    struct moescope_batch *b;
    struct random r;
    struct error err = {0};
    int64_t run_id = begin_run(of->name, layers, &planned, 1);
    random_seed(&r, seed, 0);
    test_must(moescope_writer_open(&w, fixture.logbook, run_id, &options, &err), &err);
    assert_non_null(b = moescope_batch_new(w, &err)); /* all at once: it is quicker */
    add_probe(b, layers, 0);
    for (int64_t step = 0; step < STEPS; step++)
        add_step(b, layers, step, &r);
    add_probe(b, layers, STEPS);
    add_losses(b, STEPS, 0);
    test_must(moescope_batch_commit(b, &err), &err);
    test_must(moescope_writer_close(w, &err), &err);
    test_must(moescope_end_run(fixture.logbook, run_id, "finished", &err), &err);
}

/* What an ablation of that run would have found with random choices in all layers: `more` nats a token. */
static void add_random_run(const char *of, double more)
{
    const struct router *const layers[LAYERS] = {&sound, &sound};
    struct moescope_writer_options options = {.gate_bits = 8};
    struct moescope_writer *w;
    struct moescope_batch *b;
    struct error err = {0};
    char name[64], uuid[64];
    snprintf(name, sizeof name, "%s.random", of);
    snprintf(uuid, sizeof uuid, "\"%s\"", of);
    const struct moescope_setting settings[] = {{"ablate.run", uuid}, {"ablate.what", "\"random\""}};
    int64_t run_id = begin_run(name, layers, settings, 2);
    test_must(moescope_writer_open(&w, fixture.logbook, run_id, &options, &err), &err);
    assert_non_null(b = moescope_batch_new(w, &err));
    add_losses(b, STEPS, more);
    test_must(moescope_batch_commit(b, &err), &err);
    test_must(moescope_writer_close(w, &err), &err);
    test_must(moescope_end_run(fixture.logbook, run_id, "finished", &err), &err);
}

static int open_all(void **state)
{
    (void)state;
    fixture_open(&fixture, 2, 12);
    fixture.verb = "collapse";
    for (int i = 0; i < N_PLANTED; i++)
        add_run(&planted[i], (uint64_t)i);
    add_random_run("dip", 0.001);
    add_random_run("healthy", 0.4);
    fixture_finish(&fixture);
    return 0;
}

enum { ONSET, VERDICT, N_TABLES };
static char *said[N_PLANTED][N_TABLES];

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < N_PLANTED; i++)
        for (int t = 0; t < N_TABLES; t++)
            free(said[i][t]);
    fixture_release(&fixture);
    return 0;
}

/* Asked once. */
static const char *table_of(const char *run, int table)
{
    static const char *const names[N_TABLES] = {"onset", "verdict"};
    int i = 0;
    while (strcmp(planted[i].name, run) != 0)
        i++;
    if (!said[i][table])
        said[i][table] = fixture_table(&fixture, names[table], "--run %s", run);
    return said[i][table];
}

/* ---- what must be found ---- */

static void expect_finding(const char *run, const char *of_run, const char *of_layer)
{
    const char *verdict = table_of(run, VERDICT), *onset = table_of(run, ONSET);
    rows_expect(verdict, "run,", "verdict", of_run);
    assert_null(strstr(verdict, "better"));
    assert_null(strstr(verdict, "worse"));
    rows_expect(onset, "0,", "finding", of_layer);
    rows_expect(onset, "1,", "finding", "healthy");
}

static void expect_onset(const char *run, const char *state, int64_t step)
{
    rows_expect(table_of(run, ONSET), "0,", "state", state);
    assert_close(rows_real(table_of(run, ONSET), "0,", "onset_step"), (double)step, WINDOW);
}

static void expect_words(const char *run, const char *words)
{
    if (!strstr(table_of(run, VERDICT), words))
        fail_msg("'%s' is not in: %s", words, table_of(run, VERDICT));
}

static void test_collapses(void **state)
{
    (void)state;
    expect_finding("collapsed", "collapsed", "collapsed");
    expect_onset("collapsed", "collapsed", 90);
    expect_words("collapsed", "layer 0: collapsed onto one expert since step 90");
    expect_finding("gradual", "collapsed", "collapsed");
    assert_in_range(gradual_onset(), 70, 200);
    expect_onset("gradual", "collapsed", gradual_onset());
    expect_finding("late", "collapsed", "collapsed");
    expect_onset("late", "collapsed", 276);
    expect_finding("too-late", "censored", "censored");
    expect_onset("too-late", "censored", 295);
}

static void test_healthy(void **state)
{
    (void)state;
    expect_finding("healthy", "healthy", "healthy");
    assert_nan(rows_real(table_of("healthy", ONSET), "0,", "onset_step"));
    expect_words("healthy", "no collapse in 2 MoE layers");
}

static void test_dip_that_recovers(void **state)
{
    (void)state;
    rows_expect(table_of("dip", ONSET), "0,", "state", "transient");
    expect_words("dip", "from step 9 to 59");
}

static void test_dead_and_uneven(void **state)
{
    (void)state;
    expect_finding("dead", "dead experts", "dead experts");
    char *csv = fixture_table(&fixture, "dead", "--run dead");
    assert_int_equal(rows_count(csv), 3);
    assert_close(rows_real(csv, "0,2,", "since_step"), 120, 0);
    assert_close(rows_real(csv, "0,7,", "since_step"), 120, 0);
    assert_close(rows_real(csv, "0,11,", "since_step"), 120, 0);
    free(csv);
    expect_words("dead", "3 dead (2, 7, 11; the first since step 120)");
    expect_finding("uneven", "unbalanced", "unbalanced");
}

static void test_balanced_but_indifferent(void **state)
{
    (void)state;
    expect_finding("no-opinion", "balanced but indifferent", "balanced but indifferent");
    expect_words("no-opinion", "balanced but indifferent (no opinion)");
    expect_finding("unchanged", "balanced but indifferent", "balanced but indifferent");
    expect_words("unchanged", "balanced but indifferent (unchanged)");
    expect_words("unchanged", "100 % of the probe's first choices at step 300 are those of step 0");
    expect_finding("hash", "healthy", "fixed"); /* by design, not by neglect */
}

/* A router whose choices can be replaced by random ones does nothing either; one whose cannot does. */
static void test_random_routing(void **state)
{
    (void)state;
    rows_expect(table_of("dip", VERDICT), "run,", "verdict", "balanced but indifferent");
    rows_expect(table_of("dip", VERDICT), "random routing,", "verdict", "no effect");
    expect_words("dip", "the loss changes by +0.0010 nats a token");
    expect_words("dip", "24 documents");
    rows_expect(table_of("healthy", VERDICT), "random routing,", "verdict", "effect");
    expect_words("healthy", "the loss changes by +0.4000 nats a token");
    assert_null(strstr(table_of("dead", VERDICT), "random routing"));
}

static void test_top_p(void **state)
{
    (void)state;
    expect_finding("everything", "everything on", "everything on");
    expect_onset("everything", "collapsed", 150);
    expect_words("everything", "layer 0: everything on since step 150");
    expect_words("everything", "15.8 for a token");
    expect_finding("all-to-one", "collapsed", "collapsed");
    expect_onset("all-to-one", "collapsed", 150);
    expect_words("all-to-one", "layer 0: collapsed onto one expert since step 150");
    rows_expect(table_of("top-p", ONSET), "0,", "state", "transient"); /* 15 a token, as untrained ones do */
    rows_expect(table_of("top-p", ONSET), "0,", "finding", "transient");
}

static void test_exit_code(void **state)
{
    (void)state;
    fixture_status(&fixture, "--run everything --exit-code", 1, "");
    fixture_status(&fixture, "--run all-to-one --exit-code", 1, "");
    fixture_status(&fixture, "--run dead --exit-code", 0, "");
    fixture_status(&fixture, "--run everything --exit-code --everything-share 1", 0, "");
}

/* It never says that a collapse cost quality: that takes the paired test, which it names. */
static void test_quality_is_not_judged(void **state)
{
    (void)state;
    rows_expect(table_of("collapsed", VERDICT), "quality,", "verdict", "not judged");
    expect_words("collapsed", "tests the losses on the same documents");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collapses),
        cmocka_unit_test(test_healthy),
        cmocka_unit_test(test_dip_that_recovers),
        cmocka_unit_test(test_dead_and_uneven),
        cmocka_unit_test(test_balanced_but_indifferent),
        cmocka_unit_test(test_random_routing),
        cmocka_unit_test(test_top_p),
        cmocka_unit_test(test_exit_code),
        cmocka_unit_test(test_quality_is_not_judged),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
