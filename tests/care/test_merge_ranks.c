/* moescope merge: the logs that the ranks of one run wrote add up, each once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "sql/loads.h"
#include "tests/merging.h"
#include "tests/sound.h"
#include "tests/support.h"

/* Two ranks, each with 2 sequences of 4 tokens a step; the second has losses that are a nat higher. */
static void expect_sum(const char *path)
{
    test_answer(path, "SELECT experts FROM load_block WHERE step = 0 AND layer = 0 AND domain_id = 0",
                "[[4,4,2,5.5],[4,0,2,5.5],[4,0,3,5]]\n");
    test_answer(path,
                "SELECT n_tokens, n_bytes, loss_sum FROM document_loss WHERE step = 0 AND document_id = 1",
                "8|16|14.0\n");
    test_answer(path, "SELECT loss_sum IS NULL FROM document_loss WHERE step = 3", "1\n1\n");
    test_answer(path, "SELECT value, status FROM metric WHERE name = 'loss' AND step BETWEEN 2 AND 3",
                "1.75|ok\n|+inf\n");
    test_answer(path, "SELECT value FROM metric WHERE name = 'learning_rate' AND step = 2", "0.5\n");
    test_answer(path, "SELECT count(*), count(DISTINCT sample_id) FROM sequence", "24|24\n");
    test_answer(path, "SELECT count(*), sum(decisions) FROM (SELECT 1 AS decisions FROM routing)",
                "192|192\n");
    test_answer(path, "SELECT count(*), count(held), min(last_step), max(last_step) FROM run_part",
                "2|2|5|5\n");
    test_answer(path,
                "SELECT first_step, last_step, assignments, dropped, gate_sum FROM expert_load_window WHERE "
                "layer = 0 "
                "AND expert = 0",
                "0|5|24|24|12.0\n");
    test_answer(path, "SELECT name, status FROM run", "sound|finished\n");
    sound_expect(path, "", "ranks that were merged");
}

static void test_ranks_add(void **state)
{
    static const char differed[] = "metrics that differed: loss (5 by tokens), seconds (6 first)";
    struct trial a, b;
    struct place p;
    char *message = NULL;
    (void)state;
    sound_logbook(&a, "sound", "u1", 0, "finished");
    sound_logbook(&b, "sound", "u1", 1, "finished");
    place_open(&p);
    merges(&p, a.path, "sound,added", "");
    merges(&p, b.path, "sound,summed,finished,12", differed);
    expect_sum(p.out);
    test_answer(p.out, "SELECT value FROM metric WHERE name = 'seconds' AND step = 2", "2.0\n");
    message = test_ask(p.out, "SELECT step, message FROM event WHERE kind = 'merged'");
    assert_non_null(strstr(message, differed));
    assert_ptr_equal(strstr(message, "5|a log of the same run added from '"), message);
    merging_changes_nothing(&p, a.path, "sound,unchanged");
    merging_changes_nothing(&p, b.path, "sound,unchanged");
    free(message);
    place_release(&p);

    place_open(&p); /* the other way round: the figures that are no sums are those of the first */
    merges(&p, b.path, "sound,added", "");
    merges(&p, a.path, "sound,summed", differed);
    expect_sum(p.out);
    test_answer(p.out, "SELECT value FROM metric WHERE name = 'seconds' AND step = 2", "2.25\n");
    trial_release(&a);
    trial_release(&b);
    place_release(&p);
}

/* Each rank has settings of its own, perhaps; the run's are the first's, and it says which differ. */
static void test_settings_differ(void **state)
{
    struct trial a, b;
    struct place p;
    (void)state;
    sound_logbook(&a, "sound", "u1", 0, "finished");
    sound_logbook(&b, "sound", "u1", 1, "finished");
    test_sql(a.path, "UPDATE run SET config = json_set(config, '$.\"rank\"', 0)");
    test_sql(b.path, "UPDATE run SET config = json_set(config, '$.\"rank\"', 1, '$.\"host\"', 'b')");
    place_open(&p);
    merges(&p, a.path, "sound,added", "");
    merges(&p, b.path, "sound,summed", "settings that differ and are those of the first: host, rank");
    test_answer(p.out, "SELECT key, value FROM run_config WHERE key IN ('host', 'rank')", "rank|0\n");
    trial_release(&a);
    trial_release(&b);
    place_release(&p);
}

