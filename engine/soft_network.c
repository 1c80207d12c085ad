#include "engine/soft_network.h"

#include <stdlib.h>
#include <string.h>

#include "engine/summary.h"

struct decision {
    float gate;
    int expert;
};

int soft_network_build(struct soft_network *s, int max_samples, struct pool *pool, uint64_t seed,
                       struct error *err)
{
    int experts = soft_network_experts(s), tokens = max_samples * s->tokens;

    if (network_build(&s->network, max_samples, pool, err))
        return -1;
    s->max_samples = max_samples;
    s->multiply_adds = network_multiply_adds(&s->network, -1, s->network.n - 1);
    s->layer = (struct routed_layer){0, &s->routing};
    s->decisions = arena_claim(&s->memory, (size_t)experts + 1, sizeof *s->decisions);
    s->keep = arena_claim(&s->memory, (size_t)max_samples * (size_t)(experts + 1), sizeof *s->keep);
    if (s->memory.failed)
        return error_no_memory(err, "a network");
    parameters_seed(&s->network.parameters, seed);
    return experts ? routing_init(&s->routing, tokens, experts, experts, err) : 0;
}

void soft_network_release(struct soft_network *s)
{
    network_release(&s->network);
    routing_release(&s->routing);
    arena_release(&s->memory);
    *s = (struct soft_network){0};
}

/* ---- where tokens went ---- */

static float share_of(const struct node *soft, int t, int e)
{
    size_t N = (size_t)soft->soft.n_experts, p = (size_t)soft->soft.slots_per_expert;
    float weight = 0.0F;

    for (size_t slot = 0; slot < p; slot++)
        weight += soft->pass.combine[((size_t)t * N + (size_t)e) * p + slot];
    return weight;
}

static int by_gate(const void *a, const void *b)
{
    const struct decision *x = a, *y = b;

    if (x->gate != y->gate)
        return x->gate > y->gate ? -1 : 1;
    return x->expert - y->expert;
}

void soft_network_route(struct soft_network *s, int B, bool ordered)
{
    const struct node *soft = &s->network.nodes[s->soft];
    struct routing *r = &s->routing;
    int N = r->n_experts;

    r->n_tokens = B * s->tokens;
    for (int t = 0; t < r->n_tokens; t++) {
        size_t first = (size_t)t * (size_t)N;
        r->offset[t + 1] = (t + 1) * N;
        for (int e = 0; e < N; e++) {
            s->decisions[e] = (struct decision){share_of(soft, t, e), e};
            r->probability[first + (size_t)e] = s->decisions[e].gate;
        }
        if (ordered)
            qsort(s->decisions, (size_t)N, sizeof *s->decisions, by_gate);
        for (int e = 0; e < N; e++) {
            r->expert[first + (size_t)e] = s->decisions[e].expert;
            r->gate[first + (size_t)e] = r->weight[first + (size_t)e] = s->decisions[e].gate;
        }
    }
    for (int e = 0; e < N; e++)
        r->requested[e] = r->n_tokens;
}

void soft_network_add_weights(const struct soft_network *s, int B, double *weight)
{
    const struct node *soft = &s->network.nodes[s->soft];

    for (int t = 0; t < B * s->tokens; t++) {
        for (int e = 0; e < soft->soft.n_experts; e++)
            weight[e] += (double)share_of(soft, t, e);
    }
}

/* ---- some of the experts ---- */

static void apply_kept(struct soft_network *s, int B)
{
    struct network *n = &s->network;
    struct node *soft = &n->nodes[s->soft];

    soft_moe_apply(n->pool, &soft->soft, n->nodes[soft->input[0]].value, s->keep, soft->value, &soft->pass,
                   B);
    network_forward_between(n, s->soft + 1, n->n - 1, B);
}

void soft_network_keep_likeliest(struct soft_network *s, int B, int k)
{
    const struct node *soft = &s->network.nodes[s->soft];
    int N = soft->soft.n_experts, p = soft->soft.slots_per_expert;

    for (int b = 0; b < B; b++)
        soft_moe_likeliest(soft->pass.combine + (size_t)b * (size_t)(s->tokens * N * p), s->tokens, N, p, k,
                           s->keep + (size_t)b * (size_t)N);
    apply_kept(s, B);
}

/* Each expert with the chance that makes every subset of k equally likely. */
void soft_network_keep_random(struct soft_network *s, int B, int k, struct random *r)
{
    int N = soft_network_experts(s);

    for (int b = 0; b < B; b++) {
        uint8_t *keep = s->keep + (size_t)b * (size_t)N;
        int left = k;
        for (int e = 0; e < N; e++) {
            keep[e] = (int)random_below(r, (uint64_t)(N - e)) < left;
            left -= keep[e];
        }
    }
    apply_kept(s, B);
}

void soft_network_keep_same(struct soft_network *s, int B, const uint8_t *keep)
{
    size_t N = (size_t)soft_network_experts(s);

    for (size_t b = 0; b < (size_t)B; b++)
        memcpy(s->keep + b * N, keep, N);
    apply_kept(s, B);
}

void soft_network_keep_one(struct soft_network *s, int B, int expert)
{
    size_t N = (size_t)soft_network_experts(s);

    memset(s->keep, 0, (size_t)B * N);
    for (size_t b = 0; b < (size_t)B && expert >= 0; b++)
        s->keep[b * N + (size_t)expert] = 1;
    apply_kept(s, B);
}

/* ---- what the logbook is told ---- */

double soft_network_flops(const struct soft_network *s, double tokens)
{
    return 2.0 * 3.0 * s->multiply_adds * tokens / s->tokens;
}

/* A slot's input is a mean of all tokens: a token passes every weight. */
void soft_network_summarise(const struct soft_network *s, const char *task, const char *kind, int vocabulary,
                            struct summary *to)
{
    double parameters = parameters_count(&s->network.parameters);

    *to = (struct summary){.task = task,
                           .router = kind,
                           .parameters = parameters,
                           .active_parameters = parameters,
                           .flops_per_token = soft_network_flops(s, 1.0),
                           .context = s->tokens,
                           .tokens_per_step = (double)s->max_samples * s->tokens,
                           .vocabulary = vocabulary,
                           .n_layers = s->soft >= 0};
    if (s->soft >= 0) {
        const struct soft_moe *soft = &s->network.nodes[s->soft].soft;
        to->layers[0] = (struct routed_summary){.router = kind,
                                                .n_experts = soft->n_experts,
                                                .k = soft->n_experts,
                                                .expert_parameters = (int64_t)2 * soft->D * soft->F};
    }
}
