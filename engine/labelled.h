/* What corpora of single predictions have in common (engine/image_corpus.h, engine/mixture_corpus.h): a
 * sample is a document of two ids, 0 and what is to be predicted of it; train samples come first, then test
 * samples, then those of a probe, if it has a set of its own. Test samples are split valid; without such a
 * set every 60th train sample is split probe, held out from training. */
#ifndef ENGINE_LABELLED_H
#define ENGINE_LABELLED_H
#include <limits.h>
#include <stdbool.h>

#include "engine/corpus.h"

enum { LABELLED_NAME = 64 }; /* bytes of a document's name */

/* FOLDER/BEFORE + AFTER; the folder's own name as the corpus's. */
int labelled_path(char path[PATH_MAX], const char *folder, const char *before, const char *after,
                  struct error *err);
int labelled_name(struct corpus *c, const char *folder, struct error *err);

/* Room for so many documents. */
int labelled_claim(struct corpus *c, int n_documents, struct error *err);

enum labelled_set { LABELLED_TRAIN, LABELLED_TEST, LABELLED_PROBE, LABELLED_SETS };
extern const char *const labelled_set_names[LABELLED_SETS]; /* train, test, probe */

struct labelled_sample {
    const char *prefix; /* of its name, which ends with its set's and its number */
    enum labelled_set set;
    int number;       /* within its set, from 0 */
    bool own_probe;   /* there is a set for the probe */
    int domain, item; /* the vocabulary's, to be predicted */
    bool class;       /* it has a class: a label of that item's text */
    char *family;     /* a label of that text, or NULL; stays the caller's */
    const void *bytes;
    size_t n_bytes;
};
/* Puts a document behind those that are there. */
void labelled_add(struct corpus *c, const struct labelled_sample *s);
/* The corpus's hash, from the vocabulary's and all documents. */
void labelled_hash(struct corpus *c);

#endif
