#include "engine/image_corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/labelled.h"

struct reading {
    struct corpus *c;
    const char *folder;
    int first[LABELLED_SETS + 1]; /* image of each set; a set that is not there has none */
    char **families;              /* NULL: there are none */
    int n_families;
    int32_t *family; /* (images) */
};

static bool is_there(const char *folder, const char *set, const char *file)
{
    char path[PATH_MAX];
    struct error unused;

    return labelled_path(path, folder, set, file, &unused) == 0 && file_exists(path);
}

bool image_corpus_is(const char *folder)
{
    return is_there(folder, "", "classes.txt");
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
        return error_set(err, STATUS_INPUT, "'%s': its images are of different sizes", folder);
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

static int add_set(struct reading *r, enum labelled_set set, struct error *err)
{
    const char *name = labelled_set_names[set];
    struct images more, *all = &r->c->images;

    if (set == LABELLED_PROBE && !is_there(r->folder, name, "-images.idx.gz"))
        return 0;
    if (set == LABELLED_TRAIN)
        return read_set(all, r->folder, name, err);
    if (read_set(&more, r->folder, name, err))
        return -1;
    int result = join(all, &more, r->folder, err);
    images_release(&more);
    return result;
}

static int read_images(struct reading *r, struct error *err)
{
    for (int set = 0; set < LABELLED_SETS; set++) {
        if (add_set(r, set, err))
            return -1;
        r->first[set + 1] = r->c->images.n;
    }
    return 0;
}

/* The next line that is not empty; NULL: there is none. */
static char *next_line(char **rest)
{
    char *line;

    while ((line = strsep(rest, "\n")) != NULL && *line == '\0')
        ;
    return line;
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
    for (rest = c->vocabulary_text; (line = next_line(&rest)) != NULL;) {
        bool class = c->n_vocabulary > 0;
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

/* ---- families ---- */

static int read_family_names(struct reading *r, const char *path, struct error *err)
{
    char *rest;
    size_t n;

    if (file_read(path, &r->c->labels_text, &n, err))
        return -1;
    r->families = calloc(n + 1, sizeof *r->families);
    if (!r->families)
        return error_no_memory(err, "the families");
    for (rest = r->c->labels_text; (r->families[r->n_families] = next_line(&rest)) != NULL;)
        r->n_families++;
    return 0;
}

static int read_families_of(struct reading *r, enum labelled_set set, struct error *err)
{
    char path[PATH_MAX];
    int32_t *family;
    int n = r->first[set + 1] - r->first[set], most, result = 0;

    if (n == 0)
        return 0;
    if (labelled_path(path, r->folder, labelled_set_names[set], "-families.idx.gz", err) ||
        images_read_labels(path, n, &family, &most, err))
        return -1;
    if (most > r->n_families)
        result = error_set(err, STATUS_INPUT, "'%s' has images of family %d, but '%s/families.txt' names %d",
                           path, most - 1, r->folder, r->n_families);
    else
        memcpy(r->family + r->first[set], family, (size_t)n * sizeof *family);
    free(family);
    return result;
}

static int read_families(struct reading *r, struct error *err)
{
    char path[PATH_MAX];

    if (!is_there(r->folder, "", "families.txt"))
        return 0;
    if (labelled_path(path, r->folder, "", "families.txt", err) || read_family_names(r, path, err))
        return -1;
    r->family = malloc((size_t)r->c->images.n * sizeof *r->family);
    if (!r->family)
        return error_no_memory(err, "the families");
    for (int set = 0; set < LABELLED_SETS; set++) {
        if (read_families_of(r, set, err))
            return -1;
    }
    return 0;
}

/* ---- documents ---- */

static void add_image(const struct reading *r, enum labelled_set set, int d)
{
    const struct images *im = &r->c->images;
    size_t size = images_pixels(im);

    labelled_add(r->c,
                 &(struct labelled_sample){.prefix = "",
                                           .set = set,
                                           .number = d - r->first[set],
                                           .own_probe = r->first[LABELLED_PROBE] < r->first[LABELLED_SETS],
                                           .domain = im->label[d],
                                           .item = 1 + im->label[d],
                                           .class = true,
                                           .family = r->families ? r->families[r->family[d]] : NULL,
                                           .bytes = im->pixels + (size_t)d * size,
                                           .n_bytes = size});
}

static int fill(struct reading *r, struct error *err)
{
    struct corpus *c = r->c;

    if (read_images(r, err) || read_classes(c, r->folder, err) || read_families(r, err) ||
        labelled_claim(c, c->images.n, err) || labelled_name(c, r->folder, err))
        return -1;
    for (int set = 0; set < LABELLED_SETS; set++) {
        for (int d = r->first[set]; d < r->first[set + 1]; d++)
            add_image(r, set, d);
    }
    labelled_hash(c);
    return 0;
}

int image_corpus_load(struct corpus *c, const char *folder, struct error *err)
{
    struct reading r = {.c = c, .folder = folder};

    *c = (struct corpus){0};
    int result = fill(&r, err);
    free(r.families);
    free(r.family);
    if (result)
        corpus_release(c);
    return result;
}
