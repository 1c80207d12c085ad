/* Table-driven command lines: the table is the parser, the help and the tests' list of options. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum option_kind {
    OPTION_FLAG,   /* bool *       : --name */
    OPTION_STRING, /* const char **: --name VALUE */
    OPTION_INT,    /* int64_t *    : --name N, the whole argument must be a number */
    OPTION_REAL,   /* double *     : --name X */
    OPTION_LIST    /* struct string_list *: may be given several times */
};

struct string_list {
    const char **items; /* into argv; release with string_list_release */
    int n;
};
void string_list_release(struct string_list *list);

struct option_spec {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    void *target;         /* holds the default before parsing */
    const char *argument; /* "NAME", NULL for flags */
    const char *help;     /* one line; say the default */
};

struct program {
    const char *verb;                  /* "collapse" */
    const char *operands;              /* "DB", "DB RUN RUN..."; "" for none */
    const char *purpose;               /* one sentence, no full stop */
    const char *details;               /* paragraphs below the options, or NULL */
    const char *examples;              /* lines "moescope collapse log.db --run top1" */
    const struct option_spec *options; /* ended by a NULL name; --help and --version are added */
    int min_operands, max_operands;    /* max -1: any number */
};

/* Parses by getopt_long. On --help or --version prints to stdout and sets *done. Unknown options, missing
 * arguments and wrong operand counts: STATUS_USAGE with "; see 'moescope VERB --help'" at the end.
 * Operands are left in argv[*first .. argc-1]. */
int options_parse(const struct program *p, int argc, char **argv, int *first, bool *done, struct error *err);

/* What every program does last: prints an error to stderr as "moescope VERB: text" if failed, checks that
 * stdout was written (a failed write is STATUS_MACHINE, a closed pipe is silent), returns the exit status.
 * `result` is 0, -1 with *err filled in, or a status of its own such as STATUS_FINDING. */
int program_finish(const struct program *p, int result, const struct error *err);

/* A whole main: parses, runs, finishes. `output`: where --output puts its argument, read after parsing; the
 * file appears whole, or not at all when run fails. NULL, or no such option given: stdout. */
typedef int program_body(void *context, char **operands, int n_operands, FILE *out, struct error *err);
int program_main(const struct program *p, int argc, char **argv, const char *const *output, program_body *run,
                 void *context);

/* The name most like `word` (mistyped letters, swapped neighbours, a beginning), NULL if none is near:
 * for "did you mean". */
const char *nearest_name(const char *word, const char *const *names, int n);

#define MOESCOPE_VERSION "0.1.0"

#endif
