#include "engine/routing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/blas.h"
#include "engine/intervention.h"
#include "engine/kernels.h"
#include "engine/routers.h"

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

const struct router_ops router_dense = {
    .name = "dense",
    .help = "no router: one feed-forward network for every token",
    .max_k = dense_max_k,
    .check = dense_check,
};

#define ROW(name)  &router_##name,
#define NAME(name) #name,
static const struct router_ops *const routers[] = {ROUTERS(ROW)};
enum { N_ROUTERS = sizeof routers / sizeof *routers };
const char *const router_names[] = {ROUTERS(NAME) NULL};
#undef ROW
#undef NAME

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

    *r = (struct routing){.n_experts = n_experts, .max_tokens = max_tokens};
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

int routing_extend(struct routing *r, int max_tokens, const struct router_shape *shape, struct error *err)
{
    size_t cells = (size_t)max_tokens * (size_t)r->n_experts;
    bool missing = false;

    for (int i = 0; i < shape->n_kept; i++) {
        r->kept[i] = malloc(cells * sizeof *r->kept[i]);
        missing = missing || !r->kept[i];
    }
    if (shape->second) {
        r->second = malloc(cells * sizeof *r->second);
        r->d_second = malloc(cells * sizeof *r->d_second);
        r->sums = malloc(4 * (size_t)r->n_experts * sizeof *r->sums);
        missing = missing || !r->second || !r->d_second || !r->sums;
    }
    if (!missing)
        return 0;
    routing_release(r);
    return error_no_memory(err, "routing decisions");
}

