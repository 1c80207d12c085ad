#include "import/shared/side.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "import/shared/arrays.h"
#include "import/shared/delimited.h"
#include "import/shared/json.h"

enum { MOST_CELL = 4096 };

struct side_ids {
    struct arrays *arrays; /* NULL: the file is text */
    const struct array *x;
    struct input input;
    int64_t at; /* of the text's next id; `last` is the one before */
    bool ended;
    int32_t last;
    const char *path;
};

/* ---- documents ---- */

static void document_release(struct side_document *d)
{
    for (int i = 0; i < d->n_labels; i++) {
        free((char *)d->labels[i].key);
        free((char *)d->labels[i].value);
    }
    free(d->labels);
    free(d->name);
    free(d->domain);
}

static int add_label(struct side_document *d, const char *key, const char *value, struct error *err)
{
    struct moescope_label *labels = realloc(d->labels, ((size_t)d->n_labels + 1) * sizeof *labels);
    if (labels == NULL) {
        return error_no_memory(err, "a document's labels");
    }
    d->labels = labels;
    labels[d->n_labels] = (struct moescope_label){strdup(key), strdup(value)};
    d->n_labels++;
    return labels[d->n_labels - 1].key != NULL && labels[d->n_labels - 1].value != NULL
               ? 0
               : error_no_memory(err, "a document's labels");
}

static int set_number(const struct input *in, const char *key, const char *value, int64_t *number,
                      struct error *err)
{
    char *end;
    *number = strtoll(value, &end, 10);
    return *value != '\0' && *end == '\0' && *number >= 0
               ? 0
               : input_refuse(in, err, "%s '%.40s' is not a number from 0 on", key, value);
}

/* A cell of a row, whatever its column; an empty one says nothing. */
static int set_cell(struct side_document *d, const struct input *in, const char *key, const char *value,
                    struct error *err)
{
    if (*value == '\0') {
        return 0;
    }
    char **text = strcmp(key, "document") == 0 ? &d->name : strcmp(key, "domain") == 0 ? &d->domain : NULL;
    if (text != NULL) {
        free(*text);
        *text = strdup(value);
        return *text != NULL ? 0 : error_no_memory(err, "a document");
    }
    int64_t *number = strcmp(key, "first") == 0 ? &d->first : strcmp(key, "length") == 0 ? &d->length : NULL;
    return number != NULL ? set_number(in, key, value, number, err) : add_label(d, key, value, err);
}

static int add_document(struct side *s, const struct input *in, struct side_document *d, struct error *err)
{
    if (d->name == NULL) {
        return input_refuse(in, err, "no document is named");
    }
    if ((s->n_documents & (s->n_documents - 1)) == 0) {
        size_t capacity = s->n_documents > 0 ? 2 * (size_t)s->n_documents : 1;
        struct side_document *grown = realloc(s->documents, capacity * sizeof *grown);
        if (grown == NULL) {
            return error_no_memory(err, "documents");
        }
        s->documents = grown;
    }
    s->documents[s->n_documents++] = *d;
    *d = (struct side_document){.first = -1, .length = -1};
    return 0;
}

static int read_csv(struct side *s, struct input *in, struct error *err)
{
    struct delimited d;
    struct text heading[64];
    struct side_document document = {.first = -1, .length = -1};
    int n = 0, more;
    delimited_start(&d, in, ',');
    more = delimited_row(&d, err);
    for (; more == 1 && n < d.n && n < 64; n++) {
        text_init(&heading[n]);
        text_add(&heading[n], delimited_cell(&d, n));
    }
    while (more == 1 && (more = delimited_row(&d, err)) == 1) {
        for (int i = 0; i < n && more == 1; i++) {
            more = set_cell(&document, in, heading[i].data, delimited_cell(&d, i), err) == 0 ? 1 : -1;
        }
        if (more == 1 && add_document(s, in, &document, err) != 0) {
            more = -1;
        }
    }
    document_release(&document);
    for (int i = 0; i < n; i++) {
        text_release(&heading[i]);
    }
    delimited_release(&d);
    return more;
}

static int read_member(struct json *j, const char *key, struct side_document *d, struct error *err)
{
    struct text t;
    double number;
    int result = 0;
    if (json_null(j)) {
        return 0;
    }
    text_init(&t);
    if (json_peek(j) == JSON_WORD) {
        bool truth;
        result = json_truth(j, &truth, err);
        text_add(&t, result == 0 && truth ? "true" : "false");
    } else if (json_peek(j) == JSON_NUMBER) {
        result = json_real(j, &number, err);
        text_add_number(&t, number);
    } else {
        result = json_string(j, &t, MOST_CELL, err);
    }
    if (result == 0) {
        result = set_cell(d, j->in, key, t.data, err);
    }
    text_release(&t);
    return result;
}

