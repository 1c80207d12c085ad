/* A training step without a corpus: a batch of random tokens, and an optimiser's update. */
#ifndef BENCH_SHARED_MADE_UP_H
#define BENCH_SHARED_MADE_UP_H
#include "base/error.h"
#include "engine/model.h"

/* Whole sequences of `context` tokens. */
int made_up_batch(struct batch *b, int tokens, int context, int vocabulary, struct error *err);
void made_up_release(struct batch *b);

/* One update from the model's gradients; first, second: the moments, (n_weights) each. */
void made_up_update(struct model *m, float *first, float *second);

#endif
