#include "import/shared/listing.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/elements.h"
#include "import/shared/spans.h"

void *listing_claim(struct arrays *a, size_t n, struct error *err)
{
    void *piece = slab_claim(&a->kept, n);

    if (!piece)
        error_no_memory(err, a->blob.path);
    return piece;
}

char *listing_keep(struct arrays *a, const void *bytes, size_t n, struct error *err)
{
    char *copy = listing_claim(a, n + 1, err);

    if (copy) {
        memcpy(copy, bytes, n);
        copy[n] = '\0';
    }
    return copy;
}

/* Room for one more; NULL: no memory, and what was there stays. */
static void *grow(void *things, int n, int *capacity, size_t size)
{
    int wanted = *capacity > 0 ? 2 * *capacity : 16;
    void *more;

    if (n < *capacity)
        return things;
    if (*capacity > INT_MAX / 2)
        return NULL;
    more = realloc(things, (size_t)wanted * size);
    if (more)
        *capacity = wanted;
    return more;
}

int listing_add(struct arrays *a, const struct item *item, struct error *err)
{
    struct item *items = grow(a->items, a->n, &a->capacity, sizeof *items);

    if (!items)
        return error_no_memory(err, a->blob.path);
    a->items = items;
    items[a->n++] = *item;
    return 0;
}

int listing_add_note(struct arrays *a, const char *key, const char *text, struct error *err)
{
    struct note *notes = grow(a->notes, a->n_notes, &a->notes_capacity, sizeof *notes);

    if (!notes)
        return error_no_memory(err, a->blob.path);
    a->notes = notes;
    notes[a->n_notes++] = (struct note){key, text};
    return 0;
}

static int compare_items(const void *x, const void *y, void *items)
{
    const struct item *i = items;

    return strcmp(i[*(const int *)x].array.name, i[*(const int *)y].array.name);
}

static int compare_notes(const void *x, const void *y)
{
    return strcmp(((const struct note *)x)->key, ((const struct note *)y)->key);
}

static int check_names(const struct arrays *a, struct error *err)
{
    for (int i = 1; i < a->n; i++) {
        const char *name = a->items[a->by_name[i]].array.name;
        if (strcmp(name, a->items[a->by_name[i - 1]].array.name) == 0)
            return blob_refuse(&a->blob, err, "two arrays in it are called '%.100s'", name);
    }
    for (int i = 1; i < a->n_notes; i++) {
        if (strcmp(a->notes[i].key, a->notes[i - 1].key) == 0)
            return blob_refuse(&a->blob, err, "it says '%.100s' twice", a->notes[i].key);
    }
    return 0;
}

int listing_finish(struct arrays *a, struct error *err)
{
    a->by_name = malloc(((size_t)a->n + 1) * sizeof *a->by_name);
    if (!a->by_name)
        return error_no_memory(err, a->blob.path);
    for (int i = 0; i < a->n; i++)
        a->by_name[i] = i;
    qsort_r(a->by_name, (size_t)a->n, sizeof *a->by_name, compare_items, a->items);
    if (a->n_notes > 0)
        qsort(a->notes, (size_t)a->n_notes, sizeof *a->notes, compare_notes);
    return check_names(a, err);
}

int listing_check_places(const struct arrays *a, int64_t begin, bool tight, struct error *err)
{
    struct span *spans = malloc(((size_t)a->n + 1) * sizeof *spans);
    int result;

    if (!spans)
        return error_no_memory(err, a->blob.path);
    for (int i = 0; i < a->n; i++)
        spans[i] = (struct span){a->items[i].at, a->items[i].end, a->items[i].array.name};
    result = spans_check(&a->blob, spans, a->n, begin, a->blob.size, tight, err);
    free(spans);
    return result;
}

int listing_fetch(struct arrays *a, const struct item *item, int64_t first, size_t n, struct error *err)
{
    size_t width = element_width(item->array.type);
    int64_t at = item->at + first * (int64_t)width;

    if (item->memory) {
        memcpy(a->buffer, item->memory + at, n * width);
        return 0;
    }
    if (item->entry && item->strides && zip_spool(a, item->entry, err))
        return -1;
    if (item->entry ? zip_read(a, item->entry, at, a->buffer, n * width, err)
                    : blob_read(&a->blob, at, a->buffer, n * width, err))
        return -1;
    if (item->swapped)
        elements_swap(a->buffer, n, width);
    return 0;
}