static int read_jsonl(struct side *s, struct input *in, struct error *err)
{
    struct json j;
    char key[JSON_KEY];
    struct side_document document = {.first = -1, .length = -1};
    int documents;
    json_start(&j, in);
    while ((documents = json_document(&j, err)) == 1) {
        int more = json_enter(&j, JSON_OBJECT, "a document {...}", err) != 0 ? -1 : json_key(&j, key, err);
        while (more == 1) {
            more = read_member(&j, key, &document, err) != 0 ? -1 : json_key(&j, key, err);
        }
        if (more != 0 || add_document(s, in, &document, err) != 0) {
            documents = -1;
            break;
        }
    }
    document_release(&document);
    return documents;
}

static int by_place(const void *a, const void *b)
{
    const struct side_document *x = a, *y = b;
    uint64_t i = (uint64_t)x->first, k = (uint64_t)y->first; /* -1, nowhere, comes last */
    return i != k ? (i > k) - (i < k) : strcmp(x->name, y->name);
}

/* Ends that are not said are the next one's beginning; two documents in one place are an error. */
static int order_documents(struct side *s, const char *path, struct error *err)
{
    if (s->n_documents > 1) {
        qsort(s->documents, (size_t)s->n_documents, sizeof *s->documents, by_place);
    }
    while (s->n_placed < s->n_documents && s->documents[s->n_placed].first >= 0) {
        s->n_placed++;
    }
    for (int i = s->n_placed + 1; i < s->n_documents; i++) {
        if (strcmp(s->documents[i - 1].name, s->documents[i].name) == 0) {
            return error_set(err, STATUS_INPUT, "'%s': document '%s' is there twice", path,
                             s->documents[i].name);
        }
    }
    for (int i = 0; i < s->n_placed; i++) {
        struct side_document *d = &s->documents[i];
        int64_t next = i + 1 < s->n_placed ? s->documents[i + 1].first : INT64_MAX;
        d->length = d->length < 0 ? next - d->first : d->length;
        if (d->length > next - d->first || d->length == 0) {
            return error_set(err, STATUS_INPUT, "'%s': document '%s', tokens %" PRId64 " and on, %s", path,
                             d->name, d->first, d->length == 0 ? "has none" : "overlaps the next one");
        }
    }
    return 0;
}

static int open_documents(struct side *s, const char *path, struct error *err)
{
    struct input in;
    if (input_open(&in, path, err) != 0) {
        return -1;
    }
    int c = input_peek(&in);
    int result = c == '{' ? read_jsonl(s, &in, err) : read_csv(s, &in, err);
    if (result == 0) {
        result = order_documents(s, path, err);
    }
    input_close(&in);
    return result;
}

