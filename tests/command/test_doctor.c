/* The nineteen traps, each on a small log that shows it: what is seen, in figures, and what import makes of
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/support.h"

static char *folder, *bin;
static int run_number;

static int open_group(void **state)
{
    (void)state;
    folder = test_folder();
    bin = test_bin();
    return 0;
}

static int close_group(void **state)
{
    (void)state;
    test_folder_remove(folder);
    free(bin);
    return 0;
}

/* doctor's line of that trap holds its ruling and these words; its status is 3 where it refuses. */
static void expect(const char *arguments, const char *trap, const char *ruling, const char *seen)
{
    struct test_run r = test_run("cd '%s' && '%s/moescope-doctor' --format csv %s", folder, bin, arguments);
    char wanted[64];
    snprintf(wanted, sizeof wanted, ",%s,%s,", trap, ruling);
    const char *at = strstr(r.out, wanted);
    if (at == NULL || strstr(at, seen) == NULL || r.status != (strstr(r.out, ",refused,") != NULL ? 3 : 0)) {
        fail_msg("doctor %s: status %d, no '%s' with '%s' in\n%s%s", arguments, r.status, wanted, seen, r.out,
                 r.err);
    }
    test_run_release(&r);
}

static void expect_none(const char *arguments)
{
    struct test_run r = test_run("cd '%s' && '%s/moescope-doctor' %s", folder, bin, arguments);
    if (r.status != 0 || strstr(r.out, "nothing was found") == NULL) {
        fail_msg("doctor %s: status %d\n%s%s", arguments, r.status, r.out, r.err);
    }
    test_run_release(&r);
}

/* import refuses what doctor does, and takes it with `accept`; then the SQL answers so. */
static void expect_import(const char *arguments, const char *accept, const char *sql, const char *answer)
{
    char path[512];
    run_number++;
    snprintf(path, sizeof path, "%s/log%d.db", folder, run_number);
    if (accept != NULL) {
        struct test_run r = test_run("cd '%s' && '%s/moescope-import' -q log%d.db --name a %s", folder, bin,
                                     run_number, arguments);
        if (r.status != 3 || strstr(r.err, accept) == NULL) {
            fail_msg("import %s: status %d: %s", arguments, r.status, r.err);
        }
        test_run_release(&r);
    }
    struct test_run r =
        test_run("cd '%s' && '%s/moescope-import' -q log%d.db --name a %s %s%s && '%s/moescope-check' "
                 "log%d.db",
                 folder, bin, run_number, arguments, accept != NULL ? "--accept " : "",
                 accept != NULL ? accept : "", bin, run_number);
    if (r.status != 0) {
        fail_msg("import %s: status %d: %s%s", arguments, r.status, r.out, r.err);
    }
    test_run_release(&r);
    test_answer(path, sql, answer);
}

/* ---- logs of one step, token by token ---- */

typedef void give_ids(int layer, int token, int ids[2]);

static void usual(int layer, int token, int ids[2])
{
    ids[0] = (token * 7 + layer) % 8;
    ids[1] = (ids[0] + 1 + token % 3) % 8;
}

/* JSON lines of Megatron's; two columns. */
static void write_log(const char *name, int first_layer, int n_layers, int n_tokens, give_ids *route)
{
    struct text t;
    text_init(&t);
    for (int l = first_layer; l < first_layer + n_layers; l++) {
        text_printf(&t, "{\"step\":0,\"layer\":%d,\"top_indices\":[", l);
        for (int i = 0; i < n_tokens; i++) {
            int ids[2];
            route(l, i, ids);
            text_printf(&t, "%s[%d,%d]", i > 0 ? "," : "", ids[0], ids[1]);
        }
        text_add(&t, "]}\n");
    }
    test_write(folder, name, t.data, t.length);
    text_release(&t);
}

static void test_nothing(void **state)
{
    (void)state;
    write_log("good.jsonl", 0, 3, 100, usual);
    expect_none("good.jsonl");
}

static void some_zero(int layer, int token, int ids[2])
{
    usual(layer, token, ids);
    if (token >= 90) {
        ids[0] = ids[1] = 0;
    }
}

static void always_alike(int layer, int token, int ids[2])
{
    usual(layer, token, ids);
    if (layer == 1) {
        ids[0] = 5;
        ids[1] = 2;
    }
}

