#include "engine/mixture_corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/labelled.h"

enum { N_SETS = 2 };
static const char *const set_names[N_SETS] = {"train", "test"};

bool mixture_corpus_is(const char *folder)
{
    char path[PATH_MAX];
    struct error unused;

    return labelled_path(path, folder, "", "sources.txt", &unused) == 0 && file_exists(path);
}

/* ---- numbers ---- */

static int dimensions_of(enum source_kind kind)
{
    return kind == SOURCE_TEXT || kind == SOURCE_TABLE ? 2 : 3;
}

static int check_inputs(const struct mixture_source *s, const struct idx *x, const char *path,
                        struct error *err)
{
    bool bytes = s->kind == SOURCE_IMAGE || s->kind == SOURCE_TEXT;

    if (x->n_dimensions == dimensions_of(s->kind) && (x->bytes != NULL) == bytes)
        return 0;
    return error_set(err, STATUS_INPUT, "'%s' has %d dimensions of %s; samples of kind %s have %d of %s",
                     path, x->n_dimensions, x->bytes ? "bytes" : "floats", source_kind_names[s->kind],
                     dimensions_of(s->kind), bytes ? "bytes" : "floats");
}

/* Puts `more` behind what is there. */
static int join(struct idx *x, const struct idx *more, const char *path, struct error *err)
{
    size_t each = x->bytes ? 1 : sizeof *x->reals;
    void *values = x->bytes ? (void *)x->bytes : x->reals;

    if (x->n_dimensions != more->n_dimensions || (x->bytes == NULL) != (more->bytes == NULL) ||
        memcmp(x->shape + 1, more->shape + 1, (size_t)(x->n_dimensions - 1) * sizeof *x->shape) != 0)
        return error_set(err, STATUS_INPUT, "'%s' is of other samples than those to train on", path);
    values = realloc(values, (x->n + more->n) * each);
    if (!values)
        return error_no_memory(err, "samples");
    *(x->bytes ? (void **)&x->bytes : (void **)&x->reals) = values;
    memcpy((char *)values + x->n * each, more->bytes ? (void *)more->bytes : more->reals, more->n * each);
    x->n += more->n;
    x->shape[0] += more->shape[0];
    return 0;
}

/* Both sets of inputs or of targets, into x, which is to be released whatever comes of it. n_train: how many
 * samples the first has. */
static int read_sets(const char *folder, const char *part, struct idx *x, int *n_train, char path[PATH_MAX],
                     struct error *err)
{
    char file[64];
    struct idx test;

    for (int set = 0; set < N_SETS; set++) {
        snprintf(file, sizeof file, "%s-%s.idx.gz", set_names[set], part);
        if (labelled_path(path, folder, file, "", err) || idx_read(path, set ? &test : x, err))
            return -1;
        *n_train = set ? *n_train : x->shape[0];
    }
    int result = join(x, &test, path, err);
    idx_release(&test);
    return result;
}

static int read_inputs(struct mixture_source *s, const char *folder, struct error *err)
{
    char path[PATH_MAX];

    if (read_sets(folder, "inputs", &s->inputs, &s->n_train, path, err) ||
        check_inputs(s, &s->inputs, path, err))
        return -1;
    s->n = s->inputs.shape[0];
    s->size = s->inputs.n / (size_t)s->n;
    if (s->kind == SOURCE_IMAGE)
        s->scale = images_scale(&(struct images){.n = s->n_train,
                                                 .height = s->inputs.shape[1],
                                                 .width = s->inputs.shape[2],
                                                 .channels = 1,
                                                 .pixels = s->inputs.bytes});
    return 0;
}

static int take_targets(struct mixture_source *s, struct idx *x, int n_train, const char *path,
                        struct error *err)
{
    if (x->n_dimensions != 1 || x->shape[0] != s->n || n_train != s->n_train)
        return error_set(err, STATUS_INPUT,
                         "'%s' and its neighbours have %d + %d targets for %d + %d samples", path, n_train,
                         x->shape[0] - n_train, s->n_train, s->n - s->n_train);
    if (x->reals) {
        s->target = x->reals;
        x->reals = NULL;
        return 0;
    }
    s->label = malloc((size_t)s->n * sizeof *s->label);
    if (!s->label)
        return error_no_memory(err, "labels");
    for (int i = 0; i < s->n; i++) {
        s->label[i] = x->bytes[i];
        s->n_classes = x->bytes[i] >= s->n_classes ? x->bytes[i] + 1 : s->n_classes;
    }
    return 0;
}

static int read_source(struct mixture_source *s, const char *folder, struct error *err)
{
    char inside[PATH_MAX], path[PATH_MAX];
    struct idx targets = {0};
    int n_train;

    if (labelled_path(inside, folder, s->name, "", err) || read_inputs(s, inside, err))
        return -1;
    int result = read_sets(inside, "targets", &targets, &n_train, path, err) ||
                         take_targets(s, &targets, n_train, path, err)
                     ? -1
                     : 0;
    idx_release(&targets);
    return result;
}

/* ---- sources and classes ---- */

static int kind_named(const char *name)
{
    int kind = 0;

    while (kind < N_SOURCE_KINDS && (!name || strcmp(name, source_kind_names[kind]) != 0))
        kind++;
    return kind;
}

