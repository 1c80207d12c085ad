/* GGUF, versions 2 and 3, as llama.cpp's imatrix files have it: keys with values, descriptions of tensors,
 * and their bytes from the next multiple of an alignment on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/elements.h"
#include "import/shared/listing.h"

enum {
    LONGEST_TEXT = 1 << 24,
    LONGEST_NAME = 1024,
    MOST_ITEMS = 1024,     /* of an array among the keys: longer ones are a tokenizer's */
    MOST_OF_ALL = 1 << 16, /* of all arrays together */
    ALIGNMENT = 32,
    MOST_ALIGNMENT = 1 << 20
};
enum kind { KIND_STRING = 8, KIND_ARRAY = 9, N_KINDS = 13 };

static const enum array_type scalars[N_KINDS] = {
    ARRAY_U8,   ARRAY_I8,         ARRAY_U16,        ARRAY_I16, ARRAY_U32, ARRAY_I32, ARRAY_F32,
    ARRAY_BOOL, ARRAY_UNREADABLE, ARRAY_UNREADABLE, ARRAY_U64, ARRAY_I64, ARRAY_F64};

struct reader {
    struct arrays *a;
    struct cursor cursor;
    uint64_t alignment, n_items;
    struct error *err;
};

static int take_u32(struct reader *r, uint32_t *value)
{
    return cursor_u32(&r->cursor, value, r->err);
}

static int take_u64(struct reader *r, uint64_t *value)
{
    return cursor_u64(&r->cursor, value, r->err);
}

/* A length and as many bytes; NULL: error set. */
static char *take_text(struct reader *r, uint64_t most)
{
    int64_t at = r->cursor.at;
    uint64_t n;
    char *text;

    if (take_u64(r, &n))
        return NULL;
    if (n > most || n > (uint64_t)(r->cursor.end - r->cursor.at)) {
        blob_refuse(&r->a->blob, r->err, "a text of %" PRIu64 " bytes at offset %" PRId64 "; is it cut off?",
                    n, at);
        return NULL;
    }
    text = listing_claim(r->a, n + 1, r->err);
    if (!text || cursor_bytes(&r->cursor, text, n, r->err))
        return NULL;
    text[n] = '\0';
    return text;
}

/* ---- keys ---- */

static int note_scalar(struct reader *r, const char *key, uint32_t kind)
{
    uint8_t bytes[8];
    char text[32], *kept;
    int64_t value = 0;

    if (cursor_bytes(&r->cursor, bytes, element_width(scalars[kind]), r->err))
        return -1;
    if (strcmp(key, "general.alignment") == 0 && elements_integers(scalars[kind], bytes, 1, &value) == 1)
        r->alignment = (uint64_t)value;
    element_text(scalars[kind], bytes, text);
    kept = listing_keep(r->a, text, strlen(text), r->err);
    return kept ? listing_add_note(r->a, key, kept, r->err) : -1;
}

static int note_value(struct reader *r, const char *key, uint32_t kind)
{
    char *text;

    if (kind != KIND_STRING)
        return note_scalar(r, key, kind);
    text = take_text(r, LONGEST_TEXT);
    return text ? listing_add_note(r->a, key, text, r->err) : -1;
}

static char *key_of_item(struct reader *r, const char *key, uint64_t i)
{
    size_t size = strlen(key) + 22;
    char *name = listing_claim(r->a, size, r->err);

    if (name)
        snprintf(name, size, "%s.%" PRIu64, key, i);
    return name;
}

static int skip_items(struct reader *r, uint32_t kind, uint64_t n)
{
    uint64_t length = 0;
    size_t width = element_width(scalars[kind]);

    if (kind != KIND_STRING)
        return n > INT64_MAX / 8 ? blob_refuse(&r->a->blob, r->err, "an array of %" PRIu64 " items", n)
                                 : cursor_skip(&r->cursor, n * width, r->err);
    for (uint64_t i = 0; i < n; i++) {
        if (take_u64(r, &length) || cursor_skip(&r->cursor, length, r->err))
            return -1;
    }
    return 0;
}

static int note_array(struct reader *r, const char *key)
{
    uint32_t kind;
    uint64_t n;

    if (take_u32(r, &kind) || take_u64(r, &n))
        return -1;
    if (kind >= N_KINDS || kind == KIND_ARRAY)
        return blob_refuse(&r->a->blob, r->err,
                           "key '%.100s' is an array of kind %" PRIu32 ", which GGUF has not", key, kind);
    if (n > MOST_ITEMS || r->n_items + n > MOST_OF_ALL)
        return skip_items(r, kind, n);
    r->n_items += n;
    for (uint64_t i = 0; i < n; i++) {
        char *name = key_of_item(r, key, i);
        if (!name || note_value(r, name, kind))
            return -1;
    }
    return 0;
}

static int read_key(struct reader *r)
{
    uint32_t kind;
    char *key = take_text(r, LONGEST_NAME);

    if (!key || take_u32(r, &kind))
        return -1;
    if (kind >= N_KINDS)
        return blob_refuse(&r->a->blob, r->err, "key '%.100s' is of kind %" PRIu32 ", which GGUF has not",
                           key, kind);
    return kind == KIND_ARRAY ? note_array(r, key) : note_value(r, key, kind);
}

