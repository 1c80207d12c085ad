/* The names that a pickle of torch's may use, and what a call of each makes: a struct filled in, no more. */
#include <string.h>

#include "import/shared/elements.h"
#include "import/shared/pickle.h"

enum purpose { STORAGE_CLASS, DTYPE, TENSOR, TENSOR_WITH_DTYPE, PARAMETER, ORDERED_DICT, SIZE };

struct pickled_global {
    const char *module, *name;
    enum purpose purpose;
    enum array_type type; /* of a class of storages or a dtype */
    bool untyped;
};

static const struct pickled_global globals[] = {
    {"torch._utils", "_rebuild_tensor_v2", TENSOR, 0, false},
    {"torch._utils", "_rebuild_tensor_v3", TENSOR_WITH_DTYPE, 0, false},
    {"torch._utils", "_rebuild_parameter", PARAMETER, 0, false},
    {"collections", "OrderedDict", ORDERED_DICT, 0, false},
    {"torch", "Size", SIZE, 0, false},
    {"torch", "BoolStorage", STORAGE_CLASS, ARRAY_BOOL, false},
    {"torch", "CharStorage", STORAGE_CLASS, ARRAY_I8, false},
    {"torch", "ByteStorage", STORAGE_CLASS, ARRAY_U8, false},
    {"torch", "ShortStorage", STORAGE_CLASS, ARRAY_I16, false},
    {"torch", "IntStorage", STORAGE_CLASS, ARRAY_I32, false},
    {"torch", "LongStorage", STORAGE_CLASS, ARRAY_I64, false},
    {"torch", "HalfStorage", STORAGE_CLASS, ARRAY_F16, false},
    {"torch", "BFloat16Storage", STORAGE_CLASS, ARRAY_BF16, false},
    {"torch", "FloatStorage", STORAGE_CLASS, ARRAY_F32, false},
    {"torch", "DoubleStorage", STORAGE_CLASS, ARRAY_F64, false},
    {"torch", "ComplexFloatStorage", STORAGE_CLASS, ARRAY_UNREADABLE, false},
    {"torch", "ComplexDoubleStorage", STORAGE_CLASS, ARRAY_UNREADABLE, false},
    {"torch", "UntypedStorage", STORAGE_CLASS, ARRAY_UNREADABLE, true},
    {"torch.storage", "UntypedStorage", STORAGE_CLASS, ARRAY_UNREADABLE, true},
    {"torch", "bool", DTYPE, ARRAY_BOOL, false},
    {"torch", "int8", DTYPE, ARRAY_I8, false},
    {"torch", "uint8", DTYPE, ARRAY_U8, false},
    {"torch", "int16", DTYPE, ARRAY_I16, false},
    {"torch", "uint16", DTYPE, ARRAY_U16, false},
    {"torch", "int32", DTYPE, ARRAY_I32, false},
    {"torch", "uint32", DTYPE, ARRAY_U32, false},
    {"torch", "int64", DTYPE, ARRAY_I64, false},
    {"torch", "uint64", DTYPE, ARRAY_U64, false},
    {"torch", "float16", DTYPE, ARRAY_F16, false},
    {"torch", "bfloat16", DTYPE, ARRAY_BF16, false},
    {"torch", "float32", DTYPE, ARRAY_F32, false},
    {"torch", "float64", DTYPE, ARRAY_F64, false},
    {"torch", "complex64", DTYPE, ARRAY_UNREADABLE, false},
    {"torch", "complex128", DTYPE, ARRAY_UNREADABLE, false},
    {"torch", "float8_e4m3fn", DTYPE, ARRAY_UNREADABLE, false},
    {"torch", "float8_e5m2", DTYPE, ARRAY_UNREADABLE, false},
};
enum { N_GLOBALS = sizeof globals / sizeof globals[0] };

static bool says(const struct pickled *text, const char *word)
{
    return text->kind == PICKLED_TEXT && text->length == strlen(word) &&
           memcmp(text->text, word, text->length) == 0;
}

int rebuild_global(struct pickle *p, const struct pickled *module, const struct pickled *name,
                   struct pickled *value)
{
    if (module->kind != PICKLED_TEXT || name->kind != PICKLED_TEXT)
        return pickle_refuse(p, "a name that is no text");
    for (int i = 0; i < N_GLOBALS; i++) {
        if (says(module, globals[i].module) && says(name, globals[i].name)) {
            *value = (struct pickled){.kind = PICKLED_GLOBAL, .global = &globals[i]};
            return 0;
        }
    }
    return blob_refuse(
        p->blob, p->err,
        "it wants to call '%.*s %.*s': refused; nothing in it was run. Save what it holds as tensors, "
        "numbers, text, lists and dicts",
        (int)(module->length < 100 ? module->length : 100), module->text,
        (int)(name->length < 100 ? name->length : 100), name->text);
}

/* ---- tensors ---- */

/* Item i of a tuple, when it is of that kind; NULL: it is not. */
static const struct pickled *item(const struct pickled *tuple, size_t i, enum pickled_kind kind)
{
    if (tuple->kind != PICKLED_LIST || i >= tuple->items->n || tuple->items->values[i].kind != kind)
        return NULL;
    return &tuple->items->values[i];
}

static bool read_sizes(const struct pickled *tuple, int64_t *sizes)
{
    for (size_t i = 0; i < tuple->items->n; i++) {
        const struct pickled *size = item(tuple, i, PICKLED_INTEGER);
        if (!size || size->integer < 0)
            return false;
        sizes[i] = size->integer;
    }
    return true;
}

