/* Decisions, gates, losses, tokens and probabilities through the writer, and back through the stock shell's
 * views as well as the bulk reader. Expected values are worked by hand beside each test. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/close.h"
#include "tests/support.h"
#include "tests/trial.h"

static struct moescope_batch *batch(struct trial *s)
{
    struct error err;
    struct moescope_batch *b = moescope_batch_new(s->writer, &err);
    if (b == NULL) {
        fail_msg("%s", err.text);
    }
    return b;
}

static void commit(struct moescope_batch *b)
{
    struct error err;
    if (moescope_batch_commit(b, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* Three tokens of the first document from offset 5 on, ids 1 2 3 -> 0; one layer's block given. */
static int sequence(struct trial *s, struct moescope_batch *b, int64_t step, const char *split)
{
    static const int32_t ids[] = {1, 2, 3, 0};
    static const float loss[] = {1.5f, 0.0004f, 70};
    const struct moescope_sequence q = {
        .document_id = s->document_ids[0], .offset = 5, .n_tokens = 3, .ids = ids, .loss = loss};
    return moescope_batch_sequence(b, step, split, &q);
}

static void write_one(struct trial *s, int n_experts, const struct moescope_block *block, int gate_bits)
{
    const struct moescope_layer layer = {.layer = block->layer,
                                         .router = "topk",
                                         .n_experts = n_experts,
                                         .k = block->k,
                                         .expert_parameters = 10};
    trial_open(s);
    trial_run(s, "one", &layer, 1, gate_bits);
    struct moescope_batch *b = batch(s);
    moescope_batch_routing(b, sequence(s, b, 0, "train"), block);
    commit(b);
    trial_end(s, "finished");
    trial_stop(s);
}

/* The only block of the logbook, through the bulk reader. Pointers stay good until blocks_close(*bs). */
static struct block read_one(struct trial *s, struct blocks **bs)
{
    struct error err;
    struct block block;
    const struct block_filter filter = {.run_id = s->run_id, .last_step = INT64_MAX, .layer = -1};
    trial_read(s);
    assert_int_equal(blocks_open(bs, s->lb, &filter, &err), 0);
    if (blocks_next(*bs, &block, &err) != 1) {
        fail_msg("%s", err.text);
    }
    return block;
}

/* k = 2 of 4 experts, 8-bit gates. The scale is the largest gate, 0.75 = 12288 / 16384, and 255 is a multiple
 * of three, so that 0.75, 0.5, 0.25 and 0.1 are kept exactly as 255, 170, 85 and 34; 0.0031 is 1.054 steps of
 * 0.75 / 255 and comes back as one: 0.002941. */
static void test_fixed_k(void **state)
{
    static const int32_t expert[] = {3, 1, 0, 2, 2, 3};
    static const float gate[] = {0.75f, 0.25f, 0.5f, 0.1f, 0.0031f, 0};
    static const uint8_t dropped[] = {0, 0, 0, 1, 1, 0};
    const struct moescope_block block = {
        .layer = 2, .n_experts = 4, .k = 2, .expert = expert, .gate = gate, .dropped = dropped};
    struct trial s;
    (void)state;
    write_one(&s, 4, &block, 8);
    trial_expect(
        &s,
        "SELECT run_id, step, split, sequence_id, sample_id, document_id, domain_id, position, token_id,"
        " target_id, loss, layer, slot, expert, round(gate, 6), dropped FROM routing;",
        "1|0|train|1|1|1|1|0|1|2|1.5|2|0|3|0.75|0\n"
        "1|0|train|1|1|1|1|0|1|2|1.5|2|1|1|0.25|0\n"
        "1|0|train|1|1|1|1|1|2|3|0.0|2|0|0|0.5|0\n"
        "1|0|train|1|1|1|1|1|2|3|0.0|2|1|2|0.1|1\n"
        "1|0|train|1|1|1|1|2|3|0||2|0|2|0.002941|1\n"
        "1|0|train|1|1|1|1|2|3|0||2|1|3|0.0|0\n");
    trial_expect(&s, "SELECT codec, k, hex(experts), hex(gates), hex(dropped) FROM routing_block;",
                 "e8g8|2|030100020203|FF55AA220100|18\n");
    struct blocks *bs;
    struct block b = read_one(&s, &bs);
    assert_int_equal(b.n_tokens, 3);
    assert_int_equal(b.n_decisions, 6);
    assert_int_equal(b.layer, 2);
    assert_int_equal(b.offset, 5);
    assert_string_equal(b.split, "train");
    assert_memory_equal(b.expert, expert, sizeof expert);
    assert_memory_equal(b.dropped, dropped, sizeof dropped);
    assert_int_equal(b.offsets[3], 6);
    assert_close(b.gate[3], 0.1, 1e-8);
    assert_close(b.gate[4], 0.75 / 255, 1e-8);
    assert_int_equal(b.ids[3], 0);
    assert_close(b.loss[0], 1.5, 0);
    assert_close(b.loss[1], 0, 0); /* 0.0004 nat is 0.41 of a step */
    assert_nan(b.loss[2]);         /* 70 nats are beyond 63.998 */
    blocks_close(bs);
    trial_release(&s);
}

