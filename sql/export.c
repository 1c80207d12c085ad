#include "sql/export.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* ---- JSON lines ---- */

static void add_value(struct text *line, const struct cell *cell)
{
    switch (cell->kind) {
    case CELL_INT:
        text_printf(line, "%lld", (long long)cell->integer);
        break;
    case CELL_REAL:
        text_add_number(line, cell->real); /* one that is not finite is null, as JSON has it */
        break;
    case CELL_TEXT:
        text_add_json(line, cell->bytes);
        break;
    case CELL_BLOB:
        text_add(line, "\"");
        text_add_hex(line, cell->bytes, cell->n);
        text_add(line, "\"");
        break;
    default:
        text_add(line, "null");
    }
}

/* "name": of every column, made once. */
static int label_columns(struct query *q, struct text **labels, struct error *err)
{
    int n = query_columns(q);
    bool failed = false;
    *labels = calloc((size_t)n + 1, sizeof **labels);
    for (int i = 0; *labels != NULL && i < n; i++) {
        text_init(&(*labels)[i]);
        text_add(&(*labels)[i], i > 0 ? ", " : "{");
        text_add_json(&(*labels)[i], query_column(q, i));
        text_add(&(*labels)[i], ": ");
        failed = failed || (*labels)[i].failed;
    }
    return *labels != NULL && !failed ? 0 : error_no_memory(err, "the columns' names");
}

static void release_labels(struct text *labels, int n)
{
    for (int i = 0; labels != NULL && i < n; i++) {
        text_release(&labels[i]);
    }
    free(labels);
}

int query_write_jsonl(struct query *q, FILE *out, int64_t *rows, struct error *err)
{
    struct text line, *labels = NULL;
    int n = query_columns(q), result = label_columns(q, &labels, err);
    *rows = 0;
    text_init(&line);
    while (result == 0 && (result = query_step(q, err)) == 1) {
        text_clear(&line);
        for (int i = 0; i < n; i++) {
            struct cell cell;
            query_cell(q, i, &cell);
            text_add_bytes(&line, labels[i].data, labels[i].length);
            add_value(&line, &cell);
        }
        text_add(&line, "}\n");
        fwrite(line.data, 1, line.length, out);
        result = line.failed ? error_no_memory(err, "a row") : 0;
        ++*rows;
    }
    text_release(&line);
    release_labels(labels, n);
    return result;
}

/* ---- .npy ---- */

enum { NUMBER_WIDTH = 24 }; /* digits of any number */

struct column {
    char kind;    /* i, f, S; 0: nothing but NULLs so far */
    size_t width; /* bytes of its longest text */
    bool numbers; /* among them */
};

/* What a column must be to take the cell as well. Text takes numbers, too, as their digits. */
static void widen(struct column *c, const struct cell *cell)
{
    size_t n = cell->kind == CELL_BLOB ? 2 * cell->n : cell->n;
    if (c->width < n) {
        c->width = n;
    }
    switch (cell->kind) {
    case CELL_INT:
        c->numbers = true;
        if (c->kind == 0) {
            c->kind = 'i';
        }
        break;
    case CELL_TEXT:
    case CELL_BLOB:
        c->kind = 'S';
        break;
    default: /* a NULL among whole numbers needs a place, NaN */
        c->numbers = c->numbers || cell->kind == CELL_REAL;
        if (c->kind != 'S') {
            c->kind = 'f';
        }
    }
}

/* The first pass. */
static int measure(struct query *q, struct column *columns, int n, int64_t *rows, struct error *err)
{
    int result;
    while ((result = query_step(q, err)) == 1) {
        for (int i = 0; i < n; i++) {
            struct cell cell;
            query_cell(q, i, &cell);
            widen(&columns[i], &cell);
        }
        ++*rows;
    }
    for (int i = 0; i < n; i++) {
        struct column *c = &columns[i];
        if (c->kind == 0) {
            c->kind = 'f';
        }
        size_t least = c->numbers ? NUMBER_WIDTH : 1;
        c->width = c->width < least ? least : c->width;
    }
    return result;
}

