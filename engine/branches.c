#include "engine/branches.h"

#include <string.h>

#include "engine/kernels.h"

static size_t size_of(const struct network *n, int node)
{
    return extent_size(n->nodes[node].extent);
}

static float *value_of(const struct network *n, int node, int row)
{
    return n->nodes[node].value + (size_t)row * size_of(n, node);
}

static float *gradient_of(const struct network *n, int node, int row)
{
    return n->nodes[node].gradient + (size_t)row * size_of(n, node);
}

/* Each expert's samples, in order, into its entry. */
static void hand_out(struct network *n, const struct branch *experts, const struct routing *r, const float *x,
                     int *row, int *load)
{
    size_t size = size_of(n, experts[0].entry);

    memset(load, 0, (size_t)r->n_experts * sizeof *load);
    for (int b = 0; b < r->n_tokens; b++) {
        for (int d = r->offset[b]; d < r->offset[b + 1]; d++) {
            int e = r->expert[d];
            row[d] = r->dropped[d] ? -1 : load[e]++;
            if (row[d] >= 0)
                memcpy(value_of(n, experts[e].entry, row[d]), x + (size_t)b * size, size * sizeof *x);
        }
    }
}

void branches_forward(struct network *n, const struct branch *experts, const struct routing *r,
                      const float *x, float *y, int *row, int *load)
{
    size_t size = size_of(n, experts[0].last);

    hand_out(n, experts, r, x, row, load);
    for (int e = 0; e < r->n_experts; e++) {
        if (load[e] > 0)
            network_forward_between(n, experts[e].entry, experts[e].last, load[e]);
    }
    memset(y, 0, (size_t)r->n_tokens * size * sizeof *y);
    for (int b = 0; b < r->n_tokens; b++) {
        for (int d = r->offset[b]; d < r->offset[b + 1]; d++) {
            if (row[d] >= 0)
                add_scaled(y + (size_t)b * size, value_of(n, experts[r->expert[d]].last, row[d]),
                           r->weight[d], (int)size);
        }
    }
}

/* Gradients of the experts' outputs and of the weights, from those of their sum. */
static void split_gradient(struct network *n, const struct branch *experts, struct routing *r,
                           const float *d_y, const int *row)
{
    int size = (int)size_of(n, experts[0].last);

    for (int b = 0; b < r->n_tokens; b++, d_y += size) {
        for (int d = r->offset[b]; d < r->offset[b + 1]; d++) {
            int last = experts[r->expert[d]].last;
            r->d_weight[d] = row[d] < 0 ? 0.0F : dot(d_y, value_of(n, last, row[d]), size);
            for (int i = 0; i < size && row[d] >= 0; i++)
                gradient_of(n, last, row[d])[i] = r->weight[d] * d_y[i];
        }
    }
}

void branches_backward(struct network *n, const struct branch *experts, struct routing *r, const float *d_y,
                       float *d_x, const int *row, const int *load)
{
    int size = (int)size_of(n, experts[0].entry);

    split_gradient(n, experts, r, d_y, row);
    for (int e = 0; e < r->n_experts; e++) {
        if (load[e] > 0)
            network_backward_between(n, experts[e].entry, experts[e].last, load[e]);
    }
    for (int b = 0; b < r->n_tokens; b++, d_x += size) {
        for (int d = r->offset[b]; d < r->offset[b + 1]; d++) {
            if (row[d] >= 0)
                add_scaled(d_x, gradient_of(n, experts[r->expert[d]].entry, row[d]), 1.0F, size);
        }
    }
}
