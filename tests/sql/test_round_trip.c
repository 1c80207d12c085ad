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
#include "tests/scratch.h"

static struct logbook_batch *batch(struct scratch *s)
{
    struct error err;
    struct logbook_batch *b = logbook_batch_new(s->writer, &err);
    if (b == NULL) {
        fail_msg("%s", err.text);
    }
    return b;
}

static void commit(struct logbook_batch *b)
{
    struct error err;
    if (logbook_batch_commit(b, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* Three tokens of the first document from offset 5 on, ids 1 2 3 -> 0; one layer's block given. */
static int sequence(struct scratch *s, struct logbook_batch *b, int64_t step, const char *split)
{
    static const int32_t ids[] = {1, 2, 3, 0};
    static const float loss[] = {1.5f, 0.0004f, 70};
    const struct logbook_sequence q = {
        .document_id = s->document_ids[0], .offset = 5, .n_tokens = 3, .ids = ids, .loss = loss};
    return logbook_batch_sequence(b, step, split, &q);
}

static void write_one(struct scratch *s, int n_experts, const struct logbook_block *block, int gate_bits)
{
    const struct logbook_layer layer = {.layer = block->layer,
                                        .router = "topk",
                                        .n_experts = n_experts,
                                        .k = block->k,
                                        .expert_parameters = 10};
    scratch_open(s);
    scratch_run(s, "one", &layer, 1, gate_bits);
    struct logbook_batch *b = batch(s);
    logbook_batch_routing(b, sequence(s, b, 0, "train"), block);
    commit(b);
    scratch_end(s, "finished");
    scratch_stop(s);
}

/* The only block of the logbook, through the bulk reader. Pointers stay good until blocks_close(*bs). */
static struct block read_one(struct scratch *s, struct blocks **bs)
{
    struct error err;
    struct block block, none;
    const struct block_filter filter = {.run_id = s->run_id, .last_step = INT64_MAX, .layer = -1};
    scratch_read(s);
    assert_int_equal(blocks_open(bs, s->lb, &filter, &err), 0);
    if (blocks_next(*bs, &block, &err) != 1) {
        fail_msg("%s", err.text);
    }
    (void)none;
    return block;
}

/* k = 2 of 4 experts, 8-bit gates. The largest gate, 0.8, is the scale: 0.8 is kept exactly (255), 0.2 as
 * round(63.75) = 64 -> 0.8 * 64 / 255 = 0.2007843, 0.4 as round(127.5) = 128 or 127 (0.4f lies above 0.4, so
 * 128) -> 0.4015686, 0 as 0. */
static void test_fixed_k(void **state)
{
    static const int32_t expert[] = {3, 1, 0, 2, 2, 3};
    static const float gate[] = {0.8f, 0.2f, 0.4f, 0.4f, 0.2f, 0};
    static const uint8_t dropped[] = {0, 0, 0, 1, 1, 0};
    const struct logbook_block block = {
        .layer = 2, .n_experts = 4, .k = 2, .expert = expert, .gate = gate, .dropped = dropped};
    struct scratch s;
    (void)state;
    write_one(&s, 4, &block, 8);
    scratch_expect(
        &s,
        "SELECT run_id, step, split, sequence_id, sample_id, document_id, domain_id, position, token_id,"
        " target_id, loss, layer, slot, expert, round(gate, 6), dropped FROM routing;",
        "1|0|train|1|1|1|1|0|1|2|1.5|2|0|3|0.8|0\n"
        "1|0|train|1|1|1|1|0|1|2|1.5|2|1|1|0.200784|0\n"
        "1|0|train|1|1|1|1|1|2|3|0.0|2|0|0|0.401569|0\n"
        "1|0|train|1|1|1|1|1|2|3|0.0|2|1|2|0.401569|1\n"
        "1|0|train|1|1|1|1|2|3|0||2|0|2|0.200784|1\n"
        "1|0|train|1|1|1|1|2|3|0||2|1|3|0.0|0\n");
    struct blocks *bs;
    struct block b = read_one(&s, &bs);
    assert_int_equal(b.n_tokens, 3);
    assert_int_equal(b.n_decisions, 6);
    assert_int_equal(b.layer, 2);
    assert_int_equal(b.offset, 5);
    assert_memory_equal(b.expert, expert, sizeof expert);
    assert_memory_equal(b.dropped, dropped, sizeof dropped);
    assert_close(b.gate[1], 0.2007843, 1e-6);
    assert_int_equal(b.ids[3], 0);
    assert_close(b.loss[0], 1.5, 0);
    assert_nan(b.loss[2]);
    blocks_close(bs);
    scratch_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixed_k),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
