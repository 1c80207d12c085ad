/* The plain router: each token goes to its k likeliest experts (Shazeer et al. 2017; Fedus et al. 2022). */
#include "engine/routers.h"

static int topk_check(const struct router_config *c, struct error *err)
{
    if (one_to_n_experts(c, err))
        return -1;
    if (c->k == 1 && c->renormalize)
        return error_set(
            err, STATUS_USAGE,
            "router.renormalize with router.k = 1 makes every gate 1, so that the router learns nothing "
            "from the language loss; set router.renormalize = false");
    return 0;
}

static void select_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    struct routing *r = c->routing;
    int k = c->router->config.k, N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        int d = t * k;
        r->offset[t] = d;
        choose_largest(r->probability + (size_t)t * N, NULL, N, k, r->expert + d, r->gate + d);
        weigh(r->gate + d, r->weight + d, k, c->router->config.renormalize ? 1.0F : 0.0F);
    }
}

static void topk_select(const struct router *router, struct pool *pool, const struct router_input *in,
                        struct routing *out)
{
    struct selection c = {router, in, out};

    pool_ranges(pool, select_range, &c, out->n_tokens, ROUTER_ROWS);
    out->offset[out->n_tokens] = out->n_tokens * router->config.k;
}

const struct router_ops router_topk = {
    .name = "topk",
    .help = "each token's k likeliest experts",
    .routes = true,
    .softmax = true,
    .balance = 0.01,
    .max_k = fixed_k,
    .check = topk_check,
    .select = topk_select,
    .backward = weights_backward,
};