/* Token 0 has three experts, token 1 none, token 2 one; the caller's offsets start at 7. */
static void test_varying_k(void **state)
{
    static const int32_t expert[] = {5, 0, 7, 2}, offsets[] = {7, 10, 10, 11};
    static const float gate[] = {1, 0.6f, 0.2f, 0.4f};
    static const uint8_t dropped[] = {0, 0, 0, 1};
    const struct moescope_block block = {
        .n_experts = 8, .offsets = offsets, .expert = expert, .gate = gate, .dropped = dropped};
    struct trial s;
    (void)state;
    write_one(&s, 8, &block, 8);
    trial_expect(&s, "SELECT position, slot, expert, round(gate, 3), dropped FROM routing;",
                 "0|0|5|1.0|0\n0|1|0|0.6|0\n0|2|7|0.2|0\n2|0|2|0.4|1\n");
    trial_expect(&s, "SELECT codec, k, hex(offsets), typeof(k) FROM routing_block;",
                 "e8g8||0000030003000400|null\n");
    trial_expect(&s, "SELECT k FROM moe_layer;", "\n");
    struct blocks *bs;
    struct block b = read_one(&s, &bs);
    assert_int_equal(b.n_decisions, 4);
    assert_int_equal(b.offsets[0], 0);
    assert_int_equal(b.offsets[1], 3);
    assert_int_equal(b.offsets[2], 3);
    assert_int_equal(b.expert[3], 2);
    assert_int_equal(b.dropped[3], 1);
    blocks_close(bs);
    trial_release(&s);
}

/* Neither k nor offsets: no token was chosen by any expert. */
static void test_no_decisions(void **state)
{
    const struct moescope_block block = {.n_experts = 8};
    struct trial s;
    (void)state;
    write_one(&s, 8, &block, 8);
    trial_expect(&s, "SELECT count(*) FROM routing;", "0\n");
    trial_expect(&s, "SELECT count(*) FROM routing_block;", "1\n");
    struct blocks *bs;
    struct block b = read_one(&s, &bs);
    assert_int_equal(b.n_decisions, 0);
    assert_int_equal(b.offsets[3], 0);
    blocks_close(bs);
    trial_release(&s);
}

/* A soft layer gives every token all its experts, in order: ids are not stored. With 16 bits and the scale
 * 0.5 a gate of 0.1 is 13107 of 65535, exactly. */
