/* Loads that follow from the decisions that were logged, against counting by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"
#include "tests/trial.h"

static const struct moescope_layer layers[] = {{.layer = 1, .router = "topk", .n_experts = 4},
                                               {.layer = 3, .router = "topk", .n_experts = 2, .k = 1}};
static const int32_t ids[] = {0, 1, 2, 3};

static void open_deriving(struct trial *s)
{
    const struct moescope_writer_options options = {.gate_bits = 16, .derive_loads = true};
    struct error err;
    trial_open(s);
    trial_run(s, "derived", layers, 2, 8);
    test_must(moescope_writer_close(s->writer, &err), &err);
    test_must(moescope_writer_open(&s->writer, s->lb, s->run_id, &options, &err), &err);
}

static int add_sequence(struct trial *s, struct moescope_batch *b, int64_t step, const char *split,
                        int document)
{
    const struct moescope_sequence q = {.document_id = s->document_ids[document],
                                        .domain_id = s->domain_ids[document],
                                        .n_tokens = 3,
                                        .ids = ids};
    return moescope_batch_sequence(b, step, split, &q);
}

/* Three tokens with two, none and three decisions, of which one was refused. */
static void add_varied(struct moescope_batch *b, int sequence)
{
    static const int32_t offsets[] = {10, 12, 12, 15}, expert[] = {0, 2, 2, 3, 0};
    static const float gate[] = {0.5f, 0.25f, 0.5f, 0.25f, 0.125f};
    static const uint8_t dropped[] = {0, 0, 0, 1, 0};
    static const float probability[] = {0.5f, 0, 0.5f, 0, 0, 0, 0, 1, 0.25f, 0.25f, 0.25f, 0.25f};
    const struct moescope_block block = {.layer = 1,
                                         .n_experts = 4,
                                         .offsets = offsets,
                                         .expert = expert,
                                         .gate = gate,
                                         .dropped = dropped,
                                         .probability = probability};
    moescope_batch_routing(b, sequence, &block);
}

/* No probabilities, and no gates. */
static void add_bare(struct moescope_batch *b, int sequence)
{
    static const int32_t expert[] = {1, 1, 0};
    const struct moescope_block block = {.layer = 3, .n_experts = 2, .k = 1, .expert = expert};
    moescope_batch_routing(b, sequence, &block);
}

static void finish(struct trial *s)
{
    trial_end(s, "finished");
    trial_stop(s);
}

static void test_counts(void **state)
{
    struct trial s;
    struct error err;
    (void)state;
    open_deriving(&s);
    struct moescope_batch *b = moescope_batch_new(s.writer, &err);
    int first = add_sequence(&s, b, 0, "train", 0);
    add_varied(b, first);
    add_bare(b, first);
    add_varied(b, add_sequence(&s, b, 0, "train", 1));
    for (int document = 0; document < 2; document++) {
        add_varied(b, add_sequence(&s, b, 0, "probe", document));
    }
    test_must(moescope_batch_commit(b, &err), &err);
    finish(&s);
    trial_expect(&s,
                 "SELECT split, layer, domain_id, experts FROM load_block ORDER BY split, layer, domain_id",
                 "probe|1|0|[[4,0,1.25,1.5],[0,0,0,0.5],[4,0,1.5,1.5],[0,2,0,2.5]]\n"
                 "probe|1|1|[[2,0,0.625,0.75],[0,0,0,0.25],[2,0,0.75,0.75],[0,1,0,1.25]]\n"
                 "probe|1|2|[[2,0,0.625,0.75],[0,0,0,0.25],[2,0,0.75,0.75],[0,1,0,1.25]]\n"
                 "train|1|0|[[4,0,1.25,1.5],[0,0,0,0.5],[4,0,1.5,1.5],[0,2,0,2.5]]\n"
                 "train|3|0|[[1,0,null,null],[2,0,null,null]]\n");
    trial_expect(&s, "SELECT layer, experts FROM load_window_block ORDER BY layer",
                 "1|[[4,0,1.25,1.5],[0,0,0.0,0.5],[4,0,1.5,1.5],[0,2,0.0,2.5]]\n"
                 "3|[[1,0,null,null],[2,0,null,null]]\n");
    trial_expect(&s, "SELECT count(*) FROM event WHERE kind = 'not_finite'", "0\n");
    trial_release(&s);
}

/* What the caller counted is what is kept; and a batch whose memory served before begins from nothing. */
static void test_callers_load_wins(void **state)
{
    static const int64_t assignments[] = {9, 9};
    static const double sums[] = {1, 2};
    const struct moescope_load load = {
        .layer = 3, .n_experts = 2, .assignments = assignments, .gate_sum = sums, .probability_sum = sums};
    struct trial s;
    struct error err;
    (void)state;
    open_deriving(&s);
    for (int64_t step = 0; step < 3; step++) {
        struct moescope_batch *b = moescope_batch_new(s.writer, &err);
        int sequence = add_sequence(&s, b, step, "train", 0);
        if (step != 1) {
            add_varied(b, sequence);
        }
        add_bare(b, sequence);
        if (step == 0) {
            moescope_batch_load(b, step, "train", &load);
        }
        test_must(moescope_batch_commit(b, &err), &err);
        test_must(moescope_writer_drain(s.writer, &err), &err);
    }
    finish(&s);
    trial_expect(&s, "SELECT step, layer, experts FROM load_block ORDER BY step, layer",
                 "0|1|[[2,0,0.625,0.75],[0,0,0,0.25],[2,0,0.75,0.75],[0,1,0,1.25]]\n"
                 "0|3|[[9,0,1,1],[9,0,2,2]]\n"
                 "1|3|[[1,0,null,null],[2,0,null,null]]\n"
                 "2|1|[[2,0,0.625,0.75],[0,0,0,0.25],[2,0,0.75,0.75],[0,1,0,1.25]]\n"
                 "2|3|[[1,0,null,null],[2,0,null,null]]\n");
    trial_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_callers_load_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
