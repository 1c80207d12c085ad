#include "engine/naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void naive_linear(const double *x, const double *w, double *y, int T, int in, int out)
{
    for (int t = 0; t < T; t++) {
        for (int o = 0; o < out; o++) {
            double sum = 0.0;
            for (int i = 0; i < in; i++)
                sum += x[(size_t)t * in + i] * w[(size_t)o * in + i];
            y[(size_t)t * out + o] = sum;
        }
    }
}

void naive_rmsnorm(const double *x, const double *gain, double *y, int T, int D)
{
    for (int t = 0; t < T; t++) {
        double sum = 0.0;
        for (int i = 0; i < D; i++)
            sum += x[(size_t)t * D + i] * x[(size_t)t * D + i];
        for (int i = 0; i < D; i++)
            y[(size_t)t * D + i] = x[(size_t)t * D + i] / sqrt(sum / D + 1e-5) * gain[i];
    }
}

void naive_rope(double *qkv, const int32_t *position, int T, int D, int n_heads)
{
    int width = D / n_heads, half = width / 2;

    for (int t = 0; t < T; t++) {
        for (int h = 0; h < 2 * n_heads; h++) {
            double *x = qkv + (size_t)t * 3 * D + (size_t)h * width;
            for (int i = 0; i < half; i++) {
                double angle = position[t] * pow(10000.0, -2.0 * i / width);
                double a = x[i], b = x[half + i];
                x[i] = a * cos(angle) - b * sin(angle);
                x[half + i] = a * sin(angle) + b * cos(angle);
            }
        }
    }
}

void naive_softmax(const double *logits, double *p, int n)
{
    double maximum = logits[0], sum = 0.0;

    for (int i = 1; i < n; i++)
        maximum = fmax(maximum, logits[i]);
    for (int i = 0; i < n; i++)
        sum += p[i] = exp(logits[i] - maximum);
    for (int i = 0; i < n; i++)
        p[i] /= sum;
}

static void *get(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p)
        abort(); /* lint: allow library, it serves tests */
    return p;
}

/* One number of a convolution: its filter at an output position, before the pool. */
static double convolved(const struct convolution *c, const double *x, const double *w, int line, int column)
{
    int W = c->width, C = c->channels, K = c->kernel;
    double sum = 0.0;

    for (int k = 0; k < K * K * C; k++) {
        int row = line * c->stride - c->padding + k / C / K, at = column * c->stride - c->padding + k / C % K;
        if (row >= 0 && row < c->height && at >= 0 && at < W)
            sum += x[(row * W + at) * C + k % C] * w[k];
    }
    return sum;
}

void naive_convolution(const struct convolution *c, const double *x, const double *w, const double *bias,
                       double *y, int B)
{
    int out_height = convolution_extent(c, c->height) / c->pool,
        out_width = convolution_extent(c, c->width) / c->pool, size = c->kernel * c->kernel * c->channels;

    for (int i = 0; i < B * out_height * out_width * c->filters; i++) {
        int filter = i % c->filters, column = i / c->filters % out_width * c->pool;
        int line = i / c->filters / out_width % out_height * c->pool,
            b = i / c->filters / out_width / out_height;
        const double *sample = x + (ptrdiff_t)b * c->height * c->width * c->channels;
        y[i] = -INFINITY;
        for (int p = 0; p < c->pool * c->pool; p++)
            y[i] = fmax(y[i], bias[filter] + convolved(c, sample, w + (ptrdiff_t)filter * size,
                                                       line + p / c->pool, column + p % c->pool));
        y[i] = c->rectified ? fmax(y[i], 0.0) : y[i];
    }
}

/* column j of exp(x slots'), as shares: over tokens for dispatch, over slots for combine */
static void soft_weights(const double *x, const double *slots, int m, int S, int D, double *dispatch,
                         double *combine)
{
    double *column = get((size_t)m, sizeof *column), *share = get((size_t)m, sizeof *share);

    naive_linear(x, slots, dispatch, m, D, S);
    for (int i = 0; i < m; i++)
        naive_softmax(dispatch + (size_t)i * S, combine + (size_t)i * S, S);
    for (int s = 0; s < S; s++) {
        for (int i = 0; i < m; i++)
            column[i] = dispatch[i * S + s];
        naive_softmax(column, share, m);
        for (int i = 0; i < m; i++)
            dispatch[i * S + s] = share[i];
    }
    free(column);
    free(share);
}

