/* Documents, domains and the vocabulary of an import, as they turn up. */
#ifndef IMPORT_SHARED_TEXTS_H
#define IMPORT_SHARED_TEXTS_H
#include "import/shared/seen.h"
#include "import/shared/side.h"
#include "sql/logbook.h"

struct texts {
    struct logbook *logbook;
    const char *split, *corpus_name, *corpus_sha256;
    struct moescope_corpus corpus; /* without documents */
    int64_t corpus_id, vocabulary_id;
    char **domains; /* (n_domains) names */
    int64_t *domain_ids;
    int n_domains;
    struct seen named;    /* the first domain of each name */
    char *last, *last_of; /* the document that was asked for last, and its domain */
    int64_t last_id;
    int last_domain;
};

struct vocabulary_file; /* import/shared/vocabulary.h */

/* ids_known: whether tokens have ids at all; of none the vocabulary says that they are unknown. */
int texts_open(struct texts *t, struct logbook *lb, const char *split, const char *sha256, const char *name,
               const struct vocabulary_file *v, bool ids_known, struct error *err);
void texts_release(struct texts *t); /* safe on zeroed */

/* The id of a document, which is added where it is new; *domain: index into domains. */
int texts_document(struct texts *t, const char *name, const char *domain, const struct side_document *side,
                   int64_t *id, int *domain_index, struct error *err);
int texts_domain(struct texts *t, const char *name, int *domain_index, struct error *err);

#endif
