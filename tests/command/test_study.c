/* moescope study as a program: what is missing is trained, what is there is not; its table is what SQL and a
 * hand say; what is wrong in a file is named with its line. */
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

#include "tests/pictures.h"
#include "tests/support.h"
#include "tests/tiny.h"

static struct tiny tiny;

static const char study[] = "[study]\n"
                            "name = small\n"
                            "title = A small study\n"
                            "question = Do two experts help?\n"
                            "seeds = 0, 3\n"
                            "reference = one\n"
                            "text = text\n"
                            "vocabulary = 320\n"
                            "[settings]\n"
                            "model.layers = 2\n"
                            "model.width = 16\n"
                            "model.heads = 2\n"
                            "model.context = 32\n"
                            "router.experts = 4, 4\n"
                            "router.hidden = 8\n"
                            "train.tokens_per_step = 64\n"
                            "train.steps = 6\n"
                            "valid.every = 0\n"
                            "log.decisions = held_out\n"
                            "[quick]\n"
                            "seeds = 1\n"
                            "runs = one, chosen\n"
                            "train.steps = 2\n"
                            "[run one]\n"
                            "label = top-1\n"
                            "paper = 1.5 as printed\n"
                            "router.k = 1\n"
                            "[run two]\n"
                            "router.k = 2\n"
                            "[run chosen]\n"
                            "router.name = topp\n"
                            "[run three]\n"
                            "part = ablations\n"
                            "router.k = 3\n"
                            "[choice within one and a half]\n"
                            "among = t*\n"
                            "share = 2\n"
                            "[pairs]\n"
                            "two = one\n"
                            "[table layers]\n"
                            "query = study_layers\n"
                            "[figure frontier]\n"
                            "table = configurations\n"
                            "script = study-points\n"
                            "x = experts\n"
                            "y = loss\n"
                            "low = low\n"
                            "[buckets by-target]\n"
                            "of = target\n"
                            "[metrics by-metric]\n"
                            "of = loss, bits_per_byte\n"
                            "better = lower\n"
                            "[metrics as-if]\n"
                            "of = loss\n"
                            "margin = 1000\n"
                            "[paper]\n"
                            "theirs = 42\n";

static struct test_run ask(const char *more)
{
    return test_run("cd %s && %s/moescope-study small.ini --out out %s", tiny.folder, tiny.bin, more);
}

static int open_group(void **state)
{
    (void)state;
    tiny_open(&tiny);
    test_write(tiny.folder, "small.ini", study, sizeof study - 1);
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    tiny_release(&tiny);
    return 0;
}

static void expect_output(const char *more, const char *expected)
{
    struct test_run r = ask(more);

    if (r.status != 0 || strcmp(r.out, expected) != 0)
        fail_msg("%s: status %d, %s%s", more, r.status, r.out, r.err);
    test_run_release(&r);
}

static double number(const char *db, const char *sql)
{
    char *answer = tiny_ask(&tiny, db, sql);
    double value = strtod(answer, NULL);

    free(answer);
    return value;
}

static double loss_of(const char *run)
{
    char sql[512];

    snprintf(
        sql, sizeof sql,
        "SELECT printf('%%.17g', sum(loss_sum) / sum(n_tokens)) FROM document_loss JOIN run USING (run_id) "
        "WHERE name = '%s' AND split = 'valid' AND step = 6",
        run);
    return number("out/small.db", sql);
}

/* The cell in a row (from 0, the header is row 0) and column of CSV without quotes. */
static const char *cell_text(const char *csv, int row, int column)
{
    for (int i = 0; i < row; i++)
        csv = strchr(csv, '\n') + 1;
    for (int i = 0; i < column; i++)
        csv = strchr(csv, ',') + 1;
    return csv;
}

static double cell_of(const char *csv, int row, int column)
{
    return strtod(cell_text(csv, row, column), NULL);
}

