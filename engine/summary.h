/* What a run's model is, in the words of the logbook. */
#ifndef ENGINE_SUMMARY_H
#define ENGINE_SUMMARY_H
#include <stdint.h>

#include "engine/model.h"

struct routed_summary { /* of one block with experts */
    int layer;
    const char *router;
    int n_experts, k; /* k 0: varies by token */
    int64_t expert_parameters;
    const int64_t *each; /* (n_experts) where they differ, of the model; NULL: all have expert_parameters */
    int n_shared;        /* experts that every token takes */
    int64_t shared_parameters;
};

struct summary {
    const char *task, *router;
    double parameters;
    double active_parameters, flops_per_token; /* NaN where tokens differ in what they pass */
    int context, vocabulary;                   /* longest sequence; items */
    double tokens_per_step;                    /* at most, of an update */
    int n_layers;
    struct routed_summary layers[MAX_LAYERS];
};

void summarise_model(const struct model_config *m, double parameters, struct summary *s);

#endif