const struct side_document *side_at(const struct side *s, int64_t position, int64_t *next)
{
    int low = 0, high = s->n_placed;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (s->documents[middle].first <= position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *next = low < s->n_placed ? s->documents[low].first : INT64_MAX;
    const struct side_document *d = low > 0 ? &s->documents[low - 1] : NULL;
    if (d == NULL || position - d->first >= d->length) {
        return NULL;
    }
    *next = d->length < INT64_MAX - d->first ? d->first + d->length : INT64_MAX;
    return d;
}

const struct side_document *side_named(const struct side *s, const char *name)
{
    int low = s->n_placed, high = s->n_documents - 1;
    while (low <= high) {
        int middle = low + (high - low) / 2, order = strcmp(s->documents[middle].name, name);
        if (order == 0) {
            return &s->documents[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle - 1;
        }
    }
    return NULL;
}

int side_check_places(const struct side *s, int64_t n_tokens, struct error *err)
{
    const struct side_document *d = s->n_placed > 0 ? &s->documents[s->n_placed - 1] : NULL;
    bool open = d != NULL && d->length == INT64_MAX - d->first; /* to the end, wherever that is */
    if (d == NULL || (d->first < n_tokens && (open || d->length <= n_tokens - d->first))) {
        return 0;
    }
    return error_set(err, STATUS_INPUT,
                     "document '%s' is said to begin at token %" PRId64 " and to have %" PRId64
                     ", and the log has %" PRId64 " tokens",
                     d->name, d->first, open ? 0 : d->length, n_tokens);
}

bool side_has_domains(const struct side *s)
{
    for (int i = 0; i < s->n_documents; i++) {
        if (s->documents[i].domain != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- ids ---- */

static int open_ids(struct side_ids *ids, const char *path, struct error *err)
{
    ids->path = path;
    if (input_open(&ids->input, path, err) != 0) {
        return -1;
    }
    int c = input_peek(&ids->input);
    if (c < 0 || isdigit(c) || isspace(c)) {
        return input_check(&ids->input, err);
    }
    if (c == '-' || c == '[' || c == 0xEF) {
        return input_refuse(
            &ids->input, err,
            "token ids are whole numbers below 2^31 with blanks or commas between, or an npy");
    }
    if (arrays_open(&ids->arrays, path, err) != 0) {
        return -1;
    }
    for (int i = 0; i < arrays_n(ids->arrays) && ids->x == NULL; i++) {
        const struct array *x = arrays_at(ids->arrays, i);
        ids->x = x->n_dimensions > 0 ? x : NULL;
    }
    return ids->x != NULL ? 0 : error_set(err, STATUS_INPUT, "'%s' has no array of token ids", path);
}

/* The text's next id: *got 0 at its end. */
static int next_id(struct side_ids *ids, int32_t *id, bool *got, struct error *err)
{
    struct input *in = &ids->input;
    int64_t value = 0;
    int c, n = 0;
    while ((c = input_peek(in)) >= 0 && (isspace(c) || c == ',')) {
        in->line += c == '\n';
        in->at++;
    }
    for (; (c = input_peek(in)) >= 0 && isdigit(c) && n < 10; n++) {
        value = 10 * value + c - '0';
        in->at++;
    }
    *got = n > 0;
    *id = (int32_t)value;
    if (value > INT32_MAX || (c >= 0 && !isspace(c) && c != ',')) {
        return input_refuse(in, err, "token ids are whole numbers below 2^31");
    }
    return input_check(in, err);
}

static int read_text(struct side_ids *ids, int64_t position, int64_t n, int32_t *out, int64_t *got,
                     struct error *err)
{
    *got = 0;
    if (ids->ended && position >= ids->at) {
        return 0;
    }
    if (n > 0 && position == ids->at - 1) {
        out[(*got)++] = ids->last;
    } else if (position != ids->at) {
        return error_set(err, STATUS_USAGE,
                         "'%s': token ids as text can only be read from front to back; pass an npy",
                         ids->path);
    }
    while (*got < n) {
        bool more;
        int32_t id;
        if (next_id(ids, &id, &more, err) != 0) {
            return -1;
        }
        if (!more) {
            ids->ended = true;
            break;
        }
        out[(*got)++] = ids->last = id;
        ids->at++;
    }
    return 0;
}

int side_read_ids(struct side *s, int64_t position, int64_t n, int32_t *out, int64_t *got, struct error *err)
{
    struct side_ids *ids = s->ids;
    int64_t values[256];
    if (ids->arrays == NULL) {
        return read_text(ids, position, n, out, got, err);
    }
    int64_t there = position < ids->x->count ? ids->x->count - position : 0;
    n = n < there ? n : there;
    for (*got = 0; *got < n;) {
        int64_t some = n - *got < 256 ? n - *got : 256;
        if (arrays_integers(ids->arrays, ids->x, position + *got, some, values, err) != 0) {
            return -1;
        }
        for (int64_t i = 0; i < some; i++) {
            if (values[i] < 0 || values[i] > INT32_MAX) {
                return error_set(err, STATUS_INPUT, "'%s': token id %" PRId64, ids->path, values[i]);
            }
            out[(*got)++] = (int32_t)values[i];
        }
    }
    return 0;
}

void side_rewind(struct side *s)
{
    struct side_ids *ids = s->ids;
    if (ids != NULL && ids->arrays == NULL) {
        input_close(&ids->input);
        ids->at = 0;
        ids->ended = false;
        (void)input_open(&ids->input, ids->path, NULL); /* a failure shows as an empty file's */
    }
}

/* ---- both ---- */

int side_open(struct side *s, const struct request *r, struct error *err)
{
    *s = (struct side){.n_documents = 0};
    if (r->documents != NULL && open_documents(s, r->documents, err) != 0) {
        return -1;
    }
    if (r->tokens == NULL) {
        return 0;
    }
    s->ids = calloc(1, sizeof *s->ids);
    if (s->ids == NULL) {
        return error_no_memory(err, "token ids");
    }
    s->ids->input.file = -1;
    return open_ids(s->ids, r->tokens, err);
}

void side_close(struct side *s)
{
    for (int i = 0; i < s->n_documents; i++) {
        document_release(&s->documents[i]);
    }
    free(s->documents);
    if (s->ids != NULL) {
        arrays_close(s->ids->arrays);
        input_close(&s->ids->input);
        free(s->ids);
    }
    *s = (struct side){.n_documents = 0};
}
