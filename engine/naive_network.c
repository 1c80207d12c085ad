/* The oracle of engine/network.h: every kind of node for one sample, in double, one loop a formula. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "engine/naive.h"
#include "engine/nodes.h"

struct twin { /* of one node: where its values come from and go to */
    const struct network *n;
    const struct node *node;
    const double *weights; /* all, laid out as n->parameters says */
    struct extent in, out;
    const double *x, *other;
    double *y;
};

static const double *weight_of(const struct twin *s, const float *pointer)
{
    return s->weights + (pointer - s->n->parameters.values);
}

static void linear(const struct twin *s)
{
    const double *bias = weight_of(s, s->node->bias);
    int positions = s->in.height * s->in.width, out = s->out.channels;

    naive_linear(s->x, weight_of(s, s->node->weight), s->y, positions, s->in.channels, out);
    for (int i = 0; i < positions * out; i++)
        s->y[i] += bias[i % out];
}

static void convolution(const struct twin *s)
{
    naive_convolution(&s->node->convolution, s->x, weight_of(s, s->node->weight), weight_of(s, s->node->bias),
                      s->y, 1);
}

static void relu(const struct twin *s)
{
    for (size_t i = 0; i < extent_size(s->out); i++)
        s->y[i] = fmax(s->x[i], 0.0);
}

static void sum(const struct twin *s)
{
    for (size_t i = 0; i < extent_size(s->out); i++)
        s->y[i] = s->x[i] + s->other[i];
}

static size_t index_of(struct extent e, int row, int column, int channel)
{
    return ((size_t)row * (size_t)e.width + (size_t)column) * (size_t)e.channels + (size_t)channel;
}

static void max_pool(const struct twin *s)
{
    int size = s->node->size;

    for (int i = 0; i < (int)extent_size(s->out); i++)
        s->y[i] = -INFINITY;
    for (int row = 0; row < s->out.height * size; row++) {
        for (int column = 0; column < s->out.width * size; column++) {
            for (int c = 0; c < s->in.channels; c++) {
                double *y = &s->y[index_of(s->out, row / size, column / size, c)];
                *y = fmax(*y, s->x[index_of(s->in, row, column, c)]);
            }
        }
    }
}

static void mean(const struct twin *s)
{
    int positions = s->in.height * s->in.width;
    double share = s->node->share == 1.0F ? 1.0 : 1.0 / positions; /* a total or a mean */

    memset(s->y, 0, extent_size(s->out) * sizeof *s->y);
    for (int i = 0; i < positions * s->in.channels; i++)
        s->y[i % s->in.channels] += s->x[i] * share;
}

static void norm(const struct twin *s)
{
    naive_rmsnorm(s->x, weight_of(s, s->node->weight), s->y, s->in.height * s->in.width, s->in.channels);
}

static void patches(const struct twin *s)
{
    int size = s->node->size, across = s->in.width / size, C = s->in.channels;

    for (int row = 0; row < s->in.height; row++) {
        for (int column = 0; column < s->in.width; column++) {
            int token = row / size * across + column / size, pixel = row % size * size + column % size;
            for (int c = 0; c < C; c++)
                s->y[(token * size * size + pixel) * C + c] = s->x[index_of(s->in, row, column, c)];
        }
    }
}

static void reshape(const struct twin *s)
{
    memcpy(s->y, s->x, extent_size(s->out) * sizeof *s->y);
}

static void embed(const struct twin *s)
{
    const double *table = weight_of(s, s->node->weight);
    int width = s->out.channels;

    for (int i = 0; i < (int)extent_size(s->in); i++) {
        int item = (int)fmin(fmax(s->x[i], 0.0), s->node->size - 1);
        memcpy(s->y + (size_t)i * (size_t)width, table + (size_t)item * (size_t)width,
               (size_t)width * sizeof *s->y);
    }
}

static void soft_moe(const struct twin *s)
{
    const struct soft_moe *soft = &s->node->soft;

    naive_soft_moe(soft, s->x, weight_of(s, soft->slots), weight_of(s, soft->in), weight_of(s, soft->out),
                   NULL, s->y, s->in.height * s->in.width, NULL, NULL);
}

