#include "engine/router_topk.h"

#include <math.h>
#include <stddef.h>

enum { ROWS = 64 };

static int topk_max_k(const struct router_config *c)
{
    return c->k;
}

static int topk_check(const struct router_config *c, struct error *err)
{
    if (c->k < 1 || c->k > c->n_experts)
        return error_set(err, STATUS_USAGE, "router.k is %d but there are %d experts; it must be 1 to %d",
                         c->k, c->n_experts, c->n_experts);
    if (c->k == 1 && c->renormalize)
        return error_set(
            err, STATUS_USAGE,
            "router.renormalize with router.k = 1 makes every gate 1, so that the router learns nothing "
            "from the language loss; set router.renormalize = false");
    return 0;
}

/* The k largest in order, the lower index first among equals. k is small: insertion beats sorting. NaN is
 * larger than nothing: of a diverged router's probabilities the first k experts stay, their gates NaN. */
static void choose(const float *p, int N, int k, int32_t *expert, float *gate)
{
    for (int s = 0; s < k; s++) {
        gate[s] = -1.0F;
        expert[s] = s;
    }
    for (int i = 0; i < N; i++) {
        int s = k;
        while (s > 0 && p[i] > gate[s - 1])
            s--;
        if (s == k)
            continue;
        for (int j = k - 1; j > s; j--) {
            gate[j] = gate[j - 1];
            expert[j] = expert[j - 1];
        }
        gate[s] = p[i];
        expert[s] = i;
    }
    for (int s = 0; s < k; s++) {
        if (gate[s] < 0.0F)
            gate[s] = NAN;
    }
}

struct selection {
    const struct router *router;
    struct routing *routing;
};

static void select_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    struct routing *r = c->routing;
    int k = c->router->config.k, N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        int d = t * k;
        float sum = 0.0F;
        r->offset[t] = d;
        choose(r->probability + (size_t)t * N, N, k, r->expert + d, r->gate + d);
        for (int s = 0; s < k; s++)
            sum += r->gate[d + s];
        for (int s = 0; s < k; s++)
            r->weight[d + s] = c->router->config.renormalize ? r->gate[d + s] / sum : r->gate[d + s];
    }
}

static void topk_select(const struct router *router, struct pool *pool, struct routing *out)
{
    struct selection c = {router, out};

    pool_ranges(pool, select_range, &c, out->n_tokens, ROWS);
    out->offset[out->n_tokens] = out->n_tokens * router->config.k;
}

/* Without renormalising w = p. With it w_i = p_i / S, S the chosen sum: d_p_i = (d_w_i - sum_j d_w_j w_j) /
 * S. A dropped decision has d_weight 0 (its output was multiplied by nothing) but still counts in S. */
static void backward_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    struct routing *r = c->routing;
    int N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        float sum = 1.0F, mean = 0.0F;
        if (c->router->config.renormalize) {
            sum = 0.0F;
            for (int d = r->offset[t]; d < r->offset[t + 1]; d++) {
                sum += r->gate[d];
                mean += r->d_weight[d] * r->weight[d];
            }
        }
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++)
            r->d_probability[(size_t)t * N + r->expert[d]] += (r->d_weight[d] - mean) / sum;
    }
}

static void topk_backward(const struct router *router, struct pool *pool, struct routing *out)
{
    struct selection c = {router, out};

    pool_ranges(pool, backward_range, &c, out->n_tokens, ROWS);
}

const struct router_ops router_topk = {
    .name = "topk",
    .help = "each token's k likeliest experts",
    .routes = true,
    .max_k = topk_max_k,
    .check = topk_check,
    .select = topk_select,
    .backward = topk_backward,
};
