/* A folder of text as people have it: FOLDER/DOMAIN/FILE.txt, UTF-8, a file a document, a form feed in a file
 * starts another; FOLDER/labels.tsv says more of a domain, "DOMAIN key=value...", or of one file, with
 * "DOMAIN/FILE" in front. This reads one, splits it by document and cuts it to balance. */
#ifndef ENGINE_SOURCE_H
#define ENGINE_SOURCE_H
#include <stdbool.h>

#include "engine/corpus.h"

struct source_document {
    struct document d; /* name, domain, split, n_bytes, sha256, labels; ids after encoding */
    char *text;        /* within its file's bytes, not NUL-terminated */
    int32_t *ids;      /* d.n_ids of them, after encoding; owned */
    bool dropped;      /* by source_balance */
    int order;         /* within its domain and split, shuffled: the last are dropped first */
};

struct source {
    char **domains; /* sorted */
    int n_domains;
    struct source_document *documents; /* by domain, then by name */
    int n_documents;
    /* what a reader should be told */
    int n_empty, n_cut, n_ignored, n_blocks; /* empty; cut; files that are not .txt; documents with U+2581 */
    int64_t cut_bytes;                       /* that were left out */
    /* what the pointers above point into */
    char **files;
    int n_files;
    char *labels_text;
    struct label *labels;
    int n_labels;
};

/* Documents longer than max_bytes are cut at a line end (0: never). STATUS_INPUT: no domains, a byte that is
 * not UTF-8 (names file and offset), a domain with fewer than three documents, a malformed labels.tsv. */
int source_read(struct source *s, const char *folder, int64_t max_bytes, struct error *err);
void source_release(struct source *s); /* safe on zeroed */

/* Assigns splits within each domain by a shuffle that depends on seed and domain alone: n_valid and n_probe
 * documents, the rest train. Where both together would be more than a third of a domain they shrink in
 * proportion, to one each at least. n_short (n_domains, may be NULL) receives what is missing. */
void source_split(struct source *s, int64_t seed, int n_valid, int n_probe, int *n_short);

/* Drops train documents in their shuffled order while the domain keeps *target tokens; 0 becomes what the
 * smallest domain has. Needs d.n_ids. */
int source_balance(struct source *s, int64_t *target, struct error *err);

#endif
