/* Reading with several threads: the same rows in the same order and the same sums to the last bit as with
 * one, in logbooks long enough that help is called for; none where connections could see different rows; and
 * writers wait no longer than the reading lasts. */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cores.h"
#include "base/text.h"
#include "sql/read.h"
#include "tests/support.h"
#include "tests/trial.h"

enum { STEPS = 1400 };

static struct trial trial;

static int open_logbook(void **state)
{
    (void)state;
    trial_open(&trial);
    trial_run(&trial, "long", trial_layers, TRIAL_LAYERS, 8);
    trial_log_steps(&trial, 0, STEPS - 1);
    trial_end(&trial, "finished");
    trial_stop(&trial);
    return 0;
}

static int close_logbook(void **state)
{
    (void)state;
    trial_release(&trial);
    return 0;
}

static int threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int n = 0;
    assert_non_null(tasks);
    for (struct dirent *d = readdir(tasks); d != NULL; d = readdir(tasks)) {
        n += d->d_name[0] != '.';
    }
    closedir(tasks);
    return n;
}

static void on_one_core(cpu_set_t *all)
{
    cpu_set_t one;
    int core = 0;
    assert_int_equal(sched_getaffinity(0, sizeof *all, all), 0);
    while (!CPU_ISSET(core, all)) {
        core++;
    }
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

/* Every decision as text, in the order read; *most: threads at any time. */
static char *read_all(const char *path, int *most)
{
    const struct block_filter filter = {trial.run_id, NULL, 0, INT64_MAX, -1};
    struct logbook *lb;
    struct blocks *bs;
    struct block b;
    struct error err;
    struct text said;
    int result;
    text_init(&said);
    test_must(logbook_open(&lb, path, &err), &err);
    test_must(blocks_open(&bs, lb, &filter, &err), &err);
    *most = 0;
    while ((result = blocks_next(bs, &b, &err)) == 1) {
        int n = *most > 1 ? 0 : threads();
        *most = n > *most ? n : *most;
        text_printf(&said, "%lld %lld %s %d %d:", (long long)b.sequence_id, (long long)b.step, b.split,
                    b.layer, b.ids[b.n_tokens]);
        for (int i = 0; i < b.n_decisions; i++) {
            text_printf(&said, " %d %.9g %.9g", b.expert[i], (double)b.gate[i], (double)b.loss[0]);
        }
        text_add(&said, "\n");
    }
    test_must(result, &err);
    assert_int_equal(blocks_next(bs, &b, &err), 0);                /* the end stays the end */
    test_sql(path, "UPDATE run SET program = 'somebody else''s'"); /* and lets writers in */
    blocks_close(bs);
    moescope_close(lb);
    return text_detach(&said);
}

/* What a query answers, in full precision. */
static char *answer(const char *path, const char *sql)
{
    struct logbook *lb;
    struct query *q;
    struct error err;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    test_must(logbook_open(&lb, path, &err), &err);
    test_must(query_open_text(&q, lb, sql, &err), &err);
    test_must(query_print(q, out, TABLE_CSV, "", &err), &err);
    query_close(q);
    moescope_close(lb);
    fclose(out);
    return text;
}

static void test_same_rows(void **state)
{
    cpu_set_t all;
    int alone, together;
    (void)state;
    if (process_cores() < 2) {
        skip();
    }
    char *many = read_all(trial.path, &together);
    on_one_core(&all);
    char *one = read_all(trial.path, &alone);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(alone, 1);
    assert_true(together > 1);
    assert_string_equal(many, one);
    free(many);
    free(one);
}

static void test_same_sums(void **state)
{
    static const char *const questions[] = {
        "SELECT layer, expert, sum(decisions), sum(gate_sum) FROM routing_count GROUP BY layer, expert",
        "SELECT split, domain_id, layer, sum(decisions), sum(gate_sum) FROM routing_count GROUP BY 1, 2, 3",
        "SELECT step, expert, decisions, gate_sum FROM routing_count WHERE layer = 1 ORDER BY 1 DESC, 2",
        "SELECT slot, dropped, sum(gate_sum) FROM routing_count WHERE step BETWEEN 3 AND 1390 GROUP BY 1, 2",
        "SELECT sequence_id, layer, expert, count(*) FROM routing GROUP BY 1, 2, 3",
    };
    (void)state;
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        cpu_set_t all;
        char *many = answer(trial.path, questions[i]);
        on_one_core(&all);
        char *one = answer(trial.path, questions[i]);
        assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
        assert_true(strlen(one) > 30);
        assert_string_equal(many, one);
        free(many);
        free(one);
    }
}

/* The sums are those of the rows one by one. */
static void test_sums_are_right(void **state)
{
    (void)state;
    char *counted =
        answer(trial.path, "SELECT layer, expert, sum(decisions) AS n, round(sum(gate_sum), 6) AS g "
                           "FROM routing_count GROUP BY layer, expert");
    char *singly = answer(trial.path, "SELECT layer, expert, count(*) AS n, round(sum(gate), 6) AS g "
                                      "FROM routing GROUP BY layer, expert");
    assert_string_equal(counted, singly);
    free(counted);
    free(singly);
}

/* While a run is writing, connections may see different steps: the caller reads alone. */
static void test_alone_beside_a_writer(void **state)
{
    struct trial writing;
    int together;
    (void)state;
    trial_open(&writing);
    trial_run(&writing, "writing", trial_layers, TRIAL_LAYERS, 8);
    trial_log_steps(&writing, 0, STEPS - 1);
    trial_end(&writing, NULL);
    char *said = read_all(writing.path, &together);
    assert_int_equal(together, 1);
    assert_true(strlen(said) > 1000);
    free(said);
    trial_release(&writing);
}

/* Damage far behind the beginning is met by a thread, and told after what stands before it. */
static void test_damage(void **state)
{
    const struct block_filter filter = {trial.run_id, NULL, 0, INT64_MAX, -1};
    struct logbook *lb;
    struct blocks *bs;
    struct block b;
    struct error err;
    int64_t last = 0;
    int result;
    (void)state;
    test_sql(trial.path, "UPDATE routing_block SET checksum = checksum + 1 WHERE block_id / 1024 = 1001");
    test_must(logbook_open(&lb, trial.path, &err), &err);
    test_must(blocks_open(&bs, lb, &filter, &err), &err);
    while ((result = blocks_next(bs, &b, &err)) == 1) {
        last = b.sequence_id;
    }
    assert_int_equal(result, -1);
    assert_int_equal(last, 1000);
    assert_non_null(strstr(err.text, "sequence 1001"));
    blocks_close(bs);
    moescope_close(lb);
    struct query *q;
    test_must(logbook_open(&lb, trial.path, &err), &err);
    test_must(query_open_text(&q, lb, "SELECT expert, sum(decisions) FROM routing_count GROUP BY 1", &err),
              &err);
    assert_int_equal(query_step(q, &err), -1);
    assert_non_null(strstr(err.text, "sequence 1001"));
    query_close(q);
    moescope_close(lb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_rows),      cmocka_unit_test(test_same_sums),
        cmocka_unit_test(test_sums_are_right), cmocka_unit_test(test_alone_beside_a_writer),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, open_logbook, close_logbook);
}
