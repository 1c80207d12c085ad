/* Balancing without a loss (Wang et al. 2024, arXiv 2408.15664; DeepSeek-V3, 2024): scores are sigmoids of
 * the logits, the k experts with the largest score + bias are chosen, and the bias of an expert rises by a
 * fixed step after an update in which it had fewer decisions than the mean, and falls after one in which it
 * had more. The bias is in no gate and has no gradient.
 *
 * router.renormalize, here true unless set, is DeepSeek-V3's weighing: a token's weights are its scores made
 * to sum to router.scale. Without it they are router.scale times the raw scores, as in the former paper. */
#include <math.h>
#include <string.h>

#include "engine/routers.h"

enum { BIASED }; /* kept: what the choice goes by */

static int bias_check(const struct router_config *c, struct error *err)
{
    return one_to_n_experts(c, err) || learns_with_one(c, err) ? -1 : 0;
}

static void bias_shape(const struct router_config *c, int vocabulary, struct router_shape *shape)
{
    (void)vocabulary;
    *shape = (struct router_shape){.weight = true, .state = "bias", .state_rows = c->n_experts, .n_kept = 1};
}

static int bias_init(const struct router_config *c, int layer, uint64_t seed, int vocabulary,
                     const int64_t *count, float *state, struct error *err)
{
    (void)layer;
    (void)seed;
    (void)vocabulary;
    (void)count;
    (void)err;
    memset(state, 0, (size_t)c->n_experts * sizeof *state);
    return 0;
}

static void score_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    const struct routing *r = c->routing;
    int N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        const float *logit = r->logit + (size_t)t * N, *bias = c->router->state;
        float *score = r->probability + (size_t)t * N, *biased = r->kept[BIASED] + (size_t)t * N;
        for (int i = 0; i < N; i++)
            score[i] = 1.0F / (1.0F + expf(-logit[i]));
        spread_nan(score, N);
        for (int i = 0; i < N; i++)
            biased[i] = score[i] + bias[i];
        r->log_sum[t] = 0.0F;
    }
}

static void bias_score(const struct router *router, struct pool *pool, const struct router_input *in,
                       struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};

    pool_ranges(pool, score_range, &c, in->T, ROUTER_ROWS);
}

static struct weighing weighing_of(const struct router_config *c)
{
    return (struct weighing){.normalise = c->renormalize, .scale = c->scale};
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
        choose_largest(r->kept[BIASED] + (size_t)t * N, NULL, N, k, r->expert + d, r->gate + d);
        for (int s = d; s < d + k; s++)
            r->gate[s] = r->probability[(size_t)t * N + r->expert[s]];
        weigh(r->gate + d, r->weight + d, k, weighing_of(&c->router->config));
    }
}

static void bias_select(const struct router *router, struct pool *pool, const struct router_input *in,
                        struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};

    pool_ranges(pool, select_range, &c, in->T, ROUTER_ROWS);
    out->offset[in->T] = in->T * router->config.k;
}

static void bias_backward(const struct router *router, struct pool *pool, const struct router_input *in,
                          struct routing *out)
{
    (void)in;
    weights_backward_as(router, pool, out, weighing_of(&router->config));
}

static void bias_score_backward(const struct router *router, struct pool *pool, struct routing *out)
{
    size_t cells = (size_t)out->n_tokens * (size_t)out->n_experts;

    (void)router;
    (void)pool;
    for (size_t i = 0; i < cells; i++) {
        float s = out->probability[i];
        out->d_logit[i] += out->d_probability[i] * s * (1.0F - s);
    }
}

static void bias_update(const struct router_config *c, const struct router_usage *usage, float *state)
{
    int64_t all = 0;

    for (int i = 0; i < c->n_experts; i++)
        all += usage->requested[i];
    for (int i = 0; i < c->n_experts; i++) {
        int64_t more = usage->requested[i] * c->n_experts - all; /* than the mean, N times */
        state[i] += more > 0 ? -c->bias_rate : more < 0 ? c->bias_rate : 0.0F;
    }
}

const struct router_ops router_bias = {
    .name = "bias",
    .help = "each token's k experts of the largest sigmoid score + bias; biases balance, without a loss",
    .routes = true,
    .renormalize = true,
    .max_k = fixed_k,
    .check = bias_check,
    .shape = bias_shape,
    .init_state = bias_init,
    .score = bias_score,
    .select = bias_select,
    .backward = bias_backward,
    .score_backward = bias_score_backward,
    .update = bias_update,
};
