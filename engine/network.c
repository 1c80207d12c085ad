#include "engine/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"
#include "engine/nodes.h"

size_t extent_size(struct extent e)
{
    return (size_t)e.height * (size_t)e.width * (size_t)e.channels;
}

/* ---- describing ---- */

/* A node of the list, or, once something has gone wrong, one that nothing comes of. */
static struct node *add_node(struct network *n, const struct operation *operation, const char *name, int from,
                             int other)
{
    if (!n->nodes && !n->failed) {
        n->nodes = calloc(MAX_NODES, sizeof *n->nodes);
        n->failed = !n->nodes && error_no_memory(&n->error, "a network");
    }
    struct node *node = n->nodes && n->n < MAX_NODES ? &n->nodes[n->n] : &n->spare;

    *node = (struct node){.operation = operation, .input = {from, other}};
    snprintf(node->name, sizeof node->name, "%s", name);
    return node;
}

static int end_node(struct network *n, struct node *node)
{
    if (n->failed)
        return -1;
    for (int i = 0; i < MAX_INPUTS; i++)
        node->wants_gradient =
            node->wants_gradient || (node->input[i] >= 0 && n->nodes[node->input[i]].wants_gradient);
    if (n->n == MAX_NODES)
        n->failed = error_set(&n->error, STATUS_USAGE, "a network has more than %d nodes", MAX_NODES);
    else if (node->operation && node->operation->describe(n, node, n->nodes[node->input[0]].extent))
        n->failed = error_prefix(&n->error, "node %d, %s", n->n, node->operation->name);
    return n->failed ? -1 : n->n++;
}

int network_input(struct network *n, struct extent extent)
{
    struct node *node = add_node(n, NULL, "", -1, -1);

    node->extent = extent;
    return end_node(n, node);
}

int network_entry(struct network *n, struct extent extent)
{
    struct node *node = add_node(n, NULL, "", -1, -1);

    node->extent = extent;
    node->wants_gradient = true;
    return end_node(n, node);
}

int network_linear(struct network *n, int from, const char *name, int out)
{
    struct node *node = add_node(n, &node_linear, name, from, -1);

    node->extent.channels = out;
    return end_node(n, node);
}

static int convolve(struct network *n, int from, const char *name, struct convolution c)
{
    struct node *node = add_node(n, &node_convolution, name, from, -1);

    c.padding = c.kernel / 2;
    node->convolution = c;
    return end_node(n, node);
}

int network_convolution(struct network *n, int from, const char *name, int filters, int kernel, int stride)
{
    return convolve(n, from, name,
                    (struct convolution){.filters = filters, .kernel = kernel, .stride = stride, .pool = 1});
}

int network_convolution_stage(struct network *n, int from, const char *name, int filters, int kernel,
                              int size)
{
    return convolve(n, from, name,
                    (struct convolution){
                        .filters = filters, .kernel = kernel, .stride = 1, .pool = size, .rectified = true});
}

int network_relu(struct network *n, int from)
{
    return end_node(n, add_node(n, &node_relu, "", from, -1));
}

int network_sum(struct network *n, int from, int other)
{
    return end_node(n, add_node(n, &node_sum, "", from, other));
}

int network_max_pool(struct network *n, int from, int size)
{
    struct node *node = add_node(n, &node_max_pool, "", from, -1);

    node->size = size;
    return end_node(n, node);
}

int network_mean(struct network *n, int from)
{
    return end_node(n, add_node(n, &node_mean, "", from, -1));
}

int network_total(struct network *n, int from)
{
    struct node *node = add_node(n, &node_mean, "", from, -1);

    node->share = 1.0F;
    return end_node(n, node);
}

int network_norm(struct network *n, int from, const char *name)
{
    return end_node(n, add_node(n, &node_norm, name, from, -1));
}

int network_patches(struct network *n, int from, int size)
{
    struct node *node = add_node(n, &node_patches, "", from, -1);

    node->size = size;
    return end_node(n, node);
}

int network_reshape(struct network *n, int from, struct extent extent)
{
    struct node *node = add_node(n, &node_reshape, "", from, -1);

    node->extent = extent;
    return end_node(n, node);
}

int network_embed(struct network *n, int from, const char *name, int n_items, int width)
{
    struct node *node = add_node(n, &node_embed, name, from, -1);

    node->size = n_items;
    node->extent.channels = width;
    return end_node(n, node);
}

int network_soft_moe(struct network *n, int from, const char *name, int n_experts, int slots_per_expert,
                     int hidden)
{
    struct node *node = add_node(n, &node_soft_moe, name, from, -1);

    node->soft = (struct soft_moe){.n_experts = n_experts, .slots_per_expert = slots_per_expert, .F = hidden};
    return end_node(n, node);
}

/* ---- memory ---- */

