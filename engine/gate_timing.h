/* How long a single gate (engine/single_gate.h) takes: the base alone, with the likeliest expert, and with
 * exits, on the same batches in turn, so that the machine's mood falls on all three. */
#ifndef ENGINE_GATE_TIMING_H
#define ENGINE_GATE_TIMING_H
#include "engine/single_gate.h"

struct gate_timing { /* seconds of an image */
    double base, expert, exits;
};

/* Of the first n_images samples, batch at a time, on one thread; a batch's time is the least of five.
 * confidence: from which on an image leaves. */
int gate_timing_measure(struct single_gate *g, const struct corpus *corpus, const struct samples *samples,
                        int n_images, int batch, float confidence, struct gate_timing *to, struct error *err);

#endif
