/* torch.save's .pt: a zip file with a pickle, data.pkl, and a file for each storage of tensors. The pickle's
 * tree is flattened to paths. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/elements.h"
#include "import/shared/listing.h"
#include "import/shared/pickle.h"

enum {
    LONGEST_PICKLE = 1 << 28,
    LONGEST_PATH = 1023,
    DEEPEST = 64,
    MOST_VISITED = 1 << 28, /* values, however often the pickle refers to one */
    MOST_LISTED = 1 << 22,  /* arrays and notes */
    MOST_TEXT = 64 << 20    /* bytes of paths and texts, beyond what the pickle has */
};
static const char pickle_name[] = "data.pkl";

struct flattening {
    struct arrays *a;
    const struct zip_entry *pickle;
    bool swapped;
    int64_t visits, listings, texts; /* that are left: values, arrays and notes, bytes of paths and texts */
    int depth;
    char path[LONGEST_PATH + 1];
    size_t length;
    struct error *err;
};

static int refuse(const struct flattening *f, const char *what)
{
    return blob_refuse(&f->a->blob, f->err, "'%.100s' in its pickle %s", f->path, what);
}

/* A small pickle can refer to one list, of lists that do the same, more often than memory and time last. */
static int too_many(const struct flattening *f)
{
    return refuse(f, "is one of too many: the same things are referred to over and over");
}

/* ---- listing ---- */

static const char *keep(struct flattening *f, const char *text, size_t n)
{
    f->texts -= (int64_t)n + 1;
    if (f->texts < 0) {
        (void)too_many(f);
        return NULL;
    }
    return listing_keep(f->a, text, n, f->err);
}

static const char *keep_path(struct flattening *f)
{
    if (--f->listings < 0) {
        (void)too_many(f);
        return NULL;
    }
    return keep(f, f->path, f->length);
}

static int list_text(struct flattening *f, const char *text, size_t n)
{
    const char *key = keep_path(f), *kept = key ? keep(f, text, n) : NULL;

    return kept ? listing_add_note(f->a, key, kept, f->err) : -1;
}

static enum array_type type_of(enum pickled_kind kind)
{
    return kind == PICKLED_BOOL ? ARRAY_BOOL : kind == PICKLED_INTEGER ? ARRAY_I64 : ARRAY_F64;
}

/* As it would lie in a file. */
static void write_element(const struct pickled *value, enum array_type type, uint8_t *to)
{
    double real = value->kind == PICKLED_REAL ? value->real : (double)value->integer;
    uint64_t bits = (uint64_t)value->integer;

    if (type == ARRAY_F64)
        memcpy(&bits, &real, sizeof bits);
    for (size_t i = 0; i < element_width(type); i++)
        to[i] = (uint8_t)(bits >> (8 * i));
}

static int list_numbers(struct flattening *f, const char *name, const struct pickled *values, size_t n,
                        enum array_type type, int n_dimensions)
{
    uint8_t *bytes = listing_claim(f->a, n * element_width(type) + 1, f->err);
    struct item item = {.array = {.name = name,
                                  .type = type,
                                  .n_dimensions = n_dimensions,
                                  .shape = {(int64_t)n},
                                  .count = (int64_t)n},
                        .memory = bytes};

    if (!bytes)
        return -1;
    for (size_t i = 0; i < n; i++)
        write_element(&values[i], type, bytes + i * element_width(type));
    if (n_dimensions == 0)
        item.array.shape[0] = 0;
    return listing_add(f->a, &item, f->err);
}

static int list_number(struct flattening *f, const struct pickled *value)
{
    enum array_type type = type_of(value->kind);
    const char *name = keep_path(f);
    uint8_t bytes[8];
    char text[32], *kept;

    if (!name)
        return -1;
    write_element(value, type, bytes);
    element_text(type, bytes, text);
    kept = listing_keep(f->a, text, strlen(text), f->err);
    return !kept || listing_add_note(f->a, name, kept, f->err) ? -1
                                                               : list_numbers(f, name, value, 1, type, 0);
}

/* ---- tensors ---- */

static struct zip_entry *find_storage(const struct flattening *f, const struct pickled_storage *s)
{
    char name[LONGEST_PATH + 1];
    size_t prefix = strlen(f->pickle->name) - strlen(pickle_name);

    if (prefix + s->key.length + 6 > sizeof name)
        return NULL;
    snprintf(name, sizeof name, "%.*sdata/%.*s", (int)prefix, f->pickle->name, (int)s->key.length,
             s->key.text);
    return zip_find(&f->a->zip, name);
}

static bool is_dense(const struct pickled_tensor *t)
{
    int64_t stride = 1;

    for (int i = t->n_dimensions - 1; i >= 0; i--) {
        if (t->shape[i] > 1 && t->stride[i] != stride)
            return false;
        stride *= t->shape[i];
    }
    return true;
}

