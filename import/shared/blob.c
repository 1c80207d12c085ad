#include "import/shared/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int(blob_refuse)(const struct blob *s, struct error *err, const char *format, ...)
{
    char words[sizeof err->text];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    return error_set(err, STATUS_INPUT, "'%s': %s", s->path, words);
}

static int name_blob(struct blob *s, const char *path, struct error *err)
{
    s->path = strdup(path);
    return s->path ? 0 : error_no_memory(err, path);
}

static int find_size(struct blob *s, struct error *err)
{
    struct stat info;

    if (fstat(s->descriptor, &info))
        return error_errno(err, "read", s->path);
    if (!S_ISREG(info.st_mode))
        return blob_refuse(s, err,
                           "not a regular file, and it is not read from front to back; save it to a file");
    s->size = info.st_size;
    return 0;
}

int blob_open(struct blob *s, const char *path, struct error *err)
{
    *s = (struct blob){.descriptor = -1};
    if (name_blob(s, path, err))
        return -1;
    /* a pipe without a writer would let us wait */
    s->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (s->descriptor >= 0 ? find_size(s, err) : error_errno(err, "open", path)) {
        blob_close(s);
        return -1;
    }
    return 0;
}

int blob_open_memory(struct blob *s, const void *bytes, size_t n, const char *what, struct error *err)
{
    *s = (struct blob){.descriptor = -1, .memory = bytes, .size = (int64_t)n};
    return name_blob(s, what, err);
}

void blob_close(struct blob *s)
{
    if (s->path && s->descriptor >= 0)
        close(s->descriptor);
    free(s->path);
    *s = (struct blob){.descriptor = -1};
}

static int ends_early(const struct blob *s, int64_t at, size_t n, struct error *err)
{
    return blob_refuse(s, err, "%zu bytes at offset %" PRId64 " are beyond its end; is it cut off?", n, at);
}

int blob_read(const struct blob *s, int64_t at, void *out, size_t n, struct error *err)
{
    uint8_t *to = out;

    if (at < 0 || at > s->size || n > (uint64_t)(s->size - at))
        return ends_early(s, at, n, err);
    if (s->descriptor < 0 && n > 0) {
        memcpy(out, s->memory + at, n);
        return 0;
    }
    while (n > 0) {
        ssize_t got = pread(s->descriptor, to, n, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, "read", s->path);
        if (got == 0) /* it has become shorter */
            return ends_early(s, at, n, err);
        to += got;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

/* ---- reading on ---- */

void cursor_start(struct cursor *c, const struct blob *s, int64_t at, int64_t end)
{
    c->blob = s;
    c->at = c->from = at;
    c->end = end;
    c->n = 0;
}

/* The buffer holds what comes next, which is not at the end. */
static int fill(struct cursor *c, struct error *err)
{
    uint64_t left = (uint64_t)(c->end - c->at);

    c->from = c->at;
    c->n = left < sizeof c->buffer ? (size_t)left : sizeof c->buffer;
    if (blob_read(c->blob, c->from, c->buffer, c->n, err)) {
        c->n = 0;
        return -1;
    }
    return 0;
}

int cursor_bytes(struct cursor *c, void *out, size_t n, struct error *err)
{
    uint8_t *to = out;

    if (n > (uint64_t)(c->end - c->at))
        return ends_early(c->blob, c->at, n, err);
    while (n > 0) {
        size_t used = (size_t)(c->at - c->from), ready = used < c->n ? c->n - used : 0;
        if (ready == 0) {
            if (fill(c, err))
                return -1;
            continue;
        }
        ready = ready < n ? ready : n;
        memcpy(to, c->buffer + used, ready);
        to += ready;
        c->at += (int64_t)ready;
        n -= ready;
    }
    return 0;
}

int cursor_skip(struct cursor *c, uint64_t n, struct error *err)
{
    if (n > (uint64_t)(c->end - c->at))
        return ends_early(c->blob, c->at, n, err);
    c->at += (int64_t)n;
    return 0;
}

int cursor_u32(struct cursor *c, uint32_t *value, struct error *err)
{
    uint8_t bytes[4];

    if (cursor_bytes(c, bytes, sizeof bytes, err))
        return -1;
    *value = read_u32(bytes);
    return 0;
}

int cursor_u64(struct cursor *c, uint64_t *value, struct error *err)
{
    uint8_t bytes[8];

    if (cursor_bytes(c, bytes, sizeof bytes, err))
        return -1;
    *value = read_u64(bytes);
    return 0;
}
