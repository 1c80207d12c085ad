#include "import/shared/answer_rows.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/arrays.h"
#include "import/shared/elements.h"
#include "import/shared/intake.h"

enum { PIECE = 4096 /* numbers at a time */ };

void row_reader_release(struct row_reader *r)
{
    base64_release(&r->base64);
    integers_release(&r->slots);
}

/* ---- lists ---- */

/* [[[k numbers] for each layer] for each token] */
static int read_lists(struct row_reader *r, struct answer_rows *rows, struct error *err)
{
    int64_t layers;
    int more;
    if (json_enter(r->json, JSON_ARRAY, "a list of tokens", err) != 0) {
        return -1;
    }
    while ((more = json_item(r->json, err)) == 1) {
        if (json_integer_rows(r->json, &rows->experts, &rows->k, &layers, err) != 0) {
            return -1;
        }
        if (rows->n++ == 0) {
            rows->n_layers = (int)layers;
        }
        if (layers != rows->n_layers || layers == 0) {
            return input_refuse(r->input, err, "token %lld has %lld layers, not %d", (long long)rows->n - 1,
                                (long long)layers, rows->n_layers);
        }
    }
    return more;
}

/* ---- numbers ---- */

static int shape_rows(struct row_reader *r, struct answer_rows *rows, int64_t n, int64_t n_layers, int64_t k,
                      struct error *err)
{
    if (n < 0 || n_layers < 1 || n_layers > MTP_LAYER || k < 1 || k > INT16_MAX ||
        n > INT32_MAX / (n_layers * k)) {
        return input_refuse(r->input, err, "routed_experts of %lld tokens, %lld layers, %lld columns",
                            (long long)n, (long long)n_layers, (long long)k);
    }
    rows->n = n;
    rows->n_layers = (int)n_layers;
    rows->k = (int)k;
    return 0;
}

static int add_experts(struct row_reader *r, struct answer_rows *rows, const int64_t *ids, int64_t n,
                       struct error *err)
{
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < INT32_MIN || ids[i] > INT32_MAX) {
            return input_refuse(r->input, err, "expert %lld", (long long)ids[i]);
        }
        rows->experts.items[rows->experts.n++] = (int32_t)ids[i];
    }
    return 0;
}

