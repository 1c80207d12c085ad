/* What a schema's version means: a logbook of version 1 is read by every verb as before, written by none; and
 * the logs that a run is made of, which version 2 knows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "sql/read.h"
#include "tests/fixture.h"
#include "tests/support.h"
#include "tests/trial.h"

static const struct moescope_layer layers[] = {{.layer = 0, .router = "topk", .n_experts = 2, .k = 1}};

/* ---- reading ---- */

static void route_by_parity(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    float sum = 0;
    (void)context;
    for (int e = 0; e < n_experts; e++) {
        probability[e] = e == (at->id + at->layer + at->domain) % n_experts ? 4.0f : 1.0f;
        sum += probability[e];
    }
    for (int e = 0; e < n_experts; e++)
        probability[e] /= sum;
}

static void write_runs(struct fixture *f)
{
    static const int64_t steps[] = {0, 8, 16};
    struct fixture_run run = {.name = "a",
                              .n_layers = 2,
                              .n_experts = 4,
                              .k = 2,
                              .steps = steps,
                              .n_steps = 3,
                              .route = route_by_parity};
    fixture_open(f, 3, 12);
    fixture_run(f, &run);
    run.name = "b";
    fixture_run(f, &run);
    fixture_finish(f);
}

/* Every verb that reads says the same of both versions: the same words, the same status. */
static void test_verbs_read_version_1(void **state)
{
    static const char *const asked[] = {
        "runs log.db --format csv",
        "check log.db",
        "sql log.db runs",
        "sql log.db 'SELECT count(*), sum(expert) FROM routing'",
        "sql log.db 'SELECT count(*) FROM run_part'",
        "specialization log.db --run a --format csv",
        "collapse log.db --run a",
        "demand log.db --run a --format csv",
        "compare log.db a b",
        "report log.db --run a --svg-only -o report.html",
        "export log.db probability --run a --step 8",
        "export log.db expert_load_window",
        "check log.db --quick",
        "snapshot log.db copy.db -q && sqlite3 copy.db 'SELECT count(*) FROM run'"};
    struct fixture f;
    char *bin = test_bin();
    (void)state;
    write_runs(&f);
    struct test_run r =
        test_run("cd '%s' && mkdir 1 2 && cp fixture.db 1/log.db && cp fixture.db 2/log.db", f.folder);
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    char *old = NULL;
    assert_true(asprintf(&old, "%s/1/log.db", f.folder) > 0);
    test_make_version_1(old);
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        struct test_run in_old = test_run("cd '%s/1' && %s/moescope %s", f.folder, bin, asked[i]);
        struct test_run in_new = test_run("cd '%s/2' && %s/moescope %s", f.folder, bin, asked[i]);
        if (in_old.status != in_new.status || (in_old.status != 0 && strcmp(in_old.err, in_new.err) != 0))
            fail_msg("%s: status %d of version 1, %d of version 2: %s", asked[i], in_old.status,
                     in_new.status, in_old.err);
        if (strncmp(asked[i], "check", 5) != 0) /* a relation less is a page less */
            assert_string_equal(in_old.out, in_new.out);
        test_run_release(&in_old);
        test_run_release(&in_new);
    }
    free(old);
    free(bin);
    fixture_release(&f);
}

/* The file stays as it is to the byte, whoever tries. */
static void test_writers_refuse_version_1(void **state)
{
    struct trial t;
    struct logbook *lb;
    struct error err = {0};
    char before[SHA256_HEX], after[SHA256_HEX];
    (void)state;
    trial_open(&t);
    trial_stop(&t);
    test_make_version_1(t.path);
    test_must(sha256_file(t.path, before, &err), &err);
    assert_int_equal(moescope_open(&lb, t.path, &err), -1);
    assert_null(lb);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, t.path));
    assert_non_null(strstr(
        err.text, "its schema is version 1 and this program writes version 2; run `moescope migrate`"));
    test_must(sha256_file(t.path, after, &err), &err);
    assert_string_equal(before, after);
    trial_release(&t);
}

