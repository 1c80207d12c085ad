/* Elements whose neighbours in C order do not lie beside each other in the file. */
#ifndef IMPORT_SHARED_STRIDED_H
#define IMPORT_SHARED_STRIDED_H
#include "import/shared/listing.h"

/* Where numbers go: one of them is set. */
struct numbers {
    int64_t *integers;
    float *reals;
};
/* n elements of the buffer, the first being number `element` of the array, to to[at], to[at + step]... */
int numbers_put(struct arrays *a, const struct item *item, int64_t element, size_t n,
                const struct numbers *to, int64_t at, int64_t step, struct error *err);

/* What arrays_integers and arrays_reals do, for an item with strides. */
int strided_read(struct arrays *a, const struct item *item, int64_t first, int64_t n,
                 const struct numbers *to, struct error *err);

#endif