static void test_plan(void **state)
{
    (void)state;
    expect_output("--dry-run --format csv",
                  "run,part,status,tokens,seconds\n"
                  "one.seed0,core,missing,,\ntwo.seed0,core,missing,,\nchosen.seed0,core,missing,,\n"
                  "one.seed3,core,missing,,\ntwo.seed3,core,missing,,\nchosen.seed3,core,missing,,\n");
    tiny_expect(ask("--no-training"), 3, "has no run of this study yet");
}

static void test_trains_what_is_missing(void **state)
{
    (void)state;
    tiny_expect(ask(""), 0, "small: 6 runs to train; now one.seed0");
    tiny_expect_answer(&tiny, "out/small.db", "SELECT name, seed, status FROM run ORDER BY run_id",
                       "one.seed0|0|finished\ntwo.seed0|0|finished\nchosen.seed0|0|finished\n"
                       "one.seed3|3|finished\ntwo.seed3|3|finished\nchosen.seed3|3|finished\n");
    /* ablations bring their own, and the reference that is there */
    tiny_expect(ask("--part ablations"), 0, "small: 2 runs to train; now three.seed0");
    tiny_expect_answer(&tiny, "out/small.db", "SELECT count(*) FROM run", "8\n");
    /* one that was broken off is gone on with */
    tiny_expect(test_run("cd %s && sqlite3 out/small.db \"UPDATE run SET status = 'interrupted' WHERE name = "
                         "'two.seed3'\"",
                         tiny.folder),
                0, "");
    tiny_expect(ask(""), 0, "small: 1 runs to train; now two.seed3");
    tiny_expect_answer(&tiny, "out/small.db", "SELECT count(*), sum(status = 'finished') FROM run", "8|8\n");
}

/* Student's interval of two differences d1, d2: mean +- 12.7062 |d1 - d2| / 2. */
static void test_figures(void **state)
{
    const double one[] = {loss_of("one.seed0"), loss_of("one.seed3")};
    const double two[] = {loss_of("two.seed0"), loss_of("two.seed3")};
    double d0 = two[0] - one[0], d1 = two[1] - one[1], half = 12.706204736 * fabs(d0 - d1) / 2;
    struct test_run r = ask("--no-training --format csv");

    (void)state;
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\ntop-1,2,"));
    assert_non_null(strstr(r.out, ",1.5 as printed\n"));
    assert_true(fabs(cell_of(r.out, 1, 3) - (one[0] + one[1]) / 2) < 1e-12);
    assert_true(cell_of(r.out, 1, 2) == 1.0 && cell_of(r.out, 2, 2) == 2.0);
    assert_true(fabs(cell_of(r.out, 2, 6) - (d0 + d1) / 2) < 1e-12);
    assert_true(fabs(cell_of(r.out, 2, 7) - ((d0 + d1) / 2 - half)) < 1e-6);
    assert_true(fabs(cell_of(r.out, 2, 8) - ((d0 + d1) / 2 + half)) < 1e-6);
    assert_non_null(strstr(r.err, "3 configurations have fewer than 3 seeds"));
    test_run_release(&r);
    /* 6 FLOPs a weight: 2 blocks of attention (1024), router (64) and k experts (384), embedding 320 x 16,
       and 12 * layers * width for half of the context */
    r = ask("--no-training --format csv --table configurations");
    for (int k = 1; k <= 2; k++)
        assert_true(fabs(cell_of(r.out, k, 12) * 1e6 -
                         (6.0 * (2 * (1024 + 64 + k * 384) + 320 * 16) + 6.0 * 2 * 32 * 16)) < 1e-6);
    test_run_release(&r);
}

/* Two-sided, of two differences: Student's t with one degree of freedom is Cauchy's. */
static double p_of(const char *run)
{
    char name[64];
    double d[2];

    for (int k = 0; k < 2; k++) {
        snprintf(name, sizeof name, "%s.seed%d", run, 3 * k);
        d[k] = loss_of(name);
        snprintf(name, sizeof name, "one.seed%d", 3 * k);
        d[k] -= loss_of(name);
    }
    return 1 - 2 / acos(-1) * atan(fabs(d[0] + d[1]) / fabs(d[0] - d[1]));
}

