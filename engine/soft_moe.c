#include "engine/soft_moe.h"

#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"

enum { SAMPLES = 8, VALUES = 4096 }; /* that a task takes */

static size_t slots_of(const struct soft_moe *s)
{
    return (size_t)s->n_experts * (size_t)s->slots_per_expert;
}

int soft_moe_pass_init(struct soft_moe_pass *p, const struct soft_moe *s, int max_samples, int tokens,
                       struct error *err)
{
    size_t S = slots_of(s), D = (size_t)s->D, F = (size_t)s->F, B = (size_t)max_samples;
    size_t weights = B * (size_t)tokens * S, rows = B * S;

    *p = (struct soft_moe_pass){.tokens = tokens};
    p->dispatch = arena_claim(&p->memory, weights, sizeof(float));
    p->combine = arena_claim(&p->memory, weights, sizeof(float));
    p->d_logits = arena_claim(&p->memory, weights, sizeof(float));
    p->d_weight = arena_claim(&p->memory, weights, sizeof(float));
    p->d_turned = arena_claim(&p->memory, weights, sizeof(float));
    p->slot_output = arena_claim(&p->memory, rows * D, sizeof(float));
    p->row = arena_claim(&p->memory, rows, sizeof *p->row);
    p->first = arena_claim(&p->memory, (size_t)s->n_experts + 1, sizeof *p->first);
    p->x = arena_claim(&p->memory, rows * D, sizeof(float));
    p->h = arena_claim(&p->memory, rows * F, sizeof(float));
    p->y = arena_claim(&p->memory, rows * D, sizeof(float));
    p->d_x = arena_claim(&p->memory, rows * D, sizeof(float));
    p->d_h = arena_claim(&p->memory, rows * F, sizeof(float));
    p->d_y = arena_claim(&p->memory, rows * D, sizeof(float));
    p->jobs = arena_claim(&p->memory, 2 * (size_t)s->n_experts, sizeof *p->jobs);
    if (!p->memory.failed)
        return 0;
    soft_moe_pass_release(p);
    return error_no_memory(err, "the slots of a soft MoE");
}

void soft_moe_pass_release(struct soft_moe_pass *p)
{
    arena_release(&p->memory);
    *p = (struct soft_moe_pass){0};
}

struct call { /* what the tasks of one call share */
    const struct soft_moe *s;
    struct soft_moe_pass *p;
    const float *x, *d_y, *from;
    float *y, *d_x, *to;
};

/* ---- dispatch and combine weights ---- */

/* to (columns, rows) = from (rows, columns) transposed. */
static void transpose(const float *from, float *to, size_t rows, size_t columns)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++)
            to[j * rows + i] = from[i * columns + j];
    }
}

static void transpose_range(void *context, int first, int last, int worker)
{
    const struct call *c = context;
    size_t S = slots_of(c->s), m = (size_t)c->p->tokens;

    (void)worker;
    for (int b = first; b < last; b++)
        transpose(c->from + (size_t)b * m * S, c->to + (size_t)b * m * S, m, S);
}

void soft_moe_weigh(struct pool *pool, const struct soft_moe *s, const float *x, struct soft_moe_pass *p,
                    int B)
{
    int S = (int)slots_of(s), tokens = B * p->tokens;
    struct gemm logits = gemm_forward(x, s->slots, p->d_logits, tokens, s->D, S, 0.0F);
    struct call turn = {.s = s, .p = p, .from = p->d_logits, .to = p->d_weight};

    gemm_batch(pool, &logits, 1);
    pool_ranges(pool, transpose_range, &turn, B, SAMPLES);
    softmax_rows(pool, p->d_logits, p->combine, NULL, tokens, S);
    softmax_rows(pool, p->d_weight, p->dispatch, NULL, B * S, p->tokens);
}

void soft_moe_likeliest(const float *combine, int m, int n_experts, int slots_per_expert, int k,
                        uint8_t *keep)
{
    size_t S = (size_t)n_experts * (size_t)slots_per_expert;

    memset(keep, 0, (size_t)n_experts);
    for (int chosen = 0; chosen < k && chosen < n_experts; chosen++) {
        double largest = -1.0;
        int best = 0;
        for (int e = 0; e < n_experts; e++) {
            double sum = 0.0;
            for (int i = 0; i < m && !keep[e]; i++) {
                for (int j = 0; j < slots_per_expert; j++)
                    sum += (double)combine[(size_t)i * S + (size_t)e * (size_t)slots_per_expert + (size_t)j];
            }
            if (!keep[e] && sum > largest) {
                largest = sum;
                best = e;
            }
        }
        keep[best] = 1;
    }
}

/* ---- slots, experts, outputs ---- */

