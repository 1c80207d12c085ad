#include "engine/kmeans.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

static const uint64_t centre_stream = 0x6b6d65616e730000U;

struct assignment {
    const struct kmeans *k;
    const float *rows;
    float *distance; /* (n) squared, from the row's own centre */
};

static float distance(const float *a, const float *b, int width)
{
    float sum = 0.0F;

    for (int i = 0; i < width; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

static void assign_range(void *context, int first, int last, int worker)
{
    const struct assignment *a = context;
    int width = a->k->width;

    (void)worker;
    for (int i = first; i < last; i++) {
        const float *row = a->rows + (size_t)i * (size_t)width;
        a->distance[i] = INFINITY;
        for (int c = 0; c < a->k->K; c++) {
            float d = distance(row, a->k->centre + (size_t)c * (size_t)width, width);
            if (d < a->distance[i]) {
                a->distance[i] = d;
                a->k->cluster[i] = c;
            }
        }
    }
}

static void assign(const struct assignment *a, struct pool *pool)
{
    pool_ranges(pool, assign_range, (void *)a, a->k->n, 256);
}

/* The first centre is any row; each further one a row, drawn by its squared distance from those before. */
static void draw_centres(struct kmeans *k, const float *rows, float *nearest, uint64_t seed)
{
    struct random r;
    size_t width = (size_t)k->width;

    random_seed(&r, seed, centre_stream);
    int chosen = (int)random_below(&r, (uint64_t)k->n);
    for (int i = 0; i < k->n; i++)
        nearest[i] = INFINITY;
    for (int c = 0; c < k->K; c++) {
        float *centre = k->centre + (size_t)c * width;
        double total = 0.0;
        memcpy(centre, rows + (size_t)chosen * width, width * sizeof *centre);
        for (int i = 0; i < k->n; i++) {
            float d = distance(rows + (size_t)i * width, centre, k->width);
            nearest[i] = fminf(d, nearest[i]);
            total += (double)nearest[i];
        }
        double left = random_uniform(&r) * total;
        for (chosen = 0; chosen < k->n - 1 && (left -= (double)nearest[chosen]) >= 0.0; chosen++)
            ;
    }
}

static int farthest(const float *distance, int n)
{
    int far = 0;

    for (int i = 1; i < n; i++)
        far = distance[i] > distance[far] ? i : far;
    return far;
}

static void move_centres(struct kmeans *k, const float *rows, float *from, double *sum, int *size)
{
    size_t width = (size_t)k->width;

    memset(sum, 0, (size_t)k->K * width * sizeof *sum);
    memset(size, 0, (size_t)k->K * sizeof *size);
    for (int i = 0; i < k->n; i++) {
        double *s = sum + (size_t)k->cluster[i] * width;
        size[k->cluster[i]]++;
        for (size_t j = 0; j < width; j++)
            s[j] += (double)rows[(size_t)i * width + j];
    }
    for (int c = 0; c < k->K; c++) {
        float *centre = k->centre + (size_t)c * width;
        if (size[c] == 0) {
            int far = farthest(from, k->n);
            memcpy(centre, rows + (size_t)far * width, width * sizeof *centre);
            from[far] = 0.0F;
        }
        for (size_t j = 0; j < width && size[c] > 0; j++)
            centre[j] = (float)(sum[(size_t)c * width + j] / size[c]);
    }
}

static double mean(const float *x, int n)
{
    double sum = 0.0;

    for (int i = 0; i < n; i++)
        sum += (double)x[i];
    return sum / n;
}

/* Distortion falls until nothing moves any more. */
static void iterate(struct kmeans *k, const struct assignment *a, struct pool *pool, int most, double *sum,
                    int *size)
{
    assign(a, pool);
    k->distortion = mean(a->distance, k->n);
    for (k->iterations = 0; k->iterations < most; k->iterations++) {
        move_centres(k, a->rows, a->distance, sum, size);
        assign(a, pool);
        double before = k->distortion;
        k->distortion = mean(a->distance, k->n);
        if (k->distortion >= before)
            break;
    }
}

int kmeans_run(struct kmeans *k, struct pool *pool, const float *rows, int n, int width, int K,
               int most_iterations, uint64_t seed, struct error *err)
{
    *k = (struct kmeans){.n = n, .width = width, .K = K};
    k->centre = malloc((size_t)K * (size_t)width * sizeof *k->centre);
    k->cluster = malloc((size_t)n * sizeof *k->cluster);
    float *from = calloc((size_t)n, sizeof *from);
    double *sum = malloc((size_t)K * (size_t)width * sizeof *sum);
    int *size = malloc((size_t)K * sizeof *size);
    bool ready = k->centre && k->cluster && from && sum && size;
    if (ready) {
        struct assignment a = {k, rows, from};
        draw_centres(k, rows, from, seed);
        iterate(k, &a, pool, most_iterations, sum, size);
    }
    free(from);
    free(sum);
    free(size);
    if (ready)
        return 0;
    kmeans_release(k);
    return error_no_memory(err, "k-means");
}

void kmeans_release(struct kmeans *k)
{
    free(k->centre);
    free(k->cluster);
    *k = (struct kmeans){0};
}