/* Two comparisons: the smaller p counts twice, unless the larger one is less than that. */
static void test_adjusted(void **state)
{
    struct test_run r = ask("--no-training --format csv");
    double two = p_of("two"), chosen = p_of("chosen"), larger = fmax(two, chosen),
           smaller = fmin(2 * fmin(two, chosen), larger);

    (void)state;
    assert_int_equal(r.status, 0);
    assert_true(fabs(cell_of(r.out, 2, 9) - (two < chosen ? smaller : larger)) < 1e-9);
    assert_true(fabs(cell_of(r.out, 3, 9) - (two < chosen ? larger : smaller)) < 1e-9);
    for (int k = 2; k <= 3; k++) {
        double low = cell_of(r.out, k, 7), high = cell_of(r.out, k, 8);
        bool settled = cell_of(r.out, k, 9) <= 0.05;
        const char *verdict = low >= -0.01 && high <= 0.01 ? "equivalent"
                              : settled && high < 0.0      ? "better"
                              : settled && low > 0.0       ? "worse"
                                                           : "undetermined";
        assert_true(strncmp(cell_text(r.out, k, 10), verdict, strlen(verdict)) == 0);
    }
    test_run_release(&r);
}

static void test_choice(void **state)
{
    struct test_run r = ask("--no-training --table choices --format csv");

    (void)state;
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\nwithin one and a half,two,2,2,"));
    assert_true(fabs(cell_of(r.out, 1, 7) - (loss_of("two.seed0") + loss_of("two.seed3") -
                                             loss_of("one.seed0") - loss_of("one.seed3")) /
                                                2) < 1e-9);
    test_run_release(&r);
    /* a candidate that lacks a seed leaves the others theirs in common alone */
    tiny_expect(
        test_run("cd %s && rm -rf fewer && mkdir fewer && sqlite3 out/small.db \".backup fewer/small.db\" && "
                 "sqlite3 fewer/small.db \"UPDATE run SET status = 'interrupted' WHERE name = "
                 "'chosen.seed3'\"",
                 tiny.folder),
        0, "");
    r = test_run("cd %s && sed 's/among = t./among = */; s/share = 2/share = 9/' small.ini > wide.ini && "
                 "%s/moescope-study wide.ini --out fewer --no-training --table choices --format csv",
                 tiny.folder, tiny.bin);
    assert_int_equal(r.status, 0);
    assert_true(cell_of(r.out, 1, 2) == 1.0);
    test_run_release(&r);
}

/* [ablations] counts after [settings], and before a run's own; what is printed and drawn is the part's. */
static void test_parts(void **state)
{
    struct test_run r;

    (void)state;
    tiny_expect(
        test_run(
            "cd %s && sed 's/name = small/name = parts/; s/^seeds.*/seeds = 0/' small.ini > parts.ini && "
            "printf '[ablations]\\nreference = three\\ntrain.steps = 4\\nrouter.hidden = 12\\n"
            "[run four]\\npart = ablations\\nrouter.hidden = 4\\n' >> parts.ini && "
            "%s/moescope-study parts.ini --out out --part all --figures drawn",
            tiny.folder, tiny.bin),
        0, "parts: 5 runs to train");
    tiny_expect_answer(
        &tiny, "out/parts.db",
        "SELECT name, (SELECT value FROM run_config AS c WHERE c.run_id = run.run_id AND key = "
        "'train.steps'), (SELECT value FROM run_config AS c WHERE c.run_id = run.run_id AND key "
        "= 'router.hidden') FROM run WHERE name IN ('one.seed0', 'three.seed0', 'four.seed0') ORDER BY "
        "run_id",
        "one.seed0|6|8\nthree.seed0|4|12\nfour.seed0|4|4\n");
    r = test_run("cd %s && %s/moescope-study parts.ini --out out --part ablations --figures drawn "
                 "--table layers --format csv && cut -d, -f1 drawn/frontier.csv",
                 tiny.folder, tiny.bin);
    assert_int_equal(r.status, 0);
    assert_null(strstr(r.out, "\ntwo,"));
    assert_non_null(strstr(r.out, "\nthree,0,1,3,3,3,"));
    assert_non_null(strstr(r.out, "configuration\nthree\nfour\n"));
    test_run_release(&r);
    r = test_run("cd %s && %s/moescope-study parts.ini --out out --part ablations --format csv", tiny.folder,
                 tiny.bin);
    assert_non_null(strstr(r.out, ",reference,"));
    assert_null(strstr(r.out, "top-1,"));
    test_run_release(&r);
    tiny_expect(test_run("cd %s && grep -q '<svg' drawn/frontier.svg", tiny.folder), 0, "");
}

