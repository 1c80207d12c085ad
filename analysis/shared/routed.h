/* One layer's decisions at one step of the probe as one long row of tokens, document after document, with
 * what is known of each token beside it: the form that the metrics take. */
#ifndef ANALYSIS_SHARED_ROUTED_H
#define ANALYSIS_SHARED_ROUTED_H
#include <stdbool.h>

#include "analysis/shared/documents.h"
#include "analysis/shared/probe.h"

struct routed {
    int layer, n_experts, n_tokens;
    bool first_choices; /* every token has every expert (Soft MoE), so that only its first choice says
                           anything: what follows is of those alone */
    struct slots slots; /* of all tokens; empty where the pass has no such sample */
    int32_t *token, *next, *position; /* (n_tokens) ids of input and target, place in its sample */
    int32_t *first;                   /* (n_documents + 1) where each document's tokens begin */
    double *count;                    /* (n_documents, n_experts) decisions */
    double *tokens, *decisions;       /* (n_documents) tokens that have a decision; decisions */
    int32_t *memory;                  /* what slots points into */
};
int routed_init(struct routed *s, const struct documents *d, const struct probe_pass *pass, int layer,
                int n_experts, struct error *err);
void routed_release(struct routed *s); /* safe on zeroed and released */
/* A document's tokens, and n of them from `first` on: part of the row. */
struct slots routed_document(const struct routed *s, int document);
struct slots routed_part(const struct routed *s, int first, int n);

/* The same as a table of (token, document, expert), merged, caller frees; of all slots, or of first choices.
 * token: what to count by, one of s->token and s->next. */
int routed_cells(const struct routed *s, const struct documents *d, const int32_t *token, bool first_choices,
                 struct token_cell **cells, int64_t *n, struct error *err);

#endif
