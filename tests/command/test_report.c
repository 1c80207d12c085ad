/* moescope report. Mostly on tables written here: a copy of the program stands beside scripts that play the
 * other analyses, so that what must be on the page is known to the word. At the end, with the real ones. */
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

#include "base/file.h"
#include "base/text.h"
#include "sql/logbook.h"
#include "tests/fixture.h"
#include "tests/support.h"

/* A run's name with all that HTML, CSV or gnuplot could take for its own. */
#define AWKWARD "dense <b>&'_\"x\", y"

static struct fixture fixture;
static char *folder; /* bin/, tables/ and what is written */

/* ---- the stage ---- */

/* Plays every analysis: copies tables/VERB-TABLE-RUN.csv or tables/VERB-TABLE.csv to where -o says. Without
 * either it has nothing for this run, as a real one would say; tables/VERB.status overrides. */
static const char player[] =
    "#!/bin/sh\n"
    "verb=${0##*moescope-}; tables=${0%/*}/../tables; run=\n"
    "while [ $# -gt 0 ]; do\n"
    "    case $1 in --run) run=$2; shift;; --table) table=$2; shift;; -o) out=$2; shift;; esac\n"
    "    shift\n"
    "done\n"
    "[ ! -e \"$tables/$verb.status\" ] || { echo 'moescope: out of luck' >&2; exit \"$(cat "
    "\"$tables/$verb.status\")\"; }\n"
    "for file in \"$tables/$verb-$table-$run.csv\" \"$tables/$verb-$table.csv\"; do\n"
    "    [ ! -e \"$file\" ] || exec cp \"$file\" \"$out\"\n"
    "done\n"
    "echo \"moescope $verb: no $table <for> this run\" >&2\n"
    "exit 3\n";

static void write_file(const char *below, const char *name, const char *text)
{
    char path[512];
    struct error err = {0};
    snprintf(path, sizeof path, "%s/%s", folder, below);
    if (file_make_folder(path, &err) != 0)
        fail_msg("%s", err.text);
    test_write_text(path, name, text);
}

