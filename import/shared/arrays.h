/* Named arrays of numbers in the files that other engines write: .npy, .npz, safetensors, GGUF, torch.save's
 * .pt. What a file is, its content says, not its name. Names and shapes are read at once, numbers in pieces
 * from the file, never whole. Nothing in a file is trusted: what is damaged, hostile or unknown ends in an
 * error that names the file and the array or the offset, and nothing in it is ever run. */
#ifndef IMPORT_SHARED_ARRAYS_H
#define IMPORT_SHARED_ARRAYS_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum array_type {
    ARRAY_BOOL,
    ARRAY_I8,
    ARRAY_U8,
    ARRAY_I16,
    ARRAY_U16,
    ARRAY_I32,
    ARRAY_U32,
    ARRAY_I64,
    ARRAY_U64,
    ARRAY_F16,
    ARRAY_BF16,
    ARRAY_F32,
    ARRAY_F64,
    ARRAY_UNREADABLE /* text, objects, quantised blocks: listed, but to read it is an error that says why */
};
enum { ARRAY_MAX_DIMENSIONS = 8 };

struct array {
    const char *name; /* "": what has none, the array of an .npy and a tensor that was saved alone */
    enum array_type type;
    int n_dimensions; /* 0: a single number */
    int64_t shape[ARRAY_MAX_DIMENSIONS];
    int64_t count; /* the product of the shape */
};

struct arrays; /* an open file */

/* A file of none of these formats, or damaged: STATUS_INPUT. */
int arrays_open(struct arrays **a, const char *path, struct error *err);
/* The same of bytes, which must stay until it is closed; `what` names them in errors. */
int arrays_open_memory(struct arrays **a, const void *bytes, size_t n, const char *what, struct error *err);
void arrays_close(struct arrays *a); /* NULL: nothing */

const char *arrays_format(const struct arrays *a); /* "npy", "npz", "safetensors", "gguf", "pt" */
int arrays_n(const struct arrays *a);
const struct array *arrays_at(const struct arrays *a,
                              int i); /* in the file's order; stays until it is closed */
const struct array *arrays_find(const struct arrays *a, const char *name); /* NULL: none; fast */

/* n elements from number `first` on, in C (row-major) order whatever the file's order is; a range beyond the
 * array is the caller's mistake and asserted. Of compressed arrays going on is fast and going back is slow:
 * it begins anew. A checksum that a file has (.npz, .pt) is compared when what it is of has been read from
 * front to back. Integers: what is none, or none of 64 bits, is an error that names the element. Reals: the
 * nearest float. */
int arrays_integers(struct arrays *a, const struct array *x, int64_t first, int64_t n, int64_t *out,
                    struct error *err);
int arrays_reals(struct arrays *a, const struct array *x, int64_t first, int64_t n, float *out,
                 struct error *err);

/* Text and single values that stand beside the arrays: GGUF's keys, safetensors' __metadata__, text and
 * numbers in a pickle. Numbers are in decimal, truth is "true" or "false". */
const char *arrays_note(const struct arrays *a, const char *key); /* NULL: none; fast */
int arrays_n_notes(const struct arrays *a);
const char *arrays_note_key(const struct arrays *a, int i); /* in the order of strcmp */

/* .pt: the pickled tree of dicts, lists and tuples is flattened to paths: a tensor "logical_count" or
 * "records.0.topk_ids_of_layer"; a number "records.0.forward_pass_id" is a note and an array without
 * dimensions; a list or tuple of nothing but numbers "records.0.input_ids" is an array of one dimension, I64
 * or F64 (or BOOL), and an empty one is I64 of count 0; None is neither. GGUF: items of arrays are notes
 * "key.0", "key.1"..., of arrays of at most 1024; and shapes are in C order, the file's dimensions backwards:
 * "W.counts" is [n_expert, 1]. */

#endif
