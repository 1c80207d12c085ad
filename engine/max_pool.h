/* The largest of each size x size positions, in steps of size; what is left at the end is left out. One
 * sample, channels last. */
#ifndef ENGINE_MAX_POOL_H
#define ENGINE_MAX_POOL_H
#include <stdint.h>

enum { MAX_WINDOW = 15, NONE_OF_WINDOW = 255 }; /* a place of a window, row by row, is a byte */

struct max_pool {
    int height, width, channels; /* of the input: H, W, C */
    int size;                    /* 1 to MAX_WINDOW */
};

/* y (H / size, W / size, C) of x (H, W, C); choice: of y's shape, which place of its window, the first of
 * equals. */
void max_pool_forward(const struct max_pool *p, const float *x, float *y, uint8_t *choice);
/* d_x += d_y at the places of choice; none where that is NONE_OF_WINDOW. */
void max_pool_backward(const struct max_pool *p, const float *d_y, const uint8_t *choice, float *d_x);

#endif
