/* A training step without a corpus: a batch of random tokens, and an optimiser's update. */
#ifndef BENCH_SHARED_MADE_UP_H
#define BENCH_SHARED_MADE_UP_H
#include "base/error.h"
#include "engine/model.h"
#include "engine/optimiser.h"

/* Whole sequences of `context` tokens. */
int made_up_batch(struct batch *b, int tokens, int context, int vocabulary, struct error *err);
void made_up_release(struct batch *b);

/* With the moments of that model; to be released by optimiser_release. */
int made_up_optimiser(struct optimiser *o, const struct model *m, struct error *err);
/* One update from the model's gradients. */
void made_up_update(struct model *m, struct optimiser *o);

#endif