static int refuse_twins(struct query *q, int n, struct error *err)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            if (strcmp(query_column(q, i), query_column(q, j)) == 0) {
                return error_set(err, STATUS_USAGE,
                                 "two columns are called '%s', which an array cannot have: name them "
                                 "apart by AS",
                                 query_column(q, i));
            }
        }
    }
    return 0;
}

static void add_python_string(struct text *t, const char *s)
{
    text_add(t, "'");
    for (; *s != '\0'; s++) {
        text_add(t, *s == '\'' || *s == '\\' ? "\\" : "");
        text_add_bytes(t, s, 1);
    }
    text_add(t, "'");
}

/* Magic, version, length, and a Python literal, which is padded to a multiple of 64 bytes. */
static int write_npy_header(struct text *t, FILE *out, struct error *err)
{
    enum { PREFIX = 10, ALIGN = 64, MOST = 65535 };
    while ((PREFIX + t->length + 1) % ALIGN != 0 && !t->failed) {
        text_add(t, " ");
    }
    text_add(t, "\n");
    if (t->failed) {
        return error_no_memory(err, "a header");
    }
    if (t->length > MOST) {
        return error_set(err, STATUS_USAGE, "too many columns for an array's header; ask for fewer");
    }
    fwrite("\x93NUMPY\x01\x00", 1, 8, out);
    fputc((int)(t->length & 255), out);
    fputc((int)(t->length >> 8), out);
    fwrite(t->data, 1, t->length, out);
    return 0;
}

static int write_header(struct query *q, const struct column *columns, int n, int64_t rows, FILE *out,
                        struct error *err)
{
    struct text t;
    text_init(&t);
    text_add(&t, "{'descr': [");
    for (int i = 0; i < n; i++) {
        text_add(&t, "(");
        add_python_string(&t, query_column(q, i));
        if (columns[i].kind == 'S') {
            text_printf(&t, ", '|S%zu'), ", columns[i].width);
        } else {
            text_printf(&t, ", '<%c8'), ", columns[i].kind);
        }
    }
    text_printf(&t, "], 'fortran_order': False, 'shape': (%lld,), }", (long long)rows);
    int result = write_npy_header(&t, out, err);
    text_release(&t);
    return result;
}

static void add_word(struct text *row, uint64_t word)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(word >> (8 * i));
    }
    text_add_bytes(row, bytes, 8);
}

static void add_number(struct text *row, const struct column *c, const struct cell *cell)
{
    uint64_t word = (uint64_t)cell->integer;
    double real = cell->kind == CELL_INT ? (double)cell->integer : cell->real;
    if (c->kind == 'f') {
        memcpy(&word, &real, sizeof word);
    }
    add_word(row, word);
}

static void add_text(struct text *row, const struct column *c, const struct cell *cell)
{
    size_t end = row->length + c->width;
    if (cell->kind == CELL_TEXT) {
        text_add_bytes(row, cell->bytes, cell->n);
    } else if (cell->kind == CELL_BLOB) {
        text_add_hex(row, cell->bytes, cell->n);
    } else if (cell->kind != CELL_NULL) {
        add_value(row, cell);
    }
    while (row->length < end && !row->failed) {
        text_add_bytes(row, "", 1);
    }
}

/* The second pass. */
static int write_rows(struct query *q, const struct column *columns, int n, FILE *out, struct error *err)
{
    struct text row;
    int result;
    text_init(&row);
    while ((result = query_step(q, err)) == 1) {
        text_clear(&row);
        for (int i = 0; i < n; i++) {
            struct cell cell;
            query_cell(q, i, &cell);
            (columns[i].kind == 'S' ? add_text : add_number)(&row, &columns[i], &cell);
        }
        fwrite(row.data, 1, row.length, out);
    }
    if (result == 0 && row.failed) {
        result = error_no_memory(err, "a row");
    }
    text_release(&row);
    return result;
}

