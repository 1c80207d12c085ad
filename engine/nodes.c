#include "engine/nodes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/blas.h"
#include "engine/kernels.h"
#include "engine/max_pool.h"

enum { SAMPLES = 4, VALUES = 8192 }; /* that a task takes */

static int positions_of(struct extent e)
{
    return e.height * e.width;
}

static struct node *input_of(struct network *n, const struct node *node, int i)
{
    return &n->nodes[node->input[i]];
}

/* ---- parameters ---- */

static struct parameter *add_weight(struct network *n, struct node *node, const char *suffix,
                                    const float **value, float **gradient, int dimensions, const int *shape,
                                    double deviation)
{
    char name[48];

    snprintf(name, sizeof name, "%s.%s", node->name, suffix);
    struct parameter *p = parameters_add(&n->parameters, name, value, gradient, dimensions, shape);
    p->deviation = (float)deviation;
    p->decay = dimensions > 1;
    node->wants_gradient = true;
    return p;
}

static void add_bias(struct network *n, struct node *node, int out)
{
    add_weight(n, node, "bias", &node->bias, &node->d_bias, 1, &out, 0.0);
}

/* What a pool chose. */
static int choice_claim(struct network *n, struct node *node, struct error *err)
{
    (void)err;
    node->choice = arena_claim(&n->memory, (size_t)n->max_samples * extent_size(node->extent), 1);
    return 0;
}

/* ---- linear ---- */

static int linear_describe(struct network *n, struct node *node, struct extent in)
{
    const int shape[] = {node->extent.channels, in.channels};

    node->extent.height = in.height;
    node->extent.width = in.width;
    add_weight(n, node, "weight", &node->weight, &node->d_weight, 2, shape, sqrt(2.0 / in.channels));
    add_bias(n, node, node->extent.channels);
    return 0;
}

static void linear_forward(struct network *n, struct node *node, int B)
{
    int out = node->extent.channels, rows = B * positions_of(node->extent);
    struct gemm product = gemm_forward(input_of(n, node, 0)->value, node->weight, node->value, rows,
                                       input_of(n, node, 0)->extent.channels, out, 1.0F);

    for (int i = 0; i < rows; i++)
        memcpy(node->value + (size_t)i * (size_t)out, node->bias, (size_t)out * sizeof *node->value);
    gemm_batch(n->pool, &product, 1);
}

static void linear_backward(struct network *n, struct node *node, int B)
{
    struct node *from = input_of(n, node, 0);
    int in = from->extent.channels, out = node->extent.channels, rows = B * positions_of(node->extent);
    struct gemm products[] = {
        gemm_weight_gradient(node->gradient, from->value, node->d_weight, rows, in, out),
        gemm_input_gradient(node->gradient, node->weight, from->gradient, rows, in, out, 1.0F)};

    gemm_batch(n->pool, products, from->wants_gradient ? 2 : 1);
    for (int i = 0; i < rows; i++)
        add_scaled(node->d_bias, node->gradient + (size_t)i * (size_t)out, 1.0F, out);
}

static double linear_multiply_adds(const struct node *node, struct extent in)
{
    return (double)extent_size(in) * node->extent.channels;
}

const struct operation node_linear = {
    .name = "linear",
    .describe = linear_describe,
    .forward = linear_forward,
    .backward = linear_backward,
    .multiply_adds = linear_multiply_adds,
};

/* ---- convolution ---- */

static int check_window(struct network *n, int size, int height, int width)
{
    if (size >= 1 && size <= MAX_WINDOW && size <= height && size <= width)
        return 0;
    return error_set(&n->error, STATUS_USAGE, "a window of %d x %d does not fit into %d x %d", size, size,
                     height, width);
}

static int convolution_describe(struct network *n, struct node *node, struct extent in)
{
    struct convolution *c = &node->convolution;
    const int shape[] = {c->filters, c->kernel, c->kernel, in.channels};

    if (c->kernel % 2 == 0 || c->stride < 1)
        return error_set(&n->error, STATUS_USAGE,
                         "a kernel of %d, stride %d: it must be odd, the stride at least 1", c->kernel,
                         c->stride);
    c->height = in.height;
    c->width = in.width;
    c->channels = in.channels;
    int height = convolution_extent(c, in.height), width = convolution_extent(c, in.width);
    if (check_window(n, c->pool, height, width))
        return -1;
    node->extent = (struct extent){height / c->pool, width / c->pool, c->filters};
    add_weight(n, node, "weight", &node->weight, &node->d_weight, 4, shape,
               sqrt(2.0 / (c->kernel * c->kernel * in.channels)));
    add_bias(n, node, c->filters);
    return 0;
}

