/* Noisy top-k gating (Shazeer et al. 2017, arXiv 1701.06538, section 2.1 and appendix A). In training
 * H = x w + N(0, 1) softplus(x w_noise); without noise, in evaluation, H = x w. A token's weights are the
 * softmax over its k largest H; the logged gates are those experts' shares of the softmax over all.
 *
 * Two losses: w_importance CV(sum_t G_t)^2, G the weights before capacity, and w_load CV(Load)^2, CV =
 * deviation / mean over experts. Load_i is the number of tokens expert i would expect if its own noise were
 * drawn again, the others' held: sum_t Phi((x w)_i - threshold_i) / softplus_i), threshold_i the k-th largest
 * H of the others. All of it has gradients, through thresholds as well. Where nothing is drawn (evaluation)
 * or nothing can change (k = N), Load is the count of decisions, which has none.
 *
 * The paper starts both matrices at 0; here they start as other routers' do, so that runs differ in nothing
 * but the router. */
#include <math.h>

#include "engine/kernels.h"
#include "engine/routers.h"

/* Kept from forward to backward: x w; draws of N(0, 1); softplus(x w_noise); (clean - threshold) / deviation;
 * its Phi. d_second is the gradient by DEVIATION until score_backward makes it that by x w_noise. */
enum { CLEAN, NOISE, DEVIATION, MARGIN, CHANCE, N_KEPT };
enum { IMPORTANCE, LOAD, D_IMPORTANCE, D_LOAD }; /* rows of routing.sums */

static const struct weighing softmax_of_kept = {.normalise = true, .scale = 1.0F};

static int noisy_topk_check(const struct router_config *c, struct error *err)
{
    if (one_to_n_experts(c, err))
        return -1;
    if (c->k == 1)
        return error_set(
            err, STATUS_USAGE,
            "router.k = 1 with noisy_topk makes every gate 1 (a softmax over one expert), so that "
            "the router learns nothing from the language loss; set router.k = 2 or more");
    if (c->noise > 0.0F)
        return error_set(err, STATUS_USAGE,
                         "router.noise is for other routers: noisy_topk learns how much noise it adds; set "
                         "router.noise = 0");
    return 0;
}

static void noisy_topk_shape(const struct router_config *c, int vocabulary, struct router_shape *shape)
{
    (void)c;
    (void)vocabulary;
    *shape = (struct router_shape){.weight = true, .second = "noise", .n_kept = N_KEPT};
}

/* ---- scores ---- */

static float softplus(float x)
{
    return x > 0.0F ? x + log1pf(expf(-x)) : log1pf(expf(x));
}

static void noise_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    const struct routing *r = c->routing;
    size_t N = (size_t)r->n_experts;

    (void)worker;
    for (size_t i = (size_t)first * N; i < (size_t)last * N; i++) {
        r->kept[CLEAN][i] = r->logit[i];
        r->kept[DEVIATION][i] = softplus(r->second[i]);
        r->logit[i] += r->kept[NOISE][i] * r->kept[DEVIATION][i];
    }
}

static void noisy_topk_score(const struct router *router, struct pool *pool, const struct router_input *in,
                             struct routing *out)
{
    struct selection c = {.router = router, .input = in, .routing = out};
    size_t cells = (size_t)in->T * (size_t)out->n_experts;

    for (size_t i = 0; i < cells && out->noisy; i++) /* in order, whatever the threads */
        out->kept[NOISE][i] = (float)random_normal(in->noise);
    if (out->noisy)
        pool_ranges(pool, noise_range, &c, in->T, ROUTER_ROWS);
    softmax_rows(pool, out->logit, out->probability, out->log_sum, in->T, out->n_experts);
}

static void noisy_topk_select(const struct router *router, struct pool *pool, const struct router_input *in,
                              struct routing *out)
{
    select_largest(router, pool, in, out, softmax_of_kept);
}