static void test_1_zero_rows(void **state)
{
    (void)state;
    write_log("zero.jsonl", 0, 3, 100, some_zero);
    expect("zero.jsonl", "zero-rows", "refused", "30 of 300 rows hold expert 0 in every column, in 3 layers");
    expect_import("zero.jsonl", "zero-rows", "SELECT count(*) FROM routing", "540\n");
    write_log("alike.jsonl", 0, 3, 100, always_alike);
    expect("alike.jsonl", "zero-rows", "unknown", "every token has the same experts in layer 1");
}

static void twice(int layer, int token, int ids[2])
{
    usual(layer, token, ids);
    ids[1] = token == 7 ? ids[0] : ids[1];
}

static void test_2_duplicates(void **state)
{
    (void)state;
    write_log("twice.jsonl", 0, 2, 100, twice);
    expect("twice.jsonl", "duplicates", "refused", "2 of 200 rows name an expert twice, in 2 layers");
    expect_import("twice.jsonl", "duplicates", "SELECT count(*) FROM routing", "398\n");
}

static void marked(int layer, int token, int ids[2])
{
    usual(layer, token, ids);
    ids[1] = token % 10 == 0 ? 255 : ids[1];
}

static void negative(int layer, int token, int ids[2])
{
    usual(layer, token, ids);
    ids[1] = token % 10 == 0 ? -1 : ids[1];
}

static void test_3_sentinels(void **state)
{
    (void)state;
    write_log("mark.jsonl", 0, 2, 100, marked);
    expect("mark.jsonl", "sentinels", "refused", "id 255 occurs 10 times, and the next smaller one is 7");
    expect("mark.jsonl --experts 8", "sentinels", "refused",
           "20 ids are 8 or more, up to 255, where --experts says 8");
    expect_import("mark.jsonl --experts 8", "sentinels", "SELECT count(*) || ' ' || max(expert) FROM routing",
                  "380 7\n");
    write_log("negative.jsonl", 0, 2, 100, negative);
    expect("negative.jsonl", "sentinels", "noted", "20 negative ids in rows that have others, in 2 layers");
    expect_import("negative.jsonl", NULL, "SELECT count(*) FROM routing", "380\n");
}

static void test_4_rows_and_tokens(void **state)
{
    struct text t;
    (void)state;
    text_init(&t);
    for (int i = 0; i < 103; i++) {
        text_printf(&t, "%d ", i);
        if (i == 99) {
            test_write(folder, "ids100.txt", t.data, t.length);
        }
        if (i == 100) {
            test_write(folder, "ids101.txt", t.data, t.length);
        }
    }
    test_write(folder, "ids103.txt", t.data, t.length);
    text_release(&t);
    write_log("good.jsonl", 0, 3, 100, usual);
    expect("good.jsonl --tokens ids103.txt", "rows-and-tokens", "refused",
           "there are 100 rows a layer and 103 ids");
    expect("good.jsonl --tokens ids101.txt", "rows-and-tokens", "noted", "the last one is a target alone");
    expect("good.jsonl --tokens ids100.txt", "rows-and-tokens", "noted", "the last target is not known");
    expect_import("good.jsonl --tokens ids103.txt", "rows-and-tokens",
                  "SELECT max(token_id) || ' ' || max(target_id) FROM routing", "99 100\n");
}

static void one_dense(int layer, int token, int ids[2])
{
    usual(layer, token, ids);
    if (layer == 0) {
        ids[0] = ids[1] = 0;
    }
}

static void test_5_dense_layers(void **state)
{
    (void)state;
    write_log("dense.jsonl", 0, 3, 100, one_dense);
    expect("dense.jsonl", "dense-layers", "noted", "1 layer holds no choice: 0");
    expect_import("dense.jsonl", NULL, "SELECT group_concat(layer) FROM moe_layer", "1,2\n");
}

static void test_6_layer_base(void **state)
{
    (void)state;
    write_log("base.jsonl", 1, 3, 100, usual);
    expect("base.jsonl", "layer-base", "unknown", "the first layer is 1");
    expect("base.jsonl --layers 3", "layer-base", "refused", "there is a layer 3, and --layers says 3");
    expect_none("base.jsonl --layers 3 --layer-base 1");
    expect_import("base.jsonl --layer-base 1", NULL, "SELECT group_concat(layer) FROM moe_layer", "0,1,2\n");
    expect_import("base.jsonl", NULL, "SELECT value FROM run_config WHERE key = 'import.layer_base'",
                  "unknown\n");
}

