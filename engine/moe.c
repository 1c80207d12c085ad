#include "engine/moe.h"

#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"

/* Rows of one expert that a task takes through both of its matrices: enough that OpenBLAS's copy of the
 * weights costs little, few enough that their hidden values stay in cache and that cores share a popular
 * expert. At least LEAST_PIECES tasks where there are rows for them; never by the number of threads, so that
 * sums do not depend on it. */
enum { MOST_ROWS = 512, LEAST_ROWS = 64, LEAST_PIECES = 16 };
enum { TOKENS = 64 }; /* that a task combines */

int dispatch_init(struct dispatch *d, int max_rows, int n_experts, int D, int F, struct error *err)
{
    size_t rows = (size_t)max_rows;

    *d = (struct dispatch){0};
    d->row = malloc(rows * sizeof *d->row);
    d->token = malloc(rows * sizeof *d->token);
    d->decision = malloc(rows * sizeof *d->decision);
    d->first = malloc(((size_t)n_experts + 1) * sizeof *d->first);
    d->pieces = malloc((rows / LEAST_ROWS + (size_t)n_experts) * sizeof *d->pieces);
    d->x = malloc(rows * (size_t)D * sizeof *d->x);
    d->h = malloc(rows * 2 * (size_t)F * sizeof *d->h);
    d->a = malloc(rows * (size_t)F * sizeof *d->a);
    d->y = malloc(rows * (size_t)D * sizeof *d->y);
    d->jobs = malloc(2 * (size_t)n_experts * sizeof *d->jobs);
    if (d->row && d->token && d->decision && d->first && d->pieces && d->x && d->h && d->a && d->y && d->jobs)
        return 0;
    dispatch_release(d);
    return error_no_memory(err, "expert activations");
}

void dispatch_release(struct dispatch *d)
{
    free(d->row);
    free(d->token);
    free(d->decision);
    free(d->first);
    free(d->pieces);
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
            if (d->row[i] < 0)
                continue;
            d->token[d->row[i]] = t;
            d->decision[d->row[i]] = i;
        }
    }
    memmove(d->first + 1, d->first,
            sizeof *d->first * (size_t)N); /* each now stood at its successor's first */
    d->first[0] = 0;
}

/* As many equal pieces of an expert's rows as they need; `large` takes experts whose pieces are at least half
 * full, else the others. */
static void cut_expert(struct dispatch *d, int expert, int first, int rows, int most, bool large)
{
    int n = (rows + most - 1) / most;

    if (rows == 0 || (rows / n >= most / 2) != large)
        return;
    for (int i = 0; i < n; i++) {
        int from = (int)((int64_t)rows * i / n), to = (int)((int64_t)rows * (i + 1) / n);
        d->pieces[d->n_pieces++] = (struct piece){expert, first + from, to - from};
    }
}

/* Large pieces first: those that are taken last are small, and cores end together at any load. */
static void cut_pieces(struct dispatch *d, const int32_t *first, int N)
{
    int most = first[N] / LEAST_PIECES;

    most = most > MOST_ROWS ? MOST_ROWS : most < LEAST_ROWS ? LEAST_ROWS : most;
    d->n_pieces = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int e = 0; e < N; e++)
            cut_expert(d, e, first[e], first[e + 1] - first[e], most, pass == 0);
    }
}

struct work { /* of one pass over all pieces */
    const struct experts *experts;
    const struct dispatch *dispatch;
    struct routing *routing; /* NULL: the dense block, whose rows are its tokens */
    const float *x, *d_y;    /* (T, D) */
    float *y, *d_x;          /* (T, D) */
    const struct dispatch_scratch *scratch;
};

struct rows { /* what a piece works on */
    size_t first;
    int n;
    float *x, *h, *a, *y;  /* a routed piece's own rows */
    const float *in, *out; /* its expert's matrices */
};

static struct rows rows_of(const struct work *w, int index)
{
    const struct experts *e = w->experts;
    const struct dispatch *d = w->dispatch;
    const struct piece *p = &d->pieces[index];
    size_t at = (size_t)p->first, D = (size_t)e->D, F = (size_t)e->F, matrix = (size_t)p->expert * D * F;

    return (struct rows){.first = at,
                         .n = p->rows,
                         .x = d->x + at * D,
                         .h = d->h + at * 2 * F,
                         .a = d->a + at * F,
                         .y = d->y + at * D,
                         .in = e->in + 2 * matrix,
                         .out = e->out + matrix};
}

static void gather(const struct work *w, const struct rows *r)
{
    int D = w->experts->D;

    for (int i = 0; i < r->n; i++)
        memcpy(r->x + (size_t)i * D, w->x + (size_t)w->dispatch->token[r->first + (size_t)i] * D,
               sizeof *r->x * (size_t)D);
}

/* Both products of a piece in one task: its hidden values are still in cache when the second reads them. */
static void forward_piece(void *context, int index, int worker)
{
    const struct work *w = context;
    struct rows r = rows_of(w, index);
    int D = w->experts->D, F = w->experts->F;
    size_t at = r.first * (size_t)D;
    bool routed = w->routing;

    (void)worker;
    if (routed)
        gather(w, &r);
    struct gemm up = gemm_forward(routed ? r.x : w->x + at, r.in, r.h, r.n, D, 2 * F, 0.0F);
    struct gemm down = gemm_forward(r.a, r.out, routed ? r.y : w->y + at, r.n, F, D, routed ? 0.0F : 1.0F);
    gemm_one(&up);
    swiglu_forward(r.h, r.a, r.n, F);
    gemm_one(&down);
}