static void test_other_tables(void **state)
{
    struct test_run r;

    (void)state;
    r = ask("--no-training --table pairs --format csv");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "two.seed0,one.seed0,8,"));
    assert_true(fabs(cell_of(r.out, 1, 3) - (loss_of("two.seed0") - loss_of("one.seed0"))) < 1e-9);
    test_run_release(&r);
    expect_output("--no-training --table paper --format csv", "figure,paper\ntheirs,42\n");
    r = ask("--no-training --table layers --format csv");
    assert_non_null(strstr(r.out, "two,1,2,2,2,2,"));
    test_run_release(&r);
    /* the buckets of one configuration hold all its tokens, and their losses are the whole's */
    tiny_expect(ask("--no-training --table by-target --format json -o buckets.json"), 0, "");
    double loss = number("out/small.db",
                         "SELECT sum(value ->> 'tokens' * (value ->> 'loss')) / sum(value ->> 'tokens') FROM "
                         "json_each(readfile('buckets.json')) WHERE value ->> 'configuration' = 'two'");
    assert_true(fabs(loss - (loss_of("two.seed0") + loss_of("two.seed3")) / 2) < 1e-3);
    assert_true(
        number("out/small.db", "SELECT sum(value ->> 'tokens') FROM json_each(readfile('buckets.json')) "
                               "WHERE value ->> 'configuration' = 'two'") ==
        number("out/small.db", "SELECT sum(n_tokens) FROM document_loss WHERE split = 'valid' AND step = 6 "
                               "AND run_id = (SELECT run_id FROM run WHERE name = 'two.seed0')"));
    tiny_expect(ask("--no-training --table nothing"), 2, "no table 'nothing'");
}

/* Two seeds: Student's interval of their two differences a and b is the mean +- 12.7062 |a - b| / 2. */
static void test_metrics(void **state)
{
    double a = loss_of("two.seed0") - loss_of("one.seed0"), b = loss_of("two.seed3") - loss_of("one.seed3");
    struct test_run r;

    (void)state;
    r = ask("--no-training --table by-metric --format csv");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "top-1,loss,2,"));
    assert_non_null(strstr(r.out, ",reference\n"));
    assert_non_null(strstr(r.out, "two,loss,2,"));
    assert_non_null(strstr(r.out, "two,bits_per_byte,2,"));
    assert_true(fabs(cell_of(r.out, 2, 3) - (loss_of("two.seed0") + loss_of("two.seed3")) / 2) < 1e-9);
    assert_true(fabs(cell_of(r.out, 2, 6) - (a + b) / 2) < 1e-9);
    assert_true(fabs(cell_of(r.out, 2, 7) - ((a + b) / 2 - 12.7062 * fabs(a - b) / 2)) < 1e-5);
    assert_true(fabs(cell_of(r.out, 2, 8) - ((a + b) / 2 + 12.7062 * fabs(a - b) / 2)) < 1e-5);
    test_run_release(&r);
    /* where higher is better the figures are the same, and a wide margin makes all alike */
    r = ask("--no-training --table as-if --format csv");
    assert_true(fabs(cell_of(r.out, 2, 6) - (a + b) / 2) < 1e-9);
    assert_true(fabs(cell_of(r.out, 2, 7) - ((a + b) / 2 - 12.7062 * fabs(a - b) / 2)) < 1e-5);
    assert_non_null(strstr(r.out, ",equivalent\n"));
    test_run_release(&r);
}