void naive_soft_moe(const struct soft_moe *shape, const double *x, const double *slots, const double *in,
                    const double *out, const uint8_t *keep, double *y, int m, double *dispatch,
                    double *combine)
{
    int D = shape->D, F = shape->F, per_expert = shape->slots_per_expert, S = shape->n_experts * per_expert;
    double *d = get((size_t)m * (size_t)S, sizeof *d), *c = get((size_t)m * (size_t)S, sizeof *c);
    double *slot = get((size_t)D, sizeof *slot), *h = get((size_t)F, sizeof *h),
           *o = get((size_t)D, sizeof *o);

    soft_weights(x, slots, m, S, D, d, c);
    memset(y, 0, (size_t)m * (size_t)D * sizeof *y);
    for (int s = 0; s < S; s++) {
        int e = s / per_expert;
        if (keep && !keep[e])
            continue;
        memset(slot, 0, (size_t)D * sizeof *slot);
        for (int i = 0; i < m * D; i++)
            slot[i % D] += d[i / D * S + s] * x[i];
        naive_linear(slot, in + (size_t)e * (size_t)F * (size_t)D, h, 1, D, F);
        for (int f = 0; f < F; f++)
            h[f] = fmax(h[f], 0.0);
        naive_linear(h, out + (size_t)e * (size_t)F * (size_t)D, o, 1, F, D);
        for (int i = 0; i < m * D; i++)
            y[i] += c[i / D * S + s] * o[i % D];
    }
    if (dispatch)
        memcpy(dispatch, d, (size_t)m * (size_t)S * sizeof *d);
    if (combine)
        memcpy(combine, c, (size_t)m * (size_t)S * sizeof *c);
    free(d);
    free(c);
    free(slot);
    free(h);
    free(o);
}

void naive_attention(const double *qkv, const int32_t *start, int n_sequences, int D, int n_heads,
                     double *output)
{
    int width = D / n_heads;
    double *p = get((size_t)start[n_sequences] + 1, sizeof *p);

    for (int s = 0; s < n_sequences; s++) {
        for (int h = 0; h < n_heads; h++) {
            for (int i = start[s]; i < start[s + 1]; i++) {
                const double *q = qkv + (size_t)i * 3 * D + (size_t)h * width;
                int keys = i - start[s] + 1;
                for (int j = 0; j < keys; j++) {
                    const double *k = qkv + (size_t)(start[s] + j) * 3 * D + D + (size_t)h * width;
                    p[j] = 0.0;
                    for (int c = 0; c < width; c++)
                        p[j] += q[c] * k[c] / sqrt(width);
                }
                naive_softmax(p, p, keys);
                for (int c = 0; c < width; c++) {
                    double sum = 0.0;
                    for (int j = 0; j < keys; j++)
                        sum += p[j] *
                               qkv[(size_t)(start[s] + j) * 3 * D + 2 * (size_t)D + (size_t)h * width + c];
                    output[(size_t)i * D + (size_t)h * width + c] = sum;
                }
            }
        }
    }
    free(p);
}

void naive_expert(const double *x, const double *in, const double *out, double *y, int D, int F)
{
    double *h = get(2 * (size_t)F, sizeof *h), *a = get((size_t)F, sizeof *a);

    naive_linear(x, in, h, 1, D, 2 * F);
    for (int i = 0; i < F; i++)
        a[i] = h[i] / (1.0 + exp(-h[i])) * h[F + i];
    naive_linear(a, out, y, 1, F, D);
    free(h);
    free(a);
}

double naive_cross_entropy(const double *logits, int target, int V)
{
    double maximum = logits[0], sum = 0.0;

    for (int i = 1; i < V; i++)
        maximum = fmax(maximum, logits[i]);
    for (int i = 0; i < V; i++)
        sum += exp(logits[i] - maximum);
    return maximum + log(sum) - logits[target];
}

void naive_topk(const double *p, int N, int k, bool renormalize, const int32_t *fixed, int32_t *expert,
                double *weight)
{
    double sum = 0.0;

    for (int s = 0; s < k; s++) {
        expert[s] = fixed ? fixed[s] : -1;
        for (int i = 0; !fixed && i < N; i++) {
            bool taken = false;
            for (int before = 0; before < s; before++)
                taken = taken || expert[before] == i;
            if (!taken && (expert[s] < 0 || p[i] > p[expert[s]]))
                expert[s] = i;
        }
        weight[s] = p[expert[s]];
        sum += weight[s];
    }
    for (int s = 0; s < k && renormalize; s++)
        weight[s] /= sum;
}

/* ---- the model ---- */

static const double *value_of(const struct model *m, const double *values, const float *pointer)
{
    return values + (pointer - m->parameters.values);
}

