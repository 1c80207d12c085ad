/* What may lie beside arrays of routing in one file, a value a token: ids, what is padding, which document.
 */
#ifndef IMPORT_SHARED_MARKS_H
#define IMPORT_SHARED_MARKS_H
#include "import/shared/arrays.h"
#include "import/shared/intake.h"
#include "import/shared/seen.h"

struct marks {
    struct arrays *arrays;
    const struct array *ids, *mask, *document, *domain; /* NULL: none */
    int64_t n_tokens,
        row;           /* row: tokens of a sequence where ids or mask are [batch, tokens]; 0: one sequence */
    struct seen given; /* tokens by document, of which some may come back */
};

/* input_ids, attention_mask, doc_id, domain_id. Each must have a value for every token. */
int marks_find(struct marks *m, struct arrays *a, const char *path, int64_t n_tokens, struct error *err);
void marks_release(struct marks *m); /* safe on zeroed */

struct marked {    /* tokens that follow each other in one document, padding left out */
    int64_t first; /* in the file */
    int n, n_kept; /* that were looked at; that are no padding */
    int32_t *kept; /* (n_kept) of them, from 0 */
    int32_t *ids;  /* (n_kept) */
    bool has_ids;
    char document[320], domain[64]; /* "" : none is said */
    int64_t offset;                 /* in the document */
};
/* The next tokens of the file from `first` on, `most` of them at most; kept and ids have room for so many.
 * *offset counts on within a document: the caller keeps it and begins with 0. A document that comes back goes
 * on where it was left. */
int marks_next(struct marks *m, const char *path, int64_t first, int most, struct marked *out,
               struct error *err);

#endif
