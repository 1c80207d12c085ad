/* A training step without a corpus: a batch of random tokens, random images, and an optimiser's update. */
#ifndef BENCH_SHARED_MADE_UP_H
#define BENCH_SHARED_MADE_UP_H
#include "base/error.h"
#include "engine/corpus.h"
#include "engine/model.h"
#include "engine/optimiser.h"

/* Whole sequences of `context` tokens. */
int made_up_batch(struct batch *b, int tokens, int context, int vocabulary, struct error *err);
void made_up_release(struct batch *b);

/* n square images of `side` pixels, black and white, each in one of the classes; all to be trained on. */
int made_up_images(struct corpus *c, int n, int side, int classes, struct error *err);
void made_up_images_release(struct corpus *c);

/* With the moments of those parameters; to be released by optimiser_release. */
int made_up_optimiser(struct optimiser *o, const struct parameters *p, struct error *err);
/* One update from the model's gradients, after `updates` earlier ones. */
void made_up_update(struct model *m, struct optimiser *o, int64_t updates);

#endif
