/* Simulated logbooks in which nothing, or a planted effect, is to be found, for the calibration of the tests
 * that the analyses make. A document is a cluster: all its tokens share preferences for experts, and a
 * difference between the two runs, that are its own and heavy-tailed (Student's t of 3 degrees of freedom);
 * documents differ in length. Without an effect domains are alike, layers are alike and the runs are as good
 * as each other: all that differs is documents. Letters: T tokens, D documents, L layers, N experts. */
#ifndef BENCH_SHARED_SIMULATED_H
#define BENCH_SHARED_SIMULATED_H
#include <stdint.h>

#include "base/error.h"

struct simulated_shape {
    int domains, documents; /* documents: of each domain */
    int layers, experts, k;
    int vocabulary;
    double tokens, spread; /* of a document: median, and standard deviation of the logarithm */
    int shortest, longest; /* tokens */
};
struct simulated_shape simulated_shape_defaults(void);

/* By how much, in units of the scale of the documents' own effects; 0: no effect. */
struct simulated_effect {
    double routing; /* the logit of one expert, another for each domain, in all layers */
    double loss;    /* of the second run */
    double spread;  /* the first layer's logits: documents' and tokens' alike are so much larger */
};

/* What was drawn, in order of documents and of their tokens; the logbook has it in its own precision. */
struct simulated {
    struct simulated_shape shape;
    int n_documents, n_tokens;
    int *domain, *length; /* (D) */
    int32_t *ids;         /* (T + D) a document's inputs and its last target */
    float *probability;   /* (L, T, N) */
    int32_t *expert;      /* (L, T, k) */
    float *gate;          /* (L, T, k) */
    double *difference;   /* (T) loss of the second run less that of the first, nats */
    double *loss;         /* (T) of the first */
};

/* The two runs of the logbook. */
#define SIMULATED_RUN   "first"
#define SIMULATED_OTHER "second"

/* Another `number` is another logbook. */
int simulated_draw(struct simulated *s, const struct simulated_shape *shape,
                   const struct simulated_effect *effect, uint64_t number, struct error *err);
void simulated_release(struct simulated *s); /* safe on zeroed and released */

/* Writes it through the logbook's writer into a new file: the probe of the first run at step 0, with
 * decisions and probabilities, and both runs' losses by document, in split `probe`. */
int simulated_write(const struct simulated *s, const char *path, struct error *err);

#endif
