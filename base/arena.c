#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

static const size_t line = 64; /* bytes of a cache line */

static bool has_room(struct arena *a)
{
    int capacity = a->capacity ? 2 * a->capacity : 16;
    void **pieces;

    if (a->n < a->capacity)
        return true;
    pieces = realloc(a->pieces, (size_t)capacity * sizeof *pieces);
    if (!pieces)
        return false;
    a->pieces = pieces;
    a->capacity = capacity;
    return true;
}

void *arena_claim(struct arena *a, size_t n, size_t size)
{
    void *piece = NULL;

    if (!a->failed && n <= (SIZE_MAX - 2 * line) / size && has_room(a))
        piece = aligned_alloc(line, (n * size + line - 1) / line * line + line);
    a->failed = a->failed || !piece;
    if (piece)
        a->pieces[a->n++] = piece;
    return piece;
}

void arena_release(struct arena *a)
{
    for (int i = 0; i < a->n; i++)
        free(a->pieces[i]);
    free(a->pieces);
    *a = (struct arena){0};
}
