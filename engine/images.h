/* Labelled images from IDX files (engine/idx.h). */
#ifndef ENGINE_IMAGES_H
#define ENGINE_IMAGES_H
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct images {
    int n, height, width, channels;
    int n_classes;   /* the largest label + 1 */
    uint8_t *pixels; /* (n, height, width, channels) */
    int32_t *label;  /* (n) */
};

/* IDX of unsigned bytes: images with 3 dimensions (n, height, width) or 4 (with channels), labels with 1.
 * Whatever does not fit together is STATUS_INPUT and names the file. */
int images_read(struct images *im, const char *images_path, const char *labels_path, struct error *err);
void images_release(struct images *im);
/* Other labels of n images, from 0 to *n_values - 1; the caller frees. */
int images_read_labels(const char *path, int n, int32_t **label, int *n_values, struct error *err);

/* The same files, compressed; labels are below 256. */
int images_write(const struct images *im, const char *images_path, const char *labels_path,
                 struct error *err);
int images_write_labels(const char *path, const int32_t *label, int n, struct error *err);

size_t images_pixels(const struct images *im); /* bytes of one image */

/* What makes pixels have mean 0 and deviation 1 over all given images. */
struct pixel_scale {
    float mean, deviation;
};
struct pixel_scale images_scale(const struct images *im);
/* x (B, height, width, channels) of the images that index (B) names. */
void images_fill(const struct images *im, struct pixel_scale scale, const int *index, int B, float *x);

#endif
