/* Whole files in, whole files out, hashes of both. */
#ifndef BASE_FILE_H
#define BASE_FILE_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* Reads all of a file; *bytes gets a NUL behind it (not counted). Caller frees. */
int file_read(const char *path, char **bytes, size_t *n, struct error *err);

/* An output that appears whole or not at all: written beside its place, flushed, then renamed. With path
 * NULL it is stdout, for which commit only flushes and checks. */
struct output {
    FILE *stream;
    char *path, *temporary;
};
int output_open(struct output *o, const char *path, struct error *err);
int output_commit(struct output *o, struct error *err);
void output_discard(struct output *o); /* harmless after a commit */
/* Removes what outputs to `path` left beside it when their programs were killed; for whoever is the only one
 * to write it. */
void output_sweep(const char *path);

int file_make_folder(const char *path, struct error *err); /* mkdir -p */
int file_exists(const char *path);

/* An advisory lock on a file of its own, gone when the process is, however it ends. Held by somebody else: -1
 * and STATUS_USAGE, "'PATH' is locked by another process". */
int file_lock(const char *path, int *descriptor, struct error *err);
void file_unlock(const char *path, int descriptor); /* removes the file; descriptor -1: nothing */

/* SHA-256 in lower-case hex (nettle, which uses the processor's instructions for it). */
enum { SHA256_HEX = 65 };
void sha256_bytes(const void *bytes, size_t n, char hex[SHA256_HEX]);
int sha256_file(const char *path, char hex[SHA256_HEX], struct error *err);
/* Incremental, for hashes of several pieces. */
struct sha256 {
    uint64_t opaque[32];
};
void sha256_start(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t n);
void sha256_finish(struct sha256 *s, char hex[SHA256_HEX]);

#endif
