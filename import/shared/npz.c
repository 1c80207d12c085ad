/* numpy's .npz: a zip file of .npy's. */
#include <stdlib.h>
#include <string.h>

#include "import/shared/listing.h"
#include "import/shared/npy.h"

static const char suffix[] = ".npy";
enum { SUFFIX = sizeof suffix - 1 };

static bool is_npy(const char *name)
{
    size_t n = strlen(name);

    return n > SUFFIX && strcmp(name + n - SUFFIX, suffix) == 0;
}

static int read_header(struct arrays *a, struct item *item, char *header, struct error *err)
{
    size_t n;

    if (zip_read(a, item->entry, 0, header, NPY_PREFIX, err))
        return -1;
    n = npy_header_length((const uint8_t *)header);
    if (n < NPY_PREFIX || n > NPY_LONGEST_HEADER)
        return blob_refuse(&a->blob, err, "array '%.100s' is no .npy of a version that is known",
                           item->array.name);
    if (zip_read(a, item->entry, NPY_PREFIX, header + NPY_PREFIX, n - NPY_PREFIX, err))
        return -1;
    item->at = (int64_t)n;
    return npy_parse(a, item, header, n, item->entry->size - item->at, err);
}

static int list_entry(struct arrays *a, struct zip_entry *e, char *header, struct error *err)
{
    struct item item = {.entry = e};

    item.array.name = listing_keep(a, e->name, strlen(e->name) - SUFFIX, err);
    if (!item.array.name || read_header(a, &item, header, err))
        return -1;
    zip_rest(e);
    return listing_add(a, &item, err);
}

int npz_open(struct arrays *a, struct error *err)
{
    char *header = malloc(NPY_LONGEST_HEADER);

    a->format = "npz";
    if (!header)
        return error_no_memory(err, a->blob.path);
    for (int i = 0; i < a->zip.n; i++) {
        if (is_npy(a->zip.entries[i].name) && list_entry(a, &a->zip.entries[i], header, err)) {
            free(header);
            return -1;
        }
    }
    free(header);
    return a->n > 0 ? 0
                    : blob_refuse(&a->blob, err, "a zip file with neither .npy's nor torch's data.pkl in it");
}