static const char *const tables[][2] = {
    {"compare-verdict.csv",
     "subject,verdict,text\n"
     "top1,worse,\"top1: worse than the dense one by 0.500 nats per token (0.450 to 0.550)\"\n"
     "config,different,\"config: 2 settings differ\"\n"},
    {"compare-losses.csv", "run,seed,step,documents,loss,low,high,bits_per_byte,bits_low,bits_high\n"
                           "top1,1,100,24,3,2.9,3.1,1.5,1.45,1.55\n"
                           "\"dense <b>&'_\"\"x\"\", y\",1,100,24,2.5,2.4,2.6,1.25,1.2,1.3\n"
                           "unigram,1,0,24,3.5,3.4,3.6,1.75,1.7,1.8\n"},
    {"compare-difference.csv", "run,baseline,domain,documents,difference,low,high,verdict,unit\n"
                               "top1,d,all,24,0.5,0.45,0.55,worse,nats/token\n"
                               "top1,d,c,12,0.25,0.2,0.3,worse,bits per "
                               "byte\ntop1,d,english,12,0.01,-0.1,0.1,undetermined,bits/byte\n"},
    {"compare-domains.csv", "run,domain,documents,bits_per_byte,low,high\n"
                            "top1,c,12,1.4,1.3,1.5\ntop1,english,12,1.6,1.5,1.7\n"},
    {"compare-cost.csv", "run,parameters,active_parameters,tokens,seconds,tokens_per_second,gigaflop\n"
                         "top1,5000000,1000000,2000000,90,22000,4000\n"
                         "\"dense <b>&'_\"\"x\"\", y\",1000000,1000000,2000000,80,25000,2000\n"},
    {"compare-perplexity.csv",
     "run,bucket,documents,tokens,loss,low,high,perplexity,perplexity_low,perplexity_high\n"
     "top1,first 50 %,24,500,2,1.9,2.1,7.389,6.686,8.166\n"
     "top1,rest,20,40,4,,,54.6,,\n"},
    {"compare-curves.csv", "group,step,seeds,loss,low,high,lowest,highest\n"
                           "dense,0,3,8,7.9,8.1,7.95,8.05\ndense,100,3,2.5,2.2,2.8,2.4,2.6\n"
                           "wide,0,2,8,,,7.9,8.1\nwide,100,2,2.7,-1,6,2.6,2.75\ntop1,100,1,3,,,3,3\n"},
    {"compare-config.csv", "key,top1,dense\nrouter.k,1,\n"},
    {"compare-agreement.csv", "run_a,run_b,layer,agreement,chance\n"},
    {"compare-incomparable.csv", "reason\nthe dense run has no router\n"},
    {"collapse-verdict.csv",
     "subject,verdict,text\nrun,collapsed,\"top1: 1 of 2 MoE layers collapsed (layer 1 since "
     "step 40); see 'moescope compare DB'\"\nrule,rule,rule 1: as written\n"},
    {"collapse-onset.csv",
     "layer,state,onset_step,detail,effective_experts\n0,healthy,,,3.9\n1,collapsed,40,,1.2\n"},
    {"collapse-load.csv",
     "step,layer,entropy,normalized_entropy,effective_experts,max_violation,cv,gini,top_share,dead,router_"
     "entropy,"
     "lowest_step,highest_step\n"
     "0,0,1.38,0.99,3.9,0.1,0.1,0.1,0.26,0,0.99,0.9,0.99\n0,1,1.38,0.99,3.9,0.1,0.1,0.1,0.26,0,,0.8,0.99\n"
     "50,0,1.38,0.99,3.9,0.1,0.1,0.1,0.26,0,0.9,0.9,0.99\n50,1,0.2,0.1,1.2,3,2,0.7,0.95,2,,0.1,0.3\n"},
    {"collapse-experts.csv",
     "step,layer,expert,share\n"
     "0,0,0,0.25\n0,0,1,0.25\n0,0,2,0.25\n0,0,3,0.25\n0,1,0,0.25\n0,1,1,0.25\n0,1,2,0.25\n0,1,3,0.25\n"
     "50,0,0,0.25\n50,0,1,0.25\n50,0,2,0.25\n50,0,3,0.25\n50,1,0,0.95\n50,1,1,0.05\n50,1,2,0\n50,1,3,0\n"},
    {"specialization-verdict.csv",
     "subject,verdict,text\nrun,specialised,experts tell domains apart in 1 of 2 layers\n"},
    {"specialization-information.csv",
     "layer,label,step,mutual_information,null_mean,null_low,null_high,p,normalized,documents,low,high,hash\n"
     "0,domain,0,0.01,0,-0.01,0.01,0.5,0.01,24,0,0.02,0.1\n"
     "0,domain,100,0.1,0,-0.01,0.01,0.005,0.1,24,0.09,0.11,0.1\n"
     "1,domain,0,0.02,0,-0.01,0.01,0.5,0.01,24,0,0.03,0.1\n"
     "1,domain,100,0.4,0,-0.01,0.01,0.005,0.5,24,0.35,0.45,0.1\n"
     "1,token,100,1.4,0,-0.01,0.01,0.005,0.5,24,,,1.5\n"},
    {"specialization-lift.csv",
     "layer,domain,expert,share,lift,low,high,q\n"
     "0,c,0,0.25,1,0.9,1.1,0.9\n0,english,0,0.25,1,0.9,1.1,0.9\n"
     "1,c,0,0.9,1.8,1.7,1.9,0.001\n1,english,0,0.1,0.2,0.1,0.3,0.001\n"
     "1,c,1,0.1,0.2,0.1,0.3,0.001\n1,english,1,0.9,1.8,1.75,1.85,0.001\n1,c,2,0,,,,\n1,english,2,0,,,,\n"
     "1,c,3,0.001,4,1,7,0.01\n1,english,3,0,0,0,0,0.4\n"},
    {"specialization-tokens.csv", "layer,expert,rank,token,count,lift\n1,0,1,\" int\",30,4\n1,0,2,<b>,20,3\n"
                                  "1,1,1,\" the\",30,4\n"},
    {"demand-verdict.csv", "subject,verdict,text\nrun,layers differ,layer 0 spreads most\n"},
    {"demand-layers.csv", "layer,k,router_entropy,concentration_90,low,high,effective_by_token\n"
                          "0,1,1.2,3.2,3.1,3.3,3\n1,1,0.5,1.6,1.5,1.7,1.5\n"},
    {"demand-rank_mass.csv",
     "layer,rank,mass\n0,1,0.4\n0,2,0.7\n0,3,0.9\n0,4,1\n1,1,0.8\n1,2,0.95\n1,3,1\n1,4,1\n"},
};

