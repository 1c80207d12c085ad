/* What was asked for on the command line, of `import` and `doctor` alike. */
#ifndef IMPORT_SHARED_REQUEST_H
#define IMPORT_SHARED_REQUEST_H
#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"

enum ranks { RANKS_AUTO, RANKS_SUM, RANKS_REPLICAS, RANKS_LAYERS };

struct request {
    const char *from, *split, *ranks_word, *axes, *select, *columns, *tokens, *documents, *vocabulary;
    int64_t experts, layers, topk, step, layer_base, shared; /* 0: not said; layer_base -1 */
    struct string_list domain_files, accept;

    /* Made of them: */
    enum ranks ranks;
    const char **files; /* (n_files) */
    char **domains;     /* (n_files) NULL: not said */
    int n_files;
};

enum { N_REQUEST_OPTIONS = 16 };
/* Fills in the defaults and the options that both programs have; options[N_REQUEST_OPTIONS - 1] ends them. */
void request_options(struct request *r, struct option_spec options[N_REQUEST_OPTIONS]);
/* Puts files and domains together and checks what can be checked without them. */
int request_complete(struct request *r, char **files, int n, struct error *err);
void request_release(struct request *r);

/* "name" of "/folder/name.ext"; cut to the buffer. */
void request_base_name(const char *path, char *name, size_t size);
/* The same of a file of the import, or its path where another one has that name too. */
void request_file_name(const struct request *r, int file, char *name, size_t size);

#endif
