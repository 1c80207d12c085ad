/* Losses of documents at one evaluation of a run, alone and paired with another run's, with intervals whose
 * unit is the document: what can be said about these trained models, not about the methods that trained them.
 */
#ifndef ANALYSIS_SHARED_LOSSES_H
#define ANALYSIS_SHARED_LOSSES_H
#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"
#include "metrics/resample.h"
#include "sql/read.h"

struct scored_document {
    int64_t document_id;
    char sha256[SHA256_HEX];
    int domain;      /* index into domain_names */
    bool whole;      /* read to its end */
    double n_tokens; /* predicted in this evaluation */
    double loss_sum; /* nats; NaN: not finite */
    double n_bytes;  /* that the predicted tokens stand for */
};

struct evaluation {
    int64_t step; /* -1: the run has none */
    struct scored_document *documents;
    int n;
    int n_not_finite; /* with a loss that is NaN or infinite */
};

struct domain_names {
    char **names; /* in order of appearance */
    int n;
};
void domain_names_release(struct domain_names *d);

/* How frequent a token is, by the counts of its corpus's train split: the most frequent ids that make up half
 * of its tokens, those from there to 80 %, to 95 %, the rest, and ids that it never has. */
enum { N_BUCKETS = 5 };
extern const char *const frequency_names[N_BUCKETS];

struct losses_asked {
    const char *runs;        /* a JSON array of run ids */
    const char *split;       /* valid, probe, routed, ... */
    int64_t step;            /* -1: each run's last; otherwise the last one that is not after it */
    const char *key, *value; /* of documents with that label alone; NULL: all */
    const char *of; /* NULL: all tokens; "input", "target": by that token's frequency, from logged tokens */
};
void losses_bind(const struct losses_asked *asked, struct query *q);
/* evaluations: (n_runs), or (n_runs, N_BUCKETS) by frequency, where bytes are not known; runs in the order of
 * `runs`. Domains are added to. */
int evaluations_read(struct evaluation *evaluations, int n_runs, struct domain_names *domains,
                     struct logbook *lb, const struct losses_asked *asked, struct error *err);
void evaluation_release(struct evaluation *e);
double evaluation_tokens(const struct evaluation *e);
/* Losses of documents are always kept, those of tokens only where log.decisions says so: by_frequency,
 * (N_BUCKETS), must have as many as the whole, or it is STATUS_INPUT naming the run. */
int evaluation_check_kept(const char *run, const struct evaluation *whole,
                          const struct evaluation *by_frequency, const struct losses_asked *asked,
                          struct error *err);

enum loss_unit { NATS_PER_TOKEN, BITS_PER_BYTE };
extern const char *const loss_unit_names[2]; /* nats/token, bits/byte */

/* `domain` -1: all, the interval within domains. NaN when a document's loss is not finite. Every call seeds
 * its own random numbers, so that a figure does not depend on which others were asked for. */
int evaluation_interval(const struct evaluation *e, enum loss_unit unit, int domain, uint64_t seed,
                        struct interval *i, struct error *err);
double evaluation_mean(const struct evaluation *e, enum loss_unit unit, int domain);
int evaluation_count(const struct evaluation *e, int domain);

/* Documents that both evaluations have: by id within one corpus, otherwise by the hash of their text. left
 * and right: (n), the same document at the same index. */
struct paired_documents {
    struct evaluation left, right;
};
int paired_documents_init(struct paired_documents *p, const struct evaluation *left,
                          const struct evaluation *right, bool by_content, struct error *err);
void paired_documents_release(struct paired_documents *p);
/* Documents of which the two read different pieces: other numbers of tokens in one vocabulary or, between
 * two, other numbers of bytes, or the end by one alone. */
int paired_documents_unlike(const struct paired_documents *p, bool one_vocabulary);
/* Left minus right: below 0, left is better. */
int paired_interval(const struct paired_documents *p, enum loss_unit unit, int domain, uint64_t seed,
                    struct interval *i, struct error *err);
/* That difference beside its spread over documents, each weighted by its size; paired_effect of
 * metrics/resample.h. */
int paired_documents_effect(const struct paired_documents *p, enum loss_unit unit, int domain, double *effect,
                            struct error *err);
/* The mean of the domains' own differences, each domain counting alike. */
int paired_interval_of_domains(const struct paired_documents *p, enum loss_unit unit, uint64_t seed,
                               struct interval *i, struct error *err);

#endif
