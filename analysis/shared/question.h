/* What is asked about a layer: what a label of the documents tells about the expert, one label with another
 * held fixed ("language|topic"), the domain once the token is known, the token, the next token, the
 * position. A question is the same for every layer, step and router that it is put to. */
#ifndef ANALYSIS_SHARED_QUESTION_H
#define ANALYSIS_SHARED_QUESTION_H
#include "analysis/shared/routed.h"

#define QUESTION_DOMAIN             "domain"
#define QUESTION_DOMAIN_GIVEN_TOKEN "domain|token"
#define QUESTION_TOKEN              "token"
#define QUESTION_NEXT_TOKEN         "next_token"
#define QUESTION_POSITION           "position"

enum question_kind { ASKS_LABEL, ASKS_LABEL_GIVEN, ASKS_LABEL_GIVEN_TOKEN, ASKS_VALUE };

struct question {
    char name[64]; /* one of the above, a key of document_label, or two of these with a bar between */
    enum question_kind kind;
    int n_labels;        /* values that the label takes */
    int *label;          /* (n_documents) -1: takes no part. NULL: of values */
    int *both, *given;   /* ASKS_LABEL_GIVEN: label and the one held fixed as one label; that one */
    int n_both, n_given; /* values that these take */
    int32_t *value;      /* ASKS_VALUE: (n_tokens) 0 .. n_labels - 1 */
};

struct questions {
    struct question *items;
    int n, capacity;
};

/* Every label, and every label with every other held fixed as long as they are few. Documents take part in
 * the latter when those of their value of the one held fixed differ in the other: "language|topic" says
 * nothing of a topic that is there in one language alone. Nothing about tokens where their ids are not known.
 */
int questions_prepare(struct questions *q, const struct documents *d, bool ids_known, struct error *err);
/* The domain alone: the same question as among all of them. */
int questions_of_domain(struct questions *q, const struct documents *d, struct error *err);
void questions_release(struct questions *q); /* safe on zeroed */

/* Whether the document takes part. */
bool question_concerns(const struct question *q, int document);

/* Nats, cross-fitted over documents; by_document: (n_documents) sums of nats over each one's decisions. The
 * same `r` deals the same folds. */
int question_answer(const struct question *q, const struct documents *d, const struct routed *s,
                    struct random *r, double *nats, double *by_document, struct error *err);
/* null->observed is what question_answer says with this `r`. Labels are exchanged among documents (of the
 * same value of the one held fixed), values among their tokens. */
int question_null(const struct question *q, const struct documents *d, const struct routed *s,
                  int n_permutations, struct random *r, struct permutation_null *null, struct error *err);

#endif
