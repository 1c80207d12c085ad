/* The choices of a saved answer, however they are packed: nested lists; base64 of an .npy (vLLM); of int32
 * without a header (SGLang); and base64 with its shape in front, "nrlre1:DTYPE:TOKENSxLAYERSxK:..." (NeMo
 * RL). */
#ifndef IMPORT_SHARED_ANSWER_ROWS_H
#define IMPORT_SHARED_ANSWER_ROWS_H
#include <stdbool.h>

#include "import/shared/base64.h"
#include "import/shared/json.h"

struct answer_rows { /* zeroed before first use */
    int64_t n;
    int n_layers, k;
    struct integers experts; /* (n, n_layers, k) */
};

struct row_reader {
    struct json *json;
    struct input *input;
    int64_t layers, topk; /* what was said for base64 without a header; 0: nothing */
    bool narrow;          /* ids of 8 bits have been seen */
    struct base64 base64;
    struct { /* what stands in front of base64, up to its third colon */
        char text[64];
        size_t n;
        int colons;
        bool ended;
    } heading;
    struct integers slots;
};
void row_reader_release(struct row_reader *r);

/* The value that is next, a list or a string. What is no choices of tokens is STATUS_INPUT with its place. */
int row_reader_take(struct row_reader *r, struct answer_rows *rows, struct error *err);
/* Lists with the layers innermost, [[[layers] for each slot] for each token], as OLMoE's analysis has them.
 */
int row_reader_take_slots(struct row_reader *r, struct answer_rows *rows, struct error *err);

#endif
