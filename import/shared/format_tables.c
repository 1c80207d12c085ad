/* Tables of choices or counts, a row each: CSV with a heading, and JSON lines whose values may be lists. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/columns.h"
#include "import/shared/delimited.h"
#include "import/shared/format.h"
#include "import/shared/json.h"
#include "import/shared/rows.h"

/* Tokens and phases that are told apart by one number. */
static const int64_t most_number = (int64_t)1 << 60;
enum { MOST_PHASES = 1 << 16 };

struct tables {
    struct intake *in;
    const struct request *request;
    struct columns columns;
    struct input input;
    struct rows *rows;
    int file;
    int64_t told;
    bool has[N_COLUMNS], had[N_COLUMNS]; /* the row at hand; some row of the file */
    int at[N_COLUMNS];                   /* of a CSV's cells */
    int64_t batch;                       /* without tokens: rows that passed together */
    int32_t last_layer;
    int64_t in_layer; /* rows of it so far */
    struct integers experts;
    bool is_list; /* that they came as, whose end is the token's */
    struct reals {
        float *items;
        int64_t n, capacity;
    } gates;
};

/* ---- one row ---- */

/* The columns that there have to be. */
static int check_columns(const struct tables *t, struct error *err)
{
    enum column missing = !t->has[COLUMN_LAYER] ? COLUMN_LAYER : COLUMN_EXPERT;
    if (!t->has[COLUMN_LAYER] || !t->has[COLUMN_EXPERT]) {
        return input_refuse(&t->input, err, "there is no %s; --columns %s=NAME names it",
                            column_word(missing), column_word(missing));
    }
    if (!t->has[COLUMN_COUNT] && !t->has[COLUMN_TOKEN] && !t->has[COLUMN_SLOT] && t->request->topk == 0 &&
        !t->is_list) {
        return input_refuse(&t->input, err,
                            "nothing says where a token ends; pass --topk, or --columns token=NAME");
    }
    return 0;
}

/* Without a column for tokens, layers that follow each other are of the same tokens, and every --topk rows of
 * a layer are one. */
static void count_tokens(struct tables *t, struct row *row)
{
    if (row->layer != t->last_layer) {
        t->batch += row->layer < t->last_layer;
        t->in_layer = 0;
        t->last_layer = row->layer;
    }
    row->token = t->batch;
    if (row->slot < 0) {
        row->slot = t->request->topk > 0 ? (int32_t)(t->in_layer++ % t->request->topk) : -1;
    }
}

static int give_row(struct tables *t, struct row *row, struct error *err)
{
    if (!t->has[COLUMN_TOKEN]) {
        count_tokens(t, row);
    }
    return rows_add(t->rows, &t->input, t->file, row, err);
}

static void start_row(const struct tables *t, struct row *row)
{
    *row = (struct row){.step = t->request->step, .slot = -1, .id = -1, .gate = NAN};
}

static void tell_progress(struct tables *t)
{
    if (t->input.n_read != t->told) {
        intake_progress(t->in, t->input.n_read - t->told);
        t->told = t->input.n_read;
    }
}

/* ---- CSV ---- */

/* What --columns names must be there: it would be lost, and its usual name with it. */
static int check_named(const struct tables *t, struct error *err)
{
    for (int i = 0; i < N_COLUMNS; i++) {
        if (t->columns.names[i][0] != '\0' && !t->had[i]) {
            return error_set(err, STATUS_INPUT, "'%s' has no '%s', which --columns names for %s",
                             t->input.path, t->columns.names[i], column_word((enum column)i));
        }
    }
    return 0;
}

static int find_column(const struct tables *t, const char *cell)
{
    char name[COLUMN_NAME];
    cell += strspn(cell, " \t");
    size_t n = strlen(cell);
    while (n > 0 && (cell[n - 1] == ' ' || cell[n - 1] == '\t')) {
        n--;
    }
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), cell);
    /* BigMoeOnEdge numbers a token by turn, phase and step. */
    return strcmp(name, "turn") == 0    ? COLUMN_DOCUMENT
           : strcmp(name, "phase") == 0 ? COLUMN_PHASE
                                        : columns_find(&t->columns, name);
}