static void test_all_experts(void **state)
{
    static const int32_t expert[] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
    static const float gate[] = {0.5f, 0.1f, 0.2f, 0, 0.3f, 0.4f, 0.5f, 0.25f, 0.25f};
    const struct moescope_block block = {.n_experts = 3, .k = 3, .expert = expert, .gate = gate};
    struct trial s;
    (void)state;
    write_one(&s, 3, &block, 16);
    trial_expect(&s, "SELECT codec, k, experts IS NULL FROM routing_block;", "a16|3|1\n");
    trial_expect(&s, "SELECT position, slot, expert, round(gate, 4) FROM routing WHERE position < 2;",
                 "0|0|0|0.5\n0|1|1|0.1\n0|2|2|0.2\n1|0|0|0.0\n1|1|1|0.3\n1|2|2|0.4\n");
    struct blocks *bs;
    struct block b = read_one(&s, &bs);
    assert_memory_equal(b.expert, expert, sizeof expert);
    for (int i = 0; i < 9; i++) {
        assert_close(b.gate[i], gate[i], 0.5 / 131070 + 1e-8);
    }
    blocks_close(bs);
    trial_release(&s);
}

/* Ids beyond 255 take two bytes: 299 = 0x012B, 256 = 0x0100. */
static void test_many_experts(void **state)
{
    static const int32_t expert[] = {299, 256, 255};
    static const float gate[] = {1, 1, 1};
    const struct moescope_block block = {.n_experts = 300, .k = 1, .expert = expert, .gate = gate};
    for (int bits = 8; bits <= 16; bits += 8) {
        struct trial s;
        (void)state;
        write_one(&s, 300, &block, bits);
        trial_expect(&s, "SELECT codec, hex(experts) FROM routing_block;",
                     bits == 8 ? "e16g8|2B010001FF00\n" : "e16g16|2B010001FF00\n");
        trial_expect(&s, "SELECT position, expert, gate FROM routing;", "0|299|1.0\n1|256|1.0\n2|255|1.0\n");
        struct blocks *bs;
        struct block b = read_one(&s, &bs);
        assert_memory_equal(b.expert, expert, sizeof expert);
        blocks_close(bs);
        trial_release(&s);
    }
}

/* A gate comes back to half a step: 0.9 / 510 = 0.0017647 with 8 bits, 0.9 / 131070 with 16; the scale is
 * rounded up by 1/16384 at most. */
static void test_gate_precision(void **state)
{
    static const int32_t expert[] = {0, 1, 0, 1, 0, 1};
    static const float gate[] = {0.9f, 0.0123f, 0.777f, 0.31415f, 0.5f, 0.0001f};
    const struct moescope_block block = {.n_experts = 4, .k = 2, .expert = expert, .gate = gate};
    for (int bits = 8; bits <= 16; bits += 8) {
        const double half_step = (0.9 + 1.0 / 16384) / (bits == 8 ? 510 : 131070);
        struct trial s;
        (void)state;
        write_one(&s, 4, &block, bits);
        char *out = trial_shell(&s, "SELECT gate FROM routing;");
        char *at = out;
        struct blocks *bs;
        struct block b = read_one(&s, &bs);
        for (int i = 0; i < 6; i++) {
            double stored = strtod(at, &at);
            assert_close(stored, gate[i], half_step + 1e-9);
            assert_close(b.gate[i], stored, 1e-7);
        }
        blocks_close(bs);
        free(out);
        trial_release(&s);
    }
}

/* Below 64 / 16384 = 0.0039 the scale is the largest gate itself, so that tiny gates keep their 8 bits. */
static void test_tiny_gates(void **state)
{
    static const int32_t expert[] = {0, 1, 2};
    static const float gate[] = {1e-5f, 5e-6f, 0};
    const struct moescope_block block = {.n_experts = 4, .k = 1, .expert = expert, .gate = gate};
    struct trial s;
    (void)state;
    write_one(&s, 4, &block, 8);
    struct blocks *bs;
    struct block b = read_one(&s, &bs);
    assert_close(b.gate[0], 1e-5, 1e-11);
    assert_close(b.gate[1], 5e-6, 1e-5 / 510);
    assert_close(b.gate[2], 0, 0);
    blocks_close(bs);
    trial_release(&s);
}

/* Gates that are not known, or not finite, are NULL; the latter leave an event. Gates that are all 0 are 0.
 */
