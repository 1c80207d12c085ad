#include "tests/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/text.h"
#include "tests/support.h"

enum { DOCUMENTS = 24, SENTENCES = 14 };

static const char *const words[2][12] = {
    {"river", "stone", "cold", "under", "the", "bridge", "runs", "slowly", "north", "a", "grey", "heron"},
    {"int", "return", "if", "(x", "==", "0)", "{", "}", "value", "+=", "size;", "while"},
};

static void write_document(const char *folder, int domain, int number)
{
    struct random r;
    struct text t;
    char name[64];

    random_seed(&r, (uint64_t)number, (uint64_t)domain);
    text_init(&t);
    for (int s = 0; s < SENTENCES; s++) {
        for (int w = 0; w < 8; w++)
            text_printf(&t, "%s ", words[domain][random_below(&r, 12)]);
        text_add(&t, "\n");
    }
    snprintf(name, sizeof name, "text/%s/%02d.txt", domain ? "code" : "prose", number);
    test_write(folder, name, t.data, t.length);
    text_release(&t);
}

void tiny_open(struct tiny *t)
{
    t->folder = test_folder();
    t->bin = test_bin();
    tiny_expect(test_run("mkdir -p %s/text/prose %s/text/code", t->folder, t->folder), 0, "");
    for (int i = 0; i < DOCUMENTS; i++) {
        write_document(t->folder, 0, i);
        write_document(t->folder, 1, i);
    }
    tiny_expect(test_run("cd %s && %s/moescope-corpus text -o corpus --vocabulary 320 --valid 4 --probe 4",
                         t->folder, t->bin),
                0, "");
}

void tiny_release(struct tiny *t)
{
    test_folder_remove(t->folder);
    free(t->bin);
}

/* ---- training ---- */

const char *const tiny_model =
    "--set data.corpus=corpus --set model.layers=2 --set model.width=16 --set model.heads=2 --set "
    "model.context=32 "
    "--set router.experts=4 --set router.hidden=8 --set train.tokens_per_step=64 --set train.warmup=5 "
    "--set train.checkpoint_every=100 --set valid.every=60 --set probe.every=60 --set log.domain_loads=all "
    "--set train.threads=1";

struct test_run tiny_train(const struct tiny *t, const char *db, const char *name, const char *more)
{
    return test_run("cd %s && %s/moescope-train --log %s --name %s %s %s", t->folder, t->bin, db, name,
                    tiny_model, more);
}

void tiny_expect(struct test_run r, int status, const char *said)
{
    if (r.status != status || !strstr(r.err, said))
        fail_msg("expected status %d and '%s', got %d and: %s", status, said, r.status, r.err);
    test_run_release(&r);
}

char *tiny_ask(const struct tiny *t, const char *db, const char *sql)
{
    struct test_run r = test_run("cd %s && sqlite3 -readonly %s \"%s\"", t->folder, db, sql);

    if (r.status != 0)
        fail_msg("%s: %s", sql, r.err);
    free(r.err);
    return r.out;
}

void tiny_expect_answer(const struct tiny *t, const char *db, const char *sql, const char *expected)
{
    char *answer = tiny_ask(t, db, sql);

    assert_string_equal(answer, expected);
    free(answer);
}

static const char *const contents[] = {
    "SELECT name, task, router, seed, status, vocabulary_id, corpus_id, config, program, machine FROM run",
    "SELECT * FROM corpus",
    "SELECT * FROM vocabulary",
    "SELECT * FROM moe_layer",
    "SELECT * FROM expert",
    "SELECT * FROM document",
    "SELECT * FROM document_label",
    "SELECT * FROM domain",
    "SELECT * FROM token",
    "SELECT * FROM token_count",
    "SELECT sample_id, document_id, offset, n_tokens, hex(sha256), hex(tokens) FROM sample",
    "SELECT sequence_id, run_id, step, split, sample_id, hex(losses), checksum FROM sequence",
    "SELECT block_id, codec, k, scale, hex(experts), hex(gates), hex(dropped), checksum FROM routing_block",
    "SELECT block_id, n_experts, hex(p), checksum FROM probability_block",
    "SELECT * FROM load_block",
    "SELECT * FROM load_window_block",
    "SELECT * FROM metric WHERE name NOT IN ('seconds', 'tokens_per_second', 'peak_memory')",
    "SELECT * FROM layer_metric",
    "SELECT * FROM document_loss",
    "SELECT * FROM outcome",
    "SELECT count(*) FROM _integer",
    "SELECT run_id, step, sha256 FROM checkpoint",
};

/* One query behind the other, each behind its own text. */
char *tiny_contents(const struct tiny *t, const char *db)
{
    struct text script;

    text_init(&script);
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++)
        text_printf(&script, ".print \"%s\"\n%s;\n", contents[i], contents[i]);
    test_write(t->folder, "contents.sql", script.data, script.length);
    text_release(&script);
    struct test_run r = test_run("cd %s && sqlite3 -batch -readonly %s < contents.sql", t->folder, db);
    if (r.status != 0 || *r.err)
        fail_msg("%s: %s", db, r.err);
    free(r.err);
    return r.out;
}

/* The query in whose answer the texts part. */
static void fail_different(const char *a, const char *b, const char *db)
{
    const char *section = a, *line = a;

    for (; *a && *a == *b; a++, b++) {
        if (*a == '\n')
            line = a + 1;
        if (a == line && strncmp(a, "SELECT ", 7) == 0)
            section = a;
    }
    fail_msg("'%s' differs in: %.*s\n- %.*s\n+ %.*s", db, (int)strcspn(section, "\n"), section,
             (int)strcspn(line, "\n"), line, (int)strcspn(b, "\n"), b);
}

void tiny_expect_contents(const struct tiny *t, const char *db, const char *expected)
{
    char *actual = tiny_contents(t, db);

    if (strcmp(actual, expected) != 0)
        fail_different(expected, actual, db);
    free(actual);
}

void tiny_expect_same(const struct tiny *t, const char *one, const char *other)
{
    char *expected = tiny_contents(t, one);

    tiny_expect_contents(t, other, expected);
    free(expected);
}
