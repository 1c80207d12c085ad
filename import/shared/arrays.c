#include "import/shared/arrays.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/elements.h"
#include "import/shared/listing.h"
#include "import/shared/npy.h"
#include "import/shared/strided.h"

/* ---- which format ---- */

static int open_zip(struct arrays *a, struct error *err)
{
    if (zip_open(a, err))
        return -1;
    return torch_is_here(a) ? torch_open(a, err) : npz_open(a, err);
}

static int open_format(struct arrays *a, struct error *err)
{
    uint8_t start[ARRAYS_BEGINNING] = {0};
    size_t n = a->blob.size < ARRAYS_BEGINNING ? (size_t)a->blob.size : ARRAYS_BEGINNING;

    if (blob_read(&a->blob, 0, start, n, err))
        return -1;
    if (memcmp(start, npy_magic, NPY_MAGIC) == 0)
        return npy_open(a, err);
    if (memcmp(start, "PK\3\4", 4) == 0 || memcmp(start, "PK\5\6", 4) == 0)
        return open_zip(a, err);
    if (memcmp(start, "GGUF", 4) == 0)
        return gguf_open(a, err);
    if (start[8] == '{')
        return safetensors_open(a, err);
    if (torch_refusal(start))
        return blob_refuse(&a->blob, err, "%s", torch_refusal(start));
    if (gguf_is_legacy(start))
        return blob_refuse(&a->blob, err,
                           "an imatrix of the old kind, which has one count for all experts of a "
                           "layer; run llama-imatrix again with --output-format gguf");
    return blob_refuse(&a->blob, err,
                       "in none of the formats that can be read: .npy, .npz, safetensors, GGUF, "
                       "torch.save's .pt");
}

/* ---- opening ---- */

static int open_blob(struct arrays **a, const char *path, const void *bytes, size_t n, struct error *err)
{
    *a = malloc(sizeof **a);
    if (!*a)
        return error_no_memory(err, path);
    memset(*a, 0, offsetof(struct arrays, buffer));
    (*a)->blob.descriptor = -1;
    if ((bytes ? blob_open_memory(&(*a)->blob, bytes, n, path, err) : blob_open(&(*a)->blob, path, err)) ||
        open_format(*a, err) || listing_finish(*a, err)) {
        arrays_close(*a);
        *a = NULL;
        return -1;
    }
    return 0;
}

int arrays_open(struct arrays **a, const char *path, struct error *err)
{
    return open_blob(a, path, NULL, 0, err);
}

int arrays_open_memory(struct arrays **a, const void *bytes, size_t n, const char *what, struct error *err)
{
    return open_blob(a, what, bytes ? bytes : "", n, err);
}

void arrays_close(struct arrays *a)
{
    if (!a)
        return;
    zip_close(&a->zip);
    blob_close(&a->blob);
    slab_release(&a->kept);
    free(a->items);
    free(a->notes);
    free(a->by_name);
    free(a);
}

/* ---- what is there ---- */

const char *arrays_format(const struct arrays *a)
{
    return a->format;
}

int arrays_n(const struct arrays *a)
{
    return a->n;
}

const struct array *arrays_at(const struct arrays *a, int i)
{
    assert(i >= 0 && i < a->n);
    return &a->items[i].array;
}

const struct array *arrays_find(const struct arrays *a, const char *name)
{
    int low = 0, high = a->n;

    while (low < high) {
        int middle = low + (high - low) / 2;
        const struct array *x = &a->items[a->by_name[middle]].array;
        int order = strcmp(name, x->name);
        if (order == 0)
            return x;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static int compare_key(const void *key, const void *note)
{
    return strcmp(key, ((const struct note *)note)->key);
}

const char *arrays_note(const struct arrays *a, const char *key)
{
    const struct note *note =
        a->n_notes > 0 ? bsearch(key, a->notes, (size_t)a->n_notes, sizeof *a->notes, compare_key) : NULL;

    return note ? note->text : NULL;
}

int arrays_n_notes(const struct arrays *a)
{
    return a->n_notes;
}

const char *arrays_note_key(const struct arrays *a, int i)
{
    assert(i >= 0 && i < a->n_notes);
    return a->notes[i].key;
}

/* ---- numbers ---- */

static int not_whole(const struct arrays *a, const struct item *item, int64_t element, const uint8_t *bytes,
                     struct error *err)
{
    char value[32];

    element_text(item->array.type, bytes, value);
    return blob_refuse(&a->blob, err, "array '%.100s': element %" PRId64 " is %s, no whole number of 64 bits",
                       item->array.name, element, value);
}

/* Neighbours: converted right to where they go. */
static int put_dense(struct arrays *a, const struct item *item, int64_t element, const uint8_t *bytes,
                     size_t n, const struct numbers *to, struct error *err)
{
    size_t fit;

    if (to->reals) {
        elements_reals(item->array.type, bytes, n, to->reals);
        return 0;
    }
    fit = elements_integers(item->array.type, bytes, n, to->integers);
    if (fit < n)
        return not_whole(a, item, element + (int64_t)fit, bytes + fit * element_width(item->array.type), err);
    return 0;
}

int numbers_put(struct arrays *a, const struct item *item, int64_t element, size_t n,
                const struct numbers *to, int64_t at, int64_t step, struct error *err)
{
    size_t width = element_width(item->array.type);

    for (size_t i = 0; i < n; i += step == 1 ? n : 1, at += step, element += step) {
        struct numbers here = {to->integers ? to->integers + at : NULL, to->reals ? to->reals + at : NULL};
        if (put_dense(a, item, element, a->buffer + i * width, step == 1 ? n : 1, &here, err))
            return -1;
    }
    return 0;
}

static int read_numbers(struct arrays *a, const struct array *x, int64_t first, int64_t n,
                        const struct numbers *to, struct error *err)
{
    const struct item *item = a->items + ((const struct item *)x - a->items);
    int64_t most = ARRAYS_BUFFER / 8;

    assert(first >= 0 && n >= 0 && first <= x->count && n <= x->count - first);
    if (x->type == ARRAY_UNREADABLE)
        return blob_refuse(&a->blob, err, "array '%.100s': %s", x->name, item->refusal);
    if (item->strides)
        return strided_read(a, item, first, n, to, err);
    for (int64_t done = 0; done < n; done += most) {
        size_t m = (size_t)(n - done < most ? n - done : most);
        if (listing_fetch(a, item, first + done, m, err) ||
            numbers_put(a, item, first + done, m, to, done, 1, err))
            return -1;
    }
    return 0;
}

int arrays_integers(struct arrays *a, const struct array *x, int64_t first, int64_t n, int64_t *out,
                    struct error *err)
{
    return read_numbers(a, x, first, n, &(struct numbers){.integers = out}, err);
}

int arrays_reals(struct arrays *a, const struct array *x, int64_t first, int64_t n, float *out,
                 struct error *err)
{
    return read_numbers(a, x, first, n, &(struct numbers){.reals = out}, err);
}
