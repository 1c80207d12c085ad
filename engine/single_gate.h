/* Single-gated MoE (Royer et al. 2023, arXiv 2304.05497): a base network, trained before and frozen; one
 * linear gate on its embedding, trained to name the sample's cluster there (k-means) and frozen; K experts
 * that take an intermediate feature map of the base, begin as its own last stages, and are trained each by
 * itself on samples drawn from the gate's distribution. What is said is base + expert, the sum of their
 * scores (the ensembler); with gate.ensembler = none the expert's scores, and each is trained for that.
 *
 * The base is a convolution (engine/classifier.h) whose checkpoint is gate.base; experts replace its stages
 * from gate.stage on. Letters: K experts, B images a batch, E width of the embedding. */
#ifndef ENGINE_SINGLE_GATE_H
#define ENGINE_SINGLE_GATE_H
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/random.h"
#include "engine/classifier.h"
#include "engine/config.h"
#include "engine/corpus.h"
#include "engine/data.h"
#include "engine/network.h"
#include "engine/pass.h"

struct single_gate {
    struct classifier base;
    struct config base_config;
    int feature, embedding; /* nodes of the base: what experts take, what the gate does */
    int K, n_classes;
    struct network gate;           /* (E) to (K) */
    struct network experts;        /* all of them */
    struct branch *expert;         /* (K) over the feature map */
    double base_cost, expert_cost; /* multiply-adds of an image; the gate's are the base's */
    double *cumulative; /* (K, n) of train sample i: the chance of all up to it in expert k's draws */
    int n;
    bool ensembled;
    int32_t *expert_of_class; /* (classes) where most train images of the class go */
    double gate_agreement;    /* share of train images whose likeliest expert is their cluster */
    double distortion;        /* of the clusters, as a share of the embedding's variance */
    /* of the last forward pass */
    float *probability; /* (B, K) the gate's */
    float *score;       /* (B, classes) the base's */
    int32_t *chosen;    /* (B) the likeliest expert; while it learns, the one that learns */
    float *said;        /* (B, classes) */
    int32_t *leaves;    /* (B) whether the base alone has spoken */
    int *row, *load;    /* engine/branches.h */
    struct routing routing;
    struct routed_layer layer;
    float *loss;
    struct outcome *outcome;
    struct arena memory;
};

/* Loads the base, clusters the train samples, trains the gate, makes the experts. */
int single_gate_init(struct single_gate *g, const struct config *config, const struct corpus *corpus,
                     const struct samples *train, struct pool *pool, uint64_t seed, struct error *err);
void single_gate_release(struct single_gate *g); /* safe on zeroed */

/* Expert k's part of an update: a batch of its own, its gradient * scale added. The mean loss of what is
 * said.
 */
double single_gate_learn(struct single_gate *g, const struct corpus *corpus, const struct samples *train,
                         int k, struct random *r, float scale);

/* The base's scores and the gate's probabilities of the batch in g->base. */
void single_gate_look(struct single_gate *g, const struct corpus *corpus);
/* Of the batch that single_gate_look saw: what is said, each image running its likeliest expert alone; of
 * those of which the base is as sure as `confidence` (above 1: none), the base's scores, and no expert runs.
 */
void single_gate_say(struct single_gate *g, float confidence);
/* Of the same batch: scores of every expert (B, K, classes), and what is said by the likeliest. */
void single_gate_all(struct single_gate *g, float *expert);
/* Its decisions, one token an image, and what was said. */
struct pass single_gate_pass(struct single_gate *g);

/* The probability of the likeliest of n classes. */
float single_gate_confidence(const float *score, int n);

#endif
