#include "engine/labelled.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE_EVERY = 60, IDS = 2 };
static char class_key[] = "class";

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
    c->labels = malloc(n * sizeof *c->labels);
    c->ids = malloc(n * IDS * sizeof *c->ids);
    return c->documents && c->documents_text && c->labels && c->ids ? 0
                                                                    : error_no_memory(err, "the documents");
}

void labelled_add(struct corpus *c, const struct labelled_sample *s)
{
    int d = c->n_documents++;
    struct document *document = &c->documents[d];
    struct vocabulary_item *item = &c->vocabulary[s->item];

    c->labels[d] = (struct label){class_key, item->text};
    *document = (struct document){.name = c->documents_text + (size_t)d * LABELLED_NAME,
                                  .domain = s->domain,
                                  .split = !s->train                                    ? SPLIT_VALID
                                           : s->number % PROBE_EVERY == PROBE_EVERY - 1 ? SPLIT_PROBE
                                                                                        : SPLIT_TRAIN,
                                  .n_bytes = (int64_t)s->n_bytes,
                                  .first = (int64_t)IDS * d,
                                  .n_ids = IDS,
                                  .labels = &c->labels[d],
                                  .n_labels = s->class};
    snprintf(document->name, LABELLED_NAME, "%s%s/%06d", s->prefix, s->train ? "train" : "test", s->number);
    sha256_bytes(s->bytes, s->n_bytes, document->sha256);
    c->ids[document->first] = 0;
    c->ids[document->first + 1] = s->item;
    c->n_ids += IDS;
    item->train_count += document->split == SPLIT_TRAIN;
}

void labelled_hash(struct corpus *c)
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
