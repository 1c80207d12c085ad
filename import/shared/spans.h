/* Ranges of a file that may not share a byte. */
#ifndef IMPORT_SHARED_SPANS_H
#define IMPORT_SHARED_SPANS_H
#include <stdbool.h>

#include "import/shared/blob.h"

struct span {
    int64_t begin, end; /* end: behind the last byte, not before `begin` */
    const char *name;   /* for errors */
};

/* Sorts them. None begins before `begin` or ends behind `end`, and no two overlap; tight: they fill it as
 * well. */
int spans_check(const struct blob *s, struct span *spans, int n, int64_t begin, int64_t end, bool tight,
                struct error *err);

#endif
