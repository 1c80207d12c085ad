/* Synthetic training steps for the benches: decisions of routers that prefer some experts for some domains,
 * with the losses, loads and metrics that training logs beside them, in the shape asked for. A few steps are
 * drawn beforehand and taken in turn, so that what is timed is the logbook alone. Everything reconciles: the
 * logbook passes `moescope check`. Letters: T tokens a step, N experts, D domains. */
#ifndef BENCH_SHARED_SYNTHETIC_H
#define BENCH_SHARED_SYNTHETIC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sql/logbook.h"

/* The T / context sequences of a step come from as many documents, one lane each; lane q is of domain
 * q % domains. A lane has `groups` documents, one after the other: first those of the probe, as many for
 * validation, the rest for training. */
struct synthetic_shape {
    int layers, experts;
    int k;             /* decisions a token */
    bool varying;      /* a token has 1 to k decisions */
    int tokens;        /* T: a multiple of the context */
    int context;       /* tokens of a sequence */
    int domains;       /* at most 8 */
    int vocabulary;    /* at most 65536 */
    int groups;        /* documents in a lane */
    int probe_groups;  /* of them, for the probe, and again for validation */
    int document_size; /* sequences in a document */
};

struct synthetic_layer { /* one layer's part of a step that was drawn */
    int32_t *offsets;    /* (T + 1) */
    int32_t *expert;     /* (n_decisions) */
    float *gate;         /* (n_decisions) */
    float *probability;  /* (T, N); NULL unless asked for */
    /* (D + 1, N), row 0: all domains */
    int64_t *assignments;
    double *gate_sum, *probability_sum;
    double *rank_mass; /* (N) mean over tokens of what the n + 1 likeliest experts hold */
    double entropy;    /* mean over tokens, nats */
};

struct synthetic {
    struct synthetic_shape shape;
    int n_lanes, n_documents;
    int n_steps;                    /* that were drawn */
    size_t n_drawn;                 /* n_steps * layers */
    struct synthetic_layer *layers; /* (n_steps, layers) */
    float *loss;                    /* (n_steps, T) */
    int32_t *ids;                   /* (n_documents, document_size * context + 1) */
    int64_t shift; /* added to a step when the drawn one is looked for, so that runs differ; 0 at first */
    int64_t corpus_id, vocabulary_id;
    int64_t *document_ids, *domain_ids; /* (n_documents) each */
};

/* The k likeliest of n_experts, likeliest first, with their probabilities. expert, gate: (k) */
void take_largest(const float *p, int n_experts, int k, int32_t *expert, float *gate);

/* Draws n_steps steps; with probabilities: whole vectors are kept, for passes of the probe. */
int synthetic_init(struct synthetic *s, const struct synthetic_shape *shape, int n_steps, bool probabilities,
                   struct error *err);
void synthetic_release(struct synthetic *s); /* safe on a zeroed one */

/* How many training steps see every sample once. */
int64_t synthetic_epoch(const struct synthetic *s);
/* Of one training step, in all layers. */
int64_t synthetic_decisions(const struct synthetic *s, int64_t step);
/* The drawn layer that a training step takes, and where a lane's tokens are in it. */
const struct synthetic_layer *synthetic_layer(const struct synthetic *s, int64_t step, int layer);

int synthetic_add_corpus(struct synthetic *s, struct logbook *lb, struct error *err);
int synthetic_begin_run(const struct synthetic *s, struct logbook *lb, const char *name, int64_t seed,
                        int64_t *run_id, struct error *err);
/* What training adds at a step: the sequences with their decisions, the loads of each layer, the documents'
 * losses, the usual metrics. */
void synthetic_add_step(const struct synthetic *s, struct moescope_batch *b, int64_t step);
/* A pass over the start of every document of split valid or probe, loads by domain with it; of the probe, the
 * probability vectors too. */
void synthetic_add_pass(const struct synthetic *s, struct moescope_batch *b, int64_t step, const char *split);

#endif
