#include "import/shared/zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "import/shared/listing.h"
#include "import/shared/spans.h"

enum {
    END = 22, /* bytes of the record at the end, without a comment */
    LONGEST_COMMENT = 65535,
    LOCATOR = 20, /* zip64's pointer to its own end record, before the other */
    END64 = 56,
    DIRECTORY = 46, /* of an entry in the directory, without its name */
    HEADER = 30     /* of an entry's own header, likewise */
};
enum { ENCRYPTED = 1 << 0, STRONGLY = 1 << 6, MASKED = 1 << 13 };
enum { STORED = 0, DEFLATED = 8 };

static int bad(const struct arrays *a, const char *what, struct error *err)
{
    return blob_refuse(&a->blob, err, "not a whole zip file: %s", what);
}

/* ---- the end: where the directory is ---- */

struct directory {
    uint64_t n, size, at;
    int64_t end; /* it ends before that */
};

static int read_end64(const struct arrays *a, struct directory *d, struct error *err)
{
    uint8_t locator[LOCATOR], end[END64];
    uint64_t at;

    if (d->end < LOCATOR || blob_read(&a->blob, d->end - LOCATOR, locator, LOCATOR, err) ||
        memcmp(locator, "PK\6\7", 4) != 0)
        return bad(a, "its zip64 locator is missing", err);
    at = read_u64(locator + 8);
    if (d->end < END64 + LOCATOR || at > (uint64_t)(d->end - LOCATOR - END64) ||
        blob_read(&a->blob, (int64_t)at, end, END64, err) || memcmp(end, "PK\6\6", 4) != 0)
        return bad(a, "its zip64 end record is missing", err);
    if (read_u32(end + 16) != 0 || read_u32(end + 20) != 0)
        return bad(a, "it is in several parts", err);
    *d = (struct directory){read_u64(end + 32), read_u64(end + 40), read_u64(end + 48), (int64_t)at};
    return 0;
}

static int read_end(const struct arrays *a, const uint8_t *end, int64_t at, struct directory *d,
                    struct error *err)
{
    *d = (struct directory){read_u16(end + 10), read_u32(end + 12), read_u32(end + 16), at};
    if ((d->n == UINT16_MAX || d->size == UINT32_MAX || d->at == UINT32_MAX) && read_end64(a, d, err))
        return -1;
    if (d->end == at && (read_u16(end + 4) != 0 || read_u16(end + 6) != 0))
        return bad(a, "it is in several parts", err);
    if (d->at > (uint64_t)d->end || d->size > (uint64_t)d->end - d->at)
        return bad(a, "its directory is beyond its end", err);
    return 0;
}

/* The record at the end has a comment of any length behind it. */
static int find_end(const struct arrays *a, struct directory *d, struct error *err)
{
    int64_t size = a->blob.size, n = size < END + LONGEST_COMMENT ? size : END + LONGEST_COMMENT;
    uint8_t *tail = malloc((size_t)n + 1);
    int result = 1;

    if (!tail)
        return error_no_memory(err, a->blob.path);
    if (blob_read(&a->blob, size - n, tail, (size_t)n, err))
        result = -1;
    for (int64_t i = n - END; i >= 0 && result == 1; i--) {
        if (memcmp(tail + i, "PK\5\6", 4) == 0 && read_u16(tail + i + 20) == n - END - i)
            result = read_end(a, tail + i, size - n + i, d, err);
    }
    free(tail);
    return result == 1 ? bad(a, "its end is missing", err) : result;
}

/* ---- the directory ---- */

/* Numbers that do not fit are in the extra field of zip64, in this order. */
static bool widen(uint64_t *number, const uint8_t **at, const uint8_t *end)
{
    if (*number != UINT32_MAX)
        return true;
    if (end - *at < 8)
        return false;
    *number = read_u64(*at);
    *at += 8;
    return true;
}

struct sizes {
    uint64_t size, packed, header;
};

static bool read_extra(const uint8_t *extra, size_t n, struct sizes *s)
{
    const uint8_t *end = extra + n;

    while (end - extra >= 4) {
        uint16_t id = read_u16(extra), length = read_u16(extra + 2);
        const uint8_t *at = extra + 4;
        if (length > end - at)
            break; /* others have their own ideas of what may stand here */
        extra = at + length;
        if (id == 1)
            return widen(&s->size, &at, extra) && widen(&s->packed, &at, extra) &&
                   widen(&s->header, &at, extra);
    }
    return s->size != UINT32_MAX && s->packed != UINT32_MAX && s->header != UINT32_MAX;
}

static int check_entry(const struct arrays *a, const uint8_t *record, const struct zip_entry *e,
                       struct error *err)
{
    int flags = read_u16(record + 8), method = read_u16(record + 10);

    if (flags & (ENCRYPTED | STRONGLY | MASKED))
        return blob_refuse(&a->blob, err, "'%.100s' in it is encrypted; unpack it first", e->name);
    if (method != STORED && method != DEFLATED)
        return blob_refuse(&a->blob, err,
                           "'%.100s' in it is compressed by method %d, and only deflate is known", e->name,
                           method);
    if (read_u16(record + 34) != 0)
        return bad(a, "it is in several parts", err);
    if (method == STORED && e->packed != e->size)
        return blob_refuse(&a->blob, err, "'%.100s' in it is stored and has two sizes", e->name);
    return 0;
}

static int fill_entry(struct arrays *a, const uint8_t *record, const uint8_t *extra, struct zip_entry *e,
                      struct error *err)
{
    struct sizes s = {read_u32(record + 24), read_u32(record + 20), read_u32(record + 42)};