static int convolution_claim(struct network *n, struct node *node, struct error *err)
{
    node->scratch = arena_claim(&n->memory, convolution_scratch(&node->convolution, pool_threads(n->pool)),
                                sizeof *node->scratch);
    return choice_claim(n, node, err);
}

static void convolution_node_forward(struct network *n, struct node *node, int B)
{
    convolution_forward(n->pool, &node->convolution, input_of(n, node, 0)->value, node->weight, node->bias,
                        node->value, node->choice, node->scratch, B);
}

static void convolution_node_backward(struct network *n, struct node *node, int B)
{
    struct node *from = input_of(n, node, 0);

    convolution_backward(n->pool, &node->convolution, from->value, node->weight, node->choice, node->gradient,
                         from->wants_gradient ? from->gradient : NULL, node->d_weight, node->d_bias,
                         node->scratch, B);
}

static double convolution_multiply_adds(const struct node *node, struct extent in)
{
    const struct convolution *c = &node->convolution;

    double positions = (double)convolution_extent(c, in.height) * convolution_extent(c, in.width);

    return positions * c->filters * c->kernel * c->kernel * in.channels;
}

const struct operation node_convolution = {
    .name = "convolution",
    .describe = convolution_describe,
    .claim = convolution_claim,
    .forward = convolution_node_forward,
    .backward = convolution_node_backward,
    .multiply_adds = convolution_multiply_adds,
};

/* ---- relu, sum ---- */

struct values {
    const float *x, *y, *d_y;
    float *to;
};

static void each_value(struct network *n, pool_body *body, struct values *v, const struct node *node, int B)
{
    pool_ranges(n->pool, body, v, B * (int)extent_size(node->extent), VALUES);
}

static void relu_range(void *context, int first, int last, int worker)
{
    const struct values *v = context;
    const float *restrict x = v->x;
    float *restrict y = v->to;

    (void)worker;
    for (int i = first; i < last; i++)
        y[i] = x[i] > 0.0F ? x[i] : 0.0F;
}

static void relu_backward_range(void *context, int first, int last, int worker)
{
    const struct values *v = context;
    const float *restrict y = v->y, *restrict d_y = v->d_y;
    float *restrict d_x = v->to;

    (void)worker;
    for (int i = first; i < last; i++)
        d_x[i] += y[i] > 0.0F ? d_y[i] : 0.0F;
}

static int same_describe(struct network *n, struct node *node, struct extent in)
{
    (void)n;
    node->extent = in;
    return 0;
}

static void relu_forward(struct network *n, struct node *node, int B)
{
    struct values v = {.x = input_of(n, node, 0)->value, .to = node->value};

    each_value(n, relu_range, &v, node, B);
}

static void relu_backward(struct network *n, struct node *node, int B)
{
    struct node *from = input_of(n, node, 0);
    struct values v = {.y = node->value, .d_y = node->gradient, .to = from->gradient};

    if (from->wants_gradient)
        each_value(n, relu_backward_range, &v, node, B);
}

const struct operation node_relu = {
    .name = "relu",
    .describe = same_describe,
    .forward = relu_forward,
    .backward = relu_backward,
};

static void sum_range(void *context, int first, int last, int worker)
{
    const struct values *v = context;
    const float *restrict a = v->x, *restrict b = v->y;
    float *restrict sum = v->to;

    (void)worker;
    for (int i = first; i < last; i++)
        sum[i] = a[i] + b[i];
}

static void add_range(void *context, int first, int last, int worker)
{
    const struct values *v = context;

    (void)worker;
    add_scaled(v->to + first, v->d_y + first, 1.0F, last - first);
}

static int sum_describe(struct network *n, struct node *node, struct extent in)
{
    struct extent other = n->nodes[node->input[1]].extent;

    node->extent = in;
    if (in.height == other.height && in.width == other.width && in.channels == other.channels)
        return 0;
    return error_set(&n->error, STATUS_USAGE, "a sum of (%d, %d, %d) and (%d, %d, %d)", in.height, in.width,
                     in.channels, other.height, other.width, other.channels);
}

