#include "bench/shared/figures.h"

#include <math.h>

int figures_open(struct figures *f, FILE *out, const char *format, const char *json, const char *title,
                 const char *const *columns, int n, struct error *err)
{
    enum table_format shown;

    *f = (struct figures){0};
    if (table_format_parse(format, &shown, err) || (json && output_open(&f->file, json, err)))
        return -1;
    f->shown = table_open(out, shown, title, columns, n);
    f->kept = json ? table_open(f->file.stream, TABLE_JSON, NULL, columns, n) : NULL;
    return 0;
}

void figures_text(struct figures *f, const char *value)
{
    table_text(f->shown, value);
    if (f->kept)
        table_text(f->kept, value);
}

void figures_int(struct figures *f, int64_t value)
{
    table_int(f->shown, value);
    if (f->kept)
        table_int(f->kept, value);
}

static void add_real(struct table *t, double value)
{
    isnan(value) ? table_null(t) : table_real(t, value);
}

void figures_real(struct figures *f, double value)
{
    add_real(f->shown, value);
    if (f->kept)
        add_real(f->kept, value);
}

int figures_close(struct figures *f, int result, struct error *err)
{
    struct error *told = result ? NULL : err; /* the first failure is the one to tell */

    if (table_close(f->shown, told)) {
        result = -1;
        told = NULL;
    }
    if (f->file.stream) {
        if (table_close(f->kept, told))
            result = -1;
        if (result == 0)
            result = output_commit(&f->file, err);
        else
            output_discard(&f->file);
    }
    return result;
}
