/* What is in a zip file's entries. Deflated bytes come from front to back: to go back is to begin anew. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/text.h"
#include "import/shared/listing.h"

enum { PIECE = 1 << 14 };

struct unpacking {
    z_stream stream;
    int64_t taken, position; /* bytes of the file, and unpacked ones */
    uint32_t checksum;
    bool ended;
    uint8_t packed[PIECE], skipped[PIECE];
};

static int damaged(const struct arrays *a, const struct zip_entry *e, const char *how, struct error *err)
{
    return blob_refuse(&a->blob, err, "'%.100s' in it is damaged: %s", e->name, how);
}

static int compare_checksum(const struct arrays *a, const struct zip_entry *e, uint32_t checksum,
                            struct error *err)
{
    if (checksum == e->checksum || (e->unsure && e->checksum == 0))
        return 0;
    return damaged(a, e, "its checksum is another", err);
}

/* ---- stored ---- */

static int read_stored(struct arrays *a, struct zip_entry *e, int64_t at, void *out, size_t n,
                       struct error *err)
{
    if (blob_read(&a->blob, e->at + at, out, n, err))
        return -1;
    if (at != e->checked)
        return 0;
    e->checksum_so_far = (uint32_t)crc32_z(e->checksum_so_far, out, n);
    e->checked += (int64_t)n;
    return e->checked == e->size ? compare_checksum(a, e, e->checksum_so_far, err) : 0;
}

/* ---- deflated ---- */

void zip_rest(struct zip_entry *e)
{
    if (!e->unpacking)
        return;
    inflateEnd(&e->unpacking->stream);
    free(e->unpacking);
    e->unpacking = NULL;
}

static int begin(struct arrays *a, struct zip_entry *e, struct error *err)
{
    struct unpacking *u = malloc(sizeof *u);

    if (!u)
        return error_no_memory(err, e->name);
    memset(u, 0, offsetof(struct unpacking, packed));
    if (inflateInit2(&u->stream, -MAX_WBITS) != Z_OK) {
        free(u);
        return error_no_memory(err, a->blob.path);
    }
    e->unpacking = u;
    return 0;
}

static int more_input(struct arrays *a, const struct zip_entry *e, struct unpacking *u, struct error *err)
{
    int64_t left = e->packed - u->taken;
    size_t n = left < PIECE ? (size_t)left : PIECE;

    if (u->stream.avail_in > 0 || n == 0)
        return 0;
    if (blob_read(&a->blob, e->at + u->taken, u->packed, n, err))
        return -1;
    u->stream.next_in = u->packed;
    u->stream.avail_in = (uInt)n;
    u->taken += (int64_t)n;
    return 0;
}

/* Up to n bytes; *got 0: there are no more. */
static int unpack_some(struct arrays *a, const struct zip_entry *e, struct unpacking *u, uint8_t *out,
                       size_t n, size_t *got, struct error *err)
{
    u->stream.next_out = out;
    u->stream.avail_out = n < UINT_MAX / 2 ? (uInt)n : UINT_MAX / 2;
    uInt room = u->stream.avail_out;
    while (u->stream.avail_out == room && !u->ended) {
        if (more_input(a, e, u, err))
            return -1;
        int result = inflate(&u->stream, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR)
            return error_no_memory(err, e->name);
        if (result == Z_BUF_ERROR)
            return damaged(a, e, "it ends early", err);
        if (result != Z_OK && result != Z_STREAM_END)
            return damaged(a, e, u->stream.msg ? u->stream.msg : "it cannot be unpacked", err);
        u->ended = result == Z_STREAM_END;
    }
    *got = room - u->stream.avail_out;
    return 0;
}

static int unpack(struct arrays *a, const struct zip_entry *e, struct unpacking *u, uint8_t *out, size_t n,
                  struct error *err)
{
    while (n > 0) {
        size_t got;
        if (unpack_some(a, e, u, out, n, &got, err))
            return -1;
        if (got == 0)
            return damaged(a, e, "it is shorter than its zip directory says", err);
        u->checksum = (uint32_t)crc32_z(u->checksum, out, got);
        u->position += (int64_t)got;
        out += got;
        n -= got;
    }
    return 0;
}