void routing_release(struct routing *r)
{
    for (int i = 0; i < ROUTING_KEPT; i++)
        free(r->kept[i]);
    free(r->second);
    free(r->d_second);
    free(r->sums);
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

/* ---- what routers share ---- */

void router_shape(const struct router_ops *ops, const struct router_config *c, int vocabulary,
                  struct router_shape *shape)
{
    *shape = (struct router_shape){.weight = true};
    if (ops->shape)
        ops->shape(c, vocabulary, shape);
}

int one_to_n_experts(const struct router_config *c, struct error *err)
{
    if (c->k < 1 || c->k > c->n_experts)
        return error_set(err, STATUS_USAGE, "router.k is %d but there are %d experts; it must be 1 to %d",
                         c->k, c->n_experts, c->n_experts);
    return 0;
}

int no_renormalize(const struct router_config *c, const char *name, struct error *err)
{
    if (!c->renormalize)
        return 0;
    return error_set(err, STATUS_USAGE,
                     "router.renormalize is for other routers: %s weighs its experts with their raw %s; set "
                     "router.renormalize = false",
                     name, strcmp(name, "relu") == 0 ? "scores" : "probabilities");
}

int learns_with_one(const struct router_config *c, struct error *err)
{
    if (c->k > 1 || !c->renormalize)
        return 0;
    return error_set(err, STATUS_USAGE,
                     "router.renormalize with router.k = 1 makes every gate 1, so that the router learns "
                     "nothing from the language loss; set router.renormalize = false");
}

int fixed_k(const struct router_config *c)
{
    return c->k;
}

int any_k(const struct router_config *c)
{
    return c->n_experts;
}

bool always_varies(const struct router_config *c)
{
    (void)c;
    return true;
}

int router_fixed_k(const struct router_ops *ops, const struct router_config *c)
{
    return ops->varies && ops->varies(c) ? 0 : c->k;
}

void spread_nan(float *scores, int N)
{
    float sum = 0.0F;

    for (int i = 0; i < N; i++)
        sum += scores[i];
    for (int i = 0; i < N && isnan(sum); i++)
        scores[i] = NAN;
}

/* k is small: insertion beats sorting. */
void choose_largest(const float *p, const float *visible, int N, int k, int32_t *expert, float *gate)
{
    for (int s = 0; s < k; s++) {
        gate[s] = -INFINITY;
        expert[s] = s;
    }
    for (int i = 0; i < N; i++) {
        int s = k;
        while (s > 0 && p[i] > gate[s - 1])
            s--;
        if (s == k || (visible && !(visible[i] > 0.0F)))
            continue;
        for (int j = k - 1; j > s; j--) {
            gate[j] = gate[j - 1];
            expert[j] = expert[j - 1];
        }
        gate[s] = p[i];
        expert[s] = i;
    }
    for (int s = 0; s < k; s++) {
        if (gate[s] == -INFINITY)
            gate[s] = NAN;
    }
}

void close_gaps(struct routing *r, int stride)
{
    r->offset[0] = 0;
    for (int t = 0; t < r->n_tokens; t++) {
        size_t from = (size_t)t * (size_t)stride, to = (size_t)r->offset[t], n = (size_t)r->offset[t + 1];
        memmove(r->expert + to, r->expert + from, n * sizeof *r->expert);
        memmove(r->gate + to, r->gate + from, n * sizeof *r->gate);
        memmove(r->weight + to, r->weight + from, n * sizeof *r->weight);
        r->offset[t + 1] += r->offset[t];
    }
}

struct weighing plain_weighing(const struct router_config *c)
{
    return (struct weighing){.normalise = c->renormalize, .scale = 1.0F};
}

static float gate_sum(const float *gate, int n)
{
    float sum = 0.0F;

    for (int s = 0; s < n; s++)
        sum += gate[s];
    return sum;
}

void weigh(const float *gate, float *weight, int n, struct weighing w)
{
    float sum = w.normalise ? gate_sum(gate, n) : 1.0F;

    for (int s = 0; s < n; s++)
        weight[s] = w.scale * (gate[s] / sum);
}

/* Without normalising w = c p. With it w_i = c p_i / S, S the chosen sum: d_p_i = (c d_w_i - sum_j d_w_j w_j)
 * / S. A dropped decision has d_weight 0 (its output was multiplied by nothing) but still counts in S. */
void weigh_backward(struct routing *r, int t, struct weighing w)
{
    int first = r->offset[t], last = r->offset[t + 1];
    float *d_p = r->d_probability + (size_t)t * (size_t)r->n_experts;
    float sum = w.normalise ? gate_sum(r->gate + first, last - first) : 1.0F, mean = 0.0F;

    for (int d = first; d < last && w.normalise; d++)
        mean += r->d_weight[d] * (w.scale * (r->gate[d] / sum));
    for (int d = first; d < last; d++)
        d_p[r->expert[d]] += (w.scale * r->d_weight[d] - mean) / sum;
}

static void weights_backward_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;

    (void)worker;
    for (int t = first; t < last; t++)
        weigh_backward(c->routing, t, c->weighing);
}

void weights_backward_as(const struct router *r, struct pool *pool, struct routing *out, struct weighing w)
{
    struct selection c = {.router = r, .routing = out, .weighing = w};

    pool_ranges(pool, weights_backward_range, &c, out->n_tokens, ROUTER_ROWS);
}

void weights_backward(const struct router *r, struct pool *pool, const struct router_input *in,
                      struct routing *out)
{
    (void)in;
    weights_backward_as(r, pool, out, plain_weighing(&r->config));
}

static void largest_range(void *context, int first, int last, int worker)
{
    const struct selection *c = context;
    struct routing *r = c->routing;
    int k = c->router->config.k, N = r->n_experts;

    (void)worker;
    for (int t = first; t < last; t++) {
        int d = t * k;
        r->offset[t] = d;
        choose_largest(r->probability + (size_t)t * N, NULL, N, k, r->expert + d, r->gate + d);
        weigh(r->gate + d, r->weight + d, k, c->weighing);
    }
}

void select_largest(const struct router *r, struct pool *pool, const struct router_input *in,
                    struct routing *out, struct weighing w)
{
    struct selection c = {.router = r, .input = in, .routing = out, .weighing = w};

