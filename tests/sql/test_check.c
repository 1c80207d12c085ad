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
#include "tests/sound.h"
#include "tests/support.h"

static void test_sound(void **state)
{
    struct trial t;
    (void)state;
    trial_open(&t);
    sound_run(&t, "sound", SOUND_STEPS, 0);
    sound_expect(t.path, "", "a run that is still running");
    trial_end(&t, "finished");
    trial_stop(&t);
    sound_expect(t.path, "", "a finished run");
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
    sound_run(&t, "sound", SOUND_STEPS, 0);
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
        sound_expect(copy.data, damages[i].expected, damages[i].sql);
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
    sound_run(&t, "sound", SOUND_STEPS, 0);
    trial_end(&t, "finished");
    trial_stop(&t);
    struct test_run r = test_run(
        "sqlite3 '%s' 'UPDATE document_loss SET loss_sum = 67 WHERE step = 3 AND document_id = 1'", t.path);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    sound_expect(t.path, "", "a loss of 64 nats");
    trial_release(&t);
}

/* Garbage over a page of a table: SQLite's own check sees it, and the others go on as far as they can. */
static void test_overwritten_page(void **state)
{
    struct trial t;
    char garbage[64], *names;
    (void)state;
    trial_open(&t);
    sound_run(&t, "sound", SOUND_STEPS, 0);
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
    names = sound_violations(t.path);
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
