#include "engine/moe.h"

#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"

enum { ROWS = 64 };

int dispatch_init(struct dispatch *d, int max_rows, int n_experts, int D, int F, struct error *err)
{
    size_t rows = (size_t)max_rows;

    *d = (struct dispatch){0};
    d->row = malloc(rows * sizeof *d->row);
    d->token = malloc(rows * sizeof *d->token);
    d->first = malloc(((size_t)n_experts + 1) * sizeof *d->first);
    d->x = malloc(rows * (size_t)D * sizeof *d->x);
    d->h = malloc(rows * 2 * (size_t)F * sizeof *d->h);
    d->a = malloc(rows * (size_t)F * sizeof *d->a);
    d->y = malloc(rows * (size_t)D * sizeof *d->y);
    d->jobs = malloc(2 * (size_t)n_experts * sizeof *d->jobs);
    if (d->row && d->token && d->first && d->x && d->h && d->a && d->y && d->jobs)
        return 0;
    dispatch_release(d);
    return error_no_memory(err, "expert activations");
}

void dispatch_release(struct dispatch *d)
{
    free(d->row);
    free(d->token);
    free(d->first);
    free(d->x);
    free(d->h);
    free(d->a);
    free(d->y);
    free(d->jobs);
    *d = (struct dispatch){0};
}

/* A counting sort of the accepted decisions by expert; within an expert, in token order. */
static void permute(const struct routing *r, struct dispatch *d)
{
    int N = r->n_experts, decisions = routing_decisions(r);

    memset(d->first, 0, sizeof *d->first * ((size_t)N + 1));
    for (int i = 0; i < decisions; i++)
        d->first[r->expert[i] + 1] += !r->dropped[i];
    for (int e = 0; e < N; e++)
        d->first[e + 1] += d->first[e];
    for (int t = 0; t < r->n_tokens; t++) {
        for (int i = r->offset[t]; i < r->offset[t + 1]; i++) {
            d->row[i] = r->dropped[i] ? -1 : d->first[r->expert[i]]++;
            if (d->row[i] >= 0)
                d->token[d->row[i]] = t;
        }
    }
    memmove(d->first + 1, d->first,
            sizeof *d->first * (size_t)N); /* each now stood at its successor's first */
    d->first[0] = 0;
}

struct move { /* what the row-wise steps below share */
    const struct routing *routing;
    const struct dispatch *dispatch;
    const float *from, *weight;
    float *to, *d_weight;
    int D;
};

static void gather_range(void *context, int first, int last, int worker)
{
    const struct move *c = context;

    (void)worker;
    for (int row = first; row < last; row++)
        memcpy(c->to + (size_t)row * c->D, c->from + (size_t)c->dispatch->token[row] * c->D,
               sizeof *c->to * (size_t)c->D);
}

/* to[t] += sum of the rows of t's decisions, each times its weight (NULL: 1). */
static void combine_range(void *context, int first, int last, int worker)
{
    const struct move *c = context;
    const struct routing *r = c->routing;

    (void)worker;
    for (int t = first; t < last; t++) {
        for (int i = r->offset[t]; i < r->offset[t + 1]; i++) {
            if (c->dispatch->row[i] >= 0)
                add_scaled(c->to + (size_t)t * c->D, c->from + (size_t)c->dispatch->row[i] * c->D,
                           c->weight ? c->weight[i] : 1.0F, c->D);
        }
    }
}

/* Backward of combine: row of d_y = weight * d_y[t], and d_weight = dot(d_y[t], row of y). */
static void combine_backward_range(void *context, int first, int last, int worker)
{
    const struct move *c = context;
    const struct routing *r = c->routing;

    (void)worker;
    for (int t = first; t < last; t++) {
        const float *d_y = c->from + (size_t)t * c->D;
        for (int i = r->offset[t]; i < r->offset[t + 1]; i++) {
            int row = c->dispatch->row[i];
            c->d_weight[i] = 0.0F;
            if (row < 0)
                continue;
            float *to = c->to + (size_t)row * c->D;
            c->d_weight[i] = dot(d_y, c->dispatch->y + (size_t)row * c->D, c->D);
            for (int j = 0; j < c->D; j++)
                to[j] = r->weight[i] * d_y[j];
        }
    }
}

/* Which of the three products of a linear layer, for every expert that has rows. */
enum product { FORWARD, INPUT_GRADIENT };