static void sum_forward(struct network *n, struct node *node, int B)
{
    struct values v = {.x = input_of(n, node, 0)->value, .y = input_of(n, node, 1)->value, .to = node->value};

    each_value(n, sum_range, &v, node, B);
}

static void sum_backward(struct network *n, struct node *node, int B)
{
    for (int i = 0; i < 2; i++) {
        struct values v = {.d_y = node->gradient, .to = input_of(n, node, i)->gradient};
        if (input_of(n, node, i)->wants_gradient)
            each_value(n, add_range, &v, node, B);
    }
}

const struct operation node_sum = {
    .name = "sum",
    .describe = sum_describe,
    .forward = sum_forward,
    .backward = sum_backward,
};

/* ---- pooling ---- */

struct windows { /* what the tasks below share */
    const struct node *from, *node;
    bool backward;
};

/* body runs over ranges of samples; backward only where the input wants a gradient. */
static void each_sample(struct network *n, pool_body *body, const struct node *node, bool backward, int B)
{
    struct windows w = {input_of(n, node, 0), node, backward};

    if (!backward || w.from->wants_gradient)
        pool_ranges(n->pool, body, &w, B, SAMPLES);
}

static struct max_pool pool_of(const struct windows *w)
{
    struct extent in = w->from->extent;

    return (struct max_pool){in.height, in.width, in.channels, w->node->size};
}

static void max_pool_range(void *context, int first, int last, int worker)
{
    const struct windows *w = context;
    struct max_pool pool = pool_of(w);

    (void)worker;
    for (int b = first; b < last; b++) {
        size_t x = (size_t)b * extent_size(w->from->extent), y = (size_t)b * extent_size(w->node->extent);
        if (w->backward)
            max_pool_backward(&pool, w->node->gradient + y, w->node->choice + y, w->from->gradient + x);
        else
            max_pool_forward(&pool, w->from->value + x, w->node->value + y, w->node->choice + y);
    }
}

static int max_pool_describe(struct network *n, struct node *node, struct extent in)
{
    int size = node->size;

    if (check_window(n, size, in.height, in.width))
        return -1;
    node->extent = (struct extent){in.height / size, in.width / size, in.channels};
    return 0;
}

static void max_pool_node_forward(struct network *n, struct node *node, int B)
{
    each_sample(n, max_pool_range, node, false, B);
}

static void max_pool_node_backward(struct network *n, struct node *node, int B)
{
    each_sample(n, max_pool_range, node, true, B);
}

const struct operation node_max_pool = {
    .name = "max_pool",
    .describe = max_pool_describe,
    .claim = choice_claim,
    .forward = max_pool_node_forward,
    .backward = max_pool_node_backward,
};

static int mean_describe(struct network *n, struct node *node, struct extent in)
{
    (void)n;
    node->extent = (struct extent){1, 1, in.channels};
    if (node->share <= 0.0F)
        node->share = 1.0F / (float)positions_of(in);
    return 0;
}

static void mean_range(void *context, int first, int last, int worker)
{
    const struct windows *w = context;
    int positions = positions_of(w->from->extent), channels = w->node->extent.channels;

    (void)worker;
    for (int b = first; b < last; b++) {
        size_t at = (size_t)b * (size_t)channels;
        if (!w->backward)
            memset(w->node->value + at, 0, (size_t)channels * sizeof *w->node->value);
        for (int i = 0; i < positions; i++) {
            size_t position = ((size_t)b * (size_t)positions + (size_t)i) * (size_t)channels;
            if (w->backward)
                add_scaled(w->from->gradient + position, w->node->gradient + at, w->node->share, channels);
            else
                add_scaled(w->node->value + at, w->from->value + position, w->node->share, channels);
        }
    }
}

static void mean_forward(struct network *n, struct node *node, int B)
{
    each_sample(n, mean_range, node, false, B);
}

static void mean_backward(struct network *n, struct node *node, int B)
{
    each_sample(n, mean_range, node, true, B);
}

const struct operation node_mean = {
    .name = "mean",
    .describe = mean_describe,
    .forward = mean_forward,
    .backward = mean_backward,
};

