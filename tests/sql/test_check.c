/* The check finds nothing in a sound logbook, also while it is being written, and finds each kind of planted
 * damage under the names expected, and under no other. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/support.h"
#include "tests/trial.h"

enum { STEPS = 6, EXPERTS = 3, TOKENS = 4 };

static const struct logbook_layer layers[] = {
    {.layer = 0, .router = "topk", .n_experts = EXPERTS, .k = 1},
    {.layer = 2, .router = "threshold", .n_experts = EXPERTS},
};

/* Two sequences a step, one of each document. Layer 0: tokens to experts 0, 1, 2, 0, the last one dropped;
 * layer 2: two, none, one and one expert. Losses 0.5, 1, 1.5 and, in step 3, infinity. */
static const int32_t first_expert[] = {0, 1, 2, 0}, second_expert[] = {2, 1, 0, 0},
                     second_offsets[] = {0, 2, 2, 3, 4};
static const uint8_t first_dropped[] = {0, 0, 0, 1};
static const float gates[] = {0.5f, 0.25f, 0.125f, 0.5f};

static void add_sequence(struct trial *t, struct logbook_batch *b, int64_t step, int document)
{
    static const float probability[TOKENS * EXPERTS] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0.5f, 0.25f, 0.25f};
    const int32_t ids[] = {1, 2, 3, 1, 2};
    const float loss[] = {0.5f, 1, 1.5f, step == 3 ? INFINITY : 2};
    const struct logbook_sequence q = {.document_id = t->document_ids[document],
                                       .offset = step,
                                       .n_tokens = TOKENS,
                                       .ids = ids,
                                       .loss = loss};
    const struct logbook_block first = {.layer = 0,
                                        .n_experts = EXPERTS,
                                        .k = 1,
                                        .expert = first_expert,
                                        .gate = gates,
                                        .dropped = first_dropped};
    const struct logbook_block second = {
        .layer = 2, .n_experts = EXPERTS, .offsets = second_offsets, .expert = second_expert, .gate = gates};
    int handle = logbook_batch_sequence(b, step, "train", &q);
    logbook_batch_routing(b, handle, &first);
    logbook_batch_routing(b, handle, &second);
    logbook_batch_probability(b, handle, 2, EXPERTS, probability);
    logbook_batch_document_loss(b, step, "train", t->document_ids[document], TOKENS, 2 * TOKENS,
                                step == 3 ? INFINITY : 5);
}

/* Loads of `sequences` sequences as above: layer 0 accepts 1, 1, 1 and drops one of expert 0; layer 2 accepts
 * 2, 1, 1. */
static void add_loads(struct logbook_batch *b, int64_t step, int64_t domain_id, int64_t sequences)
{
    const double sums[EXPERTS] = {0.5, 0.25, 0.125};
    const int64_t first[] = {sequences, sequences, sequences}, dropped[] = {sequences, 0, 0};
    const int64_t second[] = {2 * sequences, sequences, sequences};
    struct logbook_load load = {.domain_id = domain_id,
                                .n_experts = EXPERTS,
                                .assignments = first,
                                .dropped = dropped,
                                .gate_sum = sums,
                                .probability_sum = sums};
    logbook_batch_load(b, step, "train", &load);
    load.layer = 2;
    load.assignments = second;
    load.dropped = NULL;
    logbook_batch_load(b, step, "train", &load);
}

static void write_run(struct trial *t)
{
    struct error err;
    trial_run(t, "sound", layers, 2, 8);
    for (int64_t step = 0; step < STEPS; step++) {
        struct logbook_batch *b = logbook_batch_new(t->writer, &err);
        assert_non_null(b);
        logbook_batch_metric(b, step, "train", "loss", step == 3 ? INFINITY : 1.25);
        for (int d = 0; d < 2; d++) {
            add_sequence(t, b, step, d);
            add_loads(b, step, t->domain_ids[d], 1);
        }
        add_loads(b, step, 0, 2);
        assert_int_equal(logbook_batch_commit(b, &err), 0);
    }
    assert_int_equal(logbook_writer_drain(t->writer, &err), 0);
}