/* Backward of combine: row of d_y = weight * d_y[t], and d_weight = dot(d_y[t], row of y). */
static void scatter_gradient(const struct work *w, const struct rows *r, float *d_rows)
{
    const struct dispatch *d = w->dispatch;
    int D = w->experts->D;

    for (int i = 0; i < r->n; i++) {
        size_t row = r->first + (size_t)i;
        const float *d_y = w->d_y + (size_t)d->token[row] * D;
        float *to = d_rows + (size_t)i * D, weight = w->routing->weight[d->decision[row]];
        w->routing->d_weight[d->decision[row]] = dot(d_y, r->y + (size_t)i * D, D);
        for (int j = 0; j < D; j++)
            to[j] = weight * d_y[j];
    }
}

static void backward_piece(void *context, int index, int worker)
{
    const struct work *w = context;
    struct rows r = rows_of(w, index);
    int D = w->experts->D, F = w->experts->F;
    size_t at = r.first * (size_t)D;
    bool routed = w->routing;
    float *d_a = w->scratch->d_a + r.first * (size_t)F;
    const float *d_y = routed ? w->scratch->d_y + at : w->d_y + at;

    (void)worker;
    if (routed)
        scatter_gradient(w, &r, w->scratch->d_y + at);
    struct gemm down = gemm_input_gradient(d_y, r.out, d_a, r.n, F, D, 0.0F);
    struct gemm up = gemm_input_gradient(r.h, r.in, routed ? w->scratch->d_x + at : w->d_x + at, r.n, D,
                                         2 * F, routed ? 0.0F : 1.0F);
    gemm_one(&down);
    swiglu_backward(r.h, d_a, r.n, F);
    gemm_one(&up);
}

/* After backward_piece: d_out += d_y' a, d_in += d_h' x, all experts' at once. */
static void weight_gradients(struct pool *pool, const struct experts *e, const int32_t *first, int N,
                             const float *d_y, const float *x, struct dispatch *d)
{
    size_t D = (size_t)e->D, F = (size_t)e->F;
    int n = 0;

    for (int i = 0; i < N; i++) {
        size_t at = (size_t)first[i], matrix = (size_t)i * D * F;
        int rows = first[i + 1] - first[i];
        if (rows == 0)
            continue;
        d->jobs[n++] =
            gemm_weight_gradient(d->h + at * 2 * F, x + at * D, e->d_in + 2 * matrix, rows, e->D, 2 * e->F);
        d->jobs[n++] = gemm_weight_gradient(d_y + at * D, d->a + at * F, e->d_out + matrix, rows, e->F, e->D);
    }
    gemm_batch(pool, d->jobs, n);
}

struct combination {
    const struct routing *routing;
    const struct dispatch *dispatch;
    const float *from, *weight;
    float *to;
    int D;
};

/* to[t] += sum of the rows of t's decisions, each times its weight (NULL: 1). */
static void combine_range(void *context, int first, int last, int worker)
{
    const struct combination *c = context;
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

void experts_forward(struct pool *pool, const struct experts *e, const struct routing *r, const float *x,
                     float *y, struct dispatch *d)
{
    struct work w = {.experts = e, .dispatch = d, .routing = (struct routing *)r, .x = x};
    struct combination back = {
        .routing = r, .dispatch = d, .from = d->y, .weight = r->weight, .to = y, .D = e->D};

    permute(r, d);
    cut_pieces(d, d->first, e->n_experts);
    pool_run(pool, forward_piece, &w, d->n_pieces);
    pool_ranges(pool, combine_range, &back, r->n_tokens, TOKENS);
}

void experts_backward(struct pool *pool, const struct experts *e, struct routing *r, const float *d_y,
                      float *d_x, struct dispatch *d, const struct dispatch_scratch *s)
{
    struct work w = {.experts = e, .dispatch = d, .routing = r, .d_y = d_y, .scratch = s};
    struct combination spread = {.routing = r, .dispatch = d, .from = s->d_x, .to = d_x, .D = e->D};

    memset(r->d_weight, 0, sizeof *r->d_weight * (size_t)routing_decisions(r)); /* of dropped decisions */
    pool_run(pool, backward_piece, &w, d->n_pieces);
    weight_gradients(pool, e, d->first, e->n_experts, s->d_y, d->x, d);
    pool_ranges(pool, combine_range, &spread, r->n_tokens, TOKENS);
}

void dense_forward(struct pool *pool, const struct experts *e, const float *x, float *y, int T,
                   struct dispatch *d)
{
    struct work w = {.experts = e, .dispatch = d, .x = x, .y = y};

    cut_pieces(d, (const int32_t[]){0, T}, 1);
    pool_run(pool, forward_piece, &w, d->n_pieces);
}

void dense_backward(struct pool *pool, const struct experts *e, const float *x, const float *d_y, float *d_x,
                    int T, struct dispatch *d, const struct dispatch_scratch *s)
{
    struct work w = {.experts = e, .dispatch = d, .d_y = d_y, .d_x = d_x, .scratch = s};

    pool_run(pool, backward_piece, &w, d->n_pieces);
    weight_gradients(pool, e, (const int32_t[]){0, T}, 1, d_y, x, d);
}
