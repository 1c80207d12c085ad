#include "engine/gated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"
#include "engine/summary.h"

/* ---- describing ---- */

/* Why the block cannot be, as the network's own mistakes are kept. */
static void refuse(struct network *n, int result)
{
    n->failed = n->failed || result != 0;
}

static void describe_gate(struct gated *g, struct gated_block *b, int number)
{
    struct network *n = g->network;
    char name[32];

    b->read.entry = network_entry(n, network_extent(n, b->from));
    b->read.last = network_mean(n, b->read.entry);
    int channels = network_extent(n, b->read.last).channels, N = b->router.config.n_experts;
    snprintf(name, sizeof name, "gates.%d.weight", number);
    struct parameter *p = parameters_add(&n->parameters, name, &b->router.weight, &b->router.d_weight, 2,
                                         (const int[]){N, channels});
    p->deviation = 0.02F; /* nearly uniform at first, as routers of engine/model.h */
    p->decay = true;
    b->gate_cost = (double)N * channels;
}

static void describe_experts(struct gated *g, struct gated_block *b, describe_expert *describe,
                             const void *context)
{
    struct network *n = g->network;

    for (int e = 0; e < b->router.config.n_experts && !n->failed; e++) {
        int entry = network_entry(n, network_extent(n, b->from)), first = n->parameters.n;
        b->expert[e] = (struct branch){.entry = entry, .last = describe(n, context, e, entry)};
        if (!n->failed)
            b->expert[e].multiply_adds = network_multiply_adds(n, entry, b->expert[e].last);
        for (int i = first; i < n->parameters.n && e == 0; i++)
            b->parameters += (double)n->parameters.items[i].count;
    }
}

int gated_add(struct gated *g, struct network *n, int from, const struct router_ops *ops,
              const struct router_config *config, describe_expert *describe, const void *context)
{
    struct gated_block *b = &g->block[g->n_blocks];
    size_t N = (size_t)config->n_experts;

    if (n->failed)
        return -1;
    if (g->n_blocks == MOST_GATES) {
        refuse(n, error_set(&n->error, STATUS_USAGE, "a network has more than %d gates", MOST_GATES));
        return -1;
    }
    g->network = n;
    *b = (struct gated_block){.from = from, .router = {.ops = ops, .config = *config}};
    refuse(n, ops->check(config, &n->error));
    b->expert = arena_claim(&g->memory, N, sizeof *b->expert);
    b->load = arena_claim(&g->memory, N, sizeof *b->load);
    if (g->memory.failed)
        refuse(n, error_no_memory(&n->error, "a gate's experts"));
    if (n->failed)
        return -1;
    describe_gate(g, b, g->n_blocks++);
    describe_experts(g, b, describe, context);
    return b->out = network_entry(n, n->failed ? (struct extent){1, 1, 1} : n->nodes[n->n - 1].extent);
}

static double inside(const struct gated_block *b)
{
    double sum = 0.0;

    for (int e = 0; e < b->router.config.n_experts; e++)
        sum += b->expert[e].multiply_adds;
    return sum;
}

int gated_build(struct gated *g, struct error *err)
{
    int B = g->network->max_samples;

    g->rest_cost = network_multiply_adds(g->network, -1, g->network->n - 1);
    for (int i = 0; i < g->n_blocks; i++) {
        struct gated_block *b = &g->block[i];
        int most = b->router.ops->max_k(&b->router.config);
        g->rest_cost -= inside(b);
        g->layers[i] = (struct routed_layer){i, &b->routing};
        b->row = arena_claim(&g->memory, (size_t)B * (size_t)most, sizeof *b->row);
        if (routing_init(&b->routing, B, b->router.config.n_experts, most, err))
            return -1;
    }
    return g->memory.failed ? error_no_memory(err, "decisions of gates") : 0;
}

void gated_release(struct gated *g)
{
    for (int i = 0; i < g->n_blocks; i++)
        routing_release(&g->block[i].routing);
    arena_release(&g->memory);
    *g = (struct gated){0};
}

/* ---- passes ---- */

