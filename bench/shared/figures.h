/* What a bench found: a table on the output, in the format asked for, and the same as JSON in a file, so that
 * one run serves people and programs. Not a number: a null in either. */
#ifndef BENCH_SHARED_FIGURES_H
#define BENCH_SHARED_FIGURES_H
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "base/table.h"

struct figures {
    struct table *shown, *kept; /* kept NULL: no file was asked for */
    struct output file;
};

/* format: table, csv, json; json: a path, or NULL. */
int figures_open(struct figures *f, FILE *out, const char *format, const char *json, const char *title,
                 const char *const *columns, int n, struct error *err);
void figures_text(struct figures *f, const char *value);
void figures_int(struct figures *f, int64_t value);
void figures_real(struct figures *f, double value);
/* result: of the work itself; the file appears only when that is 0. Returns -1 when either failed. */
int figures_close(struct figures *f, int result, struct error *err);

#endif
