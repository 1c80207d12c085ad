/* What may lie beside arrays of routing in one file, a value a token: ids, what is padding, which document.
 */
#ifndef IMPORT_SHARED_MARKS_H
#define IMPORT_SHARED_MARKS_H
#include "import/shared/arrays.h"
#include "import/shared/intake.h"
#include "import/shared/seen.h"

enum { MARKS_NAME = 320 };

struct marks {
    struct arrays *arrays;
    struct values *values; /* of the tokens at hand */
    const char *path;
    char base[256];                                     /* what its documents are called after */
    bool several;                                       /* files */
    const struct array *ids, *mask, *document, *domain; /* NULL: none */
    int64_t n_tokens, row;      /* row: tokens of each sequence of a batch; 0: one sequence */
    struct seen given, domains; /* tokens by document, of which some may come back; 1 + its domain */
};

/* Tokens of each sequence of a batch, of n tokens in all; 0: it is one sequence. */
int64_t marks_row(int64_t tokens, int64_t n);
/* input_ids, attention_mask, doc_id, domain_id. Each must have a value for every token. row: what the routing
 * itself says of sequences. */
int marks_find(struct marks *m, struct arrays *a, const struct request *r, int file, int64_t n_tokens,
               int64_t row, struct error *err);
void marks_release(struct marks *m); /* safe on zeroed */

struct marked {    /* tokens that follow each other in one document, padding left out */
    int64_t first; /* in the file */
    int n, n_kept; /* that were looked at; that are no padding */
    int32_t *kept; /* (n_kept) of them, from 0 */
    int32_t *ids;  /* (n_ids) */
    int n_ids;     /* 0: unknown, n_kept, or one more, the target of the last */
    char document[MARKS_NAME], domain[64]; /* "" : none is said */
    int64_t offset;                        /* in the document */
};
/* The next tokens of the file from `first` on, `most` of them at most; kept and ids have room for one more.
 * A document that comes back goes on where it was left. */
int marks_next(struct marks *m, int64_t first, int most, struct marked *out, struct error *err);

#endif