static struct node *node_of(const struct gated *g, int node)
{
    return &g->network->nodes[node];
}

static size_t bytes_of(const struct node *node, int B)
{
    return (size_t)B * extent_size(node->extent) * sizeof(float);
}

static struct router_input gate_input(const struct gated *g, const struct gated_block *b, int B)
{
    const struct node *read = node_of(g, b->read.last);

    return (struct router_input){.x = read->value, .T = B, .D = read->extent.channels};
}

static void block_forward(struct gated *g, struct gated_block *b, int B)
{
    const struct node *from = node_of(g, b->from);

    memcpy(node_of(g, b->read.entry)->value, from->value, bytes_of(from, B));
    network_forward_between(g->network, b->read.entry, b->read.last, B);
    struct router_input in = gate_input(g, b, B);
    router_route(&b->router, g->network->pool, &in, &b->routing);
    branches_forward(g->network, b->expert, &b->routing, from->value, node_of(g, b->out)->value, b->row,
                     b->load);
}

struct losses gated_forward(struct gated *g, int B, float scale)
{
    struct losses losses = {0};
    int first = 0;

    for (int i = 0; i < g->n_blocks; i++) {
        struct gated_block *b = &g->block[i];
        network_forward_between(g->network, first, b->from, B);
        block_forward(g, b, B);
        router_add_losses(&b->router, g->network->pool, &b->routing, &g->weights, scale, &losses);
        first = b->out + 1;
    }
    network_forward_between(g->network, first, g->network->n - 1, B);
    losses_average(&losses, g->n_blocks);
    return losses;
}

/* What enters is asked by the gate and by the experts. */
static void block_backward(struct gated *g, struct gated_block *b, int B)
{
    struct router_input in = gate_input(g, b, B);
    struct node *from = node_of(g, b->from), *read = node_of(g, b->read.last);

    memset(from->gradient, 0, bytes_of(from, B));
    branches_backward(g->network, b->expert, &b->routing, node_of(g, b->out)->gradient, from->gradient,
                      b->row, b->load);
    memset(read->gradient, 0, bytes_of(read, B));
    router_backward(&b->router, g->network->pool, &in, read->gradient, &b->routing);
    network_backward_between(g->network, b->read.entry, b->read.last, B);
    add_scaled(from->gradient, node_of(g, b->read.entry)->gradient, 1.0F, B * (int)extent_size(from->extent));
}

void gated_backward(struct gated *g, int B)
{
    int last = g->network->n - 1;

    for (int i = g->n_blocks - 1; i >= 0; i--) {
        network_backward_between(g->network, g->block[i].out, last, B);
        block_backward(g, &g->block[i], B);
        last = g->block[i].from;
    }
    network_backward_between(g->network, 0, last, B);
}

double gated_multiply_adds(const struct gated *g, int b)
{
    double sum = g->rest_cost;

    for (int i = 0; i < g->n_blocks; i++) {
        const struct gated_block *block = &g->block[i];
        const struct routing *r = &block->routing;
        sum += block->gate_cost;
        for (int d = r->offset[b]; d < r->offset[b + 1]; d++)
            sum += r->dropped[d] ? 0.0 : block->expert[r->expert[d]].multiply_adds;
    }
    return sum;
}

double gated_usual_multiply_adds(const struct gated *g)
{
    double sum = g->rest_cost;

    for (int i = 0; i < g->n_blocks; i++)
        sum += g->block[i].gate_cost + g->block[i].router.config.k * g->block[i].expert[0].multiply_adds;
    return sum;
}

void gated_summarise(const struct gated *g, struct summary *to)
{
    to->n_layers = g->n_blocks;
    for (int i = 0; i < g->n_blocks; i++) {
        const struct router *r = &g->block[i].router;
        to->active_parameters -= g->block[i].parameters * (r->config.n_experts - r->config.k);
        to->layers[i] = (struct routed_summary){.layer = i,
                                                .router = r->ops->name,
                                                .n_experts = r->config.n_experts,
                                                .k = r->config.k,
                                                .expert_parameters = (int64_t)g->block[i].parameters};
    }
}
