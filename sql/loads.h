/* The JSON text of a load_block: [[assignments, dropped, gate_sum, probability_sum], ...], one entry an
 * expert. Sums that are not finite are null. */
#ifndef SQL_LOADS_H
#define SQL_LOADS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct load_entry {
    int64_t assignments, dropped;
    double gate_sum, probability_sum; /* NaN: null */
};

/* Assignments that an entry can have, so that sums of entries do not overflow. */
static const int64_t load_most = INT64_C(1) << 40;

void load_entry_add(struct text *json, int expert, const struct load_entry *entry);
/* Reads the next entry at *at and moves behind it. 1: an entry, 0: the end, -1: no such text. *at is the
 * text's first byte before the first call. */
int load_entry_next(const char **at, struct load_entry *entry);
/* The sum of two, expert by expert. -1 when they are not of the same experts. */
int loads_add(struct text *sum, const char *a, const char *b);

#endif
