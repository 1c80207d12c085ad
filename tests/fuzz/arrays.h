/* Files of arrays as inputs, for what reads arrays and for what reads logs in them. */
#ifndef TESTS_FUZZ_ARRAYS_H
#define TESTS_FUZZ_ARRAYS_H
#include "base/text.h"
#include "tests/fuzz/fuzz.h"

/* What the bytes are: a file, or what lies within one whose lengths and checksums would stand in the way. */
enum arrays_way {
    ARRAYS_WHOLE,
    ARRAYS_HEADER,  /* of safetensors: the length in front has but two bytes */
    ARRAYS_PICKLE,  /* and behind it a storage; the pickle's length in front, in two bytes */
    ARRAYS_MEMBERS, /* of an .npz; the length of the first in front */
    ARRAYS_DEFLATED,
    ARRAYS_N_WAYS
};

/* The file that an input stands for: a byte says the way, the rest is as above. */
void fuzz_lay_arrays(struct text *file, struct fuzz_input *in);
/* The other way: a seed that stands for `rest`, behind a prefix of the target's own. */
void fuzz_arrays_seed(struct fuzz_seeds *s, const void *prefix, size_t n_prefix, enum arrays_way way,
                      int length, const struct text *rest);

/* Opcodes of a pickle: a tensor of storage "0" with so many elements (a BININT1's digit), up to its offset,
 * shape and strides, and what comes behind them. */
#define PICKLED_TENSOR_OF(class, n)                                                                          \
    "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\n" class "\nX\1\0\0\0"                      \
                                                                          "0X\3\0\0\0cpuK" n "tQ"
#define PICKLED_HOOKS                                                                                        \
    "\x89"                                                                                                   \
    "ccollections\nOrderedDict\n)RtR"

#endif