static int read_heading(struct tables *t, const struct delimited *d, struct error *err)
{
    memset(t->has, 0, sizeof t->has);
    for (int i = 0; i < d->n; i++) {
        int column = find_column(t, delimited_cell(d, i));
        if (column >= 0 && !t->has[column]) {
            t->has[column] = t->had[column] = true;
            t->at[column] = i;
        }
    }
    if (check_named(t, err) != 0) {
        return -1;
    }
    if (t->has[COLUMN_PHASE] && t->has[COLUMN_STEP] && !t->has[COLUMN_TOKEN]) {
        t->has[COLUMN_TOKEN] = true;
        t->at[COLUMN_TOKEN] = t->at[COLUMN_STEP];
        t->has[COLUMN_STEP] = false;
    }
    return check_columns(t, err);
}

static int read_cell(const struct tables *t, const struct delimited *d, enum column column, int64_t *value,
                     struct error *err)
{
    return t->has[column] ? delimited_integer(d, t->at[column], column_word(column), value, err) : 0;
}

static int clip(const struct tables *t, enum column column, int64_t value, int32_t *out, struct error *err)
{
    if (value < INT32_MIN || value > INT32_MAX) {
        return input_refuse(&t->input, err, "%s %lld", column_word(column), (long long)value);
    }
    *out = (int32_t)value;
    return 0;
}

static int give_cells(struct tables *t, const struct delimited *d, struct error *err)
{
    struct row row;
    int64_t layer = 0, expert = 0, slot = -1, id = -1, phase = 0, count = 0;
    double gate = NAN;
    start_row(t, &row);
    if (read_cell(t, d, COLUMN_STEP, &row.step, err) != 0 ||
        read_cell(t, d, COLUMN_TOKEN, &row.token, err) != 0 ||
        read_cell(t, d, COLUMN_LAYER, &layer, err) != 0 ||
        read_cell(t, d, COLUMN_EXPERT, &expert, err) != 0) {
        return -1;
    }
    row.domain = t->has[COLUMN_DOMAIN] ? delimited_cell(d, t->at[COLUMN_DOMAIN]) : NULL;
    if (t->has[COLUMN_COUNT]) {
        return read_cell(t, d, COLUMN_COUNT, &count, err) == 0
                   ? rows_count(t->rows, &t->input, t->file, row.step, layer, expert, count, row.domain, err)
                   : -1;
    }
    if (read_cell(t, d, COLUMN_SLOT, &slot, err) != 0 || read_cell(t, d, COLUMN_ID, &id, err) != 0 ||
        read_cell(t, d, COLUMN_PHASE, &phase, err) != 0 ||
        clip(t, COLUMN_LAYER, layer, &row.layer, err) != 0 ||
        clip(t, COLUMN_EXPERT, expert, &row.expert, err) != 0 ||
        clip(t, COLUMN_SLOT, slot, &row.slot, err) != 0 || clip(t, COLUMN_ID, id, &row.id, err) != 0 ||
        (t->has[COLUMN_GATE] && delimited_real(d, t->at[COLUMN_GATE], "gate", &gate, err) != 0)) {
        return -1;
    }
    if (row.token < -most_number || row.token > most_number || phase < 0 || phase > MOST_PHASES) {
        return input_refuse(&t->input, err, "token %lld of phase %lld", (long long)row.token,
                            (long long)phase);
    }
    row.gate = (float)gate;
    row.token += phase * ((int64_t)1 << 40);
    row.document = t->has[COLUMN_DOCUMENT] ? delimited_cell(d, t->at[COLUMN_DOCUMENT]) : NULL;
    return give_row(t, &row, err);
}

static int read_csv(struct tables *t, struct error *err)
{
    struct delimited d;
    int columns, more;
    delimited_start(&d, &t->input, ',');
    more = delimited_row(&d, err);
    columns = d.n;
    if (more == 1 && read_heading(t, &d, err) != 0) {
        more = -1;
    }
    while (more == 1 && (more = delimited_row(&d, err)) == 1) {
        if (d.n != columns) {
            more = input_refuse(&t->input, err, "%d cells, where the heading has %d", d.n, columns);
        } else if (give_cells(t, &d, err) != 0) {
            more = -1;
        }
        tell_progress(t);
    }
    delimited_release(&d);
    return more;
}

/* ---- JSON lines ---- */

struct line {
    char document[ROWS_NAME], domain[ROWS_NAME];
    int64_t integers[N_COLUMNS];
    int width;
    int64_t n_tokens; /* of a list of lists */
};

