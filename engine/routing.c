#include "engine/routing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/blas.h"
#include "engine/kernels.h"
#include "engine/router_topk.h"

/* ---- the table of routers ---- */

static int dense_max_k(const struct router_config *c)
{
    (void)c;
    return 0;
}

static int dense_check(const struct router_config *c, struct error *err)
{
    (void)c;
    (void)err;
    return 0;
}

static const struct router_ops router_dense = {
    .name = "dense",
    .help = "no router: one feed-forward network for every token",
    .max_k = dense_max_k,
    .check = dense_check,
};

static const struct router_ops *const routers[] = {&router_dense, &router_topk};
enum { N_ROUTERS = sizeof routers / sizeof *routers };
const char *const router_names[] = {"dense", "topk", NULL};
_Static_assert(sizeof router_names / sizeof *router_names == N_ROUTERS + 1, "a name for each router");

const struct router_ops *router_find(const char *name)
{
    for (int i = 0; i < N_ROUTERS; i++) {
        if (strcmp(routers[i]->name, name) == 0)
            return routers[i];
    }
    return NULL;
}

/* ---- memory ---- */

int routing_init(struct routing *r, int max_tokens, int n_experts, int max_k, struct error *err)
{
    size_t decisions = (size_t)max_tokens * (size_t)max_k, cells = (size_t)max_tokens * (size_t)n_experts;

    *r = (struct routing){.n_experts = n_experts};
    r->offset = calloc((size_t)max_tokens + 1, sizeof *r->offset);
    r->expert = malloc(decisions * sizeof *r->expert);
    r->gate = malloc(decisions * sizeof *r->gate);
    r->weight = malloc(decisions * sizeof *r->weight);
    r->dropped = calloc(decisions, sizeof *r->dropped);
    r->d_weight = malloc(decisions * sizeof *r->d_weight);
    r->logit = malloc(cells * sizeof *r->logit);
    r->probability = malloc(cells * sizeof *r->probability);
    r->d_probability = malloc(cells * sizeof *r->d_probability);
    r->d_logit = malloc(cells * sizeof *r->d_logit);
    r->log_sum = malloc((size_t)max_tokens * sizeof *r->log_sum);
    r->requested = calloc((size_t)n_experts, sizeof *r->requested);
    if (r->offset && r->expert && r->gate && r->weight && r->dropped && r->d_weight && r->logit &&
        r->probability && r->d_probability && r->d_logit && r->log_sum && r->requested)
        return 0;
    routing_release(r);
    return error_no_memory(err, "routing decisions");
}

void routing_release(struct routing *r)
{
    free(r->offset);
    free(r->expert);
    free(r->gate);
    free(r->weight);
    free(r->dropped);
    free(r->d_weight);
    free(r->logit);
    free(r->probability);
    free(r->d_probability);
    free(r->d_logit);
    free(r->log_sum);
    free(r->requested);
    *r = (struct routing){0};
}

/* ---- from x to decisions ---- */

static void add_noise(struct routing *r, float deviation, struct random *noise)
{
    size_t cells = (size_t)r->n_tokens * (size_t)r->n_experts;

    for (size_t i = 0; i < cells; i++)
        r->logit[i] += deviation * (float)random_normal(noise);
}

static void count_requested(struct routing *r)
{
    memset(r->requested, 0, sizeof *r->requested * (size_t)r->n_experts);
    for (int d = 0; d < routing_decisions(r); d++)
        r->requested[r->expert[d]]++;
}

/* First choices of all tokens come before second choices, earlier tokens before later ones (GShard, Lepikhin
 * et al. 2021). What an expert cannot take is dropped: its weight is 0 and the token keeps its residual. */
static void apply_capacity(struct routing *r, float capacity)
{
    int decisions = routing_decisions(r), longest = 0;
    /* A millionth less before rounding up: 1.2 as a float is a little more than 1.2. */
    double share = (double)capacity * (1.0 - 1e-6) * decisions / r->n_experts;
    int64_t limit = share < decisions ? (int64_t)ceil(share) : decisions;
    int64_t *taken = r->requested; /* counted anew below, restored after */

    memset(taken, 0, sizeof *taken * (size_t)r->n_experts);
    for (int t = 0; t < r->n_tokens; t++)
        longest = r->offset[t + 1] - r->offset[t] > longest ? r->offset[t + 1] - r->offset[t] : longest;
    for (int slot = 0; slot < longest; slot++) {
        for (int t = 0; t < r->n_tokens; t++) {
            int d = r->offset[t] + slot;
            if (d >= r->offset[t + 1])
                continue;
            r->dropped[d] = taken[r->expert[d]]++ >= limit;
            if (r->dropped[d]) {
                r->weight[d] = 0.0F;
                r->n_dropped++;
            }
        }
    }
}

void router_route(const struct router *r, struct pool *pool, const float *x, int T, int D,
                  struct random *noise, struct routing *out)
{
    int N = out->n_experts;
    struct gemm logits = gemm_forward(x, r->weight, out->logit, T, D, N, 0.0F);

    out->n_tokens = T;
    gemm_batch(pool, &logits, 1);
    if (noise && r->config.noise > 0.0F)
        add_noise(out, r->config.noise, noise);
    softmax_rows(pool, out->logit, out->probability, out->log_sum, T, N);
    r->ops->select(r, pool, out);
    out->n_dropped = 0;
    memset(out->dropped, 0, (size_t)routing_decisions(out));
    if (r->config.capacity > 0.0F)
        apply_capacity(out, r->config.capacity);
    else
        count_requested(out);
    memset(out->d_probability, 0, sizeof *out->d_probability * (size_t)T * (size_t)N);
    memset(out->d_logit, 0, sizeof *out->d_logit * (size_t)T * (size_t)N);
}

void router_backward(const struct router *r, struct pool *pool, const float *x, float *d_x, int D,
                     struct routing *out)
{
    int T = out->n_tokens, N = out->n_experts;

    r->ops->backward(r, pool, out);
    softmax_rows_backward(pool, out->probability, out->d_probability, out->d_logit, T, N);
    struct gemm products[] = {gemm_input_gradient(out->d_logit, r->weight, d_x, T, D, N, 1.0F),
                              gemm_weight_gradient(out->d_logit, x, r->d_weight, T, D, N)};
    gemm_batch(pool, products, 2);
}

/* ---- losses on the routing ---- */

double balance_loss(struct routing *r, float coefficient)
{
    int T = r->n_tokens, N = r->n_experts;
    double decisions = routing_decisions(r), loss = 0.0;

    for (int i = 0; i < N; i++) {
        double share = (double)r->requested[i] / decisions, mean = 0.0;
        float gradient = (float)((double)coefficient * N * share / T);
        for (int t = 0; t < T; t++) {
            mean += r->probability[(size_t)t * N + i];
            r->d_probability[(size_t)t * N + i] += gradient;
        }
        loss += N * share * mean / T;
    }
    return loss;
}

double z_loss(struct routing *r, float coefficient)
{
    int T = r->n_tokens, N = r->n_experts;
    double loss = 0.0;

    for (int t = 0; t < T; t++) {
        double z = r->log_sum[t];
        loss += z * z / T;
        add_scaled(r->d_logit + (size_t)t * N, r->probability + (size_t)t * N,
                   (float)(coefficient * 2.0 * z / T), N);
    }
    return loss;
}