static void test_unknown_gates(void **state)
{
    static const int32_t expert[] = {0, 1, 2};
    static const float broken[] = {0.5f, NAN, 0.25f}, zero[] = {0, 0, 0};
    static const struct {
        const float *gate;
        const char *gates, *events;
    } cases[] = {{NULL, "|\n", "0\n"}, {broken, "|\n", "1\n"}, {zero, "0.0|0.0\n", "0\n"}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        const struct moescope_block block = {.n_experts = 4, .k = 1, .expert = expert, .gate = cases[i].gate};
        struct trial s;
        write_one(&s, 4, &block, 8);
        trial_expect(&s, "SELECT min(gate), max(gate) FROM routing;", cases[i].gates);
        trial_expect(&s, "SELECT count(*) FROM routing;", "3\n");
        trial_expect(&s, "SELECT count(*) FROM event WHERE kind = 'not_finite';", cases[i].events);
        struct blocks *bs;
        struct block b = read_one(&s, &bs);
        assert_int_equal(isnan(b.gate[0]), cases[i].gate != zero);
        blocks_close(bs);
        trial_release(&s);
    }
}

static const struct moescope_layer two_layers[] = {
    {.layer = 1, .router = "topk", .n_experts = 4, .k = 1},
    {.layer = 3, .router = "topk", .n_experts = 4, .k = 1},
};

/* Layers may come in any order and a layer may be missing; blocks are read by sequence, then layer. Filters
 * choose by step, split and layer. */
