/* The virtual tables against the views: rows are written into a valid logbook as far as its own rules let
 * them, and checksums mended, so that the blocks are sound and strange; then some queries are asked of both.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/hostile.h"

enum { CHANGES = 64 /* bytes of changes */, QUERIES = 10 };
static uint8_t *valid;
static size_t n_valid;

static void open_logbook(void)
{
    valid = hostile_logbook(&n_valid);
    hostile_limit();
}

static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    size_t length = fuzz_byte(&in) % CHANGES;
    length = length < in.n ? length : in.n;
    struct fuzz_input changes = {in.bytes, length};
    char *path = strdup(fuzz_file("differ.db"));
    in.bytes += length;
    in.n -= length;
    hostile_rest();
    fuzz_write("differ.db", valid, n_valid);
    if (length > 0) {
        hostile_write_soundly(path, &changes);
        hostile_mend(path);
    }
    hostile_differ(path, in, QUERIES, length == 0);
    unlink(path);
    free(path);
}

static void seed(struct fuzz_seeds *s)
{
    struct random r;
    for (uint64_t i = 0; i < 24; i++) {
        uint8_t bytes[96];
        random_seed(&r, i, 2);
        for (size_t j = 0; j < sizeof bytes; j++) {
            bytes[j] = (uint8_t)random_below(&r, 64);
        }
        bytes[0] = (uint8_t)(i % 2 ? 0 : bytes[0]);
        fuzz_seeds_add(s, bytes, sizeof bytes);
    }
}

const struct fuzz_target fuzz_differ = {
    .name = "differ", .most = 256, .open = open_logbook, .seed = seed, .run = run};
