#include "engine/convolution.h"

#include <stdint.h>
#include <string.h>

#include "engine/blas.h"
#include "engine/kernels.h"

/* A chunk's patches take about half of a core's second-level cache. Weight gradients are summed in so many
 * parts, each by one task, and then in order: whoever runs them, the sum is the same. */
enum { CHUNK_FLOATS = 48 * 1024, PARTS = 8 };

int convolution_extent(const struct convolution *c, int size)
{
    int room = size + 2 * c->padding - c->kernel;

    return room < 0 ? 0 : room / c->stride + 1;
}

static int patch_of(const struct convolution *c)
{
    return c->kernel * c->kernel * c->channels;
}

static int positions_of(const struct convolution *c)
{
    return convolution_extent(c, c->height) * convolution_extent(c, c->width);
}

/* Samples whose patches are laid out at once. */
static int chunk_of(const struct convolution *c)
{
    int floats = positions_of(c) * patch_of(c);

    return floats > 0 && floats < CHUNK_FLOATS ? CHUNK_FLOATS / floats : 1;
}

static size_t columns_floats(const struct convolution *c)
{
    return (size_t)chunk_of(c) * (size_t)positions_of(c) * (size_t)patch_of(c);
}

static size_t part_floats(const struct convolution *c)
{
    return (size_t)c->filters * (size_t)(patch_of(c) + 1);
}

size_t convolution_scratch(const struct convolution *c, int threads)
{
    return (size_t)threads * columns_floats(c) + PARTS * part_floats(c);
}

/* What part of a kernel's row lies within the input, for an output column: taps first .. last - 1. */
static void taps_within(const struct convolution *c, int origin, int *first, int *last)
{
    *first = origin < 0 ? -origin : 0;
    *last = origin + c->kernel > c->width ? c->width - origin : c->kernel;
    *last = *last < *first ? *first : *last;
}

/* columns (H' W', P) of one sample; what lies in the padding is 0. */
static void lay_out(const struct convolution *c, const float *x, float *columns)
{
    int out_height = convolution_extent(c, c->height), out_width = convolution_extent(c, c->width);
    size_t C = (size_t)c->channels, row_floats = (size_t)c->kernel * C;

    for (int i = 0; i < out_height * out_width; i++) {
        int top = i / out_width * c->stride - c->padding, left = i % out_width * c->stride - c->padding;
        int first, last;
        taps_within(c, left, &first, &last);
        for (int k = 0; k < c->kernel; k++, columns += row_floats) {
            if (top + k < 0 || top + k >= c->height || first == last) {
                memset(columns, 0, row_floats * sizeof *columns);
                continue;
            }
            const float *from = x + ((size_t)(top + k) * (size_t)c->width + (size_t)(left + first)) * C;
            size_t before = (size_t)first * C, within = (size_t)(last - first) * C;
            memset(columns, 0, before * sizeof *columns);
            memcpy(columns + before, from, within * sizeof *columns);
            memset(columns + before + within, 0, (row_floats - before - within) * sizeof *columns);
        }
    }
}

/* The reverse: d_x (H, W, C) += the columns' gradients. */
static void gather(const struct convolution *c, const float *columns, float *d_x)
{
    int out_height = convolution_extent(c, c->height), out_width = convolution_extent(c, c->width);
    size_t C = (size_t)c->channels, row_floats = (size_t)c->kernel * C;

    for (int i = 0; i < out_height * out_width; i++) {
        int top = i / out_width * c->stride - c->padding, left = i % out_width * c->stride - c->padding;
        int first, last;
        taps_within(c, left, &first, &last);
        for (int k = 0; k < c->kernel; k++, columns += row_floats) {
            if (top + k < 0 || top + k >= c->height || first == last)
                continue;
            add_scaled(d_x + ((size_t)(top + k) * (size_t)c->width + (size_t)(left + first)) * C,
                       columns + (size_t)first * C, 1.0F, (last - first) * (int)C);
        }
    }
}

struct pass { /* one call, for its tasks */
    const struct convolution *c;
    const float *x, *w, *bias, *d_y;
    float *y, *d_x;
    float *columns; /* (threads, columns_floats) */
    float *parts;   /* (PARTS, O, P + 1): weights, then the bias */
    int B;
};

