#include "import/shared/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/shared/json.h"

enum { NO_TEXT = -1, MOST_PIECE = 4096 };

/* Texts grow in one buffer, which moves: until the end a token is where its text begins. */
struct building {
    struct vocabulary_file *v;
    int64_t *at; /* (capacity) */
    bool *special;
    int64_t capacity, n;
    bool bytewise; /* pieces spell bytes as GPT-2's do */
};

static int reserve(struct building *b, int64_t id, struct error *err)
{
    int64_t capacity = b->capacity > 0 ? b->capacity : 4096;
    if (id < 0 || id >= VOCABULARY_MOST) {
        return error_set(err, STATUS_INPUT, "token id %lld", (long long)id);
    }
    while (capacity <= id) {
        capacity *= 2;
    }
    if (capacity > b->capacity) {
        int64_t *at = realloc(b->at, (size_t)capacity * sizeof *at);
        b->at = at != NULL ? at : b->at;
        bool *special = realloc(b->special, (size_t)capacity * sizeof *special);
        b->special = special != NULL ? special : b->special;
        if (at == NULL || special == NULL) {
            return error_no_memory(err, "a vocabulary");
        }
        for (int64_t i = b->capacity; i < capacity; i++) {
            at[i] = NO_TEXT;
            special[i] = false;
        }
        b->capacity = capacity;
    }
    b->n = id >= b->n ? id + 1 : b->n;
    return 0;
}

static int add(struct building *b, int64_t id, const char *piece, bool special, struct error *err)
{
    struct text *t = &b->v->bytes;
    if (reserve(b, id, err) != 0) {
        return -1;
    }
    b->at[id] = (int64_t)t->length;
    b->special[id] = special;
    text_add_bytes(t, piece, strlen(piece) + 1);
    return t->failed ? error_no_memory(err, "a vocabulary") : 0;
}

/* ---- how pieces spell ---- */

/* GPT-2's alphabet: bytes that print are themselves, the others follow from U+0100 on in their order. */
static int byte_of(uint32_t code)
{
    int next = 0x100;
    for (int byte = 0; byte < 256; byte++) {
        bool prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        if (code == (uint32_t)(prints ? byte : next++)) {
            return byte;
        }
    }
    return -1;
}

static uint32_t next_code(const char **s)
{
    const unsigned char *u = (const unsigned char *)*s;
    int n = *u < 0x80 ? 1 : *u < 0xe0 ? 2 : *u < 0xf0 ? 3 : 4;
    uint32_t code = n == 1 ? *u : *u & (0xffu >> (n + 1));
    for (int i = 1; i < n; i++) {
        if ((u[i] & 0xc0) != 0x80) {
            n = i;
            break;
        }
        code = code << 6 | (u[i] & 0x3f);
    }
    *s += n;
    return code;
}

/* Of a character that begins with it; -1: none does. */
static int bytes_behind(unsigned char c)
{
    if (c < 0x80) {
        return 0;
    }
    if (c < 0xc2 || c > 0xf4) {
        return -1;
    }
    return c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
}

static bool is_utf8(const char *s)
{
    while (*s != '\0') {
        int more = bytes_behind((unsigned char)*s++);
        for (int i = 0; i < more; i++) {
            if (((unsigned char)*s++ & 0xc0) != 0x80) {
                return false;
            }
        }
        if (more < 0) {
            return false;
        }
    }
    return true;
}

/* Bytes that are no character stand as <0xE3>. */
static void spell_bytes(struct text *out, const char *piece)
{
    struct text bytes;
    text_init(&bytes);
    for (const char *s = piece; *s != '\0';) {
        const char *from = s;
        int byte = byte_of(next_code(&s));
        if (byte > 0) {
            text_add_bytes(&bytes, &(char){(char)byte}, 1);
        } else {
            text_add_bytes(&bytes, from, (size_t)(s - from));
        }
    }
    if (is_utf8(bytes.data)) {
        text_add(out, bytes.data);
    }
    for (const char *s = bytes.data; !is_utf8(bytes.data) && *s != '\0'; s++) {
        text_printf(out, "<0x%02X>", (unsigned)(unsigned char)*s);
    }
    text_release(&bytes);
}

