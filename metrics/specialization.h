/* Specialisation, co-activation, repetition and agreement: what a layer's decisions show beyond how many
 * went where. Each rate comes with the rate that the loads alone give by chance; report the difference, or
 * (observed - chance) / (1 - chance), never the bare rate.
 *
 * Decisions come as slot lists, the form they have in a logbook block: for token t the experts
 * expert[offset[t]] .. expert[offset[t + 1] - 1], first choice first, no expert twice in a token. Whatever
 * adds up over sequences is a struct to which sequences are added; figures per document: one struct each. */
#ifndef METRICS_SPECIALIZATION_H
#define METRICS_SPECIALIZATION_H
#include <stdint.h>

#include "base/error.h"
#include "metrics/information.h"

struct slots {
    int n_tokens;
    const int32_t *offset; /* (n_tokens + 1), offset[0] = 0, but in a part of a longer list */
    const int32_t *expert; /* (offset[n_tokens]) 0 .. n_experts - 1 */
};

/* ---- experts against domains ---- */

/* share[d][e] = N_ed / N_d, the share of domain d's tokens that have e among their k choices (OLMoE,
 * Muennighoff et al. 2024, eq. 7; a balanced router without preferences gives k/N; a row sums to k), and
 * lift[d][e] = share[d][e] over the same share among all domains' tokens (1: no preference; independent of
 * the expert's load). assignments: (n_domains, n_experts); tokens: (n_domains); share, lift: (n_domains,
 * n_experts), either may be NULL. NaN for a domain without tokens and, in lift, for an expert without any.
 * Trap: lift is against the pooled tokens, so a domain that is most of the text cannot be far from 1. */
void domain_specialization(const double *assignments, const double *tokens, int n_domains, int n_experts,
                           double *share, double *lift);

/* ---- experts against token ids ---- */

struct vocabulary_specialization {
    double official; /* mean over ids of the largest expert's share: what OLMoE's script prints. Its ids count
                        alike and an id seen once scores 1, so that rare ids push it up */
    double held_out; /* corrected: each id's favourite expert is chosen on half of the documents and its share
                        measured on the other half, both ways, every occurrence weighted alike */
    double chance;   /* the same with the layer's busiest expert as everybody's favourite */
    double n_ids, n_held_out_ids; /* ids at all; ids that took part in held_out */
    double n_held_out;            /* occurrences that held_out averages over */
};
/* held_out's sums by document, for ratio_interval: (n_documents) each. */
struct vocabulary_documents {
    double *favourite, *occurrences;
};
/* cells: merged, of first choices (slot 0) as the official script has it, with k_choices 1; or of all k
 * choices with k_choices k, when shares are of occurrences that have the expert among their k (OLMoE
 * section 5.4). Only ids with at least min_count occurrences in the half that chooses take part in held_out
 * (10 is OLMoE's bar for its tables). Documents are halved by `r`. NaN where nothing took part. by_document
 * may be NULL. */
int vocabulary_specialization(const struct token_cell *cells, int64_t n_cells, int n_documents, int n_experts,
                              double k_choices, double min_count, struct random *r,
                              struct vocabulary_specialization *v, struct vocabulary_documents *by_document,
                              struct error *err);

/* ---- experts against each other ---- */

struct coactivation {
    int n_experts;
    double n_tokens;
    double *pairs; /* (n_experts, n_experts) N_ij: tokens that have both; all pairs, whatever their ranks;
                      N_ii = N_i, tokens that have i */
};
int coactivation_init(struct coactivation *c, int n_experts, struct error *err);
void coactivation_release(struct coactivation *c); /* safe on zeroed and released */
void coactivation_add(struct coactivation *c, const struct slots *s);
/* given[i][j] = N_ij / N_i, in general not given[j][i] (OLMoE section 5.2). Diagonal 1; NaN for an
 * unused i. given: (n_experts, n_experts). */
void coactivation_given(const struct coactivation *c, double *given);
/* expected[i][j]: the pairs that experts of these loads form when they ignore each other, E_ij = a_i a_j for
 * i != j with the same margins sum_{j != i} N_ij (quasi-independence: Goodman 1968), fitted by iteration.
 * Diagonal N_ii. N_ij / expected is the lift.
 * Exact for two experts a token; for more the margins hold and the shape is close (a random router's, when
 * the loads are even). Experts that are in no pair expect none. Trap: N_i N_j / T is not that chance: a token
 * never takes the same expert twice, so that even a random router stays below it by the factor (k - 1) N / (k
 * (N - 1)), about a half for top-2. */