/* The last element lies within the storage's `n`. */
static bool lies_within(const struct pickled_tensor *t, int64_t n)
{
    int64_t at = t->offset;

    if (at >= n)
        return false;
    for (int i = 0; i < t->n_dimensions; i++) {
        int64_t steps = t->shape[i] - 1;
        if (steps > 0 && t->stride[i] > 0 && steps > (n - 1 - at) / t->stride[i])
            return false;
        at += steps > 0 ? steps * t->stride[i] : 0;
    }
    return true;
}

/* Strides of 0 let a few bytes be as many elements as one likes. */
static const char *find_fault(const struct pickled_tensor *t)
{
    const int64_t plenty = 1 << 22;
    size_t width = element_width(t->type);
    int64_t count = elements_count(t->shape, t->n_dimensions), n = t->storage->count;

    if (t->storage->untyped)
        n = width > 0 ? n / (int64_t)width : 0;
    if (count < 0)
        return "a tensor of a shape that no file can hold";
    if (width > 0 && count > 0 && !lies_within(t, n))
        return "a tensor that goes beyond its storage";
    if (width > 0 && count > n && count > plenty)
        return "a tensor that repeats its elements over and over; save its contiguous() copy";
    return NULL;
}

static int make_tensor(struct pickle *p, const struct pickled_tensor *tensor, struct pickled *value)
{
    const char *fault = find_fault(tensor);
    struct pickled_tensor *kept;

    if (fault)
        return pickle_refuse(p, fault);
    kept = slab_claim(&p->slab, sizeof *kept);
    if (!kept)
        return error_no_memory(p->err, p->blob->path);
    *kept = *tensor;
    *value = (struct pickled){.kind = PICKLED_TENSOR, .tensor = kept};
    return 0;
}

/* (storage, offset, shape, strides, requires_grad, hooks, and for the third version a dtype, ...) */
static int call_tensor(struct pickle *p, bool with_dtype, const struct pickled *arguments,
                       struct pickled *value)
{
    const struct pickled *storage = item(arguments, 0, PICKLED_STORAGE),
                         *offset = item(arguments, 1, PICKLED_INTEGER),
                         *shape = item(arguments, 2, PICKLED_LIST),
                         *stride = item(arguments, 3, PICKLED_LIST),
                         *dtype = item(arguments, 6, PICKLED_GLOBAL);
    struct pickled_tensor tensor;

    if (!storage || !offset || !shape || !stride || offset->integer < 0 ||
        shape->items->n != stride->items->n || with_dtype != storage->storage->untyped ||
        (with_dtype && (!dtype || dtype->global->purpose != DTYPE)))
        return pickle_refuse(p, "a tensor that makes no sense");
    if (shape->items->n > ARRAY_MAX_DIMENSIONS)
        return pickle_refuse(p, "a tensor of more than 8 dimensions");
    tensor = (struct pickled_tensor){.storage = storage->storage,
                                     .type = with_dtype ? dtype->global->type : storage->storage->type,
                                     .n_dimensions = (int)shape->items->n,
                                     .offset = offset->integer};
    if (!read_sizes(shape, tensor.shape) || !read_sizes(stride, tensor.stride))
        return pickle_refuse(p, "a tensor that makes no sense");
    return make_tensor(p, &tensor, value);
}

/* ('storage', class, key, where it was, count) */
int rebuild_storage(struct pickle *p, const struct pickled *id, struct pickled *value)
{
    const struct pickled *word = item(id, 0, PICKLED_TEXT), *class = item(id, 1, PICKLED_GLOBAL),
                         *key = item(id, 2, PICKLED_TEXT), *count = item(id, 4, PICKLED_INTEGER);
    struct pickled_storage *kept;

    if (!word || !says(word, "storage") || !class || class->global->purpose != STORAGE_CLASS || !key ||
        !count || count->integer < 0 || count->integer > INT64_MAX / 8)
        return pickle_refuse(p, "a storage that makes no sense");
    kept = slab_claim(&p->slab, sizeof *kept);
    if (!kept)
        return error_no_memory(p->err, p->blob->path);
    *kept = (struct pickled_storage){*key, class->global->type, class->global->untyped, count->integer};
    *value = (struct pickled){.kind = PICKLED_STORAGE, .storage = kept};
    return 0;
}

/* ---- calls ---- */

static int take_first(const struct pickle *p, const struct pickled *arguments, enum pickled_kind kind,
                      const char *fault, struct pickled *value)
{
    const struct pickled *first = item(arguments, 0, kind);

    if (!first)
        return pickle_refuse(p, fault);
    *value = *first;
    return 0;
}

int rebuild_call(struct pickle *p, const struct pickled *global, const struct pickled *arguments,
                 struct pickled *value)
{
    if (global->kind != PICKLED_GLOBAL || arguments->kind != PICKLED_LIST)
        return pickle_refuse(p, "a call of what cannot be called");
    switch (global->global->purpose) {
    case TENSOR:
        return call_tensor(p, false, arguments, value);
    case TENSOR_WITH_DTYPE:
        return call_tensor(p, true, arguments, value);
    case PARAMETER:
        return take_first(p, arguments, PICKLED_TENSOR, "a parameter without a tensor", value);
    case SIZE:
        return take_first(p, arguments, PICKLED_LIST, "a size without a tuple", value);
    case ORDERED_DICT:
        return arguments->items->n == 0 ? pickle_new_items(p, PICKLED_DICT, value)
                                        : pickle_refuse(p, "an OrderedDict of arguments");
    case STORAGE_CLASS:
    case DTYPE:
        break;
    }
    return pickle_refuse(p, "a call of what cannot be called");
}
