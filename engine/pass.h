/* What a forward pass has to tell, whatever model it was of: which samples it saw, where each of their tokens
 * went and at what loss. Pointers into model and batch: good until the next pass. Letter: T tokens. */
#ifndef ENGINE_PASS_H
#define ENGINE_PASS_H
#include <stdint.h>

#include "engine/routing.h"

struct sample {
    int document;
    int offset;   /* of its first input within the document's ids */
    int n_tokens; /* predictions */
};

struct outcome {            /* what a classifier said of a sample */
    int target, prediction; /* classes; target -1: it was no classification */
    int exit;               /* where it stopped; -1: it has one end */
    int64_t multiply_adds;
};

struct routed_layer {
    int layer; /* index of the block; dense ones are left out */
    const struct routing *routing;
};

struct pass {
    int n_sequences;
    const int32_t *start;               /* (n_sequences + 1) first token of each, then T */
    const struct sample *const *sample; /* (n_sequences) */
    const int32_t *input, *target;      /* (T) ids of the vocabulary */
    const float *loss;                  /* (T) nats */
    const struct outcome *outcome;      /* (n_sequences) NULL: no classifier */
    const struct routed_layer *layers;  /* (n_layers) */
    int n_layers;
};

#endif
