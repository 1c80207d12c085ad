#include "base/text.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

void text_init(struct text *t)
{
    /* `data` can be read before anything was allocated; nobody writes to it while the capacity is 0. */
    *t = (struct text){.data = (char *)""};
}

void text_release(struct text *t)
{
    if (t->capacity)
        free(t->data);
    text_init(t);
}

void text_clear(struct text *t)
{
    t->length = 0; /* `failed` stays: it is read once, at the end */
    if (t->capacity)
        t->data[0] = '\0';
}

/* Room for n more bytes and a NUL; doubles, so that n additions cost O(n). */
static bool text_reserve(struct text *t, size_t n)
{
    if (t->failed)
        return false;
    if (n < t->capacity && t->length < t->capacity - n)
        return true;
    size_t capacity = t->capacity ? t->capacity : 64;
    while (capacity <= t->length || capacity - t->length <= n) {
        if (capacity > SIZE_MAX / 2) {
            t->failed = true;
            return false;
        }
        capacity *= 2;
    }
    char *data = realloc(t->capacity ? t->data : NULL, capacity);
    if (!data) {
        t->failed = true;
        return false;
    }
    data[t->length] = '\0';
    t->data = data;
    t->capacity = capacity;
    return true;
}

void text_add_bytes(struct text *t, const void *bytes, size_t n)
{
    if (n == 0 || !text_reserve(t, n))
        return;
    memcpy(t->data + t->length, bytes, n);
    t->length += n;
    t->data[t->length] = '\0';
}

void text_add(struct text *t, const char *s)
{
    text_add_bytes(t, s, strlen(s));
}

void text_printf(struct text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n < 0)
        t->failed = true;
    else if (text_reserve(t, (size_t)n)) {
        vsnprintf(t->data + t->length, (size_t)n + 1, format, again);
        t->length += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

/* The escape of an ASCII character that JSON does not take as it is, or NULL. */
static const char *json_escape(unsigned char c, char buffer[8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20 && c != 0x7f)
            return NULL;
        snprintf(buffer, 8, "\\u%04x", c);
        return buffer;
    }
}

/* Bytes of the UTF-8 character at s, 0 if there is none: a stray byte, an overlong form, a surrogate, a
 * number above U+10FFFF (the table of well-formed sequences in the Unicode standard, section 3.9). */
static int utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    int n = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool wrong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
                 (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f);
    return wrong ? 0 : n;
}

void text_add_hex(struct text *t, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++) {
        const char pair[2] = {digits[b[i] >> 4], digits[b[i] & 15]};
        text_add_bytes(t, pair, 2);
    }
}

void text_add_json(struct text *t, const char *s)
{
    char buffer[8];
    text_add_bytes(t, "\"", 1);
    while (*s) {
        /* A byte that is no UTF-8 (tokens of byte fallback have them) would spoil the whole document. */
        int n = utf8_length((const unsigned char *)s);
        const char *instead = n == 0   ? "\xef\xbf\xbd"
                              : n == 1 ? json_escape((unsigned char)*s, buffer)
                                       : NULL;
        if (instead)
            text_add(t, instead);
        else
            text_add_bytes(t, s, (size_t)n);
        s += n ? n : 1;
    }
    text_add_bytes(t, "\"", 1);
}

void text_add_visible(struct text *t, const char *s, const char *keep)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s, next = (unsigned char)s[1];
        const char *name = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : NULL;
        bool control = c < 0x20 || c == 0x7f,
             second = c == 0xc2 && next >= 0x80 && next <= 0x9f; /* U+0080 on */
        if (strchr(keep, c) || (!name && !control && !second)) {
            text_add_bytes(t, s, 1);
        } else if (name) {
            text_add(t, name);
        } else {
            text_printf(t, "\\x%02x", second ? next : c);
            s += second;
        }
    }
}

void text_add_int(struct text *t, int64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (value < 0)
        digits[--at] = '-';
    text_add_bytes(t, digits + at, sizeof digits - at);
}

void text_add_number(struct text *t, double value)
{
    if (!isfinite(value)) {
        text_add(t, "null");
        return;
    }
    char buffer[DECIMAL_SIZE];
    size_t n = decimal_shortest(buffer, value);
    if (n > 0) {
        text_add_bytes(t, buffer, n);
        return;
    }
    /* 15 digits give any shorter decimal back, 17 give any double back; below DBL_MIN fewer can do. */
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(buffer, sizeof buffer, "%.*g", digits, value);
        if (strtod(buffer, NULL) == value)
            break;
    }
    text_add(t, buffer);
}

char *text_detach(struct text *t)
{
    char *data = NULL;
    if (!t->failed && t->capacity)
        data = t->data;
    else if (!t->failed)
        data = calloc(1, 1); /* the caller frees: an empty text needs bytes of its own */
    else if (t->capacity)
        free(t->data);
    text_init(t);
    return data;
}

/* Divides by 1000 until three digits are left before the point; returns how often, at most six times. */
static int scale(double *n)
{
    int times = 0;
    while (times < 6 && fabs(*n) >= 999.5) {
        *n /= 1000;
        times++;
    }
    return times;
}

static bool starts_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

int text_columns(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += starts_character(*s);
    return n;
}

size_t text_bytes_of_columns(const char *s, int columns)
{
    size_t i = 0;
    while (s[i]) {
        if (starts_character(s[i]) && columns-- == 0)
            break;
        i++;
    }
    return i;
}

char *text_count(char buffer[32], double n)
{
    static const char *const units[] = {"", " k", " M", " G", " T", " P", " E"};
    int u = scale(&n);
    double size = fabs(n);
    if (!(size < 1e6))
        snprintf(buffer, 32, "%.3g%s", n, units[u]);
    else if (u == 0 && n == floor(n))
        snprintf(buffer, 32, "%.0f", n);
    else
        snprintf(buffer, 32, "%.*f%s", size < 9.995 ? 2 : size < 99.95 ? 1 : 0, n, units[u]);
    return buffer;
}

char *text_bytes(char buffer[32], double n)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    int u = scale(&n);
    double size = fabs(n);
    if (!(size < 1e6))
        snprintf(buffer, 32, "%.3g %s", n, units[u]);
    else
        snprintf(buffer, 32, "%.*f %s", u > 0 && size < 99.95 ? 1 : 0, n, units[u]);
    return buffer;
}

char *text_duration(char buffer[32], double seconds)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e12) {
        snprintf(buffer, 32, "?");
        return buffer;
    }
    if (seconds < 9.95) {
        snprintf(buffer, 32, "%.1f s", seconds);
        return buffer;
    }
    int64_t s = (int64_t)(seconds + 0.5);
    if (s < 60)
        snprintf(buffer, 32, "%d s", (int)s);
    else if (s < 3600)
        snprintf(buffer, 32, "%d min %02d s", (int)(s / 60), (int)(s % 60));
    else if (s < 86400)
        snprintf(buffer, 32, "%d h %02d min", (int)(s / 3600), (int)(s / 60 % 60));
    else
        snprintf(buffer, 32, "%lld d %02d h", (long long)(s / 86400), (int)(s / 3600 % 24));
    return buffer;
}

void text_add_wrapped(struct text *t, const char *words, size_t width)
{
    size_t room = width;
    while (strlen(words) > room) {
        size_t n = room;
        while (n > 0 && words[n] != ' ')
            n--;
        if (n == 0)
            n = strcspn(words, " ");
        text_add_bytes(t, words, n);
        words += n;
        words += strspn(words, " ");
        text_add(t, *words ? "\n  " : "");
        room = width - 2;
    }
    text_add(t, words);
    text_add(t, "\n");
}