static void lower_half(int layer, int token, int ids[2])
{
    ids[0] = (token * 3 + layer) % 4;
    ids[1] = (ids[0] + 1 + token % 2) % 4;
}

static void lower_half_too(int layer, int token, int ids[2])
{
    lower_half(layer, token + 1, ids);
}

static void test_7_local_ids(void **state)
{
    (void)state;
    write_log("local0.jsonl", 0, 2, 100, lower_half);
    write_log("local1.jsonl", 0, 2, 100, lower_half_too);
    expect("local0.jsonl local1.jsonl --experts 8", "physical-ids", "refused",
           "none of 2 files has an id of 4 or more, though there are 8 experts");
    test_write_text(folder, "tpe.jsonl", "{\"iter\":0,\"layer\":0,\"tpe\":[[1,2,3,4]]}\n");
    expect("tpe.jsonl", "physical-ids", "unknown", "counts 4 experts of its rank");
    expect("tpe.jsonl tpe.jsonl", "physical-ids", "refused", "how many the model has is not said");
}

static void test_8_rank_files(void **state)
{
    (void)state;
    write_log("good.jsonl", 0, 3, 100, usual);
    expect("good.jsonl good.jsonl", "rank-files", "refused",
           "'good.jsonl' and 'good.jsonl' hold the same choices");
    expect_none("good.jsonl good.jsonl --ranks replicas");
    write_log("stage1.jsonl", 3, 3, 100, usual);
    expect("good.jsonl stage1.jsonl", "rank-files", "refused", "no layer is in two of the 2 files");
    test_write_text(folder, "rank0.csv", "layer_id,expert_id,count\n0,0,5\n0,1,7\n");
    test_write_text(folder, "rank1.csv", "layer_id,expert_id,count\n0,0,6\n0,1,1\n");
    expect("rank0.csv rank1.csv", "rank-files", "refused", "2 files of counts");
    expect_import("rank0.csv rank1.csv --ranks sum", NULL,
                  "SELECT group_concat(assignments) FROM expert_load", "11,8\n");
}

static void ascending(int layer, int token, int ids[2])
{
    usual(layer, token, ids);
    if (ids[0] > ids[1]) {
        int first = ids[0];
        ids[0] = ids[1];
        ids[1] = first;
    }
}

static void test_9_slot_order(void **state)
{
    (void)state;
    write_log("ascending.jsonl", 0, 2, 100, ascending);
    expect("ascending.jsonl", "slot-order", "unknown", "all 200 rows are in the order of their ids");
    expect_import("ascending.jsonl", NULL, "SELECT value FROM run_config WHERE key = 'import.slot_order'",
                  "id\n");
}

static void shared_last(int layer, int token, int ids[2])
{
    usual(layer, token, ids);
    ids[1] = 8;
}

static void test_10_shared_columns(void **state)
{
    (void)state;
    write_log("shared.jsonl", 0, 2, 100, shared_last);
    expect("shared.jsonl", "shared-columns", "refused", "layer 0: the last column of every row is expert 8");
    expect_import("shared.jsonl --shared 1", NULL, "SELECT count(*) || ' ' || max(expert) FROM routing",
                  "200 7\n");
}

/* ---- arrays, by hand ---- */

static void write_npy(const char *name, const char *kind, const char *shape, const void *values, size_t n)
{
    char header[128];
    struct text t;
    int length = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                          kind, shape);
    while ((length + 11) % 64 != 0) {
        header[length++] = ' ';
    }
    header[length++] = '\n';
    const char size[2] = {(char)length, (char)(length >> 8)};
    text_init(&t);
    text_add_bytes(&t, "\x93NUMPY\x01\x00", 8);
    text_add_bytes(&t, size, 2);
    text_add_bytes(&t, header, (size_t)length);
    text_add_bytes(&t, values, n);
    test_write(folder, name, t.data, t.length);
    text_release(&t);
}

