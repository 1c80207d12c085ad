/* Counting the decisions of the block that a cursor's scan has come to. Private to sql/. */
#ifndef SQL_COUNT_BLOCK_H
#define SQL_COUNT_BLOCK_H
#include "sql/cursor.h"

/* Splits as numbers, in order of appearance; -1: too many, or no memory. */
int64_t number_of_split(struct cursor *c, const char *split);
/* In the order of the plan; context: the cursor. A group_order. */
int compare_keys(const int64_t *a, const int64_t *b, void *context);
/* c->key: what the whole block has in common; one of the others; all others of the decision that the cursor
 * stands on. A field that is no key is passed over. */
int count_enter_keys(struct cursor *c, struct error *err);
void count_set_key(struct cursor *c, enum field field, int64_t value);
void count_set_keys(struct cursor *c);
/* Adds to the group of c->key, unless it belongs to another pass. */
int add_to_group(struct cursor *c, int64_t decisions, int64_t gates, double gate_sum, struct error *err);
/* The whole block, to the groups of its keys. */
int count_entered(struct cursor *c, struct error *err);

#endif
