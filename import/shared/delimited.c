#include "import/shared/delimited.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void delimited_start(struct delimited *d, struct input *in, char separator)
{
    *d = (struct delimited){.in = in, .separator = separator};
    input_skip_mark(in);
    text_init(&d->text);
}

void delimited_release(struct delimited *d)
{
    text_release(&d->text);
    free(d->at);
    *d = (struct delimited){0};
}

static int begin_cell(struct delimited *d, struct error *err)
{
    if (d->n == DELIMITED_CELLS) {
        return input_refuse(d->in, err, "more than %d cells in a row", DELIMITED_CELLS);
    }
    if (d->n == d->capacity) {
        int capacity = d->capacity > 0 ? 2 * d->capacity : 16;
        size_t *at = realloc(d->at, (size_t)capacity * sizeof *at);
        if (at == NULL) {
            return error_no_memory(err, "a row");
        }
        d->at = at;
        d->capacity = capacity;
    }
    d->at[d->n++] = d->text.length;
    return 0;
}

/* Behind the opening quote, to behind the closing one; line breaks may be inside. */
static int take_quoted(struct delimited *d, struct error *err)
{
    struct input *in = d->in;
    for (;;) {
        int c = input_peek(in);
        if (c < 0) {
            return input_refuse(in, err, "the file ends within quotes");
        }
        in->at++;
        in->line += c == '\n';
        if (c == '"') {
            if (input_peek(in) != '"') {
                return 0;
            }
            in->at++;
        }
        if (d->text.length > DELIMITED_BYTES) {
            return input_refuse(in, err, "a row of more than %d bytes", DELIMITED_BYTES);
        }
        text_add_bytes(&d->text, &(char){(char)c}, 1);
    }
}

static bool ends_cell(const struct delimited *d, int c)
{
    return c == d->separator || c == '\n' || c == '\r' || (d->separator == ' ' && c == '\t');
}

static int take_plain(struct delimited *d, struct error *err)
{
    struct input *in = d->in;
    while (input_peek(in) >= 0) {
        size_t n = 0;
        while (in->at + n < in->end && !ends_cell(d, in->window[in->at + n])) {
            n++;
        }
        text_add_bytes(&d->text, in->window + in->at, n);
        in->at += n;
        if (d->text.length > DELIMITED_BYTES) {
            return input_refuse(in, err, "a row of more than %d bytes", DELIMITED_BYTES);
        }
        if (in->at < in->end) {
            return 0;
        }
    }
    return 0;
}

static void skip_blanks(struct delimited *d)
{
    int c;
    while (d->separator == ' ' && ((c = input_peek(d->in)) == ' ' || c == '\t')) {
        d->in->at++;
    }
}

/* A cell, and whether another one follows in the row. */
static int take_cell(struct delimited *d, bool *more, struct error *err)
{
    struct input *in = d->in;
    if (begin_cell(d, err) != 0) {
        return -1;
    }
    bool quoted = d->separator != ' ' && input_peek(in) == '"';
    if (quoted) {
        in->at++;
    }
    if (quoted ? take_quoted(d, err) != 0 : take_plain(d, err) != 0) {
        return -1;
    }
    text_add_bytes(&d->text, "", 1);
    skip_blanks(d);
    int c = input_peek(in);
    if (quoted && c >= 0 && !ends_cell(d, c)) {
        return input_refuse(in, err, "something behind a closing quote");
    }
    if (c == '\r') {
        in->at++;
        c = input_peek(in);
    }
    *more = c >= 0 && c != '\n';
    /* A line's end is counted with the next row, so that complaints name this one. */
    in->at += c == '\n' || (c == d->separator && d->separator != ' ');
    return d->text.failed ? error_no_memory(err, "a row") : 0;
}

static void skip_comment(struct input *in)
{
    while (input_peek(in) >= 0 && input_peek(in) != '\n') {
        in->at++;
    }
}

int delimited_row(struct delimited *d, struct error *err)
{
    struct input *in = d->in;
    int c;
    bool more = true;
    in->line += d->n > 0;
    d->n = 0;
    text_clear(&d->text);
    for (;;) {
        skip_blanks(d);
        c = input_peek(in);
        if (c == '#' && !d->begun) {
            skip_comment(in);
        } else if (c == '\n' || c == '\r') {
            in->line += c == '\n';
            in->at++;
        } else {
            break;
        }
    }
    if (c < 0) {
        return input_check(in, err);
    }
    d->begun = true;
    while (more) {
        if (take_cell(d, &more, err) != 0) {
            return -1;
        }
    }
    return input_check(in, err) != 0 ? -1 : 1;
}

const char *delimited_cell(const struct delimited *d, int i)
{
    return i >= 0 && i < d->n ? d->text.data + d->at[i] : "";
}

int delimited_integer(const struct delimited *d, int i, const char *what, int64_t *value, struct error *err)
{
    const char *cell = delimited_cell(d, i);
    char *end;
    errno = 0;
    *value = strtoll(cell, &end, 10);
    while (*end == ' ') {
        end++;
    }
    return end != cell && *end == '\0' && errno == 0
               ? 0
               : input_refuse(d->in, err, "%s '%.40s' is not a whole number", what, cell);
}

int delimited_real(const struct delimited *d, int i, const char *what, double *value, struct error *err)
{
    const char *cell = delimited_cell(d, i);
    char *end;
    *value = strtod(cell, &end);
    while (*end == ' ') {
        end++;
    }
    return end != cell && *end == '\0' ? 0
                                       : input_refuse(d->in, err, "%s '%.40s' is not a number", what, cell);
}