static void add_losses(int64_t run_id, double first, double last)
{
    struct moescope_writer *w = fixture_writer(&fixture, run_id);
    struct error err = {0};
    for (int i = first > 0 ? 0 : 1; i < 2; i++) {
        struct moescope_batch *b = moescope_batch_new(w, &err);
        assert_non_null(b);
        for (int d = 0; d < fixture.n_documents; d++)
            moescope_batch_document_loss(b, first > 0 ? 100 * i : 0, "valid", fixture.document_ids[d], 10, 30,
                                         10 * (i ? last : first));
        for (int step = 0; step < 100 && first > 0 && i == 1; step++)
            moescope_batch_metric(b, step, "train", "loss", last);
        if (moescope_batch_commit(b, &err) != 0)
            fail_msg("%s", err.text);
    }
    if (moescope_writer_close(w, &err) != 0)
        fail_msg("%s", err.text);
}

static void route(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    (void)context;
    int chosen = at->layer == 1 && at->step > 0 ? at->domain : (at->document + at->position) % n_experts;
    for (int e = 0; e < n_experts; e++)
        probability[e] = e == chosen ? 0.85f : 0.05f;
}

static void change_logbook(const char *path, const char *sql)
{
    struct test_run r = test_run("sqlite3 '%s' \"%s\"", path, sql);
    if (r.status != 0)
        fail_msg("%s", r.err);
    test_run_release(&r);
}

static int open_stage(void **state)
{
    static const char *const verbs[] = {"collapse", "specialization", "demand", "compare"};
    static const int64_t steps[] = {0, 100};
    (void)state;
    folder = test_folder();
    char *bin = test_bin();
    fixture_open(&fixture, 2, 12);
    add_losses(fixture_run(&fixture, &(struct fixture_run){.name = "unigram"}), 0, 3.5);
    add_losses(fixture_run(&fixture, &(struct fixture_run){"top1", 2, 4, 1, steps, 2, 0, route, NULL}), 4, 3);
    add_losses(fixture_run(&fixture, &(struct fixture_run){.name = AWKWARD}), 4, 2.5);
    fixture_finish(&fixture);
    change_logbook(fixture.path, "UPDATE run SET router = 'unigram' WHERE name = 'unigram'");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "moescope-%s", verbs[i]);
        write_file("bin", name, player);
    }
    struct test_run r = test_run("cp %s/moescope-report %s/bin/ && chmod +x %s/bin/*", bin, folder, folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    free(bin);
    return 0;
}

static int close_stage(void **state)
{
    (void)state;
    fixture_release(&fixture);
    test_folder_remove(folder);
    return 0;
}

/* The tables as above, whatever a test before did to them. */
static int set_tables(void **state)
{
    (void)state;
    struct test_run r = test_run("rm -rf %s/tables %s/out*", folder, folder);
    test_run_release(&r);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        write_file("tables", tables[i][0], tables[i][1]);
    return 0;
}

static bool every_format; /* else SVG alone, which is sooner drawn */

static struct test_run report(const char *arguments)
{
    return test_run("cd %s && bin/moescope-report %s %s %s", folder, fixture.path, arguments,
                    every_format ? "" : "--svg-only");
}

static char *read_out(const char *name)
{
    char path[512], *text;
    size_t n;
    struct error err = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (file_read(path, &text, &n, &err) != 0)
        fail_msg("%s", err.text);
    return text;
}

static int is_there(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_exists(path);
}

/* The page of a report that must succeed. */
static char *page_of(const char *arguments)
{
    struct test_run r = report(arguments);
    if (r.status != 0)
        fail_msg("status %d: %s", r.status, r.err);
    assert_string_equal(r.out, "");
    test_run_release(&r);
    return read_out("out.html");
}

static void holds(const char *page, const char *part)
{
    if (!strstr(page, part))
        fail_msg("not on the page: %s", part);
}

