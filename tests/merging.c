#include "tests/merging.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

void place_open(struct place *p)
{
    p->folder = test_folder();
    p->bin = test_bin();
    assert_true(asprintf(&p->out, "%s/out.db", p->folder) > 0);
}

void place_release(struct place *p)
{
    test_folder_remove(p->folder);
    free(p->out);
    free(p->bin);
}

/* Every relation of the contract with names and hashes in the place of ids; sequences are known by their
 * order within their run. Rows in an order that ids have no part in. */
static const char contents[] =
    "CREATE TEMP VIEW r AS SELECT run_id, uuid FROM run;"
    "CREATE TEMP VIEW d AS SELECT document_id, c.sha256 || ' ' || d.name AS document FROM document d JOIN "
    "corpus c "
    "USING (corpus_id);"
    "CREATE TEMP TABLE m AS SELECT sample_id, document || ' ' || \"offset\" || ' ' || n_tokens AS sample, "
    "sha256, tokens "
    "FROM sample JOIN d USING (document_id);"
    "CREATE TEMP TABLE q AS SELECT sequence_id, uuid || ' ' || row_number() OVER (PARTITION BY run_id ORDER "
    "BY "
    "sequence_id) AS pass FROM sequence JOIN r USING (run_id);"
    "CREATE INDEX temp.mi ON m (sample_id); CREATE INDEX temp.qi ON q (sequence_id);"
    "SELECT 'run', uuid, r.name, task, router, seed, status, started_at, heartbeat_at, finished_at, "
    "v.sha256, c.sha256, "
    "config, program, machine FROM run AS r LEFT JOIN vocabulary v USING (vocabulary_id) LEFT JOIN corpus c "
    "USING "
    "(corpus_id) ORDER BY uuid;"
    "SELECT 'config', uuid, key, value FROM run_config JOIN r USING (run_id) ORDER BY 2, 3;"
    "SELECT 'layer', uuid, layer, router, n_experts, k FROM moe_layer JOIN r USING (run_id) ORDER BY 2, 3;"
    "SELECT 'expert', uuid, layer, expert, kind, parameters FROM expert JOIN r USING (run_id) ORDER BY 2, 3, "
    "4;"
    "SELECT 'metric', uuid, step, split, name, quote(value), status FROM metric JOIN r USING (run_id) ORDER "
    "BY 2, 3, 4, "
    "5;"
    "SELECT 'layer_metric', uuid, step, split, layer, name, quote(value) FROM layer_metric JOIN r USING "
    "(run_id) ORDER "
    "BY 2, 3, 4, 5, 6;"
    "SELECT 'load', uuid, step, split, o.name, layer, expert, assignments, dropped, quote(gate_sum), "
    "quote(probability_sum) FROM expert_load JOIN r USING (run_id) LEFT JOIN domain o USING (domain_id) "
    "ORDER BY 2, 3, "
    "4, 5, 6, 7;"
    "SELECT 'window', uuid, first_step, last_step, layer, expert, assignments, dropped, quote(gate_sum), "
    "quote(probability_sum) FROM expert_load_window JOIN r USING (run_id) ORDER BY 2, 3, 5, 6;"
    "SELECT 'corpus', name, sha256 FROM corpus ORDER BY 3;"
    "SELECT 'vocabulary', name, sha256 FROM vocabulary ORDER BY 3;"
    "SELECT 'token', sha256, token_id, text, kind FROM token JOIN vocabulary USING (vocabulary_id) ORDER BY "
    "2, 3;"
    "SELECT 'token_count', c.sha256, v.sha256, token_id, train_count FROM token_count JOIN corpus c USING "
    "(corpus_id) "
    "JOIN vocabulary v USING (vocabulary_id) ORDER BY 2, 3, 4;"
    "SELECT 'domain', name FROM domain ORDER BY 2;"
    "SELECT 'document', document, o.name, sha256, split, n_bytes, n_tokens FROM document JOIN d USING "
    "(document_id) JOIN "
    "domain o USING (domain_id) ORDER BY 2;"
    "SELECT 'label', document, key, value FROM document_label JOIN d USING (document_id) ORDER BY 2, 3;"
    "SELECT 'sample', sample, hex(sha256), hex(tokens) FROM m ORDER BY 2;"
    "SELECT 'sequence', pass, step, split, sample, hex(losses), checksum FROM sequence JOIN q USING "
    "(sequence_id) JOIN m "
    "USING (sample_id) ORDER BY 2;"
    "SELECT 'document_loss', uuid, step, split, document, n_tokens, n_bytes, quote(loss_sum) FROM "
    "document_loss JOIN r "
    "USING (run_id) JOIN d USING (document_id) ORDER BY 2, 3, 4, 5;"
    "SELECT 'outcome', uuid, step, split, sample, target, prediction, exit, multiply_adds FROM outcome JOIN "
    "r USING "
    "(run_id) JOIN m USING (sample_id) ORDER BY 2, 3, 4, 5;"
    "SELECT 'routing', pass, step, split, sample, document, o.name, position, token_id, target_id, "
    "quote(loss), layer, "
    "slot, expert, quote(gate), dropped FROM routing JOIN q USING (sequence_id) JOIN m USING (sample_id) "
    "JOIN d USING "
    "(document_id) JOIN domain o USING (domain_id) ORDER BY 2, 8, 12, 13;"
    "SELECT 'routing_count', pass, layer, expert, sum(decisions), quote(sum(gate_sum)) FROM routing_count "
    "JOIN q USING "
    "(sequence_id) GROUP BY 2, 3, 4 ORDER BY 2, 3, 4;"
    "SELECT 'token_loss', pass, position, token_id, target_id, quote(loss) FROM token_loss JOIN q USING "
    "(sequence_id) "
    "ORDER BY 2, 3;"
    "SELECT 'probability', pass, position, layer, expert, quote(probability) FROM probability JOIN q USING "
    "(sequence_id) ORDER BY 2, 3, 4, 5;"
    "SELECT 'event', uuid, step, at, kind, layer, expert, value, message FROM event JOIN r USING (run_id) "
    "ORDER BY "
    "2, event_id;"
    "SELECT 'checkpoint', uuid, step, path, sha256 FROM checkpoint JOIN r USING (run_id) ORDER BY 2, 3;";

