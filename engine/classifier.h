/* Classifiers of images, over the operations of engine/network.h. model.kind says which:
 *
 * - mlp: network.hidden units over all pixels.
 *
 * - convolution: a 3 x 3 convolution with a ReLU for each number in network.filters, each followed by a max
 *   pool of 2 x 2; network.hidden units. With network.residual there are two more behind each, added to it.
 *
 * - soft_moe: patches of network.patch x network.patch pixels as tokens; one Soft MoE layer of router.experts
 *   experts, soft.slots slots and router.hidden units each; a linear head over all its outputs (Chung et al.
 *   2024, section 5). With soft.residual the tokens are added to its outputs.
 *
 * - joint_gate: a convolution whose stages from gate.stage on are router.experts experts, chosen by a gate
 *   that is trained with them and with the stages before (engine/gated.h). Each expert has hidden units and a
 *   head of its own. With gate.per_stage every stage has a gate and experts of its own.
 *
 * An image's tokens are its patches; where nothing is routed it is one token. Every token of an image has the
 * image's loss, so that means over tokens are means over images. Letter: B images a batch. */
#ifndef ENGINE_CLASSIFIER_H
#define ENGINE_CLASSIFIER_H
#include <stdint.h>

#include "base/error.h"
#include "engine/config.h"
#include "engine/corpus.h"
#include "engine/data.h"
#include "engine/gated.h"
#include "engine/pass.h"
#include "engine/soft_network.h"

extern const char *const classifier_kinds[]; /* ended by NULL */

struct classifier {
    struct soft_network net;
    struct gated gated;                /* n_blocks 0: net is one without gates */
    const struct routed_layer *layers; /* (n_layers) */
    int n_layers;
    struct pixel_scale scale; /* of the train images */
    /* the batch */
    int n_images;
    int *index;                   /* (B) images of the corpus */
    int32_t *label;               /* (B) */
    int32_t *prediction;          /* (B) */
    float *image_loss;            /* (B) nats */
    int32_t *start;               /* (B + 1) */
    int32_t *input, *target;      /* (B tokens) */
    float *loss;                  /* (B tokens) */
    const struct sample **sample; /* (B) */
    struct outcome *outcome;      /* (B) */
    struct arena memory;
};

int classifier_init(struct classifier *c, const struct config *config, const struct corpus *corpus,
                    struct pool *pool, uint64_t seed, struct error *err);
void classifier_release(struct classifier *c); /* safe on zeroed */

/* gate.base: the convolution of that checkpoint, for batches as config has them. own: its configuration. Both
 * are to be released, whatever comes of it. */
int classifier_load_base(struct classifier *c, struct config *own, const struct config *config,
                         const struct corpus *corpus, struct pool *pool, struct error *err);
/* A joint gate's stages begin as those of gate.base, each expert's alike. */
int classifier_begin_at_base(struct classifier *c, const struct config *config, const struct corpus *corpus,
                             struct error *err);

/* The stages of a convolution from first_stage on, with hidden units and head, behind a node of any network;
 * prefix goes before the names of its weights. Returns the head. */
int classifier_describe_tail(struct network *n, const struct config *config, const char *prefix, int from,
                             int first_stage, int n_classes);
/* The node that a stage of a convolution ends with; -1: there are not so many. */
int classifier_stage_end(const struct classifier *c, int stage);

/* Puts a sample at the end of the batch; false: it is full. clear begins a new one. */
void classifier_clear(struct classifier *c);
bool classifier_add(struct classifier *c, const struct corpus *corpus, const struct sample *s);
/* Losses and predictions of the batch; with train, gradients of the mean loss * scale are added. */
struct losses classifier_forward(struct classifier *c, const struct corpus *corpus, bool train, float scale);
int classifier_right(const struct classifier *c); /* predictions that are the label */
/* Fills the batch from samples in order, from *next on; false when none are left. */
bool classifier_in_order(struct classifier *c, const struct corpus *corpus, const struct samples *s,
                         int *next);

/* Scores of the last node that came about in another way (engine/soft_network.h) as predictions. */
void classifier_predict(struct classifier *c);
/* ordered: as for soft_network_route. */
struct pass classifier_pass(struct classifier *c, bool ordered);

#endif
