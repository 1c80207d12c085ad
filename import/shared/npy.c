#include "import/shared/npy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/elements.h"

const uint8_t npy_magic[NPY_MAGIC] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

size_t npy_header_length(const uint8_t prefix[NPY_PREFIX])
{
    if (memcmp(prefix, npy_magic, NPY_MAGIC) != 0)
        return 0;
    if (prefix[6] == 1)
        return 10 + (size_t)read_u16(prefix + 8);
    return prefix[6] == 2 || prefix[6] == 3 ? 12 + (size_t)read_u32(prefix + 8) : 0;
}

/* ---- the header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } ---- */

struct literal {
    const char *at, *end;
};

static void skip_blank(struct literal *l)
{
    while (l->at < l->end && (*l->at == ' ' || *l->at == '\n' || *l->at == '\t' || *l->at == '\r'))
        l->at++;
}

static bool take(struct literal *l, char c)
{
    skip_blank(l);
    if (l->at == l->end || *l->at != c)
        return false;
    l->at++;
    return true;
}

static bool take_word(struct literal *l, const char *word)
{
    size_t n = strlen(word);

    skip_blank(l);
    if ((size_t)(l->end - l->at) < n || memcmp(l->at, word, n) != 0)
        return false;
    l->at += n;
    return true;
}

/* A string without escapes, between quotes of either kind. */
static bool take_string(struct literal *l, char *to, size_t size)
{
    size_t n = 0;
    char quote = take(l, '\'') ? '\'' : '"';

    if (quote == '"' && !take(l, '"'))
        return false;
    for (; l->at < l->end && *l->at != quote; l->at++) {
        if (n + 1 == size || *l->at == '\\')
            return false;
        to[n++] = *l->at;
    }
    to[n] = '\0';
    return take(l, quote);
}

static bool take_dimension(struct literal *l, int64_t *dimension)
{
    int digits = 0;

    *dimension = 0;
    skip_blank(l);
    for (; l->at < l->end && *l->at >= '0' && *l->at <= '9'; l->at++) {
        if (++digits > 18)
            return false;
        *dimension = *dimension * 10 + (*l->at - '0');
    }
    if (digits > 0 && l->at < l->end && *l->at == 'L') /* Python 2's */
        l->at++;
    return digits > 0;
}

/* n: ARRAY_MAX_DIMENSIONS + 1 where there are more. */
static bool take_shape(struct literal *l, int64_t *shape, int *n)
{
    int64_t dimension;

    *n = 0;
    if (!take(l, '('))
        return false;
    while (!take(l, ')')) {
        if (!take_dimension(l, &dimension))
            return false;
        if (*n < ARRAY_MAX_DIMENSIONS)
            shape[*n] = dimension;
        *n += *n <= ARRAY_MAX_DIMENSIONS;
        if (!take(l, ','))
            return *n > 1 && take(l, ')'); /* (3) is no tuple */
    }
    return true;
}

struct header {
    char descr[32];
    bool structured, fortran, has_descr, has_order, has_shape;
    int64_t shape[ARRAY_MAX_DIMENSIONS];
    int n_dimensions;
};

/* A list of fields stands where the kind of elements should. What it says does not matter. */
static bool skip_fields(struct literal *l)
{
    int depth = 0;

    for (; l->at < l->end; l->at++) {
        depth += *l->at == '[' || *l->at == '(';
        depth -= *l->at == ']' || *l->at == ')';
        if (depth == 0)
            return ++l->at, true;
    }
    return false;
}

static bool take_value(struct literal *l, const char *key, struct header *h)
{
    if (strcmp(key, "descr") == 0) {
        skip_blank(l);
        h->has_descr = true;
        h->structured = l->at < l->end && *l->at == '[';
        return h->structured ? skip_fields(l) : take_string(l, h->descr, sizeof h->descr);
    }
    if (strcmp(key, "fortran_order") == 0) {
        h->has_order = true;
        h->fortran = take_word(l, "True");
        return h->fortran || take_word(l, "False");
    }
    if (strcmp(key, "shape") == 0) {
        h->has_shape = true;
        return take_shape(l, h->shape, &h->n_dimensions);
    }
    return false;
}

static bool parse_header(struct literal *l, struct header *h)
{
    char key[16];

    *h = (struct header){0};
    if (!take(l, '{'))
        return false;
    while (!take(l, '}')) {
        if (!take_string(l, key, sizeof key) || !take(l, ':') || !take_value(l, key, h))
            return false;
        if (!take(l, ',')) {
            if (!take(l, '}'))
                return false;
            break;
        }
    }
    skip_blank(l);
    return l->at == l->end && h->has_descr && h->has_order && h->has_shape;
}

/* ---- what it means ---- */

