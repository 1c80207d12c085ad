/* Base64 (RFC 4648, also its alphabet for URLs), decoded as it comes. */
#ifndef IMPORT_SHARED_BASE64_H
#define IMPORT_SHARED_BASE64_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Zeroed before first use; bytes are kept until it is cleared or released. */
struct base64 {
    uint8_t *bytes;
    size_t n, capacity;
    uint32_t bits; /* of characters that do not make a byte yet */
    int n_bits;
    int padding; /* '=' so far */
};
/* Blanks are passed over; any other character that is none of base64's is STATUS_INPUT. */
int base64_add(struct base64 *b, const char *text, size_t n, struct error *err);
/* Whether the text ended where one may. */
int base64_finish(struct base64 *b, struct error *err);
void base64_clear(struct base64 *b);
void base64_release(struct base64 *b);

#endif
