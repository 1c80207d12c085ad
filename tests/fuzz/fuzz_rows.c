/* A logbook made to attack its reader: a valid one whose tables take anything, into which the input writes
 * rows and pieces of schema; then one way of reading it, which the first two bytes choose. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/hostile.h"

static uint8_t *loose;
static size_t n_loose;

static void open_logbook(void)
{
    loose = hostile_loose_logbook(&n_loose);
    hostile_limit();
}

static void remove_files(void)
{
    unlink(fuzz_file("rows.db"));
    unlink(fuzz_file("rows.db-wal"));
    unlink(fuzz_file("rows.db-shm"));
    unlink(fuzz_file("rows.db-journal"));
}

static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    uint8_t way = fuzz_byte(&in), which = fuzz_byte(&in), mend = fuzz_byte(&in);
    char *path = strdup(fuzz_file("rows.db"));
    hostile_rest();
    fuzz_write("rows.db", loose, n_loose);
    hostile_write(path, &in);
    if (mend & 3) {
        hostile_mend(path);
    }
    hostile_rest();
    hostile_read(path, way, which);
    remove_files();
    free(path);
}

static void seed(struct fuzz_seeds *s)
{
    for (int way = 0; way < HOSTILE_WAYS; way++) {
        uint8_t bytes[40] = {(uint8_t)way, (uint8_t)(7 * way), 1};
        for (size_t i = 3; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)(way * 31 + (int)i * 17);
        }
        fuzz_seeds_add(s, bytes, 3);
        fuzz_seeds_add(s, bytes, sizeof bytes);
    }
    for (int schema = 0; schema < hostile_schemas; schema++) {
        static const uint8_t ways[] = {0, 3, 4, 6, 10}; /* one of each kind */
        for (size_t i = 0; i < sizeof ways; i++) {
            const uint8_t bytes[] = {ways[i], (uint8_t)(schema * 3), 1, 8, (uint8_t)schema};
            fuzz_seeds_add(s, bytes, sizeof bytes);
        }
    }
}

const struct fuzz_target fuzz_rows = {
    .name = "rows", .most = 512, .open = open_logbook, .seed = seed, .run = run};