/* " loads loads_tokens": the names of what is violated, in order. */
static char *violated(const char *path)
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
    logbook_close(lb);
    return text_detach(&names);
}

static void assert_violated(const char *path, const char *expected, const char *damage)
{
    char *names = violated(path);
    if (strcmp(names, expected) != 0) {
        fail_msg("%s\nviolates%s, not%s", damage, names, expected);
    }
    free(names);
}

static void test_sound(void **state)
{
    struct trial t;
    (void)state;
    trial_open(&t);
    write_run(&t);
    assert_violated(t.path, "", "a run that is still running");
    trial_end(&t, "finished");
    trial_stop(&t);
    assert_violated(t.path, "", "a finished run");
    trial_release(&t);
}

static const struct {
    const char *sql, *expected;
} damages[] = {
    {"DELETE FROM document WHERE document_id = 2", " foreign_keys"},
    {"UPDATE sample SET tokens = x'01000200030001000300' WHERE sample_id = 1", " checksums"},
    {"UPDATE sample SET tokens = x'0100' WHERE sample_id = 1", " checksums"},
    {"UPDATE sequence SET losses = x'0002000400060007' WHERE sequence_id = 1", " checksums document_losses"},
    {"UPDATE sequence SET losses = x'00' WHERE sequence_id = 1", " checksums blocks document_losses"},
    {"UPDATE routing_block SET gates = x'ff008040' WHERE block_id = 1024", " checksums"},
    {"UPDATE routing_block SET gates = x'ff' WHERE block_id = 1024", " checksums blocks loads"},
    {"UPDATE routing_block SET experts = x'00010203' WHERE block_id = 1024", " checksums blocks loads"},
    {"UPDATE routing_block SET experts = x'00010202' WHERE block_id = 1024", " checksums loads"},
    {"UPDATE routing_block SET offsets = x'00000200010003000400' WHERE block_id = 1026",
     " checksums blocks loads"},
    {"UPDATE routing_block SET dropped = NULL WHERE block_id = 1024", " checksums loads"},
    {"UPDATE routing_block SET codec = 'e7g8' WHERE block_id = 1024", " blocks loads"},
    {"UPDATE probability_block SET p = zeroblob(length(p)) WHERE block_id = 1026", " checksums"},
    {"DELETE FROM routing_block WHERE block_id = 1024", " loads"},
    {"DELETE FROM sequence WHERE sequence_id = 1", " loads document_losses dangling"},
    {"UPDATE moe_layer SET k = 2 WHERE layer = 0", " decisions loads_tokens"},
    {"UPDATE load_block SET experts = json_replace(experts, '$[0][0]', 1, '$[1][0]', 3) WHERE step = 2 AND "
     "layer = 0 "
     "AND domain_id = 0",
     " loads load_windows"},
    {"UPDATE load_block SET experts = json_replace(experts, '$[0][1]', 9) WHERE step = 2 AND layer = 2 AND "
     "domain_id = 1",
     " loads_domains"},
    {"UPDATE load_block SET experts = json_replace(experts, '$[2][0]', 7) WHERE step = 2 AND layer = 0 AND "
     "domain_id = 0",
     " loads load_windows loads_domains loads_tokens"},
    {"DELETE FROM load_block WHERE step = 3 AND layer = 0 AND domain_id = 0",
     " load_windows loads_domains loads_present"},
    {"UPDATE load_block SET domain_id = 77 WHERE step = 3 AND layer = 0 AND domain_id = 1", " dangling"},
    {"UPDATE load_block SET experts = json_remove(experts, '$[2]') WHERE step = 1 AND layer = 2 AND "
     "domain_id = 2",
     " experts loads_domains"},
    {"DELETE FROM load_window_block WHERE layer = 2", " load_windows"},
    {"UPDATE load_window_block SET experts = json_replace(experts, '$[0][0]', 1) WHERE layer = 0",
     " load_windows"},
    {"UPDATE load_window_block SET last_step = 99 WHERE layer = 0", " load_windows"},
    {"INSERT INTO load_window_block SELECT run_id, 500, 599, layer, experts FROM load_window_block",
     " load_windows"},
    {"DELETE FROM expert WHERE layer = 2 AND expert = 1", " experts"},
    {"UPDATE document_loss SET loss_sum = loss_sum + 0.01 WHERE step = 1 AND document_id = 1",
     " document_losses"},
    {"UPDATE document_loss SET loss_sum = NULL WHERE step = 1 AND document_id = 1", " document_losses"},
    {"UPDATE document_loss SET loss_sum = 66 WHERE step = 3 AND document_id = 1", " document_losses"},
    {"UPDATE document_loss SET n_tokens = 5 WHERE step = 1 AND document_id = 1",
     " document_losses loads_tokens"},
    {"DELETE FROM document_loss WHERE step = 1 AND document_id = 1", " document_losses loads_tokens"},
    {"DELETE FROM metric WHERE step = 2", " contiguous_steps"},
    {"DELETE FROM metric WHERE step = 0", " contiguous_steps"},
    {"UPDATE metric SET value = NULL WHERE step = 1", " metric_status"},
    {"INSERT INTO routing_block SELECT 99 * 1024, codec, k, scale, experts, gates, offsets, dropped, "
     "checksum FROM "
     "routing_block WHERE block_id = 1024",
     " dangling"},
    {"INSERT INTO routing_block SELECT 1024 + 1, codec, k, scale, experts, gates, offsets, dropped, checksum "
     "FROM "
     "routing_block WHERE block_id = 1024",
     " blocks dangling"},
    {"DELETE FROM _integer WHERE i = 3", " decoding"},
    {"UPDATE _byte SET bytes = zeroblob(256)", " decoding"},
};

