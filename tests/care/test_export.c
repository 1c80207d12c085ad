/* Rows for other programs: each format against what the stock shell says of the same rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/fixture.h"
#include "tests/support.h"

static struct fixture fixture;
static char *bin;

static void route_by_id(const struct fixture_token *at, float *probability, int n_experts, void *context)
{
    (void)context;
    for (int e = 0; e < n_experts; e++) {
        probability[e] = e == (at->id + at->layer) % n_experts ? 0.625f : 0.125f;
    }
}

/* Loads of a run in steps 0 and 4, of the latter also by domain. */
static void add_loads(int64_t run_id)
{
    static const double sums[4] = {1, 1, 1, 1};
    struct error err;
    struct moescope_writer *w = fixture_writer(&fixture, run_id);
    struct moescope_batch *b = moescope_batch_new(w, &err);
    for (int i = 0; i < 8; i++) {
        int layer = i % 2, step = i / 2 % 2 * 4, by_domain = i / 4;
        const int64_t n = (layer + 1) * (step + 1), assignments[] = {n, 2 * n, 3 * n, 0};
        const struct moescope_load load = {.domain_id = by_domain ? fixture.domain_ids[0] : 0,
                                           .layer = layer,
                                           .n_experts = 4,
                                           .assignments = assignments,
                                           .gate_sum = sums,
                                           .probability_sum = sums};
        if (step == 4 || !by_domain) {
            moescope_batch_load(b, step, "probe", &load);
        }
    }
    test_must(moescope_batch_commit(b, &err), &err);
    test_must(moescope_writer_close(w, &err), &err);
}

static int open_all(void **state)
{
    static const int64_t steps[] = {0, 4};
    const struct fixture_run run = {.name = "a",
                                    .n_layers = 2,
                                    .n_experts = 4,
                                    .k = 2,
                                    .steps = steps,
                                    .n_steps = 2,
                                    .route = route_by_id};
    struct fixture_run other = run;
    (void)state;
    bin = test_bin();
    fixture_open(&fixture, 2, 3);
    add_loads(fixture_run(&fixture, &run));
    other.name = "it's b";
    fixture_run(&fixture, &other);
    fixture_finish(&fixture);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fixture_release(&fixture);
    free(bin);
    return 0;
}

/* moescope export DB ARGUMENTS */
static struct test_run export(const char *arguments)
{
    return test_run("cd '%s' && '%s/moescope-export' fixture.db %s", fixture.folder, bin, arguments);
}

static void expect_same(const char *arguments, const char *shell_options, const char *sql)
{
    struct test_run r = export(arguments);
    struct test_run s =
        test_run("cd '%s' && sqlite3 -readonly %s fixture.db \"%s\"", fixture.folder, shell_options, sql);
    if (r.status != 0 || s.status != 0 || strcmp(r.out, s.out) != 0) {
        fail_msg("export %s: status %d, %s\n%.400s\n-- not\n%.400s", arguments, r.status, r.err, r.out,
                 s.out);
    }
    assert_string_not_equal(r.out, "");
    test_run_release(&r);
    test_run_release(&s);
}

static void refused(const char *arguments, int status, const char *words)
{
    struct test_run r = export(arguments);
    if (r.status != status || strstr(r.err, words) == NULL || r.out[0] != '\0') {
        fail_msg("export %s: status %d, not %d; '%s', not '%s'", arguments, r.status, status, r.err, words);
    }
    test_run_release(&r);
}

/* ---- csv and jsonl ---- */

