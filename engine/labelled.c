#include "engine/labelled.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE_EVERY = 60, IDS = 2, MOST_LABELS = 2 };
static char class_key[] = "class", family_key[] = "family";
const char *const labelled_set_names[LABELLED_SETS] = {"train", "test", "probe"};

int labelled_path(char path[PATH_MAX], const char *folder, const char *before, const char *after,
                  struct error *err)
{
    int n = snprintf(path, PATH_MAX, "%s/%s%s", folder, before, after);
    return n > 0 && n < PATH_MAX ? 0 : error_set(err, STATUS_USAGE, "the path of '%s' is too long", folder);
}

int labelled_name(struct corpus *c, const char *folder, struct error *err)
{
    char path[PATH_MAX];

    if (labelled_path(path, folder, "", "", err))
        return -1;
    c->name = strdup(basename(path));
    c->model_path = strdup("");
    return c->name && c->model_path ? 0 : error_no_memory(err, "the corpus");
}

int labelled_claim(struct corpus *c, int n_documents, struct error *err)
{
    size_t n = (size_t)n_documents;

    c->documents = calloc(n, sizeof *c->documents);
    c->documents_text = malloc(n * LABELLED_NAME);
    c->labels = malloc(n * MOST_LABELS * sizeof *c->labels);
    c->ids = malloc(n * IDS * sizeof *c->ids);
    return c->documents && c->documents_text && c->labels && c->ids ? 0
                                                                    : error_no_memory(err, "the documents");
}

static enum corpus_split split_of(const struct labelled_sample *s)
{
    if (s->set == LABELLED_TRAIN)
        return !s->own_probe && s->number % PROBE_EVERY == PROBE_EVERY - 1 ? SPLIT_PROBE : SPLIT_TRAIN;
    return s->set == LABELLED_TEST ? SPLIT_VALID : SPLIT_PROBE;
}

void labelled_add(struct corpus *c, const struct labelled_sample *s)
{
    int d = c->n_documents++;
    struct document *document = &c->documents[d];
    struct vocabulary_item *item = &c->vocabulary[s->item];

    *document = (struct document){.name = c->documents_text + (size_t)d * LABELLED_NAME,
                                  .domain = s->domain,
                                  .split = split_of(s),
                                  .n_bytes = (int64_t)s->n_bytes,
                                  .first = (int64_t)IDS * d,
                                  .n_ids = IDS,
                                  .labels = &c->labels[(size_t)d * MOST_LABELS]};
    snprintf(document->name, LABELLED_NAME, "%s%s/%06d", s->prefix, labelled_set_names[s->set], s->number);
    if (s->class)
        document->labels[document->n_labels++] = (struct label){class_key, item->text};
    if (s->family)
        document->labels[document->n_labels++] = (struct label){family_key, s->family};
    sha256_bytes(s->bytes, s->n_bytes, document->sha256);
    c->ids[document->first] = 0;
    c->ids[document->first + 1] = s->item;
    c->n_ids += IDS;
    item->train_count += document->split == SPLIT_TRAIN;
}

static void hash_document(struct sha256 *hash, const struct corpus *c, const struct document *d)
{
    sha256_add(hash, d->name, strlen(d->name));
    sha256_add(hash, d->sha256, SHA256_HEX - 1);
    sha256_add(hash, &c->ids[d->first + 1], sizeof *c->ids);
    for (int i = 0; i < d->n_labels; i++) {
        if (d->labels[i].key == family_key) /* the class is the id */
            sha256_add(hash, d->labels[i].value, strlen(d->labels[i].value) + 1);
    }
}

void labelled_hash(struct corpus *c)
{
    struct sha256 hash;

    sha256_start(&hash);
    sha256_add(&hash, c->vocabulary_sha256, SHA256_HEX - 1);
    for (int d = 0; d < c->n_documents; d++)
        hash_document(&hash, c, &c->documents[d]);
    sha256_finish(&hash, c->sha256);
}
