#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/support.h"

const struct fuzz_target *const fuzz_targets[] = {
    &fuzz_codec, &fuzz_checkpoint, &fuzz_config,  &fuzz_corpus, &fuzz_source, &fuzz_table, &fuzz_query,
    &fuzz_rows,  &fuzz_differ,     &fuzz_logbook, &fuzz_arrays, &fuzz_logs,   &fuzz_dumps, NULL};

const struct fuzz_target *fuzz_find(const char *name)
{
    for (int i = 0; fuzz_targets[i] != NULL; i++) {
        if (strcmp(fuzz_targets[i]->name, name) == 0) {
            return fuzz_targets[i];
        }
    }
    return NULL;
}

void fuzz_require(bool truth, const char *what)
{
    if (!truth) {
        fuzz_loud();
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

static void *allocate(size_t n)
{
    void *p = malloc(n > 0 ? n : 1);
    fuzz_require(p != NULL, "there is memory");
    return p;
}

/* ---- seeds ---- */

void fuzz_seeds_add(struct fuzz_seeds *s, const void *bytes, size_t n)
{
    size_t count = (size_t)s->count + 1;
    s->bytes = realloc(s->bytes, count * sizeof *s->bytes);
    s->n = realloc(s->n, count * sizeof *s->n);
    fuzz_require(s->bytes != NULL && s->n != NULL, "there is memory");
    s->bytes[s->count] = allocate(n);
    memcpy(s->bytes[s->count], bytes, n);
    s->n[s->count++] = n;
}

void fuzz_seeds_release(struct fuzz_seeds *s)
{
    for (int i = 0; i < s->count; i++) {
        free(s->bytes[i]);
    }
    free(s->bytes);
    free(s->n);
    *s = (struct fuzz_seeds){0};
}

/* ---- mutations ---- */

static const int64_t extremes[] = {0,         1,         2,           -1,        127,        128,
                                   255,       256,       1023,        1024,      32767,      32768,
                                   65535,     65536,     1 << 20,     INT32_MAX, INT32_MIN,  UINT32_MAX,
                                   1LL << 32, 1LL << 52, 1LL << 54,   INT64_MAX, INT64_MIN,  1LL << 62,
                                   -2,        100000000, 10000000000, 16777216,  4294901760, 8};
enum { N_EXTREMES = sizeof extremes / sizeof extremes[0] };

static void write_number(uint8_t *at, size_t room, int64_t value, struct random *r)
{
    size_t width = (size_t)1 << random_below(r, 4);
    bool big = random_below(r, 2) != 0;
    width = width < room ? width : room;
    for (size_t i = 0; i < width; i++) {
        at[big ? width - 1 - i : i] = (uint8_t)((uint64_t)value >> (8 * i));
    }
}

void fuzz_overwrite(uint8_t *bytes, size_t n, struct random *r)
{
    if (n == 0) {
        return;
    }
    size_t at = random_below(r, n), from = random_below(r, n), length = 1 + random_below(r, 32);
    length = length < n - at ? length : n - at;
    length = length < n - from ? length : n - from;
    switch (random_below(r, 6)) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << random_below(r, 8));
        break;
    case 1:
        bytes[at] = (uint8_t)random_bits(r);
        break;
    case 2:
        write_number(bytes + at, n - at, extremes[random_below(r, N_EXTREMES)], r);
        break;
    case 3:
        bytes[at] = (uint8_t)(bytes[at] + 1 - 2 * (int)random_below(r, 2));
        break;
    case 4:
        memmove(bytes + at, bytes + from, length);
        break;
    default:
        memset(bytes + at, random_below(r, 2) ? 0xff : 0, length);
    }
}

/* A piece of it once more, at another place. */
static size_t repeat_piece(uint8_t *bytes, size_t n, size_t most, struct random *r)
{
    uint8_t piece[64];
    size_t from = random_below(r, n), at = random_below(r, n + 1), length = 1 + random_below(r, sizeof piece);
    length = length < n - from ? length : n - from;
    length = length < most - n ? length : most - n;
    memcpy(piece, bytes + from, length);
    memmove(bytes + at + length, bytes + at, n - at);
    memcpy(bytes + at, piece, length);
    return n + length;
}