/* Rows by expert, within an expert by sample. */
static void number_rows(const struct soft_moe *s, struct soft_moe_pass *p, const uint8_t *keep, int B)
{
    int N = s->n_experts, per_expert = s->slots_per_expert, row = 0;

    for (int e = 0; e < N; e++) {
        p->first[e] = row;
        for (int b = 0; b < B; b++) {
            bool kept = !keep || keep[(size_t)b * (size_t)N + (size_t)e];
            for (int j = 0; j < per_expert; j++)
                p->row[((size_t)b * (size_t)N + (size_t)e) * (size_t)per_expert + (size_t)j] =
                    kept ? row++ : -1;
        }
    }
    p->first[N] = row;
}

/* to (D) = sum over m rows (m, D) of weight * row; weights are `stride` apart. */
static void mix_rows(float *to, const float *rows, const float *weight, size_t stride, size_t m, size_t D)
{
    memset(to, 0, D * sizeof *to);
    for (size_t i = 0; i < m; i++)
        add_scaled(to, rows + i * D, weight[i * stride], (int)D);
}

/* Slot inputs of each sample: dispatch' x, a row a slot. */
static void fill_range(void *context, int first, int last, int worker)
{
    const struct call *c = context;
    size_t S = slots_of(c->s), m = (size_t)c->p->tokens, D = (size_t)c->s->D;

    (void)worker;
    for (int b = first; b < last; b++) {
        const float *dispatch = c->p->dispatch + (size_t)b * S * m, *x = c->x + (size_t)b * m * D;
        for (size_t s = 0; s < S; s++) {
            int row = c->p->row[(size_t)b * S + s];
            if (row >= 0)
                mix_rows(c->p->x + (size_t)row * D, x, dispatch + s * m, 1, m, D);
        }
    }
}

/* y = combine * slot output, for each sample. */
static void combine_range(void *context, int first, int last, int worker)
{
    const struct call *c = context;
    int S = (int)slots_of(c->s), m = c->p->tokens, D = c->s->D;

    (void)worker;
    for (int b = first; b < last; b++) {
        float *outputs = c->p->slot_output + (size_t)b * (size_t)S * (size_t)D;
        for (int s = 0; s < S; s++) {
            int row = c->p->row[(size_t)b * (size_t)S + (size_t)s];
            if (row < 0)
                memset(outputs + (size_t)s * (size_t)D, 0, (size_t)D * sizeof *outputs);
            else
                memcpy(outputs + (size_t)s * (size_t)D, c->p->y + (size_t)row * (size_t)D,
                       (size_t)D * sizeof *outputs);
        }
        struct gemm mix = gemm_input_gradient(c->p->combine + (size_t)b * (size_t)m * (size_t)S, outputs,
                                              c->y + (size_t)b * (size_t)m * (size_t)D, m, D, S, 0.0F);
        gemm_one(&mix);
    }
}

static void rectify_range(void *context, int first, int last, int worker)
{
    float *h = context;

    (void)worker;
    for (int i = first; i < last; i++)
        h[i] = h[i] > 0.0F ? h[i] : 0.0F;
}

/* The products of one linear layer of every expert that has rows. w: (N, out, in). */
static int layer_jobs(struct gemm *jobs, const struct soft_moe *s, const int32_t *first, const float *x,
                      const float *w, float *y, int in, int out)
{
    int n = 0;

    for (int e = 0; e < s->n_experts; e++) {
        size_t at = (size_t)first[e];
        if (first[e + 1] > first[e])
            jobs[n++] = gemm_forward(x + at * (size_t)in, w + (size_t)e * (size_t)in * (size_t)out,
                                     y + at * (size_t)out, first[e + 1] - first[e], in, out, 0.0F);
    }
    return n;
}

void soft_moe_apply(struct pool *pool, const struct soft_moe *s, const float *x, const uint8_t *keep,
                    float *y, struct soft_moe_pass *p, int B)
{
    struct call c = {.s = s, .p = p, .x = x, .y = y};

    number_rows(s, p, keep, B);
    pool_ranges(pool, fill_range, &c, B, SAMPLES);
    gemm_batch(pool, p->jobs, layer_jobs(p->jobs, s, p->first, p->x, s->in, p->h, s->D, s->F));
    pool_ranges(pool, rectify_range, p->h, p->first[s->n_experts] * s->F, VALUES);
    gemm_batch(pool, p->jobs, layer_jobs(p->jobs, s, p->first, p->h, s->out, p->y, s->F, s->D));
    pool_ranges(pool, combine_range, &c, B, SAMPLES);
}

/* ---- backward ---- */

/* For each sample: d_weight (m, S) of combine, and of the slots' outputs into the rows d_y. */
static void combine_backward_range(void *context, int first, int last, int worker)
{
    const struct call *c = context;
    size_t S = slots_of(c->s), m = (size_t)c->p->tokens, D = (size_t)c->s->D;

    (void)worker;
    for (int b = first; b < last; b++) {
        const float *d_y = c->d_y + (size_t)b * m * D, *combine = c->p->combine + (size_t)b * m * S;
        float *outputs = c->p->slot_output + (size_t)b * S * D;
        struct gemm weights =
            gemm_forward(d_y, outputs, c->p->d_weight + (size_t)b * m * S, (int)m, (int)D, (int)S, 0.0F);
        gemm_one(&weights);
        for (size_t s = 0; s < S; s++)
            mix_rows(c->p->d_y + (size_t)c->p->row[(size_t)b * S + s] * D, d_y, combine + s, S, m, D);
    }
}