static int place(struct flattening *f, const struct pickled_tensor *t, struct item *item)
{
    const struct pickled_storage *s = t->storage;
    int64_t width = (int64_t)element_width(t->type);
    int64_t *strides = NULL;

    if (item->array.count == 0)
        return 0;
    item->entry = find_storage(f, s);
    if (!item->entry)
        return refuse(f, "is a tensor whose storage is not in the file");
    if (item->entry->size < s->count * (s->untyped ? 1 : width))
        return refuse(f, "is a tensor whose storage is too short; is the file cut off?");
    item->at = t->offset * width;
    if (!is_dense(t)) {
        strides = listing_claim(f->a, sizeof t->stride, f->err);
        if (!strides)
            return -1;
        memcpy(strides, t->stride, sizeof t->stride);
    }
    item->strides = strides;
    return 0;
}

static int list_tensor(struct flattening *f, const struct pickled_tensor *t)
{
    struct item item = {.array = {.type = t->type, .n_dimensions = t->n_dimensions}, .swapped = f->swapped};

    item.array.name = keep_path(f);
    if (!item.array.name)
        return -1;
    memcpy(item.array.shape, t->shape, sizeof t->shape);
    item.array.count = elements_count(t->shape, t->n_dimensions);
    if (t->type == ARRAY_UNREADABLE)
        item.refusal = "it is complex or of 8-bit reals; save it as float32";
    else if (place(f, t, &item))
        return -1;
    return listing_add(f->a, &item, f->err);
}

/* ---- the tree ---- */

static int flatten(struct flattening *f, const struct pickled *value);

static int extend_path(struct flattening *f, const char *part, size_t n)
{
    size_t dot = f->depth > 1;

    if (n > LONGEST_PATH - f->length || dot > LONGEST_PATH - f->length - n)
        return refuse(f, "has a name that is too long");
    if (memchr(part, '\0', n))
        return refuse(f, "has a name with a NUL in it");
    if (dot)
        f->path[f->length++] = '.';
    memcpy(f->path + f->length, part, n);
    f->length += n;
    f->path[f->length] = '\0';
    return 0;
}

static int flatten_part(struct flattening *f, const char *part, size_t n, const struct pickled *value)
{
    size_t length = f->length;
    int result = extend_path(f, part, n) || flatten(f, value) ? -1 : 0;

    f->length = length;
    f->path[length] = '\0';
    return result;
}

/* What all its values are, if they are numbers; PICKLED_OTHER: they are not. */
static enum pickled_kind kind_of_all(const struct pickled_items *list)
{
    enum pickled_kind kind = list->n > 0 ? list->values[0].kind : PICKLED_INTEGER;

    for (size_t i = 0; i < list->n; i++) {
        enum pickled_kind other = list->values[i].kind;
        if (other != PICKLED_BOOL && other != PICKLED_INTEGER && other != PICKLED_REAL)
            return PICKLED_OTHER;
        if (other != kind) /* True is 1 */
            kind = other == PICKLED_REAL || kind == PICKLED_REAL ? PICKLED_REAL : PICKLED_INTEGER;
    }
    return kind;
}

static int flatten_list(struct flattening *f, const struct pickled_items *list)
{
    enum pickled_kind kind = kind_of_all(list);
    char part[24];

    if (kind != PICKLED_OTHER) {
        f->visits -= (int64_t)list->n;
        if (f->visits < 0)
            return too_many(f);
        const char *name = keep_path(f);
        return name ? list_numbers(f, name, list->values, list->n, type_of(kind), 1) : -1;
    }
    for (size_t i = 0; i < list->n; i++) {
        snprintf(part, sizeof part, "%zu", i);
        if (flatten_part(f, part, strlen(part), &list->values[i]))
            return -1;
    }
    return 0;
}

static int flatten_dict(struct flattening *f, const struct pickled_items *dict)
{
    for (size_t i = 0; i < dict->n; i += 2) {
        const struct pickled *key = &dict->values[i];
        uint8_t bytes[8];
        char text[32];
        if (key->kind == PICKLED_BOOL || key->kind == PICKLED_INTEGER || key->kind == PICKLED_REAL) {
            write_element(key, type_of(key->kind), bytes);
            element_text(type_of(key->kind), bytes, text);
        } else if (key->kind != PICKLED_TEXT) {
            return refuse(f, "has keys that are neither text nor numbers");
        }
        const char *part = key->kind == PICKLED_TEXT ? key->text : text;
        if (flatten_part(f, part, key->kind == PICKLED_TEXT ? key->length : strlen(text), key + 1))
            return -1;
    }
    return 0;
}

