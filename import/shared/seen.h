/* Counts by number, of as many numbers as turn up. */
#ifndef IMPORT_SHARED_SEEN_H
#define IMPORT_SHARED_SEEN_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct seen_number;

struct seen { /* zeroed before first use */
    struct seen_number *entries;
    size_t n, room;
};
/* *count is the number's, 0 the first time; it holds until the next call. */
int seen_find(struct seen *s, int64_t number, int64_t **count, struct error *err);
/* The same of a name, by its checksum. */
int seen_find_name(struct seen *s, const char *name, int64_t **count, struct error *err);
int64_t seen_number_of(const char *name); /* 0 or more */
void seen_release(struct seen *s);

#endif