static void test_another_setting_is_refused(void **state)
{
    (void)state;
    tiny_expect(test_run("cd %s && sed 's/train.steps = 6/train.steps = 7/' small.ini > other.ini && "
                         "%s/moescope-study other.ini --out out",
                         tiny.folder, tiny.bin),
                3, "was trained with train.steps = 6, but 'other.ini' asks for 7");
}

/* Losses on one corpus are not compared with those on another: neither when they are there, nor by training
 * more. */
static void test_another_corpus_is_refused(void **state)
{
    (void)state;
    tiny_expect(
        test_run(
            "cd %s && rm -rf mixed && mkdir mixed && cp -r out/small-320-8192 mixed/ && sqlite3 out/small.db "
            "\".backup mixed/small.db\" && sqlite3 mixed/small.db \"INSERT INTO corpus (name, sha256) "
            "VALUES ('other', hex(zeroblob(32))); UPDATE run SET corpus_id = last_insert_rowid() WHERE name "
            "= 'two.seed0'\" && %s/moescope-study small.ini --out mixed --no-training",
            tiny.folder, tiny.bin),
        3, "' on 000000000000: their losses are of different documents");
    tiny_expect(test_run("cd %s && sqlite3 mixed/small.db \"UPDATE run SET corpus_id = "
                         "(SELECT corpus_id FROM corpus WHERE name = 'other'), status = CASE name WHEN "
                         "'one.seed3' THEN 'interrupted' ELSE status END\" && "
                         "%s/moescope-study small.ini --out mixed",
                         tiny.folder, tiny.bin),
                3, "was trained on corpus 000000000000, but the study's is");
}

static void test_quick(void **state)
{
    (void)state;
    tiny_expect(ask("--quick"), 0, "small: 2 runs to train");
    tiny_expect_answer(&tiny, "out/small-quick.db", "SELECT name, status FROM run",
                       "one.seed1|finished\nchosen.seed1|finished\n");
    tiny_expect_answer(&tiny, "out/small-quick.db", "SELECT max(step) FROM metric", "2\n");
}

/* timeout sends the signal to the whole group, as a terminal does, and the study sends its own on. */
static void expect_stop(const char *signal, const char *status)
{
    tiny_expect(
        test_run(
            "cd %s && rm -rf out/long.db* && sed 's/train.steps = 6/train.steps = 100000/; s/name = "
            "small/name "
            "= long/' small.ini > long.ini && timeout --preserve-status -s %s 2 %s/moescope-study long.ini "
            "--out out; echo $? >&2",
            tiny.folder, signal, tiny.bin),
        0, status);
    tiny_expect_answer(&tiny, "out/long.db", "SELECT name, status FROM run", "one.seed0|interrupted\n");
}

static void test_interrupted(void **state)
{
    (void)state;
    expect_stop("INT", "130");
    expect_stop("TERM", "143");
}

static struct test_run ask_astray(void)
{
    return test_run("cd %s && sed 's/name = small/name = astray/; s/^seeds.*/seeds = 0/; "
                    "s/train.steps = 6/train.steps = 50/; s/^router.k = 1/&\\ntrain.learning_rate = "
                    "100\\ntrain.decay = 100\\ntrain.warmup = 0/' small.ini > astray.ini && "
                    "%s/moescope-study astray.ini --out out",
                    tiny.folder, tiny.bin);
}