static void test_order_and_filters(void **state)
{
    static const int32_t expert[] = {0, 1, 2};
    static const char *const splits[] = {"train", "probe"};
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    trial_run(&s, "order", two_layers, 2, 8);
    for (int64_t step = 0; step < 3; step++) {
        struct moescope_batch *b = batch(&s);
        int handles[2] = {sequence(&s, b, step, splits[0]), sequence(&s, b, step, splits[1])};
        for (int layer = 3; layer >= 1; layer -= 2) {
            for (int i = 1; i >= 0; i--) {
                const struct moescope_block block = {
                    .layer = layer, .n_experts = 4, .k = 1, .expert = expert};
                moescope_batch_routing(b, handles[i], &block);
            }
        }
        commit(b);
    }
    trial_end(&s, "finished");
    trial_stop(&s);
    trial_read(&s);
    static const struct {
        const char *split;
        int64_t first, last;
        int layer, n;
    } cases[] = {{NULL, 0, 9, -1, 12}, {"probe", 0, 9, -1, 6}, {"probe", 1, 2, 3, 2},
                 {NULL, 2, 2, 1, 2},   {"valid", 0, 9, -1, 0}, {NULL, 0, 9, 2, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct block_filter filter = {s.run_id, cases[i].split, cases[i].first, cases[i].last,
                                            cases[i].layer};
        struct blocks *bs;
        struct block b;
        int64_t previous = -1;
        int n = 0, result;
        assert_int_equal(blocks_open(&bs, s.lb, &filter, &err), 0);
        while ((result = blocks_next(bs, &b, &err)) == 1) {
            assert_true(b.sequence_id * 1024 + b.layer > previous);
            previous = b.sequence_id * 1024 + b.layer;
            n++;
        }
        assert_int_equal(result, 0);
        assert_int_equal(blocks_next(bs, &b, &err), 0); /* the end stays the end */
        assert_int_equal(n, cases[i].n);
        blocks_close(bs);
    }
    trial_release(&s);
}

/* Probabilities in 16 bits: 0.25 is 16383.75 -> 16384 / 65535 = 0.2500038. */
static void test_probabilities(void **state)
{
    static const float probability[] = {0.25f, 0.5f, 0.25f, 0, 1, 0, 0, 0, 0, 0.1f, 0.2f, 0.7f};
    static const float broken[12] = {[5] = INFINITY};
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    trial_run(&s, "probabilities", two_layers, 2, 8);
    struct moescope_batch *b = batch(&s);
    int handle = sequence(&s, b, 4, "probe");
    moescope_batch_probability(b, handle, 1, 4, probability);
    moescope_batch_probability(b, handle, 3, 4, broken);
    commit(b);
    trial_end(&s, "finished");
    trial_stop(&s);
    trial_expect(
        &s,
        "SELECT run_id, step, sequence_id, sample_id, position, layer, expert, round(probability, 7) "
        "FROM probability WHERE position = 0;",
        "1|4|1|1|0|1|0|0.2500038\n1|4|1|1|0|1|1|0.5000076\n1|4|1|1|0|1|2|0.2500038\n1|4|1|1|0|1|3|0.0\n");
    trial_expect(&s, "SELECT kind, step, layer FROM event WHERE kind = 'not_finite';", "not_finite|4|3\n");
    trial_read(&s);
    const struct block_filter filter = {s.run_id, "probe", 0, 9, -1};
    struct probabilities *ps;
    struct probability_block block;
    assert_int_equal(probabilities_open(&ps, s.lb, &filter, &err), 0);
    assert_int_equal(probabilities_next(ps, &block, &err), 1);
    assert_int_equal(block.n_experts, 4);
    assert_int_equal(block.n_tokens, 3);
    for (int i = 0; i < 12; i++) {
        assert_close(block.probability[i], probability[i], 0.5 / 65535 + 1e-7);
    }
    assert_int_equal(probabilities_next(ps, &block, &err), 0);
    probabilities_close(ps);
    trial_release(&s);
}

/* Ids of 65536 and more take four bytes each: 70000 = 0x011170. Losses may not be logged at all. */
static void test_wide_tokens(void **state)
{
    static const int32_t ids[] = {1, 70000, 2};
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    trial_run(&s, "wide", two_layers, 1, 8);
    struct moescope_batch *b = batch(&s);
    const struct moescope_sequence q = {.document_id = s.document_ids[1], .n_tokens = 2, .ids = ids};
    const int32_t expert[] = {0, 0};
    const struct moescope_block routed = {.layer = 1, .n_experts = 4, .k = 1, .expert = expert};
    moescope_batch_routing(b, moescope_batch_sequence(b, 0, "valid", &q), &routed);
    commit(b);
    trial_end(&s, "finished");
    trial_stop(&s);
    trial_expect(&s, "SELECT hex(tokens) FROM sample;", "010000007011010002000000\n");
    trial_expect(&s, "SELECT position, token_id, target_id, loss, domain_id FROM token_loss;",
                 "0|1|70000||2\n1|70000|2||2\n");
    trial_expect(&s, "SELECT position, token_id, target_id, loss FROM routing;", "0|1|70000|\n1|70000|2|\n");
    trial_read(&s);
    struct blocks *bs;
    struct block block;
    const struct block_filter filter = {s.run_id, NULL, 0, 9, -1};
    assert_int_equal(blocks_open(&bs, s.lb, &filter, &err), 0);
    assert_int_equal(blocks_next(bs, &block, &err), 1);
    assert_int_equal(block.ids[1], 70000);
    assert_nan(block.loss[1]);
    blocks_close(bs);
    trial_release(&s);
}

/* A block that is not what was written is an error, with the sequence in it; the reader does not go on. */
static void test_damaged_block(void **state)
{
    static const struct {
        const char *damage, *reason;
    } cases[] = {
        {"UPDATE routing_block SET gates = x'00ff55'", "checksum of a routing block"},
        {"UPDATE routing_block SET codec = 'x'", "an unknown codec"},
        {"UPDATE sequence SET losses = x'000000000000'", "checksum of losses"},
        {"UPDATE sample SET tokens = x'00'", "length of tokens"},
        {"DELETE FROM sample", "no sample"},
        {"UPDATE moe_layer SET n_experts = 2", "an expert that the layer has not"},
    };
    static const int32_t expert[] = {0, 1, 2};
    static const float gate[] = {0.5f, 0.25f, 0.125f};
    const struct moescope_block block = {.layer = 1, .n_experts = 4, .k = 1, .expert = expert, .gate = gate};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct block_filter filter = {1, NULL, 0, 9, -1};
        struct trial s;
        struct error err;
        struct blocks *bs;
        struct block b;
        write_one(&s, 4, &block, 8);
        struct test_run r = test_run("sqlite3 '%s' \"%s\"", s.path, cases[i].damage);
        assert_int_equal(r.status, 0);
        test_run_release(&r);
        trial_read(&s);
        assert_int_equal(blocks_open(&bs, s.lb, &filter, &err), 0);
        assert_int_equal(blocks_next(bs, &b, &err), -1);
        assert_int_equal(err.status, STATUS_INPUT);
        if (strstr(err.text, cases[i].reason) == NULL || strstr(err.text, "sequence 1") == NULL) {
            fail_msg("%s: %s", cases[i].damage, err.text);
        }
        blocks_close(bs);
        trial_release(&s);
    }
}

