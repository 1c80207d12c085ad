#include "tests/sound.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/support.h"

enum { EXPERTS = SOUND_EXPERTS, TOKENS = SOUND_TOKENS };

static const struct moescope_layer layers[] = {
    {.layer = 0, .router = "topk", .n_experts = EXPERTS, .k = 1},
    {.layer = 2, .router = "threshold", .n_experts = EXPERTS},
};

/* Layer 0: tokens to experts 0, 1, 2, 0, the last one dropped; layer 2: two, none, one and one expert. */
static const int32_t first_expert[] = {0, 1, 2, 0}, second_expert[] = {2, 1, 0, 0},
                     second_offsets[] = {0, 2, 2, 3, 4};
static const uint8_t first_dropped[] = {0, 0, 0, 1};
static const float first_gates[] = {0.5f, 0.5f, 0.75f, 0.5f}, second_gates[] = {0.5f, 0.25f, 0.125f, 0.5f};
static const float first_probability[TOKENS * EXPERTS] = {0.5f,   0.25f,  0.25f, 0.25f, 0.5f, 0.25f,
                                                          0.125f, 0.125f, 0.75f, 0.5f,  0.5f, 0};
static const float second_probability[TOKENS * EXPERTS] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0.5f, 0.25f, 0.25f};

/* Losses 0.5, 1, 1.5, 2 and, in one step, infinity, each and a rank's number. */
static void add_sequence(struct trial *t, struct moescope_batch *b, int64_t step, int document, int rank)
{
    const int32_t ids[] = {1, 2, 3, 1, 2};
    const float extra = (float)rank;
    const float loss[] = {0.5f + extra, 1 + extra, 1.5f + extra,
                          step == SOUND_INFINITE ? INFINITY : 2 + extra};
    const struct moescope_sequence q = {.document_id = t->document_ids[document],
                                        .offset = step + 100 * rank,
                                        .n_tokens = TOKENS,
                                        .ids = ids,
                                        .loss = loss};
    const struct moescope_block first = {.layer = 0,
                                         .n_experts = EXPERTS,
                                         .k = 1,
                                         .expert = first_expert,
                                         .gate = first_gates,
                                         .dropped = first_dropped};
    const struct moescope_block second = {.layer = 2,
                                          .n_experts = EXPERTS,
                                          .offsets = second_offsets,
                                          .expert = second_expert,
                                          .gate = second_gates};
    int handle = moescope_batch_sequence(b, step, "train", &q);
    moescope_batch_routing(b, handle, &first);
    moescope_batch_routing(b, handle, &second);
    moescope_batch_probability(b, handle, 0, EXPERTS, first_probability);
    moescope_batch_probability(b, handle, 2, EXPERTS, second_probability);
    moescope_batch_document_loss(b, step, "train", t->document_ids[document], TOKENS, 2 * TOKENS,
                                 step == SOUND_INFINITE ? INFINITY : 5 + 4 * rank);
}

/* Loads of n sequences as above: layer 0 accepts 1, 1, 1 and drops one of expert 0; layer 2 accepts 2, 1, 1.
 * Gates are of what is accepted, probabilities of every token. */
static void add_loads(struct moescope_batch *b, int64_t step, int64_t domain_id, int n)
{
    const int64_t first[] = {n, n, n}, dropped[] = {n, 0, 0}, second[] = {2 * n, n, n};
    const double first_gate[] = {0.5 * n, 0.5 * n, 0.75 * n}, second_gate[] = {0.625 * n, 0.25 * n, 0.5 * n};
    const double first_sum[] = {1.375 * n, 1.375 * n, 1.25 * n}, second_sum[] = {1.5 * n, 1.25 * n, 1.25 * n};
    const struct moescope_load loads[] = {{.domain_id = domain_id,
                                           .layer = 0,
                                           .n_experts = EXPERTS,
                                           .assignments = first,
                                           .dropped = dropped,
                                           .gate_sum = first_gate,
                                           .probability_sum = first_sum},
                                          {.domain_id = domain_id,
                                           .layer = 2,
                                           .n_experts = EXPERTS,
                                           .assignments = second,
                                           .gate_sum = second_gate,
                                           .probability_sum = second_sum}};
    moescope_batch_load(b, step, "train", &loads[0]);
    moescope_batch_load(b, step, "train", &loads[1]);
}

/* Entropies of layer 0's tokens: twice 1.5 ln 2; 0.75 ln 2 + 0.75 ln(4/3), the former from 0.25 ln 8; ln 2.
 */
static void add_metrics(struct moescope_batch *b, int64_t step, int rank)
{
    double entropy = (2 * 1.5 * log(2) + 0.75 * log(2) + 0.75 * log(4.0 / 3) + log(2)) / TOKENS;
    double loss = step == SOUND_INFINITE ? INFINITY : 1.25 + rank;
    moescope_batch_metric(b, step, "train", "loss", loss);
    moescope_batch_metric(b, step, "train", "learning_rate", 0.5);
    moescope_batch_metric(b, step, "train", "seconds", (double)step + 0.25 * rank);
    moescope_batch_layer_metric(b, step, "train", 0, "router_entropy", entropy);
    moescope_batch_layer_metric(b, step, "train", 0, "rank_mass_1", 2.25 / TOKENS);
    moescope_batch_layer_metric(b, step, "train", 0, "rank_mass_2", 3.375 / TOKENS);
}

void sound_steps(struct trial *t, int first, int last, int rank)
{
    struct error err;
    for (int64_t step = first; step <= last; step++) {
        struct moescope_batch *b = moescope_batch_new(t->writer, &err);
        assert_non_null(b);
        add_metrics(b, step, rank);
        for (int d = 0; d < 2; d++) {
            add_sequence(t, b, step, d, rank);
            add_loads(b, step, t->domain_ids[d], 1);
        }
        add_loads(b, step, 0, 2);
        test_must(moescope_batch_commit(b, &err), &err);
    }
    test_must(moescope_writer_drain(t->writer, &err), &err);
}

void sound_run(struct trial *t, const char *name, int steps, int rank)
{
    trial_run(t, name, layers, 2, 8);
    sound_steps(t, 0, steps - 1, rank);
}

void sound_logbook(struct trial *t, const char *name, const char *uuid, int rank, const char *status)
{
    trial_open(t);
    t->uuid = uuid;
    sound_run(t, name, SOUND_STEPS, rank);
    trial_end(t, status);
    trial_stop(t);
}

char *sound_violations(const char *path)
{
    struct check_finding findings[CHECK_MAX_FINDINGS];
    struct logbook *lb;
    struct error err;
    struct text names;
    int n = CHECK_MAX_FINDINGS;
    text_init(&names);
    if (logbook_open(&lb, path, &err) != 0 || logbook_check(lb, findings, &n, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_true(n >= 15 && n < CHECK_MAX_FINDINGS);
    for (int i = 0; i < n; i++) {
        assert_int_equal(findings[i].detail[0] != '\0', findings[i].violations > 0);
        if (findings[i].violations > 0) {
            text_printf(&names, " %s", findings[i].what);
        }
    }
    moescope_close(lb);
    return text_detach(&names);
}

void sound_expect(const char *path, const char *expected, const char *what)
{
    char *names = sound_violations(path);
    if (strcmp(names, expected) != 0) {
        fail_msg("%s\nviolates%s, not%s", what, names, expected);
    }
    free(names);
}