static void holds_not(const char *page, const char *part)
{
    const char *found = strstr(page, part);
    if (found)
        fail_msg("on the page: %.200s", found);
}

/* ---- what is on the page ---- */

static void test_words(void **state)
{
    (void)state;
    char *page = page_of("-o out.html -q");
    holds(page, "<title>Routing in fixture</title>");
    holds(page, "2 runs and 1 baseline");
    holds(page, "24 held-out documents");
    /* What is reached: the interval of the losses, beside the baseline (3.50 - 3.00), and the cost. */
    holds(page,
          "3.00 (2.90 to 3.10) nats per token, 1.500 (1.450 to 1.550) bits per byte; 0.50 below unigram "
          "(3.50); 1.00 M of 5.00 M parameters active, 2.00 M tokens in 1\u00a0min\u00a030\u00a0s.");
    holds(
        page,
        "<b>top1</b> <span class=\"tag bad\">worse</span></div><div>worse than the dense one by 0.500 nats");
    holds(page,
          "<span class=\"tag bad\">collapsed</span></div><div>1 of 2 MoE layers collapsed (layer 1 since "
          "step 40)");
    /* Layer 1 tells domains apart best (0.4 against 0.1 nats). Expert 3 has next to no tokens, so that its
     * lift of 4 is nobody's speciality. */
    holds(page, "layer 1, lift and 95 % interval: expert\u00a00 serves c\u00a0×1.8\u00a0(1.7–\u20601.9); "
                "expert\u00a01 english\u00a0×1.8\u00a0(1.8–\u20601.9).");
    holds(page, "Layer 1, which tells domains apart best");
    holds(page, "<code>␣int</code> <code>&lt;b&gt;</code>");
    holds(page, "A text coloured by expert: top1</summary>");
    holds(page, "c/0, probe at step 100, 32 tokens.");
    holds(page, "<h3>Layer 1</h3>\n<ul class=experts aria-label=\"Experts and their share of the first "
                "choices\"><li class=x0>0 <sub>100 %</sub></ul>");
    holds(page, ".x3{--h:");
    holds(page,
          "none below ten documents. N = 12 documents a domain. Query: <code>moescope compare --table domains"
          "</code>.</figcaption>");
    holds(page, "rule 1: as written");
    holds(page, "the dense run has no router");
    free(page);
}

