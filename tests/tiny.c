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

void tiny_corpus(const char *folder)
{
    char *bin = test_bin();
    struct test_run r = test_run("mkdir -p %s/text/prose %s/text/code", folder, folder);

    test_run_release(&r);
    for (int i = 0; i < DOCUMENTS; i++) {
        write_document(folder, 0, i);
        write_document(folder, 1, i);
    }
    r = test_run("%s/moescope-corpus %s/text -o %s/corpus --vocabulary 320 --valid 4 --probe 4", bin, folder,
                 folder);
    if (r.status != 0)
        fail_msg("corpus: %s", r.err);
    test_run_release(&r);
    free(bin);
}
