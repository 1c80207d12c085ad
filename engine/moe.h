/* Experts: dispatch, grouped products, combine. Dropless: tokens are permuted to be contiguous by expert,
 * every expert is one product of its own size, outputs are weighted and added back. Letters: T tokens, D
 * width, F hidden width of an expert, N experts, R = accepted decisions = rows.
 *
 * A dense block is the case of one expert that takes every token with weight 1 and needs no permutation. */
#ifndef ENGINE_MOE_H
#define ENGINE_MOE_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/blas.h"
#include "engine/routing.h"

struct experts {         /* weights of one block; expert e's matrices follow e - 1's */
    const float *in;     /* (N, 2 F, D) gate and up projections */
    const float *out;    /* (N, D, F) */
    float *d_in, *d_out; /* gradients, added to */
    int n_experts, D, F;
};

struct piece { /* rows that one task takes through an expert */
    int expert, first, rows;
};

struct dispatch {      /* one block's intermediate values, kept from forward to backward */
    int32_t *row;      /* (decisions) row of a decision, -1 when dropped */
    int32_t *token;    /* (R) token of a row */
    int32_t *decision; /* (R) decision of a row */
    int32_t *first;    /* (N + 1) first row of each expert */
    struct piece *pieces;
    int n_pieces;
    float *x;          /* (R, D) gathered inputs */
    float *h;          /* (R, 2 F) */
    float *a;          /* (R, F) */
    float *y;          /* (R, D) */
    struct gemm *jobs; /* (2 N) */
};

/* Scratch of the backward pass, shared by all blocks. */
struct dispatch_scratch {
    float *d_y; /* (R, D) */
    float *d_a; /* (R, F) */
    float *d_x; /* (R, D) */
};

int dispatch_init(struct dispatch *d, int max_rows, int n_experts, int D, int F, struct error *err);
void dispatch_release(struct dispatch *d);

/* y (T, D) += sum over decisions of weight * expert(x). */
void experts_forward(struct pool *pool, const struct experts *e, const struct routing *r, const float *x,
                     float *y, struct dispatch *d);
/* From d_y (T, D): d_x (T, D) += ..., e->d_in, e->d_out += ..., r->d_weight. */
void experts_backward(struct pool *pool, const struct experts *e, struct routing *r, const float *d_y,
                      float *d_x, struct dispatch *d, const struct dispatch_scratch *s);

/* The dense block: y += ffn(x); d->x is not used, d->h and d->a are. */
void dense_forward(struct pool *pool, const struct experts *e, const float *x, float *y, int T,
                   struct dispatch *d);
void dense_backward(struct pool *pool, const struct experts *e, const float *x, const float *d_y, float *d_x,
                    int T, struct dispatch *d, const struct dispatch_scratch *s);

#endif
