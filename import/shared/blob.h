/* The bytes of a file, or of memory, by their offset. */
#ifndef IMPORT_SHARED_BLOB_H
#define IMPORT_SHARED_BLOB_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct blob {
    int descriptor; /* -1: memory */
    const uint8_t *memory;
    int64_t size;
    char *path; /* for errors */
};
int blob_open(struct blob *s, const char *path, struct error *err); /* regular files only */
int blob_open_memory(struct blob *s, const void *bytes, size_t n, const char *what, struct error *err);
void blob_close(struct blob *s); /* safe on zeroed */

/* All n bytes, or an error that says where they were wanted. */
int blob_read(const struct blob *s, int64_t at, void *out, size_t n, struct error *err);

/* "'PATH': ...", STATUS_INPUT. */
int blob_refuse(const struct blob *s, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define blob_refuse(...) error_value(blob_refuse(__VA_ARGS__))

/* Little-endian numbers, wherever they lie. */
static inline uint16_t read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t read_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t read_u64(const uint8_t *p)
{
    return read_u32(p) | (uint64_t)read_u32(p + 4) << 32;
}

/* Reading on from an offset, through a buffer, up to an end. */
struct cursor {
    const struct blob *blob;
    int64_t at, end; /* of the next byte; behind the last */
    int64_t from;    /* where the buffer's bytes lie */
    size_t n;
    uint8_t buffer[1 << 14];
};
void cursor_start(struct cursor *c, const struct blob *s, int64_t at, int64_t end);
int cursor_bytes(struct cursor *c, void *out, size_t n, struct error *err);
int cursor_skip(struct cursor *c, uint64_t n, struct error *err);
int cursor_u32(struct cursor *c, uint32_t *value, struct error *err);
int cursor_u64(struct cursor *c, uint64_t *value, struct error *err);

#endif