static void test_11_probabilities(void **state)
{
    float p[2][50][4];
    (void)state;
    for (int i = 0; i < 100; i++) {
        for (int e = 0; e < 4; e++) {
            p[i / 50][i % 50][e] = (e + i) % 4 == 0 ? 0.4f : (e + i) % 4 == 1 ? 0.3f : 0.15f;
        }
    }
    write_npy("p.npy", "<f4", "2, 50, 4", p, sizeof p);
    expect("p.npy --axes LTE --topk 2", "probabilities", "noted", "rows are not negative and add up to 1");
    expect_import("p.npy --axes LTE --topk 2", NULL,
                  "SELECT printf('%.3f %.3f', min(gate), max(gate)) FROM routing", "0.300 0.400\n");
}

static void test_12_selection_score(void **state)
{
    (void)state;
    float z[1][50][4];
    for (int i = 0; i < 200; i++) {
        z[0][i / 4][i % 4] = (float)(i * 7 % 11) - 3;
    }
    write_npy("z.npy", "<f4", "1, 50, 4", z, sizeof z);
    expect("z.npy --axes LTE --topk 2 --select sigmoid", "selection-score", "unknown",
           "a bias that selects is not in");
    test_write_text(folder, "rising.csv",
                    "layer,token,slot,expert,gate\n0,0,0,3,0.2\n0,0,1,1,0.5\n0,1,0,2,0.9\n0,1,1,0,0.1\n");
    expect("rising.csv", "selection-score", "noted",
           "in 50.0 % of the rows a later slot has the larger gate");
    test_write_text(folder, "scores.csv", "layer,token,slot,expert,gate\n0,0,0,3,0.2\n0,0,1,1,-0.5\n");
    expect("scores.csv", "selection-score", "refused", "1 of 2 gates are negative or no numbers");
    expect_import("scores.csv", "selection-score", "SELECT count(*) || ' ' || count(gate) FROM routing",
                  "2 0\n");
}

static void padded(int layer, int token, int ids[2])
{
    usual(layer, token < 70 ? token : 70, ids);
}

static void test_13_padding(void **state)
{
    (void)state;
    write_log("padded.jsonl", 0, 2, 100, padded);
    expect("padded.jsonl", "padding", "unknown",
           "30.0 % of the rows repeat the row before in runs of 16 and more");
}

static void test_14_varying_choices(void **state)
{
    struct text t;
    (void)state;
    write_log("negative.jsonl", 0, 2, 100, negative);
    expect("negative.jsonl", "varying-choices", "noted", "20 choices of 200 rows are missing");
    text_init(&t);
    for (int step = 0; step < 6; step++) {
        text_printf(&t, "{\"iter\":%d,\"layer\":0,\"tpe\":[[%d,%d]]}\n", step, 5 + step * 3, 9 + step * 2);
    }
    test_write(folder, "past.jsonl", t.data, t.length);
    text_release(&t);
    expect("past.jsonl --experts 2", "varying-choices", "refused", "no count of 1 layers ever falls");
    expect_import("past.jsonl --experts 2", "varying-choices", "SELECT max(assignments) FROM expert_load",
                  "20\n");
}

static void cached(int layer, int token, int ids[2])
{
    usual(layer, token, ids);
    if (token < 30) {
        ids[0] = ids[1] = -1;
    }
}

static void test_15_cached_prefix(void **state)
{
    (void)state;
    write_log("cached.jsonl", 0, 2, 100, cached);
    expect("cached.jsonl", "cached-prefix", "noted", "60 of 200 rows have no choice at all (30.0 %)");
    expect_import("cached.jsonl", NULL, "SELECT min(position) || ' ' || count(*) FROM routing", "30 280\n");
}

/* ---- GGUF, by hand ---- */

static void add_word(struct text *t, const char *s)
{
    uint64_t n = strlen(s);
    text_add_bytes(t, &n, 8);
    text_add_bytes(t, s, n);
}

