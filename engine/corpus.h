/* A prepared corpus: what `moescope corpus FOLDER -o OUT` writes and what training reads. OUT holds
 *
 *   corpus.ini       name, counts, hashes of everything below                    (inih)
 *   documents.tsv    one line a document: split domain name bytes ids first sha256 key=value...
 *   vocabulary.tsv   one line a token: id kind train_count text (tab, newline, backslash escaped)
 *   tokens.u16|u32   the ids of all documents, one after the other, little-endian
 *   tokens.model     sentencepiece's model, for text that comes later
 *
 * A document's ids are BOS, its tokens, EOS. Newlines are the byte piece <0x0A>: lines are encoded one by
 * one, so that sentencepiece's line-based tools lose nothing. Encoding is lossless (identity normalisation,
 * byte fallback) but for U+2581, which sentencepiece keeps for the space. */
#ifndef ENGINE_CORPUS_H
#define ENGINE_CORPUS_H
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "engine/images.h"
#include "engine/mixture.h"

enum { TOKEN_UNKNOWN = 0, TOKEN_BOS = 1, TOKEN_EOS = 2 };
/* A document belongs to one of the first four; seen are train documents that are read again to evaluate. */
enum corpus_split { SPLIT_TRAIN, SPLIT_VALID, SPLIT_PROBE, SPLIT_ROUTED, SPLIT_SEEN, N_SPLITS };
extern const char *const corpus_split_names[N_SPLITS]; /* train, valid, probe, routed, seen */

struct label {
    char *key, *value;
};

struct document {
    char *name; /* DOMAIN/FILE, unique in the corpus; "#2" and on behind a form feed */
    int domain; /* index into domains */
    enum corpus_split split;
    int64_t n_bytes;      /* of UTF-8 text */
    int64_t first, n_ids; /* its ids are corpus.ids[first .. first + n_ids - 1]; predictions: n_ids - 1 */
    char sha256[SHA256_HEX];
    struct label *labels;
    int n_labels;
};

struct vocabulary_item {
    char *text;       /* UTF-8, spaces as spaces; a byte that is no character as <0xE3> */
    const char *kind; /* piece, byte, special; class: what a sample is predicted to be */
    int64_t train_count;
};

struct corpus {
    char *name;
    char sha256[SHA256_HEX];            /* of documents.tsv and the tokens */
    char vocabulary_sha256[SHA256_HEX]; /* of tokens.model */
    char *model_path;                   /* OUT/tokens.model */
    struct vocabulary_item *vocabulary;
    int n_vocabulary;
    char **domains;
    int n_domains;
    struct document *documents;
    int n_documents;
    int32_t *ids;
    int64_t n_ids;
    struct images images;   /* n 0: none; otherwise document d is image d (engine/image_corpus.h) */
    struct mixture mixture; /* n 0: none (engine/mixture_corpus.h) */
    char *documents_text, *vocabulary_text, *labels_text; /* what the strings above point into */
    struct label *labels;                                 /* and the documents' labels */
};

/* Reads and verifies (hashes, ranges) a prepared corpus. On failure nothing is left to release. */
int corpus_load(struct corpus *c, const char *folder, struct error *err);
/* (V) train tokens of each id; the caller frees. NULL: no memory. */
int64_t *corpus_train_counts(const struct corpus *c, struct error *err);
void corpus_release(struct corpus *c); /* safe on zeroed and released */

/* Appends the text that ids stand for; the specials stand for none. Whole documents give back their bytes. */
void corpus_decode(const struct vocabulary_item *vocabulary, const int32_t *ids, int64_t n,
                   struct text *text);
/* Bytes of that text: of one item, and of all ids. */
int corpus_token_bytes(const struct vocabulary_item *item);
int64_t corpus_bytes(const struct vocabulary_item *vocabulary, const int32_t *ids, int64_t n);

/* Encodes texts with the model by sentencepiece's spm_encode: one document each, framed by BOS and EOS.
 * Fills ids (caller frees each) and n_ids. Invalid UTF-8 is STATUS_INPUT naming the document and byte; so is
 * a model that has other than n_vocabulary pieces, as one beside a vocabulary.tsv of another. */
struct encoded_text {
    const char *name; /* for messages */
    const char *text;
    size_t n_bytes;
    int32_t *ids;
    int64_t n_ids;
};
int corpus_encode(const char *model_path, int n_vocabulary, struct encoded_text *texts, int n,
                  struct error *err);

/* 0-based offset of the first byte that is not valid UTF-8, or -1. NUL counts as invalid. */
int64_t utf8_first_error(const char *bytes, size_t n);

#endif