static void noisy_topk_backward(const struct router *router, struct pool *pool, const struct router_input *in,
                                struct routing *out)
{
    (void)in;
    weights_backward_as(router, pool, out, softmax_of_kept);
}

/* H = clean + noise * deviation; softplus' = 1 - e^-softplus. */
static void deviation_backward_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    const struct routing *r = c->routing;
    size_t N = (size_t)r->n_experts;

    (void)worker;
    for (size_t i = (size_t)first * N; i < (size_t)last * N; i++)
        r->d_second[i] =
            (r->d_second[i] + r->kept[NOISE][i] * r->d_logit[i]) * -expm1f(-r->kept[DEVIATION][i]);
}

static void noisy_topk_score_backward(const struct router *router, struct pool *pool, struct routing *out)
{
    struct selection c = {.router = router, .routing = out};

    softmax_rows_backward(pool, out->probability, out->d_probability, out->d_logit, out->n_tokens,
                          out->n_experts);
    if (out->noisy)
        pool_ranges(pool, deviation_backward_range, &c, out->n_tokens, ROUTER_ROWS);
}

/* ---- losses ---- */

static double *sums_of(const struct routing *r, int row)
{
    return r->sums + (size_t)row * (size_t)r->n_experts;
}

/* CV^2 = variance / mean^2 and its gradient. */
static double squared_cv(const double *x, double *gradient, int N)
{
    double mean = 0.0, variance = 0.0;

    for (int i = 0; i < N; i++)
        mean += x[i] / N;
    for (int i = 0; i < N; i++)
        variance += (x[i] - mean) * (x[i] - mean) / N;
    for (int i = 0; i < N; i++)
        gradient[i] = mean > 0.0 ? 2.0 / (N * mean * mean) * (x[i] - mean - variance / mean) : 0.0;
    return mean > 0.0 ? variance / (mean * mean) : 0.0;
}

static bool is_chosen(const struct routing *r, int t, int expert)
{
    bool chosen = false;

    for (int d = r->offset[t]; d < r->offset[t + 1]; d++)
        chosen = chosen || r->expert[d] == expert;
    return chosen;
}

/* The first expert that token t does not go to; there is one, k < N. */
static int first_out(const struct routing *r, int t)
{
    const float *H = r->logit + (size_t)t * (size_t)r->n_experts;
    int first = -1;

    for (int i = 0; i < r->n_experts; i++) {
        if ((first < 0 || H[i] > H[first]) && !is_chosen(r, t, i))
            first = i;
    }
    return first;
}

/* Whose H expert i has to exceed, the others' noise being as it is. */
static int rival_of(const struct routing *r, int t, int i, int out)
{
    return is_chosen(r, t, i) ? out : r->expert[r->offset[t + 1] - 1];
}

static void chance_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    const struct routing *r = c->routing;
    int N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        size_t row = (size_t)t * (size_t)N;
        int out = first_out(r, t);
        for (int i = 0; i < N; i++) {
            size_t cell = row + (size_t)i;
            float threshold = r->logit[row + (size_t)rival_of(r, t, i, out)];
            float margin = (r->kept[CLEAN][cell] - threshold) / r->kept[DEVIATION][cell];
            r->kept[MARGIN][cell] = margin;
            r->kept[CHANCE][cell] = (float)(0.5 * erfc((double)margin * -0.70710678118654752440));
        }
    }
}

/* By clean: a = d Phi / deviation; by the rival's H: -a; by deviation: -a margin. d_logit is taken for the
 * gradient by H later: the noise's part of it that is not of H is taken back here. */
