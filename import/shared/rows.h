/* Choices that come one by one, as rows of tables have them, put together into stretches of tokens. Rows of
 * one step stand together, its documents may come by turns; within one any order will do. Memory is bounded:
 * rows that go through the tokens one after the other are let go on the way, and others may be MOST_ROWS at
 * once. */
#ifndef IMPORT_SHARED_ROWS_H
#define IMPORT_SHARED_ROWS_H
#include "import/shared/input.h"
#include "import/shared/intake.h"

enum { MOST_ROWS = 1 << 22, ROWS_NAME = 512 };

struct row {
    int64_t step, token; /* any numbering of the tokens */
    int32_t layer, slot; /* slot -1: in the order of rows */
    int32_t expert;
    int32_t id;                    /* of the token; -1: unknown */
    float gate;                    /* NaN: unknown */
    const char *document, *domain; /* NULL: none; copied */
};

struct rows;
int rows_open(struct rows **r, struct intake *in, struct error *err);
void rows_close(struct rows *r); /* safe on NULL */
/* Complaints name the input's line. */
int rows_add(struct rows *r, const struct input *from, int file, const struct row *row, struct error *err);
/* Counts instead of choices: of the same step and domain (NULL: none) they are added up. */
int rows_count(struct rows *r, const struct input *from, int file, int64_t step, int64_t layer,
               int64_t expert, int64_t count, const char *domain, struct error *err);
/* The end of a file, or of all. */
int rows_finish(struct rows *r, const struct input *from, struct error *err);

#endif
