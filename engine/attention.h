/* Causal self-attention within packed sequences. Nothing crosses from one sequence to another and nothing is
 * padded: a task is one head of one sequence. Letters: T tokens of all sequences, D width, H heads. */
#ifndef ENGINE_ATTENTION_H
#define ENGINE_ATTENTION_H
#include <stddef.h>
#include <stdint.h>

#include "engine/pool.h"

struct attention {
    int n_sequences, D, n_heads, context;
    const int32_t *start;      /* (n_sequences + 1) first token of each sequence */
    const size_t *score_start; /* (n_sequences) where its (H, length, length) scores begin */
    float *qkv;                /* (T, 3 D) queries, keys, values; rotary positions applied */
    float *scores;             /* softmaxed, kept for the backward pass */
    float *output;             /* (T, D) */
    const float *d_output;     /* (T, D) */
    float *d_qkv;              /* (T, 3 D) overwritten */
    float *scratch;            /* attention_scratch floats for each of the pool's threads */
};

void attention_forward(struct pool *pool, const struct attention *a);
void attention_backward(struct pool *pool, const struct attention *a);
size_t attention_scratch(int context);
/* Fills score_start and returns the floats that `scores` needs. */
size_t attention_layout(const int32_t *start, int n_sequences, int n_heads, size_t *score_start);

#endif