static void add(double *y, const double *x, double scale, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += scale * x[i];
}

static bool is_router(const struct layer *b, const char *name)
{
    return strcmp(b->config->router->name, name) == 0;
}

/* What a block's router makes of one token. */
struct naive_scores {
    double *logit, *p;         /* (N) p: probabilities or raw scores */
    double *clean, *deviation; /* (N) noisy_topk: x w and softplus(x w_noise) */
    double log_sum;            /* of the logits */
};

static struct naive_scores scores_open(int N)
{
    size_t n = (size_t)N;

    return (struct naive_scores){.logit = get(n, sizeof(double)),
                                 .p = get(n, sizeof(double)),
                                 .clean = get(n, sizeof(double)),
                                 .deviation = get(n, sizeof(double))};
}

static void scores_close(struct naive_scores *s)
{
    free(s->logit);
    free(s->p);
    free(s->clean);
    free(s->deviation);
}

/* The noise is that of the last model_forward. */
static void add_naive_noise(const struct model *m, const double *values, const struct layer *b, int t,
                            const double *x, struct naive_scores *s)
{
    int N = b->experts.n_experts;
    const float *noise = b->routing.kept[1] + (size_t)t * (size_t)N;

    naive_linear(x, value_of(m, values, b->router.second), s->deviation, 1, m->config.width, N);
    for (int i = 0; i < N; i++) {
        s->clean[i] = s->logit[i];
        s->deviation[i] = log(1.0 + exp(s->deviation[i]));
        s->logit[i] += (double)noise[i] * s->deviation[i];
    }
}

static void hide_naively(const struct layer *b, int id, double *logit)
{
    int N = b->experts.n_experts, visible = 0;
    const float *row = b->router.state + (size_t)id * (size_t)N;

    for (int i = 0; i < N; i++)
        visible += row[i] > 0.0F;
    for (int i = 0; i < N; i++)
        logit[i] = !(row[i] > 0.0F) ? -INFINITY : visible == 1 ? 0.0 : logit[i];
}

/* Of token t, of vocabulary item id. */
static void naive_scores(const struct model *m, const double *values, const struct layer *b, int t, int id,
                         const double *x, struct naive_scores *s)
{
    int N = b->experts.n_experts;
    double sum = 0.0;

    if (b->router.weight)
        naive_linear(x, value_of(m, values, b->router.weight), s->logit, 1, m->config.width, N);
    for (int i = 0; i < N && is_router(b, "hash"); i++)
        s->logit[i] = i == (int)b->router.state[id] ? 0.0 : -INFINITY;
    if (is_router(b, "mask"))
        hide_naively(b, id, s->logit);
    if (is_router(b, "noisy_topk") && b->routing.noisy)
        add_naive_noise(m, values, b, t, x, s);
    naive_softmax(s->logit, s->p, N);
    for (int i = 0; i < N; i++) {
        if (is_router(b, "bias"))
            s->p[i] = 1.0 / (1.0 + exp(-s->logit[i]));
        if (is_router(b, "relu"))
            s->p[i] = fmax(s->logit[i], 0.0);
        sum += exp(s->logit[i]);
    }
    s->log_sum = log(sum);
}

/* A token's weights are `scale` times its probabilities, or their shares of their sum. */
static double naive_scale(const struct layer *b, int id, bool *shares)
{
    const struct router_config *c = &b->config->routing;

    *shares = c->renormalize || is_router(b, "noisy_topk");
    for (int i = 0; c->rare_gate > 0.0F && i < b->experts.n_experts; i++) {
        if (b->router.state[(size_t)id * (size_t)b->experts.n_experts + (size_t)i] > 1.0F) {
            *shares = true;
            return (double)c->rare_gate;
        }
    }
    return is_router(b, "bias") ? (double)c->scale : 1.0;
}

struct router_sums {    /* of one block, over its tokens */
    double *mean_p;     /* (N) after a token's scores are made to sum to 1 */
    double *score;      /* (N) of raw scores */
    double *importance; /* (N) of weights */
    double *load;       /* (N) of chances */
    double z, entropy;
};

/* Phi((clean_i - k-th largest logit of the others) / deviation_i): expert i is among the first k if its logit
 * exceeds that. The k are those that were chosen. */
