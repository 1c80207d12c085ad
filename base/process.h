/* Other programs as tools: started without a shell, waited for, their complaints kept. */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"

struct process_setting {
    int in, out;         /* open files; -1: nothing to read, output dropped */
    const char *folder;  /* where it runs; NULL: here */
    const char *package; /* the Debian package that has the program */
    bool loud;           /* its error output is this program's, and not kept */
};

struct process {
    const char *program;
    pid_t pid;      /* 0: none is running */
    int complaints; /* the reading end of its error output */
};

/* Starts argv[0], looked up in PATH. `argv` ends in NULL and outlives the process. A missing program is
 * STATUS_MACHINE and says which Debian package has it. */
int process_start(struct process *p, const char *const *argv, const struct process_setting *setting,
                  struct error *err);

/* Waits for its end. Fails unless it ended with status 0; `complaints` (may be NULL) receives what it wrote
 * to its error output in any case. A signal that this program handles meanwhile ends the other too:
 * "interrupted". */
int process_wait(struct process *p, struct text *complaints, struct error *err);

/* Ends it, if it runs, and forgets it; safe on a zeroed struct. */
void process_kill(struct process *p);

/* Bytes of memory that this process has had at once so far, at most (resident: pages that are there). */
double process_peak_memory(void);

/* "FOLDER/NAME", FOLDER being that of this program's file; -1 where that cannot be told. */
int process_beside(const char *name, char *path, size_t size);

/* A file without a name in $TMPDIR or /tmp: it vanishes when it is closed, however the program ends. */
int scratch_open(int *fd, struct error *err);
/* All of it, from its start; caller frees. */
int scratch_read(int fd, char **bytes, size_t *n, struct error *err);

#endif