/* A run that diverges is no reason to leave the others untrained, nor to train it again and again. */
static void test_diverged(void **state)
{
    struct test_run r;

    (void)state;
    tiny_expect(ask_astray(), 0, "the loss of run 'one.seed0' was not finite, so that no table has it");
    tiny_expect_answer(&tiny, "out/astray.db", "SELECT name, status FROM run ORDER BY run_id",
                       "one.seed0|failed\ntwo.seed0|finished\nchosen.seed0|finished\n");
    r = ask_astray();
    assert_int_equal(r.status, 0);
    assert_null(strstr(r.err, "runs to train"));
    assert_non_null(strstr(r.err, "one.seed0"));
    test_run_release(&r);
}

/* Of what its runs make themselves: no text, no corpus. */
static void test_generated(void **state)
{
    (void)state;
    tiny_expect(
        test_run("cd %s && printf '[study]\\nname = norms\\nseeds = 0\\nreference = one\\ngenerated = true\\n"
                 "[settings]\\nmodel.kind = norm_soft_moe\\nrouter.hidden = 4\\ntrain.steps = 3\\n"
                 "train.batch = 50\\n[run one]\\nrouter.experts = 1\\n[run two]\\nrouter.experts = 2\\n"
                 "[table course]\\nquery = study_course\\n' > norms.ini && "
                 "%s/moescope-study norms.ini --out made --table course --format csv && ls made",
                 tiny.folder, tiny.bin),
        0, "norms: 2 runs to train");
    tiny_expect_answer(&tiny, "made/norms.db", "SELECT name, status FROM run ORDER BY run_id",
                       "one.seed0|finished\ntwo.seed0|finished\n");
    tiny_expect(test_run("cd %s && sed 's/^generated.*/&\\ntext = text/' norms.ini > both.ini && "
                         "%s/moescope-study both.ini --out made",
                         tiny.folder, tiny.bin),
                2, "a study has one of text, images, mixture and generated");
}

/* FOLDER/mixed is made of FOLDER/text and FOLDER/fashion-mnist, by the recipe that is beside the programs or
 * here; one that is there is trained on as it is, whatever it holds. */
static void test_mixture(void **state)
{
    char images[600];

    (void)state;
    snprintf(images, sizeof images, "%s/mix/fashion-mnist", tiny.folder);
    tiny_expect(test_run("ln -s \"$PWD/corpora\" %s/corpora && mkdir -p %s && cd %s && cp -r text mix/ && "
                         "printf 'code\\tlanguage=en\\nprose\\tlanguage=en\\n' > mix/text/labels.tsv && "
                         "printf '#!/bin/sh\\nexit 1\\n' > npm && chmod +x npm && "
                         "printf '[study]\\nname = mix\\nseeds = 0\\nreference = one\\nmixture = true\\n"
                         "[settings]\\nmodel.kind = mlp\\nnetwork.hidden = 4\\ntrain.steps = 2\\n"
                         "train.batch = 8\\n[run one]\\nlabel = one\\n' > mix.ini && "
                         "sed 's/^model.kind.*/model.kind = none/' mix.ini > wrong.ini",
                         tiny.folder, images, tiny.folder),
                0, "");
    pictures_write(images);
    tiny_expect(
        test_run("cd %s && PATH=$PWD:$PATH %s/moescope-study wrong.ini --out mix", tiny.folder, tiny.bin), 4,
        "without 'series'");
    tiny_expect(
        test_run("cd %s/mix/mixed && printf 'images\\timage\\ntext\\ttext\\n' | diff - sources.txt && "
                 "cmp images/test-inputs.idx.gz ../fashion-mnist/test-images.idx.gz && cd .. && "
                 "rm -r mixed && mv fashion-mnist mixed",
                 tiny.folder),
        0, "");
    tiny_expect(test_run("cd %s && %s/moescope-study mix.ini --out mix", tiny.folder, tiny.bin), 0,
                "mix: 1 runs to train");
    tiny_expect_answer(
        &tiny, "mix/mix.db",
        "SELECT status, value FROM run JOIN run_config USING (run_id) WHERE key = 'data.corpus'",
        "finished|mix/mixed\n");
    tiny_expect(test_run("cd %s && sed 's/^mixture.*/&\\nimages = fashion-mnist/' mix.ini > both.ini && "
                         "%s/moescope-study both.ini --out mix",
                         tiny.folder, tiny.bin),
                2, "a study has one of text, images, mixture and generated");
}