/* Figures that are not numbers are rows with a status; loads come back to the last bit, zeros included. */
static void test_figures(void **state)
{
    static const int64_t assignments[] = {3, 0, 1, 2}, dropped[] = {0, 0, 1, 0};
    static const double gate_sum[] = {0.1 + 0.2, 0, 1e-17, 2.5}, probability_sum[] = {1.0 / 3, 0, 2, 1};
    struct trial s;
    (void)state;
    trial_open(&s);
    trial_run(&s, "figures", two_layers, 2, 8);
    struct moescope_batch *b = batch(&s);
    moescope_batch_metric(b, 0, "train", "loss", 9.5);
    moescope_batch_metric(b, 1, "train", "loss", NAN);
    moescope_batch_metric(b, 2, "train", "loss", INFINITY);
    moescope_batch_metric(b, 3, "train", "loss", -INFINITY);
    moescope_batch_layer_metric(b, 0, "train", 1, "router_entropy", 1.25);
    moescope_batch_layer_metric(b, 0, "train", 3, "router_entropy", NAN);
    struct moescope_load load = {.layer = 1,
                                 .n_experts = 4,
                                 .assignments = assignments,
                                 .dropped = dropped,
                                 .gate_sum = gate_sum,
                                 .probability_sum = probability_sum};
    moescope_batch_load(b, 0, "train", &load);
    load.domain_id = s.domain_ids[1];
    load.dropped = NULL;
    moescope_batch_load(b, 0, "train", &load);
    moescope_batch_document_loss(b, 0, "train", s.document_ids[0], 400, 1000, 0.1);
    moescope_batch_document_loss(b, 0, "train", s.document_ids[1], 500, 1999, NAN);
    moescope_batch_event(b, 0, "alarm", 1, 2, 0.5, "expert 2 starves");
    moescope_batch_event(b, 0, "note", -1, -1, NAN, NULL);
    moescope_batch_checkpoint(b, 0, "a.safetensors", "ab");
    moescope_batch_checkpoint(b, 0, "b.safetensors", "cd");
    commit(b);
    trial_end(&s, "finished");
    trial_stop(&s);
    trial_expect(&s, "SELECT step, value, status FROM metric ORDER BY step;",
                 "0|9.5|ok\n1||nan\n2||+inf\n3||-inf\n");
    trial_expect(&s, "SELECT layer, name, value FROM layer_metric;",
                 "1|router_entropy|1.25\n3|router_entropy|\n");
    trial_expect(
        &s,
        "SELECT domain_id, layer, expert, assignments, dropped, gate_sum = 0.1 + 0.2,"
        " probability_sum = 1.0 / 3, typeof(assignments) FROM expert_load WHERE expert < 2;",
        "|1|0|3|0|1|1|integer\n|1|1|0|0|0|0|integer\n2|1|0|3|0|1|1|integer\n2|1|1|0|0|0|0|integer\n");
    trial_expect(&s, "SELECT sum(dropped) FROM expert_load WHERE domain_id IS NULL;", "1\n");
    trial_expect(&s, "SELECT document_id, n_tokens, n_bytes, loss_sum FROM document_loss;",
                 "1|400|1000|0.1\n2|500|1999|\n");
    trial_expect(&s, "SELECT kind, layer, expert, value, message FROM event WHERE kind IN ('alarm', 'note');",
                 "alarm|1|2|0.5|expert 2 starves\nnote||||\n");
    trial_expect(&s, "SELECT step, path, sha256 FROM checkpoint;", "0|b.safetensors|cd\n");
    trial_expect(&s, "SELECT key, value, typeof(value) FROM run_config WHERE run_id = 1;",
                 "model.width|64|integer\nrouter.name|topk|text\n");
    trial_release(&s);
}

