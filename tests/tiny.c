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