/* Of `run` alone, or of all when that is NULL: lines that name another run or none are left out. */
static char *contents_of(const char *path, const char *uuid)
{
    char *folder = test_folder(), *query = NULL;
    assert_true(asprintf(&query, "%s/contents.sql", folder) > 0);
    test_write_text(folder, "contents.sql", contents);
    struct test_run r = uuid != NULL
                            ? test_run("sqlite3 -batch -bail '%s' < '%s' | grep -F '|%s'", path, query, uuid)
                            : test_run("sqlite3 -batch -bail '%s' < '%s'", path, query);
    if (r.status != 0 || *r.err)
        fail_msg("%s", r.err);
    free(r.err);
    free(query);
    test_folder_remove(folder);
    return r.out;
}

void assert_same_contents(const char *a, const char *b, const char *uuid)
{
    char *in_a = contents_of(a, uuid), *in_b = contents_of(b, uuid);
    if (strcmp(in_a, in_b) != 0) {
        size_t n = 0;
        while (in_a[n] != '\0' && in_a[n] == in_b[n])
            n++;
        while (n > 0 && in_a[n - 1] != '\n')
            n--;
        fail_msg("%s\n%.300s\nis not as in %s\n%.300s", a, in_a + n, b, in_b + n);
    }
    free(in_a);
    free(in_b);
}

char *dump(const char *path)
{
    return test_ask(path, ".dump");
}

/* ---- merging ---- */

struct test_run merge(const struct place *p, const char *inputs)
{
    return test_run("%s/moescope-merge '%s' %s", p->bin, p->out, inputs);
}

void merges(const struct place *p, const char *input, const char *done, const char *said)
{
    struct test_run r = test_run("%s/moescope-merge '%s' '%s' --quiet --format csv", p->bin, p->out, input);
    if (r.status != 0 || strstr(r.out, done) == NULL || strstr(r.err, said) == NULL ||
        (*said == '\0' && *r.err))
        fail_msg("status %d, out: %s\nerr: %s", r.status, r.out, r.err);
    test_run_release(&r);
}

void refuses(const struct place *p, const char *input, const char *said)
{
    char *before = dump(p->out);
    struct test_run r = merge(p, input);
    char *after = dump(p->out);
    if (r.status != STATUS_INPUT || strstr(r.err, said) == NULL)
        fail_msg("status %d: %s", r.status, r.err);
    assert_string_equal(before, after);
    test_run_release(&r);
    free(before);
    free(after);
}

void merging_changes_nothing(const struct place *p, const char *input, const char *done)
{
    char *before = dump(p->out);
    merges(p, input, done, strstr(done, "kept") != NULL ? "stays" : "");
    char *after = dump(p->out);
    assert_string_equal(before, after);
    free(before);
    free(after);
}