/* d_h becomes 0 where the ReLU was closed. */
static void rectify_backward_range(void *context, int first, int last, int worker)
{
    const struct soft_moe_pass *p = context;

    (void)worker;
    for (int i = first; i < last; i++)
        p->d_h[i] = p->h[i] > 0.0F ? p->d_h[i] : 0.0F;
}

/* Both gradients of one linear layer of every expert. */
static int layer_backward_jobs(struct gemm *jobs, const struct soft_moe *s, const int32_t *first,
                               const float *x, const float *w, const float *d_y, float *d_x, float *d_w,
                               int in, int out)
{
    int n = 0;

    for (int e = 0; e < s->n_experts; e++) {
        size_t at = (size_t)first[e], weights = (size_t)e * (size_t)in * (size_t)out;
        int rows = first[e + 1] - first[e];
        jobs[n++] = gemm_input_gradient(d_y + at * (size_t)out, w + weights, d_x + at * (size_t)in, rows, in,
                                        out, 0.0F);
        jobs[n++] =
            gemm_weight_gradient(d_y + at * (size_t)out, x + at * (size_t)in, d_w + weights, rows, in, out);
    }
    return n;
}

/* For each sample: d_weight (S, m) of dispatch, and d_x by way of the slots' inputs. */
static void fill_backward_range(void *context, int first, int last, int worker)
{
    const struct call *c = context;
    size_t S = slots_of(c->s), m = (size_t)c->p->tokens, D = (size_t)c->s->D;

    (void)worker;
    for (int b = first; b < last; b++) {
        const float *x = c->x + (size_t)b * m * D, *dispatch = c->p->dispatch + (size_t)b * S * m;
        float *d_weight = c->p->d_weight + (size_t)b * S * m;
        for (size_t s = 0; s < S; s++) {
            const float *d_slot = c->p->d_x + (size_t)c->p->row[(size_t)b * S + s] * D;
            for (size_t i = 0; i < m; i++) {
                d_weight[s * m + i] = dot(d_slot, x + i * D, (int)D);
                if (c->d_x)
                    add_scaled(c->d_x + ((size_t)b * m + i) * D, d_slot, dispatch[s * m + i], (int)D);
            }
        }
    }
}

/* d_logits (m, S) += d_turned (S, m) transposed. */
static void turn_back_range(void *context, int first, int last, int worker)
{
    const struct call *c = context;
    size_t S = slots_of(c->s), m = (size_t)c->p->tokens;

    (void)worker;
    for (int b = first; b < last; b++) {
        const float *from = c->p->d_turned + (size_t)b * S * m;
        float *to = c->p->d_logits + (size_t)b * m * S;
        for (size_t i = 0; i < m; i++) {
            for (size_t s = 0; s < S; s++)
                to[i * S + s] += from[s * m + i];
        }
    }
}

void soft_moe_backward(struct pool *pool, const struct soft_moe *s, const float *x, const float *d_y,
                       float *d_x, struct soft_moe_pass *p, int B)
{
    struct call c = {.s = s, .p = p, .x = x, .d_y = d_y, .d_x = d_x};
    int S = (int)slots_of(s), D = s->D, F = s->F, tokens = B * p->tokens;
    size_t weights = (size_t)tokens * (size_t)S;
    struct gemm logits[] = {gemm_weight_gradient(p->d_logits, x, s->d_slots, tokens, D, S),
                            gemm_input_gradient(p->d_logits, s->slots, d_x, tokens, D, S, 1.0F)};

    memset(p->d_logits, 0, weights * sizeof *p->d_logits);
    memset(p->d_turned, 0, weights * sizeof *p->d_turned);
    pool_ranges(pool, combine_backward_range, &c, B, SAMPLES);
    softmax_rows_backward(pool, p->combine, p->d_weight, p->d_logits, tokens, S);
    gemm_batch(pool, p->jobs,
               layer_backward_jobs(p->jobs, s, p->first, p->h, s->out, p->d_y, p->d_h, s->d_out, F, D));
    pool_ranges(pool, rectify_backward_range, p, p->first[s->n_experts] * F, VALUES);
    gemm_batch(pool, p->jobs,
               layer_backward_jobs(p->jobs, s, p->first, p->x, s->in, p->d_h, p->d_x, s->d_in, D, F));
    pool_ranges(pool, fill_backward_range, &c, B, SAMPLES);
    softmax_rows_backward(pool, p->dispatch, p->d_weight, p->d_turned, B * S, p->tokens);
    pool_ranges(pool, turn_back_range, &c, B, SAMPLES);
    gemm_batch(pool, logits, d_x ? 2 : 1);
}
