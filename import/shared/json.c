#include "import/shared/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = 64, SURE = 32 /* bytes that a fast step may look at */ };

void json_start(struct json *j, struct input *in)
{
    *j = (struct json){.in = in};
    input_skip_mark(in);
}

/* ---- bytes ---- */

static int peek(struct json *j)
{
    struct input *in = j->in;
    for (;;) {
        int c = input_peek(in);
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
            return c;
        }
        in->line += c == '\n';
        in->at++;
    }
}

static int unexpected(struct json *j, const char *wanted, struct error *err)
{
    int c = peek(j);
    if (c < 0) {
        return input_refuse(j->in, err, "the file ends where %s is expected", wanted);
    }
    return c > ' ' && c < 127
               ? input_refuse(j->in, err, "'%c' where %s is expected", c, wanted)
               : input_refuse(j->in, err, "byte 0x%02x where %s is expected", (unsigned)c, wanted);
}

static int expect(struct json *j, char c, const char *wanted, struct error *err)
{
    if (peek(j) != c) {
        return unexpected(j, wanted, err);
    }
    j->in->at++;
    return 0;
}

/* ---- structure ---- */

int json_document(struct json *j, struct error *err)
{
    j->depth = 0;
    j->first = false;
    return peek(j) < 0 ? input_check(j->in, err) : 1;
}

enum json_kind json_peek(struct json *j)
{
    int c = peek(j);
    switch (c) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case '-':
        return JSON_NUMBER;
    case 't':
    case 'f':
    case 'n':
    case 'N': /* NaN, as Python writes it */
    case 'I':
        return JSON_WORD;
    default:
        return c >= '0' && c <= '9' ? JSON_NUMBER : JSON_END;
    }
}

int json_enter(struct json *j, enum json_kind kind, const char *what, struct error *err)
{
    if (j->depth == JSON_DEEPEST) {
        return input_refuse(j->in, err, "more than %d arrays and objects within each other", JSON_DEEPEST);
    }
    if (expect(j, kind == JSON_OBJECT ? '{' : '[', what, err) != 0) {
        return -1;
    }
    j->depth++;
    j->first = true;
    return 0;
}

/* 1: something comes, behind its comma. */
static int next(struct json *j, char end, const char *wanted, struct error *err)
{
    int c = peek(j);
    if (c == end) {
        j->in->at++;
        j->depth--;
        j->first = false;
        return 0;
    }
    if (!j->first && expect(j, ',', wanted, err) != 0) {
        return -1;
    }
    j->first = false;
    return 1;
}

int json_item(struct json *j, struct error *err)
{
    return next(j, ']', "',' or ']'", err);
}

int json_long_key(struct json *j, struct text *key, size_t most, struct error *err)
{
    int more = next(j, '}', "',' or '}'", err);
    if (more != 1) {
        return more;
    }
    text_clear(key);
    return json_string(j, key, most, err) == 0 && expect(j, ':', "':'", err) == 0 ? 1 : -1;
}

int json_key(struct json *j, char key[JSON_KEY], struct error *err)
{
    struct text t;
    text_init(&t);
    int more = json_long_key(j, &t, JSON_KEY - 1, err);
    if (more == 1) {
        memcpy(key, t.data, t.length + 1);
    }
    text_release(&t);
    return more;
}

/* ---- numbers and words ---- */

static bool in_number(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '-' || c == '.';
}

/* The letters and digits that come. */
static int take_word(struct json *j, char word[NUMBER], const char *wanted, struct error *err)
{
    size_t n = 0;
    peek(j);
    while (in_number(input_peek(j->in))) {
        if (n == NUMBER - 1) {
            return input_refuse(j->in, err, "a number of more than %d digits", NUMBER - 1);
        }
        word[n++] = (char)j->in->window[j->in->at++];
    }
    word[n] = '\0';
    return n > 0 ? 0 : unexpected(j, wanted, err);
}

/* What strtod takes and JSON does not know (0x10, infinity) is none. */
static bool is_number(const char *word)
{
    const char *s = word + (*word == '-');
    return *s >= '0' && *s <= '9' && s[strspn(s, "0123456789+-.eE")] == '\0';
}

static int read_real(struct json *j, const char *word, double *value, struct error *err)
{
    char *end;
    if (strcmp(word, "NaN") == 0 || strcmp(word, "null") == 0) {
        *value = NAN;
    } else if (strcmp(word, "Infinity") == 0 || strcmp(word, "-Infinity") == 0) {
        *value = *word == '-' ? -INFINITY : INFINITY;
    } else {
        *value = strtod(word, &end);
        if (!is_number(word) || *end != '\0') {
            return input_refuse(j->in, err, "'%s' is not a number", word);
        }
    }
    return 0;
}

int json_real(struct json *j, double *value, struct error *err)
{
    char word[NUMBER];
    return take_word(j, word, "a number", err) != 0 ? -1 : read_real(j, word, value, err);
}