/* ---- norm ---- */

static int norm_describe(struct network *n, struct node *node, struct extent in)
{
    node->extent = in;
    add_weight(n, node, "gain", &node->weight, &node->d_weight, 1, &in.channels, 0.0)->mean = 1.0F;
    return 0;
}

/* The inverse of the rms of each position, then what rmsnorm_backward needs. */
static int norm_claim(struct network *n, struct node *node, struct error *err)
{
    int rows = n->max_samples * positions_of(node->extent);
    size_t floats = (size_t)rows + rmsnorm_scratch(rows, node->extent.channels);

    (void)err;
    node->scratch = arena_claim(&n->memory, floats, sizeof *node->scratch);
    return 0;
}

static void norm_forward(struct network *n, struct node *node, int B)
{
    rmsnorm_forward(n->pool, input_of(n, node, 0)->value, node->weight, node->value, node->scratch,
                    B * positions_of(node->extent), node->extent.channels);
}

static void norm_backward(struct network *n, struct node *node, int B)
{
    struct node *from = input_of(n, node, 0);
    int positions = positions_of(node->extent);

    rmsnorm_backward(n->pool, from->value, node->weight, node->scratch, node->gradient, from->gradient,
                     node->d_weight, node->scratch + (size_t)n->max_samples * (size_t)positions,
                     B * positions, node->extent.channels);
}

const struct operation node_norm = {
    .name = "norm",
    .describe = norm_describe,
    .claim = norm_claim,
    .forward = norm_forward,
    .backward = norm_backward,
};

/* ---- patches, reshape ---- */

static int patches_describe(struct network *n, struct node *node, struct extent in)
{
    int size = node->size;

    if (size < 1 || in.height % size != 0 || in.width % size != 0)
        return error_set(&n->error, STATUS_USAGE, "patches of %d x %d do not cover %d x %d", size, size,
                         in.height, in.width);
    node->extent = (struct extent){in.height / size * (in.width / size), 1, size * size * in.channels};
    return 0;
}

/* A patch's line is contiguous on both sides. */
static void patches_range(void *context, int first, int last, int worker)
{
    const struct windows *w = context;
    struct extent in = w->from->extent;
    int size = w->node->size, across = in.width / size, line = size * in.channels;

    (void)worker;
    for (int b = first; b < last; b++) {
        size_t sample = (size_t)b * extent_size(in);
        for (int i = 0; i < w->node->extent.height * size; i++) {
            int patch = i / size, row = patch / across * size + i % size, column = patch % across * size;
            size_t image = sample + ((size_t)row * (size_t)in.width + (size_t)column) * (size_t)in.channels;
            size_t token = sample + (size_t)i * (size_t)line;
            if (w->backward)
                add_scaled(w->from->gradient + image, w->node->gradient + token, 1.0F, line);
            else
                memcpy(w->node->value + token, w->from->value + image, (size_t)line * sizeof(float));
        }
    }
}

static void patches_forward(struct network *n, struct node *node, int B)
{
    each_sample(n, patches_range, node, false, B);
}

static void patches_backward(struct network *n, struct node *node, int B)
{
    each_sample(n, patches_range, node, true, B);
}

const struct operation node_patches = {
    .name = "patches",
    .describe = patches_describe,
    .forward = patches_forward,
    .backward = patches_backward,
};

static int reshape_describe(struct network *n, struct node *node, struct extent in)
{
    if (extent_size(in) == extent_size(node->extent))
        return 0;
    return error_set(&n->error, STATUS_USAGE, "(%d, %d, %d) does not hold the values of (%d, %d, %d)",
                     node->extent.height, node->extent.width, node->extent.channels, in.height, in.width,
                     in.channels);
}

static void reshape_forward(struct network *n, struct node *node, int B)
{
    memcpy(node->value, input_of(n, node, 0)->value, (size_t)B * extent_size(node->extent) * sizeof(float));
}

static void reshape_backward(struct network *n, struct node *node, int B)
{
    struct node *from = input_of(n, node, 0);
    struct values v = {.d_y = node->gradient, .to = from->gradient};

    if (from->wants_gradient)
        each_value(n, add_range, &v, node, B);
}