static void spell(struct text *out, const char *piece, bool bytewise)
{
    static const char blank[] = "\xE2\x96\x81";
    if (bytewise) {
        spell_bytes(out, piece);
        return;
    }
    for (const char *at; (at = strstr(piece, blank)) != NULL; piece = at + strlen(blank)) {
        text_add_bytes(out, piece, (size_t)(at - piece));
        text_add(out, " ");
    }
    text_add(out, piece);
}

/* ---- files ---- */

static int read_lines(struct building *b, struct input *in, struct error *err)
{
    struct text line;
    int64_t id = 0;
    int result = 0, c;
    text_init(&line);
    while (result == 0 && (c = input_peek(in)) >= 0) {
        in->at++;
        if (c == '\n') {
            result = add(b, id++, line.data, false, err);
            text_clear(&line);
            in->line++;
        } else if (c != '\r' && line.length < MOST_PIECE) {
            const char byte = (char)(c != '\0' ? c : ' ');
            text_add_bytes(&line, &byte, 1);
        }
    }
    if (result == 0 && line.length > 0) {
        result = add(b, id, line.data, false, err);
    }
    text_release(&line);
    return result == 0 ? input_check(in, err) : result;
}

/* {"piece": id, ...}; keys may be longer than json_key keeps, so the pieces are read as strings. */
static int read_pieces(struct building *b, struct json *j, struct error *err)
{
    struct text piece;
    int64_t id;
    int more;
    text_init(&piece);
    more = json_enter(j, JSON_OBJECT, "a vocabulary {...}", err) != 0
               ? -1
               : json_long_key(j, &piece, MOST_PIECE, err);
    for (; more == 1; more = json_long_key(j, &piece, MOST_PIECE, err)) {
        b->bytewise = b->bytewise || strstr(piece.data, "\xC4\xA0") != NULL; /* its blank */
        if (json_integer(j, &id, err) != 0 || add(b, id, piece.data, false, err) != 0) {
            more = -1;
            break;
        }
    }
    text_release(&piece);
    return more;
}

/* [["piece", score], ...] */
static int read_scored(struct building *b, struct json *j, struct error *err)
{
    struct text piece;
    int64_t id = 0;
    int more;
    text_init(&piece);
    if (json_enter(j, JSON_ARRAY, "a vocabulary [...]", err) != 0) {
        return -1;
    }
    while ((more = json_item(j, err)) == 1) {
        text_clear(&piece);
        if (json_enter(j, JSON_ARRAY, "a piece [...]", err) != 0 || json_item(j, err) != 1 ||
            json_string(j, &piece, MOST_PIECE, err) != 0 || add(b, id++, piece.data, false, err) != 0) {
            more = -1;
            break;
        }
        int inner;
        while ((inner = json_item(j, err)) == 1 && (inner = json_skip(j, err)) == 0) {
        }
        if (inner != 0) {
            more = -1;
            break;
        }
    }
    text_release(&piece);
    return more;
}

static int read_model(struct building *b, struct json *j, struct error *err)
{
    char key[JSON_KEY];
    int more = json_enter(j, JSON_OBJECT, "a model {...}", err) != 0 ? -1 : json_key(j, key, err);
    for (; more == 1; more = json_key(j, key, err)) {
        int result = strcmp(key, "vocab") != 0    ? json_skip(j, err)
                     : json_peek(j) == JSON_ARRAY ? read_scored(b, j, err)
                                                  : read_pieces(b, j, err);
        if (result != 0) {
            return -1;
        }
    }
    return more;
}