static void expect_bad(const char *line, const char *said)
{
    char command[512];

    snprintf(command, sizeof command, "cd %s && printf '%s' > bad.ini && %s/moescope-study bad.ini --out out",
             tiny.folder, line, tiny.bin);
    tiny_expect(test_run("%s", command), 2, said);
}

static void test_bad_files(void **state)
{
    (void)state;
    tiny_expect(test_run("cd %s && %s/moescope-study none.ini", tiny.folder, tiny.bin), 3, "none.ini");
    expect_bad("[study]\\nnam = x\\n",
               "'bad.ini' line 2: unknown key 'nam' in [study]; did you mean 'name'?");
    expect_bad("[study]\\nname = x\\nseeds = 1,x\\n", "'bad.ini' line 3: seeds is 'x'");
    expect_bad("[study]\\nname = x\\nseeds = 1, 2, 1\\n", "'bad.ini' line 3: seeds has 1 twice");
    expect_bad("[study]\\nname = x\\n[unknown]\\na = b\\n", "'bad.ini' line 4: unknown section [unknown]");
    expect_bad("[study]\\nname = x\\nseeds = 1\\nreference = b\\n[run a]\\nlabel = l\\n",
               "reference names 'b', but there is no [run b]");
    expect_bad("[run a]\\npart = cor\\n", "'bad.ini' line 2: part is 'cor'; it must be core or ablations");
    expect_bad("[run a]\\nlabl = l\\n", "unknown key 'labl' in [run a]");
    expect_bad("[buckets a]\\nof = both\\n", "of is 'both'; it must be input or target");
    expect_bad("[buckets a]\\nquery = study_layers\\n", "unknown key 'query' in [buckets a]");
    expect_bad("[table a]\\nquery = study_layers\\n[buckets a]\\nof = input\\n",
               "two tables of different kinds are named 'a'");
    expect_bad("[metrics a]\\nbetter = more\\n", "better is 'more'; it must be higher or lower");
    expect_bad("[metrics a]\\nquery = study_layers\\n", "unknown key 'query' in [metrics a]");
    expect_bad("[study]\\nname = x\\nseeds = 1\\nreference = a\\n[run a]\\nlabel = l\\n[table t]\\nqery = "
               "study_layers\\n",
               "[table t] needs query");
    expect_bad("[figure a]\\nzero = yes\\n", "zero is 'yes'; it must be true or false");
    expect_bad("[study]\\nname = x\\nseeds = 1\\nreference = a\\n[run a]\\ngate.base = run:b\\n",
               "gate.base names 'b', but there is no [run b]");
    expect_bad("[study]\\nname = x\\nseeds = 1\\nreference = a\\n[run a]\\ngate.base = run:a\\n",
               "[run a] stands on [run a], which must come before it");
    expect_bad("hello\\n", "'bad.ini' line 1: not a [section]");
    tiny_expect(ask("--part other"), 2, "there is no part 'other'");
    tiny_expect(
        test_run("cd %s && sed 's/^query.*/&\\nevry = 2/; s/^low = low/low = lo/' small.ini > odd.ini && "
                 "%s/moescope-study odd.ini --out out --no-training --table layers",
                 tiny.folder, tiny.bin),
        2, "[table layers]: the query has no parameter 'evry'; it has runs");
    tiny_expect(
        test_run("cd %s && %s/moescope-study odd.ini --out out --no-training --table paper --figures odd",
                 tiny.folder, tiny.bin),
        2, "[figure frontier]: table configurations has no column 'lo'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_trains_what_is_missing),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_adjusted),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_other_tables),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_another_corpus_is_refused),
        cmocka_unit_test(test_another_setting_is_refused),
        cmocka_unit_test(test_quick),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_diverged),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_mixture),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
