/* Python's pickles, of what torch.save writes and no more: a machine that builds values and can call nothing.
 * What a pickle wants to call is looked up in a list of a few names (rebuild.c), and what stands for them
 * there only fills in a struct; any other name ends the reading. Memory grows with the pickle's bytes, never
 * by what they claim. */
#ifndef IMPORT_SHARED_PICKLE_H
#define IMPORT_SHARED_PICKLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "import/shared/arrays.h"
#include "import/shared/blob.h"
#include "import/shared/slab.h"

enum pickled_kind {
    PICKLED_NONE,
    PICKLED_BOOL,
    PICKLED_INTEGER,
    PICKLED_REAL,
    PICKLED_TEXT,
    PICKLED_LIST, /* or a tuple or a set */
    PICKLED_DICT, /* keys and values in turn */
    PICKLED_TENSOR,
    PICKLED_STORAGE,
    PICKLED_GLOBAL,
    PICKLED_OTHER, /* bytes, integers beyond 64 bits: nothing that we could use */
    PICKLED_MARK
};

struct pickled {
    enum pickled_kind kind;
    uint32_t length; /* of the text */
    union {
        int64_t integer; /* or truth */
        double real;
        const char *text; /* within the pickle, no NUL behind it */
        struct pickled_items *items;
        const struct pickled_tensor *tensor;
        const struct pickled_storage *storage;
        const struct pickled_global *global;
    };
};

struct pickled_items {
    struct pickled *values;
    size_t n, capacity;
    bool open;                  /* for who walks through: it contains itself */
    struct pickled_items *next; /* of all, to be freed */
};

struct pickled_storage {
    struct pickled key; /* names its file */
    enum array_type type;
    bool untyped;  /* the tensor knows the type */
    int64_t count; /* elements, or bytes where it is untyped */
};

/* Its elements lie within its storage. */
struct pickled_tensor {
    const struct pickled_storage *storage;
    enum array_type type;
    int n_dimensions;
    int64_t offset, shape[ARRAY_MAX_DIMENSIONS], stride[ARRAY_MAX_DIMENSIONS]; /* elements */
};

struct pickle {
    const struct blob *blob; /* for errors */
    const uint8_t *bytes, *at, *end;
    struct pickled *stack, *memo;
    size_t depth, stack_capacity, memo_size, memo_given, n_items; /* memo_given: one more than the highest */
    struct pickled_items *all;
    struct slab slab;
    struct error *err;
};

/* The one value that the pickle is; it, and all in it, stays until the release. The bytes must stay as well.
 */
int pickle_read(struct pickle *p, const struct blob *blob, const uint8_t *bytes, size_t n,
                struct pickled *value, struct error *err);
void pickle_release(struct pickle *p);

/* ---- between pickle.c and rebuild.c ---- */

/* "'PATH': ... at byte N of its pickle ..." */
int pickle_refuse(const struct pickle *p, const char *what);
int pickle_new_items(struct pickle *p, enum pickled_kind kind, struct pickled *value);

/* What a name stands for; a name that is not in the list is refused. */
int rebuild_global(struct pickle *p, const struct pickled *module, const struct pickled *name,
                   struct pickled *value);
/* What a call of it makes. */
int rebuild_call(struct pickle *p, const struct pickled *global, const struct pickled *arguments,
                 struct pickled *value);
/* What a persistent id stands for: one of torch's storages. */
int rebuild_storage(struct pickle *p, const struct pickled *id, struct pickled *value);

#endif