/* A sum is merged like any run: into an empty file, over one of its parts, and not over a part it lacks. */
static void test_sums_are_merged(void **state)
{
    struct trial a, b, c;
    struct place sum, p;
    (void)state;
    sound_logbook(&a, "sound", "u1", 0, "finished");
    sound_logbook(&b, "sound", "u1", 1, "finished");
    sound_logbook(&c, "sound", "u1", 2, "finished");
    place_open(&sum);
    merges(&sum, a.path, "added", "");
    merges(&sum, b.path, "summed", "differed");

    place_open(&p);
    merges(&p, sum.out, "sound,added", "");
    assert_same_contents(p.out, sum.out, NULL);
    merging_changes_nothing(&p, a.path, "sound,unchanged");
    merging_changes_nothing(&p, sum.out, "sound,unchanged");
    place_release(&p);

    place_open(&p);
    merges(&p, b.path, "sound,added", "");
    merges(&p, sum.out, "sound,renewed", "");
    assert_same_contents(p.out, sum.out, NULL);
    merges(&p, c.path, "sound,summed", "differed");
    test_answer(p.out, "SELECT value FROM metric WHERE name = 'loss' AND step = 2",
                "2.25\n"); /* of 1.25, 2.25, 3.25 */
    test_answer(p.out, "SELECT n_tokens, loss_sum FROM document_loss WHERE step = 2 AND document_id = 1",
                "12|27.0\n");
    sound_expect(p.out, "", "three ranks");
    merging_changes_nothing(&p, sum.out, "sound,unchanged");
    place_release(&p);

    place_open(&p);
    merges(&p, a.path, "sound,added", "");
    merges(&p, c.path, "sound,summed", "differed");
    char *quoted = NULL;
    assert_true(asprintf(&quoted, "'%s'", sum.out) > 0);
    refuses(&p, quoted,
            "the run 'sound' is a sum of 2 logs here, of which 1 have changed or come with others there");
    refuses(&p, quoted, "merge the original logbooks into a new file");
    free(quoted);
    place_release(&p);
    place_release(&sum);
    trial_release(&a);
    trial_release(&b);
    trial_release(&c);
}

static void test_grown_part_is_refused(void **state)
{
    struct trial a, b;
    struct place p;
    (void)state;
    sound_logbook(&a, "sound", "u1", 0, "interrupted");
    sound_logbook(&b, "sound", "u1", 1, "finished");
    place_open(&p);
    merges(&p, a.path, "sound,added,interrupted", "");
    merges(&p, b.path, "sound,summed", "differed");
    test_answer(p.out, "SELECT status FROM run", "interrupted\n"); /* as well as the worst of them */
    trial_resume(&a, "sound", 6, 8);
    sound_steps(&a, 6, 6, 0);
    trial_end(&a, "finished");
    trial_stop(&a);
    refuses(&p, a.path,
            "what is summed cannot be taken out again: merge the original logbooks into a new file");
    trial_release(&a);
    trial_release(&b);
    place_release(&p);
}

static void test_parts_must_agree(void **state)
{
    struct trial a, b;
    struct place p;
    (void)state;
    sound_logbook(&a, "sound", "u1", 0, "finished");
    sound_logbook(&b, "sound", "u1", 1, "finished");
    place_open(&p);
    merges(&p, a.path, "sound,added", "");
    test_sql(b.path, "UPDATE moe_layer SET k = 2 WHERE layer = 0;");
    refuses(&p, b.path, "as parts of one run: layer 0 is in one of them alone, or has another router");
    test_sql(b.path, "UPDATE moe_layer SET k = 1 WHERE layer = 0; UPDATE run SET task = 'other';");
    refuses(&p, b.path, "they are of different tasks");
    test_sql(
        b.path,
        "UPDATE run SET task = 'language_model'; UPDATE load_block SET experts = '[[1,0,1,1]]' WHERE step = "
        "2 AND layer = 0 AND domain_id = 0;");
    refuses(&p, b.path, "the loads of step 2, layer 0 are not of the same experts");
    trial_release(&a);
    trial_release(&b);
    place_release(&p);
}

/* 0.1 + 0.2 is 0.30000000000000004: no digit is lost; null is what is not finite, and stays so. */
static void test_loads_add_exactly(void **state)
{
    struct text sum;
    (void)state;
    text_init(&sum);
    assert_int_equal(loads_add(&sum, "[[1,0,0.1,5],[2,3,null,7e-9]]", "[[10,4,0.2,1.5],[20,0,1,-0]]"), 0);
    assert_string_equal(sum.data, "[[11,4,0.30000000000000004,6.5],[22,3,null,7e-09]]");
    text_clear(&sum);
    assert_int_equal(loads_add(&sum, "[]", " [ ] "), 0);
    assert_string_equal(sum.data, "[]");
    static const char *const wrong[] = {"[[1,0,1,1]",  "[[1,0,1]]", "[1,0,1,1]",
                                        "[[1,0,1,x]]", "",          "[[1,0,1e999,1]]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(loads_add(&sum, wrong[i], wrong[i]), -1);
    assert_int_equal(loads_add(&sum, "[[1,0,1,1]]", "[[1,0,1,1],[1,0,1,1]]"), -1);
    text_release(&sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_add),        cmocka_unit_test(test_settings_differ),
        cmocka_unit_test(test_sums_are_merged),  cmocka_unit_test(test_grown_part_is_refused),
        cmocka_unit_test(test_parts_must_agree), cmocka_unit_test(test_loads_add_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