size_t fuzz_mutate(uint8_t *bytes, size_t n, size_t most, struct random *r)
{
    uint64_t kind = random_below(r, 10);
    if (n == 0) {
        bytes[0] = (uint8_t)random_bits(r);
        return 1;
    }
    if (kind == 0) {
        return random_below(r, n + 1);
    }
    if (kind <= 2 && n < most) {
        return repeat_piece(bytes, n, most, r);
    }
    if (kind == 3) {
        size_t at = random_below(r, n), length = 1 + random_below(r, 16);
        length = length < n - at ? length : n - at;
        memmove(bytes + at, bytes + at + length, n - at - length);
        return n - length;
    }
    fuzz_overwrite(bytes, n, r);
    return n;
}

/* ---- inputs ---- */

uint8_t fuzz_byte(struct fuzz_input *in)
{
    return (uint8_t)fuzz_number(in, 1);
}

uint64_t fuzz_number(struct fuzz_input *in, int width)
{
    uint64_t value = 0;
    for (int i = 0; i < width && in->n > 0; i++, in->bytes++, in->n--) {
        value |= (uint64_t)in->bytes[0] << (8 * i);
    }
    return value;
}

int fuzz_below(struct fuzz_input *in, int n)
{
    return fuzz_byte(in) % n;
}

uint8_t *fuzz_piece(struct fuzz_input *in, size_t n, size_t *got)
{
    n = n < in->n ? n : in->n;
    uint8_t *piece = allocate(n);
    memcpy(piece, in->bytes, n);
    in->bytes += n;
    in->n -= n;
    *got = n;
    return piece;
}

char *fuzz_text(struct fuzz_input *in, size_t n)
{
    n = n < in->n ? n : in->n;
    size_t length = strnlen((const char *)in->bytes, n);
    char *text = allocate(length + 1);
    memcpy(text, in->bytes, length);
    text[length] = '\0';
    in->bytes += n;
    in->n -= n;
    return text;
}

int64_t fuzz_extreme(struct fuzz_input *in)
{
    uint8_t kind = fuzz_byte(in);
    return kind < 0x80 ? kind : extremes[(kind - 0x80) % N_EXTREMES];
}

/* ---- the scratch folder ---- */

static char *folder;

static void remove_folder(void)
{
    test_folder_remove(folder);
}

const char *fuzz_folder(void)
{
    if (folder == NULL) {
        if (access("/dev/shm", W_OK) == 0) {
            setenv("TMPDIR", "/dev/shm", 0);
        }
        folder = test_folder();
        atexit(remove_folder);
    }
    return folder;
}

const char *fuzz_file(const char *name)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", fuzz_folder(), name);
    return path;
}

void fuzz_write(const char *name, const void *bytes, size_t n)
{
    int file = open(fuzz_file(name), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    fuzz_require(file >= 0 && write(file, bytes, n) == (ssize_t)n && close(file) == 0, "a file is written");
}

uint8_t *fuzz_read(const char *path, size_t *n)
{
    char *bytes;
    fuzz_require(file_read(path, &bytes, n, NULL) == 0, "a file is read");
    return (uint8_t *)bytes;
}

/* ---- quiet ---- */

/* Of the sanitizers; there only where they are. */
void report_to(intptr_t descriptor) __asm__("__sanitizer_set_report_fd") __attribute__((weak));
static int kept[2] = {-1, -1};

void fuzz_quiet(void)
{
    int nothing = open("/dev/null", O_WRONLY);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        kept[i] = dup(1 + i);
        dup2(nothing, 1 + i);
    }
    close(nothing);
    if (report_to != NULL) {
        report_to(kept[1]);
    }
}

void fuzz_loud(void)
{
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        if (kept[i] >= 0) {
            dup2(kept[i], 1 + i);
            close(kept[i]);
            kept[i] = -1;
        }
    }
    if (report_to != NULL) {
        report_to(2);
    }
}