int json_integer(struct json *j, int64_t *value, struct error *err)
{
    char word[NUMBER], *end;
    double real;
    if (take_word(j, word, "a whole number", err) != 0) {
        return -1;
    }
    errno = 0;
    *value = strtoll(word, &end, 10);
    if (*end == '\0' && errno == 0 && is_number(word)) {
        return 0;
    }
    if (read_real(j, word, &real, err) != 0) {
        return -1;
    }
    if (!(fabs(real) < 9e15) || real != floor(real)) {
        return input_refuse(j->in, err, "'%s' is not a whole number", word);
    }
    *value = (int64_t)real;
    return 0;
}

bool json_null(struct json *j)
{
    struct input *in = j->in;
    peek(j);
    while (in->end - in->at < 4 && input_more(in)) {
    }
    if (in->end - in->at < 4 || memcmp(in->window + in->at, "null", 4) != 0) {
        return false;
    }
    in->at += 4;
    return true;
}

int json_truth(struct json *j, bool *value, struct error *err)
{
    char word[NUMBER];
    if (take_word(j, word, "true or false", err) != 0) {
        return -1;
    }
    *value = strcmp(word, "true") == 0;
    return *value || strcmp(word, "false") == 0
               ? 0
               : input_refuse(j->in, err, "'%s' is neither true nor false", word);
}

/* ---- strings ---- */

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int take_hex(struct json *j, uint32_t *code, struct error *err)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(input_peek(j->in));
        if (digit < 0) {
            return input_refuse(j->in, err, "\\u without four hexadecimal digits");
        }
        *code = *code << 4 | (uint32_t)digit;
        j->in->at++;
    }
    return 0;
}

static size_t put_utf8(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6) {
        out[i] = (char)(0x80 | (code & 0x3f));
    }
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | code);
    return n;
}

/* Behind \u: a character, or two halves of one; half a one becomes U+FFFD. */
static int take_character(struct json *j, char out[4], size_t *n, struct error *err)
{
    uint32_t code, low;
    if (take_hex(j, &code, err) != 0) {
        return -1;
    }
    if (code >= 0xd800 && code < 0xdc00 && input_peek(j->in) == '\\') {
        while (j->in->end - j->in->at < 2 && input_more(j->in)) {
        }
        if (j->in->end - j->in->at >= 2 && j->in->window[j->in->at + 1] == 'u') {
            j->in->at += 2;
            if (take_hex(j, &low, err) != 0) {
                return -1;
            }
            code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff) : 0xfffd;
        }
    }
    *n = put_utf8(out, code == 0 || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code);
    return 0;
}

static int take_escape(struct json *j, char out[4], size_t *n, struct error *err)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    int c = input_peek(j->in);
    const char *name = c > 0 ? strchr(names, c) : NULL;
    if (c == 'u') {
        j->in->at++;
        return take_character(j, out, n, err);
    }
    if (name == NULL) {
        return input_refuse(j->in, err, "an escape that JSON does not know");
    }
    j->in->at++;
    out[0] = means[name - names];
    *n = 1;
    return 0;
}

int json_string_pieces(struct json *j, json_piece *take, void *context, struct error *err)
{
    struct input *in = j->in;
    if (expect(j, '"', "a string", err) != 0) {
        return -1;
    }
    for (;;) {
        int c = 0;
        size_t n = 0;
        char escaped[4];
        input_peek(in);
        while (in->at + n < in->end && (c = in->window[in->at + n]) != '"' && c != '\\' && c >= ' ') {
            n++;
        }
        if (n > 0 && take(context, (const char *)in->window + in->at, n, err) != 0) {
            return -1;
        }
        in->at += n;
        if (in->at == in->end) {
            if (!input_more(in)) {
                return input_refuse(in, err, "the file ends within a string");
            }
            continue;
        }
        if (c < ' ') {
            return input_refuse(in, err, "a string with a control character in it");
        }
        in->at++;
        if (c == '"') {
            return 0;
        }
        if (take_escape(j, escaped, &n, err) != 0 || take(context, escaped, n, err) != 0) {
            return -1;
        }
    }
}

struct keeping {
    struct text *text;
    size_t most;
};

static int keep_piece(void *context, const char *bytes, size_t n, struct error *err)
{
    struct keeping *k = context;
    size_t room = k->most - k->text->length;
    if (n > room) { /* cut between characters, and nothing behind the cut */
        for (n = room; n > 0 && ((unsigned char)bytes[n] & 0xC0) == 0x80; n--) {
        }
        k->most = k->text->length + n;
    }
    text_add_bytes(k->text, bytes, n);
    return k->text->failed ? error_no_memory(err, "a string") : 0;
}

int json_string(struct json *j, struct text *text, size_t most, struct error *err)
{
    struct keeping k = {text, text->length + most};
    return json_string_pieces(j, keep_piece, &k, err);
}

/* ---- what nobody asked for ---- */

