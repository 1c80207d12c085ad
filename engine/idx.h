/* IDX files, the format of MNIST and of those made after it: a big-endian header, then unsigned bytes or
 * floats; plain or gzip. */
#ifndef ENGINE_IDX_H
#define ENGINE_IDX_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { IDX_DIMENSIONS = 4 };

struct idx {
    int n_dimensions, shape[IDX_DIMENSIONS]; /* each at least 1 */
    size_t n;                                /* values: the product of the shape */
    uint8_t *bytes;                          /* (n), or NULL: they are floats */
    float *reals;                            /* (n), finite, or NULL: they are bytes */
};

/* What is no such file, or not whole, is STATUS_INPUT and names it; nothing is left to release then. */
int idx_read(const char *path, struct idx *x, struct error *err);
void idx_release(struct idx *x); /* safe on zeroed */

/* Bytes of that shape, compressed. */
int idx_write(const char *path, const int *shape, int n_dimensions, const uint8_t *bytes, struct error *err);

#endif
