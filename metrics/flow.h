/* From one MoE layer to the next: where do the tokens of an expert go? Every choice of a token in the one
 * layer is paired with every one in the other, whatever their ranks. */
#ifndef METRICS_FLOW_H
#define METRICS_FLOW_H
#include "metrics/specialization.h"

struct flow {
    int n_from, n_to; /* experts of either layer */
    double n_tokens;  /* that have a choice in both */
    double *count;    /* (n_from, n_to) N_ij: tokens with expert i in the one and j in the other */
    double *from;     /* (n_from) N_i: of those tokens */
    double *to;       /* (n_to) N_j */
};
int flow_init(struct flow *f, int n_from, int n_to, struct error *err);
void flow_release(struct flow *f); /* safe on zeroed and released */
/* The same tokens in both lists; -1 with STATUS_INPUT when their numbers differ. */
int flow_add(struct flow *f, const struct slots *from, const struct slots *to, struct error *err);

/* What layers that ignore each other show: N_i N_j / T tokens. N_ij over it is the lift (NaN where either
 * expert is unused); N_ij / N_i is the share of i's tokens that j has next, k/N by chance when loads are
 * even. Unlike within a layer, nothing forbids a token any pair, so that the product of the loads is the
 * chance. */
double flow_expected(const struct flow *f, int from, int to);
/* (1/2) sum |N_ij - E_ij| / sum N_ij: the share of paths that would have to change; 0: independent. NaN
 * without tokens. Trap: both layers see the same token, so that layers of hash routers depart as well. */
double flow_departure(const struct flow *f);

#endif
