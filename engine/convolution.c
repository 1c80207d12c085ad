#include "engine/convolution.h"

#include <math.h>
#include <string.h>

#include "engine/blas.h"
#include "engine/each_cpu.h"
#include "engine/kernels.h"
#include "engine/max_pool.h"

/* A chunk's patches and products leave room in a core's second-level cache. Weight gradients are summed in so
 * many parts, each by one task, and then in order: whoever runs them, the sum is the same. */
enum { CHUNK_FLOATS = 64 * 1024, PARTS = 8 };
/* Patches are copied by so many floats at a time: what is too much, the next one overwrites. */
enum { BLOCK = 16 };

/* ---- shapes ---- */

int convolution_extent(const struct convolution *c, int size)
{
    int room = size + 2 * c->padding - c->kernel;

    return room < 0 ? 0 : room / c->stride + 1;
}

static struct max_pool pool_of(const struct convolution *c)
{
    return (struct max_pool){convolution_extent(c, c->height), convolution_extent(c, c->width), c->filters,
                             c->pool};
}

/* Of the products, before the pool. */
static int positions_of(const struct convolution *c)
{
    return convolution_extent(c, c->height) * convolution_extent(c, c->width);
}

static int patch_of(const struct convolution *c)
{
    return c->kernel * c->kernel * c->channels;
}

static size_t input_floats(const struct convolution *c)
{
    return (size_t)c->height * (size_t)c->width * (size_t)c->channels;
}

static int output_positions(const struct convolution *c)
{
    return convolution_extent(c, c->height) / c->pool * (convolution_extent(c, c->width) / c->pool);
}

static size_t output_floats(const struct convolution *c)
{
    return (size_t)output_positions(c) * (size_t)c->filters;
}

/* A line of the input with the zeros around it. */
static size_t line_floats(const struct convolution *c)
{
    return (size_t)(c->width + 2 * c->padding) * (size_t)c->channels;
}

static size_t padded_floats(const struct convolution *c)
{
    return (size_t)(c->height + 2 * c->padding) * line_floats(c);
}

/* Samples that are multiplied at once. */
static int chunk_of(const struct convolution *c)
{
    int floats = positions_of(c) * (patch_of(c) + c->filters);

    return floats > 0 && floats < CHUNK_FLOATS ? CHUNK_FLOATS / floats : 1;
}

/* ---- scratch ---- */

struct room {        /* of one worker */
    float *padded;   /* (H + 2 padding, W + 2 padding, C) of a sample */
    float *columns;  /* (chunk, positions, P) */
    float *products; /* (chunk, positions, O) */
};

static size_t room_floats(const struct convolution *c)
{
    size_t rows = (size_t)chunk_of(c) * (size_t)positions_of(c);

    return padded_floats(c) + BLOCK + rows * (size_t)patch_of(c) + BLOCK + rows * (size_t)c->filters;
}

static struct room room_of(const struct convolution *c, float *scratch, int worker)
{
    float *padded = scratch + (size_t)worker * room_floats(c), *columns = padded + padded_floats(c) + BLOCK;
    size_t rows = (size_t)chunk_of(c) * (size_t)positions_of(c);

    return (struct room){padded, columns, columns + rows * (size_t)patch_of(c) + BLOCK};
}

static size_t part_floats(const struct convolution *c)
{
    return (size_t)c->filters * (size_t)(patch_of(c) + 1);
}

size_t convolution_scratch(const struct convolution *c, int threads)
{
    return (size_t)threads * room_floats(c) + PARTS * part_floats(c);
}

/* ---- patches ---- */

/* Where a line of the input begins within the zeros. */
static float *line_at(const struct convolution *c, float *padded, int row)
{
    return padded + (size_t)(row + c->padding) * line_floats(c) + (size_t)c->padding * (size_t)c->channels;
}

/* Where the patches of a sample are within the zeros: of each, `lines` runs of `taps` numbers. */
struct patches {
    int rows, across, lines, taps;
    size_t line, down, right; /* from a line to the next; from a patch to the one below, beside it */
};

