/* Logs of other engines, each written by scripts/foreign_logs.py, which shares no code with moescope, and
 * compared by it with what came into the logbook, value by value. */
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
#include "tests/support.h"

static char *folder, *bin;
static bool has_numpy;

static int open_group(void **state)
{
    struct test_run r = test_run("/usr/bin/python3 -c 'import numpy'");
    (void)state;
    has_numpy = r.status == 0;
    test_run_release(&r);
    folder = test_folder();
    bin = test_bin();
    if (has_numpy) {
        r = test_run("/usr/bin/python3 scripts/foreign_logs.py make '%s'", folder);
        if (r.status != 0) {
            fail_msg("the logs cannot be written: %s", r.err);
        }
        test_run_release(&r);
    } else {
        print_message("           skipped: /usr/bin/python3 has no numpy (Debian's python3-numpy)\n");
    }
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bin);
    return 0;
}

static struct test_run run(const char *verb, const char *arguments)
{
    return test_run("cd '%s' && '%s/moescope-%s' %s", folder, bin, verb, arguments);
}

/* Fails unless the command ends so, and says `words` on either output. */
static void expect(const char *verb, const char *arguments, int status, const char *words)
{
    struct test_run r = run(verb, arguments);
    if (r.status != status || (strstr(r.err, words) == NULL && strstr(r.out, words) == NULL)) {
        fail_msg("moescope %s %s: status %d, not %d; '%s' is not in\n%s%s", verb, arguments, r.status, status,
                 words, r.out, r.err);
    }
    test_run_release(&r);
}

/* ---- every format ---- */

static const struct {
    const char *name, *arguments, *format;
} logs[] = {{"megatron", "router_trace_rank0.jsonl", "megatron"},
            {"counts", "tpe_rank0.jsonl tpe_rank1.jsonl --experts 16", "megatron-counts"},
            {"vllm", "vllm.jsonl --experts 16", "answers"},
            {"nested", "nested.json", "answers"},
            {"sglang-answer", "sglang.json --layers 3 --topk 4", "answers"},
            {"headed", "headed.jsonl --experts 16", "answers"},
            {"olmoe", "c4_results.jsonl", "olmoe"},
            {"stat", "stat.pt", "sglang"},
            {"per_pass", "per_pass.pt", "sglang"},
            {"per_token", "per_token.pt", "sglang"},
            {"tle", "tle.npy --axes TLE --select softmax-topk --topk 4", "logits"},
            {"lte", "lte.npy --layers 3 --select topk-softmax --topk 4", "logits"},
            {"probabilities", "probabilities.npy --axes LTE --topk 4", "logits"},
            {"one-layer", "one_layer.npy --axes TLE --select softmax-topk --topk 4", "logits"},
            {"batch", "batch.npy --axes LTE --select softmax-topk --topk 4 --experts 40", "logits"},
            {"domains", "domains.npz --select softmax-topk --topk 4", "logits"},
            {"rounded", "rounded.npy --axes TLE --select sigmoid --topk 4", "logits"},
            {"comes-back", "mixed.npz --select softmax-topk --topk 4", "logits"},
            {"npz", "scores.npz --select sigmoid --topk 4", "logits"},
            {"safetensors", "router.safetensors --select softmax-topk --topk 4", "logits"},
            {"routed", "routed.npy", "routed-experts"},
            {"tensorrt", "rank0.safetensors", "tensorrt-llm"},
            {"imatrix", "code.gguf --domain prose=prose.gguf", "imatrix"},
            {"csv", "table.csv --columns step=iteration,layer=block", "csv"},
            {"jsonl", "table.jsonl", "jsonl"},
            {"old-sglang", "old_sglang.csv", "csv"},
            {"moe-trace", "moe_trace.csv --topk 4", "csv"},
            {"stream", "stream.npy --tokens ids.npy --documents documents.csv", "routed-experts"}};