static int flatten_items(struct flattening *f, const struct pickled *value)
{
    int result;

    if (value->items->open)
        return refuse(f, "contains itself");
    if (f->depth == DEEPEST)
        return refuse(f, "is nested too deep");
    value->items->open = true;
    f->depth++;
    result = value->kind == PICKLED_DICT ? flatten_dict(f, value->items) : flatten_list(f, value->items);
    f->depth--;
    value->items->open = false;
    return result;
}

static int flatten(struct flattening *f, const struct pickled *value)
{
    if (--f->visits < 0)
        return too_many(f);
    switch (value->kind) {
    case PICKLED_LIST:
    case PICKLED_DICT:
        return flatten_items(f, value);
    case PICKLED_TENSOR:
        return list_tensor(f, value->tensor);
    case PICKLED_TEXT:
        return list_text(f, value->text, value->length);
    case PICKLED_BOOL:
    case PICKLED_INTEGER:
    case PICKLED_REAL:
        return list_number(f, value);
    case PICKLED_NONE:
    case PICKLED_STORAGE:
    case PICKLED_GLOBAL:
    case PICKLED_OTHER:
    case PICKLED_MARK:
        break;
    }
    return 0;
}

/* ---- the file ---- */

static int flatten_pickle(struct flattening *f, const uint8_t *bytes, size_t n)
{
    struct pickle p;
    struct pickled value;
    int result;

    result = pickle_read(&p, &f->a->blob, bytes, n, &value, f->err) || flatten(f, &value) ? -1 : 0;
    pickle_release(&p);
    return result;
}

static int read_pickle(struct flattening *f, struct zip_entry *e)
{
    uint8_t *bytes;
    int result;

    if (e->size > LONGEST_PICKLE)
        return blob_refuse(&f->a->blob, f->err,
                           "its pickle has %" PRId64 " bytes; tensors do not belong there", e->size);
    f->visits = e->size < MOST_VISITED / 16 ? 8 * e->size + 65536 : MOST_VISITED;
    f->listings = e->size < MOST_LISTED - 4096 ? e->size + 4096 : MOST_LISTED;
    f->texts = MOST_TEXT + 16 * e->size;
    bytes = malloc((size_t)e->size + 1);
    if (!bytes)
        return error_no_memory(f->err, f->a->blob.path);
    result = zip_read(f->a, e, 0, bytes, (size_t)e->size, f->err) || flatten_pickle(f, bytes, (size_t)e->size)
                 ? -1
                 : 0;
    free(bytes);
    return result;
}

/* Old files do not say; they are little-endian. */
static int read_byte_order(struct flattening *f)
{
    char name[LONGEST_PATH + 1], order[3] = {0};
    int prefix = (int)(strlen(f->pickle->name) - strlen(pickle_name));
    struct zip_entry *e;

    snprintf(name, sizeof name, "%.*sbyteorder", prefix, f->pickle->name);
    e = zip_find(&f->a->zip, name);
    if (e && zip_read(f->a, e, 0, order, sizeof order, f->err))
        return -1;
    f->swapped = memcmp(order, "big", sizeof order) == 0;
    return 0;
}

/* data.pkl at the top or in a folder; NULL: none. */
static struct zip_entry *find_pickle(const struct zip *z)
{
    for (int i = 0; i < z->n; i++) {
        const char *name = z->entries[i].name, *slash = strchr(name, '/');
        if (strcmp(slash ? slash + 1 : name, pickle_name) == 0)
            return &z->entries[i];
    }
    return NULL;
}

bool torch_is_here(const struct arrays *a)
{
    return find_pickle(&a->zip) != NULL;
}

int torch_open(struct arrays *a, struct error *err)
{
    struct zip_entry *pickle = find_pickle(&a->zip);
    struct flattening *f = calloc(1, sizeof *f);
    int result;

    a->format = "pt";
    if (!f)
        return error_no_memory(err, a->blob.path);
    f->a = a;
    f->pickle = pickle;
    f->err = err;
    for (int i = 0; i < a->zip.n; i++)
        a->zip.entries[i].unsure = true; /* torch can be told to write no checksums */
    result = read_byte_order(f) || read_pickle(f, pickle) ? -1 : 0;
    free(f);
    return result;
}

/* ---- what only looks like it ---- */

const char *torch_refusal(const uint8_t start[ARRAYS_BEGINNING])
{
    static const uint8_t legacy[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                     0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

    if (memcmp(start, legacy, sizeof legacy) == 0)
        return "torch.save's format of before torch 1.6; load it and save it with a newer torch, without "
               "_use_new_zipfile_serialization=False";
    if (start[0] == 0x80 && start[1] >= 2 && start[1] <= 5)
        return "a bare pickle, which only what wrote it can read; save it with torch.save, or its arrays "
               "with np.savez";
    return NULL;
}