static int skip(struct arrays *a, const struct zip_entry *e, struct unpacking *u, int64_t to,
                struct error *err)
{
    while (u->position < to) {
        int64_t left = to - u->position;
        if (unpack(a, e, u, u->skipped, left < PIECE ? (size_t)left : PIECE, err))
            return -1;
    }
    return 0;
}

/* All that the directory promised is there: nothing more may come. */
static int finish(struct arrays *a, struct zip_entry *e, struct error *err)
{
    size_t got;

    if (unpack_some(a, e, e->unpacking, e->unpacking->skipped, 1, &got, err))
        return -1;
    if (got > 0)
        return damaged(a, e, "it is longer than its zip directory says", err);
    if (compare_checksum(a, e, e->unpacking->checksum, err))
        return -1;
    zip_rest(e);
    return 0;
}

static int read_deflated(struct arrays *a, struct zip_entry *e, int64_t at, void *out, size_t n,
                         struct error *err)
{
    if (e->unpacking && e->unpacking->position > at)
        zip_rest(e);
    if (!e->unpacking && begin(a, e, err))
        return -1;
    if (skip(a, e, e->unpacking, at, err) || unpack(a, e, e->unpacking, out, n, err)) {
        zip_rest(e);
        return -1;
    }
    return e->unpacking->position == e->size ? finish(a, e, err) : 0;
}

/* ---- either ---- */

static int read_spooled(struct arrays *a, const struct zip_entry *e, int64_t at, void *out, size_t n,
                        struct error *err)
{
    const struct blob copy = {.descriptor = e->spooled, .size = e->size, .path = a->blob.path};

    return blob_read(&copy, at, out, n, err);
}

int zip_read(struct arrays *a, struct zip_entry *e, int64_t at, void *out, size_t n, struct error *err)
{
    if (at < 0 || at > e->size || n > (uint64_t)(e->size - at))
        return damaged(a, e, "it is too short", err);
    if (n == 0)
        return 0;
    if (e->spooled >= 0)
        return read_spooled(a, e, at, out, n, err);
    return e->deflated ? read_deflated(a, e, at, out, n, err) : read_stored(a, e, at, out, n, err);
}

/* ---- spooling ---- */

static int open_temporary(int *descriptor, struct error *err)
{
    const char *parent = getenv("TMPDIR");
    struct text path;
    int result = 0;

    text_init(&path);
    text_printf(&path, "%s/moescope-XXXXXX", parent && *parent ? parent : "/tmp");
    if (path.failed)
        result = error_no_memory(err, "a temporary file");
    else if ((*descriptor = mkstemp(path.data)) < 0)
        result = error_output(err, "make", path.data);
    else
        unlink(path.data); /* gone when it is closed */
    text_release(&path);
    return result;
}

static int write_all(int descriptor, const uint8_t *bytes, size_t n, struct error *err)
{
    while (n > 0) {
        ssize_t written = write(descriptor, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_output(err, "write", "a temporary file");
        bytes += written;
        n -= (size_t)written;
    }
    return 0;
}

int zip_spool(struct arrays *a, struct zip_entry *e, struct error *err)
{
    int descriptor;

    if (!e->deflated || e->spooled >= 0)
        return 0;
    if (open_temporary(&descriptor, err))
        return -1;
    for (int64_t at = 0; at < e->size; at += ARRAYS_BUFFER) {
        size_t n = e->size - at < ARRAYS_BUFFER ? (size_t)(e->size - at) : ARRAYS_BUFFER;
        if (zip_read(a, e, at, a->buffer, n, err) || write_all(descriptor, a->buffer, n, err)) {
            close(descriptor);
            return -1;
        }
    }
    e->spooled = descriptor;
    return 0;
}
