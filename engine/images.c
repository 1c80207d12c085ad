#include "engine/images.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

enum { MOST_DIMENSIONS = 4, UNSIGNED_BYTES = 0x08, HEADER = 4 };
static const double most_bytes = 4e9; /* of a file: beyond it a header is taken for damaged */

struct idx {
    int n_dimensions, shape[MOST_DIMENSIONS];
    uint8_t *bytes;
    size_t n_bytes;
};

static int cut_short(const char *path, struct error *err)
{
    return error_set(err, STATUS_INPUT, "'%s' is cut short or damaged: it ends before its header says", path);
}

static int read_bytes(gzFile f, const char *path, void *to, size_t n, struct error *err)
{
    return gzfread(to, 1, n, f) == n ? 0 : cut_short(path, err);
}

static int read_shape(gzFile f, const char *path, struct idx *x, struct error *err)
{
    uint8_t header[HEADER * (1 + MOST_DIMENSIONS)];
    double bytes = 1.0;

    if (read_bytes(f, path, header, HEADER, err))
        return -1;
    x->n_dimensions = header[3];
    if (header[0] != 0 || header[1] != 0 || header[2] != UNSIGNED_BYTES || x->n_dimensions < 1 ||
        x->n_dimensions > MOST_DIMENSIONS)
        return error_set(err, STATUS_INPUT,
                         "'%s' is not an IDX file of unsigned bytes with 1 to %d dimensions", path,
                         MOST_DIMENSIONS);
    if (read_bytes(f, path, header + HEADER, (size_t)HEADER * (size_t)x->n_dimensions, err))
        return -1;
    for (int i = 0; i < x->n_dimensions; i++) {
        const uint8_t *d = header + HEADER * (size_t)(i + 1);
        uint32_t size = (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
        if (size == 0 || size > INT32_MAX)
            return error_set(err, STATUS_INPUT, "'%s': dimension %d of its header is %lld", path, i,
                             (long long)size);
        x->shape[i] = (int)size;
        bytes *= size;
    }
    if (bytes > most_bytes)
        return error_set(err, STATUS_INPUT, "'%s': its header asks for %.3g bytes", path, bytes);
    x->n_bytes = (size_t)bytes;
    return 0;
}

static int read_contents(gzFile f, const char *path, struct idx *x, struct error *err)
{
    uint8_t more;

    if (read_shape(f, path, x, err))
        return -1;
    x->bytes = malloc(x->n_bytes);
    if (!x->bytes)
        return error_no_memory(err, "images");
    if (read_bytes(f, path, x->bytes, x->n_bytes, err))
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

static int read_idx(const char *path, struct idx *x, struct error *err)
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
        free(x->bytes);
    return result;
}

static int take_pixels(struct images *im, const struct idx *x, const char *path, struct error *err)
{
    if (x->n_dimensions < 3)
        return error_set(err, STATUS_INPUT, "'%s' has %d dimensions; images have 3, or 4 with channels", path,
                         x->n_dimensions);
    im->n = x->shape[0];
    im->height = x->shape[1];
    im->width = x->shape[2];
    im->channels = x->n_dimensions == 4 ? x->shape[3] : 1;
    im->pixels = x->bytes;
    return 0;
}

static int take_labels(struct images *im, const struct idx *x, const char *path, struct error *err)
{
    if (x->n_dimensions != 1)
        return error_set(err, STATUS_INPUT, "'%s' has %d dimensions; labels have 1", path, x->n_dimensions);
    if (x->shape[0] != im->n)
        return error_set(err, STATUS_INPUT, "'%s' has %d labels for %d images", path, x->shape[0], im->n);
    im->label = malloc((size_t)im->n * sizeof *im->label);
    if (!im->label)
        return error_no_memory(err, "labels");
    for (int i = 0; i < im->n; i++) {
        im->label[i] = x->bytes[i];
        im->n_classes = x->bytes[i] >= im->n_classes ? x->bytes[i] + 1 : im->n_classes;
    }
    return 0;
}

int images_read(struct images *im, const char *images_path, const char *labels_path, struct error *err)
{
    struct idx x;
    int result;

    *im = (struct images){0};
    if (read_idx(images_path, &x, err))
        return -1;
    if (take_pixels(im, &x, images_path, err)) {
        free(x.bytes);
        return -1;
    }
    result = read_idx(labels_path, &x, err);
    if (!result) {
        result = take_labels(im, &x, labels_path, err);
        free(x.bytes);
    }
    if (result)
        images_release(im);
    return result;
}

void images_release(struct images *im)
{
    free(im->pixels);
    free(im->label);
    *im = (struct images){0};
}

size_t images_pixels(const struct images *im)
{
    return (size_t)im->height * (size_t)im->width * (size_t)im->channels;
}

struct pixel_scale images_scale(const struct images *im)
{
    size_t n = (size_t)im->n * images_pixels(im);
    double sum = 0.0, squares = 0.0;

    for (size_t i = 0; i < n; i++) {
        sum += im->pixels[i];
        squares += (double)im->pixels[i] * im->pixels[i];
    }
    double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    return (struct pixel_scale){(float)mean, variance > 0.0 ? (float)sqrt(variance) : 1.0F};
}

void images_fill(const struct images *im, struct pixel_scale scale, const int *index, int B, float *x)
{
    size_t size = images_pixels(im);

    for (int b = 0; b < B; b++) {
        const uint8_t *pixels = im->pixels + (size_t)index[b] * size;
        for (size_t i = 0; i < size; i++)
            x[(size_t)b * size + i] = ((float)pixels[i] - scale.mean) / scale.deviation;
    }
}