static void test_damages(void **state)
{
    struct trial t;
    struct text copy;
    (void)state;
    trial_open(&t);
    write_run(&t);
    trial_end(&t, "finished");
    trial_stop(&t);
    text_init(&copy);
    text_printf(&copy, "%s/damaged.db", t.folder);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        test_write(t.folder, "damage.sql", damages[i].sql, strlen(damages[i].sql));
        struct test_run r = test_run("cp '%s' '%s' && sqlite3 -bail '%s' < '%s/damage.sql'", t.path,
                                     copy.data, copy.data, t.folder);
        if (r.status != 0) {
            fail_msg("%s: %s", damages[i].sql, r.err);
        }
        test_run_release(&r);
        assert_violated(copy.data, damages[i].expected, damages[i].sql);
    }
    text_release(&copy);
    trial_release(&t);
}

/* 66 nats for three known losses that make 3 and one that is 64 or more is too little by a nat; 67 is
 * possible. */
static void test_saturated_loss(void **state)
{
    struct trial t;
    (void)state;
    trial_open(&t);
    write_run(&t);
    trial_end(&t, "finished");
    trial_stop(&t);
    struct test_run r = test_run(
        "sqlite3 '%s' 'UPDATE document_loss SET loss_sum = 67 WHERE step = 3 AND document_id = 1'", t.path);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    assert_violated(t.path, "", "a loss of 64 nats");
    trial_release(&t);
}

/* Garbage over a page of a table: SQLite's own check sees it, and the others go on as far as they can. */
static void test_overwritten_page(void **state)
{
    struct trial t;
    char garbage[64], *names;
    (void)state;
    trial_open(&t);
    write_run(&t);
    trial_end(&t, "finished");
    trial_stop(&t);
    char *page = trial_shell(&t, "SELECT rootpage FROM sqlite_schema WHERE name = 'routing_block';");
    int file = open(t.path, O_WRONLY);
    assert_true(file >= 0);
    memset(garbage, 0xA5, sizeof garbage);
    assert_int_equal(pwrite(file, garbage, sizeof garbage, (strtol(page, NULL, 10) - 1) * 32768),
                     sizeof garbage);
    close(file);
    free(page);
    names = violated(t.path);
    assert_memory_equal(names, " file", 5);
    assert_non_null(strstr(names, " blocks"));
    free(names);
    trial_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_damages),
        cmocka_unit_test(test_saturated_loss),
        cmocka_unit_test(test_overwritten_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
