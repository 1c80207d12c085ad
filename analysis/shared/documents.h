/* The probe's documents: which domain and labels each has, which samples are taken from it, their tokens. The
 * unit of every statistic; probe.h has what the router did with them. */
#ifndef ANALYSIS_SHARED_DOCUMENTS_H
#define ANALYSIS_SHARED_DOCUMENTS_H
#include <stdbool.h>

#include "base/options.h"
#include "sql/read.h"

struct labels_of { /* one key of document_label, or "domain" */
    char *key;
    char **values; /* (n_values) sorted */
    int n_values;
    int *value; /* (n_documents) index into values; -1: the document has no such label */
};

struct probe_sample {
    int64_t sample_id;
    int document; /* index, not id */
    int n_tokens;
    int32_t *ids; /* (n_tokens + 1) inputs, and the last target */
};

struct documents {
    int64_t *steps; /* of the probe, ascending */
    int n_steps;
    int n_documents;
    int64_t *ids;             /* (n_documents) ascending within a domain; domains by name */
    struct labels_of *labels; /* labels[0] is "domain"; then by key. Those with one value are not kept */
    int n_labels;
    struct probe_sample *samples; /* by document, then sample_id */
    int n_samples;
    int64_t n_tokens; /* of all samples */
};

/* Reads what the run's probe consists of, from its last step; `where` (NULL: everything) as selection.h has
 * it. STATUS_INPUT when there is none. `run`: its name, for the complaint. */
int documents_read(struct documents *d, struct logbook *lb, int64_t run_id, const char *run,
                   const struct string_list *where, struct error *err);
void documents_release(struct documents *d); /* safe on zeroed */
/* *step negative: the probe's last. STATUS_INPUT when that run's probe was not routed at *step. */
int documents_choose_step(const struct documents *d, const char *run, int64_t *step, struct error *err);
int documents_index(const struct documents *d, int64_t document_id); /* -1: not of the probe */

/* Texts and counts of the run's vocabulary, by token id. */
struct vocabulary {
    char **text; /* (n) NULL: no such token */
    int64_t *train_count;
    bool *piece; /* neither a byte nor special */
    int n;
};
int vocabulary_read(struct vocabulary *v, struct logbook *lb, int64_t run_id, struct error *err);
void vocabulary_release(struct vocabulary *v); /* safe on zeroed */
/* The text, or "<id>" where it is not known, written into buffer. */
const char *vocabulary_text(const struct vocabulary *v, int64_t id, char buffer[32]);

#endif
