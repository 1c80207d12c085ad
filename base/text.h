/* A growing string. After an allocation fails the text stays as it was and `failed` is set; callers check
 * it once, at the end. `data` is always NUL-terminated and may be read, never written or freed. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *data;
    size_t length, capacity;
    bool failed;
};

void text_init(struct text *t);
void text_release(struct text *t);
void text_clear(struct text *t); /* empty again, memory kept */
void text_add(struct text *t, const char *s);
void text_add_bytes(struct text *t, const void *bytes, size_t n);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_hex(struct text *t, const void *bytes, size_t n); /* two lower-case digits a byte */
void text_add_json(struct text *t, const char *s); /* s as a JSON string, quotes included; s is UTF-8 */
void text_add_int(struct text *t, int64_t value);
/* s with its control characters as C writes them, but those in `keep`: a name from a file could otherwise
 * give orders to the terminal. */
void text_add_visible(struct text *t, const char *s, const char *keep);
void text_add_number(struct text *t, double value); /* shortest decimal that reads back as the same double;
                                                        "null" when not finite */
char *text_detach(struct text *t);                  /* caller frees; NULL if it failed */

/* Columns on a terminal, a character taken as one of them; how many bytes of s fill at most so many. */
int text_columns(const char *s);
size_t text_bytes_of_columns(const char *s, int columns);

/* A number as people read it: 1234567 -> "1.23 M"; bytes -> "1.2 MB". Writes into and returns `buffer`. */
char *text_count(char buffer[32], double n);
char *text_bytes(char buffer[32], double n);
char *text_duration(char buffer[32], double seconds); /* "4 min 05 s" */

/* Words on lines of at most `width`, broken at spaces; lines after the first go two columns in. */
void text_add_wrapped(struct text *t, const char *words, size_t width);

#endif