static double naive_chance(const struct naive_scores *s, int N, const int32_t *chosen, int k, int i)
{
    bool in = false;
    double threshold;

    for (int d = 0; d < k; d++)
        in = in || chosen[d] == i;
    threshold = in ? -INFINITY : INFINITY;
    for (int j = 0; j < N; j++) {
        bool other_in = false;
        for (int d = 0; d < k; d++)
            other_in = other_in || chosen[d] == j;
        if (in && !other_in) /* the best of those left out */
            threshold = fmax(threshold, s->logit[j]);
        if (!in && other_in) /* the worst of those chosen */
            threshold = fmin(threshold, s->logit[j]);
    }
    return 0.5 * (1.0 + erf((s->clean[i] - threshold) / s->deviation[i] / sqrt(2.0)));
}

static void add_to_sums(const struct layer *b, const struct naive_scores *s, const int32_t *expert,
                        const double *weight, int k, struct router_sums *sums)
{
    int N = b->experts.n_experts, T = b->routing.n_tokens;
    double all = 0.0;

    for (int i = 0; i < N; i++)
        all += s->p[i];
    for (int i = 0; i < N; i++) {
        double p = all > 0.0 ? s->p[i] / all : 0.0;
        sums->mean_p[i] += p / T;
        sums->score[i] += s->p[i];
        sums->entropy -= p > 0.0 ? p * log(p) / T : 0.0;
        if (is_router(b, "noisy_topk"))
            sums->load[i] += naive_chance(s, N, expert, k, i);
    }
    for (int d = 0; d < k; d++)
        sums->importance[expert[d]] += weight[d];
    sums->z += s->log_sum * s->log_sum / T;
}

/* One token through its experts; adds the router's losses for this token to the sums. */
static void naive_token(const struct model *m, const double *values, const struct layer *b, int t, int id,
                        const double *x, double *y, struct router_sums *sums)
{
    const struct routing *r = &b->routing;
    int D = m->config.width, F = b->experts.F, N = b->experts.n_experts;
    int first = r->offset[t], k = r->offset[t + 1] - first;
    bool shares;
    double *out = get((size_t)D, sizeof *out), *weight = get((size_t)k, sizeof *weight);
    double scale = naive_scale(b, id, &shares);
    int32_t *expert = get((size_t)k, sizeof *expert);
    const double *in_weights = value_of(m, values, b->experts.in),
                 *out_weights = value_of(m, values, b->experts.out);
    struct naive_scores s = scores_open(N);

    naive_scores(m, values, b, t, id, x, &s);
    naive_topk(s.p, N, k, shares, r->expert + first, expert, weight);
    for (int d = 0; d < k; d++) {
        size_t e = (size_t)expert[d];
        if (r->dropped[first + d])
            continue;
        naive_expert(x, in_weights + e * 2 * (size_t)F * (size_t)D, out_weights + e * (size_t)D * (size_t)F,
                     out, D, F);
        add(y, out, weight[d] * scale, (size_t)D);
    }
    add_to_sums(b, &s, expert, weight, k, sums);
    scores_close(&s);
    free(out);
    free(weight);
    free(expert);
}

static double naive_squared_cv(const double *x, int N)
{
    double mean = 0.0, variance = 0.0;

    for (int i = 0; i < N; i++)
        mean += x[i] / N;
    for (int i = 0; i < N; i++)
        variance += (x[i] - mean) * (x[i] - mean) / N;
    return variance / (mean * mean);
}

/* The losses that a router brings with it. Without noise a load is a count, and constant. */
static double naive_own_loss(const struct layer *b, const struct router_sums *sums)
{
    const struct router_config *c = &b->config->routing;
    int N = b->experts.n_experts, T = b->routing.n_tokens;
    double *count = get((size_t)N, sizeof *count), loss = 0.0;

    for (int i = 0; i < N; i++) {
        count[i] = (double)b->routing.requested[i];
        if (is_router(b, "relu"))
            loss += (double)*b->router.state * N * (sums->score[i] / T) * count[i] / ((double)T * c->k);
    }
    if (is_router(b, "noisy_topk")) {
        bool smooth = b->routing.noisy && c->k < N;
        loss = (double)c->importance * naive_squared_cv(sums->importance, N) +
               (double)c->load * naive_squared_cv(smooth ? sums->load : count, N);
    }
    free(count);
    return loss;
}

/* The block's auxiliary losses, weighted. */
static double naive_router_losses(const struct layer *b, const struct loss_weights *weights,
                                  const struct router_sums *sums)
{
    const struct router_ops *ops = b->config->router;
    int N = b->experts.n_experts;
    double all = ops->balance_by_token ? b->routing.n_tokens : routing_decisions(&b->routing), balance = 0.0;

    for (int i = 0; i < N; i++)
        balance += all > 0.0 ? N * sums->mean_p[i] * (double)b->routing.requested[i] / all : 0.0;
    return weights->balance * balance + naive_own_loss(b, sums) +
           (ops->softmax ? weights->z * sums->z + weights->entropy * sums->entropy : 0.0);
}