int query_write_npy(struct query *q, FILE *out, int64_t *rows, struct error *err)
{
    int n = query_columns(q);
    struct column *columns = calloc((size_t)n + 1, sizeof *columns);
    *rows = 0;
    if (columns == NULL) {
        return error_no_memory(err, "the columns");
    }
    int result = refuse_twins(q, n, err);
    if (result == 0) {
        result = measure(q, columns, n, rows, err);
    }
    if (result == 0) {
        query_rewind(q);
        result = write_header(q, columns, n, *rows, out, err);
    }
    if (result == 0) {
        result = write_rows(q, columns, n, out, err);
    }
    free(columns);
    return result;
}

/* ---- matrices ---- */

/* Values row by row, of rows that are alike. */
struct matrix {
    int64_t *values;
    int64_t n, capacity, n_rows, n_columns;
};

static int matrix_add(struct matrix *m, int64_t value, struct error *err)
{
    if (m->n == m->capacity) {
        int64_t capacity = m->capacity > 0 ? 2 * m->capacity : 1024;
        int64_t *values = realloc(m->values, (size_t)capacity * sizeof *values);
        if (values == NULL) {
            return error_no_memory(err, "a matrix");
        }
        m->values = values;
        m->capacity = capacity;
    }
    m->values[m->n++] = value;
    return 0;
}

static int refuse_uneven(int64_t first, int64_t row, struct error *err)
{
    return error_set(err, STATUS_INPUT,
                     "layers %lld and %lld have different experts, and a matrix has rows that are alike",
                     (long long)first, (long long)row);
}

/* A row ends where the first column changes; they are as long as the first. */
static int matrix_read(struct matrix *m, struct query *q, struct error *err)
{
    int64_t first = 0, row = 0;
    int result;
    while ((result = query_step(q, err)) == 1) {
        struct cell cell[3];
        for (int i = 0; i < 3; i++) {
            query_cell(q, i, &cell[i]);
        }
        if (m->n_rows == 0 || cell[0].integer != row) {
            first = m->n_rows == 0 ? cell[0].integer : first;
            m->n_columns = m->n_rows == 1 ? m->n : m->n_columns;
            if (m->n != m->n_rows * m->n_columns) {
                return refuse_uneven(first, row, err);
            }
            m->n_rows++;
            row = cell[0].integer;
        }
        if (matrix_add(m, cell[2].integer, err) != 0) {
            return -1;
        }
    }
    m->n_columns = m->n_rows == 1 ? m->n : m->n_columns;
    return result == 0 && m->n != m->n_rows * m->n_columns ? refuse_uneven(first, row, err) : result;
}

static void add_csv(struct text *t, const struct matrix *m)
{
    for (int64_t i = 0; i < m->n; i++) {
        text_add_int(t, m->values[i]);
        text_add(t, (i + 1) % m->n_columns == 0 ? "\n" : ",");
    }
}

static int matrix_write(const struct matrix *m, enum matrix_format format, FILE *out, struct error *err)
{
    struct text t;
    int result = 0;
    text_init(&t);
    if (format == MATRIX_NPY) {
        text_printf(&t, "{'descr': '<i8', 'fortran_order': False, 'shape': (%lld, %lld), }",
                    (long long)m->n_rows, (long long)m->n_columns);
        result = write_npy_header(&t, out, err);
        text_clear(&t);
        for (int64_t i = 0; i < m->n; i++) {
            add_word(&t, (uint64_t)m->values[i]);
        }
    } else {
        add_csv(&t, m);
    }
    if (result == 0 && t.failed) {
        result = error_no_memory(err, "a matrix");
    }
    if (result == 0) {
        fwrite(t.data, 1, t.length, out);
    }
    text_release(&t);
    return result;
}

int query_write_matrix(struct query *q, enum matrix_format format, FILE *out, int64_t *rows,
                       struct error *err)
{
    struct matrix m = {0};
    int result = matrix_read(&m, q, err);
    if (result == 0 && m.n == 0) {
        result = error_set(err, STATUS_INPUT, "no load of any expert is logged there");
    }
    if (result == 0) {
        result = matrix_write(&m, format, out, err);
    }
    *rows = m.n_rows;
    free(m.values);
    return result;
}