static struct patches patches_of(const struct convolution *c)
{
    return (struct patches){.rows = convolution_extent(c, c->height),
                            .across = convolution_extent(c, c->width),
                            .lines = c->kernel,
                            .taps = c->kernel * c->channels,
                            .line = line_floats(c),
                            .down = (size_t)c->stride * line_floats(c),
                            .right = (size_t)c->stride * (size_t)c->channels};
}

static EACH_CPU void copy_patches(struct patches p, const float *padded, float *columns)
{
    for (int row = 0; row < p.rows; row++) {
        for (int i = 0; i < p.across; i++) {
            const float *from = padded + (size_t)row * p.down + (size_t)i * p.right;
            for (int k = 0; k < p.lines; k++, from += p.line, columns += p.taps) {
                for (int t = 0; t < p.taps; t += BLOCK)
                    memcpy(columns + t, from + t, BLOCK * sizeof *columns);
            }
        }
    }
}

static EACH_CPU void add_patches(struct patches p, const float *columns, float *padded)
{
    for (int row = 0; row < p.rows; row++) {
        for (int i = 0; i < p.across; i++) {
            float *to = padded + (size_t)row * p.down + (size_t)i * p.right;
            for (int k = 0; k < p.lines; k++, to += p.line, columns += p.taps) {
#pragma omp simd
                for (int t = 0; t < p.taps; t++)
                    to[t] += columns[t];
            }
        }
    }
}

/* columns (positions, P) of one sample; there are zeros around `padded` already. */
static void lay_out(const struct convolution *c, const float *x, float *padded, float *columns)
{
    size_t width = (size_t)c->width * (size_t)c->channels;

    for (int row = 0; row < c->height; row++)
        memcpy(line_at(c, padded, row), x + (size_t)row * width, width * sizeof *x);
    copy_patches(patches_of(c), padded, columns);
}

/* The reverse: d_x (H, W, C) += the columns' gradients. */
static void gather(const struct convolution *c, const float *columns, float *padded, float *d_x)
{
    int width = c->width * c->channels;

    memset(padded, 0, padded_floats(c) * sizeof *padded);
    add_patches(patches_of(c), columns, padded);
    for (int row = 0; row < c->height; row++)
        add_scaled(d_x + (size_t)row * (size_t)width, line_at(c, padded, row), 1.0F, width);
}

/* ---- passes ---- */

struct call { /* what the tasks of one call share */
    const struct convolution *c;
    const float *x, *w, *bias, *d_y;
    float *y, *d_x;
    uint8_t *choice;
    float *scratch;
    float *parts; /* (PARTS, O, P + 1): weights, then the bias */
    int B;
};

/* y (n, O) += bias; what is no more than `least` becomes it, and no gradient will come through. */
static EACH_CPU void add_bias(const float *bias, float least, float *y, uint8_t *choice, int n, int O)
{
    for (int i = 0; i < n; i++, y += O, choice += O) {
#pragma omp simd
        for (int o = 0; o < O; o++) {
            y[o] += bias[o];
            choice[o] = y[o] > least ? choice[o] : (uint8_t)NONE_OF_WINDOW;
            y[o] = y[o] < least ? least : y[o];
        }
    }
}

static void lay_out_chunk(const struct call *p, int first, int last, const struct room *room)
{
    const struct convolution *c = p->c;
    size_t floats = (size_t)positions_of(c) * (size_t)patch_of(c);

    memset(room->padded, 0, (padded_floats(c) + BLOCK) * sizeof *room->padded);
    for (int b = first; b < last; b++)
        lay_out(c, p->x + (size_t)b * input_floats(c), room->padded,
                room->columns + (size_t)(b - first) * floats);
}

static void forward_range(void *context, int first, int last, int worker)
{
    const struct call *p = context;
    const struct convolution *c = p->c;
    struct room room = room_of(c, p->scratch, worker);
    struct max_pool pool = pool_of(c);
    struct gemm product = gemm_forward(room.columns, p->w, room.products, positions_of(c) * (last - first),
                                       patch_of(c), c->filters, 0.0F);

    lay_out_chunk(p, first, last, &room);
    gemm_one(&product);
    for (int b = first; b < last; b++) {
        size_t at = (size_t)b * output_floats(c);
        const float *products =
            room.products + (size_t)(b - first) * (size_t)positions_of(c) * (size_t)c->filters;
        max_pool_forward(&pool, products, p->y + at, p->choice + at);
        add_bias(p->bias, c->rectified ? 0.0F : -HUGE_VALF, p->y + at, p->choice + at, output_positions(c),
                 c->filters);
    }
}

