/* numpy's .npy: a short header in Python's words, and an array's bytes behind it. */
#ifndef IMPORT_SHARED_NPY_H
#define IMPORT_SHARED_NPY_H
#include "import/shared/listing.h"

enum { NPY_MAGIC = 6, NPY_PREFIX = 12, NPY_LONGEST_HEADER = 1 << 16 };
extern const uint8_t npy_magic[NPY_MAGIC];

/* How long all that stands before the data is, from the first NPY_PREFIX bytes; 0: no .npy, or one of a
 * version that is not known. */
size_t npy_header_length(const uint8_t prefix[NPY_PREFIX]);

/* Fills in type, shape, count, strides, swapped, and refusal where the elements are no numbers, from that
 * much of the file; `data` is how many bytes follow. The item's name is there, for errors. */
int npy_parse(struct arrays *a, struct item *item, const char *header, size_t n, int64_t data,
              struct error *err);

#endif