static void test_every_format(void **state)
{
    char arguments[512];
    (void)state;
    if (!has_numpy) {
        skip();
    }
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) {
        snprintf(arguments, sizeof arguments, "-q all.db --name %s %s", logs[i].name, logs[i].arguments);
        expect("import", arguments, 0, logs[i].format);
        struct test_run r =
            test_run("/usr/bin/python3 scripts/foreign_logs.py compare '%s/all.db' %s '%s' %s", folder,
                     logs[i].name, folder, logs[i].name);
        if (r.status != 0) {
            fail_msg("%s: %s%s", logs[i].name, r.out, r.err);
        }
        print_message("           %s", r.out);
        test_run_release(&r);
    }
    expect("check", "all.db", 0, "samples");
}

/* What `moescope export` gives is the same as what the stock shell reads. */
static void test_exported(void **state)
{
    (void)state;
    if (!has_numpy) {
        skip();
    }
    expect("import", "-q export.db --name a router_trace_rank0.jsonl", 0, "imported");
    struct test_run r =
        test_run("cd '%s' && '%s/moescope-export' export.db routing --run a --format csv | tail -n +2 | "
                 "wc -l",
                 folder, bin);
    assert_int_equal(strtol(r.out, NULL, 10), 3 * 101 * 2 * 3 * 4 / 2);
    test_run_release(&r);
}

/* ---- beside a log ---- */

