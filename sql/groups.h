/* Counting by keys: how many decisions there are for each combination of whole numbers, and the sum of their
 * gates. Memory is bounded: when the table is full its owner empties it, or has it forget the greatest keys
 * and comes back for them in another pass. Private to sql/. */
#ifndef SQL_GROUPS_H
#define SQL_GROUPS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GROUPS_MAX_KEYS = 14 };

struct group {
    int64_t decisions, gates; /* gates: decisions whose gate is known */
    double gate_sum;          /* of those */
};

/* < 0, 0, > 0 as a comes before, with or after b. */
typedef int group_order(const int64_t *a, const int64_t *b, void *context);

struct groups {
    int n_keys;
    size_t n, capacity; /* groups; room for them, grows */
    struct group *sums; /* (n) */
    int64_t *keys;      /* (n, n_keys) */
    uint32_t *index;    /* (index_size) hash table of group numbers + 1; a power of two */
    size_t index_size;
    size_t next; /* behind the one found last: keys often come in the order in which they came before */
};

void groups_init(struct groups *g, int n_keys);
void groups_release(struct groups *g);
void groups_clear(struct groups *g); /* empty again, memory kept */
/* The group of that key, made if there was none; NULL without memory. */
struct group *groups_find(struct groups *g, const int64_t *key);
/* Which it is; SIZE_MAX: there is none of that key. */
size_t groups_number(const struct groups *g, const int64_t *key);
const int64_t *groups_key(const struct groups *g, size_t i);
/* Puts the groups into order; false without memory. */
bool groups_sort(struct groups *g, group_order *order, void *context);
/* Sorts and keeps the first `keep`. */
bool groups_cut(struct groups *g, size_t keep, group_order *order, void *context);

#endif