static int expert_jobs(struct gemm *jobs, enum product product, const int32_t *first, int N,
                       const float *from, const float *w, float *to, int in, int out)
{
    int n = 0;

    for (int e = 0; e < N; e++) {
        int rows = first[e + 1] - first[e];
        size_t at = (size_t)first[e];
        const float *we = w + (size_t)e * (size_t)in * (size_t)out;
        if (rows == 0)
            continue;
        jobs[n++] =
            product == FORWARD
                ? gemm_forward(from + at * (size_t)in, we, to + at * (size_t)out, rows, in, out, 0.0F)
                : gemm_input_gradient(from + at * (size_t)out, we, to + at * (size_t)in, rows, in, out, 0.0F);
    }
    return n;
}

static int expert_weight_jobs(struct gemm *jobs, const int32_t *first, int N, const float *d_y,
                              const float *x, float *d_w, int in, int out)
{
    int n = 0;

    for (int e = 0; e < N; e++) {
        int rows = first[e + 1] - first[e];
        size_t at = (size_t)first[e];
        if (rows > 0)
            jobs[n++] = gemm_weight_gradient(d_y + at * (size_t)out, x + at * (size_t)in,
                                             d_w + (size_t)e * (size_t)in * (size_t)out, rows, in, out);
    }
    return n;
}

void experts_forward(struct pool *pool, const struct experts *e, const struct routing *r, const float *x,
                     float *y, struct dispatch *d)
{
    int N = e->n_experts, D = e->D, F = e->F;

    permute(r, d);
    int rows = d->first[N];
    pool_ranges(pool, gather_range, &(struct move){.dispatch = d, .from = x, .to = d->x, .D = D}, rows, ROWS);
    gemm_batch(pool, d->jobs, expert_jobs(d->jobs, FORWARD, d->first, N, d->x, e->in, d->h, D, 2 * F));
    swiglu_forward(pool, d->h, d->a, rows, F);
    gemm_batch(pool, d->jobs, expert_jobs(d->jobs, FORWARD, d->first, N, d->a, e->out, d->y, F, D));
    struct move back = {.routing = r, .dispatch = d, .from = d->y, .weight = r->weight, .to = y, .D = D};
    pool_ranges(pool, combine_range, &back, r->n_tokens, ROWS);
}

void experts_backward(struct pool *pool, const struct experts *e, struct routing *r, const float *d_y,
                      float *d_x, struct dispatch *d, const struct dispatch_scratch *s)
{
    int N = e->n_experts, D = e->D, F = e->F, rows = d->first[N];
    struct move back = {
        .routing = r, .dispatch = d, .from = d_y, .to = s->d_y, .d_weight = r->d_weight, .D = D};
    struct move spread = {.routing = r, .dispatch = d, .from = s->d_x, .to = d_x, .D = D};
    int n;

    pool_ranges(pool, combine_backward_range, &back, r->n_tokens, ROWS);
    n = expert_jobs(d->jobs, INPUT_GRADIENT, d->first, N, s->d_y, e->out, s->d_a, F, D);
    n += expert_weight_jobs(d->jobs + n, d->first, N, s->d_y, d->a, e->d_out, F, D);
    gemm_batch(pool, d->jobs, n);
    swiglu_backward(pool, d->h, s->d_a, rows, F);
    n = expert_jobs(d->jobs, INPUT_GRADIENT, d->first, N, d->h, e->in, s->d_x, D, 2 * F);
    n += expert_weight_jobs(d->jobs + n, d->first, N, d->h, d->x, e->d_in, D, 2 * F);
    gemm_batch(pool, d->jobs, n);
    pool_ranges(pool, combine_range, &spread, r->n_tokens, ROWS);
}

void dense_forward(struct pool *pool, const struct experts *e, const float *x, float *y, int T,
                   struct dispatch *d)
{
    struct gemm up = gemm_forward(x, e->in, d->h, T, e->D, 2 * e->F, 0.0F);
    struct gemm down = gemm_forward(d->a, e->out, y, T, e->F, e->D, 1.0F);

    gemm_batch(pool, &up, 1);
    swiglu_forward(pool, d->h, d->a, T, e->F);
    gemm_batch(pool, &down, 1);
}

void dense_backward(struct pool *pool, const struct experts *e, const float *x, const float *d_y, float *d_x,
                    int T, struct dispatch *d, const struct dispatch_scratch *s)
{
    struct gemm down[] = {gemm_input_gradient(d_y, e->out, s->d_a, T, e->F, e->D, 0.0F),
                          gemm_weight_gradient(d_y, d->a, e->d_out, T, e->F, e->D)};
    struct gemm up[] = {gemm_input_gradient(d->h, e->in, d_x, T, e->D, 2 * e->F, 1.0F),
                        gemm_weight_gradient(d->h, x, e->d_in, T, e->D, 2 * e->F)};

    gemm_batch(pool, down, 2);
    swiglu_backward(pool, d->h, s->d_a, T, e->F);
    gemm_batch(pool, up, 2);
}
