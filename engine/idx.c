#include "engine/idx.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

enum { UNSIGNED_BYTES = 0x08, FLOATS = 0x0D, HEADER = 4 };
static const double most_bytes = 4e9; /* of a file: beyond it a header is taken for damaged */

static int cut_short(const char *path, struct error *err)
{
    return error_set(err, STATUS_INPUT, "'%s' is cut short or damaged: it ends before its header says", path);
}

static int read_bytes(gzFile f, const char *path, void *to, size_t n, struct error *err)
{
    return gzfread(to, 1, n, f) == n ? 0 : cut_short(path, err);
}

static uint32_t big_endian(const uint8_t *d)
{
    return (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
}

/* bytes: of the contents. */
static int read_shape(gzFile f, const char *path, struct idx *x, int *type, size_t *bytes, struct error *err)
{
    uint8_t header[HEADER * (1 + IDX_DIMENSIONS)];
    double n = 1.0;

    if (read_bytes(f, path, header, HEADER, err))
        return -1;
    *type = header[2];
    x->n_dimensions = header[3];
    if (header[0] != 0 || header[1] != 0 || (*type != UNSIGNED_BYTES && *type != FLOATS) ||
        x->n_dimensions < 1 || x->n_dimensions > IDX_DIMENSIONS)
        return error_set(err, STATUS_INPUT,
                         "'%s' is not an IDX file of unsigned bytes or floats with 1 to %d dimensions", path,
                         IDX_DIMENSIONS);
    if (read_bytes(f, path, header + HEADER, (size_t)HEADER * (size_t)x->n_dimensions, err))
        return -1;
    for (int i = 0; i < x->n_dimensions; i++) {
        uint32_t size = big_endian(header + HEADER * (size_t)(i + 1));
        if (size == 0 || size > INT32_MAX)
            return error_set(err, STATUS_INPUT, "'%s': dimension %d of its header is %lld", path, i,
                             (long long)size);
        x->shape[i] = (int)size;
        n *= size;
    }
    size_t each = *type == FLOATS ? sizeof *x->reals : 1;
    if (n * (double)each > most_bytes)
        return error_set(err, STATUS_INPUT, "'%s': its header asks for %.3g bytes", path, n * (double)each);
    x->n = (size_t)n;
    *bytes = x->n * each;
    return 0;
}

/* Turns big-endian words into floats where they are. */
static int take_reals(struct idx *x, void *contents, const char *path, struct error *err)
{
    x->reals = contents;
    for (size_t i = 0; i < x->n; i++) {
        uint32_t word = big_endian((const uint8_t *)contents + sizeof word * i);
        memcpy(&x->reals[i], &word, sizeof word);
        if (!isfinite(x->reals[i]))
            return error_set(err, STATUS_INPUT, "'%s': value %zu is not a finite number", path, i);
    }
    return 0;
}

static int read_contents(gzFile f, const char *path, struct idx *x, struct error *err)
{
    int type;
    size_t n_bytes;
    uint8_t more;

    if (read_shape(f, path, x, &type, &n_bytes, err))
        return -1;
    void *contents = malloc(n_bytes);
    if (!contents)
        return error_no_memory(err, "the contents of an IDX file");
    if (type == UNSIGNED_BYTES)
        x->bytes = contents;
    else
        x->reals = contents;
    if (read_bytes(f, path, contents, n_bytes, err) || (type == FLOATS && take_reals(x, contents, path, err)))
        return -1;
    switch (gzread(f, &more, 1)) {
    case 0:
        return 0;
    case 1:
        return error_set(err, STATUS_INPUT, "'%s' has more bytes than its header says", path);
    default:
        return cut_short(path, err); /* the check sum at gzip's end */
    }
}

int idx_read(const char *path, struct idx *x, struct error *err)
{
    gzFile f = gzopen(path, "rb");
    int result;

    *x = (struct idx){0};
    if (!f)
        return error_errno(err, "open", path);
    result = read_contents(f, path, x, err);
    if (gzclose_r(f) != Z_OK && result == 0) /* it ended within gzip's check sum */
        result = cut_short(path, err);
    if (result)
        idx_release(x);
    return result;
}

void idx_release(struct idx *x)
{
    free(x->bytes);
    free(x->reals);
    *x = (struct idx){0};
}

/* zlib keeps reasons in errno. */
int idx_write(const char *path, const int *shape, int n_dimensions, const uint8_t *bytes, struct error *err)
{
    uint8_t header[HEADER * (1 + IDX_DIMENSIONS)] = {0, 0, UNSIGNED_BYTES, (uint8_t)n_dimensions};
    size_t n_header = HEADER * (size_t)(1 + n_dimensions), n = 1;
    gzFile f = gzopen(path, "wb");

    if (!f)
        return error_output(err, "write", path);
    for (int i = 0; i < n_dimensions; i++) {
        for (int byte = 0; byte < HEADER; byte++)
            header[HEADER * (i + 1) + byte] = (uint8_t)((uint32_t)shape[i] >> (24 - 8 * byte));
        n *= (size_t)shape[i];
    }
    bool whole = gzfwrite(header, 1, n_header, f) == n_header && gzfwrite(bytes, 1, n, f) == n;
    int result = whole ? 0 : error_output(err, "write", path);
    if (gzclose_w(f) != Z_OK && whole) /* what was still to be written */
        result = error_output(err, "write", path);
    return result;
}
