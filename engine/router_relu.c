/* ReMoE (Wang et al. 2024, arXiv 2412.14711): gates are max(0, x w), no softmax and no normalising; a token
 * goes to every expert whose gate is not 0, which may be none. Everything is continuous, so that the router
 * learns which experts to use as it learns how much of them.
 *
 * Sparsity and balance come from one loss, lambda N sum_i (mean_t g_ti) c_i / (T k), c_i (no gradient) the
 * decisions of expert i: an L1 norm, weighted by load. After each update lambda grows by a fifth if tokens
 * did without fewer experts than 1 - router.k / N of them, over all blocks, and shrinks by as much otherwise.
 * It starts at 1e-8, as in the authors' code. */
#include <float.h>
#include <math.h>

#include "engine/routers.h"

static const float first_lambda = 1e-8F, lambda_factor = 1.2F;

static int relu_check(const struct router_config *c, struct error *err)
{
    return one_to_n_experts(c, err) || no_renormalize(c, "relu", err) ? -1 : 0;
}

static void relu_shape(const struct router_config *c, int vocabulary, struct router_shape *shape)
{
    (void)c;
    (void)vocabulary;
    *shape = (struct router_shape){.weight = true, .state = "lambda", .state_rows = 1};
}

static int relu_init(const struct router_config *c, int layer, uint64_t seed, int vocabulary,
                     const int64_t *count, float *state, struct error *err)
{
    (void)c;
    (void)layer;
    (void)seed;
    (void)vocabulary;
    (void)count;
    (void)err;
    *state = first_lambda;
    return 0;
}

static void score_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    const struct routing *r = c->routing;
    int N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        const float *logit = r->logit + (size_t)t * N;
        float *score = r->probability + (size_t)t * N;
        for (int i = 0; i < N; i++)
            score[i] = logit[i] <= 0.0F ? 0.0F : logit[i]; /* NaN stays */
        spread_nan(score, N);
        r->log_sum[t] = 0.0F;
    }
}

static void relu_score(const struct router *router, struct pool *pool, const struct router_input *in,
                       struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};

    pool_ranges(pool, score_range, &c, in->T, ROUTER_ROWS);
}

static void select_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    struct routing *r = c->routing;
    int N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        const float *score = r->probability + (size_t)t * N;
        int d = t * N, n = 0;
        for (int i = 0; i < N; i++)
            n += score[i] > 0.0F;
        if (isnan(score[0])) /* diverged: a decision has to say so */
            n = 1;
        choose_largest(score, NULL, N, n, r->expert + d, r->gate + d);
        weigh(r->gate + d, r->weight + d, n, plain_weighing(&c->router->config));
        r->offset[t + 1] = n;
    }
}

static void relu_select(const struct router *router, struct pool *pool, const struct router_input *in,
                        struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};

    pool_ranges(pool, select_range, &c, in->T, ROUTER_ROWS);
    close_gaps(out, out->n_experts);
}

static void relu_score_backward(const struct router *router, struct pool *pool, struct routing *out)
{
    size_t cells = (size_t)out->n_tokens * (size_t)out->n_experts;

    (void)router;
    (void)pool;
    for (size_t i = 0; i < cells; i++)
        out->d_logit[i] += out->probability[i] > 0.0F ? out->d_probability[i] : 0.0F;
}

static double relu_own_loss(const struct router *router, struct pool *pool, struct routing *out, float scale)
{
    int T = out->n_tokens, N = out->n_experts;
    double per_decision = (double)*router->state * N / ((double)T * router->config.k) / T, loss = 0.0;

    (void)pool;
    for (int t = 0; t < T; t++) {
        const float *score = out->probability + (size_t)t * N;
        float *d_score = out->d_probability + (size_t)t * N;
        for (int i = 0; i < N; i++) {
            double slope = per_decision * (double)out->requested[i];
            loss += slope * (double)score[i];
            d_score[i] += (float)((double)scale * slope);
        }
    }
    return loss;
}

/* Not to 0, from which nothing would bring it back. */
static void relu_update(const struct router_config *c, const struct router_usage *usage, float *state)
{
    (void)c;
    *state =
        usage->sparsity < usage->target ? *state * lambda_factor : fmaxf(*state / lambda_factor, FLT_MIN);
}

const struct router_ops router_relu = {
    .name = "relu",
    .help = "ReMoE: every expert whose logit is positive; a loss holds them to router.k a token",
    .routes = true,
    .max_k = any_k,
    .varies = always_varies,
    .check = relu_check,
    .shape = relu_shape,
    .init_state = relu_init,
    .score = relu_score,
    .select = relu_select,
    .backward = weights_backward,
    .score_backward = relu_score_backward,
    .own_loss = relu_own_loss,
    .update = relu_update,
};