/* The page about a copy of the logbook in which that was changed. */
static char *page_of_changed(const char *sql)
{
    struct test_run r = test_run("cp '%s' %s/changed.db", fixture.path, folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    char path[512];
    snprintf(path, sizeof path, "%s/changed.db", folder);
    change_logbook(path, sql);
    r = test_run("cd %s && bin/moescope-report changed.db -o out.html -q --svg-only", folder);
    if (r.status != 0)
        fail_msg("status %d: %s", r.status, r.err);
    test_run_release(&r);
    return read_out("out.html");
}

/* Tokens of two experts on average, where k is no number of the layer: an even share is a half, and expert 2,
 * with 0.11, has less than a quarter of it; of one expert a token it would have more. */
static void test_where_k_varies(void **state)
{
    (void)state;
    write_file("tables", "specialization-lift.csv",
               "layer,domain,expert,share,lift,low,high,q\n"
               "1,c,0,1,1,0.9,1.1,0.9\n1,english,0,1,1,0.9,1.1,0.9\n"
               "1,c,1,0.3,0.5,0.4,0.6,0.001\n1,english,1,0.9,1.5,1.4,1.6,0.001\n"
               "1,c,2,0.2,1.8,1.6,2,0.001\n1,english,2,0.02,0.2,0.1,0.3,0.001\n"
               "1,c,3,0.29,1,0.9,1.1,0.9\n1,english,3,0.29,1,0.9,1.1,0.9\n");
    char *page = page_of_changed("UPDATE moe_layer SET k = NULL");
    holds(page, ", 4 experts<td>");
    holds(page, "interval: expert\u00a01 serves english\u00a0×1.5\u00a0(1.4–\u20601.6).");
    holds_not(page, "expert\u00a02 ");
    free(page);
}

static void test_captions_speak_of_all_runs(void **state)
{
    (void)state;
    char *page = page_of("-o out.html -q");
    holds(page, "24 held-out documents, in nats per token; the same documents for every run.");
    free(page);
    /* A run with fewer documents. */
    page = page_of_changed(
        "DELETE FROM document_loss WHERE document_id IN (SELECT min(document_id) FROM document) "
        "AND run_id = (SELECT run_id FROM run WHERE name = 'top1')");
    holds(page, "23 to 24 held-out documents, in nats per token.");
    holds_not(page, "the same documents for every run");
    free(page);
    /* A trained model that was evaluated at step 0 only is no baseline that counts words. */
    page = page_of_changed("UPDATE run SET router = 'dense' WHERE name = 'unigram'");
    holds(page, "3 runs");
    holds_not(page, "1 baseline");
    free(page);
    /* Two MoE runs with probes of different sizes. */
    write_file("tables", "demand-layers-top1.csv",
               "layer,k,router_entropy,concentration_90,low,high,effective_by_token,documents,tokens\n"
               "0,1,1.2,3.2,3.1,3.3,3,24,600\n1,1,0.5,1.6,1.5,1.7,1.5,24,600\n");
    write_file("tables", "demand-layers-unigram.csv",
               "layer,k,router_entropy,concentration_90,low,high,effective_by_token,documents,tokens\n"
               "0,1,1.2,3.2,3.1,3.3,3,20,600\n1,1,0.5,1.6,1.5,1.7,1.5,20,600\n");
    page = page_of_changed("UPDATE run SET router = 'topk' WHERE name = 'unigram'; CREATE TEMP TABLE copy AS "
                           "SELECT * FROM moe_layer; "
                           "UPDATE copy SET run_id = (SELECT run_id FROM run WHERE name = 'unigram'); "
                           "INSERT INTO moe_layer SELECT * FROM copy");
    holds(page, "N = 20 to 24 documents.");
    holds(page, "N = 600 tokens.");
    free(page);
}

static void test_names_are_escaped(void **state)
{
    (void)state;
    char *page = page_of("-o out.html -q");
    holds(page, "dense &lt;b&gt;&amp;'_&quot;x&quot;, y");
    holds_not(page, "dense <b>");
    char *data = read_out("out.figures/loss.csv");
    /* 10 tokens at 2.5 nats over 30 bytes are 25 / ln 2 / 30 bits per byte. */
    holds(data, "\ndense <b>&'_'x'; y,100,24,2.5,1.20224586740746");
    holds(data, ",2.4,2.6\n");
    /* gnuplot finds the run by its name. */
    char *svg = read_out("out.figures/loss.svg");
    holds(svg, "dense &lt;b>&amp;'_'x'; y  2.50");
    holds(svg, "stroke-dasharray='9.0,3.0'"); /* the line of the second run, drawn */
    free(svg);
    free(data);
    free(page);
}

/* Every id once, every reference to one that is there, every drawing named. */
static void check_references(const char *page)
{
    static const char *const uses[] = {"href=\"#", "aria-labelledby=\""};
    for (size_t i = 0; i < 2; i++)
        for (const char *s = page; (s = strstr(s, uses[i])) != NULL;) {
            s += strlen(uses[i]);
            char id[128];
            snprintf(id, sizeof id, "id=\"%.*s\"", (int)strcspn(s, "\" "), s);
            char bare[128];
            snprintf(bare, sizeof bare, "id=%.*s>", (int)strcspn(s, "\" "), s);
            if (!strstr(page, id) && !strstr(page, bare))
                fail_msg("nothing has %s", id);
        }
    for (const char *s = page; (s = strstr(s, " id=\"")) != NULL;) {
        char id[128];
        snprintf(id, sizeof id, " id=\"%.*s\"", (int)strcspn(s + 5, "\""), s + 5);
        s += 5;
        if (strstr(s, id))
            fail_msg("twice on the page:%s", id);
    }
}

static void test_page_stands_alone(void **state)
{
    static const char *const absent[] = {
        "http:", "https:", "<script", "@import", "src=", "url(", "<?xml", "Gnuplot", "<img", "<link"};
    (void)state;
    char *page = page_of("-o out.html -q --title 'A & B'");
    holds(page, "<h1>A &amp; B</h1>");
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        holds_not(page, absent[i]);
    assert_true(strlen(page) < 2000000);
    check_references(page);
    int drawings = 0, named = 0;
    for (const char *s = page; (s = strstr(s, "role=\"img\"")) != NULL; s++)
        drawings++;
    for (const char *s = page; (s = strstr(s, "<figcaption><b>Figure ")) != NULL; s++)
        named++;
    /* loss, difference, bits, perplexity, cost, training; effective experts, load entropy, load; information,
     * lift; concentration, rank mass. */
    assert_int_equal(drawings, 13);
    assert_int_equal(named, 13);
    holds(page, "prefers-color-scheme:dark");
    holds_not(page, fixture.folder); /* where the logbook lies is nobody's business */
    free(page);
}

static void test_what_is_missing_is_said(void **state)
{
    (void)state;
    char *page = page_of("-o out.html -q");
    holds(page, "Without MoE layers, hence not in this section: dense &lt;b&gt;");
    holds(page, "Not here: specialization, table saturation of top1: moescope specialization: no saturation "
                "&lt;for&gt; this run");
    assert_false(is_there("out.figures/saturation.gp"));
    free(page);
}

static void test_one_run(void **state)
{
    (void)state;
    char *page = page_of("-o out.html -q --run top1");
    holds(page, "One run alone");
    holds(page, "collapsed");
    holds_not(page, "dense &lt;b");
    holds_not(page, "unigram (");
    assert_false(is_there("out.figures/difference.gp"));
    free(page);
}

/* A dense run has no router to speak of, and nothing to be compared with. */
static void test_run_without_anything(void **state)
{
    (void)state;
    struct test_run r = report("-o out.html -q --run unigram");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.err, "");
    test_run_release(&r);
    char *page = read_out("out.html");
    holds(page, "unigram");
    free(page);
}

