/* A file read once from front to back through a window of fixed size, with the place for complaints. */
#ifndef IMPORT_SHARED_INPUT_H
#define IMPORT_SHARED_INPUT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { INPUT_WINDOW = 1 << 18 }; /* bytes */

struct input {
    const char *path;
    int file;
    uint8_t *window;
    size_t at, end; /* what has not been taken yet is window[at .. end - 1] */
    size_t capacity;
    int64_t n_read; /* bytes so far */
    int64_t line;   /* of window[at], from 1; whoever takes a line feed counts it */
    bool ended;     /* nothing is behind the window */
    bool failed;    /* *err of input_open's caller says why */
    struct error err;
};

/* The path is not copied. */
int input_open(struct input *in, const char *path, struct error *err);
/* The same over bytes in memory, which must outlive it; `path`: what they are called in complaints. */
void input_over(struct input *in, const char *path, const void *bytes, size_t n);
void input_close(struct input *in); /* safe on zeroed */

/* Moves what is left to the front and reads more behind it; false at the end, and after a failure. */
bool input_more(struct input *in);
/* The mark that some editors put in front of UTF-8. */
void input_skip_mark(struct input *in);

/* The next byte, not taken; -1 at the end. */
static inline int input_peek(struct input *in)
{
    return in->at < in->end || input_more(in) ? in->window[in->at] : -1;
}

/* What a failed read left behind, or 0. To be asked at the end. */
int input_check(const struct input *in, struct error *err);

/* "'FILE' line N: ..."; STATUS_INPUT, or the reading's own failure. Returns -1. */
int input_refuse(const struct input *in, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "'FILE' line N: " before what somebody else complained of, if it was the input's fault. Returns -1. */
int input_place(const struct input *in, struct error *err);
#define input_refuse(...) error_value(input_refuse(__VA_ARGS__))

#endif
