/* What the reader and the writer of a prepared corpus share. */
#ifndef ENGINE_CORPUS_FORMAT_H
#define ENGINE_CORPUS_FORMAT_H
#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "engine/corpus.h"

/* Fields of the .tsv files: tab, newline, carriage return and backslash as \t \n \r \\. */
void field_escape(struct text *t, const char *value);
bool field_unescape(char *value); /* in place; false on a backslash before anything else */

/* Cuts the line at *rest into fields in place; *rest moves to the next line. Returns how many there are, at
 * most `most` of which are kept; 0 at the end. */
int field_split(char **rest, char **fields, int most);

#define CORPUS_FILE_INI        "corpus.ini"
#define CORPUS_FILE_DOCUMENTS  "documents.tsv"
#define CORPUS_FILE_VOCABULARY "vocabulary.tsv"
#define CORPUS_FILE_TOKENS_16  "tokens.u16"
#define CORPUS_FILE_TOKENS_32  "tokens.u32"
#define CORPUS_FILE_MODEL      "tokens.model"
enum { CORPUS_FORMAT = 1, CORPUS_NAME_BYTES = 100, CORPUS_MOST_LABELS = 64 };

/* Writes the files into an existing folder that holds the model already. `c->first` of each document and the
 * ids must agree. Fills in the hashes of c. `settings` are lines "name = value" for the section [source]. */
int corpus_write(struct corpus *c, const char *folder, const char *input_sha256, const char *settings,
                 struct error *err);

/* The input hash that a prepared corpus was made from: false when there is no readable corpus.ini. */
bool corpus_input_hash(const char *folder, char hex[SHA256_HEX]);

#endif
