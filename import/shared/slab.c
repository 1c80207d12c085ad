#include "import/shared/slab.h"

#include <stdint.h>

enum { PIECE = 1 << 14, LARGE = PIECE / 4 };

void *slab_claim(struct slab *s, size_t n)
{
    void *piece;

    if (n > LARGE)
        return arena_claim(&s->arena, n, 1);
    n = (n + 7) / 8 * 8;
    if (n > s->left) {
        s->at = arena_claim(&s->arena, PIECE, 1);
        s->left = s->at ? PIECE : 0;
    }
    if (n > s->left)
        return NULL;
    piece = s->at;
    s->at += n;
    s->left -= n;
    return piece;
}

void slab_release(struct slab *s)
{
    arena_release(&s->arena);
    *s = (struct slab){0};
}