static int read_text(struct json *j, char text[ROWS_NAME], struct error *err)
{
    struct text t;
    int64_t number;
    if (json_peek(j) == JSON_NUMBER) {
        int result = json_integer(j, &number, err);
        snprintf(text, ROWS_NAME, "%lld", (long long)number);
        return result;
    }
    text_init(&t);
    int result = json_string(j, &t, ROWS_NAME - 1, err);
    snprintf(text, ROWS_NAME, "%s", t.data);
    text_release(&t);
    return result;
}

static int add_gate(struct tables *t, double gate, struct error *err)
{
    struct reals *g = &t->gates;
    if (g->n == g->capacity) {
        int64_t capacity = g->capacity > 0 ? 2 * g->capacity : 64;
        float *items = realloc(g->items, (size_t)capacity * sizeof *items);
        if (items == NULL) {
            return error_no_memory(err, "gates");
        }
        g->items = items;
        g->capacity = capacity;
    }
    g->items[g->n++] = (float)gate;
    return 0;
}

/* A number, a list of them, or lists in a list. */
static int read_gates(struct tables *t, struct json *j, int depth,
                      struct error *err) /* NOLINT(misc-no-recursion) */
{
    double gate;
    int more;
    if (json_peek(j) != JSON_ARRAY || depth == 2) {
        return json_real(j, &gate, err) == 0 ? add_gate(t, gate, err) : -1;
    }
    if (json_enter(j, JSON_ARRAY, "gates", err) != 0) {
        return -1;
    }
    while ((more = json_item(j, err)) == 1) {
        if (read_gates(t, j, depth + 1, err) != 0) {
            return -1;
        }
    }
    return more;
}

static bool lists_in_list(struct json *j)
{
    struct input *in = j->in;
    while (in->end - in->at < 64 && input_more(in)) {
    }
    size_t at = in->at + 1;
    while (at < in->end && isspace(in->window[at])) {
        at++;
    }
    return at < in->end && in->window[at] == '[';
}

static int read_experts(struct tables *t, struct json *j, struct line *line, struct error *err)
{
    int64_t expert;
    t->experts.n = 0;
    t->is_list = json_peek(j) == JSON_ARRAY;
    if (t->is_list) {
        return lists_in_list(j) ? json_integer_rows(j, &t->experts, &line->width, &line->n_tokens, err)
                                : json_integers(j, &t->experts, err);
    }
    if (json_integer(j, &expert, err) != 0 || integers_reserve(&t->experts, 1, err) != 0 ||
        clip(t, COLUMN_EXPERT, expert, t->experts.items, err) != 0) {
        return -1;
    }
    t->experts.n = 1;
    return 0;
}

static int read_member(struct tables *t, struct json *j, const char *key, struct line *line,
                       struct error *err)
{
    int column = columns_find(&t->columns, key);
    if (column < 0 || json_null(j)) {
        return column < 0 ? json_skip(j, err) : 0;
    }
    t->has[column] = t->had[column] = true;
    switch (column) {
    case COLUMN_EXPERT:
        return read_experts(t, j, line, err);
    case COLUMN_GATE:
        return read_gates(t, j, 0, err);
    case COLUMN_DOCUMENT:
        return read_text(j, line->document, err);
    case COLUMN_DOMAIN:
        return read_text(j, line->domain, err);
    default:
        return json_integer(j, &line->integers[column], err);
    }
}