static void test_ids_as_text_and_documents_as_lines(void **state)
{
    (void)state;
    if (!has_numpy) {
        skip();
    }
    expect("import", "-q beside.db --name stream stream.npy --tokens ids.txt --documents documents.jsonl", 0,
           "imported");
    struct test_run r = test_run(
        "/usr/bin/python3 scripts/foreign_logs.py compare '%s/beside.db' stream '%s' stream", folder, folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    expect("import",
           "-q beside.db --name labels stream.npy --tokens ids.npy --documents documents.csv --vocabulary "
           "tokenizer.json",
           0, "imported");
    char path[512];
    snprintf(path, sizeof path, "%s/beside.db", folder);
    test_answer(
        path, "SELECT group_concat(value, ' ') FROM (SELECT value FROM document_label ORDER BY document_id)",
        "c en c\n");
    test_answer(path, "SELECT text || '|' || kind FROM token WHERE token_id = 1", " w1|piece\n");
    test_answer(path, "SELECT text FROM token WHERE token_id = 80", "\xE2\x82\xAC\n");
    test_answer(path, "SELECT text FROM token WHERE token_id = 81", "<0xE2>\n");
    test_answer(path, "SELECT kind FROM token WHERE token_id = 0", "special\n");
    expect("check", "beside.db", 0, "samples");
}

static void test_documents_that_overlap(void **state)
{
    (void)state;
    if (!has_numpy) {
        skip();
    }
    test_write_text(folder, "bad.csv", "document,domain,first,length\na,x,0,30\nb,y,20,10\n");
    expect("import", "-q bad.db --name a stream.npy --documents bad.csv", 3,
           "document 'a', tokens 0 and on, overlaps");
    test_write_text(folder, "bad.csv", "document,first\na,zero\n");
    expect("import", "-q bad.db --name a stream.npy --documents bad.csv", 3,
           "'bad.csv' line 2: first 'zero'");
    test_write_text(folder, "few.txt", "1 2 3 x");
    expect("import", "-q bad.db --name a stream.npy --tokens few.txt", 3, "token ids are whole numbers");
}

/* Several answers to one prompt are documents of their own, and all are what --documents says of its name. */
static void test_answers_of_one_name(void **state)
{
    char path[512];
    (void)state;
    test_write_text(
        folder, "twice.jsonl",
        "{\"id\":\"x\",\"prompt_token_ids\":[1,2,3],\"routed_experts\":[[[1,2]],[[3,0]]]}\n"
        "{\"id\":\"x\",\"prompt_token_ids\":[1,5,3],\"routed_experts\":[[[1,2]],[[3,0]]]}\n"
        "{\"id\":\"x\",\"choices\":[{\"routed_experts\":[[[1,2]]]},{\"routed_experts\":[[[3,2]]]}]}\n");
    test_write_text(folder, "names.csv", "document,domain\nx,quiz\n");
    expect("import", "-q twice.db --name a twice.jsonl --documents names.csv", 0, "6 tokens, 12 choices");
    snprintf(path, sizeof path, "%s/twice.db", folder);
    test_answer(
        path,
        "SELECT group_concat(d.name || ' ' || m.name, ', ') FROM document AS d JOIN domain AS m USING "
        "(domain_id)",
        "x quiz, x (2) quiz, x (3)#0 quiz, x (3)#1 quiz\n");
}

static void test_values_that_cannot_be(void **state)
{
    (void)state;
    if (!has_numpy) {
        skip();
    }
    expect("import", "-q bad.db --name a wide_ids.npz --topk 4 --select sigmoid", 3,
           "'wide_ids.npz': 'input_ids' has 8589934593 at token 1");
    expect("import", "-q bad.db --name a two.npz --topk 4 --axes TLE --select sigmoid", 3,
           "'two.npz': which of 'a' and 'b' is it?");
    expect("import", "-q bad.db --name a one_twice.npz --topk 4 --select sigmoid", 3,
           "'layer_0' and 'router_logits.0' are of the same layer");
    expect("import", "-q bad.db --name a kinds.npz --topk 4 --select softmax-topk", 3,
           "layer 1: these are probabilities, and logits in the first layer");
    expect("import", "-q bad.db --name a batch.npy --topk 4 --select sigmoid", 2, "pass --axes LTE");
    expect("import",
           "-q bad.db --name a tle.npy --topk 4 --select sigmoid --axes TLE --experts 8 --accept sentinels",
           2, "has scores of 16 experts, and --experts says 8");
    expect("import", "-q bad.db --name a not_all.npy --topk 4 --axes TLE", 3,
           "'not_all.npy': layer 0, token 800: not a row of probabilities, as the first rows are");
}

/* ---- all or nothing ---- */

static const char line[] = "{\"step\":%d,\"block\":\"decoder\",\"layer\":%d,\"num_tokens\":2,\"topk\":2,"
                           "\"top_indices\":[[%s],[0,1]]}\n";

static void write_trace(const char *name, const char *second)
{
    char text[1024];
    int n = snprintf(text, sizeof text, line, 0, 0, "1,2");
    snprintf(text + n, sizeof text - (size_t)n, "%s", second);
    test_write_text(folder, name, text);
}

static void sha256_of(const char *name, char hex[SHA256_HEX])
{
    char path[512];
    struct error err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    test_must(sha256_file(path, hex, &err), &err);
}

static void test_broken_input_changes_nothing(void **state)
{
    static const struct {
        const char *second, *words;
    } broken[] = {
        {"{\"step\":0,\"layer\":1,\"top_indices\":[[1,2],[3]]}", "line 2: row 1 has 1 numbers, not 2"},
        {"{\"step\":0,\"layer\":1,\"num_tokens\":3,\"top_indices\":[[1,2]]}",
         "num_tokens is 3, and top_indices has 1"},
        {"{\"step\":0,\"layer\":1,\"top_indices\":[[1,2],", "the file ends where"},
        {"{\"step\":0,\"layer\":1,\"top_indices\":[[1,2.5]]}", "'2.5' is not a whole number"},
        {"{\"step\":0,\"layer\":1,\"top_indices\":[[1,99999999999]]}", "does not fit"},
        {"{\"step\":0,\"layer\":5000,\"top_indices\":[[1,2]]}", "line 2: layer 5000"},
        {"{\"step\":0,\"top_indices\":[[1,2]]}", "line 2: no layer"},
        {"{\"step\":0,\"layer\":1,\"top_indices\":[[1,2],[0,1]]}\n{\"step\":1,\"layer\":0,\"top_indices\":[["
         "1,2]]}\n"
         "{\"step\":0,\"layer\":0,\"top_indices\":[[1,2]]}",
         "line 4: step 0 comes after step 1"},
        {"nonsense", "line 2: 'n' where a record {...} is expected"},
        {"{\"step\":0,\"layer\":1,\"top_indices\":[[1,2]]}",
         "has 1 tokens, and another layer of its micro-batch 2"},
    };
    char before[SHA256_HEX], after[SHA256_HEX], words[256];
    (void)state;
    write_trace("good.jsonl", "");
    expect("import", "-q same.db --name good good.jsonl", 0, "imported");
    sha256_of("same.db", before);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_trace("broken.jsonl", broken[i].second);
        snprintf(words, sizeof words, "%s", broken[i].words);
        expect("import", "-q same.db --name bad broken.jsonl", 3, words);
        expect("import", "-q same.db --name bad broken.jsonl", 3, "'broken.jsonl' line");
        sha256_of("same.db", after);
        assert_string_equal(before, after);
        expect("import", "-q none.db --name bad broken.jsonl", 3, words);
        struct test_run r = run("runs", "none.db");
        assert_int_equal(r.status, 3); /* not even an empty one */
        test_run_release(&r);
    }
}