    if (!read_extra(extra, read_u16(record + 30), &s) || s.size > INT64_MAX || s.packed > INT64_MAX ||
        s.header > INT64_MAX)
        return blob_refuse(&a->blob, err, "the sizes of '%.100s' in its zip directory make no sense",
                           e->name);
    e->header = (int64_t)s.header;
    e->packed = (int64_t)s.packed;
    e->size = (int64_t)s.size;
    e->checksum = read_u32(record + 16);
    e->deflated = read_u16(record + 10) == DEFLATED;
    e->spooled = -1;
    return check_entry(a, record, e, err);
}

static int read_entry(struct arrays *a, struct cursor *c, struct zip_entry *e, struct error *err)
{
    uint8_t record[DIRECTORY], extra[UINT16_MAX];
    size_t name_length;
    char *name;

    if (cursor_bytes(c, record, DIRECTORY, err))
        return -1;
    if (memcmp(record, "PK\1\2", 4) != 0)
        return bad(a, "an entry of its directory is missing", err);
    name_length = read_u16(record + 28);
    name = listing_claim(a, name_length + 1, err);
    if (!name || cursor_bytes(c, name, name_length, err) ||
        cursor_bytes(c, extra, read_u16(record + 30), err) || cursor_skip(c, read_u16(record + 32), err))
        return -1;
    name[name_length] = '\0';
    e->name = name;
    return fill_entry(a, record, extra, e, err);
}

/* The entry's own header only says where its bytes begin. */
static int find_bytes(struct arrays *a, struct zip_entry *e, int64_t end, struct error *err)
{
    uint8_t header[HEADER];
    char *name = (char *)a->buffer;
    size_t length = strlen(e->name);

    if (blob_read(&a->blob, e->header, header, HEADER, err))
        return -1;
    e->at = e->header + HEADER + read_u16(header + 26) + read_u16(header + 28);
    if (memcmp(header, "PK\3\4", 4) != 0 || read_u16(header + 26) != length)
        return blob_refuse(&a->blob, err, "'%.100s' in it is not where its zip directory says", e->name);
    if (blob_read(&a->blob, e->header + HEADER, name, length, err))
        return -1;
    if (memcmp(name, e->name, length) != 0)
        return blob_refuse(&a->blob, err, "'%.100s' in it is not where its zip directory says", e->name);
    if (e->at > end || e->packed > end - e->at)
        return blob_refuse(&a->blob, err, "'%.100s' in it goes beyond the entries' end; is it cut off?",
                           e->name);
    return 0;
}

static int check_overlaps(const struct arrays *a, int64_t end, struct error *err)
{
    const struct zip *z = &a->zip;
    struct span *spans = malloc(((size_t)z->n + 1) * sizeof *spans);
    int result;

    if (!spans)
        return error_no_memory(err, a->blob.path);
    for (int i = 0; i < z->n; i++)
        spans[i] =
            (struct span){z->entries[i].header, z->entries[i].at + z->entries[i].packed, z->entries[i].name};
    result = spans_check(&a->blob, spans, z->n, 0, end, false, err);
    free(spans);
    return result;
}

/* ---- names ---- */

static int compare_names(const void *x, const void *y, void *entries)
{
    const struct zip_entry *e = entries;

    return strcmp(e[*(const int *)x].name, e[*(const int *)y].name);
}

static int sort_names(struct arrays *a, struct error *err)
{
    struct zip *z = &a->zip;

    z->by_name = malloc(((size_t)z->n + 1) * sizeof *z->by_name);
    if (!z->by_name)
        return error_no_memory(err, a->blob.path);
    for (int i = 0; i < z->n; i++)
        z->by_name[i] = i;
    qsort_r(z->by_name, (size_t)z->n, sizeof *z->by_name, compare_names, z->entries);
    for (int i = 1; i < z->n; i++) {
        const char *name = z->entries[z->by_name[i]].name;
        if (strcmp(name, z->entries[z->by_name[i - 1]].name) == 0)
            return blob_refuse(&a->blob, err, "two entries in it are called '%.100s'", name);
    }
    return 0;
}

struct zip_entry *zip_find(const struct zip *z, const char *name)
{
    int low = 0, high = z->n;

    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(name, z->entries[z->by_name[middle]].name);
        if (order == 0)
            return &z->entries[z->by_name[middle]];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- all of it ---- */

static int read_directory(struct arrays *a, const struct directory *d, struct cursor *c, struct error *err)
{
    struct zip *z = &a->zip;

    if (d->n > d->size / DIRECTORY || d->n > INT32_MAX)
        return bad(a, "its directory has no room for its entries", err);
    z->entries = calloc(d->n + 1, sizeof *z->entries);
    if (!z->entries)
        return error_no_memory(err, a->blob.path);
    cursor_start(c, &a->blob, (int64_t)d->at, (int64_t)(d->at + d->size));
    while (z->n < (int)d->n) {
        if (read_entry(a, c, &z->entries[z->n], err))
            return -1;
        z->n++;
    }
    for (int i = 0; i < z->n; i++) {
        if (find_bytes(a, &z->entries[i], (int64_t)d->at, err))
            return -1;
    }
    return check_overlaps(a, (int64_t)d->at, err) || sort_names(a, err) ? -1 : 0;
}

int zip_open(struct arrays *a, struct error *err)
{
    struct directory d;
    struct cursor *c;
    int result;

    if (find_end(a, &d, err))
        return -1;
    c = malloc(sizeof *c);
    if (!c)
        return error_no_memory(err, a->blob.path);
    result = read_directory(a, &d, c, err);
    free(c);
    return result;
}

void zip_close(struct zip *z)
{
    for (int i = 0; i < z->n; i++) {
        zip_rest(&z->entries[i]);
        if (z->entries[i].spooled >= 0)
            close(z->entries[i].spooled);
    }
    free(z->entries);
    free(z->by_name);
    *z = (struct zip){0};
}
