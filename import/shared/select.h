/* Which experts a router chooses, from what it computed. */
#ifndef IMPORT_SHARED_SELECT_H
#define IMPORT_SHARED_SELECT_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* softmax-topk: gates are the probabilities of the chosen. topk-softmax: a softmax over the chosen alone, as
 * Mixtral's. sigmoid: each expert's own score. */
enum selection { SELECT_UNSAID, SELECT_SOFTMAX_TOPK, SELECT_TOPK_SOFTMAX, SELECT_SIGMOID };
int selection_parse(enum selection *s, const char *word, struct error *err); /* NULL: unsaid */

/* Whether nothing is below 0 and the sum is 1 within the tolerance. 1: yes, 0: all zeros, as padding may be,
 * -1: no. */
int is_distribution(const float *row, int n_experts, double tolerance);
/* Whether some row is one and all others are, or are zeros. */
bool are_probabilities(const float *rows, int64_t n_rows, int n_experts, double tolerance);

/* One token. score (n_experts): logits, or already probabilities, in place: becomes what is kept of the
 * router's probabilities, or its sigmoid scores. expert, gate (k): the largest first, the smaller id of equal
 * ones. -1 when a score is no number. */
int select_experts(enum selection s, bool probabilities, float *score, int n_experts, int k, int32_t *expert,
                   float *gate);

#endif