static void chance_backward(const struct routing *r, int t, const double *d_load, double scale)
{
    size_t row = (size_t)t * (size_t)r->n_experts;
    int out = first_out(r, t);

    for (int i = 0; i < r->n_experts; i++) {
        size_t cell = row + (size_t)i;
        float margin = r->kept[MARGIN][cell], density = 0.39894228F * expf(-0.5F * margin * margin);
        if (!(density > 0.0F)) /* far beyond doubt; 0 times an infinite margin would be none */
            continue;
        float a = (float)(scale * d_load[i]) * density / r->kept[DEVIATION][cell];
        r->d_logit[cell] += a;
        r->d_logit[row + (size_t)rival_of(r, t, i, out)] -= a;
        r->d_second[cell] -= a * (margin + r->kept[NOISE][cell]);
    }
}

static bool load_is_smooth(const struct router *router, const struct routing *r)
{
    return r->noisy && router->config.k < r->n_experts;
}

struct losses_backward { /* weights of the gradients */
    struct routing *routing;
    double importance, load;
};

static void losses_backward_range(void *context, int first, int last, int worker)
{
    const struct losses_backward *c = context;
    struct routing *r = c->routing;

    (void)worker;
    for (int t = first; t < last; t++) {
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++) /* scratch until the experts' backward pass */
            r->d_weight[d] = (float)(c->importance * sums_of(r, D_IMPORTANCE)[r->expert[d]]);
        weigh_backward(r, t, softmax_of_kept);
        if (c->load > 0.0)
            chance_backward(r, t, sums_of(r, D_LOAD), c->load);
    }
}

static void sum_importance(const struct routing *r, double *sum)
{
    for (int i = 0; i < r->n_experts; i++)
        sum[i] = 0.0;
    for (int t = 0; t < r->n_tokens; t++) {
        double all = 0.0;
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++)
            all += (double)r->gate[d];
        for (int d = r->offset[t]; d < r->offset[t + 1]; d++)
            sum[r->expert[d]] += (double)r->gate[d] / all;
    }
}

static void sum_load(const struct router *router, struct pool *pool, struct routing *r, double *sum)
{
    struct selection c = {.router = router, .routing = r};
    bool smooth = load_is_smooth(router, r);
    int N = r->n_experts;

    if (smooth)
        pool_ranges(pool, chance_range, &c, r->n_tokens, ROUTER_ROWS);
    for (int i = 0; i < N; i++)
        sum[i] = smooth ? 0.0 : (double)r->requested[i];
    for (int t = 0; t < r->n_tokens && smooth; t++) {
        for (int i = 0; i < N; i++)
            sum[i] += (double)r->kept[CHANCE][(size_t)t * N + i];
    }
}

static double noisy_topk_own_loss(const struct router *router, struct pool *pool, struct routing *out,
                                  float scale)
{
    double w_importance = (double)router->config.importance, w_load = (double)router->config.load, loss = 0.0;
    struct losses_backward c = {
        .routing = out,
        .importance = (double)scale * w_importance,
        .load = load_is_smooth(router, out) ? (double)scale * w_load : 0.0,
    };

    sum_importance(out, sums_of(out, IMPORTANCE));
    loss += w_importance * squared_cv(sums_of(out, IMPORTANCE), sums_of(out, D_IMPORTANCE), out->n_experts);
    if (w_load > 0.0) {
        sum_load(router, pool, out, sums_of(out, LOAD));
        loss += w_load * squared_cv(sums_of(out, LOAD), sums_of(out, D_LOAD), out->n_experts);
    }
    if (scale > 0.0F)
        pool_ranges(pool, losses_backward_range, &c, out->n_tokens, ROUTER_ROWS);
    return loss;
}

const struct router_ops router_noisy_topk = {
    .name = "noisy_topk",
    .help = "each token's k likeliest experts, with learnt noise in training",
    .routes = true,
    .softmax = true,
    .max_k = fixed_k,
    .check = noisy_topk_check,
    .shape = noisy_topk_shape,
    .score = noisy_topk_score,
    .select = noisy_topk_select,
    .backward = noisy_topk_backward,
    .score_backward = noisy_topk_score_backward,
    .own_loss = noisy_topk_own_loss,
};