int network_build(struct network *n, int max_samples, struct pool *pool, struct error *err)
{
    if (n->failed) {
        if (err)
            *err = n->error;
        return -1;
    }
    n->pool = pool;
    n->max_samples = max_samples;
    if (parameters_allocate(&n->parameters, err))
        return -1;
    for (int i = 0; i < n->n; i++) {
        struct node *node = &n->nodes[i];
        size_t values = (size_t)max_samples * extent_size(node->extent);
        node->value = arena_claim(&n->memory, values, sizeof *node->value);
        node->gradient = arena_claim(&n->memory, values, sizeof *node->gradient);
        if (node->operation && node->operation->claim && node->operation->claim(n, node, err))
            return -1;
    }
    return n->memory.failed ? error_no_memory(err, "a network's values") : 0;
}

void network_release(struct network *n)
{
    for (int i = 0; i < n->n; i++) {
        if (n->nodes[i].operation && n->nodes[i].operation->release)
            n->nodes[i].operation->release(&n->nodes[i]);
    }
    parameters_release(&n->parameters);
    arena_release(&n->memory);
    free(n->nodes);
    *n = (struct network){0};
}

int network_copy(struct network *to, const char *prefix, const struct network *from, struct error *err)
{
    size_t length = strlen(prefix);
    int copied = 0;

    for (int i = 0; i < to->parameters.n; i++) {
        const struct parameter *p = &to->parameters.items[i], *q = NULL;
        if (strncmp(p->name, prefix, length) == 0)
            q = parameters_find(&from->parameters, p->name + length);
        if (!q)
            continue;
        if (p->n_dimensions != q->n_dimensions || memcmp(p->shape, q->shape, sizeof p->shape) != 0)
            return error_set(err, STATUS_USAGE, "'%s' has different shapes in the two networks", p->name);
        memcpy(to->parameters.values + p->offset, from->parameters.values + q->offset,
               p->count * sizeof(float));
        copied++;
    }
    return copied;
}

/* ---- passes ---- */

struct extent network_extent(const struct network *n, int node)
{
    return node >= 0 && !n->failed ? n->nodes[node].extent : (struct extent){1, 1, 1};
}

bool network_is_pool(const struct network *n, int node)
{
    const struct node *it = &n->nodes[node];

    return it->operation == &node_max_pool ||
           (it->operation == &node_convolution && it->convolution.pool > 1);
}

void network_forward(struct network *n, int B)
{
    network_forward_between(n, 0, n->n - 1, B);
}

void network_forward_between(struct network *n, int first, int last, int B)
{
    for (int i = first; i <= last; i++) {
        if (n->nodes[i].operation)
            n->nodes[i].operation->forward(n, &n->nodes[i], B);
    }
}

void network_backward(struct network *n, int B)
{
    network_backward_between(n, 0, n->n - 1, B);
}

void network_backward_between(struct network *n, int first, int last, int B)
{
    for (int i = first; i < last; i++) {
        if (n->nodes[i].wants_gradient)
            memset(n->nodes[i].gradient, 0, (size_t)B * extent_size(n->nodes[i].extent) * sizeof(float));
    }
    for (int i = last; i >= first; i--) {
        if (n->nodes[i].operation && n->nodes[i].wants_gradient)
            n->nodes[i].operation->backward(n, &n->nodes[i], B);
    }
}

void network_cross_entropy(struct network *n, const int32_t *target, int B, float scale, float *loss)
{
    network_cross_entropy_of(n, n->n - 1, target, B, scale, loss);
}

void network_cross_entropy_of(struct network *n, int node, const int32_t *target, int B, float scale,
                              float *loss)
{
    struct node *last = &n->nodes[node];
    size_t classes = extent_size(last->extent);

    memcpy(last->gradient, last->value, (size_t)B * classes * sizeof *last->gradient);
    for (int b = 0; b < B; b++)
        loss[b] = cross_entropy_row(last->gradient + (size_t)b * classes, target[b], (int)classes, scale);
}

void network_squared_error(struct network *n, const float *target, int B, float scale, float *loss)
{
    network_squared_error_of(n, n->n - 1, target, B, scale, loss);
}

void network_squared_error_of(struct network *n, int node, const float *target, int B, float scale,
                              float *loss)
{
    struct node *last = &n->nodes[node];
    size_t size = extent_size(last->extent);

    for (int b = 0; b < B; b++) {
        double sum = 0.0;
        for (size_t i = (size_t)b * size; i < ((size_t)b + 1) * size; i++) {
            float difference = last->value[i] - target[i];
            sum += (double)difference * (double)difference;
            last->gradient[i] = 2.0F * scale * difference;
        }
        loss[b] = (float)sum;
    }
}

double network_multiply_adds(const struct network *n, int first, int last)
{
    double sum = 0.0;

    for (int i = first + 1; i <= last && i < n->n; i++) {
        const struct operation *operation = n->nodes[i].operation;
        if (operation && operation->multiply_adds)
            sum += operation->multiply_adds(&n->nodes[i], n->nodes[n->nodes[i].input[0]].extent);
    }
    return sum;
}
