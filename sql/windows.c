#include "sql/windows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sql/logbook.h"

void window_release(struct window *w)
{
    for (int i = 0; i < w->n_layers; i++) {
        free(w->layers[i].sums);
    }
    free(w->layers);
    memset(w, 0, sizeof *w);
}

void window_forget(struct window *w)
{
    w->whole = false;
}

static void begin(struct window *w, int64_t step)
{
    w->begun = true;
    w->closed = false;
    w->last = -1;
    w->first = step - step % LOGBOOK_WINDOW_STEPS;
    w->whole = step == w->first;
    for (int i = 0; i < w->n_layers; i++) {
        w->layers[i].n_steps = 0;
        memset(w->layers[i].sums, 0, (size_t)w->layers[i].n_experts * sizeof *w->layers[i].sums);
    }
}

bool window_left(const struct window *w, int64_t step)
{
    return w->begun && !w->closed && w->last >= 0 && step >= w->first + LOGBOOK_WINDOW_STEPS;
}

static struct window_layer *add_layer(struct window *w, int layer, int n_experts)
{
    struct window_layer *layers = realloc(w->layers, (size_t)(w->n_layers + 1) * sizeof *layers);
    if (layers == NULL) {
        return NULL;
    }
    w->layers = layers;
    struct load_numbers *sums = calloc((size_t)n_experts + 1, sizeof *sums);
    if (sums == NULL) {
        return NULL;
    }
    layers[w->n_layers] = (struct window_layer){.layer = layer, .n_experts = n_experts, .sums = sums};
    return &layers[w->n_layers++];
}

static struct window_layer *find_layer(struct window *w, int layer, int n_experts)
{
    for (int i = 0; i < w->n_layers; i++) {
        if (w->layers[i].layer == layer) {
            return w->layers[i].n_experts == n_experts ? &w->layers[i] : NULL;
        }
    }
    return add_layer(w, layer, n_experts);
}

static double sum(double a, double b)
{
    return isfinite(b) ? a + b : NAN;
}

void window_add(struct window *w, int64_t step, int layer, int n_experts, const void *numbers)
{
    if (!w->begun || step < w->first || step >= w->first + LOGBOOK_WINDOW_STEPS) {
        begin(w, step);
    }
    struct window_layer *l = find_layer(w, layer, n_experts);
    if (l == NULL) {
        w->whole = false;
        return;
    }
    l->n_steps++;
    w->closed = false;
    w->last = step > w->last ? step : w->last;
    for (int e = 0; e < n_experts; e++) {
        struct load_numbers x, *to = &l->sums[e];
        memcpy(&x, (const char *)numbers + (size_t)e * sizeof x, sizeof x);
        to->assignments += x.assignments;
        to->dropped += x.dropped;
        to->gate_sum = sum(to->gate_sum, x.gate_sum);
        to->probability_sum = sum(to->probability_sum, x.probability_sum);
    }
}