static const struct {
    const char *descr;
    enum array_type type;
} kinds[] = {
    {"b1", ARRAY_BOOL}, {"i1", ARRAY_I8},  {"u1", ARRAY_U8},  {"i2", ARRAY_I16},
    {"u2", ARRAY_U16},  {"i4", ARRAY_I32}, {"u4", ARRAY_U32}, {"i8", ARRAY_I64},
    {"u8", ARRAY_U64},  {"f2", ARRAY_F16}, {"f4", ARRAY_F32}, {"f8", ARRAY_F64},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static enum array_type find_kind(const char *descr)
{
    for (int i = 0; i < N_KINDS; i++) {
        if (descr[0] && strchr("<>|", descr[0]) && strcmp(descr + 1, kinds[i].descr) == 0)
            return descr[0] == '|' && element_width(kinds[i].type) > 1 ? ARRAY_UNREADABLE : kinds[i].type;
    }
    return ARRAY_UNREADABLE;
}

static const char *advice(const struct header *h)
{
    if (h->structured)
        return "it has named fields; save each field as an array of its own: np.savez('x.npz', a=x['a'], "
               "b=x['b'])";
    switch (h->descr[0] ? h->descr[1] : '\0') {
    case 'O':
        return "it holds Python objects, which cannot be read without running them; save arrays of numbers: "
               "x.astype('int32'), or each list as an array of its own in an .npz";
    case 'U':
    case 'S':
        return "it holds text; save numbers: np.unique(x, return_inverse=True) numbers the texts";
    case 'V':
        return "it holds bytes without a meaning (bfloat16, perhaps, which numpy does not know); save "
               "x.astype('float32')";
    default:
        return "its elements are none of bool, int8..64, uint8..64, float16..64; save x.astype('float32') or "
               "x.astype('int32')";
    }
}

/* A Fortran array's first dimension runs fastest. */
static int set_strides(struct arrays *a, struct item *item, struct error *err)
{
    int n = item->array.n_dimensions;
    int64_t *strides = listing_claim(a, sizeof *strides * (size_t)n, err), stride = 1;

    for (int i = 0; strides && i < n; i++) {
        strides[i] = stride;
        stride *= item->array.shape[i];
    }
    item->strides = strides;
    return strides ? 0 : -1;
}

static int set_shape(const struct arrays *a, struct item *item, const struct header *h, struct error *err)
{
    struct array *x = &item->array;

    if (h->n_dimensions > ARRAY_MAX_DIMENSIONS)
        return blob_refuse(&a->blob, err, "array '%.100s' has more than %d dimensions; reshape it", x->name,
                           ARRAY_MAX_DIMENSIONS);
    x->n_dimensions = h->n_dimensions;
    memcpy(x->shape, h->shape, sizeof x->shape);
    x->count = elements_count(x->shape, x->n_dimensions);
    if (x->count < 0)
        return blob_refuse(&a->blob, err, "array '%.100s' has a shape that no file can hold", x->name);
    return 0;
}

static int check_size(const struct arrays *a, const struct item *item, int64_t data, struct error *err)
{
    const struct array *x = &item->array;
    int64_t bytes = x->count * (int64_t)element_width(x->type);

    if (bytes > data)
        return blob_refuse(&a->blob, err,
                           "array '%.100s' needs %" PRId64 " bytes and %" PRId64 " are there; is it cut off?",
                           x->name, bytes, data);
    if (bytes < data)
        return blob_refuse(&a->blob, err,
                           "%" PRId64
                           " bytes follow behind array '%.100s'; several arrays go into one file by np.savez",
                           data - bytes, x->name);
    return 0;
}

int npy_parse(struct arrays *a, struct item *item, const char *header, size_t n, int64_t data,
              struct error *err)
{
    size_t before = header[6] == 1 ? 10 : 12;
    struct literal l = {header + before, header + n};
    struct header h;

    if (!parse_header(&l, &h))
        return blob_refuse(&a->blob, err, "array '%.100s': its header is no numpy's, from offset %td on",
                           item->array.name, l.at - header);
    if (set_shape(a, item, &h, err))
        return -1;
    item->array.type = h.structured ? ARRAY_UNREADABLE : find_kind(h.descr);
    item->swapped = h.descr[0] == '>';
    if (item->array.type == ARRAY_UNREADABLE) {
        item->refusal = advice(&h);
        return 0;
    }
    if (check_size(a, item, data, err))
        return -1;
    return h.fortran && h.n_dimensions > 1 ? set_strides(a, item, err) : 0;
}

/* ---- a file of its own ---- */

static int list_alone(struct arrays *a, const char *header, size_t n, struct error *err)
{
    struct item item = {.array.name = "", .at = (int64_t)n};

    if (npy_parse(a, &item, header, n, a->blob.size - item.at, err))
        return -1;
    if (item.refusal)
        return blob_refuse(&a->blob, err, "%s", item.refusal);
    return listing_add(a, &item, err);
}

int npy_open(struct arrays *a, struct error *err)
{
    uint8_t prefix[NPY_PREFIX];
    char *header;
    int result = -1;

    a->format = "npy";
    if (blob_read(&a->blob, 0, prefix, sizeof prefix, err))
        return -1;
    size_t n = npy_header_length(prefix);
    if (n == 0 || n > NPY_LONGEST_HEADER)
        return blob_refuse(&a->blob, err,
                           "an .npy of version %d with a header of %zu bytes, which nobody writes", prefix[6],
                           n);
    header = malloc(n);
    if (!header)
        return error_no_memory(err, a->blob.path);
    if (blob_read(&a->blob, 0, header, n, err) == 0)
        result = list_alone(a, header, n, err);
    free(header);
    return result;
}
