/* Samples of several sources side by side: images, text, sensor series, tables. A source's samples are of one
 * shape and have either a class or a real number to predict (engine/mixture_corpus.h reads them). */
#ifndef ENGINE_MIXTURE_H
#define ENGINE_MIXTURE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/idx.h"
#include "engine/images.h"

enum source_kind { SOURCE_IMAGE, SOURCE_TEXT, SOURCE_SERIES, SOURCE_TABLE, N_SOURCE_KINDS };
extern const char *const source_kind_names[N_SOURCE_KINDS]; /* image, text, series, table */

enum { MIXTURE_MOST = 8 };

struct mixture_source {
    char *name; /* the corpus's domain */
    enum source_kind kind;
    /* Train samples, then test samples, (n, shape): of images rows and columns, of text bytes, of series
     * times and channels, of tables columns. Images and text are bytes, the others floats. */
    struct idx inputs;
    int n, n_train;
    size_t size;              /* values of a sample */
    int32_t *label;           /* (n) below n_classes, or NULL */
    float *target;            /* (n), or NULL */
    int n_classes;            /* 0: real targets */
    int first_document;       /* sample i is document first_document + i */
    int first_item;           /* class c is vocabulary item first_item + c; all real targets are that item */
    struct pixel_scale scale; /* of images: of the train samples */
};

struct mixture {
    struct mixture_source sources[MIXTURE_MOST];
    int n;      /* 0: the corpus is something else */
    char *text; /* that names point into */
};

void mixture_release(struct mixture *m); /* safe on zeroed */
/* The source that a document is of. */
int mixture_source_of(const struct mixture *m, int document);
/* x (size): the sample as numbers; of text the bytes themselves. */
void mixture_fill(const struct mixture_source *s, int sample, float *x);

#endif
