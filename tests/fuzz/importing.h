/* Bytes as another engine's log: what the doctor takes is imported, and must be a logbook that its check
 * finds nothing wrong with. */
#ifndef TESTS_FUZZ_IMPORTING_H
#define TESTS_FUZZ_IMPORTING_H
#include "tests/fuzz/fuzz.h"

enum { ASKS_EXPERTS = 1, ASKS_TOPK = 2, ACCEPTS = 4, WITH_SHARED = 8, WITH_TOKENS = 16, TWICE = 32 };

struct importing {
    const char *from; /* NULL: the bytes are --documents, beside a trace that is always the same */
    int flags;
    const char *select, *axes; /* NULL: not said */
};

/* What a target does first. */
void fuzz_import_open(void);
/* Imports the file "log" of the scratch folder. */
void fuzz_import(const struct importing *i);

#endif
