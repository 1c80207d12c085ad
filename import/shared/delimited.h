/* Rows of text: CSV (RFC 4180), or words between blanks; a row at a time. */
#ifndef IMPORT_SHARED_DELIMITED_H
#define IMPORT_SHARED_DELIMITED_H
#include "base/text.h"
#include "import/shared/input.h"

enum { DELIMITED_CELLS = 4096, DELIMITED_BYTES = 1 << 20 };

struct delimited {
    struct input *in;
    char separator; /* ' ': any number of blanks */
    struct text text;
    size_t *at; /* (capacity) where cells begin in text, each with a NUL behind */
    int n, capacity;
    bool begun; /* a row has been */
};

void delimited_start(struct delimited *d, struct input *in, char separator);
void delimited_release(struct delimited *d);

/* 1: the next row that is not empty, before the first one also none that begins with '#'; 0: no more. */
int delimited_row(struct delimited *d, struct error *err);
const char *delimited_cell(const struct delimited *d, int i); /* "" beyond the row's end */
/* The cell as a whole number or a number; what is none is refused, `what` names it. */
int delimited_integer(const struct delimited *d, int i, const char *what, int64_t *value, struct error *err);
int delimited_real(const struct delimited *d, int i, const char *what, double *value, struct error *err);

#endif