static void test_rows_of_the_shell(void **state)
{
    (void)state;
    /* Reals that need few digits are the same in both; gates are compared by their difference. */
    expect_same(
        "\"SELECT sequence_id, position, layer, slot, expert, round(gate, 6) AS gate FROM routing WHERE "
        "run_id = 1\"",
        "-header -csv",
        "SELECT sequence_id, position, layer, slot, expert, round(gate, 6) AS gate FROM routing WHERE "
        "run_id = 1");
    expect_same("expert --run a --layer 1", "-header -csv",
                "SELECT * FROM expert WHERE run_id = 1 AND layer = 1");
    expect_same("document_label", "-header -csv", "SELECT * FROM document_label");
    expect_same("token_loss --run \"it's b\" --split probe --first-step 1 --format jsonl", "",
                "SELECT json_object('run_id', run_id, 'step', step, 'split', split, 'sequence_id', "
                "sequence_id, 'sample_id', "
                "sample_id, 'document_id', document_id, 'domain_id', domain_id, 'position', position, "
                "'token_id', token_id, "
                "'target_id', target_id, 'loss', loss) FROM token_loss WHERE run_id = 2 AND step > 0 AND 0 "
                "UNION ALL SELECT "
                "printf('{\\\"run_id\\\": 2, \\\"step\\\": 4, \\\"split\\\": \\\"probe\\\", "
                "\\\"sequence_id\\\": %d, \\\"sample_id\\\": %d, "
                "\\\"document_id\\\": %d, \\\"domain_id\\\": %d, \\\"position\\\": %d, \\\"token_id\\\": %d, "
                "\\\"target_id\\\": %d, "
                "\\\"loss\\\": %s}', sequence_id, sample_id, document_id, domain_id, position, token_id, "
                "target_id, loss + 0 || '') "
                "FROM (SELECT sequence_id, sample_id, document_id, domain_id, position, token_id, target_id, "
                "CASE WHEN loss = "
                "CAST(loss AS INTEGER) THEN CAST(loss AS INTEGER) ELSE loss END AS loss FROM token_loss "
                "WHERE run_id = 2 AND "
                "step = 4)");
    expect_same("runs --format jsonl | wc -l", "", "SELECT count(*) FROM run");
}

static void test_kinds_of_cells(void **state)
{
    (void)state;
    struct test_run r = export("\"SELECT 1 AS i, 0.1 AS r, 'a' || char(34) || 'b' AS t, NULL AS n, x'00ff' "
                               "AS b, 9e999 AS inf\" -f jsonl");
    assert_string_equal(
        r.out, "{\"i\": 1, \"r\": 0.1, \"t\": \"a\\\"b\", \"n\": null, \"b\": \"00ff\", \"inf\": null}\n");
    assert_string_equal(r.err, "moescope export: 1 rows\n");
    test_run_release(&r);
}

/* ---- npy ---- */

/* The header's text and the rows behind it. */
static char *read_npy(const char *name, char **header, size_t *n_rows_bytes)
{
    char *path = NULL, *bytes;
    size_t n;
    struct error err;
    assert_true(asprintf(&path, "%s/%s", fixture.folder, name) > 0);
    test_must(file_read(path, &bytes, &n, &err), &err);
    free(path);
    assert_true(n > 10);
    assert_memory_equal(bytes, "\x93NUMPY\x01\x00", 8);
    size_t length = (size_t)(unsigned char)bytes[8] + 256 * (size_t)(unsigned char)bytes[9];
    assert_int_equal((10 + length) % 64, 0);
    assert_int_equal(bytes[10 + length - 1], '\n');
    *header = strndup(bytes + 10, length);
    *n_rows_bytes = n - 10 - length;
    return bytes;
}