    pool_ranges(pool, largest_range, &c, out->n_tokens, ROUTER_ROWS);
    out->offset[out->n_tokens] = out->n_tokens * r->config.k;
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
    int64_t *taken = r->requested; /* scratch: counted once all is decided */

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

/* The second matrix is for training: who routes without noise has no use for it. */
static bool uses_second(const struct router *r, const struct routing *out)
{
    return r->second && out->noisy;
}

static void linear_forward(const struct router *r, struct pool *pool, const struct router_input *in,
                           struct routing *out)
{
    struct gemm products[2] = {
        gemm_forward(in->x, r->weight, out->logit, in->T, in->D, out->n_experts, 0.0F)};
    int n = 1;

    if (uses_second(r, out))
        products[n++] = gemm_forward(in->x, r->second, out->second, in->T, in->D, out->n_experts, 0.0F);
    gemm_batch(pool, products, n);
    if (in->noise && r->config.noise > 0.0F)
        add_noise(out, r->config.noise, in->noise);
}

void router_route(const struct router *r, struct pool *pool, const struct router_input *in,
                  struct routing *out)
{
    size_t cells = (size_t)in->T * (size_t)out->n_experts;

    out->n_tokens = in->T;
    out->softmax = r->ops->softmax;
    out->noisy = in->noise != NULL;
    if (r->weight)
        linear_forward(r, pool, in, out);
    if (r->ops->score)
        r->ops->score(r, pool, in, out);
    else
        softmax_rows(pool, out->logit, out->probability, out->log_sum, in->T, out->n_experts);
    r->ops->select(r, pool, in, out);
    out->n_dropped = 0;
    memset(out->dropped, 0, (size_t)routing_decisions(out));
    if (r->config.capacity > 0.0F)
        apply_capacity(out, r->config.capacity);
    if (out->intervention)
        intervention_apply(out->intervention, r->config.renormalize, out);
    count_requested(out);
    memset(out->d_probability, 0, sizeof *out->d_probability * cells);
    memset(out->d_logit, 0, sizeof *out->d_logit * cells);
    if (out->d_second)
        memset(out->d_second, 0, sizeof *out->d_second * cells);
}

/* The backward of z = x w transposed. */
static void linear_backward(struct pool *pool, const struct router_input *in, const float *d_z,
                            const float *w, float *d_x, float *d_w, int N)
{
    struct gemm products[] = {gemm_input_gradient(d_z, w, d_x, in->T, in->D, N, 1.0F),
                              gemm_weight_gradient(d_z, in->x, d_w, in->T, in->D, N)};

    gemm_batch(pool, products, 2);
}

void router_backward(const struct router *r, struct pool *pool, const struct router_input *in, float *d_x,
                     struct routing *out)
{
    int N = out->n_experts;

