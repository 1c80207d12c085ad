#include "engine/images.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/idx.h"

static int read_bytes(const char *path, struct idx *x, struct error *err)
{
    if (idx_read(path, x, err))
        return -1;
    if (x->bytes)
        return 0;
    idx_release(x);
    return error_set(err, STATUS_INPUT, "'%s' holds floats; images and labels are unsigned bytes", path);
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

static int take_labels(const struct idx *x, const char *path, int n, int32_t **label, int *n_values,
                       struct error *err)
{
    if (x->n_dimensions != 1)
        return error_set(err, STATUS_INPUT, "'%s' has %d dimensions; labels have 1", path, x->n_dimensions);
    if (x->shape[0] != n)
        return error_set(err, STATUS_INPUT, "'%s' has %d labels for %d images", path, x->shape[0], n);
    *label = malloc((size_t)n * sizeof **label);
    if (!*label)
        return error_no_memory(err, "labels");
    for (int i = 0; i < n; i++) {
        (*label)[i] = x->bytes[i];
        *n_values = x->bytes[i] >= *n_values ? x->bytes[i] + 1 : *n_values;
    }
    return 0;
}

int images_read_labels(const char *path, int n, int32_t **label, int *n_values, struct error *err)
{
    struct idx x;

    *label = NULL;
    *n_values = 0;
    if (read_bytes(path, &x, err))
        return -1;
    int result = take_labels(&x, path, n, label, n_values, err);
    idx_release(&x);
    return result;
}

int images_read(struct images *im, const char *images_path, const char *labels_path, struct error *err)
{
    struct idx x;

    *im = (struct images){0};
    if (read_bytes(images_path, &x, err))
        return -1;
    if (take_pixels(im, &x, images_path, err)) {
        idx_release(&x);
        return -1;
    }
    if (images_read_labels(labels_path, im->n, &im->label, &im->n_classes, err) == 0)
        return 0;
    images_release(im);
    return -1;
}

int images_write_labels(const char *path, const int32_t *label, int n, struct error *err)
{
    uint8_t *bytes = malloc((size_t)n + 1);

    if (!bytes)
        return error_no_memory(err, "labels");
    for (int i = 0; i < n; i++)
        bytes[i] = (uint8_t)label[i];
    int result = idx_write(path, &n, 1, bytes, err);
    free(bytes);
    return result;
}

int images_write(const struct images *im, const char *images_path, const char *labels_path, struct error *err)
{
    const int shape[] = {im->n, im->height, im->width, im->channels};

    return idx_write(images_path, shape, im->channels > 1 ? 4 : 3, im->pixels, err) ||
                   images_write_labels(labels_path, im->label, im->n, err)
               ? -1
               : 0;
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
