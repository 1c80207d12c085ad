/* Kills a program at a moment of one's choosing: at the nth call by which it would change a file in a folder.
 * What the file system holds before each such call is all that a kill can leave, so that counting n up visits
 * every state. Linux's ptrace; a helper that cannot do its work fails the test it was called from. */
#ifndef TESTS_TRACER_H
#define TESTS_TRACER_H
#include <stdbool.h>

struct trace_point {
    const char *call; /* "pwrite64", "rename", ...; NULL: any */
    const char *file; /* a pattern (glob) of names within the folder; NULL: any */
    long n;           /* the nth such call, from 1; 0: none, only count */
};

struct traced {
    bool killed;
    int status;     /* exit status when it was not killed */
    long calls;     /* such calls: all of them, or n */
    char call[16];  /* the one that was not made any more */
    char file[256]; /* its file */
};

/* argv[0] is a path; runs in `folder`, output dropped. */
struct traced traced_run(const char *folder, const char *const *argv, const struct trace_point *at);

#endif