/* Counts of one layer's gate, up and down. */
static void write_gguf(const char *name, const float counts[3][2])
{
    static const char *const which[] = {"gate", "up", "down"};
    struct text t;
    uint32_t version = 3, n_dimensions = 2, kind = 0;
    int64_t n_tensors = 3, n_keys = 0, shape[2] = {1, 2};
    text_init(&t);
    text_add(&t, "GGUF");
    text_add_bytes(&t, &version, 4);
    text_add_bytes(&t, &n_tensors, 8);
    text_add_bytes(&t, &n_keys, 8);
    for (uint64_t i = 0; i < 3; i++) {
        char tensor[64];
        uint64_t offset = 32 * i;
        snprintf(tensor, sizeof tensor, "blk.0.ffn_%s_exps.weight.counts", which[i]);
        add_word(&t, tensor);
        text_add_bytes(&t, &n_dimensions, 4);
        text_add_bytes(&t, shape, 16);
        text_add_bytes(&t, &kind, 4);
        text_add_bytes(&t, &offset, 8);
    }
    for (int i = 0; i < 3; i++) {
        text_add_bytes(&t, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                       (32 - t.length % 32) % 32);
        text_add_bytes(&t, counts[i], 8);
    }
    test_write(folder, name, t.data, t.length);
    text_release(&t);
}

static void test_16_float_counts(void **state)
{
    static const float counts[3][2] = {{5, 16777216}, {5, 16777216}, {5, 16777216}};
    (void)state;
    write_gguf("large.gguf", counts);
    expect("large.gguf", "float-counts", "refused", "a count of 16777216, beyond 16777216");
    expect_import("large.gguf", "float-counts", "SELECT max(assignments) FROM expert_load", "16777216\n");
}

static void test_17_short_layer(void **state)
{
    struct text t;
    (void)state;
    text_init(&t);
    text_add(&t, "layer,expert\n");
    for (int l = 0; l < 2; l++) {
        for (int i = l == 1 ? 9 : 0; i < 10; i++) {
            text_printf(&t, "%d,%d\n%d,%d\n", l, i % 4, l, 4 + i % 3);
        }
    }
    test_write(folder, "prompt.csv", t.data, t.length);
    text_release(&t);
    expect("prompt.csv --topk 2", "short-layer", "noted",
           "of 10 tokens that passed together the last layer, 1, has the last 1");
    expect_import("prompt.csv --topk 2", NULL, "SELECT min(position) FROM routing WHERE layer = 1", "9\n");
}

static void test_18_repeated_tensors(void **state)
{
    static const float alike[3][2] = {{5, 7}, {5, 7}, {5, 7}}, unlike[3][2] = {{5, 6}, {5, 7}, {5, 7}};
    (void)state;
    write_gguf("alike.gguf", alike);
    expect("alike.gguf", "repeated-tensors", "noted", "gate, up and down count the same in 1 layers");
    expect_import("alike.gguf", NULL, "SELECT sum(assignments) FROM expert_load", "12\n");
    write_gguf("unlike.gguf", unlike);
    expect("unlike.gguf", "repeated-tensors", "unknown",
           "disagree in 1 layers from layer 0 on; down is taken");
}

static void test_19_narrow_ids(void **state)
{
    uint8_t ids[50][2][2];
    (void)state;
    for (int i = 0; i < 100; i++) {
        ids[i / 2][i % 2][0] = (uint8_t)(i * 37);
        ids[i / 2][i % 2][1] = (uint8_t)(i * 37 + 1 + i % 5);
    }
    write_npy("narrow.npy", "|u1", "50, 2, 2", ids, sizeof ids);
    expect("narrow.npy --experts 512", "narrow-ids", "refused", "ids have 8 bits, and --experts says 512");
    expect("narrow.npy", "narrow-ids", "unknown", "ids have 8 bits; how many experts there are is not said");
    expect_none("narrow.npy --experts 256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_1_zero_rows),
        cmocka_unit_test(test_2_duplicates),
        cmocka_unit_test(test_3_sentinels),
        cmocka_unit_test(test_4_rows_and_tokens),
        cmocka_unit_test(test_5_dense_layers),
        cmocka_unit_test(test_6_layer_base),
        cmocka_unit_test(test_7_local_ids),
        cmocka_unit_test(test_8_rank_files),
        cmocka_unit_test(test_9_slot_order),
        cmocka_unit_test(test_10_shared_columns),
        cmocka_unit_test(test_11_probabilities),
        cmocka_unit_test(test_12_selection_score),
        cmocka_unit_test(test_13_padding),
        cmocka_unit_test(test_14_varying_choices),
        cmocka_unit_test(test_15_cached_prefix),
        cmocka_unit_test(test_16_float_counts),
        cmocka_unit_test(test_17_short_layer),
        cmocka_unit_test(test_18_repeated_tensors),
        cmocka_unit_test(test_19_narrow_ids),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
