/* From a folder of text to a prepared corpus, in the steps that `moescope corpus` takes. */
#ifndef ENGINE_PREPARE_H
#define ENGINE_PREPARE_H
#include <stdbool.h>

#include "engine/corpus.h"
#include "engine/source.h"
#include "engine/tokenizer.h"

struct prepare_options {
    const char *name;
    const char *model; /* an existing model; NULL: train one */
    int64_t n_vocabulary, n_valid, n_probe, seed;
    int64_t max_document_bytes, tokens_per_domain; /* 0: no limit; the smallest domain's */
    bool balance;
};

/* The options as lines "name = value", what corpus.ini keeps of them. */
int prepare_settings(const struct prepare_options *o, struct text *settings, struct error *err);

/* The hash of all that decides the result: settings, names, splits, labels and bytes of the documents. */
void prepare_hash(const struct source *s, const struct text *settings, char hex[SHA256_HEX]);

/* Puts tokens.model into the folder: a copy, or one trained on the train documents.
 * Training sees the same number of bytes of each domain, PREPARE_SAMPLE_BYTES in all. */
enum { PREPARE_SAMPLE_BYTES = 8 << 20 };
int prepare_model(const struct source *s, const struct prepare_options *o, const char *model_path,
                  double *coverage, struct error *err);

/* Encodes every document. n_lossy: how many do not come back byte for byte (U+2581, a foreign model). */
int prepare_encode(struct source *s, const struct tokenizer *t, const char *model_path, int *n_lossy,
                   struct error *err);

/* What is left after balancing, as a corpus that points into s and t; release with prepare_release. */
int prepare_corpus(struct corpus *c, const struct source *s, struct tokenizer *t,
                   const struct prepare_options *o, struct error *err);
void prepare_release(struct corpus *c);

#endif
