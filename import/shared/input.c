#include "import/shared/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int input_open(struct input *in, const char *path, struct error *err)
{
    *in = (struct input){.path = path, .line = 1, .capacity = INPUT_WINDOW};
    in->file = open(path, O_RDONLY | O_CLOEXEC);
    if (in->file < 0) {
        return error_errno(err, "open", path);
    }
    posix_fadvise(in->file, 0, 0, POSIX_FADV_SEQUENTIAL);
    in->window = malloc(in->capacity);
    if (in->window == NULL) {
        input_close(in);
        return error_no_memory(err, "a file's window");
    }
    return 0;
}

void input_over(struct input *in, const char *path, const void *bytes, size_t n)
{
    *in = (struct input){
        .path = path, .file = -1, .window = (uint8_t *)bytes, .end = n, .line = 1, .ended = true};
}

void input_close(struct input *in)
{
    if (in->capacity > 0) {
        free(in->window);
        if (in->file >= 0) {
            close(in->file);
        }
    }
    *in = (struct input){.file = -1};
}

bool input_more(struct input *in)
{
    if (in->ended) {
        return false;
    }
    memmove(in->window, in->window + in->at, in->end - in->at);
    in->end -= in->at;
    in->at = 0;
    ssize_t n;
    do {
        n = read(in->file, in->window + in->end, in->capacity - in->end);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        in->failed = true;
        (void)error_errno(&in->err, "read", in->path);
    }
    in->ended = n <= 0;
    in->end += n > 0 ? (size_t)n : 0;
    in->n_read += n > 0 ? n : 0;
    return n > 0;
}

void input_skip_mark(struct input *in)
{
    while (in->end - in->at < 3 && input_more(in)) {
    }
    if (in->end - in->at >= 3 && memcmp(in->window + in->at, "\xEF\xBB\xBF", 3) == 0) {
        in->at += 3;
    }
}

int input_check(const struct input *in, struct error *err)
{
    if (!in->failed) {
        return 0;
    }
    if (err != NULL) {
        *err = in->err;
    }
    return -1;
}

int(input_refuse)(const struct input *in, struct error *err, const char *format, ...)
{
    char text[512];
    va_list arguments;
    if (input_check(in, err) != 0) {
        return -1;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(err, STATUS_INPUT, "'%s' line %lld: %s", in->path, (long long)in->line, text);
}

int input_place(const struct input *in, struct error *err)
{
    return err != NULL && err->status == STATUS_INPUT
               ? error_prefix(err, "'%s' line %lld", in->path, (long long)in->line)
               : -1;
}
