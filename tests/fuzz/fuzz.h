/* Readers of foreign bytes, each as a target: a function of some bytes that must neither crash, nor leak, nor
 * go on for ever, whatever the bytes are. libFuzzer drives them through drive.c (`make fuzz`); test_replay.c
 * drives them through a few thousand mutations that are the same every time. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"

struct fuzz_seeds { /* inputs to begin with, and words worth knowing */
    uint8_t **bytes;
    size_t *n;
    int count;
};
void fuzz_seeds_add(struct fuzz_seeds *s, const void *bytes, size_t n);
void fuzz_seeds_release(struct fuzz_seeds *s);

struct fuzz_target {
    const char *name;
    size_t most;                       /* bytes of an input */
    void (*open)(void);                /* once, before anything else; may be NULL */
    void (*seed)(struct fuzz_seeds *); /* at least one */
    void (*run)(const uint8_t *bytes, size_t n);
    /* Changes an input of its own language in place and returns its new length; NULL: any change will do. */
    size_t (*mutate)(uint8_t *bytes, size_t n, size_t most, struct random *r);
    const char *const *words; /* ended by NULL; may be NULL */
};
extern const struct fuzz_target fuzz_codec, fuzz_logbook, fuzz_rows, fuzz_checkpoint, fuzz_corpus,
    fuzz_source, fuzz_config, fuzz_table, fuzz_query, fuzz_differ, fuzz_arrays, fuzz_logs, fuzz_dumps;
extern const struct fuzz_target *const fuzz_targets[]; /* all of them, ended by NULL */
const struct fuzz_target *fuzz_find(const char *name);

/* One change of the kinds that files suffer and attackers try: bits, extreme numbers of either byte order,
 * pieces cut out, doubled or moved, the end cut off. */
size_t fuzz_mutate(uint8_t *bytes, size_t n, size_t most, struct random *r);
/* The same, but nothing moves. */
void fuzz_overwrite(uint8_t *bytes, size_t n, struct random *r);

/* ---- an input, taken from its front; beyond its end there are zeros ---- */

struct fuzz_input {
    const uint8_t *bytes;
    size_t n;
};
uint8_t fuzz_byte(struct fuzz_input *in);
uint64_t fuzz_number(struct fuzz_input *in, int width); /* little-endian */
int fuzz_below(struct fuzz_input *in, int n);           /* 0 .. n-1 by one byte */
/* Up to n bytes, as a copy of exactly their length, so that a sanitizer sees every step beyond it. */
uint8_t *fuzz_piece(struct fuzz_input *in, size_t n, size_t *got);
char *fuzz_text(struct fuzz_input *in, size_t n); /* the same up to a NUL byte, with one behind */
int64_t fuzz_extreme(struct fuzz_input *in);      /* a number that readers stumble over */

/* ---- a scratch folder in memory, gone at exit ---- */

const char *fuzz_folder(void);
/* Its path within the folder, in a buffer of its own for each name of at most four. */
const char *fuzz_file(const char *name);
void fuzz_write(const char *name, const void *bytes, size_t n);
uint8_t *fuzz_read(const char *path, size_t *n); /* caller frees */

/* What a program prints is not wanted; complaints of sanitizers are. */
void fuzz_quiet(void);
void fuzz_loud(void);

/* Aborts, as a sanitizer would, and says why. */
void fuzz_require(bool truth, const char *what);

#endif
