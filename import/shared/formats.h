/* The formats that can be read, one file each. Adding one is a file and a row of the table in formats.c. */
#ifndef IMPORT_SHARED_FORMATS_H
#define IMPORT_SHARED_FORMATS_H
#include <stddef.h>

#include "import/shared/intake.h"

struct head { /* how a file begins */
    const char *path;
    const char *bytes; /* with a NUL behind */
    size_t n;
};

struct import_format {
    const char *name;  /* of --from */
    const char *help;  /* one line */
    const char *split; /* that its runs have unless --split says otherwise */
    bool (*looks_like)(const struct head *h);
    int (*read)(struct intake *in, const struct request *r, struct error *err);
    bool takes_layers; /* --ranks layers: files hold other layers of the same tokens */
};
extern const struct import_format *const import_formats[]; /* the surest signs first; ended by NULL */

/* --from NAME, or by content: all files must be of one format. */
int format_find(const struct import_format **f, const struct request *r, struct error *err);

bool head_has(const struct head *h, const char *word);    /* anywhere in what was read */
bool head_begins(const struct head *h, const char *word); /* behind white space */
bool head_ends(const struct head *h, const char *ending); /* the path does */

#endif
