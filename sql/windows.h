/* The window of training steps that is being stored: sums of its loads, kept as the steps come, so that they
 * need not be read again when it ends. Private to sql/. */
#ifndef SQL_WINDOWS_H
#define SQL_WINDOWS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One expert's load in a step, or in all steps of a window. */
struct load_numbers {
    int64_t assignments, dropped;
    double gate_sum, probability_sum; /* NaN: not finite in one of them */
};

struct window_layer {
    int layer, n_experts;
    int n_steps;               /* that were added; 0: the layer is no part of the window */
    struct load_numbers *sums; /* (n_experts) */
};

/* Zeroed before first use. */
struct window {
    int64_t first;      /* step */
    bool whole;         /* every step of it that is stored is in the sums; else the rows must be asked */
    bool begun, closed; /* closed: it has been stored, and nothing was added since */
    int64_t last;       /* step that was added; -1 */
    struct window_layer *layers;
    int n_layers;
};

/* Adds a layer's load in a training step, of all domains together. numbers: (n_experts) struct load_numbers,
 * aligned or not. Memory that is short makes the sums less than whole. */
void window_add(struct window *w, int64_t step, int layer, int n_experts, const void *numbers);
/* Whether a load of that step would begin another window, before the one at hand was stored: steps need not
 * follow each other in what is imported. */
bool window_left(const struct window *w, int64_t step);
/* What was added may not have been stored after all. */
void window_forget(struct window *w);
void window_release(struct window *w);

#endif