int coactivation_expected(const struct coactivation *c, double *expected, struct error *err);
/* Departure from it in one number: (1/2) sum_{i != j} |N_ij - E_ij| / sum_{i != j} N_ij, the share of pairs
 * that would have to change; 0: independent. NaN without pairs. */
double coactivation_departure(const struct coactivation *c, const double *expected);

/* ---- repetition along the text ---- */

struct repetition { /* of one lag */
    int n_experts, lag;
    double n_tokens;      /* with a choice */
    double n_pairs;       /* tokens t and t + lag of one sequence, both with a choice */
    double same_first;    /* pairs with the same first choice */
    double shared, sizes; /* sums over pairs of |A and B| and of |A| + |B| */
    double within_first; /* sums over pairs of what two different tokens of their sequence give on average: */
    double within_shared; /* the same first choice, |A and B| */
    double *first;        /* (n_experts) first choices */
    double *members;      /* (n_experts) tokens that have the expert in any slot */
    double *scratch;      /* (2, n_experts) */
};
struct repetition_rates {
    double n_pairs;
    /* of pairs with the same first choice: Mixtral (Jiang et al. 2024) */
    double first, first_chance, first_within;
    /* 2 sum |A and B| / sum (|A| + |B|); |A and B| / k when k is constant */
    double overlap, overlap_chance, overlap_within;
};
int repetition_init(struct repetition *p, int n_experts, int lag, struct error *err);
void repetition_release(struct repetition *p);
void repetition_add(struct repetition *p, const struct slots *sequence);
/* chance: two tokens drawn from all that were added; within: two different tokens of the same sequence.
 * first - within is what neighbourhood adds to the sequence's topic. NaN without pairs. */
void repetition_rates(const struct repetition *p, struct repetition_rates *rates);

/* ---- two routers, or one at two steps, on the same tokens ---- */

struct agreement {
    int n_experts;
    double n_tokens;    /* compared */
    double same_first;  /* same first choice */
    double shared;      /* sum |A and B| */
    double sizes[2];    /* sum |A|, sum |B| */
    double *first[2];   /* (n_experts) first choices of A, of B */
    double *members[2]; /* (n_experts) tokens that have the expert */
};
struct agreement_rates {
    double n_tokens;
    double overlap; /* 2 sum |A and B| / (sum |A| + sum |B|); |A and B| / k for constant k: OLMoE section 5.1,
                       router saturation when B is the final router */
    double overlap_chance; /* the same when B's tokens are shuffled: 2 sum_e a_e b_e / (T (|A| + |B|)) */
    double overlap_above;  /* (overlap - chance) / (1 - chance) */
    double first, first_chance, first_above; /* of first choices; 1 - first is the flip rate */
};
int agreement_init(struct agreement *a, int n_experts, struct error *err);
void agreement_release(struct agreement *a);
/* Both lists are of the same tokens in the same order; a token without a choice in either is left out.
 * -1 with STATUS_INPUT when their numbers of tokens differ. */
int agreement_add(struct agreement *a, const struct slots *left, const struct slots *right,
                  struct error *err);
/* NaN without tokens; *_above is NaN when chance is 1 (one expert, or all in one). */
void agreement_rates(const struct agreement *a, struct agreement_rates *rates);

/* For each token the last evaluation whose first choice differs from the final evaluation's, -1 when none
 * does (StableMoE, Dai et al. 2022, section 1: "last fluctuation"). expert: (n_evaluations, n_tokens), a
 * row an evaluation; last: (n_tokens). One evaluation, or none, gives -1. */
void fluctuation_last(const int32_t *expert, int n_evaluations, int64_t n_tokens, int32_t *last);
/* after[i] = share of tokens that still differ from the final choice at evaluation i or later; after:
 * (n_evaluations), not increasing, its last entry 0. NaN without tokens. */
void fluctuation_after(const int32_t *last, int n_evaluations, int64_t n_tokens, double *after);
/* The same where tokens keep their final choice and every earlier evaluation deals its choices anew, each by
 * itself: chance[i] = 1 - sum_e f_e prod_j s_je over evaluations j = i to the last but one, with f the final
 * shares of the experts and s_j those of evaluation j. first: (n_evaluations, n_experts) first choices, of
 * the same tokens in every row, n_evaluations > 0; chance: (n_evaluations). NaN without tokens. */
void fluctuation_chance(const double *first, int n_evaluations, int n_experts, double *chance);

#endif
