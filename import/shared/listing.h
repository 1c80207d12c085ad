/* An open file from within: what the readers of its formats fill in, and arrays.c reads from. */
#ifndef IMPORT_SHARED_LISTING_H
#define IMPORT_SHARED_LISTING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "import/shared/arrays.h"
#include "import/shared/blob.h"
#include "import/shared/slab.h"
#include "import/shared/zip.h"

struct item {
    struct array array;      /* first: what is given out is found again */
    int64_t at;              /* byte of element 0 in the file, or in its entry */
    struct zip_entry *entry; /* NULL: none */
    const uint8_t *memory;   /* where its bytes are instead; NULL: in the file */
    int64_t end;             /* behind its last; for listing_check_places */
    const int64_t *strides;  /* of each dimension, in elements; NULL: C order */
    bool swapped;            /* big-endian */
    const char *refusal;     /* ARRAY_UNREADABLE: why */
};

struct note {
    const char *key, *text;
};

enum { ARRAYS_BUFFER = 1 << 16 };

struct arrays {
    struct blob blob;
    struct zip zip;
    const char *format;
    struct item *items;
    struct note *notes;
    int *by_name; /* items in the order of their names */
    int n, n_notes, capacity, notes_capacity;
    struct slab kept;
    uint8_t buffer[ARRAYS_BUFFER];
};

/* Memory as long as the file is open; listing_keep: a copy of n bytes, with a NUL behind. NULL: error set. */
void *listing_claim(struct arrays *a, size_t n, struct error *err);
char *listing_keep(struct arrays *a, const void *bytes, size_t n, struct error *err);

/* Names, keys, texts and strides must have been kept. `count` and the shape's sanity are the caller's matter.
 */
int listing_add(struct arrays *a, const struct item *item, struct error *err);
int listing_add_note(struct arrays *a, const char *key, const char *text, struct error *err);
/* Once, when all are there: two arrays, or notes, of one name are an error. */
int listing_finish(struct arrays *a, struct error *err);

/* All arrays, from `at` to `end`, lie between `begin` and the end of the file, and no two overlap; tight:
 * they fill it as well. */
int listing_check_places(const struct arrays *a, int64_t begin, bool tight, struct error *err);

/* The bytes of n elements from the one that is `first` in the file, into the buffer, where they must fit;
 * swapped where necessary. */
int listing_fetch(struct arrays *a, const struct item *item, int64_t first, size_t n, struct error *err);

/* The readers: all of the file's arrays and notes, from its beginning; the format is set. */
int npy_open(struct arrays *a, struct error *err);
int npz_open(struct arrays *a, struct error *err); /* a->zip is there */
bool torch_is_here(const struct arrays *a);        /* in a->zip */
int torch_open(struct arrays *a, struct error *err);
int safetensors_open(struct arrays *a, struct error *err);
int gguf_open(struct arrays *a, struct error *err);
/* Whether a file that begins so is llama.cpp's imatrix.dat, which GGUF has replaced. */
enum { ARRAYS_BEGINNING = 16 };
bool gguf_is_legacy(const uint8_t start[ARRAYS_BEGINNING]);
/* Why a file that begins so is no .pt that can be read, though a pickle; NULL: it is none. */
const char *torch_refusal(const uint8_t start[ARRAYS_BEGINNING]);

#endif
