/* safetensors: the length of a header, the header in JSON, and the tensors' bytes. The header is parsed a
 * member at a time, since a tree of all of it would take fifty times its bytes. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/elements.h"
#include "import/shared/listing.h"

enum {
    LONGEST_HEADER = 100000000, /* the format's own limit */
    LONGEST_TENSOR = 4096,      /* of JSON about one */
    BEFORE = 8                  /* bytes before the header */
};

static const struct {
    const char *dtype;
    enum array_type type;
} kinds[] = {
    {"BOOL", ARRAY_BOOL}, {"I8", ARRAY_I8},   {"U8", ARRAY_U8},   {"I16", ARRAY_I16}, {"U16", ARRAY_U16},
    {"I32", ARRAY_I32},   {"U32", ARRAY_U32}, {"I64", ARRAY_I64}, {"U64", ARRAY_U64}, {"F16", ARRAY_F16},
    {"BF16", ARRAY_BF16}, {"F32", ARRAY_F32}, {"F64", ARRAY_F64},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

struct reader {
    struct arrays *a;
    char *header;
    const char *at, *end;
    struct error *err;
};

static int bad_json(const struct reader *r, const char *wanted)
{
    return blob_refuse(&r->a->blob, r->err, "its header is not safetensors': no %s at offset %td", wanted,
                       r->at - r->header + BEFORE);
}

static void skip_blank(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_blank(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* A value that begins with c, in at most so many bytes; NULL: none. */
static cJSON *take_value(struct reader *r, char c, size_t most)
{
    size_t left;
    const char *end;
    cJSON *value;

    if (!take(r, c))
        return NULL;
    r->at--;
    left = (size_t)(r->end - r->at);
    value = cJSON_ParseWithLengthOpts(r->at, left < most ? left : most, &end, 0);
    if (value)
        r->at = end;
    return value;
}

/* Hands each member's key to `visit`, which takes its value; at the value. */
static int each_member(struct reader *r, int (*visit)(struct reader *r, const char *key))
{
    if (!take(r, '{'))
        return bad_json(r, "object");
    if (take(r, '}'))
        return 0;
    do {
        cJSON *key = take_value(r, '"', SIZE_MAX);
        int result = !key || !take(r, ':') ? bad_json(r, "key") : visit(r, key->valuestring);
        cJSON_Delete(key);
        if (result)
            return -1;
    } while (take(r, ','));
    return take(r, '}') ? 0 : bad_json(r, "end of the object");
}

/* ---- members ---- */

static int visit_metadata(struct reader *r, const char *key)
{
    cJSON *value = take_value(r, '"', SIZE_MAX);
    char *kept = NULL, *text = NULL;

    if (!value)
        return bad_json(r, "text of __metadata__");
    kept = listing_keep(r->a, key, strlen(key), r->err);
    text = kept ? listing_keep(r->a, value->valuestring, strlen(value->valuestring), r->err) : NULL;
    cJSON_Delete(value);
    return text ? listing_add_note(r->a, kept, text, r->err) : -1;
}

/* The whole numbers of a list; how many, or -1: it is none, or longer. */
static int read_list(const cJSON *list, int64_t *numbers, int most)
{
    const cJSON *number;
    int n = 0;

    if (!cJSON_IsArray(list))
        return -1;
    cJSON_ArrayForEach(number, list)
    {
        double value = number->valuedouble;
        if (!cJSON_IsNumber(number) || !(value >= 0 && value <= 0x1p53) || n == most)
            return -1;
        numbers[n] = (int64_t)value;
        if ((double)numbers[n++] != value)
            return -1;
    }
    return n;
}

static enum array_type find_kind(const char *dtype)
{
    for (int i = 0; i < N_KINDS; i++) {
        if (strcmp(dtype, kinds[i].dtype) == 0)
            return kinds[i].type;
    }
    return ARRAY_UNREADABLE;
}

/* That it lies within the file is seen when all are there. */
static int check_size(const struct reader *r, const struct item *item)
{
    const struct array *x = &item->array;
    int64_t bytes = x->count * (int64_t)element_width(x->type);

    if (item->end < item->at || (x->type != ARRAY_UNREADABLE && item->end - item->at != bytes))
        return blob_refuse(&r->a->blob, r->err,
                           "array '%.100s' has %" PRId64 " bytes, and its shape and dtype need %" PRId64,
                           x->name, item->end - item->at, bytes);
    return 0;
}

static int describe(const struct reader *r, const cJSON *tensor, struct item *item)
{
    struct array *x = &item->array;
    const char *dtype = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tensor, "dtype"));
    int64_t offsets[2];

    x->n_dimensions =
        read_list(cJSON_GetObjectItemCaseSensitive(tensor, "shape"), x->shape, ARRAY_MAX_DIMENSIONS);
    x->count = x->n_dimensions >= 0 ? elements_count(x->shape, x->n_dimensions) : -1;
    if (!dtype || x->count < 0 ||
        read_list(cJSON_GetObjectItemCaseSensitive(tensor, "data_offsets"), offsets, 2) != 2)
        return blob_refuse(
            &r->a->blob, r->err,
            "array '%.100s': dtype, shape (of at most %d dimensions) or data_offsets are missing or "
            "make no sense",
            x->name, ARRAY_MAX_DIMENSIONS);
    x->type = find_kind(dtype);
    if (x->type == ARRAY_UNREADABLE)
        item->refusal =
            "its dtype is none of BOOL, I8..64, U8..64, F16, BF16, F32, F64; save it as one of these";
    item->at = offsets[0];
    item->end = offsets[1];
    return check_size(r, item);
}

static int visit_tensor(struct reader *r, const char *key)
{
    struct item item = {0};
    cJSON *tensor;
    int result = -1;

    if (strcmp(key, "__metadata__") == 0)
        return each_member(r, visit_metadata);
    tensor = take_value(r, '{', LONGEST_TENSOR);
    if (!tensor)
        return bad_json(r, "description of a tensor");
    item.array.name = listing_keep(r->a, key, strlen(key), r->err);
    if (item.array.name && describe(r, tensor, &item) == 0)
        result = listing_add(r->a, &item, r->err);
    cJSON_Delete(tensor);
    return result;
}

/* ---- the file ---- */

/* The format has it that tensors follow each other without holes and fill the file. */
static int place(struct arrays *a, int64_t begin, struct error *err)
{
    for (int i = 0; i < a->n; i++) {
        a->items[i].at += begin;
        a->items[i].end += begin;
    }
    return listing_check_places(a, begin, true, err);
}

static int read_header(struct arrays *a, char *header, size_t n, struct error *err)
{
    struct reader r = {a, header, header, header + n, err};

    if (each_member(&r, visit_tensor))
        return -1;
    skip_blank(&r); /* it may be filled up with them */
    if (r.at < r.end)
        return bad_json(&r, "end of the header");
    return place(a, (int64_t)n + BEFORE, err);
}

int safetensors_open(struct arrays *a, struct error *err)
{
    uint8_t length[BEFORE];
    uint64_t n;
    char *header;
    int result;

    a->format = "safetensors";
    if (blob_read(&a->blob, 0, length, sizeof length, err))
        return -1;
    n = read_u64(length);
    if (n > LONGEST_HEADER || n > (uint64_t)a->blob.size - BEFORE)
        return blob_refuse(
            &a->blob, err,
            "looks like safetensors, but its header would have %" PRIu64 " bytes; is it cut off?", n);
    header = malloc(n + 1);
    if (!header)
        return error_no_memory(err, a->blob.path);
    header[n] = '\0';
    result = blob_read(&a->blob, BEFORE, header, n, err) || read_header(a, header, n, err) ? -1 : 0;
    free(header);
    return result;
}
