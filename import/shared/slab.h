/* Many small pieces of memory that are freed together. */
#ifndef IMPORT_SHARED_SLAB_H
#define IMPORT_SHARED_SLAB_H
#include "base/arena.h"

struct slab { /* all 0: empty */
    struct arena arena;
    char *at; /* of its last piece */
    size_t left;
};

void *slab_claim(struct slab *s, size_t n); /* n bytes, not set; NULL: no memory */
void slab_release(struct slab *s);

#endif