static int drop_piece(void *context, const char *bytes, size_t n, struct error *err)
{
    (void)context;
    (void)bytes;
    (void)n;
    (void)err;
    return 0;
}

static int skip_word(struct json *j, struct error *err)
{
    char word[NUMBER];
    double value;
    if (take_word(j, word, "a value", err) != 0) {
        return -1;
    }
    return strcmp(word, "true") == 0 || strcmp(word, "false") == 0 ? 0 : read_real(j, word, &value, err);
}

int json_skip(struct json *j, struct error *err) /* NOLINT(misc-no-recursion): JSON_DEEPEST deep */
{
    char key[JSON_KEY];
    enum json_kind kind = json_peek(j);
    int more;
    switch (kind) {
    case JSON_STRING:
        return json_string_pieces(j, drop_piece, NULL, err);
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (json_enter(j, kind, "a value", err) != 0) {
            return -1;
        }
        while ((more = kind == JSON_OBJECT ? json_key(j, key, err) : json_item(j, err)) == 1) {
            if (json_skip(j, err) != 0) {
                return -1;
            }
        }
        return more;
    default:
        return skip_word(j, err);
    }
}

/* ---- many integers ---- */

int integers_reserve(struct integers *a, int64_t more, struct error *err)
{
    if (a->n + more <= a->capacity) {
        return 0;
    }
    int64_t capacity = a->capacity > 0 ? a->capacity : 1024;
    while (capacity < a->n + more) {
        capacity *= 2;
    }
    int32_t *items = realloc(a->items, (size_t)capacity * sizeof *items);
    if (items == NULL) {
        return error_no_memory(err, "numbers of a file");
    }
    a->items = items;
    a->capacity = capacity;
    return 0;
}

void integers_release(struct integers *a)
{
    free(a->items);
    *a = (struct integers){0};
}

/* Numbers of up to nine digits, each with its comma behind it, as long as window and array have room: all but
 * a few of them. 1: the array's end was taken. */
static int take_fast(struct input *in, struct integers *a)
{
    const uint8_t *p = in->window + in->at, *last = in->window + in->end - SURE;
    int32_t *out = a->items + a->n, *full = a->items + a->capacity;
    int ended = 0;
    while (p <= last && out < full) {
        const uint8_t *s = p + (*p == ' ');
        uint32_t digit = (uint32_t)*s - '0', value = digit;
        if (digit > 9) {
            break;
        }
        const uint8_t *start = s++;
        while ((digit = (uint32_t)*s - '0') <= 9 && s < start + 9) {
            value = 10 * value + digit;
            s++;
        }
        if (*s != ',' && *s != ']') {
            break;
        }
        *out++ = (int32_t)value;
        p = s + 1;
        if (*s == ']') {
            ended = 1;
            break;
        }
    }
    in->at = (size_t)(p - in->window);
    a->n = out - a->items;
    return ended;
}

/* One number and what is behind it, whatever it looks like. 1: the end was taken. */
static int take_slowly(struct json *j, struct integers *a, struct error *err)
{
    int64_t value;
    if (json_integer(j, &value, err) != 0) {
        return -1;
    }
    if (value < INT32_MIN || value > INT32_MAX) {
        return input_refuse(j->in, err, "%lld does not fit into 32 bits", (long long)value);
    }
    a->items[a->n++] = (int32_t)value;
    if (peek(j) == ']') {
        j->in->at++;
        return 1;
    }
    return expect(j, ',', "',' or ']'", err);
}

int json_integers(struct json *j, struct integers *a, struct error *err)
{
    struct input *in = j->in;
    int ended = 0;
    if (expect(j, '[', "an array of whole numbers", err) != 0) {
        return -1;
    }
    j->first = false;
    if (peek(j) == ']') {
        in->at++;
        return 0;
    }
    while (ended == 0) {
        if (integers_reserve(a, 1, err) != 0) {
            return -1;
        }
        if (in->end - in->at >= SURE || (input_more(in) && in->end - in->at >= SURE)) {
            int64_t before = a->n;
            ended = take_fast(in, a);
            if (ended || a->n > before) {
                continue;
            }
        }
        ended = take_slowly(j, a, err);
    }
    return ended < 0 ? -1 : 0;
}

int json_integer_rows(struct json *j, struct integers *a, int *width, int64_t *rows, struct error *err)
{
    int more;
    *rows = 0;
    if (json_enter(j, JSON_ARRAY, "an array of arrays of whole numbers", err) != 0) {
        return -1;
    }
    while ((more = json_item(j, err)) == 1) {
        int64_t before = a->n;
        if (json_integers(j, a, err) != 0) {
            return -1;
        }
        int64_t n = a->n - before;
        if (*width == 0) {
            *width = n < INT32_MAX ? (int)n : 0;
        }
        if (n != *width || n == 0) {
            return input_refuse(j->in, err, "row %lld has %lld numbers, not %d", (long long)*rows,
                                (long long)n, *width);
        }
        ++*rows;
    }
    return more;
}