const struct operation node_reshape = {
    .name = "reshape",
    .describe = reshape_describe,
    .forward = reshape_forward,
    .backward = reshape_backward,
};

/* ---- embed ---- */

static int embed_describe(struct network *n, struct node *node, struct extent in)
{
    const int shape[] = {node->size, node->extent.channels};

    if (in.channels != 1)
        return error_set(&n->error, STATUS_USAGE, "an item a position, not %d", in.channels);
    node->extent.height = in.height;
    node->extent.width = in.width;
    add_weight(n, node, "weight", &node->weight, &node->d_weight, 2, shape, 1.0)->decay = false;
    return 0;
}

/* Where the row of an item begins. */
static size_t row_of(const struct node *node, float item)
{
    int i = item > 0.0F ? (int)item : 0;

    return (size_t)(i < node->size ? i : node->size - 1) * (size_t)node->extent.channels;
}

static void embed_forward(struct network *n, struct node *node, int B)
{
    const float *item = input_of(n, node, 0)->value;
    size_t width = (size_t)node->extent.channels;

    for (int i = 0; i < B * positions_of(node->extent); i++)
        memcpy(node->value + (size_t)i * width, node->weight + row_of(node, item[i]), width * sizeof(float));
}

static void embed_backward(struct network *n, struct node *node, int B)
{
    const float *item = input_of(n, node, 0)->value;
    int width = node->extent.channels;

    for (int i = 0; i < B * positions_of(node->extent); i++)
        add_scaled(node->d_weight + row_of(node, item[i]), node->gradient + (size_t)i * (size_t)width, 1.0F,
                   width);
}

const struct operation node_embed = {
    .name = "embed",
    .describe = embed_describe,
    .forward = embed_forward,
    .backward = embed_backward,
};

/* ---- soft MoE ---- */

static int soft_moe_describe(struct network *n, struct node *node, struct extent in)
{
    struct soft_moe *s = &node->soft;
    int D = s->D = in.channels, N = s->n_experts, F = s->F;

    node->extent = in;
    if (N < 1 || s->slots_per_expert < 1 || F < 1)
        return error_set(&n->error, STATUS_USAGE,
                         "%d experts of %d slots and %d hidden: each must be at least 1", N,
                         s->slots_per_expert, F);
    add_weight(n, node, "slots", &s->slots, &s->d_slots, 2, (const int[]){N * s->slots_per_expert, D},
               sqrt(1.0 / D));
    add_weight(n, node, "in", &s->in, &s->d_in, 3, (const int[]){N, F, D}, sqrt(2.0 / D));
    add_weight(n, node, "out", &s->out, &s->d_out, 3, (const int[]){N, D, F}, sqrt(1.0 / F));
    return 0;
}

static int soft_moe_claim(struct network *n, struct node *node, struct error *err)
{
    return soft_moe_pass_init(&node->pass, &node->soft, n->max_samples, positions_of(node->extent), err);
}

static void soft_moe_node_forward(struct network *n, struct node *node, int B)
{
    const float *x = input_of(n, node, 0)->value;

    soft_moe_weigh(n->pool, &node->soft, x, &node->pass, B);
    soft_moe_apply(n->pool, &node->soft, x, NULL, node->value, &node->pass, B);
}

static void soft_moe_node_backward(struct network *n, struct node *node, int B)
{
    struct node *from = input_of(n, node, 0);

    soft_moe_backward(n->pool, &node->soft, from->value, node->gradient,
                      from->wants_gradient ? from->gradient : NULL, &node->pass, B);
}

/* Scores, slots in and out, and the experts on every slot. */
static double soft_moe_multiply_adds(const struct node *node, struct extent in)
{
    const struct soft_moe *s = &node->soft;
    double slots = (double)s->n_experts * s->slots_per_expert;

    return 3.0 * (double)extent_size(in) * slots + slots * 2.0 * s->D * s->F;
}

static void soft_moe_node_release(struct node *node)
{
    soft_moe_pass_release(&node->pass);
}

const struct operation node_soft_moe = {
    .name = "soft_moe",
    .describe = soft_moe_describe,
    .claim = soft_moe_claim,
    .forward = soft_moe_node_forward,
    .backward = soft_moe_node_backward,
    .multiply_adds = soft_moe_multiply_adds,
    .release = soft_moe_node_release,
};