static int add_source(struct corpus *c, char *line, const char *path, struct error *err)
{
    struct mixture *m = &c->mixture;
    char *kind = line, *name = strsep(&kind, "\t");

    if (m->n == MIXTURE_MOST)
        return error_set(err, STATUS_INPUT, "'%s' has more than %d sources", path, MIXTURE_MOST);
    if (kind_named(kind) == N_SOURCE_KINDS || !*name || strchr(name, '/'))
        return error_set(err, STATUS_INPUT,
                         "'%s', line %d is not a name, a tab and one of image, text, series, table", path,
                         m->n + 1);
    for (int s = 0; s < m->n; s++)
        if (strcmp(m->sources[s].name, name) == 0)
            return error_set(err, STATUS_INPUT, "'%s' has the source '%s' twice", path, name);
    m->sources[m->n++] = (struct mixture_source){.name = name, .kind = (enum source_kind)kind_named(kind)};
    return 0;
}

static int read_sources(struct corpus *c, const char *folder, struct error *err)
{
    char path[PATH_MAX], *rest, *line;
    size_t n;

    if (labelled_path(path, folder, "", "sources.txt", err) || file_read(path, &c->mixture.text, &n, err))
        return -1;
    for (rest = c->mixture.text; (line = strsep(&rest, "\n")) != NULL;)
        if (*line && add_source(c, line, path, err))
            return -1;
    if (c->mixture.n == 0)
        return error_set(err, STATUS_INPUT, "'%s' names no source", path);
    for (int s = 0; s < c->mixture.n; s++)
        if (read_source(&c->mixture.sources[s], folder, err))
            return -1;
    return 0;
}

/* The vocabulary's lines of a source: its classes, or its name. */
static int add_items(struct text *t, const struct mixture_source *s, const char *folder, struct error *err)
{
    char inside[PATH_MAX], path[PATH_MAX], *classes;
    size_t n;
    int n_lines = 0;

    if (s->n_classes == 0) {
        text_printf(t, "%s\n", s->name);
        return 0;
    }
    if (labelled_path(inside, folder, s->name, "", err) ||
        labelled_path(path, inside, "classes.txt", "", err) || file_read(path, &classes, &n, err))
        return -1;
    for (char *rest = classes, *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (*line && n_lines++ < s->n_classes)
            text_printf(t, "%s\n", line);
    }
    free(classes);
    return n_lines >= s->n_classes
               ? 0
               : error_set(err, STATUS_INPUT, "'%s' names %d classes, but there are samples of class %d",
                           path, n_lines, s->n_classes - 1);
}

static int make_vocabulary_text(struct corpus *c, const char *folder, struct error *err)
{
    struct text t;
    int result = 0;

    text_init(&t);
    text_add(&t, "sample\n");
    for (int s = 0; s < c->mixture.n && result == 0; s++)
        result = add_items(&t, &c->mixture.sources[s], folder, err);
    sha256_bytes(t.data, t.length, c->vocabulary_sha256);
    if (result == 0 && (c->vocabulary_text = text_detach(&t)) == NULL)
        result = error_no_memory(err, "the classes");
    text_release(&t);
    return result;
}

/* Items in the order of their lines, and the domains. */
static int make_vocabulary(struct corpus *c, const char *folder, struct error *err)
{
    if (make_vocabulary_text(c, folder, err))
        return -1;
    c->vocabulary = calloc(strlen(c->vocabulary_text), sizeof *c->vocabulary);
    c->domains = calloc(MIXTURE_MOST, sizeof *c->domains);
    if (!c->vocabulary || !c->domains)
        return error_no_memory(err, "the classes");
    for (char *rest = c->vocabulary_text, *line; (line = strsep(&rest, "\n")) != NULL;)
        if (*line)
            c->vocabulary[c->n_vocabulary++] = (struct vocabulary_item){.text = line, .kind = "class"};
    c->vocabulary[0].kind = "special";
    int item = 1;
    for (int s = 0; s < c->mixture.n; s++) {
        struct mixture_source *source = &c->mixture.sources[s];
        c->domains[c->n_domains++] = source->name;
        source->first_item = item;
        item += source->n_classes ? source->n_classes : 1;
    }
    return 0;
}

/* ---- the whole ---- */

static void add_samples(struct corpus *c, int domain)
{
    struct mixture_source *s = &c->mixture.sources[domain];
    size_t bytes = s->size * (s->inputs.bytes ? 1 : sizeof *s->inputs.reals);
    const char *values = s->inputs.bytes ? (const char *)s->inputs.bytes : (const char *)s->inputs.reals;
    char prefix[LABELLED_NAME];

    snprintf(prefix, sizeof prefix, "%.40s/", s->name);
    s->first_document = c->n_documents;
    for (int i = 0; i < s->n; i++)
        labelled_add(c, &(struct labelled_sample){.prefix = prefix,
                                                  .set = i < s->n_train ? LABELLED_TRAIN : LABELLED_TEST,
                                                  .number = i < s->n_train ? i : i - s->n_train,
                                                  .domain = domain,
                                                  .item = s->first_item + (s->label ? s->label[i] : 0),
                                                  .class = s->label != NULL,
                                                  .bytes = values + (size_t)i * bytes,
                                                  .n_bytes = bytes});
}

static int fill(struct corpus *c, const char *folder, struct error *err)
{
    int n = 0;

    if (read_sources(c, folder, err) || make_vocabulary(c, folder, err))
        return -1;
    for (int s = 0; s < c->mixture.n; s++)
        n += c->mixture.sources[s].n;
    if (labelled_claim(c, n, err) || labelled_name(c, folder, err))
        return -1;
    for (int s = 0; s < c->mixture.n; s++)
        add_samples(c, s);
    labelled_hash(c);
    return 0;
}

int mixture_corpus_load(struct corpus *c, const char *folder, struct error *err)
{
    *c = (struct corpus){0};
    if (fill(c, folder, err) == 0)
        return 0;
    corpus_release(c);
    return -1;
}
