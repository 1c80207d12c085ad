/* sentencepiece by its programs: spm_train makes a model, spm_export_vocab lists its vocabulary, spm_encode
 * encodes. Programs and not the library, because the library is C++ and a corpus is prepared once. All are in
 * the Debian package sentencepiece. */
#ifndef ENGINE_TOKENIZER_H
#define ENGINE_TOKENIZER_H
#include <stdint.h>

#include "base/error.h"
#include "engine/corpus.h"

#define TOKENIZER_PACKAGE "sentencepiece"

struct tokenizer {
    struct vocabulary_item *items; /* train_count 0 */
    int n_items;
    int n_bytes;  /* byte pieces */
    int newline;  /* id of the byte piece <0x0A> */
    char *buffer; /* what the items' texts point into */
};

/* The vocabulary of a model. STATUS_INPUT unless ids 0, 1, 2 are unknown, BOS and EOS and there is a piece
 * for every byte. */
int tokenizer_load(struct tokenizer *t, const char *model_path, struct error *err);
/* The same from the list that spm_export_vocab prints, which it takes: lines "PIECE tab SCORE". */
int tokenizer_parse(struct tokenizer *t, char *list, const char *model_path, struct error *err);
void tokenizer_release(struct tokenizer *t);

/* Learns byte-pair pieces from lines of text and writes tokens.model (and tokens.vocab) into `folder`.
 * `lines`: an open file. Characters too rare for the vocabulary are left to byte pieces; *coverage says what
 * share of the characters got pieces. A vocabulary that the text cannot fill ends up smaller. Same lines,
 * same model. */
int tokenizer_train(int lines, const char *folder, int n_vocabulary, double *coverage, struct error *err);

enum { TOKENIZER_LEAST_VOCABULARY = 272 }; /* 3 specials, 256 bytes, and a little more */
enum { TOKENIZER_LINE_BYTES = 16384 };     /* longer lines are not learnt from */

#endif