/* The same piece of a document is stored once; the same place with other tokens is refused. */
static void test_samples(void **state)
{
    static const int32_t other[] = {1, 2, 3, 1};
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    trial_run(&s, "samples", two_layers, 2, 8);
    struct moescope_batch *b = batch(&s);
    sequence(&s, b, 0, "train");
    sequence(&s, b, 1, "train");
    commit(b);
    b = batch(&s);
    sequence(&s, b, 2, "train");
    commit(b);
    assert_int_equal(moescope_writer_drain(s.writer, &err), 0);
    trial_expect(&s, "SELECT count(*), count(DISTINCT sample_id) FROM sequence;", "3|1\n");
    b = batch(&s);
    const struct moescope_sequence q = {
        .document_id = s.document_ids[0], .offset = 5, .n_tokens = 3, .ids = other};
    moescope_batch_sequence(b, 3, "train", &q);
    commit(b);
    assert_int_equal(moescope_writer_drain(s.writer, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "has other tokens"));
    /* The failure is kept: whatever comes after is refused for it, and nothing of it is stored. */
    assert_null(moescope_batch_new(s.writer, &err));
    assert_int_equal(moescope_writer_close(s.writer, &err), -1);
    s.writer = NULL;
    trial_expect(&s, "SELECT count(*) FROM sequence;", "3\n");
    trial_release(&s);
}

/* What cannot be stored is refused by the commit, with the layer and the reason; the run may go on. */
static void test_refusals(void **state)
{
    static const int32_t outside[] = {0, 4, 1}, fine[] = {0, 1, 2};
    static const float negative[] = {0.5f, -0.25f, 0.1f};
    const struct {
        struct moescope_block block;
        const char *reason;
    } cases[] = {
        {{.layer = 1, .n_experts = 4, .k = 1, .expert = outside}, "an expert that the layer has not"},
        {{.layer = 1, .n_experts = 4, .k = 1, .expert = fine, .gate = negative}, "a negative gate"},
        {{.layer = 1024, .n_experts = 4, .k = 1, .expert = fine},
         "layer 1024: a logbook holds layers 0 to 1023"},
        {{.layer = 1, .n_experts = 70000, .k = 1, .expert = fine},
         "of 70000 experts, and the run was begun with 4"},
    };
    struct trial s;
    struct error err;
    (void)state;
    trial_open(&s);
    trial_run(&s, "refusals", two_layers, 2, 8);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moescope_batch *b = batch(&s);
        moescope_batch_routing(b, sequence(&s, b, 0, "train"), &cases[i].block);
        assert_int_equal(moescope_batch_commit(b, &err), -1);
        assert_int_equal(err.status, STATUS_USAGE);
        assert_non_null(strstr(err.text, cases[i].reason));
    }
    struct moescope_batch *b = batch(&s);
    sequence(&s, b, 0, "train");
    commit(b);
    trial_end(&s, "finished");
    trial_expect(&s, "SELECT count(*) FROM sequence;", "1\n");
    trial_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixed_k),       cmocka_unit_test(test_varying_k),
        cmocka_unit_test(test_no_decisions),  cmocka_unit_test(test_all_experts),
        cmocka_unit_test(test_many_experts),  cmocka_unit_test(test_gate_precision),
        cmocka_unit_test(test_tiny_gates),    cmocka_unit_test(test_unknown_gates),
        cmocka_unit_test(test_probabilities), cmocka_unit_test(test_order_and_filters),
        cmocka_unit_test(test_wide_tokens),   cmocka_unit_test(test_figures),
        cmocka_unit_test(test_samples),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damaged_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