static void test_again(void **state)
{
    char before[SHA256_HEX], after[SHA256_HEX];
    (void)state;
    write_trace("again.jsonl", "");
    expect("import", "-q again.db --name a again.jsonl", 0, "imported 'a'");
    sha256_of("again.db", before);
    expect("import", "-q again.db --name a again.jsonl", 0,
           "has 'a' already, from the same files: nothing to do");
    expect("import", "-q again.db --name a again.jsonl --experts 8", 2,
           "not from these files as they are read now");
    write_trace("again.jsonl", "\n");
    expect("import", "-q again.db --name a again.jsonl", 2, "has a run named 'a' already");
    sha256_of("again.db", after);
    assert_string_equal(before, after);
    expect("import", "-q again.db --name b again.jsonl", 0, "imported 'b'");
}

/* Killed at whatever moment: either all of it is there, or nothing. */
static void test_killed(void **state)
{
    char path[512];
    (void)state;
    struct test_run r = test_run(
        "/usr/bin/awk 'BEGIN { for (s = 0; s < 40; s++) for (l = 0; l < 20; l++) { printf "
        "\"{\\\"step\\\":%%d,\\\"layer\\\":%%d,\\\"top_indices\\\":[\", s, l; for (t = 0; t < 500; "
        "t++) printf \"%%s[%%d,%%d]\", t ? \",\" : \"\", (t * 7 + s) %% 31, 32 + (t + l) %% 31; print "
        "\"]}\" } }' > '%s/long.jsonl'",
        folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    write_trace("good.jsonl", "");
    expect("import", "-q kill.db --name first good.jsonl", 0, "imported");
    snprintf(path, sizeof path, "%s/kill.db", folder);
    int killed = 0;
    for (int i = 1; i <= 12; i++) {
        r = test_run(
            "cd '%s' && timeout -s KILL 0.%03d '%s/moescope-import' -q kill.db --name long long.jsonl",
            folder, i * 25, bin);
        killed += r.status != 0;
        test_run_release(&r);
        char *runs = test_ask(path, "SELECT group_concat(name || status) FROM run");
        if (strcmp(runs, "firstimported\n") != 0) {
            assert_string_equal(runs, "firstimported,longimported\n");
        }
        free(runs);
        expect("check", "kill.db", 0, "samples");
    }
    assert_true(killed > 0);
    expect("import", "-q kill.db --name long long.jsonl", 0, "'long'");
    test_answer(path, "SELECT sum(assignments) FROM expert_load JOIN run USING (run_id) WHERE name = 'long'",
                "800000\n");
    expect("check", "kill.db", 0, "samples");
}

/* ---- wrong commands ---- */

static void test_usage(void **state)
{
    (void)state;
    write_trace("good.jsonl", "");
    test_write_text(folder, "empty.jsonl", "");
    test_write_text(folder, "text.txt", "Once upon a time");
    expect("import", "-q u.db good.jsonl", 2, "--name is missing");
    expect("import", "-q u.db --name a", 2, "no file is named");
    expect("import", "-q u.db --name a good.jsonl --from megatrom", 2, "did you mean 'megatron'?");
    expect("import", "-q u.db --name a good.jsonl --accept duplicate", 2, "did you mean 'duplicates'?");
    expect("import", "-q u.db --name a good.jsonl --ranks some", 2, "--ranks is sum, replicas or layers");
    expect("import", "-q u.db --name a good.jsonl --split test", 2, "--split is train");
    expect("import", "-q u.db --name a --domain good.jsonl", 2, "is not NAME=FILE");
    expect("import", "-q u.db --name a missing.jsonl", 3, "cannot open 'missing.jsonl'");
    expect("import", "-q u.db --name a empty.jsonl", 3, "'empty.jsonl' is empty");
    expect("import", "-q u.db --name a text.txt", 3, "does not look like any log of routing");
    expect("import", "-q text.txt --name a good.jsonl", 3, "not a");
}

/* ---- several ranks ---- */

static void write_rank(const char *name, int layer, const char *ids)
{
    char text[1024];
    int n = snprintf(text, sizeof text, line, 0, layer, ids);
    snprintf(text + n, sizeof text - (size_t)n, line, 1, layer, ids);
    test_write_text(folder, name, text);
}

static void test_ranks(void **state)
{
    char path[512];
    (void)state;
    snprintf(path, sizeof path, "%s/ranks.db", folder);
    write_rank("rank0.jsonl", 0, "1,2");
    write_rank("rank1.jsonl", 0, "3,2");
    write_rank("stage1.jsonl", 1, "3,2");
    expect("import", "-q ranks.db --name sum rank0.jsonl rank1.jsonl", 0, "8 tokens, 16 choices");
    expect("import", "-q ranks.db --name copies rank0.jsonl rank0.jsonl", 3, "hold the same choices");
    expect("import", "-q ranks.db --name copies rank0.jsonl rank0.jsonl --ranks replicas", 0,
           "4 tokens, 8 choices");
    expect("import", "-q ranks.db --name stages rank0.jsonl stage1.jsonl", 3,
           "no layer is in two of the 2 files");
    expect("import", "-q ranks.db --name stages rank0.jsonl stage1.jsonl --ranks layers", 0,
           "4 tokens, 16 choices");
    test_answer(path,
                "SELECT count(*) || ' ' || min(n) FROM (SELECT count(DISTINCT layer) AS n FROM routing JOIN "
                "run USING "
                "(run_id) WHERE name = 'stages' GROUP BY sequence_id)",
                "2 2\n");
    expect("check", "ranks.db", 0, "samples");
}

/* Steps need not follow each other, nor need each have every layer: windows of loads hold them all the same.
 */
static void test_steps_far_apart(void **state)
{
    static const struct {
        int step, layer;
    } lines[] = {{0, 0},   {0, 1},   {50, 0},  {50, 1},  {99, 0}, {150, 1},
                 {199, 0}, {199, 1}, {350, 0}, {350, 1}, {720, 0}};
    char text[4096] = "", path[512];
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, line, lines[i].step, lines[i].layer, "1,2");
    }
    test_write_text(folder, "apart.jsonl", text);
    snprintf(path, sizeof path, "%s/apart.db", folder);
    expect("import", "-q apart.db --name a apart.jsonl", 0, "imported");
    expect("check", "apart.db", 0, "load_windows");
    test_answer(path,
                "SELECT group_concat(first_step || '-' || last_step) FROM load_window_block WHERE layer = 0",
                "0-99,100-199,300-350,700-720\n");
    test_answer(path, "SELECT sum(assignments) FROM expert_load_window", "44\n");
}

