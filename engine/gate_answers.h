/* What the parts of a single gate (engine/single_gate.h) say of images, counted side by side: base, expert,
 * both; by whom an image is sent to its expert; where it may leave. Letters: K experts, C classes. */
#ifndef ENGINE_GATE_ANSWERS_H
#define ENGINE_GATE_ANSWERS_H
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "engine/single_gate.h"

/* The two published rules (Royer et al. 2023): alpha, experts whose gate times what the base leaves open
 * reaches the threshold are run, none of them: exit; and confidence, exit where the base's best probability
 * reaches it, otherwise the likeliest expert is run. */
enum exit_rule { EXIT_ALPHA, EXIT_CONFIDENCE, N_EXIT_RULES };
extern const char *const exit_rule_names[N_EXIT_RULES];
enum { N_THRESHOLDS = 25 };
extern const int exit_hundredths[N_THRESHOLDS]; /* thresholds, rising */

/* An image goes to the likeliest expert by its own gate; to that of the class the base names, where most
 * train images of the class went; to that of its true class. */
enum granularity { BY_SAMPLE, BY_CLASS, BY_TRUE_CLASS, N_GRANULARITIES };
extern const char *const granularity_names[N_GRANULARITIES];

struct expert_answers {           /* of the images that the gate sends it */
    int64_t n, with, alone, base; /* right: base + expert, the expert, the base */
};

struct gate_answers {
    int64_t n, base, said, two;
    int64_t with[N_GRANULARITIES], alone[N_GRANULARITIES]; /* base + expert; the expert */
    int64_t right[N_EXIT_RULES][N_THRESHOLDS];
    int64_t runs[N_EXIT_RULES][N_THRESHOLDS]; /* experts that were run */
    struct expert_answers *expert;            /* (K) */
    float *scores;                            /* (B, K, C) of the batch's experts */
    struct arena memory;
};

int gate_answers_init(struct gate_answers *a, const struct single_gate *g, struct error *err);
void gate_answers_release(struct gate_answers *a); /* safe on zeroed */
/* The batch that single_gate_look saw: runs all its experts, so that single_gate_pass may follow. */
void gate_answers_add(struct gate_answers *a, struct single_gate *g);

/* The cheapest threshold of a rule that is right at most `share` of the images less often than the likeliest
 * expert for all; an index, -1: there is none. */
int gate_answers_cheapest(const struct gate_answers *a, enum exit_rule rule, double share);

/* Each figure, a share of the images unless it is of a cost, under the name that docs/metrics.md explains. */
typedef int gate_figure(void *context, const char *name, double value, struct error *err);
int gate_answers_tell(const struct gate_answers *a, const struct single_gate *g, gate_figure *tell,
                      void *context, struct error *err);

#endif
