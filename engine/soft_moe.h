/* Soft MoE (Puigcerver et al. 2023; one slot an expert and no normalisation of inputs: Chung et al. 2024). No
 * token goes anywhere: every slot is a weighted mean of all tokens of its sample, every token's output a
 * weighted mean of all slots.
 *
 *   dispatch = softmax over tokens of x slots'     (m, S), columns sum to 1
 *   combine  = softmax over slots of x slots'      (m, S), rows sum to 1
 *   slot input = dispatch' x  (S, D);  slot output = expert(slot input);  y = combine * slot output
 *
 * Letters: B samples, m tokens a sample, D width, N experts, p slots an expert, S = N p (expert e has slots
 * e p .. e p + p - 1), F hidden width. Experts are two linear layers with a ReLU between and no bias. */
#ifndef ENGINE_SOFT_MOE_H
#define ENGINE_SOFT_MOE_H
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "engine/blas.h"
#include "engine/pool.h"

struct soft_moe {
    const float *slots;            /* (S, D) Phi transposed */
    const float *in;               /* (N, F, D) */
    const float *out;              /* (N, D, F) */
    float *d_slots, *d_in, *d_out; /* gradients, added to */
    int n_experts, slots_per_expert, D, F;
};

/* One call's values, kept from forward to backward. */
struct soft_moe_pass {
    int tokens;             /* m */
    float *dispatch;        /* (B, S, m): a slot's weights of the tokens side by side */
    float *combine;         /* (B, m, S) */
    float *slot_output;     /* (B, S, D) 0 for slots that were left out */
    int32_t *row;           /* (B, S) the row of a slot, -1: left out */
    int32_t *first;         /* (N + 1) first row of each expert */
    float *x, *h, *y;       /* (R, D), (R, F) after the ReLU, (R, D): rows by expert */
    float *d_logits;        /* (B, m, S) the logits, then their gradient */
    float *d_weight;        /* (B, m, S) of combine, then (B, S, m) of dispatch */
    float *d_turned;        /* (B, S, m) of the logits by way of dispatch */
    float *d_x, *d_h, *d_y; /* (R, D), (R, F), (R, D) */
    struct gemm *jobs;      /* (2 N) */
    struct arena memory;
};

int soft_moe_pass_init(struct soft_moe_pass *p, const struct soft_moe *s, int max_samples, int tokens,
                       struct error *err);
void soft_moe_pass_release(struct soft_moe_pass *p);

/* dispatch and combine of B samples x (B, m, D). */
void soft_moe_weigh(struct pool *pool, const struct soft_moe *s, const float *x, struct soft_moe_pass *p,
                    int B);
/* y (B, m, D) from them. keep (B, N): only experts marked with 1 are run, the others' slots count as 0 and
 * the combine weights stay as they are (Chung et al., Algorithm 1); NULL: all. The weights of an expert that
 * no sample keeps are not read. */
void soft_moe_apply(struct pool *pool, const struct soft_moe *s, const float *x, const uint8_t *keep,
                    float *y, struct soft_moe_pass *p, int B);
/* After weigh and apply with every expert: from d_y (B, m, D) gradients of the weights += ..., d_x += ...
 * (NULL: not wanted). */
void soft_moe_backward(struct pool *pool, const struct soft_moe *s, const float *x, const float *d_y,
                       float *d_x, struct soft_moe_pass *p, int B);

/* Algorithm 1's choice for one sample: keep (N) marks the k experts whose combine weights, summed over all
 * tokens and the expert's slots, are the largest (the first of equals). combine: (m, S). */
void soft_moe_likeliest(const float *combine, int m, int n_experts, int slots_per_expert, int k,
                        uint8_t *keep);

#endif