/* Found by fuzzing: 61 bytes, whose loads were 524,291 rows of which the writer then took none. */
static void test_more_experts_than_a_logbook_takes(void **state)
{
    (void)state;
    test_write_text(folder, "many.json",
                    "{\"meta_info\":{\"routed_experts\":\"AQAAAAIACAADAAAAAAAAAA==\"}}\n");
    expect("import", "-q many.db --name a --from answers --layers 2 --topk 2 many.json", 3,
           "'many.json' names expert 524290, and a logbook takes 65536 experts; --experts says how many "
           "there are");
    struct test_run r = test_run("ls '%s' | grep -c many.db", folder);
    assert_string_equal(r.out, "0\n");
    test_run_release(&r);
}

/* Found by fuzzing: loads alone of more experts than any block had, and counts that readers refuse. */
static void test_counts_at_their_limits(void **state)
{
    (void)state;
    test_write_text(folder, "wide.csv", "layer,expert,count\n0,2999,1099511627776\n0,0,1\n");
    expect("import", "-q wide.db --name a wide.csv", 0, "1.10 T choices");
    expect("check", "wide.db", 0, "load_experts");
    test_write_text(folder, "wide.csv", "layer,expert,count\n0,2999,1099511627777\n");
    expect("import", "-q wide.db --name b wide.csv", 3, "'wide.csv' line 2: step 0, layer 0, expert 2999");
    test_write_text(folder, "wide.csv", "layer,expert,count\n0,9,1099511627776\n0,9,1\n");
    expect("import", "-q wide.db --name b wide.csv", 3, "expert 9 has a count of 1099511627777");
}