/* ---- files ---- */

/* Each figure is drawn again, to the byte, by plain gnuplot in its folder. */
static void test_figures_stand_alone(void **state)
{
    (void)state;
    free(page_of("-o out.html -q --figures figures.d/"));
    struct test_run r =
        test_run("cd %s/figures.d && for f in *.gp; do [ $f = style.gp ] || { cp ${f%%.gp}.svg before "
                 "&& rm ${f%%.gp}.svg && gnuplot $f && cmp before ${f%%.gp}.svg || echo $f; }; done",
                 folder);
    assert_string_equal(r.out, "");
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    r = test_run("cd %s/figures.d && gnuplot -e \"format='pdf'\" load-top1.gp && head -c 5 load-top1.pdf",
                 folder);
    assert_string_equal(r.out, "%PDF-");
    test_run_release(&r);
    r = test_run("rm -r %s/figures.d", folder);
    test_run_release(&r);
}

/* Share over the even one: 0.95 of the tokens where a quarter were even is 3.8. */
static void test_data_of_the_load(void **state)
{
    (void)state;
    free(page_of("-o out.html -q"));
    char *data = read_out("out.figures/load-top1.csv");
    holds(data, "\n1,0,50,100,0.95,3.8\n");
    holds(data, "\n1,3,50,100,0,0\n");
    free(data);
}

static void test_perplexity_of_rare_tokens(void **state)
{
    (void)state;
    char *page = page_of("-o out.html -q"), *data = read_out("out.figures/perplexity.csv");
    holds(page, "Perplexity of frequent and of rare tokens.</b>");
    holds(page, "N = 20 to 24 documents. N = 40 to 500 tokens a bucket. Query: <code>moescope compare --by "
                "target-frequency --table perplexity</code>.");
    /* What is drawn: the bucket's place, the perplexity and its bar, which the rest has none of; the run. */
    holds(data, "7.389,6.686,8.166,0,7.389,6.686,8.166,1\n");
    holds(data, "54.6,,,1,54.6,,,1\n");
    holds_not(page, "Validation loss over seeds"); /* no two runs are alike but for it */
    free(page);
    free(data);
}

