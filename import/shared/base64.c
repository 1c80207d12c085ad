#include "import/shared/base64.h"

#include <stdlib.h>

static int value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

static int reserve(struct base64 *b, size_t more, struct error *err)
{
    if (b->n + more <= b->capacity) {
        return 0;
    }
    size_t capacity = b->capacity > 0 ? b->capacity : 4096;
    while (capacity < b->n + more) {
        capacity *= 2;
    }
    uint8_t *bytes = realloc(b->bytes, capacity);
    if (bytes == NULL) {
        return error_no_memory(err, "what base64 stands for");
    }
    b->bytes = bytes;
    b->capacity = capacity;
    return 0;
}

int base64_add(struct base64 *b, const char *text, size_t n, struct error *err)
{
    if (reserve(b, n / 4 * 3 + 4, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        int value = value_of(c);
        if (c == '=') {
            b->padding++;
        } else if (value >= 0 && b->padding == 0) {
            b->bits = b->bits << 6 | (uint32_t)value;
            b->n_bits += 6;
            if (b->n_bits >= 8) {
                b->n_bits -= 8;
                b->bytes[b->n++] = (uint8_t)(b->bits >> b->n_bits);
            }
        } else if (c != ' ' && c != '\n' && c != '\r') {
            return error_set(err, STATUS_INPUT, "byte 0x%02x in base64", c);
        }
    }
    return 0;
}

int base64_finish(struct base64 *b, struct error *err)
{
    return b->n_bits == 6 || b->padding > 2 ? error_set(err, STATUS_INPUT, "base64 that is cut short") : 0;
}

void base64_clear(struct base64 *b)
{
    b->n = 0;
    b->bits = 0;
    b->n_bits = b->padding = 0;
}

void base64_release(struct base64 *b)
{
    free(b->bytes);
    *b = (struct base64){0};
}
