/* CSV tables, as `moescope report` reads them from the programs it starts; what was read is written and read
 * again. */
#include <stdlib.h>
#include <string.h>

#include "analysis/shared/csv.h"
#include "tests/fuzz/fuzz.h"

static void write_cells(const struct csv *c, struct text *t)
{
    for (int row = -1; row < c->n_rows; row++) {
        for (int column = 0; column < c->n_columns; column++) {
            text_add(t, column > 0 ? "," : "");
            csv_add(t, row < 0 ? csv_name(c, column) : csv_cell(c, row, column));
        }
        text_add(t, "\n");
    }
}

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void run(const uint8_t *bytes, size_t n)
{
    struct fuzz_input in = {bytes, n};
    struct csv c, again;
    struct text t;
    struct error err;
    char *text = fuzz_text(&in, n);
    if (csv_parse(&c, text, "fuzz", &err) == 0) {
        text_init(&t);
        write_cells(&c, &t);
        fuzz_require(csv_parse(&again, t.data, "again", &err) == 0, "what was written can be read");
        fuzz_require(again.n_columns == c.n_columns && again.n_rows == c.n_rows, "the same shape");
        for (int i = 0; i < c.n_rows * c.n_columns; i++) {
            fuzz_require(same(csv_cell(&c, i / c.n_columns, i % c.n_columns),
                              csv_cell(&again, i / c.n_columns, i % c.n_columns)),
                         "the same cells");
        }
        for (int row = 0; row < c.n_rows; row++) {
            csv_real(&c, row, "a");
            csv_int(&c, row, "a");
        }
        csv_release(&again);
        text_release(&t);
        csv_release(&c);
    }
    free(text);
}

static void seed(struct fuzz_seeds *s)
{
    static const char table[] = "a,b,c\r\n1,\"x \"\"y\"\", z\",\r\n-2.5e3,\"\",\"line\nline\"\r\n";
    fuzz_seeds_add(s, table, sizeof table - 1);
}

static const char *const words[] = {"\"\"", "\r\n", "\",\"", "1e999", "nan", NULL};

const struct fuzz_target fuzz_table = {
    .name = "table", .most = 4096, .seed = seed, .run = run, .words = words};
