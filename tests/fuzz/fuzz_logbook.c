/* Any bytes as a logbook's file, read in one of the ways there are. The input is the file behind two bytes
 * that choose the way; changes stay in place, since whatever moves a page is not worth reading on. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/hostile.h"

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
    uint8_t way = fuzz_byte(&in), which = fuzz_byte(&in);
    char *path = strdup(fuzz_file("bytes.db"));
    hostile_rest();
    fuzz_write("bytes.db", in.bytes, in.n);
    hostile_read(path, way, which);
    unlink(fuzz_file("bytes.db"));
    unlink(fuzz_file("bytes.db-wal"));
    unlink(fuzz_file("bytes.db-shm"));
    free(path);
}

static void seed(struct fuzz_seeds *s)
{
    uint8_t *input = malloc(n_valid + 2);
    fuzz_require(input != NULL, "there is memory");
    memcpy(input + 2, valid, n_valid);
    for (int way = 0; way < HOSTILE_WAYS; way++) {
        input[0] = (uint8_t)way;
        input[1] = (uint8_t)(7 * way);
        fuzz_seeds_add(s, input, n_valid + 2);
    }
    free(input);
}

/* Mostly within the page's header and the cells it points to, where a byte matters. */
static size_t mutate(uint8_t *bytes, size_t n, size_t most, struct random *r)
{
    enum { PAGE = 512 };
    (void)most;
    if (n < 2 + PAGE) {
        return fuzz_mutate(bytes, n, most, r);
    }
    uint64_t pages = (n - 2) / PAGE, kind = random_below(r, 16);
    uint8_t *page = bytes + 2 + PAGE * random_below(r, pages);
    if (kind == 0) {
        bytes[random_below(r, 2)] = (uint8_t)random_bits(r);
    } else if (kind == 1) {
        memmove(page, bytes + 2 + PAGE * random_below(r, pages), PAGE);
    } else if (kind == 2 && random_below(r, 4) == 0) {
        return 2 + random_below(r, n - 1);
    } else if (kind <= 6) {
        fuzz_overwrite(page, 40, r);
    } else {
        fuzz_overwrite(page, PAGE, r);
    }
    return n;
}

const struct fuzz_target fuzz_logbook = {
    .name = "logbook", .most = 1 << 18, .open = open_logbook, .seed = seed, .run = run, .mutate = mutate};
