/* Memory that is claimed piece by piece and freed together. Pieces start on a cache line. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H
#include <stdbool.h>
#include <stddef.h>

struct arena { /* all 0: empty */
    void **pieces;
    int n, capacity;
    bool failed; /* some claim found no memory: ask once, after the last */
};

/* n elements of `size` bytes, not set; NULL, and failed, without memory. */
void *arena_claim(struct arena *a, size_t n, size_t size);
void arena_release(struct arena *a);

#endif