/* ---- tensors ---- */

static enum array_type type_of_ggml(uint32_t type)
{
    switch (type) {
    case 0:
        return ARRAY_F32;
    case 1:
        return ARRAY_F16;
    case 24:
        return ARRAY_I8;
    case 25:
        return ARRAY_I16;
    case 26:
        return ARRAY_I32;
    case 27:
        return ARRAY_I64;
    case 28:
        return ARRAY_F64;
    case 30:
        return ARRAY_BF16;
    default:
        return ARRAY_UNREADABLE;
    }
}

/* The file has the dimension that runs fastest first. */
static int read_shape(struct reader *r, struct array *x)
{
    uint32_t n;
    uint64_t size;

    if (take_u32(r, &n))
        return -1;
    if (n > ARRAY_MAX_DIMENSIONS)
        return blob_refuse(&r->a->blob, r->err, "array '%.100s' has %" PRIu32 " dimensions", x->name, n);
    x->n_dimensions = (int)n;
    for (int i = x->n_dimensions - 1; i >= 0; i--) {
        if (take_u64(r, &size))
            return -1;
        x->shape[i] = size <= INT64_MAX ? (int64_t)size : -1;
    }
    x->count = elements_count(x->shape, x->n_dimensions);
    if (x->count < 0)
        return blob_refuse(&r->a->blob, r->err, "array '%.100s' has a shape that no file can hold", x->name);
    return 0;
}

static int read_tensor(struct reader *r)
{
    struct item item = {.array.name = take_text(r, LONGEST_NAME)};
    uint32_t type;
    uint64_t offset;

    if (!item.array.name || read_shape(r, &item.array) || take_u32(r, &type) || take_u64(r, &offset))
        return -1;
    if (offset > (uint64_t)r->a->blob.size || offset % r->alignment != 0)
        return blob_refuse(&r->a->blob, r->err, "array '%.100s' would be at byte %" PRIu64 " of the data",
                           item.array.name, offset);
    item.array.type = type_of_ggml(type);
    if (item.array.type == ARRAY_UNREADABLE)
        item.refusal = "its elements are quantised in blocks: weights of a model, not what imatrix counts";
    item.at = (int64_t)offset;
    return listing_add(r->a, &item, r->err);
}

/* Offsets are from where the data begin. Of quantised blocks nobody asks how long they are. */
static int place(struct reader *r)
{
    int64_t alignment = (int64_t)r->alignment, begin = (r->cursor.at + alignment - 1) / alignment * alignment;

    for (int i = 0; i < r->a->n; i++) {
        struct item *item = &r->a->items[i];
        int64_t bytes = item->array.count * (int64_t)element_width(item->array.type);
        item->at += begin;
        item->end = bytes <= INT64_MAX - item->at ? item->at + bytes : INT64_MAX;
    }
    return r->a->n > 0 ? listing_check_places(r->a, begin, false, r->err) : 0;
}

/* ---- the file ---- */

static int check_version(const struct arrays *a, uint32_t version, struct error *err)
{
    if (version == 2 || version == 3)
        return 0;
    if (version != 0 && (version & 0xffff) == 0)
        return blob_refuse(&a->blob, err, "a GGUF file of a big-endian machine; convert it there");
    return blob_refuse(&a->blob, err, "a GGUF file of version %" PRIu32 ", and 2 and 3 are known", version);
}

static int read_all(struct reader *r)
{
    uint32_t version;
    uint64_t n_tensors, n_keys;

    if (take_u32(r, &version) || check_version(r->a, version, r->err) || take_u64(r, &n_tensors) ||
        take_u64(r, &n_keys))
        return -1;
    for (uint64_t i = 0; i < n_keys; i++) {
        if (read_key(r))
            return -1;
    }
    if (r->alignment == 0 || r->alignment > MOST_ALIGNMENT || (r->alignment & (r->alignment - 1)) != 0)
        return blob_refuse(&r->a->blob, r->err, "its general.alignment makes no sense");
    for (uint64_t i = 0; i < n_tensors; i++) {
        if (read_tensor(r))
            return -1;
    }
    return place(r);
}

int gguf_open(struct arrays *a, struct error *err)
{
    struct reader *r = malloc(sizeof *r);
    int result;

    a->format = "gguf";
    if (!r)
        return error_no_memory(err, a->blob.path);
    r->a = a;
    r->alignment = ALIGNMENT;
    r->n_items = 0;
    r->err = err;
    cursor_start(&r->cursor, &a->blob, 4, a->blob.size);
    result = read_all(r);
    free(r);
    return result;
}

/* A count of entries, then the length of a tensor's name and the name. */
bool gguf_is_legacy(const uint8_t start[ARRAYS_BEGINNING])
{
    uint32_t n = read_u32(start), length = read_u32(start + 4);

    if (n == 0 || n > 100000 || length < 8 || length > 1024)
        return false;
    for (int i = 8; i < ARRAYS_BEGINNING; i++) {
        if (start[i] <= ' ' || start[i] > '~')
            return false;
    }
    return true;
}