/* Images have no bytes of text: nothing is said, listed or drawn in bits per byte. */
static void test_without_bytes(void **state)
{
    (void)state;
    write_file("tables", "compare-losses.csv",
               "run,seed,step,documents,loss,low,high,bits_per_byte,bits_low,bits_high\n"
               "top1,1,100,24,3,2.9,3.1,,,\nunigram,1,0,24,3.5,3.4,3.6,,,\n");
    write_file("tables", "compare-domains.csv",
               "run,domain,documents,bits_per_byte,low,high\ntop1,c,12,,,\n");
    write_file("tables", "compare-difference.csv",
               "run,baseline,domain,documents,difference,low,high,verdict,unit\n"
               "top1,d,all,24,0.5,0.45,0.55,worse,nats/token\ntop1,d,c,12,0.25,0.2,0.3,worse,nats/token\n");
    char *page = page_of("-o out.html -q"), *script = read_out("out.figures/difference.gp");
    holds(page, "3.00 (2.90 to 3.10) nats per token; 0.50 below unigram");
    holds_not(page, "bits per byte");
    holds_not(page, "<th>Bits per byte");
    holds(script, "domain_unit = 'nats/token'");
    assert_false(is_there("out.figures/bits-per-byte.gp"));
    free(page);
    free(script);
}

/* Two dense runs of different seeds: bands are Student's over three seeds, and what lies between two. */
static void test_curves_over_seeds(void **state)
{
    (void)state;
    char *page = page_of_changed("UPDATE run SET router = 'dense', seed = 7 WHERE name = 'unigram'");
    char *data = read_out("out.figures/curves.csv"), *script = read_out("out.figures/curves.gp");
    holds(page, "Validation loss over seeds.</b>");
    holds(data, "dense,100,3,2.5,2.2,2.8,2.4,2.6,2.2,2.8\n");
    holds(data, "wide,100,2,2.7,-1,6,2.6,2.75,2.6,2.75\n");
    holds(data, "top1,100,1,3,,,3,3,3,3\n");
    holds(script, "array seeds[3] = [3, 2, 1]");
    free(page);
    free(data);
    free(script);
}

static void test_every_format(void **state)
{
    static const char *const endings[] = {"svg", "pdf", "png", "gp", "csv"};
    (void)state;
    every_format = true;
    char *page = page_of("-o out.html -q"), name[64], link[128];
    every_format = false;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(name, sizeof name, "out.figures/lift-top1.%s", endings[i]);
        snprintf(link, sizeof link, "<a href=\"%s\">", name);
        assert_true(is_there(name));
        holds(page, link);
    }
    free(page);
}

/* Characters instead of a page, and no file left behind. */
static void test_in_a_terminal(void **state)
{
    (void)state;
    struct test_run r =
        test_run("cd %s && mkdir -p tmp && TMPDIR=%s/tmp bin/moescope-report %s --terminal -q && ls tmp",
                 folder, folder, fixture.path);
    if (r.status != 0)
        fail_msg("status %d: %s", r.status, r.err);
    holds(r.out, "top1: worse than the dense one by 0.500 nats per token (0.450 to 0.550)\n");
    holds(r.out, "Do the routers collapse?\n\ntop1: 1 of 2 MoE layers collapsed");
    holds(r.out, "Figure 1. Validation loss by training step\n");
    holds(r.out, "validation loss (nats per token)");
    holds(r.out, "training step");
    /* The map of loads, two windows of two characters: a quarter each is even, then 3.8, 0.2 and none. */
    holds(r.out,
          "  layer 1: expert down, first_step across, from 0 to 50\n"
          "               0 ▒▒██\n               1 ▒▒··\n               2 ▒▒××\n               3 ▒▒××\n");
    assert_false(is_there("out.html"));
    if (strstr(r.out, "moescope-report-"))
        fail_msg("a folder is left: %s", r.out);
    test_run_release(&r);
}

static void test_same_page_twice(void **state)
{
    (void)state;
    char *first = page_of("-o out.html -q"), *second = page_of("-o out.html -q");
    assert_string_equal(first, second);
    free(first);
    free(second);
}

/* ---- what goes wrong ---- */

static void fails(const char *arguments, int status, const char *complaint)
{
    struct test_run r = report(arguments);
    if (!strstr(r.err, complaint))
        fail_msg("'%s' does not say '%s'", r.err, complaint);
    assert_int_equal(r.status, status);
    assert_false(is_there("out.html"));
    test_run_release(&r);
}