static void test_npy_by_hand(void **state)
{
    char *header;
    size_t n;
    (void)state;
    struct test_run r = export(
        "\"WITH v(i, f, h, s, m) AS (VALUES (-2, 0.5, 1, 'ab', 'x'), (258, NULL, NULL, 'c', 7)) SELECT "
        "i, f, h, s, m FROM v\" -o rows.npy -q");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.err, "");
    test_run_release(&r);
    char *bytes = read_npy("rows.npy", &header, &n);
    assert_non_null(
        strstr(header, "{'descr': [('i', '<i8'), ('f', '<f8'), ('h', '<f8'), ('s', '|S2'), ('m', '|S24'), ], "
                       "'fortran_order': False, 'shape': (2,), }"));
    enum { ROW = 8 + 8 + 8 + 2 + 24 };
    assert_int_equal(n, 2 * ROW);
    const unsigned char *rows = (const unsigned char *)bytes + 10 + strlen(header);
    static const unsigned char first[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* -2 */
                                          0,    0,    0,    0,    0,    0,    0xe0, 0x3f, /* 0.5 */
                                          0,    0,    0,    0,    0,    0,    0xf0, 0x3f, /* 1.0 */
                                          'a',  'b',  'x',  0};
    static const unsigned char second[] = {2, 1, 0, 0, 0, 0, 0, 0}; /* 258 */
    assert_memory_equal(rows, first, sizeof first);
    assert_memory_equal(rows + ROW, second, sizeof second);
    double unknown;
    memcpy(&unknown, rows + ROW + 8, sizeof unknown); /* this machine is little-endian, too */
    assert_true(unknown != unknown);
    assert_memory_equal(rows + ROW + 24,
                        "c\0"
                        "7\0",
                        4);
    free(header);
    free(bytes);
}

static void test_numpy_reads_it(void **state)
{
    (void)state;
    struct test_run has = test_run("/usr/bin/python3 -c 'import numpy'");
    bool can = has.status == 0;
    test_run_release(&has);
    if (!can) {
        print_message("skipped: no numpy here\n");
        skip();
    }
    struct test_run r = test_run(
        "cd '%s' && '%s/moescope-export' -q fixture.db routing -o r.npy && /usr/bin/python3 -c \"import "
        "numpy as n, sqlite3 as s; a = n.load('r.npy'); q = s.connect('fixture.db').execute('SELECT * "
        "FROM routing ORDER BY sequence_id, layer, position, slot').fetchall(); print(len(a) == len(q) "
        "and all(tuple(x if not isinstance(x, bytes) else x.decode() for x in r.tolist()) == t for r, t "
        "in zip(a, q)))\"",
        fixture.folder, bin);
    assert_string_equal(r.err, "");
    assert_string_equal(r.out, "True\n");
    test_run_release(&r);
}

/* ---- matrices ---- */

static void test_matrix(void **state)
{
    char *header;
    size_t n;
    (void)state;
    struct test_run r = export("eplb --run a");
    assert_string_equal(r.out, "6,12,18,0\n12,24,36,0\n");
    assert_string_equal(r.err, "moescope export: 2 rows\n");
    test_run_release(&r);
    r = export("eplb --run a --step 4 --split probe -q -o m.npy");
    assert_int_equal(r.status, 0);
    test_run_release(&r);
    char *bytes = read_npy("m.npy", &header, &n);
    static const int64_t expected[] = {5, 10, 15, 0, 10, 20, 30, 0}; /* this machine is little-endian, too */
    assert_non_null(strstr(header, "{'descr': '<i8', 'fortran_order': False, 'shape': (2, 4), }"));
    assert_int_equal(n, sizeof expected);
    assert_memory_equal(bytes + 10 + strlen(header), expected, sizeof expected);
    free(header);
    free(bytes);
    refused("eplb", STATUS_USAGE, "it's b");
    refused("eplb --run a --split valid", STATUS_INPUT, "no load of any expert");
    refused("eplb --run a --layer 1", STATUS_USAGE, "--layer is not for 'eplb'");
}

/* Layers of 3, 4 and 3 experts, in either order. */
static void test_uneven_matrix(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct test_run r = test_run(
            "cd '%s' && cp fixture.db uneven.db && sqlite3 uneven.db \"UPDATE load_block SET experts = "
            "json_remove(experts, '$[3]') WHERE run_id = 1 AND layer = %d\" && '%s/moescope-export' "
            "uneven.db eplb --run a",
            fixture.folder, order, bin);
        assert_int_equal(r.status, STATUS_INPUT);
        assert_string_equal(r.out, "");
        assert_non_null(strstr(r.err, "layers 0 and 1 have different experts"));
        test_run_release(&r);
    }
}

/* ---- Datasette ---- */