static int copy_array(struct row_reader *r, struct arrays *npy, const struct array *x,
                      struct answer_rows *rows, struct error *err)
{
    int64_t ids[PIECE];
    if (integers_reserve(&rows->experts, x->count + 1, err) != 0) {
        return -1;
    }
    for (int64_t at = 0; at < x->count; at += PIECE) {
        int64_t n = x->count - at < PIECE ? x->count - at : PIECE;
        if (arrays_integers(npy, x, at, n, ids, err) != 0) {
            return input_place(r->input, err);
        }
        if (add_experts(r, rows, ids, n, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_npy(struct row_reader *r, struct answer_rows *rows, struct error *err)
{
    struct arrays *npy;
    if (arrays_open_memory(&npy, r->base64.bytes, r->base64.n, "routed_experts", err) != 0) {
        return input_place(r->input, err);
    }
    const struct array *x = arrays_n(npy) == 1 ? arrays_at(npy, 0) : NULL;
    int result = x == NULL || x->n_dimensions != 3
                     ? input_refuse(r->input, err, "routed_experts is not an array of three dimensions")
                     : shape_rows(r, rows, x->shape[0], x->shape[1], x->shape[2], err);
    if (result == 0) {
        r->narrow = r->narrow || x->type == ARRAY_U8 || x->type == ARRAY_I8;
        result = copy_array(r, npy, x, rows, err);
    }
    arrays_close(npy);
    return result;
}

/* Numbers and nothing else, whose shape is known from elsewhere. */
static int read_raw(struct row_reader *r, struct answer_rows *rows, enum array_type type, struct error *err)
{
    int64_t ids[PIECE], count = rows->n * rows->n_layers * rows->k;
    size_t width = element_width(type);
    if (r->base64.n != (size_t)count * width) {
        return input_refuse(r->input, err,
                            "routed_experts has %zu bytes, not %zu for each of %lld tokens, %d layers and %d "
                            "columns",
                            r->base64.n, width, (long long)rows->n, rows->n_layers, rows->k);
    }
    if (integers_reserve(&rows->experts, count + 1, err) != 0) {
        return -1;
    }
    for (int64_t at = 0; at < count; at += PIECE) {
        int64_t n = count - at < PIECE ? count - at : PIECE;
        (void)elements_integers(type, r->base64.bytes + (size_t)at * width, (size_t)n, ids);
        if (add_experts(r, rows, ids, n, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* SGLang sends numbers without a header: how many layers and columns they are must be said. */
static int read_headless(struct row_reader *r, struct answer_rows *rows, struct error *err)
{
    if (r->layers == 0 || r->topk == 0) {
        return input_refuse(r->input, err,
                            "routed_experts of %zu bytes without a header; pass --layers and --topk",
                            r->base64.n);
    }
    int64_t row = 4 * r->layers * r->topk;
    return shape_rows(r, rows, (int64_t)r->base64.n / row, r->layers, r->topk, err) != 0
               ? -1
               : read_raw(r, rows, ARRAY_I32, err);
}

/* ---- headings ---- */

static const char heading_start[] = "nrlre1:";
enum { HEADING_START = sizeof heading_start - 1, HEADING_COLONS = 3 };

/* Whether what has been seen can still become a heading, or is one that has not ended. */
static bool in_heading(const struct row_reader *r)
{
    size_t n = r->heading.n < HEADING_START ? r->heading.n : HEADING_START;
    return memcmp(r->heading.text, heading_start, n) == 0 && r->heading.colons < HEADING_COLONS &&
           r->heading.n < sizeof r->heading.text - 1;
}

static bool has_heading(const struct row_reader *r)
{
    return r->heading.colons > 0 && strncmp(r->heading.text, heading_start, HEADING_START) == 0;
}

/* A few characters that were none are base64 themselves. */
static int end_heading(struct row_reader *r, struct error *err)
{
    if (has_heading(r)) {
        return r->heading.colons == HEADING_COLONS
                   ? 0
                   : input_refuse(r->input, err, "'%s' is not 'nrlre1:DTYPE:TOKENSxLAYERSxK:'",
                                  r->heading.text);
    }
    size_t n = r->heading.n;
    r->heading.n = 0;
    return base64_add(&r->base64, r->heading.text, n, err);
}

static int take_piece(void *context, const char *bytes, size_t n, struct error *err)
{
    struct row_reader *r = context;
    if (r->heading.ended) {
        return base64_add(&r->base64, bytes, n, err);
    }
    for (; n > 0 && in_heading(r); bytes++, n--) {
        r->heading.text[r->heading.n++] = *bytes;
        r->heading.colons += *bytes == ':';
    }
    if (in_heading(r)) {
        return 0;
    }
    r->heading.ended = true;
    return end_heading(r, err) != 0 ? -1 : base64_add(&r->base64, bytes, n, err);
}

static int find_type(struct row_reader *r, const char *name, enum array_type *type, struct error *err)
{
    static const struct {
        const char *name;
        enum array_type type;
    } types[] = {{"uint8", ARRAY_U8},   {"int8", ARRAY_I8},   {"uint16", ARRAY_U16}, {"int16", ARRAY_I16},
                 {"uint32", ARRAY_U32}, {"int32", ARRAY_I32}, {"int64", ARRAY_I64}};
    name = strncmp(name, "torch.", 6) == 0 ? name + 6 : name;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) == 0) {
            *type = types[i].type;
            return 0;
        }
    }
    return input_refuse(r->input, err, "routed_experts of type '%s', which is none of whole numbers", name);
}

/* A number from 0 on and what must stand behind it, 'x' or ':'; NULL: they are not there. */
static const char *take_number(const char *text, char behind, int64_t *value)
{
    char *end;
    *value = strtoll(text, &end, 10);
    return isdigit((unsigned char)*text) && *end == behind ? end + 1 : NULL;
}

static int read_headed(struct row_reader *r, struct answer_rows *rows, struct error *err)
{
    const char *type_name = r->heading.text + HEADING_START, *colon = strchr(type_name, ':'), *at = colon + 1;
    char name[sizeof r->heading.text];
    int64_t n = 0, n_layers = 0, k = 0;
    enum array_type type;
    snprintf(name, sizeof name, "%.*s", (int)(colon - type_name), type_name);
    if ((at = take_number(at, 'x', &n)) == NULL || (at = take_number(at, 'x', &n_layers)) == NULL ||
        (at = take_number(at, ':', &k)) == NULL || *at != '\0') {
        return input_refuse(r->input, err, "'%s' is not 'nrlre1:DTYPE:TOKENSxLAYERSxK:'", r->heading.text);
    }
    if (find_type(r, name, &type, err) != 0 || shape_rows(r, rows, n, n_layers, k, err) != 0) {
        return -1;
    }
    r->narrow = r->narrow || type == ARRAY_U8 || type == ARRAY_I8;
    return read_raw(r, rows, type, err);
}

static int read_base64(struct row_reader *r, struct answer_rows *rows, struct error *err)
{
    base64_clear(&r->base64);
    memset(&r->heading, 0, sizeof r->heading);
    if (json_string_pieces(r->json, take_piece, r, err) != 0 ||
        (!r->heading.ended && end_heading(r, err) != 0) || base64_finish(&r->base64, err) != 0) {
        return err != NULL && strchr(err->text, '\'') != NULL ? -1 : input_place(r->input, err);
    }
    if (has_heading(r)) {
        return read_headed(r, rows, err);
    }
    bool npy = r->base64.n > 6 && memcmp(r->base64.bytes, "\x93NUMPY", 6) == 0;
    return npy ? read_npy(r, rows, err) : read_headless(r, rows, err);
}

/* ---- values ---- */

int row_reader_take(struct row_reader *r, struct answer_rows *rows, struct error *err)
{
    rows->n = rows->n_layers = rows->k = 0;
    rows->experts.n = 0;
    return json_peek(r->json) == JSON_STRING ? read_base64(r, rows, err) : read_lists(r, rows, err);
}

int row_reader_take_slots(struct row_reader *r, struct answer_rows *rows, struct error *err)
{
    if (row_reader_take(r, rows, err) != 0) {
        return -1;
    }
    int k = rows->n_layers, n_layers = rows->k, row = k * n_layers;
    if (integers_reserve(&r->slots, row + 1, err) != 0) {
        return -1;
    }
    for (int64_t t = 0; t < rows->n; t++) {
        int32_t *e = rows->experts.items + t * row;
        memcpy(r->slots.items, e, (size_t)row * sizeof *e);
        for (int i = 0; i < row; i++) {
            e[i % n_layers * k + i / n_layers] = r->slots.items[i];
        }
    }
    rows->n_layers = n_layers;
    rows->k = k;
    return 0;
}