    if (!r->weight)
        return;
    r->ops->backward(r, pool, in, out);
    if (r->ops->score_backward)
        r->ops->score_backward(r, pool, out);
    else
        softmax_rows_backward(pool, out->probability, out->d_probability, out->d_logit, in->T, N);
    linear_backward(pool, in, out->d_logit, r->weight, d_x, r->d_weight, N);
    if (uses_second(r, out))
        linear_backward(pool, in, out->d_second, r->second, d_x, r->d_second, N);
}

/* ---- losses on the routing ---- */

double routing_scale(const struct routing *r, int t)
{
    const float *p = r->probability + (size_t)t * (size_t)r->n_experts;
    double sum = 0.0;

    for (int e = 0; e < r->n_experts && !r->softmax; e++)
        sum += (double)p[e];
    return r->softmax ? 1.0 : sum > 0.0 ? 1.0 / sum : 0.0;
}

double routing_entropy(const struct routing *r, int t)
{
    const float *p = r->probability + (size_t)t * (size_t)r->n_experts;
    double scale = routing_scale(r, t), entropy = 0.0;

    /* -sum p ln p = log-sum-exp - sum p z, without a logarithm per expert */
    if (r->softmax)
        return (double)(r->log_sum[t] - dot(p, r->logit + (size_t)t * (size_t)r->n_experts, r->n_experts));
    for (int e = 0; e < r->n_experts; e++)
        entropy -= p[e] > 0.0F ? scale * (double)p[e] * log(scale * (double)p[e]) : 0.0;
    return entropy;
}

/* f_i: of decisions, or of tokens where the router says so; times the expert's cost where there is one. */
static double share_of(const struct router_ops *ops, const struct routing *r, int i)
{
    double all = ops->balance_by_token ? (double)r->n_tokens : (double)routing_decisions(r);

    return all > 0.0 ? (r->cost ? r->cost[i] : 1.0) * (double)r->requested[i] / all : 0.0;
}

/* P_i = mean over tokens of s_i / S, S = sum_j s_j: d s_i = (d P_i - sum_j d P_j s_j / S) / S / T. Tokens all
 * of whose scores are 0 have no part in it. */
static double score_balance_loss(const struct router_ops *ops, struct routing *r, double coefficient)
{
    int T = r->n_tokens, N = r->n_experts;
    double loss = 0.0;

    for (int t = 0; t < T; t++) {
        const float *s = r->probability + (size_t)t * N;
        float *d_s = r->d_probability + (size_t)t * N;
        double scale = routing_scale(r, t), mean = 0.0;
        for (int i = 0; i < N; i++)
            mean += N * share_of(ops, r, i) * scale * (double)s[i];
        for (int i = 0; i < N && coefficient > 0.0; i++)
            d_s[i] += (float)(coefficient * (N * share_of(ops, r, i) - mean) * scale / T);
        loss += mean / T;
    }
    return loss;
}

double balance_loss(const struct router_ops *ops, struct routing *r, float coefficient)
{
    int T = r->n_tokens, N = r->n_experts;
    double loss = 0.0;

    if (!r->softmax)
        return score_balance_loss(ops, r, (double)coefficient);
    for (int i = 0; i < N; i++) {
        double share = share_of(ops, r, i), mean = 0.0;
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

    for (int t = 0; t < T && r->softmax; t++) {
        double z = r->log_sum[t];
        loss += z * z / T;
        add_scaled(r->d_logit + (size_t)t * N, r->probability + (size_t)t * N,
                   (float)(coefficient * 2.0 * z / T), N);
    }
    return loss;
}

/* d H / d logit_i = -p_i (ln p_i + H). */
double entropy_loss(struct routing *r, float coefficient)
{
    int T = r->n_tokens, N = r->n_experts;
    float scale = coefficient / (float)T;
    double loss = 0.0;

    for (int t = 0; t < T && r->softmax; t++) {
        const float *p = r->probability + (size_t)t * N, *logit = r->logit + (size_t)t * N;
        double entropy = routing_entropy(r, t);
        float *d_logit = r->d_logit + (size_t)t * N, offset = (float)entropy - r->log_sum[t];
        loss += entropy / T;
        for (int i = 0; i < N && coefficient > 0.0F; i++)
            d_logit[i] -= scale * p[i] * (logit[i] + offset);
    }
    return loss;
}

/* ---- all of them ---- */

void router_add_losses(const struct router *r, struct pool *pool, struct routing *out,
                       const struct loss_weights *weights, float scale, struct losses *sum)
{
    sum->balance += balance_loss(r->ops, out, weights->balance * scale);
    sum->z += z_loss(out, weights->z * scale);
    sum->entropy += entropy_loss(out, weights->entropy * scale);
    if (r->ops->own_loss)
        sum->own += r->ops->own_loss(r, pool, out, scale);
}

void losses_average(struct losses *l, int n_blocks)
{
    if (n_blocks == 0)
        return;
    l->balance /= n_blocks;
    l->z /= n_blocks;
    l->entropy /= n_blocks;
}

void losses_add(struct losses *sum, const struct losses *l, double share)
{
    sum->lm += l->lm * share;
    sum->balance += l->balance * share;
    sum->z += l->z * share;
    sum->entropy += l->entropy * share;
    sum->own += l->own * share;
}

double losses_total(const struct losses *l, const struct loss_weights *weights, int n_blocks)
{
    return l->lm +
           n_blocks * ((double)weights->balance * l->balance + (double)weights->z * l->z +
                       (double)weights->entropy * l->entropy) +
           l->own;
}