/* [{"id": 0, "content": "<s>", ...}, ...] */
static int read_added(struct building *b, struct json *j, struct error *err)
{
    char key[JSON_KEY];
    struct text content;
    int more;
    text_init(&content);
    if (json_enter(j, JSON_ARRAY, "added tokens [...]", err) != 0) {
        return -1;
    }
    while ((more = json_item(j, err)) == 1) {
        int64_t id = -1;
        text_clear(&content);
        int member = json_enter(j, JSON_OBJECT, "a token {...}", err) != 0 ? -1 : json_key(j, key, err);
        for (; member == 1; member = json_key(j, key, err)) {
            if (strcmp(key, "id") == 0        ? json_integer(j, &id, err) != 0
                : strcmp(key, "content") == 0 ? json_string(j, &content, MOST_PIECE, err) != 0
                                              : json_skip(j, err) != 0) {
                member = -1;
                break;
            }
        }
        if (member != 0 || (id >= 0 && add(b, id, content.data, true, err) != 0)) {
            more = -1;
            break;
        }
    }
    text_release(&content);
    return more;
}

static int read_json(struct building *b, struct input *in, struct error *err)
{
    struct json j;
    char key[JSON_KEY];
    json_start(&j, in);
    int more = json_enter(&j, JSON_OBJECT, "a tokenizer {...}", err) != 0 ? -1 : json_key(&j, key, err);
    for (; more == 1; more = json_key(&j, key, err)) {
        int result = strcmp(key, "model") == 0          ? read_model(b, &j, err)
                     : strcmp(key, "added_tokens") == 0 ? read_added(b, &j, err)
                                                        : json_skip(&j, err);
        if (result != 0) {
            return -1;
        }
    }
    return more;
}

/* ---- the tokens ---- */

static const char *kind_of(const struct building *b, int64_t id, const char *text)
{
    bool byte = strlen(text) == 6 && strncmp(text, "<0x", 3) == 0 && text[5] == '>';
    return b->special[id] || b->at[id] == NO_TEXT ? "special" : byte ? "byte" : "piece";
}

static int finish(struct building *b, struct error *err)
{
    struct vocabulary_file *v = b->v;
    struct text pieces = v->bytes;
    text_init(&v->bytes);
    v->tokens = calloc((size_t)b->n + 1, sizeof *v->tokens);
    for (int64_t id = 0; v->tokens != NULL && id < b->n; id++) {
        int64_t from = b->at[id];
        b->at[id] = (int64_t)v->bytes.length;
        if (from == NO_TEXT) {
            text_printf(&v->bytes, "<%lld>", (long long)id);
        } else {
            spell(&v->bytes, pieces.data + from, b->bytewise && !b->special[id]);
        }
        text_add_bytes(&v->bytes, "", 1);
        v->tokens[id].kind = from == NO_TEXT ? "special" : NULL;
    }
    text_release(&pieces);
    if (v->tokens == NULL || v->bytes.failed) {
        return error_no_memory(err, "a vocabulary");
    }
    for (int64_t id = 0; id < b->n; id++) {
        v->tokens[id].text = v->bytes.data + b->at[id];
        v->tokens[id].kind =
            v->tokens[id].kind != NULL ? v->tokens[id].kind : kind_of(b, id, v->tokens[id].text);
    }
    v->n = (int)b->n;
    return 0;
}

int vocabulary_file_open(struct vocabulary_file *v, const char *path, struct error *err)
{
    struct building b = {.v = v};
    struct input in;
    *v = (struct vocabulary_file){.n = 0};
    text_init(&v->bytes);
    if (sha256_file(path, v->sha256, err) != 0 || input_open(&in, path, err) != 0) {
        return -1;
    }
    int result = input_peek(&in) == '{' ? read_json(&b, &in, err) : read_lines(&b, &in, err);
    if (result == 0 && b.n == 0) {
        result = error_set(err, STATUS_INPUT, "'%s' has no tokens", path);
    }
    if (result == 0) {
        result = finish(&b, err);
    }
    input_close(&in);
    free(b.at);
    free(b.special);
    return result;
}

void vocabulary_file_close(struct vocabulary_file *v)
{
    free(v->tokens);
    text_release(&v->bytes);
    *v = (struct vocabulary_file){.n = 0};
}
