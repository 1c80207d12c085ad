/* Baselines for language models' losses: what counting words and pairs of words would give on the same
 * tokens. A model that does not beat the bigram has not learned to read yet.
 *
 *   unigram     P(w) = (c(w) + 1) / (T + V)                          Laplace; every id has a chance
 *   bigram      P(w | u) = max(c(uw) - D, 0) / c(u) + D N(u.) / c(u) * P_lower(w)
 *
 * where N(u.) is how many different ids follow u and D = n1 / (n1 + 2 n2) from the numbers of pairs seen once
 * and twice (Ney, Essen and Kneser 1994), kept within [0.05, 0.95] so that tiny or odd corpora give finite
 * losses too. P_lower is the unigram (interpolated absolute discounting) or the share of different left
 * neighbours, (N(.w) + 1) / (N(..) + V) (interpolated Kneser-Ney: Kneser and Ney 1995; Chen and Goodman 1999,
 * eq. 15). After an unseen u, P_lower alone. Losses are in nats and always finite. */
#ifndef METRICS_BASELINE_H
#define METRICS_BASELINE_H
#include <stdint.h>

#include "base/error.h"

enum baseline_order { BASELINE_UNIGRAM, BASELINE_BIGRAM, BASELINE_KNESER_NEY, N_BASELINES };
extern const char *const baseline_names[N_BASELINES]; /* unigram, bigram, kneser_ney */

struct baseline {
    int n_vocabulary;
    double discount;                            /* D, after baseline_finish */
    int64_t n_tokens, n_pairs, n_once, n_twice; /* T, different pairs N(..), n1, n2 */
    int64_t *count;                             /* (n_vocabulary) c(w) as a target */
    int64_t *left;                              /* (n_vocabulary) N(.w) */
    int64_t *context;                           /* (n_vocabulary) c(u) as a context */
    int64_t *right;                             /* (n_vocabulary) N(u.) */
    struct baseline_pair *table;                /* open addressing, capacity a power of two */
    int64_t capacity;
};
struct baseline_pair {
    int32_t context, target;
    int64_t count; /* 0: a free place */
};

int baseline_init(struct baseline *b, int n_vocabulary, struct error *err);
void baseline_release(struct baseline *b); /* safe on zeroed and released */
/* Learns one document: ids[0] is context only (BOS), ids[1 .. n_ids - 1] are predicted, as in training.
 * Fewer than two ids: nothing. An id outside the vocabulary: STATUS_INPUT. */
int baseline_add(struct baseline *b, const int32_t *ids, int64_t n_ids, struct error *err);
/* Fixes the discount; call after the last document and before any loss. */
void baseline_finish(struct baseline *b);

/* -ln P(target | context), nats. Ids must lie in the vocabulary (assert). */
double baseline_loss(const struct baseline *b, enum baseline_order order, int32_t context, int32_t target);
/* The same summed over ids[1 .. n_ids - 1]: comparable to document_loss.loss_sum over the same predictions.
 */
double baseline_loss_sum(const struct baseline *b, enum baseline_order order, const int32_t *ids,
                         int64_t n_ids);

#endif