/* The programs that write say what to do, and leave nothing beside it. */
static void test_writing_verbs_refuse_version_1(void **state)
{
    static const char *const asked[] = {"runs log.db --delete a", "runs log.db --rename a=b",
                                        "prune log.db --run a", "merge log.db other.db"};
    struct fixture f;
    char *bin = test_bin(), *old = NULL;
    (void)state;
    write_runs(&f);
    assert_true(asprintf(&old, "%s/log.db", f.folder) > 0);
    struct test_run r = test_run("cd '%s' && cp fixture.db log.db && mv fixture.db other.db", f.folder);
    test_run_release(&r);
    test_make_version_1(old);
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        r = test_run("cd '%s' && sha256sum log.db >before; %s/moescope %s; s=$?; sha256sum --quiet -c before "
                     "&& ls log.db*; "
                     "exit $s",
                     f.folder, bin, asked[i]);
        if (r.status != STATUS_INPUT || strstr(r.err, "run `moescope migrate`") == NULL)
            fail_msg("%s: status %d: %s", asked[i], r.status, r.err);
        assert_string_equal(r.out, "log.db\n");
        test_run_release(&r);
    }
    free(old);
    free(bin);
    fixture_release(&f);
}

/* ---- the parts of a run ---- */

static void begin(struct trial *t, const char *name, const char *uuid)
{
    const struct moescope_run run = {.uuid = uuid,
                                     .name = name,
                                     .task = "language_model",
                                     .router = "topk",
                                     .layers = layers,
                                     .n_layers = 1};
    struct error err = {0};
    test_must(moescope_begin_run(t->lb, &run, &t->run_id, &err), &err);
}

static void test_run_begins_with_one_part(void **state)
{
    struct trial t;
    (void)state;
    trial_open(&t);
    begin(&t, "random", NULL);
    begin(&t, "given", "00112233445566778899aabbccddeeff");
    trial_stop(&t);
    trial_expect(&t, "SELECT uuid FROM run WHERE name = 'given';", "00112233445566778899aabbccddeeff\n");
    trial_expect(
        &t,
        "SELECT name, count(*), length(part), length(uuid), part <> uuid, origin IS NULL, last_step IS NULL, "
        "held IS NULL, added_at = started_at FROM run JOIN run_part USING (run_id) GROUP BY name;",
        "given|1|32|32|1|1|1|1|1\nrandom|1|32|32|1|1|1|1|1\n");
    trial_expect(&t, "SELECT count(DISTINCT part) FROM run_part;", "2\n");
    trial_release(&t);
}

/* Ranks have the same run's uuid, each with a part of its own; within one logbook a uuid is one run. */
static void test_uuid_is_unique(void **state)
{
    struct trial t;
    int64_t id;
    struct error err = {0};
    (void)state;
    trial_open(&t);
    begin(&t, "first", "u");
    const struct moescope_run run = {.uuid = "u", .name = "second", .task = "t", .router = "topk"};
    assert_int_equal(moescope_begin_run(t.lb, &run, &id, &err), -1);
    assert_int_equal(err.status, STATUS_USAGE);
    assert_non_null(strstr(err.text, "has a run of uuid 'u' already"));
    trial_stop(&t);
    trial_expect(&t, "SELECT count(*) FROM run; SELECT count(*) FROM run_part;", "1\n1\n");
    trial_release(&t);
}

static void test_sum_of_parts_is_not_resumed(void **state)
{
    struct trial t;
    int64_t id;
    struct error err = {0};
    (void)state;
    trial_open(&t);
    begin(&t, "sum", NULL);
    trial_stop(&t);
    test_sql(t.path,
             "INSERT INTO run_part (run_id, part, added_at) SELECT run_id, 'other', added_at FROM run_part;");
    test_must(moescope_open(&t.lb, t.path, &err), &err);
    assert_int_equal(moescope_resume_run(t.lb, "sum", 0, &id, &err), -1);
    assert_int_equal(err.status, STATUS_INPUT);
    assert_non_null(strstr(err.text, "merged from 2 logs and cannot be resumed"));
    trial_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs_read_version_1),
        cmocka_unit_test(test_writers_refuse_version_1),
        cmocka_unit_test(test_writing_verbs_refuse_version_1),
        cmocka_unit_test(test_run_begins_with_one_part),
        cmocka_unit_test(test_uuid_is_unique),
        cmocka_unit_test(test_sum_of_parts_is_not_resumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