static const struct {
    const struct operation *operation;
    void (*evaluate)(const struct twin *s);
} twins[] = {
    {&node_linear, linear}, {&node_convolution, convolution}, {&node_relu, relu},
    {&node_sum, sum},       {&node_max_pool, max_pool},       {&node_mean, mean},
    {&node_norm, norm},     {&node_patches, patches},         {&node_reshape, reshape},
    {&node_embed, embed},   {&node_soft_moe, soft_moe},
};

static void evaluate(const struct twin *s)
{
    size_t i = 0, n = sizeof twins / sizeof *twins;

    while (i < n && twins[i].operation != s->node->operation)
        i++;
    assert(i < n);
    twins[i].evaluate(s);
}

struct values { /* of every node, for one sample */
    const struct network *n;
    const double *weights;
    double *of[MAX_NODES];
    struct arena memory;
};

static void open_values(struct values *v, const struct network *n, const double *weights)
{
    *v = (struct values){.n = n, .weights = weights};
    for (int i = 0; i < n->n; i++) {
        v->of[i] = arena_claim(&v->memory, extent_size(n->nodes[i].extent), sizeof(double));
        assert(v->of[i]);
    }
}

static void set_value(struct values *v, int node, const double *x)
{
    assert(v->of[node]);
    memcpy(v->of[node], x, extent_size(v->n->nodes[node].extent) * sizeof *x);
}

/* Of the nodes first to last; those of inputs among them are there. */
static void evaluate_between(struct values *v, int first, int last)
{
    for (int i = first; i <= last; i++) {
        const struct node *node = &v->n->nodes[i];
        if (node->operation)
            evaluate(&(struct twin){.n = v->n,
                                    .node = node,
                                    .weights = v->weights,
                                    .in = v->n->nodes[node->input[0]].extent,
                                    .out = node->extent,
                                    .x = v->of[node->input[0]],
                                    .other = node->input[1] < 0 ? NULL : v->of[node->input[1]],
                                    .y = v->of[i]});
    }
}

static void close_values(struct values *v, double *output)
{
    memcpy(output, v->of[v->n->n - 1], extent_size(v->n->nodes[v->n->n - 1].extent) * sizeof *output);
    arena_release(&v->memory);
}

void naive_network(const struct network *n, const double *weights, const double *const *inputs,
                   double *output)
{
    struct values v;
    int given = 0;

    open_values(&v, n, weights);
    for (int i = 0; i < n->n; i++) {
        if (!n->nodes[i].operation)
            set_value(&v, i, inputs[given++]);
    }
    evaluate_between(&v, 0, n->n - 1);
    close_values(&v, output);
}

/* ---- with gates ---- */

static void naive_block(struct values *v, const struct gated_block *b, int sample, double *logits)
{
    const struct routing *r = &b->routing;
    int N = r->n_experts, channels = v->n->nodes[b->read.last].extent.channels, out = b->out;
    double *p = arena_claim(&v->memory, (size_t)N, sizeof *p);

    assert(p);
    set_value(v, b->read.entry, v->of[b->from]);
    evaluate_between(v, b->read.entry, b->read.last);
    naive_linear(v->of[b->read.last], v->weights + (b->router.weight - v->n->parameters.values), logits, 1,
                 channels, N);
    naive_softmax(logits, p, N);
    memset(v->of[out], 0, extent_size(v->n->nodes[out].extent) * sizeof(double));
    for (int d = r->offset[sample]; d < r->offset[sample + 1]; d++) {
        const struct branch *e = &b->expert[r->expert[d]];
        set_value(v, e->entry, v->of[b->from]);
        evaluate_between(v, e->entry, e->last);
        for (size_t i = 0; i < extent_size(v->n->nodes[out].extent) && !r->dropped[d]; i++)
            v->of[out][i] += p[r->expert[d]] * v->of[e->last][i];
    }
}

void naive_gated(const struct gated *g, const double *weights, const double *input, int sample,
                 double *output, double *logits)
{
    struct values v;
    int first = 0;

    open_values(&v, g->network, weights);
    set_value(&v, 0, input);
    for (int i = 0; i < g->n_blocks; i++) {
        const struct gated_block *b = &g->block[i];
        evaluate_between(&v, first, b->from);
        naive_block(&v, b, sample, logits);
        logits += b->routing.n_experts;
        first = b->out + 1;
    }
    evaluate_between(&v, first, g->network->n - 1);
    close_values(&v, output);
}
