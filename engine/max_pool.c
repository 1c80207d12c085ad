#include "engine/max_pool.h"

#include <stddef.h>
#include <string.h>

#include "engine/each_cpu.h"

/* Where the w-th place of window i is in the input. */
static size_t place(const struct max_pool *p, int i, int w)
{
    int across = p->width / p->size;
    int row = i / across * p->size + w / p->size, column = i % across * p->size + w % p->size;

    return ((size_t)row * (size_t)p->width + (size_t)column) * (size_t)p->channels;
}

static int windows(const struct max_pool *p)
{
    return p->height / p->size * (p->width / p->size);
}

EACH_CPU void max_pool_forward(const struct max_pool *p, const float *x, float *y, uint8_t *choice)
{
    int C = p->channels, n = windows(p), places = p->size * p->size;

    for (int i = 0; i < n; i++, y += C, choice += C) {
        memcpy(y, x + place(p, i, 0), (size_t)C * sizeof *y);
        memset(choice, 0, (size_t)C);
        for (int w = 1; w < places; w++) {
            const float *at = x + place(p, i, w);
#pragma omp simd
            for (int c = 0; c < C; c++) {
                choice[c] = at[c] > y[c] ? (uint8_t)w : choice[c];
                y[c] = at[c] > y[c] ? at[c] : y[c];
            }
        }
    }
}

EACH_CPU void max_pool_backward(const struct max_pool *p, const float *d_y, const uint8_t *choice, float *d_x)
{
    int C = p->channels, n = windows(p), places = p->size * p->size;

    for (int i = 0; i < n; i++, d_y += C, choice += C) {
        for (int w = 0; w < places; w++) {
            float *at = d_x + place(p, i, w);
#pragma omp simd
            for (int c = 0; c < C; c++)
                at[c] += choice[c] == w ? d_y[c] : 0.0F;
        }
    }
}
