/* Sums over the passes of one step or one evaluation: expert loads by block and domain, losses by document,
 * entropy and concentration of the routers. Exact: counts are integers, sums are double. */
#ifndef ENGINE_TALLY_H
#define ENGINE_TALLY_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/corpus.h"
#include "engine/pass.h"

struct layer_tally {
    int layer, n_experts;
    /* (n_domains + 1, N): row 0 is all domains, row d + 1 domain d */
    int64_t *assignments, *dropped;
    double *gate_sum, *probability_sum; /* scores that are no softmax are made to sum to 1 first */
    int64_t n_scored;   /* tokens that are not without any score, which the two below are sums over */
    double entropy_sum; /* nats */
    double *rank_mass;  /* (N) only when concentration is asked for */
    double *scratch;    /* (N) */
};

struct tally {
    int n_layers, n_domains, n_documents;
    bool by_domain, concentration; /* what the current sums include */
    struct layer_tally *layers;    /* MoE blocks only */
    int64_t *document_tokens;      /* (n_documents) */
    int64_t *document_bytes;       /* (n_documents) that the predicted tokens stand for */
    double *document_loss;         /* (n_documents) nats */
    int64_t *domain_tokens;        /* (n_domains) */
    int64_t n_tokens, n_bytes;
    double loss;
};

/* layers may be NULL with n_layers 0: a model without experts. */
int tally_init(struct tally *t, const struct routed_layer *layers, int n_layers, int n_domains,
               int n_documents, struct error *err);
void tally_release(struct tally *t);
void tally_clear(struct tally *t, bool by_domain, bool concentration);
/* Adds a forward pass over samples of the corpus. */
void tally_add(struct tally *t, const struct corpus *c, const struct pass *p);
/* Decisions of all tokens, with those that a capacity refused or without. */
double tally_decisions(const struct layer_tally *l, bool with_dropped);
/* Adds a document's loss alone. */
void tally_add_document(struct tally *t, int document, int64_t n_tokens, int64_t n_bytes, double loss);

#endif
