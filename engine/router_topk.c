/* The plain router: each token goes to its k likeliest experts (Shazeer et al. 2017; Fedus et al. 2022). */
#include "engine/routers.h"

static int topk_check(const struct router_config *c, struct error *err)
{
    return one_to_n_experts(c, err) || learns_with_one(c, err) ? -1 : 0;
}

static void topk_select(const struct router *router, struct pool *pool, const struct router_input *in,
                        struct routing *out)
{
    select_largest(router, pool, in, out, plain_weighing(&router->config));
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
