/* The texts of token ids: a Hugging Face tokenizer.json, or a piece a line, the first line being id 0. Spaces
 * that pieces spell otherwise (U+2581, or GPT-2's alphabet of bytes) become spaces. */
#ifndef IMPORT_SHARED_VOCABULARY_H
#define IMPORT_SHARED_VOCABULARY_H
#include "base/file.h"
#include "base/text.h"
#include "sql/logbook.h"

enum { VOCABULARY_MOST = 1 << 21 }; /* ids */

struct vocabulary_file {
    struct moescope_token *tokens; /* (n) of ids that have none: "<0>" and so on, special */
    int n;
    char sha256[SHA256_HEX];
    struct text bytes; /* that the tokens' texts are in */
};
int vocabulary_file_open(struct vocabulary_file *v, const char *path, struct error *err);
void vocabulary_file_close(struct vocabulary_file *v); /* safe on zeroed */

#endif
