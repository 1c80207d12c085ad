#include "engine/image_corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/labelled.h"

enum { N_SETS = 2 };
static const char *const set_names[N_SETS] = {"train", "test"};

bool image_corpus_is(const char *folder)
{
    char path[PATH_MAX];
    struct error unused;

    return labelled_path(path, folder, "", "classes.txt", &unused) == 0 && file_exists(path);
}

/* ---- pixels ---- */

static int read_set(struct images *im, const char *folder, const char *set, struct error *err)
{
    char images[PATH_MAX], labels[PATH_MAX];

    return labelled_path(images, folder, set, "-images.idx.gz", err) ||
                   labelled_path(labels, folder, set, "-labels.idx.gz", err) ||
                   images_read(im, images, labels, err)
               ? -1
               : 0;
}

/* Puts `more` behind what is there. */
static int join(struct images *im, const struct images *more, const char *folder, struct error *err)
{
    size_t size = images_pixels(im), n = (size_t)im->n, m = (size_t)more->n;

    if (im->height != more->height || im->width != more->width || im->channels != more->channels)
        return error_set(err, STATUS_INPUT, "'%s': train and test images are of different sizes", folder);
    uint8_t *pixels = realloc(im->pixels, (n + m) * size);
    if (pixels)
        im->pixels = pixels;
    int32_t *label = realloc(im->label, (n + m) * sizeof *label);
    if (label)
        im->label = label;
    if (!pixels || !label)
        return error_no_memory(err, "images");
    memcpy(pixels + n * size, more->pixels, m * size);
    memcpy(label + n, more->label, m * sizeof *label);
    im->n += more->n;
    im->n_classes = more->n_classes > im->n_classes ? more->n_classes : im->n_classes;
    return 0;
}

static int read_images(struct corpus *c, const char *folder, int *n_train, struct error *err)
{
    struct images test;

    if (read_set(&c->images, folder, set_names[0], err))
        return -1;
    *n_train = c->images.n;
    if (read_set(&test, folder, set_names[1], err))
        return -1;
    int result = join(&c->images, &test, folder, err);
    images_release(&test);
    return result;
}

/* ---- classes ---- */

/* The vocabulary's texts: "image", then a class a line. */
static int read_vocabulary_text(struct corpus *c, const char *path, struct error *err)
{
    char *classes;
    size_t n;

    if (file_read(path, &classes, &n, err))
        return -1;
    sha256_bytes(classes, n, c->vocabulary_sha256);
    int length = asprintf(&c->vocabulary_text, "image\n%s", classes);
    free(classes);
    if (length >= 0)
        return 0;
    c->vocabulary_text = NULL;
    return error_no_memory(err, "the classes");
}

static int read_classes(struct corpus *c, const char *folder, struct error *err)
{
    char path[PATH_MAX], *rest, *line;

    if (labelled_path(path, folder, "", "classes.txt", err) || read_vocabulary_text(c, path, err))
        return -1;
    size_t most = strlen(c->vocabulary_text);
    c->vocabulary = calloc(most, sizeof *c->vocabulary);
    c->domains = calloc(most, sizeof *c->domains);
    if (!c->vocabulary || !c->domains)
        return error_no_memory(err, "the classes");
    for (rest = c->vocabulary_text; (line = strsep(&rest, "\n")) != NULL;) {
        bool class = c->n_vocabulary > 0;
        if (*line == '\0')
            continue;
        if (class)
            c->domains[c->n_domains++] = line;
        c->vocabulary[c->n_vocabulary++] =
            (struct vocabulary_item){.text = line, .kind = class ? "class" : "special"};
    }
    if (c->n_domains < c->images.n_classes)
        return error_set(err, STATUS_INPUT, "'%s' names %d classes, but there are images of class %d", path,
                         c->n_domains, c->images.n_classes - 1);
    return 0;
}

/* ---- documents ---- */

static void add_image(struct corpus *c, int d, int number, bool train)
{
    size_t size = images_pixels(&c->images);
    int label = c->images.label[d];

    labelled_add(c, &(struct labelled_sample){.prefix = "",
                                              .number = number,
                                              .train = train,
                                              .domain = label,
                                              .item = 1 + label,
                                              .class = true,
                                              .bytes = c->images.pixels + (size_t)d * size,
                                              .n_bytes = size});
}

static int fill(struct corpus *c, const char *folder, struct error *err)
{
    int n_train;

    if (read_images(c, folder, &n_train, err) || read_classes(c, folder, err) ||
        labelled_claim(c, c->images.n, err) || labelled_name(c, folder, err))
        return -1;
    for (int d = 0; d < c->images.n; d++)
        add_image(c, d, d < n_train ? d : d - n_train, d < n_train);
    labelled_hash(c);
    return 0;
}

int image_corpus_load(struct corpus *c, const char *folder, struct error *err)
{
    *c = (struct corpus){0};
    if (fill(c, folder, err) == 0)
        return 0;
    corpus_release(c);
    return -1;
}
