#include "tests/laid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

void laid_number(struct text *t, uint64_t value, int width)
{
    for (int i = 0; i < width; i++, value >>= 8)
        text_add_bytes(t, &(uint8_t){(uint8_t)value}, 1);
}

void laid_npy(struct text *t, const char *header, const void *data, size_t n)
{
    text_add_bytes(t, "\x93NUMPY\x01\x00", 8);
    laid_number(t, strlen(header), 2);
    text_add(t, header);
    text_add_bytes(t, data, n);
}

void laid_safetensors(struct text *t, const char *header, const void *data, size_t n)
{
    laid_number(t, strlen(header), 8);
    text_add(t, header);
    text_add_bytes(t, data, n);
}

/* ---- GGUF ---- */

void laid_gguf_string(struct text *t, const char *s)
{
    laid_number(t, strlen(s), 8);
    text_add(t, s);
}

void laid_gguf(struct text *t, uint64_t n_tensors, uint64_t n_keys)
{
    text_add(t, "GGUF");
    laid_number(t, 3, 4);
    laid_number(t, n_tensors, 8);
    laid_number(t, n_keys, 8);
}

void laid_gguf_tensor(struct text *t, const char *name, uint64_t n, uint32_t type, uint64_t offset)
{
    laid_gguf_string(t, name);
    laid_number(t, 1, 4);
    laid_number(t, n, 8);
    laid_number(t, type, 4);
    laid_number(t, offset, 8);
}

void laid_gguf_data(struct text *t, size_t n)
{
    while (t->length % 32 != 0)
        laid_number(t, 0, 1);
    for (; n > 0; n--)
        laid_number(t, 1, 1);
}

/* ---- zip ---- */

/* An entry's own header, or what the directory says of it. */
static void add_header(struct text *t, const struct laid_entry *e, bool directory)
{
    text_add(t, directory ? "PK\1\2" : "PK\3\4");
    laid_number(t, 0, directory ? 6 : 4);
    laid_number(t, e->unpacked > 0 ? 8 : 0, 2);
    laid_number(t, 0, 4);
    laid_number(t, e->unpacked > 0 ? 0 : crc32_z(0, e->bytes, e->n), 4);
    laid_number(t, e->n, 4);
    laid_number(t, e->unpacked > 0 ? e->unpacked : e->n, 4);
    laid_number(t, strlen(e->name), 2);
    laid_number(t, 0, directory ? 8 : 2);
    laid_number(t, 0, directory ? 4 : 0);
}

void laid_zip(struct text *t, const struct laid_entry *entries, int n)
{
    size_t start = t->length, at = 0, directory, end;

    for (int i = 0; i < n; i++) {
        add_header(t, &entries[i], false);
        text_add(t, entries[i].name);
        text_add_bytes(t, entries[i].bytes, entries[i].n);
    }
    directory = t->length - start;
    for (int i = 0; i < n; i++) {
        add_header(t, &entries[i], true);
        laid_number(t, at, 4);
        text_add(t, entries[i].name);
        at += 30 + strlen(entries[i].name) + entries[i].n;
    }
    end = t->length - start;
    text_add(t, "PK\5\6");
    laid_number(t, 0, 4);
    laid_number(t, (uint64_t)n, 2);
    laid_number(t, (uint64_t)n, 2);
    laid_number(t, end - directory, 4);
    laid_number(t, directory, 4);
    laid_number(t, 0, 2);
    assert_false(t->failed);
}

void laid_pt(struct text *t, const void *pickle, size_t n, const void *storage, size_t n_storage)
{
    const struct laid_entry entries[] = {{"a/data.pkl", pickle, n, 0}, {"a/data/0", storage, n_storage, 0}};

    laid_zip(t, entries, 2);
}
