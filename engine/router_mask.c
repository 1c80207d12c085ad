/* MaskMoE (Su et al. 2024, arXiv 2407.09816): each vocabulary item sees a fixed subset of the experts, a
 * frequent one several, a rare one a single expert. The others' logits are as if minus infinity, before the
 * softmax; the k likeliest of the visible ones are used. A rare item always trains the same expert, its gate
 * is 1, and its router gets no gradient from it.
 *
 * One visible expert for all is a hash layer, all visible for all is top-k; both are tests. What the paper
 * leaves open (the split, the draw, its scope) are options: engine/visible.h. */
#include "engine/routers.h"

#include "engine/kernels.h"
#include "engine/visible.h"

/* Finite, so that 0 times it is 0 in entropies and gradients. */
static const float invisible = -1e30F;

static int mask_check(const struct router_config *c, struct error *err)
{
    if (one_to_n_experts(c, err) || visible_check(c, err) || learns_with_one(c, err))
        return -1;
    if (!(c->rare_gate >= 0.0F))
        return error_set(err, STATUS_USAGE, "mask.rare_gate is %g; it must be at least 0",
                         (double)c->rare_gate);
    return 0;
}

/* A token that sees fewer experts than k gets fewer. */
static bool mask_varies(const struct router_config *c)
{
    const struct visibility_config *v = &c->visibility;

    return (v->visible > 0 && v->visible < c->k) || (v->rare_visible > 0 && v->rare_visible < c->k);
}

static void mask_shape(const struct router_config *c, int vocabulary, struct router_shape *shape)
{
    *shape = (struct router_shape){
        .weight = true, .state = "visible", .state_rows = vocabulary, .state_columns = c->n_experts};
}

static const float *visible_of(const struct selection *c, int t)
{
    return c->router->state + (size_t)c->input->token[t] * (size_t)c->routing->n_experts;
}

/* The only one that a row shows, or -1 when there are several. */
static int only_visible(const float *visible, int N)
{
    int only = -1;

    for (int e = 0; e < N; e++) {
        if (!(visible[e] > 0.0F))
            continue;
        if (only >= 0)
            return -1;
        only = e;
    }
    return only;
}

static void hide_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    int N = c->routing->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        const float *visible = visible_of(c, t);
        float *logit = c->routing->logit + (size_t)t * N;
        int only = only_visible(visible, N);
        for (int e = 0; e < N; e++) {
            if (!(visible[e] > 0.0F))
                logit[e] = invisible;
        }
        if (only >= 0) /* nothing to decide: a constant, so that no loss pulls at this logit */
            logit[only] = 0.0F;
    }
}

/* The fast exponential of minus infinity is not quite 0, that of 0 not quite 1. */
static void exact_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    int N = c->routing->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        const float *visible = visible_of(c, t);
        float *p = c->routing->probability + (size_t)t * N;
        int only = only_visible(visible, N);
        for (int e = 0; e < N; e++)
            p[e] = e == only ? 1.0F : visible[e] > 0.0F ? p[e] : 0.0F;
        if (only >= 0)
            c->routing->log_sum[t] = 0.0F;
    }
}

static void mask_score(const struct router *router, struct pool *pool, const struct router_input *in,
                       struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};

    pool_ranges(pool, hide_range, &c, in->T, ROUTER_ROWS);
    softmax_rows(pool, out->logit, out->probability, out->log_sum, in->T, out->n_experts);
    pool_ranges(pool, exact_range, &c, in->T, ROUTER_ROWS);
}

static struct weighing weighing_of(const struct selection *c, const float *visible)
{
    const struct router_config *config = &c->router->config;

    if (config->rare_gate > 0.0F && visible_rare(visible, c->routing->n_experts))
        return (struct weighing){.normalise = true, .scale = config->rare_gate};
    return plain_weighing(config);
}

static void select_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    struct routing *r = c->routing;
    int k = c->router->config.k, N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        const float *visible = visible_of(c, t);
        int d = t * k, n = visible_count(visible, N);
        n = n < k ? n : k;
        choose_largest(r->probability + (size_t)t * N, visible, N, n, r->expert + d, r->gate + d);
        weigh(r->gate + d, r->weight + d, n, weighing_of(c, visible));
        r->offset[t + 1] = n;
    }
}

static void mask_select(const struct router *router, struct pool *pool, const struct router_input *in,
                        struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};

    pool_ranges(pool, select_range, &c, in->T, ROUTER_ROWS);
    close_gaps(out, router->config.k);
}

static void backward_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;

    (void)worker;
    for (int t = first; t < last; t++)
        weigh_backward(c->routing, t, weighing_of(c, visible_of(c, t)));
}

static void mask_backward(const struct router *router, struct pool *pool, const struct router_input *in,
                          struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};

    pool_ranges(pool, backward_range, &c, in->T, ROUTER_ROWS);
}

const struct router_ops router_mask = {
    .name = "mask",
    .help = "MaskMoE: a token's k likeliest of the experts that its vocabulary item sees",
    .routes = true,
    .softmax = true,
    .balance = 0.01,
    .max_k = fixed_k,
    .varies = mask_varies,
    .check = mask_check,
    .shape = mask_shape,
    .init_state = visible_draw,
    .state_fits = visible_fits,
    .score = mask_score,
    .select = mask_select,
    .backward = mask_backward,
};
