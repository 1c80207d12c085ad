#include "engine/image_corpus.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { PROBE_EVERY = 60, NAME_BYTES = 16, N_SETS = 2, IDS = 2 };
static char class_key[] = "class";
static const char *const set_names[N_SETS] = {"train", "test"};

static int path_in(char path[PATH_MAX], const char *folder, const char *set, const char *file,
                   struct error *err)
{
    int n = snprintf(path, PATH_MAX, "%s/%s%s", folder, set, file);
    return n > 0 && n < PATH_MAX ? 0 : error_set(err, STATUS_USAGE, "the path of '%s' is too long", folder);
}

bool image_corpus_is(const char *folder)
{
    char path[PATH_MAX];
    struct error unused;

    return path_in(path, folder, "", "classes.txt", &unused) == 0 && file_exists(path);
}

/* ---- pixels ---- */

static int read_set(struct images *im, const char *folder, const char *set, struct error *err)
{
    char images[PATH_MAX], labels[PATH_MAX];

    return path_in(images, folder, set, "-images.idx.gz", err) ||
                   path_in(labels, folder, set, "-labels.idx.gz", err) || images_read(im, images, labels, err)
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

    if (path_in(path, folder, "", "classes.txt", err) || read_vocabulary_text(c, path, err))
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

static int claim_documents(struct corpus *c, struct error *err)
{
    size_t n = (size_t)c->images.n;

    c->documents = calloc(n, sizeof *c->documents);
    c->documents_text = malloc(n * NAME_BYTES);
    c->labels = malloc(n * sizeof *c->labels);
    c->ids = malloc(n * IDS * sizeof *c->ids);
    return c->documents && c->documents_text && c->labels && c->ids ? 0
                                                                    : error_no_memory(err, "the documents");
}

static void add_document(struct corpus *c, int d, int number, bool train)
{
    size_t size = images_pixels(&c->images);
    int label = c->images.label[d];
    struct document *document = &c->documents[d];

    c->labels[d] = (struct label){class_key, c->vocabulary[1 + label].text};
    *document = (struct document){.name = c->documents_text + (size_t)d * NAME_BYTES,
                                  .domain = label,
                                  .split = !train                                    ? SPLIT_VALID
                                           : number % PROBE_EVERY == PROBE_EVERY - 1 ? SPLIT_PROBE
                                                                                     : SPLIT_TRAIN,
                                  .n_bytes = (int64_t)size,
                                  .first = (int64_t)IDS * d,
                                  .n_ids = IDS,
                                  .labels = &c->labels[d],
                                  .n_labels = 1};
    snprintf(document->name, NAME_BYTES, "%s/%06d", set_names[!train], number);
    sha256_bytes(c->images.pixels + (size_t)d * size, size, document->sha256);
    c->ids[document->first] = 0;
    c->ids[document->first + 1] = 1 + label;
    c->vocabulary[1 + label].train_count += document->split == SPLIT_TRAIN;
}

static void hash_all(struct corpus *c)
{
    struct sha256 hash;

    sha256_start(&hash);
    sha256_update(&hash, c->vocabulary_sha256, SHA256_HEX - 1);
    for (int d = 0; d < c->n_documents; d++) {
        sha256_update(&hash, c->documents[d].name, strlen(c->documents[d].name));
        sha256_update(&hash, c->documents[d].sha256, SHA256_HEX - 1);
        sha256_update(&hash, &c->ids[c->documents[d].first + 1], sizeof *c->ids);
    }
    sha256_finish(&hash, c->sha256);
}

static int fill(struct corpus *c, const char *folder, struct error *err)
{
    int n_train;
    char path[PATH_MAX];

    if (read_images(c, folder, &n_train, err) || read_classes(c, folder, err) || claim_documents(c, err) ||
        path_in(path, folder, "", "", err))
        return -1;
    c->name = strdup(basename(path));
    c->model_path = strdup("");
    if (!c->name || !c->model_path)
        return error_no_memory(err, "the corpus");
    c->n_documents = c->images.n;
    c->n_ids = (int64_t)IDS * c->n_documents;
    for (int d = 0; d < c->n_documents; d++)
        add_document(c, d, d < n_train ? d : d - n_train, d < n_train);
    hash_all(c);
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
