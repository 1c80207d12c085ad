/* Other programs, run side by side as far as there are processors. A child reads nothing, its standard
 * output is dropped and its complaints are kept. */
#ifndef ANALYSIS_SHARED_JOBS_H
#define ANALYSIS_SHARED_JOBS_H
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct job {
    char **argv;        /* ends with NULL; argv[0] is a path, or a name to look up in PATH */
    const char *folder; /* where it runs; NULL: here */
    void *of;           /* the caller's */

    /* Filled in. */
    int status;      /* its exit status; 128 + the signal that ended it; JOB_NOT_FOUND */
    char *complaint; /* what it wrote to stderr, without the newline at its end; never NULL afterwards */
    pid_t pid;
    int complaints; /* a file descriptor */
};

enum { JOB_NOT_FOUND = -2 };

struct job_list {
    struct job *jobs;
    int n, capacity;
};

/* Adds a job; argv ends with NULL and is copied, `folder` is not. */
int job_add(struct job_list *list, const char *folder, void *of, const char *const *argv, struct error *err);
void job_list_release(struct job_list *list); /* safe on zeroed and released */

/* Runs all and returns when all have ended, 0 whatever they answered; -1 when none could be started. `done`
 * (may be NULL) is told after each how many have ended. */
int job_list_run(struct job_list *list, void (*done)(void *state, int n_done), void *state,
                 struct error *err);

/* The path of a program that stands beside this one; just its name where that is unknown or there is none, so
 * that PATH decides. Caller frees; NULL without memory. */
char *sibling_program(const char *name);

#endif
