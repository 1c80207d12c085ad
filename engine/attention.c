#include "engine/attention.h"

#include <math.h>
#include <string.h>

#include "engine/blas.h"
#include "engine/kernels.h"

/* Queries are taken in blocks, so that a block multiplies only the keys up to its own end: nearly half the
 * work of the whole square is above the diagonal. */
enum { QUERY_BLOCK = 64 };

size_t attention_scratch(int context)
{
    return (size_t)QUERY_BLOCK * (size_t)context;
}

size_t attention_layout(const int32_t *start, int n_sequences, int n_heads, size_t *score_start)
{
    size_t total = 0;

    for (int s = 0; s < n_sequences; s++) {
        size_t length = (size_t)(start[s + 1] - start[s]);
        score_start[s] = total;
        total += (size_t)n_heads * length * length;
    }
    return total;
}

struct head { /* one head of one sequence; rows of q, k, v are 3 D apart, of out D */
    const float *q, *k, *v;
    float *p, *out; /* p: (length, length) */
    int length, width, stride;
    float scale;
};

static struct head head_of(const struct attention *a, int index)
{
    int s = index / a->n_heads, h = index % a->n_heads, width = a->D / a->n_heads;
    size_t token = (size_t)a->start[s], length = (size_t)(a->start[s + 1] - a->start[s]);
    const float *q = a->qkv + token * 3 * (size_t)a->D + (size_t)h * (size_t)width;

    return (struct head){.q = q,
                         .k = q + a->D,
                         .v = q + 2 * (size_t)a->D,
                         .p = a->scores + a->score_start[s] + (size_t)h * length * length,
                         .out = a->output + token * (size_t)a->D + (size_t)h * (size_t)width,
                         .length = (int)length,
                         .width = width,
                         .stride = 3 * a->D,
                         .scale = 1.0F / sqrtf((float)width)};
}

static void forward_task(void *context, int index, int worker)
{
    const struct attention *a = context;
    struct head h = head_of(a, index);

    (void)worker;
    for (int i = 0; i < h.length; i += QUERY_BLOCK) {
        int rows = h.length - i < QUERY_BLOCK ? h.length - i : QUERY_BLOCK, keys = i + rows;
        float *p = h.p + (size_t)i * h.length;
        gemm_one(&(struct gemm){.trans_b = true,
                                .m = rows,
                                .n = keys,
                                .k = h.width,
                                .a = h.q + (size_t)i * h.stride,
                                .lda = h.stride,
                                .b = h.k,
                                .ldb = h.stride,
                                .c = p,
                                .ldc = h.length});
        for (int r = 0; r < rows; r++)
            causal_softmax_row(p + (size_t)r * h.length, i + r, keys, h.scale);
        gemm_one(&(struct gemm){.m = rows,
                                .n = h.width,
                                .k = keys,
                                .a = p,
                                .lda = h.length,
                                .b = h.v,
                                .ldb = h.stride,
                                .c = h.out + (size_t)i * a->D,
                                .ldc = a->D});
    }
}

void attention_forward(struct pool *pool, const struct attention *a)
{
    pool_run(pool, forward_task, (void *)a, a->n_sequences * a->n_heads);
}

/* With P the softmaxed scores: dV = P' dO; dP = dO V'; dS = scale P (dP - rowsum(P dP)); dQ = dS K; dK = dS'
 * Q. */
static void backward_task(void *context, int index, int worker)
{
    const struct attention *a = context;
    struct head h = head_of(a, index);
    float *d_p = a->scratch + (size_t)worker * attention_scratch(a->context);
    float *d_q = a->d_qkv + (h.q - a->qkv), *d_k = d_q + a->D, *d_v = d_k + a->D;
    const float *d_out = a->d_output + (h.out - a->output);

    for (int r = 0; r < h.length; r++) { /* keys and values collect from the blocks */
        memset(d_k + (size_t)r * h.stride, 0, sizeof *d_k * (size_t)h.width);
        memset(d_v + (size_t)r * h.stride, 0, sizeof *d_v * (size_t)h.width);
    }
    for (int i = 0; i < h.length; i += QUERY_BLOCK) {
        int rows = h.length - i < QUERY_BLOCK ? h.length - i : QUERY_BLOCK, keys = i + rows;
        const float *p = h.p + (size_t)i * h.length, *d_o = d_out + (size_t)i * a->D;
        gemm_one(&(struct gemm){.trans_a = true,
                                .m = keys,
                                .n = h.width,
                                .k = rows,
                                .a = p,
                                .lda = h.length,
                                .b = d_o,
                                .ldb = a->D,
                                .c = d_v,
                                .ldc = h.stride,
                                .beta = 1.0F});
        gemm_one(&(struct gemm){.trans_b = true,
                                .m = rows,
                                .n = keys,
                                .k = h.width,
                                .a = d_o,
                                .lda = a->D,
                                .b = h.v,
                                .ldb = h.stride,
                                .c = d_p,
                                .ldc = keys});
        for (int r = 0; r < rows; r++)
            causal_softmax_row_backward(p + (size_t)r * h.length, d_p + (size_t)r * keys, keys, h.scale);
        gemm_one(&(struct gemm){.m = rows,
                                .n = h.width,
                                .k = keys,
                                .a = d_p,
                                .lda = keys,
                                .b = h.k,
                                .ldb = h.stride,
                                .c = d_q + (size_t)i * h.stride,
                                .ldc = h.stride});
        gemm_one(&(struct gemm){.trans_a = true,
                                .m = keys,
                                .n = h.width,
                                .k = rows,
                                .a = d_p,
                                .lda = keys,
                                .b = h.q + (size_t)i * h.stride,
                                .ldb = h.stride,
                                .c = d_k,
                                .ldc = h.stride,
                                .beta = 1.0F});
    }
}

void attention_backward(struct pool *pool, const struct attention *a)
{
    pool_run(pool, backward_task, (void *)a, a->n_sequences * a->n_heads);
}