static int give_line(struct tables *t, struct line *line, struct error *err)
{
    int width = line->width > 0 ? line->width : (int)t->experts.n;
    struct row row;
    start_row(t, &row);
    row.step = t->has[COLUMN_STEP] ? line->integers[COLUMN_STEP] : row.step;
    if (check_columns(t, err) != 0 ||
        clip(t, COLUMN_LAYER, line->integers[COLUMN_LAYER], &row.layer, err) != 0 ||
        clip(t, COLUMN_ID, t->has[COLUMN_ID] ? line->integers[COLUMN_ID] : -1, &row.id, err) != 0) {
        return -1;
    }
    if (t->has[COLUMN_COUNT]) {
        return rows_count(t->rows, &t->input, t->file, row.step, row.layer,
                          t->experts.n == 1 ? t->experts.items[0] : -1, line->integers[COLUMN_COUNT],
                          t->has[COLUMN_DOMAIN] ? line->domain : NULL, err);
    }
    if (t->gates.n > 0 && t->gates.n != t->experts.n) {
        return input_refuse(&t->input, err, "%lld experts and %lld gates", (long long)t->experts.n,
                            (long long)t->gates.n);
    }
    if (line->integers[COLUMN_TOKEN] < -most_number || line->integers[COLUMN_TOKEN] > most_number) {
        return input_refuse(&t->input, err, "token %lld", (long long)line->integers[COLUMN_TOKEN]);
    }
    row.document = t->has[COLUMN_DOCUMENT] ? line->document : NULL;
    row.domain = t->has[COLUMN_DOMAIN] ? line->domain : NULL;
    if (t->is_list && t->experts.n == 0) { /* a token without any choice */
        row.token = line->integers[COLUMN_TOKEN];
        row.slot = 0;
        row.expert = -1;
        return give_row(t, &row, err);
    }
    for (int64_t i = 0; i < t->experts.n; i++) {
        row.token = line->integers[COLUMN_TOKEN] + (line->width > 0 ? i / width : 0);
        row.slot = t->is_list            ? (int32_t)(i % width)
                   : t->has[COLUMN_SLOT] ? (int32_t)line->integers[COLUMN_SLOT]
                                         : -1;
        row.expert = t->experts.items[i];
        row.gate = t->gates.n > 0 ? t->gates.items[i] : NAN;
        if (give_row(t, &row, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_jsonl(struct tables *t, struct error *err)
{
    struct json j;
    char key[JSON_KEY];
    int documents;
    json_start(&j, &t->input);
    while ((documents = json_document(&j, err)) == 1) {
        struct line line = {.width = 0};
        memset(t->has, 0, sizeof t->has);
        t->experts.n = t->gates.n = 0;
        t->is_list = false;
        int more = json_enter(&j, JSON_OBJECT, "a row {...}", err) != 0 ? -1 : json_key(&j, key, err);
        for (; more == 1; more = json_key(&j, key, err)) {
            if (read_member(t, &j, key, &line, err) != 0) {
                return -1;
            }
        }
        if (more != 0 || give_line(t, &line, err) != 0) {
            return -1;
        }
        tell_progress(t);
    }
    return documents == 0 ? check_named(t, err) : documents;
}

/* ---- files ---- */

static int read_tables(struct intake *in, const struct request *r,
                       int (*read)(struct tables *, struct error *), struct error *err)
{
    struct tables t = {.in = in, .request = r, .input = {.file = -1}, .last_layer = -1};
    int result = columns_parse(&t.columns, r->columns, err);
    if (result == 0) {
        result = rows_open(&t.rows, in, err);
    }
    for (; t.file < r->n_files && result == 0; t.file++) {
        t.told = 0;
        memset(t.had, 0, sizeof t.had);
        result = input_open(&t.input, r->files[t.file], err);
        if (result == 0) {
            result = read(&t, err);
        }
        if (result == 0) {
            result = rows_finish(t.rows, &t.input, err);
        }
        input_close(&t.input);
    }
    if (result == 0 && t.has[COLUMN_COUNT] && r->n_files > 1 && r->ranks == RANKS_AUTO) {
        intake_finding(
            in, TRAP_RANK_FILES, RULING_REFUSED,
            "pass --ranks sum if ranks saw other tokens (data parallel), --ranks replicas if the same",
            "%d files of counts, of which nothing says whether they add up", r->n_files);
    }
    rows_close(t.rows);
    integers_release(&t.experts);
    free(t.gates.items);
    return result;
}

static int read_csvs(struct intake *in, const struct request *r, struct error *err)
{
    return read_tables(in, r, read_csv, err);
}

static int read_jsonls(struct intake *in, const struct request *r, struct error *err)
{
    return read_tables(in, r, read_jsonl, err);
}

static bool looks_like_csv(const struct head *h)
{
    return head_has(h, ",") && head_has(h, "layer") && !head_begins(h, "{") && !head_begins(h, "[") &&
           memchr(h->bytes, '\0', h->n) == NULL;
}

static bool looks_like_jsonl(const struct head *h)
{
    return head_begins(h, "{") && head_has(h, "\"layer") &&
           (head_has(h, "expert") || head_has(h, "\"selected_ids\""));
}

const struct import_format format_csv = {
    "csv",     "any CSV with a row a choice or count; also SGLang's old one, moe-trace, BigMoeOnEdge",
    "probe",   looks_like_csv,
    read_csvs, false};
const struct import_format format_jsonl = {
    "jsonl",     "any JSON lines with a choice, or a list of them, a line",
    "probe",     looks_like_jsonl,
    read_jsonls, false};
