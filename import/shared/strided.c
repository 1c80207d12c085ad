/* A range in C order is cut into boxes, of whole rows; each box is read in the order in which its elements
 * lie in the file, so that reads are as long as they can be, and put where they belong. */
#include "import/shared/strided.h"

#include <string.h>

#include "import/shared/elements.h"

enum {
    PIECE = 4096, /* elements at a time */
    GAP = 4096    /* bytes between two elements, from which on each is read by itself */
};

struct walk {
    struct arrays *a;
    const struct item *item;
    int64_t first; /* the array's element that goes to number 0 */
    const struct numbers *to;
    struct error *err;
};

/* How many elements of a run are read at once. */
static int64_t elements_at_once(int64_t stride, int64_t width)
{
    if (stride == 0 || stride > GAP / width)
        return 1;
    int64_t n = ARRAYS_BUFFER / width / stride;
    return n < PIECE ? n : PIECE;
}

/* n elements that lie `stride` apart, from the one at `from`. */
static int read_run(const struct walk *w, int64_t from, int64_t stride, int64_t n, int64_t at, int64_t step)
{
    size_t width = element_width(w->item->array.type);
    int64_t most = elements_at_once(stride, (int64_t)width);

    while (n > 0) {
        int64_t m = n < most ? n : most;
        if (listing_fetch(w->a, w->item, from, (size_t)((m - 1) * stride + 1), w->err))
            return -1;
        for (int64_t i = 1; i < m && stride != 1; i++)
            memcpy(w->a->buffer + (size_t)i * width, w->a->buffer + (size_t)(i * stride) * width, width);
        if (numbers_put(w->a, w->item, w->first + at, (size_t)m, w->to, at, step, w->err))
            return -1;
        from += m * stride;
        at += m * step;
        n -= m;
    }
    return 0;
}

struct side {
    int64_t n, stride, step; /* elements, in the file and in C order */
};

/* Long strides first. */
static void insert_side(struct side *sides, int n, struct side side)
{
    for (; n > 0 && sides[n - 1].stride < side.stride; n--)
        sides[n] = sides[n - 1];
    sides[n] = side;
}

static int read_sides(const struct walk *w, const struct side *sides, int n, int64_t from, int64_t at)
{
    if (n == 1)
        return read_run(w, from, sides[0].stride, sides[0].n, at, sides[0].step);
    for (int64_t i = 0; i < sides[0].n; i++) {
        if (read_sides(w, sides + 1, n - 1, from + i * sides[0].stride, at + i * sides[0].step))
            return -1;
    }
    return 0;
}

/* `rows` of dimension d, each with all of the dimensions behind it. */
static int read_box(const struct walk *w, int d, int64_t rows, int64_t from, int64_t at)
{
    const struct array *x = &w->item->array;
    struct side sides[ARRAY_MAX_DIMENSIONS] = {{1, 0, 0}};
    int64_t step = 1;
    int n = 0;

    for (int i = x->n_dimensions - 1; i >= d; i--) {
        struct side side = {i == d ? rows : x->shape[i], w->item->strides[i], step};
        if (side.n > 1)
            insert_side(sides, n++, side);
        step *= x->shape[i];
    }
    return read_sides(w, sides, n > 0 ? n : 1, from, at);
}

/* n elements from `first` on, of those that the dimensions from d on have at `from`. */
static int read_range(const struct walk *w, int d, int64_t first, int64_t n, int64_t from, int64_t at)
{
    const struct array *x = &w->item->array;
    int64_t row = elements_count(x->shape + d + 1, x->n_dimensions - d - 1);
    int64_t stride = w->item->strides[d];

    from += first / row * stride;
    first %= row;
    if (first > 0 || n < row) {
        int64_t head = n < row - first ? n : row - first;
        if (read_range(w, d + 1, first, head, from, at))
            return -1;
        n -= head;
        at += head;
        from += stride;
    }
    if (n >= row && read_box(w, d, n / row, from, at))
        return -1;
    from += n / row * stride;
    at += n / row * row;
    return n % row > 0 ? read_range(w, d + 1, 0, n % row, from, at) : 0;
}

int strided_read(struct arrays *a, const struct item *item, int64_t first, int64_t n,
                 const struct numbers *to, struct error *err)
{
    struct walk w = {a, item, first, to, err};

    return n > 0 ? read_range(&w, 0, first, n, 0, 0) : 0;
}