static struct router_sums sums_open(int N)
{
    size_t n = (size_t)N;

    return (struct router_sums){.mean_p = get(n, sizeof(double)),
                                .score = get(n, sizeof(double)),
                                .importance = get(n, sizeof(double)),
                                .load = get(n, sizeof(double))};
}

static void sums_close(struct router_sums *s)
{
    free(s->mean_p);
    free(s->score);
    free(s->importance);
    free(s->load);
}

/* y (T, D) += the block's experts of x (T, D); returns its auxiliary losses, weighted. */
static double naive_experts(const struct model *m, const double *values, const struct layer *b,
                            const struct batch *batch, const struct loss_weights *weights, const double *x,
                            double *y)
{
    int D = m->config.width;
    bool routes = b->config->router->routes;
    struct router_sums sums = sums_open(b->experts.n_experts);
    double *out = get((size_t)D, sizeof *out), losses;

    for (int t = 0; t < batch->n_tokens; t++) {
        const double *in = x + (size_t)t * D;
        double *row = y + (size_t)t * D;
        if (routes)
            naive_token(m, values, b, t, batch->input[t], in, row, &sums);
        else
            naive_expert(in, value_of(m, values, b->experts.in), value_of(m, values, b->experts.out), row, D,
                         b->experts.F);
        if (b->shared.n_experts == 0)
            continue;
        naive_expert(in, value_of(m, values, b->shared.in), value_of(m, values, b->shared.out), out, D,
                     b->shared.F);
        add(row, out, 1.0, (size_t)D);
    }
    losses = routes ? naive_router_losses(b, weights, &sums) : 0.0;
    sums_close(&sums);
    free(out);
    return losses;
}

/* x (T, D) in place through one block; returns its auxiliary losses, weighted. */
static double naive_layer(const struct model *m, const double *values, const struct layer *b,
                          const struct batch *batch, const struct loss_weights *weights, double *x)
{
    int T = batch->n_tokens, D = m->config.width;
    size_t size = (size_t)T * (size_t)D;
    double *normed = get(size, sizeof *normed), *qkv = get(3 * size, sizeof *qkv),
           *attended = get(size, sizeof *x);
    double *y = get(size, sizeof *y), losses;

    naive_rmsnorm(x, value_of(m, values, b->norm1), normed, T, D);
    naive_linear(normed, value_of(m, values, b->qkv), qkv, T, D, 3 * D);
    naive_rope(qkv, batch->position, T, D, m->config.n_heads);
    naive_attention(qkv, batch->start, batch->n_sequences, D, m->config.n_heads, attended);
    naive_linear(attended, value_of(m, values, b->projection), y, T, D, D);
    add(x, y, 1.0, size);
    naive_rmsnorm(x, value_of(m, values, b->norm2), normed, T, D);
    memset(y, 0, size * sizeof *y);
    losses = naive_experts(m, values, b, batch, weights, normed, y);
    add(x, y, 1.0, size);
    free(normed);
    free(qkv);
    free(attended);
    free(y);
    return losses;
}

double naive_model_loss(const struct model *m, const double *values, const struct batch *b,
                        const struct loss_weights *weights, double *token_loss)
{
    int T = b->n_tokens, D = m->config.width, V = m->config.vocabulary;
    const double *embedding = value_of(m, values, m->embedding);
    double *x = get((size_t)T * (size_t)D, sizeof *x), *normed = get((size_t)T * (size_t)D, sizeof *normed);
    double *logits = get((size_t)V, sizeof *logits), loss = 0.0;

    for (int t = 0; t < T; t++)
        memcpy(x + (size_t)t * D, embedding + (size_t)b->input[t] * D, sizeof *x * (size_t)D);
    for (int l = 0; l < m->config.n_layers; l++)
        loss += naive_layer(m, values, &m->layers[l], b, weights, x);
    naive_rmsnorm(x, value_of(m, values, m->norm), normed, T, D);
    for (int t = 0; t < T; t++) {
        naive_linear(normed + (size_t)t * D, embedding, logits, 1, D, V);
        double one = naive_cross_entropy(logits, b->target[t], V);
        loss += one / T;
        if (token_loss)
            token_loss[t] = one;
    }
    free(x);
    free(normed);
    free(logits);
    return loss;
}
