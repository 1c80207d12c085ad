/* The virtual tables where there is more than they keep in memory: groups that wait for another pass, gates
 * that come with another window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/text.h"
#include "tests/support.h"
#include "tests/trial.h"

static void expect(struct trial *t, const char *sql, const char *expected)
{
    struct text whole;
    char *bin = test_bin();
    text_init(&whole);
    text_printf(&whole, ".load '%s/moescope'\n.mode quote\n%s", bin, sql);
    trial_expect(t, whole.data, expected);
    text_release(&whole);
    free(bin);
}

enum { BIG_TOKENS = 2000, BIG_LAYERS = 4, BIG_EXPERTS = 64, BIG_IDS = 60000, BIG_SEQUENCES = 60 };

static void open_big(struct trial *big, int k)
{
    struct moescope_layer layers[BIG_LAYERS];
    for (int l = 0; l < BIG_LAYERS; l++) {
        layers[l] = (struct moescope_layer){.layer = l, .router = "topk", .n_experts = BIG_EXPERTS, .k = k};
    }
    trial_open(big);
    trial_run(big, "big", layers, BIG_LAYERS, 8);
}

struct big_sums { /* of what was logged: triples of token, layer and expert; sums over decisions */
    int64_t triples, by_token, by_expert;
};

static void count_big(struct big_sums *sums, uint8_t *seen, int32_t id, int layer, int32_t expert)
{
    size_t triple = ((size_t)id * BIG_LAYERS + (size_t)layer) * BIG_EXPERTS + (size_t)expert;
    sums->triples += !seen[triple];
    seen[triple] = 1;
    sums->by_token += id % 97;
    sums->by_expert += expert * layer;
}

static void add_big_sequence(struct trial *big, int number, struct random *r, struct big_sums *sums,
                             uint8_t *seen)
{
    static int32_t ids[BIG_TOKENS + 1], expert[BIG_TOKENS];
    static float gate[BIG_TOKENS];
    struct error err;
    struct moescope_batch *b = moescope_batch_new(big->writer, &err);
    assert_non_null(b);
    for (int t = 0; t <= BIG_TOKENS; t++) {
        ids[t] = (int32_t)random_below(r, BIG_IDS);
    }
    const struct moescope_sequence q = {.document_id = big->document_ids[0],
                                        .offset = (int64_t)number * BIG_TOKENS,
                                        .n_tokens = BIG_TOKENS,
                                        .ids = ids};
    int handle = moescope_batch_sequence(b, number, "train", &q);
    for (int l = 0; l < BIG_LAYERS; l++) {
        for (int t = 0; t < BIG_TOKENS; t++) {
            expert[t] = (int32_t)random_below(r, BIG_EXPERTS);
            gate[t] = 0.5f;
            count_big(sums, seen, ids[t], l, expert[t]);
        }
        const struct moescope_block block = {
            .layer = l, .n_experts = BIG_EXPERTS, .k = 1, .expert = expert, .gate = gate};
        moescope_batch_routing(b, handle, &block);
    }
    test_must(moescope_batch_commit(b, &err), &err);
}

/* Some 470 000 triples of token, layer and expert, of which 262 144 are counted at once. */
static void test_more_groups_than_memory_holds(void **state)
{
    struct big_sums sums = {0};
    struct trial big;
    struct random r;
    struct text expected;
    uint8_t *seen = calloc((size_t)BIG_IDS * BIG_LAYERS, BIG_EXPERTS);
    (void)state;
    assert_non_null(seen);
    random_seed(&r, 3, 0);
    open_big(&big, 1);
    for (int s = 0; s < BIG_SEQUENCES; s++) {
        add_big_sequence(&big, s, &r, &sums, seen);
    }
    trial_end(&big, "finished");
    trial_stop(&big);
    free(seen);
    assert_true(sums.triples > 400000);
    text_init(&expected);
    text_printf(&expected, "%lld,%d,%lld,%lld\n%lld,%d,%lld,%lld\n0\n", (long long)sums.triples,
                BIG_SEQUENCES * BIG_TOKENS * BIG_LAYERS, (long long)sums.by_token, (long long)sums.by_expert,
                (long long)sums.triples, BIG_SEQUENCES * BIG_TOKENS * BIG_LAYERS, (long long)sums.by_token,
                (long long)sums.by_expert);
    expect(&big,
           "SELECT count(*), sum(n), sum(n * (token_id % 97)), sum(n * expert * layer) FROM "
           "(SELECT token_id, layer, expert, count(*) AS n FROM routing GROUP BY 1, 2, 3);"
           "SELECT count(*), sum(n), sum(n * (token_id % 97)), sum(n * expert * layer) FROM "
           "(SELECT token_id, layer, expert, sum(decisions) AS n FROM routing_count GROUP BY 1, 2, 3);"
           "SELECT count(*) FROM (SELECT token_id, lag(token_id) OVER () AS before FROM (SELECT token_id, "
           "layer, expert FROM routing ORDER BY token_id DESC, layer, expert)) WHERE before < token_id;",
           expected.data);
    text_release(&expected);
    trial_release(&big);
}

/* 17.3 million gates, of which 16.8 million are in order at once: the rest of a group comes with the second
 * window. */
static void test_more_gates_than_memory_holds(void **state)
{
    enum { SEQUENCES = 270, K = 8 };
    static int32_t ids[BIG_TOKENS + 1], expert[BIG_TOKENS * K];
    static float gate[BIG_TOKENS * K];
    struct trial big;
    struct random r;
    struct error err;
    (void)state;
    random_seed(&r, 4, 0);
    for (int i = 0; i < BIG_TOKENS * K; i++) {
        expert[i] = (i / K * 7 + i % K) % BIG_EXPERTS;
    }
    open_big(&big, K);
    for (int s = 0; s < SEQUENCES; s++) {
        struct moescope_batch *b = moescope_batch_new(big.writer, &err);
        assert_non_null(b);
        const struct moescope_sequence q = {.document_id = big.document_ids[0],
                                            .offset = (int64_t)s * BIG_TOKENS,
                                            .n_tokens = BIG_TOKENS,
                                            .ids = ids};
        int handle = moescope_batch_sequence(b, s, "train", &q);
        for (int l = 0; l < BIG_LAYERS; l++) {
            float scale = (float)random_uniform(&r);
            for (int i = 0; i < BIG_TOKENS * K; i++) {
                gate[i] = scale * (float)(expert[i] + 1 + i % K) / (BIG_EXPERTS + K);
            }
            const struct moescope_block block = {
                .layer = l, .n_experts = BIG_EXPERTS, .k = K, .expert = expert, .gate = gate};
            moescope_batch_routing(b, handle, &block);
        }
        test_must(moescope_batch_commit(b, &err), &err);
    }
    trial_end(&big, "finished");
    trial_stop(&big);
    expect(&big,
           "WITH one AS (SELECT layer, expert, count(*) AS n, sum(gate) AS s FROM routing GROUP BY "
           "layer, expert), "
           "many AS (SELECT layer, expert, sum(decisions) AS n, sum(gate_sum) AS s FROM "
           "routing_count GROUP BY layer, expert) "
           "SELECT count(*), sum(n) FROM one UNION ALL SELECT count(*), sum(one.n = many.n AND "
           "abs(one.s - many.s) < 1e-7 * "
           "many.s) FROM one JOIN many USING (layer, expert);",
           "256,17280000\n256,256\n");
    trial_release(&big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_groups_than_memory_holds),
        cmocka_unit_test(test_more_gates_than_memory_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
