/* What stands beside a log: which token was where, and what the documents are. The stream is all tokens of
 * the import in the order in which they are read. */
#ifndef IMPORT_SHARED_SIDE_H
#define IMPORT_SHARED_SIDE_H
#include <stdbool.h>
#include <stdint.h>

#include "import/shared/request.h"
#include "sql/logbook.h"

struct side_document {
    char *name, *domain; /* domain NULL: not said */
    int64_t first,
        length; /* in the stream; first -1: known by its name alone; length -1: to the next one's first */
    struct moescope_label *labels;
    int n_labels;
};

struct side_ids; /* of --tokens */

struct side {
    struct side_document *documents; /* in the order of first, then of name */
    int n_documents, n_placed;       /* the first n_placed have a place in the stream */
    struct side_ids *ids;            /* NULL: none */
};

int side_open(struct side *s, const struct request *r, struct error *err);
void side_close(struct side *s); /* safe on zeroed */

/* The document that token number `position` lies in, or NULL; *next: where another one begins, or none. */
const struct side_document *side_at(const struct side *s, int64_t position, int64_t *next);
const struct side_document *side_named(const struct side *s, const char *name);
/* Whether every place lies in a stream of n tokens. */
int side_check_places(const struct side *s, int64_t n_tokens, struct error *err);
bool side_has_domains(const struct side *s);

/* Ids of the tokens from `position` on, n at most; *got fewer at the end of the file. Positions must not fall
 * back by more than one from one call's end to the next's begin. */
int side_read_ids(struct side *s, int64_t position, int64_t n, int32_t *ids, int64_t *got, struct error *err);
void side_rewind(struct side *s);

#endif