static void test_usage(void **state)
{
    (void)state;
    fails("", 2, "no output was named: -o FILE.html, or --terminal");
    fails("-o out.html --run top1 --run top1", 2, "run 'top1' is named twice");
    fails("-o out.html --run top2", 3, "top2");
    struct test_run r = test_run("%s/bin/moescope-report %s/none.db -o %s/out.html", folder, folder, folder);
    assert_int_equal(r.status, 3);
    test_run_release(&r);
    assert_false(is_there("out.html"));
}

/* An analysis that has nothing to say leaves a gap; one that fails must not. */
static void test_failing_analysis(void **state)
{
    (void)state;
    write_file("tables", "demand.status", "4");
    fails("-o out.html -q", 4, "moescope-demand --table verdict failed with status 4: moescope: out of luck");
    write_file("tables", "demand.status", "3");
    char *page = page_of("-o out.html -q");
    holds(page, "moescope: out of luck");
    free(page);
}

/* Scripts and data are left behind, for whoever has gnuplot. */
static void test_without_gnuplot(void **state)
{
    (void)state;
    struct test_run r = test_run(
        "cd %s && mkdir -p path && for p in sh env cp cat; do ln -sf \"$(command -v $p)\" path/$p; done && "
        "PATH=%s/path bin/moescope-report %s -o out.html -q",
        folder, folder, fixture.path);
    assert_int_equal(r.status, 4);
    assert_non_null(strstr(r.err, "gnuplot is missing"));
    assert_non_null(strstr(r.err, "gnuplot-nox"));
    assert_non_null(strstr(r.err, "out.figures"));
    test_run_release(&r);
    assert_false(is_there("out.html"));
    assert_true(is_there("out.figures/loss.gp"));
    assert_true(is_there("out.figures/loss.csv"));
    assert_true(is_there("out.figures/style.gp"));
}

static void test_page_that_cannot_be_written(void **state)
{
    (void)state;
    fails("-o /dev/null/out.html -q", 4, "/dev/null/out.html");
}

/* ---- the real analyses ---- */

static void test_with_real_analyses(void **state)
{
    (void)state;
    char *bin = test_bin();
    struct test_run r =
        test_run("cd %s && %s/moescope-report %s -q -o out.html --svg-only", folder, bin, fixture.path);
    if (r.status != 0)
        fail_msg("status %d: %s", r.status, r.err);
    test_run_release(&r);
    char *page = read_out("out.html");
    /* From step 100 on, layer 1 sends each of two domains to an expert of its own; layer 0 does not. */
    holds(page, "tell domains apart in 1 of 2 layers");
    holds(page, "expert\u00a00 serves c");
    /* 12 x 24 documents' tokens: 3.0 against 2.5 nats a token, to the digit. */
    holds(page, "3.00 (3.00 to 3.00) nats per token");
    holds(page, "worse");
    check_references(page);
    free(page);
    free(bin);
}

#define ON_STAGE(test) cmocka_unit_test_setup(test, set_tables)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(test_words),
        ON_STAGE(test_where_k_varies),
        ON_STAGE(test_captions_speak_of_all_runs),
        ON_STAGE(test_names_are_escaped),
        ON_STAGE(test_page_stands_alone),
        ON_STAGE(test_what_is_missing_is_said),
        ON_STAGE(test_one_run),
        ON_STAGE(test_run_without_anything),
        ON_STAGE(test_figures_stand_alone),
        ON_STAGE(test_data_of_the_load),
        ON_STAGE(test_perplexity_of_rare_tokens),
        ON_STAGE(test_without_bytes),
        ON_STAGE(test_curves_over_seeds),
        ON_STAGE(test_every_format),
        ON_STAGE(test_in_a_terminal),
        ON_STAGE(test_same_page_twice),
        ON_STAGE(test_usage),
        ON_STAGE(test_failing_analysis),
        ON_STAGE(test_without_gnuplot),
        ON_STAGE(test_page_that_cannot_be_written),
        ON_STAGE(test_with_real_analyses),
    };
    return cmocka_run_group_tests(tests, open_stage, close_stage);
}
