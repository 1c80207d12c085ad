/* libFuzzer's side: one program for all targets, FUZZ_TARGET names the one; without it they are listed. With
 * FUZZ_SEEDS it only writes the target's seeds into that folder, and its words beside it as FOLDER.words.
 * scripts/fuzz.sh runs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support.h"

int begin(int *argc, char ***argv) __asm__("LLVMFuzzerInitialize");
int run_one(const uint8_t *bytes, size_t n) __asm__("LLVMFuzzerTestOneInput");
size_t mutate(uint8_t *bytes, size_t n, size_t most, unsigned seed) __asm__("LLVMFuzzerCustomMutator");
size_t mutate_blindly(uint8_t *bytes, size_t n,
                      size_t most) __asm__("LLVMFuzzerMutate"); /* libFuzzer's own */

static const struct fuzz_target *target;

static void write_words(const char *folder)
{
    struct text t, name;
    text_init(&t);
    text_init(&name);
    text_add(&t, "# words\n");
    for (const char *const *w = target->words; w != NULL && *w != NULL; w++) {
        text_add(&t, "\"");
        for (const char *c = *w; *c != '\0'; c++) {
            text_printf(&t, "\\x%02x", (unsigned char)*c);
        }
        text_add(&t, "\"\n");
    }
    text_printf(&name, "%s.words", folder);
    test_write(".", name.data, t.data, t.length);
    text_release(&name);
    text_release(&t);
}

static void write_seeds(const char *folder)
{
    struct fuzz_seeds seeds = {0};
    target->seed(&seeds);
    for (int i = 0; i < seeds.count; i++) {
        char name[32];
        snprintf(name, sizeof name, "seed-%02d", i);
        test_write(folder, name, seeds.bytes[i], seeds.n[i]);
    }
    fuzz_seeds_release(&seeds);
    write_words(folder);
}

static void list_targets(FILE *to)
{
    for (int i = 0; fuzz_targets[i] != NULL; i++) {
        fprintf(to, "%s%s", i > 0 ? " " : "", fuzz_targets[i]->name);
    }
    fprintf(to, "\n");
}

int begin(int *argc, char ***argv)
{
    const char *name = getenv("FUZZ_TARGET"), *seeds = getenv("FUZZ_SEEDS");
    (void)argc, (void)argv;
    if (name == NULL) {
        list_targets(stdout);
        exit(0);
    }
    target = fuzz_find(name);
    if (target == NULL) {
        fprintf(stderr, "FUZZ_TARGET '%s' is none of ", name);
        list_targets(stderr);
        exit(2);
    }
    if (target->open != NULL) {
        target->open();
    }
    if (seeds != NULL) {
        write_seeds(seeds);
        exit(0);
    }
    return 0;
}

int run_one(const uint8_t *bytes, size_t n)
{
    if (n <= target->most) {
        target->run(bytes, n);
    }
    return 0;
}

size_t mutate(uint8_t *bytes, size_t n, size_t most, unsigned seed)
{
    struct random r;
    random_seed(&r, seed, 0);
    most = most < target->most ? most : target->most;
    n = n < most ? n : most;
    if (target->mutate == NULL || random_below(&r, 8) == 0) {
        return mutate_blindly(bytes, n, most);
    }
    for (uint64_t i = random_below(&r, 6) + 1; i > 0; i--) {
        n = target->mutate(bytes, n, most, &r);
    }
    return n;
}