/* Parameters come as Datasette binds them: text, "" where nothing was filled in. */
static const char ask_all[] =
    "import json, re, sqlite3\n"
    "q = json.load(open('metadata.json'))['databases']['fixture']['queries']\n"
    "db = sqlite3.connect('file:fixture.db?mode=ro', uri=True)\n"
    "ask = lambda n, **p: db.execute(q[n]['sql'], {**{k: '' for k in re.findall(r':(\\w+)', q[n]['sql'])}, "
    "**p}).fetchall()\n"
    "rows = {n: ask(n) for n in q}\n"
    "print(len(q) > 25, q['experts_by_domain']['title'], len(rows['experts_by_domain']))\n"
    "print(ask('experts_by_domain', run='1', split='probe') == rows['experts_by_domain'],"
    " len(ask('experts_by_domain', run='1')), len(ask('experts_by_domain', run='7')), ask('config_diff', "
    "first='a'))\n";

static void test_datasette(void **state)
{
    (void)state;
    struct test_run r = export("datasette -o metadata.json");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.err, "");
    test_run_release(&r);
    test_write_text(fixture.folder, "ask.py", ask_all);
    r = test_run("cd '%s' && if command -v /usr/bin/python3 >/dev/null; then /usr/bin/python3 ask.py; else "
                 "echo none; fi",
                 fixture.folder);
    if (strcmp(r.out, "none\n") == 0) {
        print_message("skipped: no python3 here\n");
    } else {
        assert_string_equal(r.err, "");
        assert_string_equal(r.out, "True What share of each domain's decisions goes to each expert? 0\n"
                                   "False 8 0 []\n");
    }
    test_run_release(&r);
}

/* ---- what is wrong ---- */

static void test_refused(void **state)
{
    (void)state;
    refused("", STATUS_USAGE, "what is to be exported");
    refused("rooting", STATUS_USAGE, "no relation or query is named 'rooting'");
    refused("document --layer 1", STATUS_USAGE, "--layer is not for 'document'");
    refused("run --step 1", STATUS_USAGE, "a range of steps is not for 'run'");
    refused("routing --run c", STATUS_INPUT, "has no run named 'c'");
    refused("routing --format parquet", STATUS_USAGE, "--format is csv, jsonl or npy, not 'parquet'");
    refused("routing --first-step 5 --last-step 4", STATUS_USAGE, "--first-step 5 is after --last-step 4");
    refused("routing --step 5 --last-step 6", STATUS_USAGE, "--step is one step");
    refused("'DELETE FROM run'", STATUS_USAGE, "only statements that read");
    refused("'SELECT 1 AS a, 2 AS a' --format npy", STATUS_USAGE, "two columns are called 'a'");
    refused("routing -o /no/such/folder/x.csv", STATUS_MACHINE, "/no/such/folder/x.csv");
    struct test_run r = test_run("'%s/moescope-export' '%s/none.db' run", bin, fixture.folder);
    assert_int_equal(r.status, STATUS_INPUT);
    assert_non_null(strstr(r.err, "no such file"));
    test_run_release(&r);
}

/* What fails half way leaves no file. */
static void test_whole_or_not_at_all(void **state)
{
    (void)state;
    struct test_run r = export(
        "\"SELECT abs(-9223372036854775807 - (position > 3)) FROM token_loss\" -o half.csv; ls half.csv*");
    assert_non_null(strstr(r.err, "integer overflow"));
    assert_string_equal(r.out, "");
    test_run_release(&r);
}

static void test_print_sql(void **state)
{
    (void)state;
    struct test_run r = export("routing --run a --layer 1 --print-sql");
    assert_string_equal(
        r.out, "-- one row per decision: which expert a token was sent to, with what gate\nSELECT *\nFROM "
               "routing\nWHERE 1\n  AND run_id = 1\n  AND layer = 1;\n");
    test_run_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_the_shell), cmocka_unit_test(test_kinds_of_cells),
        cmocka_unit_test(test_npy_by_hand),       cmocka_unit_test(test_numpy_reads_it),
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_whole_or_not_at_all),
        cmocka_unit_test(test_print_sql),         cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_uneven_matrix),     cmocka_unit_test(test_datasette),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