/* ---- analyses ---- */

static void test_analyses_run(void **state)
{
    (void)state;
    if (!has_numpy) {
        skip();
    }
    expect("import", "-q analyses.db --name a vllm.jsonl --experts 16", 0, "imported");
    expect("import", "-q analyses.db --name b scores.npz --select softmax-topk --topk 4", 0, "imported");
    expect("specialization", "analyses.db --run a --permutations 20", 0, "documents of 2 domains");
    expect("collapse", "analyses.db --run a", 0, "probe up to step 0");
    expect("demand", "analyses.db --run a", 0, "without its routers' probabilities");
    expect("demand", "analyses.db --run a --table layers", 3, "kept no router probabilities");
    expect("demand", "analyses.db --run b", 0, "probe at step 0");
    expect("compare", "analyses.db a b", 0, "compare in analyses.db");
    expect("report", "analyses.db --run a --svg-only -o report.html", 0, "");
    struct test_run r = test_run("grep -c '<svg' '%s/report.html'", folder);
    assert_true(strtol(r.out, NULL, 10) > 0);
    test_run_release(&r);
}

/* Slots in the order of ids, and tokens without ids: what needs them says so. */
static void test_analyses_say_what_is_unknown(void **state)
{
    char text[8192] = "";
    size_t n = 0;
    (void)state;
    for (int s = 0; s < 2; s++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"step\":%d,\"layer\":0,\"top_indices\":[", s);
        for (int t = 0; t < 100; t++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s[%d,%d]", t > 0 ? "," : "", t % 5, 5 + t % 7);
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "]}\n");
    }
    test_write_text(folder, "sorted.jsonl", text);
    expect("import", "-q unknown.db --name a sorted.jsonl --split probe", 0, "imported");
    expect("specialization", "unknown.db --run a --permutations 20", 0,
           "nothing is said about first\n  choices");
    expect("specialization", "unknown.db --run a --permutations 20", 0, "nothing is said about tokens");
    struct test_run r = run("specialization", "unknown.db --run a --table vocabulary --format csv");
    assert_int_equal(r.status, 0);
    assert_null(strstr(r.out, "input"));
    test_run_release(&r);
    r = run("specialization", "unknown.db --run a --table information --permutations 20 --format csv");
    assert_null(strstr(r.out, "token"));
    assert_non_null(strstr(r.out, "position"));
    test_run_release(&r);
    r = run("specialization", "unknown.db --run a --table saturation --format csv");
    assert_non_null(strstr(r.out, "0,0,")); /* the overlap of sets needs no ranks */
    test_run_release(&r);
    expect("compare", "unknown.db a a", 2, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_format),
        cmocka_unit_test(test_exported),
        cmocka_unit_test(test_ids_as_text_and_documents_as_lines),
        cmocka_unit_test(test_documents_that_overlap),
        cmocka_unit_test(test_answers_of_one_name),
        cmocka_unit_test(test_values_that_cannot_be),
        cmocka_unit_test(test_broken_input_changes_nothing),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_steps_far_apart),
        cmocka_unit_test(test_more_experts_than_a_logbook_takes),
        cmocka_unit_test(test_counts_at_their_limits),
        cmocka_unit_test(test_analyses_run),
        cmocka_unit_test(test_analyses_say_what_is_unknown),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
