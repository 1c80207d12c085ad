/* Files of foreign formats laid out byte after byte, good or bad as one likes. Each is put behind what is
 * there. */
#ifndef TESTS_LAID_H
#define TESTS_LAID_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

void laid_number(struct text *t, uint64_t value, int width); /* little-endian */

void laid_npy(struct text *t, const char *header, const void *data, size_t n); /* version 1 */
void laid_safetensors(struct text *t, const char *header, const void *data,
                      size_t n); /* its length in front */

/* GGUF, version 3: a head, then keys, then tensors of one dimension, then data at the next multiple of 32. */
void laid_gguf(struct text *t, uint64_t n_tensors, uint64_t n_keys);
void laid_gguf_string(struct text *t, const char *s);
void laid_gguf_tensor(struct text *t, const char *name, uint64_t n, uint32_t type, uint64_t offset);
void laid_gguf_data(struct text *t, size_t n);

struct laid_entry {
    const char *name;
    const void *bytes;
    size_t n;
    uint32_t
        unpacked; /* the bytes are deflated, and were so many, with a checksum that is not given; 0: stored */
};
void laid_zip(struct text *t, const struct laid_entry *entries, int n);
/* A .pt: the pickle, and one storage, "0". */
void laid_pt(struct text *t, const void *pickle, size_t n, const void *storage, size_t n_storage);

#endif
