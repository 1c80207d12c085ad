#include "engine/corpus.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "engine/corpus_format.h"
#include "engine/image_corpus.h"
#include "engine/mixture_corpus.h"

const char *const corpus_split_names[N_SPLITS] = {"train", "valid", "probe", "routed", "seen"};

/* ---- UTF-8 ---- */

/* Bytes of the well-formed sequence at s (Unicode, table 3-7), or 0: no overlong forms, no surrogates,
 * nothing above U+10FFFF. */
static size_t sequence_length(const unsigned char *s, size_t n)
{
    unsigned char first = s[0], low = 0x80, high = 0xBF;
    size_t length = first < 0x80   ? 1
                    : first < 0xC2 ? 0
                    : first < 0xE0 ? 2
                    : first < 0xF0 ? 3
                    : first < 0xF5 ? 4
                                   : 0;
    if (first == 0 || length == 0 || length > n)
        return 0;
    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i < length; i++) {
        if (s[i] < low || s[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

int64_t utf8_first_error(const char *bytes, size_t n)
{
    size_t at = 0;
    while (at < n) {
        size_t length = sequence_length((const unsigned char *)bytes + at, n - at);
        if (length == 0)
            return (int64_t)at;
        at += length;
    }
    return -1;
}

/* ---- fields ---- */

void field_escape(struct text *t, const char *value)
{
    for (const char *c = value; *c; c++)
        switch (*c) {
        case '\t':
            text_add(t, "\\t");
            break;
        case '\n':
            text_add(t, "\\n");
            break;
        case '\r':
            text_add(t, "\\r");
            break;
        case '\\':
            text_add(t, "\\\\");
            break;
        default:
            text_add_bytes(t, c, 1);
        }
}

bool field_unescape(char *value)
{
    char *to = value;
    for (const char *from = value; *from; from++, to++) {
        *to = *from;
        if (*from != '\\')
            continue;
        from++;
        if (*from == 't')
            *to = '\t';
        else if (*from == 'n')
            *to = '\n';
        else if (*from == 'r')
            *to = '\r';
        else if (*from != '\\')
            return false;
    }
    *to = '\0';
    return true;
}

int field_split(char **rest, char **fields, int most)
{
    char *c = *rest;
    int n = 0;
    if (!*c)
        return 0;
    for (;;) {
        if (n < most)
            fields[n] = c;
        n++;
        c += strcspn(c, "\t\n");
        char end = *c;
        if (end)
            *c++ = '\0';
        if (end != '\t')
            break;
    }
    *rest = c;
    return n;
}

/* ---- corpus.ini ---- */

struct ini { /* what corpus.ini says */
    char name[CORPUS_NAME_BYTES + 1];
    char format[16], sha256[SHA256_HEX], input[SHA256_HEX];
    char documents[SHA256_HEX], vocabulary[SHA256_HEX], model[SHA256_HEX], tokens[SHA256_HEX];
    bool wide; /* tokens.u32 */
};

static int ini_line(void *user, const char *section, const char *name, const char *value)
{
    struct ini *ini = user;
    const struct {
        const char *section, *name;
        char *target;
        size_t size;
    } known[] = {{"corpus", "name", ini->name, sizeof ini->name},
                 {"corpus", "format", ini->format, sizeof ini->format},
                 {"corpus", "sha256", ini->sha256, SHA256_HEX},
                 {"source", "sha256", ini->input, SHA256_HEX},
                 {"files", CORPUS_FILE_DOCUMENTS, ini->documents, SHA256_HEX},
                 {"files", CORPUS_FILE_VOCABULARY, ini->vocabulary, SHA256_HEX},
                 {"files", CORPUS_FILE_MODEL, ini->model, SHA256_HEX},
                 {"files", CORPUS_FILE_TOKENS_16, ini->tokens, SHA256_HEX},
                 {"files", CORPUS_FILE_TOKENS_32, ini->tokens, SHA256_HEX}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].section, section) == 0 && strcmp(known[i].name, name) == 0) {
            if (strlen(value) >= known[i].size)
                return 0;
            memcpy(known[i].target, value, strlen(value) + 1);
        }
    if (strcmp(section, "files") == 0 && strcmp(name, CORPUS_FILE_TOKENS_32) == 0)
        ini->wide = true;
    return 1;
}

static int path_join(struct text *path, const char *folder, const char *name, struct error *err)
{
    text_clear(path);
    text_printf(path, "%s/%s", folder, name);
    return path->failed ? error_no_memory(err, "a path") : 0;
}

static int read_ini(struct ini *ini, const char *folder, struct text *path, struct error *err)
{
    *ini = (struct ini){0};
    if (path_join(path, folder, CORPUS_FILE_INI, err) != 0)
        return -1;
    int line = ini_parse(path->data, ini_line, ini);
    if (line < 0 && errno == ENOENT)
        return error_set(err, STATUS_INPUT,
                         "'%s' is not a prepared corpus: it has no " CORPUS_FILE_INI
                         "; prepare one with 'moescope corpus FOLDER -o %s'",
                         folder, folder);
    if (line < 0)
        return error_errno(err, "open", path->data);
    if (line > 0)
        return error_set(err, STATUS_INPUT, "'%s' is damaged at line %d", path->data, line);
    if (strtol(ini->format, NULL, 10) != CORPUS_FORMAT)
        return error_set(err, STATUS_INPUT,
                         "'%s' is a corpus of format '%s', this program reads %d; prepare it again", folder,
                         ini->format, CORPUS_FORMAT);
    return 0;
}

bool corpus_input_hash(const char *folder, char hex[SHA256_HEX])
{
    struct ini ini;
    struct text path;
    struct error ignored;
    text_init(&path);
    bool ok = read_ini(&ini, folder, &path, &ignored) == 0 && ini.input[0];
    if (ok)
        memcpy(hex, ini.input, SHA256_HEX);
    text_release(&path);
    return ok;
}

/* ---- the files ---- */

static int damaged(struct error *err, const char *folder, const char *what)
{
    return error_set(err, STATUS_INPUT, "corpus '%s' is damaged: %s; prepare it again", folder, what);
}

static int read_checked(const char *folder, const char *name, const char *sha256, char **bytes, size_t *n,
                        struct error *err)
{
    struct text path;
    char hex[SHA256_HEX];
    text_init(&path);
    int result = path_join(&path, folder, name, err);
    if (result == 0)
        result = file_read(path.data, bytes, n, err);
    text_release(&path);
    if (result != 0)
        return -1;
    sha256_bytes(*bytes, *n, hex);
    bool text = strstr(name, ".tsv") != NULL; /* a NUL in one would hide what follows */
    if (strcmp(hex, sha256) == 0 && (!text || strlen(*bytes) == *n))
        return 0;
    free(*bytes);
    *bytes = NULL;
    return error_set(err, STATUS_INPUT,
                     "corpus '%s' is damaged: %s does not have the hash that " CORPUS_FILE_INI
                     " gives; prepare it again",
                     folder, name);
}

static int count_lines(const char *text)
{
    int n = 0;
    for (const char *c = text; *c; c++)
        n += *c == '\n';
    return n;
}

/* Digits only, to at most 2^62. */
static bool read_number(const char *field, int64_t *value)
{
    char *end;
    errno = 0;
    long long v = strtoll(field, &end, 10);
    *value = v;
    return *field >= '0' && *field <= '9' && !*end && errno == 0 && v < INT64_MAX / 2;
}

static const char *known_kind(const char *kind)
{
    static const char *const kinds[] = {"piece", "byte", "special"};
    for (int i = 0; i < 3; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return kinds[i];
    return NULL;
}

static int parse_vocabulary(struct corpus *c, const char *folder, struct error *err)
{
    int n = count_lines(c->vocabulary_text);
    char *rest = c->vocabulary_text, *f[4];
    c->vocabulary = malloc(((size_t)n + 1) * sizeof *c->vocabulary);
    if (!c->vocabulary)
        return error_no_memory(err, "the vocabulary");
    for (; c->n_vocabulary < n; c->n_vocabulary++) {
        struct vocabulary_item *item = &c->vocabulary[c->n_vocabulary];
        int64_t id;
        if (field_split(&rest, f, 4) != 4 || !read_number(f[0], &id) || id != c->n_vocabulary ||
            !(item->kind = known_kind(f[1])) || !read_number(f[2], &item->train_count) ||
            !field_unescape(f[3]))
            return damaged(err, folder, "a line of " CORPUS_FILE_VOCABULARY);
        item->text = f[3];
    }
    return n > TOKEN_EOS ? 0 : damaged(err, folder, CORPUS_FILE_VOCABULARY " is empty");
}

static int parse_split(const char *name, enum corpus_split *split)
{
    for (int i = 0; i < N_SPLITS; i++)
        if (strcmp(name, corpus_split_names[i]) == 0) {
            *split = (enum corpus_split)i;
            return 0;
        }
    return -1;
}

/* Domains are numbered as they appear; documents of one stand together. */
static int domain_index(struct corpus *c, char *name)
{
    for (int i = c->n_domains - 1; i >= 0; i--)
        if (strcmp(c->domains[i], name) == 0)
            return i;
    char **more = realloc(c->domains, ((size_t)c->n_domains + 1) * sizeof *more);
    if (!more)
        return -1;
    c->domains = more;
    more[c->n_domains] = name;
    return c->n_domains++;
}

enum { FIELDS = 7 };

static bool parse_labels(struct document *d, char **f, int n)
{
    for (d->n_labels = 0; d->n_labels < n; d->n_labels++) {
        struct label *label = &d->labels[d->n_labels];
        char *sign = strchr(f[d->n_labels], '=');
        if (!sign)
            return false;
        *sign = '\0';
        *label = (struct label){f[d->n_labels], sign + 1};
        if (!field_unescape(label->key) || !field_unescape(label->value))
            return false;
    }
    return true;
}

static bool parse_document(struct document *d, char **f, int n)
{
    if (n < FIELDS || n > FIELDS + CORPUS_MOST_LABELS || parse_split(f[0], &d->split) != 0)
        return false;
    if (!field_unescape(f[1]) || !field_unescape(f[2]) || strlen(f[6]) != SHA256_HEX - 1)
        return false;
    d->name = f[2];
    memcpy(d->sha256, f[6], SHA256_HEX);
    return read_number(f[3], &d->n_bytes) && read_number(f[4], &d->n_ids) && read_number(f[5], &d->first) &&
           parse_labels(d, f + FIELDS, n - FIELDS);
}

/* A document that does not lie behind the one before, framed by BOS and EOS, is damage. */
static bool document_fits(const struct corpus *c, const struct document *d, int64_t behind)
{
    return d->first == behind && d->n_ids >= 2 && d->n_ids <= c->n_ids - behind &&
           c->ids[d->first] == TOKEN_BOS && c->ids[d->first + d->n_ids - 1] == TOKEN_EOS;
}

/* At most so many; a damaged line may have fewer fields. */
static int count_tabs(const char *text)
{
    int n = 0;
    for (const char *c = text; *c; c++)
        n += *c == '\t';
    return n;
}

static int parse_documents(struct corpus *c, const char *folder, struct error *err)
{
    int n = count_lines(c->documents_text), used = 0;
    int64_t behind = 0;
    char *rest = c->documents_text, *f[FIELDS + CORPUS_MOST_LABELS];
    c->documents = malloc(((size_t)n + 1) * sizeof *c->documents);
    c->labels = malloc(((size_t)count_tabs(c->documents_text) + 1) * sizeof *c->labels);
    if (!c->documents || !c->labels)
        return error_no_memory(err, "the documents");
    for (; c->n_documents < n; c->n_documents++) {
        struct document *d = &c->documents[c->n_documents];
        *d = (struct document){.labels = c->labels + used};
        if (!parse_document(d, f, field_split(&rest, f, FIELDS + CORPUS_MOST_LABELS)) ||
            !document_fits(c, d, behind))
            return error_set(err, STATUS_INPUT,
                             "corpus '%s' is damaged: line %d of " CORPUS_FILE_DOCUMENTS "; prepare it again",
                             folder, c->n_documents + 1);
        d->domain = domain_index(c, f[1]);
        if (d->domain < 0)
            return error_no_memory(err, "the domains");
        used += d->n_labels;
        behind += d->n_ids;
    }
    return n > 0 && behind == c->n_ids
               ? 0
               : damaged(err, folder, CORPUS_FILE_DOCUMENTS " and the tokens disagree");
}

static int unpack_tokens(struct corpus *c, const char *folder, const char *bytes, size_t n, bool wide,
                         struct error *err)
{
    const unsigned char *b = (const unsigned char *)bytes;
    size_t width = wide ? 4 : 2;
    c->n_ids = (int64_t)(n / width);
    c->ids = malloc(n / width * sizeof *c->ids + 1);
    if (!c->ids)
        return error_no_memory(err, "the tokens");
    for (int64_t i = 0; i < c->n_ids; i++, b += width) {
        uint32_t id = b[0] | (uint32_t)b[1] << 8;
        if (wide)
            id |= (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        if (id >= (uint32_t)c->n_vocabulary)
            return damaged(err, folder, "a token is not in the vocabulary");
        c->ids[i] = (int32_t)id;
    }
    return n % width != 0 ? damaged(err, folder, "the tokens are cut off") : 0;
}

/* The corpus's identity is that of its documents and their tokens: a damaged one would be another corpus. */
static int check_identity(const struct corpus *c, const char *folder, const char *tokens, size_t n,
                          const char *sha256, struct error *err)
{
    struct sha256 hash;
    char hex[SHA256_HEX];
    sha256_start(&hash);
    sha256_add(&hash, c->documents_text, strlen(c->documents_text));
    sha256_add(&hash, tokens, n);
    sha256_finish(&hash, hex);
    return strcmp(hex, sha256) == 0 ? 0
                                    : damaged(err, folder, "the hash in " CORPUS_FILE_INI " is another's");
}

static int load_tokens(struct corpus *c, const char *folder, const struct ini *ini, struct error *err)
{
    char *bytes;
    size_t n;
    const char *name = ini->wide ? CORPUS_FILE_TOKENS_32 : CORPUS_FILE_TOKENS_16;
    if (read_checked(folder, name, ini->tokens, &bytes, &n, err) != 0)
        return -1;
    int result = check_identity(c, folder, bytes, n, ini->sha256, err);
    if (result == 0)
        result = unpack_tokens(c, folder, bytes, n, ini->wide, err);
    free(bytes);
    return result;
}

static int check_model(struct corpus *c, const char *folder, const struct ini *ini, struct error *err)
{
    char hex[SHA256_HEX];
    struct text path;
    text_init(&path);
    int result = path_join(&path, folder, CORPUS_FILE_MODEL, err);
    if (result == 0)
        result = sha256_file(path.data, hex, err);
    if (result == 0 && strcmp(hex, ini->model) != 0)
        result =
            damaged(err, folder, CORPUS_FILE_MODEL " does not have the hash that " CORPUS_FILE_INI " gives");
    c->model_path = text_detach(&path);
    c->name = strdup(ini->name);
    if (result == 0 && (!c->model_path || !c->name))
        result = error_no_memory(err, "the corpus");
    memcpy(c->sha256, ini->sha256, SHA256_HEX);
    memcpy(c->vocabulary_sha256, ini->model, SHA256_HEX);
    return result;
}

int corpus_load(struct corpus *c, const char *folder, struct error *err)
{
    struct ini ini;
    struct text path;
    size_t n;
    if (image_corpus_is(folder))
        return image_corpus_load(c, folder, err);
    if (mixture_corpus_is(folder))
        return mixture_corpus_load(c, folder, err);
    *c = (struct corpus){0};
    text_init(&path);
    int result = read_ini(&ini, folder, &path, err);
    text_release(&path);
    if (result != 0)
        return -1;
    if (check_model(c, folder, &ini, err) == 0 &&
        read_checked(folder, CORPUS_FILE_VOCABULARY, ini.vocabulary, &c->vocabulary_text, &n, err) == 0 &&
        parse_vocabulary(c, folder, err) == 0 &&
        read_checked(folder, CORPUS_FILE_DOCUMENTS, ini.documents, &c->documents_text, &n, err) == 0 &&
        load_tokens(c, folder, &ini, err) == 0 && parse_documents(c, folder, err) == 0)
        return 0;
    corpus_release(c);
    return -1;
}

int64_t *corpus_train_counts(const struct corpus *c, struct error *err)
{
    int64_t *count = malloc((size_t)c->n_vocabulary * sizeof *count);

    for (int i = 0; count && i < c->n_vocabulary; i++)
        count[i] = c->vocabulary[i].train_count;
    if (!count)
        error_no_memory(err, "token counts");
    return count;
}

void corpus_release(struct corpus *c)
{
    free(c->name);
    free(c->model_path);
    free(c->vocabulary);
    free(c->vocabulary_text);
    free(c->domains);
    free(c->documents);
    free(c->documents_text);
    free(c->labels);
    free(c->labels_text);
    free(c->ids);
    images_release(&c->images);
    mixture_release(&c->mixture);
    *c = (struct corpus){0};
}

/* ---- text of ids ---- */

int corpus_token_bytes(const struct vocabulary_item *item)
{
    switch (item->kind[0]) {
    case 's':
    case 'c': /* a class: no text */
        return 0;
    case 'b':
        return 1;
    default:
        return (int)strlen(item->text);
    }
}

int64_t corpus_bytes(const struct vocabulary_item *vocabulary, const int32_t *ids, int64_t n)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < n; i++)
        bytes += corpus_token_bytes(&vocabulary[ids[i]]);
    return bytes;
}

void corpus_decode(const struct vocabulary_item *vocabulary, const int32_t *ids, int64_t n, struct text *text)
{
    for (int64_t i = 0; i < n; i++) {
        const struct vocabulary_item *item = &vocabulary[ids[i]];
        if (item->kind[0] == 'b' && strlen(item->text) == 6) { /* <0xE3> */
            unsigned char byte = (unsigned char)strtol(item->text + 3, NULL, 16);
            text_add_bytes(text, &byte, 1);
        } else
            text_add_bytes(text, item->text, (size_t)corpus_token_bytes(item));
    }
}
