/* The questions put to hash routers of a layer's shape: what can be told about the expert where the router
 * knows the token's id and has learnt nothing. */
#ifndef ANALYSIS_SHARED_HASHED_H
#define ANALYSIS_SHARED_HASHED_H
#include "analysis/shared/question.h"

enum { HASH_ROUTERS = 40 };

struct hash_answer {        /* nats over the HASH_ROUTERS draws */
    double mean, low, high; /* low, high: quantiles 0.025 and 0.975 */
};

struct hashed {
    struct hash_answer *answers; /* (n_questions) */
    int n_experts, n_tokens;     /* of the shape that they are of; layers often share it */
    int32_t *offset;             /* (n_tokens + 1) */
};

/* Answers for as many experts and choices a token as `s` has; at once where the last layer had the same. */
int hashed_measure(struct hashed *h, const struct questions *q, const struct documents *d,
                   const struct routed *s, struct error *err);
void hashed_release(struct hashed *h); /* safe on zeroed */

#endif