void convolution_forward(struct pool *pool, const struct convolution *c, const float *x, const float *w,
                         const float *bias, float *y, uint8_t *choice, float *scratch, int B)
{
    struct call p = {.c = c, .x = x, .w = w, .bias = bias, .y = y, .choice = choice, .scratch = scratch};

    pool_ranges(pool, forward_range, &p, B, chunk_of(c));
}

/* sum (O) += what of d_y (n, O) comes through. */
static EACH_CPU void add_bias_gradient(float *sum, const float *d_y, const uint8_t *choice, int n, int O)
{
    for (int i = 0; i < n; i++, d_y += O, choice += O) {
#pragma omp simd
        for (int o = 0; o < O; o++)
            sum[o] += choice[o] == NONE_OF_WINDOW ? 0.0F : d_y[o];
    }
}

/* Gradients of the products of a chunk, and of the bias. */
static void spread_chunk(const struct call *p, int first, int last, const struct room *room, float *d_bias)
{
    const struct convolution *c = p->c;
    struct max_pool pool = pool_of(c);
    size_t floats = (size_t)positions_of(c) * (size_t)c->filters, n = (size_t)(last - first),
           at = (size_t)first * output_floats(c);

    memset(room->products, 0, n * floats * sizeof *room->products);
    for (size_t b = 0; b < n; b++)
        max_pool_backward(&pool, p->d_y + at + b * output_floats(c), p->choice + at + b * output_floats(c),
                          room->products + b * floats);
    add_bias_gradient(d_bias, p->d_y + at, p->choice + at, (last - first) * output_positions(c), c->filters);
}

static void backward_chunk(const struct call *p, int first, int last, const struct room *room, float *part)
{
    const struct convolution *c = p->c;
    int positions = positions_of(c), P = patch_of(c), O = c->filters, rows = positions * (last - first);
    struct gemm weights = gemm_weight_gradient(room->products, room->columns, part, rows, P, O);
    struct gemm inputs = gemm_input_gradient(room->products, p->w, room->columns, rows, P, O, 0.0F);

    spread_chunk(p, first, last, room, part + (size_t)O * (size_t)P);
    lay_out_chunk(p, first, last, room);
    gemm_one(&weights);
    if (!p->d_x)
        return;
    gemm_one(&inputs);
    for (int b = first; b < last; b++)
        gather(c, room->columns + (size_t)(b - first) * (size_t)positions * (size_t)P, room->padded,
               p->d_x + (size_t)b * input_floats(c));
}

static void backward_part(void *context, int index, int worker)
{
    const struct call *p = context;
    int first = (int)((int64_t)p->B * index / PARTS), past = (int)((int64_t)p->B * (index + 1) / PARTS);
    float *part = p->parts + (size_t)index * part_floats(p->c);
    struct room room = room_of(p->c, p->scratch, worker);

    memset(part, 0, part_floats(p->c) * sizeof *part);
    for (int last; first < past; first = last) {
        last = first + chunk_of(p->c) < past ? first + chunk_of(p->c) : past;
        backward_chunk(p, first, last, &room, part);
    }
}

void convolution_backward(struct pool *pool, const struct convolution *c, const float *x, const float *w,
                          const uint8_t *choice, const float *d_y, float *d_x, float *d_w, float *d_bias,
                          float *scratch, int B)
{
    float *parts = scratch + (size_t)pool_threads(pool) * room_floats(c);
    struct call p = {.c = c,
                     .x = x,
                     .w = w,
                     .choice = (uint8_t *)choice,
                     .d_y = d_y,
                     .d_x = d_x,
                     .scratch = scratch,
                     .parts = parts,
                     .B = B};
    int weights = c->filters * patch_of(c);

    pool_run(pool, backward_part, &p, PARTS);
    for (int i = 0; i < PARTS; i++) {
        const float *part = parts + (size_t)i * part_floats(c);
        add_scaled(d_w, part, 1.0F, weights);
        add_scaled(d_bias, part + weights, 1.0F, c->filters);
    }
}
