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

/* A kernel's row over the input: of its taps, first .. last - 1 lie within, the first at float `at` of the
 * sample. first == last: it is all padding. */
struct line {
    int first, last;
    size_t at;
};

/* Row k of the kernel at output position i. */
static struct line line_at(const struct convolution *c, int i, int k)
{
    int across = convolution_extent(c, c->width);
    int row = i / across * c->stride - c->padding + k, left = i % across * c->stride - c->padding;
    int first = left < 0 ? -left : 0, last = left + c->kernel > c->width ? c->width - left : c->kernel;

    if (row < 0 || row >= c->height || last <= first)
        return (struct line){0};
    return (struct line){first, last,
                         ((size_t)row * (size_t)c->width + (size_t)(left + first)) * (size_t)c->channels};
}

/* columns (H' W', P) of one sample; what lies in the padding is 0. */
static void lay_out(const struct convolution *c, const float *x, float *columns)
{
    size_t C = (size_t)c->channels, taps = (size_t)c->kernel * C;

    for (int i = 0; i < positions_of(c); i++) {
        for (int k = 0; k < c->kernel; k++, columns += taps) {
            struct line l = line_at(c, i, k);
            size_t before = (size_t)l.first * C, past = (size_t)l.last * C;
            memset(columns, 0, before * sizeof *columns);
            memcpy(columns + before, x + l.at, (past - before) * sizeof *columns);
            memset(columns + past, 0, (taps - past) * sizeof *columns);
        }
    }
}

/* The reverse: d_x (H, W, C) += the columns' gradients. */
static void gather(const struct convolution *c, const float *columns, float *d_x)
{
    size_t C = (size_t)c->channels;

    for (int i = 0; i < positions_of(c); i++) {
        for (int k = 0; k < c->kernel; k++, columns += (size_t)c->kernel * C) {
            struct line l = line_at(c, i, k);
            add_scaled(d_x + l.at, columns + (size_t)l.first * C, 1.0F, (l.last - l.first) * (int)C);
        }
    }
}

struct call { /* what the tasks of one call share */
    const struct convolution *c;
    const float *x, *w, *bias, *d_y;
    float *y, *d_x;
    float *columns; /* (threads, columns_floats) */
    float *parts;   /* (PARTS, O, P + 1): weights, then the bias */
    int B;
};

static float *columns_of(const struct call *p, int worker)
{
    return p->columns + (size_t)worker * columns_floats(p->c);
}

static size_t sample_floats(const struct convolution *c)
{
    return (size_t)c->height * (size_t)c->width * (size_t)c->channels;
}

static void forward_range(void *context, int first, int last, int worker)
{
    const struct call *p = context;
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
    struct call p = {.c = c, .x = x, .w = w, .bias = bias, .y = y, .columns = scratch};

    pool_ranges(pool, forward_range, &p, B, chunk_of(c));
}

static void backward_chunk(const struct call *p, int first, int last, float *columns, float *part)
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
    const struct call *p = context;
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
    struct call p = {
        .c = c, .x = x, .w = w, .d_y = d_y, .d_x = d_x, .columns = scratch, .parts = parts, .B = B};
    int weights = c->filters * patch_of(c);

    pool_run(pool, backward_part, &p, PARTS);
    for (int i = 0; i < PARTS; i++) {
        const float *part = parts + (size_t)i * part_floats(c);
        add_scaled(d_w, part, 1.0F, weights);
        add_scaled(d_bias, part + weights, 1.0F, c->filters);
    }
}
