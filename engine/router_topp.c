/* Dynamic routing (Huang et al. 2024, "Harder Tasks Need More Experts"): a token takes its likeliest experts
 * until their probabilities add up to more than p. The expert that crosses p is kept, so that there is always
 * one; weights are the raw probabilities; nothing is capped. So far as in the authors' code. It has no
 * losses: their form and weights are as others report them. The entropy loss keeps a router from spreading,
 * the balance loss counts every chosen expert. */
#include "engine/routers.h"

#include <math.h>

static int topp_check(const struct router_config *c, struct error *err)
{
    if (!(c->p >= 0.0F))
        return error_set(err, STATUS_USAGE, "router.p is %g; it must be at least 0", (double)c->p);
    return no_renormalize(c, "topp", err);
}

/* The largest of p behind (gate, expert) in the order of choice; -1: none left, or NaN. */
static int next_largest(const float *p, int N, float gate, int expert)
{
    int best = -1;

    for (int i = 0; i < N; i++) {
        bool behind = p[i] < gate || (p[i] == gate && i > expert);
        if (behind && (best < 0 || p[i] > p[best]))
            best = i;
    }
    return best;
}

/* Returns how many were taken. p of 1 takes all: sums of floats may exceed 1 before the last one. */
static int take(const float *p, int N, float threshold, int32_t *expert, float *gate)
{
    float sum = 0.0F;
    int n = 0;

    while (n < N && (threshold >= 1.0F || !(sum > threshold))) {
        int next = next_largest(p, N, n > 0 ? gate[n - 1] : INFINITY, n > 0 ? expert[n - 1] : -1);
        if (next < 0)
            break;
        expert[n] = next;
        gate[n++] = p[next];
        sum += p[next];
    }
    if (n == 0) { /* a diverged router's probabilities are NaN */
        expert[n] = 0;
        gate[n++] = NAN;
    }
    return n;
}

static void select_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    struct routing *r = c->routing;
    int N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        int d = t * N;
        int n = take(r->probability + (size_t)t * N, N, c->router->config.p, r->expert + d, r->gate + d);
        weigh(r->gate + d, r->weight + d, n, plain_weighing(&c->router->config));
        r->offset[t + 1] = n;
    }
}

static void topp_select(const struct router *router, struct pool *pool, const struct router_input *in,
                        struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};

    pool_ranges(pool, select_range, &c, out->n_tokens, ROUTER_ROWS);
    close_gaps(out, out->n_experts);
}

const struct router_ops router_topp = {
    .name = "topp",
    .help = "each token's likeliest experts until their probabilities exceed router.p",
    .routes = true,
    .softmax = true,
    .balance_by_token = true,
    .balance = 0.01,
    .entropy = 1e-4,
    .max_k = any_k,
    .varies = always_varies,
    .check = topp_check,
    .select = topp_select,
    .backward = weights_backward,
};
