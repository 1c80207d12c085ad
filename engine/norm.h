/* The regression of Chung et al. 2024, appendix C: the Euclidean norm of a vector of normal numbers, which
 * one expert of Soft MoE cannot learn to say and several can (their theorem 1). model.kind says by what:
 *
 * - norm_soft_moe: norm.dimensions numbers as tokens of norm.token, in order; one Soft MoE layer of
 *   router.experts experts of router.hidden units; the sum of all its outputs.
 *
 * - norm_mlp: network.hidden units over all numbers, and one output.
 *
 * There is nothing to read: every update has train.batch new vectors, and the valid and probe vectors are the
 * same in every run. The loss is the squared error of a vector, in places where other tasks have nats. */
#ifndef ENGINE_NORM_H
#define ENGINE_NORM_H
#include <stdint.h>

#include "base/error.h"
#include "engine/config.h"
#include "engine/corpus.h"
#include "engine/data.h"
#include "engine/pass.h"
#include "engine/soft_network.h"

enum { NORM_VALID = 2000, NORM_PROBE = 200 };
extern const char *const norm_kinds[]; /* ended by NULL */

struct norm_model {
    struct soft_network net;
    int dimensions;
    double deviation;             /* of a number */
    int n_vectors;                /* of the batch; B */
    float *target;                /* (B) */
    float *error;                 /* (B) squared */
    int32_t *start, *ids;         /* (B + 1), (B tokens) */
    float *loss;                  /* (B tokens) */
    const struct sample **sample; /* (B) */
    struct arena memory;
};

/* Documents that stand for the vectors: one for all that are trained on, one for each that is held out. */
int norm_corpus(struct corpus *c, const struct config *config, struct error *err);

int norm_init(struct norm_model *m, const struct config *config, struct pool *pool, uint64_t seed,
              struct error *err);
void norm_release(struct norm_model *m); /* safe on zeroed */

/* n vectors, at most train.batch, each from a stream of random numbers of its own: `stream` and on. They
 * stand for these samples, or all of them for samples[0]. */
void norm_fill(struct norm_model *m, const struct sample *samples, int n, bool all, uint64_t seed,
               uint64_t stream);
/* The mean squared error of the batch; with train, its gradient * scale is added. */
double norm_forward(struct norm_model *m, bool train, float scale);
struct pass norm_pass(struct norm_model *m);

#endif
