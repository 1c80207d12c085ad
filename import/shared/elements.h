/* Bytes in a file as numbers: little-endian, whatever this machine is. */
#ifndef IMPORT_SHARED_ELEMENTS_H
#define IMPORT_SHARED_ELEMENTS_H
#include <stddef.h>
#include <stdint.h>

#include "import/shared/arrays.h"

size_t element_width(enum array_type type); /* bytes; 0: ARRAY_UNREADABLE */

void elements_swap(uint8_t *bytes, size_t n, size_t width); /* big-endian to little-endian, in place */

/* Element i is at bytes + i * width. What does not fit, by its index: n when all do. */
size_t elements_integers(enum array_type type, const uint8_t *bytes, size_t n, int64_t *out);
void elements_reals(enum array_type type, const uint8_t *bytes, size_t n, float *out);

/* One in decimal, exactly; "true" or "false". */
void element_text(enum array_type type, const uint8_t *bytes, char text[32]);

/* A shape's count of elements; -1: a dimension is negative, or there are more than an array of bytes can
 * have. */
int64_t elements_count(const int64_t *shape, int n_dimensions);

#endif