static float *columns_of(const struct pass *p, int worker)
{
    return p->columns + (size_t)worker * columns_floats(p->c);
}

static size_t sample_floats(const struct convolution *c)
{
    return (size_t)c->height * (size_t)c->width * (size_t)c->channels;
}

static void forward_range(void *context, int first, int last, int worker)
{
    const struct pass *p = context;
    const struct convolution *c = p->c;
    size_t positions = (size_t)positions_of(c), P = (size_t)patch_of(c), O = (size_t)c->filters;
    float *columns = columns_of(p, worker), *y = p->y + (size_t)first * positions * O;
    struct gemm product =
        gemm_forward(columns, p->w, y, (int)positions * (last - first), (int)P, (int)O, 1.0F);

    for (int b = first; b < last; b++)
        lay_out(c, p->x + (size_t)b * sample_floats(c), columns + (size_t)(b - first) * positions * P);
    for (size_t i = 0; i < positions * (size_t)(last - first); i++)
        memcpy(y + i * O, p->bias, O * sizeof *y);
    gemm_one(&product);
}

void convolution_forward(struct pool *pool, const struct convolution *c, const float *x, const float *w,
                         const float *bias, float *y, float *scratch, int B)
{
    struct pass p = {.c = c, .x = x, .w = w, .bias = bias, .y = y, .columns = scratch, .B = B};

    pool_ranges(pool, forward_range, &p, B, chunk_of(c));
}

static void backward_chunk(const struct pass *p, int first, int last, float *columns, float *part)
{
    const struct convolution *c = p->c;
    int positions = positions_of(c), P = patch_of(c), O = c->filters, rows = positions * (last - first);
    const float *d_y = p->d_y + (size_t)first * (size_t)positions * (size_t)O;
    struct gemm weights = gemm_weight_gradient(d_y, columns, part, rows, P, O);
    struct gemm inputs = gemm_input_gradient(d_y, p->w, columns, rows, P, O, 0.0F);

    for (int b = first; b < last; b++)
        lay_out(c, p->x + (size_t)b * sample_floats(c),
                columns + (size_t)(b - first) * (size_t)positions * (size_t)P);
    gemm_one(&weights);
    for (int i = 0; i < rows; i++)
        add_scaled(part + (size_t)O * (size_t)P, d_y + (size_t)i * (size_t)O, 1.0F, O);
    if (!p->d_x)
        return;
    gemm_one(&inputs);
    for (int b = first; b < last; b++)
        gather(c, columns + (size_t)(b - first) * (size_t)positions * (size_t)P,
               p->d_x + (size_t)b * sample_floats(c));
}

static void backward_part(void *context, int index, int worker)
{
    const struct pass *p = context;
    int first = (int)((int64_t)p->B * index / PARTS), past = (int)((int64_t)p->B * (index + 1) / PARTS);
    float *part = p->parts + (size_t)index * part_floats(p->c);

    memset(part, 0, part_floats(p->c) * sizeof *part);
    for (int last; first < past; first = last) {
        last = first + chunk_of(p->c) < past ? first + chunk_of(p->c) : past;
        backward_chunk(p, first, last, columns_of(p, worker), part);
    }
}

void convolution_backward(struct pool *pool, const struct convolution *c, const float *x, const float *w,
                          const float *d_y, float *d_x, float *d_w, float *d_bias, float *scratch, int B)
{
    float *parts = scratch + (size_t)pool_threads(pool) * columns_floats(c);
    struct pass p = {
        .c = c, .x = x, .w = w, .d_y = d_y, .d_x = d_x, .columns = scratch, .parts = parts, .B = B};
    int weights = c->filters * patch_of(c);

    pool_run(pool, backward_part, &p, PARTS);
    for (int i = 0; i < PARTS; i++) {
        const float *part = parts + (size_t)i * part_floats(c);
        add_scaled(d_w, part, 1.0F, weights);
        add_scaled(d_bias, part + weights, 1.0F, c->filters);
    }
}
